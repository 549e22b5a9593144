//! The ACP client role over any pair of byte streams: requests and notifications out, what the agent says in.
//!
//! Between the agent and the ACP library stands the line tap, so that updates keep their bytes. Both ways through one
//! queue: an answer never overtakes the updates that were written before it. Decides nothing.

use std::io;
use std::sync::Arc;

use agent_client_protocol::v1::{ConnectionTo, Dispatch, Responder};
use agent_client_protocol::{Agent, Client, Handled, Lines, UntypedMessage};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use crate::agent::tap::{Tapped, Tool, tap};
use crate::protocol::entry::RpcError;

/// One line of an agent may have this many bytes; a longer one is thrown away as it comes.
const LONGEST_LINE: usize = 32 << 20;

/// What the agent says.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A `session/update`, labelled with the run.
    Update { message: String, tool: Option<Tool> },
    /// A notification of its own making.
    Extra(String),
    /// A request of the agent. Dropping the responder answers it with an error.
    Asked {
        method: String,
        params: Value,
        responder: Responder<Value>,
    },
    /// The answer to the request with this tag.
    Answered {
        tag: u64,
        outcome: Result<Value, RpcError>,
    },
    /// A line above the limit was thrown away.
    Oversized,
}

/// What it is told.
#[derive(Debug)]
pub(crate) enum Order {
    Request {
        tag: u64,
        method: &'static str,
        params: Value,
    },
    Notify {
        method: &'static str,
        params: Value,
    },
}

/// Speaks until the agent closes its end, or nobody orders or listens any more.
pub(crate) async fn converse<R, W>(
    read: R,
    write: W,
    run: Arc<str>,
    heard: mpsc::Sender<Heard>,
    mut orders: mpsc::Receiver<Order>,
) -> Result<(), agent_client_protocol::Error>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let incoming = lines(BufReader::new(read), run, heard.clone());
    let outgoing = futures::sink::unfold(write, async |mut write: W, mut line: String| {
        line.push('\n');
        write.write_all(line.as_bytes()).await?;
        write.flush().await?;
        Ok::<_, io::Error>(write)
    });
    let asked = heard.clone();
    Client
        .v1()
        .name("ashore")
        .on_receive_dispatch(
            async move |said: Dispatch<UntypedMessage, UntypedMessage>, _cx| match said {
                Dispatch::Request(message, responder) => {
                    let (method, params) = message.into_parts();
                    let asked_now = Heard::Asked {
                        method,
                        params,
                        responder,
                    };
                    // Nobody listens any more only when the connection is being taken down.
                    drop(asked.send(asked_now).await);
                    Ok(Handled::Yes)
                }
                Dispatch::Notification(_) => Ok(Handled::Yes),
                answer @ Dispatch::Response(..) => Ok(Handled::No {
                    message: answer,
                    retry: false,
                }),
            },
            agent_client_protocol::on_receive_dispatch!(),
        )
        .connect_with(
            Lines::new(Box::pin(outgoing), Box::pin(incoming)),
            async move |cx: ConnectionTo<Agent>| {
                obey(&cx, &mut orders, &heard).await;
                Ok(())
            },
        )
        .await
}

/// Carries out orders and brings back answers, many at a time.
async fn obey(
    cx: &ConnectionTo<Agent>,
    orders: &mut mpsc::Receiver<Order>,
    heard: &mpsc::Sender<Heard>,
) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = cx.incoming_closed() => return,
            order = orders.recv() => match order {
                None => return,
                Some(Order::Notify { method, params }) => {
                    let message = UntypedMessage { method: method.to_owned(), params };
                    if let Err(error) = cx.send_notification(message) {
                        tracing::debug!(%error, method, "a notification did not reach the agent");
                    }
                }
                Some(Order::Request { tag, method, params }) => {
                    let message = UntypedMessage { method: method.to_owned(), params };
                    let sent = cx.send_request(message).block_task();
                    open.push(sent.map(move |outcome| (tag, outcome)));
                }
            },
            Some((tag, outcome)) = open.next() => {
                // The end of the connection is told by the end of the child, once.
                if outcome.as_ref().is_err_and(is_the_end) {
                    continue;
                }
                let outcome = outcome.map_err(|error| RpcError {
                    code: i32::from(error.code).into(),
                    message: error.message,
                    data: error.data,
                });
                if heard.send(Heard::Answered { tag, outcome }).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn is_the_end(error: &agent_client_protocol::Error) -> bool {
    agent_client_protocol::is_incoming_transport_closed(error)
        || agent_client_protocol::is_connection_terminated(error)
}

/// The agent's lines for the library; what the tap keeps goes to `heard` and waits there for room, which is what
/// stops reading an agent that writes faster than the journal takes.
fn lines<R>(
    read: R,
    run: Arc<str>,
    heard: mpsc::Sender<Heard>,
) -> impl futures::Stream<Item = io::Result<String>>
where
    R: AsyncBufRead + Unpin,
{
    futures::stream::unfold((read, run, heard), async |(mut read, run, heard)| {
        let mut buffer = Vec::new();
        loop {
            let kept = match line(&mut read, &mut buffer).await {
                Ok(Line::Whole) => match tap(&buffer, &run) {
                    Tapped::Update { message, tool } => Heard::Update { message, tool },
                    Tapped::Extra(message) => Heard::Extra(message),
                    Tapped::Pass(line) => return Some((Ok(line), (read, run, heard))),
                    Tapped::Drop => continue,
                },
                Ok(Line::TooLong) => Heard::Oversized,
                Ok(Line::End) => return None,
                Err(error) => return Some((Err(error), (read, run, heard))),
            };
            if heard.send(kept).await.is_err() {
                return None;
            }
        }
    })
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads up to the next line feed. A line without one at the end of the stream is cut and does not count.
async fn line<R: AsyncBufRead + Unpin>(read: &mut R, buffer: &mut Vec<u8>) -> io::Result<Line> {
    buffer.clear();
    let mut too_long = false;
    loop {
        let available = read.fill_buf().await?;
        if available.is_empty() {
            return Ok(Line::End);
        }
        let end = memchr::memchr(b'\n', available);
        let piece = &available[..end.unwrap_or(available.len())];
        too_long |= buffer.len() + piece.len() > LONGEST_LINE;
        if too_long {
            buffer.clear();
        } else {
            buffer.extend_from_slice(piece);
        }
        let used = end.map_or(available.len(), |at| at + 1);
        read.consume(used);
        if end.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{DuplexStream, ReadHalf, WriteHalf};
    use tokio::task::JoinSet;

    use super::*;

    /// The other end of the line: a scripted agent.
    struct Script {
        read: tokio::io::Lines<BufReader<ReadHalf<DuplexStream>>>,
        write: WriteHalf<DuplexStream>,
        orders: mpsc::Sender<Order>,
        heard: mpsc::Receiver<Heard>,
        _task: JoinSet<()>,
    }

    impl Script {
        /// A connection that is past `initialize`.
        async fn start() -> Self {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let (read, write) = tokio::io::split(ours);
            let (orders, ordered) = mpsc::channel(8);
            let (hear, heard) = mpsc::channel(4096);
            let mut task = JoinSet::new();
            task.spawn(async move {
                converse(read, write, "run-1".into(), hear, ordered)
                    .await
                    .expect("ends in peace");
            });
            let (read, write) = tokio::io::split(theirs);
            let read = BufReader::new(read).lines();
            let mut script = Self {
                read,
                write,
                orders,
                heard,
                _task: task,
            };
            script
                .request(0, "initialize", crate::agent::translate::initialize())
                .await;
            let sent = script.sent().await;
            let answer =
                json!({"jsonrpc": "2.0", "id": sent["id"], "result": {"protocolVersion": 1}});
            script.say(&answer.to_string()).await;
            assert!(matches!(
                script.hear().await,
                Heard::Answered {
                    tag: 0,
                    outcome: Ok(_)
                }
            ));
            script
        }

        async fn request(&self, tag: u64, method: &'static str, params: Value) {
            let order = Order::Request {
                tag,
                method,
                params,
            };
            self.orders.send(order).await.unwrap();
        }

        async fn say(&mut self, line: &str) {
            self.write.write_all(line.as_bytes()).await.unwrap();
            self.write.write_all(b"\n").await.unwrap();
        }

        /// The next line the agent got from us.
        async fn sent(&mut self) -> Value {
            serde_json::from_str(&self.read.next_line().await.unwrap().unwrap()).unwrap()
        }

        async fn hear(&mut self) -> Heard {
            self.heard.recv().await.expect("still speaks")
        }
    }

    #[tokio::test]
    async fn an_answer_never_overtakes_the_updates_before_it() {
        let mut script = Script::start().await;
        script
            .request(7, "session/prompt", json!({"sessionId": "s", "prompt": []}))
            .await;
        let sent = script.sent().await;
        for i in 0..1000 {
            let update = json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": "agent_message_chunk", "n": i}}});
            script.say(&update.to_string()).await;
        }
        let answer =
            json!({"jsonrpc": "2.0", "id": sent["id"], "result": {"stopReason": "end_turn"}});
        script.say(&answer.to_string()).await;
        for i in 0..1000 {
            let Heard::Update { message, .. } = script.hear().await else {
                panic!("an update was overtaken at {i}");
            };
            assert!(message.contains(&format!("\"n\":{i}}}")) && message.contains("run-1"));
        }
        assert!(matches!(
            script.hear().await,
            Heard::Answered {
                tag: 7,
                outcome: Ok(_)
            }
        ));
    }

    #[tokio::test]
    async fn a_request_with_an_id_of_ours_and_odd_content_is_asked_and_answered() {
        let mut script = Script::start().await;
        script
            .request(1, "session/prompt", json!({"sessionId": "s", "prompt": []}))
            .await;
        let ours = script.sent().await;
        // The agent counts from 0 as well, and invents kinds and fields.
        for id in [json!(0), ours["id"].clone(), json!("c0ffee")] {
            let ask = json!({"jsonrpc": "2.0", "id": id, "method": "session/request_permission", "params": {"toolCall": 7, "options": [{"kind": "odd"}]}});
            script.say(&ask.to_string()).await;
            let Heard::Asked {
                params, responder, ..
            } = script.hear().await
            else {
                panic!("was asked");
            };
            assert_eq!(params["toolCall"], 7);
            responder
                .respond(json!({"outcome": {"outcome": "cancelled"}}))
                .unwrap();
            let answer = script.sent().await;
            assert_eq!(
                (&answer["id"], &answer["result"]["outcome"]["outcome"]),
                (&id, &json!("cancelled"))
            );
        }
    }

    #[tokio::test]
    async fn noise_on_the_line_and_an_endless_line_disturb_nothing() {
        let mut script = Script::start().await;
        script.say("Debugger attached.").await;
        script.say("{\"jsonrpc\":\"2.0\",\"method\":").await;
        let piece = "x".repeat(1 << 20);
        for _ in 0..33 {
            script.write.write_all(piece.as_bytes()).await.unwrap();
        }
        script.say("").await;
        assert!(matches!(script.hear().await, Heard::Oversized));
        script
            .say(r#"{"method":"session/update","params":{"update":{"sessionUpdate":"plan"}}}"#)
            .await;
        assert!(matches!(script.hear().await, Heard::Update { .. }));
    }

    #[tokio::test]
    async fn an_agent_that_hangs_up_in_a_turn_ends_the_conversation_without_an_answer() {
        let mut script = Script::start().await;
        script
            .request(1, "session/prompt", json!({"sessionId": "s", "prompt": []}))
            .await;
        script.sent().await;
        script.write.shutdown().await.unwrap();
        assert!(script.heard.recv().await.is_none());
    }

    #[tokio::test]
    async fn errors_keep_their_code_and_words() {
        let mut script = Script::start().await;
        script
            .request(3, "session/new", json!({"cwd": "/", "mcpServers": []}))
            .await;
        let sent = script.sent().await;
        let answer = json!({"jsonrpc": "2.0", "id": sent["id"], "error": {"code": -32000, "message": "Authentication required", "data": {"a": 1}}});
        script.say(&answer.to_string()).await;
        let Heard::Answered {
            outcome: Err(error),
            ..
        } = script.hear().await
        else {
            panic!("an error");
        };
        assert_eq!(
            (error.code, error.message.as_str()),
            (-32000, "Authentication required")
        );
        assert_eq!(error.data, Some(json!({"a": 1})));
    }
}
