//! What can happen to an attached run: facts, in the past tense.

use std::time::Instant;

use crate::attach::restore::Room;
use crate::attach::state::Outgoing;
use crate::client::error::Error;
use crate::mirror::worker::{Order, Report};
use crate::protocol::command::Command;
use crate::protocol::entry::Decoded;
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::presence::Client;
use crate::protocol::run::{Run, Status};
use crate::session::state::Session;

/// Some lines of the journal cache.
#[derive(Debug, Clone)]
pub struct Piece {
    pub lines: Vec<(Seq, Decoded)>,
    /// Their place in the queue; the reader goes on when it is free.
    pub room: Option<Room>,
}

#[derive(Debug, Clone)]
pub enum Event {
    /// Commands that an earlier screen left behind; comes before `Restored`.
    OutboxRestored(Vec<Outgoing>),
    /// How the end of a long journal cache looks; shown until all of it has been read, and never taken for the truth.
    Peeked(Box<Session>),
    /// Lines of a long journal cache, in order; `Restored` comes behind the last ones.
    Kept(Piece),
    /// The journal cache on disk has been read. The first event of every attached run that starts the road.
    Restored(Vec<(Seq, Decoded)>),
    /// History began to arrive; this many lines stand in the journal.
    HistoryOpened {
        last: Seq,
        /// The last line that was read of it still says the same.
        same: bool,
    },
    /// Lines, in order, from history or live.
    Arrived(Vec<(Seq, Decoded)>),
    /// The stream is open behind the last line.
    WentLive,
    /// The run has ended; the stream stays open.
    Ended(Status),
    LinkFailed {
        error: Error,
        now: Instant,
    },
    /// A timer asked for by an effect with this number has run out.
    TimerFired {
        id: u64,
        now: Instant,
    },
    RunLoaded(Box<Run>),
    Posted(CommandId),
    PostFailed {
        id: CommandId,
        error: Error,
        now: Instant,
    },
    Mirror(Report),
    /// Who is attached, ourselves among them.
    Presence(Vec<Client>),
    /// Unsent words could not be kept on disk: why.
    OutboxFailed(String),
    // Wishes of the user.
    Say(Command),
    RetryNow,
    /// Takes a refused or waiting command out of the outbox; its words are the asker's now.
    TakeBack(CommandId),
    MirrorOrder(Order),
    Tick {
        now: Instant,
    },
}
