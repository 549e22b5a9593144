//! What a client may say to an agent: the bodies of `POST R/sync` (contract 3 and 10.2).
//!
//! Pure. An unknown method is kept, never refused: the reference accepts it and the agent ignores it.

use serde_json::{Value, json};

use crate::protocol::amend::Amendment;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::heavy;
use crate::protocol::ids::CommandId;
use crate::protocol::path::RelPath;

/// One command and its idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// A foreign client sends none; the endpoint then gives it one.
    pub id: Option<CommandId>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    UserMessage(Prompt),
    Cancel,
    Close,
    Permission(PermissionReply),
    SetMode(String),
    SetConfig {
        id: String,
        value: Value,
    },
    /// A message that waits is to change.
    Amend(Amendment),
    FileChanged(Vec<LocalChange>),
    Presence {
        attached: bool,
        read_only: bool,
    },
    Other {
        method: String,
        params: Value,
    },
}

/// A user's words: plain text, and beside it the ACP blocks when there is more than text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    pub text: String,
    pub blocks: Option<Vec<Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionReply {
    pub request: String,
    pub tool_call: String,
    /// `_cancelled` means none of them.
    pub option: String,
    pub text: Option<String>,
}

/// A change made on the client's side, with what it was based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalChange {
    pub path: RelPath,
    pub hash: Option<ContentHash>,
    /// In bytes.
    pub size: u64,
    pub mode: Mode,
    /// What stood there before the change, as far as the client knows.
    pub base: Option<ContentHash>,
    /// `None` also when an older client does not say.
    pub base_mode: Option<Mode>,
}

/// A body that is no command at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCommand {
    #[error("body must be an object")]
    NotAnObject,
    #[error("`method` must be a string")]
    NoMethod,
    #[error("`id` must be a string of letters, digits, `-` and `_`, or a number")]
    Id,
    #[error("`params` of `{method}` must have {what}")]
    Params { method: String, what: &'static str },
}

impl Command {
    /// A command of ours, with a fresh id.
    pub fn new(what: What) -> Self {
        Self {
            id: Some(CommandId::random()),
            what,
        }
    }

    pub fn user_message(text: impl Into<String>) -> Self {
        Self::new(What::UserMessage(Prompt {
            text: text.into(),
            blocks: None,
        }))
    }

    pub fn method(&self) -> &str {
        match &self.what {
            What::UserMessage(_) => "_posthog/user_message",
            What::Cancel => "_posthog/cancel",
            What::Close => "_posthog/close",
            What::Permission(_) => "_posthog/permission_response",
            What::SetMode(_) => "_ashore/set_mode",
            What::SetConfig { .. } => "_ashore/set_config_option",
            What::Amend(amendment) => amendment.method(),
            What::FileChanged(_) => "_ashore/file_changed",
            What::Presence { .. } => "_ashore/presence",
            What::Other { method, .. } => method,
        }
    }

    /// The JSON-RPC body.
    pub fn to_json(&self) -> Value {
        let params = match &self.what {
            What::UserMessage(prompt) => prompt.params(),
            What::Cancel | What::Close => json!({}),
            What::Permission(reply) => {
                let mut params = json!({"requestId": reply.request, "toolCallId": reply.tool_call, "optionId": reply.option});
                if let Some(text) = &reply.text {
                    params["customInput"] = json!(text);
                }
                params
            }
            What::SetMode(mode) => json!({"modeId": mode}),
            What::SetConfig { id, value } => json!({"configId": id, "value": value}),
            What::Amend(amendment) => amendment.params(),
            What::FileChanged(changes) => {
                json!({"changes": changes.iter().map(LocalChange::to_json).collect::<Vec<_>>()})
            }
            What::Presence {
                attached,
                read_only,
            } => json!({"attached": attached, "readOnly": read_only}),
            What::Other { params, .. } => params.clone(),
        };
        let mut body = json!({"jsonrpc": "2.0", "method": self.method(), "params": params});
        if let Some(id) = &self.id {
            body["id"] = json!(id);
        }
        body
    }

    /// Reads a body from outside. Numbers are taken as ids too: some JSON-RPC libraries count.
    pub fn from_json(body: &Value) -> Result<Self, BadCommand> {
        let object = body.as_object().ok_or(BadCommand::NotAnObject)?;
        let method = object
            .get("method")
            .and_then(Value::as_str)
            .ok_or(BadCommand::NoMethod)?;
        let id = match object.get("id") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.parse().map_err(|_| BadCommand::Id)?),
            Some(Value::Number(number)) => {
                Some(number.to_string().parse().map_err(|_| BadCommand::Id)?)
            }
            Some(_) => return Err(BadCommand::Id),
        };
        let params = object.get("params").cloned().unwrap_or_else(|| json!({}));
        Ok(Self {
            id,
            what: read(method, params)?,
        })
    }
}

fn read(method: &str, params: Value) -> Result<What, BadCommand> {
    let bad = |what| BadCommand::Params {
        method: method.to_owned(),
        what,
    };
    let text = |key: &str| params.get(key).and_then(Value::as_str).map(str::to_owned);
    let name = method
        .strip_prefix("__")
        .map_or_else(|| method.to_owned(), |rest| format!("_{rest}"));
    if let Some(amendment) = Amendment::read(&name, &params) {
        return amendment.map(What::Amend).map_err(bad);
    }
    Ok(match name.as_str() {
        "_posthog/user_message" => {
            What::UserMessage(Prompt::read(&params).ok_or_else(|| bad("`content`, a string"))?)
        }
        "_posthog/cancel" => What::Cancel,
        "_posthog/close" => What::Close,
        "_posthog/permission_response" => What::Permission(PermissionReply {
            request: text("requestId")
                .or_else(|| text("toolCallId"))
                .ok_or_else(|| bad("`requestId`"))?,
            tool_call: text("toolCallId").unwrap_or_default(),
            option: text("optionId").ok_or_else(|| bad("`optionId`"))?,
            text: text("customInput"),
        }),
        "_ashore/set_mode" => What::SetMode(text("modeId").ok_or_else(|| bad("`modeId`"))?),
        "_ashore/set_config_option" => What::SetConfig {
            id: text("configId").ok_or_else(|| bad("`configId`"))?,
            value: params.get("value").cloned().ok_or_else(|| bad("`value`"))?,
        },
        "_ashore/file_changed" => {
            let changes = params
                .get("changes")
                .and_then(Value::as_array)
                .ok_or_else(|| bad("`changes`"))?;
            let read: Option<Vec<_>> = changes.iter().map(LocalChange::from_json).collect();
            What::FileChanged(read.ok_or_else(|| {
                bad("`changes` with a relative path below the root and a hash each")
            })?)
        }
        "_ashore/presence" => What::Presence {
            attached: params
                .get("attached")
                .and_then(Value::as_bool)
                .unwrap_or(true),
            read_only: params
                .get("readOnly")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        },
        _ => What::Other {
            method: method.to_owned(),
            params,
        },
    })
}

impl Prompt {
    pub(super) fn params(&self) -> Value {
        match &self.blocks {
            None => json!({"content": self.text}),
            Some(blocks) => json!({"content": self.text, "blocks": blocks}),
        }
    }

    /// There is more to it than its words tell: an image, a file, or words too long for a journal line.
    pub fn is_partial(&self) -> bool {
        let is_words = |block: &Value| block["type"] == "text" && heavy::whole_of(block).is_none();
        self.blocks.iter().flatten().any(|block| !is_words(block))
    }

    /// Words, blocks, or both.
    pub(super) fn read(params: &Value) -> Option<Self> {
        let blocks = params.get("blocks").and_then(Value::as_array).cloned();
        let text = match params.get("content") {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) if blocks.is_some() => String::new(),
            _ => return None,
        };
        Some(Self { text, blocks })
    }
}

impl LocalChange {
    /// What stands there now on the client's side; `None` after a delete.
    pub fn now(&self) -> Option<FileState> {
        self.hash.map(|hash| FileState {
            hash,
            size: self.size,
            mode: self.mode,
        })
    }

    fn to_json(&self) -> Value {
        json!({"relativePath": self.path, "contentHash": self.hash, "size": self.size, "mode": self.mode, "baseHash": self.base, "baseMode": self.base_mode})
    }

    fn from_json(value: &Value) -> Option<Self> {
        let hash = |key: &str| match value.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(text) => text.as_str()?.parse().ok().map(Some),
        };
        Some(Self {
            path: value.get("relativePath")?.as_str()?.parse().ok()?,
            hash: hash("contentHash")?,
            size: value.get("size").and_then(Value::as_u64).unwrap_or(0),
            mode: value
                .get("mode")
                .and_then(|mode| serde_json::from_value(mode.clone()).ok())
                .unwrap_or_default(),
            base: hash("baseHash")?,
            base_mode: value
                .get("baseMode")
                .and_then(|mode| serde_json::from_value(mode.clone()).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::amend::Amend;

    fn amend(how: Amend) -> What {
        What::Amend(Amendment {
            command: CommandId::random(),
            how,
        })
    }

    #[test]
    fn every_command_reads_back_as_it_was_written() {
        let path: RelPath = "src/a.rs".parse().expect("fits");
        let all = [
            What::UserMessage(Prompt {
                text: "hi".into(),
                blocks: None,
            }),
            What::UserMessage(Prompt {
                text: String::new(),
                blocks: Some(vec![json!({"type": "text", "text": "x"})]),
            }),
            What::Cancel,
            What::Close,
            What::Permission(PermissionReply {
                request: "r".into(),
                tool_call: "t".into(),
                option: "o".into(),
                text: Some("no".into()),
            }),
            What::SetMode("plan".into()),
            What::SetConfig {
                id: "web".into(),
                value: json!(true),
            },
            amend(Amend::Remove),
            amend(Amend::Steer),
            amend(Amend::Move { before: None }),
            amend(Amend::Move {
                before: Some(CommandId::random()),
            }),
            amend(Amend::Edit(Prompt {
                text: "other words".into(),
                blocks: None,
            })),
            What::FileChanged(vec![LocalChange {
                path,
                hash: None,
                size: 0,
                mode: Mode::File,
                base: Some(ContentHash::of(b"")),
                base_mode: Some(Mode::Executable),
            }]),
            What::Presence {
                attached: true,
                read_only: false,
            },
            What::Other {
                method: "_x/y".into(),
                params: json!({"a": 1}),
            },
        ];
        for what in all {
            let command = Command::new(what);
            assert_eq!(Command::from_json(&command.to_json()), Ok(command));
        }
    }

    #[test]
    fn the_curl_of_the_reference_needs_neither_jsonrpc_nor_id() {
        let body = json!({"method": "_posthog/user_message", "params": {"content": "go"}});
        let read = Command::from_json(&body).expect("is one");
        assert_eq!(
            read,
            Command {
                id: None,
                what: What::UserMessage(Prompt {
                    text: "go".into(),
                    blocks: None
                })
            }
        );
    }

    #[test]
    fn what_is_no_command_is_refused_with_a_reason() {
        assert_eq!(
            Command::from_json(&json!(["x"])),
            Err(BadCommand::NotAnObject)
        );
        assert_eq!(
            Command::from_json(&json!({"params": {}})),
            Err(BadCommand::NoMethod)
        );
        assert_eq!(
            Command::from_json(&json!({"method": "m", "id": {}})),
            Err(BadCommand::Id)
        );
        assert!(
            Command::from_json(
                &json!({"method": "_posthog/user_message", "params": {"content": 3}})
            )
            .is_err()
        );
    }
}
