//! Every scene, as it looks: wide, side pane, and the main ones in between.

use std::time::Duration;

use ashore::attach::state::{Link, Outgoing, Posting};
use ashore::mirror::status::{Conflict, MirrorState};
use ashore::protocol::command::Command;
use ashore::protocol::file::ChangeKind;
use ashore::protocol::run::Status;
use ashore::tui::event::{Event, Facts, Progress, RunRow};
use ashore::tui::theme::{BUILT_IN, Depth, Role, Theme};
use serde_json::json;

use crate::screens::script::{Screen, at, is_as_kept, morning};

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 24)];

/// A turn in full swing: plan, thought, text, calls that are over and one that runs, files, a conflict.
pub(crate) fn busy(screen: &mut Screen) {
    screen
        .step(0, "workspace", "started", None)
        .step(1, "workspace", "done", None)
        .step(1, "agent", "started", None)
        .step(2, "agent", "done", None)
        .prompt(3, "The auth test fails one time in ten. Find out why and fix it.")
        .thinks(4, "Perhaps a shared clock?")
        .chunk(13, "The failure comes from a **shared clock**. Two tests move it:\n\n```rust\nlet clock = Clock::global(); // tests/auth.rs:41\n```\n\nI will pass it in instead.")
        .update(14, json!({"sessionUpdate": "plan", "entries": [
            {"content": "reproduce the failure", "priority": "high", "status": "completed"},
            {"content": "find the shared state", "priority": "high", "status": "completed"},
            {"content": "make the clock injectable", "priority": "high", "status": "in_progress"},
            {"content": "run the suite 50 times", "priority": "low", "status": "pending"},
        ]}))
        .update(14, json!({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "Read tests/auth.rs", "kind": "read", "status": "completed"}))
        .update(15, json!({"sessionUpdate": "tool_call", "toolCallId": "t2", "title": "Edit src/clock.rs", "kind": "edit", "status": "in_progress"}))
        .update(16, json!({"sessionUpdate": "tool_call_update", "toolCallId": "t2", "status": "completed", "content": [
            {"type": "diff", "path": "src/clock.rs",
             "oldText": "use std::time::Instant;\n\npub fn global() -> &'static Clock {\n    &CLOCK\n}\n",
             "newText": "use std::time::Instant;\n\npub fn new(now: fn() -> Instant) -> Clock {\n    Clock { now }\n}\n"}]}))
        .changed(16, "src/clock.rs", ChangeKind::Modified)
        .changed(16, "tests/clock.rs", ChangeKind::Created)
        .changed(16, "Cargo.lock", ChangeKind::Modified)
        .update(17, json!({"sessionUpdate": "usage_update", "used": 82000, "size": 200000, "cost": {"amount": 0.83, "currency": "USD"}}))
        .update(18, json!({"sessionUpdate": "tool_call", "toolCallId": "t3", "title": "cargo test auth", "kind": "execute", "status": "in_progress", "content": [
            {"type": "content", "content": {"type": "text", "text": "running 48 tests\ntest auth::expires ... ok"}}]}));
    let mirror = &mut screen.attached().mirror;
    mirror.state = MirrorState::Conflict;
    mirror.up = 1;
    mirror.conflicts = vec![Conflict {
        path: "Cargo.lock".into(),
        theirs: Some("Cargo.lock.theirs".into()),
        ..Conflict::default()
    }];
    screen.after(30_000);
}

pub(crate) fn each(
    sizes: &[(u16, u16)],
    name: &str,
    make: fn(u16, u16) -> Screen,
    play: impl Fn(&mut Screen),
) {
    for (width, height) in sizes {
        let mut screen = make(*width, *height);
        play(&mut screen);
        screen.shows(name);
    }
}

#[test]
fn the_composer_of_a_new_run() {
    each(&SIZES, "start/empty", Screen::new_run, |_| ());
    each(&SIZES, "start/draft", Screen::new_run, |screen| {
        screen.keys("fix the flaky test,<ctrl+j>then say why 漢字 👩‍👩‍👧");
    });
    each(&SIZES, "start/launching", Screen::new_run, |screen| {
        screen.keys("fix it<enter>");
        screen.event(Event::Launch(Progress::Step(
            "sending 12 files, 1.2 MB".into(),
        )));
        screen.after(2_500);
    });
    each(&SIZES, "start/failed", Screen::new_run, |screen| {
        screen.keys("fix it<enter>");
        screen.event(Event::Launch(Progress::Failed(
            "the endpoint cannot be reached: connection refused".into(),
        )));
    });
    each(&SIZES, "start/too_large", Screen::new_run, |screen| {
        screen.keys("fix it<enter>");
        screen.event(Event::Launch(Progress::TooLarge {
            files: 1200,
            bytes: 734_000_000,
            limit: 200_000_000,
        }));
    });
}

/// As an endpoint of ours tells them, and one that tells less.
fn runs() -> Vec<RunRow> {
    let row = |run: &str, title: &str, status: Status, minutes: i64| RunRow {
        at: ashore::protocol::ids::RunRef {
            run: run.parse().expect("a test's own"),
            ..at()
        },
        title: title.into(),
        status,
        agent: Some("demo".into()),
        place: "web".into(),
        needs: None,
        working: false,
        updated: Some(morning() - Duration::from_secs(minutes.unsigned_abs() * 60)),
        here: false,
        facts: Facts::default(),
    };
    let known = |turns: u64, files: u64| Facts {
        turns: Some(turns),
        files: Some(files),
        clients: Some(0),
        ..Facts::default()
    };
    vec![
        RunRow {
            facts: Facts {
                error: Some("the sandbox is out of disk".into()),
                ..known(2, 3)
            },
            ..row("0e7700aa", "upgrade node", Status::Failed, 180)
        },
        RunRow {
            working: true,
            facts: Facts {
                clients: Some(2),
                ..known(4, 0)
            },
            ..row("91bd00aa", "port importer to async", Status::InProgress, 0)
        },
        RunRow {
            here: true,
            facts: Facts {
                pr_url: Some("https://github.com/posthog/web/pull/398".into()),
                ..known(1, 1)
            },
            ..row("c04200aa", "tidy docs", Status::InProgress, 60)
        },
        RunRow {
            needs: Some("1 question".into()),
            facts: known(3, 14),
            ..row("7f3a00aa", "fix flaky auth test", Status::InProgress, 2)
        },
        // An endpoint that tells no more than that it is there.
        row(
            "d5aa00aa",
            "remove dead flags 漢字",
            Status::Completed,
            1500,
        ),
    ]
}

#[test]
fn the_picker() {
    let rows = runs();
    each(&SIZES, "picker/runs", Screen::picker, |screen| {
        screen.event(Event::RunsListed(Ok(rows.clone())));
        screen.keys("j");
    });
    each(&SIZES, "picker/empty", Screen::picker, |screen| {
        screen.event(Event::RunsListed(Ok(Vec::new())));
    });
    each(&SIZES, "picker/failed", Screen::picker, |screen| {
        screen.event(Event::RunsListed(Err(
            "the endpoint cannot be reached: connection refused".into(),
        )));
    });
}

#[test]
fn a_run_in_every_phase() {
    each(&SIZES, "run/setting_up", Screen::run, |screen| {
        screen
            .queue(0, "fix it")
            .step(1, "workspace", "started", None)
            .step(3, "workspace", "done", None)
            .step(3, "agent", "started", None);
        screen.after(5_000);
    });
    each(&SIZES, "run/setup_failed", Screen::run, |screen| {
        screen
            .queue(0, "fix it")
            .step(1, "workspace", "started", None)
            .step(
                3,
                "workspace",
                "failed",
                Some("the disk of the sandbox is full; remove old runs with ashore rm"),
            );
        screen.after(5_000);
    });
    each(&SIZES, "run/working", Screen::run, busy);
    each(&SIZES, "run/asking", Screen::run, |screen| {
        busy(screen);
        screen.asks(30, "q1", "run `cargo test -- --ignored`");
        screen.after(1_000);
    });
    each(&SIZES, "run/asking_details", Screen::run, |screen| {
        busy(screen);
        screen.asks(30, "q1", "run `cargo test -- --ignored`");
        screen.after(1_000);
        screen.keys("d");
    });
    each(&SIZES, "run/done", Screen::run, |screen| {
        busy(screen);
        screen
            .update(40, json!({"sessionUpdate": "tool_call_update", "toolCallId": "t3", "status": "failed", "content": [
                {"type": "content", "content": {"type": "text", "text": "test auth::expires ... FAILED\nerror: test failed"}}]}))
            .chunk(41, "One test still fails.")
            .ends(42, "end_turn");
        screen.after(20_000);
    });
    each(&SIZES, "run/queued", Screen::run, |screen| {
        busy(screen);
        screen.queue(20, "then open a PR");
        screen.keys("also add a regression test");
    });
}

#[test]
fn every_state_of_the_link() {
    each(&SIZES, "link/reconnecting", Screen::run, |screen| {
        busy(screen);
        let due = screen.state.now + Duration::from_secs(4);
        screen.attached().link = Link::Reconnecting {
            due,
            wait: Duration::from_secs(8),
            attempt: 7,
            reason: "connection refused".into(),
        };
        let command = Command::user_message("go on");
        screen.attached().outbox.push(Outgoing {
            command,
            state: Posting::Waiting,
        });
    });
    each(&SIZES, "link/offline", Screen::run, |screen| {
        busy(screen);
        screen.attached().link = Link::Offline {
            reason: "the endpoint refused the token (HTTP 401)".into(),
        };
    });
    each(&SIZES, "link/catching_up", Screen::run, |screen| {
        busy(screen);
        screen.attached().link = Link::CatchingUp {
            have: ashore::protocol::ids::Seq(1204),
            of: Some(ashore::protocol::ids::Seq(3980)),
        };
    });
}

#[test]
fn panes_folds_menus_and_boxes() {
    each(&SIZES, "pane/files", Screen::run, |screen| {
        busy(screen);
        screen.keys("<tab>fj");
    });
    each(&SIZES, "pane/tools", Screen::run, |screen| {
        busy(screen);
        screen.keys("<tab>t");
    });
    each(&SIZES, "pane/plan", Screen::run, |screen| {
        busy(screen);
        screen.keys("<ctrl+t>");
    });
    each(&SIZES, "fold/all", Screen::run, |screen| {
        busy(screen);
        screen.keys("<ctrl+o>");
    });
    each(&SIZES, "box/help", Screen::run, |screen| {
        screen.keys("?");
    });
    each(&SIZES, "box/stop", Screen::run, |screen| {
        busy(screen);
        screen.keys("/stop<enter>");
    });
    each(&SIZES, "menu/slash", Screen::run, |screen| {
        screen.update(1, json!({"sessionUpdate": "available_commands_update", "availableCommands": [
            {"name": "say", "description": "say N words"}, {"name": "run", "description": "run a command"}]}));
        screen.keys("/<down>");
    });
    each(&SIZES, "menu/leader", Screen::run, |screen| {
        screen.keys("<ctrl+x>");
        let before = screen.text();
        screen.after(399);
        assert_eq!(screen.text(), before, "who knows the key sees nothing");
        screen.after(1);
    });
}

#[test]
fn a_screen_too_small_for_panes_shows_the_last_words_and_the_status() {
    each(
        &[(28, 10), (40, 6), (12, 3)],
        "tiny/working",
        Screen::run,
        busy,
    );
    // Nothing panics, whatever the size.
    for width in 0..60 {
        for height in [0, 1, 2, 3, 5, 8, 9, 13, 14] {
            let mut screen = Screen::run(width, height);
            busy(&mut screen);
            screen.asks(30, "q1", "run it");
            screen.draw();
        }
    }
}

#[test]
fn markdown_of_every_kind() {
    let text = "# A tour\n\nSome *emphasis*, some **weight**, some `code`, a [link](https://example.com/a).\n\n## Lists\n\n- one\n- two\n  1. inner\n  2. more words than fit in one narrow line of a pane\n- [x] done\n\n> A quote with\n> two lines.\n\n```rust\nfn main() {\n\tprintln!(\"hi\");\n}\n```\n\n| name | size |\n|:-----|-----:|\n| a    | 1    |\n| long name | 22 |\n\n---\n\n漢字 and 👩‍👩‍👧 and e\u{301}.";
    each(&SIZES, "markdown/tour", Screen::run, |screen| {
        screen
            .prompt(1, "/markdown")
            .chunk(2, text)
            .ends(3, "end_turn");
        screen.after(4_000);
        screen.keys("<pageup><pageup>");
        screen.draw();
    });
}

#[test]
fn the_screen_in_ascii() {
    let busy_in_ascii = |screen: &mut Screen| {
        busy(screen);
        screen.asks(20, "q1", "cargo test -- --ignored");
        screen.after(1_000);
        assert!(screen.text().is_ascii(), "{}", screen.text());
    };
    each(
        &SIZES,
        "ascii/asking",
        |width, height| Screen::run(width, height).in_ascii(),
        busy_in_ascii,
    );
    each(
        &SIZES,
        "ascii/help",
        |width, height| Screen::run(width, height).in_ascii(),
        |screen| {
            screen.keys("?");
            assert!(screen.text().is_ascii(), "{}", screen.text());
        },
    );
}

#[test]
fn the_roles_of_every_theme() {
    for (name, _) in BUILT_IN {
        for (depth, suffix) in [
            (Depth::None, "mono"),
            (Depth::Sixteen, "16"),
            (Depth::True, "true"),
        ] {
            let theme = Theme::built_in(name, depth);
            let roles: Vec<String> = Role::ALL
                .iter()
                .map(|(role, word)| format!("{word:<10} {:?}", theme.style(*role)))
                .collect();
            is_as_kept(&format!("theme/{name}"), suffix, &roles.join("\n"));
        }
    }
}
