//! Pieces of a run that are no text, from the journal here into files.
//!
//! A shell. Nothing is ever written over: a name that is taken gets a number.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::attach::journal;
use crate::tui::piece::{Piece, Wanted, in_line};

/// Names that are tried for one file.
const NAMES: usize = 10_000;

/// Reads them again and writes them into this folder; gives the files. Errors are whole sentences. Blocking.
pub(crate) fn save(run: &Path, wanted: &Wanted, folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let read = journal::lines(run, wanted.from, |_, line| {
        if let Some(pieces) = in_line(line, wanted)
            && !pieces.is_empty()
        {
            // What is told last of a call is how it stands.
            found = pieces;
        }
        wanted.call.is_some()
    });
    read.map_err(|error| format!("the journal here cannot be read: {error}"))?;
    if found.is_empty() {
        return Err("its bytes do not stand in the journal here: nothing was saved".to_owned());
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let write = |piece: &Piece| {
        let name = format!("{}-{}", piece.stem, wanted.from.0);
        write(folder, &name, piece)
            .map_err(|error| format!("{name} cannot be written in {}: {error}", folder.display()))
    };
    found.iter().map(write).collect()
}

fn write(folder: &Path, name: &str, piece: &Piece) -> io::Result<PathBuf> {
    for number in 1..NAMES {
        let number = if number == 1 {
            String::new()
        } else {
            format!("-{number}")
        };
        let path = folder.join(format!("{name}{number}.{}", piece.extension));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(&piece.bytes)?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many files of this name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::ids::Seq;

    #[test]
    fn what_is_saved_never_takes_the_place_of_anything() {
        let folder = tempfile::tempdir().unwrap();
        let (run, to) = (folder.path().join("run"), folder.path().join("to"));
        let update = |data: &str| json!({"update": {"toolCallId": "a", "content": [{"type": "content", "content": {"type": "image", "mimeType": "image/png", "data": data}}]}});
        let other =
            json!({"update": {"toolCallId": "b", "content": [{"type": "image", "data": "YmFy"}]}});
        let lines = [json!({}), update("Zm8="), update("Zm9v"), other];
        let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
        #[expect(clippy::disallowed_methods, reason = "a test's own files")]
        {
            std::fs::create_dir_all(&run).unwrap();
            std::fs::write(run.join("journal.ndjson"), lines.concat()).unwrap();
        }
        let wanted = Wanted {
            from: Seq(2),
            call: Some("a".into()),
        };
        let first = save(&run, &wanted, &to).unwrap();
        let second = save(&run, &wanted, &to).unwrap();
        assert_eq!(first, [to.join("image-2.png")]);
        assert_eq!(second, [to.join("image-2-2.png")]);
        for file in first.iter().chain(&second) {
            assert_eq!(std::fs::read(file).unwrap(), b"foo");
        }
        let line = |from| Wanted { from, call: None };
        assert_eq!(
            save(&run, &line(Seq(4)), &to),
            Ok(vec![to.join("image-4.bin")])
        );
        let none = save(&run, &line(Seq(1)), &to).unwrap_err();
        assert!(none.contains("nothing was saved"), "{none}");
        assert!(
            save(&to, &wanted, &to)
                .unwrap_err()
                .contains("cannot be read")
        );
    }
}
