//! The screen: state, keys, drawing.
//!
//! Uses `protocol`, `session`, `attach`, `config`. `update` and `view` are pure; `run` does what they order.

pub mod action;
pub mod ask;
pub mod attachment;
pub mod away;
pub mod citizen;
pub mod colours;
mod combine;
pub mod composer;
mod editor;
pub mod effect;
pub mod event;
pub mod find;
pub mod fuzzy;
mod here;
mod hunks;
pub mod inline;
pub mod keymap;
pub mod linear;
mod menu;
mod on;
pub mod outside;
pub mod palette;
pub mod piece;
pub mod place;
pub mod replay;
pub mod review;
pub mod run;
pub mod sample;
mod saved;
mod seats;
pub mod source;
pub mod start;
pub mod state;
pub mod store;
mod surface;
pub mod tabs;
pub mod tastes;
pub mod terminal;
pub mod theme;
pub mod tty;
pub mod update;
pub mod view;
pub mod vim;
pub mod words;
pub mod writing;
