//! What the REST calls about tasks carry (contract 2).
//!
//! Pure. Read leniently: a foreign endpoint may leave out what we do not need and add what we do not know.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::ids::{RunId, TaskId};
use crate::protocol::run::Run;

/// The body of `POST …/tasks/`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NewTask {
    /// Empty only for an endpoint of ours: the title then comes from the first message (10.3).
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default)]
    pub origin_product: Option<String>,
    #[serde(default)]
    pub repository: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github_integration: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<Value>,
}

/// A task as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    #[serde(default)]
    pub task_number: Option<i64>,
    #[serde(default)]
    pub slug: Option<String>,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub origin_product: Option<String>,
    #[serde(default)]
    pub repository: Option<String>,
    #[serde(default)]
    pub github_integration: Option<i64>,
    #[serde(default)]
    pub json_schema: Option<Value>,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub updated_at: Option<String>,
    #[serde(default)]
    pub created_by: Option<Value>,
    #[serde(default)]
    pub latest_run: Option<Run>,
}

/// `GET /api/users/@me/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Me {
    pub id: i64,
    #[serde(default)]
    pub email: String,
    pub team: Team,
    /// Ours: the user's runs with a prompt that is being answered or still has to be.
    #[serde(default)]
    pub working: Vec<Working>,
}

/// A run at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    pub run: RunId,
    #[serde(default)]
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Team {
    pub id: i64,
    #[serde(default)]
    pub name: String,
}

/// The envelope of every list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    pub count: u64,
    pub next: Option<String>,
    pub previous: Option<String>,
    pub results: Vec<T>,
}
