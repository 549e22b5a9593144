//! What can happen to the screen: facts, in the past tense.

use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;

use crate::attach;
use crate::attach::attachment::Attachment;
use crate::attach::first::Look;
use crate::attach::state::Attached;
use crate::protocol::file::FileState;
use crate::protocol::ids::RunRef;
use crate::protocol::path::RelPath;
use crate::protocol::run::Status;
use crate::tui::away::Seen;
use crate::tui::colours::{Found, Snippet};
use crate::tui::keymap::Key;
use crate::tui::tastes::Tastes;
use crate::tui::tty::report::Report;

#[derive(Debug, Clone)]
pub enum Event {
    /// It concerns this run, on the screen or behind it; without this, what is on the screen.
    Of(RunRef, Box<Event>),
    /// The clocks, before every batch of events and once a second while something elapses.
    Tick {
        now: Instant,
        wall: Timestamp,
    },
    Key(Key),
    /// A bracketed paste.
    Paste(String),
    /// Columns and rows.
    Resized(u16, u16),
    /// Somebody else had the terminal, and it is ours again, this large now: columns and rows.
    Returned(u16, u16),
    FocusGained,
    FocusLost,
    /// The wheel was turned so many steps; up is negative.
    Wheel(i16),
    /// An answer of the terminal that came after the first picture, or what it tells by itself.
    Told(Report),
    /// The picture has been drawn; this part of the transcript is on it.
    Drawn(Drawn),
    /// Text on the last picture that is still without its colours.
    Wanted(Vec<Snippet>),
    Coloured(Vec<Found>),
    /// A signal asks us to go.
    Terminated,
    /// SIGINT or SIGQUIT that no key made: while the terminal is ours, its keys make none.
    Interrupted,
    /// SIGTSTP that no key made.
    Stopped,
    Attach(attach::event::Event),
    Launch(Progress),
    /// The run asked for by `OpenRun` is there.
    Opened(Box<Attached>),
    OpenFailed(String),
    /// Before the run is mirrored somewhere for the first time: what would be.
    Looked(Box<Look>),
    /// How far the run that was opened had been seen.
    SeenFound(Seen),
    /// What was being written to the run that was opened.
    DraftFound(String),
    /// The files that were to go with it, each or a sentence on why it cannot.
    AttachedFound(Vec<Result<Attachment, String>>),
    RunsListed(Result<Vec<RunRow>, String>),
    /// What the editor left, or a sentence on why the draft is as it was.
    Edited(Result<String, String>),
    /// Asked for by `OpenAt`: the editor has ended, or why there was none.
    Visited(Result<(), String>),
    Here(Here),
    PathsListed(Listing),
    /// Asked for by `Combine`.
    Combined(Combined),
    /// The prompts of all screens, oldest first.
    HistoryRead(Vec<String>),
    /// A file for the next message, or a sentence on why it cannot go with it.
    FileRead(Box<Result<Attachment, String>>),
    /// The config was saved: what holds now, or a sentence on why it cannot.
    Tastes(Box<Result<Tastes, String>>),
    /// One line for the user, from the shell.
    Noted(String),
}

/// How far the start of a new run is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// What is being done now, in words.
    Step(String),
    /// The directory is larger than what is sent without asking.
    TooLarge {
        files: u64,
        bytes: u64,
        limit: u64,
    },
    Failed(String),
    /// The run is there and the prompt is accepted.
    Done(Box<Attached>),
}

/// What of the transcript was on the last picture. An item is a cell's index plus one; 0 is the setting up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drawn {
    pub top: Place,
    pub bottom: Place,
    /// The last line of all was visible.
    pub at_end: bool,
    pub rows: u16,
}

/// A line of the transcript: an item, and a line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub item: usize,
    pub line: i64,
}

/// Of a command that was run on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// Which one.
    pub number: u64,
    pub said: Said,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Printed(String),
    /// How, in words.
    Ended(String),
}

/// What a program made of the versions of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined {
    pub of: RunRef,
    pub path: RelPath,
    /// The version of this side that it was made from.
    pub over: Option<FileState>,
    /// Or a sentence on why nothing was merged.
    pub text: Result<String, String>,
}

/// The files of a directory that a draft may name, by the rules of the mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// As it was asked for.
    pub of: Option<PathBuf>,
    pub paths: Vec<String>,
    /// There are more than are listed.
    pub is_cut: bool,
}

/// One line of the picker.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    pub at: RunRef,
    pub title: String,
    pub status: Status,
    pub agent: Option<String>,
    /// The last part of the directory or the repository's name.
    pub place: String,
    /// What it waits for, in words.
    pub needs: Option<String>,
    pub working: bool,
    pub updated: Option<Timestamp>,
    /// Mirrored into this directory.
    pub here: bool,
    pub facts: Facts,
}

/// What is known of a run without asking for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Finished and running turns.
    pub turns: Option<u64>,
    /// Changed by the agent.
    pub files: Option<u64>,
    /// Clients that are attached.
    pub clients: Option<u64>,
    /// Of the pull request.
    pub pr_url: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}
