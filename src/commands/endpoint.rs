//! `endpoint ls` and `endpoint stop`: the endpoints this machine knows, and the end of the local one.

use std::time::Duration;

use serde_json::json;

use crate::cli::{Endpoint as What, Format};
use crate::client::local::{self, Reach};
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::output;
use crate::protocol::task::Working;

/// Longer than an endpoint waits for its agents, and for requests that are being answered.
const ENDS_WITHIN: Duration = Duration::from_secs(40);

pub async fn run(
    context: &Context,
    what: What,
    format: Format,
    end_left: impl AsyncFnOnce(&Context) -> Result<usize, Failure>,
) -> Result<Exit, Failure> {
    match what {
        What::Ls => ls(context, format).await,
        What::Stop { keep } => stop(context, keep, format, end_left).await,
        What::Add { .. } => Err(Failure::later("endpoint add")
            .hint("write it into config.toml: [endpoints.NAME]  url = \"…\"")),
        What::Use { .. } => {
            Err(Failure::later("endpoint use")
                .hint("write it into config.toml: endpoint = \"NAME\""))
        }
    }
}

async fn ls(context: &Context, format: Format) -> Result<Exit, Failure> {
    let running = context.running().await;
    let local = running.as_ref().map(|endpoint| endpoint.url.to_string());
    let named: Vec<_> = context
        .settings
        .endpoints
        .iter()
        .map(|(name, named)| (name.as_str(), named.url.as_deref().unwrap_or("-")))
        .collect();
    if format == Format::Text {
        output::line(&format!(
            "local  {}",
            local.as_deref().unwrap_or("not running")
        ))?;
        return named
            .iter()
            .try_for_each(|(name, url)| output::line(&format!("{name}  {url}")))
            .map(|()| Exit::Done);
    }
    let mut all = vec![json!({"name": "local", "url": local, "running": local.is_some()})];
    all.extend(
        named
            .iter()
            .map(|(name, url)| json!({"name": name, "url": url})),
    );
    output::json(&json!({"v": 1, "endpoints": all}))?;
    Ok(Exit::Done)
}

/// What an end of the local endpoint has done.
struct Ended {
    /// There was one.
    stopped: bool,
    /// The runs at work at that moment.
    working: Vec<Working>,
    /// Agent servers that an endpoint had left behind earlier.
    left: usize,
}

/// `end_left` ends agent servers that no endpoint watches any more, and says how many there were.
async fn stop(
    context: &Context,
    keep: bool,
    format: Format,
    end_left: impl AsyncFnOnce(&Context) -> Result<usize, Failure>,
) -> Result<Exit, Failure> {
    let working = working(context).await;
    let reach = if keep { Reach::Endpoint } else { Reach::Agents };
    let stopped = local::stop(&context.places, reach, ENDS_WITHIN).await?;
    let left = if keep { 0 } else { end_left(context).await? };
    let ended = Ended {
        stopped,
        working,
        left,
    };
    match format {
        Format::Text | Format::Md => sentences(&ended, keep)
            .iter()
            .for_each(|line| output::say(context.quiet, line)),
        Format::Json | Format::Ndjson => output::json(&json!({
            "v": 1, "stopped": ended.stopped, "kept": keep, "left": ended.left,
            "working": ended.working,
        }))?,
    }
    Ok(Exit::Done)
}

/// An endpoint that cannot say it is ended all the same.
async fn working(context: &Context) -> Vec<Working> {
    let Some(api) = context
        .running()
        .await
        .and_then(|endpoint| context.api(endpoint).ok())
    else {
        return Vec::new();
    };
    api.me().await.map_or_else(
        |error| {
            tracing::warn!(%error, "the endpoint does not say what runs");
            Vec::new()
        },
        |hello| hello.me.working,
    )
}

fn sentences(ended: &Ended, keep: bool) -> Vec<String> {
    let fate = if keep {
        "was working and goes on"
    } else {
        "was working and was interrupted"
    };
    let name = |one: &Working| format!("{}  {}  {fate}", one.run.short(), one.title);
    let mut lines: Vec<String> = ended.working.iter().map(name).collect();
    lines.push(
        match (ended.stopped, keep) {
            (true, true) => "The local endpoint has ended; its agents go on.",
            (true, false) => "The local endpoint and its agents have ended.",
            (false, _) => "The local endpoint is not running.",
        }
        .to_owned(),
    );
    if ended.left > 0 {
        let number = ended.left;
        lines.push(format!(
            "Ended {number} agent server(s) that an earlier endpoint had left."
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_names_the_runs_it_interrupts() {
        let ended = Ended {
            stopped: true,
            working: vec![Working {
                run: "7f3a1b2c-0000-4000-8000-000000000001".parse().unwrap(),
                title: "Fix it".into(),
            }],
            left: 2,
        };
        assert_eq!(
            sentences(&ended, false),
            [
                "7f3a1b2c  Fix it  was working and was interrupted",
                "The local endpoint and its agents have ended.",
                "Ended 2 agent server(s) that an earlier endpoint had left.",
            ]
        );
    }
}
