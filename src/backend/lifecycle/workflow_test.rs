//! Tests of `advance`: tables of inputs and steps, and what holds in any order.

use proptest::prelude::*;

use crate::backend::lifecycle::Signal;
use crate::backend::lifecycle::workflow::{
    Input, Left, Life, Limits, Phase, Seed, Step, TimerId, advance,
};
use crate::protocol::run::Status;

fn life() -> Life {
    Life::new(Limits::default(), Seed::None)
}

fn timer_of(steps: &[Step]) -> Option<TimerId> {
    steps.iter().rev().find_map(|step| match step {
        Step::SetTimer(id, _) => Some(*id),
        _ => None,
    })
}

fn statuses(steps: &[Step]) -> Vec<Status> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::SetStatus(status, _) => Some(status.clone()),
            _ => None,
        })
        .collect()
}

fn names(steps: &[Step]) -> Vec<String> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Tell(told) => Some(format!("{} {}", told.name, told.status.as_str())),
            _ => None,
        })
        .collect()
}

fn signal(life: &mut Life, signal: Signal) -> Vec<Step> {
    advance(life, Input::Signal(signal))
}

/// A run whose agent server is at work.
fn running() -> Life {
    let mut life = life();
    signal(&mut life, Signal::Started);
    advance(&mut life, Input::Provisioned);
    advance(&mut life, Input::AgentStarted);
    signal(&mut life, Signal::Activity);
    assert_eq!(life.phase(), Phase::Running);
    life
}

#[test]
fn a_new_run_goes_through_its_named_steps() {
    let mut life = life();
    let steps = signal(&mut life, Signal::Started);
    assert_eq!(statuses(&steps), [Status::Queued, Status::InProgress]);
    assert_eq!(
        names(&steps),
        ["queued started", "queued done", "sandbox started"]
    );
    assert!(steps.contains(&Step::Provision));
    let steps = advance(&mut life, Input::Provisioned);
    assert_eq!(names(&steps), ["sandbox done"]);
    assert!(steps.contains(&Step::Launch {
        resume: false,
        recover: false
    }));
    assert_eq!(advance(&mut life, Input::AgentStarted), []);
    let steps = signal(&mut life, Signal::Activity);
    assert_eq!(steps, [Step::SetTimer(TimerId(3), Limits::default().idle)]);
}

#[test]
fn a_seeded_run_waits_for_its_files_and_each_request_puts_off_the_end() {
    let mut life = Life::new(Limits::default(), Seed::Awaited);
    signal(&mut life, Signal::Started);
    let steps = advance(&mut life, Input::Provisioned);
    assert_eq!(names(&steps), ["sandbox done", "workspace started"]);
    let first = timer_of(&steps).expect("a timer");
    let second = timer_of(&signal(&mut life, Signal::Activity)).expect("a new timer");
    assert_eq!(advance(&mut life, Input::TimedOut(first)), []);
    let mut late = life.clone();
    let steps = advance(&mut late, Input::TimedOut(second));
    assert_eq!(names(&steps), ["workspace failed"]);
    assert_eq!(statuses(&steps), [Status::Failed]);
    assert!(matches!(&steps[0], Step::Tell(told) if told.hint.is_some()));
    let steps = signal(&mut life, Signal::Seeded);
    assert!(matches!(steps[0], Step::Launch { .. }));
}

#[test]
fn files_that_come_before_the_sandbox_are_not_waited_for_and_no_step_goes_untold() {
    let mut life = Life::new(Limits::default(), Seed::Awaited);
    signal(&mut life, Signal::Started);
    signal(&mut life, Signal::Seeded);
    let steps = advance(&mut life, Input::Provisioned);
    assert_eq!(names(&steps), ["sandbox done", "workspace started"]);
    assert_eq!(life.phase(), Phase::Starting);
}

#[test]
fn every_step_has_a_time_out_with_a_hint() {
    let mut provisioning = life();
    let timer = timer_of(&signal(&mut provisioning, Signal::Started)).expect("a timer");
    let steps = advance(&mut provisioning, Input::TimedOut(timer));
    assert_eq!(names(&steps), ["sandbox failed"]);
    let mut starting = life();
    signal(&mut starting, Signal::Started);
    let timer = timer_of(&advance(&mut starting, Input::Provisioned)).expect("a timer");
    let steps = advance(&mut starting, Input::TimedOut(timer));
    assert_eq!(names(&steps), ["agent failed"]);
    assert!(steps.contains(&Step::StopAgent));
    assert_eq!(
        advance(&mut starting, Input::AgentGone(Left::default())),
        []
    );
    assert!(starting.rests());
}

#[test]
fn an_idle_run_is_closed_and_a_message_opens_it_again() {
    let mut life = running();
    let timer = timer_of(&signal(&mut life, Signal::Message)).expect("a timer");
    assert_eq!(
        advance(&mut life, Input::TimedOut(timer)),
        [Step::StopAgent]
    );
    let steps = advance(&mut life, Input::AgentGone(Left::default()));
    assert_eq!(statuses(&steps), [Status::Completed]);
    assert!(life.rests());
    let steps = signal(&mut life, Signal::Message);
    assert_eq!(statuses(&steps), [Status::InProgress]);
    let steps = advance(&mut life, Input::Provisioned);
    assert!(steps.contains(&Step::Launch {
        resume: true,
        recover: false
    }));
}

#[test]
fn a_running_turn_is_never_idle() {
    let mut life = running();
    assert_eq!(
        signal(&mut life, Signal::TurnRunning(true)),
        [Step::ClearTimer]
    );
    assert_eq!(signal(&mut life, Signal::Activity), []);
    let steps = signal(&mut life, Signal::TurnRunning(false));
    assert!(matches!(steps[..], [Step::SetTimer(_, after)] if after == Limits::default().idle));
}

#[test]
fn a_message_while_an_idle_run_ends_starts_it_again_at_once() {
    let mut life = running();
    let timer = life.timer().expect("the idle limit");
    advance(&mut life, Input::TimedOut(timer));
    assert_eq!(signal(&mut life, Signal::Message), []);
    let steps = advance(
        &mut life,
        Input::AgentGone(Left {
            turn: false,
            untaken: true,
            ..Left::default()
        }),
    );
    assert_eq!(statuses(&steps), [Status::Completed, Status::InProgress]);
    assert_eq!(life.phase(), Phase::Provisioning);
}

#[test]
fn close_lets_the_agent_server_end_by_itself_and_then_makes_it() {
    let mut life = running();
    let timer = timer_of(&signal(&mut life, Signal::Close)).expect("a timer");
    let mut polite = life.clone();
    assert_eq!(
        statuses(&advance(&mut polite, Input::AgentGone(Left::default()))),
        [Status::Completed]
    );
    assert_eq!(
        advance(&mut life, Input::TimedOut(timer)),
        [Step::StopAgent]
    );
    let steps = advance(
        &mut life,
        Input::AgentGone(Left {
            turn: true,
            untaken: false,
            ..Left::default()
        }),
    );
    assert_eq!(
        steps,
        [Step::CloseTurns, Step::SetStatus(Status::Completed, None)]
    );
    assert_eq!(
        signal(&mut life, Signal::Message),
        [],
        "a closed run stays closed"
    );
}

#[test]
fn close_before_the_agent_is_there_ends_the_run_at_once() {
    let mut life = life();
    signal(&mut life, Signal::Started);
    assert_eq!(
        statuses(&signal(&mut life, Signal::Close)),
        [Status::Completed]
    );
    // What was under way comes too late.
    assert_eq!(advance(&mut life, Input::Provisioned), []);
}

#[test]
fn a_death_in_a_turn_is_recovered_once() {
    let mut life = running();
    signal(&mut life, Signal::TurnRunning(true));
    let left = Left {
        turn: true,
        untaken: false,
        ..Left::default()
    };
    let steps = advance(&mut life, Input::AgentGone(left));
    assert!(steps.contains(&Step::Launch {
        resume: true,
        recover: true
    }));
    assert_eq!(life.phase(), Phase::Recovering);
    let mut recovered = life.clone();
    signal(&mut recovered, Signal::Activity);
    assert_eq!(
        recovered.phase(),
        Phase::Recovering,
        "a word is not yet a recovery"
    );
    signal(&mut recovered, Signal::TurnRunning(false));
    assert_eq!(recovered.phase(), Phase::Running);
    let steps = advance(&mut life, Input::AgentGone(left));
    assert_eq!(steps[0], Step::CloseTurns);
    assert_eq!(statuses(&steps), [Status::Failed]);
}

#[test]
fn a_recovery_that_takes_too_long_is_ended_and_the_endpoint_closes_the_turn() {
    let mut life = running();
    let left = Left {
        turn: true,
        untaken: false,
        ..Left::default()
    };
    let timer = timer_of(&advance(&mut life, Input::AgentGone(left))).expect("a timer");
    assert_eq!(
        advance(&mut life, Input::TimedOut(timer)),
        [Step::StopAgent]
    );
    let steps = advance(&mut life, Input::AgentGone(left));
    assert_eq!(steps[0], Step::CloseTurns);
    assert_eq!(
        steps
            .iter()
            .filter(|step| **step == Step::CloseTurns)
            .count(),
        1
    );
    assert_eq!(statuses(&steps), [Status::Failed]);
}

#[test]
fn a_death_between_turns_is_reported_and_a_message_starts_it_again() {
    let mut life = running();
    let steps = advance(&mut life, Input::AgentGone(Left::default()));
    assert!(matches!(&steps[0], Step::Complain { .. }));
    assert_eq!(statuses(&steps), [Status::Failed]);
    assert_eq!(
        statuses(&signal(&mut life, Signal::Message)),
        [Status::InProgress]
    );
}

#[test]
fn a_death_with_messages_waiting_is_started_again_but_not_for_ever() {
    let mut life = running();
    let left = Left {
        turn: false,
        untaken: true,
        ..Left::default()
    };
    let steps = advance(&mut life, Input::AgentGone(left));
    assert!(steps.contains(&Step::Launch {
        resume: true,
        recover: false
    }));
    signal(&mut life, Signal::Activity);
    assert_eq!(
        statuses(&advance(&mut life, Input::AgentGone(left))),
        [Status::Failed]
    );
}

#[test]
fn an_agent_server_that_said_why_it_gave_up_is_not_started_again_by_itself() {
    let mut life = running();
    let left = Left {
        untaken: true,
        gave_up: true,
        ..Left::default()
    };
    let steps = advance(&mut life, Input::AgentGone(left));
    assert_eq!(statuses(&steps), [Status::Failed]);
    assert!(
        !steps
            .iter()
            .any(|step| matches!(step, Step::Launch { .. } | Step::Complain { .. }))
    );
    // A message tries anew.
    let steps = signal(&mut life, Signal::Message);
    assert_eq!(statuses(&steps), [Status::InProgress]);
}

#[test]
fn an_adopted_run_goes_on() {
    let mut life = Life::found(Limits::default(), &Status::InProgress, Seed::None, false);
    assert_eq!(advance(&mut life, Input::Adopted { turn: true }), []);
    assert_eq!(life.phase(), Phase::Running);
    let steps = signal(&mut life, Signal::TurnRunning(false));
    assert!(timer_of(&steps).is_some());
}

#[test]
fn a_run_found_without_its_agent_server_is_treated_by_what_it_left() {
    let found = |status: Status, left: Left| {
        let mut life = Life::found(Limits::default(), &status, Seed::None, false);
        let steps = advance(&mut life, Input::Found(left));
        (life.phase(), statuses(&steps))
    };
    let turn = Left {
        turn: true,
        untaken: false,
        ..Left::default()
    };
    let untaken = Left {
        turn: false,
        untaken: true,
        ..Left::default()
    };
    assert_eq!(found(Status::InProgress, turn).0, Phase::Recovering);
    assert_eq!(found(Status::InProgress, untaken).0, Phase::Provisioning);
    assert_eq!(
        found(Status::Queued, Left::default()).0,
        Phase::Provisioning
    );
    assert_eq!(
        found(Status::InProgress, Left::default()),
        (Phase::Ended, vec![Status::Completed])
    );
    assert_eq!(
        found(Status::Completed, Left::default()),
        (Phase::Ended, vec![])
    );
}

#[test]
fn remove_ends_the_agent_first_and_then_the_folder() {
    let mut life = running();
    let steps = signal(&mut life, Signal::Remove);
    assert_eq!(steps.last(), Some(&Step::StopAgent));
    assert_eq!(
        advance(
            &mut life,
            Input::AgentGone(Left {
                turn: true,
                untaken: true,
                ..Left::default()
            })
        ),
        [Step::Destroy]
    );
    assert_eq!(life.phase(), Phase::Removed);
    assert_eq!(signal(&mut life, Signal::Message), []);
}

#[test]
fn an_agent_that_starts_after_the_end_is_ended() {
    let mut life = life();
    signal(&mut life, Signal::Started);
    advance(&mut life, Input::Provisioned);
    let steps = signal(&mut life, Signal::Close);
    assert_eq!(steps.last(), Some(&Step::StopAgent));
    assert_eq!(advance(&mut life, Input::AgentStarted), [Step::StopAgent]);
    assert_eq!(
        statuses(&advance(&mut life, Input::AgentGone(Left::default()))),
        [Status::Completed]
    );
}

fn any_input() -> impl Strategy<Value = (u8, bool, bool)> {
    (0_u8..14, any::<bool>(), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: no timer without an id that is new, no end without the agent's end,
    /// nothing after the removal, and never two agent servers.
    #[test]
    fn no_order_of_inputs_breaks_a_life(seed in prop_oneof![Just(Seed::None), Just(Seed::Awaited), Just(Seed::Here)], inputs in proptest::collection::vec(any_input(), 0..60)) {
        let mut life = Life::new(Limits::default(), seed);
        let mut seen = std::collections::HashSet::new();
        let mut alive = false;
        // Ordered, and not yet known to have started.
        let mut launching = false;
        let mut removed = false;
        for (kind, turn, untaken) in inputs {
            let left = Left { turn, untaken, ..Left::default() };
            let input = match kind {
                0 => Input::Signal(Signal::Started),
                1 | 2 => Input::Signal(Signal::Message),
                3 => Input::Signal(Signal::Activity),
                4 => Input::Signal(Signal::Seeded),
                5 => Input::Signal(Signal::TurnRunning(turn)),
                6 if turn && untaken => Input::Signal(Signal::Close),
                7 if turn && untaken => Input::Signal(Signal::Remove),
                8 => Input::Provisioned,
                9 if launching => { launching = false; Input::AgentStarted }
                10 if !alive || launching => {
                    alive = false;
                    launching = false;
                    Input::StepFailed { what: "x".into(), hint: None }
                }
                11 | 12 if alive && !launching => { alive = false; Input::AgentGone(left) }
                _ => match life.timer() { Some(id) => Input::TimedOut(id), None => Input::TimedOut(TimerId(0)) },
            };
            let steps = advance(&mut life, input);
            prop_assert!(!removed || steps.is_empty(), "after the removal: {steps:?}");
            for step in &steps {
                match step {
                    Step::SetTimer(id, _) => prop_assert!(seen.insert(*id), "an id twice"),
                    Step::Launch { .. } => { prop_assert!(!alive, "two agent servers"); alive = true; launching = true; }
                    Step::StopAgent => prop_assert!(alive, "nobody to stop"),
                    Step::Destroy => { prop_assert!(!alive && !removed); removed = true; }
                    Step::SetStatus(status, _) if status.is_terminal() => {
                        prop_assert!(*status == Status::Failed || !alive, "over while the agent lives");
                    }
                    Step::SetStatus(..) | Step::Tell(_) | Step::Complain { .. } | Step::Provision
                    | Step::CloseTurns | Step::ClearTimer => (),
                }
            }
            prop_assert_eq!(life.is_alive(), alive);
            prop_assert!(!life.rests() || life.timer().is_none(), "a timer nobody awaits");
        }
    }
}
