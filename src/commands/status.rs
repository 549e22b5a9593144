//! `status`: how one run stands, by its endpoint; when that does not answer, by what is kept here.
//!
//! Nothing here waits or queues.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::attach::state::{Outgoing, Posting};
use crate::attach::{journal, outbox, queue};
use crate::cli::Format;
use crate::client::api::Api;
use crate::client::runs;
use crate::client::stream::{self, Heard, View};
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::runs::turn;
use crate::commands::{mirror, output, read};
use crate::mirror::status::MirrorStatus;
use crate::protocol::ids::{CommandId, RunRef, Seq};
use crate::protocol::presence::Client;
use crate::protocol::run::Run;
use crate::session::cells::Kind;
use crate::session::reduce::apply;
use crate::session::state::{Session, Turn};
use crate::session::transcript::Body;

/// How long an endpoint may take to say who is attached; one of another kind never does.
const LOOK: Duration = Duration::from_secs(2);

/// A working agent is silent when nothing came from it for this long, in seconds.
const LONG_SILENCE: i64 = 60;

/// Everything that is told.
struct Standing {
    at: RunRef,
    /// Name and address.
    endpoint: String,
    reachable: bool,
    run: Option<Run>,
    session: Session,
    mirror: MirrorStatus,
    clients: Vec<Client>,
    /// What waits on this machine.
    outgoing: Vec<Outgoing>,
}

/// One message that a turn has or will have.
struct Message {
    command: Option<CommandId>,
    text: String,
    state: &'static str,
}

/// Exit code 7 when only what is kept here could be told.
pub async fn status(context: &Context, text: &str, format: Format) -> Result<Exit, Failure> {
    match asked(context, text).await {
        Ok(standing) => {
            show(&standing, format)?;
            Ok(Exit::Done)
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            if let Some(standing) = kept(context, text).await {
                show(&standing, format)?;
            }
            Err(failure)
        }
        Err(failure) => Err(failure),
    }
}

async fn asked(context: &Context, text: &str) -> Result<Standing, Failure> {
    let found = context.find(text).await?;
    let run = found.api.run(&found.at).await?;
    let session = read::session(&found.api, &found.at).await?;
    let endpoint = found.api.endpoint();
    Ok(Standing {
        endpoint: format!("{} {}", endpoint.name, endpoint.url),
        reachable: true,
        mirror: mirror::look(context, &found.at).await,
        clients: clients(&found.api, &found.at, session.last).await,
        outgoing: outgoing(context, &found.at, &session),
        run: Some(run),
        session,
        at: found.at,
    })
}

/// What this machine knows by itself.
async fn kept(context: &Context, text: &str) -> Option<Standing> {
    let known = runs::known(&context.places.runs());
    let known = match text.rsplit_once("/runs/") {
        Some((_, id)) => known
            .iter()
            .find(|known| known.at.run.as_str() == id.trim_end_matches('/')),
        None => runs::resolve(text, &known, &context.directory).ok(),
    }?;
    let mut session = Session::default();
    let cache = journal::look(&context.places.run(&known.at.run), |lines| {
        for (seq, line) in lines {
            apply(&mut session, seq, &line);
        }
    });
    if let Err(error) = cache {
        tracing::debug!(%error, "no journal of this run is kept here");
    }
    Some(Standing {
        at: known.at.clone(),
        endpoint: format!("{} {} (not reachable)", known.endpoint, known.url),
        reachable: false,
        run: None,
        mirror: mirror::look(context, &known.at).await,
        clients: Vec::new(),
        outgoing: outgoing(context, &known.at, &session),
        session,
    })
}

/// The messages on this machine that the journal does not show.
fn outgoing(context: &Context, at: &RunRef, session: &Session) -> Vec<Outgoing> {
    let mut outgoing = outbox::look(&context.places.run(&at.run));
    let heard = |id: &CommandId| session.has_heard(id);
    outgoing.retain(|one| !one.command.id.as_ref().is_some_and(heard));
    outgoing
}

/// Who is attached, as a new follower is told.
async fn clients(api: &Api, at: &RunRef, after: Seq) -> Vec<Client> {
    let (out, mut heard) = mpsc::channel(16);
    let told = async {
        while let Some(one) = heard.recv().await {
            if let Heard::Presence(clients) = one {
                return clients;
            }
        }
        Vec::new()
    };
    tokio::select! {
        clients = told => clients,
        _ = stream::follow(api, at, View::Journal, after, &out) => Vec::new(),
        () = tokio::time::sleep(LOOK) => Vec::new(),
    }
}

impl Standing {
    /// What runs, what waits there and what waits here, in this order.
    fn messages(&self) -> Vec<Message> {
        let session = &self.session;
        let working = matches!(session.turn, Turn::Working { .. });
        let cells = &session.transcript.cells;
        let last = cells.labels().rposition(|label| label.kind == Kind::User);
        let running = last
            .and_then(|index| cells.get(index))
            .filter(|cell| working && cell.turn == session.turns)
            .and_then(|cell| match &cell.body {
                Body::User { text, command, .. } => Some(Message {
                    command: command.clone(),
                    text: text.clone(),
                    state: "running",
                }),
                Body::Agent { .. }
                | Body::Thought { .. }
                | Body::Tool(_)
                | Body::Attachment(_)
                | Body::Notice(_)
                | Body::TurnEnd { .. } => None,
            });
        let accepted = session.queued.iter().map(|one| Message {
            command: one.command.clone(),
            text: one.text.clone(),
            state: "accepted",
        });
        let here = self.outgoing.iter().filter_map(|one| {
            Some(Message {
                command: one.command.id.clone(),
                text: queue::words(&one.command.what)?.text.clone(),
                state: match one.state {
                    Posting::Refused(_) => "not taken",
                    Posting::Waiting | Posting::InFlight | Posting::Accepted => "queued here",
                },
            })
        });
        running.into_iter().chain(accepted).chain(here).collect()
    }

    fn status(&self) -> Option<String> {
        let run = self.run.as_ref().map(|run| &run.status);
        run.or(self.session.status.as_ref())
            .map(ToString::to_string)
    }

    fn json(&self) -> Value {
        let session = &self.session;
        let usage = session
            .usage
            .map(|usage| json!({"used": usage.used, "size": usage.size}));
        let clients = self
            .clients
            .iter()
            .map(|one| json!({"from": one.from, "read_only": one.read_only}));
        let messages = self.messages();
        let messages = messages.iter().map(
            |one| json!({"command": one.command, "text": one.text, "state": one.state.replace(' ', "_")}),
        );
        let pr_url = session
            .pr_url
            .as_deref()
            .or(self.run.as_ref().and_then(Run::pr_url));
        json!({
            "v": 1, "run": self.at.run, "status": self.status(), "turn": turn(session),
            "endpoint": if self.reachable { "reachable" } else { "unreachable" },
            "last_seq": session.last.0, "context": usage, "mirror": mirror::json(&self.at, &self.mirror),
            "pr_url": pr_url, "clients": clients.collect::<Vec<_>>(), "messages": messages.collect::<Vec<_>>(),
        })
    }

    fn turn(&self) -> String {
        match silence(&self.session) {
            Some(age) if age >= LONG_SILENCE && self.reachable => format!(
                "turn      working; the agent has been silent for {age} s: `ashore cancel {}` ends the turn",
                self.at.run.short()
            ),
            Some(_) | None => format!("turn      {}", turn(&self.session)),
        }
    }

    fn text(&self) -> String {
        let session = &self.session;
        let mut lines = vec![
            format!("run       {}", self.at.run),
            format!(
                "status    {}",
                self.status().as_deref().unwrap_or("unknown")
            ),
            self.turn(),
            format!("endpoint  {}", self.endpoint),
            format!("journal   {} lines", session.last),
            format!("mirror    {}", mirror::sentence(&self.mirror)),
        ];
        for client in &self.clients {
            let reads = if client.read_only {
                " (reads only)"
            } else {
                ""
            };
            lines.push(format!("attached  {}{reads}", client.from));
        }
        for message in self.messages() {
            let text: String = message.text.replace('\n', " ").chars().take(60).collect();
            lines.push(format!("message   {}: {text}", message.state));
        }
        if let Some(reason) = self.run.as_ref().and_then(|run| run.error_message.as_ref()) {
            lines.push(format!("reason    {reason}"));
        }
        for open in &session.permissions {
            lines.push(format!(
                "question  {}: ashore answer {} {}",
                open.title,
                self.at.run.short(),
                open.request
            ));
        }
        lines.join("\n") + "\n"
    }
}

/// For how many seconds an agent at work has said nothing.
fn silence(session: &Session) -> Option<i64> {
    let since = session.silent_since()?;
    Some(
        jiff::Timestamp::now()
            .duration_since(since)
            .as_secs()
            .max(0),
    )
}

fn show(standing: &Standing, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json | Format::Ndjson => output::json(&standing.json()),
        Format::Text | Format::Md => output::raw(&output::plain(&standing.text())),
    }
}
