//! The first lines of a run's screen: what it is, and the tabs where there is room for one pane.
//!
//! Pure.

use ratatui::text::{Line, Span};

use crate::attach::state::Attached;
use crate::protocol::run::Run;
use crate::session::cells::Kind;
use crate::tui::state::{Pane, State, Tier};
use crate::tui::theme::Role;
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{clean_line, fit, fit_end, width};
use crate::tui::view::{plan, status};

/// No name is shown longer than this, in characters.
const NAME: usize = 300;
/// What a run is called that has no name yet.
pub(crate) const UNNAMED: &str = "new run";

/// ` fix flaky auth test · posthog/web                    run 7f3a  claude  ● live`
pub(crate) fn title(
    state: &State,
    attached: &Attached,
    paint: &Paint,
    columns: usize,
) -> Line<'static> {
    let name = name(attached);
    let mut right = Vec::new();
    if columns >= 50 {
        right.push(format!("run {}", attached.at.run.short()));
    }
    let agent = attached.run.as_ref().and_then(Run::agent);
    if let Some(agent) = agent.filter(|_| columns >= 80) {
        right.push(fit(&clean_line(&agent), 20));
    }
    if columns >= 80 {
        right.push(fit(&clean_line(&attached.endpoint), 20));
    }
    if attached.read_only {
        right.push("read-only".to_owned());
    }
    let right = right.join("  ");
    // In a side pane the status line has no room for words: here stands how the link is.
    let (link_role, link) = match state.tier() {
        Tier::Side => status::link_in_brief(&attached.link, state.now),
        Tier::Tiny | Tier::Tabs | Tier::Middle | Tier::Wide => (Role::Dim, String::new()),
    };
    let gap = if right.is_empty() || link.is_empty() {
        ""
    } else {
        "  "
    };
    let place = match columns {
        ..100 => String::new(),
        _ => format!(" · {}", fit_end(&clean_line(&state.welcome.directory), 40)),
    };
    let room = columns.saturating_sub(width(&right) + gap.len() + width(&link) + width(&place) + 4);
    let name = fit(&name, room);
    let space = room.saturating_sub(width(&name)) + 2;
    Line::from(vec![
        paint.span(Role::Heading, format!(" {name}")),
        paint.span(Role::Dim, place),
        Span::raw(" ".repeat(space)),
        paint.span(Role::Dim, right),
        Span::raw(gap),
        paint.span(link_role, link),
    ])
}

/// What the run is about: its title, else the first words that were said.
pub(crate) fn name(attached: &Attached) -> String {
    let session = &attached.session;
    let cells = &session.transcript.cells;
    let first = cells.labels().position(|label| label.kind == Kind::User);
    let first = first.and_then(|index| cells.get(index));
    let words = first.as_deref().and_then(|cell| cell.body.text());
    let name = session.title.as_deref().or(words).unwrap_or(UNNAMED);
    let line = name.trim().lines().next().unwrap_or("");
    // A line may be as long as a book.
    let end = line
        .char_indices()
        .nth(NAME)
        .map_or(line.len(), |(at, _)| at);
    clean_line(&line[..end])
}

pub(crate) fn tab_row(state: &State, paint: &Paint, columns: usize) -> Line<'static> {
    let with = |name: &str, count: String| {
        if count.is_empty() {
            name.to_owned()
        } else {
            format!("{name} {count}")
        }
    };
    let number = |count: usize| {
        if count == 0 {
            String::new()
        } else {
            count.to_string()
        }
    };
    let conflicts = state.attached().map_or(0, |attached| {
        attached.mirror.conflicts.len() + attached.mirror.held_count()
    });
    let files = state.session().map_or(0, |session| session.files.len());
    let mark = if conflicts > 0 { "!" } else { "" };
    let tabs = [
        (Pane::Chat, "chat".to_owned()),
        (Pane::Tools, with("tools", number(state.calls().len()))),
        (Pane::Files, with("files", number(files)) + mark),
        (Pane::Plan, with("plan", plan::count(state))),
    ];
    // Where the words do not fit their first letters do: `chat  t2  f1!  p3/5`.
    let long: usize = tabs.iter().map(|(_, text)| width(text) + 2).sum();
    let brief = 1 + long > columns;
    let mut spans = vec![Span::raw(" ")];
    for (pane, text) in tabs {
        let role = if pane == state.pane {
            Role::Selection
        } else {
            Role::Dim
        };
        let text = match text.split_once(' ') {
            Some((name, count)) if brief => format!("{}{count}", &name[..1]),
            Some(_) | None => text,
        };
        spans.push(paint.span(role, format!(" {text} ")));
    }
    Line::from(spans)
}
