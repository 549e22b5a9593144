//! The lines that nearly all of a journal consists of, read in one go: a wrapped update that is a piece of text or a
//! step of a tool call, with no field but those known here.
//!
//! Pure. Anything else, whatever is unusual about it, is left to the other way, which knows every shape; both ways say
//! the same of a line that both can read.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::protocol::acp::{Block, Chunk, ToolKind, ToolPatch, ToolStatus, Update};
use crate::protocol::entry::{Entry, From, Said};
use crate::protocol::message::Message;
use crate::protocol::normalize::tool;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    r#type: &'a str,
    timestamp: &'a str,
    #[serde(borrow)]
    notification: Notification<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Notification<'a> {
    #[serde(rename = "jsonrpc")]
    _jsonrpc: &'a str,
    method: &'a str,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Params<'a> {
    session_id: &'a str,
    #[serde(borrow)]
    update: Fields<'a>,
}

/// `None` is a field that is absent, or null, which is the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields<'a> {
    session_update: &'a str,
    content: Option<Content>,
    tool_call_id: Option<String>,
    title: Option<String>,
    kind: Option<&'a str>,
    status: Option<&'a str>,
    locations: Option<Vec<Value>>,
    raw_input: Option<Value>,
    raw_output: Option<Value>,
}

enum Content {
    /// A block of text and nothing else.
    Text(String),
    List(Vec<Value>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// Told by what it begins with, so that nothing is gone over twice.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a block of text, or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let (mut kind, mut text) = (None, None);
        while let Some(key) = map.next_key::<&str>()? {
            match (key, &kind, &text) {
                ("type", None, _) => kind = Some(map.next_value::<&str>()?),
                ("text", _, None) => text = Some(map.next_value()?),
                _ => return Err(A::Error::custom("more than a block of text")),
            }
        }
        match (kind, text) {
            (Some("text"), Some(text)) => Ok(Content::Text(text)),
            _ => Err(A::Error::custom("no block of text")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = seq.next_element()? {
            list.push(one);
        }
        Ok(Content::List(list))
    }
}

/// `None`: read it the other way.
pub(super) fn entry(text: &str) -> Option<Entry> {
    let line: Line = serde_json::from_str(text).ok()?;
    let params = line.notification.params;
    if line.r#type != "notification" || line.notification.method != "session/update" {
        return None;
    }
    let update = match params.update.session_update {
        "agent_message_chunk" => Update::AgentChunk(chunk(params.update)?),
        "agent_thought_chunk" => Update::ThoughtChunk(chunk(params.update)?),
        "tool_call" => Update::Tool(call(params.update, true)?),
        "tool_call_update" => Update::Tool(call(params.update, false)?),
        _ => return None,
    };
    // It is a part of the text: nothing in it was escaped.
    let begin = params.session_id.as_ptr() as usize - text.as_ptr() as usize;
    Some(Entry {
        timestamp: line.timestamp.parse().ok(),
        from: From::Agent,
        who: None,
        command: None,
        ends: None,
        message: Message::update_in(text, begin..begin + params.session_id.len()),
        said: Said::Update(update),
    })
}

fn chunk(fields: Fields) -> Option<Chunk> {
    let strange = fields.tool_call_id.is_some()
        || fields.title.is_some()
        || fields.kind.or(fields.status).is_some()
        || fields.locations.is_some()
        || fields.raw_input.or(fields.raw_output).is_some();
    match fields.content? {
        Content::Text(text) if !strange => Some(Chunk {
            block: Block::Text(text),
            message_id: None,
            command: None,
        }),
        Content::Text(_) | Content::List(_) => None,
    }
}

fn call(fields: Fields, announces: bool) -> Option<ToolPatch> {
    let content = match fields.content {
        Some(Content::List(list)) => Some(tool::list(&Value::Array(list)).ok()?),
        Some(Content::Text(_)) => return None,
        None => None,
    };
    let locations = match fields.locations {
        Some(locations) => Some(tool::locations(&locations).ok()?),
        None => None,
    };
    Some(ToolPatch {
        id: fields.tool_call_id?,
        title: fields.title,
        name: None,
        kind: fields.kind.map(ToolKind::parse),
        status: fields.status.map(ToolStatus::parse),
        content,
        locations,
        raw_input: fields.raw_input,
        raw_output: fields.raw_output,
        response: None,
        command: None,
        announces,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::normalize;

    fn line(update: &str) -> String {
        format!(
            r#"{{"type":"notification","timestamp":"2026-01-19T14:02:00.000Z","notification":{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s-1","update":{update}}}}}}}"#
        )
    }

    fn slowly(text: &str) -> Option<Entry> {
        Some(normalize::entry(normalize::json::parse(text)?))
    }

    const USUAL: [&str; 6] = [
        r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"a \"b\" \u00e9\ud83e\udd80\n"}}"#,
        r#"{"content":{"text":"","type":"text"},"sessionUpdate":"agent_thought_chunk","title":null}"#,
        r#"{"sessionUpdate":"tool_call","toolCallId":"c\n1","title":"Read \"x\"","kind":"read","status":"pending","locations":[{"path":"x","line":3},{"path":"y"}],"rawInput":{"b":1,"a":[null,1.5]}}"#,
        r#"{"sessionUpdate":"tool_call_update","toolCallId":"c1","status":"completed","content":[{"type":"content","content":{"type":"text","text":"out"}},{"type":"diff","path":"x","oldText":null,"newText":"y"},{"type":"new"}],"rawOutput":"text"}"#,
        r#"{"sessionUpdate":"tool_call_update","toolCallId":"c1","status":"never heard of","content":[]}"#,
        r#"{"sessionUpdate":"tool_call_update","toolCallId":"c1","content":null,"rawInput":null,"locations":[]}"#,
    ];

    /// Read by the other way, each for its own reason.
    const UNUSUAL: [&str; 16] = [
        r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"half \ud83e"}}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"x"},"messageId":"m"}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"x"},"title":"t"}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"image","data":"AAAA","mimeType":"image/png"}}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"x","annotations":{}}}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":[{"type":"text","text":"x"}]}"#,
        r#"{"sessionUpdate":"agent_message_chunk","sessionUpdate":"plan","content":{"type":"text","text":"x"}}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":{"text":"x"}}"#,
        r#"{"sessionUpdate":"tool_call_update","toolCallId":"c1","content":"text"}"#,
        r#"{"sessionUpdate":"tool_call_update","toolCallId":"c1","content":{"type":"text","text":"x"}}"#,
        r#"{"sessionUpdate":"tool_call_update","toolCallId":"c1","content":{"type":"terminal","terminalId":"t"}}"#,
        r#"{"sessionUpdate":"tool_call","title":"no id"}"#,
        r#"{"sessionUpdate":"tool_call","toolCallId":7}"#,
        r#"{"sessionUpdate":"tool_call","toolCallId":"c","_meta":{"claudeCode":{"toolName":"Bash"}}}"#,
        r#"{"sessionUpdate":"tool_call","toolCallId":"c","content":7}"#,
        r#"{"sessionUpdate":"plan","entries":[]}"#,
    ];

    #[test]
    fn what_is_usual_is_read_quickly_and_says_the_same() {
        for update in USUAL {
            let line = line(update);
            let quick = entry(&line);
            assert!(quick.is_some(), "{line}");
            assert_eq!(quick, slowly(&line), "{line}");
            let message = quick.map(|entry| entry.message).expect("checked above");
            assert_eq!(message.session(), Some("s-1"));
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_the_other_way() {
        for update in UNUSUAL {
            assert_eq!(entry(&line(update)), None, "{update}");
            assert!(slowly(&line(update)).is_some(), "{update}");
        }
        let usual = line(USUAL[0]);
        for (from, to) in [
            ("\"type\":\"notification\"", "\"type\":\"agent_event\""),
            ("\"timestamp\":\"2026-01-19T14:02:00.000Z\",", ""),
            ("\"jsonrpc\"", "\"id\":1,\"jsonrpc\""),
            ("\"s-1\"", "\"s\\u002d1\""),
            (
                "\"notification\":{",
                "\"from\":\"endpoint\",\"notification\":{",
            ),
            ("session/update", "_session/update"),
        ] {
            let line = usual.replacen(from, to, 1);
            assert_ne!(line, usual, "{from}");
            assert_eq!(entry(&line), None, "{line}");
        }
    }
}
