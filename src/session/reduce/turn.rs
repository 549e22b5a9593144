//! Where a turn begins and ends, and how the run stands.
//!
//! Pure. A turn is a prompt request and its response; a foreign log may have only the one or the other.

use serde_json::Value;

use crate::protocol::acp::Usage;
use crate::protocol::command::What;
use crate::protocol::entry::{Ends, Entry, RpcError, Takes};
use crate::protocol::run::Status;
use crate::session::index::TurnNotes;
use crate::session::reduce::At;
use crate::session::state::{Cancelling, Session, Turn};
use crate::session::transcript::{Body, Level, Spent};

impl Session {
    /// `request` is the request's id, empty when no request line was seen.
    pub(super) fn begin_turn(&mut self, at: At, request: String) {
        self.leave_turn(at);
        self.index.copies.forget();
        self.turns += 1;
        self.turn = Turn::Working {
            since: at.time,
            request,
        };
        self.index.turn = TurnNotes {
            after: at.seq,
            started: at.time,
            usage: self.usage,
            ..TurnNotes::default()
        };
        self.reopen();
    }

    /// A cancel, or a steer, of the turn that is open. Where no endpoint says what a cancel ends it is the open turn.
    pub(super) fn is_to_end(&mut self, at: At, what: &What, entry: &Entry) {
        let Turn::Working { request, .. } = &self.turn else {
            return;
        };
        let this = match &entry.ends {
            Some(Ends::Turn(id)) => *request == id.to_string(),
            Some(Ends::Waiting(_)) => false,
            None => *what == What::Cancel,
        };
        if this && self.cancelling.is_none() {
            self.cancelling = Some(Cancelling { since: at.time });
        }
    }

    /// The request line of a turn that had begun without one.
    pub(super) fn name_turn(&mut self, name: String) {
        if let Turn::Working { request, .. } = &mut self.turn {
            *request = name;
        }
    }

    /// What belongs to a turn goes with it: open questions, running calls, texts that could go on.
    fn leave_turn(&mut self, at: At) {
        self.close_open(at);
        self.permissions.clear();
        self.cancelling = None;
        self.index.words = None;
        self.index.unconfirmed.clear();
        self.index.messages.clear();
        self.index.agent_requests.clear();
        for place in std::mem::take(&mut self.index.running) {
            self.transcript.cells.change(place, |body| {
                if let Body::Tool(call) = body {
                    call.abandoned = true;
                    call.ended = at.time;
                }
            });
        }
    }

    fn end_turn(&mut self, at: At, stop_reason: &str, error: Option<String>) {
        let request = match std::mem::take(&mut self.turn) {
            Turn::Working { request, .. } => Some(request),
            Turn::Idle => None,
        };
        self.leave_turn(at);
        let notes = std::mem::take(&mut self.index.turn);
        let changed = self.files.iter().rev();
        let of_turn = changed.take_while(|file| file.seq > notes.after);
        let files = of_turn.filter(|file| !file.by_user).count();
        let spent = Spent::between(notes.usage, self.usage);
        self.push(
            at,
            Body::TurnEnd {
                stop_reason: stop_reason.to_owned(),
                error,
                started: notes.started,
                ended: at.time,
                files,
                spent,
            },
        );
        // What comes late belongs to this turn.
        self.index.turn.usage = match spent {
            Some(_) => self.usage,
            None => notes.usage,
        };
        self.index.turn.last_request = request;
        self.index.turn.after = at.seq;
    }

    /// A response. It ends the turn whose request it answers; the rest is the machinery of a raw log.
    pub(super) fn answered(&mut self, at: At, id: &Value, outcome: &Result<Value, RpcError>) {
        let id = id.to_string();
        let stop_reason = match outcome {
            Ok(result) => result.get("stopReason").and_then(Value::as_str),
            Err(_) => None,
        };
        // Both sides of a raw log count their requests from 0: the answer to one of the agent's is not the turn's.
        if stop_reason.is_none() && self.index.agent_requests.remove(&id) {
            return;
        }
        let open = matches!(&self.turn, Turn::Working { request, .. } if *request == id);
        let last = self.index.turn.last_request.as_ref() == Some(&id);
        match outcome {
            Ok(result) if open => {
                self.end_turn(at, stop_reason.unwrap_or("end_turn"), None);
                self.say_unscanned(at, result.pointer("/_meta/ashore/unscanned"));
            }
            Err(error) if open => {
                self.end_turn(at, "error", Some(error.message.clone()));
                let data = error.data.as_ref();
                self.say_unscanned(
                    at,
                    data.and_then(|data| data.pointer("/_meta/ashore/unscanned")),
                );
            }
            Err(error) if !last => {
                self.notice(at, Level::Error, &error.message, None);
            }
            Ok(_) | Err(_) => (),
        }
        self.index.turn.completion_due |= open;
    }

    /// What the agent has used. Some tell it right behind the end of the turn.
    pub(super) fn used(&mut self, usage: Usage) {
        self.usage = Some(usage);
        let late = Spent::between(self.index.turn.usage, self.usage);
        let cells = &mut self.transcript.cells;
        let last = cells.len().checked_sub(1);
        let is_told = |body: &Body| !matches!(body, Body::TurnEnd { spent: None, .. });
        if let Some(last) = last.filter(|_| self.turn == Turn::Idle && late.is_some())
            && !cells.get(last).is_none_or(|cell| is_told(&cell.body))
        {
            cells.change(last, |body| {
                if let Body::TurnEnd { spent, .. } = body {
                    *spent = late;
                }
            });
            self.index.turn.usage = self.usage;
        }
    }

    fn say_unscanned(&mut self, at: At, flag: Option<&Value>) {
        if flag == Some(&Value::Bool(true)) {
            let text = "the agent side was gone: changes of this turn may be missing here";
            self.notice(at, Level::Warning, text, None);
        }
    }

    /// Comes right after the response in our journals, and alone in others.
    pub(super) fn turn_complete(&mut self, at: At, stop_reason: &str, unscanned: bool) {
        let told = std::mem::take(&mut self.index.turn.completion_due) && self.turn == Turn::Idle;
        if !told && (self.turn != Turn::Idle || self.index.turn.output) {
            self.end_turn(at, stop_reason, None);
            self.say_unscanned(at, Some(&Value::Bool(unscanned)));
        }
    }

    pub(super) fn run_started(&mut self, agent_version: Option<&str>, takes: Takes) {
        self.takes = takes;
        if let Some(version) = agent_version {
            self.agent_version = Some(version.to_owned());
        }
        self.reopen();
    }

    /// Where no endpoint tells how the run stands, work is the sign that it goes on.
    fn reopen(&mut self) {
        if !self.index.status_told {
            self.status = Some(Status::InProgress);
        }
    }

    pub(super) fn run_status(&mut self, at: At, status: &Status, message: Option<&str>) {
        self.status = Some(status.clone());
        let failed = *status == Status::Failed;
        let ends_turn = status.is_terminal() && self.turn != Turn::Idle;
        if ends_turn {
            let stop_reason = match status {
                Status::Cancelled => "cancelled",
                Status::Failed => "error",
                Status::Completed
                | Status::NotStarted
                | Status::Queued
                | Status::InProgress
                | Status::Other(_) => "end_turn",
            };
            let error = message.filter(|_| failed).map(str::to_owned);
            self.end_turn(at, stop_reason, error);
        }
        if status.is_terminal() {
            self.permissions.clear();
        }
        // The end of the turn tells the reason of a failure already.
        if let Some(message) = message.filter(|_| !(ends_turn && failed)) {
            let level = if failed { Level::Error } else { Level::Info };
            self.notice(at, level, message, None);
        }
    }

    /// An error of the agent side. It is how a foreign run says that it failed; ours says that with its status.
    pub(super) fn run_error(&mut self, at: At, message: &str, detail: Option<&str>) {
        if !self.index.status_told {
            self.status = Some(Status::Failed);
        }
        if !self.is_told_by_the_turn(message, detail) {
            self.notice(at, Level::Error, message, detail);
        }
    }

    /// An agent that dies in a turn ends the turn with the same words, right before.
    fn is_told_by_the_turn(&self, message: &str, detail: Option<&str>) -> bool {
        let last = self.transcript.cells.last();
        match last.as_deref().map(|cell| &cell.body) {
            Some(Body::TurnEnd {
                error: Some(error), ..
            }) => error.starts_with(message) && detail.is_none_or(|detail| error.contains(detail)),
            _ => false,
        }
    }
}
