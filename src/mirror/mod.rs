//! The working folder: what of a run's files stands here, and the hand that puts it there.
//!
//! Uses `protocol`. Never the network; never writes outside the root, but for the lines that keep our copies out of git
//! (`exclude`).

mod actor;
pub(crate) mod apply;
pub mod aside;
#[cfg(test)]
mod aside_tests;
pub mod base;
mod batch;
#[cfg(test)]
mod batch_tests;
pub mod blobs;
mod bulk;
mod by_hand;
pub mod control;
#[cfg(test)]
mod copy_tests;
pub(crate) mod disk;
#[cfg(test)]
mod disk_tests;
pub(crate) mod exclude;
#[cfg(test)]
mod fault_tests;
pub mod forecast;
mod fresh;
pub(crate) mod ground;
mod guard;
pub(crate) mod hand;
mod handles;
pub(crate) mod held;
#[cfg(test)]
mod held_tests;
pub mod history;
mod hold;
pub mod ignore;
mod inbox;
mod late;
pub(crate) mod life;
mod lift;
pub mod link;
pub mod lock;
mod look;
pub mod merge;
mod notice;
mod opened;
mod pile;
pub(crate) mod plan;
#[cfg(test)]
mod plan_tests;
pub(crate) mod preimage;
pub mod preview;
mod push;
mod recover;
mod rewound;
pub mod scan;
pub(crate) mod seedbed;
mod settle;
mod several;
pub mod show;
pub mod stamps;
#[cfg(test)]
mod stamps_tests;
pub mod status;
mod swap;
mod tell;
pub mod tracked;
mod undo;
#[cfg(test)]
mod undo_tests;
mod up;
#[cfg(test)]
mod up_tests;
pub mod versions;
#[cfg(test)]
mod versions_tests;
mod walk;
pub mod watch;
pub mod why;
#[cfg(test)]
mod why_tests;
pub mod worker;
#[cfg(test)]
mod worker_tests;
