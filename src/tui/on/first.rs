//! The first look of a run into a directory: the page, and what is answered.
//!
//! Pure.

use std::time::Instant;

use crate::attach::first::{Answer, Look};
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::on::{away, draft};
use crate::tui::review::{FirstPage, Review};
use crate::tui::state::{GUARD, Popup, Scene, State};
use crate::tui::tabs::at;
use crate::tui::update::leave;

/// The page is there.
pub(crate) fn looked(state: &mut State, look: Look) -> Vec<Effect> {
    if at(&state.scene) == Some(&look.at) {
        state.popup = Some(Popup::Review(Box::new(Review::First(Box::new(
            FirstPage {
                look,
                since: state.now,
                top: 0,
            },
        )))));
    }
    Vec::new()
}

/// The page that is open.
fn page(state: &State) -> Option<&FirstPage> {
    match &state.popup {
        Some(Popup::Review(review)) => match &**review {
            Review::First(page) => Some(page),
            Review::File(_) | Review::Undo(_) | Review::Conflict(_) => None,
        },
        _ => None,
    }
}

/// What was typed before the page came is no answer to it: when the keys begin to be one.
pub(crate) fn deaf_until(state: &State) -> Option<Instant> {
    let until = page(state)?.since + GUARD;
    (state.now < until).then_some(until)
}

/// An action that ends the page; `None` for every other.
pub(crate) fn act(state: &mut State, page: &FirstPage, action: Action) -> Option<Vec<Effect>> {
    let is_open = matches!(state.scene, Scene::Run(_));
    match action {
        Action::MirrorHere | Action::Yes => Some(say(state, page, Answer::Here)),
        Action::IntoWorktree if page.look.worktree.is_ok() => {
            Some(say(state, page, Answer::Worktree))
        }
        Action::AsPatch => Some(say(state, page, Answer::Patch)),
        Action::TranscriptOnly => Some(say(state, page, Answer::Transcript)),
        Action::Escape if is_open => {
            state.popup = None;
            Some(Vec::new())
        }
        Action::Escape => Some(settle(state, page, Answer::Later)),
        Action::Interrupt | Action::Leave => {
            state.popup = None;
            Some(match is_open {
                true => Vec::new(),
                false => leave(state, 0),
            })
        }
        _ => None,
    }
}

fn say(state: &mut State, page: &FirstPage, answer: Answer) -> Vec<Effect> {
    match deaf_until(state) {
        Some(_) => Vec::new(),
        None => settle(state, page, answer),
    }
}

/// The run is opened as it was decided, anew where it was open without its files.
fn settle(state: &mut State, page: &FirstPage, answer: Answer) -> Vec<Effect> {
    state.popup = None;
    let at = page.look.at.clone();
    let mut effects = draft::save(state);
    if matches!(state.scene, Scene::Run(_)) {
        effects.extend(away::keep(state));
    }
    state.scene = Scene::Opening(at.clone());
    effects.push(Effect::OpenAs(at, answer));
    effects
}
