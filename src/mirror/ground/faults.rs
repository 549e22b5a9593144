//! Errors of the system at chosen calls: the n-th call from now fails, or is done and says that it failed, or nothing works
//! any more from there on.
//!
//! Counts the calls of a thread and of the blocking work it starts. Which errors a call can really give is not asked.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It is not done.
    Instead,
    /// It is done, and says that it is not: an answer that was lost.
    After,
    /// It is not done, and no later one is.
    FromThen,
}

/// The call of this number, counted from 0, gives this error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) call: usize,
    pub(crate) error: Errno,
    pub(crate) how: How,
}

/// What is counted and what is to fail.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    fault: Option<Fault>,
    /// What this file system cannot do.
    lacks: &'static [&'static str],
    calls: Mutex<Vec<&'static str>>,
}

thread_local! {
    static FAULTS: RefCell<Option<Arc<Faults>>> = const { RefCell::new(None) };
}

impl Faults {
    /// Of a file system that refuses calls of these names.
    pub(crate) fn lacking(lacks: &'static [&'static str], fault: Option<Fault>) -> Arc<Self> {
        let calls = Mutex::default();
        Arc::new(Self {
            fault,
            lacks,
            calls,
        })
    }

    /// The names of the calls that were made, in order.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        let calls = self.calls.lock();
        calls.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts one call; how it fails, if it does.
    fn next(&self, name: &'static str) -> Option<(How, Errno)> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let number = calls.len();
        calls.push(name);
        if self.lacks.contains(&name) {
            return Some((How::Instead, Errno::INVAL));
        }
        let fault = self.fault.filter(|fault| match fault.how {
            How::Instead | How::After => fault.call == number,
            How::FromThen => fault.call <= number,
        })?;
        Some((fault.how, fault.error))
    }
}

/// From here on the calls of this thread are counted, and fail as told; `None`: as the system has it.
pub(crate) fn inject(faults: Option<Arc<Faults>>) {
    FAULTS.set(faults);
}

pub(super) fn tried<T, E: From<Errno>>(
    name: &'static str,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let faults = FAULTS.with_borrow(Clone::clone);
    match faults.and_then(|faults| faults.next(name)) {
        None => call(),
        Some((How::After, error)) => {
            call()?;
            Err(error.into())
        }
        Some((How::Instead | How::FromThen, error)) => Err(error.into()),
    }
}

/// Work for another thread, which stands under the same faults.
pub(super) fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let faults = FAULTS.with_borrow(Clone::clone);
    move || {
        inject(faults);
        let done = work();
        inject(None);
        done
    }
}
