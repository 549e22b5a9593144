//! The two sides of a conflict as they lie on this disk.
//!
//! A shell. Bounded: what is too large to be looked at is told by its size.

use std::io::{self, Read};
use std::path::Path;

use crate::mirror::status::Conflict;
use crate::tui::event::{Side, Sides};

/// Larger files are not shown.
const LIMIT: u64 = 256 * 1024;

/// Both sides, read now. Blocking.
pub(crate) fn read(directory: &Path, conflict: Conflict) -> Sides {
    let mine = side(&directory.join(&conflict.path));
    let theirs = match &conflict.theirs {
        Some(theirs) => side(&directory.join(theirs)),
        None => Side::Gone,
    };
    Sides {
        conflict,
        mine,
        theirs,
    }
}

fn side(at: &Path) -> Side {
    let found = match at.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Side::Gone,
        Err(error) => return Side::Other(error.to_string()),
    };
    if !found.is_file() {
        let what = if found.is_symlink() { "link" } else { "folder" };
        return Side::Other(format!("a {what}"));
    }
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(at).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes));
    match (read, String::from_utf8(bytes)) {
        (Err(error), _) => Side::Other(error.to_string()),
        (Ok(_), Ok(text)) if text.len() as u64 <= LIMIT => Side::Text(text),
        (Ok(_), Ok(_)) => Side::Other(format!("{} bytes, too many to show", found.len())),
        (Ok(_), Err(_)) => Side::Other(format!("{} bytes that are no text", found.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shown_is_told_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| {
            #[expect(clippy::disallowed_methods, reason = "a test's own files")]
            std::fs::write(at(name), bytes).unwrap();
        };
        write("text", b"a\n");
        write("bytes", &[0xff, 0xfe]);
        write("large", &[b'x'; 300_000]);
        std::fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink("text", at("link")).unwrap();
        let table = [
            ("text", Side::Text("a\n".into())),
            ("bytes", Side::Other("2 bytes that are no text".into())),
            (
                "large",
                Side::Other("300000 bytes, too many to show".into()),
            ),
            ("folder", Side::Other("a folder".into())),
            ("link", Side::Other("a link".into())),
            ("missing", Side::Gone),
        ];
        for (name, wanted) in table {
            assert_eq!(side(&at(name)), wanted, "{name}");
        }
    }
}
