//! Conflicts ended by a merge, against a real directory.

use crate::mirror::control::{Keep, Request};
use crate::mirror::merge::Merged;
use crate::mirror::show::Side;
use crate::mirror::status::MirrorState;
use crate::mirror::versions::{Put, Versions};
use crate::mirror::worker::{Order, ask_or_act};
use crate::mirror::worker_tests::{Live, World, undo_order};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

const BASE: &str = "1\n2\n3\n4\n5\n";

fn at(path: &str) -> RelPath {
    path.parse().unwrap()
}

/// Each file as both had it, as it is edited here, and as the other side has it then.
async fn apart(world: &World, files: &[(&str, &str, &str)]) -> Live {
    let base: Vec<(&str, &str)> = files.iter().map(|(path, ..)| (*path, BASE)).collect();
    let known = (ContentHash::of(BASE.as_bytes()), BASE.into());
    world.blobs.contents.lock().unwrap().extend([known]);
    let mut live = world.seeded(&base).await;
    live.state(MirrorState::Live).await;
    for (seq, (path, mine, theirs)) in (1..).zip(files) {
        world.edit(path, mine);
        live.order(world.change(seq, path, Some(theirs))).await;
    }
    live.settled(files.len() as u64).await;
    let open = files.len();
    live.until(|live| live.status.conflicts.len() == open).await;
    live
}

async fn looked_at(live: &mut Live, path: &str) -> Versions {
    live.order(Order::Versions(at(path))).await;
    live.until(|live| live.versions.is_some()).await;
    live.versions.take().unwrap()
}

#[tokio::test]
async fn what_does_not_overlap_is_merged_goes_up_and_can_be_undone() {
    let (mine, theirs, both) = (
        "one\n2\n3\n4\n5\n",
        "1\n2\n3\n4\nfive\n",
        "one\n2\n3\n4\nfive\n",
    );
    let world = World::new(&[("a", BASE), ("b", BASE)]);
    let mut live = apart(
        &world,
        &[
            ("a", mine, theirs),
            ("b", "mine\n2\n3\n4\n5\n", "theirs\n2\n3\n4\n5\n"),
        ],
    )
    .await;
    let versions = looked_at(&mut live, "a").await;
    let text = |text: &str| Side::Text(text.to_owned());
    assert_eq!(
        [versions.base.side, versions.mine.side, versions.theirs.side],
        [text(BASE), text(mine), text(theirs)]
    );
    assert!(versions.mine.time.is_some() && versions.theirs.time.is_some());
    assert_eq!(versions.merged, Some(Merged::Clean(both.to_owned())));
    let copy = versions.copy.unwrap();
    assert_eq!(world.read(copy.as_str()).as_deref(), Some(theirs));
    let merge = |path: &str| Request::Resolve {
        path: at(path),
        keep: Keep::Merge,
    };
    let answer = world.ask(merge("a")).await;
    assert!(answer.ok, "{answer:?}");
    assert_eq!(world.read("a").as_deref(), Some(both));
    let answer = world.ask(merge("b")).await;
    let why = answer.text.unwrap();
    assert!(
        !answer.ok && why.contains("the same lines in 1 place"),
        "{why}"
    );
    assert_eq!(world.read("b").as_deref(), Some("mine\n2\n3\n4\n5\n"));
    live.until(|live| live.status.conflicts.len() == 1).await;
    let told = |live: &Live| format!("{:?}", live.edits);
    let hash = ContentHash::of(both.as_bytes()).to_string();
    live.until(|live| told(live).contains(&hash)).await;
    while world.read(copy.as_str()).is_some() {
        tokio::task::yield_now().await;
    }
    // Mine is where an undo finds it.
    live.order(undo_order("a")).await;
    live.until(|live| live.notes.iter().any(|note| note.contains("is back")))
        .await;
    assert_eq!(world.read("a").as_deref(), Some(mine));
}

#[tokio::test]
async fn what_was_put_together_is_written_over_what_it_was_made_from_only() {
    let world = World::new(&[("a", BASE)]);
    let mut live = apart(&world, &[("a", "mine\n", "theirs\n")]).await;
    let versions = looked_at(&mut live, "a").await;
    assert!(matches!(
        versions.merged,
        Some(Merged::Overlaps { places: 1, .. })
    ));
    let merge = |over, text: &str| Order::Merge {
        path: at("a"),
        put: Put {
            over,
            text: text.to_owned(),
        },
    };
    world.edit("a", "mine, and more\n");
    live.order(merge(versions.mine.state, "late\n")).await;
    live.until(|live| !live.notes.is_empty()).await;
    assert_eq!(world.read("a").as_deref(), Some("mine, and more\n"));
    assert_eq!(live.status.conflicts.len(), 1);
    let versions = looked_at(&mut live, "a").await;
    live.order(merge(versions.mine.state, "both\n")).await;
    live.until(|live| live.status.conflicts.is_empty()).await;
    assert_eq!(world.read("a").as_deref(), Some("both\n"));
    live.order(Order::Versions(at("a"))).await;
    live.until(|live| {
        live.notes
            .iter()
            .any(|note| note.contains("not in conflict"))
    })
    .await;
}

#[tokio::test]
async fn a_merge_is_done_without_a_holder_too() {
    let world = World::new(&[("a", BASE)]);
    let live = apart(&world, &[("a", "one\n2\n3\n4\n5\n", "1\n2\n3\n4\nfive\n")]).await;
    live.killed().await;
    let request = Request::Resolve {
        path: at("a"),
        keep: Keep::Merge,
    };
    let answer = ask_or_act(world.setup(), &request).await.unwrap();
    assert!(answer.ok, "{answer:?}");
    assert_eq!(world.read("a").as_deref(), Some("one\n2\n3\n4\nfive\n"));
    let told = &ask_or_act(world.setup(), &Request::Conflicts)
        .await
        .unwrap();
    assert!(told.status.conflicts.is_empty(), "{told:?}");
}
