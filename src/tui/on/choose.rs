//! Another mode, model or option of the agent: asked for here, true when the journal says so.
//!
//! Pure.

use crate::attach::approval;
use crate::session::choices::{Choice, Kind};
use crate::tui::action::Action;
use crate::tui::ask::{WISH, Wish};
use crate::tui::effect::Effect;
use crate::tui::on::link;
use crate::tui::state::{Popup, State};
use crate::tui::update::toast;

/// A line of the list: which choice, and which of its values.
type Row = (usize, usize);

fn choices(state: &State) -> Vec<Choice> {
    let session = state.session();
    session.map(|session| session.choices()).unwrap_or_default()
}

/// What can be chosen, in the order of the list.
pub(crate) fn rows(choices: &[Choice]) -> Vec<Row> {
    let of = |(at, choice): (usize, &Choice)| {
        let values = 0..choice.values.len();
        values.map(move |value| (at, value)).collect::<Vec<Row>>()
    };
    choices.iter().enumerate().flat_map(of).collect()
}

/// Shift+Tab: the value behind the present one, or behind the one that was asked for last.
pub(crate) fn next_mode(state: &mut State) -> Vec<Effect> {
    let Some(mode) = state
        .session()
        .and_then(|session| session.choice(Kind::Mode))
    else {
        toast(state, "the agent has no modes");
        return Vec::new();
    };
    let wish = state.ask.wish.as_ref();
    let wished = wish.filter(|wish| wish.kind == Kind::Mode && wish.name == mode.name);
    let from = wished.map_or(&mode.current, |wish| &wish.to);
    match mode.after(from).map(str::to_owned) {
        Some(to) => ask(state, &mode, &to),
        None => {
            let text = format!(
                "the agent offers no mode but {}",
                mode.name_of(&mode.current)
            );
            toast(state, text);
            Vec::new()
        }
    }
}

pub(crate) fn open(state: &mut State) {
    let choices = choices(state);
    let rows = rows(&choices);
    // That nobody is asked is told there too.
    let approves = state.attached().and_then(approval::by_itself).is_some();
    // And who else is here.
    let alone = state
        .attached()
        .is_none_or(|attached| attached.others.is_empty());
    if rows.is_empty() && !approves && alone {
        toast(state, "the agent offers no modes and no options");
        return;
    }
    // On the mode that is on.
    let is_on = |(choice, value): &Row| {
        let choice = &choices[*choice];
        choice.values[*value].0 == choice.current
    };
    let row = rows.iter().position(is_on).unwrap_or(0);
    state.popup = Some(Popup::Choose { row });
}

/// A key in the list.
pub(crate) fn act(state: &mut State, row: usize, action: Action) -> Vec<Effect> {
    let choices = choices(state);
    let rows = rows(&choices);
    let last = rows.len().saturating_sub(1);
    let row = row.min(last);
    let to = match action {
        Action::StepUp => row.saturating_sub(1),
        Action::StepDown => row + 1,
        Action::PageUp => row.saturating_sub(10),
        Action::PageDown => row + 10,
        Action::Top => 0,
        Action::Bottom => last,
        Action::Yes => {
            return match rows.get(row) {
                Some((choice, value)) => {
                    let choice = &choices[*choice];
                    ask(state, choice, &choice.values[*value].0)
                }
                None => Vec::new(),
            };
        }
        Action::Escape | Action::Interrupt | Action::Leave | Action::Choose => return Vec::new(),
        _ => row,
    };
    state.popup = Some(Popup::Choose { row: to.min(last) });
    Vec::new()
}

fn ask(state: &mut State, choice: &Choice, to: &str) -> Vec<Effect> {
    if to == choice.current {
        state.ask.wish = None;
        toast(
            state,
            format!("{}: {} is on already", choice.name, choice.name_of(to)),
        );
        return Vec::new();
    }
    let effects = link::say(state, choice.ask(to));
    if state.attached().is_some_and(|attached| attached.read_only) {
        return effects;
    }
    let (from, into) = (choice.name_of(&choice.current), choice.name_of(to));
    toast(state, format!("{}: {from} → {into} (asked)", choice.name));
    state.ask.wish = Some(Wish {
        kind: choice.kind,
        name: choice.name.clone(),
        from: choice.current.clone(),
        to: to.to_owned(),
        at: state.now,
    });
    effects
}

/// A wish is over when the agent has another value than before, or has taken too long.
pub(crate) fn look(state: &mut State) {
    let Some(wish) = &state.ask.wish else {
        return;
    };
    let late = state.now.saturating_duration_since(wish.at) >= WISH;
    let all = choices(state);
    let of = all
        .iter()
        .find(|choice| choice.kind == wish.kind && choice.name == wish.name);
    let waits = of.is_some_and(|choice| choice.current == wish.from);
    if waits && !late {
        return;
    }
    if waits {
        let text = format!("{}: the agent has not changed it", wish.name);
        toast(state, text);
    }
    state.ask.wish = None;
}
