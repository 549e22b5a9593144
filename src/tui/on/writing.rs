//! The answer to a question in words: a rejection with its reason, or a form line by line.
//!
//! Pure. The words stand in the place of the draft, which waits beside them and comes back.

use crate::attach;
use crate::protocol::acp::{OptionKind, PermissionOption};
use crate::protocol::command::{Command, PermissionReply, What};
use crate::protocol::form::{self, Form};
use crate::session::state::OpenPermission;
use crate::tui::action::Action;
use crate::tui::ask::{Filling, Writing};
use crate::tui::effect::Effect;
use crate::tui::keymap::Context;
use crate::tui::on::{draft, link, queue};
use crate::tui::state::{Focus, State};
use crate::tui::update::toast;

/// The form that the question is.
pub(crate) fn form_of(open: &OpenPermission) -> Option<Form> {
    if open.kind.as_deref() != Some(form::KIND) {
        return None;
    }
    Form::read(open.raw_input.as_ref()?.get(form::SCHEMA)?)
}

/// The option that a rejection with words takes: one that asks for words, else the first that rejects. A form has none.
pub(crate) fn rejection(open: &OpenPermission) -> Option<&PermissionOption> {
    if open.kind.as_deref() == Some(form::KIND) {
        return None;
    }
    let of = |kind| open.options.iter().find(move |option| option.kind == kind);
    let mut rejections = open.options.iter().filter(|option| option.kind.rejects());
    rejections
        .find(|option| takes_words(&option.id))
        .or_else(|| of(OptionKind::RejectOnce))
        .or_else(|| of(OptionKind::RejectAlways))
}

/// An agent that has such an option reads the words that come with it. Most do not look at them.
fn takes_words(option: &str) -> bool {
    option.contains("feedback")
}

/// The key for it, or the line behind the options.
pub(crate) fn why(state: &mut State) -> Vec<Effect> {
    let Some(open) = state.asking() else {
        toast(state, "the agent asks nothing");
        return Vec::new();
    };
    let request = open.request.clone();
    match rejection(open).map(|option| option.id.clone()) {
        Some(option) => begin(state, request, option, None),
        None => {
            toast(state, "the agent offers no rejection");
            Vec::new()
        }
    }
}

/// A form is answered line by line.
pub(crate) fn fill(state: &mut State, request: String, option: String, form: Form) -> Vec<Effect> {
    let filling = Filling {
        written: vec![String::new(); form.fields.len()],
        form,
        at: 0,
    };
    begin(state, request, option, Some(filling))
}

fn begin(state: &mut State, request: String, option: String, form: Option<Filling>) -> Vec<Effect> {
    if state.attached().is_some_and(|attached| attached.read_only) {
        toast(
            state,
            "this view is read-only: attach without --read-only to answer",
        );
        return Vec::new();
    }
    if state.ask.writing.is_some() {
        return Vec::new();
    }
    let mut effects = queue::keep_and_leave(state);
    effects.extend(draft::save(state));
    let kept = state.composer.take();
    state.popup = None;
    state.focus = Focus::Edit;
    state.ask.writing = Some(Writing {
        request,
        option,
        kept,
        form,
    });
    effects
}

/// Up and down in a form: another line, whatever this one says.
pub(crate) fn step(state: &mut State, down: bool) -> bool {
    let words = state.composer.text().trim().to_owned();
    let Some(filling) = state
        .ask
        .writing
        .as_mut()
        .and_then(|writing| writing.form.as_mut())
    else {
        return false;
    };
    let to = match (down, filling.at) {
        (true, at) => (at + 1).min(filling.form.fields.len().saturating_sub(1)),
        (false, at) => at.saturating_sub(1),
    };
    go_to(state, words, to);
    true
}

/// Leaves the line with these words for another one.
fn go_to(state: &mut State, words: String, to: usize) {
    let filling = state
        .ask
        .writing
        .as_mut()
        .and_then(|writing| writing.form.as_mut());
    if let Some(filling) = filling {
        filling.written[filling.at] = words;
        filling.at = to;
        let there = filling.written[to].clone();
        state.composer.set(there);
    }
}

/// Enter on a line of a form: the next one, and behind the last all of it goes.
fn take_line(state: &mut State, filling: &Filling) -> Vec<Effect> {
    let words = state.composer.text().trim().to_owned();
    if let Err(why) = filling.form.fields[filling.at].take(&words) {
        toast(state, why);
        return Vec::new();
    }
    let next = filling.at + 1;
    if next < filling.form.fields.len() {
        go_to(state, words, next);
        return Vec::new();
    }
    let mut written = filling.written.clone();
    written[filling.at] = words;
    match filling.form.answer(&written) {
        Ok(answer) => send(state, answer.to_string()),
        Err(why) => {
            toast(state, why);
            Vec::new()
        }
    }
}

/// Enter on the words.
pub(crate) fn submit(state: &mut State) -> Vec<Effect> {
    let filling = state
        .ask
        .writing
        .as_ref()
        .and_then(|writing| writing.form.clone());
    if let Some(filling) = filling {
        return take_line(state, &filling);
    }
    let words = state.composer.text().trim().to_owned();
    if words.is_empty() {
        let key = state.keymap.key_of(Context::Everywhere, Action::Escape);
        toast(
            state,
            format!("write why first; {key} goes back to the question"),
        );
        return Vec::new();
    }
    let option = state
        .ask
        .writing
        .as_ref()
        .map(|writing| writing.option.clone());
    let mut effects = send(state, words.clone());
    if !option.is_some_and(|option| takes_words(&option)) {
        // Else they would reach nobody.
        let say = attach::event::Event::Say(Command::user_message(words.clone()));
        effects.extend(link::step(state, say));
        toast(state, "rejected; your words are the next message");
    }
    effects.push(Effect::SaveHistory(words));
    effects
}

/// The answer with these words goes; the draft of before comes back.
fn send(state: &mut State, words: String) -> Vec<Effect> {
    let call = state.asking().map(|open| open.tool_call.clone());
    let Some(writing) = state.ask.writing.take() else {
        return Vec::new();
    };
    state.composer.take();
    state.composer.set(writing.kept);
    // On disk the words stand before it.
    state.unsaved = true;
    state.question.answered.insert(writing.request.clone());
    link::say(
        state,
        What::Permission(PermissionReply {
            request: writing.request,
            tool_call: call.unwrap_or_default(),
            option: writing.option,
            text: Some(words),
        }),
    )
}

/// Back to the question. Words that were written go to the history, like any draft that is put away.
pub(crate) fn put_back(state: &mut State) -> Option<Vec<Effect>> {
    let writing = state.ask.writing.take()?;
    let words = state.composer.take();
    state.composer.set(writing.kept);
    state.unsaved = true;
    // What was typed last was no answer.
    state.question.typed = Some(state.now);
    Some(if words.trim().is_empty() {
        Vec::new()
    } else {
        vec![Effect::SaveHistory(words)]
    })
}

/// The question may have been answered elsewhere meanwhile: what was written stays.
pub(crate) fn look(state: &mut State) {
    let waits = |writing: &Writing| {
        let mut open = state.questions().into_iter();
        open.any(|open| open.request == writing.request)
    };
    if state.ask.writing.as_ref().is_none_or(waits) {
        return;
    }
    let Some(writing) = state.ask.writing.take() else {
        return;
    };
    let words = writing.words(state.composer.text());
    state.composer.set(draft::joined(&words, &writing.kept));
    state.unsaved = true;
    toast(
        state,
        "the question is answered; what you wrote is a draft now",
    );
}
