//! The journal cache on disk: what was read of one run, so that reopening shows it before the network answers.
//!
//! Line *k* of the file is line *k* of the journal, as it came. A torn tail is cut off. Only one process writes (it holds the
//! file's lock); a second screen reads what is there and keeps nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::client::stream::{Bookmark, Raw};
use crate::plant::planted;
use crate::protocol::entry::Decoded;
use crate::protocol::ids::Seq;
use crate::protocol::normalize;

/// The file it is kept in; the simulation has one that a power cut tears.
pub(crate) trait Paper: Send + Sync + std::fmt::Debug {
    /// How many bytes there were to be read; fewer than asked for only at the end.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
}

impl Paper for File {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match FileExt::read_at(self, &mut into[read..], at + read as u64) {
                Ok(0) => break,
                Ok(some) => read += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }
}

/// The open cache.
#[derive(Debug)]
pub(crate) struct Journal {
    /// `None` when another process writes it.
    file: Option<Box<dyn Paper>>,
    /// The disk failed once: what is there is left as it is, until the journal is another one.
    broken: bool,
    /// What is there is of another journal, and could not be emptied yet.
    stale: bool,
    last: Seq,
    /// Bytes of whole lines.
    length: u64,
    /// The newest line that was read here or came since, also where nothing is kept.
    mark: Bookmark,
}

/// How much of the file is in memory at once while it is read.
const PIECE: usize = 256 * 1024;
/// Lines handed over at once.
const LINES: usize = 512;

/// The cache as it was found, not read yet.
#[derive(Debug)]
pub(crate) struct Cache {
    file: Box<dyn Paper>,
    /// Nobody else writes it.
    ours: bool,
    /// In bytes.
    pub(crate) length: u64,
}

/// Opens (or makes) the cache in a run's folder.
pub(crate) fn open(folder: &Path) -> io::Result<Cache> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(folder.join("journal.ndjson"))?;
    let ours = file.try_lock().is_ok();
    let length = file.metadata()?.len();
    Ok(Cache::on(Box::new(file), ours, length))
}

impl Cache {
    /// On any paper of this length; `ours`: nobody else writes it.
    pub(crate) fn on(file: Box<dyn Paper>, ours: bool, length: u64) -> Self {
        Self { file, ours, length }
    }

    /// The lines that stand whole in the last `most` bytes. Which numbers they have is known when all is read.
    pub(crate) fn end(&self, most: u64) -> io::Result<Vec<Decoded>> {
        let from = self.length.saturating_sub(most);
        let mut bytes = vec![0; usize::try_from(self.length - from).unwrap_or(0)];
        let read = self.file.read_at(&mut bytes, from)?;
        bytes.truncate(read);
        let begin = match from {
            0 => 0,
            _ => memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1),
        };
        let mut lines = Vec::new();
        whole_lines(&bytes[begin..], |line| lines.push(normalize::decode(line)));
        Ok(lines)
    }

    /// Reads all of it, handing over some lines at a time until `take` says that nobody wants more. A torn tail is cut; of
    /// what was not read to its end nothing is, and nothing is written behind it.
    pub(crate) fn read(
        self,
        mut take: impl FnMut(Vec<(Seq, Decoded)>) -> bool,
    ) -> io::Result<Journal> {
        let (mut last, mut length) = (Seq::ZERO, 0);
        let mut mark = Bookmark::default();
        let mut bytes = Vec::with_capacity(PIECE * 2);
        let mut lines = Vec::new();
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        let mut broken = false;
        let to_its_end = loop {
            let read = match self.file.read_at(&mut piece, at) {
                Err(error) if self.ours => {
                    tracing::warn!(%error, "the journal cache cannot be read to its end");
                    broken = true;
                    break true;
                }
                read => read?,
            };
            bytes.extend_from_slice(&piece[..read]);
            at += read as u64;
            let mut wanted = true;
            let whole = whole_lines(&bytes, |line| {
                last = last.next();
                lines.push((last, normalize::decode(line)));
                if lines.len() == LINES {
                    wanted &= take(std::mem::replace(&mut lines, Vec::with_capacity(LINES)));
                }
            });
            length += whole as u64;
            if let Some(end) = whole.checked_sub(1) {
                let begin = memchr::memrchr(b'\n', &bytes[..end]).map_or(0, |at| at + 1);
                mark = Bookmark::new(last, &bytes[begin..end]);
            }
            bytes.drain(..whole);
            if read == 0 {
                break true;
            }
            if !wanted {
                break false;
            }
        };
        if !lines.is_empty() {
            take(lines);
        }
        let ours = self.ours && to_its_end;
        // Also where the disk fails: another journal's lines are to go all the same.
        if ours && !broken {
            broken = self.file.set_len(length).is_err();
        }
        Ok(Journal {
            file: ours.then_some(self.file),
            broken,
            stale: false,
            last,
            length,
            mark,
        })
    }
}

/// Every line that has its end, and how many bytes they are together.
fn whole_lines(bytes: &[u8], mut line: impl FnMut(&[u8])) -> usize {
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        line(&bytes[begin..end]);
        begin = end + 1;
    }
    begin
}

/// Hands over what is kept of a run here, whoever writes it, some lines at a time; changes nothing.
pub fn look(folder: &Path, mut take: impl FnMut(Vec<(Seq, Decoded)>)) -> io::Result<()> {
    let file = File::open(folder.join("journal.ndjson"))?;
    let length = file.metadata()?.len();
    let cache = Cache::on(Box::new(file), false, length);
    let all = cache.read(|lines| {
        take(lines);
        true
    });
    all.map(drop)
}

/// The lines from `from` on as they stand in the journal here, until `take` says that it is enough.
pub(crate) fn lines(
    folder: &Path,
    from: Seq,
    mut take: impl FnMut(Seq, &[u8]) -> bool,
) -> io::Result<()> {
    let mut file = BufReader::new(File::open(folder.join("journal.ndjson"))?);
    let (mut seq, mut line) = (Seq::ZERO, Vec::new());
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        seq = seq.next();
        if seq >= from && !take(seq, &line) {
            return Ok(());
        }
    }
}

impl Journal {
    /// A cache that keeps nothing, for when the disk cannot be used.
    pub(crate) fn none() -> Self {
        Self {
            file: None,
            broken: false,
            stale: false,
            last: Seq::ZERO,
            length: 0,
            mark: Bookmark::default(),
        }
    }

    /// Where reading goes on behind this line.
    pub(crate) fn bookmark(&self, after: Seq) -> Bookmark {
        self.mark.clone().to(after)
    }

    /// Takes the lines that come next; those it has are skipped, and behind a gap nothing is kept.
    pub(crate) fn append(&mut self, lines: &Raw) {
        if let Some((seq, line)) = lines.last() {
            self.mark = Bookmark::new(*seq, line);
        }
        if !self.empty() {
            return;
        }
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
        let Some(file) = self.file.as_mut().filter(|_| !self.broken) else {
            return;
        };
        match file.write_at(&text, self.length) {
            Ok(()) => {
                self.last = last;
                self.length += text.len() as u64;
            }
            Err(_) if planted!(CacheHoleKept) => self.last = last,
            Err(error) => {
                tracing::warn!(%error, "the journal cache cannot be written and is left as it is");
                // Half a line at the end would be cut off at the next start anyway.
                if let Err(error) = file.set_len(self.length) {
                    tracing::warn!(%error, "nor can it be cut back");
                }
                self.broken = true;
            }
        }
    }

    /// The endpoint has another journal now.
    pub(crate) fn forget(&mut self) {
        (self.last, self.length) = (Seq::ZERO, 0);
        self.mark = Bookmark::default();
        (self.broken, self.stale) = (false, true);
        self.empty();
    }

    /// Whether nothing of another journal is there, or is any more: a disk that failed may not fail the next time.
    fn empty(&mut self) -> bool {
        if let Some(file) = self.file.as_mut().filter(|_| self.stale) {
            let emptied = file.set_len(0);
            self.stale = emptied.is_err();
            if let Err(error) = emptied {
                tracing::warn!(%error, "the journal cache cannot be emptied");
            }
        }
        !self.stale
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Opened and read.
    fn open(folder: &Path) -> io::Result<(Journal, Vec<(Seq, Decoded)>)> {
        let mut all = Vec::new();
        let journal = super::open(folder)?.read(|lines| {
            all.extend(lines);
            true
        })?;
        Ok((journal, all))
    }

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
    fn the_bookmark_is_the_last_line_whether_it_is_kept_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path()).unwrap();
        assert_eq!(journal.bookmark(Seq(0)), Seq(0).into());
        journal.append(&lines(1, &["{}", "{\"b\":2}"]));
        let mark = Bookmark::new(Seq(2), b"{\"b\":2}");
        assert_eq!(journal.bookmark(Seq(2)), mark);
        assert_eq!(journal.bookmark(Seq(1)), Seq(1).into(), "it is not known");
        let (mut second, _) = open(folder.path()).unwrap();
        assert_eq!(second.bookmark(Seq(2)), mark, "read by another screen");
        second.append(&lines(3, &["{}"]));
        assert_eq!(second.bookmark(Seq(3)), Bookmark::new(Seq(3), b"{}"));
        journal.forget();
        assert_eq!(journal.bookmark(Seq(2)), Seq(2).into());
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
    fn what_nobody_waited_to_read_stays_and_nothing_is_written_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(900));
        let texts = vec![long.as_str(); LINES * 2];
        let (mut journal, _) = open(folder.path()).unwrap();
        journal.append(&lines(1, &texts));
        drop(journal);
        let before = text(folder.path());
        assert!(before.len() > 2 * PIECE);
        let mut journal = super::open(folder.path()).unwrap().read(|_| false).unwrap();
        journal.append(&lines(journal.last.0 + 1, &["{\"b\":2}"]));
        drop(journal);
        assert!(text(folder.path()) == before);
        let (_, read) = open(folder.path()).unwrap();
        assert_eq!(read.len(), LINES * 2);
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

    /// Refuses to be cut so many times.
    #[derive(Debug)]
    struct Stubborn(std::sync::atomic::AtomicUsize, File);

    impl Paper for Stubborn {
        fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
            Paper::read_at(&self.1, into, at)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            use std::sync::atomic::Ordering::Relaxed;
            let left = self
                .0
                .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            match left {
                Ok(_) => Err(io::ErrorKind::StorageFull.into()),
                Err(_) => self.1.set_len(length),
            }
        }

        fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
            Paper::write_at(&self.1, bytes, at)
        }
    }

    #[test]
    fn another_journals_lines_go_as_soon_as_the_disk_lets_them() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path()).unwrap();
        journal.append(&lines(1, &["old", "older"]));
        let at = dir.path().join("journal.ndjson");
        let file = OpenOptions::new().read(true).write(true).open(at).unwrap();
        journal.file = Some(Box::new(Stubborn(2.into(), file)));
        journal.forget();
        journal.append(&lines(1, &["new"]));
        assert_eq!(text(dir.path()), "old\nolder\n");
        // The beginning is missed by now: behind a gap nothing is kept.
        journal.append(&lines(2, &["newer"]));
        assert_eq!(text(dir.path()), "");
        journal.append(&lines(1, &["new", "newer"]));
        assert_eq!(text(dir.path()), "new\nnewer\n");
    }

    #[test]
    fn a_long_one_comes_in_pieces_and_its_end_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(PIECE + 7);
        let texts: Vec<String> = (1..=2000)
            .map(|number| match number {
                700 => format!("{{\"a\":\"{long}\"}}"),
                _ => format!("{{\"a\":{number}}}"),
            })
            .collect();
        let file = folder.path().join("journal.ndjson");
        let whole = texts.join("\n") + "\n";
        File::create(&file)
            .unwrap()
            .write_all(format!("{whole}{{\"torn").as_bytes())
            .unwrap();
        let read = |text: &String| normalize::decode(text.as_bytes());
        let end = super::open(folder.path()).unwrap().end(100).unwrap();
        assert!((2..10).contains(&end.len()), "{}", end.len());
        let last: Vec<Decoded> = texts[2000 - end.len()..].iter().map(read).collect();
        assert_eq!(end, last);
        let mut pieces = Vec::new();
        let cache = super::open(folder.path()).unwrap();
        let journal = cache.read(|lines| {
            pieces.push(lines);
            true
        });
        let sizes: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert_eq!(sizes, [LINES, LINES, LINES, 2000 - 3 * LINES]);
        let all: Vec<(Seq, Decoded)> = pieces.into_iter().flatten().collect();
        let want: Vec<(Seq, Decoded)> = texts
            .iter()
            .map(read)
            .zip(1..)
            .map(|(line, number)| (Seq(number), line))
            .collect();
        assert_eq!(all, want);
        journal.unwrap().append(&lines(2001, &["{}"]));
        assert_eq!(text(folder.path()), format!("{whole}{{}}\n"));
    }
}
