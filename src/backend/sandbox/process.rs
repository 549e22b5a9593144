//! A sandbox that is a folder and a process group on this machine.
//!
//! It shields nothing: what runs in it has the rights of the endpoint's user. What it does promise is that the agent
//! server outlives the endpoint, finds a cleared environment, and ends with everything it has started.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::unix::AsyncFd;
use tokio::process::Command;

use crate::backend::sandbox::{Error, Sandbox, Started};
use crate::config::env::is_passed_on;
use crate::protocol::ids::RunRef;
use crate::protocol::launch::Launch;

/// Where `setsid` is looked for: the caller's PATH is not to be trusted with it.
const SETSID: [&str; 2] = ["/usr/bin/setsid", "/bin/setsid"];

/// What a process sandbox needs to know of its endpoint.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that is started as `PROGRAM agent --launch FILE`; `/proc/self/exe` outside tests.
    pub program: PathBuf,
    /// The endpoint's own environment; only what [`is_passed_on`] lets through reaches the agent server.
    pub environment: BTreeMap<String, String>,
    /// One folder per run is made below this one.
    pub runs: PathBuf,
    /// Between TERM and KILL.
    pub grace: Duration,
}

/// Runs agent servers as processes of this machine.
#[derive(Debug)]
pub struct ProcessSandbox {
    settings: Settings,
}

impl ProcessSandbox {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The folder of a run.
    pub fn folder(&self, at: &RunRef) -> PathBuf {
        self.settings.runs.join(at.run.as_str())
    }

    fn command(&self, launch_file: &Path, folder: &Path) -> io::Result<Command> {
        let setsid = SETSID.iter().map(Path::new).find(|path| path.exists());
        let mut command = match setsid {
            // A session of its own, so that no terminal's hang-up reaches it and every process it starts can be found.
            // `setsid` replaces itself by the program, so the pid stays.
            Some(setsid) => {
                let mut command = Command::new(setsid);
                command.arg(seen_by_others(&self.settings.program));
                command
            }
            None => {
                let mut command = Command::new(&self.settings.program);
                command.process_group(0);
                command
            }
        };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(folder.join("agent.log"))?;
        let environment = self
            .settings
            .environment
            .iter()
            .filter(|(name, _)| is_passed_on(name));
        command
            .arg("agent")
            .arg("--launch")
            .arg(launch_file)
            .env_clear()
            .envs(environment)
            .env("TMPDIR", folder.join("tmp"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(false);
        Ok(command)
    }
}

#[async_trait::async_trait]
impl Sandbox for ProcessSandbox {
    async fn provision(&self, launch: &Launch) -> Result<(), Error> {
        let folder = launch.folder.clone();
        blocking(move || make_folders(&folder))
            .await
            .map_err(|error| Error {
                what: format!(
                    "cannot make the run's folder `{}`: {error}",
                    launch.folder.display()
                ),
                hint: Some(
                    "look whether the disk is full and the folder can be written".to_owned(),
                ),
            })
    }

    async fn start(&self, launch: &Launch) -> Result<Started, Error> {
        let failed = |error: io::Error| Error {
            what: format!(
                "cannot start `{}`: {error}",
                self.settings.program.display()
            ),
            hint: Some("was the program moved or replaced while the endpoint ran?".to_owned()),
        };
        let file = launch.folder.join("launch.json");
        let document = serde_json::to_vec(launch).map_err(|error| failed(error.into()))?;
        let path = file.clone();
        blocking(move || write_secret(&path, &document))
            .await
            .map_err(failed)?;
        let spawned = self
            .command(&file, &launch.folder)
            .and_then(|mut command| command.spawn());
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                // Whoever reads it removes it; nobody will.
                tokio::fs::remove_file(&file).await.ok();
                return Err(failed(error));
            }
        };
        let pid = child
            .id()
            .map(u32::cast_signed)
            .ok_or_else(|| failed(io::Error::other("it ended at once")))?;
        // Looked at before the child is let go: until then even a dead one keeps its pid and its line in /proc.
        // Afterwards tokio reaps it, and it is watched by its pid like one of an earlier endpoint.
        let started = identify(pid).map_err(failed);
        drop(child);
        started
    }

    async fn is_alive(&self, started: &Started) -> bool {
        is_same(started)
    }

    async fn wait(&self, started: &Started) {
        wait(started).await;
    }

    async fn stop(&self, started: &Started) {
        let Some(leader) = Pid::from_raw(started.pid).filter(|_| is_same(started)) else {
            // The leader is gone; what it left behind in its session is not. With another process under its pid
            // the session is gone too: the number of a living session is never given away.
            if stat(started.pid).is_err() {
                kill_session(started);
            }
            return;
        };
        end(leader, Signal::TERM);
        tokio::time::timeout(self.settings.grace, wait(started))
            .await
            .ok();
        end(leader, Signal::KILL);
        kill_session(started);
        wait(started).await;
    }

    async fn destroy(&self, at: &RunRef) -> Result<(), Error> {
        let folder = self.folder(at);
        let removed = blocking({
            let folder = folder.clone();
            move || match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        });
        removed.await.map_err(|error| Error {
            what: format!(
                "cannot remove the run's folder `{}`: {error}",
                folder.display()
            ),
            hint: Some("remove it by hand".to_owned()),
        })
    }
}

/// `/proc/self/exe` would be `setsid` to `setsid`: our own, by our number, is the same file, also when it was replaced.
fn seen_by_others(program: &Path) -> PathBuf {
    if program == Path::new("/proc/self/exe") {
        PathBuf::from(format!("/proc/{}/exe", std::process::id()))
    } else {
        program.to_owned()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn make_folders(folder: &Path) -> io::Result<()> {
    for name in ["work", "home", "tmp"] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.join(name))?;
    }
    Ok(())
}

/// The document holds the run token and the secrets: nobody else may read it, not even for a moment.
fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // A named temporary file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Signals the whole group. A process that is only just starting has not made its group yet: then it alone.
fn end(leader: Pid, signal: Signal) {
    if rustix::process::kill_process_group(leader, signal).is_err() {
        // Gone by now is what was wanted.
        rustix::process::kill_process(leader, signal).ok();
    }
}

/// Field 22 of `/proc/PID/stat`, and field 6: start time and session. The name in field 2 may hold anything.
fn stat(pid: i32) -> io::Result<(char, i32, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let odd = || io::Error::other("an odd line in /proc");
    let (_, fields) = text.rsplit_once(") ").ok_or_else(odd)?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let state = fields
        .first()
        .and_then(|field| field.chars().next())
        .ok_or_else(odd)?;
    let session = fields
        .get(3)
        .and_then(|field| field.parse().ok())
        .ok_or_else(odd)?;
    let start = fields
        .get(19)
        .and_then(|field| field.parse().ok())
        .ok_or_else(odd)?;
    Ok((state, session, start))
}

fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

fn identify(pid: i32) -> io::Result<Started> {
    let (_, _, start_time) = stat(pid)?;
    Ok(Started {
        pid,
        start_time,
        boot_id: boot_id()?,
    })
}

/// The same process, and more than a zombie.
fn is_same(started: &Started) -> bool {
    let Ok((state, _, start_time)) = stat(started.pid) else {
        return false;
    };
    state != 'Z'
        && state != 'X'
        && start_time == started.start_time
        && boot_id().is_ok_and(|id| id == started.boot_id)
}

/// Resolves when the process is gone.
async fn wait(started: &Started) {
    // RACE: the pid is opened first and compared afterwards, so that a reused pid is never waited for.
    if let Some(watch) = watch(started.pid)
        && is_same(started)
    {
        // An error here means that the descriptor cannot be polled; then looking is what is left.
        if watch.readable().await.is_ok() {
            return;
        }
    }
    while is_same(started) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[cfg(target_os = "linux")]
#[expect(
    deprecated,
    reason = "its successor is unsafe; what that asks for holds: an `OwnedFd` is ours alone and never replaced"
)]
fn watch(pid: i32) -> Option<AsyncFd<rustix::fd::OwnedFd>> {
    let pid = Pid::from_raw(pid)?;
    let descriptor =
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK).ok()?;
    AsyncFd::with_interest(descriptor, tokio::io::Interest::READABLE).ok()
}

#[cfg(not(target_os = "linux"))]
fn watch(_pid: i32) -> Option<AsyncFd<std::fs::File>> {
    None
}

/// Kills what is left of the session, in whatever process group it has put itself.
///
/// RACE: between the look at `/proc` and the signal a pid may end and be given away. Worst case: a process of ours or
/// of the same user that was started in that microsecond is killed.
fn kill_session(started: &Started) {
    if boot_id().is_ok_and(|id| id != started.boot_id) {
        return;
    }
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return;
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids {
        let ours = stat(pid)
            .is_ok_and(|(_, session, start)| session == started.pid && start >= started.start_time);
        if let Some(pid) = Pid::from_raw(pid).filter(|_| ours) {
            rustix::process::kill_process(pid, Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::protocol::ids::ProjectId;
    use crate::protocol::run::Policy;

    struct Scene {
        _folder: tempfile::TempDir,
        sandbox: ProcessSandbox,
        launch: Launch,
    }

    /// A sandbox whose program is a shell script.
    fn scene(script: &str) -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("program");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o700)
            .open(&program)
            .expect("made");
        file.write_all(format!("#!/bin/sh\n{script}\n").as_bytes())
            .expect("written");
        drop(file);
        let at = RunRef {
            project: ProjectId(1),
            task: "task".parse().expect("fits"),
            run: "run".parse().expect("fits"),
        };
        let environment = [
            ("PATH", "/usr/bin:/bin"),
            ("LC_ALL", "C"),
            ("AWS_SECRET_ACCESS_KEY", "no"),
            ("ASHORE_TOKEN", "no"),
        ];
        let sandbox = ProcessSandbox::new(Settings {
            program,
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            runs: folder.path().join("runs"),
            grace: Duration::from_secs(30),
        });
        let launch = Launch {
            folder: sandbox.folder(&at),
            at,
            endpoint: "http://127.0.0.1:1".to_owned(),
            endpoint_file: None,
            token: "the-token".to_owned(),
            agent: Some("demo".to_owned()),
            agent_command: None,
            agent_named: false,
            secrets: BTreeMap::new(),
            directory: None,
            seeded: false,
            permissions: Policy::Auto,
            resume: false,
            recover: false,
            idle_seconds: 900,
            max_file: None,
        };
        Scene {
            _folder: folder,
            sandbox,
            launch,
        }
    }

    /// Real processes: wait for what is seen, under a long deadline.
    async fn until(what: &str, mut seen: impl FnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !seen() {
            assert!(tokio::time::Instant::now() < deadline, "never: {what}");
            tokio::task::yield_now().await;
        }
    }

    fn log(scene: &Scene) -> String {
        std::fs::read_to_string(scene.launch.folder.join("agent.log")).unwrap_or_default()
    }

    #[tokio::test]
    async fn the_program_finds_its_document_its_folders_and_a_cleared_environment() {
        let scene = scene("echo \"$1 $2\"; cat \"$3\"; echo; env; ls -d work home tmp; echo end");
        scene.sandbox.provision(&scene.launch).await.expect("made");
        scene
            .sandbox
            .provision(&scene.launch)
            .await
            .expect("twice is fine");
        let started = scene.sandbox.start(&scene.launch).await.expect("started");
        scene.sandbox.wait(&started).await;
        assert!(!scene.sandbox.is_alive(&started).await);
        let log = log(&scene);
        assert!(
            log.starts_with("agent --launch\n") && log.ends_with("home\ntmp\nwork\nend\n"),
            "{log}"
        );
        assert!(
            log.contains("\"token\":\"the-token\"") && log.contains("LC_ALL=C"),
            "{log}"
        );
        assert!(
            log.contains(&format!(
                "TMPDIR={}",
                scene.launch.folder.join("tmp").display()
            )),
            "{log}"
        );
        assert!(
            !log.contains("AWS_SECRET") && !log.contains("ASHORE_TOKEN"),
            "{log}"
        );
        for (name, mode) in [
            ("work", 0o700),
            ("home", 0o700),
            ("tmp", 0o700),
            ("launch.json", 0o600),
            ("agent.log", 0o600),
        ] {
            let found = std::fs::metadata(scene.launch.folder.join(name))
                .expect(name)
                .permissions()
                .mode();
            assert_eq!(found & 0o777, mode, "{name}");
        }
    }

    #[tokio::test]
    async fn our_own_program_is_started_and_not_the_one_that_makes_the_session() {
        let mut scene = scene("");
        scene.sandbox.settings.program = PathBuf::from("/proc/self/exe");
        scene.sandbox.provision(&scene.launch).await.expect("made");
        let started = scene.sandbox.start(&scene.launch).await.expect("started");
        scene.sandbox.wait(&started).await;
        // The test runner does not know the option, and says so in its own words.
        let log = log(&scene);
        assert!(log.contains("'launch'") && !log.contains("setsid"), "{log}");
    }

    #[tokio::test]
    async fn stop_ends_the_whole_group_and_what_has_left_it() {
        // `timeout` puts itself into a process group of its own.
        let scene =
            scene("timeout 1000 sleep 1000 & echo $!; sleep 1000 & echo $!; echo ready; wait");
        scene.sandbox.provision(&scene.launch).await.expect("made");
        let started = scene.sandbox.start(&scene.launch).await.expect("started");
        until("ready", || log(&scene).contains("ready")).await;
        assert!(scene.sandbox.is_alive(&started).await);
        let pids: Vec<i32> = log(&scene)
            .lines()
            .take(2)
            .map(|line| line.parse().expect("a pid"))
            .collect();
        scene.sandbox.stop(&started).await;
        assert!(!scene.sandbox.is_alive(&started).await);
        for pid in pids {
            until("its end", || {
                stat(pid).is_err() || stat(pid).is_ok_and(|(state, ..)| state == 'Z')
            })
            .await;
        }
    }

    #[tokio::test]
    async fn who_does_not_hear_term_is_killed_after_the_grace() {
        let mut scene = scene("trap '' TERM; echo ready; while :; do sleep 1000; done");
        scene.sandbox.settings.grace = Duration::from_millis(10);
        scene.sandbox.provision(&scene.launch).await.expect("made");
        let started = scene.sandbox.start(&scene.launch).await.expect("started");
        until("ready", || log(&scene).contains("ready")).await;
        scene.sandbox.stop(&started).await;
        assert!(!scene.sandbox.is_alive(&started).await);
    }

    #[tokio::test]
    async fn another_process_with_the_same_pid_is_not_taken_for_it() {
        let scene = scene("exec sleep 1000");
        scene.sandbox.provision(&scene.launch).await.expect("made");
        let started = scene.sandbox.start(&scene.launch).await.expect("started");
        let reused = Started {
            start_time: started.start_time + 1,
            ..started.clone()
        };
        let earlier_boot = Started {
            boot_id: "another".to_owned(),
            ..started.clone()
        };
        for stranger in [&reused, &earlier_boot] {
            assert!(!scene.sandbox.is_alive(stranger).await);
            scene.sandbox.wait(stranger).await;
            scene.sandbox.stop(stranger).await;
        }
        assert!(
            scene.sandbox.is_alive(&started).await,
            "a stranger's number must not end it"
        );
        scene.sandbox.stop(&started).await;
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_a_sentence_and_destroy_removes_everything() {
        let mut scene = scene("true");
        scene.sandbox.settings.program = PathBuf::from("/nowhere/ashore");
        scene.sandbox.provision(&scene.launch).await.expect("made");
        match scene.sandbox.start(&scene.launch).await {
            Err(error) => assert!(error.what.contains("/nowhere/ashore"), "{error}"),
            // `setsid` itself starts, and ends at once with a line in the log.
            Ok(started) => {
                scene.sandbox.wait(&started).await;
                assert!(log(&scene).contains("/nowhere/ashore"), "{}", log(&scene));
            }
        }
        scene
            .sandbox
            .destroy(&scene.launch.at)
            .await
            .expect("removed");
        assert!(!scene.launch.folder.exists());
        scene
            .sandbox
            .destroy(&scene.launch.at)
            .await
            .expect("twice is fine");
    }
}
