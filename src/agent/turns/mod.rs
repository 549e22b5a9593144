//! The turn queue: which command is taken, running, answered, and what a cancel or a dead child means
//! (design decisions 5 and 7).
//!
//! Pure: events in, effects out. Knows no time, no process and no network. A command is taken when its request line is
//! durable; a turn is over when its response line is, and that stands behind every file of the turn.

mod amend;

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Value, json};

use crate::agent::translate;
use crate::plant::planted;
use crate::protocol::amend::Amendment;
use crate::protocol::command::{Command, LocalChange, Prompt, What};
use crate::protocol::entry::{Ends, RpcError};
use crate::protocol::ids::{CommandId, RunId, Seq};
use crate::protocol::line;

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A command of a client, in journal order; a cancel and a steer come as such.
    Heard { seq: Seq, command: Command },
    /// A prompt that waited when this start began.
    Waits(Waiting),
    /// `ends`: as the endpoint saw it when it took the cancel. What is over stays as it ended, and nothing else ends in its
    /// place.
    Cancel { ends: Option<Ends> },
    /// A waiting prompt is to run now; `ends` as with `Cancel`.
    Steer {
        ends: Option<Ends>,
        amendment: Amendment,
    },
    /// The child has a session.
    Ready,
    /// Everything journaled up to the last `Effect::Wait` is durable.
    Durable,
    /// The child answered the prompt.
    Answered(Result<Value, RpcError>),
    /// The child is gone; why, for people.
    Gone(String),
    /// Every file of the turn is journaled behind its blob.
    Scanned,
    /// Each change of the command at this line is answered.
    EditsAnswered(Seq),
    /// The child did not answer in time after a cancel of this turn.
    OutOfPatience(u64),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Journal(Value),
    /// Say `Durable` when everything journaled so far is.
    Wait,
    StartChild,
    Prompt {
        blocks: Vec<Value>,
    },
    /// Tell the child to stop this turn, answer its open permission requests with `cancelled`, and watch the clock.
    Interrupt {
        turn: u64,
    },
    /// Nobody waits for the open permission requests any more: close them in the journal.
    DropPermissions,
    /// Journal what this turn changed on disk, then say `Scanned`.
    Scan {
        turn: u64,
    },
    EndChild,
    /// Bring these changes of a client into the workspace, answer each, then say `EditsAnswered`.
    Take {
        seq: Seq,
        command: CommandId,
        changes: Vec<LocalChange>,
    },
    /// Not about turns: a mode, an option, a permission.
    Perform(What),
    Quit,
}

/// A prompt that no turn has taken, as what became of it since it was said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) seq: Seq,
    /// The command that it will be taken as.
    pub(crate) command: CommandId,
    pub(crate) prompt: Prompt,
    /// The change that gave it these words.
    pub(crate) edit: Option<CommandId>,
    /// To be answered `cancelled` without reaching the child.
    pub(crate) cancelled: bool,
}

impl Waiting {
    pub(crate) fn said(seq: Seq, command: CommandId, prompt: Prompt) -> Self {
        Self {
            seq,
            command,
            prompt,
            edit: None,
            cancelled: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Queued {
    /// The message that its words belong to; that one was taken already when the words came too late for it.
    message: CommandId,
    waiting: Waiting,
}

impl Queued {
    fn is(&self, command: &CommandId) -> bool {
        self.message == *command || self.waiting.command == *command
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Turn {
    number: u64,
    /// The command it was taken as, and the message that its words belong to.
    command: Option<CommandId>,
    message: Option<CommandId>,
    blocks: Vec<Value>,
    cancelled: bool,
}

impl Turn {
    fn is(&self, command: &CommandId) -> bool {
        self.command.as_ref() == Some(command) || self.message.as_ref() == Some(command)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Idle,
    /// The request line is on its way to the journal.
    Taking(Turn),
    Running(Turn),
    /// Over for the child; its files are not yet all journaled.
    Closing {
        turn: Turn,
        outcome: Result<Value, RpcError>,
        /// The child's end, to be told behind the response.
        lost: Option<String>,
    },
    /// The response line is on its way.
    Answering(Turn),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Child {
    Absent,
    Starting,
    Ready,
}

/// A turn that a former start of the agent server left open.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Left {
    pub(crate) number: u64,
    pub(crate) command: Option<CommandId>,
}

/// The queue and the turn in progress.
#[derive(Debug)]
pub(crate) struct Turns {
    run: RunId,
    queue: VecDeque<Queued>,
    phase: Phase,
    child: Child,
    /// Turns so far; also the JSON-RPC id of the last request line.
    count: u64,
    /// Messages that a cancel has ended: new words that came too late for one of them do not run.
    ended: BTreeSet<CommandId>,
    /// Changes of clients that are not yet answered: no prompt behind one of them is taken.
    edits: BTreeSet<Seq>,
    closing: bool,
}

/// The most prompts that wait; the endpoint has its own limits, this one bounds our memory.
const MOST_QUEUED: usize = 10_000;

impl Turns {
    pub(crate) fn new(run: RunId, count: u64) -> Self {
        Self {
            run,
            queue: VecDeque::new(),
            phase: Phase::Idle,
            child: Child::Absent,
            count,
            ended: BTreeSet::new(),
            edits: BTreeSet::new(),
            closing: false,
        }
    }

    /// A child is being started without a prompt that asked for it.
    pub(crate) fn starts_early(&mut self) {
        self.child = Child::Starting;
    }

    /// A turn is taken and not yet answered.
    pub(crate) fn is_working(&self) -> bool {
        !matches!(self.phase, Phase::Idle)
    }

    /// The turn to which a change belongs that is noticed now. Once its own last look was ordered, what is noticed later
    /// would be told behind its response.
    pub(crate) fn in_turn(&self) -> Option<u64> {
        match &self.phase {
            Phase::Taking(turn) | Phase::Running(turn) => Some(turn.number),
            Phase::Idle | Phase::Closing { .. } | Phase::Answering(_) => None,
        }
    }

    /// The number of the turn in progress, else of the last one.
    pub(crate) fn number(&self) -> u64 {
        self.count
    }

    /// Closes what a former start left open: it is answered, never run again.
    pub(crate) fn resume(&mut self, left: Option<Left>) -> Vec<Effect> {
        let mut effects = vec![Effect::DropPermissions];
        match left {
            Some(left) => {
                let turn = Turn {
                    number: left.number,
                    message: left.command.clone(),
                    command: left.command,
                    blocks: Vec::new(),
                    cancelled: false,
                };
                let why = "the agent server ended during this turn; it is not run again";
                self.close(&mut effects, turn, Err(failure(why)), None);
            }
            None => self.go_on(&mut effects),
        }
        effects
    }

    pub(crate) fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Heard { seq, command } => self.heard(&mut effects, seq, command),
            Event::Waits(waiting) => {
                if waiting.cancelled {
                    self.ended.insert(waiting.command.clone());
                }
                self.queue_up(&mut effects, waiting);
                self.go_on(&mut effects);
            }
            Event::Cancel { ends } => self.cancel(&mut effects, ends),
            Event::Steer { ends, amendment } => self.steer(&mut effects, ends, amendment),
            Event::Ready => {
                self.child = Child::Ready;
                self.go_on(&mut effects);
            }
            Event::Durable => self.durable(&mut effects),
            Event::Answered(outcome) => self.answered(&mut effects, outcome),
            Event::Gone(why) => self.gone(&mut effects, why),
            Event::Scanned => self.scanned(&mut effects),
            Event::EditsAnswered(seq) => {
                self.edits.remove(&seq);
                self.go_on(&mut effects);
            }
            Event::OutOfPatience(number) => self.out_of_patience(&mut effects, number),
        }
        effects
    }

    fn heard(&mut self, effects: &mut Vec<Effect>, seq: Seq, command: Command) {
        let id = command.id.unwrap_or_else(|| keyless(seq));
        match command.what {
            What::UserMessage(prompt) => {
                self.queue_up(effects, Waiting::said(seq, id, prompt));
                self.go_on(effects);
            }
            What::Amend(amendment) => {
                self.amend(effects, seq, id, amendment);
                self.go_on(effects);
            }
            // What it ends stands beside it.
            What::Cancel => (),
            What::Close => self.shut(effects),
            What::FileChanged(changes) => {
                self.edits.insert(seq);
                effects.push(Effect::Take {
                    seq,
                    command: id,
                    changes,
                });
            }
            what @ (What::Permission(_)
            | What::SetMode(_)
            | What::SetConfig { .. }
            | What::Presence { .. }
            | What::Other { .. }) => effects.push(Effect::Perform(what)),
        }
    }

    fn queue_up(&mut self, effects: &mut Vec<Effect>, waiting: Waiting) {
        if self.queue.len() >= MOST_QUEUED {
            let full = format!("more than {MOST_QUEUED} messages wait; this one is not taken");
            effects.push(Effect::Journal(line::note(&full)));
            return;
        }
        let message = waiting.command.clone();
        self.queue.push_back(Queued { message, waiting });
    }

    /// Takes the next prompt when nothing is in the way.
    fn go_on(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Idle && !planted!(PromptDuringTurn) {
            return;
        }
        if self.closing {
            effects.push(Effect::Quit);
            return;
        }
        let Some(next) = self.queue.front() else {
            return;
        };
        let next = &next.waiting;
        match self.child {
            Child::Absent if !next.cancelled => {
                self.child = Child::Starting;
                effects.push(Effect::StartChild);
                return;
            }
            Child::Starting if !next.cancelled => return,
            Child::Absent | Child::Starting | Child::Ready => (),
        }
        let edited_before = self.edits.first().is_some_and(|edit| *edit < next.seq);
        if edited_before && !next.cancelled && !planted!(PromptBeforeEdits) {
            return;
        }
        if let Some(next) = self.queue.pop_front() {
            self.take(effects, next);
        }
    }

    fn take(&mut self, effects: &mut Vec<Effect>, next: Queued) {
        self.count += 1;
        let Queued { message, waiting } = next;
        let blocks = translate::blocks(&waiting.prompt);
        let request = line::prompt_request(
            &json!(self.count),
            self.run.as_str(),
            &blocks,
            Some(&waiting.command),
        );
        effects.push(Effect::Journal(match &waiting.edit {
            Some(edit) => line::in_the_words_of(request, edit),
            None => request,
        }));
        effects.push(Effect::Wait);
        self.phase = Phase::Taking(Turn {
            number: self.count,
            command: Some(waiting.command),
            message: Some(message),
            blocks,
            cancelled: waiting.cancelled,
        });
        if planted!(PromptBeforeTaken) {
            self.durable(effects);
        }
    }

    fn durable(&mut self, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Taking(turn) if turn.cancelled => {
                self.close(effects, turn, Ok(stopped()), None);
            }
            Phase::Taking(turn) if self.child != Child::Ready => {
                let why = failure("the agent ended before it got the prompt");
                self.close(effects, turn, Err(why), None);
            }
            Phase::Taking(mut turn) => {
                let blocks = std::mem::take(&mut turn.blocks);
                effects.push(Effect::Prompt { blocks });
                self.phase = Phase::Running(turn);
            }
            Phase::Answering(_) => self.go_on(effects),
            other @ (Phase::Idle | Phase::Running(_) | Phase::Closing { .. }) => self.phase = other,
        }
    }

    fn answered(&mut self, effects: &mut Vec<Effect>, outcome: Result<Value, RpcError>) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Running(turn) => {
                // Some agents answer a cancelled prompt with an error.
                let outcome = match outcome {
                    Err(_) if turn.cancelled => Ok(stopped()),
                    outcome => outcome,
                };
                // A request it still had open would look as if it waited for somebody.
                effects.push(Effect::DropPermissions);
                self.close(effects, turn, outcome, None);
            }
            other => self.phase = other,
        }
    }

    fn gone(&mut self, effects: &mut Vec<Effect>, why: String) {
        self.child = Child::Absent;
        effects.push(Effect::DropPermissions);
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Running(turn) if turn.cancelled => {
                self.close(effects, turn, Ok(stopped()), None);
            }
            Phase::Running(turn) => {
                let error = failure(&format!("the agent ended during this turn: {why}"));
                self.close(effects, turn, Err(error), Some(why));
            }
            other => {
                self.phase = other;
                if !self.closing {
                    effects.push(Effect::Journal(line::error("the agent ended", Some(&why))));
                }
                self.go_on(effects);
            }
        }
    }

    fn close(
        &mut self,
        effects: &mut Vec<Effect>,
        turn: Turn,
        outcome: Result<Value, RpcError>,
        lost: Option<String>,
    ) {
        effects.push(Effect::Scan { turn: turn.number });
        self.phase = Phase::Closing {
            turn,
            outcome,
            lost,
        };
        if planted!(BarrierSkipped) {
            self.scanned(effects);
        }
    }

    /// The barrier is passed: response, then `turn_complete`, then what became of the child.
    fn scanned(&mut self, effects: &mut Vec<Effect>) {
        let (turn, outcome, lost) = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Closing {
                turn,
                outcome,
                lost,
            } => (turn, outcome, lost),
            other => {
                self.phase = other;
                return;
            }
        };
        let id = json!(turn.number);
        let (response, reason) = match outcome {
            Ok(result) => {
                let reason = result["stopReason"]
                    .as_str()
                    .unwrap_or("end_turn")
                    .to_owned();
                let response = json!({"jsonrpc": "2.0", "id": id, "result": result});
                (response, reason)
            }
            Err(error) => (refusal(&id, error), "error".to_owned()),
        };
        effects.push(Effect::Journal(response));
        effects.push(Effect::Journal(line::turn_complete(&reason, false)));
        if let Some(why) = lost {
            effects.push(Effect::Journal(line::error("the agent ended", Some(&why))));
        }
        effects.push(Effect::Wait);
        self.phase = Phase::Answering(turn);
    }

    /// Ends what is named: that turn, or that message with all its words, whether it waits or was taken meanwhile.
    fn cancel(&mut self, effects: &mut Vec<Effect>, ends: Option<Ends>) {
        let ends = match self.queue.front() {
            Some(next) if planted!(CancelsWrongPrompt) => Some(Ends::Waiting(next.message.clone())),
            _ => ends,
        };
        match ends {
            Some(Ends::Turn(number)) if planted!(LateCancelHitsNext) => {
                self.stop_turn(effects, |turn| turn.number >= number);
            }
            Some(Ends::Turn(number)) => self.stop_turn(effects, |turn| turn.number == number),
            Some(Ends::Waiting(message)) => {
                for queued in self.queue.iter_mut().filter(|queued| queued.is(&message)) {
                    queued.waiting.cancelled = true;
                }
                self.stop_turn(effects, |turn| turn.is(&message));
                self.ended.insert(message);
                self.go_on(effects);
            }
            None => (),
        }
    }

    fn shut(&mut self, effects: &mut Vec<Effect>) {
        self.closing = true;
        match &mut self.phase {
            Phase::Taking(turn) => turn.cancelled = true,
            Phase::Running(turn) => {
                turn.cancelled = true;
                effects.push(Effect::EndChild);
            }
            Phase::Idle | Phase::Closing { .. } | Phase::Answering(_) => (),
        }
        self.go_on(effects);
    }

    fn out_of_patience(&mut self, effects: &mut Vec<Effect>, number: u64) {
        if let Phase::Running(turn) = &self.phase
            && turn.number == number
        {
            let note = "the agent did not stop when it was told to; it is ended and starts anew with the next message";
            effects.push(Effect::Journal(line::note(note)));
            effects.push(Effect::EndChild);
        }
    }
}

/// A foreign client's command, had the endpoint not given it a key.
pub(crate) fn keyless(seq: Seq) -> CommandId {
    format!("seq-{seq}")
        .parse()
        .expect("letters, a dash and digits are an id")
}

fn stopped() -> Value {
    json!({"stopReason": "cancelled"})
}

/// The error of a turn that broke on our side.
pub(crate) fn failure(message: &str) -> RpcError {
    RpcError {
        code: -32603,
        message: message.to_owned(),
        data: None,
    }
}

fn refusal(id: &Value, error: RpcError) -> Value {
    let mut response = line::error_response(id, error.code, &error.message, false);
    if let Some(data) = error.data {
        response["error"]["data"] = data;
    }
    response
}

#[cfg(test)]
mod tests;
