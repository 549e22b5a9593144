//! `ashore doctor`: what works here, what does not, and what to do about it.
//!
//! Looks only; starts nothing and sends nothing but a health check to a running local endpoint.

use std::path::Path;

use serde_json::json;

use crate::cli::Format;
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::output;
use crate::protocol::presets::{self, Program};

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    says: String,
    hint: Option<String>,
}

pub async fn run(context: &Context, agent: Option<&str>, format: Format) -> Result<Exit, Failure> {
    if agent.is_some() {
        return Err(Failure::later("doctor --agent")
            .hint("ashore run -p \"hello\" --agent NAME tries it for real"));
    }
    let mut findings = vec![
        endpoint(context).await,
        disk(&context.places.state),
        git(context),
        terminal(context),
    ];
    findings.extend(agents(context));
    match format {
        Format::Text | Format::Md => findings
            .iter()
            .try_for_each(|finding| output::line(&text(finding)))?,
        Format::Json | Format::Ndjson => output::json(
            &json!({"v": 1, "version": env!("CARGO_PKG_VERSION"), "findings": findings}),
        )?,
    }
    Ok(Exit::Done)
}

fn text(finding: &Finding) -> String {
    let mark = if finding.ok { "ok  " } else { "--  " };
    let hint = finding
        .hint
        .as_ref()
        .map_or_else(String::new, |hint| format!("\n                   {hint}"));
    output::plain(&format!("{mark}{:<15}{}{hint}", finding.what, finding.says))
}

async fn endpoint(context: &Context) -> Finding {
    let what = "endpoint";
    match &context.settings.endpoint {
        Some(text) => match context
            .named(text)
            .and_then(|endpoint| context.api(endpoint))
        {
            Ok(api) => match api.me().await {
                Ok(hello) => Finding {
                    what,
                    ok: true,
                    says: format!("{text} answers, as {}", hello.me.email),
                    hint: None,
                },
                Err(error) => Finding {
                    what,
                    ok: false,
                    says: error.to_string(),
                    hint: Some("is the address right, and ASHORE_TOKEN set?".into()),
                },
            },
            Err(failure) => Finding {
                what,
                ok: false,
                says: failure.what,
                hint: failure.hints.first().cloned(),
            },
        },
        None => match context.running().await {
            Some(endpoint) => Finding {
                what,
                ok: true,
                says: format!("the local one runs at {}", endpoint.url),
                hint: None,
            },
            None => Finding {
                what,
                ok: true,
                says: "the local one is not running; it starts when it is needed".into(),
                hint: None,
            },
        },
    }
}

fn disk(state: &Path) -> Finding {
    let there = state
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(room) => {
            let free = room.f_bavail.saturating_mul(room.f_frsize);
            let ok = free > 1 << 30;
            let says = format!("{} GiB free for {}", free >> 30, state.display());
            Finding {
                what: "disk",
                ok,
                says,
                hint: (!ok).then(|| "ashore rm RUN removes runs that are over".into()),
            }
        }
        Err(error) => Finding {
            what: "disk",
            ok: false,
            says: format!("cannot look at {}: {error}", there.display()),
            hint: None,
        },
    }
}

fn on_path(context: &Context, program: &str) -> bool {
    context
        .env
        .get("PATH")
        .unwrap_or_default()
        .split(':')
        .any(|folder| Path::new(folder).join(program).is_file())
}

fn git(context: &Context) -> Finding {
    let ok = on_path(context, "git");
    let hint =
        (!ok).then(|| "without it a run starts without the history of your repository".to_owned());
    Finding {
        what: "git",
        ok,
        says: if ok {
            "found".into()
        } else {
            "not on the PATH".into()
        },
        hint,
    }
}

fn terminal(context: &Context) -> Finding {
    let name = context.env.get("TERM").unwrap_or("unset");
    let inside = if context.env.get("TMUX").is_some() {
        ", inside tmux"
    } else {
        ""
    };
    let colors = if context.env.get("NO_COLOR").is_some() {
        ", NO_COLOR is set"
    } else {
        ""
    };
    let ok = !matches!(name, "dumb" | "unset");
    Finding {
        what: "terminal",
        ok,
        says: format!("TERM={name}{inside}{colors}"),
        hint: (!ok).then(|| {
            "the screen needs a real terminal; run -p and attach --format ndjson do not".into()
        }),
    }
}

fn agents(context: &Context) -> Vec<Finding> {
    let path = context.env.get("PATH").unwrap_or_default();
    let look = |preset: &'static presets::Preset| match presets::lookup(
        preset.name,
        path,
        Path::is_file,
    ) {
        Some(found) => {
            let says = match found.program {
                Program::BuiltIn => "built in, needs no network".to_owned(),
                Program::At { path, .. } => path.display().to_string(),
            };
            Finding {
                what: preset.name,
                ok: true,
                says,
                hint: None,
            }
        }
        None => Finding {
            what: preset.name,
            ok: false,
            says: "not installed".into(),
            hint: Some(preset.install.into()),
        },
    };
    presets::ALL.iter().map(look).collect()
}
