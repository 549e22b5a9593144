//! What an attached run orders: one effect, one call.

use std::time::Duration;

use crate::attach::state::Outgoing;
use crate::mirror::worker::Order;
use crate::protocol::command::Command;
use crate::protocol::ids::Seq;

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read history after this line, then follow live; ends any earlier follow.
    Follow {
        after: Seq,
    },
    /// Ask `GET R/` how the run stands.
    LoadRun,
    Post(Command),
    /// Answer `TimerFired` with this number after the wait.
    StartTimer {
        id: u64,
        wait: Duration,
    },
    Mirror(Order),
    /// What must not be lost when this process ends: commands not accepted yet, and refused words.
    KeepOutbox(Vec<Outgoing>),
    /// The journal cache holds lines of another journal: empty it.
    ForgetJournal,
    /// What the run began with, for its mirror.
    LoadSeed,
    /// Say that this client is there, from now on and again and again.
    Announce,
}
