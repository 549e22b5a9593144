//! One-shot faces: every command but the screen.
//!
//! Uses `protocol`, `session`, `attach`, `client`, `mirror`, `config`.

pub mod agents;
pub mod attached;
pub mod changes;
pub mod config;
pub mod context;
pub mod diff;
pub mod doctor;
mod drive;
pub mod endpoint;
pub mod events;
pub mod export;
pub mod failure;
pub mod first;
pub mod follow;
pub mod forecast;
pub mod headless;
pub mod logs;
pub mod mirror;
pub mod mirrored;
pub mod outcome;
pub mod output;
pub mod patch;
pub mod plan;
pub mod printer;
pub mod read;
pub mod runs;
pub mod status;
pub mod terminal;
mod undo;
pub mod wait;
pub mod worktree;
mod writes;
