//! Logs in bulk, blobs, manifests, signed addresses.

use ashore::backend::lifecycle::Signal;
use ashore::protocol::hash::ContentHash;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Endpoint, TOKEN, json_of, said};

#[tokio::test]
async fn logs_come_whole_or_behind_a_number_and_compressed_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let logs = format!("{}/logs", at.path());
    let empty = endpoint.ask(Method::GET, &logs).send().await.unwrap();
    assert_eq!(
        (empty.status().as_u16(), empty.text().await.unwrap()),
        (200, String::new())
    );
    let all: Vec<_> = (1..=300).map(said).collect();
    endpoint.append(&at, TOKEN, &all).await;
    let whole = endpoint.ask(Method::GET, &logs).send().await.unwrap();
    assert_eq!(whole.headers()["content-type"], "application/jsonl");
    assert_eq!(whole.headers()["cache-control"], "no-cache");
    let whole = whole.text().await.unwrap();
    let lines: Vec<_> = all.iter().map(Value::to_string).collect();
    assert_eq!(whole, lines.join("\n"));
    for (after, count) in [(0, 300), (1, 299), (299, 1), (300, 0), (4000, 0)] {
        let path = format!("{logs}?after={after}");
        let some = endpoint.ask(Method::GET, &path).send().await.unwrap();
        assert_eq!(some.headers()["x-last-seq"], "300");
        assert_eq!(some.headers()["x-sync-ids"], "log-sequence");
        assert_eq!(some.headers()["x-keepalive"], "15");
        let text = some.text().await.unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), lines[300 - count..]);
        assert!(text.is_empty() || text.ends_with('\n'));
    }
    let bad = endpoint
        .ask(Method::GET, &format!("{logs}?after=x"))
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), 400);
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let packed = plain
        .get(format!("{}{logs}?after=0", endpoint.url))
        .bearer_auth(TOKEN)
        .header("Accept-Encoding", "gzip");
    let packed = packed.send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().len() < whole.len() / 4);
    endpoint.stop().await;
}

#[tokio::test]
async fn a_signed_address_needs_no_token_and_is_good_only_as_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    endpoint.append(&at, TOKEN, &[said(1)]).await;
    let upload = json!({"artifacts": [{"name": "files/abc", "type": "artifact", "content": "fn b() {}\n", "content_type": "text/x-rust"}]});
    endpoint
        .post(&format!("{}/artifacts/", at.path()), upload)
        .await;
    let presign = format!("{}/artifacts/presign/", at.path());
    let signed = json_of(
        endpoint
            .post(&presign, json!({"storage_path": "files/abc"}))
            .await,
    )
    .await;
    assert_eq!(signed["expires_in"], 3600);
    let run = endpoint.get(&at.path()).await;
    let get = |url: String| {
        reqwest::Client::new()
            .get(url)
            .header("Origin", "http://anywhere.example.com")
            .send()
    };
    for (url, text) in [
        (run["log_url"].as_str().unwrap(), said(1).to_string()),
        (signed["url"].as_str().unwrap(), "fn b() {}\n".to_owned()),
    ] {
        let open = get(url.to_owned()).await.unwrap();
        assert_eq!(open.headers()["access-control-allow-origin"], "*");
        assert_eq!(open.text().await.unwrap(), text);
        let (path, query) = url.split_once('?').unwrap();
        let (expires, sig) = query.split_once('&').unwrap();
        let mut altered = url.to_owned();
        let last = altered.pop().unwrap();
        altered.push(if last == '0' { '1' } else { '0' });
        for bad in [
            altered,
            path.to_owned(),
            format!("{path}?{expires}"),
            format!("{path}?expires=1&{sig}"),
            format!("{path}?expires=99999999999&{sig}"),
            format!("{path}x?{query}"),
            format!("{path}?{expires}&sig=zz"),
        ] {
            let refused = get(bad.clone()).await.unwrap();
            assert!(refused.status() == 403 || refused.status() == 404, "{bad}");
            assert!(json_of(refused).await["detail"].is_string());
        }
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn a_blob_is_kept_only_if_it_is_what_its_name_says_and_read_only_by_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let bytes = b"hello, blob".to_vec();
    let hash = ContentHash::of(&bytes);
    let path = format!("{}/blobs/{hash}", at.path());
    let wrong = endpoint
        .ask(Method::PUT, &path)
        .body("other")
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 409);
    assert_eq!(
        endpoint
            .ask(Method::GET, &path)
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    let put = endpoint
        .ask(Method::PUT, &path)
        .body(bytes.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), 200);
    let head = endpoint.ask(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(
        (
            head.status().as_u16(),
            head.headers()["content-length"].to_str().unwrap()
        ),
        (200, "11")
    );
    let got = endpoint.ask(Method::GET, &path).send().await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), bytes);
    let part = endpoint
        .ask(Method::GET, &path)
        .header("Range", "bytes=7-")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], "bytes 7-10/11");
    assert_eq!(part.text().await.unwrap(), "blob");
    let outside = endpoint
        .ask(Method::GET, &path)
        .header("Range", "bytes=99-")
        .send()
        .await
        .unwrap();
    assert_eq!(outside.status(), 416);

    // The agent of another run sees it neither by name nor as "not missing".
    let other = endpoint.new_run(json!({})).await;
    let agent = endpoint.ground.store.new_run_token(&other).await.unwrap();
    let foreign = format!("{}/blobs/{hash}", other.path());
    let hidden = endpoint
        .bare(Method::GET, &foreign)
        .bearer_auth(&agent)
        .send()
        .await
        .unwrap();
    assert_eq!(hidden.status(), 404);
    let unknown = ContentHash::of(b"never seen");
    let missing = |token: &str| {
        endpoint
            .bare(Method::POST, &format!("{}/blobs/missing", other.path()))
            .bearer_auth(token)
            .json(&json!({"hashes": [hash, unknown]}))
            .send()
    };
    let answer = json_of(missing(&agent).await.unwrap()).await;
    assert_eq!(answer, json!({"missing": [hash, unknown]}));
    let pack = |token: &str| {
        endpoint
            .bare(Method::POST, &format!("{}/blobs/pack", other.path()))
            .bearer_auth(token)
            .json(&json!({"hashes": [unknown, hash, hash]}))
            .send()
    };
    let packed = pack(&agent).await.unwrap();
    assert_eq!(packed.status(), 200);
    assert_eq!(packed.bytes().await.unwrap().len(), 0);
    let packed = pack(TOKEN).await.unwrap().bytes().await.unwrap();
    let frame = [&hash.as_bytes()[..], &11_u32.to_be_bytes(), &bytes].concat();
    assert_eq!(packed, frame);
    // Its user has it in the first run, and so brings it to the second.
    let answer = json_of(missing(TOKEN).await.unwrap()).await;
    assert_eq!(answer, json!({"missing": [unknown]}));
    let shown = endpoint
        .bare(Method::GET, &foreign)
        .bearer_auth(&agent)
        .send()
        .await
        .unwrap();
    assert_eq!(shown.status(), 200);
    let many = vec![hash; 10_001];
    let refused = endpoint
        .post(
            &format!("{}/blobs/missing", at.path()),
            json!({"hashes": many}),
        )
        .await;
    assert_eq!(refused.status(), 400);
    let refused = endpoint
        .post(
            &format!("{}/blobs/pack", at.path()),
            json!({"hashes": many[..1_001]}),
        )
        .await;
    assert_eq!(refused.status(), 400);
    endpoint.stop().await;
}

#[tokio::test]
async fn a_manifest_is_taken_when_every_blob_is_here_and_seeds_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint
        .new_run(json!({"state": {"seed": "manifest"}}))
        .await;
    let hash = ContentHash::of(b"hello");
    let manifest = |path: &str| json!({"version": 1, "base_commit": null, "updated_at": "2026-01-19T12:00:00.000Z", "files": {path: {"hash": hash, "size": 5, "mode": "100755"}}, "deleted_files": [], "later": true});
    let path = format!("{}/file_manifest/", at.path());
    let put = |body: Value| endpoint.ask(Method::PUT, &path).json(&body).send();
    let early = put(manifest("a.sh")).await.unwrap();
    assert_eq!(early.status(), 409);
    assert_eq!(json_of(early).await["missing"], json!([hash]));
    let blob = format!("{}/blobs/{hash}", at.path());
    endpoint
        .ask(Method::PUT, &blob)
        .body("hello")
        .send()
        .await
        .unwrap();
    for hostile in ["../outside.txt", "/abs.txt", ".git/config"] {
        let refused = put(manifest(hostile)).await.unwrap();
        assert_eq!(refused.status(), 400);
        assert!(
            json_of(refused).await["error"]
                .as_str()
                .unwrap()
                .contains("cannot be in a manifest")
        );
    }
    let taken = put(manifest("a.sh")).await.unwrap();
    assert_eq!(taken.status(), 200);
    assert_eq!(json_of(taken).await, manifest("a.sh"));
    assert_eq!(endpoint.get(&path).await, manifest("a.sh"));
    let agent = endpoint.ground.store.new_run_token(&at).await.unwrap();
    let read = endpoint
        .bare(Method::GET, &blob)
        .bearer_auth(agent)
        .send()
        .await
        .unwrap();
    assert_eq!(read.text().await.unwrap(), "hello");
    assert_eq!(endpoint.lifecycle.heard().last(), Some(&Signal::Seeded));
    endpoint.stop().await;
}

/// One change as an agent side tells it.
fn told(kind: &str, path: &str, text: Option<&str>) -> Value {
    let mut params = json!({"type": kind, "relativePath": path});
    if let Some(text) = text {
        params["contentHash"] = json!(ContentHash::of(text.as_bytes()));
        params["size"] = json!(text.len());
        params["mode"] = json!("100644");
    }
    json!({"type": "notification", "timestamp": "2026-01-19T12:00:01.000Z", "notification": {"jsonrpc": "2.0", "method": "_posthog/file_sync", "params": params}})
}

#[tokio::test]
async fn an_ended_run_has_a_manifest_of_what_it_has_come_to_and_keeps_that_of_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint
        .new_run(json!({"state": {"seed": "manifest"}}))
        .await;
    let path = format!("{}/file_manifest/", at.path());
    let put = |text: &'static str| {
        let blob = format!("{}/blobs/{}", at.path(), ContentHash::of(text.as_bytes()));
        endpoint.ask(Method::PUT, &blob).body(text).send()
    };
    for text in ["kept", "gone", "new"] {
        assert_eq!(put(text).await.unwrap().status(), 200);
    }
    let entry = |text: &str| json!({"hash": ContentHash::of(text.as_bytes()), "size": text.len(), "mode": "100644"});
    let seed = json!({"version": 1, "base_commit": null, "updated_at": "2026-01-19T12:00:00.000Z", "files": {"kept": entry("kept"), "gone": entry("gone")}, "deleted_files": []});
    let seeding = endpoint.ask(Method::PUT, &path).json(&seed).send();
    assert_eq!(seeding.await.unwrap().status(), 200);
    let lines = [
        told("file_created", "dir/new", Some("new")),
        told("file_deleted", "gone", None),
        // Nobody has ever brought these bytes.
        told("file_created", "unfetchable", Some("never stored")),
    ];
    endpoint.append(&at, TOKEN, &lines).await;
    assert_eq!(endpoint.get(&path).await, seed, "before the end");
    let end = endpoint.ask(Method::PATCH, &format!("{}/", at.path()));
    let end = end.json(&json!({"status": "completed"})).send();
    assert_eq!(end.await.unwrap().status(), 200);
    let last = endpoint.get(&path).await;
    assert_eq!(
        last["files"],
        json!({"kept": entry("kept"), "dir/new": entry("new")})
    );
    assert_eq!(last["deleted_files"], json!(["gone"]));
    assert_ne!(last["updated_at"], seed["updated_at"]);
    assert_eq!(endpoint.get(&format!("{path}?of=seed")).await, seed);
    assert_eq!(endpoint.get(&format!("{path}?of=newest")).await, last);
    // A late line of the agent side, such as the scan after its crash, counts too.
    let late = [told("file_deleted", "kept", None)];
    endpoint.append(&at, TOKEN, &late).await;
    let later = endpoint.get(&path).await;
    assert_eq!(later["files"], json!({"dir/new": entry("new")}));
    // The seed once more, as a client repeats it whose answer was lost, is no news.
    let again = endpoint.ask(Method::PUT, &path).json(&seed).send();
    assert_eq!(again.await.unwrap().status(), 200);
    assert_eq!(endpoint.get(&path).await["files"], later["files"]);
    let odd = endpoint.ask(Method::GET, &format!("{path}?of=yesterday"));
    assert_eq!(odd.send().await.unwrap().status(), 400);
    endpoint.stop().await;
}
