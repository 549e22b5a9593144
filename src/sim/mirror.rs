//! A client's mirror on a simulated machine: the real actor, hand and plans; what `mirror::worker` finds around it is
//! built here. Contents travel on the simulated network.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::net::{Answer, Ask, Peer, Road};
use super::process::Process;
use super::trees::{self, folder};
use crate::attach::event::Event;
use crate::attach::mailbox::Mailbox;
use crate::client::error::Error;
use crate::mirror::base::Base;
use crate::mirror::blobs::{self, Blobs, Wanted};
use crate::mirror::disk::Disk;
use crate::mirror::ground;
use crate::mirror::hand::Hand;
use crate::mirror::ignore::Rules;
use crate::mirror::preimage::Preimages;
use crate::mirror::scan::Limits;
use crate::mirror::worker::{self, Order, Report};
use crate::protocol::hash::ContentHash;

/// As `mirror::worker` has it.
const ORDERS: usize = 256;

/// Starts a client's mirror; it ends with the process.
pub(super) fn start(
    process: &Process,
    road: Road,
    number: usize,
    mailbox: Mailbox,
    events: mpsc::Sender<Event>,
) {
    mailbox.push(Order::Baseline(road.net.world.trees.manifest()));
    let tasks = process.clone();
    process.spawn(async move {
        let world = Arc::clone(&road.net.world);
        if let Err(why) = live(&tasks, road, number, mailbox, events).await {
            world.note(format_args!("the mirror of client{number} ends: {why}"));
        }
    });
}

async fn live(
    tasks: &Process,
    road: Road,
    number: usize,
    mailbox: Mailbox,
    events: mpsc::Sender<Event>,
) -> Result<(), String> {
    let world = Arc::clone(&road.net.world);
    let tree = Arc::clone(world.trees.tree(number));
    let base = Base::on(Arc::clone(&tree) as Arc<dyn crate::mirror::base::Simulated>);
    let known = base.load().await.map_err(|error| error.to_string())?;
    let root = folder(&tree, "root");
    let kept = Preimages::open(&folder(&tree, "pre-images")).map_err(|error| error.to_string())?;
    let rules = Rules::new(&root, &[], &[]).map_err(|error| error.to_string())?;
    rules.keep(&known.seed);
    let hand = Hand {
        disk: Disk::open(&root, &kept).map_err(|error| error.to_string())?,
        root,
        run: world.at().run,
        kept,
        lift: folder(&tree, "up"),
        rules: Arc::new(rules),
        cache: Arc::default(),
        limits: Limits::default(),
        blobs: Some(Arc::new(road)),
        remote: None,
        base,
        hurry: Arc::default(),
        lock: None,
    };
    let worker = worker::take_up(hand, known, number == 0).await;
    let worker = worker.map_err(|error| error.to_string())?;
    let (orders, inbox) = mpsc::channel(ORDERS);
    let (outbox, mut reports) = mpsc::channel(ORDERS);
    let (_asks, asked) = mpsc::channel(1);
    let (batches, watched) = mpsc::channel(4);
    tasks.spawn(trees::watch(Arc::clone(&world), number, batches));
    tasks.spawn(mailbox.carry(orders));
    tasks.spawn(async move {
        while let Some(report) = reports.recv().await {
            match &report {
                Report::Status(_) => (),
                Report::Note(note) if note.contains("stumbled") => world.fail(note),
                report => world.note(format_args!("client{number} tells {report:?}")),
            }
            drop(events.send(Event::Mirror(report)).await);
        }
    });
    worker.run(inbox, outbox, asked, watched).await;
    Err("nobody orders".to_owned())
}

impl Road {
    async fn contents(&self, ask: trees::Ask) -> Result<trees::Answer, blobs::Error> {
        match self.net.ask(self.peer, Ask::Contents(ask)).await {
            Ok(Answer::Contents(answer)) => Ok(answer),
            Ok(_) => Err(blobs::Error::Unreachable("another answer".to_owned())),
            Err(error) => Err(unreachable(&error)),
        }
    }
}

fn unreachable(error: &Error) -> blobs::Error {
    blobs::Error::Unreachable(error.to_string())
}

fn disk(source: std::io::Error) -> blobs::Error {
    blobs::Error::Disk {
        what: "a content cannot be kept".to_owned(),
        source,
    }
}

#[async_trait::async_trait]
impl Blobs for Road {
    async fn get(&self, want: &Wanted, into: &Path) -> Result<(), blobs::Error> {
        match self.contents(trees::Ask::Get(want.hash)).await? {
            trees::Answer::Content(Some(bytes)) => {
                let mut to = ground::create(into).map_err(disk)?;
                to.write_all(&bytes).map_err(disk)
            }
            _ => {
                let who = match self.peer {
                    Peer::Client(_) | Peer::Agent => self.peer.name(),
                };
                self.net
                    .world
                    .fail(format_args!("{who} wants {}, which nobody sent", want.hash));
                Err(blobs::Error::Gone(want.hash))
            }
        }
    }

    async fn put(&self, hash: ContentHash, _: u64, from: &Path) -> Result<(), blobs::Error> {
        let mut bytes = Vec::new();
        let mut file = ground::open(from).map_err(disk)?;
        file.read_to_end(&mut bytes).map_err(disk)?;
        self.contents(trees::Ask::Put(hash, bytes)).await.map(drop)
    }

    async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, blobs::Error> {
        match self.contents(trees::Ask::Missing(hashes.to_vec())).await? {
            trees::Answer::Missing(hashes) => Ok(hashes),
            _ => Ok(hashes.to_vec()),
        }
    }

    async fn pack(
        &self,
        hashes: &[ContentHash],
    ) -> Result<Vec<(ContentHash, Vec<u8>)>, blobs::Error> {
        match self.contents(trees::Ask::Pack(hashes.to_vec())).await? {
            trees::Answer::Pack(contents) => Ok(contents),
            _ => Ok(Vec::new()),
        }
    }
}
