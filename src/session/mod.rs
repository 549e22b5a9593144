//! What has been said in a run, as state: a pure fold over its journal.
//!
//! Uses `protocol`. No I/O, no async, no clock, no widgets.

pub mod cells;
pub mod choices;
mod copies;
mod index;
pub mod reduce;
pub mod state;
pub mod tool;
pub mod transcript;
