//! The real program with programs of the user's beside it: one that takes what is copied, one that shows messages.

use crate::support::home::{Home, until};
use crate::support::terminal::Terminal;

const LAST_ANSWER: &str = "\x18y";
const FOCUS_LOST: &str = "\x1b[O";

fn config(home: &Home, text: &str) {
    home.write("../home/.config/ashore/config.toml", text);
}

/// A program that keeps what it is given in the work directory, or fails.
fn script(home: &Home, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    home.write(&format!("../home/{name}"), &format!("#!/bin/sh\n{text}\n"));
    let path = home.home().join(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
    path.to_str().expect("UTF-8").to_owned()
}

fn kept(home: &Home, name: &str) -> Option<String> {
    std::fs::read_to_string(home.home().join(name)).ok()
}

#[test]
fn what_is_copied_goes_to_a_program_and_its_end_decides_what_is_said() {
    let home = Home::new();
    let keeps = script(&home, "keeps", "cat > \"$HOME/copied\"");
    config(&home, &format!("clipboard = [\"{keeps}\"]\n"));
    let terminal = Terminal::ashore(&home, &[], 120, 40);
    terminal.shows("what shall be done?");
    terminal.write("/say 3\r");
    // Neither "done" nor "idle" is the end of this turn yet.
    terminal.shows("w1 w2 w3");
    terminal.shows("✓ done");
    terminal.write(LAST_ANSWER);
    terminal.shows("copied by");
    let copied = until("the program has it", || kept(&home, "copied"));
    assert_eq!(copied.trim(), "w1 w2 w3");
    assert_eq!(
        terminal.stolen().clipboard,
        0,
        "nothing goes to the terminal"
    );
    // The same, refused.
    let other = Home::new();
    let fails = script(&other, "fails", "echo 'no display' >&2; exit 1");
    config(&other, &format!("clipboard = [\"{fails}\"]\n"));
    let terminal = Terminal::ashore(&other, &[], 120, 40);
    terminal.shows("what shall be done?");
    terminal.write("/say 3\r");
    terminal.shows("w1 w2 w3");
    terminal.shows("✓ done");
    terminal.write(LAST_ANSWER);
    terminal.shows("not copied: ");
    terminal.shows("no display");
    assert!(!terminal.text().contains("copied by"));
}

#[test]
fn who_looks_elsewhere_is_called_by_a_program() {
    let home = Home::new();
    let shows = script(
        &home,
        "shows",
        "printf '%s|%s' \"$1\" \"$ASHORE_MESSAGE\" > \"$HOME/new\" && mv \"$HOME/new\" \"$HOME/shown\"",
    );
    config(&home, &format!("notify = [\"{shows}\", \"{{}}\"]\n"));
    let terminal = Terminal::ashore(&home, &[], 120, 40);
    terminal.shows("what shall be done?");
    terminal.write(FOCUS_LOST);
    terminal.write("/ask '$(id)'; rm\r");
    let shown = until("the program was called", || kept(&home, "shown"));
    let (argument, variable) = shown.split_once('|').expect("both");
    assert_eq!(argument, variable);
    assert!(argument.contains("$(id)"), "{argument}");
    terminal.shows("Allow");
    let bytes = terminal.bytes();
    let sent = bytes.windows(4).any(|bytes| bytes == b"\x1b]9;");
    assert!(!sent, "nothing goes to the terminal");
}

#[test]
fn a_test_message_is_sent_as_the_screen_would_and_says_how() {
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_ashore");
    let test = ["doctor", "--notify"];
    let kitty = [("TERM", "xterm-kitty")];
    let mut terminal = Terminal::start_with(&home, program, &test, (100, 24), &kitty);
    assert_eq!(terminal.ends().exit_code(), 0);
    assert!(
        terminal.text().contains("sent as OSC 99"),
        "{}",
        terminal.text()
    );
    terminal.writes(0, "\x1b]99;i=ashore:p=body;this is a test");
    let tmux = [("TMUX", "/tmp/x,1,0")];
    let mut terminal = Terminal::start_with(&home, program, &test, (100, 24), &tmux);
    assert_eq!(terminal.ends().exit_code(), 0);
    assert!(terminal.text().contains("through tmux, and the bell"));
    terminal.writes(0, "\x1bPtmux;\x1b\x1b]9;ashore: this is a test");
    assert_eq!(terminal.stolen().bells, 1);
    config(&home, "notify = \"off\"\n");
    let off = home.run(&["doctor", "--notify"]).exits(0);
    assert!(off.stdout().contains("nothing is sent"), "{}", off.stdout());
    let shows = script(&home, "shows", "echo \"$1\" > \"$HOME/shown\"");
    config(&home, &format!("notify = [\"{shows}\", \"{{}}\"]\n"));
    let given = home.run(&["doctor", "--notify"]).exits(0);
    assert!(given.stdout().contains("/shows"), "{}", given.stdout());
    let shown = kept(&home, "shown").expect("it has ended");
    assert_eq!(shown.trim(), "this is a test of `ashore doctor --notify`");
    config(&home, "notify = [\"no-such-program-here\"]\n");
    let missing = home.run(&["doctor", "--notify"]).exits(1);
    assert!(missing.stderr().contains("cannot be started"));
}
