//! What the screen orders: one effect, one call.

use std::path::PathBuf;

use crate::attach;
use crate::attach::first::Answer;
use crate::mirror::versions::Versions;
use crate::protocol::ids::{RunId, RunRef};
use crate::tui::away::Seen;
use crate::tui::colours::Snippet;
use crate::tui::piece::Wanted;
use crate::tui::place::Place;
use crate::tui::tty::report::Manners;

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Of this run.
    Attach(RunRef, attach::effect::Effect),
    /// Create task, run and seed, and send the prompt.
    Launch(Plan),
    /// Answer `Opened`, `OpenFailed` or `Looked`; other runs stay open.
    OpenRun(RunRef),
    /// The same, with what was answered to the first look.
    OpenAs(RunRef, Answer),
    /// What would be mirrored here, looked at again. Answer `Looked`, or a line for the user.
    LookFirst(RunRef),
    /// Its tab is closed: its mirror ends here, and the run goes on.
    CloseRun(RunRef),
    ListRuns,
    /// Answer `Coloured`.
    Colour(Vec<Snippet>),
    /// The draft of a run, or of the next new run; an empty text removes what is kept.
    SaveDraft {
        of: Option<RunId>,
        text: String,
    },
    /// The files that go with the next message to a run, or with the first one of the next new run; none removes what
    /// is kept.
    SaveAttached {
        of: Option<RunId>,
        /// Absolute.
        paths: Vec<String>,
    },
    /// How far the run was seen when it was left.
    SaveSeen {
        of: RunId,
        seen: Seen,
    },
    /// Append one prompt to the history.
    SaveHistory(String),
    /// The terminal to this editor, a shell's words, until it ends. Answer `Edited`.
    Edit {
        editor: String,
        text: String,
    },
    /// The terminal to this editor, at a place in a file of the mirrored directory. Answer `Visited`.
    OpenAt {
        editor: String,
        place: Place,
    },
    /// The terminal to this program, a shell's words, with the versions of a conflict. Answer `Combined`.
    Combine {
        of: RunRef,
        tool: String,
        versions: Box<Versions>,
    },
    /// A command of the user on this machine, in the directory of the run or of a new one. Answers `Here`.
    RunHere {
        number: u64,
        command: String,
        of: Option<PathBuf>,
    },
    EndHere,
    /// Answer `FileRead`. The path as it was typed, from the directory of the run or of a new one.
    ReadFile {
        path: String,
        of: Option<PathBuf>,
        at: Option<RunRef>,
    },
    /// Into files; what was done is said.
    SavePieces {
        of: RunId,
        wanted: Wanted,
    },
    /// Answer `PathsListed`; `None` is the directory that a new run would be given.
    ListPaths(Option<PathBuf>),
    /// Answer `HistoryRead`.
    ReadHistory,
    /// To the clipboard, through the terminal and into a file; what was done is said.
    Copy(String),
    Bell,
    /// Somebody who looks elsewhere is wanted, for this.
    Notify(String),
    /// Take the mouse, or give it back.
    Mouse(bool),
    /// The window's title.
    Title(String),
    /// Make use of what the terminal knows.
    Adopt(Manners),
    /// Forget what the terminal shows and draw everything again.
    Redraw,
    Suspend,
    Quit {
        message: Option<String>,
        /// 0, or 143 after a signal.
        code: u8,
    },
}

impl Effect {
    /// Somebody else has the terminal meanwhile.
    pub(crate) fn takes_terminal(&self) -> bool {
        matches!(
            self,
            Self::Edit { .. } | Self::OpenAt { .. } | Self::Combine { .. } | Self::Suspend
        )
    }
}

/// What a new run is made from; everything else was said on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub prompt: String,
    /// The user has seen how large the directory is and wants it sent.
    pub accept_size: bool,
}
