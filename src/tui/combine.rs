//! The versions of a conflict in a program of the user's: an editor, or a merge tool as git calls one.
//!
//! A shell. What was written there is never thrown away: what cannot be taken is kept, and where is said.

use std::io;
use std::path::Path;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::mirror::merge::{Merged, undecided};
use crate::mirror::versions::Versions;
use crate::protocol::ids::RunRef;
use crate::tui::event::{Combined, Event};

/// More is not taken, in bytes.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The same as an event.
pub(crate) async fn combined(of: RunRef, tool: &str, versions: &Versions) -> Event {
    let text = combine(tool, versions).await;
    Event::Combined(Combined {
        of,
        path: versions.path.clone(),
        over: versions.mine.state,
        text,
    })
}

/// What it leaves in `$MERGED`. Errors are whole sentences for the user.
///
/// `tool` is a shell's words; the versions lie in `$BASE`, `$LOCAL` and `$REMOTE`. The terminal is its own meanwhile.
async fn combine(tool: &str, versions: &Versions) -> Result<String, String> {
    let (Some(Merged::Clean(text) | Merged::Overlaps { text, .. }), Some(mine), Some(theirs)) = (
        &versions.merged,
        versions.mine.side.text(),
        versions.theirs.side.text(),
    ) else {
        return Err("one of the versions is no text: nothing was merged".to_owned());
    };
    let failed = |error: io::Error| format!("no files for the versions: {error}");
    let folder = tempfile::Builder::new()
        .prefix("ashore-")
        .tempdir()
        .map_err(failed)?;
    let ending = ending(versions.path.as_str());
    let file = |name: &str| folder.path().join(format!("{name}{ending}"));
    let base = versions.base.side.text().unwrap_or_default();
    let files = [
        ("BASE", file("base"), base),
        ("LOCAL", file("yours"), mine),
        ("REMOTE", file("theirs"), theirs),
        ("MERGED", file("merged"), text),
    ];
    for (_, at, text) in &files {
        write(at, text).map_err(failed)?;
    }
    // On its terminal Ctrl+C is a signal to everybody, and means that program.
    let _interrupts = signal(SignalKind::interrupt());
    let _quits = signal(SignalKind::quit());
    let ended = Command::new("/bin/sh")
        .args(["-c", tool])
        .envs(files.iter().map(|(name, at, _)| (name, at)))
        .status()
        .await
        .map_err(|error| format!("`{tool}` does not start: {error}"))?;
    let merged = file("merged");
    let left = read(&merged);
    let is_new = left.as_ref() != Ok(text);
    let refused = match left {
        Ok(left) if ended.success() && undecided(&left) == 0 => return Ok(left),
        Err(why) => why,
        Ok(_) if !ended.success() => format!("it ended with {ended}"),
        Ok(left) => match undecided(&left) {
            1 => "one place has both versions".to_owned(),
            many => format!("{many} places have both versions"),
        },
    };
    if !is_new {
        return Err(format!("nothing was merged: {refused}"));
    }
    let kept = folder.keep();
    let name = merged.file_name().unwrap_or_default();
    Err(format!(
        "nothing was merged: {refused}; what was written is kept in {}",
        kept.join(name).display()
    ))
}

/// Programs know by it how to colour the text.
fn ending(path: &str) -> String {
    let ending = Path::new(path)
        .extension()
        .and_then(|ending| ending.to_str());
    let plain = |ending: &&str| {
        ending.len() <= 10 && ending.chars().all(|char| char.is_ascii_alphanumeric())
    };
    ending
        .filter(plain)
        .map_or_else(String::new, |ending| format!(".{ending}"))
}

fn write(at: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(at)?
        .write_all(text.as_bytes())
}

fn read(at: &Path) -> Result<String, String> {
    let found = std::fs::metadata(at).map_err(|error| error.to_string())?;
    if found.len() > LIMIT {
        return Err("4 MiB is the most that is taken".to_owned());
    }
    let bytes = std::fs::read(at).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::merge::merge;
    use crate::mirror::show::Side;
    use crate::mirror::versions::Version;

    fn versions(base: &str, mine: &str, theirs: &str) -> Versions {
        let version = |text: &str| Version {
            side: Side::Text(text.into()),
            state: None,
            time: None,
        };
        Versions {
            path: "src/a.rs".parse().unwrap(),
            base: version(base),
            mine: version(mine),
            theirs: version(theirs),
            copy: None,
            merged: Some(merge(base, mine, theirs)),
        }
    }

    #[tokio::test]
    async fn what_the_program_leaves_is_the_merge_and_nothing_written_is_lost() {
        let table = [
            // What did not overlap is right as it is.
            (
                "a\nb\nc\n",
                "A\nb\nc\n",
                "a\nb\nC\n",
                "true",
                Ok("A\nb\nC\n"),
            ),
            (
                "a\n",
                "mine\n",
                "theirs\n",
                "cat \"$LOCAL\" \"$REMOTE\" \"$BASE\" > \"$MERGED\"",
                Ok("mine\ntheirs\na\n"),
            ),
            (
                "a\n",
                "mine\n",
                "theirs\n",
                "printf mine > \"$MERGED\"; test \"${MERGED##*.}\" = rs",
                Ok("mine"),
            ),
            (
                "a\n",
                "mine\n",
                "theirs\n",
                "true",
                Err("nothing was merged: one place has both versions"),
            ),
            (
                "a\n",
                "mine\n",
                "theirs\n",
                "false",
                Err("nothing was merged: it ended with exit status: 1"),
            ),
        ];
        for (base, mine, theirs, tool, want) in table {
            let found = combine(tool, &versions(base, mine, theirs)).await;
            assert_eq!(
                found,
                want.map(str::to_owned).map_err(str::to_owned),
                "{tool}"
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_taken_is_kept() {
        let half = versions("a\n", "mine\n", "theirs\n");
        let kept = [
            ("echo more >> \"$MERGED\"", "one place has both versions"),
            (
                "printf x > \"$MERGED\"; false",
                "it ended with exit status: 1",
            ),
            ("printf '\\377' > \"$MERGED\"", "it is no text"),
        ];
        for (tool, why) in kept {
            let told = combine(tool, &half).await.unwrap_err();
            let begins = format!("nothing was merged: {why}; what was written is kept in ");
            let place = told
                .strip_prefix(&begins)
                .unwrap_or_else(|| panic!("{told}"));
            assert!(Path::new(place).is_file(), "{place}");
            std::fs::remove_dir_all(Path::new(place).parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn only_a_plain_ending_is_taken_over() {
        for (path, want) in [
            ("a/b.rs", ".rs"),
            ("Makefile", ""),
            ("x.$(y)", ""),
            ("x.averylongending", ""),
        ] {
            assert_eq!(ending(path), want, "{path}");
        }
    }
}
