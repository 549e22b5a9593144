//! Several runs in one screen: each keeps what it had, and those behind say when they want somebody.

use ashore::attach::event::Event as Attached;
use ashore::attach::state::{Attached as Run, Link};
use ashore::mirror::status::Conflict;
use ashore::protocol::ids::RunRef;
use ashore::protocol::run::Status;
use ashore::tui::effect::Effect;
use ashore::tui::event::{Event, Facts, RunRow};
use ashore::tui::state::{Focus, Pane, Popup, Scene};
use ashore::tui::tabs::{MOST, Sign};
use serde_json::json;

use crate::screens::scenes::each;
use crate::screens::script::{Screen, at, posted};

const NAMES: [&str; 9] = [
    "fix auth",
    "port the importer to async",
    "tidy the docs",
    "upgrade node",
    "remove dead flags",
    "漢字 in titles",
    "speed up the build",
    "a changelog",
    "write a test for the logout path",
];

/// The run of this tab, counted from 1.
fn run(number: usize) -> RunRef {
    let other = format!("{number}1bd1c52-1111-4222-8333-444455556666");
    match number {
        1 => at(),
        _ => RunRef {
            run: other.parse().expect("a test's own"),
            ..at()
        },
    }
}

fn row(number: usize) -> RunRow {
    RunRow {
        at: run(number),
        title: NAMES[number - 1].into(),
        status: Status::InProgress,
        agent: Some("demo".into()),
        place: "web".into(),
        needs: None,
        working: false,
        updated: None,
        here: false,
        facts: Facts::default(),
    }
}

/// The picker, with this run to choose.
fn pick(screen: &mut Screen, number: usize) -> Vec<Effect> {
    screen.keys("<ctrl+x>l");
    screen.event(Event::RunsListed(Ok(vec![row(number)])));
    screen.keys("<enter>")
}

fn opened(number: usize) -> Event {
    let mut attached = Run::new(run(number), "local", false);
    attached.link = Link::Live;
    Event::Opened(Box::new(attached))
}

fn named(screen: &mut Screen, number: usize) {
    let title = NAMES[number - 1];
    screen.voice(Some(run(number)));
    screen.update(
        1,
        json!({"sessionUpdate": "session_info_update", "title": title}),
    );
}

/// So many runs are open, and the last one is on the screen.
fn with(count: usize, width: u16, height: u16) -> Screen {
    let mut screen = Screen::run(width, height);
    named(&mut screen, 1);
    for number in 2..=count {
        let effects = pick(&mut screen, number);
        assert!(
            effects.contains(&Effect::OpenRun(run(number))),
            "{effects:?}"
        );
        screen.event(opened(number));
        named(&mut screen, number);
    }
    screen
}

fn front(screen: &Screen) -> Option<RunRef> {
    screen.state.attached().map(|attached| attached.at.clone())
}

fn signs(screen: &Screen) -> Vec<Sign> {
    screen
        .state
        .tabs
        .others()
        .map(|(_, tab)| tab.sign)
        .collect()
}

fn top(screen: &mut Screen) -> String {
    screen.text().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn every_tab_keeps_what_it_had() {
    let mut screen = with(1, 120, 40);
    screen.prompt(2, "fix it");
    screen.chunk(3, "a long answer\n\n".repeat(80).as_str());
    screen.ends(4, "end_turn");
    screen.draw();
    screen.keys("and then<ctrl+t>");
    screen.keys("<pageup>");
    screen.draw();
    let scroll = screen.state.scroll;
    let effects = pick(&mut screen, 2);
    assert!(effects.contains(&Effect::OpenRun(run(2))), "{effects:?}");
    let closes = |effects: &[Effect]| effects.iter().any(|one| matches!(one, Effect::CloseRun(_)));
    assert!(!closes(&effects), "{effects:?}");
    screen.event(opened(2));
    assert_eq!(screen.state.composer.text(), "");
    assert_eq!(screen.state.pane, Pane::Chat);
    screen.keys("other words<f1>");
    let effects = screen.keys("<ctrl+c><ctrl+x>1");
    assert!(!closes(&effects), "{effects:?}");
    assert_eq!(front(&screen), Some(run(1)));
    assert_eq!(screen.state.composer.text(), "and then");
    assert_eq!(screen.state.pane, Pane::Plan);
    assert_eq!(screen.state.scroll, scroll);
    screen.keys("<ctrl+x>2");
    assert_eq!(front(&screen), Some(run(2)));
    assert_eq!(screen.state.composer.text(), "other words");
    // The history is one.
    screen.keys("<enter><up>");
    assert_eq!(screen.state.composer.text(), "other words");
    screen.keys("<ctrl+x>1<ctrl+u><up>");
    assert_eq!(screen.state.composer.text(), "other words");
}

#[test]
fn a_draft_is_on_disk_before_its_tab_is_left() {
    let mut screen = with(2, 80, 24);
    screen.keys("half a thought");
    let effects = screen.keys("<ctrl+x>1");
    let saved = Effect::SaveDraft {
        of: Some(run(2).run),
        text: "half a thought".into(),
    };
    assert!(effects.contains(&saved), "{effects:?}");
}

#[test]
fn what_happens_behind_reaches_its_own_tab_and_leaves_the_picture_alone() {
    let mut screen = with(2, 80, 24);
    screen.voice(Some(run(1)));
    screen.prompt(2, "fix it");
    screen.draw();
    screen.state.changed = false;
    for second in 3..10 {
        screen.chunk(second, "one more word ");
        assert!(!screen.state.changed, "a word behind draws nothing");
    }
    screen.ends(11, "end_turn");
    assert!(screen.state.changed, "its end shows in the line of tabs");
    assert_eq!(signs(&screen), [Sign::Ended]);
    assert!(!screen.text().contains("one more word"));
    screen.keys("<ctrl+x>1");
    assert!(screen.text().contains("one more word"));
    screen.keys("<ctrl+x>2");
    assert_eq!(signs(&screen), [Sign::Idle], "it has been looked at");
}

#[test]
fn orders_go_to_the_run_that_they_are_for() {
    let mut screen = with(2, 80, 24);
    let of = |effects: &[Effect]| -> Vec<RunRef> {
        let orders = effects.iter().filter_map(|one| match one {
            Effect::Attach(at, _) => Some(at.clone()),
            _ => None,
        });
        orders.collect()
    };
    let effects = screen.keys("go on<enter>");
    assert!(of(&effects).iter().all(|at| *at == run(2)) && !of(&effects).is_empty());
    let alive = Event::Attach(Attached::WentLive);
    let effects = screen.event(Event::Of(run(1), Box::new(alive)));
    assert!(of(&effects).iter().all(|at| *at == run(1)), "{effects:?}");
    // A run that is not open any more has nothing to say.
    let late = Event::Attach(Attached::WentLive);
    assert_eq!(screen.event(Event::Of(run(5), Box::new(late))), []);
}

#[test]
fn a_question_behind_rings_and_no_key_of_the_way_to_it_answers() {
    let mut screen = with(2, 100, 24);
    screen.state.citizen.heard_focus = true;
    screen.voice(Some(run(1)));
    screen.ordered.clear();
    screen.asks(5, "p1", "run the slow tests?");
    assert!(
        screen.ordered.contains(&Effect::Bell),
        "{:?}",
        screen.ordered
    );
    assert_eq!(signs(&screen), [Sign::Asks]);
    let text = screen.text();
    assert!(text.contains("1 ? fix auth"), "{text}");
    assert!(
        text.contains("1 fix auth asks: run the slow tests? · Ctrl+X 1 goes there"),
        "{text}"
    );
    screen.after(4000);
    let effects = screen.keys("<ctrl+x>11");
    assert!(posted(&effects).is_empty(), "{effects:?}");
    assert_eq!(front(&screen), Some(run(1)));
    assert!(!screen.text().contains("goes there"), "somebody went");
    screen.keys("<backspace>");
    screen.after(1500);
    let effects = screen.keys("1");
    assert_eq!(posted(&effects).len(), 1, "{effects:?}");
    // Who looks elsewhere is called by name.
    screen.keys("<ctrl+x>2");
    screen.event(Event::FocusLost);
    screen.ordered.clear();
    screen.asks(8, "p2", "and again?");
    let called = Effect::Notify("fix auth asks: and again?".into());
    assert!(screen.ordered.contains(&called), "{:?}", screen.ordered);
}

#[test]
fn browsing_steps_through_the_tabs_and_a_number_goes_to_one() {
    let mut screen = with(3, 80, 24);
    for (keys, expected) in [
        ("<ctrl+x>1", 1),
        ("<tab>]", 2),
        ("<ctrl+x>1[", 3),
        ("<ctrl+x>2", 2),
    ] {
        screen.keys(keys);
        assert_eq!(front(&screen), Some(run(expected)), "{keys}");
    }
    screen.keys("<ctrl+x>7");
    assert_eq!(front(&screen), Some(run(2)));
    assert!(screen.text().contains("there is no tab 7: 3 runs are open"));
    // Writing has its own keys: a bracket is a character.
    let mut screen = with(2, 80, 24);
    screen.keys("[]");
    assert_eq!(screen.state.composer.text(), "[]");
    // Browsing stays with the tab that browses.
    let mut screen = with(2, 80, 24);
    screen.keys("<tab><ctrl+x>1");
    assert_eq!(screen.state.focus, Focus::Edit);
    screen.keys("<ctrl+x>2");
    assert_eq!(screen.state.focus, Focus::Browse);
}

#[test]
fn the_picker_goes_to_an_open_tab_and_escape_goes_back() {
    let mut screen = with(2, 80, 24);
    let effects = pick(&mut screen, 1);
    assert_eq!(effects, [], "it is open");
    assert_eq!(front(&screen), Some(run(1)));
    screen.keys("<ctrl+x>l");
    assert!(matches!(screen.state.scene, Scene::Picker(_)));
    let text = screen.text();
    assert!(
        text.contains("1 ○ fix auth") && text.contains("Esc back"),
        "{text}"
    );
    screen.keys("<esc>");
    assert_eq!(front(&screen), Some(run(1)));
    screen.keys("<ctrl+x>l<ctrl+x>2");
    assert_eq!(front(&screen), Some(run(2)));
}

#[test]
fn what_is_said_again_while_it_stands_says_how_often() {
    let mut screen = with(1, 80, 24);
    screen.keys("<ctrl+x>9");
    assert!(!screen.text().contains('×'), "{}", screen.text());
    screen.keys("<ctrl+x>9<ctrl+x>9");
    assert!(
        screen
            .text()
            .contains("there is no tab 9: one run is open (3×)"),
        "{}",
        screen.text()
    );
    assert_eq!(screen.state.said.len(), 3, "each is for the log");
    screen.after(20_000);
    screen.keys("<ctrl+x>9");
    assert!(!screen.text().contains('×'), "{}", screen.text());
}

#[test]
fn the_list_of_runs_is_gone_through_with_the_keys_of_other_lists() {
    let mut screen = Screen::picker(80, 24);
    let named = |number: usize| {
        let run = format!("{number:02}1bd1c5-1111-4222-8333-444455556666");
        RunRow {
            at: RunRef {
                run: run.parse().expect("a test's own"),
                ..at()
            },
            title: format!("run {number}"),
            ..row(1)
        }
    };
    screen.event(Event::RunsListed(Ok((0..50).map(named).collect())));
    let table = [
        ("<pagedown>", 20),
        ("<ctrl+d>", 30),
        ("<ctrl+u>", 20),
        ("<pageup>", 0),
        ("G", 49),
        ("j", 49),
        ("g", 0),
        ("<end>", 49),
        ("<home>", 0),
    ];
    for (keys, wanted) in table {
        screen.keys(keys);
        let Scene::Picker(picker) = &screen.state.scene else {
            panic!("{keys}");
        };
        assert_eq!(picker.selected, wanted, "{keys}");
        let title = format!(" run {wanted} ");
        assert!(screen.text().contains(&title), "{keys} {}", screen.text());
    }
    // What is typed into the filter goes in at the terminal's own cursor.
    screen.keys("/run 漢4");
    assert_eq!(screen.cursor(), Some((16, 0)));
    screen.keys("<ctrl+w>4");
    assert_eq!(screen.cursor(), Some((14, 0)));
    assert!(screen.text().contains(" run 44 "), "{}", screen.text());
    screen.keys("<enter>");
    assert_eq!(screen.cursor(), None);
}

#[test]
fn a_tab_that_is_closed_lets_go_of_its_run_and_of_no_other() {
    let mut screen = with(3, 80, 24);
    screen.keys("<ctrl+x>2half");
    let effects = screen.keys("<ctrl+x>d");
    let draft = Effect::SaveDraft {
        of: Some(run(2).run),
        text: "half".into(),
    };
    let place = |wanted: &Effect| effects.iter().position(|one| one == wanted);
    assert!(
        place(&draft) < place(&Effect::CloseRun(run(2))),
        "{effects:?}"
    );
    let closed = effects
        .iter()
        .filter(|one| matches!(one, Effect::CloseRun(_)));
    assert_eq!(closed.count(), 1);
    assert_eq!(front(&screen), Some(run(3)));
    assert!(
        screen
            .text()
            .contains("the tab of run 21bd1c52 is closed; it goes on")
    );
    screen.keys("<ctrl+x>d");
    assert_eq!(front(&screen), Some(run(1)));
    let effects = screen.keys("/close<enter>");
    assert!(effects.contains(&Effect::ListRuns), "{effects:?}");
    assert!(matches!(screen.state.scene, Scene::Picker(_)));
    assert!(screen.state.tabs.list.is_empty());
    screen.keys("<ctrl+x>d");
    assert!(screen.text().contains("no tab is on the screen"));
}

#[test]
fn nine_are_open_and_a_tenth_is_refused_in_words() {
    let mut screen = with(MOST, 100, 24);
    screen.keys("<ctrl+x>l");
    let tenth = RunRow {
        at: RunRef {
            run: "ten".parse().unwrap(),
            ..at()
        },
        ..row(1)
    };
    screen.event(Event::RunsListed(Ok(vec![tenth])));
    assert_eq!(screen.keys("<enter>"), []);
    assert!(matches!(screen.state.scene, Scene::Picker(_)));
    let text = screen.text();
    assert!(
        text.contains("9 runs are open, and no more can be: Ctrl+X d closes a tab"),
        "{text}"
    );
    assert_eq!(screen.keys("n"), []);
    assert!(matches!(screen.state.scene, Scene::Picker(_)));
}

#[test]
fn a_run_that_cannot_be_opened_ends_no_other() {
    let why = || Event::OpenFailed("the endpoint knows no such run".into());
    // On the screen: back to the list.
    let mut screen = with(2, 80, 24);
    pick(&mut screen, 3);
    let effects = screen.event(Event::Of(run(3), Box::new(why())));
    assert_eq!(effects, [Effect::ListRuns]);
    assert_eq!(screen.state.tabs.list.len(), 2);
    // Behind it: its tab goes.
    pick(&mut screen, 3);
    screen.keys("<ctrl+x>1");
    assert_eq!(screen.state.tabs.list.len(), 3);
    let effects = screen.event(Event::Of(run(3), Box::new(why())));
    assert_eq!(effects, []);
    assert_eq!(screen.state.tabs.list.len(), 2);
    assert_eq!(front(&screen), Some(run(1)));
    assert!(screen.text().contains("the endpoint knows no such run"));
    // One that comes late comes to its own tab.
    pick(&mut screen, 3);
    screen.keys("<ctrl+x>2");
    screen.event(opened(3));
    assert_eq!(front(&screen), Some(run(2)));
    screen.keys("<ctrl+x>3");
    assert_eq!(front(&screen), Some(run(3)));
}

#[test]
fn a_new_run_has_a_tab_and_its_draft_is_kept() {
    let mut screen = with(1, 80, 24);
    screen.keys("<ctrl+x>ln");
    screen.keys("fix it");
    let effects = screen.keys("<ctrl+x>1");
    let saved = Effect::SaveDraft {
        of: None,
        text: "fix it".into(),
    };
    assert!(effects.contains(&saved), "{effects:?}");
    assert!(top(&mut screen).contains("2 ○ new run"));
    screen.keys("<ctrl+x>ln");
    assert_eq!(screen.state.composer.text(), "fix it");
    let effects = screen.keys("<enter>");
    assert!(effects.iter().any(|one| matches!(one, Effect::Launch(_))));
    // It starts behind the screen, and its prompt is posted there.
    screen.keys("<ctrl+x>1");
    assert!(top(&mut screen).contains("2 ◌ new run"));
    let made = Run::new(run(2), "local", false);
    let done = ashore::tui::event::Progress::Done(Box::new(made));
    let effects = screen.event(Event::Launch(done));
    let kept = Effect::Attach(
        run(2),
        ashore::attach::effect::Effect::KeepOutbox(Vec::new()),
    );
    let to_it = effects
        .iter()
        .any(|one| std::mem::discriminant(one) == std::mem::discriminant(&kept));
    assert!(to_it, "{effects:?}");
    assert_eq!(front(&screen), Some(run(1)));
    // An empty one is not kept.
    screen.keys("<ctrl+x>ln<ctrl+x>1");
    assert_eq!(screen.state.tabs.list.len(), 2);
}

#[test]
fn leaving_names_every_run_that_goes_on() {
    let message = |effects: &[Effect]| {
        let found = effects.iter().find_map(|one| match one {
            Effect::Quit { message, .. } => message.clone(),
            _ => None,
        });
        found.unwrap()
    };
    let mut screen = with(2, 80, 24);
    assert_eq!(
        message(&screen.keys("<ctrl+d>")),
        "Detached. The runs go on (21bd1c52, 7f3a1c52). Come back with: ashore attach RUN"
    );
    screen.keys("<ctrl+x>d<ctrl+x>l");
    assert_eq!(
        message(&screen.keys("q")),
        "Detached. The run goes on. Come back with: ashore attach 7f3a1c52"
    );
}

#[test]
fn a_popup_belongs_to_its_tab() {
    let mut screen = with(2, 80, 24);
    screen.keys("<ctrl+x>s");
    assert!(matches!(screen.state.popup, Some(Popup::Confirm(_))));
    screen.voice(Some(run(1)));
    screen.prompt(4, "x");
    assert!(matches!(screen.state.popup, Some(Popup::Confirm(_))));
}

#[test]
fn the_line_of_tabs_at_every_width() {
    let sizes = [
        (120, 40),
        (80, 24),
        (40, 24),
        (120, 12),
        (80, 12),
        (50, 12),
        (40, 12),
        (30, 12),
    ];
    each(
        &sizes,
        "tabs/four",
        |width, height| with(4, width, height),
        |screen| {
            standing(screen);
            screen.keys("<ctrl+x>2");
        },
    );
    each(
        &sizes,
        "tabs/nine",
        |width, height| with(9, width, height),
        |screen| {
            standing(screen);
            screen.keys("<ctrl+x>5");
        },
    );
    // Where there is room for a line or two only, they are not for this.
    assert!(!with(2, 29, 12).text().contains("1 ○"));
    assert!(!with(1, 80, 12).text().contains("1 ○"));
}

/// The first asks, the second works, the third is done, the fourth has a conflict.
fn standing(screen: &mut Screen) {
    screen
        .voice(Some(run(1)))
        .asks(5, "p1", "run the slow tests?");
    screen.voice(Some(run(2))).prompt(5, "port it");
    screen.voice(Some(run(3))).prompt(5, "tidy up");
    screen.ends(6, "end_turn");
    screen.keys("<ctrl+x>4");
    screen.attached().mirror.conflicts.push(Conflict {
        path: "Cargo.lock".into(),
        theirs: None,
        ..Conflict::default()
    });
    screen.after(10_000);
    screen.keys("<ctrl+x>1");
    screen.keys("<ctrl+x>2");
}

#[test]
fn tabs_have_stand_ins_in_ascii() {
    let mut screen = with(4, 80, 12).in_ascii();
    standing(&mut screen);
    screen.keys("<ctrl+x>4");
    let line = top(&mut screen);
    assert!(line.is_ascii(), "{line}");
    assert!(line.contains("1 ? fix auth  2 > port"), "{line}");
}

#[test]
fn the_list_tells_what_is_known_of_every_run() {
    let mut rows = vec![row(1), row(2), row(3), row(4)];
    rows[0].facts = Facts {
        turns: Some(4),
        files: Some(9),
        clients: Some(1),
        ..Facts::default()
    };
    rows[1].working = true;
    rows[1].facts.turns = Some(2);
    rows[1].facts.clients = Some(3);
    rows[2].status = Status::Completed;
    rows[2].facts = Facts {
        turns: Some(7),
        files: Some(1),
        pr_url: Some("https://github.com/posthog/web/pull/391".into()),
        ..Facts::default()
    };
    let mut screen = with(2, 120, 24);
    screen.keys("<ctrl+x>1");
    screen.attached().mirror.down = 3;
    screen.attached().mirror.conflicts.push(Conflict {
        path: "Cargo.lock".into(),
        theirs: None,
        ..Conflict::default()
    });
    screen.keys("<ctrl+x>l");
    screen.event(Event::RunsListed(Ok(rows)));
    let text = screen.text();
    let line = |title: &str| {
        // Behind the line of tabs, which has the titles too.
        let mut lines = text.lines().skip(1).map(str::trim_end);
        lines.find(|line| line.contains(title)).map(str::to_owned)
    };
    let ends = |title: &str, end: &str| {
        let line = line(title).unwrap();
        assert!(line.contains(end), "{line}");
    };
    // This screen is not told as somebody else.
    ends(NAMES[0], "idle, turn 4, 9 files  ");
    assert!(line(NAMES[0]).unwrap().ends_with("↓3 !1"), "{text}");
    ends(NAMES[1], "working, turn 2, 2 attached");
    ends(NAMES[2], "done, 1 file, PR #391");
    assert!(line(NAMES[3]).unwrap().ends_with(" idle"), "{text}");
}

#[test]
fn a_directory_that_another_tab_mirrors_into_is_told_with_what_to_do() {
    let mut screen = with(1, 200, 24);
    pick(&mut screen, 2);
    let mut attached = Run::new(run(2), "local", false);
    attached.mirror.reason = Some(
        "/home/ana/web is already mirrored by run 7f3a1c52 (process 7): use `--worktree`".into(),
    );
    screen.event(Event::Opened(Box::new(attached)));
    let text = screen.text();
    assert!(
        text.contains("tab 1 mirrors into this directory: close it (Ctrl+X d) and this one"),
        "{text}"
    );
}
