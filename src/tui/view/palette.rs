//! The palette as a box: what is typed, and below it what fits, with its keys and its slash command.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use crate::tui::palette::{Palette, Row, rows};
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::popup;
use crate::tui::view::rows::print;
use crate::tui::view::text::{clean_line, fit, fit_end, pad, width};

/// Rows of it at most.
const ROWS: u16 = 20;
/// Columns of the keys and of the slash commands.
const KEYS: usize = 18;
const SLASH: usize = 14;

/// Draws it; gives the place of the cursor.
pub(crate) fn draw(
    state: &State,
    palette: &Palette,
    paint: &Paint,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let shown = rows(state, &palette.words);
    let inner = popup::frame(" what to do ", ROWS, paint, area, buffer);
    let columns = usize::from(inner.width);
    if inner.height == 0 {
        return None;
    }
    let words = fit_end(&clean_line(&palette.words), columns.saturating_sub(3));
    let typed = u16::try_from(width(&words)).unwrap_or(0);
    let mut lines = vec![Line::from(vec![
        paint.span(Role::Accent, "> "),
        paint.span(Role::Text, words),
    ])];
    let room = usize::from(inner.height).saturating_sub(1);
    let chosen = palette.chosen.min(shown.len().saturating_sub(1));
    let top = (chosen + 1).saturating_sub(room);
    if shown.is_empty() {
        lines.push(Line::from(paint.span(Role::Dim, "  nothing fits")));
    }
    for (index, row) in shown.iter().enumerate().skip(top).take(room) {
        lines.push(line(row, index == chosen, paint, columns));
    }
    print(&lines, inner, buffer);
    Some(Position::new(
        (inner.x + 2 + typed).min(inner.right().saturating_sub(1)),
        inner.y,
    ))
}

fn line(row: &Row, chosen: bool, paint: &Paint, columns: usize) -> Line<'static> {
    let narrow = columns < 60;
    let role = if chosen { Role::Selection } else { Role::Text };
    let slash = clean_line(row.slash.as_deref().unwrap_or(""));
    let keys = row.keys.join(", ");
    let keys = match row.keys.first() {
        Some(first) if width(&keys) >= KEYS => first.clone(),
        _ => keys,
    };
    // Where there is little room, one way is enough.
    let (keys, slash) = match (narrow, keys.is_empty()) {
        (true, true) => (slash, String::new()),
        (true, false) => (keys, String::new()),
        (false, _) => (keys, slash),
    };
    let right = if narrow {
        width(&keys).min(KEYS) + 1
    } else {
        KEYS + SLASH
    };
    let room = columns.saturating_sub(right + 2);
    let label = clean_line(&row.label);
    let mut spans = vec![
        Span::raw(if chosen { "▸ " } else { "  " }),
        paint.span(role, pad(&fit(&label, room), room)),
    ];
    spans.push(paint.span(
        Role::Accent,
        format!(" {}", pad(&fit(&keys, KEYS - 1), right.min(KEYS) - 1)),
    ));
    if !narrow {
        spans.push(paint.span(Role::Dim, fit(&slash, SLASH)));
    }
    Line::from(spans)
}
