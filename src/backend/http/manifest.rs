//! `R/file_manifest/`: every file of the tree a run starts from.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::backend::http::app::App;
use crate::backend::http::blobs;
use crate::backend::http::body;
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::{OfRun, Shared};
use crate::backend::lifecycle::Signal;
use crate::backend::store::tokens::Caller;
use crate::protocol::file::FileManifest;
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// A manifest of some hundred thousand files, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

pub async fn get(
    State(app): State<Arc<App>>,
    Shared { stored, .. }: Shared,
) -> Result<Response, Refusal> {
    match app.store.manifest_text(&stored.at.run).await? {
        Some(text) => Ok(json(text)),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

pub async fn put(
    State(app): State<Arc<App>>,
    OfRun { person, stored }: OfRun,
    body: Body,
) -> Result<Response, Refusal> {
    let text = body::text(body, LARGEST).await?;
    let hashes = check(&text).map_err(|why| Refusal::plain(StatusCode::BAD_REQUEST, why))?;
    let shared = Shared {
        caller: Caller::User {
            id: person.id,
            name: person.name,
        },
        stored,
    };
    let missing = blobs::find_missing(&app, &shared, &hashes).await?;
    if !missing.is_empty() {
        return Err(Refusal::missing(&missing));
    }
    let at = &shared.stored.at;
    app.store.refer(&at.run, &hashes).await?;
    app.store.put_manifest(&at.run, &text).await?;
    app.lifecycle.signal(at, Signal::Seeded).await;
    Ok(json(text))
}

/// The blobs it names, once each; or why it is not a manifest.
fn check(text: &str) -> Result<Vec<ContentHash>, String> {
    let manifest: FileManifest =
        serde_json::from_str(text).map_err(|why| format!("this is no manifest: {why}"))?;
    if manifest.version != 1 {
        return Err(format!(
            "manifest version {} is not known, 1 is",
            manifest.version
        ));
    }
    for path in manifest.files.keys().chain(&manifest.deleted_files) {
        path.parse::<RelPath>()
            .map_err(|why| format!("`{}` cannot be in a manifest: {why}", path.escape_debug()))?;
    }
    let mut hashes: Vec<_> = manifest.files.values().map(|file| file.hash).collect();
    hashes.extend(manifest.bundle);
    hashes.sort();
    hashes.dedup();
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_could_leave_the_root_is_refused_and_a_good_one_names_each_blob_once() {
        let hash = ContentHash::of(b"x");
        let text = |path: &str, version: u32| {
            serde_json::json!({"version": version, "base_commit": null, "updated_at": "", "files": {path: {"hash": hash, "size": 1}, "b": {"hash": hash, "size": 1}}}).to_string()
        };
        assert_eq!(check(&text("a", 1)), Ok(vec![hash]));
        for path in ["../outside.txt", "/abs.txt", ".git/config"] {
            let why = check(&text(path, 1)).unwrap_err();
            assert!(why.contains("cannot be in a manifest"), "{why}");
        }
        assert!(check(&text("a", 2)).is_err());
        assert!(check("[]").is_err());
    }
}
