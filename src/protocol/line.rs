//! The lines and messages that the endpoint and the agent side write (contract 4, 5.3 and 10).
//!
//! Pure. [`crate::protocol::normalize`] reads back what stands here.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::protocol::cut;
use crate::protocol::entry::{PermissionRequest, Step};
use crate::protocol::file::{Applied, FileChange, Stale};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{CommandId, TaskId};
use crate::protocol::run::Status;

/// The most a journal line may have, in bytes (contract 10.1).
pub const MAX_LINE: usize = 256 * 1024;

/// What a sender leaves free in a line for its wrapper and the names of blobs, in bytes.
pub const WRAPPER_ROOM: usize = 2 * 1024;

/// A message of the agent side in its wrapper, without the line feed.
pub fn notification_line(timestamp: Timestamp, message: &Value) -> String {
    json!({"type": "notification", "timestamp": time(timestamp), "notification": message})
        .to_string()
}

/// A message of the endpoint itself; the wrapper says so.
pub fn endpoint_line(timestamp: Timestamp, message: &Value) -> String {
    json!({"type": "notification", "timestamp": time(timestamp), "from": "endpoint", "notification": message})
        .to_string()
}

/// A command as it was posted, with its key and who sent it (`ana@laptop`).
pub fn client_message_line(
    timestamp: Timestamp,
    id: &CommandId,
    from: Option<&str>,
    message: &Value,
) -> String {
    let mut line = json!({"type": "client_message", "timestamp": time(timestamp), "id": id});
    put(&mut line, "from", from);
    line["message"] = message.clone();
    line.to_string()
}

/// Milliseconds always, as every writer of the period has it.
fn time(timestamp: Timestamp) -> String {
    format!("{timestamp:.3}")
}

fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

fn put(object: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[key] = value.into();
    }
}

/// A `session/update`; `session` is the run's id, whatever the agent calls its session.
pub fn update(session: &str, update: Value) -> Value {
    notification(
        "session/update",
        json!({"sessionId": session, "update": update}),
    )
}

/// The prompt's request line: with it a command is taken (design decision 5).
pub fn prompt_request(
    id: &Value,
    session: &str,
    blocks: &[Value],
    command: Option<&CommandId>,
) -> Value {
    let mut params = json!({"sessionId": session, "prompt": blocks});
    if let Some(command) = command {
        params["_meta"] = json!({"ashore": {"command": command}});
    }
    json!({"jsonrpc": "2.0", "id": id, "method": "session/prompt", "params": params})
}

/// Says in a prompt's request line which change gave the message its words: a later one is still to run.
pub fn in_the_words_of(mut request: Value, edit: &CommandId) -> Value {
    request["params"]["_meta"]["ashore"]["edit"] = json!(edit);
    request
}

/// The response that ends a turn.
pub fn prompt_response(id: &Value, stop_reason: &str, unscanned: bool) -> Value {
    let mut result = json!({"stopReason": stop_reason});
    if unscanned {
        result["_meta"] = unscanned_meta();
    }
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// The response of a turn that broke.
pub fn error_response(id: &Value, code: i64, message: &str, unscanned: bool) -> Value {
    let mut error = json!({"code": code, "message": message});
    if unscanned {
        error["data"] = json!({"_meta": unscanned_meta()});
    }
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

/// Nobody could look at the files after this turn (design decision 7).
fn unscanned_meta() -> Value {
    json!({"ashore": {"unscanned": true}})
}

pub fn turn_complete(stop_reason: &str, unscanned: bool) -> Value {
    let mut params = json!({"stopReason": stop_reason});
    if unscanned {
        params["_meta"] = unscanned_meta();
    }
    notification("_posthog/turn_complete", params)
}

/// The agent server is ready for prompts; what the agent takes in them is ours to tell.
pub fn run_started(run: &str, agent_version: Option<&str>, takes: Option<&Value>) -> Value {
    let mut params = json!({"runId": run});
    if let Some(takes) = takes {
        params["_meta"] = json!({"ashore": {"promptCapabilities": takes}});
    }
    put(&mut params, "agentVersion", agent_version);
    notification("_posthog/run_started", params)
}

/// The run is over; a foreign reader knows no `status` and takes it for completed.
pub fn task_complete(task: &TaskId, status: &Status) -> Value {
    notification(
        "_posthog/task_complete",
        json!({"taskId": task, "status": status.as_str()}),
    )
}

pub fn error(message: &str, detail: Option<&str>) -> Value {
    let mut params = json!({"message": message});
    put(&mut params, "detail", detail);
    notification("_posthog/error", params)
}

pub fn step(step: &Step) -> Value {
    let mut params = json!({"step": step.name, "status": step.status.as_str()});
    put(&mut params, "detail", step.detail.as_deref());
    put(&mut params, "hint", step.hint.as_deref());
    notification("_ashore/step", params)
}

/// How the run stands, by the endpoint; a later `in_progress` opens it again.
pub fn run_status(status: &Status, message: Option<&str>) -> Value {
    let mut params = json!({"status": status.as_str()});
    put(&mut params, "message", message);
    notification("_ashore/status", params)
}

/// One line for the user.
pub fn note(message: &str) -> Value {
    notification("_ashore/note", json!({"message": message}))
}

pub fn permission_request(request: &PermissionRequest) -> Value {
    let options: Vec<Value> = request
        .options
        .iter()
        .map(|option| {
            let mut value =
                json!({"kind": option.kind.as_str(), "optionId": option.id, "name": option.name});
            put(&mut value, "description", option.description.as_deref());
            value
        })
        .collect();
    let mut params = json!({
        "requestId": request.request,
        "toolCallId": request.tool_call,
        "title": request.title,
        "options": options,
    });
    put(&mut params, "kind", request.kind.as_deref());
    put(&mut params, "rawInput", request.raw_input.clone());
    notification("_posthog/permission_request", params)
}

/// `option` is `_cancelled` when none was taken.
pub fn permission_response(
    request: &str,
    tool_call: &str,
    option: &str,
    custom_input: Option<&str>,
    from: Option<&str>,
) -> Value {
    let mut params = json!({"requestId": request, "toolCallId": tool_call, "optionId": option});
    put(&mut params, "customInput", custom_input);
    put(&mut params, "from", from);
    notification("_posthog/permission_response", params)
}

/// `path` repeats the relative path: where the sandbox keeps its tree is nobody's business.
pub fn file_sync(change: &FileChange) -> Value {
    let mut params = json!({"type": change.kind, "path": change.path, "relativePath": change.path});
    if let Some(now) = change.now {
        params["contentHash"] = json!(now.hash);
        params["storagePath"] = json!(storage_path(change, now.hash));
        params["size"] = json!(now.size);
        params["mode"] = json!(now.mode);
    }
    params["baseHash"] = json!(change.before);
    put(&mut params, "turn", change.turn);
    put(&mut params, "toolCallId", change.tool_call.as_deref());
    notification("_posthog/file_sync", params)
}

fn storage_path(change: &FileChange, hash: ContentHash) -> String {
    change
        .storage_path
        .clone()
        .unwrap_or_else(|| format!("files/{hash}"))
}

/// A file that can never be stored, or (with the command that wanted it) never be applied; `path` may be one that is no
/// relative path of ours.
pub fn file_failed(path: &str, reason: &str, command: Option<&CommandId>) -> Value {
    let mut params = json!({"relativePath": path, "reason": reason});
    put_command(&mut params, command);
    notification("_ashore/file_failed", params)
}

/// The agent side took a client's change.
pub fn file_applied(applied: &Applied) -> Value {
    let change = &applied.change;
    let mut params = json!({
        "relativePath": change.path,
        "contentHash": change.now.map(|now| now.hash),
        "size": change.now.map_or(0, |now| now.size),
        "baseHash": change.before,
        "baseMode": applied.before_mode,
    });
    put(&mut params, "mode", change.now.map(|now| now.mode.as_str()));
    put_command(&mut params, applied.command.as_ref());
    notification("_ashore/file_applied", params)
}

/// The agent side did not, since `current` stands there.
pub fn file_refused(stale: &Stale) -> Value {
    let mut params = json!({
        "relativePath": stale.path,
        "currentHash": stale.current.map(|current| current.hash),
        "currentMode": stale.current.map(|current| current.mode),
        "size": stale.current.map_or(0, |current| current.size),
    });
    put(&mut params, "reason", stale.reason.as_deref());
    put_command(&mut params, stale.command.as_ref());
    notification("_ashore/file_refused", params)
}

fn put_command(params: &mut Value, command: Option<&CommandId>) {
    put(params, "command", command.map(CommandId::as_str));
}

/// Puts a message into `limit` bytes of JSON, and says whether anything had to go.
///
/// The longest strings are cut first, to one common length; where that cannot be enough, the largest objects and
/// arrays become null. The envelope (`method`, `id`, `params`, `update`) stays as long as anything else can go.
/// A sender of ours leaves [`WRAPPER_ROOM`] below [`MAX_LINE`] for what comes around the message.
pub fn fit(message: Value, limit: usize) -> (Value, bool) {
    cut::fit(message, limit)
}

/// Names the blob that holds the whole of a message which `fit` has cut, in `_meta.ashore.blobs`.
pub fn name_blob(message: &mut Value, blob: ContentHash) {
    let Some(message) = message.as_object_mut() else {
        return;
    };
    let place = ["params", "result"]
        .into_iter()
        .find(|key| message.get(*key).is_some_and(Value::is_object))
        .unwrap_or("params");
    let at = object_at(message, place);
    let ashore = object_at(object_at(at, "_meta"), "ashore");
    let blobs = ashore.entry("blobs").or_insert_with(|| json!([]));
    match blobs.as_array_mut() {
        Some(list) => list.push(json!(blob)),
        None => *blobs = json!([blob]),
    }
}

fn object_at<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(key).or_insert(Value::Null);
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("made one just above")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::acp::{OptionKind, PermissionOption, Update};
    use crate::protocol::command::Command;
    use crate::protocol::entry::{Decoded, Entry, Ext, From, Said, StepStatus, Takes};
    use crate::protocol::file::{ChangeKind, FileState, Mode};
    use crate::protocol::normalize::decode;
    use crate::protocol::path::RelPath;

    const TIME: Timestamp = Timestamp::UNIX_EPOCH;

    fn read(line: &str) -> Entry {
        match decode(line.as_bytes()) {
            Decoded::Entry(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    /// What a message of the agent side says when it is read back.
    fn said(message: &Value) -> Said {
        let entry = read(&notification_line(TIME, message));
        assert_eq!(
            (&*entry.message.value(), entry.from),
            (message, From::Agent)
        );
        entry.said
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn every_message_we_write_reads_back_as_it_was_meant() {
        let hash = ContentHash::of(b"x");
        let path: RelPath = "src/a.rs".parse().expect("fits");
        let a_step = Step {
            name: "sandbox".into(),
            status: StepStatus::Failed,
            detail: Some("no room".into()),
            hint: Some("free some".into()),
        };
        let request = PermissionRequest {
            request: "r1".into(),
            tool_call: "t1".into(),
            title: "Run tests".into(),
            kind: Some("execute".into()),
            options: vec![PermissionOption {
                id: "allow".into(),
                name: "Allow".into(),
                kind: OptionKind::AllowOnce,
                description: Some("once".into()),
            }],
            raw_input: Some(json!({"command": "cargo test"})),
        };
        let created = FileChange {
            kind: ChangeKind::Created,
            path: path.clone(),
            now: Some(FileState {
                hash,
                size: 1,
                mode: Mode::Executable,
            }),
            before: None,
            storage_path: Some(format!("files/{hash}")),
            turn: Some(2),
            tool_call: Some("t1".into()),
        };
        let deleted = FileChange {
            kind: ChangeKind::Deleted,
            now: None,
            before: Some(hash),
            storage_path: None,
            turn: None,
            tool_call: None,
            ..created.clone()
        };
        let command = CommandId::random();
        let taken = Applied {
            change: FileChange {
                before: Some(ContentHash::of(b"before")),
                kind: ChangeKind::Modified,
                turn: None,
                tool_call: None,
                storage_path: None,
                ..created.clone()
            },
            before_mode: Some(Mode::File),
            command: Some(command.clone()),
        };
        let removed = Applied {
            change: deleted.clone(),
            before_mode: None,
            command: None,
        };
        let stale = Stale {
            path,
            current: created.now,
            reason: Some("no mirror here".into()),
            command: Some(command.clone()),
        };
        let task: TaskId = "t-1".parse().expect("fits");
        let table = [
            (step(&a_step), Ext::Step(a_step.clone())),
            (
                turn_complete("cancelled", true),
                Ext::TurnComplete {
                    stop_reason: "cancelled".into(),
                    unscanned: true,
                },
            ),
            (
                permission_request(&request),
                Ext::PermissionRequest(request.clone()),
            ),
            (
                permission_response("r1", "t1", "allow", Some("but"), Some("ana@laptop")),
                Ext::PermissionResponse {
                    request: "r1".into(),
                    tool_call: "t1".into(),
                    option: "allow".into(),
                    from: Some("ana@laptop".into()),
                },
            ),
            (file_sync(&created), Ext::FileSync(created.clone())),
            (file_sync(&deleted), Ext::FileSync(deleted.clone())),
            (
                file_failed("../x", "leaves the root", Some(&command)),
                Ext::FileFailed {
                    path: "../x".into(),
                    reason: "leaves the root".into(),
                    command: Some(command.clone()),
                },
            ),
            (file_applied(&taken), Ext::FileApplied(taken.clone())),
            (file_applied(&removed), Ext::FileApplied(removed.clone())),
            (file_refused(&stale), Ext::FileStale(stale.clone())),
            (note("hello"), Ext::Note("hello".into())),
            (
                run_status(&Status::Failed, Some("no agent")),
                Ext::RunStatus {
                    status: Status::Failed,
                    message: Some("no agent".into()),
                },
            ),
            (
                task_complete(&task, &Status::Cancelled),
                Ext::TaskComplete {
                    status: Status::Cancelled,
                },
            ),
            (
                error("agent died", Some("exit 1")),
                Ext::Error {
                    message: "agent died".into(),
                    detail: Some("exit 1".into()),
                },
            ),
            (
                run_started(
                    "r",
                    Some("0.1.0"),
                    Some(&json!({"image": true, "audio": 3})),
                ),
                Ext::RunStarted {
                    agent_version: Some("0.1.0".into()),
                    takes: Takes {
                        image: true,
                        ..Takes::default()
                    },
                },
            ),
        ];
        for (message, meant) in table {
            assert_eq!(said(&message), Said::Ext(meant), "{message}");
        }
    }

    #[test]
    fn a_prompt_names_its_command_and_its_answer_ends_the_turn() {
        let command = CommandId::random();
        let blocks = [json!({"type": "text", "text": "Fix it"})];
        let request = prompt_request(&json!(4), "r", &blocks, Some(&command));
        let entry = read(&notification_line(TIME, &request));
        assert_eq!((entry.from, entry.command), (From::Client, Some(command)));
        let Said::Response { id, outcome } = said(&prompt_response(&json!(4), "end_turn", true))
        else {
            panic!("no response");
        };
        assert_eq!(id, json!(4));
        let result = outcome.expect("no error");
        assert_eq!(result["stopReason"], "end_turn");
        assert_eq!(result["_meta"]["ashore"]["unscanned"], true);
        let Said::Response { outcome, .. } =
            said(&error_response(&json!(4), -32000, "died", false))
        else {
            panic!("no response");
        };
        assert_eq!(outcome.expect_err("is one").message, "died");
    }

    #[test]
    fn a_client_message_keeps_its_key_its_sender_and_its_time() {
        let command = Command::user_message("hi");
        let id = command.id.clone().expect("fresh");
        let line = client_message_line(TIME, &id, Some("ana@laptop"), &command.to_json());
        let entry = read(&line);
        assert_eq!(
            entry,
            Entry {
                timestamp: Some(TIME),
                from: From::Client,
                who: Some("ana@laptop".into()),
                command: Some(id),
                ends: None,
                message: command.to_json().into(),
                said: Said::Command(command),
            }
        );
        assert!(line.contains(r#""timestamp":"1970-01-01T00:00:00.000Z""#));
    }

    #[test]
    fn a_line_of_the_endpoint_says_so() {
        let entry = read(&endpoint_line(TIME, &note("restarted")));
        assert_eq!(entry.from, From::Endpoint);
        assert_eq!(entry.said, Said::Ext(Ext::Note("restarted".into())));
    }

    #[test]
    fn a_blob_is_named_beside_what_was_cut() {
        let hash = ContentHash::of(b"x");
        let mut message = update("r", json!({"sessionUpdate": "status", "status": "ok"}));
        name_blob(&mut message, hash);
        assert_eq!(message["params"]["_meta"]["ashore"]["blobs"], json!([hash]));
        assert_eq!(said(&message), Said::Update(Update::Status("ok".into())));
        let mut answer = prompt_response(&json!(1), "end_turn", false);
        name_blob(&mut answer, hash);
        assert_eq!(answer["result"]["_meta"]["ashore"]["blobs"], json!([hash]));
    }
}
