//! Code on the picture: its colours are found out beside the drawing.
//!
//! Pure.

use crate::tui::colours::{Found, Snippet};
use crate::tui::effect::Effect;
use crate::tui::state::State;

/// What the last picture would have needed.
pub(crate) fn ask(state: &mut State, snippets: Vec<Snippet>) -> Vec<Effect> {
    let new = state.colours.ask(snippets);
    Vec::from_iter((!new.is_empty()).then_some(Effect::Colour(new)))
}

pub(crate) fn learn(state: &mut State, found: Vec<Found>) -> Vec<Effect> {
    state.colours.learn(found);
    Vec::new()
}
