//! What was read of a run before, brought back: a short journal at once, a long one in pieces beside the screen, its end
//! first.
//!
//! A shell. Memory is bounded: the reader waits while pieces that nobody has taken stand in the queue.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::attach::event::{Event, Piece};
use crate::attach::journal::{Cache, Journal};
use crate::protocol::entry::Decoded;
use crate::protocol::ids::Seq;
use crate::session::reduce;
use crate::session::state::Session;

/// A journal up to this many bytes is read before the screen is there: that takes no time anybody sees.
const SHORT: u64 = 512 * 1024;
/// How much of a longer one's end is read at once. Enough for a screen.
const END: u64 = 128 * 1024;
/// Pieces that wait to be taken.
const WAITING: usize = 4;

/// Keeps a place in the queue as long as any copy of it lives.
#[derive(Debug, Clone)]
pub struct Room(#[expect(dead_code, reason = "it is only held")] Arc<OwnedSemaphorePermit>);

/// What stood on disk.
pub(crate) enum Kept {
    Short(Journal, Vec<(Seq, Decoded)>),
    /// And how its end looks.
    Long(Cache, Box<Session>),
}

pub(crate) fn kept(folder: &Path) -> std::io::Result<Kept> {
    let cache = crate::attach::journal::open(folder)?;
    if cache.length > SHORT {
        let mut session = Session::default();
        for (line, number) in cache.end(END)?.iter().zip(1..) {
            reduce::apply(&mut session, Seq(number), line);
        }
        return Ok(Kept::Long(cache, Box::new(session)));
    }
    let mut all = Vec::new();
    let journal = cache.read(|lines| {
        all.extend(lines);
        true
    })?;
    Ok(Kept::Short(journal, all))
}

/// Tells a long journal from its first line on; `Restored` is the last word. Blocking; ends when nobody listens.
pub(crate) fn tell(
    runtime: &tokio::runtime::Handle,
    cache: Cache,
    journal: &Mutex<Journal>,
    events: &mpsc::Sender<Event>,
) {
    let room = Arc::new(Semaphore::new(WAITING));
    let read = cache.read(|lines| {
        let Ok(place) = runtime.block_on(room.clone().acquire_owned()) else {
            return false;
        };
        let piece = Piece {
            lines,
            room: Some(Room(Arc::new(place))),
        };
        events.blocking_send(Event::Kept(piece)).is_ok()
    });
    match read {
        Ok(read) => *journal.lock().unwrap_or_else(PoisonError::into_inner) = read,
        Err(error) => tracing::warn!(%error, "the journal cache cannot be read to its end"),
    }
    if events.blocking_send(Event::Restored(Vec::new())).is_err() {
        tracing::debug!("the screen is gone");
    }
}
