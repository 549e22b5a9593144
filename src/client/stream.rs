//! Follows one run from a line on: history in bulk, then live, until something ends it.
//!
//! One attempt. When to try again is `client::retry`'s decision and its caller's doing. Every attempt reads history first,
//! so a place where the live stream fails is passed by the line reader, which caps a line and keeps its number. An endpoint
//! that does not number its lines is followed by `client::dialect`.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::ACCEPT_ENCODING;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::client::api::{Api, Logs};
use crate::client::dialect::{Shown, unnumbered};
use crate::client::error::Error;
use crate::client::http;
use crate::client::leash::{Leash, Told};
use crate::client::lines::MAX_LINE;
use crate::plant::planted;
use crate::protocol::entry::{Decoded, From, Said};
use crate::protocol::ids::{RunRef, Seq};
use crate::protocol::normalize;
use crate::protocol::presence::{self, Client};
use crate::protocol::run::Status;

/// Most lines handed over at once.
const BATCH: usize = 512;
/// And most bytes of them, so that a run of huge lines does not stand in memory.
const BATCH_BYTES: usize = 4 << 20;
/// Contract 10.1, until the endpoint says otherwise.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What of the journal is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Every line.
    Journal,
    /// Client messages only: the agent side's view. No history by `logs`: the stream replays after `after` itself.
    Commands,
}

impl View {
    fn word(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Commands => "commands",
        }
    }
}

/// What comes down the road.
#[derive(Debug)]
pub enum Heard {
    /// History began; the journal's last line, and whether it still says what was read of it.
    Opened { last: Seq, same: bool },
    /// In order, never twice, at most 512 at a time.
    Lines(Vec<(Seq, Decoded)>),
    /// The stream stands open behind the last line.
    Live,
    /// `event: end`.
    Ended(Status),
    /// Who is attached now.
    Presence(Vec<Client>),
}

/// Numbered lines as they came, without LF.
pub type Raw = [(Seq, Vec<u8>)];

/// Longer lines are not remembered in a [`Bookmark`].
const LONGEST_MARK: usize = 64 * 1024;

/// The last line that was read, and what it said where that is known: a journal that was put back and has grown since has
/// a line of this number too, and it says something else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bookmark {
    pub at: Seq,
    line: Option<Vec<u8>>,
}

impl std::convert::From<Seq> for Bookmark {
    fn from(at: Seq) -> Self {
        Self { at, line: None }
    }
}

impl Bookmark {
    pub fn new(at: Seq, line: &[u8]) -> Self {
        let line = (line.len() <= LONGEST_MARK).then(|| line.to_vec());
        Self { at, line }
    }

    /// What was read up to `after`; without the words of another line.
    #[must_use]
    pub fn to(self, after: Seq) -> Self {
        match self.at == after {
            true => self,
            false => after.into(),
        }
    }

    /// As JSON: a proxy, or our own cache, may have other white space.
    fn says(&self, line: &[u8]) -> bool {
        let value = |line: &[u8]| serde_json::from_slice::<Value>(line).ok();
        match &self.line {
            Some(said) => said == line || value(said).is_some_and(|said| Some(said) == value(line)),
            None => true,
        }
    }
}

/// Reads on after `after` into `out` until the road fails; never returns `Ok`.
pub async fn follow(
    api: &Api,
    at: &RunRef,
    view: View,
    after: Seq,
    out: &mpsc::Sender<Heard>,
) -> Error {
    let manner = Manner::default();
    follow_kept(api, at, view, after.into(), out, &mut |_: &Raw| (), &manner).await
}

/// What lasts from attempt to attempt. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Takes the place of 2.5 keepalives; for tests.
    pub silence: Option<Duration>,
    /// What was told of a run whose endpoint numbers nothing.
    pub shown: Shown,
    /// How this client calls itself, so that its presence ends with its stream.
    pub client: Option<String>,
}

/// The same; `keep` sees every batch of numbered lines before it is handed over.
pub async fn follow_kept(
    api: &Api,
    at: &RunRef,
    view: View,
    mark: Bookmark,
    out: &mpsc::Sender<Heard>,
    keep: &mut (dyn FnMut(&Raw) + Send),
    manner: &Manner,
) -> Error {
    let after = mark.at;
    let client = manner.client.as_deref();
    let source = OfApi { api, at, client };
    match follow_numbered(&source, view, mark, out, keep, manner.silence).await {
        End::Failed(error) => error,
        End::Unnumbered => unnumbered::follow(api, at, after, out, &manner.shown).await,
    }
}

/// What lines come from: an endpoint, or the simulation.
#[async_trait::async_trait]
pub(crate) trait Source: Send + Sync {
    /// `GET R/logs?after=N`.
    async fn logs(&self, after: Seq) -> Result<Logs, Error>;
    /// `GET R/sync` behind this line; why it cannot be opened is told by the stream.
    fn live(&self, view: View, after: Seq) -> Result<Leash, Error>;
}

struct OfApi<'a> {
    api: &'a Api,
    at: &'a RunRef,
    client: Option<&'a str>,
}

#[async_trait::async_trait]
impl Source for OfApi<'_> {
    async fn logs(&self, after: Seq) -> Result<Logs, Error> {
        self.api.logs(self.at, Some(after)).await
    }

    fn live(&self, view: View, after: Seq) -> Result<Leash, Error> {
        let path = format!("{}/sync", self.at.path());
        let request = self
            .api
            .request(Method::GET, &path)?
            .query(&[("view", view.word())])
            .header("Last-Event-ID", after.0)
            // A compressing proxy would hold events back.
            .header(ACCEPT_ENCODING, "identity");
        let request = match self.client {
            Some(client) => request.header("Ashore-Client", client),
            None => request,
        };
        Ok(Leash::new(request))
    }
}

/// Follows a journal whose lines have numbers.
pub(crate) async fn follow_numbered(
    source: &dyn Source,
    view: View,
    mark: Bookmark,
    out: &mpsc::Sender<Heard>,
    keep: &mut (dyn FnMut(&Raw) + Send),
    silence: Option<Duration>,
) -> End {
    let mut road = Road {
        source,
        view,
        cursor: mark.at,
        out,
        keep,
        silence: silence.unwrap_or(KEEPALIVE.mul_f64(2.5)),
        told_silence: silence,
    };
    let end = match view {
        View::Journal => road.journal(mark).await,
        View::Commands => road.commands().await.map_err(End::Failed),
    };
    match end {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

/// Nothing: a road does not end well.
enum Never {}

/// Why it ends.
pub(crate) enum End {
    Failed(Error),
    /// It is another kind of road.
    Unnumbered,
}

impl std::convert::From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A line is missing between the last one and the next.
struct Gap;

struct Road<'a> {
    source: &'a dyn Source,
    view: View,
    /// The last line read.
    cursor: Seq,
    out: &'a mpsc::Sender<Heard>,
    keep: &'a mut (dyn FnMut(&Raw) + Send),
    silence: Duration,
    told_silence: Option<Duration>,
}

impl Road<'_> {
    async fn journal(&mut self, mut mark: Bookmark) -> Result<Never, End> {
        let mut gap_at = None;
        loop {
            self.history(std::mem::take(&mut mark)).await?;
            // The endpoint that skips a line live had it in `logs`, or it is no journal.
            if gap_at == Some(self.cursor) {
                return Err(End::Failed(Error::Malformed {
                    text: format!("line {} of the journal is missing", self.cursor.next()),
                }));
            }
            let Gap = self.live().await?;
            gap_at = Some(self.cursor);
        }
    }

    async fn commands(&mut self) -> Result<Never, Error> {
        let began = self.cursor;
        match self.live().await {
            // RACE: none; a stumble that took us nowhere would be repeated for ever, so the place is passed by `logs`.
            Err(Error::Malformed { text }) if self.cursor == began => {
                self.pass().await?;
                Err(Error::Malformed { text })
            }
            Err(error) => Err(error),
            Ok(Gap) => Err(Error::Malformed {
                text: "the stream of commands has a gap".to_owned(),
            }),
        }
    }

    /// The line at the bookmark is read once more where it is known what it said.
    async fn history(&mut self, mark: Bookmark) -> Result<(), End> {
        let again = mark.line.is_some() && mark.at > Seq::ZERO;
        let after = Seq(self.cursor.0 - u64::from(again));
        let mut logs = self.source.logs(after).await?;
        let Some(last) = logs.last else {
            return Err(End::Unnumbered);
        };
        self.keepalive(logs.keepalive);
        let line = match again && last >= mark.at {
            true => logs.next().await?,
            false => None,
        };
        let same = line.is_none_or(|(seq, line)| seq != mark.at || mark.says(&line));
        self.send(Heard::Opened { last, same }).await?;
        self.reaches(Some(last))?;
        if !same {
            return Err(End::Failed(Error::Malformed {
                text: format!("its line {} is not the one that was read here", mark.at),
            }));
        }
        let (mut lines, mut bytes) = (Vec::new(), 0);
        loop {
            let line = match logs.ready() {
                Some(line) => line,
                None => {
                    // Nothing waits in here while the network is waited for.
                    self.give(std::mem::take(&mut lines)).await?;
                    bytes = 0;
                    match logs.next().await? {
                        Some(line) => line,
                        None => return Ok(()),
                    }
                }
            };
            bytes += line.1.len();
            lines.push(line);
            if lines.len() == BATCH || bytes > BATCH_BYTES {
                self.give(std::mem::take(&mut lines)).await?;
                bytes = 0;
            }
        }
    }

    /// Reads past a place by `logs`, handing over the client messages only.
    async fn pass(&mut self) -> Result<(), Error> {
        let mut logs = self.source.logs(self.cursor).await?;
        while let Some((seq, line)) = logs.next().await? {
            let decoded = normalize::decode(&line);
            if is_command(&decoded) {
                self.send(Heard::Lines(vec![(seq, decoded)])).await?;
            }
            self.cursor = seq;
        }
        Ok(())
    }

    async fn live(&mut self) -> Result<Gap, Error> {
        let mut leash = self.source.live(self.view, self.cursor)?;
        let mut batch = Vec::new();
        let mut live = false;
        loop {
            match timeout(self.silence, leash.next(&mut batch, BATCH)).await {
                Ok(heard) => heard?,
                Err(_) => {
                    return Err(Error::Unreachable {
                        text: format!("nothing came for {} s", self.silence.as_secs_f32().ceil()),
                    });
                }
            }
            let mut lines = Vec::new();
            for told in batch.drain(..) {
                let step = match read(told, self.view, self.cursor) {
                    Ok(step) => step,
                    Err(error) => {
                        self.give(lines).await?;
                        return Err(error);
                    }
                };
                match step {
                    Step::Line(seq, line) => {
                        self.cursor = seq;
                        lines.push((seq, line));
                    }
                    Step::Gap => {
                        self.give(lines).await?;
                        return Ok(Gap);
                    }
                    Step::Hello { last, keepalive } => {
                        self.reaches(last.filter(|_| !planted!(ShorterHelloTaken)))?;
                        if planted!(CursorBeforeEntry) {
                            self.cursor = self.cursor.max(last.unwrap_or_default());
                        }
                        self.keepalive(keepalive);
                        live = true;
                        self.send(Heard::Live).await?;
                    }
                    Step::Ended(status) => {
                        self.give(std::mem::take(&mut lines)).await?;
                        self.send(Heard::Ended(status)).await?;
                    }
                    Step::Presence(clients) => self.send(Heard::Presence(clients)).await?,
                    Step::Failed(text) => {
                        self.give(lines).await?;
                        return Err(Error::Unreachable { text });
                    }
                    Step::Nothing => (),
                }
            }
            if !lines.is_empty() && !live {
                live = true;
                self.send(Heard::Live).await?;
            }
            self.give(lines).await?;
        }
    }

    /// A journal that ends before what was read is another one. Between history and live too: the endpoint may have been
    /// put back meanwhile, and its new lines would pass for old ones.
    fn reaches(&self, last: Option<Seq>) -> Result<(), Error> {
        match last {
            Some(last) if self.view == View::Journal && last < self.cursor => {
                Err(Error::Malformed {
                    text: format!(
                        "its journal ends at line {last}, but line {} was read here",
                        self.cursor
                    ),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn keepalive(&mut self, told: Option<Duration>) {
        if let (None, Some(keepalive)) = (self.told_silence, told) {
            let sane = keepalive.clamp(Duration::from_secs(1), Duration::from_secs(120));
            self.silence = sane.mul_f64(2.5);
        }
    }

    async fn give(&mut self, lines: Vec<(Seq, Vec<u8>)>) -> Result<(), Error> {
        let Some((last, _)) = lines.last() else {
            return Ok(());
        };
        self.cursor = *last;
        (self.keep)(&lines);
        let decoded = lines
            .into_iter()
            .map(|(seq, line)| (seq, normalize::decode(&line)))
            .collect();
        self.send(Heard::Lines(decoded)).await
    }

    async fn send(&mut self, heard: Heard) -> Result<(), Error> {
        self.out.send(heard).await.map_err(|_| Error::Unreachable {
            text: "nobody listens any more".to_owned(),
        })
    }
}

fn is_command(line: &Decoded) -> bool {
    match line {
        Decoded::Entry(entry) => {
            entry.from == From::Client && matches!(entry.said, Said::Command(_))
        }
        Decoded::Blank | Decoded::Bad(_) => false,
    }
}

/// What one event of the library is to us.
#[derive(Debug, PartialEq)]
enum Step {
    Line(Seq, Vec<u8>),
    Gap,
    Hello {
        last: Option<Seq>,
        keepalive: Option<Duration>,
    },
    Ended(Status),
    Failed(String),
    Presence(Vec<Client>),
    Nothing,
}

/// Only an event without a name carries a line, and only its `id` is read: the library repeats the last one in the others.
fn read(told: Told, view: View, cursor: Seq) -> Result<Step, Error> {
    let (name, id, data) = match told {
        Told::Open => return Ok(Step::Nothing),
        Told::Event { name, id, data } => (name, id, data),
    };
    let value = || serde_json::from_str::<Value>(&data).unwrap_or_default();
    Ok(match name.as_str() {
        "message" => return line(&id, data, view, cursor),
        "hello" => Step::Hello {
            last: value().get("last_seq").and_then(Value::as_u64).map(Seq),
            keepalive: value()
                .get("keepalive")
                .and_then(Value::as_u64)
                .map(Duration::from_secs),
        },
        "end" => match value().get("status").and_then(Value::as_str) {
            Some(status) => Step::Ended(Status::from(status.to_owned())),
            None => Step::Nothing,
        },
        "error" => Step::Failed(
            value()
                .get("error")
                .and_then(Value::as_str)
                .map_or_else(|| "the stream failed".to_owned(), http::plain),
        ),
        "presence" => Step::Presence(presence::from_json(&value())),
        // `keepalive`, and names of a later version.
        _ => Step::Nothing,
    })
}

fn line(id: &str, data: String, view: View, cursor: Seq) -> Result<Step, Error> {
    let Ok(seq) = id.parse::<u64>().map(Seq) else {
        return Err(Error::Malformed {
            text: "an event of the journal has no number".to_owned(),
        });
    };
    if seq <= cursor {
        return Ok(Step::Nothing);
    }
    if view == View::Journal && seq != cursor.next() {
        return Ok(Step::Gap);
    }
    let mut line = data.into_bytes();
    line.truncate(MAX_LINE);
    Ok(Step::Line(seq, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, id: &str, data: &str) -> Told {
        Told::Event {
            name: name.to_owned(),
            id: id.to_owned(),
            data: data.to_owned(),
        }
    }

    fn step(view: View, told: Told) -> Step {
        read(told, view, Seq(5)).unwrap()
    }

    #[test]
    fn only_the_next_number_is_a_line_of_the_journal() {
        let told = |id: &str| step(View::Journal, event("message", id, "{}"));
        assert_eq!(told("6"), Step::Line(Seq(6), b"{}".to_vec()));
        assert_eq!(told("5"), Step::Nothing);
        assert_eq!(told("1"), Step::Nothing);
        assert_eq!(told("8"), Step::Gap);
        for id in ["", "x", "-1", "6.0", "99999999999999999999999"] {
            assert!(
                read(event("message", id, "{}"), View::Journal, Seq(5)).is_err(),
                "{id}"
            );
        }
    }

    #[test]
    fn commands_may_skip_numbers() {
        let told = step(View::Commands, event("message", "80", "{}"));
        assert_eq!(told, Step::Line(Seq(80), b"{}".to_vec()));
    }

    #[test]
    fn the_number_of_a_named_event_is_never_read() {
        let told = |name: &str, data: &str| step(View::Journal, event(name, "6", data));
        assert_eq!(
            told("hello", r#"{"last_seq":9,"keepalive":3}"#),
            Step::Hello {
                last: Some(Seq(9)),
                keepalive: Some(Duration::from_secs(3))
            }
        );
        let nothing = Step::Hello {
            last: None,
            keepalive: None,
        };
        assert_eq!(told("hello", "<"), nothing);
        assert_eq!(told("keepalive", "{}"), Step::Nothing);
        assert_eq!(told("never heard of", "{}"), Step::Nothing);
        assert_eq!(
            told("end", r#"{"status":"failed"}"#),
            Step::Ended(Status::Failed)
        );
        assert_eq!(told("end", "[]"), Step::Nothing);
        assert_eq!(
            told("error", r#"{"error":"disk full"}"#),
            Step::Failed("disk full".to_owned())
        );
    }

    use crate::client::raw::{Act, Asked, Raw as Server, at, chunked_events, events, logs, reply};

    /// What one attempt brought: lines, other news in words, and why it ended.
    struct Attempt {
        lines: Vec<(u64, usize)>,
        news: Vec<String>,
        error: Error,
    }

    const PATIENT: Duration = Duration::from_secs(120);

    async fn attempt(server: &Server, view: View, after: u64, silence: Duration) -> Attempt {
        attempt_at(server, view, Seq(after).into(), silence).await
    }

    async fn attempt_at(server: &Server, view: View, mark: Bookmark, silence: Duration) -> Attempt {
        let (out, mut heard) = mpsc::channel(4);
        let api = server.api();
        let at = at();
        let mut kept = Vec::new();
        let mut keep =
            |lines: &Raw| kept.extend(lines.iter().map(|(seq, line)| (seq.0, line.len())));
        let follow = async {
            let manner = Manner {
                silence: Some(silence),
                ..Manner::default()
            };
            let error = follow_kept(&api, &at, view, mark, &out, &mut keep, &manner).await;
            drop(out);
            error
        };
        let listen = async {
            let (mut numbers, mut news) = (Vec::new(), Vec::new());
            while let Some(heard) = heard.recv().await {
                match heard {
                    Heard::Lines(lines) => numbers.extend(lines.iter().map(|(seq, _)| seq.0)),
                    Heard::Opened { last, same } => {
                        let other = if same { "" } else { ", another one" };
                        news.push(format!("opened {last}{other}"));
                    }
                    Heard::Live => news.push("live".to_owned()),
                    Heard::Ended(status) => news.push(format!("ended {status}")),
                    Heard::Presence(clients) => news.push(format!("{} there", clients.len())),
                }
            }
            (numbers, news)
        };
        let (error, (numbers, news)) = tokio::join!(follow, listen);
        if view == View::Journal {
            let kept: Vec<u64> = kept.iter().map(|(seq, _)| *seq).collect();
            assert_eq!(kept, numbers, "what is kept is what is told");
        }
        Attempt {
            lines: kept,
            news,
            error,
        }
    }

    fn numbers(attempt: &Attempt) -> Vec<u64> {
        attempt.lines.iter().map(|(seq, _)| *seq).collect()
    }

    fn line(text: &str) -> Vec<u8> {
        format!(r#"{{"type":"notification","notification":{{"method":"{text}"}}}}"#).into_bytes()
    }

    fn journal(count: usize) -> Vec<Vec<u8>> {
        (1..=count).map(|n| line(&n.to_string())).collect()
    }

    const HELLO: &str = "event: hello\ndata: {\"last_seq\":2,\"keepalive\":15}\n\n";

    /// Two lines of history, then this stream.
    async fn with_stream(acts: Vec<Act>) -> Server {
        Server::serve(move |asked: &Asked| {
            if asked.path().contains("/logs") {
                logs(&journal(2), asked.after())
            } else {
                acts.clone()
            }
        })
        .await
    }

    fn say(text: &str) -> Act {
        Act::Say(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn history_comes_first_and_live_goes_on_behind_it() {
        let server = with_stream(vec![
            events(),
            say(HELLO),
            say("data: {}\nid: 3\n\nevent: keepalive\ndata: {}\n\ndata: {}\nid: 4\n\n"),
            say("event: end\ndata: {\"status\":\"completed\"}\n\ndata: {}\nid: 5\n\n"),
            Act::Close,
        ])
        .await;
        let attempt = attempt(&server, View::Journal, 1, PATIENT).await;
        assert_eq!(numbers(&attempt), [2, 3, 4, 5]);
        assert_eq!(attempt.news, ["opened 2", "live", "ended completed"]);
        assert!(matches!(attempt.error, Error::Unreachable { .. }));
        let asked = server.asked();
        assert!(asked[0].path().ends_with("/logs?after=1"));
        assert!(asked[1].path().ends_with("/sync?view=journal"));
        assert_eq!(asked[1].header("last-event-id"), Some("2"));
        assert_eq!(asked[1].header("authorization"), Some("Bearer the-token"));
    }

    #[tokio::test]
    async fn the_last_line_that_was_read_is_compared_and_told_once() {
        let spaced = br#"{ "notification": {"method": "2"}, "type" : "notification" }"#;
        let long = vec![b' '; LONGEST_MARK + 1];
        for said in [line("2").as_slice(), spaced, &long] {
            let server = with_stream(vec![events(), say(HELLO), Act::Close]).await;
            let mark = Bookmark::new(Seq(2), said);
            let attempt = attempt_at(&server, View::Journal, mark, PATIENT).await;
            assert_eq!(numbers(&attempt), [0; 0]);
            assert_eq!(attempt.news, ["opened 2", "live"]);
            assert_eq!(server.asked()[1].header("last-event-id"), Some("2"));
        }
        let server = with_stream(vec![events(), say(HELLO), Act::Silence]).await;
        let mark = Bookmark::new(Seq(1), &line("of another life"));
        let attempt = attempt_at(&server, View::Journal, mark, PATIENT).await;
        assert_eq!(numbers(&attempt), [0; 0], "none of them is told");
        assert_eq!(attempt.news, ["opened 2, another one"]);
        assert!(attempt.error.to_string().contains("line 1"));
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_closed_a_reset_and_a_silent_connection_are_worth_another_try() {
        let quick = Duration::from_millis(50);
        for (end, silence) in [
            (Act::Close, PATIENT),
            (Act::Reset, PATIENT),
            (Act::Silence, quick),
        ] {
            for before in [
                vec![],
                vec![events()],
                vec![events(), say(HELLO), say("data: {\"cut")],
            ] {
                let acts = [before, vec![end.clone()]].concat();
                let server = with_stream(acts).await;
                let attempt = attempt(&server, View::Journal, 0, silence).await;
                assert_eq!(numbers(&attempt), [1, 2]);
                assert!(
                    matches!(attempt.error, Error::Unreachable { .. }),
                    "{end:?}: {}",
                    attempt.error
                );
            }
        }
    }

    #[tokio::test]
    async fn numbers_that_repeat_are_dropped_and_a_gap_is_read_again() {
        let server = Server::serve(|asked: &Asked| {
            if !asked.path().contains("/logs") {
                let after = asked.header("last-event-id").unwrap().to_owned();
                let stream = match after.as_str() {
                    "2" => "data: {}\nid: 3\n\ndata: {}\nid: 3\n\ndata: {}\nid: 1\n\ndata: {}\nid: 6\n\n",
                    _ => "data: {}\nid: 8\n\n",
                };
                return vec![events(), say(stream), Act::Close];
            }
            let count = if asked.after() < 3 { 2 } else { 7 };
            logs(&journal(count), asked.after())
        })
        .await;
        let attempt = attempt(&server, View::Journal, 0, PATIENT).await;
        assert_eq!(numbers(&attempt), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[tokio::test]
    async fn a_journal_that_was_put_back_between_history_and_live_is_noticed() {
        let hello = "event: hello\ndata: {\"last_seq\":1,\"keepalive\":15}\n\ndata: {}\nid: 2\n\n";
        let server = with_stream(vec![events(), say(hello), Act::Silence]).await;
        let attempt = attempt(&server, View::Journal, 0, PATIENT).await;
        assert_eq!(numbers(&attempt), [1, 2]);
        let text = attempt.error.to_string();
        assert!(text.contains("ends at line 1"), "{text}");
    }

    #[tokio::test]
    async fn a_gap_that_history_does_not_fill_is_an_error() {
        let stream = vec![events(), say("data: {}\nid: 9\n\n"), Act::Close];
        let server = with_stream(stream).await;
        let attempt = attempt(&server, View::Journal, 0, PATIENT).await;
        assert_eq!(numbers(&attempt), [1, 2]);
        assert!(
            attempt.error.to_string().contains("line 3"),
            "{}",
            attempt.error
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_no_stream_is_told_in_a_sentence() {
        let html =
            |status: &str| reply(status, "content-type: text/html\r\n", b"<html>hello</html>");
        for (acts, words) in [
            (html("200 OK"), "`text/html` came"),
            (
                html("500 Internal Server Error"),
                "500 Internal Server Error",
            ),
            (
                reply(
                    "302 Found",
                    "location: https://elsewhere.example/x\r\n",
                    b"",
                ),
                "redirects to elsewhere.example",
            ),
            (
                reply("401 Unauthorized", "", b"{\"error\":\"token expired\"}"),
                "token expired",
            ),
            (
                vec![say("SSH-2.0-nonsense\r\n"), Act::Close],
                "cannot be reached",
            ),
            (
                vec![
                    events(),
                    say("event: error\ndata: {\"error\":\"disk full\"}\n\n"),
                    Act::Silence,
                ],
                "disk full",
            ),
            (
                vec![events(), say("\u{feff}data: {}\nid: 3\n\n"), Act::Silence],
                "cannot be read",
            ),
            (
                vec![events(), say("data: {}\n\n"), Act::Silence],
                "has no number",
            ),
        ] {
            let server = with_stream(acts).await;
            let attempt = attempt(&server, View::Journal, 0, PATIENT).await;
            assert_eq!(numbers(&attempt), [1, 2]);
            let text = attempt.error.to_string();
            assert!(text.contains(words), "{text}");
            assert!(!text.contains("<html>") && !text.contains('\n'), "{text}");
        }
    }

    #[tokio::test]
    async fn history_that_is_no_journal_is_told_in_a_sentence() {
        for (acts, words) in [
            (
                reply("200 OK", "content-type: text/html\r\n", b"<html>"),
                "a web page came",
            ),
            (
                reply("200 OK", "content-type: application/jsonl\r\n", b"{}\n"),
                "an event stream was asked for",
            ),
            (
                reply("404 Not Found", "", b"{\"error\":\"no such run\"}"),
                "no such run",
            ),
            (reply("429 Too Many Requests", "", b""), "429"),
        ] {
            let server = Server::serve(move |_| acts.clone()).await;
            let attempt = attempt(&server, View::Journal, 0, PATIENT).await;
            let text = attempt.error.to_string();
            assert!(text.contains(words), "{text}");
        }
    }

    #[tokio::test]
    async fn history_that_is_cut_goes_on_where_it_was_cut() {
        let server = Server::serve(|asked: &Asked| {
            let whole = logs(&journal(5), asked.after());
            match (&whole[0], asked.after()) {
                (Act::Say(bytes), 0) => {
                    // In the middle of the fourth line.
                    let cut = bytes.len() - journal(1)[0].len() - 10;
                    vec![Act::Say(bytes[..cut].to_vec()), Act::Close]
                }
                _ => whole,
            }
        })
        .await;
        let first = attempt(&server, View::Journal, 0, PATIENT).await;
        assert_eq!(numbers(&first), [1, 2, 3]);
        assert!(matches!(first.error, Error::Unreachable { .. }));
        let second = attempt(&server, View::Journal, 3, PATIENT).await;
        assert_eq!(numbers(&second), [4, 5]);
    }

    #[tokio::test]
    async fn a_line_of_32_mib_is_passed_with_its_number_and_the_next_one_is_whole() {
        const HUGE: usize = 32 << 20;
        let huge = || vec![b'x'; HUGE];
        let server = Server::serve(move |asked: &Asked| {
            if asked.path().contains("/logs") {
                // History ends before the huge line at first, and has it on the next try.
                let lines = match asked.after() {
                    0 => journal(1),
                    _ => vec![line("1"), huge(), line("3")],
                };
                return logs(&lines, asked.after());
            }
            let mut event = b"data: ".to_vec();
            event.extend(huge());
            event.extend(b"\nid: 2\n\n");
            vec![events(), Act::Say(event), Act::Silence]
        })
        .await;
        let first = attempt(&server, View::Journal, 0, Duration::from_millis(200)).await;
        // A fast machine may read it all in time; then it is cut there.
        let after = first.lines.len() as u64;
        assert!(numbers(&first) == [1] || first.lines == [(1, line("1").len()), (2, MAX_LINE)]);
        let second = attempt(&server, View::Journal, after, Duration::from_millis(200)).await;
        let all: Vec<(u64, usize)> = [first.lines, second.lines].concat();
        assert_eq!(
            all,
            [(1, line("1").len()), (2, MAX_LINE), (3, line("3").len())]
        );
    }

    #[tokio::test]
    async fn commands_skip_numbers_and_pass_a_place_that_cannot_be_read_by_history() {
        let command = br#"{"type":"client_message","message":{"jsonrpc":"2.0","id":"c1","method":"_posthog/cancel","params":{}}}"#;
        let lines = vec![line("1"), command.to_vec(), line("3")];
        let server = Server::serve(move |asked: &Asked| {
            if asked.path().contains("/logs") {
                return logs(&lines, asked.after());
            }
            vec![events(), say("\u{feff}"), Act::Silence]
        })
        .await;
        let (out, mut heard) = mpsc::channel(16);
        let error = follow(&server.api(), &at(), View::Commands, Seq::ZERO, &out).await;
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        let Some(Heard::Lines(lines)) = heard.recv().await else {
            panic!("the command was passed over");
        };
        assert_eq!(lines[0].0, Seq(2));
        let asked = server.asked();
        assert!(asked[0].path().ends_with("/sync?view=commands"));
        assert_eq!(asked[0].header("last-event-id"), Some("0"));
    }

    #[tokio::test]
    async fn pieces_of_any_size_carry_the_same_lines() {
        let stream = "data: {}\r\nid: 3\r\n\r\n: comment\rdata: {\rdata: }\rid: 4\r\r\nevent: keepalive\ndata: {}\nid: 9\n\ndata: {}\nid: 5\n\n";
        for size in 1..=stream.len() {
            let pieces: Vec<Vec<u8>> = stream.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            let server = with_stream(vec![chunked_events(), Act::Chunks(pieces), Act::Close]).await;
            let attempt = attempt(&server, View::Journal, 2, PATIENT).await;
            assert_eq!(numbers(&attempt), [3, 4, 5], "pieces of {size}");
        }
    }
}
