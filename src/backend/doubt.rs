//! Which blobs of a folder may not be what their name says: those that were written shortly before the machine went down.
//!
//! What is written here is on the disk before it has its name. This is for what an older version wrote, and for disks that
//! do not do what they say: a blob is looked at whole before it is believed in, once, where there is a reason to.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::backend::incoming::sync_folder;
use crate::protocol::hash::{ContentHash, Hasher};

const NAME: &str = "life";
/// Clocks are set.
const SLACK: i64 = 60_000;

/// When the machine began the life it is in, and what is doubted in it. In milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Life {
    /// As the machine calls it; nothing where it has no name.
    name: Option<String>,
    since: i64,
    from: i64,
    to: i64,
}

#[derive(Debug)]
pub(super) struct Doubt {
    life: Life,
    /// Looked at since the start. Who looks at one has it.
    whole: Mutex<BTreeSet<ContentHash>>,
}

fn name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(name.trim().to_owned())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

impl Life {
    /// The one after `last`, or the same.
    fn after(last: Option<Self>, name: Option<String>, now: i64) -> Self {
        match last {
            Some(last) if last.name == name && name.is_some() => last,
            last => Self {
                name,
                since: now,
                from: last.map_or(0, |last| last.since.saturating_sub(SLACK)),
                to: now,
            },
        }
    }
}

impl Doubt {
    /// Looks into which life the folder was last used, and writes down that it is this one.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let at = folder.join(NAME);
        let last = std::fs::read(&at).ok();
        let last = last.and_then(|text| serde_json::from_slice::<Life>(&text).ok());
        let life = Life::after(last.clone(), name(), now());
        if last.as_ref() != Some(&life) {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec(&life)?)?;
            file.as_file().sync_all()?;
            file.persist(&at).map_err(|error| error.error)?;
            sync_folder(folder)?;
        }
        Ok(Self {
            life,
            whole: Mutex::default(),
        })
    }

    /// Of nothing.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        let life = Life {
            name: None,
            since: 0,
            from: 1,
            to: 0,
        };
        Self {
            life,
            whole: Mutex::default(),
        }
    }

    /// Whether a blob of this size and time is to be looked at before it is believed in.
    pub(super) fn is_about(&self, hash: ContentHash, size: u64, written: i64) -> bool {
        let empty = size == 0 && hash != ContentHash::of(b"");
        empty || (self.life.from..=self.life.to).contains(&written)
    }

    /// Looks at it whole. What is not what its name says goes, so that it can come again.
    pub(super) async fn is_whole(&self, hash: ContentHash, at: PathBuf) -> io::Result<bool> {
        let mut whole = self.whole.lock().await;
        if whole.contains(&hash) {
            return Ok(true);
        }
        let looked = tokio::task::spawn_blocking(move || look(hash, &at)).await;
        let is_whole = looked.map_err(io::Error::other)??;
        if is_whole {
            whole.insert(hash);
        }
        Ok(is_whole)
    }
}

fn look(hash: ContentHash, at: &Path) -> io::Result<bool> {
    let mut file = match std::fs::File::open(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mut hasher = Hasher::default();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hasher.update(&piece[..read]),
        }
    }
    if hasher.finish() == hash {
        return Ok(true);
    }
    tracing::warn!(%hash, "a blob was torn when the machine went down: it is taken anew when it comes again");
    std::fs::remove_file(at)?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_life_wrote_is_doubted_in_the_whole_of_the_next() {
        let named = |name: &str| Some(name.to_owned());
        let first = Life::after(None, named("one"), 1_000_000);
        assert_eq!(
            (first.from, first.to),
            (0, 1_000_000),
            "of an older version"
        );
        let same = Life::after(Some(first.clone()), named("one"), 2_000_000);
        assert_eq!(same, first);
        let next = Life::after(Some(first), named("two"), 3_000_000);
        assert_eq!((next.from, next.to), (1_000_000 - SLACK, 3_000_000));
        // Where lives have no names, each start is one.
        let nameless = Life::after(Some(next), None, 4_000_000);
        let again = Life::after(Some(nameless), None, 5_000_000);
        assert_eq!((again.from, again.to), (4_000_000 - SLACK, 5_000_000));
    }
}
