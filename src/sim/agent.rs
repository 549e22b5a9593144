//! The agent side: the real turns, recall, link, spool and journal writer around a child that is a few dice.
//!
//! Stands in for `agent::run` and `agent::perform`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use super::disk::Disk;
use super::files;
use super::net::{Ask, Net, Peer, Road};
use super::process::{Abort, Process};
use super::queue::Did;
use super::tree::Tree;
use super::truth::id_at;
use super::workspace::{self, News};
use super::world::World;
use crate::agent::files::Told;
use crate::agent::journal::{self, Append, Closed, Journal, Whole};
use crate::agent::link::{self, Link, Way};
use crate::agent::reading;
use crate::agent::recall::Recall;
use crate::agent::turns::{Effect, Event, Turns};
use crate::agent::wishes::{Edits, Look, Places, Wisher};
use crate::client::api::Logs;
use crate::client::error::Error;
use crate::client::stream::{self, End, Heard, Raw, Source, View};
use crate::mirror::blobs;
use crate::protocol::amend::Amend;
use crate::protocol::command::{Command, What};
use crate::protocol::entry::{Decoded, Ends, Entry, RpcError, Said};
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::line;

/// The unsent lines on the agent's disk.
const SPOOL: &str = "spool";
/// As `agent::perform` has it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The agent server, over its starts.
pub(super) struct Agent {
    world: Arc<World>,
    net: Arc<Net>,
    pub(super) disk: Arc<Disk>,
    process: Mutex<Process>,
    one: tokio::sync::Mutex<()>,
    /// Rings when it has ended by itself.
    pub(super) ended: Arc<Notify>,
}

impl Agent {
    pub(super) fn new(net: &Arc<Net>) -> Arc<Self> {
        let dice = net.world.dice().clone();
        Arc::new(Self {
            world: Arc::clone(&net.world),
            net: Arc::clone(net),
            disk: Disk::new(dice),
            process: Mutex::default(),
            one: tokio::sync::Mutex::default(),
            ended: Arc::default(),
        })
    }

    pub(super) fn tree(&self) -> &Arc<Tree> {
        self.world.trees.agent()
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn start(&self) {
        self.world.note("agent starts");
        self.disk.start();
        self.world.trees.agent().start();
        let process = Process::start();
        *self.process() = process.clone();
        let road = Road {
            net: Arc::clone(&self.net),
            peer: Peer::Agent,
        };
        let paper = self.disk.file(SPOOL);
        let opening = async move { Ok(Box::new(paper) as Box<dyn crate::agent::spool::Paper>) };
        let source = self.world.dice().uuid().to_string();
        let folder = std::path::Path::new("");
        let append = Arc::new(road.clone());
        let (journal, writer) = journal::open_on(append, opening, folder, source);
        let world = Arc::clone(&self.world);
        process.spawn(async move {
            if let Err(error) = writer.await {
                world.note(format_args!("the agent's journal ends: {error}"));
            }
        });
        let (world, ended) = (Arc::clone(&self.world), Arc::clone(&self.ended));
        let owner = process.clone();
        process.spawn(async move {
            let served = serve(&world, road, journal, &owner).await;
            world.note(format_args!("agent ends, closed {}", served.is_err()));
            ended.notify_one();
        });
    }

    /// Two never live at once.
    pub(super) async fn restart(&self, power: bool, down: Duration) {
        let _one = self.one.lock().await;
        self.kill(power).await;
        sleep(down).await;
        self.start();
    }

    pub(super) async fn kill(&self, power: bool) {
        self.world.note(format_args!("agent dies, power {power}"));
        self.disk.stop(power);
        let tree = self.world.trees.agent();
        self.world.check(tree.stop(power));
        if power {
            let told = self.net.endpoint.lines();
            self.world
                .check(files::what_was_told_is_kept(&told, &tree.lost()));
        }
        let process = self.process().clone();
        process.kill().await;
        // The child dies with it.
        self.world.truth().child_free();
    }
}

async fn serve(
    world: &Arc<World>,
    road: Road,
    mut journal: Journal,
    process: &Process,
) -> Result<(), Closed> {
    // Behind this line stands everything a former start had not yet sent.
    journal.write(&line::note("a start")).await?;
    let mark = journal.mark().await?;
    journal.durable(mark).await?;
    let Some(recall) = reading::recall(&road).await else {
        return Ok(());
    };
    world.note(format_args!("agent has read up to {}", recall.last()));
    world.truth().did(Did::Started(recall.last().0));
    let (commands, link) = mpsc::channel(64);
    process.spawn(link::follow(road.clone(), recall.last(), commands));
    let (says, said) = mpsc::channel(64);
    let (wisher, news, lines) = match workspace::start(process, &road, &recall).await {
        Ok(started) => started,
        Err(why) => {
            world.note(format_args!("the agent has no work tree: {why}"));
            return Ok(());
        }
    };
    for line in lines {
        world.note(format_args!("agent tells {line}"));
        journal.write(&line).await?;
    }
    let server = Server {
        world: Arc::clone(world),
        process: process.clone(),
        turns: Turns::new(world.at().run, recall.turns()),
        journal,
        durable: None,
        child: 0,
        talk: Abort(None),
        says,
        patience: None,
        quit: false,
        wisher,
    };
    server.live(recall, link, said, news).await
}

/// What the child has to say.
enum Saying {
    Ready,
    Words(Value),
    /// Of a turn: what it says to an older one is not heard.
    Answered(u64, Result<Value, RpcError>),
    Gone,
}

struct Server {
    world: Arc<World>,
    process: Process,
    turns: Turns,
    journal: Journal,
    durable: Option<BoxFuture<'static, Result<(), Closed>>>,
    /// The number of the child; what an older one says is not heard.
    child: u64,
    talk: Abort,
    says: mpsc::Sender<(u64, Saying)>,
    patience: Option<(Instant, u64)>,
    quit: bool,
    wisher: Wisher,
}

impl Server {
    async fn live(
        mut self,
        recall: Recall,
        mut link: mpsc::Receiver<Link>,
        mut said: mpsc::Receiver<(u64, Saying)>,
        mut news: mpsc::Receiver<News>,
    ) -> Result<(), Closed> {
        let effects = self.turns.resume(recall.left());
        self.perform(effects).await?;
        for event in recall.waiting() {
            self.apply(event).await?;
        }
        while !self.quit {
            let patience = self.patience;
            tokio::select! {
                biased;
                done = async { self.durable.as_mut().expect("guarded").await }, if self.durable.is_some() => {
                    self.durable = None;
                    done?;
                    self.apply(Event::Durable).await?;
                }
                Some((child, saying)) = said.recv() => self.said(child, saying).await?,
                Some(news) = news.recv() => self.hear_of_files(news).await?,
                came = link.recv() => match came {
                    Some(Link::Heard(Heard::Lines(lines))) => self.hear(lines).await?,
                    Some(Link::Heard(_) | Link::Cut) => (),
                    Some(Link::Final(_)) | None => return Ok(()),
                },
                () = async { sleep_until(patience.expect("guarded").0).await }, if patience.is_some() => {
                    self.patience = None;
                    let turn = patience.map_or(0, |(_, turn)| turn);
                    self.apply(Event::OutOfPatience(turn)).await?;
                }
            }
        }
        Ok(())
    }

    async fn hear(&mut self, lines: Vec<(Seq, Decoded)>) -> Result<(), Closed> {
        for (seq, line) in lines {
            if let Decoded::Entry(Entry {
                said: Said::Command(mut command),
                command: id,
                ends,
                ..
            }) = line
            {
                command.id = command.id.or(id);
                self.command(seq, command, ends).await?;
            }
        }
        Ok(())
    }

    async fn command(
        &mut self,
        seq: Seq,
        command: Command,
        ends: Option<Ends>,
    ) -> Result<(), Closed> {
        self.world.note(format_args!("agent hears {seq}"));
        self.world.truth().did(Did::Heard(seq.0));
        let event = match &command.what {
            What::Cancel => Event::Cancel { ends },
            What::Amend(amendment) if amendment.how == Amend::Steer => Event::Steer {
                ends,
                amendment: amendment.clone(),
            },
            _ => Event::Heard { seq, command },
        };
        self.apply(event).await
    }

    async fn apply(&mut self, event: Event) -> Result<(), Closed> {
        let effects = self.turns.apply(event);
        self.perform(effects).await
    }

    async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), Closed> {
        let mut effects = std::collections::VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Journal(message) => {
                    self.takes(&message);
                    self.journal.write(&message).await?;
                }
                Effect::Wait => {
                    let mark = self.journal.mark().await?;
                    self.durable = Some(self.journal.durable(mark).boxed());
                }
                Effect::StartChild => {
                    self.child += 1;
                    self.turns.starts_early();
                    self.later(20, 6_000, Saying::Ready);
                }
                Effect::Prompt { blocks } => self.prompt(&blocks),
                Effect::Interrupt { turn } => self.interrupt(turn),
                Effect::Scan { turn } => self.wish(Places::All, Some(turn), vec![turn])?,
                Effect::EndChild => {
                    self.talk = Abort(None);
                    self.world.truth().child_free();
                    self.later(1, 50, Saying::Gone);
                }
                Effect::Take {
                    seq,
                    command,
                    changes,
                } => {
                    let edits = Edits {
                        seq,
                        command,
                        changes,
                        turn: self.turns.in_turn(),
                    };
                    if self.wisher.is_closed() || self.wisher.take(edits).is_err() {
                        return Err(Closed);
                    }
                }
                Effect::Quit => self.quit = true,
                // This child asks nothing and has no settings.
                Effect::DropPermissions | Effect::Perform(_) => (),
            }
        }
        Ok(())
    }

    /// A request line tells what the queue had first.
    fn takes(&self, message: &Value) {
        if message["method"] == "session/prompt"
            && let Some(command) = id_at(message, "/params/_meta/ashore/command")
        {
            let edit = id_at(message, "/params/_meta/ashore/edit");
            let turn = message["id"].as_u64().unwrap_or_default();
            let took = Did::Took {
                turn,
                command,
                edit,
            };
            self.world.truth().did(took);
        }
    }

    async fn said(&mut self, child: u64, saying: Saying) -> Result<(), Closed> {
        match saying {
            _ if child != self.child => Ok(()),
            Saying::Ready => self.apply(Event::Ready).await,
            Saying::Words(message) => self.journal.write(&message).await,
            Saying::Answered(turn, _) if turn != self.turns.number() => Ok(()),
            Saying::Answered(_, outcome) => {
                self.patience = None;
                self.world.truth().child_free();
                self.apply(Event::Answered(outcome)).await
            }
            Saying::Gone => {
                self.patience = None;
                self.talk = Abort(None);
                self.world.truth().child_free();
                self.apply(Event::Gone("it died".to_owned())).await
            }
        }
    }

    fn later(&self, from: u64, to: u64, saying: Saying) {
        let (world, says, child) = (Arc::clone(&self.world), self.says.clone(), self.child);
        self.process.spawn(async move {
            world.pause(from, to).await;
            drop(says.send((child, saying)).await);
        });
    }

    /// The child talks for a while and answers, or dies.
    fn prompt(&mut self, blocks: &[Value]) {
        let text = blocks[0]["text"].as_str().unwrap_or_default();
        let id: CommandId = text.parse().expect("a message's words are its id");
        self.world.note(format_args!("child gets {id}"));
        let prompted = self.world.truth().prompted(&id);
        self.world.check(prompted);
        let (world, says, child) = (Arc::clone(&self.world), self.says.clone(), self.child);
        let turn = self.turns.number();
        let task = self.process.spawn(async move {
            let chunks = 1 + world.dice().below(world.options.chatter);
            let dies = world.trouble(world.options.child_deaths);
            for chunk in 0..chunks {
                world.pause(0, 300).await;
                drop(says.send((child, words(&world, &id, chunk))).await);
            }
            world.trees.work(&world).await;
            let end = if dies {
                Saying::Gone
            } else {
                Saying::Answered(turn, Ok(json!({"stopReason": "end_turn"})))
            };
            drop(says.send((child, end)).await);
        });
        self.talk = Abort(task);
    }

    fn interrupt(&mut self, turn: u64) {
        self.patience = Some((Instant::now() + PATIENCE, turn));
        if self.world.trouble(self.world.options.deafness) {
            return;
        }
        self.talk = Abort(None);
        let stopped = Ok(json!({"stopReason": "cancelled"}));
        self.later(0, 100, Saying::Answered(turn, stopped));
    }

    /// As `agent::perform` does it.
    fn wish(&self, places: Places, turn: Option<u64>, marks: Vec<u64>) -> Result<(), Closed> {
        self.wisher.look(Look {
            places,
            turn,
            tool_calls: BTreeSet::new(),
            marks,
        });
        if self.wisher.is_closed() {
            return Err(Closed);
        }
        Ok(())
    }

    /// As `agent::run` does it.
    async fn hear_of_files(&mut self, news: News) -> Result<(), Closed> {
        match news {
            News::Told(Told::Line(message)) => {
                self.world.note(format_args!("agent tells {message}"));
                self.journal.write(&message).await
            }
            News::Told(Told::Scanned(_)) => self.apply(Event::Scanned).await,
            News::Told(Told::Answered(seq)) => self.apply(Event::EditsAnswered(seq)).await,
            News::Stirred(batch) => {
                let turn = self.turns.in_turn();
                self.wish(Places::of(batch), turn, Vec::new())
            }
        }
    }
}

fn words(world: &World, id: &CommandId, chunk: u64) -> Saying {
    let text = format!("{id} {chunk}. ");
    let update =
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}});
    Saying::Words(line::update(world.at().run.as_str(), update))
}

#[async_trait::async_trait]
impl Append for Road {
    async fn append(&self, source: &str, first: u64, lines: &[String]) -> Result<(), Error> {
        let ask = Ask::Append {
            source: source.to_owned(),
            first,
            lines: lines.to_vec(),
        };
        self.net.ask(self.peer, ask).await.map(drop)
    }

    async fn put(&self, _: &Whole) -> Result<(), blobs::Error> {
        Ok(())
    }

    fn chance(&self) -> f64 {
        self.net.world.dice().unit()
    }
}

#[async_trait::async_trait]
impl Way for Road {
    async fn follow(&self, after: Seq, out: &mpsc::Sender<Heard>) -> Error {
        let mut keep = |_: &Raw| ();
        let end = stream::follow_numbered(self, View::Commands, after.into(), out, &mut keep, None);
        match end.await {
            End::Failed(error) => error,
            End::Unnumbered => super::endpoint::reset("not numbered"),
        }
    }

    async fn logs(&self, after: Seq) -> Result<Logs, Error> {
        Source::logs(self, after).await
    }

    async fn look_again(&self) {}

    fn chance(&self) -> f64 {
        self.net.world.dice().unit()
    }
}
