//! A gitignore file that the agent changes opens nothing here: what an earlier text of it kept back stays back, until the
//! user changes that file or says so. Else whoever writes in the sandbox could have any file of this directory sent there.

use std::path::Path;

use crate::mirror::actor::Worker;
use crate::mirror::base::{Fact, Known};
use crate::mirror::ground;
use crate::mirror::ignore::{NAME, Rules, Why, text_of};
use crate::mirror::inbox::Taken;
use crate::protocol::path::RelPath;

/// Bytes of earlier texts of one file. The first, which is the user's, is always kept.
const MOST: usize = 256 << 10;

/// Whether a file that now reads `now` keeps back all that `before` did: it has the same lines in their order, and beside
/// them none that lets something through.
fn keeps_back(before: &str, now: &str) -> bool {
    let says = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let mut wanted = before.lines().filter(says).peekable();
    for line in now.lines().filter(says) {
        if wanted.next_if_eq(&line).is_none() && line.starts_with('!') {
            return false;
        }
    }
    wanted.peek().is_none()
}

/// Gives the rules what is known of earlier texts.
pub(super) fn restore(rules: &Rules, known: &Known) {
    for (path, texts) in &known.rules {
        rules.opened(path, texts);
    }
}

fn read(root: &Path, path: &RelPath) -> String {
    text_of(&path.below(root)).unwrap_or_default()
}

impl Worker {
    /// What has to be written down before this is done: the text of the rules it is about to replace, or that a file comes
    /// which only such a text keeps back, where nothing stands that it could be taken for.
    pub(super) fn before_rules(&mut self, taken: &Taken) -> Vec<Fact> {
        let (path, now) = (&taken.change.path, taken.change.now);
        let mut facts = Vec::new();
        if path.name() == NAME {
            let mut texts = self.known.rules.get(path).cloned().unwrap_or_default();
            let text = read(&self.hand.root, path);
            let size: usize = texts.iter().map(String::len).sum();
            if !texts.contains(&text) && (texts.is_empty() || size + text.len() <= MOST) {
                texts.push(text);
                facts.push(Fact::Rules(path.clone(), texts));
            }
        } else if now.is_some() && !self.known.rules.is_empty() {
            let why = self.hand.rules.why(path, false);
            let stands = ground::stat(&path.below(&self.hand.root)).is_ok();
            if matches!(why, Some(Why::Before { .. })) && !stands {
                facts.push(Fact::Seed(path.clone()));
            }
        }
        self.learn(&facts);
        facts
    }

    /// A gitignore file may read otherwise now: what it keeps back by itself needs no earlier text.
    pub(super) async fn after_rules(&mut self, path: &RelPath) {
        let Some(texts) = self.known.rules.get(path) else {
            return;
        };
        let now = read(&self.hand.root, path);
        let (kept, gone): (Vec<String>, Vec<String>) = texts
            .iter()
            .cloned()
            .partition(|text| !keeps_back(text, &now));
        let told = !kept.is_empty();
        if !gone.is_empty() {
            self.set_rules(vec![Fact::Rules(path.clone(), kept)]).await;
        }
        if told {
            self.note(format!(
                "the agent's {path} lets through what it kept back: yours stays here until you say `ashore mirror resume {} --accept-rules`",
                self.hand.run.short()
            ));
        }
    }

    /// The user has changed it: from here on it says what the user means.
    pub(super) fn own_rules(&mut self, path: &RelPath, facts: &mut Vec<Fact>) {
        if self.known.rules.contains_key(path) {
            let fact = Fact::Rules(path.clone(), Vec::new());
            self.learn(std::slice::from_ref(&fact));
            facts.push(fact);
            self.scan_wanted = true;
        }
    }

    /// The user wants them as they are.
    pub(super) async fn accept_rules(&mut self) {
        let paths = self.known.rules.keys().cloned();
        let facts = paths.map(|path| Fact::Rules(path, Vec::new())).collect();
        self.set_rules(facts).await;
    }

    async fn set_rules(&mut self, facts: Vec<Fact>) {
        self.learn(&facts);
        self.save(&facts).await;
    }

    /// In memory what is written down.
    fn learn(&mut self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Rules(path, texts) => self.hand.rules.opened(path, texts),
                Fact::Seed(path) => self.hand.rules.keep([path]),
                _ => (),
            }
            self.known.apply(fact);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_back_what_another_did_when_it_only_adds_to_it() {
        let before = "# mine\n.env\n!keep.env\n\n*.log\n";
        for now in [
            before,
            ".env\n!keep.env\n*.log",
            "a\n.env\n!keep.env\nb\n*.log\nc",
        ] {
            assert!(keeps_back(before, now), "{now}");
        }
        for now in [
            "",
            ".env\n*.log",
            "!keep.env\n.env\n*.log",
            ".env\n!keep.env\n*.log\n!x.log",
            "*.log\n.env\n!keep.env",
        ] {
            assert!(!keeps_back(before, now), "{now}");
        }
        assert!(keeps_back("", "a\nb") && !keeps_back("", "!a"));
    }
}
