//! What waits for the agent: brought back into the draft, changed, moved, removed, or sent in at once.
//!
//! Pure. While a message is changed, the draft of before waits beside it and comes back afterwards.

use crate::attach;
use crate::attach::queue::{self, Waiting};
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::{Command, Prompt, What};
use crate::protocol::ids::CommandId;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::on::{draft, link, writing};
use crate::tui::state::{Changing, Focus, Scene, State};
use crate::tui::update::toast;

/// Does this action belong to what waits?
pub(crate) fn is_about(action: Action) -> bool {
    matches!(
        action,
        Action::TakeBack
            | Action::QueueNewer
            | Action::Steer
            | Action::QueueRemove
            | Action::QueueEarlier
            | Action::QueueLater
    )
}

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if !matches!(state.scene, Scene::Run(_)) {
        return Vec::new();
    }
    if state.attached().is_some_and(|attached| attached.read_only) {
        toast(
            state,
            "this view is read-only: attach without --read-only to change what waits",
        );
        return Vec::new();
    }
    // The words of an answer make room.
    let mut effects = writing::put_back(state).unwrap_or_default();
    effects.extend(match action {
        Action::TakeBack => older(state),
        Action::QueueNewer => newer(state),
        Action::Steer => steer(state),
        Action::QueueRemove => remove(state),
        Action::QueueEarlier => shift(state, true),
        Action::QueueLater => shift(state, false),
        _ => Vec::new(),
    });
    effects
}

/// Those that can be changed, the next one first.
fn changeable(state: &State) -> Vec<Waiting> {
    let mut waiting = state.attached().map(queue::changeable).unwrap_or_default();
    waiting.retain(|one| one.command.is_some());
    waiting
}

/// Where the message that is being changed stands among them.
fn place(state: &State, waiting: &[Waiting]) -> Option<usize> {
    let changing = state.changing.as_ref()?;
    waiting
        .iter()
        .position(|one| one.command.as_ref() == Some(&changing.command))
}

fn older(state: &mut State) -> Vec<Effect> {
    let waiting = changeable(state);
    match (place(state, &waiting), waiting.len()) {
        (Some(0), _) => {
            toast(state, "that is the next one already");
            Vec::new()
        }
        (Some(at), _) => change(state, waiting[at - 1].clone()),
        // What has not left this machine comes back whole.
        (None, _) if link::has_free(state) => link::take_back(state),
        (None, 0) => {
            toast(state, "no message waits");
            Vec::new()
        }
        (None, many) => change(state, waiting[many - 1].clone()),
    }
}

fn newer(state: &mut State) -> Vec<Effect> {
    let waiting = changeable(state);
    match place(state, &waiting) {
        Some(at) if at + 1 < waiting.len() => change(state, waiting[at + 1].clone()),
        Some(_) => keep_and_leave(state),
        None => Vec::new(),
    }
}

/// Brings a message into the draft. New words for the one before it are sent first.
fn change(state: &mut State, one: Waiting) -> Vec<Effect> {
    let effects = keep_and_leave(state);
    let Some(command) = one.command else {
        return effects;
    };
    let mut all = draft::save(state);
    let kept = state.composer.take();
    state.composer.set(one.text.clone());
    state.focus = Focus::Edit;
    state.changing = Some(Changing {
        command,
        was: one.text,
        kept,
        partial: one.partial,
    });
    all.extend(effects);
    all
}

/// The new words go out, if they are new; the draft of before comes back.
pub(crate) fn keep_and_leave(state: &mut State) -> Vec<Effect> {
    let Some(changing) = state.changing.take() else {
        return Vec::new();
    };
    let text = state.composer.take().trim().to_owned();
    state.composer.set(changing.kept);
    state.unsaved = true;
    if text.is_empty() || text == changing.was {
        return Vec::new();
    }
    let mut effects = Vec::new();
    if changing.partial {
        let remove = leader(state, Action::QueueRemove);
        let why =
            format!("left as it was: there is more to it than these words; {remove} removes it");
        toast(state, why);
    } else {
        let words = Prompt {
            text: text.clone(),
            blocks: None,
        };
        effects = say(state, changing.command, Amend::Edit(words));
    }
    effects.push(Effect::SaveHistory(text));
    effects
}

/// Enter on a message that is being changed.
pub(crate) fn submit(state: &mut State) -> Vec<Effect> {
    if state.composer.text().trim().is_empty() {
        let remove = format!(
            "no words are left; {} removes the message",
            leader(state, Action::QueueRemove)
        );
        toast(state, remove);
        return Vec::new();
    }
    keep_and_leave(state)
}

/// Leaves the message as it was. Words that were changed go to the history, like any draft that is put away.
pub(crate) fn put_back(state: &mut State) -> Option<Vec<Effect>> {
    let changing = state.changing.take()?;
    let text = state.composer.take();
    state.composer.set(changing.kept);
    state.unsaved = true;
    let new = text != changing.was && !text.trim().is_empty();
    Some(if new {
        vec![Effect::SaveHistory(text)]
    } else {
        Vec::new()
    })
}

fn steer(state: &mut State) -> Vec<Effect> {
    if let Some(changing) = state.changing.clone() {
        let mut effects = keep_and_leave(state);
        effects.extend(say(state, changing.command, Amend::Steer));
        return effects;
    }
    let words = !state.composer.text().trim().is_empty();
    if words && !draft::is_ours(state) {
        let busy = state.is_working() || !changeable(state).is_empty();
        let (mut effects, command) = draft::send(state);
        // An agent that has nothing else to do takes it at once anyway.
        if let Some(command) = command.filter(|_| busy) {
            effects.extend(say(state, command, Amend::Steer));
        }
        return effects;
    }
    match changeable(state)
        .into_iter()
        .next()
        .and_then(|one| one.command)
    {
        Some(command) => say(state, command, Amend::Steer),
        None => {
            toast(state, "no message waits: write one first");
            Vec::new()
        }
    }
}

fn remove(state: &mut State) -> Vec<Effect> {
    let Some(changing) = state.changing.clone() else {
        return choose_first(state);
    };
    // Its words can be had again.
    let text = state.composer.take();
    state.composer.set(changing.kept);
    state.unsaved = true;
    state.changing = None;
    let mut effects = say(state, changing.command, Amend::Remove);
    if !text.trim().is_empty() {
        effects.push(Effect::SaveHistory(text));
    }
    toast(state, "removed; its words are in the history");
    effects
}

fn shift(state: &mut State, earlier: bool) -> Vec<Effect> {
    let waiting = changeable(state);
    let Some(at) = place(state, &waiting) else {
        return choose_first(state);
    };
    let id = |at: usize| waiting.get(at).and_then(|one| one.command.clone());
    let before = match (earlier, at) {
        (true, 0) => return Vec::new(),
        (true, at) => id(at - 1),
        (false, at) if at + 1 == waiting.len() => return Vec::new(),
        (false, at) => id(at + 2),
    };
    match id(at) {
        Some(command) => say(state, command, Amend::Move { before }),
        None => Vec::new(),
    }
}

fn choose_first(state: &mut State) -> Vec<Effect> {
    let key = state
        .keymap
        .key_of(crate::tui::keymap::Context::Edit, Action::TakeBack);
    toast(state, format!("choose a message that waits first: {key}"));
    Vec::new()
}

/// The keys that lead to an action of the leader.
pub(crate) fn leader(state: &State, action: Action) -> String {
    use crate::tui::keymap::Context;
    let key = state.keymap.key_of(Context::Leader, action);
    if state.keymap.by_name {
        return key;
    }
    let leader = state.keymap.key_of(Context::Everywhere, Action::Leader);
    format!("{leader} {key}")
}

fn say(state: &mut State, command: CommandId, how: Amend) -> Vec<Effect> {
    let what = What::Amend(Amendment { command, how });
    link::step(state, attach::event::Event::Say(Command::new(what)))
}

/// The message that is being changed may have been taken or removed meanwhile: what was written stays.
pub(crate) fn look(state: &mut State) {
    let waits = |command: &CommandId| {
        changeable(state)
            .iter()
            .any(|one| one.command.as_ref() == Some(command))
    };
    let gone = state
        .changing
        .as_ref()
        .is_some_and(|changing| !waits(&changing.command));
    if !gone {
        return;
    }
    let Some(changing) = state.changing.take() else {
        return;
    };
    if state.composer.text() == changing.was {
        state.composer.set(changing.kept);
        state.unsaved = true;
        toast(state, "the message does not wait any more");
        return;
    }
    let text = draft::joined(state.composer.text(), &changing.kept);
    state.composer.set(text);
    state.unsaved = true;
    toast(
        state,
        "the message does not wait any more; what you wrote is a draft of its own now",
    );
}
