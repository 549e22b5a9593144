//! What waits for the agent: brought back, changed, moved, removed, sent in at once.

use ashore::attach::state::{Outgoing, Posting};
use ashore::protocol::amend::{Amend, Amendment};
use ashore::protocol::command::{Command, Prompt, What};
use ashore::protocol::presence::Client;
use serde_json::json;

use crate::screens::script::{Screen, posted};

/// A turn at work, three messages behind it.
fn busy(width: u16, height: u16) -> Screen {
    let mut screen = Screen::run(width, height);
    screen.prompt(1, "the first");
    screen.chunk(2, "On it.");
    screen.queue(3, "then b");
    screen.queue(3, "then c");
    screen.queue(3, "then d");
    screen
}

fn amend(command: &str, how: Amend) -> What {
    What::Amend(Amendment {
        command: command.parse().expect("a test's own"),
        how,
    })
}

fn words(text: &str) -> Amend {
    Amend::Edit(Prompt {
        text: text.to_owned(),
        blocks: None,
    })
}

/// What waits in the outbox; only the first of it is on its way.
fn ordered(screen: &mut Screen) -> Vec<What> {
    let outbox = &mut screen.attached().outbox;
    outbox.drain(..).map(|one| one.command.what).collect()
}

#[test]
fn what_waits_can_be_seen_and_changed_in_every_size() {
    for (width, height) in [(120, 40), (80, 24), (40, 24)] {
        let mut screen = busy(width, height);
        screen.shows("queue/waits");
        screen.keys("<alt+up><alt+up>");
        screen.shows("queue/changing");
    }
}

#[test]
fn a_message_comes_back_into_the_draft_and_the_draft_of_before_after_it() {
    let mut screen = busy(100, 24);
    screen.keys("half a thought<alt+up>");
    assert_eq!(screen.state.composer.text(), "then d");
    screen.keys("<alt+up>");
    assert_eq!(screen.state.composer.text(), "then c");
    screen.keys(" and more<enter>");
    assert_eq!(screen.state.composer.text(), "half a thought");
    assert_eq!(
        ordered(&mut screen),
        [amend("c3", words("then c and more"))]
    );
    // Unchanged, or put back: nothing is sent, and nothing is lost.
    screen.keys("<alt+up><alt+down>");
    assert_eq!(screen.state.composer.text(), "half a thought");
    screen.keys("<alt+up> x<esc>");
    assert_eq!(screen.state.composer.text(), "half a thought");
    screen.keys("<alt+up><ctrl+u><enter>");
    assert!(
        screen.text().contains("no words are left"),
        "{}",
        screen.text()
    );
    screen.keys("<ctrl+c>");
    assert_eq!(screen.state.composer.text(), "half a thought");
    assert_eq!(ordered(&mut screen), []);
    assert!(screen.state.is_working());
}

#[test]
fn a_message_with_more_than_its_words_is_moved_and_removed_but_not_cut_to_them() {
    let mut screen = busy(100, 24);
    screen.attached().session.queued[2].partial = true;
    screen.keys("<alt+up>!<enter>");
    assert!(
        screen.text().contains("left as it was"),
        "{}",
        screen.text()
    );
    assert_eq!(ordered(&mut screen), []);
    screen.keys("<alt+up><ctrl+x><backspace>");
    assert_eq!(ordered(&mut screen), [amend("c4", Amend::Remove)]);
}

#[test]
fn a_message_is_moved_removed_and_sent_in_at_once() {
    let mut screen = busy(100, 24);
    screen.keys("<alt+up><ctrl+x><up>");
    let before = |other: Option<&str>| Amend::Move {
        before: other.map(|id| id.parse().unwrap()),
    };
    // What is on its way is shown as if it were there: the next step goes on from it.
    screen.keys("<ctrl+x><up><ctrl+x><up><ctrl+x><down><ctrl+x><down><ctrl+x><down>");
    assert_eq!(
        ordered(&mut screen),
        [
            amend("c4", before(Some("c3"))),
            amend("c4", before(Some("c2"))),
            amend("c4", before(Some("c3"))),
            amend("c4", before(None)),
        ]
    );
    screen.keys("<ctrl+x><backspace>");
    assert_eq!(ordered(&mut screen), [amend("c4", Amend::Remove)]);
    assert_eq!(screen.state.composer.text(), "");
    // The next one, at once; with new words, those first.
    screen.keys("<ctrl+x><enter>");
    assert_eq!(ordered(&mut screen), [amend("c2", Amend::Steer)]);
    screen.keys("<alt+up>!<ctrl+x><enter>");
    assert_eq!(
        ordered(&mut screen),
        [amend("c4", words("then d!")), amend("c4", Amend::Steer)]
    );
}

#[test]
fn a_draft_is_sent_in_at_once_and_only_an_idle_agent_needs_no_steer() {
    let mut screen = busy(100, 24);
    screen.keys("stop that<ctrl+x><enter>");
    let outbox = &screen.attached().outbox;
    let id = outbox[0].command.id.clone().unwrap();
    assert!(
        matches!(&outbox[0].command.what, What::UserMessage(prompt) if prompt.text == "stop that")
    );
    assert_eq!(outbox[1].command.what, amend(id.as_str(), Amend::Steer));
    let mut idle = Screen::run(100, 24);
    let effects = idle.keys("hello<ctrl+x><enter>");
    assert_eq!(
        posted(&effects),
        [What::UserMessage(Prompt {
            text: "hello".into(),
            blocks: None
        })]
    );
    assert_eq!(idle.attached().outbox.len(), 1);
    let mut nothing = Screen::run(100, 24);
    nothing.keys("<ctrl+x><enter>");
    assert!(nothing.text().contains("no message waits"));
}

#[test]
fn words_for_a_message_that_is_taken_meanwhile_are_a_draft_of_their_own() {
    let mut screen = busy(100, 24);
    screen.keys("mine<alt+up><alt+up><alt+up> changed");
    screen.ends(5, "end_turn");
    let taken = json!({"jsonrpc": "2.0", "id": 9, "method": "session/prompt", "params": {"sessionId": "r", "prompt": [{"type": "text", "text": "then b"}], "_meta": {"ashore": {"command": "c2"}}}});
    screen.says(6, &taken);
    assert_eq!(screen.state.composer.text(), "then b changed\nmine");
    // Refused by the endpoint, they wait to be taken back.
    let command = Command::new(amend("c2", words("too late")));
    screen.attached().outbox.push(Outgoing {
        command,
        state: Posting::Refused("the agent has already taken this message".into()),
    });
    assert!(
        screen.text().contains("not taken: the agent has already"),
        "{}",
        screen.text()
    );
    screen.keys("<ctrl+c><alt+up>");
    assert_eq!(screen.state.composer.text(), "too late");
}

#[test]
fn who_else_is_attached_stands_in_the_status_line_where_there_is_room() {
    let client = |from: &str, read_only: bool| Client {
        from: from.into(),
        read_only,
        client: None,
    };
    let mut screen = Screen::run(120, 24);
    screen.attached().others = vec![client("bo@desk", true)];
    assert!(
        screen.text().contains("with bo@desk (reads)"),
        "{}",
        screen.text()
    );
    screen.attached().others = vec![
        client("bo@desk", false),
        client("cy", false),
        client("x", false),
    ];
    assert!(screen.text().contains("with bo@desk and 2 more"));
    screen.resize(40, 24);
    assert!(!screen.text().contains("bo@desk"));
    screen.keys("<ctrl+x>k");
    let text = screen.text();
    let names: Vec<&str> = text.split_whitespace().collect();
    let names = names.join(" ");
    assert!(names.contains("attached beside you: bo@desk,"), "{text}");
    assert!(names.contains("cy, x"), "{text}");
}
