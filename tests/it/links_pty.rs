//! The real program where a terminal lets addresses be opened with the mouse.

use crate::support::home::Home;
use crate::support::terminal::Terminal;

const OPENS: &[u8] = b"\x1b]8;id=";
const CLOSES: &[u8] = b"\x1b]8;;\x1b\\";

fn count(bytes: &[u8], what: &[u8]) -> usize {
    let windows = bytes.windows(what.len());
    windows.filter(|window| *window == what).count()
}

/// How often a link was opened and closed while a text with one was shown and scrolled.
fn shown(home: &Home, arguments: &[&str], more: &[(&str, &str)]) -> (usize, usize) {
    let program = env!("CARGO_BIN_EXE_ashore");
    let mut terminal = Terminal::start_with(home, program, arguments, (80, 24), more);
    terminal.shows("what shall be done?");
    terminal.write("/markdown\r");
    terminal.shows("The end.");
    terminal.shows(" done");
    terminal.write("\tg");
    terminal.shows("https://example.com/a?b=c");
    terminal.write("q");
    assert_eq!(terminal.ends().exit_code(), 0);
    let bytes = terminal.bytes();
    let address = b";https://example.com/a?b=c\x1b\\";
    let opened = count(&bytes, OPENS);
    assert_eq!(opened, count(&bytes, address), "where it leads");
    (opened, count(&bytes, CLOSES))
}

#[test]
fn an_address_can_be_opened_and_no_link_is_left_open() {
    let (opened, closed) = shown(&Home::new(), &[], &[]);
    assert!(opened >= 2, "its words and its address: {opened}");
    assert_eq!(opened, closed);
}

#[test]
fn where_it_is_not_wished_for_or_not_borne_there_are_none() {
    assert_eq!(shown(&Home::new(), &["--ascii"], &[]), (0, 0));
    assert_eq!(shown(&Home::new(), &[], &[("TERM", "linux")]), (0, 0));
    let home = Home::new();
    home.write("../home/.config/ashore/config.toml", "links = false\n");
    assert_eq!(shown(&home, &[], &[]), (0, 0));
}
