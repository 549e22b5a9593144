//! What a key means: wishes of the user, before anything is decided.
//!
//! Pure.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    // The draft.
    Submit,
    Newline,
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
    Up,
    Down,
    HistoryOlder,
    HistoryNewer,
    DeleteBack,
    DeleteForward,
    KillWordBack,
    KillWordForward,
    KillToEnd,
    KillToStart,
    Yank,
    Undo,
    Complete,
    SearchHistory,
    /// A file with the message.
    Attach,
    Editor,
    /// A message that was not taken, back into the draft; again: the one before it.
    TakeBack,
    /// The one behind it, and at last the draft of before.
    QueueNewer,
    // What waits for the agent.
    Steer,
    QueueRemove,
    QueueEarlier,
    QueueLater,
    // Everywhere.
    Escape,
    Interrupt,
    Leave,
    Help,
    Redraw,
    Suspend,
    Leader,
    /// The mouse is ours, or the terminal's again.
    Mouse,
    /// Everything that can be done, in a box.
    Palette,
    SwapFocus,
    ExpandAll,
    Plan,
    PageUp,
    PageDown,
    Question,
    /// The agent's next mode.
    NextMode,
    /// Modes, models and other options of the agent.
    Choose,
    Runs,
    /// To the tab of this number, from 1.
    Tab(u8),
    TabBefore,
    TabNext,
    /// The run goes on.
    CloseTab,
    CopyAnswer,
    Stop,
    // Browsing.
    StepUp,
    StepDown,
    HalfUp,
    HalfDown,
    Top,
    Bottom,
    Fold,
    /// More, or fewer, lines around what changed.
    MoreAround,
    LessAround,
    /// Search what was said.
    Find,
    FindNext,
    FindBefore,
    // Jumping: to a turn, or upward to the next of a kind.
    TurnBefore,
    TurnNext,
    Error,
    Diff,
    File,
    Asked,
    /// To what came while nobody looked.
    Away,
    /// The menu of what can be copied.
    Copy,
    /// Text as it was said, without anything of ours.
    Raw,
    Retry,
    Chat,
    Tools,
    Files,
    PaneLeft,
    PaneRight,
    PutBack,
    /// An image, or what else is no text, into a file.
    Save,
    /// The place that is told, in the editor.
    OpenAt,
    /// What the agent touches is shown, until somebody moves.
    Follow,
    /// What changed in a file, one change after the other.
    Review,
    /// Both sides of a conflict.
    Conflict,
    /// The mirror's next direction.
    Direction,
    // A question of the agent; a digit picks.
    Pick(u8),
    /// The digits pick from the next nine answers.
    MoreAnswers,
    AllowOnce,
    AllowAlways,
    Reject,
    /// Reject, with words for the agent.
    RejectWhy,
    Details,
    // The picker, a confirmation.
    Open,
    NewRun,
    Filter,
    Yes,
}

impl Action {
    /// Moves what is read, or the chosen line of a list.
    pub(crate) fn scrolls(self) -> bool {
        matches!(
            self,
            Self::StepUp
                | Self::StepDown
                | Self::HalfUp
                | Self::HalfDown
                | Self::PageUp
                | Self::PageDown
                | Self::Top
                | Self::Bottom
        )
    }
}
