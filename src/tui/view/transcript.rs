//! The transcript as a virtual list: only what is visible is laid out.
//!
//! Pure. Item 0 is the setting up, then the cells, then what has not reached the journal yet.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::attach::queue::{Stage, words};
use crate::attach::state::{Attached, Outgoing, Posting};
use crate::protocol::acp::ToolKind;
use crate::protocol::command::What;
use crate::protocol::entry::StepStatus;
use crate::protocol::ids::Seq;
use crate::session::cells::{Cells, Kind, Label};
use crate::session::state::{QueuedPrompt, Session, StepState, Turn};
use crate::session::transcript::Body;
use crate::tui::action::Action;
use crate::tui::event::{Drawn, Place};
use crate::tui::keymap::Context;
use crate::tui::state::{Focus, Scroll, State};
use crate::tui::theme::Role;
use crate::tui::view::cell::{self, Look};
use crate::tui::view::find::{self, Mark};
use crate::tui::view::ink::{Ink, Notes};
use crate::tui::view::markdown::Markdown;
use crate::tui::view::paint::{Kept, Key, Paint};
use crate::tui::view::text::{Break, clean, clean_line, fit, wrap};
use crate::tui::view::{raw, status};

/// The transcript, or a line that says what could be here.
pub(crate) fn draw_or_hint(
    state: &State,
    attached: &Attached,
    paint: &mut Paint,
    area: Rect,
    buffer: &mut Buffer,
) {
    let session = &attached.session;
    let empty = session.transcript.cells.is_empty() && session.queued.is_empty();
    if empty && session.steps.is_empty() && attached.outbox.is_empty() {
        let columns = usize::from(area.width);
        let text = status::nothing(state, " nothing has been said yet", columns);
        Line::from(paint.span(Role::Dim, fit(&text, columns))).render(area, buffer);
    } else if area.height > 0 {
        draw(state, attached, paint, area, buffer);
    }
}

/// Draws the transcript and notes in `paint` what of it is visible.
fn draw(state: &State, attached: &Attached, paint: &mut Paint, area: Rect, buffer: &mut Buffer) {
    let mut list = List {
        state,
        attached,
        paint,
        columns: usize::from(area.width),
        away: away(state, &attached.session),
    };
    list.paint.make_room(&attached.at.run);
    let rows = usize::from(area.height);
    let top = match state.scroll {
        Scroll::Follow => list.end(rows),
        Scroll::At(place) => list.walk(place, rows),
        Scroll::Match => list.at_match(rows),
    };
    let mut item = top.item;
    let mut line = usize::try_from(top.line).unwrap_or(0);
    let mut bottom = top;
    let mut row = 0;
    let mut shown = Vec::new();
    while row < rows && item < list.len() {
        let selected = state.focus == Focus::Browse && state.selected == Some(item);
        let mark = list.paint.span(Role::Accent, "▎");
        let lines = list.lines(item);
        while line < lines.len() && row < rows {
            let y = area.y + u16::try_from(row).unwrap_or(0);
            (&lines[line]).render(
                Rect {
                    y,
                    height: 1,
                    ..area
                },
                buffer,
            );
            // Raw text begins in the first column.
            if selected && !state.raw && (lines[line].width() > 0) {
                buffer.set_span(area.x, y, &mark, 1);
            }
            shown.push((item, line));
            bottom = Place {
                item,
                line: i64::try_from(line).unwrap_or(0),
            };
            line += 1;
            row += 1;
        }
        if line >= lines.len() {
            item += 1;
            line = 0;
        }
    }
    if state.find.pattern.is_some() {
        list.mark(&shown, area, buffer);
    }
    let at_end = (item..list.len())
        .all(|rest| list.lines(rest).len() <= if rest == item { line } else { 0 });
    list.paint.drawn = Some(Drawn {
        top,
        bottom,
        at_end,
        rows: area.height,
    });
}

struct List<'a> {
    state: &'a State,
    attached: &'a Attached,
    paint: &'a mut Paint,
    columns: usize,
    /// What came while nobody looked: the item it stands before, and its words.
    away: Option<(usize, String)>,
}

impl List<'_> {
    fn cells(&self) -> &Cells {
        &self.attached.session.transcript.cells
    }

    fn len(&self) -> usize {
        1 + self.cells().len() + self.waiting().len() + self.attached.outbox.len()
    }

    /// Prompts that stand in the journal and wait for the agent to begin. While it works, the line over the draft
    /// shows them.
    fn waiting(&self) -> &[QueuedPrompt] {
        let session = &self.attached.session;
        match session.turn {
            Turn::Idle => &session.queued,
            Turn::Working { .. } => &[],
        }
    }

    fn outgoing(&self, index: usize) -> Option<&Outgoing> {
        let before = self.cells().len() + self.waiting().len();
        self.attached.outbox.get(index.checked_sub(before)?)
    }

    fn queued(&self, index: usize) -> Option<&QueuedPrompt> {
        self.waiting().get(index.checked_sub(self.cells().len())?)
    }

    /// Where to begin so that the last line stands in the last row.
    fn end(&mut self, rows: usize) -> Place {
        let mut left = rows;
        for item in (0..self.len()).rev() {
            let lines = self.lines(item).len();
            if lines >= left {
                return Place {
                    item,
                    line: i64::try_from(lines - left).unwrap_or(0),
                };
            }
            left -= lines;
        }
        Place::default()
    }

    /// Where a wish really is: lines outside their item belong to its neighbours, and the end stays at the bottom.
    fn walk(&mut self, wish: Place, rows: usize) -> Place {
        let last = self.len() - 1;
        let mut place = Place {
            item: wish.item.min(last),
            ..wish
        };
        while place.line < 0 && place.item > 0 {
            place.item -= 1;
            place.line += self.height(place.item);
        }
        place.line = place.line.max(0);
        while place.item < last && place.line >= self.height(place.item) {
            place.line -= self.height(place.item);
            place.item += 1;
        }
        let end = self.end(rows);
        if (place.item, place.line) > (end.item, end.line) {
            end
        } else {
            place
        }
    }

    /// Where the match that is looked at can be seen: where we are, or else a third down.
    fn at_match(&mut self, rows: usize) -> Place {
        let top = self.walk(self.state.drawn.top, rows);
        let Some(here) = self.state.find.here else {
            return top;
        };
        let item = here.cell + 1;
        let marks = self.marks(item);
        let mark = marks.iter().find(|mark| mark.nth >= here.nth);
        // What a call does not show in full has more matches than marks.
        let line = mark.or(marks.last()).map_or(0, |mark| mark.line);
        let mut below = i64::try_from(line).unwrap_or(0);
        let third = i64::try_from(rows / 3).unwrap_or(0);
        let wish = Place {
            item,
            line: below - third,
        };
        if (item, below) < (top.item, top.line) {
            return self.walk(wish, rows);
        }
        below -= top.line;
        for between in top.item..item {
            below += self.height(between);
            if below >= i64::try_from(rows).unwrap_or(0) {
                return self.walk(wish, rows);
            }
        }
        if below < i64::try_from(rows).unwrap_or(0) {
            top
        } else {
            self.walk(wish, rows)
        }
    }

    /// Where the words that are looked for stand in the lines of a cell.
    fn marks(&mut self, item: usize) -> &[Mark] {
        let (state, attached) = (self.state, self.attached);
        let Some((pattern, index)) = state.find.pattern.as_ref().zip(item.checked_sub(1)) else {
            return &[];
        };
        let Some(label) = attached.session.transcript.cells.label(index) else {
            return &[];
        };
        self.lines(item);
        let away = self.away_words(item).is_some();
        let head = usize::from(away) + usize::from(self.has_gap(index)) + self.head(&label, index);
        let Some(kept) = self.paint.cells.get_mut(&item) else {
            return &[];
        };
        let stamp = state.find.stamp;
        if kept.marks.as_ref().is_none_or(|(of, _)| *of != stamp) {
            kept.marks = Some((stamp, find::marks(pattern, &kept.lines, head)));
        }
        kept.marks.as_ref().map_or(&[], |(_, marks)| marks)
    }

    /// Lines of ours over what was said.
    fn head(&self, label: &Label, index: usize) -> usize {
        match label.kind {
            _ if self.state.raw => 0,
            Kind::User | Kind::Thought | Kind::TurnEnd => 1,
            Kind::Agent => usize::from(is_first(self.cells(), index)),
            Kind::Tool | Kind::Attachment | Kind::Notice => 0,
        }
    }

    /// Marks what is looked for in the lines of the screen, given from the top down.
    fn mark(&mut self, shown: &[(usize, usize)], area: Rect, buffer: &mut Buffer) {
        let here = self.state.find.here;
        let styles = [Role::Match, Role::Here].map(|role| self.paint.style(role));
        for (y, (item, line)) in (area.y..).zip(shown) {
            let marks = self.marks(*item);
            let first = marks.partition_point(|mark| mark.line < *line);
            for mark in marks[first..].iter().take_while(|mark| mark.line == *line) {
                let looked_at =
                    here.is_some_and(|here| here.cell + 1 == *item && here.nth == mark.nth);
                let place = Rect {
                    x: area.x.saturating_add(mark.column),
                    y,
                    width: mark.columns,
                    height: 1,
                };
                buffer.set_style(place.intersection(area), styles[usize::from(looked_at)]);
            }
        }
    }

    fn height(&mut self, item: usize) -> i64 {
        i64::try_from(self.lines(item).len()).unwrap_or(i64::MAX)
    }

    fn lines(&mut self, item: usize) -> &[Line<'static>] {
        let key = self.key(item);
        let mut kept = self.paint.cells.remove(&item).unwrap_or_default();
        let colours = &self.state.colours;
        let coloured = kept.awaited.iter().any(|name| colours.is_found(*name));
        if kept.key.as_ref() != Some(&key) || coloured {
            if kept.key.as_ref().is_none_or(|old| old.seq != key.seq) {
                kept = Kept::default();
            }
            let links = self.paint.links.clone();
            let ink = Ink::new(colours).with_links(links.as_ref());
            self.make(item, &key, &ink, &mut kept);
            let Notes { wanted, awaited } = ink.notes();
            self.paint.wanted.extend(wanted);
            kept.awaited = awaited;
            kept.marks = None;
            kept.key = Some(key);
        }
        &self.paint.cells.entry(item).or_insert(kept).lines
    }

    fn key(&self, item: usize) -> Key {
        let session = &self.attached.session;
        let working = matches!(session.turn, Turn::Working { .. });
        let second = self.state.wall.as_second();
        let folds = &self.state.folds;
        match item.checked_sub(1) {
            None => Key {
                seq: 0,
                revision: digest(&session.steps),
                columns: self.columns,
                open: folds.all || folds.flipped.contains(&Seq::ZERO),
                gap: false,
                mark: 0,
                raw: self.state.raw,
                around: self.state.around,
                second: if session.steps.iter().any(|step| step.ended.is_none()) {
                    second
                } else {
                    0
                },
            },
            Some(index) => match session.transcript.cells.label(index) {
                Some(label) => Key {
                    seq: label.seq.0,
                    revision: u64::from(label.revision) * 2 + u64::from(working),
                    columns: self.columns,
                    open: folds.open(&label),
                    gap: self.has_gap(index),
                    mark: self.away_words(item).map_or(0, digest),
                    raw: self.state.raw,
                    around: self.state.around,
                    second: if working && self.elapses(index) {
                        second
                    } else {
                        i64::from(self.is_running(&label))
                    },
                },
                None => Key {
                    seq: u64::MAX,
                    revision: digest(&(self.queued(index), self.outgoing(index))),
                    columns: self.columns,
                    open: true,
                    gap: true,
                    mark: 0,
                    raw: self.state.raw,
                    around: self.state.around,
                    second: 0,
                },
            },
        }
    }

    /// What it shows grows with the time.
    fn elapses(&self, index: usize) -> bool {
        let cell = self.cells().get(index);
        cell.is_some_and(|cell| cell::elapses(&cell.body))
    }

    /// The message of the turn that is running.
    fn is_running(&self, label: &Label) -> bool {
        let session = &self.attached.session;
        let working = matches!(session.turn, Turn::Working { .. });
        working && label.turn == session.turns && label.kind == Kind::User
    }

    /// The words of the mark before this item.
    fn away_words(&self, item: usize) -> Option<&String> {
        let (before, words) = self.away.as_ref()?;
        (*before == item).then_some(words)
    }

    /// Tool calls and notices of one line stand close together, all else apart.
    fn has_gap(&self, index: usize) -> bool {
        let cells = self.cells();
        let labels = index
            .checked_sub(1)
            .and_then(|before| Some((before, cells.label(before)?, cells.label(index)?)));
        let Some((before, above, label)) = labels else {
            return !self.attached.session.steps.is_empty();
        };
        let close = |kind: Kind| match kind {
            Kind::Tool | Kind::Notice | Kind::Attachment | Kind::Thought => true,
            Kind::User | Kind::Agent | Kind::TurnEnd => false,
        };
        self.state.raw
            || !(close(above.kind) && close(label.kind))
            || self.state.folds.open(&above)
            || cells
                .get(before)
                .is_some_and(|cell| has_body(&cell.body, self.columns))
    }

    /// How anything but a cell is drawn.
    fn look<'b>(
        &'b self,
        open: bool,
        ink: &'b Ink<'b>,
        (unfold, save): (&'b str, &'b str),
    ) -> Look<'b> {
        Look {
            theme: &self.paint.theme,
            ink,
            columns: self.columns,
            open,
            around: self.state.around,
            live: matches!(self.attached.session.turn, Turn::Working { .. }),
            first: false,
            running: false,
            wall: self.state.wall,
            unfold,
            save,
            zone: &self.state.zone,
        }
    }

    fn make(&self, item: usize, key: &Key, ink: &Ink, kept: &mut Kept) {
        let session = &self.attached.session;
        let keymap = &self.state.keymap;
        let unfold = keymap.key_of(Context::Everywhere, Action::ExpandAll);
        let save = keymap.key_of(Context::Browse, Action::Save);
        let look = self.look(key.open, ink, (&unfold, &save));
        let cells = &session.transcript.cells;
        let mark = self.away_words(item).map(|words| cell::rule(words, look));
        let mut lines = match item.checked_sub(1) {
            None => steps(session, look, self.paint),
            Some(index) => match cells.get(index) {
                Some(cell) => {
                    let look = Look {
                        first: is_first(cells, index),
                        running: self.is_running(&Label::of(&cell)),
                        ..look
                    };
                    match &cell.body {
                        _ if self.state.raw => raw::lines(&cell, look),
                        // What grows is not made anew.
                        Body::Agent { .. } => {
                            let Kept {
                                markdown, lines, ..
                            } = kept;
                            let mut above: Vec<Line> = Vec::from_iter(mark);
                            above.extend((key.gap && cell::says(&cell, look)).then(Line::default));
                            return cell::agent(&cell, look, above, markdown, lines);
                        }
                        Body::User { .. }
                        | Body::Thought { .. }
                        | Body::Tool(_)
                        | Body::Attachment(_)
                        | Body::Notice(_)
                        | Body::TurnEnd { .. } => cell::lines(&cell, look),
                    }
                }
                None => match (self.queued(index), self.outgoing(index)) {
                    (Some(prompt), _) => {
                        unsent(&prompt.text, Role::Dim, "accepted", look, self.paint)
                    }
                    (None, Some(waiting)) => outgoing(waiting, look, self.paint),
                    (None, None) => Vec::new(),
                },
            },
        };
        if key.gap && !lines.is_empty() {
            lines.insert(0, Line::default());
        }
        if let Some(mark) = mark {
            lines.insert(0, mark);
        }
        kept.markdown = Markdown::default();
        kept.lines = lines;
    }
}

/// Where the mark of what came while nobody looked stands, and its words with the key that leads to it.
fn away(state: &State, session: &Session) -> Option<(usize, String)> {
    let mark = state.away.mark.as_ref()?;
    let key = match state.keymap.key_of(Context::Browse, Action::Away) {
        key if key.is_empty() => key,
        key => format!(" · {key}"),
    };
    Some((mark.cell(session)? + 1, format!("{}{key}", mark.words)))
}

/// A folded call that shows some of its body needs air behind it.
fn has_body(body: &Body, columns: usize) -> bool {
    body.tool().is_some_and(|tool| {
        let shows = matches!(tool.kind, ToolKind::Execute | ToolKind::Edit);
        shows && columns >= 50 && !(tool.content.is_empty() && tool.raw_output.is_none())
    })
}

/// The agent's first message of its turn.
pub(crate) fn is_first(cells: &Cells, index: usize) -> bool {
    let turn = cells.label(index).map(|label| label.turn);
    !cells
        .labels()
        .take(index)
        .rev()
        .take_while(|label| Some(label.turn) == turn && label.kind != Kind::User)
        .any(|label| label.kind == Kind::Agent)
}

fn digest(value: &impl std::fmt::Debug) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    format!("{value:?}").hash(&mut hasher);
    hasher.finish()
}

/// The setting up: every step while it goes on or has failed, one line when it is over.
fn steps(session: &Session, look: Look, paint: &Paint) -> Vec<Line<'static>> {
    let steps = &session.steps;
    let Some(first) = steps.first() else {
        return Vec::new();
    };
    let over = steps.iter().all(|step| step.status() == StepStatus::Done);
    let until = steps
        .iter()
        .filter_map(|step| step.ended)
        .max()
        .unwrap_or(look.wall);
    let until = if over { until } else { look.wall };
    let took = first
        .started
        .map(|from| cell::whole(cell::seconds(from, until).max(1.0)))
        .unwrap_or_default();
    let failed = steps.iter().any(|step| step.status() == StepStatus::Failed);
    let (role, sign, words) = match (over, failed) {
        (true, _) => (Role::Dim, if look.open { "▾" } else { "▸" }, "set up in"),
        (false, true) => (Role::Error, "✕", "setting up failed"),
        (false, false) => (Role::Accent, "◐", "setting up"),
    };
    let time = if failed {
        String::new()
    } else {
        format!(" {took}")
    };
    let mut lines = vec![Line::from(
        paint.span(role, format!(" {sign} {words}{time}")),
    )];
    if !over || look.open {
        for step in steps {
            lines.extend(step_lines(step, look, paint));
        }
    }
    lines
}

fn step_lines(step: &StepState, look: Look, paint: &Paint) -> Vec<Line<'static>> {
    let (role, sign) = match step.status() {
        StepStatus::Done => (Role::Success, "✓"),
        StepStatus::Started => (Role::Accent, "◐"),
        StepStatus::Failed => (Role::Error, "✕"),
    };
    let until = step.ended.unwrap_or(look.wall);
    let took = step.started.map(|from| cell::seconds(from, until));
    let took = took.map(if step.ended.is_some() {
        cell::elapsed
    } else {
        cell::whole
    });
    let mut spans = vec![paint.span(Role::Text, clean_line(&step.step.name))];
    if let Some(took) = took {
        spans.push(paint.span(Role::Dim, format!("  {took}")));
    }
    if let Some(detail) = &step.step.detail {
        spans.push(paint.span(Role::Dim, format!("  {}", clean_line(detail))));
    }
    let first = [paint.span(role, format!("   {sign} "))];
    let rest = [Span::raw("     ")];
    let mut lines = wrap(&spans, &first, &rest, look.columns, Break::Words);
    if let Some(hint) = &step.step.hint {
        lines.extend(wrap(
            &[paint.span(Role::Warning, clean_line(hint))],
            &rest,
            &rest,
            look.columns,
            Break::Words,
        ));
    }
    lines
}

/// A prompt that does not stand in the journal yet, and words that came too late. Other commands on their way are not
/// shown here.
fn outgoing(outgoing: &Outgoing, look: Look, paint: &Paint) -> Vec<Line<'static>> {
    let prompt = match (words(&outgoing.command.what), &outgoing.state) {
        (Some(prompt), Posting::Refused(_)) => prompt,
        (Some(prompt), _) if matches!(outgoing.command.what, What::UserMessage(_)) => prompt,
        (Some(_) | None, _) => return Vec::new(),
    };
    let (role, words) = match &outgoing.state {
        Posting::Waiting => (Role::Warning, Stage::Here.word().to_owned()),
        Posting::InFlight => (Role::Dim, Stage::Here.word().to_owned()),
        Posting::Accepted => (Role::Dim, Stage::Accepted.word().to_owned()),
        Posting::Refused(why) => (Role::Error, format!("not taken: {}", clean_line(why))),
    };
    unsent(&prompt.text, role, &words, look, paint)
}

/// A prompt that no turn has taken, and why.
fn unsent(text: &str, role: Role, words: &str, look: Look, paint: &Paint) -> Vec<Line<'static>> {
    let indent = [Span::raw(if look.columns < 50 { " " } else { "   " })];
    let head = [
        paint.span(Role::User, "you"),
        paint.span(role, format!("  {words}")),
    ];
    let mut lines = wrap(
        &head,
        &[Span::raw(" ")],
        &indent,
        look.columns,
        Break::Words,
    );
    for line in clean(text).trim_end().split('\n') {
        lines.extend(wrap(
            &[paint.span(Role::Dim, line)],
            &indent,
            &indent,
            look.columns,
            Break::Words,
        ));
    }
    lines
}
