//! How the screen behaves towards the terminal it lives in, and towards whoever else lives there.
//!
//! Plain values.

use std::path::PathBuf;

use crate::tui::theme::Choice;
use crate::tui::tty::clip::Way;
use crate::tui::tty::notify;
use crate::tui::tty::report::Manners;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Citizen {
    /// The themes; `None` leaves the one that is painted with.
    pub themes: Option<Choice>,
    /// What the terminal answered, so far.
    pub manners: Manners,
    /// It has said at least once that the focus came or went.
    pub heard_focus: bool,
    pub habits: Habits,
    /// The mouse is ours now.
    pub mouse: bool,
    /// A turn was running when the link was last live: its end is worth a call.
    pub worked: bool,
    /// Keys of the config that hold from the next start on, as they were told.
    pub later: Vec<String>,
    /// The window's title that was last given; `None` when it is left alone.
    pub title: Option<String>,
}

/// What the config and the environment say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Habits {
    pub clipboard: Way,
    /// What [`Way::Command`] runs, and what [`notify::Wish::Command`] does.
    pub clipboard_command: Vec<String>,
    pub notify_command: Vec<String>,
    /// The user's, for shorter paths.
    pub home: Option<PathBuf>,
    pub notify: notify::Wish,
    pub place: notify::Place,
    /// The window's title is ours.
    pub titles: bool,
    /// Addresses may be opened with the mouse (OSC 8).
    pub links: bool,
    /// No sign of ours beyond ASCII; `None`: as the terminal can.
    pub ascii: Option<bool>,
    /// The picture moves as little as it can.
    pub calm: bool,
    /// The right column stands where there is room for it.
    pub column: bool,
    /// The mouse is ours from the start.
    pub mouse: bool,
}

impl Citizen {
    /// No sign of ours beyond ASCII: as it is wished, else where they would take two columns.
    pub fn ascii(&self) -> bool {
        self.habits.ascii.unwrap_or(self.manners.wide_signs)
    }
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            clipboard: Way::default(),
            clipboard_command: Vec::new(),
            notify_command: Vec::new(),
            home: None,
            notify: notify::Wish::default(),
            place: notify::Place::default(),
            titles: false,
            links: false,
            ascii: None,
            calm: false,
            column: true,
            mouse: false,
        }
    }
}
