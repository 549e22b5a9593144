//! What can go wrong on the road, sorted by what the reader can do about it.

/// A failed call.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// 401 and 403: final. The text is the endpoint's own.
    #[error("the endpoint refused the token (HTTP {status}): {text}")]
    Refused { status: u16, text: String },
    /// 404: final.
    #[error("{text}")]
    Gone { text: String },
    /// 409 and other 4xx: the request itself is wrong; final for this request.
    #[error("the endpoint did not accept this (HTTP {status}): {text}")]
    Rejected { status: u16, text: String },
    /// No connection, a time-out, 429, 5xx: worth trying again.
    #[error("the endpoint cannot be reached: {text}")]
    Unreachable { text: String },
    /// An answer that is not what the contract says: HTML, half a line, a redirect to another host.
    #[error("the endpoint answered something else than the protocol: {text}")]
    Malformed { text: String },
    /// Our own side: a certificate file that cannot be read, a URL that is none. Final, and the user's to mend.
    #[error("{text}")]
    Setup { text: String },
}

impl Error {
    /// Trying again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Malformed { .. } => true,
            Self::Refused { .. }
            | Self::Gone { .. }
            | Self::Rejected { .. }
            | Self::Setup { .. } => false,
        }
    }
}
