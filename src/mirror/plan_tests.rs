//! What `decide` promises of two whole trees (quality R2): rounds of it, each move done as the hands do it, end with both
//! sides the same or with a listed conflict, lose no version anyone wrote, and come to the same whatever the order.

use std::collections::BTreeSet;

use crate::mirror::plan::{Move, decide, folder, same};
use crate::mirror::scan::Local;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;

/// Triples of one test run.
const TRIPLES: usize = 200_000;
/// Paths of one tree.
const PATHS: usize = 8;
const LIMIT: u64 = 100;

type State = Option<FileState>;

/// splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }
}

fn values() -> Vec<State> {
    let file = |text: &str, mode| {
        Some(FileState {
            hash: ContentHash::of(text.as_bytes()),
            size: text.len() as u64,
            mode,
        })
    };
    vec![
        None,
        file("a", Mode::File),
        file("a", Mode::Executable),
        file("b", Mode::File),
        file("c", Mode::File),
        file("a", Mode::Symlink),
        Some(folder()),
    ]
}

fn standing(state: State) -> Local {
    match state {
        None => Local::Absent,
        Some(state) if state.mode == Mode::Directory => Local::Directory,
        Some(state) => Local::File(state),
    }
}

/// One path on both sides, with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Both {
    base: State,
    here: State,
    there: State,
    /// Theirs, where it is listed as a conflict.
    listed: Option<State>,
    /// Pre-images of either side, and copies of theirs.
    kept: BTreeSet<ContentHash>,
}

impl Both {
    fn keep(&mut self, state: State) {
        self.kept.extend(
            state
                .filter(|state| state.mode != Mode::Directory)
                .map(|state| state.hash),
        );
    }

    /// One decision, done; `false` when nothing was left to do.
    fn step(&mut self) -> bool {
        let before = self.clone();
        match decide(self.base, &standing(self.here), self.there, LIMIT) {
            Move::Agree => {
                self.base = self.there;
                self.listed = None;
            }
            // The other side takes it only over what it was made from.
            Move::Push(ours) => {
                assert!(same(self.there, self.base) && same(ours, self.here));
                self.keep(self.there);
                (self.there, self.base, self.listed) = (ours, ours, None);
            }
            Move::Fetch(theirs) | Move::FetchOverFolder(theirs) | Move::Chmod(theirs) => {
                self.keep(self.here);
                (self.here, self.base, self.listed) = (Some(theirs), self.there, None);
            }
            Move::MakeFolder => {
                self.keep(self.here);
                (self.here, self.base, self.listed) = (Some(folder()), self.there, None);
            }
            Move::Remove => {
                self.keep(self.here);
                (self.here, self.base, self.listed) = (None, None, None);
            }
            Move::Conflict(theirs) => {
                self.keep(theirs);
                self.listed = Some(theirs);
            }
            Move::Refuse(why) => panic!("{why} of {before:?}"),
        }
        *self != before
    }

    fn versions(&self) -> BTreeSet<ContentHash> {
        let states = [self.here, self.there];
        let files = states
            .iter()
            .flatten()
            .filter(|state| state.mode != Mode::Directory);
        files.map(|state| state.hash).collect()
    }

    fn is_over(&self) -> bool {
        same(self.here, self.there) || self.listed.is_some()
    }
}

/// Rounds over all paths in this order, until nothing moves; how many there were.
fn rounds(tree: &mut [Both], order: &[usize]) -> usize {
    let mut rounds = 1;
    while order.iter().filter(|at| tree[**at].step()).count() > 0 {
        rounds += 1;
        assert!(rounds < 100, "it never ends: {tree:?}");
    }
    rounds
}

fn path_of(base: State, here: State, there: State) -> Both {
    Both {
        base,
        here,
        there,
        listed: None,
        kept: BTreeSet::new(),
    }
}

#[test]
fn every_triple_of_values_ends_the_same_or_listed_and_loses_nothing() {
    for base in values() {
        for here in values() {
            for there in values() {
                let begun = path_of(base, here, there);
                let mut both = [begun.clone()];
                assert!(rounds(&mut both, &[0]) <= 5, "{begun:?}");
                let [both] = both;
                assert!(both.is_over(), "{begun:?} {both:?}");
                let all: BTreeSet<_> = both.kept.union(&both.versions()).copied().collect();
                assert!(all.is_superset(&begun.versions()), "{begun:?} {both:?}");
                // A conflict is there only where both wrote, and gives neither up.
                if both.listed.is_some() {
                    assert!(!same(base, here) && !same(base, there) && !same(here, there));
                    assert!(same(both.here, here) && same(both.there, there));
                }
                // Ended either way by the user, it converges too.
                for mine in [true, false] {
                    let mut chosen = both.clone();
                    if let Some(theirs) = chosen.listed.take() {
                        if mine {
                            chosen.base = theirs;
                        } else {
                            chosen.base = chosen.here;
                        }
                    }
                    let mut chosen = [chosen];
                    rounds(&mut chosen, &[0]);
                    assert!(same(chosen[0].here, chosen[0].there), "{chosen:?}");
                }
            }
        }
    }
}

#[test]
fn random_trees_converge_in_any_order_and_lose_no_version() {
    let values = values();
    for seed in 0..(TRIPLES / PATHS) as u64 {
        let mut dice = Dice(seed);
        let begun: Vec<Both> = (0..PATHS)
            .map(|_| {
                let mut value = || values[dice.roll(values.len())];
                path_of(value(), value(), value())
            })
            .collect();
        let mut order: Vec<usize> = (0..PATHS).collect();
        let mut first = begun.clone();
        let needed = rounds(&mut first, &order);
        assert!(needed <= 5, "seed {seed}: {needed} rounds");
        for at in (1..PATHS).rev() {
            order.swap(at, dice.roll(at + 1));
        }
        let mut second = begun.clone();
        rounds(&mut second, &order);
        assert_eq!(first, second, "seed {seed}: the order matters");
        for (begun, ended) in begun.iter().zip(&first) {
            assert!(ended.is_over(), "seed {seed}: {begun:?} {ended:?}");
            let all: BTreeSet<_> = ended.kept.union(&ended.versions()).copied().collect();
            assert!(
                all.is_superset(&begun.versions()),
                "seed {seed}: {begun:?} {ended:?}"
            );
        }
    }
}
