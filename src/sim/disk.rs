//! A machine's disk: files in a page cache that forgets, when the power is cut, what was not synced.
//!
//! What was written since the last sync survives as a prefix of the calls, the last of them torn, perhaps with zeros where
//! its bytes should be. A process that is killed loses nothing that it has written. Death can be set to come at the n-th
//! call from now, so that it comes between any two.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::dice::Dice;
use crate::agent::spool;
use crate::attach::journal;
use crate::backend::log::ground;

#[derive(Debug)]
enum Call {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Call {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            Self::SetLen(length) => content.resize(*length, 0),
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Since the last sync.
    calls: Vec<Call>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    files: BTreeMap<String, Content>,
    /// Calls until the end.
    left: Option<u64>,
    dead: bool,
    /// Thousandths of calls that fail.
    errors: u64,
}

/// The disk of one machine.
#[derive(Debug)]
pub(super) struct Disk {
    state: Mutex<State>,
    /// Rings when the appointed call was made.
    pub(super) died: Notify,
}

impl Disk {
    pub(super) fn new(dice: Dice) -> Arc<Self> {
        let state = State {
            dice,
            files: BTreeMap::new(),
            left: None,
            dead: false,
            errors: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            died: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many thousandths of the calls fail from now on.
    pub(super) fn set_errors(&self, thousandths: u64) {
        self.lock().errors = thousandths;
    }

    /// Whoever works here dies at the n-th call from now.
    pub(super) fn doom(&self, calls: u64) {
        self.lock().left = Some(calls);
    }

    /// Nobody works here any more; with the power, what was not synced is gone.
    pub(super) fn stop(&self, power: bool) {
        let mut state = self.lock();
        state.dead = true;
        if power {
            let State { dice, files, .. } = &mut *state;
            for content in files.values_mut() {
                content.lose(dice);
            }
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    pub(super) fn start(&self) {
        let mut state = self.lock();
        (state.dead, state.left) = (false, None);
    }

    pub(super) fn file(self: &Arc<Self>, name: &str) -> File {
        self.lock().files.entry(name.to_owned()).or_default();
        File {
            disk: Arc::clone(self),
            name: name.to_owned(),
            place: 0,
        }
    }

    /// A file as a process reads it now.
    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state
            .files
            .get(name)
            .map_or_else(Vec::new, |file| file.now.clone())
    }

    /// Would these bytes be there after a power cut?
    pub(super) fn is_durable(&self, name: &str, bytes: &[u8]) -> bool {
        let state = self.lock();
        let file = state.files.get(name);
        file.is_some_and(|file| memchr::memmem::find(&file.synced, bytes).is_some())
    }

    /// How many lines a file has.
    pub(super) fn lines(&self, name: &str) -> u64 {
        let state = self.lock();
        let file = state.files.get(name);
        file.map_or(0, |file| {
            memchr::memchr_iter(b'\n', &file.now).count() as u64
        })
    }

    /// Puts another file in its place, durably: an operator's doing.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) {
        let content = Content {
            now: bytes.to_vec(),
            synced: bytes.to_vec(),
            calls: Vec::new(),
        };
        self.lock().files.insert(name.to_owned(), content);
    }

    /// One call; fails when the process is dead, or by bad luck.
    fn call<T>(&self, name: &str, act: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut state = self.lock();
        if state.left == Some(0) && !state.dead {
            state.dead = true;
            self.died.notify_one();
        }
        if state.dead {
            return Err(io::Error::other("nobody is there to do this"));
        }
        state.left = state.left.map(|left| left - 1);
        let errors = state.errors;
        if state.dice.chance(errors) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(act(state.files.entry(name.to_owned()).or_default()))
    }

    /// A write; one that fails may have left some of its bytes.
    fn write(&self, name: &str, at: Option<usize>, bytes: &[u8]) -> io::Result<()> {
        let write = |content: &mut Content, bytes: &[u8]| {
            let at = at.unwrap_or(content.now.len());
            content.make(Call::Write {
                at,
                bytes: bytes.to_vec(),
            });
        };
        let written = self.call(name, |content| write(content, bytes));
        if written.is_err() {
            let mut state = self.lock();
            let some = state.dice.index(bytes.len());
            if let Some(content) = state.files.get_mut(name).filter(|_| some % 2 == 1) {
                write(content, &bytes[..some]);
            }
        }
        written
    }
}

impl Content {
    fn make(&mut self, call: Call) {
        call.apply(&mut self.now);
        self.calls.push(call);
    }

    fn sync(&mut self) {
        self.calls.clear();
        self.synced.clone_from(&self.now);
    }

    fn lose(&mut self, dice: &mut Dice) {
        let kept = dice.index(self.calls.len() + 1);
        for call in &self.calls[..kept] {
            call.apply(&mut self.synced);
        }
        if let Some(Call::Write { at, bytes }) = self.calls.get(kept) {
            let mut torn = bytes.clone();
            let whole = dice.index(bytes.len() + 1);
            if dice.chance(300) {
                torn[whole..].fill(0);
            } else {
                torn.truncate(whole);
            }
            let torn = Call::Write {
                at: *at,
                bytes: torn,
            };
            torn.apply(&mut self.synced);
        }
        self.calls.clear();
        self.now.clone_from(&self.synced);
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct File {
    disk: Arc<Disk>,
    name: String,
    place: usize,
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl File {
    fn cut(&self, length: u64) -> io::Result<()> {
        self.disk.call(&self.name, |content| {
            content.make(Call::SetLen(size(length)));
        })
    }
}

impl ground::Disk for File {
    fn length(&self) -> io::Result<u64> {
        self.disk
            .call(&self.name, |content| content.now.len() as u64)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.cut(length)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(&self.name, None, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(&self.name, Content::sync)
    }

    fn read_exact_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        let at = size(at);
        let read = self.disk.call(&self.name, |content| {
            let bytes = content.now.get(at..at + into.len())?;
            into.copy_from_slice(bytes);
            Some(())
        })?;
        read.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl journal::Paper for File {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let at = size(at);
        self.disk.call(&self.name, |content| {
            let rest = content.now.get(at..).unwrap_or_default();
            let some = rest.len().min(into.len());
            into[..some].copy_from_slice(&rest[..some]);
            some
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.cut(length)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.write(&self.name, Some(size(at)), bytes)
    }
}

#[async_trait::async_trait]
impl spool::Paper for File {
    async fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.cut(length)
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (place, room) = (self.place, into.remaining());
        let read = self.disk.call(&self.name, |content| {
            let rest = content.now.get(place..).unwrap_or_default();
            rest[..rest.len().min(room)].to_vec()
        })?;
        into.put_slice(&read);
        self.place += read.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for File {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.disk.write(&self.name, Some(self.place), bytes)?;
        self.place += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, to: io::SeekFrom) -> io::Result<()> {
        if let io::SeekFrom::Start(place) = to {
            self.place = size(place);
            return Ok(());
        }
        Err(io::ErrorKind::Unsupported.into())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.place as u64))
    }
}
