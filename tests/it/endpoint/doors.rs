//! Nobody comes in by any route without the right token, `Host` and `Origin`.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Endpoint, SECRET, TOKEN, json_of};

/// Who may use a route, by its path below the run (or whole).
struct Route {
    method: Method,
    path: String,
    /// The run's own agent token opens it.
    agent: bool,
    /// Below a task or run, so that another user must not see it.
    owned: bool,
}

fn routes(run: &str, task: &str) -> Vec<Route> {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let route = |method: &str, path: String, agent, owned| Route {
        method: method.parse().unwrap(),
        path,
        agent,
        owned,
    };
    let mut all = vec![
        route("GET", "/api/users/@me/".into(), false, false),
        route("GET", "/api/projects/1/tasks/".into(), false, false),
        route("POST", "/api/projects/1/tasks/".into(), false, false),
    ];
    for (method, path) in [
        ("GET", ""),
        ("PATCH", ""),
        ("GET", "/runs"),
        ("POST", "/runs"),
        ("POST", "/run"),
        ("DELETE", ""),
    ] {
        all.push(route(method, format!("{task}{path}/"), false, true));
    }
    for (method, path, agent) in [
        ("GET", "/", true),
        ("PATCH", "/", false),
        ("PATCH", "/set_output/", false),
        ("GET", "/sync", true),
        ("GET", "/sync?view=journal", true),
        ("GET", "/sync?view=commands", true),
        ("POST", "/sync", false),
        ("POST", "/append_log", true),
        ("POST", "/append_log/", true),
        ("GET", "/logs", true),
        ("GET", "/logs?after=0", true),
        ("POST", "/artifacts/", false),
        ("POST", "/artifacts/presign/", false),
        ("POST", "/artifacts/download/", false),
        ("GET", "/file_manifest/", true),
        ("PUT", "/file_manifest/", false),
        ("POST", "/heartbeat", true),
        ("PUT", "/secrets", false),
        ("POST", "/blobs/missing", true),
        ("DELETE", "/", false),
    ] {
        all.push(route(method, format!("{run}{path}"), agent, true));
    }
    for method in ["HEAD", "GET", "PUT"] {
        all.push(route(method, format!("{run}/blobs/{hash}"), true, true));
    }
    all
}

#[tokio::test]
async fn every_route_refuses_no_wrong_foreign_and_expired_tokens_foreign_origins_and_rebound_hosts()
{
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let other = endpoint.new_run(json!({})).await;
    let store = &endpoint.ground.store;
    let stranger = store.new_user("stranger", "").await.unwrap();
    let foreign = store.new_user_token(stranger, "s", None).await.unwrap();
    let past = jiff::Timestamp::now() - Duration::from_secs(1);
    let expired = store.new_user_token(1, "old", Some(past)).await.unwrap();
    let revoked = store.new_run_token(&at).await.unwrap();
    let agent = store.new_run_token(&at).await.unwrap();
    let other_agent = store.new_run_token(&other).await.unwrap();
    let task = format!("/api/projects/1/tasks/{}", at.task);

    for Route {
        method,
        path,
        agent: for_agent,
        owned,
    } in routes(&at.path(), &task)
    {
        let ask = |token: Option<&str>, header: Option<(&'static str, &'static str)>| {
            let mut request = endpoint.bare(method.clone(), &path);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some((name, value)) = header {
                request = request.header(name, value);
            }
            let case = format!("{method} {path} {token:?} {header:?}");
            async move {
                let response = request.send().await.unwrap();
                let status = response.status();
                assert_eq!(response.headers()["x-ashore-wire"], "1", "{case}");
                if case.starts_with("HEAD") {
                    return (status, case);
                }
                let body = json_of(response).await;
                let sentence = body["detail"].as_str().or(body["error"].as_str());
                assert!(
                    sentence.is_some_and(|text| text.len() > 5),
                    "{case}: {body}"
                );
                (status, case)
            }
        };
        for token in [
            None,
            Some("wrong"),
            Some(expired.as_str()),
            Some(revoked.as_str()),
        ] {
            let (status, case) = ask(token, None).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{case}");
        }
        if owned {
            let (status, case) = ask(Some(&foreign), None).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{case}");
        }
        let (status, case) = ask(Some(&other_agent), None).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{case}");
        if !for_agent {
            let (status, case) = ask(Some(&agent), None).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{case}");
        }
        for header in [
            ("Origin", "http://evil.example.com"),
            ("Origin", "null"),
            ("Host", "evil.example.com"),
            ("Host", "127.0.0.1.evil.example.com"),
        ] {
            let (status, case) = ask(Some(TOKEN), Some(header)).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{case}");
        }
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
