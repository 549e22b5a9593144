//! The picture: `screen::view(&State, &mut Paint, &mut Frame)`. Pure; asks for roles, never for colours.

pub(crate) mod asked;
mod block;
mod call;
mod cell;
mod choose;
mod code;
mod composer;
mod diff;
mod files;
mod find;
mod glyphs;
pub(crate) mod head;
mod markdown;
pub mod paint;
mod panes;
mod picker;
mod plan;
pub(crate) mod popup;
mod question;
mod queue;
mod rows;
pub mod screen;
mod status;
pub(crate) mod text;
mod tools;
mod transcript;
mod welcome;
