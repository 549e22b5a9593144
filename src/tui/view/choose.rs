//! The list of the agent's modes and options, each with the value that is on.
//!
//! Pure.

use ratatui::text::Line;

use crate::attach::approval::{self, Approval};
use crate::session::choices::Choice;
use crate::tui::on::choose;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::status;
use crate::tui::view::text::{Break, clean_line, fit, wrap};

/// The lines, and which of them is the chosen one.
pub(crate) fn lines(
    state: &State,
    row: usize,
    paint: &Paint,
    columns: usize,
) -> (Vec<Line<'static>>, usize) {
    let choices = state.session().map(|session| session.choices());
    let choices = choices.unwrap_or_default();
    let rows = choose::rows(&choices);
    let row = row.min(rows.len().saturating_sub(1));
    let mut lines = approves(state, paint, columns);
    lines.extend(others(state, paint, columns));
    let mut chosen = 0;
    for (at, (index, value)) in rows.iter().enumerate() {
        let choice = &choices[*index];
        if *value == 0 {
            if !lines.is_empty() {
                lines.push(Line::default());
            }
            let name = fit(&clean_line(&choice.name), columns);
            lines.push(Line::from(paint.span(Role::Heading, name)));
        }
        if at == row {
            chosen = lines.len();
        }
        lines.push(line(state, choice, *value, at == row, paint, columns));
    }
    (lines, chosen)
}

fn line(
    state: &State,
    choice: &Choice,
    value: usize,
    chosen: bool,
    paint: &Paint,
    columns: usize,
) -> Line<'static> {
    let (word, name) = &choice.values[value];
    let is_on = *word == choice.current;
    let wish = state.ask.wish.as_ref();
    let is_wished = wish.is_some_and(|wish| {
        wish.kind == choice.kind && wish.name == choice.name && wish.to == *word
    });
    let sign = match (is_on, is_wished) {
        (true, _) => "●",
        (false, true) => "◌",
        (false, false) => " ",
    };
    let role = if chosen { Role::Selection } else { Role::Text };
    let asked = if is_wished { "  (asked)" } else { "" };
    let name = fit(&clean_line(name), columns.saturating_sub(4 + asked.len()));
    Line::from(vec![
        paint.span(Role::Accent, format!(" {sign} ")),
        paint.span(role, name),
        paint.span(Role::Dim, asked),
    ])
}

/// Why nobody is asked, and how that ends.
fn approves(state: &State, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let Some(by) = state.attached().and_then(approval::by_itself) else {
        return Vec::new();
    };
    let text = format!("AUTO: {}", words(&by));
    wrap(
        &[paint.span(Role::Warning, text)],
        &[],
        &[],
        columns,
        Break::Words,
    )
}

/// Everybody else who is attached, by name: the status line has seldom room for all of them.
fn others(state: &State, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let others = state.attached().map(|attached| &attached.others[..]);
    let names: Vec<String> = others
        .unwrap_or_default()
        .iter()
        .map(status::name)
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    let text = format!("attached beside you: {}", names.join(", "));
    let spans = [paint.span(Role::Text, text)];
    wrap(&spans, &[], &[], columns, Break::Words)
}

/// What approves by itself, and the way out of it.
pub(crate) fn words(by: &Approval) -> String {
    match by {
        Approval::Policy => "this run answers the agent's requests with yes; one started with --permissions ask asks you".to_owned(),
        Approval::Mode(mode) => format!(
            "in its mode {} the agent does much without asking; another mode ends that",
            clean_line(mode)
        ),
    }
}
