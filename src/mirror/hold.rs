//! What of theirs could not be put here: kept, listed, tried again, until it stands here or something newer takes its place.
//!
//! Decides when, by `held`; what is done with a path is decided anew each time, on a new look.

use std::collections::BTreeSet;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::mirror::actor::Worker;
use crate::mirror::base::{Fact, Passed};
use crate::mirror::control::Answer;
use crate::mirror::ground;
use crate::mirror::hand::End;
use crate::mirror::held::{HeldBack, Now};
use crate::mirror::inbox::Taken;
use crate::mirror::status::Held;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// So many are named in the status; of the others the number.
const LISTED: usize = 100;

/// Somebody waits for tries of these paths.
#[derive(Debug)]
pub(super) struct Fetching {
    paths: BTreeSet<RelPath>,
    done: usize,
    /// What could still not be done, in words.
    failed: Vec<String>,
    reply: Option<oneshot::Sender<Answer>>,
}

pub(super) fn now() -> Now {
    Now {
        at: Instant::now(),
        clock: ground::timestamp(),
    }
}

impl Worker {
    /// Keeps what could not be done, or forgets what was held of its path. `true`: everything of it has been told before.
    pub(super) fn hold(&mut self, taken: &Taken, end: &End, facts: &mut Vec<Fact>) -> bool {
        let path = &taken.change.path;
        let known = self.known.held.get(path);
        // Something newer of the path is held: this was made by hand, or is no longer of any weight.
        if known.is_some_and(|held| held.seq > taken.seq) || (known.is_none() && taken.again) {
            return matches!(end, End::Held(_)) && taken.again;
        }
        let in_conflict = self.known.conflicts.contains_key(path);
        let End::Held(hindrance) = end else {
            self.release(path, facts);
            return false;
        };
        // A conflict that was to end stays one.
        if taken.change.forced && in_conflict {
            return false;
        }
        let told = taken.again && known.is_some_and(|held| held.hindrance == *hindrance);
        let mut change = taken.change.clone();
        change.lifted |= taken.again && known.is_some_and(|held| held.change.lifted);
        let held = HeldBack {
            // The journal may have been rewound while it was tried.
            seq: taken.seq.min(self.inbox.seen()),
            change,
            hindrance: hindrance.clone(),
            passed: taken.origin().passed,
        };
        if known != Some(&held) {
            facts.push(Fact::Held(path.clone(), Some(Box::new(held))));
        }
        self.retries
            .failed(path, hindrance.lasting, taken.again, now());
        told
    }

    /// Nothing of this path is held any more.
    pub(super) fn release(&mut self, path: &RelPath, facts: &mut Vec<Fact>) {
        if self.known.held.contains_key(path) {
            self.inbox.drop_again(path);
            self.retries.gone(path);
            facts.push(Fact::Held(path.clone(), None));
        }
    }

    /// Something stands there now on the other side: above it are folders, whatever was held of those.
    pub(super) fn release_above(
        &mut self,
        seq: Seq,
        path: &RelPath,
        now: Option<FileState>,
        facts: &mut Vec<Fact>,
    ) {
        if self.known.held.is_empty() || now.is_none() || seq <= self.inbox.seen() {
            return;
        }
        for above in std::iter::successors(path.parent(), RelPath::parent) {
            let held = self.known.held.get(&above);
            let is_folder =
                |state: Option<FileState>| state.is_some_and(|s| s.mode == Mode::Directory);
            if held.is_some_and(|held| !is_folder(held.change.now)) {
                self.release(&above, facts);
            }
        }
    }

    /// What a write of this passes over that was held until now.
    pub(super) fn passed_over(&self, taken: &Taken) -> Vec<Passed> {
        let held = self.known.held.get(&taken.change.path);
        let Some(held) = held.filter(|held| !taken.again && held.seq < taken.seq) else {
            return Vec::new();
        };
        let last = Passed::of(held.seq, &held.change);
        held.passed.iter().cloned().chain([last]).collect()
    }

    /// The journal ends at `last`: what is held comes before all that it will say.
    pub(super) fn rewind_held(&self, last: Seq) -> Vec<Fact> {
        let late = self.known.held.iter().filter(|(_, held)| held.seq > last);
        late.map(|(path, held)| {
            let held = HeldBack {
                seq: last,
                ..held.clone()
            };
            Fact::Held(path.clone(), Some(Box::new(held)))
        })
        .collect()
    }

    /// When something that is held is to be tried; `None` while nothing may be.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.next().filter(|_| self.may_retry())
    }

    fn may_retry(&self) -> bool {
        self.may_write() && self.hand.blobs.is_some()
    }

    /// Gives what is due its turn, but where something newer of the path waits already.
    pub(super) fn take_due(&mut self) {
        if !self.may_retry() {
            return;
        }
        for path in self.retries.due(Instant::now()) {
            let Some(held) = self.known.held.get(&path) else {
                self.retries.gone(&path);
                continue;
            };
            if self.inbox.waits(&path) || self.busy.contains_key(&path) {
                self.retries.later(&path, now());
                continue;
            }
            self.retries.begun(&path);
            let (seq, change, passed) = (held.seq, held.change.clone(), held.passed.clone());
            self.inbox.put_again(seq, change, passed);
        }
    }

    /// Tries all that is held, or one path, now; that one also where it is too large.
    pub(super) async fn fetch(
        &mut self,
        path: Option<RelPath>,
        reply: Option<oneshot::Sender<Answer>>,
    ) {
        let paths: BTreeSet<RelPath> = match &path {
            None => self.known.held.keys().cloned().collect(),
            Some(path) if self.known.held.contains_key(path) => [path.clone()].into(),
            Some(path) => {
                let why =
                    format!("nothing is held at {path}: `ashore mirror status` lists what is");
                return self.reply(reply, Err(why));
            }
        };
        if paths.is_empty() {
            return self.reply(reply, Ok("nothing is held".to_owned()));
        }
        if let Some(why) = self.why_not_now() {
            return self.reply(reply, Err(why));
        }
        if let Some(held) = path.as_ref().and_then(|path| self.known.held.get(path)) {
            let mut held = held.clone();
            held.change.lifted = true;
            // Where it waits for its turn already it takes the new word with it.
            self.inbox.drop_again(&held.change.path);
            let path = held.change.path.clone();
            self.save(&[Fact::Held(path.clone(), Some(Box::new(held)))])
                .await;
            if !self.busy.contains_key(&path) {
                self.retries.recalled(&path);
            }
        }
        self.retries.ask(&paths, now());
        self.fetching.push(Fetching {
            paths,
            done: 0,
            failed: Vec::new(),
            reply,
        });
        self.hand.hurry.notify_waiters();
    }

    fn why_not_now(&self) -> Option<String> {
        let halted = self.halted.as_ref().map(ToString::to_string);
        let why = match () {
            () if halted.is_some() => return halted,
            () if self.known.paused => "paused: `ashore mirror resume` goes on",
            () if !self.known.way.is_down() => {
                "nothing comes down in this direction: `ashore mirror direction RUN both` changes it"
            }
            () if self.hand.blobs.is_none() => {
                "nobody is attached, so nothing can be fetched: `ashore attach RUN` goes on"
            }
            () => return None,
        };
        Some(why.to_owned())
    }

    /// A try of this path is over: who waited for the last one is answered.
    pub(super) fn fetched(&mut self, path: &RelPath, end: &End) {
        for fetching in &mut self.fetching {
            if !fetching.paths.remove(path) {
                continue;
            }
            match end {
                End::Held(hindrance) => {
                    fetching.failed.push(format!("{path}: {}", hindrance.why));
                }
                End::Conflict(why) => fetching.failed.push(format!("{path}: {why}")),
                End::Settled | End::Kept | End::Skipped(_) | End::Halted(_) => fetching.done += 1,
            }
        }
    }

    /// Answers whoever waits for nothing that is still held and tried.
    pub(super) fn answer_fetches(&mut self) {
        if self.fetching.is_empty() {
            return;
        }
        let stopped = self.why_not_now();
        let (over, waiting) =
            std::mem::take(&mut self.fetching)
                .into_iter()
                .partition(|fetching: &Fetching| {
                    let held = |path: &RelPath| self.known.held.contains_key(path);
                    stopped.is_some() || !fetching.paths.iter().any(held)
                });
        self.fetching = waiting;
        for fetching in Vec::<Fetching>::into_iter(over) {
            let answer = match (stopped.clone(), fetching.failed.as_slice()) {
                (Some(why), _) if !fetching.paths.is_empty() => Err(why),
                (_, []) => Ok(match fetching.done {
                    1 => "1 change that was held stands here now".to_owned(),
                    many => format!("{many} changes that were held stand here now"),
                }),
                (_, [why]) => Err(why.clone()),
                (_, [why, rest @ ..]) => Err(format!(
                    "{why}; and {} more: `ashore mirror status` lists them",
                    rest.len()
                )),
            };
            self.reply(fetching.reply, answer);
        }
    }

    /// What is held, for people, and how many more there are.
    pub(super) fn listed_held(&self) -> (Vec<Held>, u64) {
        let all = &self.known.held;
        let held = all.iter().take(LISTED).map(|(path, held)| Held {
            path: path.to_string(),
            reason: held.hindrance.why.clone(),
            next_try: self.retries.next_try(path),
            size: held.hindrance.size,
            tries: self.retries.tries(path),
        });
        (held.collect(), all.len().saturating_sub(LISTED) as u64)
    }
}
