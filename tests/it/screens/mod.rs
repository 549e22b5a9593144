//! The screen, played without a terminal.

mod anything;
mod behaviour;
mod pictures;
mod scenes;
mod script;
