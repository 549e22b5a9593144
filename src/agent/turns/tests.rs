//! Stories of a run, told as the effects that each event has.

use super::*;

pub(super) fn id(text: &str) -> CommandId {
    text.parse().unwrap()
}

pub(super) fn said(seq: u64, command: &str) -> Event {
    Event::Heard {
        seq: Seq(seq),
        command: Command {
            id: Some(id(command)),
            what: What::UserMessage(Prompt {
                text: command.to_owned(),
                blocks: None,
            }),
        },
    }
}

pub(super) fn other(seq: u64, what: What) -> Event {
    Event::Heard {
        seq: Seq(seq),
        command: Command {
            id: Some(id("x")),
            what,
        },
    }
}

/// The endpoint says what it ends: a message that waits there.
fn cancel(message: &str) -> Event {
    Event::Cancel {
        ends: Some(Ends::Waiting(id(message))),
    }
}

/// Or a turn that is open there.
fn cancel_turn(number: u64) -> Event {
    Event::Cancel {
        ends: Some(Ends::Turn(number)),
    }
}

pub(super) fn ready() -> Turns {
    let mut turns = Turns::new("r".parse().unwrap(), 0);
    turns.apply(Event::Ready);
    turns
}

/// A short word for each effect, so that a story reads as one line.
fn words(effects: &[Effect]) -> Vec<String> {
    let one = |effect: &Effect| match effect {
        Effect::Journal(message) => match (message["method"].as_str(), &message["id"]) {
            (Some("session/prompt"), id) => format!("take {id}"),
            (Some(method), _) => method.rsplit('/').next().unwrap().to_owned(),
            (None, id) if message.get("error").is_some() => format!("error {id}"),
            (None, id) => format!("{} {id}", message["result"]["stopReason"].as_str().unwrap()),
        },
        Effect::Wait => "wait".into(),
        Effect::StartChild => "start".into(),
        Effect::Prompt { blocks } => format!("prompt {}", blocks[0]["text"].as_str().unwrap()),
        Effect::Interrupt { turn } => format!("interrupt {turn}"),
        Effect::DropPermissions => "drop".into(),
        Effect::Scan { turn } => format!("scan {turn}"),
        Effect::Take { seq, changes, .. } => format!("edits {seq} {}", changes.len()),
        Effect::EndChild => "end".into(),
        Effect::Perform(_) => "perform".into(),
        Effect::Quit => "quit".into(),
    };
    effects.iter().map(one).collect()
}

pub(super) fn story(turns: &mut Turns, events: Vec<Event>) -> Vec<String> {
    let all = events.into_iter().flat_map(|event| turns.apply(event));
    words(&all.collect::<Vec<_>>())
}

pub(super) fn end_turn() -> Event {
    Event::Answered(Ok(json!({"stopReason": "end_turn"})))
}

#[test]
fn a_second_prompt_waits_until_the_first_ones_response_is_durable() {
    let mut turns = ready();
    let heard = story(
        &mut turns,
        vec![said(1, "a"), said(2, "b"), Event::Durable, end_turn()],
    );
    assert_eq!(heard, ["take 1", "wait", "prompt a", "drop", "scan 1"]);
    let closed = story(&mut turns, vec![Event::Scanned]);
    assert_eq!(closed, ["end_turn 1", "turn_complete", "wait"]);
    let next = story(&mut turns, vec![Event::Durable, Event::Durable]);
    assert_eq!(next, ["take 2", "wait", "prompt b"]);
}

#[test]
fn a_prompt_before_the_session_stands_starts_the_child_once() {
    let mut turns = Turns::new("r".parse().unwrap(), 6);
    let heard = story(&mut turns, vec![said(1, "a"), said(2, "b"), Event::Ready]);
    assert_eq!(heard, ["start", "take 7", "wait"]);
}

#[test]
fn a_cancel_interrupts_the_running_turn_once_and_passes_the_same_barrier() {
    let mut turns = ready();
    story(&mut turns, vec![said(1, "a"), Event::Durable]);
    let heard = story(&mut turns, vec![cancel_turn(1), cancel_turn(1)]);
    assert_eq!(heard, ["interrupt 1"]);
    let broken = Event::Answered(Err(failure("aborted")));
    let closed = story(&mut turns, vec![broken, Event::Scanned]);
    assert_eq!(
        closed,
        ["drop", "scan 1", "cancelled 1", "turn_complete", "wait"]
    );
}

#[test]
fn a_cancel_without_an_open_turn_answers_the_oldest_untaken_prompt_without_the_child() {
    let mut turns = Turns::new("r".parse().unwrap(), 0);
    story(&mut turns, vec![said(1, "a"), said(2, "b")]);
    let heard = story(
        &mut turns,
        vec![cancel("a"), Event::Durable, Event::Scanned],
    );
    assert_eq!(
        heard,
        [
            "take 1",
            "wait",
            "scan 1",
            "cancelled 1",
            "turn_complete",
            "wait"
        ]
    );
    let next = story(&mut turns, vec![Event::Durable, Event::Ready]);
    assert_eq!(next, ["take 2", "wait"], "b waits for the child");
}

#[test]
fn each_cancel_before_anything_is_taken_ends_the_prompt_that_it_names() {
    let mut turns = Turns::new("r".parse().unwrap(), 0);
    let both = vec![said(1, "a"), cancel("a"), said(3, "b"), cancel("b")];
    assert_eq!(story(&mut turns, both), ["start", "take 1", "wait"]);
    let rest = vec![
        Event::Durable,
        Event::Scanned,
        Event::Durable,
        Event::Durable,
        Event::Scanned,
    ];
    let rest = story(&mut turns, rest);
    assert_eq!(
        rest[..4],
        ["scan 1", "cancelled 1", "turn_complete", "wait"]
    );
    assert_eq!(rest[4..8], ["take 2", "wait", "scan 2", "cancelled 2"]);
}

#[test]
fn a_cancel_of_what_is_over_ends_nothing_else() {
    let mut turns = ready();
    let begin = vec![said(1, "a"), said(2, "b"), Event::Durable, end_turn()];
    story(&mut turns, begin);
    // Heard while the turn closes, while its answer is on its way, while the next one is taken, and while that runs.
    for event in [Event::Scanned, Event::Durable, Event::Durable] {
        let late = vec![cancel("a"), cancel_turn(1)];
        assert_eq!(story(&mut turns, late), Vec::<String>::new());
        story(&mut turns, vec![event]);
    }
    let late = vec![cancel("a"), Event::Cancel { ends: None }];
    assert_eq!(story(&mut turns, late), Vec::<String>::new());
    assert_eq!(story(&mut turns, vec![cancel_turn(2)]), ["interrupt 2"]);
}

#[test]
fn a_cancel_while_the_request_is_on_its_way_ends_it_before_the_child_has_it() {
    let mut turns = ready();
    let heard = story(&mut turns, vec![said(1, "a"), cancel("a"), Event::Durable]);
    assert_eq!(heard, ["take 1", "wait", "scan 1"]);
}

#[test]
fn a_dead_child_closes_permissions_then_scans_then_answers_then_says_so() {
    let mut turns = ready();
    story(&mut turns, vec![said(1, "a"), said(2, "b"), Event::Durable]);
    let gone = story(
        &mut turns,
        vec![Event::Gone("exit 3".into()), Event::Scanned],
    );
    assert_eq!(
        gone,
        [
            "drop",
            "scan 1",
            "error 1",
            "turn_complete",
            "error",
            "wait"
        ]
    );
    assert_eq!(story(&mut turns, vec![Event::Durable]), ["start"]);
    let next = story(&mut turns, vec![Event::Ready, Event::Durable]);
    assert_eq!(next, ["take 2", "wait", "prompt b"]);
}

#[test]
fn what_a_former_start_left_open_is_answered_and_not_run_again() {
    let mut turns = Turns::new("r".parse().unwrap(), 4);
    let left = Left {
        number: 4,
        command: Some(id("a")),
    };
    assert_eq!(words(&turns.resume(Some(left))), ["drop", "scan 4"]);
    let heard = story(&mut turns, vec![said(9, "b"), Event::Ready, Event::Scanned]);
    assert_eq!(heard, ["error 4", "turn_complete", "wait"]);
    assert_eq!(story(&mut turns, vec![Event::Durable]), ["take 5", "wait"]);
}

#[test]
fn an_agent_that_ignores_a_cancel_is_ended_and_its_turn_is_cancelled() {
    let mut turns = ready();
    story(
        &mut turns,
        vec![said(1, "a"), Event::Durable, cancel_turn(1)],
    );
    let heard = story(
        &mut turns,
        vec![
            Event::OutOfPatience(7),
            Event::OutOfPatience(1),
            Event::Gone("killed".into()),
            Event::Scanned,
        ],
    );
    let expected = [
        "note",
        "end",
        "drop",
        "scan 1",
        "cancelled 1",
        "turn_complete",
        "wait",
    ];
    assert_eq!(heard, expected);
}

#[test]
fn close_ends_the_child_answers_the_turn_and_quits() {
    let mut turns = ready();
    story(&mut turns, vec![said(1, "a"), said(2, "b"), Event::Durable]);
    let heard = story(
        &mut turns,
        vec![
            other(3, What::Close),
            Event::Gone("killed".into()),
            Event::Scanned,
            Event::Durable,
        ],
    );
    let expected = [
        "end",
        "drop",
        "scan 1",
        "cancelled 1",
        "turn_complete",
        "wait",
        "quit",
    ];
    assert_eq!(heard, expected);
    assert_eq!(story(&mut ready(), vec![other(1, What::Close)]), ["quit"]);
}

#[test]
fn a_change_noticed_after_the_last_look_of_a_turn_was_ordered_belongs_to_none() {
    let mut turns = ready();
    assert_eq!(turns.in_turn(), None);
    for (event, turn) in [
        (said(1, "a"), Some(1)),
        (Event::Durable, Some(1)),
        (end_turn(), None),
        (Event::Scanned, None),
        (Event::Durable, None),
    ] {
        turns.apply(event);
        assert_eq!(turns.in_turn(), turn);
    }
}

fn edited(seq: u64) -> Event {
    other(seq, What::FileChanged(Vec::new()))
}

#[test]
fn a_prompt_behind_a_change_of_files_waits_for_its_answer_and_one_before_it_does_not() {
    let mut turns = ready();
    let heard = story(&mut turns, vec![edited(1), said(2, "b"), edited(3)]);
    assert_eq!(heard, ["edits 1 0", "edits 3 0"]);
    let later = story(&mut turns, vec![Event::EditsAnswered(Seq(3))]);
    assert!(later.is_empty(), "the one before it is still open");
    let taken = story(
        &mut turns,
        vec![Event::EditsAnswered(Seq(1)), Event::Durable],
    );
    assert_eq!(taken, ["take 1", "wait", "prompt b"]);
    // During a turn a change goes in at once, and the next prompt waits for both.
    let heard = story(&mut turns, vec![edited(4), said(5, "c"), end_turn()]);
    assert_eq!(heard, ["edits 4 0", "drop", "scan 1"]);
    let closed = story(&mut turns, vec![Event::Scanned, Event::Durable]);
    assert_eq!(closed, ["end_turn 1", "turn_complete", "wait"]);
    let taken = story(&mut turns, vec![Event::EditsAnswered(Seq(4))]);
    assert_eq!(taken, ["take 2", "wait"]);
}

#[test]
fn a_cancelled_prompt_and_the_start_of_the_agent_wait_for_no_files() {
    let mut turns = Turns::new("r".parse().unwrap(), 0);
    let heard = story(&mut turns, vec![edited(1), said(2, "b")]);
    assert_eq!(heard, ["edits 1 0", "start"]);
    let cancelled = story(&mut turns, vec![Event::Ready, cancel("b")]);
    assert_eq!(cancelled, ["take 1", "wait"]);
}
