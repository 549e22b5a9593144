//! What must be true of files in every life: nothing anybody wrote is lost, nothing is replaced that its writer had not
//! been told of, no conflict is made up, no base claims what never stood, and what was edited first arrives first.
//!
//! Reads the journal by other means than the code under test.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::trees::{AGENT, Trees};
use crate::protocol::file::FileState;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::CommandId;
use crate::protocol::path::RelPath;

/// What one user wrote just before saying something.
pub(super) struct Words {
    pub(super) content: ContentHash,
    pub(super) message: CommandId,
}

/// What the journal says of files.
#[derive(Debug, Default)]
struct Told {
    /// Every content that was ever told to stand anywhere, or was sent to.
    contents: BTreeSet<String>,
    /// What the agent side itself took from a path.
    given_up: BTreeSet<(String, String)>,
    /// What each change of a command was made from.
    bases: BTreeMap<(String, String), Option<String>>,
    /// The line of each content's `file_changed` and `file_applied`, of each message, and of its taking.
    sent: BTreeMap<String, usize>,
    applied: BTreeMap<String, usize>,
    said: BTreeMap<String, usize>,
    taken: BTreeMap<String, usize>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Told {
    fn read(trees: &Trees, lines: &[Vec<u8>]) -> Result<Self, String> {
        let mut told = Self::default();
        let given_up = trees.agent().taken().into_iter();
        told.given_up
            .extend(given_up.map(|(path, content)| (path.to_string(), content.to_string())));
        for state in trees.baseline().values() {
            told.contents.insert(state.hash.to_string());
        }
        for (line, number) in lines.iter().zip(1..) {
            let line: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            told.line(number, &line)?;
        }
        Ok(told)
    }

    fn line(&mut self, number: usize, line: &Value) -> Result<(), String> {
        if line["type"] == "client_message" {
            self.command(number, line);
            return Ok(());
        }
        let message = &line["notification"];
        let params = &message["params"];
        let path = params["relativePath"].as_str().unwrap_or_default();
        let content = text(&params["contentHash"]);
        match message["method"].as_str() {
            Some("session/prompt") => {
                let command = params.pointer("/_meta/ashore/command").and_then(text);
                self.taken.extend(command.map(|command| (command, number)));
            }
            Some("_posthog/file_sync") => self.contents.extend(content),
            Some("_ashore/file_applied") => {
                let command = text(&params["command"]).unwrap_or_default();
                let base = self.bases.get(&(command, path.to_owned()));
                let base = base.ok_or_else(|| format!("line {number} answers nothing"))?;
                let stood = text(&params["baseHash"]);
                // An empty folder gives way to whoever expects nothing.
                let bare = base.is_none() && params["baseMode"] == "040000";
                // What was told last may have gone by itself since, untold.
                let replaced = stood
                    .clone()
                    .is_some_and(|stood| self.given_up.contains(&(path.to_owned(), stood)));
                if stood != *base && stood != content && replaced && !bare {
                    return Err(format!(
                        "line {number}: a change of {path} was made from {base:?} and put over {stood:?}"
                    ));
                }
                let applied = content.clone().map(|content| (content, number));
                self.applied.extend(applied);
                self.contents.extend(content);
            }
            _ => (),
        }
        Ok(())
    }

    fn command(&mut self, number: usize, line: &Value) {
        let id = text(&line["id"]).unwrap_or_default();
        match line["message"]["method"].as_str() {
            Some("_posthog/user_message") => drop(self.said.insert(id, number)),
            Some("_ashore/file_changed") => {
                let changes = line.pointer("/message/params/changes");
                for change in changes.and_then(Value::as_array).into_iter().flatten() {
                    let path = text(&change["relativePath"]).unwrap_or_default();
                    let content = text(&change["contentHash"]);
                    self.contents.extend(content.clone());
                    self.sent.extend(content.map(|content| (content, number)));
                    let base = text(&change["baseHash"]);
                    self.bases.insert((id.clone(), path), base);
                }
            }
            _ => (),
        }
    }

    /// What was written before a message is told and taken before it.
    fn in_order(&self, words: &Words) -> Result<(), String> {
        let content = words.content.to_string();
        let message = words.message.as_str();
        let before = |one: Option<&usize>, other: Option<&usize>| match (one, other) {
            (Some(one), Some(other)) => one < other,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if !before(self.sent.get(&content), self.said.get(message)) {
            return Err(format!("{message} was sent before the edit {content}"));
        }
        if !before(self.applied.get(&content), self.taken.get(message)) {
            return Err(format!("{message} was taken before the edit {content}"));
        }
        Ok(())
    }
}

/// The trees as they stand when all is said and done.
pub(super) fn judge(trees: &Trees, lines: &[Vec<u8>], words: &[Words]) -> Result<(), String> {
    let told = Told::read(trees, lines)?;
    nothing_is_lost(trees)?;
    nothing_torn_is_told(lines)?;
    for tree in &trees.all {
        for (path, content) in tree.taken() {
            let nobodys = tree.is_torn(content) || tree.is_late(content);
            if !told.contents.contains(&content.to_string()) && !nobodys {
                return Err(format!(
                    "{} gave up {content} at {path}, of which nobody was told",
                    tree.name
                ));
            }
        }
    }
    for tree in &trees.all[..AGENT] {
        tree.claims()?;
    }
    no_conflict_is_made_up(trees)?;
    words.iter().try_for_each(|words| told.in_order(words))
}

/// What was told of the work tree has survived the power cut that took `lost` from it.
pub(super) fn what_was_told_is_kept(
    lines: &[Vec<u8>],
    lost: &[(RelPath, FileState)],
) -> Result<(), String> {
    let mut told = BTreeMap::new();
    for line in lines {
        // The endpoint may be just about to write its last one.
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let message = &line["notification"];
        if let Some("_posthog/file_sync" | "_ashore/file_applied") = message["method"].as_str() {
            let params = &message["params"];
            let path = params["relativePath"].as_str().unwrap_or_default();
            told.insert(path.to_owned(), text(&params["contentHash"]));
        }
    }
    let gone = |(path, state): &&(RelPath, FileState)| {
        told.get(path.as_str()) == Some(&Some(state.hash.to_string()))
    };
    match lost.iter().find(gone) {
        None => Ok(()),
        Some((path, state)) => Err(format!(
            "the power cut took {} of {path}, which had been told",
            state.hash
        )),
    }
}

/// No file was told to have become empty or nothing but zeros: nobody writes such a thing here, a power cut does.
fn nothing_torn_is_told(lines: &[Vec<u8>]) -> Result<(), String> {
    for line in lines {
        let line: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let message = &line["notification"];
        let params = &message["params"];
        let told = message["method"] == "_posthog/file_sync";
        let over = told && params["baseHash"].is_string() && params["contentHash"].is_string();
        let size = params["size"].as_u64().unwrap_or_default();
        let zeros = vec![0; usize::try_from(size).unwrap_or_default().min(10_000)];
        if over
            && params["contentHash"] != params["baseHash"]
            && params["contentHash"] == ContentHash::of(&zeros).to_string()
        {
            return Err(format!("what a power cut had torn was told: {params}"));
        }
    }
    Ok(())
}

/// Everything that its own writer has not replaced or removed stands somewhere, or was kept.
fn nothing_is_lost(trees: &Trees) -> Result<(), String> {
    let mut found = BTreeSet::new();
    for tree in &trees.all {
        found.extend(tree.contents().into_keys());
    }
    for tree in &trees.all {
        for (content, path) in tree.versions() {
            if !found.contains(&content) {
                return Err(format!(
                    "what {} wrote at {path} is nowhere: {content}",
                    tree.name
                ));
            }
        }
    }
    Ok(())
}

/// A file that one side alone writes is never in conflict, but where a power cut made a mirror forget what it had sent.
fn no_conflict_is_made_up(trees: &Trees) -> Result<(), String> {
    if trees.all.iter().any(|tree| tree.power_cuts() > 0) {
        return Ok(());
    }
    let own =
        |path: &RelPath| path.as_str().starts_with("own") || path.as_str().starts_with("before");
    for tree in &trees.all[..AGENT] {
        let state = tree.lock();
        let conflicts = state.shelf.known().conflicts.keys();
        if let Some(path) = conflicts.into_iter().find(|path| own(path)) {
            return Err(format!(
                "{} has a conflict on {path}, which one side alone writes",
                tree.name
            ));
        }
    }
    Ok(())
}
