//! P5: one picture of a long transcript.

use std::time::Duration;

use ashore::attach;
use ashore::attach::state::{Attached, Link};
use ashore::protocol::ids::Seq;
use ashore::protocol::{line, normalize};
use ashore::tui::event::Event;
use ashore::tui::state::{Scene, Start, State, Welcome};
use ashore::tui::theme::{Depth, Theme};
use ashore::tui::update::update;
use ashore::tui::view::paint::Paint;
use ashore::tui::view::screen::view;
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

use crate::data::{Chance, SESSION};
use crate::measure::{Figure, Goal, ROUNDS, Unit, median, millis, timed};

/// Pictures in one round.
const PICTURES: usize = 200;

pub(crate) fn state(scene: Scene) -> State {
    State::new(Start {
        scene,
        welcome: Welcome {
            directory: "/home/ana/web".into(),
            endpoint: "bench".into(),
            lines: Vec::new(),
        },
        draft: String::new(),
        history: Vec::new(),
        size: (120, 40),
        now: tokio::time::Instant::now().into_std(),
        wall: Timestamp::now(),
        zone: jiff::tz::TimeZone::UTC,
    })
}

pub(crate) fn paint() -> Paint {
    Paint::new(Theme::built_in("dark", Depth::Many))
}

/// A run on a screen of 120x40 that goes on by a piece of text between two pictures.
struct Screen {
    state: State,
    paint: Paint,
    terminal: Terminal<TestBackend>,
    seq: u64,
    chance: Chance,
}

impl Screen {
    fn new(blocks: usize) -> Self {
        let mut attached = Attached::new(crate::at(), "bench", false);
        attached.link = Link::Live;
        let mut screen = Self {
            state: state(Scene::Run(Box::new(attached))),
            paint: paint(),
            terminal: Terminal::new(TestBackend::new(120, 40)).expect("it is in memory"),
            seq: 0,
            chance: Chance(11),
        };
        let begin = [json!({"type": "text", "text": "go"})];
        screen.say(&line::prompt_request(&json!(1), SESSION, &begin, None));
        while screen.blocks() < blocks {
            screen.block();
        }
        screen
    }

    fn blocks(&self) -> usize {
        self.state
            .session()
            .map_or(0, |session| session.transcript.cells.len())
    }

    /// A tool call, and every third time a text.
    fn block(&mut self) {
        let number = self.seq;
        if number.is_multiple_of(3) {
            return self.text(120);
        }
        self.say(&line::update(SESSION, json!({"sessionUpdate": "tool_call", "toolCallId": format!("c{number}"), "title": format!("Read src/file{number}.rs"), "kind": "read", "status": "completed"})));
    }

    fn text(&mut self, length: usize) {
        let text = self.chance.words(length);
        self.say(&line::update(SESSION, json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}})));
    }

    fn say(&mut self, message: &Value) {
        self.seq += 1;
        let line = line::notification_line(Timestamp::UNIX_EPOCH, message);
        let arrived = vec![(Seq(self.seq), normalize::decode(line.as_bytes()))];
        update(
            &mut self.state,
            Event::Attach(attach::event::Event::Arrived(arrived)),
        );
    }

    /// The time that pictures take while a text goes on, each.
    fn draw(&mut self) -> Vec<Duration> {
        // Two calls, and a new text behind them.
        for number in 0..2 {
            self.say(&line::update(SESSION, json!({"sessionUpdate": "tool_call", "toolCallId": format!("d{}-{number}", self.seq), "title": "Look", "kind": "read", "status": "completed"})));
        }
        (0..PICTURES)
            .map(|_| {
                self.text(20);
                timed(|| self.picture())
            })
            .collect()
    }

    fn picture(&mut self) {
        let Self {
            state,
            paint,
            terminal,
            ..
        } = self;
        terminal
            .draw(|frame| view(state, paint, frame))
            .expect("it is in memory");
        if let Some(drawn) = paint.take_drawn() {
            update(state, Event::Drawn(drawn));
        }
    }
}

pub(crate) fn figures(scale: usize) -> Vec<Figure> {
    let (mut few, mut many) = (Screen::new(100), Screen::new(100_000 / scale));
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_many.extend(many.draw());
        of_few.extend(few.draw());
    }
    let (of_few, of_many) = (median(of_few), median(of_many));
    let sides = format!("{:.3} ms, {:.3} ms", millis(of_many), millis(of_few));
    vec![
        Figure {
            name: "P5",
            what: "a picture with 100k blocks / with 100, while text streams",
            value: of_many.as_secs_f64() / of_few.as_secs_f64(),
            unit: Unit::Ratio,
            goal: Goal::AtMost(1.1),
            sides,
        },
        Figure {
            name: "P5",
            what: "a picture with 100k blocks at 120x40, median",
            value: millis(of_many),
            unit: Unit::Millis,
            goal: Goal::AtMost(0.4),
            sides: String::new(),
        },
    ]
}
