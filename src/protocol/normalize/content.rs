//! Content blocks, and the ways in which text stood where a block should (contract 5.1, 5.4).
//!
//! Pure.

use serde_json::Value;

use crate::protocol::acp::Block;
use crate::protocol::normalize::fields::{Fields, Odd, Read};

/// One block: an object with a type, or text alone.
pub(super) fn block(value: &Value) -> Read<Block> {
    if let Value::String(text) = value {
        return Ok(Block::Text(text.clone()));
    }
    let fields = Fields::of(value)?;
    let kind = fields.text("type")?;
    Ok(match kind.as_deref() {
        Some("text") => Block::Text(fields.text("text")?.unwrap_or_default()),
        Some("image") => Block::Image {
            mime: fields.text("mimeType")?.unwrap_or_default(),
            uri: fields.text("uri")?,
            bytes: decoded_length(fields)?,
        },
        Some("audio") => Block::Audio {
            mime: fields.text("mimeType")?.unwrap_or_default(),
            bytes: decoded_length(fields)?,
        },
        Some("resource_link") => {
            let uri = fields.must(&["uri"])?;
            Block::Link {
                name: fields.text("name")?.unwrap_or_else(|| uri.clone()),
                uri,
            }
        }
        Some("resource") => {
            let resource = fields.object("resource")?.ok_or(Odd)?;
            Block::Resource {
                uri: resource.text("uri")?.unwrap_or_default(),
                text: resource.text("text")?,
            }
        }
        None if fields.get("text").is_some() => Block::Text(fields.must(&["text"])?),
        Some(_) | None => Block::Unknown(value.clone()),
    })
}

/// What base64 `data` decodes to, in bytes.
fn decoded_length(fields: Fields<'_>) -> Read<usize> {
    let data = fields.text("data")?.unwrap_or_default();
    Ok(data.trim_end_matches('=').len() * 3 / 4)
}

/// The content of a message in any of its shapes: a block, text, a list of blocks, or `text` beside it.
pub(super) fn of_message(fields: Fields<'_>) -> Read<Block> {
    match fields.get("content") {
        Some(Value::Array(list)) if list.len() == 1 => block(&list[0]),
        // An entry says one thing: blocks that came together are told as one text.
        Some(Value::Array(list)) => joined(list).map(Block::Text),
        Some(content) => block(content),
        None => Ok(Block::Text(
            fields.text_of(&["text", "message"])?.ok_or(Odd)?,
        )),
    }
}

/// As text: what is no text is named in brackets.
pub(super) fn as_text(fields: Fields<'_>) -> Read<String> {
    Ok(plain(of_message(fields)?))
}

pub(super) fn joined(list: &[Value]) -> Read<String> {
    list.iter().map(|one| block(one).map(plain)).collect()
}

fn plain(block: Block) -> String {
    match block {
        Block::Text(text) => text,
        Block::Image { .. }
        | Block::Audio { .. }
        | Block::Link { .. }
        | Block::Resource { .. }
        | Block::Unknown(_) => block.label(),
    }
}

/// The words of a prompt, its text blocks joined with a line feed, and the labels of the other blocks.
pub(super) fn words(prompt: &Value) -> (String, Vec<String>) {
    let one = std::slice::from_ref(prompt);
    let list = match prompt {
        Value::Array(list) => list,
        Value::Null => &[][..],
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => one,
    };
    let mut texts = Vec::new();
    let mut labels = Vec::new();
    for value in list {
        match block(value) {
            Ok(Block::Text(text)) => texts.push(text),
            Ok(other) => labels.push(other.label()),
            Err(Odd) => labels.push(Block::Unknown(Value::Null).label()),
        }
    }
    (texts.join("\n"), labels)
}
