//! Between a run's commands and ACP: prompts, permission requests and their answers, and what we say we can do.
//!
//! Pure. Options are chosen by their kind, never by position or id, and a question or a plan is never answered here.

use serde_json::{Value, json};

use crate::protocol::acp::{OptionKind, PermissionOption};
use crate::protocol::command::{PermissionReply, Prompt};
use crate::protocol::entry::PermissionRequest;
use crate::protocol::run::Policy;

/// The option id that means: none of them.
pub(crate) const CANCELLED: &str = "_cancelled";

/// Our half of `initialize`. Version 1: agents that are asked for more switch to a draft.
pub(crate) fn initialize() -> Value {
    json!({
        "protocolVersion": 1,
        "clientCapabilities": {
            "fs": {"readTextFile": false, "writeTextFile": false},
            "terminal": false,
            "elicitation": {"form": {}},
            "session": {
                "notices": {},
                "compaction": {},
                "configOptions": {"boolean": {}},
            },
        },
        "clientInfo": {"name": "ashore", "title": "Ashore", "version": env!("CARGO_PKG_VERSION")},
    })
}

/// The content blocks of a prompt: its own, else one of text.
pub(crate) fn blocks(prompt: &Prompt) -> Vec<Value> {
    match &prompt.blocks {
        Some(blocks) if !blocks.is_empty() => blocks.clone(),
        Some(_) | None => vec![json!({"type": "text", "text": prompt.text})],
    }
}

/// What is done with a permission request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The policy answers with this option.
    Pick(String),
    /// The policy answers that none is taken.
    Refuse,
    /// Someone has to say.
    Relay,
}

/// Reads `session/request_permission` as it came; whatever is missing is made up, since the agent waits for an answer.
pub(crate) fn permission(request: &str, params: &Value) -> PermissionRequest {
    let call = params.get("toolCall").unwrap_or(&Value::Null);
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let options = params.get("options").and_then(Value::as_array);
    PermissionRequest {
        request: request.to_owned(),
        tool_call: text(call, "toolCallId").unwrap_or_default(),
        title: text(call, "title")
            .or_else(|| text(call, "kind"))
            .unwrap_or_else(|| "The agent asks for permission".to_owned()),
        kind: text(call, "kind"),
        options: options.into_iter().flatten().filter_map(option).collect(),
        raw_input: call.get("rawInput").filter(|raw| !raw.is_null()).cloned(),
    }
}

fn option(value: &Value) -> Option<PermissionOption> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let id = text("optionId")?;
    Some(PermissionOption {
        name: text("name").unwrap_or_else(|| id.clone()),
        kind: OptionKind::parse(&text("kind").unwrap_or_default()),
        description: text("description"),
        id,
    })
}

/// Decides by the run's policy (design decision 13, contract 8).
pub(crate) fn judge(policy: Policy, request: &PermissionRequest, params: &Value) -> Verdict {
    let pick = |kinds: [OptionKind; 2]| {
        kinds.iter().find_map(|kind| {
            let fits = |option: &&PermissionOption| option.kind == *kind;
            request.options.iter().find(fits).map(|o| o.id.clone())
        })
    };
    match policy {
        Policy::Ask => Verdict::Relay,
        Policy::Deny => pick([OptionKind::RejectOnce, OptionKind::RejectAlways])
            .map_or(Verdict::Refuse, Verdict::Pick),
        Policy::Auto if is_question(request, params) => Verdict::Relay,
        Policy::Auto => pick([OptionKind::AllowOnce, OptionKind::AllowAlways])
            .map_or(Verdict::Relay, Verdict::Pick),
    }
}

/// A question to the user, or a plan to approve: nobody else can say yes to it.
fn is_question(request: &PermissionRequest, params: &Value) -> bool {
    let call = &params["toolCall"];
    let tool = call["_meta"]["claudeCode"]["toolName"].as_str();
    let asks = matches!(request.kind.as_deref(), Some("ask" | "switch_mode"))
        || matches!(tool, Some("AskUserQuestion" | "ExitPlanMode"));
    let questions = ["currentQuestion", "questions", "questionIndex"];
    asks || questions
        .iter()
        .any(|key| call["rawInput"].get(key).is_some())
}

/// The answer to the agent's request.
pub(crate) fn picked(option: &str, text: Option<&str>) -> Value {
    let mut outcome = json!({"outcome": "selected", "optionId": option});
    if let Some(text) = text {
        // Beside `optionId`, where the adapters of the period look for it (contract 8).
        outcome["customInput"] = json!(text);
    }
    json!({"outcome": outcome})
}

pub(crate) fn not_picked() -> Value {
    json!({"outcome": {"outcome": "cancelled"}})
}

/// A person's answer, as the agent wants it. An option that was never offered is none of them.
pub(crate) fn answer(reply: &PermissionReply, request: &PermissionRequest) -> Value {
    let offered = request.options.iter().any(|o| o.id == reply.option);
    if offered && reply.option != CANCELLED {
        picked(&reply.option, reply.text.as_deref())
    } else {
        not_picked()
    }
}

/// `session/set_config_option`; a boolean says so, as the capability asks.
pub(crate) fn set_config(session: &str, id: &str, value: &Value) -> Value {
    let mut params = json!({"sessionId": session, "configId": id, "value": value});
    if value.is_boolean() {
        params["type"] = json!("boolean");
    }
    params
}

/// What `session/new` and `session/load` tell in their answers, as updates, so that a screen learns it.
pub(crate) fn told_at_start(result: &Value) -> Vec<Value> {
    let mut updates = Vec::new();
    if let Some(mode) = result["modes"]["currentModeId"].as_str() {
        updates.push(mode_update(mode, result["modes"].get("availableModes")));
    }
    if let Some(options) = result.get("configOptions").filter(|o| o.is_array()) {
        updates.push(json!({"sessionUpdate": "config_option_update", "configOptions": options}));
    }
    updates
}

/// The mode, and beside it the modes that can be chosen when they are told: ACP has no update for these
/// (contract 10.3).
pub(crate) fn mode_update(mode: &str, offered: Option<&Value>) -> Value {
    let mut update = json!({"sessionUpdate": "current_mode_update", "currentModeId": mode});
    if let Some(offered) = offered.and_then(Value::as_array) {
        let modes = offered.iter().filter(|mode| mode["id"].is_string());
        let modes: Vec<Value> = modes
            .map(|mode| json!({"id": mode["id"], "name": mode["name"].as_str()}))
            .collect();
        update["_meta"] = json!({"ashore": {"modes": modes}});
    }
    update
}

/// What a permission request tells of its tool call beyond what the question itself holds, as an update of that call:
/// some agents tell it only here, and before they announce the call.
pub(crate) fn told_by_question(params: &Value) -> Option<Value> {
    let call = params.get("toolCall")?;
    let some = |key: &str| call[key].as_array().is_some_and(|list| !list.is_empty());
    if !call["toolCallId"].is_string() || !(some("content") || some("locations")) {
        return None;
    }
    let mut update = call.clone();
    update["sessionUpdate"] = json!("tool_call_update");
    Some(update)
}

/// The names of the ways to log in, for the hint of a failed step.
pub(crate) fn logins(initialized: &Value) -> Vec<String> {
    let methods = initialized.get("authMethods").and_then(Value::as_array);
    methods
        .into_iter()
        .flatten()
        .filter_map(|method| method.get("name").or_else(|| method.get("id")))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: &str, options: &[(&str, &str)]) -> Value {
        let options: Vec<Value> = options
            .iter()
            .map(|(id, kind)| json!({"optionId": id, "name": id, "kind": kind}))
            .collect();
        json!({"sessionId": "s", "toolCall": {"toolCallId": "t", "title": "T", "kind": kind}, "options": options})
    }

    fn decided(policy: Policy, params: &Value) -> Verdict {
        judge(policy, &permission("r", params), params)
    }

    #[test]
    fn a_policy_picks_by_kind_and_never_by_position() {
        let all = asked(
            "execute",
            &[
                ("a", "reject_always"),
                ("b", "allow_always"),
                ("c", "allow_always"),
                ("d", "allow_once"),
                ("e", "reject_once"),
            ],
        );
        assert_eq!(decided(Policy::Auto, &all), Verdict::Pick("d".into()));
        assert_eq!(decided(Policy::Deny, &all), Verdict::Pick("e".into()));
        assert_eq!(decided(Policy::Ask, &all), Verdict::Relay);
        let odd = asked("execute", &[("x", "maybe")]);
        assert_eq!(decided(Policy::Auto, &odd), Verdict::Relay);
        assert_eq!(decided(Policy::Deny, &odd), Verdict::Refuse);
        assert_eq!(decided(Policy::Deny, &json!({})), Verdict::Refuse);
        assert_eq!(decided(Policy::Auto, &json!(null)), Verdict::Relay);
    }

    #[test]
    fn questions_and_plans_are_never_approved_by_auto() {
        let yes = [("yes", "allow_once")];
        let plan = asked("switch_mode", &yes);
        let mut question = asked("other", &yes);
        question["toolCall"]["_meta"] = json!({"claudeCode": {"toolName": "AskUserQuestion"}});
        let mut numbered = asked("other", &yes);
        numbered["toolCall"]["rawInput"] = json!({"questionIndex": 0});
        for params in [plan, question, numbered, asked("ask", &yes)] {
            assert_eq!(decided(Policy::Auto, &params), Verdict::Relay, "{params}");
            assert_eq!(decided(Policy::Deny, &params), Verdict::Refuse);
        }
    }

    #[test]
    fn an_answer_with_an_option_that_was_never_offered_is_a_cancel() {
        let request = permission("r", &asked("execute", &[("a", "allow_once")]));
        let reply = |option: &str| PermissionReply {
            request: "r".into(),
            tool_call: "t".into(),
            option: option.into(),
            text: Some("no thanks".into()),
        };
        assert_eq!(
            answer(&reply("a"), &request),
            json!({"outcome": {"outcome": "selected", "optionId": "a", "customInput": "no thanks"}})
        );
        assert_eq!(answer(&reply("b"), &request), not_picked());
        assert_eq!(answer(&reply(CANCELLED), &request), not_picked());
    }

    #[test]
    fn the_modes_that_are_offered_are_told_with_the_one_that_is_on() {
        let offered = json!([{"id": "ask", "name": "Ask", "description": "long words"}, {"id": "plan"}, "odd"]);
        let result = json!({"modes": {"currentModeId": "ask", "availableModes": offered}});
        let expected = json!({"sessionUpdate": "current_mode_update", "currentModeId": "ask",
            "_meta": {"ashore": {"modes": [{"id": "ask", "name": "Ask"}, {"id": "plan", "name": null}]}}});
        assert_eq!(told_at_start(&result), [expected]);
        let bare = json!({"sessionUpdate": "current_mode_update", "currentModeId": "ask"});
        assert_eq!(
            told_at_start(&json!({"modes": {"currentModeId": "ask"}})),
            [bare]
        );
    }

    #[test]
    fn what_only_a_question_tells_of_its_call_is_told_before_it() {
        let mut params = asked("edit", &[("a", "allow_once")]);
        assert_eq!(told_by_question(&params), None);
        let diff = json!([{"type": "diff", "path": "a.rs", "oldText": "a", "newText": "b"}]);
        params["toolCall"]["content"] = diff.clone();
        let update = told_by_question(&params).unwrap();
        assert_eq!(
            (
                &update["sessionUpdate"],
                &update["toolCallId"],
                &update["content"]
            ),
            (&json!("tool_call_update"), &json!("t"), &diff)
        );
        params["toolCall"]["toolCallId"] = json!(7);
        assert_eq!(told_by_question(&params), None);
    }

    #[test]
    fn the_agent_is_asked_for_version_one_and_told_what_the_screen_can_draw() {
        let ours = initialize();
        assert_eq!(ours["protocolVersion"], 1);
        let session = &ours["clientCapabilities"]["session"];
        assert_eq!(
            session,
            &json!({"notices": {}, "compaction": {}, "configOptions": {"boolean": {}}})
        );
        let read: Result<agent_client_protocol_schema::v1::InitializeRequest, _> =
            serde_json::from_value(ours);
        assert!(read.is_ok(), "{read:?}");
    }
}
