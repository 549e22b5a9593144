//! The real program where one directory is not enough: what a mirror would do, and runs in worktrees of their own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::support::home::{Home, until};

/// Starts a run that goes on by itself, and waits until it has done what it was told.
fn done(home: &Home, prompt: &str, more: &[&str]) -> String {
    let arguments = [
        "run", prompt, "--agent", "demo", "--detach", "--format", "json",
    ];
    let said = home.run(&[&arguments[..], more].concat()).exits(0);
    let run = said.lines()[0]["run"].as_str().expect("an id").to_owned();
    idle(home, &run);
    run
}

fn idle(home: &Home, run: &str) {
    home.run(&["wait", run, "--for", "idle", "--timeout", "60s"])
        .exits(0);
}

fn send(home: &Home, run: &str, prompt: &str) {
    home.run(&["send", run, prompt]).exits(0);
    idle(home, run);
}

/// Every file below a directory but git's own.
fn files(root: PathBuf) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&root).expect("below").display();
            let name = name.to_string();
            if name == ".git" {
            } else if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(name, std::fs::read(path).expect("readable"));
            }
        }
    }
    found
}

/// (path, change, direction, result) of each line under this key.
fn lines(said: &[Value], key: &str) -> Vec<[String; 4]> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines = said.iter().filter_map(|line| line.get(key));
    let mut lines: Vec<_> = lines
        .map(|line| ["path", "change", "direction", "result"].map(|field| text(&line[field])))
        .collect();
    lines.sort();
    lines
}

fn down(said: &[Value], key: &str) -> Vec<[String; 4]> {
    let mut lines = lines(said, key);
    lines.retain(|line| line[2] == "down");
    lines
}

fn expected(lines: &[[&str; 4]]) -> Vec<[String; 4]> {
    lines.iter().map(|line| line.map(str::to_owned)).collect()
}

fn every_format_says_it(home: &Home, run: &str) {
    let json = home.run(&["mirror", "plan", run, "--json"]).exits(8);
    let json = &json.lines()[0];
    assert_eq!(json["changes"].as_array().map(Vec::len), Some(6));
    assert_eq!(json["directory"], home.work().to_str().expect("UTF-8"));
    let text = home.run(&["mirror", "plan", run]).exits(8);
    assert!(
        text.stdout().contains("↓ deleted   gone") && text.stdout().contains("! modified  both"),
        "{}",
        text.stdout()
    );
    assert!(
        text.stderr()
            .contains("3 to come down, 2 differ only here, 1 conflicts"),
        "{}",
        text.stderr()
    );
}

#[test]
fn a_plan_says_what_an_attach_then_does_and_changes_nothing_itself() {
    let home = Home::new();
    for path in ["both", "gone", "kept", "theirs", "local-only"] {
        home.write(path, path);
    }
    let run = done(&home, "/write new from there", &[]);
    for prompt in [
        "/write both from there",
        "/write theirs from there",
        "/delete gone",
    ] {
        send(&home, &run, prompt);
    }
    home.write("both", "from here");
    home.write("local-only", "edited");
    home.write("mine", "made here");
    let before = files(home.work());
    let said = home
        .run(&["mirror", "plan", &run, "--format", "ndjson"])
        .exits(8);
    let said = said.lines();
    assert_eq!(
        lines(&said, "plan"),
        expected(&[
            ["both", "modified", "down", "conflict"],
            ["gone", "deleted", "down", "settled"],
            ["local-only", "modified", "up", "settled"],
            ["mine", "created", "up", "settled"],
            ["new", "created", "down", "settled"],
            ["theirs", "modified", "down", "settled"],
        ])
    );
    let last = said.last().expect("a summary");
    assert_eq!(last["counts"]["down"], 3);
    assert_eq!(last["counts"]["up"], 2);
    assert_eq!(last["counts"]["conflicts"], 1);
    assert_eq!(last["first_look"], true);
    assert_eq!(last["held"], Value::Null);
    every_format_says_it(&home, &run);
    assert_eq!(files(home.work()), before, "a plan only looks");

    home.run(&["stop", &run]).exits(0);
    let attached = home
        .run(&["attach", &run, "--format", "ndjson"])
        .exits(0)
        .lines();
    assert_eq!(down(&attached, "mirror"), down(&said, "plan"));
    // What is left are the edits, and the conflict that is open.
    let after = home
        .run(&["mirror", "plan", &run, "--format", "ndjson"])
        .exits(8);
    let left = lines(&after.lines(), "plan");
    assert!(left.iter().all(|line| line[2] == "up"), "{left:?}");
    assert!(
        left.iter()
            .any(|line| line[0] == "both" && line[3] == "conflict"),
        "{left:?}"
    );
}

#[test]
fn a_plan_of_a_run_that_is_mirrored_nowhere_is_one_of_the_directory_one_stands_in() {
    let home = Home::new();
    home.write("a", "a");
    let run = done(&home, "/write b b", &["--no-mirror"]);
    let other = home.home().join("other");
    std::fs::create_dir(&other).expect("can be made");
    let there = other.to_str().expect("UTF-8");
    let plan = home
        .run(&["-C", there, "mirror", "plan", &run, "--format", "ndjson"])
        .exits(0);
    assert_eq!(
        lines(&plan.lines(), "plan"),
        expected(&[
            ["a", "created", "down", "settled"],
            ["b", "created", "down", "settled"],
        ])
    );
    let text = home.run(&["-C", there, "mirror", "plan", &run]).exits(0);
    let how = format!("ashore attach {} --mirror {there}", &run[..8]);
    assert!(text.stderr().contains(&how), "{}", text.stderr());
    // The first look is said before it is acted upon, and an attach without a directory named touches none.
    home.run(&["stop", &run]).exits(0);
    home.run(&["-C", there, "attach", &run, "--format", "ndjson"])
        .exits(0);
    assert_eq!(files(other.clone()).len(), 0);
    let attached = home
        .run(&["attach", &run, "--format", "ndjson", "--mirror", there])
        .exits(0);
    let look = format!("First look into {there}: 2 to come down");
    assert!(attached.stderr().contains(&look), "{}", attached.stderr());
    assert_eq!(files(other.clone()).len(), 2);
    let again = home
        .run(&["attach", &run, "--format", "ndjson", "--mirror", there])
        .exits(0);
    assert!(!again.stderr().contains("First look"), "{}", again.stderr());
    let calm = home.run(&["mirror", "plan", &run, "--json"]).exits(0);
    assert_eq!(calm.lines()[0]["changes"], serde_json::json!([]));
    assert_eq!(calm.lines()[0]["first_look"], false);
}

#[test]
fn what_is_the_same_here_and_there_is_in_no_plan() {
    let home = Home::new();
    home.write("same", "same");
    home.write("other", "theirs");
    let run = done(&home, "/write made made", &["--no-mirror"]);
    let clone = home.home().join("clone");
    std::fs::create_dir(&clone).expect("can be made");
    for (path, text) in [("same", "same"), ("other", "mine"), ("made", "made")] {
        home.write(&format!("../home/clone/{path}"), text);
    }
    let there = clone.to_str().expect("UTF-8");
    let plan = home
        .run(&["-C", there, "mirror", "plan", &run, "--format", "ndjson"])
        .exits(8);
    assert_eq!(
        lines(&plan.lines(), "plan"),
        expected(&[["other", "modified", "down", "conflict"]])
    );
}

#[test]
fn a_plan_names_the_mass_delete_that_would_halt() {
    let home = Home::new();
    for number in 0..60 {
        home.write(&format!("src/f{number}"), "x");
    }
    let run = done(&home, "/run rm -r src", &[]);
    let plan = home.run(&["mirror", "plan", &run, "--json"]).exits(8);
    let held = plan.lines()[0]["held"].to_string();
    assert!(
        held.contains("60 of 60") && held.contains("--accept-deletes"),
        "{held}"
    );
    assert_eq!(files(home.work()).len(), 60);
}

fn repository(home: &Home) {
    home.git(&["init", "-q", "-b", "main"]);
    for (path, text) in [
        ("kept", "committed"),
        ("gone", "committed"),
        ("changed", "committed"),
        (".gitignore", "*.log\n"),
    ] {
        home.write(path, text);
    }
    home.git(&["add", "."]);
    home.git(&["commit", "-q", "-m", "first"]);
    home.write("changed", "not committed");
    home.write("new/file", "not added");
    home.write("noise.log", "ignored");
    std::fs::remove_file(home.work().join("gone")).expect("was there");
}

/// The worktrees of the repository, its own first.
fn worktrees(home: &Home) -> Vec<PathBuf> {
    let listed = std::process::Command::new("git")
        .args(["worktree", "list", "--porcelain"])
        .current_dir(home.work())
        .output()
        .expect("git starts");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.strip_prefix("worktree "))
        .map(PathBuf::from)
        .collect()
}

/// A client that mirrors a run into this directory.
fn holder(home: &Home) -> std::process::Child {
    let run = done(home, "/write held x", &[]);
    let mut client = home
        .ashore(&["attach", &run, "--format", "ndjson"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut heard = BufReader::new(client.stdout.take().expect("a pipe"));
    let mut line = String::new();
    // What was changed here goes up at the same time.
    while !line.contains(r#""mirror":{"path":"held""#) {
        line.clear();
        assert!(
            heard.read_line(&mut line).expect("readable") > 0,
            "it goes on"
        );
    }
    client
}

#[test]
fn a_run_in_a_worktree_has_everything_that_stands_here_and_leaves_this_directory_alone() {
    let home = Home::new();
    repository(&home);
    // Somebody else holds this directory, which is what a worktree is for.
    let mut client = holder(&home);
    let before = files(home.work());
    assert!(before.contains_key("held"));
    let prompt = "/run cat changed new/file; ls; echo made > made-there";
    let said = home
        .run(&["run", "-p", prompt, "--worktree", "--agent", "demo"])
        .exits(0);
    let all = worktrees(&home);
    let [_, own] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert!(
        said.stderr().contains(own.to_str().expect("UTF-8")),
        "{}",
        said.stderr()
    );
    assert!(
        said.stderr().contains("git worktree remove"),
        "{}",
        said.stderr()
    );
    let mut there = files(own.clone());
    assert_eq!(there.remove("made-there").as_deref(), Some(&b"made\n"[..]));
    let mut wanted = before.clone();
    wanted.remove("noise.log");
    assert_eq!(there, wanted);
    assert_eq!(files(home.work()), before, "nothing of it came here");
    let status = std::process::Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(own)
        .output()
        .expect("git starts");
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    for part in [" D gone", " M changed", "?? new/", "?? made-there"] {
        assert!(status.contains(part), "{part}: {status}");
    }
    client.kill().expect("it runs");
    client.wait().expect("it was started here");
    // A run that cannot be created leaves no worktree behind.
    home.write(
        "../home/.config/ashore/config.toml",
        "[mirror]\nseed_limit_mib = 1\n",
    );
    home.write("large", &"x".repeat(3 << 20));
    home.run(&["run", "-p", "/say 1", "--worktree", "--agent", "demo"])
        .exits(2);
    until("the worktree is gone", || {
        (worktrees(&home).len() == 2).then_some(())
    });
}

#[test]
fn a_worktree_that_cannot_be_is_refused_before_anything_is_made() {
    let home = Home::new();
    let refused = |part: &str| {
        let said = home
            .run(&["run", "-p", "/say 1", "--worktree", "--agent", "demo"])
            .exits(2);
        assert!(said.stderr().contains(part), "{}", said.stderr());
    };
    refused("needs a git repository");
    home.git(&["init", "-q"]);
    refused("has none yet");
    let runs = home.run(&["ls", "--all", "--json"]).exits(0);
    assert_eq!(runs.lines()[0]["runs"], serde_json::json!([]));
    home.run(&["run", "x", "--worktree", "--no-mirror", "--detach"])
        .exits(2);
}
