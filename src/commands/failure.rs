//! What ends a command: the exit code of the surface, and a sentence with what to do.
//!
//! Plain values; `main` prints them and ends the program.

use std::fmt;

use crate::client::error::Error;

/// The exit codes. Stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Other,
    Usage,
    TimeOut,
    NoSuchRun,
    Permission,
    Refused,
    Unreachable,
    Mirror,
    RunFailed,
    AgentStopped,
    Interrupted,
    Terminated,
    /// What the demo agent's `/crash` asks for, and the like.
    Code(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::TimeOut => 3,
            Self::NoSuchRun => 4,
            Self::Permission => 5,
            Self::Refused => 6,
            Self::Unreachable => 7,
            Self::Mirror => 8,
            Self::RunFailed => 9,
            Self::AgentStopped => 10,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Code(code) => code,
        }
    }

    /// The stable word for scripts that read stderr.
    fn word(self) -> &'static str {
        match self {
            Self::Done => "E-NONE",
            Self::Other | Self::Code(_) => "E-OTHER",
            Self::Usage => "E-USAGE",
            Self::TimeOut => "E-TIMEOUT",
            Self::NoSuchRun => "E-NO-RUN",
            Self::Permission => "E-PERMISSION",
            Self::Refused => "E-AUTH",
            Self::Unreachable => "E-UNREACHABLE",
            Self::Mirror => "E-MIRROR",
            Self::RunFailed => "E-RUN-FAILED",
            Self::AgentStopped => "E-AGENT",
            Self::Interrupted => "E-INTERRUPTED",
            Self::Terminated => "E-TERMINATED",
        }
    }
}

/// A command that did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    pub exit: Exit,
    pub what: String,
    /// What the user can do, one line each.
    pub hints: Vec<String>,
}

impl Failure {
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            hints: Vec::new(),
        }
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A part of the surface that this version does not have.
    pub fn later(what: &str) -> Self {
        Self::usage(format!("`{what}` is not in this version of ashore"))
            .hint("ashore --help lists what is")
    }

    pub fn no_run(text: &str) -> Self {
        Self::new(Exit::NoSuchRun, format!("there is no run `{text}`"))
            .hint("ashore ls --all shows those this endpoint has")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.exit.word(), self.what)?;
        self.hints
            .iter()
            .try_for_each(|hint| write!(f, "\n  try  {hint}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let what = error.to_string();
        match error {
            Error::Refused { .. } => Self::new(Exit::Refused, what).hint("set ASHORE_TOKEN to a token of this endpoint (ashore serve token create NAME, there)"),
            Error::Gone { .. } => Self::new(Exit::NoSuchRun, what).hint("ashore ls --all shows the runs this endpoint has"),
            Error::Rejected { .. } => Self::new(Exit::Other, what),
            Error::Unreachable { .. } => Self::new(Exit::Unreachable, what).hint("is it running, and is the address right? ashore doctor tells more"),
            Error::Setup { .. } => Self::usage(what),
            Error::Malformed { .. } => Self::new(Exit::Unreachable, what).hint("is this the address of an endpoint, and not of a web page or a proxy?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_what_happened_and_what_to_do() {
        let failure = Failure::from(Error::Refused {
            status: 401,
            text: "unknown token".into(),
        });
        assert_eq!(failure.exit.code(), 6);
        let text = failure.to_string();
        assert!(
            text.starts_with(
                "error[E-AUTH]: the endpoint refused the token (HTTP 401): unknown token\n  try  "
            ),
            "{text}"
        );
    }
}
