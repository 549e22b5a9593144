//! Who is attached: told to those who follow our view, kept nowhere.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Endpoint, Events};

const LAPTOP: &str = "0b2e6c34-58d2-4a07-8a43-0f3d9be7c215";

fn presence(attached: bool, read_only: bool) -> Value {
    json!({"jsonrpc": "2.0", "id": "p", "method": "_ashore/presence", "params": {"attached": attached, "readOnly": read_only}})
}

/// The clients of the next event, which must be about them.
async fn told(events: &mut Events) -> Value {
    let event = events.next().await.unwrap();
    let data = event.strip_prefix("event: presence\ndata: ").unwrap();
    serde_json::from_str::<Value>(data).unwrap()["clients"].take()
}

#[tokio::test]
async fn followers_are_told_who_comes_and_goes_and_the_journal_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let sync = format!("{}/sync", at.path());
    let view = format!("{sync}?view=journal");
    let heard = endpoint.lifecycle.heard();
    let mut events = Events::open(endpoint.ask(Method::GET, &view)).await;
    assert!(events.next().await.unwrap().starts_with("event: hello"));
    assert_eq!(told(&mut events).await, json!([]));

    let ana = endpoint
        .ask(Method::POST, &sync)
        .header("Ashore-Host", "laptop")
        .header("Ashore-Client", LAPTOP)
        .json(&presence(true, true));
    assert_eq!(ana.send().await.unwrap().status(), 202);
    let there = json!([{"from": "you@laptop", "readOnly": true, "client": LAPTOP}]);
    assert_eq!(told(&mut events).await, there);
    // By hand, without a name of its own; twice is once.
    for attached in [true, true, false] {
        endpoint.post(&sync, presence(attached, false)).await;
    }
    let both = told(&mut events).await;
    assert_eq!(both.as_array().unwrap().len(), 2);
    assert_eq!(both[1], json!({"from": "you", "readOnly": false}));
    assert_eq!(told(&mut events).await, there);

    // Its stream comes and is cut: so is it.
    let stream = endpoint.ask(Method::GET, &view);
    let mut stream = Events::open(stream.header("Ashore-Client", LAPTOP)).await;
    assert!(stream.next().await.unwrap().starts_with("event: hello"));
    assert_eq!(told(&mut stream).await, there);
    drop(stream);
    assert_eq!(told(&mut events).await, json!([]));

    assert_eq!(endpoint.lines(&at).await, Vec::<Value>::new());
    assert_eq!(endpoint.lifecycle.heard(), heard);
    endpoint.stop().await;
}
