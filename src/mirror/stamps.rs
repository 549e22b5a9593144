//! Hashes of files as they were, by what the file system says of them, so that what has not changed is not read again.
//!
//! A stamp is trusted where it can only stand for the bytes that were read: the file was old by the time it was looked at,
//! and the machine has not gone down since. Whoever doubts reads.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mirror::ground::{self, Stat};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// A write within this time of the look could have left size and times as they were (coarse clocks of file systems).
const RACY: i128 = 2_000_000_000;
/// Above this it starts anew, whatever the tree is like.
const MOST: usize = 1_000_000;
/// New stamps that are worth writing down.
const RIPE: usize = 1000;
/// Bytes of a stamp that is written down.
const LENGTH: usize = 80;

/// What is known of one path. What a write changes, and what a file put in its place has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970.
    modified: i64,
    changed: i64,
}

impl Stamp {
    /// `None` where the times are none that can be.
    fn of(stat: &Stat) -> Option<Self> {
        Some(Self {
            device: stat.device,
            inode: stat.inode,
            size: stat.size,
            modified: stat.modified.try_into().ok()?,
            changed: stat.changed.try_into().ok()?,
        })
    }

    /// Whether a look at this time can have missed no write.
    fn is_old(&self, looked: i128) -> bool {
        i128::from(self.modified.max(self.changed)) + RACY < looked
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    stamp: Stamp,
    hash: ContentHash,
    /// The whole scan that met it last.
    round: u32,
}

#[derive(Debug, Default)]
struct Known {
    /// By the hash of the path: two paths of the same one still have their own stamps.
    entries: HashMap<u64, Entry>,
    round: u32,
    /// Parts that are no longer as they were written down.
    touched: BTreeSet<u8>,
}

/// One entry per path, so that it is as large as the tree and no larger.
#[derive(Debug, Default)]
pub struct Cache {
    known: Mutex<Known>,
    /// Contents that were read since this began.
    read: AtomicU64,
    /// Stamps that are not written down.
    new: AtomicUsize,
    /// Files look so much older than they are.
    #[cfg(test)]
    ahead: i128,
}

fn key(path: &RelPath) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.as_str().hash(&mut hasher);
    hasher.finish()
}

/// The part that a path is written down in.
fn part(key: u64) -> u8 {
    key.to_be_bytes()[0]
}

impl Cache {
    /// For tests, whose files are young.
    #[cfg(test)]
    pub(crate) fn ahead(seconds: i128) -> Self {
        Self {
            ahead: seconds * 1_000_000_000,
            ..Self::default()
        }
    }

    /// Files whose contents had to be read.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// When a look begins that is to be remembered.
    pub(super) fn now(&self) -> i128 {
        let now = i128::try_from(ground::now().as_nanos()).unwrap_or(i128::MAX);
        #[cfg(test)]
        let now = now + self.ahead;
        now
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hashes of files that still are as they were, in order.
    pub(super) fn get_all<'a>(
        &self,
        files: impl Iterator<Item = Option<(&'a RelPath, &'a Stat)>>,
    ) -> Vec<Option<ContentHash>> {
        let mut known = self.lock();
        let round = known.round;
        let mut get = |path: &RelPath, stat: &Stat| {
            let entry = known.entries.get_mut(&key(path))?;
            entry.round = round;
            (Stamp::of(stat) == Some(entry.stamp)).then_some(entry.hash)
        };
        files
            .map(|file| file.and_then(|(path, stat)| get(path, stat)))
            .collect()
    }

    pub(super) fn get(&self, path: &RelPath, stat: &Stat) -> Option<ContentHash> {
        self.get_all([Some((path, stat))].into_iter()).pop()?
    }

    /// A content that was read by somebody who began to look then. What was young is not remembered: it may change
    /// again without a trace.
    pub(super) fn put(&self, path: &RelPath, stat: &Stat, hash: ContentHash, looked: i128) {
        self.read.fetch_add(1, Ordering::Relaxed);
        let stamp = Stamp::of(stat).filter(|stamp| stamp.is_old(looked));
        let Some(stamp) = stamp else {
            return self.forget(path);
        };
        let mut known = self.lock();
        if known.entries.len() >= MOST {
            known.entries.clear();
        }
        let (key, round) = (key(path), known.round);
        let entry = Entry { stamp, hash, round };
        known.entries.insert(key, entry);
        known.touched.insert(part(key));
        self.new.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing stands there, or nothing that can be remembered.
    pub(super) fn forget(&self, path: &RelPath) {
        let key = key(path);
        let mut known = self.lock();
        if known.entries.remove(&key).is_some() {
            known.touched.insert(part(key));
        }
    }

    /// A whole scan begins.
    pub(super) fn begin(&self) {
        let mut known = self.lock();
        known.round = known.round.wrapping_add(1);
    }

    /// What it did not meet is gone.
    pub(super) fn end(&self) {
        let known = &mut *self.lock();
        let (round, touched) = (known.round, &mut known.touched);
        known.entries.retain(|key, entry| {
            let is_met = entry.round == round;
            if !is_met {
                touched.insert(part(*key));
            }
            is_met
        });
    }

    /// Whether enough is new to be written down before the end.
    pub(super) fn is_ripe(&self) -> bool {
        self.new.load(Ordering::Relaxed) >= RIPE
    }

    /// What is to be written down: whole parts, in the place of what was written there before.
    pub(super) fn changed(&self) -> Vec<(u8, Vec<u8>)> {
        let mut known = self.lock();
        let touched = std::mem::take(&mut known.touched);
        if touched.is_empty() {
            return Vec::new();
        }
        self.new.store(0, Ordering::Relaxed);
        let mut parts: HashMap<u8, Vec<u8>> =
            touched.iter().map(|part| (*part, Vec::new())).collect();
        for (key, entry) in &known.entries {
            if let Some(bytes) = parts.get_mut(&part(*key)) {
                write(*key, entry, bytes);
            }
        }
        parts.into_iter().collect()
    }

    /// What was written down in this life of the machine. Bytes that are no stamps are passed over: they are read anew.
    pub(super) fn restore(&self, part: &[u8]) {
        let (stamps, _) = part.as_chunks::<LENGTH>();
        let mut known = self.lock();
        let round = known.round;
        let entries = stamps.iter().map(|stamp| read(stamp, round));
        known.entries.extend(entries);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }
}

fn write(key: u64, entry: &Entry, into: &mut Vec<u8>) {
    let Stamp {
        device,
        inode,
        size,
        modified,
        changed,
    } = entry.stamp;
    let times = [modified.cast_unsigned(), changed.cast_unsigned()];
    for number in [key, device, inode, size].into_iter().chain(times) {
        into.extend(number.to_le_bytes());
    }
    into.extend(entry.hash.as_bytes());
}

fn read(bytes: &[u8; LENGTH], round: u32) -> (u64, Entry) {
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[8 * at..8 * (at + 1)]);
        u64::from_le_bytes(number)
    };
    let mut hash = [0; 32];
    hash.copy_from_slice(&bytes[48..]);
    let stamp = Stamp {
        device: number(1),
        inode: number(2),
        size: number(3),
        modified: number(4).cast_signed(),
        changed: number(5).cast_signed(),
    };
    let hash = ContentHash::from(hash);
    (number(0), Entry { stamp, hash, round })
}
