//! The commands of the run's clients, followed for ever: whatever cuts the link, it is tried again.

use std::pin::pin;

use tokio::sync::mpsc;

use crate::agent::journal::wait;
use crate::agent::road::Road;
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

/// Follows behind `after` until the end is final or nobody listens.
pub(crate) async fn follow(road: Road, mut after: Seq, out: mpsc::Sender<Link>) {
    let mut failures = 0;
    loop {
        let (hear, mut heard) = mpsc::channel(16);
        let api = road.api();
        let mut attempt = pin!(stream::follow(&api, &road.at, View::Commands, after, &hear));
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
        tokio::time::sleep(wait(failures, rand::random())).await;
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
