//! Where the lines of a run are kept: appended only, numbered from 1, read by number.
//!
//! A log knows lines, not what they say. Only the journal appends.

pub mod file;
pub mod ground;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::protocol::ids::{RunId, Seq};

/// Many requests may wait for one write, so the cause is kept as text that can be told to each.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {what} the journal of run {run}: {cause}")]
pub struct Error {
    pub what: &'static str,
    pub run: RunId,
    pub cause: String,
}

/// Keeps the logs of all runs.
#[async_trait::async_trait]
pub trait Log: Send + Sync {
    /// Opens the run's log, empty if it never had a line; a torn last line is cut off. One opener at a time.
    async fn open(&self, run: &RunId) -> Result<Arc<dyn Lines>, Error>;
    /// Removes it; it need not exist.
    async fn remove(&self, run: &RunId) -> Result<(), Error>;
}

/// The open log of one run.
#[async_trait::async_trait]
pub trait Lines: Send + Sync {
    /// Gives the lines (no LF in them) the next numbers, at once and in the order of the calls. No lines: a ticket
    /// for everything submitted before.
    fn submit(&self, lines: Vec<Bytes>) -> Ticket;
    /// The last durable line.
    fn last(&self) -> Seq;
    /// Durable lines behind `after`, in order, at least one if there is one, and then until `most` bytes are passed.
    async fn read_after(&self, after: Seq, most: usize) -> Result<Vec<Bytes>, Error>;
}

/// A promise about submitted lines.
pub struct Ticket {
    /// The number of the last of them.
    pub last: Seq,
    /// Resolves when they will survive a crash; dropping it takes nothing back.
    pub durable: BoxFuture<'static, Result<(), Error>>,
}
