//! What an undo of a file, of a turn or of a whole run would do, path by path, before anybody says yes to it.
//!
//! Pure: what was written and what stands here come in. Only what the agent wrote last is taken back, and only where
//! it still stands as the agent left it; everything else is refused with its reason.

use serde::{Deserialize, Serialize};

use crate::mirror::base::{BY_HAND, Written};
use crate::mirror::plan::same;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// Items that are listed one by one.
pub const LISTED: usize = 5000;

/// How much is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Scope {
    /// The last write to this file, or what was edited over it.
    File { path: RelPath },
    /// What the agent wrote in this turn, counted from 1.
    Turn { turn: u64 },
    /// All that the agent wrote.
    Run,
}

/// What would happen, and what would not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    pub scope: Scope,
    /// It was undone before: what the agent wrote comes back.
    pub again: bool,
    /// What changes first, each by path; [`LISTED`] at most.
    pub items: Vec<Item>,
    /// Items that would be done, and those that are refused, all of them.
    pub done: usize,
    pub refused: usize,
    /// Names exactly this: an undo that would come to anything else is not done.
    pub seen: ContentHash,
}

/// One path of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub path: RelPath,
    /// What stands here.
    pub here: Option<FileState>,
    /// What would take its place; `None`: nothing would.
    pub back: Option<FileState>,
    /// More that is to be known of it.
    pub note: Option<String>,
    /// Why it is not done.
    pub refused: Option<String>,
}

impl Scope {
    /// As the head of a page: `turn 3`.
    pub fn name(&self) -> String {
        match self {
            Self::File { path } => path.to_string(),
            Self::Turn { turn } => format!("turn {turn}"),
            Self::Run => "the whole run".to_owned(),
        }
    }
}

impl Item {
    /// What it does to the file, in one word.
    pub fn word(&self) -> &'static str {
        match (&self.refused, self.here, self.back) {
            (Some(_), ..) => "refused",
            (None, None, Some(_)) => "comes back",
            (None, Some(_), None) => "removed",
            (None, ..) => "put back",
        }
    }
}

/// Who wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    Agent,
    /// Somebody else who is attached.
    Person,
    /// An undo, or a choice made on a page.
    Hand,
    /// The files that the run began with.
    Seed,
}

/// A write, or one that passed on the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Deed<'a> {
    pub(crate) by: Author,
    pub(crate) turn: Option<u64>,
    pub(crate) tool_call: Option<&'a str>,
    pub(crate) before: Option<FileState>,
    pub(crate) after: Option<FileState>,
}

impl Written {
    /// It and what it passed over, in order.
    pub(crate) fn deeds(&self) -> Vec<Deed<'_>> {
        let author = |seq, person| match (seq, person) {
            (BY_HAND, _) => Author::Hand,
            (Seq::ZERO, _) => Author::Seed,
            (_, true) => Author::Person,
            (_, false) => Author::Agent,
        };
        let mut deeds = Vec::with_capacity(1);
        let mut before = self.before;
        for passed in &self.origin.passed {
            deeds.push(Deed {
                by: author(passed.seq, passed.person),
                turn: passed.turn,
                tool_call: passed.tool_call.as_deref(),
                before,
                after: passed.now,
            });
            before = passed.now;
        }
        deeds.push(Deed {
            by: author(self.origin.seq, self.origin.person),
            turn: self.origin.turn,
            tool_call: self.origin.tool_call.as_deref(),
            before,
            after: self.after,
        });
        deeds
    }
}

/// A path as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// What stands here, or why that is not ours to touch.
    pub(crate) here: Result<Option<FileState>, String>,
    pub(crate) in_conflict: bool,
}

/// What an undo of the scope means for one path: taken back, or brought back after it was.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) undo: Option<Item>,
    pub(crate) again: Option<Item>,
}

/// What the agent wrote to one file.
#[derive(Debug, Default)]
struct History<'a> {
    /// What nobody has undone, oldest first.
    standing: Vec<Deed<'a>>,
    /// What was undone with nothing after it but other undos, and how much at once; the last on top.
    undone: Vec<(Option<&'a Scope>, Vec<Deed<'a>>)>,
}

impl<'a> History<'a> {
    fn of(notes: &'a [Written]) -> Self {
        let mut history = Self::default();
        for note in notes {
            for deed in note.deeds() {
                history.go_on(deed, note.origin.undid.as_ref());
            }
        }
        history
    }

    fn go_on(&mut self, deed: Deed<'a>, undid: Option<&'a Scope>) {
        match deed.by {
            Author::Agent => {
                self.undone.clear();
                self.standing.push(deed);
            }
            Author::Person | Author::Seed => self.undone.clear(),
            Author::Hand => {
                if let Some(from) = taken_back(&self.standing, &deed) {
                    let taken = self.standing.split_off(from);
                    self.undone.push((undid, taken));
                    return;
                }
                let is_return = |(_, deeds): &mut (_, Vec<Deed<'_>>)| {
                    deeds
                        .first()
                        .is_some_and(|old| same(old.before, deed.before))
                        && deeds.last().is_some_and(|new| same(new.after, deed.after))
                };
                match self.undone.pop_if(is_return) {
                    Some((_, deeds)) => self.standing.extend(deeds),
                    None => self.undone.clear(),
                }
            }
        }
    }
}

/// From which one on this note has put back what stood there before.
fn taken_back(stack: &[Deed<'_>], note: &Deed<'_>) -> Option<usize> {
    let top = stack.last()?;
    if !same(top.after, note.before) {
        return None;
    }
    let unbroken = stack.len() - run_of(stack);
    (unbroken..stack.len())
        .rev()
        .find(|at| same(stack[*at].before, note.after))
}

/// How many of the last ones each go over what the one before left.
fn run_of(stack: &[Deed<'_>]) -> usize {
    let joined = stack
        .windows(2)
        .rev()
        .take_while(|pair| same(pair[0].after, pair[1].before));
    (joined.count() + 1).min(stack.len())
}

/// One path. `is_kept`: whether these bytes can be had.
pub(crate) fn step(
    scope: &Scope,
    path: &RelPath,
    notes: &[Written],
    seen: &Seen,
    is_kept: impl Fn(ContentHash) -> bool,
) -> Step {
    let Scope::File { .. } = scope else {
        return Step {
            undo: many(scope, path, notes, seen, is_kept),
            again: again(scope, path, notes, seen),
        };
    };
    Step {
        undo: Some(single(path, notes, seen)),
        again: None,
    }
}

fn item(path: &RelPath, here: Option<FileState>, back: Option<FileState>) -> Item {
    Item {
        path: path.clone(),
        here,
        back,
        note: None,
        refused: None,
    }
}

fn refused(path: &RelPath, here: Option<FileState>, why: impl Into<String>) -> Item {
    Item {
        refused: Some(why.into()),
        ..item(path, here, here)
    }
}

/// The last write of all, whoever made it; what was edited since is taken back first.
fn single(path: &RelPath, notes: &[Written], seen: &Seen) -> Item {
    let Some(last) = notes.last() else {
        return refused(
            path,
            None,
            "this run wrote nothing there, so there is nothing to undo",
        );
    };
    let here = match &seen.here {
        Ok(here) => *here,
        Err(why) => return refused(path, None, why),
    };
    let edited = !same(here, last.after);
    if edited && seen.in_conflict {
        return refused(
            path,
            here,
            "it is in conflict: `ashore mirror resolve` says which of the two stays",
        );
    }
    if edited {
        let note = "what was edited here since is taken back, and another undo returns it";
        return Item {
            note: Some(note.to_owned()),
            ..item(path, here, last.after)
        };
    }
    item(path, here, last.before)
}

fn many(
    scope: &Scope,
    path: &RelPath,
    notes: &[Written],
    seen: &Seen,
    is_kept: impl Fn(ContentHash) -> bool,
) -> Option<Item> {
    let stack = History::of(notes).standing;
    let turn = match scope {
        Scope::Turn { turn } => Some(*turn),
        Scope::File { .. } | Scope::Run => None,
    };
    let ours = |one: &Deed<'_>| turn.is_none() || one.turn == turn;
    let mine = &stack[stack.iter().position(ours)?..];
    let (first, last) = (mine.first()?, mine.last()?);
    let here = match &seen.here {
        Ok(here) => *here,
        Err(why) => return Some(refused(path, None, why)),
    };
    let why = if let Some(later) = mine.iter().find(|one| !ours(one)) {
        match later.turn {
            Some(turn) => format!("turn {turn} has written it since"),
            None => "it was written once more since".to_owned(),
        }
    } else if seen.in_conflict {
        "it is in conflict: `ashore mirror resolve` says which of the two stays".to_owned()
    } else if same(here, first.before) {
        return None;
    } else if !same(here, last.after) {
        "you edited it since".to_owned()
    } else if run_of(mine) < mine.len() {
        "it was edited between two writes of the agent: an undo of the file takes back the last"
            .to_owned()
    } else {
        match first.before {
            Some(before) if before.mode == Mode::Directory => "a folder stood there".to_owned(),
            Some(before) if !is_kept(before.hash) => {
                "what stood there before is kept no more".to_owned()
            }
            back => return Some(item(path, here, back)),
        }
    };
    Some(refused(path, here, why))
}

/// What an undo of the same scope took back, where nothing came after it.
fn again(scope: &Scope, path: &RelPath, notes: &[Written], seen: &Seen) -> Option<Item> {
    let undone = History::of(notes).undone;
    let (_, deeds) = undone.last().filter(|(of, _)| *of == Some(scope))?;
    let (first, last) = (deeds.first()?, deeds.last()?);
    let here = match &seen.here {
        Ok(here) => *here,
        Err(why) => return Some(refused(path, None, why)),
    };
    Some(if same(here, first.before) {
        item(path, here, last.after)
    } else {
        refused(path, here, "you edited it since")
    })
}

/// All paths together. What can be undone is; where all of it was, it comes back.
pub(crate) fn preview(scope: Scope, steps: Vec<Step>) -> (Preview, Vec<Item>) {
    let is_done = |item: &&Item| item.refused.is_none();
    let undone = steps.iter().filter_map(|step| step.undo.as_ref());
    let returned = steps.iter().filter_map(|step| step.again.as_ref());
    let to_undo = undone.clone().any(|item| is_done(&item));
    let to_return = returned.clone().any(|item| is_done(&item));
    let again = !to_undo && (to_return || undone.clone().next().is_none());
    let again = again && returned.clone().next().is_some();
    let mut items: Vec<Item> = if again {
        returned.cloned().collect()
    } else {
        undone.cloned().collect()
    };
    items.sort_by(|a, b| (a.refused.is_some(), &a.path).cmp(&(b.refused.is_some(), &b.path)));
    let todo: Vec<Item> = items.iter().filter(is_done).cloned().collect();
    let named: Vec<_> = todo
        .iter()
        .map(|item| (&item.path, item.here, item.back))
        .collect();
    let text = serde_json::to_string(&(&scope, again, named));
    let seen = ContentHash::of(text.unwrap_or_default().as_bytes());
    let refused = items.len() - todo.len();
    items.truncate(LISTED);
    let preview = Preview {
        scope,
        again,
        items,
        done: todo.len(),
        refused,
        seen,
    };
    (preview, todo)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mirror::base::{Origin, Passed};
    use crate::mirror::disk::state_of;

    fn text(text: &str) -> Option<FileState> {
        (!text.is_empty()).then(|| state_of(text.as_bytes(), Mode::File))
    }

    /// One file with all that was ever written of it, as the hand does it.
    #[derive(Debug, Default)]
    struct Model {
        notes: Vec<Written>,
        here: String,
        /// What stands here was typed by the user.
        is_edit: bool,
        in_conflict: bool,
    }

    impl Model {
        fn of(writes: &[(u64, &str)]) -> Self {
            let mut model = Self::default();
            writes
                .iter()
                .for_each(|(turn, text)| model.agent(*turn, text));
            model
        }

        fn note(&mut self, after: &str, origin: Origin) {
            self.notes.push(Written {
                before: text(&self.here),
                after: text(after),
                origin,
                at: jiff::Timestamp::UNIX_EPOCH,
                storage_path: None,
            });
            after.clone_into(&mut self.here);
            self.is_edit = false;
        }

        fn agent(&mut self, turn: u64, text: &str) {
            let seq = Seq(self.notes.len() as u64 + 1);
            let turn = Some(turn);
            self.note(
                text,
                Origin {
                    seq,
                    turn,
                    ..Origin::default()
                },
            );
        }

        fn edit(&mut self, text: &str) {
            text.clone_into(&mut self.here);
            self.is_edit = true;
        }

        fn look(&self, scope: &Scope) -> (Preview, Vec<Item>) {
            let seen = Seen {
                here: Ok(text(&self.here)),
                in_conflict: self.in_conflict,
            };
            let path = "a".parse().unwrap();
            let step = step(scope, &path, &self.notes, &seen, |_| true);
            preview(scope.clone(), vec![step])
        }

        /// What it says, and does, of the one file; the text that is back.
        fn undo(&mut self, scope: &Scope, texts: &[&str]) -> Result<String, String> {
            let (preview, todo) = self.look(scope);
            let Some(item) = todo.first() else {
                let refused = preview.items.first().and_then(|item| item.refused.clone());
                return Err(refused.unwrap_or_else(|| "nothing".to_owned()));
            };
            let back = texts.iter().find(|one| text(one) == item.back);
            let back = (*back.expect("a text that was written")).to_owned();
            self.note(&back, Origin::by_hand(Some(scope.clone())));
            Ok(back)
        }
    }

    const RUN: Scope = Scope::Run;

    fn turn(turn: u64) -> Scope {
        Scope::Turn { turn }
    }

    #[test]
    fn a_turn_or_a_run_goes_back_to_what_stood_before_it_and_forth_again() {
        let writes = [(1, "a1"), (2, "a2"), (2, "a3")];
        let texts = ["", "a1", "a2", "a3"];
        let table = [
            (vec![turn(2)], Ok("a1")),
            (vec![turn(2), turn(2)], Ok("a3")),
            (vec![turn(2), turn(2), turn(2)], Ok("a1")),
            (vec![RUN], Ok("")),
            (vec![RUN, RUN], Ok("a3")),
            (vec![turn(2), RUN], Ok("")),
            (vec![turn(2), turn(1)], Ok("")),
            (vec![turn(2), RUN, RUN], Ok("a1")),
            (vec![turn(1)], Err("turn 2 has written it since")),
            (vec![turn(9)], Err("nothing")),
        ];
        for (scopes, want) in table {
            let mut model = Model::of(&writes);
            let mut last = Err("nothing".to_owned());
            for scope in &scopes {
                last = model.undo(scope, &texts);
            }
            assert_eq!(last.as_deref().map_err(String::as_str), want, "{scopes:?}");
        }
    }

    #[test]
    fn what_came_in_one_go_is_told_apart_by_its_turns() {
        let texts = ["u", "a1", "a2", "a3"];
        let passed = |seq, now: &str| Passed {
            seq: Seq(seq),
            turn: Some(seq),
            tool_call: None,
            person: false,
            now: text(now),
            storage_path: None,
        };
        let mut model = Model::default();
        model.edit("u");
        let origin = Origin {
            seq: Seq(3),
            turn: Some(3),
            passed: vec![passed(1, "a1"), passed(2, "a2")],
            ..Origin::default()
        };
        model.note("a3", origin);
        assert_eq!(model.undo(&turn(3), &texts), Ok("a2".to_owned()));
        assert_eq!(model.undo(&turn(2), &texts), Ok("a1".to_owned()));
        assert_eq!(model.undo(&turn(3), &texts).unwrap_err(), "nothing");
        assert_eq!(model.undo(&turn(2), &texts), Ok("a2".to_owned()));
        assert_eq!(model.undo(&turn(3), &texts), Ok("a3".to_owned()));
        assert_eq!(model.undo(&RUN, &texts), Ok("u".to_owned()));
        // An undo of the file is one of what was done here.
        let mut file = Model {
            notes: model.notes[..1].to_vec(),
            ..Model::default()
        };
        file.edit("a3");
        let of = Scope::File {
            path: "a".parse().unwrap(),
        };
        assert_eq!(file.undo(&of, &texts), Ok("u".to_owned()));
    }

    #[test]
    fn what_was_edited_since_or_between_stays() {
        let texts = ["", "u", "a1", "a2"];
        let mut since = Model::of(&[(1, "a1")]);
        since.edit("u");
        assert_eq!(
            since.undo(&RUN, &texts),
            Err("you edited it since".to_owned())
        );
        let file = Scope::File {
            path: "a".parse().unwrap(),
        };
        assert_eq!(since.undo(&file, &texts), Ok("a1".to_owned()));
        // With the agent's version back the run can be undone, and the edit lies among the pre-images.
        assert_eq!(since.undo(&RUN, &texts), Ok(String::new()));
        let mut between = Model::of(&[(1, "a1")]);
        between.edit("u");
        between.agent(2, "a2");
        assert!(between.undo(&RUN, &texts).unwrap_err().contains("between"));
        assert_eq!(between.undo(&turn(2), &texts), Ok("u".to_owned()));
        // That is the user's own now.
        assert_eq!(
            between.undo(&RUN, &texts),
            Err("you edited it since".to_owned())
        );
        let mut undone = Model::of(&[(1, "a1")]);
        undone.undo(&RUN, &texts).unwrap();
        undone.edit("u");
        assert_eq!(
            undone.undo(&RUN, &texts),
            Err("you edited it since".to_owned())
        );
        let mut torn = Model::of(&[(1, "a1")]);
        torn.in_conflict = true;
        assert!(torn.undo(&RUN, &texts).unwrap_err().contains("in conflict"));
    }

    #[test]
    fn what_is_not_kept_or_not_the_agents_is_refused_or_not_named() {
        let path: RelPath = "a".parse().unwrap();
        let seen = |here| Seen {
            here,
            in_conflict: false,
        };
        let mut model = Model::default();
        model.edit("u");
        model.agent(1, "a1");
        let of = |seen: &Seen| {
            step(&RUN, &path, &model.notes, seen, |_| false)
                .undo
                .unwrap()
        };
        let lost = of(&seen(Ok(text("a1"))));
        assert_eq!(
            lost.refused.unwrap(),
            "what stood there before is kept no more"
        );
        let behind = of(&seen(Err("behind a link".to_owned())));
        assert_eq!(behind.refused.unwrap(), "behind a link");
        let person = Origin {
            seq: Seq(1),
            person: true,
            ..Origin::default()
        };
        for origin in [person, Origin::default()] {
            let mut model = Model::default();
            model.note("theirs", origin);
            assert_eq!(model.undo(&RUN, &["", "theirs"]), Err("nothing".to_owned()));
        }
    }

    #[test]
    fn a_preview_is_named_by_what_it_would_do() {
        let mut model = Model::of(&[(1, "a1")]);
        let (first, _) = model.look(&RUN);
        assert_eq!((first.done, first.refused, first.again), (1, 0, false));
        assert_eq!(first.items[0].word(), "removed");
        assert_eq!(model.look(&RUN).0.seen, first.seen);
        assert_ne!(model.look(&turn(1)).0.seen, first.seen);
        model.agent(1, "a2");
        assert_ne!(model.look(&RUN).0.seen, first.seen);
    }

    #[derive(Debug, Clone)]
    enum Deed {
        Agent(u64),
        Edit,
        Undo(Scope),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            3 => (1..4_u64).prop_map(Deed::Agent),
            2 => Just(Deed::Edit),
            2 => (1..4_u64).prop_map(|turn| Deed::Undo(Scope::Turn { turn })),
            2 => Just(Deed::Undo(Scope::Run)),
        ]
    }

    proptest! {
        #[test]
        fn an_undo_takes_only_what_the_agent_left_and_another_returns_it(
            deeds in prop::collection::vec(deed(), 1..24),
        ) {
            let mut model = Model::default();
            let mut texts = vec![String::new()];
            for (number, deed) in deeds.into_iter().enumerate() {
                match deed {
                    Deed::Agent(turn) => {
                        texts.push(format!("a{number}"));
                        model.agent(turn, &format!("a{number}"));
                    }
                    Deed::Edit => {
                        texts.push(format!("u{number}"));
                        model.edit(&format!("u{number}"));
                    }
                    Deed::Undo(scope) => {
                        let known: Vec<&str> = texts.iter().map(String::as_str).collect();
                        let (was, was_edit) = (model.here.clone(), model.is_edit);
                        if model.undo(&scope, &known).is_ok() {
                            prop_assert!(!was_edit, "an edit gave way: {was}");
                            prop_assert_ne!(&model.here, &was);
                            let undone = model.here.clone();
                            prop_assert_eq!(model.undo(&scope, &known), Ok(was));
                            prop_assert_eq!(model.undo(&scope, &known), Ok(undone));
                        } else {
                            prop_assert_eq!(&model.here, &was);
                        }
                    }
                }
            }
        }
    }
}
