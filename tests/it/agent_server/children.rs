//! Children that behave as no agent should, each a few lines of shell.

use std::path::{Path, PathBuf};

use ashore::protocol::launch::Launch;
use serde_json::json;

use crate::agent_server::scene::{DEADLINE, Scene, message, of, place, read, text, write};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_login_makes_way_for_demo_only_when_nobody_named_it() {
    let script = r#"#!/bin/sh
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  case "$line" in
    *initialize*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":1,"authMethods":[{"id":"x","name":"Log in at the counter"}]}}' ;;
    *) echo '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32000,"message":"Authentication required"}}' ;;
  esac
done
"#;
    for named in [false, true] {
        let mut scene = Scene::new(json!({})).await;
        let program = scene.folder.path().join("claude-agent-acp");
        write(&program, script);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("is ours");
        let mut launch = scene.launch().await;
        launch.agent = Some("claude".to_owned());
        launch.agent_named = named;
        let path = format!("{}:/usr/bin:/bin", scene.folder.path().display());
        launch.secrets.insert("PATH".to_owned(), path);
        scene.start(launch);
        if named {
            let end = tokio::time::timeout(DEADLINE, scene.servers.join_next()).await;
            let end = end.expect("ends").expect("was started").expect("no panic");
            assert_eq!(
                end.expect_err("no agent").to_string(),
                "claude asks for a login"
            );
            let lines = scene.lines().await;
            let failed = place(&lines, "failed step", |m| m["params"]["status"] == "failed");
            let hint = message(&lines[failed])["params"]["hint"]
                .as_str()
                .expect("a hint")
                .to_owned();
            assert!(
                hint.contains("claude /login") && hint.contains("Log in at the counter"),
                "{hint}"
            );
        } else {
            scene.say("/say 1").await;
            let lines = scene.turns(1).await;
            let notes = of(&lines, "_ashore/note");
            let note = notes[0]["params"]["message"].as_str().expect("words");
            assert!(
                notes.len() == 1 && note.contains("the demo agent is used"),
                "{note}"
            );
            scene.close().await;
        }
    }
}

/// A child that answers line by line: `cases` are the branches of a shell `case`, with the request's id in `$id`.
pub(crate) fn scripted(scene: &Scene, name: &str, cases: &str) -> PathBuf {
    let script = format!(
        r#"#!/bin/sh
say() {{ printf '%s\n' "$1"; }}
answer() {{ printf '%s\n' '{{"jsonrpc":"2.0","id":'"$id"','"$1"'}}'; }}
chunk() {{ printf '%s\n' '{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s","update":{{"sessionUpdate":"'"$1"'","content":{{"type":"text","text":"'"$2"'"}}}}}}}}'; }}
call() {{ say '{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s","update":{{"sessionUpdate":"'"$1"'","toolCallId":"'"$2"'","title":"T","status":"'"$3"'"}}}}}}'; }}
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  case "$line" in
{cases}
    *session/new*) answer '"result":{{"sessionId":"s"}}' ;;
    *session/prompt*) chunk agent_message_chunk 'fine '; answer '"result":{{"stopReason":"end_turn"}}' ;;
  esac
done
"#
    );
    let program = scene.folder.path().join(name);
    write(&program, &script);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("is ours");
    program
}

pub(crate) fn by_command(launch: &mut Launch, program: &Path) {
    launch.agent = None;
    launch.agent_command = Some(program.display().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_replays_behind_its_answer_to_a_load_is_not_said_twice() {
    let mut scene = Scene::new(json!({})).await;
    let program = scripted(
        &scene,
        "late-replay",
        r#"
    *initialize*) answer '"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}' ;;
    *session/load*) answer '"result":{}'; chunk user_message_chunk 'replayed '; chunk agent_message_chunk 'replayed ' ;;
    *die*) exit 3 ;;"#,
    );
    let mut launch = scene.launch().await;
    by_command(&mut launch, &program);
    scene.start(launch);
    scene.say("one").await;
    scene.turns(1).await;
    scene.say("die").await;
    scene.turns(2).await;
    scene.say("two").await;
    let lines = scene.turns(3).await;
    assert_eq!(text(&lines), "fine fine ");
    assert!(
        !lines
            .iter()
            .any(|line| line.to_string().contains("replayed"))
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_asks_for_a_login_only_at_the_prompt_hands_it_to_demo_unless_it_was_named() {
    for named in [false, true] {
        let mut scene = Scene::new(json!({})).await;
        scripted(
            &scene,
            "claude-agent-acp",
            r#"
    *initialize*) answer '"result":{"protocolVersion":1,"authMethods":[{"id":"x","name":"Log in at the counter"}]}' ;;
    *session/prompt*) answer '"error":{"code":-32000,"message":"Authentication required"}' ;;"#,
        );
        let mut launch = scene.launch().await;
        launch.agent = Some("claude".to_owned());
        launch.agent_named = named;
        let path = format!("{}:/usr/bin:/bin", scene.folder.path().display());
        launch.secrets.insert("PATH".to_owned(), path);
        scene.start(launch);
        scene.say("/say 2").await;
        let lines = scene.turns(1).await;
        let notes = of(&lines, "_ashore/note");
        let note = notes[0]["params"]["message"].as_str().expect("words");
        assert!(note.contains("Log in at the counter"), "{note}");
        let prompts = of(&lines, "session/prompt").len();
        let failed = lines
            .iter()
            .any(|line| message(line)["error"]["code"] == -32000);
        assert_eq!((notes.len(), prompts, failed), (1, 1, named));
        assert_eq!(text(&lines), if named { "" } else { "w1 w2 " });
        assert_eq!(note.contains("the demo agent is used"), !named, "{note}");
        scene.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_finds_no_token_of_ours_in_its_surroundings() {
    let mut scene = Scene::new(json!({})).await;
    let program = scripted(
        &scene,
        "looks-around",
        r#"
    *initialize*) env > environment; tr '\0' ' ' < /proc/$$/cmdline > arguments; answer '"result":{"protocolVersion":1}' ;;"#,
    );
    let mut launch = scene.launch().await;
    by_command(&mut launch, &program);
    launch
        .secrets
        .insert("OPENAI_API_KEY".to_owned(), "key".to_owned());
    let token = launch.token.clone();
    scene.start(launch);
    scene.say("one").await;
    scene.turns(1).await;
    let seen = read(&scene.work("environment")) + &read(&scene.work("arguments"));
    assert!(seen.contains("OPENAI_API_KEY=key"), "{seen}");
    assert!(!seen.contains(&token) && !seen.contains("ASHORE"), "{seen}");
    scene.close().await;
}
