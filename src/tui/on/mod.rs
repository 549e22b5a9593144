//! What `update` does, one subject a file. Pure, like `update` itself.

pub(crate) mod attachment;
pub(crate) mod away;
pub(crate) mod browse;
pub(crate) mod cancel;
pub(crate) mod choose;
pub(crate) mod citizen;
pub(crate) mod code;
pub(crate) mod copy;
pub(crate) mod draft;
pub(crate) mod editor;
pub(crate) mod find;
pub(crate) mod here;
pub(crate) mod history;
pub(crate) mod jump;
pub(crate) mod launch;
pub(crate) mod link;
pub(crate) mod mention;
pub(crate) mod palette;
pub(crate) mod picker;
pub(crate) mod popup;
pub(crate) mod question;
pub(crate) mod queue;
pub(crate) mod sides;
pub(crate) mod tastes;
pub(crate) mod vim;
pub(crate) mod writing;
