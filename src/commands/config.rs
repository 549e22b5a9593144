//! `config path` and `config show`: where the file is, what holds, and who said so.

use serde_json::json;

use crate::cli::{Config, Format};
use crate::commands::context::Context;
use crate::commands::failure::{Exit, Failure};
use crate::commands::output;
use crate::config::keys::KEYS;

/// `file` is the user's config file.
pub fn run(
    context: &Context,
    file: &std::path::Path,
    what: Config,
    format: Format,
) -> Result<Exit, Failure> {
    match what {
        Config::Path => output::line(&file.display().to_string())?,
        Config::Show => show(context, format)?,
        // An editor and the table of keys are for who knows them all.
        Config::Edit => return Err(Failure::later("config edit")),
    }
    Ok(Exit::Done)
}

fn show(context: &Context, format: Format) -> Result<(), Failure> {
    let origins = &context.settings.origins;
    if format != Format::Text {
        let values: Vec<_> = origins
            .iter()
            .map(|origin| json!({"key": origin.key, "value": origin.value, "from": origin.from}))
            .collect();
        return output::json(&json!({"v": 1, "values": values}));
    }
    for origin in origins {
        output::line(&format!(
            "{} = {}    # {}",
            origin.key, origin.value, origin.from
        ))?;
    }
    for key in KEYS.iter().filter(|key| !key.path.contains(&"*")) {
        let name = key.path.join(".");
        if !origins.iter().any(|origin| origin.key == name) {
            output::line(&format!("# {name}: built in; {}", key.about))?;
        }
    }
    Ok(())
}
