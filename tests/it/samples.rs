//! The sample logs and streams, read as their `.expected.json` says: every field named there is looked at.

use std::path::Path;

use ashore::protocol::acp::{Block, ConfigValue, Update};
use ashore::protocol::command::What;
use ashore::protocol::entry::{Decoded, Entry, Ext, Said};
use ashore::protocol::ids::Seq;
use ashore::protocol::normalize::decode;
use ashore::session::reduce::apply;
use ashore::session::state::{Session, Turn};
use ashore::session::tool::ToolCall;
use ashore::session::transcript::{Body, Level};
use serde_json::{Map, Value, json};

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    std::fs::read(path.join(name)).expect("the samples are part of the repository")
}

fn expected(name: &str) -> Value {
    serde_json::from_slice(&sample(name)).expect("written by hand, and valid")
}

fn entry(decoded: &Decoded) -> &Entry {
    match decoded {
        Decoded::Entry(entry) => entry,
        Decoded::Blank | Decoded::Bad(_) => panic!("no entry: {decoded:?}"),
    }
}

/// One line of a sample, before and after the session took it.
struct Step<'a> {
    entry: &'a Entry,
    cells_before: usize,
    session: &'a Session,
}

#[test]
fn the_session_log_reads_as_expected() {
    let expected = expected("session-log.expected.json");
    let log = sample("session-log.ndjson");
    let lines: Vec<&[u8]> = log.split(|b| *b == b'\n').collect();
    assert_eq!(json!(lines.len()), expected["lines"]);
    let mut session = Session::default();
    let mut assembled = String::new();
    let entries = expected["entries"].as_array().expect("a list");
    for (i, (line, expected)) in lines.iter().zip(entries).enumerate() {
        assert_eq!(expected["line"], json!(i + 1));
        let decoded = decode(line);
        let cells_before = session.transcript.cells.len();
        apply(&mut session, Seq(i as u64 + 1), &decoded);
        let step = Step {
            entry: entry(&decoded),
            cells_before,
            session: &session,
        };
        let expected = expected.as_object().expect("an object");
        look_at_all(&step, expected);
        if expected["kind"] == "agent_message_chunk" && expected.contains_key("shape") {
            assembled += &text(&step, "agent_message_chunk");
        }
    }
    assert_eq!(json!(assembled), expected["assembled_agent_text"]);
    look_at_the_whole(&session, &assembled);
}

/// What the reducer makes of the whole log.
fn look_at_the_whole(session: &Session, assembled: &str) {
    let cells = session.transcript.cells.to_vec();
    let agent: Vec<&str> = cells
        .iter()
        .filter_map(|cell| match &cell.body {
            Body::Agent { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(agent, [assembled, "Done."]);
    let user: Vec<&str> = cells
        .iter()
        .filter_map(|cell| match &cell.body {
            Body::User { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(user, ["Fix the flaky cache test", "Also keep the API."]);
    let ends = cells
        .iter()
        .filter(|cell| matches!(cell.body, Body::TurnEnd { .. }));
    assert_eq!(ends.count(), 1);
    assert_eq!(session.turn, Turn::Idle);
    assert_eq!(session.queued, []);
    assert_eq!(session.agent_version.as_deref(), Some("0.4.1"));
    assert_eq!(session.branch.as_deref(), Some("fix/flaky-cache"));
    assert_eq!(session.bad_lines, 0);
}

fn look_at_all(step: &Step<'_>, expected: &Map<String, Value>) {
    for (field, value) in expected {
        if matches!(field.as_str(), "line" | "shape" | "note") {
            continue;
        }
        let kind = expected
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let found = look_at(step, field, kind, value);
        assert_eq!(
            &found,
            value,
            "`{field}` of {:?}",
            Value::Object(expected.clone())
        );
    }
}

fn look_at(step: &Step<'_>, field: &str, kind: &str, wanted: &Value) -> Value {
    let entry = step.entry;
    match field {
        "ts" => json!(entry.timestamp.map(|time| format!("{time:.3}"))),
        "ts_ms" => json!(entry.timestamp.map(|time| time.as_millisecond())),
        "dir" => json!(entry.from.as_str()),
        "kind" => json!(kind_of(entry)),
        "method" => json!(method_of(entry)),
        "as" => json!(shown_as(step, wanted)),
        "text" => json!(text(step, kind)),
        "block" => json!(block_of(entry)),
        "replaces" => {
            assert_eq!(step.session.transcript.cells.len(), step.cells_before);
            json!("chunks")
        }
        "creates" => json!(step.session.transcript.cells.len() == step.cells_before + 1),
        "pending" => {
            let open = step.session.permissions.iter();
            open.map(|open| open.tool_call.as_str()).collect()
        }
        "stop" | "error" => end_of(entry, field),
        _ => look_at_content(step, field),
    }
}

fn look_at_content(step: &Step<'_>, field: &str) -> Value {
    let session = step.session;
    match (field, &step.entry.said) {
        ("id", Said::Request { id, .. } | Said::Response { id, .. }) => id.clone(),
        ("id", _) => json!(tool(step).id),
        ("title", Said::Update(Update::Tool(_))) => json!(tool(step).title),
        ("title", _) => json!(session.title),
        ("status", _) => json!(tool(step).status.as_str()),
        ("tool", _) => json!(tool(step).name),
        ("tool_kind", _) => json!(tool(step).kind.as_str()),
        ("file", _) => tool(step).response.as_ref().expect("is told")["filePath"].clone(),
        ("pr_url", _) => json!(session.pr_url),
        ("names", _) => session
            .commands
            .iter()
            .map(|one| one.name.as_str())
            .collect(),
        ("mode", _) => json!(session.mode),
        ("options", _) => options(session),
        ("entries", _) => session
            .plan
            .iter()
            .map(|one| json!([one.content, one.status.as_str()]))
            .collect(),
        ("used", _) => json!(session.usage.expect("is told").used),
        ("size", _) => json!(session.usage.expect("is told").size),
        ("change", Said::Ext(Ext::FileSync(change))) => json!(change.kind),
        ("path", Said::Ext(Ext::FileSync(change))) => {
            let last = session.files.last().expect("just added");
            assert_eq!(last.path, change.path.as_str());
            json!(change.path)
        }
        ("tree", Said::Ext(Ext::Tree { hash, .. })) => json!(hash),
        ("changed", Said::Ext(Ext::Tree { changed, .. })) => json!(changed),
        ("deleted", Said::Ext(Ext::Tree { deleted, .. })) => json!(deleted),
        ("why", Said::Ext(Ext::FileRefused { why, .. })) => json!(why),
        (_, said) => panic!("nothing looks at `{field}` of {said:?}"),
    }
}

fn tool(step: &Step<'_>) -> ToolCall {
    let Said::Update(Update::Tool(patch)) = &step.entry.said else {
        panic!("no tool call: {:?}", step.entry.said);
    };
    let mut cells = step.session.transcript.cells.iter();
    cells
        .find_map(|cell| match &cell.body {
            Body::Tool(call) if call.id == patch.id => Some(ToolCall::clone(call)),
            _ => None,
        })
        .expect("every patch has a call")
}

fn options(session: &Session) -> Value {
    let options = session.config.iter().map(|option| {
        let value = match &option.value {
            ConfigValue::Select { current, options } => {
                assert!(options.iter().any(|(value, _)| value == current));
                json!(current)
            }
            ConfigValue::Boolean(on) => json!(on),
        };
        (option.id.clone(), value)
    });
    Value::Object(options.collect())
}

/// The kind in the words of the wire, where it stood; checked against what was understood.
fn kind_of(entry: &Entry) -> String {
    match &entry.said {
        Said::Update(update) => {
            let kind = kind_on_wire(&entry.message.value());
            assert!(agrees(&kind, update), "{kind} was read as {update:?}");
            kind
        }
        Said::Command(command) => match &command.what {
            What::UserMessage(_) => "user_message".into(),
            What::Cancel => "cancel".into(),
            What::Close => "close".into(),
            other => format!("{other:?}"),
        },
        Said::Request { .. } => "request".into(),
        Said::Response { .. } => "response".into(),
        Said::Ext(_) => "ext".into(),
        Said::FinalText(_) => "legacy_response".into(),
        Said::StreamError(_) => "stream_error".into(),
        Said::Unknown(_) => "unknown".into(),
        Said::Ignored => "ignored".into(),
    }
}

fn kind_on_wire(message: &Value) -> String {
    let method = message["method"].as_str().expect("updates have one");
    let params = &message["params"];
    let told = params["update"]["sessionUpdate"]
        .as_str()
        .or(params["sessionUpdate"].as_str());
    match (method, told) {
        ("agent_status", _) => "legacy_status".into(),
        ("session/update", Some(kind)) => kind.into(),
        ("session/update", None) => {
            let keys = params.as_object().expect("an object").keys();
            keys.into_iter()
                .find(|key| *key != "sessionId")
                .expect("a key")
                .clone()
        }
        (method, _) => method.into(),
    }
}

fn agrees(kind: &str, update: &Update) -> bool {
    match kind {
        "agent_message_chunk" => matches!(update, Update::AgentChunk(_)),
        "agent_thought_chunk" => matches!(update, Update::ThoughtChunk(_)),
        "user_message_chunk" => matches!(update, Update::UserChunk(_)),
        "agent_message" => matches!(update, Update::AgentMessage(_)),
        "user_message" => matches!(update, Update::UserMessage(_)),
        "tool_call" => matches!(update, Update::Tool(patch) if patch.announces),
        "tool_call_update" | "tool_result" => {
            matches!(update, Update::Tool(patch) if !patch.announces)
        }
        "plan" => matches!(update, Update::Plan(_) | Update::Unknown { .. }),
        "available_commands_update" => matches!(update, Update::Commands(_)),
        "current_mode_update" => matches!(update, Update::Mode(_) | Update::Modes { .. }),
        "config_option_update" => matches!(update, Update::Config(_)),
        "session_info_update" => matches!(update, Update::Info { title: Some(_) }),
        "usage_update" => matches!(update, Update::Usage(_)),
        "system_message" | "status" | "legacy_status" => matches!(update, Update::Status(_)),
        "error" => matches!(update, Update::Error(_)),
        other => matches!(update, Update::Unknown { kind, .. } if kind == other),
    }
}

fn method_of(entry: &Entry) -> String {
    let message = entry.message.value();
    let method = message["method"].as_str().expect("is told");
    let single = method.strip_prefix("__").map(|rest| format!("_{rest}"));
    let single = single.unwrap_or_else(|| method.to_owned());
    single.replacen("_array/", "_posthog/", 1)
}

fn shown_as(step: &Step<'_>, wanted: &Value) -> &'static str {
    let last = step.session.transcript.cells.last();
    let last = last.as_deref().map(|cell| &cell.body);
    match (last, &step.entry.said) {
        (_, Said::Update(Update::Tool(patch))) if !patch.announces => "tool_call_update",
        (Some(Body::Notice(notice)), said) => match notice.level {
            Level::Info => "status_line",
            // A v1 agent's `[error] ` is a status report by its shape.
            Level::Error if *wanted == "status_line" => {
                assert!(matches!(said, Said::Update(Update::AgentChunk(_))));
                "status_line"
            }
            Level::Error => "error_line",
            Level::Dim => "kept_raw",
            Level::Warning | Level::Rule => "another line",
        },
        _ => "no line",
    }
}

fn text(step: &Step<'_>, kind: &str) -> String {
    let last = step.session.transcript.cells.last();
    let notice = match last.as_deref().map(|cell| &cell.body) {
        Some(Body::Notice(notice)) => Some(notice.text.clone()),
        _ => None,
    };
    match &step.entry.said {
        Said::Update(Update::AgentChunk(chunk)) if kind == "agent_message_chunk" => {
            let text = chunk_text(&chunk.block);
            if text.starts_with('[') {
                notice.expect("is a line")
            } else {
                text
            }
        }
        Said::Update(
            Update::AgentChunk(chunk) | Update::ThoughtChunk(chunk) | Update::UserChunk(chunk),
        ) => chunk_text(&chunk.block),
        Said::Update(Update::AgentMessage(text) | Update::UserMessage(text))
        | Said::FinalText(text) => text.clone(),
        Said::Update(Update::Status(text) | Update::Error(text)) => {
            assert_eq!(notice.as_ref(), Some(text));
            text.clone()
        }
        Said::Ext(Ext::Error { message, .. }) => {
            assert_eq!(notice.as_ref(), Some(message));
            message.clone()
        }
        Said::Command(command) => match &command.what {
            What::UserMessage(prompt) => prompt.text.clone(),
            other => panic!("no text: {other:?}"),
        },
        Said::Request { params, .. } => params["prompt"][0]["text"]
            .as_str()
            .expect("a text")
            .to_owned(),
        said => panic!("no text: {said:?}"),
    }
}

fn chunk_text(block: &Block) -> String {
    match block {
        Block::Text(text) => text.clone(),
        other => panic!("no text: {other:?}"),
    }
}

fn block_of(entry: &Entry) -> &'static str {
    let Said::Update(Update::AgentChunk(chunk)) = &entry.said else {
        panic!("no chunk");
    };
    match &chunk.block {
        Block::Text(_) => "text",
        Block::Image { .. } => "image",
        Block::Audio { .. } => "audio",
        Block::Link { .. } => "resource_link",
        Block::Resource { .. } => "resource",
        Block::Unknown(_) => "unknown",
    }
}

fn end_of(entry: &Entry, field: &str) -> Value {
    match (field, &entry.said) {
        (
            "stop",
            Said::Response {
                outcome: Ok(result),
                ..
            },
        ) => result["stopReason"].clone(),
        ("stop", Said::Ext(Ext::TurnComplete { stop_reason, .. })) => json!(stop_reason),
        (
            "error",
            Said::Response {
                outcome: Err(error),
                ..
            },
        ) => json!(error.message),
        (_, said) => panic!("no end: {said:?}"),
    }
}

#[test]
fn the_log_with_every_kind_of_damage_reads_as_expected() {
    let expected = expected("session-log-edge.expected.json");
    let log = sample("session-log-edge.ndjson");
    let lines: Vec<&[u8]> = log.split(|b| *b == b'\n').collect();
    assert_eq!(json!(lines.len()), expected["lines"]);
    let mut session = Session::default();
    let entries = expected["entries"].as_array().expect("a list");
    for (i, (line, expected)) in lines.iter().zip(entries).enumerate() {
        assert_eq!(expected["line"], json!(i + 1));
        let decoded = decode(line);
        let cells_before = session.transcript.cells.len();
        apply(&mut session, Seq(i as u64 + 1), &decoded);
        assert_eq!(
            json!(result_of(&decoded)),
            expected["result"],
            "line {}",
            i + 1
        );
        if let Decoded::Entry(entry) = &decoded {
            let step = Step {
                entry,
                cells_before,
                session: &session,
            };
            let mut fields = expected.as_object().expect("an object").clone();
            fields.remove("result");
            look_at_all(&step, &fields);
        }
    }
    assert_eq!(json!(session.bad_lines), expected["bad_lines"]);
    assert!(session.files.iter().all(|file| file.failed.is_some()));
}

fn result_of(decoded: &Decoded) -> &'static str {
    let entry = match decoded {
        Decoded::Blank => return "blank",
        Decoded::Bad(_) => return "bad",
        Decoded::Entry(entry) => entry,
    };
    match &entry.said {
        Said::Ignored => "ignored",
        Said::Unknown(_) | Said::Update(Update::Unknown { .. }) | Said::Ext(Ext::Unknown(_)) => {
            "kept_raw"
        }
        Said::Ext(Ext::FileRefused { .. }) => "rejected",
        Said::Update(_)
        | Said::Command(_)
        | Said::Request { .. }
        | Said::Response { .. }
        | Said::Ext(_)
        | Said::FinalText(_)
        | Said::StreamError(_) => "ok",
    }
}

#[test]
fn the_data_of_every_event_of_the_edge_stream_reads_as_expected() {
    let expected = expected("sse-edge-cases.expected.json");
    for event in expected["events"].as_array().expect("a list") {
        let data = event["data"].as_str().expect("a text");
        let decoded = decode(data.as_bytes());
        let strictly = serde_json::from_str::<Value>(data);
        let status = match &decoded {
            Decoded::Blank => "empty",
            Decoded::Bad(_) => "bad",
            Decoded::Entry(_) if strictly.is_ok() => "ok",
            Decoded::Entry(_) => "repaired",
        };
        assert_eq!(json!(status), event["json_status"], "{data}");
        if let Decoded::Entry(entry) = decoded {
            assert_eq!(*entry.message.value(), event["json"]);
        }
    }
}

#[test]
fn a_stream_of_the_seed_reads_as_expected_and_makes_a_session() {
    let expected = expected("sync-v1.expected.json");
    let stream = String::from_utf8(sample("sync-v1.sse")).expect("is ASCII");
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let events = expected["events"].as_array().expect("a list");
    let mut session = Session::default();
    let mut count = 0;
    for (data, event) in data.zip(events) {
        let decoded = decode(data.as_bytes());
        assert_eq!(*entry(&decoded).message.value(), event["json"]);
        count += 1;
        apply(&mut session, Seq(count), &decoded);
    }
    assert_eq!(json!(count.to_string()), expected["last_event_id"]);
    let cells = session.transcript.cells.to_vec();
    let bodies: Vec<&Body> = cells.iter().map(|cell| &cell.body).collect();
    assert!(
        matches!(bodies[0], Body::Notice(notice) if notice.text == "connected: Agent server connected")
    );
    assert!(matches!(bodies[1], Body::User { text, .. } if text == "Fix it"));
    assert!(matches!(bodies[2], Body::Agent { text, .. } if text == "Café open."));
    assert!(matches!(bodies[3], Body::Tool(call) if call.is_over()));
    assert!(matches!(bodies[4], Body::Notice(notice) if notice.text == "connection lost"));
    assert_eq!(session.files[0].path, "src/a.rs");
}
