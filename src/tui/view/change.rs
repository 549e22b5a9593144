//! A diff as lines of the screen: one text over the other, or side by side where there is room.
//!
//! Pure.

use std::ops::Range;
use std::sync::Arc;

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::tui::colours::Lines;
use crate::tui::theme::Role;
use crate::tui::view::cell::Look;
use crate::tui::view::code;
use crate::tui::view::diff::{Changed, Diff, Row, Side};
use crate::tui::view::text::{Break, clean, width, wrap};

/// From so many columns on, both texts stand side by side.
const WIDE: usize = 140;
/// Columns of the number of a line, side by side.
const NUMBER: usize = 5;

/// A line of a diff or an output.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) spans: Vec<Span<'static>>,
    pub(crate) is_change: bool,
}

impl Told {
    pub(crate) fn of(span: Span<'static>) -> Self {
        Self {
            spans: vec![span],
            is_change: false,
        }
    }
}

/// What the two texts were written in, and their colours as far as they are known.
pub(crate) struct Inks {
    old: Option<Arc<Lines>>,
    new: Option<Arc<Lines>>,
}

impl Inks {
    pub(crate) fn of(path: &str, old: Option<&str>, new: &str, look: Look) -> Self {
        let language = language(path);
        let ink = |text: &str| look.ink.of(language, &clean(text));
        Self {
            old: old.and_then(ink),
            new: ink(new),
        }
    }

    fn runs(&self, line: &Changed) -> &[(Role, u32)] {
        let lines = match line.side {
            Side::Old => &self.old,
            Side::Both | Side::New => &self.new,
        };
        let runs = lines.as_ref().and_then(|lines| lines.get(line.index));
        runs.map_or(&[], Vec::as_slice)
    }
}

/// What stands behind the last dot of a file's name, or the name.
fn language(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(_, behind)| behind)
}

pub(crate) fn lines(diff: &Diff, inks: &Inks, look: Look) -> Vec<Told> {
    if look.open && look.columns >= WIDE && diff.removed > 0 {
        return beside(diff, inks, look);
    }
    let line = |row: &Row| match row {
        Row::Part { .. } | Row::Note(_) => head(row, look),
        Row::Line(line) => {
            let (role, sign) = line.side.look();
            let mut spans = vec![look.span(role, sign)];
            spans.extend(text(line, inks, look));
            Told {
                spans,
                is_change: line.side != Side::Both,
            }
        }
    };
    diff.rows.iter().map(line).collect()
}

fn head(row: &Row, look: Look) -> Told {
    let words = match row {
        Row::Part { new, .. } if look.narrow() => format!("@ {new}"),
        Row::Part { head, .. } => head.clone(),
        Row::Note(text) => text.clone(),
        Row::Line(line) => line.text.clone(),
    };
    Told::of(look.span(Role::Dim, words))
}

/// Plain letters have the colour of their side; what is not in the other line stands out.
fn text(line: &Changed, inks: &Inks, look: Look) -> Vec<Span<'static>> {
    let base = look.theme.style(line.side.look().0);
    let mut spans = Vec::new();
    let mut at = 0;
    for (role, part) in code::split(&line.text, inks.runs(line)) {
        let style = match role {
            Role::Text => base,
            role => look.theme.style(role),
        };
        for (piece, is_marked) in pieces(part, at, &line.words) {
            let style: Style = match is_marked {
                true => base.add_modifier(Modifier::REVERSED),
                false => style,
            };
            spans.push(Span::styled(piece.to_owned(), style));
        }
        at += part.len();
    }
    spans
}

/// A part of a line that begins at this byte, cut where marks begin and end.
fn pieces<'t>(part: &'t str, at: usize, marks: &[Range<usize>]) -> Vec<(&'t str, bool)> {
    let end = at + part.len();
    let edges = marks.iter().flat_map(|mark| [mark.start, mark.end]);
    let mut cuts: Vec<usize> = edges.filter(|cut| (at + 1..end).contains(cut)).collect();
    cuts.push(end);
    let mut from = at;
    let mut pieces = Vec::new();
    for cut in cuts {
        let is_marked = marks.iter().any(|mark| mark.contains(&from));
        pieces.extend(
            part.get(from - at..cut - at)
                .map(|piece| (piece, is_marked)),
        );
        from = cut;
    }
    pieces
}

/// The old text on the left, the new one on the right; what takes the place of what stands beside it.
fn beside(diff: &Diff, inks: &Inks, look: Look) -> Vec<Told> {
    let mut told = Vec::new();
    let mut rows = diff.rows.as_slice();
    while let Some((row, rest)) = rows.split_first() {
        let Row::Line(line) = row else {
            told.push(head(row, look));
            rows = rest;
            continue;
        };
        if line.side == Side::Both {
            told.extend(pair(Some(line), Some(line), inks, look));
            rows = rest;
            continue;
        }
        let of = |side: Side| move |row: &&Row| matches!(row, Row::Line(line) if line.side == side);
        let old = rows.iter().take_while(of(Side::Old)).count();
        let new = rows[old..].iter().take_while(of(Side::New)).count();
        let (lefts, rights) = rows[..old + new].split_at(old);
        for index in 0..old.max(new) {
            let (left, right) = (line_at(lefts, index), line_at(rights, index));
            told.extend(pair(left, right, inks, look));
        }
        rows = &rows[(old + new).max(1)..];
    }
    told
}

fn line_at(rows: &[Row], index: usize) -> Option<&Changed> {
    match rows.get(index)? {
        Row::Line(line) => Some(line),
        Row::Part { .. } | Row::Note(_) => None,
    }
}

fn pair(left: Option<&Changed>, right: Option<&Changed>, inks: &Inks, look: Look) -> Vec<Told> {
    let between = " │ ";
    let room = look.columns.saturating_sub(width(&look.indent().content));
    let half = room.saturating_sub(width(between)) / 2;
    let sides = [left, right].map(|line| half_lines(line, inks, half, look));
    let is_change = [left, right]
        .into_iter()
        .any(|line| line.is_none_or(|line| line.side != Side::Both));
    let count = sides.iter().map(Vec::len).max().unwrap_or(0);
    let [left, right] = sides;
    let blank = Line::default();
    (0..count)
        .map(|at| {
            let left = left.get(at).unwrap_or(&blank);
            let mut spans = left.spans.clone();
            spans.push(Span::raw(" ".repeat(half.saturating_sub(left.width()))));
            spans.push(look.span(Role::Border, between));
            spans.extend(right.get(at).unwrap_or(&blank).spans.iter().cloned());
            Told { spans, is_change }
        })
        .collect()
}

fn half_lines(line: Option<&Changed>, inks: &Inks, half: usize, look: Look) -> Vec<Line<'static>> {
    let Some(line) = line else {
        return Vec::new();
    };
    let (role, sign) = line.side.look();
    // Of a line in both only the number in the new text is known, and it is the one that counts.
    let number = format!("{:>width$} ", line.index + 1, width = NUMBER - 1);
    let first = [
        look.span(Role::Dim, number),
        look.span(role, format!("{sign} ")),
    ];
    let rest = [Span::raw(" ".repeat(NUMBER + 2))];
    wrap(
        &text(line, inks, look),
        &first,
        &rest,
        half,
        Break::Anywhere,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::colours::Colours;
    use crate::tui::theme::{Depth, Theme};
    use crate::tui::view::diff::diff;
    use crate::tui::view::ink::Ink;

    fn drawn(old: &str, new: &str, columns: usize) -> Vec<Vec<Span<'static>>> {
        let (theme, colours) = (Theme::built_in("dark", Depth::Sixteen), Colours::default());
        let (ink, zone) = (Ink::new(&colours), jiff::tz::TimeZone::UTC);
        let look = Look {
            save: "",
            theme: &theme,
            ink: &ink,
            columns,
            open: true,
            around: 1,
            live: false,
            first: false,
            running: false,
            wall: jiff::Timestamp::UNIX_EPOCH,
            unfold: "",
            zone: &zone,
        };
        let inks = Inks::of("a.rs", Some(old), new, look);
        let told = lines(&diff(Some(old), new, look.around), &inks, look);
        told.into_iter().map(|line| line.spans).collect()
    }

    fn words(lines: &[Vec<Span>]) -> Vec<String> {
        let whole = |line: &Vec<Span>| line.iter().map(|span| &*span.content).collect::<String>();
        lines
            .iter()
            .map(|line| whole(line).trim_end().to_owned())
            .collect()
    }

    const OLD: &str = "a\nlet x = one();\nb\nc\n";
    const NEW: &str = "a\nlet x = two();\nmore\nb\nc\n";

    #[test]
    fn one_over_the_other_the_words_that_changed_stand_out() {
        let lines = drawn(OLD, NEW, 80);
        assert_eq!(
            words(&lines),
            [
                "@@ -1,3 +1,4 @@",
                " a",
                "-let x = one();",
                "+let x = two();",
                "+more",
                " b"
            ]
        );
        let marked: Vec<&str> = lines
            .iter()
            .flatten()
            .filter(|span| span.style.add_modifier.contains(Modifier::REVERSED))
            .map(|span| &*span.content)
            .collect();
        assert_eq!(marked, ["one", "two"]);
        assert_eq!(words(&drawn(OLD, NEW, 40))[0], "@ 1");
    }

    #[test]
    fn side_by_side_each_line_stands_beside_what_takes_its_place() {
        let lines = words(&drawn(OLD, NEW, 140));
        let halves = |line: &str| {
            let (left, right) = line.split_once('│').unwrap();
            (left.trim().to_owned(), right.trim().to_owned())
        };
        let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        assert_eq!(halves(&lines[1]), pair("1   a", "1   a"));
        assert_eq!(
            halves(&lines[2]),
            pair("2 - let x = one();", "2 + let x = two();")
        );
        assert_eq!(halves(&lines[3]), pair("", "3 + more"));
        assert!(lines.iter().all(|line| width(line) <= 137), "{lines:?}");
    }

    #[test]
    fn a_language_is_known_by_the_name_of_its_file() {
        let table = [("src/a.rs", "rs"), ("Makefile", "Makefile"), ("a.d/x", "x")];
        for (path, found) in table {
            assert_eq!(language(path), found);
        }
    }
}
