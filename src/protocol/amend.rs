//! What a client may still change about a message that waits for the agent (contract 10.2), and what that does to the
//! order of those that wait.
//!
//! Pure. The agent side and every session ask here, so that all of them see one order.

use serde_json::{Value, json};

use crate::protocol::command::Prompt;
use crate::protocol::ids::CommandId;

/// A change to one waiting message. The endpoint accepts it only while no turn has taken the message.
#[derive(Debug, Clone, PartialEq)]
pub struct Amendment {
    /// The message.
    pub command: CommandId,
    pub how: Amend,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Amend {
    /// Other words in the same place.
    Edit(Prompt),
    Remove,
    /// Before that other waiting message; `None` is the end.
    Move {
        before: Option<CommandId>,
    },
    /// To the front, and the running turn ends for it.
    Steer,
}

impl Amendment {
    /// The messages it speaks of.
    pub fn names(&self) -> Vec<&CommandId> {
        let before = match &self.how {
            Amend::Move { before } => before.as_ref(),
            Amend::Edit(_) | Amend::Remove | Amend::Steer => None,
        };
        [Some(&self.command), before]
            .into_iter()
            .flatten()
            .collect()
    }

    pub(super) fn method(&self) -> &'static str {
        match self.how {
            Amend::Edit(_) => "_ashore/queue_edit",
            Amend::Remove => "_ashore/queue_remove",
            Amend::Move { .. } => "_ashore/queue_move",
            Amend::Steer => "_ashore/steer",
        }
    }

    pub(super) fn params(&self) -> Value {
        let mut params = match &self.how {
            Amend::Edit(prompt) => prompt.params(),
            Amend::Move { before } => json!({"before": before}),
            Amend::Remove | Amend::Steer => json!({}),
        };
        params["command"] = json!(self.command);
        params
    }

    /// `None` for a method that is none of these; else what is missing in the params.
    pub(super) fn read(method: &str, params: &Value) -> Option<Result<Self, &'static str>> {
        let id = |key: &str| params.get(key).and_then(Value::as_str)?.parse().ok();
        let how = match method {
            "_ashore/queue_edit" => match Prompt::read(params) {
                Some(prompt) => Amend::Edit(prompt),
                None => return Some(Err("`blocks` or `content`, the new words")),
            },
            "_ashore/queue_remove" => Amend::Remove,
            "_ashore/queue_move" => match params.get("before") {
                None | Some(Value::Null) => Amend::Move { before: None },
                Some(_) => match id("before") {
                    Some(before) => Amend::Move {
                        before: Some(before),
                    },
                    None => return Some(Err("`before`, the id of a waiting message or null")),
                },
            },
            "_ashore/steer" => Amend::Steer,
            _ => return None,
        };
        Some(match id("command") {
            Some(command) => Ok(Self { command, how }),
            None => Err("`command`, the id of a waiting message"),
        })
    }

    /// Where the message stands among those that wait, and where it belongs once it was taken out; `None` when it does
    /// not wait.
    pub fn place<'a>(
        &self,
        waiting: impl Iterator<Item = Option<&'a CommandId>>,
    ) -> Option<(usize, usize)> {
        let waiting: Vec<_> = waiting.collect();
        let at = |id: &CommandId| waiting.iter().position(|one| *one == Some(id));
        let from = at(&self.command)?;
        let to = match &self.how {
            Amend::Edit(_) | Amend::Remove => from,
            Amend::Steer => 0,
            Amend::Move { before: None } => waiting.len() - 1,
            Amend::Move {
                before: Some(before),
            } => match at(before) {
                Some(to) if to > from => to - 1,
                Some(to) => to,
                None => from,
            },
        };
        Some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CommandId {
        text.parse().unwrap()
    }

    #[test]
    fn a_message_moves_to_where_it_is_told_and_the_others_keep_their_order() {
        let to = |before: Option<&str>| Amend::Move {
            before: before.map(id),
        };
        let table = [
            ("c", to(Some("a")), "cabd"),
            ("a", to(Some("c")), "bacd"),
            ("a", to(Some("b")), "abcd"),
            ("a", to(None), "bcda"),
            ("d", to(None), "abcd"),
            ("b", to(Some("b")), "abcd"),
            ("b", to(Some("gone")), "abcd"),
            ("d", Amend::Steer, "dabc"),
            ("gone", Amend::Steer, "abcd"),
            ("b", Amend::Edit(Prompt::default()), "abcd"),
        ];
        for (command, how, after) in table {
            let mut waiting: Vec<CommandId> = ["a", "b", "c", "d"].map(id).into();
            let amendment = Amendment {
                command: id(command),
                how,
            };
            if let Some((from, to)) = amendment.place(waiting.iter().map(Some)) {
                let one = waiting.remove(from);
                waiting.insert(to, one);
            }
            let order: String = waiting.iter().map(ToString::to_string).collect();
            assert_eq!(order, after, "{amendment:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let table = [
            (
                "_ashore/queue_edit",
                json!({"command": "a"}),
                "`blocks` or `content`",
            ),
            ("_ashore/queue_edit", json!({"content": "x"}), "`command`"),
            (
                "_ashore/queue_remove",
                json!({"command": "../a"}),
                "`command`",
            ),
            (
                "_ashore/queue_move",
                json!({"command": "a", "before": 3}),
                "`before`",
            ),
            ("_ashore/steer", json!([]), "`command`"),
        ];
        for (method, params, says) in table {
            let why = Amendment::read(method, &params).unwrap().unwrap_err();
            assert!(why.starts_with(says), "{method} {params}: {why}");
        }
        assert_eq!(Amendment::read("_ashore/queue", &json!({})), None);
    }
}
