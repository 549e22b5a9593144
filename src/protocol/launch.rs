//! What an endpoint hands to the agent server it starts: one JSON document in a 0600 file, never arguments.
//! The agent server removes the file once it has read it.
//!
//! Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::protocol::ids::RunRef;
use crate::protocol::run::Policy;

/// Everything an agent server needs to serve one run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    pub at: RunRef,
    /// The endpoint, as the sandbox reaches it: scheme, host, port.
    pub endpoint: String,
    /// A file that always holds the endpoint's present URL, when it may move (the local endpoint's state file).
    #[serde(default)]
    pub endpoint_file: Option<PathBuf>,
    /// The run token (design decision 3).
    pub token: String,
    /// A preset's name, or a whole command line; exactly one is set.
    pub agent: Option<String>,
    pub agent_command: Option<String>,
    /// True when the user named the agent: then a login it asks for is reported, and demo is not put in its place.
    pub agent_named: bool,
    /// Environment of the agent child (10.3).
    pub secrets: BTreeMap<String, String>,
    /// The run's own folder: spool, state, the child's home and temp folders, and `work/`.
    pub folder: PathBuf,
    /// `environment: local`: the directory to work in, instead of `work/` below `folder`.
    pub directory: Option<PathBuf>,
    /// A manifest is (or will be) there: write it before the agent starts.
    pub seeded: bool,
    pub permissions: Policy,
    /// The run had an agent before: load its session if the agent can.
    pub resume: bool,
    /// The agent server before this one died in a turn: close that turn first (design decision 7).
    #[serde(default)]
    pub recover: bool,
    /// Bytes of the largest file that whoever started the run wants mirrored; none: as everybody has it.
    #[serde(default)]
    pub max_file: Option<u64>,
    /// Ends itself when cut off without a running turn for this long.
    pub idle_seconds: u64,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token and the secrets stay out of every log.
        f.debug_struct("Launch")
            .field("at", &self.at)
            .field("endpoint", &self.endpoint)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
