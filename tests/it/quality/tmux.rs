//! R6 in a real terminal: what tmux shows of a hostile run is what our own bytes say, and nothing of it was stolen.
//!
//! Only where `.ci/quality` asks for it: tmux is no part of what a clone needs.

use std::process::Command;

use crate::quality::count;
use crate::quality::hostile::PIECES;
use crate::quality::printed::journal;
use crate::support::home::{Home, until};
use crate::support::scripted::{Script, Scripted};
use crate::support::terminal::Terminal;

/// A screen, and a side pane.
const SIZES: [(u16, u16); 2] = [(100, 40), (40, 24)];

/// Said behind everything else.
const LAST: &str = "that was all of it";

/// A tmux server of its own.
struct Tmux<'a> {
    home: &'a Home,
}

impl Tmux<'_> {
    fn says(&self, arguments: &[&str]) -> String {
        let done = Command::new("tmux")
            .args(["-f", "/dev/null", "-S"])
            .arg(self.home.home().join("tmux"))
            .args(arguments)
            .current_dir(self.home.work())
            .env_clear()
            .envs(self.home.variables())
            .env("ASHORE_TOKEN", "s3cret")
            .output()
            .expect("tmux is installed");
        assert!(
            done.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn screen(&self) -> String {
        trimmed(&self.says(&["capture-pane", "-p"]))
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.says(&["kill-server"]);
    }
}

/// Without what stands for nothing: spaces at the end of lines.
fn trimmed(screen: &str) -> String {
    let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

#[test]
fn tmux_shows_what_was_drawn_and_keeps_its_title_and_its_clipboard() {
    let wanted = count("ASHORE_TMUX", 0) > 0;
    for size in SIZES.iter().filter(|_| wanted) {
        for pieces in PIECES.chunks(8) {
            shows_the_same(pieces, *size);
        }
    }
}

fn shows_the_same(pieces: &[&str], size: (u16, u16)) {
    let home = Home::new();
    let mut texts: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    texts.push(LAST.to_owned());
    let endpoint = Scripted::start(Script {
        lines: journal(&texts),
        ..Script::default()
    });
    let run = endpoint.run();
    let tmux = Tmux { home: &home };
    let (columns, rows) = (size.0.to_string(), size.1.to_string());
    let program = env!("CARGO_BIN_EXE_ashore");
    tmux.says(&["new-session", "-d", "-x", &columns, "-y", &rows, "sh"]);
    for option in [
        // Else tmux names the window after the program.
        ["automatic-rename", "off"],
        ["set-clipboard", "on"],
        ["allow-rename", "on"],
        ["allow-passthrough", "on"],
        ["status", "off"],
    ] {
        tmux.says(&["set", "-g", option[0], option[1]]);
    }
    let name = tmux.says(&["display", "-p", "#{window_name}"]);
    tmux.says(&["set-buffer", "-b", "mine", "mine"]);
    tmux.says(&[
        "respawn-pane",
        "-k",
        &format!("{program} attach {run} --no-mirror"),
    ]);
    let ready = |screen: String| screen.contains(LAST).then_some(screen);
    until("tmux shows the run", || ready(tmux.screen()));
    // The same run on a terminal that only reads our bytes.
    let model = Terminal::start_with(
        &home,
        program,
        &["attach", &run, "--no-mirror"],
        size,
        &[("ASHORE_TOKEN", "s3cret")],
    );
    let want = until("the model shows the run", || ready(trimmed(&model.text())));
    until(
        &format!(
            "tmux shows the same as the model:\n{want}\n--- tmux\n{}",
            tmux.screen()
        ),
        || (tmux.screen() == trimmed(&model.text())).then_some(()),
    );
    assert_eq!(tmux.says(&["display", "-p", "#{window_name}"]), name);
    let title = tmux.says(&["display", "-p", "#{pane_title}"]);
    // Ours, whatever the agent wished for.
    assert!(title.trim().ends_with(" 22222222 new run"), "{title}");
    assert_eq!(
        tmux.says(&["list-buffers", "-F", "#{buffer_name}=#{buffer_sample}"])
            .trim(),
        "mine=mine"
    );
    let stolen = model.stolen();
    assert_eq!((stolen.titles, stolen.clipboard, stolen.bells), (0, 0, 0));
}
