//! The journal in bulk: `GET R/logs`, whole as the reference or behind a number as ours; `POST R/append_log`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Json, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::backend::http::app::App;
use crate::backend::http::auth::Base;
use crate::backend::http::body;
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::Shared;
use crate::backend::http::shape;
use crate::backend::journal::{Answers, Appended, Error};
use crate::backend::ledger::Batch;
use crate::backend::lifecycle::Signal;
use crate::backend::store::StoredRun;
use crate::backend::store::tokens::Caller;
use crate::protocol::entry::{Decoded, Ext, Said, StepStatus};
use crate::protocol::ids::{RunId, Seq};
use crate::protocol::normalize;
use crate::protocol::run::Policy;

/// Read at once, in bytes.
const PIECE: usize = 256 * 1024;

/// A longer name is no agent's, in bytes.
const LONGEST_NAME: usize = 100;

/// How the lines are joined.
#[derive(Clone, Copy)]
enum Ends {
    /// As the reference: none behind the last line.
    Between,
    /// Each line ends, so that a cut one is known.
    Each,
}

pub async fn get(
    State(app): State<Arc<App>>,
    Query(query): Query<Vec<(String, String)>>,
    shared: Shared,
) -> Result<Response, Refusal> {
    let run = shared.stored.at.run;
    let after = query.iter().find(|(key, _)| key == "after");
    let Some((_, after)) = after else {
        return whole(&app, &run).await;
    };
    let after = after
        .parse()
        .map_err(|_| body::wrong("after", "the number of a line"))?;
    lines(&app, &run, Seq(after), Ends::Each).await
}

/// The whole journal, as the reference answers it.
pub async fn whole(app: &Arc<App>, run: &RunId) -> Result<Response, Refusal> {
    lines(app, run, Seq::ZERO, Ends::Between).await
}

async fn lines(app: &Arc<App>, run: &RunId, after: Seq, ends: Ends) -> Result<Response, Refusal> {
    let last = app.journal.last(run).await?;
    let start = (Arc::clone(app), run.clone(), after);
    let pieces = stream::try_unfold(start, move |(app, run, after)| async move {
        let piece = piece(&app, &run, after, last, ends).await?;
        Ok::<_, Error>(piece.map(|(bytes, after)| (bytes, (app, run, after))))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    set(
        "content-type",
        HeaderValue::from_static("application/jsonl"),
    );
    set("cache-control", HeaderValue::from_static("no-cache"));
    set("x-sync-ids", HeaderValue::from_static("log-sequence"));
    set("x-last-seq", HeaderValue::from(last.0));
    set("x-keepalive", HeaderValue::from(app.keepalive.as_secs()));
    Ok(response)
}

/// Some lines behind `after`, none behind `last`, which the answer's header has promised.
async fn piece(
    app: &App,
    run: &RunId,
    after: Seq,
    last: Seq,
    ends: Ends,
) -> Result<Option<(Bytes, Seq)>, Error> {
    let left = usize::try_from(last.0.saturating_sub(after.0)).unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(None);
    }
    let mut read = app.journal.read_after(run, after, PIECE).await?;
    read.truncate(left);
    let mut bytes = BytesMut::new();
    for (index, line) in read.iter().enumerate() {
        let first = after == Seq::ZERO && index == 0;
        match ends {
            Ends::Each => {
                bytes.put_slice(line);
                bytes.put_u8(b'\n');
            }
            Ends::Between if first => bytes.put_slice(line),
            Ends::Between => {
                bytes.put_u8(b'\n');
                bytes.put_slice(line);
            }
        }
    }
    let after = Seq(after.0 + read.len() as u64);
    Ok((!read.is_empty()).then(|| (bytes.freeze(), after)))
}

#[derive(Deserialize)]
struct Entries {
    entries: Vec<Box<RawValue>>,
}

/// Only a kind that a run token must not write is looked at.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<std::borrow::Cow<'a, str>>,
}

pub async fn append(
    State(app): State<Arc<App>>,
    base: Base,
    shared: Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let batch = match headers.get("ashore-batch") {
        None => None,
        Some(header) => Some(read_batch(header)?),
    };
    let text = body::text(body, body::ORDINARY).await?;
    append_text(&app, &shared, batch.as_ref(), &text).await?;
    let run = &shared.stored.at.run;
    Ok(Json(shape::fresh_run(&app, &base, run).await?))
}

fn read_batch(header: &HeaderValue) -> Result<Batch, Refusal> {
    let text = header.to_str().unwrap_or_default();
    text.parse().map_err(Refusal::body)
}

/// A body `{"entries": […]}`, appended; the lifecycle hears of it.
pub async fn append_text(
    app: &App,
    shared: &Shared,
    batch: Option<&Batch>,
    text: &str,
) -> Result<(), Refusal> {
    let read = serde_json::from_str::<Entries>(text).map_err(|why| {
        let code = if text.contains("\"entries\"") {
            "invalid_input"
        } else {
            "required"
        };
        Refusal::field(
            "entries",
            code,
            format!("entries must be an array of objects: {why}"),
        )
    })?;
    if read.entries.is_empty() {
        return Err(Refusal::field(
            "entries",
            "invalid_input",
            "entries must not be empty",
        ));
    }
    if matches!(shared.caller, Caller::Agent { .. })
        && read.entries.iter().any(|entry| is_client_message(entry))
    {
        return Err(Refusal::forbidden(
            "a run token appends what the agent says, never a client's message",
        ));
    }
    let answers = answers(&shared.caller, &shared.stored);
    let at = &shared.stored.at;
    let appended = app
        .journal
        .append_agent(at, batch, &read.entries, answers)
        .await?;
    if appended.any
        && let Some(name) = read.entries.iter().rev().find_map(|entry| running(entry))
    {
        let _changing = app.changing.lock().await;
        app.store.note_agent(&at.run, &name).await?;
    }
    tell(app, shared, appended).await;
    Ok(())
}

/// The agent's name, when this line says that one has started: the step's detail is `NAME VERSION`.
fn running(entry: &RawValue) -> Option<String> {
    if !entry.get().contains("_ashore/step") {
        return None;
    }
    let Decoded::Entry(entry) = normalize::decode(entry.get().as_bytes()) else {
        return None;
    };
    let Said::Ext(Ext::Step(step)) = entry.said else {
        return None;
    };
    let started = step.name == "agent" && step.status == StepStatus::Done;
    let name = step.detail.filter(|_| started)?;
    let name = name.split_whitespace().next()?;
    (name.len() <= LONGEST_NAME).then(|| name.to_owned())
}

fn is_client_message(entry: &RawValue) -> bool {
    // A wrapper that names its type twice is read as its last one; serde refuses that here, so it counts as forbidden.
    serde_json::from_str::<Kind<'_>>(entry.get())
        .map_or(entry.get().contains("client_message"), |kind| {
            kind.kind.as_deref() == Some("client_message")
        })
}

/// With the policy `ask` a person answers, and the agent side can only give up.
fn answers(caller: &Caller, stored: &StoredRun) -> Answers {
    let asks = stored.run.ours().permissions == Some(Policy::Ask);
    match caller {
        Caller::Agent { .. } if asks => Answers::CancelOnly,
        Caller::Agent { .. } | Caller::User { .. } => Answers::Count,
    }
}

async fn tell(app: &App, shared: &Shared, appended: Appended) {
    let at = &shared.stored.at;
    if let Some(running) = appended.turn {
        app.lifecycle.signal(at, Signal::TurnRunning(running)).await;
    }
    if appended.any {
        app.lifecycle.signal(at, Signal::Activity).await;
    }
}

/// `POST R/heartbeat`.
pub async fn heartbeat(State(app): State<Arc<App>>, shared: Shared) -> Json<Value> {
    if shared.stored.run.status.is_terminal() {
        return Json(serde_json::json!({"status": "no_session"}));
    }
    app.lifecycle
        .signal(&shared.stored.at, Signal::Activity)
        .await;
    Json(serde_json::json!({"status": "ok"}))
}
