//! What is known of a run from its journal alone.
//!
//! Pure. A [`Session`] changes only through [`crate::session::reduce::apply`].

use jiff::Timestamp;

use crate::protocol::acp::{ConfigOption, Mode, PermissionOption, PlanEntry, SlashCommand, Usage};
use crate::protocol::entry::{Step, StepStatus, Takes};
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::run::Status;
use crate::session::index::Index;
use crate::session::transcript::Transcript;

/// Everything that has been said, folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Session {
    /// The last line applied; a line at or below it changes nothing.
    pub last: Seq,
    pub transcript: Transcript,
    /// What the journal itself says; REST may know better (`attach` holds that).
    pub status: Option<Status>,
    pub title: Option<String>,
    pub turn: Turn,
    /// A cancel of this turn stands in the journal, and the turn has not ended.
    pub cancelling: Option<Cancelling>,
    /// Finished and running turns, counted from 1.
    pub turns: u64,
    /// User messages in the journal that no prompt request has taken yet, in order.
    pub queued: Vec<QueuedPrompt>,
    /// Open questions, oldest first.
    pub permissions: Vec<OpenPermission>,
    /// The lines that tell who answered a question, oldest first.
    pub answers: Vec<Seq>,
    pub plan: Vec<PlanEntry>,
    pub commands: Vec<SlashCommand>,
    pub mode: Option<String>,
    /// The modes that the agent offers, in its order.
    pub modes: Vec<Mode>,
    pub config: Vec<ConfigOption>,
    pub usage: Option<Usage>,
    /// Provisioning, in the order it began.
    pub steps: Vec<StepState>,
    /// Files the agent side reported, newest last, one per path.
    pub files: Vec<FileEntry>,
    /// Changes of a person that were not taken, oldest first, one per path, until a later one of that path is.
    pub refused: Vec<RefusedEdit>,
    pub branch: Option<String>,
    pub pr_url: Option<String>,
    pub agent_version: Option<String>,
    /// What the agent takes in a prompt beside text.
    pub takes: Takes,
    /// Lines that were not JSON.
    pub bad_lines: u64,
    /// The time of the newest entry that told one.
    pub last_time: Option<Timestamp>,
    /// The time of the newest word of the agent itself, or of an answer to it.
    pub heard_time: Option<Timestamp>,
    /// The reducer's own memory.
    pub(crate) index: Index,
}

/// Is the agent at work?
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Turn {
    #[default]
    Idle,
    /// Since the prompt's request line.
    Working {
        since: Option<Timestamp>,
        request: String,
    },
}

/// A turn that is to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cancelling {
    /// As the first cancel of it tells.
    pub since: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueuedPrompt {
    pub command: Option<CommandId>,
    pub text: String,
    pub from: Option<String>,
    /// There is more to it than `text` tells.
    pub partial: bool,
    /// The change that gave it these words.
    pub edit: Option<CommandId>,
    /// A cancel has ended it; it is answered without reaching the agent.
    pub cancelled: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OpenPermission {
    pub request: String,
    pub tool_call: String,
    pub title: String,
    pub kind: Option<String>,
    pub options: Vec<PermissionOption>,
    pub raw_input: Option<serde_json::Value>,
    pub since: Option<Timestamp>,
    /// The line that asked.
    pub seq: Seq,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    pub step: Step,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

impl StepState {
    pub fn status(&self) -> StepStatus {
        self.step.status
    }
}

/// The newest word of the agent side on one path.
#[derive(Debug, Clone, PartialEq)]
pub struct FileEntry {
    pub path: String,
    pub kind: crate::protocol::file::ChangeKind,
    pub seq: Seq,
    pub turn: Option<u64>,
    pub tool_call: Option<String>,
    /// Set when it was refused or could not be stored, in words.
    pub failed: Option<String>,
    /// A person changed it, and the agent side took it.
    pub by_user: bool,
}

/// A person's change that the agent side did not take: both sides changed the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEdit {
    pub path: String,
    pub seq: Seq,
    /// Why, when it is more than that.
    pub reason: Option<String>,
}

impl Session {
    /// Nothing said yet, and the same place for old cells.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            transcript: Transcript {
                cells: self.transcript.cells.anew(),
            },
            ..Self::default()
        }
    }

    /// Since when an agent at work has said nothing, although it waits for nobody and no tool of it runs.
    pub fn silent_since(&self) -> Option<Timestamp> {
        let Turn::Working { since, .. } = &self.turn else {
            return None;
        };
        let waits = !self.permissions.is_empty() || !self.index.running.is_empty();
        since.max(&self.heard_time).filter(|_| !waits)
    }

    /// The cells of the tool calls, oldest first.
    pub fn calls(&self) -> &[usize] {
        &self.index.calls
    }

    /// The cell of the tool call of this id.
    pub fn call(&self, id: &str) -> Option<usize> {
        self.index.tools.get(id).copied()
    }

    /// How many tool calls have neither completed nor failed.
    pub fn unfinished_calls(&self) -> usize {
        self.index.unfinished
    }

    /// Does this message stand in the journal?
    pub fn has_heard(&self, command: &CommandId) -> bool {
        let waits = self
            .queued
            .iter()
            .any(|one| one.command.as_ref() == Some(command));
        waits || self.index.drawn.contains(command)
    }

    /// `wait --for idle`: no user message without an answer (design 4).
    pub fn is_idle(&self) -> bool {
        self.turn == Turn::Idle && self.queued.is_empty()
    }
}
