//! The real program with several runs in one terminal: each keeps its files in step, whichever is looked at.

use std::path::Path;

use crate::support::home::{Home, until};
use crate::support::terminal::Terminal;

const CTRL_D: &str = "\x04";
const RUNS: &str = "\x18l";
const CLOSE: &str = "\x18d";

/// A run of this directory that nobody looks at yet.
fn detached(home: &Home, directory: &Path, prompt: &str) -> String {
    let arguments = [
        "run", prompt, "--agent", "demo", "--detach", "--format", "json",
    ];
    let mut command = home.ashore(&arguments);
    let output = command.current_dir(directory).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    said["run"].as_str().expect("the run's id").to_owned()
}

/// Opens the run of this title from the list.
fn choose(terminal: &Terminal, title: &str) {
    terminal.shows(title);
    terminal.write(&format!("/{title}\r\r"));
}

fn comes(file: &Path, text: &str) {
    until(&format!("{} has {text:?}", file.display()), || {
        let read = std::fs::read_to_string(file).ok();
        read.filter(|read| read == text)
    });
}

#[test]
fn every_open_run_keeps_its_mirror_whatever_is_looked_at() {
    let home = Home::new();
    let other = home.work().with_file_name("other");
    std::fs::create_dir(&other).expect("a folder");
    let one = detached(&home, &home.work(), "/write one.txt 1");
    let two = detached(&home, &other, "/write two.txt 2");
    let send = |run: &str, prompt: &str| drop(home.run(&["send", run, prompt]).exits(0));
    let mut terminal = Terminal::ashore(&home, &[], 120, 40);
    choose(&terminal, "two.txt");
    comes(&other.join("two.txt"), "2");
    terminal.write(RUNS);
    terminal.shows("Esc back");
    terminal.shows("idle, turn 1, 1 file");
    send(&two, "/write more.txt behind the list");
    comes(&other.join("more.txt"), "behind the list");
    choose(&terminal, "one.txt");
    comes(&home.work().join("one.txt"), "1");
    terminal.shows("1 ✓ /write two.txt 2");
    // Both ways, from behind the other one: what is edited here is sent before the prompt is.
    #[expect(
        clippy::disallowed_methods,
        reason = "the user's own editor, in a test"
    )]
    std::fs::write(other.join("mine.txt"), "an edit of mine").expect("can be written");
    send(&two, "/run cat mine.txt > seen.txt");
    comes(&other.join("seen.txt"), "an edit of mine");
    send(&one, "/write again.txt in front");
    comes(&home.work().join("again.txt"), "in front");
    // One that is closed ends no other.
    terminal.write(CLOSE);
    terminal.shows("is closed; it goes on");
    send(&two, "/write last.txt alone");
    comes(&other.join("last.txt"), "alone");
    terminal.write(CTRL_D);
    assert_eq!(terminal.ends().exit_code(), 0);
    let text = terminal.text();
    assert!(text.contains("Detached. The run goes on."), "{text}");
    // The directories are free again.
    for (run, file) in [(one, home.work().join("a")), (two, other.join("a"))] {
        let mut again = Terminal::ashore(&home, &["attach", &run], 80, 24);
        again.shows("● live");
        again.write("/write a come-back\r");
        comes(&file, "come-back");
        again.write(CTRL_D);
        assert_eq!(again.ends().exit_code(), 0);
    }
}

#[test]
fn a_question_behind_the_other_tab_shows_and_two_runs_are_left_at_once() {
    let home = Home::new();
    let other = home.work().with_file_name("other");
    std::fs::create_dir(&other).expect("a folder");
    detached(&home, &home.work(), "/write one.txt 1");
    let two = detached(&home, &other, "/write two.txt 2");
    let mut terminal = Terminal::ashore(&home, &[], 80, 24);
    choose(&terminal, "two.txt");
    comes(&other.join("two.txt"), "2");
    terminal.write(RUNS);
    choose(&terminal, "one.txt");
    comes(&home.work().join("one.txt"), "1");
    terminal.shows("I wrote 1 bytes to one.txt");
    drop(home.run(&["send", &two, "/ask may I?"]).exits(0));
    terminal.shows("1 ? /write two.txt 2");
    terminal.write("\x181");
    terminal.shows("1 Allow once");
    terminal.write("\x182");
    terminal.shows("I wrote 1 bytes to one.txt");
    terminal.write("half a thought");
    terminal.shows("half a thought");
    terminal.write("\x03\x03\x03");
    assert_eq!(terminal.ends().exit_code(), 0);
    let text = terminal.text();
    assert!(text.contains("Detached. The runs go on ("), "{text}");
}
