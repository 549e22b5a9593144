//! The one task of a live mirror: takes orders, starts one job per path, writes down what became of it.
//!
//! It decides when, never what: that is `plan` for one path, `guard` for all of them, `inbox` for the order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::mirror::aside::Aside;
use crate::mirror::base::{Fact, Known, Noted, Waiting};
use crate::mirror::batch;
use crate::mirror::control::{Answer, Ask};
use crate::mirror::disk::{self, Disk, id_of};
use crate::mirror::fresh::{Fresh, Tick};
use crate::mirror::guard::{self, Halt};
use crate::mirror::hand::{Done, End, Hand, Job};
use crate::mirror::held::Retries;
use crate::mirror::hold::{Fetching, now};
use crate::mirror::inbox::{Inbox, Taken};
use crate::mirror::late::Brought;
use crate::mirror::lift::Lifted;
use crate::mirror::preview::Preview;
use crate::mirror::push::{Flush, Wave};
use crate::mirror::rewound::Rewound;
use crate::mirror::scan::{Local, Tree};
use crate::mirror::show::Weights;
use crate::mirror::status::{MirrorStatus, Way};
use crate::mirror::tell::settled_as;
use crate::mirror::undo::Undone;
use crate::mirror::up::Ups;
use crate::mirror::versions::Combined;
use crate::mirror::watch::Batch;
use crate::mirror::worker::{ORDERS, Order, Report, Resume};
use crate::protocol::file::{ChangeKind, FileChange, FileManifest, FileState};
use crate::protocol::ids::Seq;
use crate::protocol::path::RelPath;

/// Fetched and written at once; a batch is more.
const JOBS: usize = 4;
/// Reports that may wait before no more orders are taken.
const REPORTS: usize = 1024;

/// What a job came to.
pub(super) enum Finished {
    Change(Done, Option<oneshot::Sender<Answer>>),
    Batch(batch::Batch),
    Undone {
        paths: Vec<RelPath>,
        result: Result<Undone, String>,
        reply: Option<oneshot::Sender<Answer>>,
    },
    Rewritten {
        path: RelPath,
        result: Result<Undone, String>,
    },
    Merged(Combined),
    /// To be told as it is.
    Said(Report),
    Previewed {
        preview: Preview,
        reply: Option<oneshot::Sender<Answer>>,
    },
    /// Who asked has its answer.
    Answered,
    Scanned(Result<Tree, String>),
    /// When the look began, and what it saw.
    Looked(Tick, Vec<Seen>),
    Lifted(Lifted),
    /// The copy of theirs that was removed.
    Dropped(RelPath),
    /// What lay aside and was written to.
    LookedAside(Vec<Aside>),
    Brought(Box<Brought>),
}

/// What a look saw at one path.
pub(super) struct Seen {
    pub(super) path: RelPath,
    pub(super) local: Local,
    /// A folder with nothing in it.
    pub(super) bare: bool,
}

pub(crate) struct Worker {
    pub(super) hand: Arc<Hand>,
    pub(super) known: Known,
    pub(super) inbox: Inbox,
    pub(super) jobs: JoinSet<Finished>,
    pub(super) busy: BTreeMap<RelPath, Seq>,
    /// Left out of a batch: the next time they go alone.
    pub(super) alone: BTreeSet<RelPath>,
    pub(super) outbox: VecDeque<Report>,
    pub(super) told: MirrorStatus,
    pub(super) halted: Option<Halt>,
    /// What is known and is not written down, for the disk would not have it.
    unsaved: Vec<Fact>,
    pub(super) seeded_here: bool,
    pub(super) scan_wanted: bool,
    pub(super) scanning: bool,
    /// When the scan that runs began.
    pub(super) scan_began: Option<(Tick, Timestamp)>,
    /// Nothing is written before the directory was seen whole once.
    pub(super) scanned_once: bool,
    /// Written while a scan ran: what the scan saw of it is worth nothing.
    pub(super) touched: BTreeSet<RelPath>,
    /// The user said that the empty directory is meant.
    pub(super) empty_is_meant: bool,
    pub(super) problems: BTreeSet<String>,
    /// Why the directory is looked at now and then, and not watched.
    pub(super) polls: Option<String>,
    /// Requests that came before the first scan.
    pub(super) early: Vec<Ask>,
    pub(super) ups: Ups,
    /// Batches of edits that are being uploaded, and looks that are under way.
    pub(super) uploads: usize,
    pub(super) looks: usize,
    pub(super) fresh: Fresh,
    pub(super) scans_begun: u64,
    pub(super) scans_done: u64,
    pub(super) flushes: Vec<Flush>,
    pub(super) wave: Wave,
    /// Until then what is gone here is not told: more may be going.
    pub(super) going: Option<Instant>,
    /// When what was refused is offered again, and how often it was since somebody last waited.
    pub(super) again_at: Option<Instant>,
    pub(super) times: u32,
    /// Looked at while a job had them: to be looked at again.
    pub(super) again: BTreeSet<RelPath>,
    /// How much of the files that were asked for is new.
    pub(super) weights: Weights,
    /// The journal ends earlier than it did, and is read again.
    pub(super) rewound: Option<Rewound>,
    /// Something was staged since our folder was last cleared away.
    pub(super) untidy: bool,
    /// When what lies aside is looked at next.
    pub(super) aside_at: Option<Instant>,
    pub(super) looking_aside: bool,
    /// When what is held is tried again.
    pub(super) retries: Retries,
    /// Who waits for such tries.
    pub(super) fetching: Vec<Fetching>,
}

/// For ever when there is no such time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Worker {
    pub(super) fn new(hand: Hand, known: Known, seeded_here: bool) -> Self {
        let retries = Retries::restore(&known.held, now());
        Self {
            inbox: Inbox::restore(&known),
            hand: Arc::new(hand),
            known,
            jobs: JoinSet::new(),
            busy: BTreeMap::new(),
            alone: BTreeSet::new(),
            outbox: VecDeque::new(),
            told: MirrorStatus::default(),
            halted: None,
            unsaved: Vec::new(),
            seeded_here,
            scan_wanted: true,
            scanning: false,
            scan_began: None,
            scanned_once: false,
            touched: BTreeSet::new(),
            empty_is_meant: false,
            problems: BTreeSet::new(),
            polls: None,
            early: Vec::new(),
            ups: Ups::default(),
            uploads: 0,
            looks: 0,
            fresh: Fresh::default(),
            scans_begun: 0,
            scans_done: 0,
            flushes: Vec::new(),
            wave: Wave::default(),
            going: None,
            again_at: None,
            times: 0,
            again: BTreeSet::new(),
            weights: Weights::default(),
            rewound: None,
            untidy: false,
            aside_at: None,
            looking_aside: false,
            retries,
            fetching: Vec::new(),
        }
    }

    pub(crate) async fn run(
        mut self,
        orders: mpsc::Receiver<Order>,
        reports: mpsc::Sender<Report>,
        asks: mpsc::Receiver<Ask>,
        batches: mpsc::Receiver<Batch>,
    ) {
        self.live(orders, reports, asks, batches).await;
        self.keep_stamps().await;
    }

    async fn live(
        &mut self,
        mut orders: mpsc::Receiver<Order>,
        reports: mpsc::Sender<Report>,
        mut asks: mpsc::Receiver<Ask>,
        mut batches: mpsc::Receiver<Batch>,
    ) {
        let mut drained = Vec::with_capacity(ORDERS);
        let (mut asked, mut watched) = (true, true);
        loop {
            self.pump();
            self.send_up();
            self.tidy().await;
            if self.hand.cache.is_ripe() {
                self.keep_stamps().await;
            }
            self.answer_flushes();
            self.answer_fetches();
            self.tell_status();
            let room = self.outbox.len() < REPORTS;
            let retry_at = self.next_retry();
            // What is done makes room before more begins; a person who asks waits for no flood of orders.
            tokio::select! {
                biased;
                place = reports.reserve(), if !self.outbox.is_empty() => match (place, self.outbox.pop_front()) {
                    (Ok(place), Some(report)) => place.send(report),
                    (Ok(_), None) | (Err(_), _) => return,
                },
                ask = asks.recv(), if asked => match ask {
                    Some(ask) if self.scanned_once || self.halted.is_some() => self.answer(ask).await,
                    Some(ask) => self.early.push(ask),
                    None => asked = false,
                },
                Some(finished) = self.jobs.join_next(), if room && !self.jobs.is_empty() => match finished {
                    Ok(finished) => {
                        self.finished(finished).await;
                        self.note_seen_copies();
                    }
                    Err(error) => self.note(format!("the mirror stumbled over itself: {error}")),
                },
                () = until(self.going) => self.gone(),
                () = until(self.again_at) => self.offer_again(),
                () = until(self.aside_at) => self.look_aside(),
                // The next round takes what is due.
                () = until(retry_at) => (),
                batch = batches.recv(), if watched => match batch {
                    Some(batch) => self.batch(batch),
                    None => watched = false,
                },
                count = orders.recv_many(&mut drained, ORDERS), if room => {
                    if count == 0 {
                        return;
                    }
                    self.take(&mut drained).await;
                }
            }
        }
    }

    /// Clears our folder away when nothing is being written, before anybody hears that all is settled.
    pub(super) async fn tidy(&mut self) {
        if !self.busy.is_empty() {
            self.untidy = true;
        } else if std::mem::take(&mut self.untidy) {
            self.hand.blocking(|hand| hand.disk.tidy()).await;
        }
        self.mind_asides();
    }

    /// Says of a repository, once, that its git sees our copies.
    fn note_seen_copies(&mut self) {
        for error in self.hand.disk.take_seen() {
            self.note(format!(
                "git sees the copies of a conflict as new files ({error}): look before you add all, or write `*.remote-*` there yourself"
            ));
        }
    }

    pub(super) fn note(&mut self, line: String) {
        self.outbox.push_back(Report::Note(line));
    }

    pub(super) fn halt(&mut self, halt: Halt) {
        if self.halted.as_ref() != Some(&halt) {
            self.note(format!("mirror halted: {halt}"));
            self.halted = Some(halt);
        }
    }

    /// Writes down and remembers; a state that cannot be written down halts.
    /// What could not be is written down with what comes next, never behind it: a later line that is written down as seen
    /// says the same of those before it.
    pub(super) async fn save(&mut self, facts: &[Fact]) {
        facts.iter().for_each(|fact| self.known.apply(fact));
        let saved = if self.unsaved.is_empty() {
            self.hand.base.save(facts).await
        } else {
            self.unsaved.extend_from_slice(facts);
            self.hand.base.save(&self.unsaved).await
        };
        match saved {
            Ok(()) => self.unsaved.clear(),
            Err(error) => {
                if self.unsaved.is_empty() {
                    self.unsaved = facts.to_vec();
                }
                self.halt(Halt::Disk(error.to_string()));
            }
        }
    }

    pub(super) async fn check_identity(&mut self) {
        match (self.known.root, id_of(&self.hand.root)) {
            (None, Some(now)) => self.save(&[Fact::Root(now)]).await,
            (None, None) => self.halt(Halt::Gone),
            (Some(recorded), now) => {
                if let Some(halt) = guard::root(recorded, now, 0, 0) {
                    self.halt(halt);
                } else if let Some(now) = now.filter(|now| *now != recorded) {
                    // It was written down without its birth.
                    self.save(&[Fact::Root(now)]).await;
                }
            }
        }
    }

    async fn take(&mut self, drained: &mut Vec<Order>) {
        let mut facts = Vec::new();
        for order in drained.drain(..) {
            match order {
                Order::Remote { seq, change } => self.remote(seq, change, &mut facts),
                Order::Applied { seq, applied } => {
                    self.reread(seq, &applied.change.path, applied.change.now);
                    self.save(&std::mem::take(&mut facts)).await;
                    self.answered(seq, applied.into(), &mut facts);
                }
                Order::Refused { seq, stale } => {
                    self.save(&std::mem::take(&mut facts)).await;
                    self.answered(seq, stale.into(), &mut facts);
                }
                Order::Never {
                    seq,
                    path,
                    reason,
                    command,
                } => {
                    self.never(seq, &path, &reason, &command, &mut facts);
                }
                Order::Posted(command) => self.posted(&command, None, &mut facts),
                Order::NotPosted { command, why } => self.posted(&command, Some(&why), &mut facts),
                Order::Flush(token) => self.flush_for_screen(token),
                Order::Direct(way) => self.direct(way, &mut facts),
                Order::Reached(seq) => self.reached(seq, &mut facts).await,
                Order::Rewound { last, from, same } => {
                    self.rewound((last, same), from, &mut facts).await;
                }
                Order::Seed(manifest) => self.reread_seed(manifest, &mut facts),
                Order::Baseline(manifest) => self.baseline(manifest, &mut facts),
                Order::Pause => facts.push(Fact::Paused(true)),
                Order::Check => self.scan_wanted = true,
                Order::Resume(resume) => {
                    self.save(&std::mem::take(&mut facts)).await;
                    if let Err(why) = self.resume(resume).await {
                        self.note(why);
                    }
                }
                Order::Preview(scope) => self.preview(scope, None).await,
                Order::Show(path) => self.show(path),
                Order::Weigh(paths) => self.weigh(paths),
                Order::Versions(path) => self.versions(path),
                Order::Merge { path, put } => self.merge(path, Some(put), None),
                Order::Rewrite {
                    path,
                    over,
                    text,
                    mode,
                } => self.rewrite(path, over, text, mode),
                Order::Undo { scope, seen } => {
                    self.save(&std::mem::take(&mut facts)).await;
                    self.undo(scope, seen, None).await;
                }
                Order::Resolve { path, keep } => self.resolve(path, keep, None).await,
            }
        }
        self.save(&facts).await;
    }

    /// A file entry of the journal.
    fn remote(&mut self, seq: Seq, change: FileChange, facts: &mut Vec<Fact>) {
        self.reread(seq, &change.path, change.now);
        self.release_above(seq, &change.path, change.now, facts);
        let mut change = Waiting::from(change);
        // Of a wave whose first part has been accepted.
        change.accepted = change.turn.is_some() && change.turn == self.known.accepted;
        if self.inbox.arrive(seq, change.clone()) {
            facts.extend([Fact::Waiting(seq, change), Fact::Seen(seq)]);
        }
    }

    /// An answer to a client's change, ours or another's.
    fn answered(&mut self, seq: Seq, change: Waiting, facts: &mut Vec<Fact>) {
        self.release_above(seq, &change.path, change.now, facts);
        if seq > self.inbox.seen() && self.acknowledged(&change, facts) {
            self.inbox.pass(seq);
            facts.push(Fact::Seen(seq));
            return;
        }
        // A no to somebody else changes nothing: what stands there was told before.
        let ours = self.known.sent.get(&change.path);
        let ours = ours.is_some_and(|sent| Some(&sent.command) == change.command.as_ref());
        if change.refused.is_some() && !ours {
            if self.inbox.pass(seq) {
                facts.push(Fact::Seen(seq));
            }
        } else if self.inbox.arrive(seq, change.clone()) {
            facts.extend([Fact::Waiting(seq, change), Fact::Seen(seq)]);
        }
    }

    pub(super) fn direct(&mut self, way: Way, facts: &mut Vec<Fact>) {
        facts.push(Fact::Way(way));
        self.scan_wanted = true;
    }

    fn baseline(&mut self, manifest: FileManifest, facts: &mut Vec<Fact>) {
        if self.known.seeded || facts.contains(&Fact::Seeded) {
            return;
        }
        for (path, file) in manifest.files {
            let state = FileState::from(file);
            let path = path.parse::<RelPath>();
            if let Ok(path) = &path {
                self.hand.rules.keep([path]);
                facts.push(Fact::Seed(path.clone()));
            }
            match path {
                Ok(path) if self.seeded_here => facts.push(Fact::Base(path, Some(state))),
                Ok(path) => {
                    let change = Waiting::of_nobody(ChangeKind::Created, path, Some(state));
                    self.inbox.put(Seq::ZERO, change.clone());
                    facts.push(Fact::Waiting(Seq::ZERO, change));
                }
                Err(bad) => self.note(format!("refused a file of the manifest: {bad}")),
            }
        }
        facts.push(Fact::Seeded);
        self.scan_wanted = true;
    }

    pub(super) async fn resume(&mut self, resume: Resume) -> Result<(), String> {
        let accept_deletes = resume == Resume::AcceptDeletes;
        if accept_deletes {
            self.accept_deletes().await;
            self.ups.accept_deletes();
        }
        if resume == Resume::AcceptRules {
            self.accept_rules().await;
        }
        match self.halted.take() {
            None | Some(Halt::Disk(_)) => (),
            Some(Halt::DeletesHere { .. } | Halt::Emptied) if resume == Resume::BringBack => (),
            Some(halt @ (Halt::MassDelete { .. } | Halt::DeletesHere { .. }))
                if !accept_deletes =>
            {
                let why = halt.to_string();
                self.halted = Some(halt);
                return Err(why);
            }
            Some(Halt::MassDelete { .. } | Halt::DeletesHere { .. }) => (),
            Some(Halt::Emptied) => self.empty_is_meant = true,
            Some(halt @ (Halt::Gone | Halt::Replaced)) => {
                if let Err(why) = self.reopen().await {
                    self.halted = Some(halt);
                    return Err(why);
                }
            }
        }
        if resume == Resume::BringBack {
            self.bring_back().await;
        }
        self.retries.ask(self.known.held.keys(), now());
        self.scan_wanted = true;
        self.save(&[Fact::Paused(false)]).await;
        Ok(())
    }

    async fn accept_deletes(&mut self) {
        let counted = self.known.deletes.0;
        let accepted = self.inbox.accept_deletes();
        let turns = accepted.iter().filter_map(|(_, change)| change.turn);
        let turn = turns.chain(counted).max().map(Fact::Accepted);
        let accepted = accepted.into_iter();
        let facts: Vec<Fact> = accepted
            .map(|(seq, change)| Fact::Waiting(seq, change))
            .chain([Fact::Deletes(counted, 0)])
            .chain(turn)
            .collect();
        self.save(&facts).await;
    }

    /// Goes on in the directory that stands there now. The base stays: what differs from it counts as edited here.
    async fn reopen(&mut self) -> Result<(), String> {
        let old = &self.hand;
        let disk =
            Disk::open(&old.root, &old.kept).map_err(|error: disk::Error| error.to_string())?;
        let id = disk.id().map_err(|error| error.to_string())?;
        self.hand = Arc::new(Hand {
            root: old.root.clone(),
            run: old.run.clone(),
            disk,
            kept: old.kept.clone(),
            lift: old.lift.clone(),
            rules: Arc::clone(&old.rules),
            cache: Arc::clone(&old.cache),
            limits: old.limits,
            blobs: old.blobs.clone(),
            remote: old.remote.clone(),
            base: old.base.clone(),
            hurry: Arc::clone(&old.hurry),
            lock: old.lock.clone(),
        });
        self.save(&[Fact::Root(id)]).await;
        let left = self.take_up_left().await;
        left.map_err(|error| error.to_string())
    }

    /// Starts what can be started.
    pub(super) fn pump(&mut self) {
        if self.scan_wanted && !self.scanning {
            self.start_scan();
        }
        self.take_due();
        while self.may_start() {
            let Some(taken) = self.inbox.peek(&self.busy) else {
                return;
            };
            if let Some(halt) = self.halt_before(taken) {
                return self.halt(halt);
            }
            // Without a way to fetch, only the judgement is made: a command without a holder asks for it.
            if self.hand.blobs.is_none() {
                let halt = self
                    .inbox
                    .deletes_waiting()
                    .find_map(|taken| self.halt_before(taken));
                return halt.into_iter().for_each(|halt| self.halt(halt));
            }
            if self.spawn_batch() {
                continue;
            }
            let Some(taken) = self.inbox.take() else {
                return;
            };
            self.spawn(taken, None);
        }
    }

    fn may_start(&self) -> bool {
        self.may_write() && self.busy.len() < JOBS
    }

    /// Theirs may be put here now.
    pub(super) fn may_write(&self) -> bool {
        self.scanned_once && self.halted.is_none() && !self.known.paused && self.known.way.is_down()
    }

    fn halt_before(&self, taken: &Taken) -> Option<Halt> {
        let recorded = self.known.root?;
        if let Some(halt) = guard::root(recorded, id_of(&self.hand.root), 0, 0) {
            return Some(halt);
        }
        let change = &taken.change;
        if change.now.is_some()
            || change.accepted
            || taken.again
            || !self.known.base.contains_key(&change.path)
        {
            return None;
        }
        let done = self.deletes_in(change.turn);
        guard::deletes(done, self.inbox.deletes(), self.known.base.len())
    }

    fn deletes_in(&self, turn: Option<u64>) -> usize {
        let (last, number) = self.known.deletes;
        if last == turn { number } else { 0 }
    }

    pub(super) fn spawn(&mut self, mut taken: Taken, reply: Option<oneshot::Sender<Answer>>) {
        let path = taken.change.path.clone();
        taken.passed.extend(self.passed_over(&taken));
        let rules = self.before_rules(&taken);
        let folders = std::iter::successors(path.parent(), RelPath::parent)
            .filter(|at| self.known.folders.contains(at));
        let job = Job {
            base: (self.echo(&taken)).unwrap_or_else(|| self.known.base.get(&path).copied()),
            noted: self.known.conflicts.get(&path).cloned(),
            folders: folders.collect(),
            taken,
        };
        self.alone.remove(&path);
        self.touched.insert(path.clone());
        self.busy.insert(path, job.taken.seq);
        let hand = Arc::clone(&self.hand);
        self.jobs.spawn(async move {
            // Where that fails, the note of the write, which comes next, fails as well.
            if !rules.is_empty()
                && let Err(error) = hand.base.save(&rules).await
            {
                tracing::debug!(%error, "earlier rules are not written down");
            }
            Finished::Change(hand.settle(job).await, reply)
        });
    }

    pub(super) fn drop_copy(&mut self, noted: Noted) {
        let Some(copy) = noted.copy.clone() else {
            return;
        };
        self.busy.insert(copy.clone(), noted.seq);
        let hand = Arc::clone(&self.hand);
        self.jobs.spawn(async move {
            hand.drop_copy(&noted).await;
            Finished::Dropped(copy)
        });
    }

    async fn finished(&mut self, finished: Finished) {
        match finished {
            Finished::Change(done, reply) => self.settled(done, reply).await,
            Finished::Batch(batch) => self.batch_settled(batch).await,
            Finished::Undone {
                paths,
                result,
                reply,
            } => self.undone(&paths, result, reply).await,
            Finished::Rewritten { path, result } => {
                self.undone(std::slice::from_ref(&path), result, None).await;
                self.show(path);
            }
            Finished::Merged(combined) => self.merged(combined).await,
            Finished::Said(report) => self.outbox.push_back(report),
            Finished::Previewed { preview, reply } => self.previewed(preview, reply),
            Finished::Scanned(Ok(tree)) => self.compare(&tree).await,
            Finished::Lifted(lifted) => self.lifted(lifted).await,
            Finished::Scanned(Err(why)) => {
                self.scanned();
                // What cannot be looked at may be gone, and that has its own way out.
                let recorded = self.known.root;
                let gone = recorded.and_then(|id| guard::root(id, id_of(&self.hand.root), 0, 0));
                self.halt(gone.unwrap_or(Halt::Disk(why)));
            }
            Finished::Looked(begun, seen) => self.looked(begun, seen).await,
            Finished::Answered => (),
            Finished::Dropped(copy) => self.is_free(&copy),
            Finished::LookedAside(written) => self.looked_aside(written),
            Finished::Brought(brought) => self.brought(*brought).await,
        }
    }

    /// A job has done with it.
    pub(super) fn is_free(&mut self, path: &RelPath) {
        self.busy.remove(path);
        self.fresh.written(path);
    }

    /// One more delete of its turn was done.
    fn count_delete(&self, taken: &Taken, end: &End) -> Option<Fact> {
        let change = &taken.change;
        let is_done = change.now.is_none() && self.known.base.contains_key(&change.path);
        let turn = change.turn;
        (is_done && *end == End::Settled).then(|| Fact::Deletes(turn, self.deletes_in(turn) + 1))
    }

    pub(super) async fn settled(&mut self, done: Done, reply: Option<oneshot::Sender<Answer>>) {
        let Done {
            taken,
            end,
            mut facts,
        } = done;
        let path = taken.change.path.clone();
        self.is_free(&path);
        tracing::debug!(seq = %taken.seq, %path, ?end, "a change is decided");
        if reply.is_some() {
            self.tidy().await;
        }
        if let End::Halted(halt) = end {
            let why = halt.to_string();
            // A conflict resolved by hand is not the journal's: it is asked for again.
            if !taken.change.forced {
                self.inbox.put_back(taken);
            }
            self.halt(halt);
            return self.reply(reply, Err(why));
        }
        let noted = self.known.conflicts.get(&path);
        let refused = taken.change.forced && noted.is_some_and(|noted| noted.refused);
        // Put in front: what the job found out overrules it.
        if let Some(ours) = self.echo(&taken) {
            facts.insert(0, Fact::Base(path.clone(), ours));
        }
        let answered = self.is_answered(&taken);
        if answered {
            self.answer_of(&taken, &end, &mut facts);
        }
        facts.extend(self.count_delete(&taken, &end));
        let over = end == End::Settled && (taken.change.forced || answered);
        let told_before = self.hold(&taken, &end, &mut facts);
        self.inbox.decided(&taken);
        facts.extend(taken.are_decided());
        self.save(&facts).await;
        if over {
            self.is_over(&path);
        }
        // Of what is tried again the other side's news is old.
        if taken.change.refused.is_none() && !taken.again {
            self.ups.unpark_around(&path);
        }
        self.note_refusal(&taken).await;
        if !told_before {
            self.tell(&taken, &end, answered);
        }
        self.fetched(&path, &end);
        self.after_rules(&path).await;
        self.look_again(&path, taken.change.now, &end);
        // Also where an older one is still to be told: what stands here now is this.
        if end == End::Settled && (refused || self.ups.is_owed(&path)) {
            self.ups.gave_way(&path, taken.change.now);
        }
        if reply.is_some() {
            let answer = settled_as(&path, end);
            self.reply(reply, answer);
        }
    }
}
