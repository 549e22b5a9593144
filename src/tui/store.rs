//! The draft and the prompt history on disk.
//!
//! A shell: small files of ours in the state folder, replaced whole. A file that cannot be read is as if it were
//! not there; one that cannot be written is a line for the user.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::protocol::hash::ContentHash;
use crate::protocol::ids::RunId;
use crate::tui::away::Seen;

/// Prompts kept on disk.
const HISTORY: usize = 500;
/// A file larger than this is not ours.
const BYTES: u64 = 8 * 1024 * 1024;

/// Where they lie.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    /// The name of the draft that belongs to no run yet.
    place: String,
}

impl Store {
    /// `state` is the state folder. The draft of a run that does not exist yet belongs to `directory`.
    pub fn new(state: &Path, directory: &Path) -> Self {
        let hash = ContentHash::of(directory.as_os_str().as_encoded_bytes());
        Self {
            folder: state.join("screen"),
            place: format!("directory-{hash}"),
        }
    }

    pub fn draft(&self, of: Option<&RunId>) -> String {
        read(&self.draft_file(of))
    }

    pub fn save_draft(&self, of: Option<&RunId>, text: &str) -> io::Result<()> {
        self.keep(&self.draft_file(of), text)
    }

    /// What is empty lies nowhere.
    fn keep(&self, file: &Path, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        self.replace(file, text)
    }

    /// The files that were to go with the next message to the run, or with the first one of the next.
    pub fn attached(&self, of: Option<&RunId>) -> Vec<String> {
        serde_json::from_str(&read(&self.attached_file(of))).unwrap_or_default()
    }

    pub fn save_attached(&self, of: Option<&RunId>, paths: &[String]) -> io::Result<()> {
        let text = match paths {
            [] => String::new(),
            paths => serde_json::Value::from(paths).to_string(),
        };
        self.keep(&self.attached_file(of), &text)
    }

    fn attached_file(&self, of: Option<&RunId>) -> PathBuf {
        self.folder.join("attached").join(self.name(of))
    }

    /// How far the run was seen when it was left.
    pub fn seen(&self, of: &RunId) -> Option<Seen> {
        read(&self.seen_file(of)).parse().ok()
    }

    pub fn save_seen(&self, of: &RunId, seen: Seen) -> io::Result<()> {
        self.replace(&self.seen_file(of), &seen.to_string())
    }

    fn seen_file(&self, of: &RunId) -> PathBuf {
        self.folder.join("seen").join(format!("run-{of}"))
    }

    /// True once for each of these words: what is said only the first time. A disk that refuses is not told of.
    pub fn is_first(&self, word: &str) -> bool {
        let folder = self.folder.join("told");
        let done = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::File::create_new(folder.join(word)));
        done.is_ok()
    }

    /// Oldest first.
    pub fn history(&self) -> Vec<String> {
        read(&self.history_file())
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Appends one prompt. The file is read again first: another screen may have written.
    pub fn save_history(&self, text: &str) -> io::Result<()> {
        let mut history = self.history();
        if text.trim().is_empty() || history.last().is_some_and(|last| last == text) {
            return Ok(());
        }
        history.push(text.to_owned());
        let skip = history.len().saturating_sub(HISTORY);
        let lines: Vec<String> = history[skip..]
            .iter()
            .map(|text| serde_json::Value::from(text.as_str()).to_string() + "\n")
            .collect();
        self.replace(&self.history_file(), &lines.concat())
    }

    /// What was last copied, for a terminal that did not take it. Gives the file.
    pub fn save_copy(&self, text: &str) -> io::Result<PathBuf> {
        let file = self.folder.join("clipboard.txt");
        self.replace(&file, text)?;
        Ok(file)
    }

    /// A folder for what the user saves, where there is no better one.
    pub(crate) fn saved(&self) -> PathBuf {
        self.folder.join("saved")
    }

    fn draft_file(&self, of: Option<&RunId>) -> PathBuf {
        self.folder.join("drafts").join(self.name(of))
    }

    fn name(&self, of: Option<&RunId>) -> String {
        of.map_or_else(|| self.place.clone(), |run| format!("run-{run}"))
    }

    fn history_file(&self) -> PathBuf {
        self.folder.join("history.ndjson")
    }

    /// RACE: two screens may append at once; the later one wins, and one prompt is missing from the history.
    fn replace(&self, file: &Path, text: &str) -> io::Result<()> {
        let folder = file.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder)?;
        // 0600: prompts are nobody else's business.
        let mut staged = tempfile::NamedTempFile::new_in(folder)?;
        staged.write_all(text.as_bytes())?;
        staged.persist(file).map_err(|error| error.error)?;
        Ok(())
    }
}

fn read(file: &Path) -> String {
    let fits = std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() <= BYTES);
    let bytes = if fits {
        std::fs::read(file).unwrap_or_default()
    } else {
        Vec::new()
    };
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_and_the_history_come_back_each_to_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let run: RunId = "7f3a".parse().unwrap();
        let store = Store::new(folder.path(), Path::new("/a"));
        assert_eq!(store.draft(None), "");
        store.save_draft(None, "half\na thought").unwrap();
        store.save_draft(Some(&run), "to the run").unwrap();
        let seen: Seen = "12 2026-01-19T14:02:00Z".parse().unwrap();
        assert_eq!(store.seen(&run), None);
        store.save_seen(&run, seen).unwrap();
        assert_eq!(store.seen(&run), Some(seen));
        assert!(store.is_first("a") && store.is_first("b") && !store.is_first("a"));
        store.save_history("one\ntwo").unwrap();
        store.save_history("three").unwrap();
        store.save_history("three").unwrap();
        let paths = ["/a b".to_owned(), "/c\nd".to_owned()];
        store.save_attached(Some(&run), &paths).unwrap();
        store.save_attached(None, &paths[..1]).unwrap();
        assert_eq!(store.attached(Some(&run)), paths);
        assert_eq!(store.attached(None), paths[..1]);
        store.save_attached(Some(&run), &[]).unwrap();
        assert!(store.attached(Some(&run)).is_empty());
        let again = Store::new(folder.path(), Path::new("/a"));
        assert_eq!(again.draft(None), "half\na thought");
        assert_eq!(again.draft(Some(&run)), "to the run");
        assert_eq!(again.history(), ["one\ntwo", "three"]);
        assert_eq!(Store::new(folder.path(), Path::new("/b")).draft(None), "");
        store.save_draft(None, "").unwrap();
        store.save_draft(None, "").unwrap();
        assert_eq!(again.draft(None), "");
    }

    #[test]
    fn a_copy_lies_whole_in_a_file_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), Path::new("/a"));
        let text = "x".repeat(200_000);
        store.save_copy("an earlier one").unwrap();
        let file = store.save_copy(&text).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap() == text);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_torn_history_costs_only_its_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), Path::new("/a"));
        store
            .replace(&store.history_file(), "\"good\"\n{torn\n\"also\"\n")
            .unwrap();
        assert_eq!(store.history(), ["good", "also"]);
    }
}
