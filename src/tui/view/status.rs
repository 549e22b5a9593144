//! The one line that always answers: am I connected, is it working, does it want me, are my files right, how do I
//! leave. What matters least goes first when space runs out.
//!
//! Pure.

use std::time::Instant;

use jiff::Timestamp;
use ratatui::text::{Line, Span};

use crate::attach::approval;
use crate::attach::state::{Attached, Link, Posting};
use crate::protocol::entry::StepStatus;
use crate::protocol::presence::Client;
use crate::protocol::run::Status;
use crate::session::choices::{Choice, Kind};
use crate::session::state::{Session, Turn};
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::on::{browse, cancel, queue};
use crate::tui::place;
use crate::tui::state::{Focus, Scene, State};
use crate::tui::theme::Role;
use crate::tui::view::cell::{money, seconds, whole};
use crate::tui::view::files;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit, fit_end, width};

/// An agent at work that has said nothing for this long is called silent, in seconds.
const LONG_SILENCE: f64 = 60.0;

/// One answer, in two lengths. An empty short form is none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    role: Role,
    long: String,
    short: String,
    /// Which form is shown; `None` when it went.
    shown: Option<bool>,
    /// It may be shortened and never goes.
    kept: bool,
}

fn field(role: Role, long: impl Into<String>, short: impl Into<String>) -> Field {
    Field {
        role,
        long: long.into(),
        short: short.into(),
        shown: Some(true),
        kept: false,
    }
}

impl Field {
    fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    fn text(&self) -> &str {
        match self.shown {
            Some(true) => &self.long,
            Some(false) => &self.short,
            None => "",
        }
    }
}

pub(crate) fn line(state: &State, paint: &Paint, columns: usize) -> Line<'static> {
    let out = way_out(state);
    let fields = match &state.scene {
        Scene::Run(attached) => fields(state, attached),
        Scene::Composer(_) | Scene::Opening(_) | Scene::Picker(_) => {
            vec![field(
                Role::Dim,
                format!("endpoint {}", clean_line(&state.welcome.endpoint)),
                "",
            )]
        }
    };
    arrange(fields, out, paint, columns)
}

/// Left the answers, right the way out.
fn arrange(mut fields: Vec<Field>, mut out: Field, paint: &Paint, columns: usize) -> Line<'static> {
    let gap = |fields: &[Field]| {
        if fields.iter().any(|field| field.shown == Some(true)) {
            2
        } else {
            1
        }
    };
    let taken = |fields: &[Field], out: &Field| {
        let shown: Vec<usize> = fields
            .iter()
            .map(|field| width(field.text()))
            .filter(|wide| *wide > 0)
            .collect();
        1 + shown.iter().sum::<usize>() + shown.len() * gap(fields) + width(out.text()) + 1
    };
    // In the order of importance, the last one first: the way out stands behind the link alone.
    for shorten in [Some(false), None] {
        for index in (1..fields.len()).rev() {
            let may_go = shorten.is_some() || !fields[index].kept;
            if may_go && taken(&fields, &out) > columns {
                fields[index].shown = shorten;
            }
        }
        if taken(&fields, &out) > columns {
            out.shown = Some(false);
        }
        if taken(&fields, &out) > columns
            && let Some(link) = fields.first_mut()
        {
            link.shown = Some(false);
        }
    }
    // What is left over belongs to the link: its reason is worth every column.
    let spare = columns.saturating_sub(taken(&fields, &out));
    if let Some(link) = fields.first_mut().filter(|link| link.shown == Some(false)) {
        let room = width(&link.short) + spare;
        // Cut off too early it would hide the seconds.
        if room >= if link.role == Role::Error { 12 } else { 34 } {
            link.short = fit(&link.long, room);
        }
    }
    let between = " ".repeat(gap(&fields));
    let mut spans = vec![Span::raw(" ")];
    for field in fields.iter().filter(|field| !field.text().is_empty()) {
        spans.push(paint.span(field.role, field.text()));
        spans.push(Span::raw(between.clone()));
    }
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let space = columns.saturating_sub(used + width(out.text()) + 1);
    spans.push(Span::raw(" ".repeat(space)));
    spans.push(paint.span(out.role, out.text()));
    Line::from(spans)
}

/// In the order of importance.
fn fields(state: &State, attached: &Attached) -> Vec<Field> {
    let session = &attached.session;
    let mut fields = vec![link(&attached.link, state.now, &retry_key(state))];
    fields.extend(approves(attached));
    match attached.link {
        Link::Live => fields.push(agent(state, attached)),
        // What the agent did last is no longer known: the time of the last word is.
        Link::Reconnecting { .. } | Link::Offline { .. } => {
            if let Some(time) = session.last_time {
                fields.push(field(
                    Role::Dim,
                    format!("last {}", exactly(time, &state.zone)),
                    "",
                ));
            }
        }
        // What is pressed now is kept here until the run is known to its end.
        Link::CatchingUp { .. } => fields.push(field(Role::Dim, "⇅ waits", "")),
    }
    let live = attached.link == Link::Live;
    match state.questions().len() {
        0 => (),
        // The agent's own field says it.
        1 if live => (),
        1 => fields.push(field(Role::Warning, "? 1 question", "?1")),
        many => fields.push(field(
            Role::Warning,
            format!("? {many} questions"),
            format!("?{many}"),
        )),
    }
    fields.push(mirror(attached));
    fields.extend(followed(state));
    fields.extend(waiting(attached));
    if let Some(usage) = session.usage.filter(|usage| usage.size > 0) {
        let percent = usage.used.saturating_mul(100) / usage.size;
        let cost = usage
            .cost
            .map(|cost| format!(" {}", money(cost)))
            .unwrap_or_default();
        fields.push(field(
            Role::Dim,
            format!("ctx {percent}%{cost}"),
            format!("{percent}%"),
        ));
    }
    fields.extend(mode(state, session));
    if let Some(branch) = session
        .branch
        .as_ref()
        .or(attached.run.as_ref().and_then(|run| run.branch.as_ref()))
    {
        fields.push(field(Role::Dim, fit(&clean_line(branch), 30), ""));
    }
    fields.extend(others(attached));
    let run = attached.run.as_ref();
    let url = session.pr_url.as_deref().or_else(|| run?.pr_url());
    fields.extend(url.map(pull_request));
    fields
}

/// `PR #412`: by its number, when the address ends with one.
fn pull_request(url: &str) -> Field {
    let last = url.trim_end_matches('/').rsplit('/').next();
    let number = last.filter(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
    match number {
        Some(number) if number.len() < 10 => {
            field(Role::Link, format!("PR #{number}"), format!("PR{number}"))
        }
        Some(_) | None => field(Role::Link, "PR", "PR"),
    }
}

/// What connects now, if anything does: while writing, `r` is a letter.
pub(crate) fn retry_key(state: &State) -> String {
    let keys = &state.keymap;
    if state.focus == Focus::Browse {
        return keys.key_of(Context::Browse, Action::Retry);
    }
    match (
        keys.key_of(Context::Everywhere, Action::Leader),
        keys.key_of(Context::Leader, Action::Retry),
    ) {
        (leader, key) if !leader.is_empty() && !key.is_empty() => format!("{leader} {key}"),
        _ => String::new(),
    }
}

fn link(link: &Link, now: Instant, retry: &str) -> Field {
    match link {
        Link::Live => field(Role::Success, "● live", "●"),
        Link::CatchingUp { have, of: Some(of) } => {
            let percent = have.0.saturating_mul(100).checked_div(of.0).unwrap_or(100);
            let long = format!("◌ catching up {}/{}", grouped(have.0), grouped(of.0));
            field(Role::Accent, long, format!("◌{percent}%"))
        }
        Link::CatchingUp { of: None, .. } => field(Role::Accent, "◌ connecting", "◌"),
        Link::Reconnecting {
            due,
            attempt,
            reason,
            ..
        } => {
            let seconds = due.saturating_duration_since(now).as_secs_f64().ceil() as u64;
            let reason = fit(&clean_line(reason), 40);
            let retry = match retry {
                "" => String::new(),
                key => format!(" · {key} now"),
            };
            let long = format!("↻ reconnecting in {seconds} s (try {attempt}){retry} · {reason}");
            field(Role::Warning, long, format!("↻{seconds}s"))
        }
        Link::Offline { reason } => field(
            Role::Error,
            format!("✕ offline: {}", clean_line(reason)),
            "✕",
        ),
    }
}

/// As much of it as a head line has room for: the sign, and a word or a number.
pub(crate) fn link_in_brief(link: &Link, now: Instant) -> (Role, String) {
    let field = self::link(link, now, "");
    let text = match link {
        Link::Live => field.long,
        Link::CatchingUp { of: Some(_), .. } | Link::Reconnecting { .. } => field.short,
        Link::CatchingUp { of: None, .. } => field.long,
        Link::Offline { .. } => format!("{} offline", field.short),
    };
    (field.role, text)
}

/// `1204` as `1 204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn agent(state: &State, attached: &Attached) -> Field {
    let session = &attached.session;
    let status = attached
        .run
        .as_ref()
        .map(|run| &run.status)
        .filter(|status| status.is_terminal());
    match session.status.as_ref().or(status) {
        Some(Status::Completed) => return field(Role::Success, "✓ done", "✓"),
        Some(Status::Failed) => return field(Role::Error, "✕ failed", "✕"),
        Some(Status::Cancelled) => return field(Role::Dim, "■ stopped", "■"),
        Some(Status::NotStarted | Status::Queued | Status::InProgress | Status::Other(_))
        | None => (),
    }
    // A question of a turn that is to end waits for nobody.
    if let Some(age) = cancel::age(state) {
        let age = whole(age.as_secs_f64());
        let long = format!("◐ cancelling {age}");
        return field(Role::Warning, long, format!("◐ ends {age}"));
    }
    if !state.questions().is_empty() {
        return field(Role::Warning, "? waits for you", "?1");
    }
    let setting_up = session
        .steps
        .iter()
        .any(|step| step.status() == StepStatus::Started);
    match &session.turn {
        Turn::Working { .. } if silence(session, state.wall).is_some() => {
            let age = silence(session, state.wall).unwrap_or_default();
            field(
                Role::Warning,
                format!("◐ agent silent for {}", whole(age)),
                format!("◐ silent {}", whole(age)),
            )
        }
        Turn::Working { since, .. } => {
            let time = since
                .map(|since| whole(seconds(since, state.wall)))
                .unwrap_or_default();
            field(
                Role::Accent,
                format!("◐ working {time}"),
                format!("◐{time}"),
            )
        }
        Turn::Idle if setting_up => field(Role::Accent, "◐ setting up", "◐"),
        Turn::Idle if !session.queued.is_empty() => field(Role::Accent, "◐ starting", "◐"),
        Turn::Idle => field(Role::Dim, "○ idle", "○"),
    }
}

/// To the second: how old what is shown is.
fn exactly(time: Timestamp, zone: &jiff::tz::TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%T").to_string()
}

/// How long the agent has said nothing, in seconds, once that is worth a word.
fn silence(session: &Session, wall: Timestamp) -> Option<f64> {
    let age = seconds(session.silent_since()?, wall);
    (age >= LONG_SILENCE).then_some(age)
}

/// That nobody is asked is said whatever room there is.
fn approves(attached: &Attached) -> Option<Field> {
    approval::by_itself(attached).map(|_| field(Role::Warning, "AUTO", "A!").kept())
}

/// Mode and model: `accept-edits · opus`. A mode that was asked for stands beside the one that is on.
fn mode(state: &State, session: &Session) -> Option<Field> {
    let name = |choice: &Choice, value: &str| fit(&clean_line(choice.name_of(value)), 20);
    let of = |kind| session.choice(kind);
    let mode = of(Kind::Mode);
    let wish = state.ask.wish.as_ref();
    let wished = wish.filter(|wish| wish.kind == Kind::Mode);
    let mut told = Vec::new();
    if let Some(mode) = &mode {
        let now = name(mode, &mode.current);
        told.push(match wished {
            Some(wish) => format!("{now} → {}", name(mode, &wish.to)),
            None => now,
        });
    }
    told.extend(of(Kind::Model).map(|model| name(&model, &model.current)));
    let thinking = of(Kind::Thinking);
    told.extend(thinking.map(|level| format!("thinking {}", name(&level, &level.current))));
    let first = told.first()?;
    let short = mode.map_or_else(String::new, |_| fit(first, 8));
    Some(field(Role::Dim, told.join(" · "), short))
}

fn mirror(attached: &Attached) -> Field {
    let (role, sign, words) = files::mirror(attached);
    let mirror = &attached.mirror;
    let up = if mirror.up > 0 {
        format!(" ↑{}", mirror.up)
    } else {
        String::new()
    };
    let conflicts = mirror.conflicts.len() + mirror.held_count();
    let short = match conflicts {
        // That there is none needs no sign.
        0 if sign == "·" => String::new(),
        0 => sign.to_owned(),
        many => format!("!{many}"),
    };
    let edited = match mirror.up {
        0 => String::new(),
        many => format!(" · {many} edited here"),
    };
    let words = if sign == "·" {
        words
    } else {
        format!("{sign} {words}")
    };
    field(role, words + &edited, short + &up)
}

/// How somebody else who is attached is called.
pub(crate) fn name(client: &Client) -> String {
    let reads = if client.read_only { " (reads)" } else { "" };
    format!("{}{reads}", fit(&clean_line(&client.from), 24))
}

/// Who else is attached; a narrow line has no room for it.
fn others(attached: &Attached) -> Option<Field> {
    let words = match attached.others.as_slice() {
        [] => return None,
        [one] => format!("with {}", name(one)),
        [one, two] => format!("with {}, {}", name(one), name(two)),
        [one, rest @ ..] => format!("with {} and {} more", name(one), rest.len()),
    };
    let short = format!("+{}", attached.others.len());
    Some(field(Role::Dim, words, short))
}

/// What the agent touches, while it is followed.
fn followed(state: &State) -> Option<Field> {
    let place = &state.follow.as_ref()?.place;
    let Some((path, line)) = place else {
        return Some(field(Role::Accent, "▸ following", "▸"));
    };
    let told = clean_line(&place::told(&(path.clone(), *line)));
    let name = told.rsplit('/').next().unwrap_or(&told);
    let long = format!("▸ {}", fit_end(&told, 40));
    Some(field(Role::Accent, long, format!("▸{}", fit_end(name, 20))))
}

fn waiting(attached: &Attached) -> Option<Field> {
    let outbox = attached
        .outbox
        .iter()
        .filter(|outgoing| outgoing.state != Posting::Accepted)
        .count();
    let queued = attached.session.queued.len();
    let working = matches!(attached.session.turn, Turn::Working { .. });
    match (queued, outbox) {
        (_, 1..) => Some(field(
            Role::Warning,
            format!("outbox {outbox}"),
            format!("o{outbox}"),
        )),
        (1.., 0) if working => Some(field(
            Role::Dim,
            format!("queued {queued}"),
            format!("q{queued}"),
        )),
        _ => None,
    }
}

/// What shows the keys now.
fn help_key(state: &State) -> String {
    let key = |context, action| state.keymap.key_of(context, action);
    let browses = state.focus == Focus::Browse;
    match &state.scene {
        Scene::Picker(_) => key(Context::Picker, Action::Help),
        Scene::Run(_) if browses => key(Context::Browse, Action::Help),
        Scene::Run(_) | Scene::Composer(_) | Scene::Opening(_)
            if state.composer.is_empty() && !state.keymap.by_name =>
        {
            "?".to_owned()
        }
        Scene::Run(_) | Scene::Composer(_) | Scene::Opening(_) => {
            key(Context::Everywhere, Action::Help)
        }
    }
}

/// Where there is nothing yet: that, and what shows the keys. Beside the chat, which says it, there is no room for it.
pub(crate) fn nothing(state: &State, what: &str, columns: usize) -> String {
    let key = help_key(state);
    let long = format!("{what} · {key} shows the keys");
    let short = format!("{what} · {key} keys");
    match columns {
        ..38 => what.to_owned(),
        _ if key.is_empty() => what.to_owned(),
        _ if width(&long) <= columns => long,
        _ => short,
    }
}

fn way_out(state: &State) -> Field {
    let key = |context, action| state.keymap.key_of(context, action);
    let browses = state.focus == Focus::Browse;
    let help = help_key(state);
    let escape = || key(Context::Everywhere, Action::Escape);
    let leave = || key(Context::Everywhere, Action::Leave);
    let (key, word) = match &state.scene {
        _ if state.popup.is_some() => (escape(), "close"),
        Scene::Picker(_) => (key(Context::Picker, Action::Leave), "leave"),
        Scene::Run(_) if state.is_working() && browse::is_over(state) => (escape(), "back"),
        Scene::Run(_) if cancel::is_hard(state) => (escape(), "stop"),
        Scene::Run(_) if cancel::age(state).is_some() => {
            (queue::leader(state, Action::Stop), "stop")
        }
        Scene::Run(_) if state.is_working() && state.asking().is_none() => (escape(), "cancel"),
        Scene::Run(_) if browses => (key(Context::Browse, Action::Leave), "leave"),
        Scene::Run(_) | Scene::Composer(_) | Scene::Opening(_) if state.composer.is_empty() => {
            (leave(), "leave")
        }
        Scene::Run(_) | Scene::Composer(_) | Scene::Opening(_) => {
            (key(Context::Edit, Action::Submit), "send")
        }
    };
    // A key that was taken away is not offered.
    let long = [(key.as_str(), word), (help.as_str(), "keys")]
        .iter()
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, word)| format!("{key} {word}"))
        .collect::<Vec<_>>()
        .join("  ");
    let short = format!("{} {help}", key.replace("Ctrl+", "^"));
    field(Role::Dim, long, short.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::Seq;
    use crate::tui::theme::{Depth, Theme};

    fn shown(columns: usize) -> String {
        let paint = Paint::new(Theme::built_in("dark", Depth::None));
        let fields = vec![
            field(Role::Success, "● live", "●"),
            field(Role::Accent, "◐ working 12s", "◐12s"),
            field(Role::Dim, "ctx 41% $0.83", "41%"),
        ];
        let out = field(Role::Dim, "Esc cancel  ? keys", "Esc ?");
        arrange(fields, out, &paint, columns).to_string()
    }

    #[test]
    fn what_matters_least_goes_first() {
        let table = [
            (
                60,
                " ● live  ◐ working 12s  ctx 41% $0.83    Esc cancel  ? keys",
            ),
            (50, " ● live  ◐ working 12s  41%    Esc cancel  ? keys"),
            (42, " ● live  ◐12s  41%     Esc cancel  ? keys"),
            (26, " ● live  ◐12s  41%  Esc ?"),
            (20, " ● ◐12s 41%   Esc ?"),
            (12, " ●    Esc ?"),
        ];
        for (columns, line) in table {
            assert_eq!(shown(columns).trim_end(), line, "{columns}");
            assert!(width(&shown(columns)) <= columns, "{columns}");
        }
    }

    #[test]
    fn that_it_approves_by_itself_never_goes() {
        let paint = Paint::new(Theme::built_in("dark", Depth::None));
        let table = [
            (60, "● live AUTO ◐ working 12s 41% Esc cancel ? keys"),
            (30, "● live A! ◐12s 41% Esc ?"),
            (20, "● A! ◐12s Esc ?"),
            (12, "● A! Esc ?"),
        ];
        for (columns, line) in table {
            let fields = vec![
                field(Role::Success, "● live", "●"),
                field(Role::Warning, "AUTO", "A!").kept(),
                field(Role::Accent, "◐ working 12s", "◐12s"),
                field(Role::Dim, "ctx 41% $0.83", "41%"),
            ];
            let out = field(Role::Dim, "Esc cancel  ? keys", "Esc ?");
            let shown = arrange(fields, out, &paint, columns).to_string();
            let words: Vec<&str> = shown.split_whitespace().collect();
            assert_eq!(words.join(" "), line, "{columns}");
            assert!(width(&shown) <= columns, "{columns}");
        }
    }

    #[test]
    fn every_state_of_the_link_has_a_shape_of_its_own() {
        let now = tokio::time::Instant::now().into_std();
        let table = [
            (Link::Live, "● live"),
            (
                Link::CatchingUp {
                    have: Seq(1204),
                    of: Some(Seq(3980)),
                },
                "◌ catching up 1 204/3 980",
            ),
            (
                Link::CatchingUp {
                    have: Seq(0),
                    of: None,
                },
                "◌ connecting",
            ),
            (
                Link::Reconnecting {
                    due: now + std::time::Duration::from_millis(3500),
                    wait: std::time::Duration::from_secs(4),
                    attempt: 7,
                    reason: "timed out".into(),
                },
                "↻ reconnecting in 4 s (try 7) · r now · timed out",
            ),
            (
                Link::Offline {
                    reason: "token refused — ashore login".into(),
                },
                "✕ offline: token refused — ashore login",
            ),
        ];
        for (link, words) in table {
            assert_eq!(super::link(&link, now, "r").long, words);
        }
    }
}
