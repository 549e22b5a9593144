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
use object_store::{GetOptions, GetRange, ObjectStore};

use crate::backend::doubt::Doubt;
use crate::backend::incoming::{self, ToFolder, ToStore};
use crate::protocol::hash::{ContentHash, Hasher};
use crate::protocol::pack;

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
    #[error("what was kept of blob {0} was damaged and is gone: send it again")]
    Torn(ContentHash),
    #[error("cannot write blob {hash}: {source}")]
    Disk {
        hash: ContentHash,
        #[source]
        source: std::io::Error,
    },
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
    /// Set when the store is a folder here.
    folder: Option<Arc<Folder>>,
}

struct Folder {
    path: PathBuf,
    doubt: Doubt,
}

/// Where the bytes of an upload go.
enum Incoming {
    /// It is there already: they are only looked at.
    Nowhere,
    Folder(ToFolder),
    Store(ToStore),
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
        incoming::sweep(folder).map_err(|source| refused(source.into()))?;
        let doubt = Doubt::open(folder).map_err(|source| refused(source.into()))?;
        let store =
            LocalFileSystem::new_with_prefix(folder).map_err(|source| refused(source.into()))?;
        let path = folder.to_owned();
        Ok(Self {
            store: Arc::new(store),
            folder: Some(Arc::new(Folder { path, doubt })),
        })
    }

    /// The size of a blob that is there: whole, as far as there is a reason to look.
    pub async fn size(&self, hash: ContentHash) -> Result<Option<u64>, Error> {
        let meta = match self.store.head(&place(hash)).await {
            Ok(meta) => meta,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed("look up", hash, source)),
        };
        let written = meta.last_modified.timestamp_millis();
        let doubted = |folder: &&Arc<Folder>| folder.doubt.is_about(hash, meta.size, written);
        if self.folder.as_ref().is_some_and(|folder| doubted(&folder))
            && !self.is_whole(hash).await?
        {
            return Ok(None);
        }
        Ok(Some(meta.size))
    }

    /// Looks at one that is there, and takes it away where it is not what its name says.
    async fn is_whole(&self, hash: ContentHash) -> Result<bool, Error> {
        let Some(folder) = &self.folder else {
            let removed = self.store.delete(&place(hash)).await;
            return match removed {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(source) => Err(failed("remove", hash, source)),
            };
        };
        let at = folder.path.join(place(hash).as_ref());
        let whole = folder.doubt.is_whole(hash, at).await;
        whole.map_err(|source| Error::Disk { hash, source })
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
        let known = self.size(hash).await?;
        let mut to = match known {
            Some(_) => Incoming::Nowhere,
            None => self.begin(hash).await?,
        };
        let (mut hasher, mut size) = (Hasher::default(), 0_u64);
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
            if let Err(error) = self.take(hash, &mut to, &piece).await {
                break Err(error);
            }
        };
        match (outcome, to) {
            (Ok(()), to) => {
                self.finish(hash, to).await?;
                match known {
                    Some(there) if there != size && !self.is_whole(hash).await? => {
                        Err(Error::Torn(hash))
                    }
                    _ => Ok(()),
                }
            }
            (Err(error), Incoming::Store(parts)) => {
                parts.abort().await;
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn begin(&self, hash: ContentHash) -> Result<Incoming, Error> {
        let Some(folder) = &self.folder else {
            return Ok(Incoming::Store(ToStore::new()));
        };
        let begun = ToFolder::begin(&folder.path).await;
        begun
            .map(Incoming::Folder)
            .map_err(|source| Error::Disk { hash, source })
    }

    async fn take(&self, hash: ContentHash, to: &mut Incoming, piece: &Bytes) -> Result<(), Error> {
        match to {
            Incoming::Nowhere => Ok(()),
            Incoming::Folder(file) => {
                let taken = file.take(piece).await;
                taken.map_err(|source| Error::Disk { hash, source })
            }
            Incoming::Store(parts) => {
                let taken = parts.take(&*self.store, &place(hash), piece).await;
                taken.map_err(|source| failed("store", hash, source))
            }
        }
    }

    /// All bytes are here and right: now they get their name, durably. A `file_sync` may name it from here on.
    async fn finish(&self, hash: ContentHash, to: Incoming) -> Result<(), Error> {
        match (to, &self.folder) {
            (Incoming::Folder(file), Some(folder)) => {
                let kept = file.keep(&folder.path, place(hash).as_ref()).await;
                kept.map_err(|source| Error::Disk { hash, source })
            }
            (Incoming::Store(parts), _) => {
                let kept = parts.keep(&*self.store, &place(hash)).await;
                kept.map_err(|source| failed("store", hash, source))
            }
            (Incoming::Nowhere | Incoming::Folder(_), _) => Ok(()),
        }
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

    /// Those of these blobs that are there and small, one behind the other as `protocol::pack` has them.
    pub fn pack(
        &self,
        hashes: Vec<ContentHash>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + use<> {
        let begun = (self.clone(), hashes.into_iter(), pack::MOST);
        futures::stream::try_unfold(begun, |(blobs, mut rest, room)| async move {
            let some: Vec<_> = rest.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return Ok(None);
            }
            let (frames, room) = blobs.small(some, room).await?;
            Ok(Some((frames, (blobs, rest, room))))
        })
    }

    /// The frames of the small ones among these, and the room that is left.
    async fn small(&self, hashes: Vec<ContentHash>, room: usize) -> Result<(Bytes, usize), Error> {
        if let Some(folder) = self.folder.clone() {
            let read = tokio::task::spawn_blocking(move || folder.small(&hashes, room)).await;
            return Ok(read.unwrap_or((Bytes::new(), room)));
        }
        let mut frames = Frames::new(room);
        for hash in hashes {
            let mut reading = match self.get(hash, None).await {
                Err(Error::Missing) => continue,
                reading => reading?,
            };
            if frames.fits(reading.size).is_none() {
                continue;
            }
            let mut bytes = Vec::new();
            while let Some(piece) = reading.bytes.next().await {
                bytes.extend_from_slice(&piece.map_err(|source| failed("read", hash, source))?);
            }
            frames.push(hash, &bytes);
        }
        Ok((frames.bytes.into(), frames.room))
    }
}

/// So many are read before any of them goes out.
const AT_ONCE: usize = 128;

/// A pack in the making.
struct Frames {
    bytes: Vec<u8>,
    room: usize,
}

impl Frames {
    fn new(room: usize) -> Self {
        let bytes = Vec::new();
        Self { bytes, room }
    }

    /// The size of a blob that has its place here.
    fn fits(&self, size: u64) -> Option<usize> {
        let size = usize::try_from(size).ok()?;
        (size <= pack::LARGEST && size <= self.room).then_some(size)
    }

    fn push(&mut self, hash: ContentHash, bytes: &[u8]) {
        let fits = self.fits(bytes.len() as u64);
        if let (Some(size), Some(head)) = (fits, pack::head(hash, bytes.len())) {
            self.room -= size;
            self.bytes.extend_from_slice(&head);
            self.bytes.extend_from_slice(bytes);
        }
    }
}

impl Folder {
    /// As [`Blobs::small`]; one that is doubted is left out as well, for whoever asks for it alone looks at it. Blocking.
    fn small(&self, hashes: &[ContentHash], room: usize) -> (Bytes, usize) {
        let mut frames = Frames::new(room);
        for hash in hashes {
            match self.read(*hash, &frames) {
                Ok(Some(bytes)) => frames.push(*hash, &bytes),
                Ok(None) => (),
                Err(error) => tracing::debug!(%error, %hash, "a blob is left out of a pack"),
            }
        }
        (frames.bytes.into(), frames.room)
    }

    fn read(&self, hash: ContentHash, frames: &Frames) -> std::io::Result<Option<Vec<u8>>> {
        use std::io::Read;

        let mut file = match std::fs::File::open(self.path.join(place(hash).as_ref())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let about = file.metadata()?;
        let written = about.modified()?.duration_since(std::time::UNIX_EPOCH);
        let written = i64::try_from(written.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
        let Some(size) = frames.fits(about.len()) else {
            return Ok(None);
        };
        if self.doubt.is_about(hash, about.len(), written) {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(size);
        file.by_ref().take(about.len()).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
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
        assert_eq!(files, [folder.path().join("life")]);
    }

    #[tokio::test]
    async fn a_pack_has_what_is_there_and_small_as_long_as_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = Blobs {
            store: Arc::new(object_store::memory::InMemory::new()),
            folder: None,
        };
        for blobs in [Blobs::in_folder(folder.path()).unwrap(), elsewhere] {
            let mut all: Vec<Vec<u8>> = (0..=pack::MOST / pack::LARGEST)
                .map(|n| vec![u8::try_from(n).unwrap(); pack::LARGEST])
                .collect();
            all.insert(0, vec![1; pack::LARGEST + 1]);
            all.push(Vec::new());
            let mut hashes = vec![ContentHash::of(b"nobody has it")];
            for bytes in all {
                hashes.push(blobs.put(bytes.into()).await.unwrap());
            }
            let pieces: Vec<Bytes> = blobs.pack(hashes.clone()).try_collect().await.unwrap();
            let mut reader = pack::Reader::new(hashes.clone());
            let mut got = Vec::new();
            for piece in pieces {
                reader.feed(&piece, &mut |hash, _| got.push(hash)).unwrap();
            }
            reader.finish().unwrap();
            let last = hashes.len() - 1;
            assert_eq!(got, [&hashes[2..last - 1], &hashes[last..]].concat());
        }
    }

    /// As an older version, or a disk that lies, left it when the machine went down.
    fn tear(folder: &FilePath, hash: ContentHash, left: &[u8]) {
        let at = folder.join(place(hash).as_ref());
        #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
        std::fs::write(at, left).unwrap();
    }

    #[tokio::test]
    async fn a_torn_blob_is_missing_and_comes_anew() {
        let folder = tempfile::tempdir().unwrap();
        let text = b"whole";
        let hash = ContentHash::of(text);
        Blobs::in_folder(folder.path())
            .unwrap()
            .put(Bytes::from_static(text))
            .await
            .unwrap();
        for left in [b"".as_slice(), b"\0\0\0\0\0", b"who"] {
            tear(folder.path(), hash, left);
            // The machine has come up in another life.
            std::fs::remove_file(folder.path().join("life")).unwrap();
            let blobs = Blobs::in_folder(folder.path()).unwrap();
            assert_eq!(blobs.size(hash).await.unwrap(), None, "{left:?}");
            assert!(matches!(blobs.get(hash, None).await, Err(Error::Missing)));
            blobs.put_stream(hash, pieces(text)).await.unwrap();
            assert_eq!(read(&blobs, hash, None).await, text);
        }
    }

    #[tokio::test]
    async fn a_blob_of_another_size_than_what_comes_is_taken_away_and_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut here = Blobs::in_folder(folder.path()).unwrap();
        here.folder = Some(Arc::new(Folder {
            path: folder.path().to_owned(),
            doubt: Doubt::none(),
        }));
        let elsewhere = Blobs {
            store: Arc::new(object_store::memory::InMemory::new()),
            folder: None,
        };
        let text = b"whole";
        let hash = ContentHash::of(text);
        for blobs in [here, elsewhere] {
            blobs.put_stream(hash, pieces(text)).await.unwrap();
            let torn = object_store::PutPayload::from_static(b"who");
            blobs.store.put(&place(hash), torn).await.unwrap();
            let put = blobs.put_stream(hash, pieces(text)).await;
            assert!(matches!(put, Err(Error::Torn(_))), "{put:?}");
            assert_eq!(blobs.size(hash).await.unwrap(), None);
            blobs.put_stream(hash, pieces(text)).await.unwrap();
            assert_eq!(read(&blobs, hash, None).await, text);
        }
    }

    #[tokio::test]
    async fn what_a_killed_endpoint_left_of_an_upload_goes_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path()).unwrap();
        let mut cut = ToFolder::begin(folder.path()).await.unwrap();
        cut.take(b"half of").await.unwrap();
        std::mem::forget(cut);
        assert_eq!(walk(&folder.path().join("incoming")).len(), 1);
        drop(blobs);
        Blobs::in_folder(folder.path()).unwrap();
        assert!(walk(&folder.path().join("incoming")).is_empty());
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
