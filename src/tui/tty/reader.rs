//! The terminal's input: one thread that reads as long as the program lives.
//!
//! A shell. Decides nothing; `sieve` says what was read.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

use crate::tui::tty::sieve::{Said, Sieve};

/// What was said and not heard yet.
const SAID: usize = 1024;
/// Bytes of a line that has no end.
const LINE: usize = 1024 * 1024;
/// Longer than the thread takes to step aside; if it takes longer it is not reading.
const ASIDE: Duration = Duration::from_millis(200);

/// Whether the thread may read: while another program has the terminal it must not.
struct Gate {
    state: Mutex<Waiting>,
    changed: Condvar,
    /// Wakes it where it waits for input.
    wake: OnceLock<PipeWriter>,
}

#[derive(Default)]
struct Waiting {
    /// So many want it to wait.
    held: usize,
    aside: bool,
}

static GATE: Gate = Gate {
    state: Mutex::new(Waiting {
        held: 0,
        aside: false,
    }),
    changed: Condvar::new(),
    wake: OnceLock::new(),
};

/// As long as this lives nothing is read: the terminal's input belongs to somebody else.
#[derive(Debug)]
pub struct Held(());

/// Takes the terminal's input away from this program.
pub fn hold() -> Held {
    lock().held += 1;
    let Some(mut wake) = GATE.wake.get() else {
        return Held(());
    };
    if wake.write_all(b"w").is_ok() {
        let waited = GATE
            .changed
            .wait_timeout_while(lock(), ASIDE, |waiting| !waiting.aside);
        drop(waited);
    }
    Held(())
}

impl Drop for Held {
    fn drop(&mut self) {
        lock().held -= 1;
        GATE.changed.notify_all();
    }
}

fn lock() -> MutexGuard<'static, Waiting> {
    GATE.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to read. The channel ends when the terminal is gone. A second reader would take half of the keys.
pub fn start() -> io::Result<mpsc::Receiver<Said>> {
    begin(read_on)
}

/// Begins to read whole lines, without their ends, from a terminal that edits them itself. The channel ends with the
/// input.
pub fn lines() -> io::Result<mpsc::Receiver<String>> {
    begin(read_lines)
}

fn begin<T: Send + 'static>(
    read: fn(PipeReader, &mpsc::Sender<T>),
) -> io::Result<mpsc::Receiver<T>> {
    let (woken, wake) = io::pipe()?;
    if GATE.wake.set(wake).is_err() {
        return Err(io::Error::other("the terminal is being read already"));
    }
    let (said, heard) = mpsc::channel(SAID);
    std::thread::Builder::new()
        .name("terminal".to_owned())
        .spawn(move || read(woken, &said))?;
    Ok(heard)
}

fn read_lines(mut woken: PipeReader, to: &mpsc::Sender<String>) {
    let input = io::stdin();
    let mut kept = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        step_aside();
        let read = match wait(&input, &woken, None) {
            Come::Input => rustix::io::read(&input, &mut bytes),
            Come::Nothing => continue,
            Come::Call => {
                if woken.read(&mut [0]).is_err() {
                    return;
                }
                continue;
            }
        };
        let over = match read {
            Ok(0) => true,
            Ok(count) => {
                kept.extend_from_slice(&bytes[..count]);
                false
            }
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => true,
        };
        let whole = kept
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map(|at| at + 1);
        // What never ends is a line when it is as long as a prompt may be, and at the end.
        let whole = match whole {
            None if over || kept.len() > LINE => kept.len(),
            whole if over => whole.map_or(0, |_| kept.len()),
            whole => whole.unwrap_or(0),
        };
        let text = String::from_utf8_lossy(&kept.drain(..whole).collect::<Vec<u8>>()).into_owned();
        for line in text.lines() {
            if to.blocking_send(line.to_owned()).is_err() {
                return;
            }
        }
        if over {
            return;
        }
    }
}

fn read_on(mut woken: PipeReader, to: &mpsc::Sender<Said>) {
    let terminal = io::stdin();
    let mut sieve = Sieve::default();
    let mut bytes = [0; 4096];
    loop {
        step_aside();
        let said = match wait(&terminal, &woken, sieve.waits()) {
            Come::Input => match rustix::io::read(&terminal, &mut bytes) {
                Ok(0) => return,
                Ok(count) => sieve.take(&bytes[..count]),
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(_) => return,
            },
            Come::Nothing => sieve.give_up(),
            Come::Call => {
                // One byte a call; the gate says what for.
                if woken.read(&mut [0]).is_err() {
                    return;
                }
                continue;
            }
        };
        for one in said {
            if to.blocking_send(one).is_err() {
                return;
            }
        }
    }
}

fn step_aside() {
    let mut waiting = lock();
    if waiting.held == 0 {
        return;
    }
    waiting.aside = true;
    GATE.changed.notify_all();
    while waiting.held > 0 {
        waiting = GATE
            .changed
            .wait(waiting)
            .unwrap_or_else(PoisonError::into_inner);
    }
    waiting.aside = false;
}

enum Come {
    Input,
    /// Not in time.
    Nothing,
    Call,
}

fn wait(terminal: &impl AsFd, woken: &PipeReader, long: Option<Duration>) -> Come {
    let long = long.and_then(|long| Timespec::try_from(long).ok());
    loop {
        let mut fds = [
            PollFd::new(terminal, PollFlags::IN),
            PollFd::new(woken, PollFlags::IN),
        ];
        match poll(&mut fds, long.as_ref()) {
            Ok(0) => return Come::Nothing,
            Ok(_) if !fds[1].revents().is_empty() => return Come::Call,
            // A signal; the time begins anew, which a person does not notice.
            Err(Errno::INTR) => (),
            // What is wrong with it, reading will say.
            Ok(_) | Err(_) => return Come::Input,
        }
    }
}
