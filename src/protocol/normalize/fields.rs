//! Looking into an object: null is absent, a wrong type is said (contract 5.4, rule 8).
//!
//! Pure.

use serde_json::{Map, Value};

/// A field of the wrong type, or one that must be there and is not: the event is kept raw.
pub(super) struct Odd;

pub(super) type Read<T> = Result<T, Odd>;

/// A field that is there and not null.
pub(super) fn present<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// An object, looked into by name.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value) -> Read<Self> {
        value.as_object().map(Self).ok_or(Odd)
    }

    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        present(self.0, key)
    }

    /// True also for a null.
    pub(super) fn has(self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn text(self, key: &str) -> Read<Option<String>> {
        self.get(key)
            .map(|value| value.as_str().map(str::to_owned).ok_or(Odd))
            .transpose()
    }

    /// The first of these that is there.
    pub(super) fn text_of(self, keys: &[&str]) -> Read<Option<String>> {
        for key in keys {
            if let Some(text) = self.text(key)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    pub(super) fn must(self, keys: &[&str]) -> Read<String> {
        self.text_of(keys)?.ok_or(Odd)
    }

    /// A count; a fraction is cut, what is below nothing is nothing.
    pub(super) fn count(self, key: &str) -> Read<Option<u64>> {
        self.get(key)
            .map(|value| match (value.as_u64(), value.as_f64()) {
                (Some(count), _) => Ok(count),
                (None, Some(number)) => Ok(number.max(0.0) as u64),
                (None, None) => Err(Odd),
            })
            .transpose()
    }

    pub(super) fn list(self, key: &str) -> Read<Option<&'a [Value]>> {
        self.get(key)
            .map(|value| value.as_array().map(Vec::as_slice).ok_or(Odd))
            .transpose()
    }

    pub(super) fn object(self, key: &str) -> Read<Option<Fields<'a>>> {
        self.get(key).map(Self::of).transpose()
    }

    /// Texts only; anything else in the list is left out.
    pub(super) fn texts(self, keys: &[&str]) -> Read<Vec<String>> {
        for key in keys {
            if let Some(list) = self.list(key)? {
                return Ok(list
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect());
            }
        }
        Ok(Vec::new())
    }

    /// `_meta.ashore.{key}`.
    pub(super) fn ours(self, key: &str) -> Option<&'a Value> {
        self.get("_meta")?.get("ashore")?.get(key)
    }

    /// `_meta.claudeCode.{key}`.
    pub(super) fn claude(self, key: &str) -> Option<&'a Value> {
        let value = self.get("_meta")?.get("claudeCode")?.get(key)?;
        (!value.is_null()).then_some(value)
    }
}
