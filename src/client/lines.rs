//! Bytes in, lines out: NDJSON of any length, split at any place.
//!
//! Pure. A line above the cap comes out as its first bytes, so that its number is kept and memory is bounded.

use std::collections::VecDeque;

use crate::plant::planted;

/// Lines longer than this are cut (design decision 16).
pub(crate) const MAX_LINE: usize = 1 << 20;

/// Splits at LF. Never holds more than one cut line beside what was pushed last.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
}

impl Lines {
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if planted!(ChunkDroppedAtSplit) {
            self.open.clear();
        }
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.extend(&bytes[..end]);
            let mut line = std::mem::take(&mut self.open);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.ready.push_back(line);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// What stands after the last LF when the answer is over: a whole line of an endpoint that ends without LF
    /// (contract 4), or a cut one, which is dropped. An object cut anywhere is not JSON.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.open);
        serde_json::from_slice::<serde::de::IgnoredAny>(&rest)
            .is_ok()
            .then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.pop() {
                out.push(line);
            }
        }
        out.extend(lines.finish());
        out
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(text in "[a{}\"\n\r\u{e9}]{0,60}", cuts in prop::collection::vec(0usize..80, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[bytes]));
        }
    }

    #[test]
    fn blank_lines_keep_their_place_and_a_cut_last_line_is_dropped() {
        assert_eq!(
            read(&[b"{\"a\":1}\n\n{\"b\":"]),
            [b"{\"a\":1}".to_vec(), vec![]]
        );
        assert_eq!(
            read(&[b"{\"a\":1}\r\n{\"b\":2}"]),
            [b"{\"a\":1}".to_vec(), b"{\"b\":2}".to_vec()]
        );
    }

    #[test]
    fn a_huge_line_is_cut_and_the_next_one_is_whole() {
        let mut lines = Lines::default();
        for _ in 0..40 {
            lines.push(&vec![b'x'; 1 << 20]);
        }
        lines.push(b"\n{}\n");
        assert_eq!(lines.pop().map(|line| line.len()), Some(MAX_LINE));
        assert_eq!(lines.pop(), Some(b"{}".to_vec()));
        assert_eq!(lines.pop(), None);
    }
}
