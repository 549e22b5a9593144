//! Every address, with and without a slash at its end, and to whom it is opened; never a redirect.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any, on};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::backend::http::app::App;
use crate::backend::http::error::Refusal;
use crate::backend::http::{
    artifacts, auth, blobs, logs, manifest, open, runs, signed, stream, sync, tasks,
};

const TASKS: &str = "/api/projects/{project}/tasks";
const TASK: &str = "/api/projects/{project}/tasks/{task}";
const RUN: &str = "/api/projects/{project}/tasks/{task}/runs/{run}";

/// Whom a door is opened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Anybody on this machine; a user from elsewhere.
    Near,
    /// A user.
    User,
    /// The user whose task or run it is.
    Owner,
    /// The same, and the agent side of the run.
    Run,
}

/// One method of one address.
pub struct Door {
    pub method: Method,
    /// As the router writes it, without a slash at its end.
    pub path: String,
    pub to: To,
    serve: MethodRouter<Arc<App>>,
}

fn door<H, T>(method: Method, path: impl Into<String>, to: To, serve: H) -> Door
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("a method of HTTP");
    Door {
        method,
        path: path.into(),
        to,
        serve: on(filter, serve),
    }
}

/// Every door there is, but for the signed addresses (`signed`), which no token opens.
pub fn doors() -> Vec<Door> {
    let mut all = vec![
        door(Method::GET, "/health", To::Near, open::health),
        door(Method::GET, "/ready", To::Near, open::ready),
        door(Method::GET, "/metrics", To::Near, open::metrics),
        door(Method::GET, "/api/users/@me", To::User, tasks::me),
        door(Method::GET, TASKS, To::User, tasks::list),
        door(Method::POST, TASKS, To::User, tasks::create),
        door(Method::GET, TASK, To::Owner, tasks::get),
        door(Method::PATCH, TASK, To::Owner, tasks::patch),
        door(Method::DELETE, TASK, To::Owner, tasks::delete),
    ];
    let below = |path: &str| format!("{TASK}{path}");
    all.extend([
        door(Method::POST, below("/run"), To::Owner, runs::one_shot),
        door(Method::GET, below("/runs"), To::Owner, runs::list),
        door(Method::POST, below("/runs"), To::Owner, runs::create),
    ]);
    all.extend(of_runs());
    all
}

fn of_runs() -> Vec<Door> {
    let at = |path: &str| format!("{RUN}{path}");
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    vec![
        door(get.clone(), RUN, To::Run, runs::get),
        door(Method::PATCH, RUN, To::Owner, runs::patch),
        door(Method::DELETE, RUN, To::Owner, runs::delete),
        door(
            Method::PATCH,
            at("/set_output"),
            To::Owner,
            runs::set_output,
        ),
        door(get.clone(), at("/sync"), To::Run, stream::get),
        door(post.clone(), at("/sync"), To::Owner, sync::post),
        door(get.clone(), at("/logs"), To::Run, logs::get),
        door(post.clone(), at("/append_log"), To::Run, logs::append),
        door(post.clone(), at("/heartbeat"), To::Run, logs::heartbeat),
        door(put.clone(), at("/secrets"), To::Owner, runs::put_secrets),
        door(post.clone(), at("/artifacts"), To::Owner, artifacts::upload),
        door(
            post.clone(),
            at("/artifacts/presign"),
            To::Owner,
            artifacts::presign,
        ),
        door(
            post.clone(),
            at("/artifacts/download"),
            To::Owner,
            artifacts::download,
        ),
        door(get.clone(), at("/file_manifest"), To::Run, manifest::get),
        door(put.clone(), at("/file_manifest"), To::Owner, manifest::put),
        door(post.clone(), at("/blobs/missing"), To::Run, blobs::missing),
        door(post, at("/blobs/pack"), To::Run, blobs::pack),
        door(get, at("/blobs/{hash}"), To::Run, blobs::get),
        door(put, at("/blobs/{hash}"), To::Run, blobs::put),
    ]
}

/// All of it, ready to serve.
pub fn routes(app: Arc<App>) -> Router {
    let (mut plain, mut compressed) = (Router::new(), Router::new());
    for Door { path, serve, .. } in doors() {
        // Logs are long, and text: they are compressed for who asks.
        let routes = if path.ends_with("/logs") {
            &mut compressed
        } else {
            &mut plain
        };
        for path in [format!("{path}/"), path] {
            *routes = std::mem::take(routes).route(&path, serve.clone());
        }
    }
    let compressed = compressed
        .route("/objects/{kind}/{run}/{name}", any(signed::serve))
        .layer(CompressionLayer::new());
    plain
        .merge(compressed)
        .fallback(|| async { Refusal::not_found("address") })
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(from_fn_with_state(Arc::clone(&app), auth::admit))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(map_response(name_ourselves))
        .with_state(app)
}

/// On every answer, refusals included: a client learns with whom it speaks (contract 10.1).
async fn name_ourselves(mut response: Response) -> Response {
    for (name, value) in [
        ("x-ashore-wire", "1"),
        ("x-ashore-version", env!("CARGO_PKG_VERSION")),
    ] {
        response.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(text, "a request panicked");
    Refusal::panicked().into_response()
}
