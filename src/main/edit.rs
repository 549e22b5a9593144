//! `ashore config edit`: the config file in the user's own editor, read through afterwards.
//!
//! Part of `main`, because what may stand in it is known in more than one room.

use std::fs::OpenOptions;
use std::path::Path;

use ashore::commands::context::Context;
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::output;
use ashore::config::env::Env;
use ashore::config::file::{self, Whose};
use ashore::config::settings;
use tokio::process::Command;

use crate::screen;

/// What is wrong in the file is said with its line; it stays as it was written.
pub(crate) async fn run(context: &Context, file: &Path) -> Result<Exit, Failure> {
    make(file).map_err(|error| {
        Failure::new(
            Exit::Other,
            format!("cannot make {}: {error}", file.display()),
        )
    })?;
    let env = &context.env;
    let editor = env
        .get("VISUAL")
        .or_else(|| env.get("EDITOR"))
        .unwrap_or("vi");
    let ended = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file)
        .status()
        .await
        .map_err(|error| {
            Failure::new(Exit::Other, format!("the editor does not start: {error}"))
        })?;
    if !ended.success() {
        return Err(
            Failure::new(Exit::Other, format!("`{editor}` ended with {ended}"))
                .hint("VISUAL or EDITOR names another editor"),
        );
    }
    check(file).map_err(|failure| failure.hint("ashore config edit opens it again"))?;
    output::say(context.quiet, &format!("{} is right.", file.display()));
    Ok(Exit::Done)
}

/// An editor is to find a file, and the folder to write it in.
fn make(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .map(drop)
}

fn check(file: &Path) -> Result<(), Failure> {
    let wrong = |error: file::Error| Failure::usage(format!("config error: {error}"));
    let values = file::load(file, Whose::User).map_err(wrong)?;
    let settings = settings::merge(&[(file.to_owned(), values)], &Env::default());
    screen::keymap(&settings).map(drop)
}
