//! What is printed when: every finished cell once and in order, the question, and what has become otherwise beside them.
//!
//! Pure: compares the state with what has been printed of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ratatui::text::Line;

use crate::attach::state::{Attached, Link};
use crate::protocol::ids::{RunId, Seq};
use crate::session::cells::Kind;
use crate::session::state::{Session, Turn};
use crate::session::transcript::{Body, Cell};
use crate::tui::effect::Effect;
use crate::tui::event::Event;
use crate::tui::linear::take::{self, Taken};
use crate::tui::linear::tell::Teller;
use crate::tui::linear::{list, name};
use crate::tui::state::{Focus, Popup, Scene, State};
use crate::tui::theme::Role;
use crate::tui::update::{meant, update};
use crate::tui::view::inline;
use crate::tui::view::paint::Paint;

/// Longer a finished cell does not wait for its colours, and words outside of a turn for more of them.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has been printed.
#[derive(Debug, Default)]
pub struct Page {
    run: Option<RunId>,
    cells: Cells,
    /// How far other runs have been, which may be come back to.
    others: BTreeMap<RunId, Cells>,
    /// The question that stands in print.
    question: Option<String>,
    /// The cell that was gone to last.
    selected: Option<usize>,
    /// What the list of runs held.
    runs: String,
    /// What was asked for by name, to be printed next.
    asked: Vec<String>,
    /// Cells that were asked for, to be printed in full.
    read: Vec<usize>,
    teller: Teller,
}

/// How far the transcript has been printed.
#[derive(Debug, Default)]
struct Cells {
    began: bool,
    /// The first that has not been printed.
    next: usize,
    /// The one before it.
    last: Option<(Seq, Kind)>,
    /// The last print had more than one line.
    tall: bool,
    /// The one that waits for its colours, or for more, by its length; since when.
    held: Option<(usize, usize, Instant)>,
    /// The one that did when last something was printed.
    was_held: Option<(usize, usize, Instant)>,
    /// Bytes of the last one, if it may get longer still.
    said: Option<usize>,
}

impl Page {
    /// One event, as `update` has it; what a picture would show is printed in its place.
    pub fn step(&mut self, state: &mut State, event: Event) -> Vec<Effect> {
        let effects = match event {
            Event::Key(key) => match self.named(state, key) {
                Some(effects) => effects,
                None => update(state, Event::Key(key)),
            },
            other => update(state, other),
        };
        self.settle(state);
        state.changed |= self.due().is_some_and(|due| due <= state.now);
        effects
    }

    /// What is to be printed now, in lines of the screen.
    pub fn turn(&mut self, state: &State, paint: &mut Paint) -> Vec<Line<'static>> {
        let columns = usize::from(state.size.0).max(10);
        self.cells.was_held = self.cells.held.take();
        let mut lines = Vec::new();
        for text in std::mem::take(&mut self.asked) {
            lines.extend(inline::told(paint, &text, columns));
        }
        for text in self.teller.beside(state) {
            lines.extend(inline::remark(paint, role(&text), &text, columns));
        }
        match &state.scene {
            Scene::Run(attached) => self.run(state, attached, paint, (columns, &mut lines)),
            Scene::Picker(picker) => {
                self.put_aside();
                let mark = format!("{:?} {} {:?}", picker.rows, picker.filter, picker.failed);
                if self.runs != mark && !picker.filtering {
                    self.runs = mark;
                    for text in list::runs(state, picker) {
                        lines.extend(inline::told(paint, &text, columns));
                    }
                }
            }
            Scene::Composer(_) | Scene::Opening(_) => self.put_aside(),
        }
        lines
    }

    fn run(
        &mut self,
        state: &State,
        attached: &Attached,
        paint: &mut Paint,
        (columns, lines): (usize, &mut Vec<Line<'static>>),
    ) {
        if self.run.as_ref() != Some(&attached.at.run) {
            self.put_aside();
            self.cells = self.others.remove(&attached.at.run).unwrap_or_default();
            self.run = Some(attached.at.run.clone());
            (self.question, self.selected) = (None, None);
            self.runs.clear();
        }
        if !self.cells.began && matches!(attached.link, Link::CatchingUp { .. }) {
            return;
        }
        self.begin(&attached.session, paint, (columns, lines));
        self.transcript(state, attached, paint, (columns, lines));
        self.gone_to(state, attached, paint, (columns, lines));
        let asking = state.asking().map(|open| open.request.clone());
        if asking != self.question {
            lines.extend(inline::question(state, paint, columns));
            self.question = asking;
        }
    }

    /// Another run, or none, is looked at.
    fn put_aside(&mut self) {
        let cells = std::mem::take(&mut self.cells);
        if let Some(run) = self.run.take() {
            self.others.insert(run, cells);
        }
    }

    /// Of what was said before only the last turn is printed.
    fn begin(
        &mut self,
        session: &Session,
        paint: &Paint,
        (columns, lines): (usize, &mut Vec<Line<'static>>),
    ) {
        if self.cells.began {
            return;
        }
        let cells = &session.transcript.cells;
        let from = cells.labels().rposition(|label| label.kind == Kind::User);
        let from = from.unwrap_or(0);
        if from > 0 {
            let words = format!("{from} earlier messages and calls; /top prints the first");
            lines.extend(inline::remark(paint, Role::Dim, &words, columns));
        }
        self.cells.began = true;
        self.cells.next = from;
        let before = from.checked_sub(1).and_then(|index| cells.label(index));
        self.cells.last = before.map(|label| (label.seq, label.kind));
    }

    fn transcript(
        &mut self,
        state: &State,
        attached: &Attached,
        paint: &mut Paint,
        (columns, lines): (usize, &mut Vec<Line<'static>>),
    ) {
        let session = &attached.session;
        self.find(session);
        self.more(state, attached, paint, (columns, lines));
        while let Some(cell) = session.transcript.cells.get(self.cells.next) {
            let index = self.cells.next;
            let last = index + 1 == session.transcript.cells.len();
            match phase(&cell, session) {
                Phase::Open => return,
                Phase::Loose(long) if last && self.waits((index, long), state.now) => return,
                Phase::Loose(_) | Phase::Over => (),
            }
            let (cell_lines, waits) = inline::cell(state, attached, index, paint, (columns, None));
            if waits && self.waits((index, usize::MAX), state.now) {
                return;
            }
            let kind = session
                .transcript
                .cells
                .label(index)
                .map(|label| label.kind);
            let kind = kind.unwrap_or(Kind::Notice);
            if !cell_lines.is_empty() {
                if self.has_gap(kind) {
                    lines.push(Line::default());
                }
                self.cells.tall = cell_lines.len() > 1;
                lines.extend(cell_lines);
            }
            self.cells.said = match phase(&cell, session) {
                Phase::Loose(long) => Some(long),
                Phase::Open | Phase::Over => None,
            };
            self.cells.last = Some((cell.seq, kind));
            self.cells.next = index + 1;
        }
    }

    /// More words of a cell that was taken for finished.
    fn more(
        &mut self,
        state: &State,
        attached: &Attached,
        paint: &mut Paint,
        (columns, lines): (usize, &mut Vec<Line<'static>>),
    ) {
        let cells = &attached.session.transcript.cells;
        let index = self.cells.next.checked_sub(1);
        let cell = index.and_then(|index| cells.get(index));
        let (Some(index), Some(cell), Some(said)) = (index, cell, self.cells.said) else {
            return;
        };
        let Body::Agent { text, open } = &cell.body else {
            return;
        };
        let is_last = index + 1 == cells.len();
        let Some(more) = text.get(said..).filter(|more| !more.is_empty()) else {
            return;
        };
        if *open && is_last && self.waits((index, text.len()), state.now) {
            return;
        }
        self.cells.said = open.then_some(text.len());
        let body = Body::Agent {
            text: more.to_owned(),
            open: false,
        };
        let rest = Cell {
            body,
            ..Cell::clone(&cell)
        };
        lines.extend(inline::lines(state, &rest, paint, columns));
    }

    /// When something is printed although nothing happens.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.cells.held.map(|(.., since)| since + PATIENCE)
    }

    /// Where the next one stands now: earlier ones may have come before it.
    fn find(&mut self, session: &Session) {
        let cells = &session.transcript.cells;
        let Some((last, _)) = self.cells.last else {
            return;
        };
        let before = self
            .cells
            .next
            .checked_sub(1)
            .and_then(|index| cells.label(index));
        if before.is_none_or(|label| label.seq != last) {
            self.cells.next = cells.up_to(last);
        }
    }

    fn waits(&mut self, (index, long): (usize, usize), now: Instant) -> bool {
        let since = match self.cells.was_held {
            Some((held, was, since)) if (held, was) == (index, long) => since,
            _ => now,
        };
        let waits = now.saturating_duration_since(since) < PATIENCE;
        self.cells.held = waits.then_some((index, long, since));
        waits
    }

    /// Calls and notices of one line stand close together, all else apart.
    fn has_gap(&self, kind: Kind) -> bool {
        let close = |kind: Kind| match kind {
            Kind::Tool | Kind::Notice | Kind::Attachment | Kind::Thought => true,
            Kind::User | Kind::Agent | Kind::TurnEnd => false,
        };
        let last = self.cells.last.map(|(_, kind)| kind);
        self.cells.tall || !(last.is_none_or(close) && close(kind))
    }

    /// The cell that was gone to is printed in full, and those that were asked for.
    fn gone_to(
        &mut self,
        state: &State,
        attached: &Attached,
        paint: &mut Paint,
        (columns, lines): (usize, &mut Vec<Line<'static>>),
    ) {
        if self.selected != state.selected && !state.find.is_open() {
            self.selected = state.selected;
            let index = state.selected.and_then(|item| item.checked_sub(1));
            self.read.extend(index);
        }
        for index in std::mem::take(&mut self.read) {
            let of = attached.session.transcript.cells.len();
            let words = format!("{} of {of}", index + 1);
            lines.extend(inline::remark(paint, Role::Dim, &words, columns));
            let (cell, _) = inline::cell(state, attached, index, paint, (columns, Some(true)));
            lines.extend(cell);
            self.cells.tall = true;
        }
    }

    /// What a key or a written name leads to, where a picture would show it; `None` leaves the key to `update`.
    fn named(&mut self, state: &mut State, key: crate::tui::keymap::Key) -> Option<Vec<Effect>> {
        if let Some(action) = name::chosen_in_palette(state, key) {
            state.popup = None;
            let taken = take::perform(state, &mut self.teller, action, "");
            return Some(self.taken(state, taken));
        }
        let action = meant(state, key)?;
        if let Some(line) = name::written_name(state, action) {
            state.composer.take();
            state.unsaved = true;
            state.writing.mention = None;
            let taken = match line.as_str() {
                "/help" | "/keys" => Taken::lines(name::keys(state)),
                _ => take::by_name(state, &mut self.teller, &line),
            };
            return Some(self.taken(state, taken));
        }
        if !name::is_told(state, action) {
            return None;
        }
        state.leader = None;
        let taken = take::perform(state, &mut self.teller, action, "");
        Some(self.taken(state, taken))
    }

    fn taken(&mut self, state: &mut State, taken: Taken) -> Vec<Effect> {
        state.changed = true;
        if taken.cells.is_empty() {
            self.asked.extend(taken.lines);
        } else {
            self.selected = state.selected;
            self.read.extend(taken.cells);
        }
        taken.effects
    }

    /// What is a page on the picture is printed; letters write, but while something is looked for.
    fn settle(&mut self, state: &mut State) {
        match state.popup {
            Some(Popup::Help { .. }) => {
                self.asked.extend(name::keys(state));
                state.popup = None;
            }
            Some(Popup::Asked { .. }) => {
                self.asked.extend(take::details(state).lines);
                state.popup = None;
            }
            Some(Popup::Here { .. }) => state.popup = None,
            Some(
                Popup::Confirm(_)
                | Popup::Choose { .. }
                | Popup::Palette(_)
                | Popup::Copy { .. }
                | Popup::Places { .. }
                | Popup::Review(_),
            )
            | None => (),
        }
        state.question.details = false;
        if !state.find.is_open() {
            state.focus = Focus::Edit;
        }
    }
}

/// Whether anything more is to come of a cell.
enum Phase {
    Open,
    /// Nobody says when it ends. It has so many bytes.
    Loose(usize),
    Over,
}

/// What belongs to a turn that is over has ended with it.
fn phase(cell: &Cell, session: &Session) -> Phase {
    let working = matches!(session.turn, Turn::Working { .. }) && cell.turn >= session.turns;
    match &cell.body {
        Body::Agent { open: true, text } if !working => Phase::Loose(text.len()),
        Body::Agent { open: true, .. } => Phase::Open,
        Body::Thought {
            open: true,
            ended: None,
            ..
        } if working => Phase::Open,
        Body::Tool(tool) if working && !tool.is_over() && !tool.abandoned => Phase::Open,
        Body::User { .. }
        | Body::Agent { .. }
        | Body::Thought { .. }
        | Body::Tool(_)
        | Body::Attachment(_)
        | Body::Notice(_)
        | Body::TurnEnd { .. } => Phase::Over,
    }
}

fn role(text: &str) -> Role {
    let grave = [
        "warning",
        "error",
        "file in conflict",
        "not taken",
        "confirm",
    ];
    match grave.iter().any(|word| text.starts_with(word)) {
        true => Role::Warning,
        false => Role::Dim,
    }
}
