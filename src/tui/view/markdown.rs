//! Markdown while it is still being written: what is finished is drawn once, only what is open again.
//!
//! Pure. What is kept between two calls never changes what is shown: any way of growing a text gives the lines
//! that the whole text gives. A call costs what is new, and what may still change: of an open block of code that is
//! its last line, of anything else the block.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{Event, Parser};
use ratatui::text::{Line, Span};

use crate::tui::colours::Name;
use crate::tui::view::block::{self, Sheet, options};

/// A text that only grows, until it is another one.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    /// Differs when what stands before its end has changed.
    pub(crate) rewrites: u32,
    /// More may come.
    pub(crate) open: bool,
}

/// What its lines are made for.
#[derive(Clone, Copy)]
pub(crate) struct Page<'a> {
    /// Without the indent.
    pub(crate) sheet: Sheet<'a>,
    /// Before every line.
    pub(crate) indent: &'a Span<'static>,
}

/// How far a text is drawn. Its lines stand where they are shown, behind lines of others.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    made: Option<Made>,
    /// Everything before this byte is finished and stands in the first `done` lines.
    cut: usize,
    done: usize,
    /// The open block of code that `cut` stands in.
    fence: Option<Fence>,
    plain: Vec<Plain>,
}

/// A finished block whose code has no colours yet: its lines will be the same in other colours.
#[derive(Debug)]
struct Plain {
    awaited: Vec<Name>,
    text: Range<usize>,
    lines: Range<usize>,
}

/// What the finished lines depend on.
#[derive(Debug, PartialEq)]
struct Made {
    rewrites: u32,
    columns: usize,
    lead: Vec<Line<'static>>,
}

/// A block of code that has not been closed.
#[derive(Debug)]
struct Fence {
    /// Where it begins.
    at: usize,
    /// The lines before it.
    lines: usize,
    /// Its first line, with what ends it.
    opening: String,
    mark: Mark,
}

/// What opens a block of code: the sign and how many of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    sign: u8,
    count: usize,
}

impl Markdown {
    /// Brings `lines` to what `lead` and the text are. They are those of the last call, or anything when this is the
    /// first.
    pub(crate) fn grow(
        &mut self,
        text: Text,
        lead: Vec<Line<'static>>,
        page: Page,
        lines: &mut Vec<Line<'static>>,
    ) {
        let made = Made {
            rewrites: text.rewrites,
            columns: page.sheet.columns,
            lead,
        };
        if self.made.as_ref() != Some(&made) || !text.text.is_char_boundary(self.cut) {
            lines.clone_from(&made.lead);
            *self = Self {
                done: lines.len(),
                made: Some(made),
                ..Self::default()
            };
        }
        lines.truncate(self.done);
        // Half a line end, perhaps.
        let half = text.text.strip_suffix('\r').filter(|_| text.open);
        let text = Text {
            text: half.unwrap_or(text.text),
            ..text
        };
        self.colour(text, page, lines);
        if !self.code_goes_on(text, page, lines) {
            self.blocks(text, page, lines);
        }
    }

    /// Draws finished blocks again whose colours have been found since.
    fn colour(&mut self, text: Text, page: Page, lines: &mut [Line<'static>]) {
        for block in std::mem::take(&mut self.plain) {
            let Plain {
                awaited,
                text: range,
                lines: place,
            } = block;
            if !awaited.iter().any(|name| page.sheet.ink.is_found(*name)) {
                page.sheet.ink.await_these(&awaited);
                self.plain.push(Plain {
                    awaited,
                    text: range,
                    lines: place,
                });
                continue;
            }
            let (mark, mut new) = (page.sheet.ink.mark(), Vec::new());
            let block = line_ends(&text.text[range.clone()]);
            draw(&block, true, page, &mut new);
            if let Some(old) = lines.get_mut(place.clone())
                && old.len() == new.len()
            {
                old.clone_from_slice(&new);
            }
            self.note_plain(page.sheet.ink.since(mark), range, place);
        }
    }

    fn note_plain(&mut self, awaited: Vec<Name>, text: Range<usize>, lines: Range<usize>) {
        if !awaited.is_empty() {
            self.plain.push(Plain {
                awaited,
                text,
                lines,
            });
        }
    }

    fn blocks(&mut self, text: Text, page: Page, lines: &mut Vec<Line<'static>>) {
        let tail = &*line_ends(&text.text[self.cut..]);
        let begin = self.cut;
        let blocks = blocks(tail);
        let finished = finished(tail, &blocks);
        for (index, block) in blocks.iter().enumerate() {
            let before = lines.len();
            if before > self.lead() {
                lines.push(Line::from(page.indent.clone()));
            }
            let whole = &tail[block.clone()];
            let may_be_open = text.open && index >= finished && index + 1 == blocks.len();
            if may_be_open && let Some((opening, mark)) = open_code(&tail[block.start..]) {
                self.cut = begin + block.start + opening.len();
                self.done = lines.len();
                self.fence = Some(Fence {
                    at: begin + block.start,
                    lines: before,
                    opening: opening.to_owned(),
                    mark,
                });
                self.code_goes_on(text, page, lines);
                return;
            }
            let (mark, first) = (page.sheet.ink.mark(), lines.len());
            draw(whole, index < finished || !text.open, page, lines);
            if index < finished {
                let awaited = page.sheet.ink.since(mark);
                self.done = lines.len();
                self.cut = begin + block.end;
                self.note_plain(awaited, begin + block.start..self.cut, first..self.done);
            }
        }
    }

    /// More of the block of code that is open. False when there is none, or when it is over and to be drawn whole.
    fn code_goes_on(&mut self, text: Text, page: Page, lines: &mut Vec<Line<'static>>) -> bool {
        let Some(fence) = &self.fence else {
            return false;
        };
        let new = &*line_ends(&text.text[self.cut..]);
        if !text.open || is_closed(new, fence.mark) {
            self.done = fence.lines;
            self.cut = fence.at;
            self.fence = None;
            lines.truncate(self.done);
            return false;
        }
        let (whole, part) = new.split_at(new.rfind('\n').map_or(0, |at| at + 1));
        if !whole.is_empty() {
            draw(&format!("{}{whole}", fence.opening), false, page, lines);
            self.cut += whole.len();
            self.done = lines.len();
        }
        if !part.is_empty() && !fence.mark.closes(part) {
            draw(&format!("{}{part}", fence.opening), false, page, lines);
        }
        true
    }

    fn lead(&self) -> usize {
        self.made.as_ref().map_or(0, |made| made.lead.len())
    }
}

fn draw(text: &str, over: bool, page: Page, lines: &mut Vec<Line<'static>>) {
    let new = lines.len();
    block::draw(text, over, page.sheet, lines);
    for line in &mut lines[new..] {
        line.spans.insert(0, page.indent.clone());
    }
}

/// The first line of a block of code that is open, when it is one.
fn open_code(block: &str) -> Option<(&str, Mark)> {
    let end = block.find('\n')? + 1;
    let (opening, rest) = block.split_at(end);
    let mark = Mark::opens(opening)?;
    (!is_closed(rest, mark)).then_some((opening, mark))
}

/// Is one of the whole lines the end of the code?
fn is_closed(code: &str, mark: Mark) -> bool {
    let mut lines = code.split_inclusive('\n');
    lines.any(|line| line.ends_with('\n') && mark.closes(line))
}

/// With an end for every line that everybody sees. Nothing moves.
fn line_ends(text: &str) -> Cow<'_, str> {
    let is_odd = |at: &usize| !text[at + 1..].starts_with('\n');
    let mut odd = memchr::memchr_iter(b'\r', text.as_bytes()).filter(is_odd);
    let Some(first) = odd.next() else {
        return Cow::Borrowed(text);
    };
    let mut shown = String::with_capacity(text.len());
    for at in std::iter::once(first).chain(odd) {
        shown.push_str(&text[shown.len()..at]);
        shown.push('\n');
    }
    shown.push_str(&text[shown.len()..]);
    Cow::Owned(shown)
}

impl Mark {
    fn at_start(line: &str) -> Option<(Self, &str)> {
        let bare = line.trim_start_matches(' ');
        let sign = *bare
            .as_bytes()
            .first()
            .filter(|sign| matches!(sign, b'`' | b'~'))?;
        let count = bare.bytes().take_while(|byte| *byte == sign).count();
        let fits = line.len() - bare.len() <= 3 && count >= 3;
        fits.then(|| (Self { sign, count }, &bare[count..]))
    }

    fn opens(line: &str) -> Option<Self> {
        let (mark, words) = Self::at_start(line)?;
        (mark.sign != b'`' || !words.contains('`')).then_some(mark)
    }

    /// Behind it stand spaces only; a tab is for the parser a part of the code.
    fn closes(self, line: &str) -> bool {
        Self::at_start(line).is_some_and(|(mark, rest)| {
            let bare = rest.trim_end_matches(['\r', '\n']).trim_matches(' ');
            mark.sign == self.sign && mark.count >= self.count && bare.is_empty()
        })
    }
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
/// become a part of the block before it, as `2` becomes `2. b`. Code that has been closed is finished at once.
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
    let before = blocks.windows(2).take_while(|pair| closing(pair)).count();
    let last = blocks.last().filter(|_| before + 1 == blocks.len());
    let is_closed = last.is_some_and(|last| is_closed_code(&text[last.start..]));
    before + usize::from(is_closed)
}

/// A block of code with its last line, whole.
fn is_closed_code(block: &str) -> bool {
    let Some((opening, code)) = block.split_once('\n') else {
        return false;
    };
    Mark::opens(opening).is_some_and(|mark| is_closed(code, mark))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::colours::Colours;
    use ratatui::style::Modifier;

    use crate::tui::theme::{Depth, Role, Theme};
    use crate::tui::view::code;
    use crate::tui::view::ink::{Ink, Notes};

    /// As it is drawn with these colours known, and what it would have needed.
    fn with<T>(colours: &Colours, columns: usize, draws: impl FnOnce(Sheet) -> T) -> (T, Notes) {
        let theme = Theme::built_in("dark", Depth::Sixteen);
        let ink = Ink::new(colours);
        let drawn = draws(Sheet {
            columns,
            theme: &theme,
            ink: &ink,
        });
        (drawn, ink.notes())
    }

    fn open(text: &str) -> Text<'_> {
        Text {
            text,
            rewrites: 0,
            open: true,
        }
    }

    fn grow(markdown: &mut Markdown, text: Text, columns: usize, lines: &mut Vec<Line<'static>>) {
        grow_with(&Colours::default(), markdown, text, columns, lines);
    }

    fn grow_with(
        colours: &Colours,
        markdown: &mut Markdown,
        text: Text,
        columns: usize,
        lines: &mut Vec<Line<'static>>,
    ) -> Notes {
        let indent = &Span::raw(" ");
        let head = vec![Line::from("head")];
        with(colours, columns, |sheet| {
            markdown.grow(text, head, Page { sheet, indent }, lines);
        })
        .1
    }

    /// All of it from the parser, nothing kept and nothing cut short.
    fn whole(text: &str, columns: usize) -> Vec<Line<'static>> {
        whole_with(&Colours::default(), text, columns)
    }

    fn whole_with(colours: &Colours, text: &str, columns: usize) -> Vec<Line<'static>> {
        let text = &*line_ends(text.strip_suffix('\r').unwrap_or(text));
        with(colours, columns, |sheet| {
            let mut lines = Vec::new();
            let blocks = blocks(text);
            let finished = finished(text, &blocks);
            for (index, block) in blocks.iter().enumerate() {
                if !lines.is_empty() {
                    lines.push(Line::default());
                }
                let over = index < finished;
                block::draw(&text[block.clone()], over, sheet, &mut lines);
            }
            lines
        })
        .0
    }

    /// As they stand behind the head, with the indent.
    fn in_place(lines: Vec<Line<'static>>) -> Vec<Line<'static>> {
        let head = Line::from("head");
        let indented = lines.into_iter().map(|mut line| {
            line.spans.insert(0, Span::raw(" "));
            line
        });
        std::iter::once(head).chain(indented).collect()
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
    fn what_is_finished_is_never_drawn_again() {
        let finished = [
            "# One\n\ntwo\n\n",
            "```rust\nfn f() {}\n```\n",
            "```\nline\nline\n",
        ];
        for before in finished {
            let (mut growing, mut lines) = (Markdown::default(), Vec::new());
            grow(&mut growing, open(before), 40, &mut lines);
            let text = format!("{before}par\n\ntai");
            grow(&mut growing, open(&text), 40, &mut lines);
            // Whoever drew it again would draw it right.
            let done = growing.done - 1;
            lines[done] = Line::from("as it was");
            grow(
                &mut growing,
                open(&format!("{text}l\nof it")),
                40,
                &mut lines,
            );
            assert_eq!(lines[done].to_string(), "as it was", "{before:?}");
        }
    }

    #[test]
    fn colours_that_come_later_are_those_that_were_there_before() {
        let text = "```rust\nfn f() {}\n```\n\nand\n\n- x\n\n  ```rust\n  \tlet y = 1;\n  ```\n\nmore\n\nend";
        let (mut growing, mut lines) = (Markdown::default(), Vec::new());
        let mut colours = Colours::default();
        let notes = grow_with(&colours, &mut growing, open(text), 40, &mut lines);
        assert_eq!((notes.wanted.len(), notes.awaited.len()), (2, 2));
        assert_eq!(lines, in_place(whole(text, 40)), "plain meanwhile");
        // One after the other, as they are found.
        for snippet in colours.ask(notes.wanted) {
            colours.learn(code::colour(vec![snippet]));
            grow_with(&colours, &mut growing, open(text), 40, &mut lines);
            assert_eq!(lines, in_place(whole_with(&colours, text, 40)));
        }
        assert_ne!(lines, in_place(whole(text, 40)), "they are coloured");
        let notes = grow_with(&colours, &mut growing, open(text), 40, &mut lines);
        assert!(notes.wanted.is_empty() && notes.awaited.is_empty());
    }

    #[test]
    fn another_text_in_its_place_is_drawn_anew() {
        let (mut growing, mut lines) = (Markdown::default(), Vec::new());
        grow(&mut growing, open("one\n\ntwo\n\nthree"), 40, &mut lines);
        let other = Text {
            rewrites: 1,
            open: false,
            ..open("1\n\n2\n\n3 and more")
        };
        grow(&mut growing, other, 40, &mut lines);
        let shown: Vec<String> = lines.iter().map(Line::to_string).collect();
        assert_eq!(shown, ["head", " 1", " ", " 2", " ", " 3 and more"]);
    }

    #[test]
    fn a_table_that_does_not_fit_loses_no_cell() {
        assert_eq!(
            shown("name|what it is\n-|-\nclock|a shared thing", 16),
            ["name: clock", "what it is: a", "shared thing"]
        );
    }

    #[test]
    fn what_stands_in_a_table_looks_as_it_does_elsewhere() {
        let text = "a|b\n-|-:\n**x** y|`漢`\n";
        for columns in [40, 4] {
            let theme = Theme::built_in("dark", Depth::Sixteen);
            let lines = whole(text, columns);
            let span = |wanted: &str| {
                let mut spans = lines.iter().flat_map(|line| &line.spans);
                let found = spans.find(|span| span.content.trim() == wanted);
                found
                    .unwrap_or_else(|| panic!("{wanted} in {lines:?}"))
                    .style
            };
            let plain = theme.style(Role::Text);
            if columns == 40 {
                assert_eq!(span("x"), plain.add_modifier(Modifier::BOLD));
            }
            assert_eq!(span("y"), plain);
            assert_eq!(span("漢"), plain.patch(theme.style(Role::Code)));
        }
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
            Just("````\n"),
            Just("~~~ x\n"),
            Just("~~~\n"),
            Just(" ```"),
            Just("\r\n"),
            Just("\r"),
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
            let (mut growing, mut lines) = (Markdown::default(), Vec::new());
            for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
                grow(&mut growing, open(&text[..end]), 30, &mut lines);
                let wanted = in_place(whole(&text[..end], 30));
                prop_assert_eq!(&lines, &wanted, "at {}", end);
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
