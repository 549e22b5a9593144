//! Undo of a turn and of a run against a real directory: what stands there afterwards, and that nothing of the user's is
//! ever lost.

use proptest::prelude::*;

use crate::mirror::control::{Answer, Request};
use crate::mirror::preview::{Preview, Scope};
use crate::mirror::show::{Side, Weight};
use crate::mirror::status::Way;
use crate::mirror::worker::{Order, ask_or_act};
use crate::mirror::worker_tests::{Live, World};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

impl World {
    fn wrote(&self, seq: u64, turn: u64, path: &str, text: Option<&str>) -> Order {
        let mut order = self.change(seq, path, text);
        if let Order::Remote { change, .. } = &mut order {
            change.turn = Some(turn);
            change.tool_call = Some(format!("call-{seq}"));
        }
        order
    }

    async fn look(&self, scope: Scope) -> Preview {
        let answer = self.ask(Request::Preview { scope }).await;
        answer.preview.expect("a preview")
    }

    async fn undo(&self, preview: &Preview) -> Answer {
        let scope = preview.scope.clone();
        let seen = Some(preview.seen);
        self.ask(Request::Undo { scope, seen }).await
    }
}

fn lines(preview: &Preview) -> Vec<String> {
    let line = |item: &crate::mirror::preview::Item| {
        let why = item.refused.as_deref().unwrap_or("");
        format!("{} {}{why}", item.word(), item.path)
    };
    preview.items.iter().map(line).collect()
}

async fn agent(
    world: &World,
    live: &mut Live,
    seq: u64,
    turn: u64,
    path: &str,
    text: Option<&str>,
) {
    live.order(world.wrote(seq, turn, path, text)).await;
    live.settled(seq).await;
}

#[tokio::test]
async fn a_turn_is_undone_as_previewed_and_brought_back_and_goes_up_like_an_edit() {
    let files = [("a", "a0"), ("b", "b0"), ("mine", "m0")];
    let world = World::new(&files);
    let mut live = world.seeded(&files).await;
    for (seq, turn, path, text) in [
        (1, 1, "a", Some("a1")),
        (2, 2, "a", Some("a2")),
        (3, 2, "made", Some("new")),
        (4, 2, "b", None),
        (5, 2, "mine", Some("m2")),
        (6, 3, "late", Some("x")),
    ] {
        agent(&world, &mut live, seq, turn, path, text).await;
    }
    world.edit("mine", "my own");
    let preview = world.look(Scope::Turn { turn: 2 }).await;
    assert_eq!(
        lines(&preview),
        [
            "put back a",
            "comes back b",
            "removed made",
            "refused mineyou edited it since"
        ]
    );
    assert_eq!(
        (preview.done, preview.refused, preview.again),
        (3, 1, false)
    );
    assert_eq!(world.read("a").as_deref(), Some("a2"), "only looked at");
    let done = world.undo(&preview).await;
    assert!(done.ok, "{done:?}");
    let stands = |a, b, made| {
        assert_eq!(world.read("a").as_deref(), a);
        assert_eq!(world.read("b").as_deref(), b);
        assert_eq!(world.read("made").as_deref(), made);
        assert_eq!(world.read("mine").as_deref(), Some("my own"));
        assert_eq!(world.read("late").as_deref(), Some("x"));
    };
    stands(Some("a1"), Some("b0"), None);
    let said = done.text.unwrap();
    assert_eq!(
        said,
        "turn 2 is undone, and another undo returns it: 3 files; 1 stay as they are"
    );
    // It travels like any local edit.
    live.until(|live| live.edits.len() == 1 || live.status.under_way >= 4)
        .await;
    // The same preview again is not what would happen now.
    let stale = world.undo(&preview).await;
    assert!(!stale.ok && stale.text.unwrap().contains("nothing was done, look again"));
    let back = world.look(Scope::Turn { turn: 2 }).await;
    assert!(back.again, "{back:?}");
    assert!(world.undo(&back).await.ok);
    stands(Some("a2"), None, Some("new"));
    let nothing = world.look(Scope::Turn { turn: 9 }).await;
    assert_eq!((nothing.done, nothing.refused), (0, 0));
    let refused = world.undo(&nothing).await;
    assert!(!refused.ok && refused.text.unwrap().contains("nothing to undo"));
}

#[tokio::test]
async fn an_undo_that_removes_many_files_is_no_wave_of_deletes_and_needs_no_one_attached() {
    let world = World::new(&[("kept", "x")]);
    let mut live = world.seeded(&[("kept", "x")]).await;
    for n in 0..60 {
        live.order(world.wrote(n + 1, 1, &format!("d/f{n}"), Some("x")))
            .await;
    }
    live.settled(60).await;
    let preview = world.look(Scope::Run).await;
    assert_eq!(preview.done, 60);
    assert!(world.undo(&preview).await.ok);
    live.until(|live| !live.edits.is_empty()).await;
    assert_eq!(live.status.reason, None);
    live.killed().await;
    let request = Request::Preview { scope: Scope::Run };
    let back = ask_or_act(world.setup(), &request).await.unwrap();
    let back = back.preview.unwrap();
    assert!(back.again && back.done == 60, "{back:?}");
    let request = Request::Undo {
        scope: Scope::Run,
        seen: Some(back.seen),
    };
    assert!(ask_or_act(world.setup(), &request).await.unwrap().ok);
    assert_eq!(world.read("d/f59").as_deref(), Some("x"));
}

#[tokio::test]
async fn a_file_is_shown_counted_and_written_without_a_part_over_what_was_looked_at_only() {
    let files = [("a", "1\n2\n3\n"), ("big", "x")];
    let world = World::new(&files);
    let mut live = world.seeded(&files).await;
    agent(&world, &mut live, 1, 1, "a", Some("1\nnew\n3\n4\n")).await;
    agent(&world, &mut live, 2, 1, "made", Some("m\n")).await;
    agent(&world, &mut live, 3, 1, "big", None).await;
    let at = |path: &str| path.parse::<RelPath>().unwrap();
    live.order(Order::Weigh(["a", "made", "big", "none"].map(at).into()))
        .await;
    live.until(|live| live.weighed.len() == 4).await;
    let lines = |added, removed| Some(Weight::Lines { added, removed });
    let want = [lines(2, 1), lines(1, 0), lines(0, 1), None];
    let found: Vec<_> = live.weighed.iter().map(|(_, weight)| *weight).collect();
    assert_eq!(found, want);
    live.order(Order::Show(at("a"))).await;
    live.until(|live| live.shown.is_some()).await;
    let shown = live.shown.take().unwrap();
    let text = |text: &str| Side::Text(text.to_owned());
    assert_eq!(
        (shown.start, shown.now),
        (text("1\n2\n3\n"), text("1\nnew\n3\n4\n"))
    );
    let rewrite = |text: &str| Order::Rewrite {
        path: at("a"),
        over: shown.here,
        text: Some(text.to_owned()),
        mode: shown.mode,
    };
    live.order(rewrite("1\n2\n3\n4\n")).await;
    live.until(|live| live.shown.is_some()).await;
    assert_eq!(world.read("a").as_deref(), Some("1\n2\n3\n4\n"));
    assert_eq!(live.shown.take().unwrap().now, text("1\n2\n3\n4\n"));
    // What was looked at stands there no more.
    live.order(rewrite("lost\n")).await;
    live.until(|live| live.shown.is_some()).await;
    assert_eq!(
        world.read("a").as_deref(),
        Some("1\n2\n3\n4\n"),
        "{:?}",
        live.notes
    );
    live.until(|live| {
        live.edits
            .iter()
            .any(|edit| format!("{edit:?}").contains("\"a\""))
    })
    .await;
    live.order(Order::Undo {
        scope: Scope::File { path: at("a") },
        seen: None,
    })
    .await;
    live.until(|live| live.notes.iter().any(|note| note.contains("is back")))
        .await;
    assert_eq!(world.read("a").as_deref(), Some("1\nnew\n3\n4\n"));
}

const PATHS: [&str; 3] = ["a", "d/b", "c"];

#[derive(Debug, Clone)]
enum Deed {
    Agent(usize, bool),
    Edit(usize),
    Undo(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (0..PATHS.len(), prop::bool::weighted(0.8)).prop_map(|(at, there)| Deed::Agent(at, there)),
        2 => (0..PATHS.len()).prop_map(Deed::Edit),
        // 0: the whole run.
        3 => (0..4_u64).prop_map(Deed::Undo),
    ]
}

#[expect(clippy::too_many_lines, reason = "one arm for each deed")]
/// Lives the deeds, one turn each, with nothing going up: then every edit stands against what the agent does next.
async fn live_them(deeds: Vec<Deed>) {
    let world = World::new(&[("a", "a0")]);
    let mut live = world.seeded(&[("a", "a0")]).await;
    live.order(Order::Direct(Way::Down)).await;
    // What the user wrote last at each path, as long as nobody else but the user has replaced it.
    let mut typed: Vec<(usize, String)> = Vec::new();
    for (number, deed) in deeds.iter().enumerate() {
        let seq = number as u64 + 1;
        match deed {
            Deed::Agent(at, there) => {
                let text = format!("agent {number}");
                agent(
                    &world,
                    &mut live,
                    seq,
                    seq % 4,
                    PATHS[*at],
                    there.then_some(text.as_str()),
                )
                .await;
            }
            Deed::Edit(at) => {
                live.order(Order::Reached(crate::protocol::ids::Seq(seq)))
                    .await;
                typed.retain(|(path, text)| {
                    path != at || world.read(PATHS[*path]).as_deref() != Some(text)
                });
                world.edit(PATHS[*at], &format!("typed {number}"));
                typed.push((*at, format!("typed {number}")));
            }
            Deed::Undo(turn) => {
                live.order(Order::Reached(crate::protocol::ids::Seq(seq)))
                    .await;
                let scope = match turn {
                    0 => Scope::Run,
                    turn => Scope::Turn { turn: *turn },
                };
                let before = PATHS.map(|path| world.read(path));
                let preview = world.look(scope).await;
                let answer = world.undo(&preview).await;
                assert_eq!(answer.ok, preview.done > 0, "{answer:?} {preview:?}");
                for (path, was) in PATHS.iter().zip(before) {
                    let named = preview
                        .items
                        .iter()
                        .find(|item| item.path.as_str() == *path);
                    let named = named.filter(|item| item.refused.is_none());
                    let now = world.read(path);
                    let want = match named {
                        Some(item) => item.back.map(|back| back.hash),
                        None => was.as_deref().map(|was| ContentHash::of(was.as_bytes())),
                    };
                    assert_eq!(
                        now.as_deref().map(|now| ContentHash::of(now.as_bytes())),
                        want
                    );
                    let typed_here = was.as_deref().is_some_and(|was| was.starts_with("typed"));
                    assert!(
                        named.is_none_or(|_| preview.again || !typed_here),
                        "{path}: {was:?} {preview:?}"
                    );
                }
            }
        }
        let kept = world.setup().run_folder.join("pre-images");
        for (at, text) in &typed {
            let stands = world.read(PATHS[*at]).as_deref() == Some(text);
            let hash = ContentHash::of(text.as_bytes()).to_string();
            assert!(
                stands || kept.join(hash).exists(),
                "{text} is lost after {deeds:?}"
            );
        }
    }
    live.killed().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]
    #[test]
    fn nothing_that_the_user_wrote_is_lost_by_any_undo(deeds in prop::collection::vec(deed(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_them(deeds));
    }
}
