//! The lines that the endpoint has not yet accepted, in an append-only file with a bound.
//!
//! The file is the queue: nothing else holds these lines, so a cut link costs disk and no memory, and what a killed
//! agent server had not sent is sent by the next one under its old name and numbers, which the endpoint knows.

use std::collections::VecDeque;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt};

/// Above this nothing more is taken until the endpoint has accepted what is there (design decision 6).
const LIMIT: u64 = 64 << 20;
/// Of one POST; the endpoint takes 1 MiB.
const BATCH_BYTES: usize = 512 * 1024;
const BATCH_LINES: usize = 1000;

/// The file the lines are kept in; the simulation has one that a power cut tears.
#[async_trait::async_trait]
pub(crate) trait Paper:
    AsyncRead + AsyncWrite + AsyncSeek + Unpin + Send + std::fmt::Debug
{
    async fn set_len(&mut self, length: u64) -> std::io::Result<()>;
}

#[async_trait::async_trait]
impl Paper for File {
    async fn set_len(&mut self, length: u64) -> std::io::Result<()> {
        Self::set_len(self, length).await
    }
}

/// First line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    source: String,
    first: u64,
}

/// What a former start could not send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsent {
    pub(crate) source: String,
    pub(crate) first: u64,
    pub(crate) lines: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot keep unsent lines in {path}")]
pub(crate) struct Error {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    file: Box<dyn Paper>,
    source: String,
    /// The number of the first unsent line.
    first: u64,
    /// In bytes: where the first unsent line starts, and where the file ends.
    sent: u64,
    end: u64,
    lengths: VecDeque<usize>,
}

/// Opens the file, makes it if need be.
pub(crate) async fn open(path: &Path) -> Result<Box<dyn Paper>, Error> {
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .await;
    match opened {
        Ok(file) => Ok(Box::new(file)),
        Err(source) => Err(Error {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Reads what is left of a former start. A torn last line was never whole and is dropped.
pub(crate) async fn unsent(paper: &mut Box<dyn Paper>) -> Option<Unsent> {
    let mut text = Vec::new();
    paper.take(2 * LIMIT).read_to_end(&mut text).await.ok()?;
    let whole = memchr::memrchr(b'\n', &text)? + 1;
    let text = String::from_utf8_lossy(&text[..whole]);
    let mut lines = text.lines();
    let head: Head = serde_json::from_str(lines.next()?).ok()?;
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    (!lines.is_empty()).then_some(Unsent {
        source: head.source,
        first: head.first,
        lines,
    })
}

impl Spool {
    /// Begins anew: what stood there before is gone.
    pub(crate) async fn begin(
        file: Box<dyn Paper>,
        path: &Path,
        source: String,
    ) -> Result<Self, Error> {
        let mut spool = Self {
            path: path.to_owned(),
            file,
            source,
            first: 1,
            sent: 0,
            end: 0,
            lengths: VecDeque::new(),
        };
        let started = spool.start_over().await;
        started.map_err(|source| spool.error(source))?;
        Ok(spool)
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn is_full(&self) -> bool {
        self.end >= LIMIT
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Enough for a POST of its own.
    pub(crate) fn is_much(&self) -> bool {
        self.end - self.sent >= BATCH_BYTES as u64 || self.lengths.len() >= BATCH_LINES
    }

    pub(crate) async fn append(&mut self, lines: &[String]) -> Result<(), Error> {
        let mut text = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        let written = self.write_at_end(text.as_bytes()).await;
        written.map_err(|source| self.error(source))?;
        self.end += text.len() as u64;
        self.lengths.extend(lines.iter().map(String::len));
        Ok(())
    }

    /// The first unsent lines, at most `most` of them, and the number of the first.
    pub(crate) async fn batch(&mut self, most: usize) -> Result<(u64, Vec<String>), Error> {
        let mut bytes = 0;
        let count = self
            .lengths
            .iter()
            .take(most.clamp(1, BATCH_LINES))
            .enumerate()
            .take_while(|(i, length)| {
                bytes += **length + 1;
                *i == 0 || bytes <= BATCH_BYTES
            })
            .count();
        let size: usize = self
            .lengths
            .iter()
            .take(count)
            .map(|length| length + 1)
            .sum();
        let read = self.read_at(self.sent, size).await;
        let text = read.map_err(|source| self.error(source))?;
        let text = String::from_utf8_lossy(&text);
        Ok((self.first, text.lines().map(str::to_owned).collect()))
    }

    /// The endpoint has the first `count` of them.
    pub(crate) async fn accepted(&mut self, count: usize) -> Result<(), Error> {
        for length in self.lengths.drain(..count.min(self.lengths.len())) {
            self.sent += length as u64 + 1;
            self.first += 1;
        }
        if self.lengths.is_empty() {
            let again = self.start_over().await;
            again.map_err(|source| self.error(source))?;
        }
        Ok(())
    }

    async fn start_over(&mut self) -> std::io::Result<()> {
        let head = Head {
            source: self.source.clone(),
            first: self.first,
        };
        let mut head = serde_json::to_vec(&head).unwrap_or_default();
        head.push(b'\n');
        self.file.set_len(0).await?;
        self.end = 0;
        self.write_at_end(&head).await?;
        self.end = head.len() as u64;
        self.sent = self.end;
        Ok(())
    }

    async fn write_at_end(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end)).await?;
        self.file.write_all(bytes).await?;
        self.file.flush().await
    }

    async fn read_at(&mut self, at: u64, size: usize) -> std::io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(at)).await?;
        let mut bytes = vec![0; size];
        self.file.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    fn error(&self, source: std::io::Error) -> Error {
        Error {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    async fn begin(path: &Path) -> Spool {
        let file = open(path).await.unwrap();
        Spool::begin(file, path, "me".into()).await.unwrap()
    }

    async fn left(path: &Path) -> Option<Unsent> {
        unsent(&mut open(path).await.unwrap()).await
    }

    #[tokio::test]
    async fn lines_leave_in_order_with_their_numbers_and_the_file_shrinks_when_all_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = begin(&path).await;
        spool.append(&lines(&["a", "b"])).await.unwrap();
        assert_eq!(spool.batch(1).await.unwrap(), (1, lines(&["a"])));
        spool.accepted(1).await.unwrap();
        spool.append(&lines(&["c"])).await.unwrap();
        assert_eq!(spool.batch(9).await.unwrap(), (2, lines(&["b", "c"])));
        spool.accepted(2).await.unwrap();
        assert!(spool.is_empty());
        assert_eq!(left(&path).await, None);
        spool.append(&lines(&["d"])).await.unwrap();
        assert_eq!(spool.batch(9).await.unwrap(), (4, lines(&["d"])));
    }

    #[tokio::test]
    async fn a_killed_servers_lines_are_found_again_but_for_a_torn_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = begin(&path).await;
        spool.append(&lines(&["a"])).await.unwrap();
        spool.accepted(1).await.unwrap();
        spool.append(&lines(&["b", "c"])).await.unwrap();
        spool.write_at_end(b"{\"torn").await.unwrap();
        drop(spool);
        let unsent = left(&path).await.unwrap();
        assert_eq!((unsent.first, unsent.lines), (2, lines(&["b", "c"])));
        assert_eq!(unsent.source, "me");
    }

    #[tokio::test]
    async fn a_batch_stays_below_the_body_limit_but_always_has_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = begin(&folder.path().join("spool")).await;
        let long = "x".repeat(BATCH_BYTES);
        spool
            .append(&[long.clone(), "y".into(), long.clone()])
            .await
            .unwrap();
        assert!(spool.is_much());
        assert_eq!(spool.batch(9).await.unwrap().1.len(), 1);
        spool.accepted(1).await.unwrap();
        assert_eq!(spool.batch(9).await.unwrap(), (2, lines(&["y"])));
    }
}
