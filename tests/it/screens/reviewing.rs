//! The files a run has changed, reviewed: counts, a file change by change, and what an undo would do.

use ashore::attach;
use ashore::mirror::preview::{Item, Preview, Scope};
use ashore::mirror::show::{Shown, Side, Weight};
use ashore::mirror::worker::{Order, Report};
use ashore::protocol::file::{ChangeKind, FileState, Mode};
use ashore::protocol::hash::ContentHash;
use ashore::protocol::ids::Seq;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use serde_json::json;

use crate::screens::script::Screen;

fn reviewed(width: u16, height: u16) -> Screen {
    let mut screen = Screen::run(width, height);
    screen.attached().mirrored = true;
    screen.prompt(1, "make the clock injectable");
    screen.update(
        2,
        json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "src/clock.rs", "kind": "edit", "status": "completed"}),
    );
    for (path, kind) in [
        ("assets/logo.png", ChangeKind::Modified),
        ("tests/clock.rs", ChangeKind::Created),
        ("src/clock.rs", ChangeKind::Modified),
    ] {
        screen.changed(3, path, kind);
    }
    screen
        .attached()
        .session
        .files
        .iter_mut()
        .for_each(|file| file.tool_call = Some("c1".into()));
    screen
}

fn tell(screen: &mut Screen, report: Report) -> Vec<Effect> {
    screen.event(Event::Attach(attach::event::Event::Mirror(report)))
}

fn orders(effects: Vec<Effect>) -> Vec<Order> {
    let order = |effect| match effect {
        Effect::Attach(_, attach::effect::Effect::Mirror(order)) => Some(order),
        _ => None,
    };
    effects.into_iter().filter_map(order).collect()
}

fn state(text: &str) -> Option<FileState> {
    Some(FileState {
        hash: ContentHash::of(text.as_bytes()),
        size: text.len() as u64,
        mode: Mode::File,
    })
}

fn lines(changed: &[usize]) -> String {
    let line = |n: usize| match changed.contains(&n) {
        true => format!("    let now = clock.now_{n}();\n"),
        false => format!("    let now = Clock::global_{n}();\n"),
    };
    (0..40).map(line).collect()
}

fn shown(start: &str, now: &str) -> Report {
    Report::Shown(Box::new(Shown {
        path: "src/clock.rs".parse().expect("a path"),
        start: Side::Text(start.into()),
        now: Side::Text(now.into()),
        here: state(now),
        mode: Mode::File,
    }))
}

#[test]
fn files_are_counted_when_they_have_come_to_rest_and_somebody_looks() {
    let mut screen = reviewed(120, 40);
    screen.keys("<tab>f");
    let settled = |screen: &mut Screen, seq| {
        let mut status = screen.attached().mirror.clone();
        status.settled = Seq(seq);
        orders(tell(screen, Report::Status(status)))
    };
    assert_eq!(settled(&mut screen, 0), []);
    let asked = settled(&mut screen, 999);
    let [Order::Weigh(paths)] = &asked[..] else {
        panic!("{asked:?}");
    };
    let names: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
    assert_eq!(names, ["src/clock.rs", "tests/clock.rs", "assets/logo.png"]);
    let lines = |added, removed| Some(Weight::Lines { added, removed });
    let found = [lines(14, 3), lines(31, 0), Some(Weight::Binary)];
    let weighed = paths.iter().cloned().zip(found).collect();
    assert_eq!(orders(tell(&mut screen, Report::Weighed(weighed))), []);
    assert_eq!(settled(&mut screen, 999), []);
    screen.shows("review/files");
    for (width, height) in [(100, 30), (80, 24), (40, 24)] {
        screen.resize(width, height);
        screen.shows("review/files");
    }
}

#[test]
fn a_file_is_reviewed_change_by_change() {
    let (old, new) = (lines(&[]), lines(&[2, 20, 38]));
    let mut screen = reviewed(120, 40);
    let asked = orders(screen.keys("<tab>fv"));
    assert_eq!(
        asked,
        [Order::Show("src/clock.rs".parse().expect("a path"))]
    );
    assert!(screen.text().contains("looking"));
    tell(&mut screen, shown(&old, &new));
    assert!(screen.text().contains("▸ hunk 1 of 3"), "{}", screen.text());
    assert_eq!(orders(screen.keys("y")), []);
    let text = screen.text();
    assert!(
        text.contains("✓ hunk 1 of 3 · kept") || text.contains("▸ hunk 2 of 3"),
        "{text}"
    );
    for (width, height) in [(160, 40), (120, 40), (80, 24), (40, 24)] {
        screen.resize(width, height);
        screen.shows("review/file");
    }
    // The second is taken back: written without it, over what was read, once.
    let order = orders(screen.keys("z"));
    let want = Order::Rewrite {
        path: "src/clock.rs".parse().expect("a path"),
        over: state(&new),
        text: Some(lines(&[2, 38])),
        mode: Mode::File,
    };
    assert_eq!(order, [want]);
    assert_eq!(orders(screen.keys("z")), []);
    tell(&mut screen, shown(&old, &lines(&[2, 38])));
    assert!(screen.text().contains("hunk 2 of 2"), "{}", screen.text());
    screen.keys("[[[");
    assert!(screen.text().contains("hunk 1 of 2"));
    screen.keys("<esc>");
    assert!(!screen.text().contains("hunk 1"));
}

#[test]
fn what_an_undo_would_do_is_read_before_it_is_done() {
    let mut screen = reviewed(120, 40);
    let file = Scope::File {
        path: "src/clock.rs".parse().expect("a path"),
    };
    assert_eq!(orders(screen.keys("<tab>fz")), [Order::Preview(file)]);
    // Nothing is known yet: a yes is none.
    assert_eq!(orders(screen.keys("y")), []);
    let turn = Scope::Turn { turn: 1 };
    assert_eq!(orders(screen.keys("t")), [Order::Preview(turn.clone())]);
    let item = |path: &str, here, back, refused: Option<&str>| Item {
        path: path.parse().unwrap(),
        here,
        back,
        note: None,
        refused: refused.map(str::to_owned),
    };
    let preview = Preview {
        scope: turn.clone(),
        again: false,
        items: vec![
            item("src/clock.rs", state("b"), state("a"), None),
            item("tests/clock.rs", state("b"), None, None),
            item("gone.rs", None, state("a"), None),
            item(
                "notes.md",
                state("b"),
                state("b"),
                Some("you edited it since"),
            ),
        ],
        done: 3,
        refused: 1,
        seen: ContentHash::of(b"this"),
    };
    // A word on something else is not what is asked for.
    let other = Preview {
        scope: Scope::Run,
        ..preview.clone()
    };
    tell(&mut screen, Report::Preview(Box::new(other)));
    assert_eq!(orders(screen.keys("y")), []);
    tell(&mut screen, Report::Preview(Box::new(preview.clone())));
    for (width, height) in [(120, 40), (80, 24), (40, 24)] {
        screen.resize(width, height);
        screen.shows("review/undo");
    }
    let undo = Order::Undo {
        scope: turn,
        seen: Some(preview.seen),
    };
    assert_eq!(orders(screen.keys("y")), [undo]);
    assert!(screen.state.popup.is_none());
}

#[test]
fn without_a_mirror_nothing_is_reviewed_and_that_is_said() {
    let mut screen = reviewed(120, 40);
    screen.attached().mirrored = false;
    for keys in ["<tab>fz", "v", "<enter>"] {
        assert_eq!(orders(screen.keys(keys)), []);
        assert!(screen.state.popup.is_none());
        assert!(screen.text().contains("no directory is mirrored here"));
    }
}
