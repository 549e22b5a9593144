//! The first look of a run into a directory: what is known before anything is written there, and what can be answered.
//!
//! Plain values.

use crate::mirror::forecast::Forecast;
use crate::mirror::status::Way;
use crate::protocol::ids::RunRef;

/// What is known before the first write.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    pub at: RunRef,
    /// What the run was given to do, as far as it is known here.
    pub title: String,
    /// Where it would be mirrored into, as people write it.
    pub directory: String,
    /// Which way changes would travel.
    pub way: Way,
    pub there: There,
    /// `None`: the directory is in no git repository.
    pub here: Option<Here>,
    /// Or why it is not known what would change.
    pub forecast: Result<Forecast, String>,
    /// Or why no git worktree can be made for it.
    pub worktree: Result<(), String>,
}

/// Where the run began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct There {
    /// An address or `owner/name`, without credentials.
    pub repository: Option<String>,
    pub branch: Option<String>,
    pub commit: Option<String>,
}

/// The repository of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Here {
    /// The address of its first remote, without credentials.
    pub repository: Option<String>,
    pub branch: Option<String>,
    pub commit: Option<String>,
    /// Paths that are not committed, and paths that git ignores (a folder counts once); `None` where git did not say
    /// so in time.
    pub dirty: Option<usize>,
    pub ignored: Option<usize>,
    /// The commit the run began with is in this repository.
    pub has_theirs: bool,
}

/// Where the files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Here,
    /// Into a git worktree of its own.
    Worktree,
    /// Nowhere: they are fetched as a patch.
    Patch,
    /// Nowhere.
    Transcript,
    /// Nowhere until it is asked again.
    Later,
}
