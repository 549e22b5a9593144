//! Cancelling a turn: once, seen while it lasts, and with a hard step when the agent does not let go.
//!
//! Pure.

use std::time::Duration;

use crate::attach::state::{Attached, Posting};
use crate::protocol::command::What;
use crate::session::state::Turn;
use crate::tui::action::Action;
use crate::tui::ask::HARD;
use crate::tui::effect::Effect;
use crate::tui::on::{link, popup, queue};
use crate::tui::state::State;
use crate::tui::update::toast;

/// Is the turn that runs being cancelled? Also before the endpoint has heard of it.
fn is_cancelling(attached: &Attached) -> bool {
    let session = &attached.session;
    let mut outbox = attached.outbox.iter();
    let ordered = |what: &What| matches!(what, What::Cancel);
    let refused = |state: &Posting| matches!(state, Posting::Refused(_));
    matches!(session.turn, Turn::Working { .. })
        && (session.cancelling.is_some()
            || outbox.any(|one| ordered(&one.command.what) && !refused(&one.state)))
}

/// After anything new from the run.
pub(crate) fn look(state: &mut State) {
    let cancelling = state.attached().is_some_and(is_cancelling);
    state.ask.cancel = cancelling.then(|| state.ask.cancel.unwrap_or(state.now));
}

/// For how long the turn has been cancelled, by the journal's clock or by ours; `None` when it is not.
pub(crate) fn age(state: &State) -> Option<Duration> {
    let ours = state.now.saturating_duration_since(state.ask.cancel?);
    let since = state.session()?.cancelling.and_then(|one| one.since);
    let told = since.and_then(|since| Duration::try_from(state.wall.duration_since(since)).ok());
    Some(told.unwrap_or_default().max(ours))
}

/// The agent has had its time.
pub(crate) fn is_hard(state: &State) -> bool {
    age(state).is_some_and(|age| age >= HARD)
}

/// Esc while the agent works. A second cancel would say nothing new.
pub(crate) fn escape(state: &mut State) -> Vec<Effect> {
    match age(state) {
        None => return link::cancel(state),
        Some(age) if age >= HARD => popup::ask_stop(state),
        Some(age) => {
            let text = format!(
                "still cancelling, {} s; {} stops the run",
                age.as_secs(),
                queue::leader(state, Action::Stop)
            );
            toast(state, text);
        }
    }
    Vec::new()
}
