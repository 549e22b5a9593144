//! What a machine's mirror wrote down, in the place of its database: whole commits, the newest of which a power cut may
//! take (SQLite's WAL with `synchronous = NORMAL`).

use std::collections::BTreeMap;
use std::io;

use super::dice::Dice;
use super::tree::Tree;
use crate::mirror::base::{Fact, Known, Simulated, Written};
use crate::mirror::ground::simulated::Disk as _;
use crate::protocol::path::RelPath;

/// Commits after which the log is written into the database, and synced.
const CHECKPOINT: usize = 40;

#[derive(Debug, Clone)]
enum Commit {
    Facts(Vec<Fact>),
    Note(i64, RelPath, Box<Written>),
    Forget(i64),
    /// In this life of the machine.
    Stamps(u64, Vec<(u8, Vec<u8>)>),
}

#[derive(Debug, Clone, Default)]
struct Content {
    known: Known,
    notes: BTreeMap<i64, (RelPath, Written)>,
    stamps: BTreeMap<u8, (u64, Vec<u8>)>,
}

impl Content {
    fn take(&mut self, commit: &Commit) {
        match commit {
            Commit::Facts(facts) => facts.iter().for_each(|fact| self.known.apply(fact)),
            Commit::Note(id, path, written) => {
                self.notes
                    .insert(*id, (path.clone(), Written::clone(written)));
            }
            Commit::Forget(id) => drop(self.notes.remove(id)),
            Commit::Stamps(life, parts) => {
                let parts = parts.iter().cloned();
                self.stamps
                    .extend(parts.map(|(part, value)| (part, (*life, value))));
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    now: Content,
    synced: Content,
    /// Since the last checkpoint.
    log: Vec<Commit>,
    last: i64,
}

impl Shelf {
    pub(super) fn known(&self) -> &Known {
        &self.now.known
    }

    fn commit(&mut self, commit: Commit) {
        self.now.take(&commit);
        self.log.push(commit);
        if self.log.len() >= CHECKPOINT {
            self.log.clear();
            self.synced = self.now.clone();
        }
    }

    pub(super) fn lose(&mut self, dice: &mut Dice) {
        let kept = dice.index(self.log.len() + 1);
        for commit in self.log.drain(..).take(kept) {
            self.synced.take(&commit);
        }
        self.now = self.synced.clone();
    }
}

impl Tree {
    fn on_shelf<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> io::Result<T> {
        Ok(self.call(|state| Ok(act(&mut state.shelf)))?)
    }
}

impl Simulated for Tree {
    fn load(&self) -> io::Result<Known> {
        self.on_shelf(|shelf| shelf.now.known.clone())
    }

    fn save(&self, facts: &[Fact]) -> io::Result<()> {
        self.on_shelf(|shelf| shelf.commit(Commit::Facts(facts.to_vec())))
    }

    fn about_to_write(&self, path: &RelPath, written: &Written) -> io::Result<i64> {
        self.on_shelf(|shelf| {
            shelf.last += 1;
            let written = Box::new(written.clone());
            shelf.commit(Commit::Note(shelf.last, path.clone(), written));
            shelf.last
        })
    }

    fn forget(&self, id: i64) -> io::Result<()> {
        self.on_shelf(|shelf| shelf.commit(Commit::Forget(id)))
    }

    fn stamps(&self) -> io::Result<Vec<Vec<u8>>> {
        let life = self.life();
        self.on_shelf(|shelf| {
            let all = shelf.now.stamps.values();
            let ours = all.filter(|(of, _)| *of == life);
            ours.map(|(_, value)| value.clone()).collect()
        })
    }

    fn keep_stamps(&self, parts: &[(u8, Vec<u8>)]) -> io::Result<()> {
        let life = self.life();
        self.on_shelf(|shelf| shelf.commit(Commit::Stamps(life, parts.to_vec())))
    }

    fn written(&self) -> io::Result<Vec<(RelPath, Written)>> {
        self.on_shelf(|shelf| shelf.now.notes.values().cloned().collect())
    }
}
