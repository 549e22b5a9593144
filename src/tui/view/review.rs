//! The page of one file, change by change, and the page that says what an undo would do.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use crate::mirror::preview::Preview;
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::review::{Changes, FilePage, Review, UndoPage};
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::cell::Look;
use crate::tui::view::change::{self, Inks};
use crate::tui::view::ink::Ink;
use crate::tui::view::paint::Paint;
use crate::tui::view::rows::{Rows, print, rule, scrolled};
use crate::tui::view::text::{Break, clean_line, fit, fit_end, width, wrap};
use crate::tui::view::{conflict, first};

/// Over the whole screen.
pub(crate) fn draw(state: &State, review: &Review, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    Clear.render(area, buffer);
    let mut rows = Rows { left: area };
    let (head, lines, top, foot) = match review {
        Review::File(page) => {
            let (lines, top) = file(state, page, paint, columns);
            (
                file_head(page, paint, columns),
                lines,
                top,
                file_foot(state, page),
            )
        }
        Review::Conflict(page) => (
            conflict::head(page, paint, columns),
            conflict::lines(state, page, paint, columns),
            page.top,
            conflict::foot(state, page),
        ),
        Review::First(page) => (
            first::head(page, paint, columns),
            first::lines(page, paint, columns),
            page.top,
            first::foot(state, page),
        ),
        Review::Undo(page) => {
            let lines = wrapped(undo(state, page), "", "    ", paint, columns);
            let head = Line::from(paint.span(Role::Heading, " undo"));
            (head, lines, page.top, undo_foot(state, page))
        }
    };
    print(&[head], rows.top(1), buffer);
    rule(paint, rows.top(1), buffer);
    let foot = wrapped(foot, " ", " ", paint, columns);
    let height = u16::try_from(foot.len()).unwrap_or(u16::MAX);
    print(&foot, rows.bottom(height), buffer);
    scrolled(&lines, top, paint, rows, buffer);
}

/// Lines of text: what stands before the first line of each, and before its others.
fn wrapped(
    told: Vec<(Role, String)>,
    first: &'static str,
    rest: &'static str,
    paint: &Paint,
    columns: usize,
) -> Vec<Line<'static>> {
    let (first, rest) = ([Span::raw(first)], [Span::raw(rest)]);
    let lines = told.into_iter().flat_map(|(role, text)| {
        let text = [paint.span(role, text)];
        wrap(&text, &first, &rest, columns, Break::Words)
    });
    lines.collect()
}

fn file_head(page: &FilePage, paint: &Paint, columns: usize) -> Line<'static> {
    let mut right = vec![paint.span(Role::Dim, clean_line(&page.by))];
    if let Some(read) = page.read.as_ref().filter(|read| read.hunks() > 0) {
        right.push(paint.span(Role::Added, format!("  +{}", read.added)));
        right.push(paint.span(Role::Removed, format!(" −{} ", read.removed)));
    }
    let wide: usize = right.iter().map(|span| width(&span.content)).sum();
    let room = columns.saturating_sub(wide + 3);
    let path = fit_end(&clean_line(page.path.as_str()), room);
    let space = columns.saturating_sub(1 + width(&path) + wide);
    let mut line = vec![
        paint.span(Role::Heading, format!(" {path}")),
        Span::raw(" ".repeat(space)),
    ];
    line.extend(right);
    Line::from(line)
}

/// The lines of the page, and which is the first to be shown.
fn file(
    state: &State,
    page: &FilePage,
    paint: &Paint,
    columns: usize,
) -> (Vec<Line<'static>>, usize) {
    let Some(read) = &page.read else {
        return (vec![Line::from(paint.span(Role::Dim, " looking…"))], 0);
    };
    let (lines, starts) = changes(state, page, read, paint, columns);
    let start = starts.get(page.at).copied().unwrap_or(0);
    let top = i64::try_from(start).unwrap_or(0) + page.shift;
    (lines, usize::try_from(top).unwrap_or(0))
}

/// The lines of all changes, and where each begins.
fn changes(
    state: &State,
    page: &FilePage,
    read: &Changes,
    paint: &Paint,
    columns: usize,
) -> (Vec<Line<'static>>, Vec<usize>) {
    let ink = Ink::new(&state.colours);
    let look = Look::page(&paint.theme, &ink, columns, state);
    let (old, new) = (read.shown.start.text(), read.shown.now.text());
    let inks = Inks::of(page.path.as_str(), old, new.unwrap_or(""), look);
    let (mut lines, mut starts) = (Vec::new(), Vec::new());
    if read.hunks() == 0 && read.parts.is_empty() {
        let same = " nothing differs from what stood there when the run began";
        lines.push(Line::from(paint.span(Role::Dim, same)));
    }
    for (number, part) in read.parts.iter().enumerate() {
        starts.push(lines.len());
        if read.hunks() > 0 {
            let (role, sign) = match (number == page.at, page.kept.contains(&number)) {
                (true, _) => (Role::Accent, "▸"),
                (false, true) => (Role::Success, "✓"),
                (false, false) => (Role::Dim, " "),
            };
            let kept = if page.kept.contains(&number) {
                " · kept"
            } else {
                ""
            };
            let head = format!("{sign} hunk {} of {}{kept}", number + 1, read.hunks());
            lines.push(Line::from(paint.span(role, head)));
        }
        for told in change::lines(part, &inks, look) {
            let line = Line::from(told.spans);
            lines.extend(wrap(
                &line.spans,
                &[],
                &[Span::raw(" ")],
                columns,
                Break::Anywhere,
            ));
        }
    }
    (lines, starts)
}

fn file_foot(state: &State, page: &FilePage) -> Vec<(Role, String)> {
    let hunks = page.read.as_ref().map_or(0, |read| read.hunks());
    if page.waits {
        return vec![(Role::Accent, "is being written…".to_owned())];
    }
    if hunks == 0 {
        return vec![(Role::Dim, "Esc closes".to_owned())];
    }
    let way = |action, words| state.keymap.way(Context::Review, action, words);
    let mut ways: Vec<String> = [
        way(Action::KeepChange, "keep"),
        way(Action::TakeChangeBack, "take this one back"),
        way(Action::ChangeNext, "next"),
        way(Action::ChangeBefore, "before"),
    ]
    .into_iter()
    .flatten()
    .collect();
    ways.push("Esc closes".to_owned());
    vec![
        (Role::Accent, format!("hunk {} of {hunks}", page.at + 1)),
        (Role::Dim, ways.join(" · ")),
    ]
}

/// What an undo would do, as lines.
pub(crate) fn undo(state: &State, page: &UndoPage) -> Vec<(Role, String)> {
    let preview = state.attached().and_then(|one| one.looks.preview.as_ref());
    let Some(preview) = preview.filter(|preview| preview.scope == page.scope) else {
        return vec![(Role::Dim, " looking…".to_owned())];
    };
    let name = clean_line(&preview.scope.name());
    if preview.items.is_empty() {
        let text = format!(" {name}: nothing of it stands here, so there is nothing to undo");
        return vec![(Role::Dim, text)];
    }
    let mut said = vec![(Role::Heading, format!(" {name}: {}", outcome(preview)))];
    for item in &preview.items {
        let (role, why) = match (&item.refused, &item.note) {
            (Some(why), _) => (Role::Warning, Some(why)),
            (None, note) => (Role::Text, note.as_ref()),
        };
        let why = why.map_or(String::new(), |why| format!(": {}", clean_line(why)));
        let path = clean_line(item.path.as_str());
        said.push((role, format!("  {:<10} {path}{why}", item.word())));
    }
    let hidden = (preview.done + preview.refused).saturating_sub(preview.items.len());
    if hidden > 0 {
        said.push((Role::Dim, format!("  … {hidden} more")));
    }
    said
}

fn outcome(preview: &Preview) -> String {
    let s = if preview.done == 1 { "" } else { "s" };
    let what = if preview.again {
        format!("was undone; {} file{s} would come back", preview.done)
    } else {
        format!("{} file{s} would change", preview.done)
    };
    match preview.refused {
        0 => what,
        refused => format!("{what}, {refused} would stay"),
    }
}

/// What can be done about it.
pub(crate) fn undo_foot(state: &State, page: &UndoPage) -> Vec<(Role, String)> {
    let preview = state.attached().and_then(|one| one.looks.preview.as_ref());
    let can = preview.is_some_and(|preview| preview.scope == page.scope && preview.done > 0);
    let way = |action, words: &str| state.keymap.way(Context::Undo, action, words);
    let mut ways = Vec::new();
    if can {
        ways.extend(way(Action::UndoNow, "do it"));
    }
    if page.file.is_some() {
        ways.extend(way(Action::UndoFile, "this file"));
    }
    if let Some(turn) = page.turn {
        ways.extend(way(Action::UndoTurn, &format!("turn {turn}")));
    }
    ways.extend(way(Action::UndoRun, "the whole run"));
    ways.push("Esc leaves it".to_owned());
    vec![
        (Role::Accent, ways.join(" · ")),
        (
            Role::Dim,
            "What gives way is kept, and another undo returns it.".to_owned(),
        ),
    ]
}

/// The change that is decided next, in words, with what can be done about it.
pub(crate) fn said(state: &State, review: &Review) -> Vec<String> {
    let page = match review {
        Review::Undo(page) => {
            let lines = undo(state, page).into_iter().chain(undo_foot(state, page));
            return lines.map(|(_, text)| text.trim().to_owned()).collect();
        }
        Review::Conflict(page) => return conflict::said(state, page),
        Review::First(page) => return first::said(state, page),
        Review::File(page) => page,
    };
    let Some(read) = &page.read else {
        return vec![format!("{}: looking", clean_line(page.path.as_str()))];
    };
    let mut told = vec![format!(
        "{}, {}, {} lines added, {} removed",
        clean_line(page.path.as_str()),
        page.by,
        read.added,
        read.removed
    )];
    if let Some(part) = read.parts.get(page.at) {
        let line = |row: &crate::tui::view::diff::Row| fit(&row.plain().1, 400);
        told.extend(part.rows.iter().map(line));
    }
    told.extend(file_foot(state, page).into_iter().map(|(_, text)| text));
    told
}
