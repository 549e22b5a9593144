//! The tour that free text gets: a short, streamed, honest account of what this program is, with one of everything.
//!
//! The texts and the pace are fixed, so two tours of the same directory say the same.

use std::time::Duration;

use serde_json::json;

use crate::agent::demo::files;
use crate::agent::demo::stage::Stage;
use crate::agent::demo::wire;

/// The file the tour writes.
pub(crate) const FILE: &str = "ashore-demo.md";

const INTRODUCTION: &str = "# Hello from the demo agent\n\n\
I am the **built-in demo agent** of Ashore. There is no language model behind me: what you read is a fixed text, \
and your words are only quoted. Everything around me is real, though. I run as a process of my own, I speak the \
*Agent Client Protocol*, and what I do to files I really do.\n\n\
Let me look at where I work.\n\n";

const AFTER_READING: &str = "Now I write a file, so that you can see it arrive.\n\n";

const CONCLUSION: &str = "## What just happened\n\n\
1. Your prompt went into the run's journal and from there to me.\n\
2. My words came back the same way, piece by piece.\n\
3. I wrote `ashore-demo.md` in my working directory; if your folder is mirrored, it is there now.\n\n\
## What you can try\n\n\
- `/write notes/a.txt hello` writes a file\n\
- `/run ls -la` runs a command\n\
- `/ask May I?` asks for a permission\n\
- `/say 200 20` talks for a while, so that you can leave and come back\n\n\
Code is highlighted:\n\n\
```rust\n\
/// Says hello to whoever comes ashore.\n\
fn greet(name: &str) -> String {\n    \
    let words = [\"hello\", name];\n    \
    words.join(\", \") // no model needed\n\
}\n\
```\n\n\
To work with a real agent, install one that speaks ACP (`claude`, `codex`, `gemini`, `opencode`) \
or name its command with `--agent-command`.\n";

const THOUGHTS: &str = "The user wrote something. I cannot understand it, but I can show what a real agent's turn looks like: \
think, plan, read, write, answer.";

/// Gives the tour.
pub(crate) async fn give(stage: &mut Stage, words: &str) {
    let steps = [
        "Look at the working directory",
        "Write `ashore-demo.md`",
        "Explain what happened",
    ]
    .map(str::to_owned);
    if stage.thoughts {
        stream(stage, THOUGHTS, wire::thought).await;
    }
    stage.update(wire::plan(&steps, 0)).await;
    stream(stage, INTRODUCTION, wire::message).await;
    look(stage).await;
    stage.update(wire::plan(&steps, 1)).await;
    stream(stage, AFTER_READING, wire::message).await;
    write(stage, words).await;
    stage.update(wire::plan(&steps, 2)).await;
    stage
        .update(wire::usage(1_234 + words.len() as u64 / 4, 200_000))
        .await;
    stream(stage, CONCLUSION, wire::message).await;
    stage.update(wire::plan(&steps, 3)).await;
}

/// One word at a time, at the pace of a fast reader: 15 to 25 ms a word.
async fn stream(stage: &Stage, text: &str, say: impl Fn(&str) -> serde_json::Value) {
    for (index, word) in text.split_inclusive(' ').enumerate() {
        stage.update(say(word)).await;
        tokio::time::sleep(Duration::from_millis(15 + (index as u64 * 7) % 11)).await;
    }
}

/// Reads `README.md` when there is one, else the list of names.
async fn look(stage: &mut Stage) {
    let cwd = stage.cwd.clone();
    if let Some(text) = files::text(&cwd, "README.md").await {
        let id = stage
            .open(
                "read",
                "Read README.md",
                json!({"path": "README.md"}),
                &["README.md"],
            )
            .await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        let beginning: String = text
            .lines()
            .take(12)
            .collect::<Vec<_>>()
            .join("\n")
            .chars()
            .take(2_000)
            .collect();
        stage
            .close(
                &id,
                true,
                vec![wire::text_content(&beginning)],
                json!({"lines": text.lines().count()}),
            )
            .await;
        return;
    }
    let id = stage
        .open(
            "read",
            "List the working directory",
            json!({"path": "."}),
            &[],
        )
        .await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let names = files::names(&cwd, 20).await;
    let listed = if names.is_empty() {
        "nothing here yet".to_owned()
    } else {
        names.join("\n")
    };
    stage
        .close(
            &id,
            true,
            vec![wire::text_content(&listed)],
            json!({"names": names.len()}),
        )
        .await;
}

async fn write(stage: &mut Stage, words: &str) {
    let cwd = stage.cwd.clone();
    let text = document(words);
    let id = stage
        .open(
            "edit",
            &format!("Write {FILE}"),
            json!({"path": FILE}),
            &[FILE],
        )
        .await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    match files::write(&cwd, FILE, &text).await {
        Ok(changed) => {
            let diff = json!({"type": "diff", "path": cwd.join(FILE), "oldText": changed.old, "newText": changed.new});
            stage
                .close(&id, true, vec![diff], json!({"bytes": text.len()}))
                .await;
        }
        Err(refused) => {
            let sentence = refused.to_string();
            stage
                .close(
                    &id,
                    false,
                    vec![wire::text_content(&sentence)],
                    json!({"error": sentence}),
                )
                .await;
        }
    }
}

/// What is written: the user's words quoted, within a bound.
fn document(words: &str) -> String {
    let quoted: String = words
        .chars()
        .take(2_000)
        .collect::<String>()
        .lines()
        .map(|line| format!("> {line}\n"))
        .collect();
    let quoted = if quoted.is_empty() {
        "> (nothing)\n".to_owned()
    } else {
        quoted
    };
    format!(
        "# Written by the demo agent\n\nThe prompt was:\n\n{quoted}\nThis file was made by the built-in demo agent of Ashore. You can delete it.\n"
    )
}
