//! The screen as a script: say what happens, look at what it shows and orders.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ashore::attach;
use ashore::attach::state::{Attached, Link};
use ashore::protocol::ids::{CommandId, ProjectId, RunRef, Seq};
use ashore::protocol::{command::Command, file::ChangeKind, line, normalize};
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::keymap::Key;
use ashore::tui::state::{Launching, Picker, Scene, Start, State, Welcome};
use ashore::tui::theme::{Depth, Theme};
use ashore::tui::update::update;
use ashore::tui::view::code;
use ashore::tui::view::paint::Paint;
use ashore::tui::view::screen::view;
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use serde_json::{Value, json};

pub(crate) struct Screen {
    pub(crate) state: State,
    pub(crate) paint: Paint,
    terminal: Terminal<TestBackend>,
    size: (u16, u16),
    began: Instant,
    seq: u64,
    turn: u64,
    run: String,
    /// Whose journal lines arrive; `None`: that on the screen.
    whose: Option<RunRef>,
    /// The last line and turn of the other runs.
    others: HashMap<Option<RunRef>, (u64, u64)>,
    /// What journal lines ordered.
    pub(crate) ordered: Vec<Effect>,
}

/// 2026-01-19, 14:02 UTC.
pub(crate) fn morning() -> Timestamp {
    "2026-01-19T14:02:00Z".parse().expect("a test's own")
}

pub(crate) fn at() -> RunRef {
    RunRef {
        project: ProjectId(1),
        task: "1b9e".parse().expect("a test's own"),
        run: "7f3a1c52-1111-4222-8333-444455556666"
            .parse()
            .expect("a test's own"),
    }
}

pub(crate) fn start(scene: Scene, size: (u16, u16)) -> Start {
    Start {
        scene,
        welcome: Welcome {
            directory: "/home/ana/web".into(),
            endpoint: "local".into(),
            lines: vec![
                "The agent is demo: it is built in and needs no network.".into(),
                "Another endpoint: ashore -e NAME, or ASHORE_ENDPOINT.".into(),
            ],
        },
        draft: String::new(),
        history: vec!["an older prompt".into()],
        size,
        now: tokio::time::Instant::now().into_std(),
        wall: morning(),
        zone: jiff::tz::TimeZone::UTC,
    }
}

impl Screen {
    /// With `--ascii`.
    pub(crate) fn in_ascii(mut self) -> Self {
        self.paint = self.paint.with_ascii(true);
        self
    }

    /// The window gets another size.
    pub(crate) fn resize(&mut self, width: u16, height: u16) {
        self.size = (width, height);
        self.terminal.backend_mut().resize(width, height);
        self.event(Event::Resized(width, height));
    }

    fn of(scene: Scene, width: u16, height: u16) -> Self {
        let start = start(scene, (width, height));
        Self {
            began: start.now,
            state: State::new(start),
            paint: Paint::new(Theme::built_in("dark", Depth::Sixteen)),
            terminal: Terminal::new(TestBackend::new(width, height)).expect("a test's own"),
            size: (width, height),
            seq: 0,
            turn: 0,
            run: at().run.to_string(),
            whose: None,
            others: HashMap::new(),
            ordered: Vec::new(),
        }
    }

    /// The composer of a new run.
    pub(crate) fn new_run(width: u16, height: u16) -> Self {
        Self::of(Scene::Composer(Launching::No), width, height)
    }

    /// A run that was asked for and is not there yet.
    pub(crate) fn opening(width: u16, height: u16) -> Self {
        Self::of(Scene::Opening(at()), width, height)
    }

    pub(crate) fn picker(width: u16, height: u16) -> Self {
        Self::of(Scene::Picker(Picker::default()), width, height)
    }

    /// An attached run with a live link and an empty journal.
    pub(crate) fn run(width: u16, height: u16) -> Self {
        let mut attached = Attached::new(at(), "local", false);
        attached.link = Link::Live;
        Self::of(Scene::Run(Box::new(attached)), width, height)
    }

    pub(crate) fn attached(&mut self) -> &mut Attached {
        match &mut self.state.scene {
            Scene::Run(attached) => attached,
            other => panic!("no run on the screen: {other:?}"),
        }
    }

    /// From here on this run's journal goes on, on the screen or behind it; `None`: that on the screen.
    pub(crate) fn voice(&mut self, of: Option<RunRef>) -> &mut Self {
        let whose = std::mem::replace(&mut self.whose, of);
        self.others.insert(whose, (self.seq, self.turn));
        (self.seq, self.turn) = self.others.get(&self.whose).copied().unwrap_or_default();
        let at = self.whose.clone().unwrap_or_else(at);
        self.run = at.run.to_string();
        self
    }

    pub(crate) fn event(&mut self, event: Event) -> Vec<Effect> {
        update(&mut self.state, event)
    }

    /// Time goes by: the clocks, then nothing.
    pub(crate) fn after(&mut self, millis: u64) -> Vec<Effect> {
        let gone = self.state.now.duration_since(self.began) + Duration::from_millis(millis);
        let now = self.began + gone;
        let wall = morning() + gone;
        self.event(Event::Tick { now, wall })
    }

    /// `hello<enter>`: characters, and keys in angle brackets. Every key comes a moment after the last.
    pub(crate) fn keys(&mut self, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut rest = keys;
        while let Some(first) = rest.chars().next() {
            let (word, behind) = match rest.strip_prefix('<').and_then(|rest| rest.split_once('>'))
            {
                Some((word, behind)) => (word.to_owned(), behind),
                None => (first.to_string(), &rest[first.len_utf8()..]),
            };
            let key: Key = word.parse().unwrap_or_else(|error| panic!("{error}"));
            effects.extend(self.event(Event::Key(key)));
            rest = behind;
        }
        effects
    }

    /// One journal line arrives.
    pub(crate) fn line(&mut self, line: &str) -> &mut Self {
        self.seq += 1;
        let lines = vec![(Seq(self.seq), normalize::decode(line.as_bytes()))];
        let mut event = Event::Attach(attach::event::Event::Arrived(lines));
        if let Some(at) = &self.whose {
            event = Event::Of(at.clone(), Box::new(event));
        }
        let ordered = self.event(event);
        self.ordered.extend(ordered);
        self
    }

    /// The agent side says something, this many seconds after the start.
    pub(crate) fn says(&mut self, second: u64, message: &Value) -> &mut Self {
        let time = morning() + Duration::from_secs(second);
        self.line(&line::notification_line(time, message))
    }

    pub(crate) fn update(&mut self, second: u64, update: Value) -> &mut Self {
        let message = line::update(&self.run.clone(), update);
        self.says(second, &message)
    }

    /// The user's message stands in the journal, and its turn begins.
    pub(crate) fn prompt(&mut self, second: u64, text: &str) -> &mut Self {
        self.queue(second, text);
        let id: CommandId = format!("c{}", self.turn).parse().expect("a test's own");
        let request = line::prompt_request(
            &json!(self.turn),
            &self.run,
            &[json!({"type": "text", "text": text})],
            Some(&id),
        );
        self.says(second, &request)
    }

    /// The user's message stands in the journal and waits.
    pub(crate) fn queue(&mut self, second: u64, text: &str) -> &mut Self {
        self.turn += 1;
        let id: CommandId = format!("c{}", self.turn).parse().expect("a test's own");
        let mut command = Command::user_message(text);
        command.id = Some(id.clone());
        let time = morning() + Duration::from_secs(second);
        self.line(&line::client_message_line(
            time,
            &id,
            None,
            &command.to_json(),
        ))
    }

    pub(crate) fn ends(&mut self, second: u64, reason: &str) -> &mut Self {
        let response = line::prompt_response(&json!(self.turn), reason, false);
        self.says(second, &response);
        self.says(second, &line::turn_complete(reason, false))
    }

    pub(crate) fn chunk(&mut self, second: u64, text: &str) -> &mut Self {
        self.update(second, json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}))
    }

    pub(crate) fn thinks(&mut self, second: u64, text: &str) -> &mut Self {
        self.update(second, json!({"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": text}}))
    }

    pub(crate) fn step(
        &mut self,
        second: u64,
        name: &str,
        status: &str,
        hint: Option<&str>,
    ) -> &mut Self {
        let message = json!({"jsonrpc": "2.0", "method": "_ashore/step", "params": {"step": name, "status": status, "hint": hint}});
        self.says(second, &message)
    }

    pub(crate) fn changed(&mut self, second: u64, path: &str, kind: ChangeKind) -> &mut Self {
        use ashore::protocol::file::{FileChange, FileState, Mode};
        use ashore::protocol::hash::ContentHash;
        let message = line::file_sync(&FileChange {
            kind,
            path: path.parse().expect("a test's own"),
            now: (kind != ChangeKind::Deleted).then(|| FileState {
                hash: ContentHash::of(b"x"),
                size: 1,
                mode: Mode::File,
            }),
            before: None,
            storage_path: None,
            turn: Some(self.turn),
            tool_call: None,
        });
        self.says(second, &message)
    }

    /// The agent asks, with the four usual answers.
    pub(crate) fn asks(&mut self, second: u64, request: &str, title: &str) -> &mut Self {
        let option = |id: &str, name: &str| json!({"optionId": id, "name": name, "kind": id});
        let message = json!({"jsonrpc": "2.0", "method": "_posthog/permission_request", "params": {
            "requestId": request, "toolCallId": format!("{request}-call"),
            "toolCall": {"toolCallId": format!("{request}-call"), "title": title, "kind": "execute", "rawInput": {"command": "cargo test -- --ignored"}},
            "options": [
                option("allow_once", "Allow once"), option("allow_always", "Always allow `cargo test`"),
                option("reject_once", "Reject"), option("reject_always", "Never"),
            ],
        }});
        self.says(second, &message)
    }

    /// Draws, and tells the state what was drawn, as the loop does.
    pub(crate) fn draw(&mut self) -> Buffer {
        self.picture();
        let wanted = Event::Wanted(self.paint.take_wanted());
        if let [Effect::Colour(snippets)] = &update(&mut self.state, wanted)[..] {
            let found = code::colour(snippets.clone());
            update(&mut self.state, Event::Coloured(found));
            self.picture();
        }
        self.terminal.backend().buffer().clone()
    }

    fn picture(&mut self) {
        self.terminal
            .draw(|frame| view(&self.state, &mut self.paint, frame))
            .expect("a test's own");
        if let Some(drawn) = self.paint.take_drawn() {
            update(&mut self.state, Event::Drawn(drawn));
        }
    }

    /// Where the next letter goes, as the terminal shows it: column and row.
    pub(crate) fn cursor(&mut self) -> Option<(u16, u16)> {
        self.draw();
        let backend = self.terminal.backend();
        let place = backend.cursor_position();
        backend.cursor_visible().then_some((place.x, place.y))
    }

    /// The picture as text.
    pub(crate) fn text(&mut self) -> String {
        let buffer = self.draw();
        let rows = buffer.area.height;
        let row = |y| {
            (0..buffer.area.width)
                .map(|x| buffer[(x, y)].symbol().to_owned())
                .collect::<String>()
        };
        (0..rows)
            .map(|y| row(y).trim_end().to_owned() + "\n")
            .collect()
    }

    /// Fails unless the screen looks like `snapshots/{name}@{width}x{height}.snap`.
    pub(crate) fn shows(&mut self, name: &str) {
        self.draw();
        let (width, height) = self.size;
        is_as_kept(name, &format!("{width}x{height}"), self.terminal.backend());
    }
}

/// Fails unless it is what `snapshots/{name}@{suffix}.snap` says.
pub(crate) fn is_as_kept(name: &str, suffix: &str, what: &impl std::fmt::Display) {
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
        snapshot_suffix => suffix,
    }, {
        insta::assert_snapshot!(name, what);
    });
}

/// What was ordered from the attached run's road as commands, without their ids.
pub(crate) fn posted(effects: &[Effect]) -> Vec<ashore::protocol::command::What> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Attach(_, attach::effect::Effect::Post(command)) => Some(command.what.clone()),
            _ => None,
        })
        .collect()
}
