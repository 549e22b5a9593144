//! The messages that no turn has taken, as people see them: in the order and with the words they will have once
//! everything that waits here has been accepted.
//!
//! Pure; reads the session and the outbox, changes nothing.

use crate::attach::state::{Attached, Outgoing, Posting};
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::{Prompt, What};
use crate::protocol::ids::CommandId;
use crate::protocol::normalize::words_of;

/// One message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// A foreign client's message may have none; it cannot be changed.
    pub command: Option<CommandId>,
    pub text: String,
    /// There is more to it than `text` tells, which new words would drop.
    pub partial: bool,
    pub stage: Stage,
}

/// How far a message is on its way to a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In the outbox of this machine.
    Here,
    /// In the journal, or the endpoint has said that it will be.
    Accepted,
    /// In the outbox, for good: the endpoint does not take it.
    Refused,
}

impl Stage {
    /// As people read it; what a turn has taken is `running`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Here => "queued here",
            Self::Accepted => "accepted",
            Self::Refused => "not taken",
        }
    }
}

/// All of them, the next one first.
pub fn waiting(attached: &Attached) -> Vec<Waiting> {
    let mut waiting = changeable(attached);
    waiting.extend(attached.outbox.iter().filter_map(|outgoing| {
        let What::UserMessage(prompt) = &outgoing.command.what else {
            return None;
        };
        Some(Waiting {
            command: outgoing.command.id.clone(),
            text: words_of(prompt).0,
            partial: prompt.is_partial(),
            stage: stage(&outgoing.state),
        })
    }));
    waiting
}

/// Those in the journal: only they can be changed there.
pub fn changeable(attached: &Attached) -> Vec<Waiting> {
    let queued = attached.session.queued.iter();
    let mut waiting: Vec<Waiting> = queued
        .map(|one| Waiting {
            command: one.command.clone(),
            text: one.text.clone(),
            partial: one.partial,
            stage: Stage::Accepted,
        })
        .collect();
    for Outgoing { command, state } in &attached.outbox {
        match &command.what {
            What::Amend(amendment) if stage(state) != Stage::Refused => {
                amend(&mut waiting, amendment, stage(state));
            }
            _ => (),
        }
    }
    waiting
}

fn amend(waiting: &mut Vec<Waiting>, amendment: &Amendment, stage: Stage) {
    let ids = waiting.iter().map(|one| one.command.as_ref());
    let Some((from, to)) = amendment.place(ids) else {
        return;
    };
    let mut one = waiting.remove(from);
    match &amendment.how {
        Amend::Remove => return,
        Amend::Edit(prompt) => {
            one.text = words_of(prompt).0;
            one.partial = prompt.is_partial();
            one.stage = stage;
        }
        Amend::Move { .. } | Amend::Steer => (),
    }
    waiting.insert(to, one);
}

fn stage(state: &Posting) -> Stage {
    match state {
        Posting::Waiting | Posting::InFlight => Stage::Here,
        Posting::Accepted => Stage::Accepted,
        Posting::Refused(_) => Stage::Refused,
    }
}

/// The user's words in a command, which must never be lost.
pub fn words(what: &What) -> Option<&Prompt> {
    match what {
        What::UserMessage(prompt) => Some(prompt),
        What::Amend(Amendment {
            how: Amend::Edit(prompt),
            ..
        }) => Some(prompt),
        What::Amend(_)
        | What::Cancel
        | What::Close
        | What::Permission(_)
        | What::SetMode(_)
        | What::SetConfig { .. }
        | What::FileChanged(_)
        | What::Presence { .. }
        | What::Other { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::command::Command;
    use crate::protocol::ids::{ProjectId, RunRef};
    use crate::session::state::QueuedPrompt;

    fn id(text: &str) -> CommandId {
        text.parse().unwrap()
    }

    fn prompt(text: &str) -> Prompt {
        Prompt {
            text: text.to_owned(),
            blocks: None,
        }
    }

    #[test]
    fn what_waits_is_shown_with_the_changes_that_are_on_their_way() {
        let at = RunRef {
            project: ProjectId(1),
            task: "t".parse().unwrap(),
            run: "r".parse().unwrap(),
        };
        let mut attached = Attached::new(at, "local", false);
        attached.session.queued = ["a", "b", "c"]
            .map(|text| QueuedPrompt {
                command: Some(id(text)),
                text: text.to_owned(),
                ..QueuedPrompt::default()
            })
            .into();
        let amend = |command: &str, how: Amend| {
            let command = id(command);
            What::Amend(Amendment { command, how })
        };
        let whats = [
            (amend("c", Amend::Steer), Posting::Waiting),
            (amend("a", Amend::Remove), Posting::InFlight),
            (
                amend("b", Amend::Edit(prompt("other words"))),
                Posting::Waiting,
            ),
            (
                amend("c", Amend::Edit(prompt("too late"))),
                Posting::Refused("taken".into()),
            ),
            (What::UserMessage(prompt("new")), Posting::Waiting),
            (What::Cancel, Posting::Waiting),
        ];
        attached.outbox = whats
            .map(|(what, state)| Outgoing {
                command: Command::new(what),
                state,
            })
            .into();
        let shown: Vec<_> = waiting(&attached)
            .into_iter()
            .map(|one| (one.text, one.stage))
            .collect();
        let expected = [
            ("c", Stage::Accepted),
            ("other words", Stage::Here),
            ("new", Stage::Here),
        ];
        assert_eq!(
            shown,
            expected.map(|(text, stage)| (text.to_owned(), stage))
        );
    }
}
