//! Which of many lines somebody means who has typed a few letters of one.
//!
//! Pure. The one place that knows the matcher.

use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// The index and the score of each line that holds the letters of every word of `needle` in their order, the best
/// first; equals stay in the order they were given in. A small letter means both cases. An empty needle means all.
pub fn rank<S: AsRef<str>>(needle: &str, lines: &[S]) -> Vec<(usize, u32)> {
    let pattern = Pattern::new(
        needle,
        CaseMatching::Smart,
        Normalization::Smart,
        AtomKind::Fuzzy,
    );
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut letters = Vec::new();
    let mut found: Vec<(usize, u32)> = lines
        .iter()
        .enumerate()
        .filter_map(|(index, line)| {
            let line = Utf32Str::new(line.as_ref(), &mut letters);
            Some((index, pattern.score(line, &mut matcher)?))
        })
        .collect();
    found.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found<'a>(needle: &str, lines: &[&'a str]) -> Vec<&'a str> {
        rank(needle, lines)
            .into_iter()
            .map(|(index, _)| lines[index])
            .collect()
    }

    #[test]
    fn what_is_meant_stands_first() {
        let paths = ["src/tui/keymap.rs", "src/main.rs", "docs/màin.md", "README"];
        let table: [(&str, &[&str]); 8] = [
            ("", &paths),
            ("main", &["src/main.rs", "docs/màin.md"]),
            ("srcmain", &["src/main.rs"]),
            ("main src", &["src/main.rs"]),
            ("KEY", &[]),
            ("key", &["src/tui/keymap.rs"]),
            ("read", &["README"]),
            ("zz", &[]),
        ];
        for (needle, wanted) in table {
            assert_eq!(found(needle, &paths), wanted, "{needle:?}");
        }
        assert_eq!(found("run", &["a rush in", "runs"]), ["runs", "a rush in"]);
    }

    proptest! {
        #[test]
        fn every_line_that_is_found_holds_the_letters_in_order(
            needle in "[a-c]{1,4}", lines in proptest::collection::vec("[a-d/ ]{0,12}", 0..20)
        ) {
            let holds = |line: &String| {
                let mut letters = line.chars();
                needle.chars().all(|wanted| letters.any(|letter| letter == wanted))
            };
            let mut ranked: Vec<usize> = rank(&needle, &lines).into_iter().map(|(index, _)| index).collect();
            ranked.sort_unstable();
            let wanted: Vec<usize> = (0..lines.len()).filter(|index| holds(&lines[*index])).collect();
            prop_assert_eq!(ranked, wanted);
        }
    }
}
