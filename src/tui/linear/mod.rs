//! The run as whole lines: for screen readers, for a terminal that can do nothing else, for a pipe.
//!
//! The same state and the same `update` as the picture has. [`tell::Teller`] says once what has become otherwise,
//! [`take::take`] is what a typed line means; both are pure. Nothing is drawn again, and no sequence is written.

mod cell;
pub(super) mod list;
pub(super) mod name;
pub mod run;
mod standing;
pub mod take;
pub mod tell;
