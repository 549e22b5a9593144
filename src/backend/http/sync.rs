//! `POST R/sync`: a client's command, validated, journaled, then told to the lifecycle.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::backend::http::app::App;
use crate::backend::http::body;
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::{OfRun, Person, Shared};
use crate::backend::http::logs;
use crate::backend::journal::Life;
use crate::backend::lifecycle::Signal;
use crate::backend::store::tokens::Caller;
use crate::protocol::command::{Command, What};
use crate::protocol::presence::Client;
use crate::protocol::run::{Run, Status};

pub async fn post(
    State(app): State<Arc<App>>,
    OfRun { person, stored }: OfRun,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let text = body::text(body, body::ORDINARY).await?;
    let refused = |why: String| Refusal::plain(StatusCode::BAD_REQUEST, why);
    let sent: Value = serde_json::from_str(&text)
        .map_err(|why| refused(format!("the body is not JSON: {why}")))?;
    if sent.get("entries").is_some() && sent.get("method").is_none() {
        // The agents of some days posted their log lines here (contract, appendix B.1).
        let caller = Caller::User {
            id: person.id,
            name: person.name,
        };
        logs::append_text(&app, &Shared { caller, stored }, None, &text).await?;
        return Ok(Json(json!({})).into_response());
    }
    let command = Command::from_json(&sent).map_err(|why| refused(why.to_string()))?;
    let who = who(&person, &headers);
    let life = life(&stored.run);
    let at = &stored.at;
    if let What::Presence {
        attached,
        read_only,
    } = command.what
    {
        let client = Client {
            from: who,
            read_only,
            client: client_of(&headers),
        };
        let now = tokio::time::Instant::now().into_std();
        // No activity: whoever only looks does not keep a sandbox.
        app.presence.tell(&at.run, client, attached, now);
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    app.journal.command(at, &command, &sent, &who, life).await?;
    // It is accepted: what goes wrong with a name must not keep it from the agent.
    if let What::UserMessage(prompt) = &command.what
        && let Err(error) = app.store.title_from(&at.task, &prompt.text).await
    {
        tracing::warn!(%error, task = %at.task, "a task has no name yet");
    }
    // A repeat is signalled too: the first try may have been cut off between the journal and here.
    app.lifecycle.signal(at, signal(&command.what)).await;
    Ok(StatusCode::ACCEPTED.into_response())
}

fn signal(what: &What) -> Signal {
    match what {
        What::UserMessage(_) => Signal::Message,
        What::Close => Signal::Close,
        What::Cancel
        | What::Permission(_)
        | What::SetMode(_)
        | What::SetConfig { .. }
        | What::Amend(_)
        | What::FileChanged(_)
        | What::Presence { .. }
        | What::Other { .. } => Signal::Activity,
    }
}

/// How a client calls itself, to be known again by its streams.
pub(super) fn client_of(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("ashore-client")?.to_str().ok()?;
    let id = uuid::Uuid::try_parse(text).ok()?;
    Some(id.to_string())
}

/// What the run can still do about a message.
fn life(run: &Run) -> Life {
    match run.status {
        Status::Completed | Status::Failed if run.is_driven() => Life::Restartable,
        Status::Completed | Status::Failed | Status::Cancelled => Life::Over,
        Status::NotStarted | Status::Queued | Status::InProgress | Status::Other(_) => Life::Open,
    }
}

/// `ana@laptop`: the token's name and, if the client says so, its host.
fn who(person: &Person, headers: &HeaderMap) -> String {
    let host = headers
        .get("ashore-host")
        .and_then(|host| host.to_str().ok());
    let fits = |host: &&str| {
        (1..=64).contains(&host.len())
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    match host.filter(fits) {
        Some(host) => format!("{}@{host}", person.name),
        None => person.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_driven_run_that_was_not_cancelled_can_be_restarted() {
        let run = |status: &str, environment: &str, state: Value| -> Run {
            serde_json::from_value(json!({"id": "r", "task": "t", "status": status, "environment": environment, "state": state})).unwrap()
        };
        let none = json!({});
        assert_eq!(life(&run("in_progress", "cloud", none.clone())), Life::Open);
        assert_eq!(
            life(&run("completed", "cloud", none.clone())),
            Life::Restartable
        );
        assert_eq!(
            life(&run("failed", "local", json!({"directory": "/w"}))),
            Life::Restartable
        );
        assert_eq!(life(&run("failed", "local", none.clone())), Life::Over);
        assert_eq!(life(&run("cancelled", "cloud", none)), Life::Over);
    }
}
