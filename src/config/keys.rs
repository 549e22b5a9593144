//! Every key a config file may have: its path, what it holds, and whether a project may set it.
//!
//! Pure. A key that is not here is an error with the nearest name.

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or a program with its arguments.
    WordOrCommand(&'static [&'static str]),
    Flag,
    /// A whole number, not below zero.
    Number,
    Texts,
    /// A text or a list of texts.
    TextOrTexts,
}

/// One key. `*` in a path stands for any name.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub path: &'static [&'static str],
    pub holds: Holds,
    /// `.ashore.toml` may set it: a cloned repository must not choose endpoints, agents or commands.
    pub project: bool,
    pub about: &'static str,
}

const fn user(path: &'static [&'static str], holds: Holds, about: &'static str) -> Key {
    Key {
        path,
        holds,
        project: false,
        about,
    }
}

const fn project(path: &'static [&'static str], holds: Holds, about: &'static str) -> Key {
    Key {
        path,
        holds,
        project: true,
        about,
    }
}

/// All of them.
pub const KEYS: &[Key] = &[
    user(
        &["endpoint"],
        Holds::Text,
        "the endpoint to use: a name below [endpoints] or a URL; none: the local one",
    ),
    user(&["endpoints", "*", "url"], Holds::Text, "where it is"),
    user(
        &["endpoints", "*", "project"],
        Holds::Number,
        "the project there",
    ),
    user(
        &["endpoints", "*", "token_file"],
        Holds::Text,
        "a 0600 file that holds the token",
    ),
    user(
        &["project"],
        Holds::Number,
        "the project, 1 unless said otherwise",
    ),
    user(
        &["agent", "name"],
        Holds::Text,
        "the preset to use when none is named",
    ),
    user(
        &["agent", "env"],
        Holds::Texts,
        "variables that go to the agent",
    ),
    user(
        &["permissions"],
        Holds::Word(&["auto", "ask", "deny"]),
        "who answers permission requests",
    ),
    user(
        &["idle_minutes"],
        Holds::Number,
        "the local endpoint ends an idle run after this",
    ),
    user(
        &["merge_tool"],
        Holds::Text,
        "a shell's words: merges $BASE, $LOCAL and $REMOTE into $MERGED",
    ),
    user(&["ca_file"], Holds::Text, "more root certificates, PEM"),
    user(&["keys", "*", "*"], Holds::TextOrTexts, "keys of an action"),
    project(
        &["theme"],
        Holds::Text,
        "a theme's name, or auto: dark or light as the terminal is",
    ),
    project(
        &["ascii"],
        Holds::Flag,
        "no glyphs beyond ASCII; unset: where the terminal cannot show them",
    ),
    project(
        &["motion"],
        Holds::Flag,
        "false: times go in steps of ten seconds, and text comes in a few times a second",
    ),
    project(&["mouse"], Holds::Flag, "capture the mouse"),
    project(
        &["title"],
        Holds::Flag,
        "the window's title says how the run is",
    ),
    project(
        &["links"],
        Holds::Flag,
        "web addresses can be opened with the mouse (OSC 8); unset: where the terminal bears it",
    ),
    user(
        &["notify"],
        Holds::WordOrCommand(&["auto", "bell", "osc9", "osc777", "osc99", "off"]),
        "how you are called while you look elsewhere; or a program: [\"notify-send\", \"Ashore\", \"{}\"]",
    ),
    user(
        &["clipboard"],
        Holds::WordOrCommand(&["auto", "osc52", "tmux", "file", "off"]),
        "which way copied text goes; or a program that reads it: [\"wl-copy\"]",
    ),
    user(
        &["composer", "vim"],
        Holds::Flag,
        "vim's keys in the draft; Esc is normal mode",
    ),
    project(
        &["layout", "column"],
        Holds::Flag,
        "show the right column when there is room",
    ),
    project(
        &["mirror", "ignore"],
        Holds::Texts,
        "more paths that are never mirrored, as in .gitignore",
    ),
    project(
        &["mirror", "include"],
        Holds::Texts,
        "ignored paths that are needed in the sandbox",
    ),
    user(
        &["mirror", "max_file_mib"],
        Holds::Number,
        "larger files are listed, not fetched",
    ),
    user(
        &["mirror", "seed_limit_mib"],
        Holds::Number,
        "a larger directory asks before it is sent",
    ),
];

/// The key at this path, if there is one.
pub fn find(path: &[&str]) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.path.len() == path.len() && fits(key, path))
}

/// True when keys stand below this path.
pub fn is_table(path: &[&str]) -> bool {
    KEYS.iter()
        .any(|key| key.path.len() > path.len() && fits(key, path))
}

fn fits(key: &Key, path: &[&str]) -> bool {
    key.path
        .iter()
        .zip(path)
        .all(|(part, name)| *part == "*" || part == name)
}

/// The name that was probably meant.
pub fn nearest(path: &[&str]) -> Option<String> {
    nearest_of(&path.join("."), KEYS.iter().map(|key| key.path.join(".")))
}

/// The one of these names that was probably meant.
pub fn nearest_of(wrong: &str, names: impl Iterator<Item = String>) -> Option<String> {
    names
        .map(|name| (distance(wrong, &name), name))
        .filter(|(steps, name)| *steps <= 2.max(name.len() / 3))
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance.
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let step = (corner + usize::from(x != *y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = step;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_nonsense_is_not() {
        assert_eq!(
            nearest(&["mirror", "ignroe"]).as_deref(),
            Some("mirror.ignore")
        );
        assert_eq!(nearest(&["them"]).as_deref(), Some("theme"));
        assert_eq!(nearest(&["quantum_flux"]), None);
    }

    #[test]
    fn a_star_stands_for_any_one_name() {
        assert!(find(&["endpoints", "work", "url"]).is_some());
        assert!(find(&["endpoints", "work"]).is_none());
        assert!(is_table(&["endpoints", "work"]));
    }
}
