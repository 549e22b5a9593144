//! What the README tells people to type, done as written; `curl` itself need not be there.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use futures::StreamExt;

use crate::support::home::{DEADLINE, Home};

/// Ends with the test, and its agents with it.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        if rustix::process::kill_process(pid, rustix::process::Signal::USR1).is_err() {
            drop(self.0.kill());
        }
        drop(self.0.wait());
    }
}

/// The commands of the block below this sentence of the README, one line each.
fn block(sentence: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let after = readme.split_once(sentence).expect("the README says so").1;
    let block = after.split("```").nth(1).expect("a block follows");
    let joined = block.trim().replace("\\\n", " ");
    joined.lines().map(str::to_owned).collect()
}

/// One `curl` with its shell variables filled in; `NAME=$(curl … | sed …)` gives the name and the filter too.
struct Call {
    into: Option<String>,
    filter: Option<String>,
    words: Vec<String>,
}

impl Call {
    fn read(line: &str, variables: &HashMap<String, String>) -> Self {
        let (into, command) = match line.split_once("=$(") {
            Some((name, rest)) => (Some(name.to_owned()), rest.trim_end_matches(')')),
            None => (None, line),
        };
        let (command, filter) = match command.split_once(" | ") {
            Some((command, filter)) => (command, Some(filter.to_owned())),
            None => (command, None),
        };
        let mut command = command.to_owned();
        for (name, value) in variables {
            command = command.replace(&format!("${name}"), value);
        }
        assert!(!command.contains('$'), "unknown variable in {command}");
        let words = shlex::split(&command).expect("a shell could read it");
        Self {
            into,
            filter,
            words,
        }
    }

    async fn send(&self) -> reqwest::Response {
        assert_eq!(self.words[0], "curl");
        let (mut url, mut headers, mut body) = (None, Vec::new(), None);
        let mut words = self.words[1..].iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-H" => headers.push(words.next().expect("a header").clone()),
                "-d" => body = words.next().cloned(),
                "-s" | "-N" | "-i" => (),
                word => url = Some(word.to_owned()),
            }
        }
        let client = reqwest::Client::new();
        let url = url.expect("a URL");
        let mut request = if body.is_some() {
            client.post(url)
        } else {
            client.get(url)
        };
        for header in headers {
            let (name, value) = header.split_once(": ").expect("a header");
            request = request.header(name, value);
        }
        request
            .body(body.unwrap_or_default())
            .send()
            .await
            .expect("an answer")
    }

    /// What the shell would make of the answer.
    fn filtered(&self, text: &str) -> String {
        let filter = self.filter.as_ref().expect("this call has one");
        let mut shell = Command::new("sh");
        let mut shell = shell
            .args(["-c", filter])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        shell
            .stdin
            .take()
            .expect("piped")
            .write_all(text.as_bytes())
            .expect("it reads");
        let done = shell.wait_with_output().expect("it ends");
        String::from_utf8(done.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_calls_start_a_run_follow_it_and_send_a_prompt() {
    let home = Home::new();
    let mut command = home.ashore(&["serve", "--listen", "127.0.0.1:0"]);
    let mut serving = Serving(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("serves"),
    );
    let mut lines = BufReader::new(serving.0.stdout.take().expect("piped")).lines();
    let mut variables = HashMap::new();
    for _ in 0..2 {
        let line = lines.next().expect("two lines").expect("text");
        let (name, value) = line
            .strip_prefix("export ")
            .and_then(|line| line.split_once('='))
            .expect("an export");
        variables.insert(name.to_owned(), value.to_owned());
    }
    for line in block("Start a run (an empty sandbox") {
        let call = Call::read(&line, &variables);
        let text = call.send().await.text().await.expect("a body");
        let id = call.filtered(&text);
        assert_eq!(
            id,
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["id"],
            "{text}"
        );
        variables.insert(call.into.expect("kept"), id);
    }
    let follow = Call::read(&block("Follow it from its first line")[0], &variables)
        .send()
        .await;
    assert_eq!(follow.status(), 200);
    let sent = Call::read(&block("Send a prompt")[0], &variables)
        .send()
        .await;
    assert_eq!(
        (
            sent.status().as_u16(),
            sent.text().await.expect("a body").as_str()
        ),
        (202, "")
    );
    let mut stream = follow.bytes_stream();
    let mut seen = String::new();
    let answered = async {
        while !seen.contains("\"text\":\"w20 \"") {
            seen.push_str(&String::from_utf8_lossy(
                &stream.next().await.expect("open").expect("bytes"),
            ));
        }
    };
    tokio::time::timeout(DEADLINE, answered)
        .await
        .expect("the whole answer");
    assert!(seen.contains("\"text\":\"w1 \""), "{seen}");
}
