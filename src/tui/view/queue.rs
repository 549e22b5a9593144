//! The line over the draft that says what waits for the agent, and how the message that is being changed is left.
//!
//! Pure.

use ratatui::text::{Line, Span};

use crate::attach::queue;
use crate::attach::state::Attached;
use crate::session::state::Turn;
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::on::queue::leader;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit, width};

pub(crate) fn is_shown(state: &State, attached: &Attached) -> bool {
    let working = matches!(attached.session.turn, Turn::Working { .. });
    state.changing.is_some() || (working && !queue::changeable(attached).is_empty())
}

pub(crate) fn line(
    state: &State,
    attached: &Attached,
    paint: &Paint,
    columns: usize,
) -> Option<Line<'static>> {
    if state.changing.is_some() {
        let text = changing(state, attached, columns >= 60);
        let text = format!("   {}", fit(&text, columns.saturating_sub(4)));
        return Some(Line::from(paint.span(Role::Accent, text)));
    }
    let waiting = queue::changeable(attached);
    let next = waiting.first().filter(|_| is_shown(state, attached))?;
    let text = format!("   queued {}: {}", waiting.len(), clean_line(&next.text));
    let key = state.keymap.key_of(Context::Edit, Action::TakeBack);
    let hint = format!("{key} edit ");
    // Where there is no room for both, the words matter more.
    if columns < 60 || key.is_empty() {
        return Some(Line::from(paint.span(Role::Dim, fit(&text, columns))));
    }
    let room = columns.saturating_sub(width(&hint) + 2);
    let text = fit(&text, room);
    let space = columns.saturating_sub(width(&text) + width(&hint));
    Some(Line::from(vec![
        paint.span(Role::Dim, text),
        Span::raw(" ".repeat(space)),
        paint.span(Role::Dim, hint),
    ]))
}

/// What can be done with it, the most likely first.
fn changing(state: &State, attached: &Attached, roomy: bool) -> String {
    let waiting = queue::changeable(attached);
    let command = state.changing.as_ref().map(|changing| &changing.command);
    let at = waiting
        .iter()
        .position(|one| one.command.as_ref() == command);
    let key = |action| state.keymap.key_of(Context::Edit, action);
    let place = format!("{} of {}", at.map_or(0, |at| at + 1), waiting.len());
    let enter = key(Action::Submit);
    let escape = state.keymap.key_of(Context::Everywhere, Action::Escape);
    if !roomy {
        return format!("{place} · {enter} changes · {escape} leaves");
    }
    let earlier = leader(state, Action::QueueEarlier);
    let later = state.keymap.key_of(Context::Leader, Action::QueueLater);
    let remove = leader(state, Action::QueueRemove);
    let now = leader(state, Action::Steer);
    format!(
        "message {place} · {enter} changes it · {escape} leaves it · {remove} removes · {earlier}{later} moves · {now} now"
    )
}
