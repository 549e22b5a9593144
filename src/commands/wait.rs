//! `wait` and `answer`: what scripts need between two prompts.

use std::time::Duration;

use serde_json::json;

use crate::cli::{Format, Until};
use crate::client::stream::Heard;
use crate::commands::context::{Context, Found};
use crate::commands::failure::{Exit, Failure};
use crate::commands::follow::follow;
use crate::commands::{output, read};
use crate::protocol::acp::PermissionOption;
use crate::protocol::command::{Command, PermissionReply, What};
use crate::protocol::ids::Seq;
use crate::protocol::run::Status;
use crate::session::reduce::apply;
use crate::session::state::{OpenPermission, Session};

/// Waits; exit 3 when the time is over.
pub async fn wait(
    context: &Context,
    run: &str,
    until: Until,
    timeout: Option<Duration>,
    format: Format,
) -> Result<Exit, Failure> {
    let found = context.find(run).await?;
    let watch = watch(context, &found, until);
    let exit = match timeout {
        None => watch.await?,
        Some(limit) => tokio::time::timeout(limit, watch).await.map_err(|_| {
            Failure::new(
                Exit::TimeOut,
                format!("nothing of that happened within {} s", limit.as_secs()),
            )
            .hint("the run goes on; ashore status RUN says how it stands")
        })??,
    };
    if format != Format::Text {
        output::json(&json!({"v": 1, "run": found.at.run, "exit": exit.code()}))?;
    }
    Ok(exit)
}

/// Follows the run until the condition holds. An end of the run ends every wait.
async fn watch(context: &Context, found: &Found, until: Until) -> Result<Exit, Failure> {
    let mut session = Session::default();
    // History first: a condition of the past must not end the wait.
    let mut live = false;
    follow(context, found, Seq::ZERO, |heard| {
        match heard {
            Heard::Opened { .. } | Heard::Presence(_) => (),
            Heard::Lines(lines) => lines
                .iter()
                .for_each(|(seq, line)| apply(&mut session, *seq, line)),
            Heard::Live => live = true,
            Heard::Ended(status) => return Ok(Some(ended(&status, until))),
        }
        Ok((live && holds(&session, until)).then_some(Exit::Done))
    })
    .await
}

fn holds(session: &Session, until: Until) -> bool {
    match until {
        Until::Idle => session.is_idle(),
        Until::Permission => !session.permissions.is_empty(),
        Until::Done => false,
    }
}

fn ended(status: &Status, until: Until) -> Exit {
    match (status, until) {
        (Status::Failed, _) => Exit::RunFailed,
        (_, Until::Permission) => Exit::RunFailed,
        (_, Until::Idle | Until::Done) => Exit::Done,
    }
}

/// Lists open requests, or answers one.
pub async fn answer(
    context: &Context,
    run: &str,
    request: Option<&str>,
    option: Option<&str>,
    format: Format,
) -> Result<Exit, Failure> {
    let found = context.find(run).await?;
    let session = read::session(&found.api, &found.at).await?;
    let open = &session.permissions;
    let (asked, option) = match (request, option, open.as_slice()) {
        (None, _, _) => return list(context, open, format),
        (Some(_), _, []) => return Err(Failure::usage("the agent asks nothing (any more)")),
        (Some(request), Some(option), _) => {
            (open.iter().find(|one| one.request == request), option)
        }
        // With one open request its id need not be said.
        (Some(option), None, [only]) if only.request != option => (Some(only), option),
        (Some(request), None, _) => {
            return Err(Failure::usage(format!("which option of `{request}`?"))
                .hint("ashore answer RUN lists them"));
        }
    };
    let asked = asked.ok_or_else(|| {
        Failure::usage("that request is not open (any more)")
            .hint("ashore answer RUN lists the open ones")
    })?;
    let chosen = choose(asked, option)?;
    let reply = PermissionReply {
        request: asked.request.clone(),
        tool_call: asked.tool_call.clone(),
        option: chosen.id.clone(),
        text: None,
    };
    found
        .api
        .post(&found.at, &Command::new(What::Permission(reply)))
        .await?;
    match format {
        Format::Text | Format::Md => {
            output::say(context.quiet, &format!("Answered: {}", chosen.name))
        }
        Format::Json | Format::Ndjson => output::json(
            &json!({"v": 1, "run": found.at.run, "request": asked.request, "option": chosen.id}),
        )?,
    }
    Ok(Exit::Done)
}

/// By id, by place (from 1), or by name.
fn choose<'a>(asked: &'a OpenPermission, option: &str) -> Result<&'a PermissionOption, Failure> {
    let place = option
        .parse::<usize>()
        .ok()
        .and_then(|place| asked.options.get(place.checked_sub(1)?));
    asked
        .options
        .iter()
        .find(|one| one.id == option)
        .or(place)
        .or_else(|| {
            asked
                .options
                .iter()
                .find(|one| one.name.eq_ignore_ascii_case(option))
        })
        .ok_or_else(|| {
            let all: Vec<_> = asked.options.iter().map(|one| one.id.as_str()).collect();
            Failure::usage(format!("`{option}` is not offered"))
                .hint(format!("one of {}", all.join(", ")))
        })
}

fn list(context: &Context, open: &[OpenPermission], format: Format) -> Result<Exit, Failure> {
    if format != Format::Text {
        let requests: Vec<_> = open
            .iter()
            .map(|one| {
                let options: Vec<_> = one.options.iter().map(|option| json!({"id": option.id, "name": option.name, "kind": option.kind.as_str()})).collect();
                json!({"request": one.request, "title": one.title, "options": options})
            })
            .collect();
        output::json(&json!({"v": 1, "requests": requests}))?;
        return Ok(Exit::Done);
    }
    if open.is_empty() {
        output::say(context.quiet, "No open question.");
    }
    for one in open {
        output::line(&output::plain(&format!("{}  {}", one.request, one.title)))?;
        for (index, option) in one.options.iter().enumerate() {
            output::line(&output::plain(&format!(
                "  {}  {}  ({}, {})",
                index + 1,
                option.name,
                option.id,
                option.kind.as_str()
            )))?;
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::acp::OptionKind;

    fn asked() -> OpenPermission {
        let option = |id: &str, name: &str| PermissionOption {
            id: id.into(),
            name: name.into(),
            kind: OptionKind::AllowOnce,
            description: None,
        };
        OpenPermission {
            request: "r1".into(),
            tool_call: "t".into(),
            title: "Run it?".into(),
            kind: None,
            options: vec![option("yes", "Allow once"), option("2", "Second by id")],
            raw_input: None,
            since: None,
            seq: crate::protocol::ids::Seq(1),
        }
    }

    #[test]
    fn an_option_is_found_by_id_then_place_then_name() {
        let asked = asked();
        let id = |text| choose(&asked, text).map(|option| option.id.as_str().to_owned());
        assert_eq!(id("yes").as_deref(), Ok("yes"));
        assert_eq!(id("1").as_deref(), Ok("yes"));
        assert_eq!(id("2").as_deref(), Ok("2"));
        assert_eq!(id("allow once").as_deref(), Ok("yes"));
        assert!(choose(&asked, "0").is_err() && choose(&asked, "no").is_err());
    }

    #[test]
    fn a_failed_run_ends_every_wait_with_nine() {
        assert_eq!(ended(&Status::Failed, Until::Idle), Exit::RunFailed);
        assert_eq!(ended(&Status::Completed, Until::Done), Exit::Done);
    }
}
