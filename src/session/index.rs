//! What the reducer remembers beside the session, so that a line costs no more than itself.
//!
//! Pure. Everything here follows from the journal too; nobody but `session::reduce` reads it.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use crate::protocol::acp::Usage;
use crate::protocol::ids::{CommandId, Seq};
use crate::session::copies::Copies;

/// Where things stand, by name. Numbers are places in `Transcript::cells`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Index {
    pub(super) tools: HashMap<String, usize>,
    /// All calls, in the order they began.
    pub(super) calls: Vec<usize>,
    /// How many of them neither completed nor failed, whether or not their turn has ended.
    pub(super) unfinished: usize,
    /// Calls of this turn that are not over.
    pub(super) running: BTreeSet<usize>,
    /// Messages of this turn by their id.
    pub(super) messages: HashMap<(Voice, String), usize>,
    /// The text that the next chunk of its voice goes on with.
    pub(super) open: Option<Open>,
    /// Agent texts of this turn that no whole message has confirmed yet.
    pub(super) unconfirmed: Vec<usize>,
    /// The first place after the last tool call, user message or end of a turn.
    pub(super) segment: usize,
    pub(super) compactions: HashMap<String, usize>,
    /// The dim line of each unknown kind.
    pub(super) unknown: HashMap<String, usize>,
    pub(super) bad_lines: Option<usize>,
    /// The user's words of this turn.
    pub(super) words: Option<Words>,
    /// Commands whose words have been drawn.
    pub(super) drawn: HashSet<CommandId>,
    pub(super) turn: TurnNotes,
    /// Requests for permission that have been seen or answered.
    pub(super) asked: HashSet<String>,
    /// Requests the agent made of its client, in a log of raw traffic.
    pub(super) agent_requests: HashSet<String>,
    /// The newest word on each path.
    pub(super) files: HashMap<String, Seq>,
    pub(super) copies: Copies,
    /// The endpoint itself has said how the run stands; nobody else is asked then.
    pub(super) status_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Voice {
    User,
    Agent,
    Thought,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Open {
    pub(super) cell: usize,
    pub(super) voice: Voice,
    pub(super) message: Option<String>,
}

/// The user's words of a turn, and how much of them has come back as an echo.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Words {
    pub(super) cell: usize,
    /// In bytes of the cell's text.
    pub(super) echoed: usize,
    /// Drawn from the echo itself: nobody else has told them yet.
    pub(super) by_echo: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TurnNotes {
    /// The line before its first.
    pub(super) after: Seq,
    pub(super) started: Option<Timestamp>,
    /// As the agent told it before.
    pub(super) usage: Option<Usage>,
    /// The request of the turn that ended last.
    pub(super) last_request: Option<String>,
    /// That turn ended by its response, and `turn_complete` has yet to say so too.
    pub(super) completion_due: bool,
    /// The agent has said something since a turn ended.
    pub(super) output: bool,
}
