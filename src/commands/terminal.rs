//! `ashore reset-terminal`: puts back a terminal that a killed program left in a mess.

use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};

use crate::commands::failure::{Exit, Failure};
use crate::commands::output;

/// Off again: kitty keys, mouse in all its forms, focus, bracketed paste, synchronised output, the alternate
/// screen; then the cursor and the colours.
const RESET: &str = "\x1b[<u\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1004l\x1b[?2004l\x1b[?2026l\x1b[?2031l\x1b[?1049l\x1b[?25h\x1b[0 q\x1b[0m\x1b[!p";

/// Line modes first, so that even a terminal that ignores the sequences can be typed in again.
pub fn reset() -> Result<Exit, Failure> {
    let terminal = std::io::stdin();
    if let Ok(mut modes) = tcgetattr(&terminal) {
        modes.local_modes |= LocalModes::ICANON
            | LocalModes::ECHO
            | LocalModes::ECHOE
            | LocalModes::ISIG
            | LocalModes::IEXTEN;
        modes.input_modes |= InputModes::ICRNL | InputModes::IXON;
        modes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        tcsetattr(&terminal, OptionalActions::Now, &modes).map_err(|error| {
            Failure::new(Exit::Other, format!("cannot set the line modes: {error}"))
        })?;
    }
    output::raw(RESET)?;
    Ok(Exit::Done)
}
