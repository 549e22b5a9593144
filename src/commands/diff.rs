//! `ashore diff` and `ashore pull --patch`: what a run changed, as git writes it.
//!
//! Contents come from the endpoint by hash; nothing is written but to a temporary folder.

use std::io::IsTerminal;
use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use tokio::time::Instant;

use crate::cli::Format;
use crate::client::api::Api;
use crate::commands::changes::{Changed, Changes};
use crate::commands::context::{Context, Found};
use crate::commands::failure::{Exit, Failure};
use crate::commands::output;
use crate::commands::patch::{Counts, Patch, Side, patch};
use crate::mirror::blobs::Wanted;
use crate::protocol::entry::{Decoded, Ext, Said};
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::RunRef;
use crate::protocol::normalize::decode;

/// Files above this many bytes are named, not compared.
const LARGE: u64 = 8 << 20;
/// For the lines of one file; then they are compared coarsely.
const PATIENCE: Duration = Duration::from_secs(2);
/// Contents that are fetched at once.
const AT_ONCE: usize = 8;

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Only the counts.
    pub stat: bool,
    pub colours: bool,
    pub format: Format,
}

/// One file, compared.
struct Compared {
    changed: Changed,
    what: Result<Patch, String>,
}

/// `ashore diff RUN`.
pub async fn run(context: &Context, text: &str, shown: Shown) -> Result<Exit, Failure> {
    let found = context.find(text).await?;
    let mut all = Counts::default();
    let mut files = 0;
    let compared = compared(&found).await?;
    tokio::pin!(compared);
    while let Some(one) = compared.next().await {
        files += 1;
        if let Ok(Patch::Text { counts, .. }) = &one.what {
            all.added += counts.added;
            all.removed += counts.removed;
        }
        match shown.format {
            Format::Json | Format::Ndjson => output::json(&as_json(&found.at, &one))?,
            Format::Text | Format::Md if shown.stat => output::line(&stat(&one))?,
            Format::Text | Format::Md => show(&one, shown.colours)?,
        }
    }
    let is_text = matches!(shown.format, Format::Text | Format::Md);
    if files == 0 {
        let run = found.at.run.short();
        output::say(context.quiet, &format!("Run {run} has changed no file."));
    } else if shown.stat && is_text {
        let s = if files == 1 { "" } else { "s" };
        output::line(&format!(
            " {files} file{s}, +{} \u{2212}{}",
            all.added, all.removed
        ))?;
    }
    Ok(Exit::Done)
}

/// `ashore pull RUN --patch`: what `git apply` takes, and nothing else; what no text can say is named beside it.
pub async fn as_patch(context: &Context, text: &str) -> Result<Exit, Failure> {
    let found = context.find(text).await?;
    let run = found.at.run.short().to_owned();
    let mut left_out = Vec::new();
    let compared = compared(&found).await?;
    tokio::pin!(compared);
    while let Some(one) = compared.next().await {
        match one.what {
            Ok(Patch::Text { bytes, .. }) => output::bytes(&bytes)?,
            Ok(Patch::Binary(_)) => left_out.push(format!("{} is binary", one.changed.path)),
            Err(why) => left_out.push(format!("{}: {why}", one.changed.path)),
        }
    }
    if left_out.is_empty() {
        return Ok(Exit::Done);
    }
    for one in &left_out {
        output::say(context.quiet, &format!("not in the patch: {one}"));
    }
    let text = format!(
        "{} of run {run} cannot be said in a patch",
        files(left_out.len())
    );
    Err(Failure::new(Exit::Mirror, text).hint(format!("ashore attach {run} --mirror DIR")))
}

fn files(count: usize) -> String {
    match count {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}

/// What the run changed, by path, each compared as it is asked for.
async fn compared(found: &Found) -> Result<impl futures::Stream<Item = Compared>, Failure> {
    let Found { api, at, .. } = found;
    let mut changes = Changes::of(api.seed_manifest(at).await?);
    let mut lines = api.logs(at, None).await?;
    while let Some((_, line)) = lines.next().await? {
        if let Decoded::Entry(entry) = decode(&line) {
            match entry.said {
                Said::Ext(Ext::FileSync(change)) => changes.changed(change),
                Said::Ext(Ext::FileApplied(applied)) => changes.applied(applied),
                _ => (),
            }
        }
    }
    let compare = |changed| compare(api.clone(), at.clone(), changed);
    Ok(futures::stream::iter(changes.told())
        .map(compare)
        .buffered(AT_ONCE))
}

async fn compare(api: Api, at: RunRef, changed: Changed) -> Compared {
    let what = comparison(&api, &at, &changed).await;
    Compared { changed, what }
}

async fn comparison(api: &Api, at: &RunRef, changed: &Changed) -> Result<Patch, String> {
    if changed.is_half {
        return Err("what stood there before is not known here".to_owned());
    }
    let sides = [changed.before, changed.now];
    if sides
        .iter()
        .flatten()
        .any(|side| side.mode == Mode::Directory)
    {
        return Err("a folder".to_owned());
    }
    if let Some(large) = sides.iter().flatten().find(|side| side.size > LARGE) {
        return Err(format!("{} MiB, too large to compare", large.size >> 20));
    }
    let before = bytes(api, at, changed.before, None).await?;
    let now = bytes(api, at, changed.now, changed.storage_path.clone()).await?;
    let (path, modes) = (
        changed.path.clone(),
        sides.map(|side| side.map(|side| side.mode)),
    );
    let deadline = (Instant::now() + PATIENCE).into_std();
    let compare = move || {
        let side = |mode: Option<Mode>, bytes| mode.map(|mode| Side { mode, bytes });
        patch(
            &path,
            side(modes[0], &before),
            side(modes[1], &now),
            Some(deadline),
        )
    };
    let made = tokio::task::spawn_blocking(compare).await;
    made.map_err(|_| "could not be compared".to_owned())
}

/// The bytes of one side, verified.
async fn bytes(
    api: &Api,
    at: &RunRef,
    side: Option<FileState>,
    storage_path: Option<String>,
) -> Result<Vec<u8>, String> {
    let Some(FileState { hash, size, .. }) = side else {
        return Ok(Vec::new());
    };
    let lost = |error: &dyn std::fmt::Display| format!("its content cannot be fetched: {error}");
    let folder = tempfile::tempdir().map_err(|error| lost(&error))?;
    let into = folder.path().join("content");
    let want = Wanted {
        hash,
        size,
        storage_path,
    };
    api.blobs(at)
        .get(&want, &into)
        .await
        .map_err(|error| lost(&error))?;
    let bytes = tokio::fs::read(&into).await.map_err(|error| lost(&error))?;
    if ContentHash::of(&bytes) == hash {
        Ok(bytes)
    } else {
        Err("the bytes that came are not what the journal names".to_owned())
    }
}

fn show(one: &Compared, colours: bool) -> Result<(), Failure> {
    let bytes = match &one.what {
        Ok(Patch::Text { bytes, .. } | Patch::Binary(bytes)) => bytes,
        Err(why) => return output::line(&output::plain(&format!("{}: {why}", one.changed.path))),
    };
    if !colours && !std::io::stdout().is_terminal() {
        return output::bytes(bytes);
    }
    let text = output::plain(&String::from_utf8_lossy(bytes));
    if !colours {
        return output::raw(&text);
    }
    let lines: Vec<String> = text.lines().map(coloured).collect();
    output::raw(&lines.concat())
}

/// In the sixteen colours that every terminal has.
fn coloured(line: &str) -> String {
    let code = match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] | [b'd', ..] => "1",
        [b'+', ..] => "32",
        [b'-', ..] => "31",
        [b'@', ..] => "36",
        _ => return format!("{line}\n"),
    };
    format!("\u{1b}[{code}m{line}\u{1b}[m\n")
}

/// ` src/a.rs    +14 −3   turn 3`
fn stat(one: &Compared) -> String {
    let counts = match &one.what {
        Ok(Patch::Text { counts, .. }) => format!("+{} \u{2212}{}", counts.added, counts.removed),
        Ok(Patch::Binary(_)) => "binary".to_owned(),
        Err(why) => why.clone(),
    };
    let turn = one.changed.turn;
    let turn = turn.map_or_else(String::new, |turn| format!("   turn {turn}"));
    let kind = one.changed.kind().as_str();
    output::plain(&format!(
        " {kind:<8}  {}   {counts}{turn}",
        one.changed.path
    ))
}

fn as_json(at: &RunRef, one: &Compared) -> serde_json::Value {
    let changed = &one.changed;
    let mut told = json!({
        "v": 1, "run": at.run, "path": changed.path, "change": changed.kind().as_str(),
        "hash_before": changed.before.map(|state| state.hash), "hash": changed.now.map(|state| state.hash),
        "turn": changed.turn, "tool_call": changed.tool_call,
        "added": null, "removed": null, "binary": false, "patch": null, "reason": null,
    });
    match &one.what {
        Ok(Patch::Text { bytes, counts }) => {
            told["added"] = json!(counts.added);
            told["removed"] = json!(counts.removed);
            // JSON has no bytes: what is no UTF-8 is told by its counts.
            told["patch"] = json!(std::str::from_utf8(bytes).ok());
        }
        Ok(Patch::Binary(_)) => told["binary"] = json!(true),
        Err(why) => told["reason"] = json!(why),
    }
    told
}
