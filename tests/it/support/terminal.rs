//! A terminal for the real program: a pty whose other side is parsed as a terminal would, and waited on.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use vt100::{Callbacks, Parser, Screen};

use crate::support::home::{DEADLINE, Home};

/// What no program of ours may ever do to a terminal.
#[derive(Default)]
pub(crate) struct Stolen {
    /// But for our own.
    pub(crate) titles: usize,
    pub(crate) clipboard: usize,
    pub(crate) bells: usize,
}

impl Callbacks for Stolen {
    fn audible_bell(&mut self, _: &mut Screen) {
        self.bells += 1;
    }
    fn set_window_title(&mut self, _: &mut Screen, title: &[u8]) {
        let title = String::from_utf8_lossy(title);
        let ours = |sign: char| title.starts_with(&format!("{sign} "));
        if !"?◐○✓✕↻■".chars().any(ours) && !title.starts_with("ashore ") && !title.is_empty()
        {
            self.titles += 1;
        }
    }
    fn set_window_icon_name(&mut self, _: &mut Screen, _: &[u8]) {
        self.titles += 1;
    }
    fn copy_to_clipboard(&mut self, _: &mut Screen, _: &[u8], _: &[u8]) {
        self.clipboard += 1;
    }
}

/// What has come so far.
struct Seen {
    parser: Parser<Stolen>,
    bytes: Vec<u8>,
    /// The other side is gone.
    over: bool,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

pub(crate) struct Terminal {
    shared: Shared,
    master: Box<dyn MasterPty + Send>,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    child: Box<dyn Child + Send + Sync>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        ..PtySize::default()
    }
}

fn non_zero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a test's own")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

impl Terminal {
    /// The real program on a terminal of this size.
    pub(crate) fn ashore(home: &Home, arguments: &[&str], columns: u16, rows: u16) -> Self {
        let program = env!("CARGO_BIN_EXE_ashore");
        Self::start(home, program, arguments, columns, rows)
    }

    pub(crate) fn start(
        home: &Home,
        program: &str,
        arguments: &[&str],
        columns: u16,
        rows: u16,
    ) -> Self {
        Self::start_with(home, program, arguments, (columns, rows), &[])
    }

    /// The same, with more variables.
    pub(crate) fn start_with(
        home: &Home,
        program: &str,
        arguments: &[&str],
        size: (u16, u16),
        more: &[(&str, &str)],
    ) -> Self {
        Self::answering(home, program, arguments, size, more, ANSWER)
    }

    /// The real program on a terminal of 80 by 24 that answers this when it is asked what it is.
    pub(crate) fn that_answers(home: &Home, arguments: &[&str], answer: &'static str) -> Self {
        let program = env!("CARGO_BIN_EXE_ashore");
        Self::answering(home, program, arguments, (80, 24), &[], answer)
    }

    /// The same, that answers this when it is asked what it is.
    pub(crate) fn answering(
        home: &Home,
        program: &str,
        arguments: &[&str],
        (columns, rows): (u16, u16),
        more: &[(&str, &str)],
        answer: &'static str,
    ) -> Self {
        let pair = native_pty_system()
            .openpty(size(columns, rows))
            .expect("a pty");
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.cwd(home.work());
        command.env_clear();
        for (name, value) in home.variables() {
            command.env(name, value);
        }
        command.env("ASHORE_AGENT", "demo");
        for (name, value) in more {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("it starts");
        let seen = Seen {
            parser: Parser::new_with_callbacks(
                non_zero(rows),
                non_zero(columns),
                0,
                Stolen::default(),
            ),
            bytes: Vec::new(),
            over: false,
        };
        let shared: Shared = Arc::new((Mutex::new(seen), Condvar::new()));
        let reader = pair.master.try_clone_reader().expect("readable");
        let writer = pair.master.take_writer().expect("writable");
        let writer = Arc::new(Mutex::new(writer));
        let (of_reader, answers) = (shared.clone(), writer.clone());
        // Ends with the pty.
        std::thread::spawn(move || read(reader, &of_reader, &answers, answer));
        Self {
            shared,
            master: pair.master,
            writer,
            child,
        }
    }

    pub(crate) fn write(&self, text: &str) {
        let mut writer = lock(&self.writer);
        writer.write_all(text.as_bytes()).expect("it listens");
        writer.flush().expect("it listens");
    }

    /// Waits until the screen is as wanted.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Screen) -> bool) {
        self.until_seen(what, |seen| wanted(seen.parser.screen()));
    }

    /// Waits until this stands on the screen.
    pub(crate) fn shows(&self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text));
    }

    pub(crate) fn text(&self) -> String {
        lock(&self.shared.0).parser.screen().contents()
    }

    pub(crate) fn screen(&self) -> Screen {
        lock(&self.shared.0).parser.screen().clone()
    }

    /// What was done to the terminal beside its screen.
    pub(crate) fn stolen(&self) -> Stolen {
        std::mem::take(lock(&self.shared.0).parser.callbacks_mut())
    }

    /// Every byte so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        lock(&self.shared.0).bytes.clone()
    }

    /// Waits until this has been written after the first `from` bytes.
    pub(crate) fn writes(&self, from: usize, text: &str) {
        self.until_seen(text, |seen| {
            seen.bytes[from..]
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        });
    }

    /// Waits until nothing has come for this long; gives what came until then.
    pub(crate) fn quiet(&self, long: Duration) -> usize {
        let mut seen = lock(&self.shared.0);
        let start = now();
        loop {
            let count = seen.bytes.len();
            let (next, waited) = self
                .shared
                .1
                .wait_timeout(seen, long)
                .expect("nobody panics with it");
            seen = next;
            if waited.timed_out() && seen.bytes.len() == count {
                return count;
            }
            assert!(start.elapsed() < DEADLINE, "it never became quiet");
        }
    }

    /// True when something comes within this time.
    pub(crate) fn says_something(&self, within: Duration) -> bool {
        let seen = lock(&self.shared.0);
        let count = seen.bytes.len();
        let (seen, _) = self
            .shared
            .1
            .wait_timeout_while(seen, within, |seen| seen.bytes.len() == count)
            .expect("nobody panics with it");
        seen.bytes.len() != count
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        // First the terminal, as a real one: what is drawn for the new size must find it.
        lock(&self.shared.0)
            .parser
            .set_size(non_zero(rows), non_zero(columns));
        self.master.resize(size(columns, rows)).expect("a size");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.process_id().expect("it runs");
        let pid = Pid::from_raw(i32::try_from(pid).expect("small")).expect("not 0");
        kill_process(pid, signal).expect("it runs");
    }

    /// To every program that has the terminal now.
    pub(crate) fn signal_foreground(&self, signal: Signal) {
        let group = self.master.process_group_leader();
        let group = group.and_then(Pid::from_raw).expect("somebody has it");
        kill_process_group(group, signal).expect("it runs");
    }

    /// Waits until the program has ended and everything it wrote was read.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        self.until_seen("the end of the program", |seen| seen.over);
        self.child.wait().expect("our child")
    }

    fn until_seen(&self, what: &str, wanted: impl Fn(&Seen) -> bool) {
        let seen = lock(&self.shared.0);
        let (seen, waited) = self
            .shared
            .1
            .wait_timeout_while(seen, DEADLINE, |seen| !wanted(seen))
            .expect("nobody panics with it");
        assert!(
            !waited.timed_out(),
            "never came: {what}\n{}",
            seen.parser.screen().contents()
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed may leave it running.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no runtime here whose clock could be paused"
)]
fn now() -> Instant {
    Instant::now()
}

fn read(
    mut reader: Box<dyn Read + Send>,
    shared: &Shared,
    answers: &Mutex<Box<dyn Write + Send>>,
    answer: &str,
) {
    let mut chunk = [0; 4096];
    loop {
        // A pty whose other side is closed is an error on Linux.
        let count = reader.read(&mut chunk).unwrap_or(0);
        let mut seen = lock(&shared.0);
        seen.over = count == 0;
        let before = seen.bytes.len().saturating_sub(8);
        seen.bytes.extend_from_slice(&chunk[..count]);
        seen.parser.process(&chunk[..count]);
        let asked = seen.bytes[before..]
            .windows(QUESTION.len())
            .any(|window| window == QUESTION);
        shared.1.notify_all();
        drop(seen);
        if count == 0 {
            return;
        }
        if asked {
            lock(answers).write_all(answer.as_bytes()).ok();
        }
    }
}

/// A terminal that knows the keyboard's flags, and what it is itself.
const ANSWER: &str = "\x1b[?0u\x1b[?62c";

/// Asks for the keyboard's flags, then for the kind of terminal: the last of the questions.
const QUESTION: &[u8] = b"\x1b[?u\x1b[c";
