//! What no single file shows: a root that was swapped or emptied, a wave of deletes. Stop and ask.
//!
//! Pure. Numbers and identities in, a reason to halt out.

use serde::{Deserialize, Serialize};

/// What the file system calls a root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct RootId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// When it was made, in milliseconds since 1970, where the file system says so: numbers are given again.
    #[serde(default)]
    pub(crate) born: Option<u64>,
}

impl RootId {
    /// As far as can be said.
    pub(crate) fn is(self, other: Self) -> bool {
        let born = self.born.zip(other.born);
        (self.device, self.inode) == (other.device, other.inode)
            && born.is_none_or(|(one, other)| one == other)
    }
}

/// Deletes up to this many never halt, unless they empty the tree.
const FEW_DELETES: usize = 50;
/// A tree of fewer files than this may lose them all: an agent that cleans up after itself is no accident.
const SMALL_TREE: usize = 10;

/// Why the mirror stopped: what was seen, what it means, and what to type, whether it was meant or not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    #[error(
        "{deletes} of {files} files were deleted there at once: that looks like an emptied or newly cloned directory, so {}. If it is meant, `ashore mirror resume --accept-deletes RUN` lets them go (each keeps its pre-image); if not, `ashore rm RUN` gives the run up and leaves this directory as it is",
        so_far(*.done)
    )]
    MassDelete {
        deletes: usize,
        files: usize,
        /// Of the deletes, those that came one by one before the wave was seen.
        done: usize,
    },
    #[error(
        "{deletes} of {files} files were deleted here at once: that looks like an accident, so those that have not gone there yet wait. If it is meant, `ashore mirror resume --accept-deletes RUN` deletes them there too; if not, `ashore mirror resume --bring-back RUN` puts them back here"
    )]
    DeletesHere { deletes: usize, files: usize },
    #[error(
        "every file is gone from this directory: that looks like an accident or another disk in its place, so nothing more is deleted there. If it was meant, `ashore mirror resume RUN` goes on without them; if not, `ashore mirror resume --bring-back RUN` puts them back, or `ashore rm RUN` gives the run up"
    )]
    Emptied,
    #[error(
        "another directory stands where the mirrored one was: perhaps it was cloned anew, so nothing is written into it and nothing more is deleted there. If it was meant, `ashore mirror resume RUN` goes on in this one; if not, put the old one back first, or `ashore attach --mirror DIR RUN` names the directory it is now"
    )]
    Replaced,
    #[error(
        "the mirrored directory is gone: it was removed, renamed, or its disk is away, so nothing more is deleted there. If it was not meant, put it back, then `ashore mirror resume RUN`; if it was, `ashore attach --mirror DIR RUN` goes on in another one"
    )]
    Gone,
    #[error("{0}, then `ashore mirror resume RUN`")]
    Disk(String),
}

fn so_far(done: usize) -> String {
    match done {
        0 => "none of them is deleted here".to_owned(),
        1 => "only the one that came before this was seen is deleted here".to_owned(),
        many => format!("only the {many} that came before this was seen are deleted here"),
    }
}

/// Deletes of one turn, done and waiting, against the files the base has now.
pub(crate) fn deletes(done: usize, waiting: usize, base: usize) -> Option<Halt> {
    let (deletes, files) = (done + waiting, done + base);
    let wave = deletes > FEW_DELETES && deletes * 4 > files;
    let emptied = deletes >= files && files >= SMALL_TREE;
    (wave || emptied).then_some(Halt::MassDelete {
        deletes,
        files,
        done,
    })
}

/// Deletes made here, told in the last moments or to be told, against the files the base has.
pub(crate) fn deletes_here(deletes: usize, files: usize) -> Option<Halt> {
    let wave = deletes > FEW_DELETES && deletes * 4 > files;
    wave.then_some(Halt::DeletesHere { deletes, files })
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
        Some(now) if !now.is(recorded) => Some(Halt::Replaced),
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
            for done in [0, gone / 2] {
                let halt = deletes(done, gone - done, files - done);
                assert_eq!(halt.is_some(), halts, "{gone} of {files}, {done} done");
            }
        }
    }

    #[test]
    fn a_root_that_is_gone_swapped_or_emptied_halts() {
        let old = RootId {
            device: 1,
            inode: 2,
            born: None,
        };
        let new = RootId { inode: 3, ..old };
        let made = |at| RootId {
            born: Some(at),
            ..old
        };
        assert_eq!(root(old, None, 3, 3), Some(Halt::Gone));
        assert_eq!(root(old, Some(new), 3, 3), Some(Halt::Replaced));
        // A number is given again, to a directory made later.
        assert_eq!(root(made(1), Some(made(2)), 3, 3), Some(Halt::Replaced));
        assert_eq!(root(made(1), Some(made(1)), 3, 3), None);
        assert_eq!(root(old, Some(made(2)), 3, 3), None);
        assert_eq!(root(old, Some(old), 3, 0), Some(Halt::Emptied));
        assert_eq!(root(old, Some(old), 3, 1), None);
        assert_eq!(root(old, Some(old), 1, 0), None);
        assert_eq!(root(old, Some(old), 0, 0), None);
    }

    #[test]
    fn the_reason_says_what_to_type_whether_it_was_meant_or_not() {
        let wave = Halt::MassDelete {
            deletes: 60,
            files: 80,
            done: 7,
        };
        let said = wave.to_string();
        assert!(
            said.starts_with("60 of 80") && said.contains("the 7 that came"),
            "{said}"
        );
        let here = Halt::DeletesHere {
            deletes: 60,
            files: 80,
        };
        for (halt, meant, not) in [
            (wave, "mirror resume --accept-deletes RUN", "ashore rm RUN"),
            (
                here,
                "resume --accept-deletes RUN",
                "resume --bring-back RUN",
            ),
            (Halt::Emptied, "mirror resume RUN", "ashore rm RUN"),
            (
                Halt::Replaced,
                "mirror resume RUN",
                "attach --mirror DIR RUN",
            ),
            (Halt::Gone, "attach --mirror DIR RUN", "mirror resume RUN"),
        ] {
            let text = halt.to_string();
            assert!(text.contains(meant) && text.contains(not), "{text}");
            assert!(
                text.contains("if not") || text.contains("not meant"),
                "{text}"
            );
        }
    }
}
