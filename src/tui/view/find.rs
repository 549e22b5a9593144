//! The line in which a search is written, and where its words stand in the lines of a cell.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use crate::tui::action::Action;
use crate::tui::find::{Find, Kind, Pattern};
use crate::tui::keymap::Context;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit_end, width};

/// A stretch of one line that belongs to a match, in columns. A match that was wrapped has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: u16,
    pub(crate) columns: u16,
    /// Which match of the cell, from 0.
    pub(crate) nth: usize,
}

/// The marks of a cell from the top down. The first lines, its head, are not searched.
pub(crate) fn marks(pattern: &Pattern, lines: &[Line], head: usize) -> Vec<Mark> {
    let mut text = String::new();
    // Where each line begins in the text, and what stands before it on the screen.
    let mut begins = Vec::new();
    for line in lines.iter().skip(head) {
        let whole = line.to_string();
        let bare = whole.trim_start();
        begins.push((text.len(), width(&whole[..whole.len() - bare.len()])));
        text.push_str(bare);
        text.push('\n');
    }
    let mut marks = Vec::new();
    for (nth, range) in pattern.shown(&text).enumerate() {
        let first = begins.partition_point(|(begin, _)| *begin <= range.start) - 1;
        for (index, (begin, lead)) in begins.iter().enumerate().skip(first) {
            if *begin >= range.end {
                break;
            }
            let end = begins.get(index + 1).map_or(text.len(), |next| next.0) - 1;
            let (from, to) = (range.start.max(*begin), range.end.min(end));
            if from < to {
                let columns = |text: &str| u16::try_from(width(text)).unwrap_or(u16::MAX);
                marks.push(Mark {
                    line: head + index,
                    column: columns(&text[*begin..from])
                        .saturating_add(u16::try_from(*lead).unwrap_or(u16::MAX)),
                    columns: columns(&text[from..to]),
                    nth,
                });
            }
        }
    }
    marks
}

/// ` /auth_te   3 of 17 · regex `, over the rule below the chat. While it is written it is the place of the cursor.
pub(crate) fn draw(
    state: &State,
    paint: &Paint,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let find = &state.find;
    if !find.is_open() || area.height == 0 {
        return None;
    }
    // A word to the user goes first, unless something is being written here.
    if !find.writing && !state.toasts.is_empty() {
        return None;
    }
    let (role, said) = said(state, find);
    let columns = usize::from(area.width).saturating_sub(12);
    let words = fit_end(
        &clean_line(&find.words),
        columns.saturating_sub(width(&said) + 3).max(8),
    );
    let typed = width(&words);
    let mut spans = vec![
        paint.span(Role::Accent, " /"),
        paint.span(Role::Text, words),
        Span::raw("  "),
    ];
    if !said.is_empty() {
        spans.push(paint.span(role, format!("{said} ")));
    }
    let line = Line::from(spans);
    let place = Rect {
        x: area.x + 1,
        y: area.y,
        width: u16::try_from(line.width())
            .unwrap_or(u16::MAX)
            .min(area.width.saturating_sub(1)),
        height: 1,
    };
    // Nothing of the rule shows through.
    Clear.render(place, buffer);
    line.render(place, buffer);
    let cursor = place.x + 2 + u16::try_from(typed).unwrap_or(0);
    find.writing
        .then(|| Position::new(cursor.min(area.right().saturating_sub(1)), area.y))
}

/// Which of how many, and how the words are understood.
fn said(state: &State, find: &Find) -> (Role, String) {
    let Some(pattern) = &find.pattern else {
        let last = match find.last.as_str() {
            "" => String::new(),
            last => format!(
                "Enter: {}",
                crate::tui::view::text::fit(&clean_line(last), 20)
            ),
        };
        return (Role::Dim, last);
    };
    let cells = state
        .session()
        .map_or(0, |session| session.transcript.cells.len());
    let more = if find.is_behind(cells) { "…" } else { "" };
    let count = find.count();
    let (role, mut said) = match (find.number(), count) {
        (_, 0) if more.is_empty() => (Role::Warning, "not found".to_owned()),
        (_, 0) => (Role::Dim, more.to_owned()),
        (Some(number), _) => (Role::Dim, format!("{number} of {count}{more}")),
        (None, _) => (Role::Dim, format!("{count}{more}")),
    };
    said.push_str(match pattern.kind {
        Kind::Words => "",
        Kind::Regex => " · regex",
        Kind::AsText => " · as text",
    });
    if find.around {
        said.push_str(" · around the end");
    }
    if !find.writing {
        said.push_str(&keys(state));
    }
    (role, said)
}

/// How to go on, where there is room for it.
fn keys(state: &State) -> String {
    let key = |context, action| state.keymap.key_of(context, action);
    let keys = [
        (key(Context::Browse, Action::FindNext), "next"),
        (key(Context::Browse, Action::FindBefore), "before"),
        (key(Context::Everywhere, Action::Escape), "close"),
    ];
    let room = state.size.0 >= 60;
    keys.iter()
        .filter(|(key, _)| room && !key.is_empty())
        .map(|(key, word)| format!(" · {key} {word}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &str, lines: &[&'static str], head: usize) -> Vec<(usize, u16, u16, usize)> {
        let lines: Vec<Line> = lines.iter().map(|line| Line::from(*line)).collect();
        marks(&Pattern::new(words).unwrap(), &lines, head)
            .iter()
            .map(|mark| (mark.line, mark.column, mark.columns, mark.nth))
            .collect()
    }

    #[test]
    fn a_match_is_marked_where_it_is_seen() {
        let table: [(&str, &[&str], usize, &[_]); 5] = [
            ("b", &["   a b", "   b"], 0, &[(0, 5, 1, 0), (1, 3, 1, 1)]),
            ("you", &[" you  14:02", "   you"], 1, &[(1, 3, 3, 0)]),
            ("b c", &["  a b", "  c"], 0, &[(0, 4, 1, 0), (1, 2, 1, 0)]),
            ("字", &["漢字 字"], 0, &[(0, 2, 2, 0), (0, 5, 2, 1)]),
            ("a.c", &["abc", "", "a.c"], 0, &[(2, 0, 3, 0)]),
        ];
        for (words, lines, head, marks) in table {
            assert_eq!(found(words, lines, head), marks, "{words}");
        }
    }
}
