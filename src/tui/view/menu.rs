//! What stands over the draft to choose from: commands, paths, prompts of before.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use crate::tui::menu::{self, Choice};
use crate::tui::on::here;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit, pad, width};

/// Lines of it at most.
const ROWS: usize = 6;
/// Columns of a command with what may be written behind it, at most.
const NAMES: usize = 28;

/// The lines of it that are on the screen, and which of them is marked.
struct Menu {
    rows: Vec<Choice>,
    chosen: usize,
    /// Columns of the names; a list of whole lines has none.
    names: Option<usize>,
}

fn shown(state: &State) -> Menu {
    if let Some(search) = &state.writing.search {
        let history = state.composer.history();
        let (top, chosen) = window(search.found.len(), search.chosen);
        let prompts = search.found.iter().skip(top).take(ROWS);
        return Menu {
            rows: prompts
                .filter_map(|at| Some(prompt_row(history.get(*at)?)))
                .collect(),
            chosen,
            names: None,
        };
    }
    if let Some(mention) = &state.writing.mention {
        let (top, chosen) = window(mention.found.len(), state.slash);
        return Menu {
            rows: menu::choices(state)
                .into_iter()
                .skip(top)
                .take(ROWS)
                .collect(),
            chosen,
            names: None,
        };
    }
    if here::is_drafted(state) {
        return Menu {
            rows: vec![Choice {
                name: "LOCAL".to_owned(),
                hint: String::new(),
                label: "runs on this machine; nothing of it goes to the agent".to_owned(),
            }],
            chosen: usize::MAX,
            names: Some(6),
        };
    }
    let mut all = menu::commands_meant(state);
    for one in &mut all {
        one.name.insert(0, '/');
    }
    let names = all.iter().map(|one| width(&name(one))).max();
    let (top, chosen) = window(all.len(), state.slash);
    Menu {
        rows: all.into_iter().skip(top).take(ROWS).collect(),
        chosen,
        names: Some(names.unwrap_or(0).min(NAMES) + 1),
    }
}

/// The first line there is room for, and the marked one counted from there.
fn window(len: usize, chosen: usize) -> (usize, usize) {
    let chosen = chosen.min(len.saturating_sub(1));
    let top = (chosen + 1).saturating_sub(ROWS);
    (top, chosen - top)
}

fn prompt_row(prompt: &str) -> Choice {
    let mut lines = prompt.trim().lines();
    let first: String = lines.next().unwrap_or_default().chars().take(500).collect();
    let more = lines.count();
    Choice {
        name: first,
        hint: String::new(),
        label: match more {
            0 => String::new(),
            1 => "1 more line".to_owned(),
            more => format!("{more} more lines"),
        },
    }
}

pub(crate) fn height(state: &State) -> u16 {
    u16::try_from(shown(state).rows.len()).unwrap_or(0)
}

pub(crate) fn draw(state: &State, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let menu = shown(state);
    let columns = usize::from(area.width);
    for (index, one) in menu.rows.iter().enumerate() {
        let Ok(row) = u16::try_from(index) else {
            return;
        };
        if row >= area.height {
            return;
        }
        let role = if index == menu.chosen {
            Role::Selection
        } else {
            Role::Accent
        };
        let line = match menu.names {
            Some(names) => command_line(one, role, names.min(columns / 2), paint, columns),
            None => list_line(one, role, paint, columns),
        };
        let y = area.y + row;
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

fn name(one: &Choice) -> String {
    let name = clean_line(&one.name);
    match clean_line(&one.hint) {
        hint if hint.is_empty() => name,
        hint => format!("{name} {hint}"),
    }
}

fn command_line(
    one: &Choice,
    role: Role,
    names: usize,
    paint: &Paint,
    columns: usize,
) -> Line<'static> {
    let command = fit(&clean_line(&one.name), names);
    let left = names - width(&command);
    let hint = fit(&name(one)[clean_line(&one.name).len()..], left);
    let room = columns.saturating_sub(names + 5);
    Line::from(vec![
        paint.span(Role::Text, "   "),
        paint.span(role, command),
        paint.span(Role::Dim, pad(&hint, left)),
        paint.span(
            Role::Dim,
            format!("  {}", fit(&clean_line(&one.label), room)),
        ),
    ])
}

fn list_line(one: &Choice, role: Role, paint: &Paint, columns: usize) -> Line<'static> {
    let label = match one.label.as_str() {
        "" => String::new(),
        label => format!("  {label}"),
    };
    let room = columns.saturating_sub(4 + width(&label));
    Line::from(vec![
        paint.span(Role::Text, "   "),
        paint.span(role, fit(&clean_line(&one.name), room)),
        paint.span(Role::Dim, label),
    ])
}
