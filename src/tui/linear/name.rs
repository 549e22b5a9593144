//! Names and keys for a face that has both: what a key means there that a picture would show.
//!
//! Pure.

use crossterm::event::KeyCode;

use crate::tui::action::Action;
use crate::tui::keymap::{Key, action_name};
use crate::tui::linear::take::{also, is_move};
use crate::tui::on::{draft, question};
use crate::tui::palette::{self, What};
use crate::tui::state::{Focus, Popup, State};

/// What Enter takes from the palette.
pub(crate) fn chosen_in_palette(state: &State, key: Key) -> Option<Action> {
    let Some(Popup::Palette(open)) = &state.popup else {
        return None;
    };
    let rows = palette::rows(state, &open.words);
    let at = open.chosen.min(rows.len().checked_sub(1)?);
    match rows.get(at)?.what {
        What::Act(action) if key.code == KeyCode::Enter => Some(action),
        What::Act(_) | What::Write(_) => None,
    }
}

/// The draft when it is the name of an action, with what stands behind it, and is to be sent.
pub(crate) fn written_name(state: &State, action: Action) -> Option<String> {
    let text = state.composer.text().trim();
    let busy = state.ask.writing.is_some() || state.changing.is_some();
    if action != Action::Submit || busy || text.contains('\n') {
        return None;
    }
    let name = text.strip_prefix('/')?.split_whitespace().next()?;
    let ours = draft::action_of(&format!("/{name}")).or_else(|| also(name));
    let ours = ours.or_else(|| draft::named(state, &format!("/{name}")));
    ours.map(|_| text.to_owned())
}

/// Actions that a picture shows, and that are told here.
pub(crate) fn is_told(state: &State, action: Action) -> bool {
    match action {
        Action::Details => state.asking().is_some(),
        Action::ExpandAll => !question::is_detailed(state),
        Action::StepUp | Action::StepDown => state.focus == Focus::Browse && is_move(state, action),
        Action::Raw
        | Action::Mouse
        | Action::SwapFocus
        | Action::Fold
        | Action::Chat
        | Action::Tools
        | Action::Files
        | Action::Plan => true,
        _ => is_move(state, action),
    }
}

/// Every key with what it does, and the name that does the same.
pub(crate) fn keys(state: &State) -> Vec<String> {
    let mut told = vec![
        "what is finished is printed; the last line is for writing, / and a name do what a key does".to_owned(),
    ];
    for binding in state
        .keymap
        .bindings
        .iter()
        .filter(|one| !one.label.is_empty())
    {
        let keys: Vec<String> = binding.keys.iter().map(Key::to_string).collect();
        let keys = match binding.context {
            crate::tui::keymap::Context::Leader => format!(
                "{} {}",
                state
                    .keymap
                    .key_of(crate::tui::keymap::Context::Everywhere, Action::Leader),
                keys.join(", ")
            ),
            _ => keys.join(", "),
        };
        told.push(format!(
            "{keys}: {} (/{})",
            binding.label,
            action_name(binding.action)
        ));
    }
    told
}
