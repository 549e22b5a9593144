//! Vim's keys, for who wishes for them: in normal mode what is printable is theirs; all else is as ever.
//!
//! Pure.

use crossterm::event::KeyCode;

use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::keymap::Key;
use crate::tui::on::draft;
use crate::tui::state::{Focus, Scene, State};
use crate::tui::update::act;
use crate::tui::vim::{Done, Mode};

/// Takes a key that is vim's.
pub(crate) fn write(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    if draft::is_busy_starting(state) {
        return None;
    }
    let vim = state.vim.as_mut().filter(|vim| vim.mode == Mode::Normal)?;
    let char = match key.code {
        KeyCode::Backspace if key.modifiers.is_empty() => 'h',
        _ => key.written()?,
    };
    let before = state.composer.cursor();
    let is_bare = vim.is_bare();
    let done = vim.press(&mut state.composer, char);
    state.question.typed = Some(state.now);
    let effects = match (done, char) {
        (Done::Changed, _) => {
            draft::changed(state);
            Vec::new()
        }
        // There is no line further: it is the history.
        (Done::Moved, 'k' | 'j') if is_bare && before == state.composer.cursor() => {
            let older = if char == 'k' {
                Action::HistoryOlder
            } else {
                Action::HistoryNewer
            };
            act(state, older)
        }
        (Done::Unknown, ':') => act(state, Action::Palette),
        (Done::Unknown, '/') => act(state, Action::Find),
        (Done::Unknown, '?') => act(state, Action::Help),
        _ => Vec::new(),
    };
    Some(effects)
}

/// In normal mode this key is a command of vim's.
pub(crate) fn takes(state: &State, key: Key) -> bool {
    let normal = state
        .vim
        .as_ref()
        .is_some_and(|vim| vim.mode == Mode::Normal);
    normal && (key.code == KeyCode::Backspace || key.written().is_some())
}

/// Esc, before it means anything else: from writing to commands, or out of a command that has begun.
pub(crate) fn escape(state: &mut State) -> bool {
    let writes = state.focus == Focus::Edit && !matches!(state.scene, Scene::Picker(_));
    match &mut state.vim {
        Some(vim) if writes => vim.escape(&mut state.composer),
        _ => false,
    }
}
