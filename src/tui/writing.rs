//! What helps to write the draft: the search of the history, files to name, a command run here.
//!
//! Plain values, changed only by [`crate::tui::update::update`].

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Instant;

use crate::attach::attachment::Attachment;

#[derive(Debug, Clone, Default)]
pub struct Writing {
    /// The history is searched; the draft waits beside it.
    pub search: Option<Search>,
    /// A path is being written behind an `@`.
    pub mention: Option<Mention>,
    /// The place of the `@` whose menu was closed.
    pub dismissed: Option<usize>,
    pub paths: Paths,
    /// The last command that was run on this machine.
    pub here: Option<Ran>,
    /// What goes with the next message.
    pub attachments: Vec<Attachment>,
    /// The user's own, as a shell's words.
    pub editor: String,
    /// For conflicts: the same.
    pub merge_tool: Option<String>,
    /// The draft is in the editor; what it was.
    pub edited: Option<String>,
}

impl Writing {
    /// Another run: what was open is closed.
    pub(crate) fn close(&mut self) {
        self.search = None;
        self.mention = None;
        self.dismissed = None;
        self.attachments.clear();
    }
}

/// A search of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    pub needle: String,
    /// The prompts that fit, as places in the history, the one most likely meant first.
    pub found: Vec<usize>,
    /// Which of them is marked.
    pub chosen: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Where the `@` stands, in bytes.
    pub at: usize,
    pub needle: String,
    /// The paths that fit best, the best first.
    pub found: Vec<String>,
}

impl Mention {
    /// Paths that are kept of all that fit.
    pub(crate) const MOST: usize = 50;
}

/// A command that was run on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    pub number: u64,
    pub command: String,
    /// What it printed, the last lines of it.
    pub lines: VecDeque<String>,
    /// Lines before those.
    pub cut: usize,
    /// The next character is written over the last line.
    pub returned: bool,
    /// How it ended, in words.
    pub ended: Option<String>,
}

/// The files of a directory.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// Which one; `None` is the one that a new run would be given.
    pub of: Option<PathBuf>,
    pub known: Vec<String>,
    /// There are more than are listed.
    pub is_cut: bool,
    pub asked: Option<Instant>,
}
