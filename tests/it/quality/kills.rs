//! R3: kill -9 in the middle of mirroring, and in the middle of appending; nothing torn, nothing lost, nothing twice.
//!
//! Real processes, real disk. Where a kill falls is chosen by what was just seen (a line, half a content, an answer),
//! and by chance among those.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use ashore::protocol::hash::ContentHash;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::quality::count;
use crate::quality::paths::tree;
use crate::support::home::Home;
use crate::support::scripted::{Script, Scripted};

/// Files that each round changes.
const FILES: usize = 10;

fn content(file: usize, round: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64((file * 100_000 + round) as u64);
    let size = random.random_range(1..400);
    format!("file {file} round {round}\n")
        .repeat(size)
        .into_bytes()
}

fn name(file: usize) -> String {
    format!("d{}/f{file}", file % 3)
}

fn line(file: usize, round: usize) -> String {
    let (bytes, path) = (content(file, round), name(file));
    let hash = ContentHash::of(&bytes).to_string();
    let params = json!({"type": "file_modified", "path": format!("/w/{path}"), "relativePath": path, "contentHash": hash,
        "storagePath": format!("files/{hash}"), "size": bytes.len(), "mode": "100644", "turn": 1});
    json!({"type": "notification", "timestamp": "2026-11-01T12:00:00Z",
        "notification": {"jsonrpc": "2.0", "method": "_posthog/file_sync", "params": params}})
    .to_string()
}

/// One directory, one client after the other.
struct Mirrored {
    home: Home,
    endpoint: Scripted,
    /// By file and content: in which round it was made.
    made: HashMap<(usize, ContentHash), usize>,
    /// The newest round of each file that was said to stand here.
    told: BTreeMap<usize, usize>,
    random: StdRng,
}

impl Mirrored {
    fn new() -> Self {
        let home = Home::new();
        home.write("mine.txt", "mine");
        Self {
            home,
            endpoint: Scripted::start(Script::default()),
            made: HashMap::new(),
            told: BTreeMap::new(),
            random: StdRng::seed_from_u64(7),
        }
    }

    /// The agent changes every file.
    fn changes(&mut self, round: usize) {
        let mut script = self.endpoint.script.lock().expect("no panic");
        // The contents of the last round are still asked for after a kill; older ones never.
        if round > 2 {
            for file in 0..FILES {
                script
                    .blobs
                    .remove(&ContentHash::of(&content(file, round - 3)).to_string());
            }
        }
        for file in 0..FILES {
            let bytes = content(file, round);
            let hash = ContentHash::of(&bytes);
            self.made.insert((file, hash), round);
            script.lines.push(line(file, round));
            script.blobs.insert(hash.to_string(), bytes);
        }
    }

    fn client(&self) -> Child {
        let run = self.endpoint.run();
        self.home
            .ashore(&["attach", &run, "--mirror", ".", "--format", "ndjson"])
            .env("ASHORE_TOKEN", "s3cret")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts")
    }

    /// What one line says stands here.
    fn note(&mut self, line: &str) {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let told = &line["mirror"];
        assert_ne!(told["result"], "conflict", "{line}");
        if told["result"] != "settled" {
            return;
        }
        let path = told["path"].as_str().expect("a path");
        let file = (0..FILES)
            .find(|file| name(*file) == path)
            .expect("one of ours");
        let hash: ContentHash = told["hash"]
            .as_str()
            .expect("a hash")
            .parse()
            .expect("a hash");
        let round = self.made[&(file, hash)];
        let newest = self.told.entry(file).or_default();
        *newest = round.max(*newest);
    }

    /// Kills the client behind a number of its lines, or in the middle of a content.
    fn killed(&mut self) {
        let (told, stumbled) = mpsc::channel();
        let ended = told.clone();
        let after = self.random.random_range(0..FILES);
        let in_a_content: bool = self.random.random();
        self.endpoint.script.lock().expect("no panic").stumble =
            in_a_content.then_some((after, told));
        let mut child = self.client();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        if in_a_content {
            // Who reads it hears when it ends: it may have had no more contents to ask for.
            let all = std::thread::spawn(move || {
                let all: Vec<String> = out.lines().map_while(Result::ok).collect();
                ended.send(()).ok();
                all
            });
            stumbled.recv().expect("one of the two");
            child.kill().expect("is ours");
            let all = all.join().expect("no panic");
            all.iter().for_each(|line| self.note_whole(line));
        } else {
            let mut lines = out.lines().map_while(Result::ok);
            let skip = self.random.random_range(0..=3 * FILES);
            for line in lines.by_ref().take(skip) {
                self.note(&line);
            }
            child.kill().expect("is ours");
            lines.for_each(|line| self.note_whole(&line));
        }
        child.wait().expect("is ours");
    }

    /// The last line of one that was killed may be cut.
    fn note_whole(&mut self, line: &str) {
        if line.ends_with('}') && serde_json::from_str::<Value>(line).is_ok() {
            self.note(line);
        }
    }

    /// Every file is one that was made, whole, and no older than what was told; nothing else is there.
    fn stands(&self, case: &str) {
        let work = self.home.work();
        let mut expected: BTreeSet<String> = (0..FILES).map(name).collect();
        expected.insert("mine.txt".to_owned());
        for (path, bytes) in tree(&work) {
            let below = path
                .strip_prefix(&work)
                .expect("below")
                .to_string_lossy()
                .into_owned();
            if path.is_dir() || below.starts_with(".ashore") {
                continue;
            }
            assert!(expected.remove(&below), "{case}: {below} is not ours");
            if let Some(file) = (0..FILES).find(|file| name(*file) == below) {
                let round = self.made.get(&(file, ContentHash::of(&bytes)));
                let told = self.told.get(&file);
                assert!(round.is_some(), "{case}: {below} is torn");
                assert!(
                    round >= told,
                    "{case}: {below} is of {round:?}, told {told:?}"
                );
            }
        }
        // Only what was never told to be here may be missing.
        for path in expected {
            let file = (0..FILES).find(|file| name(*file) == path);
            assert!(
                file.is_some_and(|file| !self.told.contains_key(&file)),
                "{case}: {path} is lost"
            );
        }
        assert_eq!(self.home.read("mine.txt").as_deref(), Some("mine"));
    }
}

#[test]
fn a_client_killed_while_it_mirrors_leaves_whole_files_and_the_next_one_goes_on() {
    let rounds = count("ASHORE_KILLS", 12);
    let mut mirrored = Mirrored::new();
    for round in 0..rounds {
        mirrored.changes(round);
        mirrored.killed();
        mirrored.stands(&format!("kill {round}"));
    }
    mirrored.endpoint.script.lock().expect("no panic").stumble = None;
    let done = mirrored.client().wait_with_output().expect("ends");
    assert_eq!(done.status.code(), Some(0));
    let lines = String::from_utf8(done.stdout).expect("text");
    lines.lines().for_each(|line| mirrored.note(line));
    mirrored.stands("at the end");
    for file in 0..FILES {
        let here = std::fs::read(mirrored.home.work().join(name(file))).expect("there");
        assert_eq!(here, content(file, rounds - 1), "{}", name(file));
    }
    assert!(
        !mirrored.home.work().join(".ashore").exists(),
        "nothing of ours stays behind"
    );
    let events = mirrored
        .home
        .ashore(&["events", &mirrored.endpoint.run(), "--format", "ndjson"])
        .env("ASHORE_TOKEN", "s3cret")
        .output()
        .expect("starts");
    let numbers: Vec<u64> = String::from_utf8_lossy(&events.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["seq"].as_u64())
        .collect();
    let all = (rounds * FILES) as u64;
    assert_eq!(numbers, (1..=all).collect::<Vec<_>>());
}

const TOKEN: &str = "the-users-token";

/// A real endpoint on a store that outlives it.
struct Served {
    child: Child,
    url: String,
    /// Held, so that what it prints has a reader.
    _out: BufReader<std::process::ChildStdout>,
}

impl Served {
    fn start(home: &Home) -> Self {
        let store = home.home().join("store").to_string_lossy().into_owned();
        let mut child = home
            .ashore(&["serve", "--listen", "127.0.0.1:0", "--store", &store])
            .env("ASHORE_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("it says where it is");
        let url = line
            .trim()
            .strip_prefix("export ASHORE_ENDPOINT=")
            .unwrap_or_else(|| panic!("no address: {line:?}"))
            .to_owned();
        Self {
            child,
            url,
            _out: out,
        }
    }

    fn kill(&mut self) {
        self.child.kill().expect("is ours");
        self.child.wait().expect("is ours");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A test that failed may leave it running; killing it twice is once.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Who says things, and repeats what was not acknowledged: a client by the id of its message, an agent by its place.
struct Speaker {
    number: usize,
    source: String,
    said: usize,
}

impl Speaker {
    fn text(&self, n: usize) -> String {
        format!("speaker {} says {n}", self.number)
    }

    /// Says the next thing until the endpoint goes away; each answer counts.
    async fn speak(&mut self, client: &reqwest::Client, run: &str, answered: &AtomicUsize) {
        loop {
            let n = self.said + 1;
            let text = self.text(n);
            let request = if self.number.is_multiple_of(2) {
                client.post(format!("{run}/sync")).json(
                    &json!({"jsonrpc": "2.0", "id": format!("s{}-{n}", self.number),
                    "method": "_posthog/user_message", "params": {"content": text}}),
                )
            } else {
                let entry = json!({"type": "notification", "timestamp": "2026-01-19T12:00:01.000Z",
                    "notification": {"jsonrpc": "2.0", "method": "_posthog/console", "params": {"level": "info", "message": text}}});
                client
                    .post(format!("{run}/append_log"))
                    .header("Ashore-Batch", format!("{}:{n}", self.source))
                    .json(&json!({"entries": [entry]}))
            };
            match request.bearer_auth(TOKEN).send().await {
                Ok(answer) => {
                    assert!(
                        answer.status().is_success(),
                        "{}: {}",
                        answer.status(),
                        answer.text().await.unwrap_or_default()
                    );
                    self.said = n;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                Err(_) => return,
            }
        }
    }
}

/// Everything that was said, in the journal's order: by speaker, its numbers.
fn spoken(journal: &str, case: &str) -> BTreeMap<usize, Vec<usize>> {
    let mut spoken: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    assert!(
        journal.is_empty() || journal.ends_with('\n'),
        "{case}: torn"
    );
    for line in journal.lines() {
        let value: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{case}: torn, {error}: {line}"));
        let text = ["/message/params/content", "/notification/params/message"]
            .iter()
            .find_map(|at| value.pointer(at)?.as_str());
        let Some((speaker, n)) = text
            .and_then(|text| text.strip_prefix("speaker "))
            .and_then(|text| text.split_once(" says "))
        else {
            continue;
        };
        let number = speaker.parse().expect("a number");
        spoken
            .entry(number)
            .or_default()
            .push(n.parse().expect("a number"));
    }
    spoken
}

async fn new_run(client: &reqwest::Client, url: &str) -> String {
    let post = |path: String, body: Value| {
        client
            .post(format!("{url}{path}"))
            .bearer_auth(TOKEN)
            .json(&body)
            .send()
    };
    let task = post("/api/projects/1/tasks/".into(), json!({"description": "x"}))
        .await
        .expect("it answers");
    assert_eq!(task.status(), StatusCode::CREATED);
    let task: Value = task.json().await.expect("JSON");
    let task = format!(
        "/api/projects/1/tasks/{}",
        task["id"].as_str().expect("an id")
    );
    // Nobody drives it: what is in its journal is what was said here.
    let run = post(format!("{task}/runs/"), json!({"environment": "local"}))
        .await
        .expect("it answers");
    assert_eq!(run.status(), StatusCode::CREATED);
    let run: Value = run.json().await.expect("JSON");
    format!("{task}/runs/{}", run["id"].as_str().expect("an id"))
}

/// The journal holds what was acknowledged, once and in order, and at most one more of each.
async fn is_all_there(client: &reqwest::Client, at: &str, speakers: &[Speaker], case: &str) {
    let journal = client
        .get(format!("{at}/logs?after=0"))
        .bearer_auth(TOKEN)
        .send()
        .await
        .expect("it answers");
    let heard = spoken(&journal.text().await.expect("text"), case);
    for speaker in speakers {
        let heard = heard.get(&speaker.number).cloned().unwrap_or_default();
        let in_order: Vec<usize> = (1..=heard.len()).collect();
        assert_eq!(
            heard, in_order,
            "{case}: speaker {}: lost, doubled or out of order",
            speaker.number
        );
        // The one that was not acknowledged may stand there or not, and will be said again.
        assert!(
            (speaker.said..=speaker.said + 1).contains(&heard.len()),
            "{case}: {} of {}",
            heard.len(),
            speaker.said
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_killed_while_it_appends_keeps_what_it_acknowledged_once() {
    let kills = count("ASHORE_KILLS", 12);
    let home = Home::new();
    let client = reqwest::Client::new();
    let mut random = StdRng::seed_from_u64(9);
    let mut speakers: Vec<Speaker> = (0..4)
        .map(|number| Speaker {
            number,
            source: uuid::Uuid::new_v4().to_string(),
            said: 0,
        })
        .collect();
    let mut run = None;
    for kill in 0..=kills {
        let mut served = Served::start(&home);
        let path = match &run {
            Some(path) => String::clone(path),
            None => run.insert(new_run(&client, &served.url).await).clone(),
        };
        let at = format!("{}{path}", served.url);
        let case = format!("after kill {kill}");
        is_all_there(&client, &at, &speakers, &case).await;
        if kill == kills {
            break;
        }
        let answered = std::sync::Arc::new(AtomicUsize::new(0));
        let wanted = random.random_range(0..40);
        let mut speaking = JoinSet::new();
        for mut speaker in std::mem::take(&mut speakers) {
            let (client, at, answered) = (client.clone(), at.clone(), answered.clone());
            speaking.spawn(async move {
                speaker.speak(&client, &at, &answered).await;
                speaker
            });
        }
        while answered.load(Ordering::SeqCst) < wanted {
            tokio::task::yield_now().await;
        }
        served.kill();
        while let Some(speaker) = speaking.join_next().await {
            speakers.push(speaker.expect("no panic"));
        }
    }
    let said: usize = speakers.iter().map(|speaker| speaker.said).sum();
    assert!(said > kills, "{said}");
}
