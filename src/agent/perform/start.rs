//! From no agent to one with a session, and back: start, login, what is remembered between starts, and the end.
//!
//! Only one child lives at a time. How its session comes about is decided in `opening`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::agent::child::{self, Spec};
use crate::agent::home;
use crate::agent::journal::Closed;
use crate::agent::opening::{Next, Opening, Session};
use crate::agent::perform::{Ending, Live, Server, Settling};
use crate::agent::turns::Event;
use crate::protocol::entry::{RpcError, Step, StepStatus, Takes};
use crate::protocol::line;
use crate::protocol::presets::DEMO;

/// Between the child and us: small, so that a full journal stops reading the child soon.
const HEARD: usize = 64;
/// A loaded session whose agent may still replay it counts as ready when nothing came for this long.
const QUIET: Duration = Duration::from_millis(300);
/// And after this at the latest.
const QUIET_LIMIT: Duration = Duration::from_secs(5);

/// What is remembered of the session between starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    agent: Option<String>,
    session: String,
}

impl Server {
    /// The agent is started before the first prompt, so that its step and its commands are seen early.
    pub(crate) async fn begin(&mut self) -> Result<(), Closed> {
        if self.live.is_none() && self.driven.is_empty() {
            self.start_child().await?;
        }
        Ok(())
    }

    /// Starts the agent, or says why not and ends.
    pub(crate) async fn start_child(&mut self) -> Result<(), Closed> {
        self.turns.starts_early();
        if !self.told_step {
            self.step(StepStatus::Started, None, None).await?;
        }
        let memory = self.memory().await;
        if !self.launch.agent_named
            && self.launch.agent_command.is_none()
            && let Some(agent) = memory.as_ref().and_then(|memory| memory.agent.clone())
        {
            // What took the place of an agent without a login stays in it, or the talk would break in two.
            self.launch.agent = Some(agent);
        }
        let spec = match self.spec() {
            Ok(spec) => spec,
            Err(error) => {
                let hint = error.hint();
                return self.agent_failed(error.to_string(), Some(hint)).await;
            }
        };
        home::furnish(&self.launch, &self.around.environment).await;
        let (hear, ears) = mpsc::channel(HEARD);
        let started = child::start(&spec, Arc::from(self.launch.at.run.as_str()), hear);
        let (running, driven) = match started {
            Ok(started) => started,
            Err(error) => {
                let detail = std::error::Error::source(&error).map(ToString::to_string);
                let what = format!("{error}: {}", detail.unwrap_or_default());
                return self.agent_failed(what, Some(error.hint())).await;
            }
        };
        running.remember(&self.launch.folder).await;
        let old = memory.map(|memory| memory.session);
        let opening = Opening::new(&self.root, old, self.spoken);
        let (method, params) = opening.first();
        self.ears = Some(ears);
        self.driven.spawn(driven);
        self.live = Some(Live {
            running,
            opening: Some(opening),
            until: Instant::now() + self.around.limits.opening,
            settling: None,
        });
        self.request(method, params).await;
        Ok(())
    }

    pub(super) fn spec(&self) -> Result<Spec, child::Error> {
        child::spec(
            &self.launch,
            &self.around.environment,
            &self.around.executable,
            &self.root,
        )
    }

    pub(super) async fn opened(&mut self, next: Next) -> Result<(), Closed> {
        match next {
            Next::Ask(method, params) => {
                let limits = self.around.limits;
                let limit = if self.is_reopening() {
                    limits.reopening
                } else {
                    limits.opening
                };
                if let Some(live) = &mut self.live {
                    live.until = Instant::now() + limit;
                }
                self.request(method, params).await;
                Ok(())
            }
            Next::Open(session) if session.may_replay => {
                let now = Instant::now();
                if let Some(live) = &mut self.live {
                    live.settling = Some(Settling {
                        session,
                        quiet: now + QUIET,
                        limit: now + QUIET_LIMIT,
                    });
                }
                Ok(())
            }
            Next::Open(session) => self.stands(session).await,
            Next::Login(ways) => self.login(&ways).await,
            Next::Failed(why) => {
                self.live = None;
                self.agent_failed(why, None).await
            }
        }
    }

    pub(super) async fn stands(&mut self, session: Session) -> Result<(), Closed> {
        if let Some(live) = self.live.as_mut() {
            live.opening = None;
        }
        self.remember(&session.id).await;
        self.session = Some(session.id);
        self.takes = session.takes.as_ref().map(Takes::of).unwrap_or_default();
        self.logins = session.logins;
        if !std::mem::replace(&mut self.told_step, true) {
            let name = self
                .spec()
                .map_or_else(|_| "agent".to_owned(), |spec| spec.name);
            let detail = match &session.version {
                Some(version) => format!("{name} {version}"),
                None => name,
            };
            self.step(StepStatus::Done, Some(detail), None).await?;
        }
        let run = self.launch.at.run.as_str();
        let started = line::run_started(run, session.version.as_deref(), session.takes.as_ref());
        self.journal.write(&started).await?;
        if session.forgot {
            let note = "the agent starts anew: it does not remember what was said before";
            self.journal.write(&line::note(note)).await?;
        }
        self.tell_updates(session.updates).await?;
        self.apply(Event::Ready).await?;
        if let Some(blocks) = self.again.take() {
            self.send_prompt(blocks).await?;
        }
        Ok(())
    }

    /// The agent wants a login. One that nobody named makes way for the demo agent.
    pub(super) async fn login(&mut self, ways: &[String]) -> Result<(), Closed> {
        let (detail, how) = self.login_words(ways);
        self.live = None;
        if !self.may_be_replaced() {
            return self.agent_failed(detail, Some(how)).await;
        }
        let note =
            format!("{detail}, so the demo agent is used; {how} and start a new run to use it");
        self.journal.write(&line::note(&note)).await?;
        self.launch.agent = Some(DEMO.to_owned());
        // It names the agent that is left.
        drop(tokio::fs::remove_file(self.memory_file()).await);
        // The old child is ended by losing its handle; its end is no news.
        self.end_child().await;
        self.start_child().await
    }

    /// Some agents open a session without a login and ask for it at the first prompt: then nothing was said yet, and
    /// the demo agent gets that prompt.
    pub(super) async fn login_in_turn(
        &mut self,
        error: RpcError,
        first: Option<Vec<Value>>,
    ) -> Result<(), Closed> {
        let ways = self.logins.clone();
        if first.is_some() {
            self.again = first;
            self.spoken = false;
            return self.login(&ways).await;
        }
        let (detail, how) = self.login_words(&ways);
        let note = line::note(&format!("{detail}: {how}, then send the message again"));
        self.journal.write(&note).await?;
        self.apply(Event::Answered(Err(error))).await
    }

    pub(super) fn may_be_replaced(&self) -> bool {
        let is_demo = self.launch.agent.as_deref() == Some(DEMO);
        !self.launch.agent_named && self.launch.agent_command.is_none() && !is_demo
    }

    /// Who asks, and what to do.
    pub(super) fn login_words(&self, ways: &[String]) -> (String, String) {
        let spec = self.spec().ok();
        let name = spec.as_ref().map_or("the agent", |spec| spec.name.as_str());
        let mut how = match spec.as_ref().and_then(|spec| spec.login) {
            Some(command) => format!("log in with `{command}`"),
            None => "log in to it once".to_owned(),
        };
        if !ways.is_empty() {
            how = format!("{how} ({})", ways.join(", "));
        }
        (format!("{name} asks for a login"), how)
    }

    /// There is no agent: said in the journal, and the agent server ends.
    pub(super) async fn agent_failed(
        &mut self,
        what: String,
        hint: Option<String>,
    ) -> Result<(), Closed> {
        self.step(StepStatus::Failed, Some(what.clone()), hint)
            .await?;
        self.journal
            .write(&line::error("the agent could not be started", Some(&what)))
            .await?;
        self.ending = Some(Ending::Failed(what));
        Ok(())
    }

    pub(super) async fn step(
        &mut self,
        status: StepStatus,
        detail: Option<String>,
        hint: Option<String>,
    ) -> Result<(), Closed> {
        let step = Step {
            name: "agent".to_owned(),
            status,
            detail,
            hint,
        };
        self.journal.write(&line::step(&step)).await
    }

    pub(super) async fn gone(&mut self, why: String) -> Result<(), Closed> {
        let was_opening = self.live.take().is_some_and(|live| live.opening.is_some());
        self.withdrawn.clear();
        self.tools.clear();
        self.prompt = None;
        self.modes_asked.clear();
        self.patience = None;
        self.session = None;
        self.first = None;
        self.again = None;
        self.fetching = None;
        if self.ending.is_some() {
            return Ok(());
        }
        if was_opening {
            let hint = "look at the agent's last words, or try `ashore doctor`".to_owned();
            return self
                .agent_failed(
                    format!("the agent ended before it was ready: {why}"),
                    Some(hint),
                )
                .await;
        }
        self.apply(Event::Gone(why)).await
    }

    /// Ends the child and waits until its whole group is gone. What it still says is lost.
    pub(crate) async fn end_child(&mut self) {
        self.live = None;
        self.ears = None;
        while let Some(words) = self.driven.join_next().await {
            tracing::debug!(?words, "the agent has ended");
        }
    }

    fn memory_file(&self) -> PathBuf {
        self.launch.folder.join("session.json")
    }

    async fn memory(&mut self) -> Option<Memory> {
        let text = tokio::fs::read(self.memory_file()).await.ok()?;
        serde_json::from_slice(&text).ok()
    }

    async fn remember(&mut self, session: &str) {
        let memory = Memory {
            agent: self.launch.agent.clone(),
            session: session.to_owned(),
        };
        let text = serde_json::to_vec(&memory).unwrap_or_default();
        if let Err(error) = tokio::fs::write(self.memory_file(), text).await {
            tracing::warn!(%error, "the session's id could not be kept");
        }
    }

    /// The session of before does not come, and a child that hangs in it is of no use: the next one gets a new session.
    pub(super) async fn start_anew(&mut self) -> Result<(), Closed> {
        let limit = self.around.limits.reopening.as_secs();
        let note = format!(
            "the agent said nothing for {limit} s while it was to open the session of before: it is started once more"
        );
        self.journal.write(&line::note(&note)).await?;
        drop(tokio::fs::remove_file(self.memory_file()).await);
        self.end_child().await;
        self.start_child().await
    }

    pub(super) fn is_reopening(&self) -> bool {
        let opening = self.live.as_ref().and_then(|live| live.opening.as_ref());
        opening.is_some_and(Opening::is_reopening)
    }

    /// The agent replays what is in the journal already.
    pub(super) fn is_loading(&self) -> bool {
        let opening = self.live.as_ref().and_then(|live| live.opening.as_ref());
        opening.is_some_and(Opening::is_loading)
    }

    pub(super) fn replayed(&mut self, is_talk: bool) {
        let Some(live) = &mut self.live else {
            return;
        };
        live.until = live
            .until
            .max(Instant::now() + self.around.limits.reopening);
        if let Some(settling) = &mut live.settling {
            settling.quiet = Instant::now() + QUIET;
        } else if let Some(opening) = live.opening.as_mut().filter(|_| is_talk) {
            opening.replayed();
        }
    }
}
