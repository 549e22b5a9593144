//! Where an agent server runs: made, entered, ended.

pub mod process;

use crate::protocol::ids::RunRef;
use crate::protocol::launch::Launch;

/// A started agent server, known across restarts of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Started {
    pub pid: i32,
    /// In clock ticks since boot, so that a reused pid is not taken for it.
    pub start_time: u64,
    pub boot_id: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    pub what: String,
    /// What the user can do.
    pub hint: Option<String>,
}

/// Makes and ends places to work in.
#[async_trait::async_trait]
pub trait Sandbox: Send + Sync {
    /// The folder for the run, its home and temp folders. Doing it twice is fine.
    async fn provision(&self, launch: &Launch) -> Result<(), Error>;
    /// Starts the agent server; it outlives us.
    async fn start(&self, launch: &Launch) -> Result<Started, Error>;
    /// Is it still the one we started?
    async fn is_alive(&self, started: &Started) -> bool;
    /// Resolves when it is gone.
    async fn wait(&self, started: &Started);
    /// Ends its whole process group.
    async fn stop(&self, started: &Started);
    /// Removes the run's folder.
    async fn destroy(&self, at: &RunRef) -> Result<(), Error>;
}
