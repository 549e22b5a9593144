//! `ashore mirror undo`, `log` and `who` as a person uses them.

use serde_json::Value;

use crate::directory::{caught_up, detached, idle};
use crate::support::home::Home;

#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn a_turn_is_undone_after_a_look_and_who_wrote_what_is_known() {
    let home = Home::new();
    for (path, text) in [("a", "a0"), ("mine", "m0")] {
        home.write(path, text);
    }
    let run = detached(&home, "/write a a1", &[]);
    idle(&home, &run);
    let turns = "/run printf a2 > a; printf new > made; printf m2 > mine";
    home.run(&["send", &run, turns]).exits(0);
    idle(&home, &run);
    caught_up(&home, &run);
    home.write("mine", "my own");
    let stands = |want: [Option<&str>; 3]| {
        let here = ["a", "made", "mine"].map(|path| home.read(path));
        assert_eq!(here.each_ref().map(Option::as_deref), want);
    };
    let undo = ["mirror", "undo", &run, "--turn", "2"];
    // A look changes nothing and names what stays, and why.
    let shown = home.run(&undo).exits(0);
    let told = shown.stdout();
    for part in [
        "turn 2: undo 2 files, 1 refused",
        "put back    a",
        "removed     made",
        "refused     mine    you edited it since",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(
        shown.stderr().contains("--yes does this"),
        "{}",
        shown.stderr()
    );
    stands([Some("a2"), Some("new"), Some("my own")]);
    let sure = [&undo[..], &["--yes"]].concat();
    home.run(&sure).exits(0);
    stands([Some("a1"), None, Some("my own")]);
    // The first turn again lies on top; and each undo is undone by another.
    home.run(&["mirror", "undo", &run, "--turn", "1", "--yes"])
        .exits(0);
    stands([Some("a0"), None, Some("my own")]);
    home.run(&["mirror", "undo", &run, "--turn", "1", "--yes"])
        .exits(0);
    home.run(&sure).exits(0);
    stands([Some("a2"), Some("new"), Some("my own")]);
    home.run(&["mirror", "undo", &run, "--run", "--yes"])
        .exits(0);
    stands([Some("a0"), None, Some("my own")]);
    let nothing = home
        .run(&["mirror", "undo", &run, "--turn", "7", "--yes"])
        .exits(8);
    assert!(
        nothing.stderr().contains("nothing to undo"),
        "{}",
        nothing.stderr()
    );
    home.run(&["mirror", "undo", &run]).exits(2);

    let who = home.run(&["mirror", "who", &run, "a", "--json"]).exits(0);
    let who: Value = serde_json::from_str(&who.stdout()).unwrap();
    let writes = who["writes"].as_array().unwrap();
    let by: Vec<_> = writes
        .iter()
        .map(|one| one["by"].as_str().unwrap())
        .collect();
    assert_eq!(by.iter().filter(|by| **by == "agent").count(), 2, "{by:?}");
    let first = writes.last().unwrap();
    assert_eq!((&first["by"], &first["turn"]), (&"agent".into(), &1.into()));
    assert!(first["tool_call"].is_string(), "{first}");
    assert_ne!(first["before"], first["after"]);
    let log = home.run(&["mirror", "log", &run]).exits(0).stdout();
    assert!(log.lines().count() > writes.len(), "{log}");
    assert!(log.contains("turn 2") && log.contains("undo"), "{log}");
}
