//! What a terminal sends, told apart: keys, pastes, the mouse, the focus, and its answers to what it was asked.
//!
//! Pure. An answer may come late, in pieces and between keys, and must never be taken for typing: whatever has the form
//! of an answer is one or is dropped. What a person can type is never held back for longer than [`WAIT`].

use std::time::Duration;

use crate::tui::keymap::Key;
use crate::tui::tty::keys;
use crate::tui::tty::report::Report;

/// How long the rest of a sequence is waited for behind a lone Esc and the like, which may be keys by themselves.
pub const WAIT: Duration = Duration::from_millis(30);
/// The same for an answer that has begun: it comes over a slow line in pieces.
const LONG: Duration = Duration::from_secs(5);
/// No answer to a question of ours is longer; what is goes by unread.
const ANSWER: usize = 4096;
/// A paste is handed on in pieces of this many bytes.
const PASTE: usize = 1 << 20;

const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// One thing that the terminal said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Key(Key),
    Paste(String),
    /// The wheel, in steps; up is negative.
    Wheel(i16),
    Focus(bool),
    Report(Report),
}

/// Bytes that do not make a whole yet.
#[derive(Debug, Default)]
pub struct Sieve {
    held: Vec<u8>,
    inside: Inside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Inside {
    #[default]
    Nothing,
    Paste,
    /// An answer that is too long: dropped until its end.
    Flood,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// So many bytes belong together.
    Whole(usize),
    /// So many bytes mean nothing.
    Broken(usize),
    /// The rest may come yet.
    Begun,
}

impl Sieve {
    /// Takes what was read; gives what is whole.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Said> {
        self.held.extend_from_slice(bytes);
        let mut said = Vec::new();
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            let step = match self.inside {
                Inside::Nothing => match token(rest) {
                    Token::Whole(len) => {
                        self.inside = read(&rest[..len], &mut said);
                        len
                    }
                    Token::Broken(len) => len,
                    Token::Begun if rest.len() > ANSWER => {
                        self.inside = Inside::Flood;
                        0
                    }
                    Token::Begun => break,
                },
                Inside::Paste => match paste(rest, &mut said) {
                    (0, false) => break,
                    (len, over) => {
                        if over {
                            self.inside = Inside::Nothing;
                        }
                        len
                    }
                },
                Inside::Flood => {
                    let (len, over) = flood(rest);
                    if over {
                        self.inside = Inside::Nothing;
                    } else if len == 0 {
                        break;
                    }
                    len
                }
            };
            at += step;
        }
        self.held.drain(..at);
        said
    }

    /// How long to wait for the rest of what has begun; `None` when nothing has, or when it cannot be given up.
    pub fn waits(&self) -> Option<Duration> {
        match (self.inside, self.held.as_slice()) {
            (Inside::Paste, _) | (Inside::Nothing, []) => None,
            (Inside::Nothing, held) if held.len() <= 2 => Some(WAIT),
            (Inside::Nothing | Inside::Flood, _) => Some(LONG),
        }
    }

    /// The rest has not come in time: Esc alone is a key, and so is Alt with what begins an answer.
    pub fn give_up(&mut self) -> Vec<Said> {
        let held = std::mem::take(&mut self.held);
        self.inside = Inside::Nothing;
        match keys::cut_off(&held) {
            Some(key) => vec![Said::Key(key)],
            None => Vec::new(),
        }
    }
}

/// What a whole token says, and what comes after it.
fn read(token: &[u8], said: &mut Vec<Said>) -> Inside {
    let body = &token[token.len().min(2)..];
    match (token.first(), token.get(1)) {
        (Some(0x1b), Some(b'[')) => match body {
            b"200~" => return Inside::Paste,
            b"I" => said.push(Said::Focus(true)),
            b"O" => said.push(Said::Focus(false)),
            [b'<', ..] => said.extend(wheel(body).map(Said::Wheel)),
            [b'M', ..] if body.len() == 4 => (),
            [b'?' | b'>' | b'=', ..] => said.extend(Report::of_csi(body).map(Said::Report)),
            // An answer with an intermediate; no key has one.
            _ if body.iter().any(|byte| (0x20..0x30).contains(byte)) => (),
            _ => said.extend(match Report::of_cursor(body) {
                Some(report) => Some(Said::Report(report)),
                None => keys::of_csi(body).map(Said::Key),
            }),
        },
        (Some(0x1b), Some(b']')) => said.extend(Report::of_osc(body).map(Said::Report)),
        (Some(0x1b), Some(b'P' | b'_' | b'^' | b'X')) => (),
        _ => said.extend(keys::of_plain(token).map(Said::Key)),
    }
    Inside::Nothing
}

/// `<button;column;row` and `M`: 64 is the wheel away from the person, 65 towards.
fn wheel(body: &[u8]) -> Option<i16> {
    let words = std::str::from_utf8(body.strip_prefix(b"<")?).ok()?;
    let button: u16 = words.strip_suffix('M')?.split(';').next()?.parse().ok()?;
    // Shift, Alt and Ctrl are 4, 8 and 16.
    match button & !0b1_1100 {
        64 => Some(-1),
        65 => Some(1),
        _ => None,
    }
}

/// Of a paste: how many bytes were taken, and whether it is over.
fn paste(rest: &[u8], said: &mut Vec<Said>) -> (usize, bool) {
    let end = memchr::memmem::find(rest, PASTE_ENDS);
    if let Some(end) = end {
        said.push(Said::Paste(text(&rest[..end])));
        return (end + PASTE_ENDS.len(), true);
    }
    if rest.len() < PASTE {
        return (0, false);
    }
    // Neither its end nor a character is torn.
    let mut cut = rest.len() - PASTE_ENDS.len();
    while cut > 0 && rest[cut] & 0xc0 == 0x80 {
        cut -= 1;
    }
    said.push(Said::Paste(text(&rest[..cut])));
    (cut, false)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Of an answer that is too long: how many bytes were dropped, and whether it is over.
fn flood(rest: &[u8]) -> (usize, bool) {
    for (at, byte) in rest.iter().enumerate() {
        match (byte, rest.get(at + 1)) {
            (0x07, _) => return (at + 1, true),
            (0x1b, Some(b'\\')) => return (at + 2, true),
            (0x1b, None) if at > 0 => return (at, false),
            (0x1b, None) => return (0, false),
            _ => (),
        }
    }
    (rest.len(), false)
}

fn token(bytes: &[u8]) -> Token {
    match bytes {
        [] | [0x1b] => Token::Begun,
        // Esc, and something that begins anew.
        [0x1b, 0x1b, ..] => Token::Whole(1),
        [0x1b, b'[', ..] => csi(bytes),
        [0x1b, b'O'] => Token::Begun,
        [0x1b, b'O', _, ..] => Token::Whole(3),
        [0x1b, b']' | b'P' | b'_' | b'^' | b'X', ..] => string(bytes),
        [0x1b, rest @ ..] => match character(rest) {
            Token::Whole(len) => Token::Whole(len + 1),
            Token::Broken(len) => Token::Broken(len + 1),
            Token::Begun => Token::Begun,
        },
        _ => character(bytes),
    }
}

/// Parameters, intermediates, one final byte.
fn csi(bytes: &[u8]) -> Token {
    let body = &bytes[2..];
    let needs = match body {
        // The function keys of the Linux console, the mouse of old.
        [b'[', ..] => 2,
        [b'M', ..] => 4,
        _ => {
            return match body.iter().position(|byte| !(0x20..0x40).contains(byte)) {
                Some(end) if (0x40..0x7f).contains(&body[end]) => Token::Whole(end + 3),
                Some(end) => Token::Broken(end + 2),
                None => Token::Begun,
            };
        }
    };
    if body.len() < needs {
        Token::Begun
    } else {
        Token::Whole(needs + 2)
    }
}

/// Until BEL or ST; what begins something else breaks it off, and so does a control character.
fn string(bytes: &[u8]) -> Token {
    for (at, byte) in bytes.iter().enumerate().skip(2) {
        match (byte, bytes.get(at + 1)) {
            (0x07, _) => return Token::Whole(at + 1),
            (0x1b, Some(b'\\')) => return Token::Whole(at + 2),
            (0x1b, None) => return Token::Begun,
            (0x00..=0x1f, _) => return Token::Broken(at),
            _ => (),
        }
    }
    Token::Begun
}

/// One character of UTF-8.
fn character(bytes: &[u8]) -> Token {
    let len = match bytes[0] {
        0x00..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Token::Broken(1),
    };
    let there = &bytes[..len.min(bytes.len())];
    match std::str::from_utf8(there) {
        Ok(_) => Token::Whole(len),
        // `None`: so far it is right, and not at its end.
        Err(error) if error.error_len().is_none() && there.len() < len => Token::Begun,
        Err(_) => Token::Broken(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::tty::report::Scheme;

    fn key(text: &str) -> Said {
        Said::Key(text.parse().unwrap())
    }

    fn all(bytes: &[u8]) -> Vec<Said> {
        let mut sieve = Sieve::default();
        let mut said = sieve.take(bytes);
        said.extend(sieve.give_up());
        said
    }

    #[test]
    fn keys_and_answers_are_told_apart() {
        let table: [(&[u8], Vec<Said>); 16] = [
            (b"ab", vec![key("a"), key("b")]),
            ("ä漢".as_bytes(), vec![key("ä"), key("漢")]),
            (b"\x1b", vec![key("esc")]),
            (b"\x1b\x1b[A", vec![key("esc"), key("up")]),
            (b"\x1bx\x1b\x7f", vec![key("alt+x"), key("alt+backspace")]),
            (b"\x1b]", vec![key("alt+]")]),
            (b"\x1bP", vec![key("alt+P")]),
            (b"\x1bO", vec![key("alt+O")]),
            (b"\x1b[I\x1b[O", vec![Said::Focus(true), Said::Focus(false)]),
            (
                b"\x1b[200~a\x1b[A\x07b\x1b[201~c",
                vec![Said::Paste("a\x1b[A\x07b".into()), key("c")],
            ),
            (
                b"x\x1b[?997;1ny",
                vec![
                    key("x"),
                    Said::Report(Report::Scheme(Scheme::Dark)),
                    key("y"),
                ],
            ),
            (
                b"\x1b[<64;3;4M\x1b[<69;3;4M\x1b[<0;1;1M\x1b[<0;1;1m",
                vec![Said::Wheel(-1), Said::Wheel(1)],
            ),
            // Answers to what nobody asked, and what is no sequence at all.
            (b"\x1b[?1;2;3zq", vec![key("q")]),
            (
                b"\x1b[>41;2;0c\x1bP1$r0m\x1b\\\x1b_G\x1b\\q",
                vec![key("q")],
            ),
            (b"\x1b[12\x01\xff\xc3q", vec![key("ctrl+a"), key("q")]),
            (b"\x1b[M !!q", vec![key("q")]),
        ];
        for (bytes, said) in table {
            assert_eq!(all(bytes), said, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    /// Everything that a terminal is asked at the start, answered, with keys around it.
    const ANSWERED: &[u8] = b"a\x1b]11;rgb:ffff/ffff/dddd\x1b\\\x1b[?2026;2$y\x1b[?2031;1$y\x1b[?1004;2$y\x1b[?0u\x1b[?62;22cb\x1b[C\x1b]11;rgb:00/00/00\x07\x1b[200~p\xc3\xa4\x1b[201~";

    #[test]
    fn however_it_is_cut_the_same_is_said_and_no_answer_is_typed() {
        let whole = all(ANSWERED);
        let typed: Vec<&Said> = whole
            .iter()
            .filter(|said| !matches!(said, Said::Report(_)))
            .collect();
        assert_eq!(
            typed,
            [
                &key("a"),
                &key("b"),
                &key("right"),
                &Said::Paste("pä".into())
            ]
        );
        assert_eq!(whole.len(), typed.len() + 7);
        for first in 0..ANSWERED.len() {
            for second in first..ANSWERED.len() {
                let mut sieve = Sieve::default();
                let mut said = sieve.take(&ANSWERED[..first]);
                said.extend(sieve.take(&ANSWERED[first..second]));
                said.extend(sieve.take(&ANSWERED[second..]));
                assert_eq!(said, whole, "cut at {first} and {second}");
                assert_eq!(sieve.waits(), None);
            }
        }
    }

    #[test]
    fn an_answer_without_an_end_is_dropped_and_keys_work_behind_it() {
        let mut sieve = Sieve::default();
        assert_eq!(sieve.take(b"\x1b]11;rgb:ff"), []);
        assert_eq!(sieve.waits(), Some(LONG));
        assert_eq!(sieve.give_up(), []);
        assert_eq!(sieve.take(b"a"), [key("a")]);
        let flood = vec![b'x'; 3 * ANSWER];
        assert_eq!(sieve.take(b"\x1b]52;c;"), []);
        assert_eq!(sieve.take(&flood), []);
        assert_eq!(sieve.take(&flood), []);
        assert!(sieve.held.len() < ANSWER);
        assert_eq!(sieve.take(b"xx\x1b"), []);
        assert_eq!(sieve.take(b"\\b"), [key("b")]);
        // A string that something else breaks off.
        assert_eq!(sieve.take(b"\x1b]11;rgb\x1b[Ac"), [key("up"), key("c")]);
        assert_eq!(sieve.take(b"\x1b]11;rgb\rc"), [key("enter"), key("c")]);
    }

    #[test]
    fn a_large_paste_comes_in_pieces_and_whole() {
        let mut sieve = Sieve::default();
        let long = "ä".repeat(PASTE);
        let mut said = sieve.take(b"\x1b[200~");
        for chunk in long.as_bytes().chunks(1023) {
            said.extend(sieve.take(chunk));
            assert!(sieve.held.len() <= PASTE + 1023);
        }
        assert_eq!(sieve.waits(), None);
        said.extend(sieve.take(b"\x1b[201~"));
        let pasted: String = said
            .iter()
            .map(|said| match said {
                Said::Paste(text) => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(pasted == long);
        assert!(said.len() > 1);
    }

    #[test]
    fn only_what_may_be_a_key_is_waited_for_briefly() {
        let table: [(&[u8], Option<Duration>); 6] = [
            (b"a", None),
            (b"\x1b", Some(WAIT)),
            (b"\x1b]", Some(WAIT)),
            (b"\x1b[", Some(WAIT)),
            (b"\x1b]1", Some(LONG)),
            (b"\x1b[200~abc", None),
        ];
        for (bytes, waits) in table {
            let mut sieve = Sieve::default();
            sieve.take(bytes);
            assert_eq!(sieve.waits(), waits, "{bytes:?}");
        }
    }

    proptest::proptest! {
        /// Whatever comes: nothing panics, nothing is held without bound, and a key behind it all is a key.
        #[test]
        fn bytes_without_sense_do_no_harm(chunks in proptest::collection::vec(
            proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40), 0..40)) {
            let mut sieve = Sieve::default();
            for chunk in &chunks {
                sieve.take(chunk);
                proptest::prop_assert!(sieve.held.len() <= ANSWER + 64 || sieve.inside == Inside::Paste);
            }
            sieve.take(PASTE_ENDS);
            sieve.give_up();
            proptest::prop_assert_eq!(sieve.take(b"k"), vec![key("k")]);
        }
    }
}
