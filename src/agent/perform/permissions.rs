//! The agent's permission requests and forms: answered by the run's policy, or relayed until a person or a cancel answers.
//!
//! Every request is journaled before it is answered. Whatever else an agent asks for is refused.

use agent_client_protocol::v1::Responder;
use futures::FutureExt;
use serde_json::Value;

use crate::agent::elicit;
use crate::agent::journal::Closed;
use crate::agent::perform::{Asked, Server};
use crate::agent::translate::{self, CANCELLED, Verdict};
use crate::protocol::command::PermissionReply;
use crate::protocol::entry::PermissionRequest;
use crate::protocol::line;
use crate::protocol::run::Policy;

impl Server {
    pub(super) async fn drop_permissions(&mut self) -> Result<(), Closed> {
        for (id, asked) in std::mem::take(&mut self.asked) {
            let closed =
                line::permission_response(&id, &asked.request.tool_call, CANCELLED, None, None);
            self.journal.write(&closed).await?;
            if let Some(responder) = asked.responder {
                let none = if asked.form {
                    elicit::cancelled()
                } else {
                    translate::not_picked()
                };
                respond(responder, none);
            }
        }
        Ok(())
    }

    /// The agent takes its question back.
    pub(super) async fn withdraw(&mut self, request: &str) -> Result<(), Closed> {
        let Some(asked) = self.asked.remove(request) else {
            return Ok(());
        };
        if let Some(responder) = asked.responder {
            drop(responder.respond_with_error(agent_client_protocol::Error::request_cancelled()));
        }
        let closed =
            line::permission_response(request, &asked.request.tool_call, CANCELLED, None, None);
        self.journal.write(&closed).await
    }

    pub(super) async fn asked(
        &mut self,
        method: &str,
        params: &Value,
        responder: Responder<Value>,
    ) -> Result<(), Closed> {
        match method {
            "session/request_permission" => {
                let id = uuid::Uuid::new_v4().to_string();
                let request = translate::permission(&id, params);
                self.tell_updates(translate::told_by_question(params).into_iter().collect())
                    .await?;
                let verdict = match self.patience {
                    // The turn is being cancelled: nobody is asked any more.
                    Some(_) => Verdict::Refuse,
                    None => translate::judge(self.launch.permissions, &request, params),
                };
                self.decide(request, false, verdict, responder).await
            }
            elicit::METHOD => self.elicited(params, responder).await,
            _ => {
                // Some ask for files and terminals although we offer neither.
                let unknown = agent_client_protocol::Error::method_not_found();
                drop(responder.respond_with_error(unknown));
                Ok(())
            }
        }
    }

    /// A form is a question, which no policy can answer with yes.
    async fn elicited(
        &mut self,
        params: &Value,
        responder: Responder<Value>,
    ) -> Result<(), Closed> {
        let id = uuid::Uuid::new_v4().to_string();
        match elicit::question(&id, params) {
            Ok(request) => {
                let verdict = match (self.patience, self.launch.permissions) {
                    (Some(_), _) | (None, Policy::Deny) => Verdict::Refuse,
                    (None, Policy::Auto | Policy::Ask) => Verdict::Relay,
                };
                self.decide(request, true, verdict, responder).await
            }
            Err(why) => {
                self.journal.write(&line::note(&why)).await?;
                respond(responder, elicit::declined());
                Ok(())
            }
        }
    }

    async fn decide(
        &mut self,
        request: PermissionRequest,
        form: bool,
        verdict: Verdict,
        responder: Responder<Value>,
    ) -> Result<(), Closed> {
        self.journal
            .write(&line::permission_request(&request))
            .await?;
        let id = request.request.clone();
        let (option, answer) = match verdict {
            Verdict::Pick(option) => (option.clone(), translate::picked(&option, None)),
            Verdict::Refuse if form => (CANCELLED.to_owned(), elicit::declined()),
            Verdict::Refuse => (CANCELLED.to_owned(), translate::not_picked()),
            Verdict::Relay => {
                let cancellation = responder.cancellation();
                let withdrawn = id.clone();
                self.withdrawn.push(
                    async move {
                        cancellation.cancelled().await;
                        withdrawn
                    }
                    .boxed(),
                );
                let asked = Asked {
                    request,
                    form,
                    responder: Some(responder),
                };
                self.asked.insert(id, asked);
                return Ok(());
            }
        };
        let told =
            line::permission_response(&id, &request.tool_call, &option, None, Some("policy"));
        self.journal.write(&told).await?;
        respond(responder, answer);
        Ok(())
    }

    /// A person's answer; the endpoint has journaled it. The first one counts.
    pub(super) fn permitted(&mut self, reply: &PermissionReply) {
        let by_call = || {
            let mut open = self.asked.iter();
            open.find(|(_, asked)| asked.request.tool_call == reply.request)
                .map(|(id, _)| id.clone())
        };
        let id = if self.asked.contains_key(&reply.request) {
            Some(reply.request.clone())
        } else {
            by_call()
        };
        if let Some(asked) = id.and_then(|id| self.asked.remove(&id))
            && let Some(responder) = asked.responder
        {
            let answer = if asked.form {
                elicit::answer(reply, &asked.request)
            } else {
                translate::answer(reply, &asked.request)
            };
            respond(responder, answer);
        }
    }
}

/// A child that is gone needs no answer.
fn respond(responder: Responder<Value>, answer: Value) {
    if let Err(error) = responder.respond(answer) {
        tracing::debug!(%error, "an answer did not reach the agent");
    }
}
