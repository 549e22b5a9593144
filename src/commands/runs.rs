//! `ls`, `send`, `cancel`, `stop`, `rm`: one question or one command each.
//!
//! Nothing here waits or queues: an endpoint that is down is told at once.

use std::io::Read;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use crate::attach::attachment;
use crate::cli::Format;
use crate::client::api::Api;
use crate::client::runs::{self, Known};
use crate::commands::context::{Context, Found};
use crate::commands::failure::{Exit, Failure};
use crate::commands::{attached, mirrored, output, read};
use crate::mirror::preimage;
use crate::protocol::command::{Command, What};
use crate::protocol::file::size;
use crate::protocol::ids::RunRef;
use crate::protocol::run::{Brief, Run, Status};
use crate::session::state::{Session, Turn};

/// One row of `ls --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    #[serde(skip)]
    pub at: RunRef,
    #[serde(skip)]
    pub turn: &'static str,
    #[serde(skip)]
    pub standing: Brief,
    #[serde(skip)]
    pub pr_url: Option<String>,
    /// Why it failed.
    #[serde(skip)]
    pub error: Option<String>,
    pub run: String,
    pub task: String,
    pub title: String,
    pub status: String,
    pub environment: String,
    pub agent: Option<String>,
    pub directory: Option<String>,
    pub updated_at: Option<String>,
    pub needs: Option<&'static str>,
}

/// Without `all`: what has not ended, and everything of this directory.
pub async fn ls(
    context: &Context,
    all: bool,
    status: Option<&str>,
    format: Format,
) -> Result<Exit, Failure> {
    if let Some(word) =
        status.filter(|word| matches!(Status::from((*word).to_owned()), Status::Other(_)))
    {
        return Err(Failure::usage(format!("`{word}` is no status of a run"))
            .hint("one of not_started, queued, in_progress, completed, failed, cancelled"));
    }
    let api = context.connect().await?;
    let known = runs::known(&context.places.runs());
    let mut rows = rows(context, &api, &known).await?;
    rows.retain(|row| status.is_none_or(|status| row.status == status));
    if !all {
        let here = context.directory.to_string_lossy();
        rows.retain(|row| {
            !matches!(row.status.as_str(), "completed" | "failed" | "cancelled")
                || row.directory.as_deref() == Some(&here)
        });
    }
    match format {
        Format::Json => output::json(&json!({"v": 1, "runs": rows}))?,
        Format::Ndjson => rows.iter().try_for_each(output::json)?,
        Format::Text if rows.is_empty() => output::say(
            context.quiet,
            "No runs here. `ashore` starts one, `ashore ls --all` shows ended ones.",
        ),
        Format::Text | Format::Md => rows.iter().try_for_each(|row| output::line(&text(row)))?,
    }
    Ok(Exit::Done)
}

fn text(row: &Row) -> String {
    let needs = row
        .needs
        .map_or(String::new(), |needs| format!("  waits for you: {needs}"));
    let run = row.run.get(..8).unwrap_or(&row.run);
    output::plain(&format!(
        "{run}  {:<11}  {:<8}  {}{needs}",
        row.status,
        row.agent.as_deref().unwrap_or("-"),
        row.title
    ))
}

/// Every run of the project, those that want something first, then the newest.
pub async fn rows(context: &Context, api: &Api, known: &[Known]) -> Result<Vec<Row>, Failure> {
    let project = context.project();
    let mut rows = Vec::new();
    for task in api.tasks(project).await? {
        for run in api.runs(project, &task.id).await? {
            let at = RunRef {
                project,
                task: task.id.clone(),
                run: run.id.clone(),
            };
            let standing = standing(api, &at, &run).await?;
            let turn = match standing {
                _ if run.status.is_terminal() => "idle",
                Brief { questions: 1.., .. } => "asking",
                Brief { working: true, .. } => "working",
                _ => "idle",
            };
            let local = known.iter().find(|known| known.at.run == run.id);
            rows.push(Row {
                run: run.id.to_string(),
                task: task.id.to_string(),
                title: task.title.clone(),
                status: run.status.to_string(),
                environment: run.environment.as_str().to_owned(),
                agent: run.agent(),
                directory: local
                    .and_then(|known| known.directory.as_ref())
                    .map(|path| path.to_string_lossy().into_owned()),
                updated_at: run.updated_at.clone(),
                needs: (turn == "asking").then_some("permission"),
                turn,
                standing,
                pr_url: run.pr_url().map(str::to_owned),
                error: run.error_message.clone(),
                at,
            });
        }
    }
    rows.sort_by(|a, b| {
        (b.needs.is_some(), &b.updated_at).cmp(&(a.needs.is_some(), &a.updated_at))
    });
    Ok(rows)
}

/// As the list told it; of an endpoint that does not, a run that is not over is read.
async fn standing(api: &Api, at: &RunRef, run: &Run) -> Result<Brief, Failure> {
    match &run.standing {
        Some(told) => Ok(told.clone()),
        None if run.status.is_terminal() => Ok(Brief::default()),
        None => Ok(brief(&read::session(api, at).await?)),
    }
}

fn brief(session: &Session) -> Brief {
    Brief {
        working: turn(session) != "idle",
        questions: session.permissions.len() as u64,
        turns: Some(session.turns),
        files: Some(session.files.len() as u64),
        clients: None,
    }
}

/// `idle`, `working` or `asking`: the words of `status --json`.
pub fn turn(session: &Session) -> &'static str {
    match &session.turn {
        _ if !session.permissions.is_empty() => "asking",
        Turn::Working { .. } => "working",
        Turn::Idle if !session.queued.is_empty() => "working",
        Turn::Idle => "idle",
    }
}

async fn post(found: &Found, what: What) -> Result<(), Failure> {
    Ok(found.api.post(&found.at, &Command::new(what)).await?)
}

/// Sends a prompt with its files; `-` or nothing reads stdin.
pub async fn send(
    context: &Context,
    run: &str,
    text: Option<&str>,
    attach: &[PathBuf],
    format: Format,
) -> Result<Exit, Failure> {
    let files = attached::files(context, attach)?;
    let text = prompt(text)?;
    let found = context.find(run).await?;
    attached::must_be_taken(&found.api, &found.at, &files).await?;
    let command = attachment::message(&text, files);
    // Whoever mirrors this run here sends first what is edited; without one nobody does.
    if let Some(note) = mirrored::flush(context, &found.at.run).await {
        output::say(context.quiet, &note);
    }
    found.api.post(&found.at, &command).await?;
    accepted(
        context,
        format,
        &found,
        json!({"command": command.id}),
        "Sent.",
    )
}

pub async fn cancel(context: &Context, run: &str, format: Format) -> Result<Exit, Failure> {
    let found = context.find(run).await?;
    post(&found, What::Cancel).await?;
    accepted(
        context,
        format,
        &found,
        json!({}),
        "The running turn is being cancelled.",
    )
}

pub async fn stop(context: &Context, run: &str, format: Format) -> Result<Exit, Failure> {
    let found = context.find(run).await?;
    post(&found, What::Close).await?;
    accepted(
        context,
        format,
        &found,
        json!({}),
        "The run is being ended.",
    )
}

/// Without `yes` only a run of which nothing is kept that an undo could put back.
pub async fn rm(context: &Context, run: &str, yes: bool, format: Format) -> Result<Exit, Failure> {
    let found = context.find(run).await?;
    let kept = context.places.run(&found.at.run).join("pre-images");
    let (count, bytes) = preimage::weigh(&kept);
    if count > 0 && !yes {
        let short = found.at.run.short();
        let versions = match count {
            1 => "1 version".to_owned(),
            many => format!("{many} versions"),
        };
        return Err(Failure::usage(format!(
            "nothing was removed: with run {short} would go what stood in your files before it wrote to them ({versions}, {}, in {}), and then no undo can put that back",
            size(bytes),
            kept.display()
        ))
        .hint(format!("ashore mirror undo {short} --run shows what an undo would put back"))
        .hint(format!("ashore rm {short} --yes removes the run and all of it")));
    }
    found.api.delete_run(&found.at).await?;
    runs::forget(&context.places.runs(), &found.at.run).map_err(|error| {
        Failure::new(
            Exit::Other,
            format!(
                "the endpoint removed the run, but what this machine kept of it stays: {error}"
            ),
        )
    })?;
    accepted(
        context,
        format,
        &found,
        json!({}),
        "Removed. Your own files were not touched.",
    )
}

fn accepted(
    context: &Context,
    format: Format,
    found: &Found,
    more: Value,
    sentence: &str,
) -> Result<Exit, Failure> {
    match format {
        Format::Text | Format::Md => output::say(context.quiet, sentence),
        Format::Json | Format::Ndjson => {
            let mut value = json!({"v": 1, "run": found.at.run, "accepted": true});
            if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
                object.extend(more);
            }
            output::json(&value)?;
        }
    }
    Ok(Exit::Done)
}

/// The text of a prompt: the argument, or stdin for `-` and for none; never empty.
pub fn prompt(text: Option<&str>) -> Result<String, Failure> {
    let text = match text {
        Some(text) if text != "-" => text.to_owned(),
        _ => {
            let mut all = String::new();
            // A prompt larger than what the endpoint takes need not be read to its end.
            std::io::stdin()
                .take(2 << 20)
                .read_to_string(&mut all)
                .map_err(|error| {
                    Failure::usage(format!("cannot read the prompt from stdin: {error}"))
                })?;
            all
        }
    };
    if text.trim().is_empty() {
        Err(Failure::usage("the prompt is empty")
            .hint("write it in quotes as the argument, or pipe it in"))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::state::QueuedPrompt;

    #[test]
    fn a_prompt_that_nobody_took_yet_counts_as_work() {
        let mut session = Session::default();
        assert_eq!(turn(&session), "idle");
        session.queued.push(QueuedPrompt {
            text: "x".into(),
            ..QueuedPrompt::default()
        });
        assert_eq!(turn(&session), "working");
    }
}
