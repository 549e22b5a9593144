//! A command of the user on this machine, behind a `!`: run, looked at, ended. Nothing of it is sent.
//!
//! Pure.

use crate::tui::action::Action;
use crate::tui::effect::Effect;
use crate::tui::event::{Here, Said};
use crate::tui::keymap::Context;
use crate::tui::on::{draft, popup};
use crate::tui::state::{Popup, State};
use crate::tui::update::toast;
use crate::tui::view::popup::scrolls;
use crate::tui::writing::Ran;

/// Lines that are kept, the last ones, and characters of one.
const LINES: usize = 2000;
const LETTERS: usize = 2000;

/// The command that the draft is, if it is one. A space before the `!` makes it words for the agent.
pub(crate) fn command(draft: &str) -> Option<&str> {
    draft.strip_prefix('!').map(str::trim)
}

/// Is the draft one? Neither a reason nor a message that is changed is.
pub(crate) fn is_drafted(state: &State) -> bool {
    let words = state.ask.writing.is_some() || state.changing.is_some();
    !words && command(state.composer.text()).is_some()
}

/// Enter on a draft that is one; a bare `!` shows the last one again.
pub(crate) fn submit(state: &mut State, command: &str) -> Vec<Effect> {
    let running = state
        .writing
        .here
        .as_ref()
        .filter(|ran| ran.ended.is_none());
    match (command, running) {
        ("", _) if state.writing.here.is_none() => {
            toast(
                state,
                "nothing was run here yet: !COMMAND runs one on this machine",
            );
            Vec::new()
        }
        ("", _) => {
            draft::taken(state);
            state.popup = Some(Popup::Here { back: 0 });
            vec![draft::forget(state)]
        }
        (_, Some(running)) => {
            let command = running.command.clone();
            let end = state.keymap.key_of(Context::Everywhere, Action::Interrupt);
            let show = shows_it(state);
            let line = format!("`{command}` still runs here: {show}, {end} there ends it");
            toast(state, line);
            Vec::new()
        }
        (command, None) => start(state, command.to_owned()),
    }
}

fn shows_it(state: &State) -> String {
    let submit = state.keymap.key_of(Context::Edit, Action::Submit);
    format!("! and {submit} shows it")
}

fn start(state: &mut State, command: String) -> Vec<Effect> {
    let number = state.writing.here.as_ref().map_or(0, |ran| ran.number) + 1;
    let words = draft::taken(state);
    state.writing.here = Some(Ran {
        number,
        command: command.clone(),
        ..Ran::default()
    });
    state.popup = Some(Popup::Here { back: 0 });
    let of = state
        .attached()
        .and_then(|attached| attached.mirror.directory.clone());
    vec![
        Effect::SaveHistory(words),
        draft::forget(state),
        Effect::RunHere {
            number,
            command,
            of,
        },
    ]
}

pub(crate) fn told(state: &mut State, here: Here) -> Vec<Effect> {
    let shown = matches!(state.popup, Some(Popup::Here { .. }));
    let Some(ran) = &mut state.writing.here else {
        return Vec::new();
    };
    // The last words of one that was ended.
    if ran.number != here.number || ran.ended.is_some() {
        return Vec::new();
    }
    match here.said {
        Said::Printed(text) => print(ran, &text),
        Said::Ended(words) => {
            let line = format!("LOCAL $ {}: {words}", ran.command);
            ran.ended = Some(words);
            if !shown {
                let show = shows_it(state);
                toast(state, format!("{line} · {show}"));
            }
        }
    }
    Vec::new()
}

fn print(ran: &mut Ran, text: &str) {
    let mut pieces = text.split('\n');
    if let Some(first) = pieces.next() {
        append(ran, first);
    }
    for piece in pieces {
        ran.lines.push_back(String::new());
        ran.returned = false;
        append(ran, piece);
    }
    let over = ran.lines.len().saturating_sub(LINES);
    ran.lines.drain(..over);
    ran.cut += over;
}

/// To the last line; what a program writes over is gone, as on a terminal.
fn append(ran: &mut Ran, piece: &str) {
    if ran.lines.is_empty() {
        ran.lines.push_back(String::new());
    }
    let Some(line) = ran.lines.back_mut() else {
        return;
    };
    for char in piece.chars() {
        match char {
            '\r' => ran.returned = true,
            char => {
                if std::mem::take(&mut ran.returned) {
                    line.clear();
                }
                if line.len() < LETTERS {
                    line.push(char);
                }
            }
        }
    }
}

/// Keys while it is looked at.
pub(crate) fn act(state: &mut State, back: usize, action: Action) -> Vec<Effect> {
    let scrolls = scrolls(state, &Popup::Here { back });
    let top = scrolls.0.saturating_sub(back);
    let back = match action {
        action if action.scrolls() => scrolls.0 - popup::scrolled(scrolls, top, action),
        Action::Interrupt => return end(state, back),
        Action::Escape | Action::Leave | Action::Yes => return Vec::new(),
        _ => back,
    };
    state.popup = Some(Popup::Here { back });
    Vec::new()
}

/// The first Ctrl+C ends what runs, the next one closes the box.
fn end(state: &mut State, back: usize) -> Vec<Effect> {
    match &mut state.writing.here {
        Some(ran) if ran.ended.is_none() => {
            ran.ended = Some("ended here".to_owned());
            state.popup = Some(Popup::Here { back });
            vec![Effect::EndHere]
        }
        Some(_) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_becomes_lines_as_a_terminal_shows_them_and_has_a_bound() {
        let table: [(&[&str], &[&str]); 6] = [
            (&["one\ntwo\n"], &["one", "two", ""]),
            (&["on", "e\ntw", "o"], &["one", "two"]),
            (&["10%\r50%", "\r100%\n"], &["100%", ""]),
            (&["a\r", "\nb\r\n"], &["a", "b", ""]),
            (&[], &[]),
            (&[""], &[""]),
        ];
        for (pieces, wanted) in table {
            let mut ran = Ran::default();
            for piece in pieces {
                print(&mut ran, piece);
            }
            assert_eq!(ran.lines, wanted, "{pieces:?}");
        }
        let mut ran = Ran::default();
        print(&mut ran, &"x".repeat(LETTERS * 2));
        print(&mut ran, &"\n".repeat(LINES + 9));
        assert_eq!((ran.lines.len(), ran.cut), (LINES, 10));
        assert!(ran.lines.iter().all(|line| line.len() <= LETTERS));
    }

    #[test]
    fn a_command_begins_with_the_sign_itself() {
        let table = [
            ("!ls -l ", Some("ls -l")),
            ("!", Some("")),
            (" !ls", None),
            ("ls!", None),
        ];
        for (draft, wanted) in table {
            assert_eq!(command(draft), wanted, "{draft:?}");
        }
    }
}
