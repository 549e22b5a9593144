//! `ashore mirror plan`, and the first look of a run into a directory that is new to it: what would happen, not done.

use serde_json::json;

use crate::cli::Format;
use crate::client::api::Api;
use crate::client::runs::Known;
use crate::commands::context::{Context, Found};
use crate::commands::failure::{Exit, Failure};
use crate::commands::{mirrored, output};
use crate::mirror::forecast::{Forecast, Outlook};
use crate::mirror::status::{Direction, FileReport, Outcome};
use crate::mirror::worker::Setup;
use crate::protocol::entry::{Decoded, Ext, Said};
use crate::protocol::file::{Applied, FileManifest};
use crate::protocol::ids::RunRef;
use crate::protocol::normalize::decode;

/// `ashore mirror plan RUN`: of the directory that is recorded for it, else of this one.
pub async fn run(context: &Context, text: &str, format: Format) -> Result<Exit, Failure> {
    let Found { api, at, known } = context.find(text).await?;
    let recorded = mirrored::recorded(known.as_ref());
    let root = recorded.unwrap_or(&context.directory);
    let setup = setup(context, &at, root, known.as_ref());
    let first = Outlook::open(&setup)
        .await
        .map_err(|error| mirrored::refused(&error))?
        .first;
    let forecast = look(&api, &at, &setup).await?;
    match format {
        Format::Text | Format::Md => show(context, &at, &forecast, recorded.is_none(), first)?,
        Format::Json => output::json(&whole(&at, &forecast, first))?,
        Format::Ndjson => {
            for file in &forecast.files {
                output::json(&json!({"v": 1, "run": at.run, "plan": file}))?;
            }
            let mut last = whole(&at, &forecast, first);
            if let Some(last) = last.as_object_mut() {
                last.remove("changes");
            }
            output::json(&last)?;
        }
    }
    let open = forecast.held.is_some() || forecast.counts().conflicts > 0;
    Ok(if open { Exit::Mirror } else { Exit::Done })
}

fn setup(context: &Context, at: &RunRef, root: &std::path::Path, known: Option<&Known>) -> Setup {
    let seeded_here = mirrored::is_seeded_from(known, Some(root));
    mirrored::setup(context, &at.run, root, seeded_here)
}

/// What is known here, with what the endpoint has told since.
async fn look(api: &Api, at: &RunRef, setup: &Setup) -> Result<Forecast, Failure> {
    let refused = |error| mirrored::refused(&error);
    let outlook = Outlook::open(setup).await.map_err(refused)?;
    let seed = match outlook.first {
        true => api.seed_manifest(at).await?,
        false => None,
    };
    foresee(api, at, outlook, seed).await
}

/// The same from a seed that was asked for already.
pub async fn foresee(
    api: &Api,
    at: &RunRef,
    mut outlook: Outlook,
    seed: Option<FileManifest>,
) -> Result<Forecast, Failure> {
    let refused = |error| mirrored::refused(&error);
    if let Some(seed) = seed {
        outlook.seed(seed);
    }
    let mut logs = api.logs(at, Some(outlook.seen())).await?;
    while let Some((seq, line)) = logs.next().await? {
        if let Decoded::Entry(entry) = decode(&line)
            && let Said::Ext(Ext::FileSync(change) | Ext::FileApplied(Applied { change, .. })) =
                entry.said
        {
            outlook.arrive(seq, change);
        }
    }
    outlook.forecast().await.map_err(refused)
}

/// One line on a run's first look into a directory; `None` when it has looked before, or cannot.
pub async fn first_look(
    context: &Context,
    api: &Api,
    at: &RunRef,
    setup: &Setup,
) -> Option<String> {
    let first = Outlook::open(setup)
        .await
        .is_ok_and(|outlook| outlook.first);
    if !first || setup.seeded_here {
        return None;
    }
    let forecast = look(api, at, setup).await.ok()?;
    let directory = context.directory.strip_prefix(&forecast.root);
    let place = match directory {
        Ok(rest) if rest.as_os_str().is_empty() => "this directory".to_owned(),
        Ok(_) | Err(_) => forecast.root.display().to_string(),
    };
    Some(format!("First look into {place}: {}.", summary(&forecast)))
}

/// Counts, in words.
fn summary(forecast: &Forecast) -> String {
    let counts = forecast.counts();
    let mut words = vec![
        format!("{} to come down", counts.down),
        format!("{} differ only here", counts.up),
        format!("{} conflicts", counts.conflicts),
    ];
    if counts.skipped > 0 {
        words.push(format!("{} left out", counts.skipped));
    }
    words.join(", ")
}

fn whole(at: &RunRef, forecast: &Forecast, first: bool) -> serde_json::Value {
    let counts = forecast.counts();
    json!({
        "v": 1, "run": at.run, "directory": forecast.root, "first_look": first, "held": forecast.held,
        "counts": {"down": counts.down, "up": counts.up, "conflicts": counts.conflicts, "skipped": counts.skipped},
        "problems": forecast.problems, "changes": forecast.files,
    })
}

fn show(
    context: &Context,
    at: &RunRef,
    forecast: &Forecast,
    unrecorded: bool,
    first: bool,
) -> Result<(), Failure> {
    for file in &forecast.files {
        output::line(&output::plain(&line(file)))?;
    }
    for problem in &forecast.problems {
        output::say(context.quiet, &format!("not mirrored: {problem}"));
    }
    let root = forecast.root.display();
    let run = at.run.short();
    if unrecorded {
        let text = format!(
            "Run {run} is not mirrored here; so it would be with: ashore attach {run} --mirror {root}"
        );
        output::say(context.quiet, &text);
    } else if first {
        output::say(context.quiet, &format!("The first look into {root}."));
    }
    if let Some(held) = &forecast.held {
        output::say(context.quiet, &held.replace("RUN`", &format!("{run}`")));
    }
    output::say(context.quiet, &format!("{}.", summary(forecast)));
    Ok(())
}

/// `↓ modified  src/a.rs    reason`
fn line(file: &FileReport) -> String {
    let sign = match (file.result, file.direction) {
        (Outcome::Conflict, _) => "!",
        (Outcome::Skipped | Outcome::Failed, _) => "-",
        (Outcome::Settled, Direction::Down) => "↓",
        (Outcome::Settled, Direction::Up) => "↑",
    };
    let reason = file.reason.as_deref();
    let reason = reason.map_or_else(String::new, |reason| format!("    {reason}"));
    format!("{sign} {:<8}  {}{reason}", file.change.as_str(), file.path)
}
