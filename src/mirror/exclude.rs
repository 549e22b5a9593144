//! The copies that stand beside a file are kept out of git: their names go, once, into the repository's own exclude file.
//!
//! That file (`info/exclude` of the repository, the same for all its worktrees) is no part of any commit, and the only one
//! outside the root that the mirror ever writes. Every line of the user's stays as it is. Blocking.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Whoever removed the lines below it and left this one has had his say.
const HEAD: &str = "# ashore: copies that its mirror puts beside a file (theirs in a conflict, a save that came too late)";
/// A file that names a repository, or an exclude file, above this is somebody's mistake.
const LONGEST: u64 = 1 << 20;
/// A journal with more digits has more than a thousand million lines.
const DIGITS: usize = 9;

/// Why the copies are seen by git.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", at.display())]
pub(crate) struct Error {
    pub(crate) at: PathBuf,
    #[source]
    source: io::Error,
}

/// The exclude file of the repository that this folder is in; it need not be there.
pub(crate) fn file_of(folder: &Path) -> Option<PathBuf> {
    let repository = folder.ancestors().find_map(|at| {
        let dot = at.join(".git");
        let found = if fs::metadata(&dot).ok()?.is_dir() {
            dot
        } else {
            let text = read(&dot).ok()?;
            at.join(text.strip_prefix("gitdir:")?.trim())
        };
        found.join("HEAD").exists().then_some(found)
    })?;
    let shared = read(&repository.join("commondir")).ok();
    let common = shared.map_or(repository.clone(), |text| repository.join(text.trim()));
    Some(common.join("info/exclude"))
}

/// Puts the names of our copies into it, unless they are there.
pub(crate) fn hide(at: &Path) -> Result<(), Error> {
    put(at).map_err(|source| Error {
        at: at.to_owned(),
        source,
    })
}

fn put(at: &Path) -> io::Result<()> {
    // Whoever keeps it elsewhere and has a link here keeps the link.
    let at = fs::canonicalize(at).unwrap_or_else(|_| at.to_owned());
    let folder = at.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let before = bytes(&at)?;
    let lines = || before.split(|byte| *byte == b'\n');
    if lines().any(|line| line.trim_ascii_end() == HEAD.as_bytes()) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix("exclude-")
        .tempfile_in(folder)?;
    file.write_all(&before)?;
    if before.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n")?;
    }
    file.write_all(block().as_bytes())?;
    let permissions = fs::metadata(&at).map_or(0o644, |there| there.permissions().mode());
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(permissions & 0o7777))?;
    file.as_file().sync_all()?;
    // Somebody may have edited it in between: then the next copy tries again.
    if bytes(&at)? != before {
        return Err(io::Error::other("it is being edited"));
    }
    file.persist(&at).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Our lines: each name that a copy can have, and no other (`ignore::is_conflict_copy` says the same).
fn block() -> String {
    let run = "[0-9a-f]".repeat(8);
    let mut text = format!("{HEAD}\n?*.late-sandbox-0\n");
    for what in ["remote", "late"] {
        for digits in 1..=DIGITS {
            let seq = "[0-9]".repeat(digits);
            text.push_str(&format!("?*.{what}-{run}-{seq}\n"));
        }
    }
    text
}

fn bytes(at: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(at) {
        Ok(file) => file.take(LONGEST + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

fn read(at: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(at)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
mod tests {
    use super::*;
    use crate::mirror::hand::{LATE, REMOTE, beside, mark};
    use crate::mirror::ignore::is_conflict_copy;
    use crate::protocol::ids::{RunId, Seq};

    fn git(at: &Path, arguments: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(at)
            .args(["-c", "user.name=a", "-c", "user.email=a@localhost"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env_remove("GIT_DIR")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn repository() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        git(&top, &["init", "-q"]);
        std::fs::write(top.join("a"), "a").unwrap();
        git(&top, &["add", "a"]);
        git(&top, &["commit", "-q", "-m", "a"]);
        (dir, top)
    }

    #[test]
    fn git_does_not_see_the_copies_and_leaves_them_where_they_are() {
        let (_dir, top) = repository();
        let exclude = file_of(&top).unwrap();
        std::fs::create_dir_all(exclude.parent().unwrap()).unwrap();
        std::fs::write(&exclude, "# mine\n*.own").unwrap();
        hide(&exclude).unwrap();
        let once = std::fs::read_to_string(&exclude).unwrap();
        assert!(once.starts_with("# mine\n*.own\n# ashore"), "{once}");
        hide(&exclude).unwrap();
        assert_eq!(std::fs::read_to_string(&exclude).unwrap(), once);

        let copies = [
            "a.remote-7d0c2f9e-0",
            "a.remote-7d0c2f9e-123456789",
            "a.2.remote-7d0c2f9e-12",
            "b.late-00ff00ff-7",
            "b.late-sandbox-0",
        ];
        let others = [
            "x.late-notes",
            "x.remote-eu-1",
            "x.remote-7d0c2f9e-",
            "x.remote-7d0c2f9e-1.txt",
            "x.remote-7d0c2f9e-1~",
            "x.late-sandbox-1",
            ".late-sandbox-0",
        ];
        for name in copies.iter().chain(&others) {
            std::fs::write(top.join(name), "x").unwrap();
        }
        let seen = git(&top, &["ls-files", "--others", "--exclude-standard"]);
        let seen: Vec<&str> = seen.lines().collect();
        for name in copies {
            assert!(!seen.contains(&name) && is_conflict_copy(name), "{name}");
        }
        for name in others {
            assert!(seen.contains(&name) && !is_conflict_copy(name), "{name}");
        }
        git(&top, &["stash", "-q", "-u"]);
        std::fs::write(top.join("stray"), "x").unwrap();
        git(&top, &["clean", "-fdq"]);
        git(&top, &["add", "-A"]);
        assert_eq!(git(&top, &["status", "--porcelain"]), "");
        for name in copies {
            assert!(top.join(name).exists(), "{name}");
        }
    }

    #[test]
    fn worktrees_and_submodules_have_the_file_that_git_reads() {
        let (dir, top) = repository();
        let worktree = dir.path().join("worktree");
        let shown = worktree.to_str().unwrap();
        git(&top, &["worktree", "add", "-q", shown]);
        let below = worktree.join("below");
        std::fs::create_dir(&below).unwrap();
        let exclude = file_of(&below).unwrap();
        assert_eq!(
            std::fs::canonicalize(exclude.parent().unwrap()).unwrap(),
            std::fs::canonicalize(top.join(".git/info")).unwrap()
        );
        hide(&exclude).unwrap();
        std::fs::write(below.join("a.remote-7d0c2f9e-1"), "x").unwrap();
        assert_eq!(git(&worktree, &["status", "--porcelain"]), "");

        let elsewhere = dir.path().join("elsewhere");
        let apart = dir.path().join("apart");
        let (to, of) = (elsewhere.to_str().unwrap(), apart.to_str().unwrap());
        git(&top, &["init", "-q", "--separate-git-dir", of, to]);
        assert_eq!(file_of(&elsewhere), Some(apart.join("info/exclude")));
        // A folder of that name that is no repository hides none above it.
        std::fs::create_dir(below.join(".git")).unwrap();
        assert_eq!(file_of(&below), Some(exclude));
        assert_eq!(file_of(dir.path()), None);
    }

    #[test]
    fn a_name_that_is_made_is_one_that_is_hidden_whatever_the_run_is_called() {
        let path = "a/b.rs".parse().unwrap();
        for (run, mark_of_it) in [
            ("7d0c2f9e-3b1a-4c58-9f6e-5a2b8c1d4e70", Some("7d0c2f9e")),
            ("EU_1", None),
            ("r", None),
        ] {
            let run: RunId = run.parse().unwrap();
            let mark = mark(&run);
            assert!(mark_of_it.is_none_or(|of_it| of_it == mark));
            for (what, number) in [(REMOTE, 0), (LATE, 0), (REMOTE, 7)] {
                let at = beside(&path, what, &mark, Seq(42), number).unwrap();
                assert!(is_conflict_copy(at.name()), "{at}");
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("info"), "in the way").unwrap();
        let at = dir.path().join("info/exclude");
        let error = hide(&at).unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("info/exclude"));
    }
}
