//! File events: a change that can be trusted, or a line that says why not (contract 6 and 10.4).
//!
//! Pure. The sender's absolute `path` is never looked at.

use serde_json::Value;

use crate::protocol::entry::{Ext, refused};
use crate::protocol::file::{Applied, ChangeKind, FileChange, FileState, Mode, Stale};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::CommandId;
use crate::protocol::normalize::fields::Fields;
use crate::protocol::path::RelPath;

pub(super) fn sync(fields: Fields<'_>) -> Ext {
    let Ok(Some(told)) = fields.text("relativePath") else {
        return refuse("", "no relative path");
    };
    let path: RelPath = match told.parse() {
        Ok(path) => path,
        Err(why) => return refused(&told, why),
    };
    match change(fields, path) {
        Ok(change) => Ext::FileSync(change),
        Err(why) => refuse(&told, why),
    }
}

fn refuse(path: &str, why: &str) -> Ext {
    Ext::FileRefused {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

fn change(fields: Fields<'_>, path: RelPath) -> Result<FileChange, &'static str> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let kind = match text("type") {
        Some("file_created") => ChangeKind::Created,
        Some("file_modified") => ChangeKind::Modified,
        Some("file_deleted") => ChangeKind::Deleted,
        Some(_) | None => return Err("a kind of change nobody here knows"),
    };
    let now = match kind {
        ChangeKind::Created | ChangeKind::Modified => Some(state(fields)?),
        ChangeKind::Deleted => None,
    };
    Ok(FileChange {
        kind,
        path,
        now,
        before: text("baseHash").and_then(|hash| hash.parse().ok()),
        storage_path: text("storagePath").map(str::to_owned),
        turn: fields.get("turn").and_then(Value::as_u64),
        tool_call: text("toolCallId").map(str::to_owned),
    })
}

fn state(fields: Fields<'_>) -> Result<FileState, &'static str> {
    let hash = hash(fields, "contentHash")?;
    let hash = hash.ok_or("no content hash, so its bytes cannot be checked")?;
    standing(fields, hash, "mode")
}

/// `file_applied`: a change like that of a `file_sync`; its kind follows from the two hashes.
pub(super) fn applied(fields: Fields<'_>) -> Ext {
    with_path(fields, |path| {
        let before = hash(fields, "baseHash")?;
        let now = match hash(fields, "contentHash")? {
            Some(hash) => Some(standing(fields, hash, "mode")?),
            None => None,
        };
        let kind = match (now, before) {
            (None, _) => ChangeKind::Deleted,
            (Some(_), None) => ChangeKind::Created,
            (Some(_), Some(_)) => ChangeKind::Modified,
        };
        Ok(Ext::FileApplied(Applied {
            change: FileChange {
                kind,
                path,
                now,
                before,
                storage_path: None,
                turn: None,
                tool_call: None,
            },
            before_mode: mode(fields, "baseMode")?,
            command: answered(fields),
        }))
    })
}

/// `file_refused`.
pub(super) fn stale(fields: Fields<'_>) -> Ext {
    with_path(fields, |path| {
        let current = match hash(fields, "currentHash")? {
            Some(hash) => Some(standing(fields, hash, "currentMode")?),
            None => None,
        };
        Ok(Ext::FileStale(Stale {
            path,
            current,
            reason: fields
                .get("reason")
                .and_then(Value::as_str)
                .map(str::to_owned),
            command: answered(fields),
        }))
    })
}

/// Which command an answer is about.
pub(super) fn answered(fields: Fields<'_>) -> Option<CommandId> {
    fields.get("command")?.as_str()?.parse().ok()
}

fn with_path(fields: Fields<'_>, read: impl FnOnce(RelPath) -> Result<Ext, &'static str>) -> Ext {
    let told = fields.get("relativePath").and_then(Value::as_str);
    let told = told.unwrap_or_default();
    match told.parse() {
        Ok(path) => read(path).unwrap_or_else(|why| refuse(told, why)),
        Err(why) => refused(told, why),
    }
}

fn hash(fields: Fields<'_>, key: &str) -> Result<Option<ContentHash>, &'static str> {
    let read = |value: &Value| value.as_str()?.parse().ok();
    let told = fields.get(key);
    told.map(|value| read(value).ok_or("its content hash is not a SHA-256"))
        .transpose()
}

fn standing(
    fields: Fields<'_>,
    hash: ContentHash,
    mode_key: &str,
) -> Result<FileState, &'static str> {
    Ok(FileState {
        hash,
        size: fields.get("size").and_then(Value::as_u64).unwrap_or(0),
        mode: mode(fields, mode_key)?.unwrap_or_default(),
    })
}

fn mode(fields: Fields<'_>, key: &str) -> Result<Option<Mode>, &'static str> {
    let told = fields.get(key);
    told.map(|mode| serde_json::from_value(mode.clone()))
        .transpose()
        .map_err(|_| "neither file, link nor folder")
}
