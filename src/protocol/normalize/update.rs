//! `session/update` in all its shapes (contract 5.1, 5.2 and 5.4, rules 4 to 8).
//!
//! Pure. A kind nobody knows, or a known one with a field of the wrong type, stays as it came.

use serde_json::Value;

use crate::protocol::acp::{
    Chunk, ConfigOption, ConfigValue, Cost, Currency, Mode, PlanEntry, PlanStatus, Severity,
    SlashCommand, Update, Usage,
};
use crate::protocol::entry::Said;
use crate::protocol::normalize::fields::{Fields, Odd, Read};
use crate::protocol::normalize::{content, tool};

/// Every kind that may stand as a key or as a method instead of in `sessionUpdate`.
const KINDS: [&str; 20] = [
    "agent_message_chunk",
    "agent_thought_chunk",
    "user_message_chunk",
    "tool_call",
    "tool_call_update",
    "plan",
    "available_commands_update",
    "current_mode_update",
    "config_option_update",
    "session_info_update",
    "usage_update",
    "system_message",
    "agent_message",
    "user_message",
    "tool_result",
    "status",
    "error",
    "notice",
    "compaction_update",
    "compaction_summary_chunk",
];

pub(super) fn is_kind(word: &str) -> bool {
    KINDS.contains(&word)
}

/// The `params` of a `session/update`, by the first shape that fits. Inline stands before keyed, since an inline
/// `status` has a key that is also a kind.
pub(super) fn in_params(params: &Value) -> Update {
    let kind_in = |value: &Value| {
        let kind = value.get("sessionUpdate")?.as_str()?;
        Some(kind.to_owned())
    };
    if let Some(update) = params.get("update")
        && let Some(kind) = kind_in(update)
    {
        return read(&kind, update, false);
    }
    if let Some(kind) = kind_in(params) {
        return read(&kind, params, false);
    }
    let key = params.as_object().and_then(|object| {
        object
            .iter()
            .find(|(key, value)| is_kind(key) && !value.is_null())
    });
    if let Some((kind, body)) = key {
        return keyed(kind, body);
    }
    Update::Unknown {
        kind: "session/update".to_owned(),
        raw: params.clone(),
    }
}

/// The kind stood as a key, or as the method.
pub(super) fn keyed(kind: &str, body: &Value) -> Update {
    read(kind, body, true)
}

fn read(kind: &str, body: &Value, keyed: bool) -> Update {
    let understood = Fields::of(body).and_then(|fields| match text_kind(kind, fields) {
        Some(read) => read,
        None => other_kind(kind, fields, keyed),
    });
    understood.unwrap_or_else(|Odd| Update::Unknown {
        kind: kind.to_owned(),
        raw: body.clone(),
    })
}

/// The kinds that carry content.
fn text_kind(kind: &str, fields: Fields<'_>) -> Option<Read<Update>> {
    let text = || content::as_text(fields);
    Some(match kind {
        "agent_message_chunk" => chunk(fields).map(Update::AgentChunk),
        "agent_thought_chunk" => chunk(fields).map(Update::ThoughtChunk),
        "user_message_chunk" => chunk(fields).map(Update::UserChunk),
        "agent_message" => text().map(Update::AgentMessage),
        "user_message" => text().map(Update::UserMessage),
        "system_message" => text().map(Update::Status),
        "status" => fields.must(&["status", "message"]).map(Update::Status),
        "error" => fields.must(&["message", "errorType"]).map(Update::Error),
        "compaction_summary_chunk" => summary_chunk(fields),
        _ => return None,
    })
}

fn other_kind(kind: &str, fields: Fields<'_>, keyed: bool) -> Read<Update> {
    match kind {
        "tool_call" => tool::patch(fields, true, keyed).map(Update::Tool),
        "tool_call_update" => tool::patch(fields, false, keyed).map(Update::Tool),
        "tool_result" => tool::result(fields).map(Update::Tool),
        "plan" => plan(fields).map(Update::Plan),
        "available_commands_update" => commands(fields).map(Update::Commands),
        "current_mode_update" => mode(fields),
        "config_option_update" => config(fields).map(Update::Config),
        "session_info_update" => {
            let title = fields.text("title")?;
            Ok(Update::Info {
                title: fields.has("title").then_some(title),
            })
        }
        "usage_update" => usage(fields).map(Update::Usage),
        "notice" => Ok(Update::Notice {
            severity: match fields.text("severity")?.as_deref() {
                Some("error") => Severity::Error,
                Some("warning") => Severity::Warning,
                Some(_) | None => Severity::Info,
            },
            title: fields.must(&["title"])?,
            description: fields.text("description")?,
        }),
        "compaction_update" => Ok(Update::Compaction {
            id: fields.must(&["compactionId"])?,
            status: fields.must(&["status"])?,
            summary: fields.list("summary")?.map(content::joined).transpose()?,
            error: fields.text("error")?,
        }),
        _ => Err(Odd),
    }
}

fn chunk(fields: Fields<'_>) -> Read<Chunk> {
    Ok(Chunk {
        block: content::of_message(fields)?,
        message_id: fields.text("messageId")?,
        command: fields
            .ours("command")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}

fn summary_chunk(fields: Fields<'_>) -> Read<Update> {
    Ok(Update::CompactionSummary {
        id: fields.text("compactionId")?,
        text: content::as_text(fields)?,
    })
}

fn plan(fields: Fields<'_>) -> Read<Vec<PlanEntry>> {
    let entries = fields.list("entries")?.ok_or(Odd)?;
    entries
        .iter()
        .map(|entry| {
            let entry = Fields::of(entry)?;
            Ok(PlanEntry {
                content: entry.must(&["content"])?,
                priority: entry
                    .text("priority")?
                    .unwrap_or_else(|| "medium".to_owned()),
                status: match entry.text("status")?.as_deref() {
                    Some("in_progress") => PlanStatus::InProgress,
                    Some("completed") => PlanStatus::Completed,
                    Some(_) | None => PlanStatus::Pending,
                },
            })
        })
        .collect()
}

fn commands(fields: Fields<'_>) -> Read<Vec<SlashCommand>> {
    let list = fields.list("availableCommands")?.ok_or(Odd)?;
    list.iter()
        .map(|command| {
            let command = Fields::of(command)?;
            let input = command.object("input")?;
            Ok(SlashCommand {
                name: command.must(&["name"])?,
                description: command.text("description")?.unwrap_or_default(),
                hint: input.map(|input| input.text("hint")).transpose()?.flatten(),
            })
        })
        .collect()
}

fn mode(fields: Fields<'_>) -> Read<Update> {
    let current = fields.must(&["currentModeId", "modeId"])?;
    let Some(Value::Array(list)) = fields.ours("modes") else {
        return Ok(Update::Mode(current));
    };
    let mut modes = Vec::with_capacity(list.len());
    for mode in list {
        let mode = Fields::of(mode)?;
        let id = mode.must(&["id"])?;
        modes.push(Mode {
            name: mode.text("name")?.unwrap_or_else(|| id.clone()),
            id,
        });
    }
    Ok(Update::Modes { current, modes })
}

fn config(fields: Fields<'_>) -> Read<Vec<ConfigOption>> {
    let list = fields.list("configOptions")?.ok_or(Odd)?;
    let mut options = Vec::with_capacity(list.len());
    for option in list {
        let option = Fields::of(option)?;
        let id = option.must(&["id"])?;
        // An option of a type nobody here knows cannot be shown; the others can.
        let Some(value) = config_value(option)? else {
            continue;
        };
        options.push(ConfigOption {
            name: option.text("name")?.unwrap_or_else(|| id.clone()),
            category: option.text("category")?,
            id,
            value,
        });
    }
    Ok(options)
}

fn config_value(option: Fields<'_>) -> Read<Option<ConfigValue>> {
    match (option.text("type")?.as_deref(), option.get("currentValue")) {
        (Some("select") | None, Some(Value::String(current))) => {
            let mut options = Vec::new();
            choices(option, &mut options)?;
            Ok(Some(ConfigValue::Select {
                current: current.clone(),
                options,
            }))
        }
        (Some("boolean") | None, Some(Value::Bool(on))) => Ok(Some(ConfigValue::Boolean(*on))),
        (Some("select" | "boolean"), _) => Err(Odd),
        (Some(_) | None, _) => Ok(None),
    }
}

/// Groups are flattened.
fn choices(from: Fields<'_>, into: &mut Vec<(String, String)>) -> Read<()> {
    for choice in from.list("options")?.unwrap_or_default() {
        let choice = Fields::of(choice)?;
        if choice.get("options").is_some() {
            choices(choice, into)?;
        } else {
            let value = choice.must(&["value"])?;
            let name = choice.text("name")?.unwrap_or_else(|| value.clone());
            into.push((value, name));
        }
    }
    Ok(())
}

fn usage(fields: Fields<'_>) -> Read<Usage> {
    let cost = match fields.get("cost") {
        Some(Value::Object(cost)) => {
            let named = cost.get("currency").and_then(Value::as_str);
            let currency = named.and_then(Currency::of).unwrap_or(Currency::USD);
            let amount = cost.get("amount").and_then(Value::as_f64);
            amount.map(|amount| Cost { amount, currency })
        }
        Some(cost) => Some(Cost {
            amount: cost.as_f64().ok_or(Odd)?,
            currency: Currency::USD,
        }),
        None => None,
    };
    Ok(Usage {
        used: fields.count("used")?.ok_or(Odd)?,
        size: fields.count("size")?.unwrap_or(0),
        cost,
    })
}

/// `agent_status` of the oldest agent: a status line.
pub(super) fn oldest_status(params: &Value) -> Said {
    match params.get("status").and_then(Value::as_str) {
        Some(status) => Said::Update(Update::Status(status.to_owned())),
        None => Said::Unknown("agent_status".to_owned()),
    }
}

/// `agent_response` of the oldest agent: the final text.
pub(super) fn oldest_response(params: &Value) -> Said {
    let result = params.get("result").unwrap_or(&Value::Null);
    let text = result.get("text").unwrap_or(result);
    match (text, result) {
        (Value::Null, _) => Said::Unknown("agent_response".to_owned()),
        (Value::String(text), _) => Said::FinalText(text.clone()),
        (_, result) => Said::FinalText(result.to_string()),
    }
}
