//! The worker's way up, against a real directory and another side in memory that takes changes as the agent side does.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::mirror::control::{Keep, Request};
use crate::mirror::disk::state_of;
use crate::mirror::plan::{folder, same};
use crate::mirror::status::{Direction, MirrorState, Outcome, Way};
use crate::mirror::worker::{Order, Resume};
use crate::mirror::worker_tests::{Live, World, undo_order};
use crate::protocol::command::{Command, LocalChange, What};
use crate::protocol::file::{Applied, ChangeKind, FileChange, FileState, Mode, Stale};
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::path::RelPath;

/// The tree on the other side, and the journal's last line.
struct There {
    tree: BTreeMap<RelPath, FileState>,
    seq: u64,
    taken: BTreeSet<CommandId>,
    /// How many of the worker's commands have been answered.
    answered: usize,
    flushes: u64,
}

fn changes(command: &Command) -> &[LocalChange] {
    match &command.what {
        What::FileChanged(changes) => changes,
        other => panic!("{other:?}"),
    }
}

fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

impl There {
    fn new(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(name, text)| (path(name), state_of(text.as_bytes(), Mode::File)));
        Self {
            tree: files.collect(),
            seq: 0,
            taken: BTreeSet::new(),
            answered: 0,
            flushes: 0,
        }
    }

    fn next(&mut self) -> Seq {
        self.seq += 1;
        Seq(self.seq)
    }

    fn text(&self, name: &str) -> Option<FileState> {
        self.tree.get(&path(name)).copied()
    }

    /// Someone changes a file there.
    fn write(&mut self, world: &World, name: &str, text: Option<&str>) -> Order {
        let seq = self.next();
        match text {
            Some(text) => self
                .tree
                .insert(path(name), state_of(text.as_bytes(), Mode::File)),
            None => self.tree.remove(&path(name)),
        };
        world.change(seq.0, name, text)
    }

    fn take(&mut self, command: &Command) -> Vec<Order> {
        let id = command.id.clone().unwrap();
        if !self.taken.insert(id.clone()) {
            return Vec::new();
        }
        changes(command)
            .iter()
            .map(|change| self.answer(change, &id))
            .collect()
    }

    fn answer(&mut self, change: &LocalChange, id: &CommandId) -> Order {
        let seq = self.next();
        let current = self.tree.get(&change.path).copied();
        let base = change.base.map(|hash| FileState {
            hash,
            size: 0,
            mode: change.base_mode.unwrap(),
        });
        if !same(current, base) && !same(current, change.now()) {
            let stale = Stale {
                path: change.path.clone(),
                current,
                reason: None,
                command: Some(id.clone()),
            };
            return Order::Refused { seq, stale };
        }
        // What it needs must stand there: the order of the changes is part of the promise.
        for above in std::iter::successors(change.path.parent(), RelPath::parent) {
            let above = self.tree.get(&above);
            assert!(
                above.is_none_or(|state| state.mode == Mode::Directory),
                "{change:?}"
            );
        }
        let below = format!("{}/", change.path);
        let has_files = self.tree.keys().any(|at| at.as_str().starts_with(&below));
        let folder = change.now().is_some_and(|now| now.mode == Mode::Directory);
        assert!(
            folder || !has_files,
            "{change:?} stands in the way of {:?}",
            self.tree
        );
        match change.now() {
            Some(now) => self.tree.insert(change.path.clone(), now),
            None => self.tree.remove(&change.path),
        };
        let applied = Applied {
            change: FileChange {
                kind: match (base, change.now()) {
                    (_, None) => ChangeKind::Deleted,
                    (None, _) => ChangeKind::Created,
                    (Some(_), _) => ChangeKind::Modified,
                },
                path: change.path.clone(),
                now: change.now(),
                before: change.base,
                storage_path: None,
                turn: None,
                tool_call: None,
            },
            before_mode: change.base_mode,
            command: Some(id.clone()),
        };
        Order::Applied { seq, applied }
    }

    /// Takes and answers everything that was told, until this holds.
    async fn until(&mut self, live: &mut Live, what: impl Fn(&Live, &Self) -> bool) {
        loop {
            for command in live.edits.clone().iter().skip(self.answered) {
                self.answered += 1;
                live.order(Order::Posted(command.id.clone().unwrap())).await;
                for order in self.take(command) {
                    live.order(order).await;
                }
                live.order(Order::Reached(Seq(self.seq))).await;
            }
            if what(live, self) {
                return;
            }
            let told = (
                live.edits.len(),
                live.status.clone(),
                live.files.len(),
                live.flushed,
            );
            live.until(|live| {
                told != (
                    live.edits.len(),
                    live.status.clone(),
                    live.files.len(),
                    live.flushed,
                )
            })
            .await;
        }
    }

    /// Until both sides are the same and everything is told, what differs now included.
    async fn settles(&mut self, live: &mut Live) {
        self.flushes += 1000;
        let flush = self.flushes;
        live.order(Order::Flush(flush)).await;
        self.until(live, |live, there| {
            live.flushed == flush
                && live.status.up == 0
                && live.status.settled >= Seq(there.seq)
                && matches!(live.status.state, MirrorState::Live | MirrorState::Conflict)
        })
        .await;
    }
}

/// A live mirror of these files, seen whole once.
async fn begun(world: &World, files: &[(&str, &str)]) -> (Live, There) {
    let mut live = world.seeded(files).await;
    live.until(|live| live.status.checked_at.is_some() && live.status.state == MirrorState::Live)
        .await;
    (live, There::new(files))
}

fn ups(live: &Live) -> Vec<(&str, Outcome)> {
    let ups = live
        .files
        .iter()
        .filter(|file| file.direction == Direction::Up);
    ups.map(|file| (file.path.as_str(), file.result)).collect()
}

#[tokio::test]
async fn an_edit_goes_up_once_and_its_echo_is_no_change() {
    let world = World::new(&[("a", "a")]);
    let (mut live, mut there) = begun(&world, &[("a", "a")]).await;
    world.edit("a", "a2");
    live.until(|live| !live.edits.is_empty()).await;
    assert_eq!(live.status.state, MirrorState::CatchingUp);
    let before = state_of(b"a", Mode::File);
    let after = state_of(b"a2", Mode::File);
    let told = LocalChange {
        path: path("a"),
        hash: Some(after.hash),
        size: 2,
        mode: Mode::File,
        base: Some(before.hash),
        base_mode: Some(Mode::File),
    };
    assert_eq!(changes(&live.edits[0]), [told]);
    assert!(
        world
            .blobs
            .contents
            .lock()
            .unwrap()
            .contains_key(&after.hash)
    );
    there.settles(&mut live).await;
    assert_eq!(there.text("a"), Some(after));
    assert_eq!(ups(&live), [("a", Outcome::Settled)]);
    assert_eq!(
        (live.edits.len(), world.blobs.gets.load(Ordering::SeqCst)),
        (1, 0)
    );
    assert_eq!(world.read("a").as_deref(), Some("a2"));
}

#[tokio::test]
async fn a_burst_and_saves_by_renaming_over_end_at_the_last_bytes() {
    let world = World::new(&[("a", "0"), ("b", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0"), ("b", "0")]).await;
    for n in 1..=30 {
        world.edit("a", &n.to_string());
        world.edit(".b.swp", &n.to_string());
        rustix::fs::rename(world.root().join(".b.swp"), world.root().join("b")).unwrap();
    }
    let last = state_of(b"30", Mode::File);
    there
        .until(&mut live, |_, there| {
            there.text("a") == Some(last) && there.text("b") == Some(last)
        })
        .await;
    there.settles(&mut live).await;
    assert_eq!(there.tree.len(), 2, "{:?}", there.tree);
}

#[tokio::test]
async fn an_edit_on_top_of_one_that_is_on_its_way_follows_it() {
    let world = World::new(&[("a", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0")]).await;
    world.edit("a", "1");
    live.until(|live| live.edits.len() == 1).await;
    world.edit("a", "2");
    live.order(Order::Check).await;
    there.settles(&mut live).await;
    assert_eq!(there.text("a"), Some(state_of(b"2", Mode::File)));
    assert_eq!(live.edits.len(), 2);
    assert_eq!(
        changes(&live.edits[1])[0].base,
        Some(state_of(b"1", Mode::File).hash)
    );
    assert!(live.status.conflicts.is_empty());
}

#[tokio::test]
async fn an_edit_refused_for_what_cannot_be_put_here_is_not_told_again_as_it_is() {
    let world = World::new(&[("a", "0")]);
    let (mut live, _) = begun(&world, &[("a", "0")]).await;
    world.edit("a", "mine");
    live.until(|live| live.edits.len() == 1).await;
    let stale = Stale {
        path: path("a"),
        current: Some(state_of(b"whose bytes are gone", Mode::File)),
        reason: None,
        command: live.edits[0].id.clone(),
    };
    let seq = Seq(2);
    live.order(Order::Refused { seq, stale }).await;
    live.settled(2).await;
    live.order(Order::Check).await;
    live.until(|live| ups(live) == [("a", Outcome::Failed)])
        .await;
    world.edit("b", "another");
    live.until(|live| live.edits.len() == 2).await;
    assert_eq!(changes(&live.edits[1])[0].path, path("b"));
    assert_eq!(changes(&live.edits[1]).len(), 1);
}

#[tokio::test]
async fn who_removes_a_file_made_on_both_sides_with_the_copy_of_theirs_removes_theirs() {
    let world = World::new(&[("z", "z")]);
    let (mut live, mut there) = begun(&world, &[("z", "z")]).await;
    live.order(Order::Direct(Way::Down)).await;
    world.edit("d/y", "mine");
    live.order(there.write(&world, "d/y", Some("theirs"))).await;
    live.settled(1).await;
    live.order(Order::Direct(Way::Both)).await;
    live.until(|live| live.status.direction == Way::Both).await;
    // While nobody watches: one scan sees all of it.
    live.killed().await;
    std::fs::remove_dir_all(world.root().join("d")).unwrap();
    let mut live = world.live().await;
    there
        .until(&mut live, |_, there| there.text("d/y").is_none())
        .await;
    there.settles(&mut live).await;
    live.state(MirrorState::Live).await;
}

#[tokio::test]
async fn what_a_file_there_kept_out_goes_up_when_that_is_gone() {
    let world = World::new(&[("z", "z")]);
    let (mut live, mut there) = begun(&world, &[("z", "z")]).await;
    std::fs::create_dir_all(world.root().join("e/f")).unwrap();
    world.edit("e/f/g", "mine");
    live.until(|live| live.edits.len() == 1).await;
    assert_eq!(changes(&live.edits[0])[0].path, path("e/f/g"));
    let command = live.edits[0].id.clone();
    live.order(Order::Posted(command.clone().unwrap())).await;
    live.order(there.write(&world, "e/f", Some("a file"))).await;
    let stale = Stale {
        path: path("e/f/g"),
        current: None,
        reason: Some("a file stands where its folder would be".into()),
        command,
    };
    let seq = there.next();
    live.order(Order::Refused { seq, stale }).await;
    live.settled(2).await;
    assert_eq!(live.edits.len(), 1);
    live.order(there.write(&world, "e/f", None)).await;
    there.answered = 1;
    there
        .until(&mut live, |_, there| there.text("e/f/g").is_some())
        .await;
    assert_eq!(world.read("e/f/g").as_deref(), Some("mine"));
}

#[tokio::test]
async fn a_change_of_theirs_over_ours_comes_down_though_the_echo_comes_with_it() {
    let world = World::new(&[("a", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0")]).await;
    world.edit("a", "1");
    live.until(|live| live.edits.len() == 1).await;
    live.order(Order::Pause).await;
    live.state(MirrorState::Paused).await;
    // All of it waits at once: the newest overtakes the echo in the inbox.
    for text in ["9", "0"] {
        let theirs = there.write(&world, "a", Some(text));
        live.order(theirs).await;
    }
    for order in there.take(&live.edits[0].clone()) {
        live.order(order).await;
    }
    there.answered = 1;
    let theirs = there.write(&world, "a", Some("2"));
    live.order(theirs).await;
    live.until(|live| live.status.down == 4).await;
    live.order(Order::Resume(Resume::Plain)).await;
    there.settles(&mut live).await;
    assert_eq!(world.read("a").as_deref(), Some("2"));
    assert!(live.status.conflicts.is_empty(), "{:?}", live.status);
    live.killed().await;
    world.is_tidied().await;
    assert_eq!(std::fs::read_dir(world.root()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_was_changed_on_both_sides_is_refused_listed_and_goes_up_when_mine_is_kept() {
    let world = World::new(&[("a", "0"), ("b", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0"), ("b", "0")]).await;
    for (name, keep) in [("a", Keep::Mine), ("b", Keep::Theirs)] {
        let told = live.edits.len();
        world.edit(name, "mine");
        live.until(|live| live.edits.len() > told).await;
        // Written there before ours arrived.
        let theirs = there.write(&world, name, Some("theirs"));
        live.order(theirs).await;
        there
            .until(&mut live, |live, _| live.status.conflicts.len() == 1)
            .await;
        assert_eq!(world.read(name).as_deref(), Some("mine"));
        let copy = live.status.conflicts[0].theirs.clone().unwrap();
        assert_eq!(world.read(&copy).as_deref(), Some("theirs"));
        // As long as it is in conflict, nothing of it goes up.
        world.edit(name, "mine again");
        live.order(Order::Flush(told as u64 + 1)).await;
        there
            .until(&mut live, |live, _| live.flushed == told as u64 + 1)
            .await;
        assert_eq!(there.text(name), Some(state_of(b"theirs", Mode::File)));
        let order = Order::Resolve {
            path: path(name),
            keep,
        };
        live.order(order).await;
        there.settles(&mut live).await;
        assert!(live.status.conflicts.is_empty(), "{:?}", live.status);
        let stands = if keep == Keep::Mine {
            "mine again"
        } else {
            "theirs"
        };
        assert_eq!(world.read(name).as_deref(), Some(stands));
        assert_eq!(
            there.text(name),
            Some(state_of(stands.as_bytes(), Mode::File))
        );
    }
    // Theirs was taken: the other side hears of it by a change that stands there already.
    let word = changes(live.edits.last().unwrap());
    assert_eq!((word[0].path.as_str(), word[0].hash), ("b", word[0].base));
}

#[tokio::test]
async fn a_restart_tells_what_was_on_its_way_under_its_own_id_and_knows_the_echo() {
    let world = World::new(&[("a", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0")]).await;
    world.edit("a", "1");
    live.until(|live| live.edits.len() == 1).await;
    let first = live.edits[0].clone();
    live.killed().await;
    world.edit("a", "2");
    let mut live = world.live().await;
    live.until(|live| !live.edits.is_empty()).await;
    assert_eq!(live.edits[0], first);
    there.settles(&mut live).await;
    assert_eq!(there.text("a"), Some(state_of(b"2", Mode::File)));
    assert!(live.status.conflicts.is_empty());
}

#[tokio::test]
async fn what_is_edited_while_the_endpoint_is_away_goes_up_when_it_is_back() {
    let world = World::new(&[("a", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0")]).await;
    world.blobs.away.store(true, Ordering::SeqCst);
    world.edit("a", "1");
    world.edit("new", "new");
    live.until(|live| live.status.up == 2).await;
    assert!(live.edits.is_empty());
    world.blobs.away.store(false, Ordering::SeqCst);
    there.settles(&mut live).await;
    assert_eq!(there.text("a"), Some(state_of(b"1", Mode::File)));
    assert_eq!(there.text("new"), Some(state_of(b"new", Mode::File)));
}

#[tokio::test]
async fn folders_links_the_exec_bit_and_renames_travel() {
    let files = [("a", "a"), ("d/x", "x"), ("f", "f")];
    let world = World::new(&files);
    let (mut live, mut there) = begun(&world, &files).await;
    live.order(Order::Pause).await;
    let root = world.root();
    rustix::fs::rename(root.join("a"), root.join("A")).unwrap();
    std::fs::create_dir(root.join("empty")).unwrap();
    symlink("A", root.join("link")).unwrap();
    symlink("/etc/passwd", root.join("out")).unwrap();
    // A folder becomes a file, and a file a folder.
    std::fs::remove_dir_all(root.join("d")).unwrap();
    world.edit("d", "file");
    std::fs::remove_file(root.join("f")).unwrap();
    world.edit("f/y", "y");
    std::fs::set_permissions(root.join("A"), std::fs::Permissions::from_mode(0o755)).unwrap();
    live.order(Order::Resume(Resume::Plain)).await;
    there.settles(&mut live).await;
    let tree: Vec<(&str, Mode)> = there
        .tree
        .iter()
        .map(|(at, state)| (at.as_str(), state.mode))
        .collect();
    let want = [
        ("A", Mode::Executable),
        ("d", Mode::File),
        ("empty", Mode::Directory),
        ("f", Mode::Directory),
        ("f/y", Mode::File),
        ("link", Mode::Symlink),
    ];
    assert_eq!(tree, want);
    assert_eq!(there.text("link"), Some(state_of(b"A", Mode::Symlink)));
    assert_eq!(there.text("empty"), Some(folder()));
    assert!(
        live.notes.iter().any(|note| note.contains("out")),
        "{:?}",
        live.notes
    );
    // The bit alone.
    std::fs::set_permissions(root.join("A"), std::fs::Permissions::from_mode(0o644)).unwrap();
    there
        .until(&mut live, |_, there| {
            there.text("A").unwrap().mode == Mode::File
        })
        .await;
    there.settles(&mut live).await;
    // And everything gone again, from the depth up.
    std::fs::remove_dir_all(root.join("f")).unwrap();
    std::fs::remove_dir(root.join("empty")).unwrap();
    there
        .until(&mut live, |_, there| there.tree.len() == 3)
        .await;
}

#[tokio::test]
async fn what_is_there_already_is_not_uploaded_again() {
    let world = World::new(&[("a", "a")]);
    world.content("a");
    let (mut live, mut there) = begun(&world, &[("a", "a")]).await;
    rustix::fs::rename(world.root().join("a"), world.root().join("b")).unwrap();
    there.settles(&mut live).await;
    assert_eq!(
        there.tree.keys().map(RelPath::as_str).collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(world.blobs.puts.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_a_new_rule_hides_is_not_deleted_there_and_what_is_ignored_never_goes_up() {
    let world = World::new(&[("x", "x")]);
    let (mut live, mut there) = begun(&world, &[("x", "x")]).await;
    let theirs = there.write(&world, "made/by.agent", Some("y"));
    live.order(theirs).await;
    live.settled(1).await;
    world.edit(".gitignore", "made/\n");
    world.edit("made/here", "z");
    world.edit("x.remote-7d0c2f9e-3", "a copy");
    there
        .until(&mut live, |_, there| there.text(".gitignore").is_some())
        .await;
    live.order(Order::Flush(1)).await;
    there.until(&mut live, |live, _| live.flushed == 1).await;
    let tree: Vec<&str> = there.tree.keys().map(RelPath::as_str).collect();
    assert_eq!(tree, [".gitignore", "made/by.agent", "x"]);
}

/// A secret that a gitignore file keeps back, and the agent, who changes that file.
async fn opened(world: &World) -> (Live, There) {
    let rules = (".gitignore", ".env*\n");
    let (mut live, mut there) = begun(world, &[rules, ("x", "x")]).await;
    let theirs = there.write(world, ".gitignore", Some("!.env*\n"));
    live.order(theirs).await;
    live.settled(1).await;
    (live, there)
}

const SECRET: &[(&str, &str)] = &[(".gitignore", ".env*\n"), (".env", "secret"), ("x", "x")];

#[tokio::test]
async fn what_the_agents_rules_let_through_stays_here_over_restarts_until_the_user_says_so() {
    let world = World::new(SECRET);
    let (mut live, mut there) = opened(&world).await;
    let note = |note: &String| note.contains(".gitignore") && note.contains("--accept-rules");
    assert!(live.notes.iter().any(note), "{:?}", live.notes);
    there.settles(&mut live).await;
    // Theirs below the same pattern comes, stays known, and is no way in for what stands here.
    let theirs = there.write(&world, ".env.theirs", Some("theirs"));
    live.order(theirs).await;
    live.settled(2).await;
    assert_eq!(world.read(".env.theirs").as_deref(), Some("theirs"));
    world.edit(".env.theirs", "mine");
    let theirs = there.write(&world, ".env", Some("theirs"));
    live.order(theirs).await;
    live.settled(3).await;
    assert_eq!(world.read(".env").as_deref(), Some("secret"));
    there.settles(&mut live).await;
    live.killed().await;
    let mut live = world.live().await;
    there.answered = 0;
    world.edit(".env.late", "late");
    world.edit("y", "y");
    there.settles(&mut live).await;
    let mine = Some(state_of(b"mine", Mode::File));
    assert_eq!(there.text(".env.theirs"), mine);
    assert!(there.text("y").is_some() && there.text(".env.late").is_none());
    let secret = Some(state_of(b"secret", Mode::File));
    assert_ne!(there.text(".env"), secret);
    live.order(Order::Resume(Resume::AcceptRules)).await;
    there
        .until(&mut live, |live, there| {
            there.text(".env.late").is_some() && live.status.conflicts.len() == 1
        })
        .await;
    assert_eq!(live.status.conflicts[0].path, ".env");
    assert_eq!(world.read(".env").as_deref(), Some("secret"));
}

#[tokio::test]
async fn a_gitignore_file_that_the_user_changes_says_what_he_means() {
    let world = World::new(SECRET);
    let (mut live, mut there) = opened(&world).await;
    there.settles(&mut live).await;
    assert!(there.text(".env").is_none());
    world.edit(".gitignore", "# mine\n");
    there.settles(&mut live).await;
    there
        .until(&mut live, |_, there| there.text(".env").is_some())
        .await;
}

#[tokio::test]
async fn a_gitignore_file_that_only_hides_more_is_remembered_by_nobody() {
    let world = World::new(SECRET);
    let (mut live, mut there) = begun(&world, &[SECRET[0], SECRET[2]]).await;
    let theirs = there.write(&world, ".gitignore", Some("target\n.env*\n"));
    live.order(theirs).await;
    live.settled(1).await;
    there.settles(&mut live).await;
    assert!(live.notes.is_empty(), "{:?}", live.notes);
    // A file of the agent's own, deeper down, opens nothing either.
    let theirs = there.write(&world, "d/.gitignore", Some("!.env\n"));
    world.edit("d/.env", "secret");
    live.order(theirs).await;
    live.settled(2).await;
    there.settles(&mut live).await;
    assert!(there.text("d/.env").is_none());
}

#[tokio::test]
async fn a_wave_of_deletes_here_halts_before_it_goes_up_and_goes_or_is_taken_back() {
    for accept in [true, false] {
        let names: Vec<String> = (0..80).map(|n| format!("d/f{n}")).collect();
        let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        files.push(("stays", "x"));
        let world = World::new(&files);
        world.content("x");
        let (mut live, mut there) = begun(&world, &files).await;
        std::fs::remove_dir_all(world.root().join("d")).unwrap();
        there
            .until(&mut live, |live, _| {
                live.status.state == MirrorState::Halted
            })
            .await;
        let reason = live.status.reason.clone().unwrap();
        assert!(
            reason.contains("--accept-deletes") && reason.contains("--bring-back"),
            "{reason}"
        );
        assert!(there.tree.len() > 30, "{}", there.tree.len());
        live.order(Order::Resume(Resume::Plain)).await;
        let notes = live.notes.len();
        live.until(|live| live.notes.len() > notes).await;
        assert_eq!(live.status.state, MirrorState::Halted);
        let resume = if accept {
            Resume::AcceptDeletes
        } else {
            Resume::BringBack
        };
        live.order(Order::Resume(resume)).await;
        let left = if accept { 1 } else { 81 };
        there
            .until(&mut live, |live, there| {
                there.tree.len() == left
                    && live.status.state == MirrorState::Live
                    && live.status.up == 0
            })
            .await;
        assert_eq!(world.read("d/f7").is_some(), !accept);
    }
}

#[tokio::test]
async fn an_emptied_directory_halts_before_anything_goes_up() {
    let files = [("a", "a"), ("b", "b")];
    let world = World::new(&files);
    let (mut live, mut there) = begun(&world, &files).await;
    std::fs::remove_file(world.root().join("a")).unwrap();
    std::fs::remove_file(world.root().join("b")).unwrap();
    there
        .until(&mut live, |live, _| {
            live.status.state == MirrorState::Halted
        })
        .await;
    assert!(live.edits.is_empty(), "{:?}", live.edits);
    live.order(Order::Resume(Resume::Plain)).await;
    there
        .until(&mut live, |_, there| there.tree.is_empty())
        .await;
}

#[tokio::test]
async fn each_direction_lets_through_what_it_says_and_switching_back_catches_up() {
    let world = World::new(&[("a", "0"), ("b", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0"), ("b", "0")]).await;
    let stale = Some(state_of(b"0", Mode::File));
    for (n, way) in [
        (1_u64, Way::Off),
        (2, Way::Down),
        (3, Way::Up),
        (4, Way::Both),
    ] {
        live.order(Order::Direct(way)).await;
        live.until(|live| live.status.direction == way).await;
        world.edit("a", &format!("mine {n}"));
        let theirs = there.write(&world, "b", Some(&format!("theirs {n}")));
        live.order(theirs).await;
        live.order(Order::Flush(n)).await;
        there.until(&mut live, |live, _| live.flushed == n).await;
        if way.is_down() {
            live.settled(there.seq).await;
        }
        let (up, down) = (
            there.text("a") != stale,
            world.read("b").as_deref() != Some("0"),
        );
        match way {
            Way::Off => assert!(!up && !down),
            Way::Down => assert!(!up && down && live.status.up >= 1, "{:?}", live.status),
            Way::Up => assert!(up && world.read("b").as_deref() == Some("theirs 2")),
            Way::Both => (),
        }
    }
    there.settles(&mut live).await;
    assert_eq!(there.text("a"), Some(state_of(b"mine 4", Mode::File)));
    assert_eq!(world.read("b").as_deref(), Some("theirs 4"));
    live.order(Order::Direct(Way::Down)).await;
    live.until(|live| live.status.direction == Way::Down).await;
    live.killed().await;
    let mut live = world.live().await;
    live.until(|live| live.status.direction == Way::Down).await;
}

#[tokio::test]
async fn a_flush_is_over_when_what_differed_was_told_and_a_command_waits_for_the_endpoint() {
    let world = World::new(&[("a", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0")]).await;
    world.edit("a", "1");
    live.order(Order::Flush(7)).await;
    live.until(|live| live.flushed == 7).await;
    assert_eq!(live.edits.len(), 1, "the edit was told first");
    let posted = AtomicBool::new(false);
    let asked = async {
        assert!(world.ask(Request::Flush).await.ok);
        assert!(
            posted.load(Ordering::SeqCst),
            "the endpoint did not have it yet"
        );
    };
    let post = async {
        for n in 8..12 {
            live.order(Order::Flush(n)).await;
            live.until(|live| live.flushed == n).await;
        }
        posted.store(true, Ordering::SeqCst);
        let id = live.edits[0].id.clone().unwrap();
        live.order(Order::Posted(id)).await;
    };
    tokio::join!(asked, post);
    there.settles(&mut live).await;
}

#[tokio::test]
async fn mine_that_was_kept_before_its_refusal_came_goes_up_behind_it() {
    let world = World::new(&[("a", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0")]).await;
    world.edit("a", "mine");
    live.until(|live| live.edits.len() == 1).await;
    // Written there meanwhile; the refusal of ours is slow.
    let theirs = there.write(&world, "a", Some("theirs"));
    live.order(theirs).await;
    live.until(|live| live.status.conflicts.len() == 1).await;
    let keep = Keep::Mine;
    let resolve = Request::Resolve {
        path: path("a"),
        keep,
    };
    assert!(world.ask(resolve).await.ok);
    let checked = live.status.checked_at;
    live.order(Order::Check).await;
    live.until(|live| live.status.checked_at != checked).await;
    there
        .until(&mut live, |live, there| {
            there.text("a") == Some(state_of(b"mine", Mode::File)) && live.status.up == 0
        })
        .await;
}

#[tokio::test]
async fn an_undo_goes_up() {
    let world = World::new(&[("a", "old")]);
    let (mut live, mut there) = begun(&world, &[("a", "old")]).await;
    let theirs = there.write(&world, "a", Some("new"));
    live.order(theirs).await;
    live.settled(1).await;
    live.order(undo_order("a")).await;
    there
        .until(&mut live, |_, there| {
            there.text("a") == Some(state_of(b"old", Mode::File))
        })
        .await;
}

#[tokio::test]
async fn what_the_other_side_never_takes_is_said_once_and_not_offered_again_as_it_is() {
    let world = World::new(&[]);
    let (mut live, mut there) = begun(&world, &[]).await;
    world.edit("a", "1");
    live.until(|live| live.edits.len() == 1).await;
    let command = live.edits[0].id.clone().unwrap();
    let why = "409: the run is over".to_owned();
    live.order(Order::NotPosted { command, why }).await;
    live.until(|live| live.files.len() == 1).await;
    assert_eq!(ups(&live), [("a", Outcome::Failed)]);
    live.order(Order::Check).await;
    let checked = live.status.checked_at;
    live.until(|live| live.status.checked_at != checked).await;
    assert_eq!((live.edits.len(), live.status.up), (1, 1));
    // The next message tries once more.
    there.answered = 1;
    live.order(Order::Flush(1)).await;
    there.settles(&mut live).await;
    assert_eq!(there.text("a"), Some(state_of(b"1", Mode::File)));
}

#[tokio::test]
async fn an_edit_that_a_new_rule_hides_is_not_counted_as_one_to_go_up() {
    let world = World::new(&[("x", "x")]);
    let (mut live, _) = begun(&world, &[("x", "x")]).await;
    live.order(Order::Direct(Way::Down)).await;
    world.edit("a.log", "a");
    world.edit("b.log", "b");
    live.until(|live| live.status.up == 2).await;
    world.edit(".gitignore", "*.log\n");
    live.until(|live| live.status.up == 1).await;
}

#[tokio::test]
async fn what_has_just_gone_here_is_waited_for_before_it_says_live() {
    let world = World::new(&[("x", "x"), ("y", "y")]);
    let (mut live, _) = begun(&world, &[("x", "x"), ("y", "y")]).await;
    std::fs::remove_file(world.root().join("x")).unwrap();
    live.until(|live| live.status.up == 1).await;
    assert_eq!(live.status.state, MirrorState::CatchingUp);
}

#[tokio::test]
async fn a_flush_names_what_did_not_go_and_why() {
    let world = World::new(&[("a", "0"), ("b", "0")]);
    let (mut live, mut there) = begun(&world, &[("a", "0"), ("b", "0")]).await;
    live.order(Order::Pause).await;
    live.state(MirrorState::Paused).await;
    world.edit("a", "mine");
    live.order(there.write(&world, "a", Some("theirs"))).await;
    live.order(Order::Resume(Resume::Plain)).await;
    there
        .until(&mut live, |live, _| live.status.conflicts.len() == 1)
        .await;
    let told = live.edits.len();
    world.edit("b", "1");
    let refuse = async {
        live.until(|live| live.edits.len() > told).await;
        let command = live.edits[told].id.clone().unwrap();
        let why = "too heavy".to_owned();
        live.order(Order::NotPosted { command, why }).await;
        live.until(|live| live.results().contains(&("b", Outcome::Failed)))
            .await;
    };
    let (answer, ()) = tokio::join!(world.ask(Request::Flush), refuse);
    let text = answer.text.unwrap();
    assert!(
        !answer.ok && text.starts_with("2 edited here did not go"),
        "{text}"
    );
    assert!(
        text.contains("a (in conflict") && text.contains("b (too heavy)"),
        "{text}"
    );
}
