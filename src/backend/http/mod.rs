//! The contract's routes: who may ask, what is read from a request, which shape the answer has.
//!
//! Decides nothing about entries (`journal`) or runs (`lifecycle`).

pub mod app;
pub mod artifacts;
pub mod auth;
pub mod blobs;
pub mod body;
pub mod error;
pub mod extract;
pub mod logs;
pub mod manifest;
pub mod open;
pub mod routes;
pub mod runs;
pub mod shape;
pub mod signed;
pub mod stream;
pub mod sync;
pub mod tasks;
