//! The boxes over everything: the keys, and a yes or no.
//!
//! Pure.

use crate::protocol::command::What;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::on::{choose, copy, draft, here, link, place, question, review};
use crate::tui::state::{Confirm, Popup, Scene, State};
use crate::tui::update::toast;
use crate::tui::view::popup::scrolls;

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    match (state.popup.take(), action) {
        (Some(popup @ Popup::Help { top }), action) if action.scrolls() => {
            let top = scrolled(scrolls(state, &popup), top, action);
            state.popup = Some(Popup::Help { top });
        }
        (Some(Popup::Asked { top }), action) if action != Action::Redraw => {
            return question::on_page(state, top, action);
        }
        (Some(Popup::Review(review)), action) if action != Action::Redraw => {
            return review::act(state, review, action);
        }
        (Some(Popup::Choose { row }), action) if action != Action::Redraw => {
            return choose::act(state, row, action);
        }
        (Some(Popup::Here { back }), action) if action != Action::Redraw => {
            return here::act(state, back, action);
        }
        (Some(Popup::Confirm(confirm)), Action::Yes) => return confirmed(state, confirm),
        (Some(Popup::Confirm(confirm)), Action::Escape | Action::Interrupt | Action::Leave) => {
            declined(state, confirm);
        }
        (
            Some(Popup::Help { .. }),
            Action::Escape | Action::Interrupt | Action::Help | Action::Leave | Action::Yes,
        ) => (),
        (
            Some(Popup::Palette(_)),
            Action::Escape | Action::Interrupt | Action::Leave | Action::Palette,
        ) => (),
        (Some(Popup::Places { chosen }), action) if action != Action::Redraw => {
            return place::act(state, chosen, action);
        }
        (Some(Popup::Copy { chosen }), action) if action != Action::Redraw => {
            return copy::act(state, chosen, action);
        }
        (Some(popup), Action::Redraw) => {
            state.popup = Some(popup);
            return vec![Effect::Redraw];
        }
        (popup, _) => state.popup = popup,
    }
    Vec::new()
}

/// The first line that is shown afterwards: never beyond the end.
pub(crate) fn scrolled((last, screenful): (usize, usize), top: usize, action: Action) -> usize {
    let top = top.min(last);
    let page = screenful.saturating_sub(1).max(1);
    let half = screenful.div_ceil(2);
    let to = match action {
        Action::StepUp => top.saturating_sub(1),
        Action::HalfUp => top.saturating_sub(half),
        Action::PageUp => top.saturating_sub(page),
        Action::Top => 0,
        Action::StepDown => top + 1,
        Action::HalfDown => top + half,
        Action::PageDown => top + page,
        Action::Bottom => last,
        _ => top,
    };
    to.min(last)
}

pub(crate) fn ask_stop(state: &mut State) {
    if matches!(state.scene, Scene::Run(_)) {
        draft::ask(state, Confirm::Stop);
    } else {
        toast(state, "there is no run to stop");
    }
}

fn confirmed(state: &mut State, confirm: Confirm) -> Vec<Effect> {
    match confirm {
        Confirm::Stop => link::say(state, What::Close),
        Confirm::Size { prompt, .. } => {
            draft::give_back(state, prompt);
            draft::launch(state, true)
        }
    }
}

fn declined(state: &mut State, confirm: Confirm) {
    match confirm {
        Confirm::Stop => (),
        Confirm::Size { prompt, .. } => {
            draft::give_back(state, prompt);
            toast(state, "nothing was sent; the prompt is back in the draft");
        }
    }
}
