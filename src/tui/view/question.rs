//! The agent's question, over the draft: what will happen, and every option in the agent's order.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::protocol::acp::OptionKind;
use crate::session::state::OpenPermission;
use crate::tui::action::Action;
use crate::tui::ask::Filling;
use crate::tui::keymap::Context;
use crate::tui::on::{question, queue, writing};
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::view::asked::{self, Look};
use crate::tui::view::paint::Paint;
use crate::tui::view::rows::print;
use crate::tui::view::text::{Break, clean_line, fit, width, wrap};

/// Lines of the details at most; on a low screen a third of it.
const DETAILS: usize = 12;
/// The line behind the agent's options.
const WHY: &str = "reject and say why";

pub(crate) fn lines(state: &State, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let Some(open) = state.asking() else {
        return Vec::new();
    };
    let mut lines = head(state, open, paint, columns);
    if let Some(filling) = filling(state) {
        lines.extend(fields(filling, paint, columns));
        lines.push(hint(state, paint, columns));
        return lines;
    }
    if state.question.details {
        lines.extend(details(state, open, paint, columns));
    } else {
        lines.extend(asked::brief(state, open, paint, columns));
    }
    lines.extend(options(state, open, &|role| paint.style(role), columns));
    lines.push(hint(state, paint, columns));
    lines
}

fn filling(state: &State) -> Option<&Filling> {
    state.ask.writing.as_ref()?.form.as_ref()
}

/// A form that is being filled in: what is written, and of the line that is being written what it wants.
fn fields(filling: &Filling, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (at, field) in filling.form.fields.iter().enumerate() {
        let title = clean_line(&field.title);
        if at == filling.at {
            let first = [paint.span(Role::Accent, " > ")];
            let wants = clean_line(&field.wants());
            let spans = [
                paint.span(Role::Text, format!("{title}: ")),
                paint.span(Role::Dim, wants),
            ];
            let about = field.description.as_deref().map(clean_line);
            let about = about.map(|about| paint.span(Role::Dim, format!(" · {about}")));
            let spans: Vec<Span> = spans.into_iter().chain(about).collect();
            let rest = [Span::raw("     ")];
            lines.extend(wrap(&spans, &first, &rest, columns, Break::Words));
            continue;
        }
        let written = match (filling.written[at].as_str(), &field.default) {
            ("", Some(default)) => default,
            (written, _) => written,
        };
        let text = format!("   {title}: {}", clean_line(written));
        lines.push(Line::from(paint.span(Role::Text, fit(&text, columns))));
    }
    lines
}

pub(crate) fn draw(lines: &[Line<'static>], area: Rect, buffer: &mut Buffer) {
    print(lines, area, buffer);
}

fn is_narrow(columns: usize) -> bool {
    columns < 50
}

pub(crate) fn head(
    state: &State,
    open: &OpenPermission,
    paint: &Paint,
    columns: usize,
) -> Vec<Line<'static>> {
    let count = state.questions().len();
    let title = clean_line(&open.title);
    let mut spans = Vec::new();
    if !is_narrow(columns) {
        spans.push(paint.span(Role::Warning, "The agent asks: "));
    }
    spans.push(paint.span(Role::Text, title));
    if let Some(kind) = &open.kind {
        spans.push(paint.span(Role::Dim, format!("  ({})", clean_line(kind))));
    }
    if count > 1 {
        spans.push(paint.span(Role::Dim, format!("  1 of {count}")));
    }
    let first = [paint.span(Role::Warning, " ? ")];
    let mut lines = wrap(&spans, &first, &[Span::raw("   ")], columns, Break::Words);
    lines.truncate(4);
    lines
}

fn details(
    state: &State,
    open: &OpenPermission,
    paint: &Paint,
    columns: usize,
) -> Vec<Line<'static>> {
    let mut lines = asked::lines(state, open, &|role| paint.style(role), columns);
    let most = (usize::from(state.size.1) / 3).clamp(4, DETAILS);
    let hidden = lines.len().saturating_sub(most - 1);
    if hidden > 1 {
        lines.truncate(most - 1);
        let key = key(state, Action::Details);
        let text = format!("   … {hidden} more lines: {key} shows all");
        lines.push(Line::from(paint.span(Role::Dim, text)));
    }
    lines
}

/// Name and role of every line that a number picks.
fn picks(open: &OpenPermission) -> Vec<(Role, String)> {
    let mut picks: Vec<(Role, String)> = open
        .options
        .iter()
        .map(|option| {
            let name = match clean_line(&option.name) {
                empty if empty.is_empty() => option.kind.as_str().replace('_', " "),
                name => name,
            };
            let role = match option.kind {
                OptionKind::AllowOnce | OptionKind::AllowAlways => Role::Success,
                OptionKind::RejectOnce | OptionKind::RejectAlways => Role::Removed,
                OptionKind::Unknown => Role::Text,
            };
            (role, name)
        })
        .collect();
    if writing::rejection(open).is_some() {
        picks.push((Role::Removed, WHY.to_owned()));
    }
    picks
}

/// Every answer with the key that picks it now, and the key for the others where there are more than digits.
fn keyed(state: &State, open: &OpenPermission) -> Vec<(String, Role, String)> {
    let picks = picks(open);
    let count = picks.len();
    let why = writing::rejection(open).map(|_| count - 1);
    let sign = |place: usize| match place.checked_sub(state.question.from) {
        Some(at @ 0..question::DIGITS) => (at + 1).to_string(),
        _ if Some(place) == why => key(state, Action::RejectWhy),
        _ => "·".to_owned(),
    };
    let picks = picks.into_iter().enumerate();
    let mut keyed: Vec<(String, Role, String)> = picks
        .map(|(place, (role, name))| (sign(place), role, name))
        .collect();
    let more = key(state, Action::MoreAnswers);
    if count > question::DIGITS && !more.is_empty() {
        keyed.push((more, Role::Dim, "other answers".to_owned()));
    }
    keyed
}

/// As many options in a line as fit whole; one a line where there is little room.
pub(crate) fn options(
    state: &State,
    open: &OpenPermission,
    look: Look<'_>,
    columns: usize,
) -> Vec<Line<'static>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut used = columns;
    for (sign, role, name) in keyed(state, open) {
        let number = format!("{sign} ");
        let wide = width(&number) + width(&name) + 3;
        let spans = [
            Span::styled(number, look(Role::Accent)),
            Span::styled(name, look(role)),
        ];
        if used + wide > columns || is_narrow(columns) {
            lines.extend(wrap(
                &spans,
                &[Span::raw("   ")],
                &[Span::raw("     ")],
                columns,
                Break::Words,
            ));
            used = 3 + wide;
        } else if let Some(line) = lines.last_mut() {
            line.spans.push(Span::raw("   "));
            line.spans.extend(spans);
            used += wide;
        }
    }
    lines
}

fn key(state: &State, action: Action) -> String {
    state.keymap.key_of(Context::Question, action)
}

fn escape(state: &State) -> String {
    state.keymap.key_of(Context::Everywhere, Action::Escape)
}

/// Keys with what they do, without those that were taken away.
fn told(keys: &[(String, &str)]) -> String {
    let told: Vec<String> = keys
        .iter()
        .filter(|(key, _)| !key.trim().is_empty())
        .map(|(key, what)| format!("{key} {what}"))
        .collect();
    told.join(" · ")
}

pub(crate) fn hint(state: &State, paint: &Paint, columns: usize) -> Line<'static> {
    let narrow = is_narrow(columns);
    let back = || queue::leader(state, Action::Question);
    // A form has no rejection with words.
    let rejects = state
        .asking()
        .is_some_and(|open| writing::rejection(open).is_some());
    let why = if rejects {
        key(state, Action::RejectWhy)
    } else {
        String::new()
    };
    let text = if filling(state).is_some() {
        let submit = state.keymap.key_of(Context::Edit, Action::Submit);
        told(&[
            (submit, "next"),
            ("↑↓".to_owned(), "other lines"),
            (escape(state), "back"),
        ])
    } else if state.ask.writing.is_some() {
        let submit = state.keymap.key_of(Context::Edit, Action::Submit);
        told(&[(submit, "rejects with your words"), (escape(state), "back")])
    } else {
        match (state.answers_are_awake(), narrow) {
            (true, false) => told(&[
                ("a number".to_owned(), "answers"),
                (key(state, Action::AllowOnce), "allow"),
                (key(state, Action::Reject), "reject"),
                (why, "why"),
                (key(state, Action::Details), "details"),
                (escape(state), "sets it aside"),
            ]),
            (true, true) => told(&[
                ("1–9".to_owned(), "answer"),
                (key(state, Action::Details), "more"),
                (escape(state), "aside"),
            ]),
            (false, false) if !state.composer.is_empty() => {
                format!("{} answers; typing writes on", back())
            }
            (false, true) if !state.composer.is_empty() => format!("{} answers", back()),
            (false, _) => "…".to_owned(),
        }
    };
    let text = fit(&format!("   {text}"), columns);
    Line::from(paint.span(Role::Dim, text))
}

/// Under the page that shows all of it.
pub(crate) fn page_hint(state: &State, paint: &Paint, columns: usize) -> Line<'static> {
    let mut keys = vec![("↑↓".to_owned(), "scroll"), (escape(state), "back")];
    if state.answers_are_awake() {
        keys.insert(0, ("1–9".to_owned(), "answer"));
        keys.push((key(state, Action::AllowOnce), "allow"));
        keys.push((key(state, Action::Reject), "reject"));
    }
    let text = told(&keys);
    let text = fit(&format!("   {text}"), columns);
    Line::from(paint.span(Role::Dim, text))
}
