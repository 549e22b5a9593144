//! The agent asks: every option in its order, none chosen by a key that was meant as text.
//!
//! Pure.

use crate::protocol::acp::{OptionKind, PermissionOption};
use crate::protocol::command::{PermissionReply, What};
use crate::protocol::ids::RunRef;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::keymap::{Context, Key};
use crate::tui::on::{citizen, draft, link, queue, writing};
use crate::tui::state::{Focus, Popup, State};
use crate::tui::update::toast;
use crate::tui::view::{self, asked};

/// Answers that can be picked at once: one for each digit.
pub(crate) const DIGITS: usize = 9;

/// Actions that only mean something while a question is on the screen.
pub(crate) fn is_answer(action: Action) -> bool {
    matches!(
        action,
        Action::Pick(_)
            | Action::MoreAnswers
            | Action::AllowOnce
            | Action::AllowAlways
            | Action::Reject
            | Action::RejectWhy
            | Action::Details
    )
}

/// A key that writes or changes something, and is no answer of an awake question: for a while the answer keys are deaf.
/// What was meant for the draft or the transcript a moment before must not answer.
pub(crate) fn heed(state: &mut State, context: Context, key: Key) {
    if state.popup.is_some() {
        return;
    }
    let found = state.keymap.lookup(context, key);
    if context == Context::Question && found.is_some_and(is_answer) {
        return;
    }
    let edits = || {
        let edit = state.keymap.lookup(Context::Edit, key);
        state.focus == Focus::Edit && edit.is_some_and(draft::is_edit)
    };
    if key.written().is_some() || edits() {
        state.question.typed = Some(state.now);
    }
}

/// The question that can be read on the screen now: of which run, and which one.
pub(crate) fn sight(state: &State) -> Option<(RunRef, String)> {
    let open = state.asking().filter(|_| state.question_in_sight())?;
    Some((state.attached()?.at.clone(), open.request.clone()))
}

/// After anything at all: a question that was not in sight before is as new as one that has just come. What was pressed
/// to bring it there, or was meant for what lay over it, is no answer.
pub(crate) fn guard(state: &mut State, before: Option<&(RunRef, String)>) {
    let now = state.now;
    if sight(state).as_ref() != before
        && let Some((_, since)) = &mut state.question.shown
    {
        *since = now;
    }
}

/// After anything new from the run: is another question on the screen than before? It rings once.
pub(crate) fn look(state: &mut State) -> Vec<Effect> {
    let open: Vec<String> = state
        .session()
        .map(|session| {
            session
                .permissions
                .iter()
                .map(|open| open.request.clone())
                .collect()
        })
        .unwrap_or_default();
    state
        .question
        .aside
        .retain(|request| open.contains(request));
    state
        .question
        .answered
        .retain(|request| open.contains(request));
    let asking = state.asking().map(|open| open.request.clone());
    let shown = state
        .question
        .shown
        .as_ref()
        .map(|(request, _)| request.clone());
    if asking == shown {
        return Vec::new();
    }
    let rings = asking.is_some();
    state.question.over = !state.composer.is_empty();
    state.question.shown = asking.map(|request| (request, state.now));
    state.question.details = false;
    state.question.from = 0;
    state.question.called = false;
    if matches!(state.popup, Some(Popup::Asked { .. })) {
        // Another question than the one on the page.
        state.popup = None;
    }
    state.changed = true;
    if rings {
        citizen::asks(state)
    } else {
        Vec::new()
    }
}

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    match action {
        Action::Pick(number) if is_why(state, number) => writing::why(state),
        Action::Pick(number) => {
            let place = picked(state, number);
            pick(state, |options| options.get(place?))
        }
        Action::MoreAnswers => {
            more_answers(state);
            Vec::new()
        }
        Action::RejectWhy => writing::why(state),
        Action::AllowOnce => first(state, &[OptionKind::AllowOnce]),
        Action::AllowAlways => first(state, &[OptionKind::AllowAlways]),
        Action::Reject => first(state, &[OptionKind::RejectOnce, OptionKind::RejectAlways]),
        Action::Details if state.question.details || view::question::is_cut(state) => {
            open_page(state);
            Vec::new()
        }
        Action::Details => {
            state.question.details = true;
            Vec::new()
        }
        _ => {
            bring_back(state);
            Vec::new()
        }
    }
}

/// The place of the answer that this digit picks.
fn picked(state: &State, number: u8) -> Option<usize> {
    Some(state.question.from + usize::from(number).checked_sub(1)?)
}

/// The line behind the last option rejects with words.
fn is_why(state: &State, number: u8) -> bool {
    state.asking().is_some_and(|open| {
        let line = Some(open.options.len());
        picked(state, number) == line && writing::rejection(open).is_some()
    })
}

/// The next nine, and behind the last the first again.
fn more_answers(state: &mut State) {
    let Some(open) = state.asking() else {
        return;
    };
    let answers = open.options.len() + usize::from(writing::rejection(open).is_some());
    let next = state.question.from + DIGITS;
    if answers <= DIGITS {
        toast(state, "these are all answers that there are");
    } else {
        state.question.from = if next < answers { next } else { 0 };
    }
}

/// The details are on the screen, and there is more room for them.
pub(crate) fn is_detailed(state: &State) -> bool {
    state.question.details && state.asking().is_some()
}

/// What is asked for, over the whole screen. The answer keys answer there too, after the time that keeps a key which
/// was meant otherwise from doing so.
pub(crate) fn open_page(state: &mut State) {
    if let Some((_, since)) = &mut state.question.shown {
        *since = state.now;
    }
    state.popup = Some(Popup::Asked { top: 0 });
}

/// A key on that page.
pub(crate) fn on_page(state: &mut State, top: usize, action: Action) -> Vec<Effect> {
    let (last, screenful) = asked::scrolls(state);
    let top = top.min(last);
    let to = match action {
        Action::StepUp => top.saturating_sub(1),
        Action::StepDown => top + 1,
        Action::HalfUp | Action::PageUp => top.saturating_sub(screenful),
        Action::HalfDown | Action::PageDown => top + screenful,
        Action::Top => 0,
        Action::Bottom => last,
        Action::Escape | Action::Interrupt | Action::Leave | Action::ExpandAll => {
            return Vec::new();
        }
        Action::Details => {
            state.question.details = false;
            return Vec::new();
        }
        _ if is_answer(action) => {
            let effects = act(state, action);
            if state.asking().is_some() && state.ask.writing.is_none() {
                // An answer that is not offered is none.
                state.popup = Some(Popup::Asked { top });
            }
            return effects;
        }
        _ => top,
    };
    state.popup = Some(Popup::Asked { top: to.min(last) });
    Vec::new()
}

fn first(state: &mut State, kinds: &[OptionKind]) -> Vec<Effect> {
    let kinds = kinds.to_vec();
    pick(state, move |options| {
        kinds
            .iter()
            .find_map(|kind| options.iter().find(|option| option.kind == *kind))
    })
}

fn pick(
    state: &mut State,
    choose: impl Fn(&[PermissionOption]) -> Option<&PermissionOption>,
) -> Vec<Effect> {
    let Some(open) = state.asking() else {
        return Vec::new();
    };
    let Some(option) = choose(&open.options) else {
        toast(state, "the agent offers no such answer");
        return Vec::new();
    };
    if option.kind.allows()
        && let Some(form) = writing::form_of(open)
    {
        let (request, option) = (open.request.clone(), option.id.clone());
        return writing::fill(state, request, option, form);
    }
    let reply = PermissionReply {
        request: open.request.clone(),
        tool_call: open.tool_call.clone(),
        option: option.id.clone(),
        text: None,
    };
    if !state.attached().is_some_and(|attached| attached.read_only) {
        state.question.answered.insert(reply.request.clone());
    }
    let mut effects = link::say(state, What::Permission(reply));
    effects.extend(look(state));
    effects
}

/// True when there was a question to put aside.
pub(crate) fn put_aside(state: &mut State) -> bool {
    let Some(request) = state.asking().map(|open| open.request.clone()) else {
        return false;
    };
    state.question.aside.insert(request);
    look(state);
    let key = queue::leader(state, Action::Question);
    toast(state, format!("the question waits: {key} brings it back"));
    true
}

fn bring_back(state: &mut State) {
    state.question.aside.clear();
    look(state);
    state.question.called = state.asking().is_some();
    if state.question.called && !state.printed && !view::question::fits(state) {
        // Over everything there is more room.
        open_page(state);
    }
    if !state.question.called {
        toast(state, "the agent asks nothing");
    }
}
