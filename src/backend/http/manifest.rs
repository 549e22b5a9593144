//! `R/file_manifest/`: every file of the tree a run starts from, and of the one it has come to.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::backend::http::app::App;
use crate::backend::http::blobs;
use crate::backend::http::body;
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::{OfRun, Shared};
use crate::backend::lifecycle::Signal;
use crate::backend::manifest::{self, Sources};
use crate::backend::store::tokens::Caller;
use crate::protocol::file::FileManifest;
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// A manifest of some hundred thousand files, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Plain: the newest, which is the seed until the run has ended. `?of=seed`: what was PUT, also afterwards.
pub async fn get(
    State(app): State<Arc<App>>,
    Shared { stored, .. }: Shared,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let run = &stored.at.run;
    let of = query.iter().find(|(name, _)| name == "of");
    let text = match of.map(|(_, of)| of.as_str()) {
        Some("seed") => app.store.manifest_text(run).await?,
        None | Some("newest") => {
            let over =
                stored.run.status.is_terminal() || app.journal.state(&stored.at).await?.closed;
            if over {
                let from = Sources {
                    store: &app.store,
                    journal: &app.journal,
                    blobs: &app.blobs,
                };
                manifest::close(from, run).await?;
            }
            app.store.newest_manifest_text(run).await?
        }
        Some(_) => return Err(Refusal::field("of", "invalid_choice", "say seed or newest")),
    };
    match text {
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
    let since = app.journal.last(&at.run).await?;
    app.store.put_manifest(&at.run, &text, since).await?;
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
