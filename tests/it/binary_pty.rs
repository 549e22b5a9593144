//! The real program on a terminal: what a person sees, and what the terminal is left like.

use std::time::Duration;

use rustix::process::Signal;

use crate::lifetime;
use crate::support::home::{Home, until};
use crate::support::terminal::Terminal;

const CTRL_D: &str = "\x04";
const CTRL_L: &str = "\x0c";
const CTRL_U: &str = "\x15";
const CTRL_Z: &str = "\x1a";
const UP: &str = "\x1b[A";
const ALT_UP: &str = "\x1b[1;3A";
const CTRL_X: &str = "\x18";

/// Everything the screen turned on is off again.
fn is_given_back(terminal: &Terminal) {
    let screen = terminal.screen();
    assert!(!screen.alternate_screen(), "still on the alternate screen");
    assert!(!screen.hide_cursor(), "the cursor is still hidden");
    assert!(!screen.bracketed_paste(), "bracketed paste is still on");
    let bytes = terminal.bytes();
    let count = |what: &[u8]| {
        bytes
            .windows(what.len())
            .filter(|window| *window == what)
            .count()
    };
    assert_eq!(count(b"\x1b[>1u"), count(b"\x1b[<1u"), "keyboard flags");
    assert_eq!(count(b"\x1b[?1004h"), count(b"\x1b[?1004l"), "focus events");
    assert_eq!(count(b"\x1b[22;2t"), count(b"\x1b[23;2t"), "the title");
    assert_eq!(count(b"\x1b[?1000h"), count(b"\x1b[?1000l"), "the mouse");
    assert_eq!(count(b"\x1b[?2031h"), count(b"\x1b[?2031l"), "its scheme");
    assert!(count(b"\x1b[>1u") > 0, "the flags were never pushed");
    assert_eq!(count(b"\x1b[3J"), 0, "the scrollback was cleared");
}

#[test]
fn a_prompt_leads_to_files_and_the_screen_can_be_left_and_come_back_to() {
    let home = Home::new();
    let mut first = Terminal::ashore(&home, &[], 120, 40);
    first.shows("what shall be done?");
    first.write("/write notes/a.txt hello\r");
    first.shows("done");
    first.shows("● live");
    first.shows("notes/a.txt");
    until("the file is here", || home.read("notes/a.txt"));
    assert_eq!(home.read("notes/a.txt").as_deref(), Some("hello"));
    first.shows("○ idle");
    first.write(CTRL_D);
    assert_eq!(first.ends().exit_code(), 0);
    assert!(
        first.text().contains("Detached. The run goes on."),
        "{}",
        first.text()
    );
    is_given_back(&first);
    let mut again = Terminal::ashore(&home, &["attach", "--last"], 40, 24);
    again.shows("a follow-up");
    again.shows("/write notes/a.txt hello");
    again.write("/append notes/a.txt -again\r");
    until("the second change is here", || {
        home.read("notes/a.txt")
            .filter(|text| text == "hello-again")
    });
    again.shows("^D");
    again.write(CTRL_D);
    assert_eq!(again.ends().exit_code(), 0);
    // Now this directory has a run: the list comes first.
    let picker = Terminal::ashore(&home, &[], 80, 24);
    picker.shows("Runs");
    picker.shows("/write notes/a.txt");
}

#[test]
fn a_prompt_on_the_command_line_is_sent_at_once_and_no_answer_steals_the_terminal() {
    let home = Home::new();
    let mut terminal = Terminal::ashore(&home, &["run", "/ansi"], 120, 40);
    terminal.shows("Set the clipboard");
    terminal.shows("○ idle");
    let screen = terminal.screen();
    assert!(screen.alternate_screen());
    assert!(screen.bracketed_paste());
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    let stolen = terminal.stolen();
    assert_eq!((stolen.titles, stolen.clipboard, stolen.bells), (0, 0, 0));
    let titled = |words: &str| {
        let bytes = terminal.bytes();
        String::from_utf8_lossy(&bytes).contains(&format!("\x1b]2;{words}"))
    };
    assert!(titled("ashore work\x1b\\") && titled("◐ ") && titled("○ "));
    assert!(
        terminal.text().contains("␛]0;stolen"),
        "{}",
        terminal.text()
    );
    // What was said in red is not red: it looks as its neighbours do.
    let colours: Vec<_> = (0..40)
        .filter_map(|row| {
            let line: String = (0..82)
                .filter_map(|column| Some(screen.cell(row, column)?.contents().to_owned()))
                .collect();
            let at = u16::try_from(line.find("[31mred")?).ok()?;
            Some((at..at + 7).map(move |column| (row, column)))
        })
        .flatten()
        .filter_map(|(row, column)| Some(screen.cell(row, column)?.fgcolor()))
        .collect();
    assert!(!colours.is_empty(), "{}", terminal.text());
    assert!(
        colours
            .iter()
            .all(|colour| *colour == colours[0] && *colour != vt100::Color::Idx(1)),
        "{colours:?}"
    );
    terminal.write(CTRL_D);
    assert_eq!(terminal.ends().exit_code(), 0);
    is_given_back(&terminal);
}

#[test]
fn every_way_out_gives_the_terminal_back() {
    let home = Home::new();
    let ways: [(Option<Signal>, u32); 5] = [
        (None, 0),
        (Some(Signal::INT), 130),
        (Some(Signal::QUIT), 130),
        (Some(Signal::TERM), 143),
        (Some(Signal::HUP), 143),
    ];
    for (signal, code) in ways {
        let mut terminal = Terminal::ashore(&home, &["run"], 80, 24);
        terminal.shows("what shall be done?");
        assert!(terminal.screen().alternate_screen());
        match signal {
            Some(signal) => terminal.signal(signal),
            None => terminal.write(CTRL_D),
        }
        assert_eq!(terminal.ends().exit_code(), code, "{signal:?}");
        is_given_back(&terminal);
    }
}

/// Stopped in this way under a shell, and called back by it.
fn is_stopped_and_goes_on(stop: impl FnOnce(&mut Terminal)) {
    let home = Home::new();
    let script = format!(
        "\"{}\" run; echo was stopped; read go; fg; echo is over",
        env!("CARGO_BIN_EXE_ashore")
    );
    let mut terminal = Terminal::start(&home, "/bin/sh", &["-mc", &script], 80, 24);
    terminal.shows("what shall be done?");
    terminal.write("half a thought");
    terminal.shows("half a thought");
    stop(&mut terminal);
    terminal.shows("was stopped");
    is_given_back(&terminal);
    terminal.write("go\r");
    terminal.until("the screen again", |screen| {
        screen.alternate_screen() && screen.contents().contains("half a thought")
    });
    terminal.write(CTRL_U);
    terminal.shows("what shall be done?");
    terminal.write(CTRL_D);
    terminal.shows("is over");
    terminal.ends();
    is_given_back(&terminal);
}

#[test]
fn suspended_it_gives_the_terminal_back_and_takes_it_again() {
    is_stopped_and_goes_on(|terminal| terminal.write(CTRL_Z));
}

#[test]
fn stopped_from_outside_it_gives_the_terminal_back_too() {
    is_stopped_and_goes_on(|terminal| terminal.signal_foreground(Signal::TSTP));
}

#[test]
fn a_killed_screen_loses_no_word_no_prompt_and_no_mirror() {
    let home = Home::new();
    let mut killed = Terminal::ashore(&home, &["run", "/write a.txt one"], 120, 40);
    killed.shows("○ idle");
    until("the file is here", || home.read("a.txt"));
    killed.write("/say 150 20\r");
    killed.shows("w40 ");
    killed.signal(Signal::KILL);
    killed.ends();
    let again = Terminal::ashore(&home, &["attach", "--last"], 120, 40);
    again.shows("w150");
    again.shows("○ idle");
    let text = again.text();
    let said: Vec<&str> = text
        .split_whitespace()
        .filter(|word| {
            word.strip_prefix('w')
                .is_some_and(|rest| rest.parse::<u32>().is_ok())
        })
        .collect();
    let words: Vec<String> = (1..=150).map(|number| format!("w{number}")).collect();
    assert_eq!(said, words);
    assert!(text.contains("/write a.txt one"), "{text}");
    assert!(text.contains("↓ A a.txt"), "{text}");
    assert!(text.contains("⇅ live"), "{text}");
    again.write(UP);
    again.shows("> /say 150 20");
    again.write(UP);
    again.shows("> /write a.txt one");
}

/// The picture; a space that was written is no other than one that was not.
fn lines(terminal: &Terminal) -> Vec<String> {
    let text = terminal.text();
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[test]
fn a_new_size_in_the_middle_of_an_answer_leaves_nothing_behind() {
    let home = Home::new();
    let terminal = Terminal::ashore(&home, &["run", "/unicode"], 120, 40);
    terminal.shows("○ idle");
    terminal.write("/say 150 20\r");
    terminal.shows("w20 ");
    terminal.resize(60, 20);
    terminal.shows("w50 ");
    terminal.resize(130, 45);
    terminal.shows("w80 ");
    terminal.resize(100, 30);
    terminal.shows("w150");
    terminal.shows("○ idle");
    terminal.quiet(Duration::from_millis(500));
    let drawn = lines(&terminal);
    let cleared = terminal.bytes().len();
    terminal.write(CTRL_L);
    terminal.writes(cleared, "w150");
    terminal.quiet(Duration::from_millis(500));
    assert_eq!(drawn, lines(&terminal));
    assert!(terminal.screen().alternate_screen());
}

#[test]
fn what_is_typed_is_never_an_answer_to_a_question() {
    let home = Home::new();
    let terminal = Terminal::ashore(&home, &["run", "/ask May I?"], 120, 40);
    // Every key is one that would answer, from before the question until it has stood for a while.
    while !terminal.text().contains("The agent asks") {
        terminal.write("y1an");
        terminal.says_something(Duration::from_millis(50));
    }
    terminal.write("1y");
    terminal.shows("Ctrl+X a answers");
    assert!(
        !terminal.text().contains("You chose"),
        "{}",
        terminal.text()
    );
    terminal.write(CTRL_U);
    terminal.shows("a number answers");
    terminal.write("3");
    terminal.shows("You chose: Reject once");
}

#[test]
fn an_idle_screen_writes_nothing() {
    let home = Home::new();
    let terminal = Terminal::ashore(&home, &["run", "/say 3"], 120, 40);
    terminal.shows("✓ done");
    terminal.shows("○ idle");
    terminal.quiet(Duration::from_millis(500));
    // Longer than a keepalive of the stream and than any tick.
    assert!(
        !terminal.says_something(Duration::from_secs(4)),
        "{}",
        terminal.text()
    );
}

#[test]
fn an_endpoint_of_another_age_is_told_on_the_screen() {
    let home = Home::new();
    let (run, _) = lifetime::at_work(&home);
    lifetime::grow_old(&home);
    let terminal = Terminal::ashore(&home, &["attach", &run], 120, 40);
    terminal.shows("The local endpoint is ashore 0.0.1");
}

#[test]
fn a_second_run_here_is_shown_without_a_mirror_and_a_line_says_so() {
    let home = Home::new();
    let first = Terminal::ashore(&home, &["run", "/write a.txt one"], 80, 24);
    first.shows("○ idle");
    until("the file is here", || home.read("a.txt"));
    let second = Terminal::ashore(&home, &["run", "/write b.txt two"], 120, 40);
    second.shows("no mirror here");
    second.shows("○ idle");
    second.shows("b.txt");
    assert_eq!(home.read("b.txt"), None);
    let mut in_git = Terminal::ashore(&home, &["run", "--worktree"], 80, 24);
    assert_eq!(in_git.ends().exit_code(), 2);
    assert!(in_git.text().contains("needs a git"), "{}", in_git.text());
}

/// What `stty -g` says of a terminal before, at every stop, and after: all must be the same.
#[test]
fn every_way_out_leaves_the_line_as_it_was() {
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_ashore");
    let ways: [(Option<Signal>, &str); 4] = [
        (None, "code 0"),
        (Some(Signal::INT), "code 130"),
        (Some(Signal::TERM), "code 143"),
        (Some(Signal::HUP), "code 143"),
    ];
    for (signal, code) in ways {
        let script = format!(
            "stty -g > before; sh -c 'echo $$ > pid; exec \"{program}\" run'; echo code $?; stty -g > after; echo over"
        );
        let mut terminal = Terminal::start(&home, "/bin/sh", &["-c", &script], 80, 24);
        terminal.shows("what shall be done?");
        match signal {
            None => terminal.write(CTRL_D),
            Some(signal) => {
                let pid = home.read("pid").and_then(|text| text.trim().parse().ok());
                let pid = rustix::process::Pid::from_raw(pid.expect("a number")).expect("a pid");
                rustix::process::kill_process(pid, signal).expect("it runs");
            }
        }
        terminal.shows(code);
        terminal.shows("over");
        terminal.ends();
        is_given_back(&terminal);
        assert!(home.read("before").is_some_and(|text| !text.is_empty()));
        assert_eq!(home.read("before"), home.read("after"), "{signal:?}");
    }
    let script = format!(
        "stty -g > before; \"{program}\" run; stty -g > stopped; echo was stopped; read go; fg; stty -g > after; echo is over"
    );
    let mut terminal = Terminal::start(&home, "/bin/sh", &["-mc", &script], 80, 24);
    terminal.shows("what shall be done?");
    terminal.write(CTRL_Z);
    terminal.shows("was stopped");
    assert_eq!(home.read("before"), home.read("stopped"));
    terminal.write("go\r");
    terminal.until("the screen again", |screen| screen.alternate_screen());
    terminal.shows("what shall be done?");
    terminal.write(CTRL_D);
    terminal.shows("is over");
    terminal.ends();
    assert_eq!(home.read("before"), home.read("after"));
}

/// In a terminal of its own this very test is the program: it takes the screen as the real one does, and panics.
#[test]
fn a_panic_gives_the_terminal_back_and_then_says_what_it_has_to() {
    const INSIDE: &str = "ASHORE_TEST_PANICS_HERE";
    const NAME: &str = "binary_pty::a_panic_gives_the_terminal_back_and_then_says_what_it_has_to";
    if std::env::var_os(INSIDE).is_some() {
        let _modes = ashore::tui::terminal::Modes::enter().expect("a terminal");
        let manners = ashore::tui::tty::report::Manners {
            keyboard: true,
            tells_scheme: true,
            ..Default::default()
        };
        ashore::tui::terminal::adopt(manners).expect("a terminal");
        panic!("the deliberate one");
    }
    let home = Home::new();
    let own = std::env::current_exe().expect("this test");
    let script = format!(
        "stty -g > before; {INSIDE}=1 \"{}\" --exact {NAME} --nocapture --test-threads=1; echo code $?; stty -g > after; echo over",
        own.display()
    );
    let mut terminal = Terminal::start(&home, "/bin/sh", &["-c", &script], 120, 40);
    terminal.shows("code 101");
    terminal.shows("over");
    terminal.ends();
    is_given_back(&terminal);
    // What it said came when the first screen was back.
    assert!(
        terminal.text().contains("the deliberate one"),
        "{}",
        terminal.text()
    );
    let bytes = terminal.bytes();
    let place = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let (left, said) = (place(b"\x1b[?1049l"), place(b"the deliberate one"));
    assert!(left.is_some() && left < said, "{left:?} {said:?}");
    assert_eq!(home.read("before"), home.read("after"));
}

#[test]
fn what_waits_is_changed_and_sent_in_at_once_and_everything_runs_once() {
    let home = Home::new();
    let terminal = Terminal::ashore(&home, &["run", "/hang"], 120, 40);
    terminal.shows("working");
    terminal.write("/say 3\r");
    terminal.shows("queued 1");
    terminal.write("/write b.txt no\r");
    terminal.shows("queued 2");
    terminal.write(ALT_UP);
    terminal.shows("message 2 of 2");
    terminal.write("-yes\r");
    terminal.shows("queued 2: /say 3");
    terminal.write(ALT_UP);
    terminal.shows("> /write b.txt no-yes");
    terminal.write(&format!("{CTRL_X}\r"));
    until("the changed words ran", || home.read("b.txt"));
    assert_eq!(home.read("b.txt").as_deref(), Some("no-yes"));
    terminal.shows("w3");
    terminal.shows("○ idle");
    let text = terminal.text();
    let said = |words: &str| {
        let line = format!("   {words} ");
        let mut lines = text.lines().enumerate();
        let found = lines.find(|(_, shown)| shown.starts_with(&line));
        assert!(
            found.is_some() && !lines.any(|(_, shown)| shown.starts_with(&line)),
            "{words}: {text}"
        );
        found.map(|(place, _)| place)
    };
    let places = ["/hang", "/write b.txt no-yes", "/say 3"].map(said);
    assert!(places.is_sorted(), "{text}");
}
