//! What a headless face prints: text, one JSON object, or NDJSON; progress on stderr.
//!
//! Decides nothing about the run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cli::Format;
use crate::commands::failure::Failure;
use crate::commands::outcome::Outcome;
use crate::commands::{events, output};
use crate::mirror::status::{Direction, FileReport, Outcome as Landed};
use crate::protocol::acp::{PermissionOption, ToolPatch, Update};
use crate::protocol::entry::{Decoded, Ext, Said, StepStatus};
use crate::protocol::file::ChangeKind;
use crate::protocol::ids::{RunId, RunRef, Seq};
use crate::protocol::run::Policy;
use crate::session::cells::Kind;
use crate::session::state::Session;

/// One headless run's output.
#[derive(Debug)]
pub struct Printer {
    format: Format,
    quiet: bool,
    at: RunRef,
    /// The agent works in this very directory: what it wrote is where it belongs.
    in_place: bool,
    policy: Policy,
    /// Options by request, while they are open.
    asked: BTreeMap<String, Vec<PermissionOption>>,
    refused: bool,
    last: Seq,
    files: Vec<FileReport>,
}

impl Printer {
    pub fn new(format: Format, quiet: bool, at: RunRef, in_place: bool, policy: Policy) -> Self {
        Self {
            format,
            quiet,
            at,
            in_place,
            policy,
            asked: BTreeMap::new(),
            refused: false,
            last: Seq::ZERO,
            files: Vec::new(),
        }
    }

    pub fn run(&self) -> &RunId {
        &self.at.run
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The policy answered a request with something that allows nothing.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Journal lines, in order; a line that was printed is not printed again.
    pub fn arrived(&mut self, lines: &[(Seq, Decoded)]) -> Result<(), Failure> {
        for (seq, decoded) in lines {
            if *seq <= self.last {
                continue;
            }
            self.last = *seq;
            if self.format == Format::Ndjson
                && let Some(line) = events::line(self.at.run.as_str(), *seq, decoded)
            {
                output::json(&line)?;
            }
            if let Decoded::Entry(entry) = decoded {
                self.said(&entry.said)?;
            }
        }
        Ok(())
    }

    fn said(&mut self, said: &Said) -> Result<(), Failure> {
        match said {
            Said::Ext(Ext::FileRefused { path, why }) => self.mirrored(failed(path, why)),
            Said::Ext(Ext::FileFailed { path, reason, .. }) => self.mirrored(failed(path, reason)),
            Said::Ext(Ext::FileSync(change)) if self.in_place => self.mirrored(FileReport {
                path: change.path.to_string(),
                change: change.kind,
                direction: Direction::Down,
                result: Landed::Settled,
                hash: change.now.map(|now| now.hash),
                reason: None,
            }),
            Said::Ext(Ext::Step(step)) if step.status != StepStatus::Started => {
                let mut words = vec![step.name.as_str(), step.status.as_str()];
                words.extend(step.detail.as_deref());
                self.progress(&words.join(" "))?;
                step.hint
                    .as_ref()
                    .map_or(Ok(()), |hint| self.progress(&format!("  try: {hint}")))
            }
            Said::Ext(Ext::Note(text)) => self.progress(text),
            Said::Ext(Ext::Error { message, detail }) => self.progress(&match detail {
                Some(detail) => format!("error: {message}: {detail}"),
                None => format!("error: {message}"),
            }),
            Said::Ext(Ext::PermissionResponse {
                request, option, ..
            }) => {
                let options = self.asked.remove(request).unwrap_or_default();
                let allowed = options
                    .iter()
                    .any(|one| one.id == *option && one.kind.allows());
                self.refused |= self.policy == Policy::Deny && !allowed;
                Ok(())
            }
            Said::Ext(Ext::PermissionRequest(request)) => {
                self.asked
                    .insert(request.request.clone(), request.options.clone());
                self.progress(&format!("the agent asks: {}", request.title))
            }
            Said::Update(Update::Tool(ToolPatch {
                title: Some(title),
                announces: true,
                ..
            })) => self.progress(&format!("tool: {title}")),
            // Everything else is in the result, or for the screen.
            Said::Ext(_)
            | Said::Update(_)
            | Said::Command(_)
            | Said::Request { .. }
            | Said::Response { .. } => Ok(()),
            Said::FinalText(_) | Said::StreamError(_) | Said::Unknown(_) | Said::Ignored => Ok(()),
        }
    }

    /// One line on stderr; with NDJSON the entry itself was printed.
    pub fn progress(&self, text: &str) -> Result<(), Failure> {
        if self.format != Format::Ndjson {
            output::say(self.quiet, text.trim_end());
        }
        Ok(())
    }

    /// What became of one file.
    pub fn mirrored(&mut self, report: FileReport) -> Result<(), Failure> {
        match self.format {
            Format::Ndjson => output::json(&json!({"v": 1, "run": self.at.run, "mirror": report}))?,
            Format::Text | Format::Md | Format::Json => self.progress(&sentence(&report))?,
        }
        self.files.push(report);
        Ok(())
    }

    /// The last line, or the only one.
    pub fn result(&self, outcome: &Outcome, session: &Session) -> Result<(), Failure> {
        let settled: BTreeSet<&str> = self
            .files
            .iter()
            .filter(|file| file.result == Landed::Settled)
            .map(|file| file.path.as_str())
            .collect();
        let status = outcome.status.as_ref().map(ToString::to_string);
        match self.format {
            Format::Text | Format::Md => {
                output::raw(&with_line_end(&output::plain(&last_message(session))))
            }
            Format::Json => output::json(&with_error(
                outcome,
                json!({
                    "v": 1, "run": self.at.run, "task": self.at.task, "stop_reason": outcome.stop_reason,
                    "text": last_message(session), "files": self.newest(),
                }),
            )),
            Format::Ndjson => {
                let result = with_error(
                    outcome,
                    json!({
                        "stop_reason": outcome.stop_reason, "status": status, "files": settled.len(), "conflicts": outcome.conflicts, "held": outcome.held,
                    }),
                );
                output::json(&json!({"v": 1, "run": self.at.run, "result": result}))
            }
        }
    }

    /// The newest word on each path, in the order the paths were first met.
    fn newest(&self) -> Vec<Value> {
        let mut paths: Vec<&FileReport> = Vec::new();
        for file in &self.files {
            match paths.iter_mut().find(|known| known.path == file.path) {
                Some(known) => *known = file,
                None => paths.push(file),
            }
        }
        paths.iter().map(|file| json!({"path": file.path, "change": file.change.as_str(), "result": file.result})).collect()
    }
}

/// `error` stands there only when there is one.
fn with_error(outcome: &Outcome, mut value: Value) -> Value {
    if let Some(error) = &outcome.error {
        value["error"] = json!(error);
    }
    value
}

fn failed(path: &str, reason: &str) -> FileReport {
    FileReport {
        path: path.to_owned(),
        change: ChangeKind::Modified,
        direction: Direction::Down,
        result: Landed::Failed,
        hash: None,
        reason: Some(reason.to_owned()),
    }
}

fn sentence(report: &FileReport) -> String {
    let reason = report
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {reason}"));
    match report.result {
        Landed::Settled => format!("file {} {}", report.change.as_str(), report.path),
        Landed::Conflict => format!("conflict: {}{reason}", report.path),
        Landed::Skipped => format!("file skipped: {}{reason}", report.path),
        Landed::Failed => format!("file failed: {}{reason}", report.path),
    }
}

fn with_line_end(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') {
        text.to_owned()
    } else {
        format!("{text}\n")
    }
}

/// The agent's last message, whole.
fn last_message(session: &Session) -> String {
    let cells = &session.transcript.cells;
    let last = cells.labels().rposition(|label| label.kind == Kind::Agent);
    let last = last.and_then(|index| cells.get(index));
    let text = last.as_deref().and_then(|cell| cell.body.text());
    text.unwrap_or_default().to_owned()
}
