//! The doorbell: tells followers of a run that its journal has grown. Carries no entry.

pub mod memory;

use tokio::sync::watch;

use crate::protocol::ids::{RunId, Seq};

/// Rings for those who follow a run.
#[async_trait::async_trait]
pub trait Router: Send + Sync {
    /// The run's journal is durable up to `last`.
    async fn announce(&self, run: &RunId, last: Seq);
    /// Changes whenever it grew; closed when the run is removed. Numbers may be skipped, never taken back.
    async fn listen(&self, run: &RunId) -> watch::Receiver<Seq>;
    /// The run is gone: its followers hear the bell close.
    async fn forget(&self, run: &RunId);
}
