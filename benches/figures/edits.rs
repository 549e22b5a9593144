//! An edit saved here is in the sandbox, and one made there is here: from `close()` to the rename, on the local endpoint.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::measure::{Figure, Goal, Unit, median, millis, now, pause};
use crate::terminal::{Home, Terminal, found};

const EDITS: usize = 200;
/// After this long nothing comes any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two edits, so that each is one of its own.
const BETWEEN: Duration = Duration::from_millis(30);
const SEED: &str = "seed-of-the-bench.txt";

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let home = Home::new();
    crate::write(&home.work().join(SEED), b"seed");
    let terminal = Terminal::ashore(&home, &["run", "/say 3"], 120, 40);
    terminal.shows("w3");
    terminal.shows("idle");
    pause(Duration::from_secs(1));
    let seed = found(&home.home(), SEED).expect("the sandbox has the directory's files");
    let sandbox = seed.parent().expect("it has one").to_owned();
    let count = EDITS / scale;
    let down = edits("down", &sandbox, &home.work(), count);
    let up = edits("up", &home.work(), &sandbox, count);
    terminal.leave();
    vec![
        figure(
            "an edit made there is here, close() to rename, median",
            down,
        ),
        figure("an edit saved here is there, close() to rename, median", up),
    ]
}

fn figure(what: &'static str, times: Option<Vec<Duration>>) -> Figure {
    let sides = match &times {
        Some(times) => format!("of {}", times.len()),
        None => format!("nothing came within {} s", PATIENCE.as_secs()),
    };
    Figure {
        name: "EDITS",
        what,
        value: times.map_or(f64::NAN, |times| millis(median(times))),
        unit: Unit::Millis,
        goal: Goal::AtMost(150.0),
        sides,
    }
}

fn edits(name: &str, from: &Path, to: &Path, count: usize) -> Option<Vec<Duration>> {
    let file = format!("{name}.txt");
    let (from, to) = (from.join(&file), to.join(&file));
    let mut times = Vec::new();
    for number in 0..count {
        let text = format!("{name} {number}\n").repeat(20);
        crate::write(&from, text.as_bytes());
        times.push(arrives(&to, &text)?);
        pause(BETWEEN);
    }
    Some(times)
}

fn arrives(file: &PathBuf, text: &str) -> Option<Duration> {
    let began = now();
    while began.elapsed() < PATIENCE {
        if std::fs::read(file).is_ok_and(|bytes| bytes == text.as_bytes()) {
            return Some(began.elapsed());
        }
        pause(Duration::from_micros(200));
    }
    None
}
