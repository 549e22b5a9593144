//! `ashore mirror log` and `ashore mirror who`: which turn and tool call wrote what here, and when.

use serde_json::{Value, json};

use crate::cli::Format;
use crate::client::runs;
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::{mirror, mirrored, output};
use crate::mirror::history::{self, Write};
use crate::mirror::preview::Author;
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::RunRef;
use crate::protocol::path::RelPath;

/// Every write, oldest first.
pub(super) async fn log(context: &Context, run: &str, format: Format) -> Result<Exit, Failure> {
    let at = mirror::named(context, run).await?;
    let writes = read(context, &at, None).await?;
    tell(&at, &writes, format)
}

/// The writes to one file, newest first.
pub(super) async fn who(
    context: &Context,
    run: &str,
    path: &str,
    format: Format,
) -> Result<Exit, Failure> {
    let path = mirror::below_root(context, path)?;
    let at = mirror::named(context, run).await?;
    let mut writes = read(context, &at, Some(&path)).await?;
    if writes.is_empty() {
        let what = format!("{path}: this run wrote nothing there");
        return Err(Failure::new(Exit::Mirror, what));
    }
    writes.reverse();
    tell(&at, &writes, format)
}

async fn read(context: &Context, at: &RunRef, of: Option<&RelPath>) -> Result<Vec<Write>, Failure> {
    let known = runs::known(&context.places.runs());
    let known = known.iter().find(|known| known.at.run == at.run);
    let Some(root) = mirrored::recorded(known) else {
        return Err(Failure::new(Exit::Mirror, "this run is not mirrored here"));
    };
    // As the lock has it, which the state is named by.
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let writes = history::read(&context.places.run(&at.run), &root, of).await;
    let writes = writes.map_err(|error| Failure::new(Exit::Mirror, error.to_string()))?;
    Ok(writes.unwrap_or_default())
}

fn tell(at: &RunRef, writes: &[Write], format: Format) -> Result<Exit, Failure> {
    match format {
        Format::Text | Format::Md => writes
            .iter()
            .try_for_each(|one| output::line(&output::plain(&sentence(one))))?,
        Format::Json => {
            let writes: Vec<Value> = writes.iter().map(value).collect();
            output::json(&json!({"v": 1, "run": at.run, "writes": writes}))?;
        }
        Format::Ndjson => writes.iter().try_for_each(|one| {
            output::json(&json!({"v": 1, "run": at.run, "write": value(one)}))
        })?,
    }
    Ok(Exit::Done)
}

/// `2026-11-23T08:00:00Z  turn 3  call_7  src/a.rs  1a2b3c4d → 5e6f7a8b`
fn sentence(write: &Write) -> String {
    let who = match (write.by, write.turn, &write.undid) {
        (Author::Agent, Some(turn), _) => format!("turn {turn}"),
        (Author::Agent, None, _) => "agent".to_owned(),
        (Author::Person, ..) => "another client".to_owned(),
        (Author::Hand, _, Some(_)) => "undo".to_owned(),
        (Author::Hand, _, None) => "by hand".to_owned(),
        (Author::Seed, ..) => "start of the run".to_owned(),
    };
    let call = write.tool_call.as_deref().unwrap_or("-");
    let short = |hash: Option<ContentHash>| match hash {
        Some(hash) => hash.to_string()[..8].to_owned(),
        None => "nothing".to_owned(),
    };
    format!(
        "{}  {who}  {call}  {}  {} → {}",
        write.at.round(jiff::Unit::Second).unwrap_or(write.at),
        write.path,
        short(write.before),
        short(write.after)
    )
}

fn value(write: &Write) -> Value {
    json!({
        "path": write.path, "by": write.by, "turn": write.turn, "tool_call": write.tool_call,
        "time": write.at.to_string(), "before": write.before, "after": write.after, "undid": write.undid,
    })
}
