//! The endpoint: the real journal on the real file log on a simulated disk, and the real followers.
//!
//! Stands in for `backend::http`: one handler per route, without HTTP.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::disk::Disk;
use super::net::{Answer, Ask, Peer, Piece, Pipe};
use super::process::Process;
use super::world::World;
use crate::backend::follow;
use crate::backend::follower::{Follower, Place};
use crate::backend::journal::{Answers, Error, Journal, Life, Wholes};
use crate::backend::ledger::Batch;
use crate::backend::log::file::{FileLog, Fsync};
use crate::backend::log::ground::{self, Ground, Work};
use crate::backend::router::Router;
use crate::client::error::Error as Refusal;
use crate::protocol::command::Command;
use crate::protocol::ids::{RunId, Seq};
use crate::protocol::run::Status;

pub(super) const KEEPALIVE: Duration = Duration::from_secs(15);
/// The run's journal on the endpoint's disk.
pub(super) const FILE: &str = "run.ndjson";
/// Read at once; small, so that an answer of several pieces is common.
const PIECE: usize = 4096;

#[derive(Clone)]
struct Up {
    process: Process,
    disk: Arc<Disk>,
    journal: Arc<Journal>,
    shutdown: CancellationToken,
}

impl Up {
    /// What is acknowledged has reached the disk, the first time and again.
    fn durable(&self, part: &str) -> Result<(), String> {
        if self.disk.is_durable(FILE, part.as_bytes()) {
            return Ok(());
        }
        Err(format!("{part} is acknowledged and not durable"))
    }
}

pub(super) struct Endpoint {
    world: Arc<World>,
    pub(super) disk: Arc<Disk>,
    up: Mutex<Option<Up>>,
}

impl Endpoint {
    pub(super) fn new(world: &Arc<World>) -> Arc<Self> {
        let dice = world.dice().clone();
        Arc::new(Self {
            world: Arc::clone(world),
            disk: Disk::new(dice),
            up: Mutex::default(),
        })
    }

    fn up(&self) -> Option<Up> {
        let up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        up.clone()
    }

    pub(super) fn start(&self) {
        self.world.note("endpoint starts");
        self.disk.start();
        let process = Process::start();
        let ground = Folder {
            world: Arc::clone(&self.world),
            disk: Arc::clone(&self.disk),
            process: process.clone(),
        };
        let log = FileLog::on(Arc::new(ground), Fsync::Group);
        let journal = Journal::new(
            Arc::new(log),
            Arc::new(Bells::default()),
            Arc::new(NoWholes),
        );
        let up = Up {
            process,
            disk: Arc::clone(&self.disk),
            journal: Arc::new(journal),
            shutdown: CancellationToken::new(),
        };
        *self.up.lock().unwrap_or_else(PoisonError::into_inner) = Some(up);
    }

    /// Killed; `power`: and what was not synced is gone.
    pub(super) async fn kill(&self, power: bool) {
        self.world
            .note(format_args!("endpoint dies, power {power}"));
        self.disk.stop(power);
        let up = self
            .up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(up) = up {
            up.process.kill().await;
        }
    }

    /// Ends as an endpoint should: streams are closed first.
    pub(super) async fn stop(&self) {
        if let Some(up) = self.up() {
            up.shutdown.cancel();
            self.world.pause(0, 200).await;
        }
        self.kill(false).await;
    }

    /// Serves one request; resolves when the answer begins. A dead endpoint resets the connection.
    pub(super) async fn serve(
        &self,
        peer: Peer,
        ask: Ask,
        patient: bool,
    ) -> Result<Answer, Refusal> {
        let Some(up) = self.up() else {
            return Err(reset("connection refused"));
        };
        let (done, answer) = oneshot::channel();
        let (world, handler) = (Arc::clone(&self.world), up.clone());
        let task = up.process.spawn(async move {
            drop(done.send(handle(&world, &handler, peer, ask).await));
        });
        // A server of HTTP drops the handler when the asker goes away, unless the request was read already.
        let _abort = super::process::Abort(task.filter(|_| !patient));
        let answer = answer
            .await
            .unwrap_or_else(|_| Err(reset("connection reset")));
        if up.process.is_alive() && !self.disk.is_dead() {
            answer
        } else {
            Err(reset("connection reset"))
        }
    }

    /// How many lines stand in the journal's file.
    pub(super) fn count(&self) -> u64 {
        self.disk.lines(FILE)
    }

    /// Everything in the journal's file, as a list of lines.
    pub(super) fn lines(&self) -> Vec<Vec<u8>> {
        let bytes = self.disk.read(FILE);
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| line[..line.len() - 1].to_vec())
            .collect()
    }
}

pub(super) fn reset(text: &str) -> Refusal {
    Refusal::Unreachable {
        text: text.to_owned(),
    }
}

/// As `http::error` answers, read by `client::http`.
fn refused(error: &Error) -> Refusal {
    let text = error.to_string();
    match error {
        Error::Log(_) | Error::Whole(_) => Refusal::Unreachable { text },
        Error::Removed => Refusal::Gone { text },
        Error::Line(_) => Refusal::Rejected { status: 400, text },
        Error::Closed
        | Error::Over
        | Error::Ended
        | Error::Answered { .. }
        | Error::Taken
        | Error::Unqueued
        | Error::NotQueued
        | Error::NotBefore => Refusal::Rejected { status: 409, text },
    }
}

/// A command, the first time or again.
async fn command(world: &Arc<World>, up: &Up, peer: Peer, body: &Value) -> Result<Answer, Refusal> {
    let command = Command::from_json(body).map_err(|error| reset(&error.to_string()))?;
    let who = peer.name();
    let accepted = up
        .journal
        .command(&world.at(), &command, body, &who, Life::Open)
        .await;
    accepted.map_err(|error| refused(&error))?;
    if let Some(id) = &command.id {
        world.note(format_args!("endpoint accepts {id}"));
        world.check(up.durable(&format!(r#""id":"{id}","from":"#)));
        world.truth().acknowledged(id);
    }
    Ok(Answer::Done)
}

async fn handle(world: &Arc<World>, up: &Up, peer: Peer, ask: Ask) -> Result<Answer, Refusal> {
    let at = world.at();
    match ask {
        Ask::Command(body) => command(world, up, peer, &body).await,
        Ask::Append {
            source,
            first,
            lines,
        } => {
            let count = lines.len() as u64;
            let entries: Result<Vec<Box<RawValue>>, _> =
                lines.into_iter().map(RawValue::from_string).collect();
            let entries = entries.map_err(|error| Refusal::Rejected {
                status: 400,
                text: error.to_string(),
            })?;
            let batch = Batch {
                source: source.clone(),
                first,
            };
            let appended = up
                .journal
                .append_agent(&at, Some(&batch), &entries, Answers::Count);
            appended.await.map_err(|error| refused(&error))?;
            world.note(format_args!("endpoint accepts {count} lines from {first}"));
            for number in first..first + count {
                world.check(up.durable(&format!(r#""src":"{source}:{number}""#)));
            }
            world.truth().appended(&source, first, count);
            Ok(Answer::Done)
        }
        Ask::Logs { after } => logs(world, up, peer, after).await,
        Ask::Live { view, after } => live(world, up, peer, view, after).await,
        Ask::Contents(ask) => Ok(Answer::Contents(world.trees.serve(ask))),
    }
}

async fn logs(world: &Arc<World>, up: &Up, peer: Peer, after: Seq) -> Result<Answer, Refusal> {
    let run = world.at().run;
    let last = up
        .journal
        .last(&run)
        .await
        .map_err(|error| refused(&error))?;
    let (mut pipe, body) = Pipe::open(world, peer);
    let journal = Arc::clone(&up.journal);
    up.process.spawn(async move {
        let mut after = after;
        while after < last {
            let Ok(mut read) = journal.read_after(&run, after, PIECE).await else {
                return;
            };
            read.truncate(usize::try_from(last.0 - after.0).unwrap_or(usize::MAX));
            if read.is_empty() {
                return;
            }
            let mut bytes = BytesMut::new();
            for line in &read {
                bytes.put_slice(line);
                bytes.put_u8(b'\n');
            }
            after.0 += read.len() as u64;
            if pipe.carry(bytes.freeze()).await.is_err() {
                return;
            }
        }
        pipe.end().await;
    });
    Ok(Answer::Logs { last, body })
}

async fn live(
    world: &Arc<World>,
    up: &Up,
    peer: Peer,
    view: follow::View,
    after: Seq,
) -> Result<Answer, Refusal> {
    let place = Here {
        world: Arc::clone(world),
        shutdown: up.shutdown.clone(),
    };
    let header = after.to_string();
    let journal = Arc::clone(&up.journal);
    let opened = Follower::open(journal, world.at().run, view, Some(&header), place).await;
    let mut follower = opened.map_err(|error| refused(&error))?;
    let (mut pipe, body) = Pipe::open(world, peer);
    pipe.told = after.0;
    up.process.spawn(async move {
        loop {
            // Whoever hangs up is noticed at once, as by a server of HTTP.
            let event = tokio::select! {
                biased;
                () = pipe.closed() => return,
                event = follower.next() => event,
            };
            match event {
                Some(event) => {
                    if pipe.tell(event).await.is_err() {
                        return;
                    }
                }
                None => return pipe.end().await,
            }
        }
    });
    Ok(Answer::Live { body })
}

struct Here {
    world: Arc<World>,
    shutdown: CancellationToken,
}

#[async_trait::async_trait]
impl Place for Here {
    fn keepalive(&self) -> Duration {
        KEEPALIVE
    }

    fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    async fn may_stay(&self) -> bool {
        self.world.pause(0, 5).await;
        true
    }

    async fn status(&self, _: &RunId) -> Result<Option<Status>, String> {
        self.world.pause(0, 20).await;
        Ok(Some(Status::InProgress))
    }
}

/// The endpoint's folder of journals.
struct Folder {
    world: Arc<World>,
    disk: Arc<Disk>,
    process: Process,
}

impl Ground for Folder {
    fn open(&self, name: &str) -> io::Result<Arc<dyn ground::Disk>> {
        Ok(Arc::new(self.disk.file(name)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.replace(name, b"");
        Ok(())
    }

    fn later(&self, work: Work) {
        let world = Arc::clone(&self.world);
        self.process.spawn(async move {
            // Now and then a disk takes its time.
            let slow = if world.trouble(30) { 3_000 } else { 12 };
            world.pause(0, slow).await;
            work();
        });
    }
}

/// A bell for each follower, rung in turn: tokio's `watch` wakes those who wait at one bell in an order of its own chance.
#[derive(Default)]
struct Bells(Mutex<Vec<watch::Sender<Seq>>>);

#[async_trait::async_trait]
impl Router for Bells {
    async fn announce(&self, _: &RunId, last: Seq) {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.retain(|bell| !bell.is_closed());
        for bell in bells.iter() {
            bell.send_if_modified(|known| {
                let grew = last > *known;
                *known = last.max(*known);
                grew
            });
        }
    }

    async fn listen(&self, _: &RunId) -> watch::Receiver<Seq> {
        let (bell, heard) = watch::channel(Seq::ZERO);
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.push(bell);
        heard
    }

    async fn forget(&self, _: &RunId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// No line of this world is that long.
struct NoWholes;

#[async_trait::async_trait]
impl Wholes for NoWholes {
    async fn keep(&self, _: &RunId, _: Bytes) -> Result<(), String> {
        Err("nothing is kept here".to_owned())
    }
}

/// What an answer's body is made of.
pub(super) type Body = mpsc::Receiver<Piece>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_killed_endpoint_had_not_synced_is_durable_once_it_has_been_shown() {
        let world = Arc::new(World::new(1));
        world.set_calm();
        let endpoint = Endpoint::new(&world);
        ground::Disk::append(&endpoint.disk.file(FILE), b"{}\n").unwrap();
        endpoint.start();
        let ask = Ask::Logs { after: Seq::ZERO };
        let answer = endpoint.serve(Peer::Client(0), ask, true).await;
        assert!(matches!(answer, Ok(Answer::Logs { last: Seq(1), .. })));
        endpoint.kill(true).await;
        assert_eq!(endpoint.lines(), [b"{}"]);
    }
}
