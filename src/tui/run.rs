//! The loop of the screen: drain what is ready, update, perform, draw.
//!
//! A shell, generic over the terminal and the events, so that tests can count pictures.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::layout::{Position, Rect, Size};
use tokio::time::{Instant, sleep_until};

use crate::tui::combine::combined;
use crate::tui::editor;
use crate::tui::effect::Effect;
use crate::tui::event::Event;
use crate::tui::state::State;
use crate::tui::terminal::{self, Away};
use crate::tui::update::update;
use crate::tui::view::paint::Paint;
use crate::tui::view::screen;

/// At most one picture in this time.
pub const FRAME: Duration = Duration::from_millis(16);
/// At most one in this time, where the picture is to be calm.
pub const CALM: Duration = Duration::from_millis(250);
/// A slow terminal is given as much time for other things as a picture took, and no more than this.
const REST: Duration = Duration::from_millis(250);
/// How often time alone is looked at, while something elapses.
const TICK: Duration = Duration::from_secs(1);
/// Events taken in one go.
const BATCH: usize = 256;

/// Everything that is not the screen: one call per effect, never blocking for long. What comes of it arrives as
/// events in the stream that was given to [`run`].
pub trait Outside {
    fn perform(&mut self, effect: Effect);

    /// Ready when the terminal has taken all that was written to it: how long that took.
    fn poll_free(&mut self, _: &mut Context<'_>) -> Poll<Duration> {
        Poll::Ready(Duration::ZERO)
    }

    /// The wall clock; tests give their own.
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// What is drawn on.
pub trait Face {
    /// One event, and what it orders. A face may have its own way to show something.
    fn step(&mut self, state: &mut State, event: Event) -> Vec<Effect> {
        update(state, event)
    }

    /// Shows how things stand.
    fn draw(&mut self, state: &State, paint: &mut Paint) -> anyhow::Result<()>;

    /// When it is to be asked again although nothing happens.
    fn soon(&self) -> Option<std::time::Instant> {
        None
    }

    /// Nothing of what was drawn stands there any more. How large it is now.
    fn forget(&mut self) -> anyhow::Result<Size>;
}

impl<B> Face for Terminal<B>
where
    B: Backend,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    fn draw(&mut self, state: &State, paint: &mut Paint) -> anyhow::Result<()> {
        let drawn = Terminal::draw(self, |frame| screen::view(state, paint, frame));
        drawn.context("cannot draw on the terminal")?;
        Ok(())
    }

    /// Not `Terminal::clear`, which asks the terminal where its cursor is and fails when no answer comes in time: keys
    /// are being read meanwhile.
    fn forget(&mut self) -> anyhow::Result<Size> {
        let size = self.size().context("the size of the terminal is unknown")?;
        self.resize(Rect::from((Position::ORIGIN, size)))
            .context("cannot clear the terminal")?;
        Ok(size)
    }
}

/// Why the screen ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// For the shell's screen, after ours is gone.
    pub message: Option<String>,
    pub code: u8,
}

/// Runs until the user leaves or a signal comes.
pub async fn run(
    face: &mut dyn Face,
    state: &mut State,
    paint: &mut Paint,
    events: impl Stream<Item = Event> + Unpin,
    outside: &mut dyn Outside,
) -> anyhow::Result<Left> {
    let mut events = events.ready_chunks(BATCH);
    let mut due = Instant::now();
    let mut tick = Instant::now() + TICK;
    let mut lent: Lent = None;
    let mut writing = false;
    loop {
        let soon = state.soon().into_iter().chain(face.soon()).min();
        let soon = soon.map(Instant::from_std);
        tokio::select! {
            biased;
            event = ended(&mut lent), if lent.is_some() => {
                // The clock first: it may have stood still meanwhile.
                let back = take_back(face, state, lent.take())?;
                let events = [clock(outside), back, event];
                if let Some(left) = steps(face, state, events, outside, &mut lent).await? {
                    return Ok(left);
                }
            }
            took = poll_fn(|context| outside.poll_free(context)), if writing => {
                writing = false;
                due = due.max(Instant::now() + took.min(REST));
            }
            () = sleep_until(due), if state.changed && lent.is_none() && !writing => {
                state.changed = false;
                writing = true;
                face.draw(state, paint)?;
                hear(state, paint, outside);
                due = Instant::now() + if state.citizen.habits.calm { CALM } else { FRAME };
            }
            batch = events.next() => {
                let Some(batch) = batch else {
                    return Ok(Left { message: None, code: 0 });
                };
                // An answer to a key must not wait for the next frame.
                if batch.iter().any(|event| matches!(event, Event::Key(_))) {
                    due = due.min(Instant::now());
                }
                let events = std::iter::once(clock(outside)).chain(batch);
                if let Some(left) = steps(face, state, events, outside, &mut lent).await? {
                    return Ok(left);
                }
            }
            () = sleep_until(soon.unwrap_or(tick)), if soon.is_some() => {
                let clock = clock(outside);
                if let Some(left) = step(face, state, clock, outside, &mut lent).await? {
                    return Ok(left);
                }
            }
            () = sleep_until(tick), if state.elapses() => {
                tick = Instant::now() + TICK;
                let clock = clock(outside);
                if let Some(left) = step(face, state, clock, outside, &mut lent).await? {
                    return Ok(left);
                }
            }
        }
        if !state.elapses() {
            tick = Instant::now() + TICK;
        }
    }
}

/// What is on the picture, and what it would have needed.
fn hear(state: &mut State, paint: &mut Paint, outside: &mut dyn Outside) {
    if let Some(drawn) = paint.take_drawn() {
        update(state, Event::Drawn(drawn));
    }
    for effect in update(state, Event::Wanted(paint.take_wanted())) {
        outside.perform(effect);
    }
}

/// Another program has the terminal: nothing is drawn until it ends, and what it leaves is an event. All other events
/// go on, so that the run and its files do.
type Lent = Option<(Away, BoxFuture<'static, Event>)>;

async fn ended(lent: &mut Lent) -> Event {
    match lent {
        Some((_, program)) => program.await,
        None => std::future::pending().await,
    }
}

/// The terminal is ours again, however large it is by now.
fn take_back(face: &mut dyn Face, state: &State, lent: Lent) -> anyhow::Result<Event> {
    if let Some((away, _)) = lent {
        terminal::back(away, state.citizen.manners).context("cannot come back to the terminal")?;
    }
    let size = face.forget()?;
    Ok(Event::Returned(size.width, size.height))
}

fn clock(outside: &dyn Outside) -> Event {
    Event::Tick {
        now: Instant::now().into_std(),
        wall: outside.wall(),
    }
}

async fn steps(
    face: &mut dyn Face,
    state: &mut State,
    events: impl IntoIterator<Item = Event>,
    outside: &mut dyn Outside,
    lent: &mut Lent,
) -> anyhow::Result<Option<Left>> {
    for event in events {
        if let Some(left) = step(face, state, event, outside, lent).await? {
            return Ok(Some(left));
        }
    }
    Ok(None)
}

/// The terminal is somebody else's until this is over.
fn lend(lent: &mut Lent, until: impl Future<Output = Event> + Send + 'static) {
    *lent = Some((terminal::lend(), Box::pin(until)));
}

/// The next picture is drawn as if nothing stood there.
fn anew(face: &mut dyn Face, state: &mut State) -> anyhow::Result<()> {
    face.forget()?;
    state.changed = true;
    Ok(())
}

/// We were stopped, and go on: what that orders.
fn go_on(
    face: &mut dyn Face,
    state: &mut State,
    outside: &dyn Outside,
) -> anyhow::Result<Vec<Effect>> {
    let back = take_back(face, state, None)?;
    let mut effects = face.step(state, clock(outside));
    effects.extend(face.step(state, back));
    Ok(effects)
}

/// A key in the program that has the terminal makes a signal for both: one that asks to go is that program's alone, and
/// when it stops so do we, since the shell waits for both.
fn is_for_both(event: &Event) -> anyhow::Result<bool> {
    let stopped = matches!(event, Event::Stopped);
    if stopped {
        terminal::stop().context("cannot stop")?;
    }
    Ok(stopped || matches!(event, Event::Interrupted))
}

/// One event through `update`, and what it orders. What concerns the terminal is done here.
async fn step(
    face: &mut dyn Face,
    state: &mut State,
    event: Event,
    outside: &mut dyn Outside,
    lent: &mut Lent,
) -> anyhow::Result<Option<Left>> {
    if lent.is_some() && is_for_both(&event)? {
        return Ok(None);
    }
    let mut left = None;
    let mut effects = VecDeque::from(face.step(state, event));
    // What stands on the screen for seconds can be read again.
    for toast in state.said.drain(..) {
        tracing::info!("told: {toast}");
    }
    while let Some(effect) = effects.pop_front() {
        match effect {
            Effect::Quit { message, code } => left = Some(Left { message, code }),
            // Keys that were pressed before it had the terminal.
            effect if lent.is_some() && effect.takes_terminal() => (),
            Effect::Suspend => {
                terminal::suspend(&state.citizen)
                    .await
                    .context("cannot come back to the terminal")?;
                effects.extend(go_on(face, state, outside)?);
            }
            Effect::Edit { editor, text } => lend(lent, async move {
                Event::Edited(editor::edit(&editor, &text).await)
            }),
            Effect::OpenAt { editor, place } => lend(lent, async move {
                Event::Visited(editor::visit(&editor, &place).await)
            }),
            Effect::Combine { of, tool, versions } => {
                lend(lent, async move { combined(of, &tool, &versions).await })
            }
            Effect::Redraw => anew(face, state)?,
            other @ (Effect::Attach(..)
            | Effect::Launch(_)
            | Effect::OpenRun(_)
            | Effect::OpenAs(..)
            | Effect::LookFirst(_)
            | Effect::CloseRun(_)
            | Effect::ListRuns
            | Effect::Colour(_)
            | Effect::SaveDraft { .. }
            | Effect::SaveAttached { .. }
            | Effect::SaveSeen { .. }
            | Effect::SaveHistory(_)
            | Effect::ReadHistory
            | Effect::SavePieces { .. }
            | Effect::ListPaths(_)
            | Effect::RunHere { .. }
            | Effect::EndHere
            | Effect::ReadFile { .. }
            | Effect::Copy(_)
            | Effect::Bell
            | Effect::Notify(_)
            | Effect::Title(_)
            | Effect::Mouse(_)
            | Effect::Adopt(_)) => outside.perform(other),
        }
    }
    Ok(left)
}
