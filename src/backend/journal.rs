//! The only door for entries: append, durable, announce, in that order.
//!
//! Decides with the run's ledger whether a line is a repeat, too late or new, and gives it its place while nobody else
//! can; knows nothing of HTTP or of who may write.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, oneshot, watch};
use tokio::task::JoinSet;

use crate::backend::ledger::{self, Batch, Gone, Ledger, Queued, Standing};
use crate::backend::line::{BadLine, Draft};
use crate::backend::log::{self, Lines, Log, Ticket};
use crate::backend::router::Router;
use crate::plant::planted;
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::{Command, What};
use crate::protocol::ids::{CommandId, RunId, RunRef, Seq};
use crate::protocol::run::{Brief, Status};

/// Journals that nobody uses are closed when more than this many are open.
const OPEN: usize = 256;
/// How much of a journal is in memory while its ledger is rebuilt.
const PIECE: usize = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this run was removed")]
    Removed,
    #[error("the run was closed; start a new one")]
    Closed,
    #[error("the run has ended and cannot be started again; start a new one")]
    Over,
    #[error("the run has ended; a message starts it again")]
    Ended,
    #[error("this was already answered by {who}")]
    Answered { who: String },
    #[error("the agent has already taken this message")]
    Taken,
    #[error("this message was already removed")]
    Unqueued,
    #[error("no such message is waiting")]
    NotQueued,
    #[error("the message it is to stand before does not wait any more")]
    NotBefore,
    #[error(transparent)]
    Line(#[from] BadLine),
    #[error("cannot keep the whole of a line that had to be cut: {0}")]
    Whole(String),
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    New(Seq),
    /// It stands in the journal already, or is not for the journal.
    Before,
}

/// What became of an agent's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub last: Seq,
    /// Some of them were new.
    pub any: bool,
    /// A turn began (true) or ended (false) with these lines.
    pub turn: Option<bool>,
}

/// What a command may still expect of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Open,
    /// It has ended; a message starts it again.
    Restartable,
    Over,
}

/// May the sender's answers to permission requests count?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// All: a foreign agent with a user's token, or a policy that lets the agent side answer.
    Count,
    /// Only `_cancelled`; others are dropped, since a person is to answer.
    CancelOnly,
}

/// Where the whole of a line goes that was too long for the journal, so that those of its run can read it.
#[async_trait::async_trait]
pub trait Wholes: Send + Sync {
    async fn keep(&self, run: &RunId, whole: Bytes) -> Result<(), String>;
}

pub struct Journal {
    log: Arc<dyn Log>,
    router: Arc<dyn Router>,
    wholes: Arc<dyn Wholes>,
    books: Arc<Books>,
    /// Completions: each waits for its sync and announces, whoever stops waiting for the answer.
    completions: Mutex<JoinSet<()>>,
    lines: AtomicU64,
}

/// The open journals.
#[derive(Default)]
struct Books {
    open: Mutex<HashMap<RunId, Arc<OnceCell<Arc<Book>>>>>,
    removed: Mutex<HashSet<RunId>>,
}

/// One run's open journal.
struct Book {
    lines: Arc<dyn Lines>,
    ledger: Mutex<Ledger>,
}

/// Everything under these locks changes in single steps, so a panic elsewhere leaves them sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    pub fn new(log: Arc<dyn Log>, router: Arc<dyn Router>, wholes: Arc<dyn Wholes>) -> Self {
        Self {
            log,
            router,
            wholes,
            books: Arc::default(),
            completions: Mutex::default(),
            lines: AtomicU64::new(0),
        }
    }

    /// How many lines were appended since the start.
    pub fn appended(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// A JSON-RPC message of the endpoint's own, as one line with `"from":"endpoint"`. Returns once it is durable and announced.
    pub async fn append_endpoint(&self, at: &RunRef, message: Value) -> Result<Seq, Error> {
        let draft = self.keep(&at.run, endpoint_line(message)).await?;
        let book = self.book(&at.run).await?;
        let ticket = {
            let mut ledger = lock(&book.ledger);
            ledger.note(&draft.value);
            book.lines.submit(vec![draft.text.into()])
        };
        self.complete(at, book, ticket, 1).await
    }

    /// Says in the journal how the run stands: `_ashore/status`.
    pub async fn append_status(
        &self,
        at: &RunRef,
        status: &Status,
        message: Option<&str>,
    ) -> Result<Seq, Error> {
        let params = json!({"status": status, "message": message});
        self.append_endpoint(
            at,
            json!({"jsonrpc": "2.0", "method": "_ashore/status", "params": params}),
        )
        .await
    }

    /// Whole wrappers from an agent side (or a client's local run), in order; those sent before are skipped.
    pub async fn append_agent(
        &self,
        at: &RunRef,
        batch: Option<&Batch>,
        entries: &[Box<RawValue>],
        answers: Answers,
    ) -> Result<Appended, Error> {
        let mut drafts = Vec::with_capacity(entries.len());
        for entry in entries {
            drafts.push(self.keep(&at.run, Draft::sent(entry)?).await?);
        }
        let book = self.book(&at.run).await?;
        let (ticket, new, turn) = {
            let mut ledger = lock(&book.ledger);
            let before = ledger.standing().unanswered.len();
            let lines = admit(&mut ledger, batch, drafts, answers);
            let after = ledger.standing().unanswered.len();
            let turn = (before != after).then_some(after > 0);
            let new = lines.len();
            (book.lines.submit(lines), new, turn)
        };
        let last = self.complete(at, book, ticket, new).await?;
        Ok(Appended {
            last,
            any: new > 0,
            turn,
        })
    }

    /// A client's command: `body` is what it sent, `who` its name. Accepted once per id, for ever.
    pub async fn command(
        &self,
        at: &RunRef,
        command: &Command,
        body: &Value,
        who: &str,
        life: Life,
    ) -> Result<Accepted, Error> {
        if matches!(command.what, What::Presence { .. }) {
            return Ok(Accepted::Before);
        }
        // A number is a JSON-RPC library's counter, which starts again with each of its sessions: no key.
        let key = command.id.clone().filter(|_| body["id"].is_string());
        let id = key.clone().unwrap_or_else(CommandId::random);
        let draft = self.keep(&at.run, client_line(body, &id, who)).await?;
        let book = self.book(&at.run).await?;
        let (ticket, new) = {
            let mut ledger = lock(&book.ledger);
            let repeat = key.is_some_and(|key| ledger.command(&key).is_some())
                || (ledger.standing().closed && command.what == What::Close);
            if repeat && planted!(RepeatBeforeDurable) {
                return Ok(Accepted::Before);
            }
            let mut lines: Vec<Bytes> = Vec::new();
            if !repeat {
                may(&ledger, &command.what, life)?;
                let draft = match ledger.ends(&command.what) {
                    Some(ends) => draft.stamp("ends", ends),
                    None => draft,
                };
                for draft in std::iter::once(draft).chain(answer_line(&command.what, who)) {
                    ledger.note(&draft.value);
                    lines.push(draft.text.into());
                }
            }
            let new = lines.len();
            (book.lines.submit(lines), new)
        };
        // A repeat too waits until the first one is durable.
        let last = self.complete(at, book, ticket, new).await?;
        Ok(if new > 0 {
            Accepted::New(last)
        } else {
            Accepted::Before
        })
    }

    /// How the run stands.
    pub async fn state(&self, at: &RunRef) -> Result<Standing, Error> {
        let book = self.book(&at.run).await?;
        let standing = lock(&book.ledger).standing().clone();
        Ok(standing)
    }

    /// How the run stands, for a list. One that is over is not read again for it.
    pub async fn brief(&self, at: &RunRef, over: bool) -> Result<Option<Brief>, Error> {
        let book = if over {
            let open = lock(&self.books.open);
            open.get(&at.run).and_then(|cell| cell.get().cloned())
        } else {
            Some(self.book(&at.run).await?)
        };
        Ok(book.map(|book| lock(&book.ledger).standing().brief()))
    }

    /// The last durable line.
    pub async fn last(&self, run: &RunId) -> Result<Seq, Error> {
        Ok(self.book(run).await?.lines.last())
    }

    /// Lines behind `after`, about `most` bytes of them.
    pub async fn read_after(
        &self,
        run: &RunId,
        after: Seq,
        most: usize,
    ) -> Result<Vec<Bytes>, Error> {
        Ok(self.book(run).await?.lines.read_after(after, most).await?)
    }

    /// Rings when the journal grew; closes when the run is removed.
    pub async fn listen(&self, run: &RunId) -> Result<watch::Receiver<Seq>, Error> {
        if lock(&self.books.removed).contains(run) {
            return Err(Error::Removed);
        }
        Ok(self.router.listen(run).await)
    }

    /// Removes it for good; whoever follows hears the bell close.
    pub async fn remove(&self, run: &RunId) -> Result<(), Error> {
        lock(&self.books.removed).insert(run.clone());
        lock(&self.books.open).remove(run);
        self.router.forget(run).await;
        Ok(self.log.remove(run).await?)
    }

    async fn book(&self, run: &RunId) -> Result<Arc<Book>, Error> {
        let cell = {
            if lock(&self.books.removed).contains(run) {
                return Err(Error::Removed);
            }
            let mut open = lock(&self.books.open);
            if open.len() >= OPEN && !open.contains_key(run) {
                open.retain(|_, cell| is_in_use(cell));
            }
            Arc::clone(open.entry(run.clone()).or_default())
        };
        let book = cell.get_or_try_init(|| self.open(run)).await?;
        Ok(Arc::clone(book))
    }

    async fn open(&self, run: &RunId) -> Result<Arc<Book>, Error> {
        let lines = self.log.open(run).await?;
        let mut ledger = Ledger::default();
        loop {
            let read = lines.read_after(ledger.standing().last, PIECE).await?;
            if read.is_empty() {
                break;
            }
            for line in read {
                match serde_json::from_slice::<Value>(&line) {
                    Ok(line)
                        if planted!(KeyForgottenAtRestart) && line["type"] == "client_message" =>
                    {
                        ledger.skip();
                    }
                    Ok(line) => ledger.note(&line),
                    Err(_) => ledger.skip(),
                }
            }
        }
        Ok(Arc::new(Book {
            lines,
            ledger: Mutex::new(ledger),
        }))
    }

    /// Stores the whole of a line that had to be cut, before the line names it.
    async fn keep(&self, run: &RunId, mut draft: Draft) -> Result<Draft, Error> {
        if let Some(whole) = draft.whole.take() {
            let kept = self.wholes.keep(run, whole.into()).await;
            kept.map_err(Error::Whole)?;
        }
        Ok(draft)
    }

    async fn complete(
        &self,
        at: &RunRef,
        book: Arc<Book>,
        ticket: Ticket,
        new: usize,
    ) -> Result<Seq, Error> {
        self.lines.fetch_add(new as u64, Ordering::Relaxed);
        let (done, answer) = oneshot::channel();
        let (run, router, books) = (
            at.run.clone(),
            Arc::clone(&self.router),
            Arc::clone(&self.books),
        );
        let completion = async move {
            if planted!(AnnounceBeforeDurable) {
                router.announce(&run, ticket.last).await;
            }
            let outcome = ticket.durable.await;
            match &outcome {
                Ok(()) => router.announce(&run, ticket.last).await,
                Err(_) if planted!(BrokenBookKept) => (),
                // The ledger knows lines that are not there: the next use reads the journal again.
                Err(_) => books.forget(&run, &book),
            }
            // The asker may have gone away; the line is there all the same.
            drop(done.send(outcome.map(|()| ticket.last)));
        };
        {
            let mut completions = lock(&self.completions);
            while completions.try_join_next().is_some() {}
            completions.spawn(completion);
        }
        match answer.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Error::Removed),
        }
    }
}

impl Books {
    fn forget(&self, run: &RunId, book: &Arc<Book>) {
        let mut open = lock(&self.open);
        let same = open
            .get(run)
            .and_then(|cell| cell.get())
            .is_some_and(|known| Arc::ptr_eq(known, book));
        if same {
            open.remove(run);
        }
    }
}

fn is_in_use(cell: &Arc<OnceCell<Arc<Book>>>) -> bool {
    // Whoever opens it holds the cell; whoever appends or reads holds the book.
    Arc::strong_count(cell) > 1 || cell.get().is_none_or(|book| Arc::strong_count(book) > 1)
}

fn endpoint_line(message: Value) -> Draft {
    Draft::own(json!({
        "type": "notification", "timestamp": now(), "notification": message, "from": "endpoint",
    }))
}

fn client_line(body: &Value, id: &CommandId, who: &str) -> Draft {
    Draft::own(json!({
        "type": "client_message", "message": body, "timestamp": now(), "id": id, "from": who,
    }))
}

/// An answer stands in the journal twice: for the agent side as the command it is, and for everyone as 5.3 has it.
fn answer_line(what: &What, who: &str) -> Option<Draft> {
    let What::Permission(reply) = what else {
        return None;
    };
    let mut params = json!({"requestId": reply.request, "toolCallId": reply.tool_call, "optionId": reply.option, "from": who});
    if let Some(text) = &reply.text {
        params["customInput"] = json!(text);
    }
    Some(endpoint_line(
        json!({"jsonrpc": "2.0", "method": "_posthog/permission_response", "params": params}),
    ))
}

/// Milliseconds are what the reference writes.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// Is it too late for this command?
fn may(ledger: &Ledger, what: &What, life: Life) -> Result<(), Error> {
    match (what, life) {
        (What::UserMessage(_) | What::FileChanged(_), _) if ledger.standing().closed => {
            Err(Error::Closed)
        }
        (What::UserMessage(_) | What::FileChanged(_), Life::Over) => Err(Error::Over),
        // A change of files waits in the journal for the next start; it is no reason for one.
        (What::UserMessage(_) | What::FileChanged(_), Life::Open | Life::Restartable)
        | (What::Close | What::Presence { .. }, _) => Ok(()),
        (_, Life::Over) => Err(Error::Over),
        // A message that reopens the run may wait for that.
        (What::Amend(_), Life::Restartable) => in_time(ledger, what),
        (_, Life::Restartable) => Err(Error::Ended),
        (_, Life::Open) => in_time(ledger, what),
    }
}

fn in_time(ledger: &Ledger, what: &What) -> Result<(), Error> {
    match what {
        What::Permission(reply) => match ledger.answered(&reply.request) {
            Some(who) => Err(Error::Answered {
                who: who.to_owned(),
            }),
            None => Ok(()),
        },
        What::Amend(amendment) => amendable(ledger, amendment),
        What::UserMessage(_)
        | What::Cancel
        | What::Close
        | What::SetMode(_)
        | What::SetConfig { .. }
        | What::FileChanged(_)
        | What::Presence { .. }
        | What::Other { .. } => Ok(()),
    }
}

/// Only what waits can be changed, and only what waits can be stood before.
fn amendable(ledger: &Ledger, amendment: &Amendment) -> Result<(), Error> {
    queued(ledger, &amendment.command)?;
    match &amendment.how {
        Amend::Move {
            before: Some(before),
        } => queued(ledger, before).map_err(|_| Error::NotBefore),
        Amend::Move { before: None } | Amend::Edit(_) | Amend::Remove | Amend::Steer => Ok(()),
    }
}

fn queued(ledger: &Ledger, command: &CommandId) -> Result<(), Error> {
    match ledger.queued(command) {
        Queued::Waiting => Ok(()),
        Queued::Gone(Gone::Taken) => Err(Error::Taken),
        Queued::Gone(Gone::Removed) => Err(Error::Unqueued),
        Queued::Unknown => Err(Error::NotQueued),
    }
}

/// The lines that are new, stamped and noted.
fn admit(
    ledger: &mut Ledger,
    batch: Option<&Batch>,
    drafts: Vec<Draft>,
    answers: Answers,
) -> Vec<Bytes> {
    let mut lines = Vec::with_capacity(drafts.len());
    let sent = batch.map_or(0, |batch| ledger.sent(&batch.source));
    for (index, mut draft) in drafts.into_iter().enumerate() {
        if let Some(batch) = batch {
            let number = batch.first.saturating_add(index as u64);
            if number <= sent.saturating_sub(u64::from(planted!(BatchOffByOne))) {
                continue;
            }
            draft = draft.stamp("src", format!("{}:{number}", batch.source));
        }
        if counts(ledger, &draft.value, answers) {
            ledger.note(&draft.value);
            lines.push(draft.text.into());
        }
    }
    lines
}

fn counts(ledger: &Ledger, line: &Value, answers: Answers) -> bool {
    let message = line.get("notification").unwrap_or(&Value::Null);
    match ledger::permission_answer(message) {
        Some((request, option)) => {
            ledger.answered(request).is_none()
                && (answers == Answers::Count || option == "_cancelled")
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::log::file::{FileLog, Fsync};
    use crate::backend::router::memory::Memory;
    use crate::protocol::command::Prompt;
    use crate::protocol::ids::ProjectId;

    struct Nowhere;

    #[async_trait::async_trait]
    impl Wholes for Nowhere {
        async fn keep(&self, _: &RunId, _: Bytes) -> Result<(), String> {
            Ok(())
        }
    }

    struct Place {
        folder: tempfile::TempDir,
        at: RunRef,
    }

    impl Place {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                at: RunRef {
                    project: ProjectId(1),
                    task: "task".parse().unwrap(),
                    run: "run".parse().unwrap(),
                },
            }
        }

        /// As after a start of the endpoint.
        fn journal(&self) -> Journal {
            let log = FileLog::new(self.folder.path().join("journals"), Fsync::Group).unwrap();
            Journal::new(
                Arc::new(log),
                Arc::new(Memory::default()),
                Arc::new(Nowhere),
            )
        }

        async fn say(&self, journal: &Journal, what: What, id: &str) -> Result<Accepted, Error> {
            let command = Command {
                id: Some(id.parse().unwrap()),
                what,
            };
            journal
                .command(&self.at, &command, &command.to_json(), "ana", Life::Open)
                .await
        }

        async fn append(&self, journal: &Journal, first: u64, entries: &[Value]) -> Appended {
            let batch = Batch {
                source: "0b2e6c34-58d2-4a07-8a43-0f3d9be7c215".into(),
                first,
            };
            let entries: Vec<_> = entries
                .iter()
                .map(|entry| RawValue::from_string(entry.to_string()).unwrap())
                .collect();
            journal
                .append_agent(&self.at, Some(&batch), &entries, Answers::CancelOnly)
                .await
                .unwrap()
        }

        async fn all(&self, journal: &Journal) -> Vec<Value> {
            let lines = journal.read_after(&self.at.run, Seq(0), usize::MAX).await;
            let lines = lines.unwrap();
            lines
                .iter()
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect()
        }
    }

    fn message(text: &str) -> What {
        Command::user_message(text).what
    }

    fn said(notification: Value) -> Value {
        json!({"type": "notification", "notification": notification})
    }

    fn permission(option: &str) -> What {
        What::Permission(crate::protocol::command::PermissionReply {
            request: "q".into(),
            tool_call: "t".into(),
            option: option.into(),
            text: None,
        })
    }

    #[tokio::test]
    async fn a_command_is_accepted_once_also_after_a_new_start() {
        let place = Place::new();
        let journal = place.journal();
        let first = place.say(&journal, message("go"), "m1").await.unwrap();
        assert_eq!(first, Accepted::New(Seq(1)));
        for journal in [journal, place.journal()] {
            let again = place.say(&journal, message("go"), "m1").await.unwrap();
            assert_eq!(again, Accepted::Before);
            assert_eq!(place.all(&journal).await.len(), 1);
        }
    }

    #[tokio::test]
    async fn a_cancel_names_what_it_ends_in_its_line() {
        let place = Place::new();
        let journal = place.journal();
        for id in ["m1", "m2"] {
            place.say(&journal, message("go"), id).await.unwrap();
        }
        for id in ["c1", "c2", "c3"] {
            place.say(&journal, What::Cancel, id).await.unwrap();
        }
        let lines = place.all(&journal).await;
        let ends: Vec<_> = lines.iter().map(|line| line["ends"].as_str()).collect();
        assert_eq!(ends, [None, None, Some("m1"), Some("m2"), None]);
    }

    #[tokio::test]
    async fn lines_of_a_batch_that_were_sent_before_are_skipped_also_after_a_new_start() {
        let place = Place::new();
        let entries: Vec<_> = (0..3)
            .map(|n| said(json!({"method": "m", "params": {"n": n}})))
            .collect();
        let journal = place.journal();
        let appended = place.append(&journal, 1, &entries[..2]).await;
        assert_eq!((appended.last, appended.any), (Seq(2), true));
        for journal in [journal, place.journal()] {
            let appended = place.append(&journal, 1, &entries).await;
            assert_eq!(appended.last, Seq(3));
        }
        let all = place.all(&place.journal()).await;
        let numbers: Vec<_> = all
            .iter()
            .map(|line| line["notification"]["params"]["n"].as_u64())
            .collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
        assert_eq!(all[2]["src"], "0b2e6c34-58d2-4a07-8a43-0f3d9be7c215:3");
    }

    #[tokio::test]
    async fn the_second_answer_hears_who_was_first_and_the_agent_cannot_answer_for_a_person() {
        let place = Place::new();
        let journal = place.journal();
        let ask = said(
            json!({"method": "_posthog/permission_request", "params": {"requestId": "q", "toolCallId": "t"}}),
        );
        let forged = said(
            json!({"method": "_posthog/permission_response", "params": {"requestId": "q", "optionId": "allow"}}),
        );
        place.append(&journal, 1, &[ask, forged.clone()]).await;
        assert_eq!(journal.state(&place.at).await.unwrap().permissions.len(), 1);
        place
            .say(&journal, permission("allow"), "p1")
            .await
            .unwrap();
        let late = place.say(&journal, permission("reject"), "p2").await;
        assert!(matches!(late, Err(Error::Answered { who }) if who == "ana"));
        let repeat = place
            .say(&journal, permission("allow"), "p1")
            .await
            .unwrap();
        assert_eq!(repeat, Accepted::Before);
        let all = place.all(&journal).await;
        assert_eq!(all.len(), 3);
        assert_eq!(all[2]["notification"]["params"]["from"], "ana");
        assert_eq!(all[2]["from"], "endpoint");
    }

    #[tokio::test]
    async fn a_taken_message_cannot_be_removed_and_a_closed_run_takes_none() {
        let place = Place::new();
        let journal = place.journal();
        place.say(&journal, message("one"), "m1").await.unwrap();
        place.say(&journal, message("two"), "m2").await.unwrap();
        let request = said(
            json!({"id": 1, "method": "session/prompt", "params": {"_meta": {"ashore": {"command": "m1"}}}}),
        );
        let appended = place.append(&journal, 1, &[request]).await;
        assert_eq!(appended.turn, Some(true));
        let amend = |id: &str, how: Amend| {
            What::Amend(Amendment {
                command: id.parse().unwrap(),
                how,
            })
        };
        let remove = |id: &str| amend(id, Amend::Remove);
        let late = place.say(&journal, remove("m1"), "r1").await;
        assert!(matches!(late, Err(Error::Taken)));
        let words = Amend::Edit(Prompt::default());
        let before = |id: &str| Amend::Move {
            before: id.parse().ok(),
        };
        for (id, how) in [
            ("m1", words.clone()),
            ("m1", Amend::Steer),
            ("m1", before("m2")),
            ("m2", before("m1")),
            ("m2", before("m9")),
            ("m9", words.clone()),
        ] {
            let what = amend(id, how);
            let refused = place.say(&journal, what.clone(), "late").await;
            assert!(
                matches!(
                    refused,
                    Err(Error::Taken | Error::NotBefore | Error::NotQueued)
                ),
                "{what:?}: {refused:?}"
            );
        }
        let waits = [
            words,
            before("m2"),
            Amend::Move { before: None },
            Amend::Steer,
        ];
        for (n, how) in waits.into_iter().enumerate() {
            let accepted = place
                .say(&journal, amend("m2", how), &format!("ok{n}"))
                .await;
            assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");
        }
        place.say(&journal, remove("m2"), "r2").await.unwrap();
        let twice = place.say(&journal, remove("m2"), "r3").await;
        assert!(matches!(twice, Err(Error::Unqueued)));
        place.say(&journal, What::Close, "c").await.unwrap();
        let closed = place.say(&journal, message("three"), "m3").await;
        assert!(matches!(closed, Err(Error::Closed)));
    }

    #[tokio::test]
    async fn many_at_once_get_every_number_once_and_a_removed_run_takes_no_more() {
        let place = Place::new();
        let journal = place.journal();
        let mut bell = journal.listen(&place.at.run).await.unwrap();
        let appends = (0..100)
            .map(|n| journal.append_endpoint(&place.at, json!({"method": "m", "params": n})));
        let mut numbers: Vec<_> = futures::future::try_join_all(appends).await.unwrap();
        numbers.sort();
        assert_eq!(numbers, (1..=100).map(Seq).collect::<Vec<_>>());
        assert_eq!(*bell.borrow_and_update(), Seq(100));
        journal.remove(&place.at.run).await.unwrap();
        assert!(bell.changed().await.is_err());
        let late = journal.append_endpoint(&place.at, json!({})).await;
        assert!(matches!(late, Err(Error::Removed)));
    }
}
