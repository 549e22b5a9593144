//! Source text to runs of roles, by the syntax definitions that come with the program.
//!
//! Pure, and slow: asked by nobody who draws. Text above the bounds is not highlighted; a wrong guess costs colours,
//! never text.

use std::sync::OnceLock;

use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxSet};

use crate::tui::colours::{Found, Lines, Snippet};
use crate::tui::theme::Role;

/// Above this a text is shown plain.
pub(crate) const BYTES: usize = 128 * 1024;
const LINE: usize = 2000;

fn syntaxes() -> &'static SyntaxSet {
    static SYNTAXES: OnceLock<SyntaxSet> = OnceLock::new();
    SYNTAXES.get_or_init(two_face::syntax::extra_newlines)
}

/// The colours of these snippets.
pub fn colour(snippets: Vec<Snippet>) -> Vec<Found> {
    let found = |one: Snippet| (one.key, highlight(&one.language, &one.text));
    snippets.into_iter().map(found).collect()
}

fn highlight(language: &str, text: &str) -> Option<Lines> {
    if language.is_empty() || text.len() > BYTES || text.lines().any(|line| line.len() > LINE) {
        return None;
    }
    let syntax = syntaxes().find_syntax_by_token(language)?;
    let mut parse = ParseState::new(syntax);
    let mut stack = ScopeStack::new();
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let ops = parse.parse_line(line, syntaxes()).ok()?;
        let mut runs = Vec::new();
        let mut from = 0;
        for (at, op) in &ops {
            push(&mut runs, role(&stack), line.get(from..*at)?);
            from = *at;
            stack.apply(op).ok()?;
        }
        push(&mut runs, role(&stack), line.get(from..)?);
        lines.push(runs);
    }
    Some(lines)
}

fn push(runs: &mut Vec<(Role, u32)>, role: Role, text: &str) {
    let length = u32::try_from(text.trim_end_matches('\n').len()).unwrap_or(u32::MAX);
    match runs.last_mut() {
        _ if length == 0 => (),
        Some((last, run)) if *last == role => *run = run.saturating_add(length),
        Some(_) | None => runs.push((role, length)),
    }
}

/// A line in its runs. What they do not cover is plain.
pub(crate) fn split<'a>(line: &'a str, runs: &[(Role, u32)]) -> Vec<(Role, &'a str)> {
    let mut parts = Vec::new();
    let mut rest = line;
    for (role, length) in runs {
        let length = usize::try_from(*length).unwrap_or(usize::MAX);
        // Of another text than these are.
        let Some((part, behind)) = rest.split_at_checked(length) else {
            break;
        };
        parts.push((*role, part));
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push((Role::Text, rest));
    }
    parts
}

/// The innermost scope that says anything decides.
fn role(stack: &ScopeStack) -> Role {
    static TABLE: OnceLock<Vec<(Scope, Role)>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let rows = [
            ("comment", Role::Comment),
            ("string", Role::String),
            ("constant.numeric", Role::Number),
            ("constant", Role::Number),
            ("keyword.operator", Role::Text),
            ("keyword", Role::Keyword),
            ("storage", Role::Keyword),
            ("entity.name", Role::Name),
            ("support.function", Role::Name),
            ("support.type", Role::Name),
            ("variable.function", Role::Name),
            ("markup.inserted", Role::Added),
            ("markup.deleted", Role::Removed),
        ];
        rows.iter()
            .filter_map(|(name, role)| Some((Scope::new(name).ok()?, *role)))
            .collect()
    });
    stack
        .as_slice()
        .iter()
        .rev()
        .find_map(|scope| table.iter().find(|(prefix, _)| prefix.is_prefix_of(*scope)))
        .map_or(Role::Text, |(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_language_gets_roles_and_keeps_its_text() {
        let text = "let x = \"a\"; // note\nfn f() {}\n";
        let runs = highlight("rust", text).unwrap();
        let lines: Vec<Vec<(Role, &str)>> = text
            .lines()
            .zip(&runs)
            .map(|(line, runs)| split(line, runs))
            .collect();
        let joined: Vec<String> = lines
            .iter()
            .map(|line| line.iter().map(|(_, text)| *text).collect())
            .collect();
        assert_eq!(joined, ["let x = \"a\"; // note", "fn f() {}"]);
        let has = |role: Role, word: &str| {
            lines
                .iter()
                .flatten()
                .any(|(found, text)| *found == role && text.contains(word))
        };
        assert!(has(Role::Keyword, "let"));
        assert!(has(Role::String, "a"));
        assert!(has(Role::Comment, "note"));
    }

    #[test]
    fn runs_of_another_text_lose_nothing() {
        let runs = [(Role::Keyword, 1), (Role::Name, 7)];
        assert_eq!(
            split("ab", &runs),
            [(Role::Keyword, "a"), (Role::Text, "b")]
        );
        assert_eq!(split("漢", &runs), [(Role::Text, "漢")]);
        assert_eq!(split("", &runs), []);
    }

    #[test]
    fn an_unknown_language_or_a_huge_text_stays_plain() {
        assert_eq!(highlight("no-such-language", "x"), None);
        assert_eq!(highlight("", "x"), None);
        assert_eq!(highlight("rust", &"x\n".repeat(BYTES)), None);
    }
}
