//! What both ends last agreed on, what waits, what is in conflict, which pre-image belongs to what: kept in SQLite.
//!
//! One database per run and root. Decides nothing: it is told what to write down and says what is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use futures::TryStreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, Transaction};

use crate::mirror::bulk;
use crate::mirror::ground;
use crate::mirror::guard::RootId;
use crate::mirror::held::HeldBack;
use crate::mirror::preview::Scope;
use crate::mirror::status::Way;
use crate::protocol::file::{Applied, ChangeKind, FileChange, FileState, Stale};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::path::RelPath;

const SCHEMA: i64 = 2;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS base (path TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (seq INTEGER NOT NULL, path TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (seq, path)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (path TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS conflicts (path TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folders (path TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seed (path TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (path TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS edited (path TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rules (path TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stamps (part INTEGER PRIMARY KEY, life TEXT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS preimages (id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, value TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS preimages_by_path ON preimages (path, id);
";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the mirror's state in {path} was written by a newer ashore (schema {found}, this one knows {SCHEMA}): use that one"
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("cannot use the mirror's state in {path}")]
    Sql {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the mirror's state in {path} cannot be trusted: what it says of {what} does not read ({why}). Nothing was changed. Use the ashore that wrote it, or move that file away to begin with a first look"
    )]
    Unreadable {
        path: PathBuf,
        what: String,
        why: String,
    },
    #[error("cannot make {path}")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A remote change that has not been decided yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) kind: ChangeKind,
    pub(crate) path: RelPath,
    pub(crate) now: Option<FileState>,
    pub(crate) storage_path: Option<String>,
    pub(crate) turn: Option<u64>,
    #[serde(default)]
    pub(crate) tool_call: Option<String>,
    /// The user said that this delete is meant.
    #[serde(default)]
    pub(crate) accepted: bool,
    /// The user took theirs: what stands here gives way.
    #[serde(default)]
    pub(crate) forced: bool,
    /// It answers this command of a client.
    #[serde(default)]
    pub(crate) command: Option<CommandId>,
    /// That answer was no: this is what stands there instead. Why, or empty where that is all there is to say.
    #[serde(default)]
    pub(crate) refused: Option<String>,
    /// The user asked for it although it is large.
    #[serde(default)]
    pub(crate) lifted: bool,
}

impl Waiting {
    /// No line announced it.
    pub(crate) fn of_nobody(kind: ChangeKind, path: RelPath, now: Option<FileState>) -> Self {
        Self {
            kind,
            path,
            now,
            storage_path: None,
            turn: None,
            tool_call: None,
            accepted: false,
            forced: false,
            command: None,
            refused: None,
            lifted: false,
        }
    }
}

impl From<FileChange> for Waiting {
    fn from(change: FileChange) -> Self {
        Self {
            storage_path: change.storage_path,
            turn: change.turn,
            tool_call: change.tool_call,
            ..Self::of_nobody(change.kind, change.path, change.now)
        }
    }
}

impl From<Applied> for Waiting {
    fn from(applied: Applied) -> Self {
        Self {
            command: applied.command,
            ..Self::from(applied.change)
        }
    }
}

impl From<Stale> for Waiting {
    fn from(stale: Stale) -> Self {
        Self {
            command: stale.command,
            refused: Some(stale.reason.unwrap_or_default()),
            ..Self::of_nobody(
                if stale.current.is_some() {
                    ChangeKind::Modified
                } else {
                    ChangeKind::Deleted
                },
                stale.path,
                stale.current,
            )
        }
    }
}

/// A change of ours on its way up, until the journal answers it. It is written down before it is told, so that its
/// answer is known for an echo, and a repeat keeps its id, over every restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) now: Option<FileState>,
    /// What it goes over.
    pub(crate) base: Option<FileState>,
    pub(crate) command: CommandId,
}

/// A path where both sides differ from the base and each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) seq: Seq,
    /// What stands there on the other side; `None`: it was deleted.
    pub(crate) theirs: Option<FileState>,
    /// Where we put theirs.
    pub(crate) copy: Option<RelPath>,
    pub(crate) storage_path: Option<String>,
    /// The user has kept ours: it is noted, not shown, until theirs changes again.
    pub(crate) resolved: bool,
    /// The other side has refused ours, and lists it until it hears how that ended.
    #[serde(default)]
    pub(crate) refused: bool,
}

/// The number of a write that no entry asked for: an undo. After a kill it is taken for none that was asked for.
pub(crate) const BY_HAND: Seq = Seq(u64::MAX);

/// One write of ours: what stood there and what we put there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) before: Option<FileState>,
    pub(crate) after: Option<FileState>,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    pub(crate) at: jiff::Timestamp,
    /// A foreign endpoint's name for what we put there.
    #[serde(default)]
    pub(crate) storage_path: Option<String>,
}

/// Where a write came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The line of the journal, or [`BY_HAND`].
    pub(crate) seq: Seq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) turn: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tool_call: Option<String>,
    /// It was no agent's: another client's edit, or theirs that the user has refused.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) person: bool,
    /// It is the undo of this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) undid: Option<Scope>,
    /// What earlier turns had left there before this came, and never stood here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) passed: Vec<Passed>,
}

/// A change that was overtaken by a newer one before it could be written here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Passed {
    pub(crate) seq: Seq,
    pub(crate) turn: Option<u64>,
    pub(crate) tool_call: Option<String>,
    pub(crate) person: bool,
    pub(crate) now: Option<FileState>,
    /// A foreign endpoint's name for it.
    pub(crate) storage_path: Option<String>,
}

impl Passed {
    pub(crate) fn of(seq: Seq, change: &Waiting) -> Self {
        Self {
            seq,
            turn: change.turn,
            tool_call: change.tool_call.clone(),
            person: change.command.is_some(),
            now: change.now,
            storage_path: change.storage_path.clone(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_not(flag: &bool) -> bool {
    !flag
}

impl Origin {
    /// No line of the journal asked for it.
    pub(crate) fn by_hand(undid: Option<Scope>) -> Self {
        Self {
            seq: BY_HAND,
            undid,
            ..Self::default()
        }
    }
}

/// Everything that is written down, in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) base: BTreeMap<RelPath, FileState>,
    pub(crate) waiting: BTreeMap<(Seq, RelPath), Waiting>,
    /// Decided, but not done: tried again, and listed.
    pub(crate) held: BTreeMap<RelPath, HeldBack>,
    pub(crate) conflicts: BTreeMap<RelPath, Noted>,
    pub(crate) folders: BTreeSet<RelPath>,
    pub(crate) edited: BTreeSet<RelPath>,
    pub(crate) sent: BTreeMap<RelPath, Sent>,
    pub(crate) way: Way,
    /// What the run was seeded with: mirrored whatever a gitignore file says.
    pub(crate) seed: BTreeSet<RelPath>,
    /// Earlier texts of gitignore files that the agent changed, the oldest first.
    pub(crate) rules: BTreeMap<RelPath, Vec<String>>,
    /// Every entry up to this one has come.
    pub(crate) seen: Seq,
    pub(crate) reached: Seq,
    /// The first base was set.
    pub(crate) seeded: bool,
    pub(crate) paused: bool,
    pub(crate) root: Option<RootId>,
    pub(crate) checked_at: Option<jiff::Timestamp>,
    /// Deletes done in the turn named: a restart must not count them anew.
    pub(crate) deletes: (Option<u64>, usize),
    /// The turn whose deletes the user said are meant, also those that are still to come.
    pub(crate) accepted: Option<u64>,
}

/// One fact to write down. `None` takes it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    Base(RelPath, Option<FileState>),
    Waiting(Seq, Waiting),
    Decided(Seq, RelPath),
    Held(RelPath, Option<Box<HeldBack>>),
    Conflict(RelPath, Option<Noted>),
    /// Whether a folder is one that we made.
    Folder(RelPath, bool),
    Edited(RelPath, bool),
    Sent(RelPath, Option<Sent>),
    Way(Way),
    Seed(RelPath),
    /// All of them; none: the file says what it means.
    Rules(RelPath, Vec<String>),
    Seen(Seq),
    Reached(Seq),
    Seeded,
    Paused(bool),
    Root(RootId),
    Checked(jiff::Timestamp),
    Deletes(Option<u64>, usize),
    Accepted(u64),
}

impl Known {
    /// In memory what `Base::save` does on disk.
    pub(crate) fn apply(&mut self, fact: &Fact) {
        match fact.clone() {
            Fact::Base(path, Some(state)) => drop(self.base.insert(path, state)),
            Fact::Base(path, None) => drop(self.base.remove(&path)),
            Fact::Held(path, Some(held)) => drop(self.held.insert(path, *held)),
            Fact::Held(path, None) => drop(self.held.remove(&path)),
            Fact::Conflict(path, Some(noted)) => drop(self.conflicts.insert(path, noted)),
            Fact::Conflict(path, None) => drop(self.conflicts.remove(&path)),
            Fact::Waiting(seq, waiting) => {
                drop(self.waiting.insert((seq, waiting.path.clone()), waiting))
            }
            Fact::Decided(seq, path) => drop(self.waiting.remove(&(seq, path))),
            Fact::Folder(path, true) => drop(self.folders.insert(path)),
            Fact::Folder(path, false) => drop(self.folders.remove(&path)),
            Fact::Sent(path, Some(sent)) => drop(self.sent.insert(path, sent)),
            Fact::Sent(path, None) => drop(self.sent.remove(&path)),
            Fact::Way(way) => self.way = way,
            Fact::Edited(path, true) => drop(self.edited.insert(path)),
            Fact::Edited(path, false) => drop(self.edited.remove(&path)),
            Fact::Seed(path) => drop(self.seed.insert(path)),
            Fact::Rules(path, texts) if texts.is_empty() => drop(self.rules.remove(&path)),
            Fact::Rules(path, texts) => drop(self.rules.insert(path, texts)),
            Fact::Seen(seq) => self.seen = seq,
            Fact::Reached(seq) => self.reached = seq,
            Fact::Seeded => self.seeded = true,
            Fact::Paused(paused) => self.paused = paused,
            Fact::Root(root) => self.root = Some(root),
            Fact::Checked(at) => self.checked_at = Some(at),
            Fact::Deletes(turn, number) => self.deletes = (turn, number),
            Fact::Accepted(turn) => self.accepted = Some(turn),
        }
    }
}

/// The open database.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(super) pool: SqlitePool,
    path: PathBuf,
    #[cfg(test)]
    pub(super) simulated: Option<std::sync::Arc<dyn Simulated>>,
}

/// What a simulated machine has in the place of the database. Each call is whole or not done.
#[cfg(test)]
pub(crate) trait Simulated: std::fmt::Debug + Send + Sync {
    fn load(&self) -> std::io::Result<Known>;
    fn save(&self, facts: &[Fact]) -> std::io::Result<()>;
    fn about_to_write(&self, path: &RelPath, written: &Written) -> std::io::Result<i64>;
    fn forget(&self, id: i64) -> std::io::Result<()>;
    fn stamps(&self) -> std::io::Result<Vec<Vec<u8>>>;
    fn keep_stamps(&self, parts: &[(u8, Vec<u8>)]) -> std::io::Result<()>;
    /// Path, number and content of every note that was not forgotten, in order.
    fn written(&self) -> std::io::Result<Vec<(RelPath, Written)>>;
}

/// Asks the simulated machine first, if this is one.
macro_rules! simulated {
    ($base:ident, $call:ident($($with:expr),*)) => {
        #[cfg(test)]
        if let Some(simulated) = &$base.simulated {
            return $base.tried(simulated.$call($($with),*).map_err(sqlx::Error::Io));
        }
    };
}

/// The folder of one root below the run's own: a run may have been mirrored into several.
fn folder(run_folder: &Path, root: &Path) -> PathBuf {
    let name = ContentHash::of(root.as_os_str().as_encoded_bytes()).to_string();
    run_folder.join("mirror").join(&name[..16])
}

impl Base {
    pub(crate) async fn open(run_folder: &Path, root: &Path) -> Result<Self, Error> {
        let folder = folder(run_folder, root);
        std::fs::create_dir_all(&folder).map_err(|source| Error::Folder {
            path: folder.clone(),
            source,
        })?;
        let path = folder.join("base.sqlite");
        // WAL fails where memory cannot be shared (NFS); the rollback journal works everywhere.
        let pool = match connect(&path, SqliteJournalMode::Wal).await {
            Ok(pool) => pool,
            Err(_) => connect(&path, SqliteJournalMode::Delete)
                .await
                .map_err(|source| Error::Sql {
                    path: path.clone(),
                    source,
                })?,
        };
        let base = Self {
            pool,
            path,
            #[cfg(test)]
            simulated: None,
        };
        let found: i64 = base.tried(
            sqlx::query_scalar("PRAGMA user_version")
                .fetch_one(&base.pool)
                .await,
        )?;
        if found > SCHEMA {
            return Err(Error::Newer {
                path: base.path,
                found,
            });
        }
        base.tried(sqlx::raw_sql(TABLES).execute(&base.pool).await)?;
        let version = format!("PRAGMA user_version = {SCHEMA}");
        base.tried(sqlx::raw_sql(&version).execute(&base.pool).await)?;
        Ok(base)
    }

    /// From now on no change that waits is taken, as if the disk were full; or again.
    #[cfg(test)]
    pub(crate) async fn refuse(&self, on: bool) {
        let sql = match on {
            true => {
                "CREATE TRIGGER full BEFORE INSERT ON waiting BEGIN SELECT RAISE(FAIL, 'full'); END"
            }
            false => "DROP TRIGGER full",
        };
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    /// On a simulated machine. What the database itself does is not asked for.
    #[cfg(test)]
    pub(crate) fn on(simulated: std::sync::Arc<dyn Simulated>) -> Self {
        Self {
            pool: SqlitePoolOptions::new()
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(SqliteConnectOptions::new()),
            path: PathBuf::from("base"),
            simulated: Some(simulated),
        }
    }

    /// What is written down of a run and a root, for who only looks; `None` when it never was mirrored there.
    pub(crate) async fn peek(run_folder: &Path, root: &Path) -> Result<Option<Known>, Error> {
        let path = folder(run_folder, root).join("base.sqlite");
        if !path.exists() {
            return Ok(None);
        }
        let base = Self::open(run_folder, root).await?;
        let known = base.load().await?;
        base.pool.close().await;
        Ok(Some(known))
    }

    pub(super) fn tried<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, Error> {
        result.map_err(|source| Error::Sql {
            path: self.path.clone(),
            source,
        })
    }

    pub(crate) async fn load(&self) -> Result<Known, Error> {
        simulated!(self, load());
        let waiting: Vec<(i64, Waiting)> = self.rows("waiting", "seq").await?;
        Ok(Known {
            base: self.by_path("base").await?,
            waiting: waiting
                .into_iter()
                .map(|(seq, w)| ((Seq(seq.cast_unsigned()), w.path.clone()), w))
                .collect(),
            held: self.by_path("held").await?,
            rules: self.by_path("rules").await?,
            conflicts: self.by_path("conflicts").await?,
            folders: self.paths("SELECT path FROM folders").await?,
            edited: self.paths("SELECT path FROM edited").await?,
            sent: self.by_path("sent").await?,
            way: self.meta("way").await?.unwrap_or_default(),
            seed: self.paths("SELECT path FROM seed").await?,
            seen: self.meta("seen").await?.unwrap_or_default(),
            reached: self.meta("reached").await?.unwrap_or_default(),
            seeded: self.meta("seeded").await?.unwrap_or_default(),
            paused: self.meta("paused").await?.unwrap_or_default(),
            root: self.meta("root").await?,
            checked_at: self.meta("checked_at").await?,
            deletes: self.meta("deletes").await?.unwrap_or_default(),
            accepted: self.meta("accepted").await?,
        })
    }

    /// All or nothing.
    pub(crate) async fn save(&self, facts: &[Fact]) -> Result<(), Error> {
        if facts.is_empty() {
            return Ok(());
        }
        simulated!(self, save(facts));
        let mut tx = self.tried(self.pool.begin().await)?;
        self.tried(bulk::write_all(&mut tx, facts).await)?;
        self.tried(tx.commit().await)
    }

    /// Writes down what is about to be written to a file. Returns the number to `forget` it by.
    pub(crate) async fn about_to_write(
        &self,
        path: &RelPath,
        written: &Written,
    ) -> Result<i64, Error> {
        simulated!(self, about_to_write(path, written));
        let query = sqlx::query("INSERT INTO preimages (path, value) VALUES (?, ?)")
            .bind(path.as_str())
            .bind(text(written));
        Ok(self
            .tried(query.execute(&self.pool).await)?
            .last_insert_rowid())
    }

    /// It was not written after all.
    pub(crate) async fn forget(&self, id: i64) -> Result<(), Error> {
        simulated!(self, forget(id));
        let query = sqlx::query("DELETE FROM preimages WHERE id = ?").bind(id);
        self.tried(query.execute(&self.pool).await).map(drop)
    }

    /// Every note of a write, the oldest first, by path; of one path where one is named.
    pub(crate) async fn notes(
        &self,
        of: Option<&RelPath>,
    ) -> Result<BTreeMap<RelPath, Vec<Written>>, Error> {
        let mut notes: BTreeMap<RelPath, Vec<Written>> = BTreeMap::new();
        #[cfg(test)]
        if let Some(simulated) = &self.simulated {
            let written = self.tried(simulated.written().map_err(sqlx::Error::Io))?;
            for (path, written) in written {
                if of.is_none_or(|of| *of == path) {
                    notes.entry(path).or_default().push(written);
                }
            }
            return Ok(notes);
        }
        let query = match of {
            Some(path) => {
                sqlx::query("SELECT path, value FROM preimages WHERE path = ? ORDER BY id")
                    .bind(path.as_str())
            }
            None => sqlx::query("SELECT path, value FROM preimages ORDER BY id"),
        };
        let rows = self.tried(query.fetch_all(&self.pool).await)?;
        for row in rows {
            let path = row.get::<&str, _>(0).parse::<RelPath>();
            let written = serde_json::from_str(row.get::<&str, _>(1));
            if let (Ok(path), Ok(written)) = (path, written) {
                notes.entry(path).or_default().push(written);
            }
        }
        Ok(notes)
    }

    /// The notes of a run and a root, for who only looks; `None` when it never was mirrored there.
    pub(crate) async fn peek_notes(
        run_folder: &Path,
        root: &Path,
        of: Option<&RelPath>,
    ) -> Result<Option<BTreeMap<RelPath, Vec<Written>>>, Error> {
        if !folder(run_folder, root).join("base.sqlite").exists() {
            return Ok(None);
        }
        let base = Self::open(run_folder, root).await?;
        let notes = base.notes(of).await?;
        base.pool.close().await;
        Ok(Some(notes))
    }

    /// What was written down of files in this life of the machine. A later one may find other bytes under the same stamp:
    /// those had not reached the disk.
    pub(crate) async fn stamps(&self) -> Result<Vec<Vec<u8>>, Error> {
        simulated!(self, stamps());
        let Some(life) = ground::life(&self.path) else {
            return Ok(Vec::new());
        };
        let query = sqlx::query_scalar("SELECT value FROM stamps WHERE life = ?").bind(life);
        self.tried(query.fetch_all(&self.pool).await)
    }

    /// Puts these in the place of what was written down under the same numbers.
    pub(crate) async fn keep_stamps(&self, parts: Vec<(u8, Vec<u8>)>) -> Result<(), Error> {
        simulated!(self, keep_stamps(&parts));
        let Some(life) = ground::life(&self.path) else {
            return Ok(());
        };
        let mut tx = self.tried(self.pool.begin().await)?;
        for (part, value) in parts {
            let query = sqlx::query("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?)")
                .bind(part)
                .bind(&life)
                .bind(value);
            self.tried(query.execute(&mut *tx).await)?;
        }
        self.tried(tx.commit().await)
    }

    /// Changes to be done, or tried again, whose write was noted, and what it was to leave there: a kill came before or after the deed.
    pub(crate) async fn unfinished(&self) -> Result<Vec<(RelPath, Option<FileState>)>, Error> {
        #[cfg(test)]
        if let Some(simulated) = &self.simulated {
            let written = self.tried(simulated.written().map_err(sqlx::Error::Io))?;
            // The newest note of each path.
            let newest: BTreeMap<RelPath, Written> = written.into_iter().collect();
            let known = self.load().await?;
            let held = known.held.into_iter().map(|(path, held)| (held.seq, path));
            let unfinished = known
                .waiting
                .into_keys()
                .chain(held)
                .filter_map(|(seq, path)| {
                    let written = newest.get(&path)?;
                    (written.origin.seq == seq).then_some((path, written.after))
                });
            return Ok(unfinished.collect());
        }
        let query = sqlx::query(
            "SELECT open.seq, open.path, preimages.value FROM
                (SELECT seq, path FROM waiting UNION ALL SELECT json_extract(value, '$.seq') AS seq, path FROM held) AS open
                JOIN preimages ON preimages.id = (SELECT MAX(id) FROM preimages WHERE path = open.path)",
        );
        let rows = self.tried(query.fetch_all(&self.pool).await)?;
        let read = rows.iter().filter_map(|row| {
            let written: Written = serde_json::from_str(row.get::<&str, _>(2)).ok()?;
            let seq = Seq(row.get::<i64, _>(0).cast_unsigned());
            let path = row.get::<&str, _>(1).parse().ok()?;
            (written.origin.seq == seq).then_some((path, written.after))
        });
        Ok(read.collect())
    }

    #[cfg(test)]
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    fn unreadable(&self, what: String, why: impl std::fmt::Display) -> Error {
        Error::Unreadable {
            path: self.path.clone(),
            what,
            why: why.to_string(),
        }
    }

    /// A row that does not read may be the only word of a change that waits: nobody says it again.
    async fn rows<K, V>(&self, table: &str, key: &str) -> Result<Vec<(K, V)>, Error>
    where
        K: for<'r> sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite> + std::fmt::Display,
        V: DeserializeOwned,
    {
        let query = format!("SELECT {key} AS key, value FROM {table}");
        let mut rows = sqlx::query(&query).fetch(&self.pool);
        let mut read = Vec::new();
        while let Some(row) = self.tried(rows.try_next().await)? {
            let key = self.tried(row.try_get::<K, _>("key"))?;
            let value = self.tried(row.try_get::<&str, _>("value"))?;
            let value = serde_json::from_str(value);
            let value = value.map_err(|why| self.unreadable(format!("{table} {key}"), why))?;
            read.push((key, value));
        }
        Ok(read)
    }

    async fn by_path<V: DeserializeOwned>(
        &self,
        table: &str,
    ) -> Result<BTreeMap<RelPath, V>, Error> {
        let rows: Vec<(String, V)> = self.rows(table, "path").await?;
        let parsed = rows.into_iter().map(|(path, value)| {
            let parsed = RelPath::from_str(&path);
            let parsed = parsed.map_err(|why| self.unreadable(format!("{table} {path}"), why))?;
            Ok((parsed, value))
        });
        parsed.collect()
    }

    async fn paths(&self, query: &str) -> Result<BTreeSet<RelPath>, Error> {
        let rows: Vec<String> =
            self.tried(sqlx::query_scalar(query).fetch_all(&self.pool).await)?;
        Ok(rows.iter().filter_map(|path| path.parse().ok()).collect())
    }

    async fn meta<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let query =
            sqlx::query_scalar::<_, String>("SELECT value FROM meta WHERE key = ?").bind(key);
        let value = self.tried(query.fetch_optional(&self.pool).await)?;
        let read = value.map(|value| serde_json::from_str(&value));
        let read = read.transpose();
        read.map_err(|why| self.unreadable(key.to_owned(), why))
    }
}

async fn connect(path: &Path, journal: SqliteJournalMode) -> Result<SqlitePool, sqlx::Error> {
    // A kill loses nothing; after a power cut the journal's last lines are decided again, to the same end.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(journal)
        .synchronous(SqliteSynchronous::Normal);
    SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await
}

pub(super) fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own plain values have a JSON form")
}

pub(super) async fn write(
    tx: &mut Transaction<'_, Sqlite>,
    fact: &Fact,
) -> Result<(), sqlx::Error> {
    let put = |table: &str| format!("INSERT OR REPLACE INTO {table} (path, value) VALUES (?, ?)");
    match fact {
        Fact::Base(path, Some(state)) => {
            run(tx, &put("base"), &[path.as_str(), &text(state)]).await
        }
        Fact::Base(path, None) => {
            run(tx, "DELETE FROM base WHERE path = ?", &[path.as_str()]).await
        }
        Fact::Held(path, Some(held)) => run(tx, &put("held"), &[path.as_str(), &text(held)]).await,
        Fact::Held(path, None) => {
            run(tx, "DELETE FROM held WHERE path = ?", &[path.as_str()]).await
        }
        Fact::Conflict(path, Some(noted)) => {
            run(tx, &put("conflicts"), &[path.as_str(), &text(noted)]).await
        }
        Fact::Conflict(path, None) => {
            run(tx, "DELETE FROM conflicts WHERE path = ?", &[path.as_str()]).await
        }
        Fact::Sent(path, Some(sent)) => run(tx, &put("sent"), &[path.as_str(), &text(sent)]).await,
        Fact::Sent(path, None) => {
            run(tx, "DELETE FROM sent WHERE path = ?", &[path.as_str()]).await
        }
        Fact::Way(way) => meta(tx, "way", way).await,
        Fact::Waiting(seq, waiting) => {
            let sql = "INSERT OR REPLACE INTO waiting (seq, path, value) VALUES (CAST(? AS INTEGER), ?, ?)";
            run(
                tx,
                sql,
                &[&seq.to_string(), waiting.path.as_str(), &text(waiting)],
            )
            .await
        }
        Fact::Decided(seq, path) => {
            let sql = "DELETE FROM waiting WHERE seq = CAST(? AS INTEGER) AND path = ?";
            run(tx, sql, &[&seq.to_string(), path.as_str()]).await
        }
        Fact::Folder(path, ours) => run(tx, member("folders", *ours), &[path.as_str()]).await,
        Fact::Edited(path, edited) => run(tx, member("edited", *edited), &[path.as_str()]).await,
        Fact::Seed(path) => {
            let sql = "INSERT OR IGNORE INTO seed (path) VALUES (?)";
            run(tx, sql, &[path.as_str()]).await
        }
        Fact::Rules(path, texts) if texts.is_empty() => {
            run(tx, "DELETE FROM rules WHERE path = ?", &[path.as_str()]).await
        }
        Fact::Rules(path, texts) => run(tx, &put("rules"), &[path.as_str(), &text(texts)]).await,
        Fact::Seen(seq) => meta(tx, "seen", seq).await,
        Fact::Reached(seq) => meta(tx, "reached", seq).await,
        Fact::Seeded => meta(tx, "seeded", &true).await,
        Fact::Paused(paused) => meta(tx, "paused", paused).await,
        Fact::Root(root) => meta(tx, "root", root).await,
        Fact::Checked(at) => meta(tx, "checked_at", at).await,
        Fact::Deletes(turn, number) => meta(tx, "deletes", &(turn, number)).await,
        Fact::Accepted(turn) => meta(tx, "accepted", turn).await,
    }
}

fn member(table: &'static str, is: bool) -> &'static str {
    match (table, is) {
        ("folders", true) => "INSERT OR IGNORE INTO folders (path) VALUES (?)",
        ("folders", false) => "DELETE FROM folders WHERE path = ?",
        (_, true) => "INSERT OR IGNORE INTO edited (path) VALUES (?)",
        (_, false) => "DELETE FROM edited WHERE path = ?",
    }
}

async fn meta<T: Serialize>(
    tx: &mut Transaction<'_, Sqlite>,
    key: &str,
    value: &T,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)";
    run(tx, sql, &[key, &text(value)]).await
}

async fn run(
    tx: &mut Transaction<'_, Sqlite>,
    sql: &str,
    values: &[&str],
) -> Result<(), sqlx::Error> {
    let query = values.iter().fold(sqlx::query(sql), |query, value| {
        query.bind((*value).to_owned())
    });
    query.execute(&mut **tx).await.map(drop)
}

/// The directory this run was last mirrored into from here.
pub fn recorded(run_folder: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(run_folder.join("mirror/directory")).ok()?;
    let path = PathBuf::from(text);
    path.is_absolute().then_some(path)
}

/// Records the directory for the next `attach`.
pub(crate) fn record(run_folder: &Path, root: &Path) -> std::io::Result<()> {
    use std::io::Write as _;
    let folder = run_folder.join("mirror");
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    file.write_all(root.as_os_str().as_encoded_bytes())?;
    file.persist(folder.join("directory"))
        .map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::disk::state_of;
    use crate::mirror::held::Hindrance;
    use crate::protocol::file::Mode;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    fn waiting(at: &str, state: FileState) -> Waiting {
        Waiting {
            kind: ChangeKind::Created,
            path: path(at),
            now: Some(state),
            storage_path: None,
            turn: Some(1),
            tool_call: Some("call".to_owned()),
            accepted: false,
            forced: false,
            command: None,
            refused: None,
            lifted: true,
        }
    }

    #[tokio::test]
    #[expect(clippy::too_many_lines, reason = "one of each fact")]
    async fn what_is_saved_is_there_after_a_restart_and_what_is_taken_away_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new("/somewhere");
        let base = Base::open(dir.path(), root).await.unwrap();
        let state = state_of(b"a", Mode::Executable);
        let noted = Noted {
            seq: Seq(3),
            theirs: None,
            copy: None,
            storage_path: None,
            resolved: false,
            refused: false,
        };
        let waiting = waiting("w", state);
        let sent = Sent {
            now: None,
            base: Some(state),
            command: CommandId::random(),
        };
        let held = HeldBack {
            seq: Seq(5),
            change: waiting.clone(),
            hindrance: Hindrance::lasting("in the way".to_owned()),
            passed: vec![Passed::of(Seq(4), &waiting)],
        };
        let id = RootId {
            device: 1,
            inode: u64::MAX,
            born: Some(1),
        };
        let facts = [
            Fact::Base(path("a"), Some(state)),
            Fact::Base(path("b"), Some(state)),
            Fact::Base(path("b"), None),
            Fact::Waiting(Seq(7), waiting.clone()),
            Fact::Waiting(Seq(6), waiting.clone()),
            Fact::Decided(Seq(6), path("w")),
            Fact::Conflict(path("c"), Some(noted.clone())),
            Fact::Held(path("w"), Some(Box::new(held.clone()))),
            Fact::Held(path("x"), Some(Box::new(held.clone()))),
            Fact::Held(path("x"), None),
            Fact::Folder(path("d"), true),
            Fact::Edited(path("e"), true),
            Fact::Sent(path("s"), Some(sent.clone())),
            Fact::Sent(path("t"), Some(sent.clone())),
            Fact::Sent(path("t"), None),
            Fact::Way(Way::Up),
            Fact::Seen(Seq(7)),
            Fact::Paused(true),
            Fact::Root(id),
        ];
        base.save(&facts).await.unwrap();
        base.close().await;
        let mut in_memory = Known::default();
        facts.iter().for_each(|fact| in_memory.apply(fact));

        let known = Base::open(dir.path(), root)
            .await
            .unwrap()
            .load()
            .await
            .unwrap();

        assert_eq!(known, in_memory);
        assert_eq!(known.base, [(path("a"), state)].into());
        assert_eq!(known.waiting, [((Seq(7), path("w")), waiting)].into());
        assert_eq!(known.conflicts, [(path("c"), noted)].into());
        assert_eq!(known.held, [(path("w"), held)].into());
        assert_eq!(known.folders, [path("d")].into());
        assert_eq!(known.edited, [path("e")].into());
        assert_eq!(
            (known.sent, known.way),
            ([(path("s"), sent)].into(), Way::Up)
        );
        assert_eq!(
            (known.seen, known.paused, known.root),
            (Seq(7), true, Some(id))
        );
        assert!(!known.seeded);
    }

    #[tokio::test]
    async fn another_root_of_the_same_run_knows_nothing_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::open(dir.path(), Path::new("/x")).await.unwrap();
        base.save(&[Fact::Seeded, Fact::Seen(Seq(3))])
            .await
            .unwrap();
        let other = Base::open(dir.path(), Path::new("/y")).await.unwrap();
        assert_eq!(other.load().await.unwrap(), Known::default());
    }

    #[tokio::test]
    async fn a_row_that_does_not_read_is_named_and_not_passed_over() {
        for (sql, named) in [
            (
                "INSERT INTO waiting (seq, path, value) VALUES (7, 'a', '{')",
                "waiting 7",
            ),
            (
                "INSERT INTO base (path, value) VALUES ('a', '{}')",
                "base a",
            ),
            (
                "INSERT INTO base (path, value) VALUES ('../a', '{}')",
                "base ../a",
            ),
            (
                "INSERT INTO sent (path, value) VALUES ('b', '[]')",
                "sent b",
            ),
            (
                "INSERT INTO conflicts (path, value) VALUES ('c', '')",
                "conflicts c",
            ),
            (
                "INSERT INTO held (path, value) VALUES ('h', '{}')",
                "held h",
            ),
            ("INSERT INTO meta (key, value) VALUES ('root', 'x')", "root"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let base = Base::open(dir.path(), Path::new("/x")).await.unwrap();
            sqlx::raw_sql(sql).execute(&base.pool).await.unwrap();
            let error = base.load().await.unwrap_err().to_string();
            assert!(
                error.contains(&format!("of {named} does not read")),
                "{error}"
            );
            assert!(error.contains("base.sqlite") && error.contains("move that file away"));
        }
    }

    #[tokio::test]
    async fn a_noted_write_of_what_waits_or_is_held_is_unfinished() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::open(dir.path(), Path::new("/x")).await.unwrap();
        let state = state_of(b"a", Mode::File);
        let held = |seq| HeldBack {
            seq: Seq(seq),
            change: waiting("h", state),
            hindrance: Hindrance::passing("later".to_owned()),
            passed: Vec::new(),
        };
        let facts = [
            Fact::Waiting(Seq(3), waiting("w", state)),
            Fact::Held(path("h"), Some(Box::new(held(4)))),
            Fact::Held(path("older"), Some(Box::new(held(5)))),
        ];
        base.save(&facts).await.unwrap();
        for (at, seq) in [("w", 3), ("h", 4), ("older", 4)] {
            let written = Written {
                before: None,
                after: Some(state),
                origin: Origin {
                    seq: Seq(seq),
                    ..Origin::default()
                },
                at: jiff::Timestamp::UNIX_EPOCH,
                storage_path: None,
            };
            base.about_to_write(&path(at), &written).await.unwrap();
        }
        let mut unfinished = base.unfinished().await.unwrap();
        unfinished.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            unfinished,
            [(path("h"), Some(state)), (path("w"), Some(state))]
        );
    }

    #[tokio::test]
    async fn stamps_are_of_one_life_of_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::open(dir.path(), Path::new("/x")).await.unwrap();
        for part in [b"before".to_vec(), b"stamps".to_vec()] {
            base.keep_stamps(vec![(7, part)]).await.unwrap();
        }
        base.keep_stamps(vec![(255, b"last".to_vec())])
            .await
            .unwrap();
        let read = base.stamps().await.unwrap();
        assert_eq!(read, [b"stamps".to_vec(), b"last".to_vec()]);
        let later = "UPDATE stamps SET life = 'another' WHERE part = 7";
        sqlx::raw_sql(later).execute(&base.pool).await.unwrap();
        assert_eq!(base.stamps().await.unwrap(), [b"last".to_vec()]);
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::open(dir.path(), Path::new("/x")).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 99")
            .execute(&base.pool)
            .await
            .unwrap();
        base.close().await;
        let error = Base::open(dir.path(), Path::new("/x")).await.unwrap_err();
        assert!(error.to_string().contains("newer ashore"), "{error}");
    }

    #[tokio::test]
    async fn the_writes_to_a_path_are_told_in_order_without_those_that_were_not_done() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::open(dir.path(), Path::new("/x")).await.unwrap();
        let written = |seq| Written {
            before: None,
            after: Some(state_of(b"x", Mode::File)),
            origin: Origin {
                seq: Seq(seq),
                turn: Some(seq),
                undid: Some(Scope::Run),
                ..Origin::default()
            },
            at: jiff::Timestamp::UNIX_EPOCH,
            storage_path: None,
        };
        base.about_to_write(&path("a"), &written(1)).await.unwrap();
        let second = base.about_to_write(&path("a"), &written(2)).await.unwrap();
        base.about_to_write(&path("b"), &written(3)).await.unwrap();
        let all = base.notes(None).await.unwrap();
        assert_eq!(all[&path("a")], [written(1), written(2)]);
        assert_eq!(all[&path("b")], [written(3)]);
        base.forget(second).await.unwrap();
        let of_a = base.notes(Some(&path("a"))).await.unwrap();
        assert_eq!(of_a, [(path("a"), vec![written(1)])].into());
        // As it was written down before there were turns.
        let old = format!(
            r#"{{"before":null,"after":null,"seq":{},"at":"2026-01-01T00:00:00Z"}}"#,
            BY_HAND
        );
        let old: Written = serde_json::from_str(&old).unwrap();
        assert_eq!(old.origin, Origin::by_hand(None));
    }
}
