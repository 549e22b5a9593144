//! What several tests need: a hermetic home, an endpoint of its own or a scripted one, the process table.

pub(crate) mod home;
pub(crate) mod processes;
pub(crate) mod scripted;
pub(crate) mod serve;
pub(crate) mod small_disk;
pub(crate) mod terminal;
