//! The run in the terminal's own scrollback: what is finished is printed once, and one live line stands below it.
//!
//! The same state, the same `update` and the same keys as the picture has. [`page::Page`] says once what is finished,
//! `view::inline` draws the live line; both are pure. Nothing that was printed is ever touched again.

pub mod page;
pub mod screen;
