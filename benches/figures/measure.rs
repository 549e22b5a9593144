//! The runner's measures: what is compared takes turns in one run, the median stands for it, one line tells it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// How often each side of a comparison runs.
pub(crate) const ROUNDS: usize = 5;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Told for comparison only.
    None,
}

/// A figure's unit, and how it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Ratio,
    Millis,
    Seconds,
    Mega,
    PerSecond,
    BytesPerByte,
    BytesPerSecond,
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}x"),
            Self::Millis => format!("{value:.2} ms"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Mega => format!("{value:.1} MB"),
            Self::PerSecond if value >= 100.0 => format!("{value:.0} /s"),
            Self::PerSecond => format!("{value:.2} /s"),
            Self::BytesPerByte => format!("{value:.1} B/B"),
            Self::BytesPerSecond => format!("{value:.1} B/s"),
        }
    }
}

/// One line of the report.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    /// What is measured, and what beside.
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    pub(crate) goal: Goal,
    /// Where the value comes from: the two sides of a ratio.
    pub(crate) sides: String,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.unit.write(self.value);
        let (goal, met) = match self.goal {
            Goal::AtLeast(goal) => (format!("≥ {}", self.unit.write(goal)), self.value >= goal),
            Goal::AtMost(goal) => (format!("≤ {}", self.unit.write(goal)), self.value <= goal),
            Goal::None => ("-".to_owned(), true),
        };
        let verdict = match self.goal {
            Goal::None => "",
            Goal::AtLeast(_) | Goal::AtMost(_) if met => "met",
            Goal::AtLeast(_) | Goal::AtMost(_) => "MISSED",
        };
        let Self {
            name, what, sides, ..
        } = self;
        write!(
            f,
            "{name:<5} {what:<66} {value:>12}  {goal:<14} {verdict:<6}  {sides}"
        )
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured here is real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "some figures are about time that goes by while nothing happens"
)]
pub(crate) fn pause(long: Duration) {
    std::thread::sleep(long);
}

pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let begin = now();
    work();
    begin.elapsed()
}

pub(crate) fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// A, B, A, B, and so on; the median of each.
pub(crate) fn turns(
    mut a: impl FnMut() -> Duration,
    mut b: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_a.push(a());
        of_b.push(b());
    }
    (median(of_a), median(of_b))
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The value that so many of a hundred do not exceed.
pub(crate) fn percentile(mut all: Vec<Duration>, of: usize) -> Duration {
    all.sort_unstable();
    let last = all.len().saturating_sub(1);
    all.get(last * of / 100).copied().unwrap_or_default()
}

/// Seconds of a processor that a process has used, in all its threads.
pub(crate) fn cpu_of(pid: u32) -> f64 {
    /// Linux tells hundredths.
    const TICKS: f64 = 100.0;
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold spaces; behind it the state is the first field.
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
    // `utime` and `stime`.
    ticks(11)
        .zip(ticks(12))
        .map_or(f64::NAN, |(user, system)| (user + system) / TICKS)
}

/// What this process needed at most, in MB (10^6 bytes).
pub(crate) fn peak_of(pid: u32) -> f64 {
    status(pid, "VmHWM:") * 1024.0 / 1e6
}

/// What it needs now.
pub(crate) fn resident_of(pid: u32) -> f64 {
    status(pid, "VmRSS:") * 1024.0 / 1e6
}

fn status(pid: u32, field: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    number_behind(&text, field)
}

fn number_behind(text: &str, field: &str) -> f64 {
    text.lines()
        .find_map(|line| {
            let rest = line.strip_prefix(field)?;
            rest.split_whitespace().next()?.parse().ok()
        })
        .unwrap_or(f64::NAN)
}

/// How often each thread of a process went to sleep and was woken again.
pub(crate) fn wakes_of(pid: u32) -> BTreeMap<String, f64> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    threads
        .flatten()
        .flatten()
        .filter_map(|thread| {
            let text = std::fs::read_to_string(thread.path().join("status")).ok()?;
            let name = thread.file_name().to_string_lossy().into_owned();
            Some((name, number_behind(&text, "voluntary_ctxt_switches:")))
        })
        .collect()
}

/// How often threads were woken between two looks. One that has ended was woken for that.
pub(crate) fn woken(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> f64 {
    let ended = before.keys().filter(|name| !after.contains_key(*name));
    let lived = after
        .iter()
        .map(|(name, count)| count - before.get(name).unwrap_or(&0.0));
    ended.count() as f64 + lived.sum::<f64>()
}
