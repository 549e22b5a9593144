//! A conflict, looked at and decided.

use ashore::attach;
use ashore::mirror::control::Keep;
use ashore::mirror::merge::{Merged, merge};
use ashore::mirror::show::Side;
use ashore::mirror::status::Conflict;
use ashore::mirror::versions::{Put, Version, Versions};
use ashore::mirror::worker::{Order, Report};
use ashore::protocol::file::{ChangeKind, FileState, Mode};
use ashore::protocol::hash::ContentHash;
use ashore::tui::effect::Effect;
use ashore::tui::event::{Combined, Event};

use crate::screens::script::{Screen, at};

fn conflict(path: &str) -> Conflict {
    Conflict {
        path: path.into(),
        theirs: Some(format!("{path}.remote-7f3a1c52-12")),
        ..Conflict::default()
    }
}

/// Two files in conflict and one that is not; the newest stands first in the list.
fn conflicts(width: u16, height: u16) -> Screen {
    let mut screen = Screen::run(width, height);
    for path in ["src/a.rs", "src/b.rs", "README.md"] {
        screen.changed(1, path, ChangeKind::Modified);
    }
    screen.attached().mirrored = true;
    let mirror = &mut screen.attached().mirror;
    mirror.directory = Some("/home/ana/web".into());
    mirror.conflicts = vec![conflict("src/a.rs"), conflict("src/b.rs")];
    screen
}

fn version(side: Side) -> Version {
    let state = side.text().map(|text| FileState {
        hash: ContentHash::of(text.as_bytes()),
        size: text.len() as u64,
        mode: Mode::File,
    });
    Version {
        side,
        state,
        time: None,
    }
}

fn text(text: &str) -> Side {
    Side::Text(text.into())
}

fn versions(base: Side, mine: Side, theirs: Side) -> Versions {
    let merged = match (mine.text(), theirs.text()) {
        (Some(mine), Some(theirs)) => Some(merge(base.text().unwrap_or(""), mine, theirs)),
        _ => None,
    };
    Versions {
        path: "src/a.rs".parse().expect("a path"),
        base: version(base),
        mine: version(mine),
        theirs: version(theirs),
        copy: Some("src/a.rs.remote-7f3a1c52-12".parse().expect("a path")),
        merged,
    }
}

impl Screen {
    /// The mirror's word on the conflict that is looked at.
    fn told(&mut self, versions: Versions) {
        let report = Report::Versions(Box::new(versions));
        self.event(Event::Attach(attach::event::Event::Mirror(report)));
    }
}

fn orders(effects: Vec<Effect>) -> Vec<Order> {
    let order = |effect| match effect {
        Effect::Attach(_, attach::effect::Effect::Mirror(Order::Weigh(_))) => None,
        Effect::Attach(_, attach::effect::Effect::Mirror(order)) => Some(order),
        _ => None,
    };
    effects.into_iter().filter_map(order).collect()
}

#[test]
fn the_chosen_file_is_looked_at_or_else_the_first_in_conflict() {
    let asked = |keys: &str| {
        let mut screen = conflicts(100, 30);
        let orders = orders(screen.keys(keys));
        (orders, screen.text())
    };
    let of = |path: &str| vec![Order::Versions(path.parse().expect("a path"))];
    assert_eq!(asked("<tab>x").0, of("src/a.rs"));
    assert_eq!(asked("/conflict<enter>").0, of("src/a.rs"));
    assert_eq!(asked("<tab>fjx").0, of("src/b.rs"));
    let (none, screen) = asked("<tab>fx");
    assert_eq!(none, []);
    assert!(screen.contains("README.md is not in conflict"), "{screen}");
    let mut screen = conflicts(100, 30);
    screen.attached().mirrored = false;
    assert_eq!(orders(screen.keys("<tab>x")), []);
    let shown = screen.text();
    assert!(shown.contains("no directory is mirrored here"), "{shown}");
}

#[test]
fn a_digit_decides_and_esc_leaves_it() {
    let (base, mine, theirs) = ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n");
    let path = || "src/a.rs".parse().expect("a path");
    let resolve = |keep| Some(Order::Resolve { path: path(), keep });
    let put = Put {
        over: version(text(mine)).state,
        text: "A\nb\nC\n".into(),
    };
    let table = [
        ("1", resolve(Keep::Mine)),
        ("2", resolve(Keep::Theirs)),
        ("3", resolve(Keep::Both)),
        ("4", Some(Order::Merge { path: path(), put })),
        ("5", None),
        ("<esc>", None),
    ];
    for (key, order) in table {
        let mut screen = conflicts(100, 30);
        screen.keys("<tab>x");
        screen.told(versions(text(base), text(mine), text(theirs)));
        let shown = screen.text();
        assert!(shown.contains("+a") && shown.contains("-A"), "{shown}");
        assert_eq!(orders(screen.keys(key)), Vec::from_iter(order), "{key}");
        let open = screen.text().contains("only in theirs");
        assert_eq!(open, key == "5", "{key}");
    }
    // What overlaps is not merged by itself.
    let mut screen = conflicts(100, 30);
    screen.keys("<tab>x");
    screen.told(versions(text("a\n"), text("mine\n"), text("theirs\n")));
    assert_eq!(orders(screen.keys("4")), []);
    let shown = screen.text();
    assert!(shown.contains("the same lines in 1 place"), "{shown}");
    assert!(!shown.contains("4 merge"), "{shown}");
}

#[test]
fn the_base_is_compared_with_each_side() {
    let mut screen = conflicts(100, 30);
    screen.keys("<tab>x");
    screen.told(versions(text("base\n"), text("mine\n"), text("theirs\n")));
    for (name, old, new) in [
        ("only in yours", "-mine", "+theirs"),
        ("what you changed", "-base", "+mine"),
        ("what they changed", "-base", "+theirs"),
        ("only in yours", "-mine", "+theirs"),
    ] {
        let shown = screen.text();
        for part in [name, old, new] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        screen.keys("b");
    }
}

#[test]
fn both_are_put_together_in_an_editor_or_a_merge_tool() {
    let all = versions(text("a\n"), text("mine\n"), text("theirs\n"));
    let tool = |screen: &mut Screen, key: &str| {
        screen
            .keys(key)
            .into_iter()
            .find_map(|effect| match effect {
                Effect::Combine { tool, versions, .. } => Some((tool, *versions)),
                _ => None,
            })
    };
    let mut screen = conflicts(100, 30);
    screen.state.writing.editor = "vi -n".into();
    screen.keys("<tab>x");
    screen.told(all.clone());
    let editor = "vi -n \"$MERGED\"".to_owned();
    assert_eq!(tool(&mut screen, "e"), Some((editor, all.clone())));
    assert_eq!(tool(&mut screen, "t"), None, "none is set");
    screen.state.writing.merge_tool = Some("kdiff3".into());
    assert_eq!(tool(&mut screen, "t"), Some(("kdiff3".into(), all.clone())));
    let combined = |text: Result<&str, &str>| {
        Event::Combined(Combined {
            of: at(),
            path: all.path.clone(),
            over: all.mine.state,
            text: text.map(str::to_owned).map_err(str::to_owned),
        })
    };
    let none = screen.event(combined(Err("nothing was merged: it ended with 1")));
    assert_eq!(orders(none), []);
    let shown = screen.text();
    assert!(
        shown.contains("only in yours"),
        "it can still be decided: {shown}"
    );
    let done = screen.event(combined(Ok("both\n")));
    let put = Put {
        over: all.mine.state,
        text: "both\n".into(),
    };
    let path = all.path.clone();
    assert_eq!(orders(done), [Order::Merge { path, put }]);
    assert!(!screen.text().contains("only in yours"));
    // What is no text is left to the three ways that always work.
    screen.keys("x");
    screen.told(versions(
        text("a\n"),
        text("mine\n"),
        Side::Other("a link".into()),
    ));
    assert_eq!(tool(&mut screen, "e"), None);
    assert_eq!(
        all.merged
            .as_ref()
            .map(|merged| matches!(merged, Merged::Clean(_))),
        Some(false)
    );
}

#[test]
fn what_is_no_text_is_told_and_what_has_ended_is_closed() {
    let mut screen = conflicts(100, 30);
    screen.keys("<tab>x");
    screen.told(versions(
        text("a\n"),
        Side::Gone,
        Side::Other("a link".into()),
    ));
    let shown = screen.text();
    assert!(
        shown.contains("yours   deleted") && shown.contains("theirs  a link"),
        "{shown}"
    );
    let mut status = screen.attached().mirror.clone();
    status.conflicts.remove(0);
    screen.event(Event::Attach(attach::event::Event::Mirror(Report::Status(
        status,
    ))));
    let shown = screen.text();
    assert!(
        shown.contains("src/a.rs is no longer in conflict"),
        "{shown}"
    );
    assert!(!shown.contains("a link"), "{shown}");
}

#[test]
fn a_conflict_at_every_size() {
    for (width, height) in [(120, 40), (80, 24), (40, 24)] {
        let mut screen = conflicts(width, height);
        screen.keys("<tab>x");
        let lines = |word: &str| -> String {
            (1..=30)
                .map(|n| match n {
                    5 | 20 => format!("let {word} = {n};\n"),
                    _ => format!("let clock = {n};\n"),
                })
                .collect()
        };
        let all = versions(
            text(&lines("base")),
            text(&lines("mine")),
            text(&lines("theirs")),
        );
        screen.told(all);
        screen.keys("jj");
        screen.shows("review/conflict");
    }
}
