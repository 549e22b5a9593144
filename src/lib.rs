//! Ashore: the terminal client for coding agents that run somewhere else, and the endpoint they run behind.
//!
//! # The map
//!
//! Each room may use only the rooms its line names; a test holds that (`tests/it/tidy.rs`). Pure cores decide,
//! thin shells act: something happened (event), state changes, orders go out (effects).
//!
//! | room | what it is | uses | never |
//! |---|---|---|---|
//! | [`protocol`] | words on the wire | nothing | I/O, async, time |
//! | [`config`] | settings, places, the environment | `protocol` | the network |
//! | [`cli`] | the command line as types | `protocol` | behaviour |
//! | [`session`] | what has been said in a run | `protocol` | I/O, async, clock, widgets |
//! | [`mirror`] | the working folder | `protocol` | network; writes outside the root (but `exclude`) |
//! | [`client`] | the road to an endpoint | `protocol`, `mirror::blobs`, `config` | the state of a session |
//! | [`attach`] | one run, followed | `protocol`, `session`, `mirror`, `client`, `config` | widgets |
//! | [`tui`] | the screen | `protocol`, `session`, `mirror`, `attach`, `client`, `config` | deciding in `view` |
//! | [`commands`] | one-shot faces | all of the above but `tui` | a screen |
//! | [`agent`] | the other end, in the sandbox | `protocol`, `mirror`, `client`, `config` | the user's token |
//! | [`backend`] | the endpoint | `protocol`, `config` | looking at a client |
//! | `sim` | all of it in one thread and simulated time, for tests | every room | being used by one |
//!
//! `plant` is no room but a switch, which every room may ask: the mistakes that the simulation must find.
//!
//! ```text
//!                         main
//!    tui       commands        agent            backend
//!      \         /               |                 |
//!        attach ----------.      |                 |
//!       /   |    \         \     |                 |
//!  session mirror client ---+----+      config     |
//!       \    |     /                     cli       |
//!        protocol -------------------------------- +
//! ```
//!
//! `tui`, `commands`, `agent` and `backend` never import one another; only `main` names them all.
//!
//! # The journeys
//!
//! - (a) bytes to pixels: `client::stream` → `attach::update` → `session::reduce` → `tui::view`.
//! - (b) key to POST: `tui::update` → `attach::update` → `Effect::Post` → `attach::perform` → `client::api`.
//! - (c) remote file to disk: `attach::update` → `Effect::Mirror` → `mirror::worker` → `plan` → `disk`.
//! - (d) local file to sandbox: `mirror::watch` → `worker` → `up` → `lift` → `attach::update` → `Effect::Post` → `agent::edits`.
//! - (d') that edit into the sandbox: `agent::link` → `agent::turns` → `agent::edits` → `mirror::apply` → `file_applied` → every client.
//! - (e) a prompt's round trip: `backend::http` → `backend::journal` → `agent::run` → the ACP child → `append_log` → every client.
//! - (f) create a run: `attach::launch` → `backend::http` → `backend::lifecycle` → `backend::sandbox` → `agent`.
//!
//! # Invariants
//!
//! - One journal per run is the truth: line *k* has sequence *k*; it is announced and acknowledged when it is durable.
//! - Raw first, typed second: what an agent said is stored as the JSON it was.
//! - A user's byte is overwritten only after it has been kept, and never by bytes that do not have the announced hash.
//! - What is told of the sandbox's files is on its disk: a power cut tears only what nobody has heard of, and what it tore is put
//!   back, not told.
//! - Everything from outside is hostile until parsed, and every buffer has a bound.

pub mod agent;
pub mod attach;
pub mod backend;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod mirror;
mod plant;
pub mod protocol;
pub mod session;
#[cfg(test)]
mod sim;
pub mod tui;
