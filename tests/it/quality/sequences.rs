//! What may reach a terminal: the sequences a screen is drawn with, and nothing else.

use std::fmt::Write;

use vte::{Params, Parser, Perform};

/// Reads bytes as a terminal does and notes what does not belong there.
pub(crate) struct Terminal {
    parser: Parser,
    watch: Watch,
}

struct Watch {
    /// Line ends and tabs: for what is printed to a shell, not for a screen.
    lines: bool,
    wrong: Vec<String>,
    printed: u64,
}

impl Terminal {
    /// For bytes that draw a screen.
    pub(crate) fn screen() -> Self {
        Self::new(false)
    }

    /// For bytes a command prints.
    pub(crate) fn shell() -> Self {
        Self::new(true)
    }

    fn new(lines: bool) -> Self {
        Self {
            parser: Parser::new(),
            watch: Watch {
                lines,
                wrong: Vec::new(),
                printed: 0,
            },
        }
    }

    /// Fails, with what came, when one of these bytes does what none may.
    pub(crate) fn takes(&mut self, bytes: &[u8], case: &str) {
        self.parser.advance(&mut self.watch, bytes);
        assert!(
            self.watch.wrong.is_empty(),
            "{case}: {:?}",
            self.watch.wrong
        );
    }

    /// Characters that were shown.
    pub(crate) fn printed(&self) -> u64 {
        self.watch.printed
    }
}

impl Watch {
    fn refuse(&mut self, what: &str, detail: &str) {
        if self.wrong.len() < 8 {
            self.wrong.push(format!("{what} {detail}"));
        }
    }
}

/// A character that hides, reorders or carries what nobody sees.
fn deceives(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Perform for Watch {
    fn print(&mut self, char: char) {
        self.printed += 1;
        if char.is_control() || deceives(char) {
            self.refuse("prints", &format!("{char:?}"));
        }
    }

    fn execute(&mut self, byte: u8) {
        if !(self.lines && matches!(byte, b'\n' | b'\r' | b'\t')) {
            self.refuse("executes", &format!("{byte:#x}"));
        }
    }

    fn hook(&mut self, _: &Params, _: &[u8], _: bool, action: char) {
        self.refuse("DCS", &action.to_string());
    }

    fn put(&mut self, _: u8) {}

    fn osc_dispatch(&mut self, params: &[&[u8]], _: bool) {
        // Ours is a link with a web address, or its end.
        let is_ours = matches!(params, [b"8", _, address]
            if address.is_empty() || address.starts_with(b"http://") || address.starts_with(b"https://"));
        if !is_ours {
            let text: Vec<_> = params
                .iter()
                .map(|one| String::from_utf8_lossy(one))
                .collect();
            self.refuse("OSC", &text.join(";"));
        }
    }

    fn csi_dispatch(&mut self, params: &Params, between: &[u8], ignored: bool, action: char) {
        let mut text = String::new();
        for part in params {
            write!(text, "{part:?}").expect("a string takes all");
        }
        let first = params.iter().next().and_then(|part| part.first());
        let allowed = match (between, action) {
            // Colours; to a place; erasing; scrolling and where.
            (b"", 'm' | 'H' | 'J' | 'K' | 'S' | 'T' | 'r') => !self.lines || action == 'm',
            // The cursor seen or not, the other screen, pastes in brackets, pictures as a whole.
            (b"?", 'h' | 'l') => !self.lines && matches!(first, Some(25 | 1049 | 2004 | 2026)),
            _ => false,
        };
        if !allowed || ignored {
            let between = String::from_utf8_lossy(between);
            self.refuse("CSI", &format!("{between} {text} {action}"));
        }
    }

    fn esc_dispatch(&mut self, between: &[u8], _: bool, byte: u8) {
        // The end of an OSC of ours.
        if !(between.is_empty() && byte == b'\\') {
            self.refuse("ESC", &format!("{between:?} {byte:#x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_is_seen() {
        for bytes in [
            "\u{1b}]0;t\u{7}",
            "\u{1b}]52;c;eA==\u{7}",
            "\u{1b}]8;;file:///etc\u{1b}\\",
            "\u{1b}Pq\u{1b}\\",
            "\u{9b}2J",
            "\u{1b}[6n",
            "\u{1b}[?1000h",
            "\u{1b}[?1006h",
            "\u{1b}c",
            "\u{7}",
            "\u{8}",
            "\u{202e}",
            "\u{1b}[21t",
            "\n",
        ] {
            let mut terminal = Terminal::screen();
            terminal
                .parser
                .advance(&mut terminal.watch, bytes.as_bytes());
            assert!(!terminal.watch.wrong.is_empty(), "{bytes:?}");
        }
        let mut terminal = Terminal::screen();
        terminal.takes("\u{1b}[3;4H\u{1b}[1;38;5;9mx\u{1b}[?25l\u{1b}[?2026h\u{1b}]8;;https://a\u{1b}\\a\u{1b}]8;;\u{1b}\\".as_bytes(), "ours");
        assert_eq!(terminal.printed(), 2);
    }
}
