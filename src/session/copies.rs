//! Knows a second copy of an update by (contract D20).
//!
//! Pure. A log of raw ACP traffic may hold each update twice: as the agent sent it, with the agent's session id, and
//! wrapped anew, with the run's. The copies come in the order of the originals, but in what distance nobody says: each
//! right behind its original, or a whole batch behind a whole batch. Two equal updates with one session id are two
//! updates: a model may well say the same token twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// How many updates back a copy is looked for before anything says that this log has copies.
const NEAR: usize = 8;
/// So many copies in a row and the log is one that has them: then they are looked for as far back as is remembered.
const SURE: u32 = 2;
/// Updates of one turn that are remembered.
const KEPT: usize = 4096;

/// The updates of this turn that have no copy yet, as (session, content).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Copies {
    waiting: VecDeque<(u64, u64)>,
    /// How many of them each session has: where only one speaks nothing is looked for.
    by_session: HashMap<u64, usize>,
    found: u32,
}

impl Copies {
    /// A turn begins: copies of the last one have come or never will.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.by_session.clear();
        self.found = 0;
    }

    /// Is this a copy of an update that has come? If not, its own copy is waited for.
    pub(super) fn is_second(&mut self, message: &Value) -> bool {
        let session = message.pointer("/params/sessionId");
        let update = message.pointer("/params/update");
        let (Some(Value::String(session)), Some(update)) = (session, update) else {
            return false;
        };
        let (session, update) = (hash_of(session), hash_of(update));
        if let Some(first) = self.first(session, update) {
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
    fn first(&self, session: u64, update: u64) -> Option<usize> {
        let own = self.by_session.get(&session).copied().unwrap_or(0);
        if own == self.waiting.len() {
            return None;
        }
        let oldest = self.waiting.iter().position(|(from, _)| *from != session)?;
        if self.waiting[oldest].1 == update {
            return Some(oldest);
        }
        let far = if self.found >= SURE {
            oldest
        } else {
            self.waiting.len().saturating_sub(NEAR)
        };
        let mut rest = self.waiting.iter().enumerate().skip(far);
        let place = rest.find(|(_, (from, what))| *from != session && *what == update);
        place.map(|(place, _)| place)
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(session: &str, text: &str) -> Value {
        json!({"method": "session/update", "params": {"sessionId": session, "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}}})
    }

    /// The updates that are shown, of (session, text) pairs.
    fn shown(log: &[(&str, String)]) -> Vec<String> {
        let mut copies = Copies::default();
        log.iter()
            .filter(|(session, text)| !copies.is_second(&said(session, text)))
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
