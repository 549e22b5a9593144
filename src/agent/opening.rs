//! How a child gets its session: initialize, then load or resume the old one, else a new one.
//!
//! Pure: answers in, the next request or an outcome out.

use std::path::Path;

use serde_json::{Value, json};

use crate::agent::translate;
use crate::protocol::entry::RpcError;

/// JSON-RPC code of "Authentication required".
pub(crate) const LOGIN_NEEDED: i64 = -32000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Initialize,
    Load,
    Resume,
    New,
}

/// A session on its way.
#[derive(Debug)]
pub(crate) struct Opening {
    stage: Stage,
    directory: String,
    /// The session the run had before.
    old: Option<String>,
    initialized: Value,
    /// Something was said before that the agent now does not know.
    forgot: bool,
    /// Updates that came while the old session was being loaded.
    replayed: bool,
}

/// What follows from an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Ask(&'static str, Value),
    Open(Session),
    /// The agent wants a login; the names of its ways.
    Login(Vec<String>),
    Failed(String),
}

/// A session that stands.
#[derive(Debug, PartialEq)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// `session/update`s that the answer held.
    pub(crate) updates: Vec<Value>,
    pub(crate) version: Option<String>,
    /// What it takes in a prompt, as it told.
    pub(crate) takes: Option<Value>,
    /// True when the agent does not remember what was said in this run.
    pub(crate) forgot: bool,
    /// The names of its ways to log in.
    pub(crate) logins: Vec<String>,
    /// It was loaded, and nothing was replayed yet: some agents do so only after their answer.
    pub(crate) may_replay: bool,
}

impl Opening {
    /// `old`: the session before, if any. `spoken`: something was said in this run already.
    pub(crate) fn new(directory: &Path, old: Option<String>, spoken: bool) -> Self {
        Self {
            stage: Stage::Initialize,
            directory: directory.display().to_string(),
            old,
            initialized: Value::Null,
            forgot: spoken,
            replayed: false,
        }
    }

    pub(crate) fn first(&self) -> (&'static str, Value) {
        ("initialize", translate::initialize())
    }

    /// The agent replays what is in the journal already.
    pub(crate) fn is_loading(&self) -> bool {
        self.stage == Stage::Load
    }

    /// The session of before is being opened.
    pub(crate) fn is_reopening(&self) -> bool {
        matches!(self.stage, Stage::Load | Stage::Resume)
    }

    pub(crate) fn replayed(&mut self) {
        self.replayed = true;
    }

    pub(crate) fn answered(&mut self, outcome: Result<Value, RpcError>) -> Next {
        match (self.stage, outcome) {
            (Stage::Initialize, Ok(result)) => {
                self.initialized = result;
                self.reopen()
            }
            (Stage::Load | Stage::Resume, Ok(result)) => {
                let id = self.old.clone().unwrap_or_default();
                self.open(id, &result, false)
            }
            // An old session that is gone is no failure.
            (Stage::Load | Stage::Resume, Err(error)) if error.code != LOGIN_NEEDED => self.anew(),
            (Stage::New, Ok(result)) => match result["sessionId"].as_str() {
                Some(id) => self.open(id.to_owned(), &result, self.forgot),
                None => Next::Failed("it opened a session without an id".to_owned()),
            },
            (_, Err(error)) if error.code == LOGIN_NEEDED => {
                Next::Login(translate::logins(&self.initialized))
            }
            (stage, Err(error)) => Next::Failed(format!("{}: {}", stage.words(), told(&error))),
        }
    }

    fn reopen(&mut self) -> Next {
        let can = &self.initialized["agentCapabilities"];
        let resumes = can["sessionCapabilities"]["resume"].is_object();
        let (stage, method) = match (can["loadSession"].as_bool(), resumes) {
            (Some(true), _) => (Stage::Load, "session/load"),
            (_, true) => (Stage::Resume, "session/resume"),
            _ => return self.anew(),
        };
        match &self.old {
            Some(old) => {
                self.stage = stage;
                let params = json!({"sessionId": old, "cwd": self.directory, "mcpServers": []});
                Next::Ask(method, params)
            }
            None => self.anew(),
        }
    }

    fn anew(&mut self) -> Next {
        self.stage = Stage::New;
        let params = json!({"cwd": self.directory, "mcpServers": []});
        Next::Ask("session/new", params)
    }

    fn open(&self, id: String, result: &Value, forgot: bool) -> Next {
        let info = &self.initialized["agentInfo"];
        Next::Open(Session {
            id,
            updates: translate::told_at_start(result),
            version: info["version"].as_str().map(str::to_owned),
            takes: self.initialized["agentCapabilities"]
                .get("promptCapabilities")
                .filter(|told| told.is_object())
                .cloned(),
            forgot,
            logins: translate::logins(&self.initialized),
            may_replay: self.stage == Stage::Load && !self.replayed,
        })
    }
}

impl Stage {
    fn words(self) -> &'static str {
        match self {
            Self::Initialize => "it refused to begin",
            Self::Load | Self::Resume => "it could not open the old session",
            Self::New => "it could not open a session",
        }
    }
}

/// An error in words, with what stands in its data when that is all it has.
fn told(error: &RpcError) -> String {
    let data = error.data.as_ref();
    let detail = data.and_then(|data| data.as_str().or_else(|| data["details"].as_str()));
    match detail {
        Some(detail) => format!("{} ({detail})", error.message),
        None => error.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(old: Option<&str>) -> Opening {
        Opening::new(Path::new("/w"), old.map(str::to_owned), old.is_some())
    }

    fn refused(code: i64) -> Result<Value, RpcError> {
        Err(RpcError {
            code,
            message: "no".into(),
            data: None,
        })
    }

    fn new() -> Next {
        Next::Ask("session/new", json!({"cwd": "/w", "mcpServers": []}))
    }

    #[test]
    fn a_first_start_gets_a_new_session_and_tells_its_modes_and_options() {
        let mut opening = opening(None);
        let can =
            json!({"agentCapabilities": {"loadSession": true}, "agentInfo": {"version": "1.2"}});
        assert_eq!(opening.answered(Ok(can)), new());
        let answer =
            json!({"sessionId": "s", "modes": {"currentModeId": "plan"}, "configOptions": []});
        let Next::Open(session) = opening.answered(Ok(answer)) else {
            panic!("stands");
        };
        assert_eq!(session.updates.len(), 2);
        assert_eq!((session.id.as_str(), session.forgot), ("s", false));
        assert_eq!(session.version.as_deref(), Some("1.2"));
    }

    #[test]
    fn an_old_session_is_loaded_where_the_agent_can_else_it_says_that_it_forgot() {
        let mut loads = opening(Some("old"));
        let next = loads.answered(Ok(json!({"agentCapabilities": {"loadSession": true}})));
        assert!(matches!(next, Next::Ask("session/load", _)) && loads.is_loading());
        let Next::Open(session) = loads.answered(Ok(Value::Null)) else {
            panic!("stands");
        };
        assert_eq!((session.id.as_str(), session.forgot), ("old", false));

        let mut resumes = opening(Some("old"));
        let can = json!({"agentCapabilities": {"sessionCapabilities": {"resume": {}}}});
        assert!(matches!(
            resumes.answered(Ok(can)),
            Next::Ask("session/resume", _)
        ));
        assert_eq!(resumes.answered(refused(-32602)), new());
        let Next::Open(session) = resumes.answered(Ok(json!({"sessionId": "n"}))) else {
            panic!("stands");
        };
        assert!(session.forgot);

        let mut neither = opening(Some("old"));
        assert_eq!(neither.answered(Ok(json!({}))), new());
    }

    #[test]
    fn a_login_is_told_from_a_failure() {
        let mut opening = opening(None);
        let methods = json!({"authMethods": [{"id": "a", "name": "Log in with A"}, {"id": "b"}]});
        opening.answered(Ok(methods));
        let expected = Next::Login(vec!["Log in with A".into(), "b".into()]);
        assert_eq!(opening.answered(refused(-32000)), expected);
        let failed = opening.answered(refused(-32603));
        assert_eq!(
            failed,
            Next::Failed("it could not open a session: no".into())
        );
    }
}
