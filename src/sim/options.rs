//! What kind of life a seed leads: how much is said, how bad the network and the disks are, who dies how often.

use std::time::Duration;

use super::dice::Dice;

/// Drawn from the seed first; printed with a failure. Rates are thousandths.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// How long things go wrong.
    pub(super) trouble: Duration,
    /// What each user says in that time.
    pub(super) messages: u64,
    /// Messages that follow at once upon the one before.
    pub(super) haste: u64,
    /// A user's other wishes, per message: cancel, change what waits.
    pub(super) cancels: u64,
    pub(super) changes: u64,
    /// Most lines that the agent says in a turn.
    pub(super) chatter: u64,
    /// Turns in which the agent dies, and cancels it does not hear.
    pub(super) child_deaths: u64,
    pub(super) deafness: u64,
    /// One way, at most.
    pub(super) latency: Duration,
    /// Largest piece in which a stream arrives.
    pub(super) piece: u64,
    /// Events that the agent side hears up to three seconds late.
    pub(super) sluggish: u64,
    /// Calls that never arrive or whose answer is lost.
    pub(super) lost_calls: u64,
    /// Streams that are cut, end cleanly, or go silent half-open.
    pub(super) cut_streams: u64,
    /// Events of a client's stream about which the endpoint lies.
    pub(super) lies: u64,
    /// Disk calls that fail.
    pub(super) disk_errors: u64,
    /// Milliseconds between two blows, on average; who is hit and how is drawn then.
    pub(super) blows: u64,
    /// The agent side has its share of all this; else it lives in peace.
    pub(super) agent_in_trouble: bool,
    /// Blows that cut the power instead of killing a process.
    pub(super) power: u64,
    /// In the end the endpoint's journal comes back from an older backup.
    pub(super) rollback: bool,
}

/// Longer than any trouble lasts.
const NEVER: u64 = 1_000_000;

impl Options {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        Self {
            trouble: dice.millis(3_000, 40_000),
            messages: 1 + dice.below(4),
            cancels: dice.pick(&[0, 300, 800]),
            haste: dice.pick(&[0, 500, 900]),
            changes: dice.pick(&[0, 400, 900]),
            chatter: dice.pick(&[1, 4, 12]),
            child_deaths: dice.pick(&[0, 0, 60, 200]),
            deafness: dice.pick(&[0, 0, 100, 500]),
            latency: Duration::from_millis(dice.pick(&[1, 5, 40, 400])),
            piece: dice.pick(&[3, 17, 64, 300, 4000]),
            sluggish: dice.pick(&[0, 0, 500]),
            lost_calls: dice.pick(&[0, 20, 100, 250]),
            cut_streams: dice.pick(&[0, 100, 500, 900]),
            lies: dice.pick(&[0, 0, 10, 60, 200]),
            disk_errors: dice.pick(&[0, 0, 0, 10, 50]),
            blows: dice.pick(&[400, 1_000, 4_000, NEVER, NEVER]),
            agent_in_trouble: dice.chance(600),
            power: dice.pick(&[0, 300, 1000]),
            rollback: dice.chance(100),
        }
    }
}
