//! From what was said to the place it is about, in the user's own editor.
//!
//! Pure.

use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::place::{self, Place, beneath};
use crate::tui::state::{Pane, Popup, Scene, State};
use crate::tui::update::toast;

/// The places that could be meant: where the agent is followed to, of the chosen file, else of the selected call or the newest before it that has any.
pub(crate) fn places(state: &State) -> Vec<(String, Option<u64>)> {
    let Some(session) = state.session() else {
        return Vec::new();
    };
    let followed = state.follow.as_ref().and_then(|one| one.place.clone());
    if let Some(place) = followed.filter(|_| state.selected.is_none()) {
        return vec![place];
    }
    if state.pane == Pane::Files {
        let file = session.files.iter().rev().nth(state.row);
        return file
            .map(|file| (file.path.clone(), None))
            .into_iter()
            .collect();
    }
    let cells = &session.transcript.cells;
    let below = state.selected.unwrap_or(usize::MAX);
    let mut calls = session.calls().iter().rev().filter(|index| **index < below);
    let found = calls.find_map(|index| {
        let places = place::of(cells.get(*index)?.body.tool()?);
        (!places.is_empty()).then_some(places)
    });
    found.unwrap_or_default()
}

/// To the only place there is, or to one that is chosen from a list.
pub(crate) fn open(state: &mut State) -> Vec<Effect> {
    if !matches!(state.scene, Scene::Run(_)) {
        return Vec::new();
    }
    match places(state).as_slice() {
        [] => {
            toast(state, "no place in a file is told here");
            Vec::new()
        }
        [_] => go(state, 0),
        _ => {
            state.popup = Some(Popup::Places { chosen: 0 });
            Vec::new()
        }
    }
}

/// An action while the list is open.
pub(crate) fn act(state: &mut State, chosen: usize, action: Action) -> Vec<Effect> {
    let last = places(state).len().saturating_sub(1);
    let chosen = match action {
        Action::StepUp => chosen.saturating_sub(1),
        Action::StepDown => chosen + 1,
        Action::PageUp | Action::Top => 0,
        Action::PageDown | Action::Bottom => last,
        Action::Yes => return go(state, chosen),
        Action::Escape | Action::Interrupt | Action::Leave | Action::OpenAt => return Vec::new(),
        _ => chosen,
    };
    state.popup = Some(Popup::Places {
        chosen: chosen.min(last),
    });
    Vec::new()
}

pub(crate) fn go(state: &mut State, chosen: usize) -> Vec<Effect> {
    let directory = state
        .attached()
        .and_then(|attached| attached.mirror.directory.clone());
    let Some((told, line)) = places(state).into_iter().nth(chosen) else {
        return Vec::new();
    };
    match beneath(&told, directory.as_deref()) {
        Ok((directory, path)) => {
            let place = Place {
                directory,
                path,
                line,
            };
            vec![Effect::OpenAt {
                editor: state.writing.editor.clone(),
                place,
            }]
        }
        Err(why) => {
            toast(state, why);
            Vec::new()
        }
    }
}

/// The editor has ended, or could not begin.
pub(crate) fn back(state: &mut State, done: Result<(), String>) -> Vec<Effect> {
    if let Err(why) = done {
        toast(state, why);
    }
    Vec::new()
}
