//! Files named behind an `@`: the menu of paths, and what is put into the draft.
//!
//! Pure.

use std::path::PathBuf;
use std::time::Duration;

use crate::tui::effect::Effect;
use crate::tui::event::Listing;
use crate::tui::fuzzy::rank;
use crate::tui::on::draft;
use crate::tui::state::{Focus, Scene, State};
use crate::tui::update::toast;
use crate::tui::writing::{Mention, Paths};

/// A listing younger than this is not asked for again.
const FRESH: Duration = Duration::from_secs(5);

/// After every key: is a path being written, and which ones fit?
pub(crate) fn look(state: &mut State) -> Vec<Effect> {
    let written = written(state);
    if written.is_none() {
        state.writing.dismissed = None;
    }
    let Some((at, needle)) = written.filter(|(at, _)| state.writing.dismissed != Some(*at)) else {
        state.writing.mention = None;
        return Vec::new();
    };
    let opens = state
        .writing
        .mention
        .as_ref()
        .is_none_or(|one| one.at != at);
    let same = |one: &Mention| one.at == at && one.needle == needle;
    if state.writing.mention.as_ref().is_some_and(same) {
        return Vec::new();
    }
    state.slash = 0;
    show(state, at, needle);
    if opens { list(state) } else { Vec::new() }
}

fn show(state: &mut State, at: usize, needle: String) {
    let session = session_paths(state);
    let paths = session.as_ref().unwrap_or(&state.writing.paths.known);
    let ranked = rank(&needle, paths);
    let found = ranked.iter().take(Mention::MOST);
    state.writing.mention = Some(Mention {
        at,
        needle,
        found: found.map(|(index, _)| paths[*index].clone()).collect(),
    });
}

/// Where the `@` before the cursor stands, and what is written behind it.
fn written(state: &State) -> Option<(usize, String)> {
    let listens = matches!(state.scene, Scene::Run(_) | Scene::Composer(_));
    if !listens || state.focus != Focus::Edit || state.writing.search.is_some() {
        return None;
    }
    let (at, needle) = word(&state.composer.text()[..state.composer.cursor()])?;
    // One that lies within a pasted block was not written.
    let is_written = state
        .composer
        .units()
        .any(|unit| unit.at == at && !unit.is_token);
    is_written.then(|| (at, needle.to_owned()))
}

/// The last word, when it begins with an `@`.
fn word(before: &str) -> Option<(usize, &str)> {
    let start = before
        .char_indices()
        .rev()
        .find(|(_, char)| char.is_whitespace())
        .map_or(0, |(at, char)| at + char.len_utf8());
    let needle = before[start..].strip_prefix('@')?;
    Some((start, needle))
}

fn has_directory(state: &State) -> bool {
    match &state.scene {
        Scene::Composer(_) => true,
        Scene::Run(attached) => attached.mirror.directory.is_some(),
        Scene::Picker(_) | Scene::Opening(_) => false,
    }
}

/// The run's directory on this machine; `None` is the one that a new run would be given.
fn directory(state: &State) -> Option<PathBuf> {
    state.attached()?.mirror.directory.clone()
}

/// Without a directory here: the files that the run has told of.
fn session_paths(state: &State) -> Option<Vec<String>> {
    if has_directory(state) {
        return None;
    }
    let files = state.session()?.files.iter();
    Some(files.map(|file| file.path.clone()).collect())
}

fn list(state: &mut State) -> Vec<Effect> {
    if !has_directory(state) {
        return Vec::new();
    }
    let of = directory(state);
    let paths = &mut state.writing.paths;
    let age = |asked| state.now.saturating_duration_since(asked);
    let fresh = paths.asked.is_some_and(|asked| age(asked) < FRESH);
    if fresh && paths.of == of {
        return Vec::new();
    }
    if paths.of != of {
        *paths = Paths::default();
    }
    paths.of.clone_from(&of);
    paths.asked = Some(state.now);
    vec![Effect::ListPaths(of)]
}

pub(crate) fn listed(state: &mut State, listing: Listing) -> Vec<Effect> {
    if state.writing.paths.of != listing.of {
        return Vec::new();
    }
    state.writing.paths.known = listing.paths;
    if listing.is_cut && !state.writing.paths.is_cut {
        let offered = state.writing.paths.known.len();
        toast(
            state,
            format!("only the first {offered} files of the directory are offered"),
        );
    }
    state.writing.paths.is_cut = listing.is_cut;
    if let Some(Mention { at, needle, .. }) = state.writing.mention.take() {
        show(state, at, needle);
    }
    Vec::new()
}

/// The menu goes and stays away from this word.
pub(crate) fn dismiss(state: &mut State) {
    state.writing.dismissed = state.writing.mention.take().map(|one| one.at);
}

/// The marked path takes the place of what was written of it.
pub(crate) fn take(state: &mut State) -> Vec<Effect> {
    let Some(mention) = state.writing.mention.take() else {
        return Vec::new();
    };
    let last = mention.found.len().saturating_sub(1);
    if let Some(path) = mention.found.get(state.slash.min(last)) {
        let fits = state
            .composer
            .finish(mention.at, &format!("{} ", quoted(path)));
        draft::written(state, fits);
    }
    Vec::new()
}

/// As it stands in the draft; a path with a space needs its ends marked.
fn quoted(path: &str) -> String {
    if path.contains(char::is_whitespace) {
        format!("@\"{path}\"")
    } else {
        format!("@{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_behind_an_at_that_begins_a_word() {
        let table = [
            ("@", Some((0, ""))),
            ("see @src/ma", Some((4, "src/ma"))),
            ("漢\n@x", Some((4, "x"))),
            ("ana@example", None),
            ("@done ", None),
            ("", None),
        ];
        for (before, wanted) in table {
            assert_eq!(word(before), wanted, "{before:?}");
        }
        assert_eq!(quoted("a/b.rs"), "@a/b.rs");
        assert_eq!(quoted("a b.rs"), "@\"a b.rs\"");
    }
}
