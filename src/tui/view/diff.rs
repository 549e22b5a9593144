//! Two texts to a unified diff: which lines changed, and what in them.
//!
//! Pure. Texts above the bound are counted by their lines only.

use std::ops::Range;

use similar::{ChangeTag, DiffOp, TextDiff};

use crate::tui::theme::Role;
use crate::tui::view::text::clean;

/// More than this is not compared: it would hold up the screen.
const BYTES: usize = 256 * 1024;
const LINES: usize = 4000;
/// Longer lines, in bytes, and more pairs of lines are not compared word by word.
const WORDS: usize = 1000;
const PAIRS: usize = 400;
/// Lines around what changed, unless somebody wants more.
pub(crate) const AROUND: usize = 2;

/// A diff, ready to be drawn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) added: usize,
    pub(crate) removed: usize,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// A part begins: its first line in the new text, from 1, and the head that says all of it.
    Part {
        new: usize,
        head: String,
    },
    Line(Changed),
    Note(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    Old,
    New,
}

/// A line, clean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) side: Side,
    /// Which line of its text, from 0; of the new one when it is in both.
    pub(crate) index: usize,
    pub(crate) text: String,
    /// What of it is not in the line that it takes the place of, in bytes.
    pub(crate) words: Vec<Range<usize>>,
}

impl Side {
    pub(crate) fn look(self) -> (Role, &'static str) {
        match self {
            Self::Both => (Role::Text, " "),
            Self::Old => (Role::Removed, "-"),
            Self::New => (Role::Added, "+"),
        }
    }
}

impl Diff {
    /// Whole lines with one role each.
    pub(crate) fn plain(self) -> impl Iterator<Item = (Role, String)> {
        self.rows.into_iter().map(|row| row.plain())
    }
}

impl Row {
    /// As a line with one role.
    pub(crate) fn plain(&self) -> (Role, String) {
        match self {
            Self::Part { head, .. } => (Role::Dim, head.clone()),
            Self::Note(text) => (Role::Dim, text.clone()),
            Self::Line(line) => {
                let (role, sign) = line.side.look();
                (role, format!("{sign}{}", line.text))
            }
        }
    }
}

/// With so many lines around what changed.
pub(crate) fn diff(old: Option<&str>, new: &str, around: usize) -> Diff {
    let old = old.unwrap_or("");
    let lines = |text: &str| text.lines().count();
    if old.len() + new.len() > BYTES || lines(old) + lines(new) > LINES {
        let text = format!(
            "{} lines before, {} after: too much to compare here",
            lines(old),
            lines(new)
        );
        return Diff {
            rows: vec![Row::Note(text)],
            ..Diff::default()
        };
    }
    let compared = TextDiff::from_lines(old, new);
    let mut out = Diff::default();
    let mut pairs = PAIRS;
    for hunk in compared.unified_diff().context_radius(around).iter_hunks() {
        if !old.is_empty() {
            out.rows.push(Row::Part {
                new: hunk.ops().first().map_or(0, |op| op.new_range().start) + 1,
                head: hunk.header().to_string().trim_end().to_owned(),
            });
        }
        for op in hunk.ops() {
            let first = out.rows.len();
            for change in compared.iter_changes(op) {
                let (side, index) = match change.tag() {
                    ChangeTag::Insert => (Side::New, change.new_index()),
                    ChangeTag::Delete => (Side::Old, change.old_index()),
                    ChangeTag::Equal => (Side::Both, change.new_index()),
                };
                out.added += usize::from(side == Side::New);
                out.removed += usize::from(side == Side::Old);
                let text = change.value().trim_end_matches(['\n', '\r']);
                out.rows.push(Row::Line(Changed {
                    side,
                    index: index.unwrap_or(0),
                    text: clean(text).replace('\n', " "),
                    words: Vec::new(),
                }));
            }
            if matches!(op, DiffOp::Replace { .. }) {
                mark_words(&mut out.rows[first..], op.old_range().len(), &mut pairs);
            }
        }
    }
    out
}

/// In lines that take the place of others, one by one: the old ones stand first.
fn mark_words(rows: &mut [Row], old: usize, pairs: &mut usize) {
    let Some((old, new)) = rows.split_at_mut_checked(old) else {
        return;
    };
    for pair in old.iter_mut().zip(new) {
        if let (Row::Line(old), Row::Line(new)) = pair
            && *pairs > 0
            && old.text.len().max(new.text.len()) <= WORDS
        {
            *pairs -= 1;
            (old.words, new.words) = words(&old.text, &new.text);
        }
    }
}

/// What of two lines is not in the other; nothing where they have little in common.
fn words(old: &str, new: &str) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let (of_old, of_new) = (tokens(old), tokens(new));
    let compared = TextDiff::from_slices(&of_old, &of_new);
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let (mut at_old, mut at_new, mut same) = (0, 0, 0);
    for change in compared.iter_all_changes() {
        let length = change.value().len();
        match change.tag() {
            ChangeTag::Equal => {
                same += change.value().trim().len();
                at_old += length;
                at_new += length;
            }
            ChangeTag::Delete => {
                grow(&mut gone, at_old..at_old + length);
                at_old += length;
            }
            ChangeTag::Insert => {
                grow(&mut come, at_new..at_new + length);
                at_new += length;
            }
        }
    }
    if same * 3 < old.trim().len().max(new.trim().len()) {
        return (Vec::new(), Vec::new());
    }
    (gone, come)
}

/// Words, and every other character by itself.
fn tokens(text: &str) -> Vec<&str> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let mut tokens = Vec::new();
    let mut from = 0;
    let mut last = false;
    for (at, char) in text.char_indices() {
        if at > from && !(last && is_word(char)) {
            tokens.push(&text[from..at]);
            from = at;
        }
        last = is_word(char);
    }
    if from < text.len() {
        tokens.push(&text[from..]);
    }
    tokens
}

fn grow(ranges: &mut Vec<Range<usize>>, new: Range<usize>) {
    match ranges.last_mut() {
        Some(last) if last.end == new.start => last.end = new.end,
        Some(_) | None => ranges.push(new),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(old: Option<&str>, new: &str, around: usize) -> Vec<String> {
        let found = diff(old, new, around);
        found.plain().map(|(_, line)| line).collect()
    }

    #[test]
    fn a_diff_counts_and_shows_what_changed() {
        let found = diff(Some("a\nb\nc\n"), "a\nB\nc\nd\n", 2);
        assert_eq!((found.added, found.removed), (2, 1));
        assert!(matches!(found.rows[0], Row::Part { new: 1, .. }));
        let lines: Vec<String> = found.plain().map(|(_, line)| line).collect();
        assert_eq!(lines, ["@@ -1,3 +1,4 @@", " a", "-b", "+B", " c", "+d"]);
    }

    #[test]
    fn what_stands_around_is_as_much_as_is_wished() {
        let (old, new) = ("1\n2\n3\n4\n5\n", "1\n2\nx\n4\n5\n");
        assert_eq!(plain(Some(old), new, 0), ["@@ -3 +3 @@", "-3", "+x"]);
        assert_eq!(plain(Some(old), new, 1)[1..], [" 2", "-3", "+x", " 4"]);
        assert_eq!(plain(Some(old), new, 9).len(), 7);
    }

    #[test]
    fn a_new_file_is_all_added() {
        let found = diff(None, "x\n\u{1b}[2J", 2);
        assert_eq!((found.added, found.removed), (2, 0));
        assert_eq!(plain(None, "x\n\u{1b}[2J", 2)[1], "+␛[2J");
    }

    #[test]
    fn huge_texts_are_only_counted() {
        assert_eq!(diff(None, &"x\n".repeat(LINES + 1), 2).rows.len(), 1);
    }

    #[test]
    fn the_words_that_changed_are_known() {
        let table: [(&str, &str, &[&str], &[&str]); 5] = [
            ("let a = one(2);", "let a = two(2);", &["one"], &["two"]),
            ("f(x)", "f(x, y)", &[], &[", y"]),
            ("all of it", "something else here", &[], &[]),
            ("wait_a(1)", "wait_b(1)", &["wait_a"], &["wait_b"]),
            ("漢字 = 1", "漢字 = 2", &["1"], &["2"]),
        ];
        for (old, new, gone, come) in table {
            let found = diff(Some(&format!("{old}\n")), &format!("{new}\n"), 0);
            let marked: Vec<Vec<&str>> = found.rows[1..]
                .iter()
                .map(|row| match row {
                    Row::Line(line) => line.words.iter().map(|at| &line.text[at.clone()]).collect(),
                    Row::Part { .. } | Row::Note(_) => Vec::new(),
                })
                .collect();
            assert_eq!(marked, [gone, come], "{old:?} {new:?}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_of_a_line_that_stay_are_the_same(old in "[ab漢 (]{0,12}", new in "[ab漢 (]{0,12}") {
            let (gone, come) = words(&old, &new);
            let rest = |text: &str, marked: &[Range<usize>]| -> String {
                let inside = |at: usize| marked.iter().any(|range| range.contains(&at));
                text.char_indices().filter(|(at, _)| !inside(*at)).map(|(_, char)| char).collect()
            };
            if !(gone.is_empty() && come.is_empty()) {
                prop_assert_eq!(rest(&old, &gone), rest(&new, &come));
            }
        }
    }
}
