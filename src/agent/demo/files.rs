//! The one place of the demo agent that changes files, and only below the session's working directory.
//!
//! It refuses absolute paths, `..`, `.git`, and links that lead out. The check guards against a slip of the
//! finger, not against another process that swaps a folder for a link in between: the demo agent acts for the
//! person who typed the command, with that person's rights.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::agent::demo::samples::Bytes;
use crate::protocol::path::{BadPath, RelPath};

/// Written between two looks at a cancel.
const PIECE: usize = 1 << 20;
/// Above this a file's old or new text is not shown as a diff.
const MOST_SHOWN: u64 = 100 * 1024;

/// Why a file was left alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("The path `{path}` is refused: {why}.")]
    Path { path: String, why: BadPath },
    #[error(
        "The path `{0}` leads out of the working directory through a link; nothing was changed."
    )]
    Outside(String),
    #[error("There is already something at `{0}`; nothing was changed.")]
    Taken(String),
    #[error("Cannot {what} `{path}`: {source}.")]
    Disk {
        what: &'static str,
        path: String,
        source: std::io::Error,
    },
}

/// A path that has been looked at.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) shown: String,
    full: PathBuf,
}

impl Place {
    fn failed(&self, what: &'static str) -> impl FnOnce(std::io::Error) -> Refused {
        let path = self.shown.clone();
        move |source| Refused::Disk { what, path, source }
    }
}

/// Checks a path from a prompt. The last part may be a link; everything above it must stay inside.
pub(crate) async fn place(cwd: &Path, path: &str) -> Result<Place, Refused> {
    let relative: RelPath = path.parse().map_err(|why| Refused::Path {
        path: path.to_owned(),
        why,
    })?;
    let full = relative.below(cwd);
    let mut above = full.parent().unwrap_or(cwd);
    // The nearest folder that exists decides: what does not exist yet will be made by us, as plain folders.
    let real = loop {
        match fs::canonicalize(above).await {
            Ok(real) => break real,
            Err(error) if error.kind() == ErrorKind::NotFound => match above.parent() {
                // A link to nowhere stands in the way.
                Some(_) if fs::symlink_metadata(above).await.is_ok() => {
                    return Err(Refused::Outside(path.to_owned()));
                }
                Some(next) => above = next,
                None => return Err(Refused::Outside(path.to_owned())),
            },
            Err(source) => {
                return Err(Refused::Disk {
                    what: "look at",
                    path: path.to_owned(),
                    source,
                });
            }
        }
    };
    if real.starts_with(cwd) {
        Ok(Place {
            shown: relative.as_str().to_owned(),
            full,
        })
    } else {
        Err(Refused::Outside(path.to_owned()))
    }
}

/// Like [`place`], for something whose content is read or written: the last part is followed too.
async fn content_place(cwd: &Path, path: &str) -> Result<Place, Refused> {
    let place = place(cwd, path).await?;
    if fs::symlink_metadata(&place.full)
        .await
        .is_ok_and(|meta| meta.is_symlink())
    {
        let inside = fs::canonicalize(&place.full)
            .await
            .is_ok_and(|real| real.starts_with(cwd));
        if !inside {
            return Err(Refused::Outside(path.to_owned()));
        }
    }
    Ok(place)
}

/// A file's text before and after.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) old: Option<String>,
    pub(crate) new: String,
}

pub(crate) async fn write(cwd: &Path, path: &str, text: &str) -> Result<Changed, Refused> {
    let place = content_place(cwd, path).await?;
    let old = shown_text(&place).await;
    make_parents(&place).await?;
    fs::write(&place.full, text)
        .await
        .map_err(place.failed("write"))?;
    Ok(Changed {
        old,
        new: text.to_owned(),
    })
}

pub(crate) async fn append(cwd: &Path, path: &str, text: &str) -> Result<Changed, Refused> {
    let place = content_place(cwd, path).await?;
    let old = shown_text(&place).await;
    make_parents(&place).await?;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&place.full)
        .await
        .map_err(place.failed("open"))?;
    file.write_all(text.as_bytes())
        .await
        .map_err(place.failed("write"))?;
    file.flush().await.map_err(place.failed("write"))?;
    let new = format!("{}{text}", old.as_deref().unwrap_or_default());
    Ok(Changed { old, new })
}

pub(crate) async fn delete(cwd: &Path, path: &str) -> Result<(), Refused> {
    let place = place(cwd, path).await?;
    let meta = fs::symlink_metadata(&place.full)
        .await
        .map_err(place.failed("delete"))?;
    let removed = if meta.is_dir() {
        fs::remove_dir(&place.full).await
    } else {
        fs::remove_file(&place.full).await
    };
    removed.map_err(place.failed("delete"))
}

pub(crate) async fn rename(cwd: &Path, from: &str, to: &str) -> Result<(), Refused> {
    let from = place(cwd, from).await?;
    let to = place(cwd, to).await?;
    if fs::symlink_metadata(&to.full).await.is_ok() {
        return Err(Refused::Taken(to.shown));
    }
    make_parents(&to).await?;
    fs::rename(&from.full, &to.full)
        .await
        .map_err(from.failed("rename"))
}

pub(crate) async fn chmod(cwd: &Path, path: &str, executable: bool) -> Result<(), Refused> {
    let place = content_place(cwd, path).await?;
    let meta = fs::metadata(&place.full)
        .await
        .map_err(place.failed("change"))?;
    let mode = meta.permissions().mode();
    let mode = if executable {
        mode | ((mode & 0o444) >> 2)
    } else {
        mode & !0o111
    };
    fs::set_permissions(&place.full, std::fs::Permissions::from_mode(mode))
        .await
        .map_err(place.failed("change"))
}

/// The target is only text: a link may lead anywhere, writing through it may not.
pub(crate) async fn symlink(cwd: &Path, target: &str, path: &str) -> Result<(), Refused> {
    let place = place(cwd, path).await?;
    if fs::symlink_metadata(&place.full).await.is_ok() {
        return Err(Refused::Taken(place.shown));
    }
    make_parents(&place).await?;
    fs::symlink(target, &place.full)
        .await
        .map_err(place.failed("link"))
}

/// Writes pseudo-random bytes, as letters when `text`.
pub(crate) async fn fill(
    cwd: &Path,
    path: &str,
    seed: u64,
    bytes: u64,
    text: bool,
) -> Result<(), Refused> {
    let place = content_place(cwd, path).await?;
    make_parents(&place).await?;
    let mut file = fs::File::create(&place.full)
        .await
        .map_err(place.failed("write"))?;
    let mut source = Bytes::seeded(seed);
    let mut buffer = vec![0; PIECE.min(usize::try_from(bytes).unwrap_or(PIECE))];
    let mut left = bytes;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = &mut buffer[..piece];
        if text {
            source.fill_text(piece)
        } else {
            source.fill(piece)
        };
        file.write_all(piece).await.map_err(place.failed("write"))?;
        left -= piece.len() as u64;
    }
    file.flush().await.map_err(place.failed("write"))
}

/// The text of a small file; `None` when it is absent, large or not text.
pub(crate) async fn text(cwd: &Path, path: &str) -> Option<String> {
    shown_text(&content_place(cwd, path).await.ok()?).await
}

/// What stands in the working directory: at most `most` names, sorted.
pub(crate) async fn names(cwd: &Path, most: usize) -> Vec<String> {
    let Ok(mut folder) = fs::read_dir(cwd).await else {
        return Vec::new();
    };
    let mut names = Vec::new();
    while let Ok(Some(entry)) = folder.next_entry().await {
        names.push(entry.file_name().to_string_lossy().into_owned());
        // A bound on memory, far above what is shown.
        if names.len() >= 10_000 {
            break;
        }
    }
    names.sort();
    names.truncate(most);
    names
}

async fn shown_text(place: &Place) -> Option<String> {
    let meta = fs::metadata(&place.full).await.ok()?;
    if !meta.is_file() || meta.len() > MOST_SHOWN {
        return None;
    }
    String::from_utf8(fs::read(&place.full).await.ok()?).ok()
}

async fn make_parents(place: &Place) -> Result<(), Refused> {
    match place.full.parent() {
        Some(parent) => fs::create_dir_all(parent)
            .await
            .map_err(place.failed("make the folder of")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_that_leaves_the_working_directory_is_refused_and_nothing_is_written() {
        let outer = tempfile::tempdir().expect("a folder");
        let cwd = outer.path().canonicalize().expect("real").join("work");
        std::fs::create_dir(&cwd).expect("made");
        std::os::unix::fs::symlink(outer.path(), cwd.join("out")).expect("linked");
        std::os::unix::fs::symlink(outer.path().join("evil"), cwd.join("file")).expect("linked");
        std::os::unix::fs::symlink("nowhere", cwd.join("dangling")).expect("linked");
        for path in [
            "../evil",
            "/etc/evil",
            "out/evil",
            "out/deep/er/evil",
            "file",
            "dangling/x",
            ".git/hooks/evil",
            "a/../../evil",
        ] {
            assert!(write(&cwd, path, "x").await.is_err(), "{path}");
            assert!(append(&cwd, path, "x").await.is_err(), "{path}");
        }
        assert!(rename(&cwd, "file", "out/evil").await.is_err());
        assert!(!outer.path().join("evil").exists());
        // The link itself may go.
        delete(&cwd, "file")
            .await
            .expect("a link inside is ours to delete");
    }

    #[tokio::test]
    async fn every_change_is_made_on_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let cwd = folder.path().canonicalize().expect("real");
        let changed = write(&cwd, "notes/a.txt", "hello").await.expect("written");
        assert_eq!(
            changed,
            Changed {
                old: None,
                new: "hello".into()
            }
        );
        let changed = append(&cwd, "notes/a.txt", "!").await.expect("appended");
        assert_eq!(
            changed,
            Changed {
                old: Some("hello".into()),
                new: "hello!".into()
            }
        );
        assert_eq!(
            std::fs::read(cwd.join("notes/a.txt")).expect("there"),
            b"hello!"
        );
        chmod(&cwd, "notes/a.txt", true).await.expect("changed");
        let mode = || {
            std::fs::metadata(cwd.join("notes/a.txt"))
                .expect("there")
                .permissions()
                .mode()
        };
        assert_eq!(mode() & 0o100, 0o100);
        chmod(&cwd, "notes/a.txt", false).await.expect("changed");
        assert_eq!(mode() & 0o111, 0);
        symlink(&cwd, "a.txt", "notes/link").await.expect("linked");
        assert_eq!(text(&cwd, "notes/link").await.as_deref(), Some("hello!"));
        rename(&cwd, "notes/a.txt", "b/c.txt")
            .await
            .expect("renamed");
        assert!(matches!(
            rename(&cwd, "b/c.txt", "notes/link").await,
            Err(Refused::Taken(_))
        ));
        delete(&cwd, "b/c.txt").await.expect("deleted");
        assert!(!cwd.join("b/c.txt").exists());
        fill(&cwd, "bin", 0, 12, false).await.expect("filled");
        assert_eq!(std::fs::read(cwd.join("bin")).expect("there").len(), 12);
        assert_eq!(names(&cwd, 9).await, ["b", "bin", "notes"]);
    }
}
