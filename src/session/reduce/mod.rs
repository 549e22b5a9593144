//! Folds one journal line into the session.
//!
//! Pure. Applying a line twice changes nothing; a line may come from any dialect. This file tells which part of the
//! session a line speaks of; the files beside it change that part.

mod ask;
mod file;
mod notice;
mod talk;
mod turn;
mod user;

use jiff::Timestamp;

use crate::protocol::acp::{Chunk, Severity, ToolPatch, Update};
use crate::protocol::command::What;
use crate::protocol::entry::{Decoded, Entry, Ext, From, Said};
use crate::protocol::ids::Seq;
use crate::session::index::Voice;
use crate::session::state::Session;
use crate::session::tool::ToolCall;
use crate::session::transcript::{Body, Cell, Level};

/// Applies line `seq`. Lines at or below `session.last` are skipped.
pub fn apply(session: &mut Session, seq: Seq, line: &Decoded) {
    if seq <= session.last {
        return;
    }
    session.last = seq;
    match line {
        Decoded::Blank => (),
        Decoded::Bad(_) => session.bad_line(At { seq, time: None }),
        Decoded::Entry(entry) => session.entry(seq, entry),
    }
}

/// Which line, and when it was written.
#[derive(Clone, Copy)]
struct At {
    seq: Seq,
    time: Option<Timestamp>,
}

impl Session {
    fn entry(&mut self, seq: Seq, entry: &Entry) {
        self.last_time = entry.timestamp.or(self.last_time);
        let time = entry.timestamp;
        let at = At { seq, time };
        if is_heard(&entry.said) {
            self.heard_time = time.or(self.heard_time);
        }
        match &entry.said {
            Said::Update(update) => {
                if !self.index.copies.is_second(&entry.message) {
                    self.update(at, update, entry);
                }
            }
            Said::Command(command) => self.command(at, &command.what, entry),
            Said::Request { id, method, params } => {
                if method == "session/prompt" {
                    self.prompt_requested(at, id, params, entry);
                } else if entry.from == From::Agent {
                    self.index.agent_requests.insert(id.to_string());
                }
            }
            Said::Response { id, outcome } => {
                self.answered(at, id, outcome);
            }
            Said::Ext(ext) => self.ext(at, ext),
            Said::FinalText(text) => self.whole_message(at, text, false),
            Said::StreamError(text) => self.notice(at, Level::Error, text, None),
            Said::Unknown(kind) => self.unknown(at, kind),
            Said::Ignored => (),
        }
    }

    fn update(&mut self, at: At, update: &Update, entry: &Entry) {
        match update {
            Update::UserChunk(chunk) => self.user_chunk(at, chunk, entry.command.as_ref()),
            Update::AgentChunk(chunk) => self.agent_chunk(at, Voice::Agent, chunk),
            Update::ThoughtChunk(chunk) => self.agent_chunk(at, Voice::Thought, chunk),
            Update::AgentMessage(text) => self.whole_message(at, text, true),
            Update::UserMessage(text) => self.user_message(at, text),
            Update::Tool(patch) => self.tool(at, patch),
            Update::Plan(entries) => self.plan.clone_from(entries),
            Update::Commands(commands) => self.commands.clone_from(commands),
            Update::Mode(mode) => self.mode = Some(mode.clone()),
            Update::Modes { current, modes } => {
                self.mode = Some(current.clone());
                self.modes.clone_from(modes);
            }
            Update::Config(options) => self.config.clone_from(options),
            Update::Info { title: Some(title) } => self.title.clone_from(title),
            Update::Info { title: None } => (),
            Update::Usage(usage) => self.used(*usage),
            Update::Notice {
                severity,
                title,
                description,
            } => self.notice(at, level_of(*severity), title, description.as_deref()),
            Update::Compaction {
                id,
                status,
                summary,
                error,
            } => self.compaction(at, id, status, summary.as_deref(), error.as_deref()),
            Update::CompactionSummary { id, text } => {
                self.compaction_summary(at, id.as_deref(), text);
            }
            Update::Status(text) => self.notice(at, Level::Info, text, None),
            Update::Error(text) => self.notice(at, Level::Error, text, None),
            Update::Unknown { kind, .. } => self.unknown(at, kind),
        }
    }

    fn agent_chunk(&mut self, at: At, voice: Voice, chunk: &Chunk) {
        self.agent_is_at_work(at);
        self.chunk(at, voice, &chunk.block, chunk.message_id.as_deref());
    }

    fn command(&mut self, at: At, what: &What, entry: &Entry) {
        match what {
            What::UserMessage(_) => self.client_said(what, entry),
            What::Amend(amendment) => {
                self.amended(amendment, entry);
                self.is_to_end(at, what, entry);
            }
            What::Cancel => {
                self.cancelled(entry);
                self.is_to_end(at, what, entry);
            }
            // What comes of these is told by the agent side, with the turn's end or an update.
            What::Close
            | What::Permission(_)
            | What::SetMode(_)
            | What::SetConfig { .. }
            | What::FileChanged(_)
            | What::Presence { .. } => (),
            What::Other { method, .. } => self.unknown(at, method),
        }
    }

    fn ext(&mut self, at: At, ext: &Ext) {
        match ext {
            Ext::RunStarted {
                agent_version,
                takes,
            } => self.run_started(agent_version.as_deref(), *takes),
            Ext::TurnComplete {
                stop_reason,
                unscanned,
            } => self.turn_complete(at, stop_reason, *unscanned),
            Ext::TaskComplete { status } => self.run_status(at, status, None),
            Ext::RunStatus { status, message } => {
                self.index.status_told = true;
                self.run_status(at, status, message.as_deref());
            }
            Ext::Error { message, detail } => self.run_error(at, message, detail.as_deref()),
            Ext::FileSync(change) => self.file_changed(at, change),
            Ext::FileRefused { path, why } => self.file_failed(at, path, why),
            Ext::FileFailed { path, reason, .. } => self.file_failed(at, path, reason),
            Ext::FileApplied(applied) => self.file_applied(at, applied),
            Ext::FileStale(stale) => self.file_stale(at, stale),
            Ext::Step(step) => self.step(at, step),
            Ext::Progress {
                step,
                status,
                label,
                detail,
                ..
            } => self.progress(at, step, status, label, detail.as_deref()),
            Ext::PermissionRequest(request) => self.asked(at, request),
            Ext::PermissionResponse {
                request,
                tool_call,
                option,
                from,
            } => self.permission_answered(at, request, tool_call, option, from.as_deref()),
            Ext::BranchCreated(branch) => self.branch_created(at, branch),
            Ext::PrCreated(url) => self.pr_created(at, url),
            Ext::Note(text) => self.notice(at, Level::Info, text, None),
            Ext::Unknown(method) => self.unknown(at, method),
            Ext::Console { level, message } => self.console(at, level, message),
            Ext::SandboxOutput {
                stdout,
                stderr,
                exit_code,
            } => self.sandbox_command(at, *exit_code, &[stdout, stderr]),
            Ext::CompactBoundary { trigger, tokens } => self.compacted(at, trigger, *tokens),
            Ext::Status {
                status,
                complete: false,
            } => self.notice(at, Level::Info, status, None),
            Ext::UserShell {
                command,
                exit_code,
                output,
            } => self.user_shell(at, command, *exit_code, output),
            // A tree or a mode of the agent side says nothing here.
            Ext::Status { complete: true, .. }
            | Ext::ModeChange(_)
            | Ext::Tree { .. }
            | Ext::Silent(_) => (),
        }
    }

    /// An upsert: an update may come before its call, and a call may be announced again.
    fn tool(&mut self, at: At, patch: &ToolPatch) {
        self.agent_is_at_work(at);
        let place = match self.index.tools.get(&patch.id) {
            Some(place) => *place,
            None => {
                let call = ToolCall {
                    id: patch.id.clone(),
                    ..ToolCall::default()
                };
                let place = self.push(at, Body::Tool(Box::new(call)));
                self.index.tools.insert(patch.id.clone(), place);
                self.index.calls.push(place);
                self.index.unfinished += 1;
                place
            }
        };
        let merged = self.transcript.cells.change(place, |body| {
            let Body::Tool(call) = body else {
                return None;
            };
            let was_over = call.is_over();
            call.merge(patch.clone(), at.time);
            Some((was_over, call.is_over(), call.pr_url()))
        });
        let Some((was_over, is_over, pr_url)) = merged else {
            return;
        };
        match (was_over, is_over) {
            (false, true) => self.index.unfinished -= 1,
            (true, false) => self.index.unfinished += 1,
            (false, false) | (true, true) => (),
        }
        if pr_url.is_some() {
            self.pr_url = pr_url;
        }
        if is_over {
            self.index.running.remove(&place);
        } else {
            self.index.running.insert(place);
        }
    }

    /// Adds a cell that ends the text before it, and says where it stands.
    fn push(&mut self, at: At, body: Body) -> usize {
        self.close_open(at);
        let cuts = matches!(
            body,
            Body::User { .. } | Body::Tool(_) | Body::TurnEnd { .. }
        );
        let place = self.push_beside(at, body);
        if cuts {
            self.index.segment = place + 1;
        }
        place
    }

    /// Adds a cell below a text that may still go on.
    fn push_beside(&mut self, at: At, body: Body) -> usize {
        self.transcript.cells.push(Cell {
            seq: at.seq,
            revision: 0,
            rewrites: 0,
            time: at.time,
            turn: self.turns,
            body,
        })
    }
}

fn level_of(severity: Severity) -> Level {
    match severity {
        Severity::Info => Level::Info,
        Severity::Warning => Level::Warning,
        Severity::Error => Level::Error,
    }
}

/// A word of the agent itself, or an answer to it. What the agent server says of files is none.
fn is_heard(said: &Said) -> bool {
    matches!(
        said,
        Said::Update(_)
            | Said::FinalText(_)
            | Said::Ext(Ext::PermissionRequest(_) | Ext::PermissionResponse { .. })
    )
}

#[cfg(test)]
mod tests;
