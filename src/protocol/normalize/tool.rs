//! Tool calls: the announcement, its updates, and the older words for both (contract 5.1, 5.2, 5.4).
//!
//! Pure.

use serde_json::Value;

use crate::protocol::acp::{Location, ToolContent, ToolKind, ToolPatch, ToolStatus};
use crate::protocol::normalize::content;
use crate::protocol::normalize::fields::{Fields, Odd, Read};

/// `tool_call` and `tool_call_update`; `keyed` is the oldest shape, with `id`, `name` and `input`.
pub(super) fn patch(fields: Fields<'_>, announces: bool, keyed: bool) -> Read<ToolPatch> {
    let ids: &[&str] = if keyed {
        &["toolCallId", "id"]
    } else {
        &["toolCallId"]
    };
    let oldest_name = if keyed { fields.text("name")? } else { None };
    let input = if keyed { fields.get("input") } else { None };
    Ok(ToolPatch {
        id: fields.must(ids)?,
        title: fields.text("title")?.or_else(|| oldest_name.clone()),
        name: claude_text(fields, "toolName")
            .or(fields.text("toolName")?)
            .or(oldest_name),
        kind: fields.text("kind")?.map(|word| ToolKind::parse(&word)),
        status: fields.text("status")?.map(|word| ToolStatus::parse(&word)),
        content: fields.get("content").map(list).transpose()?,
        locations: fields.list("locations")?.map(locations).transpose()?,
        raw_input: fields.get("rawInput").or(input).cloned(),
        raw_output: fields.get("rawOutput").cloned(),
        response: fields.claude("toolResponse").cloned(),
        command: claude_text(fields, "bashCommand"),
        announces,
    })
}

/// `tool_result`: an update that completes.
pub(super) fn result(fields: Fields<'_>) -> Read<ToolPatch> {
    let mut patch = patch(fields, false, true)?;
    patch.raw_output = patch.raw_output.or(fields.get("result").cloned());
    patch.status = patch.status.or(Some(ToolStatus::Completed));
    // `name` is the tool's here, and its title was told when it was announced.
    patch.title = fields.text("title")?;
    Ok(patch)
}

fn claude_text(fields: Fields<'_>, key: &str) -> Option<String> {
    fields.claude(key)?.as_str().map(str::to_owned)
}

pub(super) fn list(value: &Value) -> Read<Vec<ToolContent>> {
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        Value::String(_) | Value::Object(_) => one(value).map(|one| vec![one]),
        Value::Null | Value::Bool(_) | Value::Number(_) => Err(Odd),
    }
}

fn one(value: &Value) -> Read<ToolContent> {
    if value.is_string() {
        return content::block(value).map(ToolContent::Block);
    }
    let fields = Fields::of(value)?;
    Ok(match fields.text("type")?.as_deref() {
        Some("content") => ToolContent::Block(content::block(fields.get("content").ok_or(Odd)?)?),
        Some("diff") => ToolContent::Diff {
            path: fields.must(&["path"])?,
            old: fields.text("oldText")?,
            new: fields.text("newText")?.unwrap_or_default(),
        },
        Some("terminal") => ToolContent::Terminal(fields.must(&["terminalId"])?),
        // A bare block, as some agents send it.
        Some("text" | "image" | "audio" | "resource" | "resource_link") => {
            ToolContent::Block(content::block(value)?)
        }
        Some(_) | None => ToolContent::Unknown(value.clone()),
    })
}

pub(super) fn locations(list: &[Value]) -> Read<Vec<Location>> {
    list.iter()
        .map(|value| {
            let fields = Fields::of(value)?;
            Ok(Location {
                path: fields.must(&["path"])?,
                line: fields.count("line")?,
            })
        })
        .collect()
}
