//! The agent's question, over the draft: every option, in the agent's order.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::protocol::acp::{OptionKind, PermissionOption};
use crate::session::state::OpenPermission;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{Break, clean, clean_line, width, wrap};

/// Lines of the details at most.
const DETAILS: usize = 12;

pub(crate) fn lines(state: &State, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let Some(open) = state.asking() else {
        return Vec::new();
    };
    let narrow = columns < 50;
    let mut lines = head(state, open, paint, columns, narrow);
    if state.question.details {
        lines.extend(details(open, paint, columns));
    }
    lines.extend(options(&open.options, paint, columns, narrow));
    lines.push(hint(state, paint, narrow));
    lines
}

pub(crate) fn draw(lines: &[Line<'static>], area: Rect, buffer: &mut Buffer) {
    for (row, line) in lines.iter().take(usize::from(area.height)).enumerate() {
        let y = area.y + u16::try_from(row).unwrap_or(0);
        line.render(
            Rect {
                y,
                height: 1,
                ..area
            },
            buffer,
        );
    }
}

fn head(
    state: &State,
    open: &OpenPermission,
    paint: &Paint,
    columns: usize,
    narrow: bool,
) -> Vec<Line<'static>> {
    let count = state.questions().len();
    let title = clean_line(&open.title);
    let mut spans = Vec::new();
    if !narrow {
        spans.push(paint.span(Role::Warning, "The agent asks: "));
    }
    spans.push(paint.span(Role::Text, title));
    if let Some(kind) = &open.kind {
        spans.push(paint.span(Role::Dim, format!("  ({})", clean_line(kind))));
    }
    if count > 1 {
        spans.push(paint.span(Role::Dim, format!("  1 of {count}")));
    }
    let first = [paint.span(Role::Warning, " ? ")];
    let mut lines = wrap(&spans, &first, &[Span::raw("   ")], columns, Break::Words);
    lines.truncate(4);
    lines
}

fn details(open: &OpenPermission, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let text = match &open.raw_input {
        Some(input) => serde_json::to_string_pretty(input).unwrap_or_default(),
        None => "the agent gave no details".to_owned(),
    };
    let indent = [Span::raw("   ")];
    let mut lines = Vec::new();
    for line in clean(&text).lines() {
        let span = paint.span(Role::Dim, line);
        lines.extend(wrap(&[span], &indent, &indent, columns, Break::Anywhere));
    }
    if lines.len() > DETAILS {
        lines.truncate(DETAILS - 1);
        lines.push(Line::from(paint.span(Role::Dim, "   …")));
    }
    lines
}

/// As many options in a line as fit whole.
fn options(
    options: &[PermissionOption],
    paint: &Paint,
    columns: usize,
    narrow: bool,
) -> Vec<Line<'static>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut used = columns;
    for (index, option) in options.iter().enumerate() {
        let name = match clean_line(&option.name) {
            empty if empty.is_empty() => option.kind.as_str().replace('_', " "),
            name => name,
        };
        let number = format!("{} ", index + 1);
        let wide = width(&number) + width(&name) + 3;
        let role = match option.kind {
            OptionKind::AllowOnce | OptionKind::AllowAlways => Role::Success,
            OptionKind::RejectOnce | OptionKind::RejectAlways => Role::Removed,
            OptionKind::Unknown => Role::Text,
        };
        let spans = [paint.span(Role::Accent, number), paint.span(role, name)];
        if used + wide > columns || narrow {
            lines.extend(wrap(
                &spans,
                &[Span::raw("   ")],
                &[Span::raw("     ")],
                columns,
                Break::Words,
            ));
            used = 3 + wide;
        } else if let Some(line) = lines.last_mut() {
            line.spans.push(Span::raw("   "));
            line.spans.extend(spans);
            used += wide;
        }
    }
    lines
}

fn hint(state: &State, paint: &Paint, narrow: bool) -> Line<'static> {
    let awake = state.answers_are_awake();
    let text = match (awake, narrow) {
        (true, false) => "a number answers · y allow · n reject · d details · Esc sets it aside",
        (true, true) => "1–9 answer  d more  Esc aside",
        (false, false) if !state.composer.is_empty() => "Ctrl+X a answers; typing writes on",
        (false, true) if !state.composer.is_empty() => "Ctrl+X a answers",
        (false, _) => "…",
    };
    Line::from(paint.span(Role::Dim, format!("   {text}")))
}
