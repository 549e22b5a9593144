//! The line tap between the child and the ACP library: which lines the library never sees, and what becomes of them.
//!
//! Pure. An update is kept as the bytes it was, its half surrogates repaired (contract 5.4) and its `sessionId` set to
//! the run's; nothing else in it is touched, not even what no schema knows.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// What becomes of one line of the child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tapped {
    /// A `session/update`, ready for the journal.
    Update { message: String, tool: Option<Tool> },
    /// Another notification that only a screen could use, kept as it is.
    Extra(String),
    /// For the library.
    Pass(String),
    /// Not JSON-RPC, or a name that only our own side may say.
    Drop,
}

/// A tool call that an update is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) id: String,
    pub(crate) ended: bool,
}

/// Sorts one line; `run` takes the place of the child's own session id.
pub(crate) fn tap(line: &[u8], run: &str) -> Tapped {
    let text = String::from_utf8_lossy(line);
    let text = repair(text.trim());
    let Ok(message) = serde_json::from_str::<Fields<'_>>(&text) else {
        return Tapped::Drop;
    };
    let method = message
        .get("method")
        .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let Some(method) = method.filter(|_| message.get("id").is_none()) else {
        return Tapped::Pass(text.into_owned());
    };
    match method.as_str() {
        "session/update" => Tapped::Update {
            message: relabel(&message, run),
            tool: tool(&message),
        },
        _ if is_ours(&method) => Tapped::Drop,
        _ if method.starts_with('_') => Tapped::Extra(text.into_owned()),
        _ => Tapped::Pass(text.into_owned()),
    }
}

/// Names under which the agent side and the endpoint speak: a child that used them could forge a turn's end.
fn is_ours(method: &str) -> bool {
    let name = method.trim_start_matches('_');
    ["posthog/", "array/", "ashore/"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// An object's fields in their order, the values untouched.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl Fields<'_> {
    fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, v)| *v)
    }

    fn write(&self, replace: impl Fn(&str) -> Option<String>) -> String {
        let fields: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| {
                let value = replace(key).map_or(Cow::Borrowed(value.get()), Cow::Owned);
                format!("{}:{value}", quoted(key))
            })
            .collect();
        format!("{{{}}}", fields.join(","))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(Read)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn relabel(message: &Fields<'_>, run: &str) -> String {
    let params = message
        .get("params")
        .and_then(|raw| serde_json::from_str::<Fields<'_>>(raw.get()).ok())
        .map(|params| params.write(|key| (key == "sessionId").then(|| quoted(run))));
    message.write(|key| params.clone().filter(|_| key == "params"))
}

/// The tool call that the update is about, if it is about one.
fn tool(message: &Fields<'_>) -> Option<Tool> {
    let params = message.get("params")?.get();
    memchr::memmem::find(params.as_bytes(), b"tool_call")?;
    let params: serde_json::Value = serde_json::from_str(params).ok()?;
    let update = params.get("update")?;
    let text = |key| update.get(key).and_then(serde_json::Value::as_str);
    Some(Tool {
        id: text("toolCallId")?.to_owned(),
        ended: matches!(text("status"), Some("completed" | "failed")),
    })
}

/// Replaces each half of a surrogate pair that stands alone by `\ufffd`: a token split an emoji.
fn repair(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    if memchr::memmem::find_iter(bytes, b"\\u").all(|at| surrogate(&bytes[at..]).is_none()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        let escape = at + found;
        let rest = &bytes[escape..];
        at = match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => escape + 12,
            (Some(_), _) => {
                out.push_str(&text[from..escape]);
                out.push_str("\\ufffd");
                from = escape + 6;
                from
            }
            // Any other escape, `\\` above all, is two bytes of ASCII or ends the text.
            (None, _) => (escape + 2).min(bytes.len()),
        };
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

/// The code of a `\uD8xx`…`\uDFxx` escape that stands here.
fn surrogate(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let code = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..=0xdfff).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_its_bytes_but_for_the_session_id() {
        let line = br#" {"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"theirs","update":{"sessionUpdate":"weird", "n":1.50e3,"deep":{"sessionId":"stays"}},"x":[ 1]},"extra":null}"#;
        let Tapped::Update { message, tool } = tap(line, "run-1") else {
            panic!("is an update");
        };
        assert_eq!(
            message,
            r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"run-1","update":{"sessionUpdate":"weird", "n":1.50e3,"deep":{"sessionId":"stays"}},"x":[ 1]},"extra":null}"#
        );
        assert_eq!(tool, None);
    }

    #[test]
    fn half_surrogates_are_repaired_and_whole_ones_kept() {
        let table = [
            (r"a\ud83d", r"a\ufffd"),
            (r"\uDE00b", r"\ufffdb"),
            (r"\ud83d\ude00", r"\ud83d\ude00"),
            (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
            (r"\\ud83d", r"\\ud83d"),
            (r"\\\ud83d", r"\\\ufffd"),
            (r"\ud83dé\u00e9", r"\ufffdé\u00e9"),
            (r"\", r"\"),
            (r"\ud8", r"\ud8"),
        ];
        for (broken, whole) in table {
            assert_eq!(repair(broken), whole, "{broken}");
        }
    }

    #[test]
    fn requests_answers_and_foreign_notifications_go_to_the_library() {
        for line in [
            r#"{"jsonrpc":"2.0","id":0,"method":"session/request_permission","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":3,"result":{}}"#,
            r#"{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":0}}"#,
        ] {
            assert_eq!(tap(line.as_bytes(), "r"), Tapped::Pass(line.to_owned()));
        }
        let extra = r#"{"method":"_auth/status_update","params":{}}"#;
        assert_eq!(tap(extra.as_bytes(), "r"), Tapped::Extra(extra.to_owned()));
    }

    #[test]
    fn noise_and_forged_names_are_dropped() {
        for line in [
            "Debugger attached.",
            "[1]",
            "",
            "{",
            r#"{"method":"_posthog/file_sync","params":{}}"#,
            r#"{"method":"__posthog/turn_complete","params":{}}"#,
            r#"{"method":"_ashore/step","params":{}}"#,
        ] {
            assert_eq!(tap(line.as_bytes(), "r"), Tapped::Drop, "{line}");
        }
        assert_eq!(tap(b"\xff\xfe{", "r"), Tapped::Drop);
    }

    #[test]
    fn the_end_of_a_tool_call_is_seen_even_for_one_never_announced() {
        let line = |status: &str| {
            format!(
                r#"{{"method":"session/update","params":{{"update":{{"sessionUpdate":"tool_call_update","toolCallId":"t9","status":"{status}"}}}}}}"#
            )
        };
        for (status, ended) in [
            ("completed", true),
            ("failed", true),
            ("in_progress", false),
        ] {
            let Tapped::Update { tool, .. } = tap(line(status).as_bytes(), "r") else {
                panic!("is an update");
            };
            let id = "t9".to_owned();
            assert_eq!(tool, Some(Tool { id, ended }));
        }
    }
}
