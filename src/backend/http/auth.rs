//! Who may come in at all: the `Host` and `Origin` of a request, and its token.
//!
//! Everything is closed unless it is named here. What a caller may do with which run is `extract`'s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::backend::http::app::App;
use crate::backend::http::error::Refusal;
use crate::backend::http::signed;
use crate::backend::store::tokens::Caller;

/// The endpoint's own names.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    /// `scheme://host[:port]` each.
    public: Vec<Uri>,
}

/// How the caller reaches us: scheme, host, port. For absolute URLs in answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(pub String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a URL like https://host or https://host:port")]
pub struct BadUrl(pub String);

impl Doors {
    pub fn new(public: &[String]) -> Result<Self, BadUrl> {
        let read = |text: &String| {
            let url: Uri = text.parse().map_err(|_| BadUrl(text.clone()))?;
            let fits = matches!(url.scheme_str(), Some("http" | "https"))
                && url.authority().is_some()
                && matches!(url.path(), "" | "/");
            if fits {
                Ok(url)
            } else {
                Err(BadUrl(text.clone()))
            }
        };
        let public = public.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { public })
    }

    /// The base URL behind a `Host` that is ours. A name that is not could be one an attacker's page has pointed at us.
    fn base(&self, host: &str) -> Option<Base> {
        let authority: Authority = host.parse().ok()?;
        if host.contains('@') {
            return None;
        }
        let public = self.public.iter().find(|url| is_same(url, &authority));
        match public {
            Some(url) => Some(Base(format!("{}://{host}", url.scheme_str()?))),
            None if is_loopback(authority.host()) => Some(Base(format!("http://{host}"))),
            None => None,
        }
    }
}

fn is_same(url: &Uri, authority: &Authority) -> bool {
    let default = if url.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    url.host()
        .is_some_and(|host| host.eq_ignore_ascii_case(authority.host()))
        && url.port_u16().unwrap_or(default) == authority.port_u16().unwrap_or(default)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The only way to any route.
pub async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    app.counters.requests.fetch_add(1, Ordering::Relaxed);
    let (mut parts, body) = request.into_parts();
    match enter(&app, &parts).await {
        Ok((base, caller)) => {
            parts.extensions.insert(base);
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn enter(app: &App, parts: &Parts) -> Result<(Base, Option<Caller>), Refusal> {
    let headers = &parts.headers;
    let host = text(headers, header::HOST).unwrap_or_default();
    let Some(base) = app.doors.base(host) else {
        return Err(Refusal::forbidden(
            "this endpoint does not answer to that Host; name it with --public-url",
        ));
    };
    let path = parts.uri.path();
    if signed::is_signed(path) {
        // The signature is checked by the route.
        return Ok((base, None));
    }
    if headers.contains_key(header::ORIGIN)
        && text(headers, header::ORIGIN) != Some(base.0.as_str())
    {
        return Err(Refusal::forbidden(
            "requests from web pages of other origins are refused",
        ));
    }
    if !parts.method.is_safe() && is_of_a_form(headers) {
        return Err(Refusal::plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "what any web page may send without asking is refused; send `Content-Type: application/json`",
        ));
    }
    if is_open(path) && is_near(parts, host) {
        return Ok((base, None));
    }
    let token = bearer(headers).ok_or_else(|| {
        Refusal::unauthenticated("no credentials; send `Authorization: Bearer <token>`")
    })?;
    match app.store.caller(token).await? {
        Some(caller) => Ok((base, Some(caller))),
        None => Err(Refusal::unauthenticated(
            "this token is unknown, was revoked or has expired",
        )),
    }
}

/// The token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, header::AUTHORIZATION)?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The kinds of body that a browser sends to other origins without a question before.
fn is_of_a_form(headers: &HeaderMap) -> bool {
    let kind = text(headers, header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ]
    .iter()
    .any(|form| kind.eq_ignore_ascii_case(form))
}

fn is_open(path: &str) -> bool {
    matches!(
        path.trim_end_matches('/'),
        "/health" | "/ready" | "/metrics"
    )
}

/// Asked from this machine, by a loopback name: not through a proxy in front of a public one.
fn is_near(parts: &Parts, host: &str) -> bool {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let named = host
        .parse::<Authority>()
        .is_ok_and(|authority| is_loopback(authority.host()));
    named && peer.is_some_and(|ConnectInfo(address)| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_public_names_are_ours() {
        let doors =
            Doors::new(&["https://ash.example.com".into(), "http://box:8010/".into()]).unwrap();
        let base = |host: &str| doors.base(host).map(|base| base.0);
        for (host, url) in [
            ("127.0.0.1:9", Some("http://127.0.0.1:9")),
            ("localhost", Some("http://localhost")),
            ("[::1]:80", Some("http://[::1]:80")),
            ("ash.example.com", Some("https://ash.example.com")),
            ("ASH.example.com:443", Some("https://ASH.example.com:443")),
            ("ash.example.com:8443", None),
            ("box:8010", Some("http://box:8010")),
            ("evil.example.com", None),
            ("127.0.0.1.evil.com", None),
            ("localhost@evil.com", None),
            ("", None),
        ] {
            assert_eq!(base(host).as_deref(), url, "{host:?}");
        }
        assert!(Doors::new(&["ash.example.com".into()]).is_err());
        assert!(Doors::new(&["ftp://x".into()]).is_err());
    }
}
