//! Who wrote what here and when, from what is written down before every write.
//!
//! Only looks: the mirror itself need not be asked, and may live or not.

use std::path::Path;

use jiff::Timestamp;

use crate::mirror::base::{Base, Error, Written};
use crate::mirror::preview::{Author, Scope};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

/// One write to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub path: RelPath,
    pub by: Author,
    /// The turn of the run, counted from 1, and the tool call, as far as they were told.
    pub turn: Option<u64>,
    pub tool_call: Option<String>,
    pub at: Timestamp,
    /// What stood there before and after; `None`: nothing did.
    pub before: Option<ContentHash>,
    pub after: Option<ContentHash>,
    /// It is the undo of this much.
    pub undid: Option<Scope>,
}

/// Every write of this run below this root, oldest first; to one path where one is named. `None` when the run was
/// never mirrored there.
///
/// # Errors
/// When the mirror's state cannot be read.
pub async fn read(
    run_folder: &Path,
    root: &Path,
    of: Option<&RelPath>,
) -> Result<Option<Vec<Write>>, Error> {
    let Some(notes) = Base::peek_notes(run_folder, root, of).await? else {
        return Ok(None);
    };
    let mut writes: Vec<Write> = notes
        .into_iter()
        .flat_map(|(path, notes)| {
            notes
                .iter()
                .flat_map(|note| told(&path, note))
                .collect::<Vec<_>>()
        })
        .collect();
    writes.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
    Ok(Some(writes))
}

fn told(path: &RelPath, note: &Written) -> impl Iterator<Item = Write> {
    note.deeds().into_iter().map(|deed| Write {
        path: path.clone(),
        by: deed.by,
        turn: deed.turn,
        tool_call: deed.tool_call.map(str::to_owned),
        at: note.at,
        before: deed.before.map(|state| state.hash),
        after: deed.after.map(|state| state.hash),
        undid: note.origin.undid.clone(),
    })
}
