//! The copy menu: pieces of what was said, as they were said and not as they look.
//!
//! Pure. A piece belongs to the selected cell, or else it is the newest of its kind.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use crate::protocol::acp::ToolContent;
use crate::session::cells::{Kind, Seen};
use crate::session::state::Session;
use crate::session::tool::ToolCall;
use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::keymap::Context;
use crate::tui::source;
use crate::tui::state::{Pane, Popup, Scene, State};
use crate::tui::update::toast;

/// Blocks of code that have a key of their own.
const BLOCKS: usize = 9;

/// What can be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Answer,
    Cell,
    /// A block of code of the answer, from 0.
    Block(usize),
    Diff,
    Command,
    Path,
    Run,
    All,
}

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) action: Action,
    /// What leads to it; empty when nothing does.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) piece: Piece,
    /// How it begins.
    pub(crate) begins: String,
}

/// What there is to copy here; what does not exist is not offered.
pub(crate) fn items(state: &State) -> Vec<Item> {
    let blocks = answer(state).map_or(0, |text| blocks(&text).len().min(BLOCKS));
    let mut pieces = vec![
        (Action::PieceAnswer, "the answer".to_owned(), Piece::Answer),
        (
            Action::PieceMessage,
            "this message or call".to_owned(),
            Piece::Cell,
        ),
    ];
    for (index, number) in (1..=9).enumerate().take(blocks) {
        let block = Piece::Block(index);
        pieces.push(match blocks {
            1 => (Action::PieceCode, "its block of code".to_owned(), block),
            _ => (
                Action::PieceBlock(number),
                format!("its block of code {number}"),
                block,
            ),
        });
    }
    pieces.extend([
        (Action::PieceDiff, "the diff".to_owned(), Piece::Diff),
        (
            Action::PieceCommand,
            "the command".to_owned(),
            Piece::Command,
        ),
        (Action::PiecePath, "the path".to_owned(), Piece::Path),
        (
            Action::PieceRun,
            "the way to this run".to_owned(),
            Piece::Run,
        ),
        (
            Action::PieceAll,
            "everything that was said".to_owned(),
            Piece::All,
        ),
    ]);
    let item = |(action, name, piece): (Action, String, Piece)| {
        // All of it is long; that it is there is known without making it.
        let text = match piece {
            Piece::All if state.session()?.transcript.cells.is_empty() => return None,
            Piece::All => String::new(),
            _ => text(state, piece)?,
        };
        let begins = text.lines().find(|line| !line.trim().is_empty());
        let key = state.keymap.letter(Context::Copy, action);
        Some(Item {
            action,
            key: key.unwrap_or_default(),
            name,
            piece,
            begins: begins.unwrap_or("").trim().to_owned(),
        })
    };
    pieces.into_iter().filter_map(item).collect()
}

/// The piece itself.
fn text(state: &State, piece: Piece) -> Option<String> {
    let session = state.session()?;
    match piece {
        Piece::Answer => answer(state),
        Piece::Cell => selected(state).map(|cell| source::of(&cell.body)),
        Piece::Block(index) => blocks(&answer(state)?).into_iter().nth(index),
        Piece::Diff => nearest(state, source::patch),
        Piece::Command => nearest(state, ToolCall::shell_command),
        Piece::Path => chosen_file(state, session).or_else(|| nearest(state, path)),
        Piece::Run => {
            let run = &state.attached()?.at.run;
            Some(format!("ashore attach {run}"))
        }
        Piece::All => {
            let cells = session.transcript.cells.iter();
            let texts = cells.map(|cell| source::of(&cell.body));
            let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
            Some(texts.join("\n\n"))
        }
    }
}

fn selected(state: &State) -> Option<Seen<'_>> {
    let cells = &state.session()?.transcript.cells;
    cells.get(state.selected?.checked_sub(1)?)
}

/// The last thing the agent said in the turn of the selected cell; without one, the last of all.
fn answer(state: &State) -> Option<String> {
    let cells = &state.session()?.transcript.cells;
    let chosen = state.selected.and_then(|item| item.checked_sub(1));
    let chosen = chosen.and_then(|index| Some((index, cells.label(index)?)));
    let index = match chosen {
        Some((index, label)) if label.kind == Kind::Agent => index,
        _ => cells.labels().rposition(|label| {
            let same = chosen.is_none_or(|(_, chosen)| chosen.turn == label.turn);
            same && label.kind == Kind::Agent
        })?,
    };
    cells.get(index)?.body.text().map(str::to_owned)
}

/// What the selected call has of it, or else the newest call before it that has.
fn nearest<T>(state: &State, of: impl Fn(&ToolCall) -> Option<T>) -> Option<T> {
    let below = state.selected.unwrap_or(usize::MAX);
    let cells = &state.session()?.transcript.cells;
    let mut calls = state.calls().iter().rev().filter(|index| **index < below);
    calls.find_map(|index| of(cells.get(*index)?.body.tool()?))
}

fn path(tool: &ToolCall) -> Option<String> {
    let place = tool.locations.first().map(|place| match place.line {
        Some(line) => format!("{}:{line}", place.path),
        None => place.path.clone(),
    });
    place.or_else(|| {
        tool.content.iter().find_map(|content| match content {
            ToolContent::Diff { path, .. } => Some(path.clone()),
            ToolContent::Block(_) | ToolContent::Terminal(_) | ToolContent::Unknown(_) => None,
        })
    })
}

fn chosen_file(state: &State, session: &Session) -> Option<String> {
    let files = (state.pane == Pane::Files).then_some(&session.files)?;
    let file = files.iter().rev().nth(state.row)?;
    Some(file.path.clone())
}

/// The blocks of code in a text, without their fences.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented)) => {
                blocks.push(String::new());
                inside = true;
            }
            Event::End(TagEnd::CodeBlock) => inside = false,
            Event::Text(text) if inside => {
                if let Some(block) = blocks.last_mut() {
                    block.push_str(&text);
                }
            }
            _ => (),
        }
    }
    blocks
}

pub(crate) fn open(state: &mut State) {
    if matches!(state.scene, Scene::Run(_)) {
        state.popup = Some(Popup::Copy { chosen: 0 });
    }
}

/// An action while the menu is open.
pub(crate) fn act(state: &mut State, chosen: usize, action: Action) -> Vec<Effect> {
    let items = items(state);
    let last = items.len().saturating_sub(1);
    let chosen = chosen.min(last);
    let chosen = match action {
        Action::StepUp => chosen.saturating_sub(1),
        Action::StepDown => (chosen + 1).min(last),
        Action::Yes => {
            state.popup = None;
            let item = items.get(chosen);
            return item.map_or_else(Vec::new, |item| copy(state, item));
        }
        Action::Escape | Action::Interrupt | Action::Leave | Action::Copy => {
            state.popup = None;
            return Vec::new();
        }
        action => match items.iter().find(|item| item.action == action) {
            Some(item) => {
                state.popup = None;
                return copy(state, item);
            }
            None => chosen,
        },
    };
    state.popup = Some(Popup::Copy { chosen });
    Vec::new()
}

/// `Ctrl+X y`: the last answer, without a menu.
pub(crate) fn answer_at_once(state: &mut State) -> Vec<Effect> {
    let items = items(state);
    match items.first().filter(|item| item.piece == Piece::Answer) {
        Some(item) => copy(state, item),
        None => {
            toast(state, "there is no answer yet");
            Vec::new()
        }
    }
}

/// What became of it is said by who does it.
fn copy(state: &State, item: &Item) -> Vec<Effect> {
    let text = text(state, item.piece);
    text.map(Effect::Copy).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_code_are_copied_without_their_fences() {
        let table: [(&str, &[&str]); 4] = [
            ("no code `here`", &[]),
            (
                "a\n\n```rust\nfn x() {\n\ty();\n}\n```\nb",
                &["fn x() {\n\ty();\n}\n"],
            ),
            (
                "```\none\n```\n\n- ~~~sh\n  two\n  ~~~\n",
                &["one\n", "two\n"],
            ),
            ("```\nnot over", &["not over"]),
        ];
        for (text, wanted) in table {
            assert_eq!(blocks(text), wanted, "{text:?}");
        }
    }
}
