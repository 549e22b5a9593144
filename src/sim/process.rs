//! A process that can be killed at any await: its tasks, and the machine's disk it works on.

use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio::task::{AbortHandle, JoinSet};

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a task of this thread has panicked since the last time: nobody waits for the tasks of a process.
pub(super) fn panicked() -> bool {
    PANICKED.take()
}

/// The tasks of one start. Cheap to clone; what a dead process starts never runs.
#[derive(Clone, Default)]
pub(super) struct Process(Arc<Mutex<Option<JoinSet<()>>>>);

impl Process {
    pub(super) fn start() -> Self {
        Self(Arc::new(Mutex::new(Some(JoinSet::new()))))
    }

    pub(super) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<AbortHandle> {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = tasks.as_mut()?;
        while tasks.try_join_next().is_some() {}
        let task = AssertUnwindSafe(task).catch_unwind();
        Some(tasks.spawn(async move {
            if task.await.is_err() {
                PANICKED.set(true);
            }
        }))
    }

    pub(super) fn is_alive(&self) -> bool {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.is_some()
    }

    /// Ends every task where it stands.
    pub(super) async fn kill(&self) {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
    }
}

/// Aborts a task when it is dropped.
pub(super) struct Abort(pub(super) Option<AbortHandle>);

impl Drop for Abort {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
