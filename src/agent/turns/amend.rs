//! Changes to what waits: other words, another place, out of the queue, or at once.
//!
//! Pure, like the rest of the turns. A change was accepted while the message was not taken; that our request line may be
//! on its way at that moment is the race that each arm answers.

use crate::agent::turns::{Effect, Phase, Queued, Turn, Turns, Waiting};
use crate::plant::planted;
use crate::protocol::amend::{Amend, Amendment};
use crate::protocol::command::Prompt;
use crate::protocol::entry::Ends;
use crate::protocol::ids::{CommandId, Seq};

impl Turns {
    /// `id`: the command that the change is itself.
    pub(super) fn amend(
        &mut self,
        effects: &mut Vec<Effect>,
        seq: Seq,
        id: CommandId,
        amendment: Amendment,
    ) {
        let names = amendment.names();
        let ids = self.queue.iter().map(|queued| {
            let by_command = names.contains(&&queued.waiting.command);
            Some(if by_command {
                &queued.waiting.command
            } else {
                &queued.message
            })
        });
        let Some((from, to)) = amendment.place(ids) else {
            return self.too_late(effects, seq, id, amendment);
        };
        let Some(mut queued) = self.queue.remove(from) else {
            return;
        };
        match amendment.how {
            Amend::Remove => return,
            Amend::Edit(prompt) => {
                queued.waiting.prompt = prompt;
                if queued.waiting.command == amendment.command {
                    queued.waiting.edit = Some(id);
                } else {
                    // These are not the first words that came too late: the newest ones run.
                    queued.waiting.command = id;
                }
            }
            Amend::Move { .. } | Amend::Steer => (),
        }
        self.queue.insert(to, queued);
    }

    /// To the front, and the turn that was open when it was said ends for it.
    pub(super) fn steer(
        &mut self,
        effects: &mut Vec<Effect>,
        ends: Option<Ends>,
        amendment: Amendment,
    ) {
        if !self
            .queue
            .iter()
            .any(|queued| queued.is(&amendment.command))
        {
            // RACE: it was taken by itself meanwhile, which is what was wished.
            return;
        }
        let id = amendment.command.clone();
        self.amend(effects, Seq::ZERO, id, amendment);
        if let Some(Ends::Turn(number)) = ends {
            self.stop_turn(effects, |turn| turn.number == number);
        }
    }

    /// RACE: the endpoint accepted the change while our request line was on its way.
    fn too_late(
        &mut self,
        effects: &mut Vec<Effect>,
        seq: Seq,
        id: CommandId,
        amendment: Amendment,
    ) {
        match amendment.how {
            // It was not taken then, so it is not to run now.
            Amend::Remove => self.stop_turn(effects, |turn| turn.is(&amendment.command)),
            Amend::Edit(prompt) => self.run_anew(effects, seq, id, amendment.command, prompt),
            Amend::Move { .. } | Amend::Steer => (),
        }
    }

    /// The turn with the old words ends, and the new ones are next: as the command that brought them, since a command is
    /// taken once (design decision 5).
    fn run_anew(
        &mut self,
        effects: &mut Vec<Effect>,
        seq: Seq,
        id: CommandId,
        message: CommandId,
        prompt: Prompt,
    ) {
        if self.ended.contains(&message) {
            return;
        }
        self.stop_turn(effects, |turn| turn.is(&message));
        let id = if planted!(LateWordsTakeTheOldName) {
            message.clone()
        } else {
            id
        };
        let waiting = Waiting::said(seq, id, prompt);
        self.queue.push_front(Queued { message, waiting });
    }

    pub(super) fn stop_turn(&mut self, effects: &mut Vec<Effect>, which: impl Fn(&Turn) -> bool) {
        let is_it = |turn: &Turn| which(turn) && !turn.cancelled;
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
    use crate::protocol::command::{Command, What};

    fn amendment(command: &str, how: Amend) -> Amendment {
        Amendment {
            command: id(command),
            how,
        }
    }

    fn amend(seq: u64, command: &str, how: Amend) -> Event {
        other(seq, What::Amend(amendment(command, how)))
    }

    fn steer(command: &str, ends: Option<u64>) -> Event {
        Event::Steer {
            ends: ends.map(Ends::Turn),
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
            story(&mut turns, vec![steer("c", Some(1))]),
            ["interrupt 1"]
        );
        // The same wish again, and one for what is running, change nothing.
        let again = vec![steer("c", Some(1)), steer("a", Some(1))];
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
            (None, vec![]),
            (Some(9), vec![]),
            (Some(1), vec!["interrupt 1"]),
        ];
        for (ends, expected) in table {
            let mut turns = ready();
            let begin = vec![said(1, "a"), said(2, "b"), said(3, "c"), Event::Durable];
            story(&mut turns, begin);
            let heard = story(&mut turns, vec![steer("c", ends)]);
            assert_eq!(heard, expected, "{ends:?}");
            story(&mut turns, vec![end_turn(), Event::Scanned]);
            assert_eq!(rest(&mut turns), ["c", "b"], "{ends:?}");
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
        // Even long after: they were accepted when nothing had taken the message.
        let heard = story(&mut turns, vec![amend(9, "a", words("B"))]);
        assert_eq!(heard, ["take 3", "wait"]);
    }

    /// What the request lines name: the command, and the change that gave it its words.
    fn taken(effects: &[Effect]) -> Vec<(String, Option<String>)> {
        let one = |effect: &Effect| match effect {
            Effect::Journal(message) if message["method"] == "session/prompt" => {
                let ours = &message["params"]["_meta"]["ashore"];
                let text = |key: &str| ours[key].as_str().map(str::to_owned);
                Some((text("command")?, text("edit")))
            }
            _ => None,
        };
        effects.iter().filter_map(one).collect()
    }

    fn edit(seq: u64, of: &str, by: &str) -> Event {
        Event::Heard {
            seq: Seq(seq),
            command: Command {
                id: Some(id(by)),
                what: What::Amend(amendment(of, words(by))),
            },
        }
    }

    #[test]
    fn words_that_came_too_late_run_as_the_command_that_brought_them() {
        let run = |events: Vec<Event>| -> Vec<Effect> {
            let mut turns = ready();
            events
                .into_iter()
                .flat_map(|event| turns.apply(event))
                .collect()
        };
        let named =
            |command: &str, edit: Option<&str>| (command.to_owned(), edit.map(str::to_owned));
        // In time: the message is taken, and names its words.
        let waits = vec![
            said(1, "a"),
            said(2, "b"),
            edit(3, "b", "e"),
            Event::Durable,
        ];
        let rest = || [end_turn(), Event::Scanned, Event::Durable, Event::Durable];
        let effects = run(waits.into_iter().chain(rest()).collect());
        assert_eq!(taken(&effects), [named("a", None), named("b", Some("e"))]);
        // Too late, twice: every command is taken once, and the newest words are the last.
        let late = vec![said(1, "a"), edit(2, "a", "e"), edit(3, "a", "f")];
        let rest = [
            Event::Durable,
            Event::Scanned,
            Event::Durable,
            Event::Durable,
        ];
        let effects = run(late.into_iter().chain(rest).collect());
        assert_eq!(taken(&effects), [named("a", None), named("f", None)]);
        // A cancel of the message is one of its words too.
        let late = vec![said(1, "a"), edit(2, "a", "e")];
        let cancel = Event::Cancel {
            ends: Some(Ends::Waiting(id("a"))),
        };
        let rest = [cancel, edit(4, "a", "f"), Event::Durable, Event::Scanned];
        let rest = rest.into_iter().chain([Event::Durable, Event::Durable]);
        let effects = run(late.into_iter().chain(rest).collect());
        assert_eq!(taken(&effects), [named("a", None), named("f", None)]);
        let prompts = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Prompt { .. }));
        assert_eq!(prompts.count(), 0);
    }

    #[test]
    fn a_cancel_of_the_turn_with_the_old_words_spares_the_new_ones() {
        let mut turns = ready();
        let cancel = Event::Cancel {
            ends: Some(Ends::Turn(1)),
        };
        let how = Amend::Edit(Prompt::default());
        let events = vec![said(1, "a"), Event::Durable, amend(2, "a", how), cancel];
        assert_eq!(
            story(&mut turns, events),
            ["take 1", "wait", "prompt a", "interrupt 1"]
        );
        story(&mut turns, vec![end_turn(), Event::Scanned]);
        assert_eq!(
            story(&mut turns, vec![Event::Durable, Event::Durable]),
            ["take 2", "wait", "prompt "]
        );
    }

    #[test]
    fn new_words_for_a_message_that_was_cancelled_before_this_start_do_not_run() {
        let mut turns = ready();
        let waiting = Waiting {
            cancelled: true,
            ..Waiting::said(Seq(1), id("a"), Prompt::default())
        };
        let late = amend(3, "a", Amend::Edit(Prompt::default()));
        let rest = vec![Event::Waits(waiting), late, Event::Durable, Event::Scanned];
        story(&mut turns, rest);
        assert_eq!(
            story(&mut turns, vec![Event::Durable]),
            Vec::<String>::new()
        );
    }
}
