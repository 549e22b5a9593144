//! Turns, files and restarts, with the demo agent as the child.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ashore::agent::limits::Limits;
use ashore::agent::run::{Exit, Surroundings, run};
use ashore::protocol::command::{Command, PermissionReply, What};
use ashore::protocol::file::{FileManifest, ManifestFile, Mode};
use ashore::protocol::hash::ContentHash;
use ashore::protocol::run::Policy;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::agent_server::scene::{DEADLINE, Scene, message, of, place, text, write};

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn a_prompt_is_taken_its_file_is_told_with_its_blob_and_then_the_turn_ends() {
    let mut scene = Scene::new(json!({"agent": "demo"})).await;
    scene.say("/write notes/a.txt hello").await;
    let launch = scene.launch().await;
    scene.start(launch);
    let lines = scene.turns(1).await;

    let taken = place(&lines, "request", |m| m["method"] == "session/prompt");
    let synced = place(&lines, "file", |m| m["method"] == "_posthog/file_sync");
    let answered = place(&lines, "response", |m| {
        m["result"]["stopReason"] == "end_turn"
    });
    let complete = place(&lines, "end", |m| m["method"] == "_posthog/turn_complete");
    assert!(taken < synced && synced < answered && answered < complete);
    assert_eq!(
        message(&lines[taken])["id"],
        message(&lines[answered])["id"]
    );
    let said = lines
        .iter()
        .find(|line| line["type"] == "client_message")
        .expect("the prompt");
    assert_eq!(
        message(&lines[taken])["params"]["_meta"]["ashore"]["command"],
        said["id"]
    );

    let file = &message(&lines[synced])["params"];
    assert_eq!(
        (&file["relativePath"], &file["type"]),
        (&json!("notes/a.txt"), &json!("file_created"))
    );
    assert_eq!(
        (&file["turn"], file["toolCallId"].is_string()),
        (&json!(1), true)
    );
    assert_eq!(file["contentHash"], json!(ContentHash::of(b"hello")));
    let lacks = scene
        .api
        .blobs(&scene.at)
        .missing(&[ContentHash::of(b"hello")])
        .await
        .expect("asked");
    assert!(lacks.is_empty());
    let steps: Vec<(&Value, &Value)> = of(&lines, "_ashore/step")
        .iter()
        .map(|m| (&m["params"]["step"], &m["params"]["status"]))
        .collect();
    assert_eq!(
        json!(steps),
        json!([
            ["workspace", "started"],
            ["workspace", "done"],
            ["agent", "started"],
            ["agent", "done"]
        ])
    );
    let sources: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["src"].as_str())
        .collect();
    assert!(
        !sources.is_empty(),
        "every line of the agent side carries its source"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_run_one_at_a_time_and_a_cancel_ends_only_the_one_that_is_open() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.say("/hang").await;
    scene.say("/say 3").await;
    scene
        .until("the first turn", |lines| {
            !of(lines, "session/prompt").is_empty()
        })
        .await;
    scene.post(Command::new(What::Cancel)).await;
    let lines = scene.turns(2).await;
    let ends: Vec<&Value> = of(&lines, "_posthog/turn_complete")
        .iter()
        .map(|m| &m["params"]["stopReason"])
        .collect();
    assert_eq!(ends, ["cancelled", "end_turn"]);
    assert!(
        text(&lines).ends_with("w1 w2 w3 ") || text(&lines).contains("w0 w1 w2"),
        "{}",
        text(&lines)
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_request_waits_for_a_person_and_gets_the_chosen_option() {
    let mut scene = Scene::new(json!({"permissions": "ask"})).await;
    let mut launch = scene.launch().await;
    launch.permissions = Policy::Ask;
    scene.start(launch);
    scene.say("/ask may I?").await;
    let asked = scene
        .until("the question", |lines| {
            !of(lines, "_posthog/permission_request").is_empty()
        })
        .await;
    let params = &of(&asked, "_posthog/permission_request")[0]["params"];
    let options = params["options"].as_array().expect("options");
    let once = options
        .iter()
        .find(|o| o["kind"] == "allow_once")
        .expect("one to allow it once");
    let reply = PermissionReply {
        request: params["requestId"].as_str().expect("an id").to_owned(),
        tool_call: params["toolCallId"].as_str().expect("an id").to_owned(),
        option: once["optionId"].as_str().expect("an id").to_owned(),
        text: None,
    };
    scene.post(Command::new(What::Permission(reply))).await;
    let lines = scene.turns(1).await;
    assert_eq!(
        of(&lines, "_posthog/turn_complete")[0]["params"]["stopReason"],
        "end_turn"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_told_and_the_next_prompt_gets_a_new_child() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.say("/crash").await;
    let lines = scene.turns(1).await;
    let broken = place(&lines, "error", |m| m["error"].is_object());
    assert!(
        message(&lines[broken])["error"]["message"]
            .as_str()
            .expect("words")
            .contains("exit status: 3")
    );
    scene.say("/write after.txt still here").await;
    let lines = scene.turns(2).await;
    assert_eq!(of(&lines, "_posthog/file_sync").len(), 1);
    assert_eq!(of(&lines, "_posthog/error").len(), 1);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_answers_what_the_first_left_open_and_the_first_ends_itself() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.say("/hang").await;
    scene
        .until("the first turn", |lines| {
            !of(lines, "session/prompt").is_empty()
        })
        .await;
    scene.end_servers().await;
    std::fs::create_dir_all(scene.work("")).expect("there");
    write(&scene.work("meanwhile.txt"), "changed while nobody looked");
    scene.say("/say 2").await;
    let mut launch = scene.launch().await;
    launch.resume = true;
    launch.recover = true;
    scene.start(launch);
    let lines = scene.turns(2).await;
    let ends: Vec<&Value> = of(&lines, "_posthog/turn_complete")
        .iter()
        .map(|m| &m["params"]["stopReason"])
        .collect();
    assert_eq!(ends, ["error", "end_turn"]);
    let synced = place(&lines, "file", |m| {
        m["params"]["relativePath"] == "meanwhile.txt"
    });
    let broken = place(&lines, "error", |m| m["error"].is_object());
    assert!(synced < broken, "the scan stands before the answer");
    assert_eq!(
        of(&lines, "session/prompt").len(),
        2,
        "nothing is run twice"
    );

    // A new token revokes the old ones: the server that holds one of them ends itself.
    scene
        .store
        .revoke_run_tokens(&scene.at.run)
        .await
        .expect("revoked");
    scene.say("/say 1").await;
    let end = tokio::time::timeout(DEADLINE, scene.servers.join_next()).await;
    let exit = end
        .expect("ends")
        .expect("was started")
        .expect("no panic")
        .expect("in peace");
    assert_eq!(exit, Exit::Replaced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_sandbox_holds_exactly_the_listed_bytes_on_a_root_commit() {
    let mut scene = Scene::new(json!({"seed": "manifest"})).await;
    let mut launch = scene.launch().await;
    launch.seeded = true;
    scene.start(launch);
    let here = scene.folder.path().join("here");
    std::fs::create_dir(&here).expect("a folder");
    let mut files = BTreeMap::new();
    let contents = [
        ("a b.txt", "one\r\n", Mode::File),
        ("bin/run", "#!/bin/sh\necho hi\n", Mode::Executable),
        ("link", "a b.txt", Mode::Symlink),
    ];
    for (path, content, mode) in contents {
        let hash = ContentHash::of(content.as_bytes());
        let size = content.len() as u64;
        write(&here.join("blob"), content);
        scene
            .api
            .blobs(&scene.at)
            .put(hash, size, &here.join("blob"))
            .await
            .expect("stored");
        files.insert(path.to_owned(), ManifestFile { hash, size, mode });
    }
    let manifest: FileManifest = serde_json::from_value(json!({"version": 1, "base_commit": null, "updated_at": "2026-01-01T00:00:00Z", "files": files, "deleted_files": []})).expect("a manifest");
    scene
        .api
        .put_manifest(&scene.at, &manifest)
        .await
        .expect("taken");
    scene
        .say("/run git status --porcelain && git log --oneline | wc -l && ./bin/run")
        .await;
    let lines = scene.turns(1).await;
    assert_eq!(
        std::fs::read(scene.work("a b.txt")).expect("there"),
        b"one\r\n"
    );
    assert_eq!(
        std::fs::read_link(scene.work("link")).expect("a link"),
        Path::new("a b.txt")
    );
    assert!(
        of(&lines, "_posthog/file_sync").is_empty(),
        "the seed is no change"
    );
    let all: String = lines.iter().map(Value::to_string).collect();
    assert!(
        all.contains("1\\nhi\\n"),
        "clean, one commit, executable: {all}"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_dies_and_moves_in_a_turn_costs_no_word_and_doubles_none() {
    let mut scene = Scene::new(json!({})).await;
    scene.tell_port();
    let mut launch = scene.launch().await;
    launch.endpoint_file = Some(scene.state_file());
    scene.start(launch);
    scene.say("/say 600 2").await;
    for words in [50, 250] {
        let some = |lines: &[Value]| text(lines).split(' ').count() > words;
        scene.until("words", some).await;
        scene.restart_endpoint().await;
    }
    let lines = scene.turns(1).await;
    let said = text(&lines);
    let words: Vec<&str> = said
        .split_whitespace()
        .filter(|word| word.starts_with('w'))
        .collect();
    let first: usize = words[0][1..].parse().expect("a number");
    let expected: Vec<String> = (first..first + 600).map(|i| format!("w{i}")).collect();
    assert_eq!(words, expected);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_local_mode_the_agent_works_in_the_directory_itself_and_holds_it() {
    let mut scene = Scene::new(json!({})).await;
    let here = scene.folder.path().join("here");
    std::fs::create_dir(&here).expect("a folder");
    write(&here.join("mine.txt"), "was here before");
    let mut launch = scene.launch().await;
    launch.directory = Some(here.clone());
    scene.start(launch.clone());
    scene.say("/append mine.txt !").await;
    let lines = scene.turns(1).await;
    let synced = of(&lines, "_posthog/file_sync");
    assert_eq!(synced.len(), 1);
    assert_eq!(synced[0]["params"]["type"], "file_modified");
    assert_eq!(
        synced[0]["params"]["baseHash"],
        json!(ContentHash::of(b"was here before"))
    );
    let text = std::fs::read_to_string(here.join("mine.txt")).expect("there");
    assert!(text.starts_with("was here before") && text.len() > 15);

    let mut other = JoinSet::new();
    launch.folder = scene.folder.path().join("other");
    let around = Surroundings {
        environment: BTreeMap::new(),
        executable: PathBuf::from(env!("CARGO_BIN_EXE_ashore")),
        locks: scene.folder.path().join("locks"),
        limits: Limits::default(),
    };
    other.spawn(run(launch, around));
    let refused = tokio::time::timeout(DEADLINE, other.join_next()).await;
    let refused = refused
        .expect("ends")
        .expect("was started")
        .expect("no panic");
    assert!(
        refused
            .expect_err("refused")
            .to_string()
            .contains("is already mirrored by run")
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn a_bundled_history_stands_behind_the_listed_files_and_nothing_else_is_checked_out() {
    let mut scene = Scene::new(json!({"seed": "manifest"})).await;
    let here = scene.folder.path().join("here");
    std::fs::create_dir(&here).expect("a folder");
    let git = |arguments: &str| {
        let done = std::process::Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@localhost"])
            .args(arguments.split(' '))
            .current_dir(&here)
            .output()
            .expect("git runs");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout)
            .expect("text")
            .trim()
            .to_owned()
    };
    git("init --quiet --initial-branch=topic");
    write(&here.join("kept.txt"), "old");
    write(&here.join("gone.txt"), "deleted here, still in HEAD");
    git("add .");
    git("commit --quiet -m first");
    git("bundle create --quiet ../bundle --all HEAD");
    let head = git("rev-parse HEAD");
    let bundle = std::fs::read(scene.folder.path().join("bundle")).expect("there");
    let blobs = scene.api.blobs(&scene.at);
    let hash = ContentHash::of(&bundle);
    let at = scene.folder.path().join("bundle");
    blobs
        .put(hash, bundle.len() as u64, &at)
        .await
        .expect("stored");
    write(&here.join("kept.txt"), "new, not committed");
    let kept = ContentHash::of(b"new, not committed");
    blobs
        .put(kept, 18, &here.join("kept.txt"))
        .await
        .expect("stored");
    let manifest: FileManifest = serde_json::from_value(json!({
        "version": 1, "base_commit": head, "updated_at": "2026-01-01T00:00:00Z",
        "files": {"kept.txt": {"hash": kept, "size": 18, "mode": "100644"}},
        "bundle": hash, "head": head, "branch": "topic",
        "remotes": {"origin": "https://example.invalid/a/b.git", "--upload-pack": "x"},
    }))
    .expect("a manifest");
    scene
        .api
        .put_manifest(&scene.at, &manifest)
        .await
        .expect("taken");
    let mut launch = scene.launch().await;
    launch.seeded = true;
    scene.start(launch);
    scene
        .say("/run git status --porcelain --branch; git remote; git log --format=%s")
        .await;
    let lines = scene.turns(1).await;
    assert!(!scene.work("gone.txt").exists());
    let all: String = lines.iter().map(Value::to_string).collect();
    assert!(
        all.contains("## topic\\n D gone.txt\\n M kept.txt\\norigin\\nfirst"),
        "{all}"
    );
    assert!(all.contains("--upload-pack was left out"), "{all}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_nobody_announced_is_told_between_turns() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene
        .until("the session", |lines| {
            !of(lines, "_posthog/run_started").is_empty()
        })
        .await;
    write(&scene.work("by-hand.txt"), "hello");
    let lines = scene
        .until("the change", |lines| {
            !of(lines, "_posthog/file_sync").is_empty()
        })
        .await;
    let file = &of(&lines, "_posthog/file_sync")[0]["params"];
    assert_eq!(
        (&file["relativePath"], &file["turn"]),
        (&json!("by-hand.txt"), &Value::Null)
    );
    scene.close().await;
}
