//! The panes beside the chat, or in its place.
//!
//! Pure.

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
        .tools()
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

/// What a list shows.
struct List {
    name: &'static str,
    count: String,
    lines: Vec<Line<'static>>,
    /// Kept in sight below the lines.
    foot: Vec<Line<'static>>,
}

fn list(
    state: &State,
    pane: Pane,
    paint: &Paint,
    columns: usize,
    chosen: Option<usize>,
) -> Option<List> {
    Some(match pane {
        Pane::Chat => return None,
        Pane::Plan => List {
            name: "Plan",
            count: plan::count(state),
            lines: plan::lines(state, paint, columns),
            foot: Vec::new(),
        },
        Pane::Tools => List {
            name: "Tools",
            count: match (tools::running(state), state.tools().len()) {
                (0, 0) => String::new(),
                (0, all) => all.to_string(),
                (many, _) => format!("{many} running"),
            },
            lines: tools::lines(state, paint, columns, chosen),
            foot: Vec::new(),
        },
        Pane::Files => List {
            name: "Files",
            count: state.attached().map_or_else(String::new, |attached| {
                let (_, sign, words) = files::mirror(attached);
                match attached.session.files.len() {
                    0 => format!("{sign} {words}"),
                    many => format!("{many}  {sign} {words}"),
                }
            }),
            lines: files::lines(state, paint, columns, chosen),
            foot: files::foot(state, paint, columns),
        },
    })
}

/// A list with its head. In a list that is browsed one line is chosen.
pub(crate) fn pane(state: &State, pane: Pane, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let chosen = (state.focus == Focus::Browse && state.pane == pane).then_some(state.row);
    let Some(list) = list(state, pane, paint, columns, chosen) else {
        return;
    };
    let role = if chosen.is_some() {
        Role::Accent
    } else {
        Role::Heading
    };
    let space = columns.saturating_sub(2 + width(list.name) + width(&list.count));
    let head = Line::from(vec![
        paint.span(role, format!(" {}", list.name)),
        Span::raw(" ".repeat(space)),
        paint.span(Role::Dim, list.count),
    ]);
    let mut rows = Rows { left: area };
    head.render(rows.top(1), buffer);
    let foot_rows = u16::try_from(list.foot.len())
        .unwrap_or(0)
        .min(rows.left.height / 2);
    let foot_area = rows.bottom(foot_rows);
    let room = usize::from(rows.left.height);
    let top = chosen.map_or(0, |row| (row + 1).saturating_sub(room));
    print(&list.lines[top.min(list.lines.len())..], rows.left, buffer);
    print(&list.foot, foot_area, buffer);
}
