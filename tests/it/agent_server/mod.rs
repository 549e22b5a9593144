//! The agent server against a real endpoint over loopback.

mod asking;
mod children;
mod demands;
mod edits;
mod heavy;
mod scene;
mod turns;
