//! Choosing a run.
//!
//! Pure.

use crossterm::event::KeyCode;

use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::RunRow;
use crate::tui::keymap::Key;
use crate::tui::on::{find, tabs};
use crate::tui::state::{Picker, Scene, State};

impl Picker {
    /// The rows that fit the filter: those that need somebody first, then the working ones, then the newest.
    pub fn shown(&self) -> Vec<&RunRow> {
        let wanted = self.filter.to_lowercase();
        let mut rows: Vec<&RunRow> = self
            .rows
            .iter()
            .flatten()
            .filter(|row| {
                let text = format!("{} {} {}", row.at.run, row.title, row.place).to_lowercase();
                text.contains(&wanted)
            })
            .collect();
        rows.sort_by_key(|row| {
            (
                row.needs.is_none(),
                !row.working,
                std::cmp::Reverse(row.updated),
            )
        });
        rows
    }
}

/// To the picker; the list is asked for anew.
pub(crate) fn show(state: &mut State) -> Vec<Effect> {
    // The run stays open behind it.
    let mut effects = tabs::park(state);
    state.popup = None;
    state.scene = Scene::Picker(Picker::default());
    effects.push(Effect::ListRuns);
    effects
}

pub(crate) fn listed(state: &mut State, rows: Result<Vec<RunRow>, String>) -> Vec<Effect> {
    if let Scene::Picker(picker) = &mut state.scene {
        match rows {
            Ok(rows) => {
                picker.rows = Some(rows);
                picker.failed = None;
            }
            Err(why) => picker.failed = Some(why),
        }
        picker.selected = picker.selected.min(picker.shown().len().saturating_sub(1));
    }
    Vec::new()
}

/// Keys that write into the filter; `None` when it is not being written.
pub(crate) fn write(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    let blocked = state.popup.is_some();
    let Scene::Picker(picker) = &mut state.scene else {
        return None;
    };
    if !picker.filtering || blocked {
        return None;
    }
    match key.code {
        KeyCode::Enter => picker.filtering = false,
        KeyCode::Esc => {
            picker.filtering = false;
            picker.filter.clear();
        }
        _ if find::edit(&mut picker.filter, key) => (),
        _ => return None,
    }
    picker.selected = 0;
    Some(Vec::new())
}

/// Rows of the screen that are no rows of the list: its head, the rules, the status.
const AROUND: u16 = 4;

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    let screenful = usize::from(state.size.1.saturating_sub(AROUND)).max(1);
    let Scene::Picker(picker) = &mut state.scene else {
        return Vec::new();
    };
    let last = picker.shown().len().saturating_sub(1);
    match action {
        Action::StepUp => picker.selected = picker.selected.saturating_sub(1),
        Action::StepDown => picker.selected = (picker.selected + 1).min(last),
        Action::HalfUp => {
            picker.selected = picker.selected.saturating_sub(screenful.div_ceil(2));
        }
        Action::HalfDown => {
            picker.selected = (picker.selected + screenful.div_ceil(2)).min(last);
        }
        Action::PageUp => picker.selected = picker.selected.saturating_sub(screenful),
        Action::PageDown => picker.selected = (picker.selected + screenful).min(last),
        Action::Top => picker.selected = 0,
        Action::Bottom => picker.selected = last,
        Action::Filter => picker.filtering = true,
        Action::Escape if picker.filter.is_empty() => return tabs::back(state),
        Action::Escape => picker.filter.clear(),
        Action::Retry => return vec![Effect::ListRuns],
        Action::NewRun => return tabs::new_run(state),
        Action::Open => {
            let chosen = picker
                .shown()
                .get(picker.selected)
                .map(|row| row.at.clone());
            if let Some(at) = chosen {
                return tabs::open(state, at);
            }
        }
        _ => (),
    }
    Vec::new()
}
