//! Notices that something below a root has changed, and says so in quiet batches.
//!
//! Says where, never what: the reader looks for itself. Ignored folders are left out before they are watched. Where
//! watching is not possible it says so and asks for a whole scan every few seconds instead.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::mirror::ignore::{Rules, Why};
use crate::protocol::path::RelPath;

/// A batch ends when nothing has come for this long,
const QUIET: Duration = Duration::from_millis(30);
/// or when it is this old.
const LONGEST: Duration = Duration::from_millis(200);
/// More paths than this are quicker found by a scan.
const MOST: usize = 2000;
/// How often the whole tree is scanned where it cannot be watched.
pub(crate) const POLL: Duration = Duration::from_secs(5);

const OVERFLOW: &str =
    "more changed at once than could be followed: the whole directory is looked at";
/// What helps against the system's limit.
const LIMIT: &str = "raise it with `sysctl fs.inotify.max_user_watches=1048576`, or ignore big folders in config.toml";

/// What may have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub paths: BTreeSet<RelPath>,
    /// The paths are not all: scan the whole tree.
    pub rescan: bool,
    /// One line for the user.
    pub note: Option<String>,
    /// Why the directory is not watched: it is scanned now and then instead, and this batch is such a time.
    pub polls: Option<String>,
}

impl Batch {
    /// More came than could be kept: what, nobody knows.
    fn overflow(&mut self) {
        self.rescan = true;
        self.note = Some(OVERFLOW.to_owned());
    }
}

/// What the watcher's own thread tells.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Path(PathBuf),
    /// A folder came, or something that makes single paths worthless.
    Rescan,
    /// The system's own queue was full.
    Overflow,
}

/// Watches `root` (absolute, as the system calls it) until the receiver or the set is dropped.
pub fn watch(root: &Path, rules: Arc<Rules>, tasks: &mut JoinSet<()>) -> mpsc::Receiver<Batch> {
    let (batches, receiver) = mpsc::channel(4);
    let (tell, told) = mpsc::channel(4096);
    let lost = Arc::new(AtomicBool::new(false));
    let watcher = start(tell, Arc::clone(&lost));
    let root = root.to_owned();
    tasks.spawn(async move {
        let eyes = Eyes {
            root,
            rules,
            watcher,
            watched: HashSet::new(),
        };
        eyes.run(told, lost, batches).await;
    });
    receiver
}

fn start(
    tell: mpsc::Sender<Told>,
    lost: Arc<AtomicBool>,
) -> Result<RecommendedWatcher, notify::Error> {
    notify::recommended_watcher(move |event: Result<notify::Event, notify::Error>| {
        let told = match event {
            Ok(event) => facts(event),
            Err(_) => vec![Told::Rescan],
        };
        for fact in told {
            // A full queue loses paths, never the knowledge that something changed.
            if tell.try_send(fact).is_err() {
                lost.store(true, Ordering::Release);
            }
        }
    })
}

fn facts(event: notify::Event) -> Vec<Told> {
    let folder_came = matches!(
        event.kind,
        EventKind::Create(CreateKind::Folder) | EventKind::Modify(ModifyKind::Name(RenameMode::To))
    );
    // Ours and git's come and go all the time, and nothing below them is mirrored.
    let is_ours = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name == ".ashore" || name == ".git")
    };
    match event.kind {
        EventKind::Access(_) => Vec::new(),
        _ if !event.paths.is_empty() && event.paths.iter().all(is_ours) => Vec::new(),
        _ if event.need_rescan() => vec![Told::Overflow],
        _ if folder_came && event.paths.iter().any(|path| path.is_dir()) => vec![Told::Rescan],
        _ => event.paths.into_iter().map(Told::Path).collect(),
    }
}

struct Eyes<W> {
    root: PathBuf,
    rules: Arc<Rules>,
    watcher: Result<W, notify::Error>,
    watched: HashSet<PathBuf>,
}

impl<W: Watcher> Eyes<W> {
    async fn run(
        mut self,
        mut told: mpsc::Receiver<Told>,
        lost: Arc<AtomicBool>,
        batches: mpsc::Sender<Batch>,
    ) {
        if let Err(why) = self.open_all() {
            return poll(&why, batches).await;
        }
        // What changed before the eyes were open.
        let first = Batch {
            rescan: true,
            ..Batch::default()
        };
        if batches.send(first).await.is_err() {
            return;
        }
        loop {
            let first = tokio::select! {
                first = told.recv() => first,
                () = batches.closed() => return,
            };
            let Some(first) = first else { return };
            let mut batch = self.gather(first, &mut told).await;
            if lost.swap(false, Ordering::AcqRel) {
                batch.overflow();
            }
            if batch.rescan {
                batch.paths.clear();
                if let Err(why) = self.open_all() {
                    return poll(&why, batches).await;
                }
            }
            if (batch.rescan || !batch.paths.is_empty()) && batches.send(batch).await.is_err() {
                return;
            }
        }
    }

    async fn gather(&self, first: Told, told: &mut mpsc::Receiver<Told>) -> Batch {
        let mut batch = Batch::default();
        let end = Instant::now() + LONGEST;
        let mut next = Some(first);
        while let Some(fact) = next {
            self.put(fact, &mut batch);
            let until = end.min(Instant::now() + QUIET);
            next = tokio::time::timeout_at(until, told.recv())
                .await
                .ok()
                .flatten();
        }
        batch
    }

    fn put(&self, fact: Told, batch: &mut Batch) {
        let path = match fact {
            Told::Path(path) => path,
            Told::Rescan => return batch.rescan = true,
            Told::Overflow => return batch.overflow(),
        };
        let Some(path) = path
            .strip_prefix(&self.root)
            .ok()
            .and_then(|p| RelPath::from_walk(p).ok())
        else {
            return;
        };
        // Other rules hold now: what was in may be out.
        batch.rescan |= path.name() == ".gitignore";
        if matches!(self.rules.why(&path, false), None | Some(Why::ConflictCopy)) {
            batch.paths.insert(path);
        }
        batch.rescan |= batch.paths.len() > MOST;
    }

    /// Watches every folder that is not watched yet and not ignored.
    fn open_all(&mut self) -> Result<(), String> {
        self.rules.forget();
        let mut folders = vec![self.root.clone()];
        // A watched folder that was removed has lost its watch; one made anew under its name needs another.
        self.watched.retain(|folder| folder.is_dir());
        while let Some(folder) = folders.pop() {
            self.open(&folder)?;
            let below = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(
                below
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path())
                    .filter(|path| self.wanted(path)),
            );
        }
        Ok(())
    }

    fn wanted(&self, folder: &Path) -> bool {
        let relative = folder.strip_prefix(&self.root).ok();
        let Some(path) = relative.and_then(|p| RelPath::from_walk(p).ok()) else {
            return false;
        };
        self.rules.why(&path, true).is_none() || self.rules.leads_to_an_include(&path)
    }

    fn open(&mut self, folder: &Path) -> Result<(), String> {
        let watcher = self.watcher.as_mut().map_err(|error| error.to_string())?;
        // Asked again even when watched: the folder may be another one of the same name, and asking twice costs nothing.
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(folder.to_owned());
                Ok(())
            }
            // Gone again already.
            Err(_) if folder != self.root && !folder.is_dir() => Ok(()),
            Err(error) => match error.kind {
                notify::ErrorKind::MaxFilesWatch => Err(format!(
                    "the system's limit of watched folders is reached after {}: {LIMIT}",
                    self.watched.len()
                )),
                _ => Err(error.to_string()),
            },
        }
    }
}

/// The way without eyes.
async fn poll(why: &str, batches: mpsc::Sender<Batch>) {
    let mut note = Some(format!(
        "this directory cannot be watched ({why}): it is scanned every {} s instead",
        POLL.as_secs()
    ));
    loop {
        let batch = Batch {
            paths: BTreeSet::new(),
            rescan: true,
            note: note.take(),
            polls: Some(why.to_owned()),
        };
        if batches.send(batch).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => (),
            () = batches.closed() => return,
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
mod tests {
    use super::*;

    async fn next(batches: &mut mpsc::Receiver<Batch>) -> Batch {
        tokio::time::timeout(Duration::from_secs(60), batches.recv())
            .await
            .expect("a change is seen")
            .expect("the watch lives")
    }

    #[tokio::test]
    async fn a_change_a_new_folder_and_a_file_in_it_are_seen_and_an_ignored_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(root.join(".gitignore"), "target\n").unwrap();
        std::fs::create_dir(root.join("target")).unwrap();
        let rules = Arc::new(Rules::new(&root, &[], &[]).unwrap());
        let mut tasks = JoinSet::new();
        let mut batches = watch(&root, rules, &mut tasks);
        assert!(next(&mut batches).await.rescan, "the first look is whole");

        std::fs::write(root.join("target/x"), "x").unwrap();
        std::fs::write(root.join("a"), "a").unwrap();
        let batch = next(&mut batches).await;
        assert_eq!(batch.paths, ["a".parse().unwrap()].into());

        std::fs::create_dir(root.join("d")).unwrap();
        assert!(next(&mut batches).await.rescan);
        std::fs::write(root.join("d/b"), "b").unwrap();
        let mut seen = next(&mut batches).await;
        while !seen.rescan && !seen.paths.contains(&"d/b".parse().unwrap()) {
            seen = next(&mut batches).await;
        }
    }

    /// A system that lets so many folders be watched and no more.
    #[derive(Debug)]
    struct Narrow(usize);

    impl Watcher for Narrow {
        fn new<F: notify::EventHandler>(_: F, _: notify::Config) -> notify::Result<Self> {
            Ok(Self(0))
        }

        fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
            let left = self.0.checked_sub(1);
            self.0 = left.ok_or_else(|| notify::Error::new(notify::ErrorKind::MaxFilesWatch))?;
            Ok(())
        }

        fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
            Ok(())
        }

        fn kind() -> notify::WatcherKind {
            notify::WatcherKind::NullWatcher
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_systems_limit_it_says_what_to_do_and_goes_on_by_scanning() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let eyes = Eyes {
            root: dir.path().to_owned(),
            rules: Arc::new(Rules::new(dir.path(), &[], &[]).unwrap()),
            watcher: Ok(Narrow(2)),
            watched: HashSet::new(),
        };
        let (sender, mut batches) = mpsc::channel(1);
        let (_tell, told) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(eyes.run(told, Arc::default(), sender));
        let first = batches.recv().await.unwrap();
        let note = first.note.unwrap();
        assert!(first.rescan && note.contains("max_user_watches"), "{note}");
        assert!(
            note.contains("after 2") && note.contains("every 5 s"),
            "{note}"
        );
        assert!(batches.recv().await.unwrap().rescan);
    }

    #[tokio::test]
    async fn a_full_queue_is_said_and_the_whole_directory_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let eyes = Eyes {
            root: dir.path().to_owned(),
            rules: Arc::new(Rules::new(dir.path(), &[], &[]).unwrap()),
            watcher: Ok(Narrow(100)),
            watched: HashSet::new(),
        };
        let (sender, mut batches) = mpsc::channel(1);
        let (tell, told) = mpsc::channel(4);
        let lost = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(eyes.run(told, Arc::clone(&lost), sender));
        assert_eq!(next(&mut batches).await.note, None);
        let path = || Told::Path(dir.path().join("a"));
        for (fact, full) in [(Told::Overflow, false), (path(), true)] {
            lost.store(full, Ordering::Release);
            tell.send(fact).await.unwrap();
            let batch = next(&mut batches).await;
            assert!(batch.rescan && batch.paths.is_empty());
            assert_eq!(batch.note.as_deref(), Some(OVERFLOW));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_eyes_it_says_so_once_and_polls() {
        let (sender, mut batches) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { poll("no inotify", sender).await });
        let first = batches.recv().await.unwrap();
        assert!(
            first.rescan
                && first
                    .note
                    .unwrap()
                    .contains("cannot be watched (no inotify)")
        );
        let second = batches.recv().await.unwrap();
        assert_eq!((second.rescan, second.note), (true, None));
        assert_eq!(second.polls.as_deref(), Some("no inotify"));
    }

    #[test]
    fn reading_a_file_is_no_change() {
        let event = notify::Event::new(EventKind::Access(notify::event::AccessKind::Any))
            .add_path(PathBuf::from("/x"));
        assert_eq!(facts(event), []);
    }
}
