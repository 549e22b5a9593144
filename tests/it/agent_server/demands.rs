//! What real agents do to whoever drives them: one demand, one child that behaves in just that way.

use std::path::Path;
use std::time::Duration;

use ashore::agent::limits::Limits;
use ashore::protocol::command::{Command, What};
use ashore::protocol::ids::Seq;
use ashore::protocol::normalize::decode;
use ashore::protocol::run::Policy;
use ashore::session::reduce::apply;
use ashore::session::state::Session;
use ashore::session::transcript::Body;
use serde_json::{Value, json};

use crate::agent_server::children::{by_command, scripted};
use crate::agent_server::scene::{Scene, message, of, place, read, text, write};

const INITIALIZE: &str = r#"
    *initialize*) answer '"result":{"protocolVersion":1}' ;;"#;
const LOADS: &str = r#"
    *initialize*) answer '"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}' ;;
    *session/prompt*die*) exit 3 ;;"#;

/// Short ones, where a test waits for a limit to act.
const SOON: Duration = Duration::from_millis(300);

impl Scene {
    /// A run whose agent is this child, on its way up.
    async fn with_child(cases: &str) -> Self {
        let mut scene = Self::new(json!({})).await;
        scene.drive(cases, Policy::Auto).await;
        scene
    }

    async fn drive(&mut self, cases: &str, permissions: Policy) {
        let program = scripted(self, "child", cases);
        let mut launch = self.launch().await;
        launch.permissions = permissions;
        by_command(&mut launch, &program);
        self.start(launch);
    }

    async fn prompts(&self, count: usize) -> Vec<Value> {
        let taken = |lines: &[Value]| of(lines, "session/prompt").len() >= count;
        self.until("a taken prompt", taken).await
    }
}

/// What a screen would make of the journal.
pub(crate) fn seen(lines: &[Value]) -> Session {
    let mut session = Session::default();
    for (line, number) in lines.iter().zip(1..) {
        apply(
            &mut session,
            Seq(number),
            &decode(line.to_string().as_bytes()),
        );
    }
    session
}

fn ends(lines: &[Value]) -> Vec<&str> {
    let ends = of(lines, "_posthog/turn_complete");
    ends.iter()
        .map(|m| m["params"]["stopReason"].as_str().expect("words"))
        .collect()
}

fn notes(lines: &[Value]) -> String {
    let notes = of(lines, "_ashore/note");
    let texts = notes.iter().filter_map(|m| m["params"]["message"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}

/// Demand 1.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_never_gets_a_second_prompt_during_a_turn() {
    let cases = [
        INITIALIZE,
        r#"
    *session/set_mode*) answer '"result":{}'; id=$held; held=; chunk agent_message_chunk 'done '; answer '"result":{"stopReason":"end_turn"}' ;;
    *session/prompt*) if [ -n "$held" ]; then chunk agent_message_chunk 'OVERLAP '; answer '"error":{"code":-32603,"message":"busy"}'; else held=$id; chunk agent_message_chunk 'begun '; fi ;;"#,
    ]
    .concat();
    let scene = Scene::with_child(&cases).await;
    scene.say("one").await;
    scene.say("two").await;
    for turn in 1..=2 {
        let begun = |lines: &[Value]| text(lines).matches("begun").count() == turn;
        scene.until("the turn", begun).await;
        scene
            .post(Command::new(What::SetMode("go on".into())))
            .await;
        scene.turns(turn).await;
    }
    assert_eq!(text(&scene.lines().await), "begun done begun done ");
    scene.close().await;
}

/// Demand 2.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_never_announced_or_announced_twice_are_one_each() {
    let cases = [
        INITIALIZE,
        r#"
    *'"outcome"'*) id=$held; call tool_call twice in_progress; call tool_call twice completed; answer '"result":{"stopReason":"end_turn"}' ;;
    *session/prompt*) held=$id; call tool_call_update never completed
      say '{"jsonrpc":"2.0","id":900,"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"ghost","title":"Ghost"},"options":[{"optionId":"ok","name":"OK","kind":"allow_once"}]}}' ;;"#,
    ]
    .concat();
    let scene = Scene::with_child(&cases).await;
    scene.say("go").await;
    let lines = scene.turns(1).await;
    let session = seen(&lines);
    let cells = session.transcript.cells.to_vec();
    let mut calls: Vec<&str> = cells
        .iter()
        .filter_map(|cell| match &cell.body {
            Body::Tool(call) => Some(call.id.as_str()),
            _ => None,
        })
        .collect();
    calls.retain(|id| *id != "ghost");
    assert_eq!(calls, ["never", "twice"]);
    let asked = &of(&lines, "_posthog/permission_request")[0]["params"];
    assert_eq!(
        (&asked["toolCallId"], &asked["title"]),
        (&json!("ghost"), &json!("Ghost"))
    );
    assert_eq!(ends(&lines), ["end_turn"]);
    scene.close().await;
}

/// Demand 3.
#[tokio::test(flavor = "multi_thread")]
async fn ids_of_the_agent_are_its_own_and_options_are_chosen_by_their_kind() {
    let cases = [
        INITIALIZE,
        r#"
    *'"outcome"'*) printf '%s\n' "$line" >> heard; n=$((n+1))
      always='"options":[{"optionId":"x","name":"No","kind":"reject_once"},{"optionId":"always-1","name":"A","kind":"allow_always"},{"optionId":"always-2","name":"B","kind":"allow_always"}]'
      case $n in
        1) say '{"jsonrpc":"2.0","id":"5f0c6a1e-0000-4000-8000-000000000001","method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"t2"},'"$always"'}}' ;;
        2) say '{"jsonrpc":"2.0","id":0,"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"t3"},'"$always"'}}' ;;
        *) id=$held; answer '"result":{"stopReason":"end_turn"}' ;;
      esac ;;
    *session/prompt*) held=$id; printf '%s\n' "$id" > prompt-id
      say '{"jsonrpc":"2.0","id":'"$id"',"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"t1"},"options":[{"optionId":"allow","name":"No","kind":"reject_once"},{"optionId":"b","name":"Ever","kind":"allow_always"},{"optionId":"reject","name":"Once","kind":"allow_once"}]}}' ;;"#,
    ]
    .concat();
    let scene = Scene::with_child(&cases).await;
    scene.say("go").await;
    let lines = scene.turns(1).await;
    assert_eq!(ends(&lines), ["end_turn"]);
    let heard = read(&scene.work("heard"));
    let answers: Vec<Value> = heard
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let prompt: Value = serde_json::from_str(&read(&scene.work("prompt-id"))).expect("an id");
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    assert_eq!(
        ids,
        [
            &prompt,
            &json!("5f0c6a1e-0000-4000-8000-000000000001"),
            &json!(0)
        ]
    );
    let options: Vec<&Value> = answers
        .iter()
        .map(|answer| &answer["result"]["outcome"]["optionId"])
        .collect();
    assert_eq!(options, ["reject", "always-1", "always-1"]);
    scene.close().await;
}

/// Demand 4.
#[tokio::test(flavor = "multi_thread")]
async fn files_and_terminals_that_were_not_offered_are_refused_and_the_agent_goes_on() {
    let cases = [
        INITIALIZE,
        r#"
    *-32601*) n=$((n+1)); case $n in
        1) say '{"jsonrpc":"2.0","id":"term","method":"terminal/create","params":{"sessionId":"s","command":"sleep","args":["600"]}}' ;;
        *) id=$held; chunk agent_message_chunk 'went on '; answer '"result":{"stopReason":"end_turn"}' ;;
      esac ;;
    *session/prompt*) held=$id; say '{"jsonrpc":"2.0","id":"fs","method":"fs/read_text_file","params":{"sessionId":"s","path":"/etc/hostname"}}' ;;"#,
    ]
    .concat();
    let scene = Scene::with_child(&cases).await;
    scene.say("go").await;
    let lines = scene.turns(1).await;
    assert_eq!(
        (text(&lines).as_str(), ends(&lines)),
        ("went on ", vec!["end_turn"])
    );
    scene.close().await;
}

/// Demand 5, the half that waits for us.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_answers_every_open_question_of_an_agent_that_waits_for_it() {
    let cases = [
        INITIALIZE,
        r#"
    *'"outcome":"cancelled"'*) n=$((n+1)); if [ $n = 2 ]; then id=$held; answer '"result":{"stopReason":"cancelled"}'; fi ;;
    *session/prompt*) held=$id; for q in 10 11; do
        say '{"jsonrpc":"2.0","id":'$q',"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"t'$q'"},"options":[{"optionId":"ok","name":"OK","kind":"allow_once"}]}}'
      done ;;"#,
    ]
    .concat();
    let mut scene = Scene::new(json!({})).await;
    scene.drive(&cases, Policy::Ask).await;
    scene.say("go").await;
    let both = |lines: &[Value]| of(lines, "_posthog/permission_request").len() == 2;
    scene.until("both questions", both).await;
    scene.post(Command::new(What::Cancel)).await;
    let lines = scene.turns(1).await;
    assert_eq!(ends(&lines), ["cancelled"]);
    let answers = of(&lines, "_posthog/permission_response");
    let options: Vec<&Value> = answers.iter().map(|m| &m["params"]["optionId"]).collect();
    assert_eq!(options, ["_cancelled", "_cancelled"]);
    assert_eq!(notes(&lines), "");
    scene.close().await;
}

/// Demand 5, the half that gives up.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ignores_a_cancel_is_ended_and_that_is_said() {
    let cases = [
        INITIALIZE,
        r#"
    *session/cancel*) ;;
    *session/prompt*hang*) chunk agent_message_chunk 'busy ' ;;"#,
    ]
    .concat();
    let mut scene = Scene::new(json!({})).await;
    scene.limits.cancel = SOON;
    scene.drive(&cases, Policy::Auto).await;
    scene.say("hang").await;
    let busy = |lines: &[Value]| text(lines) == "busy ";
    scene.until("the turn", busy).await;
    scene.post(Command::new(What::Cancel)).await;
    let lines = scene.turns(1).await;
    assert_eq!(ends(&lines), ["cancelled"]);
    assert!(notes(&lines).contains("did not stop when it was told to"));
    scene.say("and now").await;
    let lines = scene.turns(2).await;
    assert_eq!(text(&lines), "busy fine ");
    assert_eq!(Limits::default().cancel, Duration::from_secs(10));
    scene.close().await;
}

/// Demand 6.
#[tokio::test(flavor = "multi_thread")]
async fn the_native_child_of_an_adapter_ends_with_it() {
    let cases = r#"
    *initialize*) sleep 600 & echo $! > native; answer '"result":{"protocolVersion":1}' ;;
    *session/prompt*) exit 3 ;;"#;
    let scene = Scene::with_child(cases).await;
    scene.say("go").await;
    let lines = scene.turns(1).await;
    assert_eq!(ends(&lines), ["error"]);
    let native = read(&scene.work("native"));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", native.trim()));
    let is_gone = stat.map_or(true, |stat| {
        let (_, state) = stat.rsplit_once(')').expect("a name");
        state.trim().starts_with('Z')
    });
    assert!(is_gone, "it lives on");
    scene.close().await;
}

/// Demand 7: what a gateway says is shown, and silence ends with a cancel. (A missing login: `children`.)
#[tokio::test(flavor = "multi_thread")]
async fn a_gateways_error_is_told_and_a_silent_agent_is_seen_to_be_silent_and_can_be_cancelled() {
    let cases = [
        INITIALIZE,
        r#"
    *session/prompt*overload*) answer '"error":{"code":-32603,"message":"Internal error","data":{"details":"529 overloaded"}}' ;;
    *session/prompt*silence*) held=$id ;;
    *session/cancel*) id=$held; answer '"result":{"stopReason":"cancelled"}' ;;"#,
    ]
    .concat();
    let scene = Scene::with_child(&cases).await;
    scene.say("overload").await;
    let lines = scene.turns(1).await;
    let at = place(&lines, "error", |m| m["error"].is_object());
    let error = &message(&lines[at])["error"];
    assert_eq!(error["data"]["details"], "529 overloaded");
    assert_eq!(seen(&lines).silent_since(), None);
    scene.say("silence").await;
    let lines = scene.prompts(2).await;
    let taken = lines
        .iter()
        .rev()
        .find(|line| message(line)["method"] == "session/prompt");
    let taken = taken.expect("taken")["timestamp"].as_str().expect("a time");
    let since = seen(&lines).silent_since().expect("silent since then");
    assert_eq!(since, taken.parse::<jiff::Timestamp>().expect("a time"));
    scene.post(Command::new(What::Cancel)).await;
    let lines = scene.turns(2).await;
    assert_eq!(ends(&lines), ["error", "cancelled"]);
    scene.close().await;
}

/// Demand 8.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reason_nobody_knows_is_shown_as_it_came() {
    let cases = [
        INITIALIZE,
        r#"
    *session/prompt*odd*) answer '"result":{"stopReason":"gone_fishing"}' ;;
    *session/prompt*refuse*) answer '"result":{"stopReason":"refusal"}' ;;
    *session/prompt*none*) answer '"result":{}' ;;"#,
    ]
    .concat();
    let scene = Scene::with_child(&cases).await;
    for (turn, said) in (1..).zip(["odd", "refuse", "none"]) {
        scene.say(said).await;
        scene.turns(turn).await;
    }
    let lines = scene.lines().await;
    assert_eq!(ends(&lines), ["gone_fishing", "refusal", "end_turn"]);
    scene.close().await;
}

/// Demand 9.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_before_the_session_counts_and_an_echoed_prompt_is_shown_once() {
    let cases = [
        INITIALIZE,
        r#"
    *session/new*) chunk agent_message_chunk 'early '; answer '"result":{"sessionId":"s"}' ;;
    *session/prompt*) chunk user_message_chunk 'hello vibe'; chunk agent_message_chunk 'fine '; answer '"result":{"stopReason":"end_turn"}' ;;"#,
    ]
    .concat();
    let scene = Scene::with_child(&cases).await;
    scene.say("hello vibe").await;
    let lines = scene.turns(1).await;
    assert_eq!(text(&lines), "early fine ");
    let session = seen(&lines);
    let words = session.transcript.cells.iter();
    let users = words.filter(|cell| matches!(cell.body, Body::User { .. }));
    assert_eq!(users.count(), 1);
    scene.close().await;
}

/// Demand 10: what comes in bulk, and what takes a question back.
#[tokio::test(flavor = "multi_thread")]
async fn floods_long_lines_and_withdrawn_questions_cost_nothing() {
    let cases = [
        INITIALIZE,
        r#"
    *session/prompt*flood*) i=0; while [ $i -lt 3000 ]; do chunk agent_message_chunk "c$i "; i=$((i+1)); done
      say '{"jsonrpc":"2.0","method":"_auth/status_update","params":{"status":"ok"}}'
      say '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"available_commands_update","availableCommands":[{"name":"big","description":"'"$(printf '%013000d' 0)"'"}]}}}'
      answer '"result":{"stopReason":"end_turn"}' ;;
    *session/prompt*ask*) held=$id
      say '{"jsonrpc":"2.0","id":77,"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"t"},"options":[{"optionId":"ok","name":"OK","kind":"allow_once"}]}}'
      say '{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":77}}' ;;
    *'"id":77'*) id=$held; answer '"result":{"stopReason":"end_turn"}' ;;"#,
    ]
    .concat();
    let mut scene = Scene::new(json!({})).await;
    scene.drive(&cases, Policy::Ask).await;
    scene.say("flood").await;
    let lines = scene.turns(1).await;
    let expected: String = (0..3000).map(|i| format!("c{i} ")).collect();
    assert_eq!(text(&lines), expected);
    assert_eq!(seen(&lines).commands[0].description.len(), 13_000);
    scene.say("ask").await;
    let lines = scene.turns(2).await;
    let answers = of(&lines, "_posthog/permission_response");
    assert_eq!(answers[0]["params"]["optionId"], "_cancelled");
    assert_eq!(ends(&lines), ["end_turn", "end_turn"]);
    scene.close().await;
}

/// Demand 11.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_update_is_kept_as_it_came_and_only_a_new_kind_is_unknown() {
    let kinds = [
        r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"a"}}"#,
        r#"{"sessionUpdate":"agent_thought_chunk","content":{"type":"text","text":"t"}}"#,
        r#"{"sessionUpdate":"user_message_chunk","content":{"type":"text","text":"u"}}"#,
        r#"{"sessionUpdate":"tool_call","toolCallId":"t1","title":"T","status":"pending"}"#,
        r#"{"sessionUpdate":"tool_call_update","toolCallId":"t1","status":"completed"}"#,
        r#"{"sessionUpdate":"plan","entries":[{"content":"c","priority":"high","status":"pending"}]}"#,
        r#"{"sessionUpdate":"usage_update","used":3,"size":10}"#,
        r#"{"sessionUpdate":"available_commands_update","availableCommands":[]}"#,
        r#"{"sessionUpdate":"session_info_update","title":"Named"}"#,
        r#"{"sessionUpdate":"config_option_update","configOptions":[]}"#,
        r#"{"sessionUpdate":"current_mode_update","currentModeId":"plan"}"#,
        r#"{"sessionUpdate":"moon_phase_update","phase":0.5}"#,
    ];
    let says: String = kinds
        .iter()
        .map(|kind| {
            format!(
                r#"say '{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s","update":{kind}}}}}'; "#
            )
        })
        .collect();
    let cases = format!(
        r#"{INITIALIZE}
    *session/prompt*) {says} answer '"result":{{"stopReason":"end_turn"}}' ;;"#
    );
    let scene = Scene::with_child(&cases).await;
    scene.say("go").await;
    let lines = scene.turns(1).await;
    let updates: Vec<&Value> = of(&lines, "session/update")
        .iter()
        .map(|m| &m["params"]["update"])
        .collect();
    let sent: Vec<Value> = kinds
        .iter()
        .map(|kind| serde_json::from_str(kind).expect("JSON"))
        .collect();
    assert_eq!(updates, sent.iter().collect::<Vec<_>>());
    let session = seen(&lines);
    assert_eq!(session.title.as_deref(), Some("Named"));
    assert_eq!(session.mode.as_deref(), Some("plan"));
    let all = format!("{:?}", session.transcript.cells);
    assert!(all.contains("moon_phase_update"), "one dim line: {all}");
    scene.close().await;
}

/// Demand 12.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_strews_about_stays_in_its_own_home_and_temp_folder() {
    let cases = [
        INITIALIZE,
        r#"
    *session/prompt*) mkdir "$HOME/.aws" && : > "$TMPDIR/.lib.so" && cp "$HOME/.claude/.credentials.json" login
      printf '%s\n%s\n' "$HOME" "$TMPDIR" > where; answer '"result":{"stopReason":"end_turn"}' ;;"#,
    ]
    .concat();
    let mut scene = Scene::new(json!({})).await;
    let user = scene.folder.path().join("user");
    std::fs::create_dir_all(user.join(".claude")).expect("a folder");
    write(&user.join(".claude/.credentials.json"), "a login");
    let home = user.display().to_string();
    scene.environment.insert("HOME".to_owned(), home);
    scene.drive(&cases, Policy::Auto).await;
    scene.say("go").await;
    scene.turns(1).await;
    let found = read(&scene.work("where"));
    let run = scene.folder.path().join("run");
    let places: Vec<&Path> = found.lines().map(Path::new).collect();
    assert_eq!(places, [run.join("home"), run.join("tmp")]);
    assert!(run.join("home/.aws").is_dir() && run.join("tmp/.lib.so").exists());
    assert!(!user.join(".aws").exists() && !scene.work(".aws").exists());
    assert_eq!(read(&scene.work("login")), "a login");
    scene.close().await;
}

/// Two turns with the end of the agent between them: the second child opens the session of the first, or does not.
async fn reopened(scene: &mut Scene, load: &str) -> Vec<Value> {
    scene.limits.reopening = SOON;
    scene.drive(&[LOADS, load].concat(), Policy::Auto).await;
    scene.say("one").await;
    scene.turns(1).await;
    scene.say("die").await;
    scene.turns(2).await;
    scene.say("two").await;
    scene.turns(3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_loaded_or_never_answers_is_followed_by_a_new_one_and_that_is_said()
 {
    let table = [
        (
            r#"
    *session/load*) answer '"error":{"code":-32603,"message":"no such session"}' ;;"#,
            "it does not remember",
        ),
        (
            r#"
    *session/load*) ;;"#,
            "said nothing for 0 s",
        ),
    ];
    for (load, words) in table {
        let mut scene = Scene::new(json!({})).await;
        let lines = reopened(&mut scene, load).await;
        assert_eq!(ends(&lines), ["end_turn", "error", "end_turn"]);
        assert_eq!(text(&lines), "fine fine ");
        let notes = notes(&lines);
        assert!(
            notes.contains(words) && notes.contains("starts anew"),
            "{notes}"
        );
        scene.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_replayed_before_the_answer_is_not_said_twice_and_is_remembered() {
    let mut scene = Scene::new(json!({})).await;
    let load = r#"
    *session/load*) chunk user_message_chunk 'one'; chunk agent_message_chunk 'fine '; answer '"result":{}' ;;"#;
    let lines = reopened(&mut scene, load).await;
    assert_eq!(
        (text(&lines).as_str(), notes(&lines).as_str()),
        ("fine fine ", "")
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_load_says_that_it_starts_anew() {
    let cases = [
        r#"
    *session/prompt*die*) exit 3 ;;"#,
        INITIALIZE,
    ]
    .concat();
    let scene = Scene::with_child(&cases).await;
    for (turn, said) in (1..).zip(["one", "die", "two"]) {
        scene.say(said).await;
        scene.turns(turn).await;
    }
    let lines = scene.lines().await;
    assert!(notes(&lines).contains("the agent starts anew"));
    assert_eq!(text(&lines), "fine fine ");
    scene.close().await;
}
