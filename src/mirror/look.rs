//! What stands at a name, seen through the handle of its folder: its value, and the stamp that tells a later look apart.
//!
//! Follows no link. Writes nothing but the pre-image of what it reads, when asked to keep one. Blocking.

use std::io::Read;
use std::time::Duration;

use rustix::io::Errno;

use crate::mirror::disk::{Error, fail};
use crate::mirror::ground::{self, Folder, Stat};
use crate::mirror::plan::{folder, same};
use crate::mirror::preimage::Preimages;
use crate::mirror::scan::hash_reader;
use crate::protocol::file::{FileState, Mode};

/// What a look saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) state: Option<FileState>,
    stamp: Option<Stamp>,
    pub(super) permissions: u32,
}

/// What no rename changes and every write does, but for a write in the same tick of the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: i128,
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.device,
            inode: stat.inode,
            size: stat.size,
            modified: stat.modified,
        }
    }

    /// So young at this time that a write may have left no trace in the times.
    fn racy(&self, at: Duration) -> bool {
        let seconds = self.modified.div_euclid(1_000_000_000);
        i128::from(at.as_secs()) - seconds < 3
    }
}

/// What stands at a name; its bytes are kept as they are read, so that what was judged is what is kept.
pub(super) fn look(parent: &Folder, name: &str, kept: Option<&Preimages>) -> Result<Found, Error> {
    let what = "look at what stands there";
    let stat = match parent.stat(name) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => {
            return Ok(Found::nothing());
        }
        Err(error) => return Err(Error::of(what, error)),
    };
    let keep = |bytes: &mut dyn Read| match kept {
        Some(kept) => kept.keep(&mut { bytes }),
        None => hash_reader(&mut { bytes }, u64::MAX),
    };
    let found = |state, stat: &Stat| Found {
        state: Some(state),
        stamp: Some(Stamp::of(stat)),
        permissions: stat.mode,
    };
    if stat.is_dir() {
        return Ok(found(folder(), &stat));
    }
    if stat.is_symlink() {
        let target = parent.target(name).map_err(fail(what))?;
        let (hash, size) = keep(&mut target.as_slice()).map_err(fail("keep the pre-image"))?;
        return Ok(found(
            FileState {
                hash,
                size,
                mode: Mode::Symlink,
            },
            &stat,
        ));
    }
    if !stat.is_file() {
        return Err(Error::Changed);
    }
    let mut file = parent.file(name).map_err(fail(what))?;
    let stat = file.stat().map_err(fail(what))?;
    let (hash, size) = keep(&mut file).map_err(fail("keep the pre-image"))?;
    let after = file.stat().map_err(fail(what))?;
    if Stamp::of(&after) != Stamp::of(&stat) {
        return Err(Error::Changed);
    }
    let mode = if stat.mode & 0o100 == 0 {
        Mode::File
    } else {
        Mode::Executable
    };
    Ok(found(FileState { hash, size, mode }, &stat))
}

impl Found {
    pub(super) fn nothing() -> Self {
        Self {
            state: None,
            stamp: None,
            permissions: 0,
        }
    }

    /// Whatever was written into it since.
    pub(super) fn is_same_file(&self, stat: &Stat) -> bool {
        let same = |stamp: Stamp| (stamp.device, stamp.inode) == (stat.device, stat.inode);
        self.stamp.is_some_and(same)
    }
}

/// Whether what now lies at `name` is what was looked at.
pub(super) fn unchanged(folder: &Folder, name: &str, found: &Found) -> Result<bool, Error> {
    still(folder, name, found, ground::now())
}

/// The same of what was looked at at this time, since 1970.
pub(super) fn still(
    folder: &Folder,
    name: &str,
    found: &Found,
    at: Duration,
) -> Result<bool, Error> {
    let stat = folder.stat(name).map_err(fail("look back"))?;
    let stamp = Stamp::of(&stat);
    if Some(stamp) != found.stamp || stat.mode != found.permissions {
        return Ok(false);
    }
    if !stamp.racy(at) {
        return Ok(true);
    }
    match look(folder, name, None) {
        Ok(now) => Ok(same(now.state, found.state)),
        Err(Error::Changed) => Ok(false),
        Err(error) => Err(error),
    }
}
