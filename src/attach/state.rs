//! Everything known about the run that is followed.
//!
//! Plain values, changed only by `attach::update`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::attach::mirrored::Hold;
use crate::client::retry::Retry;
use crate::mirror::preview::Preview;
use crate::mirror::show::{Shown, Weight};
use crate::mirror::status::MirrorStatus;
use crate::mirror::versions::Versions;
use crate::protocol::command::Command;
use crate::protocol::ids::{RunRef, Seq};
use crate::protocol::presence::Client;
use crate::protocol::run::Run;
use crate::session::state::Session;

/// One attached run.
#[derive(Debug, Clone)]
pub struct Attached {
    pub at: RunRef,
    /// The endpoint's name, for the screen.
    pub endpoint: String,
    pub read_only: bool,
    /// What REST last said of it.
    pub run: Option<Run>,
    /// The stream said that the run is over; a message may reopen it.
    pub ended: bool,
    pub session: Session,
    pub link: Link,
    pub mirror: MirrorStatus,
    /// Commands that the endpoint has not accepted yet, in order.
    pub outbox: Vec<Outgoing>,
    /// Lines for the user that do not stand in the journal, newest last, bounded.
    pub notes: Vec<String>,
    /// Who else is attached.
    pub others: Vec<Client>,
    /// File entries go to a mirror here.
    pub mirrored: bool,
    /// What the mirror was asked to look at.
    pub looks: Looks,
    /// What only `update` knows.
    pub machine: Machine,
}

/// What the mirror has said of single files, because somebody looks at them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Looks {
    /// What an undo would do.
    pub preview: Option<Preview>,
    pub shown: Option<Box<Shown>>,
    /// What stands in a conflict.
    pub versions: Option<Box<Versions>>,
    /// By path: how much of it is new.
    pub weights: BTreeMap<String, Weighed>,
    /// The answer to the last question about weights has not come.
    pub weighing: bool,
    /// The newest line of a file, and how far all had come to rest, when every weight had been asked for.
    pub weighed_to: Option<(Seq, Seq)>,
}

/// How much of a file was new when it was last asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    /// The line of the journal that it was asked for.
    pub seq: Seq,
    pub found: Option<Weight>,
}

/// The clockwork: which timers run and how often it failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Machine {
    /// Where the chance in waiting times comes from; set once by whoever opens the run.
    pub seed: u64,
    pub(crate) link: Retry,
    pub(crate) post: Retry,
    pub(crate) link_timer: Option<u64>,
    pub(crate) post_timer: Option<u64>,
    /// Messages wait for the edits before them.
    pub(crate) hold: Option<Hold>,
    /// The number of the newest flush.
    pub(crate) flushes: u64,
    /// The number of the newest timer.
    pub(crate) timers: u64,
    /// When the present attempt began, as far as an event told the time.
    pub(crate) began: Option<Instant>,
    pub(crate) was_live: bool,
    /// How this client calls itself towards the endpoint.
    pub(crate) client: Option<String>,
    /// The endpoint of this link was told that we are there.
    pub(crate) announced: bool,
    /// The session as far as a long journal cache has been read, while its end is shown.
    pub(crate) reading: Option<Box<Session>>,
    /// Commands of an earlier screen wait until the journal has been read.
    pub(crate) adopted_unread: bool,
}

impl Attached {
    /// Nothing known yet; [`crate::attach::update::update`] begins with `Event::Restored`.
    pub fn new(at: RunRef, endpoint: impl Into<String>, read_only: bool) -> Self {
        Self {
            at,
            endpoint: endpoint.into(),
            read_only,
            run: None,
            ended: false,
            session: Session::default(),
            link: Link::CatchingUp {
                have: Seq::ZERO,
                of: None,
            },
            mirror: MirrorStatus::default(),
            outbox: Vec::new(),
            notes: Vec::new(),
            others: Vec::new(),
            mirrored: false,
            looks: Looks::default(),
            machine: Machine::default(),
        }
    }
}

/// The four states of the link, as people see them.
#[derive(Debug, Clone, PartialEq)]
pub enum Link {
    /// Reading history: `have` of `of` lines; `of` is unknown until the first answer.
    CatchingUp {
        have: Seq,
        of: Option<Seq>,
    },
    Live,
    /// Tries again at `due` (the time argument of events); `attempt` counts from 1.
    Reconnecting {
        due: Instant,
        wait: Duration,
        attempt: u32,
        reason: String,
    },
    /// Final: the reason says what to do.
    Offline {
        reason: String,
    },
}

/// A command on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    pub command: Command,
    pub state: Posting,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Posting {
    /// Waits for its turn or for the link.
    Waiting,
    InFlight,
    /// The endpoint took it; it leaves the list when it is seen in the journal.
    Accepted,
    /// Final: the reason is shown, the words are kept for the user to take back.
    Refused(String),
}
