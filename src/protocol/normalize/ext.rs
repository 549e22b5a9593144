//! The notifications beside ACP: `_posthog/*`, the older `_array/*`, and our own `_ashore/*` (contract 5.3 and 10).
//!
//! Pure.

use std::borrow::Cow;

use serde_json::Value;

use crate::protocol::acp::{OptionKind, PermissionOption};
use crate::protocol::entry::{Ext, PermissionRequest, Step, StepStatus, Takes};
use crate::protocol::normalize::fields::{Fields, Odd, Read};
use crate::protocol::normalize::file;
use crate::protocol::run::Status;

/// The method as it was meant: the ACP library doubles the first underscore, and `_array` is the older name.
pub(super) fn plain(method: &str) -> Cow<'_, str> {
    let single = match method.strip_prefix('_') {
        Some(rest) if rest.starts_with('_') => rest,
        Some(_) | None => method,
    };
    match single.strip_prefix("_array/") {
        Some(name) => Cow::Owned(format!("_posthog/{name}")),
        None => Cow::Borrowed(single),
    }
}

/// `None` when this is no extension at all.
pub(super) fn read(method: &str, params: &Value) -> Option<Ext> {
    let empty = Value::Object(serde_json::Map::new());
    let params = if params.is_null() { &empty } else { params };
    let understood = Fields::of(params).and_then(|fields| {
        if let Some(name) = method.strip_prefix("_posthog/") {
            if let Some(ext) = session(name, fields)? {
                return Ok(Some(ext));
            }
            return posthog(name, fields);
        }
        if let Some(name) = method.strip_prefix("_ashore/") {
            return ours(name, fields);
        }
        Ok((method == "_claude/sdkMessage").then(|| Ext::Silent(method.to_owned())))
    });
    match understood {
        Ok(Some(ext)) => Some(ext),
        Ok(None) | Err(Odd) => method
            .starts_with('_')
            .then(|| Ext::Unknown(method.to_owned())),
    }
}

/// How the run and its turns go.
fn session(name: &str, fields: Fields<'_>) -> Read<Option<Ext>> {
    Ok(Some(match name {
        "run_started" => Ext::RunStarted {
            agent_version: fields.text("agentVersion")?,
            takes: fields
                .ours("promptCapabilities")
                .map_or_else(Takes::default, Takes::of),
        },
        "turn_complete" => Ext::TurnComplete {
            stop_reason: fields
                .text("stopReason")?
                .unwrap_or_else(|| "end_turn".to_owned()),
            unscanned: fields.ours("unscanned") == Some(&Value::Bool(true)),
        },
        "task_complete" => Ext::TaskComplete {
            status: fields
                .text("status")?
                .map_or(Status::Completed, Status::from),
        },
        "error" => Ext::Error {
            message: fields
                .text("message")?
                .unwrap_or_else(|| "error".to_owned()),
            detail: fields
                .text("detail")?
                .or_else(|| fields.get("error").map(in_words)),
        },
        "permission_request" => Ext::PermissionRequest(permission(fields)?),
        "permission_response" => Ext::PermissionResponse {
            request: fields.must(&["requestId", "toolCallId"])?,
            tool_call: fields.text("toolCallId")?.unwrap_or_default(),
            option: fields.must(&["optionId"])?,
            from: fields.text("from")?,
        },
        "progress" => Ext::Progress {
            group: fields.text("group")?.unwrap_or_default(),
            step: fields.must(&["step"])?,
            status: fields.text("status")?.unwrap_or_default(),
            label: fields.text("label")?.unwrap_or_default(),
            detail: fields.text("detail")?,
        },
        "status" => Ext::Status {
            status: fields.must(&["status"])?,
            complete: fields.get("isComplete") == Some(&Value::Bool(true)),
        },
        "compact_boundary" => Ext::CompactBoundary {
            trigger: fields.text("trigger")?.unwrap_or_default(),
            tokens: fields.count("preTokens")?,
        },
        "mode_change" => Ext::ModeChange(fields.must(&["mode"])?),
        _ => return Ok(None),
    }))
}

/// What came of the work, and what is of no use to a screen.
fn posthog(name: &str, fields: Fields<'_>) -> Read<Option<Ext>> {
    Ok(Some(match name {
        "file_sync" => file::sync(fields),
        "console" => Ext::Console {
            level: fields.text("level")?.unwrap_or_else(|| "info".to_owned()),
            message: fields.must(&["message"])?,
        },
        "sandbox_output" => Ext::SandboxOutput {
            stdout: fields.text("stdout")?.unwrap_or_default(),
            stderr: fields.text("stderr")?.unwrap_or_default(),
            exit_code: fields.get("exitCode").and_then(Value::as_i64),
        },
        "branch_created" => Ext::BranchCreated(fields.must(&["branch"])?),
        "pr_created" => Ext::PrCreated(fields.must(&["prUrl", "pr_url"])?),
        "tree_snapshot" => tree(fields)?,
        "user_shell_execute" => shell(fields)?,
        "sdk_session" | "git_commit" | "git_checkpoint" | "task_notification" | "usage_update"
        | "artifact" | "phase_start" | "phase_complete" | "agent_question" => {
            Ext::Silent(format!("_posthog/{name}"))
        }
        _ => return Ok(None),
    }))
}

/// Section 10.
fn ours(name: &str, fields: Fields<'_>) -> Read<Option<Ext>> {
    Ok(Some(match name {
        "step" => Ext::Step(Step {
            name: fields.must(&["step"])?,
            status: match fields.must(&["status"])?.as_str() {
                "started" => StepStatus::Started,
                "done" => StepStatus::Done,
                "failed" => StepStatus::Failed,
                _ => return Err(Odd),
            },
            detail: fields.text("detail")?,
            hint: fields.text("hint")?,
        }),
        "status" => Ext::RunStatus {
            status: Status::from(fields.must(&["status"])?),
            message: fields.text("message")?,
        },
        "note" => Ext::Note(fields.must(&["message"])?),
        "file_failed" => Ext::FileFailed {
            path: fields.must(&["relativePath"])?,
            reason: fields
                .text("reason")?
                .unwrap_or_else(|| "no reason told".to_owned()),
            command: file::answered(fields),
        },
        "file_applied" => file::applied(fields),
        "file_refused" => file::stale(fields),
        "presence" => Ext::Silent("_ashore/presence".to_owned()),
        _ => return Ok(None),
    }))
}

/// An error that may be a text, an object with a message, or anything.
fn in_words(error: &Value) -> String {
    match (error, error.get("message")) {
        (Value::String(text), _) | (_, Some(Value::String(text))) => text.clone(),
        _ => error.to_string(),
    }
}

/// The shape of a record, and that of a request with its `toolCall` inside.
fn permission(fields: Fields<'_>) -> Read<PermissionRequest> {
    let call = fields.object("toolCall")?;
    let either = |key: &str| -> Read<Option<String>> {
        let own = fields.text(key)?;
        let inside = call.map(|call| call.text(key)).transpose()?.flatten();
        Ok(own.or(inside))
    };
    let tool_call = either("toolCallId")?;
    let request = fields.text("requestId")?.or_else(|| tool_call.clone());
    let options = fields.list("options")?.unwrap_or_default();
    Ok(PermissionRequest {
        request: request.ok_or(Odd)?,
        tool_call: tool_call.unwrap_or_default(),
        title: either("title")?.unwrap_or_default(),
        kind: either("kind")?,
        options: options.iter().map(option).collect::<Read<_>>()?,
        raw_input: fields
            .get("rawInput")
            .or_else(|| call.and_then(|call| call.get("rawInput")))
            .cloned(),
    })
}

fn option(value: &Value) -> Read<PermissionOption> {
    let fields = Fields::of(value)?;
    let id = fields.must(&["optionId", "id"])?;
    Ok(PermissionOption {
        name: fields.text("name")?.unwrap_or_else(|| id.clone()),
        kind: OptionKind::parse(&fields.text("kind")?.unwrap_or_default()),
        description: fields.text("description")?,
        id,
    })
}

fn tree(fields: Fields<'_>) -> Read<Ext> {
    let mut changed = fields.texts(&["filesChanged", "files_changed"])?;
    let mut deleted = fields.texts(&["filesDeleted", "files_deleted"])?;
    for change in fields.list("changes")?.unwrap_or_default() {
        let change = Fields::of(change)?;
        let path = change.must(&["path"])?;
        match change.text("status")?.as_deref() {
            Some("D") => deleted.push(path),
            Some(_) | None => changed.push(path),
        }
    }
    Ok(Ext::Tree {
        hash: fields.must(&["treeHash", "tree_hash"])?,
        changed,
        deleted,
    })
}

fn shell(fields: Fields<'_>) -> Read<Ext> {
    let result = fields.object("result")?;
    let text = |key: &str| -> Read<String> {
        let text = result.map(|result| result.text(key)).transpose()?;
        Ok(text.flatten().unwrap_or_default())
    };
    Ok(Ext::UserShell {
        command: fields.must(&["command"])?,
        exit_code: result
            .and_then(|result| result.get("exitCode"))
            .and_then(Value::as_i64),
        output: text("stdout")? + &text("stderr")?,
    })
}
