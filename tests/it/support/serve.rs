//! `ashore serve` in the foreground, by the real program.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use crate::support::home::Home;

/// `ashore serve` in the foreground, on a store of this home's own.
pub(crate) struct Serve {
    child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
    /// Its stdout: it would end if nobody held it.
    _out: BufReader<ChildStdout>,
}

impl Serve {
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_at(home, "127.0.0.1:0")
    }

    /// At this address and port.
    pub(crate) fn start_at(home: &Home, listen: &str) -> Self {
        let mut child = home
            .ashore(&["serve", "--listen", listen])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut export = |name: &str| {
            let mut line = String::new();
            out.read_line(&mut line).expect("a line");
            let value = line.trim().strip_prefix(&format!("export {name}="));
            value.expect("what a client needs").to_owned()
        };
        let (url, token) = (export("ASHORE_ENDPOINT"), export("ASHORE_TOKEN"));
        Self {
            child,
            url,
            token,
            _out: out,
        }
    }

    /// Ends it without a goodbye; where it was is free for another.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().expect("ours");
        self.child.wait().expect("ours");
        self.url
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).expect("small");
        let pid = rustix::process::Pid::from_raw(pid).expect("not 0");
        // It is waited for below, so the number is still its own.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.child.wait().ok();
    }
}
