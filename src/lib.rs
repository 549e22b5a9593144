//! Ashore: the terminal client for coding agents that run somewhere else, and the endpoint they run behind.

pub mod agent;
pub mod attach;
pub mod backend;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod mirror;
pub mod protocol;
pub mod session;
pub mod tui;
