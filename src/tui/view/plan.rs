//! The plan, as the agent last told it.
//!
//! Pure.

use ratatui::text::{Line, Span};

use crate::protocol::acp::{PlanEntry, PlanStatus};
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::status;
use crate::tui::view::text::{Break, clean_line, fit, wrap};

pub(crate) fn entries(state: &State) -> &[PlanEntry] {
    state.session().map_or(&[], |session| &session.plan)
}

/// `3/5`, or nothing without a plan.
pub(crate) fn count(state: &State) -> String {
    let entries = entries(state);
    let done = entries
        .iter()
        .filter(|entry| entry.status == PlanStatus::Completed)
        .count();
    if entries.is_empty() {
        String::new()
    } else {
        format!("{done}/{}", entries.len())
    }
}

pub(crate) fn lines(state: &State, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let entries = entries(state);
    if entries.is_empty() {
        let text = status::nothing(state, "  no plan yet", columns);
        return vec![Line::from(paint.span(Role::Dim, fit(&text, columns)))];
    }
    entries
        .iter()
        .flat_map(|entry| {
            let (role, sign, text) = match entry.status {
                PlanStatus::Completed => (Role::Success, "✓", Role::Dim),
                PlanStatus::InProgress => (Role::Accent, "◐", Role::Text),
                PlanStatus::Pending => (Role::Dim, "○", Role::Text),
            };
            let first = [paint.span(role, format!("  {sign} "))];
            let words = [paint.span(text, clean_line(&entry.content))];
            wrap(&words, &first, &[Span::raw("    ")], columns, Break::Words)
        })
        .collect()
}
