//! The path of a file below the root of a mirrored directory, parsed once.
//!
//! Pure. After parsing there is no root, no `..`, no NUL, no drive letter and no `.git` in it, in any case,
//! so nothing below needs to ask again. It says nothing about symlinks: only the disk knows those.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of a path.
const LONGEST: usize = 4096;

/// A relative path with `/` between its parts and at least one part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

/// Why a path from outside is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("empty path")]
    Empty,
    #[error("absolute path")]
    Absolute,
    #[error("path escapes the root")]
    Escapes,
    #[error("inside .git")]
    Git,
    #[error("inside .ashore, which is ours")]
    Ours,
    #[error("contains a NUL byte")]
    Nul,
    #[error("drive, UNC or backslash path")]
    Windows,
    #[error("name longer than 255 bytes or path longer than 4096")]
    TooLong,
    #[error("not valid UTF-8")]
    NotUtf8,
}

impl RelPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts, from the top down.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder it stands in, if that is not the root.
    pub fn parent(&self) -> Option<RelPath> {
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The same folder, another name; fails when the name is not one.
    pub fn with_name(&self, name: &str) -> Result<RelPath, BadPath> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) => format!("{parent}/{name}").parse(),
            None => name.parse(),
        }
    }

    /// What stands under this name in the folder `self`; in the root without one.
    pub fn child(folder: Option<&RelPath>, name: &str) -> Result<RelPath, BadPath> {
        let Some(folder) = folder else {
            return match name.contains('/') {
                true => Err(BadPath::Escapes),
                false => name.parse(),
            };
        };
        match name {
            "" | "." => return Err(BadPath::Empty),
            _ if name.contains('/') => return Err(BadPath::Escapes),
            _ if name.contains('\0') => return Err(BadPath::Nul),
            _ if name.contains('\\') => return Err(BadPath::Windows),
            _ if folder.0.len() + 1 + name.len() > LONGEST => return Err(BadPath::TooLong),
            _ => check_part(name)?,
        }
        Ok(Self(format!("{folder}/{name}")))
    }

    /// For showing and for reading only: a write goes through `mirror::disk`.
    pub fn below(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// The path of something a walk of the root has found.
    pub fn from_walk(relative: &Path) -> Result<RelPath, BadPath> {
        relative.to_str().ok_or(BadPath::NotUtf8)?.parse()
    }
}

fn check_part(part: &str) -> Result<(), BadPath> {
    match part {
        ".." => return Err(BadPath::Escapes),
        _ if part.len() > 255 => return Err(BadPath::TooLong),
        _ => (),
    }
    // Every name below begins so, and nothing is dropped at the beginning of plain letters.
    let may_be = !part.is_ascii() || part.starts_with(['.', 'g', 'G']);
    if !may_be {
        return Ok(());
    }
    // Names that a file system which folds case, or drops dots, spaces and invisible
    // characters at the end, would take for the same folder.
    let folded: String = part
        .chars()
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'))
        .flat_map(char::to_lowercase)
        .collect();
    // Behind a colon stands the name of a stream of the same folder; dots and spaces are dropped in front of it, too.
    let folded = folded.split(':').next().unwrap_or(&folded);
    match folded.trim_end_matches(['.', ' ']) {
        ".git" | "git~1" => Err(BadPath::Git),
        ".ashore" => Err(BadPath::Ours),
        _ => Ok(()),
    }
}

impl FromStr for RelPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        if text.contains('\0') {
            return Err(BadPath::Nul);
        }
        if text.starts_with('/') {
            return Err(BadPath::Absolute);
        }
        if text.contains('\\') {
            return Err(BadPath::Windows);
        }
        if text.len() > LONGEST {
            return Err(BadPath::TooLong);
        }
        let mut parts = Vec::new();
        for part in text.split('/') {
            if part.is_empty() || part == "." {
                continue;
            }
            check_part(part)?;
            parts.push(part);
        }
        // What is kept must be what would be taken: a drive hides behind `./`, too.
        match parts.first().map(|first| first.as_bytes()) {
            None => Err(BadPath::Empty),
            Some([drive, b':', ..]) if drive.is_ascii_alphabetic() => Err(BadPath::Windows),
            Some(_) => Ok(Self(parts.join("/"))),
        }
    }
}

impl TryFrom<String> for RelPath {
    type Error = BadPath;

    fn try_from(text: String) -> Result<Self, BadPath> {
        text.parse()
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RelPath, BadPath> {
        text.parse()
    }

    #[test]
    fn a_path_that_leaves_the_root_or_touches_git_is_refused_by_type() {
        let table = [
            ("", BadPath::Empty),
            (".", BadPath::Empty),
            ("..", BadPath::Escapes),
            ("a/../../x", BadPath::Escapes),
            ("a/../b", BadPath::Escapes),
            ("/etc/x", BadPath::Absolute),
            ("C:\\x", BadPath::Windows),
            ("c:x", BadPath::Windows),
            ("././c://x", BadPath::Windows),
            ("\\\\host\\share", BadPath::Windows),
            ("a\0b", BadPath::Nul),
            (".git/hooks/x", BadPath::Git),
            (".GIT/config", BadPath::Git),
            ("sub/.Git", BadPath::Git),
            (".git./config", BadPath::Git),
            (".g\u{200c}it/config", BadPath::Git),
            (".git::$INDEX_ALLOCATION/x", BadPath::Git),
            (".git ::$INDEX_ALLOCATION/x", BadPath::Git),
            ("git~1. :x/y", BadPath::Git),
            ("git~1/x", BadPath::Git),
            (".ashore/stage/x", BadPath::Ours),
        ];
        for (text, why) in table {
            assert_eq!(parse(text), Err(why), "{text:?}");
        }
        assert_eq!(parse(&"x".repeat(256)), Err(BadPath::TooLong));
    }

    #[test]
    fn an_ordinary_path_is_kept_and_normalised() {
        for (text, kept) in [
            ("a", "a"),
            ("./a//b/", "a/b"),
            (".gitignore", ".gitignore"),
            ("..a/b..", "..a/b.."),
            ("naïve 漢.txt", "naïve 漢.txt"),
        ] {
            assert_eq!(parse(text).map(String::from), Ok(kept.to_owned()));
        }
        let path = parse("a/b/c.rs").expect("fits");
        assert_eq!(path.name(), "c.rs");
        assert_eq!(path.parent().map(String::from), Some("a/b".to_owned()));
        assert_eq!(
            path.with_name("d").map(String::from),
            Ok("a/b/d".to_owned())
        );
    }
}
