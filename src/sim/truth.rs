//! What must be true of every life: what was promised, what was seen, and whether the journal keeps to it.
//!
//! Told by the parts as things happen; knows nothing of how the code under test comes to its answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::queue::{self, Did, Telling};
use crate::protocol::amend::Amendment;
use crate::protocol::ids::{CommandId, Seq};

/// What one user said in one go.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    Message,
    Cancel,
    /// A change to what waits.
    Amend(Amendment),
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    wishes: BTreeMap<CommandId, Wish>,
    /// Commands that the endpoint has answered with 202.
    acknowledged: BTreeSet<CommandId>,
    /// Lines that the endpoint has answered with 200: source and number.
    appended: BTreeSet<(String, u64)>,
    /// The line of each number, as somebody was shown it first.
    shown: BTreeMap<u64, Vec<u8>>,
    /// Messages that a power cut may have taken from an outbox before anybody had promised anything.
    excused: BTreeSet<CommandId>,
    /// Messages that the endpoint refused visibly.
    refused: BTreeSet<CommandId>,
    /// Prompts that reached the agent's child.
    prompted: BTreeSet<CommandId>,
    /// What the agent side heard and did, over its starts.
    did: Vec<Did>,
    /// The child has a prompt that it has not answered.
    busy: bool,
    /// Turns of the older journal are nobody's.
    rolled_back: bool,
}

impl Truth {
    pub(super) fn wished(&mut self, id: CommandId, wish: Wish) {
        self.wishes.insert(id, wish);
    }

    pub(super) fn excused(&mut self, id: CommandId) {
        self.excused.insert(id);
    }

    pub(super) fn refused(&mut self, id: CommandId) {
        self.refused.insert(id);
    }

    pub(super) fn acknowledged(&mut self, id: &CommandId) {
        self.acknowledged.insert(id.clone());
    }

    pub(super) fn appended(&mut self, source: &str, first: u64, count: u64) {
        let numbers = first..first + count;
        self.appended
            .extend(numbers.map(|number| (source.to_owned(), number)));
    }

    /// Somebody was shown this line under this number: it is that for everybody, for ever.
    pub(super) fn shown(&mut self, seq: Seq, line: &[u8]) -> Result<(), String> {
        let known = self.shown.entry(seq.0).or_insert_with(|| line.to_vec());
        if known == line {
            return Ok(());
        }
        Err(format!(
            "line {seq} was `{}` and is now `{}`",
            String::from_utf8_lossy(known),
            String::from_utf8_lossy(line)
        ))
    }

    /// An operator has put an older journal in place: nothing was promised about what it lacks.
    pub(super) fn rolled_back(&mut self) {
        *self = Self {
            rolled_back: true,
            ..Self::default()
        };
    }

    pub(super) fn prompted(&mut self, id: &CommandId) -> Result<(), String> {
        if std::mem::replace(&mut self.busy, true) {
            return Err(format!("the child gets {id} while it has another prompt"));
        }
        self.did.push(Did::Prompted);
        if self.prompted.insert(id.clone()) {
            Ok(())
        } else {
            Err(format!("the child gets {id} twice"))
        }
    }

    pub(super) fn did(&mut self, did: Did) {
        self.did.push(did);
    }

    pub(super) fn child_free(&mut self) {
        self.busy = false;
    }

    /// Messages that have to be taken in the end.
    pub(super) fn messages(&self) -> impl Iterator<Item = &CommandId> {
        self.wishes
            .iter()
            .filter(|(_, wish)| **wish == Wish::Message)
            .map(|(id, _)| id)
    }

    /// The journal as it stands when all is said and done.
    pub(super) fn judge(&self, lines: &[Vec<u8>]) -> Result<(), String> {
        let read = Read::new(lines)?;
        self.nothing_is_lost(lines, &read)?;
        self.all_is_answered(&read)?;
        read.cancels_hit()?;
        // Commands of the endpoint's numbers: what a start had read of the journal is its first so many lines.
        let up_to = |last: u64| {
            let count = usize::try_from(last).unwrap_or(usize::MAX);
            let some = lines
                .get(..count)
                .ok_or("a start has read more than there is")?;
            Ok(Read::new(some)?.telling)
        };
        queue::took_in_order(&self.did, &read.telling, up_to)
    }

    /// Nothing is left to do.
    pub(super) fn settled(&self, lines: &[Vec<u8>]) -> Result<(), String> {
        if self.rolled_back {
            return Ok(());
        }
        self.all_is_answered(&Read::new(lines)?)
    }

    fn nothing_is_lost(&self, lines: &[Vec<u8>], read: &Read) -> Result<(), String> {
        for (number, line) in &self.shown {
            let stands = usize::try_from(number - 1)
                .ok()
                .and_then(|index| lines.get(index));
            if stands != Some(line) {
                return Err(format!(
                    "line {number} was shown and is not in the journal as it was"
                ));
            }
        }
        for id in &self.acknowledged {
            if !read.commands.contains_key(id) {
                return Err(format!("{id} was acknowledged and is not in the journal"));
            }
        }
        for (source, number) in &self.appended {
            if !read.sources.contains(&(source.clone(), *number)) {
                return Err(format!(
                    "line {number} of {source} was acknowledged and is gone"
                ));
            }
        }
        Ok(())
    }

    fn all_is_answered(&self, read: &Read) -> Result<(), String> {
        for id in self.messages() {
            if self.excused.contains(id) && !read.commands.contains_key(id) {
                continue;
            }
            if self.refused.contains(id) {
                continue;
            }
            if !read.commands.contains_key(id) {
                return Err(format!("{id} was said and is not in the journal"));
            }
        }
        read.telling.all_taken()?;
        for (id, turn) in &read.taken {
            if turn.outcome.is_none() {
                return Err(format!("{id} was taken and has no answer"));
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Turn {
    outcome: Option<String>,
}

/// The journal, read once more by other means than `ledger`, `recall` and `reduce`.
#[derive(Debug, Default)]
struct Read {
    commands: BTreeMap<CommandId, u64>,
    taken: BTreeMap<CommandId, Turn>,
    telling: Telling,
    sources: BTreeSet<(String, u64)>,
    said: BTreeSet<String>,
    /// The open turn: its request's id, and its command.
    open: Option<(Value, CommandId)>,
}

pub(super) fn id_at(value: &Value, pointer: &str) -> Option<CommandId> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}

impl Read {
    fn new(lines: &[Vec<u8>]) -> Result<Self, String> {
        let mut read = Self::default();
        for (line, seq) in lines.iter().zip(1..) {
            let value: Value = serde_json::from_slice(line)
                .map_err(|error| format!("line {seq} of the journal is no JSON: {error}"))?;
            read.line(seq, &value)?;
        }
        Ok(read)
    }

    fn line(&mut self, seq: u64, line: &Value) -> Result<(), String> {
        if let Some(src) = line["src"].as_str() {
            let (source, number) = src.rsplit_once(':').ok_or("a source without a number")?;
            let number = number.parse().map_err(|_| "a source without a number")?;
            if !self.sources.insert((source.to_owned(), number)) {
                return Err(format!("line {seq} was sent before: {src}"));
            }
        }
        if line["type"] == "client_message" {
            return self.command(seq, line);
        }
        let message = &line["notification"];
        if let Some(text) = message
            .pointer("/params/update/content/text")
            .and_then(Value::as_str)
            && !self.said.insert(text.to_owned())
        {
            return Err(format!(
                "line {seq}: the agent's words `{text}` stand there twice"
            ));
        }
        self.turn(seq, message)
    }

    fn command(&mut self, seq: u64, line: &Value) -> Result<(), String> {
        let id = id_at(line, "/id").ok_or("a command without an id")?;
        self.telling.said(seq, &id, line)?;
        match self.commands.insert(id.clone(), seq) {
            Some(before) => Err(format!("{id} stands in lines {before} and {seq}")),
            None => Ok(()),
        }
    }

    fn turn(&mut self, seq: u64, message: &Value) -> Result<(), String> {
        let id = &message["id"];
        if message["method"] == "session/prompt" {
            let command =
                id_at(message, "/params/_meta/ashore/command").ok_or("a turn of nobody")?;
            if let Some((_, open)) = &self.open {
                return Err(format!(
                    "line {seq}: {command} is taken while {open} is open"
                ));
            }
            self.open = Some((id.clone(), command.clone()));
            let edit = id_at(message, "/params/_meta/ashore/edit");
            let number = id.as_u64().ok_or("a turn without a number")?;
            self.telling.took(seq, number, &command, edit.as_ref())?;
            let turn = Turn { outcome: None };
            return match self.taken.insert(command.clone(), turn) {
                Some(_) => Err(format!("line {seq}: {command} is taken a second time")),
                None => Ok(()),
            };
        }
        if message["method"] == "_posthog/file_sync" {
            return self.barrier(seq, message);
        }
        if message.get("result").or(message.get("error")).is_none() {
            return Ok(());
        }
        let (open, command) = self
            .open
            .take()
            .ok_or_else(|| format!("line {seq} answers nothing"))?;
        if open != *id {
            return Err(format!("line {seq} answers {id}, but {open} is open"));
        }
        self.telling.answered();
        let outcome = message
            .pointer("/result/stopReason")
            .and_then(Value::as_str);
        if let Some(turn) = self.taken.get_mut(&command) {
            turn.outcome = Some(outcome.unwrap_or("error").to_owned());
        }
        Ok(())
    }

    /// Nobody's prompt ends `cancelled` but one that a cancel, a steer or a change meant (design decision 5), however late
    /// the agent side hears of it.
    fn cancels_hit(&self) -> Result<(), String> {
        let mut cancelled = self
            .taken
            .iter()
            .filter(|(_, turn)| turn.outcome.as_deref() == Some("cancelled"));
        match cancelled.find(|(id, _)| !self.telling.may_end.contains(*id)) {
            Some((id, _)) => Err(format!("{id} ended cancelled and no cancel meant it")),
            None => Ok(()),
        }
    }

    /// A file of a turn stands between its request and its response (design decision 7).
    fn barrier(&self, seq: u64, message: &Value) -> Result<(), String> {
        let turn = &message["params"]["turn"];
        // What somebody changed between two turns.
        if turn.is_null() {
            return Ok(());
        }
        match &self.open {
            Some((id, _)) if id == turn => Ok(()),
            _ => Err(format!(
                "line {seq} is a file of turn {turn}, which is not open"
            )),
        }
    }
}
