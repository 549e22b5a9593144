//! An endpoint, a run on it, and the agent servers that a test starts for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ashore::agent::limits::Limits;
use ashore::agent::run::{Exit, Surroundings, run};
use ashore::backend::lifecycle::{Lifecycle, Signal};
use ashore::backend::log::file::Fsync;
use ashore::backend::parts::Driver;
use ashore::backend::serve::{Settings, bind};
use ashore::backend::store::Store;
use ashore::client::api::Api;
use ashore::client::endpoint::{Endpoint, Token};
use ashore::client::local::LocalState;
use ashore::protocol::command::{Command, What};
use ashore::protocol::ids::{ProjectId, RunRef, Seq};
use ashore::protocol::launch::Launch;
use ashore::protocol::run::{Environment, NewRun, Policy};
use ashore::protocol::task::NewTask;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Long enough for a loaded machine; nothing waits for it when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const SECRET: &str = "secret-of-the-test";
pub(crate) const TOKEN: &str = "user-token-for-the-test";

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

pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) api: Api,
    pub(crate) at: RunRef,
    pub(crate) url: String,
    pub(crate) store: Arc<Store>,
    pub(crate) endpoint: JoinSet<()>,
    pub(crate) stop: CancellationToken,
    pub(crate) servers: JoinSet<anyhow::Result<Exit>>,
    /// What the agent servers of this scene find around them.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) limits: Limits,
}

impl Scene {
    pub(crate) async fn new(state: Value) -> Self {
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
            environment: BTreeMap::new(),
            limits: Limits::default(),
        }
    }

    pub(crate) async fn launch(&self) -> Launch {
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
            max_file: None,
        }
    }

    pub(crate) fn start(&mut self, launch: Launch) {
        let around = Surroundings {
            environment: self.environment.clone(),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_ashore")),
            locks: self.folder.path().join("locks"),
            limits: self.limits,
        };
        self.servers.spawn(run(launch, around));
    }

    pub(crate) async fn say(&self, text: &str) {
        self.post(Command::user_message(text)).await;
    }

    pub(crate) async fn post(&self, command: Command) {
        self.api.post(&self.at, &command).await.expect("accepted");
    }

    pub(crate) async fn lines(&self) -> Vec<Value> {
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
    pub(crate) async fn until(&self, what: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
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

    pub(crate) async fn turns(&self, count: usize) -> Vec<Value> {
        let done = |lines: &[Value]| of(lines, "_posthog/turn_complete").len() >= count;
        self.until("the end of a turn", done).await
    }

    /// The endpoint goes away and comes back on the same store, at another port.
    pub(crate) async fn restart_endpoint(&mut self) {
        std::mem::take(&mut self.stop).cancel();
        self.endpoint.abort_all();
        while self.endpoint.join_next().await.is_some() {}
        let store = self.folder.path().join("store");
        (self.url, self.store) = open(&store, &mut self.endpoint, &self.stop).await;
        self.api = client(&self.url);
        self.tell_port();
    }

    /// As the local endpoint does in its state file.
    pub(crate) fn tell_port(&self) {
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

    pub(crate) fn state_file(&self) -> PathBuf {
        self.folder.path().join("endpoint.json")
    }

    pub(crate) fn work(&self, path: &str) -> PathBuf {
        self.folder.path().join("run/work").join(path)
    }

    /// As a crash does: the agent server is gone, and nothing more of it is heard.
    pub(crate) async fn end_servers(&mut self) {
        self.servers.abort_all();
        while self.servers.join_next().await.is_some() {}
    }

    /// Ends the run, and the agent server with it.
    pub(crate) async fn close(mut self) {
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

pub(crate) fn message(line: &Value) -> &Value {
    &line["notification"]
}

pub(crate) fn of<'a>(lines: &'a [Value], method: &str) -> Vec<&'a Value> {
    let fits = |line: &&Value| message(line)["method"] == method;
    lines.iter().filter(fits).map(message).collect()
}

pub(crate) fn place(lines: &[Value], what: &str, fits: impl Fn(&Value) -> bool) -> usize {
    lines
        .iter()
        .position(|line| fits(message(line)))
        .unwrap_or_else(|| panic!("no {what}"))
}

pub(crate) fn text(lines: &[Value]) -> String {
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

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("is there")
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("writes");
}
