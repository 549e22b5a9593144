//! `ashore keys`: every action with its place in the config, its keys, and who gave it those.
//!
//! Part of `main`, because the table of keys belongs to the screen.

use ashore::cli::Format;
use ashore::commands::context::Context;
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::output;
use ashore::tui::keymap::{Binding, Key};
use serde_json::json;

use crate::screen;

/// As the config file has it, so that a line can be copied into it.
pub(crate) fn run(context: &Context, format: Format) -> Result<Exit, Failure> {
    let keymap = screen::keymap(&context.settings)?;
    let origin = |one: &Binding| {
        let path = format!("keys.{}", one.name());
        let origins = context.settings.origins.iter();
        let found = origins.rev().find(|origin| origin.key == path);
        found.map(|origin| origin.from.clone())
    };
    if format != Format::Text {
        let rows: Vec<_> = keymap
            .bindings
            .iter()
            .map(|one| {
                let keys: Vec<String> = one.keys.iter().map(Key::word).collect();
                json!({"path": format!("keys.{}", one.name()), "keys": keys, "about": one.label, "from": origin(one)})
            })
            .collect();
        output::json(&json!({"v": 1, "keys": rows}))?;
        return Ok(Exit::Done);
    }
    for told in keymap.shadowed(&context.settings.keys) {
        output::say(context.quiet, &told);
    }
    let mut table = "";
    for one in &keymap.bindings {
        let name = one.name();
        let (context, action) = name.split_once('.').unwrap_or(("", &name));
        if context != table {
            let apart = if table.is_empty() { "" } else { "\n" };
            output::line(&format!("{apart}[keys.{context}]"))?;
            table = one.context.name();
        }
        let keys: Vec<String> = one
            .keys
            .iter()
            .map(|key| format!("{:?}", key.word()))
            .collect();
        let line = format!("{action} = [{}]", keys.join(", "));
        let from = origin(one).map_or_else(String::new, |from| format!(" ({from})"));
        let about = match one.label {
            "" => from.trim().to_owned(),
            label => format!("{label}{from}"),
        };
        let about = if about.is_empty() {
            about
        } else {
            format!("# {about}")
        };
        output::line(format!("{line:<44} {about}").trim_end())?;
    }
    Ok(Exit::Done)
}
