//! An endpoint that can be killed and started again, and followers as the faces have them, without a screen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ashore::attach::effect::Effect;
use ashore::attach::event::Event;
use ashore::attach::launch::{self, Launched, Progress};
use ashore::attach::perform::{self, Opened, Performer};
use ashore::attach::state::{Attached, Link};
use ashore::attach::update::update;
use ashore::backend::lifecycle::Lifecycle;
use ashore::backend::lifecycle::local::{self as lifecycle, Local};
use ashore::backend::lifecycle::workflow::Limits;
use ashore::backend::log::file::Fsync;
use ashore::backend::parts::{Driver, Ground};
use ashore::backend::sandbox::process::{self, ProcessSandbox};
use ashore::backend::serve::{KEEPALIVE, Settings, bind};
use ashore::client::api::Api;
use ashore::client::local::{self, LocalState, Starter};
use ashore::config::places::Places;
use ashore::mirror::scan;
use ashore::mirror::worker::{Order, Setup};
use ashore::protocol::command::Command;
use ashore::protocol::ids::{CommandId, ProjectId, RunRef, Seq};
use ashore::protocol::run::{Environment, Policy};
use ashore::session::transcript::Body;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::support::home::DEADLINE;
use crate::support::processes;

const TOKEN: &str = "the-token-of-this-user";
const SECRET: &str = "the secret of the state file";

/// One user's machine.
pub(crate) struct House {
    endpoint: Option<Serving>,
    folder: tempfile::TempDir,
}

/// An endpoint in a runtime of its own, so that its end takes every connection with it, as a killed process does.
struct Serving {
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl House {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("ashore-journey")
            .tempdir()
            .expect("a temp folder");
        for name in ["home", "work"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder below it");
        }
        let mut house = Self {
            endpoint: None,
            folder,
        };
        house.start().await;
        house
    }

    /// The directory the run is started in.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn places(&self) -> Places {
        Places::below(&self.folder.path().join("me"))
    }

    /// Starts the endpoint at a new port and says where it is.
    pub(crate) async fn start(&mut self) {
        let folder = self.folder.path().to_owned();
        let file = local::state_file(&self.places());
        let (kill, killed) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let thread = std::thread::spawn(move || serve(&folder, file, killed, tell));
        let port = told.await.expect("the endpoint listens");
        let state = LocalState::of_this_process(port, SECRET.into(), TOKEN.into());
        local::write(&self.places(), &state).expect("the state file can be written");
        self.endpoint = Some(Serving { kill, thread });
    }

    /// Ends it in the middle of whatever it does; when this returns, nothing of it is left.
    pub(crate) async fn kill(&mut self) {
        let Serving { kill, thread } = self.endpoint.take().expect("it runs");
        drop(kill);
        tokio::task::spawn_blocking(move || thread.join().expect("no panic in the endpoint"))
            .await
            .expect("no panic");
    }

    pub(crate) fn api(&self) -> Api {
        let state = local::read(&self.places()).expect("readable");
        let endpoint = state.expect("written by us").endpoint();
        Api::new(endpoint, None).expect("a URL of ours")
    }

    /// Finds the endpoint by its state file; what it would start cannot be started.
    fn starter(&self) -> Starter {
        Starter {
            places: self.places(),
            program: PathBuf::from("/bin/false"),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            deadline: DEADLINE,
        }
    }

    /// A run of the demo agent on a copy of the work directory, and what was told on the way.
    pub(crate) async fn launch(&self) -> (Launched, Vec<Progress>) {
        let path = std::env::var_os("PATH").map(|path| path.to_string_lossy().into_owned());
        let plan = launch::Plan {
            prompt: String::new(),
            directory: self.work(),
            agent: Some("demo".into()),
            agent_command: None,
            agent_named: true,
            permissions: Policy::Auto,
            environment: Environment::Cloud,
            repo: None,
            branch: None,
            secrets: path
                .map(|path| ("PATH".to_owned(), path))
                .into_iter()
                .collect(),
            size_limit: 1 << 30,
            max_file: 256 << 20,
            history_limit: 1 << 30,
            ignore: Vec::new(),
            include: Vec::new(),
            project: ProjectId(1),
            mirrored: true,
        };
        let (progress, mut told) = mpsc::channel(1024);
        let launched = launch::launch(&self.api(), &self.places(), plan, progress)
            .await
            .expect("the run is created");
        let mut steps = Vec::new();
        while let Some(step) = told.recv().await {
            steps.push(step);
        }
        (launched, steps)
    }

    /// Follows a run from a place of its own, as another screen would.
    pub(crate) async fn follow(&self, at: &RunRef, name: &str) -> Follower {
        let places = Places::below(&self.folder.path().join(name));
        Follower::new(
            perform::open(perform::Plan {
                api: self.api(),
                at: at.clone(),
                places,
                read_only: false,
                starter: Some(self.starter()),
                silence: None,
            })
            .await,
        )
    }

    /// The same with the work directory as its mirror.
    pub(crate) async fn mirror(&self, launched: &Launched, name: &str) -> Follower {
        self.mirror_into(launched, name, self.work(), true).await
    }

    /// The same run in another, empty directory.
    pub(crate) async fn mirror_elsewhere(&self, launched: &Launched, name: &str) -> Follower {
        let root = self.elsewhere(name);
        std::fs::create_dir_all(&root).expect("a folder of the test's own");
        self.mirror_into(launched, name, root, false).await
    }

    pub(crate) fn elsewhere(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("elsewhere")
    }

    async fn mirror_into(
        &self,
        launched: &Launched,
        name: &str,
        root: PathBuf,
        seeded_here: bool,
    ) -> Follower {
        let mut follower = self.follow(&launched.at, name).await;
        let places = Places::below(&self.folder.path().join(name));
        let setup = Setup {
            root,
            run: launched.at.run.clone(),
            run_folder: places.run(&launched.at.run),
            mirrors: places.state.join("mirrors"),
            ignore: Vec::new(),
            include: Vec::new(),
            limits: scan::Limits::default(),
            blobs: Some(follower.performer.road().blobs(&launched.at)),
            seeded_here,
        };
        let joined = follower.performer.join_mirror(setup).await;
        joined.expect("the directory is free");
        follower.attached.mirrored = true;
        let base = launched.manifest.clone().expect("the run was seeded");
        let order = Effect::Mirror(Order::Baseline(base));
        follower.performer.perform(order);
        follower
    }

    /// The journal as the endpoint has it, line by line.
    pub(crate) async fn journal(&self, at: &RunRef) -> Vec<Value> {
        let mut logs = self
            .api()
            .logs(at, Some(Seq::ZERO))
            .await
            .expect("the endpoint answers");
        let mut lines = Vec::new();
        while let Some((_, line)) = logs.next().await.expect("to the end") {
            lines.push(serde_json::from_slice(&line).expect("JSON"));
        }
        lines
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let at = self.work().join(path);
        std::fs::create_dir_all(at.parent().expect("below the directory")).expect("can be made");
        #[expect(
            clippy::disallowed_methods,
            reason = "the user's own editor, in a test"
        )]
        std::fs::write(at, text).expect("can be written");
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.work().join(path)).ok()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // The endpoint ends with its sender; its agents do not.
        self.endpoint.take();
        processes::end_agents(self.folder.path());
    }
}

/// The thread of one endpoint.
fn serve(
    folder: &Path,
    state_file: PathBuf,
    killed: oneshot::Receiver<()>,
    tell: oneshot::Sender<u16>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let settings = settings(folder);
        let bound = bind(&settings, driver(folder, state_file)).await;
        let bound = bound.expect("a free port and a free store");
        tell.send(bound.address().port()).expect("the test waits");
        tokio::select! {
            ended = bound.run(CancellationToken::new()) => ended.expect("it serves"),
            _ = killed => (),
        }
    });
    runtime.shutdown_timeout(DEADLINE);
}

fn settings(folder: &Path) -> Settings {
    Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        public_urls: Vec::new(),
        store: folder.join("store"),
        fsync: Fsync::Group,
        token: Some(TOKEN.into()),
        secret: Some(SECRET.into()),
        local: true,
        idle_limit: Duration::from_secs(900),
        keepalive: KEEPALIVE,
    }
}

fn driver(folder: &Path, state_file: PathBuf) -> Driver {
    let runs = folder.join("store/runs");
    let home = folder.join("home").to_string_lossy().into_owned();
    let sandbox = ProcessSandbox::new(process::Settings {
        program: env!("CARGO_BIN_EXE_ashore").into(),
        environment: BTreeMap::from([
            ("HOME".to_owned(), home),
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ]),
        runs: runs.clone(),
        grace: DEADLINE,
    });
    Box::new(move |ground: Ground, endpoint: String| {
        Box::pin(async move {
            let settings = lifecycle::Settings {
                limits: Limits::default(),
                endpoint,
                endpoint_file: Some(state_file),
                runs,
            };
            let driver = Local::new(settings, ground, Arc::new(sandbox));
            driver.adopt().await;
            Arc::new(driver) as Arc<dyn Lifecycle>
        })
    })
}

/// One attached run, driven by hand.
pub(crate) struct Follower {
    pub(crate) attached: Attached,
    performer: Performer,
    events: mpsc::Receiver<Event>,
    /// The number of every line that has come, in the order they came.
    pub(crate) heard: Vec<u64>,
}

impl Follower {
    fn new(opened: Opened) -> Self {
        Self {
            attached: opened.attached,
            performer: opened.performer,
            events: opened.events,
            heard: Vec::new(),
        }
    }

    fn take(&mut self, event: Event) {
        if let Event::Arrived(lines) | Event::Restored(lines) = &event {
            self.heard.extend(lines.iter().map(|(seq, _)| seq.0));
        }
        for effect in update(&mut self.attached, event) {
            self.performer.perform(effect);
        }
    }

    /// Goes on until it holds.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Attached) -> bool) {
        while !holds(&self.attached) {
            let event = tokio::time::timeout(DEADLINE, self.events.recv()).await;
            let event = event.unwrap_or_else(|_| {
                panic!("never happened: {what}; {:?}", self.attached.link);
            });
            self.take(event.expect("the performer lives"));
        }
    }

    pub(crate) async fn until_live(&mut self) {
        let live = |attached: &Attached| attached.link == Link::Live;
        self.until("the link is live", live).await;
    }

    /// Something the user wants of the machine.
    pub(crate) fn wish(&mut self, event: Event) {
        self.take(event);
    }

    /// The user's words, sent.
    pub(crate) fn say(&mut self, text: &str) -> CommandId {
        let command = Command::user_message(text);
        let id = command.id.clone().expect("a command of ours has one");
        self.take(Event::Say(command));
        id
    }

    /// Until the answer to it is over.
    pub(crate) async fn until_answered(&mut self, id: &CommandId) {
        self.until("the turn ends", |attached| {
            let cells = attached.session.transcript.cells.to_vec();
            let asked = cells.iter().position(
                |cell| matches!(&cell.body, Body::User { command: Some(command), .. } if command == id),
            );
            asked.is_some_and(|asked| {
                cells[asked..]
                    .iter()
                    .any(|cell| matches!(cell.body, Body::TurnEnd { .. }))
            })
        })
        .await;
    }

    /// Everything the agent has said.
    pub(crate) fn agent_text(&self) -> String {
        text(&self.attached)
    }

    /// Every line from the first to the last the session knows, each once and in order.
    pub(crate) fn heard_all_once(&self) {
        let all: Vec<u64> = (1..=self.attached.session.last.0).collect();
        assert_eq!(self.heard, all);
    }
}

pub(crate) fn text(attached: &Attached) -> String {
    let cells = attached.session.transcript.cells.iter();
    cells
        .filter_map(|cell| match &cell.body {
            Body::Agent { text, .. } => Some(text.clone()),
            _ => None,
        })
        .collect()
}

/// What `/say N` says.
pub(crate) fn words(number: usize) -> String {
    (1..=number).map(|i| format!("w{i} ")).collect()
}
