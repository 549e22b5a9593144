//! A fresh tree of ours, filled before anybody works in it: through handles, so that nothing in it leads outside.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::mirror::ground::Folder;
use crate::protocol::path::RelPath;

/// Of a link's target, in bytes.
const LONGEST_LINK: u64 = 4096;

#[derive(Debug)]
pub(crate) struct Seedbed {
    root: Folder,
    path: PathBuf,
}

/// A new, empty file in its folder.
#[derive(Debug)]
pub(crate) struct Spot {
    folder: Folder,
    name: String,
    /// Where its content is to be written (with `blobs::landing`). Good for as long as this lives.
    pub(crate) at: PathBuf,
}

impl Seedbed {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Folder::open(root)?,
            path: root.to_owned(),
        })
    }

    /// A folder, with those on the way.
    pub(crate) fn make_folder(&self, path: &RelPath) -> io::Result<()> {
        self.folder(Some(path)).map(drop)
    }

    fn folder(&self, path: Option<&RelPath>) -> io::Result<Folder> {
        let mut at = self.root.try_clone()?;
        for part in path.iter().flat_map(|path| path.parts()) {
            at = at.step(part, 0o777)?.0;
        }
        Ok(at)
    }

    /// A place for a file; an error where something stands already, or a link or a file is in the way.
    pub(crate) fn spot(&self, path: &RelPath) -> io::Result<Spot> {
        let folder = self.folder(path.parent().as_ref())?;
        let name = path.name().to_owned();
        folder.new_file(&name, 0o666)?;
        let at = folder.path_in(&name);
        Ok(Spot {
            at: at.unwrap_or_else(|| path.below(&self.path)),
            folder,
            name,
        })
    }

    /// Until here everything survives the power.
    pub(crate) fn settle(&self) -> io::Result<()> {
        Ok(self.root.sync_all()?)
    }
}

impl Spot {
    pub(crate) fn make_executable(&self) -> io::Result<()> {
        self.folder.file(&self.name)?.set_permissions(0o755)
    }

    /// What was written is what a link would lead to.
    pub(crate) fn target(&self) -> io::Result<String> {
        let mut target = String::new();
        let file = self.folder.file(&self.name)?;
        file.take(LONGEST_LINK).read_to_string(&mut target)?;
        Ok(target)
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        Ok(self.folder.remove_file(&self.name)?)
    }

    /// The file gives way to a link.
    pub(crate) fn become_link(&self, target: &str) -> io::Result<()> {
        self.remove()?;
        Ok(self.folder.make_link(&self.name, target)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_put_behind_a_link_or_over_anything() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("work");
        std::fs::create_dir_all(root.join("real")).unwrap();
        std::fs::create_dir(place.path().join("outside")).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("out")).unwrap();
        std::os::unix::fs::symlink("real", root.join("within")).unwrap();
        let bed = Seedbed::open(&root).unwrap();
        let path = |path: &str| path.parse::<RelPath>().unwrap();
        for refused in ["out/x", "within/x", "out", "real"] {
            assert!(bed.spot(&path(refused)).is_err(), "{refused}");
        }
        let spot = bed.spot(&path("real/deep/run")).unwrap();
        spot.make_executable().unwrap();
        assert!(bed.spot(&path("real/deep/run")).is_err(), "it stands there");
        assert!(bed.spot(&path("real/deep/run/below")).is_err());
        let link = bed.spot(&path("link")).unwrap();
        link.become_link("real").unwrap();
        bed.settle().unwrap();
        let outside = std::fs::read_dir(place.path().join("outside")).unwrap();
        assert_eq!(outside.count(), 0);
        let led = std::fs::read_link(root.join("link")).unwrap();
        assert_eq!(led, Path::new("real"));
    }
}
