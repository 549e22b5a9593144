//! What an agent sent that is no text: images, sounds, other files. Found again in the line that brought it.
//!
//! Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::protocol::acp::{Block, ToolContent};
use crate::protocol::ids::Seq;
use crate::session::transcript::{Body, Cell};

/// Whose pieces are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The line that brought it, or the first one of the call.
    pub from: Seq,
    /// The call that shows it.
    pub call: Option<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What the name of its file begins with.
    pub stem: &'static str,
    pub extension: String,
    pub bytes: Vec<u8>,
}

/// What of a cell can be saved; `None` when it is all text.
pub(crate) fn of(cell: &Cell) -> Option<Wanted> {
    let wanted = |call| Wanted {
        from: cell.seq,
        call,
    };
    match &cell.body {
        Body::Attachment(_) => Some(wanted(None)),
        Body::Tool(tool) => {
            let holds = tool.content.iter().any(|content| match content {
                ToolContent::Block(block) => is_piece(block),
                ToolContent::Diff { .. } | ToolContent::Terminal(_) | ToolContent::Unknown(_) => {
                    false
                }
            });
            holds.then(|| wanted(Some(tool.id.clone())))
        }
        Body::User { .. }
        | Body::Agent { .. }
        | Body::Thought { .. }
        | Body::Notice(_)
        | Body::TurnEnd { .. } => None,
    }
}

fn is_piece(block: &Block) -> bool {
    match block {
        Block::Image { .. } | Block::Audio { .. } | Block::Resource { text: None, .. } => true,
        Block::Text(_) | Block::Link { .. } | Block::Resource { .. } | Block::Unknown(_) => false,
    }
}

/// The pieces in a line of the journal; with a call, only in what is said of that. `None`: the line is about something
/// else.
pub(crate) fn in_line(line: &[u8], wanted: &Wanted) -> Option<Vec<Piece>> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let whole = match &wanted.call {
        None => &line,
        Some(call) => of_call(&line, call)?,
    };
    let mut pieces = Vec::new();
    walk(whole, &mut pieces);
    Some(pieces)
}

/// The part of a line that is about this call.
fn of_call<'a>(value: &'a Value, call: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) if fields.get("toolCallId").and_then(Value::as_str) == Some(call) => {
            Some(value)
        }
        Value::Object(fields) => fields.values().find_map(|value| of_call(value, call)),
        Value::Array(list) => list.iter().find_map(|value| of_call(value, call)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn walk(value: &Value, pieces: &mut Vec<Piece>) {
    match value {
        Value::Object(fields) => match piece(fields) {
            Some(piece) => pieces.push(piece),
            None => fields.values().for_each(|value| walk(value, pieces)),
        },
        Value::Array(list) => list.iter().for_each(|value| walk(value, pieces)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

fn piece(fields: &serde_json::Map<String, Value>) -> Option<Piece> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let (stem, data) = match text("type") {
        Some("image") => ("image", text("data")?),
        Some("audio") => ("audio", text("data")?),
        _ => ("file", text("blob")?),
    };
    let bytes = STANDARD.decode(data.trim()).ok()?;
    let extension = extension(
        text("mimeType").unwrap_or_default(),
        text("uri").unwrap_or_default(),
    );
    Some(Piece {
        stem,
        extension,
        bytes,
    })
}

/// From its kind, else from its address; letters and digits only.
fn extension(mime: &str, uri: &str) -> String {
    let kind = mime.rsplit('/').next().unwrap_or_default();
    let kind = kind.split(['+', ';']).next().unwrap_or_default();
    let kind = match kind {
        "jpeg" => "jpg",
        "mpeg" => "mp3",
        "plain" => "txt",
        "octet-stream" | "" => uri
            .rsplit(['/', '.'])
            .next()
            .filter(|_| uri.contains('.'))
            .unwrap_or("bin"),
        kind => kind.trim_start_matches("x-"),
    };
    let plain = !kind.is_empty()
        && kind.len() <= 8
        && kind.chars().all(|char| char.is_ascii_alphanumeric());
    if plain {
        kind.to_lowercase()
    } else {
        "bin".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pieces_are_found_wherever_they_stand_in_a_line() {
        let image = json!({"type": "image", "mimeType": "image/png", "data": "Zm9v"});
        let blob =
            json!({"type": "resource", "resource": {"uri": "file:///a/b.PDF", "blob": "Zm8="}});
        let chunk = json!({"notification": {"params": {"update": {"sessionUpdate": "agent_message_chunk", "content": image}}}});
        let call = json!({"notification": {"params": {"update": {"toolCallId": "a", "content": [
            {"type": "content", "content": image}, {"type": "content", "content": blob}, {"type": "content", "content": {"type": "image", "data": "%%"}}]}}}});
        let png = |stem| Piece {
            stem,
            extension: "png".into(),
            bytes: b"foo".into(),
        };
        let pdf = Piece {
            stem: "file",
            extension: "pdf".into(),
            bytes: b"fo".into(),
        };
        let wanted = |call: Option<&str>| Wanted {
            from: Seq(1),
            call: call.map(str::to_owned),
        };
        let table = [
            (&chunk, None, Some(vec![png("image")])),
            (&call, Some("a"), Some(vec![png("image"), pdf])),
            (&call, Some("b"), None),
            (&chunk, Some("a"), None),
        ];
        for (line, of, found) in table {
            assert_eq!(
                in_line(line.to_string().as_bytes(), &wanted(of)),
                found,
                "{of:?}"
            );
        }
        assert_eq!(in_line(b"no line", &wanted(None)), None);
    }

    #[test]
    fn the_name_of_a_file_ends_in_its_kind_and_in_nothing_else() {
        let table = [
            ("image/png", "", "png"),
            ("image/jpeg", "", "jpg"),
            ("image/svg+xml", "", "svg"),
            ("application/x-tar", "", "tar"),
            ("", "file:///x/y.TXT", "txt"),
            ("", "", "bin"),
            ("image/../../x", "", "x"),
            ("image/a b", "", "bin"),
            ("", "a.b/../../c d", "bin"),
        ];
        for (mime, uri, wanted) in table {
            assert_eq!(extension(mime, uri), wanted, "{mime} {uri}");
        }
    }
}
