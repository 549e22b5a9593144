//! The bytes of edits made here, taken out of the directory and given to the other side, before anything is said of them.
//!
//! Reads through directory handles that follow no link. Sends only bytes that have the hash they were seen with, and tells
//! only what still stands so: a file that changed meanwhile is left for the next look. Writes nothing into the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::mirror::blobs::Blobs;
use crate::mirror::disk::{Disk, Error, fail};
use crate::mirror::ground::Temporary;
use crate::mirror::hand::{Hand, is_empty_folder};
use crate::mirror::scan::Local;
use crate::mirror::up::Edit;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::{ContentHash, Hasher};
use crate::protocol::path::RelPath;

/// What became of a batch of edits.
#[derive(Debug, Default)]
pub(crate) struct Lifted {
    /// Their bytes are on the other side.
    pub(crate) ready: Vec<Edit>,
    /// Something else stands here by now: look again.
    pub(crate) changed: Vec<Edit>,
    /// They can never be sent as they are, and why.
    pub(crate) failed: Vec<(Edit, String)>,
}

impl Hand {
    /// Uploads what the other side lacks. Takes as long as it takes while that is only out of reach.
    pub(super) async fn lift(
        self: Arc<Self>,
        edits: Vec<Edit>,
        have: BTreeSet<ContentHash>,
    ) -> Lifted {
        let mut lifted = Lifted::default();
        let Some(blobs) = self.blobs.clone() else {
            lifted.changed = edits;
            return lifted;
        };
        let mut wanted: BTreeMap<ContentHash, Vec<Edit>> = BTreeMap::new();
        for edit in edits {
            match edit.now {
                Some(now) if now.mode != Mode::Directory => {
                    wanted.entry(now.hash).or_default().push(edit);
                }
                // A folder that came by itself; one with something in it is told by that.
                Some(_) if !self.is_bare(&edit).await => lifted.changed.push(edit),
                None if !self.still_stands(&edit).await => lifted.changed.push(edit),
                Some(_) | None => lifted.ready.push(edit),
            }
        }
        let hashes: Vec<ContentHash> = wanted.keys().copied().collect();
        // One content that nobody has seen needs no question.
        let ask = hashes.len() > 1 || hashes.iter().any(|hash| have.contains(hash));
        let lacking: BTreeSet<ContentHash> = if ask {
            let asked = self.until_reached(|| blobs.missing(&hashes)).await;
            asked.unwrap_or(hashes).into_iter().collect()
        } else {
            hashes.into_iter().collect()
        };
        for (hash, edits) in wanted {
            let there = match lacking.contains(&hash) {
                true => self.put(&*blobs, &edits).await,
                false => Ok(true),
            };
            match there {
                // Nobody has read all of them for that: whether they still stand here is asked of the disk.
                Ok(true) => {
                    for edit in edits {
                        match self.still_stands(&edit).await {
                            true => lifted.ready.push(edit),
                            false => lifted.changed.push(edit),
                        }
                    }
                }
                Ok(false) => lifted.changed.extend(edits),
                Err(why) => {
                    let failed = edits.into_iter().map(|edit| (edit, why.clone()));
                    lifted.failed.extend(failed);
                }
            }
        }
        lifted
    }

    /// Here stands what the look saw, or what it missed is still missing.
    async fn still_stands(self: &Arc<Self>, edit: &Edit) -> bool {
        let path = edit.path.clone();
        let here = self.blocking(move |hand| hand.look(&path)).await;
        match edit.now {
            Some(now) => here == Local::File(now),
            None => !matches!(here, Local::File(_)),
        }
    }

    /// What else was a file on both sides is a folder all the same.
    async fn is_bare(self: &Arc<Self>, edit: &Edit) -> bool {
        let at = edit.path.below(&self.root);
        edit.base.is_some() || self.blocking(move |_| is_empty_folder(&at)).await
    }

    /// One content that stood at all of these paths; `false`: it stands at none of them any more.
    async fn put(self: &Arc<Self>, blobs: &dyn Blobs, edits: &[Edit]) -> Result<bool, String> {
        for edit in edits {
            let Some(now) = edit.now else { continue };
            let path = edit.path.clone();
            let taken = self.blocking(move |hand| hand.take(&path, now)).await;
            let Some(staged) = taken.map_err(|error| error.to_string())? else {
                continue;
            };
            let sent = self
                .until_reached(|| blobs.put(now.hash, now.size, staged.path()))
                .await;
            return sent.map(|()| true).map_err(|error| error.to_string());
        }
        Ok(false)
    }

    /// A copy of what stands there, if it is what was seen.
    fn take(&self, path: &RelPath, seen: FileState) -> Result<Option<Temporary>, Error> {
        let what = "copy it to be sent";
        let mut into = Temporary::new_in(&self.lift).map_err(fail(what))?;
        let hash = match self.disk.copy_out(path, seen.mode, &mut into) {
            Ok(hash) => hash,
            // It is looked at again.
            Err(Error::Changed | Error::FolderIsFile | Error::BehindLink | Error::Denied(_)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok((hash == seen.hash).then_some(into))
    }
}

impl Disk {
    fn copy_out(
        &self,
        path: &RelPath,
        mode: Mode,
        into: &mut impl Write,
    ) -> Result<ContentHash, Error> {
        let what = "read it";
        let (parent, _) = self.parent(path, false)?;
        let gone = |error| match error {
            rustix::io::Errno::NOENT | rustix::io::Errno::INVAL => Error::Changed,
            error => Error::of(what, error),
        };
        if mode == Mode::Symlink {
            let target = parent.target(path.name()).map_err(gone)?;
            into.write_all(&target).map_err(fail(what))?;
            return Ok(ContentHash::of(&target));
        }
        let mut file = parent.file(path.name()).map_err(gone)?;
        if !file.stat().map_err(fail(what))?.is_file() {
            return Err(Error::Changed);
        }
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = file.read(&mut buffer).map_err(fail(what))?;
            if n == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&buffer[..n]);
            into.write_all(&buffer[..n]).map_err(fail(what))?;
        }
    }
}

/// An empty folder for copies on their way; what a killed process left there goes.
pub(crate) fn folder(run_folder: &std::path::Path) -> std::io::Result<PathBuf> {
    let folder = run_folder.join("up");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir_all(&folder)?,
    }
    Ok(folder)
}
