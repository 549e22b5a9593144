//! The mirror's part of an attached run: what the journal says of files goes to it, edits made here go out, and no prompt
//! goes before them.
//!
//! Pure, like `update`, which calls it.

use std::time::Duration;

use crate::attach::effect::Effect;
use crate::attach::state::{Attached, Outgoing, Posting};
use crate::attach::update::{note, pump, timer};
use crate::mirror::worker::{Order, Report};
use crate::protocol::command::{Command, What};
use crate::protocol::entry::Ext;
use crate::protocol::ids::{CommandId, Seq};

/// So long a prompt waits for the edits before it to be read and sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prompts that wait until the mirror has told what differs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hold {
    /// The flush that ends it.
    flush: u64,
    /// The timer that ends it too.
    timer: u64,
}

/// What a line of the journal means for the mirror.
pub(super) fn order(seq: Seq, ext: Ext) -> Option<Order> {
    match ext {
        Ext::FileSync(change) => Some(Order::Remote { seq, change }),
        Ext::FileApplied(applied) => Some(Order::Applied { seq, applied }),
        Ext::FileStale(stale) => Some(Order::Refused { seq, stale }),
        Ext::FileFailed {
            path,
            reason,
            command: Some(command),
        } => Some(Order::Never {
            seq,
            path,
            reason,
            command,
        }),
        _ => None,
    }
}

pub(super) fn reported(attached: &mut Attached, report: Report) -> Vec<Effect> {
    match report {
        // One-line printers show it as it passes; the screen reads the status and the session's files.
        Report::File(_) => Vec::new(),
        Report::Status(status) => {
            attached.mirror = status;
            Vec::new()
        }
        Report::Note(text) => {
            note(attached, text);
            Vec::new()
        }
        Report::Edits(command) => edited(attached, command),
        Report::Flushed(flush) => flushed(attached, flush),
    }
}

pub(super) fn ordered(attached: &mut Attached, order: Order) -> Vec<Effect> {
    if attached.mirrored {
        return vec![Effect::Mirror(order)];
    }
    let why = attached
        .mirror
        .reason
        .clone()
        .unwrap_or_else(|| "no directory is mirrored here".to_owned());
    note(attached, why);
    Vec::new()
}

/// Edits go out before every message that has not gone yet. They are not kept on disk: the mirror tells them again.
fn edited(attached: &mut Attached, command: Command) -> Vec<Effect> {
    if attached.outbox.iter().any(|o| o.command.id == command.id) {
        return Vec::new();
    }
    attached.outbox.push(Outgoing {
        command,
        state: Posting::Waiting,
    });
    pump(attached)
}

/// A prompt that was just said waits for what differs now.
pub(super) fn hold(attached: &mut Attached) -> Vec<Effect> {
    if !attached.mirrored {
        return Vec::new();
    }
    attached.machine.flushes += 1;
    let flush = attached.machine.flushes;
    let (id, start) = timer(attached, PATIENCE);
    attached.machine.hold = Some(Hold { flush, timer: id });
    vec![Effect::Mirror(Order::Flush(flush)), start]
}

fn flushed(attached: &mut Attached, flush: u64) -> Vec<Effect> {
    let ours = |hold: &Hold| hold.flush == flush;
    if !attached.machine.hold.as_ref().is_some_and(ours) {
        return Vec::new();
    }
    attached.machine.hold = None;
    pump(attached)
}

/// Whether this timer was a hold's; then the prompt waits no longer.
pub(super) fn waited(attached: &mut Attached, id: u64) -> Option<Vec<Effect>> {
    let ours = |hold: &Hold| hold.timer == id;
    if !attached.machine.hold.as_ref().is_some_and(ours) {
        return None;
    }
    attached.machine.hold = None;
    note(
        attached,
        format!(
            "what was edited here could not all be sent within {} s: the message goes before it",
            PATIENCE.as_secs()
        ),
    );
    Some(pump(attached))
}

/// Which command goes next: edits first, then in order; a message that is held holds what stands behind it.
pub(super) fn next(attached: &Attached) -> Option<usize> {
    let waits = |o: &Outgoing| o.state == Posting::Waiting;
    let edits = |o: &Outgoing| matches!(o.command.what, What::FileChanged(_));
    let is_message = |o: &Outgoing| matches!(o.command.what, What::UserMessage(_));
    let first = attached.outbox.iter().position(|o| waits(o) && edits(o));
    first.or_else(|| {
        let next = attached.outbox.iter().position(waits)?;
        let held = attached.machine.hold.is_some() && is_message(&attached.outbox[next]);
        (!held).then_some(next)
    })
}

/// The endpoint has taken it.
pub(super) fn accepted(what: &What, id: &CommandId) -> Option<Effect> {
    matches!(what, What::FileChanged(_)).then(|| Effect::Mirror(Order::Posted(id.clone())))
}

/// The endpoint never will.
pub(super) fn given_up(command: &Command, why: String) -> Option<Effect> {
    let command = match (&command.what, &command.id) {
        (What::FileChanged(_), Some(id)) => id.clone(),
        _ => return None,
    };
    Some(Effect::Mirror(Order::NotPosted { command, why }))
}
