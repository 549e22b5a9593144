//! Tasks and runs over REST, against the sample answers of the contract.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Endpoint, TOKEN, json_of, said};

fn samples() -> Value {
    serde_json::from_str(include_str!("rest-examples.json")).unwrap()
}

/// The same keys in the same order, and the same kinds of values where the sample has one.
fn assert_shape(name: &str, real: &Value, sample: &Value) {
    let (real, sample) = (real.as_object().unwrap(), sample.as_object().unwrap());
    for (key, wanted) in sample {
        let value = real.get(key).unwrap_or_else(|| panic!("{name}: no {key}"));
        let same = std::mem::discriminant(value) == std::mem::discriminant(wanted);
        assert!(
            same || wanted.is_null() || value.is_null(),
            "{name}.{key}: {value} is not like {wanted}"
        );
    }
}

#[tokio::test]
async fn the_answers_have_the_shapes_of_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let samples = samples();
    assert_shape(
        "me",
        &endpoint.get("/api/users/@me/").await,
        &samples["me"]["body"],
    );

    let create = &samples["task_create"];
    let made = endpoint
        .post("/api/projects/1/tasks/", create["request"]["body"].clone())
        .await;
    assert_eq!(made.status(), 201);
    let task = json_of(made).await;
    assert_shape("task", &task, &create["body"]);
    for key in [
        "title",
        "description",
        "repository",
        "origin_product",
        "latest_run",
    ] {
        assert_eq!(task[key], create["body"][key], "{key}");
    }
    let task = format!("/api/projects/1/tasks/{}", task["id"].as_str().unwrap());

    let create = &samples["run_create"];
    let made = endpoint
        .post(&format!("{task}/runs/"), create["request"]["body"].clone())
        .await;
    assert_eq!(made.status(), 201);
    let run = json_of(made).await;
    assert_shape("run", &run, &create["body"]);
    for key in [
        "stage",
        "branch",
        "status",
        "environment",
        "error_message",
        "output",
        "state",
        "artifacts",
        "completed_at",
    ] {
        assert_eq!(run[key], create["body"][key], "{key}");
    }
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&run), keys(&create["body"]));
    let at = format!("{task}/runs/{}", run["id"].as_str().unwrap());

    let list = endpoint.get("/api/projects/1/tasks/?limit=500").await;
    assert_shape("list", &list, &samples["task_list_page"]["body"]);
    assert_eq!(list["results"][0]["latest_run"]["id"], run["id"]);

    let patched = endpoint
        .ask(Method::PATCH, &format!("{at}/"))
        .json(&samples["run_patch"]["request"]["body"]);
    let patched = json_of(patched.send().await.unwrap()).await;
    assert_eq!(
        patched["output"],
        samples["run_patch"]["request"]["body"]["output"]
    );
    let set = endpoint
        .ask(Method::PATCH, &format!("{at}/set_output/"))
        .json(&json!({"output": {"head_branch": "b"}}));
    let set = json_of(set.send().await.unwrap()).await;
    assert_eq!(
        set["output"]["pr_url"],
        samples["set_output"]["request"]["body"]["output"]["pr_url"]
    );
    assert_eq!(set["output"]["head_branch"], "b");
    // The reference takes a missing key for an empty object, and ours merges.
    for (body, status) in [
        (json!({}), 200),
        (json!({"output": [1]}), 400),
        (json!({"output": null}), 400),
    ] {
        let answer = endpoint
            .ask(Method::PATCH, &format!("{at}/set_output/"))
            .json(&body);
        assert_eq!(answer.send().await.unwrap().status(), status, "{body}");
    }
    assert_eq!(endpoint.get(&at).await["output"], set["output"]);

    let appended = endpoint
        .post(
            &format!("{at}/append_log"),
            samples["append_log"]["request"]["body"].clone(),
        )
        .await;
    assert_eq!(json_of(appended).await["id"], run["id"]);
    let none = endpoint
        .ask(Method::GET, &format!("{at}/file_manifest/"))
        .send()
        .await
        .unwrap();
    assert_eq!(none.status(), 204);
    let beat = endpoint.post(&format!("{at}/heartbeat"), json!({})).await;
    assert_eq!(json_of(beat).await, samples["heartbeat_ok"]["body"]);

    let sent = &samples["artifacts_upload_reference"]["request"]["body"];
    let uploaded = json_of(
        endpoint
            .post(&format!("{at}/artifacts/"), sent.clone())
            .await,
    )
    .await;
    let ours = &samples["artifacts_upload_ours"]["body"]["artifacts"][0];
    assert_eq!(uploaded["artifacts"].as_array().unwrap().len(), 1);
    assert_shape("artifact", &uploaded["artifacts"][0], ours);
    assert_eq!(uploaded["artifacts"][0]["size"], ours["size"]);
    let missing = endpoint
        .post(
            &format!("{at}/artifacts/presign/"),
            json!({"storage_path": "x"}),
        )
        .await;
    assert_eq!(missing.status(), 404);
    assert_eq!(json_of(missing).await, samples["presign_missing"]["body"]);
    let refused = endpoint.bare(Method::GET, &at).send().await.unwrap();
    assert_shape(
        "401",
        &json_of(refused).await,
        &samples["error_framework"]["body"],
    );
    endpoint.stop().await;
}

#[tokio::test]
async fn both_slash_forms_are_served_and_never_redirected() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let task = format!("/api/projects/1/tasks/{}", at.task);
    for path in [
        "/api/users/@me".to_owned(),
        "/api/projects/1/tasks".to_owned(),
        task.clone(),
        format!("{task}/runs"),
        at.path(),
        format!("{}/logs", at.path()),
    ] {
        for slash in ["", "/"] {
            let answer = endpoint
                .ask(Method::GET, &format!("{path}{slash}"))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200, "{path}{slash}");
        }
    }
    for path in [
        "sync",
        "sync/",
        "append_log",
        "append_log/",
        "set_output",
        "set_output/",
    ] {
        let answer = endpoint
            .ask(Method::DELETE, &format!("{}/{path}", at.path()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        assert_eq!(json_of(answer).await["code"], "method_not_allowed");
    }
    let nowhere = endpoint
        .ask(Method::GET, "/api/nowhere")
        .send()
        .await
        .unwrap();
    assert_eq!(nowhere.status(), 404);
    assert!(json_of(nowhere).await["detail"].is_string());
    endpoint.stop().await;
}

#[tokio::test]
async fn a_repeated_create_makes_one_task_and_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let key = uuid::Uuid::new_v4().to_string();
    let create = |path: String, body: Value| {
        let request = endpoint
            .ask(Method::POST, &path)
            .header("Idempotency-Key", &key);
        async move {
            let answer = request.json(&body).send().await.unwrap();
            assert_eq!(answer.status(), 201);
            json_of(answer).await["id"].as_str().unwrap().to_owned()
        }
    };
    let tasks = "/api/projects/1/tasks/".to_owned();
    let body = json!({"description": ""});
    let (first, second) = tokio::join!(
        create(tasks.clone(), body.clone()),
        create(tasks.clone(), body)
    );
    assert_eq!(first, second);
    let runs = format!("{tasks}{first}/runs/");
    let body = json!({"environment": "cloud"});
    let (one, two) = tokio::join!(
        create(runs.clone(), body.clone()),
        create(runs.clone(), body)
    );
    assert_eq!(one, two);
    assert_eq!(endpoint.get(&runs).await["count"], 1);
    // A task without words takes its title from the first message.
    let message = super::message("m1", "Make it fast\nplease");
    endpoint.post(&format!("{runs}{one}/sync"), message).await;
    let task = endpoint.get(&format!("{tasks}{first}")).await;
    assert_eq!(task["title"], "Make it fast");
    endpoint.stop().await;
}

#[tokio::test]
async fn only_the_local_endpoint_takes_a_directory_or_a_command() {
    let folder = tempfile::tempdir().unwrap();
    for (local, expected) in [(true, 201), (false, 403)] {
        let endpoint = Endpoint::start_as(folder.path().join(local.to_string()), local).await;
        let at = endpoint.new_run(json!({})).await;
        let runs = format!("/api/projects/1/tasks/{}/runs/", at.task);
        for body in [
            json!({"environment": "local", "state": {"directory": "/w"}}),
            json!({"state": {"agent_command": "x --acp"}}),
        ] {
            assert_eq!(endpoint.post(&runs, body).await.status(), expected);
        }
        if local {
            for body in [
                json!({"environment": "local", "state": {"directory": "w"}}),
                json!({"environment": "cloud", "state": {"directory": "/w"}}),
                json!({"environment": "orbit"}),
                json!({"secrets": {"A": 1}}),
                json!({"state": {"permissions": "maybe"}}),
            ] {
                assert_eq!(
                    endpoint.post(&runs, body.clone()).await.status(),
                    400,
                    "{body}"
                );
            }
        }
        endpoint.stop().await;
    }
}

#[tokio::test]
async fn secrets_are_kept_for_the_run_and_shown_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint
        .new_run(json!({"secrets": {"KEY": "hidden-1"}}))
        .await;
    let store = &endpoint.ground.store;
    assert_eq!(store.secrets(&at.run).await.unwrap()["KEY"], "hidden-1");
    let put = endpoint
        .ask(Method::PUT, &format!("{}/secrets", at.path()))
        .json(&json!({"KEY": "hidden-2"}));
    assert_eq!(put.send().await.unwrap().status(), 200);
    assert_eq!(store.secrets(&at.run).await.unwrap()["KEY"], "hidden-2");
    let mode = std::fs::metadata(store.secrets_path(&at.run)).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
    endpoint.append(&at, TOKEN, &[said(1)]).await;
    let run = endpoint.get(&at.path()).await.to_string();
    let lines = format!("{:?}", endpoint.lines(&at).await);
    assert!(!run.contains("hidden") && !lines.contains("hidden"));
    endpoint.stop().await;
}

#[tokio::test]
async fn lists_are_paged_and_a_deleted_task_is_no_longer_found() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let tasks = "/api/projects/1/tasks";
    let mut ids = Vec::new();
    for n in 0..5 {
        let body = json!({"description": format!("task {n}"), "repository": if n < 3 { "Acme/Widgets" } else { "other/thing" }});
        ids.push(json_of(endpoint.post(tasks, body).await).await["id"].clone());
    }
    let mut found = Vec::new();
    let mut next = Some(format!("{tasks}/?limit=2&repository=acme%2Fwidgets"));
    while let Some(path) = next {
        let page = endpoint.get(&path).await;
        assert_eq!(page["count"], 3);
        found.extend(
            page["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|task| task["id"].clone()),
        );
        next = page["next"]
            .as_str()
            .map(|url| url.strip_prefix(&endpoint.url).unwrap().to_owned());
    }
    assert_eq!(found, [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
    let one = format!("{tasks}/{}", ids[0].as_str().unwrap());
    let gone = endpoint.ask(Method::DELETE, &one).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(
        endpoint
            .ask(Method::GET, &one)
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(
        endpoint.get(&format!("{tasks}?organization=acme")).await["count"],
        2
    );
    for bad in [
        json!({}),
        json!({"description": 3}),
        json!({"description": "x", "repository": "x"}),
    ] {
        assert_eq!(endpoint.post(tasks, bad).await.status(), 400);
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn a_run_names_the_agent_that_has_started_beside_the_one_that_was_wished() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint
        .new_run(json!({"state": {"agent": "claude"}}))
        .await;
    let step = |status: &str, detail: &str| json!({"type": "notification", "notification": {"jsonrpc": "2.0", "method": "_ashore/step", "params": {"step": "agent", "status": status, "detail": detail}}});
    let path = format!("{}/", at.path());
    endpoint
        .append(
            &at,
            TOKEN,
            &[step("started", "claude"), step("failed", "claude asks")],
        )
        .await;
    let before = endpoint.get(&path).await;
    assert_eq!(before["state"]["agent_running"], Value::Null);
    endpoint
        .append(&at, TOKEN, &[said(1), step("done", "demo 0.1.0"), said(2)])
        .await;
    let after = endpoint.get(&path).await;
    assert_eq!(after["state"]["agent_running"], "demo");
    assert_eq!(after["state"]["agent"], "claude");
    endpoint.stop().await;
}

#[tokio::test]
async fn a_list_of_runs_tells_how_each_stands_and_a_run_alone_is_answered_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(&folder).await;
    let at = endpoint.new_run(json!({})).await;
    let runs = format!("/api/projects/1/tasks/{}/runs/", at.task);
    let standing = |list: Value| list["results"][0]["standing"].clone();
    let none = json!({"working": false, "questions": 0, "turns": 0, "files": 0, "clients": 0});
    assert_eq!(standing(endpoint.get(&runs).await), none);
    let line = |notification: Value| json!({"type": "notification", "timestamp": "2026-01-19T12:00:00.900Z", "notification": notification});
    let lines = [
        line(json!({"id": 1, "method": "session/prompt", "params": {}})),
        line(
            json!({"method": "_posthog/permission_request", "params": {"requestId": "p1", "toolCallId": "t"}}),
        ),
    ];
    endpoint.append(&at, TOKEN, &lines).await;
    let there = json!({"jsonrpc": "2.0", "id": "p", "method": "_ashore/presence", "params": {"attached": true, "readOnly": false}});
    endpoint.post(&format!("{}/sync", at.path()), there).await;
    let asking = json!({"working": true, "questions": 1, "turns": 1, "files": 0, "clients": 1});
    assert_eq!(standing(endpoint.get(&runs).await), asking);
    let alone = endpoint.get(&format!("{}/", at.path())).await;
    assert_eq!(alone.get("standing"), None);
    endpoint.stop().await;
}
