//! Does what `update` ordered: one arm per effect, one call per arm. Owns every task and every handle of an attached run.
//!
//! Decides nothing. Dropping it ends all its tasks; the run goes on.

use std::convert::Infallible;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::attach::effect::Effect;
use crate::attach::event::Event;
use crate::attach::journal::{Cache, Journal};
use crate::attach::mailbox::Mailbox;
use crate::attach::outbox::{self, Outbox};
use crate::attach::restore;
use crate::attach::shelf;
use crate::attach::state::{Attached, Outgoing};
use crate::attach::update::update;
use crate::client::api::Api;
use crate::client::error::Error;
use crate::client::local::{self, Starter};
use crate::client::refusal;
use crate::client::stream::{self, Heard, Manner, Raw, View};
use crate::config::places::Places;
use crate::mirror::blobs::{self, Blobs, Wanted};
use crate::mirror::control::{self, Request};
use crate::mirror::lock;
use crate::mirror::worker::{self, Order, Report};
use crate::protocol::command::Command;
use crate::protocol::entry::Decoded;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{CommandId, RunRef, Seq};
use crate::session::cells::Cells;
use crate::session::state::Session;

/// Events that wait for the screen; behind it the network waits.
const EVENTS: usize = 256;
/// Batches of lines between the stream and the events.
const HEARD: usize = 8;

/// How often a client says again that it is there; the endpoint waits more than twice as long.
const RENEW: Duration = Duration::from_secs(120);
/// The same after it could not be told.
const RETELL: Duration = Duration::from_secs(20);
/// How long leaving may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// How often another holder of the directory is asked.
const LOOK: Duration = Duration::from_secs(1);

/// Which run, and how.
pub struct Plan {
    pub api: Api,
    pub at: RunRef,
    pub places: Places,
    pub read_only: bool,
    /// How to start the local endpoint again; `None` for any other.
    pub starter: Option<Starter>,
    /// Takes the place of 2.5 keepalives of silence; for tests.
    pub silence: Option<Duration>,
}

/// A run's road, shared by all who speak with its endpoint: a restarted local endpoint may have another port.
#[derive(Clone)]
pub struct Road {
    api: Arc<Mutex<Api>>,
    starter: Option<Starter>,
}

impl Road {
    pub fn new(api: Api, starter: Option<Starter>) -> Self {
        Self {
            api: Arc::new(Mutex::new(api)),
            starter,
        }
    }

    /// The endpoint as it was last found.
    pub fn api(&self) -> Api {
        self.api
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The same, after a look whether the local endpoint still stands; any attached client starts it again.
    pub async fn find(&self) -> Result<Api, Error> {
        let Some(starter) = &self.starter else {
            return Ok(self.api());
        };
        let endpoint = local::find_or_start(starter).await?.state.endpoint();
        let known = self.api();
        if *known.endpoint() == endpoint {
            return Ok(known);
        }
        let api = Api::new(endpoint, None)?;
        *self.api.lock().unwrap_or_else(PoisonError::into_inner) = api.clone();
        Ok(api)
    }

    /// A refusal is final only when it is the endpoint's own.
    async fn believe<T>(&self, asked: &Api, answer: Result<T, Error>) -> Result<T, Error> {
        refusal::believe(self.state().as_deref(), &asked.endpoint().url, answer).await
    }

    /// The same for contents.
    async fn believe_of_blob<T>(
        &self,
        asked: &Api,
        answer: Result<T, blobs::Error>,
    ) -> Result<T, blobs::Error> {
        refusal::believe_of_blob(self.state().as_deref(), &asked.endpoint().url, answer).await
    }

    /// The state file of the endpoint, if it is the local one.
    fn state(&self) -> Option<PathBuf> {
        let starter = self.starter.as_ref()?;
        Some(local::state_file(&starter.places))
    }

    /// The run's contents by the road as it is at the moment of each call.
    pub fn blobs(&self, at: &RunRef) -> Arc<dyn Blobs> {
        Arc::new(LatestBlobs {
            road: self.clone(),
            at: at.clone(),
        })
    }
}

struct LatestBlobs {
    road: Road,
    at: RunRef,
}

#[async_trait::async_trait]
impl Blobs for LatestBlobs {
    async fn get(&self, want: &Wanted, into: &Path) -> Result<(), blobs::Error> {
        let api = self.road.api();
        let got = api.blobs(&self.at).get(want, into).await;
        self.road.believe_of_blob(&api, got).await
    }

    async fn put(&self, hash: ContentHash, size: u64, from: &Path) -> Result<(), blobs::Error> {
        let api = self.road.api();
        let put = api.blobs(&self.at).put(hash, size, from).await;
        self.road.believe_of_blob(&api, put).await
    }

    async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, blobs::Error> {
        let api = self.road.api();
        let missing = api.blobs(&self.at).missing(hashes).await;
        self.road.believe_of_blob(&api, missing).await
    }

    async fn pack(
        &self,
        hashes: &[ContentHash],
    ) -> Result<Vec<(ContentHash, Vec<u8>)>, blobs::Error> {
        let api = self.road.api();
        let packed = api.blobs(&self.at).pack(hashes).await;
        self.road.believe_of_blob(&api, packed).await
    }
}

/// So many of a transcript's newest cells stay in memory: more than a screen or a turn has.
const NEAR: usize = 2048;

/// The hands of one attached run.
pub struct Performer {
    road: Road,
    at: RunRef,
    manner: Manner,
    events: mpsc::Sender<Event>,
    journal: Arc<Mutex<Journal>>,
    outbox: Option<Outbox>,
    mailbox: Mailbox,
    /// Where live mirrors are locked, once this run has one.
    mirrors: Option<PathBuf>,
    /// The mirror is this process's own, not another screen's.
    holds: Arc<AtomicBool>,
    /// At most one.
    follow: JoinSet<()>,
    /// Says again and again that we are there; at most one.
    presence: JoinSet<()>,
    read_only: bool,
    tasks: JoinSet<()>,
}

/// Everything a face of a run needs: it receives events, gives each to `update`, and its effects to `perform`.
pub struct Opened {
    pub attached: Attached,
    pub performer: Performer,
    pub events: mpsc::Receiver<Event>,
    /// How the end of a journal looks that is long and still being read: for a screen, as [`Event::Peeked`].
    pub end: Option<Box<Session>>,
}

impl Opened {
    /// Has the end of a long journal shown until all of it is read. Before the first event is taken.
    pub fn show_end(&mut self) {
        if let Some(end) = self.end.take() {
            update(&mut self.attached, Event::Peeked(end));
        }
    }
}

/// Reads what is kept of the run here; the first events say it.
///
/// To mirror, call [`Performer::join_mirror`] and set `attached.mirrored` before the first event is taken.
pub async fn open(plan: Plan) -> Opened {
    let folder = plan.places.run(&plan.at.run);
    let read_only = plan.read_only;
    let read = tokio::task::spawn_blocking(move || read_kept(&folder, read_only)).await;
    let mut kept = read.unwrap_or_else(|_| Kept::nothing());
    let (events, receiver) = mpsc::channel(EVENTS);
    let mut attached = Attached::new(
        plan.at.clone(),
        plan.api.endpoint().name.clone(),
        plan.read_only,
    );
    attached.machine.seed = rand::random();
    let client = uuid::Uuid::new_v4().to_string();
    attached.machine.client = Some(client.clone());
    attached.notes = kept.notes;
    attached.session.transcript.cells = kept.cells;
    let first = [
        Some(Event::OutboxRestored(kept.outgoing)),
        kept.lines.map(Event::Restored),
    ];
    for event in first.into_iter().flatten() {
        events
            .try_send(event)
            .expect("a new queue has room for two and its reader is here");
    }
    let mut performer = Performer {
        road: Road::new(plan.api, plan.starter),
        at: plan.at,
        manner: Manner {
            silence: plan.silence,
            client: Some(client),
            ..Manner::default()
        },
        events,
        journal: Arc::new(Mutex::new(kept.journal)),
        outbox: kept.outbox,
        mailbox: Mailbox::default(),
        mirrors: None,
        holds: Arc::default(),
        follow: JoinSet::new(),
        presence: JoinSet::new(),
        read_only,
        tasks: JoinSet::new(),
    };
    let end = kept.long.take().map(|(cache, end)| {
        let (journal, events) = (performer.journal.clone(), performer.events.clone());
        let runtime = tokio::runtime::Handle::current();
        performer
            .tasks
            .spawn_blocking(move || restore::tell(&runtime, cache, &journal, &events));
        end
    });
    Opened {
        attached,
        performer,
        events: receiver,
        end,
    }
}

/// What stood on disk. A disk that cannot be used costs the memory of this run, not the run.
struct Kept {
    journal: Journal,
    /// All of it; `None` while a long one is to be read.
    lines: Option<Vec<(Seq, Decoded)>>,
    long: Option<(Cache, Box<Session>)>,
    outbox: Option<Outbox>,
    outgoing: Vec<Outgoing>,
    /// None yet; old ones go to disk.
    cells: Cells,
    notes: Vec<String>,
}

impl Kept {
    fn nothing() -> Self {
        Self {
            journal: Journal::none(),
            lines: Some(Vec::new()),
            long: None,
            outbox: None,
            outgoing: Vec::new(),
            cells: Cells::default(),
            notes: Vec::new(),
        }
    }
}

fn read_kept(folder: &std::path::Path, read_only: bool) -> Kept {
    let mut kept = Kept::nothing();
    let failed = |what: &str, error: std::io::Error| {
        format!("{what} cannot be kept in {}: {error}", folder.display())
    };
    if let Err(error) = private_folder(folder) {
        kept.notes.push(failed("this run", error));
        return kept;
    }
    match restore::kept(folder) {
        Ok(restore::Kept::Short(journal, lines)) => {
            (kept.journal, kept.lines) = (journal, Some(lines));
        }
        Ok(restore::Kept::Long(cache, end)) => {
            (kept.lines, kept.long) = (None, Some((cache, end)));
        }
        Err(error) => kept.notes.push(failed("the journal", error)),
    }
    match shelf::open(folder) {
        Ok(shelf) => kept.cells = Cells::on(Arc::new(shelf), NEAR),
        Err(error) => tracing::warn!(%error, "old cells stay in memory"),
    }
    // A screen that only reads must not take another's words either.
    if !read_only {
        match outbox::open(folder) {
            Ok((outbox, outgoing)) => (kept.outbox, kept.outgoing) = (Some(outbox), outgoing),
            Err(error) => kept.notes.push(failed("unsent words", error)),
        }
    }
    kept
}

fn private_folder(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// True while a panic on this thread belongs to the stream library and is caught: a panic hook steps aside then.
pub fn is_expected_panic() -> bool {
    crate::client::leash::is_leashed()
}

impl Performer {
    /// The road, for the mirror's blobs and for one-shot calls beside the run.
    pub fn road(&self) -> &Road {
        &self.road
    }

    /// Where events of the outside can be put in beside the performer's own.
    pub fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// Starts the mirror of this run in a directory; it ends with the performer. The caller then sets
    /// `attached.mirrored`. When another screen of the same run holds the directory, its state is shown, and the
    /// mirror passes to this one when that leaves.
    pub async fn join_mirror(&mut self, setup: worker::Setup) -> Result<(), worker::Error> {
        self.mirrors = Some(setup.mirrors.clone());
        match worker::start(setup.clone(), &mut self.tasks).await {
            Ok((orders, reports)) => {
                self.holds.store(true, Ordering::Release);
                self.mirror(orders, reports);
                Ok(())
            }
            Err(worker::Error::Lock(lock::Error::Held(holder))) if holder.run == setup.run => {
                let holds = Arc::clone(&self.holds);
                let (mailbox, events) = (self.mailbox.clone(), self.events.clone());
                self.tasks.spawn(take_over(setup, mailbox, holds, events));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Connects a mirror's worker: orders to it, reports as events.
    fn mirror(&mut self, orders: mpsc::Sender<Order>, reports: mpsc::Receiver<Report>) {
        self.tasks.spawn(self.mailbox.clone().carry(orders));
        self.tasks.spawn(pass_on(reports, self.events.clone()));
    }

    /// Runs a task that ends with this run's screen: the mirror's worker, for one.
    pub fn own(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub fn perform(&mut self, effect: Effect) {
        // Finished tasks leave their place.
        while self.tasks.try_join_next().is_some() {}
        match effect {
            Effect::Follow { after } => self.follow(after),
            Effect::LoadRun => self.load_run(),
            Effect::LoadSeed => self.load_seed(),
            Effect::Post(command) => self.post(command),
            Effect::StartTimer { id, wait } => self.start_timer(id, wait),
            Effect::Mirror(Order::Flush(flush)) if !self.holds.load(Ordering::Acquire) => {
                self.ask_to_flush(flush);
            }
            Effect::Mirror(order) => self.mailbox.push(order),
            Effect::KeepOutbox(outgoing) => self.keep_outbox(&outgoing),
            Effect::ForgetJournal => self.lock_journal().forget(),
            Effect::Announce => self.announce(),
        }
    }

    /// The directory is another screen's: its mirror sends what differs, and says when the endpoint has it.
    fn ask_to_flush(&mut self, flush: u64) {
        let (mirrors, run) = (self.mirrors.clone(), self.at.run.clone());
        let events = self.events.clone();
        self.tasks.spawn(async move {
            if let Some(mirrors) = mirrors {
                control::ask(&mirrors, &run, &Request::Flush).await;
            }
            tell(&events, Event::Mirror(Report::Flushed(flush))).await;
        });
    }

    fn announce(&mut self) {
        self.presence.abort_all();
        while self.presence.try_join_next().is_some() {}
        let (road, at) = (self.road.clone(), self.at.clone());
        let (client, read_only) = (self.manner.client.clone(), self.read_only);
        self.presence.spawn(async move {
            loop {
                let told = road
                    .api()
                    .presence(&at, client.as_deref(), true, read_only)
                    .await;
                let rest = match told {
                    Ok(()) => RENEW,
                    Err(error) => {
                        // The link says the same to the user, if it matters.
                        tracing::debug!(%error, "not told that we are there");
                        RETELL
                    }
                };
                tokio::time::sleep(rest).await;
            }
        });
    }

    /// Says that this client leaves, if it ever said that it is there. The end of the stream says the same, so nobody
    /// waits for this longer than half a second.
    pub fn farewell(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        if self.presence.is_empty() {
            return None;
        }
        let (api, at) = (self.road.api(), self.at.clone());
        let (client, read_only) = (self.manner.client.clone(), self.read_only);
        Some(async move {
            let told = api.presence(&at, client.as_deref(), false, read_only);
            match tokio::time::timeout(FAREWELL, told).await {
                Ok(Ok(())) => (),
                Ok(Err(error)) => tracing::debug!(%error, "not told that we leave"),
                Err(_) => tracing::debug!("the endpoint is slow to hear that we leave"),
            }
        })
    }

    fn follow(&mut self, after: Seq) {
        self.follow.abort_all();
        while self.follow.try_join_next().is_some() {}
        let (road, at, manner) = (self.road.clone(), self.at.clone(), self.manner.clone());
        let (journal, events) = (self.journal.clone(), self.events.clone());
        self.follow.spawn(async move {
            let error = match road.find().await {
                Ok(api) => {
                    let error = heard(&api, &at, after, &manner, journal, &events).await;
                    let Err(error) = road.believe::<Infallible>(&api, Err(error)).await;
                    error
                }
                Err(error) => error,
            };
            tell(&events, Event::LinkFailed { error, now: now() }).await;
        });
    }

    fn load_run(&mut self) {
        let (api, at, events) = (self.road.api(), self.at.clone(), self.events.clone());
        self.tasks.spawn(async move {
            match api.run(&at).await {
                Ok(run) => tell(&events, Event::RunLoaded(Box::new(run))).await,
                // The link says the same in a moment, and says it to the user.
                Err(error) => tracing::debug!(%error, "the run cannot be asked for"),
            }
        });
    }

    /// What the run began with, for a mirror whose journal is another one now.
    fn load_seed(&mut self) {
        let (road, at, mailbox) = (self.road.clone(), self.at.clone(), self.mailbox.clone());
        self.tasks.spawn(async move {
            loop {
                match road.api().seed_manifest(&at).await {
                    Ok(manifest) => return mailbox.push(Order::Seed(manifest)),
                    Err(error) if error.is_passing() => tokio::time::sleep(LOOK).await,
                    Err(error) => return tracing::warn!(%error, "no manifest to compare with"),
                }
            }
        });
    }

    fn post(&mut self, command: Command) {
        let (road, at, events) = (self.road.clone(), self.at.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let api = road.api();
            // Every command of ours has an id.
            let id = command.id.clone().unwrap_or_else(CommandId::random);
            let posted = api.post(&at, &command).await;
            let event = match road.believe(&api, posted).await {
                Ok(()) => Event::Posted(id),
                Err(error) => Event::PostFailed {
                    id,
                    error,
                    now: now(),
                },
            };
            tell(&events, event).await;
        });
    }

    fn start_timer(&mut self, id: u64, wait: Duration) {
        let events = self.events.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            tell(&events, Event::TimerFired { id, now: now() }).await;
        });
    }

    fn keep_outbox(&mut self, outgoing: &[Outgoing]) {
        if let Some(outbox) = &self.outbox
            && let Err(error) = outbox.save(outgoing)
        {
            tracing::warn!(%error, "unsent words cannot be kept on disk");
            let events = self.events.clone();
            let why = error.to_string();
            self.tasks
                .spawn(async move { tell(&events, Event::OutboxFailed(why)).await });
        }
    }

    fn lock_journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pass_on(mut reports: mpsc::Receiver<Report>, events: mpsc::Sender<Event>) {
    while let Some(report) = reports.recv().await {
        if events.send(Event::Mirror(report)).await.is_err() {
            return;
        }
    }
}

/// Shows what the holder of the directory says, until it has left it; then mirrors itself. Orders wait meanwhile:
/// the newest of each path.
async fn take_over(
    setup: worker::Setup,
    mailbox: Mailbox,
    holds: Arc<AtomicBool>,
    events: mpsc::Sender<Event>,
) {
    let mut tasks = JoinSet::new();
    loop {
        match worker::start(setup.clone(), &mut tasks).await {
            Ok((orders, reports)) => {
                holds.store(true, Ordering::Release);
                tokio::join!(mailbox.carry(orders), pass_on(reports, events));
                return;
            }
            Err(worker::Error::Lock(lock::Error::Held(holder))) if holder.run == setup.run => {
                if let Ok(answer) = control::ask_holder(&holder, &Request::Status).await {
                    tell(&events, Event::Mirror(Report::Status(answer.status))).await;
                }
            }
            Err(error) => {
                tell(
                    &events,
                    Event::Mirror(Report::Note(format!("no mirror here: {error}"))),
                )
                .await;
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One attempt of the stream, told as events; the journal cache has a line before the screen has.
async fn heard(
    api: &Api,
    at: &RunRef,
    after: Seq,
    manner: &Manner,
    journal: Arc<Mutex<Journal>>,
    events: &mpsc::Sender<Event>,
) -> Error {
    let (out, mut heard) = mpsc::channel(HEARD);
    let journal = || journal.lock().unwrap_or_else(PoisonError::into_inner);
    let mark = journal().bookmark(after);
    let mut keep = |lines: &Raw| journal().append(lines);
    // `out` goes into the block and ends with it, so `pass_on` ends behind the last thing heard.
    let follow = async move {
        stream::follow_kept(api, at, View::Journal, mark, &out, &mut keep, manner).await
    };
    let pass_on = async {
        while let Some(heard) = heard.recv().await {
            tell(events, event(heard)).await;
        }
    };
    let (error, ()) = tokio::join!(follow, pass_on);
    error
}

fn event(heard: Heard) -> Event {
    match heard {
        Heard::Opened { last, same } => Event::HistoryOpened { last, same },
        Heard::Lines(lines) => Event::Arrived(lines),
        Heard::Live => Event::WentLive,
        Heard::Ended(status) => Event::Ended(status),
        Heard::Presence(clients) => Event::Presence(clients),
    }
}

/// Nobody listens only when the screen is being closed, which ends this task too.
async fn tell(events: &mpsc::Sender<Event>, event: Event) {
    if events.send(event).await.is_err() {
        tracing::debug!("the screen is gone");
    }
}

fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::attach::state::{Link, Posting};
    use crate::client::raw::{Act, Asked, Raw as Server, at, events, logs, ours, reply};

    const HELLO: &[u8] = b"event: hello\ndata: {\"last_seq\":2,\"keepalive\":15}\n\n";

    fn plan(server: &Server, folder: &Path) -> Plan {
        Plan {
            api: server.api(),
            at: at(),
            places: Places::below(folder),
            read_only: false,
            starter: None,
            silence: None,
        }
    }

    fn line(number: usize) -> Vec<u8> {
        format!(r#"{{"type":"notification","notification":{{"method":"x{number}"}}}}"#).into_bytes()
    }

    /// Lets a run happen until `done`; a minute is for ever.
    async fn until(opened: &mut Opened, first: Vec<Event>, done: impl Fn(&Attached) -> bool) {
        let happen = async {
            let mut first = first.into_iter();
            loop {
                let event = match opened.events.try_recv() {
                    Ok(event) => event,
                    Err(_) => match first.next() {
                        Some(event) => event,
                        None => opened.events.recv().await.unwrap(),
                    },
                };
                for effect in update(&mut opened.attached, event) {
                    opened.performer.perform(effect);
                }
                if first.len() == 0 && done(&opened.attached) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), happen)
            .await
            .expect("it happens within a minute");
    }

    /// Two lines of history, a stream that stays open, and this for a POST.
    async fn endpoint(post: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Server {
        Server::serve(move |asked: &Asked| {
            let path = asked.path();
            if path.contains("/logs") {
                logs(&[line(1), line(2)], asked.after())
            } else if path.contains("view=journal") {
                vec![events(), Act::Say(HELLO.to_vec()), Act::Silence]
            } else if asked.head.starts_with("POST ") {
                post(asked)
            } else {
                ours(r#"{"id":"r","task":"t","status":"in_progress"}"#)
            }
        })
        .await
    }

    #[tokio::test]
    async fn a_reopened_run_is_there_before_the_network_answers() {
        let folder = tempfile::tempdir().unwrap();
        let server = endpoint(|_| reply("202 Accepted", "", b"")).await;
        let mut opened = open(plan(&server, folder.path())).await;
        until(&mut opened, vec![], |run| {
            run.link == Link::Live && run.run.is_some()
        })
        .await;
        assert_eq!(opened.attached.session.last, Seq(2));
        drop(opened);
        // The same run behind an endpoint that never says a word.
        let silent = Server::serve(|_| vec![Act::Silence]).await;
        let mut opened = open(plan(&silent, folder.path())).await;
        until(&mut opened, vec![], |run| run.session.last == Seq(2)).await;
        let asked = |server: &Server| {
            server
                .asked()
                .iter()
                .map(|a| a.path().to_owned())
                .collect::<Vec<_>>()
        };
        assert!(asked(&silent).is_empty());
        // Live again, it asks only for what is behind the cache, and for its last line to see that it is the same journal.
        let before = asked(&server).len();
        let mut opened = open(plan(&server, folder.path())).await;
        until(&mut opened, vec![], |run| run.link == Link::Live).await;
        let logs: Vec<String> = asked(&server).split_off(before);
        let logs: Vec<&String> = logs.iter().filter(|path| path.contains("/logs")).collect();
        assert_eq!(logs.len(), 1);
        assert!(logs[0].ends_with("/logs?after=1"), "{logs:?}");
        assert_eq!(opened.attached.session.last, Seq(2));
    }

    #[tokio::test]
    async fn words_arrive_once_and_in_order_however_the_road_behaves() {
        let folder = tempfile::tempdir().unwrap();
        let taken: Arc<Mutex<Vec<String>>> = Arc::default();
        let (tries, took) = (Mutex::new(0), taken.clone());
        let server = endpoint(move |asked| {
            let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
            let id = body["id"].as_str().unwrap().to_owned();
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            let accept = || {
                let mut taken = took.lock().unwrap();
                if !taken.contains(&id) {
                    taken.push(id.clone());
                }
            };
            match *tries {
                1 => reply("503 Service Unavailable", "", b""),
                // Taken, but the answer is lost.
                2 => {
                    accept();
                    vec![Act::Close]
                }
                4 => vec![Act::Reset],
                _ => {
                    accept();
                    reply("202 Accepted", "", b"")
                }
            }
        })
        .await;
        let words: Vec<Command> = ["one", "two", "three"].map(Command::user_message).to_vec();
        let mut opened = open(plan(&server, folder.path())).await;
        let say = words.iter().cloned().map(Event::Say).collect();
        until(&mut opened, say, |run| {
            run.outbox.iter().all(|o| o.state == Posting::Accepted)
        })
        .await;
        let ids: Vec<String> = words
            .iter()
            .map(|w| w.id.clone().unwrap().to_string())
            .collect();
        assert_eq!(*taken.lock().unwrap(), ids);
    }

    #[tokio::test]
    async fn words_that_could_not_be_sent_are_sent_by_the_next_screen() {
        let folder = tempfile::tempdir().unwrap();
        let dead = endpoint(|_| vec![Act::Silence]).await;
        let word = Command::user_message("do not lose me");
        let mut opened = open(plan(&dead, folder.path())).await;
        until(&mut opened, vec![Event::Say(word.clone())], |run| {
            run.outbox.iter().any(|o| o.state == Posting::InFlight)
        })
        .await;
        drop(opened);
        let alive = endpoint(|_| reply("202 Accepted", "", b"")).await;
        let mut opened = open(plan(&alive, folder.path())).await;
        until(&mut opened, vec![], |run| {
            run.outbox.iter().any(|o| o.state == Posting::Accepted)
        })
        .await;
        assert_eq!(opened.attached.outbox[0].command, word);
    }

    #[tokio::test]
    async fn a_refused_token_ends_the_link_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let server =
            Server::serve(|_| reply("401 Unauthorized", "", b"{\"error\":\"token expired\"}"))
                .await;
        let mut opened = open(plan(&server, folder.path())).await;
        until(&mut opened, vec![], |run| {
            matches!(run.link, Link::Offline { .. })
        })
        .await;
        let Link::Offline { reason } = &opened.attached.link else {
            panic!();
        };
        assert!(
            reason.contains("token expired") && reason.contains("ASHORE_TOKEN"),
            "{reason}"
        );
    }
}
