//! Which of several looks at a path is the newest: a look takes its time, and a short one that began later may end first.
//!
//! Pure. Counts beginnings; what began earlier than what is known by now says nothing new, or has to be done again.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::path::RelPath;

/// When something began, among all that began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

/// What a look says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing newer is known.
    Newest,
    /// A look that began later has spoken: it saw whatever made this one begin.
    Overtaken,
    /// A write of ours ended meanwhile: it may have seen what stood there before, or an edit since.
    Unsure,
}

#[derive(Debug, Clone, Copy)]
enum Known {
    Seen(Tick),
    Written(Tick),
}

impl Known {
    fn tick(self) -> Tick {
        match self {
            Self::Seen(tick) | Self::Written(tick) => tick,
        }
    }
}

/// Looks that are under way, and what has been learnt since the oldest of them began.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    clock: u64,
    under_way: BTreeSet<Tick>,
    known: BTreeMap<RelPath, Known>,
    /// When the last look at everything began that has ended.
    whole: Option<Tick>,
}

impl Fresh {
    fn tick(&mut self) -> Tick {
        self.clock += 1;
        Tick(self.clock)
    }

    /// A look begins, at some paths or at everything.
    pub(super) fn begins(&mut self) -> Tick {
        let tick = self.tick();
        self.under_way.insert(tick);
        tick
    }

    /// It has said all that it saw.
    pub(super) fn ends(&mut self, begun: Tick) {
        self.under_way.remove(&begun);
        match self.under_way.first().copied() {
            None => self.known.clear(),
            Some(oldest) => self.known.retain(|_, known| known.tick() > oldest),
        }
    }

    /// It was one at everything.
    pub(super) fn ends_whole(&mut self, begun: Tick) {
        self.whole = self.whole.max(Some(begun));
        self.ends(begun);
    }

    pub(super) fn says(&self, path: &RelPath, begun: Tick) -> News {
        match self.known.get(path) {
            Some(Known::Seen(at)) if *at > begun => News::Overtaken,
            Some(Known::Written(at)) if *at > begun => News::Unsure,
            Some(_) | None if self.whole > Some(begun) => News::Overtaken,
            Some(_) | None => News::Newest,
        }
    }

    /// What a look that began then saw of it is what is known now.
    pub(super) fn seen(&mut self, path: &RelPath, begun: Tick) {
        if self.under_way.len() > 1 {
            self.known.insert(path.clone(), Known::Seen(begun));
        }
    }

    /// A job of ours has done with it.
    pub(super) fn written(&mut self, path: &RelPath) {
        if !self.under_way.is_empty() {
            let tick = self.tick();
            self.known.insert(path.clone(), Known::Written(tick));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> RelPath {
        path.parse().unwrap()
    }

    #[test]
    fn a_look_that_began_later_has_the_last_word() {
        let mut fresh = Fresh::default();
        let (slow, quick) = (fresh.begins(), fresh.begins());
        assert_eq!(fresh.says(&path("a"), quick), News::Newest);
        fresh.seen(&path("a"), quick);
        fresh.ends(quick);
        assert_eq!(fresh.says(&path("a"), slow), News::Overtaken);
        assert_eq!(fresh.says(&path("b"), slow), News::Newest);
        fresh.ends(slow);
        let next = fresh.begins();
        assert_eq!(fresh.says(&path("a"), next), News::Newest);
    }

    #[test]
    fn what_was_written_while_it_was_looked_at_is_looked_at_again() {
        let mut fresh = Fresh::default();
        let look = fresh.begins();
        fresh.written(&path("a"));
        assert_eq!(fresh.says(&path("a"), look), News::Unsure);
        let again = fresh.begins();
        fresh.ends(look);
        assert_eq!(fresh.says(&path("a"), again), News::Newest);
        fresh.seen(&path("a"), again);
        fresh.ends(again);
        assert!(fresh.known.is_empty(), "nothing is remembered for ever");
    }

    #[test]
    fn a_look_at_everything_overtakes_all_that_began_before_it() {
        let mut fresh = Fresh::default();
        let (look, scan) = (fresh.begins(), fresh.begins());
        let later = fresh.begins();
        fresh.seen(&path("a"), later);
        assert_eq!(fresh.says(&path("a"), scan), News::Overtaken);
        assert_eq!(fresh.says(&path("b"), scan), News::Newest);
        fresh.ends_whole(scan);
        assert_eq!(fresh.says(&path("b"), look), News::Overtaken);
        assert_eq!(fresh.says(&path("b"), later), News::Newest);
    }
}
