//! Tests of the in-process driver with a sandbox and a book of paper, on a paused clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::backend::ledger::{OpenPermission, OpenPrompt, Standing};
use crate::backend::lifecycle::book::{Book, Result};
use crate::backend::lifecycle::local::{Local, Settings};
use crate::backend::lifecycle::workflow::Limits;
use crate::backend::lifecycle::{Lifecycle, Signal};
use crate::backend::log::file::Fsync;
use crate::backend::parts::{self, Ground};
use crate::backend::sandbox::process::{self, ProcessSandbox};
use crate::backend::sandbox::{Error, Sandbox, Started};
use crate::backend::store::StoredRun;
use crate::protocol::ids::{ProjectId, RunId, RunRef, Seq};
use crate::protocol::launch::Launch;
use crate::protocol::run::{Environment, NewRun, Run, Status};
use crate::protocol::task::NewTask;

/// Store, journal and sandbox of one run, on paper.
#[derive(Default)]
struct Paper {
    status: Status,
    environment: Environment,
    state: Map<String, Value>,
    manifest: bool,
    standing: Standing,
    journal: Vec<Value>,
    process: Option<Started>,
    tokens: u32,
    launches: Vec<Launch>,
    /// Pids that live.
    alive: Vec<i32>,
    refuses: Option<&'static str>,
    destroyed: bool,
    /// How the run stood when its last manifest was written.
    closed_as: Option<Status>,
}

struct Scene {
    paper: Mutex<Paper>,
    /// Rings at every change of the paper.
    bell: watch::Sender<u64>,
}

fn at() -> RunRef {
    RunRef {
        project: ProjectId(1),
        task: "task".parse().expect("fits"),
        run: "run".parse().expect("fits"),
    }
}

fn started(pid: i32) -> Started {
    Started {
        pid,
        start_time: 1,
        boot_id: "boot".to_owned(),
    }
}

impl Scene {
    fn new(paper: Paper) -> Arc<Self> {
        Arc::new(Self {
            paper: Mutex::new(paper),
            bell: watch::channel(0).0,
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Paper) -> T) -> T {
        let outcome = change(&mut self.paper.lock().expect("not poisoned"));
        self.bell.send_modify(|rings| *rings += 1);
        outcome
    }

    /// Waits until the paper says so. The clock is paused: ten days of it are a moment.
    async fn until(&self, what: &str, seen: impl Fn(&Paper) -> bool) {
        let mut bell = self.bell.subscribe();
        let waiting = async {
            while !seen(&self.paper.lock().expect("not poisoned")) {
                bell.changed().await.expect("the bell hangs");
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(864_000), waiting).await;
        assert!(
            waited.is_ok(),
            "never: {what}; {:?}",
            self.with(|paper| paper.journal.clone())
        );
    }

    async fn until_journaled(&self, method: &str, word: &str) {
        let seen = |paper: &Paper| {
            paper
                .journal
                .iter()
                .any(|line| line["method"] == method && line.to_string().contains(word))
        };
        self.until(&format!("{method} {word}"), seen).await;
    }

    fn kill(&self, pid: i32) {
        self.with(|paper| paper.alive.retain(|other| *other != pid));
    }

    fn local(self: &Arc<Self>) -> Local {
        let settings = Settings {
            limits: Limits::default(),
            endpoint: "http://127.0.0.1:8010".to_owned(),
            endpoint_file: None,
            runs: PathBuf::from("/runs"),
        };
        Local::with(
            settings,
            Arc::new(Held(Arc::clone(self))),
            Arc::new(Held(Arc::clone(self))),
        )
    }

    /// Brings a run up to its agent's first word.
    async fn running(self: &Arc<Self>) -> Local {
        let local = self.local();
        local.signal(&at(), Signal::Started).await;
        self.until("a process on record", |paper| paper.process.is_some())
            .await;
        local.signal(&at(), Signal::Activity).await;
        local.taken(&at().run).await;
        local
    }
}

struct Held(Arc<Scene>);

#[async_trait::async_trait]
impl Book for Held {
    async fn run(&self, _: &RunId) -> Result<Option<StoredRun>> {
        let mut run: Run =
            serde_json::from_value(json!({"id": "run", "task": "task"})).expect("reads");
        self.0.with(|paper| {
            run.status = paper.status.clone();
            run.environment = paper.environment.clone();
            run.state = paper.state.clone();
        });
        Ok(Some(StoredRun {
            at: at(),
            user: 1,
            repository: None,
            run,
        }))
    }

    async fn has_manifest(&self, _: &RunId) -> Result<bool> {
        Ok(self.0.with(|paper| paper.manifest))
    }

    async fn close_manifest(&self, _: &RunId) -> Result<()> {
        self.0
            .with(|paper| paper.closed_as = Some(paper.status.clone()));
        Ok(())
    }

    async fn active_runs(&self) -> Result<Vec<StoredRun>> {
        let stored = self.run(&at().run).await?;
        Ok(stored
            .into_iter()
            .filter(|stored| !stored.run.status.is_terminal())
            .collect())
    }

    async fn set_status(&self, _: &RunId, status: &Status, _: Option<&str>) -> Result<()> {
        self.0.with(|paper| paper.status = status.clone());
        Ok(())
    }

    async fn new_token(&self, _: &RunRef) -> Result<String> {
        Ok(self.0.with(|paper| {
            paper.tokens += 1;
            format!("token-{}", paper.tokens)
        }))
    }

    async fn revoke_tokens(&self, _: &RunId) -> Result<()> {
        Ok(())
    }

    async fn secrets(&self, _: &RunId) -> Result<BTreeMap<String, String>> {
        Ok([("KEY".to_owned(), "secret".to_owned())].into())
    }

    async fn put_process(&self, _: &RunId, started: &Started) -> Result<()> {
        self.0.with(|paper| paper.process = Some(started.clone()));
        Ok(())
    }

    async fn clear_process(&self, _: &RunId) -> Result<()> {
        self.0.with(|paper| paper.process = None);
        Ok(())
    }

    async fn processes(&self) -> Result<Vec<(RunRef, Started)>> {
        Ok(self
            .0
            .with(|paper| paper.process.clone())
            .into_iter()
            .map(|started| (at(), started))
            .collect())
    }

    async fn append(&self, _: &RunRef, message: Value) -> Result<()> {
        self.0.with(|paper| {
            paper
                .standing
                .unanswered
                .retain(|open| message.get("error").is_none() || message["id"] != open.id);
            paper.journal.push(message);
        });
        Ok(())
    }

    async fn standing(&self, _: &RunRef) -> Result<Standing> {
        Ok(self.0.with(|paper| paper.standing.clone()))
    }
}

#[async_trait::async_trait]
impl Sandbox for Held {
    async fn provision(&self, _: &Launch) -> std::result::Result<(), Error> {
        match self.0.with(|paper| paper.refuses) {
            Some(what) => Err(Error {
                what: what.to_owned(),
                hint: Some("free some".to_owned()),
            }),
            None => Ok(()),
        }
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<Started, Error> {
        Ok(self.0.with(|paper| {
            paper.launches.push(launch.clone());
            let pid = i32::try_from(paper.launches.len()).expect("few");
            paper.alive.push(pid);
            started(pid)
        }))
    }

    async fn is_alive(&self, started: &Started) -> bool {
        self.0.with(|paper| paper.alive.contains(&started.pid))
    }

    async fn wait(&self, started: &Started) {
        self.0
            .until("its end", |paper| !paper.alive.contains(&started.pid))
            .await;
    }

    async fn stop(&self, started: &Started) {
        self.0.kill(started.pid);
    }

    async fn destroy(&self, _: &RunRef) -> std::result::Result<(), Error> {
        self.0.with(|paper| paper.destroyed = true);
        Ok(())
    }
}

fn open_turn() -> Standing {
    Standing {
        unanswered: vec![OpenPrompt {
            id: json!(7),
            command: None,
        }],
        permissions: vec![OpenPermission {
            request: "r1".into(),
            tool_call: "t1".into(),
        }],
        ..Standing::default()
    }
}

fn steps(paper: &Paper) -> Vec<String> {
    let steps = paper
        .journal
        .iter()
        .filter(|line| line["method"] == "_ashore/step");
    steps
        .map(|line| {
            format!("{} {}", line["params"]["step"], line["params"]["status"]).replace('"', "")
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_run_is_provisioned_launched_and_on_record() {
    let state = json!({"agent": "demo", "permissions": "ask"})
        .as_object()
        .cloned()
        .expect("an object");
    let scene = Scene::new(Paper {
        state,
        ..Paper::default()
    });
    let local = scene.running().await;
    scene.with(|paper| {
        let expected = [
            "queued started",
            "queued done",
            "sandbox started",
            "sandbox done",
        ];
        assert_eq!(steps(paper), expected);
        assert_eq!(paper.status, Status::InProgress);
        assert_eq!(paper.process, Some(started(1)));
        let launch = &paper.launches[0];
        assert_eq!(
            (
                launch.token.as_str(),
                launch.agent.as_deref(),
                launch.resume
            ),
            ("token-1", Some("demo"), false)
        );
        assert_eq!(launch.secrets["KEY"], "secret");
        assert_eq!(
            (launch.folder.as_path(), launch.idle_seconds),
            (PathBuf::from("/runs/run").as_path(), 900)
        );
        assert_eq!(launch.permissions.as_str(), "ask");
    });
    assert_eq!(local.busy(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_run_is_closed_after_its_limit_and_a_message_opens_it() {
    let scene = Scene::new(Paper::default());
    let local = scene.running().await;
    let before = tokio::time::Instant::now();
    scene
        .until("completed", |paper| paper.status == Status::Completed)
        .await;
    let took = before.elapsed();
    assert!(
        (Duration::from_secs(900)..Duration::from_secs(901)).contains(&took),
        "{took:?}"
    );
    scene
        .until_journaled("_posthog/task_complete", "task")
        .await;
    scene.until_journaled("_ashore/status", "15 min").await;
    local.signal(&at(), Signal::Message).await;
    scene
        .until("a second launch", |paper| paper.launches.len() == 2)
        .await;
    scene.with(|paper| {
        assert!(paper.launches[1].resume && !paper.launches[1].recover);
        assert_eq!(
            (paper.launches[1].token.as_str(), &paper.status),
            ("token-2", &Status::InProgress)
        );
    });
}

#[tokio::test(start_paused = true)]
async fn a_long_turn_is_not_idle() {
    let scene = Scene::new(Paper::default());
    let local = scene.running().await;
    local.signal(&at(), Signal::TurnRunning(true)).await;
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(scene.with(|paper| paper.status.clone()), Status::InProgress);
    local.signal(&at(), Signal::TurnRunning(false)).await;
    scene
        .until("completed", |paper| paper.status == Status::Completed)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_refuses_fails_the_run_with_a_hint() {
    let scene = Scene::new(Paper {
        refuses: Some("no room"),
        ..Paper::default()
    });
    let local = scene.local();
    local.signal(&at(), Signal::Started).await;
    scene
        .until("failed", |paper| paper.status == Status::Failed)
        .await;
    scene.until_journaled("_ashore/status", "no room").await;
    scene.with(|paper| {
        let step = paper
            .journal
            .iter()
            .rfind(|line| line["method"] == "_ashore/step")
            .expect("a step");
        assert_eq!(
            (&step["params"]["detail"], &step["params"]["hint"]),
            (&json!("no room"), &json!("free some"))
        );
        paper.refuses = None;
    });
    local.signal(&at(), Signal::Message).await;
    scene
        .until("launched", |paper| paper.launches.len() == 1)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_seeded_run_is_launched_when_its_manifest_is_there() {
    let state = json!({"seed": "manifest"})
        .as_object()
        .cloned()
        .expect("an object");
    let scene = Scene::new(Paper {
        state,
        ..Paper::default()
    });
    let local = scene.local();
    local.signal(&at(), Signal::Started).await;
    scene
        .until_journaled("_ashore/step", "waiting for the files")
        .await;
    tokio::time::sleep(Duration::from_secs(500)).await;
    local.signal(&at(), Signal::Activity).await;
    tokio::time::sleep(Duration::from_secs(500)).await;
    assert!(scene.with(|paper| paper.launches.is_empty()));
    local.signal(&at(), Signal::Seeded).await;
    scene
        .until("launched", |paper| paper.launches.len() == 1)
        .await;
    assert!(scene.with(|paper| paper.launches[0].seeded));
}

#[tokio::test(start_paused = true)]
async fn a_dead_agent_servers_turn_is_closed_by_a_second_one_or_by_the_endpoint() {
    let scene = Scene::new(Paper::default());
    let local = scene.running().await;
    local.signal(&at(), Signal::TurnRunning(true)).await;
    scene.with(|paper| paper.standing = open_turn());
    scene.kill(1);
    scene
        .until("a second launch", |paper| paper.launches.len() == 2)
        .await;
    assert!(scene.with(|paper| paper.launches[1].recover && paper.launches[1].resume));
    let before = tokio::time::Instant::now();
    scene
        .until("failed", |paper| paper.status == Status::Failed)
        .await;
    assert!(
        before.elapsed() >= Duration::from_secs(29),
        "it has its 30 s"
    );
    scene.with(|paper| {
        let response = paper
            .journal
            .iter()
            .find(|line| line["id"] == 7)
            .expect("a response");
        assert_eq!(
            response["error"]["data"]["_meta"]["ashore"]["unscanned"],
            true
        );
        let complete = paper
            .journal
            .iter()
            .find(|line| line["method"] == "_posthog/turn_complete")
            .expect("a line");
        assert_eq!(complete["params"]["_meta"]["ashore"]["unscanned"], true);
        let answer = paper
            .journal
            .iter()
            .find(|line| line["method"] == "_posthog/permission_response")
            .expect("a line");
        assert_eq!(answer["params"]["optionId"], "_cancelled");
        assert!(paper.alive.is_empty(), "and nobody is left behind");
    });
}

#[tokio::test(start_paused = true)]
async fn a_recovered_run_goes_on() {
    let scene = Scene::new(Paper::default());
    let local = scene.running().await;
    scene.with(|paper| paper.standing = open_turn());
    scene.kill(1);
    scene
        .until("a second process", |paper| {
            paper.process == Some(started(2))
        })
        .await;
    scene.with(|paper| paper.standing = Standing::default());
    local.signal(&at(), Signal::TurnRunning(false)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        scene.with(|paper| (paper.status.clone(), paper.alive.clone())),
        (Status::InProgress, vec![2])
    );
}

#[tokio::test(start_paused = true)]
async fn close_completes_the_run_and_remove_takes_its_folder() {
    let scene = Scene::new(Paper::default());
    let local = scene.running().await;
    local.signal(&at(), Signal::Close).await;
    scene
        .until("completed", |paper| paper.status == Status::Completed)
        .await;
    assert!(scene.with(|paper| paper.alive.is_empty() && !paper.destroyed));
    local.signal(&at(), Signal::Remove).await;
    scene.until("destroyed", |paper| paper.destroyed).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_client_has_cancelled_is_ended_and_stays_cancelled() {
    let scene = Scene::new(Paper::default());
    let local = scene.running().await;
    scene.with(|paper| paper.status = Status::Cancelled);
    local.signal(&at(), Signal::Close).await;
    scene
        .until("nobody is left", |paper| paper.alive.is_empty())
        .await;
    while local.busy() > 0 {
        tokio::task::yield_now().await;
    }
    scene.with(|paper| {
        assert_eq!(paper.status, Status::Cancelled);
        let told = paper
            .journal
            .iter()
            .filter(|line| line["method"] == "_ashore/status")
            .count();
        assert_eq!(
            told, 2,
            "queued and in progress; the PATCH has told the end"
        );
    });
}

#[tokio::test(start_paused = true)]
async fn a_restarted_endpoint_adopts_what_lives() {
    let paper = Paper {
        status: Status::InProgress,
        process: Some(started(9)),
        alive: vec![9],
        ..Paper::default()
    };
    let scene = Scene::new(paper);
    let local = scene.local();
    local.adopt().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(scene.with(|paper| paper.launches.is_empty() && paper.alive == [9]));
    scene.kill(9);
    scene
        .until("failed", |paper| paper.status == Status::Failed)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_endpoint_closes_the_turn_of_what_died() {
    let paper = Paper {
        status: Status::InProgress,
        process: Some(started(9)),
        standing: open_turn(),
        ..Paper::default()
    };
    let scene = Scene::new(paper);
    scene.local().adopt().await;
    // The driver is gone with the statement above: nothing may happen then.
    assert!(scene.with(|paper| paper.launches.is_empty()));
    let local = scene.local();
    local.adopt().await;
    scene
        .until("a launch", |paper| paper.launches.len() == 1)
        .await;
    assert!(scene.with(|paper| paper.launches[0].recover));
}

#[tokio::test(start_paused = true)]
async fn end_agents_ends_them_and_drives_nothing_any_more() {
    let scene = Scene::new(Paper::default());
    let local = scene.running().await;
    local.end_agents().await;
    assert!(scene.with(|paper| paper.alive.is_empty()));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        scene.with(|paper| (paper.status.clone(), paper.launches.len())),
        (Status::InProgress, 1)
    );
    assert_eq!(local.busy(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_local_run_works_in_its_directory_and_the_references_local_run_starts_nothing() {
    let state = json!({"directory": "/home/ana/project"})
        .as_object()
        .cloned()
        .expect("an object");
    let scene = Scene::new(Paper {
        state,
        environment: Environment::Local,
        ..Paper::default()
    });
    let _local = scene.running().await;
    assert_eq!(
        scene.with(|paper| paper.launches[0].directory.clone()),
        Some(PathBuf::from("/home/ana/project"))
    );

    let scene = Scene::new(Paper {
        environment: Environment::Local,
        ..Paper::default()
    });
    let local = scene.local();
    local.signal(&at(), Signal::Started).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(scene.with(|paper| paper.journal.is_empty() && paper.launches.is_empty()));
    assert_eq!(local.busy(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_secret_and_no_token_is_journaled() {
    let scene = Scene::new(Paper::default());
    let _local = scene.running().await;
    let journal = scene.with(|paper| {
        paper
            .journal
            .iter()
            .map(Value::to_string)
            .collect::<String>()
    });
    assert!(
        !journal.contains("secret") && !journal.contains("token-1"),
        "{journal}"
    );
}

/// Waits in real time for the journal to ring until the store says so.
async fn until_status(ground: &Ground, at: &RunRef, status: Status) {
    let mut bell = ground.journal.listen(&at.run).await.expect("there");
    let waiting = async {
        while ground
            .store
            .run(&at.run)
            .await
            .expect("reads")
            .expect("there")
            .run
            .status
            != status
        {
            bell.changed().await.expect("not removed");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .expect("in time");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn a_real_process_outlives_the_driver_that_started_it_and_is_adopted_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    std::os::unix::fs::symlink("/bin/sh", &program).expect("linked");
    // `sh agent --launch FILE` runs the script `agent` of its folder.
    let ground = parts::ground(folder.path(), Fsync::Never)
        .await
        .expect("opens");
    let task = NewTask {
        description: "try".into(),
        ..NewTask::default()
    };
    let user = ground
        .store
        .new_user("ana", "ana@example.com")
        .await
        .expect("made");
    let task = ground
        .store
        .new_task(ProjectId(1), user, &task, None)
        .await
        .expect("made");
    let new = NewRun::default();
    let status = Status::NotStarted;
    let run = ground
        .store
        .new_run(ProjectId(1), &task, user, &new, &status, None)
        .await
        .expect("made");
    let at = RunRef {
        project: ProjectId(1),
        task,
        run,
    };
    let runs = folder.path().join("runs");
    std::fs::create_dir_all(runs.join(at.run.as_str())).expect("made");
    tokio::fs::write(runs.join(at.run.as_str()).join("agent"), "exec sleep 1000")
        .await
        .expect("written");
    let sandbox = Arc::new(ProcessSandbox::new(process::Settings {
        program,
        environment: BTreeMap::new(),
        runs: runs.clone(),
        grace: Duration::from_secs(20),
    }));
    let local = || {
        let settings = Settings {
            limits: Limits {
                close: Duration::from_millis(10),
                ..Limits::default()
            },
            endpoint: "http://127.0.0.1:1".to_owned(),
            endpoint_file: None,
            runs: runs.clone(),
        };
        Local::new(settings, ground.clone(), sandbox.clone())
    };
    let first = local();
    first.signal(&at, Signal::Started).await;
    let started = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Some((_, started)) = ground.store.processes().await.expect("reads").pop() {
                break started;
            }
            tokio::task::yield_now().await;
        }
    });
    let started = started.await.expect("in time");
    drop(first);
    assert!(sandbox.is_alive(&started).await);

    let second = local();
    second.adopt().await;
    second.signal(&at, Signal::Close).await;
    until_status(&ground, &at, Status::Completed).await;
    assert!(!sandbox.is_alive(&started).await);
    assert_eq!(ground.store.processes().await.expect("reads"), []);
    let lines = ground
        .journal
        .read_after(&at.run, Seq::ZERO, 1 << 20)
        .await
        .expect("reads");
    let text: String = lines
        .iter()
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    assert!(
        text.contains("_ashore/step") && text.contains("_posthog/task_complete"),
        "{text}"
    );
}
