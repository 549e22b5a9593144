//! From a request's path and token to the task or run it may have to do with: 403 for the wrong role or an agent's
//! token of another run, 404 for what is not the user's.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::backend::http::app::App;
use crate::backend::http::auth::Base;
use crate::backend::http::error::Refusal;
use crate::backend::store::StoredRun;
use crate::backend::store::artifacts::Reader;
use crate::backend::store::tasks::StoredTask;
use crate::backend::store::tokens::Caller;
use crate::protocol::ids::{ProjectId, TaskId};

/// A user, not an agent.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: i64,
    /// The token's name.
    pub name: String,
}

/// A user and the project in the path.
pub struct InProject {
    pub person: Person,
    pub project: ProjectId,
}

/// A user and the task in the path, which is the user's.
pub struct OfTask {
    pub person: Person,
    pub stored: StoredTask,
}

/// A user and the run in the path, which is the user's.
pub struct OfRun {
    pub person: Person,
    pub stored: StoredRun,
}

/// The run in the path, for its user and for its agent side.
pub struct Shared {
    pub caller: Caller,
    pub stored: StoredRun,
}

impl Shared {
    /// The token's name, or `agent`.
    pub fn reader(&self) -> Reader<'_> {
        match &self.caller {
            Caller::User { id, .. } => Reader::User(*id),
            Caller::Agent { run } => Reader::Run(run),
        }
    }
}

fn caller(parts: &Parts) -> Result<Caller, Refusal> {
    parts
        .extensions
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Refusal::unauthenticated("no credentials"))
}

fn person(parts: &Parts) -> Result<Person, Refusal> {
    match caller(parts)? {
        Caller::User { id, name } => Ok(Person { id, name }),
        Caller::Agent { .. } => Err(Refusal::forbidden(
            "a run token speaks for the agent of one run; this needs a user's token",
        )),
    }
}

/// A part of the path as what it must be; anything else names nothing that is here.
pub async fn part<T: std::str::FromStr>(
    parts: &mut Parts,
    app: &Arc<App>,
    name: &str,
    what: &str,
) -> Result<T, Refusal> {
    let params = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| Refusal::not_found(what))?;
    params
        .iter()
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| Refusal::not_found(what))
}

async fn run(parts: &mut Parts, app: &Arc<App>) -> Result<(Caller, StoredRun), Refusal> {
    let caller = caller(parts)?;
    let id = part(parts, app, "run", "run").await?;
    if matches!(&caller, Caller::Agent { run } if *run != id) {
        return Err(Refusal::forbidden("this run token opens another run"));
    }
    let project = ProjectId(part(parts, app, "project", "project").await?);
    let task: TaskId = part(parts, app, "task", "task").await?;
    let stored = app.store.run(&id).await?;
    let stored = stored
        .filter(|stored| stored.at.project == project && stored.at.task == task)
        .filter(|stored| match &caller {
            Caller::User { id, .. } => stored.user == *id,
            Caller::Agent { .. } => true,
        })
        .ok_or_else(|| Refusal::not_found("run"))?;
    Ok((caller, stored))
}

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Refusal> {
        person(parts)
    }
}

impl FromRequestParts<Arc<App>> for InProject {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        Ok(Self {
            person: person(parts)?,
            project: ProjectId(part(parts, app, "project", "project").await?),
        })
    }
}

impl FromRequestParts<Arc<App>> for OfTask {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let person = person(parts)?;
        let project = ProjectId(part(parts, app, "project", "project").await?);
        let task: TaskId = part(parts, app, "task", "task").await?;
        let stored = app.store.task(&task).await?;
        let stored = stored
            .filter(|stored| stored.project == project && stored.user == person.id)
            .ok_or_else(|| Refusal::not_found("task"))?;
        Ok(Self { person, stored })
    }
}

impl FromRequestParts<Arc<App>> for OfRun {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let person = person(parts)?;
        let (_, stored) = run(parts, app).await?;
        Ok(Self { person, stored })
    }
}

impl FromRequestParts<Arc<App>> for Shared {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let (caller, stored) = run(parts, app).await?;
        Ok(Self { caller, stored })
    }
}

impl FromRequestParts<Arc<App>> for Base {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Refusal> {
        let base = parts.extensions.get::<Self>().cloned();
        base.ok_or_else(Refusal::panicked)
    }
}
