//! What helps to write the draft: large pastes, the search of the history, files, commands, the editor, this machine.

use std::path::PathBuf;

use ashore::attach::attachment::Attachment;
use ashore::attach::state::{Attached, Link};
use ashore::protocol::command::What;
use ashore::protocol::line;
use ashore::tui::effect::Effect;
use ashore::tui::event::{Event, Here, Listing, Progress, Said};
use ashore::tui::state::Popup;
use ashore::tui::vim::Vim;
use serde_json::json;

use crate::screens::scenes::{busy, each};
use crate::screens::script::{Screen, at, posted};

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 24)];

/// A run mirrored into a directory of this machine.
fn mirrored(width: u16, height: u16) -> Screen {
    let mut screen = Screen::run(width, height);
    screen.attached().mirror.directory = Some(PathBuf::from("/home/ana/web"));
    screen
}

fn prompts(screen: &mut Screen) -> Vec<Effect> {
    let effects = screen.keys("<ctrl+r>");
    let all = [
        "fix the auth test\nand say why",
        "write the docs",
        "rename Clock::global\nin all files\nand tests",
        "run the auth suite 50 times",
    ];
    screen.event(Event::HistoryRead(all.map(str::to_owned).to_vec()));
    effects
}

fn listing() -> Listing {
    let paths = [
        "src/auth/clock.rs",
        "src/main.rs",
        "tests/auth.rs",
        "notes for ana.md",
        "README.md",
    ];
    Listing {
        of: Some(PathBuf::from("/home/ana/web")),
        paths: paths.map(str::to_owned).to_vec(),
        is_cut: false,
    }
}

#[test]
fn a_picture_that_is_pasted_is_answered_in_words_and_the_end_of_a_long_paste_is_not() {
    let mut screen = Screen::run(80, 24);
    screen.event(Event::Paste("a".repeat(70_000)));
    screen.event(Event::Paste(String::new()));
    let shown = screen.text();
    assert!(!shown.contains("/attach PATH"), "{shown}");
    screen.after(2_000);
    screen.event(Event::Paste(String::new()));
    let shown = screen.text();
    assert!(
        shown.contains("a picture goes by its file, /attach PATH"),
        "{shown}"
    );
    assert_eq!(screen.state.composer.text().len(), 70_000);
}

#[test]
fn a_large_paste_is_a_token_and_is_sent_kept_and_cut_whole() {
    let paste = "a line of a log\r\n".repeat(132);
    let whole = format!("why? {}", "a line of a log\n".repeat(132));
    for (width, height) in SIZES {
        let mut screen = Screen::run(width, height);
        screen.keys("why? ");
        screen.event(Event::Paste(paste.clone()));
        screen.keys("thanks");
        screen.shows("write__paste");
        screen.keys("<ctrl+w><backspace>");
        assert_eq!(screen.state.composer.text(), "why? ");
        screen.keys("<ctrl+_>");
        assert_eq!(screen.state.composer.text(), whole);
        let kept = screen.after(1000);
        let keeps =
            |effect: &Effect| matches!(effect, Effect::SaveDraft { text, .. } if *text == whole);
        assert!(kept.iter().any(keeps), "{kept:?}");
        let effects = screen.keys("<enter>");
        let says = format!("{:?}", posted(&effects));
        assert!(says.contains(&format!("{whole:?}")), "{says}");
    }
}

#[test]
fn the_history_is_searched_while_the_draft_waits() {
    for (width, height) in SIZES {
        let mut screen = Screen::run(width, height);
        screen.keys("half a thought");
        assert!(prompts(&mut screen).contains(&Effect::ReadHistory));
        screen.keys("auth");
        screen.shows("write__search");
        assert_eq!(screen.keys("y?1<backspace><backspace><backspace>"), []);
        assert_eq!(screen.state.composer.text(), "half a thought");
        screen.keys("<esc>");
        assert_eq!(screen.state.composer.text(), "half a thought");
        screen.keys("<ctrl+r>auth<ctrl+r><enter>");
        assert_eq!(
            screen.state.composer.text(),
            "fix the auth test\nand say why"
        );
        screen.keys("<ctrl+_>");
        assert_eq!(screen.state.composer.text(), "half a thought");
    }
}

#[test]
fn a_search_answers_no_question_and_is_not_closed_by_one() {
    let mut screen = Screen::run(100, 30);
    busy(&mut screen);
    prompts(&mut screen);
    screen.asks(30, "q1", "run it");
    screen.after(60_000);
    let effects = screen.keys("y1a");
    assert_eq!(posted(&effects), []);
    screen.after(90_000);
    assert_eq!(posted(&screen.keys("<esc>")), []);
    screen.after(120_000);
    assert_eq!(posted(&screen.keys("1")).len(), 1);
}

#[test]
fn a_file_is_named_behind_an_at() {
    for (width, height) in SIZES {
        let mut screen = mirrored(width, height);
        let effects = screen.keys("look at @");
        let asks = Effect::ListPaths(Some(PathBuf::from("/home/ana/web")));
        assert_eq!(effects, [asks]);
        screen.event(Event::PathsListed(listing()));
        screen.keys("auth");
        screen.shows("write__files");
        screen.keys("<down><up><tab>");
        let text = screen.state.composer.text().to_owned();
        assert!(
            text == "look at @tests/auth.rs " || text == "look at @src/auth/clock.rs ",
            "{text}"
        );
        screen.keys("<ctrl+u>@ana<enter>");
        assert_eq!(screen.state.composer.text(), "@\"notes for ana.md\" ");
    }
}

#[test]
fn a_menu_of_files_that_was_closed_stays_closed_for_its_word() {
    let mut screen = mirrored(80, 24);
    screen.keys("@");
    screen.event(Event::PathsListed(listing()));
    assert!(screen.text().contains("README.md"));
    screen.keys("<esc>rea");
    assert!(!screen.text().contains("README.md"));
    screen.keys(" @rea");
    assert!(screen.text().contains("README.md"));
    screen.keys("zz");
    // Nothing fits: Enter sends.
    assert_eq!(posted(&screen.keys("<enter>")).len(), 1);
}

#[test]
fn without_a_directory_here_the_files_of_the_run_are_offered() {
    let mut screen = Screen::run(80, 24);
    busy(&mut screen);
    assert_eq!(screen.keys("@"), []);
    screen.keys("clock<tab>");
    let text = screen.state.composer.text().to_owned();
    assert!(
        text == "@src/clock.rs " || text == "@tests/clock.rs ",
        "{text}"
    );
}

#[test]
fn a_command_shows_what_may_be_written_behind_it() {
    let commands = json!({"sessionUpdate": "available_commands_update", "availableCommands": [
        {"name": "say", "description": "say N words", "input": {"hint": "how many"}},
        {"name": "review", "description": "look at the change", "input": {"hint": "which branch, else all that is not committed"}},
        {"name": "run", "description": "run a command"}]});
    for (width, height) in SIZES {
        let mut screen = Screen::run(width, height);
        screen.update(1, commands.clone());
        screen.keys("/<down>");
        screen.shows("write__commands");
        screen.keys("<esc><ctrl+u>/rvw");
        assert!(screen.text().contains("/review"));
        screen.keys("<enter>");
        assert_eq!(screen.state.composer.text(), "/review ");
        assert!(screen.text().contains("> /review which branch"));
        screen.keys("x");
        assert!(!screen.text().contains("which branch"));
    }
}

#[test]
fn what_the_editor_leaves_is_the_draft_and_nothing_is_lost() {
    for keys in ["<ctrl+g>", "<ctrl+x><ctrl+e>"] {
        let mut screen = Screen::run(80, 24);
        screen.state.writing.editor = "vi -n".into();
        screen.keys("half");
        let effects = screen.keys(keys);
        let edit = Effect::Edit {
            editor: "vi -n".into(),
            text: "half".into(),
        };
        assert_eq!(effects.last(), Some(&edit));
        screen.event(Event::Edited(Ok("half\na thought".into())));
        assert_eq!(screen.state.composer.text(), "half\na thought");
        screen.keys(keys);
        screen.event(Event::Edited(Err("the draft is as it was: why".into())));
        assert_eq!(screen.state.composer.text(), "half\na thought");
        assert!(screen.text().contains("the draft is as it was"));
        // A draft of another screen arrived meanwhile.
        screen.keys(keys);
        screen.state.composer.set("other".into());
        screen.event(Event::Edited(Ok("mine".into())));
        assert_eq!(screen.state.composer.text(), "mine\nother");
    }
}

#[test]
fn a_command_for_this_machine_is_marked_and_nothing_of_it_is_sent() {
    for (width, height) in SIZES {
        let mut screen = mirrored(width, height);
        screen.keys("!git status");
        screen.shows("write__local");
        let effects = screen.keys("<enter>");
        assert_eq!(posted(&effects), []);
        let runs = Effect::RunHere {
            number: 1,
            command: "git status".into(),
            of: Some(PathBuf::from("/home/ana/web")),
        };
        assert!(effects.contains(&runs), "{effects:?}");
        let told = |number, said| Event::Here(Here { number, said });
        screen.event(told(
            1,
            Said::Printed("On branch main\n\x1b[31mred\x1b[0m\n".into()),
        ));
        screen.shows("write__local_runs");
        screen.keys("<esc>");
        screen.event(told(1, Said::Ended("exit code 0".into())));
        assert!(screen.text().contains("LOCAL $ git status: exit code 0"));
        assert_eq!(posted(&screen.keys("!<enter>")), []);
        assert_eq!(screen.state.popup, Some(Popup::Here { back: 0 }));
        assert!(screen.text().contains("On branch main"));
    }
}

#[test]
fn one_command_runs_here_at_a_time_and_late_words_of_an_ended_one_are_not_shown() {
    let mut screen = mirrored(80, 24);
    screen.keys("!make<enter><esc>");
    assert_eq!(screen.keys("!ls<enter>"), []);
    assert!(screen.text().contains("`make` still runs here"));
    screen.keys("<ctrl+u>!<enter>");
    assert_eq!(screen.keys("<ctrl+c>"), [Effect::EndHere]);
    screen.keys("<esc>!ls<enter>");
    let said = Said::Printed("late".into());
    screen.event(Event::Here(Here { number: 1, said }));
    assert!(!screen.text().contains("late"));
    // A space makes it words for the agent.
    screen.keys("<esc>");
    assert_eq!(posted(&screen.keys(" !important<enter>")).len(), 1);
}

#[test]
fn vims_keys_are_had_by_who_wishes_for_them_and_esc_leaves_writing_first() {
    let mut screen = Screen::run(80, 24);
    screen.prompt(1, "go on");
    screen.state.vim = Some(Vim::default());
    let sign = |screen: &mut Screen| {
        let text = screen.text();
        let line = text
            .lines()
            .rev()
            .find(|line| [" > ", " N "].iter().any(|sign| line.starts_with(sign)));
        line.map(str::to_owned).unwrap_or_default()
    };
    // Without a letter of vim: what is typed is written, also what would be a command.
    screen.keys("done dx");
    assert_eq!(sign(&mut screen), " > done dx");
    // Esc is no cancel yet.
    assert!(posted(&screen.keys("<esc>")).is_empty());
    assert_eq!(sign(&mut screen), " N done dx");
    screen.keys("0dwx");
    assert_eq!(sign(&mut screen), " N x");
    // A command that has begun ends first, then the turn does.
    assert!(posted(&screen.keys("d<esc>")).is_empty());
    assert_eq!(posted(&screen.keys("<esc>")), [What::Cancel]);
    screen.keys("Ayz");
    assert_eq!(sign(&mut screen), " > xyz");
    let sent = screen.keys("<esc><enter>");
    assert!(
        sent.contains(&Effect::SaveHistory("xyz".into())),
        "{sent:?}"
    );
    // An empty draft is for writing, and older prompts come as with the arrow keys.
    screen.keys("<esc>k");
    assert_eq!(sign(&mut screen), " N xyz");
    screen.keys("cco");
    screen.keys("<esc>:");
    assert!(matches!(screen.state.popup, Some(Popup::Palette(_))));
    // The keys of a question are its own.
    let mut screen = Screen::run(80, 24);
    screen.prompt(1, "go on");
    screen.state.vim = Some(Vim::default());
    screen.keys("<esc>");
    screen.asks(3, "q1", "run it");
    screen.after(2000);
    assert!(!posted(&screen.keys("y")).is_empty());
}

/// The agent says that it takes this in a prompt.
fn taking(screen: &mut Screen, takes: serde_json::Value) {
    let started = line::run_started("r", None, Some(&takes));
    screen.says(0, &started);
}

/// As it comes for the run on the screen.
fn of_run(event: Event) -> Event {
    Event::Of(at(), Box::new(event))
}

/// What is written down when these wait to go with the next message.
fn kept(names: &[&str]) -> Vec<Effect> {
    let paths = names.iter().map(|name| format!("/home/ana/{name}"));
    let (of, paths) = (Some(at().run), paths.collect());
    vec![Effect::SaveAttached { of, paths }]
}

#[test]
fn what_was_attached_when_the_last_screen_ended_is_attached_again() {
    let one = Attachment::new("/home/ana/one.png", b"\x89PNG\r\n\x1a\nrest");
    let found = vec![Ok(one), Err("/home/ana/two.png cannot be read".to_owned())];
    let mut screen = mirrored(80, 24);
    let effects = screen.event(of_run(Event::AttachedFound(found)));
    assert_eq!(effects, kept(&["one.png"]));
    let shown = screen.text();
    assert!(shown.contains("with one.png 12 B"), "{shown}");
    assert!(shown.contains("not attached any more: /home/ana/two.png"));
}

#[test]
fn a_file_goes_with_the_next_message_and_is_shown_until_then() {
    let png = b"\x89PNG\r\n\x1a\nrest";
    let read = |name: &str, bytes: &[u8]| {
        let one = Attachment::new(&format!("/home/ana/{name}"), bytes);
        of_run(Event::FileRead(Box::new(Ok(one))))
    };
    each(&SIZES, "write/attached", mirrored, |screen| {
        busy(screen);
        taking(screen, json!({"image": true, "embeddedContext": true}));
        screen.event(read("shot.png", &png.repeat(300)));
        screen.event(read("notes for ana.md", b"# Notes"));
    });
    let mut screen = mirrored(80, 24);
    taking(&mut screen, json!({"image": true}));
    let asked = screen.keys("/attach 'my shot.png'<enter>");
    let of = Some(PathBuf::from("/home/ana/web"));
    let path = "'my shot.png'".to_owned();
    let order = Effect::ReadFile {
        path,
        of,
        at: Some(at()),
    };
    assert!(asked.contains(&order), "{asked:?}");
    assert!(posted(&asked).is_empty() && screen.state.composer.is_empty());
    let first = screen.event(read("one.png", png));
    assert_eq!(first, kept(&["one.png"]));
    screen.event(read("two.png", png));
    assert!(screen.text().contains("with one.png 12 B, two.png 12 B"));
    // What it does not take does not go, and a file that is not there says so.
    screen.event(read("notes.md", b"# Notes"));
    let said = "this agent takes no files with a message: notes.md is not attached";
    assert!(screen.text().contains(said), "{}", screen.text());
    screen.event(of_run(Event::FileRead(Box::new(
        Err("x is no file".into()),
    ))));
    assert!(screen.text().contains("x is no file"));
    assert_eq!(screen.keys("<backspace>"), kept(&["one.png"]));
    assert!(!screen.text().contains("two.png"));
    let effects = screen.keys("look<enter>");
    assert!(effects.contains(&kept(&[])[0]), "{effects:?}");
    let sent = posted(&effects);
    let [What::UserMessage(prompt)] = &sent[..] else {
        panic!("{sent:?}");
    };
    let blocks = prompt.blocks.as_ref().expect("more than words");
    assert_eq!(blocks.len(), 2);
    assert_eq!(
        (&blocks[0]["text"], &blocks[1]["mimeType"]),
        (&json!("look"), &json!("image/png"))
    );
    // It went once.
    assert!(!screen.text().contains("with one.png"));
    screen.keys("more<enter>");
    let outbox = &screen.attached().outbox;
    let next = outbox.iter().next_back().map(|one| &one.command.what);
    assert!(matches!(next, Some(What::UserMessage(prompt)) if prompt.blocks.is_none()));
    // Who has not said that it takes anything is sent nothing.
    let mut screen = mirrored(80, 24);
    screen.event(read("one.png", png));
    assert!(screen.text().contains("takes no pictures"));
}

#[test]
fn files_go_with_the_first_message_of_a_run() {
    let one = || Attachment::new("/home/ana/one.png", b"\x89PNG\r\n\x1a\nrest");
    let kept = |paths: &[&str]| Effect::SaveAttached {
        of: None,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    let mut screen = Screen::new_run(80, 24);
    let order = Effect::ReadFile {
        path: "one.png".to_owned(),
        of: None,
        at: None,
    };
    assert!(screen.keys("/attach one.png<enter>").contains(&order));
    let effects = screen.event(Event::FileRead(Box::new(Ok(one()))));
    assert_eq!(effects, [kept(&["/home/ana/one.png"])]);
    screen.shows("write__attached_first");
    // It waits behind the list of runs, also without a word beside it.
    screen.keys("<ctrl+x>l");
    assert!(screen.state.writing.attachments.is_empty());
    screen.keys("n");
    assert!(
        screen.text().contains("with one.png 12 B"),
        "{}",
        screen.text()
    );
    let launched = screen.keys("look<enter>");
    assert!(
        matches!(&launched[..], [.., Effect::Launch(_)]),
        "{launched:?}"
    );
    // A start that fails keeps it, too.
    screen.event(Event::Launch(Progress::Failed("no room".into())));
    assert!(
        screen.text().contains("with one.png 12 B"),
        "{}",
        screen.text()
    );
    screen.keys("<enter>");
    let mut made = Attached::new(at(), "local", false);
    made.link = Link::Live;
    let effects = screen.event(Event::Launch(Progress::Done(Box::new(made))));
    assert!(effects.contains(&kept(&[])), "{effects:?}");
    let sent = posted(&effects);
    let [What::UserMessage(prompt)] = &sent[..] else {
        panic!("{sent:?}");
    };
    let blocks = prompt.blocks.as_ref().expect("more than words");
    assert_eq!(prompt.text, "look");
    assert_eq!((blocks.len(), &blocks[1]["type"]), (2, &json!("image")));
    assert!(screen.state.writing.attachments.is_empty());
}

#[test]
fn what_was_attached_to_a_run_that_was_not_started_comes_back() {
    let found = || {
        let one = Attachment::new("/home/ana/one.md", b"# One");
        Event::AttachedFound(vec![Ok(one)])
    };
    let mut screen = Screen::new_run(80, 24);
    screen.event(found());
    assert!(screen.text().contains("with one.md 5 B"));
    // While no tab is for a new run it waits for one.
    let mut screen = Screen::picker(80, 24);
    assert_eq!(screen.event(found()), []);
    screen.keys("n");
    assert!(
        screen.text().contains("with one.md 5 B"),
        "{}",
        screen.text()
    );
    // It is nobody else's.
    let mut screen = Screen::run(80, 24);
    screen.event(found());
    assert!(!screen.text().contains("one.md"), "{}", screen.text());
}
