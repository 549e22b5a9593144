//! Everything that can be done here, with its key and its slash command, found by a few letters.
//!
//! Pure. Made from the live key map, like the help.

use crate::tui::action::Action;
use crate::tui::fuzzy::rank;
use crate::tui::keymap::{Binding, Context, action_name};
use crate::tui::on::draft::{action_of, named};
use crate::tui::state::{OURS, Scene, State};

/// The box as it is open: what is typed, and which of the rows that fit is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    pub words: String,
    pub chosen: usize,
}

/// One thing that can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub label: String,
    /// The keys that lead to it, the shortest way first.
    pub keys: Vec<String>,
    /// With its slash.
    pub slash: Option<String>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Act(Action),
    /// A command of the agent: the draft begins with it.
    Write(String),
}

/// The rows that fit what is typed, the best first; all of them while nothing is.
pub fn rows(state: &State, words: &str) -> Vec<Row> {
    let rows = all(state);
    let lines: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.label, row.slash.as_deref().unwrap_or("")))
        .collect();
    rank(words, &lines)
        .into_iter()
        .filter_map(|(index, _)| rows.get(index).cloned())
        .collect()
}

/// Everything, in the order of the help; what the agent offers stands behind it.
fn all(state: &State) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for context in here(state) {
        let bindings = state.keymap.bindings.iter();
        for binding in bindings.filter(|binding| binding.context == *context) {
            let keys = keys(state, binding);
            let same = |row: &&mut Row| row.what == What::Act(binding.action);
            match rows.iter_mut().find(same) {
                Some(row) => row.keys.extend(keys.into_iter().take(1)),
                None if binding.label.is_empty() => (),
                None => rows.push(Row {
                    label: binding.label.to_owned(),
                    keys,
                    slash: slash(state, binding.action),
                    what: What::Act(binding.action),
                }),
            }
        }
    }
    rows.extend(theirs(state));
    rows
}

/// Where keys can be pressed now. In a box there is nothing to say yes to while this one is open.
fn here(state: &State) -> &'static [Context] {
    use Context::{Browse, Edit, Everywhere, Leader, Picker, Question};
    match &state.scene {
        Scene::Picker(_) => &[Picker, Everywhere, Leader],
        Scene::Composer(_) | Scene::Opening(_) => &[Edit, Everywhere, Leader],
        Scene::Run(_) => &[Browse, Leader, Everywhere, Question, Edit],
    }
}

fn keys(state: &State, binding: &Binding) -> Vec<String> {
    let keys = binding.keys.iter().map(ToString::to_string);
    if binding.context != Context::Leader {
        return keys.collect();
    }
    let leader = state.keymap.key_of(Context::Everywhere, Action::Leader);
    keys.filter(|_| !leader.is_empty())
        .map(|key| format!("{leader} {key}"))
        .collect()
}

/// A short name, else the action's own, where the agent has no command of that name.
fn slash(state: &State, action: Action) -> Option<String> {
    let own = format!("/{}", action_name(action));
    let listed = OURS.iter().map(|(name, _)| format!("/{name}"));
    listed
        .chain([own])
        .find(|name| action_of(name).or_else(|| named(state, name)) == Some(action))
}

fn theirs(state: &State) -> impl Iterator<Item = Row> {
    let commands = state.session().map(|session| session.commands.as_slice());
    commands.unwrap_or_default().iter().map(|command| {
        let name = format!("/{}", command.name.trim_start_matches('/'));
        Row {
            label: command.description.clone(),
            keys: Vec::new(),
            slash: Some(name.clone()),
            what: What::Write(format!("{name} ")),
        }
    })
}
