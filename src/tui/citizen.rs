//! How the screen behaves towards the terminal it lives in, and towards whoever else lives there.
//!
//! Plain values.

use crate::tui::tty::report::Manners;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Citizen {
    /// What the terminal answered, so far.
    pub manners: Manners,
    /// It has said at least once that the focus came or went.
    pub heard_focus: bool,
}
