//! Leaving a run and coming back to it: what came meanwhile is marked.
//!
//! Pure.

use crate::attach::state::Link;
use crate::tui::away::{LONG, Mark, Seen};
use crate::tui::effect::Effect;
use crate::tui::on::jump;
use crate::tui::state::{Scene, State};
use crate::tui::update::toast;

/// How far the run on the screen has been seen; `None` without one.
fn seen(state: &State) -> Option<Seen> {
    let last = state.session()?.last;
    (last.0 > 0).then_some(Seen {
        last,
        at: state.wall,
    })
}

/// The run is left: how far it was seen is kept for the next time.
pub(crate) fn keep(state: &State) -> Option<Effect> {
    let of = state.attached()?.at.run.clone();
    Some(Effect::SaveSeen {
        of,
        seen: seen(state)?,
    })
}

pub(crate) fn focus_lost(state: &mut State) {
    state.away.left = seen(state);
}

/// Back after a while: as if the run had been left.
pub(crate) fn focus_gained(state: &mut State) {
    let left = state.away.left.take();
    let long = |seen: &Seen| state.wall.duration_since(seen.at).as_secs() >= LONG;
    if let Some(seen) = left.filter(long) {
        state.away.seen = Some(seen);
        look(state, false);
    }
}

/// How far the run had been seen when it was left.
pub(crate) fn found(state: &mut State, seen: Seen) -> Vec<Effect> {
    state.away.seen = Some(seen);
    look(state, false);
    Vec::new()
}

/// Once the run is known to its end, what came is counted; `whole`: once more, there is more of it now.
pub(crate) fn look(state: &mut State, whole: bool) {
    let live = state
        .attached()
        .is_some_and(|attached| attached.link == Link::Live);
    let Some(now) = seen(state).filter(|_| live) else {
        return;
    };
    let counted = state.away.mark.as_ref().filter(|_| whole);
    let counted = counted.map(|mark| (mark.after, mark.until));
    let wanted = state.away.seen.take().map(|seen| (seen, now)).or(counted);
    if let Some((after, until)) = wanted
        && let Some(session) = state.session()
    {
        state.away.mark = Mark::new(session, after, until);
        state.changed = true;
    }
}

/// To the mark.
pub(crate) fn jump(state: &mut State) {
    let cell = state.away.mark.as_ref().zip(state.session());
    let Some(index) = cell.and_then(|(mark, session)| mark.cell(session)) else {
        if matches!(state.scene, Scene::Run(_)) {
            toast(state, "nothing came while you were away");
        }
        return;
    };
    jump::land(state, index, false);
}
