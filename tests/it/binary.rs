//! The real program, as a script meets it: its output, its exit codes, and what survives a kill.

use serde_json::{Value, json};

use crate::support::home::{Home, until};

/// Every follower's promise: sequences from 1, each once, in order.
fn sequences(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .collect()
}

fn text_of(lines: &[Value]) -> String {
    lines
        .iter()
        .filter(|line| {
            line.pointer("/message/params/update/sessionUpdate")
                .and_then(Value::as_str)
                == Some("agent_message_chunk")
        })
        .filter_map(|line| {
            line.pointer("/message/params/update/content/text")
                .and_then(Value::as_str)
        })
        .collect()
}

fn words(number: usize) -> String {
    (1..=number).map(|i| format!("w{i} ")).collect()
}

/// Starts a run that goes on by itself and returns its id.
fn detached(home: &Home, prompt: &str) -> String {
    let done = home
        .run(&[
            "run", prompt, "--agent", "demo", "--detach", "--format", "json",
        ])
        .exits(0);
    done.lines()[0]["run"]
        .as_str()
        .expect("the run's id")
        .to_owned()
}

#[test]
fn a_headless_prompt_prints_only_ndjson_and_leaves_the_file_here() {
    let home = Home::new();
    let done = home
        .run(&[
            "run",
            "-p",
            "/write notes/a.txt hello",
            "--agent",
            "demo",
            "--format",
            "ndjson",
        ])
        .exits(0);
    assert_eq!(home.read("notes/a.txt").as_deref(), Some("hello"));
    let lines = done.lines();
    assert!(
        lines
            .iter()
            .all(|line| line["v"] == 1 && line["run"].is_string()),
        "{}",
        done.stdout()
    );
    let seqs = sequences(&lines);
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let last = lines.last().expect("at least the result");
    assert_eq!(last["result"]["stop_reason"], "end_turn");
    assert_eq!(last["result"]["files"], 1);
    assert_eq!(last["result"]["conflicts"], 0);
    let mirror: Vec<_> = lines
        .iter()
        .filter(|line| line["mirror"].is_object())
        .collect();
    assert_eq!(mirror.len(), 1, "{}", done.stdout());
    assert_eq!(mirror[0]["mirror"]["path"], "notes/a.txt");
    assert_eq!(mirror[0]["mirror"]["result"], "settled");
    assert_eq!(mirror[0]["mirror"]["direction"], "down");
}

#[test]
fn the_text_and_json_formats_carry_the_agents_last_message() {
    let home = Home::new();
    let text = home
        .run(&["run", "-p", "/say 3", "--agent", "demo"])
        .exits(0);
    assert_eq!(text.stdout().trim_end(), "w1 w2 w3");
    let json = home
        .run(&[
            "run",
            "-p",
            "/write a.txt x",
            "--agent",
            "demo",
            "--format",
            "json",
        ])
        .exits(0);
    let value = &json.lines()[0];
    assert_eq!(value["stop_reason"], "end_turn");
    assert_eq!(value["files"][0]["path"], "a.txt");
    assert_eq!(value["files"][0]["change"], "created");
    assert_eq!(value["files"][0]["result"], "settled");
}

#[test]
fn a_repository_with_uncommitted_changes_reaches_the_sandbox_as_it_is() {
    let home = Home::new();
    home.git(&["init", "-q", "-b", "main"]);
    home.write("kept.txt", "committed\n");
    home.write("gone.txt", "to be removed\n");
    home.git(&["add", "."]);
    home.git(&["commit", "-q", "-m", "first"]);
    home.write("kept.txt", "changed here\n");
    std::fs::remove_file(home.work().join("gone.txt")).expect("was there");
    home.write("new.txt", "not added\n");
    let done = home
        .run(&["run", "-p", "/run cat kept.txt new.txt; test -e gone.txt || echo no gone; git status --porcelain; git log --format=%s", "--agent", "demo", "--format", "ndjson"])
        .exits(0);
    let out = done.stdout();
    for part in [
        "changed here",
        "not added",
        "no gone",
        " M kept.txt",
        " D gone.txt",
        "?? new.txt",
        "first",
    ] {
        assert!(out.contains(part), "`{part}` is missing in {out}");
    }
}

#[test]
fn a_run_in_the_home_folder_does_not_mirror_what_is_kept_of_it() {
    let home = Home::new();
    let folder = home.home();
    std::fs::create_dir_all(&folder).expect("its own");
    let done = home
        .run(&[
            "-C",
            folder.to_str().expect("text"),
            "run",
            "-p",
            "/run find . -path './.git' -prune -o -type f -print; echo looked",
            "--agent",
            "demo",
            "--format",
            "ndjson",
        ])
        .exits(0);
    let out = done.stdout();
    assert!(out.contains("looked"), "{out}");
    assert!(folder.join(".local/state/ashore").is_dir(), "it lies there");
    for ours in ["journal.ndjson", "base.sqlite", "endpoint.json", ".local/"] {
        assert!(!out.contains(ours), "`{ours}` in {out}");
    }
}

#[test]
fn a_file_changed_on_both_sides_exists_twice_and_is_listed() {
    let home = Home::new();
    home.write("both.txt", "base\n");
    let run = detached(&home, "/ask first");
    home.run(&["wait", &run, "--for", "permission", "--timeout", "60s"])
        .exits(0);
    home.write("both.txt", "mine\n");
    home.run(&["send", &run, "/write both.txt theirs"]).exits(0);
    home.run(&["answer", &run, "1"]).exits(0);
    home.run(&["wait", &run, "--for", "idle", "--timeout", "60s"])
        .exits(0);
    // A second look at the run, with the mirror: attach until it is over.
    home.run(&["stop", &run]).exits(0);
    home.run(&["attach", &run, "--format", "ndjson", "--mirror", "."])
        .exits(0);
    assert_eq!(home.read("both.txt").as_deref(), Some("mine\n"));
    let copies: Vec<_> = std::fs::read_dir(home.work())
        .expect("readable")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.starts_with("both.txt.remote-"))
        .collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(home.read(&copies[0]).as_deref(), Some("theirs"));
    let listed = home.run(&["mirror", "conflicts", &run]).exits(8);
    assert!(listed.stdout().contains("both.txt"), "{}", listed.stdout());
}

#[test]
fn killing_the_endpoint_in_the_middle_loses_no_word_and_doubles_none() {
    let home = Home::new();
    let run = detached(&home, "/say 400 5");
    for kill in 0..3 {
        let enough = 60 * (kill + 1);
        until("the turn goes on", || {
            let done = home.run(&["events", &run, "--format", "ndjson"]).exits(0);
            (text_of(&done.lines()).split_whitespace().count() > enough).then_some(())
        });
        kill_endpoint(&home);
    }
    home.run(&["wait", &run, "--for", "idle", "--timeout", "60s"])
        .exits(0);
    let done = home.run(&["events", &run, "--format", "ndjson"]).exits(0);
    let lines = done.lines();
    let seqs = sequences(&lines);
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(text_of(&lines), words(400));
}

/// Kills the local endpoint as a machine would.
fn kill_endpoint(home: &Home) {
    let file = home.state().join("endpoint/endpoint.json");
    let text = std::fs::read(file).expect("the state file");
    let state: Value = serde_json::from_slice(&text).expect("JSON");
    let pid = i32::try_from(state["pid"].as_i64().expect("a pid")).expect("small");
    let pid = rustix::process::Pid::from_raw(pid).expect("not 0");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}

#[test]
fn a_follower_hears_every_word_once_while_its_endpoint_is_killed_three_times() {
    let home = Home::new();
    let mut follower = home
        .ashore(&[
            "run",
            "-p",
            "/say 2000 5",
            "--agent",
            "demo",
            "--format",
            "ndjson",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let out = std::io::BufReader::new(follower.stdout.take().expect("a pipe"));
    let mut heard = Vec::new();
    for line in std::io::BufRead::lines(out) {
        let line = line.expect("readable");
        heard.push(serde_json::from_str(&line).expect("only NDJSON"));
        if [137, 811, 1490].contains(&heard.len()) {
            kill_endpoint(&home);
        }
    }
    assert_eq!(follower.wait().expect("our child").code(), Some(0));
    let seqs = sequences(&heard);
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(text_of(&heard), words(2000));
}

#[test]
fn a_mirror_that_nobody_holds_does_not_say_it_is_live() {
    let home = Home::new();
    home.run(&["run", "-p", "/write a.txt x", "--agent", "demo"])
        .exits(0);
    let status = home.run(&["mirror", "status", "last", "--json"]).exits(0);
    let status = &status.lines()[0];
    assert_eq!(status["state"], "off", "{status}");
    assert_eq!(status["directory"], home.work().to_string_lossy().as_ref());
}

#[test]
fn why_a_path_is_mirrored_or_not_is_said_with_file_and_line() {
    let home = Home::new();
    home.write(".gitignore", "# logs\n*.log\n");
    home.write("a.log", "x");
    home.run(&["run", "-p", "/write a.txt x", "--agent", "demo"])
        .exits(0);
    let says = |path: &str| home.run(&["mirror", "why", "last", path]).exits(0).stdout();
    let hidden = says("a.log");
    assert!(
        hidden.contains("a.log: not mirrored: `*.log` in .gitignore, line 2, names it"),
        "{hidden}"
    );
    assert!(says("a.txt").contains("a.txt: mirrored: the same here and there"));
    assert!(says(".git/config").contains("not mirrored: inside .git"));
    let told = one(&home, &["mirror", "why", "last", "a.log", "--json"]);
    let names = "v run path mirrored cause text folder file line pattern";
    assert_eq!(fields(&told).join(" "), names);
    assert_eq!(
        (&told["mirrored"], &told["cause"]),
        (&json!(false), &json!("gitignore"))
    );
}

#[test]
fn an_undone_file_is_again_what_it_was() {
    let home = Home::new();
    home.write("a.txt", "before\n");
    home.run(&["run", "-p", "/write a.txt after", "--agent", "demo"])
        .exits(0);
    assert_eq!(home.read("a.txt").as_deref(), Some("after"));
    let undo = ["mirror", "undo", "last", "a.txt"];
    let shown = home.run(&undo).exits(0);
    assert!(
        shown.stdout().contains("put back    a.txt"),
        "{}",
        shown.stdout()
    );
    assert_eq!(home.read("a.txt").as_deref(), Some("after"));
    home.run(&[&undo[..], &["--yes"]].concat()).exits(0);
    assert_eq!(home.read("a.txt").as_deref(), Some("before\n"));
}

#[test]
fn a_run_is_not_removed_with_what_an_undo_could_put_back_before_somebody_says_so() {
    let home = Home::new();
    home.write("a.txt", "before\n");
    home.run(&["run", "-p", "/write a.txt after", "--agent", "demo"])
        .exits(0);
    let refused = home.run(&["rm", "last"]).exits(2).stderr();
    assert!(refused.contains("nothing was removed"), "{refused}");
    assert!(refused.contains("1 version, 7 B"), "{refused}");
    assert!(refused.contains("--yes"), "{refused}");
    home.run(&["mirror", "undo", "last", "a.txt", "--yes"])
        .exits(0);
    assert_eq!(home.read("a.txt").as_deref(), Some("before\n"));
    home.run(&["rm", "last", "--yes"]).exits(0);
    home.run(&["status", "last"]).exits(4);
    // Of a run that replaced nothing nothing is lost.
    home.run(&["run", "-p", "/write b.txt new", "--agent", "demo"])
        .exits(0);
    home.run(&["rm", "last"]).exits(0);
}

#[test]
fn bad_input_gets_a_sentence_and_its_exit_code() {
    let home = Home::new();
    let says = |arguments: &[&str], code: i32, part: &str| {
        let done = home.run(arguments).exits(code);
        assert!(
            done.stderr().contains(part),
            "{arguments:?}: {}",
            done.stderr()
        );
        assert_eq!(done.stdout(), "", "{arguments:?}");
        assert!(!done.stderr().contains("panicked"), "{}", done.stderr());
    };
    says(&["status", "nosuch"], 4, "there is no run `nosuch`");
    says(
        &["run", "-p", "x", "--agent", "nobody"],
        2,
        "there is no agent `nobody`",
    );
    says(
        &["run", "-p", "  ", "--agent", "demo"],
        2,
        "the prompt is empty",
    );
    says(&["ls", "--status", "moon"], 2, "no status of a run");
    says(&["frobnicate"], 2, "frobnicate");
    says(&["prune"], 2, "not in this version");
    says(
        &["ls", "--endpoint", "http://127.0.0.1:9"],
        7,
        "cannot be reached",
    );
    says(
        &["ls", "--endpoint", "no such thing"],
        2,
        "neither the name of an endpoint nor a URL",
    );
    says(&["-C", "/nonexistent/x", "ls"], 2, "/nonexistent/x");
    home.write("bad.toml", "them = \"dark\"\n");
    says(&["--config", "bad.toml", "ls"], 2, "Did you mean `theme`?");
}

#[test]
fn a_crashed_agent_is_a_failed_run_and_the_next_message_starts_it_again() {
    let home = Home::new();
    let done = home
        .run(&[
            "run", "-p", "/crash", "--agent", "demo", "--format", "ndjson",
        ])
        .exits(9);
    assert!(
        done.lines().last().expect("a result")["result"].is_object(),
        "{}",
        done.stdout()
    );
    home.run(&["send", "last", "/say 2"]).exits(0);
    home.run(&["wait", "last", "--for", "idle", "--timeout", "60s"])
        .exits(0);
    let events = home.run(&["events", "last", "--format", "ndjson"]).exits(0);
    assert!(
        text_of(&events.lines()).contains("w1 w2 "),
        "{}",
        events.stdout()
    );
}

#[test]
fn a_question_ends_a_headless_turn_with_five_and_waits_for_its_answer() {
    let home = Home::new();
    home.run(&[
        "run",
        "-p",
        "/ask may I?",
        "--agent",
        "demo",
        "--permissions",
        "ask",
    ])
    .exits(5);
    let listed = home.run(&["answer", "last", "--json"]).exits(0);
    assert_eq!(
        listed.lines()[0]["requests"].as_array().map(Vec::len),
        Some(1),
        "{}",
        listed.stdout()
    );
    home.run(&["answer", "last", "1"]).exits(0);
    home.run(&["wait", "last", "--for", "idle", "--timeout", "60s"])
        .exits(0);
    assert!(home.run(&["answer", "last"]).exits(0).stdout().is_empty());
}

/// The names of an object's fields, in order.
fn fields(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

/// The one object a command prints.
fn one(home: &Home, arguments: &[&str]) -> Value {
    let done = home.run(arguments).exits(0);
    let mut lines = done.lines();
    assert_eq!(lines.len(), 1, "{arguments:?}: {}", done.stdout());
    lines.remove(0)
}

const WRITE: [&str; 5] = ["run", "-p", "/write a.txt x", "--agent", "demo"];

#[test]
fn a_headless_run_prints_exactly_the_fields_of_the_surface() {
    let home = Home::new();
    let ndjson = home
        .run(&[&WRITE[..], &["--format", "ndjson"]].concat())
        .exits(0);
    let lines = ndjson.lines();
    let result = lines.last().expect("a result");
    assert_eq!(fields(result), ["v", "run", "result"]);
    assert_eq!(
        fields(&result["result"]),
        ["stop_reason", "status", "files", "conflicts", "held"]
    );
    assert_eq!(
        fields(&lines[0]),
        ["v", "run", "seq", "time", "from", "message"]
    );
    let mirror = lines.iter().find(|line| line["mirror"].is_object());
    assert_eq!(
        fields(&mirror.expect("a file")["mirror"]),
        ["path", "change", "direction", "result", "hash", "reason"]
    );
    let json = one(&home, &[&WRITE[..], &["--json"]].concat());
    let names = ["v", "run", "task", "stop_reason", "text", "files"];
    assert_eq!(fields(&json), names);
    let failed = home
        .run(&["run", "-p", "/error", "--agent", "demo", "--json"])
        .exits(9);
    assert!(failed.lines()[0]["error"].is_string());
}

#[test]
fn one_shot_commands_print_exactly_the_fields_of_the_surface() {
    let home = Home::new();
    let detached = one(
        &home,
        &["run", "/say 1", "--agent", "demo", "--detach", "--json"],
    );
    assert_eq!(fields(&detached), ["v", "run", "task", "endpoint", "url"]);
    let url = detached["url"].as_str().expect("a URL");
    let endpoint = detached["endpoint"].as_str().expect("a URL");
    assert!(url.starts_with(&format!("{endpoint}/api/projects/1/tasks/")));
    home.run(&["wait", url, "--timeout", "60s"]).exits(0);
    let ls = one(&home, &["ls", "--json"]);
    assert_eq!(fields(&ls), ["v", "runs"]);
    let names = "run task title status environment agent directory updated_at needs";
    assert_eq!(fields(&ls["runs"][0]).join(" "), names);
    let prefix = &detached["run"].as_str().expect("an id")[..8];
    let status = one(&home, &["status", prefix, "--json"]);
    let names = "v run status turn endpoint last_seq context mirror pr_url clients messages";
    assert_eq!(fields(&status).join(" "), names);
    let mirror = one(&home, &["mirror", "status", "last", "--json"]);
    let names =
        "v run state directory down up direction conflicts held held_count checked_at polls";
    assert_eq!(fields(&mirror).join(" "), names);
    assert_eq!(fields(&status["mirror"]).join(" "), names);
}

/// A headless run that is in the middle of its turn.
fn hanging(home: &Home) -> (std::process::Child, String) {
    let child = home
        .ashore(&[
            "run", "-p", "/hang", "--agent", "demo", "--format", "ndjson",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let run = until("the turn runs", || {
        let done = home.run(&["ls", "--json"]).exits(0);
        let row = done.lines()[0]["runs"][0]["run"].as_str()?.to_owned();
        let status = home.run(&["events", &row, "--format", "ndjson"]).exits(0);
        status.stdout().contains("session/prompt").then_some(row)
    });
    (child, run)
}

#[test]
fn a_turn_that_someone_else_cancels_ends_with_ten() {
    let home = Home::new();
    let (child, run) = hanging(&home);
    home.run(&["wait", &run, "--timeout", "0s"]).exits(3);
    home.run(&["cancel", &run]).exits(0);
    let done = child.wait_with_output().expect("ends");
    assert_eq!(done.status.code(), Some(10), "{done:?}");
    let out = String::from_utf8_lossy(&done.stdout);
    let last: Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["result"]["stop_reason"], "cancelled");
}

#[test]
fn a_signal_ends_the_command_with_its_code_and_the_run_goes_on() {
    for (signal, code) in [
        (rustix::process::Signal::INT, 130),
        (rustix::process::Signal::TERM, 143),
    ] {
        let home = Home::new();
        let (child, run) = hanging(&home);
        let pid = i32::try_from(child.id()).expect("small");
        let pid = rustix::process::Pid::from_raw(pid).expect("not 0");
        rustix::process::kill_process(pid, signal).expect("it runs");
        let done = child.wait_with_output().expect("ends");
        assert_eq!(done.status.code(), Some(code), "{done:?}");
        let status = home.run(&["status", &run, "--json"]).exits(0);
        assert_eq!(status.lines()[0]["turn"], "working");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let home = Home::new();
    home.run(&["run", "-p", "/say 2000", "--agent", "demo"])
        .exits(0);
    let mut child = home
        .ashore(&["events", "last"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let done = child.wait_with_output().expect("ends");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_prompt_from_stdin_is_sent_and_an_empty_one_is_refused() {
    let home = Home::new();
    let run = detached(&home, "/say 1");
    let send = |text: &str| {
        home.write("prompt.txt", text);
        let file = std::fs::File::open(home.work().join("prompt.txt")).expect("just written");
        let mut command = home.ashore(&["send", &run, "-"]);
        let done = command.stdin(file).output().expect("starts");
        done.status.code()
    };
    assert_eq!(send("/say 3\n"), Some(0));
    assert_eq!(send(" \n"), Some(2));
    home.run(&["wait", &run, "--timeout", "60s"]).exits(0);
    let events = home
        .run(&["events", &run, "--from", "2", "--format", "ndjson"])
        .exits(0);
    assert_eq!(sequences(&events.lines())[0], 2);
    assert!(text_of(&events.lines()).ends_with("w1 w2 w3 "));
}

#[test]
fn what_helps_to_repair_works_with_a_broken_config() {
    let home = Home::new();
    home.write("../home/.config/ashore/config.toml", "them = \"dark\"\n");
    home.run(&["ls"]).exits(2);
    for arguments in [
        &["config", "path"][..],
        &["logs"],
        &["doctor"],
        &["reset-terminal"],
    ] {
        let done = home.run(arguments).exits(0);
        let quiet = arguments[0] == "reset-terminal";
        assert_eq!(
            done.stderr().contains("Did you mean `theme`?"),
            !quiet,
            "{}",
            done.stderr()
        );
    }
    // Its standard input is over at once, so it ends at once.
    home.run(&["demo-agent"]).exits(0);
    let agent = home.run(&["agent", "--launch", "nowhere.json"]).exits(2);
    assert!(
        agent.stderr().contains("nowhere.json"),
        "{}",
        agent.stderr()
    );
}

#[test]
fn a_state_folder_that_cannot_be_made_is_told_in_a_sentence() {
    let home = Home::new();
    home.write("../home/.local/state", "a file stands here");
    let done = home.run(&["ls"]).exits(1);
    assert!(done.stderr().contains("ashore/logs"), "{}", done.stderr());
    assert!(!done.stderr().contains("panicked"), "{}", done.stderr());
}

#[test]
fn an_endpoint_that_is_down_is_seven_for_every_one_shot_command() {
    let home = Home::new();
    let run = "http://127.0.0.1:9/api/projects/1/tasks/t/runs/r";
    for arguments in [
        &["status", run][..],
        &["send", run, "hello"],
        &["cancel", run],
        &["stop", run],
        &["rm", run],
        &["answer", run],
        &["events", run],
    ] {
        let done = home.run(arguments).exits(7);
        assert!(
            done.stderr().contains("cannot be reached"),
            "{arguments:?}: {}",
            done.stderr()
        );
        assert_eq!(done.stdout(), "");
    }
    home.run(&["serve", "--listen", "0.0.0.0:1"]).exits(2);
}

/// Without `HOME` the user database is asked; a user it does not know has to name the places.
#[test]
fn a_user_without_a_home_is_told_what_to_set() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let home = Home::new();
    let anyone = std::fs::Permissions::from_mode(0o777);
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, anyone.clone()).expect("ours");
    };
    let folder = home.home();
    let program = folder.join("ashore");
    std::fs::copy(env!("CARGO_BIN_EXE_ashore"), &program).expect("room for a copy");
    for path in [
        folder.parent().expect("has one"),
        &folder,
        &home.work(),
        &program,
    ] {
        open(path);
    }
    let ashore = |more: &[(&str, &std::path::Path)]| {
        let mut command = std::process::Command::new(&program);
        command
            .args(["config", "path"])
            .current_dir(home.work())
            .env_clear()
            .envs(more.iter().copied());
        // Nobody has this number. Only root may take another's; else the own one stays, whose home is known.
        if rustix::process::geteuid().is_root() {
            command.uid(54_321);
        }
        command.output().expect("it starts")
    };
    let named = ashore(&[
        ("XDG_CONFIG_HOME", &folder.join("c")),
        ("XDG_STATE_HOME", &folder.join("s")),
        ("XDG_CACHE_HOME", &folder.join("k")),
    ]);
    let told = String::from_utf8_lossy(&named.stdout).into_owned();
    assert_eq!(named.status.code(), Some(0), "{named:?}");
    let config = folder.join("c/ashore/config.toml");
    assert_eq!(told.trim(), config.to_str().expect("UTF-8"));
    if rustix::process::geteuid().is_root() {
        let bare = ashore(&[]);
        let said = String::from_utf8_lossy(&bare.stderr).into_owned();
        assert_eq!(bare.status.code(), Some(2), "{said}");
        assert!(said.contains("set HOME"), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
}

#[test]
fn files_go_with_a_prompt_by_their_paths() {
    let home = Home::new();
    home.write("notes.md", "# Notes of the harbour\n");
    home.write("shot.gif", "GIF89a and so on");
    let run = |more: &[&str]| {
        let mut words = vec!["run", "-p", "/say 1", "--agent", "demo"];
        words.extend(more);
        home.run(&words)
    };
    // Read before anything is made.
    let done = run(&["--attach", "gone.md"]).exits(2);
    assert!(
        done.stderr().contains("gone.md cannot be read"),
        "{}",
        done.stderr()
    );
    let none = home.run(&["ls", "--all", "--json"]).exits(0);
    assert_eq!(none.lines()[0]["runs"], serde_json::json!([]));
    run(&["--attach", "notes.md", "--attach", "shot.gif"]).exits(0);
    let all = home.run(&["events", "last", "--format", "ndjson"]).exits(0);
    let out = all.stdout();
    assert!(out.contains("# Notes of the harbour"), "{out}");
    let told = "this agent takes no pictures with a message: image/gif was not given to it";
    assert!(out.contains(told), "{out}");
    // What it takes is known by now.
    let refused = home
        .run(&["send", "last", "look", "--attach", "shot.gif"])
        .exits(1);
    let why = refused.stderr();
    assert!(
        why.contains("takes no pictures with a message: nothing was sent because of shot.gif"),
        "{why}"
    );
    home.write("more.md", "# More of it\n");
    home.run(&["send", "last", "/say 2", "--attach", "more.md"])
        .exits(0);
    home.run(&["wait", "last", "--timeout", "60s"]).exits(0);
    let all = home.run(&["events", "last", "--format", "ndjson"]).exits(0);
    assert!(all.stdout().contains("# More of it"), "{}", all.stdout());
    assert!(!all.stdout().contains("\"look\""), "{}", all.stdout());
}
