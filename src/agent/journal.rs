//! The agent side's way into the journal: lines in order, in batches, each until the endpoint has accepted it.
//!
//! Every line goes through the spool file. A cut link only delays; a refusal ends the agent server.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::agent::road::Road;
use crate::agent::spool::{self, Paper, Spool, Unsent};
use crate::client::error::Error as ClientError;
use crate::mirror::blobs::{self, Blobs};
use crate::plant::planted;
use crate::protocol::hash::ContentHash;
use crate::protocol::line;

/// A line waits at most this long for others.
const BATCH_WAIT: Duration = Duration::from_millis(40);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Lines between the run and the spool.
const QUEUE: usize = 1024;

/// Why no more lines are taken, for good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    /// Another agent server has this run now, or nobody has.
    #[error("{0}")]
    Refused(ClientError),
    #[error(transparent)]
    Spool(#[from] spool::Error),
}

/// Where batches go; the endpoint, or a test.
#[async_trait::async_trait]
pub(crate) trait Append: Send + Sync {
    async fn append(&self, source: &str, first: u64, lines: &[String]) -> Result<(), ClientError>;
    async fn put(&self, whole: &Whole) -> Result<(), blobs::Error>;
    /// A number from 0 to 1.
    fn chance(&self) -> f64 {
        rand::random()
    }
}

#[async_trait::async_trait]
impl Append for Road {
    async fn append(&self, source: &str, first: u64, lines: &[String]) -> Result<(), ClientError> {
        let api = self.api();
        let answer = api.append(&self.at, source, first, lines).await;
        let answer = self.believe(&api, answer).await;
        if answer.as_ref().is_err_and(ClientError::is_passing) {
            self.look_again().await;
        }
        answer
    }

    async fn put(&self, whole: &Whole) -> Result<(), blobs::Error> {
        Blobs::put(self, whole.hash, whole.size, &whole.path).await
    }
}

/// The uncut form of a line that was too long, to be stored before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    hash: ContentHash,
    size: u64,
    path: PathBuf,
}

#[derive(Debug)]
struct Item {
    text: String,
    whole: Option<Whole>,
    /// Someone waits for it to be durable.
    urgent: bool,
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Journal {
    items: mpsc::Sender<Item>,
    stage: PathBuf,
    count: u64,
    durable: watch::Receiver<u64>,
}

/// The journal takes nothing any more; its task says why.
#[derive(Debug, thiserror::Error)]
#[error("the journal is closed")]
pub(crate) struct Closed;

/// Opens the journal: the writing end, and the task that must be driven.
pub(crate) fn open(
    append: Arc<dyn Append>,
    folder: &Path,
    source: String,
) -> (
    Journal,
    impl Future<Output = Result<(), Fatal>> + Send + 'static,
) {
    let path = folder.join("spool");
    let opening = async move { spool::open(&path).await };
    open_on(append, opening, folder, source)
}

/// The same, on any paper.
pub(crate) fn open_on(
    append: Arc<dyn Append>,
    opening: impl Future<Output = Result<Box<dyn Paper>, spool::Error>> + Send + 'static,
    folder: &Path,
    source: String,
) -> (
    Journal,
    impl Future<Output = Result<(), Fatal>> + Send + 'static,
) {
    let (items, queue) = mpsc::channel(QUEUE);
    let (reached, durable) = watch::channel(0);
    let journal = Journal {
        items,
        stage: folder.join("stage"),
        count: 0,
        durable,
    };
    let path = folder.join("spool");
    let task = async move {
        let mut paper = opening.await?;
        if let Some(unsent) = spool::unsent(&mut paper).await {
            send_unsent(append.as_ref(), unsent).await?;
        }
        let spool = Spool::begin(paper, &path, source).await?;
        Writer::new(append, spool, reached).run(queue).await
    };
    (journal, task)
}

impl Journal {
    /// Journals a message of ours.
    pub(crate) async fn write(&mut self, message: &Value) -> Result<(), Closed> {
        self.write_raw(message.to_string()).await
    }

    /// Journals a message as the JSON it is.
    pub(crate) async fn write_raw(&mut self, message: String) -> Result<(), Closed> {
        let (message, whole) = if message.len() > line::MAX_LINE - line::WRAPPER_ROOM {
            self.cut(message).await
        } else {
            (message, None)
        };
        // `{:.3}`: milliseconds always, as every writer of the period has it.
        let text = format!(
            r#"{{"type":"notification","timestamp":"{:.3}","notification":{message}}}"#,
            Timestamp::now()
        );
        // A line feed inside JSON stands between tokens only, where a blank does as well.
        let text = if text.contains(['\n', '\r']) {
            text.replace(['\n', '\r'], " ")
        } else {
            text
        };
        let item = Item {
            text,
            whole,
            urgent: false,
        };
        self.items.send(item).await.map_err(|_| Closed)?;
        self.count += 1;
        Ok(())
    }

    /// The number of the last line; `is_durable` of it tells when all up to there are accepted.
    pub(crate) async fn mark(&mut self) -> Result<u64, Closed> {
        self.hurry().await?;
        Ok(self.count)
    }

    /// What has been written waits for no more lines.
    pub(crate) async fn hurry(&mut self) -> Result<(), Closed> {
        let nudge = Item {
            text: String::new(),
            whole: None,
            urgent: true,
        };
        self.items.send(nudge).await.map_err(|_| Closed)
    }

    /// Waits until the line of this number is accepted.
    pub(crate) fn durable(&self, number: u64) -> impl Future<Output = Result<(), Closed>> + use<> {
        let mut durable = self.durable.clone();
        async move {
            let reached = durable.wait_for(|reached| *reached >= number).await;
            reached.map(|_| ()).map_err(|_| Closed)
        }
    }

    /// False when the link is cut and the spool is full: then nothing more should be made.
    pub(crate) fn has_room(&self) -> bool {
        self.items.capacity() > QUEUE / 4
    }

    pub(crate) fn room(&self) -> impl Future<Output = ()> + use<> {
        let items = self.items.clone();
        async move {
            drop(items.reserve_many(QUEUE / 2).await);
        }
    }

    /// Resolves when nothing is taken any more.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let items = self.items.clone();
        async move { items.closed().await }
    }

    async fn cut(&self, message: String) -> (String, Option<Whole>) {
        let hash = ContentHash::of(message.as_bytes());
        let path = self.stage.join(format!("line-{hash}"));
        let size = message.len() as u64;
        let Ok(value) = serde_json::from_str::<Value>(&message) else {
            return (
                line::note("a line that was no JSON was dropped").to_string(),
                None,
            );
        };
        let (mut value, _) = line::fit(value, line::MAX_LINE - line::WRAPPER_ROOM);
        let stored = tokio::fs::write(&path, message).await;
        if let Err(error) = stored {
            tracing::warn!(%error, "the whole of a long line could not be kept");
            return (value.to_string(), None);
        }
        line::name_blob(&mut value, hash);
        (value.to_string(), Some(Whole { hash, size, path }))
    }
}

struct Writer {
    append: Arc<dyn Append>,
    spool: Spool,
    reached: watch::Sender<u64>,
    /// Numbers of lines whose whole form must be stored first.
    wholes: Vec<(u64, Whole)>,
    taken: u64,
    accepted: u64,
    /// When to post what is there.
    due: Option<Instant>,
    failures: u32,
    most: usize,
}

type Posted = (u64, usize, Result<(), ClientError>);

impl Writer {
    fn new(append: Arc<dyn Append>, spool: Spool, reached: watch::Sender<u64>) -> Self {
        Self {
            append,
            spool,
            reached,
            wholes: Vec::new(),
            taken: 0,
            accepted: 0,
            due: None,
            failures: 0,
            most: usize::MAX,
        }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Item>) -> Result<(), Fatal> {
        let mut posting = FuturesUnordered::new();
        let mut items = Vec::new();
        let mut open = true;
        while open || !self.spool.is_empty() {
            let due = self.due.unwrap_or_else(Instant::now);
            tokio::select! {
                // Not by chance, so that a seed of the simulation repeats: what leads to a POST goes first.
                biased;
                Some(posted) = posting.next() => self.posted(posted).await?,
                () = sleep_until(due), if self.due.is_some() && posting.is_empty() => {
                    self.due = None;
                    if !self.spool.is_empty() {
                        let post = self.post().await?;
                        posting.push(post);
                    }
                }
                taken = queue.recv_many(&mut items, QUEUE), if open && !self.spool.is_full() => {
                    open = taken > 0;
                    self.take(&mut items, open).await?;
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, items: &mut Vec<Item>, open: bool) -> Result<(), Fatal> {
        let mut urgent = !open;
        let mut lines = Vec::with_capacity(items.len());
        for item in items.drain(..) {
            urgent |= item.urgent;
            if !item.text.is_empty() {
                self.taken += 1;
                self.wholes
                    .extend(item.whole.map(|whole| (self.taken, whole)));
                lines.push(item.text);
            }
        }
        if !lines.is_empty() {
            self.spool.append(&lines).await?;
        }
        // A retry that stands out keeps its time, whatever comes.
        if self.failures == 0 && !self.spool.is_empty() {
            let now = Instant::now();
            let due = if urgent || self.spool.is_much() {
                now
            } else {
                now + BATCH_WAIT
            };
            self.due = Some(self.due.map_or(due, |before| before.min(due)));
        }
        Ok(())
    }

    async fn post(&mut self) -> Result<impl Future<Output = Posted> + use<>, Fatal> {
        let (first, lines) = self.spool.batch(self.most).await?;
        let last = first + lines.len() as u64 - 1;
        let wholes: Vec<Whole> = self
            .wholes
            .iter()
            .filter(|(number, _)| *number <= last)
            .map(|(_, whole)| whole.clone())
            .collect();
        let append = Arc::clone(&self.append);
        let source = self.spool.source().to_owned();
        Ok(async move {
            for whole in &wholes {
                match append.put(whole).await {
                    Err(blobs::Error::Unreachable(text)) => {
                        let cut = Err(ClientError::Unreachable { text });
                        return (first, lines.len(), cut);
                    }
                    // The cut line is better than none.
                    Err(error) => tracing::warn!(%error, "the whole of a long line is not stored"),
                    Ok(()) => (),
                }
            }
            let answer = append.append(&source, first, &lines).await;
            (first, lines.len(), answer)
        })
    }

    async fn posted(&mut self, (first, count, answer): Posted) -> Result<(), Fatal> {
        let now = Instant::now();
        match answer {
            Ok(()) => {
                self.failures = 0;
                self.most = usize::MAX;
                self.forget(first, count).await?;
                self.due = (!self.spool.is_empty()).then_some(now);
            }
            Err(error) if error.is_passing() => {
                self.failures = self.failures.saturating_add(1);
                tracing::debug!(%error, failures = self.failures, "a batch was not accepted");
                self.due = Some(now + wait(self.failures, self.append.chance()));
            }
            Err(error @ ClientError::Rejected { status, .. }) if status != 409 => {
                tracing::warn!(%error, count, "the endpoint does not take these lines");
                if count > 1 {
                    self.most = count / 2;
                } else {
                    // One line that it will never take must not stand in the way of all others.
                    self.forget(first, count).await?;
                }
                self.due = Some(now);
            }
            Err(error) => return Err(Fatal::Refused(error)),
        }
        Ok(())
    }

    async fn forget(&mut self, first: u64, count: usize) -> Result<(), Fatal> {
        self.accepted = first + count as u64 - 1;
        for (_, whole) in self.wholes.extract_if(.., |(n, _)| *n <= self.accepted) {
            drop(tokio::fs::remove_file(&whole.path).await);
        }
        self.spool.accepted(count).await?;
        self.reached.send_replace(self.accepted);
        Ok(())
    }
}

/// Doubles up to a cap, and varies so that many agent servers do not come back at once.
pub(crate) fn wait(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(LAST_RETRY).mul_f64(0.75 + jitter / 2.0)
}

/// Under their old name and numbers, so that those which did arrive are not stored twice.
async fn send_unsent(append: &dyn Append, mut unsent: Unsent) -> Result<(), Fatal> {
    if planted!(SpoolWithoutBatch) {
        unsent.source = uuid::Uuid::nil().to_string();
    }
    let mut left: VecDeque<&[String]> = unsent.lines.chunks(100).collect();
    let mut first = unsent.first;
    let mut failures = 0;
    while let Some(lines) = left.pop_front() {
        match append.append(&unsent.source, first, lines).await {
            Err(error) if error.is_passing() => {
                failures += 1;
                left.push_front(lines);
                tokio::time::sleep(wait(failures, append.chance())).await;
            }
            // Too much at once, or one line that it will never take: the others must not be lost with it.
            Err(ClientError::Rejected { status, .. }) if status != 409 && lines.len() > 1 => {
                let (head, tail) = lines.split_at(lines.len() / 2);
                left.push_front(tail);
                left.push_front(head);
            }
            Err(error) if !matches!(error, ClientError::Rejected { status, .. } if status != 409) =>
            {
                return Err(Fatal::Refused(error));
            }
            Ok(()) | Err(_) => {
                failures = 0;
                first += lines.len() as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tokio::task::JoinSet;

    use super::*;

    /// An endpoint that stores by source and number, and fails as told.
    #[derive(Default)]
    struct Endpoint {
        stored: Mutex<Vec<(String, u64, String)>>,
        failures: Mutex<Vec<(ClientError, bool)>>,
        batches: Mutex<Vec<usize>>,
    }

    #[async_trait::async_trait]
    impl Append for Endpoint {
        async fn append(
            &self,
            source: &str,
            first: u64,
            lines: &[String],
        ) -> Result<(), ClientError> {
            let failure = self.failures.lock().unwrap().pop();
            // Some failures are lost answers: the lines are there all the same.
            let stores = failure.as_ref().is_none_or(|(_, stored)| *stored);
            if stores {
                let mut stored = self.stored.lock().unwrap();
                for (line, number) in lines.iter().zip(first..) {
                    let last = stored
                        .iter()
                        .filter(|(s, ..)| s == source)
                        .map(|(_, n, _)| *n)
                        .max();
                    if last.is_none_or(|last| number > last) {
                        stored.push((source.to_owned(), number, line.clone()));
                    }
                }
                self.batches.lock().unwrap().push(lines.len());
            }
            failure.map_or(Ok(()), |(error, _)| Err(error))
        }

        async fn put(&self, whole: &Whole) -> Result<(), blobs::Error> {
            assert_eq!(std::fs::metadata(&whole.path).unwrap().len(), whole.size);
            Ok(())
        }
    }

    fn cut() -> ClientError {
        ClientError::Unreachable { text: "cut".into() }
    }

    fn numbers(endpoint: &Endpoint) -> Vec<i64> {
        let stored = endpoint.stored.lock().unwrap();
        let number =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["notification"]["n"].as_i64();
        stored
            .iter()
            .filter_map(|(_, _, line)| number(line))
            .collect()
    }

    struct Bench {
        folder: tempfile::TempDir,
        endpoint: Arc<Endpoint>,
    }

    impl Bench {
        fn new(failures: Vec<(ClientError, bool)>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("stage")).unwrap();
            let endpoint = Endpoint {
                failures: Mutex::new(failures),
                ..Endpoint::default()
            };
            Self {
                folder,
                endpoint: Arc::new(endpoint),
            }
        }

        fn open(&self, source: &str) -> (Journal, JoinSet<Result<(), Fatal>>) {
            let (journal, task) = open(self.endpoint.clone(), self.folder.path(), source.into());
            let mut tasks = JoinSet::new();
            tasks.spawn(task);
            (journal, tasks)
        }
    }

    #[tokio::test]
    async fn every_line_arrives_once_and_in_order_whatever_the_link_does() {
        let failures = vec![(cut(), true), (cut(), false), (cut(), true), (cut(), false)];
        let bench = Bench::new(failures);
        let (mut journal, mut tasks) = bench.open("me");
        for n in 0..3000 {
            journal.write(&json!({"n": n})).await.unwrap();
        }
        let mark = journal.mark().await.unwrap();
        journal.durable(mark).await.unwrap();
        drop(journal);
        tasks.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(numbers(&bench.endpoint), (0..3000).collect::<Vec<_>>());
        let batches = bench.endpoint.batches.lock().unwrap().len();
        assert!(batches < 100, "{batches} posts for 3000 lines");
    }

    #[tokio::test]
    async fn a_refusal_ends_the_journal_and_wakes_whoever_waits() {
        let refused = ClientError::Refused {
            status: 401,
            text: "revoked".into(),
        };
        let bench = Bench::new(vec![(refused, false)]);
        let (mut journal, mut tasks) = bench.open("me");
        journal.write(&json!({"n": 1})).await.unwrap();
        let mark = journal.mark().await.unwrap();
        assert!(journal.durable(mark).await.is_err());
        let fatal = tasks.join_next().await.unwrap().unwrap();
        assert!(matches!(fatal, Err(Fatal::Refused(_))));
    }

    #[tokio::test]
    async fn a_line_the_endpoint_never_takes_does_not_hold_up_the_others() {
        let no = || ClientError::Rejected {
            status: 413,
            text: "too large".into(),
        };
        let bench = Bench::new(vec![(no(), false), (no(), false), (no(), false)]);
        let (mut journal, _tasks) = bench.open("me");
        for n in 0..4 {
            journal.write(&json!({"n": n})).await.unwrap();
        }
        let mark = journal.mark().await.unwrap();
        journal.durable(mark).await.unwrap();
        assert_eq!(numbers(&bench.endpoint), [1, 2, 3]);
    }

    #[tokio::test]
    async fn what_a_killed_server_left_goes_first_under_its_old_name() {
        let bench = Bench::new(Vec::new());
        let path = bench.folder.path().join("spool");
        let mut spool = Spool::begin(spool::open(&path).await.unwrap(), &path, "old".into())
            .await
            .unwrap();
        let line = r#"{"notification":{"n":1}}"#.to_owned();
        spool.append(&[line]).await.unwrap();
        drop(spool);
        let (mut journal, _tasks) = bench.open("new");
        journal.write(&json!({"n": 2})).await.unwrap();
        let mark = journal.mark().await.unwrap();
        journal.durable(mark).await.unwrap();
        assert_eq!(numbers(&bench.endpoint), [1, 2]);
        assert_eq!(bench.endpoint.stored.lock().unwrap()[0].0, "old");
    }

    #[tokio::test]
    async fn left_lines_that_are_too_many_for_one_post_are_sent_in_smaller_ones() {
        let too_large = || ClientError::Rejected {
            status: 413,
            text: "too large".into(),
        };
        let bench = Bench::new(vec![(too_large(), false), (too_large(), false)]);
        let path = bench.folder.path().join("spool");
        let mut spool = Spool::begin(spool::open(&path).await.unwrap(), &path, "old".into())
            .await
            .unwrap();
        let line = |n| format!(r#"{{"notification":{{"n":{n}}}}}"#);
        let lines: Vec<String> = (0..50).map(line).collect();
        spool.append(&lines).await.unwrap();
        drop(spool);
        let (journal, mut tasks) = bench.open("new");
        drop(journal);
        tasks.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(numbers(&bench.endpoint), (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_cut_and_names_the_blob_that_has_it_whole() {
        let bench = Bench::new(Vec::new());
        let (mut journal, _tasks) = bench.open("me");
        let message =
            json!({"jsonrpc": "2.0", "method": "m", "params": {"text": "x".repeat(400_000)}})
                .to_string();
        let hash = ContentHash::of(message.as_bytes());
        journal.write_raw(message).await.unwrap();
        let mark = journal.mark().await.unwrap();
        journal.durable(mark).await.unwrap();
        let stored = bench.endpoint.stored.lock().unwrap();
        assert!(stored[0].2.len() <= line::MAX_LINE);
        let line: Value = serde_json::from_str(&stored[0].2).unwrap();
        assert_eq!(
            line["notification"]["params"]["_meta"]["ashore"]["blobs"][0],
            json!(hash)
        );
    }

    #[test]
    fn waiting_doubles_up_to_a_cap() {
        assert_eq!(wait(1, 0.5), FIRST_RETRY);
        assert_eq!(wait(3, 0.5), FIRST_RETRY * 4);
        assert_eq!(wait(u32::MAX, 0.5), LAST_RETRY);
    }
}
