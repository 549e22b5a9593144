//! Settings = defaults < user file < project file < environment < flags; and the places where things are kept.
//!
//! The only room that asks the environment. `keys` knows every key there is, `file` reads one TOML file,
//! `settings` puts the layers together (pure), `places` says where things are kept.

pub mod env;
pub mod file;
pub mod keys;
pub mod places;
pub mod settings;
