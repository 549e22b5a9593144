//! The agent's home: a folder of the run, so that what agents strew about stays with the run (agents.md, demand 12).
//!
//! Everything that stands in the user's home is reached from it by a link: logins, settings, tool chains. What is new is
//! made in the folder. An agent that works in the user's own directory has the user's own home (design decision 9).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::protocol::launch::Launch;

/// More than this is nobody's home.
const MOST_ENTRIES: usize = 10_000;

/// The home of this run's agent. `theirs` is the user's, when there is one.
pub(crate) fn of(launch: &Launch, theirs: Option<&str>) -> PathBuf {
    match theirs {
        Some(theirs) if launch.directory.is_some() => PathBuf::from(theirs),
        Some(_) | None => launch.folder.join("home"),
    }
}

/// Links what has come since the last start. What cannot be linked is missing, and no more than that.
pub(crate) async fn furnish(launch: &Launch, base: &BTreeMap<String, String>) {
    let theirs = base.get("HOME").map(String::as_str);
    let ours = of(launch, theirs);
    let Some(theirs) = theirs.map(PathBuf::from) else {
        return;
    };
    // Where the root of the system is the home, there is no user's home.
    if theirs == ours || theirs.parent().is_none() {
        return;
    }
    let linked = tokio::task::spawn_blocking(move || link_all(&theirs, &ours)).await;
    match linked {
        Ok(Ok(())) => (),
        Ok(Err(error)) => tracing::warn!(%error, "the user's home is not reached from the agent's"),
        Err(error) => tracing::warn!(%error, "the agent's home could not be furnished"),
    }
}

fn link_all(theirs: &Path, ours: &Path) -> io::Result<()> {
    std::fs::create_dir_all(ours)?;
    for entry in std::fs::read_dir(theirs)?.take(MOST_ENTRIES) {
        let name = entry?.file_name();
        match rustix::fs::symlink(theirs.join(&name), ours.join(&name)) {
            // Of an earlier start, or the agent's own.
            Ok(()) | Err(rustix::io::Errno::EXIST) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make their files in a folder of their own"
)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_users_home_is_reached_and_what_is_new_stays_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path().join("user"), folder.path().join("run/home"));
        std::fs::create_dir_all(theirs.join(".codex")).unwrap();
        std::fs::write(theirs.join(".claude.json"), "login").unwrap();
        link_all(&theirs, &ours).unwrap();
        std::fs::write(ours.join(".aws"), "litter").unwrap();
        std::fs::write(ours.join(".codex/auth.json"), "renewed").unwrap();
        // A later start finds what the user has made meanwhile, and keeps what the agent has.
        std::fs::write(theirs.join(".aws"), "the user's").unwrap();
        std::fs::write(theirs.join(".gitconfig"), "name").unwrap();
        link_all(&theirs, &ours).unwrap();
        let read = |at: PathBuf| std::fs::read_to_string(at).unwrap();
        assert_eq!(read(ours.join(".claude.json")), "login");
        assert_eq!(read(theirs.join(".codex/auth.json")), "renewed");
        assert_eq!(read(ours.join(".gitconfig")), "name");
        assert_eq!(read(ours.join(".aws")), "litter");
        assert_eq!(read(theirs.join(".aws")), "the user's");
    }
}
