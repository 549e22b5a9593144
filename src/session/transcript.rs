//! The conversation as a list of cells, in the order they began.
//!
//! Pure. Chunks join the open cell of their kind; a cell's revision counts its changes, so that a view can cache.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::protocol::acp::{Cost, Usage};
use crate::protocol::ids::{CommandId, Seq};
use crate::session::cells::Cells;
use crate::session::tool::ToolCall;

/// All cells of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    pub cells: Cells,
}

/// One thing said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The line that began it: its name for ever.
    pub seq: Seq,
    /// Grows with every change of `body`.
    pub revision: u32,
    /// Grows when a text becomes another one. It only got longer otherwise.
    pub rewrites: u32,
    pub time: Option<Timestamp>,
    /// The turn it belongs to, counted from 1; 0 before the first.
    pub turn: u64,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Body {
    User {
        text: String,
        from: Option<String>,
        command: Option<CommandId>,
        attachments: Vec<String>,
    },
    Agent {
        text: String,
        open: bool,
    },
    Thought {
        text: String,
        open: bool,
        ended: Option<Timestamp>,
    },
    Tool(Box<ToolCall>),
    /// A block that is no text: image, audio, link, resource. One line.
    Attachment(String),
    Notice(Notice),
    /// The end of a turn.
    TurnEnd {
        stop_reason: String,
        error: Option<String>,
        started: Option<Timestamp>,
        ended: Option<Timestamp>,
        files: usize,
        /// What the agent told of it; `None` when it told nothing.
        spent: Option<Spent>,
    },
}

/// What a turn has added.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Tokens in the context; `None` when there are fewer than before.
    pub tokens: Option<u64>,
    pub cost: Option<Cost>,
}

impl Spent {
    /// Between two words of the agent on it; `None` when there was no second.
    pub(crate) fn between(before: Option<Usage>, now: Option<Usage>) -> Option<Self> {
        let now = now.filter(|now| before != Some(*now))?;
        let used = before.map_or(0, |before| before.used);
        let paid = before.and_then(|before| before.cost);
        let added = |cost: Cost| {
            let paid = paid.filter(|paid| paid.currency == cost.currency);
            Cost {
                amount: cost.amount - paid.map_or(0.0, |paid| paid.amount),
                ..cost
            }
        };
        let spent = Self {
            tokens: now.used.checked_sub(used).filter(|tokens| *tokens > 0),
            cost: now.cost.map(added).filter(|cost| cost.amount > 0.0),
        };
        (spent.tokens.is_some() || spent.cost.is_some()).then_some(spent)
    }
}

impl Body {
    /// The words of the user or of the agent.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::User { text, .. } | Self::Agent { text, .. } => Some(text),
            Self::Thought { .. }
            | Self::Tool(_)
            | Self::Attachment(_)
            | Self::Notice(_)
            | Self::TurnEnd { .. } => None,
        }
    }

    /// The tool call, if it is one.
    pub fn tool(&self) -> Option<&ToolCall> {
        match self {
            Self::Tool(tool) => Some(tool),
            Self::User { .. }
            | Self::Agent { .. }
            | Self::Thought { .. }
            | Self::Attachment(_)
            | Self::Notice(_)
            | Self::TurnEnd { .. } => None,
        }
    }
}

/// One line for the user that nobody said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub level: Level,
    pub text: String,
    /// More of it, shown when unfolded.
    pub detail: Option<String>,
    /// How often it came in a row.
    pub count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// An unknown kind, an unreadable line.
    Dim,
    Info,
    Warning,
    Error,
    /// A rule across the chat: compaction.
    Rule,
}
