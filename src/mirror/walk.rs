//! Everything below a folder that the rules let through, found by handles: no link is followed, nothing above is reached.
//!
//! On several threads: a folder is listed by one, and its files are taken in small groups by any. Writes nothing, and knows
//! nothing of what is taken. Blocking.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::mirror::ground::{self, Folder, Name};
use crate::mirror::ignore::{Level, Rules};
use crate::mirror::scan::{Error, Obstacle, Problem};
use crate::protocol::path::{BadPath, RelPath};

/// Files that are taken in one go.
const GROUP: usize = 256;
/// With no more pieces of work than this one thread is quicker than several.
const ALONE: usize = 8;

/// What was found.
#[derive(Debug)]
pub(super) struct Walked<T> {
    /// What was made of the files, in no order.
    pub(super) taken: Vec<T>,
    /// Folders with nothing in them.
    pub(super) empty: Vec<RelPath>,
    pub(super) problems: Vec<Problem>,
    /// There were more paths than wished.
    pub(super) is_cut: bool,
}

impl<T> Default for Walked<T> {
    fn default() -> Self {
        Self {
            taken: Vec::new(),
            empty: Vec::new(),
            problems: Vec::new(),
            is_cut: false,
        }
    }
}

impl<T> Walked<T> {
    fn problem(&mut self, path: String, why: Obstacle) {
        self.problems.push(Problem { path, why });
    }

    fn join(&mut self, other: Self) {
        self.taken.extend(other.taken);
        self.empty.extend(other.empty);
        self.problems.extend(other.problems);
    }
}

/// Walks `root`, or only the folder `at` in it, and hands over what is no folder, at most about `most` paths. `take` is
/// given names that stand in this folder.
pub(super) fn walk<T: Send>(
    root: &Path,
    at: Option<&RelPath>,
    rules: &Rules,
    most: usize,
    take: impl Fn(&Folder, Vec<RelPath>) -> Vec<T> + Sync,
) -> Result<Walked<T>, Error> {
    let walk = Walk {
        rules,
        most,
        count: AtomicUsize::new(0),
        is_cut: AtomicBool::new(false),
        queue: Mutex::default(),
        more: Condvar::new(),
        take,
    };
    let top = Folder::at(root).map_err(|error| Error::Root {
        path: root.to_owned(),
        source: error.into(),
    })?;
    let mut walked = match at {
        None => {
            let mut part = Walked::default();
            let top = Arc::new(top);
            walk.list(&top, None, &Level::default(), &mut part)
                .map_err(|error| Error::Root {
                    path: root.to_owned(),
                    source: error.into(),
                })?;
            part
        }
        Some(at) => {
            walk.begin_at(top, at);
            Walked::default()
        }
    };
    walk.all(&mut walked);
    walked.is_cut = walk.is_cut.into_inner();
    Ok(walked)
}

enum Work {
    List {
        above: Arc<Folder>,
        path: RelPath,
        level: Level,
    },
    Take {
        folder: Arc<Folder>,
        files: Vec<RelPath>,
    },
}

#[derive(Default)]
struct Queue {
    work: Vec<Work>,
    /// Threads that may yet add to it.
    busy: usize,
}

struct Walk<'a, F> {
    rules: &'a Rules,
    most: usize,
    count: AtomicUsize,
    is_cut: AtomicBool,
    queue: Mutex<Queue>,
    more: Condvar,
    take: F,
}

/// A piece of work is over, however it ended.
struct Over<'a>(&'a Mutex<Queue>, &'a Condvar);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).busy -= 1;
        self.1.notify_all();
    }
}

impl<F> Walk<'_, F> {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, work: Work) {
        self.queue().work.push(work);
        self.more.notify_one();
    }

    /// The next piece; `None` when there is no more and will be none.
    fn next(&self) -> Option<(Work, Over<'_>)> {
        let mut queue = self.queue();
        loop {
            if self.is_cut.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(work) = queue.work.pop() {
                queue.busy += 1;
                return Some((work, Over(&self.queue, &self.more)));
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self
                .more
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn count(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.is_cut.store(true, Ordering::Relaxed);
        }
    }

    /// A folder below the top one, where the rules lead there at all.
    fn begin_at(&self, top: Folder, at: &RelPath) {
        let above = at.parent();
        let level = match &above {
            Some(above) => self.rules.level(above),
            None => self.rules.top(true),
        };
        let judged = level.judge(self.rules, at, true);
        if judged.why(self.rules, at).is_some() && !self.rules.leads_to_an_include(at) {
            return;
        }
        let above = match above {
            Some(above) => top.below(above.as_str()),
            None => Ok(top),
        };
        // Otherwise it is gone, or a link stands in its place.
        if let Ok(above) = above {
            self.add(Work::List {
                above: Arc::new(above),
                path: at.clone(),
                level: level.enter(judged),
            });
        }
    }
}

impl<T: Send, F: Fn(&Folder, Vec<RelPath>) -> Vec<T> + Sync> Walk<'_, F> {
    fn all(&self, into: &mut Walked<T>) {
        let threads = ground::threads();
        std::thread::scope(|scope| {
            let mut others = Vec::new();
            while let Some((work, _over)) = self.next() {
                if others.is_empty() && threads > 1 && self.queue().work.len() >= ALONE {
                    others.extend((1..threads).map(|_| scope.spawn(|| self.help())));
                }
                self.one(work, into);
            }
            for other in others {
                into.join(other.join().expect("a walk does not panic"));
            }
        });
    }

    fn help(&self) -> Walked<T> {
        let mut part = Walked::default();
        while let Some((work, _over)) = self.next() {
            self.one(work, &mut part);
        }
        part
    }

    fn one(&self, work: Work, into: &mut Walked<T>) {
        match work {
            Work::Take { folder, files } => into.taken.extend((self.take)(&folder, files)),
            Work::List { above, path, level } => {
                let folder = above.below(path.name()).map(Arc::new);
                drop(above);
                let listed =
                    folder.and_then(|folder| self.list(&folder, Some(&path), &level, into));
                match listed {
                    // Gone since, or another thing stands there: no folder to be listed.
                    Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => (),
                    Err(error) => {
                        let why = Obstacle::Unreadable(std::io::Error::from(error).to_string());
                        into.problem(path.to_string(), why);
                    }
                }
            }
        }
    }

    fn list(
        &self,
        folder: &Arc<Folder>,
        at: Option<&RelPath>,
        level: &Level,
        into: &mut Walked<T>,
    ) -> Result<(), Errno> {
        let names = folder.list()?;
        if let Some(at) = at.filter(|_| names.is_empty()) {
            into.empty.push(at.clone());
            self.count();
        }
        let own = if names.iter().any(|name| name.name == ".gitignore") {
            let (at, cut) = at.map_or(("", 0), |at| (at.as_str(), at.as_str().len() + 1));
            Some(level.clone().with(self.rules.at(at), cut))
        } else {
            None
        };
        let level = own.as_ref().unwrap_or(level);
        let mut files = Vec::new();
        for name in names {
            if let Some(file) = self.entry(folder, at, &name, level, into) {
                files.push(file);
                self.count();
            }
            if files.len() == GROUP {
                self.add(Work::Take {
                    folder: Arc::clone(folder),
                    files: std::mem::take(&mut files),
                });
            }
        }
        if !files.is_empty() {
            into.taken.extend((self.take)(folder, files));
        }
        Ok(())
    }

    /// The path of something that is to be taken.
    fn entry(
        &self,
        folder: &Arc<Folder>,
        at: Option<&RelPath>,
        entry: &Name,
        level: &Level,
        into: &mut Walked<T>,
    ) -> Option<RelPath> {
        if entry.name == ".git" || entry.name == ".ashore" {
            return None;
        }
        let name = entry.name.to_str().ok_or(BadPath::NotUtf8);
        let path = match name.and_then(|name| RelPath::child(at, name)) {
            Ok(path) => path,
            Err(bad) => {
                into.problem(printable(at, &entry.name), Obstacle::Name(bad));
                return None;
            }
        };
        let is_dir = match entry.is_dir {
            Some(is_dir) => is_dir,
            None => folder.stat(path.name()).ok()?.is_dir(),
        };
        let judged = level.judge(self.rules, &path, is_dir);
        let is_out = judged.why(self.rules, &path).is_some();
        if !is_dir {
            return (!is_out).then_some(path);
        }
        if !is_out || self.rules.leads_to_an_include(&path) {
            self.add(Work::List {
                above: Arc::clone(folder),
                level: level.enter(judged),
                path,
            });
        }
        None
    }
}

fn printable(at: Option<&RelPath>, name: &OsStr) -> String {
    let folder = at.map_or(Path::new(""), |at| Path::new(at.as_str()));
    folder.join(name).display().to_string()
}
