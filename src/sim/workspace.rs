//! The agent's work tree on a simulated machine: the real scanner and applier; what `agent::run` finds around them is
//! built here.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::net::Road;
use super::process::Process;
use super::trees::{self, AGENT, folder};
use crate::agent::files::{Files, Told};
use crate::agent::recall::Recall;
use crate::agent::wishes::{self, Wisher};
use crate::mirror::watch::Batch;
use crate::protocol::file::Mode;

/// As `agent::run` has it.
const TOLD: usize = 64;

/// What comes from the work tree.
pub(super) enum News {
    Told(Told),
    Stirred(Batch),
}

/// Starts what looks at the work tree and writes into it; it ends with the process.
pub(super) async fn start(
    process: &Process,
    road: &Road,
    recall: &Recall,
) -> Result<(Wisher, mpsc::Receiver<News>, Vec<Value>), String> {
    let world = Arc::clone(&road.net.world);
    let tree = world.trees.agent();
    let mut known = world.trees.baseline();
    for (path, state) in recall.files() {
        match state.filter(|state| state.mode != Mode::Directory) {
            Some(state) => known.insert(path.clone(), state),
            None => known.remove(path),
        };
    }
    let stage = folder(tree, "stage");
    let files = Files::new(&folder(tree, "root"), stage, known, Arc::new(road.clone()));
    let files = files.map_err(|error| error.to_string())?;
    let files = files.with_applier(&folder(tree, ""), &folder(tree, "pre-images"));
    let mut files = files.map_err(|error| error.to_string())?;
    let lines = files.mend().await;
    let (wisher, wishes) = wishes::queue();
    let (tell, mut told) = mpsc::channel(TOLD);
    let (batches, mut watched) = mpsc::channel(4);
    let (news, heard) = mpsc::channel(1);
    process.spawn(files.run(wishes, tell));
    process.spawn(trees::watch(world, AGENT, batches));
    process.spawn(async move {
        loop {
            let one = tokio::select! {
                biased;
                Some(told) = told.recv() => News::Told(told),
                Some(batch) = watched.recv() => News::Stirred(batch),
                else => return,
            };
            if news.send(one).await.is_err() {
                return;
            }
        }
    });
    Ok((wisher, heard, lines))
}
