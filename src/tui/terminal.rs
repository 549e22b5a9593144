//! The terminal's modes, on and off again on every way out: return, error, panic, signal, suspend.
//!
//! A shell. Decides nothing.

use std::io::{self, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
    Event as Input, EventStream, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags,
    PushKeyboardEnhancementFlags,
};
use crossterm::{cursor, execute, terminal};
use futures::{Stream, StreamExt};
use ratatui::layout::Size;
use rustix::process::{Signal, kill_current_process_group};
use tokio::signal::unix::{SignalKind, signal};

use crate::tui::event::Event;
use crate::tui::keymap::Key;

/// The modes are on. Global because a panic and a signal must be able to undo them from anywhere.
static ENTERED: AtomicBool = AtomicBool::new(false);
/// The keyboard flags were pushed.
static FLAGS: AtomicBool = AtomicBool::new(false);

/// Turns the modes off when dropped.
#[derive(Debug)]
pub struct Modes(());

impl Modes {
    pub fn enter() -> io::Result<Self> {
        hook_panics();
        let modes = Self(());
        enter()?;
        Ok(modes)
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    ENTERED.store(true, Ordering::SeqCst);
    terminal::enable_raw_mode()?;
    let mut out = stdout();
    execute!(
        out,
        terminal::EnterAlternateScreen,
        EnableBracketedPaste,
        EnableFocusChange
    )?;
    if tells_keys_apart() {
        FLAGS.store(true, Ordering::SeqCst);
        execute!(
            out,
            PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES)
        )?;
    }
    Ok(())
}

/// Asked once, before keys are read: later the answer would be taken for keys. Who does not answer is waited for two
/// seconds, and cannot.
fn tells_keys_apart() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| terminal::supports_keyboard_enhancement().unwrap_or(false))
}

/// Everything off; twice is once. Errors are not told: there is nowhere left to tell them.
pub fn restore() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = stdout();
    if FLAGS.swap(false, Ordering::SeqCst) {
        execute!(out, PopKeyboardEnhancementFlags).ok();
    }
    execute!(
        out,
        DisableFocusChange,
        DisableBracketedPaste,
        terminal::LeaveAlternateScreen,
        cursor::Show
    )
    .ok();
    terminal::disable_raw_mode().ok();
    out.flush().ok();
}

/// A panic of the screen restores the terminal, then says what it has to say. A panic elsewhere (a task whose owner
/// catches it) must neither end the picture nor write across it.
fn hook_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let screen = std::thread::current().id();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if crate::attach::perform::is_expected_panic() {
                tracing::debug!("the stream library panicked: {panic}");
            } else if !ENTERED.load(Ordering::SeqCst) {
                before(panic);
            } else if std::thread::current().id() == screen {
                restore();
                before(panic);
            } else {
                tracing::error!("a task panicked: {panic}");
            }
        }));
    });
}

/// Stops this program until the shell brings it back, with the terminal as the shell knows it meanwhile.
pub async fn suspend() -> io::Result<()> {
    let mut back = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    restore();
    kill_current_process_group(Signal::TSTP)?;
    // Without a shell to stop for, the signal does nothing and nobody would wake us: then we go on.
    tokio::time::timeout(Duration::from_millis(300), back.recv())
        .await
        .ok();
    enter()
}

/// How large it is now.
pub(crate) fn size() -> io::Result<Size> {
    let (width, height) = terminal::size()?;
    Ok(Size { width, height })
}

/// Keys, pastes, sizes and the signals that ask us to go.
pub fn inputs() -> io::Result<impl Stream<Item = Event> + Unpin> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let signals = futures::stream::poll_fn(move |context| {
        let asked = terminate.poll_recv(context).is_ready() | hang_up.poll_recv(context).is_ready();
        if asked {
            std::task::Poll::Ready(Some(Event::Terminated))
        } else {
            std::task::Poll::Pending
        }
    });
    let keys = EventStream::new()
        .take_while(|input| std::future::ready(input.is_ok()))
        .filter_map(|input| std::future::ready(input.ok().and_then(read)))
        // The terminal is gone: that is a hang-up, however it is told.
        .chain(futures::stream::iter([Event::Terminated]));
    Ok(futures::stream::select(keys.boxed(), signals))
}

fn read(input: Input) -> Option<Event> {
    match input {
        Input::Key(key) => Key::from_terminal(key).map(Event::Key),
        Input::Paste(text) => Some(Event::Paste(text)),
        Input::Resize(columns, rows) => Some(Event::Resized(columns, rows)),
        Input::FocusGained => Some(Event::FocusGained),
        Input::FocusLost => Some(Event::FocusLost),
        Input::Mouse(_) => None,
    }
}

/// Gives text to the terminal's clipboard (OSC 52). Text above the bound terminals take is not given.
pub fn copy(text: &str) -> io::Result<()> {
    let most: String = text.chars().take(50_000).collect();
    write!(stdout(), "\x1b]52;c;{}\x07", base64(most.as_bytes()))?;
    stdout().flush()
}

pub fn bell() -> io::Result<()> {
    write!(stdout(), "\x07")?;
    stdout().flush()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        let table = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (text, encoded) in table {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
