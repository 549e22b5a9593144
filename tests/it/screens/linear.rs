//! The run as whole lines: what is told, once, and what a typed line does.

use std::time::Duration;

use ashore::attach::state::Link;
use ashore::protocol::command::What;
use ashore::protocol::file::ChangeKind;
use ashore::tui::effect::Effect;
use ashore::tui::event::{Event, Progress};
use ashore::tui::linear::take::{Taken, interrupt, take};
use ashore::tui::linear::tell::Teller;
use serde_json::json;

use crate::screens::script::{Screen, at, posted};

/// A screen that is read out.
struct Lines {
    screen: Screen,
    teller: Teller,
}

impl Lines {
    fn of(mut screen: Screen) -> Self {
        screen.state.keymap.by_name = true;
        Self {
            screen,
            teller: Teller::default(),
        }
    }

    /// What is said now.
    fn told(&mut self) -> Vec<String> {
        let told = self.teller.tell(&self.screen.state);
        for line in &told {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        told
    }

    fn types(&mut self, line: &str) -> Taken {
        take(&mut self.screen.state, &mut self.teller, line)
    }

    /// Types it; the message that goes out for it, if one does.
    fn sends(&mut self, line: &str) -> String {
        let before = self.screen.attached().outbox.len();
        self.types(line);
        let new = self.screen.attached().outbox.get(before);
        match new.map(|one| &one.command.what) {
            Some(What::UserMessage(prompt)) => prompt.text.clone(),
            Some(other) => format!("{other:?}"),
            None => String::new(),
        }
    }

    /// Types it; what is said at once.
    fn says(&mut self, line: &str) -> Vec<String> {
        self.types(line).lines
    }
}

fn run() -> Lines {
    let mut lines = Lines::of(Screen::run(80, 24));
    assert_eq!(
        lines.told(),
        ["run 7f3a1c52: new run", "link: live", "mirror: off"]
    );
    lines
}

/// A turn with a bit of everything.
fn turn(screen: &mut Screen) {
    screen.prompt(0, "The auth test fails one time in ten.\n\nFind out why.");
    screen.thinks(1, "Two tests");
    screen.thinks(4, " move it.");
    screen.chunk(
        10,
        "The failure comes from a **shared clock**.\n\nTwo tests",
    );
}

fn edit(screen: &mut Screen, second: u64, status: &str) {
    let update = json!({
        "sessionUpdate": "tool_call", "toolCallId": "t1", "title": "Edit src/clock.rs", "kind": "edit", "status": status,
        "content": [{"type": "diff", "path": "src/clock.rs", "oldText": "a\nb\n", "newText": "a\nc\nd\n"}],
    });
    screen.update(second, update);
}

#[test]
fn every_event_is_whole_lines_with_its_kind_first() {
    let mut lines = run();
    turn(&mut lines.screen);
    assert_eq!(
        lines.told(),
        [
            "you 14:02: The auth test fails one time in ten.",
            "Find out why.",
            "agent thought, 9 seconds. (/fold 2 reads it)",
            "agent: The failure comes from a **shared clock**.",
        ]
    );
    // A line that has only begun is not told.
    assert_eq!(lines.told(), [""; 0]);
    lines.screen.chunk(11, " move it.\nI will");
    assert_eq!(lines.told(), ["Two tests move it."]);
    edit(&mut lines.screen, 12, "in_progress");
    assert_eq!(lines.told(), ["I will", "tool edit src/clock.rs: running"]);
    edit(&mut lines.screen, 13, "completed");
    lines
        .screen
        .changed(14, "src/clock.rs", ChangeKind::Modified);
    lines.screen.ends(15, "end_turn");
    assert_eq!(
        lines.told(),
        [
            "tool edit src/clock.rs: done, 2 added, 1 removed, 1 second",
            "turn done, 15 seconds, 1 file changed",
            "file changed there: src/clock.rs (turn 1)",
        ]
    );
    assert_eq!(lines.told(), [""; 0]);
}

#[test]
fn a_broken_link_is_told_once_and_again_when_it_holds() {
    let mut lines = run();
    for attempt in 1..4 {
        lines.screen.attached().link = Link::Reconnecting {
            due: lines.screen.state.now,
            wait: Duration::from_secs(1),
            attempt,
            reason: "refused".into(),
        };
        let wanted = (attempt == 1).then_some("link: reconnecting, try 1: refused");
        assert_eq!(lines.told(), Vec::from_iter(wanted));
    }
    lines.screen.attached().link = Link::Live;
    assert_eq!(lines.told(), ["link: live"]);
}

#[test]
fn a_long_history_is_told_from_its_last_turn_and_read_back_by_name() {
    let mut screen = Screen::run(80, 24);
    for number in 1..=3 {
        screen.prompt(number, &format!("prompt {number}"));
        screen.chunk(number, &format!("answer {number}"));
        screen.ends(number, "end_turn");
    }
    let mut lines = Lines::of(screen);
    assert_eq!(
        lines.told()[3..],
        [
            "earlier messages and calls: 6; /top goes to the first",
            "you 14:02: prompt 3",
            "agent: answer 3",
            "turn done",
        ]
    );
    assert_eq!(lines.says("/top"), ["1 of 9", "you 14:02: prompt 1"]);
    assert_eq!(lines.says("/step_down"), ["2 of 9", "agent: answer 1"]);
    assert_eq!(lines.says("/turn-next"), ["you 14:02: prompt 2"]);
    assert_eq!(lines.says("/fold 2"), ["agent: answer 1"]);
    assert_eq!(lines.says("/fold 10"), ["say a number from 1 to 9"]);
    assert_eq!(lines.says("/bottom"), ["9 of 9", "turn done"]);
    assert_eq!(
        lines.says("/find answer [12]"),
        ["2 of 2 for `answer [12]`, in 5: answer 2 (/fold 5 reads all of it)"]
    );
    assert_eq!(
        lines.says("/find_before"),
        ["1 of 2 for `answer [12]`, in 2: answer 1 (/fold 2 reads all of it)"]
    );
}

#[test]
fn a_question_is_answered_by_its_number_but_not_by_what_was_typed_before_it() {
    let mut lines = run();
    lines.screen.prompt(0, "go");
    lines.screen.asks(1, "p1", "run the slow tests?");
    assert_eq!(
        lines.told()[1..],
        [
            "question: run the slow tests?",
            "$ cargo test -- --ignored",
            "1 Allow once  2 Always allow `cargo test`  3 Reject  4 Never  5 reject and say why",
            "answer>",
        ]
    );
    let early = lines.types("2");
    assert_eq!(
        early.lines,
        ["the question came while you wrote: answer again"]
    );
    assert!(posted(&early.effects).is_empty());
    lines.screen.after(800);
    let answer = posted(&lines.types("2").effects);
    let [What::Permission(reply)] = answer.as_slice() else {
        panic!("{answer:?}");
    };
    assert_eq!(
        (reply.request.as_str(), reply.option.as_str()),
        ("p1", "allow_always")
    );
    // It is no answer any more.
    assert_eq!(lines.sends("2"), "2");
}

#[test]
fn a_rejection_takes_its_reason_from_the_next_line() {
    let mut lines = run();
    lines.screen.prompt(0, "go");
    lines.screen.asks(1, "p1", "run the slow tests?");
    lines.told();
    lines.screen.after(800);
    assert_eq!(
        lines.says("w"),
        ["why not? The next line is what the agent is told; /escape goes back to the question"]
    );
    let taken = lines.types("they take an hour");
    let sent = posted(&taken.effects);
    let [What::Permission(reply)] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(
        taken.lines,
        ["note: rejected; your words are the next message"]
    );
    assert_eq!(reply.text.as_deref(), Some("they take an hour"));
}

#[test]
fn a_line_is_a_message_unless_it_goes_on_or_is_one_of_ours() {
    let mut lines = run();
    assert_eq!(lines.says(r"first\"), ["(goes on)"]);
    assert_eq!(lines.sends("second"), "first\nsecond");
    assert_eq!(lines.sends(" /raw is a word"), " /raw is a word");
    assert_eq!(lines.sends(""), "");
    let unknown = lines.says("/nex_mode");
    assert!(
        unknown[0].contains("did you mean /next_mode?"),
        "{unknown:?}"
    );
    // A kept draft is told and makes room; it is not lost.
    lines.screen.state.composer.set("kept".into());
    assert_eq!(
        lines.told(),
        [
            "draft: kept",
            "(an empty line sends it, another line takes its place)"
        ]
    );
    let effects = lines.types("newer").effects;
    assert!(effects.contains(&Effect::SaveHistory("kept".into())));
    assert!(effects.contains(&Effect::SaveHistory("newer".into())));
    // What the agent offers under a name of ours by a longer name.
    let commands = json!({"sessionUpdate": "available_commands_update", "availableCommands": [{"name": "files", "description": "theirs"}]});
    lines.screen.update(1, commands);
    assert_eq!(lines.sends("/files 3"), "/files 3");
    assert_eq!(
        lines.says("/browse.files")[0],
        "0 files changed, the newest first"
    );
    let help = lines.says("/help").join("\n");
    assert!(help.contains("\n/files: theirs, by the agent\n"), "{help}");
    assert!(help.contains("\n/browse.files: files\n"), "{help}");
}

#[test]
fn what_is_to_be_chosen_is_numbered_and_waits_for_its_answer() {
    let mut lines = run();
    turn(&mut lines.screen);
    lines.screen.ends(12, "end_turn");
    lines.told();
    let asks = lines.says("/stop");
    assert!(asks[0].ends_with("yes or no"), "{asks:?}");
    assert_eq!(lines.says("perhaps"), ["yes or no"]);
    assert_eq!(lines.says("/runs"), ["yes or no first"]);
    let stopped = posted(&lines.types("yes").effects);
    assert!(matches!(stopped.as_slice(), [What::Close]), "{stopped:?}");
    let copies = lines.says("/copy");
    assert!(
        copies[0].starts_with("a the answer: The failure"),
        "{copies:?}"
    );
    let copied = lines.types("a").effects;
    assert!(matches!(copied.as_slice(), [Effect::Copy(text)] if text.starts_with("The failure")));
    let palette = lines.says("/palette next mode");
    assert_eq!(palette[0], "1 /next_mode: the agent's next mode");
    assert_eq!(lines.says("1"), ["note: the agent has no modes"]);
}

#[test]
fn everything_that_a_key_does_can_be_done_by_name_and_is_answered() {
    let names: Vec<String> = {
        let lines = run();
        let bindings = lines.screen.state.keymap.bindings.iter();
        bindings.map(|one| one.name()).collect()
    };
    assert!(names.len() > 100);
    for name in names {
        let mut lines = run();
        turn(&mut lines.screen);
        edit(&mut lines.screen, 12, "failed");
        lines.screen.asks(13, "p1", "run the slow tests?");
        lines.told();
        lines.screen.after(800);
        let taken = lines.types(&format!("/{name}"));
        assert!(
            !taken.lines.is_empty() || !taken.effects.is_empty(),
            "{name}"
        );
        assert!(
            !taken
                .lines
                .iter()
                .any(|line| line.starts_with("there is no /")),
            "{name}"
        );
        for line in &taken.lines {
            assert!(!line.contains(char::is_control), "{name}: {line:?}");
        }
    }
}

#[test]
fn runs_are_chosen_by_number() {
    let mut lines = Lines::of(Screen::picker(80, 24));
    assert_eq!(lines.told(), ["looking for runs"]);
    assert_eq!(
        lines.says("fix it"),
        ["a number opens a run, /new_run begins a new one"]
    );
    assert_eq!(
        lines.says("/tab_2"),
        ["note: there is no tab 2: no run is open"]
    );
    let told = lines.says("/new_run");
    assert_eq!(told[0], "a new run in /home/ana/web, endpoint local");
    let launched = lines.types("fix it").effects;
    assert!(
        launched
            .iter()
            .any(|one| matches!(one, Effect::Launch(plan) if plan.prompt == "fix it"))
    );
}

#[test]
fn ctrl_c_leaves_when_it_comes_twice() {
    let mut lines = run();
    let first = interrupt(&mut lines.screen.state, &mut lines.teller);
    assert_eq!(
        first.lines,
        ["note: /interrupt again leaves; the run goes on"]
    );
    let second = interrupt(&mut lines.screen.state, &mut lines.teller);
    assert!(
        second
            .effects
            .iter()
            .any(|one| matches!(one, Effect::Quit { .. }))
    );
}

#[test]
fn several_runs_are_gone_between_by_name_and_one_that_asks_behind_is_told() {
    let mut lines = run();
    lines.types("/runs");
    lines.types("/new_run");
    lines.types("fix it");
    let second = ashore::protocol::ids::RunRef {
        run: "91bd0000".parse().expect("a test's own"),
        ..at()
    };
    let mut made = ashore::attach::state::Attached::new(second.clone(), "local", false);
    made.link = Link::Live;
    let done = Progress::Done(Box::new(made));
    lines.screen.event(Event::Launch(done));
    let told = lines.told();
    assert!(
        told.contains(&"run 91bd0000: new run".to_owned()),
        "{told:?}"
    );
    let told = lines.says("/tab_1");
    assert_eq!(told[0], "run 7f3a1c52: new run");
    lines.screen.voice(Some(second));
    lines.screen.asks(3, "p1", "run the slow tests?");
    assert_eq!(
        lines.told(),
        ["note: 2 new run asks: run the slow tests? · /tab_2 goes there"]
    );
    let told = lines.says("/tab_2");
    assert!(
        told.iter().any(|line| line.contains("run the slow tests?")),
        "{told:?}"
    );
    let told = lines.says("/close_tab");
    assert!(
        told.contains(&"run 7f3a1c52: new run".to_owned()),
        "{told:?}"
    );
}
