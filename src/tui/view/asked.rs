//! What the agent asks for, as it will happen: the command, the diff, the address; else what it gave the tool.
//!
//! Pure. In brief beside the question, and in full on a page of its own.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use serde_json::Value;

use crate::protocol::acp::{Block, ToolContent};
use crate::protocol::form::{Field, Form};
use crate::session::state::OpenPermission;
use crate::session::tool::ToolCall;
use crate::tui::on::writing;
use crate::tui::state::{Popup, State};
use crate::tui::theme::Role;
use crate::tui::view::diff::{AROUND, Diff, diff};
use crate::tui::view::paint::Paint;
use crate::tui::view::question;
use crate::tui::view::rows::{Rows, print, rule, scrolled};
use crate::tui::view::text::{Break, clean, clean_line, fit, fit_end, wrap};

/// Rows of the brief form at most.
const BRIEF: usize = 3;
/// Lines of the full form at most.
const MOST: usize = 5000;

/// One line before it is wrapped: what its pieces are.
type Told = Vec<(Role, String)>;

/// What a role looks like; to count rows nothing must.
pub(crate) type Look<'a> = &'a dyn Fn(Role) -> Style;

/// In full, wrapped.
pub(crate) fn lines(
    state: &State,
    open: &OpenPermission,
    look: Look<'_>,
    columns: usize,
) -> Vec<Line<'static>> {
    let mut told = match writing::form_of(open) {
        Some(form) => form_lines(&form, true),
        None => in_full(&known(state, open)),
    };
    if told.is_empty() {
        told.push(one(Role::Dim, "the agent gave no details"));
    }
    let page = matches!(state.popup, Some(Popup::Asked { .. }));
    if page && question::head(state, open, look, columns, usize::MAX).len() > 1 {
        // The head of the page has room for its beginning alone.
        told.insert(0, one(Role::Heading, clean_line(&open.title)));
        told.insert(1, Told::new());
    }
    let over = told.len().saturating_sub(MOST);
    told.truncate(MOST);
    if over > 0 {
        told.push(one(Role::Dim, format!("… {over} more lines")));
    }
    wrapped(&told, look, columns)
}

/// The heart of it in a few rows, as far as the title does not tell it in the lines that are shown of it.
pub(crate) fn brief(
    state: &State,
    open: &OpenPermission,
    paint: &Paint,
    columns: usize,
    head: &[Line<'static>],
) -> Vec<Line<'static>> {
    let call = known(state, open);
    let mut told = Vec::new();
    if let Some(form) = writing::form_of(open) {
        told.extend(form_lines(&form, false));
    }
    if let Some(command) = call.shell_command().filter(|one| !says(open, head, one)) {
        told.extend(command_lines(&command));
    }
    for (path, diff) in diffs(&call) {
        told.push(vec![
            (
                Role::Text,
                fit_end(&clean_line(&path), columns.saturating_sub(20)),
            ),
            (Role::Added, format!("  +{}", diff.added)),
            (Role::Removed, format!(" −{}", diff.removed)),
        ]);
    }
    told.extend(address(&call).map(|url| url_line(&url)));
    let mut lines = wrapped(&told, &|role| paint.style(role), columns);
    if lines.len() > BRIEF {
        lines.truncate(BRIEF);
        question::mark(state, &mut lines, &|role| paint.style(role), columns);
    }
    lines
}

/// What a form asks for, line by line.
fn form_lines(form: &Form, full: bool) -> Vec<Told> {
    let line = |field: &Field| {
        let mut line = vec![
            (Role::Text, clean_line(&field.title)),
            (Role::Dim, format!(": {}", clean_line(&field.wants()))),
        ];
        if let Some(about) = field.description.as_ref().filter(|_| full) {
            line.push((Role::Dim, format!(" · {}", clean_line(about))));
        }
        line
    };
    form.fields.iter().map(line).collect()
}

/// Does the title say it already, in the lines that are shown of it?
fn says(open: &OpenPermission, head: &[Line<'static>], command: &str) -> bool {
    let command = clean_line(command);
    // Where a line breaks, a space is lost.
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let shown: String = head.iter().map(ToString::to_string).collect();
    clean_line(&open.title).contains(&command) && bare(&shown).contains(&bare(&command))
}

/// The call that the question is about, with what the question itself tells.
fn known(state: &State, open: &OpenPermission) -> ToolCall {
    let cell = state.session().and_then(|session| {
        let index = session.call(&open.tool_call)?;
        session.transcript.cells.get(index)
    });
    let call = cell.as_deref().and_then(|cell| cell.body.tool());
    let mut call = call.cloned().unwrap_or_default();
    call.raw_input = open.raw_input.clone().or(call.raw_input);
    call
}

fn in_full(call: &ToolCall) -> Vec<Told> {
    let mut told = Vec::new();
    // What has been shown in a form of its own.
    let mut shown: Vec<&str> = Vec::new();
    if let Some(command) = call.shell_command() {
        told.extend(command_lines(&command));
        shown.push("command");
        if let Some((key, place)) = text_of(call, &["cwd", "workdir", "working_directory"]) {
            told.push(vec![
                (Role::Dim, "in ".to_owned()),
                (Role::Text, clean_line(place)),
            ]);
            shown.push(key);
        }
    }
    if let Some(url) = address(call) {
        told.push(url_line(&url));
        shown.extend(["url", "uri"]);
    }
    for (path, diff) in diffs(call) {
        told.push(vec![
            (Role::Heading, clean_line(&path)),
            (Role::Added, format!("  +{}", diff.added)),
            (Role::Removed, format!(" −{}", diff.removed)),
        ]);
        told.extend(diff.plain().map(|line| vec![line]));
        shown.extend(EDIT);
    }
    for content in &call.content {
        if let ToolContent::Block(Block::Text(text)) = content {
            told.extend(text_lines(Role::Text, text));
        }
    }
    told.extend(rest(call.raw_input.as_ref(), &shown));
    told
}

/// Fields of an edit that its diff shows.
const EDIT: [&str; 8] = [
    "file_path",
    "path",
    "abs_path",
    "old_string",
    "new_string",
    "old_text",
    "new_text",
    "content",
];

/// What is left of the input, by name.
fn rest(input: Option<&Value>, shown: &[&str]) -> Vec<Told> {
    let Some(input) = input else {
        return Vec::new();
    };
    let Value::Object(fields) = input else {
        return text_lines(Role::Dim, &plain(input));
    };
    let mut told = Vec::new();
    for (key, value) in fields {
        if shown.contains(&key.as_str()) || value.is_null() {
            continue;
        }
        let text = plain(value);
        let name = format!("{}: ", clean_line(key));
        if text.trim_end().contains('\n') {
            told.push(one(Role::Dim, name));
            told.extend(text_lines(Role::Text, &text).into_iter().map(|mut line| {
                line.insert(0, (Role::Text, "  ".to_owned()));
                line
            }));
        } else {
            told.push(vec![(Role::Dim, name), (Role::Text, clean_line(&text))]);
        }
    }
    told
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

fn one(role: Role, text: impl Into<String>) -> Told {
    vec![(role, text.into())]
}

fn text_lines(role: Role, text: &str) -> Vec<Told> {
    let text = clean(text);
    let lines = text.trim_end().lines();
    lines.map(|line| one(role, line.trim_end())).collect()
}

/// `$ cargo test`, and what follows it one column further in.
fn command_lines(command: &str) -> Vec<Told> {
    let mut lines = text_lines(Role::Text, command);
    for (at, line) in lines.iter_mut().enumerate() {
        let sign = if at == 0 { "$ " } else { "  " };
        line.insert(0, (Role::Accent, sign.to_owned()));
    }
    lines
}

fn text_of<'a>(call: &'a ToolCall, keys: &[&'static str]) -> Option<(&'static str, &'a str)> {
    let input = call.raw_input.as_ref()?;
    keys.iter()
        .find_map(|key| Some((*key, input.get(*key)?.as_str()?)))
}

fn address(call: &ToolCall) -> Option<String> {
    text_of(call, &["url", "uri"]).map(|(_, url)| url.to_owned())
}

/// Path and diff of every change: as the call shows them, else as its input tells them.
fn diffs(call: &ToolCall) -> Vec<(String, Diff)> {
    let shown = call.content.iter().filter_map(|content| match content {
        ToolContent::Diff { path, old, new } => {
            Some((path.clone(), diff(old.as_deref(), new, AROUND)))
        }
        ToolContent::Block(_) | ToolContent::Terminal(_) | ToolContent::Unknown(_) => None,
    });
    let shown: Vec<_> = shown.collect();
    if !shown.is_empty() {
        return shown;
    }
    let text = |keys: &[&'static str]| text_of(call, keys).map(|(_, text)| text);
    let path = text(&["file_path", "path", "abs_path"]);
    let new = text(&["new_string", "new_text", "content"]);
    let old = text(&["old_string", "old_text"]);
    match (path, new) {
        (Some(path), Some(new)) => vec![(path.to_owned(), diff(old, new, AROUND))],
        _ => Vec::new(),
    }
}

/// The host stands out: what stands before an `@` only looks like one.
fn url_line(url: &str) -> Told {
    let url = clean_line(url);
    let (before, host, behind) = parts(&url);
    vec![
        (Role::Link, before.to_owned()),
        (Role::Heading, host.to_owned()),
        (Role::Link, behind.to_owned()),
    ]
}

/// An address in three parts: up to the host, the host with its port, and the rest.
fn parts(url: &str) -> (&str, &str, &str) {
    let Some(start) = url.find("://").map(|at| at + 3) else {
        return (url, "", "");
    };
    let end = url[start..].find(['/', '\\', '?', '#']);
    let end = end.map_or(url.len(), |at| start + at);
    let host = url[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    (&url[..host], &url[host..end], &url[end..])
}

fn wrapped(told: &[Told], look: Look<'_>, columns: usize) -> Vec<Line<'static>> {
    let indent = [Span::raw("   ")];
    told.iter()
        .flat_map(|line| {
            let spans: Vec<Span<'static>> = line
                .iter()
                .map(|(role, text)| Span::styled(text.clone(), look(*role)))
                .collect();
            wrap(&spans, &indent, &indent, columns, Break::Anywhere)
        })
        .collect()
}

/// Columns of the page's text, and its rows, on a screen of this size with this many rows at its foot.
fn room(size: (u16, u16), foot: usize) -> (usize, usize) {
    // A head and two rules.
    let rows = usize::from(size.1).saturating_sub(foot + 3);
    (usize::from(size.0), rows.max(1))
}

/// The rows at the foot of the page: the options and the keys, as far as there is room beside a line of what is asked.
fn foot(
    state: &State,
    open: &OpenPermission,
    look: Look<'_>,
    columns: usize,
) -> Vec<Line<'static>> {
    let is_room = |lines: &[Line]| usize::from(state.size.1) >= lines.len() + 4;
    for apart in [question::is_narrow(columns), false] {
        let mut lines = question::options(state, open, look, columns, apart);
        lines.push(question::page_hint(state, look, columns));
        if is_room(&lines) {
            return lines;
        }
    }
    let lines = question::options(state, open, look, columns, false);
    if is_room(&lines) {
        return lines;
    }
    let text = fit(" no room: enlarge it to answer", columns);
    vec![Line::from(Span::styled(text, look(Role::Warning)))]
}

/// The page has room for every answer.
pub(crate) fn fits(state: &State) -> bool {
    let columns = usize::from(state.size.0);
    state.asking().is_some_and(|open| {
        let answers = question::options(state, open, &|_| Style::default(), columns, false);
        usize::from(state.size.1) >= answers.len() + 4
    })
}

/// How far the page scrolls at most, and a screenful less one, both in lines.
pub(crate) fn scrolls(state: &State) -> (usize, usize) {
    let Some(open) = state.asking() else {
        return (0, 1);
    };
    let columns = usize::from(state.size.0);
    let foot = foot(state, open, &|_| Style::default(), columns).len();
    let (columns, rows) = room(state.size, foot);
    let lines = lines(state, open, &|_| Style::default(), columns).len();
    (lines.saturating_sub(rows), rows.saturating_sub(1).max(1))
}

/// The page, over everything.
pub(crate) fn draw(state: &State, top: usize, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let Some(open) = state.asking() else {
        return;
    };
    let columns = usize::from(area.width);
    Clear.render(area, buffer);
    let mut rows = Rows { left: area };
    let look: Look<'_> = &|role| paint.style(role);
    let head = question::head(state, open, look, columns, 1);
    print(&head, rows.top(1), buffer);
    rule(paint, rows.top(1), buffer);
    let foot = foot(state, open, look, columns);
    let height = u16::try_from(foot.len()).unwrap_or(u16::MAX);
    print(&foot, rows.bottom(height), buffer);
    let lines = lines(state, open, look, columns);
    scrolled(&lines, top, paint, rows, buffer);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(told: &[Told]) -> Vec<String> {
        let line = |line: &Told| line.iter().map(|(_, text)| text.as_str()).collect();
        told.iter().map(line).collect()
    }

    fn given(input: Value) -> Vec<String> {
        let call = ToolCall {
            raw_input: Some(input),
            ..ToolCall::default()
        };
        text(&in_full(&call))
    }

    #[test]
    fn what_will_happen_is_told_by_what_the_tool_was_given() {
        let table = [
            (
                json!({"command": "cargo test\n  --all", "cwd": "/w", "timeout": 5}),
                vec!["$ cargo test", "    --all", "in /w", "timeout: 5"],
            ),
            (
                json!({"command": ["rm", "-rf", "x"], "reason": "tidy"}),
                vec!["$ rm -rf x", "reason: tidy"],
            ),
            (
                json!({"url": "https://docs.rs/a?b", "prompt": "read it"}),
                vec!["https://docs.rs/a?b", "prompt: read it"],
            ),
            (
                json!({"file_path": "a.rs", "old_string": "a\n", "new_string": "b\n"}),
                vec!["a.rs  +1 −1", "@@ -1 +1 @@", "-a", "+b"],
            ),
            (
                json!({"file_path": "b.rs", "content": "x\ny\n"}),
                vec!["b.rs  +2 −0", "+x", "+y"],
            ),
            (
                json!({"plan": "1. one\n2. two", "n": null, "deep": [1]}),
                vec![
                    "plan: ", "  1. one", "  2. two", "deep: ", "  [", "    1", "  ]",
                ],
            ),
            (json!("words"), vec!["words"]),
            (json!({}), vec![]),
        ];
        for (input, lines) in table {
            assert_eq!(given(input.clone()), lines, "{input}");
        }
    }

    #[test]
    fn a_diff_that_the_call_shows_stands_before_the_one_of_its_input() {
        let call = ToolCall {
            raw_input: Some(json!({"file_path": "a.rs", "content": "other", "mode": "x"})),
            content: vec![ToolContent::Diff {
                path: "src/a.rs".into(),
                old: Some("1\n".into()),
                new: "2\n".into(),
            }],
            ..ToolCall::default()
        };
        let told = text(&in_full(&call));
        assert_eq!(
            told,
            ["src/a.rs  +1 −1", "@@ -1 +1 @@", "-1", "+2", "mode: x"]
        );
    }

    #[test]
    fn the_host_of_an_address_is_the_one_that_is_called() {
        let table = [
            ("https://docs.rs/a/b?c", ("https://", "docs.rs", "/a/b?c")),
            ("https://docs.rs", ("https://", "docs.rs", "")),
            (
                "http://good.com@evil.net:8/x",
                ("http://good.com@", "evil.net:8", "/x"),
            ),
            (
                "http://evil.net\\@good.com",
                ("http://", "evil.net", "\\@good.com"),
            ),
            (
                "https://evil.net?@good.com/",
                ("https://", "evil.net", "?@good.com/"),
            ),
            ("mailto:a@b", ("mailto:a@b", "", "")),
        ];
        for (url, expected) in table {
            assert_eq!(parts(url), expected, "{url}");
        }
    }
}
