//! One file per run, one line per entry; many appends share one sync.
//!
//! Submitting puts lines in a queue and, unless one is already on its way, sends a writer to a blocking thread; the
//! writer takes all that is queued, writes it with one call and syncs once. A file that failed to write is cut back
//! to what was durable and refuses everything until it is opened again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::backend::log::ground::{Disk, Folder, Ground};
use crate::backend::log::{Error, Lines, Log, Ticket};
use crate::plant::planted;
use crate::protocol::ids::{RunId, Seq};

/// Bytes between two marks of the index, and the size of one read.
const STRIDE: u64 = 64 * 1024;
/// How many bytes of the newest lines are kept for followers, which nearly always want just these.
const TAIL: usize = 256 * 1024;

/// When an append counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// After a sync that all waiting appends share.
    #[default]
    Group,
    /// After the write: the kernel's page cache must survive, the process need not.
    Never,
}

/// The logs of all runs, in one folder.
pub struct FileLog {
    ground: Arc<dyn Ground>,
    fsync: Fsync,
    syncs: Arc<AtomicU64>,
}

impl FileLog {
    pub fn new(folder: PathBuf, fsync: Fsync) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self::on(Arc::new(Folder(folder)), fsync))
    }

    /// On any ground.
    pub fn on(ground: Arc<dyn Ground>, fsync: Fsync) -> Self {
        Self {
            ground,
            fsync,
            syncs: Arc::default(),
        }
    }

    /// How many group commits there were; for the metrics and for tests of the joining.
    pub fn syncs(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.syncs)
    }
}

fn name(run: &RunId) -> String {
    format!("{run}.ndjson")
}

/// Does slow work apart and waits for what comes of it.
async fn apart<T: Send + 'static>(
    ground: &dyn Ground,
    what: &'static str,
    run: &RunId,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let (done, answer) = oneshot::channel();
    // Whoever asked may have gone away meanwhile.
    ground.later(Box::new(move || drop(done.send(work()))));
    match answer.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => Err(failed(what, run, &cause)),
        Err(cause) => Err(failed(what, run, &cause)),
    }
}

#[async_trait::async_trait]
impl Log for FileLog {
    async fn open(&self, run: &RunId) -> Result<Arc<dyn Lines>, Error> {
        let opened = {
            let (ground, run) = (Arc::clone(&self.ground), run.clone());
            let (fsync, syncs) = (self.fsync, Arc::clone(&self.syncs));
            move || Shared::open(ground, run, fsync, syncs)
        };
        let shared = apart(self.ground.as_ref(), "open", run, opened).await?;
        Ok(Arc::new(FileLines(Arc::new(shared))))
    }

    async fn remove(&self, run: &RunId) -> Result<(), Error> {
        let (ground, name) = (Arc::clone(&self.ground), name(run));
        let removed = move || ground.remove(&name);
        apart(self.ground.as_ref(), "remove", run, removed).await
    }
}

struct FileLines(Arc<Shared>);

struct Shared {
    run: RunId,
    ground: Arc<dyn Ground>,
    file: Arc<dyn Disk>,
    fsync: Fsync,
    syncs: Arc<AtomicU64>,
    queue: Mutex<Queue>,
    /// Who holds it writes. It guards the newest lines too, since only the writer adds to them.
    writing: Mutex<()>,
    tail: Mutex<Tail>,
    durable: Mutex<Durable>,
    /// Rings when that has changed.
    news: Notify,
}

#[derive(Default)]
struct Queue {
    lines: Vec<Bytes>,
    /// The number of the last submitted line, and where the file ends behind it.
    last: u64,
    end: u64,
    /// (lines before, offset), about every `STRIDE` bytes.
    marks: Vec<(u64, u64)>,
    /// A writer is on its way and has not taken the queue yet.
    sent_for: bool,
    broken: bool,
}

#[derive(Default)]
struct Tail {
    lines: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the newest of them.
    last: u64,
}

#[derive(Clone)]
struct Durable {
    last: u64,
    end: u64,
    broken: Option<Error>,
}

/// A panic elsewhere leaves these in a sound state: they are changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(what: &'static str, run: &RunId, cause: &dyn std::fmt::Display) -> Error {
    Error {
        what,
        run: run.clone(),
        cause: cause.to_string(),
    }
}

impl Queue {
    fn push(&mut self, lines: Vec<Bytes>) {
        for line in lines {
            debug_assert!(!line.contains(&b'\n'), "one entry is one line");
            self.end += line.len() as u64 + 1;
            self.last += 1;
            self.mark();
            self.lines.push(line);
        }
    }

    fn mark(&mut self) {
        let newest = self.marks.last().map_or(0, |(_, offset)| *offset);
        if self.end - newest >= STRIDE {
            self.marks.push((self.last, self.end));
        }
    }

    /// The nearest place at or before the line behind `after`.
    fn place(&self, after: u64) -> (u64, u64) {
        let behind = self.marks.partition_point(|(lines, _)| *lines <= after);
        behind
            .checked_sub(1)
            .map_or((0, 0), |index| self.marks[index])
    }
}

impl Tail {
    fn push(&mut self, lines: Vec<Bytes>) {
        for line in lines {
            self.bytes += line.len();
            self.last += 1;
            self.lines.push_back(line);
        }
        while self.bytes > TAIL {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
        }
    }

    /// The lines behind `after`, unless some of them are gone from memory.
    fn read(&self, after: u64, most: usize) -> Option<Vec<Bytes>> {
        let wanted = usize::try_from(self.last.checked_sub(after)?).ok()?;
        let first = self.lines.len().checked_sub(wanted)?;
        let mut taken = 0;
        let mut lines = Vec::new();
        for line in self.lines.range(first..) {
            taken += line.len();
            lines.push(line.clone());
            if taken >= most {
                break;
            }
        }
        Some(lines)
    }
}

impl Shared {
    fn open(
        ground: Arc<dyn Ground>,
        run: RunId,
        fsync: Fsync,
        syncs: Arc<AtomicU64>,
    ) -> std::io::Result<Self> {
        let file = ground.open(&name(&run))?;
        let queue = scan(file.as_ref())?;
        if file.length()? > queue.end && !planted!(TornTailKept) {
            file.set_len(queue.end)?;
        }
        // What a killed endpoint has written and not synced counts as durable from here on.
        file.sync()?;
        Ok(Self {
            run,
            ground,
            file,
            fsync,
            syncs,
            tail: Mutex::new(Tail {
                last: queue.last,
                ..Tail::default()
            }),
            durable: Mutex::new(Durable {
                last: queue.last,
                end: queue.end,
                broken: None,
            }),
            news: Notify::new(),
            queue: Mutex::new(queue),
            writing: Mutex::new(()),
        })
    }

    /// Writes and syncs all that is queued. Runs on a blocking thread, to its end.
    fn write(&self) {
        let _writing = lock(&self.writing);
        let (lines, last, end) = {
            let mut queue = lock(&self.queue);
            queue.sent_for = false;
            (std::mem::take(&mut queue.lines), queue.last, queue.end)
        };
        if lines.is_empty() {
            return;
        }
        match self.put(&lines) {
            Ok(()) => {
                lock(&self.tail).push(lines);
                {
                    let mut durable = lock(&self.durable);
                    (durable.last, durable.end) = (last, end);
                }
                self.news.notify_waiters();
            }
            Err(cause) => self.give_up(&cause),
        }
    }

    fn put(&self, lines: &[Bytes]) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        self.file.append(&bytes)?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        match self.fsync {
            Fsync::Group if planted!(AckBeforeFsync) => Ok(()),
            Fsync::Group => self.file.sync(),
            Fsync::Never => Ok(()),
        }
    }

    fn give_up(&self, cause: &std::io::Error) {
        let mut queue = lock(&self.queue);
        queue.broken = true;
        queue.lines.clear();
        let error = failed("write", &self.run, cause);
        tracing::error!(%error, "the journal is cut back to its last durable line");
        // If this fails too, the next opener finds the torn line and cuts it.
        if let Err(cause) = self.file.set_len(lock(&self.durable).end) {
            tracing::error!(%cause, "cannot cut the journal back");
        }
        lock(&self.durable).broken = Some(error);
        self.news.notify_waiters();
    }

    fn read(&self, after: u64, most: usize) -> std::io::Result<Vec<Bytes>> {
        let end = lock(&self.durable).end;
        let (lines, mut offset) = lock(&self.queue).place(after);
        let mut reader = LineReader {
            skip: after - lines,
            most,
            ..LineReader::default()
        };
        let mut piece = vec![0; usize::try_from(STRIDE).unwrap_or(usize::MAX)];
        while offset < end && !reader.is_full() {
            let size = piece
                .len()
                .min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            self.file.read_exact_at(&mut piece[..size], offset)?;
            reader.take(&piece[..size]);
            offset += size as u64;
        }
        Ok(reader.lines)
    }
}

/// Cuts pieces of a file into lines.
#[derive(Default)]
struct LineReader {
    skip: u64,
    most: usize,
    taken: usize,
    begun: Vec<u8>,
    lines: Vec<Bytes>,
}

impl LineReader {
    fn is_full(&self) -> bool {
        !self.lines.is_empty() && self.taken >= self.most
    }

    fn take(&mut self, piece: &[u8]) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', piece) {
            if self.skip > 0 {
                self.skip -= 1;
            } else {
                self.begun.extend_from_slice(&piece[start..end]);
                self.taken += self.begun.len();
                self.lines
                    .push(Bytes::from(std::mem::take(&mut self.begun)));
                if self.is_full() {
                    return;
                }
            }
            start = end + 1;
        }
        if self.skip == 0 {
            self.begun.extend_from_slice(&piece[start..]);
        }
    }
}

/// Counts the whole lines from the start. A line with a NUL byte was never written by us: after a power cut a file
/// system may show zeros where unsynced bytes should be. It and what follows was never acknowledged.
fn scan(file: &dyn Disk) -> std::io::Result<Queue> {
    let mut queue = Queue::default();
    let mut piece = vec![0; usize::try_from(STRIDE).unwrap_or(usize::MAX)];
    let length = file.length()?;
    let mut offset = 0;
    while offset < length {
        let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
        let size = piece.len().min(left);
        file.read_exact_at(&mut piece[..size], offset)?;
        let sound = memchr::memchr(0, &piece[..size]).unwrap_or(size);
        for end in memchr::memchr_iter(b'\n', &piece[..sound]) {
            queue.last += 1;
            queue.end = offset + end as u64 + 1;
            queue.mark();
        }
        if sound < size {
            break;
        }
        offset += size as u64;
    }
    Ok(queue)
}

#[async_trait::async_trait]
impl Lines for FileLines {
    fn submit(&self, lines: Vec<Bytes>) -> Ticket {
        let shared = Arc::clone(&self.0);
        let last = {
            let mut queue = lock(&shared.queue);
            if !queue.broken {
                queue.push(lines);
                if !queue.lines.is_empty() && !queue.sent_for {
                    queue.sent_for = true;
                    let writer = Arc::clone(&shared);
                    // It runs to its end whoever stops waiting: no line is forgotten half-way.
                    shared.ground.later(Box::new(move || writer.write()));
                }
            }
            queue.last
        };
        let durable = Box::pin(async move {
            loop {
                // It hears what rings from here on, so nothing is missed between the look and the wait.
                let news = shared.news.notified();
                let state = lock(&shared.durable).clone();
                match state.broken {
                    _ if state.last >= last => return Ok(()),
                    Some(error) => return Err(error),
                    None => news.await,
                }
            }
        });
        Ticket {
            last: Seq(last),
            durable,
        }
    }

    fn last(&self) -> Seq {
        Seq(lock(&self.0.durable).last)
    }

    async fn read_after(&self, after: Seq, most: usize) -> Result<Vec<Bytes>, Error> {
        if after >= self.last() {
            return Ok(Vec::new());
        }
        if let Some(lines) = lock(&self.0.tail).read(after.0, most) {
            return Ok(lines);
        }
        let shared = Arc::clone(&self.0);
        let read = move || shared.read(after.0, most);
        apart(self.0.ground.as_ref(), "read", &self.0.run, read).await
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(text: impl Into<String>) -> Bytes {
        Bytes::from(text.into())
    }

    async fn open(log: &FileLog) -> Arc<dyn Lines> {
        log.open(&"run".parse().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn appends_that_come_together_share_a_sync() {
        let folder = tempfile::tempdir().unwrap();
        let log = FileLog::new(folder.path().to_owned(), Fsync::Group).unwrap();
        let lines = open(&log).await;
        let tickets: Vec<_> = (0..200)
            .map(|n| lines.submit(vec![line(format!("{{\"n\":{n}}}"))]))
            .collect();
        for (n, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.last, Seq(n as u64 + 1));
            ticket.durable.await.unwrap();
        }
        assert_eq!(lines.last(), Seq(200));
        assert!(log.syncs().load(Ordering::Relaxed) < 100);
    }

    #[tokio::test]
    async fn a_torn_last_line_is_cut_and_its_number_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let log = FileLog::new(folder.path().to_owned(), Fsync::Group).unwrap();
        let path = folder.path().join("run.ndjson");
        for torn in ["{\"to", "{\"a\":1}\0\0\0\n"] {
            std::fs::File::create(&path)
                .unwrap()
                .write_all(format!("{{\"one\":1}}\n{torn}").as_bytes())
                .unwrap();
            let lines = open(&log).await;
            assert_eq!(lines.last(), Seq(1), "{torn:?}");
            lines.submit(vec![line("{}")]).durable.await.unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"one\":1}\n{}\n");
        }
    }

    #[tokio::test]
    async fn every_line_is_read_again_from_any_place_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let log = FileLog::new(folder.path().to_owned(), Fsync::Never).unwrap();
        let all: Vec<Bytes> = (0..500)
            .map(|n| line(format!("{n} {}", "x".repeat(n * 7 % 3000))))
            .collect();
        let lines = open(&log).await;
        lines.submit(all.clone()).durable.await.unwrap();
        let again = open(&log).await;
        for lines in [lines, again] {
            for after in [0, 1, 17, 250, 499] {
                let mut read = Vec::new();
                let mut at = Seq(after);
                loop {
                    let some = lines.read_after(at, 10_000).await.unwrap();
                    if some.is_empty() {
                        break;
                    }
                    at.0 += some.len() as u64;
                    read.extend(some);
                }
                assert_eq!(read, all[usize::try_from(after).unwrap()..]);
            }
            assert!(lines.read_after(Seq(9999), 1).await.unwrap().is_empty());
        }
    }
}
