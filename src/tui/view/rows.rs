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
use crate::tui::view::text::{Break, clean_line, fit, pad, width, wrap};

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

/// Rows of the chat that a toast may lie over at most, and a share of the screen's that it never exceeds.
const OVER: u16 = 2;
const SHARE: u16 = 6;

/// On the line below the chat: the newest toast, and that there is more below. A toast that is too long for the line lies
/// over the last rows of the chat as well, for as long as it stays.
pub(crate) fn remark(state: &State, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let below = paint.drawn.is_some_and(|drawn| !drawn.at_end);
    let more = if below { " ↓ more " } else { "" };
    if let Some(toast) = state.toasts.last() {
        let times = match toast.times {
            0 | 1 => String::new(),
            times => format!(" ({times}×)"),
        };
        let text = clean_line(&toast.text);
        let room = columns.saturating_sub(width(more) + 6);
        let over = OVER.min(area.y / SHARE);
        for (line, up) in said(&text, &times, room, over).iter().rev().zip(0..) {
            let text = paint.span(Role::Warning, format!(" {line} "));
            buffer.set_span(area.x + 1, area.y - up, &text, area.width.saturating_sub(1));
        }
    }
    if below {
        let wide = u16::try_from(width(more)).unwrap_or(0);
        let x = area.right().saturating_sub(wide + 2);
        buffer.set_span(x, area.y, &paint.span(Role::Accent, more), wide);
    }
}

/// A text in its line and at most so many above it, all of them as wide as the widest; its tail is never cut off.
fn said(text: &str, tail: &str, room: usize, over: u16) -> Vec<String> {
    let over = match width(text) + width(tail) <= room {
        true => 0,
        false => usize::from(over),
    };
    let all = wrap(&[text.to_owned().into()], &[], &[], room, Break::Words);
    let mut all = all.iter().map(ToString::to_string);
    let mut lines: Vec<String> = all.by_ref().take(over).collect();
    let rest: Vec<String> = all.collect();
    let rest = fit(&rest.join(" "), room.saturating_sub(width(tail)));
    lines.push(rest + tail);
    let widest = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    lines.iter().map(|line| pad(line, widest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_for_its_line_takes_those_above_and_is_cut_behind_them() {
        let twice = " (2×)";
        assert_eq!(said("short", twice, 10, 2), ["short (2×)"]);
        assert_eq!(said("too long for it", twice, 10, 0), ["too … (2×)"]);
        assert_eq!(said("one two three", "", 10, 1), ["one two", "three  "]);
        let long = said("one two three four five six seven", twice, 10, 2);
        assert_eq!(long, ["one two   ", "three four", "five… (2×)"]);
    }
}
