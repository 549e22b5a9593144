//! The whole picture: which parts stand where, at every size.
//!
//! Pure. Panes disappear before words do; text that people copy has no border at its sides.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::attach::state::{Attached, Link};
use crate::session::cells::Kind;
use crate::tui::state::{Pane, Popup, Scene, State, Tier};
use crate::tui::theme::Role;
use crate::tui::view::asked::Look;
use crate::tui::view::paint::Paint;
use crate::tui::view::rows::{Rows, remark, rule};
use crate::tui::view::text::{Break, clean, clean_line, wrap};
use crate::tui::view::{
    attachment, composer, find, glyphs, head, leader, menu, palette, panes, picker, popup,
    question, queue, status, tabs, transcript, welcome,
};

/// From so many rows on the draft stands between rules.
const ROOMY: u16 = 14;

/// The rows that [`run`] leaves to a question.
pub(crate) fn room_to_ask(state: &State) -> usize {
    let Some(attached) = state.attached().filter(|_| state.tier() != Tier::Tiny) else {
        return 0;
    };
    let (columns, rows) = state.size;
    let rows = usize::from(rows).saturating_sub(usize::from(tabs::is_shown(state)));
    let rules = if rows >= usize::from(ROOMY) { 3 } else { 1 };
    let title = if state.tier() < Tier::Middle { 2 } else { 1 };
    let plain = |_| Style::default();
    let over = usize::from(menu::height(state))
        + usize::from(!state.writing.attachments.is_empty())
        + usize::from(queue::is_shown(state, attached))
        + offline(state, attached, &plain, usize::from(columns)).len();
    let draft = usize::from(composer::height(state, columns));
    // The status line, the rule over the question, and a line of the chat.
    rows.saturating_sub(title + rules + over + draft + 3)
}

pub fn view(state: &State, paint: &mut Paint, frame: &mut Frame) {
    paint.suit(&state.citizen);
    let area = frame.area();
    let buffer = frame.buffer_mut();
    paint.drawn = None;
    if area.width == 0 || area.height == 0 {
        return;
    }
    let whole = area;
    let area = under_tabs(state, paint, area, buffer);
    let cursor = match &state.scene {
        Scene::Picker(list) => {
            draw_picker(state, list, paint, area, buffer);
            picker::cursor(list, area)
        }
        Scene::Run(attached) if state.tier() == Tier::Tiny => {
            tiny(state, attached, paint, area, buffer);
            None
        }
        Scene::Run(attached) => run(state, attached, paint, area, buffer),
        Scene::Composer(_) | Scene::Opening(_) => welcome::draw(state, paint, area, buffer),
    };
    let cursor = match &state.popup {
        Some(Popup::Palette(open)) => palette::draw(state, open, paint, whole, buffer),
        Some(popup) => {
            popup::draw(state, popup, paint, whole, buffer);
            None
        }
        None => cursor,
    };
    leader::draw(state, paint, whole, buffer);
    if paint.ascii || state.citizen.ascii() {
        glyphs::stand_in(buffer);
    }
    if let Some(cursor) = cursor {
        frame.set_cursor_position(cursor);
    }
}

/// The line of tabs, and what it leaves.
fn under_tabs(state: &State, paint: &Paint, area: Rect, buffer: &mut Buffer) -> Rect {
    let mut rows = Rows { left: area };
    if let Some(line) = tabs::line(state, paint, usize::from(area.width)) {
        line.render(rows.top(1), buffer);
    }
    rows.left
}

fn run(
    state: &State,
    attached: &Attached,
    paint: &mut Paint,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let columns = usize::from(area.width);
    let mut rows = Rows { left: area };
    let tabs = state.tier() < Tier::Middle;
    head::title(state, attached, paint, columns).render(rows.top(1), buffer);
    if tabs {
        head::tab_row(state, paint, columns).render(rows.top(1), buffer);
    }
    let roomy = area.height >= ROOMY;
    let upper = if roomy { Some(rows.top(1)) } else { None };
    let cursor = foot(state, attached, paint, &mut rows, roomy, buffer);
    let lower = rows.bottom(1);
    // The chat keeps a line, and so does the rule over the question.
    let room = usize::from(rows.left.height.saturating_sub(2));
    let asked = question::lines(state, paint, columns, room);
    let asked_rows = u16::try_from(asked.len()).unwrap_or(u16::MAX);
    let question_area = rows.bottom(asked_rows);
    question::draw(&asked, question_area, buffer);
    let above = if asked_rows > 0 {
        rows.bottom(1)
    } else {
        lower
    };
    if let Some(upper) = upper {
        rule(paint, upper, buffer);
    }
    rule(paint, lower, buffer);
    let main = rows.left;
    if state.has_column() {
        panes::beside(state, attached, paint, main, upper, above, buffer);
    } else {
        rule(paint, above, buffer);
        match state.pane {
            Pane::Chat => transcript::draw_or_hint(state, attached, paint, main, buffer),
            Pane::Tools | Pane::Files | Pane::Plan => {
                panes::pane(state, state.pane, paint, main, buffer)
            }
        }
    }
    let line = if asked_rows > 0 { above } else { lower };
    remark(state, paint, line, buffer);
    find::draw(state, paint, line, buffer).or(cursor)
}

/// From the bottom up: the status line, the draft and what stands over it.
fn foot(
    state: &State,
    attached: &Attached,
    paint: &Paint,
    rows: &mut Rows,
    roomy: bool,
    buffer: &mut Buffer,
) -> Option<Position> {
    let columns = usize::from(rows.left.width);
    status::line(state, paint, columns).render(rows.bottom(1), buffer);
    if roomy {
        rule(paint, rows.bottom(1), buffer);
    }
    let draft = rows.bottom(composer::height(state, rows.left.width));
    let cursor = composer::draw(state, paint, draft, buffer);
    let over = rows.bottom(menu::height(state));
    menu::draw(state, paint, over, buffer);
    if let Some(line) = attachment::line(state, paint, columns) {
        line.render(rows.bottom(1), buffer);
    }
    if let Some(line) = queue::line(state, attached, paint, columns) {
        line.render(rows.bottom(1), buffer);
    }
    for line in offline(state, attached, &|role| paint.style(role), columns)
        .iter()
        .rev()
    {
        line.render(rows.bottom(1), buffer);
    }
    cursor
}

/// A link that is given up says why in full: the status line may have no room for it.
fn offline(
    state: &State,
    attached: &Attached,
    look: Look<'_>,
    columns: usize,
) -> Vec<Line<'static>> {
    let Link::Offline { reason } = &attached.link else {
        return Vec::new();
    };
    let retry = match status::retry_key(state).as_str() {
        "" => String::new(),
        key => format!(" · {key} tries again"),
    };
    let text = format!("{}{retry}", clean_line(reason));
    let first = [Span::styled(" ✕ ", look(Role::Error))];
    let mut lines = wrap(
        &[Span::styled(text, look(Role::Error))],
        &first,
        &[Span::raw("   ")],
        columns,
        Break::Words,
    );
    lines.truncate(5);
    lines
}

/// Too small for anything but how it stands and what was said last.
fn tiny(state: &State, attached: &Attached, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let mut rows = Rows { left: area };
    status::line(state, paint, columns).render(rows.bottom(1), buffer);
    let cells = &attached.session.transcript.cells;
    let last = cells
        .labels()
        .rposition(|label| matches!(label.kind, Kind::Agent | Kind::User));
    let last = last.and_then(|index| cells.get(index));
    let last = last.as_deref().and_then(|cell| cell.body.text());
    // No more than what can be seen is cleaned and wrapped.
    let last: String = last
        .unwrap_or("")
        .chars()
        .rev()
        .take(columns * usize::from(area.height))
        .collect();
    let last: String = last.chars().rev().collect();
    let lines: Vec<Line> = clean(&last)
        .trim_end()
        .split('\n')
        .flat_map(|line| {
            wrap(
                &[paint.span(Role::Text, line)],
                &[],
                &[],
                columns,
                Break::Words,
            )
        })
        .collect();
    let skip = lines.len().saturating_sub(usize::from(rows.left.height));
    for line in &lines[skip..] {
        line.render(rows.top(1), buffer);
    }
}

fn draw_picker(
    state: &State,
    list: &crate::tui::state::Picker,
    paint: &Paint,
    area: Rect,
    buffer: &mut Buffer,
) {
    let columns = usize::from(area.width);
    let mut rows = Rows { left: area };
    picker::head(state, list, paint, columns).render(rows.top(1), buffer);
    rule(paint, rows.top(1), buffer);
    status::line(state, paint, columns).render(rows.bottom(1), buffer);
    let line = rows.bottom(1);
    rule(paint, line, buffer);
    picker::draw(state, list, paint, rows.left, buffer);
    remark(state, paint, line, buffer);
}
