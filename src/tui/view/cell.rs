//! One cell of the transcript as lines.
//!
//! Pure. What elapses is given as a time; a cell that is over never asks for it.

use jiff::Timestamp;
use ratatui::text::{Line, Span};

use crate::protocol::acp::{Cost, Currency};
use crate::session::transcript::{Body, Cell, Level, Notice, Spent};
use crate::tui::state::State;
use crate::tui::theme::{Role, Theme};
use crate::tui::view::block::Sheet;
use crate::tui::view::call;
use crate::tui::view::ink::Ink;
use crate::tui::view::markdown::{Markdown, Page, Text};
use crate::tui::view::text::{Break, clean, clean_line, fit, width, wrap};

/// How a cell is to be drawn.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) theme: &'a Theme,
    pub(crate) ink: &'a Ink<'a>,
    pub(crate) columns: usize,
    pub(crate) open: bool,
    /// Lines of a diff around what changed.
    pub(crate) around: usize,
    /// Its turn is running: what is not over elapses.
    pub(crate) live: bool,
    /// The first message of the agent in its turn: it gets the head.
    pub(crate) first: bool,
    /// The message that the agent works on.
    pub(crate) running: bool,
    pub(crate) wall: Timestamp,
    /// The key that unfolds everything.
    pub(crate) unfold: &'a str,
    /// The key that saves what is no text.
    pub(crate) save: &'a str,
    pub(crate) zone: &'a jiff::tz::TimeZone,
}

impl<'a> Look<'a> {
    /// Of what stands on a page of its own.
    pub(crate) fn page(
        theme: &'a Theme,
        ink: &'a Ink<'a>,
        columns: usize,
        state: &'a State,
    ) -> Self {
        Self {
            theme,
            ink,
            columns,
            open: true,
            around: crate::tui::view::diff::AROUND,
            live: false,
            first: false,
            running: false,
            wall: state.wall,
            unfold: "",
            save: "",
            zone: &state.zone,
        }
    }
}

impl Look<'_> {
    pub(crate) fn span(&self, role: Role, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.theme.style(role))
    }

    pub(crate) fn narrow(&self) -> bool {
        self.columns < 50
    }

    /// Before text that belongs to a head.
    pub(crate) fn indent(&self) -> Span<'static> {
        Span::raw(if self.narrow() { " " } else { "   " })
    }
}

/// Its lines change with time alone.
pub(crate) fn elapses(body: &Body) -> bool {
    match body {
        Body::Tool(tool) => !tool.is_over(),
        Body::Thought { open, ended, .. } => *open && ended.is_none(),
        Body::User { .. }
        | Body::Agent { .. }
        | Body::Attachment(_)
        | Body::Notice(_)
        | Body::TurnEnd { .. } => false,
    }
}

pub(crate) fn lines(cell: &Cell, look: Look) -> Vec<Line<'static>> {
    match &cell.body {
        Body::User {
            text,
            from,
            attachments,
            ..
        } => user(cell, text, from.as_deref(), attachments, look),
        Body::Agent { .. } => {
            let mut lines = Vec::new();
            agent(cell, look, Vec::new(), &mut Markdown::default(), &mut lines);
            lines
        }
        Body::Thought { text, open, ended } => {
            let took = cell
                .time
                .map(|began| seconds(began, ended.unwrap_or(look.wall)));
            thought(
                text,
                *open && ended.is_none() && look.live,
                took,
                ended.is_some(),
                look,
            )
        }
        Body::Tool(tool) => call::lines(tool, look),
        Body::Attachment(text) => {
            let text = clean_line(text);
            let text = call::piece(
                &text,
                text.starts_with("image ") || text.starts_with("audio "),
                look,
            );
            // Of nobody's head: like a call.
            vec![Line::from(look.span(Role::Dim, format!(" {text}")))]
        }
        Body::Notice(notice) => self::notice(notice, look),
        Body::TurnEnd {
            stop_reason,
            error,
            started,
            ended,
            files,
            spent,
        } => {
            let took = started
                .zip(*ended)
                .map(|(from, to)| seconds(from, to))
                // Nobody waits for what takes no time.
                .filter(|took| *took >= 0.1)
                .map(elapsed);
            turn_end(stop_reason, error.as_deref(), (took, *files, *spent), look)
        }
    }
}

fn user(
    cell: &Cell,
    text: &str,
    from: Option<&str>,
    attachments: &[String],
    look: Look,
) -> Vec<Line<'static>> {
    let name = clean_line(from.unwrap_or("you"));
    let mut head = vec![look.span(Role::User, format!(" {}", fit(&name, 24)))];
    if let Some(time) = cell.time {
        head.push(look.span(Role::Dim, format!("  {}", clock(time, look.zone))));
    }
    if look.running {
        head.push(look.span(Role::Dim, "  running"));
    }
    let mut lines = vec![Line::from(head)];
    let indent = [look.indent()];
    for line in clean(text).trim_end().split('\n') {
        let line = [look.span(Role::Text, line)];
        lines.extend(wrap(&line, &indent, &indent, look.columns, Break::Words));
    }
    for name in attachments {
        let name = fit(&clean_line(name), look.columns.saturating_sub(6));
        lines.push(Line::from(vec![
            look.indent(),
            look.span(Role::Dim, format!("▪ {name}")),
        ]));
    }
    lines
}

/// A text of the agent that has lines: it may have been taken back.
pub(crate) fn says(cell: &Cell, look: Look) -> bool {
    let Body::Agent { text, .. } = &cell.body else {
        return true;
    };
    look.first || !text.trim_start().is_empty()
}

/// Brings the lines of a text of the agent to what it is now. They are those of the last call, with what it kept.
pub(crate) fn agent(
    cell: &Cell,
    look: Look,
    above: Vec<Line<'static>>,
    markdown: &mut Markdown,
    lines: &mut Vec<Line<'static>>,
) {
    let Body::Agent { text, open } = &cell.body else {
        return;
    };
    let head = look
        .first
        .then(|| Line::from(look.span(Role::Agent, " agent")));
    let indent = look.indent();
    let page = Page {
        sheet: Sheet {
            columns: look
                .columns
                .saturating_sub(width(&indent.content) + 1)
                .max(1),
            theme: look.theme,
            ink: look.ink,
        },
        indent: &indent,
    };
    let text = Text {
        text,
        rewrites: cell.rewrites,
        open: *open,
    };
    markdown.grow(text, above.into_iter().chain(head).collect(), page, lines);
}

fn thought(
    text: &str,
    live: bool,
    took: Option<f64>,
    over: bool,
    look: Look,
) -> Vec<Line<'static>> {
    let took = took
        .filter(|_| live || over)
        .map(|took| whole(took.max(1.0)));
    let (sign, words) = match (live, look.open) {
        (true, _) => ("◐", "thinking"),
        (false, true) => ("▾", "thought"),
        (false, false) => ("▸", "thought"),
    };
    let text_head = match took {
        Some(took) if live => format!(" {sign} {words} {took}"),
        Some(took) => format!(" {sign} {words} for {took}"),
        None => format!(" {sign} {words}"),
    };
    let mut lines = vec![Line::from(look.span(Role::Thought, text_head))];
    if look.open {
        let indent = [look.indent()];
        for line in clean(text).trim().split('\n') {
            let line = [look.span(Role::Thought, line)];
            lines.extend(wrap(&line, &indent, &indent, look.columns, Break::Words));
        }
    }
    lines
}

fn notice(notice: &Notice, look: Look) -> Vec<Line<'static>> {
    let (role, sign) = match notice.level {
        Level::Dim => (Role::Dim, "·"),
        Level::Info => (Role::Text, "·"),
        Level::Warning => (Role::Warning, "!"),
        Level::Error => (Role::Error, "✕"),
        Level::Rule => {
            let mut lines = vec![rule(&notice.text, look)];
            lines.extend(detail(notice, look));
            return lines;
        }
    };
    let more = if notice.count > 1 {
        format!(" (×{})", notice.count)
    } else {
        String::new()
    };
    let first = [look.span(role, format!(" {sign} "))];
    let rest = [Span::raw("   ")];
    let text = [look.span(role, format!("{}{more}", clean_line(&notice.text)))];
    let mut lines = wrap(&text, &first, &rest, look.columns, Break::Words);
    lines.extend(detail(notice, look));
    lines
}

/// What an unfolded notice has to say beyond its line.
fn detail(notice: &Notice, look: Look) -> Vec<Line<'static>> {
    let detail = notice.detail.as_deref().filter(|_| look.open).unwrap_or("");
    let indent = [Span::raw("   ")];
    let wrapped = |line: &str| {
        let line = [look.span(Role::Dim, line)];
        wrap(&line, &indent, &indent, look.columns, Break::Words)
    };
    clean(detail).trim_end().lines().flat_map(wrapped).collect()
}

/// A line across the chat with a word in it.
pub(crate) fn rule(text: &str, look: Look) -> Line<'static> {
    let text = fit(&clean_line(text), look.columns.saturating_sub(8));
    let side = look.columns.saturating_sub(width(&text) + 4) / 2;
    let side = "─".repeat(side.min(12));
    Line::from(look.span(Role::Dim, format!(" {side} {text} {side}")))
}

fn turn_end(
    reason: &str,
    error: Option<&str>,
    (took, files, spent): (Option<String>, usize, Option<Spent>),
    look: Look,
) -> Vec<Line<'static>> {
    let (role, sign, words) = match (reason, error) {
        (_, Some(_)) => (Role::Error, "✕", "the turn failed".to_owned()),
        ("end_turn", None) => (Role::Dim, "✓", "done".to_owned()),
        ("cancelled", None) => (Role::Warning, "■", "cancelled".to_owned()),
        ("refusal", None) => (Role::Warning, "!", "the agent refused".to_owned()),
        ("max_tokens", None) => (
            Role::Warning,
            "!",
            "stopped: the answer reached its longest".to_owned(),
        ),
        ("max_turn_requests", None) => (
            Role::Warning,
            "!",
            "stopped: too many steps in one turn".to_owned(),
        ),
        (other, None) => (Role::Warning, "!", format!("ended: {}", clean_line(other))),
    };
    let files = match files {
        0 => None,
        1 => Some("1 file".to_owned()),
        many => Some(format!("{many} files")),
    };
    let tokens = spent.and_then(|spent| spent.tokens);
    let cost = spent.and_then(|spent| spent.cost);
    let tokens = tokens.map(|tokens| format!("+{} tok", short(tokens)));
    let mut text = words;
    for part in [took, files, tokens, cost.map(money)].into_iter().flatten() {
        if width(&text) + width(&part) + 6 <= look.columns {
            text.push_str(&format!(" · {part}"));
        }
    }
    let mut lines = vec![Line::from(look.span(role, format!(" {sign} {text}")))];
    let indent = [Span::raw("   ")];
    for line in clean(error.unwrap_or("")).trim_end().lines() {
        lines.extend(wrap(
            &[look.span(Role::Error, line)],
            &indent,
            &indent,
            look.columns,
            Break::Words,
        ));
    }
    lines
}

/// A number in at most four characters, as far as it goes.
fn short(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        1000..10_000 => format!("{}.{}k", number / 1000, number / 100 % 10),
        10_000..1_000_000 => format!("{}k", number / 1000),
        _ => format!("{}.{}M", number / 1_000_000, number / 100_000 % 10),
    }
}

/// `$0.83`, `0.83 EUR`.
pub(crate) fn money(cost: Cost) -> String {
    let Cost { amount, currency } = cost;
    match (currency == Currency::USD, amount < 0.005) {
        (true, true) => "<$0.01".to_owned(),
        (true, false) => format!("${amount:.2}"),
        (false, true) => format!("<0.01 {currency}"),
        (false, false) => format!("{amount:.2} {currency}"),
    }
}

/// Never negative: the clocks of two machines differ.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

pub(crate) fn elapsed(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..10 => format!("{:.1}s", (seconds * 10.0).floor() / 10.0),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// Without parts of a second: for what is still running.
pub(crate) fn whole(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{}s", seconds as u64),
        _ => elapsed(seconds),
    }
}

/// The time of day.
pub(crate) fn clock(time: Timestamp, zone: &jiff::tz::TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_is_told_in_short() {
        let table = [
            (950, "950"),
            (2_540, "2.5k"),
            (12_345, "12k"),
            (1_250_000, "1.2M"),
        ];
        for (number, shown) in table {
            assert_eq!(short(number), shown);
        }
        let table = [
            (0.084, "USD", "$0.08"),
            (0.001, "usd", "<$0.01"),
            (0.834, "EUR", "0.83 EUR"),
            (0.001, "EUR", "<0.01 EUR"),
            (12.0, "credits of ours", "12.00 CREDITSO"),
        ];
        for (amount, word, shown) in table {
            let currency = Currency::of(word).unwrap();
            assert_eq!(money(Cost { amount, currency }), shown);
        }
        assert_eq!(Currency::of("€"), None);
    }

    #[test]
    fn a_duration_is_as_long_as_it_needs_to_be() {
        let table = [
            (0.04, "0.0s"),
            (9.99, "9.9s"),
            (12.7, "12s"),
            (245.0, "4m05s"),
            (3720.0, "1h02m"),
        ];
        for (seconds, shown) in table {
            assert_eq!(elapsed(seconds), shown);
        }
    }
}
