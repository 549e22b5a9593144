//! Disks that are full or read-only, at each of the three ends: the user's directory, the endpoint's store, the client's
//! own state.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use reqwest::Client;
use serde_json::{Value, json};

use crate::support::home::{Home, until};
use crate::support::small_disk;
use crate::support::terminal::Terminal;

/// A run that is over, with its files still to come.
fn ended(home: &Home, prompt: &str) -> String {
    let done = home
        .run(&[
            "run", prompt, "--agent", "demo", "--detach", "--format", "json",
        ])
        .exits(0);
    let run = done.lines()[0]["run"].as_str().expect("an id").to_owned();
    home.run(&["wait", &run, "--timeout", "60s"]).exits(0);
    home.run(&["stop", &run]).exits(0);
    run
}

#[test]
fn a_mirror_on_a_full_or_read_only_disk_halts_with_a_sentence_and_goes_on_when_it_can() {
    if !small_disk::can_be_had() {
        return;
    }
    let home = Home::new();
    let run = ended(&home, "/binary big.bin 3000000");
    let ashore = env!("CARGO_BIN_EXE_ashore");
    let script = format!(
        "look() {{ {ashore} attach {run} --format ndjson > ../$1.out 2> ../$1.err; echo $? > ../$1.code; ls -A > ../$1.ls; }}
         cd {work} || exit
         look full
         mount -o remount,size=16m,ro . || exit
         {ashore} mirror resume {run} > ../resumed.out 2>&1
         look read-only
         mount -o remount,rw . || exit
         {ashore} mirror resume {run} >> ../resumed.out 2>&1
         look room
         sha256sum big.bin > ../room.sum",
        work = home.work().display(),
    );
    let status = small_disk::command(&home, &home.work(), "1m", &["/bin/sh", "-c", &script])
        .status()
        .expect("unshare starts");
    assert!(status.success(), "{status}");
    let text = |name: &str| home.read(&format!("../{name}")).unwrap_or_default();
    assert_eq!(text("full.code").trim(), "8", "{}", text("full.err"));
    for part in ["halted", "the disk is full", "ashore mirror resume"] {
        assert!(text("full.err").contains(part), "{}", text("full.err"));
    }
    assert_eq!(text("full.ls"), "", "nothing half written stays");
    assert_eq!(text("read-only.code").trim(), "8");
    for part in ["halted", "read-only", "ashore mirror resume"] {
        assert!(
            text("read-only.err").contains(part),
            "{}",
            text("read-only.err")
        );
    }
    assert_eq!(text("read-only.ls"), "");
    assert_eq!(
        text("room.code").trim(),
        "0",
        "{}{}",
        text("room.err"),
        text("resumed.out")
    );
    assert_eq!(text("room.ls"), "big.bin\n");
    let told = text("room.out");
    let line = told
        .lines()
        .find(|line| line.contains("big.bin") && line.contains("\"mirror\""));
    let line: Value = serde_json::from_str(line.expect("a mirror line")).expect("JSON");
    let sum = text("room.sum");
    assert_eq!(line["mirror"]["result"], "settled");
    assert_eq!(
        line["mirror"]["hash"].as_str(),
        sum.split_whitespace().next()
    );
}

/// `ashore serve` on a disk of its own.
struct Serve {
    child: Child,
    url: String,
    token: String,
}

impl Serve {
    fn start(home: &Home, store: &Path, size: &str) -> Self {
        let ashore = env!("CARGO_BIN_EXE_ashore");
        let at = store.display().to_string();
        let words = [ashore, "serve", "--listen", "127.0.0.1:0", "--store", &at];
        let mut child = small_disk::command(home, store, size, &words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut export = |name: &str| {
            let mut line = String::new();
            out.read_line(&mut line).expect("a line");
            let value = line.trim().strip_prefix(&format!("export {name}="));
            value.expect("what a client needs").to_owned()
        };
        let (url, token) = (export("ASHORE_ENDPOINT"), export("ASHORE_TOKEN"));
        Self { child, url, token }
    }

    async fn post(&self, path: &str, batch: Option<&str>, body: &Value) -> (u16, Value) {
        let mut request = Client::new()
            .post(format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .json(body);
        if let Some(batch) = batch {
            request = request.header("Ashore-Batch", batch);
        }
        let answer = request.send().await.expect("it answers");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn lines(&self, run: &str) -> Vec<Value> {
        let answer = Client::new()
            .get(format!("{}{run}/logs?after=0", self.url))
            .bearer_auth(&self.token)
            .send()
            .await
            .expect("it answers");
        let text = answer.text().await.expect("a text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("whole lines only"))
            .collect()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a name is free");
    let mut piece = vec![0; 64 << 10];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
}

fn said(number: u64) -> Value {
    let text = format!("{number} {}", "x".repeat(20_000));
    json!({"type": "notification", "timestamp": "2026-01-19T12:00:00.000Z", "notification": {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}}}})
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    let text = |line: &Value| {
        let text = line["notification"]["params"]["update"]["content"]["text"].as_str()?;
        text.split(' ').next()?.parse().ok()
    };
    lines.iter().filter_map(text).collect()
}

#[tokio::test]
async fn a_full_store_refuses_with_a_sentence_keeps_what_it_accepted_and_takes_the_rest_later_once()
{
    if !small_disk::can_be_had() {
        return;
    }
    let home = Home::new();
    let store = home.home().join("store");
    std::fs::create_dir(&store).expect("can be made");
    let serve = Serve::start(&home, &store, "16m");
    let tasks = "/api/projects/1/tasks/";
    let (status, task) = serve.post(tasks, None, &json!({"description": "x"})).await;
    assert_eq!(status, 201, "{task}");
    let task = task["id"].as_str().expect("an id");
    let (status, run) = serve
        .post(
            &format!("{tasks}{task}/runs/"),
            None,
            &json!({"environment": "local"}),
        )
        .await;
    assert_eq!(status, 201, "{run}");
    let run = format!("{tasks}{task}/runs/{}", run["id"].as_str().expect("an id"));
    let append = format!("{run}/append_log");
    let source = "0b2e1111-0000-4000-8000-000000000001";
    let ballast = small_disk::seen_from_outside(serve.child.id(), &store).join("ballast");
    let mut next = 1;
    let refused = loop {
        if next == 3 {
            fill(&ballast);
        }
        let batch = format!("{source}:{next}");
        let body = json!({"entries": [said(next)]});
        let (status, answer) = serve.post(&append, Some(&batch), &body).await;
        if status != 200 {
            break (status, answer);
        }
        next += 1;
        assert!(next < 1000, "it takes more than there is room for");
    };
    assert_eq!(refused.0, 507, "{}", refused.1);
    let sentence = refused.1["detail"].as_str().unwrap_or_default();
    assert!(sentence.contains("is full"), "{sentence}");
    assert!(next >= 3);
    let accepted: Vec<u64> = (1..next).collect();
    assert_eq!(numbers(&serve.lines(&run).await), accepted);
    // Again and again while there is no room: still nothing is half there.
    let batch = format!("{source}:{next}");
    let body = json!({"entries": [said(next), said(next + 1)]});
    for _ in 0..3 {
        assert_eq!(serve.post(&append, Some(&batch), &body).await.0, 507);
    }
    assert_eq!(numbers(&serve.lines(&run).await), accepted);
    std::fs::remove_file(&ballast).expect("it is there");
    for _ in 0..2 {
        assert_eq!(serve.post(&append, Some(&batch), &body).await.0, 200);
    }
    let all: Vec<u64> = (1..next + 2).collect();
    assert_eq!(numbers(&serve.lines(&run).await), all);
}

#[test]
fn a_screen_whose_state_cannot_be_kept_says_so_and_goes_on() {
    if !small_disk::can_be_had() {
        return;
    }
    let home = Home::new();
    let done = home
        .run(&[
            "run",
            "/say 3",
            "--agent",
            "demo",
            "--detach",
            "--format",
            "json",
            "--no-mirror",
        ])
        .exits(0);
    let url = done.lines()[0]["url"].as_str().expect("its URL").to_owned();
    let run = done.lines()[0]["run"].as_str().expect("its id").to_owned();
    home.run(&["wait", &run, "--timeout", "60s"]).exits(0);
    let text = std::fs::read(home.state().join("endpoint/endpoint.json")).expect("it runs");
    let state: Value = serde_json::from_slice(&text).expect("JSON");
    let token = state["token"].as_str().expect("a token");
    let ashore = env!("CARGO_BIN_EXE_ashore");
    let folder = home.home().join(".local/state");
    let at = folder.display();
    let attach = format!("ASHORE_TOKEN={token} exec {ashore} attach {url}");
    let ways = [
        ("64k,ro", 5, attach.clone()),
        (
            "64k",
            7,
            format!("cat /dev/zero > {at}/ballast 2> /dev/null; {attach}"),
        ),
    ];
    for (size, said, script) in ways {
        let words = small_disk::words(&folder, size, &["/bin/sh", "-c", &script]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut terminal = Terminal::start(&home, "unshare", &words, 120, 40);
        if size.ends_with("ro") {
            terminal.shows("cannot write to");
        }
        terminal.shows("w3");
        // Its last word stands in no earlier answer.
        terminal.write(&format!("/say {said}\r"));
        terminal.shows(&format!("w{said}"));
        terminal.shows("○ idle");
        terminal.write("\x04");
        assert_eq!(terminal.ends().exit_code(), 0, "{size}");
    }
    until("both prompts were taken once", || {
        let events = home.run(&["events", &run, "--format", "ndjson"]).exits(0);
        let taken = |said| {
            let prompt = format!("\"content\":\"/say {said}\"");
            events.stdout().matches(&prompt).count() == 1
        };
        (taken(5) && taken(7)).then_some(())
    });
}
