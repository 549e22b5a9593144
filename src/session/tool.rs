//! The life of a tool call: an upsert by id, in any order.
//!
//! Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::acp::{Block, Location, ToolContent, ToolKind, ToolPatch, ToolStatus};

/// A tool call as known so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToolCall {
    pub id: String,
    pub title: String,
    pub name: Option<String>,
    pub kind: ToolKind,
    pub status: ToolStatus,
    pub content: Vec<ToolContent>,
    pub locations: Vec<Location>,
    pub raw_input: Option<Value>,
    pub raw_output: Option<Value>,
    pub response: Option<Value>,
    /// What the shell was told, when the agent says so apart from `raw_input`.
    pub command: Option<String>,
    /// Its turn ended before it did: nothing more is to be waited for.
    pub abandoned: bool,
    pub started: Option<Timestamp>,
    /// When it completed or failed.
    pub ended: Option<Timestamp>,
}

impl ToolCall {
    /// Takes what the patch says, keeps the rest.
    pub fn merge(&mut self, patch: ToolPatch, now: Option<Timestamp>) {
        let was_over = self.is_over();
        self.abandoned = false;
        if let Some(title) = patch.title {
            self.title = title;
        }
        if let Some(kind) = patch.kind {
            self.kind = kind;
        }
        if let Some(status) = patch.status {
            self.status = status;
        }
        if let Some(content) = patch.content {
            self.content = content;
        }
        if let Some(locations) = patch.locations {
            self.locations = locations;
        }
        self.name = patch.name.or(self.name.take());
        self.raw_input = patch.raw_input.or(self.raw_input.take());
        self.raw_output = patch.raw_output.or(self.raw_output.take());
        self.response = patch.response.or(self.response.take());
        self.command = patch.command.or(self.command.take());
        self.started = self.started.or(now);
        match (was_over, self.is_over()) {
            (false, true) => self.ended = now,
            (true, true) => (),
            // Not over, or begun again.
            (_, false) => self.ended = None,
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.status, ToolStatus::Completed | ToolStatus::Failed)
    }
}

/// Where a pull request lives, up to its number.
const PULL_HOST: &str = "https://github.com/";

impl ToolCall {
    /// What was run, when this is a shell.
    pub fn shell_command(&self) -> Option<String> {
        if let Some(command) = &self.command {
            return Some(command.clone());
        }
        match self.raw_input.as_ref()?.get("command")? {
            Value::String(command) => Some(command.clone()),
            Value::Array(words) => {
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                Some(words.join(" "))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }

    /// The pull request this call made. Asks for `gh pr create` in the command: output alone may mention any.
    pub(crate) fn pr_url(&self) -> Option<String> {
        let command = self.shell_command()?;
        if !command.contains("gh pr create") {
            return None;
        }
        let outputs = [&self.raw_output, &self.response].into_iter().flatten();
        let told = outputs.filter_map(in_value).next_back();
        let mut shown = self.content.iter().filter_map(|one| match one {
            ToolContent::Block(Block::Text(text)) => in_text(text),
            ToolContent::Block(_)
            | ToolContent::Diff { .. }
            | ToolContent::Terminal(_)
            | ToolContent::Unknown(_) => None,
        });
        told.or_else(|| shown.next_back())
    }
}

fn in_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => in_text(text),
        Value::Array(list) => list.iter().find_map(in_value),
        Value::Object(map) => map.values().find_map(in_value),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The first `https://github.com/<owner>/<repository>/pull/<number>`.
fn in_text(text: &str) -> Option<String> {
    text.match_indices(PULL_HOST)
        .find_map(|(at, _)| pull_at(&text[at..]))
}

fn pull_at(text: &str) -> Option<String> {
    let rest = text.strip_prefix(PULL_HOST)?;
    let mut parts = rest.splitn(4, '/');
    let (owner, repository, pull, number) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let name = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    if !name(owner) || !name(repository) || pull != "pull" || digits == 0 {
        return None;
    }
    Some(format!(
        "{PULL_HOST}{owner}/{repository}/pull/{}",
        &number[..digits]
    ))
}
