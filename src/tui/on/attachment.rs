//! Files that go with the next message: asked for by their path, shown over the draft, sent with it.
//!
//! Pure.

use serde_json::json;

use crate::protocol::command::{Command, Prompt, What};
use crate::tui::attachment::Attachment;
use crate::tui::effect::Effect;
use crate::tui::on::draft;
use crate::tui::state::{Scene, State};
use crate::tui::update::toast;

/// With one message.
const MOST: usize = 10;

/// The path behind `/attach`, if the draft is that.
pub(crate) fn path(text: &str) -> Option<&str> {
    let path = text.strip_prefix("/attach ")?.trim();
    (!path.is_empty()).then_some(path)
}

/// Enter behind `/attach PATH`.
pub(crate) fn submit(state: &mut State, path: &str) -> Vec<Effect> {
    let path = path.to_owned();
    let why = match &state.scene {
        Scene::Run(attached) if attached.read_only => {
            "this view is read-only: attach without --read-only to write"
        }
        Scene::Run(_) if state.writing.attachments.len() >= MOST => {
            "ten files go with one message, and no more"
        }
        Scene::Run(attached) => {
            let of = attached.mirror.directory.clone();
            let at = attached.at.clone();
            draft::taken(state);
            return vec![draft::forget(state), Effect::ReadFile { path, of, at }];
        }
        Scene::Composer(_) | Scene::Opening(_) | Scene::Picker(_) => {
            "files go with a message to a run: start it first"
        }
    };
    toast(state, why);
    Vec::new()
}

/// It has been read; an agent that cannot take it is not sent it.
pub(crate) fn read(state: &mut State, read: Result<Attachment, String>) -> Vec<Effect> {
    let takes = state.session().map(|session| session.takes);
    match (read, takes) {
        (Err(why), _) => toast(state, why),
        (Ok(_), None) => (),
        (Ok(one), Some(takes)) if one.is_taken(takes) => {
            let had = state.writing.attachments.len();
            state.writing.attachments.push(one);
            return keep(state, had);
        }
        (Ok(one), Some(_)) => {
            let (kind, name) = (one.kind.words(), &one.name);
            toast(
                state,
                format!("this agent takes no {kind} with a message: {name} is not attached"),
            );
        }
    }
    Vec::new()
}

/// They were attached before the last screen of this run ended. The agent took such files then.
pub(crate) fn found(state: &mut State, found: Vec<Result<Attachment, String>>) -> Vec<Effect> {
    let had = found.len();
    for one in found {
        let files = &mut state.writing.attachments;
        match one {
            Ok(one) if files.len() >= MOST || files.iter().any(|known| known.path == one.path) => {}
            Ok(one) => files.push(one),
            Err(why) => toast(state, format!("not attached any more: {why}")),
        }
    }
    keep(state, had)
}

/// Backspace would take the last one away.
pub(crate) fn is_next(state: &State) -> bool {
    state.composer.is_empty() && !state.writing.attachments.is_empty()
}

/// Backspace on an empty draft takes the last one away again.
pub(crate) fn drop_last(state: &mut State) -> Vec<Effect> {
    let had = state.writing.attachments.len();
    state.writing.attachments.pop();
    keep(state, had)
}

/// Which files wait to go with the next message, to disk; there were so many of them before.
pub(crate) fn keep(state: &State, had: usize) -> Vec<Effect> {
    let files = &state.writing.attachments;
    match state.attached() {
        Some(attached) if files.len() != had => vec![Effect::SaveAttached {
            of: attached.at.run.clone(),
            paths: files.iter().map(|file| file.path.clone()).collect(),
        }],
        Some(_) | None => Vec::new(),
    }
}

/// The words with what is attached to them.
pub(crate) fn message(state: &mut State, text: &str) -> Command {
    let files = std::mem::take(&mut state.writing.attachments);
    if files.is_empty() {
        return Command::user_message(text);
    }
    let words = json!({"type": "text", "text": text});
    let blocks = std::iter::once(words).chain(files.into_iter().map(|file| file.block));
    Command::new(What::UserMessage(Prompt {
        text: text.to_owned(),
        blocks: Some(blocks.collect()),
    }))
}
