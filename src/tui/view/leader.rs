//! What may follow the leader key, over the status line, once somebody looks for it.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use crate::tui::action::Action;
use crate::tui::keymap::{Binding, Context, Keymap};
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::rows::{Rows, print, rule};
use crate::tui::view::text::{fit, pad, width};

/// Between two columns of it.
const GAP: usize = 3;

pub(crate) fn draw(state: &State, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    if !state.leader_is_told() || area.height < 3 {
        return;
    }
    let mut rows = Rows { left: area };
    // The status stays.
    rows.bottom(1);
    let leader = state.keymap.key_of(Context::Everywhere, Action::Leader);
    let most = usize::from(area.height) - 2;
    let lines = lines(&state.keymap, paint, usize::from(area.width), most);
    let panel = rows.bottom(u16::try_from(lines.len() + 1).unwrap_or(u16::MAX));
    Clear.render(panel, buffer);
    let mut rows = Rows { left: panel };
    let line = rows.top(1);
    rule(paint, line, buffer);
    let title = paint.span(Role::Heading, format!(" {leader} … "));
    buffer.set_span(line.x + 1, line.y, &title, line.width.saturating_sub(1));
    print(&lines, rows.left, buffer);
}

/// Key and meaning, column by column, in as few rows as the width allows and never in more than there is room for.
fn lines(keymap: &Keymap, paint: &Paint, columns: usize, most: usize) -> Vec<Line<'static>> {
    let told = |binding: &&Binding| binding.context == Context::Leader && !binding.label.is_empty();
    let entries: Vec<(String, &str)> = keymap
        .bindings
        .iter()
        .filter(told)
        .filter_map(|binding| Some((binding.keys.first()?.to_string(), binding.label)))
        .collect();
    let keys = entries.iter().map(|(key, _)| width(key)).max().unwrap_or(0);
    let labels = entries.iter().map(|(_, label)| width(label));
    let whole = keys + 1 + labels.max().unwrap_or(0) + GAP;
    let across = (columns.saturating_sub(1) / whole.max(1))
        .max(entries.len().div_ceil(most.max(1)))
        .max(1);
    let down = entries.len().div_ceil(across);
    let cell = columns.saturating_sub(1) / across;
    let is_narrow = cell <= keys + 1 + GAP;
    let widths: Vec<usize> = entries
        .chunks(down.max(1))
        .map(|column| match is_narrow {
            // Every column as narrow as its own keys.
            true => column.iter().map(|(key, _)| width(key)).max().unwrap_or(0),
            false => keys,
        })
        .collect();
    let line = |row: usize| {
        let mut spans = vec![Span::raw(" ")];
        let entries = entries.iter().skip(row).step_by(down.max(1));
        for ((key, label), keys) in entries.zip(&widths) {
            spans.push(paint.span(Role::Accent, pad(key, keys + 1)));
            let rest = cell.saturating_sub(keys + 1);
            let label = pad(&fit(label, rest.saturating_sub(GAP)), rest);
            spans.push(paint.span(Role::Text, label));
        }
        Line::from(spans)
    };
    (0..down).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::{Depth, Theme};

    #[test]
    fn every_key_is_told_in_as_many_rows_as_there_are() {
        let keymap = Keymap::default();
        let paint = Paint::new(Theme::built_in("dark", Depth::None));
        let told = keymap
            .bindings
            .iter()
            .filter(|one| one.context == Context::Leader && !one.label.is_empty());
        let count = told.clone().count();
        for (columns, most) in [(120, 38), (80, 22), (40, 22), (40, 6), (30, 9)] {
            let lines = lines(&keymap, &paint, columns, most);
            assert!(lines.len() <= most, "{columns}x{most}");
            let spans = lines.iter().map(|line| line.spans.len() / 2).sum::<usize>();
            assert_eq!(spans, count, "{columns}x{most}");
            for line in &lines {
                assert!(line.width() <= columns + GAP, "{line}");
            }
        }
        let wide = lines(&keymap, &paint, 120, 38);
        let text: String = wide.iter().map(ToString::to_string).collect();
        for binding in told {
            assert!(text.contains(binding.label), "{}", binding.label);
        }
    }
}
