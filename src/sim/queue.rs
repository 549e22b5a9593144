//! What waits, in which order and in which words: told once more, by other means than `turns`, `recall`, `ledger` and
//! `reduce`, and held against what the agent side takes and its child gets.
//!
//! Two tellings: the journal's own order, which says what every cancel means, and the order in which the agent side came
//! to know of things, which says what it must take next.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::truth::id_at;
use crate::protocol::ids::CommandId;

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    message: CommandId,
    /// What it is taken as: itself, or the change whose words came too late for it.
    command: CommandId,
    /// The change that gave it its words.
    edit: Option<CommandId>,
}

impl Item {
    fn is(&self, id: &CommandId) -> bool {
        self.message == *id || self.command == *id
    }
}

/// A change to what waits, as its line has it.
#[derive(Debug, Clone)]
enum Change {
    Edit,
    Remove,
    Move(Option<CommandId>),
    Steer,
}

/// A client's line that has to do with the queue.
#[derive(Debug, Clone)]
enum Said {
    Message,
    Change(CommandId, Change),
    Cancel(Option<Ends>),
}

/// What a cancel ends: an open turn by its number, or a message that waits.
#[derive(Debug, Clone)]
enum Ends {
    Turn(u64),
    Message(CommandId),
}

/// What the agent side did, in its order; a line is named by its number.
#[derive(Debug, Clone)]
pub(super) enum Did {
    /// It began to serve, having read the journal up to here.
    Started(u64),
    Heard(u64),
    Took {
        turn: u64,
        command: CommandId,
        edit: Option<CommandId>,
    },
    /// The child has it.
    Prompted,
}

#[derive(Debug, Clone, Default)]
struct Queue {
    waiting: Vec<Item>,
    /// Ended by a cancel while they waited, or later.
    ended: BTreeSet<CommandId>,
    removed: BTreeSet<CommandId>,
}

impl Queue {
    fn at(&self, id: &CommandId) -> Option<usize> {
        self.waiting.iter().position(|item| item.is(id))
    }

    fn push(&mut self, message: &CommandId) {
        self.waiting.push(Item {
            message: message.clone(),
            command: message.clone(),
            edit: None,
        });
    }

    fn change(&mut self, id: &CommandId, target: &CommandId, change: &Change) {
        let Some(from) = self.at(target) else {
            return self.change_late(id, target, change);
        };
        let mut item = self.waiting.remove(from);
        let to = match change {
            Change::Remove => {
                self.removed.insert(item.message);
                return;
            }
            Change::Edit if item.command == *target => {
                item.edit = Some(id.clone());
                from
            }
            Change::Edit => {
                item.command = id.clone();
                from
            }
            Change::Steer => 0,
            Change::Move(None) => self.waiting.len(),
            Change::Move(Some(before)) => self.at(before).unwrap_or(from),
        };
        self.waiting.insert(to, item);
    }

    /// A change that was accepted in time and heard when a turn had the message: new words run next.
    fn change_late(&mut self, id: &CommandId, target: &CommandId, change: &Change) {
        match change {
            Change::Edit if self.ended.contains(target) => (),
            Change::Edit => self.waiting.insert(
                0,
                Item {
                    message: target.clone(),
                    command: id.clone(),
                    edit: None,
                },
            ),
            Change::Remove => {
                self.removed.insert(target.clone());
            }
            Change::Move(_) | Change::Steer => (),
        }
    }
}

/// The journal's telling.
#[derive(Debug, Default)]
pub(super) struct Telling {
    queue: Queue,
    said: BTreeMap<u64, (CommandId, Said)>,
    open: Option<(u64, CommandId)>,
    /// Messages and changes that may end `cancelled`, and why that is.
    pub(super) may_end: BTreeSet<CommandId>,
}

impl Telling {
    /// A client's line.
    pub(super) fn said(&mut self, seq: u64, id: &CommandId, line: &Value) -> Result<(), String> {
        let message = &line["message"];
        let params = &message["params"];
        let method = message["method"].as_str().unwrap_or_default();
        let said = match method {
            "_posthog/user_message" => {
                self.queue.push(id);
                Said::Message
            }
            "_posthog/cancel" => Said::Cancel(self.cancel(seq, line)?),
            "_ashore/queue_edit" => self.changed(seq, id, params, Change::Edit)?,
            "_ashore/queue_remove" => self.changed(seq, id, params, Change::Remove)?,
            "_ashore/queue_move" => {
                let before = id_at(params, "/before");
                self.changed(seq, id, params, Change::Move(before))?
            }
            "_ashore/steer" => self.changed(seq, id, params, Change::Steer)?,
            _ => return Ok(()),
        };
        self.said.insert(seq, (id.clone(), said));
        Ok(())
    }

    /// A cancel ends the turn that is open where it stands, else the next that waits and that none has ended.
    fn cancel(&mut self, seq: u64, line: &Value) -> Result<Option<Ends>, String> {
        let ends = if let Some((turn, command)) = &self.open {
            self.may_end.insert(command.clone());
            Some(Ends::Turn(*turn))
        } else {
            let mut waits = self.queue.waiting.iter();
            let next = waits.find(|item| !self.queue.ended.contains(&item.command));
            if let Some(item) = next {
                self.queue.ended.insert(item.command.clone());
                self.may_end
                    .extend([item.message.clone(), item.command.clone()]);
                self.may_end.extend(item.edit.clone());
            }
            next.map(|item| Ends::Message(item.command.clone()))
        };
        let told = match &ends {
            Some(Ends::Turn(turn)) => json!(turn),
            Some(Ends::Message(command)) => json!(command.as_str()),
            None => Value::Null,
        };
        if line["ends"] != told {
            return Err(format!("line {seq} should end {told}: {line}"));
        }
        Ok(ends)
    }

    fn changed(
        &mut self,
        seq: u64,
        id: &CommandId,
        params: &Value,
        change: Change,
    ) -> Result<Said, String> {
        let target = id_at(params, "/command").ok_or("a change of nothing")?;
        let Some(item) = self.queue.at(&target).map(|at| &self.queue.waiting[at]) else {
            return Err(format!("line {seq} changes {target}, which does not wait"));
        };
        match change {
            // Those may be on their way already; new words for what was cancelled are cancelled with it.
            Change::Edit | Change::Remove => {
                if self.queue.ended.contains(&item.command) {
                    self.may_end.insert(id.clone());
                }
                self.may_end
                    .extend([item.message.clone(), item.command.clone()]);
                self.may_end.extend(item.edit.clone());
            }
            Change::Steer => {
                let open = self.open.iter();
                self.may_end
                    .extend(open.map(|(_, command)| command.clone()));
            }
            Change::Move(_) => (),
        }
        self.queue.change(id, &target, &change);
        Ok(Said::Change(target, change))
    }

    /// A prompt's request line.
    pub(super) fn took(
        &mut self,
        seq: u64,
        turn: u64,
        command: &CommandId,
        edit: Option<&CommandId>,
    ) -> Result<(), String> {
        self.open = Some((turn, command.clone()));
        let Some(at) = self.queue.at(command) else {
            let was_edit = |(_, (id, said)): (&u64, &(CommandId, Said))| {
                id == command && matches!(said, Said::Change(_, Change::Edit))
            };
            if self.queue.removed.contains(command) || self.said.iter().any(was_edit) {
                return Ok(());
            }
            return Err(format!("line {seq} takes {command}, which does not wait"));
        };
        let item = self.queue.waiting.remove(at);
        let late = item.edit.filter(|newest| Some(newest) != edit);
        if let Some(late) = late
            && !self.queue.ended.contains(command)
        {
            let message = late.clone();
            self.queue.waiting.insert(
                0,
                Item {
                    message,
                    command: late,
                    edit: None,
                },
            );
        }
        Ok(())
    }

    pub(super) fn answered(&mut self) {
        self.open = None;
    }

    /// Every message and every new word has had its turn.
    pub(super) fn all_taken(&self) -> Result<(), String> {
        match self.queue.waiting.first() {
            Some(item) => Err(format!("{} was neither taken nor removed", item.command)),
            None => Ok(()),
        }
    }
}

/// The agent side's telling: what it took was next, in the words it had, and nothing that was ended reached the child.
pub(super) fn took_in_order(
    did: &[Did],
    told: &Telling,
    at: impl Fn(u64) -> Result<Telling, String>,
) -> Result<(), String> {
    let mut queue = Queue::default();
    let mut taken = None;
    let mut stopped = BTreeSet::new();
    for one in did {
        match one {
            Did::Started(last) => queue = at(*last)?.queue,
            Did::Heard(seq) => match told.said.get(seq) {
                Some((id, Said::Message)) => queue.push(id),
                Some((id, Said::Change(target, change))) => queue.change(id, target, change),
                Some((_, Said::Cancel(Some(Ends::Message(message))))) => {
                    queue.ended.insert(message.clone());
                }
                Some((_, Said::Cancel(Some(Ends::Turn(turn))))) => {
                    stopped.insert(*turn);
                }
                Some((_, Said::Cancel(None))) | None => (),
            },
            Did::Took {
                turn,
                command,
                edit,
            } => {
                let next = (!queue.waiting.is_empty()).then(|| queue.waiting.remove(0));
                let fits = next
                    .as_ref()
                    .is_some_and(|item| item.command == *command && item.edit == *edit);
                if !fits {
                    return Err(format!(
                        "the agent side takes {command} in the words of {edit:?}, and next was {next:?}"
                    ));
                }
                taken = next.map(|item| (*turn, item));
            }
            Did::Prompted => {
                let (turn, item) = taken.take().ok_or("the child gets what nobody took")?;
                let ended = |id: &CommandId| queue.ended.contains(id);
                if ended(&item.command) || ended(&item.message) || stopped.contains(&turn) {
                    return Err(format!(
                        "the child gets {}, which was cancelled",
                        item.command
                    ));
                }
            }
        }
    }
    Ok(())
}
