//! A cell as the text it was made from: what is searched, shown raw and copied.
//!
//! Pure. Nothing is cleaned here: whoever draws it cleans it, whoever copies it gets what was said.

use similar::TextDiff;

use crate::protocol::acp::{Block, ToolContent};
use crate::session::tool::ToolCall;
use crate::session::transcript::Body;

/// Texts above this many bytes together are not compared.
const BYTES: usize = 256 * 1024;
/// Lines around what changed, as the picture shows them.
const AROUND: usize = 2;

/// The whole cell, without a line end at its end.
pub fn of(body: &Body) -> String {
    match body {
        Body::User {
            text, attachments, ..
        } => std::iter::once(text.trim_end())
            .chain(attachments.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("\n"),
        Body::Agent { text, .. } | Body::Thought { text, .. } => text.trim_end().to_owned(),
        Body::Tool(tool) => of_tool(tool),
        Body::Attachment(text) => text.clone(),
        Body::Notice(notice) => match &notice.detail {
            Some(detail) => format!("{}\n{}", notice.text, detail.trim_end()),
            None => notice.text.clone(),
        },
        Body::TurnEnd { error, .. } => error.clone().unwrap_or_default(),
    }
}

/// Its head, then what it says, in the order of the picture.
fn of_tool(tool: &ToolCall) -> String {
    let mut parts = vec![format!("{} {}", tool.kind.as_str(), tool.title)];
    let several = tool.content.len() > 1;
    for content in &tool.content {
        match content {
            ToolContent::Diff { path, old, new } => {
                if several {
                    parts.push(path.clone());
                }
                parts.push(diff(old.as_deref(), new));
            }
            ToolContent::Block(block) => parts.push(of_block(block)),
            ToolContent::Terminal(id) => parts.push(format!("terminal {id}")),
            ToolContent::Unknown(_) => (),
        }
    }
    if parts.len() == 1 {
        let told = tool.raw_output.as_ref().or(tool.response.as_ref());
        parts.extend(told.or(tool.raw_input.as_ref()).map(of_value));
    }
    let mut text = parts.join("\n");
    text.truncate(text.trim_end().len());
    text
}

fn of_block(block: &Block) -> String {
    match block {
        Block::Text(text) => text.trim_end().to_owned(),
        Block::Link { uri, name } => format!("{name} ({uri})"),
        Block::Resource {
            text: Some(text), ..
        } => text.trim_end().to_owned(),
        Block::Image { .. }
        | Block::Audio { .. }
        | Block::Resource { text: None, .. }
        | Block::Unknown(_) => block.label(),
    }
}

fn of_value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.trim_end().to_owned(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

/// A unified diff without the names of the files; of texts that are too large, the new one.
fn diff(old: Option<&str>, new: &str) -> String {
    let old = old.unwrap_or("");
    if old.len() + new.len() > BYTES {
        return new.trim_end().to_owned();
    }
    let compared = TextDiff::from_lines(old, new);
    let mut text = compared
        .unified_diff()
        .context_radius(AROUND)
        .missing_newline_hint(false)
        .to_string();
    text.truncate(text.trim_end().len());
    text
}

/// The diffs of a call, each under the name of its file, as `git apply` takes them.
pub fn patch(tool: &ToolCall) -> Option<String> {
    let parts: Vec<String> = tool
        .content
        .iter()
        .filter_map(|content| match content {
            ToolContent::Diff { path, old, new } => {
                let (before, after) = (format!("a/{path}"), format!("b/{path}"));
                let before = match old {
                    Some(_) => before.as_str(),
                    None => "/dev/null",
                };
                let old = old.as_deref().unwrap_or("");
                let compared = TextDiff::from_lines(old, new.as_str());
                let text = compared.unified_diff().header(before, &after).to_string();
                Some(text)
            }
            ToolContent::Block(_) | ToolContent::Terminal(_) | ToolContent::Unknown(_) => None,
        })
        .collect();
    (!parts.is_empty()).then(|| parts.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::acp::ToolKind;
    use crate::session::transcript::{Level, Notice};

    fn call(content: Vec<ToolContent>) -> ToolCall {
        ToolCall {
            title: "src/a.rs".into(),
            kind: ToolKind::Edit,
            content,
            ..ToolCall::default()
        }
    }

    #[test]
    fn a_cell_is_the_text_it_was_made_from() {
        let table = [
            (
                Body::User {
                    text: "look\tat **this**\n".into(),
                    from: None,
                    command: None,
                    attachments: vec!["a.png".into()],
                },
                "look\tat **this**\na.png",
            ),
            (
                Body::Notice(Notice {
                    level: Level::Error,
                    text: "no".into(),
                    detail: Some("because\n".into()),
                    count: 1,
                }),
                "no\nbecause",
            ),
            (
                Body::Tool(Box::new(call(vec![ToolContent::Diff {
                    path: "src/a.rs".into(),
                    old: Some("a\n\tb\n".into()),
                    new: "a\n\tc\n".into(),
                }]))),
                "edit src/a.rs\n@@ -1,2 +1,2 @@\n a\n-\tb\n+\tc",
            ),
            (
                Body::Tool(Box::new(ToolCall {
                    raw_input: Some(json!({"path": "x"})),
                    ..call(Vec::new())
                })),
                "edit src/a.rs\n{\n  \"path\": \"x\"\n}",
            ),
        ];
        for (body, text) in table {
            assert_eq!(of(&body), text);
        }
    }

    #[test]
    fn a_copied_diff_names_its_files() {
        let tool = call(vec![
            ToolContent::Diff {
                path: "a".into(),
                old: Some("1\n".into()),
                new: "2\n".into(),
            },
            ToolContent::Diff {
                path: "b".into(),
                old: None,
                new: "x\n".into(),
            },
        ]);
        assert_eq!(
            patch(&tool).as_deref(),
            Some(
                "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\n--- /dev/null\n+++ b/b\n@@ -0,0 +1 @@\n+x\n"
            )
        );
        assert_eq!(patch(&call(Vec::new())), None);
    }
}
