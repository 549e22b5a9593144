//! What stands at a name, seen through the handle of its folder: its value, and the stamp that tells a later look apart.
//!
//! Follows no link. Writes nothing but the pre-image of what it reads, when asked to keep one. Blocking.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode as Permissions, OFlags, Stat};
use rustix::io::Errno;

use crate::mirror::disk::{Error, fail};
use crate::mirror::plan::{folder, same};
use crate::mirror::preimage::Preimages;
use crate::mirror::scan::hash_reader;
use crate::protocol::file::{FileState, Mode};

pub(super) const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// What a look saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) state: Option<FileState>,
    stamp: Option<Stamp>,
    pub(super) permissions: u32,
}

/// What no rename changes and every write does, but for a write in the same tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    seconds: i64,
    nanos: u64,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            seconds: stat.st_mtime,
            nanos: stat.st_mtime_nsec,
        }
    }

    /// So young that a write may have left no trace in the times.
    fn racy(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(true, |now| now.as_secs().cast_signed() - self.seconds < 3)
    }
}

/// What stands at a name; its bytes are kept as they are read, so that what was judged is what is kept.
pub(super) fn look(parent: &OwnedFd, name: &str, kept: Option<&Preimages>) -> Result<Found, Error> {
    let what = "look at what stands there";
    let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => {
            return Ok(Found {
                state: None,
                stamp: None,
                permissions: 0,
            });
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
        permissions: stat.st_mode,
    };
    let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
    if kind.is_dir() {
        return Ok(found(folder(), &stat));
    }
    if kind.is_symlink() {
        let target = rustix::fs::readlinkat(parent, name, Vec::new()).map_err(fail(what))?;
        let (hash, size) = keep(&mut target.as_bytes()).map_err(fail("keep the pre-image"))?;
        return Ok(found(
            FileState {
                hash,
                size,
                mode: Mode::Symlink,
            },
            &stat,
        ));
    }
    if !kind.is_file() {
        return Err(Error::Changed);
    }
    let mut file: File = rustix::fs::openat(parent, name, READ, Permissions::empty())
        .map_err(fail(what))?
        .into();
    let stat = rustix::fs::fstat(&file).map_err(fail(what))?;
    let (hash, size) = keep(&mut file).map_err(fail("keep the pre-image"))?;
    let after = rustix::fs::fstat(&file).map_err(fail(what))?;
    if Stamp::of(&after) != Stamp::of(&stat) {
        return Err(Error::Changed);
    }
    let mode = if stat.st_mode & 0o100 == 0 {
        Mode::File
    } else {
        Mode::Executable
    };
    Ok(found(FileState { hash, size, mode }, &stat))
}

/// Whether what now lies at `name` is what was looked at.
pub(super) fn unchanged(folder: &OwnedFd, name: &str, found: &Found) -> Result<bool, Error> {
    let stat =
        rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail("look back"))?;
    let stamp = Stamp::of(&stat);
    if Some(stamp) != found.stamp || stat.st_mode != found.permissions {
        return Ok(false);
    }
    if !stamp.racy() {
        return Ok(true);
    }
    match look(folder, name, None) {
        Ok(now) => Ok(same(now.state, found.state)),
        Err(Error::Changed) => Ok(false),
        Err(error) => Err(error),
    }
}
