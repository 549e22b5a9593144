//! The first look of a run into a directory: the page, what its keys mean, and what is heard of it in words.

use ashore::attach::first::{Answer, Here, Look, There};
use ashore::mirror::forecast::Forecast;
use ashore::mirror::status::{Direction, FileReport, Outcome, Way};
use ashore::protocol::file::ChangeKind;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::keymap::Keymap;
use ashore::tui::linear::take::take;
use ashore::tui::linear::tell::Teller;
use ashore::tui::state::Scene;

use crate::screens::script::{Screen, at};

fn file(path: &str, change: ChangeKind, direction: Direction, result: Outcome) -> FileReport {
    FileReport {
        path: path.to_owned(),
        change,
        direction,
        result,
        hash: None,
        reason: (result == Outcome::Skipped).then(|| "it is larger than 25 MB".to_owned()),
    }
}

fn forecast() -> Forecast {
    use ChangeKind::{Created, Deleted, Modified};
    use Direction::{Down, Up};
    let mut files = vec![
        file("README.md", Modified, Down, Outcome::Conflict),
        file("assets/film.mov", Created, Down, Outcome::Skipped),
        file("notes.txt", Created, Up, Outcome::Settled),
        file("src/old\u{1b}[2J.rs", Deleted, Down, Outcome::Settled),
    ];
    files.extend((0..30).map(|number| {
        let path = format!("src/parser/part{number:02}.rs");
        file(&path, Created, Down, Outcome::Settled)
    }));
    Forecast {
        root: "/home/ana/web".into(),
        files,
        held: None,
        problems: vec!["link: leads out of the directory".to_owned()],
    }
}

fn look() -> Look {
    Look {
        at: at(),
        title: "make the parser faster".to_owned(),
        directory: "~/web".to_owned(),
        way: Way::Both,
        there: There {
            repository: Some("https://github.com/acme/web".to_owned()),
            branch: Some("main".to_owned()),
            commit: Some("1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".to_owned()),
        },
        here: Some(Here {
            repository: Some("https://github.com/ana/web".to_owned()),
            branch: Some("feature/menu".to_owned()),
            commit: Some("9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c".to_owned()),
            dirty: Some(3),
            ignored: Some(2),
            has_theirs: true,
        }),
        forecast: Ok(forecast()),
        worktree: Ok(()),
    }
}

/// The page as it has just come, before the run is opened.
fn asked(width: u16, height: u16, look: Look) -> Screen {
    let mut screen = Screen::opening(width, height);
    screen.after(0);
    assert_eq!(screen.event(Event::Looked(Box::new(look))), []);
    screen
}

fn opened(answer: Answer) -> Effect {
    Effect::OpenAs(at(), answer)
}

#[test]
fn the_page_says_what_would_be_written_before_anything_is() {
    for (width, height) in [(120, 40), (80, 24), (40, 24)] {
        let mut screen = asked(width, height, look());
        screen.after(1000);
        screen.shows("first/look");
        assert!(!screen.text().contains('\u{1b}'));
    }
}

#[test]
fn the_page_names_the_direction_and_both_repositories() {
    let table = [
        (
            Way::Both,
            "both: what the agent changes comes down, what you edit",
        ),
        (
            Way::Down,
            "down only: what the agent changes comes, what you edit",
        ),
        (
            Way::Up,
            "up only: what you edit here goes up, what the agent",
        ),
        (
            Way::Off,
            "off: nothing travels until you set another direction",
        ),
    ];
    for (way, words) in table {
        let mut screen = asked(80, 24, Look { way, ..look() });
        assert!(screen.text().contains(words), "{}", screen.text());
    }
    let mut screen = asked(120, 40, look());
    let here = "here   https://github.com/ana/web · feature/menu · 9f8e7d6c · 3 uncommitted";
    assert!(screen.text().contains(here), "{}", screen.text());
    let bare = Look {
        here: None,
        there: There::default(),
        ..look()
    };
    let mut screen = asked(120, 40, bare);
    let shown = screen.text();
    assert!(shown.contains("here   in no git repository"), "{shown}");
    assert!(
        shown.contains("there  no git repository is known"),
        "{shown}"
    );
}

#[test]
fn the_choices_are_keys_of_the_table() {
    let wish = |path: &str, keys: &[&str]| {
        let (context, action) = path.split_once('.').expect("a test's own");
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        ((context.to_owned(), action.to_owned()), keys)
    };
    let wishes = [
        wish("first_look.as_patch", &["x"]),
        wish("first_look.into_worktree", &[]),
    ];
    let mut screen = asked(120, 40, look());
    screen.state.keymap = Keymap::with(&wishes.into()).expect("can be had");
    screen.after(1000);
    let shown = screen.text();
    assert!(
        shown.contains("Enter mirror here · x as a patch, nothing here · n transcript only"),
        "{shown}"
    );
    assert_eq!(screen.keys("pw"), []);
    assert_eq!(screen.keys("x"), [opened(Answer::Patch)]);
}

#[test]
fn the_choices_stay_in_sight_while_the_list_is_scrolled() {
    let mut screen = asked(80, 24, look());
    screen.after(1000);
    assert!(!screen.text().contains("part29"));
    screen.keys("G");
    let text = screen.text();
    assert!(
        text.contains("not mirrored: link") && text.contains("Enter mirror here"),
        "{text}"
    );
}

#[test]
fn every_answer_opens_the_run_once_and_as_it_says() {
    for (key, answer) in [
        ("<enter>", Answer::Here),
        ("y", Answer::Here),
        ("w", Answer::Worktree),
        ("p", Answer::Patch),
        ("n", Answer::Transcript),
        ("<esc>", Answer::Later),
    ] {
        let mut screen = asked(120, 40, look());
        screen.after(1000);
        assert_eq!(screen.keys(key), [opened(answer)], "{key}");
        assert!(screen.text().contains("opening run 7f3a1c52"), "{key}");
        assert_eq!(screen.keys(key).len(), 0, "{key} answers once");
    }
}

#[test]
fn what_was_typed_before_the_page_came_is_no_answer_to_it() {
    let mut screen = asked(80, 24, look());
    for key in ["<enter>", "w", "p", "n", "y"] {
        assert_eq!(screen.keys(key), [], "{key}");
    }
    assert!(screen.text().contains("a moment"));
    assert!(screen.state.soon().is_some(), "it wakes up by itself");
    screen.state.changed = false;
    screen.after(1000);
    assert!(screen.state.changed && screen.state.soon().is_none());
    assert_eq!(screen.keys("n"), [opened(Answer::Transcript)]);
}

#[test]
fn leaving_opens_nothing() {
    let mut screen = asked(80, 24, look());
    let effects = screen.keys("<ctrl+d>");
    assert!(
        matches!(effects[..], [Effect::Quit { code: 0, .. }]),
        "{effects:?}"
    );
}

#[test]
fn without_a_repository_there_is_no_worktree_to_choose() {
    let bare = Look {
        here: None,
        there: There::default(),
        forecast: Err("the endpoint cannot be reached".to_owned()),
        worktree: Err("a worktree needs a git repository".to_owned()),
        ..look()
    };
    for (width, height) in [(120, 40), (40, 24)] {
        let mut screen = asked(width, height, bare.clone());
        screen.after(1000);
        screen.shows("first/unknown");
    }
    let mut screen = asked(80, 24, bare);
    screen.after(1000);
    screen.shows("first/unknown");
    assert_eq!(screen.keys("w"), []);
    assert_eq!(screen.keys("<enter>"), [opened(Answer::Here)]);
}

#[test]
fn a_run_that_was_opened_without_its_files_can_be_decided_anew() {
    let mut screen = Screen::run(120, 40);
    screen.keys("<esc>");
    assert_eq!(screen.keys("m"), [Effect::LookFirst(at())]);
    screen.event(Event::Looked(Box::new(look())));
    screen.after(1000);
    assert_eq!(screen.keys("<esc>"), []);
    assert!(
        matches!(screen.state.scene, Scene::Run(_)),
        "it stays as it was"
    );
    screen.event(Event::Looked(Box::new(look())));
    screen.after(2000);
    assert!(screen.keys("<enter>").contains(&opened(Answer::Here)));
    assert!(matches!(screen.state.scene, Scene::Opening(_)));
}

#[test]
fn whole_lines_say_the_page_and_take_a_letter() {
    let mut screen = asked(80, 24, look());
    screen.state.keymap.by_name = true;
    screen.after(1000);
    let mut teller = Teller::default();
    let told = teller.tell(&screen.state).join("\n");
    for part in [
        "first look into ~/web",
        "there: https://github.com/acme/web · main · 1a2b3c4d",
        "comes down: created   src/parser/part00.rs",
        "differs: modified  README.md",
        "y mirror here · w into a new git worktree",
        "An empty line decides later.",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let mut empty = screen.state.clone();
    let taken = take(&mut empty, &mut teller, "");
    assert_eq!(taken.effects, [opened(Answer::Later)]);
    let mut named = screen.state.clone();
    let taken = take(&mut named, &mut teller, "/as_patch");
    assert_eq!(taken.effects, [opened(Answer::Patch)]);
    let taken = take(&mut named, &mut teller, "/as_patch");
    assert_eq!(taken.effects, []);
    let said = taken.lines.join("\n");
    assert!(said.contains("no page is open that this decides"), "{said}");
    let taken = take(&mut screen.state, &mut teller, "n");
    assert_eq!(taken.effects, [opened(Answer::Transcript)]);
}
