//! The way to the terminal: one thread that writes, so that keys are read while a slow line takes its time.
//!
//! A shell. Decides nothing; whoever draws asks whether the way is free.

use std::io::{self, Write, stdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// Before the terminal is given away what is still to be written is waited for, but no longer than this.
const LAST: Duration = Duration::from_secs(2);

/// What is to be written, in order.
#[derive(Default)]
struct Way {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Some of it is being written.
    writing: bool,
    /// How long the last of it took.
    took: Duration,
    failed: Option<io::Error>,
}

impl Waiting {
    fn is_free(&self) -> bool {
        self.bytes.is_empty() && !self.writing
    }
}

impl Way {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never blocks. What went wrong before is told now.
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let mut waiting = self.lock();
        if let Some(error) = waiting.failed.take() {
            return Err(error);
        }
        waiting.bytes.extend_from_slice(bytes);
        self.changed.notify_all();
        Ok(())
    }

    /// Writes until nobody is told any more.
    fn work(&self, out: &mut impl Write, free: &mpsc::Sender<()>) {
        let mut waiting = self.lock();
        loop {
            while waiting.bytes.is_empty() {
                if free.is_closed() {
                    return;
                }
                let woken = self.changed.wait(waiting);
                waiting = woken.unwrap_or_else(PoisonError::into_inner);
            }
            let bytes = std::mem::take(&mut waiting.bytes);
            waiting.writing = true;
            drop(waiting);
            let began = Instant::now();
            let written = out.write_all(&bytes).and_then(|()| out.flush());
            let took = began.elapsed();
            waiting = self.lock();
            waiting.writing = false;
            waiting.took = took;
            if let Err(error) = written {
                waiting.failed = Some(error);
            }
            self.changed.notify_all();
            // One that waits already says the same.
            free.try_send(()).ok();
        }
    }

    fn settle(&self, long: Duration) {
        let waiting = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(waiting, long, |waiting| !waiting.is_free());
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // A picture for a terminal that is not ours any more is for nobody.
        waiting.bytes.clear();
    }
}

/// The terminal's, once there is one: a panic and a signal must find it from anywhere.
static WAY: OnceLock<Arc<Way>> = OnceLock::new();

/// Where pictures are written to.
pub struct Out(Arc<Way>);

/// Says when everything is written.
pub struct Free {
    way: Arc<Way>,
    told: mpsc::Receiver<()>,
}

/// Begins to write to the terminal in a thread of its own, as long as the other half lives.
pub fn start() -> io::Result<(Out, Free)> {
    let way = Arc::clone(WAY.get_or_init(Arc::default));
    let (free, told) = mpsc::channel(1);
    let works = Arc::clone(&way);
    std::thread::Builder::new()
        .name("pictures".to_owned())
        .spawn(move || works.work(&mut stdout(), &free))?;
    Ok((Out(Arc::clone(&way)), Free { way, told }))
}

/// Beside the pictures: behind what waits, or at once where nothing does.
pub(crate) fn say(text: &str) -> io::Result<()> {
    if let Some(way) = WAY.get() {
        return way.put(text.as_bytes());
    }
    let mut out = stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Until everything is written, so that somebody else may write; a terminal that takes nothing is not waited for.
pub(crate) fn settle() {
    if let Some(way) = WAY.get() {
        way.settle(LAST);
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Free {
    /// Ready when nothing waits: how long the last of it took, told once.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Duration> {
        loop {
            let mut waiting = self.way.lock();
            if waiting.is_free() {
                return Poll::Ready(std::mem::take(&mut waiting.took));
            }
            drop(waiting);
            match self.told.poll_recv(context) {
                Poll::Ready(Some(())) => (),
                Poll::Ready(None) => return Poll::Ready(Duration::ZERO),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        self.told.close();
        self.way.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::mpsc as std_mpsc;

    use super::*;

    /// Takes a write only when told so.
    struct Slow {
        may: std_mpsc::Receiver<io::Result<()>>,
        written: std_mpsc::Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.may.recv().unwrap_or(Ok(()))?;
            self.written.send(bytes.to_owned()).ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Line {
        out: Out,
        free: Free,
        may: std_mpsc::Sender<io::Result<()>>,
        written: std_mpsc::Receiver<Vec<u8>>,
    }

    fn line() -> Line {
        let way = Arc::new(Way::default());
        let (may, asked) = std_mpsc::channel();
        let (writes, written) = std_mpsc::channel();
        let (free, told) = mpsc::channel(1);
        let works = Arc::clone(&way);
        std::thread::spawn(move || {
            let mut slow = Slow {
                may: asked,
                written: writes,
            };
            works.work(&mut slow, &free);
        });
        Line {
            out: Out(Arc::clone(&way)),
            free: Free { way, told },
            may,
            written,
        }
    }

    async fn is_busy(free: &mut Free) -> bool {
        poll_fn(|context| Poll::Ready(free.poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn nobody_waits_for_a_slow_terminal_and_all_of_it_comes_in_order() {
        let mut line = line();
        assert!(!is_busy(&mut line.free).await);
        line.out.write_all(b"one").unwrap();
        line.out.flush().unwrap();
        assert!(is_busy(&mut line.free).await);
        line.may.send(Ok(())).unwrap();
        assert_eq!(line.written.recv().unwrap(), b"one");
        poll_fn(|context| line.free.poll(context)).await;
        assert!(!is_busy(&mut line.free).await);
        // What comes while something is written goes out together.
        line.out.write_all(b"two").unwrap();
        line.may.send(Ok(())).unwrap();
        assert_eq!(line.written.recv().unwrap(), b"two");
        poll_fn(|context| line.free.poll(context)).await;
        line.out.write_all(b"three").unwrap();
        line.may.send(Err(io::Error::other("gone"))).unwrap();
        poll_fn(|context| line.free.poll(context)).await;
        assert_eq!(line.out.write(b"x").unwrap_err().to_string(), "gone");
    }

    #[tokio::test]
    async fn before_the_terminal_is_given_away_all_of_it_is_written_or_nothing_more() {
        let mut line = line();
        line.out.write_all(b"last").unwrap();
        line.may.send(Ok(())).unwrap();
        line.out.0.settle(LAST);
        assert_eq!(line.written.try_recv().unwrap(), b"last");
        // It takes nothing: what waits behind is forgotten.
        line.out.write_all(b"stuck").unwrap();
        while line.out.0.lock().bytes == b"stuck" {
            tokio::task::yield_now().await;
        }
        line.out.write_all(b"behind").unwrap();
        line.out.0.settle(Duration::ZERO);
        line.may.send(Ok(())).unwrap();
        poll_fn(|context| line.free.poll(context)).await;
        assert_eq!(line.written.recv().unwrap(), b"stuck");
        assert!(line.written.try_recv().is_err());
    }
}
