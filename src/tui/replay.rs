//! A journal from a file, played: its lines come as they came when they were written, faster or slower.
//!
//! A shell. Nothing is asked of anybody and nothing can be said to the run; the clock is that of the journal.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::attach;
use crate::attach::state::{Attached, Link};
use crate::protocol::entry::Decoded;
use crate::protocol::ids::{ProjectId, RunRef, Seq};
use crate::protocol::normalize::decode;
use crate::tui::event::Event;

/// A longer line is none of a journal; so it is with what an endpoint sends.
const LINE: u64 = 1024 * 1024;
/// Lines that arrive at once.
const BATCH: usize = 256;
/// Nobody waits longer for the next line, whatever time went by in the run.
const LONGEST: Duration = Duration::from_secs(3);

/// Why a file cannot be played; whole sentences.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {file}: {source}", file = file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{file} is no journal: `ashore export RUN --format ndjson` writes one", file = .0.display())]
    NoJournal(PathBuf),
}

/// A journal that is ready to be played.
#[derive(Debug)]
pub struct Tape {
    reader: BufReader<File>,
    name: String,
    first: Decoded,
    speed: f64,
    clock: Clock,
}

/// What is played is called so, as no run of an endpoint is.
const ID: &str = "replay";

/// Is this what is played?
pub(crate) fn is_one(at: &RunRef) -> bool {
    at.run.as_str() == ID
}

/// What time it is in what is played.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<Mutex<Option<Beat>>>);

/// The last line's time, when it came here, and how fast time goes since.
#[derive(Debug, Clone, Copy)]
struct Beat {
    at: Timestamp,
    came: Instant,
    speed: f64,
}

impl Clock {
    fn set(&self, at: Timestamp, speed: f64) {
        let beat = Beat {
            at,
            came: Instant::now(),
            speed,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(beat);
    }

    /// `None` while nothing is played.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        let beat = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let gone = beat.came.elapsed().as_secs_f64() * beat.speed;
        let gone = SignedDuration::try_from_secs_f64(gone).unwrap_or_default();
        Some(beat.at.checked_add(gone).unwrap_or(beat.at))
    }
}

impl Tape {
    /// `speed`: how many times as fast as it was; infinite is without waiting.
    pub async fn open(file: &Path, speed: f64) -> Result<Self, Error> {
        let cannot = |source| Error::Read {
            file: file.to_owned(),
            source,
        };
        let mut reader = BufReader::new(File::open(file).await.map_err(cannot)?);
        let line = next(&mut reader).await.map_err(cannot)?;
        let first = line.filter(|line| is_journal(line));
        let first = first.ok_or_else(|| Error::NoJournal(file.to_owned()))?;
        let name = file.file_name().unwrap_or(file.as_os_str());
        let tape = Self {
            reader,
            name: name.to_string_lossy().into_owned(),
            first: decode(&first),
            speed,
            clock: Clock::default(),
        };
        if let Some(time) = time(&tape.first) {
            tape.clock.set(time, tape.speed);
        }
        Ok(tape)
    }

    /// The run as it is before the first line.
    pub(crate) fn attached(&self) -> Attached {
        let at = RunRef {
            project: ProjectId(1),
            task: ID.parse().expect("it is a name"),
            run: ID.parse().expect("it is a name"),
        };
        let mut attached = Attached::new(at, self.name.clone(), true);
        attached.link = Link::Live;
        attached
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Until its end, or until nobody listens.
    pub(crate) async fn play(mut self, to: mpsc::Sender<Event>) {
        let mut last = time(&self.first);
        let mut seq = Seq::ZERO.next();
        let mut batch = vec![(seq, self.first)];
        let over = loop {
            let line = match next(&mut self.reader).await {
                Ok(Some(line)) => decode(&line),
                Ok(None) => break "the replay is over".to_owned(),
                Err(error) => break format!("the replay ends here: {error}"),
            };
            let now = time(&line);
            let wait = wait(last, now, self.speed);
            if !wait.is_zero() || batch.len() >= BATCH {
                if !arrive(&to, &mut batch).await {
                    return;
                }
                sleep(wait).await;
            }
            if let Some(now) = now {
                self.clock.set(now, self.speed);
                last = Some(now);
            }
            seq = seq.next();
            batch.push((seq, line));
        };
        if arrive(&to, &mut batch).await {
            to.send(Event::Noted(over)).await.ok();
        }
    }
}

/// False when nobody listens any more.
async fn arrive(to: &mpsc::Sender<Event>, batch: &mut Vec<(Seq, Decoded)>) -> bool {
    let lines = std::mem::take(batch);
    let arrived = attach::event::Event::Arrived(lines);
    to.send(Event::Attach(arrived)).await.is_ok()
}

/// What lies between two lines, at this speed.
fn wait(last: Option<Timestamp>, now: Option<Timestamp>, speed: f64) -> Duration {
    let Some((last, now)) = last.zip(now) else {
        return Duration::ZERO;
    };
    let gone = now.duration_since(last).as_secs_f64() / speed;
    Duration::try_from_secs_f64(gone).map_or(Duration::ZERO, |gone| gone.min(LONGEST))
}

fn time(line: &Decoded) -> Option<Timestamp> {
    match line {
        Decoded::Entry(entry) => entry.timestamp,
        Decoded::Bad(_) | Decoded::Blank => None,
    }
}

/// A line of the journal itself, not one that `ashore events` prints.
fn is_journal(line: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    value.is_some_and(|value| value.is_object() && value.get("v").is_none())
}

/// The next line without its end; of one that is too long its beginning.
async fn next(reader: &mut BufReader<File>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(LINE).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_none() {
        let mut rest = Vec::new();
        while !rest.ends_with(b"\n") {
            rest.clear();
            if reader.take(LINE).read_until(b'\n', &mut rest).await? == 0 {
                break;
            }
        }
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_as_it_went_but_nobody_waits_long() {
        let at = |seconds| Timestamp::from_second(seconds).ok();
        let table = [
            (at(10), at(12), 1.0, 2.0),
            (at(10), at(12), 4.0, 0.5),
            (at(10), at(12), 0.8, 2.5),
            (at(10), at(900), 1.0, 3.0),
            (at(10), at(9), 1.0, 0.0),
            (at(10), at(12), f64::INFINITY, 0.0),
            (None, at(12), 1.0, 0.0),
            (at(10), None, 1.0, 0.0),
        ];
        for (last, now, speed, seconds) in table {
            let waited = wait(last, now, speed);
            assert_eq!(
                waited,
                Duration::from_secs_f64(seconds),
                "{last:?} {now:?} {speed}"
            );
        }
    }

    #[tokio::test]
    async fn lines_come_in_order_and_what_is_no_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            #[expect(clippy::disallowed_methods, reason = "a test's own file")]
            std::fs::write(&file, text).unwrap();
            file
        };
        for (name, text) in [("a", ""), ("b", "# Run\n"), ("c", "{\"v\":1,\"seq\":1}\n")] {
            let refused = Tape::open(&write(name, text), 1.0).await.unwrap_err();
            assert!(matches!(refused, Error::NoJournal(_)), "{refused}");
        }
        let line = r#"{"type":"notification","timestamp":"2026-01-19T14:02:00Z","notification":{"jsonrpc":"2.0","method":"x"}}"#;
        let long = "x".repeat(3 * 1024 * 1024);
        let file = write("d", &format!("{line}\n{long}\n{line}\n{line}"));
        let tape = Tape::open(&file, f64::INFINITY).await.unwrap();
        let (to, mut events) = mpsc::channel(8);
        tape.play(to).await;
        let Some(Event::Attach(attach::event::Event::Arrived(lines))) = events.recv().await else {
            panic!("nothing arrived");
        };
        let seqs: Vec<u64> = lines.iter().map(|(seq, _)| seq.0).collect();
        assert_eq!(seqs, [1, 2, 3, 4]);
        assert!(matches!(lines[1].1, Decoded::Bad(_)));
        assert!(matches!(lines[3].1, Decoded::Entry(_)));
        assert!(matches!(events.recv().await, Some(Event::Noted(_))));
    }
}
