//! The network: calls that are lost on either way, streams that come in pieces, are cut, end too early or fall silent,
//! and an endpoint that lies about the numbers of a client's events.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::endpoint::{Body, Endpoint, KEEPALIVE, reset};
use super::trees;
use super::world::World;
use crate::backend::follow;
use crate::client::api::Logs;
use crate::client::error::Error;
use crate::client::leash::{Leash, Told};
use crate::client::stream::{Source, View};
use crate::protocol::ids::Seq;

/// How long a caller waits for an answer, as `client::http` does.
const CALL: Duration = Duration::from_secs(30);
/// And for the next piece of one.
const READ: Duration = Duration::from_secs(60);
/// Pieces on their way; behind them the sender waits.
const WINDOW: usize = 8;

/// Who speaks with the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Client(usize),
    Agent,
}

impl Peer {
    pub(super) fn name(self) -> String {
        match self {
            Self::Client(number) => format!("client{number}"),
            Self::Agent => "agent".to_owned(),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Client(number) => number,
            Self::Agent => super::CLIENTS,
        }
    }
}

pub(super) enum Ask {
    Command(Value),
    Append {
        source: String,
        first: u64,
        lines: Vec<String>,
    },
    Logs {
        after: Seq,
    },
    Live {
        view: follow::View,
        after: Seq,
    },
    Contents(trees::Ask),
}

pub(super) enum Answer {
    Done,
    Logs { last: Seq, body: Body },
    Live { body: Body },
    Contents(trees::Answer),
}

pub(super) struct Net {
    pub(super) world: Arc<World>,
    pub(super) endpoint: Arc<Endpoint>,
    /// Until when nothing gets through, by peer.
    cut: Mutex<Vec<Instant>>,
    /// Calls that stand half-open: who made them waits until they time out.
    hanging: AtomicUsize,
}

/// Such a call, as long as somebody waits for it.
struct Hangs<'a>(&'a AtomicUsize);

impl<'a> Hangs<'a> {
    fn new(hanging: &'a AtomicUsize) -> Self {
        hanging.fetch_add(1, Ordering::Relaxed);
        Self(hanging)
    }
}

impl Drop for Hangs<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Streams that stand half-open, by peer: their readers cannot know it yet.
pub(super) type Stalled = [AtomicBool; super::CLIENTS + 1];

impl Net {
    pub(super) fn new(world: &Arc<World>, endpoint: &Arc<Endpoint>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            endpoint: Arc::clone(endpoint),
            cut: Mutex::new(vec![Instant::now(); super::CLIENTS + 1]),
            hanging: AtomicUsize::new(0),
        })
    }

    /// Calls of this peer fail for a while.
    pub(super) fn cut(&self, peer: Peer, wait: Duration) {
        self.world.note(format_args!(
            "{} is cut off for {} ms",
            peer.name(),
            wait.as_millis()
        ));
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut[peer.index()] = Instant::now() + wait;
    }

    pub(super) fn is_stalled(&self, peer: Peer) -> bool {
        self.world.stalled[peer.index()].load(Ordering::Relaxed)
    }

    pub(super) fn has_hanging(&self) -> bool {
        self.hanging.load(Ordering::Relaxed) > 0
    }

    fn is_cut(&self, peer: Peer) -> bool {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        !self.world.is_calm() && cut[peer.index()] > Instant::now()
    }

    pub(super) async fn ask(&self, peer: Peer, ask: Ask) -> Result<Answer, Error> {
        let asked = timeout(CALL, self.carried(peer, ask)).await;
        asked.unwrap_or_else(|_| Err(reset("timed out")))
    }

    async fn carried(&self, peer: Peer, ask: Ask) -> Result<Answer, Error> {
        let world = &self.world;
        world.travel().await;
        if self.is_cut(peer) {
            return Err(reset("no route"));
        }
        let spared = peer == Peer::Agent && !world.options.agent_in_trouble;
        let lost = if spared { 0 } else { world.options.lost_calls };
        if world.trouble(lost) {
            // Half-open: nobody says that it never arrived.
            let _hangs = Hangs::new(&self.hanging);
            return std::future::pending().await;
        }
        let patient = world.dice().chance(500);
        let serving = self.endpoint.serve(peer, ask, patient);
        let answer = if world.trouble(lost) {
            let patience = world.dice().millis(0, 30);
            let answer = timeout(patience, serving).await;
            answer.unwrap_or_else(|_| Err(reset("connection reset")))
        } else {
            serving.await
        };
        world.travel().await;
        if self.is_cut(peer) || world.trouble(lost) {
            world.note(format_args!("an answer to {} is lost", peer.name()));
            return Err(reset("connection reset"));
        }
        answer
    }
}

/// A piece of an answer's body.
pub(super) enum Piece {
    Bytes(Bytes),
    /// The body is whole. A pipe that ends without it was cut.
    End,
}

/// What becomes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lives,
    Cut,
    /// Ends as if all were said.
    Ends,
    /// Half-open: stands and says nothing more.
    Stalls,
}

/// The sending end of a body.
pub(super) struct Pipe {
    world: Arc<World>,
    peer: Peer,
    to: mpsc::Sender<Piece>,
    fate: Fate,
    /// Bytes until the fate strikes, and the time at which it does so anyway.
    left: u64,
    until: Instant,
    /// The last event's number, for lies.
    pub(super) told: u64,
}

impl Pipe {
    pub(super) fn open(world: &Arc<World>, peer: Peer) -> (Self, Body) {
        let (to, body) = mpsc::channel(WINDOW);
        let mut dice = world.dice();
        let spared = peer == Peer::Agent && !world.options.agent_in_trouble;
        let cut = if spared { 0 } else { world.options.cut_streams };
        let fate = if !world.is_calm() && dice.chance(cut) {
            dice.pick(&[Fate::Cut, Fate::Cut, Fate::Ends, Fate::Stalls])
        } else {
            Fate::Lives
        };
        let most = dice.pick(&[10, 500, 5_000]);
        let (left, until) = (dice.below(most), Instant::now() + dice.millis(0, 20_000));
        drop(dice);
        world.stalled[peer.index()].store(false, Ordering::Relaxed);
        let pipe = Self {
            world: Arc::clone(world),
            peer,
            to,
            fate,
            left,
            until,
            told: 0,
        };
        (pipe, body)
    }

    /// Resolves when nobody reads any more.
    pub(super) async fn closed(&self) {
        let fate = async {
            match self.fate {
                Fate::Lives | Fate::Stalls => std::future::pending().await,
                Fate::Cut | Fate::Ends => sleep_until(self.until).await,
            }
            if self.world.is_calm() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = self.to.closed() => (),
            () = fate => if self.fate == Fate::Ends {
                drop(self.to.send(Piece::End).await);
            },
        }
    }

    /// Carries bytes in pieces; an error when the stream is over.
    pub(super) async fn carry(&mut self, mut bytes: Bytes) -> Result<(), ()> {
        // Most in one piece, as on a good network; the others show every place at which one can be split.
        let whole = self.world.dice().chance(750);
        let most = if whole {
            4_000
        } else {
            self.world.options.piece
        };
        if self.peer == Peer::Agent && self.world.trouble(self.world.options.sluggish) {
            self.world.pause(0, 3_000).await;
        }
        // Events that come together are read together.
        if self.world.dice().chance(400) {
            let slow = if self.world.trouble(20) { 2_000 } else { 3 };
            self.world.pause(0, slow).await;
        }
        while !bytes.is_empty() {
            let size = {
                let mut dice = self.world.dice();
                1 + dice.index(usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len()))
            };
            let piece = bytes.split_to(size);
            self.fated(size as u64).await?;
            self.to.send(Piece::Bytes(piece)).await.map_err(|_| ())?;
        }
        Ok(())
    }

    async fn fated(&mut self, size: u64) -> Result<(), ()> {
        if self.fate == Fate::Lives
            || self.world.is_calm()
            || (self.left >= size && Instant::now() < self.until)
        {
            self.left = self.left.saturating_sub(size);
            return Ok(());
        }
        if self.to.is_closed() {
            return Err(());
        }
        self.world.note(format_args!(
            "a stream of {}: {:?}",
            self.peer.name(),
            self.fate
        ));
        match self.fate {
            Fate::Ends => {
                drop(self.to.send(Piece::End).await);
                Err(())
            }
            Fate::Stalls => {
                self.world.stalled[self.peer.index()].store(true, Ordering::Relaxed);
                self.to.closed().await;
                Err(())
            }
            Fate::Cut | Fate::Lives => Err(()),
        }
    }

    /// Carries an event, or a lie about it.
    pub(super) async fn tell(&mut self, event: Bytes) -> Result<(), ()> {
        let Some(text) = self.lie(&event) else {
            return self.carry(event).await;
        };
        self.world.note(format_args!(
            "a lie to {}: {}",
            self.peer.name(),
            text.len()
        ));
        self.carry(text.into()).await
    }

    /// Ids that jump, repeat or go back, events that are left out or said twice, and what is no event at all.
    fn lie(&mut self, event: &Bytes) -> Option<String> {
        let text = std::str::from_utf8(event).ok()?;
        let (data, id) = text.strip_suffix("\n\n")?.rsplit_once("\nid: ")?;
        let id: u64 = id.parse().ok()?;
        let lies = self.world.options.lies;
        if self.peer == Peer::Agent || !self.world.trouble(lies) {
            self.told = id;
            return None;
        }
        // What is left out is missed when the next one comes.
        self.world.stalled[self.peer.index()].store(true, Ordering::Relaxed);
        let mut dice = self.world.dice();
        // A wrong number that is just the awaited one nobody could tell from the right one.
        let awaited = self.told + 1;
        let numbered = |lie: u64| {
            let lie = if lie == awaited { id + 1 } else { lie };
            format!("{data}\nid: {lie}\n\n")
        };
        let kind = dice.below(8);
        // Of these the truth comes along.
        if matches!(kind, 3 | 6 | 7) {
            self.told = id;
        }
        Some(match kind {
            0 => numbered(id + 1 + dice.below(5)),
            1 => numbered(dice.below(id)),
            2 => numbered(awaited - 1),
            3 => format!("{text}{text}"),
            4 => String::new(),
            5 => format!("{data}\nid: x{id}\n\n"),
            6 => format!("event: hello\ndata: {{\"last_seq\":0}}\n\n{text}"),
            _ => format!("event: error\ndata: {{\"error\":\"not today\"}}\n\n{text}"),
        })
    }

    pub(super) async fn end(&self) {
        drop(self.to.send(Piece::End).await);
    }
}

/// The receiving end, as bytes; no piece may be awaited for longer than `client::http` does.
fn bytes(body: Body) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    futures::stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        match timeout(READ, body.recv()).await {
            Ok(Some(Piece::Bytes(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(Some(Piece::End)) => None,
            Ok(None) => Some((Err(reset("connection reset")), None)),
            Err(_) => Some((Err(reset("timed out")), None)),
        }
    })
}

/// One peer's road to the endpoint: what `client::stream` reads from.
#[derive(Clone)]
pub(super) struct Road {
    pub(super) net: Arc<Net>,
    pub(super) peer: Peer,
}

#[async_trait::async_trait]
impl Source for Road {
    async fn logs(&self, after: Seq) -> Result<Logs, Error> {
        let world = &self.net.world;
        match self.net.ask(self.peer, Ask::Logs { after }).await? {
            Answer::Logs { last, body } => {
                let lie = self.peer != Peer::Agent && world.trouble(world.options.lies);
                let last = if lie {
                    Seq(world.dice().below(2 * last.0 + 1))
                } else {
                    last
                };
                world.note(format_args!(
                    "{} reads from {after} to {last}",
                    self.peer.name()
                ));
                Ok(Logs::new(
                    Some(last),
                    Some(KEEPALIVE),
                    after,
                    bytes(body).boxed(),
                ))
            }
            Answer::Done | Answer::Live { .. } | Answer::Contents(_) => {
                Err(reset("another answer"))
            }
        }
    }

    fn live(&self, view: View, after: Seq) -> Result<Leash, Error> {
        let view = match view {
            View::Journal => follow::View::Journal,
            View::Commands => follow::View::Commands,
        };
        let road = self.clone();
        Ok(Leash::leading(move |out| async move {
            match road.net.ask(road.peer, Ask::Live { view, after }).await {
                Ok(Answer::Live { body }) => road.decode(body, out).await,
                Ok(Answer::Done | Answer::Logs { .. } | Answer::Contents(_)) => {
                    reset("another answer")
                }
                Err(error) => error,
            }
        }))
    }
}

impl Road {
    /// The parser under `reqwest-eventsource`, on these bytes.
    async fn decode(&self, body: Body, out: mpsc::Sender<Told>) -> Error {
        self.net
            .world
            .note(format_args!("{} has a stream", self.peer.name()));
        if out.send(Told::Open).await.is_err() {
            return reset("nobody listens");
        }
        let mut events = std::pin::pin!(bytes(body).eventsource());
        while let Some(event) = events.next().await {
            let told = match event {
                Ok(event) => Told::Event {
                    name: event.event,
                    id: event.id,
                    data: event.data,
                },
                Err(eventsource_stream::EventStreamError::Transport(error)) => return error,
                Err(error) => {
                    return Error::Malformed {
                        text: error.to_string(),
                    };
                }
            };
            if out.send(told).await.is_err() {
                return reset("nobody listens");
            }
        }
        reset("the stream ended")
    }
}
