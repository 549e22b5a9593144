//! Opens the SQLite file and brings its schema forward.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngCore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqlitePool};

use crate::backend::store::{Error, Store, now, sql};

/// One script per schema version, applied in order; a script is never changed once it was released.
const SCRIPTS: [&str; 2] = [
    "
    create table meta (key text primary key, value blob not null);
    create table users (
        id integer primary key, uuid text not null, name text not null, email text not null, created_at text not null
    );
    create table tokens (
        lookup text not null, hash blob not null, user integer not null references users(id), run text,
        name text not null, created_at text not null, expires_at text, revoked_at text
    );
    create index tokens_lookup on tokens (lookup);
    create index tokens_run on tokens (run);
    create table tasks (
        id text primary key, project integer not null, number integer not null, user integer not null references users(id),
        title text not null, description text not null, origin_product text not null, repository text,
        github_integration integer, json_schema text, created_at text not null, updated_at text not null, deleted_at text,
        unique (project, number)
    );
    create table runs (
        id text primary key, task text not null references tasks(id), project integer not null, user integer not null,
        status text not null, stage text, branch text, environment text not null, error_message text, output text,
        state text not null, created_at text not null, updated_at text not null, completed_at text, process text
    );
    create index runs_task on runs (task, created_at);
    create table artifacts (
        id text primary key, run text not null references runs(id) on delete cascade, name text not null,
        requested text not null, type text not null, size integer not null, content_type text not null,
        storage_path text not null, hash text not null, uploaded_at text not null
    );
    create index artifacts_run on artifacts (run);
    create table idempotency (
        user integer not null, scope text not null, key text not null, id text not null, created_at text not null,
        primary key (user, scope, key)
    );
    create table manifests (run text primary key references runs(id) on delete cascade, body text not null);
    create table run_blobs (
        run text not null references runs(id) on delete cascade, hash text not null, primary key (run, hash)
    ) without rowid;
    create index run_blobs_hash on run_blobs (hash);
",
    "
    alter table manifests add column since integer not null default 0;
    create table closing_manifests (
        run text primary key references runs(id) on delete cascade, through integer not null, body text not null
    );
",
];

impl Store {
    /// Opens `store.sqlite` in this folder, made if it is not there, and brings it forward. For whoever has the lock.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let (store, path) = Self::connect(folder).await?;
        migrate(&store.pool, &path).await?;
        store.ensure_first_user().await?;
        Ok(store)
    }

    /// Opens it beside the endpoint that serves it, which alone may change the schema.
    pub async fn join(folder: &Path) -> Result<Self, Error> {
        let (store, path) = Self::connect(folder).await?;
        let found = version(&store.pool).await?;
        if found < newest() {
            return Err(Error::Older { path });
        }
        not_newer(&path, found)?;
        Ok(store)
    }

    async fn connect(folder: &Path) -> Result<(Self, PathBuf), Error> {
        let secrets = folder.join("secrets");
        let file = |what, path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { what, path, source }
        };
        tokio::fs::create_dir_all(&secrets)
            .await
            .map_err(file("make the folder", &secrets))?;
        let path = folder.join("store.sqlite");
        // Made before SQLite opens it, so that nobody else can read the key in it; its side files take the same mode.
        tokio::fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .await
            .map_err(file("make", &path))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(sql("open the database"))?;
        Ok((Self { pool, secrets }, path))
    }

    /// Whether the database answers.
    pub async fn is_ready(&self) -> bool {
        sqlx::query("select 1").execute(&self.pool).await.is_ok()
    }

    /// The key of signed URLs; made once, so that URLs outlive a restart.
    pub async fn signing_key(&self) -> Result<Vec<u8>, Error> {
        let mut fresh = vec![0; 32];
        rand::rng().fill_bytes(&mut fresh);
        sqlx::query(
            "insert into meta (key, value) values ('signing_key', ?) on conflict do nothing",
        )
        .bind(fresh)
        .execute(&self.pool)
        .await
        .map_err(sql("make the signing key"))?;
        let row = sqlx::query("select value from meta where key = 'signing_key'")
            .fetch_one(&self.pool)
            .await
            .map_err(sql("read the signing key"))?;
        Ok(row.get(0))
    }

    async fn ensure_first_user(&self) -> Result<(), Error> {
        sqlx::query(
            "insert into users (id, uuid, name, email, created_at) values (1, ?, 'you', '', ?) on conflict do nothing",
        )
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(now())
        .execute(&self.pool)
        .await
        .map_err(sql("make the first user"))?;
        Ok(())
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The schema version this program makes.
fn newest() -> i64 {
    i64::try_from(SCRIPTS.len()).unwrap_or(i64::MAX)
}

async fn version(pool: &SqlitePool) -> Result<i64, Error> {
    let row = sqlx::query("pragma user_version")
        .fetch_one(pool)
        .await
        .map_err(sql("read the schema version"))?;
    Ok(row.get(0))
}

fn not_newer(path: &Path, found: i64) -> Result<(), Error> {
    let known = newest();
    if found > known {
        return Err(Error::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    Ok(())
}

async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), Error> {
    let found = version(pool).await?;
    not_newer(path, found)?;
    let behind = usize::try_from(found).unwrap_or(0);
    for (index, script) in SCRIPTS.iter().enumerate().skip(behind) {
        let mut step = pool.begin().await.map_err(sql("change the schema"))?;
        sqlx::raw_sql(script)
            .execute(&mut *step)
            .await
            .map_err(sql("change the schema"))?;
        sqlx::raw_sql(&format!("pragma user_version = {}", index + 1))
            .execute(&mut *step)
            .await
            .map_err(sql("note the schema version"))?;
        step.commit().await.map_err(sql("change the schema"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_of_a_newer_program_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let key = store.signing_key().await.unwrap();
        store.close().await;
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(store.signing_key().await.unwrap(), key);
        sqlx::raw_sql("pragma user_version = 99")
            .execute(&store.pool)
            .await
            .unwrap();
        store.close().await;
        let refused = Store::open(folder.path()).await.err().unwrap().to_string();
        assert!(refused.contains("schema version 99"), "{refused}");
    }
}
