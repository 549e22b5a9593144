//! What the mirror stands on: folders, files, threads, the clock and chance of the system.
//!
//! One call here is one call there; nothing is decided. In tests a thread may stand on simulated machines instead
//! (`simulated`), whose disks lose what was not synced and die between any two calls, and any call can be made to fail
//! (`faults`).

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
pub(crate) mod simulated;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode as Permissions, OFlags, RenameFlags};
use rustix::io::Errno;
use tokio::task::{JoinError, JoinHandle};

use crate::mirror::blobs::landing;
use crate::mirror::guard::RootId;
use crate::mirror::handles::{self, FOLDER};

/// One call of the system by its name; in tests it may be told to fail (`faults`).
#[cfg(not(test))]
fn tried<T, E>(_: &str, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    call()
}
#[cfg(test)]
use faults::tried;

const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);
const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What the file system says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i128,
    pub(crate) changed: i128,
    /// Kind and permissions.
    pub(crate) mode: u32,
}

impl Stat {
    fn of(stat: &rustix::fs::Stat) -> Self {
        let nanos = |s: i64, n: u64| i128::from(s) * 1_000_000_000 + i128::from(n);
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.cast_unsigned(),
            modified: nanos(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanos(stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode,
        }
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind().is_dir()
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind().is_file()
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.kind().is_symlink()
    }
}

/// An open folder. No name given to it is followed when it is a link.
#[derive(Debug)]
pub(crate) enum Folder {
    System(OwnedFd),
    #[cfg(test)]
    Simulated(simulated::Node),
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        tried("open", || {
            #[cfg(test)]
            if let Some(node) = simulated::find(path) {
                return Ok(Self::Simulated(node?));
            }
            rustix::fs::open(path, FOLDER, Permissions::empty()).map(Self::System)
        })
    }

    /// The folder that a path leads to, whatever leads there.
    pub(super) fn at(path: &Path) -> Result<Self, Errno> {
        tried("open", || {
            #[cfg(test)]
            if let Some(node) = simulated::find(path) {
                return Ok(Self::Simulated(node?));
            }
            let flags = FOLDER.difference(OFlags::NOFOLLOW);
            rustix::fs::open(path, flags, Permissions::empty()).map(Self::System)
        })
    }

    /// A folder below with no link on the way.
    pub(super) fn below(&self, path: &str) -> Result<Self, Errno> {
        tried("below", || match self {
            Self::System(at) => handles::open_below(at, path).map(Self::System),
            #[cfg(test)]
            Self::Simulated(at) => at.below(path).map(Self::Simulated),
        })
    }

    /// One folder below, made when it is missing; says whether it was made.
    pub(super) fn step(&self, part: &str, permissions: u32) -> Result<(Self, bool), Errno> {
        tried("step", || match self {
            Self::System(at) => {
                let permissions = Permissions::from_raw_mode(permissions);
                let (below, made) = handles::step(at, part, permissions)?;
                Ok((Self::System(below), made))
            }
            #[cfg(test)]
            Self::Simulated(at) => {
                let (below, made) = at.step(part, permissions)?;
                Ok((Self::Simulated(below), made))
            }
        })
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        tried("try_clone", || match self {
            Self::System(at) => at.try_clone().map(Self::System),
            #[cfg(test)]
            Self::Simulated(at) => Ok(Self::Simulated(at.clone())),
        })
    }

    /// Of the folder itself.
    pub(super) fn id(&self) -> Result<RootId, Errno> {
        tried("id", || {
            let (stat, born) = match self {
                Self::System(at) => (Stat::of(&rustix::fs::fstat(at)?), born(at, "")),
                #[cfg(test)]
                Self::Simulated(at) => (at.stat()?, None),
            };
            Ok(RootId {
                device: stat.device,
                inode: stat.inode,
                born,
            })
        })
    }

    /// A path to a name in this very folder, whatever is put in the place where the folder was found; `None` where
    /// there are no such paths. Good for as long as the folder is open.
    pub(super) fn path_in(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::System(at) => handles::path_in(at, name),
            #[cfg(test)]
            Self::Simulated(_) => None,
        }
    }

    pub(super) fn stat(&self, name: &str) -> Result<Stat, Errno> {
        tried("stat", || match self {
            Self::System(at) => {
                let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(Stat::of(&stat))
            }
            #[cfg(test)]
            Self::Simulated(at) => at.child(name)?.stat(),
        })
    }

    /// Opens a file to be read.
    pub(super) fn file(&self, name: &str) -> Result<Handle, Errno> {
        tried("file", || match self {
            Self::System(at) => {
                let file = rustix::fs::openat(at, name, READ, Permissions::empty())?;
                Ok(Handle::System(file.into()))
            }
            #[cfg(test)]
            Self::Simulated(at) => at.child(name)?.open().map(Handle::Simulated),
        })
    }

    /// Makes a file that is not there yet, to be written.
    pub(super) fn new_file(&self, name: &str, permissions: u32) -> Result<Handle, Errno> {
        tried("new_file", || match self {
            Self::System(at) => {
                let permissions = Permissions::from_raw_mode(permissions);
                let file = rustix::fs::openat(at, name, NEW, permissions)?;
                Ok(Handle::System(file.into()))
            }
            #[cfg(test)]
            Self::Simulated(at) => at.new_file(name, permissions).map(Handle::Simulated),
        })
    }

    pub(super) fn make_folder(&self, name: &str, permissions: u32) -> Result<(), Errno> {
        tried("make_folder", || match self {
            Self::System(at) => {
                rustix::fs::mkdirat(at, name, Permissions::from_raw_mode(permissions))
            }
            #[cfg(test)]
            Self::Simulated(at) => at.new_folder(name, permissions).map(drop),
        })
    }

    pub(super) fn make_link(&self, name: &str, target: &str) -> Result<(), Errno> {
        tried("make_link", || match self {
            Self::System(at) => rustix::fs::symlinkat(target, at, name),
            #[cfg(test)]
            Self::Simulated(at) => at.new_link(name, target),
        })
    }

    pub(super) fn target(&self, name: &str) -> Result<Vec<u8>, Errno> {
        tried("target", || match self {
            Self::System(at) => {
                rustix::fs::readlinkat(at, name, Vec::new()).map(|to| to.into_bytes())
            }
            #[cfg(test)]
            Self::Simulated(at) => at.child(name)?.target(),
        })
    }

    /// What the file of this name has besides its bytes and bits is had by the other too, as far as that can be.
    pub(super) fn carry_over(&self, name: &str, to: &Handle) {
        if let (Self::System(at), Handle::System(new)) = (self, to)
            && let Ok(old) = rustix::fs::openat(at, name, READ, Permissions::empty())
        {
            handles::carry_over(&old.into(), new);
        }
    }

    /// Over whatever stands there.
    pub(super) fn rename(&self, name: &str, to: &Self, new: &str) -> Result<(), Errno> {
        tried("rename", || match (self, to) {
            (Self::System(from), Self::System(to)) => rustix::fs::renameat(from, name, to, new),
            #[cfg(test)]
            (from, to) => simulated::rename((from, name), (to, new), simulated::How::Over),
        })
    }

    /// The two names change places; both stand.
    pub(super) fn swap(&self, name: &str, other: &Self, new: &str) -> Result<(), Errno> {
        tried("swap", || match (self, other) {
            (Self::System(from), Self::System(to)) => {
                rustix::fs::renameat_with(from, name, to, new, RenameFlags::EXCHANGE)
            }
            #[cfg(test)]
            (from, to) => simulated::rename((from, name), (to, new), simulated::How::Swap),
        })
    }

    /// Where nothing stands.
    pub(super) fn place(&self, name: &str, to: &Self, new: &str) -> Result<(), Errno> {
        tried("place", || match (self, to) {
            (Self::System(from), Self::System(to)) => {
                rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE)
            }
            #[cfg(test)]
            (from, to) => simulated::rename((from, name), (to, new), simulated::How::Beside),
        })
    }

    /// A second name for a file, where nothing stands.
    pub(super) fn link(&self, name: &str, to: &Self, new: &str) -> Result<(), Errno> {
        tried("link", || match (self, to) {
            (Self::System(from), Self::System(to)) => {
                rustix::fs::linkat(from, name, to, new, AtFlags::empty())
            }
            #[cfg(test)]
            _ => Err(Errno::OPNOTSUPP),
        })
    }

    pub(super) fn remove_file(&self, name: &str) -> Result<(), Errno> {
        tried("remove_file", || match self {
            Self::System(at) => rustix::fs::unlinkat(at, name, AtFlags::empty()),
            #[cfg(test)]
            Self::Simulated(at) => at.remove_file(name),
        })
    }

    /// An empty one.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), Errno> {
        tried("remove_folder", || match self {
            Self::System(at) => rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR),
            #[cfg(test)]
            Self::Simulated(at) => at.remove_folder(name),
        })
    }

    pub(super) fn names(&self) -> Result<Vec<OsString>, Errno> {
        tried("names", || match self {
            Self::System(at) => {
                use std::os::unix::ffi::OsStringExt;
                let mut names = Vec::new();
                for entry in rustix::fs::Dir::read_from(at)? {
                    let name = entry?.file_name().to_bytes().to_vec();
                    if name != b"." && name != b".." {
                        names.push(OsString::from_vec(name));
                    }
                }
                Ok(names)
            }
            #[cfg(test)]
            Self::Simulated(at) => at.names(),
        })
    }

    /// The names in this folder and what stands there.
    pub(super) fn list(&self) -> Result<Vec<Name>, Errno> {
        tried("list", || match self {
            Self::System(at) => {
                use std::os::unix::ffi::OsStringExt;
                let mut names = Vec::new();
                for entry in rustix::fs::Dir::read_from(at)? {
                    let entry = entry?;
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        let kind = entry.file_type();
                        names.push(Name {
                            is_dir: (kind != FileType::Unknown).then(|| kind.is_dir()),
                            name: OsString::from_vec(name.to_vec()),
                        });
                    }
                }
                Ok(names)
            }
            #[cfg(test)]
            Self::Simulated(at) => simulated::listed(at),
        })
    }

    /// Until here the names in this folder are on the disk.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        tried("sync", || match self {
            Self::System(at) => rustix::fs::fsync(at),
            #[cfg(test)]
            Self::Simulated(at) => at.sync(),
        })
    }

    /// Until here everything on the file system of this folder is on the disk.
    pub(super) fn sync_all(&self) -> Result<(), Errno> {
        tried("sync_all", || match self {
            #[cfg(target_os = "linux")]
            Self::System(at) => rustix::fs::syncfs(at),
            #[cfg(not(target_os = "linux"))]
            Self::System(_) => {
                rustix::fs::sync();
                Ok(())
            }
            #[cfg(test)]
            Self::Simulated(at) => at.sync_all(),
        })
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) enum Handle {
    System(File),
    #[cfg(test)]
    Simulated(simulated::Open),
}

impl Handle {
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        tried("stat of a file", || match self {
            Self::System(file) => Ok(Stat::of(&rustix::fs::fstat(file)?)),
            #[cfg(test)]
            Self::Simulated(open) => Ok(open.node.stat()?),
        })
    }

    pub(super) fn rewind(&mut self) -> io::Result<()> {
        tried("rewind", || match self {
            Self::System(file) => file.seek(SeekFrom::Start(0)).map(drop),
            #[cfg(test)]
            Self::Simulated(open) => {
                open.place = 0;
                Ok(())
            }
        })
    }

    pub(super) fn set_permissions(&self, bits: u32) -> io::Result<()> {
        tried("set_permissions", || match self {
            Self::System(file) => Ok(rustix::fs::fchmod(file, Permissions::from_raw_mode(bits))?),
            #[cfg(test)]
            Self::Simulated(open) => Ok(open.node.set_permissions(bits)?),
        })
    }

    /// Until here its bytes are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        tried("sync of a file", || match self {
            Self::System(file) => file.sync_all(),
            #[cfg(test)]
            Self::Simulated(open) => Ok(open.node.sync()?),
        })
    }
}

impl Read for Handle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        tried("read", || match self {
            Self::System(file) => file.read(into),
            #[cfg(test)]
            Self::Simulated(open) => open.read(into),
        })
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tried("write", || match self {
            Self::System(file) => file.write(bytes),
            #[cfg(test)]
            Self::Simulated(open) => open.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of ours with a name of its own; it goes when it is dropped, unless it was kept.
#[derive(Debug)]
pub(crate) enum Temporary {
    System(tempfile::NamedTempFile),
    #[cfg(test)]
    Simulated(simulated::Temporary),
}

impl Temporary {
    pub(super) fn new_in(folder: &Path) -> io::Result<Self> {
        tried("new temporary", || {
            #[cfg(test)]
            if let Some(made) = simulated::temporary(folder) {
                return made.map(Self::Simulated);
            }
            tempfile::NamedTempFile::new_in(folder).map(Self::System)
        })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::System(file) => file.path(),
            #[cfg(test)]
            Self::Simulated(file) => &file.path,
        }
    }

    /// Its bytes are on the disk, and its name is this one there.
    pub(super) fn keep(self, at: &Path) -> io::Result<()> {
        tried("keep", || match self {
            Self::System(file) => {
                file.as_file().sync_all()?;
                file.persist(at).map_err(|error| error.error)?;
                match at.parent() {
                    Some(folder) => File::open(folder)?.sync_all(),
                    None => Ok(()),
                }
            }
            #[cfg(test)]
            Self::Simulated(file) => file.keep(at),
        })
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tried("write of a temporary", || match self {
            Self::System(file) => file.write(bytes),
            #[cfg(test)]
            Self::Simulated(file) => file.open.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stands at a path, itself when it is a link.
pub(super) fn stat(path: &Path) -> io::Result<Stat> {
    tried("stat by path", || {
        #[cfg(test)]
        if let Some(node) = simulated::find(path) {
            return Ok(node?.stat()?);
        }
        Ok(Stat::of(&rustix::fs::lstat(path)?))
    })
}

/// What a directory is called by the file system, if it stands.
pub(super) fn id_of(path: &Path) -> Option<RootId> {
    #[cfg(test)]
    if let Some(node) = simulated::find(path) {
        return Folder::Simulated(node.ok()?).id().ok();
    }
    let stat = Stat::of(&rustix::fs::stat(path).ok()?);
    stat.is_dir().then_some(RootId {
        device: stat.device,
        inode: stat.inode,
        born: born(rustix::fs::CWD, path),
    })
}

#[cfg(not(target_os = "linux"))]
fn born(_: impl std::os::fd::AsFd, _: impl rustix::path::Arg) -> Option<u64> {
    None
}

/// When what stands there was made, in milliseconds since 1970; `None`: the system or its disk does not say.
#[cfg(target_os = "linux")]
fn born(at: impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> Option<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let found = statx(at, path, AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    let said = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    let since = found.stx_btime;
    let whole = u64::try_from(since.tv_sec).ok()?.checked_mul(1000)?;
    said.then_some(whole + u64::from(since.tv_nsec / 1_000_000))
}

/// A name in a folder and what stands there.
pub(super) struct Name {
    pub(super) name: OsString,
    /// `None`: it cannot be said.
    pub(super) is_dir: Option<bool>,
}

/// How many threads may share a piece of work.
pub(super) fn threads() -> usize {
    /// More only wait for the same disk.
    const MOST: usize = 8;
    // A simulated machine is one thread's.
    #[cfg(test)]
    if simulated::now().is_some() {
        return 1;
    }
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST)
}

pub(super) fn is_empty_folder(at: &Path) -> bool {
    #[cfg(test)]
    if let Some(node) = simulated::find(at) {
        return node.is_ok_and(|node| node.names().is_ok_and(|names| names.is_empty()));
    }
    std::fs::read_dir(at).is_ok_and(|mut entries| entries.next().is_none())
}

pub(crate) fn target(link: &Path) -> io::Result<PathBuf> {
    tried("target by path", || {
        #[cfg(test)]
        if let Some(node) = simulated::find(link) {
            return Ok(String::from_utf8_lossy(&node?.target()?)
                .into_owned()
                .into());
        }
        std::fs::read_link(link)
    })
}

/// Opens a file to be read; a link is refused.
pub(crate) fn open(path: &Path) -> io::Result<Handle> {
    tried("open by path", || {
        #[cfg(test)]
        if let Some(node) = simulated::find(path) {
            return Ok(Handle::Simulated(node?.open()?));
        }
        let file = rustix::fs::open(path, READ, Permissions::empty())?;
        Ok(Handle::System(file.into()))
    })
}

/// Opens a file to be written, new or emptied; a link is refused.
pub(crate) fn create(path: &Path) -> io::Result<Handle> {
    tried("create by path", || {
        #[cfg(test)]
        if let Some(made) = simulated::create(path) {
            return made.map(Handle::Simulated);
        }
        landing(path).map(Handle::System)
    })
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    tried("remove by path", || {
        #[cfg(test)]
        if let Some(removed) = simulated::remove(path) {
            return removed;
        }
        std::fs::remove_file(path)
    })
}

pub(super) fn make_folders(path: &Path) -> io::Result<()> {
    tried("make folders", || {
        #[cfg(test)]
        if let Some(made) = simulated::make_folders(path) {
            return made;
        }
        std::fs::create_dir_all(path)
    })
}

/// Which life of its machine this is, where that is said: another one each time that it goes down.
pub(super) fn life(at: &Path) -> Option<String> {
    #[cfg(test)]
    if let Some(life) = simulated::life(at) {
        return Some(life);
    }
    #[cfg(not(test))]
    let _ = at;
    let named = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(named.trim().to_owned()).filter(|life| !life.is_empty())
}

/// Since 1970.
pub(super) fn now() -> Duration {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

pub(super) fn timestamp() -> jiff::Timestamp {
    let now = i64::try_from(now().as_millis()).ok();
    now.and_then(|now| jiff::Timestamp::from_millisecond(now).ok())
        .unwrap_or_default()
}

/// A name that nobody else has.
pub(super) fn fresh() -> uuid::Uuid {
    #[cfg(test)]
    if let Some(fresh) = simulated::fresh() {
        return fresh;
    }
    uuid::Uuid::new_v4()
}

/// Work that waits for the disk, out of the way of everything else. The error is its panic.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(test)]
    if let Some(wait) = simulated::wait() {
        tokio::time::sleep(wait).await;
        return Ok(work());
    }
    #[cfg(test)]
    let work = faults::carried(work);
    finished(tokio::task::spawn_blocking(work)).await
}

/// Work is left undone only where the runtime ends, and with it whoever waits: that is no answer, so none comes.
async fn finished<T>(work: JoinHandle<T>) -> Result<T, JoinError> {
    match work.await {
        Err(error) if error.is_cancelled() => std::future::pending().await,
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_is_left_undone_at_the_end_is_never_taken_for_an_answer() {
        let runtime = tokio::runtime::Handle::current();
        let left = runtime.spawn(std::future::pending::<()>());
        left.abort();
        let waited = tokio::time::timeout(Duration::from_secs(60), finished(left)).await;
        assert!(waited.is_err(), "{waited:?}");
        let broken = runtime.spawn(async { panic!("of this test") });
        let error = finished::<()>(broken).await.unwrap_err();
        assert!(error.is_panic());
    }
}
