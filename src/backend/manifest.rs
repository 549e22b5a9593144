//! Writes down the tree a run has come to, so that who hands it over or takes it back need not read the journal.
//!
//! A shell around `backend::tree`: the journal decides. It is written when a run ends and brought up to date
//! when an ended one is asked for it, so an endpoint that died in between has lost nothing.

use crate::backend::blobs::{self, Blobs};
use crate::backend::journal::{self, Journal};
use crate::backend::store::{self, Store};
use crate::backend::tree::Tree;
use crate::protocol::ids::RunId;

/// How much of a journal is in memory while it is read.
const PIECE: usize = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(transparent)]
    Blobs(#[from] blobs::Error),
}

/// Where a manifest comes from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    pub store: &'a Store,
    pub journal: &'a Journal,
    pub blobs: &'a Blobs,
}

/// Writes the manifest of the run's whole journal, unless the one that is there has seen it to its end.
pub async fn close(from: Sources<'_>, run: &RunId) -> Result<(), Error> {
    let end = from.journal.last(run).await?;
    if from.store.closing_through(run).await? == Some(end) {
        return Ok(());
    }
    let (seed, since) = from.store.seed_and_place(run).await?;
    let mut tree = Tree::new(seed);
    let mut read = since;
    while read < end {
        let lines = from.journal.read_after(run, read, PIECE).await?;
        if lines.is_empty() {
            break;
        }
        for line in &lines {
            read = read.next();
            // Lines behind the end belong to the next look.
            if read <= end {
                tree.read(line);
            }
        }
    }
    let mut missing = Vec::new();
    for hash in tree.hashes() {
        if from.blobs.size(hash).await?.is_none() {
            missing.push(hash);
        }
    }
    let now = format!("{:.3}", jiff::Timestamp::now());
    if let Some(manifest) = tree.manifest(now, &missing) {
        from.store.put_closing(run, &manifest, end).await?;
    }
    Ok(())
}
