//! The hands of the screen: what `update` ordered beyond the terminal, done.
//!
//! A shell. Which endpoint, which directory and how a mirror is opened is not its business: a [`Harbour`] knows.
//! Dropping the hands ends every task; the run goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::attach::attachment;
use crate::attach::first::{Answer, Look};
use crate::attach::perform::{Opened, Performer};
use crate::protocol::ids::{RunId, RunRef};
use crate::tui::citizen::Habits;
use crate::tui::colours::Snippet;
use crate::tui::effect::{Effect, Plan};
use crate::tui::event::{Event, Listing, Progress, RunRow};
use crate::tui::here;
use crate::tui::piece::Wanted;
use crate::tui::program::{self, Given};
use crate::tui::replay::{self, Clock, Tape};
use crate::tui::run::Outside;
use crate::tui::saved;
use crate::tui::seats::{Place, Seats};
use crate::tui::store::Store;
use crate::tui::terminal;
use crate::tui::tty::clip::Way;
use crate::tui::tty::out::Free;
use crate::tui::tty::{clip, notify};
use crate::tui::view::code;

/// Files of a directory that are offered at most.
pub const PATHS: usize = 50_000;
/// Events that wait for the screen.
pub const EVENTS: usize = 1024;

/// Where runs come from. Errors are whole sentences for the user.
#[async_trait]
pub trait Harbour: Send + Sync + 'static {
    async fn list(&self) -> Result<Vec<RunRow>, String>;

    /// The one that a new run would be given.
    fn directory(&self) -> &Path;

    /// What is kept of a run here; `None` where nothing is.
    fn kept(&self, _: &RunId) -> Option<PathBuf> {
        None
    }

    /// The files of a directory by the rules of the mirror, at most so many; `None` is the one of a new run.
    async fn paths(&self, of: Option<PathBuf>, most: usize) -> Result<Listing, String>;

    /// Joins a run that is there. Its mirror is opened, or a note says why not; where it was never mirrored before,
    /// somebody is to answer first.
    async fn open(&self, at: &RunRef, answer: Option<Answer>) -> Result<Berth, String>;

    /// What is looked at before the first write, whatever was answered before.
    async fn look(&self, at: &RunRef) -> Result<Look, String>;

    /// Creates task and run, seeds it and joins it; the prompt is posted by the screen. `told` hears what is being
    /// done now, in words.
    async fn launch(&self, plan: &Plan, told: mpsc::Sender<String>) -> Result<Opened, NotLaunched>;
}

/// What becomes of a run that is to be opened.
pub enum Berth {
    Open(Box<Opened>),
    /// Nothing was opened: this is looked at first.
    Look(Box<Look>),
}

/// Why there is no run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotLaunched {
    /// Nothing was created: the user is asked first.
    TooLarge {
        files: u64,
        bytes: u64,
        limit: u64,
    },
    Failed(String),
}

/// Keeps the attached runs.
pub struct Hands {
    harbour: Arc<dyn Harbour>,
    store: Store,
    events: mpsc::Sender<Event>,
    seats: Seats,
    /// What is played from a file; at most one.
    playing: JoinSet<()>,
    /// What lists runs.
    lists: JoinSet<()>,
    /// What reads the history and files.
    tasks: JoinSet<()>,
    /// What runs on this machine for the user.
    commands: JoinSet<()>,
    /// What looks for files.
    looks: JoinSet<()>,
    /// What colours code.
    colourings: JoinSet<()>,
    /// One at a time: what is drawn goes before how it looks.
    brush: Arc<Semaphore>,
    habits: Habits,
    /// Whether the terminal has taken everything; `None`: it always has.
    free: Option<Free>,
    /// The time of what is played; `None` when nothing is.
    clock: Option<Clock>,
}

impl Hands {
    /// `events` is what [`crate::tui::run::run`] reads, beside the keys.
    pub fn new(harbour: Arc<dyn Harbour>, store: Store, events: mpsc::Sender<Event>) -> Self {
        Self {
            harbour,
            store,
            events,
            seats: Seats::default(),
            playing: JoinSet::new(),
            lists: JoinSet::new(),
            tasks: JoinSet::new(),
            commands: JoinSet::new(),
            looks: JoinSet::new(),
            colourings: JoinSet::new(),
            brush: Arc::new(Semaphore::new(1)),
            habits: Habits::default(),
            clock: None,
            free: None,
        }
    }

    /// What the config says of the terminal.
    #[must_use]
    pub fn with_habits(self, habits: Habits) -> Self {
        Self { habits, ..self }
    }

    /// The pictures go to a terminal that may be slow.
    pub(super) fn wait_for(&mut self, free: Free) {
        self.free = Some(free);
    }

    /// Leaves all runs, and says so; takes a moment at most.
    pub async fn leave(&mut self) {
        self.seats.leave().await;
    }

    /// A run that was opened before the screen was: its events begin to flow.
    pub fn hold(
        &mut self,
        at: RunRef,
        performer: Performer,
        events: mpsc::Receiver<crate::attach::event::Event>,
    ) {
        let to = self.events.clone();
        let store = self.store.clone();
        self.seats.begin(at.clone(), |place| {
            place.take(at.clone(), performer);
            async move {
                find_attached(&store, Some(at.clone()), &to).await;
                forward(at, events, to).await;
            }
        });
    }

    /// A journal from a file: its events begin to flow, and nothing is kept of it here.
    /// What was to go with the first message of the next new run.
    pub(super) fn find_attached(&mut self) {
        let (store, events) = (self.store.clone(), self.events.clone());
        self.tasks
            .spawn(async move { find_attached(&store, None, &events).await });
    }

    pub(crate) fn play(&mut self, tape: Tape) {
        self.clock = Some(tape.clock());
        self.playing.spawn(tape.play(self.events.clone()));
    }

    /// Leaves a run, and says so. What is played is over.
    fn close(&mut self, at: &RunRef) {
        if replay::is_one(at) {
            self.clock = None;
            self.playing.abort_all();
        }
        self.seats.close(at);
    }

    fn launch(&mut self, plan: Plan) {
        let (harbour, events) = (self.harbour.clone(), self.events.clone());
        self.seats
            .launch(|place| launch(harbour, events, place, plan));
    }

    /// Somebody is to look at this before anything is opened.
    pub(super) fn show(&self, look: Look) {
        self.events.try_send(Event::Looked(Box::new(look))).ok();
    }

    fn look(&mut self, at: RunRef) {
        let (harbour, events) = (self.harbour.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let event = match harbour.look(&at).await {
                Ok(look) => Event::Looked(Box::new(look)),
                Err(why) => Event::Of(at, Box::new(Event::Noted(why))),
            };
            tell(&events, event).await;
        });
    }

    fn open(&mut self, at: RunRef, answer: Option<Answer>) {
        let (harbour, events, store) = (
            self.harbour.clone(),
            self.events.clone(),
            self.store.clone(),
        );
        let run = at.clone();
        self.seats.begin(at, |place| {
            open(harbour, events, place, store, (run, answer))
        });
    }

    fn list(&mut self) {
        self.lists.abort_all();
        let (harbour, events) = (self.harbour.clone(), self.events.clone());
        self.lists.spawn(async move {
            let rows = harbour.list().await;
            tell(&events, Event::RunsListed(rows)).await;
        });
    }

    /// To the terminal and into the file; says what was done and no more.
    fn copy(&mut self, text: &str) {
        if self.habits.clipboard == Way::Command {
            return self.copy_by_program(text.to_owned());
        }
        let copy = clip::copy(text, self.habits.clipboard, self.habits.place.tmux);
        let file = copy.file.then(|| match self.store.save_copy(text) {
            Ok(file) => Ok(self.short(&file)),
            Err(error) => Err(error.to_string()),
        });
        let done = terminal::write(&copy.sequence);
        if done.is_ok() {
            let words = clip::told(&copy, file);
            self.events.try_send(Event::Noted(words)).ok();
        }
        self.note("the terminal does not take text", done);
    }

    /// Into the file and to a program of the user's.
    fn copy_by_program(&mut self, text: String) {
        let file = match self.store.save_copy(&text) {
            Ok(file) => Ok(self.short(&file)),
            Err(error) => Err(error.to_string()),
        };
        let (command, events) = (self.habits.clipboard_command.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let done = program::give(&command, Given::Input(&text)).await;
            let name = command.first().map_or("", String::as_str);
            let words = clip::by_program(name, &text, done, file);
            tell(&events, Event::Noted(words)).await;
        });
    }

    fn notify(&mut self, words: String) {
        let Habits { notify, place, .. } = self.habits;
        if notify != notify::Wish::Command {
            return self.say(&notify::message(&words, notify, place));
        }
        let (command, events) = (self.habits.notify_command.clone(), self.events.clone());
        self.tasks.spawn(async move {
            if let Err(why) = program::give(&command, Given::Message(&words)).await {
                tell(&events, Event::Noted(why)).await;
            }
        });
    }

    /// Where the user looks for what came from elsewhere, else beside what is ours.
    fn save(&mut self, of: &RunId, wanted: Wanted) {
        let run = self.harbour.kept(of).filter(|_| self.clock.is_none());
        let Some(run) = run else {
            let words = "there is no journal of this run here to save it from";
            self.events.try_send(Event::Noted(words.to_owned())).ok();
            return;
        };
        let home = self.habits.home.clone();
        let downloads = home.as_ref().map(|home| home.join("Downloads"));
        let folder = downloads.filter(|folder| folder.is_dir());
        let folder = folder.unwrap_or_else(|| self.store.saved());
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let done =
                tokio::task::spawn_blocking(move || saved::save(&run, &wanted, &folder)).await;
            let words = match done {
                Ok(Ok(files)) => {
                    let files = files.iter().map(|file| shortened(file, home.as_deref()));
                    format!("saved as {}", files.collect::<Vec<_>>().join(", "))
                }
                Ok(Err(why)) => why,
                Err(_) => "it could not be saved".to_owned(),
            };
            tell(&events, Event::Noted(words)).await;
        });
    }

    fn say(&self, sequence: &str) {
        self.note("the terminal does not listen", terminal::write(sequence));
    }

    /// With `~` for the user's home.
    fn short(&self, file: &Path) -> String {
        shortened(file, self.habits.home.as_deref())
    }

    fn run_here(&mut self, number: u64, command: String, of: Option<PathBuf>) {
        let directory = of.unwrap_or_else(|| self.harbour.directory().to_owned());
        let listener = here::Listener {
            number,
            events: self.events.clone(),
        };
        self.commands.abort_all();
        self.commands
            .spawn(async move { here::run(&command, &directory, &listener).await });
    }

    fn read_file(&mut self, typed: &str, of: Option<PathBuf>, at: Option<RunRef>) {
        let directory = of.unwrap_or_else(|| self.harbour.directory().to_owned());
        let typed = attachment::unquoted(typed);
        let home = self.habits.home.as_deref();
        let path = match (typed.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => directory.join(&typed),
        };
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let read = tokio::task::spawn_blocking(move || attachment::read(&path)).await;
            let read = read.unwrap_or_else(|_| Err(format!("{typed} could not be read")));
            let read = Event::FileRead(Box::new(read));
            tell(&events, of_run(at, read)).await;
        });
    }

    fn list_paths(&mut self, of: Option<PathBuf>) {
        let (harbour, events) = (self.harbour.clone(), self.events.clone());
        self.looks.abort_all();
        self.looks.spawn(async move {
            let event = match harbour.paths(of, PATHS).await {
                Ok(listing) => Event::PathsListed(listing),
                Err(why) => Event::Noted(why),
            };
            tell(&events, event).await;
        });
    }

    fn colour(&mut self, snippets: Vec<Snippet>) {
        while self.colourings.try_join_next().is_some() {}
        let (brush, events) = (self.brush.clone(), self.events.clone());
        self.colourings.spawn(async move {
            let turn = brush.acquire().await;
            let found = tokio::task::spawn_blocking(move || code::colour(snippets)).await;
            drop(turn);
            if let Ok(found) = found {
                tell(&events, Event::Coloured(found)).await;
            }
        });
    }

    fn read_history(&mut self) {
        let (store, events) = (self.store.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let read = tokio::task::spawn_blocking(move || store.history()).await;
            tell(&events, Event::HistoryRead(read.unwrap_or_default())).await;
        });
    }

    fn keep(&self, effect: Effect) {
        let store = &self.store;
        let (what, done) = match effect {
            Effect::SaveDraft { of, text } => ("the draft", store.save_draft(of.as_ref(), &text)),
            Effect::SaveAttached { of, paths } => {
                ("what is attached", store.save_attached(of.as_ref(), &paths))
            }
            Effect::SaveSeen { of, seen } => {
                ("how far the run was seen", store.save_seen(&of, seen))
            }
            Effect::SaveHistory(text) => ("the history", store.save_history(&text)),
            _ => return,
        };
        self.note(&format!("{what} cannot be kept on disk"), done);
    }

    /// What the disk or the terminal refused is a line for the user; the loop itself reads it, so it cannot wait.
    fn note(&self, what: &str, done: std::io::Result<()>) {
        if let Err(error) = done {
            let line = format!("{what}: {error}");
            tracing::warn!("{line}");
            self.events.try_send(Event::Noted(line)).ok();
        }
    }
}

fn shortened(file: &Path, home: Option<&Path>) -> String {
    match home.and_then(|home| file.strip_prefix(home).ok()) {
        Some(rest) => format!("~/{}", rest.display()),
        None => file.display().to_string(),
    }
}

impl Outside for Hands {
    fn poll_free(&mut self, context: &mut Context<'_>) -> Poll<Duration> {
        match &mut self.free {
            Some(free) => free.poll(context),
            None => Poll::Ready(Duration::ZERO),
        }
    }

    /// What is played has a clock of its own.
    fn wall(&self) -> Timestamp {
        let played = self.clock.as_ref().and_then(Clock::now);
        played.unwrap_or_else(Timestamp::now)
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::SaveDraft { .. } | Effect::SaveAttached { .. } | Effect::SaveSeen { .. }
                if self.clock.is_some() => {}
            Effect::Attach(at, effect) => self.seats.perform(&at, effect),
            Effect::Launch(plan) => self.launch(plan),
            Effect::OpenRun(at) => self.open(at, None),
            Effect::OpenAs(at, answer) => self.open(at, Some(answer)),
            Effect::LookFirst(at) => self.look(at),
            Effect::CloseRun(at) => self.close(&at),
            Effect::ListRuns => self.list(),
            Effect::Colour(snippets) => self.colour(snippets),
            save @ (Effect::SaveDraft { .. }
            | Effect::SaveAttached { .. }
            | Effect::SaveSeen { .. }
            | Effect::SaveHistory(_)) => self.keep(save),
            Effect::RunHere {
                number,
                command,
                of,
            } => self.run_here(number, command, of),
            Effect::ReadFile { path, of, at } => self.read_file(&path, of, at),
            Effect::EndHere => self.commands.abort_all(),
            Effect::ListPaths(of) => self.list_paths(of),
            Effect::ReadHistory => self.read_history(),
            Effect::SavePieces { of, wanted } => self.save(&of, wanted),
            Effect::Copy(text) => self.copy(&text),
            Effect::Bell => self.say(notify::bell(self.habits.notify)),
            Effect::Notify(words) => self.notify(words),
            Effect::Mouse(on) => self.note("the terminal does not listen", terminal::mouse(on)),
            Effect::Title(words) => {
                self.note("the terminal does not listen", terminal::title(&words));
            }
            Effect::Adopt(manners) => {
                self.note("the terminal does not listen", terminal::adopt(manners));
            }
            // The loop does these itself.
            Effect::Edit { .. }
            | Effect::Combine { .. }
            | Effect::OpenAt { .. }
            | Effect::Redraw
            | Effect::Suspend
            | Effect::Quit { .. } => (),
        }
    }
}

/// Makes a run, and follows it.
async fn launch(harbour: Arc<dyn Harbour>, events: mpsc::Sender<Event>, place: Place, plan: Plan) {
    let (told, mut words) = mpsc::channel(16);
    let launching = harbour.launch(&plan, told);
    let hearing = async {
        while let Some(step) = words.recv().await {
            tell(&events, Event::Launch(Progress::Step(step))).await;
        }
    };
    // The words end when the launch drops its sender.
    let (launched, ()) = tokio::join!(launching, hearing);
    let progress = match launched {
        Ok(opened) => {
            let at = opened.attached.at.clone();
            place.take(at.clone(), opened.performer);
            let attached = Box::new(opened.attached);
            tell(&events, Event::Launch(Progress::Done(attached))).await;
            return forward(at, opened.events, events).await;
        }
        Err(NotLaunched::TooLarge {
            files,
            bytes,
            limit,
        }) => Progress::TooLarge {
            files,
            bytes,
            limit,
        },
        Err(NotLaunched::Failed(why)) => Progress::Failed(why),
    };
    tell(&events, Event::Launch(progress)).await;
}

/// Joins a run, and follows it.
async fn open(
    harbour: Arc<dyn Harbour>,
    events: mpsc::Sender<Event>,
    place: Place,
    store: Store,
    (at, answer): (RunRef, Option<Answer>),
) {
    let of_run = |event| Event::Of(at.clone(), Box::new(event));
    match harbour.open(&at, answer).await {
        Ok(Berth::Look(look)) => tell(&events, Event::Looked(look)).await,
        Ok(Berth::Open(opened)) => {
            place.take(at.clone(), opened.performer);
            tell(&events, Event::Opened(Box::new(opened.attached))).await;
            if let Some(seen) = store.seen(&at.run) {
                tell(&events, of_run(Event::SeenFound(seen))).await;
            }
            let draft = store.draft(Some(&at.run));
            tell(&events, of_run(Event::DraftFound(draft))).await;
            find_attached(&store, Some(at.clone()), &events).await;
            forward(at, opened.events, events).await;
        }
        Err(why) => tell(&events, of_run(Event::OpenFailed(why))).await,
    }
}

/// Reads again what was to go with the next message, or with the first one of the next new run.
async fn find_attached(store: &Store, at: Option<RunRef>, events: &mpsc::Sender<Event>) {
    let (store, run) = (store.clone(), at.as_ref().map(|at| at.run.clone()));
    let read = tokio::task::spawn_blocking(move || {
        let paths = store.attached(run.as_ref());
        let paths = paths.iter().map(Path::new);
        paths.map(attachment::read).collect()
    });
    let found: Vec<_> = read.await.unwrap_or_default();
    if !found.is_empty() {
        tell(events, of_run(at, Event::AttachedFound(found))).await;
    }
}

/// Of this run, or of the next new one.
fn of_run(at: Option<RunRef>, event: Event) -> Event {
    match at {
        Some(at) => Event::Of(at, Box::new(event)),
        None => event,
    }
}

async fn forward(
    at: RunRef,
    mut from: mpsc::Receiver<crate::attach::event::Event>,
    to: mpsc::Sender<Event>,
) {
    while let Some(event) = from.recv().await {
        let event = Box::new(Event::Attach(event));
        tell(&to, Event::Of(at.clone(), event)).await;
    }
}

/// A screen that is gone hears nothing.
async fn tell(events: &mpsc::Sender<Event>, event: Event) {
    if events.send(event).await.is_err() {
        tracing::trace!("the screen is gone");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has no runs and makes none.
    struct Empty;

    #[async_trait]
    impl Harbour for Empty {
        async fn list(&self) -> Result<Vec<RunRow>, String> {
            Ok(Vec::new())
        }

        fn directory(&self) -> &Path {
            Path::new("/")
        }

        async fn paths(&self, of: Option<PathBuf>, _: usize) -> Result<Listing, String> {
            Ok(Listing {
                of,
                ..Listing::default()
            })
        }

        async fn open(&self, at: &RunRef, _: Option<Answer>) -> Result<Berth, String> {
            Err(format!("there is no run {}", at.run))
        }

        async fn look(&self, at: &RunRef) -> Result<Look, String> {
            Err(format!("there is no run {}", at.run))
        }

        async fn launch(
            &self,
            plan: &Plan,
            told: mpsc::Sender<String>,
        ) -> Result<Opened, NotLaunched> {
            told.send("looking".to_owned()).await.ok();
            if plan.accept_size {
                return Err(NotLaunched::Failed("no endpoint".to_owned()));
            }
            Err(NotLaunched::TooLarge {
                files: 3,
                bytes: 2,
                limit: 1,
            })
        }
    }

    async fn told(effect: Effect, count: usize) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut events) = mpsc::channel(8);
        let store = Store::new(folder.path(), folder.path());
        let mut hands = Hands::new(Arc::new(Empty), store, sender);
        hands.perform(effect);
        let mut heard = Vec::new();
        while heard.len() < count {
            heard.push(format!("{:?}", events.recv().await.unwrap()));
        }
        heard
    }

    fn plan(accept_size: bool) -> Effect {
        Effect::Launch(Plan {
            prompt: "x".into(),
            accept_size,
        })
    }

    #[tokio::test]
    async fn every_order_is_answered_once() {
        let at = RunRef {
            project: crate::protocol::ids::ProjectId(1),
            task: "t".parse().unwrap(),
            run: "r".parse().unwrap(),
        };
        assert_eq!(told(Effect::ListRuns, 1).await, ["RunsListed(Ok([]))"]);
        assert_eq!(
            told(Effect::OpenRun(at), 1).await,
            [
                "Of(RunRef { project: ProjectId(1), task: TaskId(\"t\"), run: RunId(\"r\") }, OpenFailed(\"there is no run r\"))"
            ]
        );
        let step = "Launch(Step(\"looking\"))";
        assert_eq!(
            told(plan(true), 2).await,
            [step, "Launch(Failed(\"no endpoint\"))"]
        );
        assert_eq!(
            told(plan(false), 2).await,
            [step, "Launch(TooLarge { files: 3, bytes: 2, limit: 1 })"]
        );
    }

    #[tokio::test]
    async fn a_disk_that_refuses_is_one_line_for_the_user() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("screen");
        std::fs::File::create(&blocked).unwrap();
        let (sender, mut events) = mpsc::channel(8);
        let mut hands = Hands::new(
            Arc::new(Empty),
            Store::new(folder.path(), folder.path()),
            sender,
        );
        hands.perform(Effect::SaveDraft {
            of: None,
            text: "x".into(),
        });
        let Some(Event::Noted(line)) = events.recv().await else {
            panic!("nothing was noted")
        };
        assert!(
            line.starts_with("the draft cannot be kept on disk: "),
            "{line}"
        );
    }
}
