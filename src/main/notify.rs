//! `ashore doctor --notify`: one message as the screen would send it, and which way it went.
//!
//! Part of `main`, because it joins the ways of the screen and the commands' context.

use std::io::{IsTerminal, Write};

use ashore::commands::context::Context;
use ashore::commands::failure::{Exit, Failure};
use ashore::commands::output;
use ashore::config::settings::Settings;
use ashore::tui::program::{self, Given};
use ashore::tui::tty::notify::{self, Place, Wish};

const TEXT: &str = "this is a test of `ashore doctor --notify`";
const OTHERS: &str = "`notify` in config.toml is auto, bell, osc9, osc777, osc99, off, or a program: [\"notify-send\", \"Ashore\", \"{}\"]";

/// What the config wants. Its words have been checked.
pub(crate) fn wish(settings: &Settings) -> Wish {
    if !settings.notify_command.is_empty() {
        return Wish::Command;
    }
    let word = settings.notify.as_deref().unwrap_or_default();
    let wish = Wish::WORDS.iter().find(|(known, _)| *known == word);
    wish.map_or_else(Wish::default, |(_, wish)| *wish)
}

pub(crate) async fn test(context: &Context) -> Result<Exit, Failure> {
    let wish = wish(&context.settings);
    let place = Place::of(|name| context.env.get(name));
    if wish == Wish::Command {
        let given = program::give(&context.settings.notify_command, Given::Message(TEXT)).await;
        given.map_err(|why| Failure::new(Exit::Other, why).hint(OTHERS))?;
    } else {
        send(&notify::message(TEXT, wish, place))?;
    }
    let program = context.settings.notify_command.first();
    let program = program.map_or_else(String::new, |program| format!(": {program}"));
    output::line(&format!("{}{program}", notify::way(wish, place)))?;
    if !matches!(wish, Wish::Off | Wish::Command) {
        output::say(
            context.quiet,
            "No terminal confirms it: if nothing was seen or heard, try another way.",
        );
    }
    output::say(context.quiet, OTHERS);
    Ok(Exit::Done)
}

/// To the terminal, wherever the output goes.
fn send(sequence: &str) -> Result<(), Failure> {
    if sequence.is_empty() {
        return Ok(());
    }
    let written = if std::io::stdout().is_terminal() {
        let mut out = std::io::stdout().lock();
        out.write_all(sequence.as_bytes())
            .and_then(|()| out.flush())
    } else {
        let tty = std::fs::OpenOptions::new().write(true).open("/dev/tty");
        tty.and_then(|mut tty| tty.write_all(sequence.as_bytes()))
    };
    written.map_err(|error| {
        Failure::usage(format!("there is no terminal to send it to: {error}")).hint(OTHERS)
    })
}
