//! The draft in the user's own editor.
//!
//! Pure. The run goes on meanwhile; what the editor leaves comes back as an event.

use crate::tui::effect::Effect;
use crate::tui::on::draft;
use crate::tui::state::{Focus, Launching, Scene, State};
use crate::tui::update::toast;

pub(crate) fn open(state: &mut State) -> Vec<Effect> {
    let writes = match &state.scene {
        Scene::Run(_) => true,
        Scene::Composer(launching) => !matches!(launching, Launching::Running { .. }),
        Scene::Picker(_) | Scene::Opening(_) => false,
    };
    if !writes {
        return Vec::new();
    }
    state.focus = Focus::Edit;
    let text = state.composer.text().to_owned();
    let mut effects = draft::save(state);
    state.writing.edited = Some(text.clone());
    effects.push(Effect::Edit {
        editor: state.writing.editor.clone(),
        text,
    });
    effects
}

/// What the editor left; or why the draft is as it was.
pub(crate) fn back(state: &mut State, edited: Result<String, String>) -> Vec<Effect> {
    let was = state.writing.edited.take().unwrap_or_default();
    match edited {
        Err(why) => toast(state, why),
        Ok(text) if text == was => (),
        Ok(text) if state.composer.text() == was => {
            state.composer.set(text);
            draft::changed(state);
        }
        // Another draft stands there by now: neither is lost.
        Ok(text) => draft::give_back(state, text),
    }
    Vec::new()
}
