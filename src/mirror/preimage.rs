//! What stood in a file before us: plain files named by the SHA-256 of their bytes, in one folder per run.
//!
//! A person finds them without this program. Which path had which one, and when, is in `base`. Nothing is ever
//! removed here. Blocking.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::mirror::ground::{self, Temporary};
use crate::protocol::hash::{ContentHash, Hasher};

/// The folder of one run's pre-images.
#[derive(Debug, Clone)]
pub(crate) struct Preimages {
    folder: PathBuf,
}

impl Preimages {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        ground::make_folders(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    pub(crate) fn path(&self, hash: ContentHash) -> PathBuf {
        self.folder.join(hash.to_string())
    }

    /// Copies everything that comes and says what it was. On disk, name and all, when it returns.
    pub(crate) fn keep(&self, from: &mut impl Read) -> io::Result<(ContentHash, u64)> {
        let mut kept = Temporary::new_in(&self.folder)?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 1 << 16];
        let mut size = 0;
        loop {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            kept.write_all(&buffer[..n])?;
            size += n as u64;
        }
        let hash = hasher.finish();
        let at = self.path(hash);
        if ground::stat(&at).is_err() {
            kept.keep(&at).inspect_err(|_| {
                // A name that the disk may not have is none: it would be taken for one the next time.
                ground::remove_file(&at).ok();
            })?;
        }
        Ok((hash, size))
    }

    /// Writes the pre-image into the file at `into`.
    pub(crate) fn copy_to(&self, hash: ContentHash, into: &Path) -> io::Result<()> {
        io::copy(
            &mut ground::open(&self.path(hash))?,
            &mut ground::create(into)?,
        )
        .map(drop)
    }
}

/// How many pre-images lie in this folder, and their bytes.
pub(crate) fn weigh(folder: &Path) -> (usize, u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<ContentHash>().ok()?;
        Some(entry.metadata().ok()?.len())
    });
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_lies_under_its_hash_once_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Preimages::open(&dir.path().join("pre-images")).unwrap();
        let hash = ContentHash::of(b"before");
        for _ in 0..2 {
            assert_eq!(kept.keep(&mut b"before".as_slice()).unwrap(), (hash, 6));
        }
        assert_eq!(std::fs::read(kept.path(hash)).unwrap(), b"before");
        assert_eq!(
            std::fs::read_dir(dir.path().join("pre-images"))
                .unwrap()
                .count(),
            1
        );
        kept.keep(&mut b"other".as_slice()).unwrap();
        std::fs::File::create(dir.path().join("pre-images/half")).unwrap();
        assert_eq!(weigh(&dir.path().join("pre-images")), (2, 11));
        assert_eq!(weigh(&dir.path().join("none")), (0, 0));
        let back = dir.path().join("back");
        kept.copy_to(hash, &back).unwrap();
        assert_eq!(std::fs::read(back).unwrap(), b"before");
    }
}
