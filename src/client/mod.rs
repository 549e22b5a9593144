//! The road to an endpoint: REST, the stream on its leash, and the local endpoint's start.
//!
//! Uses `protocol`, `mirror::blobs` and `config`. Never holds the state of a session.

pub mod api;
mod blobs;
pub mod dialect;
pub mod endpoint;
pub mod error;
pub(crate) mod http;
pub mod leash;
mod lines;
pub mod local;
pub mod refusal;
pub mod retry;
pub mod runs;
pub mod stream;

#[cfg(test)]
pub(crate) mod raw;
