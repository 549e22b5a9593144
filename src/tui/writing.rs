//! What helps to write the draft: the search of the history, files to name, a command run here.
//!
//! Plain values, changed only by [`crate::tui::update::update`].

/// Prompts of the search that are shown to choose from at most.
pub const FOUND: usize = 100;

#[derive(Debug, Clone, Default)]
pub struct Writing {
    /// The history is searched; the draft waits beside it.
    pub search: Option<Search>,
}

/// A search of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    pub needle: String,
    /// The prompts that fit, as places in the history, the one most likely meant first.
    pub found: Vec<usize>,
    /// Which of them is marked.
    pub chosen: usize,
}
