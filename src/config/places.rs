//! Where this user's things are kept (`directories`, XDG on Linux): config, state and cache apart.
//!
//! Pure but for asking the environment once; makes no folders.

use std::path::{Path, PathBuf};

use crate::config::env::Env;
use crate::protocol::ids::RunId;

/// The three roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `config.toml` and `themes/`.
    pub config: PathBuf,
    /// Cursors, journals, mirror bases, pre-images, outboxes, the local endpoint, logs.
    pub state: PathBuf,
    pub cache: PathBuf,
}

/// A pattern that matches this path and nothing else.
fn literal(path: &str) -> String {
    let mut pattern = String::new();
    for letter in path.chars() {
        if matches!(
            letter,
            '*' | '?' | '[' | ']' | '\\' | ' ' | '{' | '}' | '!' | '#'
        ) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// No home folder, so nowhere to keep anything.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no home folder to keep things in: set HOME, or all three of XDG_CONFIG_HOME, XDG_STATE_HOME and XDG_CACHE_HOME, to absolute paths"
)]
pub struct NoHome;

impl Places {
    /// As the platform says: `HOME`, else the user database. Who has no home at all may name the three folders.
    pub fn find(env: &Env) -> Result<Self, NoHome> {
        let Some(dirs) = directories::ProjectDirs::from("", "", "ashore") else {
            return Self::named(env).ok_or(NoHome);
        };
        let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
        Ok(Self {
            config: dirs.config_dir().to_owned(),
            state: state.to_owned(),
            cache: dirs.cache_dir().to_owned(),
        })
    }

    fn named(env: &Env) -> Option<Self> {
        let folder = |name| {
            let path = env.get(name).map(Path::new)?;
            path.is_absolute().then(|| path.join("ashore"))
        };
        Some(Self {
            config: folder("XDG_CONFIG_HOME")?,
            state: folder("XDG_STATE_HOME")?,
            cache: folder("XDG_CACHE_HOME")?,
        })
    }

    /// Everything below one folder: for tests and `serve --store`.
    pub fn below(root: &Path) -> Self {
        Self {
            config: root.join("config"),
            state: root.join("state"),
            cache: root.join("cache"),
        }
    }

    /// Patterns, as of a gitignore file at this root, for what of ours lies below it: a mirror of it would mirror itself.
    pub fn within(&self, root: &Path) -> Vec<String> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let root = real(root);
        let ours = [&self.config, &self.state, &self.cache].map(|place| real(place));
        let below = ours
            .iter()
            .filter_map(|place| place.strip_prefix(&root).ok());
        let below = below
            .filter_map(Path::to_str)
            .filter(|path| !path.is_empty());
        below.map(|path| format!("/{}/", literal(path))).collect()
    }

    /// `--config FILE`, else `ASHORE_CONFIG`, else `config.toml` in its place.
    pub fn config_file(&self, flag: Option<&Path>, env: &Env) -> PathBuf {
        flag.map(Path::to_owned)
            .or_else(|| env.get("ASHORE_CONFIG").map(PathBuf::from))
            .unwrap_or_else(|| self.config.join("config.toml"))
    }

    /// Everything of the local endpoint: its state file, its lock, its store.
    pub fn local_endpoint(&self) -> PathBuf {
        self.state.join("endpoint")
    }

    /// What this client keeps of one run: journal cache, outbox, mirror base, pre-images.
    pub fn run(&self, run: &RunId) -> PathBuf {
        self.runs().join(run.as_str())
    }

    pub fn runs(&self) -> PathBuf {
        self.state.join("runs")
    }

    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_of_ours_lies_in_a_directory_is_put_out_of_its_mirror() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let places = Places {
            config: home.join(".config/ashore"),
            state: home.join("odd [1]/ashore"),
            cache: "/elsewhere/ashore".into(),
        };
        std::fs::create_dir_all(&places.config).unwrap();
        let within = places.within(home);
        assert_eq!(within, ["/.config/ashore/", r"/odd\ \[1\]/ashore/"]);
        assert_eq!(places.within(&home.join("work")), [""; 0]);
    }

    #[test]
    fn who_has_no_home_names_three_absolute_folders_or_none() {
        let env = |names: &[(&'static str, &'static str)]| Env::from_iter(names.iter().copied());
        let all = [
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CACHE_HOME", "/k"),
        ];
        let places = Places::named(&env(&all)).expect("three are enough");
        assert_eq!(places.state, Path::new("/s/ashore"));
        assert_eq!(Places::named(&env(&all[..2])), None);
        let relative = [all[0], all[1], ("XDG_CACHE_HOME", "k")];
        assert_eq!(Places::named(&env(&relative)), None);
    }
}
