//! The names things have on the wire: projects, tasks, runs, commands, and the number of a journal line.
//!
//! Pure. A name is checked once, when it is parsed, so that it can stand in a URL or a file name without a second thought.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name from outside that cannot be one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct BadId {
    pub what: &'static str,
    pub text: String,
}

/// Letters, digits, `-` and `_`, 1 to 64 of them: what UUIDs and every id of the reference consist of.
fn checked(what: &'static str, text: &str) -> Result<String, BadId> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(BadId {
            what,
            text: text.chars().take(80).collect(),
        })
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A fresh random one (UUID version 4).
            pub fn random() -> Self {
                Self::from(uuid::Uuid::new_v4())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                checked($what, text).map(Self)
            }
        }

        impl From<uuid::Uuid> for $name {
            fn from(uuid: uuid::Uuid) -> Self {
                Self(uuid.to_string())
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One execution of a task.
    RunId,
    "a run id"
);
id!(
    /// What was asked for; it has runs.
    TaskId,
    "a task id"
);
id!(
    /// The idempotency key of one command, unique for the run for ever (contract 10.2).
    CommandId,
    "a command id"
);

impl RunId {
    /// The first eight characters: what people see and type.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(8)]
    }
}

/// The project a task belongs to: an integer in every URL (contract 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectId(pub i64);

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a line in a run's journal, counted from 1; 0 stands before the first line.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a run lives below an endpoint: the three ids of its URL (contract 1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunRef {
    pub project: ProjectId,
    pub task: TaskId,
    pub run: RunId,
}

impl RunRef {
    /// `/api/projects/{p}/tasks/{t}/runs/{r}`, without a slash at the end.
    pub fn path(&self) -> String {
        format!(
            "/api/projects/{}/tasks/{}/runs/{}",
            self.project, self.task, self.run
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_leave_a_path_is_refused() {
        for text in ["", "..", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(text.parse::<RunId>().is_err(), "{text:?}");
        }
        assert!(
            "7d0c2f9e-3b1a-4c58-9f6e-5a2b8c1d4e70"
                .parse::<RunId>()
                .is_ok()
        );
    }
}
