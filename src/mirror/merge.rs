//! Two versions of a text, each with changes of its own, put together line by line.
//!
//! Pure. What only one side changed is taken over; where both changed the same lines, both stand between marks.

use diffy::MergeOptions;

/// What a merge comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// No line was changed by both.
    Clean(String),
    /// Both versions of so many places, between marks as git writes them.
    Overlaps { text: String, places: usize },
}

/// The mark in front of a place that is not decided, as git writes it.
const MARK: &str = "<<<<<<< ";

pub fn merge(base: &str, mine: &str, theirs: &str) -> Merged {
    match MergeOptions::new().merge(base, mine, theirs) {
        Ok(text) => Merged::Clean(text),
        Err(text) => {
            let places = undecided(&text);
            Merged::Overlaps { text, places }
        }
    }
}

/// Places that still have both versions.
pub fn undecided(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with(MARK)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_one_side_changed_is_taken_and_what_both_did_is_marked() {
        let clean = |text: &str| Merged::Clean(text.into());
        let table = [
            ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", clean("A\nb\nC\n")),
            ("a\nb\nc\n", "a\nc\n", "a\nb\nc\nd\n", clean("a\nc\nd\n")),
            ("a\n", "b\n", "b\n", clean("b\n")),
            (
                "a\r\nb\r\nc\r\n",
                "A\r\nb\r\nc\r\n",
                "a\r\nb\r\nC\r\n",
                clean("A\r\nb\r\nC\r\n"),
            ),
            ("a\nb\nc", "A\nb\nc", "a\nb\nc", clean("A\nb\nc")),
        ];
        for (base, mine, theirs, want) in table {
            assert_eq!(
                merge(base, mine, theirs),
                want,
                "{base:?} {mine:?} {theirs:?}"
            );
        }
        let Merged::Overlaps { text, places } = merge("a\nb\n", "mine\nb\n", "theirs\nb\n") else {
            panic!("both changed the first line");
        };
        assert_eq!((places, undecided(&text)), (1, 1));
        for line in ["mine", "a", "theirs", "b"] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
        let Merged::Overlaps { places, .. } = merge("", "mine", "theirs") else {
            panic!("both made the file");
        };
        assert_eq!(places, 1);
    }

    proptest! {
        /// A side without changes of its own gives way whole, and no line of either is lost.
        #[test]
        fn nothing_of_either_side_is_lost(
            base in "([abc]\n){0,12}",
            mine in "([abc]\n){0,12}",
            theirs in "([abc]\n){0,12}",
        ) {
            prop_assert_eq!(merge(&base, &mine, &base), Merged::Clean(mine.clone()));
            prop_assert_eq!(merge(&base, &base, &theirs), Merged::Clean(theirs.clone()));
            prop_assert_eq!(merge(&base, &mine, &mine), Merged::Clean(mine.clone()));
            let fresh = merge("", &mine, &theirs);
            let text = match &fresh {
                Merged::Clean(text) | Merged::Overlaps { text, .. } => text,
            };
            for line in mine.lines().chain(theirs.lines()) {
                prop_assert!(text.lines().any(|one| one == line));
            }
        }
    }
}
