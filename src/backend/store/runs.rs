//! Runs: rows in, the contract's shape out; their status and their secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::backend::store::create::{Key, note_key};
use crate::backend::store::{Error, Store, StoredRun, now, sql};
use crate::protocol::ids::{ProjectId, RunId, RunRef, TaskId};
use crate::protocol::run::{Environment, NewRun, Run, Status};

const SELECT: &str =
    "select r.*, t.repository from runs r join tasks t on t.id = r.task and t.deleted_at is null";

impl Store {
    pub async fn new_run(
        &self,
        project: ProjectId,
        task: &TaskId,
        user: i64,
        new: &NewRun,
        status: &Status,
        key: Option<Key<'_>>,
    ) -> Result<RunId, Error> {
        let id = RunId::random();
        if !new.secrets.is_empty() {
            self.put_secrets(&id, &new.secrets).await?;
        }
        let what = sql("make a run");
        let mut change = self.pool.begin().await.map_err(&what)?;
        sqlx::query(
            "insert into runs (id, task, project, user, status, branch, environment, state, created_at, updated_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.as_str())
        .bind(task.as_str())
        .bind(project.0)
        .bind(user)
        .bind(status.as_str())
        .bind(&new.branch)
        .bind(new.environment.as_str())
        .bind(Value::Object(new.state.clone()).to_string())
        .bind(now())
        .bind(now())
        .execute(&mut *change)
        .await
        .map_err(&what)?;
        note_key(&mut change, key, id.as_str()).await?;
        change.commit().await.map_err(&what)?;
        Ok(id)
    }

    pub async fn run(&self, run: &RunId) -> Result<Option<StoredRun>, Error> {
        let row = sqlx::query(&format!("{SELECT} where r.id = ?"))
            .bind(run.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(sql("look up a run"))?;
        row.as_ref().map(read).transpose()
    }

    /// One page of a task's runs, newest first, and how many there are.
    pub async fn runs(
        &self,
        task: &TaskId,
        limit: i64,
        offset: i64,
    ) -> Result<(i64, Vec<StoredRun>), Error> {
        let count = sqlx::query("select count(*) from runs where task = ?")
            .bind(task.as_str())
            .fetch_one(&self.pool)
            .await
            .map_err(sql("count runs"))?;
        let rows = sqlx::query(&format!(
            "{SELECT} where r.task = ? order by r.created_at desc, r.rowid desc limit ? offset ?"
        ))
        .bind(task.as_str())
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.pool)
        .await
        .map_err(sql("list runs"))?;
        let runs = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok((count.get(0), runs))
    }

    /// Every run that is not terminal, oldest first. The reference's `local` runs, which nobody here drives, are
    /// among them.
    pub async fn active_runs(&self) -> Result<Vec<StoredRun>, Error> {
        let rows = sqlx::query(&format!(
            "{SELECT} where r.status not in ('completed', 'failed', 'cancelled') order by r.created_at"
        ))
        .fetch_all(&self.pool)
        .await
        .map_err(sql("list active runs"))?;
        rows.iter().map(read).collect()
    }

    /// Stamps `updated_at`, and `completed_at` with a terminal status (cleared by another one). A run that has
    /// ended keeps its first end until it runs again. `error` replaces the message; `None` clears it.
    pub async fn set_status(
        &self,
        run: &RunId,
        status: &Status,
        error: Option<&str>,
    ) -> Result<(), Error> {
        let ended = status.is_terminal().then(now);
        sqlx::query(
            "update runs set status = ?1, error_message = ?2, updated_at = ?3, completed_at = ?4
             where id = ?5 and not (?4 is not null and status in ('completed', 'failed', 'cancelled'))",
        )
        .bind(status.as_str())
        .bind(error)
        .bind(now())
        .bind(ended)
        .bind(run.as_str())
        .execute(&self.pool)
        .await
        .map_err(sql("set a run's status"))?;
        Ok(())
    }

    /// Which agent has started there. For whoever has the lock on changes: it is a part of `state`.
    pub async fn note_agent(&self, run: &RunId, name: &str) -> Result<(), Error> {
        sqlx::query("update runs set state = json_set(state, '$.agent_running', ?) where id = ?")
            .bind(name)
            .bind(run.as_str())
            .execute(&self.pool)
            .await
            .map_err(sql("note a run's agent"))?;
        Ok(())
    }

    /// Replaces what a PATCH may change.
    pub async fn change_run(&self, run: &Run) -> Result<(), Error> {
        sqlx::query(
            "update runs set status = ?, stage = ?, branch = ?, environment = ?, error_message = ?, output = ?,
                 state = ?, updated_at = ?, completed_at = ? where id = ?",
        )
        .bind(run.status.as_str())
        .bind(&run.stage)
        .bind(&run.branch)
        .bind(run.environment.as_str())
        .bind(&run.error_message)
        .bind(run.output.as_ref().map(Value::to_string))
        .bind(Value::Object(run.state.clone()).to_string())
        .bind(now())
        .bind(&run.completed_at)
        .bind(run.id.as_str())
        .execute(&self.pool)
        .await
        .map_err(sql("change a run"))?;
        Ok(())
    }

    /// Removes the run, its tokens, its manifest, its artifacts' entries and its secrets.
    pub async fn delete_run(&self, run: &RunId) -> Result<(), Error> {
        let what = sql("remove a run");
        let mut change = self.pool.begin().await.map_err(&what)?;
        for table in [
            "delete from tokens where run = ?",
            "delete from idempotency where id = ?",
            "delete from runs where id = ?",
        ] {
            sqlx::query(table)
                .bind(run.as_str())
                .execute(&mut *change)
                .await
                .map_err(&what)?;
        }
        change.commit().await.map_err(&what)?;
        let path = self.secrets_path(run);
        match tokio::fs::remove_file(&path).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
                what: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// The 0600 file with the run's secrets (it need not exist).
    pub fn secrets_path(&self, run: &RunId) -> PathBuf {
        self.secrets.join(format!("{run}.json"))
    }

    /// The run's secrets; empty when it has none.
    pub async fn secrets(&self, run: &RunId) -> Result<BTreeMap<String, String>, Error> {
        let path = self.secrets_path(run);
        match tokio::fs::read(&path).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(Error::content("secrets")),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(source) => Err(Error::File {
                what: "read",
                path,
                source,
            }),
        }
    }

    /// Replaces the run's secrets.
    pub async fn put_secrets(
        &self,
        run: &RunId,
        secrets: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let path = self.secrets_path(run);
        let folder = self.secrets.clone();
        let bytes = serde_json::to_vec(secrets).map_err(Error::content("secrets"))?;
        let place = path.clone();
        let written = tokio::task::spawn_blocking(move || {
            use std::io::Write;
            // A temporary file is 0600 from its first moment.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(place)?;
            Ok(())
        });
        let outcome = written
            .await
            .unwrap_or_else(|cause| Err(std::io::Error::other(cause)));
        outcome.map_err(|source| Error::File {
            what: "write",
            path,
            source,
        })
    }
}

fn read(row: &SqliteRow) -> Result<StoredRun, Error> {
    let id: RunId = row.get::<String, _>("id").parse().map_err(Error::id)?;
    let task: TaskId = row.get::<String, _>("task").parse().map_err(Error::id)?;
    let output: Option<String> = row.get("output");
    let state: Map<String, Value> =
        serde_json::from_str(row.get("state")).map_err(Error::content("a run's state"))?;
    Ok(StoredRun {
        at: RunRef {
            project: ProjectId(row.get("project")),
            task: task.clone(),
            run: id.clone(),
        },
        user: row.get("user"),
        repository: row.get("repository"),
        run: Run {
            id,
            task,
            stage: row.get("stage"),
            branch: row.get("branch"),
            status: Status::from(row.get::<String, _>("status")),
            environment: Environment::from(row.get::<String, _>("environment")),
            log_url: None,
            error_message: row.get("error_message"),
            output: output
                .map(|text| serde_json::from_str(&text))
                .transpose()
                .map_err(Error::content("a run's output"))?,
            state,
            artifacts: Vec::new(),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
            completed_at: row.get("completed_at"),
            standing: None,
        },
    })
}
