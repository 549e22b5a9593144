//! Tasks: rows in, the contract's shape out.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::backend::store::create::{Key, note_key};
use crate::backend::store::tokens::User;
use crate::backend::store::{Error, Store, now, sql};
use crate::protocol::ids::{ProjectId, TaskId};
use crate::protocol::task::{NewTask, Task};

/// The longest title.
const TITLE: usize = 255;

/// A task and to whom it belongs. `latest_run` is not filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTask {
    pub project: ProjectId,
    pub user: i64,
    pub task: Task,
}

/// Which tasks are wanted (contract 2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub repository: Option<String>,
    pub organization: Option<String>,
    pub created_by: Option<i64>,
    pub origin_product: Option<String>,
    pub stage: Option<String>,
}

/// The first line of a text, short enough for a title.
pub fn title_of(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    line.chars().take(TITLE).collect()
}

impl Store {
    pub async fn new_task(
        &self,
        project: ProjectId,
        user: i64,
        new: &NewTask,
        key: Option<Key<'_>>,
    ) -> Result<TaskId, Error> {
        let id = TaskId::random();
        let title = match new.title.as_deref().map(str::trim) {
            Some(title) if !title.is_empty() => title.to_owned(),
            _ => title_of(&new.description),
        };
        let what = sql("make a task");
        let mut change = self.pool.begin().await.map_err(&what)?;
        sqlx::query(
            "insert into tasks (id, project, number, user, title, description, origin_product, repository,
                 github_integration, json_schema, created_at, updated_at)
             values (?, ?, (select coalesce(max(number), 0) + 1 from tasks where project = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.as_str())
        .bind(project.0)
        .bind(project.0)
        .bind(user)
        .bind(title)
        .bind(&new.description)
        .bind(new.origin_product.as_deref().unwrap_or("user_created"))
        .bind(new.repository.as_deref().map(str::to_lowercase))
        .bind(new.github_integration)
        .bind(new.json_schema.as_ref().map(Value::to_string))
        .bind(now())
        .bind(now())
        .execute(&mut *change)
        .await
        .map_err(&what)?;
        note_key(&mut change, key, id.as_str()).await?;
        change.commit().await.map_err(&what)?;
        Ok(id)
    }

    pub async fn task(&self, task: &TaskId) -> Result<Option<StoredTask>, Error> {
        let row = sqlx::query(&format!("{SELECT} where t.id = ? and t.deleted_at is null"))
            .bind(task.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(sql("look up a task"))?;
        row.as_ref().map(read).transpose()
    }

    /// One page of a user's tasks, newest first, and how many there are.
    pub async fn tasks(
        &self,
        project: ProjectId,
        user: i64,
        filter: &Filter,
        limit: i64,
        offset: i64,
    ) -> Result<(i64, Vec<StoredTask>), Error> {
        let mut count = QueryBuilder::new("select count(*) from tasks t");
        narrow(&mut count, project, user, filter);
        let row = count
            .build()
            .fetch_one(&self.pool)
            .await
            .map_err(sql("count tasks"))?;
        let mut page = QueryBuilder::new(SELECT);
        narrow(&mut page, project, user, filter);
        page.push(" order by t.created_at desc, t.number desc limit ")
            .push_bind(limit)
            .push(" offset ")
            .push_bind(offset);
        let rows = page
            .build()
            .fetch_all(&self.pool)
            .await
            .map_err(sql("list tasks"))?;
        Ok((row.get(0), rows.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Replaces what a PATCH may change.
    pub async fn change_task(&self, task: &Task) -> Result<(), Error> {
        sqlx::query(
            "update tasks set title = ?, description = ?, origin_product = ?, repository = ?, github_integration = ?,
                 json_schema = ?, updated_at = ? where id = ?",
        )
        .bind(&task.title)
        .bind(&task.description)
        .bind(&task.origin_product)
        .bind(task.repository.as_deref().map(str::to_lowercase))
        .bind(task.github_integration)
        .bind(task.json_schema.as_ref().map(Value::to_string))
        .bind(now())
        .bind(task.id.as_str())
        .execute(&self.pool)
        .await
        .map_err(sql("change a task"))?;
        Ok(())
    }

    /// A task that was made without words takes its title from the first message.
    pub async fn title_from(&self, task: &TaskId, text: &str) -> Result<(), Error> {
        sqlx::query("update tasks set title = ?, updated_at = ? where id = ? and title = ''")
            .bind(title_of(text))
            .bind(now())
            .bind(task.as_str())
            .execute(&self.pool)
            .await
            .map_err(sql("name a task"))?;
        Ok(())
    }

    /// Hides it and its runs.
    pub async fn delete_task(&self, task: &TaskId) -> Result<(), Error> {
        sqlx::query("update tasks set deleted_at = ?, updated_at = ? where id = ?")
            .bind(now())
            .bind(now())
            .bind(task.as_str())
            .execute(&self.pool)
            .await
            .map_err(sql("delete a task"))?;
        Ok(())
    }
}

const SELECT: &str =
    "select t.*, u.id as user_id, u.uuid as user_uuid, u.name as user_name, u.email as user_email
    from tasks t join users u on u.id = t.user";

fn narrow(query: &mut QueryBuilder<'_, Sqlite>, project: ProjectId, user: i64, filter: &Filter) {
    query
        .push(" where t.deleted_at is null and t.project = ")
        .push_bind(project.0)
        .push(" and t.user = ")
        .push_bind(user);
    if let Some(repository) = &filter.repository {
        query
            .push(" and t.repository = ")
            .push_bind(repository.to_lowercase());
    }
    if let Some(organization) = &filter.organization {
        let length = i64::try_from(organization.chars().count() + 1).unwrap_or(i64::MAX);
        query
            .push(" and substr(t.repository, 1, ")
            .push_bind(length)
            .push(") = ")
            .push_bind(format!("{}/", organization.to_lowercase()));
    }
    if let Some(user) = filter.created_by {
        query.push(" and t.user = ").push_bind(user);
    }
    if let Some(product) = &filter.origin_product {
        query
            .push(" and t.origin_product = ")
            .push_bind(product.clone());
    }
    if let Some(stage) = &filter.stage {
        query
            .push(" and exists (select 1 from runs r where r.task = t.id and r.stage = ")
            .push_bind(stage.clone())
            .push(")");
    }
}

fn read(row: &SqliteRow) -> Result<StoredTask, Error> {
    let number: i64 = row.get("number");
    let user = User {
        id: row.get("user_id"),
        uuid: row.get("user_uuid"),
        name: row.get("user_name"),
        email: row.get("user_email"),
    };
    let schema: Option<String> = row.get("json_schema");
    Ok(StoredTask {
        project: ProjectId(row.get("project")),
        user: user.id,
        task: Task {
            id: row.get::<String, _>("id").parse().map_err(Error::id)?,
            task_number: Some(number),
            slug: Some(format!("ASH-{number}")),
            title: row.get("title"),
            description: row.get("description"),
            origin_product: row.get("origin_product"),
            repository: row.get("repository"),
            github_integration: row.get("github_integration"),
            json_schema: schema
                .map(|text| serde_json::from_str(&text))
                .transpose()
                .map_err(Error::content("a schema"))?,
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
            created_by: Some(json!({
                "id": user.id, "uuid": user.uuid, "distinct_id": user.uuid, "first_name": user.name, "email": user.email,
            })),
            latest_run: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_line_that_says_something() {
        assert_eq!(title_of("\n  Fix it \nnow"), "Fix it");
        assert_eq!(title_of(""), "");
        assert_eq!(title_of(&"ä".repeat(300)).chars().count(), 255);
    }
}
