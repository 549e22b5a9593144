//! P3: a long journal from the disk into the state of a run, as reopening it does.
//!
//! In a process of its own, so that the memory it needs is seen.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ashore::attach::event::Event;
use ashore::attach::perform::{Plan, open};
use ashore::attach::update::update;
use ashore::client::api::Api;
use ashore::client::endpoint::Endpoint;
use ashore::config::places::Places;
use ashore::protocol::ids::Seq;

use crate::data;
use crate::measure::{Figure, Goal, ROUNDS, Unit, median, now, peak_of};
use crate::reference::{self, Measured};

/// The word that makes this program the child.
pub(crate) const CHILD: &str = "replay-child";

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let lines = 1_000_000 / scale;
    let folder = tempfile::tempdir().expect("a temp folder");
    let run = Places::below(folder.path()).run(&crate::at().run);
    std::fs::create_dir_all(&run).expect("a folder below it");
    let file = run.join("journal.ndjson");
    crate::write(&file, &data::file(&data::journal(lines)));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(child(folder.path(), lines));
        theirs.extend(reference::run("replay", &file));
    }
    let memory = |all: &[Measured]| all.iter().map(|one| one.memory).fold(f64::NAN, f64::max);
    let rate = |all: Vec<Measured>| {
        let time = median(all.into_iter().map(|one| one.time).collect());
        lines as f64 / time.as_secs_f64() / 1e6
    };
    let (our_memory, their_memory) = (memory(&ours), memory(&theirs));
    let has_node = !theirs.is_empty();
    let (our_rate, their_rate) = (rate(ours), rate(theirs));
    let parse_session_logs = 0.277;
    let mut figures = vec![Figure {
        name: "P3",
        what: "memory of a replay (1M lines)",
        value: our_memory,
        unit: Unit::Mega,
        goal: Goal::AtMost(133.0),
        sides: format!(
            "{our_rate:.2} Mev/s; the reference's own {parse_session_logs} Mev/s and 1065 MB: {:.1}x, 1/{:.0}",
            our_rate / parse_session_logs,
            1065.0 / our_memory
        ),
    }];
    if has_node {
        figures.push(Figure {
            name: "P3",
            what: "replay into state / the same by JSON.parse in node",
            value: our_rate / their_rate,
            unit: Unit::Ratio,
            goal: Goal::AtLeast(5.0),
            sides: format!(
                "{our_rate:.2} Mev/s, {their_rate:.2} Mev/s; {our_memory:.0} MB, {their_memory:.0} MB"
            ),
        });
    }
    figures
}

fn child(folder: &Path, lines: usize) -> Measured {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .arg(CHILD)
        .arg(folder)
        .arg(lines.to_string())
        .output()
        .expect("this program starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let mut numbers = told
        .split_whitespace()
        .filter_map(|word| word.parse::<f64>().ok());
    let (Some(seconds), Some(memory)) = (numbers.next(), numbers.next()) else {
        panic!("{told}{}", String::from_utf8_lossy(&output.stderr));
    };
    Measured {
        time: Duration::from_secs_f64(seconds),
        memory,
    }
}

/// The child: opens the run as the screen would, and says how long it took and what it needed.
pub(crate) fn be_child(folder: &Path, lines: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let began = now();
    let last = runtime.block_on(async {
        let mut opened = open(plan(folder)).await;
        loop {
            let Some(event) = opened.events.recv().await else {
                break;
            };
            let restored = matches!(event, Event::Restored(_));
            // What it orders is the network's, and there is none.
            update(&mut opened.attached, event);
            if restored {
                break;
            }
        }
        opened.attached.session.last
    });
    let took = began.elapsed();
    assert_eq!(last, Seq(lines), "all of it was read");
    println!("{} {}", took.as_secs_f64(), peak_of(std::process::id()));
}

fn plan(folder: &Path) -> Plan {
    let endpoint = Endpoint {
        name: "nowhere".to_owned(),
        url: "http://127.0.0.1:9".parse().expect("a URL"),
        token: None,
        local: false,
    };
    Plan {
        api: Api::new(endpoint, None).expect("a client"),
        at: crate::at(),
        places: Places::below(folder),
        read_only: false,
        starter: None,
        silence: None,
    }
}
