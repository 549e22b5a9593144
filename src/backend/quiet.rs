//! When an endpoint that nobody needs any more may end: no run at work, no open stream, no request, for a while.
//!
//! Decides only that; who ends it is told by the future's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many looks fit into the time of quiet.
const LOOKS: u32 = 20;

/// Live figures of what comes in.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    pub(crate) streams: Arc<AtomicU64>,
    pub(crate) requests: Arc<AtomicU64>,
}

impl Traffic {
    /// With the number of runs that are not at rest.
    pub fn sight(&self, busy: usize) -> Sight {
        Sight {
            busy,
            streams: self.streams.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
        }
    }
}

/// What is seen at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Runs that are not at rest.
    pub busy: usize,
    pub streams: u64,
    /// Requests since the start.
    pub requests: u64,
}

/// Pure: looks in, quiet or not out.
#[derive(Debug)]
struct Quiet {
    limit: Duration,
    requests: u64,
    since: Option<Instant>,
}

impl Quiet {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            requests: 0,
            since: None,
        }
    }

    /// True once nothing has been seen for the whole limit.
    fn look(&mut self, sight: Sight, now: Instant) -> bool {
        let silent = sight.busy == 0 && sight.streams == 0 && sight.requests == self.requests;
        self.requests = sight.requests;
        if !silent {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.duration_since(since) >= self.limit
    }
}

/// Resolves after this much quiet.
pub async fn until_quiet(limit: Duration, look: impl Fn() -> Sight) {
    let mut quiet = Quiet::new(limit);
    let between = (limit / LOOKS).max(Duration::from_millis(1));
    loop {
        if quiet.look(look(), tokio::time::Instant::now().into_std()) {
            return;
        }
        tokio::time::sleep(between).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(600);

    fn sight(busy: usize, streams: u64, requests: u64) -> Sight {
        Sight {
            busy,
            streams,
            requests,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_time_after_ten_minutes_in_which_nobody_came_and_nothing_ran() {
        let begin = tokio::time::Instant::now();
        until_quiet(LIMIT, || sight(0, 0, 0)).await;
        assert_eq!(begin.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_a_stream_or_a_request_begins_the_time_anew() {
        for disturbed in [sight(1, 0, 0), sight(0, 1, 0), sight(0, 0, 1)] {
            let begin = tokio::time::Instant::now();
            let until = begin + LIMIT / 2;
            let requests = Cell::new(0);
            until_quiet(LIMIT, || {
                let now = tokio::time::Instant::now();
                if now > until {
                    return sight(0, 0, requests.get());
                }
                requests.set(requests.get() + disturbed.requests);
                sight(disturbed.busy, disturbed.streams, requests.get())
            })
            .await;
            assert!(begin.elapsed() > LIMIT + LIMIT / 2, "{disturbed:?}");
            assert!(begin.elapsed() <= LIMIT * 2, "{disturbed:?}");
        }
    }
}
