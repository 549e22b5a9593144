//! How things stand, in words: the link, the agent, the mirror, what waits. Each with the mark by which a change is
//! known, so that it is told once.
//!
//! Pure.

use crate::attach::approval;
use crate::attach::state::{Attached, Link, Posting};
use crate::mirror::status::{MirrorState, Way};
use crate::protocol::acp::{Currency, PlanStatus};
use crate::protocol::entry::StepStatus;
use crate::protocol::run::{Environment, Status};
use crate::session::choices::Kind;
use crate::session::state::Turn;
use crate::tui::linear::cell::{counted, prefixed, spoken};
use crate::tui::on::cancel;
use crate::tui::place;
use crate::tui::state::State;
use crate::tui::view::cell::seconds;
use crate::tui::view::choose;
use crate::tui::view::text::clean_line;

/// An agent at work that has said nothing for this long is called silent, in seconds.
const LONG_SILENCE: f64 = 60.0;

/// What it is about, its mark, and what is told when the mark has changed.
pub(super) type Standing = (&'static str, String, Vec<String>);

fn standing(about: &'static str, words: Option<String>) -> Standing {
    let words = words.unwrap_or_default();
    let told = (!words.is_empty()).then(|| words.clone());
    (about, words, told.into_iter().collect())
}

/// Everything that is told when it changes, in the order of its weight.
pub(super) fn all(state: &State, attached: &Attached) -> Vec<Standing> {
    vec![
        link(&attached.link),
        standing("status", status(attached)),
        standing("approval", approves(attached)),
        standing("cancel", cancelling(state)),
        standing("silence", silence(state, attached)),
        steps(attached),
        mirror(attached),
        standing("conflicts", conflicts(attached)),
        standing("follow", followed(state)),
        standing("mode", choice(attached, Kind::Mode)),
        standing("model", choice(attached, Kind::Model)),
        standing("plan", plan(attached)),
        standing("queue", queue(attached)),
        refused(attached),
        standing("others", others(attached)),
        standing("pr", pull_request(attached)),
    ]
}

/// The answer to who asks how things stand.
pub(super) fn whole(state: &State, attached: &Attached) -> Vec<String> {
    let mut told = vec![format!("agent: {}", agent(state, attached))];
    let mut others = all(state, attached);
    others.retain(|(about, ..)| *about != "steps");
    told.extend(others.into_iter().flat_map(|(_, _, lines)| lines));
    if let Some(usage) = attached.session.usage.filter(|usage| usage.size > 0) {
        let percent = usage.used.saturating_mul(100) / usage.size;
        let cost = usage.cost.map(|cost| match cost.currency {
            Currency::USD => format!(", {:.2} dollars", cost.amount),
            other => format!(", {:.2} {other}", cost.amount),
        });
        told.push(format!(
            "context: {percent} percent{}",
            cost.unwrap_or_default()
        ));
    }
    let branch = attached.session.branch.as_ref();
    let known = attached.run.as_ref().and_then(|run| run.branch.as_ref());
    told.extend(
        branch
            .or(known)
            .map(|branch| format!("branch: {}", clean_line(branch))),
    );
    told
}

/// What it does now.
fn agent(state: &State, attached: &Attached) -> String {
    match &attached.session.turn {
        _ if !state.questions().is_empty() => "waits for you".to_owned(),
        Turn::Working { since, .. } => match since {
            Some(since) => format!("working for {}", spoken(seconds(*since, state.wall))),
            None => "working".to_owned(),
        },
        Turn::Idle => "idle".to_owned(),
    }
}

/// Once when it breaks, once when it holds again; how often it was tried is not told.
fn link(link: &Link) -> Standing {
    let (mark, words) = match link {
        Link::Live => ("live".to_owned(), "link: live".to_owned()),
        Link::CatchingUp { .. } => ("catching up".to_owned(), "link: catching up".to_owned()),
        Link::Reconnecting {
            attempt, reason, ..
        } => (
            "reconnecting".to_owned(),
            format!("link: reconnecting, try {attempt}: {}", clean_line(reason)),
        ),
        Link::Offline { reason } => {
            let words = format!("link: offline: {}", clean_line(reason));
            (words.clone(), words)
        }
    };
    ("link", mark, vec![words])
}

fn status(attached: &Attached) -> Option<String> {
    let known = attached.run.as_ref().map(|run| &run.status);
    let known = known.filter(|status| status.is_terminal());
    match attached.session.status.as_ref().or(known)? {
        Status::Completed => Some("run: done".to_owned()),
        Status::Failed => Some("run: failed".to_owned()),
        Status::Cancelled => Some("run: stopped".to_owned()),
        Status::NotStarted | Status::Queued | Status::InProgress | Status::Other(_) => None,
    }
}

fn approves(attached: &Attached) -> Option<String> {
    let by = approval::by_itself(attached)?;
    Some(format!("warning: nobody is asked: {}", choose::words(&by)))
}

fn cancelling(state: &State) -> Option<String> {
    cancel::age(state).map(|_| "agent: cancelling the turn".to_owned())
}

fn silence(state: &State, attached: &Attached) -> Option<String> {
    let age = seconds(attached.session.silent_since()?, state.wall);
    (age >= LONG_SILENCE).then(|| "agent: silent for a minute, and still working".to_owned())
}

/// The newest step of setting up.
fn steps(attached: &Attached) -> Standing {
    let steps = &attached.session.steps;
    let newest = steps
        .iter()
        .rev()
        .find(|step| step.status() != StepStatus::Done);
    let told = match newest {
        // Another step may come until the agent begins.
        None if steps.is_empty() || attached.session.turns == 0 => {
            return ("steps", "…".to_owned(), Vec::new());
        }
        None => vec!["setting up: done".to_owned()],
        Some(step) => {
            let name = clean_line(&step.step.name);
            let failed = step.status() == StepStatus::Failed;
            let how = if failed { " failed" } else { "" };
            let detail = step.step.detail.as_ref().filter(|_| failed);
            let detail = detail.map_or_else(String::new, |text| format!(": {}", clean_line(text)));
            let mut told = vec![format!("setting up{how}: {name}{detail}")];
            let hint = step.step.hint.as_ref();
            told.extend(hint.map(|hint| format!("what to do: {}", clean_line(hint))));
            told
        }
    };
    ("steps", told.concat(), told)
}

/// Its state; that files come and go is told by the files.
fn mirror(attached: &Attached) -> Standing {
    let mirror = &attached.mirror;
    let in_place = attached.run.as_ref();
    let in_place = in_place.is_some_and(|run| run.environment == Environment::Local);
    let word = match mirror.state {
        MirrorState::Off if in_place => "the agent works in this very directory",
        MirrorState::Off => "off",
        MirrorState::Live | MirrorState::CatchingUp | MirrorState::Conflict => {
            match mirror.direction {
                Way::Both if mirror.polls.is_some() => "live, by looking every few seconds",
                Way::Both => "live",
                Way::Down => "only down",
                Way::Up => "only up",
                Way::Off => "held",
            }
        }
        MirrorState::Paused => "paused",
        MirrorState::Halted => "halted",
    };
    let held = matches!(
        mirror.state,
        MirrorState::Off | MirrorState::Paused | MirrorState::Halted
    );
    let why = mirror.reason.as_ref().filter(|_| held);
    let why = why.map_or_else(String::new, |why| format!(": {}", clean_line(why)));
    let count = match mirror.held_count() {
        0 => String::new(),
        1 => ", 1 change of theirs could not be put here".to_owned(),
        many => format!(", {many} changes of theirs could not be put here"),
    };
    let words = format!("mirror: {word}{count}{why}");
    ("mirror", words.clone(), vec![words])
}

fn conflicts(attached: &Attached) -> Option<String> {
    let conflicts = &attached.mirror.conflicts;
    let newest = conflicts.last()?;
    let beside = match &newest.theirs {
        Some(theirs) => format!("theirs stands beside it as {}", clean_line(theirs)),
        None => "it was deleted there".to_owned(),
    };
    let count = counted(conflicts.len(), "conflict");
    Some(format!(
        "mirror: {count}; {}: both sides changed it, {beside}",
        clean_line(&newest.path)
    ))
}

/// Where the agent is, while it is followed.
fn followed(state: &State) -> Option<String> {
    let place = state.follow.as_ref()?.place.as_ref()?;
    Some(format!("agent: at {}", clean_line(&place::told(place))))
}

fn choice(attached: &Attached, kind: Kind) -> Option<String> {
    let choice = attached.session.choice(kind)?;
    let name = clean_line(choice.name_of(&choice.current));
    let what = match kind {
        Kind::Model => "model",
        Kind::Mode | Kind::Thinking | Kind::Other => "mode",
    };
    (!name.is_empty()).then(|| format!("{what}: {name}"))
}

fn plan(attached: &Attached) -> Option<String> {
    let plan = &attached.session.plan;
    let of = |status| plan.iter().filter(move |one| one.status == status);
    let done = of(PlanStatus::Completed).count();
    let now = of(PlanStatus::InProgress).next();
    let now = now.map_or_else(String::new, |one| {
        format!("; now: {}", clean_line(&one.content))
    });
    (!plan.is_empty()).then(|| format!("plan: {done} of {} done{now}", plan.len()))
}

/// A first message that the agent has not begun with waits for nobody.
fn queue(attached: &Attached) -> Option<String> {
    let working = matches!(attached.session.turn, Turn::Working { .. });
    let queued = attached.session.queued.len();
    let unsent = attached.outbox.iter();
    let unsent = unsent.filter(|one| matches!(one.state, Posting::Waiting | Posting::InFlight));
    let away = matches!(
        attached.link,
        Link::Reconnecting { .. } | Link::Offline { .. }
    );
    match (queued, unsent.count()) {
        (_, many @ 1..) if away => Some(format!("{} not sent yet", counted(many, "message"))),
        (many @ 1.., _) if working => Some(format!("queued: {}", counted(many, "message"))),
        _ => None,
    }
}

fn refused(attached: &Attached) -> Standing {
    let refused = attached.outbox.iter().filter_map(|one| match &one.state {
        Posting::Refused(why) => Some((one.command.id.clone(), why)),
        Posting::Waiting | Posting::InFlight | Posting::Accepted => None,
    });
    let refused: Vec<_> = refused.collect();
    let mark = format!("{:?}", refused.iter().map(|(id, _)| id).collect::<Vec<_>>());
    let told = refused.last().map_or_else(Vec::new, |(_, why)| {
        prefixed(
            "not taken: ",
            &format!("{why} (/take_back brings the words back)"),
        )
    });
    ("refused", mark, told)
}

fn others(attached: &Attached) -> Option<String> {
    let name = |client: &crate::protocol::presence::Client| {
        let reads = if client.read_only { ", who reads" } else { "" };
        format!("{}{reads}", clean_line(&client.from))
    };
    let names: Vec<String> = attached.others.iter().map(name).collect();
    (!names.is_empty()).then(|| format!("attached too: {}", names.join("; ")))
}

fn pull_request(attached: &Attached) -> Option<String> {
    let known = attached.run.as_ref().and_then(|run| run.pr_url());
    let url = attached.session.pr_url.as_deref().or(known)?;
    Some(format!("pull request: {}", clean_line(url)))
}
