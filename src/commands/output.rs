//! Stdout: the result and nothing else. A reader that goes away ends us quietly.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::commands::failure::{Exit, Failure};

/// One line of text.
pub fn line(text: &str) -> Result<(), Failure> {
    raw(&format!("{text}\n"))
}

/// One JSON value on one line.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| {
        Failure::new(Exit::Other, format!("cannot write this as JSON: {error}"))
    })?;
    line(&text)
}

/// As it is.
pub fn raw(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
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
}
