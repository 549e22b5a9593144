//! The loop of the lines: what is typed, what happens, what is said.
//!
//! A shell. The terminal stays as the shell has it: it echoes and edits the line itself.

use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Signal, kill_current_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::tui::citizen::Habits;
use crate::tui::combine::combined;
use crate::tui::editor;
use crate::tui::effect::Effect;
use crate::tui::event::Event;
use crate::tui::linear::take::{self, Taken};
use crate::tui::linear::tell::Teller;
use crate::tui::on::draft;
use crate::tui::outside::{EVENTS, Hands, Harbour};
use crate::tui::run::{Left, Outside};
use crate::tui::start::{Wish, begin};
use crate::tui::state::{Start, State};
use crate::tui::tty::clip::Way;
use crate::tui::tty::{notify, reader};
use crate::tui::update::{leave, tell_notes, update};

/// How often time alone is looked at, while something elapses.
const TICK: Duration = Duration::from_secs(1);
/// As wide and high as it is reckoned to be; nothing is laid out.
const SIZE: (u16, u16) = (80, 24);

/// Something that comes from outside.
enum Come {
    Line(Option<String>),
    Event(Event),
    Interrupt,
    Terminate,
    Time,
}

struct Face {
    state: State,
    teller: Teller,
    hands: Hands,
}

/// Until the user leaves. What `Left` says is for afterwards.
pub async fn run(harbour: Arc<dyn Harbour>, wish: Wish) -> anyhow::Result<Left> {
    let (told, mut events) = mpsc::channel(EVENTS);
    let habits = plain(wish.habits);
    let mut hands = Hands::new(harbour, wish.store.clone(), told).with_habits(habits.clone());
    let (scene, of, prompt) = begin(wish.first, &mut hands);
    let at_once = prompt.is_some();
    let mut lines = reader::lines().context("cannot read what is typed")?;
    let mut state = State::new(Start {
        scene,
        welcome: wish.welcome,
        draft: prompt.unwrap_or_else(|| wish.store.draft(of.as_ref())),
        history: wish.store.history(),
        size: SIZE,
        now: Instant::now().into_std(),
        wall: hands.wall(),
        zone: jiff::tz::TimeZone::system(),
    });
    state.keymap = wish.tastes.keymap;
    state.keymap.by_name = true;
    state.away.seen = of.as_ref().and_then(|run| wish.store.seen(run));
    (state.writing.editor, state.writing.merge_tool) = (wish.editor, wish.merge_tool);
    state.citizen.habits = habits;
    state.writing.attachments = wish.attached;
    tell_notes(&mut state);
    let mut face = Face {
        state,
        teller: Teller::default(),
        hands,
    };
    if at_once {
        let effects = draft::launch(&mut face.state, false);
        drop(face.orders(effects).await?);
    }
    let left = face.go_on(&mut lines, &mut events).await;
    face.hands.leave().await;
    left
}

/// No sequence may reach the terminal: what is copied goes to its file, and nobody is called, but by a program of the
/// user's.
fn plain(habits: Habits) -> Habits {
    Habits {
        clipboard: match habits.clipboard {
            own @ (Way::Off | Way::Command) => own,
            Way::Auto | Way::Osc52 | Way::Tmux | Way::File => Way::File,
        },
        notify: match habits.notify {
            notify::Wish::Command => notify::Wish::Command,
            notify::Wish::Auto | notify::Wish::Bell | notify::Wish::As(_) | notify::Wish::Off => {
                notify::Wish::Off
            }
        },
        titles: false,
        mouse: false,
        ..habits
    }
}

impl Face {
    async fn go_on(
        &mut self,
        lines: &mut mpsc::Receiver<String>,
        events: &mut mpsc::Receiver<Event>,
    ) -> anyhow::Result<Left> {
        let failed = "cannot listen for signals";
        let mut interrupt = signal(SignalKind::interrupt()).context(failed)?;
        let mut terminate = signal(SignalKind::terminate()).context(failed)?;
        let mut hang_up = signal(SignalKind::hangup()).context(failed)?;
        let mut typed = true;
        let said = self.teller.tell(&self.state);
        self.print(&said)?;
        loop {
            let tick = Instant::now() + TICK;
            let come = tokio::select! {
                biased;
                _ = terminate.recv() => Come::Terminate,
                _ = hang_up.recv() => Come::Terminate,
                _ = interrupt.recv() => Come::Interrupt,
                line = lines.recv(), if typed => Come::Line(line),
                Some(event) = events.recv() => Come::Event(event),
                () = sleep_until(tick), if self.state.elapses() || self.state.soon().is_some() => Come::Time,
            };
            typed = !matches!(come, Come::Line(None));
            if let Some(left) = self.step(come, events).await? {
                return Ok(left);
            }
        }
    }

    async fn step(
        &mut self,
        come: Come,
        events: &mut mpsc::Receiver<Event>,
    ) -> anyhow::Result<Option<Left>> {
        let clock = Event::Tick {
            now: Instant::now().into_std(),
            wall: self.hands.wall(),
        };
        let ticked = update(&mut self.state, clock);
        if let Some(left) = self.orders(ticked).await? {
            return Ok(Some(left));
        }
        let taken = match come {
            Come::Line(Some(line)) => take::take(&mut self.state, &mut self.teller, &line),
            // The end of what is typed leaves, as Ctrl+D does.
            Come::Line(None) => leave(&mut self.state, 0).into(),
            Come::Interrupt => take::interrupt(&mut self.state, &mut self.teller),
            Come::Terminate => update(&mut self.state, Event::Terminated).into(),
            Come::Event(event) => return self.happened(event, events).await,
            Come::Time => Taken {
                lines: self.teller.tell(&self.state),
                ..Taken::default()
            },
        };
        self.print(&taken.lines)?;
        let left = self.orders(taken.effects).await?;
        if left.is_none() {
            let said = self.teller.tell(&self.state);
            self.print(&said)?;
        }
        Ok(left)
    }

    /// Everything that is ready at once, so that what begins and ends together is told together.
    async fn happened(
        &mut self,
        first: Event,
        events: &mut mpsc::Receiver<Event>,
    ) -> anyhow::Result<Option<Left>> {
        let mut next = Some(first);
        while let Some(event) = next {
            let effects = update(&mut self.state, event);
            if let Some(left) = self.orders(effects).await? {
                return Ok(Some(left));
            }
            next = events.try_recv().ok();
        }
        let said = self.teller.tell(&self.state);
        self.print(&said)?;
        Ok(None)
    }

    async fn orders(&mut self, effects: Vec<Effect>) -> anyhow::Result<Option<Left>> {
        let mut left = None;
        for told in self.state.said.drain(..) {
            tracing::info!("told: {told}");
        }
        for effect in effects {
            match effect {
                Effect::Quit { message, code } => left = Some(Left { message, code }),
                Effect::Edit { editor, text } => {
                    let held = reader::hold();
                    let edited = editor::edit(&editor, &text).await;
                    drop(held);
                    let effects = update(&mut self.state, Event::Edited(edited));
                    effects
                        .into_iter()
                        .for_each(|effect| self.hands.perform(effect));
                }
                Effect::OpenAt { editor, place } => {
                    let held = reader::hold();
                    let done = editor::visit(&editor, &place).await;
                    drop(held);
                    update(&mut self.state, Event::Visited(done));
                }
                Effect::Combine { of, tool, versions } => {
                    let held = reader::hold();
                    let done = combined(of, &tool, &versions).await;
                    drop(held);
                    let effects = update(&mut self.state, done);
                    effects
                        .into_iter()
                        .for_each(|effect| self.hands.perform(effect));
                }
                Effect::Suspend => {
                    kill_current_process_group(Signal::TSTP).context("cannot suspend")?;
                }
                // There is nothing to draw.
                Effect::Redraw => (),
                other => self.hands.perform(other),
            }
        }
        Ok(left)
    }

    /// Whole lines. Whoever reads them may be gone: then there is nothing more to say.
    fn print(&self, lines: &[String]) -> anyhow::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut out = stdout().lock();
        for line in lines {
            writeln!(out, "{line}").context("cannot write what is to be said")?;
        }
        out.flush().context("cannot write what is to be said")
    }
}
