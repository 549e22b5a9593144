//! Whatever comes, at whatever size: the screen stands, and no control character is on it.

use ashore::tui::event::Event;
use proptest::prelude::*;
use serde_json::json;

use crate::screens::script::Screen;

/// What can come, from an agent or a keyboard that means no good.
#[derive(Debug, Clone)]
enum Stroke {
    Says(serde_json::Value),
    Prompt(String),
    Ends,
    Asks(String),
    Keys(&'static str),
    Pastes(String),
    Resized(u16, u16),
    Later(u16),
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z`*#|\\[\\]>\n\t 漢👩\u{200d}\u{fe0f}\u{301}-]{0,60}",
        Just("```rust\nfn x() {\n".to_owned()),
        Just("|a|b|\n|-|-|\n|漢|".to_owned()),
    ]
}

/// Keys with a meaning somewhere, and one with none.
const KEYS: &[&str] = &[
    "<tab>",
    "<esc>",
    "<enter>",
    "<up>",
    "<down>",
    "<pageup>",
    "<pagedown>",
    "<ctrl+o>",
    "<ctrl+t>",
    "<ctrl+x>",
    "<f1>",
    "<f2>",
    "<space>",
    "f",
    "t",
    "p",
    "j",
    "G",
    "g",
    "/",
    "n",
    "N",
    "{",
    "}",
    "E",
    "D",
    "F",
    "Q",
    "y",
    "<alt+r>",
    "u",
    "?",
    "1",
    "d",
    "<alt+up>",
    "<ctrl+w>",
    "<ctrl+u>",
    "漢",
    "@",
    "!",
    "<ctrl+r>",
    "<ctrl+g>",
    "<ctrl+c>",
    "<backspace>",
    "<left>",
];

fn call() -> impl Strategy<Value = Stroke> {
    let id = prop::sample::select(vec!["t1", "t2", ""]);
    let kind = prop::sample::select(vec!["edit", "execute", "read", "nonsense"]);
    let status = prop::sample::select(vec!["pending", "in_progress", "completed", "failed"]);
    (id, kind, status, text(), text()).prop_map(|(id, kind, status, old, new)| {
        Stroke::Says(json!({"sessionUpdate": "tool_call", "toolCallId": id, "title": old, "kind": kind, "status": status,
            "content": [{"type": "diff", "path": new, "oldText": old, "newText": new},
                {"type": "content", "content": {"type": "text", "text": new}}]}))
    })
}

fn word() -> impl Strategy<Value = Stroke> {
    let chunk = |kind: &'static str| {
        move |text: String| {
            Stroke::Says(json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}}))
        }
    };
    prop_oneof![
        4 => text().prop_map(chunk("agent_message_chunk")),
        1 => text().prop_map(chunk("agent_thought_chunk")),
        1 => text().prop_map(|text| Stroke::Says(json!({"sessionUpdate": "plan", "entries": [
            {"content": text, "priority": "high", "status": "in_progress"}]}))),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(used, size)| {
            Stroke::Says(json!({"sessionUpdate": "usage_update", "used": used, "size": size}))
        }),
        1 => text().prop_map(|text| Stroke::Says(json!({"sessionUpdate": text}))),
        1 => text().prop_map(|text| {
            Stroke::Says(json!({"sessionUpdate": "current_mode_update", "currentModeId": text}))
        }),
    ]
}

fn stroke() -> impl Strategy<Value = Stroke> {
    prop_oneof![
        8 => word(),
        3 => call(),
        1 => text().prop_map(Stroke::Prompt),
        1 => Just(Stroke::Ends),
        1 => text().prop_map(Stroke::Asks),
        6 => prop::sample::select(KEYS).prop_map(Stroke::Keys),
        1 => text().prop_map(Stroke::Pastes),
        2 => (0u16..140, 0u16..45).prop_map(|(width, height)| Stroke::Resized(width, height)),
        1 => (0u16..5000).prop_map(Stroke::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_agent_no_key_and_no_size_brings_the_screen_down(strokes in prop::collection::vec(stroke(), 0..40)) {
        let mut screen = Screen::run(80, 24);
        for (second, stroke) in (0..).zip(strokes) {
            match stroke {
                Stroke::Says(update) => { screen.update(second, update); }
                Stroke::Prompt(text) => { screen.prompt(second, &text); }
                Stroke::Ends => { screen.ends(second, "end_turn"); }
                Stroke::Asks(title) => { screen.asks(second, "q", &title); }
                Stroke::Keys(keys) => { screen.keys(keys); }
                Stroke::Pastes(text) => { screen.event(Event::Paste(text)); }
                Stroke::Resized(width, height) => screen.resize(width, height),
                Stroke::Later(millis) => { screen.after(u64::from(millis)); }
            }
            let picture = screen.text();
            prop_assert!(!picture.chars().any(|char| char.is_control() && char != '\n'), "{picture:?}");
        }
    }
}
