//! Making sure that what stands in the root survives the power, whoever wrote it.

use std::collections::BTreeSet;
use std::iter::successors;

use rustix::io::Errno;

use crate::mirror::disk::{Disk, Error, fail};
use crate::plant::planted;
use crate::protocol::path::RelPath;

/// Up to so many paths each is synced by itself; for more the whole file system is, at once.
const FEW: usize = 8;

impl Disk {
    /// What stands at these paths survives the power, with the names that lead there; so does it that nothing does.
    pub(crate) fn settle(&self, paths: &[RelPath]) -> Result<(), Error> {
        let what = "write it to the disk";
        if planted!(ToldBeforeSynced) || paths.is_empty() {
            return Ok(());
        }
        if paths.len() > FEW {
            return self.root.sync_all().map_err(fail(what));
        }
        let mut folders = BTreeSet::new();
        for path in paths {
            let parent = self.parent(path, false);
            if let Ok((parent, _)) = &parent
                && parent.stat(path.name()).is_ok_and(|stat| stat.is_file())
                && let Ok(file) = parent.file(path.name())
            {
                file.sync().map_err(fail(what))?;
            }
            folders.extend(successors(path.parent(), RelPath::parent));
        }
        // From below upwards: a name is of use only where its folder is.
        for folder in folders.iter().rev() {
            match self.root.below(folder.as_str()) {
                Ok(folder) => folder.sync().map_err(fail(what))?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => (),
                Err(error) => return Err(Error::of(what, error)),
            }
        }
        self.root.sync().map_err(fail(what))
    }
}
