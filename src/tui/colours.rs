//! What colours pieces of text get: found out beside the drawing, remembered for the next picture.
//!
//! Pure. A picture shows what is known and asks for the rest; a piece that nobody has coloured yet is plain, and has the
//! same lines.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::tui::theme::Role;

/// Runs that are remembered, in all pieces together; above it all are forgotten.
const RUNS: usize = 500_000;

/// A piece of clean text and the language it is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    pub key: Name,
    pub language: String,
    pub text: String,
}

/// A snippet's own name: the same for the same language and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(u64);

/// Each line as roles, each with its length in bytes.
pub type Lines = Vec<Vec<(Role, u32)>>;

/// A snippet's lines; `None` when nobody knows its language, or it is too large.
pub type Found = (Name, Option<Lines>);

#[derive(Debug, Clone)]
enum Known {
    Asked,
    Found(Option<Arc<Lines>>),
}

/// What is known of snippets.
#[derive(Debug, Clone, Default)]
pub struct Colours {
    known: HashMap<Name, Known>,
    runs: usize,
}

/// What may be shown of a snippet now.
pub(crate) enum Shown {
    Coloured(Arc<Lines>),
    /// There will be no colours.
    Plain,
    /// Somebody is at it.
    Awaited,
    Unknown,
}

impl Name {
    pub(crate) fn of(language: &str, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (language, text).hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Colours {
    pub(crate) fn look(&self, name: Name) -> Shown {
        match self.known.get(&name) {
            Some(Known::Found(Some(lines))) => Shown::Coloured(lines.clone()),
            Some(Known::Found(None)) => Shown::Plain,
            Some(Known::Asked) => Shown::Awaited,
            None => Shown::Unknown,
        }
    }

    pub(crate) fn is_found(&self, name: Name) -> bool {
        matches!(self.known.get(&name), Some(Known::Found(_)))
    }

    /// Those of the snippets that nobody has been asked for yet.
    pub(crate) fn ask(&mut self, snippets: Vec<Snippet>) -> Vec<Snippet> {
        let mut new = Vec::new();
        for snippet in snippets {
            if let Entry::Vacant(place) = self.known.entry(snippet.key) {
                place.insert(Known::Asked);
                new.push(snippet);
            }
        }
        new
    }

    pub(crate) fn learn(&mut self, found: Vec<Found>) {
        for (name, lines) in found {
            let runs = lines.iter().flatten().map(Vec::len).sum::<usize>();
            if self.runs + runs > RUNS {
                self.known.retain(|_, known| matches!(known, Known::Asked));
                self.runs = 0;
            }
            self.runs += runs;
            self.known.insert(name, Known::Found(lines.map(Arc::new)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snippet(text: &str) -> Snippet {
        Snippet {
            key: Name::of("rust", text),
            language: "rust".into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_snippet_is_asked_for_once_and_then_known() {
        let mut colours = Colours::default();
        let (a, b) = (snippet("a"), snippet("b"));
        assert_eq!(colours.ask(vec![a.clone(), a.clone()]), vec![a.clone()]);
        assert_eq!(colours.ask(vec![a.clone(), b.clone()]), vec![b.clone()]);
        assert!(matches!(colours.look(a.key), Shown::Awaited));
        colours.learn(vec![
            (a.key, Some(vec![vec![(Role::Name, 1)]])),
            (b.key, None),
        ]);
        assert!(matches!(colours.look(a.key), Shown::Coloured(_)));
        assert!(matches!(colours.look(b.key), Shown::Plain));
        assert!(colours.ask(vec![a, b]).is_empty());
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut colours = Colours::default();
        let lines = |runs: usize| Some(vec![vec![(Role::Text, 1); runs]]);
        let names = ["a", "b", "c"].map(|text| Name::of("", text));
        for name in names {
            colours.learn(vec![(name, lines(RUNS / 2))]);
        }
        assert!(!colours.is_found(names[0]));
        assert!(colours.is_found(names[2]));
        // One that is larger than all of it is not lost either.
        colours.learn(vec![(names[0], lines(RUNS + 1))]);
        assert!(colours.is_found(names[0]));
    }
}
