//! What follows from what happened to an attached run: link, session, mirror and outbox in one step.
//!
//! Pure. No clock (time comes in events), no chance (it comes from a seed), no I/O: everything outside is an effect.

use std::time::{Duration, Instant};

use crate::attach::effect::Effect;
use crate::attach::event::Event;
use crate::attach::mirrored;
use crate::attach::queue::words;
use crate::attach::state::{Attached, Link, Outgoing, Posting};
use crate::client::error::Error;
use crate::client::retry::Next;
use crate::mirror::worker::Order;
use crate::plant::planted;
use crate::protocol::amend::Amend;
use crate::protocol::command::{Command, What};
use crate::protocol::entry::{Decoded, Entry, Ext, Said};
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::presence::Client;
use crate::protocol::run::Status;
use crate::session::reduce;
use crate::session::state::Session;

/// Notes kept for the screen; older ones go.
const NOTES: usize = 100;

/// One event in, what to do out.
pub fn update(attached: &mut Attached, event: Event) -> Vec<Effect> {
    match event {
        Event::OutboxRestored(outgoing) => restore_outbox(attached, outgoing),
        Event::Peeked(session) => peeked(attached, *session),
        Event::Kept(piece) => kept(attached, piece.lines),
        Event::Restored(lines) => restored(attached, lines),
        Event::HistoryOpened { last, same } => opened(attached, last, same),
        Event::Arrived(lines) => arrived(attached, lines),
        Event::WentLive => went_live(attached),
        Event::Ended(status) => ended(attached, status),
        Event::LinkFailed { error, now } => link_failed(attached, &error, now),
        Event::TimerFired { id, now } => timer_fired(attached, id, now),
        Event::RunLoaded(run) => {
            attached.run = Some(*run);
            Vec::new()
        }
        Event::Posted(id) => posted(attached, &id),
        Event::PostFailed { id, error, now } => post_failed(attached, &id, &error, now),
        Event::Mirror(report) => mirrored::reported(attached, report),
        Event::Presence(clients) => presence(attached, clients),
        Event::OutboxFailed(why) => {
            note(
                attached,
                format!("what you write here cannot be kept on disk until it is sent: {why}"),
            );
            Vec::new()
        }
        Event::Say(command) => say(attached, command),
        Event::RetryNow => retry_now(attached),
        Event::TakeBack(id) => take_back(attached, &id),
        Event::MirrorOrder(order) => mirrored::ordered(attached, order),
        Event::Tick { now: _ } => Vec::new(),
    }
}

// The journal.

fn peeked(attached: &mut Attached, end: Session) -> Vec<Effect> {
    let read = std::mem::replace(&mut attached.session, end);
    attached.machine.reading = Some(Box::new(read));
    Vec::new()
}

/// As `arrived`, of the session that is not shown yet when there is one.
fn kept(attached: &mut Attached, lines: Vec<(Seq, Decoded)>) -> Vec<Effect> {
    let shown = attached
        .machine
        .reading
        .take()
        .map(|read| std::mem::replace(&mut attached.session, *read));
    let effects = arrived(attached, lines);
    if let Some(shown) = shown {
        peeked(attached, shown);
    }
    effects
}

fn restored(attached: &mut Attached, lines: Vec<(Seq, Decoded)>) -> Vec<Effect> {
    if let Some(read) = attached.machine.reading.take() {
        attached.session = *read;
    }
    let mut effects = arrived(attached, lines);
    effects.extend([follow(attached), Effect::LoadRun]);
    effects
}

/// `same`: as far as can be said, it is the journal that was read before, or grew out of it.
fn opened(attached: &mut Attached, last: Seq, same: bool) -> Vec<Effect> {
    let read = attached.session.last;
    let another = (last < read || !same) && !planted!(ResetIgnored);
    let mut effects = Vec::new();
    if another {
        // The endpoint lost lines that were read here: what it has now is the truth, so it is read anew.
        let what = match read.0.checked_sub(last.0) {
            Some(missing @ 1..) => {
                format!("ends at line {last}, {missing} lines earlier than what was read here")
            }
            _ => format!("says something else in line {read} than what was read here"),
        };
        note(
            attached,
            format!("the endpoint's journal {what}; it is read again from the start"),
        );
        attached.session = attached.session.anew();
        effects.push(Effect::ForgetJournal);
        // Of what it accepted it may have lost some; what it has it knows by its id.
        for outgoing in &mut attached.outbox {
            if outgoing.state == Posting::Accepted {
                outgoing.state = Posting::Waiting;
            }
        }
    }
    let from = attached.session.last;
    attached.link = Link::CatchingUp {
        have: from,
        of: Some(last),
    };
    // The mirror may have read further than what is shown here, in an earlier life.
    let mirrored = attached.mirrored;
    effects.extend(mirrored.then_some(Effect::Mirror(Order::Rewound { last, from, same })));
    if another {
        effects.extend(pump(attached));
    }
    effects
}

fn arrived(attached: &mut Attached, lines: Vec<(Seq, Decoded)>) -> Vec<Effect> {
    let before = attached.session.last;
    let mut effects = Vec::new();
    let mut seen = false;
    for (seq, line) in lines {
        if seq <= attached.session.last {
            continue;
        }
        reduce::apply(&mut attached.session, seq, &line);
        if let Decoded::Entry(entry) = line {
            seen |= seen_in_journal(attached, &entry);
            effects.extend(consequence(attached, seq, entry));
        }
    }
    let last = attached.session.last;
    if let Link::CatchingUp { have, .. } = &mut attached.link {
        *have = last;
    }
    if last > before {
        effects.extend(reached(attached, last));
    }
    if seen {
        effects.push(keep(attached));
        effects.extend(pump(attached));
    }
    effects
}

/// What a line means beyond the session.
fn consequence(attached: &mut Attached, seq: Seq, entry: Entry) -> Option<Effect> {
    let Said::Ext(ext) = entry.said else {
        return None;
    };
    if let Ext::RunStatus { status, .. } = &ext {
        attached.ended &= *status != Status::InProgress;
        if let Some(run) = &mut attached.run {
            run.status = status.clone();
        }
    }
    let order = mirrored::order(seq, ext).filter(|_| attached.mirrored);
    order.map(Effect::Mirror)
}

/// Without a mirror every file entry counts as decided at once (design decision 7).
fn reached(attached: &mut Attached, last: Seq) -> Option<Effect> {
    if attached.mirrored {
        Some(Effect::Mirror(Order::Reached(last)))
    } else {
        attached.mirror.settled = last;
        None
    }
}

fn ended(attached: &mut Attached, status: Status) -> Vec<Effect> {
    attached.ended = true;
    if let Some(run) = &mut attached.run {
        run.status = status;
    }
    // The rest of what REST knows, the error message for one, has changed with it.
    vec![Effect::LoadRun]
}

// The link.

fn follow(attached: &mut Attached) -> Effect {
    attached.machine.link_timer = None;
    attached.machine.was_live = false;
    attached.machine.announced = false;
    Effect::Follow {
        after: attached.session.last,
    }
}

fn went_live(attached: &mut Attached) -> Vec<Effect> {
    attached.link = Link::Live;
    attached.machine.was_live = true;
    attached.machine.adopted_unread = false;
    // The endpoint answers: what waits for a later try goes now.
    attached.machine.post_timer = None;
    pump(attached)
}

/// An endpoint that tells who is there wants to be told too, once per link.
fn presence(attached: &mut Attached, mut clients: Vec<Client>) -> Vec<Effect> {
    clients.retain(|one| one.client.is_none() || one.client != attached.machine.client);
    attached.others = clients;
    if std::mem::replace(&mut attached.machine.announced, true) {
        Vec::new()
    } else {
        vec![Effect::Announce]
    }
}

fn link_failed(attached: &mut Attached, error: &Error, now: Instant) -> Vec<Effect> {
    // What was known of them is not known any more.
    attached.others.clear();
    let jitter = chance(&mut attached.machine.seed);
    let machine = &mut attached.machine;
    if machine.was_live {
        match machine.began {
            Some(began) => machine.link.succeeded(began),
            None => machine.link.reset(),
        }
        machine.was_live = false;
    }
    match machine.link.next(error, now, jitter) {
        Next::Wait(wait) => {
            attached.link = Link::Reconnecting {
                due: now + wait,
                wait,
                attempt: attached.machine.link.failures(),
                reason: error.to_string(),
            };
            let (id, effect) = timer(attached, wait);
            attached.machine.link_timer = Some(id);
            if planted!(RetryTimerLost) && attached.machine.link.failures() > 1 {
                return Vec::new();
            }
            vec![effect]
        }
        Next::GiveUp => {
            attached.link = Link::Offline {
                reason: advice(&attached.endpoint, error),
            };
            Vec::new()
        }
    }
}

/// A final error, and what the user can do about it.
pub fn advice(endpoint: &str, error: &Error) -> String {
    match error {
        Error::Refused { status: 401, .. } => format!(
            "{error}. Give `{endpoint}` a valid token (ASHORE_TOKEN, or `ashore endpoint add`), then press r"
        ),
        Error::Refused { .. } => {
            format!("{error}. This token may not see the run; use one that may")
        }
        Error::Gone { .. } => {
            format!("`{endpoint}` has no such run ({error}); `ashore ls` shows those it has")
        }
        Error::Rejected { .. }
        | Error::Unreachable { .. }
        | Error::Malformed { .. }
        | Error::Setup { .. } => error.to_string(),
    }
}

fn retry_now(attached: &mut Attached) -> Vec<Effect> {
    attached.machine.post_timer = None;
    let mut effects = match attached.link {
        Link::Reconnecting { .. } if attached.machine.link_timer.is_none() => Vec::new(),
        Link::Reconnecting { .. } | Link::Offline { .. } => {
            attached.machine.began = None;
            vec![follow(attached)]
        }
        Link::CatchingUp { .. } | Link::Live => Vec::new(),
    };
    effects.extend(pump(attached));
    effects
}

fn timer_fired(attached: &mut Attached, id: u64, now: Instant) -> Vec<Effect> {
    if attached.machine.link_timer == Some(id) {
        attached.machine.began = Some(now);
        return vec![follow(attached)];
    }
    if attached.machine.post_timer == Some(id) {
        attached.machine.post_timer = None;
        return pump(attached);
    }
    // Otherwise it is a timer that was overtaken.
    mirrored::waited(attached, id).unwrap_or_default()
}

pub(super) fn timer(attached: &mut Attached, wait: Duration) -> (u64, Effect) {
    attached.machine.timers += 1;
    let id = attached.machine.timers;
    (id, Effect::StartTimer { id, wait })
}

/// A number from 0 to 1 (splitmix64).
fn chance(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

// The outbox: in order, one on its way, each until it is accepted, once.

fn say(attached: &mut Attached, command: Command) -> Vec<Effect> {
    if attached.read_only {
        note(
            attached,
            "this screen only reads; attach without --read-only to say something".to_owned(),
        );
        return Vec::new();
    }
    let is_message = matches!(command.what, What::UserMessage(_));
    attached.outbox.push(Outgoing {
        command,
        state: Posting::Waiting,
    });
    let mut effects = vec![keep(attached)];
    if is_message {
        effects.extend(mirrored::hold(attached));
    }
    effects.extend(pump(attached));
    effects
}

fn restore_outbox(attached: &mut Attached, outgoing: Vec<Outgoing>) -> Vec<Effect> {
    let known: Vec<_> = attached
        .outbox
        .iter()
        .map(|o| o.command.id.clone())
        .collect();
    attached.outbox.extend(
        outgoing
            .into_iter()
            .filter(|o| !known.contains(&o.command.id))
            .map(|mut o| {
                // It was on its way when the earlier screen ended: its id makes a second time harmless.
                if o.state == Posting::InFlight {
                    o.state = Posting::Waiting;
                }
                o
            }),
    );
    // It may stand in the journal already, and not every endpoint knows a repeated id: so nothing goes out before the
    // journal has been read.
    attached.machine.adopted_unread = !attached.outbox.is_empty();
    vec![keep(attached)]
}

pub(super) fn pump(attached: &mut Attached) -> Vec<Effect> {
    let busy = attached.outbox.iter().any(|o| o.state == Posting::InFlight);
    if attached.machine.adopted_unread || busy || attached.machine.post_timer.is_some() {
        return Vec::new();
    }
    match mirrored::next(attached) {
        Some(place) => {
            let next = &mut attached.outbox[place];
            next.state = Posting::InFlight;
            vec![Effect::Post(next.command.clone())]
        }
        None => Vec::new(),
    }
}

fn posted(attached: &mut Attached, id: &CommandId) -> Vec<Effect> {
    attached.machine.post.reset();
    let sent = attached
        .outbox
        .iter()
        .find(|o| o.command.id.as_ref() == Some(id));
    let accepted = sent.and_then(|o| mirrored::accepted(&o.command.what, id));
    // A user's words and changes stay until the journal shows them, so that they are on the screen all the time.
    attached.outbox.retain_mut(|o| {
        if o.command.id.as_ref() != Some(id) {
            return true;
        }
        o.state = Posting::Accepted;
        matches!(o.command.what, What::UserMessage(_) | What::Amend(_))
            && !planted!(DroppedOnAccept)
    });
    let mut effects = vec![keep(attached)];
    effects.extend(accepted);
    effects.extend(pump(attached));
    effects
}

fn post_failed(
    attached: &mut Attached,
    id: &CommandId,
    error: &Error,
    now: Instant,
) -> Vec<Effect> {
    let Some(place) = attached
        .outbox
        .iter()
        .position(|o| o.command.id.as_ref() == Some(id) && o.state == Posting::InFlight)
    else {
        // The journal has shown it meanwhile: it arrived, only the answer was lost.
        return pump(attached);
    };
    let jitter = chance(&mut attached.machine.seed);
    match attached.machine.post.next(error, now, jitter) {
        Next::Wait(wait) => {
            attached.outbox[place].state = Posting::Waiting;
            if attached.machine.post.failures() == 1 {
                note(attached, format!("not sent yet, trying again: {error}"));
            }
            let (id, effect) = timer(attached, wait);
            attached.machine.post_timer = Some(id);
            vec![effect]
        }
        Next::GiveUp => {
            let told = mirrored::given_up(&attached.outbox[place].command, error.to_string());
            refuse(attached, place, error);
            let mut effects = vec![keep(attached)];
            effects.extend(told);
            effects.extend(pump(attached));
            effects
        }
    }
}

fn refuse(attached: &mut Attached, place: usize, error: &Error) {
    if words(&attached.outbox[place].command.what).is_some() {
        attached.outbox[place].state = Posting::Refused(advice(&attached.endpoint, error));
    } else {
        // Nothing of it is worth keeping but the reason.
        attached.outbox.remove(place);
        note(attached, error.to_string());
    }
}

/// True when the outbox became shorter.
fn seen_in_journal(attached: &mut Attached, entry: &Entry) -> bool {
    let Some(id) = &entry.command else {
        return false;
    };
    let before = attached.outbox.len();
    attached
        .outbox
        .retain(|o| o.command.id.as_ref() != Some(id));
    attached.outbox.len() < before
}

fn take_back(attached: &mut Attached, id: &CommandId) -> Vec<Effect> {
    attached.outbox.retain(|o| {
        let on_its_way = matches!(o.state, Posting::InFlight | Posting::Accepted);
        on_its_way || o.command.id.as_ref() != Some(id)
    });
    let mut effects = vec![keep(attached)];
    effects.extend(pump(attached));
    effects
}

/// The list as it must outlive this process.
fn keep(attached: &Attached) -> Effect {
    Effect::KeepOutbox(
        attached
            .outbox
            .iter()
            .filter(|o| o.state != Posting::Accepted && outlives(&o.command.what))
            .cloned()
            .collect(),
    )
}

/// A cancel, a mode or a steer that comes hours later is not what was meant.
fn outlives(what: &What) -> bool {
    match what {
        What::UserMessage(_) | What::Permission(_) => true,
        What::Amend(amendment) => amendment.how != Amend::Steer,
        // The mirror tells an edit again, under its own id.
        What::FileChanged(_)
        | What::Cancel
        | What::Close
        | What::SetMode(_)
        | What::SetConfig { .. }
        | What::Presence { .. }
        | What::Other { .. } => false,
    }
}

pub(super) fn note(attached: &mut Attached, text: String) {
    if attached.notes.last() != Some(&text) {
        attached.notes.push(text);
    }
    let over = attached.notes.len().saturating_sub(NOTES);
    attached.notes.drain(..over);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::status::{MirrorState, MirrorStatus};
    use crate::mirror::worker::Report;
    use crate::protocol::entry::From;
    use crate::protocol::file::{ChangeKind, FileChange};
    use crate::protocol::ids::RunRef;

    fn run() -> Attached {
        let at = RunRef {
            project: crate::protocol::ids::ProjectId(1),
            task: "task".parse().unwrap(),
            run: "run".parse().unwrap(),
        };
        Attached::new(at, "local", false)
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    fn entry(said: Said, command: Option<&CommandId>) -> Decoded {
        Decoded::Entry(Entry {
            timestamp: None,
            from: From::Agent,
            who: None,
            command: command.cloned(),
            ends: None,
            message: serde_json::Value::Null.into(),
            said,
        })
    }

    fn piece(range: std::ops::RangeInclusive<u64>) -> Event {
        let (lines, room) = (plain(range), None);
        Event::Kept(crate::attach::event::Piece { lines, room })
    }

    #[test]
    fn the_end_of_a_long_journal_is_shown_until_all_of_it_is_read() {
        let mut attached = run();
        let mut end = Session::default();
        reduce::apply(&mut end, Seq(1), &Decoded::Bad("the end".to_owned()));
        update(&mut attached, Event::Peeked(Box::new(end.clone())));
        assert_eq!(attached.session, end);
        for range in [1..=2, 3..=5] {
            let last = *range.end();
            update(&mut attached, piece(range));
            assert_eq!(attached.session, end);
            assert_eq!(attached.mirror.settled, Seq(last));
        }
        let effects = update(&mut attached, Event::Restored(plain(6..=6)));
        let after = Seq(6);
        assert_eq!(effects, [Effect::Follow { after }, Effect::LoadRun]);
        assert_eq!(attached.session.last, after);
        assert_eq!(attached.session.bad_lines, 0);
    }

    #[test]
    fn pieces_of_a_journal_are_lines_like_any_where_its_end_is_not_shown() {
        let mut attached = run();
        update(&mut attached, piece(1..=3));
        assert_eq!(attached.session.last, Seq(3));
    }

    fn plain(range: std::ops::RangeInclusive<u64>) -> Vec<(Seq, Decoded)> {
        range.map(|n| (Seq(n), Decoded::Blank)).collect()
    }

    fn cut() -> Error {
        Error::Unreachable {
            text: "connection reset".to_owned(),
        }
    }

    fn final_error(status: u16) -> Error {
        Error::Refused {
            status,
            text: "no".to_owned(),
        }
    }

    fn states(attached: &Attached) -> Vec<(String, Posting)> {
        attached
            .outbox
            .iter()
            .map(|o| match &o.command.what {
                What::UserMessage(prompt) => (prompt.text.clone(), o.state.clone()),
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    /// Posts among the effects.
    fn posts(effects: &[Effect]) -> Vec<Command> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Post(command) => Some(command.clone()),
                Effect::Follow { .. }
                | Effect::LoadRun
                | Effect::StartTimer { .. }
                | Effect::Mirror(_)
                | Effect::KeepOutbox(_)
                | Effect::ForgetJournal
                | Effect::LoadSeed
                | Effect::Announce => None,
            })
            .collect()
    }

    fn timers(effects: &[Effect]) -> Vec<u64> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::StartTimer { id, .. } => Some(*id),
                Effect::Follow { .. }
                | Effect::LoadRun
                | Effect::Post(_)
                | Effect::Mirror(_)
                | Effect::KeepOutbox(_)
                | Effect::ForgetJournal
                | Effect::LoadSeed
                | Effect::Announce => None,
            })
            .collect()
    }

    fn live() -> Attached {
        let mut attached = run();
        update(&mut attached, Event::Restored(Vec::new()));
        update(
            &mut attached,
            Event::HistoryOpened {
                last: Seq(0),
                same: true,
            },
        );
        update(&mut attached, Event::WentLive);
        attached
    }

    #[test]
    fn whoever_is_told_who_is_there_says_so_itself_once_per_link() {
        let mut attached = live();
        attached.machine.client = Some("mine".to_owned());
        let client = |from: &str, client: Option<&str>| Client {
            from: from.to_owned(),
            read_only: false,
            client: client.map(str::to_owned),
        };
        let told = vec![
            client("ana@laptop", Some("mine")),
            client("ana@laptop", Some("other")),
            client("bo", None),
        ];
        let effects = update(&mut attached, Event::Presence(Vec::new()));
        assert_eq!(effects, [Effect::Announce]);
        let effects = update(&mut attached, Event::Presence(told.clone()));
        assert_eq!(effects, []);
        assert_eq!(attached.others, told[1..]);
        let (error, now) = (cut(), now());
        update(&mut attached, Event::LinkFailed { error, now });
        assert_eq!(attached.others, []);
        update(&mut attached, Event::RetryNow);
        let effects = update(&mut attached, Event::Presence(Vec::new()));
        assert_eq!(effects, [Effect::Announce]);
    }

    #[test]
    fn changed_words_that_come_too_late_stay_and_a_steer_does_not_outlive_its_screen() {
        let amend = |how: Amend| {
            let command = CommandId::random();
            Command::new(What::Amend(crate::protocol::amend::Amendment {
                command,
                how,
            }))
        };
        let words = Amend::Edit(crate::protocol::command::Prompt::default());
        let mut attached = live();
        let (edit, steer) = (amend(words), amend(Amend::Steer));
        update(&mut attached, Event::Say(edit.clone()));
        let effects = update(&mut attached, Event::Say(steer.clone()));
        let kept = |effects: &[Effect]| match effects.first() {
            Some(Effect::KeepOutbox(kept)) => kept.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!((attached.outbox.len(), kept(&effects)), (2, 1));
        for command in [edit, steer] {
            let taken = Error::Rejected {
                status: 409,
                text: "taken".to_owned(),
            };
            let failed = Event::PostFailed {
                id: command.id.clone().expect("has one"),
                error: taken,
                now: now(),
            };
            update(&mut attached, failed);
        }
        assert_eq!(attached.outbox.len(), 1);
        assert!(matches!(attached.outbox[0].state, Posting::Refused(_)));
        assert!(
            attached
                .notes
                .last()
                .is_some_and(|note| note.contains("taken"))
        );
        update(&mut attached, Event::OutboxFailed("disk full".to_owned()));
        assert!(
            attached
                .notes
                .last()
                .is_some_and(|note| note.contains("disk full"))
        );
    }

    #[test]
    fn a_restored_run_follows_from_its_last_line() {
        let mut attached = run();
        let effects = update(&mut attached, Event::Restored(plain(1..=7)));
        assert_eq!(effects, [Effect::Follow { after: Seq(7) }, Effect::LoadRun]);
        assert_eq!(
            attached.link,
            Link::CatchingUp {
                have: Seq(7),
                of: None
            }
        );
        update(
            &mut attached,
            Event::HistoryOpened {
                last: Seq(9),
                same: true,
            },
        );
        update(&mut attached, Event::Arrived(plain(8..=8)));
        assert_eq!(
            attached.link,
            Link::CatchingUp {
                have: Seq(8),
                of: Some(Seq(9))
            }
        );
        update(&mut attached, Event::WentLive);
        assert_eq!(attached.link, Link::Live);
    }

    #[test]
    fn a_cut_link_is_tried_again_for_ever_from_where_it_was() {
        let (mut attached, mut time) = (live(), now());
        update(&mut attached, Event::Arrived(plain(1..=3)));
        for attempt in 1..=50 {
            let effects = update(
                &mut attached,
                Event::LinkFailed {
                    error: cut(),
                    now: time,
                },
            );
            let Link::Reconnecting {
                due,
                wait,
                attempt: shown,
                reason,
            } = attached.link.clone()
            else {
                panic!("{:?}", attached.link);
            };
            assert_eq!((shown, due), (attempt, time + wait));
            assert!(wait <= Duration::from_secs(30));
            assert!(reason.contains("connection reset"));
            let [id] = timers(&effects)[..] else {
                panic!("{effects:?}");
            };
            time = due;
            let effects = update(&mut attached, Event::TimerFired { id, now: time });
            assert_eq!(effects, [Effect::Follow { after: Seq(3) }]);
        }
    }

    #[test]
    fn r_tries_at_once_and_the_old_timer_means_nothing() {
        let mut attached = live();
        let effects = update(
            &mut attached,
            Event::LinkFailed {
                error: cut(),
                now: now(),
            },
        );
        let [id] = timers(&effects)[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(
            update(&mut attached, Event::RetryNow),
            [Effect::Follow { after: Seq(0) }]
        );
        assert_eq!(update(&mut attached, Event::RetryNow), []);
        assert_eq!(
            update(&mut attached, Event::TimerFired { id, now: now() }),
            []
        );
    }

    #[test]
    fn a_link_that_stood_begins_to_count_afresh() {
        let (mut attached, time) = (live(), now());
        let attempt = |attached: &mut Attached, time| {
            let effects = update(
                attached,
                Event::LinkFailed {
                    error: cut(),
                    now: time,
                },
            );
            let id = timers(&effects)[0];
            update(attached, Event::TimerFired { id, now: time });
            match attached.link {
                Link::Reconnecting { attempt, .. } => attempt,
                Link::CatchingUp { .. } | Link::Live | Link::Offline { .. } => panic!(),
            }
        };
        assert_eq!(attempt(&mut attached, time), 1);
        assert_eq!(attempt(&mut attached, time), 2);
        update(&mut attached, Event::WentLive);
        assert_eq!(attempt(&mut attached, time + Duration::from_secs(1)), 3);
        update(&mut attached, Event::WentLive);
        assert_eq!(attempt(&mut attached, time + Duration::from_secs(60)), 1);
    }

    #[test]
    fn a_refusal_is_final_and_says_what_to_do() {
        for (error, hint) in [
            (final_error(401), "ASHORE_TOKEN"),
            (final_error(403), "use one that may"),
            (
                Error::Gone {
                    text: "no such run".to_owned(),
                },
                "ashore ls",
            ),
        ] {
            let mut attached = live();
            let effects = update(&mut attached, Event::LinkFailed { error, now: now() });
            assert_eq!(effects, []);
            match attached.link {
                Link::Offline { ref reason } => assert!(reason.contains(hint), "{reason}"),
                ref other => panic!("{other:?}"),
            }
            assert_eq!(
                update(&mut attached, Event::RetryNow),
                [Effect::Follow { after: Seq(0) }]
            );
        }
    }

    #[test]
    fn a_shorter_journal_is_read_again_from_the_start() {
        let mut attached = live();
        update(&mut attached, Event::Arrived(plain(1..=9)));
        let effects = update(
            &mut attached,
            Event::HistoryOpened {
                last: Seq(4),
                same: true,
            },
        );
        assert_eq!(effects, [Effect::ForgetJournal]);
        assert_eq!(attached.session.last, Seq(0));
        assert_eq!(attached.notes.len(), 1);
    }

    #[test]
    fn a_journal_that_was_put_back_and_has_grown_since_is_read_again_too() {
        let mut attached = live();
        attached.mirrored = true;
        update(&mut attached, Event::Arrived(plain(1..=9)));
        let (last, from, same) = (Seq(12), Seq(0), false);
        let effects = update(&mut attached, Event::HistoryOpened { last, same });
        let rewound = Effect::Mirror(Order::Rewound { last, from, same });
        assert_eq!(effects, [Effect::ForgetJournal, rewound]);
        assert_eq!(attached.session.last, Seq(0));
        let note = attached.notes.last().unwrap();
        assert!(note.contains("something else in line 9"), "{note}");
    }

    #[test]
    fn a_mirror_is_told_where_the_journal_ends_and_edits_that_may_be_lost_go_again() {
        let mut attached = live();
        attached.mirrored = true;
        update(&mut attached, Event::Arrived(plain(1..=9)));
        let said = Command::user_message("one");
        attached.outbox.push(Outgoing {
            command: said.clone(),
            state: Posting::Accepted,
        });
        let effects = update(
            &mut attached,
            Event::HistoryOpened {
                last: Seq(4),
                same: true,
            },
        );
        let (last, from) = (Seq(4), Seq(0));
        let rewound = Effect::Mirror(Order::Rewound {
            last,
            from,
            same: true,
        });
        assert!(effects.contains(&rewound), "{effects:?}");
        assert_eq!(posts(&effects), [said]);
        let effects = update(
            &mut attached,
            Event::HistoryOpened {
                last: Seq(9),
                same: true,
            },
        );
        let (last, from) = (Seq(9), Seq(0));
        assert_eq!(
            effects,
            [Effect::Mirror(Order::Rewound {
                last,
                from,
                same: true
            })]
        );
    }

    #[test]
    fn commands_go_one_by_one_in_order() {
        let mut attached = live();
        let (first, second) = (Command::user_message("one"), Command::user_message("two"));
        let effects = update(&mut attached, Event::Say(first.clone()));
        assert_eq!(posts(&effects), std::slice::from_ref(&first));
        let effects = update(&mut attached, Event::Say(second.clone()));
        assert_eq!(posts(&effects), []);
        let effects = update(&mut attached, Event::Posted(first.id.clone().unwrap()));
        assert_eq!(posts(&effects), [second]);
        assert_eq!(
            states(&attached),
            [
                ("one".to_owned(), Posting::Accepted),
                ("two".to_owned(), Posting::InFlight)
            ]
        );
        let line = entry(Said::Ignored, first.id.as_ref());
        update(&mut attached, Event::Arrived(vec![(Seq(1), line)]));
        assert_eq!(states(&attached), [("two".to_owned(), Posting::InFlight)]);
    }

    #[test]
    fn a_lost_answer_is_no_second_message_when_the_journal_has_it() {
        let mut attached = live();
        let command = Command::user_message("once");
        let id = command.id.clone().unwrap();
        update(&mut attached, Event::Say(command));
        let line = entry(Said::Ignored, Some(&id));
        let effects = update(&mut attached, Event::Arrived(vec![(Seq(1), line)]));
        assert!(effects.contains(&Effect::KeepOutbox(Vec::new())));
        let effects = update(
            &mut attached,
            Event::PostFailed {
                id,
                error: cut(),
                now: now(),
            },
        );
        assert_eq!(effects, []);
        assert_eq!(states(&attached), []);
    }

    #[test]
    fn a_passing_failure_is_tried_again_under_the_same_id() {
        let mut attached = live();
        let command = Command::user_message("again");
        let id = command.id.clone().unwrap();
        update(&mut attached, Event::Say(command.clone()));
        for _ in 0..3 {
            let effects = update(
                &mut attached,
                Event::PostFailed {
                    id: id.clone(),
                    error: cut(),
                    now: now(),
                },
            );
            assert_eq!(states(&attached), [("again".to_owned(), Posting::Waiting)]);
            let timer = timers(&effects)[0];
            let effects = update(
                &mut attached,
                Event::TimerFired {
                    id: timer,
                    now: now(),
                },
            );
            assert_eq!(posts(&effects), std::slice::from_ref(&command));
        }
        assert_eq!(attached.notes.len(), 1);
    }

    #[test]
    fn going_live_sends_what_waited() {
        let mut attached = live();
        let command = Command::user_message("hello");
        let id = command.id.clone().unwrap();
        update(&mut attached, Event::Say(command.clone()));
        update(
            &mut attached,
            Event::PostFailed {
                id,
                error: cut(),
                now: now(),
            },
        );
        let effects = update(&mut attached, Event::WentLive);
        assert_eq!(posts(&effects), [command]);
    }

    #[test]
    fn refused_words_are_kept_until_they_are_taken_back() {
        let mut attached = live();
        let (bad, good) = (Command::user_message("bad"), Command::user_message("good"));
        let id = bad.id.clone().unwrap();
        update(&mut attached, Event::Say(bad));
        update(&mut attached, Event::Say(good.clone()));
        let error = Error::Rejected {
            status: 409,
            text: "the run is over".to_owned(),
        };
        let effects = update(
            &mut attached,
            Event::PostFailed {
                id: id.clone(),
                error,
                now: now(),
            },
        );
        assert_eq!(posts(&effects), [good]);
        assert!(
            matches!(&attached.outbox[0].state, Posting::Refused(why) if why.contains("the run is over"))
        );
        match &effects[0] {
            Effect::KeepOutbox(kept) => assert_eq!(kept.len(), 2),
            other => panic!("{other:?}"),
        }
        update(&mut attached, Event::TakeBack(id));
        assert_eq!(states(&attached), [("good".to_owned(), Posting::InFlight)]);
    }

    #[test]
    fn words_of_an_earlier_screen_go_out_once_the_journal_does_not_have_them() {
        let mut attached = run();
        let (seen, unseen) = (
            Command::user_message("seen"),
            Command::user_message("unseen"),
        );
        let outgoing = |command: &Command| Outgoing {
            command: command.clone(),
            state: Posting::InFlight,
        };
        let line = entry(Said::Ignored, seen.id.as_ref());
        update(
            &mut attached,
            Event::OutboxRestored(vec![outgoing(&seen), outgoing(&unseen)]),
        );
        let (cached, fresh) = (plain(1..=1), vec![(Seq(2), line)]);
        assert_eq!(posts(&update(&mut attached, Event::Restored(cached))), []);
        update(
            &mut attached,
            Event::HistoryOpened {
                last: Seq(2),
                same: true,
            },
        );
        let effects = update(&mut attached, Event::Arrived(fresh));
        let later = update(&mut attached, Event::WentLive);
        assert_eq!(posts(&[effects, later].concat()), [unseen]);
    }

    #[test]
    fn a_read_only_screen_says_nothing() {
        let mut attached = live();
        attached.read_only = true;
        assert_eq!(
            update(&mut attached, Event::Say(Command::user_message("x"))),
            []
        );
        assert_eq!(attached.outbox, []);
        assert_eq!(attached.notes.len(), 1);
    }

    #[test]
    fn a_cancel_does_not_outlive_the_screen() {
        let mut attached = live();
        let effects = update(&mut attached, Event::Say(Command::new(What::Cancel)));
        assert_eq!(effects[0], Effect::KeepOutbox(Vec::new()));
        assert_eq!(posts(&effects).len(), 1);
    }

    fn file_line() -> (FileChange, Decoded) {
        let change = FileChange {
            kind: ChangeKind::Deleted,
            path: "a.txt".parse().unwrap(),
            now: None,
            before: None,
            storage_path: None,
            turn: None,
            tool_call: None,
        };
        let line = entry(Said::Ext(Ext::FileSync(change.clone())), None);
        (change, line)
    }

    #[test]
    fn file_entries_go_to_the_mirror_once_and_in_order() {
        let mut attached = live();
        attached.mirrored = true;
        let (change, line) = file_line();
        let lines = vec![(Seq(1), line), (Seq(2), Decoded::Blank)];
        let effects = update(&mut attached, Event::Arrived(lines.clone()));
        assert_eq!(
            effects,
            [
                Effect::Mirror(Order::Remote {
                    seq: Seq(1),
                    change
                }),
                Effect::Mirror(Order::Reached(Seq(2)))
            ]
        );
        assert_eq!(update(&mut attached, Event::Arrived(lines)), []);
    }

    #[test]
    fn without_a_mirror_every_entry_is_settled_at_once() {
        let mut attached = live();
        let (_, line) = file_line();
        assert_eq!(
            update(&mut attached, Event::Arrived(vec![(Seq(1), line)])),
            []
        );
        assert_eq!(attached.mirror.settled, Seq(1));
        update(&mut attached, Event::MirrorOrder(Order::Pause));
        assert_eq!(attached.notes, ["no directory is mirrored here"]);
    }

    #[test]
    fn the_mirror_s_word_is_taken_as_it_is() {
        let mut attached = live();
        let status = MirrorStatus {
            state: MirrorState::Paused,
            ..MirrorStatus::default()
        };
        update(&mut attached, Event::Mirror(Report::Status(status.clone())));
        assert_eq!(attached.mirror, status);
    }
}
