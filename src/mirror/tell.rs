//! What the mirror tells: its status, a report per file entry, the answers to commands.
//!
//! Turns what is known into words; changes nothing but through the worker's own doors.

use tokio::sync::oneshot;

use crate::mirror::actor::Worker;
use crate::mirror::base::{Fact, Waiting};
use crate::mirror::control::{Answer, Ask, Request};
use crate::mirror::hand::End;
use crate::mirror::inbox::Taken;
use crate::mirror::status::{
    Conflict, Direction, FileReport, MirrorState, MirrorStatus, Outcome, States,
};
use crate::mirror::worker::Report;
use crate::protocol::path::RelPath;

impl Worker {
    /// One report per entry, the overtaken ones first.
    pub(super) fn tell(&mut self, taken: &Taken, end: &End, answered: bool) {
        let (result, reason) = match end {
            End::Kept if taken.change.refused.is_some() => {
                let why = taken.change.refused.clone().filter(|why| !why.is_empty());
                (
                    Outcome::Failed,
                    why.or_else(|| Some("something else stood there".to_owned())),
                )
            }
            End::Settled | End::Kept => (Outcome::Settled, None),
            End::Conflict(why) => (Outcome::Conflict, Some(why.clone())),
            End::Skipped(why) => (Outcome::Skipped, Some(why.clone())),
            End::Held(hindrance) if hindrance.lasting => {
                (Outcome::Skipped, Some(hindrance.why.clone()))
            }
            End::Held(hindrance) => (Outcome::Failed, Some(hindrance.why.clone())),
            End::Halted(halt) => (Outcome::Failed, Some(halt.to_string())),
        };
        for (_, older) in &taken.overtaken {
            let (result, reason) = if result == Outcome::Settled {
                (Outcome::Settled, None)
            } else {
                (
                    Outcome::Skipped,
                    Some("overtaken by a newer change".to_owned()),
                )
            };
            self.outbox
                .push_back(Report::File(report(older, result, reason)));
        }
        let mut last = report(&taken.change, result, reason);
        if answered {
            last.direction = Direction::Up;
        }
        self.outbox.push_back(Report::File(last));
    }

    pub(super) fn status(&self) -> MirrorStatus {
        let conflicts: Vec<Conflict> = self
            .known
            .conflicts
            .iter()
            .filter(|(_, noted)| !noted.resolved)
            .map(|(path, noted)| Conflict {
                path: path.to_string(),
                theirs: noted.copy.as_ref().map(ToString::to_string),
                versions: Some(States {
                    base: self.known.base.get(path).copied(),
                    mine: self
                        .ups
                        .here(path)
                        .unwrap_or_else(|| self.known.base.get(path).copied()),
                    theirs: noted.theirs,
                }),
            })
            .collect();
        let (held, held_beyond) = self.listed_held();
        let state = match () {
            () if self.halted.is_some() => MirrorState::Halted,
            () if self.known.paused => MirrorState::Paused,
            () if self.is_under_way() => MirrorState::CatchingUp,
            () if !conflicts.is_empty() => MirrorState::Conflict,
            () => MirrorState::Live,
        };
        let sent = &self.known.sent;
        let paused = || {
            self.known
                .paused
                .then(|| "paused: `ashore mirror resume` goes on".to_owned())
        };
        MirrorStatus {
            state,
            directory: Some(self.hand.root.clone()),
            down: self.inbox.len() as u64,
            up: self.known.edited.len() as u64
                + (sent
                    .keys()
                    .filter(|path| !self.known.edited.contains(*path))
                    .count() as u64),
            under_way: (sent.len() + self.ups.loading()) as u64,
            direction: self.known.way,
            conflicts,
            held,
            held_beyond,
            checked_at: self.known.checked_at,
            reason: self
                .halted
                .as_ref()
                .map(ToString::to_string)
                .or_else(paused),
            settled: self.inbox.settled(),
            polls: self.polls.clone(),
        }
    }

    fn is_under_way(&self) -> bool {
        let down = self.inbox.len() > 0 && self.known.way.is_down();
        let up = self.known.way.is_up() && (self.ups.loading() > 0 || !self.known.sent.is_empty());
        down || up || self.is_looking() || !self.busy.is_empty()
    }

    /// What stands here is being looked at, or is about to be: until then nobody knows that both sides are alike. Where
    /// the directory is only looked at now and then, that is no news.
    fn is_looking(&self) -> bool {
        let whole = self.scan_wanted || self.scanning;
        !self.scanned_once
            || self.looks > 0
            || self.going.is_some()
            || whole && self.polls.is_none()
    }

    pub(super) fn tell_status(&mut self) {
        let now = self.status();
        if now != self.told {
            self.told = now.clone();
            // Only the newest is worth telling.
            if let Some(Report::Status(last)) = self.outbox.back_mut() {
                *last = now;
            } else {
                self.outbox.push_back(Report::Status(now));
            }
        }
    }

    pub(super) async fn answer(&mut self, ask: Ask) {
        let Ask { request, reply } = ask;
        // What waits is judged before anything is said of it.
        self.pump();
        let reply = Some(reply);
        match request {
            Request::Status | Request::Conflicts => self.reply_plain(reply, None),
            Request::Pause => {
                self.save(&[Fact::Paused(true)]).await;
                self.reply_plain(reply, Some("paused: changes wait".to_owned()));
            }
            Request::Flush => {
                if let Some(reply) = reply {
                    self.flush_for_command(reply);
                }
            }
            Request::Direction { way } => {
                if let Some(way) = way {
                    let mut facts = Vec::new();
                    self.direct(way, &mut facts);
                    self.save(&facts).await;
                }
                let text = format!("direction: {}", self.known.way.as_str());
                self.reply_plain(reply, Some(text));
            }
            Request::Why { path } => self.why(path, reply),
            Request::Fetch { path } => self.fetch(path, reply).await,
            Request::Resume { how } => match self.resume(how).await {
                Ok(()) => self.reply_plain(reply, Some("going on".to_owned())),
                Err(why) => self.reply(reply, Err(why)),
            },
            Request::Preview { scope } => self.preview(scope, reply).await,
            Request::Undo { scope, seen } => self.undo(scope, seen, reply).await,
            Request::Resolve { path, keep } => self.resolve(path, keep, reply).await,
        }
    }

    fn reply_plain(&mut self, reply: Option<oneshot::Sender<Answer>>, text: Option<String>) {
        let answer = self.answer_of_status(text);
        if let Some(reply) = reply {
            // Who asked may have left.
            drop(reply.send(answer));
        }
    }

    pub(super) fn answer_of_status(&self, text: Option<String>) -> Answer {
        Answer {
            ok: true,
            text,
            status: self.status(),
            preview: None,
            why: None,
        }
    }

    /// To whoever asked; to the user when it was an order.
    pub(super) fn reply(
        &mut self,
        reply: Option<oneshot::Sender<Answer>>,
        result: Result<String, String>,
    ) {
        let ok = result.is_ok();
        let text = result.unwrap_or_else(|why| why);
        let Some(reply) = reply else {
            return self.note(text);
        };
        let answer = Answer {
            ok,
            ..self.answer_of_status(Some(text))
        };
        drop(reply.send(answer));
    }
}

/// To who took theirs.
pub(super) fn settled_as(path: &RelPath, end: End) -> Result<String, String> {
    match end {
        End::Settled | End::Kept => Ok(format!(
            "{path}: theirs stands here now, yours is among the pre-images"
        )),
        End::Conflict(why) | End::Skipped(why) => Err(format!("{path}: {why}")),
        End::Held(hindrance) => Err(format!("{path}: {}", hindrance.why)),
        End::Halted(halt) => Err(halt.to_string()),
    }
}

fn report(change: &Waiting, result: Outcome, reason: Option<String>) -> FileReport {
    FileReport {
        path: change.path.to_string(),
        change: change.kind,
        direction: Direction::Down,
        result,
        hash: change.now.map(|now| now.hash),
        reason,
    }
}
