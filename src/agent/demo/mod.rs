//! The demo agent: a real ACP agent over stdio that needs no network (design section 5).
//!
//! It shares nothing with the rest of the program but the words of the wire, and it never pretends to be a model:
//! every answer is a fixed text or the plain account of what was done in the working directory.

pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod order;
pub mod run;
pub(crate) mod samples;
#[cfg(test)]
mod script;
pub(crate) mod shell;
pub(crate) mod stage;
pub(crate) mod tour;
pub(crate) mod turn;
pub(crate) mod wire;
