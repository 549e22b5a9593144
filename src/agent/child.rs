//! The agent child: its environment, its process group, its last words.
//!
//! The whole group ends with the turn server's wish, since adapters start native programs that outlive them. Our token
//! and the endpoint's variables never reach it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::agent::acp::{Heard, Order, converse};
use crate::agent::home;
use crate::protocol::launch::Launch;
use crate::protocol::presets::{self, Program};

/// What is kept of the child's standard error, in bytes.
const LAST_WORDS: usize = 8 * 1024;
/// How much of that is told to people: at most three lines, and these many bytes.
const LAST_LINES: usize = 500;
/// How long a group may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// After the child's exit its grandchildren may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(1);

/// A program with everything it is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    /// The preset's name, or the program's.
    pub(crate) name: String,
    /// What to run to log in, when we know.
    pub(crate) login: Option<&'static str>,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no agent named `{0}`")]
    Unknown(String),
    #[error("the agent `{name}` is not installed: none of its programs is on the PATH")]
    Missing { name: String, install: &'static str },
    #[error("`{0}` is no command line")]
    BadCommand(String),
    #[error("cannot start {program}")]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Unknown(_) => {
                let names: Vec<&str> = presets::ALL.iter().map(|preset| preset.name).collect();
                format!("use one of {}, or --agent-command", names.join(", "))
            }
            Self::Missing { install, .. } => {
                format!("install it with `{install}`, or use --agent demo, which is built in")
            }
            Self::BadCommand(_) => "check its quotes".to_owned(),
            Self::Spawn { .. } => {
                "check that the program is installed and may be executed".to_owned()
            }
        }
    }
}

/// Works out what to start. `base` is our own environment, `executable` this very program.
pub(crate) fn spec(
    launch: &Launch,
    base: &BTreeMap<String, String>,
    executable: &Path,
    directory: &Path,
) -> Result<Spec, Error> {
    let mut environment = environment(launch, base);
    let path = environment.get("PATH").cloned().unwrap_or_default();
    let (program, arguments, name, login) = match &launch.agent_command {
        Some(command) => {
            let bad = || Error::BadCommand(command.clone());
            let mut words = shlex::split(command).ok_or_else(bad)?.into_iter();
            let program = words.next().ok_or_else(bad)?;
            let program = on_path(&program, &path).unwrap_or_else(|| program.clone().into());
            let name = program
                .file_name()
                .map_or_else(|| "agent".to_owned(), |n| n.to_string_lossy().into_owned());
            (program, words.collect(), name, None)
        }
        None => {
            let name = launch.agent.as_deref().unwrap_or(presets::DEMO);
            let preset = presets::named(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
            let found = presets::lookup(name, &path, Path::is_file).ok_or(Error::Missing {
                name: name.to_owned(),
                install: preset.install,
            })?;
            let sets = preset.sets.iter();
            environment.extend(sets.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
            let (program, arguments) = match found.program {
                Program::BuiltIn => {
                    let home = launch.folder.join("home").display().to_string();
                    environment.insert("HOME".to_owned(), home);
                    (executable.to_owned(), vec!["demo-agent".to_owned()])
                }
                Program::At { path, arguments } => (
                    path,
                    arguments.iter().map(|&word| word.to_owned()).collect(),
                ),
            };
            (program, arguments, name.to_owned(), Some(preset.login))
        }
    };
    Ok(Spec {
        program,
        arguments,
        environment,
        directory: directory.to_owned(),
        name,
        login,
    })
}

fn on_path(program: &str, path: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return None;
    }
    path.split(':')
        .map(Path::new)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|at| at.is_file())
}

/// What every child gets of our own surroundings; the rest comes with the run.
const INHERITED: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "LANG",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

/// Inherited, then the run's own, then what is ours to set; never a variable of ours.
pub(crate) fn environment(
    launch: &Launch,
    base: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let inherited = |key: &str| INHERITED.contains(&key) || key.starts_with("LC_");
    let mut all: BTreeMap<String, String> = base
        .iter()
        .filter(|(key, _)| inherited(key))
        .chain(&launch.secrets)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let temp = launch.folder.join("tmp").display().to_string();
    for key in ["TMPDIR", "TMP", "TEMP"] {
        all.insert(key.to_owned(), temp.clone());
    }
    // One that the user has named for the agent is meant.
    if !launch.secrets.contains_key("HOME") {
        let ours = home::of(launch, base.get("HOME").map(String::as_str));
        all.insert("HOME".to_owned(), ours.display().to_string());
    }
    // A name or a value with NUL could not be passed on; a secret named like ours, or equal to our token, stays here.
    all.retain(|key, value| {
        let fits = !key.is_empty() && !key.contains(['=', '\0']) && !value.contains('\0');
        fits && !key.starts_with("ASHORE_") && !value.contains(&launch.token)
    });
    all
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) orders: mpsc::Sender<Order>,
    /// Dropping it ends the child as well.
    #[expect(dead_code, reason = "held for its drop")]
    end: oneshot::Sender<()>,
    pid: Option<u32>,
}

impl Running {
    /// Leaves the child's number in the run's folder, so that the next start can end it should we be killed.
    pub(crate) async fn remember(&self, folder: &Path) {
        let Some(left) = self.pid.and_then(Left::of) else {
            return;
        };
        let text = serde_json::to_vec(&left).unwrap_or_default();
        if let Err(error) = tokio::fs::write(folder.join(LEFT), text).await {
            tracing::warn!(%error, "the agent's number could not be kept");
        }
    }
}

const LEFT: &str = "child.json";

/// A child, known across our own restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    pid: i32,
    /// In clock ticks since boot, so that a number used again is not taken for it.
    started: u64,
    boot: String,
}

impl Left {
    fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        // Field 22; the name before it may hold blanks and brackets.
        let (_, fields) = stat.rsplit_once(')')?;
        Some(Self {
            pid: pid.cast_signed(),
            started: fields.split_whitespace().nth(19)?.parse().ok()?,
            boot: boot.trim().to_owned(),
        })
    }
}

/// Ends the child of a start that was killed: two must never work on one run.
pub(crate) async fn end_left(folder: &Path) {
    let at = folder.join(LEFT);
    let Ok(text) = tokio::fs::read(&at).await else {
        return;
    };
    if let Ok(left) = serde_json::from_slice::<Left>(&text)
        && Left::of(left.pid.cast_unsigned()).as_ref() == Some(&left)
        && let Some(group) = Pid::from_raw(left.pid)
    {
        tracing::info!(left.pid, "an agent of a former start is ended");
        if let Err(error) = kill_process_group(group, Signal::KILL) {
            tracing::debug!(%error, "it had ended by itself");
        }
    }
    drop(tokio::fs::remove_file(at).await);
}

/// Starts the child. The future drives it and, at its end, says why it ended; the group is gone then.
pub(crate) fn start(
    spec: &Spec,
    run: Arc<str>,
    heard: mpsc::Sender<Heard>,
) -> Result<(Running, impl Future<Output = String> + Send + 'static), Error> {
    let mut process = Command::new(&spec.program)
        .args(&spec.arguments)
        .current_dir(&spec.directory)
        .env_clear()
        .envs(&spec.environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Spawn {
            program: spec.program.clone(),
            source,
        })?;
    let (orders, ordered) = mpsc::channel(64);
    let (end, ended) = oneshot::channel();
    let pid = process.id();
    let stdin = process.stdin.take().expect("piped above");
    let stdout = process.stdout.take().expect("piped above");
    let stderr = process.stderr.take().expect("piped above");
    let talk = converse(stdout, stdin, run, heard, ordered);
    let driven = drive(process, talk, last_words(stderr), ended);
    Ok((Running { orders, end, pid }, driven))
}

async fn drive(
    mut process: Child,
    talk: impl Future<Output = Result<(), agent_client_protocol::Error>>,
    words: impl Future<Output = String>,
    ended: oneshot::Receiver<()>,
) -> String {
    let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (stop, stopped) = oneshot::channel::<()>();
    let life = async {
        let mut talk = std::pin::pin!(talk);
        let end = tokio::select! {
            _ = ended => End::Told,
            status = process.wait() => {
                // What it wrote before it died still counts.
                drop(timeout(DRAIN, &mut talk).await);
                End::Exit(status)
            }
            talked = &mut talk => match timeout(GRACE, process.wait()).await {
                Ok(status) => End::Exit(status),
                Err(_) => End::HungUp(talked.err().map(|error| error.to_string())),
            },
        };
        end_group(&mut process, group).await;
        drop(stop);
        end
    };
    let words = async {
        tokio::pin!(words);
        let words = tokio::select! {
            words = &mut words => words,
            _ = stopped => timeout(DRAIN, &mut words).await.unwrap_or_default(),
        };
        words.trim().to_owned()
    };
    let (end, words) = tokio::join!(life, words);
    tracing::info!(words, "the agent's last words");
    describe(end, &words)
}

enum End {
    Told,
    Exit(io::Result<ExitStatus>),
    HungUp(Option<String>),
}

fn describe(end: End, words: &str) -> String {
    let what = match end {
        End::Told => "it was ended".to_owned(),
        End::Exit(Ok(status)) => status.to_string(),
        End::Exit(Err(error)) => format!("its end could not be seen ({error})"),
        End::HungUp(None) => "it closed its output".to_owned(),
        End::HungUp(Some(error)) => format!("the conversation broke ({error})"),
    };
    match last_lines(words) {
        "" => what,
        last => format!("{what}; its last words: {last}"),
    }
}

/// The end of what it said, short enough for a sentence; the log has the rest.
fn last_lines(words: &str) -> &str {
    let lines = words.rmatch_indices('\n').nth(2).map_or(0, |(at, _)| at);
    let from = words.ceil_char_boundary(words.len().saturating_sub(LAST_LINES));
    words[from.max(lines)..].trim()
}

/// Asks the group to end, then makes it. Its members may well outlive its leader.
async fn end_group(process: &mut Child, group: Option<Pid>) {
    let Some(group) = group else {
        return;
    };
    for signal in [Signal::TERM, Signal::KILL] {
        if kill_process_group(group, signal).is_err() {
            break;
        }
        let gone = async {
            // The leader is reaped first, since its number stays taken until then.
            let reaped = process.wait().await;
            tracing::debug!(?reaped, "the agent has ended");
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while test_kill_process_group(group).is_ok() {
                look.tick().await;
            }
        };
        if timeout(GRACE, gone).await.is_ok() {
            break;
        }
    }
}

/// Reads standard error to its end and keeps the tail.
async fn last_words(mut from: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut kept: VecDeque<u8> = VecDeque::new();
    let mut piece = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        kept.extend(&piece[..read]);
        kept.drain(..kept.len().saturating_sub(LAST_WORDS));
    }
    String::from_utf8_lossy(kept.make_contiguous()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::{ProjectId, RunRef};
    use crate::protocol::run::Policy;

    fn launch(agent: Option<&str>, command: Option<&str>) -> Launch {
        Launch {
            at: RunRef {
                project: ProjectId(1),
                task: "t".parse().unwrap(),
                run: "r".parse().unwrap(),
            },
            endpoint: "http://127.0.0.1:1".into(),
            endpoint_file: None,
            token: "run-token".into(),
            agent: agent.map(str::to_owned),
            agent_command: command.map(str::to_owned),
            agent_named: true,
            secrets: BTreeMap::new(),
            folder: "/run-folder".into(),
            directory: None,
            seeded: false,
            permissions: Policy::Auto,
            resume: false,
            recover: false,
            idle_seconds: 60,
            max_file: None,
        }
    }

    fn sh(script: &str, directory: &Path) -> Spec {
        let quoted = shlex::try_quote(script).unwrap();
        let command = format!("/bin/sh -c {quoted}");
        let base = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        let launch = launch(None, Some(&command));
        spec(&launch, &base, Path::new("/self"), directory).unwrap()
    }

    #[test]
    fn the_child_gets_what_the_run_names_and_nothing_of_ours() {
        let mut launch = launch(Some("demo"), None);
        let secrets = [
            ("OPENAI_API_KEY", "k"),
            ("PATH", "/p"),
            ("ASHORE_TOKEN", "x"),
            ("SLY", "Bearer run-token"),
            ("A=B", "c"),
        ];
        launch.secrets = secrets.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let base = [
            ("PATH", "/base"),
            ("HOME", "/h"),
            ("AWS_SECRET_ACCESS_KEY", "no"),
            ("LC_ALL", "C.UTF-8"),
        ];
        let base = base.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let got = environment(&launch, &base);
        let expected = [
            ("HOME", "/run-folder/home"),
            ("LC_ALL", "C.UTF-8"),
            ("OPENAI_API_KEY", "k"),
            ("PATH", "/p"),
            ("TEMP", "/run-folder/tmp"),
            ("TMP", "/run-folder/tmp"),
            ("TMPDIR", "/run-folder/tmp"),
        ];
        assert_eq!(
            got,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        );
        let in_place = Launch {
            directory: Some("/theirs".into()),
            ..launch.clone()
        };
        assert_eq!(environment(&in_place, &base)["HOME"], "/h");
        let mut named = launch.clone();
        named.secrets.insert("HOME".into(), "/named".into());
        assert_eq!(environment(&named, &base)["HOME"], "/named");
        let demo = spec(&launch, &base, Path::new("/self"), Path::new("/w")).unwrap();
        assert_eq!(
            (demo.program, demo.arguments),
            ("/self".into(), vec!["demo-agent".to_owned()])
        );
        assert_eq!(demo.environment["HOME"], "/run-folder/home");
    }

    #[test]
    fn a_missing_or_unknown_agent_is_refused_with_what_to_do() {
        let base = BTreeMap::from([("PATH".to_owned(), "/nowhere".to_owned())]);
        let refused =
            |launch: &Launch| spec(launch, &base, Path::new("/self"), Path::new("/w")).unwrap_err();
        let missing = refused(&launch(Some("codex"), None));
        assert!(missing.to_string().contains("codex") && missing.hint().contains("npm install"));
        assert!(
            refused(&launch(Some("nobody"), None))
                .hint()
                .contains("opencode")
        );
        assert!(matches!(
            refused(&launch(None, Some("'"))),
            Error::BadCommand(_)
        ));
        assert!(matches!(
            refused(&launch(None, Some(" "))),
            Error::BadCommand(_)
        ));
    }

    #[tokio::test]
    async fn a_child_that_dies_tells_its_status_and_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let (hear, _heard) = mpsc::channel(8);
        let spec = sh("echo oh no >&2; exit 3", directory.path());
        let (_running, driven) = start(&spec, "r".into(), hear).unwrap();
        assert_eq!(driven.await, "exit status: 3; its last words: oh no");
    }

    #[test]
    fn a_wall_of_last_words_is_cut_to_its_end() {
        let wall = "noise\n".repeat(1000) + "one\ntwo\nthree\n";
        let told = describe(End::Told, wall.trim());
        assert_eq!(told, "it was ended; its last words: one\ntwo\nthree");
        let long = "é".repeat(4000);
        let told = describe(End::Told, &long);
        assert!(told.len() < 600 && told.ends_with('é'), "{told}");
    }

    #[tokio::test]
    async fn ending_a_child_ends_its_whole_group_even_what_ignores_the_first_word() {
        let directory = tempfile::tempdir().unwrap();
        let (hear, mut heard) = mpsc::channel(8);
        // The grandchild ignores TERM, holds the pipe and tells its number in an update.
        let script = r#"sh -c 'trap "" TERM; echo "{\"method\":\"session/update\",\"params\":{\"pid\":$$}}"; while :; do sleep 1; done' & wait"#;
        let spec = sh(script, directory.path());
        let (running, driven) = start(&spec, "r".into(), hear).unwrap();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(driven);
        let Some(Heard::Update { message, .. }) = heard.recv().await else {
            panic!("the grandchild speaks");
        };
        let message: serde_json::Value = serde_json::from_str(&message).unwrap();
        let pid = Pid::from_raw(message["params"]["pid"].as_i64().unwrap() as i32).unwrap();
        running.remember(directory.path()).await;
        drop(running);
        let said = task.join_next().await.unwrap().unwrap();
        assert!(said.starts_with("it was ended"), "{said}");
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let gone = state.map_or(true, |stat| {
            stat.rsplit(')').next().unwrap().trim().starts_with('Z')
        });
        assert!(gone, "the grandchild lives on");
    }

    #[tokio::test]
    async fn the_child_of_a_killed_start_is_ended_by_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let (hear, _heard) = mpsc::channel(8);
        let spec = sh(
            "while read -r line; do :; done; sleep 600",
            directory.path(),
        );
        let (running, driven) = start(&spec, "r".into(), hear).unwrap();
        running.remember(directory.path()).await;
        let mut task = tokio::task::JoinSet::new();
        task.spawn(driven);
        end_left(directory.path()).await;
        let said = task.join_next().await.unwrap().unwrap();
        assert!(said.contains("signal: 9"), "{said}");
        assert!(!directory.path().join(LEFT).exists());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_a_sentence() {
        let directory = tempfile::tempdir().unwrap();
        let base = BTreeMap::new();
        let launch = launch(None, Some("/no/such/program"));
        let spec = spec(&launch, &base, Path::new("/self"), directory.path()).unwrap();
        let (hear, _heard) = mpsc::channel(8);
        let Err(error) = start(&spec, "r".into(), hear) else {
            panic!("cannot start");
        };
        assert_eq!(error.to_string(), "cannot start /no/such/program");
    }
}
