//! The life of a run: a pure `advance`, and what drives it.

pub(crate) mod book;
pub mod local;
#[cfg(test)]
mod local_test;
pub mod workflow;
#[cfg(test)]
mod workflow_test;

use crate::protocol::ids::RunRef;

/// What happens to a run from outside its workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A run was created or handed over to the cloud.
    Started,
    /// A command was accepted: restarts an idle-closed run.
    Message,
    /// Any entry of the agent side, or a heartbeat: puts off the idle limit.
    Activity,
    /// The manifest was PUT.
    Seeded,
    /// A prompt request line (true) or its response line (false) was journaled.
    TurnRunning(bool),
    /// `_posthog/close`.
    Close,
    /// `DELETE`: end it and remove its workspace.
    Remove,
}

/// Drives runs. One implementation in this process, one on Temporal later.
#[async_trait::async_trait]
pub trait Lifecycle: Send + Sync {
    async fn signal(&self, at: &RunRef, signal: Signal);
}
