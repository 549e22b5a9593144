//! This user's local endpoint: finds it, starts it, ends it.
//!
//! Trusts nobody because of a port: before anything is sent, whoever listens there must prove that it knows the secret of
//! the 0600 state file. Starts a process of the same binary, never a module, and leaves it running: it outlives the screen.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hmac::Mac;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::client::api::Api;
use crate::client::endpoint::{Endpoint, Token};
use crate::client::error::Error;
use crate::client::http;
use crate::config::env::is_passed_on;
use crate::config::places::Places;

/// Version of the state file; a newer one is refused with a sentence.
const SCHEMA: u32 = 1;
/// How long a listener may think about one question.
const PROOF: Duration = Duration::from_secs(3);
/// Between two looks at an endpoint that starts or ends.
const LOOK: Duration = Duration::from_millis(25);
/// Longest piece of the log that goes into an error.
const TAIL: u64 = 2000;

/// What the local endpoint writes when it listens, and what its clients read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalState {
    pub schema: u32,
    pub port: u16,
    pub pid: u32,
    /// When that process began, in the kernel's ticks since boot: a pid alone is reused.
    #[serde(default)]
    pub pid_started: Option<u64>,
    /// Key of the proof; never sent.
    pub secret: String,
    /// The token of this user's clients.
    pub token: String,
    pub version: String,
    /// When it began to listen, UTC.
    pub started: String,
}

impl fmt::Debug for LocalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalState")
            .field("port", &self.port)
            .field("pid", &self.pid)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl LocalState {
    /// For the endpoint itself, once it listens.
    pub fn of_this_process(port: u16, secret: String, token: String) -> Self {
        let pid = std::process::id();
        Self {
            schema: SCHEMA,
            port,
            pid,
            pid_started: began(pid),
            secret,
            token,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: jiff::Timestamp::now().to_string(),
        }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            name: "local".to_owned(),
            url: Url::parse(&format!("http://127.0.0.1:{}", self.port))
                .expect("a port makes a URL"),
            token: Some(Token::new(self.token.clone())),
            local: true,
        }
    }
}

/// Where the state file stands.
pub fn state_file(places: &Places) -> PathBuf {
    places.local_endpoint().join("endpoint.json")
}

/// The endpoint's own output.
pub fn log_file(places: &Places) -> PathBuf {
    places.logs().join("endpoint.log")
}

/// The state file, if there is one that can be read.
pub fn read(places: &Places) -> Result<Option<LocalState>, Error> {
    let file = state_file(places);
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(setup(format!("cannot read {}: {error}", file.display()))),
    };
    // Anything else than an object of ours is as good as none: the next endpoint writes it anew.
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else {
        return Ok(None);
    };
    if value.get("schema").and_then(serde_json::Value::as_u64) > Some(u64::from(SCHEMA)) {
        return Err(setup(format!(
            "{} was written by a newer ashore; update this one, or end that endpoint with its own `endpoint stop`",
            file.display()
        )));
    }
    Ok(serde_json::from_value(value).ok())
}

/// Writes the state file, whole or not at all, for this user's eyes only.
pub fn write(places: &Places, state: &LocalState) -> Result<(), Error> {
    let folder = places.local_endpoint();
    let text = serde_json::to_vec_pretty(state).expect("plain fields make JSON");
    let put = || -> io::Result<()> {
        private_folder(&folder)?;
        // `tempfile` makes files 0600.
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(state_file(places))?;
        Ok(())
    };
    put().map_err(|error| {
        setup(format!(
            "cannot write {}: {error}",
            state_file(places).display()
        ))
    })
}

/// Takes the state file away, if it is still this process's own.
pub fn remove(places: &Places, pid: u32) -> Result<(), Error> {
    match read(places)? {
        Some(state) if state.pid == pid => std::fs::remove_file(state_file(places))
            .map_err(|error| setup(format!("cannot remove the state file: {error}"))),
        Some(_) | None => Ok(()),
    }
}

/// What the endpoint answers to `GET /health?nonce=N`, as `proof`: HMAC-SHA256 under the secret, in hex.
pub fn proof(secret: &str, nonce: &str) -> String {
    let mut mac = <hmac::Hmac<sha2::Sha256> as Mac>::new_from_slice(secret.as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(nonce.as_bytes());
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The local endpoint, if it runs and proves that it is ours.
pub async fn look(places: &Places) -> Result<Option<LocalState>, Error> {
    let Some(state) = read(places)? else {
        return Ok(None);
    };
    Ok(proves(&state).await.then_some(state))
}

/// The same for whoever was told only where the state file stands: where the endpoint is now, if it proves itself.
pub async fn look_at(file: &std::path::Path) -> Option<Url> {
    let text = std::fs::read(file).ok()?;
    let state: LocalState = serde_json::from_slice(&text).ok()?;
    proves(&state).await.then(|| state.endpoint().url)
}

async fn proves(state: &LocalState) -> bool {
    #[derive(Deserialize)]
    struct Health {
        proof: String,
    }
    let nonce = uuid::Uuid::new_v4().to_string();
    let mut url = state.endpoint().url;
    url.set_path("/health");
    url.query_pairs_mut().append_pair("nonce", &nonce);
    let ask = async {
        let client = http::client(&url, None)?;
        let answer = http::send(client.get(url.clone()).timeout(PROOF)).await?;
        http::json::<Health>(answer).await
    };
    match ask.await {
        Ok(health) => {
            let want = proof(&state.secret, &nonce);
            want.as_bytes().ct_eq(health.proof.as_bytes()).into()
        }
        Err(_) => false,
    }
}

/// How to start one.
#[derive(Clone)]
pub struct Starter {
    pub places: Places,
    /// `/proc/self/exe`, so that an upgrade of the file does not mix versions; another program in tests.
    pub program: PathBuf,
    /// `serve --local`.
    pub arguments: Vec<String>,
    /// The caller's environment; only what [`is_passed_on`] names goes on.
    pub environment: BTreeMap<String, String>,
    pub deadline: Duration,
}

impl Starter {
    /// Starts this very program.
    pub fn of_this_program(places: Places, environment: BTreeMap<String, String>) -> Self {
        Self {
            places,
            program: own_program(),
            arguments: vec!["serve".to_owned(), "--local".to_owned()],
            environment,
            deadline: Duration::from_secs(20),
        }
    }
}

fn own_program() -> PathBuf {
    let proc = Path::new("/proc/self/exe");
    if proc.exists() {
        return proc.to_owned();
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("ashore"))
}

/// A running local endpoint, and what its user should know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub state: LocalState,
    /// It is older than this program and could not be replaced now.
    pub note: Option<String>,
}

/// The running local endpoint; starts it when there is none, and in the place of an older one when no turn runs.
pub async fn find_or_start(starter: &Starter) -> Result<Found, Error> {
    if let Ok(found) = fitting(&starter.places).await? {
        return Ok(found);
    }
    let due = Instant::now() + starter.deadline;
    let _lock = start_lock(&starter.places, due).await?;
    // Whoever had the lock before has probably started it.
    match fitting(&starter.places).await? {
        Ok(found) => return Ok(found),
        Err(Unfit::None) => (),
        // An upgrade keeps the agents (design 9).
        Err(Unfit::Old) => {
            stop(&starter.places, Reach::Endpoint, starter.deadline).await?;
        }
    }
    let child = spawn(starter)?;
    let state = wait_until_it_proves(starter, child, due).await?;
    Ok(Found { state, note: None })
}

/// Why no endpoint that runs will do.
enum Unfit {
    None,
    Old,
}

async fn fitting(places: &Places) -> Result<Result<Found, Unfit>, Error> {
    let Some(state) = look(places).await? else {
        return Ok(Err(Unfit::None));
    };
    let ours = env!("CARGO_PKG_VERSION");
    let mut skewed = skew(ours, &state.version, true);
    if skewed == Skew::Keep {
        skewed = skew(ours, &state.version, has_turn(&state).await);
    }
    let note = match skewed {
        Skew::Replace => return Ok(Err(Unfit::Old)),
        Skew::Keep => Some(format!(
            "The local endpoint is ashore {} and a turn runs on it; this one, {ours}, takes its place when none does.",
            http::plain(&state.version)
        )),
        Skew::Same | Skew::Newer => None,
    };
    Ok(Ok(Found { state, note }))
}

/// One that does not answer is left alone.
async fn has_turn(state: &LocalState) -> bool {
    let Ok(api) = Api::new(state.endpoint(), None) else {
        return true;
    };
    match tokio::time::timeout(PROOF, api.me()).await {
        Ok(Ok(hello)) => !hello.me.working.is_empty(),
        Ok(Err(_)) | Err(_) => true,
    }
}

/// One start at a time; the lock ends with the file, also when its holder is killed.
async fn start_lock(places: &Places, due: Instant) -> Result<File, Error> {
    let folder = places.local_endpoint();
    let file = folder.join("start.lock");
    let failed = |error: io::Error| setup(format!("cannot lock {}: {error}", file.display()));
    private_folder(&folder).map_err(failed)?;
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&file)
        .map_err(failed)?;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < due => {
                tokio::time::sleep(LOOK).await;
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::Unreachable {
                    text: format!(
                        "another ashore has been starting the local endpoint for too long; its lock is {}",
                        file.display()
                    ),
                });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn spawn(starter: &Starter) -> Result<Child, Error> {
    let log = log_file(&starter.places);
    let failed = |error: io::Error| {
        setup(format!(
            "cannot start the local endpoint ({} {}): {error}",
            starter.program.display(),
            starter.arguments.join(" ")
        ))
    };
    private_folder(&starter.places.logs()).map_err(failed)?;
    let out = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .map_err(failed)?;
    let environment = starter
        .environment
        .iter()
        .filter(|(name, _)| is_passed_on(name));
    Command::new(&starter.program)
        .args(&starter.arguments)
        .env_clear()
        .envs(environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(out)
        // Its own group: Ctrl+C in this terminal is not meant for it.
        .process_group(0)
        .spawn()
        .map_err(failed)
}

async fn wait_until_it_proves(
    starter: &Starter,
    mut child: Child,
    due: Instant,
) -> Result<LocalState, Error> {
    let tail = || tail(&log_file(&starter.places));
    loop {
        if let Some(state) = look(&starter.places).await? {
            return Ok(state);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Error::Unreachable {
                text: format!(
                    "the local endpoint ended while it started ({status}){}",
                    tail()
                ),
            });
        }
        if Instant::now() >= due {
            return Err(Error::Unreachable {
                text: format!(
                    "the local endpoint did not come up within {} s{}",
                    starter.deadline.as_secs(),
                    tail()
                ),
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The end of the log as the end of a sentence.
fn tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    match read() {
        Ok(text) if !text.is_empty() => {
            format!("; the end of its log, {}:\n{text}", log.display())
        }
        Ok(_) | Err(_) => format!("; its log, {}, is empty", log.display()),
    }
}

/// How much ends with the local endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Itself only: its agent servers go on and are taken up by the next one.
    Endpoint,
    /// Its agent servers first.
    Agents,
}

/// Ends the local endpoint and waits until it is gone; false when there was none.
pub async fn stop(places: &Places, reach: Reach, deadline: Duration) -> Result<bool, Error> {
    let Some(state) = look(places).await? else {
        return Ok(false);
    };
    let due = Instant::now() + deadline;
    terminate(&state, reach)?;
    while is_alive(&state) {
        if Instant::now() >= due {
            return Err(Error::Unreachable {
                text: format!(
                    "the local endpoint (pid {}) was asked to end and has not within {} s; its log is {}",
                    state.pid,
                    deadline.as_secs(),
                    log_file(places).display()
                ),
            });
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(true)
}

fn terminate(state: &LocalState, reach: Reach) -> Result<(), Error> {
    let signal = match reach {
        Reach::Endpoint => rustix::process::Signal::TERM,
        Reach::Agents => rustix::process::Signal::USR1,
    };
    // RACE: the process may end, and its number be given away, between this look and the signal. It has just proved that
    // it knows the secret, so that would need a whole round of process numbers within a millisecond.
    let pid = i32::try_from(state.pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    match pid.filter(|_| is_alive(state)) {
        Some(pid) => rustix::process::kill_process(pid, signal)
            .map_err(|error| setup(format!("cannot end process {}: {error}", state.pid))),
        None => Ok(()),
    }
}

/// The process that wrote the file is still there, and is no later one with its number.
fn is_alive(state: &LocalState) -> bool {
    match (began(state.pid), state.pid_started) {
        (Some(now), Some(then)) => now == then,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// When a process began, in ticks since boot; a zombie has ended.
fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so fields are counted from its end: state is the 3rd, start the 22nd.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let began = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(began)
}

/// What to do about an endpoint of another version (design 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    Same,
    /// Older, and no turn runs: end it and start ours.
    Replace,
    /// Older, but a turn runs: one line says so, and it serves on.
    Keep,
    /// Newer than this client: it serves on; wire v1 only ever gains fields.
    Newer,
}

/// Pure: versions and whether a turn runs in, decision out.
pub fn skew(ours: &str, theirs: &str, turn_runs: bool) -> Skew {
    match version(theirs).cmp(&version(ours)) {
        std::cmp::Ordering::Equal => Skew::Same,
        std::cmp::Ordering::Greater => Skew::Newer,
        std::cmp::Ordering::Less if turn_runs => Skew::Keep,
        std::cmp::Ordering::Less => Skew::Replace,
    }
}

/// The three numbers; what is no number counts as 0.
fn version(text: &str) -> [u64; 3] {
    let core = text.split(['-', '+']).next().unwrap_or(text);
    let mut numbers = core.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

fn private_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn setup(text: String) -> Error {
    Error::Setup { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    fn places(folder: &Path) -> Places {
        Places {
            config: folder.join("config"),
            state: folder.join("state"),
            cache: folder.join("cache"),
        }
    }

    fn state(port: u16) -> LocalState {
        LocalState::of_this_process(port, "the secret".to_owned(), "the token".to_owned())
    }

    /// Answers `/health` with the proof under this secret, and counts nothing else.
    async fn health(secret: &'static str) -> (u16, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut asked = vec![0; 4096];
                let read = socket.read(&mut asked).await.unwrap();
                let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
                assert!(!asked.to_lowercase().contains("authorization"), "{asked}");
                let nonce = asked.split_once("nonce=").unwrap().1.split(' ').next().unwrap();
                let body = format!(r#"{{"status":"ok","proof":"{}"}}"#, proof(secret, nonce));
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (port, tasks)
    }

    #[test]
    fn the_state_file_is_private_and_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        assert_eq!(read(&places), Ok(None));
        write(&places, &state(1)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state_file(&places)), 0o600);
        assert_eq!(mode(&places.local_endpoint()), 0o700);
        assert_eq!(read(&places).unwrap().map(|read| read.port), Some(1));
        let shown = format!("{:?}", state(1));
        assert!(!shown.contains("the secret") && !shown.contains("the token"));
    }

    #[test]
    fn a_state_file_of_a_newer_version_is_refused_and_a_torn_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let mut newer = state(1);
        newer.schema = 2;
        write(&places, &newer).unwrap();
        assert!(matches!(read(&places), Err(Error::Setup { .. })));
        let mut file = File::create(state_file(&places)).unwrap();
        file.write_all(b"{\"schema\":1,\"po").unwrap();
        assert_eq!(read(&places), Ok(None));
    }

    #[test]
    fn only_the_process_that_wrote_the_file_takes_it_away() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        write(&places, &state(1)).unwrap();
        remove(&places, 1).unwrap();
        assert!(read(&places).unwrap().is_some());
        remove(&places, std::process::id()).unwrap();
        assert!(read(&places).unwrap().is_none());
    }

    #[tokio::test]
    async fn whoever_listens_must_know_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let (port, _honest) = health("the secret").await;
        write(&places, &state(port)).unwrap();
        assert_eq!(
            look(&places).await.unwrap().map(|found| found.port),
            Some(port)
        );
        let (port, _impostor) = health("another secret").await;
        write(&places, &state(port)).unwrap();
        assert_eq!(look(&places).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_endpoint_that_dies_at_once_is_reported_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let starter = Starter {
            places: places(folder.path()),
            program: PathBuf::from("/bin/sh"),
            arguments: vec![
                "-c".to_owned(),
                "echo the store is locked; exit 3".to_owned(),
            ],
            environment: BTreeMap::new(),
            deadline: Duration::from_secs(60),
        };
        let error = find_or_start(&starter).await.unwrap_err().to_string();
        assert!(error.contains("the store is locked"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn two_clients_start_one_endpoint_with_a_cleared_environment() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let (port, _tasks) = health("the secret").await;
        // Stands in for the endpoint: leaves its number and a mark per start, then publishes the state of the listener above.
        private_folder(&places.local_endpoint()).unwrap();
        let ready = folder.path().join("ready.json");
        let mut file = File::create(&ready).unwrap();
        file.write_all(&serde_json::to_vec(&state(port)).unwrap())
            .unwrap();
        let script = format!(
            "echo $$ > {pid}; echo \"started $HOME $SECRET_KEY\" >> {marks}; cp {ready} {target}.new; mv {target}.new {target}; exec sleep 60",
            pid = folder.path().join("pid").display(),
            marks = folder.path().join("marks").display(),
            ready = ready.display(),
            target = state_file(&places).display(),
        );
        let starter = Starter {
            places: places.clone(),
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script],
            environment: BTreeMap::from([
                ("HOME".to_owned(), "/the/home".to_owned()),
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("SECRET_KEY".to_owned(), "leak".to_owned()),
            ]),
            deadline: Duration::from_secs(60),
        };
        let (first, second) = tokio::join!(find_or_start(&starter), find_or_start(&starter));
        assert_eq!(first.unwrap().state.port, port);
        assert_eq!(second.unwrap().state.port, port);
        let marks = std::fs::read_to_string(folder.path().join("marks")).unwrap();
        assert_eq!(marks, "started /the/home \n");
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    #[test]
    fn an_older_endpoint_is_replaced_only_between_turns() {
        assert_eq!(skew("1.2.0", "1.2.0", true), Skew::Same);
        assert_eq!(skew("1.10.0", "1.9.3", false), Skew::Replace);
        assert_eq!(skew("1.10.0", "1.9.3", true), Skew::Keep);
        assert_eq!(skew("1.2.0", "2.0.0-rc.1", false), Skew::Newer);
        assert_eq!(skew("1.2.0", "nonsense", false), Skew::Replace);
    }

    #[test]
    fn a_process_is_known_by_its_number_and_its_beginning() {
        let mut own = state(1);
        assert!(is_alive(&own));
        own.pid_started = own.pid_started.map(|ticks| ticks + 1);
        assert!(!is_alive(&own));
    }
}
