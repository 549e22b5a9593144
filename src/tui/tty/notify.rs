//! Calling somebody who looks elsewhere: the bell, and the sequences by which terminals show a message.
//!
//! Pure.

use crate::tui::tty::clip::through_tmux;

const BELL: &str = "\x07";
/// Longer messages are cut by whoever shows them.
const MOST: usize = 200;

/// What the config wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// What this terminal is known to understand, else the bell.
    #[default]
    Auto,
    Bell,
    As(Form),
    /// A program of the user's, and nothing to the terminal.
    Command,
    Off,
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// iTerm2 and many others.
    Osc9,
    /// urxvt, foot, VTE.
    Osc777,
    /// kitty.
    Osc99,
}

impl Wish {
    /// The words of the config.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("auto", Self::Auto),
        ("bell", Self::Bell),
        ("osc9", Self::As(Form::Osc9)),
        ("osc777", Self::As(Form::Osc777)),
        ("osc99", Self::As(Form::Osc99)),
        ("off", Self::Off),
    ];
}

/// What is around the program, by its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub tmux: bool,
    /// What the terminal understands, where that can be known.
    pub form: Option<Form>,
}

impl Place {
    /// `get` answers with a variable of the environment.
    pub fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let term = get("TERM").unwrap_or_default();
        let program = get("TERM_PROGRAM").unwrap_or_default();
        let is_set = |names: &[&str]| names.iter().any(|name| get(name).is_some());
        let by_osc9 = ["iTerm.app", "WezTerm", "ghostty", "WarpTerminal", "rio"];
        // Inside tmux these are those of the terminal that it was started in.
        let form = if term == "xterm-kitty" || is_set(&["KITTY_WINDOW_ID"]) {
            Some(Form::Osc99)
        } else if by_osc9.contains(&program)
            || get("LC_TERMINAL") == Some("iTerm2")
            || is_set(&["WEZTERM_PANE", "GHOSTTY_RESOURCES_DIR"])
        {
            Some(Form::Osc9)
        } else if term.starts_with("foot")
            || term.starts_with("rxvt-unicode")
            || is_set(&["VTE_VERSION"])
        {
            Some(Form::Osc777)
        } else {
            None
        };
        let tmux = is_set(&["TMUX"]);
        Self { tmux, form }
    }
}

/// What is written so that `text` is shown or heard; empty for nothing.
pub fn message(text: &str, wish: Wish, place: Place) -> String {
    if matches!(wish, Wish::Off | Wish::Command) {
        return String::new();
    }
    let Some(form) = form(wish, place) else {
        return BELL.to_owned();
    };
    let sequence = written(&plain(text), form);
    if place.tmux {
        // tmux itself hears the bell only, and lets the rest through only where it is allowed to.
        format!("{}{BELL}", through_tmux(&sequence))
    } else {
        sequence
    }
}

/// How it is written; `None`: nothing but the bell.
fn form(wish: Wish, place: Place) -> Option<Form> {
    match wish {
        Wish::Off | Wish::Command | Wish::Bell => None,
        Wish::As(form) => Some(form),
        // A terminal that does not know this one passes over it.
        Wish::Auto if place.tmux => place.form.or(Some(Form::Osc9)),
        Wish::Auto => place.form,
    }
}

/// Which way a message went, in words.
pub fn way(wish: Wish, place: Place) -> String {
    let by_tmux = match place.tmux {
        true => ", through tmux, and the bell, which tmux hears itself",
        false => "",
    };
    match (wish, form(wish, place)) {
        (Wish::Off, _) => "nothing is sent: `notify` is off".to_owned(),
        (Wish::Command, _) => "given to the program of `notify`".to_owned(),
        (_, None) => "sent as the bell".to_owned(),
        (_, Some(Form::Osc9)) => format!("sent as OSC 9{by_tmux}"),
        (_, Some(Form::Osc777)) => format!("sent as OSC 777{by_tmux}"),
        (_, Some(Form::Osc99)) => format!("sent as OSC 99{by_tmux}"),
    }
}

/// The bell alone: for a terminal that may well have the focus.
pub fn bell(wish: Wish) -> &'static str {
    if wish == Wish::Off { "" } else { BELL }
}

fn written(text: &str, form: Form) -> String {
    match form {
        // A number at its beginning would be a command.
        Form::Osc9 => format!("\x1b]9;ashore: {text}\x1b\\"),
        Form::Osc777 => format!("\x1b]777;notify;ashore;{text}\x1b\\"),
        Form::Osc99 => {
            format!("\x1b]99;i=ashore:d=0;ashore\x1b\\\x1b]99;i=ashore:p=body;{text}\x1b\\")
        }
    }
}

/// Nothing that ends or begins a sequence.
fn plain(text: &str) -> String {
    text.chars()
        .take(MOST)
        .map(|char| match char {
            ';' => ',',
            char if char.is_control() => ' ',
            char => char,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_tells_what_the_terminal_understands() {
        type Variables = &'static [(&'static str, &'static str)];
        let table: [(Variables, bool, Option<Form>); 9] = [
            (&[], false, None),
            (&[("TERM", "xterm-256color")], false, None),
            (&[("TERM", "xterm-kitty")], false, Some(Form::Osc99)),
            (&[("TERM_PROGRAM", "WezTerm")], false, Some(Form::Osc9)),
            (&[("LC_TERMINAL", "iTerm2")], false, Some(Form::Osc9)),
            (&[("TERM", "foot")], false, Some(Form::Osc777)),
            (&[("VTE_VERSION", "7600")], false, Some(Form::Osc777)),
            (
                &[("TMUX", "/tmp/x,1,0"), ("TERM_PROGRAM", "tmux")],
                true,
                None,
            ),
            (
                &[("TMUX", "/tmp/x,1,0"), ("KITTY_WINDOW_ID", "1")],
                true,
                Some(Form::Osc99),
            ),
        ];
        for (variables, tmux, form) in table {
            let get = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| *value)
            };
            assert_eq!(Place::of(get), Place { tmux, form }, "{variables:?}");
        }
    }

    #[test]
    fn each_form_is_written_as_its_terminals_read_it() {
        let out = Place::default();
        let known = |form| Place {
            form: Some(form),
            ..out
        };
        let tmux = Place { tmux: true, ..out };
        let table = [
            (Wish::Off, tmux, ""),
            (Wish::Command, tmux, ""),
            (Wish::Auto, out, "\x07"),
            (Wish::Bell, tmux, "\x07"),
            (Wish::Auto, known(Form::Osc9), "\x1b]9;ashore: done\x1b\\"),
            (
                Wish::Auto,
                known(Form::Osc777),
                "\x1b]777;notify;ashore;done\x1b\\",
            ),
            (
                Wish::As(Form::Osc99),
                out,
                "\x1b]99;i=ashore:d=0;ashore\x1b\\\x1b]99;i=ashore:p=body;done\x1b\\",
            ),
            (
                Wish::Auto,
                tmux,
                "\x1bPtmux;\x1b\x1b]9;ashore: done\x1b\x1b\\\x1b\\\x07",
            ),
        ];
        for (wish, place, bytes) in table {
            assert_eq!(message("done", wish, place), bytes, "{wish:?} {place:?}");
            // What is said of it is what is done.
            let (way, sent) = (way(wish, place), |part: &str| bytes.contains(part));
            assert_eq!(
                way.contains("OSC 9,") || way.ends_with("OSC 9"),
                sent("]9;")
            );
            assert_eq!(way.contains("OSC 777"), sent("]777;"), "{way}");
            assert_eq!(way.contains("OSC 99"), sent("]99;"), "{way}");
            assert_eq!(way.contains("tmux"), sent("Ptmux"), "{way}");
            assert_eq!(way.contains("bell"), bytes.ends_with('\x07'), "{way}");
        }
    }

    #[test]
    fn what_an_agent_says_ends_no_sequence() {
        let hostile = "a\x1b\\\x07\x1b]0;stolen\u{9c}b;c";
        for form in [Form::Osc9, Form::Osc777, Form::Osc99] {
            let written = message(hostile, Wish::As(form), Place::default());
            let clean = message("a \\  ]0,stolen b,c", Wish::As(form), Place::default());
            assert_eq!(written, clean);
        }
        let long = message(&"x".repeat(10_000), Wish::As(Form::Osc9), Place::default());
        assert!(long.len() < 300);
    }
}
