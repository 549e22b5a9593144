//! The runs this machine knows: made or attached here, with the directory each is mirrored into.
//!
//! `resolve` is pure; `known`, `remember` and `forget` touch one small file per run below the state folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::protocol::ids::{RunId, RunRef};

/// Which directory a path leads to: one that stands in its place later is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryId {
    pub device: u64,
    pub inode: u64,
    /// When it was made, in milliseconds since 1970, where the file system says so: numbers are given again.
    #[serde(default)]
    pub born: Option<u64>,
}

impl DirectoryId {
    /// `None`: there stands none.
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path)
            .ok()
            .filter(std::fs::Metadata::is_dir)?;
        let born = found.created().ok();
        let born = born.and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            born: born.and_then(|born| u64::try_from(born.as_millis()).ok()),
        })
    }
}

/// What is remembered of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub at: RunRef,
    /// The endpoint's name, and where it was.
    pub endpoint: String,
    pub url: String,
    /// It was this user's local endpoint, whose port may change.
    pub local: bool,
    /// The directory the run was started in or is mirrored into.
    pub directory: Option<PathBuf>,
    /// The directory its sandbox was seeded from, wherever it is mirrored later.
    #[serde(default)]
    pub seeded_from: Option<PathBuf>,
    /// And which one that was.
    #[serde(default)]
    pub seeded_id: Option<DirectoryId>,
    /// Its files are mirrored there.
    #[serde(default)]
    pub mirrored: bool,
    pub title: String,
    #[serde(default)]
    pub agent: Option<String>,
    /// UTC.
    pub created: String,
}

/// A text that does not name exactly one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOne {
    None,
    Several(Vec<String>),
}

const FILE: &str = "run.json";

/// All of them, the newest first. A file that cannot be read is as if it were not there.
pub fn known(runs: &Path) -> Vec<Known> {
    let Ok(folders) = std::fs::read_dir(runs) else {
        return Vec::new();
    };
    let mut known: Vec<Known> = folders
        .flatten()
        .filter_map(|folder| std::fs::read(folder.path().join(FILE)).ok())
        .filter_map(|text| serde_json::from_slice(&text).ok())
        .collect();
    known.sort_by(|a, b| b.created.cmp(&a.created));
    known
}

/// Writes it down, whole or not at all.
pub fn remember(runs: &Path, known: &Known) -> io::Result<()> {
    let folder = runs.join(known.at.run.as_str());
    std::fs::create_dir_all(&folder)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    file.write_all(&serde_json::to_vec_pretty(known)?)?;
    file.persist(folder.join(FILE))?;
    Ok(())
}

/// Removes everything this machine kept of the run, pre-images included.
pub fn forget(runs: &Path, run: &RunId) -> io::Result<()> {
    match std::fs::remove_dir_all(runs.join(run.as_str())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// `last`, an id, or a unique beginning of one. `last` is the newest of `directory`, else of all.
pub fn resolve<'a>(text: &str, known: &'a [Known], directory: &Path) -> Result<&'a Known, NotOne> {
    if text == "last" {
        let here = known
            .iter()
            .find(|known| known.directory.as_deref() == Some(directory));
        return here.or_else(|| known.first()).ok_or(NotOne::None);
    }
    if let Some(exact) = known.iter().find(|known| known.at.run.as_str() == text) {
        return Ok(exact);
    }
    let fits: Vec<&Known> = known
        .iter()
        .filter(|known| !text.is_empty() && known.at.run.as_str().starts_with(text))
        .collect();
    match fits.as_slice() {
        [] => Err(NotOne::None),
        [only] => Ok(only),
        several => Err(NotOne::Several(
            several
                .iter()
                .map(|known| known.at.run.to_string())
                .collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::ProjectId;

    fn run(id: &str, created: &str, directory: &str) -> Known {
        Known {
            at: RunRef {
                project: ProjectId(1),
                task: "t".parse().unwrap(),
                run: id.parse().unwrap(),
            },
            endpoint: "local".into(),
            url: "http://127.0.0.1:1/".into(),
            local: true,
            directory: Some(directory.into()),
            seeded_from: Some(directory.into()),
            seeded_id: None,
            mirrored: true,
            title: "a title".into(),
            agent: None,
            created: created.into(),
        }
    }

    #[test]
    fn last_is_the_newest_of_this_directory_else_of_all() {
        let known = [
            run("c3", "3", "/a"),
            run("b2", "2", "/b"),
            run("b1", "1", "/b"),
        ];
        assert_eq!(resolve("last", &known, Path::new("/b")), Ok(&known[1]));
        assert_eq!(resolve("last", &known, Path::new("/x")), Ok(&known[0]));
        assert_eq!(resolve("last", &[], Path::new("/x")), Err(NotOne::None));
    }

    #[test]
    fn a_prefix_must_be_unique_and_a_whole_id_always_is() {
        let known = [run("ab1", "3", "/a"), run("ab", "2", "/b")];
        assert_eq!(resolve("ab", &known, Path::new("/")), Ok(&known[1]));
        assert_eq!(resolve("ab1", &known, Path::new("/")), Ok(&known[0]));
        assert_eq!(
            resolve("a", &known, Path::new("/")),
            Err(NotOne::Several(vec!["ab1".into(), "ab".into()]))
        );
        assert_eq!(resolve("", &known, Path::new("/")), Err(NotOne::None));
    }

    #[test]
    fn what_is_remembered_is_known_the_newest_first_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (run("a1", "1", "/a"), run("b2", "2", "/a"));
        remember(folder.path(), &old).unwrap();
        remember(folder.path(), &new).unwrap();
        assert_eq!(known(folder.path()), [new.clone(), old.clone()]);
        forget(folder.path(), &new.at.run).unwrap();
        assert_eq!(known(folder.path()), [old]);
    }
}
