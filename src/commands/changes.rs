//! What a run changed: per path, what stood there before the agent's first change, and what stands there now.
//!
//! Pure. Without a seed (a foreign endpoint, a repository it cloned) nobody knows what the first change replaced.

use std::collections::BTreeMap;

use crate::protocol::file::{Applied, ChangeKind, FileChange, FileManifest, FileState};
use crate::protocol::path::RelPath;

/// One path the agent changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub path: RelPath,
    pub before: Option<FileState>,
    pub now: Option<FileState>,
    /// Of the agent's newest change: its turn, counted from 1, and its call.
    pub turn: Option<u64>,
    pub tool_call: Option<String>,
    /// A foreign endpoint's name for the present content.
    pub storage_path: Option<String>,
    /// Something stood here before, and nobody here knows what.
    pub is_half: bool,
}

impl Changed {
    pub fn kind(&self) -> ChangeKind {
        match (self.before, self.now) {
            (_, None) => ChangeKind::Deleted,
            (None, Some(_)) if !self.is_half => ChangeKind::Created,
            (None | Some(_), Some(_)) => ChangeKind::Modified,
        }
    }
}

/// The tree of a run while its journal is read, line by line.
#[derive(Debug, Default)]
pub struct Changes {
    tree: BTreeMap<RelPath, FileState>,
    touched: BTreeMap<RelPath, Changed>,
}

impl Changes {
    /// The tree the run began with. A path that cannot be one is left out.
    pub fn of(seed: Option<FileManifest>) -> Self {
        let files = seed.map(|seed| seed.files).unwrap_or_default();
        let tree = files
            .into_iter()
            .filter_map(|(path, file)| Some((path.parse().ok()?, FileState::from(file))))
            .collect();
        Self {
            tree,
            touched: BTreeMap::new(),
        }
    }

    /// The agent's change.
    pub fn changed(&mut self, change: FileChange) {
        let stood = self.tree.get(&change.path).copied();
        let one = self
            .touched
            .entry(change.path.clone())
            .or_insert_with(|| Changed {
                path: change.path.clone(),
                before: stood,
                now: None,
                turn: None,
                tool_call: None,
                storage_path: None,
                is_half: stood.is_none() && change.kind != ChangeKind::Created,
            });
        one.turn = change.turn;
        one.tool_call = change.tool_call;
        one.storage_path = change.storage_path;
        stand(&mut self.tree, change.path, change.now);
    }

    /// A user's change: no work of the agent, but its own rests on it.
    pub fn applied(&mut self, applied: Applied) {
        stand(&mut self.tree, applied.change.path, applied.change.now);
    }

    /// By path; without what is again as it was.
    pub fn told(self) -> Vec<Changed> {
        let Self { tree, touched } = self;
        touched
            .into_values()
            .map(|one| Changed {
                now: tree.get(&one.path).copied(),
                ..one
            })
            .filter(|one| !is_same(one.before, one.now) || one.is_half)
            .collect()
    }
}

fn stand(tree: &mut BTreeMap<RelPath, FileState>, path: RelPath, now: Option<FileState>) {
    match now {
        Some(state) => {
            tree.insert(path, state);
        }
        None => {
            tree.remove(&path);
        }
    }
}

fn is_same(before: Option<FileState>, now: Option<FileState>) -> bool {
    let what = |state: FileState| (state.hash, state.mode);
    before.map(what) == now.map(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::file::{ManifestFile, Mode};
    use crate::protocol::hash::ContentHash;

    fn state(text: &str) -> FileState {
        FileState {
            hash: ContentHash::of(text.as_bytes()),
            size: text.len() as u64,
            mode: Mode::File,
        }
    }

    fn change(path: &str, before: Option<&str>, now: Option<&str>, turn: u64) -> FileChange {
        FileChange {
            kind: match (before, now) {
                (_, None) => ChangeKind::Deleted,
                (None, Some(_)) => ChangeKind::Created,
                (Some(_), Some(_)) => ChangeKind::Modified,
            },
            path: path.parse().unwrap(),
            now: now.map(state),
            before: before.map(|text| ContentHash::of(text.as_bytes())),
            storage_path: None,
            turn: Some(turn),
            tool_call: Some(format!("call-{turn}")),
        }
    }

    fn seed(files: &[(&str, &str)]) -> FileManifest {
        FileManifest {
            version: 1,
            base_commit: None,
            updated_at: String::new(),
            files: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), ManifestFile::from(state(text))))
                .collect(),
            deleted_files: Vec::new(),
            bundle: None,
            head: None,
            branch: None,
            remotes: BTreeMap::new(),
        }
    }

    fn told(changes: Changes) -> Vec<(String, Option<FileState>, Option<FileState>, ChangeKind)> {
        let one = |one: Changed| (one.path.to_string(), one.before, one.now, one.kind());
        changes.told().into_iter().map(one).collect()
    }

    #[test]
    fn a_change_counts_from_what_stood_before_the_agent_came() {
        let mut changes = Changes::of(Some(seed(&[
            ("a", "1"),
            ("b", "1"),
            ("c", "1"),
            ("d", "1"),
        ])));
        // An edit of the user alone is no change of the run.
        changes.applied(Applied {
            change: change("d", Some("1"), Some("mine"), 0),
            before_mode: None,
            command: None,
        });
        changes.applied(Applied {
            change: change("a", Some("1"), Some("2"), 0),
            before_mode: None,
            command: None,
        });
        changes.changed(change("a", Some("2"), Some("3"), 1));
        changes.changed(change("a", Some("3"), Some("4"), 2));
        changes.changed(change("b", Some("1"), None, 2));
        // There and back is nothing.
        changes.changed(change("c", Some("1"), Some("2"), 2));
        changes.changed(change("c", Some("2"), Some("1"), 3));
        changes.changed(change("new", None, Some("n"), 3));
        assert_eq!(
            told(changes),
            [
                (
                    "a".to_owned(),
                    Some(state("2")),
                    Some(state("4")),
                    ChangeKind::Modified
                ),
                ("b".to_owned(), Some(state("1")), None, ChangeKind::Deleted),
                (
                    "new".to_owned(),
                    None,
                    Some(state("n")),
                    ChangeKind::Created
                ),
            ]
        );
    }

    #[test]
    fn without_a_seed_nobody_knows_what_the_first_change_replaced() {
        let mut changes = Changes::of(None);
        changes.changed(change("a", Some("1"), Some("2"), 1));
        changes.changed(change("b", None, Some("1"), 1));
        changes.changed(change("b", Some("1"), Some("2"), 2));
        changes.changed(change("c", Some("1"), None, 2));
        let all = changes.told();
        let half: Vec<(&str, bool)> = all
            .iter()
            .map(|one| (one.path.as_str(), one.is_half))
            .collect();
        assert_eq!(half, [("a", true), ("b", false), ("c", true)]);
        assert_eq!(all[0].kind(), ChangeKind::Modified);
        assert_eq!(all[1].kind(), ChangeKind::Created);
        assert_eq!(all[1].turn, Some(2));
    }
}
