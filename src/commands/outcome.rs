//! How a headless turn ended, and which exit code that is.
//!
//! Pure.

use crate::commands::failure::Exit;
use crate::mirror::status::{MirrorState, MirrorStatus};
use crate::protocol::run::Status;
use crate::session::cells::Kind;
use crate::session::state::Session;
use crate::session::transcript::Body;

/// The end of a turn, as a script needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What the agent said: shown as it came, for agents are not always right about it.
    pub stop_reason: Option<String>,
    /// A JSON-RPC error in place of a stop reason.
    pub error: Option<String>,
    pub status: Option<Status>,
    /// A request was answered by the run's policy with something that is no `allow_*`.
    pub refused_by_policy: bool,
    pub conflicts: usize,
    /// Files of theirs that could not be put here.
    pub held: usize,
    /// Halted or paused.
    pub unsettled: bool,
}

impl Outcome {
    /// Of the last turn that ended in this session.
    pub fn of(session: &Session, status: Option<&Status>, mirror: &MirrorStatus) -> Self {
        let cells = &session.transcript.cells;
        let end = cells
            .labels()
            .rposition(|label| label.kind == Kind::TurnEnd);
        let end = end.and_then(|index| cells.get(index));
        let (stop_reason, error) = match end.as_deref().map(|cell| &cell.body) {
            Some(Body::TurnEnd {
                stop_reason, error, ..
            }) => (stop_reason.clone(), error.clone()),
            _ => Default::default(),
        };
        Self {
            stop_reason: Some(stop_reason).filter(|reason| !reason.is_empty()),
            error,
            status: session.status.clone().or_else(|| status.cloned()),
            refused_by_policy: false,
            conflicts: mirror.conflicts.len(),
            held: mirror.held_count(),
            unsettled: matches!(mirror.state, MirrorState::Halted | MirrorState::Paused),
        }
    }

    /// The code of the surface. What went wrong with the run comes before what is left to do here.
    pub fn exit(&self) -> Exit {
        let ended_well = self.stop_reason.as_deref() == Some("end_turn");
        match self {
            _ if self.status == Some(Status::Failed) || self.error.is_some() => Exit::RunFailed,
            _ if self.refused_by_policy && !ended_well => Exit::Permission,
            _ if !ended_well => Exit::AgentStopped,
            _ if self.conflicts > 0 || self.held > 0 || self.unsettled => Exit::Mirror,
            _ => Exit::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stop_reason: &str) -> Outcome {
        Outcome {
            stop_reason: Some(stop_reason.into()),
            ..Outcome::default()
        }
    }

    #[test]
    fn the_exit_code_follows_the_surface() {
        let table = [
            (ended("end_turn"), 0),
            (ended("refusal"), 10),
            (ended("cancelled"), 10),
            (ended("max_tokens"), 10),
            (
                Outcome {
                    refused_by_policy: true,
                    ..ended("end_turn")
                },
                0,
            ),
            (
                Outcome {
                    refused_by_policy: true,
                    ..ended("refusal")
                },
                5,
            ),
            (
                Outcome {
                    conflicts: 1,
                    ..ended("end_turn")
                },
                8,
            ),
            (
                Outcome {
                    held: 1,
                    ..ended("end_turn")
                },
                8,
            ),
            (
                Outcome {
                    unsettled: true,
                    ..ended("end_turn")
                },
                8,
            ),
            (
                Outcome {
                    status: Some(Status::Failed),
                    ..ended("end_turn")
                },
                9,
            ),
            (
                Outcome {
                    error: Some("crashed".into()),
                    ..Outcome::default()
                },
                9,
            ),
        ];
        for (outcome, code) in table {
            assert_eq!(outcome.exit().code(), code, "{outcome:?}");
        }
    }
}
