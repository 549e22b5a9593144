//! The draft, its cursor, and the slash menu over it.
//!
//! Pure. Lines break anywhere, so that what is typed never jumps.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use unicode_segmentation::UnicodeSegmentation;

use crate::attach::state::Link;
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::menu;
use crate::tui::on::here;
use crate::tui::state::{Focus, Launching, Scene, State};
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean, clean_line, fit, fit_end, width};
use crate::tui::vim::Mode;
use crate::tui::words::Unit;
use crate::tui::writing::Search;

/// Columns before the text.
const LEAD: usize = 3;

/// The draft as lines of the screen, and where the cursor is in them.
struct Layout {
    lines: Vec<Vec<Piece>>,
    cursor: (usize, usize),
}

/// A part of a line that looks the same.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    text: String,
    is_token: bool,
}

fn layout<'a>(
    units: impl Iterator<Item = Unit<'a>>,
    end: usize,
    cursor: usize,
    columns: usize,
) -> Layout {
    let columns = columns.max(2);
    let mut lines = vec![Vec::new()];
    let mut column = 0;
    let mut found = None;
    for unit in units {
        if !unit.is_token && matches!(unit.text, "\n" | "\r\n") {
            if unit.at == cursor {
                found = Some((lines.len() - 1, column));
            }
            lines.push(Vec::new());
            column = 0;
            continue;
        }
        let label = if unit.is_token {
            unit.label()
        } else {
            clean(unit.text)
        };
        for letter in label.graphemes(true) {
            let wide = width(letter);
            if column + wide > columns && column > 0 {
                lines.push(Vec::new());
                column = 0;
            }
            if unit.at == cursor && found.is_none() {
                found = Some((lines.len() - 1, column));
            }
            write(&mut lines, letter, unit.is_token);
            column += wide;
        }
        // Of some characters nothing is shown.
        if unit.at == cursor && found.is_none() {
            found = Some((lines.len() - 1, column));
        }
    }
    if cursor == end {
        if column >= columns {
            lines.push(Vec::new());
            column = 0;
        }
        found = Some((lines.len() - 1, column));
    }
    Layout {
        lines,
        cursor: found.unwrap_or_default(),
    }
}

fn write(lines: &mut [Vec<Piece>], letter: &str, is_token: bool) {
    let Some(line) = lines.last_mut() else {
        return;
    };
    match line.last_mut() {
        Some(piece) if piece.is_token == is_token => piece.text.push_str(letter),
        Some(_) | None => line.push(Piece {
            text: letter.to_owned(),
            is_token,
        }),
    }
}

fn laid_out(state: &State, columns: usize) -> Layout {
    let composer = &state.composer;
    let end = composer.text().len();
    layout(composer.units(), end, composer.cursor(), columns)
}

/// Rows the draft wants.
pub(crate) fn height(state: &State, columns: u16) -> u16 {
    if state.writing.search.is_some() {
        return 1;
    }
    let room = usize::from(columns).saturating_sub(LEAD + 1);
    let lines = laid_out(state, room).lines.len();
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
    if let Some(search) = &state.writing.search {
        let cursor = draw_search(state, search, paint, area, buffer);
        return cursor.filter(|_| state.popup.is_none());
    }
    let room = usize::from(area.width).saturating_sub(LEAD + 1);
    let edits = state.focus == Focus::Edit && state.popup.is_none();
    let role = if edits { Role::Accent } else { Role::Dim };
    let sign = sign(state, paint, role);
    buffer.set_span(area.x, area.y, &sign, 3);
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
    let layout = laid_out(state, room);
    let rows = usize::from(area.height);
    let top = (layout.cursor.0 + 1)
        .saturating_sub(rows)
        .min(layout.lines.len().saturating_sub(rows));
    let plain = if edits { Role::Text } else { Role::Dim };
    for (row, line) in layout.lines.iter().skip(top).take(rows).enumerate() {
        let y = area.y + u16::try_from(row).unwrap_or(0);
        let pieces = line.iter().map(|piece| {
            let role = if piece.is_token { Role::Accent } else { plain };
            paint.span(role, piece.text.clone())
        });
        Line::from_iter(pieces).render(
            Rect {
                y,
                height: 1,
                ..text_area
            },
            buffer,
        );
    }
    draw_hint(state, &layout, paint, text_area, buffer);
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

/// What stands before the draft: what it is, or which of vim's modes it is in.
pub(crate) fn sign(state: &State, paint: &Paint, role: Role) -> Span<'static> {
    let vim = state.vim.as_ref().map(|vim| vim.mode);
    if here::is_drafted(state) {
        paint.span(Role::Warning, " $ ")
    } else if vim == Some(Mode::Normal) {
        paint.span(role, " N ")
    } else {
        paint.span(role, " > ")
    }
}

pub(crate) fn placeholder(state: &State) -> String {
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
        (Scene::Run(attached), Focus::Edit) if is_away(&attached.link) => {
            format!(
                "{} keeps it here until the link is back",
                key(Context::Edit, Action::Submit)
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

/// What is said now reaches nobody yet.
fn is_away(link: &Link) -> bool {
    matches!(link, Link::Reconnecting { .. } | Link::Offline { .. })
}

/// What may be written behind the command that is the draft.
fn draw_hint(state: &State, layout: &Layout, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let [line] = layout.lines.as_slice() else {
        return;
    };
    let Some(hint) = menu::hint(state) else {
        return;
    };
    let used: usize = line.iter().map(|piece| width(&piece.text)).sum();
    let room = usize::from(area.width).saturating_sub(used + 1);
    let hint = fit(&clean_line(&hint), room);
    let used = u16::try_from(used).unwrap_or(u16::MAX).min(area.width);
    let place = Rect {
        x: area.x + used,
        width: area.width - used,
        ..area
    };
    Line::from(paint.span(Role::Dim, hint)).render(place, buffer);
}

/// The line that the search of the history is typed in.
fn draw_search(
    state: &State,
    search: &Search,
    paint: &Paint,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let columns = usize::from(area.width);
    let key = |action| state.keymap.key_of(Context::Edit, action);
    let place = match search.found.len() {
        0 => "history: none".to_owned(),
        found => format!("history: {} of {found}", search.chosen + 1),
    };
    let escape = state.keymap.key_of(Context::Everywhere, Action::Escape);
    let older = key(Action::SearchHistory);
    let long = format!("{place} · {older} older · {escape} your draft");
    let right = if columns >= 70 { long } else { place };
    let room = columns.saturating_sub(LEAD + width(&right) + 4);
    let needle = fit_end(&clean_line(&search.needle), room);
    let column = LEAD + width(&needle);
    let space = columns.saturating_sub(column + width(&right) + 1);
    Line::from(vec![
        paint.span(Role::Accent, " / "),
        paint.span(Role::Text, needle),
        paint.span(Role::Dim, " ".repeat(space) + &right),
    ])
    .render(area, buffer);
    let column = u16::try_from(column).unwrap_or(u16::MAX);
    let x = area.x.saturating_add(column);
    Some(Position::new(x.min(area.right().saturating_sub(1)), area.y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::words::Words;

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
            let words = Words::from(text.to_owned());
            let layout = layout(words.units(), text.len(), cursor, 4);
            assert_eq!(layout.cursor, place, "{text:?}");
        }
    }

    #[test]
    fn a_token_is_shown_by_its_label_and_the_cursor_stands_before_or_behind_it() {
        let mut words = Words::from("a z".to_owned());
        let paste = "x\n".repeat(20);
        words.insert(2, &Words::pasted(&paste));
        let end = words.text().len();
        let table = [(2, (0, 2)), (2 + paste.len(), (1, 5)), (end, (1, 6))];
        for (cursor, place) in table {
            let layout = layout(words.units(), end, cursor, 14);
            let lines: Vec<String> = layout
                .lines
                .iter()
                .map(|line| line.iter().map(|piece| piece.text.as_str()).collect())
                .collect();
            assert_eq!(lines, ["a [pasted 20 l", "ines]z"]);
            assert_eq!(layout.cursor, place);
        }
    }
}
