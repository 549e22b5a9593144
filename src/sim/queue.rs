//! What waits, in which order and in which words: told once more, by other means than `turns`, `recall`, `ledger` and
//! `reduce`, and held against what the agent side takes and its child gets.
//!
//! Two tellings: the journal's own order, which says what every cancel means, and the order in which the agent side came
//! to know of things, which says what it must take next.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

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
    /// What it ends.
    Cancel(Option<CommandId>),
}

/// What the agent side did, in its order; a line is named by its number.
#[derive(Debug, Clone)]
pub(super) enum Did {
    /// It began to serve, having read the journal up to here.
    Started(u64),
    Heard(u64),
    Took {
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
    open: Option<CommandId>,
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
    fn cancel(&mut self, seq: u64, line: &Value) -> Result<Option<CommandId>, String> {
        let waits = self.queue.waiting.iter().map(|item| &item.command);
        let next = waits.clone().find(|id| !self.queue.ended.contains(*id));
        let ends = self.open.clone().or_else(|| next.cloned());
        if id_at(line, "/ends") != ends {
            return Err(format!("line {seq} should end {ends:?}: {line}"));
        }
        if let Some(ends) = &ends {
            self.queue.ended.insert(ends.clone());
            self.may_end.insert(ends.clone());
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
            // Those may be on their way already.
            Change::Edit | Change::Remove => {
                self.may_end
                    .extend([item.message.clone(), item.command.clone()]);
                self.may_end.extend(item.edit.clone());
            }
            Change::Steer => self.may_end.extend(self.open.clone()),
            Change::Move(_) => (),
        }
        self.queue.change(id, &target, &change);
        Ok(Said::Change(target, change))
    }

    /// A prompt's request line.
    pub(super) fn took(
        &mut self,
        seq: u64,
        command: &CommandId,
        edit: Option<&CommandId>,
    ) -> Result<(), String> {
        self.open = Some(command.clone());
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
    for one in did {
        match one {
            Did::Started(last) => queue = at(*last)?.queue,
            Did::Heard(seq) => match told.said.get(seq) {
                Some((id, Said::Message)) => queue.push(id),
                Some((id, Said::Change(target, change))) => queue.change(id, target, change),
                Some((_, Said::Cancel(ends))) => queue.ended.extend(ends.clone()),
                None => (),
            },
            Did::Took { command, edit } => {
                let next = (!queue.waiting.is_empty()).then(|| queue.waiting.remove(0));
                let fits = next
                    .as_ref()
                    .is_some_and(|item| item.command == *command && item.edit == *edit);
                if !fits {
                    return Err(format!(
                        "the agent side takes {command} in the words of {edit:?}, and next was {next:?}"
                    ));
                }
                taken = next;
            }
            Did::Prompted => {
                let item = taken.take().ok_or("the child gets what nobody took")?;
                if queue.ended.contains(&item.command) || queue.ended.contains(&item.message) {
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
