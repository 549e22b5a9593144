//! What a journal becomes: written as lines, read as the session they make.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::acp::{Cost, Currency, OptionKind, PermissionOption, ToolStatus};
use crate::protocol::command::Command;
use crate::protocol::entry::{PermissionRequest, Step, StepStatus};
use crate::protocol::file::{Applied, ChangeKind, FileChange, FileState, Mode, Stale};
use crate::protocol::hash::ContentHash;
use crate::protocol::ids::CommandId;
use crate::protocol::line;
use crate::protocol::normalize::decode;
use crate::protocol::path::RelPath;
use crate::protocol::run::Status;
use crate::session::state::Turn;
use crate::session::transcript::Spent;

const TIME: Timestamp = Timestamp::UNIX_EPOCH;

/// A journal of lines, one after another.
#[derive(Default, Clone)]
struct Journal(Vec<String>);

impl Journal {
    fn add(mut self, message: &Value) -> Self {
        self.0.push(line::notification_line(TIME, message));
        self
    }

    fn update(self, fields: Value) -> Self {
        self.add(&line::update("run", fields))
    }

    fn chunk(self, kind: &str, text: &str) -> Self {
        self.update(json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}}))
    }

    fn agent(self, text: &str) -> Self {
        self.chunk("agent_message_chunk", text)
    }

    fn echo(self, text: &str) -> Self {
        self.chunk("user_message_chunk", text)
    }

    fn says(mut self, id: &str, text: &str) -> Self {
        let command = Command {
            id: Some(key(id)),
            ..Command::user_message(text)
        };
        self.0.push(line::client_message_line(
            TIME,
            &key(id),
            Some("ana@laptop"),
            &command.to_json(),
        ));
        self
    }

    /// A client message as the reference logs it.
    fn foreign_says(mut self, text: &str) -> Self {
        self.0.push(json!({"type": "client_message", "message": {"method": "_posthog/user_message", "params": {"content": text}}}).to_string());
        self
    }

    fn prompt(self, id: u64, command: Option<&str>, text: &str) -> Self {
        let blocks = [json!({"type": "text", "text": text})];
        let command = command.map(key);
        self.add(&line::prompt_request(
            &json!(id),
            "run",
            &blocks,
            command.as_ref(),
        ))
    }

    fn ends(self, id: u64, stop_reason: &str) -> Self {
        self.add(&line::prompt_response(&json!(id), stop_reason, false))
    }

    fn tool(self, fields: Value) -> Self {
        let mut update = json!({"sessionUpdate": "tool_call_update"});
        for (name, value) in fields.as_object().expect("is one") {
            update[name] = value.clone();
        }
        self.update(update)
    }

    fn read(&self) -> Session {
        let mut session = Session::default();
        self.read_onto(&mut session, 0);
        session
    }

    fn read_onto(&self, session: &mut Session, from: usize) {
        for (i, text) in self.0.iter().enumerate().skip(from) {
            apply(session, Seq(i as u64 + 1), &decode(text.as_bytes()));
        }
    }
}

fn key(id: &str) -> CommandId {
    id.parse().expect("fits")
}

/// The transcript in short, one line per cell.
fn told(session: &Session) -> Vec<String> {
    let cells = session.transcript.cells.iter();
    cells
        .map(|cell| match &cell.body {
            Body::User { text, .. } => format!("user: {text}"),
            Body::Agent { text, .. } => format!("agent: {text}"),
            Body::Thought { text, .. } => format!("thought: {text}"),
            Body::Tool(call) => format!("tool: {} {}", call.id, call.status.as_str()),
            Body::Attachment(label) => format!("attachment: {label}"),
            Body::Notice(notice) => {
                format!("{:?} x{}: {}", notice.level, notice.count, notice.text)
            }
            Body::TurnEnd {
                stop_reason, error, ..
            } => format!("end: {stop_reason} {}", error.as_deref().unwrap_or("")),
        })
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[test]
fn a_turn_of_ours_is_told_once_from_prompt_to_end() {
    let journal = Journal::default()
        .says("c1", "Fix it")
        .prompt(1, Some("c1"), "Fix it")
        .echo("Fix it")
        .chunk("agent_thought_chunk", "Hm")
        .chunk("agent_thought_chunk", "m.")
        .agent("On ")
        .agent("it.")
        .tool(json!({"toolCallId": "t1", "title": "Edit", "status": "in_progress"}))
        .tool(json!({"toolCallId": "t1", "status": "completed"}))
        .agent("Done.")
        .ends(1, "end_turn")
        .add(&line::turn_complete("end_turn", false));
    let session = journal.read();
    assert_eq!(
        told(&session),
        [
            "user: Fix it",
            "thought: Hmm.",
            "agent: On it.",
            "tool: t1 completed",
            "agent: Done.",
            "end: end_turn"
        ]
    );
    assert!(session.is_idle());
    assert_eq!(session.turns, 1);
    assert_eq!(session.last_time, Some(TIME));
    let cells = session.transcript.cells.to_vec();
    assert!(matches!(
        cells[1].body,
        Body::Thought {
            open: false,
            ended: Some(_),
            ..
        }
    ));
    assert!(matches!(&cells[0].body, Body::User { from: Some(who), .. } if who == "ana@laptop"));
    assert!(cells.iter().all(|cell| cell.turn == 1));
}

#[test]
fn a_message_waits_in_the_queue_until_its_request_takes_it() {
    let journal = Journal::default().says("c1", "one").says("c2", "two");
    let session = journal.read();
    assert_eq!(session.queued.len(), 2);
    assert!(!session.is_idle());
    let taken = journal.prompt(1, Some("c2"), "two").read();
    assert_eq!(told(&taken), ["user: two"]);
    assert_eq!(taken.queued.len(), 1);
    assert_eq!(taken.queued[0].command, Some(key("c1")));
    assert!(matches!(&taken.turn, Turn::Working { request, .. } if request == "1"));
}

#[test]
fn a_foreign_log_draws_the_words_once_too() {
    let table = [
        // As the reference logs it: message, request, echo.
        Journal::default()
            .foreign_says("Hi")
            .prompt(2, None, "Hi")
            .echo("Hi"),
        // Without the request, as its stream has it.
        Journal::default().foreign_says("Hi").echo("H").echo("i"),
        // Delivered before it was logged.
        Journal::default().echo("Hi").foreign_says("Hi"),
        Journal::default()
            .echo("Hi")
            .prompt(2, None, "Hi")
            .echo("Hi"),
        // An echo twice, as a tapped stream has it.
        Journal::default()
            .foreign_says("Hi")
            .prompt(2, None, "Hi")
            .echo("Hi")
            .echo("Hi"),
        // Nothing but the message, and an agent that begins.
        Journal::default().foreign_says("Hi"),
    ];
    for (i, journal) in table.into_iter().enumerate() {
        let session = journal.agent("yes").read();
        assert_eq!(told(&session), ["user: Hi", "agent: yes"], "case {i}");
        assert_eq!(session.queued, [], "case {i}");
        assert_eq!(session.turns, 1, "case {i}");
        assert_ne!(session.turn, Turn::Idle, "case {i}");
    }
}

#[test]
fn an_echo_in_other_words_is_no_second_message() {
    let session = Journal::default()
        .says("c1", "/review")
        .prompt(1, Some("c1"), "/review")
        .echo("<command>review</command>")
        .agent("yes")
        .echo("by the way")
        .read();
    assert_eq!(
        told(&session),
        ["user: /review", "agent: yes", "user: by the way"]
    );
}

#[test]
fn a_long_answer_costs_what_it_weighs() {
    // Quadratic work would take minutes here.
    let piece = decode(Journal::default().agent("word ").0[0].as_bytes());
    let mut session = Session::default();
    for seq in 1..=300_000 {
        apply(&mut session, Seq(seq), &piece);
    }
    assert!(
        matches!(&session.transcript.cells.to_vec()[..], [Cell { body: Body::Agent { text, .. }, revision: 299_999, .. }]
        if text.len() == 1_500_000)
    );
}

#[test]
fn the_same_words_in_the_next_turn_are_drawn_again() {
    let session = Journal::default()
        .says("c1", "go on")
        .prompt(1, Some("c1"), "go on")
        .echo("go on")
        .ends(1, "end_turn")
        .says("c2", "go on")
        .prompt(2, Some("c2"), "go on")
        .echo("go on")
        .read();
    assert_eq!(
        told(&session),
        ["user: go on", "end: end_turn", "user: go on"]
    );
    assert_eq!(session.turns, 2);
}

#[test]
fn blocks_of_a_prompt_come_back_one_by_one_and_are_still_its_echo() {
    let blocks = [
        json!({"type": "text", "text": "see"}),
        json!({"type": "image", "mimeType": "image/png", "data": "AAAA"}),
        json!({"type": "text", "text": "this"}),
    ];
    let session = Journal::default()
        .add(&line::prompt_request(
            &json!(1),
            "run",
            &blocks,
            Some(&key("c1")),
        ))
        .echo("see")
        .update(json!({"sessionUpdate": "user_message_chunk", "content": blocks[1]}))
        .echo("this")
        .read();
    assert_eq!(told(&session), ["user: see\nthis"]);
    assert!(matches!(&session.transcript.cells.get(0).unwrap().body,
        Body::User { attachments, .. } if *attachments == ["[image image/png]"]));
}

#[test]
fn turn_complete_alone_ends_a_foreign_turn_and_after_a_response_nothing() {
    let alone = Journal::default()
        .echo("Hi")
        .agent("yes")
        .add(&line::turn_complete("end_turn", false));
    assert_eq!(
        told(&alone.read()),
        ["user: Hi", "agent: yes", "end: end_turn"]
    );
    // Neither echo nor request: what the agent said is still a turn.
    let said = Journal::default()
        .agent("yes")
        .add(&line::turn_complete("end_turn", false));
    assert_eq!(told(&said.read()), ["agent: yes", "end: end_turn"]);
    let both = Journal::default()
        .prompt(1, None, "Hi")
        .ends(1, "cancelled")
        .agent("late")
        .add(&line::turn_complete("cancelled", false));
    assert_eq!(
        told(&both.read()),
        ["user: Hi", "end: cancelled", "agent: late"]
    );
    let reversed = Journal::default()
        .prompt(1, None, "Hi")
        .add(&line::turn_complete("end_turn", false))
        .ends(1, "end_turn");
    assert_eq!(told(&reversed.read()), ["user: Hi", "end: end_turn"]);
}

#[test]
fn a_broken_turn_says_why_and_leaves_nothing_open() {
    let request = permission("r1", "t1");
    let session = Journal::default()
        .prompt(1, Some("c1"), "go")
        .tool(json!({"toolCallId": "t1", "status": "in_progress"}))
        .add(&line::permission_request(&request))
        .add(&line::error_response(&json!(1), -32000, "agent died", true))
        .add(&line::permission_request(&request))
        .read();
    assert_eq!(
        told(&session),
        [
            "user: go",
            "tool: t1 in_progress",
            "end: error agent died",
            "Warning x1: the agent side was gone: changes of this turn may be missing here"
        ]
    );
    assert_eq!(session.permissions, []);
    assert!(
        matches!(&session.transcript.cells.get(1).unwrap().body, Body::Tool(call) if call.abandoned && call.ended.is_some())
    );
}

#[test]
fn an_error_that_answers_no_prompt_is_a_line() {
    let session = Journal::default()
        .add(&line::error_response(
            &json!(3),
            -32000,
            "Authentication required",
            false,
        ))
        .read();
    assert_eq!(told(&session), ["Error x1: Authentication required"]);
}

#[test]
fn the_answer_to_a_question_of_the_agent_does_not_end_the_turn_with_the_same_number() {
    let session = Journal::default()
        .prompt(2, None, "go")
        .add(&json!({"id": 2, "method": "session/request_permission", "params": {}}))
        .add(&json!({"id": 2, "result": {"outcome": {"outcome": "selected", "optionId": "a"}}}))
        .read();
    assert_ne!(session.turn, Turn::Idle);
    assert_eq!(told(&session), ["user: go"]);
}

#[test]
fn a_whole_message_confirms_its_pieces_or_takes_their_place() {
    let whole = |text: &str| json!({"sessionUpdate": "agent_message", "content": {"type": "text", "text": text}});
    let same = Journal::default()
        .agent("a b")
        .agent(" c")
        .update(whole("a b c"));
    assert_eq!(told(&same.clone().read()), ["agent: a b c"]);
    let next = same.agent("d");
    assert_eq!(told(&next.read()), ["agent: a b c", "agent: d"]);
    let mended = Journal::default().agent("a b").update(whole("a b c"));
    assert_eq!(told(&mended.read()), ["agent: a b c"]);
    let over_a_thought = Journal::default()
        .agent("a ")
        .chunk("agent_thought_chunk", "?")
        .agent("b")
        .update(whole("a b"));
    assert_eq!(
        told(&over_a_thought.read()),
        ["agent: a ", "thought: ?", "agent: b"].map(str::trim_end)
    );
    let after_a_tool = Journal::default()
        .agent("first")
        .tool(json!({"toolCallId": "t1"}))
        .update(whole("second"));
    assert_eq!(
        told(&after_a_tool.read()),
        ["agent: first", "tool: t1 pending", "agent: second"]
    );
    let late = Journal::default()
        .agent("first")
        .tool(json!({"toolCallId": "t1"}))
        .update(whole("first"));
    assert_eq!(told(&late.read()), ["agent: first", "tool: t1 pending"]);
}

#[test]
fn pieces_of_a_named_message_find_it_again() {
    let piece = |id: &str, text: &str| json!({"sessionUpdate": "agent_message_chunk", "messageId": id, "content": {"type": "text", "text": text}});
    let session = Journal::default()
        .update(piece("m1", "a"))
        .update(piece("m2", "x"))
        .update(piece("m1", "b"))
        .read();
    assert_eq!(told(&session), ["agent: ab", "agent: x"]);
}

#[test]
fn an_update_before_its_call_creates_it_and_the_call_completes_it() {
    let session = Journal::default()
        .tool(json!({"toolCallId": "t1", "status": "completed", "rawOutput": 1}))
        .update(json!({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "Read", "kind": "read"}))
        .read();
    let Body::Tool(call) = &session.transcript.cells.get(0).unwrap().body else {
        panic!("no tool");
    };
    assert_eq!(
        (call.title.as_str(), call.status),
        ("Read", ToolStatus::Completed)
    );
    assert_eq!(call.raw_output, Some(json!(1)));
    assert_eq!(session.transcript.cells.len(), 1);
}

#[test]
fn a_pull_request_is_believed_only_from_the_command_that_makes_one() {
    let shell = |command: &str| {
        Journal::default()
            .update(json!({"sessionUpdate": "tool_call", "toolCallId": "t", "rawInput": {"command": command}}))
            .tool(json!({"toolCallId": "t", "status": "completed", "content": [
                {"type": "content", "content": {"type": "text", "text": "see https://github.com/a/b and https://github.com/a/b/pull/7)."}}]}))
            .read()
            .pr_url
    };
    assert_eq!(
        shell("cd x && gh pr create --fill").as_deref(),
        Some("https://github.com/a/b/pull/7")
    );
    assert_eq!(shell("gh pr view 7"), None);
}

#[test]
fn status_lines_in_the_text_of_the_model_are_lines_only_at_its_start() {
    let session = Journal::default()
        .agent("[connected] Agent server connected")
        .agent("see ")
        .agent("[error] x")
        .read();
    assert_eq!(
        told(&session),
        [
            "Info x1: connected: Agent server connected",
            "agent: see [error] x"
        ]
    );
}

#[test]
fn a_line_beside_a_text_does_not_cut_it() {
    let session = Journal::default()
        .agent("one ")
        .add(&line::note("by the way"))
        .add(&line::note("by the way"))
        .agent("text")
        .read();
    assert_eq!(told(&session), ["agent: one text", "Info x2: by the way"]);
}

#[test]
fn what_nobody_knows_is_one_dim_line_that_counts() {
    let mut journal = Journal::default()
        .update(json!({"sessionUpdate": "hologram"}))
        .agent("a")
        .update(json!({"sessionUpdate": "hologram"}));
    journal.0.push("{torn".into());
    journal.0.push("not json".into());
    journal.0.push("  ".into());
    let session = journal.read();
    assert_eq!(
        told(&session),
        [
            "Dim x2: not understood: hologram",
            "agent: a",
            "Dim x2: a line of the log is not JSON"
        ]
    );
    assert_eq!(session.bad_lines, 2);
    let many = (0..200).fold(Journal::default(), |journal, i| {
        journal.update(json!({"sessionUpdate": format!("kind-{i}")}))
    });
    assert_eq!(many.read().transcript.cells.len(), 65);
}

fn permission(request: &str, tool_call: &str) -> PermissionRequest {
    PermissionRequest {
        request: request.into(),
        tool_call: tool_call.into(),
        title: "Run tests".into(),
        kind: None,
        options: vec![PermissionOption {
            id: "allow".into(),
            name: "Allow".into(),
            kind: OptionKind::AllowOnce,
            description: None,
        }],
        raw_input: None,
    }
}

#[test]
fn a_question_is_open_until_it_is_answered_and_never_again() {
    let asked = Journal::default()
        .prompt(1, None, "go")
        .add(&line::permission_request(&permission("r1", "t1")))
        .add(&line::permission_request(&permission("r2", "t2")));
    let open: Vec<String> = asked
        .read()
        .permissions
        .into_iter()
        .map(|p| p.request)
        .collect();
    assert_eq!(open, ["r1", "r2"]);
    let answered = asked
        .add(&line::permission_response(
            "r1",
            "t1",
            "allow",
            None,
            Some("ana@laptop"),
        ))
        .add(&line::permission_request(&permission("r1", "t1")))
        .read();
    let open: Vec<String> = answered
        .permissions
        .iter()
        .map(|p| p.request.clone())
        .collect();
    assert_eq!(open, ["r2"]);
    assert_eq!(
        told(&answered),
        ["user: go", "Info x1: Run tests: Allow (ana@laptop)"]
    );
}

#[test]
fn steps_keep_their_order_and_a_new_start_forgets_the_old_one() {
    let step = |name: &str, status| {
        line::step(&Step {
            name: name.into(),
            status,
            detail: None,
            hint: None,
        })
    };
    let up = Journal::default()
        .add(&step("sandbox", StepStatus::Started))
        .add(&step("sandbox", StepStatus::Done))
        .add(&step("agent", StepStatus::Started))
        .add(&step("agent", StepStatus::Failed));
    let names = |session: &Session| -> Vec<(String, StepStatus)> {
        session
            .steps
            .iter()
            .map(|s| (s.step.name.clone(), s.status()))
            .collect()
    };
    assert_eq!(
        names(&up.read()),
        [
            ("sandbox".into(), StepStatus::Done),
            ("agent".into(), StepStatus::Failed)
        ]
    );
    let again = up.add(&step("sandbox", StepStatus::Started)).read();
    assert_eq!(names(&again), [("sandbox".into(), StepStatus::Started)]);
}

#[test]
fn the_newest_word_on_a_file_stands_last_and_the_turn_counts_them() {
    let sync = |path: &str| json!({"method": "_posthog/file_sync", "params": {"type": "file_deleted", "relativePath": path}});
    let session = Journal::default()
        .add(&sync("before"))
        .prompt(1, None, "go")
        .add(&sync("a"))
        .add(&sync("b"))
        .add(&sync("a"))
        .add(&sync("../x"))
        .add(&line::file_failed("big", "too large", None))
        .ends(1, "end_turn")
        .read();
    let paths: Vec<&str> = session
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["before", "b", "a", "../x", "big"]);
    assert_eq!(
        told(&session),
        [
            "user: go",
            "Warning x1: ../x: path escapes the root",
            "Warning x1: big: too large",
            "end: end_turn"
        ]
    );
    let last = session
        .transcript
        .cells
        .last()
        .map(|cell| cell.body.clone());
    assert!(matches!(last, Some(Body::TurnEnd { files: 4, .. })));
}

#[test]
fn a_persons_edit_counts_as_theirs_and_one_that_was_not_taken_stays_a_conflict_until_one_is() {
    let path: RelPath = "a".parse().expect("fits");
    let applied = |text: &str| {
        line::file_applied(&Applied {
            change: FileChange {
                kind: ChangeKind::Modified,
                path: path.clone(),
                now: Some(FileState {
                    hash: ContentHash::of(text.as_bytes()),
                    size: text.len() as u64,
                    mode: Mode::File,
                }),
                before: None,
                storage_path: None,
                turn: None,
                tool_call: None,
            },
            before_mode: None,
            command: None,
        })
    };
    let refused = line::file_refused(&Stale {
        path: path.clone(),
        current: None,
        reason: None,
        command: None,
    });
    let journal = Journal::default()
        .prompt(1, None, "go")
        .add(&applied("mine"))
        .add(&refused)
        .ends(1, "end_turn");
    let session = journal.clone().read();
    assert_eq!(
        told(&session),
        [
            "user: go",
            "Warning x1: a: an edit was not taken into the sandbox: it was deleted there",
            "end: end_turn"
        ]
    );
    let last = session
        .transcript
        .cells
        .last()
        .map(|cell| cell.body.clone());
    assert!(matches!(last, Some(Body::TurnEnd { files: 0, .. })));
    assert!(session.files[0].by_user);
    assert_eq!(session.refused[0].path, "a");
    let settled = journal.add(&applied("mine again")).read();
    assert_eq!(settled.refused, []);
}

#[test]
fn the_endpoint_has_the_last_word_on_how_the_run_stands() {
    let foreign = Journal::default().add(&line::error("upstream closed", None));
    assert_eq!(foreign.read().status, Some(Status::Failed));
    let goes_on = foreign.clone().prompt(1, None, "go on");
    assert_eq!(goes_on.read().status, Some(Status::InProgress));
    let ours = Journal::default()
        .add(&line::run_status(&Status::InProgress, None))
        .add(&line::error("agent died", None));
    assert_eq!(ours.read().status, Some(Status::InProgress));
    let failed = ours
        .prompt(1, None, "go")
        .add(&line::run_status(&Status::Failed, Some("no agent")));
    let session = failed.clone().read();
    assert_eq!(session.status, Some(Status::Failed));
    assert_eq!(session.turn, Turn::Idle);
    let reopened = failed.add(&line::run_status(&Status::InProgress, None));
    assert_eq!(reopened.read().status, Some(Status::InProgress));
}

#[test]
fn an_update_logged_twice_under_two_names_is_one() {
    let under = |session: &str, text: &str| {
        line::update(
            session,
            json!({"sessionUpdate": "agent_message_chunk", "content": text}),
        )
    };
    let adjacent = Journal::default()
        .add(&under("agent", "ha"))
        .add(&under("run", "ha"))
        .add(&under("agent", "ha"))
        .add(&under("run", "ha"));
    assert_eq!(told(&adjacent.read()), ["agent: haha"]);
    let nearly = Journal::default()
        .add(&under("agent", "a"))
        .add(&under("agent", "b"))
        .add(&under("run", "a"))
        .add(&under("run", "b"));
    assert_eq!(told(&nearly.read()), ["agent: ab"]);
    let one_name = Journal::default()
        .add(&under("run", "ha"))
        .add(&under("run", "ha"));
    assert_eq!(told(&one_name.read()), ["agent: haha"]);
}

#[test]
fn copies_that_come_behind_the_whole_answer_are_none_of_a_new_one() {
    let under = |session: &str, text: &str| {
        line::update(
            session,
            json!({"sessionUpdate": "agent_message_chunk", "content": text}),
        )
    };
    let words: Vec<String> = (0..50).map(|i| format!("w{} ", i % 7)).collect();
    let mut journal = Journal::default().prompt(1, None, "go");
    for word in &words {
        journal = journal.add(&under("agent", word));
    }
    journal = journal.ends(1, "end_turn");
    for word in &words {
        journal = journal.add(&under("run", word));
    }
    let session = journal
        .prompt(2, None, "again")
        .add(&under("agent", "w0 "))
        .read();
    let said: Vec<_> = told(&session)
        .into_iter()
        .filter(|cell| cell.starts_with("agent: "))
        .collect();
    let first = format!("agent: {}", words.concat());
    assert_eq!(said, [first.trim_end(), "agent: w0"]);
}

#[test]
fn an_agent_that_dies_in_a_turn_is_one_line() {
    let died = |message: &str, detail: &str| {
        let session = Journal::default()
            .prompt(1, None, "/crash")
            .add(&line::error_response(
                &json!(1),
                -32603,
                "the agent ended during this turn: exit status: 3",
                false,
            ))
            .add(&line::turn_complete("error", false))
            .add(&line::error(message, Some(detail)))
            .read();
        session.transcript.cells.len()
    };
    assert_eq!(died("the agent ended", "exit status: 3"), 2);
    assert_eq!(died("the agent ended", "signal: 9"), 3, "that is news");
    assert_eq!(died("the disk is full", "exit status: 3"), 3);
}

#[test]
fn a_compaction_is_one_rule_with_its_summary() {
    let session = Journal::default()
        .update(json!({"sessionUpdate": "compaction_update", "compactionId": "k", "status": "in_progress"}))
        .update(json!({"sessionUpdate": "compaction_summary_chunk", "compactionId": "k", "content": {"type": "text", "text": "so "}}))
        .update(json!({"sessionUpdate": "compaction_summary_chunk", "compactionId": "k", "content": {"type": "text", "text": "far"}}))
        .update(json!({"sessionUpdate": "compaction_update", "compactionId": "k", "status": "completed"}))
        .read();
    assert_eq!(told(&session), ["Rule x1: context compacted"]);
    assert!(matches!(&session.transcript.cells.get(0).unwrap().body,
        Body::Notice(notice) if notice.detail.as_deref() == Some("so far")));
}

/// Journals made of everything above, in any order.
fn any_journal() -> impl Strategy<Value = Vec<String>> {
    let tool = |status: &'static str| json!({"toolCallId": "t1", "status": status});
    let whole = json!({"sessionUpdate": "agent_message", "content": "a b"});
    let step = Step {
        name: "agent".into(),
        status: StepStatus::Started,
        detail: None,
        hint: None,
    };
    let all = Journal::default()
        .says("c1", "a b")
        .says("c2", "two")
        .foreign_says("a b")
        .prompt(1, Some("c1"), "a b")
        .prompt(2, None, "two")
        .echo("a b")
        .echo("a")
        .agent("a ")
        .agent("b")
        .agent("")
        .chunk("agent_thought_chunk", "hm")
        .update(whole)
        .tool(tool("in_progress"))
        .tool(tool("completed"))
        .ends(1, "end_turn")
        .ends(2, "cancelled")
        .add(&line::turn_complete("end_turn", true))
        .add(&line::error_response(&json!(1), 0, "no", false))
        .add(&line::permission_request(&permission("r1", "t1")))
        .add(&line::permission_response("r1", "t1", "allow", None, None))
        .add(&line::step(&step))
        .add(&line::file_failed("a", "no", None))
        .add(&line::run_status(&Status::Failed, Some("x")))
        .add(&line::note("n"))
        .update(json!({"sessionUpdate": "user_message", "content": "a b"}))
        .update(json!({"sessionUpdate": "compaction_summary_chunk", "content": "s"}))
        .update(json!({"sessionUpdate": "odd"}));
    let mut lines = all.0;
    lines.push("{torn".into());
    prop::collection::vec(prop::sample::select(lines), 0..40)
}

/// A text cut at any characters.
fn any_split() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[^\\[]{0,6}", 1..12)
}

proptest! {
    #[test]
    fn any_split_of_a_text_makes_the_same_transcript(pieces in any_split()) {
        for kind in ["agent_message_chunk", "agent_thought_chunk", "user_message_chunk"] {
            let split = pieces.iter().fold(Journal::default(), |journal, piece| journal.chunk(kind, piece));
            let whole = Journal::default().chunk(kind, &pieces.concat());
            prop_assert_eq!(told(&split.read()), told(&whole.read()));
        }
    }

    #[test]
    fn a_line_applied_twice_changes_nothing(lines in any_journal()) {
        let mut once = Session::default();
        let mut twice = Session::default();
        for (i, text) in lines.iter().enumerate() {
            let (seq, line) = (Seq(i as u64 + 1), decode(text.as_bytes()));
            apply(&mut once, seq, &line);
            apply(&mut twice, seq, &line);
            apply(&mut twice, seq, &line);
            apply(&mut twice, Seq(1), &line);
            prop_assert_eq!(&once, &twice);
        }
    }

    #[test]
    fn cells_on_a_shelf_are_what_they_would_be_in_memory(lines in any_journal(), most in 0_usize..5) {
        let journal = Journal(lines);
        let shelf = std::sync::Arc::new(crate::session::cells::tests::Pile::default());
        let mut session = Session::default();
        session.transcript.cells = crate::session::cells::Cells::on(shelf, most);
        journal.read_onto(&mut session, 0);
        prop_assert_eq!(session, journal.read());
    }

    #[test]
    fn a_journal_read_in_two_parts_is_the_journal(lines in any_journal(), at in 0_usize..40) {
        let journal = Journal(lines);
        let mut parts = Journal(journal.0.iter().take(at).cloned().collect()).read();
        // The second answer overlaps the first, as after a reconnect.
        journal.read_onto(&mut parts, at.saturating_sub(3));
        prop_assert_eq!(parts, journal.read());
    }

    #[test]
    fn the_words_of_a_command_are_drawn_at_most_once(lines in any_journal()) {
        let session = Journal(lines).read();
        let ours = session.transcript.cells.iter().filter(|cell|
            matches!(&cell.body, Body::User { command: Some(id), .. } if *id == key("c1")));
        prop_assert!(ours.count() <= 1);
        prop_assert!(session.transcript.cells.labels().is_sorted_by_key(|label| label.seq));
        prop_assert!(session.files.is_sorted_by_key(|file| file.seq));
    }

    #[test]
    fn no_line_is_too_strange(lines in prop::collection::vec("[ -~é\\\\\"{}:,\\[\\]]{0,60}", 0..20)) {
        let mut session = Session::default();
        for (i, text) in lines.iter().enumerate() {
            apply(&mut session, Seq(i as u64 + 1), &decode(text.as_bytes()));
            let inside = json!({"type": "notification", "notification": {"method": "session/update",
                "params": {"update": {"sessionUpdate": text, "content": text}}}});
            apply(&mut session, Seq(i as u64 + 1000), &decode(inside.to_string().as_bytes()));
        }
    }
}

/// A client's word with what it ends, as an endpoint of ours writes it.
fn ending(key: &str, what: What, ends: Value) -> String {
    let key: CommandId = key.parse().expect("fits");
    let command = Command {
        id: Some(key.clone()),
        what,
    };
    let line = line::client_message_line(TIME, &key, None, &command.to_json());
    let mut line: Value = serde_json::from_str(&line).expect("JSON");
    line["ends"] = ends;
    line.to_string()
}

#[test]
fn a_turn_is_being_cancelled_from_its_cancel_to_its_end() {
    let working = || {
        Journal::default()
            .says("a", "one")
            .says("b", "two")
            .prompt(1, Some("a"), "one")
    };
    let steer = What::Amend(crate::protocol::amend::Amendment {
        command: key("b"),
        how: crate::protocol::amend::Amend::Steer,
    });
    let table = [
        (What::Cancel, json!(1), true),
        // Of a turn that is over, of a message that waits.
        (What::Cancel, json!(0), false),
        (What::Cancel, json!("b"), false),
        // Another endpoint does not say what it ends.
        (What::Cancel, Value::Null, true),
        (steer, json!(1), true),
        (What::SetMode("plan".into()), Value::Null, false),
    ];
    for (what, ends, cancelling) in table {
        let mut journal = working();
        journal.0.push(ending("c", what.clone(), ends.clone()));
        let session = journal.read();
        assert_eq!(session.cancelling.is_some(), cancelling, "{what:?} {ends}");
        let next = journal.ends(1, "cancelled").prompt(2, Some("b"), "two");
        assert_eq!(next.read().cancelling, None, "{what:?} {ends}");
    }
    let mut idle = Journal::default();
    idle.0.push(ending("c", What::Cancel, Value::Null));
    assert_eq!(idle.read().cancelling, None);
}

#[test]
fn the_modes_that_are_offered_stay_when_another_is_on() {
    let mode = |id: &str| json!({"sessionUpdate": "current_mode_update", "currentModeId": id});
    let mut first = mode("ask");
    first["_meta"] =
        json!({"ashore": {"modes": [{"id": "ask", "name": "Ask"}, {"id": "plan", "name": null}]}});
    let session = Journal::default().update(first).update(mode("plan")).read();
    let offered: Vec<_> = session
        .modes
        .iter()
        .map(|mode| (mode.id.as_str(), mode.name.as_str()))
        .collect();
    assert_eq!(offered, [("ask", "Ask"), ("plan", "plan")]);
    assert_eq!(session.mode.as_deref(), Some("plan"));
}

#[test]
fn money_keeps_its_currency_and_is_never_counted_into_another() {
    let used = |amount: f64, currency: &str| json!({"method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": "usage_update", "used": 9, "size": 200_000, "cost": {"amount": amount, "currency": currency}}}});
    let session = Journal::default()
        .prompt(1, None, "go")
        .add(&used(0.5, "EUR"))
        .ends(1, "end_turn")
        .prompt(2, None, "on")
        .add(&used(0.75, "eur"))
        .ends(2, "end_turn")
        .prompt(3, None, "on")
        .add(&used(0.25, "USD"))
        .ends(3, "end_turn")
        .read();
    let cells = session.transcript.cells.iter();
    let spent: Vec<String> = cells
        .filter_map(|cell| match &cell.body {
            Body::TurnEnd { spent, .. } => spent.and_then(|spent| spent.cost),
            _ => None,
        })
        .map(|cost| format!("{} {}", cost.amount, cost.currency))
        .collect();
    assert_eq!(spent, ["0.5 EUR", "0.25 EUR", "0.25 USD"]);
}

#[test]
fn a_turn_tells_what_it_has_used_also_when_the_agent_says_so_late() {
    let used = |used: u64, cost: f64| json!({"method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": "usage_update", "used": used, "size": 200_000, "cost": {"amount": cost, "currency": "USD"}}}});
    let session = Journal::default()
        .prompt(1, None, "go")
        .add(&used(10_000, 0.5))
        .add(&used(12_000, 0.75))
        .ends(1, "end_turn")
        .prompt(2, None, "on")
        .ends(2, "end_turn")
        .add(&used(14_500, 1.0))
        .add(&used(14_600, 1.0))
        .prompt(3, None, "nothing told")
        .ends(3, "end_turn")
        .prompt(4, None, "compacted")
        .add(&used(3_000, 1.5))
        .ends(4, "end_turn")
        .read();
    let spent: Vec<Option<Spent>> = session
        .transcript
        .cells
        .iter()
        .filter_map(|cell| match &cell.body {
            Body::TurnEnd { spent, .. } => Some(*spent),
            _ => None,
        })
        .collect();
    let told = |tokens, cost| {
        Some(Spent {
            tokens,
            cost: Some(Cost {
                amount: cost,
                currency: Currency::USD,
            }),
        })
    };
    assert_eq!(
        spent,
        [
            told(Some(12_000), 0.75),
            told(Some(2_500), 0.25),
            None,
            told(None, 0.5)
        ]
    );
}
