//! Any of the older shapes in, one entry out (contract 5.4).
//!
//! Pure and total: there is no input it fails on. What it does not understand it keeps as it was.

mod content;
mod ext;
mod fields;
mod file;
mod json;
mod quick;
mod tool;
mod update;

use std::borrow::Cow;

use serde_json::Value;

use crate::protocol::command::{Command, Prompt};
use crate::protocol::entry::{Decoded, Ends, Entry, From, RpcError, Said};
use crate::protocol::ids::CommandId;
use crate::protocol::normalize::fields::present;

/// Reads one log line, or the data of one event, as bytes.
pub fn decode(line: &[u8]) -> Decoded {
    // Valid text, which nearly every line is, is known to be so several times faster than it is mended.
    let text = match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(line),
    };
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Decoded::Blank;
    }
    if let Some(entry) = quick::entry(text) {
        return Decoded::Entry(entry);
    }
    match json::parse(text) {
        Some(value) => Decoded::Entry(entry(value)),
        None => Decoded::Bad(text.to_owned()),
    }
}

/// What the wrapper says, apart from the message in it.
struct Wrapper {
    timestamp: Option<jiff::Timestamp>,
    /// The key of a client message.
    id: Option<CommandId>,
    ends: Option<Ends>,
    from: Option<String>,
    client: bool,
}

fn entry(mut value: Value) -> Entry {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let wrapper = Wrapper {
        timestamp: text("timestamp").and_then(|time| time.parse().ok()),
        id: value.get("id").and_then(command_id),
        ends: value.get("ends").and_then(Ends::from_json),
        from: text("from"),
        client: text("type").as_deref() == Some("client_message"),
    };
    let inside = match text("type").as_deref() {
        Some("notification") => Some("notification"),
        Some("agent_event") => Some("event"),
        Some("client_message") => Some("message"),
        Some(word) if value.get("method").is_none() => {
            return foreign(word, wrapper.timestamp, value);
        }
        Some(_) | None => None,
    };
    match inside {
        Some(key) => {
            let message = value.get_mut(key).map_or(Value::Null, Value::take);
            read(wrapper, message)
        }
        None => {
            let bare = Wrapper {
                id: None,
                ends: None,
                from: None,
                ..wrapper
            };
            read(bare, value)
        }
    }
}

/// A wrapper of another dialect: known to say nothing, or kept raw.
fn foreign(word: &str, timestamp: Option<jiff::Timestamp>, value: Value) -> Entry {
    let said = match word {
        "heartbeat" | "keepalive" | "connected" | "pi_event" | "task_run_state" => Said::Ignored,
        _ => Said::Unknown(word.to_owned()),
    };
    Entry {
        timestamp,
        from: From::Agent,
        who: None,
        command: None,
        ends: None,
        message: value.into(),
        said,
    }
}

fn read(wrapper: Wrapper, message: Value) -> Entry {
    let said = if wrapper.client {
        command(&message, wrapper.id.clone())
    } else {
        said(&message)
    };
    Entry {
        timestamp: wrapper.timestamp,
        from: direction(&wrapper, &message, &said),
        command: key(&wrapper, &message, &said),
        ends: wrapper.ends.filter(|_| wrapper.client),
        who: wrapper.from.filter(|_| wrapper.client),
        message: message.into(),
        said,
    }
}

fn direction(wrapper: &Wrapper, message: &Value, said: &Said) -> From {
    if wrapper.client {
        return From::Client;
    }
    if wrapper.from.as_deref() == Some("endpoint") {
        return From::Endpoint;
    }
    let from_client = match said {
        Said::Command(_) => true,
        Said::Request { method, .. } => !asked_by_agent(method),
        Said::Ignored => message.get("method").and_then(Value::as_str) == Some("session/cancel"),
        Said::Update(_)
        | Said::Response { .. }
        | Said::Ext(_)
        | Said::FinalText(_)
        | Said::StreamError(_)
        | Said::Unknown(_) => false,
    };
    if from_client {
        From::Client
    } else {
        From::Agent
    }
}

/// The requests that ACP lets an agent make; every other one comes from the client's side.
fn asked_by_agent(method: &str) -> bool {
    method == "session/request_permission"
        || ["fs/", "terminal/", "elicitation/", "mcp/"]
            .iter()
            .any(|start| method.starts_with(start))
}

/// The command this line belongs to.
fn key(wrapper: &Wrapper, message: &Value, said: &Said) -> Option<CommandId> {
    match said {
        Said::Command(command) => command.id.clone(),
        Said::Unknown(_) | Said::Ignored if wrapper.client => wrapper
            .id
            .clone()
            .or_else(|| command_id(message.get("id")?)),
        Said::Request { params, .. } => command_id(params.pointer("/_meta/ashore/command")?),
        Said::Update(_) => [
            "/params/update/_meta/ashore/command",
            "/params/_meta/ashore/command",
        ]
        .iter()
        .find_map(|place| command_id(message.pointer(place)?)),
        Said::Response { .. }
        | Said::Ext(_)
        | Said::FinalText(_)
        | Said::StreamError(_)
        | Said::Unknown(_)
        | Said::Ignored => None,
    }
}

fn command_id(value: &Value) -> Option<CommandId> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A client's message; the wrapper's id wins over the one inside.
fn command(message: &Value, wrapper_id: Option<CommandId>) -> Said {
    let mut command = match Command::from_json(message) {
        Ok(command) => command,
        Err(_) => match without_id(message) {
            Some(command) => command,
            None => return named(message),
        },
    };
    command.id = wrapper_id.or(command.id);
    Said::Command(command)
}

/// An id that cannot be a key must not hide what was said.
fn without_id(message: &Value) -> Option<Command> {
    let mut object = message.as_object()?.clone();
    object.remove("id")?;
    Command::from_json(&Value::Object(object)).ok()
}

fn named(message: &Value) -> Said {
    match message.get("method").and_then(Value::as_str) {
        Some(method) => Said::Unknown(method.to_owned()),
        None => Said::Ignored,
    }
}

/// Rule 3: what kind of JSON-RPC message this is.
fn said(message: &Value) -> Said {
    let Some(object) = message.as_object() else {
        return Said::Ignored;
    };
    let id = present(object, "id");
    let method = present(object, "method");
    let params = present(object, "params").unwrap_or(&Value::Null);
    match (id, method) {
        (_, Some(Value::String(method))) if is_command(method) => command(message, None),
        (Some(id), Some(Value::String(method))) => Said::Request {
            id: id.clone(),
            method: method.clone(),
            params: params.clone(),
        },
        (None, Some(Value::String(method))) => told(method, params),
        (_, Some(_)) => Said::Unknown("message".to_owned()),
        (Some(id), None) => match (present(object, "error"), object.get("result")) {
            (Some(error), _) => Said::Response {
                id: id.clone(),
                outcome: Err(rpc_error(error)),
            },
            (None, Some(result)) => Said::Response {
                id: id.clone(),
                outcome: Ok(result.clone()),
            },
            (None, None) => Said::Ignored,
        },
        (None, None) => match present(object, "error") {
            Some(error) => Said::StreamError(rpc_error(error).message),
            None => Said::Ignored,
        },
    }
}

/// The client's own methods, which may stand in a log without their wrapper.
fn is_command(method: &str) -> bool {
    matches!(
        ext::plain(method).as_ref(),
        "_posthog/user_message" | "_posthog/cancel" | "_posthog/close"
    )
}

/// A notification, by its method.
fn told(method: &str, params: &Value) -> Said {
    match method {
        "session/update" => return Said::Update(update::in_params(params)),
        // Only a client says this, to its agent; the turn's end tells what came of it.
        "session/cancel" => return Said::Ignored,
        "agent_status" => return update::oldest_status(params),
        "agent_response" => return update::oldest_response(params),
        _ => (),
    }
    if update::is_kind(method) {
        return Said::Update(update::keyed(method, params));
    }
    match ext::read(&ext::plain(method), params) {
        Some(ext) => Said::Ext(ext),
        None => Said::Unknown(method.to_owned()),
    }
}

fn rpc_error(error: &Value) -> RpcError {
    let message = match (error, error.get("message")) {
        (Value::String(text), _) | (_, Some(Value::String(text))) => text.clone(),
        _ => error.to_string(),
    };
    RpcError {
        code: error.get("code").and_then(Value::as_i64).unwrap_or(0),
        message,
        data: error.get("data").filter(|data| !data.is_null()).cloned(),
    }
}

/// The prompt's words and what else was in it: text blocks joined with a line feed, the rest by name.
pub(crate) fn prompt_words(params: &Value) -> (String, Vec<String>) {
    let blocks = params.get("prompt").unwrap_or(&Value::Null);
    content::words(blocks)
}

/// The same of a command: `blocks` when there are any, else `content`.
pub(crate) fn words_of(prompt: &Prompt) -> (String, Vec<String>) {
    let Some(blocks) = &prompt.blocks else {
        return (prompt.text.clone(), Vec::new());
    };
    let (text, rest) = content::words(&Value::Array(blocks.clone()));
    let text = if text.is_empty() {
        prompt.text.clone()
    } else {
        text
    };
    (text, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::acp::{Block, ToolKind, ToolStatus, Update};
    use crate::protocol::command::What;
    use crate::protocol::entry::Ext;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(line: &Value) -> Entry {
        match decode(line.to_string().as_bytes()) {
            Decoded::Entry(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_shape_of_a_chunk_says_the_same() {
        let text = |fields: Value| {
            let mut update = json!({"sessionUpdate": "agent_message_chunk"});
            for (key, value) in fields.as_object().expect("is one") {
                update[key] = value.clone();
            }
            update
        };
        let block = json!({"type": "text", "text": "Hi"});
        let table = [
            json!({"method": "session/update", "params": {"update": text(json!({"content": block}))}}),
            json!({"method": "session/update", "params": {"update": text(json!({"text": "Hi"}))}}),
            json!({"method": "session/update", "params": {"update": text(json!({"content": "Hi", "messageId": null}))}}),
            json!({"method": "session/update", "params": {"update": text(json!({"content": [{"type": "text", "text": "H"}, {"text": "i"}]}))}}),
            json!({"method": "session/update", "params": {"agent_message_chunk": {"text": "Hi"}}}),
            json!({"method": "session/update", "params": text(json!({"content": block}))}),
            json!({"method": "agent_message_chunk", "params": {"text": "Hi"}}),
            json!({"type": "agent_event", "event": {"method": "agent_message_chunk", "params": {"content": "Hi"}}}),
        ];
        for line in table {
            let Said::Update(Update::AgentChunk(chunk)) = read(&line).said else {
                panic!("{line}");
            };
            assert_eq!(chunk.block, Block::Text("Hi".into()), "{line}");
        }
    }

    #[test]
    fn the_oldest_tool_call_is_one_like_any_other() {
        let line = json!({"method": "session/update", "params": {"tool_call": {"id": "t1", "name": "Read", "input": {"p": 1}}}});
        let Said::Update(Update::Tool(patch)) = read(&line).said else {
            panic!("no tool call");
        };
        assert_eq!(
            (
                patch.id.as_str(),
                patch.title.as_deref(),
                patch.name.as_deref(),
                patch.announces
            ),
            ("t1", Some("Read"), Some("Read"), true)
        );
        assert_eq!(patch.raw_input, Some(json!({"p": 1})));
    }

    #[test]
    fn a_word_nobody_knows_is_no_reason_to_drop_a_tool_call() {
        let line = json!({"method": "session/update", "params": {"update": {"sessionUpdate": "tool_call",
            "toolCallId": "t1", "title": null, "kind": "quantum", "status": "pondering", "content": null, "extra": 1}}});
        let Said::Update(Update::Tool(patch)) = read(&line).said else {
            panic!("no tool call");
        };
        assert_eq!(patch.title, None);
        assert_eq!(patch.kind, Some(ToolKind::Other));
        assert_eq!(patch.status, Some(ToolStatus::Pending));
    }

    #[test]
    fn a_field_of_the_wrong_type_keeps_the_event_raw() {
        for update in [
            json!({"sessionUpdate": "plan", "entries": "oops"}),
            json!({"sessionUpdate": "tool_call", "toolCallId": 7}),
            json!({"sessionUpdate": "agent_message_chunk", "content": 3}),
            json!({"sessionUpdate": "usage_update", "used": "many"}),
        ] {
            let kind = update["sessionUpdate"].as_str().expect("is one").to_owned();
            let line = json!({"method": "session/update", "params": {"update": update}});
            assert_eq!(
                read(&line).said,
                Said::Update(Update::Unknown { kind, raw: update })
            );
        }
    }

    #[test]
    fn an_inline_status_is_not_taken_for_a_keyed_one() {
        let line = json!({"method": "session/update", "params": {"sessionUpdate": "status", "status": "compacting"}});
        assert_eq!(
            read(&line).said,
            Said::Update(Update::Status("compacting".into()))
        );
    }

    #[test]
    fn commands_are_known_with_and_without_their_wrapper() {
        let body = json!({"jsonrpc": "2.0", "id": "c1", "method": "_posthog/cancel", "params": {}});
        let wrapped = read(
            &json!({"type": "client_message", "id": "c2", "from": "ana@laptop", "message": body}),
        );
        assert_eq!(wrapped.command.as_ref().map(CommandId::as_str), Some("c2"));
        assert_eq!(wrapped.who.as_deref(), Some("ana@laptop"));
        let bare = read(&body);
        assert_eq!(bare.command.as_ref().map(CommandId::as_str), Some("c1"));
        assert_eq!((wrapped.from, bare.from), (From::Client, From::Client));
        let odd = read(
            &json!({"type": "client_message", "message": {"id": {}, "method": "_posthog/cancel"}}),
        );
        assert!(matches!(
            odd.said,
            Said::Command(Command {
                id: None,
                what: What::Cancel
            })
        ));
    }

    #[test]
    fn a_permission_answer_is_a_command_from_a_client_and_a_record_in_the_log() {
        let body = json!({"method": "_posthog/permission_response", "params": {"requestId": "r", "optionId": "o"}});
        let command = read(&json!({"type": "client_message", "message": body}));
        assert!(matches!(command.said, Said::Command(_)));
        let record = read(&json!({"type": "notification", "notification": body}));
        assert!(matches!(
            record.said,
            Said::Ext(Ext::PermissionResponse { .. })
        ));
    }

    #[test]
    fn the_direction_of_a_request_follows_from_who_may_ask_it() {
        for (method, from) in [
            ("initialize", From::Client),
            ("session/prompt", From::Client),
            ("_posthog/session/resume", From::Client),
            ("session/request_permission", From::Agent),
            ("fs/read_text_file", From::Agent),
        ] {
            let line = json!({"type": "notification", "notification": {"id": 1, "method": method}});
            assert_eq!(read(&line).from, from, "{method}");
        }
    }

    #[test]
    fn answers_errors_and_nothing_at_all_are_told_apart() {
        assert!(matches!(
            read(&json!({"id": 1, "result": null})).said,
            Said::Response {
                outcome: Ok(Value::Null),
                ..
            }
        ));
        assert!(matches!(
            read(&json!({"id": 1, "error": {"code": -1, "message": "no"}})).said,
            Said::Response {
                outcome: Err(RpcError { code: -1, .. }),
                ..
            }
        ));
        for (line, text) in [
            (json!({"error": "lost"}), "lost"),
            (json!({"id": null, "error": {"message": "lost"}}), "lost"),
        ] {
            assert_eq!(read(&line).said, Said::StreamError(text.into()));
        }
        for nothing in [
            json!(null),
            json!([1]),
            json!({}),
            json!({"id": 4}),
            json!({"type": "agent_event"}),
        ] {
            assert_eq!(read(&nothing).said, Said::Ignored, "{nothing}");
        }
        assert_eq!(decode(b" \t\r\n"), Decoded::Blank);
        assert_eq!(decode(b"{"), Decoded::Bad("{".into()));
    }

    #[test]
    fn a_file_that_cannot_be_trusted_is_named_with_its_reason() {
        let sync =
            |params: Value| read(&json!({"method": "_posthog/file_sync", "params": params})).said;
        for (params, told) in [
            (
                json!({"type": "file_modified", "relativePath": "../x"}),
                "path escapes the root",
            ),
            (
                json!({"type": "file_modified", "relativePath": "/etc/x"}),
                "absolute path",
            ),
            (
                json!({"type": "file_deleted", "relativePath": ".GIT/config"}),
                "inside .git",
            ),
            (
                json!({"type": "file_modified", "relativePath": "a"}),
                "no content hash, so its bytes cannot be checked",
            ),
            (
                json!({"type": "file_modified", "relativePath": "a", "contentHash": "12"}),
                "its content hash is not a SHA-256",
            ),
            (
                json!({"type": "file_moved", "relativePath": "a"}),
                "a kind of change nobody here knows",
            ),
            (json!({"type": "file_modified"}), "no relative path"),
        ] {
            let Said::Ext(Ext::FileRefused { why, .. }) = sync(params.clone()) else {
                panic!("{params}");
            };
            assert_eq!(why, told);
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec![
            "session/update",
            "update",
            "params",
            "method",
            "id",
            "result",
            "error",
            "type",
            "notification",
            "client_message",
            "message",
            "sessionUpdate",
            "agent_message_chunk",
            "tool_call",
            "content",
            "text",
            "toolCallId",
            "plan",
            "entries",
            "_posthog/file_sync",
            "relativePath",
            "_meta",
            "ashore",
            "command",
            "session/prompt",
            "prompt",
            "requestId",
            "options",
            "_posthog/permission_request",
            "\u{0}",
        ]);
        let word = words.clone().prop_map(str::to_owned);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            word.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((words.clone(), inner), 0..6)
                    .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn there_is_no_input_it_fails_on(bytes in prop::collection::vec(any::<u8>(), 0..200), value in any_json()) {
            decode(&bytes);
            let read = decode(value.to_string().as_bytes());
            prop_assert!(matches!(read, Decoded::Entry(_)));
        }
    }
}
