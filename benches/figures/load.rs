//! P6 and P7: what 400 KB of Markdown at 1,000 pieces a second cost the screen, how far it is behind, and how soon it
//! answers a key meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ashore::protocol::ids::RunRef;

use crate::data::LAST;
use crate::endpoint::{Endpoint, TOKEN};
use crate::measure::{Figure, Goal, Unit, cpu_of, median, millis, now, pause, percentile};
use crate::stream::{begun, chunk, markdown};
use crate::terminal::{Home, Terminal};

const CONTENT: usize = 400_000;
const PIECE: usize = 25;
/// Pieces that are sent together, and how often: 1,000 a second.
const TOGETHER: usize = 10;
const BETWEEN: Duration = Duration::from_millis(10);
/// Between two keys.
const REST: Duration = Duration::from_millis(120);
/// Keys that are pressed while nothing happens.
const KEYS: usize = 60;
/// Letters of a draft; then it is emptied.
const DRAFT: usize = 20;
const KILL: &[u8] = b"\x15";

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temp folder");
    let text = markdown(CONTENT / scale);
    let (endpoint, at) = runtime.block_on(begun(&folder.path().join("store")));
    let home = Home::of(&endpoint.url, TOKEN);
    let screen = Terminal::ashore(&home, &["attach", at.run.as_str()], 120, 40);
    screen.shows("live");
    pause(Duration::from_secs(1));
    let idle: Vec<Duration> = (0..KEYS / scale.min(4))
        .map(|key| press(&screen, key))
        .collect();
    let before = cpu_of(screen.pid());
    let over = AtomicBool::new(false);
    let (busy, sent) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sent = runtime.block_on(send(&endpoint, &at, &text));
            over.store(true, Ordering::Relaxed);
            sent
        });
        let mut busy = Vec::new();
        while !over.load(Ordering::Relaxed) {
            busy.push(press(&screen, busy.len()));
        }
        (busy, sending.join().expect("it sends"))
    });
    let lag = screen.shows_since(sent, LAST);
    let used = cpu_of(screen.pid()) - before;
    // It is not left while a draft stands.
    screen.write(KILL);
    screen.leave();
    told(used, lag, idle, busy, text.len())
}

/// When the endpoint had taken the last piece.
async fn send(endpoint: &Endpoint, at: &RunRef, text: &str) -> Instant {
    let lines: Vec<String> = text
        .as_bytes()
        .chunks(PIECE)
        .map(|piece| chunk(&String::from_utf8_lossy(piece)))
        .collect();
    let mut pieces = tokio::time::interval(BETWEEN);
    for lines in lines.chunks(TOGETHER) {
        pieces.tick().await;
        endpoint.append(at, lines).await;
    }
    endpoint.append(at, &[chunk(&format!("\n\n{LAST}"))]).await;
    now()
}

/// One key, and how long until its letter stood in the draft.
fn press(screen: &Terminal, key: usize) -> Duration {
    let letters = key % DRAFT;
    if letters == 0 && key > 0 {
        // An empty draft says what it is for.
        screen.answers(KILL, "queues a message");
    }
    pause(REST);
    let draft: String = "qz".chars().cycle().take(letters + 1).collect();
    let letter = draft.as_bytes()[letters];
    screen.answers(&[letter], &format!("> {draft}"))
}

fn told(
    used: f64,
    lag: Duration,
    idle: Vec<Duration>,
    busy: Vec<Duration>,
    bytes: usize,
) -> Vec<Figure> {
    let worst = [&busy, &idle].map(|all| millis(percentile(all.clone(), 99)));
    let keys = format!(
        "{:.2} ms of {} keys, idle {:.2} ms of {}",
        worst[0],
        busy.len(),
        worst[1],
        idle.len()
    );
    vec![
        Figure {
            name: "P6",
            what: "processor, 400 KB of Markdown at 1,000 pieces a second",
            value: used,
            unit: Unit::Seconds,
            goal: Goal::AtMost(2.0),
            sides: format!("{bytes} bytes, with a key every {} ms", REST.as_millis()),
        },
        Figure {
            name: "P6",
            what: "the screen behind the last piece",
            value: millis(lag),
            unit: Unit::Millis,
            goal: Goal::AtMost(16.0),
            sides: "one picture is 16 ms".to_owned(),
        },
        Figure {
            name: "P7",
            what: "key to screen meanwhile / idle, 99 of 100",
            value: worst[0] / worst[1],
            unit: Unit::Ratio,
            goal: Goal::AtMost(3.0),
            sides: keys,
        },
        Figure {
            name: "P7",
            what: "key to screen meanwhile, median",
            value: millis(median(busy)),
            unit: Unit::Millis,
            goal: Goal::AtMost(2.0),
            sides: format!("idle {:.2} ms", millis(median(idle))),
        },
    ]
}
