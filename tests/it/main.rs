//! The one integration binary: everything that needs more than one room.

mod agent_server;
mod binary;
mod binary_pty;
mod contracts;
mod directory;
mod endpoint;
mod faces;
mod full_disk;
mod hostile;
mod inline_pty;
mod journeys;
mod lifetime;
mod linear_pty;
mod link;
mod plan;
mod probe;
mod quality;
mod readme;
mod samples;
mod screens;
mod support;
mod tabs_pty;
mod themes;
mod tidy;
mod undo;
mod writing_pty;
