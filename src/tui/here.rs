//! A command of the user, run on this machine: nothing of it goes to the agent.
//!
//! A shell. Dropping what runs it ends the command with everything it has started.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::tui::event::{Event, Here, Said};

/// What it prints is read in pieces of this size at most, and not more often than this: a command that floods must
/// not keep the screen from its other work.
const PIECE: usize = 64 * 1024;
const PACE: Duration = Duration::from_millis(20);

/// No more than this can lie in a pipe: what comes after it was printed by something left running in the background.
const PIPE: usize = 64 * 1024;

/// The processes of a command that has not ended; they end when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Who was stopped must go on to hear that it ends.
            kill_process_group(group, Signal::TERM).ok();
            kill_process_group(group, Signal::CONT).ok();
        }
    }
}

/// Whoever hears of one command.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) number: u64,
    pub(crate) events: mpsc::Sender<Event>,
}

impl Listener {
    /// A screen that is gone hears nothing.
    async fn tell(&self, said: Said) {
        let number = self.number;
        self.events
            .send(Event::Here(Here { number, said }))
            .await
            .ok();
    }
}

/// Runs it to its end and tells what it prints. The last word is always [`Said::Ended`].
pub(crate) async fn run(command: &str, directory: &Path, listener: &Listener) {
    let words = match go(command, directory, listener).await {
        Ok(ended) => ended.code().map_or_else(
            || format!("ended by {ended}"),
            |code| format!("exit code {code}"),
        ),
        Err(error) => format!("does not start: {error}"),
    };
    listener.tell(Said::Ended(words)).await;
}

async fn go(command: &str, directory: &Path, listener: &Listener) -> std::io::Result<ExitStatus> {
    let (mut reader, mut child, mut group) = start(command, directory)?;
    let mut text = Text::default();
    let mut piece = vec![0; PIECE];
    let ended = loop {
        tokio::select! {
            read = reader.read(&mut piece) => match read? {
                0 => break child.wait().await?,
                count => {
                    listener.tell(Said::Printed(text.more(&piece[..count]))).await;
                    tokio::time::sleep(PACE).await;
                }
            },
            ended = child.wait() => break ended?,
        }
    };
    group.0 = None;
    let mut left = PIPE;
    while left > 0
        && let Ok(Ok(count @ 1..)) = timeout(PACE, reader.read(&mut piece[..left])).await
    {
        left -= count;
        let printed = text.more(&piece[..count]);
        listener.tell(Said::Printed(printed)).await;
    }
    listener.tell(Said::Printed(text.rest())).await;
    Ok(ended)
}

/// Bytes that become text where a character is whole.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn more(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.0) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            // All of it, or something in it is no text at all.
            Ok(_) | Err(_) => self.0.len(),
        };
        String::from_utf8_lossy(&self.0.drain(..whole).collect::<Vec<u8>>()).into_owned()
    }

    fn rest(self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

fn start(
    command: &str,
    directory: &Path,
) -> std::io::Result<(pipe::Receiver, tokio::process::Child, Group)> {
    let (reader, writer) = std::io::pipe()?;
    let child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        // The terminal stays ours: a program that wants to ask there is stopped, and can be ended.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let reader = pipe::Receiver::from_owned_fd(reader.into())?;
    Ok((reader, child, Group(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(command: &str) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let (events, mut told) = mpsc::channel(1024);
        run(command, folder.path(), &Listener { number: 1, events }).await;
        let mut printed = String::new();
        while let Some(Event::Here(Here { number: 1, said })) = told.recv().await {
            match said {
                Said::Printed(text) => printed.push_str(&text),
                Said::Ended(words) => return (printed, words),
            }
        }
        panic!("it never ended")
    }

    #[tokio::test]
    async fn it_prints_and_ends_and_nothing_of_it_is_asked_or_kept() {
        let table = [
            ("echo out; echo err >&2", "out\nerr\n", "exit code 0"),
            ("cat; exit 3", "", "exit code 3"),
            ("printf '\\346\\274'; printf '\\242'", "漢", "exit code 0"),
            ("kill -KILL $$", "", "ended by signal: 9 (SIGKILL)"),
            ("sleep 2 & echo started", "started\n", "exit code 0"),
        ];
        for (command, printed, words) in table {
            let told = told(command).await;
            assert_eq!(told, (printed.to_owned(), words.to_owned()), "{command}");
        }
    }

    #[tokio::test]
    async fn what_goes_on_printing_in_the_background_does_not_keep_it_from_its_end() {
        let (printed, words) = told("yes & echo started").await;
        assert!(printed.contains("started"), "{}", printed.len());
        assert_eq!(words, "exit code 0");
    }
}
