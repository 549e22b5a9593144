//! Text for the clipboard: the sequences that carry it there, and what may truly be said of it.
//!
//! Pure. No terminal confirms a copy, and some take none: so it is called sent and never copied, it is not cut, and it
//! lies in a file as well.

use crate::protocol::file::size;

/// More than this (in base64) terminals drop or cut.
const MOST: usize = 74_994;

/// Which way text goes, as the config says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// OSC 52; in tmux that and its own form.
    #[default]
    Auto,
    Osc52,
    /// OSC 52 through tmux to the terminal outside.
    Tmux,
    /// The file only.
    File,
    /// A program of the user's that reads it.
    Command,
    Off,
}

impl Way {
    /// The words of the config.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("osc52", Self::Osc52),
        ("tmux", Self::Tmux),
        ("file", Self::File),
        ("off", Self::Off),
    ];
}

/// What a copy comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// For the terminal; empty when it is told nothing.
    pub sequence: String,
    /// What was done with it, without the file.
    pub words: String,
    /// It is to lie in the file too.
    pub file: bool,
}

/// How this text is given away.
pub fn copy(text: &str, way: Way, tmux: bool) -> Copy {
    let size = size(u64::try_from(text.len()).unwrap_or(u64::MAX));
    let silent = |words: String, file| Copy {
        sequence: String::new(),
        words,
        file,
    };
    match way {
        Way::Off => return silent("the clipboard is off: nothing was sent".to_owned(), false),
        Way::File | Way::Command => {
            return silent(format!("{size}, not sent to the terminal"), true);
        }
        Way::Auto | Way::Osc52 | Way::Tmux => (),
    }
    let encoded = base64(text.as_bytes());
    if encoded.len() > MOST {
        let words = format!("{size} is too long for a terminal's clipboard: not sent");
        return silent(words, true);
    }
    let plain = format!("\x1b]52;c;{encoded}\x07");
    let (sequence, form) = match (way, tmux) {
        (Way::Tmux, _) => (through_tmux(&plain), "OSC 52 through tmux"),
        // tmux takes the first where `set-clipboard` is on, the terminal the second where `allow-passthrough` is.
        (Way::Auto, true) => (
            format!("{plain}{}", through_tmux(&plain)),
            "OSC 52, also through tmux",
        ),
        _ => (plain, "OSC 52"),
    };
    Copy {
        sequence,
        words: format!("sent to the terminal ({form}, {size}, not confirmed)"),
        file: true,
    }
}

/// What is said of it. `file` is where it lies, or why it does not.
pub fn told(copy: &Copy, file: Option<Result<String, String>>) -> String {
    match file {
        None => copy.words.clone(),
        Some(Ok(file)) if copy.sequence.is_empty() => format!("{} · it is in {file}", copy.words),
        Some(Ok(file)) => format!("{} · also in {file}", copy.words),
        Some(Err(why)) => format!("{} · no file of it: {why}", copy.words),
    }
}

/// What is said of a text that a program was given: its end decides whether it may be called copied.
pub fn by_program(
    program: &str,
    text: &str,
    done: Result<(), String>,
    file: Result<String, String>,
) -> String {
    let size = size(u64::try_from(text.len()).unwrap_or(u64::MAX));
    match (done, file) {
        (Ok(()), Ok(file)) => format!("copied by {program} ({size}) · also in {file}"),
        (Ok(()), Err(_)) => format!("copied by {program} ({size})"),
        (Err(why), Ok(file)) => format!("not copied: {why} · it is in {file}"),
        (Err(why), Err(full)) => format!("not copied: {why} · no file of it: {full}"),
    }
}

/// Handed on by tmux to the terminal it runs in.
pub fn through_tmux(sequence: &str) -> String {
    format!("\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b"))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        let table = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (text, encoded) in table {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn each_way_has_its_form_and_says_what_was_done() {
        let plain = "\x1b]52;c;Zm9v\x07";
        let wrapped = "\x1bPtmux;\x1b\x1b]52;c;Zm9v\x07\x1b\\";
        let both = format!("{plain}{wrapped}");
        let sent = |form: &str| format!("sent to the terminal ({form}, 3 B, not confirmed)");
        let table = [
            (Way::Auto, false, plain, sent("OSC 52"), true),
            (
                Way::Auto,
                true,
                &both,
                sent("OSC 52, also through tmux"),
                true,
            ),
            (Way::Osc52, true, plain, sent("OSC 52"), true),
            (Way::Tmux, true, wrapped, sent("OSC 52 through tmux"), true),
            (
                Way::File,
                true,
                "",
                "3 B, not sent to the terminal".to_owned(),
                true,
            ),
            (
                Way::Off,
                false,
                "",
                "the clipboard is off: nothing was sent".to_owned(),
                false,
            ),
        ];
        for (way, tmux, sequence, words, file) in table {
            let wanted = Copy {
                sequence: sequence.to_owned(),
                words,
                file,
            };
            assert_eq!(copy("foo", way, tmux), wanted, "{way:?} {tmux}");
        }
    }

    #[test]
    fn what_is_said_names_the_file_or_why_there_is_none() {
        let sent = copy("foo", Way::Auto, false);
        let file = Some(Ok("~/c.txt".to_owned()));
        let full = Some(Err("the disk is full".to_owned()));
        let words = "sent to the terminal (OSC 52, 3 B, not confirmed)";
        assert_eq!(
            told(&sent, file.clone()),
            format!("{words} · also in ~/c.txt")
        );
        assert_eq!(
            told(&sent, full),
            format!("{words} · no file of it: the disk is full")
        );
        let kept = copy("foo", Way::File, false);
        assert_eq!(
            told(&kept, file),
            "3 B, not sent to the terminal · it is in ~/c.txt"
        );
    }

    #[test]
    fn it_is_called_copied_when_the_program_says_so_and_only_then() {
        let file = || Ok("~/c.txt".to_owned());
        let said = |done: Result<(), &str>, file| {
            by_program("wl-copy", "foo", done.map_err(str::to_owned), file)
        };
        assert_eq!(
            said(Ok(()), file()),
            "copied by wl-copy (3 B) · also in ~/c.txt"
        );
        let full = said(Ok(()), Err("the disk is full".to_owned()));
        assert_eq!(full, "copied by wl-copy (3 B)");
        let failed = said(Err("wl-copy failed (exit code 1)"), file());
        assert_eq!(
            failed,
            "not copied: wl-copy failed (exit code 1) · it is in ~/c.txt"
        );
    }

    #[test]
    fn the_words_of_the_config_are_known_here() {
        use crate::config::keys::{Holds, find};
        use crate::tui::tty::notify::Wish;
        let known = |path: &str| match find(&[path]).map(|key| key.holds) {
            Some(Holds::WordOrCommand(words)) => words.to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(known("clipboard"), Way::WORDS.map(|(word, _)| word));
        assert_eq!(known("notify"), Wish::WORDS.map(|(word, _)| word));
    }

    #[test]
    fn nothing_is_cut_what_is_too_long_goes_to_the_file_only() {
        let most = "x".repeat(MOST / 4 * 3);
        let sent = copy(&most, Way::Auto, false);
        assert_eq!(sent.sequence.len(), "\x1b]52;c;\x07".len() + MOST / 4 * 4);
        let more = copy(&format!("{most}xyz"), Way::Auto, false);
        assert_eq!((more.sequence.as_str(), more.file), ("", true));
        assert_eq!(
            more.words,
            "56.2 kB is too long for a terminal's clipboard: not sent"
        );
    }
}
