//! The list of runs.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::protocol::run::Status;
use crate::tui::event::RunRow;
use crate::tui::state::{Picker, State};
use crate::tui::theme::Role;
use crate::tui::view::cell::seconds;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit, pad, width};

pub(crate) fn draw(state: &State, picker: &Picker, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let mut lines = Vec::new();
    let rows = picker.shown();
    match (&picker.failed, &picker.rows) {
        (Some(why), _) => lines.push(Line::from(
            paint.span(Role::Error, format!(" ✕ {}", clean_line(why))),
        )),
        (None, None) => lines.push(Line::from(paint.span(Role::Dim, "   looking for runs…"))),
        (None, Some(all)) if all.is_empty() => {
            lines.push(Line::from(
                paint.span(Role::Dim, "   no runs yet · n starts one"),
            ));
        }
        (None, Some(_)) if rows.is_empty() => {
            lines.push(Line::from(
                paint.span(Role::Dim, "   nothing fits the filter · Esc clears it"),
            ));
        }
        (None, Some(_)) => (),
    }
    let room = usize::from(area.height).saturating_sub(lines.len());
    let top = (picker.selected + 1).saturating_sub(room);
    for (index, row) in rows.iter().enumerate().skip(top).take(room) {
        lines.push(line(state, row, index == picker.selected, paint, columns));
    }
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

/// The head line: what this is and what can be done.
pub(crate) fn head(state: &State, picker: &Picker, paint: &Paint, columns: usize) -> Line<'static> {
    let mut spans = vec![paint.span(Role::Heading, " Runs")];
    let filter = match (picker.filtering, picker.filter.as_str()) {
        (true, text) => Some(format!("/{text}▌")),
        (false, "") => None,
        (false, text) => Some(format!("/{text}")),
    };
    match filter {
        Some(filter) => spans.push(paint.span(Role::Accent, format!("   {}", clean_line(&filter)))),
        None => spans.push(paint.span(
            Role::Dim,
            format!("   endpoint {}", clean_line(&state.welcome.endpoint)),
        )),
    }
    let hints = if columns >= 80 {
        "/ filter   n new   Enter attach"
    } else {
        "/ n Enter"
    };
    let hints = match (state.tabs.list.is_empty(), columns) {
        (false, 80..) => format!("{hints}   Esc back"),
        (false, _) => format!("{hints} Esc"),
        (true, _) => hints.to_owned(),
    };
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let space = columns.saturating_sub(used + width(&hints) + 1);
    spans.push(Span::raw(" ".repeat(space)));
    spans.push(paint.span(Role::Dim, hints));
    Line::from(spans)
}

fn line(
    state: &State,
    row: &RunRow,
    selected: bool,
    paint: &Paint,
    columns: usize,
) -> Line<'static> {
    let (role, sign, words) = standing(row);
    let here = if row.here { "●" } else { " " };
    let age = row
        .updated
        .map(|at| age(seconds(at, state.wall)))
        .unwrap_or_default();
    let wide = columns >= 80;
    let title_room = if wide {
        columns * 2 / 5
    } else {
        columns.saturating_sub(10 + 8)
    };
    let text = if selected {
        Role::Selection
    } else {
        Role::Text
    };
    let mut spans = vec![
        paint.span(Role::Accent, format!(" {here} ")),
        paint.span(role, format!("{sign} ")),
        paint.span(
            Role::Dim,
            row.at.run.short().chars().take(4).collect::<String>() + " ",
        ),
        paint.span(
            text,
            format!(" {} ", pad(&clean_line(&row.title), title_room)),
        ),
    ];
    if wide {
        spans.push(paint.span(Role::Dim, pad(&clean_line(&row.place), 14) + " "));
        let room = columns.saturating_sub(10 + title_room + 2 + 15 + 6);
        spans.push(paint.span(role, pad(&words, room)));
    }
    spans.push(paint.span(Role::Dim, format!("{age:>5}")));
    Line::from(spans)
}

fn standing(row: &RunRow) -> (Role, &'static str, String) {
    if let Some(needs) = &row.needs {
        return (
            Role::Warning,
            "?",
            format!("waits for you: {}", clean_line(needs)),
        );
    }
    match &row.status {
        Status::Completed => (Role::Success, "✓", "done".to_owned()),
        Status::Failed => (Role::Error, "✕", "failed".to_owned()),
        Status::Cancelled => (Role::Dim, "■", "stopped".to_owned()),
        _ if row.working => (Role::Accent, "◐", "working".to_owned()),
        Status::NotStarted | Status::Queued => (Role::Accent, "◌", "starting".to_owned()),
        Status::InProgress => (Role::Dim, "○", "idle".to_owned()),
        Status::Other(word) => (Role::Dim, "○", fit(&clean_line(word), 20)),
    }
}

fn age(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => "now".to_owned(),
        60..3600 => format!("{}m", whole / 60),
        3600..86_400 => format!("{}h", whole / 3600),
        _ => format!("{}d", whole / 86_400),
    }
}
