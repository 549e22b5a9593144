//! Where the holder of a mirror answers `ashore mirror …`: one JSON line in, one JSON line out, over a local socket.
//!
//! The socket lies in a folder that only this user can enter. A line is bounded; what does not parse is answered with
//! a sentence. Decides nothing: the worker does.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::mirror::lock::{Holder, holders};
use crate::mirror::preview::{Preview, Scope};
use crate::mirror::status::{MirrorStatus, Way};
use crate::mirror::why::Told;
use crate::mirror::worker::Resume;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::RunId;
use crate::protocol::path::RelPath;

/// A longer line is no request.
const LONGEST_LINE: u64 = 64 << 10;
/// An answer holds every conflict.
const LONGEST_ANSWER: u64 = 16 << 20;
/// At once; others wait.
const TALKS: usize = 8;

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    Status,
    Pause,
    Resume {
        how: Resume,
    },
    /// Send what differs here now, and answer when the endpoint has it.
    Flush,
    /// Which way changes travel from now on; without a word: only say it.
    Direction {
        way: Option<Way>,
    },
    /// What an undo would do.
    Preview {
        scope: Scope,
    },
    Undo {
        scope: Scope,
        /// The preview that was said yes to.
        #[serde(default)]
        seen: Option<ContentHash>,
    },
    Conflicts,
    /// Whether a path is mirrored, and what keeps it out.
    Why {
        path: RelPath,
    },
    /// Try what is held again now, and answer when that is over; one that is named also where it is too large.
    Fetch {
        #[serde(default)]
        path: Option<RelPath>,
    },
    Resolve {
        path: RelPath,
        keep: Keep,
    },
}

/// Which side of a conflict stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    Mine,
    Theirs,
    /// Mine in place, and the copy of theirs stays where it is.
    Both,
    /// What both have changed, line by line; refused where they changed the same lines.
    Merge,
}

/// What the holder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub ok: bool,
    /// One sentence for the user.
    pub text: Option<String>,
    /// As it is now.
    pub status: MirrorStatus,
    /// To who asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// To who asked why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Told>,
}

/// A request, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// Serves the holder's socket until the receiver or the set is dropped.
pub(crate) fn serve(holder: &Holder, tasks: &mut JoinSet<()>) -> io::Result<mpsc::Receiver<Ask>> {
    let socket = &holder.socket;
    if let Some(folder) = socket.parent() {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    // Left by a holder that was killed; the lock says that it lives no more.
    if socket.exists() {
        std::fs::remove_file(socket)?;
    }
    let listener = UnixListener::bind(short(socket, &mut None)?)?;
    let (asks, receiver) = mpsc::channel(TALKS);
    tasks.spawn(accept(listener, asks));
    Ok(receiver)
}

/// A socket's path has room for about a hundred bytes; below an open folder every one is short enough.
fn short(socket: &Path, keep: &mut Option<std::fs::File>) -> io::Result<std::path::PathBuf> {
    if socket.as_os_str().len() < 100 {
        return Ok(socket.to_owned());
    }
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Ok(socket.to_owned());
    };
    let folder = keep.insert(std::fs::File::open(folder)?);
    let number = std::os::fd::AsRawFd::as_raw_fd(folder);
    Ok(Path::new("/proc/self/fd")
        .join(number.to_string())
        .join(name))
}

async fn accept(listener: UnixListener, asks: mpsc::Sender<Ask>) {
    let room = Arc::new(Semaphore::new(TALKS));
    let mut talks = JoinSet::new();
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        while talks.try_join_next().is_some() {}
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let asks = asks.clone();
                    talks.spawn(async move {
                        if let Err(error) = talk(stream, asks).await {
                            tracing::debug!(%error, "a talk with the mirror ended early");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "the mirror's socket");
                    return;
                }
            },
            () = asks.closed() => return,
        }
    }
}

async fn talk(mut stream: UnixStream, asks: mpsc::Sender<Ask>) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read.take(LONGEST_LINE));
    let mut line = String::new();
    read.read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => {
            let (reply, answer) = oneshot::channel();
            let sent = asks.send(Ask { request, reply }).await;
            let gone = || io::Error::other("the mirror ended");
            sent.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        }
        Err(error) => Answer {
            ok: false,
            text: Some(format!(
                "the mirror does not understand this request: {error}"
            )),
            status: MirrorStatus::default(),
            preview: None,
            why: None,
        },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Asks whoever mirrors this run here; `None` when nobody does.
pub async fn ask(mirrors: &Path, run: &RunId, request: &Request) -> Option<Answer> {
    let mirrors = mirrors.to_owned();
    let all = tokio::task::spawn_blocking(move || holders(&mirrors))
        .await
        .ok()?
        .ok()?;
    let holder = all.into_iter().find(|holder| &holder.run == run)?;
    ask_holder(&holder, request).await.ok()
}

/// Asks this holder.
pub async fn ask_holder(holder: &Holder, request: &Request) -> io::Result<Answer> {
    let mut folder = None;
    let mut stream = UnixStream::connect(short(&holder.socket, &mut folder)?).await?;
    let (read, mut write) = stream.split();
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    let mut text = String::new();
    BufReader::new(read.take(LONGEST_ANSWER))
        .read_line(&mut text)
        .await?;
    Ok(serde_json::from_str(&text)?)
}
