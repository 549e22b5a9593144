//! The screen, played without a terminal.

mod anything;
mod asking;
mod behaviour;
mod cells;
mod citizen;
mod deciding;
mod finding;
mod first;
mod inline;
mod linear;
mod peers;
mod pictures;
mod places;
mod queue;
mod reviewing;
mod scenes;
pub(crate) mod script;
mod tabs;
mod tiers;
mod writing;
