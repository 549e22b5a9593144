//! A home of its own for the real program: nothing of the machine's user is seen, and its local endpoint ends with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything a test waits for, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A user of the program: an empty home and a directory to work in.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("ashore-test")
            .tempdir()
            .expect("a temp folder");
        std::fs::create_dir(folder.path().join("work")).expect("a folder below it");
        std::fs::create_dir(folder.path().join("home")).expect("a folder below it");
        Self { folder }
    }

    /// The directory the program is started in.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home().join(".local/state/ashore")
    }

    /// The variables of this user.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let path = std::env::var_os("PATH")
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default();
        vec![
            ("HOME".into(), text(&self.home())),
            ("PATH".into(), path),
            ("LANG".into(), "C.UTF-8".into()),
            ("TERM".into(), "xterm-256color".into()),
            ("TZ".into(), "UTC".into()),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
        ]
    }

    /// The real program, in the work directory.
    pub(crate) fn ashore(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashore"));
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .envs(self.variables())
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        let output = self.ashore(arguments).output().expect("the program starts");
        Done {
            arguments: arguments.join(" "),
            output,
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
        #[expect(
            clippy::disallowed_methods,
            reason = "the user's own editor, in a test"
        )]
        std::fs::write(path, text).expect("can be written");
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.work().join(path)).ok()
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        let done = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .envs(self.variables())
            .output()
            .expect("git starts");
        assert!(
            done.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Agents and endpoint end here, or they would outlive the test: that is what they are built for.
        drop(
            self.ashore(&["endpoint", "stop"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status(),
        );
    }
}

/// A program that has ended: say with which code it had to.
#[must_use]
pub(crate) struct Done {
    arguments: String,
    output: Output,
}

impl Done {
    /// Fails with everything it said unless it ended with this code.
    pub(crate) fn exits(self, code: i32) -> Said {
        let said = Said {
            output: self.output,
        };
        assert_eq!(
            said.output.status.code(),
            Some(code),
            "ashore {}\nstdout: {}\nstderr: {}",
            self.arguments,
            said.stdout(),
            said.stderr()
        );
        said
    }
}

/// What a program said that ended as it had to.
pub(crate) struct Said {
    output: Output,
}

impl Said {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Every line of stdout as JSON; fails when one is not.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.stdout()
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }
}

/// Looks until it holds; the look itself must take its time (a command, a read), so this never spins hot.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no runtime here whose clock could be paused"
    )]
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "never happened: {what}");
        std::thread::yield_now();
    }
}
