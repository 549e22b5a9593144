//! The run in the terminal's own scrollback: every finished cell is printed once, in order, and nothing is touched again.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use ashore::attach::state::Link;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::inline::screen::Inline;
use ashore::tui::keymap::Key;
use ashore::tui::run::Face;
use proptest::prelude::*;
use ratatui::layout::Size;
use serde_json::json;

use crate::screens::script::Screen;

/// What was written, seen from outside.
#[derive(Clone, Default)]
struct Tape(Rc<RefCell<Vec<u8>>>);

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Paper {
    screen: Screen,
    face: Inline<Tape>,
    tape: Tape,
}

/// Only colours and the erasing of a line's end; its first byte that is neither.
fn foreign(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find(|char: char| char.is_control() && !"\r\n".contains(char)) {
        let sequence = &rest[at..];
        let end = sequence.find(|char: char| char.is_ascii_alphabetic());
        let whole = &sequence[..=end.unwrap_or(sequence.len() - 1)];
        if !(whole.starts_with("\x1b[") && whole.ends_with('m') || whole == "\x1b[K") {
            return Some(whole.to_owned());
        }
        rest = &sequence[whole.len()..];
    }
    None
}

/// Without colours.
fn bare(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|char: char| char.is_ascii_alphabetic());
        out.push_str(&part[end.map_or(part.len(), |at| at + 1)..]);
    }
    out
}

impl Paper {
    fn of(screen: Screen) -> Self {
        let tape = Tape::default();
        let size = || Ok(Size::new(80, 24));
        Self {
            screen,
            face: Inline::new(tape.clone(), size),
            tape,
        }
    }

    fn run(width: u16) -> Self {
        let mut paper = Self::of(Screen::run(width, 24));
        paper.draw();
        paper
    }

    fn draw(&mut self) {
        self.screen.state.changed = false;
        let drawn = self.face.draw(&self.screen.state, &mut self.screen.paint);
        drawn.expect("it takes everything");
        let wanted = Event::Wanted(self.screen.paint.take_wanted());
        let effects = self.face.step(&mut self.screen.state, wanted);
        for effect in effects {
            if let Effect::Colour(snippets) = effect {
                let found = ashore::tui::view::code::colour(snippets);
                self.face
                    .step(&mut self.screen.state, Event::Coloured(found));
                self.face
                    .draw(&self.screen.state, &mut self.screen.paint)
                    .expect("it takes everything");
            }
        }
    }

    /// Presses keys, as `Screen::keys` writes them.
    fn keys(&mut self, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut rest = keys;
        while let Some(first) = rest.chars().next() {
            let end = rest.find('>').filter(|_| first == '<');
            let word = end.map_or(&rest[..first.len_utf8()], |end| &rest[1..end]);
            rest = &rest[end.map_or(first.len_utf8(), |end| end + 1)..];
            let word = if word == " " { "space" } else { word };
            let key: Key = word.parse().expect("a key");
            effects.extend(self.face.step(&mut self.screen.state, Event::Key(key)));
        }
        self.draw();
        effects
    }

    /// Everything so far, lines that were printed and every live line there was.
    fn written(&self) -> String {
        String::from_utf8(self.tape.0.borrow().clone()).expect("text")
    }

    /// What was printed, without the live lines.
    fn printed(&self) -> String {
        let text = bare(&self.written());
        let kept = text.split("\r\n").map(|line| {
            let live = line.rfind('\r').map_or(0, |at| at + 1);
            line[live..].trim_end()
        });
        let mut lines: Vec<&str> = kept.collect();
        // Behind the last end of a line stands what lives.
        lines.pop();
        lines.join("\n")
    }

    /// What lives now.
    fn live(&self) -> String {
        let text = bare(&self.written());
        let line = text.rsplit("\r\n").next().unwrap_or_default();
        let pieces: Vec<&str> = line.split('\r').collect();
        // The last piece is the way back to the cursor, where there is one.
        let longest = pieces.iter().rev().take(2).max_by_key(|piece| piece.len());
        (*longest.expect("one at least")).to_owned()
    }
}

#[test]
fn a_turn_is_printed_cell_by_cell_when_each_is_finished() {
    let mut paper = Paper::run(80);
    paper.screen.prompt(0, "Why does it fail?");
    paper.draw();
    assert!(
        paper.printed().ends_with("   Why does it fail?"),
        "{}",
        paper.printed()
    );
    paper.screen.chunk(1, "Because of **one");
    paper.draw();
    assert!(!paper.printed().contains("Because"));
    assert!(
        paper.live().contains("Because of **one"),
        "{}",
        paper.live()
    );
    paper
        .screen
        .chunk(2, " clock** and\n\n```rust\nfn main() {}\n```\n");
    paper.draw();
    paper.screen.update(3, json!({"sessionUpdate": "tool_call", "toolCallId": "a", "title": "src/a.rs", "kind": "edit",
        "status": "in_progress", "content": [{"type": "diff", "path": "src/a.rs", "oldText": "a\n", "newText": "b\n"}]}));
    paper.draw();
    assert!(
        paper.printed().contains("Because of one clock and"),
        "{}",
        paper.printed()
    );
    assert!(paper.printed().contains("fn main() {}"));
    assert!(!paper.printed().contains("src/a.rs"));
    assert!(paper.live().contains("◐ edit src/a.rs"), "{}", paper.live());
    is_printed_in_order(paper);
}

fn is_printed_in_order(mut paper: Paper) {
    // A second one is over before the first.
    paper.screen.update(4, json!({"sessionUpdate": "tool_call", "toolCallId": "b", "title": "cargo test", "kind": "execute",
        "status": "completed"}));
    paper.draw();
    assert!(!paper.printed().contains("cargo test"));
    paper.screen.update(
        5,
        json!({"sessionUpdate": "tool_call_update", "toolCallId": "a", "status": "completed"}),
    );
    paper.draw();
    let printed = paper.printed();
    let order = [
        "Why does",
        "Because",
        "✓ edit    src/a.rs",
        "+b",
        "✓ execute cargo test",
    ];
    let places: Vec<Option<usize>> = order.iter().map(|word| printed.find(word)).collect();
    assert!(
        places.is_sorted() && places.iter().all(Option::is_some),
        "{places:?}\n{printed}"
    );
    paper.screen.ends(6, "end_turn");
    paper.draw();
    assert!(
        paper.printed().ends_with(" ✓ done · 6.0s"),
        "{}",
        paper.printed()
    );
    assert_eq!(paper.live().trim_end(), " > a follow-up · / shows commands");
    let before = paper.written();
    paper.draw();
    assert_eq!(paper.written(), before, "nothing has changed");
    assert_eq!(foreign(&before), None);
}

#[test]
fn a_question_is_printed_with_its_choices_and_answered_by_its_keys() {
    let mut paper = Paper::run(80);
    paper.screen.prompt(0, "go");
    paper.screen.asks(1, "q1", "Write src/a.rs");
    paper.draw();
    let printed = paper.printed();
    assert!(
        printed.contains(" ? The agent asks: Write src/a.rs"),
        "{printed}"
    );
    assert!(
        printed.contains("   1 Allow once   2 Always allow `cargo test`"),
        "{printed}"
    );
    // What was typed when it came is no answer.
    assert!(paper.keys("1").is_empty());
    paper.keys("<backspace>");
    paper.screen.after(1500);
    paper.draw();
    assert!(
        paper.live().starts_with(" ? a number answers"),
        "{}",
        paper.live()
    );
    let posted = crate::screens::script::posted(&paper.keys("1"));
    assert_eq!(posted.len(), 1, "{posted:?}");
    assert_eq!(paper.printed().matches("The agent asks").count(), 1);
}

#[test]
fn a_draft_of_many_lines_stands_in_one_and_the_cursor_in_its_place() {
    let mut paper = Paper::run(40);
    paper.keys("one<alt+enter>two<left><left>");
    assert!(paper.live().starts_with(" > one⏎two"), "{}", paper.live());
    assert!(bare(&paper.written()).ends_with("\r > one⏎t"));
    paper.keys(&"x".repeat(100));
    let live = paper.live();
    assert!(live.contains('…') && live.chars().count() < 40, "{live}");
}

#[test]
fn every_list_has_its_line_and_names_do_what_keys_do() {
    let mut paper = Paper::run(80);
    paper.screen.prompt(0, "find the *clock*");
    paper.screen.chunk(1, "the clock is in src/clock.rs");
    paper.screen.ends(2, "end_turn");
    paper.draw();
    paper.keys("<f2>run");
    assert!(paper.live().starts_with(" : run  1/"), "{}", paper.live());
    paper.keys("<esc>/he");
    assert!(paper.live().contains("> /he"), "{}", paper.live());
    assert!(paper.live().contains("help"), "{}", paper.live());
    paper.keys("lp<enter>");
    assert!(paper.printed().contains("(/find)"), "{}", paper.printed());
    paper.keys("/fold 2<enter>");
    let printed = paper.printed();
    assert!(printed.contains(" · 2 of 3"), "{printed}");
    assert_eq!(printed.matches("the clock is in src/clock.rs").count(), 2);
    paper.keys("/find clock<enter>");
    assert!(
        paper.printed().contains("for `clock`"),
        "{}",
        paper.printed()
    );
    assert!(paper.live().starts_with(" / clock"), "{}", paper.live());
    paper.keys("<esc>");
    paper.keys("/nonsense<enter>");
    assert_eq!(
        paper.screen.attached().outbox.len(),
        1,
        "the agent may know it"
    );
    assert_eq!(foreign(&paper.written()), None);
}

#[test]
fn of_a_long_run_the_last_turn_is_printed_once_it_is_known() {
    let mut paper = Paper::of(Screen::run(80, 24));
    paper.screen.attached().link = Link::CatchingUp {
        have: ashore::protocol::ids::Seq(0),
        of: None,
    };
    paper.screen.prompt(0, "the first");
    paper.screen.ends(1, "end_turn");
    paper.screen.prompt(2, "the second");
    paper.draw();
    assert!(!paper.printed().contains("the second"));
    paper.screen.attached().link = Link::Live;
    paper.draw();
    let printed = paper.printed();
    assert!(
        printed.contains("2 earlier messages and calls; /top prints the first"),
        "{printed}"
    );
    assert!(
        !printed.contains("   the first") && printed.contains("the second"),
        "{printed}"
    );
    paper.keys("/top<enter>");
    assert!(
        paper.printed().contains("   the first"),
        "{}",
        paper.printed()
    );
}

/// What can come; a number makes it the only one of its kind.
#[derive(Debug, Clone)]
enum Stroke {
    Prompt,
    Says,
    Breaks,
    Thinks,
    Begins,
    Over(usize),
    Asks,
    Ends,
    Away,
    Back,
    Resized(u16),
    Keys(&'static str),
    Draws,
}

fn stroke() -> impl Strategy<Value = Stroke> {
    let keys = vec![
        "<esc>", "<ctrl+o>", "<ctrl+t>", "<f1>", "<f2>", "<enter>", "<ctrl+x>", "f", "x", "/", "1",
        "<pageup>", "<up>", "<tab>",
    ];
    prop_oneof![
        2 => Just(Stroke::Prompt),
        6 => Just(Stroke::Says),
        1 => Just(Stroke::Breaks),
        2 => Just(Stroke::Thinks),
        3 => Just(Stroke::Begins),
        3 => (0usize..20).prop_map(Stroke::Over),
        1 => Just(Stroke::Asks),
        2 => Just(Stroke::Ends),
        1 => Just(Stroke::Away),
        1 => Just(Stroke::Back),
        1 => (60u16..200).prop_map(Stroke::Resized),
        2 => prop::sample::select(keys).prop_map(Stroke::Keys),
        6 => Just(Stroke::Draws),
    ]
}

fn play(paper: &mut Paper, second: u64, stroke: Stroke) {
    let tool = |id: u64, status: &str| {
        json!({"sessionUpdate": "tool_call", "toolCallId": format!("t{id}"), "title": format!("«tool{id}»"),
            "kind": "read", "status": status})
    };
    let screen = &mut paper.screen;
    match stroke {
        Stroke::Prompt => drop(screen.prompt(second, &format!("«prompt{second}»"))),
        Stroke::Says => drop(screen.chunk(second, &format!("«says{second}» "))),
        Stroke::Breaks => drop(screen.chunk(second, "\n\n")),
        Stroke::Thinks => drop(screen.thinks(second, "hm")),
        Stroke::Begins => drop(screen.update(second, tool(second, "in_progress"))),
        Stroke::Over(at) => {
            let begun = screen
                .state
                .session()
                .map_or(&[][..], |session| session.calls());
            let cell = begun.get(at % begun.len().max(1)).copied();
            let cells = screen
                .state
                .session()
                .map(|session| &session.transcript.cells);
            let cell = cells.zip(cell).and_then(|(cells, index)| cells.get(index));
            let id = cell.and_then(|cell| Some(cell.body.tool()?.id.clone()));
            if let Some(id) = id {
                let over = json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "status": "completed"});
                screen.update(second, over);
            }
        }
        Stroke::Asks => drop(screen.asks(second, &format!("q{second}"), "May I?")),
        Stroke::Ends => drop(screen.ends(second, "end_turn")),
        Stroke::Away => {
            screen.attached().link = Link::Offline {
                reason: "cut".into(),
            }
        }
        Stroke::Back => screen.attached().link = Link::Live,
        Stroke::Resized(width) => screen.resize(width, 24),
        Stroke::Keys(keys) => drop(paper.keys(keys)),
        Stroke::Draws => paper.draw(),
    }
}

/// The marks of a text, in their order.
fn marks(text: &str) -> Vec<&str> {
    let parts = text.split('«').skip(1);
    parts.filter_map(|part| part.split('»').next()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_finished_cell_is_printed_once_and_in_order(strokes in prop::collection::vec(stroke(), 0..60)) {
        let mut paper = Paper::run(200);
        // From here on everything is printed.
        paper.screen.prompt(0, "«prompt»");
        paper.draw();
        for (second, stroke) in (1..).zip(strokes) {
            // Reading back prints again what was printed.
            let reads = matches!(stroke, Stroke::Keys("<pageup>" | "<enter>"));
            if !reads {
                play(&mut paper, second, stroke);
            }
        }
        paper.screen.ends(1000, "end_turn");
        paper.screen.resize(200, 24);
        paper.draw();
        // Words outside of a turn are over when nothing more comes.
        paper.screen.after(2000);
        paper.draw();
        let printed = paper.printed();
        let printed = marks(&printed);
        let cells = paper.screen.attached().session.transcript.cells.to_vec();
        let said: Vec<String> = cells.iter().map(|cell| match (cell.body.text(), cell.body.tool()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(tool)) => tool.title.clone(),
            (None, None) => String::new(),
        }).collect();
        let said = said.join(" ");
        prop_assert_eq!(printed, marks(&said));
        prop_assert_eq!(foreign(&paper.written()), None);
    }
}
