//! The loop: how often it draws, and what it does with what was ordered.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ashore::attach;
use ashore::attach::state::{Attached, Link};
use ashore::protocol::ids::Seq;
use ashore::protocol::{line, normalize};
use ashore::tui::away::Seen;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::run::{Left, Outside, run};
use ashore::tui::state::{Scene, State};
use ashore::tui::theme::{Depth, Theme};
use ashore::tui::view::paint::Paint;
use futures::StreamExt;
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use serde_json::json;
use tokio::time::Sleep;

use crate::screens::script::{at, morning, start};

/// A terminal that counts its pictures.
struct Counting {
    inner: TestBackend,
    pictures: usize,
}

type Result<T> = std::result::Result<T, std::convert::Infallible>;

impl Backend for Counting {
    type Error = std::convert::Infallible;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Result<()> {
        self.pictures += 1;
        self.inner.draw(content)
    }
    fn hide_cursor(&mut self) -> Result<()> {
        self.inner.hide_cursor()
    }
    fn show_cursor(&mut self) -> Result<()> {
        self.inner.show_cursor()
    }
    fn get_cursor_position(&mut self) -> Result<Position> {
        self.inner.get_cursor_position()
    }
    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<()> {
        self.inner.set_cursor_position(position)
    }
    fn clear(&mut self) -> Result<()> {
        self.inner.clear()
    }
    fn clear_region(&mut self, region: ClearType) -> Result<()> {
        self.inner.clear_region(region)
    }
    fn size(&self) -> Result<Size> {
        self.inner.size()
    }
    fn window_size(&mut self) -> Result<WindowSize> {
        self.inner.window_size()
    }
    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

/// `slow`: so long takes a picture to be written, of which `left` is to go by.
#[derive(Default)]
struct Recording {
    effects: Vec<Effect>,
    slow: Duration,
    left: Option<Pin<Box<Sleep>>>,
}

impl Outside for Recording {
    fn perform(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn poll_free(&mut self, context: &mut Context<'_>) -> Poll<Duration> {
        let slow = self.slow;
        let left = self
            .left
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(slow)));
        ready!(left.as_mut().poll(context));
        self.left = None;
        Poll::Ready(slow)
    }

    fn wall(&self) -> jiff::Timestamp {
        morning()
    }
}

fn arrived(seq: u64) -> Event {
    let update = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": format!("w{seq} ")}});
    let line = line::notification_line(morning(), &line::update("s", update));
    let lines = vec![(Seq(seq), normalize::decode(line.as_bytes()))];
    Event::Attach(attach::event::Event::Arrived(lines))
}

fn key(text: &str) -> Event {
    Event::Key(text.parse().expect("a test's own"))
}

async fn play(events: impl futures::Stream<Item = Event>) -> (Left, usize, Vec<Effect>) {
    play_on(Recording::default(), false, events).await
}

async fn play_on(
    mut outside: Recording,
    calm: bool,
    events: impl futures::Stream<Item = Event>,
) -> (Left, usize, Vec<Effect>) {
    let mut attached = Attached::new(at(), "local", false);
    attached.link = Link::Live;
    let mut state = State::new(start(Scene::Run(Box::new(attached)), (80, 24)));
    let mut paint = Paint::new(Theme::built_in("dark", Depth::Sixteen));
    let mut terminal = Terminal::new(Counting {
        inner: TestBackend::new(80, 24),
        pictures: 0,
    })
    .expect("a test's own");
    state.citizen.habits.calm = calm;
    let events = std::pin::pin!(events);
    let left = run(&mut terminal, &mut state, &mut paint, events, &mut outside)
        .await
        .expect("a test's own");
    (left, terminal.backend().pictures, outside.effects)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_ready_events_are_at_most_two_pictures() {
    let flood = futures::stream::iter((1..=1000).map(arrived));
    let (left, pictures, _) = play(flood).await;
    assert_eq!(
        left,
        Left {
            message: None,
            code: 0
        }
    );
    assert!((1..=2).contains(&pictures), "{pictures}");
}

#[tokio::test(start_paused = true)]
async fn events_between_pictures_share_one() {
    // Ten events five milliseconds apart: fifty milliseconds have room for four pictures, and one at the start.
    let slow = futures::stream::iter(1..=10).then(|seq| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        arrived(seq)
    });
    let (_, pictures, _) = play(slow).await;
    assert!((3..=5).contains(&pictures), "{pictures}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_screen_draws_nothing() {
    let quiet = futures::stream::once(async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        key("ctrl+d")
    });
    let (left, pictures, effects) = play(quiet).await;
    assert_eq!(
        left.message.expect("a test's own"),
        "Detached. The run goes on. Come back with: ashore attach 7f3a1c52"
    );
    assert_eq!(pictures, 1);
    assert_eq!(effects, []);
}

#[tokio::test(start_paused = true)]
async fn a_running_turn_is_drawn_once_a_second_and_a_draft_is_saved() {
    let request = line::notification_line(
        morning(),
        &line::prompt_request(
            &json!(1),
            "s",
            &[json!({"type": "text", "text": "x"})],
            None,
        ),
    );
    let first = Event::Attach(attach::event::Event::Arrived(vec![(
        Seq(1),
        normalize::decode(request.as_bytes()),
    )]));
    let events =
        futures::stream::iter([first, key("h"), key("i")]).chain(futures::stream::once(async {
            tokio::time::sleep(Duration::from_millis(10_500)).await;
            Event::Terminated
        }));
    let (left, pictures, effects) = play(events).await;
    assert_eq!(left.code, 143);
    // The wall clock of this test stands still, so nothing new is to be seen.
    assert!(pictures <= 3, "{pictures}");
    assert_eq!(
        effects,
        [
            Effect::SaveDraft {
                of: Some(at().run),
                text: "hi".into()
            },
            Effect::SaveSeen {
                of: at().run,
                seen: Seen {
                    last: Seq(1),
                    at: morning()
                }
            }
        ]
    );
}

/// A word every ten milliseconds for four seconds; then somebody leaves.
fn words() -> impl futures::Stream<Item = Event> {
    let words = futures::stream::iter(1..=400).then(|seq| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        arrived(seq)
    });
    words.chain(futures::stream::iter([key("ctrl+d")]))
}

#[tokio::test(start_paused = true)]
async fn a_slow_terminal_is_given_fewer_pictures_and_keys_are_heard_while_it_takes_one() {
    let slow = |millis| Recording {
        slow: Duration::from_millis(millis),
        ..Recording::default()
    };
    // Half of the time is for what is no picture; of a very slow terminal a quarter of a second.
    for (millis, most) in [(0, 260), (50, 42), (200, 12), (1000, 5)] {
        let (_, pictures, effects) = play_on(slow(millis), false, words()).await;
        assert!(
            (most * 2 / 3..=most).contains(&pictures),
            "{millis}: {pictures}"
        );
        assert!(
            effects
                .iter()
                .any(|one| matches!(one, Effect::SaveSeen { .. }))
        );
    }
    // It takes for ever: what is pressed is done all the same.
    let stuck = tokio::time::timeout(
        Duration::from_secs(60),
        play_on(slow(u64::from(u32::MAX)), false, words()),
    );
    let (left, pictures, _) = stuck.await.expect("it ends");
    assert_eq!((left.code, pictures), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_calm_picture_moves_four_times_a_second_and_answers_keys_at_once() {
    let (_, pictures, _) = play_on(Recording::default(), true, words()).await;
    assert!((12..=18).contains(&pictures), "{pictures}");
    let typed = futures::stream::iter(0..10).then(|_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        key("a")
    });
    let (_, pictures, _) = play_on(Recording::default(), true, typed).await;
    assert!(pictures >= 9, "{pictures}");
}
