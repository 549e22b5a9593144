//! The ground a command stands on: places, environment, settings, and the log.
//!
//! Reads and makes the log's folder; decides nothing about the command.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use ashore::cli::{Command, Config, Global};
use ashore::commands::context::{Asides, Context};
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::output;
use ashore::config::env::Env;
use ashore::config::file;
use ashore::config::places::Places;
use ashore::config::settings::{self, Settings};

use crate::screen;

/// What every command starts from.
pub(crate) fn context(global: &Global) -> Result<Context, Failure> {
    let (context, broken) = found(global)?;
    match broken {
        None => {
            // Refused for every command: a file is right or wrong whatever is done next.
            screen::keymap(&context.settings)?;
            Ok(context)
        }
        Some(error) => Err(Failure::usage(format!("config error: {error}"))),
    }
}

/// The same for a command that helps to put a broken config right: the mistake is said, and the built-in values hold.
pub(crate) fn lenient(global: &Global) -> Result<Context, Failure> {
    let (context, broken) = found(global)?;
    if let Some(error) = broken {
        output::say(
            false,
            &format!("config error, so the built-in values hold: {error}"),
        );
    }
    if let Err(failure) = log(&context.places, &context.env, global) {
        output::say(false, &failure.what);
    }
    Ok(context)
}

/// Commands that work with any config, as far as they can.
pub(crate) fn is_for_repair(command: &Command) -> bool {
    matches!(
        command,
        Command::Doctor { .. }
            | Command::Logs { .. }
            | Command::Config {
                what: Config::Path | Config::Edit
            }
    )
}

/// Everything but the settings must be right; those are built in when the files are wrong.
fn found(global: &Global) -> Result<(Context, Option<file::Error>), Failure> {
    if global.dialect.is_some() {
        return Err(Failure::later("--dialect"));
    }
    let env = Env::read();
    let places = Places::find(&env).map_err(|error| Failure::usage(error.to_string()))?;
    let directory = global.cwd.clone().unwrap_or_else(|| PathBuf::from("."));
    let directory = directory.canonicalize().map_err(|error| {
        Failure::usage(format!("cannot work in {}: {error}", directory.display()))
    })?;
    if !directory.is_dir() {
        return Err(Failure::usage(format!(
            "{} is not a directory",
            directory.display()
        )));
    }
    let read = settings::load(&places, global.config.as_deref(), &directory, &env);
    let (mut settings, broken) = match read {
        Ok(settings) => (settings, None),
        Err(error) => (Settings::default(), Some(error)),
    };
    flags(&mut settings, global);
    let context = Context {
        places,
        settings,
        env,
        directory,
        quiet: global.quiet,
        asides: Asides::default(),
    };
    Ok((context, broken))
}

/// What was said on the command line wins.
fn flags(settings: &mut Settings, global: &Global) {
    settings.endpoint = global.endpoint.clone().or(settings.endpoint.take());
    settings.theme = global.theme.clone().or(settings.theme.take());
    settings.ca_file = global.ca_file.clone().or(settings.ca_file.take());
    if global.ascii {
        settings.ascii = Some(true);
    }
    settings.mouse &= !global.no_mouse;
}

/// The files that settings are read from.
pub(crate) fn files(context: &Context, global: &Global) -> [PathBuf; 2] {
    let config = global.config.as_deref();
    [
        context.places.config_file(config, &context.env),
        context.directory.join(".ashore.toml"),
    ]
}

/// The settings as the files are now.
pub(crate) fn settings(context: &Context, global: &Global) -> Result<Settings, Failure> {
    let config = global.config.as_deref();
    let mut settings = settings::load(&context.places, config, &context.directory, &context.env)
        .map_err(|error| Failure::usage(error.to_string()))?;
    flags(&mut settings, global);
    Ok(settings)
}

/// To a file: stdout carries results, stderr sentences for people, and a screen neither.
pub(crate) fn log(places: &Places, env: &Env, global: &Global) -> Result<(), Failure> {
    let folder = places.logs();
    let file = std::fs::create_dir_all(&folder).and_then(|()| {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(folder.join("ashore.log"))
    });
    let Ok(file) = file else {
        return Err(Failure::new(
            Exit::Other,
            format!(
                "cannot write to {}: is the disk full or read-only?",
                folder.display()
            ),
        ));
    };
    let level = match global.verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = env
        .get("ASHORE_LOG")
        .map_or_else(|| format!("warn,ashore={level}"), str::to_owned);
    let filter = tracing_subscriber::EnvFilter::try_new(&filter)
        .map_err(|error| Failure::usage(format!("ASHORE_LOG is `{filter}`: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(file)
        .init();
    Ok(())
}
