//! An agent's form between ACP and the run's questions: `elicitation/create` (contract 10.3).
//!
//! Pure. What cannot be shown as a form is declined, and an answer that does not fit never reaches the agent.

use serde_json::{Value, json};

use crate::agent::translate::CANCELLED;
use crate::protocol::acp::{OptionKind, PermissionOption};
use crate::protocol::command::PermissionReply;
use crate::protocol::entry::PermissionRequest;
use crate::protocol::form::{ACCEPT, DECLINE, Form, KIND, SCHEMA};

/// How the agent asks for it.
pub(crate) const METHOD: &str = "elicitation/create";

/// The question that stands for the form in the journal; a line for the user when there can be none.
pub(crate) fn question(request: &str, params: &Value) -> Result<PermissionRequest, String> {
    let text = |key: &str| params.get(key).and_then(Value::as_str);
    let title = text("message").unwrap_or("The agent asks for some answers");
    let schema = &params[SCHEMA];
    if Form::read(schema).is_none() {
        return Err(format!(
            "the agent asked for answers in a form that cannot be shown here, which was declined: {title}"
        ));
    }
    let option = |id: &str, name: &str, kind| PermissionOption {
        id: id.to_owned(),
        name: name.to_owned(),
        kind,
        description: None,
    };
    Ok(PermissionRequest {
        request: request.to_owned(),
        tool_call: text("toolCallId").unwrap_or_default().to_owned(),
        title: title.to_owned(),
        kind: Some(KIND.to_owned()),
        options: vec![
            option(ACCEPT, "Answer", OptionKind::AllowOnce),
            option(DECLINE, "Decline", OptionKind::RejectOnce),
        ],
        raw_input: Some(json!({SCHEMA: schema})),
    })
}

/// A person's answer, as the agent wants it. Without words it is what the form says by itself.
pub(crate) fn answer(reply: &PermissionReply, request: &PermissionRequest) -> Value {
    match reply.option.as_str() {
        ACCEPT => (),
        CANCELLED => return cancelled(),
        _ => return declined(),
    }
    let form = request.raw_input.as_ref();
    let Some(form) = form.and_then(|input| Form::read(&input[SCHEMA])) else {
        return declined();
    };
    let content = match &reply.text {
        Some(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        None => form.answer(&[]).unwrap_or(Value::Null),
    };
    if form.fits(&content) {
        json!({"action": "accept", "content": content})
    } else {
        declined()
    }
}

pub(crate) fn declined() -> Value {
    json!({"action": "decline"})
}

pub(crate) fn cancelled() -> Value {
    json!({"action": "cancel"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_fits_the_form_reaches_the_agent() {
        let schema = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "s": {"type": "string", "default": "x"}}});
        let params = json!({"mode": "form", "message": "How many?", "requestedSchema": schema});
        let asked = question("r", &params).unwrap();
        assert_eq!(
            (asked.title.as_str(), asked.kind.as_deref()),
            ("How many?", Some(KIND))
        );
        let table = [
            (
                ACCEPT,
                Some(r#"{"n":3}"#),
                json!({"action": "accept", "content": {"n": 3}}),
            ),
            (ACCEPT, Some(r#"{"n":"3"}"#), declined()),
            (ACCEPT, Some("three"), declined()),
            (ACCEPT, None, declined()),
            (DECLINE, Some(r#"{"n":3}"#), declined()),
            (CANCELLED, None, cancelled()),
            ("other", None, declined()),
        ];
        for (option, text, expected) in table {
            let reply = PermissionReply {
                request: "r".into(),
                tool_call: String::new(),
                option: option.into(),
                text: text.map(str::to_owned),
            };
            assert_eq!(answer(&reply, &asked), expected, "{option} {text:?}");
        }
        let read: Result<agent_client_protocol_schema::v1::CreateElicitationResponse, _> =
            serde_json::from_value(json!({"action": "accept", "content": {"n": 3}}));
        assert!(read.is_ok(), "{read:?}");
    }

    #[test]
    fn what_is_no_form_of_ours_is_told_with_the_agents_words() {
        for schema in [
            json!(null),
            json!({"properties": {"a": {"type": "object"}}}),
        ] {
            let params = json!({"message": "Tell me all", "requestedSchema": schema});
            assert!(question("r", &params).unwrap_err().contains("Tell me all"));
        }
    }
}
