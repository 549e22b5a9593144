//! The commands of the run's clients, followed for ever: whatever cuts the link, it is tried again.

use std::convert::Infallible;
use std::pin::pin;

use tokio::sync::mpsc;

use crate::agent::journal::wait;
use crate::agent::road::Road;
use crate::client::api::Logs;
use crate::client::error::Error;
use crate::client::stream::{self, Heard, View};
use crate::protocol::ids::Seq;

/// What comes down the link.
#[derive(Debug)]
pub(crate) enum Link {
    Heard(Heard),
    Cut,
    /// It will never stand again.
    Final(Error),
}

/// What is read of the run's journal; from the endpoint, or in the simulation.
#[async_trait::async_trait]
pub(crate) trait Way: Send + Sync {
    /// One attempt at the clients' commands: reads on behind `after` until the road fails.
    async fn follow(&self, after: Seq, out: &mpsc::Sender<Heard>) -> Error;
    /// The journal behind `after`.
    async fn logs(&self, after: Seq) -> Result<Logs, Error>;
    /// After a failure: has the endpoint moved?
    async fn look_again(&self);
    /// A number from 0 to 1.
    fn chance(&self) -> f64 {
        rand::random()
    }
}

#[async_trait::async_trait]
impl Way for Road {
    async fn follow(&self, after: Seq, out: &mpsc::Sender<Heard>) -> Error {
        let api = self.api();
        let error = stream::follow(&api, &self.at, View::Commands, after, out).await;
        let Err(error) = self.believe::<Infallible>(&api, Err(error)).await;
        error
    }

    async fn logs(&self, after: Seq) -> Result<Logs, Error> {
        let api = self.api();
        let logs = api.logs(&self.at, Some(after)).await;
        self.believe(&api, logs).await
    }

    async fn look_again(&self) {
        Self::look_again(self).await;
    }
}

/// Follows behind `after` until the end is final or nobody listens.
pub(crate) async fn follow(road: impl Way, mut after: Seq, out: mpsc::Sender<Link>) {
    let mut failures = 0;
    loop {
        let (hear, mut heard) = mpsc::channel(16);
        let mut attempt = pin!(road.follow(after, &hear));
        let error = loop {
            let heard = tokio::select! {
                biased;
                Some(heard) = heard.recv() => heard,
                error = &mut attempt => match heard.try_recv() {
                    // What came before the failure counts.
                    Ok(last) => {
                        pass(&out, last, &mut after).await;
                        while let Ok(more) = heard.try_recv() {
                            pass(&out, more, &mut after).await;
                        }
                        break error;
                    }
                    Err(_) => break error,
                },
            };
            failures = 0;
            pass(&out, heard, &mut after).await;
        };
        if out.is_closed() {
            return;
        }
        if !error.is_passing() {
            drop(out.send(Link::Final(error)).await);
            return;
        }
        tracing::debug!(%error, "the command stream is cut");
        failures += 1;
        drop(out.send(Link::Cut).await);
        tokio::time::sleep(wait(failures, road.chance())).await;
        road.look_again().await;
    }
}

async fn pass(out: &mpsc::Sender<Link>, heard: Heard, after: &mut Seq) {
    if let Heard::Lines(lines) = &heard
        && let Some((last, _)) = lines.last()
    {
        *after = *last;
    }
    // Nobody listens any more: the caller sees it.
    drop(out.send(Link::Heard(heard)).await);
}
