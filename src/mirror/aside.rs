//! What was swapped out lies aside in the stage for a while: who opened it before the swap may still write into it.
//!
//! After the while it is looked at once more. What nobody has written into goes; what somebody has is brought back. The
//! bound is on files and bytes, the oldest go first; who writes after that writes into a file without a name, as with
//! every atomic replacement. Blocking.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::io::Errno;

use crate::mirror::disk::{Disk, Error, STAGE, SWAP, Staged, fail, tidy};
use crate::mirror::ground::{self, Folder};
use crate::mirror::look::{Found, look, still};
use crate::mirror::plan::same;
use crate::mirror::preimage::Preimages;
use crate::mirror::swap::{Lying, Target};
use crate::plant::planted;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// An editor that opens without emptying writes within this; who holds a file open for longer is not waited for.
const AWHILE: Duration = Duration::from_secs(5);
/// What cannot be looked at or brought back now is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
const MOST: usize = 256;
const MOST_BYTES: u64 = 64 << 20;

/// A file that was swapped out.
#[derive(Debug, Clone)]
pub(crate) struct Aside {
    /// Where it stood.
    pub(crate) path: RelPath,
    name: String,
    /// As it was then; `None`: somebody is known to have written since.
    found: Option<Found>,
    at: Duration,
    until: Duration,
    size: u64,
}

/// A file in the stage that an earlier life left there, kept by now.
#[derive(Debug)]
pub(crate) struct Left {
    pub(super) name: String,
    /// `None`: it was being written to.
    pub(super) found: Option<Found>,
}

/// What became of a file that was written to after it was swapped out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Back {
    /// The same stands there by now.
    Same,
    /// It stands where it stood; what stood there in between lies at the name beside it, where it was a file.
    InPlace(Option<RelPath>),
    /// Something else stands there: it lies beside it.
    Beside(RelPath),
}

/// What lies aside in one root, the oldest first.
#[derive(Debug)]
pub(super) struct Asides {
    root: Folder,
    list: Mutex<VecDeque<Aside>>,
    /// Held while they are looked at: who ends waits for who looks.
    looking: Mutex<()>,
}

/// Those of this process.
static ALL: Mutex<Vec<Weak<Asides>>> = Mutex::new(Vec::new());

/// The end of this process, which waits for nobody: what lies aside anywhere is looked at now, and goes. What was written
/// to stays for the next start.
pub fn part() {
    let all = std::mem::take(&mut *ALL.lock().unwrap_or_else(PoisonError::into_inner));
    for asides in all.iter().filter_map(Weak::upgrade) {
        asides.over();
    }
}

impl Asides {
    pub(super) fn of(root: &Folder) -> Result<Arc<Self>, Error> {
        let root = root.try_clone().map_err(fail("open the directory"))?;
        let asides = Arc::new(Self {
            root,
            list: Mutex::default(),
            looking: Mutex::default(),
        });
        if matches!(asides.root, Folder::System(_)) {
            let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|asides| asides.strong_count() > 0);
            all.push(Arc::downgrade(&asides));
        }
        Ok(asides)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Aside>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, due: Vec<Aside>) -> Vec<Aside> {
        let _alone = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_alone(due)
    }

    /// Removes those that nobody has written into; gives the others back.
    fn look_alone(&self, due: Vec<Aside>) -> Vec<Aside> {
        let stage = match self.root.below(STAGE) {
            Ok(stage) => stage,
            // Somebody cleared our folder away.
            Err(Errno::NOENT) => return Vec::new(),
            Err(_) => {
                due.into_iter().for_each(|aside| self.put_off(aside));
                return Vec::new();
            }
        };
        let mut written = Vec::new();
        for aside in due {
            let looked = aside
                .found
                .map(|found| still(&stage, &aside.name, &found, aside.at));
            match looked {
                Some(Ok(true)) => {
                    stage.remove_file(&aside.name).ok();
                }
                None | Some(Ok(false)) => written.push(aside),
                // Taken away by whoever cleared our folder.
                Some(Err(_)) if stage.stat(&aside.name) == Err(Errno::NOENT) => (),
                Some(Err(error)) => {
                    tracing::debug!(%error, path = %aside.path, "cannot be looked at now");
                    self.put_off(aside);
                }
            }
        }
        written
    }

    /// Lies aside (again).
    fn put(&self, aside: Aside) {
        let mut asides = self.lock();
        asides.push_back(aside);
        let mut bytes: u64 = asides.iter().map(|aside| aside.size).sum();
        let mut over = asides.len().saturating_sub(MOST);
        for aside in asides.iter_mut() {
            if over == 0 && bytes <= MOST_BYTES {
                return;
            }
            over = over.saturating_sub(1);
            bytes -= aside.size;
            aside.until = Duration::ZERO;
        }
    }

    /// To be tried again in a moment.
    fn put_off(&self, aside: Aside) {
        let until = ground::now() + AGAIN;
        self.put(Aside { until, ..aside });
    }

    /// The while of all of them is over; what was written to, or cannot be looked at, stays for the next start.
    fn over(&self) {
        let _alone = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Aside> = self.lock().drain(..).collect();
        if !all.is_empty() {
            self.look_alone(all);
            self.lock().clear();
            tidy(&self.root);
        }
    }
}

/// What of a path stands in the name of its swap.
pub(super) fn tag(path: &RelPath) -> String {
    let hash = ContentHash::of(path.as_str().as_bytes()).to_string();
    hash[..16].to_owned()
}

impl Left {
    /// Whether it may have stood at this path.
    pub(super) fn is_of(&self, path: &RelPath) -> bool {
        self.name
            .strip_prefix(SWAP)
            .and_then(|name| name.split_once('-'))
            .is_some_and(|(_, of)| of == tag(path))
    }

    pub(super) fn state(&self) -> Option<FileState> {
        self.found.and_then(|found| found.state)
    }

    /// To be watched like any other; with `changed`, to be brought back.
    pub(super) fn aside(self, path: RelPath, changed: bool) -> Aside {
        let now = ground::now();
        Aside {
            path,
            name: self.name,
            size: self
                .found
                .and_then(|found| found.state)
                .map_or(0, |state| state.size),
            found: self.found.filter(|_| !changed),
            at: now,
            until: if changed { now } else { now + AWHILE },
        }
    }
}

impl Disk {
    /// What was swapped out, and is what was looked at, is not removed yet.
    pub(super) fn set_aside(&self, staged: &mut Staged, path: &RelPath, found: Found) {
        let Some(state) = found.state else { return };
        // Nobody writes into a link.
        if !matches!(state.mode, Mode::File | Mode::Executable) || planted!(SwappedOutForgotten) {
            return;
        }
        staged.is_ours = false;
        let at = ground::now();
        self.put_aside(Aside {
            path: path.clone(),
            name: staged.name.clone(),
            found: Some(found),
            at,
            until: at + AWHILE,
            size: state.size,
        });
    }

    /// Lies aside (again).
    pub(super) fn put_aside(&self, aside: Aside) {
        self.asides.put(aside);
    }

    /// As `put_aside`, to be tried again in a moment.
    pub(super) fn put_off(&self, aside: Aside) {
        self.asides.put_off(aside);
    }

    /// How long until something is to be looked at once more.
    pub(crate) fn next_aside(&self) -> Option<Duration> {
        let now = ground::now();
        let asides = self.asides.lock();
        let next = asides.iter().map(|aside| aside.until).min()?;
        Some(next.saturating_sub(now))
    }

    /// Those whose while is over. They are nobody's until they are looked at, or put off.
    pub(super) fn due(&self) -> Vec<Aside> {
        let now = ground::now();
        let mut asides = self.asides.lock();
        let (due, rest): (Vec<_>, Vec<_>) = asides.drain(..).partition(|aside| aside.until <= now);
        *asides = rest.into();
        due
    }

    /// Removes those that nobody has written into; gives the others back.
    pub(super) fn look_aside(&self, due: Vec<Aside>) -> Vec<Aside> {
        self.asides.look(due)
    }

    /// A file that was written to goes back to where it stood, where by now exactly `instead` stands, which goes beside
    /// it; without `instead`, and where anything else stands, it goes beside that itself. `beside` names the places that
    /// are tried, by their number: for what stood there in between, and for what is brought back.
    pub(super) fn bring_back(
        &self,
        aside: &Aside,
        instead: Option<Option<FileState>>,
        beside: &dyn Fn(bool, usize) -> Option<RelPath>,
        kept: &Preimages,
    ) -> Result<Back, Error> {
        let stage = self.root.below(STAGE).map_err(fail("open .ashore/stage"))?;
        let written = look(&stage, &aside.name, Some(kept))?;
        let (parent, _) = self.parent(&aside.path, true)?;
        let stands = look(&parent, aside.path.name(), None);
        let lying = Lying {
            stage: &stage,
            name: &aside.name,
        };
        if let Ok(stands) = &stands {
            if same(stands.state, written.state) {
                stage.remove_file(&aside.name).ok();
                return Ok(Back::Same);
            }
            let target = Target {
                stage: &stage,
                parent: &parent,
                name: aside.path.name(),
                found: stands,
                path: &aside.path,
            };
            let is_folder = stands
                .state
                .is_some_and(|state| state.mode == Mode::Directory);
            let free = instead.is_some_and(|instead| same(instead, stands.state)) && !is_folder;
            if free && lying.goes_to(&target, &written) {
                parent.sync().map_err(|error| Error::Unsure(error.into()))?;
                if stands.state.is_none() {
                    return Ok(Back::InPlace(None));
                }
                let place = self.beside(&lying, |number| beside(true, number));
                if place.is_err() {
                    // What was theirs can be fetched again.
                    stage.remove_file(&aside.name).ok();
                }
                return Ok(Back::InPlace(place.ok()));
            }
        }
        match self.beside(&lying, |number| beside(false, number)) {
            Ok(place) => Ok(Back::Beside(place)),
            Err(_) => Err(self.stranded(&stage, &aside.name)),
        }
    }

    /// Puts it under the first of these names that is free.
    fn beside(
        &self,
        lying: &Lying<'_>,
        name: impl Fn(usize) -> Option<RelPath>,
    ) -> Result<RelPath, Error> {
        for number in 0..MOST {
            let Some(path) = name(number) else { break };
            self.hide_copies(&path);
            let (parent, _) = self.parent(&path, true)?;
            match lying.placed(&parent, path.name()) {
                Err(Error::Changed) => (),
                result => return result.map(|()| path),
            }
        }
        Err(Error::Changed)
    }

    /// As at the end.
    #[cfg(test)]
    pub(super) fn over(&self) {
        self.asides.over();
    }

    /// What stands at a path; `None`: it cannot be said.
    pub(super) fn stands(&self, path: &RelPath) -> Option<Option<FileState>> {
        match self.parent(path, false) {
            Ok((parent, _)) => Some(look(&parent, path.name(), None).ok()?.state),
            Err(Error::Changed) => Some(None),
            Err(_) => None,
        }
    }

    /// What an earlier life left in the stage.
    pub(super) fn left(&self) -> Vec<Left> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where it stood nothing stands any more: there it goes. `false`: it stays where it is.
    pub(super) fn return_left(&self, left: &Left, path: &RelPath) -> bool {
        let (Ok(stage), Ok((parent, _))) = (self.root.below(STAGE), self.parent(path, false))
        else {
            return false;
        };
        let lying = Lying {
            stage: &stage,
            name: &left.name,
        };
        lying.placed(&parent, path.name()).is_ok() && parent.sync().is_ok()
    }

    pub(super) fn forget_left(&self, left: &Left) {
        if let Ok(stage) = self.root.below(STAGE) {
            stage.remove_file(&left.name).ok();
        }
    }
}

impl Drop for Disk {
    /// Whoever ends in peace leaves nothing.
    fn drop(&mut self) {
        self.asides.over();
    }
}
