//! What belongs to a run besides its journal: artifacts, the manifest, and which blobs it may read.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row};

use crate::backend::store::{Error, Store, sql};
use crate::protocol::file::FileManifest;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{RunId, Seq};

/// One uploaded artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub id: String,
    /// The basename, which is what the reference keeps.
    pub name: String,
    /// The name it was uploaded under; presign finds it by this too.
    pub requested: String,
    pub kind: String,
    /// In bytes.
    pub size: u64,
    pub content_type: String,
    pub storage_path: String,
    pub hash: ContentHash,
    pub uploaded_at: String,
}

impl Artifact {
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "type": self.kind, "size": self.size, "content_type": self.content_type,
            "storage_path": self.storage_path, "uploaded_at": self.uploaded_at,
        })
    }
}

/// Who asks for blobs.
#[derive(Debug, Clone, Copy)]
pub enum Reader<'a> {
    /// The agent side: its own run's.
    Run(&'a RunId),
    /// A user: those of all that user's runs.
    User(i64),
}

impl Store {
    pub async fn add_artifacts(&self, run: &RunId, artifacts: &[Artifact]) -> Result<(), Error> {
        let what = sql("keep artifacts");
        let mut change = self.pool.begin().await.map_err(&what)?;
        for artifact in artifacts {
            sqlx::query(
                "insert into artifacts (id, run, name, requested, type, size, content_type, storage_path, hash, uploaded_at)
                 values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&artifact.id)
            .bind(run.as_str())
            .bind(&artifact.name)
            .bind(&artifact.requested)
            .bind(&artifact.kind)
            .bind(i64::try_from(artifact.size).unwrap_or(i64::MAX))
            .bind(&artifact.content_type)
            .bind(&artifact.storage_path)
            .bind(artifact.hash.to_string())
            .bind(&artifact.uploaded_at)
            .execute(&mut *change)
            .await
            .map_err(&what)?;
        }
        change.commit().await.map_err(&what)
    }

    /// Oldest first.
    pub async fn artifacts(&self, run: &RunId) -> Result<Vec<Artifact>, Error> {
        let rows = sqlx::query("select * from artifacts where run = ? order by rowid")
            .bind(run.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(sql("list artifacts"))?;
        rows.iter().map(read).collect()
    }

    /// By storage path, or by the name it was uploaded under; the newest wins.
    pub async fn artifact(&self, run: &RunId, path: &str) -> Result<Option<Artifact>, Error> {
        let row = sqlx::query(
            "select * from artifacts where run = ?1 and (storage_path = ?2 or requested = ?2) order by rowid desc limit 1",
        )
        .bind(run.as_str())
        .bind(path)
        .fetch_optional(&self.pool)
        .await
        .map_err(sql("look up an artifact"))?;
        row.as_ref().map(read).transpose()
    }

    /// The manifest that was PUT, as it was sent, unknown fields included.
    pub async fn manifest_text(&self, run: &RunId) -> Result<Option<String>, Error> {
        let row = sqlx::query("select body from manifests where run = ?")
            .bind(run.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(sql("look up a manifest"))?;
        Ok(row.map(|row| row.get(0)))
    }

    /// The one that was written when the run ended, else the one that was PUT.
    pub async fn newest_manifest_text(&self, run: &RunId) -> Result<Option<String>, Error> {
        let row = sqlx::query("select body from closing_manifests where run = ?")
            .bind(run.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(sql("look up a manifest"))?;
        match row {
            Some(row) => Ok(Some(row.get(0))),
            None => self.manifest_text(run).await,
        }
    }

    pub async fn manifest(&self, run: &RunId) -> Result<Option<FileManifest>, Error> {
        Ok(self.seed_and_place(run).await?.0)
    }

    /// The manifest that was PUT, and where the journal stood then: what is told behind that place came after it.
    pub(crate) async fn seed_and_place(
        &self,
        run: &RunId,
    ) -> Result<(Option<FileManifest>, Seq), Error> {
        let row = sqlx::query("select body, since from manifests where run = ?")
            .bind(run.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(sql("look up a manifest"))?;
        let Some(row) = row else {
            return Ok((None, Seq::ZERO));
        };
        let text: String = row.get("body");
        let seed = serde_json::from_str(&text).map_err(Error::content("a manifest"))?;
        Ok((Some(seed), place(row.get("since"))))
    }

    /// A new one makes what was written at the run's end old; the same one again changes nothing.
    pub async fn put_manifest(&self, run: &RunId, text: &str, since: Seq) -> Result<(), Error> {
        let what = sql("keep a manifest");
        let mut change = self.pool.begin().await.map_err(&what)?;
        let kept = sqlx::query(
            "insert into manifests (run, body, since) values (?, ?, ?)
             on conflict (run) do update set body = excluded.body, since = excluded.since where body <> excluded.body",
        )
        .bind(run.as_str())
        .bind(text)
        .bind(number(since))
        .execute(&mut *change)
        .await
        .map_err(&what)?;
        if kept.rows_affected() > 0 {
            sqlx::query("delete from closing_manifests where run = ?")
                .bind(run.as_str())
                .execute(&mut *change)
                .await
                .map_err(&what)?;
        }
        change.commit().await.map_err(&what)
    }

    /// The last line that the manifest of the run's end has seen.
    pub(crate) async fn closing_through(&self, run: &RunId) -> Result<Option<Seq>, Error> {
        let row = sqlx::query("select through from closing_manifests where run = ?")
            .bind(run.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(sql("look up a manifest"))?;
        Ok(row.map(|row| place(row.get(0))))
    }

    /// Of two that were written at once the one that has seen more stays.
    pub(crate) async fn put_closing(
        &self,
        run: &RunId,
        manifest: &FileManifest,
        through: Seq,
    ) -> Result<(), Error> {
        let text = serde_json::to_string(manifest).map_err(Error::content("a manifest"))?;
        sqlx::query(
            "insert into closing_manifests (run, through, body) values (?, ?, ?)
             on conflict (run) do update set through = excluded.through, body = excluded.body
             where excluded.through >= through",
        )
        .bind(run.as_str())
        .bind(number(through))
        .bind(text)
        .execute(&self.pool)
        .await
        .map_err(sql("keep a manifest"))?;
        Ok(())
    }

    /// From now on the run refers to these blobs.
    pub async fn refer(&self, run: &RunId, hashes: &[ContentHash]) -> Result<(), Error> {
        let what = sql("note blobs");
        let mut change = self.pool.begin().await.map_err(&what)?;
        for piece in hashes.chunks(500) {
            let mut query = QueryBuilder::new("insert or ignore into run_blobs (run, hash) ");
            query.push_values(piece, |mut row, hash| {
                row.push_bind(run.as_str()).push_bind(hash.to_string());
            });
            query.build().execute(&mut *change).await.map_err(&what)?;
        }
        change.commit().await.map_err(&what)
    }

    /// Which of these blobs the reader may not read (they may not even be there for it).
    pub async fn unreachable_blobs(
        &self,
        reader: Reader<'_>,
        hashes: &[ContentHash],
    ) -> Result<Vec<ContentHash>, Error> {
        let mut missing = Vec::new();
        for piece in hashes.chunks(500) {
            let mut query = QueryBuilder::new("select distinct b.hash from run_blobs b");
            match reader {
                Reader::Run(run) => query.push(" where b.run = ").push_bind(run.as_str()),
                Reader::User(user) => query
                    .push(" join runs r on r.id = b.run where r.user = ")
                    .push_bind(user),
            };
            query.push(" and b.hash in (");
            let mut list = query.separated(", ");
            for hash in piece {
                list.push_bind(hash.to_string());
            }
            query.push(")");
            let rows = query
                .build()
                .fetch_all(&self.pool)
                .await
                .map_err(sql("look up blobs"))?;
            let known: std::collections::HashSet<String> =
                rows.iter().map(|row| row.get(0)).collect();
            missing.extend(
                piece
                    .iter()
                    .filter(|hash| !known.contains(&hash.to_string())),
            );
        }
        Ok(missing)
    }
}

fn place(number: i64) -> Seq {
    Seq(u64::try_from(number).unwrap_or(0))
}

fn number(place: Seq) -> i64 {
    i64::try_from(place.0).unwrap_or(i64::MAX)
}

fn read(row: &SqliteRow) -> Result<Artifact, Error> {
    let hash: String = row.get("hash");
    Ok(Artifact {
        id: row.get("id"),
        name: row.get("name"),
        requested: row.get("requested"),
        kind: row.get("type"),
        size: u64::try_from(row.get::<i64, _>("size")).unwrap_or(0),
        content_type: row.get("content_type"),
        storage_path: row.get("storage_path"),
        hash: hash.parse().map_err(|_| Error::Content {
            what: "a hash",
            why: hash.clone(),
        })?,
        uploaded_at: row.get("uploaded_at"),
    })
}
