//! What keys and facts do: orders, guards, scrolling.

use ashore::attach::effect::Effect::KeepOutbox;
use ashore::attach::state::{Outgoing, Posting};
use ashore::protocol::command::{Command, PermissionReply, What};
use ashore::protocol::ids::RunId;
use ashore::tui::effect::{Effect, Plan};
use ashore::tui::event::{Combined, Event, Progress};
use ashore::tui::state::{Focus, Pane, Scene, Scroll};
use serde_json::json;

use crate::screens::scenes::busy;
use crate::screens::script::{Screen, at, posted};

fn reply(option: &str) -> What {
    What::Permission(PermissionReply {
        request: "q1".into(),
        tool_call: "q1-call".into(),
        option: option.into(),
        text: None,
    })
}

fn asking() -> Screen {
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    screen.asks(30, "q1", "run it");
    screen
}

fn draft(of: Option<RunId>, text: &str) -> Effect {
    Effect::SaveDraft {
        of,
        text: text.into(),
    }
}

fn says(effects: &[Effect]) -> Vec<String> {
    posted(effects)
        .into_iter()
        .filter_map(|what| match what {
            What::UserMessage(prompt) => Some(prompt.text),
            _ => None,
        })
        .collect()
}

#[test]
fn enter_posts_the_draft_and_empties_the_composer() {
    let mut screen = Screen::run(80, 24);
    let effects = screen.keys("hello<enter>");
    assert_eq!(says(&effects), ["hello"]);
    assert!(effects.contains(&Effect::SaveHistory("hello".into())));
    assert!(screen.state.composer.is_empty());
    assert!(screen.text().contains("you  queued here"));
}

#[test]
fn the_first_prompt_orders_a_run_and_the_draft_stays_on_disk_until_it_is_accepted() {
    let mut screen = Screen::new_run(80, 24);
    let effects = screen.keys("fix it<enter>");
    assert_eq!(
        effects,
        [
            draft(None, "fix it"),
            Effect::SaveHistory("fix it".into()),
            Effect::Launch(Plan {
                prompt: "fix it".into(),
                accept_size: false
            }),
        ]
    );
    assert_eq!(screen.keys("impatient<enter>"), []);
    let attached = ashore::attach::state::Attached::new(at(), "local", false);
    let effects = screen.event(Event::Launch(Progress::Done(Box::new(attached))));
    assert_eq!(
        says(&effects),
        ["fix it"],
        "the prompt is posted once the run is there"
    );
    let place = |wanted: &dyn Fn(&Effect) -> bool| effects.iter().position(wanted);
    let kept = place(&|effect| matches!(effect, Effect::Attach(_, KeepOutbox(_))));
    let forgotten = place(&|effect| *effect == draft(None, ""));
    assert!(
        kept.is_some() && kept < forgotten,
        "the outbox keeps the words before the draft goes: {effects:?}"
    );
    assert!(matches!(screen.state.scene, Scene::Run(_)));
}

#[test]
fn a_failed_start_gives_the_prompt_back() {
    let mut screen = Screen::new_run(80, 24);
    screen.keys("fix it<enter>");
    let effects = screen.event(Event::Launch(Progress::Failed("no endpoint".into())));
    assert_eq!(effects, [draft(None, "fix it")]);
    assert_eq!(screen.state.composer.text(), "fix it");
}

#[test]
fn a_large_directory_is_sent_only_after_a_yes() {
    let large = || {
        Event::Launch(Progress::TooLarge {
            files: 9,
            bytes: 9,
            limit: 1,
        })
    };
    let mut screen = Screen::new_run(80, 24);
    screen.keys("fix it<enter>");
    screen.event(large());
    let effects = screen.keys("y");
    assert!(effects.contains(&Effect::Launch(Plan {
        prompt: "fix it".into(),
        accept_size: true
    })));
    let mut screen = Screen::new_run(80, 24);
    screen.keys("fix it<enter>");
    screen.event(large());
    assert_eq!(screen.keys("n"), []);
    assert_eq!(screen.state.composer.text(), "fix it");
}

#[test]
fn escape_closes_what_lies_on_top_then_cancels_and_never_touches_the_draft() {
    let mut screen = asking();
    screen.keys("half a thou");
    screen.keys("<f1>");
    assert!(screen.state.popup.is_some());
    assert_eq!(screen.keys("<esc>"), []);
    assert!(screen.state.popup.is_none());
    assert_eq!(posted(&screen.keys("<esc>")), []);
    assert!(
        screen.state.asking().is_none(),
        "the question was put aside"
    );
    assert_eq!(posted(&screen.keys("<esc>")), [What::Cancel]);
    assert_eq!(screen.state.composer.text(), "half a thou");
}

#[test]
fn typed_text_never_answers_a_question() {
    let mut screen = asking();
    // The question has just appeared: `y` is a letter.
    assert_eq!(posted(&screen.keys("y")), []);
    assert_eq!(screen.state.composer.text(), "y");
    // Long after, a draft is still a draft.
    screen.after(5_000);
    assert_eq!(posted(&screen.keys("a1")), []);
    assert_eq!(screen.state.composer.text(), "ya1");
    // Brought back by hand, it answers.
    screen.after(5_000);
    screen.keys("<ctrl+x>a");
    assert_eq!(posted(&screen.keys("2")), [reply("allow_always")]);
    assert_eq!(screen.state.composer.text(), "ya1");
}

#[test]
fn what_was_meant_for_the_draft_or_the_transcript_answers_nothing() {
    // `n` goes to the next match; the question appears between two of them.
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    screen.keys("<tab>");
    screen.asks(30, "q1", "run it");
    for _ in 0..5 {
        screen.after(400);
        assert_eq!(posted(&screen.keys("n")), []);
    }
    screen.after(800);
    assert_eq!(posted(&screen.keys("n")), [reply("reject_once")]);
    // A draft that is emptied is no wish to answer.
    for emptied in ["<ctrl+u>", "<backspace>"] {
        let mut screen = asking();
        screen.after(800);
        screen.keys("x");
        screen.after(5_000);
        screen.keys(emptied);
        assert!(screen.state.composer.is_empty());
        assert_eq!(posted(&screen.keys("y")), [], "{emptied}");
        screen.keys("<ctrl+u>");
        screen.after(800);
        assert_eq!(posted(&screen.keys("y")), [reply("allow_once")]);
    }
    let mut screen = asking();
    screen.after(800);
    assert_eq!(posted(&screen.keys("<enter>")), []);
    // Looking up what it is about is no reason to be deaf.
    screen.after(800);
    screen.keys("<pageup>");
    assert_eq!(posted(&screen.keys("y")), [reply("allow_once")]);
}

/// Boxes that lie over the question, with the keys that open and close them.
const BOXES: [(&str, &str); 9] = [
    ("<f1>", "<esc>"),
    ("<f1>", "q"),
    ("<f2>", "redraw<enter>"),
    ("<f2>", "<esc>"),
    ("/copy<enter>", "<esc>"),
    ("/mode<enter>", "<esc>"),
    ("/conflict<enter>", "<esc>"),
    ("/stop<enter>", "n"),
    ("!true<enter>", "<esc>"),
];

#[test]
fn what_was_meant_for_a_box_over_the_question_answers_nothing() {
    for (open, close) in BOXES {
        for before in [true, false] {
            let mut screen = Screen::run(100, 30);
            busy(&mut screen);
            screen.update(1, json!({"sessionUpdate": "current_mode_update", "currentModeId": "a", "_meta": {"ashore": {"modes": [{"id": "a", "name": "A"}]}}}));
            screen.attached().mirrored = true;
            if before {
                screen.asks(30, "q1", "run it");
                screen.keys("<ctrl+x>a");
            }
            screen.keys(open);
            assert!(screen.state.popup.is_some(), "{open}");
            if !before {
                screen.asks(30, "q1", "run it");
            }
            screen.after(5_000);
            assert_eq!(posted(&screen.keys(close)), [], "{open} {close}");
            assert!(screen.state.popup.is_none(), "{open} {close}");
            assert_eq!(posted(&screen.keys("y")), [], "{open} {close}");
            assert!(screen.state.asking().is_some(), "{open} {close}");
            screen.keys("<backspace>");
            screen.after(800);
            assert_eq!(posted(&screen.keys("y")), [reply("allow_once")], "{open}");
        }
    }
}

#[test]
fn a_question_under_what_the_leader_tells_waits_too() {
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    screen.keys("<ctrl+x>");
    screen.after(1_000);
    screen.asks(30, "q1", "run it");
    screen.after(5_000);
    screen.keys("<esc>");
    assert_eq!(posted(&screen.keys("y")), []);
    screen.keys("<backspace>");
    screen.after(800);
    assert_eq!(posted(&screen.keys("y")), [reply("allow_once")]);
}

#[test]
fn who_comes_back_to_a_question_answers_it_only_once_it_was_seen() {
    let edited = || Event::Edited(Ok(String::new()));
    let combined = || {
        Event::Combined(Combined {
            of: at(),
            path: "a".parse().expect("a test's own"),
            over: None,
            text: Err("no".into()),
        })
    };
    let ways: [(&str, Vec<Event>); 5] = [
        ("<ctrl+g>", vec![Event::Returned(100, 30), edited()]),
        ("", vec![Event::Returned(100, 30), Event::Visited(Ok(()))]),
        ("", vec![Event::Returned(100, 30), combined()]),
        ("<ctrl+z>", vec![Event::Returned(100, 30)]),
        ("", vec![Event::FocusGained]),
    ];
    for (keys, back) in ways {
        let mut screen = Screen::run(100, 30);
        busy(&mut screen);
        screen.keys(keys);
        screen.asks(30, "q1", "run it");
        screen.after(5_000);
        for event in back.clone() {
            screen.event(event);
        }
        assert_eq!(posted(&screen.keys("y")), [], "{back:?}");
        assert_eq!(screen.state.composer.text(), "y");
        screen.keys("<backspace>");
        screen.after(800);
        let answer = posted(&screen.keys("y"));
        assert_eq!(answer, [reply("allow_once")], "{back:?}");
    }
}

#[test]
fn where_a_question_cannot_be_shown_no_key_answers_it() {
    for (width, height) in [(29, 30), (100, 7), (20, 6)] {
        let mut screen = asking();
        screen.after(5_000);
        screen.resize(width, height);
        screen.after(5_000);
        assert_eq!(posted(&screen.keys("y1a")), []);
        screen.keys("<ctrl+u>");
        screen.after(5_000);
        screen.resize(100, 30);
        assert_eq!(posted(&screen.keys("y")), []);
        screen.keys("<ctrl+u>");
        screen.after(800);
        assert_eq!(posted(&screen.keys("y")), [reply("allow_once")]);
    }
}

#[test]
fn escape_puts_away_what_lies_over_the_chat_before_it_cancels() {
    let mut screen = Screen::run(60, 24);
    busy(&mut screen);
    screen.keys("<tab>f");
    assert_eq!(screen.state.pane, Pane::Files);
    assert!(screen.text().contains("Esc back"), "{}", screen.text());
    assert_eq!(posted(&screen.keys("<esc>")), []);
    assert_eq!(screen.state.pane, Pane::Chat);
    assert_eq!(screen.state.focus, Focus::Browse);
    assert_eq!(posted(&screen.keys("<esc>")), []);
    assert_eq!(screen.state.focus, Focus::Edit);
    assert_eq!(posted(&screen.keys("<esc>")), [What::Cancel]);
}

#[test]
fn keys_of_a_list_move_in_the_list_and_leave_the_chat_alone() {
    let mut screen = Screen::run(120, 30);
    screen.prompt(1, "go");
    for number in 0..200 {
        screen.update(2, json!({"sessionUpdate": "tool_call", "toolCallId": format!("t{number}"), "title": format!("call {number}"), "kind": "read", "status": "completed"}));
    }
    screen.draw();
    screen.keys("<tab>t");
    assert_eq!(screen.state.pane, Pane::Tools);
    screen.draw();
    let mut place = |keys: &str| {
        screen.keys(keys);
        screen.draw();
        assert_eq!(screen.state.scroll, Scroll::Follow, "{keys}");
        screen.state.row
    };
    let page = place("<pagedown>");
    assert!(page > 5, "{page}");
    let half = place("<ctrl+d>") - page;
    assert!((page / 2..=page).contains(&half), "{half} of {page}");
    assert_eq!(place("<ctrl+u>"), page);
    assert_eq!(place("<pageup>"), 0);
    assert_eq!(place("G"), 199);
    assert_eq!(place("j"), 199);
    assert_eq!(place("g"), 0);
}

#[test]
fn the_keys_are_not_scrolled_beyond_their_end() {
    let mut screen = Screen::run(80, 24);
    screen.keys("<f1>G");
    let end = screen.text();
    assert!(!end.contains("↓ more"), "{end}");
    screen.keys("<pagedown><pagedown>j");
    assert_eq!(screen.text(), end);
    screen.keys("k");
    assert_ne!(screen.text(), end);
    screen.keys("g");
    assert!(screen.text().contains("↓ more"));
}

#[test]
fn an_empty_paste_says_how_a_picture_goes() {
    let mut screen = Screen::run(100, 30);
    screen.event(Event::Paste(String::new()));
    assert!(screen.text().contains("/attach PATH"), "{}", screen.text());
    assert!(screen.state.composer.is_empty());
}

#[test]
fn every_answer_key_picks_what_it_says() {
    for (key, option) in [
        ("1", "allow_once"),
        ("4", "reject_always"),
        ("y", "allow_once"),
        ("a", "allow_always"),
        ("n", "reject_once"),
    ] {
        let mut screen = asking();
        screen.after(800);
        assert_eq!(posted(&screen.keys(key)), [reply(option)], "{key}");
        assert!(screen.state.asking().is_none(), "answered once");
        assert_eq!(posted(&screen.keys(key)), []);
    }
}

#[test]
fn a_question_rings_once_and_its_answer_elsewhere_takes_it_away() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    screen.asks(30, "q1", "run it");
    assert!(screen.state.asking().is_some());
    let answered =
        ashore::protocol::line::permission_response("q1", "q1-call", "allow_once", None, None);
    screen.says(31, &answered);
    assert!(screen.state.asking().is_none());
}

#[test]
fn leaving_says_how_to_come_back() {
    let goodbye = "Detached. The run goes on. Come back with: ashore attach 7f3a1c52";
    for keys in [
        "<ctrl+d>",
        "<tab>q",
        "/quit<enter>",
        "/detach<enter>",
        "<ctrl+c><ctrl+c>",
    ] {
        let mut screen = Screen::run(80, 24);
        let effects = screen.keys(keys);
        let quit = Effect::Quit {
            message: Some(goodbye.into()),
            code: 0,
        };
        assert_eq!(effects.last(), Some(&quit), "{keys}");
    }
    let mut screen = Screen::run(80, 24);
    screen.keys("draft");
    let effects = screen.event(Event::Terminated);
    assert_eq!(effects[0], draft(Some(at().run), "draft"));
    assert!(matches!(effects[1], Effect::Quit { code: 143, .. }));
}

#[test]
fn with_a_draft_ctrl_d_deletes_and_ctrl_c_puts_it_into_the_history() {
    let mut screen = Screen::run(80, 24);
    assert_eq!(screen.keys("ab<left><ctrl+d>"), []);
    assert_eq!(screen.state.composer.text(), "a");
    let effects = screen.keys("<ctrl+c>");
    assert_eq!(
        effects,
        [Effect::SaveHistory("a".into()), draft(Some(at().run), "")]
    );
    screen.keys("<up>");
    assert_eq!(screen.state.composer.text(), "a");
}

#[test]
fn a_paste_is_text_whatever_is_in_it() {
    let mut screen = Screen::run(80, 24);
    assert_eq!(
        screen.event(Event::Paste("rm -rf x\r\n/stop\r\u{1b}[201~".into())),
        []
    );
    assert_eq!(screen.state.composer.text(), "rm -rf x\n/stop\n\u{1b}[201~");
    assert!(screen.text().contains("␛[201~"));
}

#[test]
fn stopping_asks_first() {
    let mut screen = Screen::run(80, 24);
    assert_eq!(posted(&screen.keys("/stop<enter>")), []);
    assert_eq!(posted(&screen.keys("n")), []);
    screen.keys("/stop<enter>");
    assert_eq!(posted(&screen.keys("y")), [What::Close]);
}

#[test]
fn a_slash_command_of_the_agent_goes_to_the_agent() {
    let mut screen = Screen::run(80, 24);
    screen.update(1, json!({"sessionUpdate": "available_commands_update", "availableCommands": [{"name": "write", "description": "write a file"}]}));
    screen.keys("/wr<tab>");
    assert_eq!(screen.state.composer.text(), "/write ");
    assert_eq!(
        says(&screen.keys("a.txt hello<enter>")),
        ["/write a.txt hello"]
    );
}

#[test]
fn a_refused_message_comes_back_into_the_draft() {
    let mut screen = Screen::run(80, 24);
    let command = Command::user_message("precious words");
    screen.attached().outbox.push(Outgoing {
        command,
        state: Posting::Refused("the run is over".into()),
    });
    assert!(screen.text().contains("not taken: the run is over"));
    screen.keys("<alt+up>");
    assert_eq!(screen.state.composer.text(), "precious words");
    assert!(screen.attached().outbox.is_empty());
}

#[test]
fn scrolling_up_stays_where_it_is_while_text_streams_in_and_the_end_follows_again() {
    let mut screen = Screen::run(80, 24);
    screen.prompt(1, "talk");
    for line in 0..60 {
        screen.chunk(2, &format!("- line {line}\n"));
    }
    assert!(screen.text().contains("line 59"));
    screen.keys("<pageup>");
    let first = screen.text();
    assert!(
        !first.contains("line 59") && first.contains("↓ more"),
        "{first}"
    );
    screen.chunk(3, "- line 60\n");
    let second = screen.text();
    let top = |text: &str| text.lines().nth(3).unwrap().to_owned();
    assert_eq!(top(&first), top(&second));
    screen.keys("<pagedown><pagedown>");
    assert!(screen.text().contains("line 60"));
    assert_eq!(screen.state.scroll, Scroll::Follow);
    screen.chunk(3, "- line 61\n");
    assert!(screen.text().contains("line 61"));
    // To the very start, and further.
    for _ in 0..20 {
        screen.keys("<pageup>");
    }
    screen.draw();
    screen.keys("<pageup><pageup>");
    assert!(screen.text().contains("you  14:02"));
    screen.keys("<pagedown>");
    assert!(
        !screen.text().contains("you  14:02"),
        "one page down leaves the start at once"
    );
}

#[test]
fn emptying_the_paint_changes_nothing() {
    for keys in ["", "<tab>kk", "<ctrl+o>", "<pageup>"] {
        let mut screen = Screen::run(100, 20);
        busy(&mut screen);
        screen.draw();
        screen.keys(keys);
        let kept = screen.draw();
        screen.paint.empty();
        assert_eq!(screen.draw(), kept, "after {keys:?}");
    }
}

#[test]
fn a_letter_without_a_meaning_returns_to_the_draft() {
    let mut screen = Screen::run(80, 24);
    screen.keys("<tab>");
    assert_eq!(screen.state.focus, Focus::Browse);
    screen.keys("w");
    assert_eq!(screen.state.focus, Focus::Edit);
    assert_eq!(screen.state.composer.text(), "w");
}

#[test]
fn a_read_only_view_says_nothing_to_the_run() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    screen.attached().read_only = true;
    assert_eq!(posted(&screen.keys("hello<enter>")), []);
    assert_eq!(screen.state.composer.text(), "hello");
    screen.keys("<ctrl+c>");
    assert_eq!(posted(&screen.keys("<esc>")), []);
}

#[test]
fn nothing_from_outside_reaches_the_terminal_as_it_came() {
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}txt.exe\u{0}\u{8}\u{7f}";
    let mut screen = Screen::run(120, 40);
    screen
        .prompt(1, hostile)
        .thinks(2, hostile)
        .chunk(3, &format!("# {hostile}\n\n```sh\n{hostile}\n```\n\n[{hostile}](http://x/{hostile})\n"))
        .update(4, json!({"sessionUpdate": "tool_call", "toolCallId": hostile, "title": hostile, "kind": "execute", "status": "failed",
            "locations": [{"path": hostile}], "content": [{"type": "content", "content": {"type": "text", "text": hostile}},
            {"type": "diff", "path": hostile, "oldText": hostile, "newText": format!("{hostile}2")}]}))
        .update(5, json!({"sessionUpdate": "plan", "entries": [{"content": hostile, "priority": "high", "status": "pending"}]}))
        .update(5, json!({"sessionUpdate": "session_info_update", "title": hostile}))
        .update(5, json!({"sessionUpdate": "current_mode_update", "currentModeId": hostile}))
        .update(5, json!({"sessionUpdate": "available_commands_update", "availableCommands": [{"name": hostile, "description": hostile}]}))
        .update(5, json!({"sessionUpdate": hostile, "x": hostile}))
        .says(6, &ashore::protocol::line::note(hostile))
        .says(6, &ashore::protocol::line::error(hostile, Some(hostile)))
        .step(6, hostile, "failed", Some(hostile))
        .asks(7, "q1", hostile);
    screen.attached().mirror.reason = Some(hostile.into());
    screen.attached().notes.push(hostile.into());
    screen.keys("<ctrl+o>");
    screen.after(1_000);
    screen.keys("<ctrl+x>ad");
    let mut seen = String::new();
    for key in ["", "<esc>", "<pageup>", "<pageup>", "<ctrl+t>", "/"] {
        screen.keys(key);
        let buffer = screen.draw();
        for cell in &buffer.content {
            let bad = |char: char| {
                char.is_control()
                    || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert!(!cell.symbol().chars().any(bad), "{:?}", cell.symbol());
            seen.push_str(cell.symbol());
        }
    }
    assert!(seen.contains("␛]0;owned␇") && seen.contains("‹U+202E›"));
}

#[test]
fn an_agent_that_says_nothing_is_called_silent_with_its_age_and_the_way_out() {
    let mut screen = Screen::run(100, 30);
    screen.prompt(3, "go").chunk(4, "hm");
    screen.after(60_000);
    assert!(screen.text().contains("◐ working 57s"));
    screen.after(14_000);
    let text = screen.text();
    assert!(text.contains("◐ agent silent for 1m10s"), "{text}");
    assert!(text.contains("Esc cancel"), "{text}");
    // A tool at work has an age of its own, and a question waits for the user.
    screen.update(75, json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "T", "status": "in_progress"}));
    screen.after(200_000);
    assert!(screen.text().contains("◐ working"));
}

#[test]
fn m_turns_the_mirrors_direction_and_the_status_says_it() {
    use ashore::mirror::status::{MirrorState, Way};
    use ashore::mirror::worker::Order;
    let mut screen = Screen::run(120, 40);
    if let Scene::Run(attached) = &mut screen.state.scene {
        attached.mirrored = true;
    }
    for way in [Way::Down, Way::Up, Way::Off, Way::Both] {
        let effects = screen.keys(if way == Way::Down { "<tab>m" } else { "m" });
        let order = ashore::attach::effect::Effect::Mirror(Order::Direct(way));
        assert!(
            effects.contains(&Effect::Attach(at(), order)),
            "{effects:?}"
        );
        let Scene::Run(attached) = &mut screen.state.scene else {
            panic!("a run");
        };
        attached.mirror.conflicts.clear();
        attached.mirror.state = MirrorState::Live;
        attached.mirror.direction = way;
        let words = match way {
            Way::Down => "↓ only down",
            Way::Up => "↑ only up",
            Way::Off => "= held",
            Way::Both => "⇅ live",
        };
        assert!(screen.text().contains(words), "{}", screen.text());
    }
}
