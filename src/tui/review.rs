//! What is looked at of the files a run has changed: one file change by change, or what an undo would do.
//!
//! Pure values.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::attach::first::Look;
use crate::mirror::preview::Scope;
use crate::mirror::show::{Shown, Side};
use crate::mirror::versions::Versions;
use crate::protocol::path::RelPath;
use crate::tui::view::diff::{AROUND, Diff, Row, diff};

/// The page that is open.
#[derive(Debug, Clone, PartialEq)]
pub enum Review {
    File(FilePage),
    Undo(UndoPage),
    Conflict(ConflictPage),
    /// Before the first write.
    First(Box<FirstPage>),
}

/// The first look of a run into a directory.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstPage {
    pub look: Look,
    /// When it came.
    pub since: Instant,
    pub top: usize,
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
            (old, new) => diff(
                Some(old.text().unwrap_or("")),
                new.text().unwrap_or(""),
                AROUND,
            ),
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

/// A conflict; two of its versions stand side against side.
#[derive(Debug, Clone, PartialEq)]
pub struct ConflictPage {
    pub path: RelPath,
    /// `None` until it was read.
    pub read: Option<Arc<Contest>>,
    pub between: Between,
    pub top: usize,
}

impl ConflictPage {
    pub(crate) fn new(path: RelPath) -> Self {
        Self {
            path,
            read: None,
            between: Between::Sides,
            top: 0,
        }
    }
}

/// Which two versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Yours and theirs.
    Sides,
    /// What both had last, and yours.
    Mine,
    Theirs,
}

impl Between {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Sides => Self::Mine,
            Self::Mine => Self::Theirs,
            Self::Theirs => Self::Sides,
        }
    }
}

/// A conflict as it was read, with what its versions differ in.
#[derive(Debug, PartialEq, Eq)]
pub struct Contest {
    pub versions: Versions,
    diffs: [Diff; 3],
}

impl Contest {
    pub(crate) fn of(versions: Versions) -> Self {
        let Versions {
            base, mine, theirs, ..
        } = &versions;
        let between = |old: &Side, new: &Side| match (old, new) {
            (Side::Other(what), _) => note(format!("before: {what}")),
            (_, Side::Other(what)) => note(format!("now: {what}")),
            (Side::Gone, Side::Gone) => note("deleted on both sides".to_owned()),
            (old, new) => diff(
                Some(old.text().unwrap_or("")),
                new.text().unwrap_or(""),
                AROUND,
            ),
        };
        let diffs = [
            between(&mine.side, &theirs.side),
            between(&base.side, &mine.side),
            between(&base.side, &theirs.side),
        ];
        Self { versions, diffs }
    }

    pub(crate) fn diff(&self, between: Between) -> &Diff {
        match between {
            Between::Sides => &self.diffs[0],
            Between::Mine => &self.diffs[1],
            Between::Theirs => &self.diffs[2],
        }
    }

    /// Both, and their names.
    pub(crate) fn compared(&self, between: Between) -> (&Side, &Side, &'static str) {
        let Versions {
            base, mine, theirs, ..
        } = &self.versions;
        match between {
            Between::Sides => (
                &mine.side,
                &theirs.side,
                "− only in yours  + only in theirs",
            ),
            Between::Mine => (&base.side, &mine.side, "what you changed"),
            Between::Theirs => (&base.side, &theirs.side, "what they changed"),
        }
    }

    /// How many lines the page has at least.
    pub(crate) fn lines(&self, between: Between) -> usize {
        self.diff(between).rows.len() + 5
    }
}

fn note(text: String) -> Diff {
    Diff {
        rows: vec![Row::Note(text)],
        ..Diff::default()
    }
}
