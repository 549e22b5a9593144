//! Following a run: exact places, the three views, restarts, removal.

use ashore::protocol::run::Status;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Endpoint, Events, TOKEN, json_of, message, said};

#[tokio::test]
async fn a_follower_gets_exactly_what_stands_behind_its_last_event_id() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let all: Vec<_> = (1..=5).map(said).collect();
    endpoint.append(&at, TOKEN, &all).await;
    let path = format!("{}/sync", at.path());
    let mut followers = Vec::new();
    for (header, first) in [
        (Some("0"), 1),
        (Some("3"), 4),
        (Some("5"), 6),
        (Some("6"), 6),
        (Some("99"), 6),
        (Some("soon"), 6),
        (None, 6),
    ] {
        let mut request = endpoint.ask(Method::GET, &path);
        if let Some(id) = header {
            request = request.header("Last-Event-ID", id);
        }
        followers.push((header, first, Events::open(request).await));
    }
    endpoint.append(&at, TOKEN, &[said(6), said(7)]).await;
    for (header, first, mut events) in followers {
        for id in first..=7 {
            assert_eq!(events.id().await, id, "{header:?}");
        }
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn the_reference_view_shows_inner_messages_without_client_messages_and_prompt_lines() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let path = format!("{}/sync", at.path());
    endpoint.post(&path, message("m1", "go")).await;
    let line = |message: Value| json!({"type": "notification", "notification": message});
    endpoint
        .append(&at, TOKEN, &[
            line(json!({"jsonrpc": "2.0", "id": 4, "method": "session/prompt", "params": {}})),
            line(json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "x", "update": {"sessionUpdate": "plan", "entries": []}}})),
            line(json!({"jsonrpc": "2.0", "id": 4, "result": {"stopReason": "end_turn"}})),
            said(5),
        ])
        .await;
    let request = endpoint
        .ask(Method::GET, &path)
        .header("Last-Event-ID", "0");
    let mut events = Events::open(request).await;
    assert_eq!(
        events.next().await.unwrap(),
        format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{{\"sessionId\":\"{}\",\"update\":{{\"sessionUpdate\":\"plan\",\"entries\":[]}}}}}}\nid: 3",
            at.run
        )
    );
    assert_eq!(events.id().await, 5);
    endpoint.stop().await;
}

#[tokio::test]
async fn our_views_say_hello_tell_the_end_and_the_agents_one_closes() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let agent = endpoint.ground.store.new_run_token(&at).await.unwrap();
    let sync = format!("{}/sync", at.path());
    endpoint.append(&at, &agent, &[said(1)]).await;
    endpoint.post(&sync, message("m1", "go")).await;
    let open = |view: &str, token: &str| {
        Events::open(
            endpoint
                .bare(Method::GET, &format!("{sync}?view={view}"))
                .bearer_auth(token)
                .header("Last-Event-ID", "0"),
        )
    };
    let mut journal = open("journal", TOKEN).await;
    let mut commands = open("commands", &agent).await;
    for events in [&mut journal, &mut commands] {
        let hello = events.next().await.unwrap();
        assert_eq!(
            hello,
            "event: hello\ndata: {\"last_seq\":2,\"keepalive\":15}"
        );
    }
    let there = journal.next().await.unwrap();
    assert_eq!(there, "event: presence\ndata: {\"clients\":[]}");
    let lines = endpoint.lines(&at).await;
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(
            journal.next().await.unwrap(),
            format!("data: {line}\nid: {}", index + 1)
        );
    }
    assert_eq!(
        commands.next().await.unwrap(),
        format!("data: {}\nid: 2", lines[1])
    );

    let end = |status: &str| format!("event: end\ndata: {{\"status\":\"{status}\"}}");
    let ground = &endpoint.ground;
    for (status, told) in [
        ("completed", true),
        ("in_progress", false),
        ("failed", true),
    ] {
        let status = Status::from(status.to_owned());
        ground
            .store
            .set_status(&at.run, &status, None)
            .await
            .unwrap();
        ground
            .journal
            .append_status(&at, &status, None)
            .await
            .unwrap();
        let line = journal.next().await.unwrap();
        assert!(line.contains("_ashore/status"), "{line}");
        if told {
            assert_eq!(journal.next().await.unwrap(), end(status.as_str()));
        }
    }
    assert_eq!(commands.next().await.unwrap(), end("completed"));
    assert_eq!(commands.next().await, None);
    endpoint.stop().await;
}

#[tokio::test]
async fn a_run_that_has_ended_says_so_to_whoever_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let ended = endpoint
        .ask(Method::PATCH, &format!("{}/", at.path()))
        .json(&json!({"status": "cancelled"}));
    let run = json_of(ended.send().await.unwrap()).await;
    assert!(run["completed_at"].is_string());
    let request = endpoint.ask(Method::GET, &format!("{}/sync?view=journal", at.path()));
    let mut events = Events::open(request).await;
    // The greeting, and who is there.
    events.next().await.unwrap();
    events.next().await.unwrap();
    assert_eq!(
        events.next().await.unwrap(),
        "event: end\ndata: {\"status\":\"cancelled\"}"
    );
    endpoint.stop().await;
}

#[tokio::test]
async fn a_killed_endpoint_comes_back_with_every_line_once_and_without_the_torn_one() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let sync = format!("{}/sync", at.path());
    endpoint.append(&at, TOKEN, &[said(1), said(2)]).await;
    endpoint.post(&sync, message("m1", "go")).await;
    endpoint.kill().await;
    let journal = folder.path().join(format!("journals/{}.ndjson", at.run));
    let mut file = std::fs::File::options().append(true).open(journal).unwrap();
    std::io::Write::write_all(&mut file, b"{\"type\":\"notif").unwrap();

    let endpoint = Endpoint::start(&folder).await;
    let request = endpoint.ask(Method::GET, &format!("{sync}?view=journal"));
    let mut events = Events::open(request.header("Last-Event-ID", "1")).await;
    assert_eq!(
        endpoint.post(&sync, message("m1", "go")).await.status(),
        202
    );
    endpoint.append(&at, TOKEN, &[said(4)]).await;
    for id in 2..=4 {
        assert_eq!(events.id().await, id);
    }
    let lines = endpoint.lines(&at).await;
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[3]["notification"]["params"]["n"], 4);
    endpoint.stop().await;
}

#[tokio::test]
async fn many_writers_and_followers_agree_on_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let path = format!("{}/sync?view=journal", at.path());
    let mut followers = Vec::new();
    for _ in 0..3 {
        followers.push(Events::open(endpoint.ask(Method::GET, &path)).await);
    }
    let writes = (0..60).map(|n| {
        let (endpoint, at) = (&endpoint, &at);
        async move { endpoint.append(at, TOKEN, &[said(n)]).await.status() }
    });
    for status in futures::future::join_all(writes).await {
        assert_eq!(status, 200);
    }
    for events in &mut followers {
        for id in 1..=60 {
            assert_eq!(events.id().await, id);
        }
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn removing_a_run_ends_its_followers_and_leaves_nothing_to_find() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({"secrets": {"KEY": "v"}})).await;
    endpoint.append(&at, TOKEN, &[said(1)]).await;
    let path = format!("{}/sync?view=journal", at.path());
    let mut events = Events::open(endpoint.ask(Method::GET, &path)).await;
    // The greeting, and who is there.
    events.next().await.unwrap();
    events.next().await.unwrap();
    let removed = endpoint.ask(Method::DELETE, &format!("{}/", at.path()));
    assert_eq!(removed.send().await.unwrap().status(), 204);
    let last = events.next().await.unwrap();
    assert_eq!(
        last,
        "event: error\ndata: {\"error\":\"this run was removed\"}"
    );
    assert_eq!(events.next().await, None);
    let gone = endpoint.ask(Method::GET, &at.path()).send().await.unwrap();
    assert_eq!(gone.status(), 404);
    assert!(endpoint.append(&at, TOKEN, &[said(2)]).await.status() == 404);
    assert!(
        !folder
            .path()
            .join(format!("journals/{}.ndjson", at.run))
            .exists()
    );
    assert!(!endpoint.ground.store.secrets_path(&at.run).exists());
    endpoint.stop().await;
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_lives_and_a_stopping_endpoint_lets_it_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = super::settings(folder.path().to_owned(), true, "127.0.0.1:0");
    settings.keepalive = std::time::Duration::from_secs(1);
    let endpoint = Endpoint::start_with(settings).await;
    let at = endpoint.new_run(json!({})).await;
    let sync = format!("{}/sync", at.path());
    let mut reference = Events::open(endpoint.ask(Method::GET, &sync)).await;
    let ours = endpoint.ask(Method::GET, &format!("{sync}?view=journal"));
    let mut ours = Events::open(ours).await;
    assert!(ours.next().await.unwrap().starts_with("event: hello"));
    assert!(ours.next().await.unwrap().starts_with("event: presence"));
    for _ in 0..2 {
        assert_eq!(reference.next().await.unwrap(), ": keepalive");
        assert_eq!(ours.next().await.unwrap(), "event: keepalive\ndata: {}");
    }
    // Ended in the store alone: a silent stream still finds out.
    let store = &endpoint.ground.store;
    store
        .set_status(&at.run, &Status::Failed, None)
        .await
        .unwrap();
    while !ours.next().await.unwrap().starts_with("event: end") {}
    endpoint.stop().await;
    while ours.next().await.is_some() {}
    while reference.next().await.is_some() {}
}

#[tokio::test]
async fn a_revoked_token_ends_the_streams_it_opened_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = super::settings(folder.path().to_owned(), true, "127.0.0.1:0");
    settings.keepalive = std::time::Duration::from_secs(1);
    let endpoint = Endpoint::start_with(settings).await;
    let at = endpoint.new_run(json!({})).await;
    let store = &endpoint.ground.store;
    let token = store.new_named_token("ana").await.unwrap();
    let sync = format!("{}/sync?view=journal", at.path());
    let request = endpoint.bare(Method::GET, &sync).bearer_auth(token);
    let mut theirs = Events::open(request).await;
    let mut mine = Events::open(endpoint.ask(Method::GET, &sync)).await;
    assert!(store.revoke_named("ana").await.unwrap());
    while let Some(event) = theirs.next().await {
        let sign = ["hello", "presence", "keepalive"]
            .iter()
            .any(|name| event.starts_with(&format!("event: {name}")));
        assert!(sign || event.contains("revoked"), "{event}");
    }
    endpoint.append(&at, TOKEN, &[said(1)]).await;
    assert_eq!(mine.id().await, 1);
    endpoint.stop().await;
}
