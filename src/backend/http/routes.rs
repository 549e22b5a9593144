//! Every address, with and without a slash at its end; never a redirect.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, patch, post, put};
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

type Routes = Router<Arc<App>>;

/// All of it, ready to serve.
pub fn routes(app: Arc<App>) -> Router {
    let mut all = Router::new();
    all = both(all, "/health", get(open::health));
    all = both(all, "/ready", get(open::ready));
    all = both(all, "/metrics", get(open::metrics));
    all = both(all, "/api/users/@me", get(tasks::me));
    all = of_tasks(all);
    all = of_runs(all);
    all.merge(compressed())
        .fallback(|| async { Refusal::not_found("address") })
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(from_fn_with_state(Arc::clone(&app), auth::admit))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(map_response(name_ourselves))
        .with_state(app)
}

fn both(routes: Routes, path: &str, to: MethodRouter<Arc<App>>) -> Routes {
    routes
        .route(path, to.clone())
        .route(&format!("{path}/"), to)
}

fn of_tasks(mut routes: Routes) -> Routes {
    routes = both(routes, TASKS, get(tasks::list).post(tasks::create));
    let one = get(tasks::get).patch(tasks::patch).delete(tasks::delete);
    routes = both(routes, TASK, one);
    routes = both(routes, &format!("{TASK}/run"), post(runs::one_shot));
    both(
        routes,
        &format!("{TASK}/runs"),
        get(runs::list).post(runs::create),
    )
}

fn of_runs(mut routes: Routes) -> Routes {
    let run = get(runs::get).patch(runs::patch).delete(runs::delete);
    for (path, to) in [
        ("", run),
        ("/set_output", patch(runs::set_output)),
        ("/sync", get(stream::get).post(sync::post)),
        ("/append_log", post(logs::append)),
        ("/heartbeat", post(logs::heartbeat)),
        ("/secrets", put(runs::put_secrets)),
        ("/artifacts", post(artifacts::upload)),
        ("/artifacts/presign", post(artifacts::presign)),
        ("/artifacts/download", post(artifacts::download)),
        ("/file_manifest", get(manifest::get).put(manifest::put)),
        ("/blobs/missing", post(blobs::missing)),
        ("/blobs/{hash}", get(blobs::get).put(blobs::put)),
    ] {
        routes = both(routes, &format!("{RUN}{path}"), to);
    }
    routes
}

/// Logs are long, and text: they are compressed for who asks.
fn compressed() -> Routes {
    let signed = any(signed::serve);
    both(Router::new(), &format!("{RUN}/logs"), get(logs::get))
        .route("/objects/{kind}/{run}/{name}", signed)
        .layer(CompressionLayer::new())
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
