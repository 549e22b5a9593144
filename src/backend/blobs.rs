//! File contents by their SHA-256. A blob is there whole and true to its name, or not at all.
//!
//! Knows nothing of runs or who may read: `store` does.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, PutPayload, WriteMultipart};

use crate::protocol::hash::{ContentHash, Hasher};

/// Uploads above this go to the store in parts, so that no blob is ever held in memory.
const PART: usize = 4 * 1024 * 1024;
/// The largest blob.
pub const LARGEST: u64 = 2 * 1024 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the bytes have the hash {real}, not {named}")]
    Mismatch {
        named: ContentHash,
        real: ContentHash,
    },
    #[error("a blob has at most {LARGEST} bytes")]
    TooLarge,
    #[error("the upload broke off: {0}")]
    BrokeOff(String),
    #[error("no such blob")]
    Missing,
    #[error("the range lies outside the blob")]
    Range,
    #[error("cannot {what} blob {hash}")]
    Store {
        what: &'static str,
        hash: ContentHash,
        #[source]
        source: object_store::Error,
    },
    #[error("cannot keep blobs in {folder}")]
    Folder {
        folder: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// Set when the store is a folder here: its files are synced before they count as stored.
    folder: Option<PathBuf>,
}

/// A blob, or a part of it, on its way out.
pub struct Reading {
    /// Of the whole blob, in bytes.
    pub size: u64,
    pub range: std::ops::Range<u64>,
    pub bytes: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Blobs {
    pub fn in_folder(folder: &FilePath) -> Result<Self, Error> {
        let refused = |source| Error::Folder {
            folder: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(|source| refused(source.into()))?;
        let store =
            LocalFileSystem::new_with_prefix(folder).map_err(|source| refused(source.into()))?;
        Ok(Self {
            store: Arc::new(store),
            folder: Some(folder.to_owned()),
        })
    }

    /// The size of a blob that is there.
    pub async fn size(&self, hash: ContentHash) -> Result<Option<u64>, Error> {
        match self.store.head(&place(hash)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("look up", hash, source)),
        }
    }

    pub async fn put(&self, bytes: Bytes) -> Result<ContentHash, Error> {
        let hash = ContentHash::of(&bytes);
        let once = futures::stream::once(async { Ok::<_, std::convert::Infallible>(bytes) });
        self.put_stream(hash, std::pin::pin!(once)).await?;
        Ok(hash)
    }

    /// Takes the bytes as they come; they are kept only if they are what the name says.
    pub async fn put_stream<E: std::fmt::Display>(
        &self,
        hash: ContentHash,
        mut bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(), Error> {
        let known = self.size(hash).await?.is_some();
        let mut hasher = Hasher::default();
        let mut size: u64 = 0;
        let mut held: Vec<u8> = Vec::new();
        let mut upload: Option<WriteMultipart> = None;
        let outcome = loop {
            let piece = match bytes.next().await {
                None => break check(hash, hasher.finish()),
                Some(Err(cause)) => break Err(Error::BrokeOff(cause.to_string())),
                Some(Ok(piece)) => piece,
            };
            size += piece.len() as u64;
            if size > LARGEST {
                break Err(Error::TooLarge);
            }
            hasher.update(&piece);
            if known {
                continue;
            }
            held.extend_from_slice(&piece);
            if held.len() >= PART {
                let parts = match &mut upload {
                    Some(parts) => parts,
                    None => upload.insert(self.begin(hash).await?),
                };
                if let Err(source) = parts.wait_for_capacity(2).await {
                    break Err(failed("store", hash, source));
                }
                parts.put(std::mem::take(&mut held).into());
            }
        };
        match (outcome, upload) {
            (Ok(()), _) if known => Ok(()),
            (Ok(()), upload) => self.finish(hash, upload, held).await,
            (Err(error), Some(upload)) => {
                if let Err(cause) = upload.abort().await {
                    tracing::warn!(%cause, "an upload left its staged bytes behind");
                }
                Err(error)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn begin(&self, hash: ContentHash) -> Result<WriteMultipart, Error> {
        let upload = self
            .store
            .put_multipart(&place(hash))
            .await
            .map_err(|source| failed("store", hash, source))?;
        Ok(WriteMultipart::new_with_chunk_size(upload, PART))
    }

    async fn finish(
        &self,
        hash: ContentHash,
        upload: Option<WriteMultipart>,
        held: Vec<u8>,
    ) -> Result<(), Error> {
        let stored = match upload {
            None => self
                .store
                .put(&place(hash), PutPayload::from(held))
                .await
                .map(drop),
            Some(mut parts) => {
                parts.put(held.into());
                parts.finish().await.map(drop)
            }
        };
        stored.map_err(|source| failed("store", hash, source))?;
        self.sync(hash).await
    }

    /// The store's own writes stop at the page cache; a `file_sync` may name the blob only once it survives a crash.
    async fn sync(&self, hash: ContentHash) -> Result<(), Error> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let file = folder.join(place(hash).as_ref());
        let synced = async {
            tokio::fs::File::open(&file).await?.sync_all().await?;
            match file.parent() {
                Some(parent) => tokio::fs::File::open(parent).await?.sync_all().await,
                None => Ok(()),
            }
        };
        synced.await.map_err(|source| {
            let source = object_store::Error::Generic {
                store: "folder",
                source: source.into(),
            };
            failed("sync", hash, source)
        })
    }

    pub async fn get(&self, hash: ContentHash, range: Option<GetRange>) -> Result<Reading, Error> {
        let Some(size) = self.size(hash).await? else {
            return Err(Error::Missing);
        };
        let range = match &range {
            Some(range) => range.as_range(size).map_err(|_| Error::Range)?,
            None => 0..size,
        };
        if range.is_empty() {
            return Ok(Reading {
                size,
                range,
                bytes: futures::stream::empty().boxed(),
            });
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&place(hash), options).await;
        let bytes = got
            .map_err(|source| failed("read", hash, source))?
            .into_stream();
        Ok(Reading { size, range, bytes })
    }
}

fn check(named: ContentHash, real: ContentHash) -> Result<(), Error> {
    if named == real {
        Ok(())
    } else {
        Err(Error::Mismatch { named, real })
    }
}

/// Two levels, so that no folder grows without bound.
fn place(hash: ContentHash) -> Path {
    let name = hash.to_string();
    Path::from(format!("{}/{name}", &name[..2]))
}

fn failed(what: &'static str, hash: ContentHash, source: object_store::Error) -> Error {
    Error::Store { what, hash, source }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    async fn read(blobs: &Blobs, hash: ContentHash, range: Option<GetRange>) -> Vec<u8> {
        let reading = blobs.get(hash, range).await.unwrap();
        reading
            .bytes
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
            .concat()
    }

    fn pieces(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, String>> + Unpin + use<> {
        let pieces: Vec<_> = bytes
            .chunks(700_000)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        futures::stream::iter(pieces)
    }

    #[tokio::test]
    async fn what_was_put_is_read_back_whole_and_in_ranges() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path()).unwrap();
        let large: Vec<u8> = (0..11_000_000u32).map(|n| (n % 251) as u8).collect();
        for bytes in [b"".as_slice(), b"hello", &large] {
            let hash = ContentHash::of(bytes);
            for _again in 0..2 {
                blobs.put_stream(hash, pieces(bytes)).await.unwrap();
            }
            assert_eq!(read(&blobs, hash, None).await, bytes);
            assert_eq!(blobs.size(hash).await.unwrap(), Some(bytes.len() as u64));
        }
        let hash = ContentHash::of(&large);
        let middle = Some(GetRange::Bounded(5_000_000..5_000_010));
        assert_eq!(
            read(&blobs, hash, middle).await,
            &large[5_000_000..5_000_010]
        );
        let outside = blobs.get(hash, Some(GetRange::Offset(11_000_000))).await;
        assert!(matches!(outside, Err(Error::Range)));
    }

    #[tokio::test]
    async fn bytes_that_are_not_what_their_name_says_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path()).unwrap();
        let named = ContentHash::of(b"something else");
        for size in [10, 9_000_000] {
            let put = blobs.put_stream(named, pieces(&vec![1; size])).await;
            assert!(matches!(put, Err(Error::Mismatch { .. })));
            let broken = pieces(&vec![1; size]).chain(futures::stream::iter([Err("cut".into())]));
            let put = blobs.put_stream(named, broken).await;
            assert!(matches!(put, Err(Error::BrokeOff(_))));
        }
        assert!(matches!(blobs.get(named, None).await, Err(Error::Missing)));
        let files = walk(folder.path());
        assert_eq!(files, Vec::<PathBuf>::new());
    }

    fn walk(folder: &FilePath) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(walk(&path));
            } else {
                found.push(path);
            }
        }
        found
    }
}
