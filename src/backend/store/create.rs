//! Creating once: an idempotency key names what its first use made (contract 10.3).

use sqlx::{Row, Sqlite, Transaction};

use crate::backend::store::{Error, Store, now, sql};

/// A caller's `Idempotency-Key`, and what it is about: the same key may be used for a task and for its run.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    pub user: i64,
    pub scope: &'a str,
    pub key: &'a str,
}

impl Store {
    /// What the first use of this key made.
    pub async fn made_by(&self, key: Key<'_>) -> Result<Option<String>, Error> {
        let row =
            sqlx::query("select id from idempotency where user = ? and scope = ? and key = ?")
                .bind(key.user)
                .bind(key.scope)
                .bind(key.key)
                .fetch_optional(&self.pool)
                .await
                .map_err(sql("look up an idempotency key"))?;
        Ok(row.map(|row| row.get(0)))
    }
}

/// Within the transaction that makes the thing, so that neither is there without the other.
pub(crate) async fn note_key(
    change: &mut Transaction<'_, Sqlite>,
    key: Option<Key<'_>>,
    id: &str,
) -> Result<(), Error> {
    let Some(key) = key else { return Ok(()) };
    sqlx::query(
        "insert into idempotency (user, scope, key, id, created_at) values (?, ?, ?, ?, ?)",
    )
    .bind(key.user)
    .bind(key.scope)
    .bind(key.key)
    .bind(id)
    .bind(now())
    .execute(&mut **change)
    .await
    .map_err(sql("note an idempotency key"))?;
    Ok(())
}
