//! How the next character will look, and the shortest sequence that makes it look otherwise.
//!
//! Pure.

use ratatui::buffer::Cell;
use ratatui::style::{Color, Modifier};

/// The terminal's present colours and attributes. The colour of the line under a text is none of them: it says where the
/// text leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pen {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

/// Attributes with their numbers, in the order they are written.
const ATTRIBUTES: [(Modifier, &str); 9] = [
    (Modifier::BOLD, "1"),
    (Modifier::DIM, "2"),
    (Modifier::ITALIC, "3"),
    (Modifier::UNDERLINED, "4"),
    (Modifier::SLOW_BLINK, "5"),
    (Modifier::RAPID_BLINK, "6"),
    (Modifier::REVERSED, "7"),
    (Modifier::HIDDEN, "8"),
    (Modifier::CROSSED_OUT, "9"),
];

impl Pen {
    pub(super) fn of(cell: &Cell) -> Self {
        Self {
            fg: cell.fg,
            bg: cell.bg,
            modifier: cell.modifier,
        }
    }

    /// Goes over to `next`, writing what that takes.
    pub(super) fn becomes(&mut self, next: Self, out: &mut Vec<u8>) {
        if *self == next {
            return;
        }
        if next == Self::default() {
            out.extend_from_slice(b"\x1b[m");
            *self = next;
            return;
        }
        let mut parts: Vec<String> = Vec::new();
        // Attributes go away all together only: some terminals know no other way for some of them.
        if !next.modifier.contains(self.modifier) {
            parts.push("0".to_owned());
            *self = Self::default();
        }
        let added = next.modifier - self.modifier;
        let words = ATTRIBUTES.iter().filter(|(one, _)| added.contains(*one));
        parts.extend(words.map(|(_, word)| (*word).to_owned()));
        for (was, is, place) in [(self.fg, next.fg, '3'), (self.bg, next.bg, '4')] {
            if was != is {
                parts.push(colour(is, place));
            }
        }
        out.extend_from_slice(b"\x1b[");
        out.extend_from_slice(parts.join(";").as_bytes());
        out.push(b'm');
        *self = next;
    }
}

/// `place` is 3 for the text, 4 for the ground.
fn colour(colour: Color, place: char) -> String {
    let number = match colour {
        Color::Reset => return format!("{place}9"),
        Color::Rgb(red, green, blue) => return format!("{place}8;2;{red};{green};{blue}"),
        Color::Indexed(number) => number,
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
    };
    format!("{place}8;5;{number}")
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    fn pen(style: Style) -> Pen {
        let mut cell = Cell::EMPTY;
        cell.set_style(style);
        Pen::of(&cell)
    }

    #[test]
    fn only_what_changes_is_written() {
        let table = [
            (Style::new(), Style::new(), ""),
            (Style::new(), Style::new().red(), "\x1b[38;5;1m"),
            (Style::new().red(), Style::new().red().bold(), "\x1b[1m"),
            (
                Style::new().red().bold().dim(),
                Style::new().red().dim(),
                "\x1b[0;2;38;5;1m",
            ),
            (
                Style::new().on_blue(),
                Style::new().fg(Color::Rgb(1, 2, 3)),
                "\x1b[38;2;1;2;3;49m",
            ),
            (Style::new().italic().red(), Style::new(), "\x1b[m"),
        ];
        for (from, to, written) in table {
            let (mut pen_now, mut out) = (pen(from), Vec::new());
            pen_now.becomes(pen(to), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), written, "{from:?} {to:?}");
            assert_eq!(pen_now, pen(to));
        }
    }
}
