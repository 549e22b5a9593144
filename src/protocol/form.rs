//! A form that an agent wants filled in: ACP's `elicitation/create` with a flat schema.
//!
//! Pure. Texts, numbers, yes or no, one of several; anything deeper is no form of ours and is declined.

use serde_json::{Map, Value, json};

/// The kind of a question that is a form; its `rawInput` holds the schema (contract 10.3).
pub const KIND: &str = "elicitation";
/// Where the schema stands in the request, and in the question that stands for it.
pub const SCHEMA: &str = "requestedSchema";
/// The option that sends what was filled in, as `customInput`.
pub const ACCEPT: &str = "accept";
/// The option that sends nothing.
pub const DECLINE: &str = "decline";

/// More lines than this are no question any more.
const MOST: usize = 8;
/// So many values may be chosen from.
const MOST_VALUES: usize = 50;

#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub fields: Vec<Field>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name in the answer.
    pub key: String,
    /// For people.
    pub title: String,
    pub description: Option<String>,
    pub kind: Kind,
    pub required: bool,
    /// What it says when nobody changes it, as people would write it.
    pub default: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// With its least and its greatest length, in characters.
    Text {
        least: usize,
        most: usize,
    },
    Number {
        whole: bool,
        least: Option<f64>,
        most: Option<f64>,
    },
    Switch,
    /// Value and name of each.
    OneOf(Vec<(String, String)>),
    /// Any of them, written with commas.
    SomeOf(Vec<(String, String)>),
}

impl Form {
    /// Reads a schema; `None` when it is not flat, or not one of ours.
    pub fn read(schema: &Value) -> Option<Self> {
        let properties = schema.get("properties")?.as_object()?;
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |key: &str| {
            let mut names = required.into_iter().flatten();
            names.any(|name| name == key)
        };
        let fields: Option<Vec<Field>> = properties
            .iter()
            .map(|(key, property)| field(key, property, is_required(key)))
            .collect();
        let fields = fields.filter(|fields| (1..=MOST).contains(&fields.len()))?;
        Some(Self { fields })
    }

    /// The answer from what was written, line by line; an empty line that may be empty is left out.
    pub fn answer(&self, written: &[String]) -> Result<Value, String> {
        let mut answer = Map::new();
        for (at, field) in self.fields.iter().enumerate() {
            let text = written.get(at).map_or("", String::as_str);
            if let Some(value) = field.take(text)? {
                answer.insert(field.key.clone(), value);
            }
        }
        Ok(Value::Object(answer))
    }

    /// Is this an answer to it? What comes from a client is checked before an agent gets it.
    pub fn fits(&self, answer: &Value) -> bool {
        let Some(answer) = answer.as_object() else {
            return false;
        };
        let known = |key: &String| self.fields.iter().any(|field| field.key == *key);
        answer.keys().all(known)
            && self
                .fields
                .iter()
                .all(|field| match answer.get(&field.key) {
                    None => !field.required,
                    Some(value) => field.fits(value),
                })
    }
}

fn field(key: &str, property: &Value, required: bool) -> Option<Field> {
    let text = |name: &str| property.get(name).and_then(Value::as_str);
    let number = |name: &str| property.get(name).and_then(Value::as_f64);
    let length = |name: &str| {
        property
            .get(name)
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
    };
    // A pattern cannot be checked here, and a wrong answer would come back as the same question.
    let kind = match text("type")? {
        _ if property.get("pattern").is_some() => return None,
        "string" => match values(property) {
            Some(values) => Kind::OneOf(values?),
            None => Kind::Text {
                least: length("minLength").unwrap_or(0),
                most: length("maxLength").unwrap_or(usize::MAX),
            },
        },
        word @ ("number" | "integer") => Kind::Number {
            whole: word == "integer",
            least: number("minimum"),
            most: number("maximum"),
        },
        "boolean" => Kind::Switch,
        "array" => Kind::SomeOf(values(property.get("items")?)??),
        _ => return None,
    };
    let default = property
        .get("default")
        .and_then(|value| match (value, &kind) {
            (Value::String(text), _) => Some(text.clone()),
            (Value::Bool(on), _) => Some(if *on { YES } else { NO }.to_owned()),
            (Value::Number(number), _) => Some(number.to_string()),
            (Value::Null | Value::Array(_) | Value::Object(_), _) => None,
        });
    Some(Field {
        key: key.to_owned(),
        title: text("title").unwrap_or(key).to_owned(),
        description: text("description").map(str::to_owned),
        kind,
        required,
        default,
    })
}

/// The values of an `enum`, a `oneOf` or an `anyOf`; the inner `None` is a list that cannot be shown.
fn values(property: &Value) -> Option<Option<Vec<(String, String)>>> {
    let list = ["enum", "oneOf", "anyOf"]
        .iter()
        .find_map(|key| property.get(*key))?;
    let one = |value: &Value| match value {
        Value::String(text) => Some((text.clone(), text.clone())),
        other => {
            let word = other.get("const")?.as_str()?;
            let name = other.get("title").and_then(Value::as_str).unwrap_or(word);
            Some((word.to_owned(), name.to_owned()))
        }
    };
    let values: Option<Vec<_>> = list
        .as_array()
        .and_then(|list| list.iter().map(one).collect());
    Some(values.filter(|values| (1..=MOST_VALUES).contains(&values.len())))
}

const YES: &str = "yes";
const NO: &str = "no";

impl Field {
    /// What was written, as a value; a sentence when it cannot be one. An empty line is the default.
    pub fn take(&self, written: &str) -> Result<Option<Value>, String> {
        let text = match (written.trim(), &self.default) {
            ("", Some(default)) => default.as_str(),
            (text, _) => text,
        };
        if text.is_empty() {
            return if self.required {
                Err(format!("{} must be filled in", self.title))
            } else {
                Ok(None)
            };
        }
        let value = self.value(text);
        match value.filter(|value| self.fits(value)) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("{} must be {}", self.title, self.wants())),
        }
    }

    fn value(&self, text: &str) -> Option<Value> {
        match &self.kind {
            Kind::Text { .. } => Some(json!(text)),
            Kind::Number { whole: true, .. } => Some(json!(text.parse::<i64>().ok()?)),
            Kind::Number { whole: false, .. } => {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                Some(json!(number?))
            }
            Kind::Switch => match text.to_lowercase().as_str() {
                "y" | "yes" | "true" | "on" | "1" => Some(json!(true)),
                "n" | "no" | "false" | "off" | "2" => Some(json!(false)),
                _ => None,
            },
            Kind::OneOf(values) => Some(json!(picked(values, text)?)),
            Kind::SomeOf(values) => {
                let pieces = text.split(',').map(str::trim);
                let pieces = pieces.filter(|piece| !piece.is_empty());
                let picked: Option<Vec<&str>> = pieces.map(|piece| picked(values, piece)).collect();
                Some(json!(picked?))
            }
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match (&self.kind, value) {
            (Kind::Text { least, most }, Value::String(text)) => {
                (*least..=*most).contains(&text.chars().count())
            }
            (Kind::Number { whole, least, most }, Value::Number(number)) => {
                let size = number.as_f64().unwrap_or(f64::NAN);
                (!whole || number.is_i64() || number.is_u64())
                    && least.is_none_or(|least| size >= least)
                    && most.is_none_or(|most| size <= most)
            }
            (Kind::Switch, Value::Bool(_)) => true,
            (Kind::OneOf(values), Value::String(text)) => {
                values.iter().any(|(word, _)| word == text)
            }
            (Kind::SomeOf(values), Value::Array(list)) => {
                let known = |one: &Value| values.iter().any(|(word, _)| one == word);
                list.iter().all(known) && !(self.required && list.is_empty())
            }
            _ => false,
        }
    }

    /// What may be written, in words.
    pub fn wants(&self) -> String {
        let bounds = |least: Option<f64>, most: Option<f64>| match (least, most) {
            (Some(least), Some(most)) => format!(" from {least} to {most}"),
            (Some(least), None) => format!(" from {least} up"),
            (None, Some(most)) => format!(" up to {most}"),
            (None, None) => String::new(),
        };
        match &self.kind {
            Kind::Text {
                least: 0,
                most: usize::MAX,
            } => "a text".to_owned(),
            Kind::Text {
                least,
                most: usize::MAX,
            } => format!("{least} characters or more"),
            Kind::Text { least, most } => format!("{least} to {most} characters"),
            Kind::Number { whole, least, most } => {
                let word = if *whole { "a whole number" } else { "a number" };
                format!("{word}{}", bounds(*least, *most))
            }
            Kind::Switch => format!("{YES} or {NO}"),
            Kind::OneOf(values) => numbered(values),
            Kind::SomeOf(values) => format!("some of {}", numbered(values)),
        }
    }
}

/// The value that is meant, by its word, its name or its number.
fn picked<'a>(values: &'a [(String, String)], text: &str) -> Option<&'a str> {
    let same = |(word, name): &&(String, String)| word == text || name.eq_ignore_ascii_case(text);
    let by_number = || values.get(text.parse::<usize>().ok()?.checked_sub(1)?);
    let (word, _) = values.iter().find(same).or_else(by_number)?;
    Some(word)
}

fn numbered(values: &[(String, String)]) -> String {
    let named = values.iter().enumerate();
    let named: Vec<String> = named
        .map(|(at, (_, name))| format!("{} {name}", at + 1))
        .collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        let schema = json!({"type": "object", "required": ["name", "port"], "properties": {
            "name": {"type": "string", "title": "Name", "minLength": 2},
            "port": {"type": "integer", "minimum": 1, "maximum": 9999},
            "ratio": {"type": "number"},
            "public": {"type": "boolean", "default": true},
            "size": {"type": "string", "oneOf": [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}]},
        }});
        Form::read(&schema).expect("is flat")
    }

    fn answered(written: &[&str]) -> Result<Value, String> {
        let written: Vec<String> = written.iter().map(|&text| text.to_owned()).collect();
        form().answer(&written)
    }

    #[test]
    fn a_flat_schema_is_a_form_whose_lines_are_checked_as_they_are_written() {
        let table = [
            (
                ["web", "80", "", "", ""],
                Ok(json!({"name": "web", "port": 80, "public": true})),
            ),
            (
                [" web ", "80", "0.5", "No", "2"],
                Ok(json!({"name": "web", "port": 80, "ratio": 0.5, "public": false, "size": "l"})),
            ),
            (
                ["web", "80", "", "y", "small"],
                Ok(json!({"name": "web", "port": 80, "public": true, "size": "s"})),
            ),
            (["", "80", "", "", ""], Err("Name must be filled in")),
            (
                ["w", "80", "", "", ""],
                Err("Name must be 2 characters or more"),
            ),
            (
                ["web", "8.5", "", "", ""],
                Err("port must be a whole number from 1 to 9999"),
            ),
            (
                ["web", "0", "", "", ""],
                Err("port must be a whole number from 1 to 9999"),
            ),
            (["web", "80", "NaN", "", ""], Err("ratio must be a number")),
            (
                ["web", "80", "", "maybe", ""],
                Err("public must be yes or no"),
            ),
            (
                ["web", "80", "", "", "3"],
                Err("size must be 1 Small, 2 Large"),
            ),
        ];
        for (written, expected) in table {
            let answer = answered(&written);
            assert_eq!(answer, expected.map_err(str::to_owned), "{written:?}");
            assert!(answer.is_err() || form().fits(&answer.unwrap()));
        }
    }

    #[test]
    fn what_is_not_flat_is_no_form() {
        let of = |property: Value| Form::read(&json!({"properties": {"a": property}}));
        let table = [
            (json!({"type": "object", "properties": {}}), false),
            (json!({"type": "array", "items": {"type": "string"}}), false),
            (
                json!({"type": "array", "items": {"enum": ["a", "b"]}}),
                true,
            ),
            (json!({"type": "string", "pattern": "^a"}), false),
            (json!({"type": "string", "enum": [1]}), false),
            (json!({"type": "string", "enum": []}), false),
            (json!({}), false),
            (json!(7), false),
            (json!({"type": "string", "format": "email"}), true),
            (json!({"type": "string", "enum": ["a"]}), true),
        ];
        for (property, fits) in table {
            assert_eq!(of(property.clone()).is_some(), fits, "{property}");
        }
        let many = |count: usize| {
            let properties: Map<String, Value> = (0..count)
                .map(|at| (at.to_string(), json!({"type": "boolean"})))
                .collect();
            Form::read(&json!({"properties": properties})).is_some()
        };
        assert_eq!(
            [many(0), many(1), many(8), many(9)],
            [false, true, true, false]
        );
        assert_eq!(Form::read(&json!(null)), None);
    }

    #[test]
    fn several_values_are_written_with_commas() {
        let items =
            json!({"anyOf": [{"const": "a", "title": "Apples"}, {"const": "b", "title": "Pears"}]});
        let schema =
            json!({"required": ["f"], "properties": {"f": {"type": "array", "items": items}}});
        let form = Form::read(&schema).unwrap();
        let table = [
            ("1, pears", Ok(json!({"f": ["a", "b"]}))),
            ("b", Ok(json!({"f": ["b"]}))),
            (",", Err("f must be some of 1 Apples, 2 Pears")),
            ("", Err("f must be filled in")),
            ("1,3", Err("f must be some of 1 Apples, 2 Pears")),
        ];
        for (written, expected) in table {
            let answer = form.answer(&[written.to_owned()]);
            assert_eq!(answer, expected.map_err(str::to_owned), "{written}");
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_is_known() {
        let table = [
            (json!({"name": "web", "port": 80}), true),
            (json!({"name": "web"}), false),
            (json!({"name": "web", "port": "80"}), false),
            (json!({"name": "web", "port": 80, "size": "xl"}), false),
            (json!({"name": "web", "port": 80, "other": 1}), false),
            (json!("web"), false),
        ];
        for (answer, fits) in table {
            assert_eq!(form().fits(&answer), fits, "{answer}");
        }
    }
}
