//! A folder turned into hashes: what stands at every path that is mirrored, and what could not be taken.
//!
//! Blocking: async callers put it on a blocking thread. Reads only; follows no link; a file that changes while it is
//! read is read again. Contents are hashed on several threads; what is as it was (`stamps`) is not even opened.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::mirror::ground::{Folder, Stat};
use crate::mirror::ignore::{Rules, Why};
use crate::mirror::link::{self, BadLink};
pub use crate::mirror::stamps::Cache;
use crate::mirror::walk::walk;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::{ContentHash, Hasher};
use crate::protocol::path::{BadPath, RelPath};

/// How often a file that changes under our hands is read before it is left for the next scan.
const TRIES: usize = 3;

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

/// Everything below `root` that the rules let through. Fails only when the root itself cannot be read or is too big.
pub fn scan(root: &Path, rules: &Rules, limits: Limits, cache: &Cache) -> Result<Tree, Error> {
    cache.begin();
    let tree = scan_at(root, None, rules, limits, cache)?;
    cache.end();
    Ok(tree)
}

fn scan_at(
    root: &Path,
    at: Option<&RelPath>,
    rules: &Rules,
    limits: Limits,
    cache: &Cache,
) -> Result<Tree, Error> {
    rules.forget();
    let take = |folder: &Folder, files| take(folder, files, limits, cache);
    let walked = walk(root, at, rules, limits.paths, take)?;
    if walked.is_cut {
        return Err(Error::TooMany(limits.paths));
    }
    let mut problems = walked.problems;
    let files = walked.taken.into_iter().filter_map(|(path, found)| {
        let found = found.map_err(|why| {
            let path = path.to_string();
            problems.push(Problem { path, why });
        });
        // Gone between the walk and the look.
        Some((path, found.ok()??))
    });
    let files = files.collect();
    problems.sort_by(|a, b| a.path.cmp(&b.path));
    let mut empty = walked.empty;
    empty.sort();
    Ok(Tree {
        files,
        empty,
        problems,
    })
}

/// The paths of which a scan would take files, in no order, at most so many, and whether there are more. Reads names
/// only.
pub fn names(root: &Path, rules: &Rules, most: usize) -> Result<(Vec<RelPath>, bool), Error> {
    rules.forget();
    let walked = walk(root, None, rules, most, |_, files| files)?;
    let mut found = walked.taken;
    found.truncate(most);
    Ok((found, walked.is_cut))
}

/// What stands at one path now, with the rules applied.
pub fn look(root: &Path, path: &RelPath, rules: &Rules, limits: Limits, cache: &Cache) -> Local {
    let local = look_in(root, path, rules, limits, cache);
    if matches!(local, Local::Absent | Local::Directory) {
        cache.forget(path);
    }
    local
}

fn look_in(root: &Path, path: &RelPath, rules: &Rules, limits: Limits, cache: &Cache) -> Local {
    let folder = Folder::at(root).and_then(|top| match path.parent() {
        Some(parent) => top.below(parent.as_str()),
        None => Ok(top),
    });
    let folder = match folder {
        Ok(folder) => folder,
        Err(Errno::LOOP) => return Local::Obstacle(Obstacle::BehindLink),
        Err(error) => return absent_or_unreadable(error),
    };
    let stat = match folder.stat(path.name()) {
        Ok(stat) => stat,
        Err(error) => {
            return match rules.why(path, false) {
                Some(why) => Local::Ignored(why),
                None => absent_or_unreadable(error),
            };
        }
    };
    if let Some(why) = rules.why(path, stat.is_dir()) {
        return Local::Ignored(why);
    }
    if stat.is_dir() {
        return Local::Directory;
    }
    match state(&folder, path, limits, cache) {
        Ok(Some(state)) => Local::File(state),
        Ok(None) => Local::Absent,
        Err(why) => Local::Obstacle(why),
    }
}

/// A file where a folder would be: nothing stands behind it.
fn is_absent(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR)
}

fn unreadable(error: impl Into<io::Error>) -> Obstacle {
    Obstacle::Unreadable(error.into().to_string())
}

fn absent_or_unreadable(error: Errno) -> Local {
    if is_absent(error) {
        Local::Absent
    } else {
        Local::Obstacle(unreadable(error))
    }
}

type Found = (RelPath, Result<Option<FileState>, Obstacle>);

/// What stands at these names of a folder. What is as it was is not opened.
fn take(folder: &Folder, files: Vec<RelPath>, limits: Limits, cache: &Cache) -> Vec<Found> {
    let stats: Vec<_> = files
        .iter()
        .map(|path| folder.stat(path.name()).ok())
        .collect();
    let plain = |stat: &&Stat| stat.is_file() && stat.size <= limits.file;
    let of = |(path, stat)| Some((path, Option::as_ref(stat).filter(plain)?));
    let known = cache.get_all(files.iter().zip(&stats).map(of));
    files
        .into_iter()
        .zip(stats.iter().zip(known))
        .map(|(path, (stat, known))| {
            let found = match (stat, known) {
                (Some(stat), Some(hash)) => Ok(Some(file_of(stat, hash))),
                _ => state(folder, &path, limits, cache),
            };
            (path, found)
        })
        .collect()
}

fn file_of(stat: &Stat, hash: ContentHash) -> FileState {
    let mode = if stat.mode & 0o100 == 0 {
        Mode::File
    } else {
        Mode::Executable
    };
    FileState {
        hash,
        size: stat.size,
        mode,
    }
}

/// The file or link of this path's name in this folder; `None` when it is gone.
fn state(
    folder: &Folder,
    path: &RelPath,
    limits: Limits,
    cache: &Cache,
) -> Result<Option<FileState>, Obstacle> {
    for _ in 0..TRIES {
        let stat = match folder.stat(path.name()) {
            Ok(stat) => stat,
            Err(error) if is_absent(error) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if stat.is_symlink() {
            return link_state(folder, path);
        }
        if !stat.is_file() {
            return Err(Obstacle::Special);
        }
        match file_state(folder, path, limits, cache) {
            Ok(Some(state)) => return Ok(Some(state)),
            Ok(None) => (),
            Err(Trouble::Obstacle(why)) => return Err(why),
            // It became a link between the look and the opening.
            Err(Trouble::Io(error)) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            }
            Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(Trouble::Io(error)) => return Err(unreadable(error)),
        }
    }
    Err(Obstacle::Restless)
}

fn link_state(folder: &Folder, path: &RelPath) -> Result<Option<FileState>, Obstacle> {
    let target = folder.target(path.name()).map_err(unreadable)?;
    let target = str::from_utf8(&target).map_err(|_| Obstacle::Name(BadPath::NotUtf8))?;
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
fn file_state(
    folder: &Folder,
    path: &RelPath,
    limits: Limits,
    cache: &Cache,
) -> Result<Option<FileState>, Trouble> {
    let looked = cache.now();
    let mut file = folder.file(path.name()).map_err(io::Error::from)?;
    let stat = file.stat()?;
    if !stat.is_file() {
        return Err(Trouble::Obstacle(Obstacle::Special));
    }
    if stat.size > limits.file {
        return Err(Trouble::Obstacle(Obstacle::TooLarge {
            size: stat.size,
            limit: limits.file,
        }));
    }
    if let Some(hash) = cache.get(path, &stat) {
        return Ok(Some(file_of(&stat, hash)));
    }
    let (hash, size) = hash_reader(&mut file, limits.file)?;
    if size != stat.size || file.stat()? != stat {
        return Ok(None);
    }
    cache.put(path, &stat, hash, looked);
    Ok(Some(file_of(&stat, hash)))
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
