//! Decides what to do with one path: base, local and remote in, one `Move` out.
//!
//! Pure. Does not read the disk, ask the network or know the time. Bytes here are only ever given up when they equal
//! the base, which both sides had; everything else is kept, and where both sides changed, both are kept.

use crate::mirror::ignore::Why;
use crate::mirror::scan::{Local, Obstacle};
use crate::plant::planted;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;

/// What to do with one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Move {
    /// Here and there the same stands: the base moves to it, a conflict ends.
    Agree,
    /// Only this side changed: what stands here (`None`: nothing) goes up. Nothing comes down.
    Push(Option<FileState>),
    /// Only theirs changed: put it here, over exactly what the base says.
    Fetch(FileState),
    /// As `Fetch`, where an empty folder may stand in the way.
    FetchOverFolder(FileState),
    /// The bytes are the same; only the exec bit differs.
    Chmod(FileState),
    /// Theirs is a folder: put one here, over nothing or over exactly the base.
    MakeFolder,
    /// Theirs is gone, and here stands exactly the base.
    Remove,
    /// Both changed, differently. Ours stays in place, theirs (`None`: a delete) is noted and put beside it.
    Conflict(Option<FileState>),
    /// Not done, for this reason.
    Refuse(Refusal),
}

/// Why a change of theirs is not done here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("delete of a file that this run never had: it stays")]
    NotInBase,
    #[error("{0}")]
    Ignored(Why),
    #[error("what stands here: {0}")]
    Obstacle(Obstacle),
    #[error("{size} bytes are over the limit of {limit} bytes")]
    TooLarge { size: u64, limit: u64 },
}

/// A folder as a value: it has no bytes.
pub(crate) fn folder() -> FileState {
    FileState {
        hash: ContentHash::of(b""),
        size: 0,
        mode: Mode::Directory,
    }
}

/// One path, three values, one move. `limit` is the largest file that is taken.
pub(crate) fn decide(
    base: Option<FileState>,
    local: &Local,
    remote: Option<FileState>,
    limit: u64,
) -> Move {
    let here = match local {
        Local::Absent => None,
        Local::File(state) => Some(*state),
        Local::Directory => Some(folder()),
        Local::Ignored(why) => return Move::Refuse(Refusal::Ignored(why.clone())),
        Local::Obstacle(why) => return Move::Refuse(Refusal::Obstacle(why.clone())),
    };
    let base = base.map(plain);
    let remote = remote.map(plain);
    match (base, here, remote) {
        (_, here, remote) if same(here, remote) => Move::Agree,
        (Some(_), Some(_), None) if planted!(ChangedFileDeleted) => Move::Remove,
        (base, here, remote) if same(base, remote) => Move::Push(here),
        (_, _, Some(theirs)) if theirs.size > limit => Move::Refuse(Refusal::TooLarge {
            size: theirs.size,
            limit,
        }),
        (base, here, remote) if same(base, here) => bring(here, remote),
        (None, Some(ours), Some(theirs)) if ours.mode == Mode::Directory => {
            Move::FetchOverFolder(theirs)
        }
        (_, _, remote) => Move::Conflict(remote),
    }
}

/// Here stands the base; theirs is something else.
fn bring(here: Option<FileState>, remote: Option<FileState>) -> Move {
    let Some(theirs) = remote else {
        return Move::Remove;
    };
    let runnable = |mode| matches!(mode, Mode::File | Mode::Executable);
    match here {
        _ if theirs.mode == Mode::Directory => Move::MakeFolder,
        Some(ours) if ours.hash == theirs.hash && runnable(ours.mode) && runnable(theirs.mode) => {
            Move::Chmod(theirs)
        }
        Some(ours) if ours.mode == Mode::Directory => Move::FetchOverFolder(theirs),
        _ => Move::Fetch(theirs),
    }
}

/// A folder has neither bytes nor a size, whatever was said of it.
fn plain(state: FileState) -> FileState {
    if state.mode == Mode::Directory {
        folder()
    } else {
        state
    }
}

/// The hash names the bytes; a size that does not fit it is found out when they come.
pub(crate) fn same(a: Option<FileState>, b: Option<FileState>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.hash == b.hash && a.mode == b.mode,
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::path::BadPath;

    const LIMIT: u64 = 100;

    fn file(text: &str, mode: Mode) -> FileState {
        FileState {
            hash: ContentHash::of(text.as_bytes()),
            size: text.len() as u64,
            mode,
        }
    }

    fn values() -> Vec<Option<FileState>> {
        vec![
            None,
            Some(file("a", Mode::File)),
            Some(file("a", Mode::Executable)),
            Some(file("b", Mode::File)),
            Some(file("c", Mode::File)),
            Some(file("a", Mode::Symlink)),
            Some(folder()),
            Some(FileState {
                size: LIMIT + 1,
                ..file("big", Mode::File)
            }),
        ]
    }

    fn standing(value: Option<FileState>) -> Local {
        match value {
            None => Local::Absent,
            Some(state) if state.mode == Mode::Directory => Local::Directory,
            Some(state) => Local::File(state),
        }
    }

    /// The word of a value in the table, as it stands here.
    fn word(word: &str) -> Local {
        match word {
            "-" => Local::Absent,
            "a" | "b" | "c" => Local::File(file(word, Mode::File)),
            "a+x" => Local::File(file("a", Mode::Executable)),
            "link" => Local::File(file("a", Mode::Symlink)),
            "folder" => Local::Directory,
            "large" => Local::File(FileState {
                size: LIMIT + 1,
                ..file("large", Mode::File)
            }),
            "ignored" => Local::Ignored(Why::ConflictCopy),
            "unreadable" => Local::Obstacle(Obstacle::Unreadable("no".to_owned())),
            other => panic!("{other}"),
        }
    }

    fn value(of: &str) -> Option<FileState> {
        match word(of) {
            Local::Absent => None,
            Local::File(state) => Some(state),
            Local::Directory => Some(folder()),
            other => panic!("{other:?}"),
        }
    }

    /// What the table says is done, with the values of that line.
    fn is_said(of: &str, got: &Move, here: &str, there: &str) -> bool {
        let at = value(there);
        match of {
            "agree" => *got == Move::Agree,
            "push" => *got == Move::Push(value(here)),
            "fetch" => at.map(Move::Fetch).as_ref() == Some(got),
            "fetch over an empty folder" => at.map(Move::FetchOverFolder).as_ref() == Some(got),
            "set the exec bit" => at.map(Move::Chmod).as_ref() == Some(got),
            "make the folder" => *got == Move::MakeFolder && at == Some(folder()),
            "remove" => *got == Move::Remove && at.is_none(),
            "conflict" => *got == Move::Conflict(at),
            "refuse" => matches!(got, Move::Refuse(_)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn each_line_of_the_table_in_the_docs_is_what_is_done() {
        let text = include_str!("../../docs/mirror.md");
        let table = text.lines().skip_while(|line| *line != "|---|---|---|---|");
        let lines: Vec<&str> = table
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .collect();
        assert!(lines.len() > 40, "the table has been found");
        for line in lines {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [base, here, there, done] = cells[..] else {
                panic!("{line}");
            };
            let got = decide(value(base), &word(here), value(there), LIMIT);
            assert!(is_said(done, &got, here, there), "{line}: {got:?}");
        }
    }

    #[test]
    fn what_stands_here_and_cannot_be_taken_is_never_touched() {
        for local in [
            Local::Ignored(Why::ConflictCopy),
            Local::Obstacle(Obstacle::BehindLink),
            Local::Obstacle(Obstacle::Unreadable("no".to_owned())),
            Local::Obstacle(Obstacle::TooLarge { size: 2, limit: 1 }),
            Local::Obstacle(Obstacle::Name(BadPath::Git)),
        ] {
            for base in values() {
                for remote in values() {
                    assert!(matches!(
                        decide(base, &local, remote, LIMIT),
                        Move::Refuse(_)
                    ));
                }
            }
        }
    }

    #[test]
    fn too_much_is_refused_before_it_is_fetched() {
        let big = Some(FileState {
            size: LIMIT + 1,
            ..file("big", Mode::File)
        });
        assert_eq!(
            decide(None, &Local::Absent, big, LIMIT),
            Move::Refuse(Refusal::TooLarge {
                size: LIMIT + 1,
                limit: LIMIT
            })
        );
    }

    proptest! {
        #[test]
        fn no_edit_of_either_side_is_ever_lost(
            base in prop::sample::select(values()),
            local in prop::sample::select(values()),
            remote in prop::sample::select(values()),
        ) {
            let ours_changed = !same(base, local);
            let theirs_changed = !same(base, remote);
            let has_bytes = local.is_some_and(|l| l.mode != Mode::Directory);
            match decide(base, &standing(local), remote, LIMIT) {
                // What overwrites or removes ours does so only where ours is the base or has no bytes.
                Move::Fetch(_) | Move::Chmod(_) | Move::MakeFolder | Move::Remove => prop_assert!(!ours_changed),
                Move::FetchOverFolder(_) => prop_assert!(!has_bytes),
                Move::Agree => prop_assert!(same(local, remote)),
                // What drops theirs does so only where theirs is the base.
                Move::Push(ours) => prop_assert!(!theirs_changed && ours_changed && same(ours, local)),
                Move::Conflict(theirs) => {
                    prop_assert!(ours_changed && theirs_changed && !same(local, remote));
                    prop_assert!(same(theirs, remote));
                }
                Move::Refuse(Refusal::TooLarge { .. }) => prop_assert!(remote.is_some_and(|r| r.size > LIMIT)),
                Move::Refuse(Refusal::NotInBase | Refusal::Ignored(_) | Refusal::Obstacle(_)) => prop_assert!(false),
            }
        }

        #[test]
        fn the_same_change_twice_is_agreement(
            base in prop::sample::select(values()),
            remote in prop::sample::select(values()),
        ) {
            // After a fetch or a removal here stands theirs, and the base has moved to it.
            prop_assert_eq!(decide(base, &standing(remote), remote, LIMIT), Move::Agree);
            prop_assert_eq!(decide(remote, &standing(remote), remote, LIMIT), Move::Agree);
        }
    }
}
