//! What of the config holds at once when it is saved: theme, keys, layout, signs. Looked for while the screen is up.
//!
//! A shell: watches folders, and reads again when one of the files is another than before. What is read is given to it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::tui::event::Event;
use crate::tui::keymap::Keymap;
use crate::tui::theme::Choice;

/// An editor writes a file in more than one step.
const QUIET: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq)]
pub struct Tastes {
    pub themes: Choice,
    pub keymap: Keymap,
    /// The right column stands where there is room for it.
    pub column: bool,
    /// No sign of ours beyond ASCII; `None`: as the terminal can.
    pub ascii: Option<bool>,
    /// The picture moves as little as it can.
    pub calm: bool,
    /// Vim's keys in the draft.
    pub vim: bool,
    /// Keys of the config that are others than when we started, and hold from the next start on.
    pub later: Vec<String>,
}

/// Where they come from.
#[derive(Clone)]
pub struct Source {
    /// Files that may change, come and go.
    pub files: Vec<PathBuf>,
    /// A folder whose files are themes.
    pub themes: PathBuf,
    /// Reads all of it; the error is a whole sentence.
    pub read: Arc<dyn Fn() -> Result<Tastes, String> + Send + Sync>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("files", &self.files)
            .field("themes", &self.themes)
            .finish_non_exhaustive()
    }
}

/// What tells one state of a file from another: number, size, and when it was changed.
type Stamp = (u64, u64, i64, i64);

impl Source {
    fn stamps(&self) -> BTreeMap<PathBuf, Stamp> {
        let themes = std::fs::read_dir(&self.themes).into_iter().flatten();
        let themes = themes.filter_map(|entry| Some(entry.ok()?.path()));
        let is_theme = |path: &PathBuf| path.extension().is_some_and(|end| end == "toml");
        let stamp = |meta: Metadata| (meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
        self.files
            .iter()
            .cloned()
            .chain(themes.filter(is_theme))
            .filter_map(|path| Some((path.clone(), stamp(std::fs::metadata(path).ok()?))))
            .collect()
    }

    /// The folders to look at.
    fn folders(&self) -> Vec<&Path> {
        let files = self.files.iter().filter_map(|file| file.parent());
        let mut folders: Vec<_> = files.chain([self.themes.as_path()]).collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

/// Tells every change until the screen is gone. Where folders cannot be watched nothing is told.
pub async fn watch(source: Source, events: mpsc::Sender<Event>) {
    let (tell, mut told) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
        if !read_only {
            // One that waits already says the same.
            tell.try_send(()).ok();
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!("the config is not watched: {error}");
            return;
        }
    };
    let mut stamps = source.stamps();
    let mut watched = Vec::new();
    look_at(&mut watcher, &source, &mut watched);
    while told.recv().await.is_some() {
        tokio::time::sleep(QUIET).await;
        while told.try_recv().is_ok() {}
        look_at(&mut watcher, &source, &mut watched);
        let now = source.stamps();
        if now == stamps {
            continue;
        }
        stamps = now;
        let read = Arc::clone(&source.read);
        let Ok(tastes) = tokio::task::spawn_blocking(move || read()).await else {
            continue;
        };
        if events.send(Event::Tastes(Box::new(tastes))).await.is_err() {
            return;
        }
    }
}

/// A folder that is not there yet is waited for in the nearest one that is.
fn look_at(watcher: &mut RecommendedWatcher, source: &Source, watched: &mut Vec<PathBuf>) {
    watched.retain(|folder| folder.is_dir());
    for folder in source.folders() {
        let there = folder.ancestors().find(|folder| folder.is_dir());
        let Some(there) = there.filter(|there| watched.iter().all(|one| one != there)) else {
            continue;
        };
        match watcher.watch(there, RecursiveMode::NonRecursive) {
            Ok(()) => watched.push(there.to_owned()),
            Err(error) => tracing::warn!("{} is not watched: {error}", there.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says how many bytes the config has, as keys that come later.
    fn source(root: &Path) -> Source {
        let file = root.join("deep/config.toml");
        let of = file.clone();
        let read = move || match std::fs::read_to_string(&of) {
            Ok(text) if text.starts_with('!') => Err(text),
            text => Ok(Tastes {
                themes: Choice::auto(crate::tui::theme::Depth::None),
                keymap: Keymap::default(),
                column: true,
                ascii: None,
                calm: false,
                vim: false,
                later: vec![text.unwrap_or_default()],
            }),
        };
        Source {
            files: vec![file],
            themes: root.join("deep/themes"),
            read: Arc::new(read),
        }
    }

    async fn told(events: &mut mpsc::Receiver<Event>) -> Result<Vec<String>, String> {
        match events.recv().await {
            Some(Event::Tastes(tastes)) => tastes.map(|tastes| tastes.later),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_file_and_a_folder_that_come_later_are_seen_and_so_is_every_change() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("deep");
        let (sender, mut events) = mpsc::channel(1);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(watch(source(root.path()), sender));
        // Until the first word it is not known whether the folder is watched: asked again and again.
        let put = |name: &str, text: &str| {
            std::fs::create_dir_all(&deep).unwrap();
            let new = tempfile::NamedTempFile::new_in(&deep).unwrap();
            std::fs::copy(write(text).path(), new.path()).unwrap();
            new.persist(deep.join(name)).unwrap();
        };
        let mut number = 0;
        let first = loop {
            number += 1;
            put("config.toml", &format!("first {number}"));
            tokio::select! {
                first = told(&mut events) => break first.unwrap(),
                () = tokio::task::yield_now() => (),
            }
        };
        assert!(first[0].starts_with("first "), "{first:?}");
        put("config.toml", "second");
        while told(&mut events).await != Ok(vec!["second".to_owned()]) {}
        put("config.toml", "! is wrong");
        while told(&mut events).await != Err("! is wrong".to_owned()) {}
        // A theme of the user is a change as well; a note beside the config is none.
        put("note.md", "x");
        put("config.toml", "third");
        while told(&mut events).await != Ok(vec!["third".to_owned()]) {}
        std::fs::create_dir_all(deep.join("themes")).unwrap();
        put("themes/mine.toml", "name");
        assert_eq!(told(&mut events).await, Ok(vec!["third".to_owned()]));
    }

    fn write(text: &str) -> tempfile::NamedTempFile {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }
}
