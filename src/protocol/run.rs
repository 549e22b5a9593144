//! What the REST calls about runs carry (contract 2 and 10.3).
//!
//! Pure. An unknown status or environment is kept as the word it was.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::protocol::ids::{RunId, TaskId};

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    #[default]
    NotStarted,
    Queued,
    InProgress,
    Completed,
    Failed,
    Cancelled,
    /// A word of a newer or foreign endpoint; never terminal.
    Other(String),
}

impl Status {
    pub fn as_str(&self) -> &str {
        match self {
            Self::NotStarted => "not_started",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Other(word) => word,
        }
    }

    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl From<String> for Status {
    fn from(word: String) -> Self {
        match word.as_str() {
            "not_started" => Self::NotStarted,
            "queued" => Self::Queued,
            "in_progress" => Self::InProgress,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Other(word),
        }
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a run works.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Environment {
    Local,
    #[default]
    Cloud,
    Other(String),
}

impl Environment {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Cloud => "cloud",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for Environment {
    fn from(word: String) -> Self {
        match word.as_str() {
            "local" => Self::Local,
            "cloud" => Self::Cloud,
            _ => Self::Other(word),
        }
    }
}

impl From<Environment> for String {
    fn from(environment: Environment) -> Self {
        environment.as_str().to_owned()
    }
}

/// Who answers permission requests (contract 8, design decision 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// What a missing policy means on the wire.
    #[default]
    Auto,
    Ask,
    Deny,
}

impl Policy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// The parts of `state` that are ours; everything else in the object is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OurState {
    /// `manifest`: the run stands at step `workspace` until a manifest has been PUT (10.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// The preset's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The agent that runs, by the word of the agent side: demo may have stepped in for the one that was wished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_running: Option<String>,
    /// A whole command line instead of a preset; taken by the local endpoint only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Policy>,
    /// Absolute; with `environment: local` only, and only on the local endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// The body of `POST …/runs/`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NewRun {
    #[serde(default)]
    pub environment: Environment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub state: Map<String, Value>,
    /// Environment of the agent child; never journaled, logged or returned (10.3).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

/// How a run stands, in a list of ours (contract 10.1): what would else need its journal. A number that is not told is
/// not known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Brief {
    /// A prompt is being answered, or still has to be.
    #[serde(default)]
    pub working: bool,
    /// Permission requests of the running turn without an answer.
    #[serde(default)]
    pub questions: u64,
    /// Finished and running turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u64>,
    /// Paths that were written or deleted in the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Clients that say they are attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<u64>,
}

/// A run as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub task: TaskId,
    #[serde(default)]
    pub stage: Option<String>,
    #[serde(default)]
    pub branch: Option<String>,
    #[serde(default)]
    pub status: Status,
    #[serde(default)]
    pub environment: Environment,
    #[serde(default)]
    pub log_url: Option<String>,
    #[serde(default)]
    pub error_message: Option<String>,
    #[serde(default)]
    pub output: Option<Value>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub state: Map<String, Value>,
    #[serde(default)]
    pub artifacts: Vec<Value>,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub updated_at: Option<String>,
    #[serde(default)]
    pub completed_at: Option<String>,
    /// In a list of ours only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Brief>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::<Map<String, Value>>::deserialize(input)?.unwrap_or_default())
}

impl Run {
    /// Our part of `state`; what cannot be read is as if it were not there.
    pub fn ours(&self) -> OurState {
        serde_json::from_value(Value::Object(self.state.clone())).unwrap_or_default()
    }

    /// The agent's name for people: the one that runs, else the one that was wished.
    pub fn agent(&self) -> Option<String> {
        let ours = self.ours();
        ours.agent_running.or(ours.agent)
    }

    /// An endpoint of ours makes it work; the reference's `local` run, without a directory, nobody there drives.
    pub fn is_driven(&self) -> bool {
        match self.environment {
            Environment::Cloud => true,
            Environment::Local => self.ours().directory.is_some(),
            Environment::Other(_) => false,
        }
    }

    pub fn pr_url(&self) -> Option<&str> {
        self.output.as_ref()?.get("pr_url")?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_the_future_is_read_and_not_taken_for_ended() {
        let run: Run = serde_json::from_str(
            r#"{"id":"7d0c","task":"1b9e","status":"paused_by_moon","environment":"orbit","state":null,"output":{"pr_url":"https://x/pull/7"},"new_field":[1]}"#,
        )
        .expect("reads");
        assert_eq!(run.status, Status::Other("paused_by_moon".into()));
        assert!(!run.status.is_terminal());
        assert_eq!(run.environment, Environment::Other("orbit".into()));
        assert_eq!(run.pr_url(), Some("https://x/pull/7"));
    }
}
