//! Following the agent, as an editor does: what it touches is named, and chosen in the list of files.
//!
//! Pure.

use crate::session::state::Session;
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::place::{self, Followed, beneath, inside};
use crate::tui::state::{Pane, Scene, State};
use crate::tui::update::toast;

/// Calls that are looked at, from the newest: what runs began not long ago.
const RECENT: usize = 32;

/// On, or off again.
pub(crate) fn turn(state: &mut State) {
    if !matches!(state.scene, Scene::Run(_)) {
        return;
    }
    if state.follow.take().is_some() {
        toast(state, "the agent is no longer followed");
        return;
    }
    state.follow = Some(Followed::default());
    look(state);
    let key = state.keymap.key_of(Context::Browse, Action::Follow);
    let until = match key.as_str() {
        "" => "until you move in the files".to_owned(),
        key => format!("until you move in the files, or {key}"),
    };
    toast(state, format!("following what the agent touches {until}"));
}

/// Somebody moves in the list by hand.
pub(crate) fn let_go(state: &mut State) {
    if state.follow.take().is_some() {
        let key = state.keymap.key_of(Context::Browse, Action::Follow);
        let again = match key.as_str() {
            "" => String::new(),
            key => format!(": {key} follows again"),
        };
        toast(
            state,
            format!("you moved, so the agent is no longer followed{again}"),
        );
    }
}

/// After something was said, or the list came into sight: where the agent is now.
pub(crate) fn look(state: &mut State) {
    if state.follow.is_none() {
        return;
    }
    let found = state.attached().map(|attached| {
        let session = &attached.session;
        let Some((told, line)) = touched(session) else {
            return Followed::default();
        };
        let directory = attached.mirror.directory.as_deref();
        let path = match beneath(&told, directory) {
            Ok((_, path)) => path.as_str().to_owned(),
            Err(_) => inside(&told).trim_start_matches("./").to_owned(),
        };
        let mut files = session.files.iter().rev();
        let row = files.position(|file| file.path == path);
        let place = Some((path, line));
        Followed { place, row }
    });
    if let Some(row) = found.as_ref().and_then(|found| found.row)
        && state.pane == Pane::Files
    {
        state.row = row;
    }
    state.follow = found;
}

/// The newest place of a call that runs; else what was called or changed last.
fn touched(session: &Session) -> Option<(String, Option<u64>)> {
    let cells = &session.transcript.cells;
    let mut called = None;
    for index in session.calls().iter().rev().take(RECENT) {
        let Some(cell) = cells.get(*index) else {
            continue;
        };
        let Some(tool) = cell.body.tool() else {
            continue;
        };
        // An agent that goes through a file tells its places in their order.
        let Some(place) = place::of(tool).pop() else {
            continue;
        };
        if !tool.is_over() && !tool.abandoned {
            return Some(place);
        }
        called.get_or_insert((cell.seq, place));
    }
    let mut files = session.files.iter().rev();
    let changed = files.find(|file| !file.by_user && file.failed.is_none());
    let is_same = |told: &str, path: &str| {
        let before = told.strip_suffix(path);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    match (called, changed) {
        // The call knows the line, too.
        (Some((since, place)), Some(file)) if since > file.seq || is_same(&place.0, &file.path) => {
            Some(place)
        }
        (_, Some(file)) => Some((file.path.clone(), None)),
        (called, None) => called.map(|(_, place)| place),
    }
}
