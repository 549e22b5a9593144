//! Text from outside, made safe to draw, measured and wrapped.
//!
//! Pure. Nothing leaves here that could move a cursor, hide a character or turn the direction of a line.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns between tab stops.
const TAB: usize = 4;

/// One line of text from outside: control characters become their pictures, tabs become spaces, and characters
/// that would change the order or the look of others are shown as their number. Line ends stay.
///
/// Of what terminals do not agree how wide it is only the part is kept on which they agree: a family is its members,
/// a flag its letters. Otherwise what stands behind it lands in another column than was reckoned, and stays there.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    let mut last = '\n';
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let before = std::mem::replace(&mut last, char);
        let shown = match char {
            '\n' => {
                out.push('\n');
                column = 0;
                continue;
            }
            '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}' if is_picture(before) => {
                last = before;
                continue;
            }
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
                last = before;
                continue;
            }
            '\u{200c}' | '\u{200d}' if before.is_ascii() => format!("‹U+{:04X}›", char as u32),
            '\u{1f1e6}'..='\u{1f1ff}' => letter(char).to_string(),
            '\r' if chars.peek() == Some(&'\n') => continue,
            '\t' => " ".repeat(TAB - column % TAB),
            '\u{0}'..='\u{1f}' => picture(char as u32),
            '\u{7f}' => "␡".to_owned(),
            '\u{80}'..='\u{9f}' => format!("‹{:02X}›", char as u32),
            _ if is_deceiving(char) || is_no_character(char) => format!("‹U+{:04X}›", char as u32),
            _ => {
                out.push(char);
                column += 1;
                continue;
            }
        };
        column += shown.chars().count();
        out.push_str(&shown);
    }
    out
}

/// As [`clean`], and in one line: line ends become spaces.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text.trim_end()).replace('\n', " ")
}

fn picture(control: u32) -> String {
    char::from_u32(0x2400 + control).map_or_else(|| "�".to_owned(), String::from)
}

/// Something that other characters change the look of.
fn is_picture(char: char) -> bool {
    matches!(char, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// The letter of a regional indicator, of which two make a flag.
fn letter(indicator: char) -> char {
    let index = (indicator as u32).saturating_sub(0x1f1e6);
    ('A'..='Z').nth(index as usize).unwrap_or('?')
}

/// Characters that reorder, join lines or carry hidden text: a reader must see that they are there.
fn is_deceiving(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Code points that will never be characters: some terminals leave them out, some draw a box.
fn is_no_character(char: char) -> bool {
    char as u32 & 0xfffe == 0xfffe || matches!(char, '\u{fdd0}'..='\u{fdef}')
}

/// Columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// The start of the text in at most this many columns; `…` says that something is missing.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let wide = grapheme.width();
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push_str(grapheme);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The end of the text in at most this many columns: for paths, whose end says more.
pub(crate) fn fit_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut used = 1;
    for grapheme in text.graphemes(true).rev() {
        used += grapheme.width();
        if used > columns {
            break;
        }
        kept.push(grapheme);
    }
    kept.reverse();
    if columns == 0 {
        String::new()
    } else {
        format!("…{}", kept.concat())
    }
}

/// The text and spaces up to this many columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let missing = columns.saturating_sub(width(&text));
    text + &" ".repeat(missing)
}

/// Where lines may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// Between words, if there is one.
    Words,
    /// Anywhere: code, output.
    Anywhere,
}

/// One line of clean, styled text over as many lines of the screen as it needs. `first` and `rest` stand before
/// the first and every other line.
pub(crate) fn wrap(
    spans: &[Span<'static>],
    first: &[Span<'static>],
    rest: &[Span<'static>],
    columns: usize,
    at: Break,
) -> Vec<Line<'static>> {
    let taken = |lead: &[Span]| lead.iter().map(|span| width(&span.content)).sum::<usize>();
    let widths = [taken(first), taken(rest)].map(|lead| columns.saturating_sub(lead).max(1));
    let pieces: Vec<(&str, Style)> = spans
        .iter()
        .flat_map(|span| span.content.graphemes(true).map(|text| (text, span.style)))
        .collect();
    let mut lines = Vec::new();
    let mut start = 0;
    while start < pieces.len() || lines.is_empty() {
        let room = widths[usize::from(!lines.is_empty())];
        let (end, next) = line_end(&pieces, start, room, at);
        let lead = if lines.is_empty() { first } else { rest };
        lines.push(join(lead, &pieces[start..end]));
        start = next;
    }
    lines
}

/// Where the line that begins at `start` ends, and where the next one begins.
fn line_end(pieces: &[(&str, Style)], start: usize, room: usize, at: Break) -> (usize, usize) {
    let mut used = 0;
    let mut space = None;
    for (index, (text, _)) in pieces.iter().enumerate().skip(start) {
        let wide = text.width();
        if used + wide > room && index > start {
            return match (at, space) {
                (Break::Words, _) if *text == " " => (index, index + 1),
                (Break::Words, Some(space)) => (space, space + 1),
                (Break::Words, None) | (Break::Anywhere, _) => (index, index),
            };
        }
        // A space at the very start would make an empty line.
        if *text == " " && index > start {
            space = Some(index);
        }
        used += wide;
    }
    (pieces.len(), pieces.len())
}

fn join(lead: &[Span<'static>], pieces: &[(&str, Style)]) -> Line<'static> {
    let mut spans = lead.to_vec();
    for run in pieces.chunk_by(|a, b| a.1 == b.1) {
        let text: String = run.iter().map(|(text, _)| *text).collect();
        spans.push(Span::styled(text, run[0].1));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrapped(text: &str, columns: usize, at: Break) -> Vec<String> {
        wrap(&[Span::raw(text.to_owned())], &[], &[], columns, at)
            .iter()
            .map(Line::to_string)
            .collect()
    }

    #[test]
    fn what_could_move_the_cursor_or_hide_is_shown_instead() {
        let table = [
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "␛[2J␛]0;x␇"),
            ("a\u{9b}31m", "a‹9B›31m"),
            ("a\rb", "a␍b"),
            ("a\r\nb", "a\nb"),
            ("if \u{202e}x\u{2066}", "if ‹U+202E›x‹U+2066›"),
            ("a\tb\n\tc", "a   b\n    c"),
            ("del\u{7f}", "del␡"),
            ("zero\u{200b}width", "zero‹U+200B›width"),
            ("soft\u{ad}hyphen", "soft‹U+00AD›hyphen"),
            ("b\u{200d}c", "b‹U+200D›c"),
            (
                "\u{ffff}a\u{fdd0}b\u{10fffe}",
                "‹U+FFFF›a‹U+FDD0›b‹U+10FFFE›",
            ),
            (
                "漢字 e\u{301} क\u{94d}\u{200d}ष",
                "漢字 e\u{301} क\u{94d}\u{200d}ष",
            ),
        ];
        for (text, shown) in table {
            assert_eq!(clean(text), shown, "{text:?}");
        }
    }

    #[test]
    fn of_what_terminals_disagree_about_the_undisputed_part_is_kept() {
        let table = [
            ("👩\u{200d}👩\u{200d}👧", "👩👩👧"),
            ("🏳\u{fe0f}\u{200d}🌈", "🏳🌈"),
            ("👍\u{1f3fd}!", "👍!"),
            ("🇩🇪🇯🇵", "DEJP"),
            ("1\u{fe0f}\u{20e3}", "1\u{20e3}"),
        ];
        for (text, shown) in table {
            assert_eq!(clean(text), shown, "{text:?}");
        }
    }

    #[test]
    fn text_is_measured_and_cut_by_columns_not_by_bytes() {
        assert_eq!(width("漢字"), 4);
        assert_eq!(width("👩‍👩‍👧"), 2);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("漢字漢字", 4), "漢…");
        assert_eq!(fit_end("src/deep/name.rs", 9), "…/name.rs");
        assert_eq!(pad("漢", 4), "漢  ");
        assert_eq!(fit("abc", 0), "");
    }

    #[test]
    fn lines_break_between_words_and_in_the_middle_of_a_long_one() {
        assert_eq!(
            wrapped("one two three", 7, Break::Words),
            ["one two", "three"]
        );
        assert_eq!(
            wrapped("abcdefgh ij", 4, Break::Words),
            ["abcd", "efgh", "ij"]
        );
        assert_eq!(wrapped("漢字漢字", 5, Break::Words), ["漢字", "漢字"]);
        assert_eq!(wrapped("one two", 4, Break::Anywhere), ["one ", "two"]);
        assert_eq!(wrapped("", 4, Break::Words), [""]);
    }

    proptest! {
        #[test]
        fn nothing_dangerous_comes_through(text in any::<String>()) {
            let shown = clean(&text);
            prop_assert!(!shown.chars().any(|char| (char.is_control() && char != '\n') || is_deceiving(char)), "{shown:?}");
        }

        #[test]
        fn no_line_is_wider_than_the_screen_and_no_word_is_lost(text in "[a-z漢 👍é]{0,80}", columns in 2usize..20) {
            let lines = wrapped(&text, columns, Break::Words);
            for line in &lines {
                prop_assert!(width(line) <= columns, "{line:?}");
            }
            let kept: String = lines.concat().split_whitespace().collect();
            let given: String = text.split_whitespace().collect();
            prop_assert_eq!(kept, given);
        }
    }
}
