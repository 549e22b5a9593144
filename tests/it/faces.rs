//! Other faces of a run: its journal and its transcript in a file, that file played; the keys and the config as text.

use crate::support::home::Home;
use crate::support::terminal::Terminal;

const CTRL_D: &str = "\x04";

/// A run that has written a file and is over.
fn ran(home: &Home) {
    let done = home.run(&["run", "-p", "/write notes/a.txt hello", "--agent", "demo"]);
    done.exits(0);
    assert_eq!(home.read("notes/a.txt").as_deref(), Some("hello"));
}

#[test]
fn a_run_is_exported_and_played_on_the_screen_and_in_lines() {
    let home = Home::new();
    ran(&home);
    let journal = home.run(&["export", "last", "--format", "ndjson"]).exits(0);
    let lines = journal.lines();
    let told = home.run(&["events", "last", "--format", "ndjson"]).exits(0);
    assert_eq!(lines.len(), told.lines().len());
    assert!(lines.iter().all(|line| line.get("v").is_none()));
    home.write("run.ndjson", &journal.stdout());
    home.write("told.ndjson", &told.stdout());

    let document = home.run(&["export", "last"]).exits(0).stdout();
    assert!(document.starts_with("# "), "{document}");
    assert!(document.contains("\n## Turn 1 · "), "{document}");
    assert!(
        document.contains("\n/write notes/a.txt hello\n"),
        "{document}"
    );
    assert!(
        document.contains("```diff\n--- /dev/null\n+++ b/"),
        "{document}"
    );
    let wrong = home.run(&["export", "last", "--format", "json"]).exits(2);
    assert!(
        wrong.stderr().contains("md or ndjson"),
        "{}",
        wrong.stderr()
    );
    home.run(&["ls", "--format", "md"]).exits(2);

    // Nothing but the file is needed.
    home.run(&["endpoint", "stop"]).exits(0);
    let mut screen = Terminal::ashore(&home, &["replay", "run.ndjson", "--speed", "max"], 100, 40);
    screen.shows("the replay is over");
    screen.shows("/write notes/a.txt hello");
    screen.shows("read-only");
    screen.shows("✓ done");
    screen.write("a word\r");
    screen.shows("this view is read-only");
    screen.write("\x15");
    screen.write(CTRL_D);
    assert_eq!(screen.ends().exit_code(), 0);
    assert!(
        !screen.text().contains("Come back with"),
        "{}",
        screen.text()
    );
    let program = env!("CARGO_BIN_EXE_ashore");
    let plays = ["replay", "run.ndjson", "--speed", "max"];
    let lines = Terminal::start_with(&home, program, &plays, (100, 40), &[("TERM", "dumb")]);
    lines.shows("the replay is over");
    lines.shows(": /write notes/a.txt hello");
    lines.shows("turn done");
    let refused = home.run(&["replay", "told.ndjson"]);
    let refused = refused.exits(2).stderr();
    assert!(
        refused.contains("ashore export RUN --format ndjson"),
        "{refused}"
    );
    home.run(&["replay", "run.ndjson", "--speed", "0"]).exits(2);
}

#[test]
fn the_table_of_keys_can_be_put_into_the_config() {
    let home = Home::new();
    let table = home.run(&["keys"]).exits(0).stdout();
    assert!(table.contains("\n[keys.browse]\n"), "{table}");
    assert!(table.contains("submit = [\"enter\"]"), "{table}");
    let config = home.home().join(".config/ashore/config.toml");
    std::fs::create_dir_all(config.parent().expect("it has one")).expect("a folder");
    #[expect(
        clippy::disallowed_methods,
        reason = "the user's own editor, in a test"
    )]
    std::fs::write(&config, &table).expect("a file");
    let keys = |output: &str| -> Vec<(String, String)> {
        let value: serde_json::Value = serde_json::from_str(output).expect("JSON");
        let rows = value["keys"].as_array().expect("a list").clone();
        let row = |row: &serde_json::Value| (row["path"].to_string(), row["keys"].to_string());
        rows.iter().map(row).collect()
    };
    assert_eq!(home.run(&["keys"]).exits(0).stderr(), "");
    let set = home.run(&["keys", "--json"]).exits(0).stdout();
    assert!(set.contains("config.toml:"), "{set}");
    #[expect(
        clippy::disallowed_methods,
        reason = "the user's own editor, in a test"
    )]
    std::fs::write(&config, "[keys.everywhere]\nredraw = [\"ctrl+w\"]\n").expect("a file");
    let told = home.run(&["keys"]).exits(0).stderr();
    assert!(
        told.contains("is not heard where `keys.edit.kill_word_back` has it"),
        "{told}"
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "the user's own editor, in a test"
    )]
    std::fs::write(&config, "").expect("a file");
    let built_in = home.run(&["keys", "--json"]).exits(0).stdout();
    assert!(!built_in.contains("config.toml:"), "{built_in}");
    assert_eq!(keys(&set), keys(&built_in));
    assert!(keys(&set).len() > 100);
}

#[test]
fn the_config_is_read_through_after_the_editor() {
    let home = Home::new();
    let edit = |text: &str| {
        let editor = format!("printf '{text}' >");
        let mut command = home.ashore(&["config", "edit"]);
        let output = command.env("EDITOR", editor).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    };
    let (code, said) = edit("\\n[mirror]\\nignroe = []\\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("config.toml:3"), "{said}");
    assert!(said.contains("Did you mean `mirror.ignore`?"), "{said}");
    // What is wrong there does not keep anybody from putting it right.
    let (code, said) = edit("[keys.edit]\\nsumbit = [\"ctrl+s\"]\\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("config.toml:2"), "{said}");
    assert!(said.contains("Did you mean `keys.edit.submit`?"), "{said}");
    let (code, said) = edit("ascii = true\\n");
    assert_eq!(code, Some(0), "{said}");
    let shown = home.run(&["config", "show"]).exits(0).stdout();
    assert!(shown.contains("ascii = true"), "{shown}");
}

#[test]
fn what_a_run_changed_is_shown_and_is_a_patch_that_git_takes() {
    let home = Home::new();
    home.write("notes/a.txt", "before\n");
    ran(&home);
    home.run(&["run", "-p", "/say 3", "--agent", "demo"])
        .exits(0);
    let none = home.run(&["diff", "last"]).exits(0);
    assert_eq!(none.stdout(), "");
    assert!(
        none.stderr().contains("has changed no file"),
        "{}",
        none.stderr()
    );

    let runs = home.run(&["ls", "--json"]).exits(0).stdout();
    let runs: serde_json::Value = serde_json::from_str(&runs).expect("JSON");
    let runs = runs["runs"].as_array().expect("a list").clone();
    let first = runs
        .iter()
        .find(|run| run["title"] == "/write notes/a.txt hello");
    let first = first.expect("it is listed")["run"]
        .as_str()
        .expect("an id")
        .to_owned();
    let shown = home.run(&["diff", &first]).exits(0).stdout();
    let meant = "diff --git a/notes/a.txt b/notes/a.txt\n--- a/notes/a.txt\n+++ b/notes/a.txt\n@@ -1 +1 @@\n-before\n+hello\n\\ No newline at end of file\n";
    assert_eq!(shown, meant);
    let coloured = home
        .run(&["diff", &first, "--color", "always"])
        .exits(0)
        .stdout();
    assert!(coloured.contains("\u{1b}[32m+hello\u{1b}[m"), "{coloured}");
    let stat = home.run(&["diff", &first, "--stat"]).exits(0).stdout();
    assert_eq!(
        stat,
        " modified  notes/a.txt   +1 \u{2212}1   turn 1\n 1 file, +1 \u{2212}1\n"
    );
    let told = home.run(&["diff", &first, "--json"]).exits(0);
    let told = &told.lines()[0];
    assert_eq!(told["added"], 1);
    assert_eq!(told["patch"], meant);

    // Elsewhere, where the file still is what it was.
    let patch = home.run(&["pull", &first, "--patch"]).exits(0).stdout();
    assert_eq!(patch, meant);
    home.write("other/notes/a.txt", "before\n");
    home.write("it.patch", &patch);
    let other = home.work().join("other");
    let git = std::process::Command::new("git")
        .args(["apply", "../it.patch"])
        .env("GIT_CEILING_DIRECTORIES", home.work())
        .current_dir(other)
        .status();
    assert!(git.is_ok_and(|status| status.success()));
    assert_eq!(home.read("other/notes/a.txt").as_deref(), Some("hello"));
    home.run(&["diff", "nonsense"]).exits(4);
}
