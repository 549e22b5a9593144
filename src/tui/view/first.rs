//! The page before the first write: what the run is, what stands here, what would change, and the choices.
//!
//! Pure.

use ratatui::text::{Line, Span};

use crate::attach::first::{Here, Look, There};
use crate::mirror::forecast::Forecast;
use crate::mirror::status::{Direction, FileReport, Outcome, Way};
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::on::first::deaf_until;
use crate::tui::review::FirstPage;
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{Break, clean_line, fit_end, wrap};

/// Files that are listed; the plan of the mirror has all.
const LISTED: usize = 200;

pub(crate) fn head(page: &FirstPage, paint: &Paint, columns: usize) -> Line<'static> {
    let directory = clean_line(&page.look.directory);
    let directory = fit_end(&directory, columns.saturating_sub(14));
    Line::from(vec![
        paint.span(Role::Heading, " first look  "),
        paint.span(Role::Text, directory),
    ])
}

pub(crate) fn lines(page: &FirstPage, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (role, lead, text) in told(&page.look) {
        let first = [paint.span(Role::Dim, format!(" {lead}"))];
        let rest = [Span::raw(" ".repeat(lead.chars().count() + 1))];
        let text = [paint.span(role, text)];
        lines.extend(wrap(&text, &first, &rest, columns, Break::Words));
    }
    lines
}

/// The page as (role, what stands before it, text).
fn told(look: &Look) -> Vec<(Role, &'static str, String)> {
    let blank = || (Role::Text, "", String::new());
    let mut told = vec![
        (
            Role::Text,
            "",
            format!(
                "Run {} was never mirrored into this directory. Nothing has been written.",
                look.at.run.short()
            ),
        ),
        blank(),
    ];
    if !look.title.is_empty() {
        told.push((Role::Text, "run    ", clean_line(&look.title)));
    }
    told.push(match there(&look.there) {
        Some(text) => (Role::Text, "there  ", text),
        None => (
            Role::Dim,
            "there  ",
            "no git repository is known".to_owned(),
        ),
    });
    told.push(match &look.here {
        Some(here) => (Role::Text, "here   ", stands(here)),
        None => (Role::Dim, "here   ", "in no git repository".to_owned()),
    });
    told.extend(compared(look).map(|(role, text)| (role, "       ", text)));
    told.push((Role::Text, "way    ", way(look.way).to_owned()));
    told.push(blank());
    match &look.forecast {
        Ok(forecast) => told.extend(foreseen(look, forecast)),
        Err(why) => told.push((
            Role::Warning,
            "",
            format!("What would change is not known: {}", clean_line(why)),
        )),
    }
    told
}

/// Which way files will go, once somebody has said yes.
fn way(way: Way) -> &'static str {
    match way {
        Way::Both => "both: what the agent changes comes down, what you edit here goes up",
        Way::Down => "down only: what the agent changes comes, what you edit here stays here",
        Way::Up => "up only: what you edit here goes up, what the agent changes waits",
        Way::Off => "off: nothing travels until you set another direction",
    }
}

fn there(there: &There) -> Option<String> {
    let commit = there.commit.as_deref().map(short);
    let parts = [there.repository.clone(), there.branch.clone(), commit];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| clean_line(&parts.join(" · ")))
}

fn stands(here: &Here) -> String {
    let commit = match &here.commit {
        Some(commit) => short(commit),
        None => "no commit yet".to_owned(),
    };
    let dirty = here.dirty.map(|count| match count {
        0 => "nothing uncommitted".to_owned(),
        count => format!("{count} uncommitted"),
    });
    let ignored = here.ignored.filter(|count| *count > 0);
    let ignored = ignored.map(|count| format!("{count} ignored"));
    let parts = [
        here.repository.clone(),
        here.branch.clone(),
        Some(commit),
        dirty,
        ignored,
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    clean_line(&parts.join(" · "))
}

fn short(commit: &str) -> String {
    commit.chars().take(8).collect()
}

/// Both commits, where both are known.
fn compared(look: &Look) -> Option<(Role, String)> {
    let (here, theirs) = (look.here.as_ref()?, look.there.commit.as_ref()?);
    let commit = short(theirs);
    if here.commit.as_ref() == Some(theirs) {
        return Some((Role::Success, "the same commit here and there".to_owned()));
    }
    Some((
        Role::Warning,
        match here.has_theirs {
            true => {
                format!("another commit is checked out here; {commit} is in this repository too")
            }
            false => format!("{commit} is not in this repository: perhaps it is another one"),
        },
    ))
}

fn foreseen(look: &Look, forecast: &Forecast) -> Vec<(Role, &'static str, String)> {
    let counts = forecast.counts();
    let parts = [
        (counts.down, "would come down"),
        (counts.up, "would go up"),
        (
            counts.conflicts,
            "differ: yours stay, theirs go beside them",
        ),
        (counts.skipped, "left out"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let summary = match parts.is_empty() {
        true => "Nothing differs here and there.".to_owned(),
        false => parts.join(" · "),
    };
    let mut told = vec![(Role::Heading, "", summary)];
    if let Some(held) = &forecast.held {
        told.push((Role::Warning, "", clean_line(held)));
    }
    for file in forecast.files.iter().take(LISTED) {
        let (role, sign, text) = line(file);
        told.push((role, sign, text));
    }
    let more = forecast.files.len().saturating_sub(LISTED);
    if more > 0 {
        let run = look.at.run.short();
        let text = format!("… {more} more: ashore mirror plan {run} has them all");
        told.push((Role::Dim, "", text));
    }
    for problem in &forecast.problems {
        let text = format!("not mirrored: {}", clean_line(problem));
        told.push((Role::Dim, "", text));
    }
    told
}

fn line(file: &FileReport) -> (Role, &'static str, String) {
    let path = clean_line(&file.path);
    let text = format!("{:<8}  {path}", file.change.as_str());
    match (file.result, file.direction) {
        (Outcome::Conflict, _) => (Role::Warning, "! ", text),
        (Outcome::Skipped | Outcome::Failed, _) => {
            let why = file.reason.as_deref().map(clean_line);
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            (Role::Dim, "- ", format!("{text}{why}"))
        }
        (Outcome::Settled, Direction::Down) => (Role::Text, "↓ ", text),
        (Outcome::Settled, Direction::Up) => (Role::Text, "↑ ", text),
    }
}

/// What can be answered, once it can.
pub(crate) fn foot(state: &State, page: &FirstPage) -> Vec<(Role, String)> {
    match deaf_until(state) {
        Some(_) => vec![(Role::Dim, "a moment…".to_owned())],
        None => ways(state, page),
    }
}

fn ways(state: &State, page: &FirstPage) -> Vec<(Role, String)> {
    let way = |action, words| state.keymap.way(Context::FirstLook, action, words);
    let mut ways: Vec<String> = way(Action::MirrorHere, "mirror here").into_iter().collect();
    if page.look.worktree.is_ok() {
        ways.extend(way(Action::IntoWorktree, "into a new git worktree"));
    }
    ways.extend(way(Action::AsPatch, "as a patch, nothing here"));
    ways.extend(way(Action::TranscriptOnly, "transcript only"));
    let later = match state.keymap.by_name {
        true => "An empty line decides later.",
        false => "Esc decides later.",
    };
    vec![
        (Role::Accent, ways.join(" · ")),
        (
            Role::Dim,
            format!("{later} An answer is remembered for this run and directory."),
        ),
    ]
}

/// The whole page as words.
pub(crate) fn said(state: &State, page: &FirstPage) -> Vec<String> {
    let mut said = vec![format!(
        "first look into {}",
        clean_line(&page.look.directory)
    )];
    let lines = told(&page.look).into_iter();
    let lines = lines.filter(|(_, _, text)| !text.is_empty());
    said.extend(lines.map(|(_, lead, text)| format!("{}{text}", worded(lead))));
    said.extend(ways(state, page).into_iter().map(|(_, text)| text));
    said
}

/// A sign as a word, for those who hear it.
fn worded(lead: &str) -> String {
    match lead.trim() {
        "" => String::new(),
        "↓" => "comes down: ".to_owned(),
        "↑" => "goes up: ".to_owned(),
        "!" => "differs: ".to_owned(),
        "-" => "left out: ".to_owned(),
        word => format!("{word}: "),
    }
}
