//! `ashore mirror undo`: what it would do, line by line, and with `--yes` exactly that.

use serde_json::{Value, json};

use crate::cli::{self, Format};
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::{mirror, output};
use crate::mirror::control::{Answer, Request};
use crate::mirror::preview::{Preview, Scope};
use crate::protocol::ids::RunRef;

pub(super) async fn run(
    context: &Context,
    run: &str,
    of: &cli::UndoOf,
    yes: bool,
    format: Format,
) -> Result<Exit, Failure> {
    let scope = match (&of.path, of.turn) {
        (Some(path), _) => Scope::File {
            path: mirror::below_root(context, path)?,
        },
        (None, Some(turn)) => Scope::Turn { turn },
        (None, None) => Scope::Run,
    };
    let at = mirror::named(context, run).await?;
    let request = Request::Preview {
        scope: scope.clone(),
    };
    let looked = done(mirror::ask(context, &at, &request).await?)?;
    let Some(preview) = looked.preview else {
        return Err(refused("the mirror did not say what this would do"));
    };
    if preview.done == 0 {
        return Err(refused(&nothing(&preview)));
    }
    let text = matches!(format, Format::Text | Format::Md);
    if text {
        lines(&preview)
            .iter()
            .try_for_each(|one| output::line(&output::plain(one)))?;
    }
    if !yes {
        if text {
            output::say(context.quiet, "nothing was changed: --yes does this");
        } else {
            output::json(&value(&at, &preview, None))?;
        }
        return Ok(Exit::Done);
    }
    let request = Request::Undo {
        scope,
        seen: Some(preview.seen),
    };
    let answer = done(mirror::ask(context, &at, &request).await?)?;
    let said = answer.text.unwrap_or_else(|| "Done.".to_owned());
    if text {
        output::say(context.quiet, &said);
    } else {
        output::json(&value(&at, &preview, Some(&said)))?;
    }
    Ok(Exit::Done)
}

fn refused(why: &str) -> Failure {
    Failure::new(Exit::Mirror, why)
}

fn done(answer: Answer) -> Result<Answer, Failure> {
    if answer.ok && answer.text.as_deref() != Some("this run is not mirrored here") {
        return Ok(answer);
    }
    let why = answer.text.as_deref();
    Err(refused(why.unwrap_or("the mirror did not do this")))
}

/// Why there is nothing to do.
fn nothing(preview: &Preview) -> String {
    let name = preview.scope.name();
    let reasons: Vec<String> = preview
        .items
        .iter()
        .filter_map(|item| Some(format!("{}: {}", item.path, item.refused.as_ref()?)))
        .collect();
    match (reasons.as_slice(), &preview.scope) {
        ([], _) => format!("{name}: nothing of it stands here, so there is nothing to undo"),
        ([one], _) => one.clone(),
        ([first, rest @ ..], _) => {
            format!(
                "{name}: nothing of it can be undone: {first}, and {} more",
                rest.len()
            )
        }
    }
}

fn lines(preview: &Preview) -> Vec<String> {
    let head = if preview.again {
        "was undone; this brings back"
    } else {
        "undo"
    };
    let mut lines = vec![format!(
        "{}: {head} {} files, {} refused",
        preview.scope.name(),
        preview.done,
        preview.refused
    )];
    for item in &preview.items {
        let more = item.refused.as_ref().or(item.note.as_ref());
        let more = more.map_or(String::new(), |more| format!("    {more}"));
        lines.push(format!("  {:<11} {}{more}", item.word(), item.path));
    }
    let hidden = (preview.done + preview.refused).saturating_sub(preview.items.len());
    if hidden > 0 {
        lines.push(format!("  … {hidden} more"));
    }
    lines
}

fn value(at: &RunRef, preview: &Preview, done: Option<&str>) -> Value {
    let files: Vec<Value> = preview
        .items
        .iter()
        .map(|item| {
            json!({
                "path": item.path, "change": item.word(), "refused": item.refused,
                "before": item.here.map(|here| here.hash), "after": item.back.map(|back| back.hash),
            })
        })
        .collect();
    json!({
        "v": 1, "run": at.run, "undo": preview.scope, "again": preview.again, "files": files,
        "done": done.is_some(), "text": done,
    })
}
