//! Which of the changes that wait are done together: small new contents of files, in the journal's order, none above or
//! below another.
//!
//! Pure. Says how many from the front; that each of them goes smoothly is found out when they are looked at.

use std::collections::BTreeSet;

use crate::mirror::base::Waiting;
use crate::mirror::ignore;
use crate::mirror::inbox::Taken;
use crate::protocol::file::Mode;
use crate::protocol::pack;
use crate::protocol::path::RelPath;

/// The most at once.
pub(super) const MOST: usize = 512;
/// Fewer have nothing to gain.
pub(super) const FEWEST: usize = 2;

/// How many from the front go together, next to those that are being done; `may` says of each what only the mirror knows.
pub(super) fn together<'w>(
    waiting: impl Iterator<Item = &'w Taken>,
    busy: impl Iterator<Item = &'w RelPath>,
    may: impl Fn(&Taken) -> bool,
) -> usize {
    let mut paths: BTreeSet<&str> = busy.map(RelPath::as_str).collect();
    let mut room = pack::MOST as u64;
    let goes = |taken: &&'w Taken| {
        let Some(size) = small(&taken.change).filter(|size| *size <= room && may(taken)) else {
            return false;
        };
        let path = taken.change.path.as_str();
        let free = !is_related(&paths, path);
        paths.insert(path);
        room -= size;
        free
    };
    let together = waiting.take(MOST).take_while(goes).count();
    if together < FEWEST { 0 } else { together }
}

/// The size of a content that comes in a pack.
fn small(change: &Waiting) -> Option<u64> {
    let now = change.now?;
    // What a change of the rules opens is found out before it is done.
    if change.path.name() == ignore::NAME {
        return None;
    }
    let is_file = matches!(now.mode, Mode::File | Mode::Executable);
    let own = |path: &str| path == format!("files/{}", now.hash);
    let is_ours = change.storage_path.as_deref().is_none_or(own);
    let is_plain = change.command.is_none() && change.refused.is_none() && !change.forced;
    let fits = now.size <= pack::LARGEST as u64;
    (is_file && is_ours && is_plain && fits).then_some(now.size)
}

/// Whether it is one of these, or stands above or below one.
fn is_related(paths: &BTreeSet<&str>, path: &str) -> bool {
    let mut above = path
        .match_indices('/')
        .map(|(end, _)| &path[..end])
        .chain([path]);
    if above.any(|at| paths.contains(at)) {
        return true;
    }
    let below = format!("{path}/");
    let first = paths.range(below.as_str()..).next();
    first.is_some_and(|first| first.starts_with(&below))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mirror::disk::state_of;
    use crate::protocol::file::{ChangeKind, FileState};
    use crate::protocol::ids::Seq;

    fn taken(path: &str, now: Option<FileState>) -> Taken {
        let change = Waiting::of_nobody(ChangeKind::Modified, path.parse().unwrap(), now);
        Taken::of(Seq(1), change)
    }

    fn file(path: &str) -> Taken {
        taken(path, Some(state_of(path.as_bytes(), Mode::File)))
    }

    fn count(waiting: &[Taken], busy: &[&str]) -> usize {
        let busy: Vec<RelPath> = busy.iter().map(|path| path.parse().unwrap()).collect();
        together(waiting.iter(), busy.iter(), |_| true)
    }

    #[test]
    fn small_files_go_together_up_to_the_first_that_is_none() {
        let state = state_of(b"x", Mode::File);
        let with = |change: &dyn Fn(&mut Waiting)| {
            let mut one = file("odd");
            change(&mut one.change);
            one
        };
        let large = FileState {
            size: pack::LARGEST as u64 + 1,
            ..state
        };
        let link = FileState {
            mode: Mode::Symlink,
            ..state
        };
        let odd = [
            taken("odd", None),
            taken("odd", Some(large)),
            taken("odd", Some(link)),
            taken("odd", Some(crate::mirror::plan::folder())),
            with(&|change| change.forced = true),
            with(&|change| change.refused = Some(String::new())),
            with(&|change| change.storage_path = Some("elsewhere".to_owned())),
            file("d"),
            file("d/x/y"),
            file("busy/x"),
        ];
        for odd in odd {
            let waiting = [file("a"), file("d/x"), odd, file("b")];
            assert_eq!(count(&waiting, &["busy"]), 2, "{waiting:?}");
            assert_eq!(count(&waiting[1..], &["busy"]), 0, "one alone has no use");
        }
        let own = with(&|change| {
            change.storage_path = change.now.map(|now| format!("files/{}", now.hash));
        });
        assert_eq!(count(&[file("a"), own], &["b"]), 2);
        let full = FileState {
            size: pack::LARGEST as u64,
            ..state
        };
        let many: Vec<Taken> = (0..MOST + 5)
            .map(|n| taken(&format!("f{n}"), Some(full)))
            .collect();
        assert_eq!(count(&many, &[]), pack::MOST / pack::LARGEST);
        let many: Vec<Taken> = (0..MOST + 5).map(|n| file(&format!("f{n}"))).collect();
        assert_eq!(count(&many, &[]), MOST);
        assert_eq!(together(many.iter(), [].iter(), |one| one != &many[3]), 3);
    }

    proptest! {
        #[test]
        fn no_two_stand_above_or_below_one_another(
            names in prop::collection::vec("[ab-]{1,2}(/[ab-]{1,2}){0,2}", 1..12),
        ) {
            let waiting: Vec<Taken> = names.iter().map(|name| file(name)).collect();
            let together = count(&waiting, &[]);
            let related = |a: &str, b: &str| {
                a == b || a.starts_with(&format!("{b}/")) || b.starts_with(&format!("{a}/"))
            };
            let clashes = |end: usize| {
                let last = &names[end];
                names[..end].iter().any(|other| related(other, last))
            };
            let first = (0..names.len()).find(|end| clashes(*end)).unwrap_or(names.len());
            prop_assert_eq!(together, if first < FEWEST { 0 } else { first });
        }
    }
}
