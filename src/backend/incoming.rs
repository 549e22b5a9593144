//! Bytes on their way into the blob store: nothing has the blob's name before all of them are on the disk.

use std::io;
use std::path::Path as FilePath;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutPayload, WriteMultipart};
use tempfile::{NamedTempFile, TempPath};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// Where they lie until then, in the folder of blobs.
const FOLDER: &str = "incoming";
/// Uploads above this go to a store elsewhere in parts, so that no blob is ever held in memory.
const PART: usize = 4 * 1024 * 1024;

/// What a killed endpoint left behind.
pub(super) fn sweep(folder: &FilePath) -> io::Result<()> {
    let at = folder.join(FOLDER);
    match std::fs::remove_dir_all(&at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => std::fs::create_dir(&at),
    }
}

/// Dropped before it is kept, it leaves nothing behind.
pub(super) struct ToFolder {
    file: File,
    path: TempPath,
}

impl ToFolder {
    pub(super) async fn begin(folder: &FilePath) -> io::Result<Self> {
        let at = folder.join(FOLDER);
        let made = blocking(move || NamedTempFile::new_in(at)).await?;
        let (file, path) = made.into_parts();
        Ok(Self {
            file: File::from_std(file),
            path,
        })
    }

    pub(super) async fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece).await
    }

    /// The bytes are on the disk, then they have this name, then the name is on the disk.
    pub(super) async fn keep(mut self, folder: &FilePath, name: &str) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let (path, root, at) = (self.path, folder.to_owned(), folder.join(name));
        blocking(move || {
            let parent = at.parent().unwrap_or(&root);
            match std::fs::create_dir(parent) {
                Ok(()) => sync_folder(&root)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                Err(error) => return Err(error),
            }
            path.persist(&at).map_err(|error| error.error)?;
            sync_folder(parent)
        })
        .await
    }
}

pub(super) fn sync_folder(folder: &FilePath) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// To a store elsewhere, which keeps an object whole or not at all.
pub(super) struct ToStore {
    held: Vec<u8>,
    parts: Option<WriteMultipart>,
}

impl ToStore {
    pub(super) fn new() -> Self {
        Self {
            held: Vec::new(),
            parts: None,
        }
    }

    pub(super) async fn take(
        &mut self,
        store: &dyn ObjectStore,
        place: &Path,
        piece: &Bytes,
    ) -> object_store::Result<()> {
        self.held.extend_from_slice(piece);
        if self.held.len() < PART {
            return Ok(());
        }
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let upload = store.put_multipart(place).await?;
                let parts = WriteMultipart::new_with_chunk_size(upload, PART);
                self.parts.insert(parts)
            }
        };
        parts.wait_for_capacity(2).await?;
        parts.put(std::mem::take(&mut self.held).into());
        Ok(())
    }

    pub(super) async fn keep(
        self,
        store: &dyn ObjectStore,
        place: &Path,
    ) -> object_store::Result<()> {
        match self.parts {
            None => {
                let whole = PutPayload::from(self.held);
                store.put(place, whole).await.map(drop)
            }
            Some(mut parts) => {
                parts.put(self.held.into());
                parts.finish().await.map(drop)
            }
        }
    }

    pub(super) async fn abort(self) {
        if let Some(parts) = self.parts
            && let Err(cause) = parts.abort().await
        {
            tracing::warn!(%cause, "an upload left its staged bytes behind");
        }
    }
}
