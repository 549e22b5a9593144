//! Whether the machine went down since somebody last stood up here, and marks that survive when it does.
//!
//! What was written and not synced before a machine goes down may be there, be there in part, be zeros, or be gone. Within
//! one life of the machine everything written is there, whoever dies.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::mirror::ground::{self, Temporary};

/// Where the life of the machine is written down, in a folder of ours.
const NAME: &str = "life";
/// A mark longer than this is none of ours.
const LONGEST: u64 = 256;

/// In which life of the machine its folder was last found to be as it should.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    at: PathBuf,
}

impl Life {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            at: folder.join(NAME),
        }
    }

    /// Whether it is still the same. It is not where nothing says so.
    pub(crate) fn goes_on(&self) -> bool {
        let now = ground::life(&self.at);
        now.is_some() && read(&self.at).ok() == now
    }

    /// From here on it is this one.
    pub(crate) fn begin(&self) -> io::Result<()> {
        mark(&self.at, &ground::life(&self.at).unwrap_or_default())
    }
}

fn read(at: &Path) -> io::Result<String> {
    let mut text = String::new();
    ground::open(at)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file whole, or not at all; what it says and its name survive the power.
pub(crate) fn mark(at: &Path, text: &str) -> io::Result<()> {
    let folder = at.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = Temporary::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.keep(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_on_until_the_machine_says_that_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let life = Life::of(folder.path());
        assert!(!life.goes_on(), "nobody has said so");
        life.begin().unwrap();
        let named = ground::life(folder.path()).is_some();
        assert_eq!(life.goes_on(), named);
        mark(&folder.path().join(NAME), "another").unwrap();
        assert!(!life.goes_on());
        mark(&folder.path().join(NAME), "").unwrap();
        assert!(!life.goes_on());
    }
}
