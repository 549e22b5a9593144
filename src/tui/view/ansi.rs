//! The output of a command as its terminal would show it: with its colours, and without everything else that a terminal
//! obeys.
//!
//! Pure. Only what a command printed has colours of its own; what an agent says never passes here. A carriage return
//! goes back to the start of its line, and what follows writes over what stood there.

use ratatui::style::{Modifier, Style};
use ratatui::text::Span;
use unicode_width::UnicodeWidthChar;

use crate::tui::theme::{Role, Shade, Theme};
use crate::tui::view::text::clean;

/// Columns between tab stops.
const TAB: usize = 8;
/// No tab stops behind this column: a line of tabs must not become eight times as long.
const WIDEST: usize = 512;

/// The lines of an output. They hold no character that could move a cursor or hide anything.
pub(crate) fn lines(text: &str, theme: &Theme) -> Vec<Vec<Span<'static>>> {
    let mut paper = Paper {
        theme,
        line: Vec::new(),
        column: 0,
        pen: Pen::default(),
        lines: Vec::new(),
    };
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let behind = &rest[char.len_utf8()..];
        rest = match char {
            '\n' => paper.end_line(behind),
            '\r' => paper.go(0, behind),
            '\u{8}' => paper.go(paper.column.saturating_sub(1), behind),
            '\t' if paper.column < WIDEST => paper.go((paper.column / TAB + 1) * TAB, behind),
            '\t' => paper.put(' ', behind),
            '\u{1b}' => paper.escape(behind),
            '\u{9b}' => paper.control(behind),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(behind),
            _ if char.is_control() => behind,
            _ => paper.put(char, behind),
        };
    }
    if !paper.line.is_empty() {
        paper.end_line("");
    }
    paper.lines
}

/// How the next character looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Pen {
    front: Option<Shade>,
    ground: Option<Shade>,
    attributes: Modifier,
}

/// What has been printed so far.
struct Paper<'a> {
    theme: &'a Theme,
    /// A character with what joins it.
    line: Vec<(String, Pen)>,
    column: usize,
    pen: Pen,
    lines: Vec<Vec<Span<'static>>>,
}

impl Paper<'_> {
    fn go<'t>(&mut self, column: usize, behind: &'t str) -> &'t str {
        self.column = column;
        behind
    }

    fn put<'t>(&mut self, char: char, behind: &'t str) -> &'t str {
        let joins = char.width() == Some(0);
        if joins
            && let Some((before, _)) = self
                .column
                .checked_sub(1)
                .and_then(|at| self.line.get_mut(at))
        {
            before.push(char);
            return behind;
        }
        let blank = || (" ".to_owned(), Pen::default());
        if self.line.len() <= self.column {
            self.line.resize_with(self.column + 1, blank);
        }
        self.line[self.column] = (char.to_string(), self.pen);
        self.column += 1;
        behind
    }

    fn end_line<'t>(&mut self, behind: &'t str) -> &'t str {
        let bare = |(text, pen): &(String, Pen)| text == " " && *pen == Pen::default();
        while self.line.last().is_some_and(bare) {
            self.line.pop();
        }
        let runs = self.line.chunk_by(|a, b| a.1 == b.1).map(|run| {
            let text: String = run.iter().map(|(text, _)| text.as_str()).collect();
            Span::styled(clean(&text).replace('\n', " "), style(run[0].1, self.theme))
        });
        self.lines.push(runs.collect());
        self.line.clear();
        self.column = 0;
        behind
    }

    /// What stands behind an escape.
    fn escape<'t>(&mut self, rest: &'t str) -> &'t str {
        match rest.as_bytes().first() {
            Some(b'[') => self.control(&rest[1..]),
            Some(b']' | b'P' | b'X' | b'^' | b'_') => skip_string(&rest[1..]),
            _ => {
                let between = run(rest, 0x20..=0x2f);
                let is_end = matches!(rest.as_bytes().get(between), Some(0x30..=0x7e));
                &rest[between + usize::from(is_end)..]
            }
        }
    }

    /// A control sequence behind its introducer. Looks are taken on, and what was erased is; the rest is left out.
    fn control<'t>(&mut self, rest: &'t str) -> &'t str {
        let (words, behind) = rest.split_at(run(rest, 0x30..=0x3f));
        let between = run(behind, 0x20..=0x2f);
        let Some(end @ 0x40..=0x7e) = behind.as_bytes().get(between) else {
            return &behind[between..];
        };
        match (end, words, between) {
            (b'm', words, 0) if !words.starts_with(['<', '=', '>', '?']) => self.pen.take(words),
            (b'K', "" | "0", 0) => self.line.truncate(self.column),
            (b'K', "2", 0) => self.line.clear(),
            _ => (),
        }
        &behind[between + 1..]
    }
}

/// How many bytes of this kind stand at the start.
fn run(text: &str, kind: std::ops::RangeInclusive<u8>) -> usize {
    text.bytes().take_while(|byte| kind.contains(byte)).count()
}

/// Behind a string for the terminal: a title, a clipboard. One that does not end in its line is shown.
fn skip_string(rest: &str) -> &str {
    let line = rest.split('\n').next().unwrap_or(rest);
    let ends = ["\u{7}", "\u{1b}\\", "\u{9c}"].map(|end| line.find(end).map(|at| at + end.len()));
    let end = ends.into_iter().flatten().min().unwrap_or(0);
    &rest[end..]
}

impl Pen {
    /// What a sequence says of the looks; numbers that nobody knows say nothing. Nothing is ever hidden, nothing blinks.
    fn take(&mut self, words: &str) {
        let mut words = words.split(';');
        while let Some(word) = words.next() {
            let (number, more) = word.split_once(':').unwrap_or((word, ""));
            let number: u8 = match number {
                "" => 0,
                number => number.parse().unwrap_or(u8::MAX),
            };
            match number {
                0 => *self = Self::default(),
                1 => self.attributes |= Modifier::BOLD,
                2 => self.attributes |= Modifier::DIM,
                3 => self.attributes |= Modifier::ITALIC,
                4 if more == "0" => self.attributes -= Modifier::UNDERLINED,
                4 | 21 => self.attributes |= Modifier::UNDERLINED,
                7 => self.attributes |= Modifier::REVERSED,
                9 => self.attributes |= Modifier::CROSSED_OUT,
                22 => self.attributes -= Modifier::BOLD | Modifier::DIM,
                23 => self.attributes -= Modifier::ITALIC,
                24 => self.attributes -= Modifier::UNDERLINED,
                27 => self.attributes -= Modifier::REVERSED,
                29 => self.attributes -= Modifier::CROSSED_OUT,
                30..=37 => self.front = Some(Shade::Number(number - 30)),
                39 => self.front = None,
                40..=47 => self.ground = Some(Shade::Number(number - 40)),
                49 => self.ground = None,
                90..=97 => self.front = Some(Shade::Number(number - 82)),
                100..=107 => self.ground = Some(Shade::Number(number - 92)),
                38 | 48 | 58 => {
                    let shade = match more {
                        "" => shade(&mut words),
                        // A colour may have its space before its parts.
                        more => shade(&mut more.split(':').filter(|part| !part.is_empty())),
                    };
                    match number {
                        38 => self.front = shade.or(self.front),
                        48 => self.ground = shade.or(self.ground),
                        // The line under a text has the colour of the text.
                        _ => (),
                    }
                }
                _ => (),
            }
        }
    }
}

/// `5;n` or `2;r;g;b`.
fn shade<'t>(words: &mut impl Iterator<Item = &'t str>) -> Option<Shade> {
    let kind = words.next()?;
    let mut number = || words.next()?.parse::<u8>().ok();
    match kind {
        "5" => number().map(Shade::Number),
        "2" => Some(Shade::Rgb(number()?, number()?, number()?)),
        _ => None,
    }
}

fn style(pen: Pen, theme: &Theme) -> Style {
    let mut style = theme.style(Role::Text).add_modifier(pen.attributes);
    style.fg = pen.front.map_or(style.fg, |shade| theme.shade(shade));
    style.bg = pen.ground.map_or(style.bg, |shade| theme.shade(shade));
    style
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::theme::Depth;

    fn shown(text: &str) -> Vec<String> {
        let lines = lines(text, &Theme::built_in("dark", Depth::True));
        let whole = |line: &Vec<Span>| line.iter().map(|span| &*span.content).collect();
        lines.iter().map(whole).collect()
    }

    #[test]
    fn what_a_terminal_obeys_is_taken_out_and_a_line_is_written_over() {
        let table: [(&str, &[&str]); 16] = [
            ("\u{1b}[31mred\u{1b}[0m", &["red"]),
            ("10%\r50%\r100%\n", &["100%"]),
            ("long line\rab\n", &["abng line"]),
            ("long line\r\u{1b}[Kab", &["ab"]),
            ("a\r\nb\r\n", &["a", "b"]),
            ("ab\u{8}c", &["ac"]),
            ("a\tb", &["a       b"]),
            (
                "\u{1b}]0;title\u{7}x\u{1b}]8;;http://x\u{1b}\\link",
                &["xlink"],
            ),
            ("\u{1b}]0;never ends\nnext", &["0;never ends", "next"]),
            (
                "\u{1b}[2J\u{1b}[10;10H\u{1b}[?1049hx\u{1b}(B\u{1b}=",
                &["x"],
            ),
            ("\u{9b}31mx\u{90}q\u{9c}y", &["xy"]),
            ("bell\u{7} nul\0 del\u{7f}", &["bell nul del"]),
            ("cut \u{1b}[38;5", &["cut"]),
            ("e\u{301}x 漢", &["e\u{301}x 漢"]),
            ("if \u{202e}x", &["if ‹U+202E›x"]),
            ("\n\na   \n", &["", "", "a"]),
        ];
        for (text, lines) in table {
            assert_eq!(shown(text), lines, "{text:?}");
        }
    }

    #[test]
    fn looks_are_kept_and_come_down_to_what_the_terminal_has() {
        let styles = |text: &str, depth| -> Vec<Style> {
            let theme = Theme::built_in("dark", depth);
            lines(text, &theme)
                .concat()
                .iter()
                .map(|span| span.style)
                .collect()
        };
        let same = [
            ("\u{1b}[1;31mx", "\u{1b}[31m\u{1b}[1mx"),
            ("\u{1b}[38;5;9mx", "\u{1b}[91mx"),
            ("\u{1b}[38:2::1:2:3mx", "\u{1b}[38;2;1;2;3mx"),
            ("\u{1b}[58;5;1;4mx", "\u{1b}[4mx"),
            ("\u{1b}[31;mx", "x"),
            ("\u{1b}[8mx", "x"),
            ("\u{1b}[>4mx", "x"),
        ];
        for (one, other) in same {
            assert_eq!(
                styles(one, Depth::True),
                styles(other, Depth::True),
                "{one:?}"
            );
        }
        assert_ne!(styles("\u{1b}[31mx", Depth::True), styles("x", Depth::True));
        let bare = styles("\u{1b}[31;44;1mx", Depth::None);
        assert_eq!((bare[0].fg, bare[0].bg), (None, None));
        assert!(bare[0].add_modifier.contains(Modifier::BOLD));
        assert_eq!(
            styles("\u{1b}[38;2;255;0;0mx", Depth::Sixteen),
            styles("\u{1b}[91mx", Depth::Sixteen)
        );
    }

    #[test]
    fn a_line_of_tabs_is_not_made_longer_than_it_is() {
        let line = shown(&format!("{}x", "\t".repeat(2000)));
        assert_eq!(line[0].len(), WIDEST + (2000 - WIDEST / TAB) + 1);
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_comes_through(text in "[\u{1b}\u{9b}\u{90}\\[\\]0-9;:mKHJP\\\\a\r\n\t\u{7}\u{8}漢]{0,60}") {
            for line in shown(&text) {
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}
