//! From the command line and the settings to what a new run is made of.
//!
//! Creates nothing.

use crate::attach::launch;
use crate::cli::{self, Where};
use crate::client::api::Api;
use crate::commands::agents;
use crate::commands::context::Context;
use crate::commands::failure::Failure;
use crate::protocol::presets;
use crate::protocol::run::{Environment, Policy};

/// Git history above this is left at home; only the files travel.
const HISTORY_LIMIT: u64 = 64 << 20;

/// The plan, and a line for the user when the agent was chosen for them. `policy` holds when neither flag nor config
/// says one.
pub fn plan(
    context: &Context,
    wish: &cli::Run,
    api: &Api,
    text: &str,
    policy: Policy,
) -> Result<(launch::Plan, Option<String>), Failure> {
    let local = api.endpoint().local;
    let choice = agents::choose(
        context,
        wish.agent.as_deref(),
        wish.agent_command.as_deref(),
        local,
    )?;
    let line = (!choice.named).then(|| chosen(&choice));
    let environment = match wish.environment {
        Where::Local => Environment::Local,
        Where::Cloud => Environment::Cloud,
    };
    let asked = wish
        .permissions
        .map(Policy::from)
        .or(context.settings.permissions);
    let plan = launch::Plan {
        prompt: text.to_owned(),
        directory: context.directory.clone(),
        agent: choice.preset,
        agent_command: choice.command,
        agent_named: choice.named,
        permissions: asked.unwrap_or(policy),
        mirrored: environment == Environment::Cloud && !wish.no_mirror,
        environment,
        repo: wish.repo.clone(),
        branch: wish.branch.clone(),
        secrets: choice.secrets,
        size_limit: context.settings.seed_limit,
        max_file: context.settings.max_file,
        history_limit: HISTORY_LIMIT,
        ignore: context.ignore(&context.directory),
        include: context.settings.include.clone(),
        project: context.project(),
    };
    Ok((plan, line))
}

/// Which agent a new run here would get, for the first screen. `local`: on the endpoint of this machine.
pub fn agent_line(context: &Context, wish: &cli::Run, local: bool) -> Result<String, Failure> {
    let choice = agents::choose(
        context,
        wish.agent.as_deref(),
        wish.agent_command.as_deref(),
        local,
    )?;
    Ok(chosen(&choice))
}

fn chosen(choice: &agents::Choice) -> String {
    let name = choice
        .preset
        .as_deref()
        .or(choice.command.as_deref())
        .unwrap_or("the endpoint's own");
    match (name, choice.named) {
        (_, true) => format!("agent: {name}"),
        (presets::DEMO, false) => "agent: demo, which is built in; no other was found (--agent or --agent-command name one)".to_owned(),
        (_, false) => format!("agent: {name}, the first that was found (--agent names another)"),
    }
}
