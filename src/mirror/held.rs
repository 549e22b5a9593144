//! Changes of theirs that could not be put here: why, and when each is tried again.
//!
//! Pure: times come in, times go out. What is held is written down in `base`; here stands only when its next try is, which
//! a restart knows without being told: at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::mirror::base::{Passed, Waiting};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// The first try comes after so long, and each further one after twice as long,
const FIRST: Duration = Duration::from_secs(1);
/// up to this.
const LONGEST: Duration = Duration::from_secs(60);
/// What lasts is tried when something changes near it, but not more often than this: a try may itself change something.
const NEAR: Duration = Duration::from_secs(5);

/// Why a change of theirs does not stand here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hindrance {
    pub(crate) why: String,
    /// It does not go by itself: something here has to change, or somebody has to ask.
    pub(crate) lasting: bool,
    /// Of what is too large, in bytes.
    #[serde(default)]
    pub(crate) size: Option<u64>,
}

impl Hindrance {
    pub(crate) fn passing(why: String) -> Self {
        Self {
            why,
            lasting: false,
            size: None,
        }
    }

    pub(crate) fn lasting(why: String) -> Self {
        Self {
            lasting: true,
            ..Self::passing(why)
        }
    }
}

/// A change of theirs that could not be put here, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldBack {
    pub(crate) seq: Seq,
    pub(crate) change: Waiting,
    pub(crate) hindrance: Hindrance,
    /// What earlier turns had left there meanwhile.
    #[serde(default)]
    pub(crate) passed: Vec<Passed>,
}

/// One moment, on the clock that goes on evenly and on the one people read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) at: Instant,
    pub(crate) clock: Timestamp,
}

impl Now {
    fn after(self, wait: Duration) -> Due {
        let wait_on_clock = jiff::SignedDuration::try_from(wait).unwrap_or_default();
        Due {
            at: self.at + wait,
            clock: self.clock.saturating_add(wait_on_clock).ok(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    clock: Option<Timestamp>,
}

/// When the next try of one path is.
#[derive(Debug)]
struct Retry {
    lasting: bool,
    /// Since it is held.
    tries: u32,
    /// The last try failed then.
    failed: Option<Instant>,
    due: Option<Due>,
    under_way: bool,
    /// Something changed near it while it was being tried.
    nudged: bool,
}

impl Retry {
    fn wait(&self) -> Duration {
        (FIRST * 2_u32.saturating_pow(self.tries.min(6))).min(LONGEST)
    }

    fn nudge(&mut self, now: Now) {
        if self.under_way {
            self.nudged = true;
            return;
        }
        let rest = self.failed.map_or(Duration::ZERO, |failed| {
            (failed + self.wait().min(NEAR)).saturating_duration_since(now.at)
        });
        self.by(now.after(rest));
    }

    /// Not later than this.
    fn by(&mut self, due: Due) {
        if self.due.is_none_or(|other| due.at < other.at) {
            self.due = Some(due);
        }
    }
}

/// What is held and when each is tried again.
#[derive(Debug, Default)]
pub(crate) struct Retries(BTreeMap<RelPath, Retry>);

impl Retries {
    /// After a start: each is tried at once.
    pub(crate) fn restore(held: &BTreeMap<RelPath, HeldBack>, now: Now) -> Self {
        let retry = |held: &HeldBack| Retry {
            lasting: held.hindrance.lasting,
            tries: 0,
            failed: None,
            due: Some(now.after(Duration::ZERO)),
            under_way: false,
            nudged: false,
        };
        Self(
            held.iter()
                .map(|(path, held)| (path.clone(), retry(held)))
                .collect(),
        )
    }

    /// A change of this path could not be done: its first time, or once more. Everything is tried once, soon: what was in
    /// the way may have been there for a moment.
    pub(crate) fn failed(&mut self, path: &RelPath, lasting: bool, once_more: bool, now: Now) {
        let old = self.0.remove(path).filter(|_| once_more);
        let (tries, nudged) = old.map_or((0, false), |old| (old.tries + 1, old.nudged));
        let mut retry = Retry {
            lasting,
            tries,
            failed: Some(now.at),
            due: None,
            under_way: false,
            nudged: false,
        };
        if !lasting || tries == 0 {
            retry.due = Some(now.after(retry.wait()));
        }
        if nudged {
            retry.nudge(now);
        }
        self.0.insert(path.clone(), retry);
    }

    /// It is held no longer.
    pub(crate) fn gone(&mut self, path: &RelPath) {
        self.0.remove(path);
    }

    /// Something changed at these paths: what is held at, above or below one of them is tried again.
    pub(crate) fn near(&mut self, changed: &BTreeSet<RelPath>, now: Now) {
        for (path, retry) in &mut self.0 {
            if is_near(path, changed) {
                retry.nudge(now);
            }
        }
    }

    /// Anything may have changed.
    pub(crate) fn near_all(&mut self, now: Now) {
        self.0.values_mut().for_each(|retry| retry.nudge(now));
    }

    /// Somebody asks: these are tried at once, as if it were for the first time.
    pub(crate) fn ask<'a>(&mut self, paths: impl IntoIterator<Item = &'a RelPath>, now: Now) {
        for path in paths {
            if let Some(retry) = self.0.get_mut(path).filter(|retry| !retry.under_way) {
                retry.tries = 0;
                retry.by(now.after(Duration::ZERO));
            }
        }
    }

    /// The paths whose time has come.
    pub(crate) fn due(&self, now: Instant) -> Vec<RelPath> {
        let due = |retry: &Retry| !retry.under_way && retry.due.is_some_and(|due| due.at <= now);
        let due = self.0.iter().filter(|(_, retry)| due(retry));
        due.map(|(path, _)| path.clone()).collect()
    }

    /// When the next of them is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let waiting = self.0.values().filter(|retry| !retry.under_way);
        waiting.filter_map(|retry| Some(retry.due?.at)).min()
    }

    /// It is being tried.
    pub(crate) fn begun(&mut self, path: &RelPath) {
        if let Some(retry) = self.0.get_mut(path) {
            retry.under_way = true;
            retry.due = None;
        }
    }

    /// Something else has it just now.
    pub(crate) fn later(&mut self, path: &RelPath, now: Now) {
        if let Some(retry) = self.0.get_mut(path) {
            retry.due = Some(now.after(FIRST));
        }
    }

    /// It waits for no turn any more.
    pub(crate) fn recalled(&mut self, path: &RelPath) {
        if let Some(retry) = self.0.get_mut(path) {
            retry.under_way = false;
        }
    }

    /// How often it was tried since it is held here.
    pub(crate) fn tries(&self, path: &RelPath) -> u32 {
        self.0.get(path).map_or(0, |retry| retry.tries)
    }

    /// When it is tried by itself, for people; `None` where something has to change first.
    pub(crate) fn next_try(&self, path: &RelPath) -> Option<Timestamp> {
        let retry = self.0.get(path).filter(|retry| !retry.lasting)?;
        retry.due?.clock
    }
}

/// Whether this path, one above it or one below it is among these.
fn is_near(path: &RelPath, all: &BTreeSet<RelPath>) -> bool {
    let start = format!("{path}/");
    let mut above = std::iter::successors(Some(path.clone()), RelPath::parent);
    let mut from = all.range(path.clone()..).map(RelPath::as_str);
    above.any(|at| all.contains(&at))
        || from
            .by_ref()
            .take_while(|at| at.starts_with(path.as_str()))
            .any(|at| at.starts_with(&start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    fn now() -> Now {
        Now {
            at: Instant::now(),
            clock: Timestamp::UNIX_EPOCH,
        }
    }

    impl Now {
        fn plus(self, millis: u64) -> Self {
            let due = self.after(Duration::from_millis(millis));
            Self {
                at: due.at,
                clock: due.clock.unwrap(),
            }
        }
    }

    #[test]
    fn what_passes_is_tried_after_a_wait_that_doubles_up_to_a_minute() {
        let (mut retries, mut now, at) = (Retries::default(), now(), path("a"));
        retries.failed(&at, false, false, now);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(
                retries.next(),
                Some(now.at + Duration::from_secs(seconds)),
                "{seconds}"
            );
            assert_eq!(retries.due(now.plus(seconds * 1000 - 1).at), []);
            let clock = now.plus(seconds * 1000).clock;
            assert_eq!(retries.next_try(&at), Some(clock));
            now = now.plus(seconds * 1000);
            assert_eq!(retries.due(now.at), std::slice::from_ref(&at));
            retries.begun(&at);
            assert_eq!((retries.due(now.at), retries.next()), (vec![], None));
            retries.failed(&at, false, true, now);
        }
        assert_eq!(retries.tries(&at), 8);
        // Another change of the path begins anew.
        retries.failed(&at, false, false, now);
        assert_eq!(
            (retries.tries(&at), retries.next()),
            (0, Some(now.plus(1000).at))
        );
        retries.gone(&at);
        assert_eq!(retries.next(), None);
    }

    #[test]
    fn what_lasts_is_tried_once_and_then_when_something_changes_near_it() {
        for (changed, is_tried) in [
            ("d/x", true),
            ("d", true),
            ("d/x/y/z", true),
            ("d/xy", false),
            ("e", false),
        ] {
            let (mut retries, now, at) = (Retries::default(), now(), path("d/x"));
            retries.failed(&at, true, false, now);
            assert_eq!(retries.next(), Some(now.plus(1000).at));
            retries.begun(&at);
            let now = now.plus(1000);
            retries.failed(&at, true, true, now);
            assert_eq!((retries.next(), retries.next_try(&at)), (None, None));
            let now = now.plus(60_000);
            retries.near(&[path(changed)].into(), now);
            let due = retries.due(now.at);
            assert_eq!(due, if is_tried { vec![at] } else { vec![] }, "{changed}");
        }
    }

    #[test]
    fn tries_that_change_something_near_one_another_do_not_go_round_quickly() {
        let (mut retries, mut now) = (Retries::default(), now());
        let (one, other) = (path("a/b"), path("a/b/x"));
        for at in [&one, &other] {
            retries.failed(at, true, false, now);
        }
        let mut count = 0;
        let end = now.plus(600_000).at;
        while let Some(next) = retries.next().filter(|next| *next < end) {
            now = now.plus(u64::try_from((next - now.at).as_millis()).unwrap());
            for at in retries.due(now.at) {
                retries.begun(&at);
                // Whatever it does is seen, while it is done and afterwards.
                retries.near(&[at.clone()].into(), now);
                retries.failed(&at, true, true, now);
                retries.near(&[at].into(), now);
                count += 1;
            }
        }
        assert!(count < 300, "{count} tries in ten minutes");
    }

    #[test]
    fn who_asks_and_who_starts_does_not_wait() {
        let (mut retries, now) = (Retries::default(), now());
        let (one, other) = (path("a"), path("b"));
        for at in [&one, &other] {
            retries.failed(at, true, false, now);
            retries.failed(at, true, true, now);
        }
        retries.ask([&one], now);
        assert_eq!(retries.due(now.at), std::slice::from_ref(&one));
        retries.near_all(now.plus(NEAR.as_secs() * 1000));
        assert_eq!(retries.due(now.plus(5000).at), [one, other]);
    }
}
