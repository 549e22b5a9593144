//! Everything the screen knows beside the run itself: the scene, the draft, the focus, what is folded.
//!
//! Plain values, changed only by [`crate::tui::update::update`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::attach::state::{Attached, Link};
use crate::protocol::ids::{CommandId, RunRef, Seq};
use crate::session::cells::{Kind, Label};
use crate::session::state::{OpenPermission, Session, Turn};
use crate::tui::ask::Ask;
use crate::tui::away::Away;
use crate::tui::citizen::Citizen;
use crate::tui::colours::Colours;
use crate::tui::composer::Composer;
use crate::tui::event::{Drawn, Place, RunRow};
use crate::tui::find::Find;
use crate::tui::keymap::Keymap;
use crate::tui::on::first;
use crate::tui::palette::Palette;
use crate::tui::place::Followed;
use crate::tui::review::Review;
use crate::tui::tabs::Tabs;
use crate::tui::view::diff::AROUND;
use crate::tui::view::{asked, question};
use crate::tui::vim::Vim;
use crate::tui::writing::Writing;

/// How long an answer key is deaf after a question has appeared or a character was typed.
pub const GUARD: Duration = Duration::from_millis(700);
/// How long the leader key may be followed before what follows is told.
pub const LEADER: Duration = Duration::from_millis(400);
/// How long a toast stays.
pub const TOAST: Duration = Duration::from_secs(8);

#[derive(Debug, Clone)]
pub struct State {
    pub scene: Scene,
    /// The other runs that are open.
    pub tabs: Tabs,
    pub composer: Composer,
    pub focus: Focus,
    pub pane: Pane,
    /// The right column, where there is no room for it unasked.
    pub column: bool,
    pub scroll: Scroll,
    /// The cell that Space folds, while browsing.
    pub selected: Option<usize>,
    /// The line that is selected in the files or tools pane.
    pub row: usize,
    /// What the agent touches is shown, and this is where that is.
    pub follow: Option<Followed>,
    pub folds: Folds,
    /// Lines of a diff around what changed.
    pub around: usize,
    pub colours: Colours,
    pub find: Find,
    pub away: Away,
    /// What was said is shown as it was said.
    pub raw: bool,
    pub popup: Option<Popup>,
    pub question: Question,
    pub ask: Ask,
    /// The message that is being changed in place of the draft.
    pub changing: Option<Changing>,
    /// When the leader key was pressed; the next key is one of its own.
    pub leader: Option<Instant>,
    /// What the slash menu has selected.
    pub slash: usize,
    pub slash_hidden: bool,
    pub writing: Writing,
    /// Vim's keys in the draft, where they are wished for.
    pub vim: Option<Vim>,
    pub toasts: Vec<Toast>,
    /// Every toast, for the log; whoever writes it takes them.
    pub said: Vec<String>,
    /// When Ctrl+C was pressed on an empty draft.
    pub interrupted: Option<Instant>,
    /// Columns and rows.
    pub size: (u16, u16),
    /// All of it is printed below what stands there: nothing lies over anything, and no size is too small.
    pub printed: bool,
    pub focused: bool,
    pub citizen: Citizen,
    pub now: Instant,
    pub wall: Timestamp,
    pub zone: jiff::tz::TimeZone,
    /// The draft changed since it was saved.
    pub unsaved: bool,
    pub drawn: Drawn,
    pub keymap: Keymap,
    pub welcome: Welcome,
    /// Something visible changed since this was last set to false.
    pub changed: bool,
}

/// What the first screen says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Welcome {
    pub directory: String,
    pub endpoint: String,
    /// Which agent was found, and the like: whole lines.
    pub lines: Vec<String>,
}

/// What the screen starts with.
#[derive(Debug)]
pub struct Start {
    pub scene: Scene,
    pub welcome: Welcome,
    pub draft: String,
    pub history: Vec<String>,
    pub size: (u16, u16),
    pub now: Instant,
    pub wall: Timestamp,
    pub zone: jiff::tz::TimeZone,
}

#[derive(Debug, Clone)]
pub enum Scene {
    Picker(Picker),
    /// No run yet: the first prompt makes one.
    Composer(Launching),
    /// `OpenRun` has been ordered.
    Opening(RunRef),
    Run(Box<Attached>),
}

#[derive(Debug, Clone, Default)]
pub struct Picker {
    pub rows: Option<Vec<RunRow>>,
    pub failed: Option<String>,
    pub selected: usize,
    pub filter: String,
    pub filtering: bool,
}

/// How far the start of a new run is.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Launching {
    #[default]
    No,
    Running {
        prompt: String,
        step: String,
        since: Option<Instant>,
    },
    /// The prompt is back in the composer.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// Typing goes to the draft.
    Edit,
    /// Letters are keys.
    Browse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    #[default]
    Chat,
    Tools,
    Files,
    Plan,
}

impl Pane {
    pub const ALL: [Pane; 4] = [Self::Chat, Self::Tools, Self::Files, Self::Plan];
}

/// What part of the transcript is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scroll {
    /// The end, whatever comes.
    #[default]
    Follow,
    /// This line is the first one; may lie outside the item, the view walks to where it really is.
    At(Place),
    /// Where the match that is looked at can be seen.
    Match,
}

/// What is unfolded beyond what unfolds by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folds {
    pub all: bool,
    /// Cells that are the other way than they would be.
    pub flipped: BTreeSet<Seq>,
}

impl Folds {
    /// Is this cell unfolded?
    pub fn open(&self, label: &Label) -> bool {
        self.all || (unfolds(label) != self.flipped.contains(&label.seq))
    }
}

/// Unfolded without being asked.
fn unfolds(label: &Label) -> bool {
    match label.kind {
        Kind::Tool | Kind::Notice => label.is_error,
        Kind::User | Kind::Agent => true,
        Kind::Thought | Kind::Attachment | Kind::TurnEnd => false,
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Popup {
    /// The keys, from this line on.
    Help {
        top: usize,
    },
    Confirm(Confirm),
    /// What the agent asks for, over the whole screen, from this line on.
    Asked {
        top: usize,
    },
    /// Modes and options of the agent; which line is chosen.
    Choose {
        row: usize,
    },
    /// What a command on this machine prints, so many lines back from its end.
    Here {
        back: usize,
    },
    Palette(Palette),
    /// Places in files that a call tells; which line is chosen.
    Places {
        chosen: usize,
    },
    /// What can be copied; which line is chosen.
    Copy {
        chosen: usize,
    },
    /// A file change by change, or what an undo would do.
    Review(Box<Review>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Confirm {
    Stop,
    /// The first prompt waits for a yes to the size.
    Size {
        prompt: String,
        files: u64,
        bytes: u64,
        limit: u64,
    },
}

/// The agent's question that is on the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Which one, and since when.
    pub shown: Option<(String, Instant)>,
    /// Put aside by the user, to be brought back.
    pub aside: BTreeSet<String>,
    /// Answered here; the journal has not said so yet.
    pub answered: BTreeSet<String>,
    pub details: bool,
    /// Answers before the nine that the digits pick from.
    pub from: usize,
    /// Brought back by hand: the answer keys are awake whatever the draft is.
    pub called: bool,
    pub typed: Option<Instant>,
    /// It came while there was a draft: that draft is no answer to it.
    pub over: bool,
}

/// A message that waits for the agent, in the composer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changing {
    pub command: CommandId,
    /// Its words as they wait.
    pub was: String,
    /// The draft of before.
    pub kept: String,
    /// There is more to it than its words.
    pub partial: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    pub text: String,
    /// How often it was said while it stood.
    pub times: u32,
    pub until: Instant,
}

/// How much room there is (columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Status and the last message.
    Tiny,
    /// 30–49.
    Side,
    /// 50–79.
    Tabs,
    /// 80–119.
    Middle,
    /// 120 and more.
    Wide,
}

impl State {
    pub fn new(mut start: Start) -> Self {
        Self {
            tabs: Tabs::of(&start.scene, &mut start.draft),
            scene: start.scene,
            composer: Composer::new(start.draft, start.history),
            focus: Focus::Edit,
            pane: Pane::Chat,
            column: false,
            scroll: Scroll::Follow,
            selected: None,
            row: 0,
            follow: None,
            folds: Folds::default(),
            around: AROUND,
            colours: Colours::default(),
            find: Find::default(),
            away: Away::default(),
            raw: false,
            popup: None,
            question: Question::default(),
            ask: Ask::default(),
            changing: None,
            leader: None,
            slash: 0,
            slash_hidden: false,
            writing: Writing::default(),
            vim: None,
            toasts: Vec::new(),
            said: Vec::new(),
            interrupted: None,
            size: start.size,
            printed: false,
            focused: true,
            citizen: Citizen::default(),
            now: start.now,
            wall: start.wall,
            zone: start.zone,
            unsaved: false,
            drawn: Drawn::default(),
            keymap: Keymap::default(),
            welcome: start.welcome,
            changed: true,
        }
    }

    pub fn tier(&self) -> Tier {
        match self.size {
            (columns, rows) if columns < 30 || rows < 8 => Tier::Tiny,
            (..50, _) => Tier::Side,
            (..80, _) => Tier::Tabs,
            (..120, _) => Tier::Middle,
            _ => Tier::Wide,
        }
    }

    /// The right column stands beside the chat.
    pub fn has_column(&self) -> bool {
        if self.raw {
            return false;
        }
        match self.tier() {
            Tier::Wide => self.citizen.habits.column || self.column,
            Tier::Middle => self.column,
            Tier::Tiny | Tier::Side | Tier::Tabs => false,
        }
    }

    pub fn attached(&self) -> Option<&Attached> {
        match &self.scene {
            Scene::Run(attached) => Some(attached),
            Scene::Picker(_) | Scene::Composer(_) | Scene::Opening(_) => None,
        }
    }

    pub(crate) fn attached_mut(&mut self) -> Option<&mut Attached> {
        match &mut self.scene {
            Scene::Run(attached) => Some(attached),
            Scene::Picker(_) | Scene::Composer(_) | Scene::Opening(_) => None,
        }
    }

    pub fn session(&self) -> Option<&Session> {
        self.attached().map(|attached| &attached.session)
    }

    /// A turn is running.
    pub fn is_working(&self) -> bool {
        self.session()
            .is_some_and(|session| matches!(session.turn, Turn::Working { .. }))
    }

    /// The open questions that have not been answered here, oldest first.
    pub fn questions(&self) -> Vec<&OpenPermission> {
        self.session()
            .map(|session| session.permissions.iter())
            .into_iter()
            .flatten()
            .filter(|open| !self.question.answered.contains(&open.request))
            .collect()
    }

    /// The question on the screen: the oldest that was not put aside.
    pub fn asking(&self) -> Option<&OpenPermission> {
        self.questions()
            .into_iter()
            .find(|open| !self.question.aside.contains(&open.request))
    }

    /// The question stands where it can be read: nothing lies over it, and there is room for it.
    pub fn question_in_sight(&self) -> bool {
        let drawn = match self.popup {
            None => self.printed || question::fits(self),
            Some(Popup::Asked { .. }) => self.printed || asked::fits(self),
            Some(_) => false,
        };
        let under = self.leader_is_told() && !self.printed;
        self.asking().is_some() && drawn && !under
    }

    /// The answer keys answer; otherwise they write. What is typed must never answer by accident.
    pub fn answers_are_awake(&self) -> bool {
        let rested = |since: Instant| self.now.saturating_duration_since(since) >= GUARD;
        let page = matches!(self.popup, Some(Popup::Asked { .. }));
        let writes = self.focus == Focus::Edit && !self.composer.is_empty() && !page;
        self.question_in_sight()
            && self.ask.writing.is_none()
            && self.writing.search.is_none()
            && self
                .question
                .shown
                .as_ref()
                .is_some_and(|(_, since)| rested(*since))
            && self.question.typed.is_none_or(rested)
            && (self.question.called || !writes)
    }

    /// How many tool calls there are.
    /// The cells of the tool calls, oldest first.
    pub fn calls(&self) -> &[usize] {
        self.session().map_or(&[], Session::calls)
    }

    /// When something is to be done without waiting for anything else: at once while a search has not been
    /// everywhere.
    pub fn soon(&self) -> Option<Instant> {
        let session = self.session();
        let behind = session.is_some_and(|one| self.find.is_behind(one.transcript.cells.len()));
        let leader = self.leader.filter(|_| !self.leader_is_told());
        behind
            .then_some(self.now)
            .or(first::deaf_until(self))
            .or(leader.map(|since| since + LEADER))
    }

    /// Somebody has pressed the leader key and looks for what may follow.
    pub fn leader_is_told(&self) -> bool {
        self.leader
            .is_some_and(|since| self.now.saturating_duration_since(since) >= LEADER)
    }

    /// Something on the picture changes with time alone.
    pub fn elapses(&self) -> bool {
        let launching = matches!(
            self.scene,
            Scene::Composer(Launching::Running { .. }) | Scene::Opening(_)
        );
        let link = self
            .attached()
            .is_some_and(|attached| matches!(attached.link, Link::Reconnecting { .. }));
        let step = self.session().is_some_and(|session| {
            session
                .steps
                .iter()
                .any(|step| step.started.is_some() && step.ended.is_none())
        });
        let guarded = self.question_in_sight() && !self.answers_are_awake();
        launching
            || link
            || step
            || guarded
            || self.unsaved
            || self.ask.wish.is_some()
            || self.is_working()
            || !self.toasts.is_empty()
    }
}

/// The slash commands of the screen that are listed. Every action of the key map has its name as one too; what the
/// agent offers by that name goes to the agent, but for the short names that were always ours.
pub const OURS: [(&str, &str); 19] = [
    ("find", "search what was said"),
    ("away", "to what came while you were away"),
    ("attach", "a file with the message: /attach PATH"),
    ("conflict", "the versions of a conflict, to decide it"),
    ("copy", "copy a piece of what was said"),
    ("files", "what changed in the directory"),
    ("tools", "the tool calls"),
    ("plan", "the plan, tools and files"),
    ("mode", "mode, model and other options of the agent"),
    ("mouse", "the mouse wheel, on or off"),
    ("retry", "connect now"),
    ("raw", "raw text, to be selected by hand"),
    ("runs", "list the runs"),
    ("close", "close this tab; the run goes on"),
    ("stop", "end the run"),
    ("detach", "leave; the run goes on"),
    ("help", "the keys"),
    ("palette", "all that can be done"),
    ("quit", "leave; the run goes on"),
];
