//! The runs that are open beside the one on the screen: each with all that it had there.
//!
//! Plain values, changed only by [`crate::tui::update::update`].

use crate::attach::attachment::Attachment;
use crate::attach::state::{Attached, Link};
use crate::protocol::ids::RunRef;
use crate::protocol::run::Status;
use crate::tui::ask::Ask;
use crate::tui::away::Away;
use crate::tui::composer::Composer;
use crate::tui::event::Drawn;
use crate::tui::find::Find;
use crate::tui::place::Followed;
use crate::tui::state::{
    Changing, Confirm, Focus, Folds, Launching, Pane, Picker, Popup, Question, Scene, Scroll, State,
};
use crate::tui::view::head;
use crate::tui::writing::{Mention, Search};

/// Open at once. Each follows its run and keeps its mirror.
pub const MOST: usize = 9;

#[derive(Debug, Clone, Default)]
pub struct Tabs {
    /// In the order of their numbers; `None` is the one on the screen.
    pub list: Vec<Option<Box<Tab>>>,
    /// The one that was on the screen before the picker.
    pub last: usize,
    /// What was being written to the next new run, while no tab is for it.
    pub draft: String,
    /// The files that were to go with it.
    pub attached: Vec<Attachment>,
    /// Something happens to a tab that is not on the screen: this one.
    pub(crate) behind: Option<usize>,
}

/// A run, or the start of one, that is not on the screen: the part of [`State`] that is its own.
#[derive(Debug, Clone)]
pub struct Tab {
    pub scene: Scene,
    composer: Composer,
    focus: Focus,
    pane: Pane,
    scroll: Scroll,
    selected: Option<usize>,
    row: usize,
    follow: Option<Followed>,
    folds: Folds,
    find: Find,
    away: Away,
    raw: bool,
    popup: Option<Popup>,
    question: Question,
    ask: Ask,
    changing: Option<Changing>,
    slash: usize,
    slash_hidden: bool,
    search: Option<Search>,
    mention: Option<Mention>,
    dismissed: Option<usize>,
    attachments: Vec<Attachment>,
    unsaved: bool,
    drawn: Drawn,
    worked: bool,
    /// A turn ended, and nobody has looked since.
    pub ended: bool,
    /// As the line of tabs shows it.
    pub name: String,
    pub sign: Sign,
}

/// How a tab stands, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// The agent, or the start of the run, waits for an answer.
    Asks,
    Failed,
    Conflict,
    /// A turn ended that nobody has looked at.
    Ended,
    Works,
    Reconnects,
    Starts,
    Completed,
    Stopped,
    Idle,
}

impl Sign {
    /// Somebody should look.
    pub fn wants_you(self) -> bool {
        matches!(
            self,
            Self::Asks | Self::Failed | Self::Conflict | Self::Ended
        )
    }

    /// Of what is on the screen, or is put there for a moment.
    pub fn of(state: &State) -> Self {
        match &state.scene {
            _ if matches!(state.popup, Some(Popup::Confirm(Confirm::Size { .. }))) => Self::Asks,
            Scene::Opening(_) if state.popup.is_some() => Self::Asks,
            Scene::Composer(Launching::Failed(_)) => Self::Failed,
            Scene::Composer(Launching::Running { .. }) | Scene::Opening(_) => Self::Starts,
            Scene::Composer(Launching::No) | Scene::Picker(_) => Self::Idle,
            Scene::Run(attached) => Self::of_run(state, attached),
        }
    }

    fn of_run(state: &State, attached: &Attached) -> Self {
        match (&attached.link, &attached.session.status) {
            _ if !state.questions().is_empty() => Self::Asks,
            (Link::Offline { .. }, _) | (_, Some(Status::Failed)) => Self::Failed,
            _ if !attached.mirror.conflicts.is_empty() => Self::Conflict,
            (Link::Reconnecting { .. }, _) => Self::Reconnects,
            _ if state.is_working() => Self::Works,
            (_, Some(Status::Completed)) => Self::Completed,
            (_, Some(Status::Cancelled)) => Self::Stopped,
            _ => Self::Idle,
        }
    }
}

impl Tab {
    /// Nothing of any run: what the picker begins with.
    pub(crate) fn picker() -> Self {
        Self {
            scene: Scene::Picker(Picker::default()),
            composer: Composer::default(),
            focus: Focus::Edit,
            pane: Pane::Chat,
            scroll: Scroll::Follow,
            selected: None,
            row: 0,
            follow: None,
            folds: Folds::default(),
            find: Find::default(),
            away: Away::default(),
            raw: false,
            popup: None,
            question: Question::default(),
            ask: Ask::default(),
            changing: None,
            slash: 0,
            slash_hidden: false,
            search: None,
            mention: None,
            dismissed: None,
            attachments: Vec::new(),
            unsaved: false,
            drawn: Drawn::default(),
            worked: false,
            ended: false,
            name: String::new(),
            sign: Sign::Idle,
        }
    }

    /// What is on the screen goes in here, and what was in here goes there. The history stays with the screen.
    pub(crate) fn exchange(&mut self, state: &mut State) {
        use std::mem::swap;
        state.composer.hand_history(&mut self.composer);
        swap(&mut self.scene, &mut state.scene);
        swap(&mut self.composer, &mut state.composer);
        swap(&mut self.focus, &mut state.focus);
        swap(&mut self.pane, &mut state.pane);
        swap(&mut self.scroll, &mut state.scroll);
        swap(&mut self.selected, &mut state.selected);
        swap(&mut self.row, &mut state.row);
        swap(&mut self.follow, &mut state.follow);
        swap(&mut self.folds, &mut state.folds);
        swap(&mut self.find, &mut state.find);
        swap(&mut self.away, &mut state.away);
        swap(&mut self.raw, &mut state.raw);
        swap(&mut self.popup, &mut state.popup);
        swap(&mut self.question, &mut state.question);
        swap(&mut self.ask, &mut state.ask);
        swap(&mut self.changing, &mut state.changing);
        swap(&mut self.slash, &mut state.slash);
        swap(&mut self.slash_hidden, &mut state.slash_hidden);
        swap(&mut self.search, &mut state.writing.search);
        swap(&mut self.mention, &mut state.writing.mention);
        swap(&mut self.dismissed, &mut state.writing.dismissed);
        swap(&mut self.attachments, &mut state.writing.attachments);
        swap(&mut self.unsaved, &mut state.unsaved);
        swap(&mut self.drawn, &mut state.drawn);
        swap(&mut self.worked, &mut state.citizen.worked);
    }

    /// After it left the screen, or something happened to it: what its line shows. `state` has it on the screen.
    pub(crate) fn describe(&mut self, state: &State) {
        let sign = Sign::of(state);
        let is_news = self.ended && sign > Sign::Ended;
        self.sign = if is_news { Sign::Ended } else { sign };
        let title = state.session().and_then(|session| session.title.as_deref());
        // The first words of a long run lie on disk: they are not read for every line of it.
        if self.name.is_empty() || self.name == head::UNNAMED || title.is_some() {
            self.name = name(state);
        }
    }

    /// Which run, once that is known.
    pub fn at(&self) -> Option<&RunRef> {
        at(&self.scene)
    }
}

/// Whose scene it is.
pub(crate) fn at(scene: &Scene) -> Option<&RunRef> {
    match scene {
        Scene::Run(attached) => Some(&attached.at),
        Scene::Opening(at) => Some(at),
        Scene::Picker(_) | Scene::Composer(_) => None,
    }
}

/// What a tab is called.
pub(crate) fn name(state: &State) -> String {
    match &state.scene {
        Scene::Run(attached) => head::name(attached),
        Scene::Opening(at) => at.run.short().to_owned(),
        Scene::Composer(_) => head::UNNAMED.to_owned(),
        Scene::Picker(_) => String::new(),
    }
}

impl Tabs {
    /// What the screen begins with. In the picker the draft is nobody's yet.
    pub(crate) fn of(scene: &Scene, draft: &mut String) -> Self {
        match scene {
            Scene::Picker(_) => Self {
                draft: std::mem::take(draft),
                ..Self::default()
            },
            Scene::Composer(_) | Scene::Opening(_) | Scene::Run(_) => Self {
                list: vec![None],
                ..Self::default()
            },
        }
    }

    /// The one on the screen; `None` is the picker.
    pub fn front(&self) -> Option<usize> {
        let mut places = self.list.iter().enumerate();
        let (index, _) =
            places.find(|(index, tab)| tab.is_none() && Some(*index) != self.behind)?;
        Some(index)
    }

    /// Those that are not on the screen, with their places.
    pub fn others(&self) -> impl Iterator<Item = (usize, &Tab)> {
        let tabs = self.list.iter().enumerate();
        tabs.filter_map(|(index, tab)| Some((index, tab.as_deref()?)))
    }

    pub(crate) fn of_run(&self, run: &RunRef) -> Option<usize> {
        let mut others = self.others();
        let (index, _) = others.find(|(_, tab)| tab.at() == Some(run))?;
        Some(index)
    }
}
