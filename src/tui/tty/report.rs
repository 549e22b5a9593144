//! What a terminal is asked at the start, and what it answers: its manners.
//!
//! Pure. A terminal that does not answer has the manners that every terminal has, and nothing waits for it for longer
//! than [`PATIENCE`].

use std::time::Duration;

/// How long the first picture waits for all answers together.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// Where the cursor is behind three signs of ours (CPR, in the second row: in the first its answer would be a key): asked
/// before the others, on a screen of our own.
pub const SIGNS: &str = "\x1b[2H●─▎\x1b[6n\x1b[2K\x1b[H";
/// Its ground (OSC 11), whether it knows modes 2026, 2031 and 1004 (DECRQM), its keyboard's flags, and at last what it is
/// (DA1): every terminal answers that, in order, so what was not answered before is not known to it.
pub const QUESTIONS: &str = "\x1b]11;?\x1b\\\x1b[?2026$p\x1b[?2031$p\x1b[?1004$p\x1b[?u\x1b[c";
/// The column behind those signs, where each takes one.
const BEHIND: u16 = 4;

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The colour of the ground.
    Ground([u8; 3]),
    /// A mode, and whether it can be set and reset.
    Mode(u16, bool),
    /// The terminal went over to another scheme (mode 2031).
    Scheme(Scheme),
    /// The column of its cursor, behind the signs.
    Column(u16),
    /// It knows kitty's keyboard.
    Keyboard,
    /// What it is: the last answer.
    Device,
}

/// Light letters on a dark ground, or the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Dark,
    Light,
}

/// What is known of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manners {
    pub scheme: Option<Scheme>,
    /// It shows what stands between two marks at once (mode 2026).
    pub synchronised: bool,
    /// It says when its scheme changes (mode 2031).
    pub tells_scheme: bool,
    /// It says when it gains and loses the focus (mode 1004).
    pub tells_focus: bool,
    pub keyboard: bool,
    /// Our signs take two columns, as in some East Asian set-ups.
    pub wide_signs: bool,
    /// The last answer has come.
    pub answered: bool,
}

impl Manners {
    pub fn learn(&mut self, report: Report) {
        match report {
            Report::Ground(colour) => self.scheme = Some(Scheme::of_ground(colour)),
            Report::Mode(2026, known) => self.synchronised = known,
            Report::Mode(2031, known) => self.tells_scheme = known,
            Report::Mode(1004, known) => self.tells_focus = known,
            Report::Mode(..) => (),
            Report::Scheme(scheme) => self.scheme = Some(scheme),
            Report::Column(column) => self.wide_signs = column > BEHIND,
            Report::Keyboard => self.keyboard = true,
            Report::Device => self.answered = true,
        }
    }
}

impl Scheme {
    /// By how bright the ground looks.
    pub fn of_ground([red, green, blue]: [u8; 3]) -> Self {
        let bright = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
        if bright < 127_500 {
            Self::Dark
        } else {
            Self::Light
        }
    }

    /// What `COLORFGBG` says, `15;0` or `0;default;15`: the last number is the ground, one of the sixteen.
    pub fn of_variable(value: &str) -> Option<Self> {
        match value.rsplit(';').next()?.parse().ok()? {
            0..=6 | 8 => Some(Self::Dark),
            7 | 9..=15 => Some(Self::Light),
            _ => None,
        }
    }
}

impl Report {
    /// What stands behind `Esc [`, where the cursor is: `row;columnR`. With row 1 it is the key F3.
    pub(super) fn of_cursor(body: &[u8]) -> Option<Self> {
        let words = std::str::from_utf8(body.strip_suffix(b"R")?).ok()?;
        let (row, column) = words.split_once(';')?;
        let row: u16 = row.parse().ok()?;
        let column = column.parse().ok()?;
        (row > 1).then_some(Self::Column(column))
    }

    /// What stands behind `Esc [`.
    pub(super) fn of_csi(body: &[u8]) -> Option<Self> {
        let words = std::str::from_utf8(body.strip_prefix(b"?")?).ok()?;
        let end = words.find(|char: char| !char.is_ascii_digit() && char != ';')?;
        let (numbers, kind) = words.split_at(end);
        let mut numbers = numbers.split(';').map(|word| word.parse::<u16>().ok());
        match kind {
            "c" => Some(Self::Device),
            "u" => Some(Self::Keyboard),
            "$y" => {
                let mode = numbers.next()??;
                // 0 is unknown, 3 and 4 are for ever on or off.
                Some(Self::Mode(mode, matches!(numbers.next()??, 1 | 2)))
            }
            "n" => match (numbers.next()??, numbers.next()??) {
                (997, 1) => Some(Self::Scheme(Scheme::Dark)),
                (997, 2) => Some(Self::Scheme(Scheme::Light)),
                _ => None,
            },
            _ => None,
        }
    }

    /// What stands behind `Esc ]`, with its end.
    pub(super) fn of_osc(body: &[u8]) -> Option<Self> {
        let body = body
            .strip_suffix(b"\x07")
            .or_else(|| body.strip_suffix(b"\x1b\\"))?;
        let words = std::str::from_utf8(body).ok()?;
        colour(words.strip_prefix("11;")?).map(Self::Ground)
    }
}

/// `rgb:ffff/8080/0`, also with an alpha, or `#ff8000`: as X11 writes colours.
fn colour(text: &str) -> Option<[u8; 3]> {
    let parts: Vec<&str> = match text.split_once(':') {
        Some(("rgb", rest)) => rest.split('/').collect(),
        Some(("rgba", rest)) => rest.split('/').take(3).collect(),
        Some(_) => return None,
        None => {
            let digits = text.strip_prefix('#').filter(|rest| rest.is_ascii())?;
            let each = digits.len() / 3;
            if each == 0 || digits.len() % 3 != 0 {
                return None;
            }
            (0..3)
                .map(|part| &digits[part * each..(part + 1) * each])
                .collect()
        }
    };
    let [red, green, blue] = parts.as_slice() else {
        return None;
    };
    Some([level(red)?, level(green)?, level(blue)?])
}

/// One to four hexadecimal digits of all that is there, as eight bits.
fn level(digits: &str) -> Option<u8> {
    let right = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !(1..=4).contains(&digits.len()) || !right {
        return None;
    }
    let value = u32::from_str_radix(digits, 16).ok()?;
    let most = (1 << (4 * digits.len())) - 1;
    u8::try_from(value * 255 / most).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_colour_is_read_and_nothing_else() {
        let table = [
            ("11;rgb:ffff/8080/0000\x07", Some([255, 128, 0])),
            ("11;rgb:f/8/0\x1b\\", Some([255, 136, 0])),
            ("11;rgb:ff/80/00\x07", Some([255, 128, 0])),
            ("11;rgba:ffff/ffff/ffff/8000\x07", Some([255, 255, 255])),
            ("11;#1e1e2e\x07", Some([30, 30, 46])),
            ("11;#fff\x07", Some([255, 255, 255])),
            ("10;rgb:ffff/ffff/ffff\x07", None),
            ("11;rgb:ffff/ffff\x07", None),
            ("11;rgb:fffff/0/0\x07", None),
            ("11;rgb:+f/0/0\x07", None),
            ("11;#äöü\x07", None),
            ("11;?\x07", None),
            ("11;rgb:ff/ff/ff", None),
        ];
        for (text, wanted) in table {
            assert_eq!(
                Report::of_osc(text.as_bytes()),
                wanted.map(Report::Ground),
                "{text:?}"
            );
        }
    }

    #[test]
    fn answers_about_modes_are_read_and_nothing_else() {
        let table = [
            ("?2026;2$y", Some(Report::Mode(2026, true))),
            ("?2026;1$y", Some(Report::Mode(2026, true))),
            ("?2026;0$y", Some(Report::Mode(2026, false))),
            ("?2026;4$y", Some(Report::Mode(2026, false))),
            ("?997;1n", Some(Report::Scheme(Scheme::Dark))),
            ("?997;2n", Some(Report::Scheme(Scheme::Light))),
            ("?997;3n", None),
            ("?5u", Some(Report::Keyboard)),
            ("?62;22c", Some(Report::Device)),
            ("?c", Some(Report::Device)),
            (">0;95;0c", None),
            ("?2026$y", None),
            ("?99999;1$y", None),
            ("?1;2R", None),
        ];
        for (text, wanted) in table {
            assert_eq!(Report::of_csi(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn signs_that_take_two_columns_are_told_from_those_that_take_one_and_from_a_key() {
        let table = [
            ("2;4R", Some((4, false))),
            ("2;7R", Some((7, true))),
            ("24;5R", Some((5, true))),
            ("1;2R", None),
            ("R", None),
            ("2;R", None),
            ("2;4;1R", None),
        ];
        for (text, wanted) in table {
            let report = Report::of_cursor(text.as_bytes());
            assert_eq!(
                report,
                wanted.map(|(column, _)| Report::Column(column)),
                "{text}"
            );
            if let (Some(report), Some((_, wide))) = (report, wanted) {
                let mut manners = Manners::default();
                manners.learn(report);
                assert_eq!(manners.wide_signs, wide, "{text}");
            }
        }
    }

    #[test]
    fn dark_and_light_are_told_by_the_ground_or_by_the_variable() {
        let table = [
            ([0, 0, 0], Scheme::Dark),
            ([0x28, 0x2a, 0x36], Scheme::Dark),
            ([0, 0, 255], Scheme::Dark),
            ([255, 255, 255], Scheme::Light),
            ([0xfd, 0xf6, 0xe3], Scheme::Light),
            ([255, 255, 0], Scheme::Light),
        ];
        for (colour, scheme) in table {
            assert_eq!(Scheme::of_ground(colour), scheme, "{colour:?}");
        }
        let table = [
            ("15;0", Some(Scheme::Dark)),
            ("0;default;15", Some(Scheme::Light)),
            ("12;8", Some(Scheme::Dark)),
            ("default;default", None),
            ("", None),
            ("0;99", None),
        ];
        for (value, scheme) in table {
            assert_eq!(Scheme::of_variable(value), scheme, "{value}");
        }
    }

    #[test]
    fn manners_are_what_was_answered() {
        let mut manners = Manners::default();
        for report in [
            Report::Ground([255; 3]),
            Report::Mode(2026, true),
            Report::Mode(2031, false),
            Report::Mode(7, true),
            Report::Keyboard,
            Report::Device,
        ] {
            manners.learn(report);
        }
        let wanted = Manners {
            scheme: Some(Scheme::Light),
            synchronised: true,
            keyboard: true,
            answered: true,
            ..Manners::default()
        };
        assert_eq!(manners, wanted);
    }
}
