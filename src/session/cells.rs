//! The cells of a session, in the order they began. Old ones lie on a shelf, once there is one.
//!
//! Pure: where the shelf stands is for others to say. What can be asked of an old cell without taking it down is kept
//! beside it, so that nobody who looks for a turn or an error reads what was said in between.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use crate::protocol::acp::{ToolContent, ToolStatus};
use crate::protocol::ids::Seq;
use crate::session::transcript::{Body, Cell, Level, Notice};

/// Where old cells lie: as put, for as long as anybody holds the shelf.
pub trait Shelf: Debug + Send + Sync {
    fn put(&self, cell: &Cell) -> io::Result<Slot>;
    fn get(&self, slot: Slot) -> io::Result<Arc<Cell>>;
}

/// Where one lies on its shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    pub at: u64,
    pub length: u32,
}

/// What kind of thing was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    User,
    Agent,
    Thought,
    Tool,
    Attachment,
    Notice,
    TurnEnd,
}

/// What is known of a cell without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    pub seq: Seq,
    pub revision: u32,
    pub turn: u64,
    pub kind: Kind,
    /// Something went wrong here.
    pub is_error: bool,
    pub has_diff: bool,
    /// There is more of it than shows by itself.
    pub folds: bool,
}

impl Label {
    pub fn of(cell: &Cell) -> Self {
        let (kind, is_error, folds) = match &cell.body {
            Body::User { .. } => (Kind::User, false, false),
            Body::Agent { .. } => (Kind::Agent, false, false),
            Body::Thought { .. } => (Kind::Thought, false, true),
            Body::Tool(tool) => (Kind::Tool, tool.status == ToolStatus::Failed, true),
            Body::Attachment(_) => (Kind::Attachment, false, false),
            Body::Notice(notice) => {
                let is_error = notice.level == Level::Error;
                (Kind::Notice, is_error, notice.detail.is_some())
            }
            Body::TurnEnd { error, .. } => (Kind::TurnEnd, error.is_some(), false),
        };
        let mut content = cell.body.tool().into_iter().flat_map(|tool| &tool.content);
        Self {
            seq: cell.seq,
            revision: cell.revision,
            turn: cell.turn,
            kind,
            is_error,
            has_diff: content.any(|piece| matches!(piece, ToolContent::Diff { .. })),
            folds,
        }
    }
}

/// A cell to look at.
#[derive(Debug, Clone)]
pub enum Seen<'a> {
    Near(&'a Cell),
    Taken(Arc<Cell>),
}

impl Deref for Seen<'_> {
    type Target = Cell;

    fn deref(&self) -> &Cell {
        match self {
            Self::Near(cell) => cell,
            Self::Taken(cell) => cell,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Shelved {
    label: Label,
    slot: Slot,
}

/// All of them; the newest at hand.
#[derive(Debug, Clone, Default)]
pub struct Cells {
    shelved: Vec<Shelved>,
    near: VecDeque<Cell>,
    shelf: Option<Arc<dyn Shelf>>,
    /// So many of the newest stay at hand; twice as many do before the older half goes.
    most: usize,
}

impl Cells {
    /// None yet; `most` of the newest stay at hand, the others go to the shelf.
    pub fn on(shelf: Arc<dyn Shelf>, most: usize) -> Self {
        Self {
            shelf: Some(shelf),
            most,
            ..Self::default()
        }
    }

    /// None yet, and the same shelf for those that come.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            shelf: self.shelf.clone(),
            most: self.most,
            ..Self::default()
        }
    }

    pub fn len(&self) -> usize {
        self.shelved.len() + self.near.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, index: usize) -> Option<Seen<'_>> {
        match self.shelved.get(index) {
            Some(old) => Some(Seen::Taken(self.take(*old))),
            None => self.near.get(index - self.shelved.len()).map(Seen::Near),
        }
    }

    /// What is known of it without reading it.
    pub fn label(&self, index: usize) -> Option<Label> {
        match self.shelved.get(index) {
            Some(old) => Some(old.label),
            None => self.near.get(index - self.shelved.len()).map(Label::of),
        }
    }

    pub fn last(&self) -> Option<Seen<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All of them, read one by one.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Seen<'_>> + ExactSizeIterator {
        (0..self.len()).map(|index| self.get(index).expect("there are so many"))
    }

    /// All of them, read and kept.
    pub fn to_vec(&self) -> Vec<Cell> {
        self.iter().map(|cell| Cell::clone(&cell)).collect()
    }

    /// What is known of all of them without reading any.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = Label> + ExactSizeIterator {
        (0..self.len()).map(|index| self.label(index).expect("there are so many"))
    }

    /// How many stand before the first that began behind `seq`.
    pub fn up_to(&self, seq: Seq) -> usize {
        let near = || self.near.partition_point(|cell| cell.seq <= seq);
        match self.shelved.partition_point(|old| old.label.seq <= seq) {
            all if all == self.shelved.len() => all + near(),
            some => some,
        }
    }

    pub(super) fn push(&mut self, cell: Cell) -> usize {
        self.near.push_back(cell);
        if self.near.len() > 2 * self.most {
            self.shelve();
        }
        self.len() - 1
    }

    /// Changes what one says, and counts that.
    pub(super) fn change<T>(&mut self, index: usize, change: impl FnOnce(&mut Body) -> T) -> T {
        self.edit(index, |cell| change(&mut cell.body))
    }

    /// Changes one, and counts that.
    pub(super) fn edit<T>(&mut self, index: usize, change: impl FnOnce(&mut Cell) -> T) -> T {
        let edit = |cell: &mut Cell| {
            cell.revision = cell.revision.wrapping_add(1);
            change(cell)
        };
        let Some(old) = self.shelved.get(index).copied() else {
            return edit(&mut self.near[index - self.shelved.len()]);
        };
        let mut cell = Cell::clone(&self.take(old));
        let told = edit(&mut cell);
        let shelf = self.shelf.as_ref().expect("it lies on it");
        match shelf.put(&cell) {
            Ok(slot) => {
                let label = Label::of(&cell);
                self.shelved[index] = Shelved { label, slot };
            }
            Err(error) => tracing::warn!(%error, "an old cell stays as it was"),
        }
        told
    }

    /// The older half of what is at hand. Where that fails it stays at hand, and the next one tries again.
    fn shelve(&mut self) {
        let Some(shelf) = &self.shelf else {
            return;
        };
        while self.near.len() > self.most
            && let Some(cell) = self.near.front()
        {
            match shelf.put(cell) {
                Ok(slot) => {
                    let label = Label::of(cell);
                    self.shelved.push(Shelved { label, slot });
                    self.near.pop_front();
                }
                Err(error) => {
                    tracing::debug!(%error, "old cells stay in memory");
                    return;
                }
            }
        }
    }

    /// What cannot be read back says so in its place.
    fn take(&self, old: Shelved) -> Arc<Cell> {
        let read = match &self.shelf {
            Some(shelf) => shelf.get(old.slot),
            None => Err(io::Error::other("there is no shelf")),
        };
        read.unwrap_or_else(|error| {
            Arc::new(Cell {
                seq: old.label.seq,
                revision: old.label.revision,
                rewrites: 0,
                time: None,
                turn: old.label.turn,
                body: Body::Notice(Notice {
                    level: Level::Error,
                    text: format!("what stood here cannot be read back: {error}"),
                    detail: None,
                    count: 1,
                }),
            })
        })
    }
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| *a == *b)
    }
}

impl FromIterator<Cell> for Cells {
    fn from_iter<T: IntoIterator<Item = Cell>>(cells: T) -> Self {
        Self {
            near: cells.into_iter().collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::session::tool::ToolCall;

    /// Texts in memory, which can be full and can be lost.
    #[derive(Debug, Default)]
    pub(crate) struct Pile {
        texts: Mutex<Vec<Vec<u8>>>,
        most: Option<usize>,
    }

    impl Shelf for Pile {
        fn put(&self, cell: &Cell) -> io::Result<Slot> {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            if self.most.is_some_and(|most| texts.len() >= most) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            texts.push(serde_json::to_vec(cell)?);
            let at = texts.len() as u64 - 1;
            Ok(Slot { at, length: 0 })
        }

        fn get(&self, slot: Slot) -> io::Result<Arc<Cell>> {
            let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            let text = texts.get(usize::try_from(slot.at).unwrap());
            let text = text.ok_or(io::ErrorKind::NotFound)?;
            Ok(Arc::new(serde_json::from_slice(text)?))
        }
    }

    fn cell(seq: u64, body: Body) -> Cell {
        Cell {
            seq: Seq(seq),
            revision: 0,
            rewrites: 0,
            time: None,
            turn: 1,
            body,
        }
    }

    fn says(seq: u64) -> Cell {
        cell(seq, Body::Attachment(format!("cell {seq}")))
    }

    fn seqs(cells: &Cells) -> Vec<u64> {
        cells.iter().map(|cell| cell.seq.0).collect()
    }

    #[test]
    fn old_cells_are_the_same_wherever_they_lie() {
        let mut cells = Cells::on(Arc::new(Pile::default()), 3);
        for seq in 1..=20 {
            cells.push(says(seq));
        }
        assert!(cells.near.len() <= 6);
        assert_eq!(seqs(&cells), Vec::from_iter(1..=20));
        assert_eq!(cells.up_to(Seq(5)), 5);
        assert_eq!(cells.up_to(Seq(19)), 19);
        assert_eq!(cells.get(20).map(|cell| cell.seq), None);
        cells.change(2, |body| *body = Body::Attachment("another".into()));
        let changed = cells.get(2).unwrap();
        assert_eq!(changed.body, Body::Attachment("another".into()));
        assert_eq!(changed.revision, 1);
        assert_eq!(cells.label(2), Some(Label::of(&changed)));
        assert_eq!(cells.anew(), Cells::default());
    }

    #[test]
    fn a_full_shelf_keeps_them_in_memory_and_a_lost_one_says_so() {
        let full = Pile {
            most: Some(4),
            ..Pile::default()
        };
        let mut cells = Cells::on(Arc::new(full), 1);
        for seq in 1..=20 {
            cells.push(says(seq));
        }
        assert_eq!(seqs(&cells), Vec::from_iter(1..=20));
        assert_eq!(cells.shelved.len(), 4);
        cells.change(0, |body| *body = Body::Attachment("lost".into()));
        assert_eq!(*cells.get(0).unwrap(), says(1), "as it was");
        cells.shelf = Some(Arc::new(Pile::default()));
        let lost = cells.get(3).unwrap();
        assert_eq!(lost.seq, Seq(4));
        assert!(matches!(&lost.body, Body::Notice(notice) if notice.level == Level::Error));
    }

    #[test]
    fn what_is_an_error_what_is_a_diff_and_what_can_be_unfolded() {
        let call = |status: ToolStatus, content: Vec<ToolContent>| {
            Body::Tool(Box::new(ToolCall {
                status,
                content,
                ..ToolCall::default()
            }))
        };
        let diff = || ToolContent::Diff {
            path: "a".into(),
            old: None,
            new: "b".into(),
        };
        let notice = |level, detail: Option<&str>| {
            Body::Notice(Notice {
                level,
                text: "x".into(),
                detail: detail.map(str::to_owned),
                count: 1,
            })
        };
        let end = |error: Option<&str>| Body::TurnEnd {
            stop_reason: "end_turn".into(),
            error: error.map(str::to_owned),
            started: None,
            ended: None,
            files: 0,
            spent: None,
        };
        let table = [
            (call(ToolStatus::Failed, vec![]), (true, false, true)),
            (
                call(ToolStatus::Completed, vec![diff()]),
                (false, true, true),
            ),
            (call(ToolStatus::Failed, vec![diff()]), (true, true, true)),
            (notice(Level::Error, None), (true, false, false)),
            (notice(Level::Warning, Some("more")), (false, false, true)),
            (end(Some("gone")), (true, false, false)),
            (end(None), (false, false, false)),
        ];
        for (body, wanted) in table {
            let label = Label::of(&cell(1, body));
            let found = (label.is_error, label.has_diff, label.folds);
            assert_eq!(found, wanted, "{label:?}");
        }
    }
}
