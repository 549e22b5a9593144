//! A cell without anything of ours: its own text in its own lines, from the first column on, to be selected by hand.
//!
//! Pure.

use ratatui::text::Line;

use crate::session::transcript::{Body, Cell};
use crate::tui::source;
use crate::tui::theme::Role;
use crate::tui::view::cell::Look;
use crate::tui::view::text::{Break, clean, wrap};

pub(crate) fn lines(cell: &Cell, look: Look) -> Vec<Line<'static>> {
    let text = clean(&source::of(&cell.body));
    let (role, at, folds) = match &cell.body {
        Body::User { .. } => (Role::User, Break::Words, false),
        Body::Agent { .. } => (Role::Text, Break::Words, false),
        Body::Thought { .. } => (Role::Thought, Break::Words, true),
        Body::Tool(_) => (Role::Tool, Break::Anywhere, true),
        Body::Notice(_) => (Role::Dim, Break::Words, true),
        Body::Attachment(_) | Body::TurnEnd { .. } => (Role::Dim, Break::Words, false),
    };
    if text.is_empty() {
        return Vec::new();
    }
    let most = if folds && !look.open { 1 } else { usize::MAX };
    text.split('\n')
        .take(most)
        .flat_map(|line| wrap(&[look.span(role, line)], &[], &[], look.columns, at))
        .collect()
}
