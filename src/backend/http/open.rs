//! What is answered without a token on loopback: is it alive, is it ours, is it ready, how much has it done.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::backend::http::app::App;
use crate::backend::http::error::Refusal;
use crate::backend::http::signed::hex;

/// The longest nonce.
const NONCE: usize = 256;

/// `GET /health?nonce=N`: with the secret of the state file, `proof` is HMAC-SHA256(secret, N) in hex; both are taken
/// as the bytes of their text.
pub async fn health(
    State(app): State<Arc<App>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Json<Value> {
    let mut answer = json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")});
    let nonce = query.iter().find(|(key, _)| key == "nonce");
    if let (Some((_, nonce)), Some(secret)) = (nonce, &app.secret)
        && nonce.len() <= NONCE
    {
        answer["proof"] = json!(proof(secret, nonce));
    }
    Json(answer)
}

fn proof(secret: &str, nonce: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(nonce.as_bytes());
    hex(&mac.finalize().into_bytes())
}

pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    if app.store.is_ready().await {
        Ok(Json(json!({"status": "ok"})))
    } else {
        Err(Refusal::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the store does not answer",
        ))
    }
}

pub async fn metrics(State(app): State<Arc<App>>) -> String {
    let counters = &app.counters;
    let figures = [
        (
            "ashore_requests_total",
            counters.requests.load(Ordering::Relaxed),
        ),
        ("ashore_journal_lines_total", app.journal.appended()),
        (
            "ashore_journal_syncs_total",
            counters.syncs.load(Ordering::Relaxed),
        ),
        (
            "ashore_streams_open",
            counters.streams.load(Ordering::Relaxed),
        ),
    ];
    figures
        .iter()
        .map(|(name, figure)| format!("{name} {figure}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_the_hmac_of_the_nonce_as_anyone_computes_it() {
        // RFC 4231, test case 2.
        assert_eq!(
            proof("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
