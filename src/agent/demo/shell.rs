//! Runs one shell command for `/run`, in a process group of its own that never outlives the call.
//!
//! It keeps the last part of what the command prints, within a bound, and tells it while it grows.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::agent::demo::stage::Stage;
use crate::agent::demo::wire;

/// The most that is kept of the output; the front is dropped.
const MOST_OUTPUT: usize = 48 * 1024;
/// How long to wait for the pipes after the shell has gone: something it left behind may hold them open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Kills a whole process group when it goes out of scope: at the end, on cancel, on any way out.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // An empty group is no failure.
            rustix::process::kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

/// What a command printed, its end kept.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    dropped: usize,
}

impl Output {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        if let Some(over) = self
            .bytes
            .len()
            .checked_sub(MOST_OUTPUT)
            .filter(|over| *over > 0)
        {
            self.bytes.drain(..over);
            self.dropped += over;
        }
    }

    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        match self.dropped {
            0 => text.into_owned(),
            dropped => format!("… {dropped} bytes before this are left out\n{text}"),
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) output: Output,
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
}

/// Runs `sh -c command`. The output so far is shown on the tool call, at most twenty times a second.
pub(crate) async fn run(
    cwd: &Path,
    command: &str,
    call: Option<(&Stage, &str)>,
) -> std::io::Result<Ended> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let _group = Group(leader);
    let (pieces, mut printed) = mpsc::channel(16);
    // Dropped with this call, and the pipes with it.
    let mut readers = tokio::task::JoinSet::new();
    if let Some(pipe) = child.stdout.take() {
        readers.spawn(read(pipe, pieces.clone()));
    }
    if let Some(pipe) = child.stderr.take() {
        readers.spawn(read(pipe, pieces));
    }
    let mut output = Output::default();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut fresh = false;
    let mut open = true;
    let status = loop {
        tokio::select! {
            piece = printed.recv(), if open => match piece {
                Some(piece) => { output.push(&piece); fresh = true; }
                None => open = false,
            },
            _ = ticks.tick(), if fresh => {
                fresh = false;
                if let Some((stage, id)) = call {
                    stage.show(id, vec![wire::text_content(&output.text())]).await;
                }
            }
            status = child.wait() => break status?,
        }
    };
    let deadline = tokio::time::Instant::now() + LAST_WORDS;
    while let Ok(Some(piece)) = tokio::time::timeout_at(deadline, printed.recv()).await {
        output.push(&piece);
    }
    Ok(Ended {
        output,
        code: status.code(),
    })
}

async fn read(mut pipe: impl AsyncRead + Unpin, pieces: mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = pipe.read(&mut buffer).await {
        if count == 0 || pieces.send(buffer[..count].to_vec()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_and_exit_code_come_back() {
        let ended = run(Path::new("/"), "printf out; printf err >&2; exit 7", None)
            .await
            .expect("runs");
        assert_eq!(ended.code, Some(7));
        let text = ended.output.text();
        assert!(text.contains("out") && text.contains("err"), "{text}");
    }

    #[tokio::test]
    async fn a_flood_keeps_its_end_within_the_bound() {
        let ended = run(Path::new("/"), "seq 1 40000", None)
            .await
            .expect("runs");
        let text = ended.output.text();
        assert!(
            text.len() < MOST_OUTPUT + 100 && text.ends_with("\n40000\n"),
            "{}",
            text.len()
        );
    }

    #[tokio::test]
    async fn what_the_shell_leaves_behind_does_not_hold_the_call() {
        let ended = run(Path::new("/"), "sleep 1000 & echo $!", None)
            .await
            .expect("runs");
        let pid: i32 = ended.output.text().trim().parse().expect("a pid");
        // Killed with the group. It is not our child, so a zombie may be seen until its new parent looks.
        let path = format!("/proc/{pid}/stat");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while std::fs::read_to_string(&path).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(tokio::time::Instant::now() < deadline, "still alive");
            tokio::task::yield_now().await;
        }
    }
}
