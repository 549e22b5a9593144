//! Does the agent get its way without being asked? By the run's policy, or by a mode of its own.
//!
//! Pure; reads the run and the session, changes nothing.

use crate::attach::state::Attached;
use crate::protocol::run::{Policy, Run};
use crate::session::choices::Kind;

/// Who says yes when nobody is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// The run's policy; one that is not told is `auto` on the wire (design decision 13).
    Policy,
    /// A mode of the agent, by its name.
    Mode(String),
}

/// Who approves by itself here, if anybody does. The policy is told first: it holds whatever the mode is.
pub fn by_itself(attached: &Attached) -> Option<Approval> {
    let run = attached.run.as_ref();
    let policy = run
        .filter(|run| run.is_driven())
        .map(|run| run.ours().permissions.unwrap_or_default());
    if policy == Some(Policy::Auto) {
        return Some(Approval::Policy);
    }
    let mode = attached.session.choice(Kind::Mode)?;
    let name = mode.name_of(&mode.current);
    let agent = run.and_then(Run::agent);
    let approves =
        approves(&mode.current) || approves(name) || is_reviewed(&mode.current, agent.as_deref());
    approves.then(|| Approval::Mode(name.to_owned()))
}

/// Does a mode of this name approve by itself? By the words that agents have for it.
fn approves(mode: &str) -> bool {
    let squeezed: String = mode
        .chars()
        .filter(|char| char.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let known = [
        "bypass",
        "yolo",
        "accept",
        "dontask",
        "fullaccess",
        "autoapprove",
        "autoedit",
    ];
    known.iter().any(|word| squeezed.contains(word)) || words(mode).any(|word| word == "auto")
}

/// In the mode `agent` of codex a model reviews in the place of the user.
fn is_reviewed(mode: &str, agent: Option<&str>) -> bool {
    mode == "agent" && agent == Some("codex")
}

/// `acceptEdits` and `accept-edits` as `accept` and `edits`.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut before_small = false;
    for char in text.chars() {
        if !char.is_alphanumeric() || (char.is_uppercase() && before_small) {
            words.push(String::new());
        }
        before_small = char.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| char.is_alphanumeric()) {
            word.extend(char.to_lowercase());
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::acp::Mode;
    use crate::protocol::ids::{ProjectId, RunRef};

    fn attached(environment: &str, state: serde_json::Value, mode: Option<&str>) -> Attached {
        let at = RunRef {
            project: ProjectId(1),
            task: "1b9e".parse().unwrap(),
            run: "7f3a1c52".parse().unwrap(),
        };
        let run =
            json!({"id": at.run, "task": at.task, "environment": environment, "state": state});
        let mut attached = Attached::new(at, "local", false);
        attached.run = Some(serde_json::from_value(run).unwrap());
        attached.session.mode = mode.map(str::to_owned);
        attached.session.modes = vec![Mode {
            id: "m1".into(),
            name: "Accept Edits".into(),
        }];
        attached
    }

    #[test]
    fn a_policy_or_a_mode_that_approves_is_told_whatever_it_is_called() {
        let ask = || json!({"permissions": "ask"});
        let mode = |name: &str| Some(Approval::Mode(name.into()));
        let table = [
            (
                "cloud",
                json!({"permissions": "auto"}),
                None,
                Some(Approval::Policy),
            ),
            ("cloud", json!({}), Some("plan"), Some(Approval::Policy)),
            (
                "local",
                json!({"directory": "/w"}),
                None,
                Some(Approval::Policy),
            ),
            // Nobody drives this one: no policy answers in it.
            ("local", json!({}), None, None),
            (
                "cloud",
                json!({"permissions": "deny"}),
                Some("default"),
                None,
            ),
            ("cloud", ask(), None, None),
            ("cloud", ask(), Some("plan"), None),
            ("cloud", ask(), Some("read-only"), None),
            ("cloud", ask(), Some("automobile"), None),
            ("cloud", ask(), Some("agent"), None),
            (
                "cloud",
                json!({"permissions": "ask", "agent": "codex"}),
                Some("agent"),
                mode("agent"),
            ),
            (
                "cloud",
                ask(),
                Some("bypassPermissions"),
                mode("bypassPermissions"),
            ),
            ("cloud", ask(), Some("acceptEdits"), mode("acceptEdits")),
            ("cloud", ask(), Some("dontAsk"), mode("dontAsk")),
            (
                "cloud",
                ask(),
                Some("agent-full-access"),
                mode("agent-full-access"),
            ),
            ("cloud", ask(), Some("yolo"), mode("yolo")),
            ("cloud", ask(), Some("autoEdit"), mode("autoEdit")),
            ("cloud", ask(), Some("auto"), mode("auto")),
            ("cloud", ask(), Some("auto-approve"), mode("auto-approve")),
            // By its name, when its id says nothing.
            ("cloud", ask(), Some("m1"), mode("Accept Edits")),
        ];
        for (environment, state, mode, expected) in table {
            let told = by_itself(&attached(environment, state.clone(), mode));
            assert_eq!(told, expected, "{environment} {state} {mode:?}");
        }
    }
}
