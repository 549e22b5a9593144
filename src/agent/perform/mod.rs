//! Carries out what the turns order, and tells them what came of it. Decides nothing about turns.

mod permissions;
mod start;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use agent_client_protocol::v1::Responder;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::agent::acp::{Heard, Order};
use crate::agent::child::Running;
use crate::agent::journal::{Closed, Journal};
use crate::agent::opening::{LOGIN_NEEDED, Opening, Session};
use crate::agent::recall::Recall;
use crate::agent::road::Road;
use crate::agent::run::Surroundings;
use crate::agent::taken::taken;
use crate::agent::tap::Tool;
use crate::agent::translate;
use crate::agent::turns::{Effect, Event, Turns, failure};
use crate::agent::whole;
use crate::agent::wishes::{Edits, Look, Places, Wisher};
use crate::protocol::command::What;
use crate::protocol::entry::{PermissionRequest, RpcError, Takes};
use crate::protocol::launch::Launch;
use crate::protocol::line;

/// Tool calls at work; more than this are not told apart.
const MOST_TOOLS: usize = 1000;

/// Why the agent server ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Closed,
    Failed(String),
}

/// A question of the child that nobody has answered.
#[derive(Debug)]
struct Asked {
    request: PermissionRequest,
    /// It is a form, which is answered in its own way.
    form: bool,
    /// `None` for one that a former start asked.
    responder: Option<Responder<Value>>,
}

/// The child as it is now.
struct Live {
    running: Running,
    opening: Option<Opening>,
    until: Instant,
    settling: Option<Settling>,
}

/// A loaded session that stands when the agent has become quiet.
struct Settling {
    session: Session,
    quiet: Instant,
    limit: Instant,
}

/// Everything the run holds while it lives.
pub(crate) struct Server {
    pub(crate) launch: Launch,
    pub(crate) around: Surroundings,
    pub(crate) root: PathBuf,
    road: Road,
    pub(crate) turns: Turns,
    pub(crate) journal: Journal,
    pub(crate) wisher: Wisher,
    pub(crate) ending: Option<Ending>,
    /// Something was said in this run before.
    spoken: bool,
    /// The first child of this start tells its step; later ones only failures.
    told_step: bool,
    live: Option<Live>,
    ears: Option<mpsc::Receiver<Heard>>,
    /// Drives the child; comes back with its last words when its whole group is gone.
    driven: JoinSet<String>,
    session: Option<String>,
    /// What that agent takes in a prompt beside text.
    takes: Takes,
    asked: BTreeMap<String, Asked>,
    withdrawn: FuturesUnordered<BoxFuture<'static, String>>,
    durable: Option<BoxFuture<'static, Result<(), Closed>>>,
    tag: u64,
    prompt: Option<u64>,
    /// Modes that the agent was asked for and has not answered, by the tag of the request.
    modes_asked: BTreeMap<u64, String>,
    patience: Option<(Instant, u64)>,
    /// Tool calls that have begun and not ended.
    tools: BTreeSet<String>,
    /// The names of the agent's ways to log in.
    logins: Vec<String>,
    /// The run's first prompt, while another agent may still have to take it.
    first: Option<Vec<Value>>,
    /// That prompt, on its way to the agent that takes the place of one without a login.
    again: Option<Vec<Value>>,
    /// The prompt whose heavy blocks are on their way here.
    fetching: Option<BoxFuture<'static, Result<Vec<Value>, String>>>,
}

/// What happens around the child.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack of the loop"
)]
pub(crate) enum Noticed {
    Heard(Heard),
    /// It will say no more.
    Silent,
    Gone(String),
    Withdrawn(String),
    Durable,
    /// The prompt is whole, or will never be.
    Whole(Result<Vec<Value>, String>),
    Late,
}

impl Server {
    pub(crate) fn new(
        launch: Launch,
        around: Surroundings,
        root: PathBuf,
        road: Road,
        journal: Journal,
        wisher: Wisher,
        recall: &Recall,
    ) -> Self {
        let asked = recall.permissions().map(|(request, call)| {
            let params = json!({"toolCall": {"toolCallId": call}});
            let asked = Asked {
                request: translate::permission(request, &params),
                form: false,
                responder: None,
            };
            (request.to_owned(), asked)
        });
        Self {
            turns: Turns::new(launch.at.run.clone(), recall.turns()),
            spoken: recall.turns() > 0,
            asked: asked.collect(),
            launch,
            around,
            root,
            road,
            journal,
            wisher,
            ending: None,
            told_step: false,
            live: None,
            ears: None,
            driven: JoinSet::new(),
            session: None,
            takes: Takes::default(),
            withdrawn: FuturesUnordered::new(),
            durable: None,
            tag: 0,
            prompt: None,
            modes_asked: BTreeMap::new(),
            patience: None,
            tools: BTreeSet::new(),
            logins: Vec::new(),
            first: None,
            again: None,
            fetching: None,
        }
    }

    /// Tells the turns, and does what they order.
    pub(crate) async fn apply(&mut self, event: Event) -> Result<(), Closed> {
        let effects = self.turns.apply(event);
        self.perform(effects).await
    }

    pub(crate) async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), Closed> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Journal(message) => self.journal.write(&message).await?,
                Effect::Wait => {
                    let mark = self.journal.mark().await?;
                    self.durable = Some(self.journal.durable(mark).boxed());
                }
                Effect::StartChild => self.start_child().await?,
                Effect::Prompt { blocks } if whole::is_missing(&blocks) => self.fetch(blocks),
                Effect::Prompt { blocks } => self.send_prompt(blocks).await?,
                Effect::Interrupt { .. } if self.takes_back() => {
                    let stopped = Ok(json!({"stopReason": "cancelled"}));
                    effects.extend(self.turns.apply(Event::Answered(stopped)));
                }
                Effect::Interrupt { turn } => self.interrupt(turn).await?,
                Effect::DropPermissions => self.drop_permissions().await?,
                Effect::Scan { turn } => {
                    // What changed is not any one tool's.
                    self.wisher.look(Look {
                        places: Places::All,
                        turn: Some(turn),
                        tool_calls: BTreeSet::new(),
                        marks: vec![turn],
                    });
                    if self.wisher.is_closed() {
                        return Err(Closed);
                    }
                }
                Effect::Take {
                    seq,
                    command,
                    changes,
                } => {
                    let turn = self.turns.in_turn();
                    let edits = Edits {
                        seq,
                        command,
                        changes,
                        turn,
                    };
                    if self.wisher.is_closed() {
                        return Err(Closed);
                    }
                    if let Err(edits) = self.wisher.take(edits) {
                        self.turn_away(&edits).await?;
                        effects.extend(self.turns.apply(Event::EditsAnswered(seq)));
                    }
                }
                Effect::EndChild => self.live = None,
                Effect::Perform(what) => self.do_other(what).await?,
                Effect::Quit => self.ending = Some(Ending::Closed),
            }
        }
        Ok(())
    }

    /// The next thing around the child; never resolves while nothing happens.
    pub(crate) async fn notice(&mut self, room: bool) -> Noticed {
        let late = self.deadline();
        tokio::select! {
            biased;
            done = async { self.durable.as_mut().expect("guarded").await }, if self.durable.is_some() => {
                self.durable = None;
                // A closed journal is noticed by whoever writes next.
                if done.is_ok() { Noticed::Durable } else { std::future::pending().await }
            }
            whole = async { self.fetching.as_mut().expect("guarded").await }, if self.fetching.is_some() => {
                self.fetching = None;
                Noticed::Whole(whole)
            }
            Some(request) = self.withdrawn.next(), if !self.withdrawn.is_empty() => Noticed::Withdrawn(request),
            heard = async { self.ears.as_mut().expect("guarded").recv().await }, if room && self.ears.is_some() => {
                match heard {
                    Some(heard) => Noticed::Heard(heard),
                    None => {
                        self.ears = None;
                        Noticed::Silent
                    }
                }
            }
            // Only when everything it said has been heard.
            Some(words) = self.driven.join_next(), if self.ears.is_none() => {
                Noticed::Gone(words.unwrap_or_else(|error| format!("its driver broke ({error})")))
            }
            () = async { tokio::time::sleep_until(late.expect("guarded")).await }, if late.is_some() => Noticed::Late,
            else => std::future::pending().await,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let opening = self.live.as_ref().filter(|live| live.opening.is_some());
        let settling = opening.and_then(|live| live.settling.as_ref());
        let patience = self.patience.map(|(until, _)| until);
        opening
            .map(|live| live.until)
            .into_iter()
            .chain(settling.map(|settling| settling.quiet.min(settling.limit)))
            .chain(patience)
            .min()
    }

    pub(crate) async fn noticed(&mut self, noticed: Noticed) -> Result<(), Closed> {
        match noticed {
            Noticed::Heard(heard) => self.heard(heard).await,
            Noticed::Silent => Ok(()),
            Noticed::Gone(why) => self.gone(why).await,
            Noticed::Withdrawn(request) => self.withdraw(&request).await,
            Noticed::Durable => self.apply(Event::Durable).await,
            Noticed::Whole(Ok(blocks)) => self.send_prompt(blocks).await,
            Noticed::Whole(Err(why)) => self.apply(Event::Answered(Err(failure(&why)))).await,
            Noticed::Late => self.late().await,
        }
    }

    async fn late(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        if let Some((until, turn)) = self.patience
            && until <= now
        {
            self.patience = None;
            return self.apply(Event::OutOfPatience(turn)).await;
        }
        let due = |settling: &mut Settling| settling.quiet.min(settling.limit) <= now;
        if let Some(live) = self.live.as_mut()
            && let Some(settling) = live.settling.take_if(due)
        {
            return self.stands(settling.session).await;
        }
        let is_opening = |live: &Live| live.opening.is_some() && live.until <= now;
        if self.live.as_ref().is_some_and(is_opening) {
            if self.is_reopening() {
                return self.start_anew().await;
            }
            let limit = self.around.limits.opening.as_secs();
            self.live = None;
            let what = format!("the agent gave no session in {limit} s");
            let hint =
                "start the agent by hand once: it may wait for a login, a download or an answer";
            self.agent_failed(what, Some(hint.to_owned())).await?;
        }
        Ok(())
    }

    async fn heard(&mut self, heard: Heard) -> Result<(), Closed> {
        match heard {
            Heard::Update { message, tool } if self.is_loading() => {
                self.replayed(tool.is_some() || message.contains("_message_chunk"));
                Ok(())
            }
            Heard::Extra(_) if self.is_loading() => Ok(()),
            Heard::Update { message, tool } => {
                self.journal.write_raw(message).await?;
                if let Some(tool) = tool {
                    self.tool(tool);
                }
                Ok(())
            }
            Heard::Extra(message) => self.journal.write_raw(message).await,
            Heard::Oversized => {
                let note = "the agent sent a line above 32 MiB, which was thrown away";
                self.journal.write(&line::note(note)).await
            }
            Heard::Asked {
                method,
                params,
                responder,
            } => self.asked(&method, &params, responder).await,
            Heard::Answered { tag, outcome } => self.answered(tag, outcome).await,
        }
    }

    /// What a tool call changed is looked for when it ends.
    fn tool(&mut self, tool: Tool) {
        if tool.ended {
            self.tools.remove(&tool.id);
            self.wish(Places::All, Some(tool.id));
        } else if self.tools.len() < MOST_TOOLS {
            self.tools.insert(tool.id);
        }
    }

    /// Something changed in the workspace by itself, or in the only tool call that is at work.
    pub(crate) fn stirred(&self, places: Places) {
        let only = (self.tools.len() == 1).then(|| self.tools.first().cloned());
        self.wish(places, only.flatten());
    }

    fn wish(&self, places: Places, tool_call: Option<String>) {
        self.wisher.look(Look {
            places,
            turn: self.turns.in_turn(),
            tool_calls: tool_call.into_iter().collect(),
            marks: Vec::new(),
        });
    }

    /// More changes wait than can be held.
    async fn turn_away(&mut self, edits: &Edits) -> Result<(), Closed> {
        for change in &edits.changes {
            let why = "too many changes wait to be applied: save it again later";
            let answer = line::file_failed(change.path.as_str(), why, Some(&edits.command));
            self.journal.write(&answer).await?;
        }
        Ok(())
    }

    async fn answered(&mut self, tag: u64, outcome: Result<Value, RpcError>) -> Result<(), Closed> {
        if self.prompt == Some(tag) {
            self.prompt = None;
            self.tools.clear();
            let first = self.first.take();
            return match outcome {
                Err(error) if error.code == LOGIN_NEEDED && self.patience.take().is_none() => {
                    self.login_in_turn(error, first).await
                }
                outcome => {
                    self.patience = None;
                    self.apply(Event::Answered(outcome)).await
                }
            };
        }
        let opening = self.live.as_mut().and_then(|live| live.opening.as_mut());
        match opening.map(|opening| opening.answered(outcome.clone())) {
            Some(next) => self.opened(next).await,
            None => {
                let mode = self.modes_asked.remove(&tag);
                self.set(outcome, mode).await
            }
        }
    }

    /// The answer to a mode or an option that was set. Many agents tell a mode that was asked for by their answer
    /// alone.
    async fn set(
        &mut self,
        outcome: Result<Value, RpcError>,
        mode: Option<String>,
    ) -> Result<(), Closed> {
        match outcome {
            Ok(result) => {
                let mode = mode.map(|mode| translate::mode_update(&mode, None));
                let mut updates = translate::told_at_start(&result);
                updates.extend(mode);
                self.tell_updates(updates).await
            }
            Err(error) => {
                let note = format!("the agent did not take this setting: {}", error.message);
                self.journal.write(&line::note(&note)).await
            }
        }
    }

    async fn tell_updates(&mut self, updates: Vec<Value>) -> Result<(), Closed> {
        for update in updates {
            let message = line::update(self.launch.at.run.as_str(), update);
            self.journal.write(&message).await?;
        }
        Ok(())
    }

    async fn request(&mut self, method: &'static str, params: Value) -> u64 {
        self.tag += 1;
        let order = Order::Request {
            tag: self.tag,
            method,
            params,
        };
        self.order(order).await;
        self.tag
    }

    /// A child that takes no orders is about to be gone, which is told then.
    async fn order(&mut self, order: Order) {
        if let Some(live) = &self.live {
            drop(live.running.orders.send(order).await);
        }
    }

    /// Has the blocks of a prompt made whole; then it goes to the agent.
    fn fetch(&mut self, blocks: Vec<Value>) {
        let (road, stage) = (self.road.clone(), self.launch.folder.join("stage"));
        let fetch = async move { whole::fetch(&road, &stage, blocks).await };
        self.fetching = Some(fetch.boxed());
    }

    /// The prompt that no agent has at this moment, taken back.
    fn takes_back(&mut self) -> bool {
        let fetching = self.fetching.take().is_some();
        self.again.take().is_some() || fetching
    }

    async fn send_prompt(&mut self, blocks: Vec<Value>) -> Result<(), Closed> {
        self.spoken = true;
        self.first = (self.turns.number() == 1 && self.may_be_replaced()).then(|| blocks.clone());
        let (blocks, left_out) = taken(blocks, self.takes);
        for why in left_out {
            self.journal.write(&line::note(&why)).await?;
        }
        let params = json!({"sessionId": self.session, "prompt": blocks});
        self.prompt = Some(self.request("session/prompt", params).await);
        Ok(())
    }

    async fn interrupt(&mut self, turn: u64) -> Result<(), Closed> {
        let params = json!({"sessionId": self.session});
        let order = Order::Notify {
            method: "session/cancel",
            params,
        };
        self.order(order).await;
        self.patience = Some((Instant::now() + self.around.limits.cancel, turn));
        // Some agents wait for these before they stop.
        self.drop_permissions().await
    }

    async fn do_other(&mut self, what: What) -> Result<(), Closed> {
        match what {
            What::Permission(reply) => self.permitted(&reply),
            What::SetMode(mode) => {
                let params = json!({"sessionId": self.session, "modeId": mode});
                let tag = self.request("session/set_mode", params).await;
                self.modes_asked.insert(tag, mode);
            }
            What::SetConfig { id, value } => {
                let session = self.session.clone().unwrap_or_default();
                let params = translate::set_config(&session, &id, &value);
                self.request("session/set_config_option", params).await;
            }
            What::FileChanged(_)
            | What::Presence { .. }
            | What::Other { .. }
            | What::UserMessage(_)
            | What::Cancel
            | What::Close
            | What::Amend(_) => (),
        }
        Ok(())
    }
}
