//! Between the user and the agent: what it asks for, modes, a turn that is cancelled, who approves by itself.

use ashore::attach::state::{Outgoing, Posting};
use ashore::protocol::command::{Command, PermissionReply, What};
use ashore::protocol::line;
use ashore::tui::effect::Effect;
use ashore::tui::event::Event;
use ashore::tui::state::{Confirm, Popup};
use serde_json::{Value, json};

use crate::screens::scenes::busy;
use crate::screens::script::{Screen, at, posted};

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 24)];

/// Everything ordered since the last look, as if the endpoint had taken it.
fn ordered(screen: &mut Screen) -> Vec<What> {
    let outbox = std::mem::take(&mut screen.attached().outbox);
    outbox.into_iter().map(|one| one.command.what).collect()
}

/// A question about a call of this kind, with a yes, a no and a never.
fn asks(screen: &mut Screen, kind: &str, title: &str, input: Value) {
    let option = |id: &str, name: &str| json!({"optionId": id, "name": name, "kind": id});
    let message = json!({"jsonrpc": "2.0", "method": "_posthog/permission_request", "params": {
        "requestId": "q1", "toolCallId": "q1-call", "title": title, "kind": kind, "rawInput": input,
        "options": [option("allow_once", "Allow once"), option("reject_once", "Reject"), option("reject_always", "Never")],
    }});
    screen.says(30, &message);
    screen.after(1_000);
}

fn asks_npm_test(screen: &mut Screen) {
    asks(
        screen,
        "execute",
        "npm test",
        json!({"command": "npm test"}),
    );
}

fn edit() -> Value {
    let lines = |word: &str| -> String { (1..=60).map(|n| format!("{word} {n}\n")).collect() };
    json!({"file_path": "src/clock.rs", "old_string": lines("old"), "new_string": lines("new")})
}

fn reply(option: &str, text: Option<&str>) -> What {
    What::Permission(PermissionReply {
        request: "q1".into(),
        tool_call: "q1-call".into(),
        option: option.into(),
        text: text.map(str::to_owned),
    })
}

fn with_modes(screen: &mut Screen) {
    screen
        .update(1, json!({"sessionUpdate": "current_mode_update", "currentModeId": "default", "_meta": {"ashore": {"modes": [
            {"id": "default", "name": "Ask first"}, {"id": "acceptEdits", "name": "Accept edits"}, {"id": "plan", "name": "Plan"}]}}}))
        .update(1, json!({"sessionUpdate": "config_option_update", "configOptions": [
            {"id": "think", "name": "Thinking", "category": "thought_level", "type": "boolean", "currentValue": true},
            {"id": "model", "name": "Model", "category": "model", "type": "select", "currentValue": "opus",
             "options": [{"value": "opus", "name": "Opus"}, {"value": "haiku", "name": "Haiku"}]}]}));
}

fn with_policy(screen: &mut Screen, policy: &str) {
    let run = json!({"id": at().run, "task": at().task, "environment": "cloud", "state": {"permissions": policy}});
    screen.attached().run = Some(serde_json::from_value(run).expect("a test's own"));
}

#[test]
fn what_will_happen_stands_beside_the_question_and_in_full_on_a_page() {
    for (width, height) in SIZES {
        let mut screen = Screen::run(width, height);
        busy(&mut screen);
        asks(&mut screen, "edit", "Edit src/clock.rs", edit());
        screen.shows("ask/edit");
        screen.keys("d");
        screen.shows("ask/edit_details");
        screen.keys("d");
        screen.shows("ask/edit_page");
        let mut screen = Screen::run(width, height);
        busy(&mut screen);
        asks(
            &mut screen,
            "fetch",
            "Look it up",
            json!({"url": "https://docs.rs@evil.example/ratatui?q=1", "prompt": "what is a Frame?"}),
        );
        screen.shows("ask/fetch");
        let mut screen = Screen::run(width, height);
        busy(&mut screen);
        asks(
            &mut screen,
            "execute",
            "Clean up",
            json!({"command": "rm -rf target\ncargo clean\nfor i in 1 2 3; do\n  echo $i\ndone", "cwd": "/home/ana/web"}),
        );
        screen.shows("ask/command");
    }
}

/// Without the spaces and the ends of lines.
fn bare(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn what_is_cut_says_so_and_how_it_is_seen_whole() {
    let steps: Vec<String> = (1..=12)
        .map(|n| format!("make step-{n} OUT=/w/{n}"))
        .collect();
    let command = format!("{} && rm -rf / --no-preserve-root", steps.join(" && "));
    let end = "rm-rf/--no-preserve-root";
    for (width, height) in [(160, 40), (80, 24), (50, 16), (40, 24), (40, 14), (30, 24)] {
        for title in [command.as_str(), "Build it"] {
            let mut screen = Screen::run(width, height);
            busy(&mut screen);
            asks(&mut screen, "execute", title, json!({"command": command}));
            let text = screen.text();
            if bare(&text).contains(end) {
                continue;
            }
            assert!(text.contains(" … d "), "{width}x{height}\n{text}");
            screen.keys(if title == "Build it" { "dd" } else { "d" });
            assert_eq!(screen.state.popup, Some(Popup::Asked { top: 0 }));
            let mut seen = screen.text();
            for _ in 0..60 {
                screen.keys("j");
                seen.push_str(&screen.text());
            }
            assert!(bare(&seen).contains("--no-preserve-root"), "{seen}");
            assert!(bare(&screen.text()).contains("ve-root"), "{seen}");
        }
    }
    let mut screen = Screen::run(40, 24);
    busy(&mut screen);
    asks(
        &mut screen,
        "execute",
        &command,
        json!({"command": command}),
    );
    screen.shows("ask/cut");
    screen.keys("x");
    assert!(
        screen.text().contains("… Ctrl+X a d all"),
        "{}",
        screen.text()
    );
}

#[test]
fn the_call_of_a_question_tells_what_the_question_does_not() {
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    screen.update(29, json!({"sessionUpdate": "tool_call_update", "toolCallId": "q1-call", "title": "Edit", "kind": "edit",
        "content": [{"type": "diff", "path": "src/lib.rs", "oldText": "old words\n", "newText": "new words\n"}]}));
    asks(&mut screen, "edit", "Apply the change", Value::Null);
    let text = screen.text();
    assert!(text.contains("src/lib.rs  +1 −1"), "{text}");
    screen.keys("d");
    let text = screen.text();
    assert!(text.contains("   -old words\n   +new words"), "{text}");
}

#[test]
fn on_the_page_the_answer_keys_wait_scroll_keys_scroll_and_it_closes_with_the_question() {
    let mut screen = Screen::run(100, 20);
    busy(&mut screen);
    asks(&mut screen, "edit", "Edit src/clock.rs", edit());
    screen.keys("dd");
    assert_eq!(screen.state.popup, Some(Popup::Asked { top: 0 }));
    let first = screen.text();
    assert!(
        first.contains("-old 1\n") && !first.contains("+new 60"),
        "{first}"
    );
    // It has just appeared: no key answers.
    assert_eq!(posted(&screen.keys("y1")), []);
    assert!(screen.state.asking().is_some());
    screen.keys("G");
    let last = screen.text();
    assert!(
        last.contains("+new 60") && !last.contains("more ─"),
        "{last}"
    );
    // What stands at the end is left at the first key up.
    screen.keys("k");
    assert!(!screen.text().contains("+new 60"), "{}", screen.text());
    screen.keys("g");
    assert_eq!(screen.text(), first);
    screen.keys("<pagedown>j");
    assert!(!screen.text().contains("-old 1\n"), "{}", screen.text());
    screen.keys("<esc>");
    assert_eq!(screen.state.popup, None);
    assert!(screen.state.asking().is_some(), "Esc closes the page alone");
    // Unfolded by the key that unfolds everything, and answered there.
    screen.keys("<ctrl+o>");
    assert_eq!(screen.state.popup, Some(Popup::Asked { top: 0 }));
    screen.after(2_000);
    assert_eq!(posted(&screen.keys("y")), [reply("allow_once", None)]);
    assert_eq!(screen.state.popup, None);
    let mut other = Screen::run(100, 20);
    busy(&mut other);
    asks(&mut other, "edit", "Edit src/clock.rs", edit());
    other.keys("dd");
    let answered = line::permission_response("q1", "q1-call", "allow_once", None, Some("ben"));
    other.says(31, &answered);
    assert_eq!(other.state.popup, None, "answered elsewhere");
}

#[test]
fn a_rejection_takes_words_which_reach_the_agent_one_way_or_the_other() {
    for keys in ["w", "4", "<ctrl+x>w"] {
        let mut screen = Screen::run(100, 30);
        busy(&mut screen);
        asks_npm_test(&mut screen);
        assert!(screen.text().contains("4 reject and say why"));
        screen.keys(keys);
        // What answers is text now, and nothing is sent without words.
        screen.after(2_000);
        assert_eq!(posted(&screen.keys("<enter>")), [], "{keys}");
        screen.keys("y1 use pnpm<enter>");
        let words = Command::user_message("y1 use pnpm").what;
        assert_eq!(
            ordered(&mut screen),
            [reply("reject_once", Some("y1 use pnpm")), words],
            "{keys}"
        );
        assert!(screen.state.asking().is_none());
        assert!(screen.state.composer.is_empty());
    }
}

/// A question with more answers than there are digits.
fn asks_at((width, height): (u16, u16)) -> Screen {
    let mut screen = Screen::run(width, height);
    busy(&mut screen);
    let names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "No",
    ];
    let option = |(at, name): (usize, &&str)| {
        let kind = if *name == "No" {
            "reject_once"
        } else {
            "allow_once"
        };
        json!({"optionId": format!("o{}", at + 1), "name": name, "kind": kind})
    };
    let options: Vec<Value> = names.iter().enumerate().map(option).collect();
    screen.says(
        30,
        &json!({"jsonrpc": "2.0", "method": "_posthog/permission_request", "params": {
        "requestId": "q1", "toolCallId": "q1-call", "title": "Which month?", "options": options}}),
    );
    screen.after(1_000);
    ordered(&mut screen);
    screen
}

#[test]
fn answers_behind_the_ninth_are_picked_after_one_key() {
    let asks_for_a_month = || asks_at((80, 24));
    let picked = |keys: &str| {
        let mut screen = asks_for_a_month();
        screen.keys(keys);
        ordered(&mut screen)
    };
    for size in SIZES {
        let mut screen = asks_at(size);
        screen.shows("ask/many");
        screen.keys("0");
        screen.shows("ask/many_more");
    }
    let mut screen = asks_for_a_month();
    screen.keys("0");
    screen.keys("4");
    assert!(
        screen.state.ask.writing.is_some(),
        "the line behind the last says why"
    );
    assert_eq!(picked("2"), [reply("o2", None)]);
    assert_eq!(picked("02"), [reply("o11", None)]);
    assert_eq!(picked("002"), [reply("o2", None)]);
    assert_eq!(picked("05"), []);
    assert_eq!(
        picked("wbecause<enter>")[..1],
        [reply("o12", Some("because"))]
    );
    // Where nine are enough nothing moves.
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    asks_npm_test(&mut screen);
    ordered(&mut screen);
    screen.keys("01");
    assert_eq!(ordered(&mut screen), [reply("allow_once", None)]);
}

#[test]
fn an_option_that_asks_for_words_gets_them_alone() {
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    let options = json!([
        {"optionId": "ok", "name": "Yes", "kind": "allow_once"}, {"optionId": "no", "name": "No", "kind": "reject_once"},
        {"optionId": "reject_with_feedback", "name": "No, and say why", "kind": "reject_once"}]);
    let message = json!({"jsonrpc": "2.0", "method": "_posthog/permission_request", "params": {
        "requestId": "q1", "toolCallId": "q1-call", "title": "go", "options": options}});
    screen.says(30, &message);
    screen.after(1_000);
    screen.keys("wlater<enter>");
    assert_eq!(
        ordered(&mut screen),
        [reply("reject_with_feedback", Some("later"))]
    );
}

/// The draft as the next second keeps it.
fn saved(screen: &mut Screen) -> String {
    let effects = screen.after(1_000);
    let draft = effects.into_iter().find_map(|effect| match effect {
        Effect::SaveDraft { text, .. } => Some(text),
        _ => None,
    });
    draft.expect("a draft is saved")
}

#[test]
fn the_draft_waits_while_a_reason_is_written() {
    let ask = |draft: &str| {
        let mut screen = Screen::run(100, 30);
        busy(&mut screen);
        screen.keys(draft);
        asks_npm_test(&mut screen);
        screen.keys("<ctrl+x>w");
        assert_eq!(screen.state.composer.text(), "");
        screen
    };
    for (keys, draft) in [
        ("no<enter>", "half a thought"),
        ("no<esc>", "half a thought"),
        ("no<ctrl+c>", "half a thought"),
        ("<esc>", "half a thought"),
    ] {
        let mut screen = ask("half a thought");
        screen.keys(keys);
        assert_eq!(screen.state.composer.text(), draft, "{keys}");
        let asks = screen.state.asking().is_some();
        assert_eq!(asks, !keys.ends_with("<enter>"), "{keys}");
    }
    // Answered elsewhere meanwhile: nothing that was written is lost.
    let mut screen = ask("half a thought");
    screen.keys("because");
    let answered = line::permission_response("q1", "q1-call", "allow_once", None, Some("ben"));
    screen.says(31, &answered);
    assert_eq!(screen.state.composer.text(), "because\nhalf a thought");
    // A screen that is killed leaves the words before the draft; once they went, or were put away, the draft alone.
    for keys in ["<enter>", "<esc>"] {
        let mut screen = ask("half a thought");
        screen.keys("because");
        assert_eq!(saved(&mut screen), "because\nhalf a thought");
        screen.keys(keys);
        assert_eq!(saved(&mut screen), "half a thought", "{keys}");
    }
    // A reader of the run answers nothing.
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    asks_npm_test(&mut screen);
    screen.attached().read_only = true;
    screen.keys("w");
    assert!(screen.state.ask.writing.is_none());
}

#[test]
fn cancelling_is_seen_with_its_age_and_a_second_escape_leads_to_the_hard_step() {
    let mut screen = Screen::run(100, 30);
    screen.prompt(3, "go").chunk(4, "hm");
    screen.after(4_000);
    assert_eq!(posted(&screen.keys("<esc>")), [What::Cancel]);
    assert!(
        screen.text().contains("◐ cancelling 0s"),
        "{}",
        screen.text()
    );
    screen.after(4_000);
    let text = screen.text();
    assert!(
        text.contains("◐ cancelling 4s") && text.contains("Ctrl+X s stop"),
        "{text}"
    );
    // Also while a question of that turn is open: it waits for nobody any more.
    let mut asked = Screen::run(100, 30);
    busy(&mut asked);
    asked.asks(30, "q1", "run it");
    asked.keys("<esc><esc>");
    let text = asked.text();
    assert!(
        text.contains("◐ cancelling") && !text.contains("waits for you"),
        "{text}"
    );
    // Said once: a second cancel is none, but a word on what can be done.
    assert_eq!(posted(&screen.keys("<esc>")), []);
    let text = screen.text();
    assert!(
        text.contains("still cancelling, 4 s; Ctrl+X s stops the run"),
        "{text}"
    );
    screen.after(7_000);
    assert!(screen.text().contains("Esc stop"), "{}", screen.text());
    assert_eq!(posted(&screen.keys("<esc>")), []);
    assert_eq!(screen.state.popup, Some(Popup::Confirm(Confirm::Stop)));
    screen.keys("n");
    // The turn ends by itself after all: the next one is cancelled anew.
    screen.ends(16, "cancelled");
    assert!(!screen.text().contains("◐ cancelling"), "{}", screen.text());
    ordered(&mut screen);
    screen.prompt(17, "again");
    assert_eq!(posted(&screen.keys("<esc>")), [What::Cancel]);
}

#[test]
fn a_cancel_from_elsewhere_is_seen_too_and_a_refused_one_is_none() {
    let mut screen = Screen::run(100, 30);
    screen.prompt(3, "go");
    screen.after(8_000);
    let cancel = Command::new(What::Cancel);
    let time = crate::screens::script::morning() + std::time::Duration::from_secs(5);
    let id = cancel.id.clone().expect("a test's own");
    let line = line::client_message_line(time, &id, Some("ben"), &cancel.to_json());
    screen.line(&line);
    assert!(
        screen.text().contains("◐ cancelling 3s"),
        "{}",
        screen.text()
    );
    let mut screen = Screen::run(100, 30);
    screen.prompt(3, "go");
    screen.attached().outbox.push(Outgoing {
        command: Command::new(What::Cancel),
        state: Posting::Refused("no".into()),
    });
    assert_eq!(posted(&screen.keys("<esc>")), [What::Cancel]);
}

#[test]
fn shift_tab_asks_for_the_next_mode_and_the_status_says_when_it_is_on() {
    let mut screen = Screen::run(120, 30);
    with_modes(&mut screen);
    assert!(
        screen.text().contains("Ask first · Opus"),
        "{}",
        screen.text()
    );
    assert_eq!(
        posted(&screen.keys("<shift+tab>")),
        [What::SetMode("acceptEdits".into())]
    );
    let text = screen.text();
    assert!(text.contains("Ask first → Accept edits · Opus"), "{text}");
    assert!(
        text.contains("Mode: Ask first → Accept edits (asked)"),
        "{text}"
    );
    // Again at once: on from the one that was asked for.
    screen.keys("<shift+tab>");
    let all = ordered(&mut screen);
    assert_eq!(all.last(), Some(&What::SetMode("plan".into())));
    screen.update(
        2,
        json!({"sessionUpdate": "current_mode_update", "currentModeId": "plan"}),
    );
    let text = screen.text();
    assert!(
        text.contains("Plan · Opus") && !text.contains("→ Plan ·"),
        "{text}"
    );
    // An agent that does nothing: the wish is given up, and said so.
    screen.keys("<shift+tab>");
    screen.after(11_000);
    let text = screen.text();
    assert!(text.contains("the agent has not changed it"), "{text}");
    assert!(text.contains("Plan · Opus"), "{text}");
    let mut none = Screen::run(120, 30);
    assert_eq!(posted(&none.keys("<shift+tab>")), []);
    assert!(none.text().contains("the agent has no modes"));
}

#[test]
fn modes_and_options_are_chosen_from_a_list() {
    for (width, height) in SIZES {
        let mut screen = Screen::run(width, height);
        with_modes(&mut screen);
        screen.keys("<ctrl+x>kjj");
        screen.shows("ask/choose");
    }
    let mut screen = Screen::run(120, 30);
    with_modes(&mut screen);
    let table = [
        ("<ctrl+x>kj<enter>", What::SetMode("acceptEdits".into())),
        (
            "<ctrl+x>kjjjj<enter>",
            What::SetConfig {
                id: "model".into(),
                value: json!("haiku"),
            },
        ),
        (
            "<ctrl+x>kG<enter>",
            What::SetConfig {
                id: "think".into(),
                value: json!(false),
            },
        ),
    ];
    for (keys, what) in table {
        screen.keys(keys);
        assert_eq!(ordered(&mut screen), [what], "{keys}");
        assert_eq!(screen.state.popup, None);
    }
    // What is on already is not asked for.
    screen.keys("<ctrl+x>kg<enter>");
    assert_eq!(ordered(&mut screen), []);
    screen.keys("<ctrl+x>k<esc>");
    assert_eq!(screen.state.popup, None);
    let mut none = Screen::run(120, 30);
    none.keys("<ctrl+x>k");
    assert!(none.text().contains("offers no modes and no options"));
}

#[test]
fn a_run_or_a_mode_that_approves_by_itself_says_so_at_every_size() {
    for (width, height, sign) in [
        (120, 40, "AUTO"),
        (80, 24, "AUTO"),
        (40, 24, "A!"),
        (30, 20, "A!"),
        (20, 6, "A!"),
    ] {
        let mut screen = Screen::run(width, height);
        busy(&mut screen);
        let status = |screen: &mut Screen| {
            screen
                .text()
                .trim_end()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(
            !status(&mut screen).contains('A'),
            "{}",
            status(&mut screen)
        );
        with_policy(&mut screen, "auto");
        assert!(
            status(&mut screen).contains(sign),
            "{width}: {}",
            status(&mut screen)
        );
        with_policy(&mut screen, "ask");
        assert!(
            !status(&mut screen).contains(sign),
            "{width}: {}",
            status(&mut screen)
        );
        screen.update(
            31,
            json!({"sessionUpdate": "current_mode_update", "currentModeId": "acceptEdits"}),
        );
        assert!(
            status(&mut screen).contains(sign),
            "{width}: {}",
            status(&mut screen)
        );
    }
    for (width, height) in SIZES {
        let mut screen = Screen::run(width, height);
        busy(&mut screen);
        with_policy(&mut screen, "auto");
        screen.shows("ask/auto");
    }
}

#[test]
fn a_paste_is_part_of_a_reason_and_not_an_answer() {
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    asks_npm_test(&mut screen);
    screen.keys("w");
    screen.event(Event::Paste("1\ny".into()));
    screen.after(2_000);
    assert_eq!(posted(&screen.keys("<enter>")).len(), 1);
}

/// An agent's form of four lines.
fn asks_for_a_form(screen: &mut Screen) {
    let schema = json!({"type": "object", "required": ["name", "port"], "properties": {
        "name": {"type": "string", "title": "Name of the service", "description": "as others call it"},
        "port": {"type": "integer", "title": "Port", "minimum": 1024, "maximum": 65535},
        "kind": {"type": "string", "title": "Kind", "enum": ["web", "worker"], "default": "web"},
        "public": {"type": "boolean", "title": "Public"},
    }});
    let message = json!({"jsonrpc": "2.0", "method": "_posthog/permission_request", "params": {
        "requestId": "q1", "toolCallId": "", "title": "How shall it be set up?", "kind": "elicitation", "rawInput": {"requestedSchema": schema},
        "options": [{"optionId": "accept", "name": "Answer", "kind": "allow_once"}, {"optionId": "decline", "name": "Decline", "kind": "reject_once"}],
    }});
    screen.says(30, &message);
    screen.after(1_000);
}

fn filled(text: &str) -> What {
    What::Permission(PermissionReply {
        request: "q1".into(),
        tool_call: String::new(),
        option: "accept".into(),
        text: Some(text.into()),
    })
}

#[test]
fn a_form_is_filled_in_line_by_line_and_only_what_fits_goes() {
    for (width, height) in SIZES {
        let mut screen = Screen::run(width, height);
        busy(&mut screen);
        asks_for_a_form(&mut screen);
        screen.shows("ask/form");
        screen.keys("1api<enter>80");
        screen.shows("ask/form_filling");
    }
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    screen.keys("half a thought");
    asks_for_a_form(&mut screen);
    screen.keys("<ctrl+x>a1");
    assert_eq!(screen.state.composer.text(), "");
    screen.keys("<enter>");
    let text = screen.text();
    assert!(
        text.contains("Name of the service must be filled in"),
        "{text}"
    );
    screen.keys("api<enter>80<enter>");
    let text = screen.text();
    assert!(
        text.contains("Port must be a whole number from 1024 to 65535"),
        "{text}"
    );
    // A line may be gone back to; what it says stays.
    screen.keys("80<up>");
    assert_eq!(screen.state.composer.text(), "api");
    screen.keys("2<down>");
    assert_eq!(screen.state.composer.text(), "8080");
    assert_eq!(ordered(&mut screen), []);
    screen.keys("<enter><enter>no<enter>");
    assert_eq!(
        ordered(&mut screen),
        [filled(
            r#"{"name":"api2","port":8080,"kind":"web","public":false}"#
        )]
    );
    assert_eq!(screen.state.composer.text(), "half a thought");
}

#[test]
fn a_form_is_declined_or_put_aside_like_any_question() {
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    asks_for_a_form(&mut screen);
    screen.keys("1api<esc>");
    assert!(screen.state.asking().is_some());
    assert!(screen.state.composer.is_empty());
    screen.after(2_000);
    let declined = What::Permission(PermissionReply {
        request: "q1".into(),
        tool_call: String::new(),
        option: "decline".into(),
        text: None,
    });
    assert_eq!(posted(&screen.keys("n")), [declined]);
    // A form has no rejection with a reason.
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    asks_for_a_form(&mut screen);
    screen.keys("w");
    assert!(screen.state.ask.writing.is_none());
}
