//! Markdown while it is still being written: finished top-level blocks are drawn once, only the tail again.
//!
//! Pure. What is kept between two calls never changes what is shown: any way of growing a text gives the lines
//! that the whole text gives.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use pulldown_cmark::{Event, Parser};
use ratatui::text::Line;

use crate::tui::theme::Theme;
use crate::tui::view::block::{self, options};

/// One text and its lines.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    /// Everything before this byte is finished and stands in the first `done` lines.
    cut: usize,
    /// Of the text before `cut`, to notice that it is another text.
    hash: u64,
    columns: usize,
    done: usize,
    lines: Vec<Line<'static>>,
}

impl Markdown {
    /// The lines of `source`; `open` while more may come.
    pub(crate) fn lines(
        &mut self,
        source: &str,
        open: bool,
        columns: usize,
        theme: &Theme,
    ) -> &[Line<'static>] {
        if columns != self.columns
            || source
                .get(..self.cut)
                .is_none_or(|kept| hash(kept) != self.hash)
        {
            *self = Self {
                columns,
                hash: hash(""),
                ..Self::default()
            };
        }
        self.lines.truncate(self.done);
        let tail = &source[self.cut..];
        let blocks = blocks(tail);
        let finished = finished(tail, &blocks);
        for (index, block) in blocks.iter().enumerate() {
            if !self.lines.is_empty() {
                self.lines.push(Line::default());
            }
            let over = index < finished || !open;
            block::draw(&tail[block.clone()], over, columns, theme, &mut self.lines);
            if index < finished {
                self.done = self.lines.len();
            }
        }
        if let Some(last) = finished.checked_sub(1) {
            self.cut += blocks[last].end;
            self.hash = hash(&source[..self.cut]);
        }
        &self.lines
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The top-level blocks, each from the start of its first line.
fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut depth = 0usize;
    for (event, range) in Parser::new_ext(text, options()).into_offset_iter() {
        let top = depth == 0;
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ => (),
        }
        if top {
            let line = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
            let start = found.last().map_or(line, |last| line.max(last.end));
            found.push(start..range.end.max(start));
        }
    }
    found
}

/// How many blocks nothing can change any more: those before one whose first line is complete. A half line may yet
/// become a part of the block before it, as `2` becomes `2. b`.
fn finished(text: &str, blocks: &[Range<usize>]) -> usize {
    let complete = text.rfind('\n').map_or(0, |at| at + 1);
    let closing = |pair: &&[Range<usize>]| {
        let start = pair[1].start;
        let line_end = text[start..]
            .find(|char| char != '\n')
            .map_or(text.len(), |skip| {
                text[start + skip..]
                    .find('\n')
                    .map_or(text.len(), |at| start + skip + at)
            });
        line_end < complete
    };
    blocks.windows(2).take_while(|pair| closing(pair)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::theme::Depth;

    fn theme() -> Theme {
        Theme::built_in("dark", Depth::Sixteen)
    }

    fn whole(text: &str, columns: usize) -> Vec<Line<'static>> {
        Markdown::default()
            .lines(text, true, columns, &theme())
            .to_vec()
    }

    fn shown(text: &str, columns: usize) -> Vec<String> {
        whole(text, columns)
            .iter()
            .map(|line| line.to_string().trim_end().to_owned())
            .collect()
    }

    #[test]
    fn every_kind_of_block_has_its_look() {
        let table: [(&str, &[&str]); 11] = [
            ("# One\n\ntwo *three*", &["One", "", "two three"]),
            (
                "- a\n- b\n  1. c\n  2. d\n- e",
                &["• a", "• b", "  1. c", "  2. d", "• e"],
            ),
            ("- a\n\n  b\n- c", &["• a", "", "  b", "• c"]),
            ("3. x\n4. y", &["3. x", "4. y"]),
            ("> quoted\n> > deeper", &["│ quoted", "│", "│ │ deeper"]),
            ("```\na\n\n\tb\n```", &["  a", "", "      b"]),
            (
                "[name](https://x.y) <https://z.w>",
                &["name (https://x.y) https://z.w"],
            ),
            (
                "a|b\n-|-:\n1|22\nlong|3",
                &["a    │  b", "─────┼───", "1    │ 22", "long │  3"],
            ),
            ("- [x] done\n- [ ] not", &["• [x] done", "• [ ] not"]),
            (
                "a\n\n---\n\n![alt](p.png)",
                &[
                    "a",
                    "",
                    "────────────────────────────────────────",
                    "",
                    "image: alt (p.png)",
                ],
            ),
            ("line  \nbreak", &["line", "break"]),
        ];
        for (text, lines) in table {
            assert_eq!(shown(text, 60), lines, "{text:?}");
        }
    }

    #[test]
    fn a_table_that_does_not_fit_loses_no_cell() {
        assert_eq!(
            shown("name|what it is\n-|-\nclock|a shared thing", 16),
            ["name: clock", "what it is: a", "shared thing"]
        );
    }

    #[test]
    fn an_entity_cannot_smuggle_a_control_character() {
        for text in [
            "&#27;[2J",
            "`\u{1b}[2J`",
            "```\n\u{1b}[2J\n```",
            "[a](\u{1b}x)",
            "&#x202e;x",
            "<b>\u{1b}</b>",
        ] {
            for line in shown(text, 40) {
                assert!(
                    !line
                        .chars()
                        .any(|char| char.is_control() || char == '\u{202e}'),
                    "{line:?}"
                );
            }
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("# h\n"),
            Just("- a\n"),
            Just("  - b\n"),
            Just("1. x\n"),
            Just("2"),
            Just(". y\n"),
            Just("\n"),
            Just("```rust\n"),
            Just("```\n"),
            Just("let x = 1;\n"),
            Just("a|b\n"),
            Just("-|-\n"),
            Just("> q\n"),
            Just("word "),
            Just("**bold** "),
            Just("    code\n"),
            Just("===\n"),
            Just("---\n"),
            Just("[a]: /x\n"),
            Just("\"t\n"),
            Just("[a] "),
            Just("<div>\n"),
            Just("漢字 "),
            Just("  "),
            Just("*"),
            Just("\t"),
            Just("\\\n"),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn growing_a_text_gives_the_lines_of_the_whole_at_every_step(text in pieces()) {
            let mut growing = Markdown::default();
            for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
                let lines = growing.lines(&text[..end], true, 30, &theme()).to_vec();
                prop_assert_eq!(lines, whole(&text[..end], 30), "at {}", end);
            }
        }

        #[test]
        fn any_text_is_drawn_within_its_columns(text in any::<String>(), columns in 4usize..40) {
            for line in whole(&text, columns) {
                let line = line.to_string();
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}
