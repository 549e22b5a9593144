//! The boxes over everything: the keys, made from the live key map, and a yes or no.
//!
//! Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Widget};

use crate::protocol::file::size;
use crate::tui::action::Action;
use crate::tui::keymap::{Binding, Context, Keymap};
use crate::tui::state::{Confirm, OURS, Popup, State};
use crate::tui::theme::Role;
use crate::tui::view::copy;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{Break, clean, clean_line, fit, fit_end, pad, width, wrap};
use crate::tui::view::{asked, choose, review};

pub(crate) fn draw(state: &State, popup: &Popup, paint: &Paint, area: Rect, buffer: &mut Buffer) {
    let columns = columns(area);
    let span: Draw = &|role, text| paint.span(role, text.to_owned());
    let (title, lines, top) = match popup {
        Popup::Help { top } => (" keys ", help(&state.keymap, span, columns), *top),
        Popup::Choose { row } => {
            let (lines, chosen) = choose::lines(state, *row, paint, columns);
            let rows = usize::from(area.height.saturating_sub(2)).max(1);
            // The chosen line and what stands around it.
            (
                " modes and options ",
                lines,
                (chosen + 3).saturating_sub(rows),
            )
        }
        Popup::Here { .. } => (" LOCAL ", here(state, span, columns), 0),
        Popup::Confirm(confirm) => (" really? ", question(state, confirm, paint, columns), 0),
        // Drawn by itself: it has a line that is written.
        Popup::Palette(_) => return,
        Popup::Review(page) => return review::draw(state, page, paint, area, buffer),
        Popup::Asked { top } => return asked::draw(state, *top, paint, area, buffer),
        Popup::Places { chosen } => {
            let lines = places(state, *chosen, paint, columns);
            (
                " open in the editor ",
                lines,
                (chosen + 2).saturating_sub(usize::from(area.height.saturating_sub(2))),
            )
        }
        Popup::Copy { chosen } => return copy::draw(state, *chosen, paint, area, buffer),
    };
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let inner = frame(title, height, paint, area, buffer);
    let rows = usize::from(inner.height);
    let most = lines.len().saturating_sub(rows);
    let top = if let Popup::Here { back } = popup {
        most.saturating_sub(*back)
    } else {
        top.min(most)
    };
    for (row, line) in lines.iter().skip(top).take(rows).enumerate() {
        let y = inner.y + u16::try_from(row).unwrap_or(0);
        line.render(
            Rect {
                y,
                height: 1,
                ..inner
            },
            buffer,
        );
    }
    if rows > 0 && top + rows < lines.len() {
        let more = paint.span(Role::Dim, " ↓ more ");
        let x = inner.right().saturating_sub(9);
        buffer.set_span(x, inner.bottom(), &more, 9);
    }
}

fn places(state: &State, chosen: usize, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let places = crate::tui::on::place::places(state);
    let line = |(at, place): (usize, &(String, Option<u64>))| {
        let role = if at == chosen {
            Role::Selection
        } else {
            Role::Text
        };
        let told = clean_line(&crate::tui::place::told(place));
        Line::from(paint.span(role, fit_end(&told, columns)))
    };
    places.iter().enumerate().map(line).collect()
}

/// How a text becomes one in its colours.
type Draw<'a> = &'a dyn Fn(Role, &str) -> Span<'static>;

/// Lines that are above the box when its end is shown, and how many it shows at once.
pub(crate) fn scrolls(state: &State, popup: &Popup) -> (usize, usize) {
    let (width, height) = state.size;
    let columns = columns(Rect::new(0, 0, width, height));
    let span: Draw = &|_, text| Span::raw(text.to_owned());
    let lines = match popup {
        Popup::Help { .. } => help(&state.keymap, span, columns),
        Popup::Here { .. } => here(state, span, columns),
        _ => Vec::new(),
    };
    let rows = usize::from(height.saturating_sub(2)).max(1);
    (lines.len().saturating_sub(rows), rows)
}

/// Columns of a text in a box: it stands apart from the sides where there is room for that.
fn columns(area: Rect) -> usize {
    let apart = if area.width >= 80 { 8 } else { 4 };
    usize::from(area.width.saturating_sub(apart)).clamp(1, 80)
}

/// An empty box in the middle, for so many lines of text; gives the place of the text.
pub(crate) fn frame(
    title: &'static str,
    lines: u16,
    paint: &Paint,
    area: Rect,
    buffer: &mut Buffer,
) -> Rect {
    let width = u16::try_from(columns(area) + 4)
        .unwrap_or(u16::MAX)
        .min(area.width);
    let height = lines.saturating_add(2).min(area.height);
    let frame = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(frame, buffer);
    let block = Block::new()
        .borders(Borders::ALL)
        .border_style(paint.style(Role::Border))
        .title(paint.span(Role::Heading, title));
    let inner = block.inner(frame);
    block.render(frame, buffer);
    Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    }
}

fn help(keymap: &Keymap, span: Draw, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (context, name) in Context::ALL {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        let name = match context {
            Context::Leader => format!(
                "{name} {}",
                keymap.key_of(Context::Everywhere, Action::Leader)
            ),
            Context::Everywhere
            | Context::Edit
            | Context::Browse
            | Context::Question
            | Context::Picker
            | Context::Popup
            | Context::Review
            | Context::Undo
            | Context::Conflict
            | Context::FirstLook
            | Context::Copy => name.to_owned(),
        };
        lines.push(Line::from(span(Role::Heading, &name)));
        let here = |binding: &&Binding| {
            binding.context == context && !binding.label.is_empty() && !binding.keys.is_empty()
        };
        for binding in keymap.bindings.iter().filter(here) {
            lines.extend(row(&keys(binding), binding.label, span, columns));
        }
        if context == Context::Edit {
            for (sign, label) in SIGNS {
                lines.extend(row(sign, label, span, columns));
            }
        }
    }
    lines.push(Line::default());
    lines.push(Line::from(span(
        Role::Heading,
        "Commands of the screen; all others go to the agent",
    )));
    for (name, label) in OURS {
        lines.extend(row(&format!("/{name}"), label, span, columns));
    }
    lines
}

/// What a draft or a word of it may begin with.
const SIGNS: [(&str, &str); 3] = [
    ("/", "a command"),
    ("@", "a file of the directory"),
    ("!", "a command on this machine; nothing of it is sent"),
];

fn keys(binding: &Binding) -> String {
    let keys: Vec<String> = binding.keys.iter().map(ToString::to_string).collect();
    keys.join(", ")
}

fn row(keys: &str, label: &str, span: Draw, columns: usize) -> Vec<Line<'static>> {
    let lead = if columns >= 60 { 32 } else { 14 };
    let keys = if width(keys) >= lead {
        fit(keys, lead - 1)
    } else {
        keys.to_owned()
    };
    let first = [span(Role::Accent, &pad(&keys, lead))];
    let rest = [Span::raw(" ".repeat(lead))];
    wrap(
        &[span(Role::Text, label)],
        &first,
        &rest,
        columns,
        Break::Words,
    )
}

/// What a command on this machine prints.
fn here(state: &State, span: Draw, columns: usize) -> Vec<Line<'static>> {
    let Some(ran) = &state.writing.here else {
        return Vec::new();
    };
    let say = |role, text: &str, breaks| {
        let text = [span(role, &clean(text))];
        wrap(&text, &[], &[], columns, breaks)
    };
    let command = format!("LOCAL $ {}", ran.command);
    let mut lines = say(Role::Accent, &command, Break::Anywhere);
    if ran.cut > 0 {
        let cut = format!("… {} lines before", ran.cut);
        lines.extend(say(Role::Dim, &cut, Break::Words));
    }
    // The last line has only begun.
    let empty = ran.lines.back().is_some_and(String::is_empty);
    for line in ran.lines.iter().take(ran.lines.len() - usize::from(empty)) {
        lines.extend(say(Role::Text, line, Break::Anywhere));
    }
    let key = |action| state.keymap.key_of(Context::Everywhere, action);
    let (escape, end) = (key(Action::Escape), key(Action::Interrupt));
    let last = match &ran.ended {
        Some(words) => format!("{words} · {escape} closes; nothing of it went to the agent"),
        None => format!("runs on this machine · {end} ends it, {escape} lets it run"),
    };
    lines.extend(say(Role::Dim, &last, Break::Words));
    lines
}

fn question(state: &State, confirm: &Confirm, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let (text, yes) = match confirm {
        Confirm::Stop => (
            "Stop the run? The agent ends; what was said and the files stay.".to_owned(),
            "stop",
        ),
        Confirm::Size {
            files,
            bytes,
            limit,
            ..
        } => (
            format!(
                "This directory is large: {files} files, {}. More than {} is not sent without asking. Send it all to the sandbox?",
                size(*bytes),
                size(*limit)
            ),
            "send",
        ),
    };
    let mut lines = wrap(
        &[paint.span(Role::Text, text)],
        &[],
        &[],
        columns,
        Break::Words,
    );
    lines.push(Line::default());
    let key = |action| state.keymap.key_of(Context::Popup, action);
    lines.push(Line::from(vec![
        paint.span(Role::Accent, key(Action::Yes)),
        paint.span(Role::Text, format!(" {yes}   ")),
        paint.span(Role::Accent, key(Action::Escape)),
        paint.span(Role::Text, " no"),
    ]));
    lines
}
