//! `ashore export`: a run as one file, its journal verbatim or its transcript as Markdown.

use std::fmt::Write as _;
use std::io::IsTerminal;

use jiff::Timestamp;
use similar::TextDiff;

use crate::cli::Format;
use crate::commands::context::{Context, Found};
use crate::commands::failure::{Exit, Failure};
use crate::commands::output;
use crate::protocol::acp::{Block, ToolContent, ToolStatus};
use crate::protocol::normalize::decode;
use crate::session::reduce::apply;
use crate::session::state::Session;
use crate::session::tool::ToolCall;
use crate::session::transcript::{Body, Cell, Level, Notice};

/// Texts above this many bytes together are shown as they are now, not compared.
const BYTES: usize = 256 * 1024;

/// To stdout. Markdown unless the journal is asked for.
pub async fn run(context: &Context, run: &str, format: Option<Format>) -> Result<Exit, Failure> {
    let verbatim = match format {
        None | Some(Format::Md) => false,
        Some(Format::Ndjson) => true,
        Some(Format::Text | Format::Json) => {
            return Err(Failure::usage("a run is exported as md or ndjson").hint("--format ndjson"));
        }
    };
    let found = context.find(run).await?;
    if verbatim {
        journal(&found).await?;
    } else {
        let session = read(&found).await?;
        output::raw(&printable(markdown(&session, found.at.run.as_str())))?;
    }
    Ok(Exit::Done)
}

/// Line *k* of what is written is line *k* of the journal, byte for byte.
async fn journal(found: &Found) -> Result<(), Failure> {
    let mut lines = found.api.logs(&found.at, None).await?;
    // A terminal is shown what it can be shown.
    let shown = std::io::stdout().is_terminal();
    while let Some((_, mut line)) = lines.next().await? {
        if shown {
            output::line(&output::plain(&String::from_utf8_lossy(&line)))?;
        } else {
            line.push(b'\n');
            output::bytes(&line)?;
        }
    }
    Ok(())
}

fn printable(text: String) -> String {
    if std::io::stdout().is_terminal() {
        output::plain(&text)
    } else {
        text
    }
}

async fn read(found: &Found) -> Result<Session, Failure> {
    let mut session = Session::default();
    let mut lines = found.api.logs(&found.at, None).await?;
    while let Some((seq, line)) = lines.next().await? {
        apply(&mut session, seq, &decode(&line));
    }
    Ok(session)
}

/// The transcript: a heading for every turn, what was said as it was said, calls in a line with what they show in a fence.
pub fn markdown(session: &Session, run: &str) -> String {
    let mut out = String::new();
    let title = session.title.clone().or_else(|| first_words(session));
    let title = title.map(|title| one_line(&title));
    let title = title.filter(|title| !title.is_empty());
    let name = title.unwrap_or_else(|| format!("Run {run}"));
    // Writing to a string does not fail.
    write!(out, "# {name}\n\n").ok();
    let mut facts = vec![format!("Run `{run}`")];
    facts.extend(
        session
            .branch
            .as_ref()
            .map(|branch| format!("branch `{}`", one_line(branch))),
    );
    facts.extend(session.pr_url.as_ref().map(|url| one_line(url)));
    writeln!(out, "{}", facts.join(", ")).ok();
    for cell in session.transcript.cells.iter() {
        let piece = piece(&cell);
        if !piece.is_empty() {
            write!(out, "\n{piece}\n").ok();
        }
    }
    out
}

/// What a run without a title is about: the first line that was said.
fn first_words(session: &Session) -> Option<String> {
    session.transcript.cells.iter().find_map(|cell| {
        let Body::User { text, .. } = &cell.body else {
            return None;
        };
        text.trim().lines().next().map(str::to_owned)
    })
}

fn piece(cell: &Cell) -> String {
    match &cell.body {
        Body::User {
            text,
            from,
            attachments,
            ..
        } => {
            let who = from.as_deref().map_or_else(|| "you".to_owned(), one_line);
            let time = cell.time.map(clock).unwrap_or_default();
            let mut piece = format!(
                "## Turn {} · {who}{time}\n\n{}",
                cell.turn.max(1),
                text.trim()
            );
            for name in attachments {
                write!(piece, "\n\n(attached: {})", one_line(name)).ok();
            }
            piece
        }
        Body::Agent { text, .. } => text.trim().to_owned(),
        Body::Thought { text, .. } => {
            let lines = text.trim().lines();
            lines
                .map(|line| format!("> {line}").trim_end().to_owned())
                .collect::<Vec<_>>()
                .join("\n")
        }
        Body::Tool(tool) => called(tool),
        Body::Attachment(text) => format!("({})", one_line(text)),
        Body::Notice(notice) => noticed(notice),
        Body::TurnEnd {
            stop_reason, error, ..
        } => match (error, stop_reason.as_str()) {
            (Some(error), _) => format!("**The turn failed:** {}", one_line(error)),
            (None, "end_turn") => String::new(),
            (None, reason) => format!("*The turn ended: {}*", one_line(reason)),
        },
    }
}

fn clock(time: Timestamp) -> String {
    format!(" · {}", time.strftime("%Y-%m-%d %H:%M UTC"))
}

fn noticed(notice: &Notice) -> String {
    let text = one_line(&notice.text);
    match notice.level {
        Level::Rule => format!("---\n\n*{text}*"),
        Level::Warning | Level::Error => format!("**{text}**"),
        Level::Dim | Level::Info => format!("*{text}*"),
    }
}

fn called(tool: &ToolCall) -> String {
    let how = match tool.status {
        ToolStatus::Completed => "done",
        ToolStatus::Failed => "failed",
        ToolStatus::Running | ToolStatus::Pending => "not over",
    };
    let mut piece = format!(
        "- `{}` {}: {how}",
        tool.kind.as_str(),
        one_line(&tool.title)
    );
    if let Some(command) = tool.shell_command() {
        write!(piece, "\n\n{}", fenced("sh", &command)).ok();
    }
    let shown = tool.content.iter().filter_map(content);
    let mut shown: Vec<String> = shown.collect();
    if shown.is_empty()
        && let Some(serde_json::Value::String(text)) = &tool.raw_output
    {
        shown.push(fenced("", text));
    }
    for one in shown {
        write!(piece, "\n\n{one}").ok();
    }
    piece
}

fn content(content: &ToolContent) -> Option<String> {
    match content {
        ToolContent::Diff { path, old, new } => {
            Some(fenced("diff", &diff(path, old.as_deref(), new)))
        }
        ToolContent::Block(Block::Text(text)) if text.trim_start().starts_with("```") => {
            Some(text.trim().to_owned())
        }
        ToolContent::Block(Block::Text(text)) => Some(fenced("", text)),
        ToolContent::Block(block) => Some(format!("({})", one_line(&block.label()))),
        ToolContent::Terminal(_) | ToolContent::Unknown(_) => None,
    }
}

/// As `git apply` takes it.
fn diff(path: &str, old: Option<&str>, new: &str) -> String {
    let path = path.trim_start_matches('/');
    let (before, after) = (format!("a/{path}"), format!("b/{path}"));
    let before = old.map_or("/dev/null", |_| before.as_str());
    let old = old.unwrap_or("");
    if old.len() + new.len() > BYTES {
        return format!(
            "--- {before}\n+++ {after}\n(too large to compare: {} lines now)",
            new.lines().count()
        );
    }
    let compared = TextDiff::from_lines(old, new);
    let text = compared.unified_diff().header(before, &after).to_string();
    text.trim_end().to_owned()
}

/// In a fence that nothing in it can end.
fn fenced(language: &str, text: &str) -> String {
    let longest = text
        .split(|char| char != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::acp::ToolKind;
    use crate::protocol::ids::Seq;

    fn cell(seq: u64, body: Body) -> Cell {
        Cell {
            seq: Seq(seq),
            revision: 0,
            rewrites: 0,
            time: Timestamp::from_second(1_768_831_320).ok(),
            turn: 1,
            body,
        }
    }

    #[test]
    fn a_transcript_reads_as_a_document() {
        let tool = ToolCall {
            title: "src/a.rs".into(),
            kind: ToolKind::Edit,
            status: ToolStatus::Completed,
            content: vec![ToolContent::Diff {
                path: "src/a.rs".into(),
                old: Some("a\n".into()),
                new: "b\n".into(),
            }],
            ..ToolCall::default()
        };
        let mut session = Session {
            title: Some("fix it".into()),
            ..Session::default()
        };
        let user = Body::User {
            text: "Fix it.\n".into(),
            from: None,
            command: None,
            attachments: Vec::new(),
        };
        let thought = Body::Thought {
            text: "hm\n\nwell".into(),
            open: false,
            ended: None,
        };
        let agent = Body::Agent {
            text: "Done:\n\n- one\n".into(),
            open: false,
        };
        let end = Body::TurnEnd {
            stop_reason: "cancelled".into(),
            error: None,
            started: None,
            ended: None,
            files: 0,
            spent: None,
        };
        let bodies = [user, thought, Body::Tool(Box::new(tool)), agent, end];
        let cells = (1..).zip(bodies).map(|(seq, body)| cell(seq, body));
        session.transcript.cells = cells.collect();
        let wanted = "# fix it\n\nRun `7f3a`\n\n## Turn 1 · you · 2026-01-19 14:02 UTC\n\nFix it.\n\n> hm\n>\n> well\n\n\
            - `edit` src/a.rs: done\n\n```diff\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1 +1 @@\n-a\n+b\n```\n\n\
            Done:\n\n- one\n\n*The turn ended: cancelled*\n";
        assert_eq!(markdown(&session, "7f3a"), wanted);
        session.title = None;
        assert_eq!(markdown(&session, "7f3a").lines().next(), Some("# Fix it."));
    }

    #[test]
    fn a_diff_names_its_file_as_git_does() {
        let text = diff("/src/a.rs", None, "x\n");
        assert!(
            text.starts_with("--- /dev/null\n+++ b/src/a.rs\n"),
            "{text}"
        );
    }

    #[test]
    fn a_fence_is_longer_than_any_in_it() {
        assert_eq!(fenced("", "a"), "```\na\n```");
        assert_eq!(
            fenced("md", "````\nx\n````\n"),
            "`````md\n````\nx\n````\n`````"
        );
    }
}
