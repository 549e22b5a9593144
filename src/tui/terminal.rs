//! The terminal's modes, on and off again on every way out: return, error, panic, signal, suspend.
//!
//! A shell. Decides nothing.

use std::io::{self, Write, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
    KeyboardEnhancementFlags, PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::{cursor, execute, terminal};
use futures::{Stream, StreamExt};
use ratatui::layout::Size;
use rustix::process::{Signal, getpgrp, getsid, kill_current_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::tui::citizen::Citizen;
use crate::tui::event::Event;
use crate::tui::tty::report::{Manners, PATIENCE, QUESTIONS, Report, SIGNS};
use crate::tui::tty::sieve::Said;
use crate::tui::tty::title;
use crate::tui::tty::{out, reader};

/// What a terminal has not answered after this long it never will.
const LATE: Duration = Duration::from_secs(3);

const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

/// The modes are on. Global because a panic and a signal must be able to undo them from anywhere.
static ENTERED: AtomicBool = AtomicBool::new(false);
/// The keyboard flags were pushed.
static FLAGS: AtomicBool = AtomicBool::new(false);
/// The terminal was asked to say when its scheme changes.
static SCHEME: AtomicBool = AtomicBool::new(false);
/// The mouse is ours.
static MOUSE: AtomicBool = AtomicBool::new(false);
/// The terminal shows at once what stands between two marks.
static WHOLE: AtomicBool = AtomicBool::new(false);
/// The window's title is ours.
static TITLE: AtomicBool = AtomicBool::new(false);

/// No screen of its own: what stands in the terminal stays, and we write below it.
static INLINE: AtomicBool = AtomicBool::new(false);

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

    /// The same below what stands in the terminal already.
    pub fn enter_inline() -> io::Result<Self> {
        INLINE.store(true, Ordering::SeqCst);
        Self::enter()
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
    if !INLINE.load(Ordering::SeqCst) {
        execute!(out, terminal::EnterAlternateScreen)?;
    }
    execute!(out, EnableBracketedPaste, EnableFocusChange)?;
    Ok(())
}

/// Asks the terminal what it is, and waits for its answers no longer than [`PATIENCE`]; gives what it said meanwhile
/// beside them. Later answers come with the keys.
pub async fn ask(said: &mut mpsc::Receiver<Said>) -> io::Result<(Manners, Vec<Said>)> {
    if !INLINE.load(Ordering::SeqCst) {
        write(SIGNS)?;
    }
    write(QUESTIONS)?;
    let (mut manners, mut early) = (Manners::default(), Vec::new());
    let answers = async {
        while !manners.answered {
            match said.recv().await {
                Some(Said::Report(report)) => manners.learn(report),
                Some(other) => early.push(other),
                None => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, answers).await.ok();
    Ok((manners, early))
}

/// Makes use of what the terminal has been found to know. Again is once.
pub fn adopt(manners: Manners) -> io::Result<()> {
    if !ENTERED.load(Ordering::SeqCst) {
        return Ok(());
    }
    if manners.keyboard && !FLAGS.swap(true, Ordering::SeqCst) {
        execute!(
            stdout(),
            PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES)
        )?;
    }
    WHOLE.store(manners.synchronised, Ordering::SeqCst);
    if manners.tells_scheme && !SCHEME.swap(true, Ordering::SeqCst) {
        write("\x1b[?2031h")?;
    }
    Ok(())
}

/// Whether a picture may be marked as one (mode 2026): only where the terminal said so.
pub(crate) fn shows_whole() -> bool {
    WHOLE.load(Ordering::SeqCst)
}

/// Takes the mouse (its wheel and buttons, by SGR), or gives it back.
pub fn mouse(on: bool) -> io::Result<()> {
    if !ENTERED.load(Ordering::SeqCst) || MOUSE.swap(on, Ordering::SeqCst) == on {
        return Ok(());
    }
    write(if on { MOUSE_ON } else { MOUSE_OFF })
}

/// Gives the window a title; the one that stood there is kept for later.
pub fn title(words: &str) -> io::Result<()> {
    if !ENTERED.load(Ordering::SeqCst) {
        return Ok(());
    }
    if !TITLE.swap(true, Ordering::SeqCst) {
        write(title::KEEP)?;
    }
    write(&title::set(words))
}

/// Everything that the terminal is told beside the picture, when it is taken or taken again.
pub fn take_up(citizen: &Citizen) -> io::Result<()> {
    adopt(citizen.manners)?;
    mouse(citizen.mouse)?;
    match &citizen.title {
        Some(words) => title(words),
        None => Ok(()),
    }
}

/// Before leaving soon after asking: what the terminal has not answered yet would come to whoever has it next.
pub async fn hear_out(
    manners: Manners,
    asked: Instant,
    events: &mut (impl Stream<Item = Event> + Unpin),
) {
    let last = async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Told(Report::Device)) {
                return;
            }
        }
    };
    if !manners.answered && asked.elapsed() < LATE {
        tokio::time::timeout(PATIENCE, last).await.ok();
    }
}

/// Beside the picture: a message, text for the clipboard.
pub fn write(text: &str) -> io::Result<()> {
    out::say(text)
}

/// Everything off; twice is once. Errors are not told: there is nowhere left to tell them.
pub fn restore() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return;
    }
    out::settle();
    let mut out = stdout();
    if FLAGS.swap(false, Ordering::SeqCst) {
        execute!(out, PopKeyboardEnhancementFlags).ok();
    }
    if MOUSE.swap(false, Ordering::SeqCst) {
        out.write_all(MOUSE_OFF.as_bytes()).ok();
    }
    if TITLE.swap(false, Ordering::SeqCst) {
        out.write_all(title::PUT_BACK.as_bytes()).ok();
    }
    if SCHEME.swap(false, Ordering::SeqCst) {
        out.write_all(b"\x1b[?2031l").ok();
    }
    execute!(out, DisableFocusChange, DisableBracketedPaste).ok();
    if INLINE.load(Ordering::SeqCst) {
        // Where the live line stood the shell goes on.
        out.write_all(b"\r\x1b[K").ok();
    } else {
        execute!(out, terminal::LeaveAlternateScreen).ok();
    }
    execute!(out, cursor::Show).ok();
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
pub async fn suspend(citizen: &Citizen) -> io::Result<()> {
    let mut back = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    let held = reader::hold();
    restore();
    if stop()? {
        // Whatever was sent while we stood still wakes us before this does.
        tokio::time::timeout(Duration::from_millis(300), back.recv())
            .await
            .ok();
    }
    enter()?;
    drop(held);
    take_up(citizen)
}

/// Stops everybody of our group, whoever has the terminal. False without a shell to stop for: nobody would wake us.
///
/// SIGTSTP is ours, so it stops us no more; SIGSTOP stops also where nobody waits, which is looked at first.
pub(crate) fn stop() -> io::Result<bool> {
    // A shell gives its jobs groups of their own; the group that leads the session has nobody above it.
    if getsid(None)? == getpgrp() {
        return Ok(false);
    }
    kill_current_process_group(Signal::STOP)?;
    Ok(true)
}

/// The terminal as another program has it: as the shell knows it, and nothing is read here.
#[derive(Debug)]
pub(crate) struct Away(reader::Held);

pub(crate) fn lend() -> Away {
    let held = reader::hold();
    restore();
    Away(held)
}

pub(crate) fn back(Away(held): Away, manners: Manners) -> io::Result<()> {
    enter()?;
    drop(held);
    adopt(manners)
}

/// How large it is now.
pub(crate) fn size() -> io::Result<Size> {
    let (width, height) = terminal::size()?;
    Ok(Size { width, height })
}

/// What the terminal says, its size, and the signals that ask us to go or to stop. `early` comes first.
pub fn inputs(
    early: Vec<Said>,
    mut said: mpsc::Receiver<Said>,
) -> io::Result<impl Stream<Item = Event> + Unpin> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut stop = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    let mut resize = signal(SignalKind::window_change())?;
    let signals = futures::stream::poll_fn(move |context| {
        let asked = terminate.poll_recv(context).is_ready() | hang_up.poll_recv(context).is_ready();
        if asked {
            return std::task::Poll::Ready(Some(Event::Terminated));
        }
        if interrupt.poll_recv(context).is_ready() | quit.poll_recv(context).is_ready() {
            return std::task::Poll::Ready(Some(Event::Interrupted));
        }
        if stop.poll_recv(context).is_ready() {
            return std::task::Poll::Ready(Some(Event::Stopped));
        }
        while resize.poll_recv(context).is_ready() {
            if let Ok(Size { width, height }) = size() {
                return std::task::Poll::Ready(Some(Event::Resized(width, height)));
            }
        }
        std::task::Poll::Pending
    });
    let later = futures::stream::poll_fn(move |context| said.poll_recv(context));
    let keys = futures::stream::iter(early)
        .chain(later)
        .map(event)
        // The terminal is gone: that is a hang-up, however it is told.
        .chain(futures::stream::iter([Event::Terminated]));
    Ok(futures::stream::select(keys, signals))
}

fn event(said: Said) -> Event {
    match said {
        Said::Key(key) => Event::Key(key),
        Said::Paste(text) => Event::Paste(text),
        Said::Wheel(steps) => Event::Wheel(steps),
        Said::Focus(true) => Event::FocusGained,
        Said::Focus(false) => Event::FocusLost,
        Said::Report(report) => Event::Told(report),
    }
}
