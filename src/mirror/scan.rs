//! A folder turned into hashes: what stands at every path that is mirrored, and what could not be taken.
//!
//! Blocking: async callers put it on a blocking thread. Reads only; follows no link; a file that changes while it is
//! read is read again. Contents are hashed on several threads and remembered by what the file system says of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use crate::mirror::ground::{self, Name, Stat};
use crate::mirror::ignore::{Rules, Why};
use crate::mirror::link::{self, BadLink};
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::{ContentHash, Hasher};
use crate::protocol::path::{BadPath, RelPath};

/// A write within this time of the look could have left size and times as they were (coarse clocks of file systems).
const RACY: i128 = 2_000_000_000;
/// How often a file that changes under our hands is read before it is left for the next scan.
const TRIES: usize = 3;
/// Deeper trees than a path of 4096 bytes can name do not come from people.
const DEEPEST: usize = 1024;

/// What is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file: u64,
    /// Paths of one tree.
    pub paths: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: 256 << 20,
            paths: 500_000,
        }
    }
}

impl Limits {
    /// For who takes files for another one, who asked for files of up to `file` bytes, or said nothing of it.
    pub(crate) fn at_least(file: Option<u64>) -> Self {
        let own = Self::default();
        Self {
            file: file.unwrap_or_default().max(own.file),
            ..own
        }
    }
}

/// Every mirrored path of a folder at (about) one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    pub files: BTreeMap<RelPath, FileState>,
    /// Folders with nothing in them: no change of theirs is ever told, but a seed has them.
    pub empty: Vec<RelPath>,
    pub problems: Vec<Problem>,
}

/// A path that is there and was not taken. What is ignored is no problem and not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// As found, made printable.
    pub path: String,
    pub why: Obstacle,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// Why something that stands at a path cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("refused name ({0})")]
    Name(BadPath),
    #[error("refused: {0}")]
    Link(BadLink),
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("{size} bytes are over the limit of {limit} bytes")]
    TooLarge { size: u64, limit: u64 },
    #[error("neither file, folder nor link")]
    Special,
    #[error("behind a symlink, which is never followed")]
    BehindLink,
    #[error("changes faster than it can be read")]
    Restless,
}

/// What stands at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    Absent,
    /// A file or a link.
    File(FileState),
    Directory,
    Ignored(Why),
    Obstacle(Obstacle),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the directory {path}")]
    Root {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("more than {0} files: ignore some folders, or start in a smaller directory")]
    TooMany(usize),
}

/// Hashes of files as they were, so that an unchanged tree is not read twice. Two files of which the file system says the
/// same have the same bytes, but for the racy moment.
#[derive(Debug, Default)]
pub struct Cache {
    known: Mutex<HashMap<Stat, ContentHash>>,
}

impl Cache {
    /// Entries of files that are gone cost memory only: above this the cache starts anew.
    const MOST: usize = 1_000_000;

    fn get(&self, stamp: &Stat) -> Option<ContentHash> {
        self.lock().get(stamp).copied()
    }

    /// Remembers only what was already old when it was looked at: a younger file may change again without a trace.
    fn put(&self, stamp: Stat, hash: ContentHash, looked: i128) {
        if stamp.modified.max(stamp.changed) + RACY >= looked {
            return;
        }
        let mut known = self.lock();
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(stamp, hash);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Stat, ContentHash>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything below `root` that the rules let through. Fails only when the root itself cannot be read or is too big.
pub fn scan(root: &Path, rules: &Rules, limits: Limits, cache: &Cache) -> Result<Tree, Error> {
    rules.forget();
    let mut walk = Walk {
        root,
        rules,
        limits,
        found: Vec::new(),
        tree: Tree::default(),
    };
    walk.folder(None, 0)?;
    let Walk {
        found, mut tree, ..
    } = walk;
    for (path, result) in hash_all(root, found, limits, cache) {
        match result {
            Ok(Some(state)) => {
                tree.files.insert(path, state);
            }
            // Gone between the walk and the read.
            Ok(None) => (),
            Err(why) => tree.problems.push(Problem {
                path: path.to_string(),
                why,
            }),
        }
    }
    tree.problems.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tree)
}

/// The paths of which a scan would take files, in no order, at most so many, and whether there are more. Reads names
/// only.
pub fn names(root: &Path, rules: &Rules, most: usize) -> Result<(Vec<RelPath>, bool), Error> {
    rules.forget();
    let mut walk = Walk {
        root,
        rules,
        limits: Limits {
            paths: most,
            ..Limits::default()
        },
        found: Vec::new(),
        tree: Tree::default(),
    };
    let is_cut = match walk.folder(None, 0) {
        Ok(()) => false,
        Err(Error::TooMany(_)) => true,
        Err(error @ Error::Root { .. }) => return Err(error),
    };
    walk.found.truncate(most);
    Ok((walk.found, is_cut))
}

/// What stands at one path now, with the rules applied.
pub fn look(root: &Path, path: &RelPath, rules: &Rules, limits: Limits, cache: &Cache) -> Local {
    let mut above = root.to_owned();
    for part in path.parent().iter().flat_map(RelPath::parts) {
        above.push(part);
        match ground::stat(&above) {
            Ok(meta) if meta.is_symlink() => return Local::Obstacle(Obstacle::BehindLink),
            Ok(meta) if meta.is_dir() => (),
            // A file where a folder would be: nothing stands behind it.
            Ok(_) => return Local::Absent,
            Err(error) => return absent_or_unreadable(&error),
        }
    }
    let meta = match ground::stat(&path.below(root)) {
        Ok(meta) => meta,
        Err(error) => {
            return match rules.why(path, false) {
                Some(why) => Local::Ignored(why),
                None => absent_or_unreadable(&error),
            };
        }
    };
    if let Some(why) = rules.why(path, meta.is_dir()) {
        return Local::Ignored(why);
    }
    if meta.is_dir() {
        return Local::Directory;
    }
    match state(root, path, limits, cache) {
        Ok(Some(state)) => Local::File(state),
        Ok(None) => Local::Absent,
        Err(why) => Local::Obstacle(why),
    }
}

fn absent_or_unreadable(error: &io::Error) -> Local {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Local::Absent,
        _ => Local::Obstacle(Obstacle::Unreadable(error.to_string())),
    }
}

struct Walk<'a> {
    root: &'a Path,
    rules: &'a Rules,
    limits: Limits,
    found: Vec<RelPath>,
    tree: Tree,
}

impl Walk<'_> {
    fn folder(&mut self, at: Option<&RelPath>, depth: usize) -> Result<(), Error> {
        let path = at.map_or_else(|| self.root.to_owned(), |at| at.below(self.root));
        let listed = ground::names(&path);
        match (listed, at) {
            (Ok(entries), Some(at)) if entries.is_empty() => {
                self.tree.empty.push(at.clone());
                self.count()
            }
            (Ok(entries), _) => entries
                .iter()
                .try_for_each(|entry| self.entry(at, entry, depth)),
            (Err(source), None) => Err(Error::Root { path, source }),
            (Err(error), Some(at)) if error.kind() != io::ErrorKind::NotFound => {
                self.problem(at.as_str(), Obstacle::Unreadable(error.to_string()));
                Ok(())
            }
            (Err(_), Some(_)) => Ok(()),
        }
    }

    fn entry(&mut self, folder: Option<&RelPath>, entry: &Name, depth: usize) -> Result<(), Error> {
        let name = &entry.name;
        if name == ".git" || name == ".ashore" {
            return Ok(());
        }
        let relative = folder
            .map_or_else(PathBuf::new, |f| PathBuf::from(f.as_str()))
            .join(name);
        let path = match RelPath::from_walk(&relative) {
            Ok(path) => path,
            Err(bad) => {
                self.problem(&relative.display().to_string(), Obstacle::Name(bad));
                return Ok(());
            }
        };
        let Some(is_dir) = entry.is_dir else {
            return Ok(());
        };
        if self.rules.why(&path, is_dir).is_some() {
            let go_on = is_dir && self.rules.leads_to_an_include(&path);
            return if go_on {
                self.folder(Some(&path), depth + 1)
            } else {
                Ok(())
            };
        }
        if is_dir {
            if depth >= DEEPEST {
                self.problem(path.as_str(), Obstacle::Name(BadPath::TooLong));
                return Ok(());
            }
            return self.folder(Some(&path), depth + 1);
        }
        self.found.push(path);
        self.count()
    }

    fn count(&self) -> Result<(), Error> {
        if self.found.len() + self.tree.empty.len() > self.limits.paths {
            return Err(Error::TooMany(self.limits.paths));
        }
        Ok(())
    }

    fn problem(&mut self, path: &str, why: Obstacle) {
        self.tree.problems.push(Problem {
            path: path.to_owned(),
            why,
        });
    }
}

type Hashed = (RelPath, Result<Option<FileState>, Obstacle>);

fn hash_all(root: &Path, found: Vec<RelPath>, limits: Limits, cache: &Cache) -> Vec<Hashed> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(path) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((path.clone(), state(root, path, limits, cache)));
        }
        done
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(8).min(found.len() / 64 + 1);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().expect("hashing does not panic"));
        }
        all
    })
}

/// The file or link at this path; `None` when it is gone.
fn state(
    root: &Path,
    path: &RelPath,
    limits: Limits,
    cache: &Cache,
) -> Result<Option<FileState>, Obstacle> {
    let full = path.below(root);
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
        _ => Err(Obstacle::Unreadable(error.to_string())),
    };
    for _ in 0..TRIES {
        let meta = match ground::stat(&full) {
            Ok(meta) => meta,
            Err(error) => return unreadable(error),
        };
        if meta.is_symlink() {
            return link_state(path, &full);
        }
        if !meta.is_file() {
            return Err(Obstacle::Special);
        }
        match file_state(&full, limits, cache) {
            Ok(Some(state)) => return Ok(Some(state)),
            Ok(None) => (),
            Err(Trouble::Obstacle(why)) => return Err(why),
            // It became a link between the look and the opening.
            Err(Trouble::Io(error)) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            }
            Err(Trouble::Io(error)) => return unreadable(error),
        }
    }
    Err(Obstacle::Restless)
}

fn link_state(path: &RelPath, full: &Path) -> Result<Option<FileState>, Obstacle> {
    let target = match ground::target(full) {
        Ok(target) => target,
        Err(error) => return Err(Obstacle::Unreadable(error.to_string())),
    };
    let target = target.to_str().ok_or(Obstacle::Name(BadPath::NotUtf8))?;
    link::check(path, target).map_err(Obstacle::Link)?;
    Ok(Some(FileState {
        hash: ContentHash::of(target.as_bytes()),
        size: target.len() as u64,
        mode: Mode::Symlink,
    }))
}

enum Trouble {
    Obstacle(Obstacle),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// `None`: it changed while it was read.
fn file_state(full: &Path, limits: Limits, cache: &Cache) -> Result<Option<FileState>, Trouble> {
    let looked = now();
    let mut file = ground::open(full)?;
    let stamp = file.stat()?;
    if !stamp.is_file() {
        return Err(Trouble::Obstacle(Obstacle::Special));
    }
    if stamp.size > limits.file {
        return Err(Trouble::Obstacle(Obstacle::TooLarge {
            size: stamp.size,
            limit: limits.file,
        }));
    }
    let mode = if stamp.mode & 0o100 == 0 {
        Mode::File
    } else {
        Mode::Executable
    };
    let state = |hash| FileState {
        hash,
        size: stamp.size,
        mode,
    };
    if let Some(hash) = cache.get(&stamp) {
        return Ok(Some(state(hash)));
    }
    let (hash, size) = hash_reader(&mut file, limits.file)?;
    if size != stamp.size || file.stat()? != stamp {
        return Ok(None);
    }
    cache.put(stamp, hash, looked);
    Ok(Some(state(hash)))
}

/// The hash and length of everything that comes, up to one byte over the limit.
pub(crate) fn hash_reader(from: &mut impl Read, limit: u64) -> io::Result<(ContentHash, u64)> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let n = from.read(&mut buffer)?;
        size += n as u64;
        if n == 0 || size > limit {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&buffer[..n]);
    }
}

fn now() -> i128 {
    i128::try_from(ground::now().as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn scanned(dir: &Path, limits: Limits) -> Tree {
        let rules = Rules::new(dir, &[], &[]).unwrap();
        scan(dir, &rules, limits, &Cache::default()).unwrap()
    }

    fn write(dir: &Path, name: &str, bytes: &[u8]) {
        let at = dir.join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, bytes).unwrap();
    }

    #[test]
    fn names_are_those_of_a_scan_and_no_more_than_wished() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in [
            "a.txt",
            "sub/b.rs",
            "notes/c.md",
            "keep/d.log",
            "target/x",
            ".git/config",
            ".ashore/x",
        ] {
            write(root, name, b"x");
        }
        write(root, ".gitignore", b"target\n*.log\n");
        let of_user = |lines: &[&str]| -> Vec<String> {
            lines.iter().map(|line| (*line).to_owned()).collect()
        };
        let rules = Rules::new(root, &of_user(&["notes/"]), &of_user(&["keep/d.log"])).unwrap();
        let (mut found, is_cut) = names(root, &rules, 100).unwrap();
        found.sort();
        let found: Vec<&str> = found.iter().map(RelPath::as_str).collect();
        assert_eq!(found, [".gitignore", "a.txt", "keep/d.log", "sub/b.rs"]);
        assert!(!is_cut);
        let tree = scan(root, &rules, Limits::default(), &Cache::default()).unwrap();
        let scanned: Vec<&str> = tree.files.keys().map(RelPath::as_str).collect();
        assert_eq!(found, scanned);
        let (found, is_cut) = names(root, &rules, 2).unwrap();
        assert_eq!((found.len(), is_cut), (2, true));
    }

    #[test]
    fn a_tree_is_listed_with_modes_links_and_without_what_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "a.txt", b"a");
        write(root, "empty", b"");
        write(root, "sub/bin", b"\x00\xff");
        write(root, "run.sh", b"#!/bin/sh\n");
        std::fs::set_permissions(root.join("run.sh"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        symlink("../a.txt", root.join("sub/link")).unwrap();
        write(root, ".gitignore", b"target\n");
        write(root, "target/x", b"x");
        write(root, ".git/config", b"x");
        write(root, "sub/.git/config", b"x");
        write(root, ".ashore/stage/x", b"x");
        write(root, "a.txt.remote-7d0c2f9e-12", b"theirs");

        let tree = scanned(root, Limits::default());

        let listed: Vec<(&str, Mode, u64)> = tree
            .files
            .iter()
            .map(|(path, state)| (path.as_str(), state.mode, state.size))
            .collect();
        assert_eq!(
            listed,
            [
                (".gitignore", Mode::File, 7),
                ("a.txt", Mode::File, 1),
                ("empty", Mode::File, 0),
                ("run.sh", Mode::Executable, 10),
                ("sub/bin", Mode::File, 2),
                ("sub/link", Mode::Symlink, 8),
            ]
        );
        assert_eq!(tree.problems, []);
        assert_eq!(
            tree.files[&"sub/bin".parse().unwrap()].hash,
            ContentHash::of(b"\x00\xff")
        );
    }

    #[test]
    fn what_cannot_be_taken_is_listed_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "big", b"12345");
        write(root, ".GIT/config", b"x");
        symlink("/etc/passwd", root.join("abs")).unwrap();
        symlink("../out", root.join("out")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();

        let tree = scanned(
            root,
            Limits {
                file: 4,
                ..Limits::default()
            },
        );

        let listed: Vec<String> = tree.problems.iter().map(Problem::to_string).collect();
        assert_eq!(
            listed,
            [
                ".GIT: refused name (inside .git)",
                "abs: refused: a link to an absolute path",
                "big: 5 bytes are over the limit of 4 bytes",
                "out: refused: a link that leaves the directory",
                "socket: neither file, folder nor link",
            ]
        );
        assert!(tree.files.is_empty());
    }

    #[test]
    fn a_look_sees_what_a_scan_sees_and_never_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "d/a", b"a");
        symlink("d", root.join("l")).unwrap();
        write(root, ".gitignore", b"gone\n");
        let rules = Rules::new(root, &[], &[]).unwrap();
        let cache = Cache::default();
        let at = |path: &str| {
            look(
                root,
                &path.parse().unwrap(),
                &rules,
                Limits::default(),
                &cache,
            )
        };

        assert_eq!(at("l/a"), Local::Obstacle(Obstacle::BehindLink));
        assert_eq!(at("d"), Local::Directory);
        assert_eq!(at("nothing"), Local::Absent);
        assert_eq!(at("d/a/b"), Local::Absent);
        assert!(matches!(at("gone"), Local::Ignored(_)));
        let tree = scan(root, &rules, Limits::default(), &cache).unwrap();
        assert_eq!(at("d/a"), Local::File(tree.files[&"d/a".parse().unwrap()]));
    }

    #[test]
    fn a_file_rewritten_right_after_a_scan_with_equal_size_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let rules = Rules::new(root, &[], &[]).unwrap();
        let cache = Cache::default();
        let path: RelPath = "a".parse().unwrap();
        for round in 0..50u8 {
            write(root, "a", &[round]);
            let tree = scan(root, &rules, Limits::default(), &cache).unwrap();
            assert_eq!(tree.files[&path].hash, ContentHash::of(&[round]));
        }
    }

    #[test]
    fn an_old_unchanged_file_is_read_once() {
        let stamp = Stat {
            device: 1,
            inode: 2,
            size: 3,
            modified: 0,
            changed: 0,
            mode: 0o100_644,
        };
        let cache = Cache::default();
        let hash = ContentHash::of(b"abc");
        cache.put(stamp, hash, RACY);
        assert_eq!(cache.get(&stamp), None, "as young as the clock is coarse");
        cache.put(stamp, hash, RACY + 1);
        assert_eq!(cache.get(&stamp), Some(hash));
        assert_eq!(
            cache.get(&Stat {
                changed: 1,
                ..stamp
            }),
            None
        );
    }

    #[test]
    fn a_tree_with_too_many_paths_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a", b"");
        write(dir.path(), "b", b"");
        let rules = Rules::new(dir.path(), &[], &[]).unwrap();
        let limits = Limits {
            paths: 1,
            ..Limits::default()
        };
        assert!(matches!(
            scan(dir.path(), &rules, limits, &Cache::default()),
            Err(Error::TooMany(1))
        ));
    }
}
