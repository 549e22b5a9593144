//! What cells look like where there is room.

use serde_json::json;

use crate::screens::script::Screen;

fn edit(screen: &mut Screen) {
    let old = "use a;\n\nfn one() {\n    let x = 1;\n    done(x)\n}\n\n// end\n";
    let new = old.replace("let x = 1", "let x = 2");
    screen.prompt(1, "go").update(2, json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "src/a.rs", "kind": "edit", "status": "completed", "content": [{"type": "diff", "path": "src/a.rs", "oldText": old, "newText": new}]}));
    screen.ends(3, "end_turn");
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
