//! Finding one's way: the search, jumps, the palette, what may follow the leader key, copying, raw text,
//! the mark of what came meanwhile.

use std::time::Duration;

use ashore::attach::state::Link;
use ashore::mirror::status::MirrorState;
use ashore::protocol::command::What as Said;
use ashore::protocol::file::ChangeKind;
use ashore::tui::away::Seen;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::keymap::{Context, Keymap};
use ashore::tui::palette::{What, rows};
use ashore::tui::state::{Focus, Launching, OURS, Pane, Popup, Scene, Scroll};
use ashore::tui::theme::{Depth, Role, Theme};
use serde_json::json;

use crate::screens::scenes::{busy, each};
use crate::screens::script::{Screen, at, morning, posted};

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 24)];

/// Ten turns, each with an answer of many lines and a folded call.
fn long(screen: &mut Screen) {
    for turn in 0..10 {
        screen.prompt(turn, &format!("question {turn}"));
        for line in 0..20 {
            screen.chunk(turn, &format!("- line {line} of turn {turn}\n"));
        }
        screen
            .update(turn, json!({"sessionUpdate": "tool_call", "toolCallId": format!("t{turn}"), "title": "cat notes", "kind": "read",
                "status": "completed", "content": [{"type": "content", "content": {"type": "text", "text": format!("needle {turn}\nhay")}}]}))
            .ends(turn, "end_turn");
    }
}

fn searching(width: u16, height: u16, keys: &str) -> Screen {
    let mut screen = Screen::run(width, height);
    long(&mut screen);
    screen.draw();
    screen.keys("<tab>");
    screen.keys(keys);
    screen
}

#[test]
fn a_search_as_it_looks() {
    each(&SIZES, "find/written", Screen::run, |screen| {
        busy(screen);
        screen.draw();
        screen.keys("<tab>/clock");
    });
    each(&SIZES, "find/gone_through", Screen::run, |screen| {
        long(screen);
        screen.draw();
        screen.keys("<tab>/line 1[0-9] of<enter>NNN");
    });
    each(&SIZES, "find/nothing", Screen::run, |screen| {
        busy(screen);
        screen.draw();
        screen.keys("<tab>/auth(");
    });
}

#[test]
fn typing_jumps_to_the_nearest_match_above_and_n_goes_through_all() {
    let mut screen = searching(80, 24, "/needle");
    let text = screen.text();
    assert!(text.contains("/needle  10 of 10"), "{text}");
    assert!(
        text.contains("needle 9"),
        "a folded call is unfolded: {text}"
    );
    screen.keys("<enter>N");
    let text = screen.text();
    assert!(
        text.contains("9 of 10") && text.contains("needle 8"),
        "{text}"
    );
    screen.keys("GN");
    assert!(!screen.text().contains("needle 9"), "folded again");
    screen.keys("nn");
    assert!(screen.text().contains("10 of 10"));
    screen.keys("n");
    let text = screen.text();
    assert!(text.contains("1 of 10 · around the end"), "{text}");
    assert!(text.contains("needle 0"), "{text}");
}

#[test]
fn every_match_in_sight_is_marked_and_the_one_that_is_looked_at_stands_out() {
    let mut screen = searching(80, 24, "/line 1<enter>");
    let buffer = screen.draw();
    let theme = Theme::built_in("dark", Depth::Sixteen);
    let marked = |role: Role| {
        let style = theme.style(role).add_modifier;
        let cells = buffer.content.iter();
        let marked = cells.filter(|cell| cell.modifier == style);
        marked.map(|cell| cell.symbol()).collect::<String>()
    };
    assert_eq!(marked(Role::Here), "line 1");
    let others = marked(Role::Match);
    assert!(
        others.len() > 30 && others.replace("line 1", "").is_empty(),
        "{others}"
    );
    screen.keys("<esc>");
    let buffer = screen.draw();
    let style = theme.style(Role::Here).add_modifier;
    assert!(buffer.content.iter().all(|cell| cell.modifier != style));
}

#[test]
fn escape_while_it_is_written_goes_back_and_afterwards_stays() {
    let mut screen = searching(80, 24, "");
    let before = screen.text();
    screen.keys("/question 3");
    assert!(screen.text().contains("question 3"));
    assert_eq!(posted(&screen.keys("<esc>")), []);
    assert_eq!(screen.text(), before);
    screen.keys("/question 3<enter>");
    screen.draw();
    screen.keys("<esc>");
    let text = screen.text();
    assert!(
        text.contains("question 3") && !text.contains("1 of 1"),
        "{text}"
    );
    assert_eq!(screen.state.focus, Focus::Browse);
    // Nothing written: what was looked for before.
    screen.keys("G/<enter>");
    assert!(screen.text().contains("question 3"));
}

#[test]
fn what_comes_while_searching_is_found_and_moves_nothing() {
    let mut screen = searching(80, 24, "/needle<enter>NN");
    let before = screen.text();
    screen.prompt(20, "needle once more");
    let after = screen.text();
    assert!(
        before.contains("8 of 10") && after.contains("8 of 11"),
        "{after}"
    );
    let said = |text: &str| {
        text.lines()
            .skip(3)
            .take(15)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&before), said(&after));
}

#[test]
fn a_search_takes_pastes_and_answers_no_question() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    screen.draw();
    screen.keys("<tab>/");
    screen.asks(30, "q1", "run it");
    screen.after(5_000);
    assert_eq!(posted(&screen.keys("y")), []);
    screen.event(Event::Paste("es\nno".into()));
    assert_eq!(screen.state.find.words, "yes no");
    assert!(screen.state.composer.is_empty());
    assert_eq!(
        posted(&screen.keys("<enter>y")),
        [],
        "the answer keys sleep"
    );
    assert!(screen.state.asking().is_some());
}

#[test]
fn a_search_is_reached_by_its_command_and_follows_to_the_chat() {
    let mut screen = searching(60, 24, "f<tab>/find<enter>needle");
    assert!(screen.text().contains("10 of 10"), "{}", screen.text());
    screen.keys("<enter><tab>");
    assert_eq!(screen.state.focus, Focus::Edit);
    screen.keys("go on<enter>");
    assert_eq!(screen.state.scroll, Scroll::Follow);
}

fn names(screen: &mut Screen) {
    screen.update(
        1,
        json!({"sessionUpdate": "available_commands_update", "availableCommands": [
        {"name": "review", "description": "look the changes over"}]}),
    );
}

#[test]
fn the_palette_as_it_looks() {
    each(&SIZES, "palette/all", Screen::run, |screen| {
        names(screen);
        screen.keys("<f2><down>");
    });
    each(&SIZES, "palette/found", Screen::run, |screen| {
        names(screen);
        screen.keys("a draft<ctrl+x>pmirror");
    });
}

#[test]
fn everything_that_has_a_name_is_in_the_palette_with_its_key() {
    let screens = [
        Screen::run(80, 24).state,
        Screen::picker(80, 24).state,
        Screen::new_run(80, 24).state,
    ];
    let rows: Vec<_> = screens.iter().flat_map(|state| rows(state, "")).collect();
    for binding in &screens[0].keymap.bindings {
        // In a box there is only a yes and a no to the box, and a page has its own keys.
        let boxed = binding.context == Context::Popup || binding.context.is_page();
        if binding.label.is_empty() || boxed {
            continue;
        }
        let row = rows
            .iter()
            .find(|row| row.what == What::Act(binding.action))
            .unwrap_or_else(|| panic!("{:?} has no row", binding.action));
        assert_eq!(row.keys.is_empty(), binding.keys.is_empty(), "{row:?}");
    }
    // Each has its name too: a key, a row here, a command.
    for row in rows.iter().filter(|row| matches!(row.what, What::Act(_))) {
        let name = row.slash.as_deref().unwrap_or_else(|| panic!("{row:?}"));
        assert!(name.len() > 1 && name.starts_with('/'), "{row:?}");
    }
    for (name, _) in OURS {
        let slash = Some(format!("/{name}"));
        // Two names of one thing.
        assert!(
            name == "quit" || rows.iter().any(|row| row.slash == slash),
            "{name}"
        );
    }
}

#[test]
fn every_action_is_done_by_its_name_and_the_agents_commands_stay_the_agents() {
    let table = [
        ("/files<enter>", Pane::Files),
        ("<tab>/tools<enter>", Pane::Tools),
        ("<tab>/chat<enter>", Pane::Chat),
    ];
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    for (keys, pane) in table {
        let effects = screen.keys(keys);
        assert!(posted(&effects).is_empty(), "{keys} {effects:?}");
        assert_eq!(screen.state.pane, pane, "{keys}");
        assert!(screen.state.composer.is_empty());
    }
    // Written out it is meant, whatever else the menu would complete it to.
    screen.keys("/top<enter>");
    assert!(matches!(screen.state.scroll, Scroll::At(_)));
    screen.update(1, json!({"sessionUpdate": "current_mode_update", "currentModeId": "a", "_meta": {"ashore": {"modes": [
        {"id": "a", "name": "Ask"}, {"id": "p", "name": "Plan"}]}}}));
    screen.keys("/mode<enter>");
    assert!(matches!(screen.state.popup, Some(Popup::Choose { .. })));
    screen.keys("<esc>");
    names(&mut screen);
    let sent = posted(&screen.keys("/review<enter>"));
    assert!(matches!(&sent[..], [Said::UserMessage(_)]), "{sent:?}");
}

#[test]
fn a_name_that_answers_is_no_answer_to_a_question_that_came_over_it() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    screen.keys("/allow_onc");
    screen.asks(30, "q1", "run it");
    screen.after(5_000);
    assert_eq!(posted(&screen.keys("e<enter>")), []);
    assert!(screen.text().contains("newer than what you wrote"));
    screen.keys("<ctrl+u>/allow_once");
    let sent = posted(&screen.keys("<enter>"));
    assert!(matches!(&sent[..], [Said::Permission(_)]), "{sent:?}");
}

#[test]
fn what_is_chosen_in_the_palette_is_done() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    names(&mut screen);
    screen.keys("words<f2>stop the run<enter>");
    assert!(matches!(screen.state.popup, Some(Popup::Confirm(_))));
    screen.keys("n<f2>nothing like it");
    assert!(screen.text().contains("nothing fits"));
    assert_eq!(screen.keys("<enter>"), []);
    assert_eq!(
        screen.state.composer.text(),
        "words",
        "the draft is never touched"
    );
    screen.keys("<f2>review<enter>");
    assert_eq!(screen.state.composer.text(), "words");
    assert!(screen.text().contains("there is a draft already"));
    screen.keys("<ctrl+c><f2>/review<enter>");
    assert_eq!(screen.state.composer.text(), "/review ");
    screen.keys("<ctrl+c><tab>:files<enter>");
    assert_eq!(screen.state.pane, Pane::Files);
    // Its own key and Esc close it.
    for keys in ["<f2><f2>", "<f2><esc>", "<f2><ctrl+c>"] {
        screen.keys(keys);
        assert_eq!(screen.state.popup, None, "{keys}");
    }
}

/// Other keys than ours.
fn others() -> [((String, String), Vec<String>); 12] {
    let wish = |path: &str, key: &str| {
        let (context, action) = path.split_once('.').expect("a test's own");
        (
            (context.to_owned(), action.to_owned()),
            vec![key.to_owned()],
        )
    };
    [
        wish("everywhere.expand_all", "f9"),
        wish("everywhere.leader", "ctrl+q"),
        wish("everywhere.interrupt", "f10"),
        wish("browse.swap_focus", "w"),
        wish("browse.files", "o"),
        wish("browse.help", "K"),
        wish("edit.submit", "f4"),
        wish("popup.yes", "S"),
        wish("popup.escape", "N"),
        wish("picker.filter", "F"),
        wish("picker.new_run", "o"),
        wish("picker.open", "a"),
    ]
}

#[test]
fn hints_follow_the_keys_of_the_config() {
    let mut screen = Screen::run(120, 40);
    screen.state.keymap = Keymap::with(&others().into()).unwrap();
    busy(&mut screen);
    screen.attached().link = Link::Offline {
        reason: "gone".into(),
    };
    let text = screen.text();
    assert!(text.contains("more lines  (F9)"), "{text}");
    assert!(text.contains("gone · Ctrl+Q r tries again"), "{text}");
    screen.keys("<tab>v");
    let text = screen.text();
    assert!(text.contains("browsing · w writes"), "{text}");
    assert!(
        text.contains("choose a file first: o shows the files"),
        "{text}"
    );
    screen.keys("<f10>");
    assert!(screen.text().contains("F10 again leaves"));
    screen.keys("<ctrl+q>s");
    assert!(screen.text().contains("S stop   N no"), "{}", screen.text());
    screen.keys("Nw!true<f4>");
    let text = screen.text();
    assert!(text.contains("F10 ends it, Esc lets it run"), "{text}");
    screen.keys("<esc>!<f4>");
    assert!(screen.text().contains("F10 ends it"));
    screen.keys("<esc>");
    screen.keys("<f2>list the runs");
    assert!(screen.text().contains("Ctrl+Q l"));
}

#[test]
fn hints_follow_the_keys_also_where_there_is_no_run_yet() {
    let with_keys = |mut screen: Screen| {
        screen.state.keymap = Keymap::with(&others().into()).unwrap();
        screen
    };
    let mut list = with_keys(Screen::picker(120, 40));
    assert!(
        list.text().contains("F filter   o new   a attach"),
        "{}",
        list.text()
    );
    let mut failed = with_keys(Screen::new_run(120, 40));
    failed.state.scene = Scene::Composer(Launching::Failed("no".into()));
    assert!(failed.text().contains("below. F4 tries again."));
    let mut empty = with_keys(Screen::run(60, 24));
    empty.keys("<tab>");
    let text = empty.text();
    assert!(
        text.contains("nothing has been said yet · K shows the keys"),
        "{text}"
    );
    empty.keys("o");
    let text = empty.text();
    assert!(
        text.contains("no files changed yet · K shows the keys"),
        "{text}"
    );
}

#[test]
fn jumps_go_from_turn_to_turn_and_up_to_errors_diffs_files_and_answers() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    screen.asks(30, "q1", "run it");
    screen.says(
        31,
        &ashore::protocol::line::permission_response(
            "q1",
            "q1-call",
            "allow_once",
            None,
            Some("bo"),
        ),
    );
    screen
        .update(
            40,
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "t3", "status": "failed"}),
        )
        .ends(42, "end_turn");
    screen
        .prompt(50, "and now")
        .chunk(51, "hm")
        .ends(52, "end_turn");
    screen.draw();
    screen.keys("<tab>");
    let mut lands = |keys: &str| {
        screen.keys(keys);
        screen.draw();
        let index = screen.state.selected.expect("a cell is selected") - 1;
        let cells = &screen.state.session().unwrap().transcript.cells;
        let cell = cells.get(index).unwrap();
        let text = ashore::tui::source::of(&cell.body);
        text.lines().next().unwrap_or_default().to_owned()
    };
    let table = [
        ("{", "and now"),
        (
            "{",
            "The auth test fails one time in ten. Find out why and fix it.",
        ),
        ("}", "and now"),
        ("E", "execute cargo test auth"),
        ("D", "edit Edit src/clock.rs"),
        ("GF", "edit Edit src/clock.rs"),
        ("GQ", "run it: Allow once (bo)"),
        // The list of files names the cell of the chosen one.
        ("<tab><tab>fF", "edit Edit src/clock.rs"),
    ];
    for (keys, text) in table {
        assert_eq!(lands(keys), text, "{keys}");
    }
    screen.keys("GEE");
    assert!(
        screen
            .text()
            .contains("no earlier error: this is the newest")
    );
    screen.keys("}}}");
    assert_eq!(screen.state.scroll, Scroll::Follow);
}

#[test]
fn a_jump_to_what_is_not_there_says_so_and_a_question_comes_back() {
    let mut screen = Screen::run(80, 24);
    screen.prompt(1, "go");
    screen.draw();
    screen.keys("<tab>E");
    assert!(screen.text().contains("there is no error"));
    screen.asks(2, "q1", "run it");
    screen.keys("<esc>Q");
    assert!(screen.state.asking().is_some(), "brought back");
}

fn copied(effects: &[Effect]) -> &str {
    let copied = effects.iter().find_map(|effect| match effect {
        Effect::Copy(text) => Some(text.as_str()),
        _ => None,
    });
    copied.unwrap_or_else(|| panic!("nothing was copied: {effects:?}"))
}

#[test]
fn the_copy_menu_gives_pieces_as_they_were_said() {
    each(&SIZES, "copy/menu", Screen::run, |screen| {
        busy(screen);
        screen.draw();
        screen.keys("<tab>y");
    });
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    screen.draw();
    screen.keys("<tab>");
    let table = [
        ("ya", "The failure comes from a **shared clock**."),
        ("yy", "The failure comes from a **shared clock**."),
        ("yb", "let clock = Clock::global(); // tests/auth.rs:41\n"),
        ("yd", "--- a/src/clock.rs\n+++ b/src/clock.rs\n@@"),
        ("yp", "src/clock.rs"),
        ("yl", "ashore attach 7f3a1c52-1111-4222-8333-444455556666"),
        ("yt", "The auth test fails one time in ten."),
        ("y<down><enter>", ""),
    ];
    for (keys, begins) in table {
        screen.state.selected = None;
        if keys == "y<down><enter>" {
            screen.keys("{");
        }
        let effects = screen.keys(keys);
        assert!(copied(&effects).starts_with(begins), "{keys}: {effects:?}");
        assert_eq!(screen.state.popup, None, "{keys}");
    }
    assert_eq!(screen.keys("y<esc>"), []);
}

#[test]
fn a_selected_cell_decides_what_is_copied() {
    let mut screen = searching(80, 24, "{{");
    assert_eq!(copied(&screen.keys("ym")), "question 8");
    assert!(copied(&screen.keys("ya")).starts_with("- line 0 of turn 8"));
    screen.keys("/needle 4<enter>");
    assert_eq!(copied(&screen.keys("ym")), "read cat notes\nneedle 4\nhay");
}

#[test]
fn raw_text_begins_in_the_first_column_and_stands_alone() {
    each(&SIZES, "raw/busy", Screen::run, |screen| {
        busy(screen);
        screen.keys("<alt+r><ctrl+o>");
        screen.draw();
    });
    let mut screen = Screen::run(120, 40);
    busy(&mut screen);
    let before = screen.text();
    screen.keys("<alt+r>");
    let text = screen.text();
    assert!(
        text.contains("\nThe failure comes from a **shared clock**."),
        "{text}"
    );
    assert!(text.contains("\n```rust\n"), "{text}");
    screen.keys("<tab>/shared clock");
    assert!(screen.text().contains("2 of 2"));
    screen.keys("<esc><alt+r>");
    screen.keys("<tab>");
    let again = screen.text();
    let said = |text: &str| {
        text.lines()
            .skip(2)
            .take(20)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&before), said(&again));
}

/// Seen up to here, fourteen minutes ago.
fn left(screen: &Screen) -> Event {
    Event::SeenFound(Seen {
        last: screen.state.session().expect("a run").last,
        at: morning() - Duration::from_secs(840),
    })
}

#[test]
fn what_came_while_somebody_was_away_is_marked_and_counted() {
    each(&SIZES, "away/back", Screen::run, |screen| {
        screen.prompt(1, "fix it").chunk(2, "I look.");
        let left = left(screen);
        screen
            .ends(3, "end_turn")
            .changed(4, "a.rs", ChangeKind::Modified)
            .changed(4, "b.rs", ChangeKind::Modified);
        screen
            .prompt(5, "and now")
            .chunk(6, "Done.")
            .ends(7, "end_turn");
        screen.asks(8, "q1", "run it");
        screen.event(left);
        screen.keys("<ctrl+x>a");
    });
    let mut screen = searching(80, 24, "");
    let seen = Seen {
        last: screen
            .state
            .session()
            .and_then(|session| session.transcript.cells.label(7))
            .expect("so many")
            .seq,
        at: morning() - Duration::from_secs(30),
    };
    screen.event(Event::SeenFound(seen));
    assert!(!screen.text().contains("while you were away"));
    screen.keys("u");
    let text = screen.text();
    assert!(
        text.contains("while you were away: 30 s, 8 turns · u"),
        "{text}"
    );
    assert_eq!(screen.state.selected, Some(9));
    // The mark is no match, and what is found below it is marked where it stands.
    screen.keys("/question 2");
    assert!(screen.text().contains("1 of 1"));
}

#[test]
fn the_files_say_when_both_sides_were_last_compared_in_full() {
    let mut screen = Screen::run(60, 24);
    screen.attached().mirror.checked_at = Some(morning());
    screen.attached().mirror.state = MirrorState::Live;
    screen.keys("<tab>f");
    assert!(screen.text().contains("⇅ live ✓14:02"), "{}", screen.text());
    screen.attached().mirror.state = MirrorState::Paused;
    assert!(!screen.text().contains("✓14:02"));
}

#[test]
fn a_question_that_was_there_before_is_not_counted_as_one_that_came() {
    let mut screen = Screen::run(80, 24);
    screen.prompt(1, "fix it").asks(2, "q1", "run it");
    let left = left(&screen);
    screen.chunk(3, "Meanwhile.");
    screen.event(left);
    let text = screen.text();
    assert!(text.contains("while you were away: 14 min"), "{text}");
    assert!(!text.contains("1 question"), "{text}");
}

#[test]
fn who_leaves_a_run_or_its_window_has_seen_it_so_far() {
    let mut screen = searching(80, 24, "");
    let seen = |screen: &Screen| Effect::SaveSeen {
        of: at().run,
        seen: Seen {
            last: screen.state.session().expect("a run").last,
            at: screen.state.wall,
        },
    };
    let (now, effects) = (seen(&screen), screen.keys("q"));
    assert!(effects.contains(&now), "{effects:?}");
    // A moment is no absence, two minutes are.
    for (millis, marked) in [(100_000, false), (130_000, true)] {
        screen.event(Event::FocusLost);
        screen.chunk(20, "more");
        screen.after(millis);
        screen.event(Event::FocusGained);
        assert_eq!(screen.state.away.mark.is_some(), marked, "{millis}");
        screen.ends(30, "end_turn").prompt(31, "go on");
    }
    let (now, effects) = (seen(&screen), screen.keys("<ctrl+x>l"));
    assert!(effects.contains(&now), "{effects:?}");
    // Nothing came: nothing is marked.
    let mut screen = searching(80, 24, "");
    let left = left(&screen);
    screen.event(left);
    screen.keys("u");
    assert!(screen.text().contains("nothing came while you were away"));
}
