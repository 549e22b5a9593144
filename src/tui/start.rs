//! The screen from the outside: takes the terminal, runs the loop, gives the terminal back.
//!
//! A shell.

use std::sync::Arc;

use anyhow::Context;
use futures::StreamExt;
use ratatui::Terminal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::attach::attachment::Attachment;
use crate::attach::first::Look;
use crate::attach::perform::Opened;
use crate::protocol::ids::RunId;
use crate::tui::citizen::Habits;
use crate::tui::effect::Effect;
use crate::tui::inline::screen::Inline;
use crate::tui::links::Links;
use crate::tui::on::{citizen, draft};
use crate::tui::outside::{EVENTS, Hands, Harbour};
use crate::tui::replay::Tape;
use crate::tui::run::{Face, Left, Outside, run};
use crate::tui::state::{Launching, Picker, Scene, Start, State, Welcome};
use crate::tui::store::Store;
use crate::tui::surface::Surface;
use crate::tui::tastes::{self, Source, Tastes};
use crate::tui::terminal::{self, Modes};
use crate::tui::tty::report::Scheme;
use crate::tui::tty::{out, reader};
use crate::tui::update::{tell_notes, toast};
use crate::tui::view::paint::Paint;
use crate::tui::vim::Vim;

/// What the screen begins with.
pub struct Wish {
    pub first: First,
    /// What goes with the first message of a new run.
    pub attached: Vec<Attachment>,
    pub welcome: Welcome,
    pub tastes: Tastes,
    /// Where they are read again from.
    pub source: Source,
    /// What the environment says of the ground, for a terminal that does not.
    pub scheme: Option<Scheme>,
    pub habits: Habits,
    pub store: Store,
    /// For drafts: a shell's words.
    pub editor: String,
    /// For conflicts: a shell's words.
    pub merge_tool: Option<String>,
    /// Below what stands in the terminal, without a screen of its own.
    pub inline: bool,
}

pub enum First {
    Picker,
    /// The composer of a new run; a prompt is sent at once.
    NewRun(Option<String>),
    Run(Box<Opened>),
    /// A run that was never mirrored here: somebody looks first.
    Look(Box<Look>),
    /// A journal from a file.
    Replay(Box<Tape>),
}

/// Until the user leaves. What `Left` says is for after the screen.
pub async fn screen(harbour: Arc<dyn Harbour>, wish: Wish) -> anyhow::Result<Left> {
    let (told, events) = mpsc::channel(EVENTS);
    let mut watching = JoinSet::new();
    watching.spawn(tastes::watch(wish.source, told.clone()));
    let hands = Hands::new(harbour, wish.store.clone(), told);
    let mut hands = hands.with_habits(wish.habits.clone());
    let (scene, of, prompt) = begin(wish.first, &mut hands);
    let at_once = prompt.is_some();
    let modes = enter(wish.inline).context("this terminal cannot show the screen")?;
    let mut said = reader::start().context("cannot listen to the terminal")?;
    let asked = Instant::now();
    let (manners, early) = terminal::ask(&mut said)
        .await
        .context("cannot ask the terminal")?;
    let (pictures, free) = out::start().context("cannot write to the terminal")?;
    hands.wait_for(free);
    let links = (wish.habits.links && manners.answered && !wish.inline).then(Links::default);
    let mut face = face(wish.inline, pictures, links.clone())?;
    let size = face.forget()?;
    let mut state = State::new(Start {
        scene,
        welcome: wish.welcome,
        draft: prompt.unwrap_or_else(|| wish.store.draft(of.as_ref())),
        history: wish.store.history(),
        size: (size.width, size.height),
        now: Instant::now().into_std(),
        wall: hands.wall(),
        zone: jiff::tz::TimeZone::system(),
    });
    state.away.seen = of.as_ref().and_then(|run| wish.store.seen(run));
    state.citizen.manners = manners;
    state.citizen.manners.scheme = manners.scheme.or(wish.scheme);
    (state.writing.editor, state.writing.merge_tool) = (wish.editor, wish.merge_tool);
    state.writing.attachments = wish.attached;
    tell_notes(&mut state);
    if at_once {
        for effect in draft::launch(&mut state, false) {
            hands.perform(effect);
        }
    }
    let mut paint = settle_in(&mut state, wish.tastes, wish.habits).with_links(links);
    advise(&mut state, &wish.store);
    (state.printed, state.citizen.mouse) = (wish.inline, state.citizen.mouse && !wish.inline);
    terminal::take_up(&state.citizen).context("this terminal cannot show the screen")?;
    let keys = terminal::inputs(early, said).context("cannot listen to the terminal")?;
    let told = futures::stream::unfold(events, |mut events| async move {
        events.recv().await.map(|event| (event, events))
    });
    // Keys first: a flood from the wire must not hold them up. Whatever is ready is drained before a picture.
    let mut all = futures::stream::select_with_strategy(keys, told.boxed(), |(): &mut ()| {
        futures::stream::PollNext::Left
    });
    let left = run(&mut *face, &mut state, &mut paint, &mut all, &mut hands).await;
    if wish.inline {
        // What ended with the last key is printed too.
        face.draw(&state, &mut paint).ok();
    }
    terminal::hear_out(state.citizen.manners, asked, &mut all).await;
    // The terminal first: leaving is not to feel slow.
    drop(modes);
    hands.leave().await;
    left
}

fn enter(inline: bool) -> std::io::Result<Modes> {
    if inline {
        Modes::enter_inline()
    } else {
        Modes::enter()
    }
}

fn face(inline: bool, pictures: out::Out, links: Option<Links>) -> anyhow::Result<Box<dyn Face>> {
    if inline {
        return Ok(Box::new(Inline::new(pictures, terminal::size)));
    }
    let surface = Surface::new(pictures, terminal::size)
        .marked(terminal::shows_whole)
        .leading(links);
    let terminal = Terminal::new(surface).context("this terminal cannot show the screen")?;
    Ok(Box::new(terminal))
}

/// Once in all.
fn advise(state: &mut State, store: &Store) {
    if let Some(advice) = citizen::advice(state).filter(|_| store.is_first("shift-enter")) {
        match state.scene {
            Scene::Composer(_) => state.welcome.lines.push(advice),
            Scene::Picker(_) | Scene::Opening(_) | Scene::Run(_) => toast(state, advice),
        }
    }
}

fn settle_in(state: &mut State, tastes: Tastes, habits: Habits) -> Paint {
    let paint = Paint::new(tastes.themes.pick(state.citizen.manners.scheme).clone());
    state.keymap = tastes.keymap;
    state.vim = tastes.vim.then(Vim::default);
    state.citizen.themes = Some(tastes.themes);
    state.citizen.mouse = habits.mouse;
    state.citizen.habits = habits;
    paint
}

/// The first scene, whose draft it has, and a prompt that is sent at once.
pub(crate) fn begin(first: First, hands: &mut Hands) -> (Scene, Option<RunId>, Option<String>) {
    match first {
        First::Picker => {
            hands.perform(Effect::ListRuns);
            hands.find_attached();
            (Scene::Picker(Picker::default()), None, None)
        }
        First::NewRun(prompt) => {
            // A prompt that is sent at once has its own.
            if prompt.is_none() {
                hands.find_attached();
            }
            (Scene::Composer(Launching::No), None, prompt)
        }
        First::Replay(tape) => {
            let attached = tape.attached();
            let run = attached.at.run.clone();
            hands.play(*tape);
            (Scene::Run(Box::new(attached)), Some(run), None)
        }
        First::Look(look) => {
            let at = look.at.clone();
            let run = at.run.clone();
            hands.show(*look);
            (Scene::Opening(at), Some(run), None)
        }
        First::Run(opened) => {
            let Opened {
                attached,
                performer,
                events,
                end: _,
            } = *opened;
            let run = attached.at.run.clone();
            hands.hold(attached.at.clone(), performer, events);
            (Scene::Run(Box::new(attached)), Some(run), None)
        }
    }
}
