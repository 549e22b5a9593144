//! Addresses that need no token: `/objects/{kind}/{run}/{name}?expires=…&sig=…`, good for an hour.
//!
//! Any web page may read them, since whoever has the address may.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::backend::http::app::App;
use crate::backend::http::auth::Base;
use crate::backend::http::error::Refusal;
use crate::backend::http::{blobs, logs};
use crate::backend::store::artifacts::Reader;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::RunId;

/// In seconds.
pub const GOOD_FOR: i64 = 3600;
/// Addresses made within the same five minutes are equal, so that whoever polls one keeps it.
const STEP: i64 = 300;

pub fn is_signed(path: &str) -> bool {
    path.starts_with("/objects/")
}

pub struct Signer(Vec<u8>);

#[derive(Deserialize)]
pub struct Signature {
    expires: i64,
    sig: String,
}

impl Signer {
    pub fn new(key: Vec<u8>) -> Self {
        Self(key)
    }

    fn mac(&self, path: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{path}\n{expires}").as_bytes());
        mac
    }

    /// The address of something for the next hour. `now` in seconds since 1970.
    pub fn url(&self, base: &Base, kind: &str, run: &RunId, name: &str, now: i64) -> String {
        let path = format!("/objects/{kind}/{run}/{name}");
        let expires = (now / STEP + 1) * STEP + GOOD_FOR;
        let sig = hex(&self.mac(&path, expires).finalize().into_bytes());
        format!("{}{path}?expires={expires}&sig={sig}", base.0)
    }

    fn admits(&self, path: &str, signature: &Signature, now: i64) -> bool {
        let Some(given) = unhex(&signature.sig) else {
            return false;
        };
        let fits = self.mac(path, signature.expires).verify_slice(&given);
        fits.is_ok() && signature.expires > now
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

pub async fn serve(
    State(app): State<Arc<App>>,
    method: Method,
    Path((kind, run, name)): Path<(String, String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let signature = Query::try_from_uri(&uri)
        .ok()
        .map(|Query(signature)| signature);
    let mut response = if method == Method::OPTIONS {
        preflight()
    } else {
        fetch(&app, &kind, &run, &name, signature, &headers)
            .await
            .into_response()
    };
    let anyone = HeaderValue::from_static("*");
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anyone);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn preflight() -> Response {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "range"),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

async fn fetch(
    app: &Arc<App>,
    kind: &str,
    run: &str,
    name: &str,
    signature: Option<Signature>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let path = format!("/objects/{kind}/{run}/{name}");
    let admitted = signature.is_some_and(|given| app.signer.admits(&path, &given, now()));
    if !admitted {
        return Err(Refusal::forbidden(
            "this address is not signed by us or has expired; ask for a new one",
        ));
    }
    let run: RunId = run.parse().map_err(|_| Refusal::not_found("run"))?;
    if app.store.run(&run).await?.is_none() {
        return Err(Refusal::not_found("run"));
    }
    match kind {
        "logs" => logs::whole(app, &run).await,
        "artifacts" => {
            let artifacts = app.store.artifacts(&run).await?;
            let artifact = artifacts
                .into_iter()
                .find(|artifact| artifact.id == name)
                .ok_or_else(|| Refusal::not_found("artifact"))?;
            let mut response = blobs::serve(app, artifact.hash, headers).await?;
            if let Ok(kind) = HeaderValue::from_str(&artifact.content_type) {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            Ok(response)
        }
        "blobs" => {
            let hash: ContentHash = name.parse().map_err(|_| Refusal::not_found("blob"))?;
            let hidden = app
                .store
                .unreachable_blobs(Reader::Run(&run), &[hash])
                .await?;
            if hidden.is_empty() {
                blobs::serve(app, hash, headers).await
            } else {
                Err(Refusal::not_found("blob"))
            }
        }
        _ => Err(Refusal::not_found("object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, Signature) {
        let (path, query) = url
            .strip_prefix("http://h")
            .unwrap()
            .split_once('?')
            .unwrap();
        let (expires, sig) = query
            .strip_prefix("expires=")
            .unwrap()
            .split_once("&sig=")
            .unwrap();
        let signature = Signature {
            expires: expires.parse().unwrap(),
            sig: sig.to_owned(),
        };
        (path.to_owned(), signature)
    }

    #[test]
    fn an_address_is_good_for_an_hour_and_only_as_it_was_made() {
        let signer = Signer::new(vec![7; 32]);
        let run: RunId = "run".parse().unwrap();
        let url = signer.url(
            &Base("http://h".into()),
            "logs",
            &run,
            "log.jsonl",
            1_000_000,
        );
        let (path, mut signature) = parts(&url);
        assert!(signer.admits(&path, &signature, 1_000_000));
        assert!(signer.admits(&path, &signature, 1_000_000 + GOOD_FOR));
        assert!(!signer.admits(&path, &signature, 1_000_000 + GOOD_FOR + STEP));
        assert!(!signer.admits("/objects/logs/other/log.jsonl", &signature, 1_000_000));
        assert!(!Signer::new(vec![8; 32]).admits(&path, &signature, 1_000_000));
        signature.expires += 1;
        assert!(!signer.admits(&path, &signature, 1_000_000));
        for sig in ["", "zz", "0", "é"] {
            signature.sig = sig.into();
            assert!(!signer.admits(&path, &signature, 1_000_000));
        }
    }
}
