//! What the terminal says beside keys, and what it is told beside the picture.
//!
//! Pure.

use crossterm::event::KeyModifiers;
use jiff::Timestamp;

use crate::attach::state::{Attached, Link};
use crate::protocol::run::Status;
use crate::session::state::Turn;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::keymap::Context;
use crate::tui::on::{browse, tabs};
use crate::tui::state::{Pane, Scene, State};
use crate::tui::tty::report::Report;
use crate::tui::update::{act, toast};
use crate::tui::view::head;
use crate::tui::view::text::clean_line;

/// Lines of the transcript for one step of the wheel.
const STEP: i64 = 3;
/// Seconds between two pictures of a clock where little is to move.
const CALM: i64 = 10;

/// What a terminal that cannot tell its keys apart does with the usual key for a new line.
pub(crate) fn advice(state: &State) -> Option<String> {
    let citizen = &state.citizen;
    let plain = citizen.habits.place.tmux && !citizen.manners.keyboard;
    let keys = state.keymap.bindings.iter();
    let mut keys = keys
        .filter(|one| one.context == Context::Edit && one.action == Action::Newline)
        .flat_map(|one| &one.keys);
    let key = keys.find(|key| !key.modifiers.contains(KeyModifiers::SHIFT))?;
    plain.then(|| format!("In this tmux Shift+Enter is Enter, and sends: {key} makes a new line."))
}

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

/// On or off. While it is ours a terminal selects text with Shift held only.
pub(crate) fn mouse(state: &mut State) -> Vec<Effect> {
    let on = !state.citizen.mouse;
    state.citizen.mouse = on;
    toast(
        state,
        if on {
            "the mouse wheel scrolls here; hold Shift to select text"
        } else {
            "the mouse is the terminal's again"
        },
    );
    vec![Effect::Mouse(on)]
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

/// The agent asks. Who looks elsewhere is called by name; where the terminal does not tell, the bell may ring for
/// nothing.
pub(crate) fn asks(state: &State) -> Vec<Effect> {
    let citizen = &state.citizen;
    let (Some(open), Some(attached)) = (state.asking(), state.attached()) else {
        return Vec::new();
    };
    if !state.focused {
        let asked = clean_line(&open.title);
        return vec![Effect::Notify(format!(
            "{} asks: {asked}",
            head::name(attached)
        ))];
    }
    // Whoever looks at another run does not see it.
    let behind = state.tabs.behind.is_some();
    if !behind && (citizen.manners.tells_focus || citizen.heard_focus) {
        Vec::new()
    } else {
        vec![Effect::Bell]
    }
}

/// The end of a turn that was seen running, also one that came while the link was away. What a journal tells of
/// earlier turns calls nobody.
pub(crate) fn watch(state: &mut State) -> Vec<Effect> {
    let Some(attached) = state.attached() else {
        return Vec::new();
    };
    if !matches!(attached.link, Link::Live) {
        return Vec::new();
    }
    let works = matches!(attached.session.turn, Turn::Working { .. });
    let ended = state.citizen.worked && !works;
    let words = format!("{}: the turn is over", head::name(attached));
    state.citizen.worked = works;
    if ended && !state.focused {
        vec![Effect::Notify(words)]
    } else {
        Vec::new()
    }
}

/// The clock as it is shown: in steps, where the picture is to be calm.
pub(crate) fn clock(state: &State, wall: Timestamp) -> Timestamp {
    if !state.citizen.habits.calm {
        return wall;
    }
    let seconds = wall.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(CALM)).unwrap_or(wall)
}

/// The title that the window is to have, when that is another than it has.
pub(crate) fn retitle(state: &mut State) -> Option<Effect> {
    if !state.citizen.habits.titles {
        return None;
    }
    let mut words = title(state);
    let asking: Vec<String> = tabs::asking(state)
        .iter()
        .map(ToString::to_string)
        .collect();
    if !asking.is_empty() {
        words.push_str(&format!(" · ? {}", asking.join(" ")));
    }
    if state.citizen.title.as_ref() == Some(&words) {
        return None;
    }
    state.citizen.title = Some(words.clone());
    Some(Effect::Title(words))
}

fn title(state: &State) -> String {
    let Some(attached) = state.attached() else {
        let place = state.welcome.directory.rsplit('/').next();
        return format!("ashore {}", clean_line(place.unwrap_or_default()));
    };
    let (sign, ascii) = sign(state, attached);
    let sign = if state.citizen.ascii() { ascii } else { sign };
    format!(
        "{sign} {} {}",
        attached.at.run.short(),
        head::name(attached)
    )
}

/// How the run is, as the status line shows it.
fn sign(state: &State, attached: &Attached) -> (&'static str, &'static str) {
    if state.asking().is_some() {
        return ("?", "?");
    }
    match (&attached.link, &attached.session.status) {
        (Link::Offline { .. }, _) | (_, Some(Status::Failed)) => ("✕", "x"),
        (Link::Reconnecting { .. }, _) => ("↻", "~"),
        (_, Some(Status::Completed)) => ("✓", "+"),
        (_, Some(Status::Cancelled)) => ("■", "#"),
        _ if state.is_working() => ("◐", ">"),
        _ => ("○", "o"),
    }
}
