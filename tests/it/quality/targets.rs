//! What the fuzzer feeds, and what must hold whatever it feeds. `fuzz/` runs these without end; here the corpora run once.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Component, Path};
use std::rc::Rc;

use ashore::attach;
use ashore::attach::state::{Attached, Link};
use ashore::backend::log::Log;
use ashore::backend::log::file::{FileLog, Fsync};
use ashore::commands::output;
use ashore::protocol::command::Command;
use ashore::protocol::hash::ContentHash;
use ashore::protocol::ids::{ProjectId, RunId, RunRef, Seq};
use ashore::protocol::normalize;
use ashore::protocol::pack::Reader;
use ashore::protocol::path::RelPath;
use ashore::tui::event::Event;
use ashore::tui::state::{Scene, Start, State, Welcome};
use ashore::tui::theme::{Depth, Theme};
use ashore::tui::update::update;
use ashore::tui::view::paint::Paint;
use ashore::tui::view::screen::view;
use bytes::Bytes;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::quality::sequences;
use crate::quality::wire::Wire;

/// One thing to feed.
pub(crate) type Target = fn(&[u8]);

/// All of them, by the name of their corpus.
pub(crate) const TARGETS: [(&str, Target); 8] = [
    ("command", command),
    ("journal", journal),
    ("log", log),
    ("pack", pack),
    ("path", path),
    ("shell", shell),
    ("stream", stream),
    ("terminal", terminal),
];

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A command that can be read is written and read again as the same.
fn command(data: &[u8]) {
    let Ok(value) = serde_json::from_slice(data) else {
        return;
    };
    if let Ok(command) = Command::from_json(&value) {
        let again = Command::from_json(&command.to_json());
        assert_eq!(again.as_ref(), Ok(&command));
    }
}

/// The lines of a journal are read, folded and drawn.
fn journal(data: &[u8]) {
    let lines = data
        .split(|byte| *byte == b'\n')
        .zip(1..)
        .map(|(line, seq)| (Seq(seq), normalize::decode(line)))
        .collect();
    draw(vec![Event::Attach(attach::event::Event::Arrived(lines))]);
}

/// A text of the agent, a tool's title and output, a paste.
fn terminal(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let update = |update: serde_json::Value| {
        let message = json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}});
        let line = json!({"type": "notification", "timestamp": "2026-01-19T12:00:01.000Z", "notification": message});
        normalize::decode(line.to_string().as_bytes())
    };
    let lines = vec![
        (
            Seq(1),
            update(
                json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": text, "kind": "execute", "status": "in_progress",
            "content": [{"type": "content", "content": {"type": "text", "text": text}}]}),
            ),
        ),
        (
            Seq(2),
            update(
                json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}),
            ),
        ),
    ];
    draw(vec![
        Event::Attach(attach::event::Event::Arrived(lines)),
        Event::Paste(text.into_owned()),
    ]);
}

/// What goes to a shell is text.
fn shell(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shown = output::plain(&text);
    sequences::Terminal::shell().takes(shown.as_bytes(), "plain");
}

#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// These happen to a run on the screen; the bytes that draw it hold no sequence but ours.
fn draw(events: Vec<Event>) {
    const SIZE: (u16, u16) = (60, 24);
    let at = RunRef {
        project: ProjectId(1),
        task: "1b9e".parse().expect("an id"),
        run: "7f3a1c52".parse().expect("an id"),
    };
    let mut attached = Attached::new(at, "local", false);
    attached.link = Link::Live;
    let mut state = State::new(Start {
        scene: Scene::Run(Box::new(attached)),
        welcome: Welcome {
            directory: String::new(),
            endpoint: String::new(),
            lines: Vec::new(),
        },
        draft: String::new(),
        history: Vec::new(),
        size: SIZE,
        now: tokio::time::Instant::now().into_std(),
        wall: "2026-01-19T14:02:00Z".parse().expect("a time"),
        zone: jiff::tz::TimeZone::UTC,
    });
    for event in events {
        update(&mut state, event);
    }
    let sink = Sink::default();
    let viewport = Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1));
    let backend = CrosstermBackend::new(sink.clone());
    let mut terminal =
        Terminal::with_options(backend, TerminalOptions { viewport }).expect("a buffer");
    let mut paint = Paint::new(Theme::built_in("dark", Depth::Sixteen));
    terminal
        .draw(|frame| view(&state, &mut paint, frame))
        .expect("a buffer takes all");
    sequences::Terminal::screen().takes(&sink.0.take(), "a picture");
}

/// A path that is taken stays below its root and out of every repository.
fn path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(path) = text.parse::<RelPath>() else {
        return;
    };
    let below = path.below(Path::new("/root"));
    let mut parts = below.strip_prefix("/root").expect("below").components();
    assert!(
        parts.all(|part| matches!(part, Component::Normal(_))),
        "{text:?}"
    );
    assert!(!path.parts().any(is_git), "{text:?}");
    assert!(
        path.parts().all(|part| (1..=255).contains(&part.len())),
        "{text:?}"
    );
    assert_eq!(path.as_str().parse().as_ref(), Ok(&path));
}

/// What git itself refuses as HFS+ and NTFS read it (its `is_hfs_dotgit` and `is_ntfs_dotgit`), said independently.
pub(crate) fn is_git(part: &str) -> bool {
    let seen: String = part
        .chars()
        .filter(
            |c| !matches!(*c as u32, 0x200c..=0x200f | 0x202a..=0x202e | 0x206a..=0x206f | 0xfeff),
        )
        .collect();
    let seen = seen.to_lowercase();
    [".git", "git~1"].iter().any(|name| {
        seen.strip_prefix(name).is_some_and(|rest| {
            let rest = rest.trim_start_matches([' ', '.']);
            rest.is_empty() || rest.starts_with(':')
        })
    })
}

/// A journal file of any bytes: its whole lines are there, its torn end is cut, and it goes on behind them. No line holds
/// a NUL: where one stands is what a power cut left of the last write.
fn log(data: &[u8]) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a temp folder");
    let run: RunId = "7d0c2f9e".parse().expect("an id");
    let file = folder.path().join(format!("{run}.ndjson"));
    File::create(&file)
        .and_then(|mut file| file.write_all(data))
        .expect("can be written");
    let sound = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let data = &data[..sound];
    let whole: Vec<Bytes> = match data.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => data[..end]
            .split(|byte| *byte == b'\n')
            .map(Bytes::copy_from_slice)
            .collect(),
        None => Vec::new(),
    };
    runtime.block_on(async {
        let read = || async {
            let log = FileLog::new(folder.path().to_owned(), Fsync::Never).expect("a folder");
            let lines = log.open(&run).await.expect("any file can be opened");
            let all = lines
                .read_after(Seq::ZERO, usize::MAX)
                .await
                .expect("can be read");
            assert_eq!(lines.last(), Seq(all.len() as u64));
            (lines, all)
        };
        let (lines, all) = read().await;
        assert_eq!(all, whole);
        let next = Bytes::from_static(b"{}");
        lines
            .submit(vec![next.clone()])
            .durable
            .await
            .expect("can be written");
        drop(lines);
        let (_, mut all) = read().await;
        assert_eq!(all.pop(), Some(next));
        assert_eq!(all, whole);
    });
}

/// A body that says it is a pack, cut anywhere: what is handed over was asked for, comes once, and is what its name says;
/// cutting makes no difference. The first byte says how it is cut; three contents and nothing are asked for.
fn pack(data: &[u8]) {
    let (size, data) = data.split_first().unwrap_or((&0, &[]));
    let asked = [&b""[..], b"a", b"hello", b"hello, world"].map(ContentHash::of);
    let read = |size: usize| {
        let mut reader = Reader::new(asked);
        let mut got = Vec::new();
        let end = data
            .chunks(size)
            .try_for_each(|piece| reader.feed(piece, &mut |hash, bytes| got.push((hash, bytes))))
            .and_then(|()| reader.finish());
        (got, end)
    };
    let whole = read(data.len().max(1));
    assert_eq!(read(usize::from(*size) + 1), whole);
    for (at, (hash, bytes)) in whole.0.iter().enumerate() {
        assert!(asked.contains(hash) && ContentHash::of(bytes) == *hash);
        assert!(whole.0[..at].iter().all(|(other, _)| other != hash));
    }
}

/// A stream of any bytes, cut anywhere: what is handed over is numbered from 1 without a gap, and it ends. Where cutting
/// may make no difference it makes none.
fn stream(data: &[u8]) {
    thread_local! {
        static ROAD: (Runtime, Wire) = {
            let runtime = runtime();
            let wire = runtime.block_on(Wire::new());
            (runtime, wire)
        };
    }
    let (size, data) = data.split_first().unwrap_or((&0, &[]));
    ROAD.with(|(runtime, wire)| {
        runtime.block_on(async {
            let pieces: Vec<&[u8]> = data.chunks(usize::from(*size).max(1)).collect();
            let cut = wire.follow(&pieces).await;
            let numbers: Vec<u64> = cut.lines.iter().map(|(seq, _)| *seq).collect();
            assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
            let whole = wire.follow(&[data]).await;
            assert_eq!(cut.lines, whole.lines);
        });
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every file of the corpora, by target.
    fn corpora() -> BTreeMap<String, Vec<Vec<u8>>> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let names = |folder: &Path| -> Vec<_> {
            std::fs::read_dir(folder)
                .expect("part of the repository")
                .map(|entry| entry.expect("readable").path())
                .collect()
        };
        names(&corpus)
            .into_iter()
            .map(|folder| {
                let name = folder
                    .file_name()
                    .expect("has one")
                    .to_string_lossy()
                    .into_owned();
                let all = names(&folder)
                    .iter()
                    .map(|path| std::fs::read(path).expect("readable"))
                    .collect();
                (name, all)
            })
            .collect()
    }

    #[test]
    fn every_target_stands_its_corpus() {
        let corpora = corpora();
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            corpora.keys().map(String::as_str).collect::<Vec<_>>(),
            names
        );
        for (name, target) in TARGETS {
            assert!(!corpora[name].is_empty(), "{name}");
            corpora[name].iter().for_each(|data| target(data));
        }
    }
}
