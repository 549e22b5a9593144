//! The mirror's part of an attached run: what the journal says of files goes to it, edits made here go out, and no prompt
//! goes before them.
//!
//! Pure, like `update`, which calls it.

use std::time::Duration;

use crate::attach::effect::Effect;
use crate::attach::state::{Attached, Outgoing, Posting};
use crate::attach::update::{note, pump, timer};
use crate::mirror::worker::{Order, Report};
use crate::plant::planted;
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
        Report::Preview(preview) => {
            attached.looks.preview = Some(*preview);
            Vec::new()
        }
        Report::Shown(shown) => {
            attached.looks.shown = Some(shown);
            Vec::new()
        }
        Report::Versions(versions) => {
            attached.looks.versions = Some(versions);
            Vec::new()
        }
        Report::Weighed(weighed) => {
            for (path, weight) in weighed {
                if let Some(known) = attached.looks.weights.get_mut(path.as_str()) {
                    known.found = weight;
                }
            }
            attached.looks.weighing = false;
            Vec::new()
        }
        Report::SeedWanted => vec![Effect::LoadSeed],
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
    if !attached.mirrored || planted!(EditsBehindPrompt) {
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::attach::event::Event;
    use crate::attach::update::update;
    use crate::client::error::Error;
    use crate::protocol::command::LocalChange;
    use crate::protocol::file::Mode;
    use crate::protocol::ids::{ProjectId, RunRef};

    fn run(mirrored: bool) -> Attached {
        let at = RunRef {
            project: ProjectId(1),
            task: "task".parse().unwrap(),
            run: "run".parse().unwrap(),
        };
        let mut attached = Attached::new(at, "local", false);
        attached.mirrored = mirrored;
        attached
    }

    fn edits(name: &str) -> Command {
        Command::new(What::FileChanged(vec![LocalChange {
            path: name.parse().unwrap(),
            hash: None,
            size: 0,
            mode: Mode::File,
            base: None,
            base_mode: None,
        }]))
    }

    fn posts(effects: &[Effect]) -> Vec<Command> {
        let post = |effect: &Effect| match effect {
            Effect::Post(command) => Some(command.clone()),
            _ => None,
        };
        effects.iter().filter_map(post).collect()
    }

    fn orders(effects: &[Effect]) -> Vec<Order> {
        let order = |effect: &Effect| match effect {
            Effect::Mirror(order) => Some(order.clone()),
            _ => None,
        };
        effects.iter().filter_map(order).collect()
    }

    fn timer_of(effects: &[Effect]) -> u64 {
        let timer = |effect: &Effect| match effect {
            Effect::StartTimer { id, .. } => Some(*id),
            _ => None,
        };
        effects.iter().find_map(timer).expect("a timer was started")
    }

    fn told(attached: &mut Attached, report: Report) -> Vec<Effect> {
        update(attached, Event::Mirror(report))
    }

    #[test]
    fn a_prompt_waits_for_the_edits_before_it_and_goes_behind_them() {
        let mut attached = run(true);
        let prompt = Command::user_message("go");
        let effects = update(&mut attached, Event::Say(prompt.clone()));
        assert_eq!(
            (posts(&effects), orders(&effects)),
            (vec![], vec![Order::Flush(1)])
        );
        let edit = edits("a");
        let effects = told(&mut attached, Report::Edits(edit.clone()));
        assert_eq!(posts(&effects), std::slice::from_ref(&edit));
        assert_eq!(posts(&told(&mut attached, Report::Flushed(1))), []);
        let id = edit.id.clone().unwrap();
        let effects = update(&mut attached, Event::Posted(id.clone()));
        assert_eq!(posts(&effects), [prompt]);
        assert_eq!(orders(&effects), [Order::Posted(id)]);
    }

    #[test]
    fn without_a_mirror_or_an_edit_nothing_holds_a_prompt_back() {
        let prompt = Command::user_message("go");
        let effects = update(&mut run(false), Event::Say(prompt.clone()));
        assert_eq!(posts(&effects), std::slice::from_ref(&prompt));
        let mut attached = run(true);
        update(&mut attached, Event::Say(prompt.clone()));
        assert_eq!(posts(&told(&mut attached, Report::Flushed(1))), [prompt]);
    }

    #[test]
    fn an_older_flush_frees_nobody_and_two_seconds_free_everybody_with_a_word() {
        let mut attached = run(true);
        let (one, two) = (Command::user_message("1"), Command::user_message("2"));
        let first = timer_of(&update(&mut attached, Event::Say(one.clone())));
        let second = timer_of(&update(&mut attached, Event::Say(two)));
        assert_eq!(posts(&told(&mut attached, Report::Flushed(1))), []);
        let fire = |id| Event::TimerFired {
            id,
            now: Instant::now(),
        };
        assert_eq!(update(&mut attached, fire(first)), []);
        assert!(attached.notes.is_empty());
        assert_eq!(posts(&update(&mut attached, fire(second))), [one]);
        assert!(
            attached.notes[0].contains("could not all be sent"),
            "{:?}",
            attached.notes
        );
        // What comes late goes all the same, before the second.
        let edit = edits("late");
        told(&mut attached, Report::Edits(edit.clone()));
        let first = attached.outbox[0].command.id.clone().unwrap();
        assert_eq!(posts(&update(&mut attached, Event::Posted(first))), [edit]);
    }

    #[test]
    fn a_stop_said_behind_a_held_prompt_does_not_overtake_it() {
        let mut attached = run(true);
        update(&mut attached, Event::Say(Command::user_message("go")));
        assert_eq!(
            posts(&update(
                &mut attached,
                Event::Say(Command::new(What::Cancel))
            )),
            []
        );
        // What was said before it is not held.
        let mut attached = run(true);
        let stop = Command::new(What::Cancel);
        assert_eq!(
            posts(&update(&mut attached, Event::Say(stop.clone()))),
            [stop]
        );
    }

    #[test]
    fn an_edit_that_fails_is_tried_again_under_its_id_and_given_back_when_it_never_can() {
        let mut attached = run(true);
        let edit = edits("a");
        let id = edit.id.clone().unwrap();
        told(&mut attached, Report::Edits(edit.clone()));
        let failed = |error| Event::PostFailed {
            id: id.clone(),
            error,
            now: Instant::now(),
        };
        let cut = Error::Unreachable {
            text: "cut".to_owned(),
        };
        let timer = timer_of(&update(&mut attached, failed(cut)));
        // The mirror tells it again, after a restart of its own: it is the same one.
        assert_eq!(told(&mut attached, Report::Edits(edit.clone())), []);
        let fire = Event::TimerFired {
            id: timer,
            now: Instant::now(),
        };
        assert_eq!(posts(&update(&mut attached, fire)), [edit]);
        let over = Error::Rejected {
            status: 409,
            text: "the run is over".to_owned(),
        };
        let effects = update(&mut attached, failed(over));
        let [Order::NotPosted { command, why }] = &orders(&effects)[..] else {
            panic!("{effects:?}");
        };
        assert!(*command == id && why.contains("over"), "{why}");
        assert!(attached.outbox.is_empty());
    }

    #[test]
    fn edits_are_not_kept_on_disk_and_words_are() {
        let mut attached = run(true);
        told(&mut attached, Report::Edits(edits("a")));
        let effects = update(&mut attached, Event::Say(Command::user_message("go")));
        let kept = effects.iter().find_map(|effect| match effect {
            Effect::KeepOutbox(kept) => Some(kept.len()),
            _ => None,
        });
        assert_eq!(kept, Some(1));
    }
}
