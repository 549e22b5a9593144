//! The files the agent has changed, the newest first, and how the mirror stands.
//!
//! Pure.

use std::ops::Range;

use ratatui::text::{Line, Span};

use crate::attach::state::Attached;
use crate::mirror::show::Weight;
use crate::mirror::status::{MirrorState, Way};
use crate::protocol::file::ChangeKind;
use crate::protocol::run::Environment;
use crate::session::state::FileEntry;
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::on::review::provenance;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::cell::clock;
use crate::tui::view::paint::Paint;
use crate::tui::view::status;
use crate::tui::view::text::{Break, clean_line, fit, fit_end, width, wrap};

/// How the mirror stands: role, sign, words.
pub(crate) fn mirror(attached: &Attached) -> (Role, &'static str, String) {
    let mirror = &attached.mirror;
    let local = attached
        .run
        .as_ref()
        .is_some_and(|run| run.environment == Environment::Local);
    match mirror.state {
        MirrorState::Off if local => (Role::Dim, "·", "in place".to_owned()),
        MirrorState::Off => (Role::Dim, "·", "mirror off".to_owned()),
        MirrorState::Live if mirror.held_count() > 0 => {
            (Role::Warning, "!", format!("{} held", mirror.held_count()))
        }
        MirrorState::Live => match mirror.direction {
            Way::Both if mirror.polls.is_some() => (Role::Success, "⇅", "polling".to_owned()),
            Way::Both => (Role::Success, "⇅", "live".to_owned()),
            Way::Down => (Role::Success, "↓", "only down".to_owned()),
            Way::Up => (Role::Success, "↑", "only up".to_owned()),
            Way::Off => (Role::Warning, "=", "held".to_owned()),
        },
        MirrorState::CatchingUp if mirror.down == 0 && mirror.under_way > 0 => {
            (Role::Accent, "↑", format!("{} to go", mirror.under_way))
        }
        MirrorState::CatchingUp if mirror.down == 0 => (Role::Accent, "⇅", "looking".to_owned()),
        MirrorState::CatchingUp => (Role::Accent, "↓", format!("{} to come", mirror.down)),
        MirrorState::Paused => (Role::Warning, "=", "paused".to_owned()),
        MirrorState::Halted => (Role::Error, "■", "halted".to_owned()),
        MirrorState::Conflict => {
            let conflicts = match mirror.conflicts.len() {
                1 => "1 conflict".to_owned(),
                many => format!("{many} conflicts"),
            };
            let held = match mirror.held_count() {
                0 => String::new(),
                held => format!(" · {held} held"),
            };
            (Role::Warning, "!", conflicts + &held)
        }
    }
}

/// When both sides were last compared in full and found alike: `✓14:07`. An age would stand still on an idle screen.
pub(crate) fn checked(state: &State, attached: &Attached) -> Option<String> {
    let mirror = &attached.mirror;
    let at = mirror
        .checked_at
        .filter(|_| mirror.state == MirrorState::Live && mirror.held_count() == 0)?;
    Some(format!("✓{}", clock(at, &state.zone)))
}

/// One line each for these rows; `chosen` is marked.
pub(crate) fn lines(
    state: &State,
    paint: &Paint,
    columns: usize,
    chosen: Option<usize>,
    rows: Range<usize>,
) -> Vec<Line<'static>> {
    let Some(attached) = state.attached() else {
        return Vec::new();
    };
    let files = &attached.session.files;
    let mut lines: Vec<Line> = files
        .iter()
        .rev()
        .enumerate()
        .skip(rows.start)
        .take(rows.len())
        .map(|(row, file)| {
            let refused = attached.session.refused.iter();
            let conflict = refused
                .map(|edit| &edit.path)
                .any(|path| *path == file.path)
                || attached
                    .mirror
                    .conflicts
                    .iter()
                    .any(|conflict| conflict.path == file.path);
            let by = match columns {
                // Whose call it was is read only where there is room for it.
                WIDE.. => provenance(&attached.session, file),
                _ => file
                    .turn
                    .map_or(String::new(), |turn| format!("turn {turn}")),
            };
            let weight = attached.looks.weights.get(&file.path);
            let weight = weight.and_then(|known| known.found);
            let told = Told {
                conflict,
                by,
                weight,
            };
            entry(file, told, paint, columns, chosen == Some(row))
        })
        .collect();
    if files.is_empty() {
        let text = status::nothing(state, "  no files changed yet", columns);
        lines.push(Line::from(paint.span(Role::Dim, fit(&text, columns))));
    }
    lines
}

/// What the mirror says of itself, for the foot of the pane.
pub(crate) fn foot(state: &State, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let Some(attached) = state.attached() else {
        return Vec::new();
    };
    let mirror = &attached.mirror;
    let run = attached.at.run.short();
    let mut words = Vec::new();
    if let Some(reason) = &mirror.reason {
        words.push((Role::Warning, clean_line(reason)));
    }
    match mirror.state {
        MirrorState::Halted => words.push((Role::Dim, format!("look: ashore mirror status {run}"))),
        MirrorState::Paused => {
            words.push((Role::Dim, format!("go on: ashore mirror resume {run}")))
        }
        MirrorState::Off | MirrorState::Live | MirrorState::CatchingUp | MirrorState::Conflict => {}
    }
    if mirror.up > 0 {
        let going = mirror.under_way >= mirror.up;
        let how = if going { "on the way" } else { "not sent" };
        words.push((Role::Dim, format!("{} edited here, {how}", mirror.up)));
    }
    if !mirror.conflicts.is_empty() {
        let key = state.keymap.key_of(Context::Browse, Action::Conflict);
        words.push((Role::Dim, format!("both changed: {key} decides")));
    }
    for conflict in mirror.conflicts.iter().take(3) {
        let text = match &conflict.theirs {
            Some(theirs) => format!("theirs: {}", clean_line(theirs)),
            None => format!("deleted there: {}", clean_line(&conflict.path)),
        };
        words.push((Role::Warning, text));
    }
    for held in mirror.held.iter().take(3) {
        let text = format!("held: {}: {}", held.path, held.reason);
        words.push((Role::Warning, clean_line(&text)));
    }
    if mirror.held_count() > 0 {
        words.push((Role::Dim, format!("try now: ashore mirror fetch {run}")));
    }
    let indent = [Span::raw("  ")];
    words
        .into_iter()
        .flat_map(|(role, text)| {
            wrap(
                &[paint.span(role, text)],
                &indent,
                &indent,
                columns,
                Break::Words,
            )
        })
        .collect()
}

/// From so many columns on a line says which tool wrote the file.
const WIDE: usize = 60;

/// What is known of a file beside its entry.
struct Told {
    conflict: bool,
    by: String,
    weight: Option<Weight>,
}

/// `  +14 −3`, for the end of a line.
fn counts(weight: Option<Weight>, paint: &Paint) -> Vec<Span<'static>> {
    match weight {
        Some(Weight::Lines { added, removed }) => {
            let mut spans = Vec::new();
            if added > 0 || removed == 0 {
                spans.push(paint.span(Role::Added, format!("  +{added}")));
            }
            if removed > 0 {
                let space = if added > 0 { " " } else { "  " };
                spans.push(paint.span(Role::Removed, format!("{space}−{removed}")));
            }
            spans
        }
        Some(Weight::Binary) => vec![paint.span(Role::Dim, "  bin")],
        Some(Weight::Large) => vec![paint.span(Role::Dim, "  large")],
        None => Vec::new(),
    }
}

fn entry(
    file: &FileEntry,
    told: Told,
    paint: &Paint,
    columns: usize,
    chosen: bool,
) -> Line<'static> {
    let Told {
        conflict,
        by,
        weight,
    } = told;
    let (role, sign) = match (conflict, &file.failed) {
        (true, _) => (Role::Warning, "!"),
        (false, Some(_)) => (Role::Error, "✕"),
        (false, None) if file.by_user => (Role::Dim, "↑"),
        (false, None) => (Role::Dim, "↓"),
    };
    let (kind_role, kind) = match file.kind {
        _ if conflict => (Role::Warning, "C"),
        ChangeKind::Created => (Role::Added, "A"),
        ChangeKind::Modified => (Role::Accent, "M"),
        ChangeKind::Deleted => (Role::Removed, "D"),
    };
    let right = match (conflict, &file.failed) {
        (true, _) => "both changed".to_owned(),
        (_, Some(why)) => fit(&clean_line(why), columns / 2),
        (_, None) => by,
    };
    let counts = counts(weight, paint);
    let counted: usize = counts.iter().map(|span| width(&span.content)).sum();
    let room = columns.saturating_sub(6 + width(&right) + counted + 2);
    let path = fit_end(&clean_line(&file.path), room);
    let space = room.saturating_sub(width(&path)) + 1;
    let text = if chosen { Role::Selection } else { Role::Text };
    let mut line = vec![
        paint.span(role, format!("  {sign} ")),
        paint.span(kind_role, format!("{kind} ")),
        paint.span(text, path),
        Span::raw(" ".repeat(space)),
        paint.span(Role::Dim, right),
    ];
    line.extend(counts);
    Line::from(line)
}
