//! What no single file shows: a root that was swapped or emptied, a wave of deletes. Stop and ask.
//!
//! Pure. Numbers and identities in, a reason to halt out.

use serde::{Deserialize, Serialize};

/// What the file system calls a root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct RootId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// Deletes up to this many never halt, unless they empty the tree.
const FEW_DELETES: usize = 50;
/// A tree of fewer files than this may lose them all: an agent that cleans up after itself is no accident.
const SMALL_TREE: usize = 10;

/// Why the mirror stopped. It says what to type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    #[error(
        "{deletes} of {files} files would be deleted here: `ashore mirror resume --accept-deletes` lets them go (each keeps its pre-image), `ashore rm` gives the run up"
    )]
    MassDelete { deletes: usize, files: usize },
    #[error(
        "every file is gone from this directory: put them back, or `ashore mirror resume` if that was meant"
    )]
    Emptied,
    #[error(
        "another directory stands where the mirrored one was: put it back, or `ashore mirror resume` to go on here"
    )]
    Replaced,
    #[error("the mirrored directory is gone: put it back, then `ashore mirror resume`")]
    Gone,
    #[error("{0}, then `ashore mirror resume`")]
    Disk(String),
}

/// Deletes of one turn, done and waiting, against the files the base has (with those already deleted in the turn).
pub(crate) fn deletes(deletes: usize, files: usize) -> Option<Halt> {
    let wave = deletes > FEW_DELETES && deletes * 4 > files;
    let emptied = deletes >= files && files >= SMALL_TREE;
    (wave || emptied).then_some(Halt::MassDelete { deletes, files })
}

/// The root as recorded and as it is; the files the base has and how many of them still stand.
pub(crate) fn root(
    recorded: RootId,
    now: Option<RootId>,
    base: usize,
    standing: usize,
) -> Option<Halt> {
    match now {
        None => Some(Halt::Gone),
        Some(now) if now != recorded => Some(Halt::Replaced),
        // One file alone may be removed by hand without anybody calling that an emptied directory.
        Some(_) if base > 1 && standing == 0 => Some(Halt::Emptied),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_of_deletes_halts_and_a_few_do_not() {
        for (gone, files, halts) in [
            (50, 100, false),
            (51, 100, true),
            (51, 204, false),
            (51, 203, true),
            (200, 1000, false),
            (9, 9, false),
            (10, 10, true),
            (0, 0, false),
            (1, 1, false),
        ] {
            assert_eq!(deletes(gone, files).is_some(), halts, "{gone} of {files}");
        }
    }

    #[test]
    fn a_root_that_is_gone_swapped_or_emptied_halts() {
        let old = RootId {
            device: 1,
            inode: 2,
        };
        let new = RootId {
            device: 1,
            inode: 3,
        };
        assert_eq!(root(old, None, 3, 3), Some(Halt::Gone));
        assert_eq!(root(old, Some(new), 3, 3), Some(Halt::Replaced));
        assert_eq!(root(old, Some(old), 3, 0), Some(Halt::Emptied));
        assert_eq!(root(old, Some(old), 3, 1), None);
        assert_eq!(root(old, Some(old), 1, 0), None);
        assert_eq!(root(old, Some(old), 0, 0), None);
    }

    #[test]
    fn the_reason_says_what_to_type() {
        let text = Halt::MassDelete {
            deletes: 60,
            files: 80,
        }
        .to_string();
        assert!(
            text.contains("60 of 80") && text.contains("--accept-deletes"),
            "{text}"
        );
    }
}
