//! The real program below what stands in the terminal: what it writes, and how it leaves the line.

use std::time::Duration;

use crate::support::home::{Home, until};
use crate::support::terminal::Terminal;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

/// Every sequence that is written, without its numbers.
fn sequences(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let pieces = text.split("\x1b[").skip(1);
    let sequence = |piece: &str| {
        let end = piece.find(|char: char| ('@'..='~').contains(&char))?;
        Some(piece[..=end].to_owned())
    };
    pieces.filter_map(sequence).collect()
}

/// Nothing that goes anywhere but to the start of the line, and nothing that erases more than its end.
fn is_append_only(terminal: &Terminal) {
    let bytes = terminal.bytes();
    for sequence in sequences(&bytes) {
        let moves = sequence.ends_with([
            'A', 'B', 'E', 'F', 'H', 'J', 'L', 'M', 'S', 'T', 'd', 'f', 'r', 's',
        ]);
        assert!(!moves && !sequence.starts_with("?1049"), "{sequence:?}");
    }
    for lone in [b'M', b'7', b'8', b'c', b'D'] {
        let found = bytes.windows(2).any(|pair| pair == [0x1b, lone]);
        assert!(!found, "ESC {}", char::from(lone));
    }
}

fn inline(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
    let program = env!("CARGO_BIN_EXE_ashore");
    Terminal::start_with(home, program, arguments, (80, 50), variables)
}

#[test]
fn a_run_is_begun_asked_left_and_come_back_to_and_only_ever_appended() {
    let home = Home::new();
    let mut first = inline(&home, &["--inline"], &[]);
    first.shows("> what shall be done?");
    first.write("/write notes/a.txt hello\r");
    first.shows("file received: notes/a.txt (turn 1)");
    first.shows("✓ done");
    assert_eq!(home.read("notes/a.txt").as_deref(), Some("hello"));
    first.write("/ask May I?\r");
    first.shows("a number answers");
    first.write("1");
    first.shows("You chose: Allow once");
    first.resize(60, 30);
    first.write("/say 40 5\r");
    first.shows("✓ done · ");
    first.write("!echo here; exit 3\r");
    first.shows("local: here");
    first.write("one\\\rtwo");
    first.shows("> one⏎two");
    first.write(CTRL_C);
    first.shows("the draft is in the history");
    first.write(CTRL_D);
    assert_eq!(first.ends().exit_code(), 0);
    first.shows("Detached. The run goes on.");
    let again = inline(&home, &["attach", "--last", "--inline"], &[]);
    again.shows("earlier messages and calls");
    again.shows("> a follow-up");
    for terminal in [&first, &again] {
        is_append_only(terminal);
    }
    let screen = first.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
    // The sentence stands where the live line did, and the shell goes on below it.
    let text = screen.contents();
    let last = text.trim_end().lines().last().unwrap_or_default();
    assert!(
        last.starts_with("Detached.") || last.contains("ashore attach"),
        "{text}"
    );
    assert!(!text.contains("> a follow-up"), "{text}");
    assert_eq!(screen.cursor_position().1, 0, "{text}");
}

#[test]
fn another_program_and_the_shell_have_the_line_to_themselves() {
    let home = Home::new();
    let editor =
        "sh -c 'echo in the editor > /dev/tty; read line < /dev/tty; printf %s \"$line\" > \"$0\"'";
    let terminal = inline(&home, &["--inline", "run"], &[("EDITOR", editor)]);
    terminal.shows("what shall be done?");
    terminal.write("\x07");
    terminal.shows("in the editor");
    terminal.write("/say 3\r");
    terminal.shows("> /say 3");
    // Nobody stops for it here, so it comes back by itself.
    terminal.write(CTRL_Z);
    terminal.quiet(Duration::from_millis(700));
    terminal.write("\r");
    terminal.shows("✓ done");
    is_append_only(&terminal);
}

#[test]
fn a_recorded_run_is_played_without_a_screen_of_its_own() {
    let home = Home::new();
    let mut first = inline(&home, &["--inline", "run", "/write b.txt two"], &[]);
    until("the file is here", || home.read("b.txt"));
    first.shows("✓ done");
    first.write(CTRL_D);
    first.ends();
    let exported = home.run(&["export", "last", "--format", "ndjson"]).exits(0);
    home.write("run.ndjson", &exported.stdout());
    let played = inline(
        &home,
        &["--inline", "replay", "run.ndjson", "--speed", "max"],
        &[],
    );
    played.shows("✓ done");
    played.shows("the replay is over");
    is_append_only(&played);
}
