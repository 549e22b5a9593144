//! What can be chosen, as numbered lines, and what is shown on a page of its own elsewhere.
//!
//! Pure.

use crate::protocol::acp::PlanStatus;
use crate::protocol::file::ChangeKind;
use crate::protocol::file::size;
use crate::protocol::run::Status;
use crate::session::state::{FileEntry, OpenPermission};
use crate::tui::ask::Writing;
use crate::tui::event::RunRow;
use crate::tui::keymap::{Context, action_name};
use crate::tui::linear::cell::{brief, counted, spoken};
use crate::tui::on::{choose, copy, writing};
use crate::tui::palette::{self, Row, What};
use crate::tui::state::{Confirm, OURS, Picker, State};
use crate::tui::view::asked;
use crate::tui::view::cell::seconds;
use crate::tui::view::picker::facts;
use crate::tui::view::text::clean_line;
use ratatui::style::Style;

/// Wider than anything: what is read out is not wrapped.
const WIDE: usize = 10_000;
/// Lines of what the agent asks for that are read without being asked for.
const BRIEF: usize = 5;

/// What stands under a list that waits for a number or a letter.
pub(super) const CHOOSE: &str = "choose>";

fn numbered(number: usize, words: &str) -> String {
    format!("{number} {words}")
}

/// The runs that fit the filter, each with the number that opens it.
pub(crate) fn runs(state: &State, picker: &Picker) -> Vec<String> {
    if let Some(why) = &picker.failed {
        return vec![format!("error: {}", clean_line(why))];
    }
    let Some(all) = &picker.rows else {
        return vec!["looking for runs".to_owned()];
    };
    let shown = picker.shown();
    let mut told = vec![match (shown.len(), all.len()) {
        (_, 0) => "no runs yet: /new_run begins one".to_owned(),
        (many, all) if many == all => format!(
            "{}; a number opens one, /new_run begins a new one",
            counted(many, "run")
        ),
        (many, all) => format!(
            "{many} of {} fit `{}`; /filter alone shows all",
            counted(all, "run"),
            clean_line(&picker.filter)
        ),
    }];
    let rows = shown.iter().enumerate();
    told.extend(rows.map(|(at, row)| numbered(at + 1, &run(state, row))));
    told
}

fn run(state: &State, row: &RunRow) -> String {
    let mut words = vec![format!("{} {}", row.at.run.short(), clean_line(&row.title))];
    if !row.place.is_empty() {
        words.push(format!("in {}", clean_line(&row.place)));
    }
    words.push(match (&row.needs, row.working, &row.status) {
        (Some(needs), ..) => format!("waits for you: {}", clean_line(needs)),
        (None, true, _) => "working".to_owned(),
        (None, false, Status::Completed) => "done".to_owned(),
        (None, false, Status::Failed) => "failed".to_owned(),
        (None, false, Status::Cancelled) => "stopped".to_owned(),
        (None, false, _) => "idle".to_owned(),
    });
    words.extend(facts(state, row));
    if let Some(updated) = row.updated {
        words.push(format!("{} ago", spoken(seconds(updated, state.wall))));
    }
    if row.here {
        words.push("mirrored here".to_owned());
    }
    words.join(", ")
}

/// What can be done, with its number and its name.
pub(super) fn palette(state: &State, words: &str) -> Vec<String> {
    let rows = palette::rows(state, words);
    if rows.is_empty() {
        return vec!["nothing fits".to_owned()];
    }
    let rows = rows.iter().enumerate();
    rows.map(|(at, row)| numbered(at + 1, &entry(row)))
        .collect()
}

fn entry(row: &Row) -> String {
    let name = match &row.what {
        What::Act(action) => row
            .slash
            .clone()
            .unwrap_or_else(|| format!("/{}", action_name(*action))),
        What::Write(command) => command.trim().to_owned(),
    };
    format!("{}: {}", clean_line(&name), clean_line(&row.label))
}

/// Every name, in the order of the keys' help.
pub(super) fn help(state: &State) -> Vec<String> {
    let mut told = vec![
        "a line is a message; one that ends in \\ goes on in the next".to_owned(),
        "a line that begins with / does what its name says, with ! runs a command on this machine"
            .to_owned(),
    ];
    told.extend(OURS.map(|(name, label)| format!("/{name}: {label}")));
    let mut seen: Vec<String> = OURS.map(|(name, _)| name.to_owned()).into();
    let theirs = state.session().map(|session| session.commands.as_slice());
    for command in theirs.unwrap_or_default() {
        let name = command.name.trim_start_matches('/').to_owned();
        told.push(format!(
            "/{}: {}, by the agent",
            clean_line(&name),
            clean_line(&command.description)
        ));
        seen.push(name);
    }
    for (context, _) in Context::ALL {
        let bindings = state.keymap.bindings.iter();
        for one in bindings.filter(|one| one.context == context && !one.label.is_empty()) {
            let short = action_name(one.action);
            let label = one.label;
            if !seen.contains(&short) {
                told.push(format!("/{short}: {label}"));
                seen.push(short);
            } else if theirs
                .unwrap_or_default()
                .iter()
                .any(|theirs| theirs.name.trim_start_matches('/') == short)
            {
                // The short name is the agent's.
                told.push(format!("/{}: {label}", one.name()));
            }
        }
    }
    told
}

pub(super) fn confirm(confirm: &Confirm) -> Vec<String> {
    let question = match confirm {
        Confirm::Stop => {
            "stop the run? The agent ends; what was said and the files stay.".to_owned()
        }
        Confirm::Size {
            files,
            bytes,
            limit,
            ..
        } => format!(
            "this directory is large: {}, {}. More than {} is not sent without asking. Send it all to the sandbox?",
            counted(usize::try_from(*files).unwrap_or(usize::MAX), "file"),
            size(*bytes),
            size(*limit)
        ),
    };
    vec![
        format!("confirm: {question} yes or no"),
        "answer>".to_owned(),
    ]
}

/// Modes, models and other options, each value with its number.
pub(super) fn choices(state: &State) -> Vec<String> {
    let choices = state.session().map(|session| session.choices());
    let choices = choices.unwrap_or_default();
    let rows = choose::rows(&choices);
    let mut told = Vec::new();
    for (at, (index, value)) in rows.iter().enumerate() {
        let choice = &choices[*index];
        if *value == 0 {
            told.push(format!("{}:", clean_line(&choice.name)));
        }
        let (word, name) = &choice.values[*value];
        let on = if *word == choice.current { ", on" } else { "" };
        told.push(numbered(at + 1, &format!("{}{on}", clean_line(name))));
    }
    told.push(CHOOSE.to_owned());
    told
}

/// What can be copied, each with its letter.
pub(super) fn copies(state: &State) -> Vec<String> {
    let items = copy::items(state);
    if items.is_empty() {
        return vec!["there is nothing to copy yet".to_owned()];
    }
    let item = |item: copy::Item| match item.begins.as_str() {
        "" => format!("{} {}", item.key, item.name),
        begins => format!("{} {}: {}", item.key, item.name, clean_line(begins)),
    };
    let mut told: Vec<String> = items.into_iter().map(item).collect();
    told.push(CHOOSE.to_owned());
    told
}

/// Places in files that a call tells.
pub(super) fn places(state: &State) -> Vec<String> {
    let places = crate::tui::on::place::places(state);
    let mut told: Vec<String> = places
        .iter()
        .enumerate()
        .map(|(at, place)| numbered(at + 1, &clean_line(&crate::tui::place::told(place))))
        .collect();
    told.push(CHOOSE.to_owned());
    told
}

/// Prompts of the history that fit.
pub(super) fn history(state: &State) -> Vec<String> {
    let Some(search) = &state.writing.search else {
        return Vec::new();
    };
    let known = state.composer.history();
    let found = search.found.iter().filter_map(|at| known.get(*at));
    let mut told: Vec<String> = found
        .take(9)
        .enumerate()
        .map(|(at, prompt)| numbered(at + 1, &clean_line(prompt)))
        .collect();
    let over = search.found.len().saturating_sub(told.len());
    if over > 0 {
        told.push(format!("{over} older ones fit too: write more of it"));
    }
    if told.is_empty() {
        told.push("no prompt fits".to_owned());
    }
    told.push("choose a number, or write what to look for>".to_owned());
    told
}

/// Paths that fit what stands behind the `@`.
pub(super) fn paths(state: &State) -> Vec<String> {
    let Some(mention) = &state.writing.mention else {
        return Vec::new();
    };
    let found = mention.found.iter().take(9).enumerate();
    let mut told: Vec<String> = found
        .map(|(at, path)| numbered(at + 1, &clean_line(path)))
        .collect();
    if !told.is_empty() {
        told.push(CHOOSE.to_owned());
    }
    told
}

/// What goes with the next message.
pub(super) fn attached(state: &State) -> Vec<String> {
    let files = state.writing.attachments.iter();
    let names: Vec<String> = files.map(|one| clean_line(&one.label())).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "attached to the next message: {}",
        names.join(", ")
    )]
}

pub(super) fn tools(state: &State) -> Vec<String> {
    let calls = state.calls();
    let mut told = vec![format!(
        "{}, the newest first",
        counted(calls.len(), "tool call")
    )];
    let session = state.session();
    for (row, index) in calls.iter().rev().enumerate() {
        let cell = session.and_then(|session| session.transcript.cells.get(*index));
        let line = cell.and_then(|cell| brief(&cell, index + 1, &state.zone).into_iter().next());
        told.extend(line.map(|line| numbered(row + 1, &line)));
    }
    told
}

pub(super) fn files(state: &State) -> Vec<String> {
    let files = state.session().map(|session| session.files.as_slice());
    let files = files.unwrap_or_default();
    let mut told = vec![format!(
        "{} changed, the newest first",
        counted(files.len(), "file")
    )];
    let rows = files.iter().rev().enumerate();
    told.extend(rows.map(|(row, file)| numbered(row + 1, &file_line(file))));
    told
}

fn file_line(file: &FileEntry) -> String {
    let how = match (&file.failed, file.kind) {
        (Some(why), _) => format!("failed: {}", clean_line(why)),
        (None, ChangeKind::Created) => "created".to_owned(),
        (None, ChangeKind::Modified) => "changed".to_owned(),
        (None, ChangeKind::Deleted) => "deleted".to_owned(),
    };
    let who = if file.by_user { ", by you" } else { "" };
    let turn = file
        .turn
        .map_or_else(String::new, |turn| format!(", turn {turn}"));
    format!("{}: {how}{who}{turn}", clean_line(&file.path))
}

pub(super) fn plan(state: &State) -> Vec<String> {
    let plan = state.session().map(|session| session.plan.as_slice());
    let plan = plan.unwrap_or_default();
    if plan.is_empty() {
        return vec!["no plan yet".to_owned()];
    }
    let line = |(at, entry): (usize, &crate::protocol::acp::PlanEntry)| {
        let how = match entry.status {
            PlanStatus::Completed => "done",
            PlanStatus::InProgress => "now",
            PlanStatus::Pending => "to do",
        };
        numbered(at + 1, &format!("{how}: {}", clean_line(&entry.content)))
    };
    plan.iter().enumerate().map(line).collect()
}

/// The agent's question with every option in its order.
pub(super) fn question(state: &State, open: &OpenPermission) -> Vec<String> {
    let many = state.questions().len();
    let of = if many > 1 {
        format!(" 1 of {many}")
    } else {
        String::new()
    };
    let mut told = vec![format!("question{of}: {}", clean_line(&open.title))];
    let details = details(state, open);
    let over = details.len().saturating_sub(BRIEF);
    told.extend(details.into_iter().take(BRIEF));
    if over > 0 {
        told.push(format!(
            "{} (/details reads all)",
            counted(over, "more line")
        ));
    }
    let options = open.options.iter().enumerate();
    let mut options: Vec<String> = options
        .map(|(at, option)| numbered(at + 1, &clean_line(&option.name)))
        .collect();
    if writing::rejection(open).is_some() {
        options.push(numbered(options.len() + 1, "reject and say why"));
    }
    told.push(options.join("  "));
    told.push("answer>".to_owned());
    told
}

/// What will happen, in full.
pub(super) fn details(state: &State, open: &OpenPermission) -> Vec<String> {
    let lines = asked::lines(state, open, &|_| Style::default(), WIDE);
    let lines = lines.iter().map(ToString::to_string);
    let lines = lines.map(|line| {
        line.strip_prefix("   ")
            .unwrap_or(&line)
            .trim_end()
            .to_owned()
    });
    lines.filter(|line| !line.is_empty()).collect()
}

/// The line of a form that is to be written, or that a reason is.
pub(super) fn wanted(writing: &Writing) -> Vec<String> {
    let Some(filling) = &writing.form else {
        return vec![
            "why not? The next line is what the agent is told; /escape goes back to the question"
                .to_owned(),
        ];
    };
    let Some(field) = filling.form.fields.get(filling.at) else {
        return Vec::new();
    };
    let about = field.description.as_deref().map(clean_line);
    let about = about.map_or_else(String::new, |about| format!(" ({about})"));
    vec![format!(
        "{} of {}: {}, {}{about}>",
        filling.at + 1,
        filling.form.fields.len(),
        clean_line(&field.title),
        clean_line(&field.wants())
    )]
}
