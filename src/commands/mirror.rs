//! `ashore mirror …`: asks the process that holds the directory, or acts itself when there is none.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::cli::{self, Format, Mirror};
use crate::client::runs;
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::{forecast, mirrored, output, undo, writes};
use crate::mirror::control::{self, Answer, Keep, Request};
use crate::mirror::status::{Conflict, Held, MirrorState, MirrorStatus, States, Way};
use crate::mirror::watch::POLL;
use crate::mirror::why::Told;
use crate::mirror::worker::{self, Resume, Setup};
use crate::protocol::file::{FileState, size};
use crate::protocol::ids::RunRef;
use crate::protocol::path::RelPath;

pub async fn run(context: &Context, what: &Mirror, format: Format) -> Result<Exit, Failure> {
    let (text, request) = match what {
        Mirror::Status { run } => (run, Request::Status),
        Mirror::Pause { run } => (run, Request::Pause),
        Mirror::Resume {
            run,
            accept_deletes,
            bring_back,
            accept_rules,
        } => {
            let how = match () {
                () if *accept_deletes => Resume::AcceptDeletes,
                () if *bring_back => Resume::BringBack,
                () if *accept_rules => Resume::AcceptRules,
                () => Resume::Plain,
            };
            (run, Request::Resume { how })
        }
        Mirror::Flush { run } => (run, Request::Flush),
        Mirror::Fetch { run, path } => {
            let path = path.as_ref().map(|path| below_root(context, path));
            let path = path.transpose()?;
            (run, Request::Fetch { path })
        }
        Mirror::Direction { run, word } => (
            run,
            Request::Direction {
                way: word.map(Way::from),
            },
        ),
        Mirror::Resolve { run, path, keep } => {
            let keep = match keep {
                keep if keep.mine => Keep::Mine,
                keep if keep.theirs => Keep::Theirs,
                keep if keep.merge => Keep::Merge,
                _ => Keep::Both,
            };
            (
                run,
                Request::Resolve {
                    path: below_root(context, path)?,
                    keep,
                },
            )
        }
        Mirror::Undo { run, of, yes } => return undo::run(context, run, of, *yes, format).await,
        Mirror::Conflicts { run } => (run, Request::Conflicts),
        Mirror::Plan { run } => return forecast::run(context, run, format).await,
        Mirror::Why { run, path } => return why(context, run, path, format).await,
        Mirror::Log { run } => return writes::log(context, run, format).await,
        Mirror::Who { run, path } => return writes::who(context, run, path, format).await,
    };
    let at = named(context, text).await?;
    let answer = ask(context, &at, &request).await?;
    show(context, &at, &request, &answer, format)
}

/// Whether a path is mirrored and, if not, what keeps it out. The answer is the answer: 0 either way.
async fn why(context: &Context, run: &str, path: &str, format: Format) -> Result<Exit, Failure> {
    let at = named(context, run).await?;
    let (told, status) = match inside(context, path).parse::<RelPath>() {
        Err(bad) => (Told::refused(path, bad), MirrorStatus::default()),
        Ok(path) => {
            let answer = ask(context, &at, &Request::Why { path }).await?;
            let Some(told) = answer.why.filter(|_| answer.ok) else {
                let what = answer.text.unwrap_or_default();
                return Err(Failure::new(Exit::Mirror, what));
            };
            (told, answer.status)
        }
    };
    if format != Format::Text && format != Format::Md {
        let mut value = serde_json::to_value(&told).unwrap_or_default();
        let fields = value.as_object_mut().map(std::mem::take);
        let head = json!({"v": 1, "run": at.run});
        let head = head.as_object().cloned().unwrap_or_default();
        let all = head.into_iter().chain(fields.unwrap_or_default());
        output::json(&Value::Object(all.collect()))?;
        return Ok(Exit::Done);
    }
    output::line(&output::plain(&format!("{}: {}", told.path, told.text)))?;
    let stands_still = match status.state {
        MirrorState::Paused | MirrorState::Halted => true,
        _ => status.direction != Way::Both,
    };
    if told.mirrored && stands_still {
        output::line(&output::plain(&format!(
            "the mirror: {}",
            sentence(&status)
        )))?;
    }
    Ok(Exit::Done)
}

/// What stands here is known here: the endpoint need not be asked, and may be down.
pub(super) async fn named(context: &Context, text: &str) -> Result<RunRef, Failure> {
    let known = runs::known(&context.places.runs());
    match runs::resolve(text, &known, &context.directory) {
        Ok(known) => Ok(known.at.clone()),
        Err(_) => Ok(context.find(text).await?.at),
    }
}

impl From<cli::Direction> for Way {
    fn from(word: cli::Direction) -> Self {
        match word {
            cli::Direction::Both => Self::Both,
            cli::Direction::Down => Self::Down,
            cli::Direction::Up => Self::Up,
            cli::Direction::Off => Self::Off,
        }
    }
}

/// A path as typed: relative to where we stand, which is the root or below it.
pub(super) fn below_root(context: &Context, text: &str) -> Result<RelPath, Failure> {
    inside(context, text).parse().map_err(|error| {
        Failure::usage(format!("`{text}`: {error}"))
            .hint("name it relative to the mirrored directory")
    })
}

fn inside<'t>(context: &Context, text: &'t str) -> &'t str {
    text.strip_prefix(&format!("{}/", context.directory.display()))
        .unwrap_or(text)
}

pub(super) async fn ask(
    context: &Context,
    at: &RunRef,
    request: &Request,
) -> Result<Answer, Failure> {
    let known = runs::known(&context.places.runs())
        .into_iter()
        .find(|known| known.at.run == at.run);
    let Some((known, root)) = known.as_ref().and_then(|known| {
        let root = mirrored::recorded(Some(known))?;
        Some((known, root))
    }) else {
        return match control::ask(&mirrored::locks(context), &at.run, request).await {
            Some(answer) => Ok(answer),
            None => Ok(Answer {
                ok: *request == Request::Status || *request == Request::Conflicts,
                text: Some("this run is not mirrored here".into()),
                status: off(),
                preview: None,
                why: None,
            }),
        };
    };
    if let Some(answer) = control::ask(&mirrored::locks(context), &at.run, request).await {
        return Ok(answer);
    }
    let blobs = Some(mirrored::blobs(context, known));
    let setup = mirrored::setup(context, &at.run, root, true);
    let setup = Setup { blobs, ..setup };
    let answer = worker::ask_or_act(setup, request).await;
    let answer = answer.map_err(|error| mirrored::refused(&error))?;
    Ok(unattended(at, answer))
}

/// We acted for a moment and leave again: what we found to be live is not.
fn unattended(at: &RunRef, mut answer: Answer) -> Answer {
    if matches!(
        answer.status.state,
        MirrorState::Live | MirrorState::CatchingUp
    ) {
        answer.status.state = MirrorState::Off;
        answer.status.reason = Some(format!(
            "nobody is attached, so nothing comes down now; `ashore attach {}` goes on",
            at.run.short()
        ));
    }
    answer
}

fn off() -> MirrorStatus {
    MirrorStatus {
        reason: Some("this run is not mirrored here".into()),
        ..MirrorStatus::default()
    }
}

fn show(
    context: &Context,
    at: &RunRef,
    request: &Request,
    answer: &Answer,
    format: Format,
) -> Result<Exit, Failure> {
    if !answer.ok {
        return Err(Failure::new(
            Exit::Mirror,
            answer
                .text
                .clone()
                .unwrap_or_else(|| "the mirror did not do this".into()),
        ));
    }
    let status = &answer.status;
    match (format, request) {
        (Format::Json | Format::Ndjson, _) => output::json(&json(at, status))?,
        (Format::Text | Format::Md, Request::Conflicts) => {
            for line in status.conflicts.iter().flat_map(|one| told(at, one)) {
                output::line(&output::plain(&line))?;
            }
        }
        (Format::Text | Format::Md, Request::Status) => {
            output::line(&output::plain(&sentence(status)))?;
            for line in looked(status, Timestamp::now(), &TimeZone::system()) {
                output::line(&output::plain(&line))?;
            }
            for line in held(at, status) {
                output::line(&output::plain(&line))?;
            }
        }
        (Format::Text | Format::Md, _) => {
            output::say(context.quiet, answer.text.as_deref().unwrap_or("Done."))
        }
    }
    let open = matches!(request, Request::Conflicts | Request::Status)
        && (!status.conflicts.is_empty() || status.state == MirrorState::Halted)
        || *request == Request::Status && status.held_count() > 0;
    Ok(if open { Exit::Mirror } else { Exit::Done })
}

/// When the directory was last compared whole, and how its changes are noticed.
fn looked(status: &MirrorStatus, now: Timestamp, zone: &TimeZone) -> Vec<String> {
    if status.directory.is_none() {
        return Vec::new();
    }
    let checked = status.checked_at.map_or_else(
        || "not yet compared whole with what the run has".to_owned(),
        |at| {
            let time = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z");
            format!(
                "last compared whole with what the run has {} ago, at {time}",
                age(at, now)
            )
        },
    );
    let polls = status.polls.as_ref().map(|why| {
        format!("it cannot be watched ({why}): it is looked at whole every {} s instead, so a change may take that long", POLL.as_secs())
    });
    std::iter::once(checked).chain(polls).collect()
}

/// `12 s`, `3 min`, `5 h`, `2 days`.
fn age(at: Timestamp, now: Timestamp) -> String {
    match now.duration_since(at).as_secs().max(0) {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// What of theirs could not be put here, why, and what helps.
fn held(at: &RunRef, status: &MirrorStatus) -> Vec<String> {
    if status.held_count() == 0 {
        return Vec::new();
    }
    let one = |held: &Held| {
        let next = match held.next_try {
            Some(_) => "; it is tried again by itself",
            None => "",
        };
        format!("  {}: {}{next}", held.path, held.reason)
    };
    let mut lines = vec!["not put here yet:".to_owned()];
    lines.extend(status.held.iter().map(one));
    if status.held_beyond > 0 {
        lines.push(format!("  and {} more", status.held_beyond));
    }
    lines.push(format!(
        "  ashore mirror fetch {} [PATH] tries them now; with a PATH also what is too large",
        at.run.short()
    ));
    lines
}

/// A conflict with its versions, and what ends it.
fn told(at: &RunRef, conflict: &Conflict) -> Vec<String> {
    let version = |name: &str, state: Option<FileState>, place: &str| match state {
        Some(state) => format!(
            "  {name:<6}  {:>9}  {}  {place}",
            size(state.size),
            state.hash.short()
        ),
        None => format!("  {name:<6}  nothing stands there"),
    };
    let mut lines = vec![conflict.path.clone()];
    if let Some(States { base, mine, theirs }) = conflict.versions {
        let beside = conflict.theirs.as_deref().unwrap_or_default();
        lines.push(version("yours", mine, "in place").trim_end().to_owned());
        lines.push(version("theirs", theirs, beside).trim_end().to_owned());
        lines.push(version("base", base, "what both had last"));
    } else {
        let theirs = conflict.theirs.as_deref().unwrap_or("deleted there");
        lines.push(format!("  theirs  {theirs}"));
    }
    lines.push(format!(
        "  ashore mirror resolve {} {} --mine | --theirs | --both | --merge",
        at.run.short(),
        conflict.path
    ));
    lines
}

/// The mirror of a run as this machine knows it.
pub async fn look(context: &Context, at: &RunRef) -> MirrorStatus {
    match ask(context, at, &Request::Status).await {
        Ok(answer) => answer.status,
        Err(failure) => MirrorStatus {
            reason: Some(failure.what),
            ..MirrorStatus::default()
        },
    }
}

/// `mirror status --json` (design of the surface).
pub fn json(at: &RunRef, status: &MirrorStatus) -> Value {
    let conflicts: Vec<_> = status
        .conflicts
        .iter()
        .map(|one| json!({"path": one.path, "theirs": one.theirs, "versions": one.versions}))
        .collect();
    json!({
        "v": 1, "run": at.run, "state": status.state, "directory": status.directory, "down": status.down, "up": status.up,
        "direction": status.direction,
        "conflicts": conflicts, "held": status.held, "held_count": status.held_count(), "checked_at": status.checked_at.map(|time| time.to_string()),
        "polls": status.polls,
    })
}

/// One line for people.
pub fn sentence(status: &MirrorStatus) -> String {
    let place = status
        .directory
        .as_ref()
        .map_or_else(String::new, |directory| {
            format!(" in {}", directory.display())
        });
    let reason = status
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {reason}"));
    let counts = format!(
        "{} to come down, {} to go up, {} conflicts",
        status.down,
        status.up,
        status.conflicts.len()
    );
    let counts = match status.held_count() {
        0 => counts,
        held => format!("{held} held, {counts}"),
    };
    let counts = match status.direction {
        Way::Both => counts,
        way => format!("direction {}; {counts}", way.as_str()),
    };
    match status.state {
        MirrorState::Off if status.directory.is_some() => format!("off{place}{reason}; {counts}"),
        MirrorState::Off => format!("off{reason}"),
        MirrorState::Live => format!("live{place}; {counts}"),
        MirrorState::CatchingUp => format!("catching up{place}; {counts}"),
        MirrorState::Paused => format!("paused{place}{reason}; {counts}"),
        MirrorState::Halted => format!("halted{place}{reason}; {counts}"),
        MirrorState::Conflict => format!("in conflict{place}; {counts}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_when_it_looked_last_and_why_it_only_looks_now_and_then() {
        let at: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let told = |status: &MirrorStatus, after: i64| {
            let now = Timestamp::from_second(at.as_second() + after).unwrap();
            looked(status, now, &TimeZone::UTC)
        };
        let mut status = MirrorStatus {
            directory: Some("/w".into()),
            checked_at: Some(at),
            ..MirrorStatus::default()
        };
        for (after, age) in [
            (12, "12 s"),
            (200, "3 min"),
            (90_000, "25 h"),
            (260_000, "3 days"),
        ] {
            let line = format!(
                "last compared whole with what the run has {age} ago, at 2026-11-23 08:00:00 UTC"
            );
            assert_eq!(told(&status, after), [line]);
        }
        status.polls = Some("no inotify".to_owned());
        let lines = told(&status, -5);
        assert!(lines[0].contains(" 0 s ago"), "{lines:?}");
        assert!(
            lines[1].contains("cannot be watched (no inotify)"),
            "{lines:?}"
        );
        status.checked_at = None;
        assert!(told(&status, 0)[0].starts_with("not yet compared"));
        status.directory = None;
        assert!(told(&status, 0).is_empty());
    }
}
