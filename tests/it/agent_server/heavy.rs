//! Prompts that are too heavy for a journal line.

use ashore::protocol::command::{Command, Prompt, What};
use ashore::protocol::run::Policy;
use serde_json::{Value, json};

use crate::agent_server::children::{by_command, scripted};
use crate::agent_server::scene::{Scene, message, of, place, read, text};

impl Scene {
    /// A run whose agent writes down every prompt as it gets it, and where.
    async fn with_a_scribe() -> (Self, std::path::PathBuf) {
        let mut scene = Self::new(json!({})).await;
        let got = scene.folder.path().join("got");
        let cases = format!(
            r#"
    *'"session/prompt"'*) printf '%s\n' "$line" >> '{}'; chunk agent_message_chunk 'read '; answer '"result":{{"stopReason":"end_turn"}}' ;;
    *'"initialize"'*) answer '"result":{{"protocolVersion":1,"agentCapabilities":{{"promptCapabilities":{{"image":true}}}}}}' ;;"#,
            got.display()
        );
        let program = scripted(&scene, "scribe", &cases);
        let mut launch = scene.launch().await;
        launch.permissions = Policy::Auto;
        by_command(&mut launch, &program);
        scene.start(launch);
        (scene, got)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_heavy_for_a_line_reaches_the_agent_whole() {
    let (scene, got) = Scene::with_a_scribe().await;
    let long = "word\n".repeat(80_000);
    scene.say(&long).await;
    scene.turns(1).await;
    let image = json!({"type": "image", "mimeType": "image/png", "data": "A".repeat(300_000)});
    let blocks = vec![json!({"type": "text", "text": "see"}), image];
    let what = What::UserMessage(Prompt {
        text: "see".to_owned(),
        blocks: Some(blocks.clone()),
    });
    scene.post(Command::new(what)).await;
    let lines = scene.turns(2).await;
    for line in &lines {
        assert!(line.to_string().len() < 16 << 10, "the journal stays light");
    }
    let shown = of(&lines, "session/prompt")[0]["params"]["prompt"][0]["text"].as_str();
    assert!(shown.is_some_and(|shown| shown.starts_with("word\n") && shown.ends_with('…')));
    let prompts: Vec<Value> = read(&got)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["params"]["prompt"].clone())
        .collect();
    assert_eq!(
        prompts,
        [json!([{"type": "text", "text": long}]), json!(blocks)]
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_nobody_has_ends_its_turn_with_a_sentence_and_the_next_one_runs() {
    let (scene, got) = Scene::with_a_scribe().await;
    let named = json!({"type": "text", "text": "…", "_meta": {"ashore": {"blob": "0".repeat(64)}}});
    let what = What::UserMessage(Prompt {
        text: String::new(),
        blocks: Some(vec![named]),
    });
    scene.post(Command::new(what)).await;
    scene.say("hello").await;
    let lines = scene.turns(2).await;
    let failed = place(&lines, "the failed turn", |m| m["error"].is_object());
    let why = message(&lines[failed])["error"]["message"].to_string();
    assert!(why.contains("cannot be had"), "{why}");
    assert_eq!(text(&lines), "read ");
    assert_eq!(read(&got).lines().count(), 1);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_does_not_take_is_text_for_it_and_that_is_told() {
    let (scene, got) = Scene::with_a_scribe().await;
    let words = json!({"type": "text", "text": "see"});
    let image = json!({"type": "image", "mimeType": "image/png", "data": "AAAA"});
    let notes =
        json!({"type": "resource", "resource": {"uri": "file:///home/ana/n.md", "text": "# N"}});
    let sound = json!({"type": "audio", "mimeType": "audio/ogg", "data": "AAAA"});
    let blocks = vec![words.clone(), image.clone(), notes, sound];
    let what = What::UserMessage(Prompt {
        text: "see".to_owned(),
        blocks: Some(blocks.clone()),
    });
    scene.post(Command::new(what)).await;
    let lines = scene.turns(1).await;
    // The journal has what was written.
    let written = &of(&lines, "session/prompt")[0]["params"]["prompt"];
    assert_eq!(written, &json!(blocks));
    let told = "this agent takes no sound with a message: audio/ogg was not given to it";
    place(&lines, "the note", |m| m.to_string().contains(told));
    let given: Value = serde_json::from_str(read(&got).trim()).expect("JSON");
    let text = |text: &str| json!({"type": "text", "text": text});
    let in_place = [
        text("The user attached file:///home/ana/n.md:\n\n# N"),
        text("[The user attached audio/ogg, which could not be given to you.]"),
    ];
    let [notes, sound] = in_place;
    assert_eq!(
        given["params"]["prompt"],
        json!([words, image, notes, sound])
    );
    scene.close().await;
}
