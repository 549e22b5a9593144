//! Contents of one run over HTTP: by hash from an endpoint of ours, by signed URL from a foreign one.
//!
//! Takes no bytes whose hash does not fit, and shows the token to no other host.

use std::path::Path;

use reqwest::header::RANGE;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use crate::client::api::Api;
use crate::client::error::Error as Failed;
use crate::client::http;
use crate::mirror::blobs::{Blobs, Error, Wanted, landing};
use crate::protocol::hash::{ContentHash, Hasher};
use crate::protocol::heavy::Whole;
use crate::protocol::ids::RunRef;
use crate::protocol::pack;

/// A cut download goes on this often before it is given back to the caller.
const RESUMES: u32 = 3;
/// Largest `blobs/missing` question (contract 10.4).
const ASK: usize = 10_000;
const METHOD_NOT_ALLOWED: u16 = 405;
/// For a sender that told no size.
const UNTOLD: u64 = 256 << 20;

#[derive(Debug)]
pub(crate) struct RunBlobs {
    api: Api,
    at: RunRef,
}

impl RunBlobs {
    pub(crate) fn new(api: Api, at: RunRef) -> Self {
        Self { api, at }
    }

    fn path(&self, hash: ContentHash) -> String {
        format!("{}/blobs/{hash}", self.at.path())
    }

    /// The request for a content, with our token only when it goes to our endpoint's own route.
    async fn source(&self, want: &Wanted) -> Result<RequestBuilder, Error> {
        let failed = |error| told(want.hash, error);
        let own = format!("files/{}", want.hash);
        match want.storage_path.as_deref() {
            Some(path) if path != own => {
                let url = self.api.presign(&self.at, path).await.map_err(failed)?;
                Ok(self.api.stranger(&url).map_err(failed)?.get(url))
            }
            Some(_) | None => self
                .api
                .request(Method::GET, &self.path(want.hash))
                .map_err(failed),
        }
    }
}

/// A download that can go on where it was cut.
struct Landing {
    file: tokio::fs::File,
    hasher: Hasher,
    have: u64,
    limit: u64,
}

impl Landing {
    async fn take(&mut self, want: &Wanted, request: RequestBuilder) -> Result<(), Error> {
        let request = match self.have {
            0 => request,
            have => request.header(RANGE, format!("bytes={have}-")),
        };
        let mut answer = http::send(request)
            .await
            .map_err(|error| told(want.hash, error))?;
        if self.have > 0 && answer.status() != StatusCode::PARTIAL_CONTENT {
            self.restart().await?;
        }
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|error| told(want.hash, http::unreachable(&error)))?
        {
            self.have += piece.len() as u64;
            if self.have > self.limit {
                return Err(Error::Refused(format!(
                    "{} is longer than the {} bytes it was announced with",
                    want.hash, self.limit
                )));
            }
            self.hasher.update(&piece);
            self.file.write_all(&piece).await.map_err(disk)?;
        }
        self.file.flush().await.map_err(disk)
    }

    /// The other side knows no ranges and sends everything again.
    async fn restart(&mut self) -> Result<(), Error> {
        use tokio::io::AsyncSeekExt;
        self.file.set_len(0).await.map_err(disk)?;
        self.file.rewind().await.map_err(disk)?;
        self.hasher = Hasher::default();
        self.have = 0;
        Ok(())
    }
}

impl RunBlobs {
    /// Stores contents that are in memory.
    pub(crate) async fn keep(&self, wholes: Vec<Whole>) -> Result<(), Failed> {
        for whole in wholes {
            let request = self.api.request(Method::PUT, &self.path(whole.hash))?;
            let request = request
                .header(reqwest::header::CONTENT_TYPE, "application/octet-stream")
                .body(whole.bytes);
            self.api.send(request).await?;
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Blobs for RunBlobs {
    async fn get(&self, want: &Wanted, into: &Path) -> Result<(), Error> {
        let into = into.to_owned();
        let landed = tokio::task::spawn_blocking(move || landing(&into)).await;
        let file = landed.map_err(std::io::Error::other).flatten();
        let file = tokio::fs::File::from_std(file.map_err(disk)?);
        let limit = if want.size == 0 { UNTOLD } else { want.size };
        let mut landing = Landing {
            file,
            hasher: Hasher::default(),
            have: 0,
            limit,
        };
        let mut resumes = 0;
        loop {
            let before = landing.have;
            match landing.take(want, self.source(want).await?).await {
                Ok(()) => break,
                // Going on helps only when the last try brought something.
                Err(Error::Unreachable(_)) if resumes < RESUMES && landing.have > before => {
                    resumes += 1;
                }
                Err(error) => return Err(error),
            }
        }
        let got = landing.hasher.finish();
        if got == want.hash {
            Ok(())
        } else {
            Err(Error::Wrong {
                want: want.hash,
                got,
            })
        }
    }

    async fn put(&self, hash: ContentHash, size: u64, from: &Path) -> Result<(), Error> {
        let file = tokio::fs::File::open(from).await.map_err(disk)?;
        let request = self
            .api
            .request(Method::PUT, &self.path(hash))
            .map_err(|error| told(hash, error))?
            .header(reqwest::header::CONTENT_LENGTH, size)
            .header(reqwest::header::CONTENT_TYPE, "application/octet-stream")
            .body(reqwest::Body::wrap_stream(ReaderStream::with_capacity(
                file,
                64 << 10,
            )));
        match self.api.send(request).await {
            Ok(_) => Ok(()),
            // 404 for a PUT does not say that the content is gone: this endpoint takes none.
            Err(Failed::Gone { text }) => Err(Error::Refused(text)),
            Err(error) => Err(told(hash, error)),
        }
    }

    async fn missing(&self, hashes: &[ContentHash]) -> Result<Vec<ContentHash>, Error> {
        #[derive(Deserialize)]
        struct Missing {
            missing: Vec<ContentHash>,
        }
        let mut all = Vec::new();
        for some in hashes.chunks(ASK) {
            let path = format!("{}/blobs/missing", self.at.path());
            let ask = async {
                let request = self.api.request(Method::POST, &path)?;
                let answer = self
                    .api
                    .send(request.json(&json!({"hashes": some})))
                    .await?;
                http::large_json::<Missing>(answer).await
            };
            let answer = ask.await.map_err(|error| match error {
                Failed::Gone { text } => Error::Refused(text),
                other => told(some[0], other),
            })?;
            all.extend(answer.missing);
        }
        Ok(all)
    }

    async fn pack(&self, hashes: &[ContentHash]) -> Result<Vec<(ContentHash, Vec<u8>)>, Error> {
        let hashes = &hashes[..hashes.len().min(pack::HASHES)];
        let (Some(first), true) = (hashes.first(), self.api.may_pack()) else {
            return Ok(Vec::new());
        };
        let path = format!("{}/blobs/pack", self.at.path());
        let ask = async {
            let request = self.api.request(Method::POST, &path)?;
            http::send(request.json(&json!({"hashes": hashes}))).await
        };
        let mut answer = match ask.await {
            Err(
                Failed::Gone { .. }
                | Failed::Rejected {
                    status: METHOD_NOT_ALLOWED,
                    ..
                },
            ) => {
                self.api.forget_packs();
                return Ok(Vec::new());
            }
            answer => answer.map_err(|error| told(*first, error))?,
        };
        let mut reader = pack::Reader::new(hashes.iter().copied());
        let mut contents = Vec::new();
        let cut = |error| told(*first, http::unreachable(&error));
        while let Some(piece) = answer.chunk().await.map_err(cut)? {
            let fed = reader.feed(&piece, &mut |hash, bytes| contents.push((hash, bytes)));
            fed.map_err(|why| Error::Refused(why.to_string()))?;
        }
        reader
            .finish()
            .map_err(|why| Error::Refused(why.to_string()))?;
        Ok(contents)
    }
}

fn disk(source: std::io::Error) -> Error {
    Error::Disk {
        what: "cannot keep a downloaded content".to_owned(),
        source,
    }
}

/// The road's failure in the words of the port.
fn told(hash: ContentHash, error: Failed) -> Error {
    match error {
        Failed::Gone { .. } => Error::Gone(hash),
        Failed::Unreachable { text } => Error::Unreachable(text),
        Failed::Refused { .. }
        | Failed::Rejected { .. }
        | Failed::Malformed { .. }
        | Failed::Setup { .. } => Error::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::raw::{Act, Asked, Raw, at, ours, reply};

    fn want(bytes: &[u8], storage_path: Option<&str>) -> Wanted {
        Wanted {
            hash: ContentHash::of(bytes),
            size: bytes.len() as u64,
            storage_path: storage_path.map(str::to_owned),
        }
    }

    async fn get(server: &Raw, want: &Wanted) -> (Result<(), Error>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("x");
        let result = server.api().blobs(&at()).get(want, &into).await;
        (result, std::fs::read(&into).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_content_is_fetched_by_its_hash_with_our_token() {
        let server = Raw::serve(|_| reply("200 OK", "", b"hello")).await;
        let own = format!("files/{}", ContentHash::of(b"hello"));
        for path in [None, Some(own.as_str())] {
            let (result, bytes) = get(&server, &want(b"hello", path)).await;
            assert!(result.is_ok());
            assert_eq!(bytes, b"hello");
        }
        let asked = server.asked();
        assert!(
            asked[0]
                .path()
                .ends_with(&format!("/blobs/{}", ContentHash::of(b"hello")))
        );
        assert_eq!(asked[1].header("authorization"), Some("Bearer the-token"));
    }

    #[tokio::test]
    async fn a_signed_url_on_another_host_never_sees_the_token_and_its_bytes_must_fit() {
        let elsewhere = Raw::serve(|asked: &Asked| {
            let bytes: &[u8] = if asked.path().contains("good") {
                b"hello"
            } else {
                b"hellO"
            };
            reply("200 OK", "", bytes)
        })
        .await;
        let url = elsewhere.url.clone();
        let server = Raw::serve(move |asked: &Asked| {
            assert!(asked.path().ends_with("/artifacts/presign/"));
            let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
            let name = body["storage_path"].as_str().unwrap();
            ours(&format!(r#"{{"url":"{url}{name}?sig=1","expires_in":60}}"#))
        })
        .await;
        let (result, bytes) = get(&server, &want(b"hello", Some("good"))).await;
        assert!(result.is_ok());
        assert_eq!(bytes, b"hello");
        let (result, _) = get(&server, &want(b"hello", Some("bad"))).await;
        assert!(matches!(result, Err(Error::Wrong { .. })), "{result:?}");
        let asked = elsewhere.asked();
        assert_eq!(asked.len(), 2);
        for asked in asked {
            assert_eq!(asked.header("authorization"), None);
            assert!(!asked.head.contains("the-token"), "{}", asked.head);
        }
    }

    #[tokio::test]
    async fn a_cut_download_goes_on_where_it_was_cut() {
        let server = Raw::serve(|asked: &Asked| match asked.header("range") {
            None => vec![
                Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello".to_vec()),
                Act::Close,
            ],
            Some("bytes=5-") => reply("206 Partial Content", "", b"world"),
            Some(other) => panic!("{other}"),
        })
        .await;
        let (result, bytes) = get(&server, &want(b"helloworld", None)).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(bytes, b"helloworld");
    }

    #[tokio::test]
    async fn a_server_without_ranges_sends_it_all_again() {
        let server = Raw::serve(|asked: &Asked| match asked.header("range") {
            None => vec![
                Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello".to_vec()),
                Act::Close,
            ],
            Some(_) => reply("200 OK", "", b"helloworld"),
        })
        .await;
        let (result, bytes) = get(&server, &want(b"helloworld", None)).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(bytes, b"helloworld");
    }

    #[tokio::test]
    async fn bytes_without_end_are_cut_off_at_the_announced_size() {
        let server = Raw::serve(|_| {
            let head = Act::Say(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
            vec![head, Act::Say(vec![b'x'; 1 << 20]), Act::Silence]
        })
        .await;
        let (result, bytes) = get(&server, &want(b"hello", None)).await;
        assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
        assert!(bytes.len() <= 5);
    }

    #[tokio::test]
    async fn failures_are_told_in_the_words_of_the_port() {
        let kind = |status: &'static str| async move {
            let server =
                Raw::serve(move |_| reply(status, "location: http://x.example/\r\n", b"")).await;
            get(&server, &want(b"hello", None)).await.0.unwrap_err()
        };
        assert!(matches!(kind("404 Not Found").await, Error::Gone(_)));
        assert!(matches!(kind("403 Forbidden").await, Error::Refused(_)));
        assert!(matches!(
            kind("503 Unavailable").await,
            Error::Unreachable(_)
        ));
        let redirected = kind("302 Found").await.to_string();
        assert!(redirected.contains("x.example"), "{redirected}");
    }

    #[tokio::test]
    async fn a_content_is_put_as_it_is_and_what_is_missing_is_asked_first() {
        let hash = ContentHash::of(b"hello");
        let server = Raw::serve(move |asked: &Asked| {
            if asked.path().ends_with("/blobs/missing") {
                let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
                return ours(&format!(r#"{{"missing":{}}}"#, body["hashes"]));
            }
            ours("{}")
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        tokio::fs::write(&file, b"hello").await.unwrap();
        let blobs = server.api().blobs(&at());
        assert_eq!(blobs.missing(&[hash]).await.unwrap(), [hash]);
        assert_eq!(blobs.missing(&[]).await.unwrap(), []);
        blobs.put(hash, 5, &file).await.unwrap();
        let asked = server.asked();
        assert_eq!(asked.len(), 2);
        assert!(asked[1].head.starts_with("PUT "));
        assert_eq!(asked[1].body, b"hello");
    }

    #[tokio::test]
    async fn a_pack_brings_what_is_there_and_an_endpoint_without_packs_is_not_asked_twice() {
        let (hash, other) = (ContentHash::of(b"hello"), ContentHash::of(b"other"));
        let server = Raw::serve(move |_| {
            let head = pack::head(hash, 5).unwrap();
            reply("200 OK", "", &[&head[..], b"hello"].concat())
        })
        .await;
        let blobs = server.api().blobs(&at());
        let packed = blobs.pack(&[hash, other]).await.unwrap();
        assert_eq!(packed, [(hash, b"hello".to_vec())]);
        assert!(server.asked()[0].path().ends_with("/blobs/pack"));
        assert_eq!(
            server.asked()[0].header("authorization"),
            Some("Bearer the-token")
        );
        let lied = blobs.pack(&[other]).await;
        assert!(matches!(lied, Err(Error::Refused(_))), "{lied:?}");
        for status in ["404 Not Found", "405 Method Not Allowed"] {
            let old = Raw::serve(move |_| reply(status, "", b"")).await;
            let api = old.api();
            for _ in 0..3 {
                assert_eq!(api.blobs(&at()).pack(&[hash]).await.unwrap(), []);
            }
            assert_eq!(old.asked().len(), 1);
        }
        let away = Raw::serve(|_| reply("503 Unavailable", "", b"")).await;
        for _ in 0..2 {
            let packed = away.api().blobs(&at()).pack(&[hash]).await;
            assert!(matches!(packed, Err(Error::Unreachable(_))), "{packed:?}");
        }
        assert_eq!(away.asked().len(), 2);
    }
}
