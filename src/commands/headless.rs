//! `run -p`, `run --detach` and `attach --format ndjson`: a run without a screen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::attach::attachment;
use crate::attach::event::Event;
use crate::attach::launch::{self, Launched, Progress, launch};
use crate::attach::perform::{self, Opened};
use crate::attach::state::{Attached, Posting};
use crate::cli::{self, Format};
use crate::client::api::Api;
use crate::client::runs::{self, Known};
use crate::commands::context::{Context, Found};
use crate::commands::drive::drive;
use crate::commands::failure::{Exit, Failure};
use crate::commands::outcome::Outcome;
use crate::commands::printer::Printer;
use crate::commands::{attached, forecast, mirrored, output, plan, runs as prompts, worktree};
use crate::mirror::status::MirrorState;
use crate::protocol::ids::{CommandId, RunRef, Seq};
use crate::protocol::run::{Environment, Policy, Status};
use crate::session::cells::Kind;
use crate::session::state::Session;
use crate::session::transcript::Body;

/// How long the end of a turn waits for answers to edits made here.
const ANSWERS: Duration = Duration::from_secs(10);
/// How long an end waits until what could not be put here has been tried once more.
const RETRIES: Duration = Duration::from_secs(5);
/// Of what is held so many are named.
const NAMED: usize = 5;
const TICK: Duration = Duration::from_secs(1);

/// `run -p` and `run --detach`.
pub async fn run(context: &Context, wish: &cli::Run, format: Format) -> Result<Exit, Failure> {
    let files = attached::files(context, &wish.attach)?;
    let text = prompts::prompt(wish.prompt.as_deref())?;
    if wish.worktree {
        worktree::must_be_possible(&context.directory).await?;
    }
    let api = context.connect().await?;
    // Somebody may come to a detached run; nobody can answer in the middle of `-p`.
    let policy = if wish.print {
        Policy::Deny
    } else {
        Policy::Ask
    };
    let (mut plan, line) = plan::plan(context, wish, &api, &text, policy)?;
    if let Some(line) = line {
        output::say(context.quiet, &line);
    }
    let own = if wish.worktree {
        let own = worktree::make(context).await?;
        output::say(context.quiet, &own.sentence());
        plan.directory.clone_from(&own.directory);
        Some(own)
    } else {
        None
    };
    let mirrors = plan.mirrored && !wish.detach;
    if mirrors {
        mirrored::must_be_free(context, &plan.directory).await?;
    }
    let (directory, in_place) = (
        plan.directory.clone(),
        plan.environment == Environment::Local,
    );
    let policy = plan.permissions;
    let launched = match create(context, &api, plan).await {
        Ok(launched) => launched,
        Err(failure) => {
            if let Some(own) = own {
                own.undo().await;
            }
            return Err(failure);
        }
    };
    let command = attachment::message(&text, files);
    if wish.detach {
        api.post(&launched.at, &command).await?;
        return detached(context, &api, &launched, format);
    }
    let mut opened = open(context, api, &launched.at, false).await;
    if mirrors {
        let setup = mirrored::setup(context, &launched.at.run, &directory, true);
        let joined = mirrored::join(&mut opened, setup, &launched.at, launched.manifest).await;
        joined.map_err(|error| mirrored::refused(&error))?;
    }
    let first = vec![Event::Say(command.clone())];
    let id = command.id.expect("a command of ours has an id");
    let mut printer = Printer::new(format, context.quiet, launched.at, in_place, policy);
    one_turn(opened, &mut printer, first, &id, mirrors).await
}

/// Creates the run; what happens on the way goes to stderr.
async fn create(context: &Context, api: &Api, plan: launch::Plan) -> Result<Launched, Failure> {
    let (progress, mut told) = mpsc::channel(64);
    let say = async {
        while let Some(progress) = told.recv().await {
            match progress {
                Progress::Note(text) => output::say(context.quiet, &text),
                Progress::Scanning
                | Progress::Creating
                | Progress::Created(_)
                | Progress::Uploading { .. }
                | Progress::Seeded => (),
            }
        }
    };
    let (launched, ()) = tokio::join!(launch(api, &context.places, plan, progress), say);
    launched.map_err(|error| match error {
        launch::Error::TooLarge { .. } => Failure::usage(error.to_string())
            .hint("mirror.seed_limit_mib in config.toml is the limit"),
        launch::Error::Pattern(_) | launch::Error::NoDirectory(_) | launch::Error::NotLocal(_) => {
            Failure::usage(error.to_string())
        }
        launch::Error::Road(error) => error.into(),
        launch::Error::Scan(_) | launch::Error::Send { .. } | launch::Error::Disk(_) => {
            Failure::new(Exit::Other, error.to_string())
        }
    })
}

fn detached(
    context: &Context,
    api: &Api,
    launched: &Launched,
    format: Format,
) -> Result<Exit, Failure> {
    let at = &launched.at;
    let endpoint = api.endpoint().url.as_str().trim_end_matches('/').to_owned();
    if format == Format::Text {
        output::say(
            context.quiet,
            &format!(
                "The run goes on by itself. Come back with: ashore attach {}",
                at.run.short()
            ),
        );
        output::line(at.run.as_str())?;
    } else {
        output::json(
            &json!({"v": 1, "run": at.run, "task": at.task, "endpoint": endpoint, "url": format!("{endpoint}{}", at.path())}),
        )?;
    }
    Ok(Exit::Done)
}

/// The machine of a run, with the local endpoint's start at hand.
pub async fn open(context: &Context, api: Api, at: &RunRef, read_only: bool) -> Opened {
    let starter = api.endpoint().local.then(|| context.starter());
    perform::open(perform::Plan {
        api,
        at: at.clone(),
        places: context.places.clone(),
        read_only,
        starter,
        silence: None,
    })
    .await
}

/// Follows until the turn of this command is over and its files are settled.
async fn one_turn(
    opened: Opened,
    printer: &mut Printer,
    first: Vec<Event>,
    command: &CommandId,
    mirrors: bool,
) -> Result<Exit, Failure> {
    let asks = printer.policy() == Policy::Ask;
    let mut opened = opened;
    opened.performer.own(tick(opened.performer.events()));
    let mut over_since = None;
    let mut grace = Grace::default();
    let done = |attached: &Attached| {
        if asks && !attached.session.permissions.is_empty() {
            return Some(Exit::Permission);
        }
        if refusal(attached).is_some() {
            return Some(Exit::RunFailed);
        }
        let failed = matches!(
            attached.session.status,
            Some(Status::Failed | Status::Cancelled)
        );
        // The run is new: a status that says failed is about this very prompt, taken or not.
        let over =
            attached.ended && attached.outbox.is_empty() && attached.session.queued.is_empty();
        let turn_is_over = is_over(attached, command, mirrors);
        // An edit on its way is waited for too, but not for ever: nobody may be there to answer it.
        let waits = turn_is_over && attached.mirror.under_way > 0 && !is_held(attached) && {
            let now = Instant::now();
            now.duration_since(*over_since.get_or_insert(now)) < ANSWERS
        };
        let waits = waits || turn_is_over && mirrors && grace.is_wanted(attached);
        ((turn_is_over && !waits) || failed || over).then_some(Exit::Done)
    };
    let (attached, exit) = drive(opened, printer, first, done).await?;
    if let Some(why) = refusal(&attached) {
        return Err(Failure::new(
            Exit::RunFailed,
            format!("the prompt was not taken: {why}"),
        ));
    }
    let status = attached.run.as_ref().map(|run| &run.status);
    let outcome = Outcome {
        refused_by_policy: printer.refused(),
        ..Outcome::of(&attached.session, status, &attached.mirror)
    };
    printer.result(&outcome, &attached.session)?;
    if let Some(error) = &outcome.error {
        output::say(false, &format!("The turn ended with an error: {error}"));
    }
    if mirrors {
        say_held(&attached);
    }
    if exit == Exit::Permission {
        let run = printer.run();
        output::say(
            false,
            &format!("The agent asks and waits. Answer with: ashore answer {run}"),
        );
    }
    Ok(if exit == Exit::Done {
        outcome.exit()
    } else {
        exit
    })
}

/// So that time passes for who waits when nothing happens.
async fn tick(events: mpsc::Sender<Event>) {
    loop {
        tokio::time::sleep(TICK).await;
        let now = Instant::now().into_std();
        if events.send(Event::Tick { now }).await.is_err() {
            return;
        }
    }
}

/// Paused or halted: what waits now waits for the user.
fn is_held(attached: &Attached) -> bool {
    let state = attached.mirror.state;
    matches!(state, MirrorState::Paused | MirrorState::Halted)
}

/// Why the endpoint does not take the prompt.
fn refusal(attached: &Attached) -> Option<&str> {
    attached.outbox.iter().find_map(|one| match &one.state {
        Posting::Refused(why) => Some(why.as_str()),
        Posting::Waiting | Posting::InFlight | Posting::Accepted => None,
    })
}

/// True once the turn that took this command has ended and everything it wrote has been decided here.
fn is_over(attached: &Attached, command: &CommandId, mirrors: bool) -> bool {
    let Some(end) = end_of_turn(&attached.session, command) else {
        return false;
    };
    !mirrors
        || is_held(attached)
        || !attached.mirror.direction.is_down()
        || attached.mirror.settled >= end
}

/// The line that ended the turn of this command.
fn end_of_turn(session: &Session, command: &CommandId) -> Option<Seq> {
    let cells = &session.transcript.cells;
    let asked = cells.iter().position(
        |cell| matches!(&cell.body, Body::User { command: Some(id), .. } if id == command),
    )?;
    let mut behind = cells.labels().skip(asked);
    let end = behind.find(|label| label.kind == Kind::TurnEnd)?;
    Some(end.seq)
}

/// Which directory an attach mirrors into.
pub fn directory(context: &Context, wish: &cli::Attach, known: Option<&Known>) -> Option<PathBuf> {
    if wish.no_mirror || wish.read_only {
        return None;
    }
    wish.mirror
        .as_ref()
        .map(|path| context.directory.join(path))
        .or_else(|| mirrored::recorded(known).map(Path::to_owned))
}

/// `attach --format ndjson`: everything from the start, until the run is over.
pub async fn attach(
    context: &Context,
    wish: &cli::Attach,
    format: Format,
) -> Result<Exit, Failure> {
    if format != Format::Ndjson {
        return Err(
            Failure::usage("attach without a screen speaks NDJSON only").hint("--format ndjson")
        );
    }
    let text = wish.run.as_deref().unwrap_or("last");
    let Found { api, at, known } = context.find(text).await?;
    let directory = directory(context, wish, known.as_ref());
    let in_place = api.run(&at).await?.environment == Environment::Local;
    remember(context, &api, &at, known.clone(), directory.as_deref());
    let seeded_here = mirrored::is_seeded_from(known.as_ref(), directory.as_deref());
    let mut opened = open(context, api, &at, wish.read_only).await;
    if let Some(directory) = &directory {
        let setup = mirrored::setup(context, &at.run, directory, seeded_here);
        let api = opened.performer.road().api().clone();
        if let Some(line) = forecast::first_look(context, &api, &at, &setup).await {
            output::say(context.quiet, &line);
        }
        let joined = mirrored::join(&mut opened, setup, &at, None).await;
        joined.map_err(|error| mirrored::refused(&error))?;
    }
    let mut printer = Printer::new(format, context.quiet, at, in_place, Policy::Auto);
    let mirrors = directory.is_some();
    opened.performer.own(tick(opened.performer.events()));
    let mut grace = Grace::default();
    let (attached, _) = drive(opened, &mut printer, Vec::new(), |attached| {
        let done = is_done(attached, mirrors) && !(mirrors && grace.is_wanted(attached));
        done.then_some(Exit::Done)
    })
    .await?;
    Ok(if mirrors && say_held(&attached) {
        Exit::Mirror
    } else {
        Exit::Done
    })
}

/// The time that is given to what could not be put here at first.
#[derive(Debug, Default)]
struct Grace {
    since: Option<Instant>,
}

impl Grace {
    /// Whether something that is held is yet to be tried a second time: what was in its way may have been there for a
    /// moment.
    fn is_wanted(&mut self, attached: &Attached) -> bool {
        let mirror = &attached.mirror;
        if is_held(attached) || !mirror.direction.is_down() || !mirror.is_held_untried() {
            return false;
        }
        let now = Instant::now();
        now.duration_since(*self.since.get_or_insert(now)) < RETRIES
    }
}

/// A mirror that is paused or halted, or could not put everything here, is why not everything stands here: that goes to
/// stderr.
fn say_held(attached: &Attached) -> bool {
    let run = attached.at.run.short();
    let held = &attached.mirror.held;
    for held in held.iter().take(NAMED) {
        output::say(
            false,
            &output::plain(&format!("Not put here: {}: {}", held.path, held.reason)),
        );
    }
    if let count @ 1.. = attached.mirror.held_count() {
        output::say(
            false,
            &format!(
                "{count} of the agent's files are held: `ashore mirror status {run}` lists them, and attaching goes on with them."
            ),
        );
    }
    is_stopped(attached) || !held.is_empty()
}

fn is_stopped(attached: &Attached) -> bool {
    let word = match attached.mirror.state {
        MirrorState::Paused => "paused",
        MirrorState::Halted => "halted",
        MirrorState::Off | MirrorState::Live | MirrorState::CatchingUp | MirrorState::Conflict => {
            return false;
        }
    };
    let run = attached.at.run.short();
    let reason = attached.mirror.reason.as_deref().unwrap_or("");
    let reason = reason.replace("RUN`", &format!("{run}`"));
    output::say(false, &format!("The mirror is {word}: {reason}"));
    true
}

/// The run has ended, all of it has been read, and its files are settled.
fn is_done(attached: &Attached, mirrors: bool) -> bool {
    let held = matches!(
        attached.mirror.state,
        MirrorState::Paused | MirrorState::Halted
    );
    attached.ended && (!mirrors || held || attached.mirror.settled >= attached.session.last)
}

/// A run that was attached here is known here from then on.
pub fn remember(
    context: &Context,
    api: &Api,
    at: &RunRef,
    known: Option<Known>,
    directory: Option<&Path>,
) {
    let fresh = || Known {
        at: at.clone(),
        endpoint: api.endpoint().name.clone(),
        url: api.endpoint().url.to_string(),
        local: api.endpoint().local,
        directory: None,
        seeded_from: None,
        seeded_id: None,
        mirrored: false,
        title: String::new(),
        agent: None,
        created: jiff::Timestamp::now().to_string(),
    };
    let mut known = known.unwrap_or_else(fresh);
    if let Some(directory) = directory {
        known.directory = Some(
            directory
                .canonicalize()
                .unwrap_or_else(|_| directory.to_owned()),
        );
        known.mirrored = true;
    }
    if let Err(error) = runs::remember(&context.places.runs(), &known) {
        tracing::warn!(%error, "the run is not remembered here");
    }
}
