//! Theme, keys, layout and signs of the screen: from the settings and the terminal's colours, now and when they change.
//!
//! Part of `main`, because it joins the config and the screen.

use std::path::PathBuf;
use std::sync::Arc;

use ashore::cli::{Color, Global};
use ashore::commands::context::Context;
use ashore::commands::failure::Failure;
use ashore::config::settings::Origin;
use ashore::tui::tastes::{Source, Tastes};
use ashore::tui::theme::{BUILT_IN, Choice, Depth, Theme};

use crate::{ground, screen};

/// What holds now.
pub(crate) fn tastes(context: &Context, global: &Global) -> Result<Tastes, Failure> {
    let settings = &context.settings;
    Ok(Tastes {
        themes: themes(context, global)?,
        keymap: screen::keymap(settings)?,
        column: settings.column,
        ascii: settings.ascii,
        calm: !settings.motion,
        vim: settings.vim,
        later: Vec::new(),
    })
}

/// The same, read again from the files.
pub(crate) fn source(context: &Context, global: &Global) -> Source {
    let (context, global) = (context.clone(), global.clone());
    let files = ground::files(&context, &global);
    let themes = folder(&context);
    let home = context.env.get("HOME").map(|home| format!("{home}/"));
    // A line of the screen is short.
    let short = move |failure: Failure| match &home {
        Some(home) => failure.what.replace(home, "~/"),
        None => failure.what,
    };
    let read = move || {
        let settings = ground::settings(&context, &global).map_err(&short)?;
        let later = later(&context.settings.origins, &settings.origins);
        let context = Context {
            settings,
            ..context.clone()
        };
        let tastes = tastes(&context, &global).map_err(&short)?;
        Ok(Tastes { later, ..tastes })
    };
    Source {
        files: files.into(),
        themes,
        read: Arc::new(read),
    }
}

/// The keys of the config that are others than they were and do not hold at once.
fn later(before: &[Origin], now: &[Origin]) -> Vec<String> {
    let at_once = |key: &str| {
        matches!(
            key,
            "theme" | "ascii" | "motion" | "layout.column" | "composer.vim"
        ) || key.starts_with("keys.")
    };
    let lacks = |list: &[Origin], one: &Origin| {
        !list
            .iter()
            .any(|other| other.key == one.key && other.value == one.value)
    };
    let gone = before.iter().filter(|one| lacks(now, one));
    let new = now.iter().filter(|one| lacks(before, one));
    let mut keys: Vec<String> = gone
        .chain(new)
        .map(|one| one.key.clone())
        .filter(|key| !at_once(key))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Where the user's own themes are.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.places.config.join("themes")
}

/// The theme of this name; unless one is named, that which fits the terminal's ground.
fn themes(context: &Context, global: &Global) -> Result<Choice, Failure> {
    let depth = depth(context, global);
    match context.settings.theme.as_deref().unwrap_or(Choice::AUTO) {
        Choice::AUTO => Ok(Choice::ByScheme {
            dark: Box::new(theme(context, "dark", depth)?),
            light: Box::new(theme(context, "light", depth)?),
        }),
        name => theme(context, name, depth).map(|theme| Choice::One(Box::new(theme))),
    }
}

/// The user's file of this name, or the built-in one.
pub(crate) fn theme(context: &Context, name: &str, depth: Depth) -> Result<Theme, Failure> {
    let file = folder(context).join(format!("{name}.toml"));
    // A name is no way to other folders.
    let text = (!name.contains('/')).then(|| std::fs::read_to_string(&file).ok());
    if let Some(text) = text.flatten() {
        return Theme::parse(&text, depth)
            .map_err(|error| Failure::usage(format!("{}: {error}", file.display())));
    }
    if BUILT_IN.iter().any(|(known, _)| *known == name) {
        return Ok(Theme::built_in(name, depth));
    }
    let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    Err(
        Failure::usage(format!("there is no theme `{name}`")).hint(format!(
            "{}, one of {}, or a file {}; ashore theme ls lists them",
            Choice::AUTO,
            names.join(", "),
            file.display()
        )),
    )
}

/// How many colours; `NO_COLOR` is none, unless colours are asked for.
pub(crate) fn depth(context: &Context, global: &Global) -> Depth {
    depth_of(global.color, |name| context.env.get(name))
}

fn depth_of<'a>(wish: Color, env: impl Fn(&str) -> Option<&'a str>) -> Depth {
    if wish == Color::Never || (wish == Color::Auto && env("NO_COLOR").is_some()) {
        return Depth::None;
    }
    if matches!(env("COLORTERM"), Some("truecolor" | "24bit")) {
        return Depth::True;
    }
    if env("TERM").is_some_and(|term| term.contains("256color")) {
        Depth::Many
    } else {
        Depth::Sixteen
    }
}

/// Whether what is printed has colours: as asked for, else by `NO_COLOR`, `CLICOLOR_FORCE` (0 is no) and whether a
/// terminal reads it, in this order.
pub(crate) fn has_colours(context: &Context, global: &Global, is_terminal: bool) -> bool {
    let env = |name| context.env.get(name);
    match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if env("NO_COLOR").is_some() => false,
        Color::Auto if env("CLICOLOR_FORCE").is_some_and(|word| word != "0") => true,
        Color::Auto => is_terminal && env("TERM") != Some("dumb"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(key: &str, value: &str) -> Origin {
        Origin {
            key: key.to_owned(),
            value: value.to_owned(),
            from: String::new(),
        }
    }

    #[test]
    fn how_many_colours_there_are_is_told_by_the_wish_and_the_environment() {
        type Variables = &'static [(&'static str, &'static str)];
        const MANY: (&str, &str) = ("TERM", "xterm-256color");
        let (auto, always, never) = (Color::Auto, Color::Always, Color::Never);
        let table: [(Color, Variables, Depth); 9] = [
            (auto, &[], Depth::Sixteen),
            (auto, &[("TERM", "xterm")], Depth::Sixteen),
            (auto, &[MANY], Depth::Many),
            (auto, &[MANY, ("COLORTERM", "truecolor")], Depth::True),
            (auto, &[("COLORTERM", "24bit")], Depth::True),
            (auto, &[MANY, ("COLORTERM", "yes")], Depth::Many),
            (
                auto,
                &[("COLORTERM", "truecolor"), ("NO_COLOR", "1")],
                Depth::None,
            ),
            (always, &[MANY, ("NO_COLOR", "1")], Depth::Many),
            (never, &[("COLORTERM", "truecolor")], Depth::None),
        ];
        for (wish, variables, depth) in table {
            let env = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| *value)
            };
            assert_eq!(depth_of(wish, env), depth, "{wish:?} {variables:?}");
        }
    }

    #[test]
    fn what_cannot_hold_at_once_is_named_whether_it_came_changed_or_went() {
        let before = [
            origin("project", "1"),
            origin("theme", "a"),
            origin("ca_file", "c"),
        ];
        let now = [
            origin("project", "2"),
            origin("theme", "b"),
            origin("notify", "bell"),
        ];
        assert_eq!(later(&before, &now), ["ca_file", "notify", "project"]);
        assert!(later(&now, &now).is_empty());
    }
}
