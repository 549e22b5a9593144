//! The environment, read once and passed on as a value.
//!
//! Nobody else asks `std::env`.

use std::collections::BTreeMap;

/// The variables that are valid UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// This process's.
    pub fn read() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// An empty value counts as unset.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Those of these names that are set.
    pub fn pick<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
        names
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.get(name)?.to_owned())))
            .collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

/// What a background process of ours is given of its starter's environment: no keys of other programs. What an agent
/// needs comes with its run (design decision 6).
pub fn is_passed_on(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PATH",
        "LANG",
        "TZ",
        "TMPDIR",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "ASHORE_LOG",
    ];
    const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
    NAMES.contains(&name)
        || name.starts_with("LC_")
        || name.starts_with("XDG_")
        || PROXIES.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_process_does_not_inherit_keys_of_other_programs() {
        for name in [
            "HOME",
            "LC_ALL",
            "XDG_STATE_HOME",
            "HTTPS_PROXY",
            "no_proxy",
            "SSL_CERT_FILE",
        ] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in [
            "ANTHROPIC_API_KEY",
            "ASHORE_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "LD_PRELOAD",
            "TMUX",
        ] {
            assert!(!is_passed_on(name), "{name}");
        }
    }
}
