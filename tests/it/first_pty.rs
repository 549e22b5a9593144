//! The real program before a run's files come into a directory that is new to them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::home::{Home, until};
use crate::support::terminal::Terminal;

const CTRL_D: &str = "\x04";

/// A run whose files lie nowhere on this machine, and a directory beside the one it was started in.
fn elsewhere(home: &Home) -> (String, PathBuf) {
    home.write("seeded.txt", "seeded");
    let arguments = [
        "run",
        "/write made.txt made",
        "--agent",
        "demo",
        "--detach",
        "--no-mirror",
        "--format",
        "json",
    ];
    let said = home.run(&arguments).exits(0);
    let run = said.lines()[0]["run"].as_str().expect("an id").to_owned();
    home.run(&["wait", &run, "--for", "idle", "--timeout", "60s"])
        .exits(0);
    let there = home.home().join("there");
    std::fs::create_dir(&there).expect("can be made");
    (run, there)
}

fn attach(home: &Home, run: &str, there: &Path) -> Terminal {
    let there = there.to_str().expect("UTF-8");
    Terminal::ashore(home, &["attach", run, "--mirror", there], 120, 40)
}

fn names(of: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(of).expect("readable").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn leaves(mut terminal: Terminal) {
    terminal.write(CTRL_D);
    assert_eq!(terminal.ends().exit_code(), 0);
}

#[test]
fn nothing_is_written_before_somebody_has_looked_and_said_so() {
    let home = Home::new();
    let (run, there) = elsewhere(&home);
    let first = attach(&home, &run, &there);
    first.shows("Nothing has been written.");
    first.shows("2 would come down");
    first.shows("Enter mirror here");
    assert_eq!(names(&there), [""; 0]);
    first.write("\r");
    until("the files are here", || {
        (names(&there) == ["made.txt", "seeded.txt"]).then_some(())
    });
    first.shows("○ idle");
    leaves(first);
    // It has been mirrored here: nobody is asked again.
    let again = attach(&home, &run, &there);
    again.shows("○ idle");
    assert!(!again.text().contains("first look"), "{}", again.text());
    leaves(again);
}

#[test]
fn the_transcript_alone_writes_nothing_and_is_remembered_until_it_is_decided_anew() {
    let home = Home::new();
    let (run, there) = elsewhere(&home);
    let first = attach(&home, &run, &there);
    first.shows("Enter mirror here");
    first.write("n");
    first.shows("/write made.txt made");
    first.shows("as you decided");
    first.shows("○ idle");
    leaves(first);
    let again = attach(&home, &run, &there);
    again.shows("as you decided");
    again.shows("○ idle");
    assert_eq!(names(&there), [""; 0]);
    // As the line says.
    again.write("/direction\r");
    again.shows("Enter mirror here");
    again.write("\r");
    until("the files are here", || {
        (names(&there) == ["made.txt", "seeded.txt"]).then_some(())
    });
    again.shows("○ idle");
    leaves(again);
}

#[test]
fn a_patch_instead_says_which_command_gives_it() {
    let home = Home::new();
    let (run, there) = elsewhere(&home);
    let first = attach(&home, &run, &there);
    first.shows("Enter mirror here");
    first.write("p");
    first.shows(&format!("ashore pull {} --patch", &run[..8]));
    first.shows("○ idle");
    leaves(first);
    assert_eq!(names(&there), [""; 0]);
    let patch = home.run(&["pull", &run[..8], "--patch"]).exits(0);
    assert!(patch.stdout().contains("+made"), "{}", patch.stdout());
}

#[test]
fn a_worktree_of_its_own_has_the_whole_run_and_leaves_the_directory_alone() {
    let home = Home::new();
    let (run, _) = elsewhere(&home);
    let there = home.home().join("clone");
    std::fs::create_dir(&there).expect("can be made");
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.arg("-C").arg(&there).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null");
        let done = git.output().expect("git starts");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    git(&["init", "-q", "-b", "main"]);
    home.write("../home/clone/seeded.txt", "mine");
    git(&["add", "."]);
    let who = ["-c", "user.name=n", "-c", "user.email=n@example.com"];
    git(&[&who[..], &["commit", "-q", "-m", "first"]].concat());
    let first = attach(&home, &run, &there);
    first.shows("w into a new git worktree");
    first.write("w");
    first.shows("○ idle");
    let listed = || git(&["worktree", "list", "--porcelain"]);
    let own = || {
        let listed = listed();
        let paths = listed
            .lines()
            .filter_map(|one| one.strip_prefix("worktree "));
        paths.map(PathBuf::from).nth(1)
    };
    let own = until("the worktree is there", own);
    until("the run's files are in it", || {
        (names(&own) == [".git", "made.txt", "seeded.txt"]).then_some(())
    });
    let text = |path: PathBuf| std::fs::read_to_string(path).expect("readable");
    // Theirs, without a conflict: nothing of ours stood in the way.
    assert_eq!(text(own.join("seeded.txt")), "seeded");
    assert_eq!(text(there.join("seeded.txt")), "mine");
    assert_eq!(names(&there), [".git", "seeded.txt"]);
    leaves(first);
    // The next time it is the same one, and nobody is asked.
    let again = attach(&home, &run, &there);
    again.shows("○ idle");
    leaves(again);
    assert_eq!(listed().matches("worktree ").count(), 2);
}

#[test]
fn whole_lines_ask_too_and_take_a_letter() {
    let home = Home::new();
    let (run, there) = elsewhere(&home);
    let shown = there.to_str().expect("UTF-8");
    let arguments = ["--screen-reader", "attach", &run, "--mirror", shown];
    let program = env!("CARGO_BIN_EXE_ashore");
    let mut lines = Terminal::start_with(&home, program, &arguments, (80, 50), &[]);
    lines.shows("comes down: created   made.txt");
    lines.shows("y mirror here");
    assert_eq!(names(&there), [""; 0]);
    // What comes with the page answers nothing.
    lines.quiet(Duration::from_secs(1));
    lines.write("y\r");
    until("the files are here", || {
        (names(&there) == ["made.txt", "seeded.txt"]).then_some(())
    });
    lines.write(CTRL_D);
    assert_eq!(lines.ends().exit_code(), 0);
}

#[test]
fn below_the_prompt_of_a_shell_it_is_asked_too() {
    let home = Home::new();
    let (run, there) = elsewhere(&home);
    let shown = there.to_str().expect("UTF-8");
    let arguments = ["attach", &run, "--mirror", shown, "--inline"];
    let inline = Terminal::ashore(&home, &arguments, 80, 40);
    inline.shows("2 would come down");
    inline.shows("Enter mirror here");
    inline.shows("Enter/n/Esc");
    assert_eq!(names(&there), [""; 0]);
    inline.write("\r");
    until("the files are here", || {
        (names(&there) == ["made.txt", "seeded.txt"]).then_some(())
    });
    inline.shows("✓ done");
    leaves(inline);
}
