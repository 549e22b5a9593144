//! The event-stream library, in a task of its own, behind a bounded queue.
//!
//! It decodes with a parser that panics on a leading byte order mark and takes quadratic time in one long line. So its
//! panic is caught here and becomes an error, the time-out stands outside (the reader of the queue has it), and it never
//! tries again by itself. A panic behind the leash is expected: it must neither print nor make the terminal's panic hook
//! give up the screen, so the thread is marked while the library runs and the hook steps over marked threads.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use futures::StreamExt;
use reqwest::RequestBuilder;
use reqwest_eventsource::retry::Never;
use reqwest_eventsource::{Error as Failed, Event, EventSource};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::error::Error;
use crate::client::http;

/// Events that wait to be read; behind it the library waits, and TCP after it.
const QUEUE: usize = 256;

/// What the library hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Open,
    /// `name` is `message` when the event has none; `id` is then its own or, if it had none, the last one before it.
    Event {
        name: String,
        id: String,
        data: String,
    },
}

thread_local! {
    static LEASHED: Cell<bool> = const { Cell::new(false) };
}

/// True while a panic on this thread is one that is caught here: a panic hook asks this and steps aside.
pub fn is_leashed() -> bool {
    LEASHED.get()
}

/// Marks the thread while the wrapped future is polled, and only then: tasks move between threads.
struct Leashed<F>(F);

impl<F: Future + Unpin> Future for Leashed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        struct Unmark(bool);
        impl Drop for Unmark {
            fn drop(&mut self) {
                LEASHED.set(self.0);
            }
        }
        let _unmark = Unmark(LEASHED.replace(true));
        Pin::new(&mut self.0).poll(context)
    }
}

/// Puts a hook before the one that stands, once: it says nothing of leashed threads.
fn quiet_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_leashed() {
                before(panic);
            }
        }));
    });
}

/// One open stream; dropping it ends the task and the connection.
pub(crate) struct Leash {
    tasks: JoinSet<Error>,
    events: mpsc::Receiver<Told>,
}

impl Leash {
    pub(crate) fn new(request: RequestBuilder) -> Self {
        Self::leading(|out| run(request, out))
    }

    /// Whatever puts events into the queue until it can not.
    pub(crate) fn leading<F>(what: impl FnOnce(mpsc::Sender<Told>) -> F) -> Self
    where
        F: Future<Output = Error> + Send + 'static,
    {
        quiet_hook();
        let (out, events) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(Leashed(Box::pin(what(out))));
        Self { tasks, events }
    }

    /// At least one event into `batch`; the reason when there will be no more.
    pub(crate) async fn next(&mut self, batch: &mut Vec<Told>, most: usize) -> Result<(), Error> {
        if self.events.recv_many(batch, most).await > 0 {
            return Ok(());
        }
        Err(match self.tasks.join_next().await {
            Some(Ok(error)) => error,
            // Its words are the library's own and say nothing to the user.
            Some(Err(_)) => Error::Malformed {
                text: "the event stream cannot be read".to_owned(),
            },
            None => Error::Unreachable {
                text: "the stream is closed".to_owned(),
            },
        })
    }
}

async fn run(request: RequestBuilder, out: mpsc::Sender<Told>) -> Error {
    let Ok(mut source) = EventSource::new(request) else {
        return Error::Malformed {
            text: "the request cannot be repeated".to_owned(),
        };
    };
    source.set_retry_policy(Box::new(Never));
    loop {
        let told = match source.next().await {
            Some(Ok(Event::Open)) => Told::Open,
            Some(Ok(Event::Message(message))) => Told::Event {
                name: message.event,
                id: message.id,
                data: message.data,
            },
            Some(Err(error)) => return sort(error).await,
            None => return over(),
        };
        if out.send(told).await.is_err() {
            return over();
        }
    }
}

fn over() -> Error {
    Error::Unreachable {
        text: "the stream ended".to_owned(),
    }
}

async fn sort(error: Failed) -> Error {
    match error {
        Failed::Transport(error) => http::unreachable(&error),
        Failed::InvalidStatusCode(_, answer) => http::failure(answer).await,
        Failed::InvalidContentType(_, answer) => Error::Malformed {
            text: format!(
                "an event stream was asked for, `{}` came",
                http::content_type(answer.headers())
            ),
        },
        Failed::StreamEnded => over(),
        Failed::Utf8(_) | Failed::Parser(_) | Failed::InvalidLastEventId(_) => Error::Malformed {
            text: "the event stream cannot be read".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::client::raw::{Act, Raw, chunked_events};

    const SAMPLE: &[u8] = include_bytes!("../../tests/samples/sse-edge-cases.sse");
    const EXPECTED: &str = include_str!("../../tests/samples/sse-edge-cases.expected.json");
    /// The byte order mark, on which the library gives up.
    const MARK: usize = 3;

    /// All events of a stream that comes in these pieces, and how it ended.
    async fn told(client: &reqwest::Client, pieces: Vec<Vec<u8>>) -> (Vec<Told>, Error) {
        let server =
            Raw::serve(move |_| vec![chunked_events(), Act::Chunks(pieces.clone()), Act::Close])
                .await;
        let mut leash = Leash::new(client.get(server.url.clone()));
        let mut all = Vec::new();
        loop {
            if let Err(error) = leash.next(&mut all, 1).await {
                all.retain(|told| *told != Told::Open);
                return (all, error);
            }
        }
    }

    /// Made once: it reads the machine's certificates.
    fn client() -> reqwest::Client {
        let loopback = reqwest::Url::parse("http://127.0.0.1").unwrap();
        http::client(&loopback, None).unwrap()
    }

    fn expected() -> Vec<Told> {
        let value: Value = serde_json::from_str(EXPECTED).unwrap();
        let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
        value["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| Told::Event {
                name: text(event, "event"),
                id: text(event, "id"),
                data: text(event, "data"),
            })
            .collect()
    }

    #[tokio::test]
    async fn every_split_of_the_sample_gives_the_same_events() {
        let (bytes, client) = (&SAMPLE[MARK..], client());
        let want = expected();
        let single: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![*byte]).collect();
        assert_eq!(told(&client, single).await.0, want);
        // All cuts in two would be three thousand connections; every 7th, and all around line ends, are enough to meet
        // each kind of place.
        for cut in 1..bytes.len() {
            let near_an_end = bytes[cut - 1].is_ascii_control() || bytes[cut].is_ascii_control();
            if cut % 7 == 0 || near_an_end || !bytes[cut].is_ascii() {
                let pieces = vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()];
                assert_eq!(told(&client, pieces).await.0, want, "cut at {cut}");
            }
        }
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_an_error_and_no_panic() {
        for pieces in [
            vec![SAMPLE.to_vec()],
            SAMPLE.iter().map(|byte| vec![*byte]).collect(),
        ] {
            let (events, error) = told(&client(), pieces).await;
            assert_eq!(events, []);
            assert!(matches!(error, Error::Malformed { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn only_the_leashed_future_s_own_polls_are_marked() {
        let seen = Leashed(Box::pin(async { is_leashed() })).await;
        assert!(seen && !is_leashed());
        let mut tasks = JoinSet::new();
        quiet_hook();
        tasks.spawn(Leashed(Box::pin(async { panic!("expected and silent") })));
        assert!(tasks.join_next().await.unwrap().unwrap_err().is_panic());
        assert!(!is_leashed());
    }
}
