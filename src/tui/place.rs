//! Places in files that an agent tells: where they are in the mirrored directory, and how an editor is brought there.
//!
//! Pure.

use std::path::{Path, PathBuf};

use crate::protocol::path::RelPath;
use crate::session::tool::ToolCall;

/// A file of the mirrored directory, and the line in it that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub directory: PathBuf,
    pub path: RelPath,
    /// Counted from 1.
    pub line: Option<u64>,
}

/// What is known while the agent is followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followed {
    /// What it touches, from the mirrored directory where it lies in that; nothing yet.
    pub place: Option<(String, Option<u64>)>,
    /// Where that stands in the list of files, the newest first.
    pub row: Option<usize>,
}

/// Editors that take the line before the file: `+41 FILE`.
const BEFORE: [&str; 16] = [
    "vi",
    "vim",
    "nvim",
    "gvim",
    "view",
    "vis",
    "nano",
    "pico",
    "emacs",
    "emacsclient",
    "micro",
    "kak",
    "joe",
    "ne",
    "mg",
    "jed",
];
/// Those that take it behind: `FILE:41`.
const BEHIND: [&str; 6] = ["hx", "helix", "zed", "zeditor", "subl", "lite"];
/// Those that want to be told so: `-g FILE:41`.
const TOLD: [&str; 6] = [
    "code",
    "code-insiders",
    "codium",
    "vscodium",
    "cursor",
    "windsurf",
];

/// What stands behind the editor's words. One that is not known is given the file alone.
pub(crate) fn arguments(editor: &str, file: &str, line: Option<u64>) -> Vec<String> {
    let program = editor.split_whitespace().next().unwrap_or_default();
    let program = Path::new(program.trim_matches(['"', '\'']));
    let name = program.file_name().and_then(|name| name.to_str());
    let (name, plain) = (name.unwrap_or_default(), vec![file.to_owned()]);
    match line {
        None => plain,
        Some(line) if BEFORE.contains(&name) => vec![format!("+{line}"), file.to_owned()],
        Some(line) if BEHIND.contains(&name) => vec![format!("{file}:{line}")],
        Some(line) if TOLD.contains(&name) => vec!["-g".to_owned(), format!("{file}:{line}")],
        Some(_) => plain,
    }
}

/// Behind the root of a sandbox, where the path is one of those that sandboxes have: the reference's
/// `workspace/repos/OWNER/NAME/` (contract, section 7), and our `RUN/work/`.
pub(crate) fn inside(path: &str) -> &str {
    let parts = path
        .match_indices('/')
        .map(|(at, _)| at)
        .collect::<Vec<_>>();
    let part = |index: usize| -> &str {
        let from = parts[index] + 1;
        let to = parts.get(index + 1).copied().unwrap_or(path.len());
        &path[from..to]
    };
    for index in 0..parts.len() {
        let root = match part(index) {
            "repos" if index > 0 && part(index - 1) == "workspace" => index + 3,
            "work" if index > 0 && is_run(part(index - 1)) => index + 1,
            _ => continue,
        };
        if let Some(at) = parts.get(root) {
            return &path[at + 1..];
        }
    }
    path
}

fn is_run(name: &str) -> bool {
    name.len() == 36
        && name
            .chars()
            .all(|char| char == '-' || char.is_ascii_hexdigit())
}

/// Where a told path lies in this directory; or why it does not.
pub(crate) fn beneath(path: &str, directory: Option<&Path>) -> Result<(PathBuf, RelPath), String> {
    let Some(directory) = directory else {
        return Err(
            "there is no mirrored directory here: the file is in the sandbox only".to_owned(),
        );
    };
    let below = Path::new(path).strip_prefix(directory).ok();
    let told = below.and_then(Path::to_str).unwrap_or_else(|| inside(path));
    match told.trim_start_matches("./").parse() {
        Ok(path) => Ok((directory.to_owned(), path)),
        Err(why) => Err(format!("{path} is not in the mirrored directory: {why}")),
    }
}

/// The places of a call, as they are told: those it names, else the files it changes.
pub(crate) fn of(tool: &ToolCall) -> Vec<(String, Option<u64>)> {
    let line = |line: Option<u64>| line.filter(|line| *line > 0);
    let named = tool.locations.iter();
    let mut places: Vec<_> = named
        .map(|one| (one.path.clone(), line(one.line)))
        .collect();
    if places.is_empty() {
        places.extend(tool.content.iter().filter_map(|content| match content {
            crate::protocol::acp::ToolContent::Diff { path, .. } => Some((path.clone(), None)),
            _ => None,
        }));
    }
    let mut seen = Vec::new();
    places.retain(|place| {
        let new = !seen.contains(place);
        seen.push(place.clone());
        new
    });
    places
}

/// `src/clock.rs:41`.
pub(crate) fn told((path, line): &(String, Option<u64>)) -> String {
    let path = inside(path);
    line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_editor_is_told_the_line_in_its_own_way() {
        let table: [(&str, Option<u64>, &[&str]); 9] = [
            ("vi", Some(41), &["+41", "/d/a b.rs"]),
            ("/usr/bin/nvim -p", Some(41), &["+41", "/d/a b.rs"]),
            ("emacsclient -t", Some(1), &["+1", "/d/a b.rs"]),
            ("hx", Some(41), &["/d/a b.rs:41"]),
            ("code --wait", Some(41), &["-g", "/d/a b.rs:41"]),
            ("'/opt/x/code'", Some(41), &["-g", "/d/a b.rs:41"]),
            ("my-editor", Some(41), &["/d/a b.rs"]),
            ("vim", None, &["/d/a b.rs"]),
            ("", Some(41), &["/d/a b.rs"]),
        ];
        for (editor, line, wanted) in table {
            assert_eq!(arguments(editor, "/d/a b.rs", line), wanted, "{editor}");
        }
    }

    #[test]
    fn only_what_lies_in_the_mirrored_directory_is_a_place_here() {
        let run = "6f791a0c-a27d-480b-ab86-5fce8f680123";
        let sandbox = format!("/sandboxes/{run}/work/src/a.rs");
        let table = [
            ("src/a.rs", Ok("src/a.rs")),
            ("./src/a.rs", Ok("src/a.rs")),
            ("/home/me/tides/src/a.rs", Ok("src/a.rs")),
            ("/tmp/workspace/repos/acme/widgets/src/a.rs", Ok("src/a.rs")),
            (sandbox.as_str(), Ok("src/a.rs")),
            (
                "/etc/passwd",
                Err("/etc/passwd is not in the mirrored directory: absolute path"),
            ),
            (
                "../a.rs",
                Err("../a.rs is not in the mirrored directory: path escapes the root"),
            ),
            (
                "/tmp/workspace/repos/acme/widgets/../../x",
                Err(
                    "/tmp/workspace/repos/acme/widgets/../../x is not in the mirrored directory: path escapes the root",
                ),
            ),
            ("", Err(" is not in the mirrored directory: empty path")),
        ];
        let home = Path::new("/home/me/tides");
        for (told, wanted) in table {
            let found = beneath(told, Some(home)).map(|(_, path)| path.as_str().to_owned());
            assert_eq!(
                found,
                wanted.map(str::to_owned).map_err(str::to_owned),
                "{told}"
            );
        }
        assert!(
            beneath("src/a.rs", None)
                .unwrap_err()
                .contains("in the sandbox only")
        );
    }
}
