//! The files that a run has changed, reviewed: a file change by change, and what an undo would do before it is done.
//!
//! Pure. What stands on the disk the mirror tells; what is decided goes to it as an order.

use std::sync::Arc;

use crate::attach;
use crate::attach::state::Weighed;
use crate::mirror::preview::Scope;
use crate::mirror::show::Side;
use crate::mirror::worker::Order;
use crate::protocol::path::RelPath;
use crate::session::state::{FileEntry, Session};
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::hunks;
use crate::tui::keymap::Context;
use crate::tui::on::{conflict, first, link};
use crate::tui::review::{Changes, FilePage, Review, UndoPage};
use crate::tui::state::{Pane, Popup, State};
use crate::tui::update::toast;

/// Files whose lines are counted with one order.
const BATCH: usize = 64;
/// The newest files are counted; of more the newest are.
const COUNTED: usize = 500;

/// Who wrote it last: `turn 3 · edit`.
pub(crate) fn provenance(session: &Session, file: &FileEntry) -> String {
    let call = file.tool_call.as_deref().and_then(|id| session.call(id));
    let cell = call.and_then(|index| session.transcript.cells.get(index));
    let kind = cell.as_deref().and_then(|cell| cell.body.tool());
    let kind = kind.map(|call| call.kind.as_str());
    match (file.turn, kind) {
        (Some(turn), Some(kind)) => format!("turn {turn} · {kind}"),
        (Some(turn), None) => format!("turn {turn}"),
        (None, Some(kind)) => kind.to_owned(),
        (None, None) if file.by_user => "you".to_owned(),
        (None, None) => String::new(),
    }
}

fn chosen(state: &State) -> Option<&FileEntry> {
    let session = (state.pane == Pane::Files).then_some(state.session()?)?;
    session.files.iter().rev().nth(state.row)
}

/// Whether the files lie here; else says why nothing of them is shown.
pub(crate) fn is_mirrored(state: &mut State) -> bool {
    let Some(attached) = state.attached() else {
        return false;
    };
    if attached.mirrored {
        return true;
    }
    let why = attached.mirror.reason.clone();
    let why = why.unwrap_or_else(|| "no directory is mirrored here".to_owned());
    toast(state, why);
    false
}

pub(crate) fn order(state: &mut State, order: Order) -> Vec<Effect> {
    link::step(state, attach::event::Event::MirrorOrder(order))
}

/// The chosen file, change by change.
pub(crate) fn open(state: &mut State) -> Vec<Effect> {
    let found = chosen(state).zip(state.session()).map(|(file, session)| {
        let path = file.path.parse::<RelPath>();
        (path, provenance(session, file))
    });
    match found {
        Some((Ok(path), by)) if is_mirrored(state) => {
            let page = FilePage {
                path: path.clone(),
                by,
                read: None,
                at: 0,
                shift: 0,
                kept: std::collections::BTreeSet::new(),
                waits: false,
            };
            state.popup = Some(Popup::Review(Box::new(Review::File(page))));
            order(state, Order::Show(path))
        }
        Some((Ok(_), _)) => Vec::new(),
        Some((Err(_), _)) => {
            toast(state, "this file was never written here");
            Vec::new()
        }
        None => {
            let key = state.keymap.key_of(Context::Browse, Action::Files);
            toast(state, format!("choose a file first: {key} shows the files"));
            Vec::new()
        }
    }
}

/// What an undo of the chosen file would do; without one, of the whole run.
pub(crate) fn undo(state: &mut State) -> Vec<Effect> {
    let file = chosen(state).map(|file| (file.path.parse::<RelPath>().ok(), file.turn));
    if !is_mirrored(state) {
        return Vec::new();
    }
    let (file, turn) = file.unwrap_or_default();
    let scope = match &file {
        Some(path) => Scope::File { path: path.clone() },
        None => Scope::Run,
    };
    look_at(state, scope, file, turn)
}

fn look_at(
    state: &mut State,
    scope: Scope,
    file: Option<RelPath>,
    turn: Option<u64>,
) -> Vec<Effect> {
    let page = UndoPage {
        scope: scope.clone(),
        file,
        turn,
        top: 0,
    };
    state.popup = Some(Popup::Review(Box::new(Review::Undo(page))));
    if let Some(attached) = state.attached_mut() {
        attached.looks.preview = None;
    }
    order(state, Order::Preview(scope))
}

/// The mirror may have told what is waited for, and which files are to be counted next.
pub(crate) fn look(state: &mut State) -> Vec<Effect> {
    let is_open =
        matches!(&state.popup, Some(Popup::Review(review)) if matches!(**review, Review::File(_)));
    let shown = state.attached_mut().and_then(|one| one.looks.shown.take());
    if let (true, Some(shown), Some(Popup::Review(review))) = (is_open, shown, &mut state.popup)
        && let Review::File(page) = &mut **review
        && page.path == shown.path
    {
        let changes = Changes::of(*shown);
        page.at = page.at.min(changes.hunks().saturating_sub(1));
        page.read = Some(Arc::new(changes));
        page.waits = false;
    }
    let versions = state
        .attached_mut()
        .and_then(|one| one.looks.versions.take());
    if let (Some(versions), Some(Popup::Review(review))) = (versions, &mut state.popup)
        && let Review::Conflict(page) = &mut **review
    {
        conflict::told(page, *versions);
    }
    conflict::look(state);
    weigh(state)
}

/// Asks how much of the files is new, as far as they have come to rest here and somebody looks.
fn weigh(state: &mut State) -> Vec<Effect> {
    let is_seen = state.pane == Pane::Files || state.has_column();
    let Some(attached) = state.attached_mut().filter(|_| is_seen) else {
        return Vec::new();
    };
    let settled = attached.mirror.settled;
    let newest = attached
        .session
        .files
        .last()
        .map(|file| (file.seq, settled));
    let looks = &mut attached.looks;
    if !attached.mirrored || looks.weighing || looks.weighed_to == newest {
        return Vec::new();
    }
    let files = attached.session.files.iter().rev().take(COUNTED);
    let mut paths: Vec<RelPath> = Vec::new();
    for file in files.filter(|file| file.failed.is_none() && file.seq <= settled) {
        let known = looks.weights.get(&file.path);
        if known.is_some_and(|known| known.seq == file.seq) {
            continue;
        }
        let Ok(path) = file.path.parse() else {
            continue;
        };
        let found = known.and_then(|known| known.found);
        let seq = file.seq;
        looks
            .weights
            .insert(file.path.clone(), Weighed { seq, found });
        paths.push(path);
        if paths.len() == BATCH {
            break;
        }
    }
    if paths.len() < BATCH {
        looks.weighed_to = newest;
    }
    if paths.is_empty() {
        return Vec::new();
    }
    looks.weighing = true;
    let at = attached.at.clone();
    let order = attach::effect::Effect::Mirror(Order::Weigh(paths));
    vec![Effect::Attach(at, order)]
}

/// What decides on a page; `None` for every other action. The page stands while it does.
fn decide(state: &mut State, review: Review, action: Action) -> Option<Vec<Effect>> {
    match (review, action) {
        (Review::File(page), Action::KeepChange | Action::Yes) => Some(keep(state, page)),
        (Review::File(page), Action::TakeChangeBack) => Some(take_back(state, page)),
        (Review::File(page), Action::ChangeNext) => Some(go(state, page, 1)),
        (Review::File(page), Action::ChangeBefore) => Some(go(state, page, -1)),
        (Review::Conflict(page), action) => conflict::act(state, page, action),
        (Review::First(page), action) => first::act(state, &page, action),
        (Review::Undo(page), Action::UndoNow | Action::Yes) => Some(sure(state, &page)),
        (Review::Undo(page), Action::UndoFile) => {
            let path = page.file.clone()?;
            Some(look_at(state, Scope::File { path }, page.file, page.turn))
        }
        (Review::Undo(page), Action::UndoTurn) => {
            let turn = page.turn?;
            Some(look_at(state, Scope::Turn { turn }, page.file, page.turn))
        }
        (Review::Undo(page), Action::UndoRun) => {
            Some(look_at(state, Scope::Run, page.file, page.turn))
        }
        _ => None,
    }
}

fn show(state: &mut State, page: FilePage) -> Vec<Effect> {
    state.popup = Some(Popup::Review(Box::new(Review::File(page))));
    Vec::new()
}

fn go(state: &mut State, mut page: FilePage, by: isize) -> Vec<Effect> {
    let last = page
        .read
        .as_ref()
        .map_or(0, |read| read.hunks())
        .saturating_sub(1);
    page.at = page.at.saturating_add_signed(by).min(last);
    page.shift = 0;
    show(state, page)
}

fn keep(state: &mut State, mut page: FilePage) -> Vec<Effect> {
    page.kept.insert(page.at);
    go(state, page, 1)
}

/// The file without this change, written over exactly what was read.
fn take_back(state: &mut State, mut page: FilePage) -> Vec<Effect> {
    let Some(read) = page
        .read
        .clone()
        .filter(|read| page.at < read.hunks() && !page.waits)
    else {
        return Vec::new();
    };
    let shown = &read.shown;
    let (old, new) = (shown.start.text(), shown.now.text());
    let Some(text) = hunks::without(old.unwrap_or(""), new.unwrap_or(""), page.at) else {
        toast(state, "this change is too large to be taken back by itself");
        return Vec::new();
    };
    let gone = shown.start == Side::Gone && text.is_empty();
    let rewrite = Order::Rewrite {
        path: page.path.clone(),
        over: shown.here,
        text: (!gone).then_some(text),
        mode: shown.mode,
    };
    // Those behind it move up.
    let at = page.at;
    let stay = page.kept.iter().filter(|kept| **kept != at);
    page.kept = stay.map(|kept| kept - usize::from(*kept > at)).collect();
    page.waits = true;
    page.shift = 0;
    show(state, page);
    order(state, rewrite)
}

fn sure(state: &mut State, page: &UndoPage) -> Vec<Effect> {
    let preview = state.attached().and_then(|one| one.looks.preview.as_ref());
    let ready = preview.filter(|preview| preview.scope == page.scope && preview.done > 0);
    let Some(seen) = ready.map(|preview| preview.seen) else {
        return Vec::new();
    };
    state.popup = None;
    let scope = page.scope.clone();
    let seen = Some(seen);
    order(state, Order::Undo { scope, seen })
}

/// An action while a page is open.
pub(crate) fn act(state: &mut State, mut review: Box<Review>, action: Action) -> Vec<Effect> {
    state.popup = Some(Popup::Review(review.clone()));
    if let Some(effects) = decide(state, (*review).clone(), action) {
        return effects;
    }
    state.popup = None;
    let page = i64::from(state.size.1.saturating_sub(6)).max(1);
    let by = match action {
        Action::StepUp => -1,
        Action::StepDown => 1,
        Action::PageUp => -page,
        Action::PageDown => page,
        Action::Top => i64::from(i32::MIN),
        Action::Bottom => i64::from(i32::MAX),
        // The first look is not put away like this.
        Action::Escape | Action::Interrupt | Action::Leave | Action::Conflict
            if !matches!(*review, Review::First(_)) =>
        {
            return Vec::new();
        }
        _ => 0,
    };
    match &mut *review {
        Review::File(page) => {
            let parts = page.read.as_ref().map_or(&[][..], |read| &read.parts);
            let rows = |parts: &[crate::tui::view::diff::Diff]| {
                let rows: usize = parts.iter().map(|part| part.rows.len()).sum();
                i64::try_from(rows).unwrap_or(i64::MAX)
            };
            let above = rows(&parts[..page.at.min(parts.len())]);
            page.shift = (page.shift + by).clamp(-above, rows(parts) - above);
        }
        Review::Conflict(shown) => conflict::scroll(shown, action, page),
        Review::Undo(page) => {
            let by = isize::try_from(by).unwrap_or(0);
            page.top = page.top.saturating_add_signed(by).min(1 << 16);
        }
        Review::First(page) => {
            let by = isize::try_from(by).unwrap_or(0);
            page.top = page.top.saturating_add_signed(by).min(1 << 16);
        }
    }
    state.popup = Some(Popup::Review(review));
    Vec::new()
}
