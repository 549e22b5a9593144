//! A machine's file tree and what its mirror wrote down, on a disk that forgets when the power is cut.
//!
//! Names are kept by a journal in order, as file systems do it: a sync of a folder makes sure of everything up to its last
//! change. Bytes are kept by a sync of their file alone; else they survive in part, as zeros, or not at all. Death can be
//! set to come at the n-th call from now, and so can an edit of the user.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::dice::Dice;
use super::shelf::Shelf;
use crate::mirror::ground::Stat;
use crate::mirror::ground::simulated::{self, How, New};
use crate::mirror::ignore::is_conflict_copy;
use crate::protocol::file::{FileState, Mode};
use crate::protocol::hash::ContentHash;
use crate::protocol::path::RelPath;

const TOP: u64 = 1;
const ROOT: u64 = 2;
const OURS: &str = ".ashore";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File(Vec<u8>),
    Folder(BTreeMap<String, u64>),
    Link(String),
}

#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    permissions: u32,
    modified: i128,
    changed: i128,
    /// Of a folder: where it stands.
    up: Option<(u64, String)>,
    /// The last path in the root that led here.
    stood: Option<RelPath>,
}

/// Names that change together: folder, name, what it leads to now.
type Names = Vec<(u64, String, Option<u64>)>;

/// What a user does to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Write { fresh: bool, text: String },
    Link(String),
    Delete,
    Rename(RelPath),
    Flip,
}

/// A file that a user holds open.
#[derive(Debug)]
pub(super) struct Open {
    number: u64,
    path: RelPath,
    /// Of its time.
    deaths: u64,
}

#[derive(Debug)]
pub(super) struct State {
    dice: Dice,
    nodes: BTreeMap<u64, Node>,
    /// What is on the platters, and what of the names is not yet.
    disk: BTreeMap<u64, Node>,
    names: Vec<Names>,
    next: u64,
    left: Option<u64>,
    pub(super) dead: bool,
    pub(super) shelf: Shelf,
    /// Paths that changed, for whoever watches.
    stirred: BTreeSet<RelPath>,
    /// Edits that are made at the n-th call from now.
    ambushes: Vec<(u64, RelPath, Act)>,
    /// What this side's users wrote, and what of it they have replaced themselves.
    wrote: BTreeMap<ContentHash, RelPath>,
    replaced: BTreeSet<ContentHash>,
    /// Everything that ever stood at a path.
    stood: BTreeSet<(RelPath, ContentHash, Mode)>,
    /// What the mirror took away for good.
    taken: Vec<(RelPath, ContentHash)>,
    /// Files of theirs, and what was saved into files that no longer stood where they had been opened.
    removed: BTreeSet<u64>,
    late: BTreeSet<ContentHash>,
    /// Everybody who held a file open is gone.
    deaths: u64,
    powers: u64,
    /// What is done here is left to the system to write down, as programs do that care for nothing.
    careless: bool,
    /// What stood before the last power cut, and whose content is nowhere since.
    lost: Vec<(RelPath, FileState)>,
    /// What power cuts left of files, which nobody wrote.
    torn: BTreeSet<ContentHash>,
}

/// The trees and disks of one machine.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) name: String,
    number: u64,
    start: Instant,
    state: Mutex<State>,
    /// Rings when the appointed call was made.
    pub(super) died: Notify,
    /// Rings when a path has changed.
    pub(super) stirs: Notify,
}

fn file_kind(mode: Mode) -> u32 {
    match mode {
        Mode::Symlink => 0o120_000,
        Mode::Directory => 0o040_000,
        Mode::File | Mode::Executable => 0o100_000,
    }
}

impl Node {
    fn new(kind: Kind, permissions: u32, now: i128) -> Self {
        Self {
            kind,
            permissions,
            modified: now,
            changed: now,
            up: None,
            stood: None,
        }
    }

    fn folder(now: i128) -> Self {
        Self::new(Kind::Folder(BTreeMap::new()), 0o755, now)
    }

    /// As the disk has it before anything of it was synced.
    fn blank(&self) -> Self {
        let kind = match &self.kind {
            Kind::File(_) => Kind::File(Vec::new()),
            Kind::Folder(_) => Kind::Folder(BTreeMap::new()),
            Kind::Link(target) => Kind::Link(target.clone()),
        };
        Self {
            kind,
            ..self.clone()
        }
    }

    fn mode(&self) -> Mode {
        match &self.kind {
            Kind::File(_) if self.permissions & 0o100 != 0 => Mode::Executable,
            Kind::File(_) => Mode::File,
            Kind::Folder(_) => Mode::Directory,
            Kind::Link(_) => Mode::Symlink,
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::File(bytes) => Some(bytes),
            Kind::Link(target) => Some(target.as_bytes()),
            Kind::Folder(_) => None,
        }
    }

    fn state(&self) -> Option<FileState> {
        let bytes = self.bytes()?;
        Some(FileState {
            hash: ContentHash::of(bytes),
            size: bytes.len() as u64,
            mode: self.mode(),
        })
    }
}

impl State {
    fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::NOENT)
    }

    fn entries(&self, folder: u64) -> Result<&BTreeMap<String, u64>, Errno> {
        match &self.node(folder)?.kind {
            Kind::Folder(names) => Ok(names),
            Kind::Link(_) => Err(Errno::LOOP),
            Kind::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn child(&self, folder: u64, name: &str) -> Result<u64, Errno> {
        let child = self.entries(folder)?.get(name);
        child.copied().ok_or(Errno::NOENT)
    }

    fn find(&self, path: &RelPath) -> Option<u64> {
        path.parts()
            .try_fold(ROOT, |at, part| self.child(at, part).ok())
    }

    /// The path of a name in the root, but for our own folder.
    fn path(&self, folder: u64, name: &str) -> Option<RelPath> {
        let mut parts = vec![name.to_owned()];
        let mut at = folder;
        while at != ROOT {
            let (up, name) = self.nodes.get(&at)?.up.clone()?;
            parts.push(name);
            at = up;
        }
        parts.reverse();
        let path = parts.join("/");
        (parts[0] != OURS).then(|| path.parse().ok()).flatten()
    }

    /// What stands below a node, itself included, by path.
    fn below(&self, at: u64, path: &str, into: &mut Vec<(String, u64)>) {
        match self.nodes.get(&at).map(|node| &node.kind) {
            Some(Kind::Folder(names)) => {
                for (name, child) in names {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}/{name}")
                    };
                    self.below(*child, &path, into);
                }
            }
            Some(_) => into.push((path.to_owned(), at)),
            None => (),
        }
    }

    fn noticed(&mut self, path: RelPath, number: Option<u64>) {
        let state = number.and_then(|number| self.nodes.get(&number)?.state());
        if let Some(state) = state {
            self.stood.insert((path.clone(), state.hash, state.mode));
        }
        self.stirred.insert(path);
    }

    /// Names change, all at once.
    fn set(&mut self, names: Names) {
        for (folder, name, leads) in &names {
            if let Some(Kind::Folder(entries)) =
                self.nodes.get_mut(folder).map(|node| &mut node.kind)
            {
                match leads {
                    Some(number) => entries.insert(name.clone(), *number),
                    None => entries.remove(name),
                };
            }
        }
        for (folder, name, leads) in &names {
            let path = self.path(*folder, name);
            if let Some(node) = leads.and_then(|number| self.nodes.get_mut(&number)) {
                if matches!(node.kind, Kind::Folder(_)) {
                    node.up = Some((*folder, name.clone()));
                }
                node.stood = path.clone().or(node.stood.take());
            }
            if let Some(path) = path {
                self.noticed(path, *leads);
            }
        }
        self.names.push(names);
    }

    fn make(&mut self, folder: u64, name: &str, node: Node) -> Result<u64, Errno> {
        if self.entries(folder)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.next += 1;
        let number = self.next;
        self.nodes.insert(number, node);
        self.set(vec![(folder, name.to_owned(), Some(number))]);
        Ok(number)
    }

    fn write(&mut self, number: u64, at: usize, bytes: &[u8], now: i128) -> Result<(), Errno> {
        let node = self.nodes.get_mut(&number).ok_or(Errno::NOENT)?;
        let Kind::File(content) = &mut node.kind else {
            return Err(Errno::ISDIR);
        };
        let end = at + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at..end].copy_from_slice(bytes);
        (node.modified, node.changed) = (now, now);
        self.wrote_at(number);
        Ok(())
    }

    fn wrote_at(&mut self, number: u64) {
        let stood = self.nodes.get(&number).and_then(|node| node.stood.clone());
        if let Some(path) = stood.filter(|path| self.find(path) == Some(number)) {
            self.noticed(path, Some(number));
        }
    }

    fn rename(&mut self, from: (u64, &str), to: (u64, &str), how: How) -> Result<(), Errno> {
        let moved = self.child(from.0, from.1)?;
        let there = match self.child(to.0, to.1) {
            Ok(there) => Some(there),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        let back = match (how, there) {
            (How::Beside, Some(_)) => return Err(Errno::EXIST),
            (How::Swap, None) => return Err(Errno::NOENT),
            (How::Swap, there) => there,
            (How::Over, Some(there)) if matches!(self.node(there)?.kind, Kind::Folder(_)) => {
                return Err(Errno::ISDIR);
            }
            (How::Over | How::Beside, _) => None,
        };
        self.set(vec![
            (from.0, from.1.to_owned(), back),
            (to.0, to.1.to_owned(), Some(moved)),
        ]);
        Ok(())
    }

    fn remove(&mut self, folder: u64, name: &str, is_folder: bool) -> Result<(), Errno> {
        let number = self.child(folder, name)?;
        let node = self.node(number)?;
        match &node.kind {
            Kind::Folder(names) if is_folder && !names.is_empty() => return Err(Errno::NOTEMPTY),
            Kind::Folder(_) if !is_folder => return Err(Errno::ISDIR),
            Kind::File(_) | Kind::Link(_) if is_folder => return Err(Errno::NOTDIR),
            Kind::Folder(_) | Kind::File(_) | Kind::Link(_) => (),
        }
        if name.starts_with("swap-")
            && let (Some(path), Some(state)) = (node.stood.clone(), node.state())
        {
            self.taken.push((path, state.hash));
            self.removed.insert(number);
        }
        self.set(vec![(folder, name.to_owned(), None)]);
        Ok(())
    }

    fn sync(&mut self, number: u64) -> Result<(), Errno> {
        let node = self.node(number)?.clone();
        if matches!(node.kind, Kind::Folder(_)) {
            let touches = |names: &Names| names.iter().any(|(folder, ..)| *folder == number);
            let last = self.names.iter().rposition(touches);
            let sure = last.map_or(0, |last| last + 1);
            let sure: Vec<Names> = self.names.drain(..sure).collect();
            for names in sure {
                self.write_down(&names);
            }
        } else {
            self.disk.insert(number, node);
        }
        Ok(())
    }

    fn write_down(&mut self, names: &Names) {
        for (folder, name, leads) in names {
            if let Some(number) = leads
                && !self.disk.contains_key(number)
                && let Some(node) = self.nodes.get(number)
            {
                self.disk.insert(*number, node.blank());
            }
            let node = self.disk.get_mut(folder).map(|node| &mut node.kind);
            if let Some(Kind::Folder(entries)) = node {
                match leads {
                    Some(number) => entries.insert(name.clone(), *number),
                    None => entries.remove(name),
                };
            }
        }
    }

    /// What was not synced is gone, or half gone. Says what a base must not claim: what stood and stands no more.
    fn lose(&mut self) -> Vec<(RelPath, FileState)> {
        let before = self.files();
        let kept = self.dice.index(self.names.len() + 1);
        let names: Vec<Names> = self.names.drain(..).take(kept).collect();
        for names in names {
            self.write_down(&names);
        }
        let State {
            nodes,
            disk,
            dice,
            torn,
            late,
            wrote,
            careless,
            ..
        } = self;
        for (number, node) in disk.iter_mut() {
            let now = nodes.get(number);
            if let (Kind::File(old), Some(Kind::File(new))) =
                (&mut node.kind, now.map(|now| &now.kind))
                && old != new
            {
                let whole = dice.index(new.len() + 1);
                match dice.below(3) {
                    0 => (),
                    1 => *old = new[..whole].to_vec(),
                    _ => *old = vec![0; new.len()],
                }
                torn.insert(ContentHash::of(old));
                // Not told yet, for it lies where nothing is told of.
                let saved = ContentHash::of(new);
                if *careless && late.contains(&saved) {
                    wrote.remove(&saved);
                }
            }
            if let Some(now) = now {
                (node.up, node.stood) = (now.up.clone(), now.stood.clone());
            }
        }
        self.nodes = self.disk.clone();
        self.place_folders(TOP);
        self.stirred.clear();
        self.powers += 1;
        let after = self.files();
        let found = self.contents();
        self.lost = before
            .iter()
            .filter(|(_, state)| !found.contains_key(&state.hash))
            .map(|(path, state)| (path.clone(), *state))
            .collect();
        if self.careless {
            // Nobody was promised anything; what was told is another matter.
            for (_, state) in &self.lost {
                self.wrote.remove(&state.hash);
            }
        }
        let gone = before
            .into_iter()
            .filter(|(path, state)| after.get(path) != Some(state));
        gone.collect()
    }

    fn place_folders(&mut self, at: u64) {
        let names = self.entries(at).cloned().unwrap_or_default();
        for (name, child) in names {
            if let Some(node) = self.nodes.get_mut(&child)
                && matches!(node.kind, Kind::Folder(_))
            {
                node.up = Some((at, name));
                self.place_folders(child);
            }
        }
    }

    /// The mirrored files.
    fn files(&self) -> BTreeMap<RelPath, FileState> {
        let mut all = Vec::new();
        self.below(ROOT, "", &mut all);
        let file = |(path, number): (String, u64)| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let ours = path.starts_with(".ashore/") || is_conflict_copy(name);
            let path = path.parse().ok().filter(|_| !ours)?;
            Some((path, self.nodes.get(&number)?.state()?))
        };
        all.into_iter().filter_map(file).collect()
    }

    /// Stands there from the first.
    fn seed(&mut self, path: &RelPath, text: &str) {
        let node = Node::new(Kind::File(text.as_bytes().to_vec()), 0o644, 0);
        self.put(path, node, 0);
        self.sync_all();
        self.wrote.clear();
        self.stirred.clear();
    }

    /// The contents of everything a person finds on this machine: files, copies, pre-images.
    fn contents(&self) -> BTreeMap<ContentHash, Vec<u8>> {
        let mut all = Vec::new();
        self.below(TOP, "", &mut all);
        let content = |(path, number): (String, u64)| {
            let found = path.starts_with("root/") || path.starts_with("pre-images/");
            let staged = path.starts_with("root/.ashore/stage/");
            let bytes = self.nodes.get(&number).filter(|_| found && !staged)?;
            let bytes = bytes.bytes()?;
            Some((ContentHash::of(bytes), bytes.to_vec()))
        };
        all.into_iter().filter_map(content).collect()
    }

    /// Everything, as the system does it for one who asks.
    fn sync_all(&mut self) {
        for names in std::mem::take(&mut self.names) {
            self.write_down(&names);
        }
        let files = |(_, node): &(&u64, &Node)| !matches!(node.kind, Kind::Folder(_));
        let files: Vec<u64> = self.nodes.iter().filter(files).map(|(n, _)| *n).collect();
        for number in files {
            self.sync(number).ok();
        }
    }

    /// Of what a user did.
    fn written(&mut self, number: u64) {
        if !self.careless {
            self.sync(number).ok();
        }
    }

    // What users do. It is on the disk when they have done it, but for the careless.

    fn replaced_at(&mut self, number: u64) {
        let mut gone = Vec::new();
        self.below(number, "", &mut gone);
        for (_, number) in gone {
            let state = self.nodes.get(&number).and_then(Node::state);
            if let Some(state) = state.filter(|state| self.wrote.contains_key(&state.hash)) {
                self.replaced.insert(state.hash);
            }
        }
    }

    /// The folder of a path, made where nothing stands in its way.
    fn folder_of(&mut self, path: &RelPath, now: i128) -> Option<u64> {
        let mut at = ROOT;
        let parent = path.parent();
        for part in parent.iter().flat_map(RelPath::parts) {
            at = match self.child(at, part) {
                Ok(child) => child,
                Err(_) => self.make(at, part, Node::folder(now)).ok()?,
            };
        }
        self.entries(at).is_ok().then_some(at)
    }

    fn put(&mut self, path: &RelPath, node: Node, now: i128) -> Option<u64> {
        let folder = self.folder_of(path, now)?;
        if let Ok(there) = self.child(folder, path.name()) {
            self.replaced_at(there);
            self.set(vec![(folder, path.name().to_owned(), None)]);
        }
        let number = self.make(folder, path.name(), node).ok()?;
        self.settle(path, number);
        Some(number)
    }

    /// Written to the disk, and remembered as this side's own.
    fn settle(&mut self, path: &RelPath, number: u64) {
        self.written(number);
        let mut at = Some(ROOT);
        let parent = path.parent();
        let parts: Vec<&str> = parent.iter().flat_map(RelPath::parts).collect();
        self.written(ROOT);
        for part in parts {
            at = at.and_then(|at| self.child(at, part).ok());
            if let Some(at) = at {
                self.written(at);
            }
        }
        let state = self.nodes.get(&number).and_then(Node::state);
        if let Some(state) = state {
            self.wrote.entry(state.hash).or_insert_with(|| path.clone());
        }
    }

    fn save(&mut self, open: &Open, text: &str, now: i128) -> bool {
        let number = open.number;
        let mut all = Vec::new();
        self.below(TOP, "", &mut all);
        let at = all.into_iter().find(|(_, at)| *at == number);
        let at = at.map(|(path, _)| path);
        let is_gone = at.is_none() && !self.removed.contains(&number);
        if open.deaths != self.deaths || is_gone || !self.nodes.contains_key(&number) {
            return false;
        }
        self.replaced_at(number);
        if let Some(node) = self.nodes.get_mut(&number) {
            node.kind = Kind::File(text.as_bytes().to_vec());
            (node.modified, node.changed) = (now, now);
        }
        let ours = format!("root/{OURS}/");
        let stands = at.filter(|at| !at.starts_with(&ours));
        let stands = stands.and_then(|at| at.strip_prefix("root/")?.parse().ok());
        match stands {
            Some(path) => {
                self.wrote_at(number);
                self.settle(&path, number);
            }
            None => {
                self.written(number);
                let content = ContentHash::of(text.as_bytes());
                self.late.insert(content);
                self.wrote.insert(content, open.path.clone());
            }
        }
        true
    }

    /// Whether there was anything to do.
    fn act(&mut self, path: &RelPath, act: &Act, now: i128) -> bool {
        let here = self.find(path);
        let is_file =
            |state: &Self, number: u64| matches!(state.nodes[&number].kind, Kind::File(_));
        match (act, here) {
            (Act::Write { fresh: false, text }, Some(number)) if is_file(self, number) => {
                self.replaced_at(number);
                if let Some(node) = self.nodes.get_mut(&number) {
                    node.kind = Kind::File(text.clone().into_bytes());
                    (node.modified, node.changed) = (now, now);
                }
                self.wrote_at(number);
                self.settle(path, number);
                true
            }
            (Act::Write { text, .. }, _) => {
                let node = Node::new(Kind::File(text.clone().into_bytes()), 0o644, now);
                self.put(path, node, now).is_some()
            }
            (Act::Link(target), _) => {
                let node = Node::new(Kind::Link(target.clone()), 0o777, now);
                self.put(path, node, now).is_some()
            }
            (Act::Delete, Some(number)) => {
                self.replaced_at(number);
                let folder = self.folder_of(path, now).unwrap_or(ROOT);
                self.set(vec![(folder, path.name().to_owned(), None)]);
                self.written(folder);
                true
            }
            (Act::Rename(to), Some(number)) if is_file(self, number) => {
                let from = self.folder_of(path, now).unwrap_or(ROOT);
                let Some(folder) = self.folder_of(to, now) else {
                    return false;
                };
                if self.child(folder, to.name()).is_ok() {
                    return false;
                }
                self.set(vec![
                    (from, path.name().to_owned(), None),
                    (folder, to.name().to_owned(), Some(number)),
                ]);
                self.written(from);
                self.settle(to, number);
                true
            }
            (Act::Flip, Some(number)) if is_file(self, number) => {
                if let Some(node) = self.nodes.get_mut(&number) {
                    node.permissions ^= 0o111;
                    node.changed = now;
                }
                self.wrote_at(number);
                self.written(number);
                true
            }
            (Act::Delete | Act::Rename(_) | Act::Flip, _) => false,
        }
    }
}

impl Tree {
    pub(super) fn new(name: &str, number: u64, careless: bool, dice: Dice) -> Arc<Self> {
        let mut state = State {
            dice,
            nodes: BTreeMap::from([(TOP, Node::folder(0)), (ROOT, Node::folder(0))]),
            disk: BTreeMap::from([(TOP, Node::folder(0))]),
            names: Vec::new(),
            next: ROOT,
            left: None,
            dead: false,
            shelf: Shelf::default(),
            stirred: BTreeSet::new(),
            ambushes: Vec::new(),
            wrote: BTreeMap::new(),
            replaced: BTreeSet::new(),
            stood: BTreeSet::new(),
            taken: Vec::new(),
            removed: BTreeSet::new(),
            late: BTreeSet::new(),
            deaths: 0,
            powers: 0,
            careless,
            lost: Vec::new(),
            torn: BTreeSet::new(),
        };
        state.set(vec![(TOP, "root".to_owned(), Some(ROOT))]);
        for name in ["pre-images", "up", "stage"] {
            state.make(TOP, name, Node::folder(0)).ok();
        }
        state.sync(TOP).ok();
        Arc::new(Self {
            name: name.to_owned(),
            number,
            start: Instant::now(),
            state: Mutex::new(state),
            died: Notify::new(),
            stirs: Notify::new(),
        })
    }

    pub(super) fn seed(&self, path: &RelPath, text: &str) {
        self.lock().seed(path, text);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the machine's first day.
    fn now(&self) -> i128 {
        i128::try_from((FIRST + self.start.elapsed()).as_nanos()).unwrap_or(i128::MAX)
    }

    /// One call of whoever works here.
    pub(super) fn call<T>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut state = self.lock();
        if state.left == Some(0) && !state.dead {
            state.dead = true;
            self.died.notify_one();
        }
        if state.dead {
            return Err(Errno::IO);
        }
        state.left = state.left.map(|left| left - 1);
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut state.ambushes)
            .into_iter()
            .partition(|(left, ..)| *left == 0);
        let less = |(left, path, act): (u64, RelPath, Act)| (left - 1, path, act);
        state.ambushes = later.into_iter().map(less).collect();
        for (_, path, act) in due {
            state.act(&path, &act, self.now());
        }
        let done = act(&mut state);
        self.ring(&state);
        done
    }

    fn ring(&self, state: &State) {
        if !state.stirred.is_empty() {
            self.stirs.notify_one();
        }
    }

    /// Whoever works here dies at the n-th call from now.
    pub(super) fn doom(&self, calls: u64) {
        self.lock().left = Some(calls);
    }

    /// Nobody works here any more; with the power, what was not synced is gone. An error: the base claims what is not there.
    pub(super) fn stop(&self, power: bool) -> Result<(), String> {
        let mut state = self.lock();
        state.dead = true;
        // The child dies with its server, a user's editor with the power.
        state.deaths += u64::from(power || state.careless);
        if !power {
            return Ok(());
        }
        let gone = state.lose();
        let State { shelf, dice, .. } = &mut *state;
        shelf.lose(dice);
        let claims = |(path, was): &(RelPath, FileState)| {
            let base = state.shelf.known().base.get(path);
            base.is_some_and(|base| base.hash == was.hash && base.mode == was.mode)
        };
        match gone.iter().find(|gone| claims(gone)) {
            None => Ok(()),
            Some((path, _)) => Err(format!(
                "the base of {} claims what the power cut took from {path}",
                self.name
            )),
        }
    }

    pub(super) fn start(&self) {
        let mut state = self.lock();
        (state.dead, state.left) = (false, None);
    }

    /// A user's edit; `false`: nothing stood there to be edited.
    pub(super) fn act(&self, path: &RelPath, act: &Act) -> bool {
        let mut state = self.lock();
        let done = state.act(path, act, self.now());
        self.ring(&state);
        done
    }

    /// A user opens a file to write into it later.
    pub(super) fn open(&self, path: &RelPath) -> Option<Open> {
        let state = self.lock();
        let number = state.find(path)?;
        let is_file = matches!(state.nodes[&number].kind, Kind::File(_));
        is_file.then(|| Open {
            number,
            path: path.clone(),
            deaths: state.deaths,
        })
    }

    /// Saves what was opened, wherever it stands by now; `false`: nobody is there to save it, or its own side's users have
    /// removed it.
    pub(super) fn save(&self, open: &Open, text: &str) -> bool {
        let mut state = self.lock();
        let done = state.save(open, text, self.now());
        self.ring(&state);
        done
    }

    pub(super) fn is_late(&self, content: ContentHash) -> bool {
        self.lock().late.contains(&content)
    }

    /// A user's edit at the n-th call from now.
    pub(super) fn ambush(&self, calls: u64, path: RelPath, act: Act) {
        self.lock().ambushes.push((calls, path, act));
    }

    /// What still lies in ambush is done now.
    pub(super) fn spring(&self) {
        let mut state = self.lock();
        for (_, path, act) in std::mem::take(&mut state.ambushes) {
            state.act(&path, &act, self.now());
        }
        self.ring(&state);
    }

    /// The paths that have changed since the last time.
    pub(super) fn stirred(&self) -> BTreeSet<RelPath> {
        std::mem::take(&mut self.lock().stirred)
    }

    pub(super) fn files(&self) -> BTreeMap<RelPath, FileState> {
        self.lock().files()
    }

    pub(super) fn contents(&self) -> BTreeMap<ContentHash, Vec<u8>> {
        self.lock().contents()
    }

    pub(super) fn is_torn(&self, content: ContentHash) -> bool {
        self.lock().torn.contains(&content)
    }

    /// What the last power cut took.
    pub(super) fn lost(&self) -> Vec<(RelPath, FileState)> {
        self.lock().lost.clone()
    }

    /// What this side's users wrote and have not replaced or removed themselves.
    pub(super) fn versions(&self) -> Vec<(ContentHash, RelPath)> {
        let state = self.lock();
        let stands = state.wrote.iter();
        stands
            .filter(|(hash, _)| !state.replaced.contains(hash))
            .map(|(hash, path)| (*hash, path.clone()))
            .collect()
    }

    pub(super) fn taken(&self) -> Vec<(RelPath, ContentHash)> {
        self.lock().taken.clone()
    }

    pub(super) fn power_cuts(&self) -> u64 {
        self.lock().powers
    }

    /// A base says only what has stood there.
    pub(super) fn claims(&self) -> Result<(), String> {
        let state = self.lock();
        for (path, base) in &state.shelf.known().base {
            let stood = base.mode == Mode::Directory
                || state.stood.contains(&(path.clone(), base.hash, base.mode));
            if !stood {
                return Err(format!(
                    "the base of {} claims of {path} what never stood there",
                    self.name
                ));
            }
        }
        Ok(())
    }
}

/// When a machine's life begins, since 1970.
pub(super) const FIRST: std::time::Duration = std::time::Duration::from_secs(1_000_000_000);

impl simulated::Disk for Tree {
    fn top(&self) -> u64 {
        TOP
    }

    fn child(&self, folder: u64, name: &str) -> Result<u64, Errno> {
        self.call(|state| state.child(folder, name))
    }

    fn names(&self, folder: u64) -> Result<Vec<String>, Errno> {
        self.call(|state| Ok(state.entries(folder)?.keys().cloned().collect()))
    }

    fn stat(&self, number: u64) -> Result<Stat, Errno> {
        self.call(|state| {
            let node = state.node(number)?;
            Ok(Stat {
                device: self.number,
                inode: number,
                size: node.bytes().map_or(0, |bytes| bytes.len() as u64),
                modified: node.modified,
                changed: node.changed,
                mode: file_kind(node.mode()) | node.permissions,
            })
        })
    }

    fn read(&self, number: u64) -> Result<Vec<u8>, Errno> {
        self.call(|state| match &state.node(number)?.kind {
            Kind::File(bytes) => Ok(bytes.clone()),
            Kind::Folder(_) | Kind::Link(_) => Err(Errno::ISDIR),
        })
    }

    fn target(&self, number: u64) -> Result<String, Errno> {
        self.call(|state| match &state.node(number)?.kind {
            Kind::Link(target) => Ok(target.clone()),
            Kind::Folder(_) | Kind::File(_) => Err(Errno::INVAL),
        })
    }

    fn write(&self, number: u64, at: usize, bytes: &[u8]) -> Result<(), Errno> {
        self.call(|state| state.write(number, at, bytes, self.now()))
    }

    fn empty(&self, number: u64) -> Result<(), Errno> {
        self.call(|state| {
            let node = state.nodes.get_mut(&number).ok_or(Errno::NOENT)?;
            match &mut node.kind {
                Kind::File(bytes) => bytes.clear(),
                Kind::Link(_) => return Err(Errno::LOOP),
                Kind::Folder(_) => return Err(Errno::ISDIR),
            }
            Ok(())
        })
    }

    fn set_permissions(&self, number: u64, bits: u32) -> Result<(), Errno> {
        self.call(|state| {
            let node = state.nodes.get_mut(&number).ok_or(Errno::NOENT)?;
            node.permissions = bits & 0o777;
            node.changed = self.now();
            state.wrote_at(number);
            Ok(())
        })
    }

    fn make(&self, folder: u64, name: &str, new: New) -> Result<u64, Errno> {
        let (kind, permissions) = match new {
            New::File { permissions } => (Kind::File(Vec::new()), permissions & 0o755),
            New::Folder { permissions } => (Kind::Folder(BTreeMap::new()), permissions & 0o755),
            New::Link(target) => (Kind::Link(target), 0o777),
        };
        self.call(|state| state.make(folder, name, Node::new(kind, permissions, self.now())))
    }

    fn rename(&self, from: (u64, &str), to: (u64, &str), how: How) -> Result<(), Errno> {
        self.call(|state| state.rename(from, to, how))
    }

    fn remove(&self, folder: u64, name: &str, is_folder: bool) -> Result<(), Errno> {
        self.call(|state| state.remove(folder, name, is_folder))
    }

    fn sync(&self, number: u64) -> Result<(), Errno> {
        self.call(|state| state.sync(number))
    }

    fn sync_all(&self) -> Result<(), Errno> {
        self.call(|state| {
            state.sync_all();
            Ok(())
        })
    }

    fn life(&self) -> u64 {
        self.power_cuts()
    }
}
