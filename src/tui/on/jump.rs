//! Jumping through the transcript: by turns, to errors, diffs, files and answered questions.
//!
//! Pure. Turns are gone through both ways; all else from below, and from the newest again behind the oldest.

use crate::session::cells::{Kind, Label};
use crate::session::state::{FileEntry, Session};
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::Place;
use crate::tui::on::{find, question};
use crate::tui::state::{Focus, Pane, Scene, Scroll, State};
use crate::tui::update::{show, toast};

/// Does this action jump?
pub(crate) fn is_about(action: Action) -> bool {
    matches!(
        action,
        Action::TurnBefore
            | Action::TurnNext
            | Action::Error
            | Action::Diff
            | Action::File
            | Action::Asked
    )
}

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if !matches!(state.scene, Scene::Run(_)) {
        return Vec::new();
    }
    match action {
        Action::TurnBefore => turn_before(state),
        Action::TurnNext => turn_next(state),
        Action::Error => up(state, "error", |_, _, label| label.is_error),
        Action::Diff => up(state, "diff", |_, _, label| label.has_diff),
        Action::File => file(state),
        Action::Asked if !state.questions().is_empty() => {
            return question::act(state, Action::Question);
        }
        Action::Asked => up(state, "answered question", |session, _, label| {
            session.answers.binary_search(&label.seq).is_ok()
        }),
        _ => (),
    }
    Vec::new()
}

fn is_turn(label: &Label) -> bool {
    label.kind == Kind::User
}

/// The cell of the call that wrote a file; without one, what was said before it came.
fn cell_of(session: &Session, file: &FileEntry) -> Option<usize> {
    let call = file.tool_call.as_ref();
    if let Some(index) = call.and_then(|id| session.call(id)) {
        return Some(index);
    }
    let cells = &session.transcript.cells;
    let before = cells.up_to(file.seq);
    let said = cells.labels().take(before).rev();
    let calls = said
        .take_while(|label| !is_turn(label))
        .position(|label| label.kind == Kind::Tool);
    before.checked_sub(calls.unwrap_or(0) + 1)
}

/// The index behind the one that a jump upward may reach: what is in sight counts when nothing is selected.
fn below(state: &State) -> usize {
    match state.selected {
        Some(item) => item.saturating_sub(1),
        None => state.drawn.bottom.item,
    }
}

fn up(state: &mut State, name: &str, wanted: impl Fn(&Session, usize, Label) -> bool) {
    let below = below(state);
    let Some(session) = state.session() else {
        return;
    };
    let cells = &session.transcript.cells;
    let nearest = |below: usize| {
        let mut labels = cells.labels().enumerate().take(below).rev();
        labels.find(|(at, label)| wanted(session, *at, *label))
    };
    let at = |found: Option<(usize, Label)>| found.map(|(at, _)| at);
    match (at(nearest(below)), at(nearest(cells.len()))) {
        (Some(index), _) => land(state, index, true),
        (None, Some(newest)) => {
            toast(state, format!("no earlier {name}: this is the newest"));
            land(state, newest, true);
        }
        (None, None) => toast(state, format!("there is no {name}")),
    }
}

/// To the beginning of this turn, then of the one before it.
fn turn_before(state: &mut State) {
    let Some(session) = state.session() else {
        return;
    };
    let drawn = state.drawn;
    let below = match (state.selected, drawn.at_end) {
        (None, false) => drawn.top.item - usize::from(drawn.top.item > 0 && drawn.top.line <= 1),
        (Some(_), _) | (None, true) => below(state),
    };
    let cells = &session.transcript.cells;
    let turn = cells
        .labels()
        .take(below)
        .rposition(|label| is_turn(&label));
    match turn {
        Some(index) => land(state, index, false),
        None => toast(state, "this is the first turn"),
    }
}

/// To the beginning of the next turn; behind the last one is the end.
fn turn_next(state: &mut State) {
    let Some(session) = state.session() else {
        return;
    };
    if state.selected.is_none() && state.scroll == Scroll::Follow {
        return;
    }
    let from = state.selected.unwrap_or(state.drawn.top.item);
    let labels = session.transcript.cells.labels().enumerate();
    let next = labels.skip(from).find(|(_, label)| is_turn(label));
    match next.map(|(index, _)| index) {
        Some(index) => land(state, index, false),
        None => {
            state.selected = None;
            state.scroll = Scroll::Follow;
        }
    }
}

/// In the list of files to where the chosen one was written, else to where a file was written before this.
fn file(state: &mut State) {
    let Some(session) = state.session() else {
        return;
    };
    if state.pane == Pane::Files {
        let chosen = session.files.iter().rev().nth(state.row);
        match chosen.and_then(|file| cell_of(session, file)) {
            Some(index) => land(state, index, true),
            None => toast(state, "nothing is known of where this file was written"),
        }
        return;
    }
    let written: std::collections::BTreeSet<usize> = session
        .files
        .iter()
        .filter_map(|file| cell_of(session, file))
        .collect();
    up(state, "file", |_, index, _| written.contains(&index));
}

/// Selects a cell and puts it at the top.
pub(crate) fn land(state: &mut State, index: usize, unfold: bool) {
    if state.pane != Pane::Chat {
        show(state, Pane::Chat);
    }
    state.focus = Focus::Browse;
    state.selected = Some(index + 1);
    state.scroll = Scroll::At(Place {
        item: index + 1,
        line: 0,
    });
    if unfold {
        find::unfold(state, index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::Seq;
    use crate::session::cells::Cells;
    use crate::session::tool::ToolCall;
    use crate::session::transcript::{Body, Cell};

    fn cell(seq: u64, body: Body) -> Cell {
        Cell {
            seq: Seq(seq),
            revision: 0,
            rewrites: 0,
            time: None,
            turn: 1,
            body,
        }
    }

    fn call(id: &str) -> Body {
        Body::Tool(Box::new(ToolCall {
            id: id.into(),
            ..ToolCall::default()
        }))
    }

    #[test]
    fn a_file_belongs_to_the_call_before_it() {
        let mut session = Session::default();
        let user = Body::User {
            text: "go".into(),
            from: None,
            command: None,
            attachments: Vec::new(),
        };
        let agent = Body::Agent {
            text: "hm".into(),
            open: false,
        };
        session.transcript.cells = Cells::from_iter([
            cell(1, user.clone()),
            cell(2, call("t1")),
            cell(4, agent.clone()),
            cell(6, user),
            cell(7, agent),
        ]);
        let file = |seq: u64| FileEntry {
            path: "a".into(),
            kind: crate::protocol::file::ChangeKind::Modified,
            seq: Seq(seq),
            turn: None,
            tool_call: None,
            failed: None,
            by_user: false,
        };
        for (seq, index) in [(0, None), (3, Some(1)), (5, Some(1)), (8, Some(4))] {
            assert_eq!(cell_of(&session, &file(seq)), index, "{seq}");
        }
    }
}
