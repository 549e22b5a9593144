//! The screen as one who lives in a terminal: its theme, its title, its calls, the mouse.

use ashore::attach::state::Link;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::keymap::{Keymap, Wishes};
use ashore::tui::state::{Pane, Scroll};
use ashore::tui::tastes::Tastes;
use ashore::tui::theme::{Choice, Depth, Theme};
use ashore::tui::tty::report::{Manners, Report, Scheme};
use ashore::tui::view::paint::Paint;

use crate::screens::scenes::busy;
use crate::screens::script::Screen;

fn calls(screen: &mut Screen) -> Vec<String> {
    std::mem::take(&mut screen.ordered)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Bell => Some("bell".to_owned()),
            Effect::Notify(words) => Some(words),
            _ => None,
        })
        .collect()
}

#[test]
fn the_theme_follows_the_terminal_and_a_chosen_one_does_not() {
    let told = |scheme| Event::Told(Report::Scheme(scheme));
    let ground = |level| Event::Told(Report::Ground([level; 3]));
    let in_theme = |name: &str| {
        let mut screen = Screen::run(80, 24);
        busy(&mut screen);
        screen.paint = Paint::new(Theme::built_in(name, Depth::True));
        screen.draw()
    };
    let (dark, light) = (in_theme("dark"), in_theme("light"));
    assert_ne!(dark, light);
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    screen.state.citizen.themes = Some(Choice::auto(Depth::True));
    assert_eq!(screen.draw(), dark);
    for (event, wanted) in [
        (ground(255), &light),
        (told(Scheme::Dark), &dark),
        (told(Scheme::Light), &light),
        (ground(10), &dark),
    ] {
        screen.state.changed = false;
        screen.event(event.clone());
        assert!(screen.state.changed, "{event:?}");
        assert!(screen.draw() == *wanted, "{event:?}");
    }
    let one = Choice::One(Box::new(Theme::built_in("dark", Depth::True)));
    screen.state.citizen.themes = Some(one);
    screen.event(told(Scheme::Light));
    assert_eq!(screen.draw(), dark);
}

#[test]
fn what_the_terminal_answers_late_is_made_use_of_once() {
    let mut screen = Screen::run(80, 24);
    let keyboard = Manners {
        keyboard: true,
        ..Manners::default()
    };
    let told = Event::Told(Report::Keyboard);
    assert_eq!(screen.event(told.clone()), [Effect::Adopt(keyboard)]);
    assert_eq!(screen.event(told), []);
    assert_eq!(screen.event(Event::Told(Report::Mode(47, true))), []);
}

#[test]
fn a_question_calls_who_looks_elsewhere_and_rings_where_that_is_not_known() {
    type Before = fn(&mut Screen);
    let table: [(&str, Before, &[&str]); 4] = [
        ("nothing is known", |_| (), &["bell"]),
        (
            "it would have told",
            |screen| screen.state.citizen.manners.tells_focus = true,
            &[],
        ),
        (
            "here again",
            |screen| {
                screen.event(Event::FocusLost);
                screen.event(Event::FocusGained);
            },
            &[],
        ),
        (
            "elsewhere",
            |screen| {
                screen.event(Event::FocusLost);
            },
            &["The auth test fails one time in ten. Find out why and fix it. asks: run it"],
        ),
    ];
    for (what, before, wanted) in table {
        let mut screen = Screen::run(80, 24);
        busy(&mut screen);
        before(&mut screen);
        calls(&mut screen);
        screen.asks(30, "q1", "run it");
        screen.chunk(31, "more");
        assert_eq!(calls(&mut screen), wanted, "{what}");
    }
}

#[test]
fn the_end_of_a_turn_calls_once_and_only_who_looks_elsewhere_and_never_from_history() {
    let over = ["fix it: the turn is over"];
    let mut screen = Screen::run(80, 24);
    screen.prompt(1, "fix it").ends(2, "end_turn");
    assert_eq!(calls(&mut screen), [""; 0], "seen");
    screen.event(Event::FocusLost);
    screen.prompt(3, "again").ends(4, "end_turn");
    assert_eq!(calls(&mut screen), over, "elsewhere");
    screen.chunk(5, "late");
    assert_eq!(calls(&mut screen), [""; 0], "once");
    // What ended while the link was away is told when it is back; what began and ended meanwhile is history.
    screen.prompt(6, "and again");
    for link in [
        Link::Offline {
            reason: String::new(),
        },
        Link::Live,
    ] {
        screen.attached().link = link;
        screen.ends(7, "end_turn");
    }
    assert_eq!(calls(&mut screen), over, "away");
    screen.attached().link = Link::Offline {
        reason: String::new(),
    };
    screen.prompt(8, "old").ends(9, "end_turn");
    screen.attached().link = Link::Live;
    screen.chunk(10, "new");
    assert_eq!(calls(&mut screen), [""; 0], "history");
}

#[test]
fn the_title_says_how_the_run_is_and_holds_nothing_of_the_agent_that_acts() {
    let titles = |screen: &mut Screen| -> Vec<String> {
        std::mem::take(&mut screen.ordered)
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Title(words) => Some(words),
                _ => None,
            })
            .collect()
    };
    let mut silent = Screen::run(80, 24);
    busy(&mut silent);
    assert_eq!(titles(&mut silent), [""; 0]);
    let mut screen = Screen::run(80, 24);
    screen.state.citizen.habits.titles = true;
    screen.prompt(1, "fix\u{1b}]0;it\u{7}\nall of it");
    screen.chunk(2, "a");
    screen.chunk(3, "b");
    screen.asks(4, "q1", "run it");
    let name = "7f3a1c52 fix␛]0;it␇";
    assert_eq!(
        titles(&mut screen),
        [
            "○ 7f3a1c52 new run".to_owned(),
            format!("◐ {name}"),
            format!("? {name}")
        ]
    );
    screen.state.citizen.habits.ascii = Some(true);
    screen.attached().link = Link::Offline {
        reason: String::new(),
    };
    screen.keys("<ctrl+x>");
    let answered =
        ashore::protocol::line::permission_response("q1", "q1-call", "allow_once", None, None);
    screen.says(5, &answered);
    assert_eq!(titles(&mut screen), [format!("x {name}")]);
}

#[test]
fn the_wheel_scrolls_and_the_mouse_can_be_given_back() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    for number in 0..100 {
        screen.prompt(40, &format!("line {number}"));
    }
    screen.draw();
    assert_eq!(screen.keys("<ctrl+x>m"), [Effect::Mouse(true)]);
    assert!(screen.text().contains("hold Shift to select text"));
    let before = screen.state.drawn.top;
    screen.event(Event::Wheel(-1));
    assert!(matches!(screen.state.scroll, Scroll::At(_)));
    screen.draw();
    assert_ne!(screen.state.drawn.top, before);
    screen.event(Event::Wheel(1));
    screen.draw();
    assert_eq!(screen.state.scroll, Scroll::Follow);
    assert_eq!(screen.keys("<ctrl+x>m"), [Effect::Mouse(false)]);
    // In a list it is the arrow keys.
    screen.state.pane = Pane::Tools;
    screen.event(Event::Wheel(1));
    assert_eq!(screen.state.row, 1);
}

#[test]
fn without_the_column_a_wide_screen_shows_it_only_when_asked() {
    let mut screen = Screen::run(140, 30);
    assert!(screen.state.has_column());
    screen.state.citizen.habits.column = false;
    assert!(!screen.state.has_column());
    screen.keys("<ctrl+x>f");
    assert!(screen.state.has_column());
    screen.keys("<ctrl+x>c");
    assert!(!screen.state.has_column());
}

#[test]
fn an_answer_is_copied_whole() {
    let mut screen = Screen::run(80, 24);
    let long = "x".repeat(80_000);
    screen
        .prompt(1, "write")
        .chunk(2, &long)
        .ends(3, "end_turn");
    assert!(screen.keys("<ctrl+x>y") == [Effect::Copy(long)]);
}

fn tastes() -> Tastes {
    Tastes {
        themes: Choice::One(Box::new(Theme::built_in("dark", Depth::True))),
        keymap: Keymap::default(),
        column: true,
        ascii: None,
        calm: false,
        vim: false,
        later: Vec::new(),
    }
}

#[test]
fn a_config_that_is_saved_holds_at_once_and_a_wrong_one_changes_nothing() {
    let mut screen = Screen::run(120, 40);
    busy(&mut screen);
    let saved = |tastes: Tastes| Event::Tastes(Box::new(Ok(tastes)));
    screen.event(saved(tastes()));
    let before = screen.draw();
    let wishes = Wishes::from([(("browse".into(), "files".into()), vec!["W".into()])]);
    screen.event(saved(Tastes {
        themes: Choice::One(Box::new(Theme::built_in("dracula", Depth::True))),
        keymap: Keymap::with(&wishes).expect("a key"),
        column: false,
        ascii: Some(true),
        later: vec!["notify".into()],
        ..tastes()
    }));
    assert_ne!(screen.draw(), before);
    let text = screen.text();
    let said = "the config is read again; at the next start: notify";
    assert!(text.contains(said), "{text}");
    assert!(text.is_ascii() && !text.contains(" Plan "), "{text}");
    screen.keys("<tab>W");
    assert_eq!(screen.state.pane, Pane::Files);
    let held = screen.state.keymap.clone();
    let wrong = "config error: c.toml:1  there is no key `them`".to_owned();
    screen.event(Event::Tastes(Box::new(Err(wrong))));
    assert_eq!(screen.state.keymap, held);
    let toasts = &screen.state.toasts;
    let last = toasts.last().expect("it is said").text.clone();
    assert!(
        last.ends_with("`them`; what held before still holds"),
        "{last}"
    );
    // What was told once is not told again with every change.
    screen.state.toasts.clear();
    screen.event(saved(Tastes {
        later: vec!["notify".into()],
        ..tastes()
    }));
    assert_eq!(screen.state.toasts.len(), 1);
    screen.state.toasts.clear();
    screen.event(saved(Tastes {
        later: vec!["notify".into()],
        ..tastes()
    }));
    assert!(screen.state.toasts.is_empty());
}

#[test]
fn signs_that_would_take_two_columns_have_stand_ins_unless_the_config_says_otherwise() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    screen.draw();
    screen.keys("<tab>");
    screen.draw();
    screen.keys("k");
    assert!(screen.text().contains('▎'), "{}", screen.text());
    screen.event(Event::Told(Report::Column(7)));
    assert!(screen.text().is_ascii(), "{}", screen.text());
    screen.state.citizen.habits.ascii = Some(false);
    assert!(screen.text().contains('●'));
    screen.state.citizen.habits.ascii = None;
    screen.event(Event::Told(Report::Column(4)));
    assert!(screen.text().contains('●'));
}

#[test]
fn times_go_in_steps_of_ten_seconds_where_little_is_to_move() {
    let pictures = |calm| {
        let mut screen = Screen::run(80, 24);
        screen.state.citizen.habits.calm = calm;
        screen.prompt(0, "go on");
        let mut seen = std::collections::BTreeSet::from([screen.text()]);
        for _ in 0..30 {
            screen.after(1000);
            seen.insert(screen.text());
        }
        seen.len()
    };
    assert_eq!((pictures(false), pictures(true)), (31, 4));
}
