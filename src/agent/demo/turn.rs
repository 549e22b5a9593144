//! One turn: an order is obeyed, or cut off by a cancel at the next point where it waits.
//!
//! It knows no pipe and no JSON-RPC id; it talks to its [`Stage`].

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::agent::demo::files::{self, Changed, Refused};
use crate::agent::demo::order::{Misread, Order};
use crate::agent::demo::samples;
use crate::agent::demo::shell;
use crate::agent::demo::stage::{Outcome, Stage};
use crate::agent::demo::tour;
use crate::agent::demo::wire;

/// Between two steps of `/plan`.
const STEP: Duration = Duration::from_millis(40);

/// The options of `/ask`, one of each kind.
const OPTIONS: [(&str, &str, &str); 4] = [
    ("allow-once", "Allow once", "allow_once"),
    ("allow-always", "Allow always", "allow_always"),
    ("reject-once", "Reject once", "reject_once"),
    ("reject-always", "Reject always", "reject_always"),
];

/// Plays a turn to its end and says how it ended, as its last word.
pub(crate) async fn play(
    mut stage: Stage,
    order: Result<Order, Misread>,
    cancel: CancellationToken,
) {
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Outcome::Cancelled,
        outcome = obey(&mut stage, order) => outcome,
    };
    if outcome == Outcome::Cancelled {
        stage.close_cancelled().await;
    }
    stage.over(outcome).await;
}

async fn obey(stage: &mut Stage, order: Result<Order, Misread>) -> Outcome {
    let order = match order {
        Ok(order) => order,
        Err(misread) => {
            stage.message(&misread.to_string()).await;
            return Outcome::EndTurn;
        }
    };
    match order {
        Order::Tour(words) => tour::give(stage, &words).await,
        Order::Write { path, text } => write(stage, &path, &text).await,
        Order::Append { path, text } => append(stage, &path, &text).await,
        Order::Delete { path } => delete(stage, &path).await,
        Order::Rename { from, to } => rename(stage, &from, &to).await,
        Order::Chmod { executable, path } => chmod(stage, &path, executable).await,
        Order::Symlink { target, path } => symlink(stage, &target, &path).await,
        Order::Run(command) => run(stage, &command).await,
        Order::Say { chunks, pause } => say(stage, chunks, pause).await,
        Order::Files { count, bytes } => bulk(stage, count, bytes).await,
        Order::Binary { path, bytes } => binary(stage, &path, bytes).await,
        Order::Ask(text) => return ask(stage, &text).await,
        Order::Plan(steps) => plan(stage, steps).await,
        Order::Think(thoughts) => think(stage, thoughts).await,
        Order::Usage { used, size } => {
            stage.update(wire::usage(used, size)).await;
            stage
                .message(&format!("The context holds {used} of {size} tokens."))
                .await;
        }
        Order::Mode(name) => mode(stage, &name).await,
        Order::Markdown => lines(stage, samples::MARKDOWN).await,
        Order::Unicode => lines(stage, samples::UNICODE).await,
        Order::Ansi => lines(stage, samples::ANSI).await,
        Order::Image => stage.update(wire::image()).await,
        Order::Unknown => {
            stage.update(wire::unknown()).await;
            stage
                .message("I have sent an update of a kind that nobody knows.")
                .await;
        }
        Order::Error => {
            return Outcome::Error("the demo agent was asked to fail, and did".to_owned());
        }
        Order::Crash => return Outcome::Crash,
        Order::Hang => std::future::pending::<()>().await,
    }
    Outcome::EndTurn
}

/// The end of a tool call that has one sentence to say, and the same sentence as a message.
async fn tell(stage: &mut Stage, id: &str, done: Result<String, Refused>, content: Vec<Value>) {
    let (done, sentence) = match done {
        Ok(sentence) => (true, sentence),
        Err(refused) => (false, refused.to_string()),
    };
    let content = if done && !content.is_empty() {
        content
    } else {
        vec![wire::text_content(&sentence)]
    };
    let key = if done { "result" } else { "error" };
    stage.close(id, done, content, json!({key: sentence})).await;
    stage.message(&sentence).await;
}

async fn write(stage: &mut Stage, path: &str, text: &str) {
    let id = stage
        .open(
            "edit",
            &format!("Write {path}"),
            json!({"path": path, "content": text}),
            &[path],
        )
        .await;
    let done = files::write(&stage.cwd, path, text).await;
    changed(
        stage,
        &id,
        path,
        done,
        &format!("I wrote {} bytes to `{path}`.", text.len()),
    )
    .await;
}

async fn append(stage: &mut Stage, path: &str, text: &str) {
    let id = stage
        .open(
            "edit",
            &format!("Append to {path}"),
            json!({"path": path, "content": text}),
            &[path],
        )
        .await;
    let done = files::append(&stage.cwd, path, text).await;
    changed(
        stage,
        &id,
        path,
        done,
        &format!("I added {} bytes to `{path}`.", text.len()),
    )
    .await;
}

async fn changed(
    stage: &mut Stage,
    id: &str,
    path: &str,
    done: Result<Changed, Refused>,
    sentence: &str,
) {
    let (done, content) = match done {
        Ok(Changed { old, new }) => {
            let path = stage.cwd.join(path);
            let diff = json!({"type": "diff", "path": path, "oldText": old, "newText": new});
            (Ok(sentence.to_owned()), vec![diff])
        }
        Err(refused) => (Err(refused), Vec::new()),
    };
    tell(stage, id, done, content).await;
}

async fn delete(stage: &mut Stage, path: &str) {
    let id = stage
        .open(
            "delete",
            &format!("Delete {path}"),
            json!({"path": path}),
            &[path],
        )
        .await;
    let done = files::delete(&stage.cwd, path)
        .await
        .map(|()| format!("I deleted `{path}`."));
    tell(stage, &id, done, Vec::new()).await;
}

async fn rename(stage: &mut Stage, from: &str, to: &str) {
    let title = format!("Rename {from} to {to}");
    let id = stage
        .open("move", &title, json!({"from": from, "to": to}), &[from, to])
        .await;
    let done = files::rename(&stage.cwd, from, to)
        .await
        .map(|()| format!("I renamed `{from}` to `{to}`."));
    tell(stage, &id, done, Vec::new()).await;
}

async fn chmod(stage: &mut Stage, path: &str, executable: bool) {
    let sign = if executable { "+x" } else { "-x" };
    let id = stage
        .open(
            "other",
            &format!("chmod {sign} {path}"),
            json!({"path": path, "mode": sign}),
            &[path],
        )
        .await;
    let done = files::chmod(&stage.cwd, path, executable)
        .await
        .map(|()| format!("I set {sign} on `{path}`."));
    tell(stage, &id, done, Vec::new()).await;
}

async fn symlink(stage: &mut Stage, target: &str, path: &str) {
    let title = format!("Link {path} to {target}");
    let id = stage
        .open(
            "edit",
            &title,
            json!({"path": path, "target": target}),
            &[path],
        )
        .await;
    let done = files::symlink(&stage.cwd, target, path)
        .await
        .map(|()| format!("`{path}` now points to `{target}`."));
    tell(stage, &id, done, Vec::new()).await;
}

async fn bulk(stage: &mut Stage, count: u64, bytes: u64) {
    let title = format!("Write {count} files of {bytes} bytes below bulk/");
    let id = stage
        .open(
            "edit",
            &title,
            json!({"count": count, "bytes": bytes}),
            &["bulk"],
        )
        .await;
    let mut done = Ok(format!(
        "I wrote {count} files of {bytes} bytes below `bulk/`."
    ));
    for index in 1..=count {
        let path = format!("bulk/file-{index:05}.txt");
        if let Err(refused) = files::fill(&stage.cwd, &path, index, bytes, true).await {
            done = Err(refused);
            break;
        }
    }
    tell(stage, &id, done, Vec::new()).await;
}

async fn binary(stage: &mut Stage, path: &str, bytes: u64) {
    let title = format!("Write {bytes} pseudo-random bytes to {path}");
    let id = stage
        .open(
            "edit",
            &title,
            json!({"path": path, "bytes": bytes}),
            &[path],
        )
        .await;
    let done = files::fill(&stage.cwd, path, 0, bytes, false).await;
    let done = done.map(|()| format!("I wrote {bytes} pseudo-random bytes to `{path}`."));
    tell(stage, &id, done, Vec::new()).await;
}

async fn run(stage: &mut Stage, command: &str) {
    let id = stage
        .open("execute", command, json!({"command": command}), &[])
        .await;
    let cwd = stage.cwd.clone();
    let ended = shell::run(&cwd, command, Some((&*stage, id.as_str()))).await;
    let (done, sentence, mut text, code) = match ended {
        Ok(ended) => {
            let text = ended.output.text();
            match ended.code {
                Some(code) => (
                    code == 0,
                    format!("The command ended with exit code {code}."),
                    text,
                    json!(code),
                ),
                None => (
                    false,
                    "The command was ended by a signal.".to_owned(),
                    text,
                    Value::Null,
                ),
            }
        }
        Err(error) => (
            false,
            format!("The command could not be started: {error}."),
            String::new(),
            Value::Null,
        ),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let content = vec![wire::text_content(&format!("{text}{sentence}"))];
    stage
        .close(
            &id,
            done,
            content,
            json!({"exitCode": code, "output": text}),
        )
        .await;
    stage.message(&sentence).await;
}

/// Chunk *i* is the word `w<i>` and a blank, counted from 1.
async fn say(stage: &Stage, chunks: u64, pause: Option<Duration>) {
    // An interval, so that the time a slow reader takes is not added to the pace.
    let mut ticks = pause
        .filter(|pause| !pause.is_zero())
        .map(tokio::time::interval);
    for index in 1..=chunks {
        match &mut ticks {
            Some(ticks) => {
                ticks.tick().await;
            }
            // A cancel must come through even when nobody ever makes this loop wait.
            None => tokio::task::yield_now().await,
        }
        stage.message(&format!("w{index} ")).await;
    }
}

async fn ask(stage: &mut Stage, text: &str) -> Outcome {
    let id = stage
        .open("other", text, json!({"question": text}), &[])
        .await;
    let options: Vec<Value> = OPTIONS
        .iter()
        .map(|(id, name, kind)| json!({"optionId": id, "name": name, "kind": kind}))
        .collect();
    let call = json!({"toolCallId": id, "title": text, "kind": "other", "status": "pending", "rawInput": {"question": text}});
    let answer = stage
        .ask(json!({"sessionId": stage.session, "toolCall": call, "options": options}))
        .await;
    let chosen = answer.pointer("/outcome/optionId").and_then(Value::as_str);
    let known = OPTIONS.iter().find(|(id, ..)| Some(*id) == chosen);
    let (allowed, sentence) = match (known, chosen) {
        (Some((id, name, kind)), _) => (
            kind.starts_with("allow"),
            format!("You chose: {name} (`{id}`)."),
        ),
        (None, Some(other)) => (
            false,
            format!("You chose `{other}`, which I did not offer."),
        ),
        (None, None) => (false, "No option was chosen.".to_owned()),
    };
    stage
        .close(
            &id,
            allowed,
            vec![wire::text_content(&sentence)],
            json!({"chosen": chosen}),
        )
        .await;
    stage.message(&sentence).await;
    Outcome::EndTurn
}

async fn plan(stage: &Stage, count: u64) {
    let steps: Vec<String> = (1..=count)
        .map(|index| format!("Step {index} of {count}"))
        .collect();
    for done in 0..=steps.len() {
        stage.update(wire::plan(&steps, done)).await;
        tokio::time::sleep(STEP).await;
    }
    stage
        .message(&format!("The plan of {count} steps is done."))
        .await;
}

async fn think(stage: &Stage, count: u64) {
    for index in 1..=count {
        stage
            .update(wire::thought(&format!("Thought {index}. ")))
            .await;
        tokio::task::yield_now().await;
    }
    stage.message(&format!("I had {count} thoughts.")).await;
}

async fn mode(stage: &Stage, name: &str) {
    if wire::MODES.iter().any(|(known, ..)| *known == name) {
        stage.update(wire::mode(name)).await;
        stage.message(&format!("The mode is now `{name}`.")).await;
    } else {
        let known: Vec<&str> = wire::MODES.iter().map(|(known, ..)| *known).collect();
        stage
            .message(&format!(
                "There is no mode `{name}`; I know {}.",
                known.join(", ")
            ))
            .await;
    }
}

/// A sample, a line at a time.
async fn lines(stage: &Stage, text: &str) {
    for line in text.split_inclusive('\n') {
        stage.message(line).await;
    }
}
