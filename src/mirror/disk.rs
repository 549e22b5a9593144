//! The hand that writes user files, and the only one: stage, verify, look again, keep the pre-image, swap, look back.
//!
//! Works through directory handles that follow no link and cannot leave the root. Refuses to write bytes whose hash is
//! not the announced one, and to replace or remove anything but exactly what it was told to expect. Blocking.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use crate::mirror::aside::{Asides, Left};
use crate::mirror::exclude;
use crate::mirror::ground::{self, Folder, Handle};
use crate::mirror::guard::RootId;
use crate::mirror::link::{self, BadLink};
use crate::mirror::look::{Found, Stamp, look};
use crate::mirror::plan::same;
use crate::mirror::preimage::Preimages;
use crate::mirror::scan::hash_reader;
use crate::plant::planted;
use crate::protocol::file::{FileState, Mode};
#[cfg(test)]
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

pub(super) const OURS: &str = ".ashore";
pub(super) const STAGE: &str = ".ashore/stage";
const GITIGNORE: &str = ".gitignore";
/// What it says there: git sees nothing of the folder.
const EVERYTHING: &[u8] = b"*\n";
/// How a name in the stage begins that a swap uses.
pub(super) const SWAP: &str = "swap-";
/// A link longer than this no system resolves.
const LONGEST_LINK: u64 = 4096;

/// Why a file was not written, as a sentence about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Decide again: it is not what was decided upon.
    #[error("it changed here in this very moment")]
    Changed,
    #[error("the folder that stands there is not empty")]
    FolderNotEmpty,
    #[error("a file stands where its folder would be")]
    FolderIsFile,
    #[error("its folder is a symlink, and those are never followed")]
    BehindLink,
    #[error("the bytes that came are not those announced: nothing was written")]
    WrongHash,
    #[error("refused: {0}")]
    Link(BadLink),
    #[error("the disk is full: free some space")]
    Full,
    #[error("the file system is read-only: make it writable")]
    ReadOnly,
    #[error("no permission to {0}")]
    Denied(String),
    #[error("your version could not be moved back and lies in {0}: move it back by hand")]
    Stranded(PathBuf),
    #[error("nothing was changed, for what stood there cannot be looked at once more: {0}")]
    LookBack(Box<Self>),
    /// It may have been done.
    #[error("the disk does not say whether it has it ({0}): look after the disk")]
    Unsure(io::Error),
    #[error("cannot {what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(super) fn of(what: &str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full,
            Some(Errno::ROFS) => Self::ReadOnly,
            Some(Errno::ACCESS | Errno::PERM) => Self::Denied(what.to_owned()),
            Some(Errno::LOOP | Errno::XDEV) => Self::BehindLink,
            Some(Errno::NOTDIR) => Self::FolderIsFile,
            Some(_) | None => Self::Io {
                what: what.to_owned(),
                source,
            },
        }
    }

    /// What was to be done stands there, or may.
    pub(super) fn may_be_done(&self) -> bool {
        matches!(self, Self::Unsure(_) | Self::Stranded(_))
    }
}

pub(super) fn fail<E: Into<io::Error>>(what: &str) -> impl Fn(E) -> Error + '_ {
    move |source| Error::of(what, source)
}

/// The repositories whose git does not see our copies, and what is to be said where one does.
#[derive(Debug, Default)]
struct Hidden {
    tried: BTreeSet<PathBuf>,
    seen: Vec<exclude::Error>,
}

/// An open root.
pub(crate) struct Disk {
    pub(super) root: Folder,
    pub(super) path: PathBuf,
    /// What was swapped out and may be written to yet; a look at the end.
    pub(super) asides: Arc<Asides>,
    pub(super) left: Mutex<Vec<Left>>,
    hidden: Mutex<Hidden>,
    /// What happens between the last look and the swap, in tests.
    #[cfg(test)]
    pub(crate) between: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

/// A name in the stage, free to be written to. What is ours there is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(super) stage: Arc<Folder>,
    pub(super) name: String,
    /// Where the content is to be written, for those who open by path (with `blobs::landing`). Where the system can say
    /// so it leads through the handle of the stage, so that a link somebody puts in its way is never followed. Good for
    /// as long as this lives.
    pub(crate) path: PathBuf,
    /// What we put there, as it was last seen.
    pub(super) stamp: Stamp,
    /// Nothing of anybody else's lies there.
    pub(super) is_ours: bool,
}

impl Staged {
    /// What was written to it is all that will be.
    pub(super) fn stamped(&mut self, file: &Handle) -> Result<(), Error> {
        let stat = file.stat().map_err(fail("look at the stage"))?;
        self.stamp = Stamp::of(&stat);
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already in the ordinary case; what is left over is cleared at the next start.
        if self.is_ours {
            self.stage.remove_file(&self.name).ok();
        }
    }
}

/// What lies ready to be put at a path.
#[derive(Debug)]
pub(super) enum Ready {
    Staged(Staged),
    Folder,
    /// To be taken away; the stage takes it.
    Nothing(Staged),
}

/// Verified, the pre-image kept, one rename away.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) stage: Arc<Folder>,
    pub(super) parent: Folder,
    pub(super) name: String,
    pub(super) path: RelPath,
    pub(super) ready: Ready,
    pub(super) found: Found,
    /// What stood there: its bytes are among the pre-images now.
    pub(crate) before: Option<FileState>,
    /// Folders made on the way, from the top down.
    pub(crate) created: Vec<RelPath>,
}

impl Disk {
    /// Opens the root and clears the stage. What a swap left there in an earlier life goes to the pre-images first, and
    /// stays for whoever can say what it is.
    pub(crate) fn open(root: &Path, kept: &Preimages) -> Result<Self, Error> {
        let path = root.to_owned();
        let root = Folder::open(root).map_err(fail(&format!("open {}", root.display())))?;
        let disk = Self {
            asides: Asides::of(&root)?,
            root,
            path,
            left: Mutex::default(),
            hidden: Mutex::default(),
            #[cfg(test)]
            between: Mutex::default(),
        };
        match disk.root.below(STAGE) {
            Ok(stage) => match disk.clear(&stage, kept) {
                // An unwritable root can still be looked at; each write will say what is wrong.
                Ok(()) | Err(Error::ReadOnly | Error::Denied(_)) => disk.tidy(),
                Err(error) => return Err(error),
            },
            Err(Errno::NOENT) => disk.tidy(),
            Err(error) => return Err(Error::of("open .ashore/stage", error)),
        }
        Ok(disk)
    }

    fn clear(&self, stage: &Folder, kept: &Preimages) -> Result<(), Error> {
        let what = "clear the stage";
        let names = stage.names().map_err(fail(what))?;
        let mut left = Vec::new();
        for name in names.into_iter().filter_map(|name| name.into_string().ok()) {
            if let Some(swapped) = name.strip_prefix(SWAP) {
                let found = match look(stage, &name, Some(kept)) {
                    Ok(found) => Some(found),
                    Err(Error::Changed) => None,
                    Err(error) => return Err(error),
                };
                if swapped.contains('-') {
                    left.push(Left { name, found });
                    continue;
                }
            }
            stage.remove_file(&name).map_err(fail(what))?;
        }
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = left;
        Ok(())
    }

    /// Takes the stage away while nothing lies in it, and `.ashore` with it when nothing else lies there: between two
    /// writes nothing of ours stands in the directory. What cannot be removed stays, and is in nobody's way.
    pub(crate) fn tidy(&self) {
        tidy(&self.root);
    }

    /// Before a copy comes to stand beside this: git is told, once in each repository, that copies are none of its own.
    pub(super) fn hide_copies(&self, path: &RelPath) {
        let folder = path.parent();
        let folder = folder.map_or_else(|| self.path.clone(), |folder| folder.below(&self.path));
        if !matches!(self.root, Folder::System(_)) {
            return;
        }
        let Some(file) = exclude::file_of(&folder) else {
            return;
        };
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        if hidden.tried.insert(file.clone())
            && let Err(error) = exclude::hide(&file)
        {
            hidden.seen.push(error);
        }
    }

    /// The exclude files that could not be written since this was last asked.
    pub(super) fn take_seen(&self) -> Vec<exclude::Error> {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut hidden.seen)
    }

    pub(crate) fn id(&self) -> Result<RootId, Error> {
        self.root.id().map_err(fail("look at the directory"))
    }

    /// A fresh name in the stage, with an empty file under it.
    pub(crate) fn staged(&self) -> Result<Staged, Error> {
        let stage = self.stage()?;
        let name = ground::fresh().simple().to_string();
        let what = "make a file in the stage";
        let file = stage.new_file(&name, 0o666).map_err(fail(what))?;
        let stamp = Stamp::of(&file.stat().map_err(fail(what))?);
        let path = stage
            .path_in(&name)
            .unwrap_or_else(|| self.path.join(STAGE).join(&name));
        Ok(Staged {
            stage: Arc::new(stage),
            name,
            path,
            stamp,
            is_ours: true,
        })
    }

    /// Everything short of the swap, for the content that was written to `staged`. `expect` is what stands there as far
    /// as we know (`None`: nothing).
    pub(crate) fn prepare(
        &self,
        path: &RelPath,
        want: FileState,
        staged: Staged,
        expect: Option<FileState>,
        kept: &Preimages,
    ) -> Result<Prepared, Error> {
        let stage = self.stage()?;
        let content = verify(&stage, &staged.name, want)?;
        let mut prepared = self.prepared(path, expect, kept, Ready::Staged(staged), true)?;
        let Ready::Staged(staged) = &mut prepared.ready else {
            return Ok(prepared);
        };
        if want.mode == Mode::Symlink {
            make_link(&prepared.stage, staged, path, content)?;
        } else {
            // Before the bits: a change of the owner takes some of them away.
            if prepared.before.is_some() {
                prepared.parent.carry_over(&prepared.name, &content);
            }
            settle_permissions(&content, want.mode, &prepared.found)?;
            let what = "write it to the disk";
            content.sync().map_err(fail(what))?;
            staged.stamp = Stamp::of(&content.stat().map_err(fail(what))?);
        }
        Ok(prepared)
    }

    /// Everything short of taking away what stands there.
    pub(crate) fn prepare_removal(
        &self,
        path: &RelPath,
        expect: FileState,
        kept: &Preimages,
    ) -> Result<Prepared, Error> {
        let staged = self.staged()?;
        self.prepared(path, Some(expect), kept, Ready::Nothing(staged), false)
    }

    /// Everything short of making a folder there.
    pub(crate) fn prepare_folder(
        &self,
        path: &RelPath,
        expect: Option<FileState>,
        kept: &Preimages,
    ) -> Result<Prepared, Error> {
        self.prepared(path, expect, kept, Ready::Folder, true)
    }

    fn prepared(
        &self,
        path: &RelPath,
        expect: Option<FileState>,
        kept: &Preimages,
        ready: Ready,
        make_parents: bool,
    ) -> Result<Prepared, Error> {
        let (parent, created) = self.parent(path, make_parents)?;
        let kept = (!planted!(PreImageSkipped)).then_some(kept);
        let found = look(&parent, path.name(), kept)?;
        if !same(found.state, expect) && !planted!(SecondLookSkipped) {
            return Err(Error::Changed);
        }
        Ok(Prepared {
            stage: Arc::new(self.stage()?),
            parent,
            name: path.name().to_owned(),
            path: path.clone(),
            ready,
            found,
            before: found.state,
            created,
        })
    }

    /// Removes the folder a path stood in, and those above, while they are empty and ours. Says which went.
    pub(crate) fn remove_empty(
        &self,
        path: &RelPath,
        ours: impl Fn(&RelPath) -> bool,
    ) -> Vec<RelPath> {
        let mut gone = Vec::new();
        let mut at = path.parent();
        while let Some(folder) = at.filter(&ours) {
            let removed = self
                .parent(&folder, false)
                .is_ok_and(|(above, _)| remove_folder(&above, folder.name()).is_ok());
            if !removed {
                break;
            }
            at = folder.parent();
            gone.push(folder);
        }
        gone
    }

    /// As `staged`, in a stage that is open, with the file; it has no path and no stamp.
    pub(super) fn staged_in(&self, stage: &Arc<Folder>) -> Result<(Staged, Handle), Error> {
        let name = ground::fresh().simple().to_string();
        let what = "make a file in the stage";
        let file = stage.new_file(&name, 0o666).map_err(fail(what))?;
        let staged = Staged {
            stage: Arc::clone(stage),
            path: PathBuf::new(),
            name,
            stamp: Stamp::default(),
            is_ours: true,
        };
        Ok((staged, file))
    }

    pub(super) fn stage(&self) -> Result<Folder, Error> {
        match self.root.below(STAGE) {
            Ok(stage) => return Ok(stage),
            Err(Errno::NOENT) => (),
            Err(error) => return Err(Error::of("open .ashore/stage", error)),
        }
        let private = 0o700;
        let what = "make .ashore/stage";
        let ours = self.root.step(OURS, private).map_err(fail(what))?.0;
        // Torn by a kill, or another hand is just writing it: whoever comes first makes a new one.
        if gitignore(&ours) == Gitignore::Torn {
            match ours.remove_file(GITIGNORE) {
                Ok(()) | Err(Errno::NOENT) => (),
                Err(error) => return Err(Error::of(what, error)),
            }
        }
        match ours.new_file(GITIGNORE, 0o644) {
            Ok(mut file) => file.write_all(EVERYTHING).map_err(fail(what))?,
            Err(Errno::EXIST) => (),
            Err(error) => return Err(Error::of(what, error)),
        }
        Ok(ours.step("stage", private).map_err(fail(what))?.0)
    }

    /// The folder a path stands in; with `make`, made where it is missing.
    /// What stands there survives the power, with the names that lead to it.
    pub(crate) fn sync(&self, path: &RelPath) -> Result<(), Error> {
        let what = "write it to the disk";
        let (parent, _) = match self.parent(path, false) {
            // Nothing stands there.
            Err(Error::Changed) => return Ok(()),
            result => result?,
        };
        // A folder, a link, or nothing: its name is all there is of it.
        if let Ok(file) = parent.file(path.name()) {
            file.sync().map_err(fail(what))?;
        }
        let above = std::iter::successors(path.parent(), RelPath::parent);
        for folder in above {
            let folder = self.root.below(folder.as_str());
            folder
                .and_then(|folder| folder.sync())
                .map_err(fail(what))?;
        }
        self.root.sync().map_err(fail(what))
    }

    /// Nothing stands there, and the disk says so: an error is no proof of it.
    pub(super) fn is_gone(&self, path: &RelPath) -> bool {
        match self.parent(path, false) {
            Ok((parent, _)) => matches!(parent.stat(path.name()), Err(Errno::NOENT)),
            Err(error) => matches!(error, Error::Changed),
        }
    }

    pub(super) fn parent(
        &self,
        path: &RelPath,
        make: bool,
    ) -> Result<(Folder, Vec<RelPath>), Error> {
        let what = format!("open the folder of {path}");
        let Some(folder) = path.parent() else {
            let root = self.root.try_clone().map_err(fail(&what))?;
            return Ok((root, Vec::new()));
        };
        match self.root.below(folder.as_str()) {
            Ok(handle) => return Ok((handle, Vec::new())),
            Err(Errno::NOENT) if make => (),
            Err(Errno::NOENT) => return Err(Error::Changed),
            Err(error) => return Err(Error::of(&what, error)),
        }
        let mut handle = self.root.try_clone().map_err(fail(&what))?;
        let (mut created, mut so_far) = (Vec::new(), String::new());
        for part in folder.parts() {
            so_far = if so_far.is_empty() {
                part.to_owned()
            } else {
                format!("{so_far}/{part}")
            };
            let (below, made) = handle.step(part, 0o777).map_err(fail(&what))?;
            handle = below;
            if made {
                created.extend(so_far.parse::<RelPath>().ok());
            }
        }
        Ok((handle, created))
    }
}

/// As [`Disk::tidy`].
pub(super) fn tidy(root: &Folder) {
    let Ok(ours) = root.below(OURS) else {
        return;
    };
    if !matches!(ours.remove_folder("stage"), Ok(()) | Err(Errno::NOENT)) {
        return;
    }
    let Ok(names) = ours.names() else {
        return;
    };
    let alone = names.iter().all(|name| name == GITIGNORE);
    let gitignore = gitignore(&ours);
    if alone && gitignore != Gitignore::Theirs {
        let removed = match gitignore {
            // A kill between the two leaves the folder alone.
            Gitignore::None => Ok(()),
            _ => ours.remove_file(GITIGNORE),
        };
        if let Err(error) = removed.and_then(|()| root.remove_folder(OURS)) {
            tracing::debug!(%error, "our folder stays");
        }
    }
}

/// Whose it is. A user's own stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gitignore {
    None,
    Ours,
    /// Ours, cut short by a kill.
    Torn,
    Theirs,
}

fn gitignore(ours: &Folder) -> Gitignore {
    let mut text = Vec::new();
    let read = match ours.file(GITIGNORE) {
        Ok(file) => file.take(16).read_to_end(&mut text),
        Err(Errno::NOENT) => return Gitignore::None,
        Err(_) => return Gitignore::Theirs,
    };
    match read {
        Ok(_) if text == EVERYTHING => Gitignore::Ours,
        Ok(_) if EVERYTHING.starts_with(&text) => Gitignore::Torn,
        Ok(_) | Err(_) => Gitignore::Theirs,
    }
}

/// The staged content, when it is what was announced.
fn verify(stage: &Folder, name: &str, want: FileState) -> Result<Handle, Error> {
    let what = "read the stage";
    let mut file = stage.file(name).map_err(fail(what))?;
    if !file.stat().map_err(fail(what))?.is_file() {
        return Err(Error::WrongHash);
    }
    let (hash, _) = hash_reader(&mut file, u64::MAX).map_err(fail(what))?;
    if hash == want.hash {
        Ok(file)
    } else {
        Err(Error::WrongHash)
    }
}

/// A link in the stage instead of the file that holds its target.
fn make_link(
    stage: &Folder,
    staged: &mut Staged,
    path: &RelPath,
    mut content: Handle,
) -> Result<(), Error> {
    let what = "make a link in the stage";
    content.rewind().map_err(fail(what))?;
    let mut target = String::new();
    if content
        .take(LONGEST_LINK)
        .read_to_string(&mut target)
        .is_err()
        || target.contains('\0')
    {
        return Err(Error::Link(BadLink::Escapes));
    }
    link::check(path, &target).map_err(Error::Link)?;
    stage.remove_file(&staged.name).map_err(fail(what))?;
    stage.make_link(&staged.name, &target).map_err(fail(what))?;
    staged.stamp = Stamp::of(&stage.stat(&staged.name).map_err(fail(what))?);
    Ok(())
}

/// The permissions of what stood there, or of a new file; of theirs only the exec bit counts. Who would run as somebody else
/// by it does so no more, as after any write; the other special bits stay.
pub(super) fn settle_permissions(file: &Handle, mode: Mode, found: &Found) -> Result<(), Error> {
    let what = "set its permissions";
    let stood =
        matches!(found.state, Some(state) if matches!(state.mode, Mode::File | Mode::Executable));
    let plain = if stood {
        found.permissions & 0o777
    } else {
        file.stat().map_err(fail(what))?.mode & 0o666
    };
    let bits = match mode {
        Mode::Executable => plain | ((plain & 0o444) >> 2),
        Mode::File | Mode::Symlink | Mode::Directory => plain & !0o111,
    };
    let mut special = if stood { found.permissions & 0o3000 } else { 0 };
    if bits & 0o010 != 0 {
        special &= !0o2000;
    }
    if special != 0 && file.set_permissions(bits | special).is_ok() {
        return Ok(());
    }
    file.set_permissions(bits).map_err(fail(what))
}

pub(super) fn remove_folder(parent: &Folder, name: &str) -> Result<(), Error> {
    match parent.remove_folder(name) {
        Ok(()) => Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Err(Error::FolderNotEmpty),
        Err(Errno::NOENT | Errno::NOTDIR) => Err(Error::Changed),
        Err(error) => Err(Error::of("remove the folder", error)),
    }
}

/// What a directory is called by the file system, if it stands.
pub(crate) fn id_of(path: &Path) -> Option<RootId> {
    ground::id_of(path)
}

/// The value of these bytes as a file.
#[cfg(test)]
pub(crate) fn state_of(bytes: &[u8], mode: Mode) -> FileState {
    FileState {
        hash: ContentHash::of(bytes),
        size: bytes.len() as u64,
        mode,
    }
}
