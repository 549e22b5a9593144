//! The user's words, drawn once although they are told up to three times (contract 10.1).
//!
//! A client message puts them into the queue, the prompt request takes them from there into the transcript, and an
//! agent repeats them as its echo. Ours carry the command's id in all three; a foreign log is matched by its words.

use serde_json::Value;

use crate::protocol::acp::{Block, Chunk};
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::What;
use crate::protocol::entry::{Ends, Entry};
use crate::protocol::ids::CommandId;
use crate::protocol::normalize;
use crate::session::index::{Voice, Words};
use crate::session::reduce::At;
use crate::session::state::{QueuedPrompt, Session, Turn};
use crate::session::transcript::{Body, Cell};

impl Session {
    /// A client's message: it waits until a prompt request takes it.
    pub(super) fn client_said(&mut self, what: &What, entry: &Entry) {
        let What::UserMessage(prompt) = what else {
            return;
        };
        let (text, _) = normalize::words_of(prompt);
        let command = entry.command.clone();
        if let Some(id) = &command {
            let waits = self
                .queued
                .iter()
                .any(|one| one.command.as_ref() == Some(id));
            if waits || self.index.drawn.contains(id) {
                return;
            }
        }
        if !self.claims_echo(&text, command.as_ref(), entry.who.as_deref()) {
            self.queued.push(QueuedPrompt {
                command,
                text,
                from: entry.who.clone(),
                partial: prompt.is_partial(),
                ..QueuedPrompt::default()
            });
        }
    }

    /// What waits stands as it is to be taken. A change that came too late is refused by the endpoint; one for words
    /// that are drawn already changes nothing.
    pub(super) fn amended(&mut self, amendment: &Amendment, entry: &Entry) {
        let ids = self.queued.iter().map(|one| one.command.as_ref());
        let Some((from, to)) = amendment.place(ids) else {
            return;
        };
        let mut one = self.queued.remove(from);
        match &amendment.how {
            Amend::Remove => return,
            Amend::Edit(prompt) => {
                one.text = normalize::words_of(prompt).0;
                one.partial = prompt.is_partial();
                one.edit = entry.command.clone();
            }
            Amend::Move { .. } | Amend::Steer => (),
        }
        self.queued.insert(to, one);
    }

    pub(super) fn cancelled(&mut self, entry: &Entry) {
        let Some(Ends::Waiting(ended)) = &entry.ends else {
            return;
        };
        let mut queued = self.queued.iter_mut();
        if let Some(one) = queued.find(|one| one.command.as_ref() == Some(ended)) {
            one.cancelled = true;
        }
    }

    /// Words that were accepted and came too late for the turn that took their message wait for one of their own.
    fn keep_late_words(&mut self, queued: &QueuedPrompt, params: &Value) {
        let ours = params.pointer("/_meta/ashore/command").is_some();
        let had = params.pointer("/_meta/ashore/edit").and_then(Value::as_str);
        if let Some(edit) = &queued.edit
            && ours
            && !queued.cancelled
            && had != Some(edit.as_str())
        {
            let late = QueuedPrompt {
                command: Some(edit.clone()),
                edit: None,
                ..queued.clone()
            };
            self.queued.insert(0, late);
        }
    }

    /// The reference delivers before it logs, so an echo can stand before the words it repeats.
    fn claims_echo(&mut self, told: &str, id: Option<&CommandId>, who: Option<&str>) -> bool {
        let Some(words) = self.index.words.as_mut().filter(|words| words.by_echo) else {
            return false;
        };
        let cell = self.transcript.cells.get(words.cell);
        let same = |cell: &Cell| matches!(&cell.body, Body::User { text, .. } if text == told);
        if !cell.as_deref().is_some_and(same) {
            return false;
        }
        words.by_echo = false;
        words.echoed = told.len();
        self.index.open = None;
        self.transcript.cells.change(words.cell, |body| {
            if let Body::User { from, command, .. } = body {
                *command = command.take().or(id.cloned());
                *from = from.take().or(who.map(str::to_owned));
            }
        });
        self.index.drawn.extend(id.cloned());
        true
    }

    /// The request line of a turn: the command is taken.
    pub(super) fn prompt_requested(&mut self, at: At, id: &Value, params: &Value, entry: &Entry) {
        let request = id.to_string();
        let known = matches!(&self.turn, Turn::Working { request: open, .. } if *open == request);
        if known {
            return;
        }
        let (text, attachments) = normalize::prompt_words(params);
        let command = entry.command.clone();
        let queued = self.take_queued(command.as_ref(), &text);
        if let Some(queued) = &queued {
            self.keep_late_words(queued, params);
        }
        if self.has_begun_with(&text, command.as_ref()) {
            self.claims_echo(&text, command.as_ref(), None);
            return self.name_turn(request);
        }
        self.begin_turn(at, request);
        if command
            .as_ref()
            .is_some_and(|id| self.index.drawn.contains(id))
        {
            return;
        }
        let mut prompt = QueuedPrompt {
            command,
            text,
            ..QueuedPrompt::default()
        };
        if let Some(queued) = queued {
            // A foreign agent may wrap what it was told; the user's own words are the ones to show.
            if prompt.command.is_none() || prompt.text.is_empty() {
                prompt.text = queued.text;
            }
            prompt.command = prompt.command.or(queued.command);
            prompt.from = queued.from;
        }
        self.draw(at, prompt, attachments);
    }

    /// Has the turn begun without its request line, by an echo of these very words?
    fn has_begun_with(&self, told: &str, id: Option<&CommandId>) -> bool {
        let nameless = matches!(&self.turn, Turn::Working { request, .. } if request.is_empty());
        let Some(words) = self.index.words.as_ref().filter(|_| nameless) else {
            return false;
        };
        let cell = self.transcript.cells.get(words.cell);
        let Some(Body::User { text, command, .. }) = cell.as_deref().map(|cell| &cell.body) else {
            return false;
        };
        match (command, id) {
            (Some(command), Some(id)) => command == id,
            (None, Some(id)) => text == told && !self.index.drawn.contains(id),
            (_, None) => text == told,
        }
    }

    /// The queued message that this prompt is: by its id, in a foreign log by its words, else the oldest.
    fn take_queued(&mut self, command: Option<&CommandId>, text: &str) -> Option<QueuedPrompt> {
        let place = match command {
            Some(_) => self
                .queued
                .iter()
                .position(|one| one.command.as_ref() == command),
            None => {
                let same = self.queued.iter().position(|one| one.text == text);
                same.or((!self.queued.is_empty()).then_some(0))
            }
        };
        place.map(|place| self.queued.remove(place))
    }

    fn draw(&mut self, at: At, prompt: QueuedPrompt, attachments: Vec<String>) {
        self.index.drawn.extend(prompt.command.clone());
        let body = Body::User {
            text: prompt.text,
            from: prompt.from,
            command: prompt.command,
            attachments,
        };
        let cell = self.push(at, body);
        self.index.words = Some(Words {
            cell,
            echoed: 0,
            by_echo: false,
        });
    }

    /// The agent does something although no prompt request was seen: a foreign log has none, so the oldest message
    /// that came without an id is the one it works on.
    pub(super) fn agent_is_at_work(&mut self, at: At) {
        self.index.turn.output = true;
        let foreign = self.queued.first().is_some_and(|one| one.command.is_none());
        if self.turn == Turn::Idle && foreign {
            let prompt = self.queued.remove(0);
            self.begin_turn(at, String::new());
            self.draw(at, prompt, Vec::new());
        }
    }

    /// A piece of the echo, or words of the user that came no other way.
    pub(super) fn user_chunk(&mut self, at: At, chunk: &Chunk, command: Option<&CommandId>) {
        if command.is_some_and(|id| self.index.drawn.contains(id)) {
            return;
        }
        let Block::Text(text) = &chunk.block else {
            return self.user_attachment(at, &chunk.block);
        };
        if text.is_empty() || self.is_echo(text) || self.is_reworded_echo() {
            return;
        }
        let message = chunk.message_id.as_deref();
        if let Some(place) = self.going_on(Voice::User, message) {
            return self.append(place, text);
        }
        let queued = self.queued.iter().position(|one| match command {
            Some(_) => one.command.as_ref() == command,
            // With an id it is taken by its request; only before the first one an echo may be all there is.
            None => {
                let free = self.turn == Turn::Idle || one.command.is_none();
                free && one.text.starts_with(text.as_str())
            }
        });
        let queued = queued.map(|place| self.queued.remove(place));
        if self.turn == Turn::Idle {
            self.begin_turn(at, String::new());
        }
        let from_queue = queued.is_some();
        let prompt = queued.unwrap_or(QueuedPrompt {
            command: command.cloned(),
            text: text.clone(),
            ..QueuedPrompt::default()
        });
        self.draw(at, prompt, Vec::new());
        if from_queue {
            self.is_echo(text);
            return;
        }
        if let Some(words) = &mut self.index.words {
            words.by_echo = true;
            let cell = words.cell;
            self.open_at(cell, Voice::User, message);
        }
    }

    /// Is this the next piece of words that are drawn? Blocks come back one by one, so white space between two may
    /// be missing; and an echo may itself come twice.
    fn is_echo(&mut self, piece: &str) -> bool {
        let Some(words) = self.index.words.as_mut().filter(|words| !words.by_echo) else {
            return false;
        };
        let cell = self.transcript.cells.get(words.cell);
        let Some(Body::User { text, .. }) = cell.as_deref().map(|cell| &cell.body) else {
            return false;
        };
        let rest = &text[words.echoed..];
        let after = rest
            .strip_prefix(piece)
            .or_else(|| rest.trim_start().strip_prefix(piece));
        let after = match after {
            None if rest.trim_start().is_empty() => text.strip_prefix(piece),
            found => found,
        };
        let Some(after) = after else {
            return false;
        };
        words.echoed = text.len() - after.len();
        true
    }

    /// An agent may echo what it made of the words. Where their command is known they are drawn already, and what
    /// comes before the agent's own first word is no news.
    fn is_reworded_echo(&self) -> bool {
        let Some(words) = self
            .index
            .words
            .as_ref()
            .filter(|_| !self.index.turn.output)
        else {
            return false;
        };
        let cell = self.transcript.cells.get(words.cell);
        let body = cell.as_deref().map(|cell| &cell.body);
        let named = matches!(
            body,
            Some(Body::User {
                command: Some(_),
                ..
            })
        );
        named && !words.by_echo
    }

    /// An image or link of the user: told by the request already, else it belongs to the echo.
    fn user_attachment(&mut self, at: At, block: &Block) {
        let Some(words) = &self.index.words else {
            self.push(at, Body::Attachment(block.stand_in()));
            return;
        };
        if !words.by_echo {
            return;
        }
        self.transcript.cells.change(words.cell, |body| {
            if let Body::User { attachments, .. } = body {
                attachments.push(block.label());
            }
        });
    }

    /// A whole user message, from the log of a resumed run.
    pub(super) fn user_message(&mut self, at: At, message: &str) {
        let drawn = self.index.words.as_ref().is_some_and(|words| {
            let cell = self.transcript.cells.get(words.cell);
            cell.is_some_and(
                |cell| matches!(&cell.body, Body::User { text, .. } if text == message),
            )
        });
        if drawn || message.is_empty() {
            return;
        }
        let queued = self.queued.iter().position(|one| one.text == message);
        let prompt = match queued {
            Some(place) => self.queued.remove(place),
            None => QueuedPrompt {
                text: message.to_owned(),
                ..QueuedPrompt::default()
            },
        };
        self.draw(at, prompt, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::protocol::command::{Command, Prompt};
    use crate::protocol::ids::Seq;
    use crate::protocol::line;
    use crate::session::reduce::apply;

    fn session(lines: &[String]) -> Session {
        let mut session = Session::default();
        for (at, line) in (1..).zip(lines) {
            apply(&mut session, Seq(at), &normalize::decode(line.as_bytes()));
        }
        session
    }

    fn id(text: &str) -> CommandId {
        text.parse().unwrap()
    }

    fn client(key: &str, what: What) -> String {
        let key = id(key);
        let command = Command {
            id: Some(key.clone()),
            what,
        };
        line::client_message_line(Timestamp::UNIX_EPOCH, &key, Some("ana"), &command.to_json())
    }

    fn prompt(text: &str) -> Prompt {
        Prompt {
            text: text.to_owned(),
            blocks: None,
        }
    }

    fn says(text: &str) -> String {
        client(text, What::UserMessage(prompt(text)))
    }

    fn amends(command: &str, how: Amend) -> String {
        let command = id(command);
        client("x", What::Amend(Amendment { command, how }))
    }

    fn taken(number: u64, command: &str, text: &str) -> String {
        let blocks = [json!({"type": "text", "text": text})];
        let request = line::prompt_request(&json!(number), "run", &blocks, Some(&id(command)));
        line::notification_line(Timestamp::UNIX_EPOCH, &request)
    }

    fn reworded(number: u64, command: &str, edit: &str, text: &str) -> String {
        let blocks = [json!({"type": "text", "text": text})];
        let request = line::prompt_request(&json!(number), "run", &blocks, Some(&id(command)));
        let request = line::in_the_words_of(request, &id(edit));
        line::notification_line(Timestamp::UNIX_EPOCH, &request)
    }

    fn queue(session: &Session) -> Vec<&str> {
        session.queued.iter().map(|one| one.text.as_str()).collect()
    }

    fn drawn(session: &Session) -> Vec<String> {
        let cells = session.transcript.cells.iter();
        cells
            .filter_map(|cell| match &cell.body {
                Body::User { text, .. } => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn people_see_the_queue_as_it_will_be_taken_and_each_message_once() {
        let before = |other: &str| Amend::Move {
            before: Some(id(other)),
        };
        let mut lines = vec![
            says("a"),
            taken(1, "a", "a"),
            says("b"),
            says("c"),
            says("d"),
            says("e"),
            amends("d", before("b")),
            amends("c", Amend::Edit(prompt("other words"))),
            amends("e", Amend::Remove),
            amends("b", Amend::Move { before: None }),
            amends("b", Amend::Steer),
            amends("a", Amend::Edit(prompt("too late"))),
        ];
        let waits = session(&lines);
        assert_eq!(queue(&waits), ["b", "d", "other words"]);
        assert_eq!(drawn(&waits), ["a"]);
        lines.extend([
            taken(2, "b", "b"),
            taken(3, "d", "d"),
            reworded(4, "c", "x", "other words"),
        ]);
        let done = session(&lines);
        assert_eq!(queue(&done), Vec::<&str>::new());
        assert_eq!(drawn(&done), ["a", "b", "d", "other words"]);
    }

    #[test]
    fn words_that_came_too_late_for_their_turn_are_next_unless_the_message_was_cancelled() {
        let mut lines = vec![
            says("a"),
            says("b"),
            amends("a", Amend::Edit(prompt("other words"))),
            taken(1, "a", "a"),
        ];
        let late = session(&lines);
        assert_eq!(queue(&late), ["other words", "b"]);
        assert_eq!(drawn(&late), ["a"]);
        lines.push(taken(2, "x", "other words"));
        let done = session(&lines);
        assert_eq!(queue(&done), ["b"]);
        assert_eq!(drawn(&done), ["a", "other words"]);
        let mut cancel: Value = serde_json::from_str(&client("c", What::Cancel)).unwrap();
        cancel["ends"] = json!("a");
        lines.truncate(4);
        lines.insert(3, cancel.to_string());
        assert_eq!(queue(&session(&lines)), ["b"]);
    }
}
