//! Follows a run for a one-shot command: for ever, over every break, until the caller has what it wants.
//!
//! Restarts this user's local endpoint when that is what broke.

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::client::api::Api;
use crate::client::error::Error;
use crate::client::retry::{Next, Retry};
use crate::client::stream::{self, Heard, Manner, Raw, View};
use crate::commands::context::{Context, Found};
use crate::commands::failure::{Exit, Failure};
use crate::protocol::ids::Seq;

/// Hands everything heard after `after` to `each`, until that names an exit.
pub async fn follow(
    context: &Context,
    found: &Found,
    after: Seq,
    mut each: impl FnMut(Heard) -> Result<Option<Exit>, Failure>,
) -> Result<Exit, Failure> {
    let (mut last, mut reached) = (after, after);
    let mut api = found.api.clone();
    let mut retry = Retry::default();
    let manner = Manner::default();
    loop {
        let error = {
            let (out, mut heard) = mpsc::channel(16);
            let mut keep = |_: &Raw| ();
            // `out` ends with the road, so everything heard is taken before its failure counts.
            let road = async {
                let out = out;
                let (at, from) = (&found.at, last.into());
                stream::follow_kept(&api, at, View::Journal, from, &out, &mut keep, &manner).await
            };
            tokio::pin!(road);
            let mut failed = None;
            loop {
                tokio::select! {
                    biased;
                    one = heard.recv() => {
                        let Some(mut one) = one else { break };
                        retry.succeeded(now());
                        match &mut one {
                            Heard::Lines(lines) => {
                                reached = lines.last().map_or(reached, |(seq, _)| *seq);
                                lines.retain(|(seq, _)| *seq > after);
                            }
                            // It is another journal than the one we read: from its start, then.
                            Heard::Opened { last, same } if *last < reached || !*same => reached = Seq::ZERO,
                            Heard::Opened { .. }
                            | Heard::Live
                            | Heard::Ended(_)
                            | Heard::Presence(_) => (),
                        }
                        if let Some(exit) = each(one)? {
                            return Ok(exit);
                        }
                    }
                    error = &mut road, if failed.is_none() => failed = Some(error),
                }
            }
            failed.unwrap_or_else(|| Error::Unreachable {
                text: "the stream is closed".to_owned(),
            })
        };
        last = reached;
        match retry.next(&error, now(), rand::random()) {
            Next::Wait(wait) => tokio::time::sleep(wait).await,
            Next::GiveUp => return Err(error.into()),
        }
        api = again(context, api).await;
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// The same endpoint, started again and at its new address if it is the local one.
async fn again(context: &Context, api: Api) -> Api {
    if !api.endpoint().local {
        return api;
    }
    match context
        .start_local()
        .await
        .and_then(|endpoint| context.api(endpoint))
    {
        Ok(fresh) => fresh,
        // The next attempt will say so.
        Err(_) => api,
    }
}
