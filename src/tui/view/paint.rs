//! What drawing keeps between two pictures: the theme, and the lines of cells that have not changed.
//!
//! Emptying it changes nothing that is shown.

use std::collections::HashMap;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::protocol::ids::RunId;
use crate::tui::citizen::Citizen;
use crate::tui::colours::{Name, Snippet};
use crate::tui::event::Drawn;
use crate::tui::links::Links;
use crate::tui::theme::{Role, Theme};
use crate::tui::view::find::Mark;
use crate::tui::view::markdown::Markdown;

/// Cells kept; above it all are forgotten, and the visible ones drawn anew.
const KEPT: usize = 512;

#[derive(Debug)]
pub struct Paint {
    pub(crate) theme: Theme,
    /// No sign of ours beyond ASCII.
    pub(crate) ascii: bool,
    /// Where words lead; `None`: nowhere.
    pub(crate) links: Option<Links>,
    pub(crate) cells: HashMap<usize, Kept>,
    /// Whose cells they are.
    pub(crate) run: Option<RunId>,
    /// What of the transcript the last picture showed.
    pub(crate) drawn: Option<Drawn>,
    /// Text that would have had colours if they were known.
    pub(crate) wanted: Vec<Snippet>,
}

/// The lines of one cell, and what they were made for.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) key: Option<Key>,
    pub(crate) markdown: Markdown,
    pub(crate) lines: Vec<Line<'static>>,
    /// Colours that they were made without.
    pub(crate) awaited: Vec<Name>,
    /// What is looked for in them, and the stamp of that search.
    pub(crate) marks: Option<(u64, Vec<Mark>)>,
}

/// Everything the lines of a cell depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) seq: u64,
    pub(crate) revision: u64,
    pub(crate) columns: usize,
    pub(crate) open: bool,
    /// A blank line stands before it.
    pub(crate) gap: bool,
    /// The words of the mark that stands before it; 0 without one.
    pub(crate) mark: u64,
    /// As it was said.
    pub(crate) raw: bool,
    /// Lines of a diff around what changed.
    pub(crate) around: usize,
    /// Seconds, for what elapses; 0 for what stands still.
    pub(crate) second: i64,
}

impl Paint {
    pub fn new(theme: Theme) -> Self {
        Self {
            theme,
            ascii: false,
            links: None,
            cells: HashMap::new(),
            run: None,
            drawn: None,
            wanted: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_ascii(self, ascii: bool) -> Self {
        Self { ascii, ..self }
    }

    /// Words lead somewhere, and whoever writes the pictures knows where.
    #[must_use]
    pub fn with_links(self, links: Option<Links>) -> Self {
        Self { links, ..self }
    }

    /// Before drawing: the theme that fits the terminal now. Lines drawn in another are forgotten.
    pub(crate) fn suit(&mut self, citizen: &Citizen) {
        let Some(themes) = &citizen.themes else {
            return;
        };
        let theme = themes.pick(citizen.manners.scheme);
        if *theme != self.theme {
            self.theme = theme.clone();
            self.empty();
        }
    }

    /// Forgets everything but the theme.
    pub fn empty(&mut self) {
        self.cells.clear();
        self.drawn = None;
    }

    /// What of the transcript the last picture showed; taken.
    pub fn take_drawn(&mut self) -> Option<Drawn> {
        self.drawn.take()
    }

    /// Text to be coloured for the next picture; taken.
    pub fn take_wanted(&mut self) -> Vec<Snippet> {
        std::mem::take(&mut self.wanted)
    }

    pub(crate) fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    pub(crate) fn span(&self, role: Role, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.theme.style(role))
    }

    /// Before drawing cells of this run.
    pub(crate) fn make_room(&mut self, run: &RunId) {
        if self.cells.len() > KEPT || self.run.as_ref() != Some(run) {
            self.cells.clear();
            self.run = Some(run.clone());
        }
    }
}
