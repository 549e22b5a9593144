//! A disk that is soon full: a program with a tmpfs of its own over one folder, which nobody else sees and which ends
//! with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::home::Home;

/// `$0` is the size, `$1` the folder; the rest is run there.
const INTO: &str = "mount -t tmpfs -o size=$0 tmpfs \"$1\" && cd . && shift && exec \"$@\"";

/// True where a mount namespace can be had. Root can have one, and so can CI: there it must work.
pub(crate) fn can_be_had() -> bool {
    let tried = Command::new("unshare")
        .args(["-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .status();
    let can = tried.is_ok_and(|status| status.success());
    let must = rustix::process::geteuid().is_root() || std::env::var_os("CI").is_some();
    assert!(can || !must, "no mount namespace can be made here");
    can
}

/// The words that run `arguments` with a disk of this size (`1m`, `64k,ro`) at `folder`.
pub(crate) fn words(folder: &Path, size: &str, arguments: &[&str]) -> Vec<String> {
    let folder = folder.display().to_string();
    let start = ["-Urm", "/bin/sh", "-c", INTO, size, &folder];
    start
        .iter()
        .chain(arguments)
        .map(|word| (*word).to_owned())
        .collect()
}

/// The same as a command of this home's user.
pub(crate) fn command(home: &Home, folder: &Path, size: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(words(folder, size, arguments))
        .current_dir(home.home())
        .env_clear()
        .envs(home.variables());
    command
}

/// That folder as this process sees it.
pub(crate) fn seen_from_outside(pid: u32, folder: &Path) -> PathBuf {
    let below = folder.strip_prefix("/").expect("absolute");
    PathBuf::from(format!("/proc/{pid}/root")).join(below)
}
