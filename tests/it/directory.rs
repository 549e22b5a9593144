//! The real program and the user's directory: what an agent did over there stands here, through kills, undo and halts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::support::home::{Home, until};

/// What stands in a directory, without `.git` and the folders that are named.
fn tree(root: &Path, without: &[&str]) -> BTreeMap<String, (char, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            let name = path
                .strip_prefix(root)
                .expect("below")
                .display()
                .to_string();
            let meta = path.symlink_metadata().expect("there");
            if name == ".git" || without.contains(&name.as_str()) {
                continue;
            }
            if meta.is_symlink() {
                let target = path.read_link().expect("a link").display().to_string();
                found.insert(name, ('l', target.into_bytes()));
            } else if meta.is_dir() {
                folders.push(path);
            } else {
                let kind = if meta.permissions().mode() & 0o100 == 0 {
                    'f'
                } else {
                    'x'
                };
                found.insert(name, (kind, std::fs::read(&path).expect("readable")));
            }
        }
    }
    found
}

/// Starts a run that goes on by itself and returns its id.
pub(crate) fn detached(home: &Home, prompt: &str, more: &[&str]) -> String {
    let arguments = [
        "run", prompt, "--agent", "demo", "--detach", "--format", "json",
    ];
    let done = home.run(&[&arguments[..], more].concat()).exits(0);
    done.lines()[0]["run"]
        .as_str()
        .expect("the run's id")
        .to_owned()
}

pub(crate) fn idle(home: &Home, run: &str) {
    home.run(&["wait", run, "--for", "idle", "--timeout", "60s"])
        .exits(0);
}

/// Where the agent of a run works.
fn sandbox(home: &Home, run: &str) -> PathBuf {
    home.run(&["send", run, "/run pwd"]).exits(0);
    idle(home, run);
    let events = home.run(&["events", run, "--format", "ndjson"]).exits(0);
    let out = events.stdout();
    let end = out.find("/work\\n").expect("the sandbox's path") + "/work".len();
    let start = out[..end].rfind('"').expect("a string") + 1;
    PathBuf::from(&out[start..end])
}

/// A client that runs until it is told or killed; its lines as they come.
struct Client {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Client {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut child = home
            .ashore(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("a pipe can be read");
        (read > 0)
            .then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Reads until so many files were told to stand here.
    fn files(&mut self, number: usize) {
        let mut seen = 0;
        while seen < number {
            let line = self.line().expect("it goes on");
            let (result, way) = (&line["mirror"]["result"], &line["mirror"]["direction"]);
            seen += usize::from(result == "settled" && way == "down");
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// Everything more it says, and its end.
    fn end(mut self) -> (Vec<Value>, Option<i32>) {
        let lines = std::iter::from_fn(|| self.line()).collect();
        (
            lines,
            self.child.wait().expect("it was started here").code(),
        )
    }
}

fn status(home: &Home, run: &str) -> Value {
    let output = home
        .ashore(&["mirror", "status", run, "--json"])
        .output()
        .expect("it starts");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The run is stopped, and everything of it comes down.
pub(crate) fn caught_up(home: &Home, run: &str) -> Vec<Value> {
    home.run(&["stop", run]).exits(0);
    home.run(&["attach", run, "--format", "ndjson"])
        .exits(0)
        .lines()
}

fn nothing_of_ours(home: &Home) {
    assert!(
        !home.work().join(".ashore").exists(),
        "our folder is still there"
    );
}

const FILES: [(&str, &str); 9] = [
    ("a", "a"),
    ("old", "old"),
    ("gone", "gone"),
    ("x.sh", "x"),
    ("z", "z"),
    ("dir/deep/f", "f"),
    ("dist/app.js", "tracked"),
    ("o.log", "here only"),
    (".gitignore", "target/\nnode_modules/\ndist/\n*.log\n"),
];

const ORDERS: [&str; 7] = [
    "/symlink a link",
    "/chmod +x x.sh",
    "/rename old new/name",
    "/delete gone",
    "/binary b.bin 70000",
    "/append dist/app.js , changed",
    "/run mkdir -p d/e target node_modules/p && echo shell > d/e/f && mv a moved && chmod -x x.sh && ln -s d/e/f s \
         && rm z && rm -r dir && echo 1 > target/o && echo 1 > node_modules/p/i && echo 1 > t && rm t && echo 1 > 'sp ace ü' \
         && touch .git/hooks/pre-commit",
];

fn named_with_turn_and_tool_call(lines: &[Value]) {
    let told: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"]["method"] == "_posthog/file_sync")
        .map(|line| &line["message"]["params"])
        .collect();
    assert!(!told.is_empty(), "no file was told");
    for path in [
        "d/e/f",
        "a",
        "moved",
        "x.sh",
        "s",
        "z",
        "dir/deep/f",
        "sp ace ü",
    ] {
        let last = told.iter().rev().find(|told| told["relativePath"] == path);
        let last = last.unwrap_or_else(|| panic!("{path} was not told"));
        assert!(
            last["turn"].is_u64() && last["toolCallId"].is_string(),
            "{last}"
        );
    }
    for never in [
        "target/o",
        "node_modules/p/i",
        ".git/hooks/pre-commit",
        "o.log",
    ] {
        assert!(
            told.iter().all(|told| told["relativePath"] != never),
            "{never} was told"
        );
    }
}

#[test]
fn whatever_the_agent_does_to_its_files_is_done_here_and_named_with_turn_and_tool_call() {
    let home = Home::new();
    home.git(&["init", "-q", "-b", "main"]);
    for (path, text) in FILES {
        home.write(path, text);
    }
    home.git(&["add", "-f", "dist/app.js", "a"]);
    home.git(&["commit", "-q", "-m", "first"]);
    let run = detached(&home, "/say 1", &[]);
    let client = Client::start(&home, &["attach", &run, "--format", "ndjson"]);
    for prompt in ORDERS {
        home.run(&["send", &run, prompt]).exits(0);
        idle(&home, &run);
    }
    let there = sandbox(&home, &run);
    home.run(&["stop", &run]).exits(0);
    let (lines, code) = client.end();
    assert_eq!(code, Some(0));
    let here = tree(&home.work(), &["o.log"]);
    assert_eq!(here, tree(&there, &["target", "node_modules"]));
    assert_eq!(here["dist/app.js"].1, b"tracked, changed".to_vec());
    assert!(here["b.bin"].1.len() == 70_000 && here["link"].0 == 'l' && here["x.sh"].0 == 'f');
    assert!(
        !home.work().join(".git/hooks/pre-commit").exists() && home.work().join("o.log").exists()
    );
    assert!(
        home.work().join("dir/deep").exists(),
        "an empty folder of the user's own stays"
    );
    nothing_of_ours(&home);
    named_with_turn_and_tool_call(&lines);
}

#[test]
fn a_client_killed_again_and_again_while_files_land_ends_with_every_file_right() {
    let home = Home::new();
    let run = detached(&home, "/files 200 1000", &[]);
    // Counted on the disk: many land together, and of those that stand here nothing more is said.
    for landed in [1, 100, 199] {
        let mut client = Client::start(&home, &["attach", &run, "--format", "ndjson"]);
        client.line().expect("it begins");
        let stand = || std::fs::read_dir(home.work().join("bulk")).map_or(0, Iterator::count);
        while stand() < landed {
            client.line().expect("it goes on");
        }
        client.kill();
    }
    let there = sandbox(&home, &run);
    caught_up(&home, &run);
    let here = tree(&home.work(), &[]);
    assert_eq!(here.len(), 200);
    assert_eq!(here, tree(&there, &[]));
    nothing_of_ours(&home);
    let first = status(&home, &run);
    assert_eq!(
        (&first["state"], &first["down"], &first["up"]),
        (&"off".into(), &0.into(), &0.into())
    );
    let again = caught_up(&home, &run);
    assert!(
        again.iter().all(|line| line["mirror"].is_null()),
        "what is decided is not decided again"
    );
    assert_eq!(status(&home, &run)["state"], "off");
}

#[test]
fn a_headless_prompt_that_is_killed_goes_on_at_the_next_attach() {
    let home = Home::new();
    home.write("bulk/mine", "mine");
    let arguments = [
        "run",
        "-p",
        "/files 200 1000",
        "--agent",
        "demo",
        "--format",
        "ndjson",
    ];
    let mut client = Client::start(&home, &arguments);
    client.files(20);
    client.kill();
    idle(&home, "last");
    let there = sandbox(&home, "last");
    caught_up(&home, "last");
    let here = tree(&home.work(), &[]);
    assert_eq!(here.len(), 201);
    assert_eq!(here, tree(&there, &[]));
    nothing_of_ours(&home);
}

#[test]
fn undo_goes_back_and_forth_and_no_mirror_overwrites_what_was_undone() {
    let home = Home::new();
    for (path, text) in [("a", "a1"), ("gone", "back"), ("edited", "e1")] {
        home.write(path, text);
    }
    let run = detached(
        &home,
        "/run printf a2 > a; rm gone; printf m > made; printf e2 > edited",
        &[],
    );
    idle(&home, &run);
    let undo = |path: &str, code| {
        home.run(&["mirror", "undo", &run, path, "--yes"])
            .exits(code)
            .stderr()
    };
    let stands = |want: [Option<&str>; 4]| {
        let here = ["a", "gone", "made", "edited"].map(|path| home.read(path));
        assert_eq!(here.each_ref().map(Option::as_deref), want);
    };
    // While a mirror lives, its holder does it.
    let mut client = Client::start(&home, &["attach", &run, "--format", "ndjson"]);
    client.files(4);
    stands([Some("a2"), None, Some("m"), Some("e2")]);
    for path in ["a", "gone", "made"] {
        undo(path, 0);
    }
    stands([Some("a1"), Some("back"), None, Some("e2")]);
    home.write("edited", "mine");
    // What was edited since gives way to what the agent wrote, and comes back.
    undo("edited", 0);
    stands([Some("a1"), Some("back"), None, Some("e2")]);
    undo("edited", 0);
    assert!(undo("never", 8).contains("nothing to undo"));
    home.run(&["send", &run, "/write other x"]).exits(0);
    client.files(1);
    client.kill();
    // The mirror begins anew, and nothing of what was undone comes down again.
    caught_up(&home, &run);
    stands([Some("a1"), Some("back"), None, Some("mine")]);
    // Nobody lives: the command does it itself.
    for (path, want) in [
        ("a", Some("a2")),
        ("a", Some("a1")),
        ("gone", None),
        ("gone", Some("back")),
        ("made", Some("m")),
    ] {
        undo(path, 0);
        assert_eq!(home.read(path).as_deref(), want, "{path}");
    }
    caught_up(&home, &run);
    stands([Some("a1"), Some("back"), Some("m"), Some("mine")]);
    nothing_of_ours(&home);
}

#[test]
fn a_mass_delete_halts_with_both_commands_named_and_goes_on_only_when_it_is_meant() {
    let home = Home::new();
    for n in 0..60 {
        home.write(&format!("src/f{n}"), &n.to_string());
    }
    home.write("kept", "k");
    let done = home
        .run(&[
            "run",
            "-p",
            "/run rm -rf src && echo new > new",
            "--agent",
            "demo",
        ])
        .exits(8);
    for command in ["ashore mirror resume --accept-deletes", "ashore rm"] {
        assert!(done.stderr().contains(command), "{}", done.stderr());
    }
    // What came down one by one before the wave was seen is gone, and no more.
    let left = tree(&home.work(), &["new"]).len();
    assert!(left > 10, "{left}");
    let status = home.run(&["mirror", "status", "last"]).exits(8);
    assert!(
        status.stdout().contains("--accept-deletes"),
        "{}",
        status.stdout()
    );
    let refused = home.run(&["mirror", "resume", "last"]).exits(8);
    // All that are still here but the one that stays, and perhaps those that went before the wave was seen.
    let refused = refused.stderr();
    let words: Vec<_> = refused.split_whitespace().collect();
    let of = words.iter().position(|word| *word == "of").expect(&refused);
    let said: usize = words[of - 1].parse().expect(&refused);
    let here = std::fs::read_dir(home.work().join("src")).map_or(0, Iterator::count);
    assert!((here..=60).contains(&said), "{here}: {refused}");
    home.run(&["mirror", "resume", "last", "--accept-deletes"])
        .exits(0);
    caught_up(&home, "last");
    assert_eq!(
        tree(&home.work(), &[]).into_keys().collect::<Vec<_>>(),
        ["kept", "new"]
    );
    home.run(&["mirror", "undo", "last", "src/f7", "--yes"])
        .exits(0);
    assert_eq!(home.read("src/f7").as_deref(), Some("7"));
    nothing_of_ours(&home);
}

#[test]
fn a_second_run_in_a_held_directory_creates_nothing_and_names_the_holder() {
    let home = Home::new();
    let run = detached(&home, "/write a x", &[]);
    let mut client = Client::start(&home, &["attach", &run, "--format", "ndjson"]);
    client.files(1);
    let runs = || {
        home.run(&["ls", "--all", "--json"]).exits(0).lines()[0]["runs"]
            .as_array()
            .expect("a list")
            .len()
    };
    assert_eq!(runs(), 1);
    std::fs::create_dir(home.work().join("below")).expect("can be made");
    for place in [".", "below", ".."] {
        let done = home
            .run(&["-C", place, "run", "-p", "/write b x", "--agent", "demo"])
            .exits(2);
        let said = done.stderr();
        assert!(
            said.contains(&run[..8]) && said.contains("--no-mirror"),
            "{said}"
        );
    }
    assert_eq!(runs(), 1);
    assert_eq!(home.read("b"), None);
    // A second follower of the same run is none that would be in the way: it waits behind the first.
    let mut second = Client::start(&home, &["attach", &run, "--format", "ndjson"]);
    while second.line().expect("it follows")["message"].is_null() {}
    client.kill();
    home.run(&["send", &run, "/write c x"]).exits(0);
    second.files(1);
    assert_eq!(home.read("c").as_deref(), Some("x"));
    home.run(&["stop", &run]).exits(0);
    assert_eq!(second.end().1, Some(0));
}

#[test]
fn an_attach_into_another_directory_brings_everything_there() {
    let home = Home::new();
    for (path, text) in [
        ("a", "a"),
        ("dir/b", "b"),
        (".gitignore", "*.log\n"),
        ("kept.log", "k"),
    ] {
        home.write(path, text);
    }
    home.git(&["init", "-q"]);
    home.git(&["add", "-f", "kept.log"]);
    std::fs::create_dir_all(home.work().join("empty/folder")).expect("can be made");
    let run = detached(&home, "/write c c", &[]);
    idle(&home, &run);
    let other = home.home().join("other");
    std::fs::create_dir(&other).expect("can be made");
    let there = sandbox(&home, &run);
    let into = other.display().to_string();
    // Cut off before anything was there: it has still all to come.
    Client::start(
        &home,
        &["attach", &run, "--format", "ndjson", "--mirror", &into],
    )
    .kill();
    home.run(&["stop", &run]).exits(0);
    home.run(&["attach", &run, "--format", "ndjson", "--mirror", &into])
        .exits(0);
    assert_eq!(tree(&other, &[]), tree(&there, &[]));
    assert_eq!(tree(&other, &[]).len(), 5);
    assert!(other.join("empty/folder").is_dir() && there.join("empty/folder").is_dir());
    assert_eq!(home.read("c"), None, "the first directory is left alone");
}

#[test]
fn a_run_in_the_directory_itself_has_no_mirror_and_holds_it_while_it_lives() {
    let home = Home::new();
    let run = detached(&home, "/write a x", &["--environment", "local"]);
    idle(&home, &run);
    assert_eq!(home.read("a").as_deref(), Some("x"));
    assert_eq!(status(&home, &run)["state"], "off");
    let done = home
        .run(&["run", "-p", "/write b x", "--agent", "demo"])
        .exits(2);
    assert!(done.stderr().contains(&run[..8]), "{}", done.stderr());
    home.run(&["stop", &run]).exits(0);
    let lines = home
        .run(&[
            "run",
            "-p",
            "/write b x",
            "--agent",
            "demo",
            "--environment",
            "local",
            "--format",
            "ndjson",
        ])
        .exits(0)
        .lines();
    let told: Vec<&Value> = lines
        .iter()
        .map(|line| &line["mirror"])
        .filter(|told| told.is_object())
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["path"], &told[0]["result"]),
        (&"b".into(), &"settled".into())
    );
    nothing_of_ours(&home);
}

#[test]
fn our_folder_is_never_seen_by_git_not_even_after_a_kill() {
    let home = Home::new();
    home.git(&["init", "-q"]);
    let run = detached(&home, "/files 100 1000", &[]);
    let mut client = Client::start(&home, &["attach", &run, "--format", "ndjson"]);
    let mut seen = 0;
    until("all files are here", || {
        let listed = git_status(&home);
        assert!(!listed.contains(".ashore"), "{listed}");
        if seen < 100 {
            client.files(10);
            seen += 10;
        }
        (seen == 100).then_some(())
    });
    client.kill();
    home.write(".ashore/stage/left", "half a download");
    home.write(".ashore/.gitignore", "*\n");
    caught_up(&home, &run);
    nothing_of_ours(&home);
}

fn git_status(home: &Home) -> String {
    let output = std::process::Command::new("git")
        .args(["status", "--porcelain", "--untracked-files=all"])
        .current_dir(home.work())
        .env_clear()
        .envs(home.variables())
        .output()
        .expect("git starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
