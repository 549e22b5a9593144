//! The tool calls as a list, the newest first.
//!
//! Pure.

use ratatui::text::{Line, Span};

use crate::protocol::acp::ToolStatus;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::call;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{fit, fit_end, pad, width};

pub(crate) fn running(state: &State) -> usize {
    let running = |status| matches!(status, ToolStatus::Pending | ToolStatus::Running);
    state
        .tools()
        .iter()
        .filter(|(_, tool)| state.is_working() && running(tool.status))
        .count()
}

/// One line each; `chosen` is marked.
pub(crate) fn lines(
    state: &State,
    paint: &Paint,
    columns: usize,
    chosen: Option<usize>,
) -> Vec<Line<'static>> {
    let tools = state.tools();
    if tools.is_empty() {
        return vec![Line::from(paint.span(Role::Dim, "  no tool calls yet"))];
    }
    let live = state.is_working();
    tools
        .iter()
        .rev()
        .enumerate()
        .map(|(row, (_, tool))| {
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
            Line::from(vec![
                paint.span(role, format!("  {sign} ")),
                paint.span(Role::Tool, kind),
                paint.span(text, title.clone()),
                Span::raw(" ".repeat(room.saturating_sub(width(&title)) + 1)),
                paint.span(Role::Dim, time),
            ])
        })
        .collect()
}
