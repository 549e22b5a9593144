//! One file edited on both sides, 0 to 300 ms apart, while processes are killed: afterwards both contents exist.
//!
//! A round is decided by what its second editor saw. It saves as editors do, by exchanging a new file for the old one, so
//! that what it replaced is known exactly. Had it not seen the first edit, the two are a conflict, always. Had it seen it,
//! its own stands on both sides, and the first is what `mirror undo` brings back; only where a process was killed may it
//! be a conflict all the same, since nobody was left to tell who had seen what.
//!
//! `ASHORE_ROUNDS=1000 ASHORE_ROUNDS_SEED=7 cargo test --test it quality::rounds:: -- --nocapture` plays more of them, in four
//! homes side by side, and says how they ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::quality::count;
use crate::support::home::{Home, until};
use crate::support::processes::{agents, end_agents};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Here,
    There,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Nobody,
    Client,
    Agent,
    Endpoint,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// The second editor had not seen the first edit: listed, and resolved.
    Conflict,
    /// It had: its edit stood on both sides, and an undo brought the first one back.
    Undone,
    /// It had, and whoever knew was killed: listed, and resolved.
    Unknown,
}

/// What one round does.
#[derive(Debug, Clone)]
struct Round {
    number: usize,
    first: Side,
    gap: Duration,
    victim: Victim,
    /// From the first edit on.
    strike: Duration,
    /// Whose version the user takes when it is a conflict.
    resolve: &'static str,
}

impl Round {
    fn draw(number: usize, chance: &mut StdRng) -> Self {
        Self {
            number,
            first: if chance.random() {
                Side::Here
            } else {
                Side::There
            },
            // The first of every home is made on both sides at once: a conflict, whatever the machine is busy with.
            gap: Duration::from_millis(chance.random_range(0..=300)) * u32::from(number > 0),
            victim: match chance.random_range(0..4) {
                0 => Victim::Client,
                1 => Victim::Agent,
                2 => Victim::Endpoint,
                _ => Victim::Nobody,
            },
            strike: Duration::from_millis(chance.random_range(0..=450)),
            resolve: if chance.random() {
                "--mine"
            } else {
                "--theirs"
            },
        }
    }

    fn path(&self) -> String {
        format!("f{:04}.txt", self.number)
    }

    fn text(&self, word: &str) -> String {
        format!("{word} text of {}\n", self.number)
    }
}

/// One user with one run, its sandbox and a client that mirrors it.
struct World {
    home: Home,
    run: String,
    sandbox: PathBuf,
    client: Option<Child>,
    /// Nobody ever sends here: a wait on it is the gap between two edits, which is what is tried out.
    never: mpsc::Receiver<()>,
    _silent: mpsc::Sender<()>,
}

impl World {
    fn new(rounds: usize) -> Self {
        let home = Home::new();
        for number in 0..rounds {
            home.write(
                &format!("f{number:04}.txt"),
                &format!("original text of {number}\n"),
            );
        }
        let said = home
            .run(&["run", "-p", "/say 1", "--agent", "demo", "--format", "json"])
            .exits(0);
        let run = said.lines()[0]["run"].as_str().expect("an id").to_owned();
        let sandbox = home
            .state()
            .join("endpoint/store/runs")
            .join(&run)
            .join("work");
        let (silent, never) = mpsc::channel();
        let mut world = Self {
            home,
            run,
            sandbox,
            client: None,
            never,
            _silent: silent,
        };
        world.attach();
        world
    }

    fn wait(&self, time: Duration) {
        // Always a time-out: the sender lives as long as we do.
        self.never.recv_timeout(time).ok();
    }

    /// As `until`, for looks that take no time of their own, with a user who stays attached: a run whose agent died is over
    /// for a client without a screen.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        until(what, || {
            let gone = |client: &mut Child| client.try_wait().expect("a child of ours").is_some();
            if self.client.as_mut().is_none_or(gone) {
                self.attach();
            }
            let found = look(self);
            if found.is_none() {
                self.wait(Duration::from_millis(5));
            }
            found
        })
    }

    fn attach(&mut self) {
        let client = self
            .home
            .ashore(&["attach", &self.run, "--format", "ndjson"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        self.client = Some(client);
    }

    fn mirror(&self) -> Value {
        let done = self
            .home
            .ashore(&["mirror", "status", &self.run, "--json"])
            .output()
            .expect("starts");
        serde_json::from_slice(&done.stdout).unwrap_or_default()
    }

    /// The copy of theirs beside it, once it is listed.
    fn conflict(&self, path: &str) -> Option<String> {
        let start = format!("{path}.remote-");
        let mut all = std::fs::read_dir(self.home.work()).ok()?.flatten();
        all.find(|entry| entry.file_name().to_string_lossy().starts_with(&start))?;
        let status = self.mirror();
        let all = status["conflicts"].as_array()?;
        let ours = all.iter().find(|one| one["path"] == path)?;
        ours["theirs"].as_str().map(str::to_owned)
    }

    fn place(&self, side: Side, path: &str) -> PathBuf {
        match side {
            Side::Here => self.home.work().join(path),
            Side::There => self.sandbox.join(path),
        }
    }

    fn read(&self, side: Side, path: &str) -> String {
        std::fs::read_to_string(self.place(side, path)).unwrap_or_default()
    }

    fn strike(&mut self, victim: Victim) {
        match victim {
            Victim::Nobody => {}
            Victim::Client => {
                let mut client = self.client.take().expect("attached");
                client.kill().expect("it runs");
                client.wait().expect("it ends");
            }
            Victim::Agent => end_agents(&self.home.state()),
            Victim::Endpoint => {
                let file = self.home.state().join("endpoint/endpoint.json");
                let state: Value =
                    serde_json::from_slice(&std::fs::read(file).expect("stands")).expect("JSON");
                let pid = state["pid"]
                    .as_i64()
                    .and_then(|pid| i32::try_from(pid).ok());
                let pid = pid.and_then(Pid::from_raw).expect("a pid");
                // The one of an earlier round may still be the one on file.
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }

    /// What was killed is started as its user would.
    fn heal(&mut self, victim: Victim) {
        match victim {
            Victim::Nobody | Victim::Client => {}
            // Whoever is attached, or the next command, starts it again.
            Victim::Endpoint => drop(self.home.run(&["ls"]).exits(0)),
            Victim::Agent => {
                drop(self.home.run(&["send", &self.run, "/say 1"]).exits(0));
                until("an agent server again", || {
                    (!agents(&self.home.state()).is_empty()).then_some(())
                });
            }
        }
    }

    fn play(&mut self, round: &Round) -> Verdict {
        let path = round.path();
        let second = match round.first {
            Side::Here => Side::There,
            Side::There => Side::Here,
        };
        let original = exchange(&self.place(round.first, &path), &round.text("first"));
        assert_eq!(original, round.text("original"), "{round:?}");
        let seen = if round.strike < round.gap {
            self.wait(round.strike);
            self.strike(round.victim);
            self.wait(round.gap.saturating_sub(round.strike));
            exchange(&self.place(second, &path), &round.text("second"))
        } else {
            self.wait(round.gap);
            let seen = exchange(&self.place(second, &path), &round.text("second"));
            self.wait(round.strike.saturating_sub(round.gap));
            self.strike(round.victim);
            seen
        };
        self.heal(round.victim);
        let (first, second) = (round.text("first"), round.text("second"));
        if seen == round.text("original") {
            let copy = self.until(&format!("a conflict of {round:?}"), |world| {
                world.conflict(&path)
            });
            self.both_stand(round, &copy);
            return Verdict::Conflict;
        }
        assert_eq!(seen, first, "{round:?}");
        let copy = self.until(&format!("{round:?} is over"), |world| {
            let stands = world.stands(&path, &second).then_some(None);
            stands.or_else(|| world.conflict(&path).map(Some))
        });
        match copy {
            None => {
                self.order(&["mirror", "undo", &self.run, &path, "--yes"]);
                self.equal(&path, &first, round);
                Verdict::Undone
            }
            Some(copy) => {
                let blind = matches!(round.victim, Victim::Client | Victim::Agent);
                assert!(blind, "who saw the first edit is no conflict: {round:?}");
                self.both_stand(round, &copy);
                Verdict::Unknown
            }
        }
    }

    fn both_stand(&mut self, round: &Round, copy: &str) {
        let path = round.path();
        let [mine, theirs] = [self.read(Side::Here, &path), self.read(Side::Here, copy)];
        let mut both = [mine.as_str(), theirs.as_str()];
        both.sort_unstable();
        let written = [round.text("first"), round.text("second")];
        assert_eq!(both, written.each_ref().map(String::as_str), "{round:?}");
        self.order(&["mirror", "resolve", &self.run, &path, round.resolve]);
        let kept = if round.resolve == "--mine" {
            &mine
        } else {
            &theirs
        };
        self.equal(&path, kept, round);
    }

    /// As a user would: again, where it says so.
    fn order(&self, arguments: &[&str]) {
        until(&arguments.join(" "), || {
            let done = self.home.ashore(arguments).output().expect("starts");
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            let again = said.contains("try again");
            assert!(done.status.success() || again, "{arguments:?}: {said}");
            done.status.success().then_some(())
        });
    }

    fn stands(&self, path: &str, text: &str) -> bool {
        self.read(Side::Here, path) == text && self.read(Side::There, path) == text
    }

    fn equal(&mut self, path: &str, text: &str, round: &Round) {
        self.until(
            &format!("{text:?} on both sides after {round:?}"),
            |world| world.stands(path, text).then_some(()),
        );
    }
}

impl World {
    /// For who looks into a failed round: what is known here, and the end of the journal.
    fn tell(&self) {
        eprintln!("{:#}", self.mirror());
        let told = std::fs::read_to_string(self.home.state().join("logs/endpoint.log"));
        eprintln!("{}", told.unwrap_or_default());
        let log = self.home.state().join("endpoint/store/journals");
        let log = std::fs::read_to_string(log.join(format!("{}.ndjson", self.run)));
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(30)..] {
            eprintln!("{line}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        if let Some(mut client) = self.client.take() {
            client.kill().ok();
            client.wait().ok();
        }
    }
}

/// Saves as an editor does, and tells what stood there at that very moment.
fn exchange(target: &Path, text: &str) -> String {
    let new = target.with_extension("saved~");
    #[expect(
        clippy::disallowed_methods,
        reason = "the user's own editor, in a test"
    )]
    std::fs::write(&new, text).expect("can be written");
    renameat_with(CWD, &new, CWD, target, RenameFlags::EXCHANGE).expect("both stand");
    let old = std::fs::read_to_string(&new).expect("is text");
    std::fs::remove_file(&new).expect("is ours");
    old
}

#[test]
fn of_two_edits_of_one_file_both_contents_exist_whoever_is_killed() {
    let rounds = count("ASHORE_ROUNDS", 8);
    let seed = count("ASHORE_ROUNDS_SEED", 1);
    let homes = if rounds < 50 { 1 } else { 4 };
    let played: Vec<(Victim, Verdict)> = std::thread::scope(|scope| {
        let play = |home: usize| {
            let mut chance = StdRng::seed_from_u64((seed * 1000 + home) as u64);
            let mut world = World::new(rounds / homes);
            let mut ends = Vec::new();
            for number in 0..rounds / homes {
                let round = Round::draw(number, &mut chance);
                ends.push((round.victim, world.play(&round)));
            }
            ends
        };
        let worlds: Vec<_> = (0..homes)
            .map(|home| scope.spawn(move || play(home)))
            .collect();
        let ends = worlds.into_iter().map(|world| world.join());
        ends.flat_map(|ends| ends.expect("every round held"))
            .collect()
    });
    let mut counts = BTreeMap::<_, usize>::new();
    for end in &played {
        *counts.entry(end).or_default() += 1;
    }
    println!("{} rounds of seed {seed}: {counts:?}", played.len());
    let conflicts = played.iter().filter(|(_, end)| *end == Verdict::Conflict);
    assert!(
        conflicts.count() > 0,
        "two edits at nearly the same moment are among them"
    );
}
