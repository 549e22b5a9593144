//! The colours of code while it is drawn: what is known is used, what is not is noted down.
//!
//! Pure.

use std::cell::RefCell;
use std::sync::Arc;

use ratatui::style::Style;

use crate::tui::colours::{Colours, Lines, Name, Shown, Snippet};
use crate::tui::links::Links;
use crate::tui::view::code;

/// One drawing's. Notes are taken through a shared reference: whoever draws a line hands nothing back but the line.
pub(crate) struct Ink<'a> {
    colours: &'a Colours,
    /// `None`: words lead nowhere.
    links: Option<&'a Links>,
    notes: RefCell<Notes>,
}

/// What a drawing would have needed.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Nobody has been asked for these.
    pub(crate) wanted: Vec<Snippet>,
    /// With these it would look otherwise.
    pub(crate) awaited: Vec<Name>,
}

impl<'a> Ink<'a> {
    pub(crate) fn new(colours: &'a Colours) -> Self {
        Self {
            colours,
            links: None,
            notes: RefCell::default(),
        }
    }

    /// Words may lead somewhere.
    pub(crate) fn with_links(self, links: Option<&'a Links>) -> Self {
        Self { links, ..self }
    }

    /// Words in this style that lead to this address, where words lead anywhere.
    pub(crate) fn leading(&self, style: Style, address: &str) -> Style {
        match self.links {
            Some(links) => links.style(style, address),
            None => style,
        }
    }

    /// The colours of a clean text.
    pub(crate) fn of(&self, language: &str, text: &str) -> Option<Arc<Lines>> {
        if language.is_empty() || text.is_empty() || text.len() > code::BYTES {
            return None;
        }
        let key = Name::of(language, text);
        match self.colours.look(key) {
            Shown::Coloured(lines) => return Some(lines),
            Shown::Plain => return None,
            Shown::Awaited => (),
            Shown::Unknown => self.notes.borrow_mut().wanted.push(Snippet {
                key,
                language: language.to_owned(),
                text: text.to_owned(),
            }),
        }
        self.await_these(&[key]);
        None
    }

    pub(crate) fn is_found(&self, name: Name) -> bool {
        self.colours.is_found(name)
    }

    pub(crate) fn await_these(&self, names: &[Name]) {
        self.notes.borrow_mut().awaited.extend_from_slice(names);
    }

    /// How many are awaited so far.
    pub(crate) fn mark(&self) -> usize {
        self.notes.borrow().awaited.len()
    }

    /// What is awaited since then.
    pub(crate) fn since(&self, mark: usize) -> Vec<Name> {
        self.notes
            .borrow()
            .awaited
            .get(mark..)
            .unwrap_or(&[])
            .to_vec()
    }

    pub(crate) fn notes(self) -> Notes {
        self.notes.into_inner()
    }
}
