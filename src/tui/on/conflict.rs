//! A conflict, looked at and decided.
//!
//! Pure. What stands in it the mirror tells; what is decided goes to it as an order.

use std::sync::Arc;

use crate::mirror::control::Keep;
use crate::mirror::merge::{Merged, undecided};
use crate::mirror::status::Conflict;
use crate::mirror::versions::{Put, Versions};
use crate::mirror::worker::Order;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::Combined;
use crate::tui::on::review::{is_mirrored, order};
use crate::tui::review::{ConflictPage, Contest, Review};
use crate::tui::state::{Pane, Popup, State};
use crate::tui::update::toast;

/// What can always be done about it, in words.
pub(crate) const WAYS: [(Action, &str, Keep); 3] = [
    (Action::KeepMine, "keep yours", Keep::Mine),
    (Action::TakeTheirs, "take theirs", Keep::Theirs),
    (Action::KeepBoth, "keep both", Keep::Both),
];

/// The chosen file; without one, the first that is in conflict.
pub(crate) fn open(state: &mut State) -> Vec<Effect> {
    let chosen = chosen(state);
    let Some(attached) = state.attached() else {
        return Vec::new();
    };
    let of_chosen = |one: &&Conflict| chosen.as_ref().is_none_or(|path| one.path == *path);
    let found = attached.mirror.conflicts.iter().find(of_chosen);
    match (found.map(|conflict| conflict.path.parse()), chosen) {
        (Some(Ok(path)), _) if is_mirrored(state) => {
            state.popup = Some(Popup::Review(Box::new(Review::Conflict(
                ConflictPage::new(path),
            ))));
            let Some(path) = path_of(state) else {
                return Vec::new();
            };
            order(state, Order::Versions(path))
        }
        (Some(_), _) => Vec::new(),
        (None, Some(path)) => {
            toast(state, format!("{path} is not in conflict"));
            Vec::new()
        }
        (None, None) => {
            toast(state, "nothing is in conflict");
            Vec::new()
        }
    }
}

fn path_of(state: &State) -> Option<crate::protocol::path::RelPath> {
    match &state.popup {
        Some(Popup::Review(review)) => match &**review {
            Review::Conflict(page) => Some(page.path.clone()),
            Review::File(_) | Review::Undo(_) | Review::First(_) => None,
        },
        _ => None,
    }
}

fn chosen(state: &State) -> Option<String> {
    let files = (state.pane == Pane::Files).then_some(state.session()?)?;
    let file = files.files.iter().rev().nth(state.row)?;
    Some(file.path.clone())
}

/// The mirror has told what stands in the conflict that is looked at.
pub(crate) fn told(page: &mut ConflictPage, versions: Versions) {
    if page.path == versions.path {
        page.read = Some(Arc::new(Contest::of(versions)));
    }
}

/// The conflict that is looked at may have ended meanwhile.
pub(crate) fn look(state: &mut State) {
    let Some(path) = path_of(state) else {
        return;
    };
    let conflicts = state.attached().map(|one| &one.mirror.conflicts);
    let is_open = conflicts.is_some_and(|all| all.iter().any(|one| one.path == path.as_str()));
    if !is_open {
        state.popup = None;
        toast(state, format!("{path} is no longer in conflict"));
    }
}

/// What decides it; `None` for an action that means nothing here, or not now.
pub(crate) fn act(state: &mut State, page: ConflictPage, action: Action) -> Option<Vec<Effect>> {
    if let Some((_, _, keep)) = WAYS.iter().find(|(way, _, _)| *way == action) {
        state.popup = None;
        let path = page.path;
        return Some(order(state, Order::Resolve { path, keep: *keep }));
    }
    match action {
        Action::Merge => merge(state, page),
        Action::EditBoth => {
            let editor = state.writing.editor.clone();
            combine(state, &page, format!("{editor} \"$MERGED\""))
        }
        Action::MergeTool => {
            let tool = state.writing.merge_tool.clone()?;
            combine(state, &page, tool)
        }
        Action::CompareOthers => {
            let between = page.between.next();
            let page = ConflictPage {
                between,
                top: 0,
                ..page
            };
            state.popup = Some(Popup::Review(Box::new(Review::Conflict(page))));
            Some(Vec::new())
        }
        _ => None,
    }
}

/// What both changed, where that does not overlap.
fn merge(state: &mut State, page: ConflictPage) -> Option<Vec<Effect>> {
    let read = page.read.as_ref()?;
    let Some(Merged::Clean(text)) = &read.versions.merged else {
        return None;
    };
    let put = Put {
        over: read.versions.mine.state,
        text: text.clone(),
    };
    state.popup = None;
    let path = page.path;
    Some(order(state, Order::Merge { path, put }))
}

/// Both in a program of the user's.
fn combine(state: &mut State, page: &ConflictPage, tool: String) -> Option<Vec<Effect>> {
    let read = page.read.as_ref()?;
    read.versions.merged.as_ref()?;
    let of = state.attached()?.at.clone();
    Some(vec![Effect::Combine {
        of,
        tool,
        versions: Box::new(read.versions.clone()),
    }])
}

/// What that program left.
pub(crate) fn back(state: &mut State, combined: Combined) -> Vec<Effect> {
    let Combined {
        of,
        path,
        over,
        text,
    } = combined;
    let text = match text {
        Ok(text) => text,
        Err(why) => {
            toast(state, why);
            return Vec::new();
        }
    };
    debug_assert_eq!(undecided(&text), 0, "whoever ran it looked");
    if path_of(state).as_ref() == Some(&path) {
        state.popup = None;
    }
    let put = Put { over, text };
    let order = crate::attach::effect::Effect::Mirror(Order::Merge { path, put });
    vec![Effect::Attach(of, order)]
}

/// An action while the page is open.
pub(crate) fn scroll(page: &mut ConflictPage, action: Action, rows: i64) {
    let by = match action {
        Action::StepUp => -1,
        Action::StepDown => 1,
        Action::PageUp => -rows,
        Action::PageDown => rows,
        Action::Top => i64::from(i32::MIN),
        Action::Bottom => i64::from(i32::MAX),
        _ => 0,
    };
    let lines = page
        .read
        .as_ref()
        .map_or(0, |read| read.lines(page.between));
    let last = i64::try_from(lines).unwrap_or(i64::MAX);
    let top = i64::try_from(page.top).unwrap_or(0).saturating_add(by);
    page.top = usize::try_from(top.clamp(0, last)).unwrap_or(0);
}
