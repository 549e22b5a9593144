//! P2: the bytes of a journal to entries.

use std::path::Path;
use std::time::Duration;

use ashore::protocol::entry::Decoded;
use ashore::protocol::normalize::decode;
use serde_json::Value;

use crate::data;
use crate::measure::{Figure, Goal, Unit, timed, turns};
use crate::reference;

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let lines = 200_000 / scale;
    let bytes = data::file(&data::journal(lines));
    let rate = |time: Duration| lines as f64 / time.as_secs_f64() / 1e6;
    let (ours, bare) = turns(|| timed(|| entries(&bytes)), || timed(|| values(&bytes)));
    let mut figures = vec![Figure {
        name: "P2",
        what: "bulk bytes to entries / bare serde_json (Value) of the lines",
        value: rate(ours) / rate(bare),
        unit: Unit::Ratio,
        goal: Goal::AtLeast(0.6),
        sides: format!(
            "{:.2} Mev/s, {:.2} Mev/s; {} bytes a line",
            rate(ours),
            rate(bare),
            bytes.len() / lines
        ),
    }];
    let folder = tempfile::tempdir().expect("a temp folder");
    let file = folder.path().join("journal.ndjson");
    crate::write(&file, &bytes);
    figures.extend(beside_node(&bytes, &file, &rate));
    figures
}

fn beside_node(bytes: &[u8], file: &Path, rate: &dyn Fn(Duration) -> f64) -> Option<Figure> {
    reference::run("decode", file)?;
    let node = || reference::run("decode", file).map_or(Duration::MAX, |measured| measured.time);
    let (ours, theirs) = turns(|| timed(|| entries(bytes)), node);
    Some(Figure {
        name: "P2",
        what: "bulk bytes to entries / JSON.parse a line in node",
        value: rate(ours) / rate(theirs),
        unit: Unit::Ratio,
        goal: Goal::None,
        sides: format!(
            "{:.2} Mev/s, {:.2} Mev/s; the reference's own road made 0.125 Mev/s: {:.1}x",
            rate(ours),
            rate(theirs),
            rate(ours) / 0.125
        ),
    })
}

fn entries(bytes: &[u8]) {
    let known = each(bytes, |line| matches!(decode(line), Decoded::Entry(_)));
    assert!(known, "every line of ours is an entry");
}

fn values(bytes: &[u8]) {
    let known = each(bytes, |line| {
        serde_json::from_slice::<Value>(line).is_ok_and(|value| value.is_object())
    });
    assert!(known, "every line of ours is an object");
}

fn each(bytes: &[u8], mut read: impl FnMut(&[u8]) -> bool) -> bool {
    let mut all = true;
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        all &= read(std::hint::black_box(&bytes[begin..end]));
        begin = end + 1;
    }
    all
}
