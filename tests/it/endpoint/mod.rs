//! The endpoint over real loopback HTTP, with a lifecycle that only takes notes.

#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test may fail where it stands, and is one story"
)]

mod commands;
mod doors;
mod files;
mod presence;
mod rest;
mod stream;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ashore::backend::lifecycle::{Lifecycle, Signal};
use ashore::backend::log::file::Fsync;
use ashore::backend::parts::Ground;
use ashore::backend::serve::{KEEPALIVE, Settings, bind};
use ashore::protocol::ids::{ProjectId, RunRef};
use futures::StreamExt;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const TOKEN: &str = "the-first-users-token";
pub(crate) const SECRET: &str = "the secret of the state file";
/// Never reached when all is well.
const DEADLINE: Duration = Duration::from_secs(60);

/// Notes what it is told.
#[derive(Default)]
pub(crate) struct Recording(Mutex<Vec<Signal>>);

impl Recording {
    pub(crate) fn heard(&self) -> Vec<Signal> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Lifecycle for Recording {
    async fn signal(&self, _: &RunRef, signal: Signal) {
        self.0.lock().unwrap().push(signal);
    }
}

pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) ground: Ground,
    pub(crate) lifecycle: Arc<Recording>,
    /// Making one reads the machine's certificates, so it is kept.
    client: reqwest::Client,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

impl Endpoint {
    pub(crate) async fn start(folder: &tempfile::TempDir) -> Self {
        Self::start_as(folder.path().to_owned(), true).await
    }

    pub(crate) async fn start_as(store: PathBuf, local: bool) -> Self {
        Self::start_with(settings(store, local, "127.0.0.1:0")).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        let lifecycle = Arc::new(Recording::default());
        let noting: Arc<dyn Lifecycle> = lifecycle.clone();
        let driver = Box::new(|_, _| Box::pin(async { noting }) as _);
        let bound = bind(&settings, driver).await.unwrap();
        let url = format!("http://{}", bound.address());
        let ground = bound.ground().clone();
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        let stopping = stop.clone();
        serving.spawn(async move { bound.run(stopping).await.unwrap() });
        Self {
            url,
            ground,
            lifecycle,
            client: reqwest::Client::new(),
            stop,
            serving,
        }
    }

    /// Ends without a goodbye, as a killed process would.
    pub(crate) async fn kill(mut self) {
        self.serving.shutdown().await;
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.serving.join_next().await.is_some() {}
    }

    /// A request with the first user's token.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(TOKEN)
    }

    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .timeout(DEADLINE)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        json_of(self.ask(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        let request = self.ask(Method::POST, path).json(&body);
        request.send().await.unwrap()
    }

    /// A task and a run of it.
    pub(crate) async fn new_run(&self, body: Value) -> RunRef {
        let task = self
            .post("/api/projects/1/tasks/", json!({"description": "Fix it"}))
            .await;
        assert_eq!(task.status(), 201);
        let task = json_of(task).await["id"].as_str().unwrap().to_owned();
        let run = self
            .post(&format!("/api/projects/1/tasks/{task}/runs/"), body)
            .await;
        assert_eq!(run.status(), 201);
        RunRef {
            project: ProjectId(1),
            task: task.parse().unwrap(),
            run: json_of(run).await["id"].as_str().unwrap().parse().unwrap(),
        }
    }

    /// Lines of the agent side, appended with its token.
    pub(crate) async fn append(&self, at: &RunRef, token: &str, entries: &[Value]) -> Response {
        self.bare(Method::POST, &format!("{}/append_log", at.path()))
            .bearer_auth(token)
            .json(&json!({"entries": entries}))
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn lines(&self, at: &RunRef) -> Vec<Value> {
        let path = format!("{}/logs", at.path());
        let text = self.ask(Method::GET, &path).send().await.unwrap();
        let text = text.text().await.unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

pub(crate) fn settings(store: PathBuf, local: bool, listen: &str) -> Settings {
    Settings {
        listen: listen.parse().unwrap(),
        public_urls: vec!["https://ash.example.com".into()],
        store,
        fsync: Fsync::Group,
        token: Some(TOKEN.into()),
        secret: Some(SECRET.into()),
        local,
        idle_limit: Duration::from_secs(900),
        keepalive: KEEPALIVE,
    }
}

pub(crate) async fn json_of(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

pub(crate) fn said(n: u64) -> Value {
    json!({"type": "notification", "timestamp": "2026-01-19T12:00:01.000Z", "notification": {"jsonrpc": "2.0", "method": "_posthog/console", "params": {"n": n}}})
}

pub(crate) fn message(id: &str, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "_posthog/user_message", "params": {"content": text}})
}

/// A stream of events, read as it comes.
pub(crate) struct Events {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

impl Events {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-sync-ids"], "log-sequence");
        Self {
            bytes: response.bytes_stream().boxed(),
            text: String::new(),
        }
    }

    /// The next event; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                return Some(event);
            }
            let piece = tokio::time::timeout(DEADLINE, self.bytes.next()).await;
            let piece = piece.expect("an event in time")?.ok()?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The id of the next event that has one.
    pub(crate) async fn id(&mut self) -> u64 {
        loop {
            let event = self.next().await.expect("an event");
            if let Some((_, id)) = event.split_once("\nid: ") {
                return id.parse().unwrap();
            }
        }
    }
}
