//! A text without one of the changes that were made to it.
//!
//! Pure. What counts as one change is what stands together in a diff.

use similar::{DiffOp, DiffTag, TextDiff};

use crate::tui::view::diff::AROUND;

/// The new text with the change of this number, from 0, taken back; `None` when there is no such change.
pub(crate) fn without(old: &str, new: &str, hunk: usize) -> Option<String> {
    let compared = TextDiff::from_lines(old, new);
    let groups = compared.grouped_ops(AROUND);
    let group = groups.get(hunk)?;
    let is_taken = |op: &DiffOp| op.tag() != DiffTag::Equal && group.contains(op);
    let mut text = String::new();
    for op in compared.ops() {
        let slices = if is_taken(op) {
            &compared.old_slices()[op.old_range()]
        } else {
            &compared.new_slices()[op.new_range()]
        };
        slices.iter().for_each(|line| text.push_str(line));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_change_is_taken_back_and_the_others_stay() {
        let lines = |changed: &[usize]| -> String {
            let line = |n: usize| match changed.contains(&n) {
                true => format!("new {n}\n"),
                false => format!("old {n}\n"),
            };
            (0..30).map(line).collect()
        };
        let (old, new) = (lines(&[]), lines(&[2, 15, 16, 28]));
        assert_eq!(without(&old, &new, 0), Some(lines(&[15, 16, 28])));
        assert_eq!(without(&old, &new, 1), Some(lines(&[2, 28])));
        assert_eq!(without(&old, &new, 2), Some(lines(&[2, 15, 16])));
        assert_eq!(without(&old, &new, 3), None);
        assert_eq!(without("a\nb", "a\nb\n", 0).as_deref(), Some("a\nb"));
        assert_eq!(without("", "made\n", 0).as_deref(), Some(""));
        assert_eq!(without("gone\n", "", 0).as_deref(), Some("gone\n"));
        assert_eq!(without("same\n", "same\n", 0), None);
    }

    proptest! {
        #[test]
        fn with_every_change_taken_back_it_is_the_old_text(
            old in "([abc]\n){0,40}[ab]?", new in "([abc]\n){0,40}[ab]?",
        ) {
            let mut text = new;
            // Each one brings it nearer: the first is always one that was there.
            for _ in 0..200 {
                match without(&old, &text, 0) {
                    Some(nearer) => text = nearer,
                    None => break,
                }
            }
            prop_assert_eq!(text, old);
        }
    }
}
