//! A whole run on a narrow screen: every picture arrives as it was drawn, and costs what is in sight.

use std::io;
use std::num::NonZeroU16;

use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;
use serde_json::json;
use vt100::Parser;

use crate::attach;
use crate::attach::state::{Attached, Link};
use crate::protocol::ids::{ProjectId, RunRef, Seq};
use crate::protocol::{line, normalize};
use crate::tui::event::Event;
use crate::tui::state::{Scene, Start, State, Welcome};
use crate::tui::surface::Surface;
use crate::tui::surface::tests::agrees;
use crate::tui::theme::{Depth, Theme};
use crate::tui::update::update;
use crate::tui::view::paint::Paint;
use crate::tui::view::screen::view;

/// All of it is text: the parser of these tests shows nothing for U+FFFD, which terminals do.
const LOG: &str = include_str!("../../../tests/samples/session-log.ndjson");

/// A side pane of tmux.
const PANE: (u16, u16) = (40, 24);

struct Seen {
    state: State,
    paint: Paint,
    terminal: Terminal<Surface<Vec<u8>>>,
    parser: Parser,
    seq: u64,
}

fn non_zero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

impl Seen {
    fn new(size: fn() -> io::Result<Size>) -> Self {
        let at = RunRef {
            project: ProjectId(1),
            task: "1b9e".parse().unwrap(),
            run: "7f3a1c52-1111-4222-8333-444455556666".parse().unwrap(),
        };
        let mut attached = Attached::new(at, "local", false);
        attached.link = Link::Live;
        let Size { width, height } = size().unwrap();
        let state = State::new(Start {
            scene: Scene::Run(Box::new(attached)),
            welcome: Welcome {
                directory: "/work".into(),
                endpoint: "local".into(),
                lines: Vec::new(),
            },
            draft: String::new(),
            history: Vec::new(),
            size: (width, height),
            now: tokio::time::Instant::now().into_std(),
            wall: Timestamp::UNIX_EPOCH,
            zone: jiff::tz::TimeZone::UTC,
        });
        Self {
            state,
            paint: Paint::new(Theme::built_in("dark", Depth::Sixteen)),
            terminal: Terminal::new(Surface::new(Vec::new(), size)).unwrap(),
            parser: Parser::new(non_zero(height), non_zero(width), 0),
            seq: 0,
        }
    }

    fn arrives(&mut self, line: &[u8]) {
        self.seq += 1;
        let lines = vec![(Seq(self.seq), normalize::decode(line))];
        update(
            &mut self.state,
            Event::Attach(attach::event::Event::Arrived(lines)),
        );
    }

    /// The bytes of one picture, which a terminal has read.
    fn draw(&mut self) -> Vec<u8> {
        let mut shown = Buffer::default();
        self.terminal
            .draw(|frame| {
                view(&self.state, &mut self.paint, frame);
                shown = frame.buffer_mut().clone();
            })
            .unwrap();
        if let Some(drawn) = self.paint.take_drawn() {
            update(&mut self.state, Event::Drawn(drawn));
        }
        let bytes = std::mem::take(&mut self.terminal.backend_mut().out);
        self.parser.process(&bytes);
        agrees(self.parser.screen(), &shown).unwrap();
        bytes
    }
}

fn pane() -> io::Result<Size> {
    Ok(Size::new(PANE.0, PANE.1))
}

fn wide() -> io::Result<Size> {
    Ok(Size::new(120, 40))
}

#[test]
fn every_picture_of_a_recording_arrives_as_it_was_drawn_and_the_scrollback_stays() {
    for size in [pane, wide] {
        let mut seen = Seen::new(size);
        let mut bytes = seen.draw();
        for line in LOG.lines() {
            seen.arrives(line.as_bytes());
            bytes.extend(seen.draw());
        }
        let clears = bytes.windows(4).filter(|window| *window == b"\x1b[3J");
        assert_eq!(clears.count(), 0);
    }
}

#[test]
fn only_what_is_in_sight_is_laid_out() {
    let mut seen = Seen::new(pane);
    for n in 0..5_000 {
        let prompt = json!({"jsonrpc": "2.0", "method": "session/update", "params": {
            "sessionId": "s", "update": {
                "sessionUpdate": "tool_call", "toolCallId": format!("c{n}"), "title": format!("call {n}"),
                "kind": "read", "status": "completed",
            },
        }});
        seen.arrives(line::notification_line(Timestamp::UNIX_EPOCH, &prompt).as_bytes());
    }
    let rows = usize::from(PANE.1);
    seen.draw();
    let first = seen.paint.cells.len();
    assert!(
        (1..=rows + 2).contains(&first),
        "{first} cells for {rows} rows"
    );
    // What scrolls by costs itself.
    update(
        &mut seen.state,
        Event::Key(crate::tui::keymap::Key::normal(
            crossterm::event::KeyCode::PageUp,
            crossterm::event::KeyModifiers::NONE,
        )),
    );
    seen.draw();
    let second = seen.paint.cells.len();
    assert!(second <= first + rows + 2, "{second} cells after a page");
}
