//! The port through which contents come and go, by hash.
//!
//! No implementation here: `client::api` has the real one, tests one in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::protocol::hash::ContentHash;

/// A content to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub hash: ContentHash,
    /// In bytes, as announced.
    pub size: u64,
    /// A foreign endpoint's name for it (contract 6).
    pub storage_path: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is not there any more")]
    Gone(ContentHash),
    #[error("the bytes that came are not {want}: they are {got}")]
    Wrong { want: ContentHash, got: ContentHash },
    #[error("refused: {0}")]
    Refused(String),
    /// Worth trying again.
    #[error("not reachable: {0}")]
    Unreachable(String),
    #[error("{what}")]
    Disk {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

/// Contents by hash, both ways.
#[async_trait::async_trait]
pub trait Blobs: Send + Sync {
    /// Writes the content into the file at `into`, opened with [`landing`]. The caller verifies the hash again.
    async fn get(&self, want: &Wanted, into: &Path) -> Result<(), Error>;
    /// Sends the file at `from`, whose bytes had this hash and size a moment ago.
    async fn put(&self, hash: ContentHash, size: u64, from: &Path) -> Result<(), Error>;
    /// Which of these the other side lacks.
    async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, Error>;
    /// Small contents in one go (`protocol::pack` says how small and how many), each of which has its hash. What is left
    /// out is to be asked for with `get`.
    async fn pack(&self, _hashes: &[ContentHash]) -> Result<Vec<(ContentHash, Vec<u8>)>, Error> {
        Ok(Vec::new())
    }
}

/// Opens the file at `into`, new or truncated, for a content. A link that stands there is refused and never followed: the
/// folder is one that others may write to.
pub fn landing(into: &Path) -> io::Result<File> {
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(nofollow)
        .open(into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_never_lands_behind_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (link, canary) = (dir.path().join("link"), dir.path().join("canary"));
        std::os::unix::fs::symlink(&canary, &link).unwrap();
        assert!(landing(&link).is_err());
        assert!(!canary.exists());
        assert!(landing(&canary).is_ok());
    }
}
