//! A program of the user's that is given a text: to keep it as the clipboard does, or to show it.
//!
//! A shell. What an agent has said is its input, one argument or one variable, and never part of a command line.

use std::io::{Read, Seek};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::tui::view::text::{clean_line, fit};

/// So long a program may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The argument that the message takes the place of.
const PLACE: &str = "{}";
/// Columns of what a program complained of.
const COMPLAINT: usize = 120;

/// How the text reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<'a> {
    /// On its standard input.
    Input(&'a str),
    /// In `ASHORE_MESSAGE`, and in the place of every argument `{}`.
    Message(&'a str),
}

/// Runs it to its end, which must be a good one; else says what went wrong. What it leaves running stays.
pub async fn give(command: &[String], given: Given<'_>) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        return Err("no program is named".to_owned());
    };
    let refused = |error: std::io::Error| format!("{program} cannot be started: {error}");
    // Not a pipe: who goes on in the background, as a clipboard's program does, would hold it open.
    let mut log = tempfile::tempfile().map_err(refused)?;
    let errors = log.try_clone().map_err(refused)?;
    let mut child = started(program, arguments, given, errors).map_err(refused)?;
    match timeout(PATIENCE, ended(&mut child, given)).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(program, status, &mut log)),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Err(_) => {
            child.kill().await.ok();
            let seconds = PATIENCE.as_secs();
            Err(format!("{program} did not end within {seconds} s"))
        }
    }
}

fn started(
    program: &str,
    arguments: &[String],
    given: Given,
    errors: std::fs::File,
) -> std::io::Result<Child> {
    let mut run = Command::new(program);
    match given {
        Given::Input(_) => {
            run.args(arguments).stdin(Stdio::piped());
        }
        Given::Message(text) => {
            let text = argument(text);
            let filled = arguments.iter().map(|one| match one.as_str() {
                PLACE => text.as_str(),
                other => other,
            });
            run.args(filled)
                .env("ASHORE_MESSAGE", &text)
                .stdin(Stdio::null());
        }
    }
    // A key that is meant for the screen ends none of what it leaves running.
    run.stdout(Stdio::null())
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// One line that is no option, whatever was said.
fn argument(text: &str) -> String {
    let text = clean_line(text).replace('\0', " ");
    match text.starts_with('-') {
        true => format!(" {text}"),
        false => text,
    }
}

async fn ended(child: &mut Child, given: Given<'_>) -> std::io::Result<ExitStatus> {
    if let (Given::Input(text), Some(mut input)) = (given, child.stdin.take()) {
        // Who does not read it all says with its end whether that is well.
        input.write_all(text.as_bytes()).await.ok();
    }
    child.wait().await
}

fn failed(program: &str, status: ExitStatus, log: &mut std::fs::File) -> String {
    let how = match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    };
    let mut said = Vec::new();
    let read = log
        .rewind()
        .and_then(|()| log.take(4096).read_to_end(&mut said));
    let said = String::from_utf8_lossy(&said).into_owned();
    let first = said.lines().find(|line| !line.trim().is_empty());
    match (read, first) {
        (Ok(_), Some(line)) => {
            let line = fit(&clean_line(line.trim()), COMPLAINT);
            format!("{program} failed ({how}): {line}")
        }
        _ => format!("{program} failed ({how})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// A script of the user's; `$1` is a file.
    fn script(text: &str, file: &std::path::Path) -> Vec<String> {
        words(&["sh", "-c", text, "script", &file.display().to_string()])
    }

    #[tokio::test]
    async fn the_text_arrives_whole_and_the_end_decides() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kept");
        let text = "a\u{1b}]52;c;x\u{7}\n$(touch stolen) `id`\n".repeat(20_000);
        let keep = script("cat > \"$1\"", &file);
        assert_eq!(give(&keep, Given::Input(&text)).await, Ok(()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        // One that reads nothing and is content; one that complains.
        assert_eq!(give(&words(&["true"]), Given::Input(&text)).await, Ok(()));
        let complains = words(&["sh", "-c", "echo \"no display\" >&2; exit 3"]);
        assert_eq!(
            give(&complains, Given::Input("x")).await,
            Err("sh failed (exit code 3): no display".to_owned())
        );
        let missing = give(&words(&["no-such-program-here"]), Given::Input("x")).await;
        assert!(missing.unwrap_err().contains("cannot be started"));
        assert!(give(&[], Given::Input("x")).await.is_err());
    }

    #[tokio::test]
    async fn who_goes_on_in_the_background_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // It keeps everything that it was given open, as the program of a clipboard does.
        let stays = script("sleep 600 & echo $! > \"$1\"", &pid);
        assert_eq!(give(&stays, Given::Input("x")).await, Ok(()));
        let pid: i32 = std::fs::read_to_string(&pid)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let kill = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        assert_eq!(kill, Ok(()), "it still runs");
    }

    #[tokio::test]
    async fn a_message_is_one_argument_and_one_variable_whatever_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shown");
        let shows = "printf '%s|%s|%s' \"$#\" \"$2\" \"$ASHORE_MESSAGE\" > \"$1\"";
        for (text, told) in [
            ("done: $(id); `id`", "done: $(id); `id`"),
            ("--help me", " --help me"),
            ("two\nlines\u{1b}[2J", "two lines␛[2J"),
        ] {
            let command = [script(shows, &file), words(&["{}"])].concat();
            assert_eq!(give(&command, Given::Message(text)).await, Ok(()));
            let shown = std::fs::read_to_string(&file).unwrap();
            assert_eq!(shown, format!("2|{told}|{told}"));
        }
    }
}
