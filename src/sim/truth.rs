//! What must be true of every life: what was promised, what was seen, and whether the journal keeps to it.
//!
//! Told by the parts as things happen; knows nothing of how the code under test comes to its answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::protocol::ids::{CommandId, Seq};

/// What one user said in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Message,
    Cancel,
    Remove(CommandId),
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
    /// The child has a prompt that it has not answered.
    busy: bool,
    /// Nothing keeps the clients' commands from the agent side for long.
    pub(super) agent_hears_all: bool,
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

    pub(super) fn is_rolled_back(&self) -> bool {
        self.rolled_back
    }

    pub(super) fn prompted(&mut self, id: &CommandId) -> Result<(), String> {
        if std::mem::replace(&mut self.busy, true) {
            return Err(format!("the child gets {id} while it has another prompt"));
        }
        if self.prompted.insert(id.clone()) {
            Ok(())
        } else {
            Err(format!("the child gets {id} twice"))
        }
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
        self.cancels_hit(&read)
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
            if !read.taken.contains_key(id) && !read.removed.contains_key(id) {
                return Err(format!("{id} was neither taken nor removed"));
            }
        }
        for (id, turn) in &read.taken {
            if turn.outcome.is_none() {
                return Err(format!("{id} was taken and has no answer"));
            }
        }
        Ok(())
    }

    /// A cancel ends the turn that is open where it stands, else the oldest untaken prompt before it (design decision 5);
    /// nobody else's prompt ends `cancelled`. An agent side that hears of it when all that is over may judge otherwise.
    fn cancels_hit(&self, read: &Read) -> Result<(), String> {
        let mut meant = BTreeSet::new();
        for cancel in &read.cancels {
            let open = read.taken.iter().find(|(_, turn)| {
                turn.seq < *cancel && turn.answered.is_none_or(|answered| answered > *cancel)
            });
            if let Some((id, _)) = open {
                meant.insert(id.clone());
                continue;
            }
            let waits = |id: &CommandId| {
                let taken = read.taken.get(id).is_some_and(|turn| turn.seq < *cancel);
                let removed = read.removed.get(id).is_some_and(|seq| seq < cancel);
                !taken && !removed && !meant.contains(id)
            };
            let oldest = read
                .messages
                .iter()
                .filter(|(seq, _)| seq < cancel)
                .find(|(_, id)| waits(id));
            if let Some((_, id)) = oldest {
                meant.insert(id.clone());
            }
        }
        let mut hit = 0;
        for (id, turn) in &read.taken {
            let cancelled = turn.outcome.as_deref() == Some("cancelled");
            if !cancelled || read.removed.contains_key(id) {
                continue;
            }
            hit += 1;
            if hit > read.cancels.len() {
                return Err(format!(
                    "more turns were cancelled than there were cancels: {id}"
                ));
            }
            if self.agent_hears_all && !meant.contains(id) {
                return Err(format!("{id} ended cancelled and no cancel meant it"));
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Turn {
    seq: u64,
    answered: Option<u64>,
    outcome: Option<String>,
}

/// The journal, read once more by other means than `ledger`, `recall` and `reduce`.
#[derive(Debug, Default)]
struct Read {
    commands: BTreeMap<CommandId, u64>,
    messages: Vec<(u64, CommandId)>,
    taken: BTreeMap<CommandId, Turn>,
    removed: BTreeMap<CommandId, u64>,
    cancels: Vec<u64>,
    sources: BTreeSet<(String, u64)>,
    said: BTreeSet<String>,
    /// The open turn: its request's id, and its command.
    open: Option<(Value, CommandId)>,
}

fn id_at(value: &Value, pointer: &str) -> Option<CommandId> {
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
        match line["message"]["method"].as_str() {
            Some("_posthog/user_message") => self.messages.push((seq, id.clone())),
            Some("_posthog/cancel") => self.cancels.push(seq),
            Some("_ashore/queue_remove") => {
                if let Some(other) = id_at(line, "/message/params/command") {
                    self.removed.entry(other).or_insert(seq);
                }
            }
            _ => (),
        }
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
            let turn = Turn {
                seq,
                answered: None,
                outcome: None,
            };
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
        let outcome = message
            .pointer("/result/stopReason")
            .and_then(Value::as_str);
        if let Some(turn) = self.taken.get_mut(&command) {
            turn.answered = Some(seq);
            turn.outcome = Some(outcome.unwrap_or("error").to_owned());
        }
        Ok(())
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
