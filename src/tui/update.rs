//! One event in, the state changed, effects out.
//!
//! Pure. Reads nothing but its two arguments: no clock, no file, no channel, no task.

use std::time::Duration;

use crate::attach;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::Event;
use crate::tui::keymap::{Context, Key};
use crate::tui::menu;
use crate::tui::on::{
    attachment, away, browse, cancel, choose, citizen, code, conflict, copy, draft, editor, find,
    first, follow, here, history, jump, launch, link, mention, palette, picker, place, popup,
    question, queue, tabs, tastes, vim, writing,
};
use crate::tui::review::Review;
use crate::tui::state::{Focus, Pane, Popup, Scene, Scroll, State, TOAST, Tier, Toast};

/// Ctrl+C twice within this long leaves.
const TWICE: Duration = Duration::from_secs(2);

pub fn update(state: &mut State, event: Event) -> Vec<Effect> {
    let event = match tabs::route(state, event) {
        tabs::Routed::Here(event) => event,
        tabs::Routed::Behind(mut effects) => {
            effects.extend(citizen::retitle(state));
            return effects;
        }
    };
    // A timer that was overtaken changes nothing; one that was not orders something.
    let timer = matches!(
        event,
        Event::Attach(attach::event::Event::TimerFired { .. })
    );
    let silent = matches!(
        event,
        Event::Tick { .. } | Event::Drawn(_) | Event::Wanted(_)
    );
    if !timer && !silent {
        state.changed = true;
    }
    let sight = question::sight(state);
    // Whoever looked elsewhere has not seen what came meanwhile.
    let back = matches!(event, Event::FocusGained | Event::Returned(..));
    let mut effects = step(state, event);
    question::guard(state, sight.filter(|_| !back).as_ref());
    effects.extend(citizen::retitle(state));
    state.changed |= timer && !effects.is_empty();
    effects
}

pub(crate) fn step(state: &mut State, event: Event) -> Vec<Effect> {
    match event {
        // It has been unwrapped.
        Event::Of(_, event) => step(state, *event),
        Event::Tick { now, wall } => tick(state, now, wall),
        Event::Key(key) => {
            let mut effects = press(state, key);
            effects.extend(mention::look(state));
            effects
        }
        Event::Paste(text) => paste(state, &text),
        Event::Resized(columns, rows) | Event::Returned(columns, rows) => {
            state.size = (columns, rows);
            Vec::new()
        }
        Event::FocusGained => {
            away::focus_gained(state);
            citizen::focus(state, true);
            Vec::new()
        }
        Event::FocusLost => {
            away::focus_lost(state);
            citizen::focus(state, false);
            draft::save(state)
        }
        Event::Wheel(steps) => citizen::wheel(state, steps),
        Event::Told(report) => citizen::told(state, report),
        Event::Drawn(drawn) => {
            browse::settle(state, drawn);
            Vec::new()
        }
        Event::Wanted(snippets) => code::ask(state, snippets),
        Event::Coloured(found) => code::learn(state, found),
        Event::Terminated => leave(state, 143),
        Event::Interrupted => leave(state, 130),
        Event::Stopped => suspend(state),
        Event::Attach(event) => link::step(state, event),
        Event::Launch(progress) => launch::step(state, progress),
        Event::Opened(attached) => launch::open(state, attached),
        Event::SeenFound(seen) => away::found(state, seen),
        Event::DraftFound(text) => draft::found(state, text),
        Event::AttachedFound(found) => attachment::found(state, found),
        Event::Looked(look) => first::looked(state, *look),
        Event::OpenFailed(why) => tabs::open_failed(state, &why),
        Event::Here(said) => here::told(state, said),
        Event::Edited(edited) => editor::back(state, edited),
        Event::Visited(done) => place::back(state, done),
        Event::PathsListed(listing) => mention::listed(state, listing),
        Event::HistoryRead(prompts) => history::read(state, prompts),
        Event::Combined(combined) => conflict::back(state, combined),
        Event::RunsListed(rows) => picker::listed(state, rows),
        Event::FileRead(read) => attachment::read(state, *read),
        Event::Tastes(told) => tastes::told(state, *told),
        Event::Noted(text) => {
            toast(state, text);
            Vec::new()
        }
    }
}

fn tick(state: &mut State, now: std::time::Instant, wall: jiff::Timestamp) -> Vec<Effect> {
    let wall = citizen::clock(state, wall);
    let second = |state: &State, at: jiff::Timestamp| {
        state.elapses() && at.as_second() != state.wall.as_second()
    };
    let was_awake = state.answers_are_awake();
    let wished = state.ask.wish.is_some();
    let was_told = state.leader_is_told();
    let was_deaf = first::deaf_until(state).is_some();
    if second(state, wall) {
        state.changed = true;
    }
    state.now = now;
    state.wall = wall;
    state.changed |= was_told != state.leader_is_told();
    let before = state.toasts.len();
    state.changed |= was_deaf && first::deaf_until(state).is_none();
    state.toasts.retain(|toast| toast.until > now);
    state.changed |= before != state.toasts.len() || was_awake != state.answers_are_awake();
    choose::look(state);
    state.changed |= wished != state.ask.wish.is_some();
    let mut effects = link::tick(state);
    effects.extend(draft::save(state));
    effects
}

fn paste(state: &mut State, text: &str) -> Vec<Effect> {
    if text.is_empty() {
        // What a terminal makes of a picture in the clipboard; or the end of a paste that came in pieces.
        let just_now = |typed| state.now.saturating_duration_since(typed) < Duration::from_secs(1);
        if !state.question.typed.is_some_and(just_now) {
            let line = "the terminal pasted nothing: a picture goes by its file, /attach PATH";
            toast(state, line);
        }
        return Vec::new();
    }
    if find::paste(state, text) {
        return Vec::new();
    }
    let mut effects = draft::paste(state, text);
    effects.extend(mention::look(state));
    effects
}

fn press(state: &mut State, key: Key) -> Vec<Effect> {
    let context = context(state);
    if context == Context::Leader {
        state.leader = None;
        return match state.keymap.lookup(Context::Leader, key) {
            Some(action) => act(state, action),
            None => Vec::new(),
        };
    }
    question::heed(state, context, key);
    let written = history::write(state, key)
        .or_else(|| picker::write(state, key))
        .or_else(|| find::write(state, key))
        .or_else(|| palette::write(state, key))
        .or_else(|| (context == Context::Edit).then(|| vim::write(state, key))?);
    if let Some(effects) = written {
        return effects;
    }
    let action = bound(state, context, key);
    match (action, key.written()) {
        (Some(action), _) => act(state, action),
        (None, Some('?')) if state.composer.is_empty() && plain(state) == Context::Edit => {
            act(state, Action::Help)
        }
        (None, Some(char))
            if state.popup.is_none()
                && matches!(context, Context::Edit | Context::Browse | Context::Question) =>
        {
            state.focus = Focus::Edit;
            draft::typed(state, char);
            Vec::new()
        }
        (None, _) => Vec::new(),
    }
}

/// What this key would do now, as far as the keys say it; `None` for one that writes.
pub(crate) fn meant(state: &State, key: Key) -> Option<Action> {
    let filters = matches!(&state.scene, Scene::Picker(picker) if picker.filtering);
    let writes = state.popup.is_some()
        || state.writing.search.is_some()
        || state.find.writing
        || filters
        || vim::takes(state, key);
    match context(state) {
        Context::Leader => state.keymap.lookup(Context::Leader, key),
        _ if writes => None,
        context => bound(state, context, key),
    }
}

/// A question takes its own keys only; everything else works as if it were not there.
fn bound(state: &State, context: Context, key: Key) -> Option<Action> {
    match context {
        Context::Question => state
            .keymap
            .lookup(Context::Question, key)
            .filter(|action| question::is_answer(*action))
            .or_else(|| state.keymap.lookup(under(state), key)),
        Context::Everywhere
        | Context::Edit
        | Context::Browse
        | Context::Leader
        | Context::Picker
        | Context::Popup
        | Context::Review
        | Context::Undo
        | Context::Conflict
        | Context::FirstLook
        | Context::Copy => state.keymap.lookup(context, key),
    }
}

/// Where a key is pressed now.
fn context(state: &State) -> Context {
    if state.leader.is_some() {
        Context::Leader
    } else if state.answers_are_awake() {
        Context::Question
    } else {
        under(state)
    }
}

/// Where it is pressed when no question takes it.
fn under(state: &State) -> Context {
    match (page(state), &state.popup) {
        (Some(page), _) => page,
        (None, Some(_)) => Context::Popup,
        (None, None) => plain(state),
    }
}

/// The page that is open, if it has keys of its own.
pub(crate) fn page(state: &State) -> Option<Context> {
    match &state.popup {
        Some(Popup::Review(review)) => Some(match **review {
            Review::File(_) => Context::Review,
            Review::Undo(_) => Context::Undo,
            Review::Conflict(_) => Context::Conflict,
            Review::First(_) => Context::FirstLook,
        }),
        Some(Popup::Copy { .. }) => Some(Context::Copy),
        Some(
            Popup::Help { .. }
            | Popup::Confirm(_)
            | Popup::Asked { .. }
            | Popup::Choose { .. }
            | Popup::Here { .. }
            | Popup::Palette(_)
            | Popup::Places { .. },
        )
        | None => None,
    }
}

fn plain(state: &State) -> Context {
    match (&state.scene, state.focus) {
        (Scene::Picker(_), _) => Context::Picker,
        (Scene::Composer(_), _) | (_, Focus::Edit) => Context::Edit,
        (Scene::Run(_) | Scene::Opening(_), Focus::Browse) => Context::Browse,
    }
}

/// Does what a key or a slash command means.
pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if state.popup.is_some() {
        return popup::act(state, action);
    }
    if shows(state, action) {
        return Vec::new();
    }
    match action {
        Action::Escape => escape(state),
        Action::Interrupt => interrupt(state),
        Action::Leave => {
            if state.composer.is_empty() || state.focus == Focus::Browse {
                return leave(state, 0);
            }
            Vec::new()
        }
        Action::DeleteForward if state.composer.is_empty() => leave(state, 0),
        Action::Redraw => vec![Effect::Redraw],
        Action::Suspend => suspend(state),
        Action::Mouse => citizen::mouse(state),
        Action::Editor => editor::open(state),
        Action::SearchHistory => history::open(state),
        Action::Runs => picker::show(state),
        Action::Stop => {
            popup::ask_stop(state);
            Vec::new()
        }
        Action::Question
        | Action::Pick(_)
        | Action::MoreAnswers
        | Action::AllowOnce
        | Action::AllowAlways
        | Action::Reject
        | Action::RejectWhy
        | Action::Details => question::act(state, action),
        Action::NextMode => choose::next_mode(state),
        Action::Choose => {
            choose::open(state);
            Vec::new()
        }
        Action::ExpandAll if question::is_detailed(state) => {
            question::open_page(state);
            Vec::new()
        }
        _ if tabs::is_about(action) => tabs::act(state, action),
        _ if matches!(state.scene, Scene::Picker(_)) => picker::act(state, action),
        _ if find::is_about(action) => find::act(state, action),
        _ if jump::is_about(action) => jump::act(state, action),
        _ if queue::is_about(action) => queue::act(state, action),
        _ if draft::is_edit(action) => draft::act(state, action),
        _ => browse::act(state, action),
    }
}

/// Stops until the shell brings us back.
fn suspend(state: &mut State) -> Vec<Effect> {
    let mut effects = draft::save(state);
    effects.push(Effect::Suspend);
    effects
}

/// What only shows something, and orders nothing. False for everything else.
fn shows(state: &mut State, action: Action) -> bool {
    match action {
        Action::Help => state.popup = Some(Popup::Help { top: 0 }),
        Action::Leader => state.leader = Some(state.now),
        Action::Palette => palette::open(state),
        Action::Raw => browse::turn_raw(state),
        Action::Plan => show(state, Pane::Plan),
        Action::Copy => copy::open(state),
        Action::Away => away::jump(state),
        Action::Attach => draft::begin(state, "/attach "),
        Action::Follow => follow::turn(state),
        _ if action.is_of_page() => toast(state, "no page is open that this decides"),
        _ => return false,
    }
    true
}

/// Shows a pane: beside the chat where there is room, else in its place.
pub(crate) fn show(state: &mut State, pane: Pane) {
    let again = state.pane == pane;
    state.row = 0;
    match state.tier() {
        Tier::Wide if state.citizen.habits.column => {
            state.pane = if again { Pane::Chat } else { pane }
        }
        Tier::Wide | Tier::Middle => {
            state.column = pane != Pane::Chat && !(again && state.column);
            state.pane = if state.column { pane } else { Pane::Chat };
        }
        Tier::Tiny | Tier::Side | Tier::Tabs => {
            state.pane = if again { Pane::Chat } else { pane };
        }
    }
    follow::look(state);
}

/// Closes what lies on top, one thing at a time; a draft is never touched.
fn escape(state: &mut State) -> Vec<Effect> {
    if vim::escape(state) {
        return Vec::new();
    }
    if state
        .writing
        .mention
        .as_ref()
        .is_some_and(|one| !one.found.is_empty())
    {
        mention::dismiss(state);
        return Vec::new();
    }
    if !menu::commands_meant(state).is_empty() {
        state.slash_hidden = true;
        return Vec::new();
    }
    if let Some(effects) = queue::put_back(state) {
        return effects;
    }
    if let Some(effects) = writing::put_back(state) {
        return effects;
    }
    if find::close(state) || question::put_aside(state) {
        return Vec::new();
    }
    if state.is_working() && browse::is_over(state) {
        browse::go_back(state);
        return Vec::new();
    }
    match &state.scene {
        Scene::Picker(_) => picker::act(state, Action::Escape),
        Scene::Run(_) if state.is_working() => cancel::escape(state),
        Scene::Run(_) => {
            browse::swap(state);
            Vec::new()
        }
        Scene::Composer(_) | Scene::Opening(_) => Vec::new(),
    }
}

/// Ctrl+C: the draft goes to the history; on an empty draft the second one leaves.
fn interrupt(state: &mut State) -> Vec<Effect> {
    if let Some(effects) = queue::put_back(state).or_else(|| writing::put_back(state)) {
        return effects;
    }
    if !state.composer.is_empty() {
        let text = state.composer.take();
        state.unsaved = false;
        toast(state, "the draft is in the history: ↑ brings it back");
        return vec![Effect::SaveHistory(text), draft::forget(state)];
    }
    let again = state
        .interrupted
        .is_some_and(|at| state.now.saturating_duration_since(at) <= TWICE);
    if again {
        return leave(state, 0);
    }
    state.interrupted = Some(state.now);
    let rest = if state.attached().is_some() {
        "; the run goes on"
    } else {
        ""
    };
    let key = state.keymap.key_of(Context::Everywhere, Action::Interrupt);
    toast(state, format!("{key} again leaves{rest}"));
    Vec::new()
}

pub(crate) fn leave(state: &mut State, code: u8) -> Vec<Effect> {
    let mut effects = draft::save(state);
    effects.extend(away::keep(state));
    effects.push(Effect::Quit {
        message: tabs::goodbye(state),
        code,
    });
    effects
}

pub(crate) fn toast(state: &mut State, text: impl Into<String>) {
    let text = text.into();
    let stands = state.toasts.iter().find(|toast| toast.text == text);
    let times = stands.map_or(1, |toast| toast.times.saturating_add(1));
    state.toasts.retain(|toast| toast.text != text);
    state.said.push(text.clone());
    state.toasts.push(Toast {
        text,
        times,
        until: state.now + TOAST,
    });
    let over = state.toasts.len().saturating_sub(5);
    state.toasts.drain(..over);
    state.changed = true;
}

/// What is to be known of a run that was just opened, one after the other.
pub(crate) fn tell_notes(state: &mut State) {
    let notes = state.attached().map(|attached| attached.notes.clone());
    let notes = notes.unwrap_or_default();
    for (place, note) in notes.into_iter().take(5).enumerate().rev() {
        toast(state, note);
        if let Some(toast) = state.toasts.last_mut() {
            toast.until += TOAST * u32::try_from(place).unwrap_or(0);
        }
    }
}

/// A new run on the screen: nothing of the last one stays.
pub(crate) fn reset(state: &mut State) {
    state.scroll = Scroll::Follow;
    state.selected = None;
    state.row = 0;
    state.follow = None;
    state.pane = Pane::Chat;
    state.folds = crate::tui::state::Folds::default();
    state.find.forget_all();
    state.away = crate::tui::away::Away::default();
    state.question = crate::tui::state::Question::default();
    state.ask = crate::tui::ask::Ask::default();
    state.changing = None;
    state.popup = None;
    state.writing.close();
    state.focus = Focus::Edit;
}
