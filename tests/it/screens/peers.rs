//! The keys that the field agrees on, row by row, and five tasks with the keys that people bring along from elsewhere.

use ashore::attach::state::{Attached, Link};
use ashore::protocol::command::What;
use ashore::protocol::ids::RunRef;
use ashore::protocol::run::Status;
use ashore::tui::away::Seen;
use ashore::tui::effect::Effect;
use ashore::tui::event::{Event, Facts, RunRow};
use ashore::tui::state::{Focus, Pane, Popup, Scene, Scroll};
use serde_json::json;

use crate::screens::script::{Screen, at, posted};

/// An agent at work.
fn working() -> Screen {
    let mut screen = Screen::run(100, 30);
    screen.prompt(0, "find the flaky test");
    screen.chunk(1, "It is auth::expires.");
    screen.after(2000);
    screen
}

/// Two turns are over.
fn idle() -> Screen {
    let mut screen = Screen::run(100, 30);
    for (second, words) in [(0, "find the flaky test"), (5, "fix it")] {
        screen.prompt(second, words);
        screen.chunk(second + 1, &format!("answer to {words}"));
        screen.ends(second + 2, "end_turn");
    }
    screen.after(9000);
    screen.draw();
    screen
}

fn asking() -> Screen {
    let mut screen = working();
    screen.asks(3, "p1", "run the slow tests?");
    screen.after(1000);
    screen
}

/// The message that waits in the outbox for the draft that was sent.
fn sent(screen: &mut Screen) -> Vec<String> {
    let outbox = screen.attached().outbox.iter();
    outbox
        .filter_map(|one| match &one.command.what {
            What::UserMessage(prompt) => Some(prompt.text.clone()),
            _ => None,
        })
        .collect()
}

fn answered(effects: &[Effect]) -> Option<String> {
    match posted(effects).into_iter().next() {
        Some(What::Permission(reply)) => Some(reply.option),
        _ => None,
    }
}

fn leaves(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|one| matches!(one, Effect::Quit { code: 0, .. }))
}

fn copied(effects: &[Effect]) -> Option<&str> {
    effects.iter().find_map(|one| match one {
        Effect::Copy(text) => Some(text.as_str()),
        _ => None,
    })
}

#[test]
fn send_new_line_and_queue() {
    let mut screen = idle();
    screen.keys("go on<enter>");
    assert_eq!(sent(&mut screen), ["go on"]);
    for newline in ["<ctrl+j>", "<alt+enter>", "<shift+enter>", "\\<enter>"] {
        let mut screen = idle();
        screen.keys(&format!("a{newline}b<enter>"));
        assert_eq!(sent(&mut screen), ["a\nb"], "{newline}");
    }
    // While busy Enter queues, at the run and not on the screen.
    let mut screen = working();
    screen.keys("then fix it<enter>");
    assert_eq!(sent(&mut screen), ["then fix it"]);
    // What waits comes back to be edited.
    let mut screen = working();
    screen.queue(2, "then fix it");
    screen.keys("<alt+up>");
    assert_eq!(screen.state.composer.text(), "then fix it");
}

#[test]
fn cancel_mode_steer_and_redraw() {
    let cancelled = posted(&working().keys("<esc>"));
    assert!(
        matches!(cancelled.as_slice(), [What::Cancel]),
        "{cancelled:?}"
    );
    let mut screen = idle();
    let modes = json!({"sessionUpdate": "current_mode_update", "currentModeId": "code", "_meta": {"ashore": {"modes": [
        {"id": "code", "name": "Code"}, {"id": "plan", "name": "Plan"}]}}});
    screen.update(9, modes);
    let asked = posted(&screen.keys("<shift+tab>"));
    assert!(
        matches!(asked.as_slice(), [What::SetMode(mode)] if mode == "plan"),
        "{asked:?}"
    );
    let mut screen = working();
    let effects = screen.keys("stop that<ctrl+x><enter>");
    assert!(!posted(&effects).is_empty(), "{effects:?}");
    assert_eq!(idle().keys("<ctrl+l>"), [Effect::Redraw]);
    assert!(idle().keys("<ctrl+z>").contains(&Effect::Suspend));
}

#[test]
fn the_editor_the_history_and_the_palette() {
    for keys in ["<ctrl+g>", "<ctrl+x><ctrl+e>"] {
        let effects = idle().keys(&format!("a draft{keys}"));
        let edits = |one: &Effect| matches!(one, Effect::Edit { text, .. } if text == "a draft");
        assert!(effects.iter().any(edits), "{keys}: {effects:?}");
    }
    let mut screen = idle();
    screen.keys("<ctrl+r>older<enter>");
    assert_eq!(screen.state.composer.text(), "an older prompt");
    for keys in ["<f2>", "<tab>:", "<ctrl+x>p", "/palette<enter>"] {
        let mut screen = idle();
        screen.keys(keys);
        assert!(
            matches!(screen.state.popup, Some(Popup::Palette(_))),
            "{keys}"
        );
    }
    for keys in ["?", "<tab>?", "<f1>", "<ctrl+x>?", "/help<enter>"] {
        let mut screen = idle();
        screen.keys(keys);
        assert!(
            matches!(screen.state.popup, Some(Popup::Help { .. })),
            "{keys}"
        );
    }
    for keys in ["<ctrl+x>l", "/runs<enter>"] {
        let mut screen = idle();
        assert!(screen.keys(keys).contains(&Effect::ListRuns), "{keys}");
        assert!(matches!(screen.state.scene, Scene::Picker(_)), "{keys}");
    }
}

/// The run of the second tab.
fn second() -> RunRef {
    RunRef {
        run: "91bd".parse().expect("a test's own"),
        ..at()
    }
}

#[test]
fn switching_between_runs() {
    for (keys, first) in [
        ("<ctrl+x>1", true),
        ("<ctrl+x>2", false),
        ("<tab>[", true),
        ("<tab>]", true),
        ("<tab>]]", true),
        ("<ctrl+x>l<esc>", false),
        ("<ctrl+x>l<ctrl+x>1", true),
        ("<ctrl+x>d", true),
        ("/close<enter>", true),
    ] {
        let mut screen = idle();
        screen.keys("<ctrl+x>ln");
        screen.keys("fix it<enter>");
        let made = ashore::attach::state::Attached::new(second(), "local", false);
        let done = ashore::tui::event::Progress::Done(Box::new(made));
        screen.event(ashore::tui::event::Event::Launch(done));
        screen.keys(keys);
        let expected = if first { at() } else { second() };
        assert_eq!(screen.attached().at, expected, "{keys}");
    }
}

#[test]
fn folds_panes_raw_text_and_the_mouse() {
    let mut screen = idle();
    screen.keys("<ctrl+o>");
    assert!(screen.state.folds.all);
    screen.keys("<ctrl+o>");
    assert!(!screen.state.folds.all);
    let mut screen = idle();
    screen.keys("<ctrl+t>");
    assert_eq!(screen.state.pane, Pane::Plan);
    let mut screen = idle();
    screen.keys("<alt+r>");
    assert!(screen.state.raw);
    assert!(idle().keys("<ctrl+x>m").contains(&Effect::Mouse(true)));
    // One cell by Space.
    let mut screen = working();
    let call = json!({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "Read a", "kind": "read", "status": "completed"});
    screen.update(2, call);
    screen.draw();
    screen.keys("<tab> ");
    assert_eq!(screen.state.folds.flipped.len(), 1);
}

#[test]
fn moving_searching_and_copying() {
    let mut screen = idle();
    screen.keys("<tab>g");
    assert_eq!(screen.state.scroll, Scroll::At(Default::default()));
    screen.keys("G");
    assert_eq!(screen.state.scroll, Scroll::Follow);
    screen.keys("k");
    let here = screen.state.selected;
    screen.keys("k<up>j<down>j");
    assert_eq!(
        screen.state.selected.map(|item| item + 1),
        here.map(|item| item + 2).min(Some(7))
    );
    screen.keys("/answer<enter>");
    let newest = screen.state.find.number();
    screen.keys("n");
    assert_ne!(screen.state.find.number(), newest);
    screen.keys("N");
    assert_eq!(screen.state.find.number(), newest);
    assert_eq!(copied(&idle().keys("<ctrl+x>y")), Some("answer to fix it"));
    assert_eq!(copied(&idle().keys("<tab>ya")), Some("answer to fix it"));
}

#[test]
fn permissions_and_undo() {
    let table = [
        ("1", "allow_once"),
        ("2", "allow_always"),
        ("3", "reject_once"),
        ("4", "reject_always"),
        ("y", "allow_once"),
        ("a", "allow_always"),
        ("n", "reject_once"),
    ];
    for (key, option) in table {
        assert_eq!(
            answered(&asking().keys(key)).as_deref(),
            Some(option),
            "{key}"
        );
    }
    let mut screen = asking();
    screen.keys("d");
    assert!(screen.state.question.details);
    let mut screen = asking();
    assert_eq!(answered(&screen.keys("<esc>")), None);
    assert!(screen.state.asking().is_none());
    // Undo shows what it would do before it does anything.
    let mut screen = idle();
    screen.changed(9, "src/a.rs", ashore::protocol::file::ChangeKind::Modified);
    screen.attached().mirrored = true;
    screen.keys("<tab>fz");
    assert!(matches!(screen.state.popup, Some(Popup::Review(_))));
}

/// Codex, Claude Code, opencode and lazygit, in this order; what a peer has no key for is done as on ours.
#[test]
fn five_tasks_with_the_keys_of_others() {
    let peers = ["Codex", "Claude Code", "opencode", "lazygit"];
    // A run is started: words and Enter, everywhere.
    for peer in peers {
        let effects = Screen::new_run(100, 30).keys("fix it<enter>");
        let launches =
            |one: &Effect| matches!(one, Effect::Launch(plan) if plan.prompt == "fix it");
        assert!(effects.iter().any(launches), "{peer}");
    }
    // A word while it works reaches it; Esc stops it.
    for peer in peers {
        let mut screen = working();
        screen.keys("not that one<enter>");
        assert_eq!(sent(&mut screen), ["not that one"], "{peer}");
        let cancelled = posted(&working().keys("<esc>"));
        assert!(matches!(cancelled.as_slice(), [What::Cancel]), "{peer}");
    }
    // A question is answered.
    for (peer, yes) in peers.into_iter().zip(["y", "1", "a", "y"]) {
        let option = answered(&asking().keys(yes));
        assert!(
            option.is_some_and(|option| option.starts_with("allow")),
            "{peer}"
        );
    }
    for (peer, no) in peers.into_iter().zip(["n", "3", "n", "n"]) {
        let option = answered(&asking().keys(no));
        assert!(
            option.is_some_and(|option| option.starts_with("reject")),
            "{peer}"
        );
    }
    // An earlier answer is found and copied.
    let ways = [
        ("Codex", "<tab>/answer to find<enter>ym"),
        ("Claude Code", "/find<enter>answer to find<enter>ya"),
        ("opencode", "<tab>{{j<ctrl+x>y"),
        ("lazygit", "<tab>/answer to find<enter>ya"),
    ];
    for (peer, keys) in ways {
        let effects = idle().keys(keys);
        assert_eq!(
            copied(&effects),
            Some("answer to find the flaky test"),
            "{peer}"
        );
    }
    // It is left and come back to; the run goes on meanwhile.
    let ways = [
        ("Codex", "<ctrl+c><ctrl+c>", Back::Line),
        ("Claude Code", "<ctrl+d>", Back::Line),
        ("opencode", "/quit<enter>", Back::Picker("<enter>")),
        ("lazygit", "<tab>q", Back::Picker("j<enter>")),
    ];
    for (peer, keys, back) in ways {
        let mut screen = idle();
        let effects = screen.keys(keys);
        assert!(leaves(&effects), "{peer}");
        assert!(posted(&effects).is_empty(), "{peer}");
        let seen = effects.iter().find_map(|one| match one {
            Effect::SaveSeen { of, seen } if *of == at().run => Some(*seen),
            _ => None,
        });
        let seen = seen.unwrap_or_else(|| panic!("{peer}: {effects:?}"));
        come_back(peer, &effects, back, seen);
    }
}

/// How somebody comes back.
#[derive(Clone, Copy)]
enum Back {
    /// With the command of the last line, as Codex and Claude Code print one.
    Line,
    /// From the list of the runs, with these keys.
    Picker(&'static str),
}

/// What was said meanwhile stands behind all that was said before, and is marked.
fn come_back(peer: &str, left: &[Effect], back: Back, seen: Seen) {
    let said = left.iter().find_map(|one| match one {
        Effect::Quit { message, .. } => message.clone(),
        _ => None,
    });
    let said = said.expect("a last line");
    let mut screen = match back {
        Back::Line => {
            let command = format!("ashore attach {}", at().run.short());
            assert!(said.ends_with(&command), "{peer}: {said}");
            Screen::opening(100, 30)
        }
        Back::Picker(keys) => {
            let mut screen = Screen::picker(100, 30);
            let rows = match keys {
                "<enter>" => vec![row(at())],
                _ => vec![row(second()), row(at())],
            };
            screen.event(Event::RunsListed(Ok(rows)));
            let effects = screen.keys(keys);
            assert!(effects.contains(&Effect::OpenRun(at())), "{peer}");
            screen
        }
    };
    let mut attached = Attached::new(at(), "local", false);
    attached.link = Link::Live;
    screen.event(Event::Opened(Box::new(attached)));
    screen.event(Event::SeenFound(seen));
    for (second, words) in [(0, "find the flaky test"), (5, "fix it"), (60, "and push")] {
        screen.prompt(second, words);
        screen.chunk(second + 1, &format!("answer to {words}"));
        screen.ends(second + 2, "end_turn");
    }
    screen.after(90_000);
    let text = screen.text();
    for part in ["answer to fix it", "answer to and push", "○ idle"] {
        assert!(text.contains(part), "{peer}: {part}\n{text}");
    }
    assert_eq!(text.matches("answer to fix it").count(), 1, "{peer}");
}

/// A line of the list.
fn row(at: RunRef) -> RunRow {
    RunRow {
        at,
        title: "find the flaky test".to_owned(),
        status: Status::InProgress,
        agent: None,
        place: "web".to_owned(),
        needs: None,
        working: false,
        updated: None,
        here: true,
        facts: Facts::default(),
    }
}

#[test]
fn two_states_and_what_is_typed_is_never_lost() {
    for keys in ["<tab>", "<esc>"] {
        let mut screen = idle();
        screen.keys(keys);
        assert_eq!(screen.state.focus, Focus::Browse, "{keys}");
        screen.keys(keys);
        assert_eq!(screen.state.focus, Focus::Edit, "{keys}");
    }
    // A letter that means nothing while browsing begins a draft.
    let mut screen = idle();
    screen.keys("<tab>ä");
    assert_eq!(screen.state.focus, Focus::Edit);
    assert_eq!(screen.state.composer.text(), "ä");
    // Esc never destroys text, whatever else it does; Ctrl+C puts it into the history.
    for mut screen in [idle(), working(), asking()] {
        screen.keys("half a thought<esc><esc><esc>");
        assert_eq!(screen.state.composer.text(), "half a thought");
        let effects = screen.keys("<ctrl+c>");
        let kept = Effect::SaveHistory("half a thought".to_owned());
        assert!(effects.contains(&kept), "{effects:?}");
        assert!(!leaves(&effects));
        screen.keys("<up>");
        assert_eq!(screen.state.composer.text(), "half a thought");
    }
    // With a draft Ctrl+D is readline's.
    let mut screen = idle();
    assert!(!leaves(&screen.keys("ab<left><ctrl+d>")));
    assert_eq!(screen.state.composer.text(), "a");
}

#[test]
fn the_leader_waits_and_stopping_asks() {
    let mut screen = idle();
    screen.keys("<ctrl+x>");
    assert!(!screen.state.leader_is_told());
    screen.after(9_000 + 400);
    assert!(screen.state.leader_is_told());
    screen.after(60_000);
    assert!(
        screen.keys("l").contains(&Effect::ListRuns),
        "a minute later"
    );
    for keys in ["<ctrl+x>s", "/stop<enter>"] {
        let mut screen = idle();
        assert!(posted(&screen.keys(keys)).is_empty(), "{keys}");
        assert!(matches!(screen.state.popup, Some(Popup::Confirm(_))));
        let mut no = idle();
        no.keys(keys);
        assert!(posted(&no.keys("n")).is_empty());
        let stopped = posted(&screen.keys("y"));
        assert!(matches!(stopped.as_slice(), [What::Close]), "{stopped:?}");
    }
}

#[test]
fn pages_and_half_pages() {
    let long = || {
        let mut screen = Screen::run(100, 30);
        for turn in 0..40 {
            screen.prompt(turn * 5, &format!("question {turn}"));
            screen.chunk(turn * 5 + 1, &format!("answer {turn}"));
            screen.ends(turn * 5 + 2, "end_turn");
        }
        screen.after(300_000);
        screen.draw();
        screen
    };
    let first = |screen: &mut Screen| {
        screen.draw();
        let top = screen.state.drawn.top;
        (top.item, top.line)
    };
    let mut screen = long();
    let end = first(&mut screen);
    screen.keys("<tab>");
    for (up, down) in [("<pageup>", "<pagedown>"), ("<ctrl+u>", "<ctrl+d>")] {
        screen.keys(up);
        let once = first(&mut screen);
        assert!(once < end, "{up}");
        screen.keys(up);
        assert!(first(&mut screen) < once, "{up} again");
        screen.keys(down);
        assert_eq!(first(&mut screen), once, "{down}");
        screen.keys(down);
        assert_eq!(first(&mut screen), end, "{down} again");
    }
    // A page also while writing, and half of one is less than a whole.
    let (mut whole, mut half) = (long(), long());
    whole.keys("<pageup>");
    half.keys("<tab><ctrl+u>");
    let (whole, half) = (first(&mut whole), first(&mut half));
    assert!(whole < half && half < end, "{whole:?} {half:?} {end:?}");
}

#[test]
fn readlines_history_keys_stay_and_flow_control_stays_the_terminals() {
    for (before, after) in [("<ctrl+p>", "<ctrl+n>"), ("<up>", "<down>")] {
        let mut screen = idle();
        screen.keys(before);
        assert_eq!(screen.state.composer.text(), "an older prompt", "{before}");
        screen.keys(after);
        assert_eq!(screen.state.composer.text(), "", "{after}");
    }
    for key in ["<ctrl+s>", "<ctrl+q>"] {
        for mut screen in [idle(), working(), asking()] {
            let shown = screen.text();
            assert_eq!(screen.keys(key), [], "{key}");
            assert_eq!(screen.text(), shown, "{key}");
        }
    }
}
