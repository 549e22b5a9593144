//! The copy menu as a box: a letter, what it copies, and how that begins.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::tui::on::copy::items;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::popup;
use crate::tui::view::rows::print;
use crate::tui::view::text::{clean_line, fit, pad, width};

pub(crate) fn draw(state: &State, chosen: usize, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let items = items(state);
    let height = u16::try_from(items.len()).unwrap_or(u16::MAX);
    let inner = popup::frame(" copy ", height, paint, area, buffer);
    let columns = usize::from(inner.width);
    let names = items
        .iter()
        .map(|item| width(&item.name))
        .max()
        .unwrap_or(0);
    let names = names.min(columns.saturating_sub(4)) + 2;
    let keys = items.iter().map(|item| width(&item.key)).max().unwrap_or(1);
    let chosen = chosen.min(items.len().saturating_sub(1));
    let rows = usize::from(inner.height);
    let top = (chosen + 1).saturating_sub(rows);
    let line = |(index, item): (usize, &crate::tui::on::copy::Item)| {
        let role = if index == chosen {
            Role::Selection
        } else {
            Role::Text
        };
        let room = columns.saturating_sub(names + keys + 2);
        Line::from(vec![
            paint.span(Role::Accent, format!("{}  ", pad(&item.key, keys))),
            paint.span(role, fit(&item.name, names)),
            Span::raw(" ".repeat(names.saturating_sub(width(&item.name)))),
            paint.span(Role::Dim, pad(&clean_line(&item.begins), room)),
        ])
    };
    let shown = items.iter().enumerate().skip(top).take(rows);
    let lines: Vec<Line> = shown.map(line).collect();
    print(&lines, inner, buffer);
}
