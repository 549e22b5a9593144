//! The attached run: its events go to its own machine, and what that orders comes out as our effects.
//!
//! Pure.

use crate::attach;
use crate::attach::queue::words;
use crate::attach::state::{Link, Posting};
use crate::protocol::command::{Command, What};
use crate::protocol::ids::CommandId;
use crate::tui::effect::Effect;
use crate::tui::on::{
    away, cancel, choose, citizen, draft, find, follow, question, queue, review, writing,
};
use crate::tui::state::{Scene, Scroll, State};
use crate::tui::update::toast;

pub(crate) fn step(state: &mut State, event: attach::event::Event) -> Vec<Effect> {
    let Scene::Run(attached) = &mut state.scene else {
        // A late word of a run that was left.
        return Vec::new();
    };
    let at = attached.at.clone();
    let newest = attached.notes.last().cloned();
    let count = attached.notes.len();
    let cells = attached.session.transcript.cells.len();
    let whole = matches!(event, attach::event::Event::Restored(_));
    let ordered = attach::update::update(attached, event);
    let before = attached
        .session
        .transcript
        .cells
        .len()
        .saturating_sub(cells);
    let note = attached
        .notes
        .last()
        .filter(|note| attached.notes.len() != count || Some(*note) != newest.as_ref())
        .cloned();
    if let Some(note) = note {
        toast(state, note);
    }
    if whole {
        move_down(state, before);
    }
    let mut effects: Vec<Effect> = ordered
        .into_iter()
        .map(|effect| Effect::Attach(at.clone(), effect))
        .collect();
    effects.extend(question::look(state));
    effects.extend(citizen::watch(state));
    effects.extend(review::look(state));
    queue::look(state);
    writing::look(state);
    cancel::look(state);
    choose::look(state);
    find::look(state);
    follow::look(state);
    away::look(state, whole);
    effects
}

/// The end of a journal was shown, and now all of it is: so many cells stand before what was looked at.
fn move_down(state: &mut State, cells: usize) {
    if let Scroll::At(place) = &mut state.scroll {
        place.item += cells;
    }
    if let Some(item) = &mut state.selected {
        *item += cells;
    }
    state.find.moved(cells);
}

pub(crate) fn tick(state: &mut State) -> Vec<Effect> {
    let now = state.now;
    if matches!(state.scene, Scene::Run(_)) {
        step(state, attach::event::Event::Tick { now })
    } else {
        Vec::new()
    }
}

pub(crate) fn cancel(state: &mut State) -> Vec<Effect> {
    say(state, What::Cancel)
}

/// Any command but a prompt.
pub(crate) fn say(state: &mut State, what: What) -> Vec<Effect> {
    if state.attached().is_some_and(|attached| attached.read_only) {
        toast(
            state,
            "this view is read-only: attach without --read-only to steer",
        );
        return Vec::new();
    }
    step(state, attach::event::Event::Say(Command::new(what)))
}

pub(crate) fn retry(state: &mut State) -> Vec<Effect> {
    let Some(attached) = state.attached() else {
        return Vec::new();
    };
    match attached.link {
        Link::Reconnecting { .. } | Link::Offline { .. } => {
            step(state, attach::event::Event::RetryNow)
        }
        Link::CatchingUp { .. } | Link::Live => Vec::new(),
    }
}

/// The newest words that were refused, or have not gone yet.
fn free(state: &State) -> Option<(CommandId, String)> {
    let outbox = &state.attached()?.outbox;
    outbox.iter().rev().find_map(|outgoing| {
        let free = matches!(outgoing.state, Posting::Waiting | Posting::Refused(_));
        let words = words(&outgoing.command.what).filter(|_| free)?;
        Some((outgoing.command.id.clone()?, words.text.clone()))
    })
}

pub(crate) fn has_free(state: &State) -> bool {
    free(state).is_some()
}

/// Those, back into the draft.
pub(crate) fn take_back(state: &mut State) -> Vec<Effect> {
    let Some((id, text)) = free(state) else {
        toast(state, "there is no message to take back");
        return Vec::new();
    };
    draft::give_back(state, text);
    step(state, attach::event::Event::TakeBack(id))
}
