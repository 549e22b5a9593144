//! The loop of a face without a screen: events in, effects performed, lines printed, until there is nothing to wait for.
//!
//! Decides nothing but what to print; `done` says when it is over.

use tokio::sync::mpsc;

use crate::attach::event::Event;
use crate::attach::perform::{Opened, Performer};
use crate::attach::state::{Attached, Link};
use crate::attach::update::update;
use crate::commands::failure::{Exit, Failure};
use crate::commands::printer::Printer;
use crate::mirror::worker::Report;

/// Runs until `done` names an exit; the attached run as it stood then comes back with it.
pub(crate) async fn drive(
    opened: Opened,
    printer: &mut Printer,
    first: Vec<Event>,
    done: impl FnMut(&Attached) -> Option<Exit>,
) -> Result<(Attached, Exit), Failure> {
    let Opened {
        attached,
        mut performer,
        events,
        end: _,
    } = opened;
    let driven = until(attached, &mut performer, events, printer, first, done).await;
    if let Some(farewell) = performer.farewell() {
        farewell.await;
    }
    driven
}

async fn until(
    mut attached: Attached,
    performer: &mut Performer,
    mut events: mpsc::Receiver<Event>,
    printer: &mut Printer,
    first: Vec<Event>,
    mut done: impl FnMut(&Attached) -> Option<Exit>,
) -> Result<(Attached, Exit), Failure> {
    let mut restored = false;
    let mut first = first.into_iter();
    let mut failed = Exit::Other;
    loop {
        // What the machine starts with comes before what we want of it.
        let event = match events.try_recv() {
            Ok(event) => event,
            Err(_) => match if restored { first.next() } else { None } {
                Some(event) => event,
                None => match events.recv().await {
                    Some(event) => event,
                    None => {
                        return Err(Failure::new(
                            Exit::Other,
                            "the run's road ended without a word",
                        ));
                    }
                },
            },
        };
        restored |= matches!(event, Event::Restored(_));
        print(printer, &event)?;
        if let Event::LinkFailed { error, .. } = &event {
            failed = Failure::from(error.clone()).exit;
        }
        let was = said(&attached.link);
        for effect in update(&mut attached, event) {
            performer.perform(effect);
        }
        if said(&attached.link) != was
            && let Some(text) = said(&attached.link)
        {
            printer.progress(&text)?;
        }
        if let Link::Offline { reason } = &attached.link {
            return Err(Failure::new(failed, reason.clone()));
        }
        if let Some(exit) = done(&attached) {
            return Ok((attached, exit));
        }
    }
}

/// Only what breaks is worth a line; that it works shows by itself.
fn said(link: &Link) -> Option<String> {
    match link {
        Link::Reconnecting {
            attempt, reason, ..
        } if *attempt == 2 => Some(format!("link: {reason}; trying again until it works")),
        Link::Reconnecting { .. } | Link::CatchingUp { .. } | Link::Live | Link::Offline { .. } => {
            None
        }
    }
}

fn print(printer: &mut Printer, event: &Event) -> Result<(), Failure> {
    match event {
        Event::Restored(lines) | Event::Arrived(lines) => printer.arrived(lines),
        Event::Kept(piece) => printer.arrived(&piece.lines),
        Event::Mirror(Report::File(report)) => printer.mirrored(report.clone()),
        Event::Mirror(Report::Note(text)) => printer.progress(text),
        _ => Ok(()),
    }
}
