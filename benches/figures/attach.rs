//! P4 and P9: the real program comes back to a run of 100,000 lines.

use std::time::Duration;

use ashore::protocol::ids::RunRef;

use crate::data::{self, LAST};
use crate::endpoint::{Endpoint, TOKEN};
use crate::measure::{Figure, Goal, ROUNDS, Unit, median, millis, pause, peak_of, resident_of};
use crate::terminal::{Home, Terminal};

const SETTLED: Duration = Duration::from_secs(1);

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temp folder");
    let (endpoint, few, many) = runtime.block_on(async {
        let endpoint = Endpoint::start(&folder.path().join("store")).await;
        let (few, many) = (endpoint.new_run().await, endpoint.new_run().await);
        endpoint.append(&few, &data::journal(1_000)).await;
        endpoint
            .append(&many, &data::journal(100_000 / scale))
            .await;
        (endpoint, few, many)
    });
    let home = Home::of(&endpoint.url, TOKEN);
    // The first time there is nothing of the runs here.
    let (cold, _) = newest(&home, &many);
    newest(&home, &few);
    let (mut of_few, mut of_many, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (shown, peak_and_now) = newest(&home, &many);
        of_many.push(shown);
        memory.push(peak_and_now);
        of_few.push(newest(&home, &few).0);
    }
    memory.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (resident, peak) = memory[ROUNDS / 2];
    let (of_few, of_many) = (median(of_few), median(of_many));
    vec![
        Figure {
            name: "P4",
            what: "the newest words on the screen, 100k lines / 1k lines",
            value: of_many.as_secs_f64() / of_few.as_secs_f64(),
            unit: Unit::Ratio,
            goal: Goal::AtMost(1.5),
            sides: format!("{:.1} ms, {:.1} ms", millis(of_many), millis(of_few)),
        },
        Figure {
            name: "P4",
            what: "the same, from the start of the process",
            value: millis(of_many),
            unit: Unit::Millis,
            goal: Goal::AtMost(100.0),
            sides: format!("{:.0} ms when nothing of the run is here yet", millis(cold)),
        },
        Figure {
            name: "P9",
            what: "memory of the screen with 100k lines",
            value: resident,
            unit: Unit::Mega,
            goal: Goal::AtMost(60.0),
            sides: format!("{peak:.1} MB at most; 34 MB of journal"),
        },
    ]
}

/// How long it takes until the journal's last words are shown, and the memory it has then (now, at most).
fn newest(home: &Home, at: &RunRef) -> (Duration, (f64, f64)) {
    let terminal = Terminal::ashore(home, &["attach", at.run.as_str()], 120, 40);
    let shown = terminal.shows(LAST);
    terminal.shows("live");
    pause(SETTLED);
    let memory = (resident_of(terminal.pid()), peak_of(terminal.pid()));
    terminal.leave();
    (shown, memory)
}
