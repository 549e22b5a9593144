//! Follows one run of an endpoint that does not number its journal: stream first, then the log, joined by what they say.
//!
//! One attempt, as `client::stream` makes them. Which payload is shown when is decided in `reconcile`; here are the
//! connections and the clock. The stream never says that the run ended, so the run is asked for in silence.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::ACCEPT_ENCODING;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::api::Api;
use crate::client::dialect::Shown;
use crate::client::dialect::reconcile::{Memory, Payload, Reconcile};
use crate::client::error::Error;
use crate::client::http;
use crate::client::leash::{Leash, Told};
use crate::client::stream::Heard;
use crate::protocol::acp::Update;
use crate::protocol::entry::{Decoded, From, Said};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{RunRef, Seq};
use crate::protocol::normalize;
use crate::protocol::run::Status;

/// Longest that an event waits for a second look at the log; and so long after it may an event come out of order.
const HOLD: Duration = Duration::from_millis(300);
/// Some servers send the head of a stream only with its first event.
const OPENING: Duration = Duration::from_secs(2);
/// Silence after which the run's status is asked for.
const POLL: Duration = Duration::from_secs(15);
/// There are no keepalives, so a stream that was silent for so long is opened anew, without a word.
const STALE: Duration = Duration::from_secs(240);
/// A second look takes at most so many lines; more come with the next one.
const LOOK: usize = 10_000;
/// Lines handed over at once.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 4 << 20;
/// Payloads shown without the log's word for it; behind it the log is read again.
const UNCONFIRMED: usize = 50_000;

type Line = Payload<ContentHash, Decoded>;

/// Reads on behind what `shown` remembers until the road fails; never returns well.
pub(crate) async fn follow(
    api: &Api,
    at: &RunRef,
    after: Seq,
    out: &mpsc::Sender<Heard>,
    shown: &Shown,
) -> Error {
    let mut memory = shown.0.lock().await;
    if after == Seq::ZERO {
        *memory = Memory::default();
    } else if after.0 != memory.shown {
        *memory = Memory::default();
        return begin_again(out).await;
    }
    let mut road = Road {
        api,
        at,
        out,
        memory: &mut memory,
        reconcile: Reconcile::new(),
        told: None,
        wants_log: false,
    };
    loop {
        if let Err(error) = road.connection().await {
            return error;
        }
    }
}

/// Numbers of another attach mean nothing: the listener forgets them and comes again.
async fn begin_again(out: &mpsc::Sender<Heard>) -> Error {
    let opened = Heard::Opened {
        last: Seq::ZERO,
        same: true,
    };
    match out.send(opened).await {
        Ok(()) => Error::Malformed {
            text: "its log is another one than was read here".to_owned(),
        },
        Err(_) => nobody(),
    }
}

fn nobody() -> Error {
    Error::Unreachable {
        text: "nobody listens any more".to_owned(),
    }
}

struct Road<'a> {
    api: &'a Api,
    at: &'a RunRef,
    out: &'a mpsc::Sender<Heard>,
    memory: &'a mut Memory<ContentHash>,
    reconcile: Reconcile<ContentHash, Decoded>,
    /// The end that the listener knows of.
    told: Option<Status>,
    /// Something was met that the log says more about.
    wants_log: bool,
}

impl Road<'_> {
    /// One stream from its opening until it was silent for too long.
    async fn connection(&mut self) -> Result<(), Error> {
        let mut leash = Leash::new(self.request()?);
        self.reconcile = Reconcile::new();
        let mut batch = Vec::new();
        if let Ok(opened) = timeout(OPENING, leash.next(&mut batch, BATCH)).await {
            opened?;
        }
        let opened_late = batch.is_empty();
        self.read_log().await?;
        self.send(Heard::Live).await?;
        self.ask().await?;
        self.listen(&mut leash, batch, opened_late).await
    }

    async fn listen(
        &mut self,
        leash: &mut Leash,
        mut batch: Vec<Told>,
        mut opened_late: bool,
    ) -> Result<(), Error> {
        let mut heard = Instant::now();
        let mut asked = heard;
        let mut passing = None;
        loop {
            for told in batch.drain(..) {
                match told {
                    // What came between the look at the log and this moment was told to nobody here.
                    Told::Open => self.wants_log |= std::mem::take(&mut opened_late),
                    Told::Event { name, data, .. } => self.event(&name, &data).await?,
                }
            }
            self.decide().await?;
            if !self.reconcile.may_pass() {
                passing = None;
            } else if passing.is_none() {
                passing = Some(Instant::now() + HOLD);
            }
            let poll = asked.max(heard) + POLL;
            tokio::select! {
                more = leash.next(&mut batch, BATCH) => {
                    more?;
                    heard = Instant::now();
                }
                () = sleep_until(passing.unwrap_or(poll)), if passing.is_some() => self.reconcile.pass(),
                () = sleep_until(poll) => {
                    self.ask().await?;
                    asked = Instant::now();
                    if asked.duration_since(heard) >= STALE {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn request(&self) -> Result<reqwest::RequestBuilder, Error> {
        Ok(self
            .api
            .patient_request(Method::GET, &format!("{}/sync", self.at.path()))?
            .header("Session-Id", self.at.run.as_str())
            .header(ACCEPT_ENCODING, "identity"))
    }

    async fn event(&mut self, name: &str, data: &str) -> Result<(), Error> {
        if name == "error" {
            return Err(stream_error(data));
        }
        if name != "message" {
            return Ok(());
        }
        let decoded = normalize::decode(data.as_bytes());
        if let Decoded::Entry(entry) = &decoded {
            if let Said::StreamError(text) = &entry.said {
                return Err(Error::Unreachable {
                    text: http::plain(text),
                });
            }
            // A turn begins: the client's message that began it stands in the log only.
            self.wants_log |= matches!(
                &entry.said,
                Said::Update(Update::UserChunk(_)) | Said::Request { .. }
            );
        }
        if let Some(line) = line(decoded) {
            self.reconcile.streamed(line);
        }
        Ok(())
    }

    /// Shows what can be shown, after a second look at the log where that is needed.
    async fn decide(&mut self) -> Result<(), Error> {
        let show = self.reconcile.decide(self.memory, false);
        self.show(show).await?;
        let crowded = self.memory.unconfirmed() > UNCONFIRMED;
        if self.reconcile.is_unsure() || crowded || std::mem::take(&mut self.wants_log) {
            // A log that cannot be read in time decides nothing; its next reading makes good what was left out.
            if let Ok(looked) = timeout(HOLD, self.new_lines()).await {
                self.take(looked?).await?;
            }
            if crowded && self.memory.unconfirmed() > UNCONFIRMED {
                self.memory.forget_unconfirmed();
            }
            let show = self.reconcile.decide(self.memory, true);
            self.show(show).await?;
        }
        Ok(())
    }

    /// In silence: how the run stands, and what the log says beyond what was heard.
    async fn ask(&mut self) -> Result<(), Error> {
        let run = self.api.run(self.at).await?;
        if self.memory.unconfirmed() > 0 {
            let lines = self.new_lines().await?;
            self.take(lines).await?;
        }
        if !run.status.is_terminal() {
            self.told = None;
        } else if self.told.as_ref() != Some(&run.status) {
            self.told = Some(run.status.clone());
            self.send(Heard::Ended(run.status)).await?;
        }
        Ok(())
    }

    /// The whole log behind what was read of it, as it comes.
    async fn read_log(&mut self) -> Result<(), Error> {
        let mut logs = self.api.logs(self.at, None).await?;
        let mut left = self.memory.read;
        let (mut show, mut bytes) = (Vec::new(), 0);
        while let Some((_, text)) = logs.next().await? {
            let Some(line) = line(normalize::decode(&text)) else {
                continue;
            };
            if left > 0 {
                left -= 1;
                continue;
            }
            bytes += text.len();
            show.extend(self.reconcile.logged(self.memory, line));
            if show.len() == BATCH || bytes > BATCH_BYTES {
                self.show(std::mem::take(&mut show)).await?;
                bytes = 0;
            }
        }
        self.show(show).await?;
        self.reconcile.begin();
        if left > 0 {
            *self.memory = Memory::default();
            return Err(begin_again(self.out).await);
        }
        Ok(())
    }

    /// The same, read before anything of it is shown: giving up in the middle loses nothing.
    async fn new_lines(&self) -> Result<Vec<Line>, Error> {
        let mut logs = self.api.logs(self.at, None).await?;
        let (mut left, mut lines, mut bytes) = (self.memory.read, Vec::new(), 0);
        while lines.len() < LOOK
            && bytes < BATCH_BYTES
            && let Some((_, text)) = logs.next().await?
        {
            match line(normalize::decode(&text)) {
                Some(_) if left > 0 => left -= 1,
                Some(line) => {
                    bytes += text.len();
                    lines.push(line);
                }
                None => (),
            }
        }
        Ok(lines)
    }

    async fn take(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        let mut show = Vec::new();
        for line in lines {
            show.extend(self.reconcile.logged(self.memory, line));
        }
        self.reconcile.begin();
        self.show(show).await
    }

    /// The numbers of these are the last ones given.
    async fn show(&mut self, lines: Vec<Decoded>) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let first = self.memory.shown + 1 - lines.len() as u64;
        let numbered = (first..).map(Seq).zip(lines).collect();
        self.send(Heard::Lines(numbered)).await
    }

    async fn send(&self, heard: Heard) -> Result<(), Error> {
        self.out.send(heard).await.map_err(|_| nobody())
    }
}

fn stream_error(data: &str) -> Error {
    let text = serde_json::from_str::<Value>(data)
        .ok()
        .and_then(|value| Some(http::plain(value.get("error")?.as_str()?)));
    Error::Unreachable {
        text: text.unwrap_or_else(|| "the stream failed".to_owned()),
    }
}

/// `None` for a blank line, which is nothing anywhere.
fn line(decoded: Decoded) -> Option<Line> {
    let (key, client) = match &decoded {
        Decoded::Blank => return None,
        Decoded::Bad(text) => (text.clone(), false),
        Decoded::Entry(entry) => (key(&entry.message.value()), entry.from == From::Client),
    };
    Some(Payload {
        key: ContentHash::of(key.as_bytes()),
        value: decoded,
        client,
    })
}

/// The same for what says the same: keys in order, without the two that differ between log and stream.
fn key(message: &Value) -> String {
    let mut message = message.clone();
    if let Some(object) = message.as_object_mut() {
        object.remove("jsonrpc");
    }
    if let Some(params) = message.get_mut("params").and_then(Value::as_object_mut) {
        params.remove("sessionId");
    }
    message.sort_all_objects();
    message.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::client::raw::{Act, Asked, Raw, at, events, reply};
    use crate::client::stream::{self, Manner, View};

    fn inner(text: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"r","update":{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{text}"}}}}}}}}"#
        )
    }

    /// A line of the reference's log; upper case is a client's message.
    fn logged(text: &str) -> String {
        if text.chars().all(char::is_uppercase) {
            return format!(
                r#"{{"type":"client_message","message":{{"method":"_posthog/user_message","params":{{"content":"{text}"}}}}}}"#
            );
        }
        // Another order of keys and another session than on the stream.
        let told = inner(text).replace(r#""sessionId":"r""#, r#""sessionId":"of-the-agent""#);
        format!(
            r#"{{"type":"notification","timestamp":"2026-01-19T12:00:01.250Z","notification":{told}}}"#
        )
    }

    fn log(words: &str) -> Vec<Act> {
        let lines: Vec<String> = words.split_whitespace().map(logged).collect();
        let kind = "content-type: application/jsonl\r\n";
        reply("200 OK", kind, lines.join("\n").as_bytes())
    }

    fn say(id: usize, text: &str) -> Act {
        Act::Say(format!("id: {id}\ndata: {}\n\n", inner(text)).into_bytes())
    }

    fn run(status: &str) -> Vec<Act> {
        let body = format!(r#"{{"id":"r","task":"t","status":"{status}"}}"#);
        reply(
            "200 OK",
            "content-type: application/json\r\n",
            body.as_bytes(),
        )
    }

    /// A server as the reference is: `logs[n]` is the log at its n-th reading, `streams[n]` the n-th connection.
    async fn reference(
        logs: &'static [&'static str],
        streams: Vec<Vec<Act>>,
        status: &'static str,
    ) -> Raw {
        let (read, opened) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        Raw::serve(move |asked: &Asked| {
            if asked.path().ends_with("/logs") {
                let place = read.fetch_add(1, Ordering::SeqCst).min(logs.len() - 1);
                log(logs[place])
            } else if asked.path().contains("/logs?") {
                // The probe: a foreign server does not know `after`.
                log("never read")
            } else if asked.path().ends_with("/sync") {
                let place = opened.fetch_add(1, Ordering::SeqCst);
                let acts = streams.get(place).cloned().unwrap_or_default();
                [vec![events()], acts].concat()
            } else {
                run(status)
            }
        })
        .await
    }

    fn word(decoded: &Decoded) -> String {
        match decoded {
            Decoded::Entry(entry) => {
                let message = entry.message.value();
                message
                    .pointer("/params/update/content/text")
                    .or_else(|| message.pointer("/params/content"))
                    .and_then(Value::as_str)
                    .unwrap()
                    .to_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Attempt after attempt until so many lines were heard; what came, numbers checked.
    async fn hear(server: &Raw, want: usize) -> (String, Vec<Status>) {
        let (api, at, manner) = (server.api(), at(), Manner::default());
        let (mut words, mut ends) = (Vec::new(), Vec::new());
        let mut attempts = 0;
        while words.len() < want {
            attempts += 1;
            assert!(attempts < 9, "heard only {words:?}");
            let (out, mut heard) = mpsc::channel(64);
            let after = Seq(words.len() as u64);
            let mut keep = |_: &stream::Raw| panic!("nothing of it goes into the cache");
            let attempt = async {
                let out = out;
                stream::follow_kept(
                    &api,
                    &at,
                    View::Journal,
                    after.into(),
                    &out,
                    &mut keep,
                    &manner,
                )
                .await
            };
            tokio::pin!(attempt);
            let mut over = false;
            loop {
                let one = tokio::select! {
                    biased;
                    Some(one) = heard.recv() => one,
                    error = &mut attempt, if !over => {
                        assert!(error.is_passing(), "{error}");
                        over = true;
                        continue;
                    }
                    else => break,
                };
                match one {
                    Heard::Lines(lines) => {
                        for (seq, decoded) in &lines {
                            words.push(word(decoded));
                            assert_eq!(seq.0, words.len() as u64);
                        }
                    }
                    Heard::Ended(status) => ends.push(status),
                    Heard::Live | Heard::Presence(_) => (),
                    Heard::Opened { last, .. } => panic!("{last}"),
                }
                if words.len() >= want {
                    break;
                }
            }
        }
        (words.join(" "), ends)
    }

    #[tokio::test]
    async fn ids_that_restart_and_a_log_that_overlaps_lose_and_double_nothing() {
        let server = reference(
            &["a b HELLO c", "a b HELLO c d", "a b HELLO c d AGAIN e f"],
            vec![
                // `c` stands in the log already, `d` only at the second look.
                vec![say(1, "c"), say(2, "d"), Act::Close],
                vec![say(1, "e"), say(2, "f"), say(3, "g"), Act::Silence],
            ],
            "in_progress",
        )
        .await;
        let (words, ends) = hear(&server, 9).await;
        assert_eq!(words, "a b HELLO c d AGAIN e f g");
        assert_eq!(ends, []);
        for asked in server.asked() {
            assert_eq!(asked.header("last-event-id"), None);
            assert!(!asked.path().contains("view="), "{}", asked.path());
        }
    }

    #[tokio::test]
    async fn the_end_of_a_run_is_learned_by_asking() {
        let server = reference(&["a"], vec![vec![Act::Silence]], "completed").await;
        let (api, at, manner) = (server.api(), at(), Manner::default());
        let (out, mut heard) = mpsc::channel(64);
        let mut keep = |_: &stream::Raw| ();
        let attempt = stream::follow_kept(
            &api,
            &at,
            View::Journal,
            Seq(0).into(),
            &out,
            &mut keep,
            &manner,
        );
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                biased;
                Some(one) = heard.recv() => if let Heard::Ended(status) = one {
                    return assert_eq!(status, Status::Completed);
                },
                error = &mut attempt => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn an_error_in_the_stream_ends_the_attempt_and_is_no_line() {
        let failed = Act::Say(b"id: 1\ndata: {\"error\":\"redis is gone\"}\n\n".to_vec());
        let server = reference(&["a"], vec![vec![failed, Act::Silence]], "in_progress").await;
        let (out, _heard) = mpsc::channel(64);
        let shown = Shown::default();
        let error = follow(&server.api(), &at(), Seq::ZERO, &out, &shown).await;
        assert!(error.to_string().contains("redis is gone"), "{error}");
    }

    #[tokio::test]
    async fn numbers_of_another_attach_are_forgotten() {
        let server = reference(&["a"], vec![], "in_progress").await;
        let (out, mut heard) = mpsc::channel(64);
        let error = follow(&server.api(), &at(), Seq(7), &out, &Shown::default()).await;
        assert!(error.is_passing());
        let first = heard.try_recv().unwrap();
        assert!(
            matches!(
                first,
                Heard::Opened {
                    last: Seq::ZERO,
                    ..
                }
            ),
            "{first:?}"
        );
    }

    #[test]
    fn what_says_the_same_has_the_same_key() {
        let key_of = |text: &str| line(normalize::decode(text.as_bytes())).unwrap().key;
        assert_eq!(key_of(&inner("x")), key_of(&logged("x")));
        assert_ne!(key_of(&inner("x")), key_of(&inner("y")));
        assert_eq!(
            key_of(r#"{"method":"m","params":{"b":1,"a":{"d":2,"c":"\u00e9"}}}"#),
            key_of(r#"{"params":{"a":{"c":"é","d":2},"b":1},"jsonrpc":"2.0","method":"m"}"#)
        );
        assert!(line(normalize::decode(b" ")).is_none());
    }
}
