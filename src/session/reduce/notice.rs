//! Lines that nobody said: notices, compaction, and what could not be understood.
//!
//! Pure. They stand beside a text that goes on and do not cut it; what repeats is counted, not repeated.

use crate::session::reduce::At;
use crate::session::state::Session;
use crate::session::transcript::{Body, Level, Notice};

/// So many unknown kinds get a line of their own; an endpoint that invents more has them counted together.
const UNKNOWN_KINDS: usize = 64;

impl Session {
    /// The same line again only counts.
    pub(super) fn notice(&mut self, at: At, level: Level, text: &str, detail: Option<&str>) {
        let last = self.transcript.cells.len().wrapping_sub(1);
        let same = self.transcript.cells.last().is_some_and(|cell| {
            matches!(&cell.body, Body::Notice(notice)
                if notice.level == level && notice.text == text && notice.detail.as_deref() == detail)
        });
        if same {
            self.count_again(last);
        } else {
            self.push_notice(at, level, text, detail);
        }
    }

    fn push_notice(&mut self, at: At, level: Level, text: &str, detail: Option<&str>) -> usize {
        let notice = Notice {
            level,
            text: text.to_owned(),
            detail: detail.map(str::to_owned),
            count: 1,
        };
        self.push_beside(at, Body::Notice(notice))
    }

    fn count_again(&mut self, place: usize) {
        self.transcript.cells.change(place, |body| {
            if let Body::Notice(notice) = body {
                notice.count = notice.count.saturating_add(1);
            }
        });
    }

    /// One dim line for each kind, wherever it came first.
    pub(super) fn unknown(&mut self, at: At, kind: &str) {
        let many = self.index.unknown.len() >= UNKNOWN_KINDS;
        let name = match self.index.unknown.contains_key(kind) {
            false if many => "of other kinds",
            _ => kind,
        };
        if let Some(place) = self.index.unknown.get(name) {
            return self.count_again(*place);
        }
        let short: String = name.chars().take(80).collect();
        let place = self.push_notice(at, Level::Dim, &format!("not understood: {short}"), None);
        self.index.unknown.insert(name.to_owned(), place);
    }

    pub(super) fn bad_line(&mut self, at: At) {
        self.bad_lines += 1;
        match self.index.bad_lines {
            Some(place) => self.count_again(place),
            None => {
                let text = "a line of the log is not JSON";
                self.index.bad_lines = Some(self.push_notice(at, Level::Dim, text, None));
            }
        }
    }

    pub(super) fn compaction(
        &mut self,
        at: At,
        id: &str,
        status: &str,
        summary: Option<&str>,
        error: Option<&str>,
    ) {
        let text = match (status, error) {
            ("in_progress", _) => "compacting the context".to_owned(),
            ("completed", _) => "context compacted".to_owned(),
            (_, Some(error)) => format!("compaction {status}: {error}"),
            (_, None) => format!("compaction {status}"),
        };
        self.with_compaction(at, id, |notice| {
            notice.text = text;
            if let Some(summary) = summary {
                notice.detail = Some(summary.to_owned());
            }
        });
    }

    pub(super) fn compaction_summary(&mut self, at: At, id: Option<&str>, text: &str) {
        self.with_compaction(at, id.unwrap_or_default(), |notice| {
            notice.detail.get_or_insert_default().push_str(text);
        });
    }

    /// A rule by its id; the first word of it may be its summary.
    fn with_compaction(&mut self, at: At, id: &str, change: impl FnOnce(&mut Notice)) {
        let place = match self.index.compactions.get(id) {
            Some(place) => *place,
            None => {
                let place = self.push_notice(at, Level::Rule, "compacting the context", None);
                self.index.compactions.insert(id.to_owned(), place);
                place
            }
        };
        self.transcript.cells.change(place, |body| {
            if let Body::Notice(notice) = body {
                change(notice);
            }
        });
    }

    /// The quiet levels are left out.
    pub(super) fn console(&mut self, at: At, level: &str, message: &str) {
        match level {
            "error" => self.notice(at, Level::Error, message, None),
            "warn" | "warning" => self.notice(at, Level::Warning, message, None),
            _ => (),
        }
    }

    pub(super) fn sandbox_command(&mut self, at: At, code: Option<i64>, output: &[&str]) {
        if let Some(code) = code.filter(|code| *code != 0) {
            let text = format!("a command in the sandbox ended with {code}");
            self.notice(at, Level::Warning, &text, Some(&output.concat()));
        }
    }

    pub(super) fn compacted(&mut self, at: At, trigger: &str, tokens: Option<u64>) {
        let text = match tokens {
            Some(tokens) => format!("context compacted ({trigger}, {tokens} tokens before)"),
            None => format!("context compacted ({trigger})"),
        };
        self.notice(at, Level::Rule, &text, None);
    }

    pub(super) fn user_shell(&mut self, at: At, command: &str, code: Option<i64>, output: &str) {
        let text = match code {
            Some(code) if code != 0 => format!("$ {command} (ended with {code})"),
            Some(_) | None => format!("$ {command}"),
        };
        let output = Some(output).filter(|output| !output.is_empty());
        self.notice(at, Level::Info, &text, output);
    }
}
