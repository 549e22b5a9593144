//! What all parts of a simulated life share: chance, the trace, what must be true, and whether trouble is over.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::dice::Dice;
use super::net::Stalled;
use super::options::Options;
use super::trees::Trees;
use super::truth::Truth;
use crate::protocol::ids::{ProjectId, RunRef};

/// No life is as eventful as this.
const MOST: usize = 100_000;
/// Lines of the trace that are kept for a failure's report.
const TOLD: usize = 4000;

pub(super) struct World {
    pub(super) options: Options,
    dice: Mutex<Dice>,
    pub(super) trees: Arc<Trees>,
    trace: Mutex<Trace>,
    truth: Mutex<Truth>,
    start: Instant,
    calm: AtomicBool,
    failure: Mutex<Option<String>>,
    pub(super) failed: Notify,
    pub(super) stalled: Stalled,
}

/// Everything that happened, as a hash, and the newest of it as text.
#[derive(Default)]
struct Trace {
    hash: u64,
    count: usize,
    lines: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let options = Options::draw(&mut dice);
        Self {
            options,
            dice: Mutex::new(dice),
            trees: Trees::new(seed),
            trace: Mutex::default(),
            truth: Mutex::default(),
            start: Instant::now(),
            calm: AtomicBool::new(false),
            failure: Mutex::default(),
            failed: Notify::new(),
            stalled: Stalled::default(),
        }
    }

    /// The one run of this world.
    pub(super) fn at(&self) -> RunRef {
        RunRef {
            project: ProjectId(1),
            task: "task".parse().expect("an id"),
            run: "run".parse().expect("an id"),
        }
    }

    pub(super) fn dice(&self) -> MutexGuard<'_, Dice> {
        lock(&self.dice)
    }

    pub(super) fn truth(&self) -> MutexGuard<'_, Truth> {
        lock(&self.truth)
    }

    /// Trouble is over: from here on everything works.
    pub(super) fn set_calm(&self) {
        self.note("calm");
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Bad luck, in thousandths; none once it is calm.
    pub(super) fn trouble(&self, thousandths: u64) -> bool {
        !self.is_calm() && self.dice().chance(thousandths)
    }

    /// Waits a while that chance chooses.
    pub(super) async fn pause(&self, from: u64, to: u64) {
        let wait = self.dice().millis(from, to);
        sleep(wait).await;
    }

    /// The time one message takes on the network.
    pub(super) async fn travel(&self) {
        let most = u64::try_from(self.options.latency.as_millis()).unwrap_or(u64::MAX);
        self.pause(0, most).await;
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// One thing that happened. Times of day and memory addresses have no place in it.
    pub(super) fn note(&self, what: impl Display) {
        let text = format!("{:>8} {what}", self.now().as_millis());
        let mut trace = lock(&self.trace);
        for byte in text.bytes() {
            trace.hash = (trace.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if trace.lines.len() == TOLD {
            trace.lines.drain(..TOLD / 2);
        }
        trace.lines.push(text);
        trace.count += 1;
        let lively = trace.count == MOST;
        drop(trace);
        if lively {
            self.fail("it runs in circles");
        }
    }

    pub(super) fn hash(&self) -> u64 {
        lock(&self.trace).hash
    }

    /// The newest lines of the trace.
    pub(super) fn tail(&self, most: usize) -> String {
        let trace = lock(&self.trace);
        let first = trace.lines.len().saturating_sub(most);
        trace.lines[first..].join("\n")
    }

    /// Something that must never be. The first one counts.
    pub(super) fn fail(&self, what: impl Display) {
        self.note(format_args!("FAILED: {what}"));
        lock(&self.failure).get_or_insert_with(|| what.to_string());
        self.failed.notify_one();
    }

    pub(super) fn check(&self, checked: Result<(), String>) {
        if let Err(what) = checked {
            self.fail(what);
        }
    }

    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }
}
