//! Where a run's files go on this machine, and how the mirror is told of it.
//!
//! The same for the headless faces, for `ashore mirror …` and, through `main`, for the screen.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::attach::effect::Effect;
use crate::attach::perform::Opened;
use crate::client::runs::{DirectoryId, Known};
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::mirror::blobs::{self, Blobs, Wanted};
use crate::mirror::control::{self, Request};
use crate::mirror::lock::{self, Stay};
use crate::mirror::scan::Limits;
use crate::mirror::worker::{Error, Order, Setup};
use crate::protocol::file::FileManifest;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::{RunId, RunRef};

/// The folder of all locks on mirrored directories.
pub fn locks(context: &Context) -> PathBuf {
    context.places.state.join("mirrors")
}

/// What a mirror of this run into `root` needs. `seeded_here`: the sandbox was made from this very directory.
pub fn setup(context: &Context, run: &RunId, root: &Path, seeded_here: bool) -> Setup {
    Setup {
        root: root.to_owned(),
        run: run.clone(),
        run_folder: context.places.run(run),
        mirrors: locks(context),
        ignore: context.ignore(root),
        include: context.settings.include.clone(),
        limits: Limits {
            file: context.settings.max_file,
            ..Limits::default()
        },
        blobs: None,
        seeded_here,
    }
}

/// The directory recorded here for a run, if its files are mirrored.
pub fn recorded(known: Option<&Known>) -> Option<&Path> {
    known
        .filter(|known| known.mirrored)
        .and_then(|known| known.directory.as_deref())
}

/// Whether the run's sandbox was made from this very directory: then a file that is missing here was deleted here, else
/// it has yet to come. Another directory in its place, a new clone perhaps, is not it.
pub fn is_seeded_from(known: Option<&Known>, directory: Option<&Path>) -> bool {
    let from = known.and_then(|known| known.seeded_id.as_ref());
    let here = directory.and_then(DirectoryId::of);
    from.is_some() && from == here.as_ref()
}

/// The run's contents, for a command that may not need them: nobody is asked before the first one is wanted.
pub fn blobs(context: &Context, known: &Known) -> Arc<dyn Blobs> {
    Arc::new(Asked {
        context: context.clone(),
        known: known.clone(),
    })
}

struct Asked {
    context: Context,
    known: Known,
}

impl Asked {
    async fn blobs(&self) -> Result<Arc<dyn Blobs>, blobs::Error> {
        let found = self.context.found(self.known.clone()).await;
        let found = found.map_err(|failure| blobs::Error::Unreachable(failure.what))?;
        Ok(found.api.blobs(&found.at))
    }
}

#[async_trait::async_trait]
impl Blobs for Asked {
    async fn get(&self, want: &Wanted, into: &Path) -> Result<(), blobs::Error> {
        self.blobs().await?.get(want, into).await
    }

    async fn put(&self, hash: ContentHash, size: u64, from: &Path) -> Result<(), blobs::Error> {
        self.blobs().await?.put(hash, size, from).await
    }

    async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, blobs::Error> {
        self.blobs().await?.missing(hashes).await
    }

    async fn pack(
        &self,
        hashes: &[ContentHash],
    ) -> Result<Vec<(ContentHash, Vec<u8>)>, blobs::Error> {
        self.blobs().await?.pack(hashes).await
    }
}

/// Starts the mirror and gives it its first base, before it hears of any change.
///
/// Without a manifest at hand the endpoint is asked for the one the run was seeded with.
pub async fn join(
    opened: &mut Opened,
    setup: Setup,
    at: &RunRef,
    manifest: Option<FileManifest>,
) -> Result<(), Error> {
    let road = opened.performer.road().clone();
    let blobs = Some(road.blobs(at));
    opened
        .performer
        .join_mirror(Setup { blobs, ..setup })
        .await?;
    opened.attached.mirrored = true;
    let manifest = match manifest {
        Some(manifest) => Some(manifest),
        // An endpoint that cannot be reached now has given the base at the first attach, or gives the files as they come.
        None => road.api().seed_manifest(at).await.ok().flatten(),
    };
    if let Some(manifest) = manifest {
        opened
            .performer
            .perform(Effect::Mirror(Order::Baseline(manifest)));
    }
    Ok(())
}

/// So long a message waits for the edits before it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks whoever mirrors this run here to send what is edited, before something is said. A line when that did not come to
/// an end in time.
pub async fn flush(context: &Context, run: &RunId) -> Option<String> {
    let locks = locks(context);
    let asked = control::ask(&locks, run, &Request::Flush);
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(_) => None,
        Err(_) => Some(format!(
            "what was edited here could not all be sent within {} s: the message goes before it",
            PATIENCE.as_secs()
        )),
    }
}

/// Refuses when another live mirror holds this directory, or one above or below it: before anything is created.
pub async fn must_be_free(context: &Context, root: &Path) -> Result<(), Failure> {
    let run = RunId::random();
    match lock::take(&locks(context), root, &run, Stay::Passing).await {
        Ok(_free) => Ok(()),
        Err(error) => Err(refused(&Error::Lock(error))),
    }
}

pub fn refused(error: &Error) -> Failure {
    match error {
        Error::Lock(
            lock::Error::Held(_) | lock::Error::Nested { .. } | lock::Error::NoDirectory(_),
        ) => Failure::usage(error.to_string()),
        Error::Lock(_) | Error::Base(_) | Error::Root { .. } => {
            Failure::new(Exit::Mirror, error.to_string()).hint("--no-mirror does without")
        }
        Error::Pattern(_) => Failure::usage(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::ProjectId;

    #[test]
    fn a_run_is_seeded_from_a_directory_and_not_from_whatever_stands_in_its_place() {
        let place = tempfile::tempdir().unwrap();
        let [here, moved] = ["here", "moved"].map(|name| place.path().join(name));
        std::fs::create_dir(&here).unwrap();
        let known = Known {
            at: RunRef {
                project: ProjectId(1),
                task: "t".parse().unwrap(),
                run: RunId::random(),
            },
            endpoint: "local".to_owned(),
            url: "http://127.0.0.1:1/".to_owned(),
            local: true,
            directory: Some(here.clone()),
            seeded_from: Some(here.clone()),
            seeded_id: DirectoryId::of(&here),
            mirrored: true,
            title: String::new(),
            agent: None,
            created: String::new(),
        };
        assert!(is_seeded_from(Some(&known), Some(&here)));
        // The same one under another name, and a new clone where it was.
        #[expect(clippy::disallowed_methods, reason = "a directory of the test's own")]
        std::fs::rename(&here, &moved).unwrap();
        assert!(!is_seeded_from(Some(&known), Some(&here)));
        std::fs::create_dir(&here).unwrap();
        assert!(!is_seeded_from(Some(&known), Some(&here)));
        assert!(is_seeded_from(Some(&known), Some(&moved)));
        // One that an older version remembered.
        let older = Known {
            seeded_id: None,
            ..known
        };
        assert!(!is_seeded_from(Some(&older), Some(&moved)));
        assert!(!is_seeded_from(None, Some(&moved)));
    }
}
