//! `GET R/sync`: one follower's cursor, carried over HTTP as Server-Sent Events.
//!
//! Reads on when the bell rings and only as fast as the follower takes it; no queue stands between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backend::follow::{Cursor, View, begin, named};
use crate::backend::http::app::App;
use crate::backend::http::auth::bearer;
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::Shared;
use crate::backend::http::sync::client_of;
use crate::backend::presence::Seat;
use crate::protocol::ids::{RunId, Seq};
use crate::protocol::presence::{self, Client};

/// How much is read from the journal at once, in bytes.
const PIECE: usize = 256 * 1024;

struct Follower {
    app: Arc<App>,
    run: RunId,
    view: View,
    cursor: Cursor,
    bell: watch::Receiver<Seq>,
    ready: VecDeque<Bytes>,
    /// The store has been asked how the run stands, once the journal was read to its end.
    looked: bool,
    closing: bool,
    pass: Pass,
    /// Who else is there, for the view that is told.
    seat: Option<Seat>,
    _open: Open,
}

/// What let the follower in. It is asked for again from time to time: a token can be revoked under an open stream.
struct Pass {
    token: String,
    asked: Instant,
}

/// Counts the open streams.
struct Open(Arc<AtomicU64>);

impl Open {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub async fn get(
    State(app): State<Arc<App>>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    shared: Shared,
) -> Result<Response, Refusal> {
    let word = query.iter().find(|(key, _)| key == "view");
    let view = View::parse(word.map(|(_, word)| word.as_str())).ok_or_else(|| {
        Refusal::field(
            "view",
            "invalid_input",
            "`view` is `journal`, `commands`, or absent",
        )
    })?;
    let run = shared.stored.at.run;
    // The bell first: what comes between it and the reading rings.
    let bell = app.journal.listen(&run).await?;
    let last = app.journal.last(&run).await?;
    let header = headers.get("last-event-id");
    let after = begin(header.and_then(|header| header.to_str().ok()), last);
    let mut ready = VecDeque::new();
    if view.is_ours() {
        let hello = json!({"last_seq": last, "keepalive": app.keepalive.as_secs()});
        ready.push_back(named("hello", &hello).into());
    }
    let seat = (view == View::Journal).then(|| app.presence.sit(&run, client_of(&headers)));
    if let Some(seat) = &seat {
        ready.push_back(present(&seat.told.borrow()));
    }
    let follower = Follower {
        cursor: Cursor::new(view, run.clone(), after),
        _open: Open::new(&app.counters.streams),
        app,
        run,
        view,
        bell,
        ready,
        looked: false,
        closing: false,
        seat,
        pass: Pass {
            token: bearer(&headers).unwrap_or_default().to_owned(),
            asked: Instant::now(),
        },
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, std::convert::Infallible>(event), follower))
    });
    let mut response = Body::from_stream(events).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        (header::CACHE_CONTROL.as_str(), "no-cache"),
        ("x-accel-buffering", "no"),
        ("x-sync-ids", "log-sequence"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

fn present(clients: &[Client]) -> Bytes {
    named("presence", &presence::to_json(clients)).into()
}

/// The news of who is there; never comes where nobody is told.
async fn changed(seat: &mut Option<Seat>) -> Bytes {
    if let Some(seat) = seat
        && seat.told.changed().await.is_ok()
    {
        return present(&seat.told.borrow_and_update());
    }
    std::future::pending().await
}

impl Follower {
    /// The next event, whole; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.closing {
                return None;
            }
            if self.bell.has_changed().is_err() {
                self.fail("this run was removed");
                continue;
            }
            self.bell.mark_unchanged();
            if self.pass.asked.elapsed() >= self.app.keepalive && !self.may_stay().await {
                self.fail("this token was revoked or has expired");
                continue;
            }
            match self.read().await {
                Err(why) => self.fail(&why),
                Ok(true) => (),
                Ok(false) => self.rest().await,
            }
        }
    }

    async fn may_stay(&mut self) -> bool {
        self.pass.asked = Instant::now();
        match self.app.store.caller(&self.pass.token).await {
            Ok(caller) => caller.is_some(),
            Err(error) => {
                tracing::warn!(%error, "cannot see whether a follower may stay");
                true
            }
        }
    }

    /// Passes a piece of the journal; false at its end.
    async fn read(&mut self) -> Result<bool, String> {
        let after = self.cursor.after();
        let read = self.app.journal.read_after(&self.run, after, PIECE).await;
        let lines = read.map_err(|error| match error {
            crate::backend::journal::Error::Removed => "this run was removed".to_owned(),
            error => {
                tracing::error!(%error, "a follower is let go");
                "the journal cannot be read; the endpoint's log says why".to_owned()
            }
        })?;
        for line in &lines {
            self.ready.extend(self.cursor.pass(line).map(Bytes::from));
        }
        Ok(!lines.is_empty())
    }

    /// At the end of the journal: tells the end of the run, else waits for the bell or for the time of a keepalive.
    async fn rest(&mut self) {
        if !self.looked {
            self.look().await;
        }
        if let Some(end) = self.cursor.end() {
            self.ready.push_back(end.into());
            self.closing = self.cursor.is_over();
            return;
        }
        let shutdown = self.app.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => self.closing = true,
            // A closed bell is seen at the next turn.
            _ = self.bell.changed() => (),
            clients = changed(&mut self.seat) => self.ready.push_back(clients),
            () = tokio::time::sleep(self.app.keepalive) => {
                self.ready.push_back(self.keepalive());
                if self.seat.is_some() {
                    self.app.presence.sweep(&self.run, Instant::now().into_std());
                }
                self.look().await;
            }
        }
    }

    /// Asks the store how the run stands, in case the journal does not say.
    async fn look(&mut self) {
        self.looked = true;
        match self.app.store.run(&self.run).await {
            Ok(Some(stored)) => self.cursor.stands(&stored.run.status),
            Ok(None) => self.fail("this run was removed"),
            Err(error) => tracing::warn!(%error, "cannot see how a run stands"),
        }
    }

    fn keepalive(&self) -> Bytes {
        if self.view.is_ours() {
            named("keepalive", &json!({})).into()
        } else {
            Bytes::from_static(b": keepalive\n\n")
        }
    }

    fn fail(&mut self, text: &str) {
        let error = json!({"error": text});
        let event = if self.view.is_ours() {
            named("error", &error)
        } else {
            format!("data: {error}\n\n")
        };
        self.ready.push_back(event.into());
        self.closing = true;
    }
}
