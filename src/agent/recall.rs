//! What the journal says happened before this start: open turns and permissions, waiting prompts, files.
//!
//! Pure. Reads line by line in journal order and never fails: what it cannot read changes nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::agent::turns::{Event, Left, Waiting, keyless};
use crate::plant::planted;
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::{Command, What};
use crate::protocol::entry::{Ends, Entry, Ext, Said};
use crate::protocol::file::FileState;
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::path::RelPath;

/// A turn whose request line stands in the journal without a response.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    id: Value,
    command: Option<CommandId>,
}

/// Everything a start needs to know of the ones before it.
#[derive(Debug, Default)]
pub(crate) struct Recall {
    last: Seq,
    turns: u64,
    open: Option<Open>,
    /// In the order in which they are to be taken.
    waiting: Vec<Waiting>,
    /// Changes of clients without an answer.
    edits: Vec<(Seq, Command)>,
    permissions: BTreeMap<String, String>,
    files: BTreeMap<RelPath, Option<FileState>>,
}

impl Recall {
    pub(crate) fn read(&mut self, seq: Seq, entry: &Entry) {
        self.last = self.last.max(seq);
        match &entry.said {
            Said::Command(command) => self.command(seq, entry, command),
            Said::Request { id, method, params } if method == "session/prompt" => {
                let command = entry.command.clone().or_else(|| id_in(params, "command"));
                let edit = id_in(params, "edit");
                self.taken(seq, id, command, edit);
            }
            Said::Response { id, .. } => self.open = self.open.take().filter(|open| open.id != *id),
            Said::Ext(ext) => self.ext(ext),
            Said::Request { .. }
            | Said::Update(_)
            | Said::FinalText(_)
            | Said::StreamError(_)
            | Said::Unknown(_)
            | Said::Ignored => (),
        }
    }

    /// Counts a line that could not be read.
    pub(crate) fn pass(&mut self, seq: Seq) {
        self.last = self.last.max(seq);
    }

    fn command(&mut self, seq: Seq, entry: &Entry, command: &Command) {
        match &command.what {
            What::UserMessage(prompt) => {
                let id = keyed(entry, command).id;
                let id = id.unwrap_or_else(|| keyless(seq));
                self.waiting.push(Waiting::said(seq, id, prompt.clone()));
            }
            What::FileChanged(_) => self.edits.push((seq, keyed(entry, command))),
            What::Amend(amendment) => self.amend(keyed(entry, command).id, amendment),
            What::Cancel => self.cancel(entry.ends.as_ref()),
            // A close was obeyed or will not be: this start was ordered after it. The rest is over with the old child.
            What::Close
            | What::Permission(_)
            | What::SetMode(_)
            | What::SetConfig { .. }
            | What::Presence { .. }
            | What::Other { .. } => (),
        }
    }

    /// A turn that is open was ended by the former start, or will be answered for it.
    fn cancel(&mut self, ends: Option<&Ends>) {
        let Some(Ends::Waiting(ended)) = ends else {
            return;
        };
        let mut waiting = self.waiting.iter_mut();
        if let Some(one) = waiting.find(|one| one.command == *ended) {
            one.cancelled = true;
        }
    }

    /// What waits stands in the order in which it is to be taken.
    fn amend(&mut self, id: Option<CommandId>, amendment: &Amendment) {
        let ids = self.waiting.iter().map(|one| Some(&one.command));
        let Some((from, to)) = amendment.place(ids) else {
            return;
        };
        let mut one = self.waiting.remove(from);
        match &amendment.how {
            Amend::Remove => return,
            Amend::Edit(prompt) => (one.prompt, one.edit) = (prompt.clone(), id),
            Amend::Move { .. } | Amend::Steer => (),
        }
        self.waiting.insert(to, one);
    }

    fn taken(&mut self, seq: Seq, id: &Value, command: Option<CommandId>, edit: Option<CommandId>) {
        self.turns = self.turns.max(id.as_u64().unwrap_or(0)).max(self.turns + 1);
        let at = self
            .waiting
            .iter()
            .position(|one| Some(&one.command) == command.as_ref());
        if let Some(at) = at.filter(|_| !planted!(RecallForgetsTaken)) {
            let one = self.waiting.remove(at);
            // Its newest words had been accepted and came too late for this turn.
            if let Some(late) = one.edit.filter(|late| edit.as_ref() != Some(late))
                && !one.cancelled
            {
                let rest = Waiting {
                    seq,
                    command: late,
                    edit: None,
                    ..one
                };
                self.waiting.insert(0, rest);
            }
        }
        self.open = Some(Open {
            id: id.clone(),
            command,
        });
    }

    fn ext(&mut self, ext: &Ext) {
        // Everything else is for screens.
        if let Ext::PermissionRequest(asked) = ext {
            self.permissions
                .insert(asked.request.clone(), asked.tool_call.clone());
        } else if let Ext::PermissionResponse { request, .. } = ext {
            self.permissions.remove(request);
        } else if let Ext::FileSync(change) = ext {
            self.files.insert(change.path.clone(), change.now);
        } else if let Ext::FileApplied(applied) = ext {
            let change = &applied.change;
            self.files.insert(change.path.clone(), change.now);
            self.answered(applied.command.as_ref(), change.path.as_str());
        } else if let Ext::FileStale(stale) = ext {
            self.answered(stale.command.as_ref(), stale.path.as_str());
        } else if let Ext::FileFailed { path, command, .. } = ext {
            self.answered(command.as_ref(), path);
        }
    }

    /// One change of this command has its answer.
    fn answered(&mut self, command: Option<&CommandId>, path: &str) {
        let Some(command) = command else { return };
        let mut edits = self.edits.iter_mut();
        let asked = edits.find(|(_, edit)| edit.id.as_ref() == Some(command));
        if let Some((_, edit)) = asked
            && let What::FileChanged(changes) = &mut edit.what
            && let Some(at) = changes.iter().position(|c| c.path.as_str() == path)
        {
            changes.remove(at);
        }
        self.edits.retain(
            |(_, edit)| !matches!(&edit.what, What::FileChanged(changes) if changes.is_empty()),
        );
    }

    /// The line up to which the journal was read; commands are followed from here.
    pub(crate) fn last(&self) -> Seq {
        self.last
    }

    /// How many turns there were; also the highest number among their ids.
    pub(crate) fn turns(&self) -> u64 {
        self.turns
    }

    /// The turn nobody answered, if our side gave it its number.
    pub(crate) fn left(&self) -> Option<Left> {
        let open = self.open.as_ref()?;
        Some(Left {
            number: open.id.as_u64()?,
            command: open.command.clone(),
        })
    }

    /// Permission requests without an answer: request and tool call.
    pub(crate) fn permissions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.permissions
            .iter()
            .map(|(r, c)| (r.as_str(), c.as_str()))
    }

    /// What the journal says of files, on top of what the run began with; `None` is a delete.
    pub(crate) fn files(&self) -> &BTreeMap<RelPath, Option<FileState>> {
        &self.files
    }

    /// The untaken prompts in the order of the queue, each unanswered change of files before the first prompt that
    /// stands behind it.
    pub(crate) fn waiting(self) -> Vec<Event> {
        let mut edits = self.edits.into_iter().peekable();
        let mut events = Vec::new();
        let heard = |(seq, command)| Event::Heard { seq, command };
        for prompt in self.waiting {
            while let Some(edit) = edits.next_if(|(seq, _)| *seq < prompt.seq) {
                events.push(heard(edit));
            }
            events.push(Event::Waits(prompt));
        }
        events.extend(edits.map(heard));
        events
    }
}

/// The command with its key, wherever that stands.
fn keyed(entry: &Entry, command: &Command) -> Command {
    let id = command.id.clone().or_else(|| entry.command.clone());
    Command {
        id,
        ..command.clone()
    }
}

fn id_in(params: &Value, key: &str) -> Option<CommandId> {
    params["_meta"]["ashore"][key].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::command::{LocalChange, Prompt};
    use crate::protocol::entry::From;
    use crate::protocol::file::{Applied, ChangeKind, FileChange, Mode, Stale};

    fn entry(said: Said) -> Entry {
        Entry {
            timestamp: None,
            from: From::Agent,
            who: None,
            command: None,
            ends: None,
            message: Value::Null.into(),
            said,
        }
    }

    fn message(id: &str, what: What) -> Said {
        Said::Command(Command {
            id: Some(id.parse().unwrap()),
            what,
        })
    }

    fn say(id: &str) -> Said {
        message(id, What::UserMessage(Default::default()))
    }

    fn amend(command: &str, how: Amend) -> Said {
        let command = command.parse().unwrap();
        message("x", What::Amend(Amendment { command, how }))
    }

    fn taken(id: u64, command: &str) -> Said {
        Said::Request {
            id: json!(id),
            method: "session/prompt".into(),
            params: json!({"_meta": {"ashore": {"command": command}}}),
        }
    }

    fn answered(id: u64) -> Said {
        Said::Response {
            id: json!(id),
            outcome: Ok(json!({})),
        }
    }

    fn recall(lines: Vec<Said>) -> Recall {
        let mut recall = Recall::default();
        for (i, said) in lines.into_iter().enumerate() {
            recall.read(Seq(i as u64 + 1), &entry(said));
        }
        recall
    }

    fn kinds(recall: Recall) -> Vec<String> {
        let word = |event: &Event| match event {
            Event::Waits(waiting) if waiting.cancelled => format!("{} cancelled", waiting.command),
            Event::Waits(waiting) => waiting.command.to_string(),
            other => panic!("{other:?}"),
        };
        recall.waiting().iter().map(word).collect()
    }

    #[test]
    fn a_taken_unanswered_command_is_left_and_untaken_ones_wait_in_order() {
        let lines = vec![
            say("a"),
            taken(1, "a"),
            say("b"),
            answered(1),
            taken(2, "b"),
            say("c"),
            say("d"),
        ];
        let recall = recall(lines);
        let left = recall.left().unwrap();
        assert_eq!((left.number, left.command), (2, Some("b".parse().unwrap())));
        assert_eq!((recall.turns(), recall.last()), (2, Seq(7)));
        assert_eq!(kinds(recall), ["c", "d"]);
    }

    #[test]
    fn a_cancel_counts_for_the_prompt_that_it_names_as_long_as_that_waits() {
        let cancelled = |ends: &str, lines: Vec<Said>| {
            let mut recall = recall(lines);
            let mut cancel = entry(message("x", What::Cancel));
            cancel.ends = Some(Ends::Waiting(ends.parse().unwrap()));
            recall.read(Seq(100), &cancel);
            kinds(recall)
        };
        let open = vec![say("a"), taken(1, "a"), say("b")];
        assert_eq!(cancelled("a", open), ["b"]);
        assert_eq!(
            cancelled("b", vec![say("a"), say("b")]),
            ["a", "b cancelled"]
        );
        // One of an endpoint that did not say so ends nothing.
        assert_eq!(
            kinds(recall(vec![say("a"), message("x", What::Cancel)])),
            ["a"]
        );
    }

    #[test]
    fn words_that_were_accepted_and_came_too_late_wait_as_the_command_that_brought_them() {
        let edit = |by: &str| {
            let how = Amend::Edit(Prompt::default());
            message(
                by,
                What::Amend(Amendment {
                    command: "a".parse().unwrap(),
                    how,
                }),
            )
        };
        let with = |command: &str, edit: &str| Said::Request {
            id: json!(1),
            method: "session/prompt".into(),
            params: json!({"_meta": {"ashore": {"command": command, "edit": edit}}}),
        };
        let begin = || vec![say("a"), say("b"), edit("e"), edit("f")];
        let left = |rest: Vec<Said>| kinds(recall(begin().into_iter().chain(rest).collect()));
        assert_eq!(left(vec![with("a", "f")]), ["b"]);
        assert_eq!(left(vec![with("a", "e")]), ["f", "b"]);
        assert_eq!(left(vec![taken(1, "a")]), ["f", "b"]);
        assert_eq!(left(vec![taken(1, "a"), answered(1), taken(2, "f")]), ["b"]);
    }

    #[test]
    fn what_waits_comes_back_in_the_order_and_with_the_words_it_was_given() {
        let before = |other: &str| Amend::Move {
            before: Some(other.parse().unwrap()),
        };
        let words = Prompt {
            text: "other words".into(),
            blocks: None,
        };
        let recall = recall(vec![
            say("a"),
            taken(1, "a"),
            say("b"),
            say("c"),
            say("d"),
            say("e"),
            amend("d", before("b")),
            amend("b", before("d")),
            amend("e", Amend::Steer),
            answered(1),
            taken(2, "e"),
            answered(2),
            taken(3, "b"),
            amend("c", Amend::Edit(words.clone())),
        ]);
        let events = recall.waiting();
        let heard: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Waits(waiting) => (waiting.seq.0, waiting.prompt.clone()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(heard, [(5, Prompt::default()), (4, words)]);
    }

    #[test]
    fn removed_prompts_and_answered_permissions_are_gone() {
        let ask = |request: &str| {
            Said::Ext(Ext::PermissionRequest(crate::agent::translate::permission(
                request,
                &json!({"toolCall": {"toolCallId": "t"}}),
            )))
        };
        let answer = Said::Ext(Ext::PermissionResponse {
            request: "p".into(),
            tool_call: "t".into(),
            option: "o".into(),
            from: None,
        });
        let recall = recall(vec![
            say("a"),
            amend("a", Amend::Remove),
            ask("p"),
            ask("q"),
            answer,
        ]);
        assert_eq!(recall.permissions().collect::<Vec<_>>(), [("q", "t")]);
        assert_eq!(kinds(recall), Vec::<String>::new());
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn a_change_is_left_as_long_as_one_of_its_paths_has_no_answer() {
        let change = |path: &str| LocalChange {
            path: path.parse().unwrap(),
            hash: None,
            size: 0,
            mode: Mode::File,
            base: None,
            base_mode: None,
        };
        let edit =
            |id: &str, paths: [&str; 3]| message(id, What::FileChanged(paths.map(change).to_vec()));
        let command = |id: &str| Some(id.parse().unwrap());
        let applied = |id: &str, path: &str| {
            Said::Ext(Ext::FileApplied(Applied {
                change: FileChange {
                    kind: ChangeKind::Deleted,
                    path: path.parse().unwrap(),
                    now: None,
                    before: None,
                    storage_path: None,
                    turn: None,
                    tool_call: None,
                },
                before_mode: None,
                command: command(id),
            }))
        };
        let refused = Said::Ext(Ext::FileStale(Stale {
            path: "b".parse().unwrap(),
            current: None,
            reason: None,
            command: command("one"),
        }));
        let failed = Said::Ext(Ext::FileFailed {
            path: "c".into(),
            reason: "no".into(),
            command: command("one"),
        });
        let recall = recall(vec![
            edit("one", ["a", "b", "c"]),
            say("p"),
            edit("two", ["a", "a", "b"]),
            applied("one", "a"),
            refused,
            failed,
            applied("two", "a"),
        ]);
        let waiting = recall.waiting();
        let left: Vec<String> = waiting
            .iter()
            .map(|event| match event {
                Event::Heard { command, .. } => match &command.what {
                    What::FileChanged(changes) => {
                        let paths: Vec<&str> = changes.iter().map(|c| c.path.as_str()).collect();
                        format!("{} {}", command.id.as_ref().unwrap(), paths.join(" "))
                    }
                    other => panic!("{other:?}"),
                },
                Event::Waits(waiting) => waiting.command.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(left, ["p", "two a b"]);
    }
}
