//! Every refusal as JSON, in the two shapes of contract section 1.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::backend::blobs;
use crate::backend::journal;
use crate::backend::manifest;
use crate::backend::store;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    /// The endpoint's own checks: `{"error": …}`.
    pub fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            body: json!({"error": text.into()}),
        }
    }

    fn framework(
        status: StatusCode,
        kind: &str,
        code: &str,
        detail: impl Into<String>,
        attr: Option<&str>,
    ) -> Self {
        Self {
            status,
            body: json!({"type": kind, "code": code, "detail": detail.into(), "attr": attr}),
        }
    }

    /// 400 about one field.
    pub fn field(attr: &str, code: &str, detail: impl Into<String>) -> Self {
        Self::framework(
            StatusCode::BAD_REQUEST,
            "validation_error",
            code,
            detail,
            Some(attr),
        )
    }

    /// 400 about the whole body.
    pub fn body(detail: impl Into<String>) -> Self {
        Self::framework(
            StatusCode::BAD_REQUEST,
            "validation_error",
            "invalid_input",
            detail,
            None,
        )
    }

    pub fn unauthenticated(detail: &str) -> Self {
        Self::framework(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "not_authenticated",
            detail,
            None,
        )
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::framework(
            StatusCode::FORBIDDEN,
            "authentication_error",
            "permission_denied",
            detail,
            None,
        )
    }

    pub fn not_found(what: &str) -> Self {
        Self::framework(
            StatusCode::NOT_FOUND,
            "invalid_request",
            "not_found",
            format!("no such {what}"),
            None,
        )
    }

    pub fn method_not_allowed() -> Self {
        Self::framework(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request",
            "method_not_allowed",
            "this address does not take this method",
            None,
        )
    }

    pub fn too_large(limit: usize) -> Self {
        Self::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body is larger than {limit} bytes; send less at a time, and content as blobs"
            ),
        )
    }

    pub fn conflict(text: impl Into<String>) -> Self {
        Self::plain(StatusCode::CONFLICT, text)
    }

    /// 409 that lists what is missing.
    pub fn missing(hashes: &[crate::protocol::hash::ContentHash]) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            body: json!({"error": format!("{} blobs of this manifest are not here; PUT them first", hashes.len()), "missing": hashes}),
        }
    }

    /// Ours, or the disk's: the cause goes to the log, not over the wire. A disk that takes nothing more is said, since
    /// only people can help there.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(%cause, "a request failed");
        match disk_refuses(cause) {
            Some(what) => Self::framework(
                StatusCode::INSUFFICIENT_STORAGE,
                "server_error",
                "storage",
                format!(
                    "the endpoint's disk {what}: nothing of this was kept; what it has accepted before is safe"
                ),
                None,
            ),
            None => Self::panicked(),
        }
    }

    pub fn panicked() -> Self {
        Self::framework(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "error",
            "the endpoint failed; its log says why",
            None,
        )
    }
}

/// Whether the disk under the store is what failed. Some of the causes come as text only, so the system's own words and
/// numbers are looked for.
fn disk_refuses(cause: &dyn std::error::Error) -> Option<&'static str> {
    let mut next = Some(cause);
    while let Some(cause) = next {
        let text = cause.to_string();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&[
            "(os error 28)",
            "(os error 122)",
            "database or disk is full",
        ]) {
            return Some("is full, make room there");
        }
        if says(&["(os error 30)", "attempt to write a readonly database"]) {
            return Some("is read-only");
        }
        next = cause.source();
    }
    None
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<journal::Error> for Refusal {
    fn from(error: journal::Error) -> Self {
        match &error {
            journal::Error::Removed => Self::not_found("run"),
            journal::Error::Closed
            | journal::Error::Over
            | journal::Error::Ended
            | journal::Error::Answered { .. }
            | journal::Error::Taken
            | journal::Error::Unqueued
            | journal::Error::NotQueued
            | journal::Error::NotBefore => Self::conflict(error.to_string()),
            journal::Error::Line(why) => Self::field("entries", "invalid_input", why.to_string()),
            journal::Error::Whole(_) | journal::Error::Log(_) => Self::internal(&error),
        }
    }
}

impl From<manifest::Error> for Refusal {
    fn from(error: manifest::Error) -> Self {
        match error {
            manifest::Error::Store(error) => error.into(),
            manifest::Error::Journal(error) => error.into(),
            manifest::Error::Blobs(error) => error.into(),
        }
    }
}

impl From<blobs::Error> for Refusal {
    fn from(error: blobs::Error) -> Self {
        match &error {
            blobs::Error::Mismatch { .. } => Self::conflict(error.to_string()),
            blobs::Error::TooLarge => Self::plain(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            blobs::Error::BrokeOff(_) => Self::plain(StatusCode::BAD_REQUEST, error.to_string()),
            blobs::Error::Missing => Self::not_found("blob"),
            blobs::Error::Range => {
                Self::plain(StatusCode::RANGE_NOT_SATISFIABLE, error.to_string())
            }
            // Worth another try, in which it is new.
            blobs::Error::Torn(_) => {
                Self::plain(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            blobs::Error::Store { .. }
            | blobs::Error::Folder { .. }
            | blobs::Error::Disk { .. } => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_wherever_in_the_chain_it_stands_and_other_causes_are_not() {
        let full = std::io::Error::from_raw_os_error(28);
        let log = crate::backend::log::Error {
            what: "write",
            run: "r".parse().expect("fits"),
            cause: full.to_string(),
        };
        let refusal = Refusal::from(journal::Error::Log(log));
        assert_eq!(refusal.status, StatusCode::INSUFFICIENT_STORAGE);
        let said = refusal.body["detail"].as_str().unwrap_or_default();
        assert!(said.contains("is full"), "{said}");
        let other = std::io::Error::from_raw_os_error(13);
        let refusal = Refusal::internal(&other);
        assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!refusal.body.to_string().contains("denied"));
    }
}
