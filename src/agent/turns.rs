//! The turn queue: which command is taken, running, answered, and what a cancel or a dead child means
//! (design decisions 5 and 7).
//!
//! Pure: events in, effects out. Knows no time, no process and no network. A command is taken when its request line is
//! durable; a turn is over when its response line is, and that stands behind every file of the turn.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::agent::translate;
use crate::protocol::command::{Command, Prompt, What};
use crate::protocol::entry::RpcError;
use crate::protocol::ids::{CommandId, RunId, Seq};
use crate::protocol::line;

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A command of a client, in journal order; a cancel comes as `Cancel`.
    Heard { seq: Seq, command: Command },
    /// `open`: which turn the journal had open at that line; only when [`Turns::looks_back`] asked for it.
    Cancel {
        seq: Seq,
        open: Option<Option<CommandId>>,
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
    /// Not about turns: a mode, an option, a permission, a file.
    Perform(What),
    /// A cancel that could not be judged before: look back and bring it again.
    Weigh(Seq),
    Quit,
}

#[derive(Debug, Clone, PartialEq)]
struct Queued {
    command: CommandId,
    seq: Seq,
    prompt: Prompt,
    /// To be answered `cancelled` without reaching the child.
    cancelled: bool,
    /// The command of the turn that was not yet over when this one was heard.
    behind: Option<Seq>,
}

#[derive(Debug, Clone, PartialEq)]
struct Turn {
    number: u64,
    command: Option<CommandId>,
    seq: Seq,
    behind: Option<Seq>,
    blocks: Vec<Value>,
    cancelled: bool,
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
    /// Cancels that came while a response was on its way.
    held: Vec<Seq>,
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
            held: Vec::new(),
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

    /// The number of the turn in progress, else of the last one.
    pub(crate) fn number(&self) -> u64 {
        self.count
    }

    /// To judge a cancel, the journal behind this line must be looked at first: the turn before may have been open
    /// when the cancel was journaled, although we have answered it since.
    pub(crate) fn looks_back(&self) -> Option<Seq> {
        match &self.phase {
            Phase::Taking(turn) | Phase::Running(turn) => turn.behind,
            Phase::Idle => self.queue.front().and_then(|queued| queued.behind),
            Phase::Closing { .. } | Phase::Answering(_) => None,
        }
    }

    /// Closes what a former start left open: it is answered, never run again.
    pub(crate) fn resume(&mut self, left: Option<Left>) -> Vec<Effect> {
        let mut effects = vec![Effect::DropPermissions];
        match left {
            Some(left) => {
                let turn = Turn {
                    number: left.number,
                    command: left.command,
                    seq: Seq::ZERO,
                    behind: None,
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
            Event::Cancel { seq, open } => self.cancel(&mut effects, seq, open),
            Event::Ready => {
                self.child = Child::Ready;
                self.go_on(&mut effects);
            }
            Event::Durable => self.durable(&mut effects),
            Event::Answered(outcome) => self.answered(&mut effects, outcome),
            Event::Gone(why) => self.gone(&mut effects, why),
            Event::Scanned => self.scanned(&mut effects),
            Event::OutOfPatience(number) => self.out_of_patience(&mut effects, number),
        }
        effects
    }

    fn heard(&mut self, effects: &mut Vec<Effect>, seq: Seq, command: Command) {
        let id = command.id.unwrap_or_else(|| keyless(seq));
        match command.what {
            What::UserMessage(prompt) => {
                self.queue_up(effects, seq, id, prompt);
                self.go_on(effects);
            }
            What::QueueRemove(other) => self.remove(effects, &other),
            What::Cancel => self.cancel(effects, seq, None),
            What::Close => self.shut(effects),
            what @ (What::Permission(_)
            | What::SetMode(_)
            | What::SetConfig { .. }
            | What::FileChanged(_)
            | What::Presence { .. }
            | What::Other { .. }) => effects.push(Effect::Perform(what)),
        }
    }

    fn queue_up(&mut self, effects: &mut Vec<Effect>, seq: Seq, id: CommandId, prompt: Prompt) {
        if self.queue.len() >= MOST_QUEUED {
            let full = format!("more than {MOST_QUEUED} messages wait; this one is not taken");
            effects.push(Effect::Journal(line::note(&full)));
            return;
        }
        let behind = match &self.phase {
            Phase::Idle => self.queue.back().and_then(|before| before.behind),
            Phase::Taking(turn)
            | Phase::Running(turn)
            | Phase::Closing { turn, .. }
            | Phase::Answering(turn) => Some(turn.seq),
        };
        self.queue.push_back(Queued {
            command: id,
            seq,
            prompt,
            cancelled: false,
            behind,
        });
    }

    /// Takes the next prompt when nothing is in the way.
    fn go_on(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Idle {
            return;
        }
        if self.closing {
            effects.push(Effect::Quit);
            return;
        }
        let Some(next) = self.queue.front() else {
            return;
        };
        match self.child {
            Child::Absent if !next.cancelled => {
                self.child = Child::Starting;
                effects.push(Effect::StartChild);
                return;
            }
            Child::Starting if !next.cancelled => return,
            Child::Absent | Child::Starting | Child::Ready => (),
        }
        if let Some(next) = self.queue.pop_front() {
            self.take(effects, next);
        }
    }

    fn take(&mut self, effects: &mut Vec<Effect>, next: Queued) {
        self.count += 1;
        let blocks = translate::blocks(&next.prompt);
        effects.push(Effect::Journal(line::prompt_request(
            &json!(self.count),
            self.run.as_str(),
            &blocks,
            Some(&next.command),
        )));
        effects.push(Effect::Wait);
        self.phase = Phase::Taking(Turn {
            number: self.count,
            command: Some(next.command),
            seq: next.seq,
            behind: next.behind,
            blocks,
            cancelled: next.cancelled,
        });
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
            Phase::Answering(_) => {
                effects.extend(self.held.drain(..).map(Effect::Weigh));
                self.go_on(effects);
            }
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

    fn cancel(&mut self, effects: &mut Vec<Effect>, seq: Seq, open: Option<Option<CommandId>>) {
        match &mut self.phase {
            Phase::Taking(turn) | Phase::Running(turn) => {
                let meant = match open {
                    Some(Some(command)) => Some(&command) == turn.command.as_ref(),
                    Some(None) => turn.seq < seq,
                    None => true,
                };
                if meant && !turn.cancelled {
                    turn.cancelled = true;
                    let turn = turn.number;
                    if matches!(self.phase, Phase::Running(_)) {
                        effects.push(Effect::Interrupt { turn });
                    }
                }
            }
            // It is over for the child; its outcome stands.
            Phase::Closing { .. } => (),
            Phase::Answering(_) => self.held.push(seq),
            Phase::Idle => {
                let ended_by_itself = matches!(open, Some(Some(_)));
                let oldest = self
                    .queue
                    .iter_mut()
                    .find(|queued| !queued.cancelled && queued.seq < seq);
                if let Some(oldest) = oldest.filter(|_| !ended_by_itself) {
                    oldest.cancelled = true;
                }
                self.go_on(effects);
            }
        }
    }

    fn remove(&mut self, effects: &mut Vec<Effect>, command: &CommandId) {
        self.queue.retain(|queued| queued.command != *command);
        // RACE: the endpoint accepted the removal while our request line was on its way. It was not taken then, so it
        // is not to run now.
        match &mut self.phase {
            Phase::Taking(turn) if turn.command.as_ref() == Some(command) => turn.cancelled = true,
            Phase::Running(turn) if turn.command.as_ref() == Some(command) && !turn.cancelled => {
                turn.cancelled = true;
                effects.push(Effect::Interrupt { turn: turn.number });
            }
            Phase::Idle
            | Phase::Taking(_)
            | Phase::Running(_)
            | Phase::Closing { .. }
            | Phase::Answering(_) => (),
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
fn keyless(seq: Seq) -> CommandId {
    format!("seq-{seq}")
        .parse()
        .expect("letters, a dash and digits are an id")
}

fn stopped() -> Value {
    json!({"stopReason": "cancelled"})
}

fn failure(message: &str) -> RpcError {
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
mod tests {
    use super::*;

    fn id(text: &str) -> CommandId {
        text.parse().unwrap()
    }

    fn said(seq: u64, command: &str) -> Event {
        Event::Heard {
            seq: Seq(seq),
            command: Command {
                id: Some(id(command)),
                what: What::UserMessage(Prompt {
                    text: command.to_owned(),
                    blocks: None,
                }),
            },
        }
    }

    fn other(seq: u64, what: What) -> Event {
        Event::Heard {
            seq: Seq(seq),
            command: Command {
                id: Some(id("x")),
                what,
            },
        }
    }

    fn cancel(seq: u64, open: Option<Option<CommandId>>) -> Event {
        Event::Cancel {
            seq: Seq(seq),
            open,
        }
    }

    fn ready() -> Turns {
        let mut turns = Turns::new("r".parse().unwrap(), 0);
        turns.apply(Event::Ready);
        turns
    }

    /// A short word for each effect, so that a story reads as one line.
    fn words(effects: &[Effect]) -> Vec<String> {
        let one = |effect: &Effect| match effect {
            Effect::Journal(message) => match (message["method"].as_str(), &message["id"]) {
                (Some("session/prompt"), id) => format!("take {id}"),
                (Some(method), _) => method.rsplit('/').next().unwrap().to_owned(),
                (None, id) if message.get("error").is_some() => format!("error {id}"),
                (None, id) => format!("{} {id}", message["result"]["stopReason"].as_str().unwrap()),
            },
            Effect::Wait => "wait".into(),
            Effect::StartChild => "start".into(),
            Effect::Prompt { blocks } => format!("prompt {}", blocks[0]["text"].as_str().unwrap()),
            Effect::Interrupt { turn } => format!("interrupt {turn}"),
            Effect::DropPermissions => "drop".into(),
            Effect::Scan { turn } => format!("scan {turn}"),
            Effect::EndChild => "end".into(),
            Effect::Perform(_) => "perform".into(),
            Effect::Weigh(seq) => format!("weigh {seq}"),
            Effect::Quit => "quit".into(),
        };
        effects.iter().map(one).collect()
    }

    fn story(turns: &mut Turns, events: Vec<Event>) -> Vec<String> {
        let all = events.into_iter().flat_map(|event| turns.apply(event));
        words(&all.collect::<Vec<_>>())
    }

    fn end_turn() -> Event {
        Event::Answered(Ok(json!({"stopReason": "end_turn"})))
    }

    #[test]
    fn a_second_prompt_waits_until_the_first_ones_response_is_durable() {
        let mut turns = ready();
        let heard = story(
            &mut turns,
            vec![said(1, "a"), said(2, "b"), Event::Durable, end_turn()],
        );
        assert_eq!(heard, ["take 1", "wait", "prompt a", "drop", "scan 1"]);
        let closed = story(&mut turns, vec![Event::Scanned]);
        assert_eq!(closed, ["end_turn 1", "turn_complete", "wait"]);
        let next = story(&mut turns, vec![Event::Durable, Event::Durable]);
        assert_eq!(next, ["take 2", "wait", "prompt b"]);
    }

    #[test]
    fn a_prompt_before_the_session_stands_starts_the_child_once() {
        let mut turns = Turns::new("r".parse().unwrap(), 6);
        let heard = story(&mut turns, vec![said(1, "a"), said(2, "b"), Event::Ready]);
        assert_eq!(heard, ["start", "take 7", "wait"]);
    }

    #[test]
    fn a_cancel_interrupts_the_running_turn_once_and_passes_the_same_barrier() {
        let mut turns = ready();
        story(&mut turns, vec![said(1, "a"), Event::Durable]);
        let heard = story(&mut turns, vec![cancel(2, None), cancel(3, None)]);
        assert_eq!(heard, ["interrupt 1"]);
        let broken = Event::Answered(Err(failure("aborted")));
        let closed = story(&mut turns, vec![broken, Event::Scanned]);
        assert_eq!(
            closed,
            ["drop", "scan 1", "cancelled 1", "turn_complete", "wait"]
        );
    }

    #[test]
    fn a_cancel_without_an_open_turn_answers_the_oldest_untaken_prompt_without_the_child() {
        let mut turns = Turns::new("r".parse().unwrap(), 0);
        story(&mut turns, vec![said(1, "a"), said(2, "b")]);
        let heard = story(
            &mut turns,
            vec![cancel(3, None), Event::Durable, Event::Scanned],
        );
        assert_eq!(
            heard,
            [
                "take 1",
                "wait",
                "scan 1",
                "cancelled 1",
                "turn_complete",
                "wait"
            ]
        );
        let next = story(&mut turns, vec![Event::Durable, Event::Ready]);
        assert_eq!(next, ["take 2", "wait"], "b waits for the child");
    }

    #[test]
    fn a_cancel_never_reaches_a_prompt_that_came_after_it() {
        let mut turns = Turns::new("r".parse().unwrap(), 0);
        let heard = story(
            &mut turns,
            vec![cancel(1, None), said(2, "a"), Event::Ready],
        );
        assert_eq!(heard, ["start", "take 1", "wait"]);
        assert_eq!(story(&mut turns, vec![Event::Durable]), ["prompt a"]);
    }

    #[test]
    fn a_cancel_that_meant_the_turn_before_spares_the_next_one() {
        let mut turns = ready();
        story(
            &mut turns,
            vec![said(1, "a"), said(2, "b"), Event::Durable, end_turn()],
        );
        story(&mut turns, vec![Event::Scanned]);
        // Heard while the answer of `a` is on its way: judged by the journal afterwards.
        assert_eq!(
            story(&mut turns, vec![cancel(5, None)]),
            Vec::<String>::new()
        );
        assert_eq!(
            story(&mut turns, vec![Event::Durable]),
            ["weigh 5", "take 2", "wait"]
        );
        assert_eq!(turns.looks_back(), Some(Seq(1)));
        story(&mut turns, vec![Event::Durable]);
        let spared = story(&mut turns, vec![cancel(5, Some(Some(id("a"))))]);
        assert_eq!(spared, Vec::<String>::new());
        let meant = story(&mut turns, vec![cancel(5, Some(None))]);
        assert_eq!(meant, ["interrupt 2"]);
    }

    #[test]
    fn a_dead_child_closes_permissions_then_scans_then_answers_then_says_so() {
        let mut turns = ready();
        story(&mut turns, vec![said(1, "a"), said(2, "b"), Event::Durable]);
        let gone = story(
            &mut turns,
            vec![Event::Gone("exit 3".into()), Event::Scanned],
        );
        assert_eq!(
            gone,
            [
                "drop",
                "scan 1",
                "error 1",
                "turn_complete",
                "error",
                "wait"
            ]
        );
        assert_eq!(story(&mut turns, vec![Event::Durable]), ["start"]);
        let next = story(&mut turns, vec![Event::Ready, Event::Durable]);
        assert_eq!(next, ["take 2", "wait", "prompt b"]);
    }

    #[test]
    fn what_a_former_start_left_open_is_answered_and_not_run_again() {
        let mut turns = Turns::new("r".parse().unwrap(), 4);
        let left = Left {
            number: 4,
            command: Some(id("a")),
        };
        assert_eq!(words(&turns.resume(Some(left))), ["drop", "scan 4"]);
        let heard = story(&mut turns, vec![said(9, "b"), Event::Ready, Event::Scanned]);
        assert_eq!(heard, ["error 4", "turn_complete", "wait"]);
        assert_eq!(story(&mut turns, vec![Event::Durable]), ["take 5", "wait"]);
    }

    #[test]
    fn a_removed_prompt_is_not_run_even_when_its_request_line_was_on_its_way() {
        let mut turns = ready();
        story(&mut turns, vec![said(1, "a"), said(2, "b"), said(3, "c")]);
        let heard = story(
            &mut turns,
            vec![
                other(4, What::QueueRemove(id("b"))),
                other(5, What::QueueRemove(id("a"))),
                Event::Durable,
                Event::Scanned,
                Event::Durable,
            ],
        );
        let expected = [
            "scan 1",
            "cancelled 1",
            "turn_complete",
            "wait",
            "take 2",
            "wait",
        ];
        assert_eq!(heard, expected);
        assert_eq!(story(&mut turns, vec![Event::Durable]), ["prompt c"]);
    }

    #[test]
    fn an_agent_that_ignores_a_cancel_is_ended_and_its_turn_is_cancelled() {
        let mut turns = ready();
        story(
            &mut turns,
            vec![said(1, "a"), Event::Durable, cancel(2, None)],
        );
        let heard = story(
            &mut turns,
            vec![
                Event::OutOfPatience(7),
                Event::OutOfPatience(1),
                Event::Gone("killed".into()),
                Event::Scanned,
            ],
        );
        let expected = [
            "note",
            "end",
            "drop",
            "scan 1",
            "cancelled 1",
            "turn_complete",
            "wait",
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn close_ends_the_child_answers_the_turn_and_quits() {
        let mut turns = ready();
        story(&mut turns, vec![said(1, "a"), said(2, "b"), Event::Durable]);
        let heard = story(
            &mut turns,
            vec![
                other(3, What::Close),
                Event::Gone("killed".into()),
                Event::Scanned,
                Event::Durable,
            ],
        );
        let expected = [
            "end",
            "drop",
            "scan 1",
            "cancelled 1",
            "turn_complete",
            "wait",
            "quit",
        ];
        assert_eq!(heard, expected);
        assert_eq!(story(&mut ready(), vec![other(1, What::Close)]), ["quit"]);
    }
}
