//! What the agent says and thinks: pieces joined to texts, and whole messages that confirm them.
//!
//! Pure. A piece costs its own length, whatever stands there already.

use crate::protocol::acp::Block;
use crate::session::index::{Open, Voice};
use crate::session::reduce::At;
use crate::session::state::Session;
use crate::session::transcript::{Body, Cell, Level};

impl Session {
    pub(super) fn chunk(&mut self, at: At, voice: Voice, block: &Block, message: Option<&str>) {
        let Block::Text(text) = block else {
            self.push(at, Body::Attachment(block.stand_in()));
            return;
        };
        if text.is_empty() {
            return;
        }
        if let Some(place) = self.going_on(voice, message) {
            return self.append(place, text);
        }
        match status_line(text) {
            Some((level, line)) if voice == Voice::Agent => self.notice(at, level, &line, None),
            Some(_) | None => self.open_text(at, voice, text, message),
        }
    }

    /// The text this piece belongs to: the open one, unless the message's name says another.
    pub(super) fn going_on(&self, voice: Voice, message: Option<&str>) -> Option<usize> {
        let open = self.index.open.as_ref().filter(|open| open.voice == voice);
        if let Some(open) = open
            && (message.is_none() || open.message.as_deref() == message)
        {
            return Some(open.cell);
        }
        let named = (voice, message?.to_owned());
        self.index.messages.get(&named).copied()
    }

    pub(super) fn append(&mut self, place: usize, piece: &str) {
        self.transcript.cells.change(place, |body| match body {
            Body::Agent { text, .. } | Body::Thought { text, .. } | Body::User { text, .. } => {
                text.push_str(piece);
            }
            Body::Tool(_) | Body::Attachment(_) | Body::Notice(_) | Body::TurnEnd { .. } => (),
        });
    }

    fn open_text(&mut self, at: At, voice: Voice, text: &str, message: Option<&str>) {
        let text = text.to_owned();
        let body = match voice {
            Voice::Agent => Body::Agent { text, open: true },
            Voice::Thought => Body::Thought {
                text,
                open: true,
                ended: None,
            },
            Voice::User => Body::User {
                text,
                from: None,
                command: None,
                attachments: Vec::new(),
            },
        };
        let place = self.push(at, body);
        if voice == Voice::Agent {
            self.index.unconfirmed.push(place);
        }
        self.open_at(place, voice, message);
    }

    pub(super) fn open_at(&mut self, place: usize, voice: Voice, message: Option<&str>) {
        if let Some(id) = message {
            self.index.messages.insert((voice, id.to_owned()), place);
        }
        self.index.open = Some(Open {
            cell: place,
            voice,
            message: message.map(str::to_owned),
        });
    }

    /// The next piece opens a new text.
    pub(super) fn close_open(&mut self, at: At) {
        let Some(open) = self.index.open.take() else {
            return;
        };
        self.transcript.cells.change(open.cell, |body| match body {
            Body::Agent { open, .. } => *open = false,
            Body::Thought { open, ended, .. } => {
                *open = false;
                *ended = at.time;
            }
            Body::User { .. }
            | Body::Tool(_)
            | Body::Attachment(_)
            | Body::Notice(_)
            | Body::TurnEnd { .. } => (),
        });
    }

    /// A whole message. It is drawn already when it was built from pieces; with `replaces` it takes the place of
    /// pieces that differ from it, as long as nothing has been done since they were said.
    pub(super) fn whole_message(&mut self, at: At, message: &str, replaces: bool) {
        if message.is_empty() {
            return;
        }
        self.agent_is_at_work(at);
        if let Some(cells) = self.built_from(message) {
            return self.confirm(at, &cells);
        }
        let segment = self.index.segment;
        let unconfirmed = self.index.unconfirmed.iter().copied();
        let pieces: Vec<usize> = unconfirmed.filter(|place| *place >= segment).collect();
        if let Some((last, before)) = pieces.split_last()
            && replaces
        {
            before.iter().for_each(|place| self.set_text(*place, ""));
            self.set_text(*last, message);
            return self.confirm(at, &pieces);
        }
        let text = message.to_owned();
        self.push(at, Body::Agent { text, open: false });
    }

    /// The unconfirmed texts that make up this message: one of them, or the last few in a row.
    fn built_from(&self, message: &str) -> Option<Vec<usize>> {
        let cells = &self.index.unconfirmed;
        let is_all = |place: &&usize| {
            let cell = self.transcript.cells.get(**place);
            cell.is_some_and(|cell| text_of(&cell) == message)
        };
        if let Some(place) = cells.iter().rev().find(is_all) {
            return Some(vec![*place]);
        }
        let mut rest = message;
        for (i, place) in cells.iter().enumerate().rev() {
            let cell = self.transcript.cells.get(*place)?;
            rest = rest.strip_suffix(text_of(&cell))?;
            if rest.is_empty() {
                return Some(cells[i..].to_vec());
            }
        }
        None
    }

    fn set_text(&mut self, place: usize, message: &str) {
        self.transcript.cells.edit(place, |cell| {
            if let Body::Agent { text, .. } = &mut cell.body {
                message.clone_into(text);
                cell.rewrites = cell.rewrites.wrapping_add(1);
            }
        });
    }

    /// Nothing can be added to these any more.
    fn confirm(&mut self, at: At, cells: &[usize]) {
        self.index
            .unconfirmed
            .retain(|place| !cells.contains(place));
        self.index
            .messages
            .retain(|_, place| !cells.contains(place));
        let open = self.index.open.as_ref();
        if open.is_some_and(|open| cells.contains(&open.cell)) {
            self.close_open(at);
        }
    }
}

fn text_of(cell: &Cell) -> &str {
    match &cell.body {
        Body::Agent { text, .. } => text,
        Body::User { .. }
        | Body::Thought { .. }
        | Body::Tool(_)
        | Body::Attachment(_)
        | Body::Notice(_)
        | Body::TurnEnd { .. } => "",
    }
}

/// The oldest agent reports its own state as text of the model (contract 5.2).
fn status_line(text: &str) -> Option<(Level, String)> {
    let (level, word) = match text {
        _ if text.starts_with("[connected] ") => (Level::Info, "connected"),
        _ if text.starts_with("[error] ") => (Level::Error, "error"),
        _ => return None,
    };
    let (_, rest) = text.split_once("] ")?;
    Some((level, format!("{word}: {rest}")))
}
