//! How the screen behaves towards the terminal it lives in, and towards whoever else lives there.
//!
//! Plain values.

use crate::tui::theme::Choice;
use crate::tui::tty::report::Manners;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Citizen {
    /// The themes; `None` leaves the one that is painted with.
    pub themes: Option<Choice>,
    /// What the terminal answered, so far.
    pub manners: Manners,
    /// It has said at least once that the focus came or went.
    pub heard_focus: bool,
}
