//! A JSON-RPC message as it came. Reading it whole costs more than everything else about a line, so that is done when
//! somebody asks.
//!
//! Pure.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What an entry was made from. Two are equal when they say the same.
#[derive(Debug, Clone)]
pub struct Message(Form);

#[derive(Debug, Clone)]
enum Form {
    Read(Value),
    /// The `notification` of this line, which is JSON and holds one; an update of the session that stands at `session`.
    Line {
        line: Box<str>,
        session: Range<usize>,
    },
}

impl Message {
    /// An update: `session` is where the text of its `params.sessionId` stands in the line.
    pub(crate) fn update_in(line: &str, session: Range<usize>) -> Self {
        Self(Form::Line {
            line: line.into(),
            session,
        })
    }

    /// The whole of it.
    pub fn value(&self) -> Cow<'_, Value> {
        match &self.0 {
            Form::Read(value) => Cow::Borrowed(value),
            Form::Line { line, .. } => Cow::Owned(
                serde_json::from_str::<Value>(line)
                    .ok()
                    .and_then(|mut line| Some(line.get_mut("notification")?.take()))
                    .unwrap_or_default(),
            ),
        }
    }

    /// `params.sessionId`, when it is a text.
    pub fn session(&self) -> Option<&str> {
        match &self.0 {
            Form::Read(value) => value.pointer("/params/sessionId")?.as_str(),
            Form::Line { line, session } => line.get(session.clone()),
        }
    }

    /// About how much memory it holds, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match &self.0 {
            // What is read already is more than its text, and how much nobody has counted.
            Form::Read(_) => usize::MAX,
            Form::Line { line, .. } => line.len(),
        }
    }
}

impl From<Value> for Message {
    fn from(value: Value) -> Self {
        Self(Form::Read(value))
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}
