//! Conflict copies whose names are taken, or into which somebody has written.

use crate::mirror::control::Keep;
use crate::mirror::worker::Order;
use crate::mirror::worker_tests::{Live, World};
use crate::protocol::hash::ContentHash;

const TAKEN: &str = "a.remote-7d0c2f9e-1";

/// Both sides have edited `a`; the name of theirs.
async fn in_conflict(world: &World) -> (Live, String) {
    let mut live = world.seeded(&[("a", "as it was")]).await;
    live.order(world.change(1, "a", Some("theirs"))).await;
    live.until(|live| !live.status.conflicts.is_empty()).await;
    let copy = live.status.conflicts[0].theirs.clone();
    (live, copy.expect("it has a copy"))
}

async fn take_theirs(live: &mut Live) {
    let path = "a".parse().unwrap();
    let keep = Keep::Theirs;
    live.order(Order::Resolve { path, keep }).await;
    live.until(|live| live.status.conflicts.is_empty()).await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_no_copy_of_theirs_and_the_copy_gets_a_number() {
    let world = World::new(&[("a", "mine"), (TAKEN, "mine as well")]);
    let (mut live, copy) = in_conflict(&world).await;
    assert_eq!(copy, "a.2.remote-7d0c2f9e-1");
    assert_eq!(world.read(&copy).as_deref(), Some("theirs"));
    take_theirs(&mut live).await;
    assert_eq!(world.read("a").as_deref(), Some("theirs"));
    assert_eq!(world.read(TAKEN).as_deref(), Some("mine as well"));
    assert_eq!(world.read(&copy), None);
}

#[tokio::test]
async fn a_copy_that_stands_already_is_theirs_and_needs_no_second_one() {
    let world = World::new(&[("a", "mine"), (TAKEN, "theirs")]);
    let (mut live, copy) = in_conflict(&world).await;
    assert_eq!(copy, TAKEN);
    take_theirs(&mut live).await;
    assert_eq!(world.read("a").as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_copy_that_was_edited_stays_and_theirs_comes_as_it_was_written() {
    let world = World::new(&[("a", "mine")]);
    let (mut live, copy) = in_conflict(&world).await;
    world.edit(&copy, "edited in the copy");
    take_theirs(&mut live).await;
    assert_eq!(world.read("a").as_deref(), Some("theirs"));
    assert_eq!(world.read(&copy).as_deref(), Some("edited in the copy"));
    let kept = world.setup().run_folder.join("pre-images");
    assert!(kept.join(ContentHash::of(b"mine").to_string()).exists());
}

#[tokio::test]
async fn a_copy_is_put_out_of_gits_sight_before_it_stands_there() {
    let world = World::new(&[("a", "mine"), (".git/HEAD", "ref: refs/heads/main\n")]);
    world.edit(".git/info/exclude", "*.own\n");
    let (live, _copy) = in_conflict(&world).await;
    let exclude = world.read(".git/info/exclude").unwrap();
    assert!(exclude.starts_with("*.own\n# ashore: "), "{exclude}");
    assert!(live.notes.is_empty(), "{:?}", live.notes);
}

#[tokio::test]
async fn a_repository_without_a_conflict_is_not_touched_and_one_that_cannot_be_is_named_once() {
    let world = World::new(&[("a", "mine"), ("b", "mine"), (".git/HEAD", "ref: x\n")]);
    world.edit(".git/info", "a file");
    let mut live = world.seeded(&[("a", "mine"), ("b", "mine")]).await;
    live.order(world.change(1, "c", Some("theirs"))).await;
    live.settled(1).await;
    assert!(live.notes.is_empty(), "{:?}", live.notes);
    for (seq, path) in [(2, "a"), (3, "b")] {
        world.edit(path, "mine, edited");
        live.order(world.change(seq, path, Some("theirs"))).await;
    }
    live.until(|live| live.status.conflicts.len() == 2).await;
    let said = live.notes.iter().filter(|note| note.contains("git sees"));
    assert_eq!(said.count(), 1, "{:?}", live.notes);
}
