//! P8 and P17: the real program as a user meets it, and while nothing happens.

use std::time::Duration;

use crate::measure::{
    Figure, Goal, ROUNDS, Unit, median, millis, now, pause, resident_of, wakes_of, woken,
};
use crate::terminal::{Home, PROGRAM, Terminal};

/// How long nothing happens: two signs of life of the endpoint.
const QUIET: Duration = Duration::from_secs(40);
/// Until what follows a start is over.
const SETTLED: Duration = Duration::from_secs(2);

pub(crate) fn first_frame(_: usize) -> Vec<Figure> {
    let home = Home::new();
    let (mut times, mut memory, mut others) = (Vec::new(), 0.0f64, Vec::new());
    for round in 0..=ROUNDS * 2 {
        let terminal = Terminal::ashore(&home, &["run"], 120, 40);
        let shown = terminal.shows("shall");
        // The first start reads the program from the disk.
        if round > 0 {
            times.push(shown);
            others.push(bare());
        }
        if round == ROUNDS * 2 {
            pause(SETTLED);
            memory = resident_of(terminal.pid());
        }
        terminal.leave();
    }
    let size = std::fs::metadata(PROGRAM).map_or(f64::NAN, |file| file.len() as f64 / 1e6);
    let (first, other) = (median(times), median(others));
    vec![
        Figure {
            name: "P8",
            what: "first frame, from the start of the process",
            value: millis(first),
            unit: Unit::Millis,
            goal: Goal::AtMost(15.0),
            sides: format!(
                "{:.1}x of `ashore --version`, {:.2} ms",
                first.as_secs_f64() / other.as_secs_f64(),
                millis(other)
            ),
        },
        Figure {
            name: "P8",
            what: "memory of the first screen",
            value: memory,
            unit: Unit::Mega,
            goal: Goal::AtMost(15.0),
            sides: String::new(),
        },
        Figure {
            name: "P8",
            what: "size of the program",
            value: size,
            unit: Unit::Mega,
            goal: Goal::AtMost(15.0),
            sides: String::new(),
        },
    ]
}

/// The same program without a screen.
fn bare() -> Duration {
    let began = now();
    let done = std::process::Command::new(PROGRAM)
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(done.is_ok_and(|status| status.success()), "it starts");
    began.elapsed()
}

pub(crate) fn idle(scale: usize) -> Vec<Figure> {
    let quiet = QUIET / scale as u32;
    let home = Home::new();
    let terminal = Terminal::ashore(&home, &["run", "/say 3"], 120, 40);
    terminal.shows("w3");
    terminal.shows("idle");
    // Threads that a start needed end by themselves after ten seconds.
    pause(SETTLED * 6);
    let (bytes, wakes) = (terminal.count(), wakes_of(terminal.pid()));
    pause(quiet);
    let bytes = (terminal.count() - bytes) as f64;
    let wakes = woken(&wakes, &wakes_of(terminal.pid()));
    terminal.leave();
    vec![
        Figure {
            name: "P17",
            what: "bytes a second to the terminal, attached, live, mirrored, idle",
            value: bytes / quiet.as_secs_f64(),
            unit: Unit::BytesPerSecond,
            goal: Goal::AtMost(0.0),
            sides: String::new(),
        },
        Figure {
            name: "P17",
            what: "wake-ups of all threads a second, the same",
            value: wakes / quiet.as_secs_f64(),
            unit: Unit::PerSecond,
            goal: Goal::AtMost(0.2),
            sides: format!("{wakes} in {} s", quiet.as_secs()),
        },
    ]
}
