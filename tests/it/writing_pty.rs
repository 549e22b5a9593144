//! What leaves the screen while a draft is written, on a real terminal: the user's editor, a command run here.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::support::home::{Home, until};
use crate::support::terminal::Terminal;

const CTRL_C: &str = "\x03";
const CTRL_G: &str = "\x07";
const ESC: &str = "\x1b";

#[test]
fn the_draft_goes_to_the_editor_and_comes_back_while_the_run_goes_on() {
    let home = Home::new();
    let script = "#!/bin/sh\necho \"the editor has: $(cat \"$2\")\" > /dev/tty\nstty -a < /dev/tty | grep -c -- ' icanon' > tty.txt\n\
        read line < /dev/tty\nprintf 'first\\n%s\\n' \"$line\" > \"$2\"\ntest \"$line\" != no\n";
    let editor = home.home().join("editor");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&editor, script).expect("a file");
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let editor = format!("{} -x", editor.display());
    let terminal = Terminal::start_with(
        &home,
        env!("CARGO_BIN_EXE_ashore"),
        &["run", "/write a.txt one"],
        (80, 24),
        &[("EDITOR", &editor)],
    );
    terminal.shows("○ idle");
    terminal.write("/say 100 20\r/write b.txt two\r/write c.txt three");
    terminal.shows("/write c.txt three");
    terminal.write(CTRL_G);
    terminal.until("the editor has the terminal", |screen| {
        !screen.alternate_screen()
            && screen
                .contents()
                .contains("the editor has: /write c.txt three")
    });
    until("the run goes on", || home.read("b.txt"));
    assert_eq!(home.read("tty.txt").as_deref(), Some("1\n"));
    terminal.write("漢 second\r");
    terminal.until("the draft is back", |screen| {
        screen.alternate_screen() && screen.contents().contains("漢 second")
    });
    terminal.shows("> first");
    // An editor that fails changes nothing.
    terminal.write(CTRL_G);
    terminal.until("the editor again", |screen| {
        !screen.alternate_screen() && screen.contents().contains("the editor has: first")
    });
    terminal.write("no\r");
    terminal.shows("the draft is as it was");
    terminal.shows("> first");
    terminal.shows("漢 second");
}

#[test]
fn a_killed_screen_leaves_the_draft_and_what_goes_with_it() {
    let home = Home::new();
    home.write("notes for me.md", "# Notes");
    let mut killed = Terminal::ashore(&home, &["run", "/say 1"], 80, 24);
    killed.shows("○ idle");
    killed.write("/attach 'notes for me.md'\r");
    killed.shows("with notes for me.md 7 B");
    killed.write("/attach nowhere\r");
    killed.shows("nowhere cannot be read");
    until("it is in the log", || {
        let log = std::fs::read_to_string(home.state().join("logs/ashore.log")).ok()?;
        log.contains("nowhere cannot be read").then_some(())
    });
    killed.write("half a 漢 thought");
    until("it is on disk", || {
        let drafts = std::fs::read_dir(home.state().join("screen/drafts")).ok()?;
        let mut drafts = drafts.filter_map(|one| std::fs::read_to_string(one.ok()?.path()).ok());
        drafts.find(|draft| draft == "half a 漢 thought")
    });
    killed.signal(Signal::KILL);
    killed.ends();
    let terminal = Terminal::ashore(&home, &["attach", "last"], 80, 24);
    terminal.shows("> half a 漢 thought");
    terminal.shows("with notes for me.md 7 B");
    terminal.write("\r");
    terminal.until("it went", |screen| {
        !screen.contents().contains("with notes for me.md")
    });
    until("the file went with it", || {
        let journal = home.run(&["events", "last", "--format", "ndjson"]);
        let journal = journal.exits(0).stdout();
        (journal.contains("half a 漢 thought") && journal.contains("# Notes")).then_some(())
    });
}

/// Closes the box; Esc and a key that follows at once would be one key.
fn close(terminal: &Terminal) {
    terminal.write(ESC);
    terminal.until("the box is closed", |screen| {
        !screen.contents().contains("LOCAL $")
    });
}

#[test]
fn a_command_runs_here_and_is_ended_here() {
    let home = Home::new();
    let terminal = Terminal::ashore(&home, &["run", "/say 1"], 80, 24);
    terminal.shows("○ idle");
    terminal.write("!echo hello from here; echo ran > here.txt; exit 3");
    terminal.shows("nothing of it goes to the agent");
    terminal.write("\r");
    terminal.shows("exit code 3");
    terminal.shows("hello from here");
    until("it ran in the directory", || home.read("here.txt"));
    close(&terminal);
    terminal.write("!echo $$ > pid.txt; exec sleep 1000\r");
    let pid = until("it runs", || {
        home.read("pid.txt").filter(|text| text.ends_with('\n'))
    });
    let pid: i32 = pid.trim().parse().expect("a number");
    let pid = rustix::process::Pid::from_raw(pid).expect("not 0");
    terminal.write(CTRL_C);
    terminal.shows("ended here");
    until("it is gone", || {
        rustix::process::test_kill_process(pid)
            .is_err()
            .then_some(())
    });
    close(&terminal);
    let journal = home.run(&["events", "last", "--format", "ndjson"]);
    let journal = journal.exits(0).stdout();
    assert!(journal.contains("/say 1"), "{journal}");
    assert!(!journal.contains("hello from here"), "{journal}");
}
