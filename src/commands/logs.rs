//! `ashore logs`: the end of our own log and of the local endpoint's.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::output;

/// How much of each is shown, in bytes.
const TAIL: u64 = 16 * 1024;

/// How often a followed file is looked at: logs are written by other processes, on any file system.
const LOOK: Duration = Duration::from_millis(300);

/// Prints the ends; with `follow` goes on until it is interrupted.
pub async fn run(context: &Context, follow: bool) -> Result<Exit, Failure> {
    let files = ["ashore.log", "endpoint.log"].map(|name| context.places.logs().join(name));
    let mut places: Vec<(PathBuf, u64)> = Vec::new();
    for file in files {
        let end = std::fs::metadata(&file).map_or(0, |meta| meta.len());
        output::say(context.quiet, &format!("== {}", file.display()));
        print(&file, end.saturating_sub(TAIL))?;
        places.push((file, end));
    }
    if !follow {
        return Ok(Exit::Done);
    }
    loop {
        tokio::time::sleep(LOOK).await;
        for (file, end) in &mut places {
            let now = std::fs::metadata(&*file).map_or(0, |meta| meta.len());
            if now != *end {
                // A shorter file is a new one.
                print(file, if now < *end { 0 } else { *end })?;
                *end = now;
            }
        }
    }
}

fn print(file: &Path, from: u64) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => output::raw(&output::plain(&String::from_utf8_lossy(&bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::new(
            Exit::Other,
            format!("cannot read {}: {error}", file.display()),
        )),
    }
}
