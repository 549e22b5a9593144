//! Tasks: made, listed, changed, hidden.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::backend::http::app::App;
use crate::backend::http::auth::Base;
use crate::backend::http::body::{self, Fields, required, wrong};
use crate::backend::http::error::Refusal;
use crate::backend::http::extract::{InProject, OfTask, Person};
use crate::backend::http::shape::{self, Window};
use crate::backend::lifecycle::Signal;
use crate::backend::store::create::Key;
use crate::backend::store::tasks::Filter;
use crate::protocol::task::{NewTask, Working};

/// The longest description, in characters.
const DESCRIPTION: usize = 512 * 1024;

/// `GET /api/users/@me/`.
pub async fn me(State(app): State<Arc<App>>, person: Person) -> Result<Json<Value>, Refusal> {
    let user = app.store.user(person.id).await?;
    Ok(Json(json!({
        "id": user.id, "uuid": user.uuid, "first_name": user.name, "email": user.email,
        "team": {"id": 1, "name": "Ashore"}, "working": working(&app, &person).await?,
    })))
}

/// The caller's runs at work, oldest first: what an end or an upgrade of this endpoint would interrupt.
async fn working(app: &App, person: &Person) -> Result<Vec<Working>, Refusal> {
    let mut working = Vec::new();
    for stored in app.store.active_runs().await? {
        let theirs = stored.user == person.id && stored.run.is_driven();
        if theirs && app.journal.state(&stored.at).await?.is_working() {
            let task = app.store.task(&stored.at.task).await?;
            working.push(Working {
                run: stored.at.run,
                title: task.map(|stored| stored.task.title).unwrap_or_default(),
            });
        }
    }
    Ok(working)
}

/// A caller's `Idempotency-Key`.
pub fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(header) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = header
        .to_str()
        .ok()
        .filter(|key| uuid::Uuid::try_parse(key).is_ok());
    key.map(Some)
        .ok_or_else(|| Refusal::body("Idempotency-Key must be a UUID"))
}

pub async fn create(
    State(app): State<Arc<App>>,
    base: Base,
    InProject { person, project }: InProject,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let body = body::object(body, body::ORDINARY).await?;
    if !body.contains_key("description") {
        return Err(required("description"));
    }
    let mut new = NewTask::default();
    read(&body, &mut new)?;
    let scope = format!("tasks:{project}");
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
    let id = match before.map(|id| id.parse()) {
        Some(id) => id.map_err(|why| Refusal::internal(&why))?,
        None => app.store.new_task(project, person.id, &new, key).await?,
    };
    let stored = app.store.task(&id).await?;
    let stored = stored.ok_or_else(|| Refusal::not_found("task"))?;
    let task = shape::task(&app, &base, stored).await?;
    Ok((StatusCode::CREATED, Json(task)))
}

/// Reads the fields that are there; what is not, stays.
fn read(body: &Map<String, Value>, task: &mut NewTask) -> Result<(), Refusal> {
    let fields = Fields(body);
    if let Some(description) = fields.text("description", DESCRIPTION)? {
        task.description = description
            .ok_or_else(|| wrong("description", "a string"))?
            .to_owned();
    }
    if let Some(title) = fields.text("title", 255)? {
        task.title = title.map(str::to_owned);
    }
    if let Some(product) = fields.text("origin_product", 100)? {
        task.origin_product = product.map(str::to_owned);
    }
    if let Some(repository) = fields.text("repository", 255)? {
        let fits = |text: &str| {
            let mut parts = text.split('/');
            let full = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
            full(parts.next()) && full(parts.next()) && parts.next().is_none()
        };
        if repository.is_some_and(|text| !fits(text)) {
            return Err(wrong("repository", "`org/repo` or null"));
        }
        task.repository = repository.map(str::to_lowercase);
    }
    if let Some(integration) = fields.number("github_integration")? {
        task.github_integration = integration;
    }
    if let Some(schema) = fields.object("json_schema")? {
        task.json_schema = schema.cloned().map(Value::Object);
    }
    Ok(())
}

pub async fn list(
    State(app): State<Arc<App>>,
    base: Base,
    InProject { person, project }: InProject,
    uri: Uri,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let window = Window::read(&query)?;
    let filter = filter(&query)?;
    let (count, found) = app
        .store
        .tasks(project, person.id, &filter, window.limit, window.offset)
        .await?;
    let mut tasks = Vec::with_capacity(found.len());
    for stored in found {
        tasks.push(shape::task(&app, &base, stored).await?);
    }
    Ok(window.page(&base, uri.path(), &query, count, tasks))
}

fn filter(query: &[(String, String)]) -> Result<Filter, Refusal> {
    let text = |name: &str| {
        let found = query
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    };
    let created_by = text("created_by")
        .map(|user| {
            user.parse()
                .map_err(|_| wrong("created_by", "a user's number"))
        })
        .transpose()?;
    Ok(Filter {
        repository: text("repository"),
        organization: text("organization"),
        created_by,
        origin_product: text("origin_product"),
        stage: text("stage"),
    })
}

pub async fn get(
    State(app): State<Arc<App>>,
    base: Base,
    OfTask { stored, .. }: OfTask,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(shape::task(&app, &base, stored).await?))
}

pub async fn patch(
    State(app): State<Arc<App>>,
    base: Base,
    OfTask { stored, .. }: OfTask,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let body = body::object(body, body::ORDINARY).await?;
    let _changing = app.changing.lock().await;
    let found = app.store.task(&stored.task.id).await?;
    let mut task = found.ok_or_else(|| Refusal::not_found("task"))?.task;
    let mut now = NewTask {
        description: task.description,
        title: Some(task.title),
        origin_product: task.origin_product,
        repository: task.repository,
        github_integration: task.github_integration,
        json_schema: task.json_schema,
    };
    read(&body, &mut now)?;
    task.description = now.description;
    task.title = now.title.unwrap_or_default();
    task.origin_product = now.origin_product.or(Some("user_created".to_owned()));
    task.repository = now.repository;
    task.github_integration = now.github_integration;
    task.json_schema = now.json_schema;
    app.store.change_task(&task).await?;
    let changed = app.store.task(&task.id).await?;
    let changed = changed.ok_or_else(|| Refusal::not_found("task"))?;
    Ok(Json(shape::task(&app, &base, changed).await?))
}

/// A soft delete: the task and its runs are no longer found, and running ones are closed.
pub async fn delete(
    State(app): State<Arc<App>>,
    OfTask { stored, .. }: OfTask,
) -> Result<StatusCode, Refusal> {
    let (_, runs) = app.store.runs(&stored.task.id, i64::MAX, 0).await?;
    for run in runs {
        if !run.run.status.is_terminal() {
            app.lifecycle.signal(&run.at, Signal::Close).await;
        }
    }
    app.store.delete_task(&stored.task.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
