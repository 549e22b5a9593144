//! `R/blobs/…`: bytes by hash, in ranges, for those whose run refers to them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use object_store::GetRange;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::backend::http::app::App;
use crate::backend::http::body;
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::{Shared, part};
use crate::backend::lifecycle::Signal;
use crate::protocol::hash::ContentHash;
use crate::protocol::pack;

/// The most hashes in one question.
const HASHES: usize = 10_000;

/// The hash in the path.
pub struct Named(ContentHash);

impl FromRequestParts<Arc<App>> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let text: String = part(parts, app, "hash", "blob").await?;
        text.parse()
            .map(Self)
            .map_err(|why: crate::protocol::hash::BadHash| Refusal::body(why.to_string()))
    }
}

pub async fn get(
    State(app): State<Arc<App>>,
    shared: Shared,
    Named(hash): Named,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let hidden = app
        .store
        .unreachable_blobs(shared.reader(), &[hash])
        .await?;
    if hidden.is_empty() {
        serve(&app, hash, &headers).await
    } else {
        Err(Refusal::not_found("blob"))
    }
}

/// The bytes, or the range of them that was asked for.
pub async fn serve(app: &App, hash: ContentHash, headers: &HeaderMap) -> Result<Response, Refusal> {
    let wanted = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok())
        .and_then(range);
    let part = wanted.is_some();
    let reading = app.blobs.get(hash, wanted).await?;
    let length = reading.range.end - reading.range.start;
    let mut response = Body::from_stream(reading.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if part {
        let last = reading.range.end.saturating_sub(1);
        let text = format!("bytes {}-{last}/{}", reading.range.start, reading.size);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(header::CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// One range; several, or another unit, are answered with the whole.
fn range(text: &str) -> Option<GetRange> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => Some(GetRange::Suffix(last.parse().ok()?)),
        (first, "") => Some(GetRange::Offset(first.parse().ok()?)),
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then(|| GetRange::Bounded(first..last.saturating_add(1)))
        }
    }
}

pub async fn put(
    State(app): State<Arc<App>>,
    shared: Shared,
    Named(hash): Named,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    app.blobs.put_stream(hash, body.into_data_stream()).await?;
    let at = &shared.stored.at;
    app.store.refer(&at.run, &[hash]).await?;
    app.lifecycle.signal(at, Signal::Activity).await;
    Ok(Json(
        json!({"hash": hash, "storage_path": format!("files/{hash}")}),
    ))
}

#[derive(Deserialize)]
struct Hashes {
    hashes: Vec<ContentHash>,
}

/// Which of these the caller has to PUT. What a user has in another run is from now on this run's too.
pub async fn missing(
    State(app): State<Arc<App>>,
    shared: Shared,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let text = body::text(body, body::ORDINARY).await?;
    let Hashes { hashes } = serde_json::from_str(&text)
        .map_err(|why| Refusal::field("hashes", "invalid_input", why.to_string()))?;
    if hashes.len() > HASHES {
        return Err(body::wrong("hashes", "at most 10000 hashes"));
    }
    let at = &shared.stored.at;
    let missing = find_missing(&app, &shared, &hashes).await?;
    let known: std::collections::HashSet<_> = missing.iter().collect();
    let here: Vec<_> = hashes
        .iter()
        .filter(|hash| !known.contains(hash))
        .copied()
        .collect();
    app.store.refer(&at.run, &here).await?;
    app.lifecycle.signal(at, Signal::Activity).await;
    Ok(Json(json!({"missing": missing})))
}

/// Many small ones in one answer; what the caller cannot read is left out like what is not there.
pub async fn pack(
    State(app): State<Arc<App>>,
    shared: Shared,
    body: Body,
) -> Result<Response, Refusal> {
    let text = body::text(body, body::ORDINARY).await?;
    let Hashes { mut hashes } = serde_json::from_str(&text)
        .map_err(|why| Refusal::field("hashes", "invalid_input", why.to_string()))?;
    if hashes.len() > pack::HASHES {
        return Err(body::wrong("hashes", "at most 1000 hashes"));
    }
    let hidden = app
        .store
        .unreachable_blobs(shared.reader(), &hashes)
        .await?;
    let mut left_out: std::collections::HashSet<_> = hidden.into_iter().collect();
    // Each comes once, however often it is asked for.
    hashes.retain(|hash| left_out.insert(*hash));
    let mut response = Body::from_stream(app.blobs.pack(hashes)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Ok(response)
}

/// What the caller cannot read, or nobody has.
pub async fn find_missing(
    app: &App,
    shared: &Shared,
    hashes: &[ContentHash],
) -> Result<Vec<ContentHash>, Refusal> {
    let mut missing = app.store.unreachable_blobs(shared.reader(), hashes).await?;
    let hidden: std::collections::HashSet<_> = missing.iter().copied().collect();
    for hash in hashes.iter().filter(|hash| !hidden.contains(hash)) {
        if app.blobs.size(*hash).await?.is_none() {
            missing.push(*hash);
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_and_anything_else_means_the_whole() {
        assert_eq!(range("bytes=0-9"), Some(GetRange::Bounded(0..10)));
        assert_eq!(range("bytes=5-"), Some(GetRange::Offset(5)));
        assert_eq!(range("bytes=-5"), Some(GetRange::Suffix(5)));
        for odd in ["bytes=9-0", "bytes=0-1,3-4", "lines=1-2", "bytes=-", ""] {
            assert_eq!(range(odd), None, "{odd}");
        }
    }
}
