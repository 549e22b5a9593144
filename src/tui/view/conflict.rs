//! The page of a conflict: its versions, two of them compared, and what ends it.
//!
//! Pure.

use ratatui::text::{Line, Span};

use crate::mirror::merge::Merged;
use crate::mirror::show::Side;
use crate::mirror::versions::Version;
use crate::protocol::file::size;
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::on::conflict::WAYS;
use crate::tui::review::{ConflictPage, Contest};
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::cell::{Look, clock};
use crate::tui::view::change::{self, Inks};
use crate::tui::view::ink::Ink;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{Break, clean_line, fit, fit_end, wrap};

pub(crate) fn head(page: &ConflictPage, paint: &Paint, columns: usize) -> Line<'static> {
    let path = clean_line(page.path.as_str());
    let path = fit_end(&path, columns.saturating_sub(12));
    Line::from(vec![
        paint.span(Role::Warning, " conflict  "),
        paint.span(Role::Heading, path),
    ])
}

/// The versions, and the two that are compared.
pub(crate) fn lines(
    state: &State,
    page: &ConflictPage,
    paint: &Paint,
    columns: usize,
) -> Vec<Line<'static>> {
    let Some(read) = &page.read else {
        return vec![Line::from(paint.span(Role::Dim, " looking…"))];
    };
    let mut lines: Vec<Line> = versions(state, read)
        .into_iter()
        .map(|(role, text)| Line::from(paint.span(role, fit(&text, columns))))
        .collect();
    lines.push(Line::default());
    let (old, new, name) = read.compared(page.between);
    lines.push(Line::from(paint.span(Role::Heading, format!(" {name}"))));
    let ink = Ink::new(&state.colours);
    let look = Look::page(&paint.theme, &ink, columns, state);
    let inks = Inks::of(
        page.path.as_str(),
        old.text(),
        new.text().unwrap_or(""),
        look,
    );
    for told in change::lines(read.diff(page.between), &inks, look) {
        let rest = [Span::raw(" ")];
        lines.extend(wrap(&told.spans, &[], &rest, columns, Break::Anywhere));
    }
    lines
}

/// One line for each: what, how large, which, when.
fn versions(state: &State, read: &Contest) -> Vec<(Role, String)> {
    let all = &read.versions;
    let line = |name: &str, version: &Version, place: &str| {
        let what = match (&version.side, version.state) {
            (Side::Other(what), _) => clean_line(what),
            (Side::Gone, _) | (_, None) => "deleted".to_owned(),
            (Side::Text(_), Some(state)) => {
                format!("{:>9}  {}", size(state.size), state.hash.short())
            }
        };
        let time = version.time.map(|time| clock(time, &state.zone));
        let time = time.map_or(String::new(), |time| format!("  {time}"));
        format!(" {name:<6}  {what}{time}  {place}")
    };
    let beside = all.copy.as_ref().map_or("", |copy| copy.as_str());
    vec![
        (Role::Removed, line("yours", &all.mine, "")),
        (
            Role::Added,
            line("theirs", &all.theirs, &clean_line(beside)),
        ),
        (Role::Dim, line("base", &all.base, "what both had last")),
    ]
}

/// What can be done about it.
pub(crate) fn foot(state: &State, page: &ConflictPage) -> Vec<(Role, String)> {
    let way = |action, words| state.keymap.way(Context::Conflict, action, words);
    let mut ways: Vec<String> = WAYS
        .iter()
        .filter_map(|(action, name, _)| way(*action, name))
        .collect();
    let merged = page
        .read
        .as_ref()
        .and_then(|read| read.versions.merged.as_ref());
    let fits = match merged {
        Some(Merged::Clean(_)) => {
            ways.extend(way(Action::Merge, "merge"));
            Some("Both changed other lines: a merge has all of them.".to_owned())
        }
        Some(Merged::Overlaps { places, .. }) => {
            let s = if *places == 1 { "" } else { "s" };
            Some(format!("Both changed the same lines in {places} place{s}."))
        }
        None => None,
    };
    if merged.is_some() {
        ways.extend(way(Action::EditBoth, "edit both"));
        if state.writing.merge_tool.is_some() {
            ways.extend(way(Action::MergeTool, "merge tool"));
        }
    }
    if page.read.is_some() {
        ways.extend(way(Action::CompareOthers, "compare others"));
    }
    ways.push("Esc later".to_owned());
    let mut foot = vec![(Role::Accent, ways.join(" · "))];
    foot.extend(fits.map(|text| (Role::Dim, text)));
    foot
}

/// The whole page as words.
pub(crate) fn said(state: &State, page: &ConflictPage) -> Vec<String> {
    let Some(read) = &page.read else {
        return vec![format!("{}: looking", clean_line(page.path.as_str()))];
    };
    let mut told = vec![format!("conflict: {}", clean_line(page.path.as_str()))];
    let versions = versions(state, read).into_iter();
    told.extend(versions.map(|(_, text)| text.trim().to_owned()));
    told.push(read.compared(page.between).2.to_owned());
    let rows = &read.diff(page.between).rows;
    told.extend(rows.iter().map(|row| fit(&row.plain().1, 400)));
    told.extend(foot(state, page).into_iter().map(|(_, text)| text));
    told
}
