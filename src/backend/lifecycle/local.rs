//! Drives runs inside this process: one task per run that is not at rest, timers of tokio, steps through a sandbox.
//!
//! It decides nothing: [`advance`] does. What it holds is lost with the process; everything it must know again
//! after a restart stands in the store, the journal and the process table.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backend::lifecycle::book::{Book, BookError, Ledgers};
use crate::backend::lifecycle::workflow::{
    Input, Left, Life, Limits, Phase, Seed, Step, TimerId, advance,
};
use crate::backend::lifecycle::{Lifecycle, Signal};
use crate::backend::parts::Ground;
use crate::backend::sandbox::{self, Sandbox, Started};
use crate::protocol::ids::{RunId, RunRef};
use crate::protocol::launch::Launch;
use crate::protocol::line;
use crate::protocol::run::{Environment, Status};

/// Signals that may wait for one run. All but the turn's ends say again what was said before, so one that does not
/// fit any more is no loss.
const WAITING: usize = 1024;
/// JSON-RPC code of the response the endpoint writes in a dead agent server's place.
const AGENT_GONE: i64 = -32000;

/// What every launch of this endpoint has in common.
#[derive(Debug, Clone)]
pub struct Settings {
    pub limits: Limits,
    /// The endpoint as a sandbox reaches it: scheme, host, port.
    pub endpoint: String,
    /// The file that always holds the present URL, for the local endpoint.
    pub endpoint_file: Option<PathBuf>,
    /// One folder per run below this one; the same as the sandbox has.
    pub runs: PathBuf,
}

/// The in-process driver.
pub struct Local {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    settings: Settings,
    book: Arc<dyn Book>,
    sandbox: Arc<dyn Sandbox>,
    /// The runs that have a task.
    inboxes: Mutex<HashMap<RunId, mpsc::Sender<Signal>>>,
    /// Agent servers of this endpoint's own, known from the very spawn: the store hears of them a moment later.
    spawned: Mutex<HashMap<RunId, Started>>,
}

/// Ends these agent servers, all at once; how many were alive.
pub(crate) async fn end_all(
    sandbox: &Arc<dyn Sandbox>,
    processes: impl Iterator<Item = Started>,
) -> usize {
    let mut stops = JoinSet::new();
    for started in processes {
        let sandbox = Arc::clone(sandbox);
        stops.spawn(async move {
            let alive = sandbox.is_alive(&started).await;
            sandbox.stop(&started).await;
            alive
        });
    }
    let ended = stops.join_all().await;
    ended.into_iter().filter(|alive| *alive).count()
}

/// A panic elsewhere leaves a map and a set sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a task begins.
enum Opening {
    /// A signal came; it lies in the inbox.
    Signalled,
    /// The endpoint has started; here is the process it had, if any.
    Restarted(Option<Started>),
}

impl Local {
    pub fn new(
        settings: Settings,
        Ground {
            store,
            journal,
            blobs,
            ..
        }: Ground,
        sandbox: Arc<dyn Sandbox>,
    ) -> Self {
        let ledgers = Ledgers {
            store,
            journal,
            blobs,
        };
        Self::with(settings, Arc::new(ledgers), sandbox)
    }

    pub(super) fn with(settings: Settings, book: Arc<dyn Book>, sandbox: Arc<dyn Sandbox>) -> Self {
        let inboxes = Mutex::default();
        Self {
            shared: Arc::new(Shared {
                settings,
                book,
                sandbox,
                inboxes,
                spawned: Mutex::default(),
            }),
            tasks: Mutex::default(),
        }
    }

    /// Takes up every run that was not over when the last endpoint ended. Call it once, before serving.
    pub async fn adopt(&self) {
        let (Ok(runs), Ok(processes)) = (
            self.shared.book.active_runs().await,
            self.shared.book.processes().await,
        ) else {
            tracing::error!("the store cannot be read: runs of the last endpoint are not taken up");
            return;
        };
        let mut processes: HashMap<RunId, (RunRef, Started)> = processes
            .into_iter()
            .map(|(at, started)| (at.run.clone(), (at, started)))
            .collect();
        for stored in runs {
            let process = processes.remove(&stored.at.run).map(|(_, started)| started);
            if stored.run.is_driven() {
                self.open(&stored.at, Opening::Restarted(process), None);
            }
        }
        // Ended while it was being ended.
        for (at, started) in processes.into_values() {
            let shared = Arc::clone(&self.shared);
            lock(&self.tasks).spawn(async move {
                shared.sandbox.stop(&started).await;
                note(shared.book.clear_process(&at.run).await);
            });
        }
    }

    /// Runs that are not at rest.
    pub fn busy(&self) -> usize {
        lock(&self.shared.inboxes).len()
    }

    /// Until the run's task has taken every signal.
    #[cfg(test)]
    pub(super) async fn taken(&self, run: &RunId) {
        while lock(&self.shared.inboxes)
            .get(run)
            .is_some_and(|inbox| inbox.capacity() < WAITING)
        {
            tokio::task::yield_now().await;
        }
    }

    /// Lets go of every run and ends every agent server. What they leave is taken up at the next start.
    pub async fn end_agents(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.shutdown().await;
        lock(&self.shared.inboxes).clear();
        let mut all = std::mem::take(&mut *lock(&self.shared.spawned));
        match self.shared.book.processes().await {
            Ok(noted) => all.extend(noted.into_iter().map(|(at, started)| (at.run, started))),
            Err(error) => tracing::error!(%error, "not every agent server may be known"),
        }
        end_all(&self.shared.sandbox, all.into_values()).await;
    }

    /// Gives the run a task, with a signal as its first, or gives the signal to the task it has.
    fn open(&self, at: &RunRef, opening: Opening, signal: Option<Signal>) {
        let mut inboxes = lock(&self.shared.inboxes);
        let inbox = inboxes.entry(at.run.clone()).or_insert_with(|| {
            let (inbox, signals) = mpsc::channel(WAITING);
            let mut tasks = lock(&self.tasks);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(live(Arc::clone(&self.shared), at.clone(), signals, opening));
            inbox
        });
        if let Some(signal) = signal
            && inbox.try_send(signal).is_err()
        {
            tracing::warn!(run = %at.run, "a run has too many signals waiting; one is left out");
        }
    }
}

#[async_trait::async_trait]
impl Lifecycle for Local {
    async fn signal(&self, at: &RunRef, signal: Signal) {
        match signal {
            Signal::Started | Signal::Message | Signal::Close | Signal::Remove => {
                self.open(at, Opening::Signalled, Some(signal));
            }
            // Of no use to a run at rest.
            Signal::Activity | Signal::Seeded | Signal::TurnRunning(_) => {
                if let Some(inbox) = lock(&self.shared.inboxes).get(&at.run) {
                    inbox.try_send(signal).ok();
                }
            }
        }
    }
}

fn note(outcome: Result<(), BookError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "the life of a run could not be written down");
    }
}

/// One run's task, from its first signal until it rests.
async fn live(
    shared: Arc<Shared>,
    at: RunRef,
    mut signals: mpsc::Receiver<Signal>,
    opening: Opening,
) {
    let Some((mut life, first)) = look_up(&shared, &at, &opening).await else {
        lock(&shared.inboxes).remove(&at.run);
        return;
    };
    let mut driver = Driver {
        shared: Arc::clone(&shared),
        at,
        jobs: JoinSet::new(),
        started: None,
        timer: None,
    };
    if let Opening::Restarted(Some(started)) = opening
        && life.is_alive()
    {
        driver.watch(started);
    }
    driver.perform(first).await;
    loop {
        if driver.may_rest(&life) {
            // Under the lock no new signal can come in between.
            let mut inboxes = lock(&shared.inboxes);
            if signals.is_empty() {
                inboxes.remove(&driver.at.run);
                return;
            }
        }
        let input = tokio::select! {
            Some(signal) = signals.recv() => Some(Input::Signal(signal)),
            Some(done) = driver.jobs.join_next() => match done {
                Ok(done) => driver.done(done).await,
                Err(panic) => {
                    tracing::error!(%panic, run = %driver.at.run, "a step of a run broke");
                    None
                }
            },
            id = time(driver.timer) => Some(Input::TimedOut(id)),
        };
        if let Some(input) = input {
            let steps = advance(&mut life, input);
            driver.perform(steps).await;
        }
        if life.phase() == Phase::Removed && driver.jobs.is_empty() {
            lock(&shared.inboxes).remove(&driver.at.run);
            return;
        }
    }
}

/// What is known of the run, and what is to be done at once.
async fn look_up(shared: &Shared, at: &RunRef, opening: &Opening) -> Option<(Life, Vec<Step>)> {
    let limits = shared.settings.limits;
    let stored = match shared.book.run(&at.run).await {
        Ok(stored) => stored,
        Err(error) => {
            tracing::error!(%error, run = %at.run, "a run cannot be driven");
            return None;
        }
    };
    // A run that is no longer in the store can only be removed.
    let Some(stored) = stored else {
        return Some((Life::new(limits, Seed::None), Vec::new()));
    };
    if !stored.run.is_driven() {
        return None;
    }
    let seed = match stored.run.ours().seed.as_deref() {
        Some("manifest") if shared.book.has_manifest(&at.run).await.unwrap_or(false) => Seed::Here,
        Some("manifest") => Seed::Awaited,
        Some(_) | None => Seed::None,
    };
    let standing = shared.book.standing(at).await.unwrap_or_default();
    let mut life = Life::found(limits, &stored.run.status, seed, standing.closed);
    let left = Left {
        turn: !standing.unanswered.is_empty(),
        untaken: !standing.untaken.is_empty(),
        gave_up: standing.gave_up,
    };
    let steps = match opening {
        Opening::Signalled => Vec::new(),
        Opening::Restarted(Some(started)) if shared.sandbox.is_alive(started).await => {
            advance(&mut life, Input::Adopted { turn: left.turn })
        }
        Opening::Restarted(_) => {
            note(shared.book.clear_process(&at.run).await);
            advance(&mut life, Input::Found(left))
        }
    };
    Some((life, steps))
}

/// Resolves when the timer does; never without one.
async fn time(timer: Option<(TimerId, Instant)>) -> TimerId {
    match timer {
        Some((id, due)) => {
            tokio::time::sleep_until(due).await;
            id
        }
        None => std::future::pending().await,
    }
}

/// What a job ends with.
enum Done {
    Provisioned,
    Started(Started),
    Failed(sandbox::Error),
    Gone,
    Stopped,
}

/// The hands of one run's task.
struct Driver {
    shared: Arc<Shared>,
    at: RunRef,
    jobs: JoinSet<Done>,
    /// The agent server, while it is watched.
    started: Option<Started>,
    timer: Option<(TimerId, Instant)>,
}

impl Driver {
    fn may_rest(&self, life: &Life) -> bool {
        life.rests() && self.jobs.is_empty()
    }

    async fn done(&mut self, done: Done) -> Option<Input> {
        match done {
            Done::Provisioned => Some(Input::Provisioned),
            Done::Started(started) => {
                self.watch(started);
                Some(Input::AgentStarted)
            }
            Done::Failed(error) => Some(Input::StepFailed {
                what: error.what,
                hint: error.hint,
            }),
            Done::Stopped => None,
            Done::Gone => {
                self.started = None;
                lock(&self.shared.spawned).remove(&self.at.run);
                note(self.shared.book.clear_process(&self.at.run).await);
                // What it still holds in its hands must not reach the journal after the turn was closed for it.
                note(self.shared.book.revoke_tokens(&self.at.run).await);
                let standing = self
                    .shared
                    .book
                    .standing(&self.at)
                    .await
                    .unwrap_or_default();
                let left = Left {
                    turn: !standing.unanswered.is_empty(),
                    untaken: !standing.untaken.is_empty(),
                    gave_up: standing.gave_up,
                };
                Some(Input::AgentGone(left))
            }
        }
    }

    fn watch(&mut self, started: Started) {
        let sandbox = Arc::clone(&self.shared.sandbox);
        self.started = Some(started.clone());
        self.jobs.spawn(async move {
            sandbox.wait(&started).await;
            Done::Gone
        });
    }

    async fn perform(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Tell(step) => self.append(line::step(&step)).await,
                Step::SetStatus(status, message) => {
                    self.set_status(&status, message.as_deref()).await
                }
                Step::Complain { message, detail } => {
                    self.append(line::error(&message, detail.as_deref())).await
                }
                Step::Provision => self.provision().await,
                Step::Launch { resume, recover } => self.launch(resume, recover).await,
                Step::StopAgent => self.stop(),
                Step::CloseTurns => self.close_turns().await,
                Step::Destroy => self.destroy().await,
                Step::SetTimer(id, after) => self.timer = Some((id, Instant::now() + after)),
                Step::ClearTimer => self.timer = None,
            }
        }
    }

    async fn append(&self, message: Value) {
        note(self.shared.book.append(&self.at, message).await);
    }

    async fn set_status(&self, status: &Status, message: Option<&str>) {
        // A client may have ended the run by a PATCH, and said so: the first end is the one that counts.
        if status.is_terminal() && self.has_ended().await {
            return;
        }
        if status.is_terminal() {
            // First, so that whoever sees the end finds what it has come to.
            note(self.shared.book.close_manifest(&self.at.run).await);
        }
        let error = message.filter(|_| *status == Status::Failed);
        note(
            self.shared
                .book
                .set_status(&self.at.run, status, error)
                .await,
        );
        if *status == Status::Completed {
            // What a foreign reader knows as the end.
            self.append(line::task_complete(&self.at.task, status))
                .await;
        }
        self.append(line::run_status(status, message)).await;
    }

    async fn has_ended(&self) -> bool {
        let stored = self.shared.book.run(&self.at.run).await;
        matches!(stored, Ok(Some(stored)) if stored.run.status.is_terminal())
    }

    /// What the agent server is handed. Read anew each time: the run may have been changed meanwhile.
    async fn document(
        &self,
        token: String,
        resume: bool,
        recover: bool,
    ) -> Result<Launch, sandbox::Error> {
        let failed = |error: BookError| sandbox::Error {
            what: format!("the run's data cannot be read: {error}"),
            hint: Some("look into the endpoint's log".to_owned()),
        };
        let stored = self.shared.book.run(&self.at.run).await.map_err(failed)?;
        let run = stored
            .map(|stored| stored.run)
            .ok_or_else(|| failed(BookError("it is gone".to_owned())))?;
        let ours = run.ours();
        let named = run.state.get("agent_named").and_then(Value::as_bool);
        let settings = &self.shared.settings;
        Ok(Launch {
            at: self.at.clone(),
            endpoint: settings.endpoint.clone(),
            endpoint_file: settings.endpoint_file.clone(),
            token,
            agent_named: named.unwrap_or(ours.agent.is_some() || ours.agent_command.is_some()),
            agent: ours.agent.filter(|_| ours.agent_command.is_none()),
            agent_command: ours.agent_command,
            secrets: self
                .shared
                .book
                .secrets(&self.at.run)
                .await
                .map_err(failed)?,
            folder: settings.runs.join(self.at.run.as_str()),
            directory: ours
                .directory
                .filter(|_| run.environment == Environment::Local)
                .map(PathBuf::from),
            seeded: ours.seed.as_deref() == Some("manifest"),
            permissions: ours.permissions.unwrap_or_default(),
            resume,
            recover,
            idle_seconds: settings.limits.idle.as_secs(),
            max_file: run.state.get("max_file").and_then(Value::as_u64),
        })
    }

    async fn provision(&mut self) {
        let document = self.document(String::new(), false, false).await;
        let sandbox = Arc::clone(&self.shared.sandbox);
        self.jobs.spawn(async move {
            match document {
                Ok(launch) => sandbox
                    .provision(&launch)
                    .await
                    .map_or_else(Done::Failed, |()| Done::Provisioned),
                Err(error) => Done::Failed(error),
            }
        });
    }

    /// The token is stored, and older ones are revoked, before the spawn: two never write one run (decision 6).
    async fn launch(&mut self, resume: bool, recover: bool) {
        let document = match self.shared.book.new_token(&self.at).await {
            Ok(token) => self.document(token, resume, recover).await,
            Err(error) => Err(sandbox::Error {
                what: format!("no token could be made for the agent server: {error}"),
                hint: Some("look into the endpoint's log".to_owned()),
            }),
        };
        let shared = Arc::clone(&self.shared);
        let run = self.at.run.clone();
        self.jobs.spawn(async move {
            let started = match document {
                Ok(launch) => shared.sandbox.start(&launch).await,
                Err(error) => Err(error),
            };
            match started {
                Ok(started) => {
                    lock(&shared.spawned).insert(run.clone(), started.clone());
                    note(shared.book.put_process(&run, &started).await);
                    Done::Started(started)
                }
                Err(error) => Done::Failed(error),
            }
        });
    }

    /// Without a watched one it is still being started, and is stopped as soon as it is there.
    fn stop(&mut self) {
        let Some(started) = self.started.clone() else {
            return;
        };
        let sandbox = Arc::clone(&self.shared.sandbox);
        self.jobs.spawn(async move {
            sandbox.stop(&started).await;
            Done::Stopped
        });
    }

    async fn close_turns(&self) {
        let standing = match self.shared.book.standing(&self.at).await {
            Ok(standing) => standing,
            Err(error) => return note(Err(error)),
        };
        for open in &standing.permissions {
            let answer = line::permission_response(
                &open.request,
                &open.tool_call,
                "_cancelled",
                None,
                Some("endpoint"),
            );
            self.append(answer).await;
        }
        for open in &standing.unanswered {
            let sentence =
                "the agent server ended during this turn; nobody has looked which files it changed";
            self.append(line::error_response(&open.id, AGENT_GONE, sentence, true))
                .await;
            self.append(line::turn_complete("error", true)).await;
        }
    }

    async fn destroy(&self) {
        note(self.shared.book.revoke_tokens(&self.at.run).await);
        if let Err(error) = self.shared.sandbox.destroy(&self.at).await {
            tracing::warn!(%error, run = %self.at.run, "a removed run's folder is still there");
        }
    }
}
