//! The way up: edits made here are taken, uploaded, told, and kept in mind until the journal answers them.
//!
//! Decides when, never what: that is `up`. Writes no file of the user's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::mirror::actor::{Finished, Worker};
use crate::mirror::base::{Fact, Noted, Sent, Waiting};
use crate::mirror::control::Answer;
use crate::mirror::disk::id_of;
use crate::mirror::ground;
use crate::mirror::guard::{self, Halt};
use crate::mirror::hand::End;
use crate::mirror::inbox::Taken;
use crate::mirror::lift::Lifted;
use crate::mirror::plan::same;
use crate::mirror::status::{Direction, FileReport, Outcome, Way};
use crate::mirror::up::{Around, Edit};
use crate::mirror::worker::Report;
use crate::plant::planted;
use crate::protocol::command::{Command, What};
use crate::protocol::file::{ChangeKind, FileState};
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::path::RelPath;

/// Batches that are uploaded at once.
const UPLOADS: usize = 2;
/// Changes told and not answered, beyond which the rest waits.
const UNANSWERED: usize = 4000;
/// What is gone here waits this long for more to go: a directory that is being emptied is no row of single deletes.
const GOING: Duration = Duration::from_millis(300);
/// What was refused although nothing stands in its way is offered again after so long, and then after twice as long each
/// time; after so many times it waits for the next message.
const AGAIN: Duration = Duration::from_secs(5);
const TIMES: u32 = 6;
/// Deletes made here within this time are one wave.
const WAVE: Duration = Duration::from_secs(10);
/// So many paths are named to who waits.
const NAMED: usize = 5;

/// Somebody waits until what differs here now has gone up.
#[derive(Debug)]
pub(super) struct Flush {
    /// The scan that has to be over.
    scan: u64,
    to: Waiter,
}

#[derive(Debug)]
enum Waiter {
    /// The run's own screen: told is enough, since it posts in order.
    Screen(u64),
    /// A command of another process: the endpoint must have it.
    Command(oneshot::Sender<Answer>),
}

/// Deletes of the last moments.
#[derive(Debug, Default)]
pub(super) struct Wave {
    count: usize,
    last: Option<Instant>,
}

impl Wave {
    fn count(&mut self) -> usize {
        if self.last.is_none_or(|last| last.elapsed() > WAVE) {
            self.count = 0;
        }
        self.count
    }

    fn add(&mut self, deletes: usize) {
        self.count = self.count() + deletes;
        if deletes > 0 {
            self.last = Some(Instant::now());
        }
    }
}

/// That not everything was sent.
fn left_out(kept: &[(&RelPath, &str)]) -> String {
    let named = kept.iter().take(NAMED);
    let named: Vec<String> = named.map(|(path, why)| format!("{path} ({why})")).collect();
    let more = match kept.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(
        "{} edited here did not go, all else has been sent: {}{more}",
        kept.len(),
        named.join(", ")
    )
}

impl Worker {
    /// Hands to `with` what `up` has to know.
    pub(super) fn around<T>(&self, with: impl FnOnce(&Around<'_>) -> T) -> T {
        with(&Around {
            known: &self.known,
            busy: &|path| self.busy.contains_key(path),
            waiting: &|path| self.inbox.waits(path),
            looking: self.scan_wanted || self.scanning || self.going.is_some(),
        })
    }

    fn may_send(&self) -> bool {
        self.scanned_once
            && self.halted.is_none()
            && !self.known.paused
            && self.known.way.is_up()
            && self.hand.blobs.is_some()
    }

    /// Starts what can go up.
    pub(super) fn send_up(&mut self) {
        while self.may_send() && self.uploads < UPLOADS && self.known.sent.len() < UNANSWERED {
            let edits = self.around(|around| self.ups.next(around));
            if edits.is_empty() {
                return;
            }
            if let Some(halt) = self.halt_before_sending(&edits) {
                return self.halt(halt);
            }
            self.ups.load(&edits);
            self.uploads += 1;
            let wanted: BTreeSet<_> = edits.iter().filter_map(|e| Some(e.now?.hash)).collect();
            let here = self.known.base.values().map(|state| state.hash);
            let have = here.filter(|hash| wanted.contains(hash)).collect();
            let hand = Arc::clone(&self.hand);
            self.jobs
                .spawn(async move { Finished::Lifted(hand.lift(edits, have).await) });
        }
    }

    fn halt_before_sending(&mut self, edits: &[Edit]) -> Option<Halt> {
        let recorded = self.known.root?;
        if let Some(halt) = guard::root(recorded, id_of(&self.hand.root), 0, 0) {
            return Some(halt);
        }
        let unmeant = |edit: &Edit| edit.now.is_none() && !self.ups.is_meant(&edit.path);
        if !edits.iter().any(unmeant) {
            return None;
        }
        let told = self.wave.count();
        let gone = self.around(|around| self.ups.deletes(around)) + told;
        guard::deletes_here(gone, self.files(told))
    }

    /// The files the base has, with those that have just gone from it.
    fn files(&self, told: usize) -> usize {
        let sent = self.known.sent.values();
        let waiting = sent.filter(|sent| sent.now.is_none()).count();
        self.known.base.len() + told.saturating_sub(waiting)
    }

    /// Something is gone here that stood here at the last look.
    pub(super) fn is_going(&mut self) {
        self.going = Some(Instant::now() + GOING);
    }

    /// Nothing more has gone for a while. What looks like more than a tidying up is looked at whole.
    pub(super) fn gone(&mut self) {
        self.going = None;
        let gone = self.around(|around| self.ups.deletes(around));
        self.scan_wanted |= gone > 1 && gone * 4 > self.known.base.len();
    }

    /// The while is over.
    pub(super) fn offer_again(&mut self) {
        self.again_at = None;
        self.ups.unpark_refused();
    }

    /// Their bytes are there: what still holds is written down and told.
    pub(super) async fn lifted(&mut self, lifted: Lifted) {
        self.uploads -= 1;
        let Lifted {
            ready,
            changed,
            failed,
        } = lifted;
        let edits = ready
            .iter()
            .chain(&changed)
            .chain(failed.iter().map(|(edit, _)| edit));
        for edit in edits {
            self.ups.loaded(&edit.path);
        }
        for (edit, why) in failed {
            self.ups.park(&edit.path, edit.now, &why);
            self.told_up(&edit.path, edit.now, edit.base, Outcome::Failed, Some(why));
        }
        let looks: BTreeSet<RelPath> = changed.into_iter().map(|edit| edit.path).collect();
        if !looks.is_empty() {
            self.start_look(looks);
        }
        // What came from there meanwhile is decided first.
        let holds = |worker: &Self, edit: &Edit| {
            let noted = worker.known.conflicts.get(&edit.path);
            let theirs = match noted {
                Some(noted) if !noted.resolved => return false,
                Some(noted) => noted.theirs,
                None => worker.known.base.get(&edit.path).copied(),
            };
            same(theirs, edit.base)
                && !worker.known.held.contains_key(&edit.path)
                && !worker.inbox.waits(&edit.path)
                && !worker.busy.contains_key(&edit.path)
        };
        let edits: Vec<Edit> = ready.into_iter().filter(|edit| holds(self, edit)).collect();
        if edits.is_empty() || !self.may_send() {
            return;
        }
        self.wave.add(
            edits
                .iter()
                .filter(|edit| edit.now.is_none() && !self.ups.is_meant(&edit.path))
                .count(),
        );
        let command = CommandId::from(ground::fresh());
        let facts: Vec<Fact> = edits
            .iter()
            .map(|edit| {
                let sent = Sent {
                    now: edit.now,
                    base: edit.base,
                    command: command.clone(),
                };
                Fact::Sent(edit.path.clone(), Some(sent))
            })
            .collect();
        self.save(&facts).await;
        self.tell_edits(command, &edits);
    }

    fn tell_edits(&mut self, command: CommandId, edits: &[Edit]) {
        for edit in edits {
            tracing::debug!(path = %edit.path, base = ?edit.base, %command, "goes up");
        }
        self.ups.told(command.clone());
        let changes = edits.iter().map(Edit::change).collect();
        self.outbox.push_back(Report::Edits(Command {
            id: Some(command),
            what: What::FileChanged(changes),
        }));
    }

    /// After a restart: what was on its way is told once more, under its own id.
    pub(super) fn tell_again(&mut self) {
        let mut commands: BTreeMap<CommandId, Vec<Edit>> = BTreeMap::new();
        for (path, sent) in &self.known.sent {
            let edit = Edit {
                path: path.clone(),
                now: sent.now,
                base: sent.base,
            };
            commands.entry(sent.command.clone()).or_default().push(edit);
        }
        for (command, mut edits) in commands {
            edits.sort_by(crate::mirror::up::in_order);
            self.tell_edits(command, &edits);
        }
    }

    /// The endpoint has it, or never will.
    pub(super) fn posted(
        &mut self,
        command: &CommandId,
        refused: Option<&str>,
        facts: &mut Vec<Fact>,
    ) {
        self.ups.posted(command);
        let Some(why) = refused else { return };
        let sent = self.known.sent.iter();
        let gone: Vec<(RelPath, Sent)> = sent
            .filter(|(_, sent)| sent.command == *command)
            .map(|(path, sent)| (path.clone(), sent.clone()))
            .collect();
        for (path, sent) in gone {
            self.ups.park(&path, sent.now, why);
            self.told_up(
                &path,
                sent.now,
                sent.base,
                Outcome::Failed,
                Some(why.to_owned()),
            );
            facts.push(Fact::Sent(path, None));
        }
    }

    /// An answer to a change of ours that nothing stands in the way of: the base moves, no file is touched. `false`: it is
    /// to be decided like any other change.
    pub(super) fn acknowledged(&mut self, change: &Waiting, facts: &mut Vec<Fact>) -> bool {
        let path = &change.path;
        let Some(sent) = self.known.sent.get(path).cloned() else {
            return false;
        };
        let ours = change.command.as_ref() == Some(&sent.command) && same(sent.now, change.now);
        let in_conflict = self
            .known
            .conflicts
            .get(path)
            .is_some_and(|noted| !noted.resolved);
        if !ours
            || planted!(EchoNotKnown)
            || in_conflict
            || change.refused.is_some()
            || self.inbox.waits(path)
            || self.busy.contains_key(path)
        {
            return false;
        }
        self.release(path, facts);
        facts.extend([
            Fact::Base(path.clone(), change.now),
            Fact::Sent(path.clone(), None),
            Fact::Conflict(path.clone(), None),
        ]);
        match self.ups.here(path) {
            Some(here) if same(here, change.now) => {
                self.ups.agrees(path);
                facts.push(Fact::Edited(path.clone(), false));
            }
            // It went on changing here; what the last look saw may be what went up.
            Some(_) | None => self.start_look(BTreeSet::from([path.clone()])),
        }
        self.ups.unpark_around(path);
        self.told_up(path, change.now, sent.base, Outcome::Settled, None);
        true
    }

    /// What an answer among these says of the path's base: what stood here and stands there was known to both. Where we only
    /// asked whether what both had still stands there, that is not so: what stood here then may have been replaced by theirs
    /// since.
    pub(super) fn echo(&self, taken: &Taken) -> Option<Option<FileState>> {
        let sent = self.known.sent.get(&taken.change.path)?;
        if same(sent.now, sent.base) {
            return None;
        }
        let all = taken.overtaken.iter().map(|(_, change)| change);
        all.chain([&taken.change])
            .any(|change| change.refused.is_none() && same(change.now, sent.now))
            .then_some(sent.now)
            .filter(|_| !planted!(EchoNotKnown))
    }

    /// Whether our change of this path has its answer among these.
    pub(super) fn is_answered(&self, taken: &Taken) -> bool {
        let Some(sent) = self.known.sent.get(&taken.change.path) else {
            return false;
        };
        let all = taken.overtaken.iter().map(|(_, change)| change);
        all.chain([&taken.change])
            .any(|change| change.command.as_ref() == Some(&sent.command))
    }

    /// Our change has its answer: it is no longer on its way.
    pub(super) fn answer_of(&mut self, taken: &Taken, end: &End, facts: &mut Vec<Fact>) {
        let path = &taken.change.path;
        let Some(sent) = self.known.sent.get(path).cloned() else {
            return;
        };
        facts.push(Fact::Sent(path.clone(), None));
        // There stands what it was based on, and yet it was not taken; or what stands there is not put here: not again as it
        // is, or the two would say so to each other for ever.
        // What is held is not offered at all.
        let open = matches!(end, End::Kept | End::Skipped(_));
        match taken.change.refused.as_deref().filter(|_| open) {
            None => (),
            // Something stood there for that moment.
            Some("") if self.times < TIMES => {
                self.ups
                    .park_for_now(path, sent.now, "something else stood there");
                if self.again_at.is_none() {
                    self.again_at = Some(Instant::now() + AGAIN * 2_u32.pow(self.times));
                    self.times += 1;
                }
            }
            Some("") => self.ups.park(path, sent.now, "something else stands there"),
            Some(why) => self.ups.park(path, sent.now, why),
        }
    }

    /// What stands here is decided. Ours that was kept while it was on its way stands against that: it goes up now.
    pub(super) fn is_over(&mut self, path: &RelPath) {
        match self.known.conflicts.get(path) {
            Some(noted) if noted.resolved => self.start_look(BTreeSet::from([path.clone()])),
            Some(_) | None => self.ups.agrees(path),
        }
    }

    /// A conflict that the other side has listed as well: it is told how that ends.
    pub(super) async fn note_refusal(&mut self, taken: &Taken) {
        let path = &taken.change.path;
        let noted = self
            .known
            .conflicts
            .get(path)
            .filter(|_| taken.change.refused.is_some());
        if let Some(noted) = noted {
            let refused = true;
            let noted = Noted {
                refused,
                ..noted.clone()
            };
            self.save(&[Fact::Conflict(path.clone(), Some(noted))])
                .await;
        }
    }

    /// What was looked at while this path was busy, it and the folders above it, is looked at now; and what a look saw before
    /// theirs, which is `now`, came to stand here.
    pub(super) fn look_again(&mut self, path: &RelPath, now: Option<FileState>, end: &End) {
        let above = std::iter::successors(Some(path.clone()), RelPath::parent);
        let mut looks: BTreeSet<RelPath> = above.filter(|at| self.again.remove(at)).collect();
        let seen = self.ups.here(path).filter(|_| *end == End::Settled);
        if *end == End::Kept || seen.is_some_and(|seen| !same(seen, now)) {
            looks.insert(path.clone());
        }
        if !looks.is_empty() {
            self.start_look(looks);
        }
    }

    pub(super) fn told_up(
        &mut self,
        path: &RelPath,
        now: Option<FileState>,
        base: Option<FileState>,
        result: Outcome,
        reason: Option<String>,
    ) {
        let change = match (base, now) {
            (_, None) => ChangeKind::Deleted,
            (None, Some(_)) => ChangeKind::Created,
            (Some(_), Some(_)) => ChangeKind::Modified,
        };
        self.outbox.push_back(Report::File(FileReport {
            path: path.to_string(),
            change,
            direction: Direction::Up,
            result,
            hash: now.map(|now| now.hash),
            reason,
        }));
    }

    /// A change that the agent side can never make.
    pub(super) fn never(
        &mut self,
        seq: Seq,
        path: &str,
        why: &str,
        command: &CommandId,
        facts: &mut Vec<Fact>,
    ) {
        if !self.inbox.pass(seq) {
            return;
        }
        facts.push(Fact::Seen(seq));
        let Ok(path) = path.parse::<RelPath>() else {
            return;
        };
        let sent = self.known.sent.get(&path);
        let Some(sent) = sent.filter(|sent| sent.command == *command).cloned() else {
            return;
        };
        self.ups.park(&path, sent.now, why);
        self.told_up(
            &path,
            sent.now,
            sent.base,
            Outcome::Failed,
            Some(why.to_owned()),
        );
        facts.push(Fact::Sent(path, None));
    }

    // Who waits for it.

    pub(super) fn flush_for_screen(&mut self, token: u64) {
        self.flush(Waiter::Screen(token));
    }

    pub(super) fn flush_for_command(&mut self, reply: oneshot::Sender<Answer>) {
        self.flush(Waiter::Command(reply));
    }

    fn flush(&mut self, to: Waiter) {
        self.ups.unpark();
        self.times = 0;
        self.hand.hurry.notify_waiters();
        self.scan_wanted = true;
        self.flushes.push(Flush {
            scan: self.scans_begun + 1,
            to,
        });
    }

    /// Answers whoever has nothing more to wait for.
    pub(super) fn answer_flushes(&mut self) {
        if self.flushes.is_empty() {
            return;
        }
        let untold =
            self.looks > 0 || self.uploads > 0 || self.around(|around| self.ups.is_untold(around));
        let all_posted = self.ups.all_posted();
        // Held or one-way, nothing goes up: that is no reason to wait.
        let may = self.may_send() || !self.scanned_once && self.halted.is_none();
        let (scans, over) = (self.scans_done, !may);
        let done = |flush: &Flush| {
            let posted = match flush.to {
                Waiter::Screen(_) => true,
                Waiter::Command(_) => all_posted,
            };
            over || (scans >= flush.scan && !untold && posted)
        };
        let (done, waiting) = std::mem::take(&mut self.flushes)
            .into_iter()
            .partition(done);
        self.flushes = waiting;
        for flush in Vec::<Flush>::into_iter(done) {
            match flush.to {
                Waiter::Screen(token) => self.outbox.push_back(Report::Flushed(token)),
                Waiter::Command(reply) => {
                    let kept = self.kept_here();
                    let text = match self.known.way {
                        Way::Both | Way::Up if over => Ok("held: nothing goes up now".to_owned()),
                        Way::Both | Way::Up if !kept.is_empty() => Err(left_out(&kept)),
                        Way::Both | Way::Up => {
                            Ok("everything edited here has been sent".to_owned())
                        }
                        Way::Down | Way::Off => {
                            Ok("edits made here stay: the direction says so".to_owned())
                        }
                    };
                    self.reply(Some(reply), text);
                }
            }
        }
    }

    /// What is edited here and does not go up as it stands, and why.
    fn kept_here(&self) -> Vec<(&RelPath, &str)> {
        let known = &self.known;
        let why = |path: &RelPath| {
            let noted = known.conflicts.get(path);
            if noted.is_some_and(|noted| !noted.resolved) {
                return Some("in conflict: `ashore mirror resolve` ends it");
            }
            if known.held.contains_key(path) {
                return Some("what they have there could not be put here yet");
            }
            self.ups.parked(path)
        };
        let edited = known.edited.iter();
        let edited = edited.filter(|path| !known.sent.contains_key(*path));
        edited.filter_map(|path| Some((path, why(path)?))).collect()
    }

    /// Brings back what is gone here, as both sides had it.
    pub(super) async fn bring_back(&mut self) {
        let gone = self.ups.gone().into_iter();
        let base = &self.known.base;
        let lost = gone.filter_map(|path| Some((base.get(&path).copied()?, path)));
        let facts: Vec<Fact> = lost
            .map(|(state, path)| {
                let change = Waiting {
                    accepted: true,
                    forced: true,
                    ..Waiting::of_nobody(ChangeKind::Created, path, Some(state))
                };
                Fact::Waiting(Seq::ZERO, change)
            })
            .collect();
        for fact in &facts {
            if let Fact::Waiting(seq, change) = fact {
                self.inbox.put(*seq, change.clone());
            }
        }
        self.save(&facts).await;
    }
}
