//! What several tests need: a hermetic home, a scripted endpoint, the process table.

pub(crate) mod home;
pub(crate) mod processes;
pub(crate) mod scripted;
pub(crate) mod small_disk;
pub(crate) mod terminal;
