//! A cell of the transcript as lines to be read out: its kind first, then what it says.
//!
//! Pure.

use jiff::tz::TimeZone;
use similar::{ChangeTag, TextDiff};

use crate::protocol::acp::{ToolContent, ToolKind, ToolStatus};
use crate::session::tool::ToolCall;
use crate::session::transcript::{Body, Cell, Level, Notice};
use crate::tui::source;
use crate::tui::view::call;
use crate::tui::view::cell::{clock, seconds};
use crate::tui::view::text::{clean, clean_line};

/// Lines of a failed call that are read without being asked for, its last ones.
const FAILED: usize = 10;
/// Lines of one cell that are read at most.
const MOST: usize = 2000;
/// Texts above this many bytes together are not compared.
const BYTES: usize = 256 * 1024;

/// What is told of it when it has ended. `item` is its number for who wants to read all of it.
pub(super) fn brief(cell: &Cell, item: usize, zone: &TimeZone) -> Vec<String> {
    match &cell.body {
        Body::User {
            text, attachments, ..
        } => {
            let mut told = prefixed(&said_by(cell, zone), text);
            let names = attachments.iter();
            told.extend(names.map(|name| format!("attached: {}", clean_line(name))));
            told
        }
        Body::Agent { text, .. } => prefixed("agent: ", text),
        Body::Thought { ended, .. } => {
            let took = cell.time.zip(*ended).map(|(from, to)| seconds(from, to));
            let took = took.map_or_else(String::new, |took| format!(", {}", spoken(took)));
            vec![format!("agent thought{took}. (/fold {item} reads it)")]
        }
        Body::Tool(tool) => called(tool, item),
        Body::Attachment(text) => vec![format!("attachment: {}", clean_line(text))],
        Body::Notice(notice) => vec![noticed(notice, item)],
        Body::TurnEnd {
            stop_reason,
            error,
            started,
            ended,
            files,
            ..
        } => {
            let took = started.zip(*ended).map(|(from, to)| seconds(from, to));
            turn_end(stop_reason, error.as_deref(), took, *files)
        }
    }
}

/// All of it.
pub(super) fn full(cell: &Cell, item: usize, zone: &TimeZone) -> Vec<String> {
    let mut told = match &cell.body {
        Body::User { .. } | Body::Agent { .. } | Body::Attachment(_) | Body::TurnEnd { .. } => {
            brief(cell, item, zone)
        }
        Body::Thought { text, .. } => prefixed("agent thought: ", text),
        Body::Tool(tool) => {
            let mut told = vec![head(tool)];
            let text = source::of(&cell.body);
            told.extend(lines(text.split_once('\n').map_or("", |(_, rest)| rest)));
            told
        }
        Body::Notice(notice) => {
            let mut told = vec![noticed_line(notice)];
            told.extend(lines(notice.detail.as_deref().unwrap_or("")));
            told
        }
    };
    let over = told.len().saturating_sub(MOST);
    told.truncate(MOST);
    if over > 0 {
        told.push(format!("{over} more lines"));
    }
    told
}

/// `you 14:02: `, or who it was.
fn said_by(cell: &Cell, zone: &TimeZone) -> String {
    let Body::User { from, .. } = &cell.body else {
        return String::new();
    };
    let who = clean_line(from.as_deref().unwrap_or("you"));
    match cell.time {
        Some(time) => format!("{who} {}: ", clock(time, zone)),
        None => format!("{who}: "),
    }
}

/// A call that has begun.
pub(super) fn begun(tool: &ToolCall) -> String {
    format!("{}: running", name(tool))
}

fn name(tool: &ToolCall) -> String {
    format!("tool {} {}", tool.kind.as_str(), call::title(tool))
}

/// `tool edit src/clock.rs: done, 14 added, 3 removed`.
fn head(tool: &ToolCall) -> String {
    let mut words = vec![
        match tool.status {
            ToolStatus::Completed => "done",
            ToolStatus::Failed => "failed",
            ToolStatus::Running | ToolStatus::Pending => "not over",
        }
        .to_owned(),
    ];
    if let Some((added, removed)) = changed(tool) {
        words.push(format!("{added} added"));
        words.push(format!("{removed} removed"));
    }
    let took = tool.started.zip(tool.ended);
    let took = took.map(|(from, to)| seconds(from, to));
    words.extend(took.filter(|took| *took >= 1.0).map(spoken));
    format!("{}: {}", name(tool), words.join(", "))
}

fn called(tool: &ToolCall, item: usize) -> Vec<String> {
    let text = source::of(&Body::Tool(Box::new(tool.clone())));
    let output = lines(text.split_once('\n').map_or("", |(_, rest)| rest));
    let head = head(tool);
    match tool.status {
        ToolStatus::Failed => {
            let over = output.len().saturating_sub(FAILED);
            let mut told = vec![head];
            if over > 0 {
                told.push(format!(
                    "{over} lines before these (/fold {item} reads all)"
                ));
            }
            told.extend(output.into_iter().skip(over));
            told
        }
        ToolStatus::Completed if tool.kind == ToolKind::Execute && !output.is_empty() => {
            let many = counted(output.len(), "line");
            vec![format!("{head}, {many} of output (/fold {item} reads it)")]
        }
        ToolStatus::Completed | ToolStatus::Running | ToolStatus::Pending => vec![head],
    }
}

/// Lines that its diffs add and remove; `None` without a diff.
fn changed(tool: &ToolCall) -> Option<(usize, usize)> {
    let mut counts = None;
    for content in &tool.content {
        let ToolContent::Diff { old, new, .. } = content else {
            continue;
        };
        let old = old.as_deref().unwrap_or("");
        let (added, removed) = counts.get_or_insert((0, 0));
        if old.len() + new.len() > BYTES {
            *added += new.lines().count();
            *removed += old.lines().count();
            continue;
        }
        for change in TextDiff::from_lines(old, new.as_str()).iter_all_changes() {
            match change.tag() {
                ChangeTag::Insert => *added += 1,
                ChangeTag::Delete => *removed += 1,
                ChangeTag::Equal => (),
            }
        }
    }
    counts
}

fn noticed_line(notice: &Notice) -> String {
    let kind = match notice.level {
        Level::Dim | Level::Info | Level::Rule => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let times = match notice.count {
        0 | 1 => String::new(),
        many => format!(", {many} times"),
    };
    format!("{kind}: {}{times}", clean_line(&notice.text))
}

fn noticed(notice: &Notice, item: usize) -> String {
    let more = match notice.detail {
        Some(_) => format!(" (/fold {item} reads more)"),
        None => String::new(),
    };
    noticed_line(notice) + &more
}

fn turn_end(reason: &str, error: Option<&str>, took: Option<f64>, files: usize) -> Vec<String> {
    let mut words = vec![match (reason, error) {
        (_, Some(_)) => "turn failed".to_owned(),
        ("end_turn", None) => "turn done".to_owned(),
        ("cancelled", None) => "turn cancelled".to_owned(),
        ("refusal", None) => "turn over: the agent refused".to_owned(),
        ("max_tokens", None) => "turn over: the answer reached its longest".to_owned(),
        ("max_turn_requests", None) => "turn over: too many steps in one turn".to_owned(),
        (other, None) => format!("turn over: {}", clean_line(other)),
    }];
    words.extend(took.filter(|took| *took >= 1.0).map(spoken));
    if files > 0 {
        words.push(counted(files, "file") + " changed");
    }
    let mut told = vec![words.join(", ")];
    told.extend(
        error
            .map(|error| prefixed("error: ", error))
            .unwrap_or_default(),
    );
    told
}

/// The text in lines without the empty ones; the first line says what it is.
pub(super) fn prefixed(prefix: &str, text: &str) -> Vec<String> {
    let mut told = lines(text);
    match told.first_mut() {
        Some(first) => first.insert_str(0, prefix),
        None => told.push(prefix.trim_end().to_owned()),
    }
    told
}

/// Safe to print; empty lines are left out, since they are read out as such.
pub(super) fn lines(text: &str) -> Vec<String> {
    let text = clean(text);
    let lines = text.lines().map(str::trim_end);
    let lines = lines.filter(|line| !line.trim().is_empty());
    lines.map(str::to_owned).collect()
}

/// `1 file`, `3 files`.
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// `2 minutes 5 seconds`: to be heard.
pub(super) fn spoken(seconds: f64) -> String {
    let whole = seconds.round() as usize;
    let two = |first: String, rest: usize, what: &str| match rest {
        0 => first,
        rest => format!("{first} {}", counted(rest, what)),
    };
    match whole {
        0..60 => counted(whole.max(1), "second"),
        60..3600 => two(counted(whole / 60, "minute"), whole % 60, "second"),
        _ => two(counted(whole / 3600, "hour"), whole / 60 % 60, "minute"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::Seq;

    #[test]
    fn a_duration_is_said_in_words() {
        let table = [
            (0.2, "1 second"),
            (9.0, "9 seconds"),
            (60.0, "1 minute"),
            (125.0, "2 minutes 5 seconds"),
            (3720.0, "1 hour 2 minutes"),
        ];
        for (seconds, words) in table {
            assert_eq!(spoken(seconds), words);
        }
    }

    #[test]
    fn a_call_says_how_it_ended_and_what_it_changed() {
        let edit = ToolCall {
            title: "src/a.rs".into(),
            kind: ToolKind::Edit,
            status: ToolStatus::Completed,
            content: vec![ToolContent::Diff {
                path: "src/a.rs".into(),
                old: Some("a\nb\n".into()),
                new: "a\nc\nd\n".into(),
            }],
            ..ToolCall::default()
        };
        let cell = |tool: ToolCall| Cell {
            seq: Seq(1),
            revision: 0,
            rewrites: 0,
            time: None,
            turn: 1,
            body: Body::Tool(Box::new(tool)),
        };
        let told = |tool: ToolCall| brief(&cell(tool), 7, &TimeZone::UTC);
        assert_eq!(told(edit), ["tool edit src/a.rs: done, 2 added, 1 removed"]);
        let failed = ToolCall {
            title: "cargo test".into(),
            kind: ToolKind::Execute,
            status: ToolStatus::Failed,
            raw_output: Some("one\n\n\u{1b}[31mtwo".into()),
            ..ToolCall::default()
        };
        assert_eq!(
            told(failed),
            ["tool execute cargo test: failed", "one", "␛[31mtwo"]
        );
    }
}
