//! R6: whatever an agent, an endpoint or a file name says, only the sequences a screen is drawn with reach the terminal.
//!
//! Journal line → session → `tui::view` → the bytes of the crossterm backend → `vte`. A text counts when its mark is on
//! the picture; one that was scrolled or cut away does not.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::rc::Rc;

use ashore::attach::state::Link;
use ashore::mirror::status::{Conflict, MirrorState};
use ashore::protocol::hash::ContentHash;
use ashore::protocol::run::Status;
use ashore::tui::event::{Event, Facts, Progress, RunRow};
use ashore::tui::view::screen::view;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use serde_json::json;

use crate::quality::hostile::Texts;
use crate::quality::sequences;
use crate::screens::script::{Screen, at, morning};

/// Large, so that a picture shows many texts.
const SIZE: (u16, u16) = (150, 240);
/// What fits on it, about.
const MANY: usize = 70;

/// What was written and not looked at yet.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<Vec<u8>>>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal whose bytes are watched.
struct Watched {
    terminal: Terminal<CrosstermBackend<Wire>>,
    wire: Wire,
    watch: sequences::Terminal,
}

impl Watched {
    fn new() -> Self {
        let area = Rect::new(0, 0, SIZE.0, SIZE.1);
        let options = TerminalOptions {
            viewport: Viewport::Fixed(area),
        };
        let wire = Wire::default();
        Self {
            terminal: Terminal::with_options(CrosstermBackend::new(wire.clone()), options)
                .expect("a buffer"),
            wire,
            watch: sequences::Terminal::screen(),
        }
    }

    /// Draws; gives the numbers of the texts that can be seen.
    fn draws(&mut self, screen: &mut Screen, case: &str) -> BTreeSet<usize> {
        let (state, paint) = (&screen.state, &mut screen.paint);
        let mut picture = String::new();
        self.terminal
            .draw(|frame| {
                view(state, paint, frame);
                for cell in frame.buffer_mut().content() {
                    picture.push_str(cell.symbol());
                }
            })
            .expect("a buffer takes all");
        let bytes = self.wire.0.take();
        self.watch.takes(&bytes, case);
        marks(&picture)
    }
}

fn mark(number: usize) -> String {
    format!("k{number}z")
}

fn marks(picture: &str) -> BTreeSet<usize> {
    picture
        .split('k')
        .filter_map(|rest| rest.split_once('z')?.0.parse().ok())
        .collect()
}

fn file_event(path: &str) -> serde_json::Value {
    let hash = ContentHash::of(b"x").to_string();
    json!({"jsonrpc": "2.0", "method": "_posthog/file_sync", "params": {"type": "file_created", "path": path,
        "relativePath": path, "contentHash": hash, "storagePath": format!("files/{hash}"), "size": 1}})
}

fn ext(method: &str, params: &serde_json::Value) -> serde_json::Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// One text in one of the places where a text can come in.
fn say(screen: &mut Screen, second: u64, place: usize, text: &str) {
    match place {
        0..=3 => screen.chunk(second, &format!("{text}\n\n")),
        4 => screen.thinks(second, text),
        5 => screen.update(second, json!({"sessionUpdate": "tool_call", "toolCallId": text, "title": text, "kind": "execute", "status": "in_progress",
            "content": [{"type": "content", "content": {"type": "text", "text": text}}]})),
        6 => screen.update(second, json!({"sessionUpdate": "tool_call", "toolCallId": text, "title": "edit", "kind": "edit", "status": "completed",
            "content": [{"type": "diff", "path": text, "oldText": text, "newText": format!("{text}\n{text}")}]})),
        7 => screen.says(second, &file_event(text)),
        8 => screen.says(second, &ext("_ashore/step", &json!({"step": text, "status": "failed", "detail": text, "hint": text}))),
        9 => screen.says(second, &ext("_posthog/error", &json!({"message": text, "detail": text}))),
        10 => screen.says(second, &ext("_posthog/console", &json!({"level": "error", "message": text}))),
        11 => screen.says(second, &ext("_posthog/branch_created", &json!({"branch": text}))),
        12 => screen.says(second, &ext("_posthog/sandbox_output", &json!({"stdout": text, "stderr": text, "exitCode": 1}))),
        13 => screen.prompt(second, text).ends(second, text),
        14 => screen.line(&format!("not JSON {text}")),
        15 => screen.update(second, json!({"sessionUpdate": text})),
        16 => screen.says(second, &ext("_posthog/pr_created", &json!({"prUrl": text}))),
        _ => screen.chunk(second, text),
    };
}

/// What stands beside the transcript, or in its place.
fn around(screen: &mut Screen, texts: &mut Texts, name: &mut impl FnMut(&mut Texts) -> String) {
    let mut entries = Vec::new();
    for _ in 0..6 {
        entries.push(json!({"content": name(texts), "priority": "high", "status": "in_progress"}));
    }
    screen.update(1, json!({"sessionUpdate": "plan", "entries": entries}));
    screen.update(
        1,
        json!({"sessionUpdate": "current_mode_update", "currentModeId": name(texts)}),
    );
    screen.update(1, json!({"sessionUpdate": "available_commands_update",
        "availableCommands": [{"name": name(texts), "description": name(texts), "input": {"hint": name(texts)}}]}));
    let conflicts = (0..4)
        .map(|_| Conflict {
            path: name(texts),
            theirs: Some(name(texts)),
            ..Conflict::default()
        })
        .collect();
    let mirror = &mut screen.attached().mirror;
    mirror.state = MirrorState::Conflict;
    mirror.conflicts = conflicts;
    mirror.reason = Some(name(texts));
    screen.attached().endpoint = name(texts);
    if texts.below(4) == 0 {
        screen.attached().link = Link::Offline {
            reason: name(texts),
        };
    }
    if texts.below(4) == 0 {
        screen.event(Event::Noted(name(texts)));
    }
    if texts.below(3) == 0 {
        screen.asks(2, "q", &name(texts));
    }
    if texts.below(3) == 0 {
        screen.event(Event::Paste(name(texts)));
    }
}

/// A picture full of texts; gives how many are on it.
fn picture(watched: &mut Watched, texts: &mut Texts, next: &mut usize) -> usize {
    let first = *next;
    let mut name = |texts: &mut Texts| {
        *next += 1;
        let mark = mark(*next);
        // At either end, so that neither cutting the start nor the end always hides the rest.
        format!("{mark}{}{mark}", texts.text())
    };
    let mut screen = match texts.below(12) {
        0 => picker(texts, &mut name),
        1 => {
            let mut screen = Screen::new_run(SIZE.0, SIZE.1);
            screen.state.welcome.directory = name(texts);
            screen.state.welcome.endpoint = name(texts);
            screen.state.welcome.lines = (0..20).map(|_| name(texts)).collect();
            screen.event(Event::Paste(name(texts)));
            screen.event(Event::Launch(Progress::Failed(name(texts))));
            screen
        }
        _ => {
            let mut screen = Screen::run(SIZE.0, SIZE.1);
            for _ in 0..MANY {
                let text = name(texts);
                say(&mut screen, 1, texts.below(18), &text);
            }
            around(&mut screen, texts, &mut name);
            screen
        }
    };
    screen.after(5_000);
    let case = format!("texts {first} to {next}");
    let mut seen = watched.draws(&mut screen, &case);
    // The other panes, open cells, the help over all.
    for keys in [["<ctrl+o>", "<tab>"], ["<ctrl+t>", "d"]][texts.below(2)] {
        screen.keys(keys);
        seen.append(&mut watched.draws(&mut screen, &case));
    }
    seen.range(first..).count()
}

fn picker(texts: &mut Texts, name: &mut impl FnMut(&mut Texts) -> String) -> Screen {
    let mut screen = Screen::picker(SIZE.0, SIZE.1);
    let rows = (0..MANY)
        .map(|_| RunRow {
            at: at(),
            title: name(texts),
            status: Status::from(name(texts)),
            agent: Some(name(texts)),
            place: name(texts),
            needs: Some(name(texts)),
            working: false,
            updated: Some(morning()),
            here: false,
            facts: Facts {
                pr_url: Some(name(texts)),
                error: Some(name(texts)),
                ..Facts::default()
            },
        })
        .collect();
    screen.event(Event::RunsListed(Ok(rows)));
    screen
}

fn draws(seed: u64, most: usize) -> usize {
    let (mut watched, mut texts) = (Watched::new(), Texts::new(seed));
    let (mut drawn, mut next) = (0, 0);
    while drawn < most {
        let seen = picture(&mut watched, &mut texts, &mut next);
        assert!(seen > 0, "a picture without one of its texts");
        drawn += seen;
    }
    assert!(watched.watch.printed() > 0);
    drawn
}

/// So many texts, in two threads; gives how many were on a picture.
pub(crate) fn run(most: usize) -> usize {
    std::thread::scope(|scope| {
        let half = |seed| scope.spawn(move || draws(seed, most.div_ceil(2)));
        [half(1), half(2)]
            .map(|half| half.join().expect("no panic"))
            .iter()
            .sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::count;
    use crate::quality::hostile::PIECES;

    #[test]
    fn no_text_reaches_the_terminal_as_anything_but_text() {
        let most = count("ASHORE_TEXTS", 3000);
        let drawn = run(most);
        assert!(drawn >= most, "{drawn}");
    }

    #[test]
    fn each_piece_in_each_place_is_only_text() {
        for place in 0..18 {
            let mut watched = Watched::new();
            // Few enough that most of them are seen, and each begins a cell of its own.
            for pieces in PIECES.chunks(24) {
                let mut screen = Screen::run(SIZE.0, SIZE.1);
                for (number, piece) in pieces.iter().enumerate() {
                    say(&mut screen, 1, place, &format!("{}{piece}", mark(number)));
                }
                watched.draws(&mut screen, &format!("{pieces:?} at {place}"));
            }
        }
    }
}
