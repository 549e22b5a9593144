//! The shelf of old cells: a file without a name in the run's folder, gone with the last session that holds it.
//!
//! A shell. What was put is never changed: a cell that changes is put again, and its old place is left empty.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::session::cells::{self, Slot};
use crate::session::transcript::Cell;

/// So many bytes are written at once.
const TAIL: usize = 64 * 1024;
/// So many that were read stay at hand: more than a screen shows.
const READ: NonZeroUsize = NonZeroUsize::new(256).expect("not 0");

#[derive(Debug)]
pub(crate) struct Shelf(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// Bytes in the file.
    written: u64,
    /// What comes behind them.
    tail: Vec<u8>,
    read: LruCache<Slot, Arc<Cell>>,
}

/// An empty one.
pub(crate) fn open(folder: &Path) -> io::Result<Shelf> {
    Ok(Shelf(Mutex::new(Inner {
        file: tempfile::tempfile_in(folder)?,
        written: 0,
        tail: Vec::new(),
        read: LruCache::new(READ),
    })))
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl cells::Shelf for Shelf {
    fn put(&self, cell: &Cell) -> io::Result<Slot> {
        let mut inner = self.lock();
        if inner.tail.len() >= TAIL {
            inner.write()?;
        }
        let (at, begin) = (inner.written + inner.tail.len() as u64, inner.tail.len());
        let put = serde_json::to_writer(&mut inner.tail, cell).map_err(io::Error::from);
        let length = u32::try_from(inner.tail.len() - begin).map_err(io::Error::other);
        match put.and(length) {
            Ok(length) => Ok(Slot { at, length }),
            Err(error) => {
                inner.tail.truncate(begin);
                Err(error)
            }
        }
    }

    fn get(&self, slot: Slot) -> io::Result<Arc<Cell>> {
        let mut inner = self.lock();
        if let Some(cell) = inner.read.get(&slot) {
            return Ok(cell.clone());
        }
        let cell: Arc<Cell> = Arc::new(serde_json::from_slice(&inner.bytes(slot)?)?);
        inner.read.put(slot, cell.clone());
        Ok(cell)
    }
}

impl Inner {
    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.tail, self.written)?;
        self.written += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    fn bytes(&self, slot: Slot) -> io::Result<Vec<u8>> {
        let length = slot.length as usize;
        if let Some(begin) = slot.at.checked_sub(self.written) {
            let begin = usize::try_from(begin).map_err(io::Error::other)?;
            let bytes = self.tail.get(begin..begin + length);
            return bytes
                .map(<[u8]>::to_vec)
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, slot.at)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::Seq;
    use crate::session::cells::Shelf as _;
    use crate::session::transcript::Body;

    fn cell(seq: u64, length: usize) -> Cell {
        Cell {
            seq: Seq(seq),
            revision: 3,
            rewrites: 1,
            time: Some("2026-01-02T03:04:05.678Z".parse().unwrap()),
            turn: 7,
            body: Body::Agent {
                text: "ä\u{1b}\n".repeat(length),
                open: false,
            },
        }
    }

    #[test]
    fn what_was_put_comes_back_from_memory_and_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = open(folder.path()).unwrap();
        // More than is held back, and more than is remembered.
        let cells: Vec<Cell> = (1..=600).map(|seq| cell(seq, seq as usize)).collect();
        let slots: Vec<Slot> = cells.iter().map(|cell| shelf.put(cell).unwrap()).collect();
        assert!(shelf.lock().written > 0 && !shelf.lock().tail.is_empty());
        for _ in 0..2 {
            for (cell, slot) in cells.iter().zip(&slots) {
                assert_eq!(*shelf.get(*slot).unwrap(), *cell);
            }
        }
        assert_eq!(
            folder.path().read_dir().unwrap().count(),
            0,
            "it has no name"
        );
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = open(folder.path()).unwrap();
        let slot = shelf.put(&cell(1, 1)).unwrap();
        for (at, length) in [(1, slot.length), (0, 1), (1 << 40, 5), (0, slot.length + 1)] {
            assert!(shelf.get(Slot { at, length }).is_err(), "{at} {length}");
        }
    }
}
