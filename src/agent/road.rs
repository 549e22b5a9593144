//! The way to the endpoint, which may move: the local endpoint keeps its present place in a file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

use crate::client::api::Api;
use crate::client::endpoint::{Endpoint, Token};
use crate::client::error::Error;
use crate::client::local;
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
        let got = self.api().blobs(&self.at).get(want, into).await;
        if let Err(blobs::Error::Unreachable(_)) = got {
            self.look_again().await;
        }
        got
    }

    async fn put(&self, hash: ContentHash, size: u64, from: &Path) -> Result<(), blobs::Error> {
        let put = self.api().blobs(&self.at).put(hash, size, from).await;
        if let Err(blobs::Error::Unreachable(_)) = put {
            self.look_again().await;
        }
        put
    }

    async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, blobs::Error> {
        let missing = self.api().blobs(&self.at).missing(hashes).await;
        if let Err(blobs::Error::Unreachable(_)) = missing {
            self.look_again().await;
        }
        missing
    }
}
