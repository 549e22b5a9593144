//! `R/artifacts/`: text the reference's clients and agents upload, and addresses to fetch it by.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::backend::http::app::App;
use crate::backend::http::auth::Base;
use crate::backend::http::blobs;
use crate::backend::http::body::{self, Fields, required, wrong};
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::OfRun;
use crate::backend::http::signed;
use crate::backend::store::artifacts::{Artifact, Reader};
use crate::backend::store::now;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::RunRef;

/// Of one upload, in bytes.
const LARGEST: usize = 32 * 1024 * 1024;
const KINDS: [&str; 5] = ["plan", "context", "reference", "output", "artifact"];

/// Answers only what this request has brought: right for a reader of index 0 and of the last n (contract, D23).
pub async fn upload(
    State(app): State<Arc<App>>,
    OfRun { stored, .. }: OfRun,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let body = body::object(body, LARGEST).await?;
    let Some(Value::Array(sent)) = body.get("artifacts").filter(|sent| **sent != json!([])) else {
        return Err(required("artifacts"));
    };
    let at = &stored.at;
    let mut artifacts = Vec::with_capacity(sent.len());
    for one in sent {
        let one = one
            .as_object()
            .ok_or_else(|| wrong("artifacts", "an array of objects"))?;
        let (artifact, bytes) = read(at, one)?;
        app.blobs.put(bytes).await?;
        artifacts.push(artifact);
    }
    let hashes: Vec<_> = artifacts.iter().map(|artifact| artifact.hash).collect();
    app.store.refer(&at.run, &hashes).await?;
    app.store.add_artifacts(&at.run, &artifacts).await?;
    let answer: Vec<_> = artifacts.iter().map(Artifact::to_json).collect();
    Ok(Json(json!({"artifacts": answer})))
}

fn read(at: &RunRef, sent: &Map<String, Value>) -> Result<(Artifact, Bytes), Refusal> {
    let fields = Fields(sent);
    let text = |name: &str, longest: usize| fields.text(name, longest).map(Option::flatten);
    let requested = text("name", 255)?
        .filter(|name| !name.is_empty())
        .ok_or_else(|| required("name"))?;
    let kind = text("type", 20)?.unwrap_or("artifact");
    if !KINDS.contains(&kind) {
        return Err(wrong(
            "type",
            "plan, context, reference, output or artifact",
        ));
    }
    let content = text("content", LARGEST)?.ok_or_else(|| required("content"))?;
    let name = requested.rsplit('/').next().unwrap_or(requested);
    let id = uuid::Uuid::new_v4().simple().to_string();
    let RunRef { project, task, run } = at;
    let place = format!("tasks/artifacts/team_{project}/task_{task}/run_{run}");
    let bytes = Bytes::copy_from_slice(content.as_bytes());
    let artifact = Artifact {
        name: name.to_owned(),
        requested: requested.to_owned(),
        kind: kind.to_owned(),
        size: bytes.len() as u64,
        content_type: text("content_type", 255)?
            .unwrap_or("text/plain")
            .to_owned(),
        storage_path: format!("{place}/{}_{name}", &id[..8]),
        hash: ContentHash::of(&bytes),
        uploaded_at: now(),
        id,
    };
    Ok((artifact, bytes))
}

/// What a storage path, or the name something was uploaded under, leads to.
enum Found {
    Artifact(Artifact),
    Blob(ContentHash),
}

async fn find(app: &App, at: &RunRef, body: Body) -> Result<Found, Refusal> {
    let body = body::object(body, body::ORDINARY).await?;
    let path = Fields(&body).text("storage_path", 500)?.flatten();
    let path = path.ok_or_else(|| required("storage_path"))?;
    if let Some(artifact) = app.store.artifact(&at.run, path).await? {
        return Ok(Found::Artifact(artifact));
    }
    let missing = || Refusal::plain(StatusCode::NOT_FOUND, "no such artifact");
    let hash: ContentHash = path
        .strip_prefix("files/")
        .and_then(|hash| hash.parse().ok())
        .ok_or_else(missing)?;
    let hidden = app
        .store
        .unreachable_blobs(Reader::Run(&at.run), &[hash])
        .await?;
    if hidden.is_empty() {
        Ok(Found::Blob(hash))
    } else {
        Err(missing())
    }
}

/// An address that needs no token.
pub async fn presign(
    State(app): State<Arc<App>>,
    base: Base,
    OfRun { stored, .. }: OfRun,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let run = &stored.at.run;
    let now = signed::now();
    let url = match find(&app, &stored.at, body).await? {
        Found::Artifact(artifact) => app.signer.url(&base, "artifacts", run, &artifact.id, now),
        Found::Blob(hash) => {
            let name = hash.to_string();
            app.signer.url(&base, "blobs", run, &name, now)
        }
    };
    Ok(Json(json!({"url": url, "expires_in": signed::GOOD_FOR})))
}

/// The bytes themselves.
pub async fn download(
    State(app): State<Arc<App>>,
    OfRun { stored, .. }: OfRun,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    match find(&app, &stored.at, body).await? {
        Found::Blob(hash) => blobs::serve(&app, hash, &headers).await,
        Found::Artifact(artifact) => {
            let mut response = blobs::serve(&app, artifact.hash, &headers).await?;
            if let Ok(kind) = HeaderValue::from_str(&artifact.content_type) {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            Ok(response)
        }
    }
}
