//! What came while nobody looked: since when, how much of it, and where it begins.
//!
//! Pure.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::protocol::ids::Seq;
use crate::session::cells::Kind;
use crate::session::state::Session;

/// Away from a screen that stays open is who did not look at it for this long, in seconds.
pub const LONG: i64 = 120;

/// How far somebody has seen a run, and when that was. On disk: the number and the time, with a space between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub last: Seq,
    pub at: Timestamp,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.last.0, self.at)
    }
}

/// A text that says nothing of the kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no place in a journal with a time")]
pub struct NotSeen;

impl FromStr for Seen {
    type Err = NotSeen;

    fn from_str(text: &str) -> Result<Self, NotSeen> {
        let (last, at) = text.trim().split_once(' ').ok_or(NotSeen)?;
        Ok(Self {
            last: Seq(last.parse().map_err(|_| NotSeen)?),
            at: at.parse().map_err(|_| NotSeen)?,
        })
    }
}

/// The mark in the transcript, and what it is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Away {
    /// How far it was seen before; what came since is not counted yet.
    pub seen: Option<Seen>,
    /// When the screen lost the focus.
    pub left: Option<Seen>,
    pub mark: Option<Mark>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// It stands before the first cell that began after this line.
    pub after: Seen,
    /// When somebody looked again, and how far the journal went then.
    pub until: Seen,
    pub words: String,
}

impl Mark {
    /// `None` when nothing came that is to be seen.
    pub fn new(session: &Session, after: Seen, until: Seen) -> Option<Self> {
        let words = words(session, after, until)?;
        Some(Self {
            after,
            until,
            words,
        })
    }

    /// The index of the cell it stands before.
    pub fn cell(&self, session: &Session) -> Option<usize> {
        let cells = &session.transcript.cells;
        let index = cells.up_to(self.after.last);
        (index < cells.len()).then_some(index)
    }
}

/// `while you were away: 14 min, 3 turns, 12 files, 1 question`
fn words(session: &Session, after: Seen, until: Seen) -> Option<String> {
    let came = |seq: Seq| seq > after.last && seq <= until.last;
    let cells = &session.transcript.cells;
    let new = cells.labels().take(cells.up_to(until.last));
    let mut new = new.skip(cells.up_to(after.last)).peekable();
    new.peek()?;
    let turns = new.filter(|label| label.kind == Kind::TurnEnd).count();
    let files = session.files.iter().filter(|file| came(file.seq)).count();
    let open = session.permissions.iter();
    let asked = open.filter(|open| came(open.seq)).count();
    let counts = [
        (turns, "turn", "turns"),
        (files, "file", "files"),
        (asked, "question", "questions"),
    ];
    let mut words = format!("while you were away: {}", long(after.at, until.at));
    for (count, one, many) in counts {
        match count {
            0 => (),
            1 => words.push_str(&format!(", 1 {one}")),
            _ => words.push_str(&format!(", {count} {many}")),
        }
    }
    Some(words)
}

/// How long, as one number. Never negative: a clock may have been set back.
fn long(from: Timestamp, to: Timestamp) -> String {
    match to.duration_since(from).as_secs().max(0) {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_on_disk_comes_back() {
        let seen = Seen {
            last: Seq(1204),
            at: "2026-01-19T14:02:00Z".parse().unwrap(),
        };
        assert_eq!(seen.to_string().parse(), Ok(seen));
        for text in ["", "12", "x 2026-01-19T14:02:00Z", "12 yesterday"] {
            assert_eq!(text.parse::<Seen>(), Err(NotSeen), "{text:?}");
        }
    }

    #[test]
    fn a_time_away_is_one_number() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let table = [
            (-5, "0 s"),
            (59, "59 s"),
            (840, "14 min"),
            (7200, "2 h"),
            (200_000, "2 d"),
        ];
        for (seconds, words) in table {
            assert_eq!(long(at(1000), at(1000 + seconds)), words);
        }
    }
}
