//! A tool call as lines: its head with kind, title, sign and time, and as much of its body as is unfolded.
//!
//! Pure.

use jiff::Timestamp;
use ratatui::text::{Line, Span};
use serde_json::Value;

use crate::protocol::acp::{Block, ToolContent, ToolKind, ToolStatus};
use crate::session::tool::ToolCall;
use crate::tui::place;
use crate::tui::theme::Role;
use crate::tui::view::ansi;
use crate::tui::view::cell::{Look, elapsed, seconds, whole};
use crate::tui::view::change::{self, Inks, Told};
use crate::tui::view::diff::{Diff, diff};
use crate::tui::view::text::{Break, clean, clean_line, fit, fit_end, pad, width, wrap};

/// Lines of a diff or an output that a folded tool call shows.
const PREVIEW: usize = 4;
/// Lines it shows at most when unfolded; the rest is in the file or in the journal.
const MOST: usize = 2000;

pub(crate) fn lines(tool: &ToolCall, look: Look) -> Vec<Line<'static>> {
    let diffs: Vec<Diff> = tool
        .content
        .iter()
        .filter_map(|content| match content {
            ToolContent::Diff { old, new, .. } => Some(diff(old.as_deref(), new, look.around)),
            ToolContent::Block(_) | ToolContent::Terminal(_) | ToolContent::Unknown(_) => None,
        })
        .collect();
    let mut lines = vec![tool_head(tool, &diffs, look)];
    let body = tool_body(tool, &diffs, look);
    let (shown, hidden) = cut(tool, body, look);
    let indent = [look.indent()];
    let is_tail = hidden > 0 && shows_its_end(tool, look);
    if is_tail {
        lines.push(more(hidden, look));
    }
    for told in shown {
        lines.extend(wrap(
            &told.spans,
            &indent,
            &indent,
            look.columns,
            Break::Anywhere,
        ));
    }
    if hidden > 0 && !is_tail {
        lines.push(more(hidden, look));
    }
    lines
}

/// Says how many lines are not shown, where they would stand.
fn more(hidden: usize, look: Look) -> Line<'static> {
    let s = if hidden == 1 { "" } else { "s" };
    let key = if look.open || look.narrow() || look.unfold.is_empty() {
        String::new()
    } else {
        format!("  ({})", look.unfold)
    };
    Line::from(vec![
        look.indent(),
        look.span(Role::Dim, format!("… {hidden} more line{s}{key}")),
    ])
}

/// Of output the end is new, of a diff the start.
fn shows_its_end(tool: &ToolCall, look: Look) -> bool {
    tool.kind == ToolKind::Execute && !look.open
}

/// What a folded or unfolded call shows of its body, and how many lines it does not.
fn cut(tool: &ToolCall, mut body: Vec<Told>, look: Look) -> (Vec<Told>, usize) {
    let most = match (look.open, tool.kind, look.narrow()) {
        (true, _, _) => MOST,
        // What runs is watched even where there is little room.
        (false, ToolKind::Execute, true) if !tool.is_over() => 2,
        (false, ToolKind::Execute | ToolKind::Edit, false) => PREVIEW,
        (false, ..) => return (Vec::new(), 0),
    };
    let before = body
        .iter()
        .position(|told| told.is_change)
        .filter(|_| tool.kind == ToolKind::Edit && !look.open)
        .unwrap_or(0);
    let hidden = body.len().saturating_sub(most);
    if shows_its_end(tool, look) {
        body.drain(..hidden);
    } else {
        // A preview begins with what changed, not with what stands around it.
        body.drain(..before.min(hidden));
        body.truncate(most);
    }
    (body, hidden)
}

/// ` ✓ edit    src/clock.rs                  +14 −3   0.4s`
fn tool_head(tool: &ToolCall, diffs: &[Diff], look: Look) -> Line<'static> {
    let (role, sign) = sign(tool.status, look.live);
    let kind = tool.kind.as_str();
    let title = located(tool);
    let time = tool_time(tool, look.live, look.wall);
    let (added, removed) = diffs.iter().fold((0, 0), |(added, removed), diff| {
        (added + diff.added, removed + diff.removed)
    });
    let mut right = Vec::new();
    if added + removed > 0 {
        right.push(look.span(Role::Added, format!("+{added}")));
        right.push(look.span(Role::Removed, format!(" −{removed}")));
    }
    if let Some(time) = time.filter(|_| look.columns >= 36) {
        let lead = if right.is_empty() { 0 } else { 7 };
        right.push(look.span(Role::Dim, format!("{time:>lead$}")));
    }
    let kind = if look.narrow() {
        format!("{kind} ")
    } else {
        pad(kind, kind.len().max(7)) + " "
    };
    let taken: usize = right.iter().map(|span| width(&span.content)).sum();
    let room = look.columns.saturating_sub(3 + width(&kind) + taken + 2);
    let title = if title.contains('/') && !title.contains(' ') {
        fit_end(&title, room)
    } else {
        fit(&title, room)
    };
    let space = room.saturating_sub(width(&title)) + 1;
    let mut spans = vec![
        look.span(role, format!(" {sign} ")),
        look.span(Role::Tool, kind),
        look.span(Role::Text, title),
    ];
    if !right.is_empty() {
        spans.push(Span::raw(" ".repeat(space)));
        spans.extend(right);
    }
    Line::from(spans)
}

/// The sign of a tool call. One that was left behind by its turn is neither running nor done.
pub(crate) fn sign(status: ToolStatus, live: bool) -> (Role, &'static str) {
    match (status, live) {
        (ToolStatus::Completed, _) => (Role::Success, "✓"),
        (ToolStatus::Failed, _) => (Role::Error, "✕"),
        (ToolStatus::Running, true) => (Role::Accent, "◐"),
        (ToolStatus::Pending, true) => (Role::Dim, "○"),
        (ToolStatus::Running | ToolStatus::Pending, false) => (Role::Dim, "–"),
    }
}

/// The title, with the line where it is the path of the one place that is told.
fn located(tool: &ToolCall) -> String {
    let title = title(tool);
    let bare = title.trim_matches('`');
    match tool.locations.as_slice() {
        [one] if one.path == bare || place::inside(&one.path) == bare => {
            let line = one.line.filter(|line| *line > 0);
            clean_line(&place::told(&(bare.to_owned(), line)))
        }
        _ => title,
    }
}

/// Where it happens, as far as the head does not say it.
fn places(tool: &ToolCall, look: Look) -> Option<Told> {
    let head = located(tool);
    let places = tool.locations.iter();
    let told =
        places.map(|one| place::told(&(one.path.clone(), one.line.filter(|line| *line > 0))));
    let told: Vec<String> = told
        .map(|told| clean_line(&told))
        .filter(|told| !head.contains(told.as_str()))
        .collect();
    let line = format!("at {}", told.join(" · "));
    (!told.is_empty()).then(|| Told::of(look.span(Role::Link, line)))
}

/// The title without the kind that stands before it already.
pub(crate) fn title(tool: &ToolCall) -> String {
    let title = clean_line(&tool.title);
    let kind = tool.kind.as_str();
    let bare = match title.get(..kind.len()) {
        Some(head) if head.eq_ignore_ascii_case(kind) => &title[kind.len()..],
        Some(_) | None => "",
    };
    // `Editor` does not begin with the word `edit`.
    let bare = match bare.chars().next() {
        Some(' ' | ':') => bare.trim_start_matches([' ', ':']),
        Some(_) => title.as_str(),
        None if title.eq_ignore_ascii_case(kind) => "",
        None => title.as_str(),
    };
    match bare {
        "" => clean_line(
            tool.locations
                .first()
                .map_or(tool.name.as_deref().unwrap_or(&tool.id), |place| {
                    &place.path
                }),
        ),
        bare => bare.to_owned(),
    }
}

pub(crate) fn tool_time(tool: &ToolCall, live: bool, wall: Timestamp) -> Option<String> {
    let until = match (tool.is_over(), live) {
        (true, _) => tool.ended?,
        (false, true) => wall,
        (false, false) => return None,
    };
    let took = seconds(tool.started?, until);
    match tool.is_over() {
        // Nobody waits for what takes no time.
        true if took < 0.1 => None,
        true => Some(elapsed(took)),
        false => Some(whole(took)),
    }
}

fn tool_body(tool: &ToolCall, diffs: &[Diff], look: Look) -> Vec<Told> {
    let mut lines = Vec::new();
    let places = places(tool, look).filter(|_| look.open);
    let mut diffs = diffs.iter();
    let dim = |text: &str| Told::of(look.span(Role::Dim, text));
    for content in &tool.content {
        match content {
            ToolContent::Diff { path, old, new } => {
                if tool.content.len() > 1 {
                    lines.push(dim(&clean_line(path)));
                }
                if let Some(diff) = diffs.next() {
                    let inks = Inks::of(path, old.as_deref(), new, look);
                    lines.extend(change::lines(diff, &inks, look));
                }
            }
            ToolContent::Block(block) => lines.extend(block_lines(block, prints(tool), look)),
            ToolContent::Terminal(id) => lines.push(dim(&format!("terminal {}", clean_line(id)))),
            ToolContent::Unknown(_) => lines.push(dim("content of an unknown kind")),
        }
    }
    if lines.is_empty()
        && let Some(output) = tool.raw_output.as_ref().or(tool.response.as_ref())
    {
        lines.extend(match output {
            Value::String(text) if prints(tool) => printed(text, look),
            other => value_lines(other, look),
        });
    }
    if lines.is_empty()
        && let Some(input) = &tool.raw_input
    {
        lines.extend(value_lines(input, look));
    }
    if let Some(places) = places {
        lines.insert(0, places);
    }
    lines
}

/// What it says is what a command printed.
fn prints(tool: &ToolCall) -> bool {
    tool.kind == ToolKind::Execute || tool.shell_command().is_some()
}

fn block_lines(block: &Block, prints: bool, look: Look) -> Vec<Told> {
    let one = |text: String| vec![Told::of(look.span(Role::Dim, clean_line(&text)))];
    match block {
        Block::Text(text) if prints => printed(unfenced(text), look),
        Block::Text(text) => text_lines(Role::Text, unfenced(text), look),
        Block::Image { .. } | Block::Audio { .. } => one(piece(&block.stand_in(), true, look)),
        Block::Link { .. } => one(format!("▪ {}", block.stand_in())),
        Block::Resource { uri, text } => match text {
            Some(text) => text_lines(Role::Text, text, look),
            None => one(piece(uri, true, look)),
        },
        Block::Unknown(_) => one("▪ content of an unknown kind".to_owned()),
    }
}

/// `▪ image image/png, 42.0 kB · s saves`.
pub(crate) fn piece(told: &str, can_be_saved: bool, look: Look) -> String {
    let hint = match look.save {
        key if can_be_saved && !key.is_empty() => format!(" · {key} saves"),
        _ => String::new(),
    };
    let room = look.columns.saturating_sub(5 + width(&hint));
    format!("▪ {}{hint}", fit(&clean_line(told), room))
}

/// Agents put output into a fence; the fence is no output.
fn unfenced(text: &str) -> &str {
    let inner = text
        .trim()
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"));
    match inner.and_then(|inner| inner.split_once('\n')) {
        Some((info, inner)) if !info.contains('`') => inner,
        Some(_) | None => text,
    }
}

/// What a command printed, in the colours that it chose.
fn printed(text: &str, look: Look) -> Vec<Told> {
    let told = |spans| Told {
        spans,
        is_change: false,
    };
    let mut lines: Vec<Told> = ansi::lines(text, look.theme)
        .into_iter()
        .map(told)
        .collect();
    while lines.last().is_some_and(|told| told.spans.is_empty()) {
        lines.pop();
    }
    lines
}

fn text_lines(role: Role, text: &str, look: Look) -> Vec<Told> {
    clean(text)
        .trim_end()
        .lines()
        .map(|line| Told::of(look.span(role, line.trim_end())))
        .collect()
}

fn value_lines(value: &Value, look: Look) -> Vec<Told> {
    match value {
        Value::String(text) => text_lines(Role::Dim, text, look),
        other => {
            let text = serde_json::to_string_pretty(other).unwrap_or_default();
            text_lines(Role::Dim, &text, look)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_not_said_twice() {
        let table = [
            ("Edit src/a.rs", "src/a.rs"),
            ("edit: src/a.rs", "src/a.rs"),
            ("Editor", "Editor"),
            ("x", "x"),
            ("Edit", "call-1"),
        ];
        for (given, shown) in table {
            let call = ToolCall {
                id: "call-1".into(),
                title: given.into(),
                kind: ToolKind::Edit,
                ..ToolCall::default()
            };
            assert_eq!(title(&call), shown);
        }
    }

    #[test]
    fn a_call_left_behind_by_its_turn_stands_still() {
        let began = Timestamp::from_second(100).unwrap();
        let call = ToolCall {
            started: Some(began),
            status: ToolStatus::Running,
            ..ToolCall::default()
        };
        let wall = Timestamp::from_second(112).unwrap();
        assert_eq!(tool_time(&call, true, wall), Some("12s".to_owned()));
        assert_eq!(tool_time(&call, false, wall), None);
    }
}
