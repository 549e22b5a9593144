//! What stands over the draft to choose from while it is written: commands behind a `/`, paths behind an `@`.
//!
//! Pure.

use crate::tui::fuzzy::rank;
use crate::tui::on::draft;
use crate::tui::state::{OURS, State};

/// One line of the menu.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) name: String,
    /// What may be written behind it.
    pub(crate) hint: String,
    /// What it does.
    pub(crate) label: String,
}

/// All commands, the agent's first.
fn commands(state: &State) -> Vec<Choice> {
    let theirs = state
        .session()
        .map(|session| session.commands.iter())
        .into_iter()
        .flatten()
        .map(|command| Choice {
            name: command.name.trim_start_matches('/').to_owned(),
            hint: command.hint.clone().unwrap_or_default(),
            label: command.description.clone(),
        });
    let is_ours = |name: &str| {
        let text = format!("/{name}");
        draft::action_of(&text).is_some() || draft::named(state, &text).is_some()
    };
    let ours = OURS.iter().filter(move |(name, _)| is_ours(name));
    let ours = ours.map(|(name, label)| Choice {
        name: (*name).to_owned(),
        hint: String::new(),
        label: (*label).to_owned(),
    });
    theirs.chain(ours).collect()
}

/// What there is to choose from now: paths, else commands.
pub(crate) fn choices(state: &State) -> Vec<Choice> {
    match &state.writing.mention {
        Some(mention) => {
            let paths = mention.found.iter();
            paths
                .map(|path| Choice {
                    name: path.clone(),
                    ..Choice::default()
                })
                .collect()
        }
        None => commands_meant(state),
    }
}

/// The commands that the draft's first word could mean; empty when there is no menu.
pub(crate) fn commands_meant(state: &State) -> Vec<Choice> {
    if state.ask.writing.is_some() {
        return Vec::new();
    }
    match state.composer.text().strip_prefix('/') {
        Some(typed) if !state.slash_hidden && !typed.contains(char::is_whitespace) => {
            meant(typed, commands(state))
        }
        Some(_) | None => Vec::new(),
    }
}

/// Names that begin so, in the order of the agent; then names with its letters; then those whose description has the word.
fn meant(typed: &str, all: Vec<Choice>) -> Vec<Choice> {
    let (mut found, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|one| one.name.starts_with(typed));
    // A name that is written out is what is meant.
    found.sort_by_key(|one| one.name != typed);
    let names: Vec<&str> = others.iter().map(|one| one.name.as_str()).collect();
    let close: Vec<usize> = rank(typed, &names).into_iter().map(|(at, _)| at).collect();
    let wanted = typed.to_lowercase();
    let described = |one: &Choice| {
        let label = one.label.to_lowercase();
        let mut words = label.split(|char: char| !char.is_alphanumeric());
        words.any(|word| word.starts_with(&wanted))
    };
    let rest = (0..others.len()).filter(|at| !close.contains(at) && described(&others[*at]));
    let order: Vec<usize> = close.iter().copied().chain(rest).collect();
    found.extend(order.into_iter().map(|at| others[at].clone()));
    found
}

/// What may be written behind the command that is the whole draft, while nothing is.
pub(crate) fn hint(state: &State) -> Option<String> {
    let typed = state.composer.text().strip_prefix('/')?;
    let name = typed.strip_suffix(' ').unwrap_or(typed);
    let all = commands(state);
    let command = all.into_iter().find(|one| one.name == name)?;
    let space = if typed.ends_with(' ') { "" } else { " " };
    (!command.hint.is_empty()).then(|| format!("{space}{}", command.hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_by_its_start_its_letters_or_a_word_of_what_it_does() {
        let command = |(name, label): &(&str, &str)| Choice {
            name: (*name).to_owned(),
            hint: String::new(),
            label: (*label).to_owned(),
        };
        let all = [
            ("review-all", "look at everything"),
            ("review", "look at the change"),
            ("init", "write a summary of the code"),
            ("stop", "end the run"),
        ];
        let table: [(&str, &[&str]); 7] = [
            ("", &["review-all", "review", "init", "stop"]),
            ("rev", &["review-all", "review"]),
            ("review", &["review", "review-all"]),
            ("sp", &["stop"]),
            ("run", &["stop"]),
            ("look", &["review-all", "review"]),
            ("un", &[]),
        ];
        for (typed, wanted) in table {
            let found = meant(typed, all.iter().map(command).collect());
            let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(names, wanted, "{typed:?}");
        }
    }
}
