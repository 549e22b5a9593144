//! What is looked at of the files a run has changed: one file change by change, or what an undo would do.
//!
//! Pure values.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mirror::preview::Scope;
use crate::mirror::show::{Shown, Side};
use crate::protocol::path::RelPath;
use crate::tui::view::diff::{AROUND, Diff, Row, diff};

/// The page that is open.
#[derive(Debug, Clone, PartialEq)]
pub enum Review {
    File(FilePage),
    Undo(UndoPage),
}

/// One file against what it was when the run began.
#[derive(Debug, Clone, PartialEq)]
pub struct FilePage {
    pub path: RelPath,
    /// Who wrote it last, in words.
    pub by: String,
    /// `None` until it was read.
    pub read: Option<Arc<Changes>>,
    /// The change that is decided next, from 0.
    pub at: usize,
    /// Lines from its first one down to the top of the page.
    pub shift: i64,
    /// Those that were looked at and stay.
    pub kept: BTreeSet<usize>,
    /// What was ordered is not done yet.
    pub waits: bool,
}

/// What an undo would do; the mirror's own word is kept with the run.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoPage {
    pub scope: Scope,
    /// What else can be meant: the chosen file, and the turn that wrote it.
    pub file: Option<RelPath>,
    pub turn: Option<u64>,
    pub top: usize,
}

/// A file as it was read, with what changed in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes {
    pub shown: Shown,
    pub added: usize,
    pub removed: usize,
    /// One diff for each change, or for what is said in the place of one.
    pub(crate) parts: Vec<Diff>,
}

impl Changes {
    pub(crate) fn of(shown: Shown) -> Self {
        let whole = match (&shown.start, &shown.now) {
            (Side::Other(what), _) => note(format!("before: {what}")),
            (_, Side::Other(what)) => note(format!("now: {what}")),
            (old, new) => {
                let old = text(old).unwrap_or_default();
                diff(Some(old), text(new).unwrap_or_default(), AROUND)
            }
        };
        let (added, removed) = (whole.added, whole.removed);
        let mut parts: Vec<Diff> = Vec::new();
        for row in whole.rows {
            if parts.is_empty() || matches!(row, Row::Part { .. }) {
                parts.push(Diff {
                    added,
                    removed,
                    rows: Vec::new(),
                });
            }
            if let Some(part) = parts.last_mut() {
                part.rows.push(row);
            }
        }
        Self {
            shown,
            added,
            removed,
            parts,
        }
    }

    /// How many changes can be decided.
    pub fn hunks(&self) -> usize {
        if self.added + self.removed == 0 {
            0
        } else {
            self.parts.len()
        }
    }
}

/// The text of a side; nothing where no file stands.
pub(crate) fn text(side: &Side) -> Option<&str> {
    match side {
        Side::Text(text) => Some(text),
        Side::Gone | Side::Other(_) => None,
    }
}

fn note(text: String) -> Diff {
    Diff {
        rows: vec![Row::Note(text)],
        ..Diff::default()
    }
}
