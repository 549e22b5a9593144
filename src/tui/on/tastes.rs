//! The config was saved while the screen is up: what can hold at once does.
//!
//! Pure.

use crate::tui::effect::Effect;
use crate::tui::state::State;
use crate::tui::tastes::Tastes;
use crate::tui::update::toast;

pub(crate) fn told(state: &mut State, told: Result<Tastes, String>) -> Vec<Effect> {
    let tastes = match told {
        Ok(tastes) => tastes,
        Err(why) => {
            toast(state, format!("{why}; what held before still holds"));
            return Vec::new();
        }
    };
    let Tastes {
        themes,
        keymap,
        column,
        ascii,
        calm,
        vim,
        later,
    } = tastes;
    let citizen = &mut state.citizen;
    let same = citizen.themes.as_ref() == Some(&themes)
        && state.keymap == keymap
        && citizen.habits.column == column
        && citizen.habits.ascii == ascii
        && citizen.habits.calm == calm
        && state.vim.is_some() == vim;
    citizen.themes = Some(themes);
    citizen.habits.column = column;
    citizen.habits.ascii = ascii;
    citizen.habits.calm = calm;
    state.keymap = keymap;
    state.vim = vim.then(|| state.vim.take().unwrap_or_default());
    let told = state.citizen.later == later;
    let rest = later.join(", ");
    match (same, later.is_empty() || told) {
        (true, true) => (),
        (false, true) => toast(state, "the config is read again"),
        (true, false) => toast(state, format!("at the next start: {rest}")),
        (false, false) => toast(
            state,
            format!("the config is read again; at the next start: {rest}"),
        ),
    }
    state.citizen.later = later;
    Vec::new()
}
