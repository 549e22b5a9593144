//! `GET R/sync`: one follower, carried over HTTP as Server-Sent Events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::follow::{View, named};
use crate::backend::follower::{Follower, Place};
use crate::backend::http::app::App;
use crate::backend::http::auth::bearer;
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::Shared;
use crate::backend::http::sync::client_of;
use crate::backend::presence::Seat;
use crate::protocol::ids::RunId;
use crate::protocol::presence::{self, Client};
use crate::protocol::run::Status;

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
    let header = headers.get("last-event-id");
    let header = header.and_then(|header| header.to_str().ok());
    let seat = (view == View::Journal).then(|| app.presence.sit(&run, client_of(&headers)));
    let place = Here {
        run: run.clone(),
        seat,
        token: bearer(&headers).unwrap_or_default().to_owned(),
        _open: Open::new(&app.counters.streams),
        app: Arc::clone(&app),
    };
    let follower = Follower::open(Arc::clone(&app.journal), run, view, header, place).await?;
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

/// A follower's place in this endpoint.
struct Here {
    app: Arc<App>,
    run: RunId,
    /// Who else is there, for the view that is told.
    seat: Option<Seat>,
    /// What let it in.
    token: String,
    _open: Open,
}

#[async_trait::async_trait]
impl Place for Here {
    fn keepalive(&self) -> Duration {
        self.app.keepalive
    }

    fn shutdown(&self) -> CancellationToken {
        self.app.shutdown.clone()
    }

    async fn may_stay(&self) -> bool {
        match self.app.store.caller(&self.token).await {
            Ok(caller) => caller.is_some(),
            Err(error) => {
                tracing::warn!(%error, "cannot see whether a follower may stay");
                true
            }
        }
    }

    fn present(&self) -> Option<Bytes> {
        let seat = self.seat.as_ref()?;
        Some(present(&seat.told.borrow()))
    }

    async fn news(&mut self) -> Bytes {
        if let Some(seat) = &mut self.seat
            && seat.told.changed().await.is_ok()
        {
            return present(&seat.told.borrow_and_update());
        }
        std::future::pending().await
    }

    fn kept_alive(&self) {
        if self.seat.is_some() {
            let now = Instant::now().into_std();
            self.app.presence.sweep(&self.run, now);
        }
    }

    async fn status(&self, run: &RunId) -> Result<Option<Status>, String> {
        let stored = self.app.store.run(run).await;
        let stored = stored.map_err(|error| error.to_string())?;
        Ok(stored.map(|stored| stored.run.status))
    }
}
