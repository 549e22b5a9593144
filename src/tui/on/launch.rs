//! From the first prompt to a run on the screen.
//!
//! Pure.

use crate::attach;
use crate::attach::state::Attached;
use crate::tui::effect::Effect;
use crate::tui::event::Progress;
use crate::tui::on::{attachment, draft, link, question, tabs};
use crate::tui::state::{Confirm, Launching, Scene, State};
use crate::tui::update::{reset, tell_notes};

pub(crate) fn step(state: &mut State, progress: Progress) -> Vec<Effect> {
    let Scene::Composer(Launching::Running { prompt, since, .. }) = &state.scene else {
        // A late word of a start that was given up.
        return Vec::new();
    };
    let (prompt, since) = (prompt.clone(), *since);
    let had = state.writing.attachments.len();
    match progress {
        Progress::Step(step) => {
            state.scene = Scene::Composer(Launching::Running {
                prompt,
                step,
                since,
            });
            Vec::new()
        }
        Progress::TooLarge {
            files,
            bytes,
            limit,
        } => {
            state.scene = Scene::Composer(Launching::No);
            draft::ask(
                state,
                Confirm::Size {
                    prompt,
                    files,
                    bytes,
                    limit,
                },
            );
            Vec::new()
        }
        Progress::Failed(why) => {
            state.scene = Scene::Composer(Launching::Failed(why));
            draft::give_back(state, prompt);
            draft::save(state)
        }
        Progress::Done(attached) => {
            let mut gone = vec![draft::forget(state)];
            let message = attachment::message(state, &prompt);
            gone.extend(attachment::keep(state, had));
            open(state, attached);
            let mut effects = link::step(state, attach::event::Event::Say(message));
            // The outbox keeps the prompt before the draft goes: at no moment do the words stand nowhere.
            effects.extend(gone);
            effects
        }
    }
}

pub(crate) fn open(state: &mut State, attached: Box<Attached>) -> Vec<Effect> {
    if matches!(state.scene, Scene::Run(_) | Scene::Picker(_)) {
        // Nobody waits for it any more.
        return Vec::new();
    }
    reset(state);
    state.scene = Scene::Run(attached);
    tell_notes(state);
    tabs::tell_holder(state);
    question::look(state)
}
