//! What people change on their side: applied, or refused, and answered once.

use ashore::protocol::command::{Command, LocalChange, What};
use ashore::protocol::file::Mode;
use ashore::protocol::hash::ContentHash;
use ashore::protocol::ids::CommandId;
use serde_json::{Value, json};

use crate::agent_server::scene::{Scene, message, of, place, read, text, write};

/// What is said to stand at a path.
type Stands<'a> = Option<(&'a str, Mode)>;

const FILE: Mode = Mode::File;

fn hash(text: &str) -> ContentHash {
    ContentHash::of(text.as_bytes())
}

fn change(path: &str, now: Stands<'_>, base: Stands<'_>) -> LocalChange {
    LocalChange {
        path: path.parse().expect("a path"),
        hash: now.map(|(text, _)| hash(text)),
        size: now.map_or(0, |(text, _)| text.len() as u64),
        mode: now.map_or(FILE, |(_, mode)| mode),
        base: base.map(|(text, _)| hash(text)),
        base_mode: base.map(|(_, mode)| mode),
    }
}

impl Scene {
    async fn store(&self, text: &str) {
        let at = self.folder.path().join("blob");
        write(&at, text);
        let blobs = self.api.blobs(&self.at);
        let put = blobs.put(hash(text), text.len() as u64, &at).await;
        put.expect("stored");
    }

    /// Stores the contents, then tells the changes.
    async fn edit(&self, changes: &[(&str, Stands<'_>, Stands<'_>)]) -> CommandId {
        for (_, now, _) in changes {
            if let Some((text, mode)) = now
                && *mode != Mode::Directory
            {
                self.store(text).await;
            }
        }
        let changes = changes
            .iter()
            .map(|(path, now, base)| change(path, *now, *base));
        self.tell(changes.collect()).await
    }

    async fn tell(&self, changes: Vec<LocalChange>) -> CommandId {
        let command = Command::new(What::FileChanged(changes));
        let id = command.id.clone().expect("a fresh one");
        self.post(command).await;
        id
    }

    /// The journal, once these commands have this many answers.
    async fn answers(&self, count: usize) -> Vec<Value> {
        let done = |lines: &[Value]| answers(lines).len() >= count;
        self.until("the answers", done).await
    }

    async fn ready(&self) {
        let stands = |lines: &[Value]| !of(lines, "_posthog/run_started").is_empty();
        self.until("the session", stands).await;
    }
}

/// `kind path` of each answer in the journal.
fn answers(lines: &[Value]) -> Vec<String> {
    let answer = |line: &Value| {
        let message = message(line);
        let kind = message["method"].as_str()?.strip_prefix("_ashore/file_")?;
        let path = message["params"]["relativePath"].as_str()?;
        message["params"]["command"]
            .is_string()
            .then(|| format!("{kind} {path}"))
    };
    lines.iter().filter_map(answer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_applied_at_once_and_not_told_back_and_the_agents_next_change_stands_on_it() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.ready().await;
    let id = scene
        .edit(&[("notes/a.txt", Some(("mine", FILE)), None)])
        .await;
    let lines = scene.answers(1).await;
    let applied = &of(&lines, "_ashore/file_applied")[0]["params"];
    assert_eq!(
        applied,
        &json!({
            "relativePath": "notes/a.txt", "contentHash": hash("mine"), "size": 4, "mode": "100644",
            "baseHash": null, "baseMode": null, "command": id,
        })
    );
    assert_eq!(read(&scene.work("notes/a.txt")), "mine");
    scene.say("/write notes/a.txt the agent's").await;
    let lines = scene.turns(1).await;
    let synced = of(&lines, "_posthog/file_sync");
    assert_eq!(synced.len(), 1, "no echo: {synced:?}");
    assert_eq!(synced[0]["params"]["baseHash"], json!(hash("mine")));
    assert_eq!(synced[0]["params"]["type"], "file_modified");
    assert!(!scene.work(".ashore").exists());
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_edit_is_refused_behind_the_line_that_tells_what_stands_there() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.ready().await;
    scene
        .edit(&[
            ("a", Some(("one", FILE)), None),
            ("d/b", Some(("b", FILE)), None),
        ])
        .await;
    scene.answers(2).await;
    // Nobody is told of these before the edits come.
    write(&scene.work("a"), "the agent's");
    std::fs::remove_file(scene.work("d/b")).expect("there");
    let id = scene
        .edit(&[
            ("a", Some(("mine", FILE)), Some(("one", FILE))),
            ("d/b", Some(("more", FILE)), Some(("b", FILE))),
        ])
        .await;
    let lines = scene.answers(4).await;
    assert_eq!(answers(&lines)[2..], ["refused a", "refused d/b"]);
    let refused = of(&lines, "_ashore/file_refused");
    assert_eq!(
        refused[0]["params"],
        json!({
            "relativePath": "a", "currentHash": hash("the agent's"), "currentMode": "100644", "size": 11, "command": id,
        })
    );
    assert_eq!(refused[1]["params"]["currentHash"], Value::Null);
    for path in ["a", "d/b"] {
        let of_path = |method: &'static str| {
            place(&lines, method, |m| {
                m["method"] == method && m["params"]["relativePath"] == path
            })
        };
        assert!(of_path("_posthog/file_sync") < of_path("_ashore/file_refused"));
    }
    assert_eq!(read(&scene.work("a")), "the agent's");
    assert!(!scene.work("d/b").exists());
    // Who gives way says so, and it is settled.
    scene
        .edit(&[("a", Some(("the agent's", FILE)), Some(("mine", FILE)))])
        .await;
    assert_eq!(answers(&scene.answers(5).await)[4], "applied a");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn deletes_renames_modes_links_and_folders_are_applied_in_their_order() {
    use std::os::unix::fs::PermissionsExt;

    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.ready().await;
    let (run, dir) = (Mode::Executable, Mode::Directory);
    scene
        .edit(&[
            ("old name", Some(("renamed", FILE)), None),
            ("Case", Some(("case", FILE)), None),
            ("tool", Some(("#!/bin/sh\n", FILE)), None),
            ("x", Some(("a file", FILE)), None),
            ("y/deep", Some(("in a folder", FILE)), None),
            ("empty", Some(("", dir)), None),
        ])
        .await;
    scene.answers(6).await;
    scene
        .edit(&[
            ("old name", None, Some(("renamed", FILE))),
            ("new/name", Some(("renamed", FILE)), None),
            ("Case", None, Some(("case", FILE))),
            ("case", Some(("case", FILE)), None),
            (
                "tool",
                Some(("#!/bin/sh\n", run)),
                Some(("#!/bin/sh\n", FILE)),
            ),
            ("link", Some(("new/name", Mode::Symlink)), None),
            ("x", None, Some(("a file", FILE))),
            ("x/inner", Some(("below", FILE)), None),
            ("y/deep", None, Some(("in a folder", FILE))),
            ("y", Some(("now a file", FILE)), None),
            ("empty", None, Some(("", dir))),
        ])
        .await;
    let lines = scene.answers(17).await;
    let all = answers(&lines);
    assert!(
        all.iter().all(|answer| answer.starts_with("applied")),
        "{all:?}"
    );
    for (path, content) in [
        ("new/name", "renamed"),
        ("case", "case"),
        ("x/inner", "below"),
        ("y", "now a file"),
    ] {
        assert_eq!(read(&scene.work(path)), content, "{path}");
    }
    for gone in ["old name", "Case", "empty"] {
        assert!(!scene.work(gone).exists(), "{gone}");
    }
    let mode = std::fs::metadata(scene.work("tool")).expect("there");
    assert_eq!(mode.permissions().mode() & 0o111, 0o111);
    let target = std::fs::read_link(scene.work("link")).expect("a link");
    assert_eq!(target, std::path::Path::new("new/name"));
    scene.say("/say 1").await;
    let lines = scene.turns(1).await;
    assert!(
        of(&lines, "_posthog/file_sync").is_empty(),
        "the scan at the end of the turn finds nothing new"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_behind_an_edit_finds_it_and_one_in_a_turn_is_applied_at_once() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene
        .edit(&[("seen.txt", Some(("by the agent", FILE)), None)])
        .await;
    scene.say("/run cat seen.txt").await;
    scene.start(launch);
    let lines = scene.turns(1).await;
    let applied = place(&lines, "edit", |m| m["method"] == "_ashore/file_applied");
    let taken = place(&lines, "request", |m| m["method"] == "session/prompt");
    assert!(applied < taken);
    let all: String = lines.iter().map(Value::to_string).collect();
    assert!(all.contains("by the agent"), "{all}");

    scene.say("/hang").await;
    let begun = |lines: &[Value]| of(lines, "session/prompt").len() == 2;
    scene.until("the second turn", begun).await;
    let base = Some(("by the agent", FILE));
    scene
        .edit(&[("seen.txt", Some(("in the turn", FILE)), base)])
        .await;
    let lines = scene.answers(2).await;
    assert_eq!(of(&lines, "_posthog/turn_complete").len(), 1);
    assert_eq!(read(&scene.work("seen.txt")), "in the turn");
    scene.post(Command::new(What::Cancel)).await;
    let lines = scene.turns(2).await;
    assert!(of(&lines, "_posthog/file_sync").is_empty());
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_no_agent_server_ran_is_answered_once_by_the_next_one() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.ready().await;
    scene.edit(&[("a", Some(("one", FILE)), None)]).await;
    scene.answers(1).await;
    for round in 1..=2 {
        scene.end_servers().await;
        if round == 1 {
            scene
                .edit(&[
                    ("a", Some(("two", FILE)), Some(("one", FILE))),
                    ("b", Some(("stale", FILE)), Some(("never there", FILE))),
                ])
                .await;
        }
        let mut launch = scene.launch().await;
        launch.resume = true;
        scene.start(launch);
        scene.say("/run cat a").await;
        let lines = scene.turns(round).await;
        assert_eq!(answers(&lines), ["applied a", "applied a", "refused b"]);
        assert_eq!(read(&scene.work("a")), "two");
        assert!(of(&lines, "_posthog/file_sync").is_empty());
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_or_cannot_be_written_is_said_and_the_next_prompt_goes_on() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.ready().await;
    let outside = scene.folder.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::os::unix::fs::symlink(&outside, scene.work("out")).expect("a link");
    write(&scene.work(".gitignore"), "*.log\n");
    let told = |lines: &[Value]| !of(lines, "_posthog/file_sync").is_empty();
    scene.until("the rules", told).await;
    let link = Mode::Symlink;
    scene
        .edit(&[
            ("x.log", Some(("ignored", FILE)), None),
            ("out/x", Some(("through a link", FILE)), None),
            ("l1", Some(("/etc/passwd", link)), None),
            ("l2", Some(("../outside/x", link)), None),
            ("l3", Some((".git/hooks", link)), None),
        ])
        .await;
    // This content was never stored.
    let lost = change("lost", Some(("nowhere", FILE)), None);
    scene.tell(vec![lost]).await;
    scene.say("/say 1").await;
    let lines = scene.turns(1).await;
    let all = answers(&lines);
    assert_eq!(
        all,
        [
            "failed x.log",
            "failed out/x",
            "failed l1",
            "failed l2",
            "failed l3",
            "failed lost"
        ]
    );
    let reasons = of(&lines, "_ashore/file_failed");
    let reason = |path: &str| {
        let of_path = |m: &&&Value| m["params"]["relativePath"] == path;
        let last = reasons.iter().rev().find(of_path).expect("told");
        last["params"]["reason"].as_str().expect("words").to_owned()
    };
    assert!(reason("x.log").contains("ignored by `*.log`"));
    assert!(reason("out/x").contains("symlink"));
    assert!(reason("l1").contains("absolute path"));
    assert!(reason("lost").contains("its content did not come"));
    assert_eq!(std::fs::read_dir(&outside).expect("there").count(), 0);
    for path in ["x.log", "l1", "l2", "l3", "lost"] {
        assert!(std::fs::symlink_metadata(scene.work(path)).is_err());
    }
    assert_eq!(text(&lines).split_whitespace().count(), 1);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_path_never_reaches_the_journal() {
    let scene = Scene::new(json!({})).await;
    let before = scene.lines().await.len();
    for path in [
        "../x",
        "/etc/x",
        ".git/hooks/x",
        "a/../../x",
        "C:\\x",
        "a\0b",
        "",
    ] {
        let body = json!({
            "jsonrpc": "2.0", "method": "_ashore/file_changed", "id": uuid::Uuid::new_v4().to_string(),
            "params": {"changes": [{"relativePath": path, "contentHash": hash("x"), "size": 1, "mode": "100644", "baseHash": null}]},
        });
        let url = format!(
            "{}/api/projects/{}/tasks/{}/runs/{}/sync",
            scene.url, scene.at.project, scene.at.task, scene.at.run
        );
        let sent = reqwest::Client::new()
            .post(url)
            .bearer_auth(crate::agent_server::scene::TOKEN)
            .json(&body)
            .send()
            .await;
        let status = sent.expect("an answer").status();
        assert_eq!(status.as_u16(), 400, "{path:?}");
    }
    assert_eq!(scene.lines().await.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_agent_works_in_the_directory_itself_every_edit_is_refused() {
    let mut scene = Scene::new(json!({})).await;
    let here = scene.folder.path().join("here");
    std::fs::create_dir(&here).expect("a folder");
    write(&here.join("mine.txt"), "mine");
    let mut launch = scene.launch().await;
    launch.directory = Some(here.clone());
    scene.start(launch);
    scene.ready().await;
    let base = Some(("mine", FILE));
    scene
        .edit(&[("mine.txt", Some(("other", FILE)), base)])
        .await;
    let lines = scene.answers(1).await;
    let refused = &of(&lines, "_ashore/file_refused")[0]["params"];
    assert_eq!(refused["currentHash"], json!(hash("mine")));
    let reason = refused["reason"].as_str().expect("words");
    assert!(reason.contains("there is no mirror"), "{reason}");
    assert_eq!(read(&here.join("mine.txt")), "mine");
    scene.close().await;
}
