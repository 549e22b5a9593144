//! The keys that the field agrees on, row by row, and five tasks with the keys that people bring along from elsewhere.

use ashore::protocol::command::What;
use ashore::tui::effect::Effect;
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
fn second() -> ashore::protocol::ids::RunRef {
    ashore::protocol::ids::RunRef {
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
    // It is left, and the run goes on; coming back is `ashore attach --last`.
    let ways = ["<ctrl+c><ctrl+c>", "<ctrl+d>", "/quit<enter>", "<tab>q"];
    for (peer, keys) in peers.into_iter().zip(ways) {
        let mut screen = idle();
        let effects = screen.keys(keys);
        assert!(leaves(&effects), "{peer}");
        assert!(posted(&effects).is_empty(), "{peer}");
    }
    let mut screen = idle();
    screen.keys("<tab>");
    assert_eq!(screen.state.focus, Focus::Browse);
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
