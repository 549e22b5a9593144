//! The agent's question, over the draft: what will happen, and every option in the agent's order.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
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
use crate::tui::view::screen;
use crate::tui::view::text::{Break, clean_line, fit, width, wrap};

/// Lines of what is asked at most.
const HEAD: usize = 4;
/// Lines of the details at most; on a low screen a third of it, and never less than the least.
const DETAILS: usize = 12;
const LEAST: usize = 4;
/// The line behind the agent's options.
const WHY: &str = "reject and say why";

/// In no more lines than there is room for. What will happen goes first where there is too little, the answers never:
/// where they do not fit, no key answers, and a line says so.
pub(crate) fn lines(
    state: &State,
    paint: &Paint,
    columns: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let Some(open) = state.asking() else {
        return Vec::new();
    };
    let look: Look<'_> = &|role| paint.style(role);
    if state.ask.writing.is_some() {
        return written(state, open, paint, columns, room);
    }
    let hint = hint(state, paint, columns);
    let mut answers = options(state, open, look, columns, is_narrow(columns));
    let mut head = head(state, open, look, columns, usize::MAX);
    let is_cut = head.len() > HEAD;
    if is_cut {
        head.truncate(HEAD);
        mark(state, &mut head, look, columns);
    }
    let mut about = about(state, open, paint, columns, &head);
    let spare = |rest: usize| room.checked_sub(rest);
    if spare(head.len() + about.len() + answers.len() + 1).is_none() {
        answers = options(state, open, look, columns, false);
    }
    if spare(1 + answers.len()).is_none() {
        return refusal(state, open, paint, columns, room);
    }
    let with_hint = spare(head.len() + answers.len() + 1).is_some();
    if spare(head.len() + about.len() + answers.len() + 1).is_none() && !about.is_empty() {
        about.clear();
        if !is_cut {
            mark(state, &mut head, look, columns);
        }
    }
    let most = room - answers.len();
    if head.len() > most {
        head.truncate(most);
        mark(state, &mut head, look, columns);
    }
    head.extend(about);
    head.extend(answers);
    head.extend(with_hint.then_some(hint));
    head
}

/// What will happen, beside the title: in brief, or some of the details.
fn about(
    state: &State,
    open: &OpenPermission,
    paint: &Paint,
    columns: usize,
    head: &[Line<'static>],
) -> Vec<Line<'static>> {
    if state.question.details {
        details(state, open, paint, columns)
    } else {
        asked::brief(state, open, paint, columns, head)
    }
}

/// While the answer is being written: the hint says how it is sent.
fn written(
    state: &State,
    open: &OpenPermission,
    paint: &Paint,
    columns: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let look: Look<'_> = &|role| paint.style(role);
    let mut lines = head(state, open, look, columns, HEAD);
    match filling(state) {
        Some(filling) => lines.extend(fields(filling, paint, columns)),
        None => {
            let about = about(state, open, paint, columns, &lines);
            lines.extend(about);
            lines.extend(options(state, open, look, columns, is_narrow(columns)));
        }
    }
    let most = room.saturating_sub(1);
    if lines.len() > most {
        // What is being written stands behind what is asked.
        let skip = lines.len() - most;
        lines.drain(1.min(most)..(skip + 1).min(lines.len()));
        lines.truncate(most);
    }
    lines.push(hint(state, paint, columns));
    lines
}

/// There is no room for the answers.
fn refusal(
    state: &State,
    open: &OpenPermission,
    paint: &Paint,
    columns: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let key = queue::leader(state, Action::Question);
    let text = match (asked::fits(state), is_narrow(columns)) {
        (false, false) => "no room for the answers: make the window larger".to_owned(),
        (false, true) => "no room: enlarge it to answer".to_owned(),
        (true, false) => format!("no room for the answers here: {key} shows them"),
        (true, true) => format!("no room: {key} shows all"),
    };
    let text = fit(&format!("   {text}"), columns);
    let look: Look<'_> = &|role| paint.style(role);
    let mut lines = head(state, open, look, columns, usize::MAX);
    lines.truncate(room.saturating_sub(1));
    lines.push(Line::from(paint.span(Role::Warning, text)));
    lines.truncate(room);
    lines
}

/// There is room for what is asked and for every answer.
pub(crate) fn fits(state: &State) -> bool {
    let columns = usize::from(state.size.0);
    let plain = |_| Style::default();
    state.asking().is_some_and(|open| {
        let answers = options(state, open, &plain, columns, false).len();
        state.ask.writing.is_some() || answers < screen::room_to_ask(state)
    })
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

pub(crate) fn is_narrow(columns: usize) -> bool {
    columns < 50
}

/// What is asked, in so many lines at most: where that is not all of it, its end says so.
pub(crate) fn head(
    state: &State,
    open: &OpenPermission,
    look: Look<'_>,
    columns: usize,
    most: usize,
) -> Vec<Line<'static>> {
    let count = state.questions().len();
    let span = |role, text: String| Span::styled(text, look(role));
    let mut spans = Vec::new();
    if !is_narrow(columns) {
        spans.push(span(Role::Warning, "The agent asks: ".to_owned()));
    }
    spans.push(span(Role::Text, clean_line(&open.title)));
    if let Some(kind) = &open.kind {
        spans.push(span(Role::Dim, format!("  ({})", clean_line(kind))));
    }
    if count > 1 {
        spans.push(span(Role::Dim, format!("  1 of {count}")));
    }
    let first = [span(Role::Warning, " ? ".to_owned())];
    let mut lines = wrap(&spans, &first, &[Span::raw("   ")], columns, Break::Words);
    if lines.len() > most {
        lines.truncate(most);
        mark(state, &mut lines, look, columns);
    }
    lines
}

/// What is asked has no room beside the answers in full, or its details have none.
pub(crate) fn is_cut(state: &State) -> bool {
    let columns = usize::from(state.size.0);
    let plain = |_| Style::default();
    state
        .asking()
        .filter(|_| !state.printed)
        .is_some_and(|open| {
            let head = head(state, open, &plain, columns, usize::MAX).len();
            let answers = options(state, open, &plain, columns, false).len();
            head > HEAD || head + LEAST + answers + 1 > screen::room_to_ask(state)
        })
}

/// The last of the lines says that there is more, and how all of it is seen.
pub(crate) fn mark(state: &State, lines: &mut [Line<'static>], look: Look<'_>, columns: usize) {
    let Some(line) = lines.last_mut() else {
        return;
    };
    let how = how_to_see(state, columns);
    let mut left = columns.saturating_sub(2 + width(&how));
    let mut spans = Vec::new();
    for span in std::mem::take(&mut line.spans) {
        let wide = width(&span.content);
        if wide > left {
            let text = fit(&span.content, left + 1);
            let text = text.trim_end_matches('…').to_owned();
            spans.push(Span::styled(text, span.style));
            break;
        }
        left -= wide;
        spans.push(span);
    }
    spans.push(Span::styled(" …", look(Role::Warning)));
    spans.push(Span::styled(how, look(Role::Dim)));
    line.spans = spans;
}

/// ` d shows all`; on the page itself it stands below.
fn how_to_see(state: &State, columns: usize) -> String {
    let key = key(state, Action::Details);
    if key.is_empty() || state.popup.is_some() {
        return String::new();
    }
    let writes = !state.composer.is_empty() && !state.question.called;
    let first = if writes {
        queue::leader(state, Action::Question) + " "
    } else {
        String::new()
    };
    let words = if is_narrow(columns) {
        "all"
    } else {
        "shows all"
    };
    format!(" {first}{key} {words}")
}

fn details(
    state: &State,
    open: &OpenPermission,
    paint: &Paint,
    columns: usize,
) -> Vec<Line<'static>> {
    let mut lines = asked::lines(state, open, &|role| paint.style(role), columns);
    let most = (usize::from(state.size.1) / 3).clamp(LEAST, DETAILS);
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

/// As many options in a line as fit whole; or one a line.
pub(crate) fn options(
    state: &State,
    open: &OpenPermission,
    look: Look<'_>,
    columns: usize,
    apart: bool,
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
        if used + wide > columns || apart {
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

/// Keys with what they do, without those that were taken away. What does not fit goes by its rank, the highest first.
fn told(mut keys: Vec<(u8, String, &str)>, columns: usize) -> String {
    keys.retain(|(_, key, _)| !key.trim().is_empty());
    loop {
        let told: Vec<String> = keys
            .iter()
            .map(|(_, key, what)| format!("{key} {what}"))
            .collect();
        let told = told.join(" · ");
        let highest = keys.iter().map(|(rank, _, _)| *rank).max();
        let highest = highest.filter(|rank| *rank > 0 && width(&told) + 3 > columns);
        match highest {
            Some(highest) => keys.retain(|(rank, _, _)| *rank < highest),
            None => return told,
        }
    }
}

pub(crate) fn hint(state: &State, paint: &Paint, columns: usize) -> Line<'static> {
    let narrow = is_narrow(columns);
    let back = || queue::leader(state, Action::Question);
    let writes = !state.composer.is_empty();
    let text = if state.ask.writing.is_some() {
        writing_keys(state, columns)
    } else {
        match (state.answers_are_awake(), narrow) {
            (true, _) => answer_keys(state, columns),
            (false, false) if writes => format!("{} answers; typing writes on", back()),
            (false, true) if writes => format!("{} answers", back()),
            (false, _) => "…".to_owned(),
        }
    };
    let text = fit(&format!("   {text}"), columns);
    Line::from(paint.span(Role::Dim, text))
}

fn writing_keys(state: &State, columns: usize) -> String {
    let submit = state.keymap.key_of(Context::Edit, Action::Submit);
    let keys = match filling(state) {
        Some(_) => vec![
            (1, submit, "next"),
            (2, "↑↓".to_owned(), "other lines"),
            (0, escape(state), "back"),
        ],
        None if columns < 46 => vec![(1, submit, "rejects"), (0, escape(state), "back")],
        None => vec![
            (1, submit, "rejects with your words"),
            (0, escape(state), "back"),
        ],
    };
    told(keys, columns)
}

fn answer_keys(state: &State, columns: usize) -> String {
    // A form has no rejection with words.
    let rejects = state.asking().and_then(writing::rejection).is_some();
    let why = rejects.then(|| key(state, Action::RejectWhy));
    let details = key(state, Action::Details);
    let keys = if is_narrow(columns) {
        vec![
            (1, "1–9".to_owned(), "answer"),
            (2, details, "more"),
            (0, escape(state), "aside"),
        ]
    } else {
        vec![
            (1, "a number".to_owned(), "answers"),
            (3, key(state, Action::AllowOnce), "allow"),
            (3, key(state, Action::Reject), "reject"),
            (4, why.unwrap_or_default(), "why"),
            (2, details, "details"),
            (0, escape(state), "sets it aside"),
        ]
    };
    told(keys, columns)
}

/// Under the page that shows all of it.
pub(crate) fn page_hint(state: &State, look: Look<'_>, columns: usize) -> Line<'static> {
    let mut keys = vec![(2, "↑↓".to_owned(), "scroll"), (0, escape(state), "back")];
    if state.answers_are_awake() {
        keys.insert(0, (1, "1–9".to_owned(), "answer"));
        keys.push((3, key(state, Action::AllowOnce), "allow"));
        keys.push((3, key(state, Action::Reject), "reject"));
    }
    let text = told(keys, columns);
    let text = fit(&format!("   {text}"), columns);
    Line::from(Span::styled(text, look(Role::Dim)))
}
