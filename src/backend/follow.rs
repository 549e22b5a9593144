//! A cursor over one journal: where to begin, what of each line is sent, and when the end of the run is told.
//!
//! Pure. Reading, waiting and sending are the shell's (`http::stream`).

use memchr::memmem;
use serde_json::{Value, json};

use crate::plant::planted;
use crate::protocol::ids::{RunId, Seq};
use crate::protocol::run::Status;

/// What of the journal a follower wants (contract 3 and 10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// As the reference sends it: inner messages, without what its own user interface draws by itself.
    Reference,
    /// Every line in its wrapper.
    Journal,
    /// Client messages in their wrappers.
    Commands,
}

impl View {
    pub fn parse(word: Option<&str>) -> Option<Self> {
        match word {
            None => Some(Self::Reference),
            Some("journal") => Some(Self::Journal),
            Some("commands") => Some(Self::Commands),
            Some(_) => None,
        }
    }

    /// Named events are for those who know this wire only.
    pub fn is_ours(self) -> bool {
        match self {
            Self::Reference => false,
            Self::Journal | Self::Commands => true,
        }
    }
}

/// Behind which line a follower begins. No header, garbage or a number beyond the end: live only. A refusal would make
/// the reference client give up.
pub fn begin(last_event_id: Option<&str>, last: Seq) -> Seq {
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    last_event_id
        .map(str::trim)
        .filter(digits)
        .and_then(|text| text.parse().ok())
        .map(|after: u64| after + u64::from(planted!(OffByOneCursor)))
        .map_or(last, |after| Seq(after).min(last))
}

/// One follower's place.
#[derive(Debug)]
pub struct Cursor {
    view: View,
    run: RunId,
    after: Seq,
    /// The terminal status, when the run has ended.
    ended: Option<Status>,
    told: bool,
}

impl Cursor {
    pub fn new(view: View, run: RunId, after: Seq) -> Self {
        Self {
            view,
            run,
            after,
            ended: None,
            told: false,
        }
    }

    /// The last line passed.
    pub fn after(&self) -> Seq {
        self.after
    }

    /// Passes the next line; the event to send, if it is one for this view.
    pub fn pass(&mut self, line: &[u8]) -> Option<String> {
        self.after = self.after.next();
        if let Some(status) = status(line) {
            self.stands(&status);
        }
        let data = match self.view {
            View::Journal => String::from_utf8_lossy(line).into_owned(),
            View::Commands => command(line)?,
            View::Reference => reference(line, &self.run)?,
        };
        // `data` before `id`: the reference parser forgets an `id` that a network read cuts off from its data.
        Some(format!("data: {data}\nid: {}\n\n", self.after))
    }

    /// How the run stands, by its journal or by the store.
    pub fn stands(&mut self, status: &Status) {
        if !status.is_terminal() {
            self.ended = None;
            self.told = false;
        } else if self.ended.is_none() {
            self.ended = Some(status.clone());
        }
    }

    /// At the end of the journal: the `end` event, once.
    pub fn end(&mut self) -> Option<String> {
        let status = self.ended.as_ref().filter(|_| !self.told)?;
        if !self.view.is_ours() {
            return None;
        }
        self.told = true;
        Some(named("end", &json!({"status": status})))
    }

    /// Nothing more will come: an agent side is told the end and let go.
    pub fn is_over(&self) -> bool {
        self.told && self.view == View::Commands
    }
}

/// An event with a name and without an id.
pub fn named(event: &str, data: &Value) -> String {
    format!("event: {event}\ndata: {data}\n\n")
}

/// The endpoint's word on how the run stands.
fn status(line: &[u8]) -> Option<Status> {
    memmem::find(line, b"_ashore/status")?;
    let line: Value = serde_json::from_slice(line).ok()?;
    let message = line.get("notification")?;
    let ours = line.get("from").and_then(Value::as_str) == Some("endpoint")
        && message.get("method").and_then(Value::as_str) == Some("_ashore/status");
    let word = message.pointer("/params/status")?.as_str()?;
    ours.then(|| Status::from(word.to_owned()))
}

fn command(line: &[u8]) -> Option<String> {
    memmem::find(line, b"client_message")?;
    let value: Value = serde_json::from_slice(line).ok()?;
    let wanted = value.get("type").and_then(Value::as_str) == Some("client_message");
    wanted.then(|| String::from_utf8_lossy(line).into_owned())
}

/// The inner message. Client messages, prompt requests and responses are left out: the reference's user interface has
/// drawn its own turn when it sent the prompt.
fn reference(line: &[u8], run: &RunId) -> Option<String> {
    let mut line: Value = serde_json::from_slice(line).ok()?;
    let inner = match line.get("type")?.as_str()? {
        "notification" => "notification",
        "agent_event" => "event",
        _ => return None,
    };
    let mut message = line.get_mut(inner)?.take();
    let method = message.get("method")?.as_str()?;
    if method == "session/prompt" {
        return None;
    }
    if let Some(session) = message.pointer_mut("/params/sessionId") {
        *session = json!(run);
    }
    Some(message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(view: View) -> Cursor {
        Cursor::new(view, "run".parse().unwrap(), Seq(4))
    }

    #[test]
    fn a_follower_begins_exactly_where_it_says_and_live_when_it_says_nothing_sensible() {
        let last = Seq(7);
        for (header, after) in [
            (None, 7),
            (Some("0"), 0),
            (Some("3"), 3),
            (Some("7"), 7),
            (Some("8"), 7),
            (Some("99999999999999999999999"), 7),
            (Some("abc"), 7),
            (Some("-1"), 7),
            (Some("+1"), 7),
            (Some(""), 7),
        ] {
            assert_eq!(begin(header, last), Seq(after), "{header:?}");
        }
    }

    #[test]
    fn the_reference_gets_inner_messages_and_never_a_turn_it_draws_itself() {
        let mut cursor = cursor(View::Reference);
        let update = br#"{"type":"notification","notification":{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"other","update":{}}}}"#;
        assert_eq!(
            cursor.pass(update).unwrap(),
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"sessionId\":\"run\",\"update\":{}}}\nid: 5\n\n"
        );
        for hidden in [
            r#"{"type":"client_message","message":{"method":"_posthog/cancel"}}"#,
            r#"{"type":"notification","notification":{"id":1,"method":"session/prompt","params":{}}}"#,
            r#"{"type":"notification","notification":{"id":1,"result":{"stopReason":"end_turn"}}}"#,
            r#"{"type":"heartbeat"}"#,
            "not json",
        ] {
            assert_eq!(cursor.pass(hidden.as_bytes()), None, "{hidden}");
        }
        assert_eq!(cursor.after(), Seq(10));
    }

    #[test]
    fn the_agent_side_gets_commands_only_with_their_own_numbers() {
        let mut cursor = cursor(View::Commands);
        assert_eq!(
            cursor.pass(br#"{"type":"notification","notification":{"method":"client_message"}}"#),
            None
        );
        let message = br#"{"type":"client_message","message":{"method":"_posthog/cancel"}}"#;
        let event = cursor.pass(message).unwrap();
        assert!(
            event.starts_with("data: {\"type\":\"client_message\"")
                && event.ends_with("\nid: 6\n\n")
        );
    }

    #[test]
    fn the_end_is_told_once_and_again_after_the_run_was_reopened() {
        let mut cursor = cursor(View::Journal);
        let line = |status: &str, from: &str| {
            format!(
                r#"{{"type":"notification","notification":{{"method":"_ashore/status","params":{{"status":"{status}"}}}},"from":"{from}"}}"#
            )
        };
        cursor.pass(line("completed", "agent").as_bytes());
        assert_eq!(cursor.end(), None);
        for _ in 0..2 {
            cursor.pass(line("completed", "endpoint").as_bytes());
            assert_eq!(
                cursor.end().unwrap(),
                "event: end\ndata: {\"status\":\"completed\"}\n\n"
            );
            assert_eq!(cursor.end(), None);
            assert!(!cursor.is_over());
            cursor.pass(line("in_progress", "endpoint").as_bytes());
            assert_eq!(cursor.end(), None);
        }
    }
}
