//! A journal that ends earlier than what was read of it, or says something else in a line that was read: an older copy has
//! been put in its place.
//!
//! What was decided stays decided, and what both sides had is still what they had: only what the journal says of it has
//! changed. So the mirror listens from the new end on, keeps what waits and what is on its way, and compares the whole of
//! what the journal says now with the base. Where they differ the other side is asked: it is offered what both had, and
//! takes it or says what stands there. Pure but for what it orders.

use std::collections::{BTreeMap, BTreeSet};

use crate::mirror::actor::Worker;
use crate::mirror::base::{Fact, Waiting};
use crate::mirror::plan::same;
use crate::mirror::worker::Report;
use crate::plant::planted;
use crate::protocol::file::{ChangeKind, FileManifest, FileState, ManifestFile, Mode};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// What the journal says since it is read anew.
#[derive(Debug)]
pub(super) struct Rewound {
    last: Seq,
    /// Read again up to here.
    read: Seq,
    /// It is read from its first line on.
    whole: bool,
    /// What the run began with.
    seed: Option<BTreeMap<RelPath, FileState>>,
    told: BTreeMap<RelPath, (Seq, Option<FileState>)>,
}

impl Rewound {
    fn is_read(&self) -> bool {
        self.read >= self.last && self.seed.is_some()
    }

    /// The paths of which the journal does not say what both sides had.
    fn differs(&self, base: &BTreeMap<RelPath, FileState>) -> Vec<(RelPath, Option<FileState>)> {
        let seed = self.seed.as_ref();
        let says = |path: &RelPath| match self.told.get(path) {
            Some((_, state)) => *state,
            None => seed.and_then(|seed| seed.get(path)).copied(),
        };
        let seeded = seed.into_iter().flat_map(BTreeMap::keys);
        let paths: BTreeSet<&RelPath> = base.keys().chain(self.told.keys()).chain(seeded).collect();
        let paths = paths.into_iter().map(|path| (path, says(path)));
        paths
            .filter(|(path, says)| {
                let unread = !self.whole && !self.told.contains_key(*path);
                unread || !same(*says, base.get(*path).copied())
            })
            .map(|(path, says)| (path.clone(), says))
            .collect()
    }
}

impl Worker {
    /// The journal ends at `last`, and is read on behind `from`. It says the `same` as before, or something else.
    pub(super) async fn rewound(
        &mut self,
        (last, same): (Seq, bool),
        from: Seq,
        facts: &mut Vec<Fact>,
    ) {
        let seen = self.inbox.seen();
        if (last >= seen && same) || planted!(DeafAfterRewind) {
            return;
        }
        let what = match last < seen {
            true => format!("ends at line {last}"),
            false => "is another one".to_owned(),
        };
        self.note(format!(
            "the endpoint's journal {what}; the mirror had read up to line {seen}: what it says now is compared with what both sides had"
        ));
        // Behind that its lines are new.
        let last = last.min(seen);
        facts.extend(self.inbox.rewind(last));
        facts.extend(self.rewind_held(last));
        facts.extend([Fact::Seen(last), Fact::Reached(self.inbox.reached())]);
        self.save(&std::mem::take(facts)).await;
        self.rewound = Some(Rewound {
            last,
            read: Seq::ZERO,
            whole: from == Seq::ZERO,
            seed: None,
            told: BTreeMap::new(),
        });
        self.outbox.push_back(Report::SeedWanted);
        // The endpoint may have lost them; it knows them by their ids where it has not.
        self.tell_again();
    }

    /// A line that is read again.
    pub(super) fn reread(&mut self, seq: Seq, path: &RelPath, now: Option<FileState>) {
        let Some(rewound) = self.rewound.as_mut() else {
            return;
        };
        if seq <= rewound.last && rewound.told.get(path).is_none_or(|(at, _)| *at <= seq) {
            rewound.told.insert(path.clone(), (seq, now));
        }
    }

    /// The journal has been read up to here.
    pub(super) async fn reached(&mut self, seq: Seq, facts: &mut Vec<Fact>) {
        self.inbox.reach(seq);
        facts.push(Fact::Reached(seq));
        if let Some(rewound) = &mut self.rewound {
            rewound.read = rewound.read.max(seq);
            self.save(&std::mem::take(facts)).await;
            self.ask_for_the_rest(facts);
        }
    }

    pub(super) fn reread_seed(&mut self, manifest: Option<FileManifest>, facts: &mut Vec<Fact>) {
        if let Some(rewound) = &mut self.rewound {
            let files = manifest.iter().flat_map(|manifest| &manifest.files);
            let file = |(path, file): (&String, &ManifestFile)| {
                Some((path.parse().ok()?, FileState::from(*file)))
            };
            rewound.seed = Some(files.filter_map(file).collect());
        }
        self.ask_for_the_rest(facts);
    }

    /// Everything has been read again: where it does not say what both sides had, the other side is asked.
    fn ask_for_the_rest(&mut self, facts: &mut Vec<Fact>) {
        let Some(rewound) = self.rewound.take_if(|rewound| rewound.is_read()) else {
            return;
        };
        for (path, says) in rewound.differs(&self.known.base) {
            let base = self.known.base.get(&path).copied();
            let open = self.inbox.waits(&path)
                || self.known.held.contains_key(&path)
                || self.known.sent.contains_key(&path)
                || self.known.conflicts.contains_key(&path);
            // A folder is what stands in it.
            let folder =
                |state: Option<FileState>| state.is_some_and(|s| s.mode == Mode::Directory);
            if open || folder(base) || base.is_none() && folder(says) {
                continue;
            }
            if self.known.way.is_up() {
                let here = self.ups.here(&path).unwrap_or(base);
                self.ups.gave_way(&path, here);
            } else {
                // Nobody can be asked: what the journal says is what there is.
                let change = Waiting::of_nobody(ChangeKind::of(base, says), path, says);
                self.inbox.put(rewound.last, change.clone());
                facts.push(Fact::Waiting(rewound.last, change));
            }
        }
        self.scan_wanted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::disk::state_of;
    use crate::protocol::file::Mode;

    fn state(text: &str) -> FileState {
        state_of(text.as_bytes(), Mode::File)
    }

    fn files(all: &[(&str, &str)]) -> BTreeMap<RelPath, FileState> {
        let file = |(path, text): &(&str, &str)| (path.parse().unwrap(), state(text));
        all.iter().map(file).collect()
    }

    #[test]
    fn what_the_journal_says_differently_is_found_whoever_had_it() {
        let path = |path: &str| path.parse::<RelPath>().unwrap();
        let mut rewound = Rewound {
            last: Seq(9),
            read: Seq(9),
            whole: true,
            seed: Some(files(&[
                ("seeded", "s"),
                ("changed", "s"),
                ("brought", "s"),
            ])),
            told: [
                (path("same"), (Seq(3), Some(state("told")))),
                (path("newer"), (Seq(4), Some(state("old")))),
                (path("gone"), (Seq(5), Some(state("told")))),
                (path("removed"), (Seq(6), None)),
            ]
            .into(),
        };
        let base = files(&[
            ("seeded", "s"),
            ("changed", "later"),
            ("same", "told"),
            ("newer", "new"),
            ("removed", "back"),
            ("unheard", "of"),
        ]);
        let paths = |rewound: &Rewound| {
            let differs = rewound.differs(&base).into_iter();
            differs
                .map(|(path, _)| path.to_string())
                .collect::<Vec<_>>()
        };
        let differ = ["brought", "changed", "gone", "newer", "removed", "unheard"];
        assert_eq!(paths(&rewound), differ);
        // Where not all of it was read, what was not is asked for as well.
        rewound.whole = false;
        assert!(paths(&rewound).contains(&"seeded".to_owned()));
        assert!(!paths(&rewound).contains(&"same".to_owned()));
    }
}
