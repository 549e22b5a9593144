//! File events: a change that can be trusted, or a line that says why not (contract 6 and 10.4).
//!
//! Pure. The sender's absolute `path` is never looked at.

use serde_json::Value;

use crate::protocol::entry::{Ext, refused};
use crate::protocol::file::{ChangeKind, FileChange, FileState};
use crate::protocol::hash::ContentHash;
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
    let hash = fields
        .get("contentHash")
        .ok_or("no content hash, so its bytes cannot be checked")?;
    let mode = fields
        .get("mode")
        .map(|mode| serde_json::from_value(mode.clone()));
    Ok(FileState {
        hash: hash
            .as_str()
            .and_then(|hash| hash.parse().ok())
            .ok_or("its content hash is not a SHA-256")?,
        size: fields.get("size").and_then(Value::as_u64).unwrap_or(0),
        mode: mode
            .transpose()
            .map_err(|_| "neither file, link nor folder")?
            .unwrap_or_default(),
    })
}

/// `file_applied` and `file_refused`: the path, and the hash under this key.
pub(super) fn answer(
    fields: Fields<'_>,
    key: &str,
    say: impl FnOnce(RelPath, Option<ContentHash>) -> Ext,
) -> Ext {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let told = text("relativePath").unwrap_or_default();
    let path: RelPath = match told.parse() {
        Ok(path) => path,
        Err(why) => return refused(told, why),
    };
    let hash = text(key).map(str::parse).transpose();
    match (hash, fields.get(key)) {
        (Ok(Some(hash)), _) => say(path, Some(hash)),
        (Ok(None), None) => say(path, None),
        (Ok(None), Some(_)) | (Err(_), _) => refuse(told, "its content hash is not a SHA-256"),
    }
}
