//! Which process serves which run, so that it can be adopted after a new start of the endpoint.

use sqlx::Row;

use crate::backend::sandbox::Started;
use crate::backend::store::{Error, Store, sql};
use crate::protocol::ids::{ProjectId, RunId, RunRef};

impl Store {
    /// Written right after the spawn; adopted at the next start.
    pub async fn put_process(&self, run: &RunId, started: &Started) -> Result<(), Error> {
        let text = serde_json::to_string(started).map_err(Error::content("a process"))?;
        self.write_process(run, Some(text)).await
    }

    pub async fn clear_process(&self, run: &RunId) -> Result<(), Error> {
        self.write_process(run, None).await
    }

    async fn write_process(&self, run: &RunId, text: Option<String>) -> Result<(), Error> {
        sqlx::query("update runs set process = ? where id = ?")
            .bind(text)
            .bind(run.as_str())
            .execute(&self.pool)
            .await
            .map_err(sql("note a process"))?;
        Ok(())
    }

    /// Every run with a process we started.
    pub async fn processes(&self) -> Result<Vec<(RunRef, Started)>, Error> {
        let rows =
            sqlx::query("select id, task, project, process from runs where process is not null")
                .fetch_all(&self.pool)
                .await
                .map_err(sql("list processes"))?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let at = RunRef {
                project: ProjectId(row.get("project")),
                task: row.get::<String, _>("task").parse().map_err(Error::id)?,
                run: row.get::<String, _>("id").parse().map_err(Error::id)?,
            };
            let started =
                serde_json::from_str(row.get("process")).map_err(Error::content("a process"))?;
            found.push((at, started));
        }
        Ok(found)
    }
}
