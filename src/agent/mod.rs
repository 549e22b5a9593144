//! The other end, in the sandbox: drives an ACP agent as a child process for one run.
//!
//! Uses `protocol`, `mirror`, `client`, `config`.

mod acp;
mod child;
mod edits;
mod files;
mod home;
mod journal;
mod link;
mod opening;
mod perform;
mod recall;
mod road;
mod spool;
mod tap;
mod translate;
mod turns;
mod wishes;
mod workspace;

pub mod demo;
pub mod limits;
pub mod run;
