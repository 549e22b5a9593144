//! What must be known of a run's journal at any moment, kept up line by line.
//!
//! Pure: the same lines give the same ledger, so it is rebuilt by reading the journal again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use serde_json::Value;

use crate::plant::planted;
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::{Command, What};
use crate::protocol::entry::Ends;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::run::{Brief, Status};

/// How a run stands, by its journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// The last line's number.
    pub last: Seq,
    /// `session/prompt` requests without a response, oldest first.
    pub unanswered: Vec<OpenPrompt>,
    /// Accepted user messages that no prompt request has taken, the next one first.
    pub untaken: Vec<CommandId>,
    /// Permission requests without an answer, oldest first.
    pub permissions: Vec<OpenPermission>,
    /// What each path held by its last `file_sync`; `None` after a delete.
    pub files: BTreeMap<String, Option<ContentHash>>,
    /// Prompt requests so far.
    pub turns: u64,
    /// Permission requests of turns that are over: nobody waits for an answer to them.
    pub stale: BTreeSet<String>,
    /// A `_posthog/close` was accepted: the run is not restarted.
    pub closed: bool,
    /// The agent side has said that a step of its start failed: starting it once more by itself would fail alike.
    pub gave_up: bool,
}

impl Standing {
    /// A prompt is being answered, or still has to be.
    pub fn is_working(&self) -> bool {
        !self.unanswered.is_empty() || !self.untaken.is_empty()
    }

    /// For a list of runs.
    pub fn brief(&self) -> Brief {
        let asks = |open: &&OpenPermission| !self.stale.contains(&open.request);
        let questions = match self.unanswered.is_empty() {
            true => 0,
            false => self.permissions.iter().filter(asks).count(),
        };
        Brief {
            working: self.is_working(),
            questions: questions as u64,
            turns: Some(self.turns),
            files: Some(self.files.len() as u64),
            clients: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct OpenPrompt {
    /// The JSON-RPC id its response must carry.
    pub id: Value,
    pub command: Option<CommandId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPermission {
    pub request: String,
    pub tool_call: String,
}

/// What a run's journal has said so far.
#[derive(Debug, Default)]
pub struct Ledger {
    standing: Standing,
    /// Every command's line.
    commands: HashMap<CommandId, Seq>,
    /// The change that gave a waiting message its newest words.
    edits: HashMap<CommandId, CommandId>,
    /// Waiting messages that a cancel has ended.
    ended: HashSet<CommandId>,
    /// Messages that are no longer waiting, and why.
    gone: HashMap<CommandId, Gone>,
    /// The last line number of each agent server's start.
    sources: HashMap<String, u64>,
    /// Who answered which permission request.
    answered: HashMap<String, String>,
    status: Option<Status>,
}

/// Why a queued message can no longer be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    Taken,
    Removed,
}

/// What the ledger says to a wish to change a queued message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    Waiting,
    Gone(Gone),
    Unknown,
}

/// The place of a line in what one agent server has sent since its start (contract 10.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub source: String,
    pub first: u64,
}

impl FromStr for Batch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "Ashore-Batch must be `<uuid>:<number of the first line>`, as in `0b2e…:17`";
        let (source, first) = text.rsplit_once(':').ok_or(SHAPE)?;
        let source = uuid::Uuid::try_parse(source).map_err(|_| SHAPE)?;
        Ok(Self {
            source: source.to_string(),
            first: first.parse().map_err(|_| SHAPE)?,
        })
    }
}

impl Ledger {
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The last status the endpoint journaled.
    pub fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// The line of a command that was accepted before.
    pub fn command(&self, id: &CommandId) -> Option<Seq> {
        self.commands.get(id).copied()
    }

    pub fn queued(&self, id: &CommandId) -> Queued {
        match self.gone.get(id) {
            Some(gone) => Queued::Gone(*gone),
            None if self.standing.untaken.contains(id) => Queued::Waiting,
            None => Queued::Unknown,
        }
    }

    /// The last line number of this agent server's start; 0 before the first.
    pub fn sent(&self, source: &str) -> u64 {
        self.sources.get(source).copied().unwrap_or(0)
    }

    /// Who answered this permission request.
    pub fn answered(&self, request: &str) -> Option<&str> {
        self.answered.get(request).map(String::as_str)
    }

    /// What this command ends: the turn that is open, and without one the next message that waits and that no cancel has
    /// ended yet (design decision 5). A steer ends no waiting one.
    pub fn ends(&self, what: &What) -> Option<Ends> {
        let waits = match what {
            What::Cancel => true,
            What::Amend(amendment) if amendment.how == Amend::Steer => false,
            _ => return None,
        };
        match self.standing.unanswered.first() {
            // A turn of another kind of id is not our agent side's.
            Some(open) => open.id.as_u64().map(Ends::Turn),
            None => {
                let mut untaken = self.standing.untaken.iter();
                let next =
                    untaken.find(|id| planted!(TwoCancelsOnePrompt) || !self.ended.contains(*id));
                next.filter(|_| waits).cloned().map(Ends::Waiting)
            }
        }
    }

    /// Takes in the next line.
    pub fn note(&mut self, line: &Value) {
        self.standing.last = self.standing.last.next();
        if let Some((source, number)) = line.get("src").and_then(Value::as_str).and_then(place) {
            let sent = self.sources.entry(source.to_owned()).or_default();
            *sent = number.max(*sent);
        }
        match line.get("type").and_then(Value::as_str) {
            Some("client_message") => self.client(line),
            Some("notification") => self.message(line, line.get("notification")),
            Some("agent_event") => self.message(line, line.get("event")),
            _ => (),
        }
    }

    /// A line of an unreadable kind still has a number.
    pub fn skip(&mut self) {
        self.standing.last = self.standing.last.next();
    }

    fn client(&mut self, line: &Value) {
        let Some(Ok(command)) = line.get("message").map(Command::from_json) else {
            return;
        };
        let id = text(line, "id")
            .and_then(|id| id.parse().ok())
            .or(command.id);
        if let Some(id) = &id {
            self.commands.insert(id.clone(), self.standing.last);
        }
        match command.what {
            What::UserMessage(_) => self.standing.untaken.extend(id),
            What::Close => self.standing.closed = true,
            What::Permission(reply) => {
                let who = text(line, "from").unwrap_or("a client");
                self.answer(&reply.request, who);
            }
            What::Amend(amendment) => self.amend(id, &amendment),
            What::Cancel => {
                if let Some(Ends::Waiting(id)) = self.ends(&command.what) {
                    self.ended.insert(id);
                }
            }
            What::SetMode(_)
            | What::SetConfig { .. }
            | What::FileChanged(_)
            | What::Presence { .. }
            | What::Other { .. } => (),
        }
    }

    /// What waits stands in the order in which it is to be taken.
    fn amend(&mut self, id: Option<CommandId>, amendment: &Amendment) {
        let untaken = &mut self.standing.untaken;
        let Some((from, to)) = amendment.place(untaken.iter().map(Some)) else {
            return;
        };
        match &amendment.how {
            Amend::Remove => self.leave_queue(&amendment.command, Gone::Removed),
            Amend::Edit(_) => {
                let edited = amendment.command.clone();
                self.edits.extend(id.map(|id| (edited, id)));
            }
            Amend::Move { .. } | Amend::Steer => {
                let one = untaken.remove(from);
                untaken.insert(to, one);
            }
        }
    }

    fn message(&mut self, line: &Value, message: Option<&Value>) {
        let Some(message) = message else { return };
        let params = message.get("params").unwrap_or(&Value::Null);
        match (text(message, "method"), message.get("id")) {
            (Some("session/prompt"), Some(id)) => self.prompt(id, params, message),
            (Some(method), _) => self.notification(line, plain(method), params),
            (None, Some(id)) if message.get("result").or(message.get("error")).is_some() => {
                let open = &mut self.standing.unanswered;
                if let Some(index) = open.iter().position(|prompt| prompt.id == *id) {
                    open.remove(index);
                }
            }
            (None, _) => (),
        }
    }

    fn prompt(&mut self, id: &Value, params: &Value, message: &Value) {
        let marked = |value: &Value, key: &str| {
            let id = value.pointer("/_meta/ashore")?.get(key)?.as_str()?;
            id.parse::<CommandId>().ok()
        };
        let command = marked(params, "command").or_else(|| marked(message, "command"));
        if let Some(command) = &command {
            let newest = self.edits.get(command).cloned();
            let ended = self.ended.contains(command);
            self.leave_queue(command, Gone::Taken);
            // Words that came too late for this turn wait for one of their own, as the command that brought them.
            let late = newest.filter(|edit| marked(params, "edit").as_ref() != Some(edit));
            if let Some(late) = late.filter(|_| !ended) {
                self.standing.untaken.insert(0, late);
            }
        }
        let standing = &mut self.standing;
        standing.turns += 1;
        let asked = standing.permissions.iter().map(|open| open.request.clone());
        standing.stale = asked.collect();
        self.standing.unanswered.push(OpenPrompt {
            id: id.clone(),
            command,
        });
    }

    fn leave_queue(&mut self, command: &CommandId, why: Gone) {
        self.standing.untaken.retain(|waiting| waiting != command);
        self.edits.remove(command);
        self.ended.remove(command);
        self.gone.insert(command.clone(), why);
    }

    fn answer(&mut self, request: &str, who: &str) {
        self.standing
            .permissions
            .retain(|open| open.request != request);
        self.answered
            .entry(request.to_owned())
            .or_insert_with(|| who.to_owned());
    }

    fn notification(&mut self, line: &Value, method: &str, params: &Value) {
        let endpoint = text(line, "from") == Some("endpoint");
        match method {
            "permission_request" => {
                let tool_call = text(params, "toolCallId")
                    .or_else(|| text(params.get("toolCall")?, "toolCallId"))
                    .unwrap_or_default();
                let request = text(params, "requestId").unwrap_or(tool_call);
                // The same request may be told again; an answered one is asked anew only under a new id.
                let known = self
                    .standing
                    .permissions
                    .iter()
                    .any(|p| p.request == request);
                if !known && !self.answered.contains_key(request) {
                    self.standing.permissions.push(OpenPermission {
                        request: request.to_owned(),
                        tool_call: tool_call.to_owned(),
                    });
                }
            }
            "permission_response" => {
                if let Some(request) = text(params, "requestId").or(text(params, "toolCallId")) {
                    self.answer(request, text(params, "from").unwrap_or("the agent side"));
                }
            }
            "file_sync" => {
                if let Some(path) = text(params, "relativePath") {
                    let gone = text(params, "type") == Some("file_deleted");
                    let hash = text(params, "contentHash").and_then(|hash| hash.parse().ok());
                    let now = if gone { None } else { hash };
                    self.standing.files.insert(path.to_owned(), now);
                }
            }
            "_ashore/step" if !endpoint => {
                let ours = matches!(text(params, "step"), Some("agent" | "workspace"));
                self.standing.gave_up = ours && text(params, "status") == Some("failed");
            }
            "_ashore/status" if endpoint => {
                self.status = text(params, "status").map(|word| Status::from(word.to_owned()));
            }
            _ => (),
        }
    }
}

/// The name of a `_posthog/*` or `_array/*` notification, with or without the ACP library's extra underscore.
fn plain(method: &str) -> &str {
    let name = if method.starts_with("__") {
        &method[1..]
    } else {
        method
    };
    name.strip_prefix("_posthog/")
        .or_else(|| name.strip_prefix("_array/"))
        .unwrap_or(name)
}

/// The id of the permission request that a notification answers, and with which option.
pub fn permission_answer(message: &Value) -> Option<(&str, &str)> {
    if plain(text(message, "method")?) != "permission_response" {
        return None;
    }
    let params = message.get("params")?;
    let request = text(params, "requestId").or_else(|| text(params, "toolCallId"))?;
    Some((request, text(params, "optionId").unwrap_or_default()))
}

fn place(src: &str) -> Option<(&str, u64)> {
    let (source, number) = src.rsplit_once(':')?;
    Some((source, number.parse().ok()?))
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ledger(lines: &[Value]) -> Ledger {
        let mut ledger = Ledger::default();
        for line in lines {
            ledger.note(line);
        }
        ledger
    }

    fn said(notification: Value) -> Value {
        json!({"type": "notification", "timestamp": "2026-01-19T12:00:00.900Z", "notification": notification})
    }

    fn client(id: &str, method: &str, params: Value) -> Value {
        json!({"type": "client_message", "id": id, "from": "ana", "message": {"id": id, "method": method, "params": params}})
    }

    #[test]
    fn a_list_is_told_turns_files_and_the_questions_that_somebody_waits_for() {
        let prompt = |id: u64| said(json!({"id": id, "method": "session/prompt", "params": {}}));
        let ends = |id: u64| said(json!({"id": id, "result": {"stopReason": "end_turn"}}));
        let asks = |id: &str| {
            said(
                json!({"method": "_posthog/permission_request", "params": {"requestId": id, "toolCallId": "t"}}),
            )
        };
        let file = |path: &str| {
            said(
                json!({"method": "_posthog/file_sync", "params": {"type": "file_modified", "relativePath": path}}),
            )
        };
        let brief = |lines: &[Value]| {
            let brief = ledger(lines).standing().brief();
            (brief.working, brief.questions, brief.turns, brief.files)
        };
        let all = [
            prompt(1),
            asks("p1"),
            file("a"),
            file("a"),
            ends(1),
            prompt(2),
            asks("p2"),
            file("b"),
        ];
        assert_eq!(brief(&[]), (false, 0, Some(0), Some(0)));
        assert_eq!(brief(&all[..2]), (true, 1, Some(1), Some(0)));
        assert_eq!(brief(&all[..5]), (false, 0, Some(1), Some(1)));
        assert_eq!(brief(&all[..6]), (true, 0, Some(2), Some(1)));
        assert_eq!(brief(&all), (true, 1, Some(2), Some(2)));
    }

    #[test]
    fn a_message_waits_until_its_prompt_request_stands_in_the_journal() {
        let message = client("m1", "_posthog/user_message", json!({"content": "go"}));
        let taken = said(
            json!({"id": 4, "method": "session/prompt", "params": {"_meta": {"ashore": {"command": "m1"}}}}),
        );
        let answered = said(json!({"id": 4, "result": {"stopReason": "end_turn"}}));
        let id: CommandId = "m1".parse().unwrap();

        let waiting = ledger(std::slice::from_ref(&message));
        assert_eq!(waiting.queued(&id), Queued::Waiting);
        assert_eq!(waiting.command(&id), Some(Seq(1)));

        let running = ledger(&[message.clone(), taken.clone()]);
        assert_eq!(running.queued(&id), Queued::Gone(Gone::Taken));
        assert_eq!(
            running.standing().unanswered,
            [OpenPrompt {
                id: json!(4),
                command: Some(id.clone())
            }]
        );

        let done = ledger(&[message, taken, answered]);
        assert_eq!(done.standing().unanswered, []);
        assert_eq!(done.standing().last, Seq(3));
    }

    fn message(id: &str) -> Value {
        client(id, "_posthog/user_message", json!({"content": id}))
    }

    fn taken(number: u64, id: &str) -> Value {
        said(
            json!({"id": number, "method": "session/prompt", "params": {"_meta": {"ashore": {"command": id}}}}),
        )
    }

    fn cancel(id: &str) -> Value {
        client(id, "_posthog/cancel", json!({}))
    }

    #[test]
    fn a_cancel_ends_the_open_turn_else_the_next_that_waits_and_each_another() {
        let ends = |lines: &[Value]| {
            let ends = ledger(lines).ends(&What::Cancel);
            ends.map(|ends| Value::from(ends).to_string())
        };
        let end = said(json!({"id": 1, "result": {"stopReason": "end_turn"}}));
        let to_front = client("m", "_ashore/steer", json!({"command": "b"}));
        let mut lines = vec![message("a"), message("b")];
        assert_eq!(ends(&lines).as_deref(), Some("\"a\""));
        lines.push(cancel("c1"));
        assert_eq!(ends(&lines).as_deref(), Some("\"b\""));
        lines.extend([cancel("c2"), taken(1, "a")]);
        assert_eq!(ends(&lines).as_deref(), Some("1"));
        lines.push(end);
        assert_eq!(ends(&lines), None, "the one that waits has been ended");
        let steered = [message("a"), message("b"), to_front];
        assert_eq!(ends(&steered).as_deref(), Some("\"b\""));
    }

    #[test]
    fn words_that_came_too_late_for_their_turn_wait_as_the_command_that_brought_them() {
        let edit = client(
            "e",
            "_ashore/queue_edit",
            json!({"command": "a", "content": "x"}),
        );
        let untaken = |lines: &[Value]| -> Vec<String> {
            let ledger = ledger(lines);
            let ids = ledger.standing().untaken.iter();
            ids.map(ToString::to_string).collect()
        };
        let mut begin = vec![message("a"), message("b"), edit];
        let mut in_time = taken(1, "a");
        in_time["notification"]["params"]["_meta"]["ashore"]["edit"] = json!("e");
        begin.push(in_time);
        assert_eq!(untaken(&begin), ["b"]);
        begin.pop();
        begin.push(taken(1, "a"));
        assert_eq!(untaken(&begin), ["e", "b"]);
        begin.push(taken(2, "e"));
        assert_eq!(untaken(&begin), ["b"]);
        begin.truncate(3);
        begin.extend([cancel("c"), taken(1, "a")]);
        assert_eq!(untaken(&begin), ["b"], "the message was cancelled");
    }

    #[test]
    fn the_first_answer_to_a_permission_request_is_the_one_that_counts() {
        let ask = said(
            json!({"method": "_posthog/permission_request", "params": {"requestId": "q", "toolCallId": "t", "options": []}}),
        );
        let answer = |who: &str| json!({"type": "client_message", "from": who, "message": {"method": "_posthog/permission_response", "params": {"requestId": "q", "toolCallId": "t", "optionId": "allow"}}});
        assert_eq!(
            ledger(std::slice::from_ref(&ask)).standing().permissions,
            [OpenPermission {
                request: "q".into(),
                tool_call: "t".into()
            }]
        );
        let both = ledger(&[ask, answer("ana"), answer("bo")]);
        assert_eq!(both.standing().permissions, []);
        assert_eq!(both.answered("q"), Some("ana"));
    }

    #[test]
    fn a_start_that_failed_is_remembered_until_the_next_one() {
        let step = |step: &str, status: &str| {
            said(json!({"method": "_ashore/step", "params": {"step": step, "status": status}}))
        };
        let failed = [step("workspace", "done"), step("agent", "failed")];
        assert!(ledger(&failed).standing().gave_up);
        let again = [step("agent", "failed"), step("agent", "started")];
        assert!(!ledger(&again).standing().gave_up);
        let mut endpoint = step("agent", "failed");
        endpoint["from"] = json!("endpoint");
        assert!(!ledger(&[endpoint]).standing().gave_up);
    }

    #[test]
    fn batches_files_close_and_status_are_remembered() {
        let sync = said(
            json!({"method": "__posthog/file_sync", "params": {"type": "file_created", "relativePath": "a", "contentHash": ContentHash::of(b"x")}}),
        );
        let mut first = sync.clone();
        first["src"] = json!("9b2d:7");
        let forged = said(json!({"method": "_ashore/status", "params": {"status": "completed"}}));
        let mut status = forged.clone();
        status["from"] = json!("endpoint");
        let gone = said(
            json!({"method": "_posthog/file_sync", "params": {"type": "file_deleted", "relativePath": "b"}}),
        );
        assert_eq!(ledger(std::slice::from_ref(&forged)).status(), None);
        let ledger = ledger(&[
            first,
            gone,
            forged,
            status,
            client("c", "_posthog/close", json!({})),
        ]);
        assert_eq!(ledger.sent("9b2d"), 7);
        assert_eq!(ledger.status(), Some(&Status::Completed));
        assert!(ledger.standing().closed);
        assert_eq!(
            ledger.standing().files,
            BTreeMap::from([
                ("a".into(), Some(ContentHash::of(b"x"))),
                ("b".into(), None)
            ])
        );
    }

    #[test]
    fn a_batch_header_names_a_uuid_and_a_number() {
        let uuid = "0b2e6c34-58d2-4a07-8a43-0f3d9be7c215";
        assert_eq!(
            format!("{uuid}:17").parse(),
            Ok(Batch {
                source: uuid.into(),
                first: 17
            })
        );
        for bad in ["", "x:1", uuid, "0b2e6c34-58d2-4a07-8a43-0f3d9be7c215:-1"] {
            assert!(bad.parse::<Batch>().is_err(), "{bad}");
        }
    }
}
