//! What the file log stands on: a folder of files and somewhere to do slow work.
//!
//! The simulation stands it on a disk that forgets what was not synced, and cuts the power between any two calls.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Slow work.
pub type Work = Box<dyn FnOnce() + Send>;

/// A folder.
pub trait Ground: Send + Sync {
    /// Opens a file, makes it if need be; its name survives a power cut from here on.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Disk>>;
    /// It need not exist.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Does work that may block, soon and to its end, whoever stops waiting for it.
    fn later(&self, work: Work);
}

/// An open file.
pub trait Disk: Send + Sync {
    fn length(&self) -> io::Result<u64>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Writes at the end; after an error some of it may stand there.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// What was written survives a power cut from here on.
    fn sync(&self) -> io::Result<()>;
    fn read_exact_at(&self, into: &mut [u8], at: u64) -> io::Result<()>;
}

/// A real folder, and tokio's threads for blocking work.
pub(super) struct Folder(pub(super) PathBuf);

impl Ground for Folder {
    fn open(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let path = self.0.join(name);
        let fresh = !path.exists();
        let file = File::options()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        if fresh {
            // The name must survive as well as the bytes.
            File::open(&self.0)?.sync_all()?;
        }
        Ok(Arc::new(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.0.join(name)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    }

    fn later(&self, work: Work) {
        drop(tokio::task::spawn_blocking(work));
    }
}

impl Disk for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        io::Write::write_all(&mut file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn read_exact_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, into, at)
    }
}
