//! An endpoint in this process, with runs that nobody drives, for what needs one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ashore::backend::lifecycle::{Lifecycle, Signal};
use ashore::backend::log::file::Fsync;
use ashore::backend::serve::{KEEPALIVE, Settings, bind};
use ashore::client::api::Api;
use ashore::client::endpoint::{Endpoint as Address, Token};
use ashore::protocol::ids::{ProjectId, RunRef};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const TOKEN: &str = "the-token-of-the-bench";
/// Lines sent at once.
const BATCH: usize = 500;

struct Nobody;

#[async_trait::async_trait]
impl Lifecycle for Nobody {
    async fn signal(&self, _: &RunRef, _: Signal) {}
}

pub(crate) struct Endpoint {
    pub(crate) url: String,
    client: Client,
    _serving: JoinSet<()>,
}

impl Endpoint {
    pub(crate) async fn start(store: &Path) -> Self {
        let settings = Settings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            public_urls: Vec::new(),
            store: store.to_owned(),
            fsync: Fsync::Group,
            token: Some(TOKEN.into()),
            secret: None,
            local: false,
            idle_limit: Duration::from_secs(3600),
            keepalive: KEEPALIVE,
        };
        let driver =
            Box::new(|_, _| Box::pin(async { Arc::new(Nobody) as Arc<dyn Lifecycle> }) as _);
        let bound = bind(&settings, driver).await.expect("a port and a store");
        let url = format!("http://{}", bound.address());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            bound
                .run(CancellationToken::new())
                .await
                .expect("it serves");
        });
        Self {
            url,
            client: Client::builder().no_proxy().build().expect("a client"),
            _serving: serving,
        }
    }

    pub(crate) fn api(&self) -> Api {
        let address = Address {
            name: "bench".to_owned(),
            url: self.url.parse().expect("a URL"),
            token: Some(Token::new(TOKEN)),
            local: false,
        };
        Api::new(address, None).expect("a client")
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(TOKEN)
    }

    async fn made(&self, path: &str, body: Value) -> String {
        let answer = self.ask(Method::POST, path).json(&body).send().await;
        let made: Value = answer
            .expect("it answers")
            .json()
            .await
            .expect("it says what it made");
        made["id"].as_str().expect("its name").to_owned()
    }

    pub(crate) async fn new_run(&self) -> RunRef {
        let tasks = "/api/projects/1/tasks/";
        let task = self
            .made(
                tasks,
                json!({"description": "Measure", "origin_product": "user_created"}),
            )
            .await;
        let runs = format!("{tasks}{task}/runs/");
        let run = self
            .made(
                &runs,
                json!({"environment": "cloud", "state": {"agent": "demo"}}),
            )
            .await;
        RunRef {
            project: ProjectId(1),
            task: task.parse().expect("a name"),
            run: run.parse().expect("a name"),
        }
    }

    /// Puts lines into a run's journal, as its agent side would.
    pub(crate) async fn append(&self, at: &RunRef, lines: &[String]) {
        for batch in lines.chunks(BATCH) {
            let entries: Vec<&RawValue> = batch
                .iter()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect();
            let path = format!("{}/append_log", at.path());
            let body = json!({"entries": entries});
            let answer = self.ask(Method::POST, &path).json(&body).send().await;
            let status = answer.expect("it answers").status();
            assert!(status.is_success(), "{status}");
        }
    }
}
