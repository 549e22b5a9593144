//! A client: the real `attach::update` with the real stream, cache and session below it. Stands in for `attach::perform`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::disk::Disk;
use super::mirror;
use super::net::{Ask, Net, Peer, Road};
use super::process::{Abort, Process};
use super::tree::Tree;
use super::truth::Wish;
use super::world::World;
use crate::attach::effect::Effect;
use crate::attach::event::Event;
use crate::attach::journal::{Cache, Journal};
use crate::attach::mailbox::Mailbox;
use crate::attach::state::{Attached, Link, Outgoing, Posting};
use crate::attach::update::update;
use crate::client::stream::{self, End, Heard, Raw, View};
use crate::mirror::worker::Order;
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::{Command, Prompt, What};
use crate::protocol::entry::Decoded;
use crate::protocol::ids::{CommandId, Seq};

/// The journal cache on the client's disk.
pub(super) const CACHE: &str = "journal.ndjson";
/// As `attach::perform` has them.
const EVENTS: usize = 256;
const HEARD: usize = 8;
/// `attach::update` keeps so many.
const NOTES: usize = 100;

/// One user's screen, over its starts.
pub(super) struct Client {
    world: Arc<World>,
    net: Arc<Net>,
    pub(super) peer: Peer,
    number: usize,
    pub(super) disk: Arc<Disk>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    up: Option<Up>,
    /// The outbox's file, and what stood there before the last rename reached the disk.
    kept: Vec<Outgoing>,
    before: Vec<Outgoing>,
}

struct Up {
    process: Process,
    events: mpsc::Sender<Event>,
    attached: Arc<Mutex<Attached>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    pub(super) fn new(net: &Arc<Net>, number: usize) -> Arc<Self> {
        let dice = net.world.dice().clone();
        Arc::new(Self {
            world: Arc::clone(&net.world),
            net: Arc::clone(net),
            peer: Peer::Client(number),
            number,
            disk: Disk::new(dice),
            state: Mutex::default(),
        })
    }

    pub(super) fn tree(&self) -> &Arc<Tree> {
        self.world.trees.tree(self.number)
    }

    pub(super) fn start(self: &Arc<Self>) {
        self.world.note(format_args!("{} starts", self.peer.name()));
        self.disk.start();
        self.tree().start();
        let process = Process::start();
        let (events, heard) = mpsc::channel(EVENTS);
        let mut attached = Attached::new(self.world.at(), self.peer.name(), false);
        attached.machine.seed = self.world.dice().next();
        attached.mirrored = true;
        let attached = Arc::new(Mutex::new(attached));
        let screen = Screen {
            client: Arc::clone(self),
            process: process.clone(),
            events: events.clone(),
            attached: Arc::clone(&attached),
            journal: Arc::new(Mutex::new(Journal::none())),
            follow: Abort(None),
            mailbox: Mailbox::default(),
            seen: BTreeSet::new(),
            messages: BTreeSet::new(),
        };
        let road = Road {
            net: Arc::clone(&self.net),
            peer: self.peer,
        };
        let mailbox = screen.mailbox.clone();
        mirror::start(&process, road, self.number, mailbox, events.clone());
        process.spawn(screen.run(heard));
        lock(&self.state).up = Some(Up {
            process,
            events,
            attached,
        });
    }

    pub(super) async fn kill(&self, power: bool) {
        self.world
            .note(format_args!("{} dies, power {power}", self.peer.name()));
        self.disk.stop(power);
        self.world.check(self.tree().stop(power));
        let up = {
            let mut state = lock(&self.state);
            if power && self.world.dice().chance(500) {
                // The rename had not reached the disk.
                state.kept = state.before.clone();
            }
            state.before = state.kept.clone();
            state.up.take()
        };
        let Some(up) = up else { return };
        up.process.kill().await;
        if power {
            let attached = lock(&up.attached);
            for outgoing in &attached.outbox {
                self.world.truth().excused(id_of(&outgoing.command));
            }
        }
    }

    /// A user's wish and its id; nothing happens when no screen is open.
    pub(super) async fn say(&self, wish: Wish) -> CommandId {
        let id = self.world.dice().uuid().to_string();
        let what = match &wish {
            // The words are the id, so that the child knows whose prompt it has.
            Wish::Message => What::UserMessage(Prompt {
                text: id.clone(),
                blocks: None,
            }),
            Wish::Cancel => What::Cancel,
            Wish::Amend(amendment) => What::Amend(match &amendment.how {
                Amend::Edit(_) => Amendment {
                    command: amendment.command.clone(),
                    how: Amend::Edit(Prompt {
                        text: id.clone(),
                        blocks: None,
                    }),
                },
                _ => amendment.clone(),
            }),
        };
        let id: CommandId = id.parse().expect("a UUID is an id");
        let said = id.clone();
        let id = Some(id);
        let events = lock(&self.state).up.as_ref().map(|up| up.events.clone());
        if let Some(events) = events {
            drop(events.send(Event::Say(Command { id, what })).await);
        }
        said
    }

    /// What the user sees, if a screen is open.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Attached) -> T) -> Option<T> {
        let state = lock(&self.state);
        let attached = state.up.as_ref().map(|up| lock(&up.attached))?;
        Some(at(&attached))
    }

    pub(super) fn last(&self) -> Option<Seq> {
        self.look(|attached| attached.session.last)
    }

    pub(super) fn is_live(&self) -> bool {
        self.look(|attached| attached.link == Link::Live) == Some(true)
    }
}

fn id_of(command: &Command) -> CommandId {
    command.id.clone().expect("every command of ours has an id")
}

fn wish(command: &Command) -> Wish {
    match &command.what {
        What::Cancel => Wish::Cancel,
        What::Amend(amendment) => Wish::Amend(amendment.clone()),
        _ => Wish::Message,
    }
}

/// One start.
struct Screen {
    client: Arc<Client>,
    process: Process,
    events: mpsc::Sender<Event>,
    attached: Arc<Mutex<Attached>>,
    journal: Arc<Mutex<Journal>>,
    follow: Abort,
    mailbox: Mailbox,
    /// Commands that have been seen in the journal, and messages that were said on this screen.
    seen: BTreeSet<CommandId>,
    messages: BTreeSet<CommandId>,
}

impl Screen {
    async fn run(mut self, mut heard: mpsc::Receiver<Event>) {
        let world = Arc::clone(&self.client.world);
        let mut lines = Vec::new();
        let disk = &self.client.disk;
        let cache = Cache::on(
            Box::new(disk.file(CACHE)),
            true,
            disk.read(CACHE).len() as u64,
        );
        let read = cache.read(|some| {
            lines.extend(some);
            true
        });
        match read {
            Ok(journal) => self.journal = Arc::new(Mutex::new(journal)),
            // A disk that cannot be used costs the memory of this run, not the run.
            Err(_) => lines.clear(),
        }
        let kept = lock(&self.client.state).kept.clone();
        self.happened(Event::OutboxRestored(kept));
        self.happened(Event::Restored(lines));
        while let Some(event) = heard.recv().await {
            if let Event::Say(command) = &event {
                let (id, wish) = (id_of(command), wish(command));
                world.note(format_args!(
                    "{} says {id}: {wish:?}",
                    self.client.peer.name()
                ));
                if wish == Wish::Message {
                    self.messages.insert(id.clone());
                }
                world.truth().wished(id, wish);
            }
            self.happened(event);
        }
    }

    fn happened(&mut self, event: Event) {
        self.seen.extend(arriving(&event));
        let posted = match &event {
            Event::Posted(id) if self.messages.contains(id) => Some(id.clone()),
            _ => None,
        };
        let effects = {
            let mut attached = lock(&self.attached);
            let effects = update(&mut attached, event);
            let checked = sound(&attached, &self.seen, posted.as_ref());
            self.client.world.check(checked);
            effects
        };
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Follow { after } => self.follow(after),
            Effect::Post(command) => self.post(command),
            Effect::StartTimer { id, wait } => {
                let events = self.events.clone();
                self.process.spawn(async move {
                    sleep(wait).await;
                    let now = Instant::now().into_std();
                    drop(events.send(Event::TimerFired { id, now }).await);
                });
            }
            Effect::KeepOutbox(outgoing) => {
                let mut state = lock(&self.client.state);
                state.before = std::mem::replace(&mut state.kept, outgoing);
            }
            Effect::ForgetJournal => lock(&self.journal).forget(),
            Effect::Mirror(order) => self.mailbox.push(order),
            Effect::LoadSeed => {
                let manifest = self.client.world.trees.manifest();
                self.mailbox.push(Order::Seed(Some(manifest)));
            }
            // REST and presence are not part of this world.
            Effect::LoadRun | Effect::Announce => (),
        }
    }

    fn follow(&mut self, after: Seq) {
        let (world, peer) = (Arc::clone(&self.client.world), self.client.peer);
        world.note(format_args!("{} follows behind {after}", peer.name()));
        let road = Road {
            net: Arc::clone(&self.client.net),
            peer,
        };
        let (events, journal) = (self.events.clone(), Arc::clone(&self.journal));
        let task = self.process.spawn(async move {
            let error = heard(&world, &road, after, journal, &events).await;
            world.note(format_args!("{} lost its link: {error}", peer.name()));
            let now = Instant::now().into_std();
            drop(events.send(Event::LinkFailed { error, now }).await);
        });
        self.follow = Abort(task);
    }

    fn post(&self, command: Command) {
        let (net, peer, events) = (
            Arc::clone(&self.client.net),
            self.client.peer,
            self.events.clone(),
        );
        self.process.spawn(async move {
            let id = id_of(&command);
            let posted = net.ask(peer, Ask::Command(command.to_json())).await;
            let event = match posted {
                Ok(_) => Event::Posted(id),
                Err(error) => {
                    if !error.is_passing() {
                        net.world.note(format_args!("{id} is refused: {error}"));
                        net.world.truth().refused(id.clone());
                    }
                    let now = Instant::now().into_std();
                    Event::PostFailed { id, error, now }
                }
            };
            drop(events.send(event).await);
        });
    }
}

/// As `attach::perform` does it: the cache has a line before the screen has.
async fn heard(
    world: &Arc<World>,
    road: &Road,
    after: Seq,
    journal: Arc<Mutex<Journal>>,
    events: &mpsc::Sender<Event>,
) -> crate::client::error::Error {
    let (out, mut heard) = mpsc::channel(HEARD);
    let mark = lock(&journal).bookmark(after);
    let mut keep = |lines: &Raw| {
        lock(&journal).append(lines);
        for (seq, line) in lines {
            let shown = world.truth().shown(*seq, line);
            world.check(shown);
        }
    };
    let follow = async move {
        stream::follow_numbered(road, View::Journal, mark, &out, &mut keep, None).await
    };
    let pass_on = async {
        while let Some(heard) = heard.recv().await {
            let event = match heard {
                Heard::Opened { last, same } => Event::HistoryOpened { last, same },
                Heard::Lines(lines) => Event::Arrived(lines),
                Heard::Live => Event::WentLive,
                Heard::Ended(status) => Event::Ended(status),
                Heard::Presence(clients) => Event::Presence(clients),
            };
            drop(events.send(event).await);
        }
    };
    match tokio::join!(follow, pass_on).0 {
        End::Failed(error) => error,
        End::Unnumbered => super::endpoint::reset("not numbered"),
    }
}

/// What holds after every step: bounds, one POST at a time, and a user's words on the screen until they are in the journal.
fn sound(
    attached: &Attached,
    seen: &BTreeSet<CommandId>,
    posted: Option<&CommandId>,
) -> Result<(), String> {
    if attached.notes.len() > NOTES {
        return Err("more notes than there may be".to_owned());
    }
    let flying = attached
        .outbox
        .iter()
        .filter(|o| o.state == Posting::InFlight);
    if flying.count() > 1 {
        return Err("two commands are on their way at once".to_owned());
    }
    match posted {
        Some(id)
            if !seen.contains(id)
                && !attached
                    .outbox
                    .iter()
                    .any(|o| o.command.id.as_ref() == Some(id)) =>
        {
            Err(format!(
                "{id} was accepted and is neither on the screen nor in the journal"
            ))
        }
        Some(_) | None => Ok(()),
    }
}

/// The commands whose lines arrive with an event.
fn arriving(event: &Event) -> Vec<CommandId> {
    let (Event::Arrived(lines) | Event::Restored(lines)) = event else {
        return Vec::new();
    };
    let command = |line: &Decoded| match line {
        Decoded::Entry(entry) => entry.command.clone(),
        Decoded::Blank | Decoded::Bad(_) => None,
    };
    lines.iter().filter_map(|(_, line)| command(line)).collect()
}
