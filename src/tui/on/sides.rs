//! Both sides of a conflict, looked at and decided.
//!
//! Pure.

use crate::attach;
use crate::mirror::control::Keep;
use crate::mirror::status::Conflict;
use crate::mirror::worker::Order;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::Sides;
use crate::tui::keymap::Key;
use crate::tui::on::link;
use crate::tui::state::{Pane, Popup, State};
use crate::tui::update::toast;

/// What can be done about it: the key, and what it does.
pub(crate) const WAYS: [(char, &str, Keep); 3] = [
    ('1', "keep yours", Keep::Mine),
    ('2', "take theirs", Keep::Theirs),
    ('3', "keep both", Keep::Both),
];

/// Has both sides of the chosen file read; without one, of the first that is in conflict.
pub(crate) fn open(state: &mut State) -> Vec<Effect> {
    let chosen = chosen(state);
    let Some(attached) = state.attached() else {
        return Vec::new();
    };
    let mirror = &attached.mirror;
    let of_chosen = |one: &&Conflict| chosen.as_ref().is_none_or(|path| one.path == *path);
    let found = mirror.conflicts.iter().find(of_chosen);
    let read = found.zip(mirror.directory.as_ref());
    if let Some((conflict, directory)) = read {
        let read = Effect::ReadSides {
            directory: directory.clone(),
            conflict: conflict.clone(),
        };
        return vec![read];
    }
    let line = match chosen {
        Some(path) if found.is_none() => format!("{path} is not in conflict"),
        _ => "nothing is in conflict".to_owned(),
    };
    toast(state, line);
    Vec::new()
}

fn chosen(state: &State) -> Option<String> {
    let files = (state.pane == Pane::Files).then_some(state.session()?)?;
    let file = files.files.iter().rev().nth(state.row)?;
    Some(file.path.clone())
}

/// They were read; they are shown unless something else lies over the screen by now, or another run is on it.
pub(crate) fn told(state: &mut State, sides: Sides) -> Vec<Effect> {
    let mirror = state.attached().map(|attached| &attached.mirror);
    let is_open = mirror.is_some_and(|mirror| mirror.conflicts.contains(&sides.conflict));
    if state.popup.is_none() && is_open {
        let sides = Box::new(sides);
        state.popup = Some(Popup::Sides { sides, top: 0 });
    }
    Vec::new()
}

/// A digit decides; `None` for every other key, and when no conflict is shown.
pub(crate) fn write(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    let Some(Popup::Sides { sides, .. }) = &state.popup else {
        return None;
    };
    let digit = key.written()?;
    let (_, _, keep) = WAYS.iter().find(|(key, _, _)| *key == digit)?;
    let path = sides.conflict.path.parse();
    state.popup = None;
    Some(match path {
        Ok(path) => {
            let order = Order::Resolve { path, keep: *keep };
            link::step(state, attach::event::Event::MirrorOrder(order))
        }
        Err(_) => {
            toast(state, "this file is not mirrored");
            Vec::new()
        }
    })
}

/// An action while it is shown.
pub(crate) fn act(state: &mut State, sides: Box<Sides>, top: usize, action: Action) {
    let top = match action {
        Action::StepUp => top.saturating_sub(1),
        Action::StepDown => top + 1,
        Action::PageUp => top.saturating_sub(10),
        Action::PageDown => top + 10,
        Action::Escape | Action::Interrupt | Action::Leave | Action::Conflict => return,
        _ => top,
    };
    state.popup = Some(Popup::Sides { sides, top });
}
