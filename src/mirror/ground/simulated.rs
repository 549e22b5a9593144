//! Simulated machines for a thread to stand on: what a disk of theirs must be able to do, and the handles to it.
//!
//! Which disk there is, what it forgets and when it dies is said by whoever lets the thread [`stand_on`] it.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::{Folder, Name, Stat};

/// What comes into being under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum New {
    File { permissions: u32 },
    Folder { permissions: u32 },
    Link(String),
}

/// What a rename does with what stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Over,
    Swap,
    /// Refused where anything stands.
    Beside,
}

/// A disk, by the numbers of its nodes. Every call is one step after which it may die.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    fn top(&self) -> u64;
    fn child(&self, folder: u64, name: &str) -> Result<u64, Errno>;
    fn names(&self, folder: u64) -> Result<Vec<String>, Errno>;
    fn stat(&self, node: u64) -> Result<Stat, Errno>;
    fn read(&self, node: u64) -> Result<Vec<u8>, Errno>;
    fn target(&self, node: u64) -> Result<String, Errno>;
    fn write(&self, node: u64, at: usize, bytes: &[u8]) -> Result<(), Errno>;
    fn empty(&self, node: u64) -> Result<(), Errno>;
    fn set_permissions(&self, node: u64, bits: u32) -> Result<(), Errno>;
    fn make(&self, folder: u64, name: &str, new: New) -> Result<u64, Errno>;
    fn rename(&self, from: (u64, &str), to: (u64, &str), how: How) -> Result<(), Errno>;
    fn remove(&self, folder: u64, name: &str, is_folder: bool) -> Result<(), Errno>;
    fn sync(&self, node: u64) -> Result<(), Errno>;
    fn sync_all(&self) -> Result<(), Errno>;
    /// How often the power was cut.
    fn life(&self) -> u64;
}

/// All machines of a thread. The first part of a path names one.
pub(crate) trait Machines {
    fn disk(&self, name: &str) -> Option<Arc<dyn Disk>>;
    /// Since 1970.
    fn now(&self) -> Duration;
    fn fresh(&self) -> uuid::Uuid;
    /// How long the disk keeps the next piece of work waiting.
    fn wait(&self) -> Duration;
}

thread_local! {
    static MACHINES: RefCell<Option<Arc<dyn Machines>>> = const { RefCell::new(None) };
}

/// From here on every path of this thread leads to one of these; `None`: to the system again.
pub(crate) fn stand_on(machines: Option<Arc<dyn Machines>>) {
    MACHINES.set(machines);
}

fn machines() -> Option<Arc<dyn Machines>> {
    MACHINES.with_borrow(Clone::clone)
}

pub(super) fn now() -> Option<Duration> {
    Some(machines()?.now())
}

pub(super) fn fresh() -> Option<uuid::Uuid> {
    Some(machines()?.fresh())
}

pub(super) fn wait() -> Option<Duration> {
    Some(machines()?.wait())
}

/// Something on a disk.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    disk: Arc<dyn Disk>,
    number: u64,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("simulated paths are text")
}

/// The top of a path's disk and the rest of the path; `None` when this thread stands on the system.
fn split(path: &Path) -> Option<(Result<Node, Errno>, String)> {
    let machines = machines()?;
    let path = text(path).trim_start_matches('/');
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let top = machines.disk(name).map(|disk| {
        let number = disk.top();
        Node { disk, number }
    });
    Some((top.ok_or(Errno::NOENT), rest.to_owned()))
}

pub(super) fn find(path: &Path) -> Option<Result<Node, Errno>> {
    let (top, rest) = split(path)?;
    Some(top.and_then(|top| top.below(&rest)))
}

pub(super) fn life(path: &Path) -> Option<String> {
    let (top, _) = split(path)?;
    Some(top.ok()?.disk.life().to_string())
}

/// The folder a path stands in, and its name there.
fn parent(path: &Path) -> Option<(Result<Node, Errno>, String)> {
    let (top, rest) = split(path)?;
    let (folder, name) = rest.rsplit_once('/').unwrap_or(("", &rest));
    Some((top.and_then(|top| top.below(folder)), name.to_owned()))
}

pub(super) fn create(path: &Path) -> Option<io::Result<Open>> {
    let (folder, name) = parent(path)?;
    let create = || {
        let folder = folder?;
        match folder.child(&name) {
            Ok(there) => {
                there.disk.empty(there.number)?;
                Ok(Open {
                    node: there,
                    place: 0,
                })
            }
            Err(_) => folder.new_file(&name, 0o644),
        }
    };
    Some(create().map_err(|error: Errno| error.into()))
}

pub(super) fn remove(path: &Path) -> Option<io::Result<()>> {
    let (folder, name) = parent(path)?;
    let remove = || folder?.remove_file(&name);
    Some(remove().map_err(|error: Errno| error.into()))
}

pub(super) fn make_folders(path: &Path) -> Option<io::Result<()>> {
    let (top, rest) = split(path)?;
    let mut at = match top {
        Ok(top) => top,
        Err(error) => return Some(Err(error.into())),
    };
    for part in rest.split('/').filter(|part| !part.is_empty()) {
        match at.step(part, 0o755) {
            Ok((below, _)) => at = below,
            Err(error) => return Some(Err(error.into())),
        }
    }
    Some(Ok(()))
}

pub(super) fn listed(folder: &Node) -> Result<Vec<Name>, Errno> {
    let names = folder.disk.names(folder.number)?.into_iter();
    let name = |name: String| Name {
        is_dir: folder
            .child(&name)
            .and_then(|node| node.stat())
            .ok()
            .map(|stat| stat.is_dir()),
        name: name.into(),
    };
    Ok(names.map(name).collect())
}

pub(super) fn rename(
    (from, name): (&Folder, &str),
    (to, new): (&Folder, &str),
    how: How,
) -> Result<(), Errno> {
    match (from, to) {
        (Folder::Simulated(from), Folder::Simulated(to)) => {
            from.disk.rename((from.number, name), (to.number, new), how)
        }
        _ => Err(Errno::XDEV),
    }
}

impl Node {
    fn at(&self, number: u64) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            number,
        }
    }

    pub(super) fn child(&self, name: &str) -> Result<Self, Errno> {
        self.disk
            .child(self.number, name)
            .map(|number| self.at(number))
    }

    /// Anything below, with no link on the way.
    pub(super) fn below(&self, path: &str) -> Result<Self, Errno> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.try_fold(self.clone(), |at, part| at.child(part))
    }

    pub(super) fn step(&self, part: &str, permissions: u32) -> Result<(Self, bool), Errno> {
        match self.child(part) {
            Err(Errno::NOENT) => (),
            Err(error) => return Err(error),
            Ok(there) if there.stat()?.is_dir() => return Ok((there, false)),
            Ok(_) => return Err(Errno::NOTDIR),
        }
        let made = self.new_folder(part, permissions)?;
        self.sync()?;
        Ok((made, true))
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        self.disk.stat(self.number)
    }

    pub(super) fn open(self) -> Result<Open, Errno> {
        let stat = self.stat()?;
        if stat.is_symlink() {
            return Err(Errno::LOOP);
        }
        Ok(Open {
            node: self,
            place: 0,
        })
    }

    pub(super) fn new_file(&self, name: &str, permissions: u32) -> Result<Open, Errno> {
        let new = New::File { permissions };
        let number = self.disk.make(self.number, name, new)?;
        Ok(Open {
            node: self.at(number),
            place: 0,
        })
    }

    pub(super) fn new_folder(&self, name: &str, permissions: u32) -> Result<Self, Errno> {
        let new = New::Folder { permissions };
        self.disk
            .make(self.number, name, new)
            .map(|number| self.at(number))
    }

    pub(super) fn new_link(&self, name: &str, target: &str) -> Result<(), Errno> {
        let new = New::Link(target.to_owned());
        self.disk.make(self.number, name, new).map(drop)
    }

    pub(super) fn target(&self) -> Result<Vec<u8>, Errno> {
        self.disk.target(self.number).map(String::into_bytes)
    }

    pub(super) fn remove_file(&self, name: &str) -> Result<(), Errno> {
        self.disk.remove(self.number, name, false)
    }

    pub(super) fn remove_folder(&self, name: &str) -> Result<(), Errno> {
        self.disk.remove(self.number, name, true)
    }

    pub(super) fn names(&self) -> Result<Vec<OsString>, Errno> {
        let names = self.disk.names(self.number)?;
        Ok(names.into_iter().map(OsString::from).collect())
    }

    pub(super) fn set_permissions(&self, bits: u32) -> Result<(), Errno> {
        self.disk.set_permissions(self.number, bits)
    }

    pub(super) fn sync(&self) -> Result<(), Errno> {
        self.disk.sync(self.number)
    }

    pub(super) fn sync_all(&self) -> Result<(), Errno> {
        self.disk.sync_all()
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Open {
    pub(super) node: Node,
    pub(super) place: usize,
}

impl Open {
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.node.disk.read(self.node.number)?;
        let rest = bytes.get(self.place..).unwrap_or_default();
        let some = rest.len().min(into.len());
        into[..some].copy_from_slice(&rest[..some]);
        self.place += some;
        Ok(some)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.node.disk.write(self.node.number, self.place, bytes)?;
        self.place += bytes.len();
        Ok(bytes.len())
    }
}

/// As `tempfile` makes them.
#[derive(Debug)]
pub(crate) struct Temporary {
    folder: Node,
    name: String,
    pub(super) path: PathBuf,
    pub(super) open: Open,
}

pub(super) fn temporary(folder: &Path) -> Option<io::Result<Temporary>> {
    let node = find(folder)?;
    let make = || {
        let node = node?;
        let name = format!(".tmp{}", fresh().unwrap_or_default().simple());
        let open = node.new_file(&name, 0o600)?;
        Ok(Temporary {
            path: folder.join(&name),
            folder: node,
            name,
            open,
        })
    };
    Some(make().map_err(|error: Errno| error.into()))
}

impl Temporary {
    pub(super) fn keep(self, at: &Path) -> io::Result<()> {
        self.open.node.sync()?;
        let (to, new) = parent(at).ok_or(Errno::NOENT)?;
        let to = to?;
        let from = (self.folder.number, self.name.as_str());
        to.disk.rename(from, (to.number, &new), How::Over)?;
        Ok(to.sync()?)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already when it was kept.
        self.folder.remove_file(&self.name).ok();
    }
}
