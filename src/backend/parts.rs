//! From settings to parts: the only file that names implementations.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::backend::blobs::Blobs;
use crate::backend::journal::{Journal, Wholes};
use crate::backend::lifecycle::Lifecycle;
use crate::backend::log::file::{FileLog, Fsync};
use crate::backend::router::memory::Memory;
use crate::backend::serve::Error;
use crate::backend::store::Store;
use crate::protocol::ids::RunId;

/// What the lifecycle is built on.
#[derive(Clone)]
pub struct Ground {
    pub store: Arc<Store>,
    pub journal: Arc<Journal>,
    pub blobs: Blobs,
    /// How many group commits there were.
    pub(crate) syncs: Arc<AtomicU64>,
}

/// A command that only asks has the lock for a moment, and so has a child of an endpoint that was killed.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// [`lock`], once whoever has it for a moment only has let go.
pub(crate) async fn take(folder: &Path) -> Result<File, Error> {
    let end = Instant::now() + PATIENCE;
    loop {
        match lock(folder) {
            Err(Error::Held(_)) if Instant::now() < end => tokio::time::sleep(LOOK).await,
            taken => return taken,
        }
    }
}

/// Makes the folder, for this user only, and takes its lock. Two endpoints on one store would give two lines one number.
pub(crate) fn lock(folder: &Path) -> Result<File, Error> {
    let failed = |source| Error::Folder {
        folder: folder.to_owned(),
        source,
    };
    let mut make = std::fs::DirBuilder::new();
    make.recursive(true).mode(0o700);
    make.create(folder).map_err(failed)?;
    let mut open = File::options();
    open.create(true).truncate(false).write(true).mode(0o600);
    let file = open.open(folder.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Held(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Opens everything that is kept in this folder.
pub async fn ground(folder: &Path, fsync: Fsync) -> Result<Ground, Error> {
    let journals = folder.join("journals");
    let log = FileLog::new(journals.clone(), fsync).map_err(|source| Error::Folder {
        folder: journals,
        source,
    })?;
    let syncs = log.syncs();
    let blobs = Blobs::in_folder(&folder.join("blobs"))?;
    let store = Arc::new(Store::open(folder).await?);
    let router = Arc::new(Memory::default());
    let wholes = Arc::new(WholesAsBlobs {
        blobs: blobs.clone(),
        store: Arc::clone(&store),
    });
    let journal = Arc::new(Journal::new(Arc::new(log), router, wholes));
    Ok(Ground {
        store,
        journal,
        blobs,
        syncs,
    })
}

/// A cut line's whole is a blob of its run.
struct WholesAsBlobs {
    blobs: Blobs,
    store: Arc<Store>,
}

#[async_trait::async_trait]
impl Wholes for WholesAsBlobs {
    async fn keep(&self, run: &RunId, whole: Bytes) -> Result<(), String> {
        let hash = self.blobs.put(whole).await.map_err(|why| why.to_string())?;
        let noted = self.store.refer(run, &[hash]).await;
        noted.map_err(|why| why.to_string())
    }
}

/// How a lifecycle is made once the ground is there, and takes up what the last endpoint has left. The text is the
/// endpoint's URL as a process on this machine reaches it.
pub type Driver = Box<dyn FnOnce(Ground, String) -> BoxFuture<'static, Arc<dyn Lifecycle>> + Send>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_a_store_for_a_moment_is_waited_for_and_who_serves_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        assert!(matches!(take(folder.path()).await, Err(Error::Held(_))));
        let mut taking = Box::pin(take(folder.path()));
        assert!(futures::poll!(&mut taking).is_pending());
        drop(held);
        assert!(taking.await.is_ok());
    }
}
