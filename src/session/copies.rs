//! Knows a second copy of an update by (contract D20).
//!
//! Pure. A log of raw ACP traffic may hold each update twice: as the agent sent it, with the agent's session id, and
//! wrapped anew, with the run's. The copies come in the order of the originals, but in what distance nobody says: each
//! right behind its original, or a whole batch behind a whole batch. Two equal updates with one session id are two
//! updates: a model may well say the same token twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::protocol::message::Message;

/// How many updates back a copy is looked for before anything says that this log has copies.
const NEAR: usize = 8;
/// So many copies in a row and the log is one that has them: then they are looked for as far back as is remembered.
const SURE: u32 = 2;
/// Updates of one turn that are remembered.
const KEPT: usize = 4096;

/// Longer messages are read at once rather than kept to be read, in bytes.
const LONGEST: usize = 2048;

/// The updates of this turn that have no copy yet, as (session, content).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Copies {
    waiting: VecDeque<(u64, Content)>,
    /// How many of them each session has: where only one speaks nothing is looked for.
    by_session: HashMap<u64, usize>,
    found: u32,
}

/// What an update says. Looked into only when an update of another session stands beside it, which is rare, and costs
/// more than all the rest of a line.
#[derive(Debug, Clone, PartialEq)]
enum Content {
    Unread(Message),
    Hash(u64),
}

impl Content {
    /// `None` for what is no update.
    fn of(message: &Message) -> Option<Self> {
        Some(match message.weight() {
            ..=LONGEST => Self::Unread(message.clone()),
            _ => Self::Hash(hash_of(message.value().pointer("/params/update")?)),
        })
    }

    fn hash(&mut self) -> u64 {
        if let Self::Unread(message) = self {
            let value = message.value();
            let hash = value.pointer("/params/update").map_or(0, hash_of);
            *self = Self::Hash(hash);
        }
        match self {
            Self::Hash(hash) => *hash,
            Self::Unread(_) => 0,
        }
    }
}

impl Copies {
    /// A turn begins: copies of the last one have come or never will.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.by_session.clear();
        self.found = 0;
    }

    /// Is this a copy of an update that has come? If not, its own copy is waited for.
    pub(super) fn is_second(&mut self, message: &Message) -> bool {
        let (Some(session), Some(mut update)) = (message.session(), Content::of(message)) else {
            return false;
        };
        let session = hash_of(session);
        if let Some(first) = self.first(session, &mut update) {
            self.leave(first);
            self.found = self.found.saturating_add(1);
            return true;
        }
        if self.waiting.len() == KEPT {
            self.leave(0);
        }
        *self.by_session.entry(session).or_default() += 1;
        self.waiting.push_back((session, update));
        false
    }

    fn leave(&mut self, place: usize) {
        if let Some((session, _)) = self.waiting.remove(place)
            && let Some(count) = self.by_session.get_mut(&session)
        {
            *count -= 1;
            if *count == 0 {
                self.by_session.remove(&session);
            }
        }
    }

    /// Where its original waits. Copies keep the order, so the oldest that waits may be any distance away; another one
    /// only when it is near, or when this log is known to have copies.
    fn first(&mut self, session: u64, update: &mut Content) -> Option<usize> {
        let own = self.by_session.get(&session).copied().unwrap_or(0);
        if own == self.waiting.len() {
            return None;
        }
        let oldest = self.waiting.iter().position(|(from, _)| *from != session)?;
        let update = update.hash();
        if self.waiting[oldest].1.hash() == update {
            return Some(oldest);
        }
        let far = if self.found >= SURE {
            oldest
        } else {
            self.waiting.len().saturating_sub(NEAR)
        };
        let mut rest = self.waiting.iter_mut().enumerate().skip(far);
        rest.find_map(|(place, (from, what))| {
            (*from != session && what.hash() == update).then_some(place)
        })
    }
}

fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(session: &str, text: &str) -> Value {
        json!({"method": "session/update", "params": {"sessionId": session, "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}}})
    }

    /// The updates that are shown, of (session, text) pairs.
    fn shown(log: &[(&str, String)]) -> Vec<String> {
        let mut copies = Copies::default();
        log.iter()
            .filter(|(session, text)| !copies.is_second(&said(session, text).into()))
            .map(|(_, text)| text.clone())
            .collect()
    }

    fn words(count: usize) -> Vec<String> {
        // Every third is the same word, as text has it.
        (0..count)
            .map(|i| {
                if i % 3 == 0 {
                    "the ".to_owned()
                } else {
                    format!("w{i} ")
                }
            })
            .collect()
    }

    #[test]
    fn a_copy_is_shown_once_in_whatever_distance_it_comes() {
        let words = words(300);
        for batch in [1, 2, 7, 8, 9, 40, 300] {
            let log: Vec<_> = words
                .chunks(batch)
                .flat_map(|piece| {
                    let of = |session| piece.iter().map(move |word| (session, word.clone()));
                    of("agent").chain(of("run")).collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(shown(&log), words, "{batch} at a time");
        }
    }

    #[test]
    fn copies_that_lag_behind_and_leave_some_out_are_still_copies() {
        let words = words(200);
        let lag = 30;
        let mut log = Vec::new();
        for i in 0..words.len() + lag {
            log.extend(words.get(i).map(|word| ("agent", word.clone())));
            let copied = i.checked_sub(lag).filter(|copied| copied % 10 != 5);
            log.extend(copied.and_then(|i| Some(("run", words.get(i)?.clone()))));
        }
        assert_eq!(shown(&log), words);
    }

    #[test]
    fn one_session_may_say_a_thing_twice_and_another_may_say_its_own() {
        let log = [("a", "x"), ("a", "x"), ("b", "y"), ("a", "z"), ("b", "y")];
        let log = log.map(|(session, text)| (session, text.to_owned()));
        assert_eq!(shown(&log), ["x", "x", "y", "z", "y"]);
    }
}
