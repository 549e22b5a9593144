//! Seeds, and what they must show.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Lived, live};
use crate::plant::{Bug, plant};

/// Every so many seeds one is lived a second time, to see that it is the same.
const AGAIN: u64 = 5;

/// Within so many seeds a planted mistake must be found.
const PATIENCE: u64 = 1_000;

/// Every mistake with a life that shows it: well without it, and failing with it. When what a seed draws changes and one shows
/// it no longer, the first that does is looked for, and told.
const PLANTED: &[(Bug, u64)] = &[
    (Bug::AckBeforeFsync, 1),
    (Bug::RepeatBeforeDurable, 10),
    (Bug::TornTailKept, 8),
    (Bug::AnnounceBeforeDurable, 1),
    (Bug::BrokenBookKept, 16),
    (Bug::KeyForgottenAtRestart, 9),
    (Bug::BatchOffByOne, 4),
    (Bug::OffByOneCursor, 2),
    (Bug::ReplayBeforeSubscribe, 125),
    (Bug::TwoCancelsOnePrompt, 17),
    (Bug::ShorterHelloTaken, 126),
    (Bug::ChunkDroppedAtSplit, 1),
    (Bug::CursorBeforeEntry, 0),
    (Bug::CacheHoleKept, 53),
    (Bug::ResetIgnored, 1),
    (Bug::RetryTimerLost, 1),
    (Bug::DroppedOnAccept, 1),
    (Bug::CutJournalTaken, 115),
    (Bug::LateWordsTakeTheOldName, 33),
    (Bug::SpoolWithoutBatch, 0),
    (Bug::RecallForgetsTaken, 5),
    (Bug::PromptBeforeTaken, 65),
    (Bug::PromptDuringTurn, 1),
    (Bug::CancelsWrongPrompt, 25),
    (Bug::LateCancelHitsNext, 198),
    (Bug::BarrierSkipped, 10),
    (Bug::PromptBeforeEdits, 2),
    (Bug::StaleEditApplied, 16),
    (Bug::ToldBeforeSynced, 0),
    (Bug::TornTold, 93),
    (Bug::BaseBeforeRename, 0),
    (Bug::RenamedBeforeSync, 6),
    (Bug::PreImageSkipped, 10),
    (Bug::SecondLookSkipped, 26),
    (Bug::ChangedFileDeleted, 30),
    (Bug::EchoNotKnown, 3),
    (Bug::EditsBehindPrompt, 0),
    (Bug::SwappedOutForgotten, 246),
    (Bug::DeafAfterRewind, 0),
];

/// Seeds that once failed for a reason. A change of what a seed draws gives them other lives, which cost as little.
const KEPT: &[u64] = &[
    10, 11, 14, 15, 17, 19, 192, 346, 402, 416, 447, 494, 597, 773, 796, 884, 914, 947, 1189, 1271,
    2017, 2152, 2218, 2256, 3181, 3258, 4020, 4773, 4784, 4919, 7986, 10414, 15340, 16781,
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
        "seed {seed}: {what}\n{}\n…\n{}\nreplay: {}",
        lived.options,
        tail.join("\n"),
        replay(seed)
    )
}

/// The one command that lives a seed again and tells it in full.
fn replay(seed: u64) -> String {
    let bug = planted().map_or_else(String::new, |bug| format!("ASHORE_SIM_BUG={bug:?} "));
    format!("{bug}ASHORE_SIM_SEED={seed} cargo test --lib sim::tests::one -- --nocapture")
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
            plant(planted());
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

#[test]
fn what_once_failed_holds() {
    let failures: Vec<String> = KEPT.iter().filter_map(|seed| lived(*seed).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The seed named in the environment, told in full.
#[test]
fn one() {
    plant(planted());
    let seed = number("ASHORE_SIM_SEED").unwrap_or_default();
    let lived = live(seed);
    println!("{}\n{}\n{}", lived.options, lived.journal, lived.tail);
    assert!(lived.failure.is_none(), "{}", report(seed, &lived));
}

fn planted() -> Option<Bug> {
    let name = setting("ASHORE_SIM_BUG")?;
    let mut all = PLANTED.iter().map(|(bug, _)| *bug);
    let bug = all.find(|bug| format!("{bug:?}") == name);
    assert!(bug.is_some(), "no such mistake is planted: {name}");
    bug
}

/// How a life goes with a mistake in it.
fn with(bug: Bug, seed: u64) -> Option<String> {
    plant(Some(bug));
    let lived = live(seed);
    plant(None);
    lived.failure
}

/// The first seed that shows a planted mistake and is well without it, the one that did so before first; and how.
fn found(bug: Bug, before: u64) -> Option<(u64, String)> {
    let seeds = std::iter::once(before).chain(0..PATIENCE);
    let mut shown = seeds.filter_map(|seed| Some((seed, with(bug, seed)?)));
    shown.find(|(seed, _)| lived(*seed).is_ok())
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
                let planted = usize::try_from(index).ok();
                let Some((bug, before)) = planted.and_then(|index| PLANTED.get(index)) else {
                    return missed;
                };
                match found(*bug, *before) {
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
