//! The tree of a run as its journal tells it: what it started from, and every change since (contract 6).
//!
//! Pure. Lines in, a manifest out; nobody's word is asked for but the journal's, so it is the same after any crash.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;

use crate::protocol::entry::{Decoded, Ext, Said};
use crate::protocol::file::{Applied, FileManifest, FileState, ManifestFile};
use crate::protocol::hash::ContentHash;
use crate::protocol::normalize;
use crate::protocol::path::RelPath;

/// Every line that speaks of files has one of these words in it; the others need not be parsed.
const WORDS: [&[u8]; 2] = [b"file_sync", b"file_applied"];

/// A tree, as far as the journal was read.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    seed: Option<FileManifest>,
    files: BTreeMap<String, ManifestFile>,
    deleted: BTreeSet<String>,
    /// What has come since the seed, whose own bytes were all there when it was taken.
    come: BTreeSet<ContentHash>,
    changed: bool,
}

impl Tree {
    pub(crate) fn new(seed: Option<FileManifest>) -> Self {
        let (files, deleted) = seed.as_ref().map_or_else(Default::default, |seed| {
            let deleted = seed.deleted_files.iter().cloned().collect();
            (seed.files.clone(), deleted)
        });
        Self {
            seed,
            files,
            deleted,
            ..Self::default()
        }
    }

    /// One line of the journal, in its order.
    pub(crate) fn read(&mut self, line: &[u8]) {
        if !WORDS.iter().any(|word| memmem::find(line, word).is_some()) {
            return;
        }
        let Decoded::Entry(entry) = normalize::decode(line) else {
            return;
        };
        match entry.said {
            Said::Ext(Ext::FileSync(change) | Ext::FileApplied(Applied { change, .. })) => {
                self.put(&change.path, change.now);
            }
            Said::Ext(_)
            | Said::Update(_)
            | Said::Command(_)
            | Said::Request { .. }
            | Said::Response { .. }
            | Said::FinalText(_)
            | Said::StreamError(_)
            | Said::Unknown(_)
            | Said::Ignored => (),
        }
    }

    fn put(&mut self, path: &RelPath, now: Option<FileState>) {
        self.changed = true;
        let name = path.as_str().to_owned();
        match now {
            Some(state) => {
                self.come.insert(state.hash);
                self.deleted.remove(&name);
                self.files.insert(name, ManifestFile::from(state));
            }
            None => {
                self.files.remove(&name);
                self.deleted.insert(name);
            }
        }
    }

    /// The bytes it names that were not in the seed, once each.
    pub(crate) fn hashes(&self) -> Vec<ContentHash> {
        let named: BTreeSet<_> = self.files.values().map(|file| file.hash).collect();
        named.intersection(&self.come).copied().collect()
    }

    /// The manifest of this moment, without the files whose bytes nobody could fetch. `None` when there never was a
    /// file: no seed, no change.
    pub(crate) fn manifest(
        mut self,
        updated_at: String,
        missing: &[ContentHash],
    ) -> Option<FileManifest> {
        if self.seed.is_none() && !self.changed {
            return None;
        }
        let missing: BTreeSet<_> = missing.iter().collect();
        self.files.retain(|_, file| !missing.contains(&file.hash));
        let empty = FileManifest {
            version: 1,
            base_commit: None,
            updated_at: String::new(),
            files: BTreeMap::new(),
            deleted_files: Vec::new(),
            bundle: None,
            head: None,
            branch: None,
            remotes: BTreeMap::new(),
        };
        Some(FileManifest {
            updated_at,
            files: self.files,
            deleted_files: self.deleted.into_iter().collect(),
            ..self.seed.unwrap_or(empty)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hash(text: &str) -> ContentHash {
        ContentHash::of(text.as_bytes())
    }

    fn agent(method: &str, params: Value) -> Value {
        json!({"type": "notification", "timestamp": "2026-01-19T12:00:00.000Z", "notification": {"jsonrpc": "2.0", "method": method, "params": params}})
    }

    fn sync(kind: &str, path: &str, text: &str) -> Value {
        let mut params = json!({"type": kind, "relativePath": path});
        if kind != "file_deleted" {
            params["contentHash"] = json!(hash(text));
            params["size"] = json!(text.len());
            params["mode"] = json!("100755");
        }
        agent("_posthog/file_sync", params)
    }

    fn seed(files: &[(&str, &str)]) -> FileManifest {
        let files: serde_json::Map<_, _> = files
            .iter()
            .map(|(path, text)| {
                (
                    (*path).to_owned(),
                    json!({"hash": hash(text), "size": text.len()}),
                )
            })
            .collect();
        serde_json::from_value(json!({"version": 1, "base_commit": "c", "updated_at": "then", "files": files, "deleted_files": ["long-gone"], "head": "h"})).unwrap()
    }

    fn folded(seed: Option<FileManifest>, lines: &[Value]) -> Tree {
        let mut tree = Tree::new(seed);
        for line in lines {
            tree.read(line.to_string().as_bytes());
        }
        tree
    }

    #[test]
    fn changes_of_both_sides_are_folded_over_the_seed() {
        let proposal = json!({"type": "client_message", "id": "1", "message": {"jsonrpc": "2.0", "id": "1", "method": "_ashore/file_changed", "params": {"changes": [
            {"relativePath": "mine", "contentHash": hash("from here"), "size": 9, "mode": "100755", "baseHash": null},
            {"relativePath": "stale", "contentHash": hash("stale"), "size": 5, "mode": "100644", "baseHash": null},
        ]}}});
        let applied = agent(
            "_ashore/file_applied",
            json!({"relativePath": "mine", "contentHash": hash("from here"), "size": 9, "mode": "100755"}),
        );
        let refused = agent(
            "_ashore/file_refused",
            json!({"relativePath": "stale", "currentHash": null}),
        );
        let lines = [
            sync("file_created", "new", "one"),
            sync("file_modified", "new", "two"),
            sync("file_deleted", "gone", ""),
            sync("file_created", "../outside", "x"),
            proposal,
            applied,
            refused,
            sync("file_created", "long-gone", "again"),
        ];
        let tree = folded(Some(seed(&[("kept", "k"), ("gone", "g")])), &lines);
        let manifest = tree.manifest("now".to_owned(), &[]).unwrap();
        let told: Vec<_> = manifest
            .files
            .iter()
            .map(|(path, file)| (path.as_str(), file.hash, file.size))
            .collect();
        assert_eq!(
            told,
            [
                ("kept", hash("k"), 1),
                ("long-gone", hash("again"), 5),
                ("mine", hash("from here"), 9),
                ("new", hash("two"), 3),
            ]
        );
        assert_eq!(manifest.files["mine"].mode.as_str(), "100755");
        assert_eq!(manifest.deleted_files, ["gone"]);
        assert_eq!(manifest.head.as_deref(), Some("h"));
        assert_eq!(manifest.updated_at, "now");
    }

    #[test]
    fn a_file_nobody_could_fetch_is_left_out_and_a_run_without_files_has_no_manifest() {
        let lines = [
            sync("file_created", "a", "a"),
            sync("file_created", "b", "b"),
        ];
        let tree = folded(None, &lines);
        assert_eq!(tree.hashes().len(), 2);
        let manifest = tree.manifest(String::new(), &[hash("a")]).unwrap();
        assert_eq!(manifest.files.keys().collect::<Vec<_>>(), ["b"]);
        let chat = agent(
            "session/update",
            json!({"update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "file_sync"}}}),
        );
        assert_eq!(folded(None, &[chat]).manifest(String::new(), &[]), None);
    }
}
