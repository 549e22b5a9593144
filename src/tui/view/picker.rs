//! The list of runs.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::protocol::run::Status;
use crate::tui::action::Action;
use crate::tui::event::RunRow;
use crate::tui::keymap::Context;
use crate::tui::state::{Picker, Scene, State};
use crate::tui::theme::Role;
use crate::tui::view::cell::seconds;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit, fit_end, pad, width};

/// Columns for how a mirror stands.
const MIRROR: usize = 8;

pub(crate) fn draw(state: &State, picker: &Picker, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let mut lines = Vec::new();
    let rows = picker.shown();
    let new = state.keymap.key_of(Context::Picker, Action::NewRun);
    let escape = state.keymap.key_of(Context::Everywhere, Action::Escape);
    match (&picker.failed, &picker.rows) {
        (Some(why), _) => lines.push(Line::from(
            paint.span(Role::Error, format!(" ✕ {}", clean_line(why))),
        )),
        (None, None) => lines.push(Line::from(paint.span(Role::Dim, "   looking for runs…"))),
        (None, Some(all)) if all.is_empty() => {
            lines.push(Line::from(
                paint.span(Role::Dim, format!("   no runs yet · {new} starts one")),
            ));
        }
        (None, Some(_)) if rows.is_empty() => {
            lines.push(Line::from(paint.span(
                Role::Dim,
                format!("   nothing fits the filter · {escape} clears it"),
            )));
        }
        (None, Some(_)) => (),
    }
    let room = usize::from(area.height).saturating_sub(lines.len());
    let top = (picker.selected + 1).saturating_sub(room);
    let is_told = rows.iter().any(|row| mirror(state, row).is_some());
    let mirrors = if is_told { MIRROR } else { 0 };
    for (index, row) in rows.iter().enumerate().skip(top).take(room) {
        let selected = index == picker.selected;
        lines.push(line(state, row, selected, paint, columns, mirrors));
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

/// Before what is typed into the filter.
const BEFORE: &str = " Runs   /";

/// The filter as it is shown: its end, where it is long.
fn filter(picker: &Picker, columns: usize) -> String {
    let room = columns.saturating_sub(BEFORE.len() + 2);
    fit_end(&clean_line(&picker.filter), room)
}

/// Where the next letter of the filter goes.
pub(crate) fn cursor(picker: &Picker, area: Rect) -> Option<Position> {
    let typed = width(&filter(picker, usize::from(area.width)));
    let column = u16::try_from(BEFORE.len() + typed).unwrap_or(u16::MAX);
    let x = area.x.saturating_add(column);
    picker
        .filtering
        .then(|| Position::new(x.min(area.right().saturating_sub(1)), area.y))
}

/// The head line: what this is and what can be done.
pub(crate) fn head(state: &State, picker: &Picker, paint: &Paint, columns: usize) -> Line<'static> {
    let mut spans = vec![paint.span(Role::Heading, " Runs")];
    if picker.filtering || !picker.filter.is_empty() {
        let text = format!("   /{}", filter(picker, columns));
        spans.push(paint.span(Role::Accent, text));
    } else {
        spans.push(paint.span(
            Role::Dim,
            format!("   endpoint {}", clean_line(&state.welcome.endpoint)),
        ));
    }
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let hints = hints(state, columns.saturating_sub(used), columns >= 80);
    let space = columns.saturating_sub(used + width(&hints) + 1);
    spans.push(Span::raw(" ".repeat(space)));
    spans.push(paint.span(Role::Dim, hints));
    Line::from(spans)
}

/// The keys with what they do, or the keys alone; as many as there is room for.
fn hints(state: &State, room: usize, wide: bool) -> String {
    let here = |action| state.keymap.key_of(Context::Picker, action);
    let mut keys = vec![
        (here(Action::Filter), "filter"),
        (here(Action::NewRun), "new"),
        (here(Action::Open), "attach"),
    ];
    if !state.tabs.list.is_empty() {
        let escape = state.keymap.key_of(Context::Everywhere, Action::Escape);
        keys.push((escape, "back"));
    }
    let mut hints = String::new();
    // A key that was taken away is not offered.
    for (key, word) in keys.iter().filter(|(key, _)| !key.is_empty()) {
        let gap = match (hints.is_empty(), wide) {
            (true, _) => "",
            (false, true) => "   ",
            (false, false) => " ",
        };
        let hint = match wide {
            true => format!("{gap}{key} {word}"),
            false => format!("{gap}{key}"),
        };
        if width(&hints) + width(&hint) < room {
            hints.push_str(&hint);
        }
    }
    hints
}

fn line(
    state: &State,
    row: &RunRow,
    selected: bool,
    paint: &Paint,
    columns: usize,
    mirrors: usize,
) -> Line<'static> {
    let (role, sign, words) = standing(row);
    let words = [vec![words], facts(state, row)].concat().join(", ");
    let here = if row.here { "●" } else { " " };
    let age = row
        .updated
        .map(|at| age(seconds(at, state.wall)))
        .unwrap_or_default();
    let wide = columns >= 80;
    let (title_room, place_room) = match columns {
        120.. => (columns / 3, 14),
        80.. => (columns / 3, 9),
        _ => (columns.saturating_sub(10 + 8), 0),
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
        spans.push(paint.span(Role::Dim, pad(&clean_line(&row.place), place_room) + " "));
        let others = 10 + title_room + 2 + place_room + 1 + 6 + mirrors;
        let room = columns.saturating_sub(others);
        spans.push(paint.span(role, pad(&words, room)));
    }
    spans.push(paint.span(Role::Dim, format!("{age:>5}")));
    if wide && let Some((role, mirror)) = mirror(state, row) {
        spans.push(paint.span(role, format!("  {mirror}")));
    }
    Line::from(spans)
}

/// What more is known of it, as far as it is.
pub(crate) fn facts(state: &State, row: &RunRow) -> Vec<String> {
    let facts = &row.facts;
    let mut words = Vec::new();
    let over = row.status.is_terminal();
    if let Some(turns) = facts.turns.filter(|turns| *turns > 0 && !over) {
        words.push(format!("turn {turns}"));
    }
    match facts.files {
        None | Some(0) => (),
        Some(1) => words.push("1 file".to_owned()),
        Some(files) => words.push(format!("{files} files")),
    }
    let number = facts
        .pr_url
        .as_deref()
        .and_then(|url| url.rsplit('/').next());
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(number) = number.filter(is_number).filter(|text| !text.is_empty()) {
        words.push(format!("PR #{}", fit(number, 12)));
    }
    // One of them is this screen.
    let ours = u64::from(state.tabs.of_run(&row.at).is_some());
    match facts.clients.map(|clients| clients.saturating_sub(ours)) {
        None | Some(0) => (),
        Some(others) => words.push(format!("{others} attached")),
    }
    words
}

/// How the mirror of an open run stands, when that is not in step.
fn mirror(state: &State, row: &RunRow) -> Option<(Role, String)> {
    let tab = state.tabs.of_run(&row.at)?;
    let tab = state.tabs.list.get(tab)?.as_ref()?;
    let Scene::Run(attached) = &tab.scene else {
        return None;
    };
    let mirror = &attached.mirror;
    let counts = [
        ("↓", mirror.down),
        ("↑", mirror.up),
        ("!", (mirror.conflicts.len() + mirror.held_count()) as u64),
    ];
    let words: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(sign, count)| format!("{sign}{count}"))
        .collect();
    let role = if mirror.conflicts.is_empty() && mirror.held_count() == 0 {
        Role::Accent
    } else {
        Role::Warning
    };
    (!words.is_empty()).then(|| (role, words.join(" ")))
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
        Status::Failed => (Role::Error, "✕", failed(row)),
        Status::Cancelled => (Role::Dim, "■", "stopped".to_owned()),
        _ if row.working => (Role::Accent, "◐", "working".to_owned()),
        Status::NotStarted | Status::Queued => (Role::Accent, "◌", "starting".to_owned()),
        Status::InProgress => (Role::Dim, "○", "idle".to_owned()),
        Status::Other(word) => (Role::Dim, "○", fit(&clean_line(word), 20)),
    }
}

fn failed(row: &RunRow) -> String {
    match &row.facts.error {
        Some(why) => format!("failed: {}", clean_line(why)),
        None => "failed".to_owned(),
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
