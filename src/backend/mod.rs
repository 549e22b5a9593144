//! The endpoint: the sync protocol over HTTP, the journal, the life of runs, the sandbox.
//!
//! Uses `protocol` and `config`. Never `client`, `attach`, `tui`, `agent`.

pub mod blobs;
mod doubt;
pub mod follow;
pub mod follower;
pub mod http;
mod incoming;
pub mod journal;
pub mod ledger;
pub mod lifecycle;
pub mod line;
pub mod log;
pub mod manifest;
pub mod parts;
pub(crate) mod presence;
pub mod quiet;
pub mod router;
pub mod sandbox;
pub mod serve;
pub mod store;
pub(crate) mod tree;
