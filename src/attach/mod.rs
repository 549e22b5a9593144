//! One run, followed: link, session, mirror and outbox as one machine.
//!
//! Uses `protocol`, `session`, `mirror`, `client`. `update` is pure; `perform` does what it orders.

pub mod approval;
pub mod attachment;
pub mod effect;
pub mod event;
pub mod first;
pub(crate) mod history;
pub mod journal;
pub mod launch;
#[cfg(test)]
mod launch_tests;
pub(crate) mod mailbox;
mod mirrored;
pub mod outbox;
pub mod perform;
pub mod queue;
pub mod restore;
mod shelf;
pub mod state;
pub mod update;
