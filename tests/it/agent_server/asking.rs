//! What an agent asks its user, and what it is asked for in turn.

use ashore::protocol::command::{Command, PermissionReply, What};
use ashore::protocol::run::Policy;
use serde_json::{Value, json};

use crate::agent_server::children::{by_command, scripted};
use crate::agent_server::demands::seen;
use crate::agent_server::scene::{Scene, of, place, read};

async fn driven(cases: &str, permissions: Policy) -> Scene {
    let mut scene = Scene::new(json!({})).await;
    let program = scripted(&scene, "child", cases);
    let mut launch = scene.launch().await;
    launch.permissions = permissions;
    by_command(&mut launch, &program);
    scene.start(launch);
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn the_modes_an_agent_offers_are_in_the_journal_and_one_that_it_took_is_told() {
    let cases = r#"
    *initialize*) answer '"result":{"protocolVersion":1}' ;;
    *session/new*) answer '"result":{"sessionId":"s","modes":{"currentModeId":"ask","availableModes":[{"id":"ask","name":"Ask"},{"id":"code","name":"Code","description":"d"}]}}' ;;
    *session/set_mode*warp*) answer '"error":{"code":-32602,"message":"no such mode"}' ;;
    *session/set_mode*) answer '"result":{}' ;;"#;
    let scene = driven(cases, Policy::Auto).await;
    scene.say("go").await;
    let session = seen(&scene.turns(1).await);
    let offered: Vec<&str> = session
        .modes
        .iter()
        .map(|mode| mode.name.as_str())
        .collect();
    assert_eq!(
        (session.mode.as_deref(), offered),
        (Some("ask"), vec!["Ask", "Code"])
    );
    let set = |mode: &str| Command::new(What::SetMode(mode.to_owned()));
    scene.post(set("warp")).await;
    scene.post(set("code")).await;
    let mode = |lines: &[Value]| seen(lines).mode;
    let lines = scene
        .until("the mode", |lines| mode(lines).as_deref() == Some("code"))
        .await;
    assert_eq!(seen(&lines).modes.len(), 2, "what is offered stays");
    let notes = of(&lines, "_ashore/note");
    assert!(
        notes
            .iter()
            .any(|note| note.to_string().contains("no such mode")),
        "{notes:?}"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_that_only_the_question_holds_is_told_before_the_question() {
    let cases = r#"
    *initialize*) answer '"result":{"protocolVersion":1}' ;;
    *'"outcome"'*) id=$held; answer '"result":{"stopReason":"end_turn"}' ;;
    *session/prompt*) held=$id
      say '{"jsonrpc":"2.0","id":900,"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"e1","title":"Edit a.rs","kind":"edit","content":[{"type":"diff","path":"a.rs","oldText":"1","newText":"2"}]},"options":[{"optionId":"ok","name":"OK","kind":"allow_once"}]}}' ;;"#;
    let scene = driven(cases, Policy::Auto).await;
    scene.say("go").await;
    let lines = scene.turns(1).await;
    let session = seen(&lines);
    let index = session.call("e1").expect("is there");
    let cell = session.transcript.cells.get(index).expect("is there");
    let call = cell.body.tool().expect("a call");
    assert_eq!((call.title.as_str(), call.content.len()), ("Edit a.rs", 1));
    let told = place(&lines, "the call", |m| {
        m["params"]["update"]["toolCallId"] == "e1"
    });
    let asked = place(&lines, "the question", |m| {
        m["method"] == "_posthog/permission_request"
    });
    assert!(told < asked);
    scene.close().await;
}

/// A child that asks for a form with this schema, and whose words are what it got for it.
fn asks_for(schema: &str) -> String {
    r#"
    *initialize*) printf '%s\n' "$line" > initialize; answer '"result":{"protocolVersion":1}' ;;
    *'"action"'*) printf '%s\n' "$line" >> heard; id=$held; answer '"result":{"stopReason":"end_turn"}' ;;
    *session/prompt*) held=$id
      say '{"jsonrpc":"2.0","id":"f1","method":"elicitation/create","params":{"sessionId":"s","mode":"form","message":"How many?","requestedSchema":SCHEMA}}' ;;"#
        .replace("SCHEMA", schema)
}

fn heard(scene: &Scene) -> Value {
    let text = read(&scene.work("heard"));
    let line = text.lines().last().expect("was answered");
    let answer: Value = serde_json::from_str(line).expect("JSON");
    answer["result"].clone()
}

const FLAT: &str =
    r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer","minimum":1}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_flat_form_waits_for_a_person_whatever_the_policy_and_gets_what_fits() {
    for (text, expected) in [
        (
            r#"{"n":3}"#,
            json!({"action": "accept", "content": {"n": 3}}),
        ),
        (r#"{"n":0}"#, json!({"action": "decline"})),
    ] {
        let scene = driven(&asks_for(FLAT), Policy::Auto).await;
        scene.say("go").await;
        let asked = |lines: &[Value]| !of(lines, "_posthog/permission_request").is_empty();
        let lines = scene.until("the question", asked).await;
        let session = seen(&lines);
        let open = &session.permissions[0];
        assert_eq!(
            (open.title.as_str(), open.kind.as_deref()),
            ("How many?", Some("elicitation"))
        );
        let reply = PermissionReply {
            request: open.request.clone(),
            tool_call: String::new(),
            option: "accept".into(),
            text: Some(text.into()),
        };
        scene.post(Command::new(What::Permission(reply))).await;
        scene.turns(1).await;
        assert_eq!(heard(&scene), expected, "{text}");
        let offered = read(&scene.work("initialize"));
        assert!(
            offered.contains(r#""elicitation":{"form":{}}"#),
            "{offered}"
        );
        scene.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_cannot_be_shown_or_that_nobody_is_there_for_is_declined() {
    let deep = r#"{"type":"object","properties":{"a":{"type":"object"}}}"#;
    for (schema, policy) in [(deep, Policy::Ask), (FLAT, Policy::Deny)] {
        let scene = driven(&asks_for(schema), policy).await;
        scene.say("go").await;
        let lines = scene.turns(1).await;
        assert_eq!(heard(&scene), json!({"action": "decline"}));
        let told = of(&lines, "_ashore/note");
        let told = told
            .iter()
            .any(|note| note.to_string().contains("How many?"));
        assert_eq!(told, policy == Policy::Ask);
        assert_eq!(seen(&lines).permissions, []);
        scene.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_cancelled_with_its_turn() {
    let scene = driven(&asks_for(FLAT), Policy::Ask).await;
    scene.say("go").await;
    let asked = |lines: &[Value]| !of(lines, "_posthog/permission_request").is_empty();
    scene.until("the question", asked).await;
    scene.post(Command::new(What::Cancel)).await;
    scene.turns(1).await;
    assert_eq!(heard(&scene), json!({"action": "cancel"}));
    scene.close().await;
}
