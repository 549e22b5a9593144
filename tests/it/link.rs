//! An endpoint that goes away under the real program, and comes back: what the screen says, what is kept, what is sent.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::home::{Home, until};
use crate::support::serve::Serve;
use crate::support::terminal::Terminal;

/// The real program on a terminal, with an endpoint of its own.
fn screen(home: &Home, url: &str, token: &str, arguments: &[&str]) -> Terminal {
    let set = [
        format!("ASHORE_ENDPOINT={url}"),
        format!("ASHORE_TOKEN={token}"),
        env!("CARGO_BIN_EXE_ashore").to_owned(),
    ];
    let mut all: Vec<&str> = set.iter().map(String::as_str).collect();
    all.extend(arguments);
    Terminal::start(home, "/usr/bin/env", &all, 120, 40)
}

/// What it says on stdout, and its exit code.
fn asked(home: &Home, url: &str, token: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let done = home
        .ashore(arguments)
        .env("ASHORE_ENDPOINT", url)
        .env("ASHORE_TOKEN", token)
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    (done.status.code(), said)
}

/// The words of the clients' messages in the journal.
fn messages(home: &Home, url: &str, token: &str) -> Vec<String> {
    let events = ["events", "last", "--format", "ndjson"];
    let (code, said) = asked(home, url, token, &events);
    assert_eq!(code, Some(0), "{said}");
    said.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"]["method"] == "_posthog/user_message")
        .filter_map(|line| Some(line["message"]["params"]["content"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn a_link_that_is_cut_is_counted_down_and_comes_back_with_every_word() {
    let home = Home::new();
    let serve = Serve::start(&home);
    let (url, token) = (serve.url.clone(), serve.token.clone());
    let shown = screen(&home, &url, &token, &["run", "/say 150 20"]);
    shown.shows("w20 ");
    shown.shows("● live");
    let listen = serve.kill();
    shown.shows("↻ reconnecting in");
    let _serve = Serve::start_at(&home, &listen);
    shown.shows("w150");
    shown.shows("○ idle");
    shown.shows("● live");
    let text = shown.text();
    let said: Vec<&str> = text
        .split_whitespace()
        .filter(|word| {
            let number = word.strip_prefix('w');
            number.is_some_and(|rest| rest.parse::<u32>().is_ok())
        })
        .collect();
    let words: Vec<String> = (1..=150).map(|number| format!("w{number}")).collect();
    assert_eq!(said, words);
}

/// The messages that `status` tells of: words and state.
fn told(said: &str) -> Vec<(String, String)> {
    let status: Value = serde_json::from_str(said).expect("JSON");
    let text = |one: &Value| one.as_str().expect("a text").to_owned();
    status["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (text(&one["text"]), text(&one["state"])))
        .collect()
}

/// The end of the first turn stands in what is kept here of the journal. A screen says less: it is idle before its first
/// turn as well, and a picture is not drawn at once.
fn keeps_the_first_turn(home: &Home) {
    until("the first turn's end is kept here", || {
        let runs = std::fs::read_dir(home.state().join("runs")).ok()?;
        let mut kept = runs
            .flatten()
            .filter_map(|run| std::fs::read_to_string(run.path().join("journal.ndjson")).ok());
        kept.any(|journal| journal.contains("stopReason"))
            .then_some(())
    });
}

/// What is known here is told, and that the rest is not. The words are on the screen when they are typed, and kept when
/// they are sent.
fn is_told_from_here(home: &Home, url: &str, token: &str, messages: [&str; 3]) {
    let (code, said) = until("the words are kept here", || {
        let (code, said) = asked(home, url, token, &["status", "last", "--json"]);
        (told(&said).len() >= messages.len()).then_some((code, said))
    });
    assert_eq!(code, Some(7), "{said}");
    let status: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(status["endpoint"], "unreachable");
    let last = status["last_seq"].as_u64();
    assert!(last.is_some_and(|last| last > 0), "{said}");
    assert!(status["mirror"]["state"].is_string(), "{said}");
    let expected = messages.map(|text| (text.to_owned(), "queued_here".to_owned()));
    assert_eq!(told(&said), expected);
}

#[test]
fn words_for_an_endpoint_that_is_away_outlive_their_screen_and_are_sent_once_in_order() {
    let home = Home::new();
    let serve = Serve::start(&home);
    let (url, token) = (serve.url.clone(), serve.token.clone());
    let mut killed = screen(&home, &url, &token, &["run", "/say 1"]);
    keeps_the_first_turn(&home);
    let living = screen(&home, &url, &token, &["attach", "--last"]);
    living.shows("with you@");
    let listen = serve.kill();
    for shown in [&killed, &living] {
        shown.shows("↻ reconnecting in");
    }
    killed.write("/say 2\r");
    killed.write("/say 3\r");
    killed.shows("queued here");
    killed.until("both messages", |screen| {
        let text = screen.contents();
        text.contains("/say 2") && text.contains("/say 3")
    });
    living.write("/say 4\r");
    living.shows("queued here");

    is_told_from_here(&home, &url, &token, ["/say 2", "/say 3", "/say 4"]);
    killed.signal(Signal::KILL);
    killed.ends();
    let _serve = Serve::start_at(&home, &listen);
    living.write("\u{18}r");
    living.shows("● live");
    let sent = until("the living screen's own words are sent", || {
        Some(messages(&home, &url, &token)).filter(|sent| sent.len() > 1)
    });
    assert_eq!(sent, ["/say 1", "/say 4"]);
    let heir = screen(&home, &url, &token, &["attach", "--last"]);
    // Each sees the other, and not itself.
    for shown in [&living, &heir] {
        shown.shows("with you@");
    }
    let said = until("every word is answered", || {
        let (code, said) = asked(&home, &url, &token, &["status", "last", "--json"]);
        assert_eq!(code, Some(0), "{said}");
        let sent = messages(&home, &url, &token);
        (sent.len() > 3 && told(&said).is_empty()).then_some(said)
    });
    assert_eq!(
        messages(&home, &url, &token),
        ["/say 1", "/say 4", "/say 2", "/say 3"]
    );
    let status: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        status["clients"].as_array().map(Vec::len),
        Some(2),
        "{said}"
    );
}

#[test]
fn a_revoked_token_says_what_to_do_and_is_exit_code_6() {
    let home = Home::new();
    let made = home.run(&["serve", "token", "create", "ana"]).exits(0);
    let token = made.stdout().trim().to_owned();
    let serve = Serve::start(&home);
    let shown = screen(&home, &serve.url, &token, &["run", "/say 1"]);
    shown.shows("○ idle");
    let mut headless = home
        .ashore(&["attach", "last", "--format", "ndjson", "--no-mirror"])
        .env("ASHORE_ENDPOINT", &serve.url)
        .env("ASHORE_TOKEN", &token)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    shown.shows("with ana@");
    home.run(&["serve", "token", "revoke", "ana"]).exits(0);
    shown.shows("✕ ");
    shown.shows("ASHORE_TOKEN");
    let text = shown.text();
    assert!(text.contains("Ctrl+X r tries again"), "{text}");
    assert_eq!(headless.wait().expect("ours").code(), Some(6));
}
