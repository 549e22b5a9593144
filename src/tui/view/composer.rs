//! The draft, its cursor, and the slash menu over it.
//!
//! Pure. Lines break anywhere, so that what is typed never jumps.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;
use ratatui::widgets::Widget;
use unicode_segmentation::UnicodeSegmentation;

use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::state::{Focus, Launching, Scene, State};
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean, clean_line, fit, pad, width};

/// Columns before the text.
const LEAD: usize = 3;
/// Lines of the slash menu at most.
const MENU: usize = 6;

/// The draft as lines of the screen, and where the cursor is in them.
struct Layout {
    lines: Vec<String>,
    cursor: (usize, usize),
}

fn layout(text: &str, cursor: usize, columns: usize) -> Layout {
    let columns = columns.max(2);
    let mut lines = vec![String::new()];
    let mut column = 0;
    let mut found = (0, 0);
    for (at, grapheme) in text.grapheme_indices(true) {
        if at == cursor {
            found = (lines.len() - 1, column);
        }
        if grapheme == "\n" || grapheme == "\r\n" {
            lines.push(String::new());
            column = 0;
            continue;
        }
        let shown = clean(grapheme);
        let wide = width(&shown);
        if column + wide > columns && column > 0 {
            lines.push(String::new());
            column = 0;
            if at == cursor {
                found = (lines.len() - 1, 0);
            }
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(&shown);
        }
        column += wide;
    }
    if cursor == text.len() {
        if column >= columns {
            lines.push(String::new());
            column = 0;
        }
        found = (lines.len() - 1, column);
    }
    Layout {
        lines,
        cursor: found,
    }
}

/// Rows the draft wants.
pub(crate) fn height(state: &State, columns: u16) -> u16 {
    let room = usize::from(columns).saturating_sub(LEAD + 1);
    let lines = layout(state.composer.text(), state.composer.cursor(), room)
        .lines
        .len();
    let most = (state.size.1 / 3).clamp(1, 10);
    u16::try_from(lines).unwrap_or(u16::MAX).min(most)
}

/// Draws the draft; gives the place of the cursor while it is being written.
pub(crate) fn draw(
    state: &State,
    paint: &Paint,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let room = usize::from(area.width).saturating_sub(LEAD + 1);
    let edits = state.focus == Focus::Edit && state.popup.is_none();
    let role = if edits { Role::Accent } else { Role::Dim };
    buffer.set_span(area.x, area.y, &paint.span(role, " > "), 3);
    let text_area = Rect {
        x: area.x + 3,
        width: area.width.saturating_sub(3),
        ..area
    };
    if state.composer.is_empty() {
        let hint = fit(&placeholder(state), room);
        Line::from(paint.span(Role::Dim, hint)).render(text_area, buffer);
        return edits.then_some(Position::new(text_area.x, text_area.y));
    }
    let layout = layout(state.composer.text(), state.composer.cursor(), room);
    let rows = usize::from(area.height);
    let top = (layout.cursor.0 + 1)
        .saturating_sub(rows)
        .min(layout.lines.len().saturating_sub(rows));
    let role = if edits { Role::Text } else { Role::Dim };
    for (row, line) in layout.lines.iter().skip(top).take(rows).enumerate() {
        let y = area.y + u16::try_from(row).unwrap_or(0);
        Line::from(paint.span(role, line.clone())).render(
            Rect {
                y,
                height: 1,
                ..text_area
            },
            buffer,
        );
    }
    let column = u16::try_from(layout.cursor.1).unwrap_or(u16::MAX);
    let row = u16::try_from(layout.cursor.0 - top).unwrap_or(0);
    edits.then(|| {
        Position::new(
            text_area
                .x
                .saturating_add(column)
                .min(area.right().saturating_sub(1)),
            area.y + row,
        )
    })
}

fn placeholder(state: &State) -> String {
    let working = state.is_working();
    let writing = state.ask.writing.as_ref();
    let is_form = writing.is_some_and(|writing| writing.form.is_some());
    let key = |context, action| state.keymap.key_of(context, action);
    match (&state.scene, state.focus) {
        (Scene::Run(_), _) if is_form => {
            format!(
                "{} takes what stands above",
                key(Context::Edit, Action::Submit)
            )
        }
        (Scene::Run(_), _) if writing.is_some() => {
            format!(
                "why not? {} rejects with these words",
                key(Context::Edit, Action::Submit)
            )
        }
        (Scene::Run(attached), _) if attached.read_only => "read-only".to_owned(),
        (Scene::Run(_), Focus::Browse) => {
            format!(
                "browsing · {} writes",
                key(Context::Browse, Action::SwapFocus)
            )
        }
        (Scene::Run(_), Focus::Edit) if working => {
            format!("{} queues a message", key(Context::Edit, Action::Submit))
        }
        (Scene::Composer(Launching::Running { .. }) | Scene::Opening(_), _) => String::new(),
        (Scene::Run(_), Focus::Edit) => "a follow-up · / shows commands".to_owned(),
        (Scene::Composer(_) | Scene::Picker(_), _) => "what shall be done?".to_owned(),
    }
}

/// Rows of the slash menu.
pub(crate) fn menu_height(state: &State) -> u16 {
    u16::try_from(state.slash_menu().len().min(MENU)).unwrap_or(0)
}

pub(crate) fn draw_menu(state: &State, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let menu = state.slash_menu();
    let chosen = state.slash.min(menu.len().saturating_sub(1));
    let top = (chosen + 1).saturating_sub(MENU);
    let names = menu
        .iter()
        .map(|(name, _)| width(name))
        .max()
        .unwrap_or(0)
        .min(20)
        + 1;
    for (row, (index, (name, label))) in menu
        .iter()
        .enumerate()
        .skip(top)
        .take(usize::from(area.height))
        .enumerate()
    {
        let role = if index == chosen {
            Role::Selection
        } else {
            Role::Accent
        };
        let room = usize::from(area.width).saturating_sub(names + 6);
        let line = Line::from(vec![
            paint.span(Role::Text, "   "),
            paint.span(role, format!("/{}", pad(&clean_line(name), names))),
            paint.span(Role::Dim, format!("  {}", fit(&clean_line(label), room))),
        ]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_where_the_next_character_goes() {
        let table = [
            ("", 0, (0, 0)),
            ("ab", 2, (0, 2)),
            ("ab\n", 3, (1, 0)),
            ("abcd", 4, (1, 0)),
            ("abcde", 4, (1, 0)),
            ("漢字漢", 6, (1, 0)),
            ("a\nb", 1, (0, 1)),
        ];
        for (text, cursor, place) in table {
            assert_eq!(layout(text, cursor, 4).cursor, place, "{text:?}");
        }
    }
}
