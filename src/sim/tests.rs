//! Seeds, and what they must show.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Lived, live};
use crate::plant::{Bug, plant};

/// Seeds that failed once, kept with what they showed.
const KEPT: &[u64] = &[
    // The agent side took a journal that was cut for the whole of it.
    8, // Two cancels before anything was taken hit one prompt.
    19, 26, 60,
    // The journal was put back between a client's history and its live stream.
    28, 3,  // The mirror scanned for ever while all was edited.
    9,  // Both sides refused each other the same edit for ever.
    47, // A conflict outlived what it was about.
    20, // A change noticed behind the last look of a turn was told as one of the turn.
];

/// Every so many seeds one is lived a second time, to see that it is the same.
const AGAIN: u64 = 5;

/// Within so many seeds a planted mistake must be found.
const PATIENCE: u64 = 1_000;

const ALL: &[Bug] = &[
    Bug::AckBeforeFsync,
    Bug::TornTailKept,
    Bug::AnnounceBeforeDurable,
    Bug::BrokenBookKept,
    Bug::KeyForgottenAtRestart,
    Bug::BatchOffByOne,
    Bug::OffByOneCursor,
    Bug::ReplayBeforeSubscribe,
    Bug::ChunkDroppedAtSplit,
    Bug::CursorBeforeEntry,
    Bug::CacheHoleKept,
    Bug::ResetIgnored,
    Bug::RetryTimerLost,
    Bug::DroppedOnAccept,
    Bug::SpoolWithoutBatch,
    Bug::RecallForgetsTaken,
    Bug::PromptBeforeTaken,
    Bug::PromptDuringTurn,
    Bug::CancelsWrongPrompt,
    Bug::BarrierSkipped,
    Bug::PromptBeforeEdits,
    Bug::StaleEditApplied,
    Bug::BaseBeforeRename,
    Bug::WriteNotNoted,
    Bug::PreImageSkipped,
    Bug::SecondLookSkipped,
    Bug::ChangedFileDeleted,
    Bug::EchoNotKnown,
    Bug::EditsBehindPrompt,
];

#[expect(clippy::disallowed_methods, reason = "these are settings of the tests")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str) -> Option<u64> {
    setting(name)?.parse().ok()
}

fn report(seed: u64, lived: &Lived) -> String {
    let what = lived.failure.as_deref().unwrap_or("all is well");
    let tail: Vec<&str> = lived.tail.lines().rev().take(40).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    format!(
        "seed {seed}: {what}\n{}\n…\n{}\nreplay: ASHORE_SIM_SEED={seed} cargo test --lib sim::tests::one -- --nocapture",
        lived.options,
        tail.join("\n")
    )
}

/// Lives a seed, and every n-th a second time; what failed, or was not the same twice.
fn lived(seed: u64) -> Result<usize, String> {
    let again = number("ASHORE_SIM_AGAIN").unwrap_or(AGAIN);
    let first = live(seed);
    if first.failure.is_some() {
        return Err(report(seed, &first));
    }
    if !seed.is_multiple_of(again) {
        return Ok(first.lines);
    }
    let second = live(seed);
    if first.hash == second.hash {
        return Ok(first.lines);
    }
    let mut pairs = first.tail.lines().zip(second.tail.lines());
    let differs = pairs.find(|(one, other)| one != other);
    Err(format!(
        "seed {seed} is not the same twice: {differs:?}\n{}",
        first.options
    ))
}

/// Shares seeds out among the cores; the first failures, in words.
fn many_seeds(first: u64, count: u64) -> (usize, Vec<String>) {
    let next = AtomicU64::new(first);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut lines = 0;
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let work = || {
            let (mut lines, mut failures) = (0, Vec::new());
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count || failures.len() >= 3 {
                    return (lines, failures);
                }
                match lived(seed) {
                    Ok(some) => lines += some,
                    Err(failure) => failures.push(failure),
                }
            }
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let (some, found) = thread.join().expect("a seed that panics has said so");
            lines += some;
            failures.extend(found);
        }
    });
    (lines, failures)
}

#[test]
fn many() {
    let count = number("ASHORE_SIM_SEEDS").unwrap_or(200);
    let first = number("ASHORE_SIM_FIRST").unwrap_or(0);
    let (lines, failures) = many_seeds(first, count);
    println!("{count} seeds, {lines} journal lines");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The seed named in the environment, told in full; else those that were kept.
#[test]
fn one() {
    plant(planted());
    let Some(seed) = number("ASHORE_SIM_SEED") else {
        for seed in KEPT {
            if let Err(failure) = lived(*seed) {
                panic!("{failure}");
            }
        }
        return;
    };
    let lived = live(seed);
    println!("{}\n{}", lived.options, lived.tail);
    assert!(lived.failure.is_none(), "{}", report(seed, &lived));
}

fn planted() -> Option<Bug> {
    let name = setting("ASHORE_SIM_BUG")?;
    let bug = ALL.iter().copied().find(|bug| format!("{bug:?}") == name);
    assert!(bug.is_some(), "no such mistake is planted: {name}");
    bug
}

/// The first seed that shows a planted mistake, and how.
fn found(bug: Bug) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = (0..PATIENCE).find_map(|seed| Some((seed, live(seed).failure?)));
    plant(None);
    found
}

#[test]
fn every_planted_mistake_is_found() {
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let missed = std::thread::scope(|scope| {
        let work = || {
            let mut missed = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(bug) = usize::try_from(index).ok().and_then(|index| ALL.get(index)) else {
                    return missed;
                };
                match found(*bug) {
                    Some((seed, how)) => println!("{bug:?}: seed {seed}: {how}"),
                    None => missed.push(*bug),
                }
            }
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let threads = threads.into_iter();
        threads
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect::<Vec<_>>()
    });
    assert!(
        missed.is_empty(),
        "not found within {PATIENCE} seeds: {missed:?}"
    );
}
