//! Nobody comes in by any route without the right token, `Host` and `Origin`.

use std::time::Duration;

use ashore::backend::http::routes::{Door, To, doors};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Endpoint, SECRET, TOKEN, json_of};

/// What nobody may be let in with.
struct Attack {
    name: &'static str,
    headers: Vec<(&'static str, String)>,
    query: Option<String>,
    body: Option<String>,
    status: StatusCode,
}

impl Attack {
    fn with(name: &'static str, token: Option<&str>, status: StatusCode) -> Self {
        let token = token.map(|token| ("Authorization", format!("Bearer {token}")));
        Self {
            name,
            headers: token.into_iter().collect(),
            query: None,
            body: None,
            status,
        }
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Every kind of token there is, and to which run they belong.
struct Tokens {
    foreign: String,
    expired: String,
    revoked: String,
    agent: String,
    other_agent: String,
}

/// These read no body, so no body is too much for them.
const BODILESS: [&str; 2] = ["/run", "/heartbeat"];

/// All that is tried on one door.
fn attacks(door: &Door, tokens: &Tokens, port: u16) -> Vec<Attack> {
    let no = StatusCode::UNAUTHORIZED;
    let never = StatusCode::FORBIDDEN;
    let with = Attack::with;
    let mut all = vec![
        with("no token", None, no),
        with("a wrong token", Some("wrong"), no),
        with("an expired token", Some(&tokens.expired), no),
        with("a revoked token", Some(&tokens.revoked), no),
        with("an empty token", Some(""), no),
        with(
            "a token with more behind it",
            Some(&format!("{TOKEN}x")),
            no,
        ),
        with(
            "the agent's token of another run",
            Some(&tokens.other_agent),
            never,
        ),
        with("a web page", Some(TOKEN), never).header("Origin", "http://evil.example.com"),
        with("a web page without a name", Some(TOKEN), never).header("Origin", "null"),
        with("a web page on another port", Some(TOKEN), never)
            .header("Origin", "http://127.0.0.1:1"),
        with("a rebound name", Some(TOKEN), never).header("Host", "evil.example.com"),
        with("a name that begins well", Some(TOKEN), never)
            .header("Host", "127.0.0.1.evil.example.com"),
        with("every address", Some(TOKEN), never).header("Host", format!("0.0.0.0:{port}")),
        with("a proxy's word", Some("wrong"), no)
            .header("X-Forwarded-For", "127.0.0.1")
            .header("X-Forwarded-Host", "localhost"),
        with("a cookie", None, no).header("Cookie", format!("token={TOKEN}; session={TOKEN}")),
        with("another scheme", None, no).header("Authorization", format!("Basic {TOKEN}")),
        with("a header of its own", None, no).header("X-Api-Key", TOKEN),
        Attack {
            query: Some(format!(
                "token={TOKEN}&access_token={TOKEN}&authorization=Bearer%20{TOKEN}"
            )),
            ..with("a token in the address", None, no)
        },
    ];
    if door.to != To::User {
        all.push(with(
            "another user",
            Some(&tokens.foreign),
            StatusCode::NOT_FOUND,
        ));
        all.push(
            with(
                "another user at a place of ours",
                Some(&tokens.foreign),
                StatusCode::NOT_FOUND,
            )
            .header("Last-Event-ID", "0"),
        );
    }
    if door.to != To::Run {
        all.push(with(
            "an agent in its user's role",
            Some(&tokens.agent),
            never,
        ));
    }
    if matches!(door.method, Method::POST | Method::PUT | Method::PATCH) {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded; charset=utf-8",
            "multipart/form-data; boundary=x",
        ] {
            let page = with(
                "what a page may send unasked",
                Some(TOKEN),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            );
            all.push(Attack {
                body: Some("{}".into()),
                ..page.header("Content-Type", kind)
            });
        }
        if !BODILESS.iter().any(|end| door.path.ends_with(end)) {
            let status = match door.path.rsplit("{run}").next() {
                // Where whole files are taken it is no JSON, or not the content of that name.
                Some("/artifacts" | "/file_manifest") => StatusCode::BAD_REQUEST,
                Some("/blobs/{hash}") => StatusCode::CONFLICT,
                _ => StatusCode::PAYLOAD_TOO_LARGE,
            };
            let body = Some("x".repeat((1 << 20) + 1));
            all.push(Attack {
                body,
                ..with("too much", Some(TOKEN), status)
            });
        }
    }
    all
}

/// One attack on one door; gives what it was answered.
async fn strikes(endpoint: &Endpoint, method: &Method, path: &str, attack: &Attack) -> String {
    let address = match &attack.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut request = endpoint.bare(method.clone(), &address);
    for (name, value) in &attack.headers {
        request = request.header(*name, value);
    }
    if let Some(body) = &attack.body {
        request = request.body(body.clone());
    }
    let case = format!("{method} {path}: {}", attack.name);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), attack.status, "{case}");
    assert_eq!(response.headers()["x-ashore-wire"], "1", "{case}");
    let told = format!("{:?}", response.headers());
    let text = response.text().await.unwrap();
    if method != Method::HEAD {
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{case}: {text}"));
        let sentence = body["detail"].as_str().or(body["error"].as_str());
        assert!(
            sentence.is_some_and(|text| text.len() > 5),
            "{case}: {body}"
        );
    }
    told + &text
}

#[tokio::test]
async fn every_door_refuses_every_attack_and_no_token_is_left_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let other = endpoint.new_run(json!({})).await;
    let store = &endpoint.ground.store;
    let stranger = store.new_user("stranger", "").await.unwrap();
    let past = jiff::Timestamp::now() - Duration::from_secs(1);
    let tokens = Tokens {
        foreign: store.new_user_token(stranger, "s", None).await.unwrap(),
        expired: store.new_user_token(1, "old", Some(past)).await.unwrap(),
        // A newer one takes its place.
        revoked: store.new_run_token(&at).await.unwrap(),
        agent: store.new_run_token(&at).await.unwrap(),
        other_agent: store.new_run_token(&other).await.unwrap(),
    };
    let port = endpoint.url.rsplit(':').next().unwrap().parse().unwrap();
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let lives = |path: &str| {
        path.replace("{project}", "1")
            .replace("{task}", at.task.as_str())
            .replace("{run}", at.run.as_str())
            .replace("{hash}", hash)
    };
    let mut answers = String::new();
    let mut struck = 0;
    let all = doors();
    for door in all.iter().filter(|door| door.to != To::Near) {
        let methods = match door.method {
            // Who may GET may HEAD.
            Method::GET => vec![Method::GET, Method::HEAD],
            _ => vec![door.method.clone()],
        };
        for attack in attacks(door, &tokens, port) {
            for method in &methods {
                for slash in ["", "/"] {
                    let path = lives(&door.path) + slash;
                    answers += &strikes(&endpoint, method, &path, &attack).await;
                    struck += 1;
                }
            }
        }
        // The user's own token at another task's run, and with a method that nobody wrote down.
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ] {
            let taken = all
                .iter()
                .any(|one| one.path == door.path && one.method == method);
            let (path, status) = if taken && door.path.contains("{run}") {
                let wrong = door.path.replace("{task}", other.task.as_str());
                (lives(&wrong), StatusCode::NOT_FOUND)
            } else if taken {
                continue;
            } else {
                (lives(&door.path), StatusCode::METHOD_NOT_ALLOWED)
            };
            let confused = Attack::with("confusion", Some(TOKEN), status)
                .header("X-HTTP-Method-Override", door.method.as_str());
            answers += &strikes(&endpoint, &method, &path, &confused).await;
            struck += 1;
        }
    }
    println!("{struck} attacks on {} doors", all.len());
    assert!(struck > 12 * all.len());
    // Nothing was done.
    assert_eq!(endpoint.lines(&at).await, Vec::<Value>::new());
    let run = endpoint.get(&at.path()).await;
    assert_eq!(run["status"], "not_started", "{run}");
    let url = endpoint.url.clone();
    endpoint.stop().await;
    let kept = everything(folder.path());
    for token in [
        TOKEN,
        &tokens.foreign,
        &tokens.expired,
        &tokens.revoked,
        &tokens.agent,
        &tokens.other_agent,
    ] {
        assert!(!answers.contains(token), "an answer holds a token");
        let found: Vec<_> = kept
            .iter()
            .filter(|(_, bytes)| holds(bytes, token))
            .map(|(path, _)| path)
            .collect();
        assert!(found.is_empty(), "{url}: a token lies in {found:?}");
    }
}

/// Every file below, with its bytes.
fn everything(below: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = crate::quality::paths::tree(below).into_iter();
    files.collect()
}

fn holds(bytes: &[u8], token: &str) -> bool {
    bytes
        .windows(token.len())
        .any(|window| window == token.as_bytes())
}

#[tokio::test]
async fn a_number_a_content_and_a_manifest_of_another_run_open_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let (mine, theirs) = (
        endpoint.new_run(json!({})).await,
        endpoint.new_run(json!({})).await,
    );
    let store = &endpoint.ground.store;
    let (my_agent, their_agent) = (
        store.new_run_token(&mine).await.unwrap(),
        store.new_run_token(&theirs).await.unwrap(),
    );
    endpoint
        .append(
            &theirs,
            &their_agent,
            &[super::said(1), super::said(2), super::said(3)],
        )
        .await;
    endpoint.append(&mine, &my_agent, &[super::said(7)]).await;
    // Their numbers are asked for on our stream: only our own line comes, or nothing.
    for (last, want) in [("0", Some(1)), ("2", None), ("3", None)] {
        let path = format!("{}/logs?after={last}", mine.path());
        let answer = endpoint
            .bare(Method::GET, &path)
            .bearer_auth(&my_agent)
            .header("Last-Event-ID", last);
        let text = answer.send().await.unwrap().text().await.unwrap();
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["notification"]["params"]["n"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(
            numbers,
            want.map(|_| 7).into_iter().collect::<Vec<u64>>(),
            "after {last}"
        );
    }
    let secret = b"their content";
    let hash = ashore::protocol::hash::ContentHash::of(secret);
    let put = endpoint.bare(Method::PUT, &format!("{}/blobs/{hash}", theirs.path()));
    assert_eq!(
        put.bearer_auth(&their_agent)
            .body(secret.to_vec())
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let missing = endpoint
        .bare(Method::POST, &format!("{}/blobs/missing", mine.path()))
        .bearer_auth(&my_agent);
    let missing = json_of(
        missing
            .json(&json!({"hashes": [hash]}))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        missing["missing"],
        json!([hash]),
        "an agent learns nothing of another run's contents"
    );
    for (path, status) in [
        (format!("{}/blobs/{hash}", mine.path()), 404),
        (format!("{}/blobs/{hash}", theirs.path()), 403),
        (format!("{}/file_manifest/", theirs.path()), 403),
        (format!("{}/sync", theirs.path()), 403),
        (
            format!(
                "/objects/blobs/{}/{hash}?expires=99999999999&sig=00",
                theirs.run
            ),
            403,
        ),
        (format!("/objects/logs/{}/log.jsonl", theirs.run), 403),
    ] {
        let answer = endpoint
            .bare(Method::GET, &path)
            .bearer_auth(&my_agent)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert!(
            !answer.text().await.unwrap().contains("their content"),
            "{path}"
        );
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn the_own_origin_and_the_public_name_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let own = endpoint.url.clone();
    let me = endpoint
        .ask(Method::GET, "/api/users/@me")
        .header("Origin", own);
    assert_eq!(me.send().await.unwrap().status(), 200);
    let at = endpoint.new_run(json!({})).await;
    let public = endpoint
        .ask(Method::GET, &at.path())
        .header("Host", "ash.example.com")
        .header("Origin", "https://ash.example.com");
    let run = json_of(public.send().await.unwrap()).await;
    let log = run["log_url"].as_str().unwrap();
    assert!(log.starts_with("https://ash.example.com/objects/"), "{log}");
    endpoint.stop().await;
}

#[tokio::test]
async fn health_proves_the_secret_and_needs_no_token_on_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    for path in ["/health", "/health/", "/ready", "/metrics"] {
        let open = endpoint.bare(Method::GET, path).send().await.unwrap();
        assert_eq!(open.status(), 200, "{path}");
        for (name, value, status) in [
            ("Host", "evil.example.com", 403),
            ("Host", "ash.example.com", 401),
            ("Origin", "http://evil.example.com", 403),
        ] {
            let refused = endpoint.bare(Method::GET, path).header(name, value);
            assert_eq!(
                refused.send().await.unwrap().status(),
                status,
                "{path} {value}"
            );
        }
    }
    let health = endpoint.bare(Method::GET, "/health?nonce=n-1").send().await;
    let health = json_of(health.unwrap()).await;
    let proof = ashore_proof(SECRET, "n-1");
    assert_eq!(health["proof"], Value::String(proof));
    assert_eq!(health["status"], "ok");
    let metrics = endpoint.bare(Method::GET, "/metrics").send().await.unwrap();
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("ashore_requests_total ")
    );
    endpoint.stop().await;
}

fn ashore_proof(secret: &str, nonce: &str) -> String {
    use hmac::Mac;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(nonce.as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_agent_may_use_its_own_run_and_nothing_of_a_clients_part() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint
        .new_run(json!({"state": {"permissions": "ask"}}))
        .await;
    let agent = endpoint.ground.store.new_run_token(&at).await.unwrap();
    let forged = json!({"type": "client_message", "message": {"method": "_posthog/user_message", "params": {"content": "x"}}});
    let refused = endpoint
        .append(&at, &agent, &[super::said(1), forged])
        .await;
    assert_eq!(refused.status(), 403);
    assert_eq!(endpoint.lines(&at).await.len(), 0);
    let ask = json!({"type": "notification", "notification": {"method": "_posthog/permission_request", "params": {"requestId": "q", "toolCallId": "t"}}});
    let answer = json!({"type": "notification", "notification": {"method": "_posthog/permission_response", "params": {"requestId": "q", "toolCallId": "t", "optionId": "allow"}}});
    assert_eq!(
        endpoint.append(&at, &agent, &[ask, answer]).await.status(),
        200
    );
    assert_eq!(endpoint.lines(&at).await.len(), 1);
    let beat = endpoint
        .bare(Method::POST, &format!("{}/heartbeat", at.path()))
        .bearer_auth(&agent);
    assert_eq!(
        json_of(beat.send().await.unwrap()).await,
        json!({"status": "ok"})
    );
    endpoint.stop().await;
}

#[tokio::test]
async fn a_second_endpoint_on_the_same_store_and_an_exposed_one_without_a_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let why = |listen: &str| {
        let settings = super::settings(folder.path().to_owned(), true, listen);
        async move {
            let driver = Box::new(|_, _| unreachable!("nothing is bound"));
            ashore::backend::serve::bind(&settings, driver)
                .await
                .err()
                .unwrap()
                .to_string()
        }
    };
    assert!(
        why("127.0.0.1:0")
            .await
            .contains("another endpoint is already using the store")
    );
    endpoint.stop().await;
    let mut open = super::settings(folder.path().to_owned(), true, "0.0.0.0:0");
    open.public_urls.clear();
    let driver = Box::new(|_, _| unreachable!("nothing is bound"));
    let refused = ashore::backend::serve::bind(&open, driver)
        .await
        .err()
        .unwrap();
    assert!(refused.to_string().contains("--public-url"));
}
