//! Joins a log and a stream that number nothing: each payload is shown once, in the log's order.
//!
//! Pure: no clock, no network. It compares keys; what a key is made of is the caller's.
//!
//! The log is the truth: it is read by place, so every line of it is met exactly once. A line is not shown when the stream
//! has shown its like before (`Memory::early`). An event of the stream is not shown when the log has. Which of the two
//! holds for an event that looks like a line of the log's end is asked of the log itself: an event stands in the log
//! before it is published, so what is new stands there at a second look. Client messages are outside of the order,
//! because one dialect's stream carries them and the other's does not.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// So many lines may the log be ahead of the stream.
const AHEAD: usize = 4096;
/// Among so many last lines an event out of order is looked for (contract 3).
const TAIL: usize = 200;

/// What lasts from attempt to attempt.
#[derive(Debug)]
pub(crate) struct Memory<K> {
    /// Lines of the log that have been read.
    pub(crate) read: u64,
    /// Payloads shown: the last number given.
    pub(crate) shown: u64,
    /// Shown from the stream and not met in the log yet.
    early: HashMap<K, u32>,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self {
            read: 0,
            shown: 0,
            early: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> Memory<K> {
    /// How many were shown that the log has not confirmed.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.early.len()
    }

    /// What the log does not have at the second look it never will.
    pub(crate) fn forget_unconfirmed(&mut self) {
        self.early.clear();
    }
}

/// One payload.
#[derive(Debug, Clone)]
pub(crate) struct Payload<K, T> {
    pub(crate) key: K,
    pub(crate) value: T,
    /// A client's message.
    pub(crate) client: bool,
}

/// One connection of the stream, beside the log.
#[derive(Debug)]
pub(crate) struct Reconcile<K, T> {
    /// The log's last lines that were shown from the log, oldest first.
    tail: VecDeque<K>,
    /// Where in `tail` the stream may stand: the next event is the line at one of these places. `tail.len()` means that
    /// the next event is newer than the log.
    places: Vec<usize>,
    /// How many events were taken for a line of `tail`.
    dropped: HashMap<K, u32>,
    /// Client messages shown from the log.
    clients: HashMap<K, u32>,
    /// The stream has passed the log: everything is new from here on.
    passed: bool,
    /// `places` are known: the log has been read beside this connection.
    begun: bool,
    /// Not decided yet; the order is kept, so one holds up those behind it.
    held: VecDeque<Payload<K, T>>,
}

impl<K: Eq + Hash + Clone, T> Reconcile<K, T> {
    /// For a stream that has just been opened.
    pub(crate) fn new() -> Self {
        Self {
            tail: VecDeque::new(),
            places: Vec::new(),
            dropped: HashMap::new(),
            clients: HashMap::new(),
            passed: false,
            begun: false,
            held: VecDeque::new(),
        }
    }

    /// The next line of the log; what is to be shown of it.
    pub(crate) fn logged(&mut self, memory: &mut Memory<K>, line: Payload<K, T>) -> Option<T> {
        memory.read += 1;
        if take_one(&mut memory.early, &line.key) {
            return None;
        }
        memory.shown += 1;
        if self.passed {
            // The stream did not bring it; it may be about to.
            self.reopen();
        }
        if line.client {
            *self.clients.entry(line.key).or_default() += 1;
        } else {
            self.tail.push_back(line.key);
            if self.tail.len() > AHEAD {
                self.tail.pop_front();
                self.places.retain(|place| *place > 0);
                self.places.iter_mut().for_each(|place| *place -= 1);
            }
        }
        Some(line.value)
    }

    /// The log has been read to its end.
    pub(crate) fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.places = (0..=self.tail.len()).collect();
        }
    }

    /// An event of the stream, in order.
    pub(crate) fn streamed(&mut self, event: Payload<K, T>) {
        self.held.push_back(event);
    }

    /// Decides what can be decided, and says what is to be shown. `looked`: the log was read after the events came, so
    /// nothing stays undecided.
    pub(crate) fn decide(&mut self, memory: &mut Memory<K>, looked: bool) -> Vec<T> {
        let mut show = Vec::new();
        while let Some(event) = self.held.pop_front() {
            let told = match self.judge(&event.key, event.client, looked) {
                Judgement::Unsure => {
                    self.held.push_front(event);
                    break;
                }
                Judgement::Told => true,
                Judgement::New => false,
            };
            if !told {
                memory.shown += 1;
                *memory.early.entry(event.key).or_default() += 1;
                show.push(event.value);
            }
        }
        show
    }

    /// An event waits for a second look at the log.
    pub(crate) fn is_unsure(&self) -> bool {
        !self.held.is_empty()
    }

    /// The stream seems to have passed what the log had.
    pub(crate) fn may_pass(&self) -> bool {
        !self.passed && self.begun && self.held.is_empty() && self.places == [self.tail.len()]
    }

    /// It has: nothing that comes from here on stands in what was read of the log.
    pub(crate) fn pass(&mut self) {
        self.passed = true;
    }

    /// Client messages have no place in the order, so they are remembered beyond it.
    fn reopen(&mut self) {
        self.tail.clear();
        self.dropped.clear();
        self.begun = false;
        self.passed = false;
    }

    fn judge(&mut self, key: &K, client: bool, looked: bool) -> Judgement {
        if client && take_one(&mut self.clients, key) {
            return Judgement::Told;
        }
        if client || self.passed {
            return Judgement::New;
        }
        let end = self.tail.len();
        let on: Vec<usize> = self
            .places
            .iter()
            .filter(|place| self.tail.get(**place) == Some(key))
            .map(|place| place + 1)
            .collect();
        let may_be_new = on.is_empty() || self.places.contains(&end);
        if on.is_empty() && !self.is_in_tail(key) {
            self.places = vec![end];
            return Judgement::New;
        }
        if may_be_new && !looked {
            return Judgement::Unsure;
        }
        *self.dropped.entry(key.clone()).or_default() += 1;
        if !on.is_empty() {
            self.places = on;
        }
        Judgement::Told
    }

    /// One of the last lines says this and no event was taken for it.
    fn is_in_tail(&self, key: &K) -> bool {
        let found = self.tail.iter().rev().take(TAIL).filter(|one| *one == key);
        let dropped = self.dropped.get(key).copied().unwrap_or(0);
        u32::try_from(found.count()).unwrap_or(u32::MAX) > dropped
    }
}

/// Of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// The log has told it.
    Told,
    New,
    Unsure,
}

fn take_one<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) -> bool {
    match counts.get_mut(key) {
        Some(1) => counts.remove(key).is_some(),
        Some(count) => {
            *count -= 1;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Upper case is a client's message.
    fn payload(word: char) -> Payload<char, char> {
        Payload {
            key: word,
            value: word,
            client: word.is_ascii_uppercase(),
        }
    }

    /// A reader of a log that it is given to look at.
    struct Reader {
        memory: Memory<char>,
        reconcile: Reconcile<char, char>,
        screen: String,
    }

    impl Reader {
        fn new() -> Self {
            Self {
                memory: Memory::default(),
                reconcile: Reconcile::new(),
                screen: String::new(),
            }
        }

        fn look(&mut self, log: &str) {
            let first = !self.reconcile.begun;
            let new: Vec<char> = log
                .chars()
                .skip(usize::try_from(self.memory.read).unwrap())
                .collect();
            for word in new {
                let shown = self.reconcile.logged(&mut self.memory, payload(word));
                self.screen.extend(shown);
            }
            self.reconcile.begin();
            let shown = self.reconcile.decide(&mut self.memory, !first);
            self.screen.extend(shown);
        }

        /// An event; when it cannot be decided the log is looked at again.
        fn hear(&mut self, word: char, log: &str) {
            self.reconcile.streamed(payload(word));
            if !self.reconcile.begun {
                return;
            }
            let shown = self.reconcile.decide(&mut self.memory, false);
            self.screen.extend(shown);
            if self.reconcile.is_unsure() {
                self.look(log);
            }
        }

        fn reconnect(&mut self) {
            self.reconcile = Reconcile::new();
        }
    }

    #[test]
    fn the_overlap_of_log_and_stream_is_shown_once() {
        for (buffered, log, later, want) in [
            // Nothing in common.
            ("", "abc", "de", "abcde"),
            ("", "", "ab", "ab"),
            // The buffer's first ones are the log's last ones.
            ("bc", "abc", "d", "abcd"),
            ("bcd", "abc", "e", "abcde"),
            ("abc", "abc", "d", "abcd"),
            // The log is ahead of the stream.
            ("b", "abcd", "cde", "abcde"),
            ("", "abcd", "cde", "abcde"),
            // Another order.
            ("cb", "abc", "d", "abcd"),
            // Client messages stand between, and come on the stream or not.
            ("bc", "abXc", "d", "abXcd"),
            ("bXc", "abXc", "d", "abXcd"),
            // The same word again and again.
            ("aa", "aaa", "b", "aaab"),
        ] {
            let mut reader = Reader::new();
            for word in buffered.chars() {
                reader.hear(word, log);
            }
            reader.look(log);
            // A word stands in the log before it is published.
            let mut whole = log.to_owned();
            let mut said = |word: char| {
                if !whole.contains(word) {
                    whole.push(word);
                }
                whole.clone()
            };
            let log_now = buffered.chars().map(&mut said).last();
            if reader.reconcile.is_unsure() {
                reader.look(&log_now.unwrap());
            }
            for word in later.chars() {
                reader.hear(word, &said(word));
            }
            assert_eq!(reader.screen, want, "{buffered} | {log} | {later}");
        }
    }

    #[test]
    fn the_worked_example_of_the_contract_loses_and_doubles_nothing() {
        // L0 n, L1 c, L2 n, L3 n, L4 n: present for three, away for L4, back, and back once more.
        let mut reader = Reader::new();
        reader.look("");
        reader.hear('a', "a");
        reader.hear('b', "aXb");
        reader.hear('c', "aXbc");
        assert_eq!(reader.screen, "abc");
        reader.reconnect();
        reader.look("aXbcd");
        assert_eq!(
            reader.screen, "abcXd",
            "the client's message comes late, once"
        );
        reader.reconnect();
        reader.look("aXbcd");
        assert_eq!(reader.screen, "abcXd");
        reader.hear('e', "aXbcde");
        assert_eq!(reader.screen, "abcXde");
    }

    #[test]
    fn a_word_that_stood_in_the_log_before_is_new_when_it_is_said_again() {
        let mut reader = Reader::new();
        reader.look("the cat");
        for (word, log) in [('t', "the catt"), ('h', "the catth"), ('e', "the catthe")] {
            reader.hear(word, log);
        }
        assert_eq!(reader.screen, "the catthe");
    }

    #[test]
    fn a_log_that_lags_behind_the_stream_repeats_nothing_when_it_catches_up() {
        let mut reader = Reader::new();
        reader.look("a");
        reader.hear('b', "a");
        reader.hear('c', "a");
        reader.look("abc");
        reader.hear('d', "abc");
        reader.look("abcd");
        assert_eq!(reader.screen, "abcd");
    }

    #[derive(Debug, Clone)]
    enum Move {
        /// The server logs a word, and publishes it unless it is a client's.
        Append(char),
        /// So many published words reach the reader.
        Deliver(usize),
        Look,
        Reconnect,
        /// Time passes, as far as it decides something.
        Settle,
    }

    fn moves(words: &'static str) -> impl Strategy<Value = Vec<Move>> {
        let word = prop::sample::select(words.chars().collect::<Vec<_>>());
        let one = prop_oneof![
            5 => word.prop_map(Move::Append),
            4 => (1usize..4).prop_map(Move::Deliver),
            1 => Just(Move::Look),
            1 => Just(Move::Reconnect),
            2 => Just(Move::Settle),
        ];
        prop::collection::vec(one, 0..60)
    }

    /// Plays a server that logs first and publishes second, to a reader that may come at any time.
    fn play(moves: Vec<Move>, carries_clients: bool) -> (String, String) {
        let (mut log, mut wire) = (String::new(), VecDeque::new());
        let mut reader = Reader::new();
        reader.look(&log);
        let deliver = |reader: &mut Reader, wire: &mut VecDeque<char>, log: &str| {
            if let Some(word) = wire.pop_front() {
                reader.hear(word, log);
            }
        };
        for step in moves {
            match step {
                Move::Append(word) => {
                    log.push(word);
                    if carries_clients || !word.is_ascii_uppercase() {
                        wire.push_back(word);
                    }
                }
                Move::Deliver(count) => {
                    (0..count).for_each(|_| deliver(&mut reader, &mut wire, &log));
                }
                Move::Look => reader.look(&log),
                Move::Reconnect => {
                    // What was on the way is lost; what comes between the opening and the look is in both.
                    wire.clear();
                    reader.reconnect();
                    reader.look(&log);
                }
                Move::Settle => {
                    if reader.reconcile.may_pass() {
                        reader.reconcile.pass();
                    }
                }
            }
        }
        reader.look(&log);
        (log, reader.screen)
    }

    fn sorted(text: &str) -> Vec<char> {
        let mut all: Vec<char> = text.chars().collect();
        all.sort_unstable();
        all
    }

    fn agents(text: &str) -> String {
        text.chars().filter(char::is_ascii_lowercase).collect()
    }

    proptest! {
        #[test]
        fn whatever_the_interleaving_every_payload_is_shown_once_and_in_the_log_s_order(
            moves in moves("aabcdeXY"), carries_clients in any::<bool>()
        ) {
            let (log, screen) = play(moves, carries_clients);
            prop_assert_eq!(sorted(&screen), sorted(&log));
            prop_assert_eq!(agents(&screen), agents(&log));
        }
    }
}
