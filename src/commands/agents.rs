//! Which agent a new run gets, and the variables that go with it.
//!
//! Named by flag, environment or config; else the first preset whose program is found; else the demo agent.

use std::collections::BTreeMap;
use std::path::Path;

use crate::commands::context::Context;
use crate::commands::failure::Failure;
use crate::protocol::presets::{self, DEMO, Preset};

/// The choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// A preset's name; `None` with a command line of the user's own.
    pub preset: Option<String>,
    pub command: Option<String>,
    /// The user said so: then a login it asks for is reported, and nothing is put in its place.
    pub named: bool,
    /// The variables of the agent child (contract 10.3).
    pub secrets: BTreeMap<String, String>,
}

/// `local` says that the endpoint runs on this machine, where the preset's program must be found.
pub fn choose(
    context: &Context,
    agent: Option<&str>,
    command: Option<&str>,
    local: bool,
) -> Result<Choice, Failure> {
    if let Some(command) = command {
        if !local {
            return Err(
                Failure::usage("--agent-command works on the local endpoint only")
                    .hint("use --agent NAME there"),
            );
        }
        if shlex::split(command).is_none_or(|words| words.is_empty()) {
            return Err(Failure::usage(format!(
                "this is no command line: {command}"
            )));
        }
        return Ok(Choice {
            preset: None,
            command: Some(command.to_owned()),
            named: true,
            secrets: secrets(context, None, local),
        });
    }
    let path = context.env.get("PATH").unwrap_or_default();
    if let Some(name) = agent.or(context.settings.agent.as_deref()) {
        let preset = presets::named(name).ok_or_else(|| unknown(name))?;
        if local && presets::lookup(name, path, Path::is_file).is_none() {
            return Err(
                Failure::usage(format!("the agent `{name}` is not installed here"))
                    .hint(preset.install)
                    .hint("--agent demo needs nothing"),
            );
        }
        return Ok(Choice {
            preset: Some(name.to_owned()),
            command: None,
            named: true,
            secrets: secrets(context, Some(preset), local),
        });
    }
    // Elsewhere the endpoint chooses: what is installed here says nothing about there.
    let preset = if local {
        presets::first(path, Path::is_file).preset.name
    } else {
        DEMO
    };
    let secrets = secrets(context, presets::named(preset), local);
    Ok(Choice {
        preset: Some(preset.to_owned()),
        command: None,
        named: false,
        secrets,
    })
}

fn unknown(name: &str) -> Failure {
    let names: Vec<_> = presets::ALL.iter().map(|preset| preset.name).collect();
    Failure::usage(format!("there is no agent `{name}`")).hint(format!(
        "one of {}, or --agent-command CMD",
        names.join(", ")
    ))
}

/// The caller's PATH (on this machine), what the preset names, and what the config names.
fn secrets(context: &Context, preset: Option<&Preset>, local: bool) -> BTreeMap<String, String> {
    let mut names: Vec<&str> = preset.map_or(&[][..], |preset| preset.passes).to_vec();
    names.extend(context.settings.agent_env.iter().map(String::as_str));
    if local {
        names.push("PATH");
    }
    context.env.pick(names)
}
