//! One line of a run's journal, read (contract 4, 5.3 and 10).
//!
//! Pure. An [`Entry`] keeps the JSON-RPC message as it was beside what it means, so that nothing is lost by
//! not understanding it. [`crate::protocol::normalize`] makes entries; nothing else does.

use serde_json::Value;

use crate::protocol::acp::{PermissionOption, Update};
use crate::protocol::command::Command;
use crate::protocol::file::{Applied, FileChange, Stale};
use crate::protocol::ids::CommandId;
use crate::protocol::message::Message;
use crate::protocol::path::BadPath;
use crate::protocol::run::Status;

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Agent,
    Client,
    Endpoint,
}

impl From {
    /// The word of the machine output (design 4).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Client => "client",
            Self::Endpoint => "endpoint",
        }
    }
}

/// One journal line.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// As told; `None` when absent or not a time.
    pub timestamp: Option<jiff::Timestamp>,
    pub from: From,
    /// `from` of a client message, as in `ana@laptop`.
    pub who: Option<String>,
    /// Set on client messages, and on prompt request lines by `_meta.ashore.command`.
    pub command: Option<CommandId>,
    /// Of a cancel or a steer.
    pub ends: Option<Ends>,
    /// The JSON-RPC message, raw.
    pub message: Message,
    pub said: Said,
}

/// What a cancel or a steer ends, as the endpoint saw it when it took that line (contract 10.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// The turn that was open: the JSON-RPC id of its prompt request.
    Turn(u64),
    /// A message that waited, whatever its words are by then.
    Waiting(CommandId),
}

impl Ends {
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(id) => id.as_u64().map(Self::Turn),
            Value::String(id) => id.parse().ok().map(Self::Waiting),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl std::convert::From<Ends> for Value {
    fn from(ends: Ends) -> Self {
        match ends {
            Ends::Turn(id) => id.into(),
            Ends::Waiting(command) => command.as_str().into(),
        }
    }
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Update(Update),
    /// A client's message (direction client).
    Command(Command),
    /// `session/prompt` and its like, in the direction of the agent.
    Request {
        id: Value,
        method: String,
        params: Value,
    },
    Response {
        id: Value,
        outcome: Result<Value, RpcError>,
    },
    Ext(Ext),
    /// `agent_response` of the oldest agent: the final text.
    FinalText(String),
    /// An `{"error": …}` in the stream.
    StreamError(String),
    /// Kept as raw, shown as one dim line naming this kind.
    Unknown(String),
    /// Not an object, a heartbeat, and the like: never shown.
    Ignored,
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

/// What an agent takes in a prompt beside text, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Takes {
    pub image: bool,
    pub audio: bool,
    /// A file with what is in it.
    pub resource: bool,
}

impl Takes {
    /// As ACP tells it (`promptCapabilities`); what is not told is not taken.
    pub fn of(told: &Value) -> Self {
        let told = |what: &str| told[what] == Value::Bool(true);
        Self {
            image: told("image"),
            audio: told("audio"),
            resource: told("embeddedContext"),
        }
    }
}

/// A `_posthog/*`, `_array/*` or `_ashore/*` notification (contract 5.3 and 10).
#[derive(Debug, Clone, PartialEq)]
pub enum Ext {
    RunStarted {
        agent_version: Option<String>,
        takes: Takes,
    },
    TurnComplete {
        stop_reason: String,
        unscanned: bool,
    },
    TaskComplete {
        status: Status,
    },
    Error {
        message: String,
        detail: Option<String>,
    },
    FileSync(FileChange),
    /// A `file_sync` whose path, kind or hash cannot be trusted: nothing is written, one line says why.
    FileRefused {
        path: String,
        why: String,
    },
    /// It can never be stored; with a command: never be applied there.
    FileFailed {
        path: String,
        reason: String,
        command: Option<CommandId>,
    },
    /// The agent side took a change of a client.
    FileApplied(Applied),
    /// It did not, since something else stands there.
    FileStale(Stale),
    Step(Step),
    /// The present dialect's cousin of a step.
    Progress {
        group: String,
        step: String,
        status: String,
        label: String,
        detail: Option<String>,
    },
    PermissionRequest(PermissionRequest),
    PermissionResponse {
        request: String,
        tool_call: String,
        option: String,
        from: Option<String>,
    },
    Console {
        level: String,
        message: String,
    },
    SandboxOutput {
        stdout: String,
        stderr: String,
        exit_code: Option<i64>,
    },
    CompactBoundary {
        trigger: String,
        tokens: Option<u64>,
    },
    Status {
        status: String,
        complete: bool,
    },
    ModeChange(String),
    BranchCreated(String),
    PrCreated(String),
    Tree {
        hash: String,
        changed: Vec<String>,
        deleted: Vec<String>,
    },
    UserShell {
        command: String,
        exit_code: Option<i64>,
        output: String,
    },
    /// `_ashore/status {status}`: the endpoint says how the run stands; a later `in_progress` reopens it.
    RunStatus {
        status: Status,
        message: Option<String>,
    },
    /// `_ashore/note {message}`: one line for the user, from the endpoint or the agent side.
    Note(String),
    /// Known by name, of no use to the screen.
    Silent(String),
    /// Kept raw, one dim line.
    Unknown(String),
}

/// One provisioning step (10.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub status: StepStatus,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    Started,
    Done,
    Failed,
}

impl StepStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A question of the agent, as journaled.
#[derive(Debug, Clone, PartialEq)]
pub struct PermissionRequest {
    /// `requestId`, else the tool call's id.
    pub request: String,
    pub tool_call: String,
    pub title: String,
    pub kind: Option<String>,
    pub options: Vec<PermissionOption>,
    pub raw_input: Option<Value>,
}

/// One line of a log or the data of one event, read.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every line is an entry; a box would cost each of them"
)]
pub enum Decoded {
    Entry(Entry),
    /// Only white space.
    Blank,
    /// Not JSON, even after repair; counted, one dim line, and on.
    Bad(String),
}

/// Why a file event was refused, in words for one line.
pub fn refused(path: &str, why: BadPath) -> Ext {
    Ext::FileRefused {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
