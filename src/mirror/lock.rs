//! One live mirror per directory, and none above or below it: a file lock per root, and who holds it.
//!
//! The lock is the kernel's, so it ends with its holder whatever that one died of. Also held by an agent that works in
//! the directory itself.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::mirror::disk::id_of;
use crate::mirror::ground;
use crate::protocol::ids::RunId;

/// How long one is waited for that is about to leave.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// Who mirrors into a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub run: RunId,
    pub root: PathBuf,
    /// Where it answers `ashore mirror …`.
    pub socket: PathBuf,
    /// A command that is done in a moment: worth waiting for.
    #[serde(default)]
    pub passing: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} is already mirrored by run {} (process {}): use `--worktree` or `--no-mirror`, or end that one", .0.root.display(), .0.run.short(), .0.pid)]
    Held(Holder),
    #[error("{} lies above or below {}, which run {} mirrors (process {}): use `--worktree` or `--no-mirror`, or end that one", .root.display(), .holder.root.display(), .holder.run.short(), .holder.pid)]
    Nested { root: PathBuf, holder: Holder },
    #[error("{0} is not a directory")]
    NoDirectory(PathBuf),
    #[error("cannot lock below {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The lock on one root; gone when dropped.
#[derive(Debug)]
pub struct Held {
    pub holder: Holder,
    file: PathBuf,
    _lock: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Only names: the lock itself is the open file's, and ends with it.
        drop(std::fs::remove_file(&self.holder.socket));
        drop(std::fs::remove_file(&self.file));
    }
}

/// How long it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// As long as a mirror lives, or an agent in the directory itself.
    Live,
    /// For one command.
    Passing,
}

/// Locks `root` for `run`; `mirrors` is the folder of all locks of this user. A command that only passes through is
/// waited for, and so is a mirror of this very run and process that was just ended.
pub async fn take(mirrors: &Path, root: &Path, run: &RunId, stay: Stay) -> Result<Held, Error> {
    let end = Instant::now() + PATIENCE;
    loop {
        let (folder, root, own) = (mirrors.to_owned(), root.to_owned(), run.clone());
        let taken = ground::blocking(move || try_take(&folder, &root, &own, stay))
            .await
            .expect("locking does not panic");
        match taken {
            Err(Error::Held(holder) | Error::Nested { holder, .. })
                if Instant::now() < end && holder.is_leaving(run) =>
            {
                tokio::time::sleep(LOOK).await;
            }
            result => return result,
        }
    }
}

impl Holder {
    fn is_leaving(&self, run: &RunId) -> bool {
        self.passing || (self.pid == std::process::id() && self.run == *run)
    }
}

fn try_take(mirrors: &Path, root: &Path, run: &RunId, stay: Stay) -> Result<Held, Error> {
    let io = |source: io::Error| Error::Io {
        path: mirrors.to_owned(),
        source,
    };
    let root = root
        .canonicalize()
        .map_err(|_| Error::NoDirectory(root.to_owned()))?;
    let id = id_of(&root).ok_or_else(|| Error::NoDirectory(root.clone()))?;
    std::fs::create_dir_all(mirrors).map_err(io)?;
    let _registry = registry(mirrors).map_err(io)?;
    for holder in live(mirrors).map_err(io)? {
        if holder.root == root || id_of(&holder.root) == Some(id) {
            return Err(Error::Held(holder));
        }
        if holder.root.starts_with(&root) || root.starts_with(&holder.root) {
            return Err(Error::Nested { root, holder });
        }
    }
    let name = format!("{:x}-{:x}", id.device, id.inode);
    let holder = Holder {
        pid: std::process::id(),
        run: run.clone(),
        root,
        socket: mirrors.join(format!("{name}.sock")),
        passing: stay == Stay::Passing,
    };
    let file = mirrors.join(format!("{name}.lock"));
    let mut lock = lock_named(&file).map_err(io)?;
    lock.set_len(0).map_err(io)?;
    lock.rewind().map_err(io)?;
    let text = serde_json::to_vec(&holder).map_err(|error| io(error.into()))?;
    lock.write_all(&text).map_err(io)?;
    Ok(Held {
        holder,
        file,
        _lock: lock,
    })
}

/// Every mirror that lives now.
pub fn holders(mirrors: &Path) -> io::Result<Vec<Holder>> {
    if !mirrors.exists() {
        return Ok(Vec::new());
    }
    let _registry = registry(mirrors)?;
    live(mirrors)
}

/// Held while the locks are looked through, so that two cannot both find a place free.
fn registry(mirrors: &Path) -> io::Result<File> {
    let file = open(&mirrors.join("registry"))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Locks the file that this path names. A holder that ends takes its file's name away, so a file that was opened just
/// before may have none when its lock is ours: such a lock would exclude nobody.
fn lock_named(path: &Path) -> io::Result<File> {
    loop {
        let file = open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        if names(path, &file)? {
            return Ok(file);
        }
    }
}

fn names(path: &Path, file: &File) -> io::Result<bool> {
    let mine = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (mine.dev(), mine.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn live(mirrors: &Path) -> io::Result<Vec<Holder>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(mirrors)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(mut file) = open(&path) else { continue };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            // Nobody holds it: its holder was killed.
            Ok(()) => drop(std::fs::remove_file(&path)),
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                found.extend(serde_json::from_str::<Holder>(&text).ok());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(mirrors: &Path, root: &Path, run: &RunId) -> Result<Held, Error> {
        try_take(mirrors, root, run, Stay::Live)
    }

    #[tokio::test]
    async fn a_passing_command_is_waited_for_and_a_mirror_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (mirrors, root) = (dir.path().join("mirrors"), dir.path().join("root"));
        std::fs::create_dir(&root).unwrap();
        let (one, two) = (RunId::random(), RunId::random());
        let passing = take(&mirrors, &root, &one, Stay::Passing).await.unwrap();
        let wanted = take(&mirrors, &root, &two, Stay::Live);
        tokio::pin!(wanted);
        let early = tokio::time::timeout(LOOK * 3, &mut wanted).await;
        assert!(early.is_err(), "{early:?}");
        drop(passing);
        let live = wanted.await.unwrap();
        assert_eq!(live.holder.run, two);
        let refused = take(&mirrors, &root, &one, Stay::Passing)
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Held(holder) if holder.run == two));
    }

    #[test]
    fn a_held_directory_excludes_itself_its_parent_and_its_child_but_not_its_neighbour() {
        let dir = tempfile::tempdir().unwrap();
        let mirrors = dir.path().join("mirrors");
        let at = |name: &str| dir.path().join(name);
        for name in ["p/root/child", "p/root2"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("p/root"), at("alias")).unwrap();
        let (one, two) = (RunId::random(), RunId::random());
        let held = hold(&mirrors, &at("p/root"), &one).unwrap();

        for name in ["p/root", "alias"] {
            let error = hold(&mirrors, &at(name), &two).unwrap_err();
            assert!(
                matches!(&error, Error::Held(holder) if holder.run == one),
                "{error}"
            );
            assert!(error.to_string().contains("--worktree"));
        }
        for name in ["p", "p/root/child"] {
            assert!(
                matches!(hold(&mirrors, &at(name), &two), Err(Error::Nested { .. })),
                "{name}"
            );
        }
        let neighbour = hold(&mirrors, &at("p/root2"), &two).unwrap();
        assert_eq!(holders(&mirrors).unwrap().len(), 2);

        drop(held);
        drop(neighbour);
        assert_eq!(holders(&mirrors).unwrap(), []);
        hold(&mirrors, &at("p"), &two).unwrap();
    }

    #[test]
    fn a_lock_on_a_file_whose_name_was_taken_away_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let opened = open(&path).unwrap();
        assert!(names(&path, &opened).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!names(&path, &opened).unwrap());
        let locked = lock_named(&path).unwrap();
        assert!(!names(&path, &opened).unwrap() && names(&path, &locked).unwrap());
    }

    #[test]
    fn many_who_take_and_drop_one_directory_never_hold_it_together() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let (mirrors, root) = (dir.path().join("mirrors"), dir.path().join("root"));
        std::fs::create_dir(&root).unwrap();
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        match hold(&mirrors, &root, &RunId::random()) {
                            Ok(held) => {
                                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                                taken.fetch_add(1, Ordering::SeqCst);
                                inside.fetch_sub(1, Ordering::SeqCst);
                                drop(held);
                            }
                            Err(Error::Held(_)) => (),
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > 0);
    }

    #[test]
    fn a_lock_file_of_a_dead_holder_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mirrors = dir.path().join("mirrors");
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let held = hold(&mirrors, &root, &RunId::random()).unwrap();
        let left = std::fs::read(&held.file).unwrap();
        let name = held.file.clone();
        drop(held);
        let mut file = open(&name).unwrap();
        file.write_all(&left).unwrap();
        drop(file);
        hold(&mirrors, &root, &RunId::random()).unwrap();
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = hold(dir.path(), &dir.path().join("none"), &RunId::random()).unwrap_err();
        assert!(error.to_string().ends_with("none is not a directory"));
    }
}
