//! Rows of the screen: taken off an area, ruled, filled.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit, width};

/// What is left of an area after rows were taken off its top and its bottom.
pub(crate) struct Rows {
    pub(crate) left: Rect,
}

impl Rows {
    pub(crate) fn top(&mut self, rows: u16) -> Rect {
        let rows = rows.min(self.left.height);
        let taken = Rect {
            height: rows,
            ..self.left
        };
        self.left.y += rows;
        self.left.height -= rows;
        taken
    }

    pub(crate) fn bottom(&mut self, rows: u16) -> Rect {
        let rows = rows.min(self.left.height);
        self.left.height -= rows;
        Rect {
            y: self.left.y + self.left.height,
            height: rows,
            ..self.left
        }
    }
}

/// A line across.
pub(crate) fn rule(paint: &Paint, area: Rect, buffer: &mut Buffer) {
    if area.height > 0 {
        let line = "─".repeat(usize::from(area.width));
        buffer.set_span(area.x, area.y, &paint.span(Role::Border, line), area.width);
    }
}

/// As many of the lines as there is room for, from the top down.
pub(crate) fn print(lines: &[Line<'static>], area: Rect, buffer: &mut Buffer) {
    let mut rows = Rows { left: area };
    for line in lines.iter().take(usize::from(area.height)) {
        line.render(rows.top(1), buffer);
    }
}

/// The lines from `top` on, as far as there are any, in what is left; a line across below them tells how many more there are.
pub(crate) fn scrolled(
    lines: &[Line<'static>],
    top: usize,
    paint: &Paint,
    mut rows: Rows,
    buffer: &mut Buffer,
) {
    let lower = rows.bottom(1);
    rule(paint, lower, buffer);
    let room = usize::from(rows.left.height);
    let top = top.min(lines.len().saturating_sub(room));
    print(&lines[top..], rows.left, buffer);
    let below = lines.len().saturating_sub(top + room);
    if below > 0 {
        let more = format!(" ↓ {below} more ");
        let wide = u16::try_from(width(&more)).unwrap_or(0);
        let x = lower.right().saturating_sub(wide + 2);
        buffer.set_span(x, lower.y, &paint.span(Role::Accent, more), wide);
    }
}

/// On the line below the chat: the newest toast, and that there is more below.
pub(crate) fn remark(state: &State, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let below = paint.drawn.is_some_and(|drawn| !drawn.at_end);
    let more = if below { " ↓ more " } else { "" };
    if let Some(toast) = state.toasts.last() {
        let times = match toast.times {
            0 | 1 => String::new(),
            times => format!("({times}×) "),
        };
        let room = columns.saturating_sub(width(more) + width(&times) + 6);
        let text = format!(" {} {times}", fit(&clean_line(&toast.text), room));
        buffer.set_span(
            area.x + 1,
            area.y,
            &paint.span(Role::Warning, text),
            area.width.saturating_sub(1),
        );
    }
    if below {
        let wide = u16::try_from(width(more)).unwrap_or(0);
        let x = area.right().saturating_sub(wide + 2);
        buffer.set_span(x, area.y, &paint.span(Role::Accent, more), wide);
    }
}
