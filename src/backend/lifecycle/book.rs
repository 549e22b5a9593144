//! What the driver of runs writes down and looks up: a narrow door to the store and the journal.
//!
//! It decides nothing. It is a trait so that the driver can be tried with a paused clock, which a database in
//! threads of its own does not know.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::backend::blobs::Blobs;
use crate::backend::journal::Journal;
use crate::backend::ledger::Standing;
use crate::backend::manifest::{self, Sources};
use crate::backend::sandbox::Started;
use crate::backend::store::{Store, StoredRun};
use crate::protocol::ids::{RunId, RunRef};
use crate::protocol::run::Status;

/// Something could not be written down or looked up; the whole chain of causes as one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BookError(pub(crate) String);

impl BookError {
    fn of(error: &dyn std::error::Error) -> Self {
        let mut sentence = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            sentence.push_str(": ");
            sentence.push_str(&error.to_string());
            cause = error.source();
        }
        Self(sentence)
    }
}

pub(crate) type Result<T> = std::result::Result<T, BookError>;

#[async_trait::async_trait]
pub(crate) trait Book: Send + Sync {
    async fn run(&self, run: &RunId) -> Result<Option<StoredRun>>;
    async fn has_manifest(&self, run: &RunId) -> Result<bool>;
    async fn active_runs(&self) -> Result<Vec<StoredRun>>;
    async fn set_status(&self, run: &RunId, status: &Status, error: Option<&str>) -> Result<()>;
    async fn new_token(&self, at: &RunRef) -> Result<String>;
    async fn revoke_tokens(&self, run: &RunId) -> Result<()>;
    async fn secrets(&self, run: &RunId) -> Result<BTreeMap<String, String>>;
    async fn put_process(&self, run: &RunId, started: &Started) -> Result<()>;
    async fn clear_process(&self, run: &RunId) -> Result<()>;
    async fn processes(&self) -> Result<Vec<(RunRef, Started)>>;
    /// A line of the endpoint's own, durable when this returns.
    async fn append(&self, at: &RunRef, message: Value) -> Result<()>;
    async fn standing(&self, at: &RunRef) -> Result<Standing>;
    /// Writes the manifest of the tree the run has come to.
    async fn close_manifest(&self, run: &RunId) -> Result<()>;
}

/// The real one.
pub(crate) struct Ledgers {
    pub(crate) store: Arc<Store>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) blobs: Blobs,
}

fn failed(error: impl std::error::Error) -> BookError {
    BookError::of(&error)
}

#[async_trait::async_trait]
impl Book for Ledgers {
    async fn run(&self, run: &RunId) -> Result<Option<StoredRun>> {
        self.store.run(run).await.map_err(failed)
    }

    async fn has_manifest(&self, run: &RunId) -> Result<bool> {
        Ok(self.store.manifest(run).await.map_err(failed)?.is_some())
    }

    async fn active_runs(&self) -> Result<Vec<StoredRun>> {
        self.store.active_runs().await.map_err(failed)
    }

    async fn set_status(&self, run: &RunId, status: &Status, error: Option<&str>) -> Result<()> {
        self.store
            .set_status(run, status, error)
            .await
            .map_err(failed)
    }

    async fn new_token(&self, at: &RunRef) -> Result<String> {
        self.store.new_run_token(at).await.map_err(failed)
    }

    async fn revoke_tokens(&self, run: &RunId) -> Result<()> {
        self.store.revoke_run_tokens(run).await.map_err(failed)
    }

    async fn secrets(&self, run: &RunId) -> Result<BTreeMap<String, String>> {
        self.store.secrets(run).await.map_err(failed)
    }

    async fn put_process(&self, run: &RunId, started: &Started) -> Result<()> {
        self.store.put_process(run, started).await.map_err(failed)
    }

    async fn clear_process(&self, run: &RunId) -> Result<()> {
        self.store.clear_process(run).await.map_err(failed)
    }

    async fn processes(&self) -> Result<Vec<(RunRef, Started)>> {
        self.store.processes().await.map_err(failed)
    }

    async fn append(&self, at: &RunRef, message: Value) -> Result<()> {
        self.journal
            .append_endpoint(at, message)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn standing(&self, at: &RunRef) -> Result<Standing> {
        self.journal.state(at).await.map_err(failed)
    }

    async fn close_manifest(&self, run: &RunId) -> Result<()> {
        let from = Sources {
            store: &self.store,
            journal: &self.journal,
            blobs: &self.blobs,
        };
        manifest::close(from, run).await.map_err(failed)
    }
}
