//! How an endpoint that is not one of ours numbers, replays and answers (contract 0 and 3: `sync-v1` and `sync-v2`).
//!
//! Its event ids restart with every connection and its replay loses and repeats lines, so neither is used. Every attempt
//! opens the stream without `Last-Event-ID`, reads the log, and joins the two by what they say: `reconcile` decides,
//! `unnumbered` does.
//!
//! The sequences that come out are our own: the place of a line in the order in which it was met here, beginning with 1 at
//! each attach. They mean nothing to the endpoint and may differ from attach to attach (a client's message is met late,
//! for the stream does not carry it). So nothing of such a run goes into the journal cache, no cursor is kept, and each
//! attach reads the log from its start; within one attach, `Shown` remembers from attempt to attempt what was told.

mod reconcile;
pub(crate) mod unnumbered;

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::client::dialect::reconcile::Memory;
use crate::protocol::hash::ContentHash;

/// What was told of one run, across attempts. Cheap to clone; all clones are one memory.
#[derive(Debug, Clone, Default)]
pub struct Shown(pub(crate) Arc<Mutex<Memory<ContentHash>>>);
