//! The journal cache on disk: what was read of one run, so that reopening shows it before the network answers.
//!
//! Line *k* of the file is line *k* of the journal, as it came. A torn tail is cut off. Only one process writes (it holds the
//! file's lock); a second screen reads what is there and keeps nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::client::stream::Raw;
use crate::protocol::entry::Decoded;
use crate::protocol::ids::Seq;
use crate::protocol::normalize;

/// The open cache.
#[derive(Debug)]
pub(crate) struct Journal {
    /// `None` when another process writes it, or when the disk failed once.
    file: Option<File>,
    last: Seq,
    /// Bytes of whole lines.
    length: u64,
}

/// Opens (or makes) the cache in a run's folder and reads it.
pub(crate) fn open(folder: &Path) -> io::Result<(Journal, Vec<(Seq, Decoded)>)> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(folder.join("journal.ndjson"))?;
    let ours = file.try_lock().is_ok();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
    let lines: Vec<(Seq, Decoded)> = bytes[..whole]
        .split_inclusive(|byte| *byte == b'\n')
        .zip(1..)
        .map(|(line, number)| (Seq(number), normalize::decode(&line[..line.len() - 1])))
        .collect();
    let length = whole as u64;
    if ours {
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
    }
    let journal = Journal {
        file: ours.then_some(file),
        last: Seq(lines.len() as u64),
        length,
    };
    Ok((journal, lines))
}

impl Journal {
    /// A cache that keeps nothing, for when the disk cannot be used.
    pub(crate) fn none() -> Self {
        Self {
            file: None,
            last: Seq::ZERO,
            length: 0,
        }
    }

    /// Takes the lines that come next; those it has are skipped, and behind a gap nothing is kept.
    pub(crate) fn append(&mut self, lines: &Raw) {
        let mut text = Vec::new();
        let mut last = self.last;
        for (seq, line) in lines {
            if *seq == last.next() {
                // A line of several, which no endpoint of ours sends: white space is white space in JSON.
                text.extend(
                    line.iter()
                        .map(|byte| if *byte == b'\n' { b' ' } else { *byte }),
                );
                text.push(b'\n');
                last = *seq;
            }
        }
        let Some(file) = &mut self.file else {
            return;
        };
        match file.write_all(&text) {
            Ok(()) => {
                self.last = last;
                self.length += text.len() as u64;
            }
            Err(error) => {
                tracing::warn!(%error, "the journal cache cannot be written and is left as it is");
                // Half a line at the end would be cut off at the next start anyway.
                if let Err(error) = file.set_len(self.length) {
                    tracing::warn!(%error, "nor can it be cut back");
                }
                self.file = None;
            }
        }
    }

    /// The endpoint has another journal now.
    pub(crate) fn forget(&mut self) {
        let Some(file) = &mut self.file else {
            return;
        };
        let emptied = file.set_len(0).and_then(|()| file.rewind());
        (self.last, self.length) = (Seq::ZERO, 0);
        if let Err(error) = emptied {
            tracing::warn!(%error, "the journal cache cannot be emptied");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(from: u64, texts: &[&str]) -> Vec<(Seq, Vec<u8>)> {
        texts
            .iter()
            .zip(from..)
            .map(|(text, seq)| (Seq(seq), text.as_bytes().to_vec()))
            .collect()
    }

    fn text(folder: &Path) -> String {
        std::fs::read_to_string(folder.join("journal.ndjson")).unwrap()
    }

    #[test]
    fn what_was_kept_is_there_after_reopening_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, read) = open(folder.path()).unwrap();
        assert_eq!(read.len(), 0);
        journal.append(&lines(1, &["{\"a\":1}", ""]));
        journal.append(&lines(2, &["", "{\"b\":\n2}"]));
        journal.append(&lines(5, &["{\"behind\":\"a gap\"}"]));
        drop(journal);
        let (_, read) = open(folder.path()).unwrap();
        assert_eq!(
            read.iter().map(|(seq, _)| seq.0).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(text(folder.path()), "{\"a\":1}\n\n{\"b\": 2}\n");
    }

    #[test]
    fn a_torn_tail_is_cut_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = File::create(folder.path().join("journal.ndjson")).unwrap();
        file.write_all(b"{\"a\":1}\n{\"b\":").unwrap();
        let (mut journal, read) = open(folder.path()).unwrap();
        assert_eq!(read.len(), 1);
        journal.append(&lines(2, &["{\"b\":2}"]));
        assert_eq!(text(folder.path()), "{\"a\":1}\n{\"b\":2}\n");
    }

    #[test]
    fn a_second_screen_reads_and_leaves_the_writing_to_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, _) = open(folder.path()).unwrap();
        first.append(&lines(1, &["{}"]));
        let (mut second, read) = open(folder.path()).unwrap();
        assert_eq!(read.len(), 1);
        second.append(&lines(2, &["{\"second\":true}"]));
        second.forget();
        first.append(&lines(2, &["{\"first\":true}"]));
        assert_eq!(text(folder.path()), "{}\n{\"first\":true}\n");
    }

    #[test]
    fn a_forgotten_journal_begins_again_at_line_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path()).unwrap();
        journal.append(&lines(1, &["{}", "{}"]));
        journal.forget();
        journal.append(&lines(1, &["{\"new\":1}"]));
        assert_eq!(text(folder.path()), "{\"new\":1}\n");
    }
}
