//! Tests of the demo agent as a client meets it: lines in, lines out, over a pipe in memory.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::agent::demo::run::{Exit, run};
use crate::agent::demo::samples;
use crate::protocol::hash::ContentHash;

/// A client with one session.
struct Client {
    to: DuplexStream,
    from: Lines<BufReader<DuplexStream>>,
    agent: JoinSet<std::io::Result<Exit>>,
    session: String,
    ids: u64,
    /// Updates seen and not yet asked for.
    updates: Vec<Value>,
    folder: tempfile::TempDir,
}

impl Client {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("work")).expect("made");
        let mut client = Self::connect(folder);
        let new = client.call("session/new", client.where_it_works()).await;
        client.session = new["result"]["sessionId"]
            .as_str()
            .expect("an id")
            .to_owned();
        let commands = client.line().await;
        assert_eq!(
            commands["params"]["update"]["sessionUpdate"],
            "available_commands_update"
        );
        assert_eq!(
            commands["params"]["update"]["availableCommands"][0]["name"],
            "write"
        );
        client
    }

    fn connect(folder: tempfile::TempDir) -> Self {
        let (to, stdin) = tokio::io::duplex(4096);
        let (stdout, from) = tokio::io::duplex(4096);
        let mut agent = JoinSet::new();
        agent.spawn(run(stdin, stdout, Some(folder.path().join("kept"))));
        let from = BufReader::new(from).lines();
        Self {
            to,
            from,
            agent,
            session: String::new(),
            ids: 0,
            updates: Vec::new(),
            folder,
        }
    }

    fn where_it_works(&self) -> Value {
        json!({"cwd": self.folder.path().join("work"), "mcpServers": []})
    }

    fn work(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.work().join("work").join(path)).ok()
    }

    async fn send(&mut self, message: Value) {
        self.to
            .write_all(format!("{message}\n").as_bytes())
            .await
            .expect("taken");
    }

    /// The next line, whatever it is.
    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(600), self.from.next_line()).await;
        let line = line
            .expect("a line in time")
            .expect("readable")
            .expect("not the end");
        serde_json::from_str(&line).expect("JSON")
    }

    async fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.ids += 1;
        let id = self.ids;
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        id
    }

    /// Reads up to the response, keeping the updates.
    async fn response(&mut self, id: u64) -> Value {
        loop {
            let line = self.line().await;
            if line.get("method").is_none() && line["id"] == id {
                return line;
            }
            self.updates.push(line["params"]["update"].clone());
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params).await;
        self.response(id).await
    }

    async fn begin(&mut self, text: &str) -> u64 {
        self.updates.clear();
        let params = json!({"sessionId": self.session, "prompt": [{"type": "text", "text": text}]});
        self.ask("session/prompt", params).await
    }

    /// A whole turn that must end by itself.
    async fn turn(&mut self, text: &str) -> Vec<Value> {
        let id = self.begin(text).await;
        let response = self.response(id).await;
        assert_eq!(response["result"]["stopReason"], "end_turn", "{response}");
        std::mem::take(&mut self.updates)
    }

    async fn cancel(&mut self) {
        let session = self.session.clone();
        self.send(
            json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session}}),
        )
        .await;
    }
}

fn words(updates: &[Value]) -> String {
    updates
        .iter()
        .filter(|update| update["sessionUpdate"] == "agent_message_chunk")
        .filter_map(|update| update["content"]["text"].as_str())
        .collect()
}

fn last_call(updates: &[Value]) -> &Value {
    updates
        .iter()
        .rfind(|update| update["sessionUpdate"] == "tool_call_update")
        .expect("a tool call")
}

fn kinds(updates: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = updates
        .iter()
        .filter_map(|update| update["sessionUpdate"].as_str())
        .collect();
    kinds.dedup();
    kinds
}

#[tokio::test(start_paused = true)]
async fn initialize_says_honestly_what_it_is() {
    let mut client = Client::connect(tempfile::tempdir().expect("a folder"));
    let answer = client
        .call(
            "initialize",
            json!({"protocolVersion": 1, "clientCapabilities": {}}),
        )
        .await;
    assert_eq!(answer["result"]["protocolVersion"], 1);
    assert_eq!(answer["result"]["agentCapabilities"]["loadSession"], true);
    assert_eq!(answer["result"]["agentInfo"]["name"], "ashore-demo");
}

#[tokio::test(start_paused = true)]
async fn the_file_commands_change_files_each_in_one_tool_call() {
    let mut client = Client::start().await;
    let updates = client.turn("/write notes/a.txt hello").await;
    assert_eq!(client.read("notes/a.txt").as_deref(), Some(&b"hello"[..]));
    assert_eq!(updates[0]["kind"], "edit");
    let diff = &last_call(&updates)["content"][0];
    assert_eq!(
        (&diff["type"], &diff["oldText"], &diff["newText"]),
        (&json!("diff"), &Value::Null, &json!("hello"))
    );
    assert_eq!(words(&updates), "I wrote 5 bytes to `notes/a.txt`.");

    let updates = client.turn("/append notes/a.txt  world").await;
    assert_eq!(
        client.read("notes/a.txt").as_deref(),
        Some(&b"hello world"[..])
    );
    assert_eq!(last_call(&updates)["content"][0]["oldText"], "hello");

    let updates = client.turn("/rename notes/a.txt b.txt").await;
    assert_eq!(updates[0]["kind"], "move");
    assert!(client.read("notes/a.txt").is_none() && client.read("b.txt").is_some());

    client.turn("/chmod +x b.txt").await;
    let mode = std::os::unix::fs::MetadataExt::mode(
        &client.work().join("work/b.txt").metadata().expect("there"),
    );
    assert_eq!(mode & 0o100, 0o100);

    client.turn("/symlink b.txt link").await;
    assert_eq!(
        client.work().join("work/link").read_link().expect("a link"),
        Path::new("b.txt")
    );

    let updates = client.turn("/delete b.txt").await;
    assert_eq!(updates[0]["kind"], "delete");
    assert_eq!(last_call(&updates)["status"], "completed");
    assert!(client.read("b.txt").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_path_outside_fails_the_call_and_not_the_turn() {
    let mut client = Client::start().await;
    for prompt in [
        "/write ../evil x",
        "/write /tmp/evil x",
        "/delete nothing",
        "/write .git/config x",
    ] {
        let updates = client.turn(prompt).await;
        assert_eq!(last_call(&updates)["status"], "failed", "{prompt}");
        assert!(!words(&updates).is_empty());
    }
    assert!(!client.work().join("evil").exists());
}

#[tokio::test(start_paused = true)]
async fn a_command_nobody_knows_and_a_wrong_one_get_a_sentence() {
    let mut client = Client::start().await;
    assert!(words(&client.turn("/fly").await).contains("not a command"));
    assert_eq!(
        words(&client.turn("/say many").await),
        "This command is written `/say N [MS]`."
    );
}

#[tokio::test(start_paused = true)]
async fn say_counts_and_keeps_its_pace() {
    let mut client = Client::start().await;
    assert_eq!(words(&client.turn("/say 4").await), "w1 w2 w3 w4 ");
    let before = Instant::now();
    let updates = client.turn("/say 101 5").await;
    assert_eq!(updates.len(), 101);
    assert_eq!(before.elapsed(), Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn files_and_binary_write_what_can_be_foretold() {
    let mut client = Client::start().await;
    client.turn("/files 3 100").await;
    assert_eq!(
        client.read("bulk/file-00003.txt").map(|bytes| bytes.len()),
        Some(100)
    );
    client.turn("/binary blob.bin 3000000").await;
    let mut expected = vec![0; 3_000_000];
    samples::Bytes::seeded(0).fill(&mut expected);
    assert_eq!(
        client.read("blob.bin").map(|bytes| ContentHash::of(&bytes)),
        Some(ContentHash::of(&expected))
    );
}

#[tokio::test(start_paused = true)]
async fn ask_offers_four_options_and_says_which_was_chosen() {
    let mut client = Client::start().await;
    for (answer, said) in [
        (
            json!({"result": {"outcome": {"outcome": "selected", "optionId": "reject-once"}}}),
            "You chose: Reject once (`reject-once`).",
        ),
        (
            json!({"result": {"outcome": {"outcome": "selected", "optionId": "allow-always"}}}),
            "You chose: Allow always (`allow-always`).",
        ),
        (
            json!({"result": {"outcome": {"outcome": "cancelled"}}}),
            "No option was chosen.",
        ),
        (
            json!({"error": {"code": 1, "message": "no"}}),
            "No option was chosen.",
        ),
    ] {
        let id = client.begin("/ask May I?").await;
        client.line().await;
        let request = client.line().await;
        assert_eq!(request["method"], "session/request_permission");
        assert_eq!(
            request["params"]["options"].as_array().map(Vec::len),
            Some(4)
        );
        let mut response = answer;
        response["jsonrpc"] = json!("2.0");
        response["id"] = request["id"].clone();
        client.send(response).await;
        client.response(id).await;
        assert_eq!(words(&client.updates), said);
    }
}

#[tokio::test(start_paused = true)]
async fn the_samples_send_one_of_each_kind() {
    let mut client = Client::start().await;
    let plan = client.turn("/plan 2").await;
    assert_eq!(plan[0]["entries"][0]["status"], "in_progress");
    assert_eq!(plan[2]["entries"][1]["status"], "completed");
    assert_eq!(
        kinds(&client.turn("/think 3").await),
        ["agent_thought_chunk", "agent_message_chunk"]
    );
    let usage = client.turn("/usage 53000 200000").await;
    assert_eq!(
        (&usage[0]["used"], &usage[0]["size"]),
        (&json!(53000), &json!(200_000))
    );
    assert_eq!(client.turn("/mode plan").await[0]["currentModeId"], "plan");
    assert!(words(&client.turn("/mode warp").await).contains("no mode"));
    assert_eq!(
        client.turn("/unknown").await[0]["sessionUpdate"],
        samples::UNKNOWN_KIND
    );
    assert_eq!(words(&client.turn("/ansi").await), samples::ANSI);
    assert_eq!(words(&client.turn("/unicode").await), samples::UNICODE);
    assert_eq!(words(&client.turn("/markdown").await), samples::MARKDOWN);
    let id = client.begin("/error").await;
    assert_eq!(client.response(id).await["error"]["code"], -32603);
}

#[tokio::test(start_paused = true)]
async fn free_text_gets_the_tour_and_a_file() {
    let mut client = Client::start().await;
    let before = Instant::now();
    let updates = client.turn("what are you?").await;
    let took = before.elapsed();
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(12)).contains(&took),
        "{took:?}"
    );
    let text = words(&updates);
    assert!(
        text.contains("built-in demo agent")
            && text.contains("```rust")
            && text.contains("\n- `/write")
    );
    let kinds: std::collections::BTreeSet<&str> = kinds(&updates).into_iter().collect();
    let expected = [
        "agent_message_chunk",
        "agent_thought_chunk",
        "plan",
        "tool_call",
        "tool_call_update",
        "usage_update",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    let calls: Vec<&Value> = updates
        .iter()
        .filter(|update| update["sessionUpdate"] == "tool_call")
        .collect();
    assert_eq!(
        (&calls[0]["kind"], &calls[1]["kind"]),
        (&json!("read"), &json!("edit"))
    );
    let file = String::from_utf8(client.read("ashore-demo.md").expect("written")).expect("text");
    assert!(file.contains("> what are you?"));
}

#[tokio::test(start_paused = true)]
async fn crash_ends_with_three_and_without_an_answer() {
    let mut client = Client::start().await;
    client.begin("/crash").await;
    let exit = client
        .agent
        .join_next()
        .await
        .expect("one agent")
        .expect("no panic")
        .expect("no failure");
    assert_eq!((exit, exit.code()), (Exit::Crashed, 3));
    assert_eq!(client.from.next_line().await.expect("readable"), None);
}

#[tokio::test(start_paused = true)]
async fn cancel_answers_at_once_whatever_runs() {
    let mut client = Client::start().await;
    for prompt in [
        "/hang",
        "/say 1000000",
        "/say 9 60000",
        "/ask x",
        "/plan 900",
        "a tour",
        "/files 100000 10",
        "/binary big 999999999",
    ] {
        let id = client.begin(prompt).await;
        if !prompt.starts_with("/hang") {
            client.line().await;
        }
        client.cancel().await;
        let before = Instant::now();
        let response = client.response(id).await;
        assert_eq!(response["result"]["stopReason"], "cancelled", "{prompt}");
        assert!(
            before.elapsed() < Duration::from_millis(100),
            "{prompt}: {:?}",
            before.elapsed()
        );
    }
    assert_eq!(words(&client.turn("/say 1").await), "w1 ");
}

#[tokio::test]
async fn run_streams_and_shows_the_exit_code() {
    let mut client = Client::start().await;
    let updates = client.turn("/run echo one; pwd; exit 4").await;
    assert_eq!(updates[0]["kind"], "execute");
    let last = last_call(&updates);
    assert_eq!(
        (&last["status"], &last["rawOutput"]["exitCode"]),
        (&json!("failed"), &json!(4))
    );
    let text = last["content"][0]["content"]["text"]
        .as_str()
        .expect("text");
    assert!(
        text.starts_with("one\n/") && text.ends_with("/work\nThe command ended with exit code 4."),
        "{text}"
    );
}

#[tokio::test]
async fn cancel_kills_what_run_has_started() {
    let mut client = Client::start().await;
    let id = client.begin("/run echo $$; sleep 1000; echo never").await;
    let pid: i32 = loop {
        let line = client.line().await;
        if let Some(text) = line
            .pointer("/params/update/content/0/content/text")
            .and_then(Value::as_str)
        {
            break text.trim().parse().expect("a pid");
        }
    };
    let before = Instant::now();
    client.cancel().await;
    assert_eq!(
        client.response(id).await["result"]["stopReason"],
        "cancelled"
    );
    assert!(
        before.elapsed() < Duration::from_millis(100),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(last_call(&client.updates)["status"], "failed");
    let deadline = Instant::now() + Duration::from_secs(20);
    let stat = format!("/proc/{pid}/stat");
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < deadline, "still alive");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_loaded_session_says_again_what_was_said() {
    let mut client = Client::start().await;
    let mut said = client.turn("/say 300").await;
    said.extend(client.turn("/write a x").await);
    let Client {
        folder, session, ..
    } = client;
    let mut client = Client::connect(folder);
    let mut params = client.where_it_works();
    params["sessionId"] = json!(session);
    client.session = session;
    let response = client.call("session/load", params.clone()).await;
    assert_eq!(response["result"]["modes"]["currentModeId"], "code");
    let (users, rest): (Vec<_>, Vec<_>) = client
        .updates
        .iter()
        .cloned()
        .partition(|update| update["sessionUpdate"] == "user_message_chunk");
    assert_eq!(users[0]["content"]["text"], "/say 300");
    assert_eq!(rest, said);
    // Ids of tool calls go on, so that a new call does not change an old card.
    client.line().await;
    assert_eq!(client.turn("/write b x").await[0]["toolCallId"], "demo-3-1");
    params["sessionId"] = json!("unheard-of");
    assert_eq!(
        client.call("session/load", params).await["error"]["code"],
        -32002
    );
}

#[tokio::test(start_paused = true)]
async fn modes_and_the_switch_can_be_set() {
    let mut client = Client::start().await;
    let capabilities = json!({"session": {"configOptions": {"boolean": {}}}});
    client
        .call(
            "initialize",
            json!({"protocolVersion": 1, "clientCapabilities": capabilities}),
        )
        .await;
    let new = client.call("session/new", client.where_it_works()).await;
    assert_eq!(new["result"]["configOptions"][0]["currentValue"], true);
    let session = client.session.clone();
    let set =
        json!({"sessionId": session, "configId": "thoughts", "type": "boolean", "value": false});
    let answer = client.call("session/set_config_option", set).await;
    assert_eq!(answer["result"]["configOptions"][0]["currentValue"], false);
    assert!(!kinds(&client.turn("hello").await).contains(&"agent_thought_chunk"));
    let answer = client
        .call(
            "session/set_mode",
            json!({"sessionId": session, "modeId": "ask"}),
        )
        .await;
    assert_eq!(answer["result"], json!({}));
    assert_eq!(
        client.line().await["params"]["update"]["currentModeId"],
        "ask"
    );
    let answer = client
        .call(
            "session/set_mode",
            json!({"sessionId": session, "modeId": "warp"}),
        )
        .await;
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_answered_and_does_not_end_it() {
    let mut client = Client::start().await;
    client
        .to
        .write_all(b"<html>\n\n[1]\n")
        .await
        .expect("taken");
    assert_eq!(client.line().await["error"]["code"], -32700);
    assert_eq!(client.line().await["error"]["code"], -32600);
    assert_eq!(
        client.call("session/fly", json!({})).await["error"]["code"],
        -32601
    );
    assert_eq!(
        client
            .call("session/prompt", json!({"sessionId": "x", "prompt": []}))
            .await["error"]["code"],
        -32002
    );
    let bad = json!({"cwd": "relative", "mcpServers": []});
    assert_eq!(
        client.call("session/new", bad).await["error"]["code"],
        -32602
    );
    client
        .to
        .write_all(&vec![b'x'; 9 << 20])
        .await
        .expect("taken");
    client.to.write_all(b"\n").await.expect("taken");
    assert_eq!(client.line().await["error"]["code"], -32700);
    let id = client.begin("/hang").await;
    let second = json!({"sessionId": client.session, "prompt": [{"type": "text", "text": "x"}]});
    assert_eq!(
        client.call("session/prompt", second).await["error"]["code"],
        -32602
    );
    client.cancel().await;
    assert_eq!(
        client.response(id).await["result"]["stopReason"],
        "cancelled"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_input_ends_it_even_in_a_turn() {
    let mut client = Client::start().await;
    client.begin("/hang").await;
    drop(client.to);
    let exit = client
        .agent
        .join_next()
        .await
        .expect("one agent")
        .expect("no panic")
        .expect("no failure");
    assert_eq!((exit, exit.code()), (Exit::Closed, 0));
}
