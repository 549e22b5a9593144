//! The main scenes in every width class: 120, 80 and 40 columns stand with the scenes, here is what lies between and below.

use serde_json::json;

use ashore::tui::event::Event;

use crate::screens::scenes::{busy, each};
use crate::screens::script::{Screen, posted};

/// The widest and the narrowest of the class with tabs, and the narrowest side pane.
const BETWEEN: [(u16, u16); 3] = [(60, 24), (50, 24), (30, 24)];

#[test]
fn the_main_scenes_in_the_widths_between() {
    each(&BETWEEN, "start/draft", Screen::new_run, |screen| {
        screen.keys("fix the flaky test,<ctrl+j>then say why 漢字 👩‍👩‍👧");
    });
    each(&BETWEEN, "run/working", Screen::run, busy);
    each(&BETWEEN, "run/asking", Screen::run, |screen| {
        busy(screen);
        screen.asks(19, "p1", "run `cargo test -- --ignored`");
        screen.after(1000);
    });
    each(&BETWEEN, "run/done", Screen::run, |screen| {
        busy(screen);
        let output = json!([{"type": "content", "content": {"type": "text", "text": "running 48 tests\ntest auth::expires ... ok"}}]);
        screen.update(40, json!({"sessionUpdate": "tool_call_update", "toolCallId": "t3", "status": "completed", "content": output}));
        screen.chunk(41, "The suite passes.");
        screen.ends(42, "end_turn");
    });
}

/// What is asked for, and what is on its way, is to be seen at any width.
#[test]
fn no_width_hides_the_question_or_the_state() {
    for width in 20..=130 {
        let mut screen = Screen::run(width, 24);
        busy(&mut screen);
        screen.asks(19, "p1", "run it?");
        screen.after(1000);
        let text = screen.text();
        assert!(text.contains('●'), "{width}\n{text}");
        if width < 30 {
            assert!(text.contains("?1"), "{width}\n{text}");
        } else {
            assert!(text.contains("run it?"), "{width}\n{text}");
            assert!(text.contains("1 Allow once"), "{width}\n{text}");
        }
    }
}

/// A sentence that says what to do is of no use without its end.
#[test]
fn a_long_toast_is_read_whole_in_a_side_pane() {
    let mut screen = Screen::run(40, 24);
    busy(&mut screen);
    let wrong = "config error: config.toml:12  there is no key `them`";
    screen.event(Event::Tastes(Box::new(Err(wrong.to_owned()))));
    let text = format!("{wrong}; what held before still holds");
    screen.shows("run/toast");
    let lines = screen.text();
    let words = lines.lines().flat_map(str::split_whitespace);
    let words: Vec<&str> = words.collect();
    let whole: Vec<&str> = text.split_whitespace().collect();
    let said = |from: &[&str]| from.iter().filter(|word| words.contains(word)).count();
    assert_eq!(said(&whole), whole.len(), "{lines}");
}

/// Every answer of the question that [`Screen::asks`] asks.
fn are_shown(screen: &mut Screen) -> bool {
    let text: String = screen.text().split_whitespace().collect();
    [
        "runit?",
        "1Allowonce",
        "2Alwaysallow`cargotest`",
        "3Reject",
        "4Never",
        "5rejectandsaywhy",
    ]
    .iter()
    .all(|words| text.contains(words))
}

/// On a low screen what will happen gives way first; an answer that cannot be seen is not given.
#[test]
fn no_height_hides_an_answer_that_a_key_gives() {
    for width in [20, 30, 36, 40, 49, 50, 60, 79, 80, 100, 120] {
        for height in 5..=40 {
            for keys in ["", "d", "<ctrl+x>a"] {
                let mut screen = Screen::run(width, height);
                busy(&mut screen);
                screen.asks(19, "p1", "run it?");
                screen.after(1000);
                screen.keys(keys);
                screen.keys("<ctrl+u>");
                screen.after(1000);
                let (shown, text) = (are_shown(&mut screen), screen.text());
                let answered = !posted(&screen.keys("y")).is_empty();
                assert_eq!(answered, shown, "{width}x{height} {keys}\n{text}");
                let says = text.contains("no room") || (width < 30 || height < 8);
                assert!(shown || says, "{width}x{height} {keys}\n{text}");
                assert!(
                    shown || height < 14 || width < 30,
                    "{width}x{height} {keys}\n{text}"
                );
            }
        }
    }
}
