//! From settings to parts: the only file that names implementations.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use futures::future::BoxFuture;

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
