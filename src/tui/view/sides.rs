//! Both sides of a conflict as one diff: what is only yours, what is only theirs.
//!
//! Pure.

use ratatui::text::Line;

use crate::tui::event::{Side, Sides};
use crate::tui::on::sides::WAYS;
use crate::tui::theme::Role;
use crate::tui::view::diff::{AROUND, diff};
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{Break, clean_line, fit, wrap};

/// What can be done stays in sight; the rest is shown from line `top` on.
pub(crate) fn lines(
    sides: &Sides,
    top: usize,
    paint: &Paint,
    columns: usize,
) -> Vec<Line<'static>> {
    let said = said(sides);
    let (head, rest) = said.split_at(HEAD.min(said.len()));
    let top = top.min(rest.len().saturating_sub(1));
    let lines = head.iter().chain(&rest[top..]).flat_map(|(role, text)| {
        let code = matches!(role, Role::Added | Role::Removed | Role::Text);
        if code {
            vec![Line::from(paint.span(*role, fit(text, columns)))]
        } else {
            wrap(
                &[paint.span(*role, text.clone())],
                &[],
                &[],
                columns,
                Break::Words,
            )
        }
    });
    lines.collect()
}

/// Lines of [`said`] that are no part of either side.
const HEAD: usize = 3;

/// The same as words.
pub(crate) fn said(sides: &Sides) -> Vec<(Role, String)> {
    let ways = WAYS.map(|(key, name, _)| format!("{key} {name}"));
    let mut said = vec![
        (Role::Heading, clean_line(&sides.conflict.path)),
        (Role::Accent, format!("{} · Esc later", ways.join(" · "))),
        (Role::Dim, String::new()),
    ];
    match (&sides.mine, &sides.theirs) {
        (Side::Text(mine), Side::Text(theirs)) => {
            said.push((Role::Removed, "- only in yours".to_owned()));
            said.push((Role::Added, "+ only in theirs".to_owned()));
            said.extend(diff(Some(mine), theirs, AROUND).plain());
        }
        (mine, theirs) => {
            said.extend(one("yours", Role::Removed, mine));
            said.extend(one("theirs", Role::Added, theirs));
        }
    }
    said
}

/// A side without one to compare it with.
fn one(name: &str, role: Role, side: &Side) -> Vec<(Role, String)> {
    match side {
        Side::Gone => vec![(Role::Warning, format!("{name}: deleted"))],
        Side::Other(what) => vec![(Role::Warning, format!("{name}: {}", clean_line(what)))],
        Side::Text(text) => {
            let lines = text.lines().map(|line| (role, clean_line(line)));
            let mut said = vec![(Role::Dim, format!("{name}:"))];
            said.extend(lines);
            said
        }
    }
}
