//! Tasks, runs, artifacts, tokens, manifests, and what is known of each run's process: one SQLite file.
//!
//! Never the journal and never the bytes of files.

pub mod artifacts;
pub mod create;
pub mod database;
pub mod process;
pub mod runs;
pub mod tasks;
pub mod tokens;

use std::path::PathBuf;

use sqlx::SqlitePool;

use crate::protocol::ids::{BadId, RunRef};
use crate::protocol::run::Run;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what} in the endpoint's store: {source}")]
    Sql {
        what: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the endpoint's store {path} has schema version {found}, this program knows {known}: use a newer ashore"
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "the endpoint that serves {path} is older than this program: end it and start it anew first"
    )]
    Older { path: PathBuf },
    #[error("there is a token named `{0}` already: revoke it first, or take another name")]
    NameTaken(String),
    #[error("cannot {what} {path}: {source}")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the endpoint's store holds {what} that cannot be read: {why}")]
    Content { what: &'static str, why: String },
}

impl Error {
    fn content(what: &'static str) -> impl Fn(serde_json::Error) -> Self {
        move |why| Self::Content {
            what,
            why: why.to_string(),
        }
    }

    fn id(why: BadId) -> Self {
        Self::Content {
            what: "an id",
            why: why.to_string(),
        }
    }
}

/// `.map_err(sql("…"))`: what was tried, in words.
fn sql(what: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::Sql { what, source }
}

/// ISO 8601 with microseconds and `Z`, so that times sort as text.
pub fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// The open store.
pub struct Store {
    pool: SqlitePool,
    /// Where the 0600 files with secrets lie.
    secrets: PathBuf,
}

/// A run and to whom it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    pub at: RunRef,
    /// The user's number.
    pub user: i64,
    /// The task's `org/repo`, if it names one.
    pub repository: Option<String>,
    /// `log_url` and `artifacts` are empty here: the answer to a request fills them in.
    pub run: Run,
}
