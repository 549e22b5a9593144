//! What is under way between the user and the agent: a cancel, a wish for another mode, words in answer to a question.
//!
//! Plain values, changed only by [`crate::tui::update::update`].

use std::time::{Duration, Instant};

use crate::protocol::form::Form;
use crate::session::choices::Kind;

/// A turn that has not ended this long after its cancel gets the hard step.
pub const HARD: Duration = Duration::from_secs(10);
/// A wish that the journal has not confirmed for this long is given up.
pub const WISH: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ask {
    /// When this screen first saw that the turn is being cancelled.
    pub cancel: Option<Instant>,
    pub wish: Option<Wish>,
    pub writing: Option<Writing>,
}

/// Another value was asked for; the agent has not said that it has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub kind: Kind,
    /// The choice's name.
    pub name: String,
    pub from: String,
    pub to: String,
    pub at: Instant,
}

/// The answer to a question in words, in the place of the draft.
#[derive(Debug, Clone, PartialEq)]
pub struct Writing {
    pub request: String,
    /// The option that goes with the words.
    pub option: String,
    /// The draft of before.
    pub kept: String,
    /// A form of which one line is written; else the words are the reason of a rejection.
    pub form: Option<Filling>,
}

impl Writing {
    /// All that was written for the answer; `line` is what stands in the place of the draft.
    pub fn words(&self, line: &str) -> String {
        let Some(filling) = &self.form else {
            return line.to_owned();
        };
        let lines = filling.written.iter().enumerate();
        let lines = lines.map(|(at, written)| if at == filling.at { line } else { written });
        let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
        lines.join("\n")
    }
}

/// A form that is being filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Filling {
    pub form: Form,
    /// What was written, line by line.
    pub written: Vec<String>,
    /// The line that is being written.
    pub at: usize,
}
