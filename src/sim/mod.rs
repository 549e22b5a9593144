//! The simulation: an endpoint, two clients and an agent side, each end with its file tree, live from one seed, in one
//! thread and in simulated time, while links are cut, processes die, the power fails, the endpoint lies and people edit the
//! same files on both sides; then everything must be as promised.
//!
//! It runs the code of this crate, not a model of it: the journal and its file log, followers and their cursors, the
//! client's stream, cache, outbox and session, the whole mirror and its hand, the agent side's turns, recall, spool, link,
//! scanner and applier. Only what stands at the edge is simulated: disks ([`disk`], [`tree`]), databases ([`shelf`]), the
//! network ([`net`]), processes ([`process`]), users ([`trees`]) and the agent's child.
//! Time is tokio's paused clock on one thread, chance comes from the seed, so a seed run twice does the same twice.
//!
//! - Replay a seed: `ASHORE_SIM_SEED=123 cargo test --lib sim::tests::one -- --nocapture` prints its options and its trace.
//! - Many seeds: `ASHORE_SIM_SEEDS=20000 cargo test --profile sim --lib sim::tests::many`; `ASHORE_SIM_FIRST=5000` begins there.
//! - Every planted mistake stands in `PLANTED` with a life that shows it, and that is well without it.
//! - `ASHORE_SIM_BUG=TornTailKept` beside a seed makes a planted mistake ([`crate::plant`]).

mod agent;
mod client;
mod dice;
mod disk;
mod endpoint;
mod files;
mod mirror;
mod net;
mod options;
mod process;
mod queue;
mod shelf;
mod tests;
mod tree;
mod trees;
mod truth;
mod workspace;
mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::mirror::ground::simulated::stand_on;
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::Prompt;
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::normalize;
use crate::session::reduce;
use crate::session::state::Session;

use agent::Agent;
use client::{CACHE, Client};
use endpoint::{Endpoint, FILE};
use files::Words;
use net::{Net, Peer};
use tree::Tree;
use truth::Wish;
use world::World;

const CLIENTS: usize = 2;
/// After the last fault everything is as it should be within this: the longest silence that is borne, the longest wait
/// between two tries, a call that times out, and a child that is not heard.
const CONVERGED: Duration = Duration::from_secs(150);
/// On a network without faults a message is answered within this.
const PROMPT: Duration = Duration::from_secs(40);
/// A line of the journal is on a live screen within this; half of the time between two signs of life, which would heal it.
const LAG: usize = 8;
/// So long nothing is said when all is said and done.
const QUIET: Duration = Duration::from_secs(12);
/// And not later than in so many times that.
const ROUNDS: usize = 4;
/// What a client that has seen where an older journal ends may say before another one has.
const OFFERS: usize = 10;

/// How a life went.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lived {
    /// Of everything that happened.
    hash: u64,
    lines: usize,
    failure: Option<String>,
    /// What it was like, and the newest that happened.
    options: String,
    tail: String,
    /// What the journal had come to, when it failed.
    journal: String,
}

/// Lives the life of a seed.
fn live(seed: u64) -> Lived {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can always be built");
    runtime.block_on(async {
        let world = Arc::new(World::new(seed));
        stand_on(Some(world.trees.clone()));
        let cast = Cast::new(&world);
        tokio::select! {
            biased;
            () = world.failed.notified() => (),
            () = cast.life() => (),
        }
        let lines = cast.endpoint.lines();
        cast.end().await;
        stand_on(None);
        if process::panicked() {
            world.fail("a task has panicked");
        }
        let failure = world.failure();
        let told = lines.iter().zip(1..).filter(|_| failure.is_some());
        let told = told.map(|(line, seq)| format!("{seq:>5} {}", String::from_utf8_lossy(line)));
        Lived {
            hash: world.hash(),
            lines: lines.len(),
            journal: told.collect::<Vec<_>>().join("\n"),
            failure,
            options: format!("{:#?}", world.options),
            tail: world.tail(usize::MAX),
        }
    })
}

/// Everybody.
struct Cast {
    world: Arc<World>,
    net: Arc<Net>,
    endpoint: Arc<Endpoint>,
    agent: Arc<Agent>,
    clients: Vec<Arc<Client>>,
}

impl Cast {
    fn new(world: &Arc<World>) -> Self {
        let endpoint = Endpoint::new(world);
        let net = Net::new(world, &endpoint);
        Self {
            world: Arc::clone(world),
            agent: Agent::new(&net),
            clients: (0..CLIENTS)
                .map(|number| Client::new(&net, number))
                .collect(),
            endpoint,
            net,
        }
    }

    async fn end(&self) {
        self.endpoint.kill(false).await;
        self.agent.kill(false).await;
        for client in &self.clients {
            client.kill(false).await;
        }
    }

    async fn life(&self) {
        self.endpoint.start();
        self.agent.start();
        for client in &self.clients {
            client.start();
        }
        let mut others = JoinSet::new();
        others.spawn(watch(
            self.world.clone(),
            self.endpoint.clone(),
            self.clients.clone(),
            self.net.clone(),
        ));
        others.spawn(keep_agent(self.agent.clone()));
        self.trouble().await;
        self.world.set_calm();
        // Half-open links may still be believed in, so the first message is given time and the second is not.
        let mut words = Vec::new();
        for within in [CONVERGED, PROMPT] {
            for (client, number) in self.clients.iter().zip(0..) {
                let calm = within == PROMPT;
                let content = calm.then(|| self.world.trees.last_words(number));
                let message = client.say(Wish::Message).await;
                words.extend(content.map(|content| Words { content, message }));
            }
            // So that it is known what was said.
            sleep(Duration::from_millis(10)).await;
            self.converge(within).await;
        }
        let judged = self.world.truth().judge(&self.endpoint.lines());
        self.world.check(judged);
        self.judge_files(&words).await;
        if self.world.options.rollback {
            others.shutdown().await;
            self.roll_back().await;
        }
    }

    /// Nothing more is said of files when there is nothing more to say, and all that was said is right.
    async fn judge_files(&self, words: &[Words]) {
        // What was refused goes up once more with a message, and may be on its way.
        let mut quiet = false;
        for _ in 0..ROUNDS {
            let count = self.endpoint.count();
            sleep(QUIET).await;
            quiet = self.endpoint.count() == count;
            if quiet {
                break;
            }
        }
        if !quiet {
            return self.world.fail("an echo goes round");
        }
        let judged = files::judge(&self.world.trees, &self.endpoint.lines(), words);
        self.world.check(judged);
    }

    /// Users speak and blows fall, until the time is over and everybody stands again.
    async fn trouble(&self) {
        let errors = self.world.options.disk_errors;
        self.endpoint.disk.set_errors(errors);
        let mut tasks = JoinSet::new();
        for client in &self.clients {
            client.disk.set_errors(errors);
            tasks.spawn(speak(self.world.clone(), client.clone()));
            tasks.spawn(strike(self.world.clone(), Target::Client(client.clone())));
        }
        tasks.spawn(strike(
            self.world.clone(),
            Target::Endpoint(self.endpoint.clone()),
        ));
        tasks.spawn(strike(
            self.world.clone(),
            Target::Agent(self.agent.clone()),
        ));
        tasks.spawn(sever(self.world.clone(), self.net.clone()));
        tasks.spawn(trees::edit(self.world.clone()));
        while tasks.join_next().await.is_some() {}
        self.endpoint.disk.set_errors(0);
        for client in &self.clients {
            client.disk.set_errors(0);
        }
    }

    /// Waits until everybody has everything and nothing is left to do.
    async fn converge(&self, within: Duration) {
        let limit = Instant::now() + within;
        loop {
            match self.unfinished() {
                None => break,
                Some(what) if Instant::now() > limit => {
                    return self
                        .world
                        .fail(format!("after {within:?} without trouble: {what}"));
                }
                Some(_) => sleep(Duration::from_millis(250)).await,
            }
        }
        self.world.note("all is said and done");
        let lines = self.endpoint.lines();
        self.world.check(self.same(&lines));
    }

    fn unfinished(&self) -> Option<String> {
        let end = Seq(self.endpoint.count());
        let unread = self.clients.iter().find_map(|client| {
            let name = client.peer.name();
            let last = client.last();
            if !client.is_live() {
                return Some(format!("{name} is not live"));
            }
            if last != Some(end) {
                return Some(format!("{name} has read up to {last:?} of {end}"));
            }
            let waits = client.look(|attached| {
                let open = |o: &&crate::attach::state::Outgoing| {
                    !matches!(o.state, crate::attach::state::Posting::Refused(_))
                };
                attached.outbox.iter().filter(open).count()
            });
            waits
                .filter(|waits| *waits > 0)
                .map(|waits| format!("{waits} commands wait at {name}"))
        });
        let hangs = || self.net.has_hanging().then(|| "a call hangs".to_owned());
        // The dear question last.
        unread
            .or_else(hangs)
            .or_else(|| self.world.truth().settled(&self.endpoint.lines()).err())
            .or_else(|| self.world.trees.unfinished())
    }

    /// Every client's entries are the journal: once each, in order, on the screen and in the cache.
    fn same(&self, lines: &[Vec<u8>]) -> Result<(), String> {
        let mut session = Session::default();
        for (line, seq) in lines.iter().zip(1..) {
            reduce::apply(&mut session, Seq(seq), &normalize::decode(line));
        }
        for client in &self.clients {
            let name = client.peer.name();
            if client.look(|attached| attached.session == session) != Some(true) {
                return Err(format!(
                    "the session of {name} is not what the journal says"
                ));
            }
            let mut cache = client.disk.read(CACHE);
            // A torn tail is cut off at the next start.
            cache.truncate(memchr::memrchr(b'\n', &cache).map_or(0, |end| end + 1));
            let cached = cache.split_inclusive(|byte| *byte == b'\n');
            for ((line, cached), seq) in lines.iter().zip(cached).zip(1..) {
                if *line != cached[..cached.len() - 1] {
                    return Err(format!("line {seq} in the cache of {name} is another one"));
                }
            }
        }
        Ok(())
    }

    /// The operator puts an older journal in place: the clients say so and read it anew.
    async fn roll_back(&self) {
        self.agent.kill(false).await;
        self.endpoint.stop().await;
        let lines = self.endpoint.lines();
        let shorter = lines.len().saturating_sub(OFFERS).max(1);
        let kept = self.world.dice().index(shorter);
        let mut older = lines[..kept].join(&b'\n');
        if kept > 0 {
            older.push(b'\n');
        }
        self.world
            .note(format_args!("the journal goes back to line {kept}"));
        self.endpoint.disk.replace(FILE, &older);
        self.world.truth().rolled_back();
        self.endpoint.start();
        // Else it may have grown past what was read of it before anybody looks.
        if self.world.dice().chance(500) {
            self.read_again().await;
        }
        self.agent.start();
        self.converge(CONVERGED).await;
        // Who does not hear any more shows it now.
        for (client, number) in self.clients.iter().zip(0..) {
            self.world.trees.last_words(number);
            client.say(Wish::Message).await;
        }
        self.converge(CONVERGED).await;
    }

    /// Everybody has seen where the journal ends now.
    async fn read_again(&self) {
        let limit = Instant::now() + CONVERGED;
        let has = |client: &Arc<Client>| {
            client.is_live() && client.last() == Some(Seq(self.endpoint.count()))
        };
        while !self.clients.iter().all(has) {
            if Instant::now() > limit {
                return self.world.fail("not everybody has read the older journal");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Who can be struck.
enum Target {
    Endpoint(Arc<Endpoint>),
    Agent(Arc<Agent>),
    Client(Arc<Client>),
}

impl Target {
    fn tree(&self) -> Option<&Arc<Tree>> {
        match self {
            Self::Endpoint(_) => None,
            Self::Agent(agent) => Some(agent.tree()),
            Self::Client(client) => Some(client.tree()),
        }
    }
}

/// Blows fall on one target, at once or at its n-th call to the disk from now; it stands up again after a while.
async fn strike(world: Arc<World>, target: Target) {
    loop {
        let blows = world.options.blows;
        let wait = world.dice().millis(blows / 4, blows * 4);
        if world.now() + wait > world.options.trouble {
            return;
        }
        sleep(wait).await;
        let (power, doomed) = {
            let mut dice = world.dice();
            (dice.chance(world.options.power), dice.chance(600))
        };
        if doomed {
            let disk = match &target {
                Target::Endpoint(endpoint) => &endpoint.disk,
                Target::Agent(agent) => &agent.disk,
                Target::Client(client) => &client.disk,
            };
            disk.doom(world.dice().below(12));
            let died = async {
                match target.tree() {
                    None => disk.died.notified().await,
                    Some(tree) => {
                        let calls = world.trees.dice().below(60);
                        tree.doom(calls);
                        tokio::select! {
                            biased;
                            () = disk.died.notified() => (),
                            () = tree.died.notified() => (),
                        }
                    }
                }
            };
            drop(timeout(Duration::from_secs(3), died).await);
        }
        let down = world.dice().millis(0, 3_000);
        match &target {
            Target::Endpoint(endpoint) => {
                if !power && !doomed {
                    endpoint.stop().await;
                } else {
                    endpoint.kill(power).await;
                }
                sleep(down).await;
                endpoint.start();
            }
            Target::Agent(agent) => {
                agent.restart(power, down).await;
            }
            Target::Client(client) => {
                client.kill(power).await;
                sleep(down).await;
                client.start();
            }
        }
    }
}

/// Calls fail for a while, now for one and now for another.
async fn sever(world: Arc<World>, net: Arc<Net>) {
    loop {
        let blows = world.options.blows;
        let wait = world.dice().millis(blows / 2, blows * 6);
        if world.now() + wait > world.options.trouble {
            return;
        }
        sleep(wait).await;
        let (peer, long) = {
            let mut dice = world.dice();
            let peer = dice.pick(&[Peer::Client(0), Peer::Client(1), Peer::Agent]);
            (peer, dice.millis(0, 8_000))
        };
        if peer != Peer::Agent || world.options.agent_in_trouble {
            net.cut(peer, long);
        }
    }
}

/// A user's messages, and now and then another wish.
async fn speak(world: Arc<World>, client: Arc<Client>) {
    for _ in 0..world.options.messages {
        let between = u64::try_from(world.options.trouble.as_millis()).unwrap_or(u64::MAX);
        let most = if world.trouble(world.options.haste) {
            200
        } else {
            between / world.options.messages
        };
        world.pause(0, most).await;
        client.say(Wish::Message).await;
        if world.trouble(world.options.cancels) {
            world.pause(0, 1_500).await;
            client.say(Wish::Cancel).await;
        }
        if world.trouble(world.options.changes) {
            world.pause(0, 500).await;
            if let Some(change) = change(&world, &client) {
                client.say(Wish::Amend(change)).await;
            }
        }
    }
}

/// A change to something that waits, as far as this user can see, or to any message at all.
fn change(world: &World, client: &Client) -> Option<Amendment> {
    let waiting = client.look(|attached| {
        let waiting = attached.session.queued.iter();
        waiting.filter_map(|one| one.command.clone()).collect()
    });
    let waiting: Vec<CommandId> = waiting.unwrap_or_default();
    let all = if world.dice().chance(200) {
        world.truth().messages().cloned().collect()
    } else {
        waiting
    };
    let mut dice = world.dice();
    let command = all.get(dice.index(all.len()))?.clone();
    let other = all.get(dice.index(all.len() + 1)).cloned();
    let how = match dice.below(4) {
        0 => Amend::Remove,
        // Its words are its id, which has yet to be drawn.
        1 => Amend::Edit(Prompt::default()),
        2 => Amend::Move { before: other },
        _ => Amend::Steer,
    };
    Some(Amendment { command, how })
}

/// An agent server that ends by itself is started again.
async fn keep_agent(agent: Arc<Agent>) {
    loop {
        agent.ended.notified().await;
        agent.restart(false, Duration::from_millis(500)).await;
    }
}

/// Looks on: a line that stands in the journal is soon on every live screen.
async fn watch(
    world: Arc<World>,
    endpoint: Arc<Endpoint>,
    clients: Vec<Arc<Client>>,
    net: Arc<Net>,
) {
    let mut lengths: VecDeque<u64> = VecDeque::new();
    let mut live = vec![(0, Seq::ZERO); clients.len()];
    loop {
        sleep(Duration::from_secs(1)).await;
        lengths.push_back(endpoint.count());
        if lengths.len() > LAG {
            lengths.pop_front();
        }
        let old = lengths.iter().min().copied().unwrap_or_default();
        for (client, (live, read)) in clients.iter().zip(&mut live) {
            let last = client.last().unwrap_or_default();
            // Who reads the journal anew has lost the link in between.
            let fine = client.is_live() && !net.is_stalled(client.peer) && last >= *read;
            *live = if fine { *live + 1 } else { 0 };
            *read = last;
            let behind = client.last().is_some() && last.0 < old;
            if *live > LAG && lengths.len() == LAG && behind {
                let name = client.peer.name();
                return world.fail(format!(
                    "{name} is live at line {last} and has not seen line {old} for {LAG} s"
                ));
            }
        }
    }
}
