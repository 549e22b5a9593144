//! `theme ls` and `theme preview`: which themes there are, and what they look like here.
//!
//! Part of `main`, because themes are the screen's and this is no screen.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use ashore::cli::{self, Format, Global};
use ashore::commands::context::Context;
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::output;
use ashore::tui::sample;
use ashore::tui::theme::{BUILT_IN, Choice, Depth, Theme};
use serde_json::json;

use crate::tastes;

pub(crate) fn run(
    context: &Context,
    global: &Global,
    what: &cli::Theme,
    format: Format,
) -> Result<Exit, Failure> {
    match what {
        cli::Theme::Ls => ls(context, format)?,
        cli::Theme::Preview { names } => preview(context, global, names)?,
    }
    Ok(Exit::Done)
}

/// One theme by its name, or why it cannot be taken.
struct Row {
    name: String,
    from: String,
    theme: Result<Theme, String>,
}

/// Built-in ones first, as they are listed in the program, then the user's own by name.
fn rows(context: &Context) -> Vec<Row> {
    let folder = tastes::folder(context);
    let files = std::fs::read_dir(&folder).into_iter().flatten();
    let own: BTreeSet<String> = files
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_theme = path.extension().is_some_and(|end| end == "toml");
            is_theme.then(|| path.file_stem()?.to_str().map(str::to_owned))?
        })
        .collect();
    let known = BUILT_IN.iter().map(|(name, _)| (*name).to_owned());
    let more = own.iter().filter(|name| !is_built_in(name)).cloned();
    known
        .chain(more)
        .map(|name| Row {
            from: if own.contains(&name) {
                folder.join(format!("{name}.toml")).display().to_string()
            } else {
                "built in".to_owned()
            },
            theme: tastes::theme(context, &name, Depth::True).map_err(|failure| failure.what),
            name,
        })
        .collect()
}

fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(known, _)| *known == name)
}

fn ls(context: &Context, format: Format) -> Result<(), Failure> {
    let rows = rows(context);
    let chosen = context.settings.theme.as_deref().unwrap_or(Choice::AUTO);
    if format != Format::Text {
        let themes: Vec<_> = rows
            .iter()
            .map(|row| {
                let scheme = row.theme.as_ref().ok().and_then(Theme::scheme);
                json!({
                    "name": row.name, "from": row.from, "chosen": row.name == chosen,
                    "scheme": scheme.map(|scheme| format!("{scheme:?}").to_lowercase()),
                    "error": row.theme.as_ref().err(),
                })
            })
            .collect();
        return output::json(&json!({"v": 1, "chosen": chosen, "themes": themes}));
    }
    let line = |name: &str, about: &str, from: &str| {
        let mark = if name == chosen { '*' } else { ' ' };
        output::line(&format!("{mark} {name:<16} {about:<28} {from}"))
    };
    line(Choice::AUTO, "dark or light, as the terminal", "built in")?;
    for row in &rows {
        let about = match &row.theme {
            Ok(theme) => sample::made_for(theme),
            Err(_) => "cannot be taken",
        };
        line(&row.name, about, &row.from)?;
    }
    for wrong in rows.iter().filter_map(|row| row.theme.as_ref().err()) {
        output::say(context.quiet, wrong);
    }
    Ok(())
}

/// Those of these names; without any, all that can be taken.
fn preview(context: &Context, global: &Global, names: &[String]) -> Result<(), Failure> {
    let colours = tastes::has_colours(context, global, std::io::stdout().is_terminal());
    let depth = tastes::depth(context, global);
    let ascii = context.settings.ascii.unwrap_or(false);
    let themes: Vec<Theme> = if names.is_empty() {
        let rows = rows(context).into_iter();
        rows.filter_map(|row| tastes::theme(context, &row.name, depth).ok())
            .collect()
    } else {
        let themes = names.iter().map(|name| tastes::theme(context, name, depth));
        themes.collect::<Result<_, _>>()?
    };
    for (number, theme) in themes.iter().enumerate() {
        if number > 0 {
            output::line("")?;
        }
        // The name is a user's text.
        let name = output::plain(&theme.name);
        output::line(&format!("{name}: {}", sample::made_for(theme)))?;
        output::raw(&sample::written(theme, colours, ascii))?;
    }
    Ok(())
}
