//! Searching the transcript: its line is written, matches are gone through, the cell of a match is unfolded.
//!
//! Pure.

use crossterm::event::{KeyCode, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

use crate::protocol::ids::Seq;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::find::LONGEST;
use crate::tui::keymap::{Context, Key};
use crate::tui::state::{Focus, Pane, Scene, Scroll, State};
use crate::tui::update::{show, toast};

/// Does this action belong to the search?
pub(crate) fn is_about(action: Action) -> bool {
    matches!(action, Action::Find | Action::FindNext | Action::FindBefore)
}

pub(crate) fn act(state: &mut State, action: Action) -> Vec<Effect> {
    if !matches!(state.scene, Scene::Run(_)) {
        return Vec::new();
    }
    match action {
        Action::Find => open(state),
        Action::FindNext => step(state, true),
        Action::FindBefore => step(state, false),
        _ => (),
    }
    Vec::new()
}

fn open(state: &mut State) {
    if state.pane != Pane::Chat {
        show(state, Pane::Chat);
    }
    state.focus = Focus::Browse;
    let from = state.selected.unwrap_or(state.drawn.bottom.item);
    let began = (state.scroll, state.selected);
    state.find.open(began, from.saturating_sub(1));
}

/// Keys that write into the line of the search; `None` when it is not being written.
pub(crate) fn write(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    if !state.find.writing || state.popup.is_some() {
        return None;
    }
    match key.code {
        KeyCode::Enter | KeyCode::Tab => finish(state),
        KeyCode::Esc => give_up(state),
        KeyCode::Up => step(state, false),
        KeyCode::Down => step(state, true),
        _ => {
            let mut words = state.find.words.clone();
            if !edit(&mut words, key) {
                return None;
            }
            look_for(state, words);
        }
    }
    // A question that comes meanwhile is not answered by what was meant for the search.
    state.question.typed = Some(state.now);
    Some(Vec::new())
}

/// A line that only grows and shrinks at its end. False for a key that does not write.
pub(crate) fn edit(line: &mut String, key: Key) -> bool {
    let control = key.modifiers == KeyModifiers::CONTROL;
    match key.code {
        KeyCode::Backspace => {
            let last = line.grapheme_indices(true).next_back();
            line.truncate(last.map_or(0, |(at, _)| at));
        }
        KeyCode::Char('u') if control => line.clear(),
        KeyCode::Char('w') if control => {
            let kept = line.trim_end();
            let word = kept.rfind(char::is_whitespace).map_or(0, |at| at + 1);
            line.truncate(word);
        }
        _ => match key.written() {
            Some(char) if line.chars().count() < LONGEST => line.push(char),
            Some(_) => (),
            None => return false,
        },
    }
    true
}

/// Pasted text is looked for; true when it was taken.
pub(crate) fn paste(state: &mut State, text: &str) -> bool {
    if !state.find.writing || state.popup.is_some() {
        return false;
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = format!("{}{line}", state.find.words);
    look_for(state, words.chars().take(LONGEST).collect());
    true
}

fn look_for(state: &mut State, words: String) {
    state.find.look_for(words);
    look(state);
    if state.find.here.is_none() {
        (state.scroll, state.selected) = state.find.began;
    }
}

/// The line is written: its matches stay marked. Nothing was written: what was looked for before.
fn finish(state: &mut State) {
    if state.find.words.is_empty() {
        let last = std::mem::take(&mut state.find.last);
        look_for(state, last);
    }
    state.find.writing = false;
}

/// Back to where the search began.
fn give_up(state: &mut State) {
    (state.scroll, state.selected) = state.find.began;
    fold_again(state);
    state.find.close();
}

/// True when there was a search to close; what it has found stays in sight.
pub(crate) fn close(state: &mut State) -> bool {
    let open = state.find.is_open();
    if open {
        state.find.opened = None;
        state.find.close();
    }
    open
}

/// Searches on, and what has come since.
pub(crate) fn look(state: &mut State) {
    let State { scene, find, .. } = state;
    let Scene::Run(attached) = scene else {
        return;
    };
    let cells = &attached.session.transcript.cells;
    if find.pattern.is_none() {
        return;
    }
    let before = (find.count(), find.is_behind(cells.len()));
    let chosen = find.look(cells);
    let after = (find.count(), find.is_behind(cells.len()));
    state.changed |= before != after;
    if chosen {
        land(state);
    }
}

fn step(state: &mut State, down: bool) {
    if state.find.pattern.is_none() {
        let key = state.keymap.key_of(Context::Browse, Action::Find);
        toast(state, format!("nothing is looked for: {key} searches"));
        return;
    }
    if state.find.step(down) {
        land(state);
    }
}

/// Shows the match that is looked at, unfolded.
fn land(state: &mut State) {
    let Some(here) = state.find.here else {
        return;
    };
    state.changed = true;
    state.selected = Some(here.cell + 1);
    state.scroll = Scroll::Match;
    unfold(state, here.cell);
}

/// Unfolds a cell; the one that was unfolded like this before is folded again.
pub(crate) fn unfold(state: &mut State, index: usize) {
    let cell = state
        .session()
        .and_then(|session| session.transcript.cells.label(index))
        .map(|label| (label.seq, state.folds.open(&label)));
    let Some((seq, open)) = cell else {
        return;
    };
    if state.find.opened.is_some_and(|(opened, _)| opened == seq) {
        return;
    }
    fold_again(state);
    if !open {
        state.find.opened = Some((seq, flip(state, seq)));
    }
}

/// Unless the user has folded or unfolded it meanwhile.
fn fold_again(state: &mut State) {
    if let Some((seq, flipped)) = state.find.opened.take()
        && state.folds.flipped.contains(&seq) == flipped
    {
        flip(state, seq);
    }
}

/// Whether it is the other way now than it would be.
fn flip(state: &mut State, seq: Seq) -> bool {
    let folds = &mut state.folds;
    !folds.flipped.remove(&seq) && folds.flipped.insert(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_at_its_end() {
        let mut line = "two word".to_owned();
        let table = [
            ("s", "two words"),
            ("ctrl+w", "two "),
            ("backspace", "two"),
            ("漢", "two漢"),
            ("backspace", "two"),
            ("ctrl+u", ""),
            ("backspace", ""),
            ("ctrl+w", ""),
        ];
        for (key, after) in table {
            assert!(edit(&mut line, key.parse().unwrap()), "{key}");
            assert_eq!(line, after, "{key}");
        }
        assert!(!edit(&mut line, "f1".parse().unwrap()));
        assert!(!edit(&mut line, "ctrl+l".parse().unwrap()));
    }
}
