//! Many small contents in one body (`POST R/blobs/pack`): of each its hash, its length and its bytes, one behind the other.
//!
//! Pure. Nothing is handed over whose bytes do not have the hash they were asked for by; what does not come is asked for
//! otherwise.

use std::collections::HashSet;

use crate::protocol::hash::ContentHash;

/// The most hashes in one question.
pub const HASHES: usize = 1_000;
/// The largest content in a pack, in bytes.
pub const LARGEST: usize = 256 << 10;
/// The most bytes of contents in a pack.
pub const MOST: usize = 8 << 20;

/// A hash and a length, four bytes of which the highest comes first.
const HEAD: usize = 32 + 4;

/// Why a body is no pack. What was handed over before is good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPack {
    #[error("{0} was not asked for, or came before")]
    NotAsked(ContentHash),
    #[error("{hash} would have {length} bytes, more than belong in a pack")]
    TooLong { hash: ContentHash, length: u32 },
    #[error("what came for {want} is {got}")]
    Wrong { want: ContentHash, got: ContentHash },
    #[error("it breaks off within a content")]
    Cut,
}

/// The head of a content that goes into a pack; `None` where it is too long for one.
pub fn head(hash: ContentHash, length: usize) -> Option<[u8; HEAD]> {
    let short = u32::try_from(length).ok().filter(|_| length <= LARGEST)?;
    let mut head = [0; HEAD];
    head[..32].copy_from_slice(hash.as_bytes());
    head[32..].copy_from_slice(&short.to_be_bytes());
    Some(head)
}

/// Reads a pack as it comes. Keeps no more than one content that is not whole yet.
#[derive(Debug)]
pub struct Reader {
    /// Each comes at most once.
    asked: HashSet<ContentHash>,
    /// Bytes of contents that may still come.
    room: usize,
    head: Vec<u8>,
    begun: Option<Begun>,
}

/// A content whose head has come.
#[derive(Debug)]
struct Begun {
    hash: ContentHash,
    length: usize,
    bytes: Vec<u8>,
}

impl Reader {
    pub fn new(asked: impl IntoIterator<Item = ContentHash>) -> Self {
        Self {
            asked: asked.into_iter().collect(),
            room: MOST,
            head: Vec::with_capacity(HEAD),
            begun: None,
        }
    }

    /// Takes the next piece of the body, cut anywhere; each content that is whole goes to `into`. After an error no more
    /// is to be fed.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        into: &mut impl FnMut(ContentHash, Vec<u8>),
    ) -> Result<(), BadPack> {
        loop {
            if let Some(begun) = &mut self.begun {
                let lacks = begun.length - begun.bytes.len();
                let (some, rest) = piece.split_at(lacks.min(piece.len()));
                begun.bytes.extend_from_slice(some);
                piece = rest;
                if let Some(whole) = self
                    .begun
                    .take_if(|begun| begun.bytes.len() == begun.length)
                {
                    let Begun { hash, bytes, .. } = whole;
                    let got = ContentHash::of(&bytes);
                    if got != hash {
                        return Err(BadPack::Wrong { want: hash, got });
                    }
                    into(hash, bytes);
                }
            } else {
                let lacks = HEAD - self.head.len();
                let (some, rest) = piece.split_at(lacks.min(piece.len()));
                self.head.extend_from_slice(some);
                piece = rest;
                if self.head.len() == HEAD {
                    self.begun = Some(self.begin()?);
                    continue;
                }
            }
            if piece.is_empty() {
                return Ok(());
            }
        }
    }

    fn begin(&mut self) -> Result<Begun, BadPack> {
        let (mut name, mut length) = ([0; 32], [0; 4]);
        name.copy_from_slice(&self.head[..32]);
        length.copy_from_slice(&self.head[32..]);
        self.head.clear();
        let (hash, told) = (ContentHash::from(name), u32::from_be_bytes(length));
        if !self.asked.remove(&hash) {
            return Err(BadPack::NotAsked(hash));
        }
        let length = usize::try_from(told).unwrap_or(usize::MAX);
        if length > LARGEST || length > self.room {
            return Err(BadPack::TooLong { hash, length: told });
        }
        self.room -= length;
        Ok(Begun {
            hash,
            length,
            bytes: Vec::with_capacity(length),
        })
    }

    /// The body is over.
    pub fn finish(self) -> Result<(), BadPack> {
        if self.begun.is_none() && self.head.is_empty() {
            Ok(())
        } else {
            Err(BadPack::Cut)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Contents = Vec<(ContentHash, Vec<u8>)>;

    fn frame(hash: ContentHash, told: usize, bytes: &[u8]) -> Vec<u8> {
        [&head(hash, told).unwrap()[..], bytes].concat()
    }

    fn packed(contents: &[Vec<u8>]) -> Vec<u8> {
        let frames = contents.iter();
        let frames = frames.map(|bytes| frame(ContentHash::of(bytes), bytes.len(), bytes));
        frames.collect::<Vec<_>>().concat()
    }

    fn read<'p>(
        asked: &[ContentHash],
        pieces: impl IntoIterator<Item = &'p [u8]>,
    ) -> (Contents, Result<(), BadPack>) {
        let mut reader = Reader::new(asked.iter().copied());
        let mut got = Vec::new();
        for piece in pieces {
            let fed = reader.feed(piece, &mut |hash, bytes| got.push((hash, bytes)));
            if fed.is_err() {
                return (got, fed);
            }
            let held = reader
                .begun
                .as_ref()
                .map_or(0, |begun| begun.bytes.capacity());
            assert!(held <= LARGEST && reader.head.capacity() <= 2 * HEAD);
        }
        (got, reader.finish())
    }

    fn contents() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let some = prop::collection::btree_set(prop::collection::vec(any::<u8>(), 0..60), 0..8);
        some.prop_map(|set| set.into_iter().collect())
    }

    fn names(contents: &[Vec<u8>]) -> Vec<ContentHash> {
        contents
            .iter()
            .map(|bytes| ContentHash::of(bytes))
            .collect()
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back_however_it_is_cut(
            contents in contents(),
            size in 1_usize..80,
        ) {
            let (asked, body) = (names(&contents), packed(&contents));
            let want: Contents = asked.iter().copied().zip(contents).collect();
            let (got, end) = read(&asked, body.chunks(size));
            prop_assert_eq!(&got, &want);
            prop_assert_eq!(end, Ok(()));
            for cut in 0..=body.len() {
                let (head, tail) = body.split_at(cut);
                prop_assert_eq!(&read(&asked, [head, tail]).0, &want);
            }
        }

        #[test]
        fn what_breaks_off_gives_only_what_came_whole(contents in contents()) {
            let (asked, body) = (names(&contents), packed(&contents));
            let want: Contents = asked.iter().copied().zip(contents).collect();
            let mut ends = vec![0];
            ends.extend(want.iter().scan(0, |at, (_, bytes)| {
                *at += HEAD + bytes.len();
                Some(*at)
            }));
            for cut in 0..=body.len() {
                let (got, end) = read(&asked, [&body[..cut]]);
                let whole = ends.iter().rposition(|end| *end <= cut).unwrap();
                prop_assert_eq!(&got[..], &want[..whole]);
                let sound = ends.contains(&cut);
                prop_assert_eq!(end, if sound { Ok(()) } else { Err(BadPack::Cut) });
            }
        }

        #[test]
        fn any_bytes_give_nothing_but_what_was_asked_for(
            contents in contents(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flip in any::<prop::sample::Index>(),
        ) {
            let asked = names(&contents);
            let mut body = packed(&contents);
            body.splice(at.index(body.len() + 1).., noise);
            if !body.is_empty() {
                let flip = flip.index(body.len());
                body[flip] ^= 1;
            }
            let (got, _) = read(&asked, body.chunks(7));
            let mut seen = HashSet::new();
            for (hash, bytes) in got {
                prop_assert!(asked.contains(&hash) && seen.insert(hash));
                prop_assert_eq!(ContentHash::of(&bytes), hash);
            }
        }
    }

    #[test]
    fn each_lie_is_refused_by_its_name() {
        let (one, other) = (ContentHash::of(b"one"), ContentHash::of(b"other"));
        let good = frame(one, 3, b"one");
        let (got, end) = read(&[other], [&good[..]]);
        assert_eq!((got.len(), end), (0, Err(BadPack::NotAsked(one))));
        let twice = [good.clone(), good.clone()].concat();
        let (got, end) = read(&[one, one], [&twice[..]]);
        assert_eq!((got.len(), end), (1, Err(BadPack::NotAsked(one))));
        let mut long = good.clone();
        long[32..HEAD].copy_from_slice(&u32::MAX.to_be_bytes());
        let (_, end) = read(&[one], [&long[..]]);
        let length = u32::MAX;
        assert_eq!(end, Err(BadPack::TooLong { hash: one, length }));
        let (want, got) = (one, ContentHash::of(b"on"));
        let short = frame(one, 2, b"one");
        assert_eq!(
            read(&[one], [&short[..]]).1,
            Err(BadPack::Wrong { want, got })
        );
        let stretched = frame(one, 4, b"one");
        assert_eq!(read(&[one], [&stretched[..]]).1, Err(BadPack::Cut));
    }

    #[test]
    fn all_together_are_no_more_than_a_pack_holds() {
        let contents: Vec<Vec<u8>> = (0..=MOST / LARGEST)
            .map(|n| vec![u8::try_from(n).unwrap(); LARGEST])
            .collect();
        let (got, end) = read(&names(&contents), [&packed(&contents)[..]]);
        assert_eq!(got.len(), MOST / LARGEST);
        assert!(matches!(end, Err(BadPack::TooLong { .. })), "{end:?}");
        assert_eq!(head(ContentHash::of(b""), LARGEST + 1), None);
    }
}
