//! What every route can reach.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backend::blobs::Blobs;
use crate::backend::http::auth::Doors;
use crate::backend::http::signed::Signer;
use crate::backend::journal::Journal;
use crate::backend::lifecycle::Lifecycle;
use crate::backend::presence::Presence;
use crate::backend::store::Store;

pub struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) blobs: Blobs,
    pub(crate) lifecycle: Arc<dyn Lifecycle>,
    pub(crate) doors: Doors,
    pub(crate) signer: Signer,
    /// What proves to this user's clients that the endpoint is theirs (design decision 6).
    pub(crate) secret: Option<String>,
    /// This is the endpoint of the user on this machine: it may run commands and work in directories it is told.
    pub(crate) local: bool,
    /// Between signs of life on a silent stream.
    pub(crate) keepalive: Duration,
    /// Read, change, write back: creates and PATCHes go one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Streams end when it is cancelled.
    pub(crate) shutdown: CancellationToken,
    pub(crate) counters: Counters,
    pub(crate) presence: Arc<Presence>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) streams: Arc<AtomicU64>,
    pub(crate) syncs: Arc<AtomicU64>,
}
