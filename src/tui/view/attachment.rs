//! The line over the draft that says which files go with it.
//!
//! Pure.

use ratatui::text::Line;

use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit};

pub(crate) fn line(state: &State, paint: &Paint, columns: usize) -> Option<Line<'static>> {
    let files = &state.writing.attachments;
    if files.is_empty() {
        return None;
    }
    let labels: Vec<String> = files.iter().map(|file| clean_line(&file.label())).collect();
    let key = state.keymap.key_of(Context::Edit, Action::DeleteBack);
    let mut text = format!("   with {}", labels.join(", "));
    if columns >= 60 && state.composer.is_empty() && !key.is_empty() {
        text.push_str(&format!(" · {key} takes the last away"));
    }
    let text = fit(&text, columns.saturating_sub(1));
    Some(Line::from(paint.span(Role::Accent, text)))
}
