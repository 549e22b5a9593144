//! What the agent side reports of files, and the steps in which a sandbox comes up.
//!
//! Pure. Says what was reported; whether it stands here is the mirror's word.

use crate::protocol::entry::{Step, StepStatus};
use crate::protocol::file::{Applied, ChangeKind, FileChange, Stale};
use crate::session::reduce::At;
use crate::session::state::{FileEntry, RefusedEdit, Session, StepState};
use crate::session::transcript::Level;

impl Session {
    pub(super) fn file_changed(&mut self, at: At, change: &FileChange) {
        self.put_file(FileEntry {
            path: change.path.as_str().to_owned(),
            kind: change.kind,
            seq: at.seq,
            turn: change.turn,
            tool_call: change.tool_call.clone(),
            failed: None,
            by_user: false,
        });
    }

    /// A person's change stands there now.
    pub(super) fn file_applied(&mut self, at: At, applied: &Applied) {
        let change = &applied.change;
        self.refused
            .retain(|refused| refused.path != change.path.as_str());
        self.put_file(FileEntry {
            path: change.path.as_str().to_owned(),
            kind: change.kind,
            seq: at.seq,
            turn: None,
            tool_call: None,
            failed: None,
            by_user: true,
        });
    }

    /// A person's change was not taken: a conflict of the run until one is.
    pub(super) fn file_stale(&mut self, at: At, stale: &Stale) {
        let path = stale.path.as_str();
        self.refused.retain(|refused| refused.path != path);
        self.refused.push(RefusedEdit {
            path: path.to_owned(),
            seq: at.seq,
            reason: stale.reason.clone(),
        });
        let why = match (&stale.reason, stale.current) {
            (Some(reason), _) => reason.as_str(),
            (None, Some(_)) => "it was changed there as well",
            (None, None) => "it was deleted there",
        };
        let text = format!("{path}: an edit was not taken into the sandbox: {why}");
        self.notice(at, Level::Warning, &text, None);
    }

    /// Refused here, or never stored there: one line each, since something is missing.
    pub(super) fn file_failed(&mut self, at: At, path: &str, reason: &str) {
        let before = self.take_file(path);
        self.put_file(FileEntry {
            path: path.to_owned(),
            kind: before.map_or(ChangeKind::Modified, |file| file.kind),
            seq: at.seq,
            turn: None,
            tool_call: None,
            failed: Some(reason.to_owned()),
            by_user: false,
        });
        let name = if path.is_empty() {
            "a file without a name"
        } else {
            path
        };
        self.notice(at, Level::Warning, &format!("{name}: {reason}"), None);
    }

    /// Puts it at the end, so that the list stays ordered by line.
    fn put_file(&mut self, file: FileEntry) {
        self.take_file(&file.path);
        self.index.files.insert(file.path.clone(), file.seq);
        self.files.push(file);
    }

    fn take_file(&mut self, path: &str) -> Option<FileEntry> {
        let seq = self.index.files.remove(path)?;
        let place = self.files.binary_search_by_key(&seq, |file| file.seq);
        place.ok().map(|place| self.files.remove(place))
    }

    pub(super) fn step(&mut self, at: At, step: &Step) {
        let known = self.steps.iter().position(|one| one.step.name == step.name);
        let started = step.status == StepStatus::Started;
        match known {
            // Begun again: the steps after it belong to an earlier start of the sandbox.
            Some(place) if started && self.steps[place].status() != StepStatus::Started => {
                self.steps.truncate(place);
            }
            Some(place) => {
                let state = &mut self.steps[place];
                let hint = step.hint.clone().or(state.step.hint.take());
                let detail = step.detail.clone().or(state.step.detail.take());
                state.step = Step {
                    detail,
                    hint,
                    ..step.clone()
                };
                state.ended = at.time.filter(|_| !started);
                return;
            }
            None => (),
        }
        self.steps.push(StepState {
            step: step.clone(),
            started: at.time,
            ended: at.time.filter(|_| !started),
        });
    }

    /// The present dialect's cousin of a step.
    pub(super) fn progress(
        &mut self,
        at: At,
        step: &str,
        status: &str,
        label: &str,
        detail: Option<&str>,
    ) {
        let told = [Some(label), detail].into_iter().flatten();
        let told: Vec<&str> = told.filter(|text| !text.is_empty()).collect();
        let step = Step {
            name: step.to_owned(),
            status: match status {
                "completed" => StepStatus::Done,
                "failed" => StepStatus::Failed,
                _ => StepStatus::Started,
            },
            detail: (!told.is_empty()).then(|| told.join(": ")),
            hint: None,
        };
        self.step(at, &step);
    }

    pub(super) fn branch_created(&mut self, at: At, branch: &str) {
        if self.branch.as_deref() != Some(branch) {
            self.branch = Some(branch.to_owned());
            self.notice(at, Level::Info, &format!("branch {branch}"), None);
        }
    }

    pub(super) fn pr_created(&mut self, at: At, url: &str) {
        self.pr_url = Some(url.to_owned());
        self.notice(at, Level::Info, &format!("pull request {url}"), None);
    }
}
