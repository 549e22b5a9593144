//! Journals made from a seed: what an agent says in a long run, about 348 bytes a line.

use ashore::protocol::command::Command;
use ashore::protocol::ids::CommandId;
use ashore::protocol::line;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(crate) const SESSION: &str = "7f3a1c52-1111-4222-8333-444455556666";
/// The last words of every journal: when they are on the screen, the newest is.
pub(crate) const LAST: &str = "these-are-the-last-words";

/// splitmix64: the same journal on every machine.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    /// So many characters of words.
    pub(crate) fn words(&mut self, characters: usize) -> String {
        const WORDS: [&str; 12] = [
            "the", "tide", "comes", "`parse`", "in", "and", "a", "boat", "**lies**", "at",
            "anchor", "ashore",
        ];
        let mut text = String::new();
        while text.len() < characters {
            let word = WORDS[self.below(WORDS.len() as u64) as usize];
            text.push_str(word);
            text.push(if self.below(14) == 0 { '\n' } else { ' ' });
        }
        text
    }
}

/// A journal as it grows.
pub(crate) struct Journal {
    chance: Chance,
    time: Timestamp,
    turn: u64,
    calls: u64,
    /// Lines that belong together and have not been given yet, the next one last.
    ready: Vec<String>,
}

impl Journal {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            time: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 56),
            turn: 0,
            calls: 0,
            ready: Vec::new(),
        }
    }

    fn says(&mut self, message: &Value) -> String {
        self.time += SignedDuration::from_millis(20);
        line::notification_line(self.time, message)
    }

    fn update(&mut self, update: Value) -> String {
        self.says(&line::update(SESSION, update))
    }

    fn chunk(&mut self, kind: &str) -> String {
        let length = 30 + self.chance.below(80) as usize;
        let text = self.chance.words(length);
        self.update(json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}}))
    }

    fn call(&mut self) {
        self.calls += 1;
        let id = format!("toolu_{:024}", self.calls);
        let path = format!("src/part{}/file{}.rs", self.calls % 17, self.calls % 101);
        let output = self.chance.words(300);
        let lines = [
            json!({"sessionUpdate": "tool_call", "toolCallId": id, "title": format!("Read {path}"), "kind": "read", "status": "pending", "locations": [{"path": path}], "rawInput": {"file_path": path}}),
            json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "status": "in_progress"}),
            json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "status": "completed", "content": [{"type": "content", "content": {"type": "text", "text": output}}]}),
        ];
        for update in lines {
            let line = self.update(update);
            self.ready.insert(0, line);
        }
    }

    fn plan(&mut self) -> String {
        let step = |number: u64| json!({"content": format!("Step {number} of the plan"), "priority": "medium", "status": if number < 3 {"completed"} else {"pending"}});
        let entries: Vec<Value> = (1..6).map(step).collect();
        self.update(json!({"sessionUpdate": "plan", "entries": entries}))
    }

    fn turn(&mut self) {
        self.turn += 1;
        let mut lines = Vec::new();
        if self.turn > 1 {
            let before = json!(self.turn - 1);
            lines.push(self.says(&line::prompt_response(&before, "end_turn", false)));
            lines.push(self.says(&line::turn_complete("end_turn", false)));
        }
        let id: CommandId = format!("c{}", self.turn).parse().expect("a name");
        let text = self.chance.words(80);
        let mut command = Command::user_message(text.as_str());
        command.id = Some(id.clone());
        lines.push(line::client_message_line(
            self.time,
            &id,
            Some("ana@laptop"),
            &command.to_json(),
        ));
        let blocks = [json!({"type": "text", "text": text})];
        let request = line::prompt_request(&json!(self.turn), SESSION, &blocks, Some(&id));
        lines.push(self.says(&request));
        lines.reverse();
        self.ready = lines;
    }
}

impl Iterator for Journal {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.turn == 0 {
            self.turn();
        }
        if let Some(line) = self.ready.pop() {
            return Some(line);
        }
        Some(match self.chance.below(1000) {
            0..3 => {
                self.turn();
                return self.next();
            }
            3..80 => {
                self.call();
                return self.next();
            }
            80..90 => self.plan(),
            90..200 => self.chunk("agent_thought_chunk"),
            _ => self.chunk("agent_message_chunk"),
        })
    }
}

/// The whole journal, which ends with [`LAST`].
pub(crate) fn journal(lines: usize) -> Vec<String> {
    let mut journal = Journal::new(7);
    let mut all: Vec<String> = journal.by_ref().take(lines - 1).collect();
    let text = format!("\n\n{LAST}");
    all.push(journal.update(
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}),
    ));
    all
}

/// As the file of a journal.
pub(crate) fn file(lines: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}
