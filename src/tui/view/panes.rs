//! The panes beside the chat, or in its place.
//!
//! Pure.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::attach::state::Attached;
use crate::tui::state::{Focus, Pane, State, Tier};
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::rows::{Rows, print, rule};
use crate::tui::view::text::width;
use crate::tui::view::{files, plan, tools, transcript};

/// Columns of the right column, with its border: where there is room for it, and where it was asked for.
const COLUMN: u16 = 38;
const NARROW_COLUMN: u16 = 32;

/// The chat with the column at its right.
pub(crate) fn beside(
    state: &State,
    attached: &Attached,
    paint: &mut Paint,
    main: Rect,
    upper: Option<Rect>,
    above: Rect,
    buffer: &mut Buffer,
) {
    let wide = if state.tier() == Tier::Wide {
        COLUMN
    } else {
        NARROW_COLUMN
    };
    let chat = Rect {
        width: main.width - wide,
        ..main
    };
    let x = chat.right();
    let border = paint.style(Role::Border);
    rule(paint, above, buffer);
    for y in main.top()..main.bottom() {
        buffer.set_string(x, y, "│", border);
    }
    if let Some(upper) = upper {
        buffer.set_string(x, upper.y, "┬", border);
    }
    buffer.set_string(x, above.y, "┴", border);
    transcript::draw_or_hint(state, attached, paint, chat, buffer);
    let column = Rect {
        x: x + 1,
        width: wide - 1,
        ..main
    };
    let mut rows = Rows { left: column };
    let plan_rows = plan::lines(state, paint, usize::from(column.width))
        .len()
        .min(usize::from(main.height) / 3);
    let tool_rows = state
        .calls()
        .len()
        .clamp(1, usize::from(main.height) / 4 + 1);
    for (which, wanted) in [(Pane::Plan, plan_rows), (Pane::Tools, tool_rows)] {
        let area = rows.top(u16::try_from(wanted + 1).unwrap_or(u16::MAX));
        pane(state, which, paint, area, buffer);
        let line = rows.top(1);
        rule(paint, line, buffer);
        if line.height > 0 {
            buffer.set_string(x, line.y, "├", border);
        }
    }
    pane(state, Pane::Files, paint, rows.left, buffer);
}

/// The head of a list: its name and how many there are.
fn name(state: &State, pane: Pane) -> Option<(&'static str, String)> {
    Some(match pane {
        Pane::Chat => return None,
        Pane::Plan => ("Plan", plan::count(state)),
        Pane::Tools => {
            let count = match (tools::running(state), state.calls().len()) {
                (0, 0) => String::new(),
                (0, all) => all.to_string(),
                (many, _) => format!("{many} running"),
            };
            ("Tools", count)
        }
        Pane::Files => {
            let count = state.attached().map_or_else(String::new, |attached| {
                let (_, sign, words) = files::mirror(attached);
                let count = match attached.session.files.len() {
                    0 => String::new(),
                    many => format!("{many}  "),
                };
                let checked = files::checked(state, attached);
                let checked = checked.map_or(String::new(), |checked| format!(" {checked}"));
                format!("{count}{sign} {words}{checked}")
            });
            ("Files", count)
        }
    })
}

/// These rows of a list. Only what is shown is made: a long run has tens of thousands.
fn lines(
    state: &State,
    pane: Pane,
    paint: &Paint,
    columns: usize,
    chosen: Option<usize>,
    rows: Range<usize>,
) -> Vec<Line<'static>> {
    match pane {
        Pane::Chat => Vec::new(),
        Pane::Plan => {
            let lines = plan::lines(state, paint, columns).into_iter();
            lines.skip(rows.start).take(rows.len()).collect()
        }
        Pane::Tools => tools::lines(state, paint, columns, chosen, rows),
        Pane::Files => files::lines(state, paint, columns, chosen, rows),
    }
}

/// A list with its head. In a list that is browsed one line is chosen, and in the files the one the agent is at while it is
/// followed.
pub(crate) fn pane(state: &State, pane: Pane, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let browsed = (state.focus == Focus::Browse && state.pane == pane).then_some(state.row);
    let followed = state.follow.as_ref().filter(|_| pane == Pane::Files);
    let chosen = browsed.or(followed.and_then(|one| one.row));
    let Some((name, count)) = name(state, pane) else {
        return;
    };
    // Kept in sight below the lines.
    let foot = match pane {
        Pane::Files => files::foot(state, paint, columns),
        Pane::Chat | Pane::Plan | Pane::Tools => Vec::new(),
    };
    let role = if browsed.is_some() {
        Role::Accent
    } else {
        Role::Heading
    };
    let space = columns.saturating_sub(2 + width(name) + width(&count));
    let head = Line::from(vec![
        paint.span(role, format!(" {name}")),
        Span::raw(" ".repeat(space)),
        paint.span(Role::Dim, count),
    ]);
    let mut rows = Rows { left: area };
    head.render(rows.top(1), buffer);
    let foot_rows = u16::try_from(foot.len())
        .unwrap_or(0)
        .min(rows.left.height / 2);
    let foot_area = rows.bottom(foot_rows);
    let room = usize::from(rows.left.height);
    let top = chosen.map_or(0, |row| (row + 1).saturating_sub(room));
    let shown = lines(state, pane, paint, columns, chosen, top..top + room);
    print(&shown, rows.left, buffer);
    print(&foot, foot_area, buffer);
}
