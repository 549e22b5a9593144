//! What the agent lets people choose: its mode, its model, how much it thinks, its switches.
//!
//! Pure. A mode comes as a list of its own or as a config option of the category `mode`, which then counts alone.

use serde_json::json;

use crate::protocol::acp::{ConfigOption, ConfigValue};
use crate::protocol::command::What;
use crate::session::state::Session;

/// One thing that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub kind: Kind,
    /// For people.
    pub name: String,
    /// The value now, in the agent's word.
    pub current: String,
    /// The agent's word and the name of each value, in the agent's order; may be empty.
    pub values: Vec<(String, String)>,
    way: Way,
}

/// What is chosen. The order is that of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Mode,
    Model,
    Thinking,
    Other,
}

/// How the agent is asked for another value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Mode,
    /// The option of this id.
    Select(String),
    Switch(String),
}

impl Choice {
    /// The name of a value; of one that is not in the list its word.
    pub fn name_of<'a>(&'a self, value: &'a str) -> &'a str {
        let known = self.values.iter().find(|(word, _)| word == value);
        known.map_or(value, |(_, name)| name)
    }

    /// The value behind this one, round and round; `None` when there is nothing to choose.
    pub fn after(&self, value: &str) -> Option<&str> {
        if self.values.len() < 2 {
            return None;
        }
        let at = self.values.iter().position(|(word, _)| word == value);
        let next = at.map_or(0, |at| (at + 1) % self.values.len());
        Some(&self.values[next].0)
    }

    /// The command that asks the agent for this value.
    pub fn ask(&self, value: &str) -> What {
        match &self.way {
            Way::Mode => What::SetMode(value.to_owned()),
            Way::Select(id) => What::SetConfig {
                id: id.clone(),
                value: json!(value),
            },
            Way::Switch(id) => What::SetConfig {
                id: id.clone(),
                value: json!(value == ON),
            },
        }
    }

    fn of(option: &ConfigOption) -> Self {
        let (current, values, way) = match &option.value {
            ConfigValue::Select { current, options } => {
                let way = Way::Select(option.id.clone());
                (current.clone(), options.clone(), way)
            }
            ConfigValue::Boolean(on) => {
                let values = [ON, OFF].map(|word| (word.to_owned(), word.to_owned()));
                let current = if *on { ON } else { OFF };
                let way = Way::Switch(option.id.clone());
                (current.to_owned(), values.to_vec(), way)
            }
        };
        let kind = match option.category.as_deref() {
            Some("mode") => Kind::Mode,
            Some("model") => Kind::Model,
            Some("thought_level") => Kind::Thinking,
            Some(_) | None => Kind::Other,
        };
        Self {
            kind,
            name: option.name.clone(),
            current,
            values,
            way,
        }
    }
}

const ON: &str = "on";
const OFF: &str = "off";

impl Session {
    /// Everything that can be chosen, the mode first.
    pub fn choices(&self) -> Vec<Choice> {
        let mut choices: Vec<Choice> = self.config.iter().map(Choice::of).collect();
        let has_mode = choices.iter().any(|choice| choice.kind == Kind::Mode);
        if let Some(current) = self.mode.as_ref().filter(|_| !has_mode) {
            let values = self.modes.iter();
            choices.push(Choice {
                kind: Kind::Mode,
                name: "Mode".to_owned(),
                current: current.clone(),
                values: values
                    .map(|mode| (mode.id.clone(), mode.name.clone()))
                    .collect(),
                way: Way::Mode,
            });
        }
        choices.sort_by_key(|choice| choice.kind);
        choices
    }

    /// The first of this kind.
    pub fn choice(&self, kind: Kind) -> Option<Choice> {
        self.choices()
            .into_iter()
            .find(|choice| choice.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::acp::Mode;

    fn select(id: &str, category: &str, current: &str, values: &[&str]) -> ConfigOption {
        let options = values
            .iter()
            .map(|word| ((*word).into(), word.to_uppercase()));
        ConfigOption {
            id: id.into(),
            name: id.to_uppercase(),
            category: Some(category.into()),
            value: ConfigValue::Select {
                current: current.into(),
                options: options.collect(),
            },
        }
    }

    fn with_modes(config: Vec<ConfigOption>) -> Session {
        let mode = |id: &str| Mode {
            id: id.into(),
            name: id.to_uppercase(),
        };
        Session {
            mode: Some("plan".into()),
            modes: vec![mode("ask"), mode("plan")],
            config,
            ..Session::default()
        }
    }

    #[test]
    fn the_mode_is_a_list_of_its_own_or_an_option_and_stands_first() {
        let thinks = ConfigOption {
            value: ConfigValue::Boolean(true),
            ..select("thinks", "thought_level", "", &[])
        };
        let session = with_modes(vec![thinks, select("m", "model", "a", &["a", "b"])]);
        let choices = session.choices();
        let told: Vec<_> = choices
            .iter()
            .map(|choice| (choice.kind, &*choice.current))
            .collect();
        assert_eq!(
            told,
            [
                (Kind::Mode, "plan"),
                (Kind::Model, "a"),
                (Kind::Thinking, "on")
            ]
        );
        let asked: Vec<What> = choices
            .iter()
            .map(|choice| choice.ask(choice.after(&choice.current).unwrap()))
            .collect();
        let set = |id: &str, value| What::SetConfig {
            id: id.into(),
            value,
        };
        assert_eq!(
            asked,
            [
                What::SetMode("ask".into()),
                set("m", json!("b")),
                set("thinks", json!(false))
            ]
        );
        let session = with_modes(vec![select("mode", "mode", "x", &["x", "y", "z"])]);
        let mode = session.choice(Kind::Mode).unwrap();
        assert_eq!((&*mode.current, mode.name_of("y")), ("x", "Y"));
        assert_eq!(mode.ask("y"), set("mode", json!("y")));
    }

    #[test]
    fn the_value_behind_the_last_is_the_first_and_one_alone_has_none() {
        let many = with_modes(vec![select("mode", "mode", "x", &["x", "y", "z"])]);
        let mode = many.choice(Kind::Mode).unwrap();
        let table = [("x", "y"), ("y", "z"), ("z", "x"), ("gone", "x")];
        for (value, next) in table {
            assert_eq!(mode.after(value), Some(next), "{value}");
        }
        let one = with_modes(vec![select("mode", "mode", "x", &["x"])]);
        assert_eq!(one.choice(Kind::Mode).unwrap().after("x"), None);
        let none = Session {
            mode: Some("code".into()),
            ..Session::default()
        };
        assert_eq!(none.choice(Kind::Mode).unwrap().after("code"), None);
    }
}
