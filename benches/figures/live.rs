//! P1: live events from a socket to the screen, by the client's own road: stream, journal cache, update, view.

use std::convert::Infallible;
use std::time::Duration;

use ashore::attach::effect::Effect as Ordered;
use ashore::attach::event::Event as Happened;
use ashore::attach::perform::{Performer, Plan, open};
use ashore::client::api::Api;
use ashore::client::endpoint::Endpoint;
use ashore::config::places::Places;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::run::{Outside, run};
use ashore::tui::state::Scene;
use ashore::tui::view::paint::Paint;
use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::measure::{Figure, Goal, Unit, now, turns};
use crate::{data, picture};

/// What a read of the socket brings, about.
const PIECE: usize = 64 * 1024;

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let lines = 100_000 / scale;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bytes = Bytes::from(events(&data::journal(lines)));
    let (ours, bare) = turns(
        || runtime.block_on(live(bytes.clone(), lines as u64)),
        || runtime.block_on(alone(bytes.clone(), lines)),
    );
    let rate = |time: Duration| lines as f64 / time.as_secs_f64();
    let sides = format!("{:.0} ev/s, {:.0} ev/s", rate(ours), rate(bare));
    vec![
        Figure {
            name: "P1",
            what: "live events a second, socket to screen, the screen live",
            value: rate(ours),
            unit: Unit::PerSecond,
            goal: Goal::AtLeast(20_000.0),
            sides: String::new(),
        },
        Figure {
            name: "P1",
            what: "the same / eventsource-stream alone on the same bytes",
            value: rate(ours) / rate(bare),
            unit: Unit::Ratio,
            goal: Goal::None,
            sides,
        },
    ]
}

fn events(lines: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (line, number) in lines.iter().zip(1..) {
        bytes.extend_from_slice(format!("data: {line}\nid: {number}\n\n").as_bytes());
    }
    bytes
}

/// The library that stands under our road, with nothing around it.
async fn alone(bytes: Bytes, lines: usize) -> Duration {
    let began = now();
    let pieces = bytes
        .chunks(PIECE)
        .map(|piece| Ok::<_, Infallible>(bytes.slice_ref(piece)))
        .collect::<Vec<_>>();
    let count = futures::stream::iter(pieces).eventsource().count().await;
    assert_eq!(count, lines, "every event is one");
    began.elapsed()
}

/// An endpoint that has no history and then says everything at once.
async fn serve(listener: TcpListener, bytes: Bytes) {
    let mut connections = JoinSet::new();
    while let Ok((mut socket, _)) = listener.accept().await {
        let bytes = bytes.clone();
        connections.spawn(async move {
            let mut asked = Vec::new();
            while memchr::memmem::find(&asked, b"\r\n\r\n").is_none() {
                if socket.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let streams = memchr::memmem::find(&asked, b"/sync").is_some();
            let head: &[u8] = if streams {
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\nx-sync-ids: log-sequence\r\nx-last-seq: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            };
            // The client goes away when it has seen enough.
            drop(socket.write_all(head).await);
            if streams {
                drop(socket.write_all(&bytes).await);
                std::future::pending::<()>().await;
            }
        });
    }
}

async fn live(bytes: Bytes, lines: u64) -> Duration {
    let folder = tempfile::tempdir().expect("a temp folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    let mut server = JoinSet::new();
    server.spawn(serve(listener, bytes));
    let endpoint = Endpoint {
        name: "bench".to_owned(),
        url: format!("http://{address}").parse().expect("a URL"),
        token: None,
        local: false,
    };
    let began = now();
    let opened = open(Plan {
        api: Api::new(endpoint, None).expect("a client"),
        at: crate::at(),
        places: Places::below(folder.path()),
        read_only: false,
        starter: None,
        silence: None,
    })
    .await;
    let mut state = picture::state(Scene::Run(Box::new(opened.attached)));
    let mut paint = picture::paint();
    watch(
        opened.events,
        lines,
        &mut state,
        &mut paint,
        opened.performer,
    )
    .await;
    let session = state.session().expect("a run is on the screen");
    assert_eq!(session.last.0, lines, "all of it arrived");
    began.elapsed()
}

/// The screen's own loop, until the last line has arrived.
async fn watch(
    mut events: tokio::sync::mpsc::Receiver<Happened>,
    lines: u64,
    state: &mut ashore::tui::state::State,
    paint: &mut Paint,
    performer: Performer,
) {
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("it is in memory");
    let mut over = false;
    let stream = futures::stream::poll_fn(move |context| {
        if over {
            return std::task::Poll::Ready(None);
        }
        let polled = events.poll_recv(context);
        if let std::task::Poll::Ready(Some(Happened::Arrived(arrived))) = &polled {
            over = arrived.last().is_some_and(|(seq, _)| seq.0 == lines);
        }
        polled.map(|event| event.map(Event::Attach))
    });
    let mut hands = Hands(performer);
    run(&mut terminal, state, paint, boxed(stream), &mut hands)
        .await
        .expect("it draws");
}

fn boxed(
    stream: impl Stream<Item = Event> + Send + 'static,
) -> futures::stream::BoxStream<'static, Event> {
    stream.boxed()
}

struct Hands(Performer);

impl Outside for Hands {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Attach(_, Ordered::LoadRun) => (),
            Effect::Attach(_, effect) => self.0.perform(effect),
            _ => (),
        }
    }
}
