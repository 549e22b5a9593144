//! How a local endpoint and its agent servers end, by the real program: told to, by an upgrade, or for want of work.

use std::process::Stdio;

use serde_json::Value;

use crate::support::home::{Home, until};
use crate::support::processes;
use crate::support::serve::Serve;

/// The endpoint's state file.
fn state(home: &Home) -> Value {
    let text = std::fs::read(home.state().join("endpoint/endpoint.json")).expect("the state file");
    serde_json::from_slice(&text).expect("JSON")
}

fn endpoint(home: &Home) -> u64 {
    state(home)["pid"].as_u64().expect("a pid")
}

fn agents(home: &Home) -> Vec<i32> {
    processes::agents(&home.home())
}

/// A run whose turn goes on for minutes, and its only agent server.
pub(crate) fn at_work(home: &Home) -> (String, i32) {
    let done = home
        .run(&[
            "run", "/hang", "--agent", "demo", "--detach", "--format", "json",
        ])
        .exits(0);
    let run = done.lines()[0]["run"]
        .as_str()
        .expect("the run's id")
        .to_owned();
    until("the turn begins", || {
        let events = home.run(&["events", &run, "--format", "ndjson"]).exits(0);
        events.stdout().contains("\"session/prompt\"").then_some(())
    });
    let all = agents(home);
    assert_eq!(all.len(), 1, "{all:?}");
    (run, all[0])
}

#[test]
fn stopping_the_endpoint_ends_its_agents_and_names_the_turn_it_interrupts() {
    let home = Home::new();
    let (run, _) = at_work(&home);
    let said = home.run(&["endpoint", "stop"]).exits(0);
    assert!(said.stderr().contains(&run[..8]), "{}", said.stderr());
    assert!(said.stderr().contains("/hang"), "{}", said.stderr());
    assert_eq!(agents(&home), [0; 0]);
    // The turn was closed by the agent server itself, while the endpoint still listened.
    let events = home.run(&["events", &run, "--format", "ndjson"]).exits(0);
    assert!(
        events.stdout().contains("\"stopReason\":\"cancelled\""),
        "{}",
        events.stdout()
    );
}

#[test]
fn an_endpoint_that_keeps_its_agents_is_followed_by_one_that_takes_them_up() {
    let home = Home::new();
    let (run, agent) = at_work(&home);
    let before = endpoint(&home);
    let said = home
        .run(&["endpoint", "stop", "--keep", "--format", "json"])
        .exits(0);
    assert_eq!(said.lines()[0]["working"][0]["run"], run.as_str());
    assert_eq!(agents(&home), [agent]);
    let status = home.run(&["status", &run, "--json"]).exits(0);
    assert_eq!(status.lines()[0]["turn"], "working");
    assert_ne!(endpoint(&home), before);
    assert_eq!(agents(&home), [agent]);
    home.run(&["cancel", &run]).exits(0);
    home.run(&["wait", &run, "--for", "idle", "--timeout", "60s"])
        .exits(0);
    assert_eq!(agents(&home), [agent]);
}

#[test]
fn agents_that_a_gone_endpoint_has_left_end_too() {
    let home = Home::new();
    let (_, agent) = at_work(&home);
    home.run(&["endpoint", "stop", "--keep"]).exits(0);
    assert_eq!(agents(&home), [agent]);
    let said = home.run(&["endpoint", "stop", "--json"]).exits(0);
    assert_eq!(said.lines()[0]["stopped"], false);
    assert_eq!(said.lines()[0]["left"], 1);
    assert_eq!(agents(&home), [0; 0]);
}

/// As if an older program had written it.
pub(crate) fn grow_old(home: &Home) {
    let mut state = state(home);
    state["version"] = "0.0.1".into();
    #[expect(
        clippy::disallowed_methods,
        reason = "the place of the older program, in a test"
    )]
    std::fs::write(
        home.state().join("endpoint/endpoint.json"),
        state.to_string(),
    )
    .expect("can be written");
}

#[test]
fn an_older_endpoint_is_replaced_between_turns_and_left_alone_during_one() {
    let home = Home::new();
    let (run, agent) = at_work(&home);
    let old = endpoint(&home);
    grow_old(&home);
    let said = home.run(&["ls"]).exits(0);
    assert!(said.stderr().contains("0.0.1"), "{}", said.stderr());
    assert_eq!(endpoint(&home), old);
    home.run(&["cancel", &run]).exits(0);
    home.run(&["wait", &run, "--for", "idle", "--timeout", "60s"])
        .exits(0);
    let said = home.run(&["ls"]).exits(0);
    assert_eq!(said.stderr(), "");
    assert_ne!(endpoint(&home), old);
    assert_eq!(state(&home)["version"], env!("CARGO_PKG_VERSION"));
    // An upgrade keeps the agents.
    assert_eq!(agents(&home), [agent]);
}

/// Every file below a folder, by its name.
fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            names.extend(self::names(&entry.path()));
        } else {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names
}

#[test]
fn what_an_agent_server_is_told_is_gone_once_it_knows_and_it_can_still_be_started_again() {
    let home = Home::new();
    let (run, agent) = at_work(&home);
    let folder = home.state().join("endpoint");
    let all = names(&folder);
    assert!(all.iter().any(|name| name == "agent.log"), "{all:?}");
    assert!(!all.iter().any(|name| name == "launch.json"), "{all:?}");
    let pid = rustix::process::Pid::from_raw(agent).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    home.run(&["send", &run, "/say 3"]).exits(0);
    until("the next turn is over", || {
        let events = home.run(&["events", &run, "--format", "ndjson"]).exits(0);
        (events.stdout().contains("w3 ") && events.stdout().contains("end_turn")).then_some(())
    });
    let all = names(&folder);
    assert!(!all.iter().any(|name| name == "launch.json"), "{all:?}");
}

#[test]
fn a_local_endpoint_without_runs_and_clients_ends_by_itself() {
    let home = Home::new();
    let mut endpoint = home
        .ashore(&["serve", "--local", "--linger", "1"])
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let status = until("it ends", || {
        endpoint.try_wait().expect("is a child of ours")
    });
    assert!(status.success(), "{status}");
    // The next client starts one as if nothing had been.
    home.run(&["ls"]).exits(0);
}

#[test]
fn an_endpoint_in_the_foreground_begins_with_nothing_and_keeps_the_token_it_made() {
    let home = Home::new();
    let ls = |serve: &Serve| {
        home.ashore(&["ls", "--endpoint", &serve.url])
            .env("ASHORE_TOKEN", &serve.token)
            .status()
            .expect("starts")
            .code()
    };
    let first = Serve::start(&home);
    assert_eq!(ls(&first), Some(0));
    let token = first.token.clone();
    drop(first);
    let second = Serve::start(&home);
    assert_eq!(second.token, token);
    assert_eq!(ls(&second), Some(0));
}

#[test]
fn tokens_are_made_listed_and_revoked_while_the_endpoint_runs() {
    let home = Home::new();
    let token = |arguments: &[&str], code: i32| {
        home.run(&[&["serve", "token"], arguments].concat())
            .exits(code)
    };
    // Before there is a store, and beside the endpoint that serves it.
    let before = token(&["create", "ana"], 0).stdout().trim().to_owned();
    let serve = Serve::start(&home);
    let url = &serve.url;
    let after = token(&["create", "ben"], 0).stdout().trim().to_owned();
    let ls = |token: &str| {
        home.ashore(&["ls", "--endpoint", url])
            .env("ASHORE_TOKEN", token)
            .status()
            .expect("starts")
            .code()
    };
    assert_ne!(before, after);
    assert_eq!((ls(&before), ls(&after)), (Some(0), Some(0)));
    let taken = token(&["create", "ana"], 2);
    assert!(taken.stderr().contains("`ana`"), "{}", taken.stderr());
    let listed = token(&["ls", "--json"], 0);
    assert!(!listed.stdout().contains(&before), "{}", listed.stdout());
    let names: Vec<_> = listed.lines()[0]["tokens"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|token| token["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(names, ["ana", "you", "ben"]);
    let revoked = token(&["revoke", "ana"], 0);
    assert_eq!(revoked.stdout(), "");
    assert_eq!((ls(&before), ls(&after)), (Some(6), Some(0)));
    let unknown = token(&["revoke", "ana"], 2);
    assert!(unknown.stderr().contains("`ana`"), "{}", unknown.stderr());
}
