//! A journal and an endpoint that mean harm: one clear line each, nothing written, and on.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use ashore::protocol::hash::ContentHash;

use crate::support::home::Home;
use crate::support::scripted::{Script, Scripted};

fn notification(message: &Value) -> String {
    json!({"type": "notification", "timestamp": "2026-11-01T12:00:00Z", "notification": message})
        .to_string()
}

fn file_sync(params: &Value) -> String {
    notification(&json!({"jsonrpc": "2.0", "method": "_posthog/file_sync", "params": params}))
}

/// A file event as an agent side of ours would send it.
fn written(path: &str, hash: &str, size: usize) -> String {
    file_sync(
        &json!({"type": "file_created", "path": format!("/w/{path}"), "relativePath": path, "contentHash": hash,
        "storagePath": format!("files/{hash}"), "size": size, "mode": "100644", "baseHash": null, "turn": 1}),
    )
}

/// Follows the run to its end, which is this exit code.
fn attach(home: &Home, endpoint: &Scripted, exit: i32) -> Vec<Value> {
    let done = home
        .ashore(&[
            "attach",
            &endpoint.run(),
            "--mirror",
            ".",
            "--format",
            "ndjson",
        ])
        .env("ASHORE_TOKEN", "s3cret")
        .output()
        .expect("starts");
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert_eq!(done.status.code(), Some(exit), "{out}\n{err}");
    assert!(!err.contains("panicked"), "{err}");
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// What came down and what became of it; an edit of the test goes up beside it.
fn mirrored(lines: &[Value]) -> Vec<(String, String)> {
    let word =
        |line: &Value, key: &str| line["mirror"][key].as_str().unwrap_or_default().to_owned();
    lines
        .iter()
        .filter(|line| line["mirror"]["direction"] == "down")
        .map(|line| (word(line, "path"), word(line, "result")))
        .collect()
}

#[test]
fn no_file_event_leaves_the_directory_or_touches_git() {
    let home = Home::new();
    home.git(&["init", "-q"]);
    std::os::unix::fs::symlink(home.home(), home.work().join("link")).expect("can link");
    home.write("mine.txt", "mine");
    let body = b"evil".to_vec();
    let hash = ContentHash::of(&body).to_string();
    let wrong = ContentHash::of(b"other").to_string();
    let paths = [
        "../x",
        "/etc/ashore-x",
        ".git/hooks/x",
        ".GIT/config",
        "link/x",
    ];
    let mut lines: Vec<String> = paths.iter().map(|path| written(path, &hash, 4)).collect();
    lines.push(written("wrong.txt", &wrong, 4));
    lines.push(file_sync(
        &json!({"type": "file_deleted", "path": "/w/mine.txt", "relativePath": "mine.txt"}),
    ));
    lines.push("not json at all".into());
    lines.push(written("good.txt", &hash, 4));
    let endpoint = Scripted::start(Script {
        lines,
        blobs: [(hash, body.clone()), (wrong, body)].into(),
        ..Script::default()
    });
    let seen = mirrored(&attach(&home, &endpoint, 8));
    assert_eq!(home.read("good.txt").as_deref(), Some("evil"), "{seen:?}");
    assert_eq!(home.read("mine.txt").as_deref(), Some("mine"), "{seen:?}");
    for gone in [
        "../x",
        ".git/hooks/x",
        ".GIT/config",
        "wrong.txt",
        "../home/x",
    ] {
        assert_eq!(home.read(gone), None, "{gone}: {seen:?}");
    }
    assert!(!std::path::Path::new("/etc/ashore-x").exists());
    for path in paths.iter().chain(&["wrong.txt", "mine.txt"]) {
        let results: Vec<_> = seen
            .iter()
            .filter(|(seen, _)| seen == path)
            .map(|(_, result)| result.as_str())
            .collect();
        assert_eq!(results.len(), 1, "{path}: {seen:?}");
        assert!(
            matches!(results[0], "failed" | "skipped"),
            "{path}: {seen:?}"
        );
    }
}

#[test]
fn a_page_an_error_and_a_redirect_are_survived_and_the_token_stays_here() {
    let home = Home::new();
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>".to_vec();
    let fault = b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops".to_vec();
    let elsewhere = Scripted::start(Script::default());
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}/api\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        elsewhere.url
    )
    .into_bytes();
    let lines = vec![notification(
        &json!({"jsonrpc": "2.0", "method": "_posthog/console", "params": {"level": "info", "message": "hello"}}),
    )];
    let instead = vec![
        ("/logs".into(), page),
        ("/logs".into(), fault),
        ("/logs".into(), redirect),
    ];
    let endpoint = Scripted::start(Script {
        lines,
        instead,
        ..Script::default()
    });
    let seen = attach(&home, &endpoint, 0);
    assert_eq!(
        seen.iter()
            .filter_map(|line| line["seq"].as_u64())
            .collect::<Vec<_>>(),
        [1]
    );
    assert!(
        elsewhere.heard.lock().expect("fine").is_empty(),
        "the redirect was followed"
    );
}

#[test]
fn bytes_from_another_host_are_fetched_without_the_token_and_taken_only_when_the_hash_fits() {
    let home = Home::new();
    let good = ContentHash::of(b"from elsewhere");
    let elsewhere = Scripted::start(Script {
        blobs: [("thing".into(), b"from elsewhere".to_vec())].into(),
        ..Script::default()
    });
    let event = |path: &str, hash: ContentHash| {
        file_sync(
            &json!({"type": "file_created", "path": "/w/x", "relativePath": path, "contentHash": hash, "storagePath": "tasks/artifacts/team_1/x", "size": 14}),
        )
    };
    let lines = vec![
        event("good.txt", good),
        event("bad.txt", ContentHash::of(b"something else")),
    ];
    let endpoint = Scripted::start(Script {
        lines,
        presigned: Some(format!("{}/objects/thing", elsewhere.url)),
        ..Script::default()
    });
    let seen = mirrored(&attach(&home, &endpoint, 8));
    assert_eq!(
        home.read("good.txt").as_deref(),
        Some("from elsewhere"),
        "{seen:?}"
    );
    assert_eq!(home.read("bad.txt"), None, "{seen:?}");
    let heard = elsewhere.heard.lock().expect("fine").clone();
    assert!(
        !heard.is_empty()
            && heard.iter().all(|head| !head.contains("s3cret")
                && !head.to_ascii_lowercase().contains("authorization")),
        "{heard:?}"
    );
    assert!(
        endpoint
            .heard
            .lock()
            .expect("fine")
            .iter()
            .any(|head| head.contains("s3cret"))
    );
}

fn line(number: usize) -> String {
    notification(
        &json!({"jsonrpc": "2.0", "method": "_posthog/console", "params": {"level": "info", "message": format!("line {number}")}}),
    )
}

fn sequences(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .collect()
}

/// An event stream that says this and breaks off.
fn stream(events: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{events}", events.len()).into_bytes()
}

#[test]
fn numbers_that_jump_repeat_or_go_back_cost_no_line_and_double_none() {
    let event = |id: &str, number: usize| format!("data: {}\nid: {id}\n\n", line(number));
    for events in [
        event("9", 9),
        event("3", 3) + &event("3", 3) + &event("1", 1) + &event("2", 2),
        event("18446744073709551615", 3),
        event("-1", 3),
        event("x", 3),
        format!("data: {}\n\n", line(3)),
        "event: end\nid: 99\ndata: {}\n\n".to_owned(),
    ] {
        let home = Home::new();
        let endpoint = Scripted::start(Script {
            lines: (1..=3).map(line).collect(),
            instead: vec![("/sync".into(), stream(&events))],
            ..Script::default()
        });
        assert_eq!(
            sequences(&attach(&home, &endpoint, 0)),
            [1, 2, 3],
            "{events}"
        );
    }
}

#[test]
fn a_page_and_a_redirect_in_place_of_the_stream_are_survived_and_the_token_stays_here() {
    let home = Home::new();
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>".to_vec();
    let lying = stream("<html>\n\n<script>\n\n");
    let elsewhere = Scripted::start(Script::default());
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/sync\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        elsewhere.url
    )
    .into_bytes();
    let endpoint = Scripted::start(Script {
        lines: vec![line(1), line(2)],
        instead: vec![
            ("/sync".into(), page),
            ("/sync".into(), redirect),
            ("/sync".into(), lying),
        ],
        ..Script::default()
    });
    assert_eq!(sequences(&attach(&home, &endpoint, 0)), [1, 2]);
    assert!(
        elsewhere.heard.lock().expect("fine").is_empty(),
        "the redirect was followed"
    );
}

#[test]
fn a_line_of_32_mib_keeps_its_number_and_does_not_fill_the_memory() {
    let home = Home::new();
    let huge = notification(
        &json!({"jsonrpc": "2.0", "method": "_posthog/console", "params": {"level": "info", "message": "x".repeat(32 << 20)}}),
    );
    let hello = "event: hello\ndata: {\"last_seq\":3,\"keepalive\":15}\n\n";
    let open = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{hello}"
    );
    let endpoint = Scripted::start(Script {
        lines: vec![line(1), huge, line(3)],
        // Without the end, so that the program can be looked at while it lives.
        instead: vec![("/sync".into(), open.into_bytes())],
        ..Script::default()
    });
    let mut child = home
        .ashore(&[
            "attach",
            &endpoint.run(),
            "--no-mirror",
            "--format",
            "ndjson",
        ])
        .env("ASHORE_TOKEN", "s3cret")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let seen: Vec<u64> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.expect("read")).expect("JSON"))
        .filter_map(|line| line["seq"].as_u64())
        .take(3)
        .collect();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("lives");
    child.kill().expect("is ours");
    child.wait().expect("was started");
    assert_eq!(seen, [1, 2, 3]);
    let most: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok())
        .expect("the kernel says it");
    assert!(most < 200 << 10, "{most} KiB at the most");
}

#[test]
fn a_refused_token_and_a_run_that_is_gone_end_with_their_codes_and_say_what_to_do() {
    for (status, path, code, hint) in [
        ("401 Unauthorized", "/logs", 6, "ASHORE_TOKEN"),
        ("403 Forbidden", "/logs", 6, "token"),
        ("404 Not Found", "/logs", 4, "ashore ls"),
    ] {
        let home = Home::new();
        let body = r#"{"error":"no"}"#;
        let refusal = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let endpoint = Scripted::start(Script {
            instead: vec![(path.into(), refusal.into_bytes())],
            ..Script::default()
        });
        let run = endpoint.run();
        let done = home
            .run(&["attach", &run, "--no-mirror", "--format", "ndjson"])
            .exits(code);
        assert!(done.stderr().contains(hint), "{status}: {}", done.stderr());
        assert_eq!(done.stdout(), "");
    }
}

#[test]
fn an_endpoint_that_numbers_nothing_is_followed_to_its_end() {
    let home = Home::new();
    let told = |number: usize| {
        serde_json::from_str::<Value>(&line(number)).expect("JSON")["notification"].to_string()
    };
    // The log's last line comes once more, and then a new one that stands in the log by now.
    let events = format!("id: 1\ndata: {}\n\nid: 2\ndata: {}\n\n", told(3), told(4));
    let endpoint = Scripted::start(Script {
        lines: (1..=4).map(line).collect(),
        foreign: Some(events),
        ..Script::default()
    });
    let done = home
        .run(&[
            "attach",
            &endpoint.run(),
            "--no-mirror",
            "--format",
            "ndjson",
        ])
        .exits(0);
    let lines = done.lines();
    assert_eq!(sequences(&lines), [1, 2, 3, 4]);
    let words: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.pointer("/message/params/message")?.as_str())
        .collect();
    assert_eq!(words, ["line 1", "line 2", "line 3", "line 4"]);
    let later = home
        .run(&[
            "events",
            &endpoint.run(),
            "--from",
            "3",
            "--format",
            "ndjson",
        ])
        .exits(0);
    assert_eq!(sequences(&later.lines()), [3, 4]);
    let followed = home
        .run(&[
            "events",
            &endpoint.run(),
            "--from",
            "3",
            "--follow",
            "--format",
            "ndjson",
        ])
        .exits(0);
    assert_eq!(sequences(&followed.lines()), [3, 4]);
    let status = home.run(&["status", &endpoint.run(), "--json"]).exits(0);
    assert_eq!(status.lines()[0]["last_seq"], 4);
    home.run(&["wait", &endpoint.run(), "--for", "done", "--timeout", "60s"])
        .exits(0);
}
