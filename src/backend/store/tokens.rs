//! Who may come in: users and the agent sides of runs, by tokens that are kept as hashes only.

use hmac::digest::Digest;
use rand::RngCore;
use sha2::Sha256;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use subtle::ConstantTimeEq;

use crate::backend::store::{Error, Store, now, sql};
use crate::protocol::ids::{RunId, RunRef};

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    User {
        id: i64,
        /// The token's name, as in `ana`.
        name: String,
    },
    /// The agent side of one run.
    Agent { run: RunId },
}

/// A user as tasks name their maker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: i64,
    pub uuid: String,
    pub name: String,
    pub email: String,
}

/// A person's token, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Named {
    pub name: String,
    pub created_at: String,
    pub expires_at: Option<String>,
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Eight bytes of the hash find the row; the whole of it is compared in constant time.
fn lookup(hash: &[u8; 32]) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random(prefix: &str) -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}_{hex}")
}

impl Store {
    /// Whose token this is; `None` when it is unknown, revoked or has expired.
    pub async fn caller(&self, token: &str) -> Result<Option<Caller>, Error> {
        let hash = digest(token);
        let rows = sqlx::query(
            "select hash, user, run, name, expires_at from tokens where lookup = ? and revoked_at is null",
        )
        .bind(lookup(&hash))
        .fetch_all(&self.pool)
        .await
        .map_err(sql("look up a token"))?;
        let now = now();
        let caller = rows.iter().find_map(|row| {
            let same: bool = row.get::<&[u8], _>("hash").ct_eq(hash.as_slice()).into();
            let expired = row
                .get::<Option<&str>, _>("expires_at")
                .is_some_and(|expiry| expiry <= now.as_str());
            if !same || expired {
                return None;
            }
            match row.get::<Option<&str>, _>("run") {
                Some(run) => Some(Caller::Agent {
                    run: run.parse().ok()?,
                }),
                None => Some(Caller::User {
                    id: row.get("user"),
                    name: row.get("name"),
                }),
            }
        });
        Ok(caller)
    }

    /// Another person on this endpoint.
    pub async fn new_user(&self, name: &str, email: &str) -> Result<i64, Error> {
        let made =
            sqlx::query("insert into users (uuid, name, email, created_at) values (?, ?, ?, ?)")
                .bind(uuid::Uuid::new_v4().to_string())
                .bind(name)
                .bind(email)
                .bind(now())
                .execute(&self.pool)
                .await
                .map_err(sql("make a user"))?;
        Ok(made.last_insert_rowid())
    }

    pub async fn user(&self, id: i64) -> Result<User, Error> {
        let row = sqlx::query("select id, uuid, name, email from users where id = ?")
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .map_err(sql("look up a user"))?;
        Ok(User {
            id: row.get("id"),
            uuid: row.get("uuid"),
            name: row.get("name"),
            email: row.get("email"),
        })
    }

    /// A fresh token for a user. `expires`: ISO time, UTC.
    pub async fn new_user_token(
        &self,
        user: i64,
        name: &str,
        expires: Option<jiff::Timestamp>,
    ) -> Result<String, Error> {
        let token = random("ashu");
        self.keep_token(&token, user, name, expires).await?;
        Ok(token)
    }

    /// Takes a token that was given to the endpoint from outside (`ASHORE_TOKEN`) as the first user's.
    pub async fn adopt_token(&self, token: &str, name: &str) -> Result<(), Error> {
        if self.caller(token).await?.is_none() {
            self.keep_token(token, 1, name, None).await?;
        }
        Ok(())
    }

    /// A fresh token of the first user's under a name that no valid one has.
    pub async fn new_named_token(&self, name: &str) -> Result<String, Error> {
        let token = random("ashu");
        let hash = digest(&token);
        // One statement, so that two who ask at once do not both get the name.
        let made = sqlx::query(
            "insert into tokens (lookup, hash, user, name, created_at) select ?1, ?2, 1, ?3, ?4
             where not exists (select 1 from tokens where run is null and name = ?3 and revoked_at is null)",
        )
        .bind(lookup(&hash))
        .bind(hash.as_slice())
        .bind(name)
        .bind(now())
        .execute(&self.pool)
        .await
        .map_err(sql("keep a token"))?;
        if made.rows_affected() == 0 {
            return Err(Error::NameTaken(name.to_owned()));
        }
        Ok(token)
    }

    /// People's tokens that are valid or have expired, oldest first; never those of runs.
    pub async fn named_tokens(&self) -> Result<Vec<Named>, Error> {
        let rows = sqlx::query(
            "select name, created_at, expires_at from tokens where run is null and revoked_at is null order by created_at",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(sql("list tokens"))?;
        let read = |row: &SqliteRow| Named {
            name: row.get("name"),
            created_at: row.get("created_at"),
            expires_at: row.get("expires_at"),
        };
        Ok(rows.iter().map(read).collect())
    }

    /// From now on no token of this name opens anything; false when there was none.
    pub async fn revoke_named(&self, name: &str) -> Result<bool, Error> {
        let done = sqlx::query(
            "update tokens set revoked_at = ? where run is null and name = ? and revoked_at is null",
        )
        .bind(now())
        .bind(name)
        .execute(&self.pool)
        .await
        .map_err(sql("revoke a token"))?;
        Ok(done.rows_affected() > 0)
    }

    async fn keep_token(
        &self,
        token: &str,
        user: i64,
        name: &str,
        expires: Option<jiff::Timestamp>,
    ) -> Result<(), Error> {
        let hash = digest(token);
        sqlx::query("insert into tokens (lookup, hash, user, name, created_at, expires_at) values (?, ?, ?, ?, ?, ?)")
            .bind(lookup(&hash))
            .bind(hash.as_slice())
            .bind(user)
            .bind(name)
            .bind(now())
            .bind(expires.map(|time| format!("{time:.6}")))
            .execute(&self.pool)
            .await
            .map_err(sql("keep a token"))?;
        Ok(())
    }

    /// A fresh token for the agent side of this run; every older one of the run is revoked in the same transaction.
    pub async fn new_run_token(&self, at: &RunRef) -> Result<String, Error> {
        let token = random("ashr");
        let hash = digest(&token);
        let what = sql("make a run token");
        let mut change = self.pool.begin().await.map_err(&what)?;
        sqlx::query("update tokens set revoked_at = ? where run = ? and revoked_at is null")
            .bind(now())
            .bind(at.run.as_str())
            .execute(&mut *change)
            .await
            .map_err(&what)?;
        sqlx::query(
            "insert into tokens (lookup, hash, user, run, name, created_at)
             select ?, ?, user, id, 'agent', ? from runs where id = ?",
        )
        .bind(lookup(&hash))
        .bind(hash.as_slice())
        .bind(now())
        .bind(at.run.as_str())
        .execute(&mut *change)
        .await
        .map_err(&what)?;
        change.commit().await.map_err(&what)?;
        Ok(token)
    }

    pub async fn revoke_run_tokens(&self, run: &RunId) -> Result<(), Error> {
        sqlx::query("update tokens set revoked_at = ? where run = ? and revoked_at is null")
            .bind(now())
            .bind(run.as_str())
            .execute(&self.pool)
            .await
            .map_err(sql("revoke a run's tokens"))?;
        Ok(())
    }
}
