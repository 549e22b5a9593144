//! One request, one answer: sends it, bounds it, and sorts what went wrong by what the reader can do about it.
//!
//! Knows no route. Follows no redirect, so the token goes to the endpoint's own host and nowhere else.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::error::Error;

/// Bodies that are read whole are cut off here; no answer of the contract comes near it.
const MAX_BODY: usize = 1 << 20;
/// Lists and manifests grow with the number of tasks and files.
const MAX_LIST: usize = 64 << 20;
/// Longest text of an endpoint that is put into an error.
const MAX_TEXT: usize = 500;
/// For calls whose answer is one small JSON body.
pub(crate) const CALL: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Between two reads of a long answer. Above 2.5 keepalives, so that a stream's own time-out comes first.
const READ: Duration = Duration::from_secs(60);

/// A client for `url`'s host. A proxy of the environment is never asked for loopback: it would mean another machine's.
pub(crate) fn client(url: &Url, ca_file: Option<&Path>) -> Result<Client, Error> {
    build(Client::builder().read_timeout(READ), url, ca_file)
}

/// The same for a stream without keepalives: it may be silent, and whoever reads it has an eye on the clock.
pub(crate) fn patient_client(url: &Url, ca_file: Option<&Path>) -> Result<Client, Error> {
    build(Client::builder(), url, ca_file)
}

fn build(builder: ClientBuilder, url: &Url, ca_file: Option<&Path>) -> Result<Client, Error> {
    let mut builder = builder
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .user_agent(concat!("ashore/", env!("CARGO_PKG_VERSION")));
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    for certificate in ca_file.map_or_else(|| Ok(Vec::new()), certificates)? {
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| Error::Setup {
        text: format!("the HTTP client cannot be set up: {error}"),
    })
}

fn certificates(file: &Path) -> Result<Vec<reqwest::Certificate>, Error> {
    let bad = |why: String| Error::Setup {
        text: format!(
            "the CA file {} cannot be used: {why}; it must hold certificates in PEM form",
            file.display()
        ),
    };
    let pem = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    let found =
        reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(bad("it holds no certificate".to_owned()));
    }
    Ok(found)
}

/// Names this machine and no other.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => {
            let name = bare.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// Sends; any status but 2xx becomes an error.
pub(crate) async fn send(request: RequestBuilder) -> Result<Response, Error> {
    let answer = request.send().await.map_err(|error| unreachable(&error))?;
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(failure(answer).await)
    }
}

/// A whole JSON body.
pub(crate) async fn json<T: DeserializeOwned>(answer: Response) -> Result<T, Error> {
    read(answer, MAX_BODY).await
}

/// A list or a manifest.
pub(crate) async fn large_json<T: DeserializeOwned>(answer: Response) -> Result<T, Error> {
    read(answer, MAX_LIST).await
}

async fn read<T: DeserializeOwned>(answer: Response, limit: usize) -> Result<T, Error> {
    let kind = content_type(answer.headers());
    let body = body(answer, limit).await?;
    serde_json::from_slice(&body).map_err(|error| {
        if body.first() == Some(&b'<') || kind.contains("html") {
            return web_page();
        }
        Error::Malformed {
            text: format!("the answer cannot be read: {error}"),
        }
    })
}

pub(crate) fn web_page() -> Error {
    Error::Malformed {
        text: "a web page came; is this the URL of an endpoint?".to_owned(),
    }
}

/// The body; one longer than `limit` is an error.
async fn body(mut answer: Response, limit: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + piece.len() > limit {
            return Err(Error::Malformed {
                text: format!("the answer is longer than {limit} bytes"),
            });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What an answer that is no success means.
pub(crate) async fn failure(answer: Response) -> Error {
    let status = answer.status();
    if status.is_redirection() {
        return redirected(answer.headers(), answer.url());
    }
    // A body that breaks off or is too long says nothing; the status still does.
    let body = body(answer, MAX_BODY).await.unwrap_or_default();
    sort(status, explain(status, &body))
}

fn redirected(headers: &HeaderMap, asked: &Url) -> Error {
    let target = headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| asked.join(value).ok());
    let text = match target.as_ref().and_then(Url::host_str) {
        Some(host) => format!(
            "it redirects to {}; redirects are not followed, so that the token stays here. If that is the right host, use its URL",
            plain(host)
        ),
        None => "it redirects to nowhere".to_owned(),
    };
    Error::Malformed { text }
}

fn sort(status: StatusCode, text: String) -> Error {
    let code = status.as_u16();
    match code {
        401 | 403 => Error::Refused { status: code, text },
        404 => Error::Gone { text },
        408 | 425 | 429 | 500..=599 => Error::Unreachable {
            text: format!("HTTP {code}: {text}"),
        },
        400..=499 => Error::Rejected { status: code, text },
        _ => Error::Malformed {
            text: format!("HTTP {code}: {text}"),
        },
    }
}

/// `error`, else `detail`, else the status (contract 1). A body may be HTML or nothing at all.
fn explain(status: StatusCode, body: &[u8]) -> String {
    let told = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|value| {
            ["error", "detail"]
                .iter()
                .find_map(|key| match value.get(key) {
                    Some(Value::String(text)) if !text.trim().is_empty() => Some(plain(text)),
                    Some(other @ (Value::Object(_) | Value::Array(_))) => {
                        Some(plain(&other.to_string()))
                    }
                    _ => None,
                })
        });
    told.unwrap_or_else(|| {
        format!(
            "{} {}",
            status.as_u16(),
            status.canonical_reason().unwrap_or("unknown status")
        )
    })
}

/// An outsider's text for one line: no controls, bounded.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TEXT)
        .collect::<String>()
        .trim()
        .to_owned()
}

pub(crate) fn content_type(headers: &HeaderMap) -> String {
    headers
        .get(reqwest::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(plain)
        .unwrap_or_default()
}

/// A failure below HTTP: names the innermost cause and no URL, since a URL may carry a signature.
pub(crate) fn unreachable(error: &reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::Malformed {
            text: "the URL cannot be used".to_owned(),
        };
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if std::ptr::addr_eq(cause, error) {
        "the connection failed".to_owned()
    } else {
        plain(&cause.to_string())
    };
    Error::Unreachable { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_is_explained_by_error_then_detail_then_the_status() {
        let text = |status: u16, body: &str| {
            explain(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        assert_eq!(text(400, r#"{"error":"no prompt"}"#), "no prompt");
        assert_eq!(
            text(
                400,
                r#"{"type":"validation_error","code":"required","detail":"This field is required.","attr":"entries"}"#
            ),
            "This field is required."
        );
        assert_eq!(text(502, "<html>bad gateway</html>"), "502 Bad Gateway");
        assert_eq!(text(500, ""), "500 Internal Server Error");
        assert_eq!(text(400, r#"{"error":"a\u001b[2Jb"}"#), "a [2Jb");
        assert_eq!(text(400, r#"{"error":null,"detail":"d"}"#), "d");
    }

    #[test]
    fn a_status_is_sorted_by_what_the_reader_can_do() {
        let kind = |status: u16| sort(StatusCode::from_u16(status).unwrap(), "t".to_owned());
        for status in [401, 403] {
            assert!(matches!(kind(status), Error::Refused { .. }));
        }
        assert!(matches!(kind(404), Error::Gone { .. }));
        for status in [400, 405, 409, 413] {
            assert!(matches!(kind(status), Error::Rejected { .. }));
        }
        for status in [408, 429, 500, 503] {
            assert!(matches!(kind(status), Error::Unreachable { .. }));
        }
        assert!(matches!(kind(304), Error::Malformed { .. }));
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, expected) in [
            ("http://127.0.0.1:8010", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost.example.com", false),
            ("http://192.168.0.1", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(text).unwrap()), expected, "{text}");
        }
    }
}
