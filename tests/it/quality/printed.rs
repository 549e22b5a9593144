//! R6, without a screen: what a command prints to a terminal is text, whoever said it.

use serde_json::{Value, json};

use crate::quality::hostile::{PIECES, Texts};
use crate::quality::sequences;
use crate::support::home::Home;
use crate::support::scripted::{RUN, Script, Scripted};
use crate::support::terminal::Terminal;

fn notification(message: &Value) -> String {
    json!({"type": "notification", "timestamp": "2026-11-01T12:00:00Z", "notification": message})
        .to_string()
}

/// A journal in which everything that can be said is said by somebody who means harm.
pub(crate) fn journal(texts: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for text in texts {
        let update = |update: Value| {
            notification(
                &json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}}),
            )
        };
        let ext = |method: &str, params: Value| {
            notification(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
        };
        lines.push(update(json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": format!("{text}\n\n")}})));
        lines.push(update(json!({"sessionUpdate": "tool_call", "toolCallId": text, "title": text, "kind": "execute", "status": "completed",
            "content": [{"type": "content", "content": {"type": "text", "text": text}}]})));
        lines.push(ext(
            "_posthog/console",
            json!({"level": "error", "message": text}),
        ));
        lines.push(ext(
            "_ashore/step",
            json!({"step": text, "status": "failed", "detail": text, "hint": text}),
        ));
        lines.push(ext(
            "_posthog/error",
            json!({"message": text, "detail": text}),
        ));
        lines.push(ext("_posthog/file_sync", json!({"type": "file_created", "relativePath": text, "contentHash": text, "storagePath": text})));
        lines.push(ext(text, json!({text.as_str(): text})));
        lines.push(update(json!({"sessionUpdate": text})));
        lines.push(format!("not JSON {text}").replace(['\n', '\r'], " "));
    }
    lines
}

pub(crate) fn texts() -> Vec<String> {
    let mut texts: Vec<String> = PIECES.iter().map(|piece| (*piece).to_owned()).collect();
    let mut more = Texts::new(3);
    texts.extend((0..60).map(|_| more.text()));
    texts
}

fn refusal(text: &str) -> Vec<u8> {
    let body = json!({"error": text}).to_string();
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An answer in place of the usual one, with this in every field that is shown.
fn answer(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Ashore-Wire: 1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn prints(arguments: &[&str], script: Script, wanted: &str) {
    let home = Home::new();
    let endpoint = Scripted::start(script);
    let run = endpoint.run();
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|one| match *one {
            "RUN" => run.as_str(),
            "ENDPOINT" => endpoint.url.as_str(),
            other => other,
        })
        .collect();
    let piped = arguments.contains(&"attach");
    let bytes = if piped {
        // On a terminal that would be the screen; what is printed is the same.
        let mut command = home.ashore(&arguments);
        let done = command
            .env("ASHORE_TOKEN", "s3cret")
            .output()
            .expect("starts");
        [done.stdout, done.stderr].concat()
    } else {
        let program = env!("CARGO_BIN_EXE_ashore");
        let more = [("ASHORE_TOKEN", "s3cret")];
        let mut terminal = Terminal::start_with(&home, program, &arguments, (100, 30), &more);
        terminal.ends();
        terminal.bytes()
    };
    assert!(
        String::from_utf8_lossy(&bytes).contains(wanted),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&bytes)
    );
    sequences::Terminal::shell().takes(&bytes, &format!("{arguments:?}"));
}

#[test]
fn no_command_prints_anything_but_text() {
    let full = || Script {
        lines: journal(&texts()),
        ..Script::default()
    };
    prints(
        &["attach", "RUN", "--no-mirror", "--format", "ndjson"],
        full(),
        "k",
    );
    for format in ["text", "json", "ndjson"] {
        prints(
            &["events", "RUN", "--format", format],
            full(),
            "session/update",
        );
    }
    prints(
        &["attach", "RUN", "--mirror", ".", "--format", "ndjson"],
        full(),
        "mirror",
    );
    prints(&["status", "RUN", "--json"], full(), "last_seq");
}

#[test]
fn no_answer_of_an_agent_prints_anything_but_text() {
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_ashore");
    for format in ["text", "json", "ndjson"] {
        let arguments = ["run", "-p", "/ansi", "--format", format];
        let mut terminal = Terminal::start_with(&home, program, &arguments, (100, 30), &[]);
        assert_eq!(terminal.ends().exit_code(), 0);
        let bytes = terminal.bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("stolen"), "{format}: {text}");
        sequences::Terminal::shell().takes(&bytes, format);
    }
}

#[test]
fn no_error_body_and_no_title_prints_anything_but_text() {
    for piece in [
        "\u{1b}]0;stolen\u{7}\u{1b}[2J\u{9b}31m\u{202e}x\u{7f}",
        "a\nashore: all is well\r\u{1b}[A",
    ] {
        let refused = || Script {
            instead: vec![
                ("/logs".into(), refusal(piece)),
                (RUN.into(), refusal(piece)),
            ],
            ..Script::default()
        };
        prints(&["events", "RUN"], refused(), "400");
        prints(
            &["attach", "RUN", "--no-mirror", "--format", "ndjson"],
            refused(),
            "400",
        );
        for json in [false, true] {
            let task = json!({"id": "11111111-0000-4000-8000-000000000001", "title": piece, "description": piece, "created_at": piece});
            let run = json!({"id": "22222222-0000-4000-8000-000000000002", "task": "11111111-0000-4000-8000-000000000001", "status": piece,
                "environment": "cloud", "state": {"agent": piece}, "artifacts": [], "branch": piece, "error_message": piece, "updated_at": piece});
            let script = Script {
                instead: vec![
                    ("/tasks".into(), answer(&json!([task]))),
                    ("/runs".into(), answer(&json!([run]))),
                ],
                ..Script::default()
            };
            let mut arguments = vec!["ls", "--all", "-e", "ENDPOINT"];
            arguments.extend(json.then_some("--json"));
            prints(&arguments, script, "22222222");
        }
    }
}
