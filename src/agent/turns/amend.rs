//! Changes to what waits: other words, another place, out of the queue, or at once.
//!
//! Pure, like the rest of the turns. A change was accepted while the message was not taken; that our request line may be
//! on its way at that moment is the race that each arm answers.

use crate::agent::turns::{Effect, Phase, Queued, Turn, Turns};
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::Prompt;
use crate::protocol::ids::{CommandId, Seq};
use crate::protocol::line;

impl Turns {
    pub(super) fn amend(&mut self, effects: &mut Vec<Effect>, amendment: Amendment) {
        let ids = self.queue.iter().map(|queued| Some(&queued.command));
        let Some((from, to)) = amendment.place(ids) else {
            return self.too_late(effects, amendment);
        };
        let Some(mut queued) = self.queue.remove(from) else {
            return;
        };
        match amendment.how {
            Amend::Remove => return,
            Amend::Edit(prompt) => queued.prompt = prompt,
            Amend::Move { .. } | Amend::Steer => (),
        }
        self.queue.insert(to, queued);
    }

    /// To the front, and the turn that was open when it was said ends for it.
    pub(super) fn steer(
        &mut self,
        effects: &mut Vec<Effect>,
        seq: Seq,
        open: Option<Option<CommandId>>,
        amendment: &Amendment,
    ) {
        let waits = |queued: &Queued| queued.command == amendment.command;
        if !self.queue.iter().any(waits) {
            // RACE: it was taken by itself meanwhile, which is what was wished.
            return;
        }
        self.amend(effects, amendment.clone());
        // One that is being stopped already makes room by itself; a cancel now would be for what waits.
        if matches!(&self.phase, Phase::Taking(turn) | Phase::Running(turn) if !turn.cancelled) {
            self.cancel(effects, seq, open);
        }
    }

    /// RACE: the endpoint accepted the change while our request line was on its way.
    fn too_late(&mut self, effects: &mut Vec<Effect>, amendment: Amendment) {
        match amendment.how {
            // It was not taken then, so it is not to run now.
            Amend::Remove => self.stop_turn_of(effects, &amendment.command),
            Amend::Edit(prompt) => self.run_anew(effects, amendment.command, prompt),
            Amend::Move { .. } | Amend::Steer => (),
        }
    }

    /// The turn with the old words ends, and the new ones are next.
    fn run_anew(&mut self, effects: &mut Vec<Effect>, command: CommandId, prompt: Prompt) {
        let turn = match &self.phase {
            Phase::Taking(turn) | Phase::Running(turn) if turn.cancelled => None,
            Phase::Taking(turn)
            | Phase::Running(turn)
            | Phase::Closing { turn, .. }
            | Phase::Answering(turn) => Some(turn),
            Phase::Idle => None,
        };
        let Some(turn) = turn.filter(|turn| turn.command.as_ref() == Some(&command)) else {
            let note =
                "a change to a message came too late: the agent has had the message as it was";
            effects.push(Effect::Journal(line::note(note)));
            return;
        };
        let seq = turn.seq;
        self.stop_turn_of(effects, &command);
        self.queue.push_front(Queued {
            command,
            seq,
            prompt,
            cancelled: false,
            behind: Some(seq),
        });
    }

    fn stop_turn_of(&mut self, effects: &mut Vec<Effect>, command: &CommandId) {
        let is_it = |turn: &Turn| turn.command.as_ref() == Some(command) && !turn.cancelled;
        match &mut self.phase {
            Phase::Taking(turn) if is_it(turn) => turn.cancelled = true,
            Phase::Running(turn) if is_it(turn) => {
                turn.cancelled = true;
                effects.push(Effect::Interrupt { turn: turn.number });
            }
            Phase::Idle
            | Phase::Taking(_)
            | Phase::Running(_)
            | Phase::Closing { .. }
            | Phase::Answering(_) => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::turns::Event;
    use crate::agent::turns::tests::{end_turn, id, other, ready, said, story};
    use crate::protocol::command::What;

    fn amendment(command: &str, how: Amend) -> Amendment {
        Amendment {
            command: id(command),
            how,
        }
    }

    fn amend(seq: u64, command: &str, how: Amend) -> Event {
        other(seq, What::Amend(amendment(command, how)))
    }

    fn steer(seq: u64, command: &str, open: Option<Option<CommandId>>) -> Event {
        Event::Steer {
            seq: Seq(seq),
            open,
            amendment: amendment(command, Amend::Steer),
        }
    }

    fn words(text: &str) -> Amend {
        Amend::Edit(Prompt {
            text: text.to_owned(),
            blocks: None,
        })
    }

    /// The prompts the child gets from here on, when each turn ends well.
    fn rest(turns: &mut Turns) -> Vec<String> {
        let mut prompts = Vec::new();
        for _ in 0..10 {
            let events = vec![Event::Durable, end_turn(), Event::Scanned];
            let heard = story(turns, events);
            prompts.extend(
                heard
                    .iter()
                    .filter_map(|word| word.strip_prefix("prompt ").map(str::to_owned)),
            );
        }
        prompts
    }

    #[test]
    fn a_removed_prompt_is_not_run_even_when_its_request_line_was_on_its_way() {
        let mut turns = ready();
        story(&mut turns, vec![said(1, "a"), said(2, "b"), said(3, "c")]);
        let heard = story(
            &mut turns,
            vec![
                amend(4, "b", Amend::Remove),
                amend(5, "a", Amend::Remove),
                Event::Durable,
                Event::Scanned,
                Event::Durable,
            ],
        );
        let expected = [
            "scan 1",
            "cancelled 1",
            "turn_complete",
            "wait",
            "take 2",
            "wait",
        ];
        assert_eq!(heard, expected);
        assert_eq!(story(&mut turns, vec![Event::Durable]), ["prompt c"]);
    }

    #[test]
    fn what_waits_runs_in_the_order_and_with_the_words_it_was_given() {
        let mut turns = ready();
        let before = |other: &str| Amend::Move {
            before: Some(id(other)),
        };
        let heard = story(
            &mut turns,
            vec![
                said(1, "a"),
                said(2, "b"),
                said(3, "c"),
                said(4, "d"),
                amend(5, "d", before("b")),
                amend(6, "b", Amend::Move { before: None }),
                amend(7, "c", words("other words")),
                amend(8, "gone", before("b")),
                amend(9, "gone", Amend::Remove),
            ],
        );
        assert_eq!(heard, ["take 1", "wait"]);
        assert_eq!(rest(&mut turns), ["a", "d", "other words", "b"]);
    }

    #[test]
    fn a_steered_prompt_ends_the_turn_it_meant_and_runs_next() {
        let mut turns = ready();
        let begin = vec![said(1, "a"), said(2, "b"), said(3, "c"), Event::Durable];
        story(&mut turns, begin);
        assert_eq!(
            story(&mut turns, vec![steer(4, "c", None)]),
            ["interrupt 1"]
        );
        // The same wish again, and one for what is running, change nothing.
        let again = vec![steer(5, "c", None), steer(6, "a", None)];
        assert_eq!(story(&mut turns, again), Vec::<String>::new());
        let ended = story(&mut turns, vec![end_turn(), Event::Scanned]);
        assert_eq!(
            ended,
            ["drop", "scan 1", "end_turn 1", "turn_complete", "wait"]
        );
        assert_eq!(rest(&mut turns), ["c", "b"]);
    }

    #[test]
    fn a_steer_spares_a_turn_that_it_did_not_mean() {
        let table = [
            // At its line nothing was open, or another turn was.
            (Some(None), vec!["interrupt 1"]),
            (Some(Some(id("before"))), vec![]),
            (Some(Some(id("a"))), vec!["interrupt 1"]),
        ];
        for (open, expected) in table {
            let mut turns = ready();
            let begin = vec![said(1, "a"), said(2, "b"), said(3, "c"), Event::Durable];
            story(&mut turns, begin);
            let heard = story(&mut turns, vec![steer(4, "c", open.clone())]);
            assert_eq!(heard, expected, "{open:?}");
            story(&mut turns, vec![end_turn(), Event::Scanned]);
            assert_eq!(rest(&mut turns), ["c", "b"], "{open:?}");
        }
    }

    #[test]
    fn new_words_for_a_prompt_on_its_way_end_its_turn_and_run_next() {
        // Before the child has it.
        let mut turns = ready();
        story(&mut turns, vec![said(1, "a"), said(2, "b")]);
        let heard = story(&mut turns, vec![amend(3, "a", words("A")), Event::Durable]);
        assert_eq!(heard, ["scan 1"]);
        story(&mut turns, vec![Event::Scanned]);
        assert_eq!(rest(&mut turns), ["A", "b"]);
        // After.
        let mut turns = ready();
        story(&mut turns, vec![said(1, "a"), said(2, "b"), Event::Durable]);
        let heard = story(&mut turns, vec![amend(3, "a", words("A"))]);
        assert_eq!(heard, ["interrupt 1"]);
        story(&mut turns, vec![end_turn(), Event::Scanned]);
        assert_eq!(rest(&mut turns), ["A", "b"]);
        // When it is over for the child, its outcome stands and the new words run as well.
        let mut turns = ready();
        story(&mut turns, vec![said(1, "a"), Event::Durable, end_turn()]);
        let heard = story(&mut turns, vec![amend(3, "a", words("A"))]);
        assert_eq!(heard, Vec::<String>::new());
        story(&mut turns, vec![Event::Scanned]);
        assert_eq!(rest(&mut turns), ["A"]);
        // Long after, all that is left is to say so.
        let heard = story(&mut turns, vec![amend(9, "a", words("B"))]);
        assert_eq!(heard, ["note"]);
    }
}
