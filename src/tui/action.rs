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
    // A file that is reviewed, change by change.
    KeepChange,
    TakeChangeBack,
    ChangeNext,
    ChangeBefore,
    // What an undo would do.
    UndoNow,
    UndoFile,
    UndoTurn,
    UndoRun,
    // A conflict.
    KeepMine,
    TakeTheirs,
    KeepBoth,
    Merge,
    EditBoth,
    MergeTool,
    CompareOthers,
    // The first look into a directory.
    MirrorHere,
    IntoWorktree,
    AsPatch,
    TranscriptOnly,
    // Pieces of what was said, to be copied.
    PieceAnswer,
    PieceMessage,
    /// The only block of code.
    PieceCode,
    /// The block of code of this number, from 1.
    PieceBlock(u8),
    PieceDiff,
    PieceCommand,
    PiecePath,
    PieceRun,
    PieceAll,
    // The picker, a confirmation.
    Open,
    NewRun,
    Filter,
    Yes,
}

impl Action {
    /// Means something on the page that it decides only.
    pub(crate) fn is_of_page(self) -> bool {
        matches!(
            self,
            Self::KeepChange
                | Self::TakeChangeBack
                | Self::ChangeNext
                | Self::ChangeBefore
                | Self::UndoNow
                | Self::UndoFile
                | Self::UndoTurn
                | Self::UndoRun
                | Self::KeepMine
                | Self::TakeTheirs
                | Self::KeepBoth
                | Self::Merge
                | Self::EditBoth
                | Self::MergeTool
                | Self::CompareOthers
                | Self::MirrorHere
                | Self::IntoWorktree
                | Self::AsPatch
                | Self::TranscriptOnly
                | Self::PieceAnswer
                | Self::PieceMessage
                | Self::PieceCode
                | Self::PieceBlock(_)
                | Self::PieceDiff
                | Self::PieceCommand
                | Self::PiecePath
                | Self::PieceRun
                | Self::PieceAll
        )
    }

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
