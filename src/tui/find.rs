//! Searching the transcript: what is looked for, where it stands, which match is looked at.
//!
//! Pure. The text of the cells is searched, not the picture: what is folded or far away is found too.

use regex::{Regex, RegexBuilder};

use crate::protocol::ids::Seq;
use crate::session::cells::Cells;
use crate::tui::source;
use crate::tui::state::Scroll;

/// Cells and bytes looked through in one go: a long transcript must not hold up a key.
const CELLS: usize = 2000;
const BYTES: usize = 1 << 20;
/// Cells at the end that may still change.
const RECENT: usize = 1000;
/// A regex that takes more memory than this, in bytes, is taken as text.
const COMPILED: usize = 1 << 20;
/// With one of these the words are a regex. A dot alone makes none: it stands in the name of every file.
const SIGNS: [char; 12] = ['\\', '*', '+', '?', '(', ')', '|', '[', '{', '}', '^', '$'];
/// The longest that can be looked for, in characters.
pub const LONGEST: usize = 200;

/// How the words are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No sign in them means anything.
    Words,
    Regex,
    /// They look like a regex and are none.
    AsText,
}

/// What is looked for. A capital letter in it makes capitals count.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub kind: Kind,
    source: Regex,
    /// The same for lines that were wrapped.
    shown: Regex,
}

impl Pattern {
    /// `None` for no words.
    pub fn new(words: &str) -> Option<Self> {
        if words.trim().is_empty() {
            return None;
        }
        let capitals = has_capital(words);
        let regex = words.contains(SIGNS);
        if regex && let Some(regex) = compile(words, capitals) {
            return Some(Self {
                kind: Kind::Regex,
                shown: regex.clone(),
                source: regex,
            });
        }
        Some(Self {
            kind: if regex { Kind::AsText } else { Kind::Words },
            source: compile(&literal(words, ""), capitals)?,
            shown: compile(&literal(words, r"\n?"), capitals)?,
        })
    }

    /// How often it stands in the text of a cell.
    fn count(&self, text: &str) -> usize {
        self.source
            .find_iter(text)
            .filter(|found| !found.is_empty())
            .count()
    }

    /// Where it stands in lines of the screen, joined by line ends.
    pub(crate) fn shown<'a>(
        &'a self,
        lines: &'a str,
    ) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.shown
            .find_iter(lines)
            .map(|found| found.range())
            .filter(|range| !range.is_empty())
    }
}

fn compile(pattern: &str, capitals: bool) -> Option<Regex> {
    RegexBuilder::new(pattern)
        .case_insensitive(!capitals)
        .multi_line(true)
        .size_limit(COMPILED)
        .dfa_size_limit(COMPILED)
        .build()
        .ok()
}

/// The words themselves, with `between` after every character; any white space fits a space.
fn literal(words: &str, between: &str) -> String {
    let mut out = String::new();
    let mut spaces = false;
    for char in words.chars() {
        if char.is_whitespace() {
            if !spaces {
                out.push_str(r"\s+");
            }
            spaces = true;
            continue;
        }
        if !out.is_empty() && !spaces {
            out.push_str(between);
        }
        spaces = false;
        out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
    }
    out
}

/// A capital that means itself: `\S` is none.
fn has_capital(words: &str) -> bool {
    let mut chars = words.chars();
    while let Some(char) = chars.next() {
        if char == '\\' {
            chars.next();
        } else if char.is_uppercase() {
            return true;
        }
    }
    false
}

/// The match that is looked at: the index of its cell, and which of the matches in it, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here {
    pub cell: usize,
    pub nth: usize,
}

/// A cell with matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    cell: usize,
    count: usize,
    /// How many there are in all cells before it.
    before: usize,
}

/// A search, from the first letter until it is closed.
#[derive(Debug, Clone, Default)]
pub struct Find {
    /// Its line takes what is typed.
    pub writing: bool,
    pub words: String,
    /// What was looked for before this.
    pub last: String,
    pub pattern: Option<Pattern>,
    pub here: Option<Here>,
    /// The search went on at the other end.
    pub around: bool,
    /// Grows with every pattern: what was marked for another one is wrong.
    pub stamp: u64,
    /// Where the view stood when the search began, and the cell that was selected.
    pub began: (Scroll, Option<usize>),
    /// The cell that was unfolded to show a match, and whether that made it the other way than it would be.
    pub opened: Option<(Seq, bool)>,
    /// The nearest match at or above this cell is looked at first.
    from: usize,
    found: Vec<Found>,
    /// The revision of every cell that was searched.
    seen: Vec<u32>,
}

impl Find {
    /// A new search from this cell; nothing is looked for yet.
    pub fn open(&mut self, began: (Scroll, Option<usize>), from: usize) {
        let last = std::mem::take(&mut self.words);
        *self = Self {
            writing: true,
            last: if last.is_empty() {
                std::mem::take(&mut self.last)
            } else {
                last
            },
            began,
            from,
            stamp: self.stamp + 1,
            opened: self.opened,
            ..Self::default()
        };
    }

    /// Nothing is looked for any more; the words are kept for the next time.
    pub fn close(&mut self) {
        self.open(self.began, self.from);
        self.writing = false;
    }

    /// Its line is on the screen.
    pub fn is_open(&self) -> bool {
        self.writing || self.pattern.is_some()
    }

    /// Other words: everything is searched again.
    pub fn look_for(&mut self, words: String) {
        self.pattern = Pattern::new(&words);
        self.words = words;
        self.stamp += 1;
        self.here = None;
        self.around = false;
        self.forget();
    }

    /// Another run: nothing of this search concerns it.
    pub fn forget_all(&mut self) {
        *self = Self {
            stamp: self.stamp + 1,
            ..Self::default()
        };
    }

    fn forget(&mut self) {
        self.found.clear();
        self.seen.clear();
    }

    /// So many cells have been put before the others: everything is searched again.
    pub fn moved(&mut self, cells: usize) {
        self.forget();
        self.from += cells;
        if let Some(here) = &mut self.here {
            here.cell += cells;
        }
    }

    /// Are there cells that have not been searched?
    pub fn is_behind(&self, cells: usize) -> bool {
        self.pattern.is_some() && self.seen.len() < cells
    }

    /// Goes on searching, for a moment; what changed since is searched again. True when a first match was chosen.
    pub fn look(&mut self, cells: &Cells) -> bool {
        let Some(pattern) = &self.pattern else {
            return false;
        };
        let first = self.seen.len().min(cells.len()).saturating_sub(RECENT);
        let recent = self.seen.iter().zip(cells.labels()).enumerate().skip(first);
        let changed = recent
            .filter(|(_, (seen, label))| **seen != label.revision)
            .map(|(index, _)| index)
            .next()
            .unwrap_or(cells.len());
        self.seen.truncate(changed);
        self.found.retain(|found| found.cell < changed);
        let end = cells.len().min(self.seen.len() + CELLS);
        let mut bytes = 0;
        while self.seen.len() < end
            && bytes < BYTES
            && let Some(said) = cells.get(self.seen.len())
        {
            let cell = self.seen.len();
            let text = source::of(&said.body);
            bytes += text.len();
            let count = pattern.count(&text);
            if count > 0 {
                let before = self.count();
                self.found.push(Found {
                    cell,
                    count,
                    before,
                });
            }
            self.seen.push(said.revision);
        }
        self.choose(cells.len())
    }

    /// The nearest match at or above where the search began, else the first one below.
    fn choose(&mut self, cells: usize) -> bool {
        let far = self.seen.len() > self.from || self.seen.len() == cells;
        if self.here.is_some() || !far {
            return false;
        }
        let above = self.found.partition_point(|found| found.cell <= self.from);
        let chosen = match above.checked_sub(1) {
            Some(index) => self.found.get(index).map(|found| Here {
                cell: found.cell,
                nth: found.count - 1,
            }),
            None => self.found.first().map(|found| Here {
                cell: found.cell,
                nth: 0,
            }),
        };
        self.here = chosen;
        chosen.is_some()
    }

    /// How many matches are known.
    pub fn count(&self) -> usize {
        self.found
            .last()
            .map_or(0, |found| found.before + found.count)
    }

    /// Which one is looked at, counted from 1.
    pub fn number(&self) -> Option<usize> {
        let here = self.here?;
        let index = self
            .found
            .binary_search_by_key(&here.cell, |found| found.cell);
        let found = self.found.get(index.ok()?)?;
        Some(found.before + here.nth.min(found.count - 1) + 1)
    }

    /// To the next match below, or above; behind the last one comes the first. False when there is none.
    pub fn step(&mut self, down: bool) -> bool {
        let count = self.count();
        if count == 0 {
            return false;
        }
        let wanted = match (self.number(), down) {
            // The cell has lost its matches: from where it stands.
            (None, _) => self.lost(down),
            (Some(number), true) => number % count,
            (Some(number), false) => (number + count - 2) % count,
        };
        self.around = match (self.number(), down) {
            (Some(number), true) => number == count,
            (Some(number), false) => number == 1,
            (None, _) => false,
        };
        let index = self.found.partition_point(|found| found.before <= wanted) - 1;
        let found = self.found[index];
        self.here = Some(Here {
            cell: found.cell,
            nth: wanted - found.before,
        });
        true
    }

    /// The match next to where one was, counted from 0.
    fn lost(&self, down: bool) -> usize {
        let cell = self.here.map_or(self.from, |here| here.cell);
        let below = self.found.partition_point(|found| found.cell < cell);
        let last = self.count() - 1;
        match (self.found.get(below), down) {
            (Some(found), true) => found.before,
            (Some(found), false) => found.before.checked_sub(1).unwrap_or(last),
            (None, true) => 0,
            (None, false) => last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::transcript::{Body, Cell};

    fn cell(seq: u64, text: &str) -> Cell {
        Cell {
            seq: Seq(seq),
            revision: 1,
            rewrites: 0,
            time: None,
            turn: 1,
            body: Body::Agent {
                text: text.into(),
                open: false,
            },
        }
    }

    fn cells(texts: &[&str]) -> Vec<Cell> {
        let seqs = 1..;
        seqs.zip(texts).map(|(seq, text)| cell(seq, text)).collect()
    }

    fn all(cells: &[Cell]) -> Cells {
        cells.iter().cloned().collect()
    }

    fn found(words: &str, cells: &[Cell], from: usize) -> Find {
        let mut find = Find::default();
        find.open((Scroll::Follow, None), from);
        find.look_for(words.into());
        find.look(&all(cells));
        find
    }

    #[test]
    fn words_are_a_regex_when_they_are_one_and_capitals_count_when_there_is_one() {
        let table = [
            ("clock", Kind::Words, "Clock clock", 2),
            ("Clock", Kind::Words, "Clock clock", 1),
            ("a b", Kind::Words, "a\n  b", 1),
            ("漢", Kind::Words, "漢字", 1),
            (r"\S+ck", Kind::Regex, "CLOCK", 1),
            ("^b", Kind::Regex, "a\nb", 1),
            ("x*", Kind::Regex, "axxb", 1),
            ("f(", Kind::AsText, "f(x) F(", 2),
            ("F(", Kind::AsText, "f(x) F(", 1),
            ("(a{500}){500}", Kind::AsText, "a", 0),
            ("a.b", Kind::Words, "axb a.b", 1),
            ("a.b$", Kind::Regex, "axb", 1),
        ];
        for (words, kind, text, count) in table {
            let pattern = Pattern::new(words).unwrap();
            assert_eq!(pattern.kind, kind, "{words}");
            assert_eq!(pattern.count(text), count, "{words}");
        }
        assert!(Pattern::new(" ").is_none());
    }

    #[test]
    fn words_are_found_over_the_end_of_a_wrapped_line() {
        for (words, lines) in [
            ("shared clock", "a shared\nclock"),
            ("globally", "glob\nally"),
        ] {
            let pattern = Pattern::new(words).unwrap();
            assert_eq!(pattern.shown(lines).count(), 1, "{words}");
        }
    }

    #[test]
    fn the_nearest_match_above_is_first_then_down_and_up_around_both_ends() {
        let cells = cells(&["an a", "-", "a", "-", "a a"]);
        let table = [(0, Some(1)), (1, Some(1)), (2, Some(2)), (4, Some(4))];
        for (from, number) in table {
            assert_eq!(found("a\\b", &cells, from).number(), number, "{from}");
        }
        assert_eq!(found("a", &cells[2..], 0).number(), Some(1));
        assert_eq!(found("x", &cells, 4).number(), None);
        let mut find = found("a\\b", &cells, 4);
        assert_eq!(find.count(), 4);
        let mut walk = |down| {
            assert!(find.step(down));
            (find.number().unwrap(), find.around)
        };
        let steps = [true, false, false, false, false].map(&mut walk);
        assert_eq!(
            steps,
            [(1, true), (4, true), (3, false), (2, false), (1, false)]
        );
    }

    #[test]
    fn only_what_changed_is_searched_again() {
        let mut cells = cells(&["a", "a", "b"]);
        let mut find = found("a", &cells, 0);
        assert_eq!((find.count(), find.number()), (2, Some(1)));
        cells[2].body = cell(3, "a a").body;
        find.look(&all(&cells));
        assert_eq!(find.count(), 2, "the same revision is the same text");
        cells[2].revision += 1;
        cells.push(cell(4, "a"));
        find.look(&all(&cells));
        assert_eq!((find.count(), find.number()), (5, Some(1)));
        find.moved(1);
        cells.insert(0, cell(0, "a"));
        find.look(&all(&cells));
        assert_eq!((find.count(), find.number()), (6, Some(2)));
    }

    #[test]
    fn a_long_transcript_is_searched_in_parts() {
        let cells: Vec<Cell> = (0..CELLS as u64 * 2 + 1)
            .map(|seq| cell(seq, "a"))
            .collect();
        let mut find = found("a", &cells, cells.len() - 1);
        assert!(find.is_behind(cells.len()));
        assert_eq!((find.count(), find.here), (CELLS, None));
        assert!(!find.look(&all(&cells)));
        assert!(
            find.look(&all(&cells)),
            "the nearest is chosen when it is reached"
        );
        assert_eq!(find.number(), Some(cells.len()));
        assert!(!find.is_behind(cells.len()));
    }

    #[test]
    fn words_of_before_are_kept_for_the_next_time() {
        let mut find = found("clock", &[], 0);
        find.close();
        assert!(!find.is_open());
        find.open((Scroll::Follow, None), 0);
        assert_eq!((find.words.as_str(), find.last.as_str()), ("", "clock"));
        find.open((Scroll::Follow, None), 0);
        assert_eq!(find.last, "clock");
    }
}
