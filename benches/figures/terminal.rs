//! The real program on a pty, with the time of every byte it writes, in a home of its own.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;
use vt100::Parser;

use crate::measure::now;

/// Longer than anything that is waited for.
const DEADLINE: Duration = Duration::from_secs(120);
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ashore");
/// Asks for the keyboard's flags, then for the kind of terminal.
const QUESTION: &[u8] = b"\x1b[?u\x1b[c";
const CTRL_D: &[u8] = b"\x04";

/// A user: an empty home and a directory to work in. Its local endpoint ends with it.
pub(crate) struct Home {
    folder: TempDir,
    more: Vec<(&'static str, String)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        for name in ["work", "home"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder below it");
        }
        Self {
            folder,
            more: Vec::new(),
        }
    }

    /// A user of another endpoint than the local one.
    pub(crate) fn of(url: &str, token: &str) -> Self {
        let more = vec![
            ("ASHORE_ENDPOINT", url.to_owned()),
            ("ASHORE_TOKEN", token.to_owned()),
        ];
        let mut home = Self::new();
        home.more = more;
        home
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("HOME", self.home().to_string_lossy().into_owned()),
            (
                "PATH",
                std::env::var_os("PATH")
                    .map(|path| path.to_string_lossy().into_owned())
                    .unwrap_or_default(),
            ),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "xterm-256color".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("ASHORE_AGENT", "demo".to_owned()),
        ];
        variables.extend(self.more.iter().cloned());
        variables
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(
            Command::new(PROGRAM)
                .args(["endpoint", "stop"])
                .current_dir(self.work())
                .env_clear()
                .envs(self.variables())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status(),
        );
    }
}

struct Seen {
    /// What stands on the screen: a word is not always written in one piece.
    parser: Parser,
    count: usize,
    /// When the last of it came.
    last: Instant,
    over: bool,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

pub(crate) struct Terminal {
    shared: Shared,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    child: Box<dyn Child + Send + Sync>,
    began: Instant,
    _master: Box<dyn MasterPty + Send>,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terminal {
    pub(crate) fn ashore(home: &Home, arguments: &[&str], columns: u16, rows: u16) -> Self {
        let size = PtySize {
            rows,
            cols: columns,
            ..PtySize::default()
        };
        let pair = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(PROGRAM);
        command.args(arguments);
        command.cwd(home.work());
        command.env_clear();
        for (name, value) in home.variables() {
            command.env(name, value);
        }
        let began = now();
        let number = |number: u16| NonZeroU16::new(number).expect("a size");
        let seen = Seen {
            parser: Parser::new(number(rows), number(columns), 0),
            count: 0,
            last: began,
            over: false,
        };
        let shared: Shared = Arc::new((Mutex::new(seen), Condvar::new()));
        let reader = pair.master.try_clone_reader().expect("readable");
        let writer = pair.master.take_writer().expect("writable");
        let writer = Arc::new(Mutex::new(writer));
        let (of_reader, answers) = (shared.clone(), writer.clone());
        // Ends with the pty.
        std::thread::spawn(move || read(reader, &of_reader, &answers));
        let began = now();
        let child = pair.slave.spawn_command(command).expect("it starts");
        Self {
            shared,
            writer,
            child,
            began,
            _master: pair.master,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    pub(crate) fn write(&self, text: &[u8]) {
        let mut writer = lock(&self.writer);
        writer.write_all(text).expect("it listens");
        writer.flush().expect("it listens");
    }

    /// How long after its start this word stood on the screen.
    pub(crate) fn shows(&self, word: &str) -> Duration {
        let seen = lock(&self.shared.0);
        let shown = |seen: &Seen| seen.parser.screen().contents().contains(word);
        let (seen, _) = self
            .shared
            .1
            .wait_timeout_while(seen, DEADLINE, |seen| !shown(seen) && !seen.over)
            .unwrap_or_else(PoisonError::into_inner);
        let screen = seen.parser.screen();
        assert!(
            shown(&seen),
            "it never showed {word}:\n{}",
            screen.contents()
        );
        seen.last.duration_since(self.began)
    }

    /// How long after the keys were pressed this stood on the screen.
    pub(crate) fn answers(&self, keys: &[u8], word: &str) -> Duration {
        let pressed = now();
        self.write(keys);
        self.shows_since(pressed, word)
    }

    /// How long after this moment the word stood on the screen.
    pub(crate) fn shows_since(&self, moment: Instant, word: &str) -> Duration {
        self.shows(word)
            .saturating_sub(moment.duration_since(self.began))
    }

    /// Bytes written so far.
    pub(crate) fn count(&self) -> usize {
        lock(&self.shared.0).count
    }

    pub(crate) fn leave(mut self) {
        self.write(CTRL_D);
        let seen = lock(&self.shared.0);
        drop(
            self.shared
                .1
                .wait_timeout_while(seen, DEADLINE, |seen| !seen.over),
        );
        drop(self.child.wait());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn read(mut reader: Box<dyn Read + Send>, shared: &Shared, answers: &Mutex<Box<dyn Write + Send>>) {
    let mut chunk = [0; 65536];
    loop {
        // A pty whose other side is closed is an error on Linux.
        let count = reader.read(&mut chunk).unwrap_or(0);
        let at = now();
        let mut seen = lock(&shared.0);
        seen.over = count == 0;
        seen.parser.process(&chunk[..count]);
        seen.count += count;
        seen.last = at;
        drop(seen);
        shared.1.notify_all();
        if count == 0 {
            return;
        }
        if memchr::memmem::find(&chunk[..count], QUESTION).is_some() {
            // A terminal that knows the keyboard's flags, and what it is itself.
            drop(lock(answers).write_all(b"\x1b[?0u\x1b[?62c"));
        }
    }
}

/// The first file of this name below a folder.
pub(crate) fn found(below: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(below).ok()?;
    let mut folders = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name() == name {
            return Some(path);
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(path);
        }
    }
    folders.iter().find_map(|folder| found(folder, name))
}
