//! Remote changes that wait to be decided: in journal order, of each path only the newest.
//!
//! Pure. Knows which entries have come and which are decided, and so how far the journal is settled.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::mirror::base::{Fact, Known, Origin, Passed, Waiting};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// One change to decide, with the older ones of its path that it has overtaken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) seq: Seq,
    pub(crate) change: Waiting,
    pub(crate) overtaken: Vec<(Seq, Waiting)>,
    /// It was decided before and could not be done: it waits for nothing but its turn.
    pub(crate) again: bool,
    /// What of earlier turns was held here until this came.
    pub(crate) passed: Vec<Passed>,
}

/// Turns that a write may have passed over and still be told apart by.
const PASSED: usize = 64;

impl Taken {
    /// One change that has overtaken nothing.
    pub(crate) fn of(seq: Seq, change: Waiting) -> Self {
        Self {
            seq,
            change,
            overtaken: Vec::new(),
            again: false,
            passed: Vec::new(),
        }
    }

    /// That it, and what it has overtaken, need not be done any more.
    pub(crate) fn are_decided(&self) -> impl Iterator<Item = Fact> + '_ {
        let seqs = self.overtaken.iter().map(|(seq, _)| *seq);
        let seqs = seqs.chain([self.seq]);
        seqs.map(|seq| Fact::Decided(seq, self.change.path.clone()))
    }

    /// Whether it is a delete that nobody has judged before.
    fn is_new_delete(&self) -> bool {
        self.change.now.is_none() && !self.again
    }

    /// Where a write of it comes from.
    pub(crate) fn origin(&self) -> Origin {
        let mut passed: Vec<Passed> = Vec::new();
        let overtaken = self.overtaken.iter();
        let overtaken = overtaken.map(|(seq, change)| Passed::of(*seq, change));
        for one in self.passed.iter().cloned().chain(overtaken) {
            // Of a turn only what it left.
            passed.pop_if(|last| (last.turn, last.person) == (one.turn, one.person));
            passed.push(one);
        }
        let person = self.change.command.is_some();
        passed.pop_if(|last| (last.turn, last.person) == (self.change.turn, person));
        passed.drain(..passed.len().saturating_sub(PASSED));
        Origin {
            seq: self.seq,
            turn: self.change.turn,
            tool_call: self.change.tool_call.clone(),
            person,
            undid: None,
            passed,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: BTreeMap<(Seq, RelPath), Taken>,
    newest: HashMap<RelPath, Seq>,
    undecided: BTreeSet<(Seq, RelPath)>,
    deletes: usize,
    seen: Seq,
    reached: Seq,
}

impl Inbox {
    /// As it was when it was last written down.
    pub(crate) fn restore(known: &Known) -> Self {
        let mut inbox = Self::default();
        for ((seq, _), change) in &known.waiting {
            inbox.put(*seq, change.clone());
        }
        inbox.seen = known.seen;
        inbox.reached = known.reached;
        inbox
    }

    /// Takes an entry of the journal; `false` when it has come before.
    pub(crate) fn arrive(&mut self, seq: Seq, change: Waiting) -> bool {
        if seq <= self.seen {
            return false;
        }
        self.seen = seq;
        self.put(seq, change);
        true
    }

    /// Takes note of an entry that needs no decision; `false` when it has come before.
    pub(crate) fn pass(&mut self, seq: Seq) -> bool {
        let new = seq > self.seen;
        self.seen = self.seen.max(seq);
        new
    }

    /// The newest entry that has come.
    pub(crate) fn seen(&self) -> Seq {
        self.seen
    }

    /// Whether a change of this path waits to be decided.
    pub(crate) fn waits(&self, path: &RelPath) -> bool {
        self.newest.contains_key(path)
    }

    /// Puts in what no entry of its own announced (the first base).
    pub(crate) fn put(&mut self, seq: Seq, change: Waiting) {
        self.put_back(Taken::of(seq, change));
    }

    /// Puts in a change that was held, to be tried again. It counts as decided.
    pub(crate) fn put_again(&mut self, seq: Seq, change: Waiting, passed: Vec<Passed>) {
        self.put_back(Taken {
            again: true,
            passed,
            ..Taken::of(seq, change)
        });
    }

    /// Takes out what was put in to be tried again.
    pub(crate) fn drop_again(&mut self, path: &RelPath) {
        let at = self.newest.get(path).copied();
        let at = at.filter(|at| {
            let taken = self.waiting.get(&(*at, path.clone()));
            taken.is_some_and(|taken| taken.again)
        });
        if let Some(at) = at {
            self.remove(at, path);
        }
    }

    /// Puts in a change, also one that was taken and could not be decided. The newest of its path stays in front.
    pub(crate) fn put_back(&mut self, mut taken: Taken) {
        let path = taken.change.path.clone();
        if !taken.again {
            self.undecided.insert((taken.seq, path.clone()));
        }
        if let Some(other) = self
            .newest
            .get(&path)
            .copied()
            .and_then(|at| self.remove(at, &path))
        {
            let (newer, older) = if other.seq > taken.seq || taken.again {
                (other, taken)
            } else {
                (taken, other)
            };
            taken = newer;
            taken.overtaken.extend(older.overtaken);
            // What was held is told and counted already.
            if !older.again {
                taken.overtaken.push((older.seq, older.change));
            }
        }
        self.deletes += usize::from(taken.is_new_delete());
        self.newest.insert(path.clone(), taken.seq);
        self.waiting.insert((taken.seq, path), taken);
    }

    /// The journal has been read up to here.
    pub(crate) fn reach(&mut self, seq: Seq) {
        self.reached = self.reached.max(seq);
    }

    pub(crate) fn reached(&self) -> Seq {
        self.reached
    }

    /// The journal ends here: lines with these numbers will come again and say something else. What waits keeps its order
    /// before all of them. Comes back with what is to be written down.
    pub(crate) fn rewind(&mut self, last: Seq) -> Vec<Fact> {
        self.seen = self.seen.min(last);
        self.reached = self.reached.min(last);
        let late = self.waiting.keys().filter(|(seq, _)| *seq > last);
        let late: Vec<(Seq, RelPath)> = late.cloned().collect();
        let mut facts = Vec::new();
        for (seq, path) in late {
            let Some(mut taken) = self.remove(seq, &path) else {
                continue;
            };
            let all = taken.overtaken.iter().map(|(seq, _)| *seq).chain([seq]);
            for seq in all.filter(|seq| *seq >= last) {
                self.undecided.remove(&(seq, path.clone()));
                facts.push(Fact::Decided(seq, path.clone()));
            }
            taken.overtaken.retain(|(seq, _)| *seq < last);
            taken.seq = last;
            if !taken.again {
                facts.push(Fact::Waiting(last, taken.change.clone()));
            }
            self.put_back(taken);
        }
        facts
    }

    /// The oldest change, unless it must wait for one that is being done above or below it.
    pub(crate) fn peek(&self, busy: &BTreeMap<RelPath, Seq>) -> Option<&Taken> {
        let taken = self.waiting.values().next()?;
        let path = taken.change.path.as_str();
        let related = |other: &RelPath| {
            let other = other.as_str();
            let below =
                |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
            path == other || below(path, other) || below(other, path)
        };
        (!busy.keys().any(related)).then_some(taken)
    }

    /// Takes the oldest change out to be decided.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let (seq, path) = self.waiting.keys().next().cloned()?;
        self.remove(seq, &path)
    }

    /// What was taken is decided, with all that it had overtaken.
    pub(crate) fn decided(&mut self, taken: &Taken) {
        let path = &taken.change.path;
        let seqs = taken
            .overtaken
            .iter()
            .map(|(seq, _)| *seq)
            .chain([taken.seq]);
        for seq in seqs {
            self.undecided.remove(&(seq, path.clone()));
        }
    }

    /// Every entry up to this one is decided.
    pub(crate) fn settled(&self) -> Seq {
        match self.undecided.first() {
            Some((seq, _)) => Seq(seq.0.saturating_sub(1)),
            None => self.seen.max(self.reached),
        }
    }

    /// Changes that are not decided.
    pub(crate) fn len(&self) -> usize {
        self.undecided.len()
    }

    /// Deletes among those that wait.
    pub(crate) fn deletes(&self) -> usize {
        self.deletes
    }

    /// All that waits, the oldest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Taken> {
        self.waiting.values()
    }

    /// The deletes that wait, the oldest first.
    pub(crate) fn deletes_waiting(&self) -> impl Iterator<Item = &Taken> {
        let waiting = self.waiting.values();
        waiting.filter(|taken| taken.is_new_delete())
    }

    /// Marks the deletes that wait as meant; the marked ones, to be written down.
    pub(crate) fn accept_deletes(&mut self) -> Vec<(Seq, Waiting)> {
        let deletes = self
            .waiting
            .values_mut()
            .filter(|taken| taken.is_new_delete());
        deletes
            .map(|taken| {
                taken.change.accepted = true;
                (taken.seq, taken.change.clone())
            })
            .collect()
    }

    fn remove(&mut self, seq: Seq, path: &RelPath) -> Option<Taken> {
        let taken = self.waiting.remove(&(seq, path.clone()))?;
        self.newest.remove(path);
        self.deletes -= usize::from(taken.is_new_delete());
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::disk::state_of;
    use crate::protocol::file::{ChangeKind, Mode};

    fn change(path: &str, text: Option<&str>) -> Waiting {
        let now = text.map(|text| state_of(text.as_bytes(), Mode::File));
        let kind = match now {
            Some(_) => ChangeKind::Modified,
            None => ChangeKind::Deleted,
        };
        Waiting::of_nobody(kind, path.parse().unwrap(), now)
    }

    fn busy(paths: &[&str]) -> BTreeMap<RelPath, Seq> {
        paths
            .iter()
            .map(|path| (path.parse().unwrap(), Seq(1)))
            .collect()
    }

    #[test]
    fn the_newest_of_a_path_overtakes_the_older_and_settles_them_all() {
        let mut inbox = Inbox::default();
        for n in 1..=1000 {
            assert!(inbox.arrive(Seq(n), change("a", Some(&n.to_string()))));
        }
        assert_eq!(inbox.settled(), Seq(0));
        let taken = inbox.take().unwrap();
        assert_eq!((taken.seq, taken.overtaken.len()), (Seq(1000), 999));
        assert_eq!(inbox.take(), None);
        inbox.decided(&taken);
        assert_eq!(inbox.settled(), Seq(1000));
    }

    #[test]
    fn settled_stops_before_the_oldest_that_is_not_decided() {
        let mut inbox = Inbox::default();
        for (n, path) in [(3, "a"), (5, "b"), (6, "c")] {
            inbox.arrive(Seq(n), change(path, Some("x")));
        }
        inbox.reach(Seq(9));
        let a = inbox.take().unwrap();
        let b = inbox.take().unwrap();
        assert_eq!(inbox.settled(), Seq(2));
        inbox.decided(&b);
        assert_eq!(inbox.settled(), Seq(2));
        inbox.decided(&a);
        assert_eq!(inbox.settled(), Seq(5));
        let c = inbox.take().unwrap();
        inbox.decided(&c);
        assert_eq!(inbox.settled(), Seq(9));
    }

    #[test]
    fn an_entry_that_comes_twice_counts_once() {
        let mut inbox = Inbox::default();
        assert!(inbox.arrive(Seq(4), change("a", Some("x"))));
        assert!(!inbox.arrive(Seq(4), change("a", Some("x"))));
        assert!(!inbox.arrive(Seq(2), change("b", Some("x"))));
        assert_eq!(inbox.len(), 1);
    }

    #[test]
    fn a_change_waits_for_one_above_below_or_at_its_path() {
        let mut inbox = Inbox::default();
        inbox.arrive(Seq(1), change("d/x", Some("x")));
        for (paths, free) in [
            (["d"], false),
            (["d/x"], false),
            (["d/x/y"], false),
            (["d/xy"], true),
            (["e"], true),
        ] {
            assert_eq!(inbox.peek(&busy(&paths)).is_some(), free, "{paths:?}");
        }
    }

    #[test]
    fn what_is_put_back_stays_behind_a_newer_one() {
        let mut inbox = Inbox::default();
        inbox.arrive(Seq(1), change("a", Some("old")));
        let old = inbox.take().unwrap();
        inbox.arrive(Seq(2), change("a", Some("new")));
        inbox.put_back(old);
        let taken = inbox.take().unwrap();
        assert_eq!((taken.seq, taken.overtaken.len()), (Seq(2), 1));
        inbox.decided(&taken);
        assert_eq!((inbox.len(), inbox.settled()), (0, Seq(2)));
    }

    #[test]
    fn what_is_tried_again_is_decided_already_and_gives_way_to_a_newer_one() {
        let mut inbox = Inbox::default();
        inbox.arrive(Seq(1), change("a", None));
        let held = inbox.take().unwrap();
        inbox.decided(&held);
        inbox.arrive(Seq(2), change("b", Some("x")));
        inbox.put_again(held.seq, held.change.clone(), Vec::new());
        assert_eq!(
            (inbox.len(), inbox.deletes(), inbox.settled()),
            (1, 0, Seq(1))
        );
        assert!(inbox.waits(&held.change.path));
        let facts = inbox.rewind(Seq::ZERO);
        let again = Fact::Waiting(Seq(0), change("b", Some("x")));
        assert_eq!(facts.last(), Some(&again));
        let waiting = facts
            .iter()
            .filter(|fact| matches!(fact, Fact::Waiting(..)));
        assert_eq!(waiting.count(), 1);
        inbox.drop_again(&held.change.path);
        inbox.drop_again(&"b".parse().unwrap());
        assert!(!inbox.waits(&held.change.path) && inbox.len() == 1);
        inbox.put_again(Seq(5), held.change.clone(), Vec::new());
        inbox.arrive(Seq(6), change("a", Some("new")));
        assert_eq!(inbox.take().unwrap().change.path.as_str(), "b");
        let newer = inbox.take().unwrap();
        assert_eq!(
            (newer.seq, newer.overtaken.len(), newer.again),
            (Seq(6), 0, false)
        );
        assert_eq!(inbox.take(), None);
        // Also where a rewind gave both the same number.
        inbox.put(Seq(6), change("a", Some("new")));
        inbox.put_again(Seq(6), held.change, Vec::new());
        let newer = inbox.take().unwrap();
        assert_eq!((newer.again, newer.change.now.is_some()), (false, true));
    }

    #[test]
    fn deletes_are_counted_as_they_come_and_go() {
        let mut inbox = Inbox::default();
        inbox.arrive(Seq(1), change("a", None));
        inbox.arrive(Seq(2), change("b", None));
        inbox.arrive(Seq(3), change("a", Some("back")));
        assert_eq!(inbox.deletes(), 1);
        assert_eq!(inbox.accept_deletes().len(), 1);
        assert!(inbox.take().unwrap().change.accepted);
        assert_eq!(inbox.deletes(), 0);
    }
}
