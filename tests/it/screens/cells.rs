//! What cells look like: outputs, diffs, the end of a turn.

use ratatui::style::{Color, Modifier};
use serde_json::json;

use crate::screens::script::Screen;

/// The colour of the first cell of a word on the screen.
fn colour_of(screen: &mut Screen, word: &str) -> Color {
    let rows: Vec<String> = screen.text().lines().map(str::to_owned).collect();
    let found = rows
        .iter()
        .enumerate()
        .find_map(|(y, row)| Some((row[..row.find(word)?].chars().count(), y)));
    let (x, y) = found.unwrap_or_else(|| panic!("no {word}:\n{}", rows.join("\n")));
    let at = (x.try_into().expect("fits"), y.try_into().expect("fits"));
    screen.draw()[at].fg
}

#[test]
fn what_a_command_printed_has_its_colours_and_what_the_agent_says_has_none() {
    let mut screen = Screen::run(100, 30);
    let output = "10%\r99%\u{1b}[K\n\u{1b}[1;32mok\u{1b}[0m all\u{1b}[2J of it\n";
    screen
        .prompt(1, "go")
        .update(2, json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "make", "kind": "execute", "status": "completed", "content": [{"type": "content", "content": {"type": "text", "text": output}}]}))
        .chunk(3, "it \u{1b}[32mlied\n")
        .ends(4, "end_turn");
    let text = screen.text();
    assert!(text.contains("   99%\n   ok all of it\n"), "{text}");
    assert!(text.contains("it ␛[32mlied"), "{text}");
    assert_eq!(colour_of(&mut screen, "ok all"), Color::Green);
    assert_eq!(colour_of(&mut screen, "all of it"), Color::Reset);
    assert_eq!(colour_of(&mut screen, "lied"), Color::Reset);
}

#[test]
fn of_an_output_the_end_is_shown_below_what_is_hidden() {
    let mut screen = Screen::run(100, 40);
    let output: String = (1..=20).map(|line| format!("line {line}\n")).collect();
    screen
        .prompt(1, "go")
        .update(2, json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "make", "kind": "execute", "status": "completed", "content": [{"type": "content", "content": {"type": "text", "text": output}}]}))
        .ends(4, "end_turn");
    let text = screen.text();
    let tail = "   … 16 more lines  (Ctrl+O)\n   line 17\n   line 18\n   line 19\n   line 20\n";
    assert!(text.contains(tail), "{text}");
    screen.keys("<ctrl+o>");
    assert!(screen.text().contains("   line 1\n   line 2\n"));
}

#[test]
fn a_summary_of_what_was_compacted_can_be_unfolded() {
    let mut screen = Screen::run(100, 30);
    screen
        .prompt(1, "go")
        .update(2, json!({"sessionUpdate": "compaction_update", "compactionId": "c", "status": "completed", "summary": [{"type": "text", "text": "The tide was measured twice."}]}));
    let folded = screen.text();
    assert!(folded.contains("── "), "{folded}");
    assert!(!folded.contains("measured twice"), "{folded}");
    screen.keys("<ctrl+o>");
    let open = screen.text();
    assert!(open.contains("   The tide was measured twice.\n"), "{open}");
}

fn edit(screen: &mut Screen) {
    let old = "use a;\n\nfn one() {\n    let x = 1;\n    done(x)\n}\n\n// end\n";
    let new = old.replace("let x = 1", "let x = 2");
    screen.prompt(1, "go").update(2, json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "src/a.rs", "kind": "edit", "status": "completed", "content": [{"type": "diff", "path": "src/a.rs", "oldText": old, "newText": new}]}));
    screen.ends(3, "end_turn");
}

#[test]
fn a_diff_is_coloured_marks_its_words_and_shows_as_much_around_as_is_wished() {
    let mut screen = Screen::run(100, 40);
    edit(&mut screen);
    screen.keys("<ctrl+o><tab>");
    assert_eq!(
        colour_of(&mut screen, "fn one"),
        Color::LightMagenta,
        "a keyword"
    );
    let buffer = screen.draw();
    let marked: String = buffer
        .content
        .iter()
        .filter(|cell| cell.modifier.contains(Modifier::REVERSED))
        .map(|cell| cell.symbol())
        .collect();
    assert!(marked.contains("12"), "{marked:?}");
    assert!(!screen.text().contains("// end"));
    screen.keys("+");
    assert!(screen.text().contains("// end"));
    screen.keys("---");
    let text = screen.text();
    assert!(
        text.contains("@@ -4 +4 @@") && !text.contains("fn one"),
        "{text}"
    );
    assert!(text.contains("0 lines around what changed"), "{text}");
}

#[test]
fn where_the_chat_is_wide_the_old_text_stands_beside_the_new_one() {
    let mut screen = Screen::run(190, 40);
    edit(&mut screen);
    screen.keys("<ctrl+o>");
    let text = screen.text();
    let row = text.lines().find(|row| row.contains("4 - ")).unwrap_or("");
    assert!(
        row.contains("let x = 1;") && row.contains("│    4 +     let x = 2;"),
        "{text}"
    );
    screen.resize(120, 40);
    assert!(!screen.text().contains("4 - "), "too narrow");
}

#[test]
fn the_end_of_a_turn_tells_what_it_took_as_far_as_there_is_room() {
    let usage = |used, cost| json!({"sessionUpdate": "usage_update", "used": used, "size": 200_000, "cost": {"amount": cost, "currency": "USD"}});
    let mut screen = Screen::run(100, 30);
    screen
        .prompt(1, "go")
        .update(2, usage(12_300, 0.084))
        .chunk(2, "Yes.")
        .ends(9, "end_turn");
    let text = screen.text();
    assert!(text.contains("✓ done · 8.0s · +12k tok · $0.08"), "{text}");
    screen.resize(32, 30);
    let text = screen.text();
    assert!(text.contains("✓ done · 8.0s · +12k tok\n"), "{text}");
}
