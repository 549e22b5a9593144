//! What the mirror says of single paths: mirrored or not, and what keeps it out.

use std::os::unix::fs::symlink;

use crate::mirror::control::{Answer, Request};
use crate::mirror::why::{Cause, Told};
use crate::mirror::worker::Order;
use crate::mirror::worker_tests::{World, manifest};
use crate::protocol::path::RelPath;

async fn why(world: &World, path: &str) -> Told {
    let path = path.parse().unwrap();
    let answer: Answer = world.ask(Request::Why { path }).await;
    answer.why.expect("it says why")
}

#[tokio::test]
async fn what_keeps_a_path_out_is_named_with_file_line_and_pattern() {
    let world = World::new(&[("a", "a"), ("tracked.log", "x")]);
    world.edit(".gitignore", "# logs\n*.log\n\n/out/\n");
    world.edit("sub/.gitignore", "*.tmp\n*.log\n");
    for file in ["big.bin", "sub/b.log", "out/deep/c", "own/d", "e.log"] {
        world.edit(file, &"x".repeat(2000));
    }
    world.edit("a.remote-7d0c2f9e-3", "theirs");
    symlink("/", world.root().join("away")).unwrap();
    let mut setup = world.setup();
    setup.ignore = vec!["own/".to_owned()];
    let mut live = world.live_as(setup).await;
    let manifest = manifest(&[("a", "a"), ("tracked.log", "x")]);
    live.order(Order::Baseline(manifest)).await;
    live.until(|live| live.status.checked_at.is_some()).await;

    for (path, file, line, pattern, folder) in [
        ("e.log", ".gitignore", 2, "*.log", None),
        ("sub/b.log", "sub/.gitignore", 2, "*.log", None),
        ("out/deep/c", ".gitignore", 4, "/out/", Some("out")),
    ] {
        let told = why(&world, path).await;
        assert_eq!(told.cause, Some(Cause::Gitignore), "{told:?}");
        assert_eq!(told.file, Some(world.root().join(file)), "{told:?}");
        assert_eq!(told.line, Some(line), "{told:?}");
        assert_eq!(told.pattern.as_deref(), Some(pattern), "{told:?}");
        assert_eq!(told.folder.as_deref(), folder, "{told:?}");
        let at = format!("`{pattern}` in {file}, line {line}");
        assert!(told.text.contains(&at), "{told:?}");
    }
    for (path, cause) in [
        ("own/d", Cause::Config),
        ("a.remote-7d0c2f9e-3", Cause::Copy),
        ("big.bin", Cause::TooLarge),
        ("away", Cause::Link),
        ("away/x", Cause::BehindLink),
    ] {
        let told = why(&world, path).await;
        assert_eq!(told.cause, Some(cause), "{told:?}");
        assert!(!told.mirrored && told.text.starts_with("not mirrored: "));
    }
    for (path, part) in [
        ("a", "the same here and there"),
        ("tracked.log", "`*.log` in"),
        ("nothing", "nothing hides it"),
    ] {
        let told = why(&world, path).await;
        assert!(told.mirrored && told.cause.is_none(), "{told:?}");
        assert!(told.text.contains(part), "{told:?}");
    }
}

#[tokio::test]
async fn what_of_theirs_is_held_says_what_is_in_its_way_and_what_helps() {
    let world = World::new(&[]);
    let mut live = world.seeded(&[]).await;
    let order = world.change(1, "a", Some("theirs"));
    world.blobs.contents.lock().unwrap().clear();
    live.order(order).await;
    live.until(|live| !live.status.held.is_empty()).await;
    let told = why(&world, "a").await;
    assert_eq!(told.cause, Some(Cause::Held));
    assert!(told.text.contains("nothing was written"), "{told:?}");
    assert!(told.text.contains("ashore mirror fetch"), "{told:?}");
}

#[test]
fn what_can_never_be_mirrored_says_so() {
    for (path, cause, part) in [
        (".git/config", Cause::Git, "inside .git"),
        ("sub/.ashore/x", Cause::Ours, "inside .ashore"),
        ("../x", Cause::Outside, "not below"),
        ("/etc/x", Cause::Outside, "not below"),
        ("", Cause::Name, "no name"),
    ] {
        let told = Told::refused(path, path.parse::<RelPath>().unwrap_err());
        assert_eq!(told.cause, Some(cause));
        assert!(!told.mirrored && told.text.contains(part), "{told:?}");
    }
}
