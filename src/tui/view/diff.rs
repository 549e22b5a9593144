//! Two texts to a unified diff in roles.
//!
//! Pure. Texts above the bound are counted by their lines only.

use similar::{ChangeTag, TextDiff};

use crate::tui::theme::Role;
use crate::tui::view::text::clean_line;

/// More than this is not compared: it would hold up the screen.
const BYTES: usize = 256 * 1024;
const LINES: usize = 4000;

/// A diff, ready to be drawn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) added: usize,
    pub(crate) removed: usize,
    /// Whole lines, clean.
    pub(crate) lines: Vec<(Role, String)>,
}

pub(crate) fn diff(old: Option<&str>, new: &str) -> Diff {
    let old = old.unwrap_or("");
    let lines = |text: &str| text.lines().count();
    if old.len() + new.len() > BYTES || lines(old) + lines(new) > LINES {
        let text = format!(
            "{} lines before, {} after: too much to compare here",
            lines(old),
            lines(new)
        );
        return Diff {
            added: 0,
            removed: 0,
            lines: vec![(Role::Dim, text)],
        };
    }
    let compared = TextDiff::from_lines(old, new);
    let mut out = Diff::default();
    let only = old.is_empty();
    for hunk in compared.unified_diff().context_radius(2).iter_hunks() {
        if !only {
            out.lines
                .push((Role::Dim, hunk.header().to_string().trim_end().to_owned()));
        }
        for change in hunk.iter_changes() {
            let (role, sign) = match change.tag() {
                ChangeTag::Insert => (Role::Added, '+'),
                ChangeTag::Delete => (Role::Removed, '-'),
                ChangeTag::Equal => (Role::Text, ' '),
            };
            out.added += usize::from(sign == '+');
            out.removed += usize::from(sign == '-');
            out.lines
                .push((role, format!("{sign}{}", clean_line(change.value()))));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_counts_and_shows_what_changed() {
        let found = diff(Some("a\nb\nc\n"), "a\nB\nc\nd\n");
        assert_eq!((found.added, found.removed), (2, 1));
        let lines: Vec<&str> = found.lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, ["@@ -1,3 +1,4 @@", " a", "-b", "+B", " c", "+d"]);
    }

    #[test]
    fn a_new_file_is_all_added() {
        let found = diff(None, "x\n\u{1b}[2J");
        assert_eq!((found.added, found.removed), (2, 0));
        assert_eq!(found.lines[1], (Role::Added, "+␛[2J".to_owned()));
    }

    #[test]
    fn huge_texts_are_only_counted() {
        assert_eq!(diff(None, &"x\n".repeat(LINES + 1)).lines.len(), 1);
    }
}
