//! From a tool call to the place it tells, in the editor.

use ashore::protocol::file::ChangeKind;
use ashore::protocol::ids::Seq;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::piece::Wanted;
use ashore::tui::place::Place;
use ashore::tui::state::{Focus, Popup};
use serde_json::{Value, json};

use crate::screens::script::Screen;

const SANDBOX: &str = "/tmp/workspace/repos/acme/tides";

fn told(locations: Value) -> Screen {
    let mut screen = Screen::run(80, 24);
    screen.attached().mirror.directory = Some("/home/me/tides".into());
    screen.state.writing.editor = "vi -n".to_owned();
    screen.prompt(0, "look");
    screen.update(
        1,
        json!({"sessionUpdate": "tool_call", "toolCallId": "a", "title": "Read `src/clock.rs`", "kind": "read",
            "status": "completed", "locations": locations}),
    );
    screen.state.focus = Focus::Browse;
    screen
}

fn visits(path: &str, line: Option<u64>) -> Vec<Effect> {
    vec![Effect::OpenAt {
        editor: "vi -n".to_owned(),
        place: Place {
            directory: "/home/me/tides".into(),
            path: path.parse().expect("a test's own"),
            line,
        },
    }]
}

#[test]
fn e_opens_the_place_of_a_call_at_its_line() {
    let mut screen = told(json!([{"path": format!("{SANDBOX}/src/clock.rs"), "line": 41}]));
    assert!(
        screen.text().contains("src/clock.rs:41"),
        "{}",
        screen.text()
    );
    assert_eq!(screen.keys("e"), visits("src/clock.rs", Some(41)));
    screen.event(Event::Visited(Err(
        "src/clock.rs cannot be opened here: gone".into(),
    )));
    assert!(
        screen.text().contains("cannot be opened here"),
        "{}",
        screen.text()
    );
    // In the list of files it is the chosen one.
    screen.changed(2, "notes/a.txt", ChangeKind::Created);
    screen.keys("f");
    assert_eq!(screen.keys("e"), visits("notes/a.txt", None));
}

#[test]
fn of_several_places_one_is_chosen() {
    let places = json!([{"path": "src/a.rs", "line": 1}, {"path": "/home/me/tides/src/b.rs", "line": 7}, {"path": "src/a.rs", "line": 1}]);
    let mut screen = told(places);
    screen.keys("<ctrl+o>");
    assert!(
        screen.text().contains("at src/a.rs:1 · "),
        "{}",
        screen.text()
    );
    assert_eq!(screen.keys("e"), []);
    assert_eq!(screen.state.popup, Some(Popup::Places { chosen: 0 }));
    assert!(
        screen.text().contains("open in the editor"),
        "{}",
        screen.text()
    );
    assert_eq!(screen.keys("jjj<enter>"), visits("src/b.rs", Some(7)));
    assert_eq!(screen.state.popup, None);
}

#[test]
fn what_is_not_mirrored_here_is_not_opened_and_why_is_said() {
    let table = [
        (
            json!([{"path": "/etc/passwd"}]),
            Some("/home/me/tides"),
            "/etc/passwd is not in the mirrored directory",
        ),
        (
            json!([{"path": "../x"}]),
            Some("/home/me/tides"),
            "path escapes the root",
        ),
        (
            json!([{"path": ".git/config"}]),
            Some("/home/me/tides"),
            "inside .git",
        ),
        (json!([{"path": "src/a.rs"}]), None, "in the sandbox only"),
        (
            json!([]),
            Some("/home/me/tides"),
            "no place in a file is told here",
        ),
    ];
    for (locations, directory, why) in table {
        let mut screen = told(locations);
        screen.attached().mirror.directory = directory.map(Into::into);
        assert_eq!(screen.keys("e"), [], "{why}");
        assert!(screen.text().contains(why), "{why}: {}", screen.text());
    }
}

fn calls(screen: &mut Screen, second: u64, id: &str, status: &str, locations: Value) {
    screen.update(
        second,
        json!({"sessionUpdate": "tool_call", "toolCallId": id, "title": "Look", "kind": "read",
            "status": status, "locations": locations}),
    );
}

#[test]
fn who_follows_the_agent_is_shown_where_it_is_until_he_moves() {
    let mut screen = told(json!([{"path": format!("{SANDBOX}/src/clock.rs"), "line": 41}]));
    for (second, path) in [(2, "src/clock.rs"), (3, "src/moon.rs"), (4, "notes.txt")] {
        screen.changed(second, path, ChangeKind::Modified);
    }
    screen.keys("fA");
    assert!(screen.text().contains("▸ notes.txt"), "{}", screen.text());
    // A call that runs, at its newest place; what is chosen in the list is that file.
    let places = json!([{"path": "src/moon.rs", "line": 3}, {"path": format!("{SANDBOX}/src/clock.rs"), "line": 12}]);
    calls(&mut screen, 5, "b", "in_progress", places);
    let shown = screen.text();
    assert!(shown.contains("▸ src/clock.rs:12"), "{shown}");
    assert_eq!(screen.state.row, 2);
    assert_eq!(screen.keys("e"), visits("src/clock.rs", Some(12)));
    // A newer file moves the lines of the list, and not what is followed.
    screen.changed(6, "a.txt", ChangeKind::Created);
    assert_eq!(screen.state.row, 3);
    // What is read and not changed is named all the same.
    calls(
        &mut screen,
        7,
        "c",
        "in_progress",
        json!([{"path": "README.md"}]),
    );
    assert!(screen.text().contains("▸ README.md"), "{}", screen.text());
    assert_eq!(screen.state.row, 3);
    screen.keys("g");
    assert_eq!((screen.state.row, &screen.state.follow), (0, &None));
    let shown = screen.text();
    assert!(
        shown.contains("no longer followed: A follows again"),
        "{shown}"
    );
    assert!(!shown.contains("▸ README.md"), "{shown}");
    calls(
        &mut screen,
        8,
        "d",
        "in_progress",
        json!([{"path": "src/moon.rs"}]),
    );
    assert_eq!(screen.state.row, 0, "he has moved there");
    screen.keys("A");
    assert_eq!(screen.state.row, 2);
    screen.keys("A");
    assert_eq!(screen.state.follow, None);
}

#[test]
fn what_is_followed_stands_beside_the_chat_and_is_done_by_its_name() {
    let mut screen = Screen::run(120, 30);
    screen.attached().mirror.directory = Some("/home/me/tides".into());
    screen.prompt(0, "look");
    screen.keys("/follow<enter>");
    assert!(screen.text().contains("▸ following"), "{}", screen.text());
    for number in 0..40 {
        let path = format!("src/m{number}.rs");
        screen.changed(1, &path, ChangeKind::Created);
    }
    calls(
        &mut screen,
        2,
        "a",
        "in_progress",
        json!([{"path": "/home/me/tides/src/m3.rs", "line": 7}]),
    );
    screen.state.toasts.clear();
    screen.shows("follow");
    // It goes with its run.
    screen.keys("<ctrl+x>l");
    assert_eq!(screen.state.follow, None);
}

fn newest(screen: &mut Screen) -> Seq {
    let cells = &screen.attached().session.transcript.cells;
    cells.last().expect("it is there").seq
}

#[test]
fn s_saves_what_is_no_text_and_nothing_else() {
    let image = json!({"type": "image", "mimeType": "image/png", "data": "A".repeat(56_000)});
    let mut screen = told(json!([]));
    assert_eq!(screen.keys("s"), []);
    assert!(
        screen.text().contains("no image and no file to save"),
        "{}",
        screen.text()
    );
    screen.update(
        2,
        json!({"sessionUpdate": "agent_message_chunk", "content": image}),
    );
    let shown = screen.text();
    assert!(
        shown.contains("▪ image image/png, 42.0 kB · s saves"),
        "{shown}"
    );
    let cell = newest(&mut screen);
    let of = screen.attached().at.run.clone();
    let saves = |from, call: Option<&str>| {
        vec![Effect::SavePieces {
            of: of.clone(),
            wanted: Wanted {
                from,
                call: call.map(str::to_owned),
            },
        }]
    };
    assert_eq!(screen.keys("s"), saves(cell, None));
    screen.update(3, json!({"sessionUpdate": "tool_call", "toolCallId": "shot", "title": "Screenshot", "kind": "read",
        "status": "completed", "content": [{"type": "content", "content": image}]}));
    screen.keys("<ctrl+o>");
    let shown = screen.text();
    assert_eq!(shown.matches("42.0 kB · s saves").count(), 2, "{shown}");
    let call = newest(&mut screen);
    assert_eq!(screen.keys("s"), saves(call, Some("shot")));
    // Of what is selected, and of nothing beside it.
    screen.state.selected = Some(1);
    assert_eq!(screen.keys("s"), []);
}
