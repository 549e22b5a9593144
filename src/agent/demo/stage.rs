//! What a turn stands on: it says things to the loop that owns the pipe, and remembers the tool call it has open.
//!
//! It never writes to the pipe itself, so that one place decides the order of lines.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::agent::demo::wire;

/// What a turn tells the loop.
#[derive(Debug)]
pub(crate) enum Said {
    Update(String, Value),
    /// A permission request; the answer is the response's `result`, or null for an error.
    Ask {
        params: Value,
        answer: oneshot::Sender<Value>,
    },
    /// The last word of a turn.
    Over(String, Outcome),
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    EndTurn,
    Cancelled,
    /// A JSON-RPC error instead of a stop reason.
    Error(String),
    /// The process is to exit with code 3, without an answer.
    Crash,
}

/// One turn of one session.
pub(crate) struct Stage {
    pub(crate) session: String,
    /// Absolute, without links.
    pub(crate) cwd: PathBuf,
    /// Counts the session's turns, so that tool call ids never repeat.
    pub(crate) turn: u64,
    pub(crate) thoughts: bool,
    out: mpsc::Sender<Said>,
    calls: u32,
    open: Option<String>,
}

impl Stage {
    pub(crate) fn new(
        session: String,
        cwd: PathBuf,
        turn: u64,
        thoughts: bool,
        out: mpsc::Sender<Said>,
    ) -> Self {
        Self {
            session,
            cwd,
            turn,
            thoughts,
            out,
            calls: 0,
            open: None,
        }
    }

    /// A closed channel means that the whole agent is ending; then nobody reads what is said.
    async fn say(&self, said: Said) {
        self.out.send(said).await.ok();
    }

    pub(crate) async fn update(&self, update: Value) {
        self.say(Said::Update(self.session.clone(), update)).await;
    }

    pub(crate) async fn message(&self, text: &str) {
        self.update(wire::message(text)).await;
    }

    /// Opens a tool call; it stays open until [`Stage::close`] or the end of the turn.
    pub(crate) async fn open(
        &mut self,
        kind: &str,
        title: &str,
        input: Value,
        paths: &[&str],
    ) -> String {
        self.calls += 1;
        let id = format!("demo-{}-{}", self.turn, self.calls);
        let locations: Vec<Value> = paths
            .iter()
            .map(|path| json!({"path": self.cwd.join(path)}))
            .collect();
        self.open = Some(id.clone());
        self.update(json!({
            "sessionUpdate": "tool_call", "toolCallId": id, "title": title, "kind": kind,
            "status": "in_progress", "rawInput": input, "locations": locations
        }))
        .await;
        id
    }

    /// What an open tool call shows so far, as a whole.
    pub(crate) async fn show(&self, id: &str, content: Vec<Value>) {
        self.update(
            json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "content": content}),
        )
        .await;
    }

    pub(crate) async fn close(&mut self, id: &str, done: bool, content: Vec<Value>, output: Value) {
        self.open = None;
        let status = if done { "completed" } else { "failed" };
        self.update(json!({
            "sessionUpdate": "tool_call_update", "toolCallId": id, "status": status,
            "content": content, "rawOutput": output
        }))
        .await;
    }

    /// A call that a cancel has cut off must not look as if it went on.
    pub(crate) async fn close_cancelled(&mut self) {
        if let Some(id) = self.open.take() {
            self.update(
                json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "status": "failed"}),
            )
            .await;
        }
    }

    /// Asks the client; null when it answers with an error or not at all.
    pub(crate) async fn ask(&self, params: Value) -> Value {
        let (answer, answered) = oneshot::channel();
        self.say(Said::Ask { params, answer }).await;
        answered.await.unwrap_or(Value::Null)
    }

    pub(crate) async fn over(self, outcome: Outcome) {
        self.say(Said::Over(self.session.clone(), outcome)).await;
    }
}
