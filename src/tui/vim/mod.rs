//! Vim's keys over the draft: a small, whole part of them, for hands that know no other.
//!
//! Pure. Text is changed only through the composer, so that undo and the emacs keys see the same draft.

use crate::tui::composer::Composer;

/// Counts above this are a slip of the finger.
const MOST: usize = 999;

/// What the next key is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Insert,
    Normal,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vim {
    pub mode: Mode,
    /// Digits so far.
    count: Option<usize>,
    /// `d`, `c` or `y`, with the count before it.
    operator: Option<(Operator, usize)>,
    /// What wants one more key.
    waits: Option<Waits>,
    /// What `;` does again.
    found: Option<(Search, char)>,
    /// What was cut last is whole lines.
    lines: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Delete,
    Change,
    Yank,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Find(Search),
    Replace,
    /// The second `g`.
    Start,
    /// `iw` and `aw`; true takes the blanks behind it too.
    Word(bool),
}

/// `f t F T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Search {
    back: bool,
    /// Up to it, not on it.
    short: bool,
}

/// What a key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It may stand at the beginning of something; the draft is as it was.
    Nothing,
    Moved,
    Changed,
    /// It means nothing to vim.
    Unknown,
}

/// From where to where a motion goes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Motion {
    to: usize,
    /// An operator takes the character that it ends on, too.
    whole: bool,
    /// It is about whole lines.
    lines: bool,
}

fn to(to: usize) -> Motion {
    Motion {
        to,
        whole: false,
        lines: false,
    }
}

fn onto(at: usize) -> Motion {
    Motion {
        whole: true,
        ..to(at)
    }
}

fn lines(at: usize) -> Motion {
    Motion {
        lines: true,
        ..to(at)
    }
}

impl Vim {
    /// Esc: from writing to commands, out of a command that has begun. False when there was neither.
    pub fn escape(&mut self, composer: &mut Composer) -> bool {
        if self.mode == Mode::Insert {
            self.mode = Mode::Normal;
            let start = composer.line_start_of(composer.cursor());
            if composer.cursor() > start {
                composer.left();
            }
            return true;
        }
        let begun = !self.is_bare();
        self.forget();
        begun
    }

    /// No command has begun.
    pub fn is_bare(&self) -> bool {
        self.count.is_none() && self.operator.is_none() && self.waits.is_none()
    }

    /// An empty draft is for writing.
    pub fn write(&mut self) {
        self.mode = Mode::Insert;
        self.forget();
    }

    fn forget(&mut self) {
        self.count = None;
        self.operator = None;
        self.waits = None;
    }

    /// One character, in normal mode.
    pub fn press(&mut self, composer: &mut Composer, key: char) -> Done {
        if let Some(waits) = self.waits.take() {
            return self.waited(composer, waits, key);
        }
        if let Some(digit) = key.to_digit(10)
            && (digit > 0 || self.count.is_some())
        {
            let count = self.count.unwrap_or(0) * 10 + digit as usize;
            self.count = Some(count.min(MOST));
            return Done::Nothing;
        }
        if let Some(waits) = self.begins(key) {
            self.waits = Some(waits);
            return Done::Nothing;
        }
        if let Some((operator, _)) = self.operator
            && operator.key() == key
        {
            return self.over_lines(composer, operator);
        }
        let operator = match key {
            'd' => Some(Operator::Delete),
            'c' => Some(Operator::Change),
            'y' => Some(Operator::Yank),
            _ => None,
        };
        if let (Some(operator), None) = (operator, self.operator) {
            self.operator = Some((operator, self.count.take().unwrap_or(1)));
            return Done::Nothing;
        }
        if let Some(motion) = self.motion(composer, key) {
            return self.go(composer, motion);
        }
        if self.operator.is_some() {
            self.forget();
            return Done::Nothing;
        }
        let done = self.command(composer, key);
        self.count = None;
        done
    }

    fn begins(&self, key: char) -> Option<Waits> {
        let search = |back, short| Waits::Find(Search { back, short });
        match key {
            'f' => Some(search(false, false)),
            't' => Some(search(false, true)),
            'F' => Some(search(true, false)),
            'T' => Some(search(true, true)),
            'g' => Some(Waits::Start),
            'r' if self.operator.is_none() => Some(Waits::Replace),
            'i' if self.operator.is_some() => Some(Waits::Word(false)),
            'a' if self.operator.is_some() => Some(Waits::Word(true)),
            _ => None,
        }
    }

    fn waited(&mut self, composer: &mut Composer, waits: Waits, key: char) -> Done {
        match waits {
            Waits::Find(search) => {
                self.found = Some((search, key));
                match self.find(composer, search, key) {
                    Some(motion) => self.go(composer, motion),
                    None => self.nothing(),
                }
            }
            Waits::Start if key == 'g' => self.go(composer, lines(0)),
            Waits::Word(blanks) if key == 'w' => {
                let Some((from, end)) = word_around(composer, blanks) else {
                    return self.nothing();
                };
                composer.go(from);
                self.operate(composer, from, end, false)
            }
            Waits::Replace => {
                let count = self.count.take().unwrap_or(1);
                replace(composer, count, &mut |_| key.to_string())
            }
            Waits::Start | Waits::Word(_) => self.nothing(),
        }
    }

    fn nothing(&mut self) -> Done {
        self.forget();
        Done::Nothing
    }

    fn times(&self) -> usize {
        let before = self.operator.map_or(1, |(_, count)| count);
        (self.count.unwrap_or(1) * before).min(MOST)
    }

    fn motion(&self, composer: &Composer, key: char) -> Option<Motion> {
        let at = composer.cursor();
        let (start, end) = (composer.line_start_of(at), composer.line_end_of(at));
        let changes = matches!(self.operator, Some((Operator::Change, _)));
        let times = self.times();
        Some(match key {
            'h' => to(repeat(times, at, |at| composer.before(at).max(start))),
            'l' | ' ' => to(repeat(times, at, |at| composer.behind(at).min(end))),
            '0' => to(start),
            '^' => to(first_letter(composer, start)),
            '$' => to(end),
            // `cw` on a word is `ce`.
            'w' | 'W' if changes && kind_at(composer, at, false) > Kind::Blank => {
                let big = key == 'W';
                let first = word_end(composer, at, big, true);
                onto(repeat(times - 1, first, |at| {
                    word_end(composer, at, big, false)
                }))
            }
            'w' | 'W' => {
                let big = key == 'W';
                let found = repeat(times, at, |at| word_start(composer, at, big));
                // The last word of a line ends with it.
                let over = self.operator.is_some() && at < end;
                to(if over { found.min(end) } else { found })
            }
            'e' => onto(repeat(times, at, |at| word_end(composer, at, false, false))),
            'E' => onto(repeat(times, at, |at| word_end(composer, at, true, false))),
            'b' => to(repeat(times, at, |at| word_back(composer, at, false))),
            'B' => to(repeat(times, at, |at| word_back(composer, at, true))),
            'j' => lines(repeat(times, at, |at| composer.below(at).unwrap_or(at))),
            'k' => lines(repeat(times, at, |at| composer.above(at).unwrap_or(at))),
            'G' => lines(composer.text().len()),
            ';' | ',' => {
                let (mut search, char) = self.found?;
                search.back ^= key == ',';
                return self.find(composer, search, char);
            }
            _ => return None,
        })
    }

    fn find(&self, composer: &Composer, search: Search, char: char) -> Option<Motion> {
        let at = composer.cursor();
        let (start, end) = (composer.line_start_of(at), composer.line_end_of(at));
        let is_it = |place: &usize| composer.text()[*place..].starts_with(char);
        let times = self.times();
        if search.back {
            let from = if search.short {
                composer.before(at).max(start)
            } else {
                at
            };
            let places = composer.places(start..from);
            let found = places.into_iter().rev().filter(is_it).nth(times - 1)?;
            Some(to(if search.short {
                composer.behind(found)
            } else {
                found
            }))
        } else {
            let next = composer.behind(at).min(end);
            let from = if search.short {
                composer.behind(next).min(end)
            } else {
                next
            };
            let places = composer.places(from.min(end)..end);
            let found = places.into_iter().filter(is_it).nth(times - 1)?;
            Some(onto(if search.short {
                composer.before(found)
            } else {
                found
            }))
        }
    }

    fn go(&mut self, composer: &mut Composer, motion: Motion) -> Done {
        let at = composer.cursor();
        if self.operator.is_none() {
            self.count = None;
            composer.go(motion.to);
            rest(composer);
            return Done::Moved;
        }
        let (from, mut until) = (at.min(motion.to), at.max(motion.to));
        if motion.whole {
            until = composer.behind(until);
        }
        if motion.lines {
            let from = composer.line_start_of(from);
            let until = composer.line_end_of(until);
            return self.operate(composer, from, until, true);
        }
        self.operate(composer, from, until, false)
    }

    /// `dd`, `cc`, `yy`.
    fn over_lines(&mut self, composer: &mut Composer, operator: Operator) -> Done {
        let at = composer.cursor();
        let below = |at| composer.below(at).unwrap_or(at);
        let last = repeat(self.times() - 1, at, below);
        let (from, until) = (composer.line_start_of(at), composer.line_end_of(last));
        self.operator = Some((operator, 1));
        self.operate(composer, from, until, true)
    }

    fn operate(&mut self, composer: &mut Composer, from: usize, until: usize, lines: bool) -> Done {
        let Some((operator, _)) = self.operator else {
            return self.nothing();
        };
        self.forget();
        self.lines = lines;
        composer.keep(from..until);
        match operator {
            Operator::Yank => {
                composer.go(from);
                rest(composer);
                return Done::Moved;
            }
            Operator::Delete if lines => {
                // With the line end behind it, or before it on the last line.
                let (from, until) = match composer.text()[until..].starts_with('\n') {
                    true => (from, until + 1),
                    false => (from.saturating_sub(1), until),
                };
                composer.drop_part(from..until);
                let start = composer.line_start_of(composer.cursor());
                composer.go(first_letter(composer, start));
            }
            Operator::Delete => composer.drop_part(from..until),
            Operator::Change => {
                composer.drop_part(from..until);
                self.mode = Mode::Insert;
                return Done::Changed;
            }
        }
        rest(composer);
        Done::Changed
    }

    fn command(&mut self, composer: &mut Composer, key: char) -> Done {
        let at = composer.cursor();
        let (start, end) = (composer.line_start_of(at), composer.line_end_of(at));
        let times = self.times();
        match key {
            'i' => self.insert_at(composer, at),
            'a' => self.insert_at(composer, composer.behind(at).min(end)),
            'I' => self.insert_at(composer, first_letter(composer, start)),
            'A' => self.insert_at(composer, end),
            'o' => self.open(composer, end, false),
            'O' => self.open(composer, start, true),
            'x' => {
                let until = repeat(times, at, |at| composer.behind(at).min(end));
                self.with(composer, Operator::Delete, at, until)
            }
            'X' => {
                let from = repeat(times, at, |at| composer.before(at).max(start));
                self.with(composer, Operator::Delete, from, at)
            }
            's' => {
                let until = repeat(times, at, |at| composer.behind(at).min(end));
                self.with(composer, Operator::Change, at, until)
            }
            'S' => {
                self.operator = Some((Operator::Change, 1));
                self.operate(composer, start, end, true)
            }
            'D' => self.with(composer, Operator::Delete, at, end),
            'C' => self.with(composer, Operator::Change, at, end),
            'Y' => self.over_lines(composer, Operator::Yank),
            'p' | 'P' => self.put(composer, key == 'p', times),
            'u' => {
                (0..times).for_each(|_| composer.undo());
                rest(composer);
                Done::Changed
            }
            'J' => join(composer, end),
            '~' => replace(composer, times, &mut other_case),
            _ => Done::Unknown,
        }
    }

    fn with(
        &mut self,
        composer: &mut Composer,
        operator: Operator,
        from: usize,
        until: usize,
    ) -> Done {
        self.operator = Some((operator, 1));
        self.operate(composer, from, until, false)
    }

    fn insert_at(&mut self, composer: &mut Composer, at: usize) -> Done {
        composer.go(at);
        self.write();
        Done::Moved
    }

    fn open(&mut self, composer: &mut Composer, at: usize, above: bool) -> Done {
        composer.go(at);
        composer.insert("\n");
        if above {
            composer.left();
        }
        self.write();
        Done::Changed
    }

    fn put(&mut self, composer: &mut Composer, behind: bool, times: usize) -> Done {
        let at = composer.cursor();
        if self.lines {
            let place = if behind {
                composer.line_end_of(at)
            } else {
                composer.line_start_of(at)
            };
            for _ in 0..times {
                composer.go(place);
                composer.insert("\n");
                if !behind {
                    composer.left();
                }
                composer.yank();
            }
            let start = if behind { place + 1 } else { place };
            composer.go(first_letter(composer, start));
        } else {
            let end = composer.line_end_of(at);
            if behind {
                composer.go(composer.behind(at).min(end));
            }
            (0..times).for_each(|_| composer.yank());
            composer.left();
        }
        rest(composer);
        Done::Changed
    }
}

impl Operator {
    fn key(self) -> char {
        match self {
            Self::Delete => 'd',
            Self::Change => 'c',
            Self::Yank => 'y',
        }
    }
}

fn repeat(times: usize, at: usize, step: impl Fn(usize) -> usize) -> usize {
    let mut at = at;
    for _ in 0..times {
        let next = step(at);
        if next == at {
            break;
        }
        at = next;
    }
    at
}

/// In normal mode the cursor stands on a character, not behind the last one of its line.
fn rest(composer: &mut Composer) {
    let at = composer.cursor();
    if at == composer.line_end_of(at) && at > composer.line_start_of(at) {
        composer.left();
    }
}

/// What words are made of; a token is a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    End,
    Blank,
    Sign,
    Letter,
}

/// `big`: whatever is no blank belongs together.
fn kind_at(composer: &Composer, at: usize, big: bool) -> Kind {
    let Some(char) = composer.text()[at..].chars().next() else {
        return Kind::End;
    };
    if !composer.is_letter(at) {
        return Kind::Letter;
    }
    match char {
        char if char.is_whitespace() => Kind::Blank,
        char if big || char.is_alphanumeric() || char == '_' => Kind::Letter,
        _ => Kind::Sign,
    }
}

fn word_start(composer: &Composer, at: usize, big: bool) -> usize {
    let first = kind_at(composer, at, big);
    let mut at = at;
    if first > Kind::Blank {
        while kind_at(composer, at, big) == first {
            at = composer.behind(at);
        }
    }
    while kind_at(composer, at, big) == Kind::Blank {
        at = composer.behind(at);
    }
    at
}

/// The last character of this word, or of the next when it is on the last already; `stay`: of this one anyhow.
fn word_end(composer: &Composer, at: usize, big: bool, stay: bool) -> usize {
    let mut at = if stay { at } else { composer.behind(at) };
    while kind_at(composer, at, big) == Kind::Blank {
        at = composer.behind(at);
    }
    let kind = kind_at(composer, at, big);
    if kind == Kind::End {
        return composer.before(at);
    }
    while kind_at(composer, composer.behind(at), big) == kind {
        at = composer.behind(at);
    }
    at
}

fn word_back(composer: &Composer, at: usize, big: bool) -> usize {
    let mut at = composer.before(at);
    while at > 0 && kind_at(composer, at, big) == Kind::Blank {
        at = composer.before(at);
    }
    let kind = kind_at(composer, at, big);
    while at > 0 && kind_at(composer, composer.before(at), big) == kind {
        at = composer.before(at);
    }
    at
}

fn word_around(composer: &Composer, blanks: bool) -> Option<(usize, usize)> {
    let at = composer.cursor();
    let kind = kind_at(composer, at, false);
    if kind == Kind::End {
        return None;
    }
    let (first, last) = (composer.line_start_of(at), composer.line_end_of(at));
    let mut from = at;
    while from > first && kind_at(composer, composer.before(from), false) == kind {
        from = composer.before(from);
    }
    let mut until = at;
    while until < last && kind_at(composer, until, false) == kind {
        until = composer.behind(until);
    }
    while blanks && until < last && kind_at(composer, until, false) == Kind::Blank {
        until = composer.behind(until);
    }
    Some((from, until))
}

fn first_letter(composer: &Composer, start: usize) -> usize {
    let end = composer.line_end_of(start);
    let places = composer.places(start..end);
    let is_letter = |at: &usize| kind_at(composer, *at, false) > Kind::Blank;
    places.into_iter().find(is_letter).unwrap_or(start)
}

fn other_case(text: &str) -> String {
    let upper = text.to_uppercase();
    if upper == text {
        text.to_lowercase()
    } else {
        upper
    }
}

/// So many characters become others; a line ends it.
fn replace(composer: &mut Composer, times: usize, by: &mut dyn FnMut(&str) -> String) -> Done {
    let at = composer.cursor();
    let end = composer.line_end_of(at);
    let until = repeat(times, at, |at| composer.behind(at).min(end));
    let places = composer.places(at..until);
    if places.len() < times || places.iter().any(|at| !composer.is_letter(*at)) {
        return Done::Nothing;
    }
    let new: String = places
        .iter()
        .map(|place| by(&composer.text()[*place..composer.behind(*place)]))
        .collect();
    composer.exchange(at..until, &new);
    composer.left();
    rest(composer);
    Done::Changed
}

/// The next line comes to the end of this one, with one blank between.
fn join(composer: &mut Composer, end: usize) -> Done {
    if end == composer.text().len() {
        return Done::Nothing;
    }
    let next = first_letter(composer, end + 1);
    composer.exchange(end..next, " ");
    composer.go(end);
    Done::Changed
}

#[cfg(test)]
mod tests;
