//! Makes journal lines out of what was sent: one line each, at most 256 KiB, stamped by whom the endpoint knows it is from.
//!
//! Pure. A line that fits is kept byte for byte; only a too long one is written anew, with its longest strings cut.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::protocol::hash::ContentHash;

/// The longest line of a journal, in bytes of UTF-8.
pub const LONGEST: usize = 256 * 1024;
/// Room for what the endpoint adds to a line.
const STAMPS: usize = 512;

/// A line before it has its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// One JSON object, no line ends in it.
    pub text: String,
    /// The same, read.
    pub value: Value,
    /// What was sent, when it had to be cut: to be stored as the blob that the line names.
    pub whole: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    #[error("every entry must be a JSON object")]
    NotAnObject,
}

impl Draft {
    /// A wrapper as an agent or a client sent it. The wrapper's fields that only the endpoint sets are dropped.
    pub fn sent(raw: &RawValue) -> Result<Self, BadLine> {
        let value: Value = serde_json::from_str(raw.get()).map_err(|_| BadLine::NotAnObject)?;
        let Value::Object(mut object) = value else {
            return Err(BadLine::NotAnObject);
        };
        let stamped = ["from", "src", "ends"]
            .map(|stamp| object.shift_remove(stamp).is_some())
            .contains(&true);
        let value = Value::Object(object);
        let text = if stamped {
            value.to_string()
        } else {
            // Line ends stand only between tokens in JSON.
            raw.get().replace(['\n', '\r'], " ")
        };
        Ok(Self::fitting(text, value))
    }

    /// A line of the endpoint's own.
    pub fn own(value: Value) -> Self {
        Self::fitting(value.to_string(), value)
    }

    fn fitting(text: String, mut value: Value) -> Self {
        if text.len() + STAMPS <= LONGEST {
            return Self {
                text,
                value,
                whole: None,
            };
        }
        cut(
            &mut value,
            LONGEST - STAMPS,
            ContentHash::of(text.as_bytes()),
        );
        Self {
            text: value.to_string(),
            value,
            whole: Some(text),
        }
    }

    /// Adds a field to the wrapper.
    #[must_use]
    pub fn stamp(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let comma = if self.value.as_object().is_none_or(Map::is_empty) {
            ""
        } else {
            ","
        };
        if let Some(end) = self.text.rfind('}') {
            let stamp = format!("{comma}{}:{value}}}", json!(key));
            self.text.replace_range(end.., &stamp);
        }
        self.value[key] = value;
        self
    }
}

/// Cuts the longest strings until the line fits; when strings are not what makes it long, everything but its name goes.
fn cut(line: &mut Value, limit: usize, whole: ContentHash) {
    name_blob(line, whole);
    let mut most = limit / 2;
    while most > 64 {
        shorten(line, most);
        if line.to_string().len() <= limit {
            return;
        }
        most /= 2;
    }
    empty(line, limit);
}

fn shorten(value: &mut Value, most: usize) {
    match value {
        Value::String(text) if text.len() > most => {
            text.truncate(text.floor_char_boundary(most));
            text.push('…');
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, most)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten(field, most)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

/// The largest subtree below the message's `params` (or `result`, `error`) becomes null, until it fits.
fn empty(line: &mut Value, limit: usize) {
    while line.to_string().len() > limit {
        let mut place = &mut *line;
        loop {
            let largest = match place {
                Value::Object(fields) => fields
                    .iter()
                    .filter(|(key, _)| *key != "_meta")
                    .max_by_key(|(_, field)| field.to_string().len())
                    .map(|(key, field)| (key.clone(), field.is_object())),
                _ => None,
            };
            let Some((key, deeper)) = largest else { return };
            place = &mut place[&key];
            if !deeper || place.to_string().len() <= limit / 2 {
                break;
            }
        }
        if place.is_null() {
            *line = json!({"type": "notification", "notification": null});
            return;
        }
        *place = Value::Null;
    }
}

/// Names the blob that holds the whole line, in the message's params if it has some.
fn name_blob(line: &mut Value, whole: ContentHash) {
    for message in ["notification", "event", "message"] {
        for body in ["params", "result"] {
            if let Some(Value::Object(body)) = line
                .get_mut(message)
                .and_then(|message| message.get_mut(body))
            {
                return insert(body, whole);
            }
        }
    }
    if let Value::Object(wrapper) = line {
        insert(wrapper, whole);
    }
}

fn insert(object: &mut Map<String, Value>, whole: ContentHash) {
    let meta = object.entry("_meta").or_insert_with(|| json!({}));
    if !meta.is_object() {
        *meta = json!({});
    }
    if !meta["ashore"].is_object() {
        meta["ashore"] = json!({});
    }
    meta["ashore"]["blobs"] = json!([whole]);
}

/// JSON from outside, as text; halves of a surrogate pair that stand alone become U+FFFD (contract 5.4, rule 1).
pub fn repaired(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if !text.contains("\\u") {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let size = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            // Another escape: the backslash and what it escapes.
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..size]);
        rest = &rest[size..];
    }
    out.push_str(rest);
    out
}

/// The code unit of the `\uXXXX` a text starts with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_line_that_fits_is_kept_byte_for_byte_and_gains_its_stamp_at_the_end() {
        let sent = raw("{\"type\":\"notification\",\n \"n\": 1.50e3}");
        let draft = Draft::sent(&sent).unwrap().stamp("src", "u:1");
        assert_eq!(
            draft.text,
            "{\"type\":\"notification\",  \"n\": 1.50e3,\"src\":\"u:1\"}"
        );
        assert_eq!(
            serde_json::from_str::<Value>(&draft.text).unwrap()["src"],
            "u:1"
        );
        assert_eq!(
            Draft::sent(&raw("{}")).unwrap().stamp("a", "b").text,
            r#"{"a":"b"}"#
        );
    }

    #[test]
    fn a_sender_cannot_put_the_endpoints_name_on_a_line() {
        let draft = Draft::sent(&raw(r#"{"from":"endpoint","src":"u:9","type":"x"}"#)).unwrap();
        assert_eq!(draft.text, r#"{"type":"x"}"#);
        assert_eq!(Draft::sent(&raw("[1]")), Err(BadLine::NotAnObject));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_names_the_blob_of_the_whole() {
        let long = "ä".repeat(300_000);
        let many: Vec<u32> = (0..200_000).collect();
        for update in [json!({"text": long}), json!({"numbers": many}), json!(many)] {
            let sent = json!({"type": "notification", "notification": {"method": "session/update", "params": {"update": update}}});
            let draft = Draft::sent(&raw(&sent.to_string())).unwrap();
            assert!(draft.text.len() + STAMPS <= LONGEST);
            let whole = draft.whole.expect("was cut");
            assert_eq!(whole, sent.to_string());
            let line: Value = serde_json::from_str(&draft.text).unwrap();
            assert_eq!(line["notification"]["method"], "session/update");
            assert_eq!(
                line["notification"]["params"]["_meta"]["ashore"]["blobs"],
                json!([ContentHash::of(whole.as_bytes())])
            );
        }
    }

    #[test]
    fn lone_surrogates_are_repaired_and_pairs_are_kept() {
        let sent = br#"["\ud83d\ude00","\ud83d","\\ud83d","\n\u00e9\ud83dx"]"#;
        let read: Value = serde_json::from_str(&repaired(sent)).unwrap();
        assert_eq!(read, json!(["😀", "\u{fffd}", "\\ud83d", "\né\u{fffd}x"]));
        for hostile in ["\\", "\\u", "\\ud8", "\\é", "\\ud800\\u"] {
            repaired(hostile.as_bytes());
        }
    }
}
