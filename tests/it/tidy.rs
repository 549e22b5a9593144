//! The house rules, checked like any test: arrows, pure files, doors, reachable tests, no sleeps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what it may use. `src/lib.rs` draws the same as a picture.
const ROOMS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("config", &["protocol"]),
    ("cli", &["protocol"]),
    ("session", &["protocol"]),
    ("mirror", &["protocol"]),
    ("client", &["protocol", "mirror::blobs", "config"]),
    (
        "attach",
        &["protocol", "session", "mirror", "client", "config"],
    ),
    (
        "tui",
        &[
            "protocol", "session", "mirror", "attach", "client", "config",
        ],
    ),
    (
        "commands",
        &[
            "protocol", "session", "attach", "client", "mirror", "config", "cli",
        ],
    ),
    ("agent", &["protocol", "mirror", "client", "config"]),
    ("backend", &["protocol", "config"]),
    // Everybody together, for tests; nobody's line names it.
    (
        "sim",
        &[
            "protocol", "session", "mirror", "attach", "client", "agent", "backend",
        ],
    ),
];

/// No room: the switch of the mistakes that the simulation must find, asked wherever one could be made.
const SWITCH: &[&str] = &["plant", "planted"];

/// Files in which decisions are made: no clock, no disk, no network, no async.
const PURE: &[&str] = &[
    "protocol/",
    "session/",
    "mirror/plan.rs",
    "mirror/guard.rs",
    "client/retry.rs",
    "attach/update.rs",
    "attach/update/",
    "tui/attachment.rs",
    "tui/away.rs",
    "tui/find.rs",
    "tui/inline/page.rs",
    "tui/linear/cell.rs",
    "tui/linear/list.rs",
    "tui/linear/name.rs",
    "tui/linear/standing.rs",
    "tui/linear/take.rs",
    "tui/linear/tell.rs",
    "tui/palette.rs",
    "tui/piece.rs",
    "tui/place.rs",
    "tui/sample.rs",
    "tui/source.rs",
    "tui/update.rs",
    "tui/vim/",
    "tui/on/",
    "tui/citizen.rs",
    "tui/colours.rs",
    "tui/tty/clip.rs",
    "tui/tty/keys.rs",
    "tui/tty/notify.rs",
    "tui/tty/report.rs",
    "tui/tty/sieve.rs",
    "tui/tty/title.rs",
    "tui/view/",
    "agent/opening.rs",
    "agent/recall.rs",
    "agent/tap.rs",
    "agent/translate.rs",
    "agent/turns/",
    "backend/follow.rs",
    "sim/dice.rs",
    "sim/truth.rs",
    "backend/lifecycle/workflow.rs",
];

const IMPURE: &[&str] = &[
    "async ",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "std::fs",
    "fs::",
    "tokio::",
    "reqwest::",
    "std::env",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).expect("a folder of ours can be read") {
        let path = entry.expect("so can its entries").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file without its tests and comments: what the rules are about.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end]
        .lines()
        .map(|line| line.find("//").map_or(line, |at| &line[..at]))
        .collect::<Vec<_>>()
        .join("\n")
}

fn below_src(path: &Path) -> String {
    path.strip_prefix(root().join("src"))
        .expect("lies below src")
        .to_string_lossy()
        .into_owned()
}

/// Every `crate::a::b` in a text, as `a::b`.
fn used(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest: String = code[at + 7..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
            .collect();
        let mut parts = rest.split("::").filter(|part| !part.is_empty());
        if let Some(first) = parts.next() {
            found.insert(
                parts
                    .next()
                    .map_or_else(|| first.to_owned(), |second| format!("{first}::{second}")),
            );
        }
    }
    found
}

#[test]
fn arrows_run_down() {
    let rooms: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let name = below_src(&path);
        let room = name.split(['/', '.']).next().unwrap_or_default().to_owned();
        let Some(allowed) = rooms.get(room.as_str()) else {
            continue;
        };
        for used in used(&code(&fs::read_to_string(&path).expect("readable"))) {
            let other = used.split("::").next().unwrap_or_default();
            let fine = other == room
                || SWITCH.contains(&other)
                || allowed.contains(&other)
                || allowed.contains(&used.as_str());
            if !fine {
                wrong.push(format!("{name} uses crate::{used}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that run the wrong way:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_room_stands_in_the_table() {
    let rooms: BTreeSet<_> = ROOMS.iter().map(|(room, _)| *room).collect();
    let found: BTreeSet<String> = rust_files(&root().join("src"))
        .iter()
        .filter_map(|path| below_src(path).split(['/', '.']).next().map(str::to_owned))
        .collect();
    let missing: Vec<_> = found
        .iter()
        .filter(|room| {
            !rooms.contains(room.as_str()) && !matches!(room.as_str(), "lib" | "main" | "plant")
        })
        .collect();
    assert!(
        missing.is_empty(),
        "rooms without a line in the table: {missing:?}"
    );
}

#[test]
fn pure_files_do_no_io() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let name = below_src(&path);
        if !PURE.iter().any(|pure| name.starts_with(pure)) {
            continue;
        }
        for (number, line) in code(&fs::read_to_string(&path).expect("readable"))
            .lines()
            .enumerate()
        {
            if let Some(word) = IMPURE.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{name}:{} has `{word}`", number + 1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "pure files that are not:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_file_says_what_it_is() {
    let mut files = rust_files(&root().join("src"));
    files.extend(rust_files(&root().join("tests")));
    files.extend(rust_files(&root().join("benches")));
    let silent: Vec<_> = files
        .iter()
        .filter(|path| {
            !fs::read_to_string(path)
                .expect("readable")
                .starts_with("//!")
        })
        .collect();
    assert!(silent.is_empty(), "files without `//!`: {silent:?}");
}

#[test]
fn every_test_file_is_reached_from_main() {
    for path in rust_files(&root().join("tests")) {
        let name = path
            .file_stem()
            .expect("has one")
            .to_string_lossy()
            .into_owned();
        let folder = path.parent().expect("has one");
        let (door, module) = match name.as_str() {
            "main" => continue,
            "mod" => (
                folder.parent().expect("has one").join("main.rs"),
                folder
                    .file_name()
                    .expect("has one")
                    .to_string_lossy()
                    .into_owned(),
            ),
            _ if folder.join("main.rs").exists() => (folder.join("main.rs"), name),
            _ => (folder.join("mod.rs"), name),
        };
        let text = fs::read_to_string(&door).unwrap_or_default();
        assert!(
            text.contains(&format!("mod {module};")),
            "{} is reached from nowhere",
            path.display()
        );
    }
}

#[test]
fn tests_wait_for_events_and_are_never_switched_off() {
    let mut wrong = Vec::new();
    let mut files = rust_files(&root().join("src"));
    files.extend(rust_files(&root().join("tests")));
    for path in files {
        let text = fs::read_to_string(&path).expect("readable");
        let is_this = path.ends_with("tests/it/tidy.rs");
        let name = path.file_stem().expect("has one").to_string_lossy();
        let is_test = path.starts_with(root().join("tests"))
            || ["_test", "_tests"].iter().any(|end| name.ends_with(end))
            || name == "tests";
        let tests = if is_test {
            0
        } else {
            text.find("#[cfg(test)]\nmod ").unwrap_or(text.len())
        };
        for (number, line) in text[tests..].lines().enumerate() {
            let sleeps = line.contains("thread::sleep")
                || line.contains("time::sleep(") && !text.contains("start_paused");
            if !is_this && (sleeps || line.contains("#[ignore")) {
                wrong.push(format!(
                    "{}: line {} of its tests: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
