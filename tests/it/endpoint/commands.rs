//! `POST R/sync` and `append_log`: once, in order, with a sentence for what is refused.

use ashore::backend::lifecycle::Signal;
use ashore::protocol::run::Status;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Endpoint, TOKEN, json_of, message, said};

#[tokio::test]
async fn a_command_is_taken_once_answered_202_with_nothing_and_told_to_the_lifecycle() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let sync = format!("{}/sync", at.path());
    for _ in 0..3 {
        let request = endpoint
            .ask(Method::POST, &sync)
            .header("Ashore-Host", "laptop")
            .json(&message("m1", "go"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 202);
        assert_eq!(answer.bytes().await.unwrap().len(), 0);
    }
    // Without an id, as the reference's client and its curl: twice is two messages.
    for _ in 0..2 {
        let bare = json!({"method": "_posthog/user_message", "params": {"content": "again"}});
        assert_eq!(endpoint.post(&format!("{sync}/"), bare).await.status(), 202);
    }
    let lines = endpoint.lines(&at).await;
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["type"], "client_message");
    assert_eq!(lines[0]["message"], message("m1", "go"));
    assert_eq!(lines[0]["id"], "m1");
    assert_eq!(lines[0]["from"], "you@laptop");
    assert!(lines[0]["timestamp"].is_string());
    assert!(lines[1]["id"].is_string());
    let heard = endpoint.lifecycle.heard();
    assert_eq!(heard[0], Signal::Started);
    assert_eq!(heard[1..], vec![Signal::Message; 5]);
    endpoint.stop().await;
}

#[tokio::test]
async fn what_is_no_command_gets_400_and_what_is_too_large_413() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let sync = format!("{}/sync", at.path());
    let refused = endpoint.post(&sync, json!(["not", "an", "object"])).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(
        json_of(refused).await,
        json!({"error": "body must be an object"})
    );
    for body in ["", "{", "{\"method\":3}", "null"] {
        let refused = endpoint
            .ask(Method::POST, &sync)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status(), 400, "{body}");
        assert!(json_of(refused).await["error"].is_string());
    }
    let empty = endpoint
        .post(
            &format!("{}/append_log/", at.path()),
            json!({"entries": []}),
        )
        .await;
    assert_eq!(empty.status(), 400);
    assert_eq!(
        json_of(empty).await,
        json!({"type": "validation_error", "code": "invalid_input", "detail": "entries must not be empty", "attr": "entries"})
    );
    for body in [json!({}), json!({"entries": 3}), json!({"entries": [1]})] {
        let refused = endpoint
            .post(&format!("{}/append_log", at.path()), body.clone())
            .await;
        assert_eq!(refused.status(), 400, "{body}");
        assert_eq!(json_of(refused).await["attr"], "entries");
    }
    let large = "x".repeat(1024 * 1024);
    for (path, body) in [
        ("sync", message("m", &large)),
        (
            "append_log",
            json!({"entries": [{"type": "notification", "x": large}]}),
        ),
    ] {
        let refused = endpoint.post(&format!("{}/{path}", at.path()), body).await;
        assert_eq!(refused.status(), 413, "{path}");
        assert!(json_of(refused).await["error"].is_string());
    }
    assert_eq!(endpoint.lines(&at).await, Vec::<Value>::new());
    endpoint.stop().await;
}

#[tokio::test]
async fn a_long_line_of_a_foreign_sender_is_cut_and_its_whole_kept() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let mut line = said(1);
    line["notification"]["params"]["text"] = json!("é".repeat(300_000));
    assert_eq!(
        endpoint.append(&at, TOKEN, &[line.clone()]).await.status(),
        200
    );
    let logs = endpoint.ask(Method::GET, &format!("{}/logs?after=0", at.path()));
    let text = logs.send().await.unwrap().text().await.unwrap();
    assert!(text.len() <= 256 * 1024 && text.ends_with('\n'));
    let kept: Value = serde_json::from_str(&text).unwrap();
    let blob = &kept["notification"]["params"]["_meta"]["ashore"]["blobs"][0];
    let path = format!("{}/blobs/{}", at.path(), blob.as_str().unwrap());
    let whole = endpoint.ask(Method::GET, &path).send().await.unwrap();
    assert_eq!(whole.text().await.unwrap(), line.to_string());
    endpoint.stop().await;
}

#[tokio::test]
async fn a_batch_that_comes_twice_is_appended_once_and_broken_emoji_are_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let agent = endpoint.ground.store.new_run_token(&at).await.unwrap();
    let source = "0b2e6c34-58d2-4a07-8a43-0f3d9be7c215";
    let send = |first: u64, body: String| {
        endpoint
            .bare(Method::POST, &format!("{}/append_log", at.path()))
            .bearer_auth(&agent)
            .header("Ashore-Batch", format!("{source}:{first}"))
            .body(body)
            .send()
    };
    let body = |numbers: &[u64]| {
        let entries: Vec<_> = numbers.iter().copied().map(said).collect();
        json!({"entries": entries}).to_string()
    };
    for (first, numbers) in [(1, vec![1, 2]), (1, vec![1, 2]), (2, vec![2, 3])] {
        assert_eq!(send(first, body(&numbers)).await.unwrap().status(), 200);
    }
    let half = r#"{"entries":[{"type":"notification","notification":{"method":"m","params":{"t":"\ud83d"}}}]}"#;
    assert_eq!(send(4, half.to_owned()).await.unwrap().status(), 200);
    let lines = endpoint.lines(&at).await;
    let places: Vec<_> = lines
        .iter()
        .map(|line| line["src"].as_str().unwrap())
        .collect();
    let wanted: Vec<_> = (1..=4).map(|n| format!("{source}:{n}")).collect();
    assert_eq!(places, wanted);
    assert_eq!(lines[3]["notification"]["params"]["t"], "\u{fffd}");
    let bad = endpoint
        .ask(Method::POST, &format!("{}/append_log", at.path()))
        .header("Ashore-Batch", "soon:1")
        .json(&json!({"entries": [said(1)]}));
    assert_eq!(bad.send().await.unwrap().status(), 400);
    endpoint.stop().await;
}

#[tokio::test]
async fn the_lifecycle_hears_of_turns_activity_close_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let sync = format!("{}/sync", at.path());
    let line = |message: Value| json!({"type": "notification", "notification": message});
    endpoint
        .append(
            &at,
            TOKEN,
            &[line(
                json!({"id": 1, "method": "session/prompt", "params": {}}),
            )],
        )
        .await;
    endpoint
        .append(
            &at,
            TOKEN,
            &[line(json!({"id": 1, "result": {"stopReason": "end_turn"}}))],
        )
        .await;
    let store = &endpoint.ground.store;
    store
        .set_status(&at.run, &Status::Completed, None)
        .await
        .unwrap();
    let cancel = json!({"id": "c1", "method": "_posthog/cancel"});
    assert_eq!(endpoint.post(&sync, cancel).await.status(), 409);
    // An edit waits in the journal for the next start and is no reason for one.
    let edit = |id: &str| json!({"id": id, "method": "_ashore/file_changed", "params": {"changes": [{"relativePath": "a", "contentHash": null, "baseHash": null}]}});
    assert_eq!(endpoint.post(&sync, edit("e1")).await.status(), 202);
    assert_eq!(endpoint.lifecycle.heard().last(), Some(&Signal::Activity));
    assert_eq!(
        endpoint.post(&sync, message("m1", "again")).await.status(),
        202
    );
    let close = json!({"id": "c2", "method": "_posthog/close"});
    assert_eq!(endpoint.post(&sync, close).await.status(), 202);
    let late = endpoint.post(&sync, message("m2", "more")).await;
    assert_eq!(late.status(), 409);
    assert_eq!(
        json_of(late).await,
        json!({"error": "the run was closed; start a new one"})
    );
    assert_eq!(endpoint.post(&sync, edit("e2")).await.status(), 409);
    assert_eq!(
        endpoint.post(&sync, message("m1", "again")).await.status(),
        202
    );
    assert_eq!(
        endpoint.lifecycle.heard(),
        [
            Signal::Started,
            Signal::TurnRunning(true),
            Signal::Activity,
            Signal::TurnRunning(false),
            Signal::Activity,
            Signal::Activity,
            Signal::Message,
            Signal::Close,
            Signal::Message,
        ]
    );
    endpoint.stop().await;
}

#[tokio::test]
async fn the_second_answer_to_a_permission_request_hears_who_was_first() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let sync = format!("{}/sync", at.path());
    let ask = json!({"type": "notification", "notification": {"method": "_posthog/permission_request", "params": {"requestId": "q", "toolCallId": "t"}}});
    endpoint.append(&at, TOKEN, &[ask]).await;
    let answer = |id: &str| json!({"id": id, "method": "_posthog/permission_response", "params": {"requestId": "q", "toolCallId": "t", "optionId": "allow"}});
    assert_eq!(endpoint.post(&sync, answer("a1")).await.status(), 202);
    let second = endpoint.post(&sync, answer("a2")).await;
    assert_eq!(second.status(), 409);
    assert_eq!(
        json_of(second).await,
        json!({"error": "this was already answered by you"})
    );
    assert_eq!(endpoint.lines(&at).await.len(), 3);
    endpoint.stop().await;
}
