//! What the wire says about files: one change, and the manifest of a whole tree (contract 6 and 10.4).
//!
//! Pure. A change holds a parsed path or it does not exist; refusing is done here, by type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::hash::ContentHash;
use crate::protocol::ids::CommandId;
use crate::protocol::path::RelPath;

/// What a path is, in git's numbers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub enum Mode {
    #[default]
    #[serde(rename = "100644")]
    File,
    #[serde(rename = "100755")]
    Executable,
    /// The target is the content.
    #[serde(rename = "120000")]
    Symlink,
    #[serde(rename = "040000")]
    Directory,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Directory => "040000",
        }
    }
}

/// What stands at a path: bytes by their hash, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileState {
    pub hash: ContentHash,
    /// In bytes.
    pub size: u64,
    #[serde(default)]
    pub mode: Mode,
}

/// Which of the three a `file_sync` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    #[serde(rename = "file_created")]
    Created,
    #[serde(rename = "file_modified")]
    Modified,
    #[serde(rename = "file_deleted")]
    Deleted,
}

impl ChangeKind {
    /// Of a path that was this and is that.
    pub fn of(before: Option<FileState>, now: Option<FileState>) -> Self {
        match (before, now) {
            (_, None) => Self::Deleted,
            (None, Some(_)) => Self::Created,
            (Some(_), Some(_)) => Self::Modified,
        }
    }

    /// The word of the machine output (design 4).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
        }
    }
}

/// A difference of one file, as its `_posthog/file_sync` told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    pub kind: ChangeKind,
    pub path: RelPath,
    /// What stands there now; `None` after a delete. A foreign sender may leave out the hash: then the change is
    /// `Unhashed` to the reader and is refused, since nothing could be verified.
    pub now: Option<FileState>,
    /// What stood there before, as far as the sender says so.
    pub before: Option<ContentHash>,
    /// Where a foreign endpoint keeps the bytes; ours is always `files/<sha256>`.
    pub storage_path: Option<String>,
    /// Counted from 1 in the run; who changed it and in which tool call.
    pub turn: Option<u64>,
    pub tool_call: Option<String>,
}

/// A client's change that the agent side took (contract 10.2): the journal's word that it stands there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub change: FileChange,
    pub before_mode: Option<Mode>,
    /// The `file_changed` it answers.
    pub command: Option<CommandId>,
}

/// A client's change that the agent side did not take: it was made from something else than what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    pub path: RelPath,
    /// What stands there; it has been told before.
    pub current: Option<FileState>,
    /// When it is another one than the hash.
    pub reason: Option<String>,
    /// The `file_changed` it answers.
    pub command: Option<CommandId>,
}

/// Every file of a tree at one moment (contract 6; `mode`, `bundle` and `head` are 10.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileManifest {
    pub version: u32,
    pub base_commit: Option<String>,
    pub updated_at: String,
    /// By path as sent: a reader parses each and reports the ones it refuses.
    pub files: BTreeMap<String, ManifestFile>,
    #[serde(default)]
    pub deleted_files: Vec<String>,
    /// The blob of a git bundle that holds the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<ContentHash>,
    /// The commit that was checked out when the bundle was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The branch that was checked out, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Remotes by name, credentials removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remotes: BTreeMap<String, String>,
}

/// One file of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    pub hash: ContentHash,
    /// In bytes.
    pub size: u64,
    #[serde(default)]
    pub mode: Mode,
}

impl From<ManifestFile> for FileState {
    fn from(file: ManifestFile) -> Self {
        Self {
            hash: file.hash,
            size: file.size,
            mode: file.mode,
        }
    }
}

impl From<FileState> for ManifestFile {
    fn from(state: FileState) -> Self {
        Self {
            hash: state.hash,
            size: state.size,
            mode: state.mode,
        }
    }
}
/// Decimal units, as disks are sold.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
