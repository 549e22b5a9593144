//! The real program as whole lines: on a terminal that can do nothing, and without one.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::support::home::{Home, until};
use crate::support::terminal::Terminal;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

fn lines(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
    let program = env!("CARGO_BIN_EXE_ashore");
    Terminal::start_with(home, program, arguments, (80, 50), variables)
}

#[test]
fn a_run_is_begun_asked_left_and_come_back_to_without_one_escape_sequence() {
    let home = Home::new();
    let mut first = lines(&home, &[], &[("TERM", "dumb")]);
    first.shows("what shall be done?");
    first.write("/write notes/a.txt hello\r");
    first.shows("file received: notes/a.txt (turn 1)");
    first.shows("turn done");
    assert_eq!(home.read("notes/a.txt").as_deref(), Some("hello"));
    first.write("/ask May I?\r");
    first.shows("answer>");
    // An answer that comes with the question is none.
    first.quiet(Duration::from_secs(1));
    first.write("1\r");
    first.shows("turn done, ");
    first.write("!echo here; exit 3\r");
    first.shows("local: here");
    first.shows("exit code 3");
    first.write("/copy l\r");
    first.shows("clipboard.txt");
    first.write(CTRL_C);
    first.shows("again leaves; the run goes on");
    first.write(CTRL_D);
    assert_eq!(first.ends().exit_code(), 0);
    first.shows("Detached. The run goes on.");
    let again = lines(&home, &["attach", "--last"], &[("ACCESSIBLE", "1")]);
    again.shows("earlier messages and calls: ");
    again.shows("link: live");
    again.write("/top\r");
    again.shows("1 of ");
    for terminal in [&first, &again] {
        let bytes = terminal.bytes();
        assert!(
            !bytes.contains(&0x1b),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn the_editor_has_the_terminal_to_itself() {
    let home = Home::new();
    let editor =
        "sh -c 'echo in the editor > /dev/tty; read line < /dev/tty; printf %s \"$line\" > \"$0\"'";
    let terminal = lines(&home, &["--screen-reader", "run"], &[("EDITOR", editor)]);
    terminal.shows("what shall be done?");
    terminal.write("/editor\r");
    terminal.shows("in the editor");
    terminal.write("/say 3\r");
    terminal.shows("draft: /say 3");
    terminal.write("\r");
    terminal.shows("turn done");
    assert!(!terminal.bytes().contains(&0x1b));
}

#[test]
fn lines_come_through_a_pipe_and_its_end_leaves() {
    let home = Home::new();
    let mut child = home
        .ashore(&["--screen-reader", "run"])
        .env("ASHORE_AGENT", "demo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"/write b.txt two\n").expect("it listens");
    until("the file is here", || home.read("b.txt"));
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(": /write b.txt two\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}
