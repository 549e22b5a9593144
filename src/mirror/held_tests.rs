//! A worker that cannot put here what came: it says so, keeps it, and puts it here when that goes.

use std::os::unix::fs::symlink;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::mirror::control::{Keep, Request};
use crate::mirror::ground::faults::{Fault, Faults, How, inject};
use crate::mirror::status::{Held, MirrorState, Outcome, Way};
use crate::mirror::worker::{Order, Resume};
use crate::mirror::worker_tests::{Live, World};
use crate::protocol::command::What;
use crate::protocol::file::Stale;
use crate::protocol::ids::Seq;

/// The paths that are held.
fn held(live: &Live) -> Vec<&str> {
    let held = live.status.held.iter();
    held.map(|held| held.path.as_str()).collect()
}

fn fetch(path: Option<&str>) -> Request {
    let path = path.map(|path| path.parse().unwrap());
    Request::Fetch { path }
}

impl Live {
    async fn holds(&mut self, paths: &[&str]) {
        self.until(|live| held(live) == paths).await;
    }

    /// Until what is held was tried once more.
    async fn tried(&mut self) {
        self.until(|live| !live.status.held.is_empty() && !live.status.is_held_untried())
            .await;
    }

    fn only(&self) -> &Held {
        assert_eq!(self.status.held.len(), 1);
        &self.status.held[0]
    }

    fn results_of(&self, path: &str) -> Vec<Outcome> {
        let files = self.files.iter().filter(|file| file.path == path);
        files.map(|file| file.result).collect()
    }
}

#[tokio::test]
async fn a_content_that_cannot_be_had_is_asked_for_until_it_can() {
    let world = World::new(&[]);
    let mut live = world.seeded(&[]).await;
    let order = world.change(1, "a", Some("theirs"));
    world.blobs.contents.lock().unwrap().clear();
    live.order(order).await;
    live.settled(1).await;
    live.holds(&["a"]).await;
    assert!(live.only().next_try.is_some() && live.only().reason.contains("nothing was written"));
    assert_eq!(live.status.down, 0);
    live.state(MirrorState::Live).await;
    live.tried().await;
    world.content("theirs");
    live.holds(&[]).await;
    assert_eq!(world.read("a").as_deref(), Some("theirs"));
    live.until(|live| live.results_of("a").len() == 2).await;
    // What fails twice for the same reason is told once.
    assert_eq!(live.results_of("a"), [Outcome::Failed, Outcome::Settled]);
}

#[tokio::test]
async fn a_fault_of_the_system_passes() {
    for (call, error) in [(2, Errno::MFILE), (6, Errno::ACCESS), (9, Errno::IO)] {
        let world = World::new(&[("d/a", "old")]);
        let mut live = world.seeded(&[("d/a", "old")]).await;
        live.state(MirrorState::Live).await;
        let how = How::Instead;
        inject(Some(Faults::lacking(&[], Some(Fault { call, error, how }))));
        live.order(world.change(1, "d/a", Some("theirs"))).await;
        live.settled(1).await;
        live.holds(&[]).await;
        inject(None);
        assert_eq!(world.read("d/a").as_deref(), Some("theirs"), "{call}");
        live.until(|live| live.results_of("d/a").contains(&Outcome::Settled))
            .await;
    }
}

#[tokio::test]
async fn what_lasts_is_listed_survives_a_restart_and_goes_with_what_is_in_its_way() {
    let world = World::new(&[]);
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), world.root().join("link")).unwrap();
    let mut live = world.seeded(&[]).await;
    live.order(world.change(1, "link/a", Some("theirs"))).await;
    live.order(world.change(2, "b", Some("b"))).await;
    live.settled(2).await;
    live.holds(&["link/a"]).await;
    live.tried().await;
    let only = live.only().clone();
    assert_eq!((only.next_try, only.size), (None, None));
    assert!(only.reason.contains("symlink"), "{only:?}");
    live.killed().await;

    let mut live = world.live().await;
    live.holds(&["link/a"]).await;
    live.tried().await;
    assert_eq!(live.files.len(), 0);
    live.state(MirrorState::Live).await;
    std::fs::remove_file(world.root().join("link")).unwrap();
    live.holds(&[]).await;
    assert_eq!(world.read("link/a").as_deref(), Some("theirs"));
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    live.killed().await;
    let mut live = world.live().await;
    live.state(MirrorState::Live).await;
    assert_eq!(held(&live), Vec::<&str>::new());
}

#[tokio::test]
async fn a_newer_change_of_the_path_takes_its_place() {
    let world = World::new(&[]);
    let mut live = world.seeded(&[]).await;
    let old = world.change(1, "a", Some("old"));
    world.blobs.contents.lock().unwrap().clear();
    live.order(old).await;
    live.holds(&["a"]).await;
    live.order(world.change(2, "a", Some("new"))).await;
    live.holds(&[]).await;
    live.settled(2).await;
    world.content("old");
    assert_eq!(world.read("a").as_deref(), Some("new"));
    // So does one that cannot be done either.
    live.order(world.change(3, "a", Some(&"x".repeat(1001))))
        .await;
    live.holds(&["a"]).await;
    assert_eq!(live.only().size, Some(1001));
    live.order(world.change(4, "a", Some(&"y".repeat(1002))))
        .await;
    live.until(|live| live.status.held.len() == 1 && live.only().size == Some(1002))
        .await;
    live.order(world.change(5, "a", None)).await;
    live.holds(&[]).await;
    assert_eq!(world.read("a"), None);
}

#[tokio::test]
async fn what_came_below_a_held_delete_makes_it_void() {
    let world = World::new(&[("d/a", "a")]);
    let mut live = world.seeded(&[("d/a", "a")]).await;
    live.state(MirrorState::Live).await;
    // A file of theirs where a folder is full here.
    live.order(world.change(1, "link", None)).await;
    let order = world.change(2, "e", Some("theirs"));
    world.blobs.contents.lock().unwrap().clear();
    live.order(order).await;
    live.holds(&["e"]).await;
    live.order(world.change(3, "e/below", Some("x"))).await;
    live.holds(&[]).await;
    live.settled(3).await;
    assert_eq!(world.read("e/below").as_deref(), Some("x"));
    world.content("theirs");
    assert_eq!(world.read("e/below").as_deref(), Some("x"));
}

#[tokio::test]
async fn an_edit_made_while_theirs_is_held_is_in_conflict_with_it() {
    let world = World::new(&[("a", "base")]);
    let mut live = world.seeded(&[("a", "base")]).await;
    live.state(MirrorState::Live).await;
    let order = world.change(1, "a", Some("theirs"));
    world.blobs.contents.lock().unwrap().clear();
    live.order(order).await;
    live.holds(&["a"]).await;
    world.edit("a", "mine");
    live.until(|live| live.status.up == 1).await;
    live.tried().await;
    // It goes nowhere: theirs has not been seen here.
    assert!(live.edits.is_empty(), "{:?}", live.edits);
    world.content("theirs");
    live.state(MirrorState::Conflict).await;
    assert_eq!(held(&live), Vec::<&str>::new());
    assert_eq!(world.read("a").as_deref(), Some("mine"));
    assert_eq!(world.read("a.remote-7d0c2f9e-1").as_deref(), Some("theirs"));
    // And once it is decided, it goes up over theirs.
    let path = "a".parse().unwrap();
    let keep = Keep::Mine;
    assert!(world.ask(Request::Resolve { path, keep }).await.ok);
    live.until(|live| !live.edits.is_empty()).await;
}

#[tokio::test]
async fn a_refusal_whose_content_could_not_be_had_becomes_the_conflict_it_is() {
    let world = World::new(&[("a", "base")]);
    let mut live = world.seeded(&[("a", "base")]).await;
    live.state(MirrorState::Live).await;
    world.edit("a", "mine");
    live.until(|live| !live.edits.is_empty()).await;
    let command = live.edits[0].id.clone();
    assert!(matches!(live.edits[0].what, What::FileChanged(_)));
    let theirs = crate::mirror::disk::state_of(b"theirs", crate::protocol::file::Mode::File);
    let stale = Stale {
        path: "a".parse().unwrap(),
        command,
        current: Some(theirs),
        reason: None,
    };
    live.order(Order::Refused { seq: Seq(1), stale }).await;
    live.holds(&["a"]).await;
    assert_eq!(live.status.under_way, 0);
    world.content("theirs");
    live.state(MirrorState::Conflict).await;
    assert_eq!(world.read("a").as_deref(), Some("mine"));
    assert_eq!(world.read("a.remote-7d0c2f9e-1").as_deref(), Some("theirs"));
    let path = "a".parse().unwrap();
    let keep = Keep::Mine;
    let sent = live.edits.len();
    assert!(world.ask(Request::Resolve { path, keep }).await.ok);
    live.until(|live| live.edits.len() > sent).await;
}

#[tokio::test]
async fn a_large_file_comes_when_it_is_asked_for_by_name() {
    let world = World::new(&[]);
    let mut live = world.seeded(&[]).await;
    let big = "x".repeat(1001);
    live.order(world.change(1, "big", Some(&big))).await;
    live.holds(&["big"]).await;
    assert_eq!(live.only().size, Some(1001));
    let all = world.ask(fetch(None)).await;
    assert!(!all.ok && all.text.unwrap().contains("over the limit"));
    let other = world.ask(fetch(Some("other"))).await;
    assert!(!other.ok && other.text.unwrap().contains("nothing is held at other"));
    let named = world.ask(fetch(Some("big"))).await;
    assert!(named.ok, "{named:?}");
    assert_eq!(world.read("big"), Some(big));
    assert!(named.status.held.is_empty());
    // For this one change only.
    live.order(world.change(2, "big", Some(&"y".repeat(1001))))
        .await;
    live.settled(2).await;
    live.holds(&["big"]).await;
    let none = world.ask(fetch(Some("big"))).await;
    assert!(none.ok, "{none:?}");
    live.order(world.change(3, "big", None)).await;
    live.settled(3).await;
    live.holds(&["big"]).await;
    assert!(world.ask(fetch(Some("big"))).await.ok);
    assert_eq!(world.read("big"), None);
    let nothing = world.ask(fetch(None)).await;
    assert_eq!(nothing.text.as_deref(), Some("nothing is held"));
}

#[tokio::test]
async fn nothing_held_is_tried_while_nothing_may_be_written_and_all_of_it_at_a_resume() {
    let world = World::new(&[]);
    let mut live = world.seeded(&[]).await;
    let order = world.change(1, "a", Some("theirs"));
    world.blobs.contents.lock().unwrap().clear();
    live.order(order).await;
    live.holds(&["a"]).await;
    live.tried().await;
    assert!(world.ask(Request::Pause).await.ok);
    live.state(MirrorState::Paused).await;
    world.content("theirs");
    let gets = world.blobs.gets.load(Ordering::SeqCst);
    let answer = world.ask(fetch(None)).await;
    assert!(!answer.ok && answer.text.unwrap().contains("mirror resume"));
    assert_eq!(world.blobs.gets.load(Ordering::SeqCst), gets);
    let how = Resume::Plain;
    assert!(world.ask(Request::Resume { how }).await.ok);
    live.holds(&[]).await;
    assert_eq!(world.read("a").as_deref(), Some("theirs"));
    let way = Some(Way::Up);
    assert!(world.ask(Request::Direction { way }).await.ok);
}
