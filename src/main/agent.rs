//! `ashore agent` and `ashore demo-agent`: the two programs that others start.
//!
//! Neither reads the user's config: an agent server is told everything in its launch file, and a mistake in `config.toml`
//! must not keep one from starting.

use std::path::{Path, PathBuf};

use ashore::agent::demo::run as demo_agent;
use ashore::agent::limits::Limits;
use ashore::agent::run::Surroundings;
use ashore::cli::Global;
use ashore::commands::failure::{Exit, Failure};
use ashore::config::env::Env;
use ashore::config::places::Places;
use ashore::protocol::launch::Launch;

use crate::ground;

pub(crate) async fn demo() -> Result<Exit, Failure> {
    let kept = Env::read()
        .get("HOME")
        .map(|home| PathBuf::from(home).join(".ashore-demo"));
    let end = demo_agent::run(tokio::io::stdin(), tokio::io::stdout(), kept).await;
    let end = end.map_err(|error| {
        Failure::new(
            Exit::Other,
            format!("the road to the client broke: {error}"),
        )
    })?;
    Ok(Exit::Code(end.code()))
}

/// The agent server. Everything it is told stands in one 0600 file.
pub(crate) async fn server(file: &Path, global: &Global) -> Result<Exit, Failure> {
    let env = Env::read();
    let places = Places::find(&env).map_err(|error| Failure::usage(error.to_string()))?;
    ground::log(&places, &env, global)?;
    let bad = |error: String| Failure::usage(format!("cannot take {}: {error}", file.display()));
    let text = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    let launch: Launch = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    // It holds the run token and the secrets, and nobody needs it again: every start gets its own.
    if let Err(error) = std::fs::remove_file(file) {
        tracing::warn!(%error, "the launch file could not be removed");
    }
    let around = Surroundings {
        environment: env
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        executable: PathBuf::from("/proc/self/exe"),
        locks: places.state.join("mirrors"),
        limits: Limits::default(),
    };
    match ashore::agent::run::run(launch, around).await {
        Ok(end) => {
            tracing::info!(?end, "the agent server ends");
            Ok(Exit::Done)
        }
        Err(error) => Err(Failure::new(Exit::RunFailed, format!("{error:#}"))),
    }
}
