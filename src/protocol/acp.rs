//! The ACP updates we understand, and the raw value of those we do not (contract 5.1 and 5.2).
//!
//! Pure. Reading is lenient: the schema crate refuses unknown kinds, so these are our own types, made from JSON
//! that has been brought into standard shape by [`crate::protocol::normalize`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::file::size;

/// One `session/update`, whatever shape it came in.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is alive at a time, on its way into the session"
)]
pub enum Update {
    UserChunk(Chunk),
    AgentChunk(Chunk),
    ThoughtChunk(Chunk),
    /// A whole message that takes the place of the chunks it was built from.
    AgentMessage(String),
    /// A whole user message, from a resume log.
    UserMessage(String),
    /// `tool_call`, `tool_call_update` and `tool_result` alike: an upsert by id.
    Tool(ToolPatch),
    Plan(Vec<PlanEntry>),
    Commands(Vec<SlashCommand>),
    Mode(String),
    /// The mode, and beside it all that the agent offers: as the agent side tells it at the start (contract 10.3).
    Modes {
        current: String,
        modes: Vec<Mode>,
    },
    Config(Vec<ConfigOption>),
    /// A missing field keeps, `Some(None)` clears.
    Info {
        title: Option<Option<String>>,
    },
    Usage(Usage),
    Notice {
        severity: Severity,
        title: String,
        description: Option<String>,
    },
    Compaction {
        id: String,
        status: String,
        summary: Option<String>,
        error: Option<String>,
    },
    CompactionSummary {
        id: Option<String>,
        text: String,
    },
    /// `status` and `system_message`. A chunk that starts with `[connected] ` or `[error] ` is one too when it opens
    /// a message, which only `session::reduce` can know.
    Status(String),
    Error(String),
    /// A kind nobody here knows, or a known kind with a field of the wrong type.
    Unknown {
        kind: String,
        raw: Value,
    },
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    pub block: Block,
    pub message_id: Option<String>,
    /// The update's `_meta.ashore.command`, when an agent side of ours marked the echo of a prompt.
    pub command: Option<String>,
}

/// A content block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Block {
    Text(String),
    Image {
        mime: String,
        uri: Option<String>,
        bytes: usize,
    },
    Audio {
        mime: String,
        bytes: usize,
    },
    Link {
        uri: String,
        name: String,
    },
    Resource {
        uri: String,
        text: Option<String>,
    },
    Unknown(Value),
}

impl Block {
    /// What stands in the place of one that is no text: `image image/png, 42.0 kB`.
    pub fn stand_in(&self) -> String {
        match self {
            Self::Image { mime, bytes, .. } => format!("image {mime}, {}", size(*bytes as u64)),
            Self::Audio { mime, bytes } => format!("audio {mime}, {}", size(*bytes as u64)),
            Self::Link { uri, name } if uri != name => format!("{name} ({uri})"),
            Self::Link { name: text, .. } | Self::Resource { uri: text, .. } | Self::Text(text) => {
                text.clone()
            }
            Self::Unknown(_) => "content of an unknown kind".to_owned(),
        }
    }

    /// A block as one line in brackets: `[image image/png]`. Text is itself.
    pub fn label(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Image { mime, uri, .. } => {
                format!("[image {}]", uri.as_deref().unwrap_or(mime))
            }
            Self::Audio { mime, .. } => format!("[audio {mime}]"),
            Self::Link { name, .. } => format!("[{name}]"),
            Self::Resource { uri, .. } => format!("[{uri}]"),
            Self::Unknown(_) => "[content of an unknown kind]".to_owned(),
        }
    }
}

/// What a tool call says of itself; absent keeps what was known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolPatch {
    pub id: String,
    pub title: Option<String>,
    /// The agent's own name of the tool (`_meta.claudeCode.toolName`, or `name` of the oldest shape).
    pub name: Option<String>,
    pub kind: Option<ToolKind>,
    pub status: Option<ToolStatus>,
    pub content: Option<Vec<ToolContent>>,
    pub locations: Option<Vec<Location>>,
    pub raw_input: Option<Value>,
    pub raw_output: Option<Value>,
    /// `_meta.claudeCode.toolResponse`.
    pub response: Option<Value>,
    /// `_meta.claudeCode.bashCommand`: what the shell was really told.
    pub command: Option<String>,
    /// True for `tool_call` and its older shapes.
    pub announces: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ToolKind {
    Read,
    Edit,
    Delete,
    Move,
    Search,
    Execute,
    Think,
    Fetch,
    SwitchMode,
    Ask,
    #[default]
    Other,
}

impl ToolKind {
    /// The wire's word; unknown words become `other` (contract 5.4, rule 8).
    pub fn parse(word: &str) -> Self {
        match word {
            "read" => Self::Read,
            "edit" => Self::Edit,
            "delete" => Self::Delete,
            "move" => Self::Move,
            "search" => Self::Search,
            "execute" => Self::Execute,
            "think" => Self::Think,
            "fetch" => Self::Fetch,
            "switch_mode" => Self::SwitchMode,
            "ask" => Self::Ask,
            _ => Self::Other,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Move => "move",
            Self::Search => "search",
            Self::Execute => "execute",
            Self::Think => "think",
            Self::Fetch => "fetch",
            Self::SwitchMode => "switch_mode",
            Self::Ask => "ask",
            Self::Other => "other",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ToolStatus {
    #[default]
    Pending,
    Running,
    Completed,
    Failed,
}

impl ToolStatus {
    /// The wire's word; unknown words become `pending` (contract 5.4, rule 8).
    pub fn parse(word: &str) -> Self {
        match word {
            "in_progress" => Self::Running,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            _ => Self::Pending,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToolContent {
    Block(Block),
    Diff {
        path: String,
        old: Option<String>,
        new: String,
    },
    Terminal(String),
    Unknown(Value),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    pub path: String,
    pub line: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanEntry {
    pub content: String,
    pub priority: String,
    pub status: PlanStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanStatus {
    Pending,
    InProgress,
    Completed,
}

impl PlanStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlashCommand {
    pub name: String,
    pub description: String,
    pub hint: Option<String>,
}

/// A mode that the agent offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode {
    pub id: String,
    /// For people.
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConfigOption {
    pub id: String,
    pub name: String,
    pub category: Option<String>,
    pub value: ConfigValue,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ConfigValue {
    /// Groups are flattened: value, name.
    Select {
        current: String,
        options: Vec<(String, String)>,
    },
    Boolean(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Tokens in the context.
    pub used: u64,
    /// Tokens the window holds.
    pub size: u64,
    pub cost: Option<Cost>,
}

/// Money.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub amount: f64,
    pub currency: Currency,
}

/// The code of a currency (ISO 4217) as the agent writes it; of a longer word the first eight letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Currency([u8; 8]);

impl Currency {
    /// What an agent means that names none.
    pub const USD: Self = Self(*b"USD\0\0\0\0\0");

    /// `None` for a word without a letter.
    pub fn of(word: &str) -> Option<Self> {
        let mut code = [0; 8];
        let letters = word.bytes().filter(u8::is_ascii_alphanumeric);
        for (place, letter) in code.iter_mut().zip(letters) {
            *place = letter.to_ascii_uppercase();
        }
        (code[0] != 0).then_some(Self(code))
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = self.0.iter().take_while(|letter| **letter != 0);
        letters
            .map(|letter| char::from(*letter))
            .try_for_each(|letter| write!(f, "{letter}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// A choice in a permission request (contract 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionOption {
    pub id: String,
    pub name: String,
    pub kind: OptionKind,
    pub description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    AllowOnce,
    AllowAlways,
    RejectOnce,
    RejectAlways,
    /// A kind nobody here knows: shown, never picked by a policy.
    Unknown,
}

impl OptionKind {
    pub fn parse(word: &str) -> Self {
        match word {
            "allow_once" => Self::AllowOnce,
            "allow_always" => Self::AllowAlways,
            "reject_once" => Self::RejectOnce,
            "reject_always" => Self::RejectAlways,
            _ => Self::Unknown,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowOnce => "allow_once",
            Self::AllowAlways => "allow_always",
            Self::RejectOnce => "reject_once",
            Self::RejectAlways => "reject_always",
            Self::Unknown => "unknown",
        }
    }

    pub fn allows(self) -> bool {
        matches!(self, Self::AllowOnce | Self::AllowAlways)
    }

    pub fn rejects(self) -> bool {
        matches!(self, Self::RejectOnce | Self::RejectAlways)
    }
}
