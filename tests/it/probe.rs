//! The real program on terminals that answer at once, late, in pieces, and not at all.

use ashore::tui::tty::report::QUESTIONS;

use crate::support::home::Home;
use crate::support::terminal::Terminal;

const CTRL_D: &str = "\x04";
const CTRL_U: &str = "\x15";

/// Everything that is asked, answered by a light terminal that knows it all.
const ANSWERS: &str = "\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?2026;2$y\x1b[?2031;2$y\x1b[?1004;2$y\x1b[?0u\x1b[?62;22c";

fn count(terminal: &Terminal, what: &str) -> usize {
    let bytes = terminal.bytes();
    bytes
        .windows(what.len())
        .filter(|window| *window == what.as_bytes())
        .count()
}

#[test]
fn a_terminal_that_answers_nothing_shows_the_screen_and_is_told_nothing_it_may_not_know() {
    let home = Home::new();
    let mut terminal = Terminal::that_answers(&home, &["run"], "");
    terminal.shows("what shall be done?");
    assert_eq!(count(&terminal, QUESTIONS), 1);
    terminal.write("a[;uc");
    terminal.shows("> a[;uc");
    terminal.write(CTRL_U);
    terminal.write("\x1b[200~b\x1b[201~");
    terminal.shows("> b");
    terminal.write(CTRL_U);
    terminal.shows("what shall be done?");
    terminal.write(CTRL_D);
    assert_eq!(terminal.ends().exit_code(), 0);
    for unknown in ["\x1b[>1u", "\x1b[<1u", "\x1b[?2031h", "\x1b[?2026h"] {
        assert_eq!(count(&terminal, unknown), 0, "{unknown:?}");
    }
}

#[test]
fn answers_that_come_late_and_in_pieces_are_used_and_never_typed() {
    let home = Home::new();
    let mut terminal = Terminal::that_answers(&home, &["run"], "");
    terminal.shows("what shall be done?");
    // Torn in the middle of a colour, with keys before, between and behind.
    let (first, second) = ANSWERS.split_at(12);
    terminal.write(&format!("a{first}"));
    terminal.shows("> a");
    terminal.write(&format!("{second}b"));
    terminal.shows("> ab");
    terminal.writes(0, "\x1b[>1u");
    terminal.writes(0, "\x1b[?2031h");
    // A change of its colours, and an answer that nobody waits for.
    terminal.write("\x1b[?997;2nc\x1b]11;rgb:0000/0000/0000\x07\x1b[?2026;2$yd");
    terminal.shows("> abcd");
    terminal.write(CTRL_U);
    terminal.shows("what shall be done?");
    terminal.write(CTRL_D);
    assert_eq!(terminal.ends().exit_code(), 0);
    assert_eq!(count(&terminal, "\x1b[>1u"), count(&terminal, "\x1b[<1u"));
    assert_eq!(
        count(&terminal, "\x1b[?2031h"),
        count(&terminal, "\x1b[?2031l")
    );
}

/// Every colour that stands on the screen.
fn colours(screen: &vt100::Screen) -> Vec<vt100::Color> {
    let (rows, columns) = screen.size();
    let cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
    cells
        .filter_map(|(row, column)| Some(screen.cell(row, column)?.fgcolor()))
        .collect()
}

#[test]
fn the_theme_is_that_of_the_ground_and_follows_it_and_pictures_are_marked_where_that_is_known() {
    let cyan = vt100::Color::Idx(6);
    let home = Home::new();
    let mut terminal = Terminal::that_answers(&home, &["run"], ANSWERS);
    terminal.shows("what shall be done?");
    assert!(!colours(&terminal.screen()).contains(&cyan));
    terminal.write("\x1b[?997;1n");
    terminal.until("the dark theme", |screen| colours(screen).contains(&cyan));
    terminal.write("\x1b[?997;2n");
    terminal.until("the light theme", |screen| !colours(screen).contains(&cyan));
    terminal.write(CTRL_D);
    assert_eq!(terminal.ends().exit_code(), 0);
    let marks = count(&terminal, "\x1b[?2026h");
    assert!(marks > 0);
    assert_eq!(marks, count(&terminal, "\x1b[?2026l"));
}

#[test]
fn the_mouse_is_taken_and_given_back_at_run_time_and_a_copy_lies_in_a_file_too() {
    let home = Home::new();
    let mut terminal = Terminal::ashore(&home, &["run", "/say 3"], 80, 24);
    // Idle it is before the turn as well.
    terminal.shows("✓ done");
    terminal.shows("○ idle");
    let none = vt100::MouseProtocolMode::None;
    assert_eq!(terminal.screen().mouse_protocol_mode(), none);
    terminal.write("\x18m");
    terminal.until("the mouse is taken", |screen| {
        screen.mouse_protocol_mode() != none
    });
    terminal.write("\x18m");
    terminal.until("and given back", |screen| {
        screen.mouse_protocol_mode() == none
    });
    terminal.write("\x18y");
    terminal.shows("sent to the terminal (OSC 52, ");
    assert_eq!(terminal.stolen().clipboard, 1);
    let file = home.state().join("screen/clipboard.txt");
    let copied = std::fs::read_to_string(file).expect("a file");
    assert!(copied.contains("w1 w2 w3"), "{copied}");
    terminal.write("\x18m");
    terminal.until("once more", |screen| screen.mouse_protocol_mode() != none);
    terminal.write(CTRL_D);
    terminal.ends();
    assert_eq!(terminal.screen().mouse_protocol_mode(), none);
}

#[test]
fn what_is_typed_before_the_answers_is_written_once() {
    let home = Home::new();
    let terminal = Terminal::that_answers(
        &home,
        &["run"],
        "early \x1b]11;rgb:0/0/0\x07\x1b[200~and pasted\x1b[201~\x1b[?62c",
    );
    terminal.shows("> early and pasted");
}

#[test]
fn a_terminal_whose_signs_take_two_columns_is_shown_ascii() {
    let home = Home::new();
    let answers = "\x1b[2;7R\x1b[?62c";
    let terminal = Terminal::that_answers(&home, &["run"], answers);
    terminal.shows("what shall be done?");
    terminal.until("no sign beyond ASCII", |screen| {
        screen.contents().is_ascii()
    });
    drop(terminal);
    let terminal = Terminal::that_answers(&home, &["run"], "\x1b[2;4R\x1b[?62c");
    terminal.shows("what shall be done?");
    terminal.shows("─");
}

#[test]
fn what_is_saved_in_the_config_and_in_a_theme_is_seen_at_once() {
    let home = Home::new();
    let below = |name: &str| format!("{}/.config/ashore/{name}", home.home().display());
    let mut terminal = Terminal::that_answers(&home, &["run"], ANSWERS);
    terminal.shows("what shall be done?");
    let mine = include_str!("../../themes/dark.toml").replace("\"dark\"", "\"mine\"");
    let (red, blue) = (vt100::Color::Idx(9), vt100::Color::Idx(12));
    home.write(
        &below("themes/mine.toml"),
        &mine.replace("\"cyan\"", "\"bright-red\""),
    );
    home.write(
        &below("config.toml"),
        "theme = \"mine\"\n[keys.everywhere]\nhelp = \"f5\"\n",
    );
    terminal.shows("the config is read again");
    terminal.until("the user's own theme", |screen| {
        colours(screen).contains(&red)
    });
    terminal.write("\x1b[15~");
    terminal.shows("Writing");
    terminal.write("q");
    home.write(
        &below("themes/mine.toml"),
        &mine.replace("\"cyan\"", "\"bright-blue\""),
    );
    terminal.until("the theme as it was saved", |screen| {
        colours(screen).contains(&blue)
    });
    home.write(&below("config.toml"), "them = \"mine\"\n");
    terminal.shows("~/.config/ashore/config.toml:1  there is no key `them`");
    terminal.write(CTRL_D);
    assert_eq!(terminal.ends().exit_code(), 0);
}

/// Every number of every sequence that sets a look.
fn looks(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let sequences = text.split("\x1b[").skip(1);
    let looks = sequences.filter_map(|rest| {
        let end = rest.find(|char: char| !(char.is_ascii_digit() || char == ';' || char == ':'))?;
        rest[end..].starts_with('m').then(|| rest[..end].to_owned())
    });
    let numbers: Vec<String> = looks.collect();
    let numbers = numbers.iter().flat_map(|look| look.split([';', ':']));
    numbers.filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn without_colours_the_screen_sets_none_and_tells_things_apart_all_the_same() {
    let program = env!("CARGO_BIN_EXE_ashore");
    let seen = |more: &[(&str, &str)]| {
        let home = Home::new();
        let mut terminal =
            Terminal::start_with(&home, program, &["run", "/markdown"], (80, 24), more);
        terminal.shows("○ idle");
        terminal.write("\x04");
        terminal.ends();
        looks(&terminal.bytes())
    };
    let is_colour = |look: &u8| matches!(look, 30..=38 | 40..=48 | 90..=97 | 100..=107);
    let plain = seen(&[("NO_COLOR", "1")]);
    let colours: Vec<u8> = plain.iter().copied().filter(is_colour).collect();
    assert!(colours.is_empty(), "{colours:?}");
    assert!(plain.iter().any(|look| matches!(look, 1..=9)), "{plain:?}");
    assert!(seen(&[]).iter().any(is_colour));
}

#[test]
fn a_tmux_that_cannot_tell_shift_enter_is_told_of_once() {
    let (home, program) = (Home::new(), env!("CARGO_BIN_EXE_ashore"));
    let start = |answer| {
        let more = [("TMUX", "/nowhere,1,0")];
        Terminal::answering(&home, program, &["run"], (80, 24), &more, answer)
    };
    let advice = "In this tmux Shift+Enter is Enter, and sends: Ctrl+J makes a new line.";
    for (answer, told) in [
        ("\x1b[?0u\x1b[?62c", false),
        ("\x1b[?62c", true),
        ("\x1b[?62c", false),
    ] {
        let mut terminal = start(answer);
        terminal.shows("what shall be done?");
        assert_eq!(
            terminal.text().contains(advice),
            told,
            "{}",
            terminal.text()
        );
        terminal.write(CTRL_D);
        assert_eq!(terminal.ends().exit_code(), 0);
    }
}
