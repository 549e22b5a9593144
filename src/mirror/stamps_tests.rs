//! What is read again and what is not: the rule of trust, and real trees over restarts of the mirror.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::mirror::base::Base;
use crate::mirror::disk::{Disk, state_of};
use crate::mirror::ground::{self, Folder, Stat};
use crate::mirror::hand::Hand;
use crate::mirror::ignore::Rules;
use crate::mirror::preimage::Preimages;
use crate::mirror::scan::{Limits, Tree, look, scan};
use crate::mirror::stamps::Cache;
use crate::mirror::worker::{Order, Report, take_up};
use crate::protocol::file::Mode;
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// Seconds that files look older than they are.
const AHEAD: i128 = 60;

fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

fn write(root: &Path, name: &str, text: &str) {
    let at = root.join(name);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(at, text).unwrap();
}

fn scanned(root: &Path, cache: &Cache) -> Tree {
    let rules = Rules::new(root, &[], &[]).unwrap();
    scan(root, &rules, Limits::default(), cache).unwrap()
}

/// What stands there has this text, says the scan.
fn says(tree: &Tree, at: &str, text: &str) {
    let want = state_of(text.as_bytes(), Mode::File);
    assert_eq!(tree.files.get(&path(at)), Some(&want), "{at}");
}

#[test]
fn a_stamp_is_trusted_when_all_of_it_is_as_it_was_and_it_was_old() {
    const SECOND: i128 = 1_000_000_000;
    let stat = Stat {
        device: 1,
        inode: 2,
        size: 3,
        modified: 4 * SECOND,
        changed: 5 * SECOND,
        mode: 0o100_644,
    };
    let hash = ContentHash::of(b"abc");
    let cache = Cache::default();
    let at = path("a");
    for (looked, trusted) in [
        (5 * SECOND, false),
        (7 * SECOND, false),
        (7 * SECOND + 1, true),
        // Of a clock that was set back.
        (0, false),
    ] {
        cache.put(&at, &stat, hash, looked);
        let got = cache.get(&at, &stat);
        assert_eq!(got.is_some(), trusted, "looked at {looked}");
    }
    cache.put(&at, &stat, hash, i128::MAX);
    let mut others = [stat; 5];
    others[0].device = 9;
    others[1].inode = 9;
    others[2].size = 9;
    others[3].modified += 1;
    others[4].changed += 1;
    for other in others {
        assert_eq!(cache.get(&at, &other), None, "{other:?}");
    }
    assert_eq!(cache.get(&path("b"), &stat), None);
    assert_eq!(cache.get(&at, &stat), Some(hash));
    let late = Stat {
        changed: i128::MAX,
        ..stat
    };
    cache.put(&at, &late, hash, i128::MAX);
    assert_eq!(cache.get(&at, &late), None, "no time that can be");
    assert_eq!(cache.len(), 0, "and what stood there before is forgotten");
}

#[test]
fn what_is_written_down_is_known_again_and_what_is_torn_is_not() {
    let stat = |inode| Stat {
        device: u64::MAX,
        inode,
        size: 3,
        modified: -1,
        changed: 5,
        mode: 0o100_644,
    };
    let cache = Cache::default();
    let names: Vec<RelPath> = (0..1000).map(|n| path(&format!("d/f{n}"))).collect();
    let hash = |n: u64| ContentHash::of(&n.to_be_bytes());
    for (name, n) in names.iter().zip(0..) {
        cache.put(name, &stat(n), hash(n), i128::MAX);
    }
    assert!(cache.is_ripe());
    let parts = cache.changed();
    assert!(!cache.is_ripe() && cache.changed().is_empty());
    let again = Cache::default();
    for (_, part) in &parts {
        again.restore(part);
    }
    for (name, n) in names.iter().zip(0..) {
        assert_eq!(again.get(name, &stat(n)), Some(hash(n)));
    }
    // One path is changed: one part is written, with all that is in it.
    again.put(&names[7], &stat(7777), hash(7), i128::MAX);
    let changed = again.changed();
    let [(number, bytes)] = changed.as_slice() else {
        panic!("{} parts", changed.len());
    };
    let before = parts.iter().find(|(part, _)| part == number).unwrap();
    assert_eq!(bytes.len(), before.1.len());
    let torn = Cache::default();
    torn.restore(&bytes[..bytes.len() - 1]);
    assert_eq!(torn.len(), bytes.len() / 80 - 1);
}

#[test]
fn a_file_rewritten_with_its_size_and_its_time_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::ahead(AHEAD);
    write(dir.path(), "d/a", "first");
    says(&scanned(dir.path(), &cache), "d/a", "first");
    let at = dir.path().join("d/a");
    let stat = || ground::stat(&at).unwrap();
    let (before, modified) = (stat(), fs::metadata(&at).unwrap().modified().unwrap());
    // The system's clock has ticks.
    while stat().changed == before.changed {
        let mut file = File::options().write(true).open(&at).unwrap();
        std::io::Write::write_all(&mut file, b"other").unwrap();
        let times = FileTimes::new().set_modified(modified);
        file.set_times(times).unwrap();
    }
    let now = stat();
    assert_eq!(
        (now.inode, now.size, now.modified),
        (before.inode, before.size, before.modified)
    );
    says(&scanned(dir.path(), &cache), "d/a", "other");
    assert_eq!(cache.read(), 2);
}

#[test]
fn a_folder_renamed_or_replaced_is_seen_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let cache = Cache::ahead(AHEAD);
    for n in 0..50 {
        write(root, &format!("old/deep/f{n}"), &format!("{n:03}"));
        write(root, &format!("new/deep/f{n}"), &format!("{:03}", n + 500));
    }
    // Alike but for what is in them.
    let time = FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    for n in 0..50 {
        for folder in ["old", "new"] {
            let at = root.join(format!("{folder}/deep/f{n}"));
            File::options()
                .write(true)
                .open(at)
                .unwrap()
                .set_times(time)
                .unwrap();
        }
    }
    assert_eq!(scanned(root, &cache).files.len(), 100);
    fs::rename(root.join("old"), root.join("moved")).unwrap();
    fs::rename(root.join("new"), root.join("old")).unwrap();
    let tree = scanned(root, &cache);
    assert_eq!(tree.files.len(), 100);
    for n in 0..50 {
        says(&tree, &format!("moved/deep/f{n}"), &format!("{n:03}"));
        says(&tree, &format!("old/deep/f{n}"), &format!("{:03}", n + 500));
    }
    assert_eq!(cache.len(), 100, "nothing is known of what is gone");
}

#[test]
fn however_often_files_change_no_more_is_remembered_than_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let rules = Rules::new(root, &[], &[]).unwrap();
    let cache = Cache::ahead(AHEAD);
    for n in 0..300 {
        let name = format!("f{}", n % 3);
        write(root, &name, &n.to_string());
        look(root, &path(&name), &rules, Limits::default(), &cache);
        // And one that comes and goes, each time under another name.
        let name = format!("passing{n}");
        write(root, &name, "x");
        look(root, &path(&name), &rules, Limits::default(), &cache);
        fs::remove_file(root.join(&name)).unwrap();
        look(root, &path(&name), &rules, Limits::default(), &cache);
    }
    assert_eq!(cache.len(), 3);
    fs::remove_file(root.join("f0")).unwrap();
    scanned(root, &cache);
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_walk_of_many_folders_on_several_threads_finds_each_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut names = Vec::new();
    for folder in 0..40 {
        for file in 0..20 {
            names.push(format!("d{}/e{folder}/f{file}", folder % 7));
        }
    }
    names.extend((0..1000).map(|file| format!("flat/f{file}")));
    names.iter().for_each(|name| write(root, name, name));
    let cache = Cache::ahead(AHEAD);
    for read in [names.len(), 0] {
        let before = cache.read();
        let tree = scanned(root, &cache);
        assert_eq!(tree.files.len(), names.len());
        names.iter().for_each(|name| says(&tree, name, name));
        assert_eq!(cache.read() - before, read as u64);
    }
    // What is below a handle is no longer reached by another name.
    let flat = Folder::at(&root.join("flat")).unwrap();
    assert!(flat.below("../d0").is_err());
}

/// Lives until the directory was looked at, and says how much of it had to be read.
async fn life(dir: &Path) -> u64 {
    let root = dir.join("root");
    let base = Base::open(&dir.join("run"), &root).await.unwrap();
    let known = base.load().await.unwrap();
    let kept = Preimages::open(&dir.join("pre-images")).unwrap();
    let cache = Arc::new(Cache::ahead(AHEAD));
    let hand = Hand {
        disk: Disk::open(&root, &kept).unwrap(),
        rules: Arc::new(Rules::new(&root, &[], &[]).unwrap()),
        root,
        run: "7d0c2f9e-3b1a-4c58-9f6e-5a2b8c1d4e70".parse().unwrap(),
        kept,
        lift: dir.join("up"),
        cache: Arc::clone(&cache),
        limits: Limits::default(),
        blobs: None,
        remote: None,
        base,
        hurry: Arc::default(),
        lock: None,
    };
    let worker = take_up(hand, known, true).await.unwrap();
    let (orders, taken) = mpsc::channel(8);
    let (outbox, mut reports) = mpsc::channel(8);
    let (_asks, asked) = mpsc::channel(1);
    let (_batches, watched) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    tasks.spawn(worker.run(taken, outbox, asked, watched));
    orders.send(Order::Flush(1)).await.unwrap();
    while reports.recv().await.expect("it lives") != Report::Flushed(1) {}
    drop(orders);
    while reports.recv().await.is_some() {}
    tasks.join_all().await;
    cache.read()
}

#[tokio::test]
async fn a_mirror_that_starts_anew_reads_only_what_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for n in 0..300 {
        write(&root, &format!("d{}/f{n}", n % 9), &format!("text {n}"));
    }
    assert_eq!(life(dir.path()).await, 300);
    assert_eq!(life(dir.path()).await, 0);
    write(&root, "d0/f0", "another text");
    write(&root, "new", "text");
    assert_eq!(life(dir.path()).await, 2);
    assert_eq!(life(dir.path()).await, 0);
}
