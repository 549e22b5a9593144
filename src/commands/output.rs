//! Stdout: the result and nothing else. A reader that goes away ends us quietly.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::commands::failure::{Exit, Failure};

/// One line of text.
pub fn line(text: &str) -> Result<(), Failure> {
    raw(&format!("{text}\n"))
}

/// One JSON value on one line. What would act on a terminal stands as its escape: the value is the same.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| {
        Failure::new(Exit::Other, format!("cannot write this as JSON: {error}"))
    })?;
    line(&escaped(&text))
}

/// Serde escapes what is below a space; DEL, C1 and what turns the direction are lawful in JSON and never stand outside
/// a string.
fn escaped(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c.is_control() || is_bidi(c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if acts(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// As it is.
pub fn raw(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// As they are.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            // `ashore events last | head` is done, not broken.
            ErrorKind::BrokenPipe => Failure::new(Exit::Done, ""),
            _ => Failure::new(Exit::Other, format!("cannot write to stdout: {error}")),
        })
}

/// Agent text on its way to a terminal that is no screen of ours: no escape, no control but line ends and tabs.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && !matches!(c, '\n' | '\t') || is_bidi(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Progress and warnings.
pub fn say(quiet: bool, text: &str) {
    if !quiet {
        eprintln!("{}", plain(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_agent_cannot_move_the_cursor() {
        assert_eq!(
            plain("a\u{1b}[2Jb\r\u{9b}c\u{202e}d\te\n"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d\te\n"
        );
    }
    #[test]
    fn json_is_the_same_value_without_a_character_that_acts() {
        let value = "a\u{9b}31m\u{7f}\u{202e}\u{1b}\n漢";
        let text = serde_json::to_string(value).unwrap();
        let shown = escaped(&text);
        assert_eq!(shown, r#""a\u009b31m\u007f\u202e\u001b\n漢""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), value);
    }
}
