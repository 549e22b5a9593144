//! `--ascii`: every sign the screen draws has a stand-in of one column, put in its place when the picture is ready.
//!
//! Pure, and the one place that knows: the rest of the view draws as if every terminal could show everything. Letters
//! of other scripts are left as they are; what the agent draws with these signs gets the stand-ins too, since a
//! terminal that cannot show ours cannot show those.

use ratatui::buffer::Buffer;

/// Sign and stand-in.
const STAND_INS: &[(&str, &str)] = &[
    // The link.
    ("●", "*"),
    ("◌", "."),
    ("↻", "~"),
    ("✕", "x"),
    // Work.
    ("◐", ">"),
    ("○", "o"),
    ("✓", "+"),
    ("■", "#"),
    ("▸", ">"),
    ("▾", "v"),
    // Files and keys.
    ("↓", "v"),
    ("↑", "^"),
    ("←", "<"),
    ("→", ">"),
    ("⇅", "|"),
    // Text.
    ("·", "-"),
    ("•", "*"),
    ("▪", "*"),
    ("–", "-"),
    ("—", "-"),
    ("−", "-"),
    ("×", "x"),
    ("…", "."),
    ("⏎", "/"),
    ("‹", "<"),
    ("›", ">"),
    ("▌", "|"),
    ("▎", "|"),
    // Lines.
    ("─", "-"),
    ("│", "|"),
    ("┌", "+"),
    ("┐", "+"),
    ("└", "+"),
    ("┘", "+"),
    ("├", "+"),
    ("┤", "+"),
    ("┬", "+"),
    ("┴", "+"),
    ("┼", "+"),
];

/// The picture with nothing of ours beyond ASCII.
pub(crate) fn stand_in(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().is_ascii() {
            continue;
        }
        if let Some(stand_in) = of(cell.symbol()) {
            cell.set_symbol(stand_in);
        }
    }
}

/// The same for a text.
pub(crate) fn in_ascii(text: &str) -> String {
    let mut buffer = [0; 4];
    text.chars()
        .map(|char| {
            let symbol: &str = char.encode_utf8(&mut buffer);
            of(symbol).map_or_else(|| symbol.to_owned(), str::to_owned)
        })
        .collect()
}

fn of(symbol: &str) -> Option<&'static str> {
    // The picture of a control character.
    if ('\u{2400}'..='\u{2421}').any(|picture| symbol.starts_with(picture)) {
        return Some("^");
    }
    STAND_INS
        .iter()
        .find(|(sign, _)| *sign == symbol)
        .map(|(_, stand_in)| *stand_in)
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;
    use crate::tui::view::text::width;

    #[test]
    fn every_stand_in_takes_the_column_of_its_sign() {
        for (sign, stand_in) in STAND_INS {
            assert!(stand_in.is_ascii(), "{sign}");
            assert_eq!((width(sign), width(stand_in)), (1, 1), "{sign}");
        }
    }

    #[test]
    fn signs_are_replaced_and_letters_stay() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 16, 1));
        buffer.set_string(0, 0, "● live │ 漢é ␛[0", Style::new());
        stand_in(&mut buffer);
        let shown: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(shown, "* live | 漢 é ^[0");
    }
}
