//! Mistakes that can be switched on, to see whether the simulation finds them (`sim`). Outside its tests every switch is
//! a constant `false` and costs nothing.
//!
//! A mistake stands in the code that would make it, at the place where it would be made: `crate::planted!(TornTailKept)`.

/// The mistakes, each named for what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bug {
    // The endpoint.
    AckBeforeFsync,
    RepeatBeforeDurable,
    TornTailKept,
    AnnounceBeforeDurable,
    BrokenBookKept,
    KeyForgottenAtRestart,
    BatchOffByOne,
    OffByOneCursor,
    ReplayBeforeSubscribe,
    TwoCancelsOnePrompt,
    // The client.
    ShorterHelloTaken,
    ChunkDroppedAtSplit,
    CursorBeforeEntry,
    CacheHoleKept,
    ResetIgnored,
    RetryTimerLost,
    DroppedOnAccept,
    // The agent side.
    CutJournalTaken,
    LateWordsTakeTheOldName,
    SpoolWithoutBatch,
    RecallForgetsTaken,
    PromptBeforeTaken,
    PromptDuringTurn,
    CancelsWrongPrompt,
    LateCancelHitsNext,
    BarrierSkipped,
    PromptBeforeEdits,
    StaleEditApplied,
    ToldBeforeSynced,
    TornTold,
    // The mirror.
    BaseBeforeRename,
    RenamedBeforeSync,
    PreImageSkipped,
    SecondLookSkipped,
    ChangedFileDeleted,
    EchoNotKnown,
    EditsBehindPrompt,
    SwappedOutForgotten,
    DeafAfterRewind,
}

#[cfg(not(test))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Makes this mistake, on this thread, from now on; `None` makes none.
#[cfg(test)]
pub(crate) fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// True when this mistake is to be made.
macro_rules! planted {
    ($bug:ident) => {
        $crate::plant::is($crate::plant::Bug::$bug)
    };
}
pub(crate) use planted;
