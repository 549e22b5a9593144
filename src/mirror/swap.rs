//! The swap: what is ready takes the place of what stands there, and what was swapped out is looked at once more.
//!
//! What was swapped out is removed only when it is known to be what was looked at. An error leaves everything as it
//! stood, or says where it left what; where a call does not say whether it was done, the stage is asked. Blocking.

use rustix::io::Errno;

use crate::mirror::aside::tag;
use crate::mirror::disk::{
    Disk, Error, OURS, Prepared, Ready, STAGE, SWAP, Staged, fail, remove_folder,
};
use crate::mirror::ground::Folder;
use crate::mirror::look::{Found, Stamp, unchanged};
use crate::protocol::file::Mode;
use crate::protocol::path::RelPath;

/// The name that is written to, and what was found there.
pub(super) struct Target<'p> {
    pub(super) stage: &'p Folder,
    pub(super) parent: &'p Folder,
    pub(super) name: &'p str,
    pub(super) found: &'p Found,
    pub(super) path: &'p RelPath,
}

/// A name of the stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lying<'l> {
    pub(super) stage: &'l Folder,
    pub(super) name: &'l str,
}

/// What lies under a name of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// What we put there.
    Ours,
    Nothing,
    /// Something else: a swap was done.
    Other,
    Unknown,
}

impl Staged {
    /// From here on a file of the user may lie under this name: a start that finds it keeps it.
    fn becomes_swap(&mut self, path: &RelPath) -> Result<(), Error> {
        let name = format!("{SWAP}{}-{}", self.name, tag(path));
        let renamed = self.stage.rename(&self.name, &self.stage, &name);
        if renamed.is_err() {
            // It may have been done all the same.
            self.stage.remove_file(&name).ok();
        }
        renamed.map_err(fail("use the stage"))?;
        self.name = name;
        Ok(())
    }

    fn lying(&self) -> Lying<'_> {
        Lying {
            stage: &self.stage,
            name: &self.name,
        }
    }

    fn lies(&self) -> Lies {
        match self.stage.stat(&self.name) {
            Ok(stat) if Stamp::of(&stat) == self.stamp => Lies::Ours,
            Ok(_) => Lies::Other,
            Err(Errno::NOENT) => Lies::Nothing,
            Err(_) => Lies::Unknown,
        }
    }
}

impl Disk {
    /// The swap, and a look back. What was swapped out lies aside for a while, for who holds it open. `Changed` means that
    /// everything stands as before.
    pub(crate) fn commit(&self, prepared: Prepared) -> Result<(), Error> {
        let parent = self.swap_in(prepared)?;
        parent.sync().map_err(|error| Error::Unsure(error.into()))
    }

    /// The same but for the sync of the name: the folder that has it.
    pub(super) fn swap_in(&self, mut prepared: Prepared) -> Result<Folder, Error> {
        let stands = prepared.found.state.is_some();
        if let Ready::Staged(staged) | Ready::Nothing(staged) = &mut prepared.ready
            // Where nothing stands nothing of the user's comes into the stage.
            && stands
        {
            staged.becomes_swap(&prepared.path)?;
        }
        #[cfg(test)]
        if let Some(between) = self.between.lock().unwrap().as_mut() {
            between();
        }
        let Prepared {
            stage,
            parent,
            name,
            path,
            ready,
            found,
            ..
        } = prepared;
        let at = Target {
            stage: &stage,
            parent: &parent,
            name: &name,
            found: &found,
            path: &path,
        };
        match ready {
            Ready::Staged(mut staged) => self.put(&at, &mut staged)?,
            Ready::Nothing(mut staged) => {
                self.take(&at, &mut staged)?;
                self.set_aside(&mut staged, &path, found);
            }
            Ready::Folder => make_folder(&parent, &name)?,
        }
        Ok(parent)
    }

    fn put(&self, at: &Target<'_>, staged: &mut Staged) -> Result<(), Error> {
        match at.found.state {
            None => return staged.lying().placed(at.parent, at.name),
            Some(state) if state.mode == Mode::Directory => {
                remove_folder(at.parent, at.name)?;
                return staged.lying().placed(at.parent, at.name);
            }
            Some(_) => (),
        }
        match at.stage.swap(&staged.name, at.parent, at.name) {
            Ok(()) => (),
            Err(Errno::NOENT) => return Err(Error::Changed),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => return self.in_turn(at, staged),
            Err(error) => match staged.lies() {
                Lies::Ours => return Err(Error::of("put it in place", error)),
                Lies::Other => (),
                Lies::Nothing | Lies::Unknown => return Err(unsure(staged, error)),
            },
        }
        staged.is_ours = false;
        let Err(why) = look_back(staged, at.found) else {
            staged.is_ours = true;
            self.set_aside(staged, at.path, *at.found);
            return Ok(());
        };
        // It may say no and be done.
        at.stage.swap(&staged.name, at.parent, at.name).ok();
        // What lies there now was in place a moment ago: if it is not ours, somebody has written once more.
        if staged.lies() == Lies::Ours {
            staged.is_ours = true;
            Err(why)
        } else {
            Err(self.stranded(&staged.stage, &staged.name))
        }
    }

    /// For file systems that cannot swap two names: what stands there goes aside and is looked back at, then ours goes
    /// where nothing stands. The name is away for a moment; a start that finds it away puts it back.
    fn in_turn(&self, at: &Target<'_>, staged: &Staged) -> Result<(), Error> {
        let mut aside = self.staged()?;
        aside.becomes_swap(at.path)?;
        self.take(at, &mut aside)?;
        #[cfg(test)]
        if let Some(between) = self.between.lock().unwrap().as_mut() {
            between();
        }
        match staged.lying().placed(at.parent, at.name) {
            Ok(()) => {
                self.set_aside(&mut aside, at.path, *at.found);
                Ok(())
            }
            // The user has made a new one: the old one is among the pre-images.
            Err(Error::Changed) => {
                self.set_aside(&mut aside, at.path, *at.found);
                Err(Error::Changed)
            }
            Err(error) => {
                aside.is_ours = false;
                match aside.lying().placed(at.parent, at.name) {
                    Ok(()) => Err(error),
                    Err(_) => Err(self.stranded(&aside.stage, &aside.name)),
                }
            }
        }
    }

    fn take(&self, at: &Target<'_>, staged: &mut Staged) -> Result<(), Error> {
        match at.found.state {
            None => return Ok(()),
            Some(state) if state.mode == Mode::Directory => {
                return remove_folder(at.parent, at.name);
            }
            Some(_) => (),
        }
        // Onto the empty file of the stage: it is ours, so an ordinary rename loses nothing.
        match at.parent.rename(at.name, at.stage, &staged.name) {
            Ok(()) => (),
            Err(Errno::NOENT) => return Err(Error::Changed),
            Err(error) => match staged.lies() {
                Lies::Ours => return Err(Error::of("remove it", error)),
                Lies::Other => (),
                Lies::Nothing | Lies::Unknown => return Err(unsure(staged, error)),
            },
        }
        staged.is_ours = false;
        let Err(why) = look_back(staged, at.found) else {
            staged.is_ours = true;
            return Ok(());
        };
        match staged.lying().placed(at.parent, at.name) {
            Ok(()) => Err(why),
            Err(_) => Err(self.stranded(&staged.stage, &staged.name)),
        }
    }

    /// Moves what we could not put back out of the reach of the stage's clearing; what stays in the stage is kept by the
    /// next start.
    pub(super) fn stranded(&self, stage: &Folder, name: &str) -> Error {
        let safe = format!("rescued-{name}");
        let moved = self
            .root
            .below(OURS)
            .and_then(|ours| stage.rename(name, &ours, &safe));
        match moved {
            Ok(()) => Error::Stranded(self.path.join(OURS).join(safe)),
            Err(_) => Error::Stranded(self.path.join(STAGE).join(name)),
        }
    }
}

/// Nobody knows where what is.
fn unsure(staged: &mut Staged, error: Errno) -> Error {
    staged.is_ours = false;
    Error::Unsure(error.into())
}

/// Whether what was swapped out is what was found before; why not.
fn look_back(staged: &Staged, found: &Found) -> Result<(), Error> {
    match unchanged(&staged.stage, &staged.name, found) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Changed),
        Err(error) => Err(Error::LookBack(Box::new(error))),
    }
}

impl Lying<'_> {
    /// Put where nothing may stand.
    pub(super) fn placed(&self, parent: &Folder, name: &str) -> Result<(), Error> {
        let what = "put it in place";
        match self.stage.place(self.name, parent, name) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(Error::Changed),
            // A link is refused where a name stands, so nothing is replaced here either; the stage is cleared later.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                match self.stage.link(self.name, parent, name) {
                    Ok(()) => {
                        self.stage.remove_file(self.name).ok();
                        Ok(())
                    }
                    Err(Errno::EXIST) => Err(Error::Changed),
                    Err(error) => match (self.stage.stat(self.name), parent.stat(name)) {
                        (Ok(ours), Ok(stands)) if ours == stands => Ok(()),
                        _ => Err(Error::of(what, error)),
                    },
                }
            }
            Err(error) => match self.stage.stat(self.name) {
                Ok(_) => Err(Error::of(what, error)),
                Err(Errno::NOENT) => Ok(()),
                Err(_) => Err(Error::Unsure(error.into())),
            },
        }
    }

    /// Takes the place of exactly what was found there. `false`: it lies where it lay.
    pub(super) fn goes_to(&self, at: &Target<'_>, file: &Found) -> bool {
        if at.found.state.is_none() {
            return self.placed(at.parent, at.name).is_ok();
        }
        let swap = || self.stage.swap(self.name, at.parent, at.name);
        let lies_here = || {
            let stat = self.stage.stat(self.name);
            stat.is_ok_and(|stat| file.is_same_file(&stat))
        };
        if swap().is_err() && lies_here() {
            return false;
        }
        if matches!(unchanged(self.stage, self.name, at.found), Ok(true)) {
            return true;
        }
        swap().ok();
        !lies_here()
    }
}

fn make_folder(parent: &Folder, name: &str) -> Result<(), Error> {
    match parent.make_folder(name, 0o777) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Error::Changed),
        Err(error) => Err(Error::of("make the folder", error)),
    }
}
