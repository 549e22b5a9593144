//! What of the agent's could not be put here, through the whole road: named, listed, exit code 8, and there in the end.

use std::collections::HashMap;
use std::os::unix::fs::symlink;

use ashore::protocol::hash::ContentHash;
use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::scripted::{Script, Scripted};

fn created(path: &str, content: &str) -> String {
    let hash = ContentHash::of(content.as_bytes()).to_string();
    let params = json!({"type": "file_created", "path": format!("/w/{path}"), "relativePath": path, "contentHash": hash,
        "storagePath": format!("files/{hash}"), "size": content.len(), "mode": "100644", "baseHash": null, "turn": 1});
    json!({"type": "notification", "timestamp": "2026-11-01T12:00:00Z",
        "notification": {"jsonrpc": "2.0", "method": "_posthog/file_sync", "params": params}})
    .to_string()
}

/// Runs it; its exit code, what it said and what it complained of.
fn ashore(home: &Home, arguments: &[&str]) -> (Option<i32>, String, String) {
    let done = home
        .ashore(arguments)
        .env("ASHORE_TOKEN", "s3cret")
        .output()
        .expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

#[test]
fn what_could_not_be_put_here_is_named_and_comes_when_nothing_is_in_its_way() {
    let home = Home::new();
    symlink("../outside", home.work().join("way")).expect("can link");
    let contents = ["behind a link", "free"];
    let blobs: HashMap<String, Vec<u8>> = contents
        .iter()
        .map(|text| {
            let hash = ContentHash::of(text.as_bytes());
            (hash.to_string(), text.as_bytes().to_vec())
        })
        .collect();
    let endpoint = Scripted::start(Script {
        lines: vec![
            created("way/a.txt", contents[0]),
            created("b.txt", contents[1]),
        ],
        blobs,
        ..Script::default()
    });
    let run = endpoint.run();
    let attach = ["attach", &run, "--mirror", ".", "--format", "ndjson"];

    let (code, _, err) = ashore(&home, &attach);
    assert_eq!(code, Some(8), "{err}");
    assert!(err.contains("Not put here: way/a.txt: "), "{err}");
    assert!(err.contains("ashore mirror status"), "{err}");
    assert_eq!(home.read("b.txt").as_deref(), Some("free"));

    let (code, out, _) = ashore(&home, &["mirror", "status", &run]);
    assert_eq!(code, Some(8), "{out}");
    assert!(out.contains("1 held, "), "{out}");
    assert!(out.contains("  way/a.txt: "), "{out}");
    assert!(out.contains("ashore mirror fetch"), "{out}");
    let (code, out, _) = ashore(&home, &["mirror", "status", &run, "--json"]);
    let status: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &status["held_count"]), (Some(8), &json!(1)));
    assert_eq!(status["held"][0]["path"], "way/a.txt");

    // Nobody has the mirror who could fetch.
    let (code, _, err) = ashore(&home, &["mirror", "fetch", &run, "way/a.txt"]);
    assert_eq!(code, Some(8), "{err}");
    assert!(err.contains("ashore attach"), "{err}");

    std::fs::remove_file(home.work().join("way")).expect("stood there");
    let (code, _, err) = ashore(&home, &attach);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(home.read("way/a.txt").as_deref(), Some("behind a link"));
    let (code, out, _) = ashore(&home, &["mirror", "status", &run]);
    assert_eq!(code, Some(0), "{out}");
    assert!(!out.contains("held"), "{out}");
}
