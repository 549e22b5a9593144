//! One HTTP client for one endpoint: tasks, runs, commands, logs, manifest.
//!
//! Decides nothing and retries nothing. Never sends the token to another host, and never sends secrets or a seed to an
//! endpoint that has not said that it is one of ours.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::blobs::RunBlobs;
use crate::client::endpoint::Endpoint;
use crate::client::error::Error;
use crate::client::http;
use crate::client::lines::Lines;
use crate::mirror::blobs::Blobs;
use crate::protocol::command::{Command, What};
use crate::protocol::file::FileManifest;
use crate::protocol::heavy;
use crate::protocol::ids::{ProjectId, RunId, RunRef, Seq, TaskId};
use crate::protocol::run::{NewRun, Run};
use crate::protocol::task::{Me, NewTask, Page, Task};

/// A list of more pages than this is cut: a `next` that never ends must end here.
const MAX_PAGES: usize = 200;

/// Longest host name that is sent: the longest there can be.
const MAX_HOST: usize = 63;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    client: Client,
    ca_file: Option<PathBuf>,
    /// Learned from the first answer: with whom we speak.
    ours: OnceLock<Option<Ours>>,
    /// It has said that it knows no packs.
    packs_unknown: AtomicBool,
}

/// With whom we speak (contract 10.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    pub me: Me,
    /// `X-Ashore-Wire` and `X-Ashore-Version`, when the endpoint is one of ours.
    pub ours: Option<Ours>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    pub wire: u32,
    pub version: String,
}

/// The bytes of an answer as they come.
pub(crate) type Body = BoxStream<'static, Result<Bytes, Error>>;

/// An answer to `GET R/logs`, read line by line.
pub struct Logs {
    /// `X-Last-Seq`, fixed when the answer starts; `None` from a foreign endpoint.
    pub last: Option<Seq>,
    /// `X-Keepalive`.
    pub keepalive: Option<Duration>,
    read: Seq,
    /// Lines up to here are not handed over.
    skip: Seq,
    lines: Lines,
    /// `None` when the body is over.
    body: Option<Body>,
}

impl Logs {
    /// `last` and `keepalive` are what the answer's head says; the body begins behind `after`, or with line 1 when the
    /// endpoint does not number its lines.
    pub(crate) fn new(
        last: Option<Seq>,
        keepalive: Option<Duration>,
        after: Seq,
        body: Body,
    ) -> Self {
        Self {
            last,
            keepalive,
            // A foreign endpoint knows no `after` and answers with everything.
            read: last.map_or(Seq::ZERO, |_| after),
            skip: after,
            lines: Lines::default(),
            body: Some(body),
        }
    }

    /// The next line and its sequence; a cut last line is dropped, one above 1 MiB comes back as its first bytes
    /// and is `Bad` to the decoder.
    pub async fn next(&mut self) -> Result<Option<(Seq, Vec<u8>)>, Error> {
        loop {
            if let Some(line) = self.ready() {
                return Ok(Some(line));
            }
            let Some(body) = &mut self.body else {
                return Ok(None);
            };
            match body.next().await {
                Some(Ok(piece)) => self.lines.push(&piece),
                None => {
                    self.body = None;
                    let rest = self.lines.finish();
                    let last = rest.map(|line| self.number(line));
                    return Ok(last.filter(|(seq, _)| *seq > self.skip));
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Lines that can be had without waiting for the network.
    pub(crate) fn ready(&mut self) -> Option<(Seq, Vec<u8>)> {
        loop {
            let line = self.lines.pop()?;
            let (seq, line) = self.number(line);
            if seq > self.skip {
                return Some((seq, line));
            }
        }
    }

    fn number(&mut self, line: Vec<u8>) -> (Seq, Vec<u8>) {
        self.read = self.read.next();
        (self.read, line)
    }
}

impl Api {
    /// `ca_file`: more root certificates, PEM. Proxies come from the environment.
    pub fn new(endpoint: Endpoint, ca_file: Option<&Path>) -> Result<Self, Error> {
        if !matches!(endpoint.url.scheme(), "http" | "https") || endpoint.url.host_str().is_none() {
            return Err(Error::Setup {
                text: format!(
                    "`{}` is no endpoint: its URL must begin with http:// or https://",
                    endpoint.url
                ),
            });
        }
        let client = http::client(&endpoint.url, ca_file)?;
        Ok(Self {
            inner: Arc::new(Inner {
                endpoint,
                client,
                ca_file: ca_file.map(Path::to_owned),
                ours: OnceLock::new(),
                packs_unknown: AtomicBool::new(false),
            }),
        })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    pub async fn me(&self) -> Result<Hello, Error> {
        let answer = self
            .send(self.call(Method::GET, "/api/users/@me/")?)
            .await?;
        let ours = ours(answer.headers());
        Ok(Hello {
            me: http::json(answer).await?,
            ours,
        })
    }

    /// `key` is the `Idempotency-Key`.
    pub async fn create_task(
        &self,
        project: ProjectId,
        new: &NewTask,
        key: &str,
    ) -> Result<Task, Error> {
        let request = self
            .call(Method::POST, &format!("/api/projects/{project}/tasks/"))?
            .header("Idempotency-Key", key)
            .json(new);
        http::json(self.send(request).await?).await
    }

    /// All pages, newest first.
    pub async fn tasks(&self, project: ProjectId) -> Result<Vec<Task>, Error> {
        self.list(&format!("/api/projects/{project}/tasks/")).await
    }

    /// Secrets and the seed are left out towards an endpoint that has not said that it is ours (contract 10.1),
    /// and secrets also where they would travel in the clear.
    pub async fn create_run(
        &self,
        project: ProjectId,
        task: &TaskId,
        new: &NewRun,
        key: &str,
    ) -> Result<Run, Error> {
        let mut new = new.clone();
        if self.ours().await?.is_none() {
            new.state.remove("seed");
            new.secrets.clear();
        }
        if self.inner.endpoint.url.scheme() != "https"
            && !http::is_loopback(&self.inner.endpoint.url)
        {
            new.secrets.clear();
        }
        let request = self
            .call(
                Method::POST,
                &format!("/api/projects/{project}/tasks/{task}/runs/"),
            )?
            .header("Idempotency-Key", key)
            .json(&new);
        http::json(self.send(request).await?).await
    }

    pub async fn runs(&self, project: ProjectId, task: &TaskId) -> Result<Vec<Run>, Error> {
        self.list(&format!("/api/projects/{project}/tasks/{task}/runs/"))
            .await
    }

    pub async fn run(&self, at: &RunRef) -> Result<Run, Error> {
        let request = self.call(Method::GET, &format!("{}/", at.path()))?;
        http::json(self.send(request).await?).await
    }

    pub async fn patch_run(&self, at: &RunRef, patch: &Value) -> Result<Run, Error> {
        let request = self
            .call(Method::PATCH, &format!("{}/", at.path()))?
            .json(patch);
        http::json(self.send(request).await?).await
    }

    /// Ours: ends the run and removes its workspace, journal and blobs.
    pub async fn delete_run(&self, at: &RunRef) -> Result<(), Error> {
        let request = self.call(Method::DELETE, &format!("{}/", at.path()))?;
        self.send(request).await.map(drop)
    }

    /// `POST R/sync`; any 2xx counts as accepted. What is too heavy for a journal line goes before it, as blobs (contract
    /// 10.1); a foreign endpoint keeps none and gets the command whole.
    pub async fn post(&self, at: &RunRef, command: &Command) -> Result<(), Error> {
        let light = match heavy::lighten_command(command) {
            Some((light, wholes)) if self.ours().await?.is_some() => {
                RunBlobs::new(self.clone(), at.clone()).keep(wholes).await?;
                Some(light)
            }
            Some(_) | None => None,
        };
        let request = self.command(at, light.as_ref().unwrap_or(command))?;
        self.send(request).await.map(drop)
    }

    /// `_ashore/presence`: this client is there, or leaves. `client` is the name it gives itself on its stream too.
    pub async fn presence(
        &self,
        at: &RunRef,
        client: Option<&str>,
        attached: bool,
        read_only: bool,
    ) -> Result<(), Error> {
        let command = Command::new(What::Presence {
            attached,
            read_only,
        });
        let mut request = self.command(at, &command)?;
        if let Some(client) = client {
            request = request.header("Ashore-Client", client);
        }
        self.send(request).await.map(drop)
    }

    fn command(&self, at: &RunRef, command: &Command) -> Result<RequestBuilder, Error> {
        let request = self
            .call(Method::POST, &format!("{}/sync", at.path()))?
            .json(&command.to_json());
        // The journal then says who spoke, and from where: `ana@laptop`.
        let host = host_name(&rustix::system::uname().nodename().to_string_lossy());
        Ok(match host {
            Some(host) => request.header("Ashore-Host", host),
            None => request,
        })
    }

    /// `POST R/append_log`, accepted only when the answer names the run (contract 4); `source` and `first` make the `Ashore-Batch` header (contract 10.3). `lines` are whole log wrappers.
    pub async fn append(
        &self,
        at: &RunRef,
        source: &str,
        first: u64,
        lines: &[String],
    ) -> Result<(), Error> {
        // Each line is JSON already and stays the bytes it is.
        let body = format!("{{\"entries\":[{}]}}", lines.join(","));
        let request = self
            .call(Method::POST, &format!("{}/append_log", at.path()))?
            .header("Ashore-Batch", format!("{source}:{first}"))
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        let answer = self.send(request).await?;
        let stored: Stored = http::json(answer).await?;
        if stored.id == at.run {
            Ok(())
        } else {
            Err(Error::Malformed {
                text: format!("it speaks of run {}, not of {}", stored.id, at.run),
            })
        }
    }

    /// With `after`, exactly the lines behind it; without, as the reference answers.
    pub async fn logs(&self, at: &RunRef, after: Option<Seq>) -> Result<Logs, Error> {
        let mut request = self.request(Method::GET, &format!("{}/logs", at.path()))?;
        if let Some(after) = after {
            request = request.query(&[("after", after.0)]);
        }
        let answer = self.send(request).await?;
        let number = |name: &str| header(answer.headers(), name)?.parse::<u64>().ok();
        let last = header(answer.headers(), "X-Sync-Ids")
            .filter(|ids| *ids == "log-sequence")
            .and_then(|_| number("X-Last-Seq"))
            .map(Seq);
        let keepalive = number("X-Keepalive").map(Duration::from_secs);
        let body = answer.bytes_stream();
        let body = body.map_err(|error| http::unreachable(&error)).boxed();
        Ok(Logs::new(last, keepalive, after.unwrap_or_default(), body))
    }

    /// What the run was seeded with; a foreign endpoint has only one manifest, and gives that.
    pub async fn seed_manifest(&self, at: &RunRef) -> Result<Option<FileManifest>, Error> {
        // The manifest of a large tree is larger than any other body, so it is read in full.
        let request = self
            .request(Method::GET, &format!("{}/file_manifest/", at.path()))?
            .query(&[("of", "seed")]);
        let answer = self.send(request).await?;
        if answer.status() == reqwest::StatusCode::NO_CONTENT {
            return Ok(None);
        }
        http::large_json(answer).await.map(Some)
    }

    pub async fn put_manifest(&self, at: &RunRef, manifest: &FileManifest) -> Result<(), Error> {
        let request = self
            .request(Method::PUT, &format!("{}/file_manifest/", at.path()))?
            .json(manifest);
        self.send(request).await.map(drop)
    }

    /// The run's blobs as the mirror's port. A `storage_path` that is not `files/<sha256>` is presigned and fetched without our token.
    pub fn blobs(&self, at: &RunRef) -> Arc<dyn Blobs> {
        Arc::new(RunBlobs::new(self.clone(), at.clone()))
    }

    /// Whether the endpoint may know packs of contents: it has not said that it does not.
    pub(crate) fn may_pack(&self) -> bool {
        !self.inner.packs_unknown.load(Ordering::Relaxed)
    }

    pub(crate) fn forget_packs(&self) {
        self.inner.packs_unknown.store(true, Ordering::Relaxed);
    }

    /// With whom we speak; asked once.
    pub(crate) async fn ours(&self) -> Result<Option<Ours>, Error> {
        if self.inner.ours.get().is_none() {
            self.me().await?;
        }
        Ok(self.inner.ours.get().cloned().flatten())
    }

    pub(crate) async fn presign(&self, at: &RunRef, storage_path: &str) -> Result<Url, Error> {
        #[derive(Deserialize)]
        struct Signed {
            url: String,
        }
        let request = self
            .call(Method::POST, &format!("{}/artifacts/presign/", at.path()))?
            .json(&json!({"storage_path": storage_path}));
        let signed: Signed = http::json(self.send(request).await?).await?;
        self.inner
            .endpoint
            .url
            .join(&signed.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| Error::Malformed {
                text: "the signed URL is none".to_owned(),
            })
    }

    /// A client for a host that is not the endpoint: it never sees the token.
    pub(crate) fn stranger(&self, url: &Url) -> Result<Client, Error> {
        http::client(url, self.inner.ca_file.as_deref())
    }

    /// A request with the token and no limit on its whole time.
    pub(crate) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Error> {
        let url = self.url(path)?;
        Ok(self.signed(self.inner.client.request(method, url)))
    }

    /// For a stream that may be silent as long as it likes.
    pub(crate) fn patient_request(
        &self,
        method: Method,
        path: &str,
    ) -> Result<RequestBuilder, Error> {
        let url = self.url(path)?;
        let endpoint = &self.inner.endpoint.url;
        let client = http::patient_client(endpoint, self.inner.ca_file.as_deref())?;
        Ok(self.signed(client.request(method, url)))
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        self.inner
            .endpoint
            .url
            .join(path)
            .map_err(|error| Error::Setup {
                text: format!("the endpoint's URL cannot be used: {error}"),
            })
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.inner.endpoint.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    /// For a small answer: with the time-out of a call.
    fn call(&self, method: Method, path: &str) -> Result<RequestBuilder, Error> {
        Ok(self.request(method, path)?.timeout(http::CALL))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let answer = http::send(request).await?;
        // No route answers with a web page; whoever does has taken nothing.
        if http::content_type(answer.headers()).contains("html") {
            return Err(http::web_page());
        }
        // The first success counts; an endpoint does not change its kind while we speak.
        self.inner.ours.get_or_init(|| ours(answer.headers()));
        Ok(answer)
    }

    async fn list<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Error> {
        let mut query = "limit=100".to_owned();
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let request = self.call(Method::GET, &format!("{path}?{query}"))?;
            match http::large_json(self.send(request).await?).await? {
                Listed::Bare(items) => {
                    all.extend(items);
                    break;
                }
                Listed::Page(page) => {
                    let empty = page.results.is_empty();
                    all.extend(page.results);
                    // Only the query of `next` is taken: its host is the endpoint's word, and the token stays here.
                    match page.next.as_deref().and_then(next_query) {
                        Some(next) if !empty && next != query => query = next,
                        Some(_) | None => break,
                    }
                }
            }
        }
        Ok(all)
    }
}

/// The first label of this machine's name, as far as it can stand in a header; a domain says nothing to a reader.
fn host_name(name: &str) -> Option<String> {
    let label = name.split('.').next().unwrap_or_default();
    let host: String = label
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(MAX_HOST)
        .collect();
    host.contains(|c: char| c.is_ascii_alphanumeric())
        .then_some(host)
}

/// A list is an envelope, or a bare array (contract 2).
/// Whose lines an append has stored.
#[derive(Deserialize)]
struct Stored {
    id: RunId,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Listed<T> {
    Bare(Vec<T>),
    Page(Page<T>),
}

fn next_query(next: &str) -> Option<String> {
    let (_, query) = next.split_once('?')?;
    (!query.is_empty()).then(|| query.to_owned())
}

fn ours(headers: &HeaderMap) -> Option<Ours> {
    Some(Ours {
        wire: header(headers, "X-Ashore-Wire")?.parse().ok()?,
        version: header(headers, "X-Ashore-Version")
            .map(http::plain)
            .unwrap_or_default(),
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_query_of_the_next_page_is_taken() {
        assert_eq!(
            next_query("https://elsewhere.example/api/tasks/?limit=100&offset=100").as_deref(),
            Some("limit=100&offset=100")
        );
        assert_eq!(next_query("https://elsewhere.example/"), None);
        assert_eq!(next_query("?"), None);
    }

    use crate::client::raw::{Asked, Raw, at, ours as answer, reply};

    const ME: &str = r#"{"id":1,"email":"a@example.com","team":{"id":1,"name":"T"}}"#;
    const RUN: &str = r#"{"id":"r","task":"t"}"#;

    fn secret_run() -> NewRun {
        let mut new = NewRun::default();
        new.state.insert("seed".to_owned(), json!("manifest"));
        new.state.insert("agent".to_owned(), json!("demo"));
        new.secrets.insert("KEY".to_owned(), "s3cret".to_owned());
        new
    }

    /// What the endpoint was sent for this run.
    async fn created(is_ours: bool) -> Value {
        let server = Raw::serve(move |asked: &Asked| {
            let body = if asked.path().ends_with("@me/") {
                ME
            } else {
                RUN
            };
            if is_ours {
                answer(body)
            } else {
                reply(
                    "200 OK",
                    "content-type: application/json\r\n",
                    body.as_bytes(),
                )
            }
        })
        .await;
        let task = "t".parse().unwrap();
        let run = server
            .api()
            .create_run(ProjectId(1), &task, &secret_run(), "the-key")
            .await
            .unwrap();
        assert_eq!(run.id.as_str(), "r");
        let asked = server.asked();
        assert_eq!(asked.len(), 2, "first it is asked who answers");
        assert_eq!(asked[1].header("idempotency-key"), Some("the-key"));
        serde_json::from_slice(&asked[1].body).unwrap()
    }

    #[tokio::test]
    async fn secrets_and_the_seed_go_only_to_an_endpoint_of_ours() {
        let body = created(true).await;
        assert_eq!(body["secrets"]["KEY"], "s3cret");
        assert_eq!(body["state"]["seed"], "manifest");
        let body = created(false).await;
        assert_eq!(body.get("secrets"), None);
        assert_eq!(body["state"], json!({"agent": "demo"}));
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_names_the_host() {
        let elsewhere = Raw::serve(|_| answer(ME)).await;
        let location = format!("location: {}api\r\n", elsewhere.url);
        let server = Raw::serve(move |_| reply("307 Temporary Redirect", &location, b"")).await;
        let error = server.api().me().await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }));
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
        assert_eq!(elsewhere.asked().len(), 0);
    }

    #[tokio::test]
    async fn pages_are_read_to_the_last_one_and_always_from_the_same_host() {
        let task = |id: &str| format!(r#"{{"id":"{id}","title":"x"}}"#);
        let page = move |next: &str, id: &str| {
            format!(
                r#"{{"count":2,"next":{next},"previous":null,"results":[{}]}}"#,
                task(id)
            )
        };
        let server = Raw::serve(move |asked: &Asked| {
            if asked.path().contains("offset=1") {
                answer(&page("null", "b"))
            } else {
                answer(&page(
                    r#""http://elsewhere.example/x?limit=100&offset=1""#,
                    "a",
                ))
            }
        })
        .await;
        let tasks = server.api().tasks(ProjectId(1)).await.unwrap();
        let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_bare_array_is_a_list_and_a_page_that_names_itself_is_the_last() {
        let server = Raw::serve(|_| answer(r#"[{"id":"a"}]"#)).await;
        assert_eq!(server.api().tasks(ProjectId(1)).await.unwrap().len(), 1);
        let server = Raw::serve(|_| {
            answer(r#"{"count":9,"next":"/x?limit=100","previous":null,"results":[{"id":"a"}]}"#)
        })
        .await;
        assert_eq!(server.api().tasks(ProjectId(1)).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_empty_202_is_enough_for_a_command() {
        let server = Raw::serve(|_| reply("202 Accepted", "", b"")).await;
        let command = Command::user_message("hello");
        server.api().post(&at(), &command).await.unwrap();
        let asked = server.asked();
        assert!(
            asked[0]
                .head
                .starts_with("POST /api/projects/1/tasks/t/runs/r/sync ")
        );
        let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
        assert_eq!(body, command.to_json());
        let here = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        assert_eq!(asked[0].header("ashore-host"), host_name(&here).as_deref());
    }

    #[test]
    fn a_host_name_is_short_and_plain_or_is_not_sent() {
        for (name, sent) in [
            ("laptop", Some("laptop")),
            ("laptop.example.com", Some("laptop")),
            ("my laptop\r\nX: y", Some("my-laptop--X--y")),
            ("l\u{e4}ptop", Some("l-ptop")),
            ("", None),
            ("---", None),
        ] {
            assert_eq!(host_name(name).as_deref(), sent, "{name}");
        }
        assert_eq!(host_name(&"x".repeat(200)).unwrap().len(), MAX_HOST);
    }

    #[tokio::test]
    async fn lines_of_a_foreign_log_are_counted_from_its_start_whatever_was_asked() {
        let kind = "content-type: application/jsonl\r\n";
        let server =
            Raw::serve(move |_| reply("200 OK", kind, b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}")).await;
        let mut logs = server.api().logs(&at(), Some(Seq(1))).await.unwrap();
        assert_eq!(logs.last, None);
        let mut numbers = Vec::new();
        while let Some((seq, _)) = logs.next().await.unwrap() {
            numbers.push(seq.0);
        }
        assert_eq!(numbers, [2, 3]);
    }

    #[tokio::test]
    async fn lines_are_appended_as_the_bytes_they_are() {
        let server = Raw::serve(|_| answer(RUN)).await;
        let lines = [r#"{"a":1.50}"#.to_owned(), r#"{"b":"\ud83e"}"#.to_owned()];
        server
            .api()
            .append(&at(), "start", 7, &lines)
            .await
            .unwrap();
        let asked = server.asked();
        assert_eq!(asked[0].header("ashore-batch"), Some("start:7"));
        let body = String::from_utf8(asked[0].body.clone()).unwrap();
        assert_eq!(body, r#"{"entries":[{"a":1.50},{"b":"\ud83e"}]}"#);
    }

    #[tokio::test]
    async fn lines_count_as_stored_only_when_the_answer_names_the_run() {
        let at = RunRef {
            run: "another".parse().unwrap(),
            ..at()
        };
        let page = || reply("200 OK", "content-type: text/html\r\n", b"<h1>Welcome</h1>");
        for (what, answer) in [("another run's", answer(RUN)), ("a page", page())] {
            let server = Raw::serve(move |_| answer.clone()).await;
            let (api, lines) = (server.api(), ["{}".to_owned()]);
            let stored = api.append(&at, "start", 1, &lines).await;
            let error = stored.expect_err(what);
            assert!(error.is_passing(), "{what}: {error}");
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut_off() {
        let server = Raw::serve(|_| {
            let mut body = vec![b' '; 2 << 20];
            body.extend(ME.as_bytes());
            reply("200 OK", "content-type: application/json\r\n", &body)
        })
        .await;
        let error = server.api().me().await.unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
    }

    #[tokio::test]
    async fn no_manifest_is_no_failure() {
        let server = Raw::serve(|_| reply("204 No Content", "", b"")).await;
        assert_eq!(server.api().seed_manifest(&at()).await, Ok(None));
    }

    #[test]
    fn a_url_that_is_no_endpoint_s_is_refused_at_once() {
        let endpoint = |url: &str| Endpoint {
            name: "x".to_owned(),
            url: url.parse().unwrap(),
            token: None,
            local: false,
        };
        let error = Api::new(endpoint("ftp://example.com"), None).unwrap_err();
        assert!(error.to_string().contains("http://"), "{error}");
        let missing = Path::new("/nowhere/ca.pem");
        let error = Api::new(endpoint("https://example.com"), Some(missing)).unwrap_err();
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
}
