//! The way to the endpoint, which may move: the local endpoint keeps its present place in a file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

use crate::client::api::Api;
use crate::client::endpoint::{Endpoint, Token};
use crate::client::error::Error;
use crate::client::local;
use crate::client::refusal;
use crate::mirror::blobs::{self, Blobs, Wanted};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::RunRef;
use crate::protocol::launch::Launch;

/// Where the run's endpoint is now. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Road {
    pub(crate) at: RunRef,
    file: Option<PathBuf>,
    api: Arc<Mutex<Api>>,
}

impl Road {
    pub(crate) fn new(launch: &Launch) -> Result<Self, Error> {
        let url = Url::parse(&launch.endpoint).map_err(|error| Error::Rejected {
            status: 0,
            text: format!("`{}` is no URL: {error}", launch.endpoint),
        })?;
        let endpoint = Endpoint {
            name: "run".to_owned(),
            url,
            token: Some(Token::new(launch.token.clone())),
            local: launch.endpoint_file.is_some(),
        };
        Ok(Self {
            at: launch.at.clone(),
            file: launch.endpoint_file.clone(),
            api: Arc::new(Mutex::new(Api::new(endpoint, None)?)),
        })
    }

    pub(crate) fn api(&self) -> Api {
        self.api
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A refusal is final only when it is the endpoint's own.
    pub(crate) async fn believe<T>(
        &self,
        asked: &Api,
        answer: Result<T, Error>,
    ) -> Result<T, Error> {
        refusal::believe(self.file.as_deref(), &asked.endpoint().url, answer).await
    }

    /// The same for contents, with a look whether the endpoint has moved.
    async fn believe_of_blob<T>(
        &self,
        asked: &Api,
        answer: Result<T, blobs::Error>,
    ) -> Result<T, blobs::Error> {
        let asked = &asked.endpoint().url;
        let answer = refusal::believe_of_blob(self.file.as_deref(), asked, answer).await;
        if let Err(blobs::Error::Unreachable(_)) = answer {
            self.look_again().await;
        }
        answer
    }

    /// After a failure: has the endpoint moved? Whoever listens there must prove to be it before it gets our token.
    pub(crate) async fn look_again(&self) {
        let Some(file) = &self.file else {
            return;
        };
        let Some(url) = local::look_at(file).await else {
            return;
        };
        let mut api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        let mut endpoint = api.endpoint().clone();
        if endpoint.url == url {
            return;
        }
        tracing::info!(%url, "the endpoint has moved");
        endpoint.url = url;
        match Api::new(endpoint, None) {
            Ok(moved) => *api = moved,
            Err(error) => tracing::warn!(%error, "the endpoint's new place cannot be used"),
        }
    }
}

/// Always the endpoint's present place, whatever it was when the port was handed out.
#[async_trait::async_trait]
impl Blobs for Road {
    async fn get(&self, want: &Wanted, into: &Path) -> Result<(), blobs::Error> {
        let api = self.api();
        let got = api.blobs(&self.at).get(want, into).await;
        self.believe_of_blob(&api, got).await
    }

    async fn put(&self, hash: ContentHash, size: u64, from: &Path) -> Result<(), blobs::Error> {
        let api = self.api();
        let put = api.blobs(&self.at).put(hash, size, from).await;
        self.believe_of_blob(&api, put).await
    }

    async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, blobs::Error> {
        let api = self.api();
        let missing = api.blobs(&self.at).missing(hashes).await;
        self.believe_of_blob(&api, missing).await
    }

    async fn pack(
        &self,
        hashes: &[ContentHash],
    ) -> Result<Vec<(ContentHash, Vec<u8>)>, blobs::Error> {
        let api = self.api();
        let packed = api.blobs(&self.at).pack(hashes).await;
        self.believe_of_blob(&api, packed).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::journal::Append;
    use crate::client::local::{LocalState, proof};
    use crate::client::raw::{Act, Asked, Raw, at, reply};

    const SECRET: &str = "the secret";

    fn refusal(_: &Asked) -> Vec<Act> {
        reply(
            "401 Unauthorized",
            "",
            br#"{"error":"this token is unknown"}"#,
        )
    }

    /// Knows the secret, and answers everything else with `status`.
    async fn endpoint(status: &'static str) -> Raw {
        Raw::serve(move |asked| match asked.path().split_once("nonce=") {
            Some((_, nonce)) => {
                let body = format!(r#"{{"proof":"{}"}}"#, proof(SECRET, nonce));
                reply("200 OK", "", body.as_bytes())
            }
            None => reply(status, "", br#"{"id":"r"}"#),
        })
        .await
    }

    fn road(asked: &Raw, real: &Raw, folder: &Path) -> Road {
        let port = real.url.port().expect("a port");
        let state = LocalState::of_this_process(port, SECRET.to_owned(), "a token".to_owned());
        let file = folder.join("endpoint.json");
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&file, serde_json::to_vec(&state).unwrap()).unwrap();
        Road {
            at: at(),
            file: Some(file),
            api: Arc::new(Mutex::new(asked.api())),
        }
    }

    #[tokio::test]
    async fn the_refusal_of_a_program_at_the_endpoints_old_port_only_delays() {
        let folder = tempfile::tempdir().unwrap();
        let (stranger, real) = (Raw::serve(refusal).await, endpoint("200 OK").await);
        let road = road(&stranger, &real, folder.path());
        let lines = ["{}".to_owned()];
        let refused = road.append("me", 1, &lines).await.unwrap_err();
        assert!(refused.is_passing(), "{refused}");
        assert_eq!(road.append("me", 1, &lines).await, Ok(()));
    }

    #[tokio::test]
    async fn the_endpoints_own_refusal_is_final() {
        let folder = tempfile::tempdir().unwrap();
        let real = endpoint("401 Unauthorized").await;
        let road = road(&real, &real, folder.path());
        let refused = road.append("me", 1, &["{}".to_owned()]).await.unwrap_err();
        assert!(!refused.is_passing(), "{refused}");
    }

    #[tokio::test]
    async fn a_content_is_gone_only_when_the_endpoint_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("landing");
        let want = Wanted {
            hash: ContentHash::of(b"x"),
            size: 1,
            storage_path: None,
        };
        let stranger = Raw::serve(|_| reply("404 Not Found", "", b"{}")).await;
        let real = endpoint("404 Not Found").await;
        let away = road(&stranger, &real, folder.path());
        let got = away.get(&want, &into).await;
        assert!(matches!(got, Err(blobs::Error::Unreachable(_))), "{got:?}");
        let got = away.get(&want, &into).await;
        assert!(matches!(got, Err(blobs::Error::Gone(_))), "{got:?}");
    }
}
