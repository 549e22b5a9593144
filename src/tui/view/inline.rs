//! The one line that lives below what was printed: what the agent does, the draft, or what is to be chosen.
//!
//! Pure. It never takes the last column: no terminal is to break it.

use ratatui::text::{Line, Span};

use crate::attach::state::{Attached, Link};
use crate::session::state::{Session, Turn};
use crate::session::transcript::{Body, Cell};
use crate::tui::action::Action;
use crate::tui::keymap::Context;
use crate::tui::menu;
use crate::tui::on::first::deaf_until;
use crate::tui::on::{cancel, choose, copy, place};
use crate::tui::palette::{Palette, rows};
use crate::tui::review::Review;
use crate::tui::state::{Launching, Picker, Popup, Scene, State};
use crate::tui::theme::Role;
use crate::tui::update;
use crate::tui::view::cell::{Look, seconds, whole};
use crate::tui::view::ink::{Ink, Notes};
use crate::tui::view::paint::Paint;
use crate::tui::view::text::{Break, clean, clean_line, fit, fit_end, width, wrap};
use crate::tui::view::{asked, call, cell, composer, question, status, transcript};

/// Tool calls that are looked through for the one that runs.
const RECENT: usize = 16;

/// The line, cut where the cursor stands in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Live {
    pub(crate) before: Line<'static>,
    pub(crate) behind: Line<'static>,
}

/// What stands in the live line, before it is made to fit.
struct Wish {
    /// What goes on, or what is asked for.
    lead: Vec<Span<'static>>,
    /// What is being written, cut where the cursor is.
    written: (String, String),
    /// Behind it: what could be written, or what it leads to.
    hint: String,
}

pub(crate) fn live(state: &State, paint: &Paint, columns: usize) -> Live {
    let room = columns.saturating_sub(1);
    let wish = wish(state, paint, room);
    let mut before = Vec::new();
    let mut left = room;
    for span in wish.lead {
        let text = fit(&span.content, left);
        left -= width(&text);
        before.push(Span::styled(text, span.style));
    }
    let (head, tail) = wish.written;
    let behind = width(&tail).min(left / 4);
    let head = fit_end(&head, left - behind);
    left -= width(&head);
    let tail = fit(&tail, left);
    left -= width(&tail);
    before.push(paint.span(Role::Text, head));
    let hint = fit(&wish.hint, left);
    Live {
        before: Line::from(before),
        behind: Line::from(vec![
            paint.span(Role::Text, tail),
            paint.span(Role::Dim, hint),
        ]),
    }
}

/// Which match of how many, and the keys to the others.
fn found(state: &State) -> String {
    let (at, of) = (state.find.number().unwrap_or(0), state.find.count());
    if state.find.writing {
        return format!("{at} of {of}");
    }
    let key = |action| state.keymap.key_of(Context::Browse, action);
    let (next, before) = (key(Action::FindNext), key(Action::FindBefore));
    let back = state.keymap.key_of(Context::Everywhere, Action::Escape);
    format!("{at} of {of} · {next} next · {before} before · {back} back")
}

fn wish(state: &State, paint: &Paint, room: usize) -> Wish {
    let asks = |sign: &str, words: &str, hint: String| Wish {
        lead: vec![paint.span(Role::Accent, format!(" {sign} "))],
        written: (clean_line(words), String::new()),
        hint: match words {
            "" => hint,
            _ => format!("  {hint}"),
        },
    };
    if state.leader.is_some() {
        let key = state.keymap.key_of(Context::Everywhere, Action::Leader);
        return asks(&key, "", leads(state));
    }
    if let Some(popup) = &state.popup {
        return match popup {
            Popup::Palette(open) => asks(":", &open.words, offered(state, open)),
            Popup::Confirm(_) => {
                let key = |action| state.keymap.key_of(Context::Popup, action);
                let sign = format!("{}/{}", key(Action::Yes), key(Action::Escape));
                asks(&sign, "", String::new())
            }
            Popup::Choose { row } => asks("choose", "", chosen(state, *row)),
            Popup::Copy { chosen } => asks("copy", "", copied(state, *chosen)),
            Popup::Places { chosen } => {
                let places = place::places(state);
                let told = places.get(*chosen).map(crate::tui::place::told);
                asks("open", "", clean_line(&told.unwrap_or_default()))
            }
            Popup::Review(page) => asks(&reviews(state, page), "", String::new()),
            Popup::Help { .. } | Popup::Asked { .. } | Popup::Here { .. } => {
                asks("…", "", String::new())
            }
        };
    }
    if let Scene::Picker(picker) = &state.scene {
        return match picker.filtering {
            true => asks("filter", &picker.filter, run(picker)),
            false => asks(">", "", run(picker)),
        };
    }
    if let Some(search) = &state.writing.search {
        let history = state.composer.history();
        let prompt = search
            .found
            .get(search.chosen)
            .and_then(|at| history.get(*at));
        let at = (search.chosen + 1).min(search.found.len());
        let prompt = clean_line(prompt.map_or("", String::as_str));
        let hint = format!("{at} of {} · {prompt}", search.found.len());
        return asks("history", &search.needle, hint);
    }
    if state.find.is_open() {
        return asks("/", &state.find.words, found(state));
    }
    if state.answers_are_awake() && state.composer.is_empty() {
        let hint = question::hint(state, paint, room).to_string();
        return asks("?", "", hint.trim_start().to_owned());
    }
    draft(state, paint, room)
}

/// What decides on the page that was printed.
fn reviews(state: &State, page: &Review) -> String {
    let ways = match page {
        Review::First(_) if deaf_until(state).is_some() => return "…".to_owned(),
        Review::First(_) => &[Action::MirrorHere, Action::TranscriptOnly][..],
        Review::File(_) => &[Action::KeepChange],
        Review::Undo(_) => &[Action::UndoNow],
        Review::Conflict(_) => &[Action::KeepMine],
    };
    let context = update::page(state).unwrap_or(Context::Popup);
    let keys = ways.iter();
    let keys = keys.filter_map(|action| state.keymap.letter(context, *action));
    let mut keys: Vec<String> = keys.collect();
    keys.push("Esc".to_owned());
    keys.join("/")
}

fn draft(state: &State, paint: &Paint, room: usize) -> Wish {
    let mut lead = Vec::new();
    let empty = state.composer.is_empty();
    if let Some((role, words)) = doing(state, paint) {
        let share = if empty { room * 2 / 3 } else { room / 3 };
        lead.push(paint.span(role, format!(" {}", fit(&words, share))));
    }
    let files = state.writing.attachments.len();
    if files > 0 {
        lead.push(paint.span(Role::Dim, format!(" ▪{files}")));
    }
    lead.push(composer::sign(state, paint, Role::Accent));
    let hint = match (empty, completes(state)) {
        (true, _) => composer::placeholder(state),
        (false, Some(choice)) => format!("  {choice}"),
        (false, None) => menu::hint(state).unwrap_or_default(),
    };
    Wish {
        lead,
        written: flat(state),
        hint: clean_line(&hint),
    }
}

/// The draft in one line: where it breaks stands a sign.
fn flat(state: &State) -> (String, String) {
    let cursor = state.composer.cursor();
    let (mut before, mut behind) = (String::new(), String::new());
    for unit in state.composer.units() {
        let text = match unit.text {
            _ if unit.is_token => unit.label(),
            "\n" | "\r\n" => "⏎".to_owned(),
            text => clean(text),
        };
        if unit.at < cursor {
            before.push_str(&text);
        } else {
            behind.push_str(&text);
        }
    }
    (before, behind)
}

/// What the menu over the draft has chosen, and of how many.
fn completes(state: &State) -> Option<String> {
    let choices = menu::choices(state);
    let at = state.slash.min(choices.len().checked_sub(1)?);
    let one = &choices[at];
    let label = match one.label.as_str() {
        "" => String::new(),
        label => format!(" · {label}"),
    };
    let of = choices.len();
    Some(format!("{}/{of} {}{label}", at + 1, one.name))
}

fn offered(state: &State, open: &Palette) -> String {
    let rows = rows(state, &open.words);
    let at = open.chosen.min(rows.len().saturating_sub(1));
    match rows.get(at) {
        Some(row) => {
            let keys = row.keys.join(", ");
            format!("{}/{} {}  {keys}", at + 1, rows.len(), row.label)
        }
        None => "nothing fits".to_owned(),
    }
}

fn chosen(state: &State, row: usize) -> String {
    let choices = state.session().map(|session| session.choices());
    let choices = choices.unwrap_or_default();
    let rows = choose::rows(&choices);
    match rows.get(row) {
        Some((index, value)) => {
            let (_, name) = &choices[*index].values[*value];
            format!("{} {}", row + 1, clean_line(name))
        }
        None => String::new(),
    }
}

fn copied(state: &State, chosen: usize) -> String {
    let items = copy::items(state);
    let item = items.get(chosen.min(items.len().saturating_sub(1)));
    item.map_or_else(String::new, |item| {
        format!("{} {}  {}", item.key, item.name, clean_line(&item.begins))
    })
}

fn run(picker: &Picker) -> String {
    let shown = picker.shown();
    let at = picker.selected.min(shown.len().saturating_sub(1));
    match shown.get(at) {
        Some(row) => {
            let title = clean_line(&row.title);
            let of = shown.len();
            format!("{} of {of}: {} {title}", at + 1, row.at.run.short())
        }
        None => String::new(),
    }
}

/// The keys that may follow the leader.
fn leads(state: &State) -> String {
    let told = state.keymap.bindings.iter();
    let told = told.filter(|one| one.context == Context::Leader && !one.label.is_empty());
    let told = told.filter_map(|one| Some(format!("{} {}", one.keys.first()?, one.label)));
    told.collect::<Vec<_>>().join(" · ")
}

/// What goes on now: the link, the question, the call that runs.
fn doing(state: &State, paint: &Paint) -> Option<(Role, String)> {
    match &state.scene {
        Scene::Composer(Launching::Running { step, .. }) => {
            Some((Role::Accent, format!("◐ {}", clean_line(step))))
        }
        Scene::Opening(at) => Some((Role::Accent, format!("◐ opening {}", at.run.short()))),
        Scene::Run(attached) => working(state, attached, paint),
        Scene::Composer(_) | Scene::Picker(_) => None,
    }
}

fn working(state: &State, attached: &Attached, paint: &Paint) -> Option<(Role, String)> {
    if attached.link != Link::Live {
        return Some(status::link_in_brief(&attached.link, state.now));
    }
    let session = &attached.session;
    if let Some(age) = cancel::age(state) {
        return Some((
            Role::Warning,
            format!("◐ cancelling {}", whole(age.as_secs_f64())),
        ));
    }
    if !state.questions().is_empty() {
        return Some((Role::Warning, "? waits for you".to_owned()));
    }
    let Turn::Working { since, .. } = &session.turn else {
        let starts = !session.queued.is_empty() || !attached.outbox.is_empty();
        return starts.then(|| (Role::Accent, "◐ starting".to_owned()));
    };
    let age = since.map(|since| whole(seconds(since, state.wall)));
    let age = age.unwrap_or_default();
    Some((
        Role::Accent,
        now(state, session, paint).unwrap_or(format!("◐ working {age}")),
    ))
}

/// The newest call that is not over, else what the agent says.
fn now(state: &State, session: &Session, paint: &Paint) -> Option<String> {
    let cells = &session.transcript.cells;
    for index in session.calls().iter().rev().take(RECENT) {
        let Some(cell) = cells.get(*index) else {
            continue;
        };
        let Some(tool) = cell
            .body
            .tool()
            .filter(|tool| !tool.is_over() && !tool.abandoned)
        else {
            continue;
        };
        let time = call::tool_time(tool, true, state.wall).unwrap_or_default();
        let title = fit(&call::title(tool), 40);
        return Some(
            format!("◐ {} {title} {time}", tool.kind.as_str())
                .trim_end()
                .to_owned(),
        );
    }
    let last = cells.last()?;
    match &last.body {
        Body::Thought {
            open: true,
            ended: None,
            ..
        } => {
            let age = last.time.map(|time| whole(seconds(time, state.wall)));
            Some(format!("◐ thinking {}", age.unwrap_or_default()))
        }
        Body::Agent { text, open: true } => {
            let line = text.trim_end().lines().next_back()?;
            let calm = paint.ascii || state.citizen.habits.calm;
            Some(match calm {
                true => "◐ writing".to_owned(),
                false => format!("◐ {}", fit_end(&clean_line(line), 40)),
            })
        }
        _ => None,
    }
}

/// A cell as it is printed, and whether it waits for its colours.
pub(crate) fn cell(
    state: &State,
    attached: &Attached,
    index: usize,
    paint: &mut Paint,
    (columns, open): (usize, Option<bool>),
) -> (Vec<Line<'static>>, bool) {
    let cells = &attached.session.transcript.cells;
    let (Some(cell), Some(label)) = (cells.get(index), cells.label(index)) else {
        return (Vec::new(), false);
    };
    let unfold = format!("/fold {} prints all", index + 1);
    let ink = Ink::new(&state.colours);
    let look = Look {
        theme: &paint.theme,
        ink: &ink,
        columns,
        open: open.unwrap_or_else(|| state.folds.open(&label)),
        around: state.around,
        live: false,
        first: transcript::is_first(cells, index),
        running: false,
        wall: state.wall,
        unfold: &unfold,
        save: "/save",
        zone: &state.zone,
    };
    let lines = match cell::says(&cell, look) {
        true => cell::lines(&cell, look),
        false => Vec::new(),
    };
    let Notes { wanted, awaited } = ink.notes();
    paint.wanted.extend(wanted);
    (lines, !awaited.is_empty())
}

/// More words of the agent, below those that stand in print.
pub(crate) fn lines(
    state: &State,
    cell: &Cell,
    paint: &mut Paint,
    columns: usize,
) -> Vec<Line<'static>> {
    let ink = Ink::new(&state.colours);
    let look = Look {
        around: state.around,
        ..Look::page(&paint.theme, &ink, columns, state)
    };
    cell::lines(cell, look)
}

/// The agent's question with what will happen and every option.
pub(crate) fn question(state: &State, paint: &Paint, columns: usize) -> Vec<Line<'static>> {
    let Some(open) = state.asking() else {
        return Vec::new();
    };
    let mut lines = vec![Line::default()];
    let look = |role| paint.style(role);
    let head = question::head(state, open, &look, columns, usize::MAX);
    let brief = asked::brief(state, open, paint, columns, &head);
    lines.extend(head);
    lines.extend(brief);
    let apart = question::is_narrow(columns);
    lines.extend(question::options(state, open, &look, columns, apart));
    lines
}

/// A sentence of ours.
pub(crate) fn remark(paint: &Paint, role: Role, text: &str, columns: usize) -> Vec<Line<'static>> {
    let first = [paint.span(role, " · ")];
    let rest = [Span::raw("   ")];
    wrap(
        &[paint.span(role, clean_line(text))],
        &first,
        &rest,
        columns,
        Break::Words,
    )
}

/// Lines that were asked for.
pub(crate) fn told(paint: &Paint, text: &str, columns: usize) -> Vec<Line<'static>> {
    let indent = [Span::raw("   ")];
    wrap(
        &[paint.span(Role::Text, clean_line(text))],
        &indent,
        &indent,
        columns,
        Break::Words,
    )
}
