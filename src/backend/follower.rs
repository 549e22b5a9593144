//! One follower of a run: its cursor, moved by the journal's bell.
//!
//! Reads on when the bell rings and only as fast as the follower takes it; no queue stands between. What it must ask of
//! the endpoint around it stands behind [`Place`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::follow::{Cursor, View, begin, named};
use crate::backend::journal::{Error, Journal};
use crate::plant::planted;
use crate::protocol::ids::{RunId, Seq};
use crate::protocol::run::Status;

/// How much is read from the journal at once, in bytes.
const PIECE: usize = 256 * 1024;

/// What a follower asks of the endpoint it stands in.
#[async_trait::async_trait]
pub trait Place: Send + Sync {
    /// Between signs of life on a silent stream.
    fn keepalive(&self) -> Duration;
    /// The stream ends when it is cancelled.
    fn shutdown(&self) -> CancellationToken;
    /// What let the follower in is asked for again from time to time: a token can be revoked under an open stream.
    async fn may_stay(&self) -> bool;
    /// What a follower is told behind `hello` of those who are there, and whenever that has changed: an event without a
    /// number. Nothing, where nobody is told.
    fn present(&self) -> Option<Bytes> {
        None
    }
    async fn news(&mut self) -> Bytes {
        std::future::pending().await
    }
    /// A keepalive was sent.
    fn kept_alive(&self) {}
    /// How the store says that the run stands; `None` when it was removed.
    async fn status(&self, run: &RunId) -> Result<Option<Status>, String>;
}

/// An open stream.
pub struct Follower<P> {
    place: P,
    journal: Arc<Journal>,
    run: RunId,
    view: View,
    cursor: Cursor,
    bell: watch::Receiver<Seq>,
    ready: VecDeque<Bytes>,
    /// The store has been asked how the run stands, once the journal was read to its end.
    looked: bool,
    closing: bool,
    /// When it was last asked whether the follower may stay.
    asked: Instant,
}

impl<P: Place> Follower<P> {
    /// Stands behind the line that `last_event_id` names, and listens from now on.
    pub async fn open(
        journal: Arc<Journal>,
        run: RunId,
        view: View,
        last_event_id: Option<&str>,
        place: P,
    ) -> Result<Self, Error> {
        // The bell first: what comes between it and the reading rings.
        let bell = journal.listen(&run).await?;
        let last = journal.last(&run).await?;
        let after = begin(last_event_id, last);
        let mut ready = VecDeque::new();
        if view.is_ours() {
            let hello = json!({"last_seq": last, "keepalive": place.keepalive().as_secs()});
            ready.push_back(named("hello", &hello).into());
        }
        ready.extend(place.present());
        Ok(Self {
            place,
            journal,
            cursor: Cursor::new(view, run.clone(), after),
            run,
            view,
            bell,
            ready,
            looked: false,
            closing: false,
            asked: Instant::now(),
        })
    }

    /// The next event, whole; `None` ends the stream.
    pub async fn next(&mut self) -> Option<Bytes> {
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
            if !planted!(ReplayBeforeSubscribe) {
                self.bell.mark_unchanged();
            }
            if self.asked.elapsed() >= self.place.keepalive() && !self.may_stay().await {
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
        self.asked = Instant::now();
        self.place.may_stay().await
    }

    /// Passes a piece of the journal; false at its end.
    async fn read(&mut self) -> Result<bool, String> {
        let after = self.cursor.after();
        let read = self.journal.read_after(&self.run, after, PIECE).await;
        let lines = read.map_err(|error| match error {
            Error::Removed => "this run was removed".to_owned(),
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
        if planted!(ReplayBeforeSubscribe) {
            self.bell.mark_unchanged();
        }
        let (shutdown, keepalive) = (self.place.shutdown(), self.place.keepalive());
        tokio::select! {
            biased;
            () = shutdown.cancelled() => self.closing = true,
            // A closed bell is seen at the next turn.
            _ = self.bell.changed() => (),
            news = self.place.news() => self.ready.push_back(news),
            () = tokio::time::sleep(keepalive) => {
                self.ready.push_back(self.keepalive());
                self.place.kept_alive();
                self.look().await;
            }
        }
    }

    /// Asks the store how the run stands, in case the journal does not say.
    async fn look(&mut self) {
        self.looked = true;
        match self.place.status(&self.run).await {
            Ok(Some(status)) => self.cursor.stands(&status),
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
