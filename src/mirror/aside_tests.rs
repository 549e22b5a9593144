//! Saves that come too late: through a handle that was opened before the swap, and by a kill between swap and look back.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::mirror::aside::tag;
use crate::mirror::base::{Base, Fact, Origin, Waiting, Written};
use crate::mirror::disk::{STAGE, SWAP, state_of};
use crate::mirror::status::Outcome;
use crate::mirror::worker_tests::{Live, World};
use crate::protocol::file::{ChangeKind, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::Seq;

fn opened(world: &World, name: &str) -> File {
    let at = world.root().join(name);
    File::options().write(true).open(at).unwrap()
}

async fn in_conflict(live: &mut Live, path: &str) -> Option<String> {
    live.until(|live| !live.status.conflicts.is_empty()).await;
    let [conflict] = &live.status.conflicts[..] else {
        panic!("{:?}", live.status.conflicts);
    };
    assert_eq!(conflict.path, path);
    conflict.theirs.clone()
}

fn is_kept(world: &World, text: &str) -> bool {
    let hash = ContentHash::of(text.as_bytes()).to_string();
    world
        .setup()
        .run_folder
        .join("pre-images")
        .join(hash)
        .exists()
}

#[tokio::test]
async fn a_save_through_an_open_handle_stands_again_and_theirs_lies_beside_it() {
    let world = World::new(&[("a", "as it was")]);
    let mut live = world.seeded(&[("a", "as it was")]).await;
    let mut editor = opened(&world, "a");
    live.order(world.change(1, "a", Some("theirs"))).await;
    live.settled(1).await;
    assert_eq!(world.read("a").as_deref(), Some("theirs"));
    editor.write_all(b"saved too late").unwrap();
    let copy = in_conflict(&mut live, "a").await.unwrap();
    assert_eq!(world.read("a").as_deref(), Some("saved too late"));
    assert_eq!(world.read(&copy).as_deref(), Some("theirs"));
    assert!(is_kept(&world, "as it was") && is_kept(&world, "saved too late"));
    let told = live.files.last().unwrap();
    assert_eq!((told.path.as_str(), told.result), ("a", Outcome::Conflict));
    // From here on the editor writes into the file that has the name.
    assert_eq!(
        editor.metadata().unwrap().ino(),
        std::fs::metadata(world.root().join("a")).unwrap().ino()
    );
    assert!(live.edits.is_empty(), "a conflict does not go up");
}

#[tokio::test]
async fn a_file_that_was_deleted_there_and_saved_here_too_late_stands_again() {
    let world = World::new(&[("d/a", "as it was"), ("b", "b")]);
    let mut live = world.seeded(&[("d/a", "as it was"), ("b", "b")]).await;
    let logger = opened(&world, "d/a");
    live.order(world.change(1, "d/a", None)).await;
    live.settled(1).await;
    assert_eq!(world.read("d/a"), None);
    logger.write_all_at(b"one more line", 9).unwrap();
    assert_eq!(in_conflict(&mut live, "d/a").await, None);
    let saved = world.read("d/a").unwrap();
    assert_eq!(saved, "as it wasone more line");
}

#[tokio::test]
async fn where_something_else_stands_by_now_a_late_save_lies_beside_it() {
    let world = World::new(&[("a", "as it was")]);
    let mut live = world.seeded(&[("a", "as it was")]).await;
    let mut editor = opened(&world, "a");
    live.order(world.change(1, "a", Some("theirs"))).await;
    live.settled(1).await;
    world.edit("a", "edited upon theirs");
    editor.write_all(b"saved too late").unwrap();
    live.until(|live| live.notes.iter().any(|note| note.contains(".late-")))
        .await;
    assert_eq!(world.read("a").as_deref(), Some("edited upon theirs"));
    let note = live.notes.last().unwrap();
    let copy = note.rsplit(' ').next().unwrap();
    assert_eq!(world.read(copy).as_deref(), Some("saved too late"));
}

#[tokio::test]
async fn what_nobody_writes_into_goes_after_a_while_and_at_a_peaceful_end_at_once() {
    let world = World::new(&[("a", "old"), ("b", "old")]);
    let mut live = world.seeded(&[("a", "old"), ("b", "old")]).await;
    live.order(world.change(1, "a", Some("theirs"))).await;
    live.settled(1).await;
    let ours = world.root().join(".ashore");
    assert_eq!(names(&ours.join("stage")).len(), 1, "it lies aside");
    world.is_tidied().await;
    live.order(world.change(2, "b", Some("theirs"))).await;
    live.settled(2).await;
    assert!(ours.exists());
    live.killed().await;
    world.is_tidied().await;
    assert!(live_again(&world).await.status.conflicts.is_empty());
}

async fn live_again(world: &World) -> Live {
    let mut live = world.live().await;
    live.until(|live| live.status.checked_at.is_some()).await;
    live
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    names
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

/// As a kill leaves it behind the swap: theirs in place, and this in the stage. `decided`: the change was written down.
async fn killed(world: &World, swapped_out: &str, decided: bool) {
    let path = "a".parse().unwrap();
    let theirs = state_of(b"theirs", Mode::File);
    let before = state_of(b"as it was", Mode::File);
    let setup = world.setup();
    let base = Base::open(&setup.run_folder, &setup.root).await.unwrap();
    world.content("theirs");
    let written = Written {
        before: Some(before),
        after: Some(theirs),
        origin: Origin {
            seq: Seq(1),
            ..Origin::default()
        },
        at: jiff::Timestamp::UNIX_EPOCH,
        storage_path: None,
    };
    base.about_to_write(&path, &written).await.unwrap();
    let mut facts = vec![Fact::Seeded, Fact::Seen(Seq(1))];
    if decided {
        facts.push(Fact::Base(path.clone(), Some(theirs)));
    } else {
        facts.push(Fact::Base(path.clone(), Some(before)));
        let waiting = Waiting::of_nobody(ChangeKind::Modified, path.clone(), Some(theirs));
        facts.push(Fact::Waiting(Seq(1), waiting));
    }
    base.save(&facts).await.unwrap();
    base.close().await;
    world.edit("a", "theirs");
    let name = format!("{STAGE}/{SWAP}x-{}", tag(&path));
    world.edit(&name, swapped_out);
}

#[tokio::test]
async fn an_edit_that_a_kill_caught_in_the_stage_is_a_conflict_and_stands_in_its_place() {
    for decided in [false, true] {
        let world = World::new(&[]);
        killed(&world, "edited in that moment", decided).await;
        let mut live = live_again(&world).await;
        let copy = in_conflict(&mut live, "a").await.unwrap();
        assert_eq!(world.read("a").as_deref(), Some("edited in that moment"));
        assert_eq!(world.read(&copy).as_deref(), Some("theirs"), "{decided}");
        assert!(is_kept(&world, "edited in that moment"));
        assert!(live.edits.is_empty(), "{decided}");
    }
}

#[tokio::test]
async fn what_stood_there_before_a_kill_is_watched_on_and_ours_goes() {
    for (left, stays) in [("as it was", true), ("theirs", false)] {
        let world = World::new(&[]);
        killed(&world, left, true).await;
        let mut live = live_again(&world).await;
        let stage = world.root().join(STAGE);
        assert_eq!(stage.exists(), stays, "{left}");
        if stays {
            let name = names(&stage).pop().unwrap();
            let mut editor = File::options().append(true).open(stage.join(name)).unwrap();
            editor.write_all(b", and more").unwrap();
            in_conflict(&mut live, "a").await.unwrap();
            assert_eq!(world.read("a").as_deref(), Some("as it was, and more"));
        }
        assert!(live.edits.is_empty(), "{left}");
    }
}
