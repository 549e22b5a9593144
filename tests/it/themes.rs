//! `ashore theme`: which themes there are, and how they look here.

use serde_json::Value;

use crate::support::home::Home;

/// A user with a theme of their own and one that is none.
fn with_themes() -> Home {
    let home = Home::new();
    let mine = include_str!("../../themes/dracula.toml").replace("\"dracula\"", "\"mine\"");
    for (name, text) in [("mine", mine.as_str()), ("broken", "name = \"broken\"\n")] {
        let folder = home.home().join(".config/ashore/themes");
        home.write(&format!("{}/{name}.toml", folder.display()), text);
    }
    home
}

#[test]
fn themes_are_listed_with_those_of_the_user() {
    let home = with_themes();
    let list = home.run(&["--theme", "mine", "theme", "ls"]).exits(0);
    let lines = list.stdout();
    let chosen: Vec<&str> = lines.lines().filter(|line| line.starts_with('*')).collect();
    assert!(chosen.len() == 1 && chosen[0].contains("mine"), "{lines}");
    assert!(lines.contains("high-contrast") && lines.contains("built in"));
    let said = list.stderr();
    assert!(said.contains("no table [roles]"), "{said}");
    let json = home.run(&["theme", "ls", "--json"]).exits(0).lines();
    let themes = json[0]["themes"].as_array().expect("a list");
    let of = |name: &str| {
        let found = themes.iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(themes.len(), 11);
    assert_eq!(of("mine")["scheme"], Value::from("dark"));
    assert!(of("broken")["error"].is_string());
    assert!(of("ansi")["scheme"].is_null());
}

/// What is asked for, the environment, and whether there are colours then.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], bool);

#[test]
fn a_preview_has_colours_as_asked_for_then_as_the_environment_says_then_as_a_terminal_reads() {
    let home = with_themes();
    let (force, none) = (("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1"));
    let table: [Case; 6] = [
        (&[], &[], false),
        (&[], &[force], true),
        (&[], &[("CLICOLOR_FORCE", "0")], false),
        (&[], &[force, none], false),
        (&["--color", "always"], &[none], true),
        (&["--color", "never"], &[force], false),
    ];
    for (flags, variables, colours) in table {
        let mut command = home.ashore(&[flags, &["theme", "preview", "mine"]].concat());
        let output = command.envs(variables.iter().copied()).output();
        let shown = String::from_utf8(output.expect("it starts").stdout).expect("text");
        assert!(shown.contains("mine: for dark grounds"), "{shown}");
        let found = shown.contains("\u{1b}[");
        assert_eq!(found, colours, "{flags:?} {variables:?}");
    }
    home.run(&["theme", "preview", "moon"]).exits(2);
    let all = home.run(&["theme", "preview"]).exits(0).stdout();
    assert_eq!(all.matches("grounds\n").count(), 10);
}
