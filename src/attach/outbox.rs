//! The outbox on disk: words that no endpoint has accepted yet outlive the process that took them.
//!
//! One file per process, with a lock beside it that ends with the process. What a dead one left is adopted, once.
//! Which command goes when is `attach::update`'s decision.

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

/// Opens an outbox in a run's folder; what dead processes left there is in it now, and answered.
pub(crate) fn open(folder: &Path) -> io::Result<(Outbox, Vec<Outgoing>)> {
    let folder = folder.join("outbox");
    std::fs::create_dir_all(&folder)?;
    let name = uuid::Uuid::new_v4();
    let lock_file = folder.join(format!("{name}.lock"));
    let lock = lock_at(&lock_file)?;
    lock.try_lock().map_err(io::Error::from)?;
    let outbox = Outbox {
        file: folder.join(format!("{name}.json")),
        lock_file,
        _lock: lock,
    };
    let mut adopted = Vec::new();
    let mut orphans = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let file = entry?.path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let lock_file = file.with_extension("lock");
        let lock = lock_at(&lock_file)?;
        if lock.try_lock().is_ok() {
            adopted.extend(read(&file));
            orphans.push((file, lock_file, lock));
        }
    }
    // Kept here first, taken away there second: at no moment do the words stand nowhere. In between they stand twice, and
    // their ids make that harmless.
    outbox.save(&adopted)?;
    for (file, lock_file, _lock) in orphans {
        remove(&file)?;
        remove(&lock_file)?;
    }
    Ok((outbox, adopted))
}

/// RACE: another screen that opens at the same moment may have adopted and removed it before we had its lock. Then there
/// was nothing left to read, and nothing is lost.
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
