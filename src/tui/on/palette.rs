//! The palette: what is typed into it, what is chosen from it.
//!
//! Pure.

use crossterm::event::{KeyCode, KeyModifiers};

use crate::tui::effect::Effect;
use crate::tui::keymap::Key;
use crate::tui::on::find;
use crate::tui::palette::{Palette, Row, What, rows};
use crate::tui::state::{Focus, Popup, Scene, State};
use crate::tui::update::{act, toast};

/// Rows that a page key goes over.
const PAGE: usize = 10;

pub(crate) fn open(state: &mut State) {
    state.popup = Some(Popup::Palette(Palette::default()));
}

/// Every key while it is open; `None` when it is not, or for a key that works everywhere.
pub(crate) fn write(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    let Some(Popup::Palette(palette)) = &state.popup else {
        return None;
    };
    let mut palette = palette.clone();
    let shown = rows(state, &palette.words);
    let last = shown.len().saturating_sub(1);
    let control = key.modifiers == KeyModifiers::CONTROL;
    let chosen = palette.chosen.min(last);
    palette.chosen = match key.code {
        KeyCode::Esc => {
            state.popup = None;
            return Some(Vec::new());
        }
        KeyCode::Enter => {
            state.popup = None;
            let row = shown.into_iter().nth(chosen);
            return Some(row.map_or_else(Vec::new, |row| choose(state, row)));
        }
        KeyCode::Up => chosen.saturating_sub(1),
        KeyCode::Char('p') if control => chosen.saturating_sub(1),
        KeyCode::Down => (chosen + 1).min(last),
        KeyCode::Char('n') if control => (chosen + 1).min(last),
        KeyCode::PageUp => chosen.saturating_sub(PAGE),
        KeyCode::PageDown => (chosen + PAGE).min(last),
        _ if find::edit(&mut palette.words, key) => 0,
        _ => return None,
    };
    state.popup = Some(Popup::Palette(palette));
    Some(Vec::new())
}

fn choose(state: &mut State, row: Row) -> Vec<Effect> {
    match row.what {
        What::Act(action) => act(state, action),
        What::Write(_) if !state.composer.is_empty() => {
            toast(
                state,
                "there is a draft already: a command begins a message",
            );
            Vec::new()
        }
        What::Write(command) => {
            if matches!(state.scene, Scene::Run(_)) {
                state.focus = Focus::Edit;
                state.composer.set(command);
                state.unsaved = true;
            }
            Vec::new()
        }
    }
}
