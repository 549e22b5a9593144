//! Moving about: scrolling, folding, panes.
//!
//! Pure. Where a line of the transcript really is, only the picture knows; it says so by `Drawn`.

use crate::attach;
use crate::mirror::worker::Order;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::{Drawn, Place};
use crate::tui::keymap::Context;
use crate::tui::on::{conflict, copy, follow, link, place, review, save};
use crate::tui::state::{Focus, Pane, Scene, Scroll, State, Tier};
use crate::tui::update::{show, toast};

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if state.pane != Pane::Chat && action.scrolls() {
        row(state, action);
        return Vec::new();
    }
    match action {
        Action::StepUp => step(state, -1),
        Action::StepDown => step(state, 1),
        Action::HalfUp => scroll(state, -i64::from(state.drawn.rows / 2).max(1)),
        Action::HalfDown => scroll(state, i64::from(state.drawn.rows / 2).max(1)),
        Action::PageUp => scroll(state, -i64::from(state.drawn.rows.saturating_sub(2)).max(1)),
        Action::PageDown => scroll(state, i64::from(state.drawn.rows.saturating_sub(2)).max(1)),
        Action::Top => {
            state.selected = None;
            state.scroll = Scroll::At(Place::default());
        }
        Action::Bottom => {
            state.selected = None;
            state.scroll = Scroll::Follow;
        }
        Action::Fold if state.pane == Pane::Files => {
            return review::open(state);
        }
        Action::Fold => fold(state),
        Action::MoreAround => around(state, 1),
        Action::LessAround => around(state, -1),
        Action::ExpandAll => {
            state.folds.all = !state.folds.all;
            state.folds.flipped.clear();
        }
        Action::Chat => show(state, Pane::Chat),
        Action::Tools => pane(state, Pane::Tools),
        Action::Files => pane(state, Pane::Files),
        Action::PaneLeft => neighbour(state, Pane::ALL.len() - 1),
        Action::PaneRight => neighbour(state, 1),
        Action::PutBack => return review::undo(state),
        Action::Review => return review::open(state),
        Action::Conflict => return conflict::open(state),
        Action::Save => return save::save(state),
        Action::OpenAt => return place::open(state),
        Action::Direction => return turn(state),
        Action::Retry => return link::retry(state),
        Action::CopyAnswer => return copy::answer_at_once(state),
        _ => (),
    }
    Vec::new()
}

/// Something lies over the chat or the draft, and Esc puts it away before it means anything else: a pane where there is
/// room for one only, or browsing.
pub(crate) fn is_over(state: &State) -> bool {
    matches!(state.scene, Scene::Run(_)) && (covers(state) || state.focus == Focus::Browse)
}

/// A pane stands in the place of the chat.
fn covers(state: &State) -> bool {
    let narrow = matches!(state.tier(), Tier::Tiny | Tier::Side | Tier::Tabs);
    narrow && state.pane != Pane::Chat
}

/// One of the two, the pane first.
pub(crate) fn go_back(state: &mut State) {
    if covers(state) {
        show(state, Pane::Chat);
    } else {
        state.focus = Focus::Edit;
        state.selected = None;
    }
}

/// Edit to browse and back; only an empty draft lets go.
pub(crate) fn swap(state: &mut State) {
    state.focus = match state.focus {
        Focus::Browse => Focus::Edit,
        Focus::Edit if state.composer.is_empty() => Focus::Browse,
        Focus::Edit => Focus::Edit,
    };
    if state.focus == Focus::Edit {
        state.selected = None;
    }
}

/// The picture says where it really is: the wish is replaced by the fact.
pub(crate) fn settle(state: &mut State, drawn: Drawn) {
    state.drawn = drawn;
    if matches!(state.scroll, Scroll::At(_) | Scroll::Match) {
        state.scroll = if drawn.at_end {
            Scroll::Follow
        } else {
            Scroll::At(drawn.top)
        };
    }
}

fn pane(state: &mut State, pane: Pane) {
    show(state, pane);
    if matches!(state.scene, Scene::Run(_)) && state.composer.is_empty() {
        state.focus = Focus::Browse;
    }
}

fn neighbour(state: &mut State, by: usize) {
    let at = Pane::ALL
        .iter()
        .position(|pane| *pane == state.pane)
        .unwrap_or(0);
    let next = Pane::ALL[(at + by) % Pane::ALL.len()];
    show(state, next);
}

fn rows(state: &State) -> usize {
    match state.pane {
        Pane::Chat => 0,
        Pane::Tools => state.calls().len(),
        Pane::Files => state.session().map_or(0, |session| session.files.len()),
        Pane::Plan => state.session().map_or(0, |session| session.plan.len()),
    }
}

pub(crate) fn scroll(state: &mut State, lines: i64) {
    let mut place = match state.scroll {
        Scroll::Follow | Scroll::Match => state.drawn.top,
        Scroll::At(place) => place,
    };
    if matches!(state.scroll, Scroll::Follow) && lines > 0 {
        return;
    }
    place.line += lines;
    state.scroll = Scroll::At(place);
}

/// The chosen line of a list; the chat stays where it is.
fn row(state: &mut State, action: Action) {
    if state.pane == Pane::Files {
        follow::let_go(state);
    }
    let last = rows(state).saturating_sub(1);
    let screenful = usize::from(state.drawn.rows.saturating_sub(2)).max(1);
    let (back, on) = match action {
        Action::StepUp => (1, 0),
        Action::HalfUp => (screenful.div_ceil(2), 0),
        Action::PageUp => (screenful, 0),
        Action::Top => (last, 0),
        Action::HalfDown => (0, screenful.div_ceil(2)),
        Action::PageDown => (0, screenful),
        Action::Bottom => (0, last),
        _ => (0, 1),
    };
    state.row = state.row.saturating_sub(back).saturating_add(on).min(last);
}

/// One cell of the chat; one longer than the screen is scrolled through first.
fn step(state: &mut State, by: i64) {
    let drawn = state.drawn;
    let last = state
        .session()
        .map_or(0, |session| session.transcript.cells.len());
    let Some(selected) = state.selected else {
        state.selected = (last > 0).then_some(drawn.bottom.item.clamp(1, last.max(1)));
        return;
    };
    let hidden = match by {
        ..0 => selected < drawn.top.item || (selected == drawn.top.item && drawn.top.line > 0),
        _ => selected >= drawn.bottom.item && !drawn.at_end,
    };
    if !hidden {
        let next = selected.saturating_add_signed(isize::try_from(by).unwrap_or(0));
        state.selected = Some(next.clamp(1, last.max(1)));
    }
    let next = state.selected.unwrap_or(1);
    if hidden || next < drawn.top.item || next >= drawn.bottom.item {
        scroll(state, by * 3);
    }
}

/// Steps of how much of a file is shown around what changed in it, in lines.
const AROUND: [usize; 7] = [0, 1, 2, 5, 10, 25, 100];

fn around(state: &mut State, by: isize) {
    let at = AROUND.partition_point(|step| *step < state.around);
    let next = at.saturating_add_signed(by).min(AROUND.len() - 1);
    state.around = AROUND[next];
    let s = if state.around == 1 { "" } else { "s" };
    toast(
        state,
        format!("{} line{s} around what changed", state.around),
    );
}

fn fold(state: &mut State) {
    let tool = (state.pane == Pane::Tools)
        .then(|| state.calls().iter().rev().nth(state.row).copied())
        .flatten();
    if let Some(index) = tool {
        // From the list to the call itself.
        show(state, Pane::Chat);
        state.selected = Some(index + 1);
        state.scroll = Scroll::At(Place {
            item: index + 1,
            line: 0,
        });
    }
    let chosen = tool.map(|index| index + 1).or(state.selected);
    let chosen = chosen.or_else(|| newest_foldable(state));
    let cell = chosen.and_then(|item| {
        state
            .session()?
            .transcript
            .cells
            .label(item.checked_sub(1)?)
    });
    if let Some(seq) = cell.map(|cell| cell.seq)
        && !state.folds.flipped.remove(&seq)
    {
        state.folds.flipped.insert(seq);
    }
}

/// Without a selection Space means the newest cell that has something to unfold.
pub(crate) fn newest_foldable(state: &State) -> Option<usize> {
    let cells = &state.session()?.transcript.cells;
    let at = cells.labels().rposition(|label| label.folds)?;
    Some(at + 1)
}

/// The mirror's next direction; what it is now stands in the status.
fn turn(state: &mut State) -> Vec<Effect> {
    let Some(attached) = state.attached() else {
        return Vec::new();
    };
    if !attached.mirrored && !attached.read_only {
        // Nothing is written here, perhaps because somebody decided so.
        return vec![Effect::LookFirst(attached.at.clone())];
    }
    let order = Order::Direct(attached.mirror.direction.next());
    link::step(state, attach::event::Event::MirrorOrder(order))
}

/// What was said as it was said, and back.
pub(crate) fn turn_raw(state: &mut State) {
    state.raw = !state.raw;
    // The lines are others now: what is marked in them, too.
    state.find.stamp += 1;
    if state.raw {
        let key = state.keymap.key_of(Context::Everywhere, Action::Raw);
        toast(state, format!("raw text: {key} goes back"));
    }
}
