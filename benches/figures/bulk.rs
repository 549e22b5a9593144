//! P10: many small files over loopback HTTP into an empty directory, by the mirror's worker: each verified, beneath the
//! root, atomic, and on the disk before it counts as settled.
//!
//! Beside it the same files from a local folder, which syncs nothing: `rsync -a` where it is installed, else a temp file,
//! a write and a rename each. Before either side begins the disk is given what it is still owed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ashore::mirror::blobs::Blobs;
use ashore::mirror::worker::{Order, Report, start};
use ashore::protocol::file::{FileChange, FileManifest};
use ashore::protocol::hash::ContentHash;
use ashore::protocol::ids::Seq;
use tokio::task::JoinSet;

use crate::data::Chance;
use crate::endpoint::Endpoint;
use crate::land::{change, setup};
use crate::measure::{Figure, Goal, Unit, millis, now, timed, turns};

const FILES: usize = 10_000;
const IN_A_FOLDER: usize = 100;
/// Contents that go up at once, before anything is measured.
const UPLOADS: usize = 32;
/// What a client measured elsewhere brought in a second.
const ELSEWHERE: f64 = 600.0;

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temp folder");
    let count = FILES / scale;
    let files = files(&folder.path().join("from"), count);
    let (endpoint, blobs) = runtime.block_on(offered(folder.path(), &files));
    let rsync = runs("rsync", &["--version"]);
    let (mut ours, mut theirs) = (0, 0);
    let (mirrored, copied) = turns(
        || {
            ours += 1;
            let place = folder.path().join(format!("ours{ours}"));
            owed();
            runtime.block_on(mirror(&place, &files, Arc::clone(&blobs)))
        },
        || {
            theirs += 1;
            let to = folder.path().join(format!("theirs{theirs}"));
            owed();
            timed(|| copy(&folder.path().join("from"), &to, &files, rsync))
        },
    );
    drop(endpoint);
    let sides = format!("{:.0} ms, {:.0} ms", millis(mirrored), millis(copied));
    vec![
        Figure {
            name: "P10",
            what: if rsync {
                "10,000 small files over HTTP, durable / `rsync -a` of a folder"
            } else {
                "10,000 small files over HTTP, durable / temp file and rename each"
            },
            value: mirrored.as_secs_f64() / copied.as_secs_f64(),
            unit: Unit::Ratio,
            goal: Goal::AtMost(1.3),
            sides,
        },
        Figure {
            name: "P10",
            what: "the same, files a second",
            value: count as f64 / mirrored.as_secs_f64(),
            unit: Unit::PerSecond,
            goal: Goal::AtLeast(20.0 * ELSEWHERE),
            sides: String::new(),
        },
    ]
}

/// A program that is there and says yes.
fn runs(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What was written before is nobody's to wait for.
fn owed() {
    assert!(runs("sync", &[]), "the disk takes what it is owed");
}

/// Name and content of each, which stand in this folder.
fn files(from: &Path, count: usize) -> Vec<(String, Vec<u8>)> {
    let mut chance = Chance(10);
    let file = |number: usize| {
        let name = format!("d{}/file{number}.txt", number / IN_A_FOLDER);
        let size = 1_024 + chance.below(2_048) as usize;
        let mut bytes = format!("{number}\n").into_bytes();
        bytes.extend(chance.words(size).into_bytes());
        let at = from.join(&name);
        std::fs::create_dir_all(at.parent().expect("it has one")).expect("a folder below it");
        crate::write(&at, &bytes);
        (name, bytes)
    };
    (0..count).map(file).collect()
}

/// An endpoint that has all the contents for a run.
async fn offered(folder: &Path, files: &[(String, Vec<u8>)]) -> (Endpoint, Arc<dyn Blobs>) {
    let endpoint = Endpoint::start(&folder.join("store")).await;
    let at = endpoint.new_run().await;
    let blobs = endpoint.api().blobs(&at);
    let mut uploads = JoinSet::new();
    for (name, bytes) in files {
        if uploads.len() >= UPLOADS {
            uploads.join_next().await;
        }
        let (blobs, at) = (Arc::clone(&blobs), folder.join("from").join(name));
        let (hash, size) = (ContentHash::of(bytes), bytes.len() as u64);
        uploads.spawn(async move { blobs.put(hash, size, &at).await.expect("it is taken") });
    }
    uploads.join_all().await;
    (endpoint, blobs)
}

async fn mirror(place: &Path, files: &[(String, Vec<u8>)], blobs: Arc<dyn Blobs>) -> Duration {
    let root = place.join("work");
    std::fs::create_dir_all(&root).expect("a folder below it");
    let mut tasks = JoinSet::new();
    let (orders, mut reports) = start(setup(place, &root, blobs), &mut tasks)
        .await
        .expect("a mirror");
    orders
        .send(Order::Baseline(nothing()))
        .await
        .expect("it lives");
    // The first look is over.
    while !matches!(
        reports.recv().await,
        Some(Report::Status(status)) if status.checked_at.is_some()
    ) {}
    let changes: Vec<FileChange> = files
        .iter()
        .map(|(name, bytes)| change(name, bytes))
        .collect();
    let last = Seq(changes.len() as u64);
    let began = now();
    tasks.spawn(async move {
        for (change, number) in changes.into_iter().zip(1..) {
            let seq = Seq(number);
            let order = Order::Remote { seq, change };
            orders.send(order).await.expect("it lives");
        }
        // It ends when nobody can order any more.
        std::future::pending::<()>().await;
    });
    loop {
        match reports.recv().await.expect("it lives") {
            Report::Status(status) if status.settled >= last => break,
            Report::Note(note) => panic!("the mirror says: {note}"),
            _ => (),
        }
    }
    let took = began.elapsed();
    for (name, bytes) in files.iter().step_by(97) {
        assert_eq!(std::fs::read(root.join(name)).ok().as_ref(), Some(bytes));
    }
    took
}

fn copy(from: &Path, to: &Path, files: &[(String, Vec<u8>)], rsync: bool) {
    if rsync {
        let words = [from.join(""), to.to_owned()].map(PathBuf::into_os_string);
        let status = Command::new("rsync").arg("-a").args(words).status();
        assert!(status.is_ok_and(|status| status.success()));
        return;
    }
    for (name, _) in files {
        let (from, at) = (from.join(name), to.join(name));
        let folder = at.parent().expect("it has one");
        std::fs::create_dir_all(folder).expect("a folder below it");
        let bytes = std::fs::read(from).expect("it stands there");
        let file = tempfile::NamedTempFile::new_in(folder).expect("a temp file");
        std::io::Write::write_all(&mut &file, &bytes).expect("it can be written");
        file.persist(at).expect("it can be renamed");
    }
}

fn nothing() -> FileManifest {
    FileManifest {
        version: 1,
        base_commit: None,
        updated_at: "2026-01-19T14:02:00Z".to_owned(),
        files: std::collections::BTreeMap::new(),
        deleted_files: Vec::new(),
        bundle: None,
        head: None,
        branch: None,
        remotes: std::collections::BTreeMap::new(),
    }
}
