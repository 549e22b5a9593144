//! Directory handles below a root: opened so that no link is followed and nothing above the root is reached.
//!
//! One `openat2` where the kernel has it, part by part where not. Never opens a file. What a file has besides its bytes is
//! carried over here.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode as Permissions, OFlags, ResolveFlags};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

pub(super) const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens a folder below `from` with no link on the way, in one call where the kernel can.
pub(super) fn open_below(from: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(from, path, FOLDER, Permissions::empty(), resolve) {
        // The kernel calls a link at the end "no directory": going part by part tells the two apart.
        Err(Errno::NOSYS | Errno::PERM | Errno::NOTDIR) => open_stepwise(from, path),
        result => result,
    }
}

/// The same for kernels (and sandboxes) without `openat2`: part by part.
fn open_stepwise(from: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let mut handle = from.try_clone().map_err(|_| Errno::MFILE)?;
    for part in path.split('/') {
        handle = open_part(&handle, part)?;
    }
    Ok(handle)
}

fn open_part(from: &OwnedFd, part: &str) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat(from, part, FOLDER, Permissions::empty()) {
        // `O_DIRECTORY | O_NOFOLLOW` says "no directory" of a link, too.
        Err(Errno::NOTDIR) if is_link(from, part) => Err(Errno::LOOP),
        result => result,
    }
}

fn is_link(from: &OwnedFd, name: &str) -> bool {
    rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
}

/// A path to a name in this very folder, whatever is put in the place where the folder was found; `None` where the
/// system has no such paths. Good for as long as the handle is open.
pub(super) fn path_in(folder: &OwnedFd, name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    folder.is_dir().then(|| folder.join(name))
}

/// Opens one folder, making it when it is missing; says whether it was made.
pub(super) fn step(
    from: &OwnedFd,
    part: &str,
    permissions: Permissions,
) -> Result<(OwnedFd, bool), Errno> {
    match open_part(from, part) {
        Err(Errno::NOENT) => (),
        result => return result.map(|handle| (handle, false)),
    }
    let made = match rustix::fs::mkdirat(from, part, permissions) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error),
    };
    let handle = open_part(from, part)?;
    if made {
        rustix::fs::fsync(from)?;
    }
    Ok((handle, made))
}

/// Gives a file that is to take the place of another what the other has besides its bytes and its bits: the owner and the
/// group, as far as this process may give them, its access list, and the attributes that users attach (`user.*`). Not
/// carried over are what the system attaches for itself (labels, capabilities), times, and other names of the same file.
pub(super) fn carry_over(old: &File, new: &File) {
    let (Ok(from), Ok(to)) = (rustix::fs::fstat(old), rustix::fs::fstat(new)) else {
        return;
    };
    if !rustix::fs::FileType::from_raw_mode(from.st_mode).is_file() {
        return;
    }
    if from.st_gid != to.st_gid {
        rustix::fs::fchown(new, None, Some(Gid::from_raw(from.st_gid))).ok();
    }
    if from.st_uid != to.st_uid {
        rustix::fs::fchown(new, Some(Uid::from_raw(from.st_uid)), None).ok();
    }
    #[cfg(target_os = "linux")]
    carry_over_attributes(old, new);
}

#[cfg(target_os = "linux")]
fn carry_over_attributes(old: &File, new: &File) {
    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};

    /// No list and no value is longer.
    const LONGEST: usize = 1 << 16;
    let mut names = vec![0_u8; LONGEST];
    let Ok(length) = flistxattr(old, &mut names[..]) else {
        return;
    };
    for name in names[..length].split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        if !name.starts_with("user.") && name != "system.posix_acl_access" {
            continue;
        }
        let mut value = vec![0_u8; LONGEST];
        if let Ok(length) = fgetxattr(old, name, &mut value[..]) {
            fsetxattr(new, name, &value[..length], XattrFlags::empty()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_ways_of_opening_refuse_a_link_on_the_way_and_name_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        symlink("a", dir.path().join("l")).unwrap();
        symlink("/", dir.path().join("a/out")).unwrap();
        std::fs::File::create(dir.path().join("f")).unwrap();
        let root = rustix::fs::open(dir.path(), FOLDER, Permissions::empty()).unwrap();
        for (path, want) in [
            ("a/b", Ok(())),
            ("l/b", Err(Errno::LOOP)),
            ("l", Err(Errno::LOOP)),
            ("a/out/etc", Err(Errno::LOOP)),
            ("f/x", Err(Errno::NOTDIR)),
            ("none", Err(Errno::NOENT)),
        ] {
            assert_eq!(open_below(&root, path).map(drop), want, "openat2 {path}");
            assert_eq!(
                open_stepwise(&root, path).map(drop),
                want,
                "stepwise {path}"
            );
        }
    }
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    fn the_path_through_a_handle_leads_to_the_folder_though_a_link_stands_there_by_now() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["stage", "outside"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let at = dir.path().join("stage");
        let open = rustix::fs::open(&at, FOLDER, Permissions::empty()).unwrap();
        let path = path_in(&open, "a").expect("Linux has one");
        std::fs::rename(&at, dir.path().join("moved")).unwrap();
        symlink("outside", &at).unwrap();
        std::fs::write(path, "new").unwrap();
        assert!(dir.path().join("moved/a").exists());
        assert!(!dir.path().join("outside/a").exists());
    }
}
