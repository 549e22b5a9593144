//! `advance(life, input) -> steps`: what a run does next.
//!
//! Pure. It knows no clock: a timer is a step with an id, and its end is an input with the same id. An input that
//! comes too late, after the phase it belongs to, changes nothing, except that an agent server nobody waits for any
//! more is ended.

use std::time::Duration;

use crate::backend::lifecycle::Signal;
use crate::protocol::entry::{Step as Told, StepStatus};
use crate::protocol::run::Status;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Without a message, an entry of the agent side or a running turn.
    pub idle: Duration,
    /// For making the sandbox.
    pub provision: Duration,
    /// Without a blob or manifest request, while the manifest is waited for (contract 10.4).
    pub seed: Duration,
    /// From the spawn to the first word of the agent side.
    pub start: Duration,
    /// For a second agent server to close the turn of a dead one (design decision 7).
    pub recover: Duration,
    /// Between `_posthog/close`, which the agent server obeys by itself, and ending it by signal.
    pub close: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15 * 60),
            provision: Duration::from_secs(5 * 60),
            seed: Duration::from_secs(10 * 60),
            start: Duration::from_secs(2 * 60),
            recover: Duration::from_secs(30),
            close: Duration::from_secs(10),
        }
    }
}

/// Names one timer; an old one's end is told from a new one's by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(pub u64);

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was asked for yet.
    Created,
    Provisioning,
    /// The sandbox is there, the files are not.
    Seeding,
    /// The agent server was ordered, or is there and has not spoken.
    Starting,
    Running,
    /// A second agent server is closing the turn of a dead one.
    Recovering,
    /// The agent server has been told to end.
    Ending(Ending),
    /// Over, with a folder that a message can wake.
    Ended,
    Removed,
}

/// What comes after the agent server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Idle,
    Closed,
    /// It could not close the turn of the one before it.
    Unrecovered,
    /// It did not come up; the run has been reported as failed already.
    Failed,
    Removed,
}

/// What a dead agent server has left in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// A prompt request line without a response.
    pub turn: bool,
    /// Messages nobody has taken.
    pub untaken: bool,
    /// It said itself that it could not start the agent.
    pub gave_up: bool,
}

/// The files that a run begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    None,
    /// A client has yet to send them.
    Awaited,
    Here,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Signal(Signal),
    Provisioned,
    AgentStarted,
    /// `Provision` or `Launch` has failed.
    StepFailed {
        what: String,
        hint: Option<String>,
    },
    AgentGone(Left),
    TimedOut(TimerId),
    /// The endpoint has started anew and the agent server is still there.
    Adopted {
        turn: bool,
    },
    /// The endpoint has started anew, and the run has no agent server.
    Found(Left),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A provisioning step, for the journal.
    Tell(Told),
    SetStatus(Status, Option<String>),
    /// `_posthog/error`, for the journal.
    Complain {
        message: String,
        detail: Option<String>,
    },
    Provision,
    Launch {
        resume: bool,
        recover: bool,
    },
    /// End the agent server's process group; `AgentGone` follows.
    StopAgent,
    /// Answer every open permission and every unanswered prompt in the agent's place, and say that nobody scanned.
    CloseTurns,
    Destroy,
    /// Takes the place of the timer before it.
    SetTimer(TimerId, Duration),
    ClearTimer,
}

/// One run, as its workflow knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    phase: Phase,
    limits: Limits,
    /// The files are waited for.
    seed: Seed,
    /// An agent server has spoken once: its session may be loaded.
    had_agent: bool,
    /// An agent server was started and has not been seen to end.
    alive: bool,
    turn: bool,
    /// It was started again without a message and has not finished a turn since: not a third time.
    restarted: bool,
    /// A message came while the agent server was being ended.
    wanted: bool,
    /// `close` was said: no message wakes this run.
    closed: bool,
    timers: u64,
    timer: Option<TimerId>,
}

impl Life {
    /// A run that has just been created.
    pub fn new(limits: Limits, seed: Seed) -> Self {
        Self {
            phase: Phase::Created,
            limits,
            seed,
            had_agent: false,
            alive: false,
            turn: false,
            restarted: false,
            wanted: false,
            closed: false,
            timers: 0,
            timer: None,
        }
    }

    /// A run found in the store when a signal for it came, or at start.
    pub fn found(limits: Limits, status: &Status, seed: Seed, closed: bool) -> Self {
        let mut life = Self::new(limits, seed);
        if status.is_terminal() {
            life.phase = Phase::Ended;
        }
        life.had_agent = status.is_terminal() || *status == Status::InProgress;
        life.closed = closed;
        life
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Nothing is awaited: what drives this run may forget it until the next signal.
    pub fn rests(&self) -> bool {
        !self.alive && matches!(self.phase, Phase::Created | Phase::Ended | Phase::Removed)
    }

    /// The timer that runs.
    pub fn timer(&self) -> Option<TimerId> {
        self.timer
    }

    /// An agent server was ordered and has not been seen to end.
    pub fn is_alive(&self) -> bool {
        self.alive
    }

    fn new_timer(&mut self, after: Duration) -> Step {
        self.timers += 1;
        let id = TimerId(self.timers);
        self.timer = Some(id);
        Step::SetTimer(id, after)
    }

    fn no_timer(&mut self) -> Option<Step> {
        self.timer.take().map(|_| Step::ClearTimer)
    }
}

/// Takes one input and says what to do, in order.
pub fn advance(life: &mut Life, input: Input) -> Vec<Step> {
    match input {
        Input::Signal(signal) => heard(life, signal),
        Input::Provisioned if life.phase == Phase::Provisioning => provisioned(life),
        Input::Provisioned => Vec::new(),
        Input::AgentStarted => agent_started(life),
        Input::StepFailed { what, hint } => step_failed(life, what, hint),
        Input::AgentGone(left) => agent_gone(life, left),
        Input::TimedOut(id) if life.timer == Some(id) => {
            life.timer = None;
            timed_out(life)
        }
        Input::TimedOut(_) => Vec::new(),
        Input::Adopted { turn } => adopted(life, turn),
        Input::Found(left) => found(life, left),
    }
}

fn heard(life: &mut Life, signal: Signal) -> Vec<Step> {
    if life.phase == Phase::Removed || life.phase == Phase::Ending(Ending::Removed) {
        return Vec::new();
    }
    match signal {
        Signal::Started if life.phase == Phase::Created => begin(life),
        // A hand-over of a run that has one, or a run that was ended: a message wakes it.
        Signal::Started => Vec::new(),
        Signal::Message => message(life),
        Signal::Activity => activity(life),
        Signal::Seeded => seeded(life),
        Signal::TurnRunning(running) => turn_running(life, running),
        Signal::Close => close(life),
        Signal::Remove => remove(life),
    }
}

fn told(name: &str, status: StepStatus, detail: Option<&str>) -> Step {
    Step::Tell(Told {
        name: name.to_owned(),
        status,
        detail: detail.map(str::to_owned),
        hint: None,
    })
}

/// Nobody queues on one machine, so the first step is done when it starts; a fleet takes its time between the two.
fn begin(life: &mut Life) -> Vec<Step> {
    life.phase = Phase::Provisioning;
    life.restarted = false;
    let mut steps = Vec::new();
    if !life.had_agent {
        steps.extend([
            Step::SetStatus(Status::Queued, None),
            told("queued", StepStatus::Started, None),
            told("queued", StepStatus::Done, None),
        ]);
    }
    steps.extend([
        Step::SetStatus(Status::InProgress, None),
        told("sandbox", StepStatus::Started, None),
        Step::Provision,
        life.new_timer(life.limits.provision),
    ]);
    steps
}

fn provisioned(life: &mut Life) -> Vec<Step> {
    let mut steps = vec![told("sandbox", StepStatus::Done, None)];
    let begun = |detail| told("workspace", StepStatus::Started, detail);
    if life.seed == Seed::Awaited {
        life.phase = Phase::Seeding;
        steps.push(begun(Some("waiting for the files")));
        steps.push(life.new_timer(life.limits.seed));
        return steps;
    }
    if life.seed == Seed::Here && !life.had_agent {
        steps.push(begun(None));
    }
    steps.extend(start_agent(life));
    steps
}

/// From here on the agent side tells the steps: it knows when they are done. Only the beginning of a seeded workspace is
/// told here, where its files may be waited for.
fn start_agent(life: &mut Life) -> Vec<Step> {
    life.phase = Phase::Starting;
    vec![launch(life, false), life.new_timer(life.limits.start)]
}

fn launch(life: &mut Life, recover: bool) -> Step {
    life.alive = true;
    Step::Launch {
        resume: life.had_agent,
        recover,
    }
}

fn seeded(life: &mut Life) -> Vec<Step> {
    life.seed = Seed::Here;
    if life.phase == Phase::Seeding {
        start_agent(life)
    } else {
        Vec::new()
    }
}

/// A start that comes when the run has been ended meanwhile is ended too.
fn agent_started(life: &mut Life) -> Vec<Step> {
    match life.phase {
        Phase::Ending(_) => vec![Step::StopAgent],
        Phase::Starting | Phase::Recovering | Phase::Running => Vec::new(),
        Phase::Created | Phase::Provisioning | Phase::Seeding | Phase::Ended | Phase::Removed => {
            life.alive = true;
            vec![Step::StopAgent]
        }
    }
}

fn step_failed(life: &mut Life, what: String, hint: Option<String>) -> Vec<Step> {
    match life.phase {
        Phase::Provisioning => fail(life, "sandbox", what, hint),
        Phase::Starting => {
            life.alive = false;
            fail(life, "agent", what, hint)
        }
        Phase::Recovering => {
            life.alive = false;
            unrecovered(life)
        }
        Phase::Ending(ending) => {
            life.alive = false;
            over(life, ending, Left::default())
        }
        // A late word of the server before it was taken for a word of this one.
        Phase::Running if life.alive => {
            life.alive = false;
            fail(life, "agent", what, hint)
        }
        Phase::Created | Phase::Seeding | Phase::Running | Phase::Ended | Phase::Removed => {
            Vec::new()
        }
    }
}

/// One step went wrong: the run has failed, and a message tries again.
fn fail(life: &mut Life, step: &str, what: String, hint: Option<String>) -> Vec<Step> {
    let mut steps = vec![
        Step::Tell(Told {
            name: step.to_owned(),
            status: StepStatus::Failed,
            detail: Some(what.clone()),
            hint: hint.clone(),
        }),
        Step::Complain {
            message: what.clone(),
            detail: hint,
        },
        Step::SetStatus(Status::Failed, Some(what)),
    ];
    if life.alive {
        life.phase = Phase::Ending(Ending::Failed);
        steps.push(Step::StopAgent);
    } else {
        life.phase = Phase::Ended;
    }
    steps.extend(life.no_timer());
    steps
}

fn message(life: &mut Life) -> Vec<Step> {
    match life.phase {
        Phase::Ended if life.closed => Vec::new(),
        Phase::Created | Phase::Ended => begin(life),
        Phase::Running => idle_again(life),
        Phase::Ending(Ending::Closed | Ending::Removed) => Vec::new(),
        Phase::Ending(Ending::Idle | Ending::Unrecovered | Ending::Failed) => {
            life.wanted = true;
            Vec::new()
        }
        Phase::Provisioning
        | Phase::Seeding
        | Phase::Starting
        | Phase::Recovering
        | Phase::Removed => Vec::new(),
    }
}

/// The idle limit starts anew, or rests while a turn runs.
fn idle_again(life: &mut Life) -> Vec<Step> {
    if life.turn {
        life.no_timer().into_iter().collect()
    } else {
        vec![life.new_timer(life.limits.idle)]
    }
}

fn activity(life: &mut Life) -> Vec<Step> {
    match life.phase {
        Phase::Starting => spoke(life),
        Phase::Running => idle_again(life),
        // A blob was asked for or put: the files are on their way.
        Phase::Seeding => vec![life.new_timer(life.limits.seed)],
        // Only the end of the turn counts: what a second server says before is not yet a recovery.
        Phase::Recovering
        | Phase::Created
        | Phase::Provisioning
        | Phase::Ending(_)
        | Phase::Ended
        | Phase::Removed => Vec::new(),
    }
}

/// The first word of a new agent server.
fn spoke(life: &mut Life) -> Vec<Step> {
    life.phase = Phase::Running;
    life.had_agent = true;
    idle_again(life)
}

fn turn_running(life: &mut Life, running: bool) -> Vec<Step> {
    life.turn = running;
    match life.phase {
        Phase::Starting => spoke(life),
        Phase::Recovering if !running => {
            life.phase = Phase::Running;
            idle_again(life)
        }
        Phase::Running => {
            life.restarted &= running;
            idle_again(life)
        }
        Phase::Recovering
        | Phase::Created
        | Phase::Provisioning
        | Phase::Seeding
        | Phase::Ending(_)
        | Phase::Ended
        | Phase::Removed => Vec::new(),
    }
}

fn close(life: &mut Life) -> Vec<Step> {
    life.closed = true;
    life.wanted = false;
    match life.phase {
        Phase::Running => {
            life.phase = Phase::Ending(Ending::Closed);
            vec![life.new_timer(life.limits.close)]
        }
        Phase::Starting | Phase::Recovering => end(life, Ending::Closed),
        Phase::Created | Phase::Provisioning | Phase::Seeding => {
            over(life, Ending::Closed, Left::default())
        }
        Phase::Ending(Ending::Removed) | Phase::Removed | Phase::Ended => Vec::new(),
        Phase::Ending(_) => {
            life.phase = Phase::Ending(Ending::Closed);
            Vec::new()
        }
    }
}

fn remove(life: &mut Life) -> Vec<Step> {
    if life.alive {
        end(life, Ending::Removed)
    } else {
        over(life, Ending::Removed, Left::default())
    }
}

fn end(life: &mut Life, ending: Ending) -> Vec<Step> {
    life.phase = Phase::Ending(ending);
    let mut steps: Vec<Step> = life.no_timer().into_iter().collect();
    steps.push(Step::StopAgent);
    steps
}

fn timed_out(life: &mut Life) -> Vec<Step> {
    let minutes = |limit: Duration| limit.as_secs().div_ceil(60);
    match life.phase {
        Phase::Provisioning => {
            let what = format!(
                "the sandbox was not ready after {} min",
                minutes(life.limits.provision)
            );
            let hint = "look into the endpoint's log, and whether its disk is full".to_owned();
            fail(life, "sandbox", what, Some(hint))
        }
        Phase::Seeding => {
            let what = format!("no file arrived for {} min", minutes(life.limits.seed));
            let hint = "keep the client open until the files are uploaded; a new message starts the run again".to_owned();
            fail(life, "workspace", what, Some(hint))
        }
        Phase::Starting => {
            let what = format!(
                "the agent server said nothing for {} min",
                minutes(life.limits.start)
            );
            let hint =
                "look into `agent.log` in the run's folder, or at `ashore doctor`".to_owned();
            fail(life, "agent", what, Some(hint))
        }
        Phase::Running => end(life, Ending::Idle),
        Phase::Recovering => end(life, Ending::Unrecovered),
        Phase::Ending(_) => vec![Step::StopAgent],
        Phase::Created | Phase::Ended | Phase::Removed => Vec::new(),
    }
}

fn agent_gone(life: &mut Life, left: Left) -> Vec<Step> {
    life.alive = false;
    match life.phase {
        Phase::Ending(ending) => over(life, ending, left),
        Phase::Starting if left.gave_up && !left.turn => gave_up(life),
        Phase::Starting => {
            let what = "the agent server ended before it was ready".to_owned();
            let hint =
                "look into `agent.log` in the run's folder, or at `ashore doctor`".to_owned();
            let mut steps = fail(life, "agent", what, Some(hint));
            steps.extend(left.turn.then_some(Step::CloseTurns));
            life.turn = false;
            steps
        }
        Phase::Recovering => unrecovered(life),
        Phase::Running => died(life, left),
        Phase::Created | Phase::Provisioning | Phase::Seeding | Phase::Ended | Phase::Removed => {
            Vec::new()
        }
    }
}

/// An agent server that was at work is gone.
fn died(life: &mut Life, left: Left) -> Vec<Step> {
    life.turn = left.turn;
    let again = !life.restarted;
    life.restarted = true;
    if left.gave_up && !left.turn {
        return gave_up(life);
    }
    if left.turn && again {
        return recover(life);
    }
    if left.turn {
        return unrecovered(life);
    }
    if left.untaken && again {
        return restart(life);
    }
    failed(
        life,
        "the agent server has ended; a message starts it again",
    )
}

fn recover(life: &mut Life) -> Vec<Step> {
    life.phase = Phase::Recovering;
    vec![
        Step::Complain {
            message: "the agent server ended during a turn; it is started again to close it"
                .to_owned(),
            detail: None,
        },
        launch(life, true),
        life.new_timer(life.limits.recover),
    ]
}

fn restart(life: &mut Life) -> Vec<Step> {
    life.phase = Phase::Starting;
    vec![launch(life, false), life.new_timer(life.limits.start)]
}

/// The journal has its reason already, from its own mouth.
fn gave_up(life: &mut Life) -> Vec<Step> {
    life.phase = Phase::Ended;
    let what = "the agent could not be started; a message tries again".to_owned();
    let mut steps = vec![Step::SetStatus(Status::Failed, Some(what))];
    steps.extend(life.no_timer());
    wake(life, &mut steps);
    steps
}

/// Nobody is left who could close the turn.
fn unrecovered(life: &mut Life) -> Vec<Step> {
    life.turn = false;
    let mut steps = vec![Step::CloseTurns];
    steps.extend(failed(
        life,
        "the agent server ended during a turn and could not be started again; a message tries anew",
    ));
    steps
}

fn failed(life: &mut Life, message: &str) -> Vec<Step> {
    life.phase = Phase::Ended;
    let mut steps = vec![
        Step::Complain {
            message: message.to_owned(),
            detail: Some("its last words are in `agent.log` in the run's folder".to_owned()),
        },
        Step::SetStatus(Status::Failed, Some(message.to_owned())),
    ];
    steps.extend(life.no_timer());
    wake(life, &mut steps);
    steps
}

/// The agent server has ended as it was told to.
fn over(life: &mut Life, ending: Ending, left: Left) -> Vec<Step> {
    let mut steps: Vec<Step> = life.no_timer().into_iter().collect();
    life.turn = false;
    life.phase = Phase::Ended;
    if left.turn && ending != Ending::Removed && ending != Ending::Unrecovered {
        steps.push(Step::CloseTurns);
    }
    match ending {
        Ending::Closed => steps.push(Step::SetStatus(Status::Completed, None)),
        Ending::Idle => {
            let minutes = life.limits.idle.as_secs().div_ceil(60);
            let message =
                format!("closed after {minutes} min without a message; a message opens it again");
            steps.push(Step::SetStatus(Status::Completed, Some(message)));
        }
        Ending::Unrecovered => return unrecovered(life),
        Ending::Failed => (),
        Ending::Removed => {
            life.phase = Phase::Removed;
            steps.push(Step::Destroy);
        }
    }
    wake(life, &mut steps);
    steps
}

/// A message that came while the run was being ended is not lost.
fn wake(life: &mut Life, steps: &mut Vec<Step>) {
    if std::mem::take(&mut life.wanted) && life.phase == Phase::Ended && !life.closed {
        steps.extend(begin(life));
    }
}

fn adopted(life: &mut Life, turn: bool) -> Vec<Step> {
    life.phase = Phase::Running;
    life.alive = true;
    life.had_agent = true;
    life.turn = turn;
    idle_again(life)
}

/// The endpoint was away, and so is the agent server now.
fn found(life: &mut Life, left: Left) -> Vec<Step> {
    if life.phase != Phase::Created {
        return Vec::new();
    }
    if life.closed {
        return over(life, Ending::Closed, left);
    }
    if left.turn {
        life.restarted = true;
        life.turn = true;
        return recover(life);
    }
    if left.untaken || !life.had_agent || life.seed == Seed::Awaited {
        return begin(life);
    }
    life.phase = Phase::Ended;
    let message = "the agent server ended while the endpoint was away; a message starts it again";
    vec![Step::SetStatus(Status::Completed, Some(message.to_owned()))]
}
