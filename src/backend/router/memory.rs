//! The doorbell of one process: a `watch` per followed run.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::backend::router::Router;
use crate::protocol::ids::{RunId, Seq};

/// Bells of runs that nobody follows are thrown away when there are more than this.
const IDLE: usize = 1024;

#[derive(Default)]
pub struct Memory {
    bells: Mutex<HashMap<RunId, watch::Sender<Seq>>>,
}

impl Memory {
    fn bells(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, watch::Sender<Seq>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Router for Memory {
    async fn announce(&self, run: &RunId, last: Seq) {
        if let Some(bell) = self.bells().get(run) {
            bell.send_if_modified(|known| {
                let grew = last > *known;
                *known = (*known).max(last);
                grew
            });
        }
    }

    async fn listen(&self, run: &RunId) -> watch::Receiver<Seq> {
        let mut bells = self.bells();
        if bells.len() > IDLE {
            bells.retain(|_, bell| bell.receiver_count() > 0);
        }
        bells
            .entry(run.clone())
            .or_insert_with(|| watch::Sender::new(Seq::ZERO))
            .subscribe()
    }

    async fn forget(&self, run: &RunId) {
        self.bells().remove(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bell_rings_for_growth_only_and_closes_with_the_run() {
        let router = Memory::default();
        let run: RunId = "run".parse().unwrap();
        router.announce(&run, Seq(1)).await;
        let mut bell = router.listen(&run).await;
        router.announce(&run, Seq(3)).await;
        bell.changed().await.unwrap();
        assert_eq!(*bell.borrow_and_update(), Seq(3));
        router.announce(&run, Seq(2)).await;
        assert!(!bell.has_changed().unwrap());
        router.forget(&run).await;
        assert!(bell.changed().await.is_err());
    }
}
