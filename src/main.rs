//! Parses the command line, sets up the log, matches the command, maps its end to an exit code.
//!
//! The only place that names `tui`, `commands`, `agent` and `backend` together, and the only one that ends the program.

#[path = "main/agent.rs"]
mod agent;
#[path = "main/edit.rs"]
mod edit;
#[path = "main/ground.rs"]
mod ground;
#[path = "main/keys.rs"]
mod keys;
#[path = "main/notify.rs"]
mod notify;
#[path = "main/screen.rs"]
mod screen;
#[path = "main/serve.rs"]
mod serve;
#[path = "main/tastes.rs"]
mod tastes;
#[path = "main/theme.rs"]
mod theme;
#[path = "main/tokens.rs"]
mod tokens;

use std::io::IsTerminal;
use std::process::ExitCode;

use ashore::cli::{Cli, Command, Config, Format, Global};
use ashore::commands::context::Context;
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::{
    config, diff, doctor, endpoint, events, export, forecast, headless, logs, mirror, output, runs,
    status, terminal, wait,
};
use clap::{CommandFactory, Parser};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure; the rest is usage.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let exit = start(cli).unwrap_or_else(|failure| {
        if !failure.what.is_empty() {
            output::say(false, &failure.to_string());
        }
        failure.exit
    });
    ExitCode::from(exit.code())
}

fn start(cli: Cli) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Other, format!("cannot start the runtime: {error}")))?;
    let exit = runtime.block_on(perform(cli));
    ashore::mirror::aside::part();
    // A read of stdin that nobody waits for any more must not hold the end up.
    runtime.shutdown_background();
    exit
}

/// The faces that own their signals run as they are; the others end at the first one. What is needed to put a broken
/// config or terminal right, and what an endpoint starts, does not depend on the user's config.
async fn perform(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    let exports = matches!(command, Some(Command::Export { .. }));
    if global.format() == Format::Md && !exports {
        return Err(Failure::usage("--format md is for `ashore export`")
            .hint("--format text, json or ndjson"));
    }
    match command {
        Some(Command::DemoAgent) => agent::demo().await,
        Some(Command::Agent { launch }) => agent::server(&launch, &global).await,
        Some(Command::ResetTerminal) => terminal::reset(),
        Some(command) if ground::is_for_repair(&command) => {
            let context = ground::lenient(&global)?;
            until_signal(one_shot(&context, &global, command)).await
        }
        command => {
            let mut context = ground::context(&global)?;
            match ground::log(&context.places, &context.env, &global) {
                // A screen can do without what is kept here, and says so.
                Err(failure) if failure.exit == Exit::Other && is_screen(&command, &global) => {
                    context.asides.keep();
                    context.asides.say(false, &failure.what);
                }
                logged => logged?,
            }
            match command {
                Some(Command::Serve(wish)) => serve::run(&context, &wish, global.format()).await,
                None => bare(context, &global).await,
                Some(Command::Run(wish)) if !wish.print && !wish.detach => {
                    screen::new(context, &global, wish).await
                }
                Some(Command::Replay { file, speed }) => {
                    screen::replay(context, &global, &file, speed).await
                }
                Some(Command::Attach(wish)) if global.format() != Format::Ndjson => {
                    screen::attach(context, &global, wish).await
                }
                Some(command) => until_signal(one_shot(&context, &global, command)).await,
            }
        }
    }
}

/// Whether this opens the screen.
fn is_screen(command: &Option<Command>, global: &Global) -> bool {
    match command {
        None => true,
        Some(Command::Run(wish)) => !wish.print && !wish.detach,
        Some(Command::Replay { .. }) => true,
        Some(Command::Attach(_)) => global.format() != Format::Ndjson,
        Some(_) => false,
    }
}

async fn until_signal(face: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::select! {
        exit = face => exit,
        exit = interrupted() => exit,
    }
}

async fn one_shot(context: &Context, global: &Global, command: Command) -> Result<Exit, Failure> {
    let format = global.format();
    match command {
        Command::Ls { all, status } => runs::ls(context, all, status.as_deref(), format).await,
        Command::Status { run } => status::status(context, &run, format).await,
        Command::Send { run, text, attach } => {
            runs::send(context, &run, text.as_deref(), &attach, format).await
        }
        Command::Cancel { run } => runs::cancel(context, &run, format).await,
        Command::Stop { run } => runs::stop(context, &run, format).await,
        Command::Mirror { what } => mirror::run(context, &what, format).await,
        Command::Run(wish) if wish.print || wish.detach => {
            headless::run(context, &wish, format).await
        }
        Command::Attach(wish) if format == Format::Ndjson => {
            headless::attach(context, &wish, format).await
        }
        Command::Rm { run, yes } => runs::rm(context, &run, yes, format).await,
        Command::Wait {
            run,
            until,
            timeout,
        } => wait::wait(context, &run, until, timeout, format).await,
        Command::Answer {
            run,
            request,
            option,
        } => wait::answer(context, &run, request.as_deref(), option.as_deref(), format).await,
        Command::Events { run, from, follow } => {
            events::run(context, &run, from, follow, format).await
        }
        Command::Diff { run, stat } => {
            let colours = tastes::has_colours(context, global, std::io::stdout().is_terminal());
            diff::run(
                context,
                &run,
                diff::Shown {
                    stat,
                    colours,
                    format,
                },
            )
            .await
        }
        Command::Pull {
            run,
            dry_run,
            patch,
        } => match (patch, dry_run) {
            (true, _) => diff::as_patch(context, &run).await,
            (false, true) => forecast::run(context, &run, format).await,
            (false, false) => Err(Failure::later("pull").hint("ashore pull RUN --patch")),
        },
        Command::Export { run } => export::run(context, &run, global.format).await,
        other => of_machine(context, global, other).await,
    }
}

/// What is about no run, but about this machine.
async fn of_machine(context: &Context, global: &Global, command: Command) -> Result<Exit, Failure> {
    let format = global.format();
    match command {
        Command::Endpoint { what } => endpoint::run(context, what, format, serve::end_left).await,
        Command::Keys => keys::run(context, format),
        Command::Config { what: Config::Edit } => {
            let file = context
                .places
                .config_file(global.config.as_deref(), &context.env);
            edit::run(context, &file).await
        }
        Command::Config { what } => config::run(
            context,
            &context
                .places
                .config_file(global.config.as_deref(), &context.env),
            what,
            format,
        ),
        Command::Doctor { notify: true, .. } => notify::test(context).await,
        Command::Doctor { agent, .. } => doctor::run(context, agent.as_deref(), format).await,
        Command::Logs { follow } => logs::run(context, follow).await,
        Command::Theme { what } => theme::run(context, global, &what, format),
        later => Err(Failure::later(name(&later))),
    }
}

/// What is not there yet, by its name.
fn name(command: &Command) -> &'static str {
    match command {
        Command::Pr { .. } => "pr",
        Command::Prune { .. } => "prune",
        Command::Acp { .. } => "acp",
        Command::Login | Command::Logout | Command::Whoami => "login",
        Command::Completions { .. } => "completions",
        Command::Man => "man",
        _ => "this",
    }
}

/// Without a terminal there is nothing to show but the help.
async fn bare(context: Context, global: &Global) -> Result<Exit, Failure> {
    if std::io::stdout().is_terminal() || global.screen_reader {
        return screen::bare(context, global).await;
    }
    drop(Cli::command().print_help());
    Ok(Exit::Done)
}

async fn interrupted() -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Other, format!("cannot listen for signals: {error}"))
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => Ok(Exit::Interrupted),
        _ = terminate.recv() => Ok(Exit::Terminated),
    }
}
