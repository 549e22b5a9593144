//! What the terminal says beside keys, and what it is told beside the picture.
//!
//! Pure.

use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::on::browse;
use crate::tui::state::{Pane, Scene, State};
use crate::tui::tty::report::Report;
use crate::tui::update::act;

/// Lines of the transcript for one step of the wheel.
const STEP: i64 = 3;

/// An answer that came late, or a change that it tells by itself.
pub(crate) fn told(state: &mut State, report: Report) -> Vec<Effect> {
    let before = state.citizen.manners;
    state.citizen.manners.learn(report);
    if state.citizen.manners == before {
        return Vec::new();
    }
    vec![Effect::Adopt(state.citizen.manners)]
}

/// The terminal says that the focus came or went, so it is one that does.
pub(crate) fn focus(state: &mut State, here: bool) {
    state.focused = here;
    state.citizen.heard_focus = true;
}

/// The transcript moves by lines; in a list and a box it is the arrow keys.
pub(crate) fn wheel(state: &mut State, steps: i16) -> Vec<Effect> {
    let chat = state.pane == Pane::Chat || state.has_column();
    if state.popup.is_none() && chat && !matches!(state.scene, Scene::Picker(_)) {
        browse::scroll(state, STEP * i64::from(steps));
        return Vec::new();
    }
    let action = if steps < 0 {
        Action::StepUp
    } else {
        Action::StepDown
    };
    (0..steps.unsigned_abs())
        .flat_map(|_| act(state, action))
        .collect()
}
