//! The screen with everything it needs: which run, which endpoint, which directory.
//!
//! Part of `main`, because it joins what must not know of each other: the screen and the commands' context.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ashore::attach::attachment::Attachment;
use ashore::attach::first::{Answer, Look};
use ashore::attach::launch::{self, launch};
use ashore::attach::perform::Opened;
use ashore::cli::{self, Global};
use ashore::client::api::Api;
use ashore::client::runs::{self, Known};
use ashore::commands::context::{Context, Found};
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::first::{Case, Course};
use ashore::commands::{attached, headless, mirrored, output, plan, runs as listing, worktree};
use ashore::config::settings::Settings;
use ashore::mirror::ignore::Rules;
use ashore::mirror::tracked::tracked;
use ashore::mirror::{scan, worker};
use ashore::protocol::file::FileManifest;
use ashore::protocol::ids::{RunId, RunRef};
use ashore::protocol::run::Policy;
use ashore::tui;
use ashore::tui::citizen::Habits;
use ashore::tui::effect;
use ashore::tui::event::{Facts, Listing, RunRow};
use ashore::tui::keymap::Keymap;
use ashore::tui::outside::{Berth, Harbour, NotLaunched};
use ashore::tui::replay::Tape;
use ashore::tui::start::{First, Wish, screen};
use ashore::tui::state::Welcome;
use ashore::tui::store::Store;
use ashore::tui::tastes::Tastes;
use ashore::tui::tty::clip::Way;
use ashore::tui::tty::notify;
use ashore::tui::tty::report::Scheme;
use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::notify::wish;
use crate::tastes;

/// How an attached run is to be opened.
#[derive(Clone, Default)]
struct Manner {
    read_only: bool,
    no_mirror: bool,
    mirror: Option<PathBuf>,
}

struct Port {
    context: Context,
    wish: cli::Run,
    manner: Manner,
}

/// Bare `ashore`: the picker when this directory has runs, else the composer of a new run.
pub(crate) async fn bare(context: Context, global: &Global) -> Result<Exit, Failure> {
    let here = runs::known(&context.places.runs())
        .iter()
        .any(|known| known.directory.as_deref() == Some(context.directory.as_path()));
    let port = Port {
        context,
        wish: cli::Run::default(),
        manner: Manner::default(),
    };
    show(
        port,
        global,
        if here {
            Begin::Picker
        } else {
            Begin::New(None, Vec::new())
        },
    )
    .await
}

/// `ashore run` without `-p` and `--detach`.
pub(crate) async fn new(
    context: Context,
    global: &Global,
    wish: cli::Run,
) -> Result<Exit, Failure> {
    if wish.worktree {
        worktree::must_be_possible(&context.directory).await?;
    }
    let files = attached::files(&context, &wish.attach)?;
    let prompt = match &wish.prompt {
        Some(text) => Some(listing::prompt(Some(text))?),
        None => None,
    };
    show(
        Port {
            context,
            wish,
            manner: Manner::default(),
        },
        global,
        Begin::New(prompt, files),
    )
    .await
}

/// `ashore attach`.
pub(crate) async fn attach(
    context: Context,
    global: &Global,
    wish: cli::Attach,
) -> Result<Exit, Failure> {
    let text = wish.run.clone().unwrap_or_else(|| "last".to_owned());
    let manner = Manner {
        read_only: wish.read_only,
        no_mirror: wish.no_mirror,
        mirror: wish.mirror,
    };
    if !is_linear(&context, global) {
        must_be_terminal()?;
    }
    let mut context = context;
    context.asides.keep();
    let found = context.find(&text).await?;
    let port = Port {
        context,
        wish: cli::Run::default(),
        manner,
    };
    show(port, global, Begin::Run(Box::new(found))).await
}

/// `ashore replay`.
pub(crate) async fn replay(
    context: Context,
    global: &Global,
    file: &Path,
    speed: f64,
) -> Result<Exit, Failure> {
    let tape = Tape::open(&context.directory.join(file), speed).await;
    let tape = tape.map_err(|error| Failure::usage(error.to_string()))?;
    let port = Port {
        context,
        wish: cli::Run::default(),
        manner: Manner::default(),
    };
    show(port, global, Begin::Replay(Box::new(tape))).await
}

enum Begin {
    Replay(Box<Tape>),
    Picker,
    New(Option<String>, Vec<Attachment>),
    Run(Box<Found>),
}

fn must_be_terminal() -> Result<(), Failure> {
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(
        Failure::usage("this is no terminal, and the screen needs one")
            .hint("ashore run -p \"…\" and ashore attach RUN --format ndjson do without"),
    )
}

/// Whole lines instead of a picture: asked for, or all that the terminal can do.
pub(crate) fn is_linear(context: &Context, global: &Global) -> bool {
    let accessible = context.env.get("ACCESSIBLE");
    let accessible = accessible.is_some_and(|word| !matches!(word, "" | "0" | "false" | "no"));
    global.screen_reader || accessible || context.env.get("TERM") == Some("dumb")
}

async fn show(mut port: Port, global: &Global, begin: Begin) -> Result<Exit, Failure> {
    let linear = is_linear(&port.context, global);
    if !linear {
        must_be_terminal()?;
    }
    // From here on stderr would write across the picture.
    port.context.asides.keep();
    let tastes = tastes::tastes(&port.context, global)?;
    for told in tastes.keymap.shadowed(&port.context.settings.keys) {
        port.context.asides.say(false, &told);
    }
    let source = tastes::source(&port.context, global);
    let scheme = port.context.env.get("COLORFGBG");
    let scheme = scheme.and_then(Scheme::of_variable);
    let habits = habits(&port.context, &tastes);
    let store = Store::new(&port.context.places.state, &port.context.directory);
    let env = &port.context.env;
    let editor = env.get("VISUAL").or_else(|| env.get("EDITOR"));
    let editor = editor.unwrap_or("vi").to_owned();
    let merge_tool = port.context.settings.merge_tool.clone();
    let welcome = welcome(&port);
    // There is nothing to come back to.
    let plays = matches!(begin, Begin::Replay(_));
    let mut attached = Vec::new();
    let first = match begin {
        Begin::Picker => First::Picker,
        Begin::Replay(tape) => First::Replay(tape),
        Begin::New(prompt, files) => {
            attached = files;
            First::NewRun(prompt)
        }
        Begin::Run(found) => match port.join(*found, None).await? {
            Berth::Open(opened) => First::Run(opened),
            Berth::Look(look) => First::Look(look),
        },
    };
    let wish = Wish {
        first,
        attached,
        welcome,
        tastes,
        source,
        scheme,
        habits,
        store,
        editor,
        merge_tool,
        inline: global.inline,
    };
    let left = if linear {
        tui::linear::run::run(Arc::new(port), wish).await
    } else {
        screen(Arc::new(port), wish).await
    };
    let left = left.map_err(|error| Failure::new(Exit::Other, format!("{error:#}")))?;
    if let Some(message) = left.message.as_ref().filter(|_| !plays) {
        output::say(false, message);
    }
    Ok(Exit::Code(left.code))
}

fn welcome(port: &Port) -> Welcome {
    let context = &port.context;
    let endpoint = context.settings.endpoint.clone();
    let local = endpoint.is_none();
    let agent = plan::agent_line(context, &port.wish, local).unwrap_or_else(|failure| failure.what);
    let other = if local {
        "another endpoint: --endpoint URL, or `endpoint` in config.toml".to_owned()
    } else {
        String::new()
    };
    Welcome {
        directory: context.directory.display().to_string(),
        endpoint: endpoint.unwrap_or_else(|| "this machine".to_owned()),
        lines: [agent, other]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect(),
    }
}

/// How the screen behaves in its terminal. The words of the config have been checked.
fn habits(context: &Context, tastes: &Tastes) -> Habits {
    let settings = &context.settings;
    let clipboard = settings.clipboard.as_deref().unwrap_or_default();
    let way = Way::WORDS.iter().find(|(word, _)| *word == clipboard);
    Habits {
        clipboard: match settings.clipboard_command.is_empty() {
            true => way.map_or_else(Way::default, |(_, way)| *way),
            false => Way::Command,
        },
        clipboard_command: settings.clipboard_command.clone(),
        notify_command: settings.notify_command.clone(),
        home: context.env.get("HOME").map(PathBuf::from),
        notify: wish(settings),
        place: notify::Place::of(|name| context.env.get(name)),
        titles: settings.title,
        links: links(context, tastes),
        ascii: tastes.ascii,
        calm: tastes.calm,
        column: tastes.column,
        mouse: settings.mouse,
    }
}

/// As the config says, else wherever nobody is known to print what it does not know.
fn links(context: &Context, tastes: &Tastes) -> bool {
    let term = context.env.get("TERM").unwrap_or_default();
    let knows = !matches!(term, "" | "dumb" | "linux" | "screen" | "vt100" | "vt220");
    tastes.ascii != Some(true) && term != "dumb" && context.settings.links.unwrap_or(knows)
}

/// The keys with those of the config.
pub(crate) fn keymap(settings: &Settings) -> Result<Keymap, Failure> {
    Keymap::with(&settings.keys).map_err(|bad| {
        let origin = settings.origins.iter().find(|one| one.key == bad.path);
        let from = origin.map_or("", |origin| origin.from.as_str());
        Failure::usage(format!("config error: {from}  {bad}"))
    })
}

impl Port {
    /// Opens a run as `attach` would: its recorded directory is mirrored, or a note says why not. Before the first write
    /// into a directory that is new to it somebody answers.
    async fn join(&self, found: Found, answer: Option<Answer>) -> Result<Berth, Failure> {
        let Found { api, at, known } = found;
        // Whoever answers means a directory, even where none was named.
        let meant = answer.map(|_| self.context.directory.clone());
        let (directory, note) = match self.directory(known.as_ref()).or(meant) {
            None => (None, None),
            Some(directory) => {
                let case = self.case(&api, &at, known.as_ref(), &directory);
                match case.course(answer).await {
                    Course::Mirror(directory, note) => (Some(directory), note),
                    Course::Leave(note) => (None, note),
                    Course::Ask(look) => return Ok(Berth::Look(look)),
                }
            }
        };
        headless::remember(
            &self.context,
            &api,
            &at,
            known.clone(),
            directory.as_deref(),
        );
        let seeded_here = mirrored::is_seeded_from(known.as_ref(), directory.as_deref());
        let mut opened = headless::open(&self.context, api, &at, self.manner.read_only).await;
        opened.attached.notes.extend(note);
        let opened = self
            .mirrored(opened, &at, directory.as_deref(), seeded_here, None)
            .await;
        Ok(Berth::Open(Box::new(opened)))
    }

    fn case<'a>(
        &'a self,
        api: &'a Api,
        at: &'a RunRef,
        known: Option<&'a Known>,
        directory: &'a Path,
    ) -> Case<'a> {
        Case {
            context: &self.context,
            api,
            at,
            known,
            directory,
        }
    }

    fn directory(&self, known: Option<&Known>) -> Option<PathBuf> {
        if self.manner.no_mirror || self.manner.read_only {
            return None;
        }
        let named = self
            .manner
            .mirror
            .as_ref()
            .map(|path| self.context.directory.join(path))
            .map(|path| path.canonicalize().unwrap_or(path));
        named.or_else(|| mirrored::recorded(known).map(Path::to_owned))
    }

    /// A mirror that cannot be had is a line on the screen, never a reason not to show the run.
    async fn mirrored(
        &self,
        mut opened: Opened,
        at: &RunRef,
        directory: Option<&Path>,
        seeded_here: bool,
        manifest: Option<FileManifest>,
    ) -> Opened {
        opened.attached.notes.extend(self.context.asides.take());
        opened.show_end();
        let Some(directory) = directory else {
            return opened;
        };
        let setup = mirrored::setup(&self.context, &at.run, directory, seeded_here);
        if let Err(error) = mirrored::join(&mut opened, setup, at, manifest).await {
            opened
                .attached
                .notes
                .push(format!("no mirror here: {error}"));
            opened.attached.mirror.reason = Some(match error {
                worker::Error::Lock(error) => error.to_string(),
                error => error.to_string(),
            });
        }
        opened
    }

    async fn create(
        &self,
        wish: &effect::Plan,
        told: mpsc::Sender<String>,
    ) -> Result<Opened, NotLaunched> {
        let sentence = |failure: Failure| NotLaunched::Failed(failure.what);
        tell(&told, "connecting").await;
        let api = self.context.connect().await.map_err(sentence)?;
        let (mut plan, _) = plan::plan(&self.context, &self.wish, &api, &wish.prompt, Policy::Ask)
            .map_err(sentence)?;
        if wish.accept_size {
            plan.size_limit = u64::MAX;
        }
        let own = if self.wish.worktree {
            tell(&told, "making a worktree").await;
            Some(worktree::make(&self.context).await.map_err(sentence)?)
        } else {
            None
        };
        if let Some(own) = &own {
            plan.directory.clone_from(&own.directory);
        }
        let directory = plan.mirrored.then(|| plan.directory.clone());
        let launched = match self.launched(&api, plan, &told).await {
            Ok(launched) => launched,
            Err(error) => {
                if let Some(own) = own {
                    own.undo().await;
                }
                return Err(error);
            }
        };
        let mut opened = headless::open(&self.context, api, &launched.at, false).await;
        let said = own.map(|own| own.sentence());
        opened.attached.notes.extend(said);
        Ok(self
            .mirrored(
                opened,
                &launched.at,
                directory.as_deref(),
                true,
                launched.manifest,
            )
            .await)
    }

    async fn launched(
        &self,
        api: &Api,
        plan: launch::Plan,
        told: &mpsc::Sender<String>,
    ) -> Result<launch::Launched, NotLaunched> {
        let (progress, mut heard) = mpsc::channel(64);
        let words = async {
            while let Some(progress) = heard.recv().await {
                if let Some(words) = words(&progress) {
                    tell(told, &words).await;
                }
            }
        };
        let (launched, ()) = tokio::join!(launch(api, &self.context.places, plan, progress), words);
        launched.map_err(|error| match error {
            launch::Error::TooLarge { size, limit, files } => NotLaunched::TooLarge {
                files: files as u64,
                bytes: size,
                limit,
            },
            error => NotLaunched::Failed(error.to_string()),
        })
    }
}

fn words(progress: &launch::Progress) -> Option<String> {
    match progress {
        launch::Progress::Scanning => Some("reading the directory".into()),
        launch::Progress::Creating => Some("creating the run".into()),
        launch::Progress::Created(_) => None,
        launch::Progress::Uploading { done, total } => Some(format!(
            "sending files: {} of {} KiB",
            done / 1024,
            total / 1024
        )),
        launch::Progress::Seeded => Some("the files are there".into()),
        launch::Progress::Note(text) => Some(text.clone()),
    }
}

/// The screen may have gone.
async fn tell(told: &mpsc::Sender<String>, words: &str) {
    drop(told.send(words.to_owned()).await);
}

#[async_trait]
impl Harbour for Port {
    async fn list(&self) -> Result<Vec<RunRow>, String> {
        let rows = async {
            let api = self.context.connect().await?;
            listing::rows(
                &self.context,
                &api,
                &runs::known(&self.context.places.runs()),
            )
            .await
        };
        let rows = rows.await.map_err(|failure: Failure| failure.what)?;
        Ok(rows
            .into_iter()
            .map(|row| shown(row, &self.context.directory))
            .collect())
    }

    fn directory(&self) -> &Path {
        &self.context.directory
    }

    fn kept(&self, run: &RunId) -> Option<PathBuf> {
        Some(self.context.places.run(run))
    }

    async fn paths(&self, of: Option<PathBuf>, most: usize) -> Result<Listing, String> {
        let root = of.clone().unwrap_or_else(|| self.context.directory.clone());
        let ignore = self.context.ignore(&root);
        let rules = Rules::new(&root, &ignore, &self.context.settings.include)
            .map_err(|error| error.to_string())?;
        rules.keep(&tracked(&root).await);
        let (paths, is_cut) = tokio::task::spawn_blocking(move || scan::names(&root, &rules, most))
            .await
            .map_err(|_| "the directory could not be listed to its end".to_owned())?
            .map_err(|error| error.to_string())?;
        Ok(Listing {
            of,
            paths: paths.into_iter().map(String::from).collect(),
            is_cut,
        })
    }

    async fn open(&self, at: &RunRef, answer: Option<Answer>) -> Result<Berth, String> {
        let found = async {
            let found = self.context.find(at.run.as_str()).await?;
            self.join(found, answer).await
        };
        found.await.map_err(|failure: Failure| failure.what)
    }

    async fn look(&self, at: &RunRef) -> Result<Look, String> {
        let found = self.context.find(at.run.as_str()).await;
        let found = found.map_err(|failure| failure.what)?;
        let directory = self.directory(found.known.as_ref());
        let directory = directory.unwrap_or_else(|| self.context.directory.clone());
        let case = self.case(&found.api, at, found.known.as_ref(), &directory);
        case.again().await
    }

    async fn launch(
        &self,
        plan: &effect::Plan,
        told: mpsc::Sender<String>,
    ) -> Result<Opened, NotLaunched> {
        self.create(plan, told).await
    }
}

fn shown(row: listing::Row, directory: &Path) -> RunRow {
    let place = row
        .directory
        .as_deref()
        .map(Path::new)
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    RunRow {
        here: row.directory.as_deref().map(Path::new) == Some(directory),
        place: place.unwrap_or_default(),
        at: row.at,
        title: row.title,
        status: row.status.into(),
        agent: row.agent,
        needs: match row.standing.questions {
            0 => None,
            1 => Some("1 question".to_owned()),
            many => Some(format!("{many} questions")),
        },
        working: row.turn == "working",
        updated: row.updated_at.and_then(|text| text.parse().ok()),
        facts: Facts {
            turns: row.standing.turns,
            files: row.standing.files,
            clients: row.standing.clients,
            pr_url: row.pr_url,
            error: row.error,
        },
    }
}
