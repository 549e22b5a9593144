//! Runs: made, listed, changed, removed; their secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::backend::http::app::App;
use crate::backend::http::auth::Base;
use crate::backend::http::body::{self, Fields, wrong};
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::{OfRun, OfTask, Shared};
use crate::backend::http::shape::{self, Window};
use crate::backend::http::tasks::key_of;
use crate::backend::journal::Life;
use crate::backend::lifecycle::Signal;
use crate::backend::store::create::Key;
use crate::backend::store::now;
use crate::protocol::command::Command;
use crate::protocol::ids::{RunId, RunRef};
use crate::protocol::run::{Environment, NewRun, OurState, Run, Status};

/// Keys of `state` that decide where and what is run: set when the run is made, and never again.
const FIXED: [&str; 3] = ["agent_command", "directory", "seed"];
/// How many secrets, and how long each may be.
const SECRETS: usize = 256;
const SECRET: usize = 32 * 1024;

pub async fn create(
    State(app): State<Arc<App>>,
    base: Base,
    OfTask { person, stored }: OfTask,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let body = body::object(body, body::ORDINARY).await?;
    let new = read_new(&body)?;
    allow(&app, &new)?;
    let scope = format!("runs:{}", stored.task.id);
    let key = key_of(&headers)?.map(|key| Key {
        user: person.id,
        scope: &scope,
        key,
    });
    let _changing = app.changing.lock().await;
    let before = match key {
        Some(key) => app.store.made_by(key).await?,
        None => None,
    };
    let id: RunId = match before.map(|id| id.parse()) {
        Some(id) => id.map_err(|why| Refusal::internal(&why))?,
        None => {
            let status = Status::NotStarted;
            let (project, task) = (stored.project, &stored.task.id);
            app.store
                .new_run(project, task, person.id, &new, &status, key)
                .await?
        }
    };
    let at = RunRef {
        project: stored.project,
        task: stored.task.id.clone(),
        run: id,
    };
    // A repeat is signalled too: the first try may have been cut off before its signal.
    let made = app.store.run(&at.run).await?;
    if made.is_some_and(|made| made.run.is_driven() && made.run.status == Status::NotStarted) {
        app.lifecycle.signal(&at, Signal::Started).await;
    }
    let run = shape::fresh_run(&app, &base, &at.run).await?;
    Ok((StatusCode::CREATED, Json(run)))
}

fn read_new(body: &Map<String, Value>) -> Result<NewRun, Refusal> {
    let fields = Fields(body);
    let environment = match fields.text("environment", 20)? {
        None | Some(None) => Environment::Cloud,
        Some(Some(word)) => read_environment(word)?,
    };
    Ok(NewRun {
        environment,
        branch: fields.text("branch", 255)?.flatten().map(str::to_owned),
        state: fields
            .object("state")?
            .flatten()
            .cloned()
            .unwrap_or_default(),
        secrets: match body.get("secrets") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(secrets) => read_secrets(secrets)?,
        },
    })
}

fn read_environment(word: &str) -> Result<Environment, Refusal> {
    match Environment::from(word.to_owned()) {
        Environment::Other(_) => Err(wrong("environment", "`cloud` or `local`")),
        known @ (Environment::Cloud | Environment::Local) => Ok(known),
    }
}

fn read_secrets(secrets: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let secrets: BTreeMap<String, String> = serde_json::from_value(secrets.clone())
        .map_err(|_| wrong("secrets", "a map of strings"))?;
    let fits = |(name, value): (&String, &String)| {
        let named = !name.is_empty() && !name.contains(['=', '\0']);
        named && value.len() <= SECRET && !value.contains('\0')
    };
    if secrets.len() > SECRETS || !secrets.iter().all(fits) {
        return Err(wrong(
            "secrets",
            "at most 256 environment variables of at most 32 KiB each",
        ));
    }
    Ok(secrets)
}

/// What only the endpoint of the user on this machine takes.
fn allow(app: &App, new: &NewRun) -> Result<(), Refusal> {
    let ours: OurState = serde_json::from_value(Value::Object(new.state.clone()))
        .map_err(|why| wrong("state", &format!("as this endpoint knows it: {why}")))?;
    if !app.local && (ours.directory.is_some() || ours.agent_command.is_some()) {
        return Err(Refusal::forbidden(
            "only the endpoint on the user's own machine works in a given directory or runs a given command",
        ));
    }
    match &ours.directory {
        None => Ok(()),
        Some(_) if new.environment != Environment::Local => Err(wrong(
            "state",
            "without `directory` unless `environment` is `local`",
        )),
        Some(directory) if !directory.starts_with('/') || directory.contains('\0') => {
            Err(wrong("state", "with an absolute path as `directory`"))
        }
        Some(_) => Ok(()),
    }
}

/// `POST …/tasks/{t}/run/`: a run that does what the task says, without a client.
pub async fn one_shot(
    State(app): State<Arc<App>>,
    base: Base,
    OfTask { person, stored }: OfTask,
) -> Result<Json<Value>, Refusal> {
    let (project, task) = (stored.project, stored.task.id.clone());
    let status = Status::Queued;
    let run = app
        .store
        .new_run(project, &task, person.id, &NewRun::default(), &status, None)
        .await?;
    let at = RunRef { project, task, run };
    if !stored.task.description.trim().is_empty() {
        let command = Command::user_message(&stored.task.description);
        let body = command.to_json();
        app.journal
            .command(&at, &command, &body, &person.name, Life::Open)
            .await?;
    }
    app.lifecycle.signal(&at, Signal::Started).await;
    Ok(Json(shape::task(&app, &base, stored).await?))
}

pub async fn list(
    State(app): State<Arc<App>>,
    base: Base,
    OfTask { stored, .. }: OfTask,
    uri: Uri,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let window = Window::read(&query)?;
    let task = &stored.task.id;
    let (count, found) = app.store.runs(task, window.limit, window.offset).await?;
    let mut runs = Vec::with_capacity(found.len());
    for stored in found {
        runs.push(shape::listed(&app, &base, stored).await?);
    }
    Ok(window.page(&base, uri.path(), &query, count, runs))
}

pub async fn get(
    State(app): State<Arc<App>>,
    base: Base,
    Shared { stored, .. }: Shared,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(shape::run(&app, &base, stored).await?))
}

pub async fn patch(
    State(app): State<Arc<App>>,
    base: Base,
    OfRun { stored, .. }: OfRun,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let body = body::object(body, body::ORDINARY).await?;
    let changed = {
        let _changing = app.changing.lock().await;
        let found = app.store.run(&stored.at.run).await?;
        let before = found.ok_or_else(|| Refusal::not_found("run"))?.run;
        let after = change(before.clone(), &body)?;
        app.store.change_run(&after).await?;
        (before, after)
    };
    tell(&app, &stored.at, &changed.0, &changed.1).await?;
    Ok(Json(shape::fresh_run(&app, &base, &stored.at.run).await?))
}

fn change(mut run: Run, body: &Map<String, Value>) -> Result<Run, Refusal> {
    let fields = Fields(body);
    if let Some(stage) = fields.text("stage", 100)? {
        run.stage = stage.map(str::to_owned);
    }
    if let Some(branch) = fields.text("branch", 255)? {
        run.branch = branch.map(str::to_owned);
    }
    if let Some(message) = fields.text("error_message", 10_000)? {
        run.error_message = message.map(str::to_owned);
    }
    if let Some(environment) = fields.text("environment", 20)? {
        let word = environment.ok_or_else(|| wrong("environment", "`cloud` or `local`"))?;
        run.environment = read_environment(word)?;
    }
    if let Some(output) = fields.object("output")? {
        run.output = merge(run.output, output);
    }
    if let Some(state) = fields.object("state")? {
        let state = state.ok_or_else(|| wrong("state", "an object"))?;
        if let Some(key) = FIXED.iter().find(|key| state.contains_key(**key)) {
            return Err(wrong(
                "state",
                &format!("without `{key}`, which is set when the run is made"),
            ));
        }
        run.state.extend(state.clone());
    }
    if let Some(status) = fields.text("status", 20)? {
        let word = status.unwrap_or_default().to_owned();
        let status = Status::from(word);
        if matches!(status, Status::Other(_)) {
            return Err(wrong(
                "status",
                "one of not_started, queued, in_progress, completed, failed, cancelled",
            ));
        }
        let ended = status.is_terminal();
        run.completed_at = ended.then(|| run.completed_at.unwrap_or_else(now));
        run.status = status;
    }
    Ok(run)
}

/// Key by key: two writers of different keys both keep theirs (contract, D40).
fn merge(before: Option<Value>, given: Option<&Map<String, Value>>) -> Option<Value> {
    match (before, given) {
        (_, None) => None,
        (Some(Value::Object(mut before)), Some(given)) => {
            before.extend(given.clone());
            Some(Value::Object(before))
        }
        (_, Some(given)) => Some(Value::Object(given.clone())),
    }
}

async fn tell(app: &App, at: &RunRef, before: &Run, after: &Run) -> Result<(), Refusal> {
    if before.status != after.status {
        let message = after.error_message.as_deref();
        app.journal
            .append_status(at, &after.status, message)
            .await?;
        if after.status.is_terminal() {
            app.lifecycle.signal(at, Signal::Close).await;
        }
    }
    if before.environment == Environment::Local && after.environment == Environment::Cloud {
        app.lifecycle.signal(at, Signal::Started).await;
    }
    Ok(())
}

pub async fn set_output(
    State(app): State<Arc<App>>,
    base: Base,
    OfRun { stored, .. }: OfRun,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let body = body::object(body, body::ORDINARY).await?;
    // The reference takes a missing key for an empty object.
    let none = Map::new();
    let output = match Fields(&body).object("output")? {
        None => &none,
        Some(Some(output)) => output,
        Some(None) => return Err(wrong("output", "an object")),
    };
    let _changing = app.changing.lock().await;
    let found = app.store.run(&stored.at.run).await?;
    let mut run = found.ok_or_else(|| Refusal::not_found("run"))?.run;
    run.output = merge(run.output, Some(output));
    app.store.change_run(&run).await?;
    Ok(Json(shape::fresh_run(&app, &base, &stored.at.run).await?))
}

/// Ours: ends the run and removes its workspace, its journal and its rows.
pub async fn delete(
    State(app): State<Arc<App>>,
    OfRun { stored, .. }: OfRun,
) -> Result<StatusCode, Refusal> {
    let at = &stored.at;
    app.lifecycle.signal(at, Signal::Remove).await;
    app.store.delete_run(&at.run).await?;
    app.journal.remove(&at.run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT R/secrets`: replaces them; nothing ever gives them back.
pub async fn put_secrets(
    State(app): State<Arc<App>>,
    OfRun { stored, .. }: OfRun,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let body = body::object(body, body::ORDINARY).await?;
    let secrets = read_secrets(&Value::Object(body))?;
    app.store.put_secrets(&stored.at.run, &secrets).await?;
    Ok(Json(json!({})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        serde_json::from_value(json!({"id": "r", "task": "t", "status": "in_progress", "output": {"a": 1, "b": 1}, "state": {"x": 1}})).unwrap()
    }

    fn patched(body: Value) -> Result<Run, Refusal> {
        change(run(), body.as_object().unwrap())
    }

    #[test]
    fn a_patch_merges_objects_and_stamps_every_end() {
        let after = patched(
            json!({"output": {"b": 2}, "state": {"y": 2}, "status": "cancelled", "stage": "build"}),
        )
        .unwrap();
        assert_eq!(after.output, Some(json!({"a": 1, "b": 2})));
        assert_eq!(Value::Object(after.state), json!({"x": 1, "y": 2}));
        assert!(after.completed_at.is_some());
        assert_eq!(after.stage.as_deref(), Some("build"));
        assert_eq!(patched(json!({"output": null})).unwrap().output, None);
    }

    #[test]
    fn a_patch_of_the_wrong_kind_is_refused() {
        for body in [
            json!({"status": "paused_by_moon"}),
            json!({"status": 3}),
            json!({"environment": "orbit"}),
            json!({"output": [1]}),
            json!({"state": null}),
            json!({"state": {"agent_command": "x"}}),
            json!({"stage": "x".repeat(101)}),
        ] {
            assert!(patched(body.clone()).is_err(), "{body}");
        }
    }
}
