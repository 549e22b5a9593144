//! The search of the history: what is typed narrows it, the draft waits.
//!
//! Pure.

use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::fuzzy::rank;
use crate::tui::keymap::{Context, Key};
use crate::tui::on::draft;
use crate::tui::state::{Focus, Scene, State};
use crate::tui::update::toast;
use crate::tui::writing::Search;

/// Bytes of a prompt in which letters are looked for one by one; what follows is found by whole words only.
const LETTERS: usize = 2000;

/// The prompts that fit, as places in the history. Those that hold the words as they were typed come first, the newest
/// before the older ones; behind them those that only hold their letters.
fn find(needle: &str, history: &[String]) -> Vec<usize> {
    let newest = (0..history.len()).rev();
    let sensitive = needle.chars().any(char::is_uppercase);
    let folded = |text: &str| {
        if sensitive {
            text.to_owned()
        } else {
            text.to_lowercase()
        }
    };
    let wanted = folded(needle.trim());
    let (mut found, others): (Vec<usize>, Vec<usize>) =
        newest.partition(|at| folded(&history[*at]).contains(&wanted));
    let starts: Vec<&str> = others.iter().map(|at| start(&history[*at])).collect();
    found.extend(
        rank(needle, &starts)
            .into_iter()
            .map(|(index, _)| others[index]),
    );
    found
}

fn start(text: &str) -> &str {
    &text[..text.floor_char_boundary(LETTERS)]
}

/// Opens it; other screens have written meanwhile, so the history is read again.
pub(crate) fn open(state: &mut State) -> Vec<Effect> {
    if !matches!(state.scene, Scene::Run(_) | Scene::Composer(_)) {
        return Vec::new();
    }
    state.focus = Focus::Edit;
    state.writing.search = Some(Search::default());
    search(state);
    vec![Effect::ReadHistory]
}

/// The history as it stands on disk.
pub(crate) fn read(state: &mut State, history: Vec<String>) -> Vec<Effect> {
    let marked = state.writing.search.as_ref().and_then(|search| {
        let at = *search.found.get(search.chosen)?;
        state.composer.history().get(at).cloned()
    });
    state.composer.learn(history);
    let chosen = state.writing.search.as_ref().map_or(0, |one| one.chosen);
    search(state);
    // Whoever has moved already stays where they are.
    if let Some(search) = state.writing.search.as_mut().filter(|_| chosen > 0) {
        let history = state.composer.history();
        let is_marked = |at: &usize| Some(&history[*at]) == marked.as_ref();
        search.chosen = search.found.iter().position(is_marked).unwrap_or(0);
    }
    Vec::new()
}

fn search(state: &mut State) {
    if let Some(search) = &mut state.writing.search {
        search.found = find(&search.needle, state.composer.history());
        search.chosen = 0;
    }
}

/// Keys while it is open; `None` when it is not, or for those that mean here what they mean everywhere.
pub(crate) fn write(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    if state.popup.is_some() || state.leader.is_some() {
        return None;
    }
    let action = state.keymap.lookup(Context::Edit, key);
    let search = state.writing.search.as_mut()?;
    let last = search.found.len().saturating_sub(1);
    match (action, key.written()) {
        (Some(Action::Redraw | Action::Suspend), _) => return None,
        (Some(Action::SearchHistory | Action::Down | Action::HistoryOlder), _) => {
            search.chosen = (search.chosen + 1).min(last);
        }
        (Some(Action::Up | Action::HistoryNewer), _) => {
            search.chosen = search.chosen.saturating_sub(1);
        }
        (Some(Action::Submit | Action::SwapFocus | Action::Right | Action::LineEnd), _) => {
            take(state);
        }
        (Some(Action::Escape | Action::Interrupt), _) => state.writing.search = None,
        (Some(Action::DeleteBack), _) => {
            search.needle.pop();
            self::search(state);
        }
        (Some(Action::KillToStart | Action::KillWordBack), _) => {
            search.needle.clear();
            self::search(state);
        }
        (None, Some(char)) => {
            search.needle.push(char);
            self::search(state);
        }
        _ => (),
    }
    Some(Vec::new())
}

/// A paste while it is open: its first line.
pub(crate) fn paste(state: &mut State, text: &str) -> bool {
    let Some(open) = &mut state.writing.search else {
        return false;
    };
    open.needle
        .push_str(text.lines().next().unwrap_or_default());
    search(state);
    true
}

/// The marked prompt becomes the draft; the draft of before is one undo away.
pub(crate) fn take(state: &mut State) {
    let Some(search) = state.writing.search.take() else {
        return;
    };
    let prompt = search
        .found
        .get(search.chosen)
        .and_then(|at| state.composer.history().get(*at).cloned());
    match prompt {
        Some(prompt) => {
            let kept = !state.composer.is_empty();
            state.composer.set(prompt);
            draft::changed(state);
            if kept {
                let undo = state.keymap.key_of(Context::Edit, Action::Undo);
                toast(state, format!("{undo} brings your draft back"));
            }
        }
        None => toast(
            state,
            "no prompt holds these letters; your draft is as it was",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_so_comes_before_what_only_holds_its_letters() {
        let history = [
            "fix auth test",
            "a large unit: the host",
            "Auth again",
            "write docs",
        ];
        let history = history.map(str::to_owned);
        let table: [(&str, &[usize]); 6] = [
            ("", &[3, 2, 1, 0]),
            ("auth", &[2, 0, 1]),
            ("Auth", &[2]),
            ("test fix", &[0]),
            ("  ", &[3, 2, 1, 0]),
            ("zq", &[]),
        ];
        for (needle, wanted) in table {
            assert_eq!(find(needle, &history), wanted, "{needle:?}");
        }
        let long = ["é".repeat(3000) + " the end"];
        assert_eq!(find("the end", &long), [0]);
        assert_eq!(find("éé", &long), [0]);
    }
}
