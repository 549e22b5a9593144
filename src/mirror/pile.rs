//! Contents that lie in the stage together, wait for the disk together, and take their places one after the other.
//!
//! Each is put where exactly that stands which was looked at, through handles that follow no link, as `disk` and `swap` do
//! it for one. Nothing takes its place before the disk has its bytes; that it has the names as well is asked for at the
//! end. Blocking.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use rustix::io::Errno;

use crate::mirror::disk::{Disk, Error, Prepared, Ready, Staged, fail, settle_permissions};
use crate::mirror::ground::Folder;
use crate::mirror::look::{Found, look};
use crate::mirror::plan::same;
use crate::mirror::preimage::Preimages;
use crate::plant::planted;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// Up to so many are synced each by itself; for more the whole file system is, at once.
const FEW: usize = 8;

/// The stage, for as many as were said.
pub(super) struct Pile {
    stage: Arc<Folder>,
    is_few: bool,
}

/// A content in the stage, ready to take its place.
pub(super) struct Laid {
    staged: Staged,
    found: Found,
}

impl Laid {
    /// What stood there: its bytes are among the pre-images now.
    pub(super) fn before(&self) -> Option<FileState> {
        self.found.state
    }
}

/// The folders whose names have changed, as long as they are few; `None` is the root.
#[derive(Default)]
pub(super) struct Changed {
    folders: BTreeMap<Option<RelPath>, Folder>,
    many: bool,
}

impl Changed {
    fn put(&mut self, path: Option<RelPath>, folder: Folder) {
        self.folders.insert(path, folder);
        if self.folders.len() > FEW {
            self.many = true;
            self.folders.clear();
        }
    }
}

impl Disk {
    pub(super) fn pile(&self, count: usize) -> Result<Pile, Error> {
        Ok(Pile {
            stage: Arc::new(self.stage()?),
            is_few: count <= FEW,
        })
    }

    /// Lays a content into the stage for a file where `expect` stands (`None`: nothing), of which a pre-image is kept.
    pub(super) fn lay(
        &self,
        pile: &Pile,
        path: &RelPath,
        (want, bytes): (FileState, &[u8]),
        expect: Option<FileState>,
        kept: &Preimages,
    ) -> Result<Laid, Error> {
        if ContentHash::of(bytes) != want.hash || bytes.len() as u64 != want.size {
            return Err(Error::WrongHash);
        }
        let (mut staged, mut content) = self.staged_in(&pile.stage)?;
        let what = "write it to the disk";
        content.write_all(bytes).map_err(fail(what))?;
        let found = match expect {
            None => Found::nothing(),
            Some(_) => {
                let (parent, _) = self.parent(path, false)?;
                let kept = (!planted!(PreImageSkipped)).then_some(kept);
                let found = look(&parent, path.name(), kept)?;
                if !same(found.state, expect) && !planted!(SecondLookSkipped) {
                    return Err(Error::Changed);
                }
                // Before the bits: a change of the owner takes some of them away.
                parent.carry_over(path.name(), &content);
                found
            }
        };
        // A new plain file has the permissions of one already.
        if found.state.is_some() || want.mode != Mode::File {
            settle_permissions(&content, want.mode, &found)?;
        }
        if pile.is_few && !planted!(RenamedBeforeSync) {
            content.sync().map_err(fail(what))?;
        }
        staged.stamped(&content)?;
        Ok(Laid { staged, found })
    }

    /// The disk has the bytes of all that lies there.
    pub(super) fn sync_pile(&self, pile: &Pile) -> Result<(), Error> {
        if pile.is_few || planted!(RenamedBeforeSync) {
            return Ok(());
        }
        let what = "write it to the disk";
        pile.stage.sync_all().map_err(fail(what))
    }

    /// Puts one in its place, as `commit` does, but for the sync of its name. The folders that were made on the way.
    pub(super) fn put_laid(
        &self,
        pile: &Pile,
        path: &RelPath,
        laid: Laid,
        changed: &mut Changed,
    ) -> Result<Vec<RelPath>, Error> {
        let Laid { staged, found } = laid;
        let (parent, created) = match found.state {
            Some(_) => self.parent(path, false)?,
            None => self.parent_in(path, changed)?,
        };
        // Where nothing stood nothing may stand now; what stood there is looked back at.
        if found.state.is_none() && look(&parent, path.name(), None)?.state.is_some() {
            return Err(Error::Changed);
        }
        let before = found.state;
        let prepared = Prepared {
            stage: Arc::clone(&pile.stage),
            parent,
            name: path.name().to_owned(),
            path: path.clone(),
            ready: Ready::Staged(staged),
            found,
            before,
            created: Vec::new(),
        };
        let parent = self.swap_in(prepared)?;
        changed.put(path.parent(), parent);
        Ok(created)
    }

    /// As `parent`; a folder that is made waits for the sync at the end.
    fn parent_in(
        &self,
        path: &RelPath,
        changed: &mut Changed,
    ) -> Result<(Folder, Vec<RelPath>), Error> {
        match self.parent(path, false) {
            Err(Error::Changed) => (),
            found => return found,
        }
        let what = format!("make the folder of {path}");
        let mut above: Vec<RelPath> =
            std::iter::successors(path.parent(), RelPath::parent).collect();
        above.reverse();
        let mut at = self.root.try_clone().map_err(fail(&what))?;
        let mut created = Vec::new();
        for folder in above {
            let below = match at.below(folder.name()) {
                Err(Errno::NOENT) => {
                    match at.make_folder(folder.name(), 0o777) {
                        Ok(()) => created.push(folder.clone()),
                        Err(Errno::EXIST) => (),
                        Err(error) => return Err(Error::of(&what, error)),
                    }
                    at.below(folder.name()).map_err(fail(&what))?
                }
                below => below.map_err(fail(&what))?,
            };
            if created.last() == Some(&folder) {
                changed.put(folder.parent(), at);
            }
            at = below;
        }
        Ok((at, created))
    }

    /// The disk has the names of all that took its place.
    pub(super) fn sync_names(&self, changed: &Changed) -> Result<(), Error> {
        let unsure = |error: Errno| Error::Unsure(error.into());
        if changed.many {
            return self.root.sync_all().map_err(unsure);
        }
        // From below upwards: a name is of use only where its folder is.
        let mut folders = changed.folders.values().rev();
        folders.try_for_each(Folder::sync).map_err(unsure)
    }
}
