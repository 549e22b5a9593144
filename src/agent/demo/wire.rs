//! The JSON lines the demo agent writes: JSON-RPC 2.0, one object per line (ACP v1).
//!
//! Pure. Written by hand and not by the SDK, so that kinds nobody knows can be sent too.

use serde_json::{Value, json};

use crate::agent::demo::order::COMMANDS;
use crate::agent::demo::samples;

/// JSON-RPC: the request cannot be understood as it is.
pub(crate) const BAD_PARAMS: i64 = -32602;
/// JSON-RPC: no such method.
pub(crate) const NO_METHOD: i64 = -32601;
/// JSON-RPC: not JSON.
pub(crate) const NOT_JSON: i64 = -32700;
/// JSON-RPC: what `/error` answers.
pub(crate) const INTERNAL: i64 = -32603;
/// ACP: the session is not known here.
pub(crate) const NOT_FOUND: i64 = -32002;

/// What a session can be set to; the first is where it starts.
pub(crate) const MODES: [(&str, &str, &str); 3] = [
    ("code", "Code", "Does what it is told at once"),
    (
        "plan",
        "Plan",
        "Shows the word `plan` in the status line; it changes nothing else",
    ),
    (
        "ask",
        "Ask",
        "Shows the word `ask` in the status line; it changes nothing else",
    ),
];

/// The id of the one config option.
pub(crate) const THOUGHTS: &str = "thoughts";

pub(crate) fn result(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

pub(crate) fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

pub(crate) fn request(id: &str, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A `session/update` notification around one update.
pub(crate) fn update(session: &str, update: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": session, "update": update}})
}

pub(crate) fn initialized(version: &str) -> Value {
    json!({
        "protocolVersion": 1,
        "agentCapabilities": {
            "loadSession": true,
            "promptCapabilities": {"image": false, "audio": false, "embeddedContext": true}
        },
        "agentInfo": {"name": "ashore-demo", "title": "Ashore demo agent", "version": version},
        "authMethods": []
    })
}

pub(crate) fn message(text: &str) -> Value {
    chunk("agent_message_chunk", text)
}

pub(crate) fn thought(text: &str) -> Value {
    chunk("agent_thought_chunk", text)
}

fn chunk(kind: &str, text: &str) -> Value {
    json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}})
}

/// A block of the user's prompt, for replay.
pub(crate) fn user(block: &Value) -> Value {
    json!({"sessionUpdate": "user_message_chunk", "content": block})
}

pub(crate) fn text_content(text: &str) -> Value {
    json!({"type": "content", "content": {"type": "text", "text": text}})
}

pub(crate) fn commands() -> Value {
    let commands: Vec<Value> = COMMANDS
        .iter()
        .map(|(name, written, description)| {
            let mut command = json!({"name": name, "description": description});
            if let Some((_, hint)) = written.split_once(' ') {
                command["input"] = json!({"hint": hint});
            }
            command
        })
        .collect();
    json!({"sessionUpdate": "available_commands_update", "availableCommands": commands})
}

pub(crate) fn modes(current: &str) -> Value {
    let modes: Vec<Value> = MODES
        .iter()
        .map(|(id, name, description)| json!({"id": id, "name": name, "description": description}))
        .collect();
    json!({"currentModeId": current, "availableModes": modes})
}

pub(crate) fn mode(current: &str) -> Value {
    json!({"sessionUpdate": "current_mode_update", "currentModeId": current})
}

/// The list of config options: one switch, and only for a client that says it can show switches.
pub(crate) fn config(thoughts: bool) -> Value {
    json!([{
        "id": THOUGHTS,
        "name": "Thoughts",
        "description": "Whether the tour thinks aloud",
        "category": "thought_level",
        "type": "boolean",
        "currentValue": thoughts
    }])
}

pub(crate) fn usage(used: u64, size: u64) -> Value {
    json!({"sessionUpdate": "usage_update", "used": used, "size": size})
}

/// A plan whose first `done` steps are completed and whose next one is in progress.
pub(crate) fn plan(steps: &[String], done: usize) -> Value {
    let entries: Vec<Value> = steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let status = match index.cmp(&done) {
                std::cmp::Ordering::Less => "completed",
                std::cmp::Ordering::Equal => "in_progress",
                std::cmp::Ordering::Greater => "pending",
            };
            let priority = ["high", "medium", "low"][index.min(2)];
            json!({"content": step, "priority": priority, "status": status})
        })
        .collect();
    json!({"sessionUpdate": "plan", "entries": entries})
}

/// A picture in the middle of what the agent says.
pub(crate) fn image() -> Value {
    json!({
        "sessionUpdate": "agent_message_chunk",
        "content": {"type": "image", "mimeType": "image/png", "data": samples::PNG},
    })
}

/// The kind no client knows.
pub(crate) fn unknown() -> Value {
    json!({"sessionUpdate": samples::UNKNOWN_KIND, "phase": "waxing", "illumination": 0.62})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read_by_the_public_schema() {
        use agent_client_protocol_schema::v1::{
            InitializeResponse, NewSessionResponse, SessionUpdate,
        };
        let updates = [
            message("a"),
            thought("b"),
            image(),
            user(&json!({"type": "text", "text": "c"})),
            commands(),
            mode("plan"),
            usage(1, 2),
            plan(&["a".into(), "b".into(), "c".into(), "d".into()], 1),
        ];
        for update in updates {
            serde_json::from_value::<SessionUpdate>(update.clone())
                .unwrap_or_else(|e| panic!("{update}: {e}"));
        }
        serde_json::from_value::<InitializeResponse>(initialized("1")).expect("initialize");
        let new = json!({"sessionId": "s", "modes": modes("code"), "configOptions": config(true)});
        let new: NewSessionResponse = serde_json::from_value(new).expect("session/new");
        assert_eq!(new.config_options.map(|options| options.len()), Some(1));
    }
}
