//! The title of the window: kept by the terminal while ours stands there, and put back.
//!
//! Pure.

/// Remembers the title that stands there (XTWINOPS).
pub const KEEP: &str = "\x1b[22;2t";
/// Puts it back. Where a terminal has kept none, an empty one makes it take its own.
pub const PUT_BACK: &str = "\x1b]2;\x1b\\\x1b[23;2t";
/// In characters.
const MOST: usize = 80;

/// What is written so that this is the title.
pub fn set(words: &str) -> String {
    let plain: String = words
        .chars()
        .filter(|char| !char.is_control())
        .take(MOST)
        .collect();
    format!("\x1b]2;{plain}\x1b\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_holds_nothing_that_acts() {
        let table = [
            ("? 7f3a fix auth", "\x1b]2;? 7f3a fix auth\x1b\\"),
            (
                "a\x1b\\\x07\u{9c}\n\x1b]52;c;eA==\x07b",
                "\x1b]2;a\\]52;c;eA==b\x1b\\",
            ),
        ];
        for (words, written) in table {
            assert_eq!(set(words), written);
        }
        assert!(set(&"x".repeat(10_000)).len() < 100);
    }
}
