//! Many rows in one statement: they travel to SQLite as one JSON text.
//!
//! What it comes to is what one statement a fact comes to, in their order.

use serde_json::{Value, json};
use sqlx::{Row, Sqlite, Transaction};

use crate::mirror::base::{Base, Error, Fact, Written, text, write};
use crate::protocol::path::RelPath;

/// Fewer are written one by one.
const MANY: usize = 8;

/// Rows of one table that one statement takes.
struct Rows {
    table: &'static str,
    sql: &'static str,
    rows: Vec<Value>,
}

/// Where a fact goes that may come many times; `None`: it is written by itself. No two kinds of which only one comes back
/// write the same rows.
fn row(fact: &Fact) -> Option<(&'static str, &'static str, Value)> {
    Some(match fact {
        Fact::Base(at, Some(state)) => (
            "base",
            "INSERT OR REPLACE INTO base (path, value) SELECT value ->> 0, value ->> 1 FROM json_each(?)",
            json!([at.as_str(), text(state)]),
        ),
        Fact::Base(at, None) => (
            "base",
            "DELETE FROM base WHERE path IN (SELECT value FROM json_each(?))",
            json!(at.as_str()),
        ),
        Fact::Waiting(seq, waiting) => (
            "waiting",
            "INSERT OR REPLACE INTO waiting (seq, path, value)
             SELECT CAST(value ->> 0 AS INTEGER), value ->> 1, value ->> 2 FROM json_each(?)",
            json!([seq.to_string(), waiting.path.as_str(), text(waiting)]),
        ),
        Fact::Decided(seq, at) => (
            "waiting",
            "DELETE FROM waiting WHERE (seq, path) IN
             (SELECT CAST(value ->> 0 AS INTEGER), value ->> 1 FROM json_each(?))",
            json!([seq.to_string(), at.as_str()]),
        ),
        Fact::Seen(seq) => (
            "seen",
            "INSERT OR REPLACE INTO meta (key, value) SELECT 'seen', value FROM json_each(?)",
            json!(text(seq)),
        ),
        _ => return of_paths(fact),
    })
}

/// Those that are a path alone.
fn of_paths(fact: &Fact) -> Option<(&'static str, &'static str, Value)> {
    let (table, sql, path) = match fact {
        Fact::Folder(path, true) => (
            "folders",
            "INSERT OR IGNORE INTO folders (path) SELECT value FROM json_each(?)",
            path,
        ),
        Fact::Folder(path, false) => (
            "folders",
            "DELETE FROM folders WHERE path IN (SELECT value FROM json_each(?))",
            path,
        ),
        Fact::Edited(path, true) => (
            "edited",
            "INSERT OR IGNORE INTO edited (path) SELECT value FROM json_each(?)",
            path,
        ),
        Fact::Edited(path, false) => (
            "edited",
            "DELETE FROM edited WHERE path IN (SELECT value FROM json_each(?))",
            path,
        ),
        Fact::Seed(path) => (
            "seed",
            "INSERT OR IGNORE INTO seed (path) SELECT value FROM json_each(?)",
            path,
        ),
        _ => return None,
    };
    Some((table, sql, json!(path.as_str())))
}

/// Writes them all. Between two tables the order does not matter; within one it is kept.
pub(super) async fn write_all(
    tx: &mut Transaction<'_, Sqlite>,
    facts: &[Fact],
) -> Result<(), sqlx::Error> {
    let mut all: Vec<Rows> = Vec::new();
    for fact in facts {
        let Some((table, sql, row)) = row(fact).filter(|_| facts.len() >= MANY) else {
            write(tx, fact).await?;
            continue;
        };
        let last = all.iter_mut().rfind(|rows| rows.table == table);
        match last.filter(|rows| rows.sql == sql) {
            Some(rows) => rows.rows.push(row),
            None => all.push(Rows {
                table,
                sql,
                rows: vec![row],
            }),
        }
    }
    for Rows { sql, rows, .. } in all {
        let query = sqlx::query(sql).bind(text(&rows));
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

impl Base {
    /// As `about_to_write`, of many paths at once, each of which is named once; the numbers in their order.
    pub(crate) async fn about_to_write_all(
        &self,
        notes: &[(RelPath, Written)],
    ) -> Result<Vec<i64>, Error> {
        #[cfg(test)]
        if self.simulated.is_some() {
            let mut ids = Vec::new();
            for (path, written) in notes {
                ids.push(self.about_to_write(path, written).await?);
            }
            return Ok(ids);
        }
        let rows = notes.iter();
        let rows = rows.map(|(path, written)| json!([path.as_str(), text(written)]));
        let sql = "INSERT INTO preimages (path, value)
            SELECT value ->> 0, value ->> 1 FROM json_each(?) RETURNING id, path";
        let query = sqlx::query(sql).bind(text(&rows.collect::<Vec<_>>()));
        let written = self.tried(query.fetch_all(&self.pool).await)?;
        let ids: std::collections::HashMap<String, i64> =
            written.iter().map(|row| (row.get(1), row.get(0))).collect();
        let id = |(path, _): &(RelPath, Written)| ids.get(path.as_str()).copied();
        Ok(notes.iter().filter_map(id).collect())
    }

    /// They were not written after all.
    pub(crate) async fn forget_all(&self, ids: &[i64]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        #[cfg(test)]
        if self.simulated.is_some() {
            for id in ids {
                self.forget(*id).await?;
            }
            return Ok(());
        }
        let sql = "DELETE FROM preimages WHERE id IN (SELECT value FROM json_each(?))";
        let query = sqlx::query(sql).bind(text(&ids));
        self.tried(query.execute(&self.pool).await).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::mirror::base::{Known, Origin, Waiting};
    use crate::mirror::disk::state_of;
    use crate::protocol::file::{ChangeKind, Mode};
    use crate::protocol::ids::Seq;

    fn facts() -> impl Strategy<Value = Vec<Fact>> {
        let path = prop::sample::select(vec!["a", "b/c", "it's \"odd\"", "ü"]);
        let fact = (path, 0_u8..8, any::<bool>(), 0_u64..5);
        let fact = fact.prop_map(|(path, kind, is, number)| {
            let path: RelPath = path.parse().unwrap();
            let state = state_of(&number.to_be_bytes(), Mode::File);
            let waiting =
                Waiting::of_nobody(ChangeKind::Modified, path.clone(), is.then_some(state));
            match kind {
                0 | 1 => Fact::Base(path, is.then_some(state)),
                2 => Fact::Waiting(Seq(number), waiting),
                3 => Fact::Decided(Seq(number), path),
                4 => Fact::Folder(path, is),
                5 => Fact::Edited(path, is),
                6 if is => Fact::Seed(path),
                6 => Fact::Paused(number > 2),
                _ => Fact::Seen(Seq(number)),
            }
        });
        prop::collection::vec(fact, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn many_at_once_are_as_one_by_one(facts in facts()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let base = Base::open(dir.path(), Path::new("/x")).await.unwrap();
                base.save(&facts).await.unwrap();
                let mut known = Known::default();
                facts.iter().for_each(|fact| known.apply(fact));
                assert_eq!(base.load().await.unwrap(), known);
            });
        }
    }

    #[tokio::test]
    async fn many_notes_have_their_numbers_and_are_forgotten_by_them() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::open(dir.path(), Path::new("/x")).await.unwrap();
        let note = |number: u64| {
            let written = Written {
                before: None,
                after: None,
                origin: Origin {
                    seq: Seq(number),
                    ..Origin::default()
                },
                at: jiff::Timestamp::UNIX_EPOCH,
                storage_path: None,
            };
            (format!("f{number}").parse::<RelPath>().unwrap(), written)
        };
        let all: Vec<_> = (0..20).map(note).collect();
        let ids = base.about_to_write_all(&all).await.unwrap();
        assert_eq!(ids.len(), all.len());
        base.forget_all(&ids[5..]).await.unwrap();
        base.forget_all(&[]).await.unwrap();
        let left = base.notes(None).await.unwrap();
        let want: std::collections::BTreeMap<_, _> = all[..5]
            .iter()
            .map(|(path, written)| (path.clone(), vec![written.clone()]))
            .collect();
        assert_eq!(left, want);
        assert!(base.about_to_write_all(&[]).await.unwrap().is_empty());
    }
}
