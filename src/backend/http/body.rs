//! Reads a request's body: bounded, repaired, JSON.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde_json::{Map, Value};

use crate::backend::http::error::Refusal;
use crate::backend::line::repaired;

/// Of ordinary JSON, in bytes.
pub const ORDINARY: usize = 1024 * 1024;
/// How much of a body that is too large is read and thrown away, so that its sender gets to read the answer.
const DRAIN: usize = 32 * 1024 * 1024;

pub async fn bytes(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut held = BytesMut::new();
    let mut size = 0;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Refusal::body("the body broke off"))?;
        size += piece.len();
        if size <= limit {
            held.extend_from_slice(&piece);
        } else if size > limit + DRAIN {
            break;
        }
    }
    if size > limit {
        return Err(Refusal::too_large(limit));
    }
    Ok(held.freeze())
}

pub async fn text(body: Body, limit: usize) -> Result<String, Refusal> {
    Ok(repaired(&bytes(body, limit).await?))
}

/// A JSON object; an empty body is an empty one.
pub async fn object(body: Body, limit: usize) -> Result<Map<String, Value>, Refusal> {
    let text = text(body, limit).await?;
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Refusal::body("body must be an object")),
        Err(why) => Err(Refusal::body(format!("the body is not JSON: {why}"))),
    }
}

/// The fields of an object, each read as what it must be.
pub struct Fields<'a>(pub &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// Absent stays `None`; null is `Some(None)`.
    pub fn text(&self, name: &str, longest: usize) -> Result<Option<Option<&'a str>>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) if text.chars().count() <= longest => {
                Ok(Some(Some(text.as_str())))
            }
            Some(Value::String(_)) => Err(Refusal::field(
                name,
                "max_length",
                format!("`{name}` has at most {longest} characters"),
            )),
            Some(_) => Err(wrong(name, "a string or null")),
        }
    }

    /// Absent stays `None`; null is `Some(None)`.
    pub fn object(&self, name: &str) -> Result<Option<Option<&'a Map<String, Value>>>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Object(object)) => Ok(Some(Some(object))),
            Some(_) => Err(wrong(name, "an object")),
        }
    }

    /// A number or null.
    pub fn number(&self, name: &str) -> Result<Option<Option<i64>>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Number(number)) => {
                let number = number
                    .as_i64()
                    .ok_or_else(|| wrong(name, "a whole number"))?;
                Ok(Some(Some(number)))
            }
            Some(_) => Err(wrong(name, "a number or null")),
        }
    }
}

pub fn wrong(name: &str, what: &str) -> Refusal {
    Refusal::field(name, "invalid_input", format!("`{name}` must be {what}"))
}

pub fn required(name: &str) -> Refusal {
    Refusal::field(name, "required", format!("`{name}` is required"))
}
