//! A conflict, looked at and decided.

use std::path::PathBuf;

use ashore::attach;
use ashore::mirror::control::Keep;
use ashore::mirror::status::Conflict;
use ashore::mirror::worker::Order;
use ashore::protocol::file::ChangeKind;
use ashore::tui::effect::Effect;
use ashore::tui::event::{Event, Side, Sides};

use crate::screens::script::Screen;

fn conflict(path: &str) -> Conflict {
    Conflict {
        path: path.into(),
        theirs: Some(format!("{path}.remote-7f3a1c52-12")),
    }
}

/// Two files in conflict and one that is not; the newest stands first in the list.
fn conflicts(width: u16, height: u16) -> Screen {
    let mut screen = Screen::run(width, height);
    for path in ["src/a.rs", "src/b.rs", "README.md"] {
        screen.changed(1, path, ChangeKind::Modified);
    }
    screen.attached().mirrored = true;
    let mirror = &mut screen.attached().mirror;
    mirror.directory = Some("/home/ana/web".into());
    mirror.conflicts = vec![conflict("src/a.rs"), conflict("src/b.rs")];
    screen
}

fn read(path: &str, mine: Side, theirs: Side) -> Event {
    Event::SidesRead(Sides {
        conflict: conflict(path),
        mine,
        theirs,
    })
}

fn text(text: &str) -> Side {
    Side::Text(text.into())
}

#[test]
fn the_chosen_file_is_read_or_else_the_first_in_conflict() {
    let asked = |keys: &str| {
        let mut screen = conflicts(100, 30);
        let effects = screen.keys(keys);
        let read = effects.into_iter().find_map(|effect| match effect {
            Effect::ReadSides {
                directory,
                conflict,
            } => Some((directory, conflict.path)),
            _ => None,
        });
        (read, screen.text())
    };
    let directory = || PathBuf::from("/home/ana/web");
    let first = Some((directory(), "src/a.rs".to_owned()));
    let second = Some((directory(), "src/b.rs".to_owned()));
    assert_eq!(asked("<tab>x").0, first);
    assert_eq!(asked("/conflict<enter>").0, first);
    assert_eq!(asked("<tab>fjx").0, second);
    let (none, screen) = asked("<tab>fx");
    assert_eq!(none, None);
    assert!(screen.contains("README.md is not in conflict"), "{screen}");
}

#[test]
fn a_digit_decides_and_esc_leaves_it() {
    let table = [
        ("1", Some(Keep::Mine)),
        ("2", Some(Keep::Theirs)),
        ("3", Some(Keep::Both)),
        ("4", None),
        ("<esc>", None),
    ];
    for (key, keep) in table {
        let mut screen = conflicts(100, 30);
        screen.event(read("src/a.rs", text("a\nmine\n"), text("a\ntheirs\n")));
        let shown = screen.text();
        assert!(
            shown.contains("-mine") && shown.contains("+theirs"),
            "{shown}"
        );
        let effects = screen.keys(key);
        let ordered = effects.into_iter().find_map(|effect| match effect {
            Effect::Attach(_, attach::effect::Effect::Mirror(Order::Resolve { path, keep })) => {
                Some((path.to_string(), keep))
            }
            _ => None,
        });
        assert_eq!(
            ordered,
            keep.map(|keep| ("src/a.rs".to_owned(), keep)),
            "{key}"
        );
        let open = screen.text().contains("-mine");
        assert_eq!(open, key == "4", "{key}");
    }
}

#[test]
fn what_is_no_text_is_told_and_a_question_is_not_covered() {
    let mut screen = conflicts(100, 30);
    screen.event(read("src/a.rs", Side::Gone, Side::Other("a link".into())));
    let shown = screen.text();
    assert!(
        shown.contains("yours: deleted") && shown.contains("theirs: a link"),
        "{shown}"
    );
    let mut screen = conflicts(100, 30);
    screen.keys("<tab>?");
    screen.event(read("src/a.rs", text("mine\n"), text("theirs\n")));
    assert!(!screen.text().contains("-mine"), "the keys are still shown");
}

#[test]
fn both_sides_at_every_size() {
    for (width, height) in [(120, 40), (80, 24), (40, 24)] {
        let mut screen = conflicts(width, height);
        let lines = |word: &str| -> String { (1..=30).map(|n| format!("{word} {n}\n")).collect() };
        let event = read("src/a.rs", text(&lines("mine")), text(&lines("theirs")));
        screen.event(event);
        screen.keys("jj");
        screen.shows("box/conflict");
    }
}
