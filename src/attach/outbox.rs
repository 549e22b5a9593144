//! The outbox on disk: words that no endpoint has accepted yet outlive the process that took them.
//!
//! One file per process, with a lock beside it that ends with the process: what a live one keeps is its own. What a dead
//! one left is adopted, once. A lock on the folder lets one process open at a time. Which command goes when is `attach::update`'s decision.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attach::state::{Outgoing, Posting};
use crate::protocol::command::Command;

/// This process's own file.
#[derive(Debug)]
pub(crate) struct Outbox {
    file: PathBuf,
    lock_file: PathBuf,
    /// Held until the end.
    _lock: File,
}

/// One command as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    command: Value,
    /// Why the endpoint does not take it.
    refused: Option<String>,
}

/// Opens an outbox in a run's folder; what dead processes left there is in it now, the oldest process first.
///
/// Blocking, for as long as another process opens one.
pub(crate) fn open(folder: &Path) -> io::Result<(Outbox, Vec<Outgoing>)> {
    let folder = folder.join("outbox");
    std::fs::create_dir_all(&folder)?;
    // One at a time: nobody takes a lock that its owner has yet to take, and the dead are adopted by exactly one.
    let opening = File::open(&folder)?;
    opening.lock()?;
    // In the order in which processes began.
    let began = jiff::Timestamp::now().as_millisecond();
    let name = format!("{began:015}-{}", uuid::Uuid::new_v4());
    let lock_file = folder.join(format!("{name}.lock"));
    let lock = lock_at(&lock_file)?;
    lock.try_lock().map_err(io::Error::from)?;
    let outbox = Outbox {
        file: folder.join(format!("{name}.json")),
        lock_file,
        _lock: lock,
    };
    let dead = dead(&folder)?;
    let mut adopted: Vec<Outgoing> = Vec::new();
    for one in &dead {
        for outgoing in read(&one.file) {
            // RACE: a process that was killed while it adopted has left some words twice.
            if adopted
                .iter()
                .all(|known| known.command.id != outgoing.command.id)
            {
                adopted.push(outgoing);
            }
        }
    }
    // Kept here first, taken away there second: at no moment do the words stand nowhere.
    outbox.save(&adopted)?;
    for one in &dead {
        remove(&one.file)?;
        remove(&one.lock_file)?;
    }
    Ok((outbox, adopted))
}

/// What waits in a run's folder on this machine, whoever keeps it; takes nothing.
pub fn look(folder: &Path) -> Vec<Outgoing> {
    let mut files = names(&folder.join("outbox")).unwrap_or_default();
    files.retain(|file| is(file, "json"));
    let mut known: Vec<Outgoing> = Vec::new();
    for outgoing in files.iter().flat_map(|file| read(file)) {
        if known
            .iter()
            .all(|one| one.command.id != outgoing.command.id)
        {
            known.push(outgoing);
        }
    }
    known
}

/// What a process that is gone has left.
struct Dead {
    file: PathBuf,
    lock_file: PathBuf,
    /// Held until it is cleared away.
    _lock: File,
}

/// Those whose lock nobody holds, the oldest first; with or without words.
fn dead(folder: &Path) -> io::Result<Vec<Dead>> {
    let mut stems: Vec<PathBuf> = names(folder)?
        .into_iter()
        .filter(|file| is(file, "json") || is(file, "lock"))
        .map(|file| file.with_extension(""))
        .collect();
    stems.dedup();
    let mut dead = Vec::new();
    for stem in stems {
        let lock_file = stem.with_extension("lock");
        let lock = lock_at(&lock_file)?;
        if lock.try_lock().is_ok() {
            dead.push(Dead {
                file: stem.with_extension("json"),
                lock_file,
                _lock: lock,
            });
        }
    }
    Ok(dead)
}

/// Sorted: names begin with the time at which their process did.
fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.path());
    }
    names.sort();
    Ok(names)
}

fn is(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|known| known == extension)
}

fn remove(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn lock_at(file: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)
}

/// A file that cannot be read is as if it were not there.
fn read(file: &Path) -> Vec<Outgoing> {
    let kept: Vec<Kept> = std::fs::read(file)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    kept.into_iter()
        .filter_map(|kept| {
            Some(Outgoing {
                command: Command::from_json(&kept.command).ok()?,
                state: kept.refused.map_or(Posting::Waiting, Posting::Refused),
            })
        })
        .collect()
}

impl Outbox {
    /// The whole list, whole or not at all.
    pub(crate) fn save(&self, outgoing: &[Outgoing]) -> io::Result<()> {
        if outgoing.is_empty() {
            return remove(&self.file);
        }
        let kept: Vec<Kept> = outgoing
            .iter()
            .map(|o| Kept {
                command: o.command.to_json(),
                refused: match &o.state {
                    Posting::Refused(why) => Some(why.clone()),
                    Posting::Waiting | Posting::InFlight | Posting::Accepted => None,
                },
            })
            .collect();
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.as_file().sync_data()?;
        file.persist(&self.file)?;
        Ok(())
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // With nothing left in it, nobody needs to look at it again.
        if !self.file.exists()
            && let Err(error) = std::fs::remove_file(&self.lock_file)
        {
            tracing::debug!(%error, "the outbox's lock file stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(text: &str) -> Outgoing {
        Outgoing {
            command: Command::user_message(text),
            state: Posting::Waiting,
        }
    }

    #[test]
    fn words_of_a_dead_process_are_adopted_once() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Outgoing {
            state: Posting::Refused("the run is over".to_owned()),
            ..waiting("two")
        };
        let words = vec![waiting("one"), refused];
        let (outbox, _) = open(folder.path()).unwrap();
        outbox.save(&words).unwrap();
        drop(outbox);
        let (second, adopted) = open(folder.path()).unwrap();
        assert_eq!(adopted, words);
        let (third, adopted) = open(folder.path()).unwrap();
        assert_eq!(adopted, []);
        drop(third);
        drop(second);
        let (_, adopted) = open(folder.path()).unwrap();
        assert_eq!(adopted, words);
    }

    #[test]
    fn of_screens_that_open_at_once_one_adopts_and_all_have_an_outbox() {
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            // Many, so that one is still looking while another removes.
            let left: Vec<_> = (0..100).map(|_| open(folder.path()).unwrap().0).collect();
            for outbox in &left {
                outbox.save(&[waiting("one")]).unwrap();
            }
            drop(left);
            let adopted: usize = std::thread::scope(|scope| {
                let screens: Vec<_> = (0..6)
                    .map(|_| scope.spawn(|| open(folder.path()).unwrap()))
                    .collect();
                // All live until the last one has opened, so none of them is an orphan.
                let opened: Vec<_> = screens.into_iter().map(|one| one.join().unwrap()).collect();
                opened.iter().map(|(_, adopted)| adopted.len()).sum()
            });
            assert_eq!(adopted, 100);
        }
    }

    #[test]
    fn the_words_of_several_are_adopted_in_the_order_they_began_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let words = ["one", "two", "three"].map(waiting);
        let outboxes = words.clone().map(|word| {
            let outbox = open(folder.path()).unwrap().0;
            outbox.save(&[word]).unwrap();
            // The next one begins in another millisecond.
            let begun = jiff::Timestamp::now().as_millisecond();
            while jiff::Timestamp::now().as_millisecond() == begun {
                std::hint::spin_loop();
            }
            outbox
        });
        assert_eq!(look(folder.path()), words);
        let [first, living, third] = outboxes;
        drop((third, first));
        let (heir, adopted) = open(folder.path()).unwrap();
        assert_eq!(adopted, [words[0].clone(), words[2].clone()]);
        assert_eq!(look(folder.path()).len(), 3);
        drop(heir);
        drop(living);
        let (_, adopted) = open(folder.path()).unwrap();
        assert_eq!(
            adopted,
            [words[1].clone(), words[0].clone(), words[2].clone()]
        );
    }

    #[test]
    fn words_that_a_killed_heir_left_twice_are_adopted_once() {
        let folder = tempfile::tempdir().unwrap();
        let word = waiting("one");
        let outboxes = [(); 2].map(|()| open(folder.path()).unwrap().0);
        for outbox in &outboxes {
            outbox.save(std::slice::from_ref(&word)).unwrap();
        }
        drop(outboxes);
        let (_, adopted) = open(folder.path()).unwrap();
        assert_eq!(adopted, [word]);
    }

    #[test]
    fn locks_that_killed_processes_left_are_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let (living, _) = open(folder.path()).unwrap();
        for name in ["000000000000001-x.lock", "000000000000002-y.lock"] {
            File::create(folder.path().join("outbox").join(name)).unwrap();
        }
        let (opened, _) = open(folder.path()).unwrap();
        let left = names(&folder.path().join("outbox")).unwrap();
        let mut locks = [living.lock_file.clone(), opened.lock_file.clone()];
        locks.sort();
        assert_eq!(left, locks);
    }

    #[test]
    fn an_empty_outbox_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (outbox, _) = open(folder.path()).unwrap();
        outbox.save(&[waiting("one")]).unwrap();
        outbox.save(&[]).unwrap();
        drop(outbox);
        let left = std::fs::read_dir(folder.path().join("outbox"))
            .unwrap()
            .count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("outbox")).unwrap();
        let mut file = File::create(folder.path().join("outbox/x.json")).unwrap();
        file.write_all(b"[{\"comm").unwrap();
        let (_, adopted) = open(folder.path()).unwrap();
        assert_eq!(adopted, []);
    }
}
