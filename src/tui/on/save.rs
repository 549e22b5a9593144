//! Images and other pieces that are no text, into a file.
//!
//! Pure. Their bytes are not in memory: whoever does it reads them from the journal again.

use crate::tui::effect::Effect;
use crate::tui::piece;
use crate::tui::state::State;
use crate::tui::update::toast;

/// Cells that are looked through for the newest one.
const RECENT: usize = 500;

/// Those of the selected cell, or else of the newest one that has any.
pub(crate) fn save(state: &mut State) -> Vec<Effect> {
    let Some(attached) = state.attached() else {
        return Vec::new();
    };
    let run = attached.at.run.clone();
    let cells = &attached.session.transcript.cells;
    let selected = state.selected.and_then(|item| item.checked_sub(1));
    let wanted = match selected {
        Some(index) => cells.get(index).and_then(|cell| piece::of(&cell)),
        None => (0..cells.len())
            .rev()
            .take(RECENT)
            .filter_map(|index| cells.get(index))
            .find_map(|cell| piece::of(&cell)),
    };
    match wanted {
        Some(wanted) => vec![Effect::SavePieces { of: run, wanted }],
        None => {
            toast(state, "there is no image and no file to save here");
            Vec::new()
        }
    }
}
