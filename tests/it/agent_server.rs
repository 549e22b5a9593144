//! The agent server against a real endpoint over loopback, with the demo agent as its child.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ashore::agent::run::{Exit, Surroundings, run};
use ashore::backend::lifecycle::{Lifecycle, Signal};
use ashore::backend::log::file::Fsync;
use ashore::backend::parts::Driver;
use ashore::backend::serve::{Settings, bind};
use ashore::backend::store::Store;
use ashore::client::api::Api;
use ashore::client::endpoint::{Endpoint, Token};
use ashore::client::local::LocalState;
use ashore::protocol::command::{Command, PermissionReply, What};
use ashore::protocol::file::{FileManifest, ManifestFile, Mode};
use ashore::protocol::hash::ContentHash;
use ashore::protocol::ids::{ProjectId, RunRef, Seq};
use ashore::protocol::launch::Launch;
use ashore::protocol::run::{Environment, NewRun, Policy};
use ashore::protocol::task::NewTask;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Long enough for a loaded machine; nothing waits for it when all is well.
const DEADLINE: Duration = Duration::from_secs(60);

const SECRET: &str = "secret-of-the-test";
const TOKEN: &str = "user-token-for-the-test";

/// The tests are the lifecycle.
struct Nobody;

#[async_trait::async_trait]
impl Lifecycle for Nobody {
    async fn signal(&self, _: &RunRef, _: Signal) {}
}

/// An endpoint on this store, at a port of its own.
async fn open(
    store: &Path,
    endpoint: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> (String, Arc<Store>) {
    let settings = Settings {
        listen: "127.0.0.1:0".parse().expect("an address"),
        public_urls: Vec::new(),
        store: store.to_owned(),
        fsync: Fsync::Never,
        token: Some(TOKEN.to_owned()),
        secret: Some(SECRET.to_owned()),
        local: true,
        idle_limit: DEADLINE,
        keepalive: Duration::from_secs(15),
    };
    let nobody: Driver =
        Box::new(|_, _| Box::pin(async { Arc::new(Nobody) as Arc<dyn Lifecycle> }));
    let bound = bind(&settings, nobody).await.expect("binds");
    let url = format!("http://{}", bound.address());
    let store = Arc::clone(&bound.ground().store);
    let stop = stop.clone();
    endpoint.spawn(async move { bound.run(stop).await.expect("serves") });
    (url, store)
}

fn client(url: &str) -> Api {
    let endpoint = Endpoint {
        name: "test".to_owned(),
        url: url.parse().expect("a URL"),
        token: Some(Token::new(TOKEN)),
        local: false,
    };
    Api::new(endpoint, None).expect("a client")
}

struct Scene {
    folder: tempfile::TempDir,
    api: Api,
    at: RunRef,
    url: String,
    store: Arc<Store>,
    endpoint: JoinSet<()>,
    stop: CancellationToken,
    servers: JoinSet<anyhow::Result<Exit>>,
}

impl Scene {
    async fn new(state: Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut endpoint, stop) = (JoinSet::new(), CancellationToken::new());
        let (url, store) = open(&folder.path().join("store"), &mut endpoint, &stop).await;
        let api = client(&url);
        let project = api.me().await.expect("known").me.team.id;
        let project = ProjectId(project);
        let new: NewTask = serde_json::from_value(
            json!({"title": "", "description": "test", "origin_product": "user_created"}),
        )
        .expect("a task");
        let task = api
            .create_task(project, &new, &uuid::Uuid::new_v4().to_string())
            .await
            .expect("a task");
        let new = NewRun {
            environment: Environment::Cloud,
            state: state.as_object().cloned().unwrap_or_default(),
            ..NewRun::default()
        };
        let made = api
            .create_run(project, &task.id, &new, &uuid::Uuid::new_v4().to_string())
            .await
            .expect("a run");
        let at = RunRef {
            project,
            task: task.id,
            run: made.id,
        };
        Self {
            folder,
            api,
            at,
            url,
            store,
            endpoint,
            stop,
            servers: JoinSet::new(),
        }
    }

    async fn launch(&self) -> Launch {
        Launch {
            at: self.at.clone(),
            endpoint: self.url.clone(),
            endpoint_file: None,
            token: self.store.new_run_token(&self.at).await.expect("a token"),
            agent: Some("demo".to_owned()),
            agent_command: None,
            agent_named: true,
            secrets: BTreeMap::from([(
                "PATH".to_owned(),
                "/usr/local/bin:/usr/bin:/bin".to_owned(),
            )]),
            folder: self.folder.path().join("run"),
            directory: None,
            seeded: false,
            permissions: Policy::Auto,
            resume: false,
            recover: false,
            idle_seconds: 600,
        }
    }

    fn start(&mut self, launch: Launch) {
        let around = Surroundings {
            environment: BTreeMap::new(),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_ashore")),
            locks: self.folder.path().join("locks"),
        };
        self.servers.spawn(run(launch, around));
    }

    async fn say(&self, text: &str) {
        self.post(Command::user_message(text)).await;
    }

    async fn post(&self, command: Command) {
        self.api.post(&self.at, &command).await.expect("accepted");
    }

    async fn lines(&self) -> Vec<Value> {
        let mut logs = self
            .api
            .logs(&self.at, Some(Seq::ZERO))
            .await
            .expect("logs");
        let mut lines = Vec::new();
        while let Some((_, line)) = logs.next().await.expect("lines") {
            lines.push(serde_json::from_slice(&line).expect("JSON"));
        }
        lines
    }

    /// The journal, once it holds what is looked for.
    async fn until(&self, what: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let look = async {
            let mut every = tokio::time::interval(Duration::from_millis(20));
            loop {
                every.tick().await;
                let lines = self.lines().await;
                if fits(&lines) {
                    return lines;
                }
            }
        };
        match tokio::time::timeout(DEADLINE, look).await {
            Ok(lines) => lines,
            Err(_) => {
                let lines: Vec<String> = self.lines().await.iter().map(Value::to_string).collect();
                panic!("never came: {what}\n{}", lines.join("\n"));
            }
        }
    }

    async fn turns(&self, count: usize) -> Vec<Value> {
        let done = |lines: &[Value]| of(lines, "_posthog/turn_complete").len() >= count;
        self.until("the end of a turn", done).await
    }

    /// The endpoint goes away and comes back on the same store, at another port.
    async fn restart_endpoint(&mut self) {
        std::mem::take(&mut self.stop).cancel();
        self.endpoint.abort_all();
        while self.endpoint.join_next().await.is_some() {}
        let store = self.folder.path().join("store");
        (self.url, self.store) = open(&store, &mut self.endpoint, &self.stop).await;
        self.api = client(&self.url);
        self.tell_port();
    }

    /// As the local endpoint does in its state file.
    fn tell_port(&self) {
        let port: u16 = self
            .url
            .rsplit(':')
            .next()
            .expect("a port")
            .parse()
            .expect("a number");
        let state = LocalState::of_this_process(port, SECRET.to_owned(), TOKEN.to_owned());
        let state = serde_json::to_string(&state).expect("JSON");
        write(&self.state_file(), &state);
    }

    fn state_file(&self) -> PathBuf {
        self.folder.path().join("endpoint.json")
    }

    fn work(&self, path: &str) -> PathBuf {
        self.folder.path().join("run/work").join(path)
    }

    /// Ends the run, and the agent server with it.
    async fn close(mut self) {
        self.post(Command::new(What::Close)).await;
        let end = tokio::time::timeout(DEADLINE, self.servers.join_next()).await;
        let exit = end
            .expect("ends")
            .expect("was started")
            .expect("no panic")
            .expect("in peace");
        assert_eq!(exit, Exit::Closed);
    }
}

fn message(line: &Value) -> &Value {
    &line["notification"]
}

fn of<'a>(lines: &'a [Value], method: &str) -> Vec<&'a Value> {
    let fits = |line: &&Value| message(line)["method"] == method;
    lines.iter().filter(fits).map(message).collect()
}

fn place(lines: &[Value], what: &str, fits: impl Fn(&Value) -> bool) -> usize {
    lines
        .iter()
        .position(|line| fits(message(line)))
        .unwrap_or_else(|| panic!("no {what}"))
}

fn text(lines: &[Value]) -> String {
    let chunks = of(lines, "session/update");
    let chunk = |message: &&Value| {
        let update = &message["params"]["update"];
        let says = update["sessionUpdate"] == "agent_message_chunk";
        says.then(|| {
            update["content"]["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
    };
    chunks.iter().filter_map(chunk).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn a_prompt_is_taken_its_file_is_told_with_its_blob_and_then_the_turn_ends() {
    let mut scene = Scene::new(json!({"agent": "demo"})).await;
    scene.say("/write notes/a.txt hello").await;
    let launch = scene.launch().await;
    scene.start(launch);
    let lines = scene.turns(1).await;

    let taken = place(&lines, "request", |m| m["method"] == "session/prompt");
    let synced = place(&lines, "file", |m| m["method"] == "_posthog/file_sync");
    let answered = place(&lines, "response", |m| {
        m["result"]["stopReason"] == "end_turn"
    });
    let complete = place(&lines, "end", |m| m["method"] == "_posthog/turn_complete");
    assert!(taken < synced && synced < answered && answered < complete);
    assert_eq!(
        message(&lines[taken])["id"],
        message(&lines[answered])["id"]
    );
    let said = lines
        .iter()
        .find(|line| line["type"] == "client_message")
        .expect("the prompt");
    assert_eq!(
        message(&lines[taken])["params"]["_meta"]["ashore"]["command"],
        said["id"]
    );

    let file = &message(&lines[synced])["params"];
    assert_eq!(
        (&file["relativePath"], &file["type"]),
        (&json!("notes/a.txt"), &json!("file_created"))
    );
    assert_eq!(
        (&file["turn"], file["toolCallId"].is_string()),
        (&json!(1), true)
    );
    assert_eq!(file["contentHash"], json!(ContentHash::of(b"hello")));
    let lacks = scene
        .api
        .blobs(&scene.at)
        .missing(&[ContentHash::of(b"hello")])
        .await
        .expect("asked");
    assert!(lacks.is_empty());
    let steps: Vec<(&Value, &Value)> = of(&lines, "_ashore/step")
        .iter()
        .map(|m| (&m["params"]["step"], &m["params"]["status"]))
        .collect();
    assert_eq!(
        json!(steps),
        json!([
            ["workspace", "started"],
            ["workspace", "done"],
            ["agent", "started"],
            ["agent", "done"]
        ])
    );
    let sources: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["src"].as_str())
        .collect();
    assert!(
        !sources.is_empty(),
        "every line of the agent side carries its source"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_run_one_at_a_time_and_a_cancel_ends_only_the_one_that_is_open() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.say("/hang").await;
    scene.say("/say 3").await;
    scene
        .until("the first turn", |lines| {
            !of(lines, "session/prompt").is_empty()
        })
        .await;
    scene.post(Command::new(What::Cancel)).await;
    let lines = scene.turns(2).await;
    let ends: Vec<&Value> = of(&lines, "_posthog/turn_complete")
        .iter()
        .map(|m| &m["params"]["stopReason"])
        .collect();
    assert_eq!(ends, ["cancelled", "end_turn"]);
    assert!(
        text(&lines).ends_with("w1 w2 w3 ") || text(&lines).contains("w0 w1 w2"),
        "{}",
        text(&lines)
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_request_waits_for_a_person_and_gets_the_chosen_option() {
    let mut scene = Scene::new(json!({"permissions": "ask"})).await;
    let mut launch = scene.launch().await;
    launch.permissions = Policy::Ask;
    scene.start(launch);
    scene.say("/ask may I?").await;
    let asked = scene
        .until("the question", |lines| {
            !of(lines, "_posthog/permission_request").is_empty()
        })
        .await;
    let params = &of(&asked, "_posthog/permission_request")[0]["params"];
    let options = params["options"].as_array().expect("options");
    let once = options
        .iter()
        .find(|o| o["kind"] == "allow_once")
        .expect("one to allow it once");
    let reply = PermissionReply {
        request: params["requestId"].as_str().expect("an id").to_owned(),
        tool_call: params["toolCallId"].as_str().expect("an id").to_owned(),
        option: once["optionId"].as_str().expect("an id").to_owned(),
        text: None,
    };
    scene.post(Command::new(What::Permission(reply))).await;
    let lines = scene.turns(1).await;
    assert_eq!(
        of(&lines, "_posthog/turn_complete")[0]["params"]["stopReason"],
        "end_turn"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_told_and_the_next_prompt_gets_a_new_child() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.say("/crash").await;
    let lines = scene.turns(1).await;
    let broken = place(&lines, "error", |m| m["error"].is_object());
    assert!(
        message(&lines[broken])["error"]["message"]
            .as_str()
            .expect("words")
            .contains("exit status: 3")
    );
    scene.say("/write after.txt still here").await;
    let lines = scene.turns(2).await;
    assert_eq!(of(&lines, "_posthog/file_sync").len(), 1);
    assert_eq!(of(&lines, "_posthog/error").len(), 1);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_answers_what_the_first_left_open_and_the_first_ends_itself() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene.say("/hang").await;
    scene
        .until("the first turn", |lines| {
            !of(lines, "session/prompt").is_empty()
        })
        .await;
    scene.servers.abort_all();
    while scene.servers.join_next().await.is_some() {}
    std::fs::create_dir_all(scene.work("")).expect("there");
    write(&scene.work("meanwhile.txt"), "changed while nobody looked");
    scene.say("/say 2").await;
    let mut launch = scene.launch().await;
    launch.resume = true;
    launch.recover = true;
    scene.start(launch);
    let lines = scene.turns(2).await;
    let ends: Vec<&Value> = of(&lines, "_posthog/turn_complete")
        .iter()
        .map(|m| &m["params"]["stopReason"])
        .collect();
    assert_eq!(ends, ["error", "end_turn"]);
    let synced = place(&lines, "file", |m| {
        m["params"]["relativePath"] == "meanwhile.txt"
    });
    let broken = place(&lines, "error", |m| m["error"].is_object());
    assert!(synced < broken, "the scan stands before the answer");
    assert_eq!(
        of(&lines, "session/prompt").len(),
        2,
        "nothing is run twice"
    );

    // A new token revokes the old ones: the server that holds one of them ends itself.
    scene
        .store
        .revoke_run_tokens(&scene.at.run)
        .await
        .expect("revoked");
    scene.say("/say 1").await;
    let end = tokio::time::timeout(DEADLINE, scene.servers.join_next()).await;
    let exit = end
        .expect("ends")
        .expect("was started")
        .expect("no panic")
        .expect("in peace");
    assert_eq!(exit, Exit::Replaced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_sandbox_holds_exactly_the_listed_bytes_on_a_root_commit() {
    let mut scene = Scene::new(json!({"seed": "manifest"})).await;
    let mut launch = scene.launch().await;
    launch.seeded = true;
    scene.start(launch);
    let here = scene.folder.path().join("here");
    std::fs::create_dir(&here).expect("a folder");
    let mut files = BTreeMap::new();
    let contents = [
        ("a b.txt", "one\r\n", Mode::File),
        ("bin/run", "#!/bin/sh\necho hi\n", Mode::Executable),
        ("link", "a b.txt", Mode::Symlink),
    ];
    for (path, content, mode) in contents {
        let hash = ContentHash::of(content.as_bytes());
        let size = content.len() as u64;
        write(&here.join("blob"), content);
        scene
            .api
            .blobs(&scene.at)
            .put(hash, size, &here.join("blob"))
            .await
            .expect("stored");
        files.insert(path.to_owned(), ManifestFile { hash, size, mode });
    }
    let manifest: FileManifest = serde_json::from_value(json!({"version": 1, "base_commit": null, "updated_at": "2026-01-01T00:00:00Z", "files": files, "deleted_files": []})).expect("a manifest");
    scene
        .api
        .put_manifest(&scene.at, &manifest)
        .await
        .expect("taken");
    scene
        .say("/run git status --porcelain && git log --oneline | wc -l && ./bin/run")
        .await;
    let lines = scene.turns(1).await;
    assert_eq!(
        std::fs::read(scene.work("a b.txt")).expect("there"),
        b"one\r\n"
    );
    assert_eq!(
        std::fs::read_link(scene.work("link")).expect("a link"),
        Path::new("a b.txt")
    );
    assert!(
        of(&lines, "_posthog/file_sync").is_empty(),
        "the seed is no change"
    );
    let all: String = lines.iter().map(Value::to_string).collect();
    assert!(
        all.contains("1\\nhi\\n"),
        "clean, one commit, executable: {all}"
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_dies_and_moves_in_a_turn_costs_no_word_and_doubles_none() {
    let mut scene = Scene::new(json!({})).await;
    scene.tell_port();
    let mut launch = scene.launch().await;
    launch.endpoint_file = Some(scene.state_file());
    scene.start(launch);
    scene.say("/say 600 2").await;
    for words in [50, 250] {
        let some = |lines: &[Value]| text(lines).split(' ').count() > words;
        scene.until("words", some).await;
        scene.restart_endpoint().await;
    }
    let lines = scene.turns(1).await;
    let said = text(&lines);
    let words: Vec<&str> = said
        .split_whitespace()
        .filter(|word| word.starts_with('w'))
        .collect();
    let first: usize = words[0][1..].parse().expect("a number");
    let expected: Vec<String> = (first..first + 600).map(|i| format!("w{i}")).collect();
    assert_eq!(words, expected);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_local_mode_the_agent_works_in_the_directory_itself_and_holds_it() {
    let mut scene = Scene::new(json!({})).await;
    let here = scene.folder.path().join("here");
    std::fs::create_dir(&here).expect("a folder");
    write(&here.join("mine.txt"), "was here before");
    let mut launch = scene.launch().await;
    launch.directory = Some(here.clone());
    scene.start(launch.clone());
    scene.say("/append mine.txt !").await;
    let lines = scene.turns(1).await;
    let synced = of(&lines, "_posthog/file_sync");
    assert_eq!(synced.len(), 1);
    assert_eq!(synced[0]["params"]["type"], "file_modified");
    assert_eq!(
        synced[0]["params"]["baseHash"],
        json!(ContentHash::of(b"was here before"))
    );
    let text = std::fs::read_to_string(here.join("mine.txt")).expect("there");
    assert!(text.starts_with("was here before") && text.len() > 15);

    let mut other = JoinSet::new();
    launch.folder = scene.folder.path().join("other");
    let around = Surroundings {
        environment: BTreeMap::new(),
        executable: PathBuf::from(env!("CARGO_BIN_EXE_ashore")),
        locks: scene.folder.path().join("locks"),
    };
    other.spawn(run(launch, around));
    let refused = tokio::time::timeout(DEADLINE, other.join_next()).await;
    let refused = refused
        .expect("ends")
        .expect("was started")
        .expect("no panic");
    assert!(
        refused
            .expect_err("refused")
            .to_string()
            .contains("is already mirrored by run")
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn a_bundled_history_stands_behind_the_listed_files_and_nothing_else_is_checked_out() {
    let mut scene = Scene::new(json!({"seed": "manifest"})).await;
    let here = scene.folder.path().join("here");
    std::fs::create_dir(&here).expect("a folder");
    let git = |arguments: &str| {
        let done = std::process::Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@localhost"])
            .args(arguments.split(' '))
            .current_dir(&here)
            .output()
            .expect("git runs");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout)
            .expect("text")
            .trim()
            .to_owned()
    };
    git("init --quiet --initial-branch=topic");
    write(&here.join("kept.txt"), "old");
    write(&here.join("gone.txt"), "deleted here, still in HEAD");
    git("add .");
    git("commit --quiet -m first");
    git("bundle create --quiet ../bundle --all HEAD");
    let head = git("rev-parse HEAD");
    let bundle = std::fs::read(scene.folder.path().join("bundle")).expect("there");
    let blobs = scene.api.blobs(&scene.at);
    let hash = ContentHash::of(&bundle);
    let at = scene.folder.path().join("bundle");
    blobs
        .put(hash, bundle.len() as u64, &at)
        .await
        .expect("stored");
    write(&here.join("kept.txt"), "new, not committed");
    let kept = ContentHash::of(b"new, not committed");
    blobs
        .put(kept, 18, &here.join("kept.txt"))
        .await
        .expect("stored");
    let manifest: FileManifest = serde_json::from_value(json!({
        "version": 1, "base_commit": head, "updated_at": "2026-01-01T00:00:00Z",
        "files": {"kept.txt": {"hash": kept, "size": 18, "mode": "100644"}},
        "bundle": hash, "head": head, "branch": "topic",
        "remotes": {"origin": "https://example.invalid/a/b.git", "--upload-pack": "x"},
    }))
    .expect("a manifest");
    scene
        .api
        .put_manifest(&scene.at, &manifest)
        .await
        .expect("taken");
    let mut launch = scene.launch().await;
    launch.seeded = true;
    scene.start(launch);
    scene
        .say("/run git status --porcelain --branch; git remote; git log --format=%s")
        .await;
    let lines = scene.turns(1).await;
    assert!(!scene.work("gone.txt").exists());
    let all: String = lines.iter().map(Value::to_string).collect();
    assert!(
        all.contains("## topic\\n D gone.txt\\n M kept.txt\\norigin\\nfirst"),
        "{all}"
    );
    assert!(all.contains("--upload-pack was left out"), "{all}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_login_makes_way_for_demo_only_when_nobody_named_it() {
    let script = r#"#!/bin/sh
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  case "$line" in
    *initialize*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":1,"authMethods":[{"id":"x","name":"Log in at the counter"}]}}' ;;
    *) echo '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32000,"message":"Authentication required"}}' ;;
  esac
done
"#;
    for named in [false, true] {
        let mut scene = Scene::new(json!({})).await;
        let program = scene.folder.path().join("claude-agent-acp");
        write(&program, script);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("is ours");
        let mut launch = scene.launch().await;
        launch.agent = Some("claude".to_owned());
        launch.agent_named = named;
        let path = format!("{}:/usr/bin:/bin", scene.folder.path().display());
        launch.secrets.insert("PATH".to_owned(), path);
        scene.start(launch);
        if named {
            let end = tokio::time::timeout(DEADLINE, scene.servers.join_next()).await;
            let end = end.expect("ends").expect("was started").expect("no panic");
            assert_eq!(
                end.expect_err("no agent").to_string(),
                "claude asks for a login"
            );
            let lines = scene.lines().await;
            let failed = place(&lines, "failed step", |m| m["params"]["status"] == "failed");
            let hint = message(&lines[failed])["params"]["hint"]
                .as_str()
                .expect("a hint")
                .to_owned();
            assert!(
                hint.contains("claude /login") && hint.contains("Log in at the counter"),
                "{hint}"
            );
        } else {
            scene.say("/say 1").await;
            let lines = scene.turns(1).await;
            let notes = of(&lines, "_ashore/note");
            let note = notes[0]["params"]["message"].as_str().expect("words");
            assert!(
                notes.len() == 1 && note.contains("the demo agent is used"),
                "{note}"
            );
            scene.close().await;
        }
    }
}

/// A child that answers line by line: `cases` are the branches of a shell `case`, with the request's id in `$id`.
fn scripted(scene: &Scene, name: &str, cases: &str) -> PathBuf {
    let script = format!(
        r#"#!/bin/sh
answer() {{ printf '%s\n' '{{"jsonrpc":"2.0","id":'"$id"','"$1"'}}'; }}
chunk() {{ printf '%s\n' '{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s","update":{{"sessionUpdate":"'"$1"'","content":{{"type":"text","text":"'"$2"'"}}}}}}}}'; }}
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  case "$line" in
{cases}
    *session/new*) answer '"result":{{"sessionId":"s"}}' ;;
    *session/prompt*) chunk agent_message_chunk 'fine '; answer '"result":{{"stopReason":"end_turn"}}' ;;
  esac
done
"#
    );
    let program = scene.folder.path().join(name);
    write(&program, &script);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("is ours");
    program
}

fn by_command(launch: &mut Launch, program: &Path) {
    launch.agent = None;
    launch.agent_command = Some(program.display().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_replays_behind_its_answer_to_a_load_is_not_said_twice() {
    let mut scene = Scene::new(json!({})).await;
    let program = scripted(
        &scene,
        "late-replay",
        r#"
    *initialize*) answer '"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}' ;;
    *session/load*) answer '"result":{}'; chunk user_message_chunk 'replayed '; chunk agent_message_chunk 'replayed ' ;;
    *die*) exit 3 ;;"#,
    );
    let mut launch = scene.launch().await;
    by_command(&mut launch, &program);
    scene.start(launch);
    scene.say("one").await;
    scene.turns(1).await;
    scene.say("die").await;
    scene.turns(2).await;
    scene.say("two").await;
    let lines = scene.turns(3).await;
    assert_eq!(text(&lines), "fine fine ");
    assert!(
        !lines
            .iter()
            .any(|line| line.to_string().contains("replayed"))
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_asks_for_a_login_only_at_the_prompt_hands_it_to_demo_unless_it_was_named() {
    for named in [false, true] {
        let mut scene = Scene::new(json!({})).await;
        scripted(
            &scene,
            "claude-agent-acp",
            r#"
    *initialize*) answer '"result":{"protocolVersion":1,"authMethods":[{"id":"x","name":"Log in at the counter"}]}' ;;
    *session/prompt*) answer '"error":{"code":-32000,"message":"Authentication required"}' ;;"#,
        );
        let mut launch = scene.launch().await;
        launch.agent = Some("claude".to_owned());
        launch.agent_named = named;
        let path = format!("{}:/usr/bin:/bin", scene.folder.path().display());
        launch.secrets.insert("PATH".to_owned(), path);
        scene.start(launch);
        scene.say("/say 2").await;
        let lines = scene.turns(1).await;
        let notes = of(&lines, "_ashore/note");
        let note = notes[0]["params"]["message"].as_str().expect("words");
        assert!(note.contains("Log in at the counter"), "{note}");
        let prompts = of(&lines, "session/prompt").len();
        let failed = lines
            .iter()
            .any(|line| message(line)["error"]["code"] == -32000);
        assert_eq!((notes.len(), prompts, failed), (1, 1, named));
        assert_eq!(text(&lines), if named { "" } else { "w1 w2 " });
        assert_eq!(note.contains("the demo agent is used"), !named, "{note}");
        scene.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_finds_no_token_of_ours_in_its_surroundings() {
    let mut scene = Scene::new(json!({})).await;
    let program = scripted(
        &scene,
        "looks-around",
        r#"
    *initialize*) env > environment; tr '\0' ' ' < /proc/$$/cmdline > arguments; answer '"result":{"protocolVersion":1}' ;;"#,
    );
    let mut launch = scene.launch().await;
    by_command(&mut launch, &program);
    launch
        .secrets
        .insert("OPENAI_API_KEY".to_owned(), "key".to_owned());
    let token = launch.token.clone();
    scene.start(launch);
    scene.say("one").await;
    scene.turns(1).await;
    let seen = read(&scene.work("environment")) + &read(&scene.work("arguments"));
    assert!(seen.contains("OPENAI_API_KEY=key"), "{seen}");
    assert!(!seen.contains(&token) && !seen.contains("ASHORE"), "{seen}");
    scene.close().await;
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_nobody_announced_is_told_between_turns() {
    let mut scene = Scene::new(json!({})).await;
    let launch = scene.launch().await;
    scene.start(launch);
    scene
        .until("the session", |lines| {
            !of(lines, "_posthog/run_started").is_empty()
        })
        .await;
    write(&scene.work("by-hand.txt"), "hello");
    let lines = scene
        .until("the change", |lines| {
            !of(lines, "_posthog/file_sync").is_empty()
        })
        .await;
    let file = &of(&lines, "_posthog/file_sync")[0]["params"];
    assert_eq!(
        (&file["relativePath"], &file["turn"]),
        (&json!("by-hand.txt"), &Value::Null)
    );
    scene.close().await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("writes");
}
