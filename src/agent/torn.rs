//! What a power cut tore in the workspace: brought back to what both sides have, instead of told over good files.
//!
//! Only what is known elsewhere can be torn here: the seed and everything told is on the disk before it is said, so what a
//! machine that went down took is something newer, which nobody has heard of.

use std::io::{self, Read};
use std::path::Path;

use futures::{FutureExt, StreamExt};
use serde_json::Value;

use crate::agent::edits::{Patience, apply};
use crate::agent::files::{Difference, Files};
use crate::mirror::apply::Outcome;
use crate::mirror::ground;
use crate::plant::planted;
use crate::protocol::command::LocalChange;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::line;
use crate::protocol::path::RelPath;

/// What a file system writes down at once.
const PAGE: u64 = 4096;
/// At most this many at once.
const AT_ONCE: usize = 8;
/// Named in the line about them.
const NAMED: usize = 5;

impl Files {
    /// Looks, when the machine went down since the last start, for what it tore, and puts back what both sides have. Comes
    /// back with what is to be told. The agent has not begun to work.
    pub(crate) async fn mend(&mut self) -> Vec<Value> {
        let Some((applier, life)) = self.applier.clone().zip(self.life.clone()) else {
            return Vec::new();
        };
        let (at, mut lines) = (life.clone(), Vec::new());
        let goes_on = ground::blocking(move || at.goes_on()).await;
        if !goes_on.unwrap_or(false) && !planted!(TornTold) {
            let torn = self.find_torn().await;
            let known = torn.iter().map(|one| (one.path.clone(), one.now));
            self.torn = known.filter_map(|(path, now)| Some((path, now?))).collect();
            let changes: Vec<LocalChange> = torn.iter().filter_map(back).collect();
            let patience = Patience::default();
            let mut all = Vec::new();
            for change in &changes {
                all.push(apply(&applier, &*self.blobs, change, &patience).boxed());
            }
            let outcomes: Vec<Outcome> =
                futures::stream::iter(all).buffered(AT_ONCE).collect().await;
            lines = self.mended(&changes, outcomes);
            let tidied = ground::blocking(move || applier.tidy()).await;
            tracing::trace!(?tidied, "the stage is cleared");
        }
        if self.torn.is_empty() {
            let begun = ground::blocking(move || life.begin()).await;
            if let Ok(Err(error)) = begun {
                tracing::warn!(%error, "the next start will look for torn files again");
            }
        }
        lines
    }

    fn mended(&mut self, changes: &[LocalChange], outcomes: Vec<Outcome>) -> Vec<Value> {
        let mut lines = Vec::new();
        let mut back = Vec::new();
        for (change, outcome) in changes.iter().zip(outcomes) {
            match outcome {
                Outcome::Applied { .. } => {
                    self.torn.remove(&change.path);
                    back.push(change.path.as_str());
                }
                // Somebody works there by now.
                Outcome::Stale(_) => drop(self.torn.remove(&change.path)),
                Outcome::Failed(why) => lines.extend(self.fail(
                    change.path.as_str(),
                    format!("the machine went down while it was written, and it could not be put back: {why}"),
                )),
            }
        }
        lines.extend((!back.is_empty()).then(|| line::note(&words(&back))));
        lines
    }

    async fn find_torn(&mut self) -> Vec<Difference> {
        let eyes = self.eyes();
        let known = std::mem::take(&mut self.known);
        let root = self.root.clone();
        let looked = ground::blocking(move || {
            let places = known.keys().cloned().collect();
            let (mut found, _) = eyes.named(&known, places);
            found.retain(|one| could_be(one) && is_torn(&one.path.below(&root)).unwrap_or(false));
            (known, found)
        });
        let Ok((known, found)) = looked.await else {
            // The scan that comes next says what is wrong.
            return Vec::new();
        };
        self.known = known;
        found
    }

    /// Whether this is what a power cut left there.
    pub(super) fn is_torn(&self, path: &RelPath, now: Option<FileState>) -> bool {
        now.is_some() && self.torn.get(path).copied() == now
    }
}

fn could_be(one: &Difference) -> bool {
    let file = |state: &FileState| matches!(state.mode, Mode::File | Mode::Executable);
    // A file that was about to take the place of a link is torn like any other.
    let had = |state: &FileState| file(state) || state.mode == Mode::Symlink;
    match (one.now.filter(file), one.before.filter(had)) {
        (Some(now), Some(before)) => now.hash != before.hash,
        _ => false,
    }
}

/// What stands there is replaced by what both sides have.
fn back(torn: &Difference) -> Option<LocalChange> {
    let (now, known) = (torn.now?, torn.before?);
    Some(LocalChange {
        path: torn.path.clone(),
        hash: Some(known.hash),
        size: known.size,
        mode: known.mode,
        base: Some(now.hash),
        base_mode: Some(now.mode),
    })
}

/// Nothing, or zeros at the end as far as one page goes: so looks a file whose bytes did not come to the disk.
fn is_torn(at: &Path) -> io::Result<bool> {
    let mut file = ground::open(at)?;
    let mut piece = vec![0; 64 * 1024];
    let (mut size, mut last) = (0, 0);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        for (at, byte) in (size..).zip(&piece[..read]) {
            if *byte != 0 {
                last = at + 1;
            }
        }
        size += read as u64;
    }
    let page = size.saturating_sub(1) / PAGE * PAGE;
    Ok(last <= page)
}

fn words(back: &[&str]) -> String {
    let named = back[..back.len().min(NAMED)].join(", ");
    let more = match back.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "the machine went down while files were being written; these are again as they were told last: {named}{more}"
    )
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::agent::wishes::Places;
    use crate::mirror::blobs::{self, Blobs, Wanted, landing};
    use crate::protocol::hash::ContentHash;

    /// What the endpoint keeps.
    struct Stored(BTreeMap<ContentHash, &'static str>);

    #[async_trait::async_trait]
    impl Blobs for Stored {
        async fn get(&self, want: &Wanted, into: &Path) -> Result<(), blobs::Error> {
            let bytes = self
                .0
                .get(&want.hash)
                .ok_or(blobs::Error::Gone(want.hash))?;
            io::Write::write_all(&mut landing(into).unwrap(), bytes.as_bytes()).unwrap();
            Ok(())
        }

        async fn put(&self, _: ContentHash, _: u64, _: &Path) -> Result<(), blobs::Error> {
            Ok(())
        }

        async fn missing(&self, _: &[ContentHash]) -> Result<Vec<ContentHash>, blobs::Error> {
            Ok(Vec::new())
        }
    }

    const GOOD: &str = "what both sides have";
    const GONE: &str = "what nobody has any more";

    fn start(folder: &Path) -> Files {
        let known = ["a", "b", "c"].map(|path| {
            let text = if path == "c" { GONE } else { GOOD };
            let state = FileState {
                hash: ContentHash::of(text.as_bytes()),
                size: text.len() as u64,
                mode: Mode::File,
            };
            (path.parse().unwrap(), state)
        });
        let stored = Stored([(ContentHash::of(GOOD.as_bytes()), GOOD)].into());
        let (root, stage) = (folder.join("work"), folder.join("stage"));
        let files = Files::new(&root, stage, known.into(), Arc::new(stored)).unwrap();
        files.with_applier(folder, &folder.join("kept")).unwrap()
    }

    fn paths(lines: &[Value]) -> Vec<&str> {
        let path = |line: &Value| line["params"]["relativePath"].as_str().is_some();
        let lines = lines.iter().filter(|line| path(line));
        lines
            .filter_map(|line| line["params"]["relativePath"].as_str())
            .collect()
    }

    #[tokio::test]
    async fn after_a_power_cut_what_is_torn_is_put_back_and_never_told() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["work", "stage"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let at = |path: &str| folder.path().join("work").join(path);
        for (path, stands) in [("a", ""), ("b", "the agent's own"), ("c", "\0\0\0")] {
            std::fs::write(at(path), stands).unwrap();
        }
        let mut files = start(folder.path());
        let lines = files.mend().await;
        assert_eq!(std::fs::read_to_string(at("a")).unwrap(), GOOD);
        assert_eq!(std::fs::read_to_string(at("b")).unwrap(), "the agent's own");
        assert_eq!(paths(&lines), ["c"], "{lines:?}");
        assert!(
            lines
                .iter()
                .any(|line| line.to_string().contains("told last: a\""))
        );
        let told = files.look(Places::All, None, None).await;
        assert_eq!(paths(&told), ["b"], "{told:?}");
        // What could not be put back is tried again by the next start.
        assert_eq!(paths(&start(folder.path()).mend().await), ["c"]);
        std::fs::write(at("c"), "new").unwrap();
        let told = files.look(Places::All, None, None).await;
        assert_eq!(paths(&told), ["c"], "{told:?}");
        // In one life of the machine an empty file is what somebody made.
        start(folder.path()).mend().await;
        std::fs::write(at("a"), "").unwrap();
        let mut files = start(folder.path());
        assert_eq!(files.mend().await, Vec::<Value>::new());
        let told = files.look(Places::All, None, None).await;
        assert!(paths(&told).contains(&"a"), "{told:?}");
    }

    #[test]
    fn torn_is_what_is_empty_or_ends_in_a_page_of_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("x");
        let looks = |bytes: &[u8]| {
            std::fs::write(&at, bytes).unwrap();
            is_torn(&at).unwrap()
        };
        let page = usize::try_from(PAGE).unwrap();
        assert!(looks(b""));
        assert!(looks(&[0; 10]));
        assert!(looks(&vec![0; 100_000]));
        assert!(!looks(b"x"));
        assert!(!looks(b"x\0\0\0"), "it ends in what was written");
        let mut cut = vec![b'x'; page];
        assert!(!looks(&cut));
        cut.extend([0; 9]);
        assert!(looks(&cut));
        cut.push(b'x');
        assert!(!looks(&cut));
    }
}
