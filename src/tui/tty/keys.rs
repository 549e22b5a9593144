//! The keys in what a terminal sends: plain characters, the sequences of xterm and its kin, and kitty's.
//!
//! Pure. What is no key is none: an unknown sequence means nothing.

use crossterm::event::{KeyCode, KeyModifiers};

use crate::tui::keymap::Key;

/// A character, a control character, or one of them with Esc before it, which is Alt; `Esc O x` is a function key.
pub(super) fn of_plain(token: &[u8]) -> Option<Key> {
    match token {
        [0x1b] => Some(plain(KeyCode::Esc)),
        [0x1b, b'O', last] => named(*last).map(plain),
        [0x1b, rest @ ..] => {
            let key = of_character(rest)?;
            Some(Key::normal(key.code, key.modifiers | KeyModifiers::ALT))
        }
        _ => of_character(token),
    }
}

/// What a sequence was when nothing followed: Esc, or Alt and the character that begins one.
pub(super) fn cut_off(held: &[u8]) -> Option<Key> {
    match held {
        [0x1b] => Some(plain(KeyCode::Esc)),
        [0x1b, char] if char.is_ascii_graphic() => Some(Key::normal(
            KeyCode::Char(char::from(*char)),
            KeyModifiers::ALT,
        )),
        _ => None,
    }
}

/// What stands behind `Esc [`.
pub(super) fn of_csi(body: &[u8]) -> Option<Key> {
    if let [b'[', last @ b'A'..=b'E'] = body {
        return Some(plain(KeyCode::F(last - b'A' + 1)));
    }
    let (last, words) = body.split_last()?;
    let words = std::str::from_utf8(words).ok()?;
    let mut words = words.split(';');
    let first = words.next().unwrap_or_default();
    let (modifiers, released) = modifiers(words.next().unwrap_or_default())?;
    if released {
        return None;
    }
    let number = || first.split(':').next()?.parse::<u32>().ok();
    let code = match last {
        b'Z' => {
            return Some(Key::normal(
                KeyCode::BackTab,
                modifiers | KeyModifiers::SHIFT,
            ));
        }
        b'~' => numbered(number()?)?,
        b'u' => of_code_point(number()?)?,
        last => named(*last)?,
    };
    Some(Key::normal(code, modifiers))
}

fn plain(code: KeyCode) -> Key {
    Key::normal(code, KeyModifiers::NONE)
}

fn of_character(bytes: &[u8]) -> Option<Key> {
    let control = |char| Some(Key::normal(KeyCode::Char(char), KeyModifiers::CONTROL));
    match bytes {
        [b'\r'] => Some(plain(KeyCode::Enter)),
        [b'\t'] => Some(plain(KeyCode::Tab)),
        [0x7f] => Some(plain(KeyCode::Backspace)),
        [0] => control(' '),
        [byte @ 0x01..=0x1a] => control(char::from(byte - 1 + b'a')),
        [byte @ 0x1c..=0x1f] => control(char::from(byte - 0x1c + b'4')),
        _ => {
            let char = std::str::from_utf8(bytes).ok()?.chars().next()?;
            Some(plain(KeyCode::Char(char)))
        }
    }
}

/// One more than the bits Shift, Alt, Ctrl, as `modifiers:kind`; the third kind is a key that is let go.
fn modifiers(word: &str) -> Option<(KeyModifiers, bool)> {
    if word.is_empty() {
        return Some((KeyModifiers::NONE, false));
    }
    let mut parts = word.split(':');
    let bits = parts.next()?.parse::<u16>().ok()?.saturating_sub(1);
    let released = parts.next() == Some("3");
    let mut modifiers = KeyModifiers::NONE;
    for (bit, modifier) in [
        (1, KeyModifiers::SHIFT),
        (2, KeyModifiers::ALT),
        (4, KeyModifiers::CONTROL),
    ] {
        if bits & bit != 0 {
            modifiers |= modifier;
        }
    }
    Some((modifiers, released))
}

/// The keys that end their sequence with a letter of their own.
fn named(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'F' => KeyCode::End,
        b'H' => KeyCode::Home,
        // The keypad's Enter, where it sends anything of its own.
        b'M' => KeyCode::Enter,
        b'P'..=b'S' => KeyCode::F(last - b'P' + 1),
        _ => return None,
    })
}

fn numbered(number: u32) -> Option<KeyCode> {
    let function = |from: u32, first: u32| u8::try_from(number - from + first).ok();
    Some(match number {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        11..=15 => KeyCode::F(function(11, 1)?),
        17..=21 => KeyCode::F(function(17, 6)?),
        23..=26 => KeyCode::F(function(23, 11)?),
        28..=29 => KeyCode::F(function(28, 15)?),
        31..=34 => KeyCode::F(function(31, 17)?),
        _ => return None,
    })
}

/// Kitty's and xterm's way to say a key by its character; those of the keypad stand in a range of their own.
fn of_code_point(number: u32) -> Option<KeyCode> {
    Some(match number {
        9 => KeyCode::Tab,
        13 | 57414 => KeyCode::Enter,
        27 => KeyCode::Esc,
        127 => KeyCode::Backspace,
        57399..=57408 => KeyCode::Char(char::from_digit(number - 57399, 10)?),
        57409 => KeyCode::Char('.'),
        57410 => KeyCode::Char('/'),
        57411 => KeyCode::Char('*'),
        57412 => KeyCode::Char('-'),
        57413 => KeyCode::Char('+'),
        57415 => KeyCode::Char('='),
        57416 => KeyCode::Char(','),
        57417 => KeyCode::Left,
        57418 => KeyCode::Right,
        57419 => KeyCode::Up,
        57420 => KeyCode::Down,
        57421 => KeyCode::PageUp,
        57422 => KeyCode::PageDown,
        57423 => KeyCode::Home,
        57424 => KeyCode::End,
        57425 => KeyCode::Insert,
        57426 => KeyCode::Delete,
        // Modifiers, media keys, locks: none of them writes.
        57344..=63743 => return None,
        0..=31 => return None,
        _ => KeyCode::Char(char::from_u32(number)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_key_is_that_key() {
        let table: [(&[u8], Option<&str>); 40] = [
            (b"a", Some("a")),
            (b"A", Some("A")),
            (b" ", Some("space")),
            ("ß".as_bytes(), Some("ß")),
            (b"\r", Some("enter")),
            (b"\n", Some("ctrl+j")),
            (b"\t", Some("tab")),
            (b"\x7f", Some("backspace")),
            (b"\x08", Some("ctrl+h")),
            (b"\x01", Some("ctrl+a")),
            (b"\x1f", Some("ctrl+7")),
            (b"\0", Some("ctrl+space")),
            (b"\x1b", Some("esc")),
            (b"\x1b\r", Some("alt+enter")),
            (b"\x1bb", Some("alt+b")),
            (b"\x1b\x7f", Some("alt+backspace")),
            (b"\x1bOA", Some("up")),
            (b"\x1bOP", Some("f1")),
            (b"\x1b[A", Some("up")),
            (b"\x1b[1;3A", Some("alt+up")),
            (b"\x1b[1;5C", Some("ctrl+right")),
            (b"\x1b[H", Some("home")),
            (b"\x1b[4~", Some("end")),
            (b"\x1b[3~", Some("delete")),
            (b"\x1b[3;5~", Some("ctrl+delete")),
            (b"\x1b[5~", Some("pageup")),
            (b"\x1b[15~", Some("f5")),
            (b"\x1b[24~", Some("f12")),
            (b"\x1b[[A", Some("f1")),
            (b"\x1b[Z", Some("shift+tab")),
            (b"\x1b[13;2u", Some("shift+enter")),
            (b"\x1b[27u", Some("esc")),
            (b"\x1b[106;5u", Some("ctrl+j")),
            (b"\x1b[97:65;2u", Some("A")),
            (b"\x1b[97;1:3u", None),
            (b"\x1b[57441;2u", None),
            (b"\x1b[99~", None),
            (b"\x1b[x", None),
            (b"\x1b[;;;", None),
            (b"\x1b[99999999999u", None),
        ];
        for (bytes, wanted) in table {
            let key = match bytes {
                [0x1b, b'[', body @ ..] => of_csi(body),
                _ => of_plain(bytes),
            };
            let wanted = wanted.map(|text| text.parse::<Key>().unwrap());
            assert_eq!(key, wanted, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
