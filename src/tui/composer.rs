//! The draft: several lines, a cursor that steps over whole characters, emacs keys, history.
//!
//! Pure. Text is never lost: what is cleared goes to the history, what is cut can be put back, and undo undoes.

use std::collections::HashSet;
use std::ops::Range;

use crate::tui::words::{Unit, Words};

/// A draft above this many bytes takes no more text.
pub const LIMIT: usize = 1024 * 1024;
/// Prompts kept.
const HISTORY: usize = 500;
const UNDOS: usize = 200;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Composer {
    words: Words,
    /// In bytes, always between two units.
    cursor: usize,
    /// What was cut last.
    cut: Words,
    undo: Vec<(Words, usize)>,
    /// The last change was typing a character: the next one joins its undo step.
    typing: bool,
    history: Vec<String>,
    /// Which history entry is shown, and the draft that was left for it.
    looking: Option<(usize, Words)>,
}

impl Composer {
    pub fn new(draft: String, history: Vec<String>) -> Self {
        Self {
            cursor: draft.len(),
            words: Words::from(draft),
            history,
            ..Self::default()
        }
    }

    /// All of it, also what is shown as a token.
    pub fn text(&self) -> &str {
        self.words.text()
    }

    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// What the cursor steps over, in order.
    pub fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        self.words.units()
    }

    pub fn is_empty(&self) -> bool {
        self.text().is_empty()
    }

    /// Oldest first.
    pub fn history(&self) -> &[String] {
        &self.history
    }

    /// The history goes to the composer of another run; what is shown of it stays here.
    pub fn hand_history(&mut self, to: &mut Self) {
        to.history = std::mem::take(&mut self.history);
        if let Some((at, _)) = &mut to.looking {
            let place = to.history.iter().rposition(|one| one == to.words.text());
            // Else it was changed, or fell out at the far end.
            *at = place.unwrap_or((*at).min(to.history.len().saturating_sub(1)));
        }
    }

    /// Takes the draft away and remembers it as the newest prompt.
    pub fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.words).into_text();
        self.cursor = 0;
        self.undo.clear();
        self.looking = None;
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            self.history.push(text.clone());
            let over = self.history.len().saturating_sub(HISTORY);
            self.history.drain(..over);
        }
        text
    }

    /// Puts a text in the place of the draft.
    pub fn set(&mut self, text: String) {
        self.replace(Words::from(text));
    }

    /// Typed text. False when there is no room for it.
    pub fn insert(&mut self, text: &str) -> bool {
        self.put(&Words::from(text.to_owned()))
    }

    /// Pasted text: one token when it is large. False when there is no room for it.
    pub fn paste(&mut self, text: &str) -> bool {
        self.put(&Words::pasted(text))
    }

    /// What was written from here to the cursor becomes this. False when there is no room for it.
    pub fn finish(&mut self, from: usize, text: &str) -> bool {
        let gone = self.cursor - from;
        if self.text().len() - gone + text.len() > LIMIT {
            return false;
        }
        self.remember(false);
        self.words.remove(from..self.cursor);
        self.words.insert(from, &Words::from(text.to_owned()));
        self.cursor = self.words.settle(from + text.len());
        true
    }

    fn put(&mut self, words: &Words) -> bool {
        let text = words.text();
        if self.text().len() + text.len() > LIMIT {
            return false;
        }
        self.remember(text.chars().count() == 1 && text != " " && text != "\n");
        self.words.insert(self.cursor, words);
        // A combining mark may have joined the character before it.
        self.cursor = self.words.settle(self.cursor + text.len());
        true
    }

    fn replace(&mut self, words: Words) {
        self.remember(false);
        self.cursor = words.text().len();
        self.words = words;
    }

    /// With a backslash before the cursor, Enter makes a new line instead of sending.
    pub fn continues(&mut self) -> bool {
        let continues = self.text()[..self.cursor].ends_with('\\');
        if continues {
            self.delete(self.cursor - 1, self.cursor);
            self.insert("\n");
        }
        continues
    }

    pub fn left(&mut self) {
        self.cursor = self.words.before(self.cursor);
    }

    pub fn right(&mut self) {
        self.cursor = self.words.behind(self.cursor);
    }

    pub fn word_left(&mut self) {
        self.cursor = self.words.word_before(self.cursor);
    }

    pub fn word_right(&mut self) {
        self.cursor = self.words.word_behind(self.cursor);
    }

    pub fn line_start(&mut self) {
        self.cursor = self.words.line_start(self.cursor);
    }

    pub fn line_end(&mut self) {
        self.cursor = self.words.line_end(self.cursor);
    }

    /// One line up; false on the first line.
    pub fn up(&mut self) -> bool {
        let above = self.above(self.cursor);
        self.cursor = above.unwrap_or(self.cursor);
        above.is_some()
    }

    /// One line down; false on the last line.
    pub fn down(&mut self) -> bool {
        let below = self.below(self.cursor);
        self.cursor = below.unwrap_or(self.cursor);
        below.is_some()
    }

    pub fn delete_back(&mut self) {
        self.delete(self.words.before(self.cursor), self.cursor);
    }

    pub fn delete_forward(&mut self) {
        self.delete(self.cursor, self.words.behind(self.cursor));
    }

    pub fn kill_word_back(&mut self) {
        self.kill(self.words.word_before(self.cursor), self.cursor);
    }

    pub fn kill_word_forward(&mut self) {
        self.kill(self.cursor, self.words.word_behind(self.cursor));
    }

    /// At the end of a line it takes the line end, as emacs does.
    pub fn kill_to_end(&mut self) {
        let end = self.words.line_end(self.cursor);
        let end = if end == self.cursor {
            self.words.behind(end)
        } else {
            end
        };
        self.kill(self.cursor, end);
    }

    pub fn kill_to_start(&mut self) {
        self.kill(self.words.line_start(self.cursor), self.cursor);
    }

    pub fn yank(&mut self) {
        let cut = self.cut.clone();
        self.put(&cut);
    }

    pub fn undo(&mut self) {
        if let Some((words, cursor)) = self.undo.pop() {
            self.words = words;
            self.cursor = cursor;
        }
        self.typing = false;
    }

    /// The history that other screens share. What they do not know of ours stays, as the oldest.
    pub fn learn(&mut self, theirs: Vec<String>) {
        let known: HashSet<&String> = theirs.iter().collect();
        let mut all = std::mem::take(&mut self.history);
        let shown = self.looking.as_ref().map(|(at, _)| all[*at].clone());
        all.retain(|prompt| !known.contains(prompt));
        all.extend(theirs);
        all.drain(..all.len().saturating_sub(HISTORY));
        self.history = all;
        let place = shown.and_then(|shown| self.history.iter().rposition(|one| *one == shown));
        match (place, &mut self.looking) {
            (Some(place), Some((at, _))) => *at = place,
            // It fell out at the far end.
            (None, Some((at, _))) => *at = 0,
            (_, None) => (),
        }
    }

    /// An older prompt in the place of the draft; the draft waits at the end of the history.
    pub fn older(&mut self) {
        let at = self
            .looking
            .as_ref()
            .map_or(self.history.len(), |(at, _)| *at);
        if at > 0 {
            self.look(at - 1);
        }
    }

    pub fn newer(&mut self) {
        let Some((at, draft)) = self.looking.clone() else {
            return;
        };
        if at + 1 < self.history.len() {
            self.look(at + 1);
        } else {
            self.replace(draft);
            self.looking = None;
        }
    }

    fn look(&mut self, at: usize) {
        let draft = match self.looking.take() {
            Some((shown, draft)) if self.shows(shown) => draft,
            // An entry that was changed is a draft of its own.
            Some(_) | None => self.words.clone(),
        };
        self.set(self.history[at].clone());
        self.looking = Some((at, draft));
    }

    /// The draft is this history entry, as it was.
    fn shows(&self, at: usize) -> bool {
        self.history
            .get(at)
            .is_some_and(|entry| entry == self.text())
    }

    fn remember(&mut self, typing: bool) {
        if !(typing && self.typing) {
            self.undo.push((self.words.clone(), self.cursor));
            let over = self.undo.len().saturating_sub(UNDOS);
            self.undo.drain(..over);
        }
        self.typing = typing;
    }

    fn delete(&mut self, start: usize, end: usize) {
        if start < end {
            self.remember(false);
            self.words.remove(start..end);
            self.cursor = self.words.settle(start);
        }
    }

    fn kill(&mut self, start: usize, end: usize) {
        if start < end {
            self.cut = self.words.part(start..end);
            self.delete(start, end);
        }
    }

    fn column_of(&self, at: usize) -> usize {
        let start = self.words.line_start(at);
        self.words.units_in(start..at).count()
    }

    fn at_column(&self, start: usize, column: usize) -> usize {
        let end = self.words.line_end(start);
        let mut units = self.words.units_in(start..end);
        units.nth(column).map_or(end, |unit| unit.at)
    }
}

/// Places and parts of the draft, for who goes by them: vim's keys.
impl Composer {
    pub fn before(&self, at: usize) -> usize {
        self.words.before(at)
    }

    pub fn behind(&self, at: usize) -> usize {
        self.words.behind(at)
    }

    pub fn line_start_of(&self, at: usize) -> usize {
        self.words.line_start(at)
    }

    pub fn line_end_of(&self, at: usize) -> usize {
        self.words.line_end(at)
    }

    /// The same column one line up; `None` on the first.
    pub fn above(&self, at: usize) -> Option<usize> {
        let start = self.words.line_start(at);
        let above = self.words.line_start(start.checked_sub(1)?);
        Some(self.at_column(above, self.column_of(at)))
    }

    /// The same column one line down; `None` on the last.
    pub fn below(&self, at: usize) -> Option<usize> {
        let end = self.words.line_end(at);
        (end < self.text().len()).then(|| self.at_column(end + 1, self.column_of(at)))
    }

    /// Where units start; both ends stand between two.
    pub fn places(&self, range: Range<usize>) -> Vec<usize> {
        self.words.units_in(range).map(|unit| unit.at).collect()
    }

    /// A character stands there, not a token.
    pub fn is_letter(&self, at: usize) -> bool {
        !self.words.is_token(at)
    }

    /// The cursor to the first place between two units from there on.
    pub fn go(&mut self, to: usize) {
        self.cursor = self.words.settle(to);
        self.typing = false;
    }

    /// Keeps a part for [`Self::yank`].
    pub fn keep(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.cut = self.words.part(range);
        }
    }

    pub fn drop_part(&mut self, range: Range<usize>) {
        self.delete(range.start, range.end);
    }

    /// Another text in the place of a part, as one step. The cursor stands behind it.
    pub fn exchange(&mut self, range: Range<usize>, text: &str) {
        if self.text().len() - range.len() + text.len() > LIMIT {
            return;
        }
        self.remember(false);
        let start = range.start;
        self.words.remove(range);
        self.words.insert(start, &Words::from(text.to_owned()));
        self.cursor = self.words.settle(start + text.len());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A draft with `|` where the cursor stands.
    fn draft(text: &str) -> Composer {
        let at = text.find('|').expect("a cursor");
        let mut composer = Composer::new(text.replace('|', ""), Vec::new());
        composer.cursor = at;
        composer
    }

    fn shown(composer: &Composer) -> String {
        let mut text = composer.text().to_owned();
        text.insert(composer.cursor, '|');
        text
    }

    #[test]
    fn the_emacs_keys_do_what_they_do_elsewhere() {
        type Step = fn(&mut Composer);
        let table: [(&str, Step, &str); 17] = [
            ("one two|", Composer::kill_word_back, "one |"),
            ("one| two", Composer::kill_word_forward, "one|"),
            ("a\nbc|d\ne", Composer::kill_to_end, "a\nbc|\ne"),
            ("a|\nb", Composer::kill_to_end, "a|b"),
            ("a\nbc|d", Composer::kill_to_start, "a\n|d"),
            ("a\nbc|d", Composer::line_start, "a\n|bcd"),
            ("a\n|bcd", Composer::line_end, "a\nbcd|"),
            ("one two|", Composer::word_left, "one |two"),
            ("|one two", Composer::word_right, "one| two"),
            ("漢|字", Composer::left, "|漢字"),
            ("|👩‍👩‍👧x", Composer::right, "👩‍👩‍👧|x"),
            ("e\u{301}|", Composer::delete_back, "|"),
            ("|e\u{301}x", Composer::delete_forward, "|x"),
            ("|", Composer::delete_back, "|"),
            ("abc\nd|", |composer| assert!(composer.up()), "a|bc\nd"),
            ("ab|c\nd", |composer| assert!(composer.down()), "abc\nd|"),
            (
                "a|",
                |composer| assert!(!composer.up() && !composer.down()),
                "a|",
            ),
        ];
        for (before, step, after) in table {
            let mut composer = draft(before);
            step(&mut composer);
            assert_eq!(shown(&composer), after, "from {before:?}");
        }
    }

    #[test]
    fn what_was_cut_can_be_put_back_and_undone() {
        let mut composer = draft("one two|");
        composer.kill_word_back();
        composer.line_start();
        composer.yank();
        assert_eq!(shown(&composer), "two|one ");
        composer.undo();
        composer.undo();
        assert_eq!(shown(&composer), "one two|");
    }

    #[test]
    fn a_backslash_before_enter_makes_a_new_line() {
        let mut composer = draft("one\\|");
        assert!(composer.continues());
        assert_eq!(shown(&composer), "one\n|");
        assert!(!composer.continues());
    }

    #[test]
    fn the_history_gives_the_draft_back() {
        let mut composer = Composer::new("draft".into(), vec!["a".into(), "b".into()]);
        composer.older();
        composer.older();
        composer.older();
        assert_eq!(composer.text(), "a");
        composer.newer();
        assert_eq!(composer.text(), "b");
        composer.newer();
        assert_eq!(composer.text(), "draft");
        assert_eq!(composer.take(), "draft");
        assert_eq!(composer.history(), ["a", "b", "draft"]);
    }

    #[test]
    fn a_large_paste_is_one_step_is_cut_whole_and_comes_back_as_one() {
        let paste = "line\n".repeat(132);
        let labels = |composer: &Composer| -> Vec<String> {
            let tokens = composer.units().filter(|unit| unit.is_token);
            tokens.map(|unit| unit.label()).collect()
        };
        let mut composer = draft("see | please");
        assert!(composer.paste(&paste));
        assert_eq!(labels(&composer), ["[pasted 132 lines]"]);
        let whole = format!("see {paste} please");
        assert_eq!(composer.text(), whole);
        composer.left();
        assert_eq!(composer.cursor(), 4);
        composer.kill_word_forward();
        assert_eq!(shown(&composer), "see | please");
        composer.yank();
        assert_eq!(labels(&composer), ["[pasted 132 lines]"]);
        composer.delete_back();
        assert_eq!(shown(&composer), "see | please");
        composer.undo();
        assert_eq!(labels(&composer), ["[pasted 132 lines]"]);
        assert!(!composer.up() && !composer.down());
        composer.older();
        composer.newer();
        assert_eq!(composer.take(), whole);
        assert_eq!(composer.history(), [whole]);
    }

    #[test]
    fn what_other_screens_wrote_is_learned_and_nothing_is_forgotten() {
        let mut composer = Composer::new("draft".into(), vec!["a".into(), "ours".into()]);
        composer.older();
        composer.learn(vec!["a".into(), "theirs".into(), "a".into()]);
        assert_eq!(composer.history(), ["ours", "a", "theirs", "a"]);
        assert_eq!(composer.text(), "ours");
        composer.newer();
        assert_eq!(composer.text(), "a");
        composer.older();
        composer.newer();
        composer.newer();
        composer.newer();
        composer.newer();
        assert_eq!(composer.text(), "draft");
    }

    #[test]
    fn a_draft_has_a_bound() {
        let mut composer = Composer::default();
        assert!(!composer.insert(&"x".repeat(LIMIT + 1)));
        assert!(composer.is_empty());
    }

    proptest! {
        #[test]
        fn the_cursor_always_stands_between_two_characters(steps in proptest::collection::vec(0u8..19, 0..60)) {
            let mut composer = Composer::new("ab 漢\n👩‍👩‍👧 e\u{301}".into(), vec!["old".into()]);
            composer.paste(&"long\n".repeat(20));
            for step in steps {
                match step {
                    0 => { composer.insert("\u{301}"); }
                    1 => { composer.insert("漢\n"); }
                    2 => composer.left(),
                    3 => composer.right(),
                    4 => composer.word_left(),
                    5 => composer.word_right(),
                    6 => { composer.up(); }
                    7 => { composer.down(); }
                    8 => composer.delete_back(),
                    9 => composer.delete_forward(),
                    10 => composer.kill_word_back(),
                    11 => composer.kill_to_end(),
                    12 => composer.yank(),
                    13 => composer.undo(),
                    14 => composer.older(),
                    15 => composer.newer(),
                    16 => { composer.paste(&"x".repeat(3000)); }
                    17 => composer.kill_to_start(),
                    _ => composer.kill_word_forward(),
                }
                let cursor = composer.cursor();
                let text = composer.text();
                prop_assert!(cursor == text.len() || composer.units().any(|unit| unit.at == cursor));
            }
        }
    }
}
