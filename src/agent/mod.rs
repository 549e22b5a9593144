//! The other end, in the sandbox: drives an ACP agent as a child process for one run.
//!
//! Uses `protocol`, `mirror`, `client`, `config`.

mod acp;
mod child;
mod edits;
pub(crate) mod elicit;
pub(crate) mod files;
mod home;
pub(crate) mod journal;
pub(crate) mod link;
mod opening;
mod perform;
pub(crate) mod reading;
pub(crate) mod recall;
mod road;
pub(crate) mod spool;
mod taken;
mod tap;
mod torn;
mod translate;
pub(crate) mod turns;
mod whole;
pub(crate) mod wishes;
mod workspace;

pub mod demo;
pub mod limits;
pub mod run;
