//! Which endpoint, and the key to it.
//!
//! Plain values; no I/O.

use std::fmt;

use reqwest::Url;

/// A bearer token. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the `Authorization` header and a 0600 file, nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// An endpoint to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `local`, a configured name, or the host of a URL.
    pub name: String,
    /// Scheme, host, port; no path.
    pub url: Url,
    pub token: Option<Token>,
    /// The endpoint of this user on this machine, which we may start again.
    pub local: bool,
}
