//! What the mirror says of itself, to the screen and to machines.
//!
//! Plain values; no I/O.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::protocol::file::{ChangeKind, FileState};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::Seq;

/// The words of design section 4, `mirror status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorState {
    #[default]
    Off,
    Live,
    CatchingUp,
    Paused,
    Halted,
    Conflict,
}

/// Which way changes travel: the `direction` of design section 4, kept per run and directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    #[default]
    Both,
    /// Theirs comes; edits made here are counted and stay.
    Down,
    /// Edits made here go; theirs waits.
    Up,
    /// Both wait.
    Off,
}

impl Way {
    pub fn is_down(self) -> bool {
        matches!(self, Self::Both | Self::Down)
    }

    pub fn is_up(self) -> bool {
        matches!(self, Self::Both | Self::Up)
    }

    /// The next one, for a key that goes round.
    pub fn next(self) -> Self {
        match self {
            Self::Both => Self::Down,
            Self::Down => Self::Up,
            Self::Up => Self::Off,
            Self::Off => Self::Both,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Down => "down",
            Self::Up => "up",
            Self::Off => "off",
        }
    }
}

/// Everything a status line or `ashore mirror status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MirrorStatus {
    pub state: MirrorState,
    pub directory: Option<PathBuf>,
    /// Changes that wait to come down.
    pub down: u64,
    /// Files edited here that the other side has not acknowledged.
    pub up: u64,
    /// Those of them that are being sent, or wait for their answer.
    #[serde(default)]
    pub under_way: u64,
    #[serde(default)]
    pub direction: Way,
    pub conflicts: Vec<Conflict>,
    /// Changes of theirs that could not be put here; the first of them.
    #[serde(default)]
    pub held: Vec<Held>,
    /// How many more there are.
    #[serde(default)]
    pub held_beyond: u64,
    /// When the directory was last compared with the base, whole.
    pub checked_at: Option<Timestamp>,
    /// Why it is off, paused or halted, and what to do, in one sentence.
    pub reason: Option<String>,
    /// Every file entry up to this line has been decided.
    pub settled: Seq,
    /// Why the directory cannot be watched: it is looked at whole every few seconds instead. `None`: it is watched.
    #[serde(default)]
    pub polls: Option<String>,
}

impl MirrorStatus {
    /// Changes of theirs that could not be put here.
    pub fn held_count(&self) -> usize {
        let beyond = usize::try_from(self.held_beyond).unwrap_or(usize::MAX);
        self.held.len().saturating_add(beyond)
    }

    /// One of them has not been tried a second time since it is known here.
    pub fn is_held_untried(&self) -> bool {
        self.held.iter().any(|held| held.tries == 0)
    }
}

/// A change of theirs that could not be put here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub path: String,
    pub reason: String,
    /// When it is tried by itself; `None` where something here has to change first, or somebody has to ask.
    #[serde(default)]
    pub next_try: Option<Timestamp>,
    /// Of what is too large, in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// How often it was tried once more since it is known here.
    #[serde(default)]
    pub tries: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub path: String,
    /// The copy of theirs that stands beside it; `None` when theirs is a delete.
    pub theirs: Option<String>,
    /// What the three versions are; `None` from a holder that does not say it.
    #[serde(default)]
    pub versions: Option<States>,
}

/// Base, yours and theirs; `None`: nothing stands there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    pub base: Option<FileState>,
    pub mine: Option<FileState>,
    pub theirs: Option<FileState>,
}

/// What became of one file entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    pub path: String,
    #[serde(with = "change_word")]
    pub change: ChangeKind,
    pub direction: Direction,
    pub result: Outcome,
    pub hash: Option<ContentHash>,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Down,
    Up,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Settled,
    Conflict,
    Skipped,
    Failed,
}

/// `created`, `modified`, `deleted`: the machine output drops the wire's prefix.
mod change_word {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::protocol::file::ChangeKind;

    pub(super) fn serialize<S: Serializer>(kind: &ChangeKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ChangeKind, D::Error> {
        match String::deserialize(from)?.as_str() {
            "created" => Ok(ChangeKind::Created),
            "modified" => Ok(ChangeKind::Modified),
            "deleted" => Ok(ChangeKind::Deleted),
            word => Err(serde::de::Error::custom(format!("unknown change `{word}`"))),
        }
    }
}
