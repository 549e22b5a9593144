//! Tasks, runs and pages as the contract's section 2 draws them.

use axum::Json;
use serde_json::{Value, json};

use crate::backend::http::app::App;
use crate::backend::http::auth::Base;
use crate::backend::http::body::wrong;
use crate::backend::http::error::Refusal;
use crate::backend::http::signed;
use crate::backend::store::StoredRun;
use crate::backend::store::artifacts::Artifact;
use crate::backend::store::tasks::StoredTask;
use crate::protocol::run::Brief;

/// The most a list answers at once.
const MOST: i64 = 500;

pub async fn run(app: &App, base: &Base, mut stored: StoredRun) -> Result<Value, Refusal> {
    let artifacts = app.store.artifacts(&stored.at.run).await?;
    stored.run.artifacts = artifacts.iter().map(Artifact::to_json).collect();
    let url = app
        .signer
        .url(base, "logs", &stored.at.run, "log.jsonl", signed::now());
    stored.run.log_url = Some(url);
    serde_json::to_value(stored.run).map_err(|why| Refusal::internal(&why))
}

/// A run in a list, with how it stands: nobody has to read its journal for that.
pub async fn listed(app: &App, base: &Base, mut stored: StoredRun) -> Result<Value, Refusal> {
    let over = stored.run.status.is_terminal();
    let now = tokio::time::Instant::now().into_std();
    let clients = app.presence.count(&stored.at.run, now) as u64;
    stored.run.standing = match app.journal.brief(&stored.at, over).await {
        Ok(brief) => brief.map(|brief| Brief {
            clients: Some(clients),
            ..brief
        }),
        // A list is not refused for one journal that cannot be read.
        Err(error) => {
            tracing::warn!(%error, run = %stored.at.run, "how a run stands is not known");
            None
        }
    };
    run(app, base, stored).await
}

/// The run as it is now.
pub async fn fresh_run(
    app: &App,
    base: &Base,
    run_id: &crate::protocol::ids::RunId,
) -> Result<Value, Refusal> {
    match app.store.run(run_id).await? {
        Some(stored) => run(app, base, stored).await,
        None => Err(Refusal::not_found("run")),
    }
}

pub async fn task(app: &App, base: &Base, stored: StoredTask) -> Result<Value, Refusal> {
    let (_, newest) = app.store.runs(&stored.task.id, 1, 0).await?;
    let latest = match newest.into_iter().next() {
        Some(latest) => run(app, base, latest).await?,
        None => Value::Null,
    };
    let mut task = serde_json::to_value(stored.task).map_err(|why| Refusal::internal(&why))?;
    task["latest_run"] = latest;
    Ok(task)
}

/// `?limit=&offset=` of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub limit: i64,
    pub offset: i64,
}

impl Window {
    pub fn read(query: &[(String, String)]) -> Result<Self, Refusal> {
        let number = |name: &str, default: i64| match query.iter().find(|(key, _)| key == name) {
            None => Ok(default),
            Some((_, text)) => text
                .parse::<u32>()
                .map(i64::from)
                .map_err(|_| wrong(name, "a whole number")),
        };
        Ok(Self {
            limit: number("limit", 100)?.clamp(1, MOST),
            offset: number("offset", 0)?,
        })
    }

    /// The envelope of a list; `next` and `previous` repeat the other parameters.
    pub fn page(
        self,
        base: &Base,
        path: &str,
        query: &[(String, String)],
        count: i64,
        results: Vec<Value>,
    ) -> Json<Value> {
        let at = |offset: i64| {
            let mut url = format!("{}{path}?limit={}&offset={offset}", base.0, self.limit);
            for (key, value) in query {
                if key != "limit" && key != "offset" {
                    url.push_str(&format!("&{}={}", escape(key), escape(value)));
                }
            }
            url
        };
        let next = (self.offset + self.limit < count).then(|| at(self.offset + self.limit));
        let previous = (self.offset > 0).then(|| at((self.offset - self.limit).max(0)));
        Json(json!({"count": count, "next": next, "previous": previous, "results": results}))
    }
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
