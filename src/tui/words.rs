//! The words of a draft: the whole text, and the parts of it that are shown as one sign.
//!
//! Pure. Such a part, a token, is a large paste: one step of the cursor, deleted whole. The text under it is always
//! there, so whoever sends, keeps or edits the draft takes [`Words::text`] and need not know of tokens.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// A paste of more lines than this is a token.
const LINES: usize = 10;
/// And one of more bytes than this.
const BYTES: usize = 2000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    text: String,
    /// In order, apart from each other, none of them empty.
    tokens: Vec<Range<usize>>,
}

/// One step of the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit<'a> {
    /// Where it starts, in bytes.
    pub at: usize,
    pub text: &'a str,
    pub is_token: bool,
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self {
            text,
            tokens: Vec::new(),
        }
    }
}

impl Words {
    /// What was pasted: a token when it is large.
    pub fn pasted(text: &str) -> Self {
        let large = text.len() > BYTES || text.lines().count() > LINES;
        Self {
            text: text.to_owned(),
            tokens: Vec::from_iter(large.then_some(0..text.len())),
        }
    }

    /// All of it, tokens written out.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn into_text(self) -> String {
        self.text
    }

    /// A cut of it; both ends stand between two units.
    pub fn part(&self, range: Range<usize>) -> Self {
        let tokens = self.tokens.iter();
        Self {
            text: self.text[range.clone()].to_owned(),
            tokens: tokens
                .filter(|token| range.start <= token.start && token.end <= range.end)
                .map(|token| token.start - range.start..token.end - range.start)
                .collect(),
        }
    }

    /// Puts others in, between two units.
    pub fn insert(&mut self, at: usize, others: &Self) {
        let grown = others.text.len();
        let place = self.tokens.partition_point(|token| token.start < at);
        for token in &mut self.tokens[place..] {
            *token = token.start + grown..token.end + grown;
        }
        let new = others.tokens.iter();
        let new = new.map(|token| token.start + at..token.end + at);
        self.tokens.splice(place..place, new);
        self.text.insert_str(at, &others.text);
    }

    /// Takes a part out; a token that is touched goes back to plain text, as far as it stays.
    pub fn remove(&mut self, range: Range<usize>) {
        let gone = range.len();
        self.tokens
            .retain(|token| token.end <= range.start || range.end <= token.start);
        for token in self.tokens.iter_mut().filter(|t| range.end <= t.start) {
            *token = token.start - gone..token.end - gone;
        }
        self.text.replace_range(range, "");
    }

    /// Token by token, and character by character between them.
    pub fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        self.units_in(0..self.text.len())
    }

    /// Both ends stand between two units.
    pub fn units_in(&self, range: Range<usize>) -> impl Iterator<Item = Unit<'_>> {
        let first = self
            .tokens
            .partition_point(|token| token.end <= range.start);
        let inside = self.tokens[first..].iter().cloned();
        let end = range.end;
        let inside = inside.take_while(move |token| token.end <= end);
        let last = std::iter::once(end..end);
        let mut at = range.start;
        inside.chain(last).flat_map(move |token| {
            let plain = at..token.start;
            at = token.end;
            let start = plain.start;
            let letters = self.text[plain].grapheme_indices(true);
            let letters = letters.map(move |(offset, text)| Unit {
                at: start + offset,
                text,
                is_token: false,
            });
            letters.chain((!token.is_empty()).then(|| Unit {
                at: token.start,
                text: &self.text[token.clone()],
                is_token: true,
            }))
        })
    }

    /// The start of the unit before.
    pub fn before(&self, at: usize) -> usize {
        let floor = match self.token_before(at) {
            Some(token) if token.end == at => return token.start,
            Some(token) => token.end,
            None => 0,
        };
        let mut letters = self.text[floor..at].grapheme_indices(true);
        letters
            .next_back()
            .map_or(floor, |(start, _)| floor + start)
    }

    /// The end of the unit behind.
    pub fn behind(&self, at: usize) -> usize {
        let ceiling = match self.token_behind(at) {
            Some(token) if token.start == at => return token.end,
            Some(token) => token.start,
            None => self.text.len(),
        };
        let mut letters = self.text[at..ceiling].graphemes(true);
        letters.next().map_or(at, |letter| at + letter.len())
    }

    /// The first place between two units from here on.
    pub fn settle(&self, at: usize) -> usize {
        self.units()
            .map(|unit| unit.at)
            .find(|start| *start >= at)
            .unwrap_or(self.text.len())
    }

    /// The start of the word before; a token is a word.
    pub fn word_before(&self, at: usize) -> usize {
        let token = self.token_before(at);
        let floor = token.map_or(0, |token| token.end);
        match self.text[floor..at].unicode_word_indices().next_back() {
            Some((start, _)) => floor + start,
            None => token.map_or(0, |token| token.start),
        }
    }

    /// The end of the word behind.
    pub fn word_behind(&self, at: usize) -> usize {
        let token = self.token_behind(at);
        let ceiling = token.map_or(self.text.len(), |token| token.start);
        match self.text[at..ceiling].unicode_word_indices().next() {
            Some((start, word)) => at + start + word.len(),
            None => token.map_or(self.text.len(), |token| token.end),
        }
    }

    /// The start of the line; line ends within a token are none.
    pub fn line_start(&self, at: usize) -> usize {
        let mut end = at;
        loop {
            let token = self.token_before(end);
            let floor = token.map_or(0, |token| token.end);
            match (self.text[floor..end].rfind('\n'), token) {
                (Some(found), _) => return floor + found + 1,
                (None, Some(token)) => end = token.start,
                (None, None) => return 0,
            }
        }
    }

    pub fn line_end(&self, at: usize) -> usize {
        let mut start = at;
        loop {
            let token = self.token_behind(start);
            let ceiling = token.map_or(self.text.len(), |token| token.start);
            match (self.text[start..ceiling].find('\n'), token) {
                (Some(found), _) => return start + found,
                (None, Some(token)) => start = token.end,
                (None, None) => return self.text.len(),
            }
        }
    }

    /// A token starts there.
    pub fn is_token(&self, at: usize) -> bool {
        self.token_behind(at).is_some_and(|token| token.start == at)
    }

    /// The last token that ends here or before.
    fn token_before(&self, at: usize) -> Option<&Range<usize>> {
        let count = self.tokens.partition_point(|token| token.end <= at);
        self.tokens[..count].last()
    }

    /// The first token that starts here or behind.
    fn token_behind(&self, at: usize) -> Option<&Range<usize>> {
        let count = self.tokens.partition_point(|token| token.start < at);
        self.tokens.get(count)
    }
}

impl Unit<'_> {
    /// What stands on the screen for a token.
    pub fn label(&self) -> String {
        match (self.text.lines().count(), self.text.len()) {
            (0 | 1, bytes) => format!("[pasted {:.1} kB]", bytes as f64 / 1e3),
            (lines, _) => format!("[pasted {lines} lines]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(count: usize) -> String {
        "x\n".repeat(count)
    }

    fn shown(words: &Words) -> String {
        let show = |unit: Unit<'_>| match unit.is_token {
            true => unit.label(),
            false => unit.text.to_owned(),
        };
        words.units().map(show).collect()
    }

    #[test]
    fn only_a_large_paste_is_a_token() {
        let table = [
            (lines(10), lines(10)),
            (lines(11), "[pasted 11 lines]".to_owned()),
            ("x".repeat(2000), "x".repeat(2000)),
            ("x".repeat(2001), "[pasted 2.0 kB]".to_owned()),
            (String::new(), String::new()),
        ];
        for (text, wanted) in table {
            let words = Words::pasted(&text);
            assert_eq!(shown(&words), wanted);
            assert_eq!(words.text(), text);
        }
    }

    #[test]
    fn a_token_is_one_step_one_word_and_no_line_end() {
        let mut words = Words::from("one  two\nthree".to_owned());
        let token = lines(12);
        words.insert(4, &Words::pasted(&token));
        assert_eq!(shown(&words), "one [pasted 12 lines] two\nthree");
        let (start, end) = (4, 4 + token.len());
        assert_eq!((words.before(end), words.behind(start)), (start, end));
        assert_eq!(
            (words.word_before(end + 1), words.word_behind(3)),
            (start, end)
        );
        assert_eq!(words.line_start(end + 2), 0);
        assert_eq!(words.line_end(1), end + 4);
        let part = words.part(start..end + 1);
        assert_eq!(shown(&part), "[pasted 12 lines] ");
        words.remove(start..end + 1);
        assert_eq!(words.text(), "one two\nthree");
        words.insert(0, &part);
        assert_eq!(shown(&words), "[pasted 12 lines] one two\nthree");
    }

    fn pieces() -> impl Strategy<Value = Vec<(u8, usize)>> {
        proptest::collection::vec((0u8..4, any::<usize>()), 0..40)
    }

    proptest! {
        /// Whatever is put in and taken out: the text is what it would be without tokens, every place is between two
        /// units, and steps there and back meet.
        #[test]
        fn tokens_never_change_the_text(pieces in pieces()) {
            let mut words = Words::default();
            let mut plain = String::new();
            for (kind, seed) in pieces {
                let mut places: Vec<usize> = words.units().map(|unit| unit.at).collect();
                places.push(words.text().len());
                let at = places[seed % places.len()];
                let new = match kind {
                    0 => Words::from("ab 漢\n".to_owned()),
                    1 => Words::from("e\u{301}👩\u{200d}👩".to_owned()),
                    2 => Words::pasted(&lines(11 + seed % 3)),
                    _ => {
                        let to = words.behind(at);
                        words.remove(at..to);
                        plain.replace_range(at..to, "");
                        continue;
                    }
                };
                words.insert(at, &new);
                plain.insert_str(at, new.text());
                prop_assert_eq!(words.text(), &plain);
                let all: String = words.units().map(|unit| unit.text).collect();
                prop_assert_eq!(&all, &plain);
                let mut from = 0;
                while from < plain.len() {
                    let to = words.behind(from);
                    prop_assert!(to > from);
                    prop_assert_eq!(words.before(to), from);
                    prop_assert_eq!(words.settle(to), to);
                    let (start, end) = (words.line_start(from), words.line_end(from));
                    prop_assert!(start <= from && from <= end);
                    prop_assert_eq!((words.settle(start), words.settle(end)), (start, end));
                    from = to;
                }
            }
        }
    }
}
