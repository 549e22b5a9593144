//! The tool calls as a list, the newest first.
//!
//! Pure.

use std::ops::Range;

use ratatui::text::{Line, Span};

use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{fit, fit_end, pad, width};
use crate::tui::view::{call, status};

pub(crate) fn running(state: &State) -> usize {
    match state.session() {
        Some(session) if state.is_working() => session.unfinished_calls(),
        Some(_) | None => 0,
    }
}

/// One line each for these rows, whatever their number; `chosen` is marked.
pub(crate) fn lines(
    state: &State,
    paint: &Paint,
    columns: usize,
    chosen: Option<usize>,
    rows: Range<usize>,
) -> Vec<Line<'static>> {
    let (calls, live) = (state.calls(), state.is_working());
    let Some(session) = state.session().filter(|_| !calls.is_empty()) else {
        let text = status::nothing(state, "  no tool calls yet", columns);
        return vec![Line::from(paint.span(Role::Dim, fit(&text, columns)))];
    };
    let shown = calls.iter().rev().skip(rows.start);
    let shown = rows.zip(shown);
    shown
        .filter_map(|(row, index)| {
            let cell = session.transcript.cells.get(*index)?;
            let tool = cell.body.tool()?;
            let (role, sign) = call::sign(tool.status, live);
            let time = call::tool_time(tool, live, state.wall).unwrap_or_default();
            let kind = pad(tool.kind.as_str(), 8);
            let room = columns.saturating_sub(4 + 8 + width(&time) + 2);
            let title = call::title(tool);
            let title = if title.contains(' ') {
                fit(&title, room)
            } else {
                fit_end(&title, room)
            };
            let text = if chosen == Some(row) {
                Role::Selection
            } else {
                Role::Text
            };
            Some(Line::from(vec![
                paint.span(role, format!("  {sign} ")),
                paint.span(Role::Tool, kind),
                paint.span(text, title.clone()),
                Span::raw(" ".repeat(room.saturating_sub(width(&title)) + 1)),
                paint.span(Role::Dim, time),
            ]))
        })
        .collect()
}
