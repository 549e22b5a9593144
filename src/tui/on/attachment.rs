//! Files that go with the next message: asked for by their path, shown over the draft, sent with it.
//!
//! Pure.

use crate::attach::attachment::{self, Attachment, MOST};
use crate::protocol::command::Command;
use crate::tui::effect::Effect;
use crate::tui::on::draft;
use crate::tui::state::{Scene, State};
use crate::tui::update::toast;

/// The path behind `/attach`, if the draft is that.
pub(crate) fn path(text: &str) -> Option<&str> {
    let path = text.strip_prefix("/attach ")?.trim();
    (!path.is_empty()).then_some(path)
}

/// Enter behind `/attach PATH`.
pub(crate) fn submit(state: &mut State, path: &str) -> Vec<Effect> {
    let why = match &state.scene {
        Scene::Run(attached) if attached.read_only => {
            "this view is read-only: attach without --read-only to write"
        }
        Scene::Run(_) | Scene::Composer(_) if state.writing.attachments.len() >= MOST => {
            "ten files go with one message, and no more"
        }
        Scene::Run(_) | Scene::Composer(_) => {
            let attached = state.attached();
            let order = Effect::ReadFile {
                path: path.to_owned(),
                of: attached.and_then(|attached| attached.mirror.directory.clone()),
                at: attached.map(|attached| attached.at.clone()),
            };
            draft::taken(state);
            return vec![draft::forget(state), order];
        }
        Scene::Opening(_) | Scene::Picker(_) => "files go with a message to a run: open one first",
    };
    toast(state, why);
    Vec::new()
}

/// It has been read; an agent that cannot take it is not sent it. What that of a new run takes is not known before it
/// runs: its end tells what it could not be given.
pub(crate) fn read(state: &mut State, read: Result<Attachment, String>) -> Vec<Effect> {
    let takes = match &state.scene {
        Scene::Run(attached) => Some(attached.session.takes),
        Scene::Composer(_) => None,
        Scene::Opening(_) | Scene::Picker(_) => return Vec::new(),
    };
    match (read, takes) {
        (Err(why), _) => toast(state, why),
        (Ok(one), Some(takes)) if !one.is_taken(takes) => {
            let (kind, name) = (one.kind.words(), &one.name);
            toast(
                state,
                format!("this agent takes no {kind} with a message: {name} is not attached"),
            );
        }
        (Ok(one), _) => {
            let had = state.writing.attachments.len();
            state.writing.attachments.push(one);
            return keep(state, had);
        }
    }
    Vec::new()
}

/// They were attached before the last screen of this run, or of a new one, ended. The agent took such files then.
pub(crate) fn found(state: &mut State, found: Vec<Result<Attachment, String>>) -> Vec<Effect> {
    let had = found.len();
    for one in found {
        let files = match &state.scene {
            // No tab is for a new run yet.
            Scene::Picker(_) => &mut state.tabs.attached,
            Scene::Run(_) | Scene::Composer(_) | Scene::Opening(_) => {
                &mut state.writing.attachments
            }
        };
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
    let of = match &state.scene {
        Scene::Run(attached) => Some(attached.at.run.clone()),
        Scene::Composer(_) => None,
        Scene::Opening(_) | Scene::Picker(_) => return Vec::new(),
    };
    if files.len() == had {
        return Vec::new();
    }
    vec![Effect::SaveAttached {
        of,
        paths: files.iter().map(|file| file.path.clone()).collect(),
    }]
}

/// The words with what is attached to them.
pub(crate) fn message(state: &mut State, text: &str) -> Command {
    attachment::message(text, std::mem::take(&mut state.writing.attachments))
}
